import CWaletKernels

/// Watches a mapped range for a file that shrinks: its lost part then reads as zeros instead of ending the process.
public struct MappedGuard: Sendable {
    private let slot: Int32

    /// Begins to watch; ``end()`` must come before the range is unmapped, lest a later mapping of it be taken for this.
    public init(base: UnsafeRawPointer, length: Int) {
        _ = Self.installed
        slot = wk_guard_register(base, length)
    }

    /// Whether a read has met the missing part.
    public var isBroken: Bool { slot >= 0 && wk_guard_is_broken(slot) }

    public func end() { if slot >= 0 { wk_guard_unregister(slot) } }

    private static let installed: Void = wk_guard_install()
}
