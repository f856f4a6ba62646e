/// Floats in memory of their own, aligned for SIMD; pages are touched only when they are written.
public final class FloatBuffer: @unchecked Sendable {
    // Unchecked: the pointer is constant; who writes when is the owner's affair, as with any unsafe pointer.
    public let pointer: UnsafeMutablePointer<Float>
    public let count: Int

    /// - Parameter count: number of floats; their values are undefined at first.
    public init(count: Int) {
        self.count = count
        let bytes = max(count, 16) * MemoryLayout<Float>.stride
        pointer = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64).bindMemory(
            to: Float.self, capacity: max(count, 16))
    }

    public convenience init(_ values: some Collection<Float>) {
        self.init(count: values.count)
        for (index, value) in values.enumerated() { pointer[index] = value }
    }

    deinit { UnsafeMutableRawPointer(pointer).deallocate() }

    public subscript(index: Int) -> Float {
        get {
            precondition(index >= 0 && index < count)
            return pointer[index]
        }
        set {
            precondition(index >= 0 && index < count)
            pointer[index] = newValue
        }
    }

    /// The values, copied.
    public var values: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
}
