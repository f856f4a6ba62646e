// Every way out, tried: the proof that they are closed.

import CWaletSystem

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

#if canImport(Glibc)
    private let stream = Int32(SOCK_STREAM.rawValue)
    private let datagram = Int32(SOCK_DGRAM.rawValue)
    private let raw = Int32(SOCK_RAW.rawValue)
#else
    private let stream = SOCK_STREAM
    private let datagram = SOCK_DGRAM
    private let raw = SOCK_RAW
#endif

extension Sovereign {
    /// Tries to connect, to send and to look a name up, by every way that this system has. What is not refused goes to
    /// this machine alone, but for the look-up of a name that cannot exist.
    ///
    /// Made for a process that is cut off. In another one it takes as long as the resolver takes to give up.
    public static func selfTest() -> [Check] {
        let listener = Listener()
        let port = listener?.port ?? 9
        var checks = [
            check("TCP connection", connect(AF_INET, port: port)),
            check("TCP connection over IPv6", connect(AF_INET6, port: port), absent: [EAFNOSUPPORT]),
            check("TCP fast open", walet_try_fast_open(port), absent: absentElsewhere),
            check("TCP data with a destination", send(stream, port: port)),
            check("Unix connection", connectUnix()),
            check("UDP datagram", send(datagram, port: port)),
            check("UDP socket over IPv6", make(AF_INET6, datagram), absent: [EAFNOSUPPORT]),
            check("raw socket", make(AF_INET, raw, Int32(IPPROTO_ICMP)), absent: [EPERM]),
        ]
        #if os(Linux)
            checks += [
                check("netlink socket", make(AF_NETLINK, raw), absent: [EAFNOSUPPORT]),
                check("packet socket", make(AF_PACKET, datagram), absent: [EPERM, EAFNOSUPPORT]),
                // Not EACCES: libraries then do without it, as on a kernel that has none.
                check("io_uring", walet_try_io_uring(), absent: [ENOSYS, EPERM]),
            ]
        #endif
        // The resolver has UDP, TCP and Unix sockets (nscd, systemd-resolved) to ask with. That a name which cannot
        // exist is not found says little by itself.
        let ways: Set<String> = ["UDP datagram", "UDP socket over IPv6", "TCP connection", "Unix connection"]
        let areClosed = checks.allSatisfy { $0.refused || !ways.contains($0.name) }
        let (isFound, answer) = lookUp("walet-self-test.invalid")
        checks.append(Check(name: "name look-up", refused: areClosed && !isFound, detail: answer))
        return checks
    }

    /// - Parameter absent: errors that say that the system has no such thing at all.
    private static func check(_ name: String, _ code: Int32, absent: [Int32] = []) -> Check {
        Check(
            name: name, refused: code == EACCES || absent.contains(code),
            detail: code == 0 ? "it worked" : String(cString: strerror(code)))
    }

    private static var absentElsewhere: [Int32] {
        #if os(Linux)
            []
        #else
            [ENOSYS]
        #endif
    }

    /// Calls with a socket and closes it. The result is 0 or an error.
    private static func withSocket(
        _ domain: Int32, _ type: Int32, _ number: Int32 = 0, _ body: (Int32) -> Bool
    ) -> Int32 {
        let descriptor = socket(domain, type, number)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        return body(descriptor) ? 0 : errno
    }

    private static func make(_ domain: Int32, _ type: Int32, _ number: Int32 = 0) -> Int32 {
        withSocket(domain, type, number) { _ in true }
    }

    private static func connect(_ domain: Int32, port: UInt16) -> Int32 {
        withSocket(domain, stream) { descriptor in
            withLoopback(domain, port) { systemConnect(descriptor, $0, $1) == 0 }
        }
    }

    private static func send(_ type: Int32, port: UInt16) -> Int32 {
        withSocket(AF_INET, type) { descriptor in
            withLoopback(AF_INET, port) { address, size in
                sendto(descriptor, "x", 1, noSignal, address, size) >= 0
            }
        }
    }

    private static var noSignal: Int32 {
        #if canImport(Darwin)
            0
        #else
            Int32(MSG_NOSIGNAL)
        #endif
    }

    private static func connectUnix() -> Int32 {
        withSocket(AF_UNIX, stream) { descriptor in
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let path = Array("/walet-self-test/none".utf8)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
            return withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    systemConnect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
                }
            }
        }
    }

    private static func systemConnect(
        _ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t
    ) -> Int32 {
        #if canImport(Glibc)
            Glibc.connect(descriptor, address, size)
        #elseif canImport(Musl)
            Musl.connect(descriptor, address, size)
        #else
            Darwin.connect(descriptor, address, size)
        #endif
    }

    /// This machine's own address, 127.0.0.1 or ::1.
    fileprivate static func withLoopback<Result>(
        _ domain: Int32, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        func call<Address>(_ address: Address) -> Result {
            withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<Address>.size))
                }
            }
        }
        if domain == AF_INET6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            withUnsafeMutableBytes(of: &address.sin6_addr) { $0[15] = 1 }
            return call(address)
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return call(address)
    }

    private static func lookUp(_ name: String) -> (isFound: Bool, answer: String) {
        var result: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, nil, &result)
        if let result { freeaddrinfo(result) }
        return (code == 0, code == 0 ? "\(name) was found" : String(cString: gai_strerror(code)))
    }

    /// Something on this machine that would take a connection.
    private final class Listener {
        private let descriptor: Int32
        let port: UInt16

        init?() {
            descriptor = socket(AF_INET, stream, 0)
            guard descriptor >= 0 else { return nil }
            var address = sockaddr_in()
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let (descriptor, isBound) = (
                descriptor,
                Sovereign.withLoopback(AF_INET, 0) { [descriptor] in bind(descriptor, $0, $1) == 0 }
            )
            let isNamed = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) == 0 }
            }
            port = UInt16(bigEndian: address.sin_port)
            guard isBound, isNamed, listen(descriptor, 8) == 0 else {
                close(descriptor)
                return nil
            }
        }

        deinit { close(descriptor) }
    }
}
