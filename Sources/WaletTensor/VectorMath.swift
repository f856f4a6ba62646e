import CWaletKernels

/// Operations on plain vectors, by the instruction set in use.
public enum VectorMath {
    /// x[i] = e^(x[i] - m) / sum over j of e^(x[j] - m), with m the largest, in place. What lies more than 87 below the largest
    /// becomes about 1e-38 instead of less.
    public static func softmax(_ x: UnsafeMutableBufferPointer<Float>) {
        guard let start = x.baseAddress else { return }
        wk_softmax(start, Int64(x.count))
    }
}
