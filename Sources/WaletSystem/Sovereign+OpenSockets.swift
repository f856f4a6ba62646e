// Sockets from before the filter, which it does not close.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension Sovereign {
    /// Descriptors of this process by which something could leave: each as its number and kind.
    ///
    /// Unix sockets stay on this machine; a TCP socket that listens or does nothing yet cannot connect any more.
    static func waysOut() -> [String] {
        #if os(Linux)
            guard let folder = opendir("/proc/self/fd") else { return ["/proc/self/fd cannot be read"] }
            defer { closedir(folder) }
            var found: [String] = []
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                guard let descriptor = Int32(name) else { continue }
                if isRing(descriptor) { found.append("descriptor \(descriptor), an io_uring") }
                if let kind = wayOut(descriptor) { found.append("descriptor \(descriptor), \(kind)") }
            }
            return found
        #else
            return []
        #endif
    }

    #if os(Linux)
        private static func isRing(_ descriptor: Int32) -> Bool {
            var target = [CChar](repeating: 0, count: 64)
            let count = readlink("/proc/self/fd/\(descriptor)", &target, target.count)
            return count > 0
                && target.prefix(count).map(UInt8.init(bitPattern:)).elementsEqual("anon_inode:[io_uring]".utf8)
        }

        /// What kind of socket a descriptor is, where something could leave by it.
        private static func wayOut(_ descriptor: Int32) -> String? {
            guard let domain = option(descriptor, SOL_SOCKET, SO_DOMAIN),
                let type = option(descriptor, SOL_SOCKET, SO_TYPE)
            else { return nil }
            if domain == AF_UNIX { return nil }
            guard domain == AF_INET || domain == AF_INET6 else { return "a socket of family \(domain)" }
            guard type == Int32(SOCK_STREAM.rawValue), option(descriptor, SOL_SOCKET, SO_PROTOCOL) == Int32(IPPROTO_TCP)
            else { return "a UDP or raw socket" }
            // The first byte of struct tcp_info is the state: 7 closed, 10 listening.
            guard let state = option(descriptor, Int32(IPPROTO_TCP), TCP_INFO).map({ $0 & 0xFF }), state != 7,
                state != 10
            else { return nil }
            return "a TCP connection"
        }

        private static func option(_ descriptor: Int32, _ level: Int32, _ name: Int32) -> Int32? {
            var value: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            return getsockopt(descriptor, level, name, &value, &size) == 0 ? value : nil
        }
    #endif
}
