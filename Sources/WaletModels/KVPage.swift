import Synchronization

/// Memory for what attention remembers of ``KVCache/pageTokens`` tokens in all layers. Several caches may hold one page;
/// none writes to a page that another holds.
public final class KVPage: @unchecked Sendable {
    // Unchecked: its bytes are written while one cache, or who fills it from a file, holds it alone, and only read after.
    let start: UnsafeMutableRawPointer
    public let byteCount: Int
    private let pool: PagePool?

    fileprivate init(_ start: UnsafeMutableRawPointer, byteCount: Int, pool: PagePool?) {
        self.start = start
        self.byteCount = byteCount
        self.pool = pool
    }

    /// A page of its own.
    convenience init(byteCount: Int) {
        self.init(.allocate(byteCount: byteCount, alignment: 64), byteCount: byteCount, pool: nil)
    }

    deinit {
        if let pool { pool.take(back: start) } else { start.deallocate() }
    }

    /// Its bytes, in the order of the kernels; see ``KVCache``.
    public var bytes: UnsafeRawBufferPointer { .init(start: start, count: byteCount) }

    /// Its bytes, to be filled by who made it, before anybody else holds it.
    public var mutableBytes: UnsafeMutableRawBufferPointer { .init(start: start, count: byteCount) }
}

/// Pages of one size, counted, so that all sequences together stay within a number of bytes.
///
/// The pool counts and does not refuse: whoever adds tokens makes sure that there is room before.
public final class PagePool: Sendable {
    private struct State: @unchecked Sendable {
        // Unchecked: memory that nobody else knows.
        var free: [UnsafeMutableRawPointer] = []
        var inUse = 0
    }

    /// Bytes of a page.
    public let pageBytes: Int
    /// Pages that there may be.
    public let limit: Int
    private let state = Mutex(State())
    /// Memory that is kept for the next page rather than given back.
    private static let spare = 64

    public init(pageBytes: Int, limit: Int) {
        self.pageBytes = pageBytes
        self.limit = limit
    }

    deinit { state.withLock { state in for page in state.free { page.deallocate() } } }

    /// A page whose bytes are undefined.
    public func makePage() -> KVPage {
        let memory = state.withLock { state in
            state.inUse += 1
            return Slot(state.free.popLast())
        }
        return KVPage(
            memory.start ?? .allocate(byteCount: pageBytes, alignment: 64), byteCount: pageBytes, pool: self)
    }

    /// Pages that somebody holds.
    public var inUse: Int { state.withLock { $0.inUse } }

    fileprivate func take(back page: UnsafeMutableRawPointer) {
        let slot = Slot(page)
        state.withLock { state in
            state.inUse -= 1
            if state.free.count < Self.spare, let start = slot.start {
                state.free.append(start)
            } else {
                slot.start?.deallocate()
            }
        }
    }

    /// Takes a pointer through a lock.
    private struct Slot: @unchecked Sendable {
        let start: UnsafeMutableRawPointer?
        init(_ start: UnsafeMutableRawPointer?) { self.start = start }
    }
}
