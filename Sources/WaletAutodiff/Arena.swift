import CWaletAutodiff
import WaletTensor

/// What computations of training share: the thread pool, and memory that goes from one tensor to the next.
///
/// A step makes and drops the same tensors as the step before, so their memory is kept by size: fresh pages from the
/// system would cost more than many of the operations. One thread at a time may use an arena and its tensors.
public final class Arena {
    public let pool: ThreadPool
    private let recycler = Recycler()

    /// - Parameter threads: workers, the caller included.
    /// - Returns: nil where the system does not let so many threads start.
    public init?(threads: Int = Hardware.physicalCores) {
        _ = Self.prepared
        guard let pool = ThreadPool(threads: threads) else { return nil }
        self.pool = pool
    }

    /// A tensor of undefined values, whose memory comes back here when nobody holds it any more.
    public func tensor(_ shape: [Int], needsGradient: Bool = true) -> Tensor {
        Tensor(shape, needsGradient: needsGradient, recycler: recycler)
    }

    /// Memory for the time of a scope.
    func scratch(_ count: Int) -> Tensor { tensor([count], needsGradient: false) }

    /// Floats that wait for their next use.
    public var idleFloats: Int { recycler.idle }

    /// Runs `body` over ranges of at most `size` rows, in parallel. The ranges depend on nothing but the sizes.
    func forRows(_ rows: Int, size: Int, _ body: (_ rows: Range<Int>) -> Void) {
        pool.run((rows + size - 1) / size) { task, _ in body(task * size..<min(rows, (task + 1) * size)) }
    }

    private static let prepared: Void = wa_blas_prepare()
}

/// Memory by size, for the next tensor of about that size.
final class Recycler {
    private var buffers: [Int: [FloatBuffer]] = [:]

    /// - Returns: at least `count` floats. There are eight sizes to each doubling, so that batches of ever other lengths
    ///   find memory too.
    func take(_ count: Int) -> FloatBuffer {
        let step = max(16, 1 << max(0, Int.bitWidth - count.leadingZeroBitCount - 4))
        let size = (count + step - 1) / step * step
        return buffers[size]?.popLast() ?? FloatBuffer(count: size)
    }

    func give(_ buffer: FloatBuffer) { buffers[buffer.count, default: []].append(buffer) }
    var idle: Int { buffers.values.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } } }
}
