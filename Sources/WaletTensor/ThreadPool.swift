import CWaletKernels

/// Persistent workers that run the tasks of a parallel region; the calling thread is one of them.
///
/// A decode step has hundreds of regions, so the workers spin for a moment before they sleep.
public final class ThreadPool: @unchecked Sendable {
    // Unchecked: `pool` is constant; `scratch` is changed by `reserve` only, which runs before regions do, and within
    // a region each worker touches its own.
    /// Workers, the calling thread included.
    public let threads: Int
    private let pool: OpaquePointer
    private var scratch: [FloatBuffer]

    /// Nil where the system does not let so many threads start.
    /// - Parameter threads: workers, the caller included; by default the physical cores that this process may use.
    public init?(threads: Int = Hardware.physicalCores) {
        guard let pool = wk_pool_create(Int32(clamping: max(1, threads))) else { return nil }
        self.pool = pool
        self.threads = Int(wk_pool_threads(pool))
        scratch = (0..<self.threads).map { _ in FloatBuffer(count: 0) }
    }

    deinit { wk_pool_destroy(pool) }

    /// Makes sure that each worker has at least `count` floats of scratch memory. Not during a region.
    public func reserve(scratch count: Int) {
        for index in scratch.indices where scratch[index].count < count { scratch[index] = FloatBuffer(count: count) }
    }

    /// Scratch memory of a worker, as large as reserved.
    public func scratch(of worker: Int) -> UnsafeMutablePointer<Float> { scratch[worker].pointer }

    /// Runs `body` once for each task in 0..<count, in parallel, and returns when all are done. One caller at a time.
    public func run(_ count: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
        if count <= 0 { return }
        withoutActuallyEscaping(body) { body in
            var body = body
            withUnsafeMutablePointer(to: &body) { pointer in
                wk_pool_run(
                    pool, Int64(count),
                    { context, task, worker in
                        typealias Body = (Int, Int) -> Void
                        context!.assumingMemoryBound(to: Body.self).pointee(Int(task), Int(worker))
                    }, pointer)
            }
        }
    }

    /// Runs `body` once for each row in 0..<rows, in parallel: several rows a task where there are many, as taking a task
    /// costs about as much as a row.
    @inline(__always)
    public func runRows(_ rows: Int, _ body: (_ row: Int) -> Void) {
        let size = min(16, max(1, rows / (8 * threads)))
        run((rows + size - 1) / size) { task, _ in
            for row in task * size..<min(rows, (task + 1) * size) { body(row) }
        }
    }
}
