#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

extension Configuration.Rope {
    /// YaRN's magnitude for a context stretched by `factor`: 0.1 m ln(factor) + 1, and 1 where nothing is stretched.
    static func magnitude(_ factor: Double, _ m: Double) -> Double { factor <= 1 ? 1 : 0.1 * m * log(factor) + 1 }
}
