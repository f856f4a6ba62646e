import Foundation
import Synchronization
import WaletFormats
import WaletTensor

/// Weights of files within a limit of memory: what every token needs is read into memory of its own, routed experts come
/// and go in an ``ExpertStore``, and of the table of embeddings the rows are read that are looked up.
///
/// Nothing stays mapped but the files' headers, so that what the kernel counts for this process is what the limit bounds.
public final class StreamedWeights: WeightSource {
    private struct State {
        var layers: [StreamedLayer] = []
        /// Copies by the address of what they were made of, for matrices that two modules share.
        var copies: [UInt: WeightMatrix] = [:]
        /// Those that have memory and not yet their bytes.
        var wanted: [(name: String, plan: BlockPlan, memory: WeightMemory)] = []
        var dense = 0
        var perToken = 0
        var store: ExpertStore?
    }

    private let source: any WeightSource
    private let files: WeightFiles
    private let options: ExpertStoreOptions
    private let state: Mutex<State>
    private let path: String

    /// - Throws: ``FormatError`` for weights that lie in no file.
    public init(_ source: any WeightSource, _ options: ExpertStoreOptions) throws(FormatError) {
        self.source = source
        self.options = options
        let mapped = source.mappedFiles
        guard let first = mapped.first else {
            throw FormatError(
                file: "the model", expected: "weights in files, as a memory limit has them read from there",
                found: "weights in memory")
        }
        path = first.path
        files = try WeightFiles(mapped)
        state = Mutex(State())
    }

    var store: ExpertStore? { state.withLock { $0.store } }

    // MARK: What a model asks for

    public func hasMatrix(_ module: String) -> Bool { source.hasMatrix(module) }
    public func hasVector(_ name: String) -> Bool { source.hasVector(name) }

    public func vector(_ name: String, count: Int) throws(FormatError) -> FloatBuffer {
        try source.vector(name, count: count)
    }

    public func checkIntact() throws(FormatError) {
        try source.checkIntact()
        for file in files.files { try file.checkUnchanged() }
    }

    /// A copy in memory, whose bytes are there when ``load()`` has returned; of a routed expert a view that only
    /// ``layer(_:_:perToken:)`` knows what to do with.
    public func matrix(_ module: String, rows: Int, columns: Int) throws(FormatError) -> WeightMatrix {
        let matrix = try source.matrix(module, rows: rows, columns: columns)
        if module.contains(".mlp.experts.") { return matrix }
        return try resident(matrix, module)
    }

    private func resident(_ matrix: WeightMatrix, _ module: String) throws(FormatError) -> WeightMatrix {
        let address = UInt(bitPattern: matrix.raw.data)
        if let copy = state.withLock({ $0.copies[address] }), copy.byteCount == matrix.byteCount { return copy }
        let plan = try BlockPlan([(module, matrix)], in: files)
        let store = store
        try store?.makeRoom(for: plan.byteCount, module)
        let memory = try WeightMemory(byteCount: plan.byteCount, for: path)
        let copy = plan.matrices([matrix], at: memory.start, owner: memory)[0]
        if let store {
            try store.read(plan, module, into: memory.start)
        }
        state.withLock { state in
            if store == nil {
                state.wanted.append((module, plan, memory))
                state.dense += plan.byteCount
            }
            state.copies[address] = copy
        }
        return copy
    }

    /// The table of embeddings: rows that are read when they are looked up, or a matrix in memory where the head needs it
    /// anyway.
    func table(_ module: String, rows: Int, columns: Int) throws(FormatError) -> TokenEmbedding {
        let matrix = try source.matrix(module, rows: rows, columns: columns)
        if matrix.scaleBytes == nil {
            let head: WeightMatrix?
            do throws(FormatError) { head = try source.matrix("lm_head", rows: rows, columns: columns) } catch {
                head = nil
            }
            if head?.raw.data != matrix.raw.data {
                return .rows(try RowTable(matrix, module, self, in: files))
            }
        }
        return .matrix(try resident(matrix, module))
    }

    /// The experts of a layer.
    /// - Parameter prefix: of their names, with the dot.
    func layer(
        _ experts: [GatedFeedForward], _ prefix: String, perToken: Int
    ) throws(FormatError) -> StreamedLayer {
        let layer = try StreamedLayer(experts, prefix, in: files)
        let store = state.withLock { state in
            state.perToken = max(state.perToken, min(perToken, layer.count))
            if state.store == nil { state.layers.append(layer) }
            return state.store
        }
        if let store {
            try store.add(layer)
            layer.attach(to: store)
        }
        return layer
    }

    // MARK: Loading

    /// Reads what every token needs, and makes room for experts in the rest.
    /// - Throws: ``MemoryLimitError``, or ``FormatError`` where a read fails.
    func load() throws {
        let (layers, wanted, dense, perToken) = state.withLock { ($0.layers, $0.wanted, $0.dense, $0.perToken) }
        let fewest = layers.isEmpty ? 0 : Set(layers.map(\.slabBytes)).reduce(0) { $0 + $1 * perToken }
        guard options.memoryLimit >= dense + fewest || options.slabs != nil else {
            throw MemoryLimitError(
                file: path, limit: options.memoryLimit, dense: dense, experts: fewest,
                expertCount: layers.isEmpty ? 0 : Set(layers.map(\.slabBytes)).count * perToken)
        }
        // Memory is asked for at once, and the system would end this process rather than refuse it.
        let wholeModel = layers.reduce(dense) { $0 + $1.count * $1.slabBytes }
        let taken = min(options.memoryLimit, wholeModel)
        guard taken <= options.machineMemory else {
            throw FormatError(
                file: path, field: "memory limit",
                expected: "at most \(options.machineMemory / 1_000_000) MB, the memory of this machine",
                found: "\(taken / 1_000_000) MB to be taken")
        }
        // Norms and biases were read through the mapping, up to two megabytes of the file's cache for each.
        for file in files.files { file.mapped.dropPages() }
        let reader = options.reader ?? Self.makeReader()
        let plans = layers.flatMap(\.plans) + wanted.map(\.plan)
        let isDirect = ReadProbe.isDirect(options.mode, plans, files, reader)
        WeightMemory.populate(wanted.map(\.memory))
        var transfer = BlockTransfer(files, reader, isDirect: isDirect)
        for (index, (name, plan, memory)) in wanted.enumerated() {
            transfer.start(index, name, plan, into: memory.start)
        }
        while !transfer.isIdle, transfer.failure == nil { _ = transfer.finished(waits: true) }
        if let failure = transfer.failure {
            transfer.drain()
            throw failure
        }
        let store = try ExpertStore(
            layers, files, reader, isDirect: isDirect, dense: dense, perToken: perToken, options)
        for layer in layers { layer.attach(to: store) }
        state.withLock { state in
            state.store = store
            state.wanted = []
        }
        for file in files.files { file.mapped.dropPages() }
        try checkIntact()
    }

    static func makeReader() -> any BlockReader {
        RingReader(depth: readsUnderWay) ?? ThreadReader(threads: readsUnderWay)
    }

    /// Reads of a megabyte under way at a time; see `docs/lab-notes.md`.
    private static let readsUnderWay = 8
}
