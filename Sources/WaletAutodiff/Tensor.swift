import WaletTensor

/// Numbers in fp32, row-major, and the gradient of the loss by them once it is known.
///
/// The memory belongs to the object. Operations on a ``Tape`` see a matrix: the last dimension is columns, all others
/// are rows. Not to be used by two threads at once.
public final class Tensor {
    /// Slowest dimension first.
    public let shape: [Int]
    public let count: Int
    /// Whether the gradient is wanted.
    public let needsGradient: Bool
    private var storage: FloatBuffer?
    private let recycler: Recycler?
    private var gradientStorage: FloatBuffer?
    private var gradientIsSet = false

    /// Undefined values in memory of their own.
    public convenience init(_ shape: [Int], needsGradient: Bool = true) {
        self.init(shape, needsGradient: needsGradient, recycler: nil)
    }

    init(_ shape: [Int], needsGradient: Bool, recycler: Recycler?) {
        precondition(!shape.isEmpty && shape.allSatisfy { $0 >= 0 })
        self.shape = shape
        count = shape.reduce(1, *)
        self.needsGradient = needsGradient
        self.recycler = recycler
        storage = recycler?.take(count) ?? FloatBuffer(count: count)
    }

    /// The given values, row-major.
    public convenience init(_ shape: [Int], _ values: [Float], needsGradient: Bool = true) {
        self.init(shape, needsGradient: needsGradient, recycler: nil)
        precondition(values.count == count)
        pointer.update(from: values, count: count)
    }

    deinit {
        guard let recycler else { return }
        if let storage { recycler.give(storage) }
        if let gradientStorage { recycler.give(gradientStorage) }
    }

    public var columns: Int { shape[shape.count - 1] }
    public var rows: Int { columns == 0 ? 0 : count / columns }
    public var pointer: UnsafeMutablePointer<Float> { storage!.pointer }

    /// The values, copied.
    public var values: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }

    /// The gradient, of this tensor's shape; nil where nothing has reached it yet.
    public var gradient: UnsafeMutablePointer<Float>? { gradientIsSet ? gradientStorage!.pointer : nil }

    /// The gradient, copied; zeros where nothing has reached it.
    public var gradientValues: [Float] {
        guard let gradient else { return [Float](repeating: 0, count: count) }
        return Array(UnsafeBufferPointer(start: gradient, count: count))
    }

    /// Forgets the gradient, as before a step.
    public func forgetGradient() { gradientIsSet = false }

    /// Where to add to the gradient. If it was not set, its values are undefined and the caller writes all of them.
    func gradientTarget() -> (pointer: UnsafeMutablePointer<Float>, isSet: Bool) {
        if gradientStorage == nil { gradientStorage = recycler?.take(count) ?? FloatBuffer(count: count) }
        defer { gradientIsSet = true }
        return (gradientStorage!.pointer, gradientIsSet)
    }

    /// Where to add to the gradient, zeros if nothing has reached it.
    @discardableResult
    public func zeroedGradient() -> UnsafeMutablePointer<Float> {
        let (pointer, isSet) = gradientTarget()
        if !isSet { pointer.initialize(repeating: 0, count: count) }
        return pointer
    }

    /// Gives the memory of the values back. They may not be read any more; the gradient goes on as before.
    public func releaseValues() {
        if let storage { recycler?.give(storage) }
        storage = nil
    }

    /// Takes memory for the values, undefined at first, where they have none.
    public func holdValues() { if storage == nil { storage = recycler?.take(count) ?? FloatBuffer(count: count) } }

    /// Whether the values are in memory.
    public var hasValues: Bool { storage != nil }

    /// Takes another's gradient, which that one needs no more, as the first to reach this.
    func adoptGradient(of other: Tensor) {
        precondition(!gradientIsSet && other.gradientIsSet && other.count == count)
        swap(&gradientStorage, &other.gradientStorage)
        gradientIsSet = true
        other.gradientIsSet = false
    }
}
