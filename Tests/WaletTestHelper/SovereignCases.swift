// Processes that are cut off from the network's outside, each another way.

import Foundation
import WaletSystem

/// One line a check: `refused` or `OPEN`, name, detail.
private func report(_ checks: [Sovereign.Check]) -> Bool {
    for check in checks { say("\(check.refused ? "refused" : "OPEN")\t\(check.name)\t\(check.detail)") }
    return checks.allSatisfy(\.refused)
}

private func enforce(forbiddingPrograms: Bool = false) {
    do {
        try Sovereign.enforce(forbiddingPrograms: forbiddingPrograms)
    } catch {
        fail("\(error)")
    }
}

func sovereign(_ arguments: [String]) {
    #if os(Linux)
        switch arguments.first {
        case "enforced":
            enforce()
            guard Sovereign.isEnforced else { fail("not enforced") }
            exit(report(Sovereign.selfTest()) ? 0 : 1)
        case "open":
            exit(report(Sovereign.selfTest()) ? 0 : 1)
        case "child":
            enforce()
            exit(start(["sovereign", "open"]))
        case "no-programs":
            enforce(forbiddingPrograms: true)
            exit(start(["sovereign", "open"]))
        case "thread":
            threadFromBefore()
        case "serve":
            enforce()
            serve()
        case "localhost":
            enforce()
            var result: UnsafeMutablePointer<addrinfo>?
            let code = getaddrinfo("localhost", "8080", nil, &result)
            guard code == 0, result != nil else { fail("localhost: \(String(cString: gai_strerror(code)))") }
            exit(0)
        case "udp-before":
            guard socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0) >= 0 else { fail("no UDP socket") }
            enforce()
            exit(0)
        default:
            fail("sovereign enforced | open | child | no-programs | thread | serve | localhost | udp-before")
        }
    #else
        do {
            try Sovereign.enforce()
            exit(0)
        } catch {
            fail("\(error)")
        }
    #endif
}

#if os(Linux)
    /// Starts this program again. Returns its exit code, or 99 where it cannot be started.
    private func start(_ arguments: [String]) -> Int32 {
        var process = pid_t()
        let path = "/proc/self/exe"
        let resolved = (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) ?? path
        var list: [UnsafeMutablePointer<CChar>?] = ([resolved] + arguments).map { strdup($0) }
        list.append(nil)
        let code = posix_spawn(&process, resolved, nil, nil, list, environ)
        guard code == 0 else {
            say("cannot start: \(String(cString: strerror(code)))")
            return 99
        }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return (status >> 8) & 0xFF
    }

    /// A thread that is there before the filter connects after it.
    private func threadFromBefore() {
        let (isEnforced, isDone) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let thread = Thread {
            isEnforced.wait()
            let isClosed = report(Sovereign.selfTest())
            exit(isClosed ? 0 : 1)
        }
        thread.start()
        enforce()
        isEnforced.signal()
        isDone.wait()
    }

    /// Listens, says on which port, answers one connection with what it sent.
    private func serve() {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 1) == 0 && getsockname(listener, $0, &size) == 0
            }
        }
        guard isBound else { fail("cannot listen: \(String(cString: strerror(errno)))") }
        say("\(UInt16(bigEndian: address.sin_port))")
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { fail("cannot accept: \(String(cString: strerror(errno)))") }
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = read(connection, &buffer, buffer.count)
        guard count > 0, send(connection, buffer, count, 0) == count else { fail("cannot answer") }
        exit(0)
    }
#endif
