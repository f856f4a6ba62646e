// The time of day for `strftime_now`, printed by the C library as Python's datetime does.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

enum JinjaClock {
    /// The local time in a format of `strftime`, or nil where that is too long to print.
    static func text(_ format: String, at seconds: Int?) -> String? {
        guard !format.isEmpty else { return "" }
        guard format.utf8.count <= 1024, !format.utf8.contains(0) else { return nil }
        var time = seconds.flatMap { time_t(exactly: $0) } ?? Self.now()
        var parts = tm()
        guard localtime_r(&time, &parts) != nil else { return nil }
        var buffer = [CChar](repeating: 0, count: 8192)
        // A trailing mark tells an empty result from one that did not fit.
        let length = strftime(&buffer, buffer.count, format + "|", &parts)
        guard length > 0 else { return nil }
        return String(decoding: buffer[..<(length - 1)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func now() -> time_t { time(nil) }
}
