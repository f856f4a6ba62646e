// `--sovereign`: this process opens no connection and looks no name up, and the kernel sees to it.

import CWaletSystem
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Why a process could not be cut off from the network's outside.
public enum SovereignError: Error, Sendable, Equatable {
    /// There is no such filter on this system.
    case notAvailable(system: String)
    /// The kernel did not take the filter.
    case refused(reason: String)
    /// A thread has a filter of its own, which other threads lack.
    case threadDiffers(thread: Int)
    /// Ways out that were open before.
    case socketsOpen([String])
    /// The filter is there and something got through it.
    case notEffective([Sovereign.Check])
}

extension SovereignError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notAvailable(let system):
            "outgoing connections cannot be refused on \(system): that takes Linux on x86_64 or arm64"
        case .refused(let reason):
            "the kernel does not take the filter that refuses outgoing connections: \(reason)"
        case .threadDiffers(let thread):
            "outgoing connections cannot be refused: thread \(thread) has a system-call filter of its own"
        case .socketsOpen(let sockets):
            "outgoing connections are refused too late, these are open: " + sockets.joined(separator: ", ")
        case .notEffective(let checks):
            "outgoing connections were to be refused, but this was not: "
                + checks.map { "\($0.name) (\($0.detail))" }.joined(separator: ", ")
        }
    }
}

/// Refuses every outgoing connection and name look-up of this process, and proves it.
///
///     try Sovereign.enforce()          // first thing, before event loops, clients and thread pools
///
/// A filter in the kernel (seccomp) answers with `EACCES` to `connect`, to every socket but TCP and Unix ones, to
/// sending with a destination or with TCP fast open, and closes the ways around it: io_uring, other processes, kernel
/// keys that look names up, mounts. It holds for all threads and all children, and nothing lifts it. Listening,
/// accepting and answering go on as before.
///
/// A filter sees no addresses. So it refuses local connections, too: a database by TCP or Unix socket, an upstream
/// engine, `syslog`. What is already connected by a Unix socket, such as the standard output under systemd, stays. It
/// does not reach files: a network file system that is mounted is still read by the kernel.
public enum Sovereign {
    /// One way out, and whether it is closed.
    public struct Check: Sendable, Equatable {
        /// Such as "TCP connection".
        public let name: String
        public let refused: Bool
        /// What the system said.
        public let detail: String
    }

    private struct State {
        var isEnforced = false
        var forbidsPrograms = false
    }

    private static let state = Mutex(State())

    /// Whether ``enforce(forbiddingPrograms:)`` has succeeded in this process.
    public static var isEnforced: Bool { state.withLock { $0.isEnforced } }

    /// Refuses outgoing connections from now on, for good, and tries them all to be sure.
    ///
    /// After an error the process may be filtered already, and should end.
    /// - Parameter forbiddingPrograms: whether other programs cannot be started, either. Without that they inherit the
    ///   filter.
    public static func enforce(forbiddingPrograms: Bool = false) throws(SovereignError) {
        let isDone = state.withLock { $0.isEnforced && ($0.forbidsPrograms || !forbiddingPrograms) }
        if isDone { return }
        var thread = 0
        let code = walet_sovereign_install(forbiddingPrograms ? 1 : 0, &thread)
        switch code {
        case 0: break
        case EBUSY where thread != 0: throw .threadDiffers(thread: thread)
        case ENOSYS: throw .notAvailable(system: systemName)
        default: throw .refused(reason: String(cString: strerror(code)))
        }
        // Now that no more can come, what was there before.
        let open = waysOut()
        guard open.isEmpty else { throw .socketsOpen(open) }
        let holes = selfTest().filter { !$0.refused }
        guard holes.isEmpty else { throw .notEffective(holes) }
        state.withLock { state in
            state.isEnforced = true
            state.forbidsPrograms = state.forbidsPrograms || forbiddingPrograms
        }
    }

    private static var systemName: String {
        var name = utsname()
        guard uname(&name) == 0 else { return "this system" }
        return "\(text(of: name.sysname)) on \(text(of: name.machine))"
    }

    private static func text<Tuple>(of tuple: Tuple) -> String {
        withUnsafeBytes(of: tuple) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
