import Foundation
import Synchronization
import WaletFormats

/// Keeps as many routed experts in memory as a limit has room for, and reads the others from the model's files when they
/// are chosen.
///
/// What a pass computes does not depend on what is here: an expert's bytes are those of its file, wherever they lie.
public final class ExpertStore: @unchecked Sendable {
    // Unchecked: `classes` and `transfer` are used under the lock alone, which a pass holds while it is in a layer;
    // `statistics` has a lock of its own.

    /// Slabs of one size.
    private struct SlabClass {
        let slabBytes: Int
        let memory: WeightMemory
        var cache: SlabCache

        func start(of slab: Int) -> UnsafeMutableRawPointer { memory.start + slab * slabBytes }
    }

    /// An expert on its way.
    private struct Arrival {
        let expert: Int32
        let slab: Int
    }

    let files: WeightFiles
    private let lock = NSLock()
    private var classes: [SlabClass]
    private var transfer: BlockTransfer
    private let counted: Mutex<ExpertStatistics>
    /// Bytes of the limit that nothing takes.
    private var spare: Int
    private let fewest: Int

    /// - Parameters:
    ///   - layers: all layers with experts so far; each is told its place.
    ///   - dense: bytes of the weights that are always in memory.
    /// - Throws: ``MemoryLimitError`` where the limit is too small for the weights that every token needs and the experts
    ///   of one.
    init(
        _ layers: [StreamedLayer], _ files: WeightFiles, _ reader: any BlockReader, isDirect: Bool, dense: Int,
        perToken: Int, _ options: ExpertStoreOptions
    ) throws {
        let path = files.files.first?.mapped.path ?? ""
        fewest = perToken
        // Layers whose experts take the same memory share it.
        var members: [Int: [StreamedLayer]] = [:]
        for layer in layers { members[layer.slabBytes, default: []].append(layer) }
        let sizes = members.keys.sorted()
        let counts = sizes.map { size in members[size, default: []].reduce(0) { $0 + $1.count } }
        let least = sizes.reduce(0) { $0 + $1 * perToken }
        guard options.memoryLimit >= dense + least || options.slabs != nil else {
            throw MemoryLimitError(
                file: path, limit: options.memoryLimit, dense: dense, experts: least,
                expertCount: sizes.count * perToken)
        }
        let room = options.memoryLimit - dense
        let all = zip(sizes, counts).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        let share = all > 0 ? min(1, Double(room) / all) : 0
        var slabs = counts.map { options.slabs ?? min($0, max(perToken, Int(share * Double($0)))) }
        // What rounding up took too much.
        while options.slabs == nil, zip(sizes, slabs).reduce(0, { $0 + $1.0 * $1.1 }) > room,
            let most = slabs.indices.max(by: { slabs[$0] < slabs[$1] }), slabs[most] > perToken
        {
            slabs[most] -= 1
        }
        classes = []
        var statistics = ExpertStatistics()
        for (index, size) in sizes.enumerated() {
            let memory = try WeightMemory(byteCount: size * slabs[index], for: path)
            classes.append(
                SlabClass(
                    slabBytes: size, memory: memory,
                    cache: SlabCache(
                        slabs: slabs[index], experts: counts[index],
                        usesPerToken: perToken * members[size, default: []].count)))
            var first = 0
            for layer in members[size, default: []] {
                layer.place(index, firstExpert: first)
                first += layer.count
            }
            statistics.slabs += slabs[index]
            statistics.slabBytes += size * slabs[index]
            statistics.experts += counts[index]
        }
        WeightMemory.populate(classes.map(\.memory))
        spare = max(0, room - statistics.slabBytes)
        self.files = files
        transfer = BlockTransfer(files, reader, isDirect: isDirect)
        statistics.denseBytes = dense
        statistics.limit = options.memoryLimit
        statistics.isDirect = isDirect
        statistics.reader = reader.name
        counted = Mutex(statistics)
    }

    public var statistics: ExpertStatistics { counted.withLock { $0 } }

    /// Brings the chosen experts of a layer in and has them computed, in parts: first those that are here, while the
    /// others are read, then those as they come. Each expert is computed once.
    /// - Parameters:
    ///   - chosen: different experts.
    ///   - compute: is called with experts whose matrices are in `layer.experts` then; first of all with those that were
    ///     here, even where that is none.
    /// - Throws: ``FormatError`` where a read fails; the store is as if those experts had never been asked for.
    func bring(
        _ layer: StreamedLayer, _ chosen: UnsafeBufferPointer<Int32>,
        compute: (_ experts: UnsafeBufferPointer<Int32>, _ isFirst: Bool) -> Void
    ) throws(FormatError) {
        lock.lock()
        defer { lock.unlock() }
        let index = layer.slabClass
        var here: [Arrival] = []
        var missing: [Int32] = []
        for expert in chosen {
            if let slab = classes[index].cache.take(layer.firstExpert + Int(expert)) {
                here.append(Arrival(expert: expert, slab: slab))
            } else {
                missing.append(expert)
            }
        }
        let before = (bytes: transfer.bytesRead, busy: transfer.busy)
        var waited = Duration.zero
        // Experts on their way, by their number in the layer.
        var arriving: [Int: Arrival] = [:]
        var next = 0
        startReads(layer, missing, &next, &arriving)
        run(here, index, isFirst: true, compute)
        while next < missing.count || !arriving.isEmpty {
            startReads(layer, missing, &next, &arriving)
            var finished = transfer.finished(waits: false)
            if finished.isEmpty, transfer.failure == nil {
                let start = ContinuousClock.now
                finished = transfer.finished(waits: true)
                waited += .now - start
            }
            if let failure = transfer.failure {
                transfer.drain()
                for arrival in arriving.values { classes[index].cache.discard(arrival.slab) }
                count(hits: here.count, misses: next, before, waited)
                throw failure
            }
            var ready: [Arrival] = []
            for job in finished {
                guard let arrival = arriving.removeValue(forKey: job) else { continue }
                layer.put(Int(arrival.expert), at: classes[index].start(of: arrival.slab), owner: classes[index].memory)
                ready.append(arrival)
            }
            // Always in the same order, though nothing depends on it.
            ready.sort { $0.expert < $1.expert }
            run(ready, index, isFirst: false, compute)
        }
        count(hits: here.count, misses: missing.count, before, waited)
    }

    private func startReads(
        _ layer: StreamedLayer, _ missing: [Int32], _ next: inout Int, _ arriving: inout [Int: Arrival]
    ) {
        let index = layer.slabClass
        while next < missing.count {
            let expert = missing[next]
            guard let slab = classes[index].cache.claim(for: layer.firstExpert + Int(expert)) else { return }
            arriving[Int(expert)] = Arrival(expert: expert, slab: slab)
            transfer.start(
                Int(expert), layer.name(Int(expert)), layer.plans[Int(expert)], into: classes[index].start(of: slab))
            next += 1
        }
    }

    private func run(
        _ experts: [Arrival], _ index: Int, isFirst: Bool,
        _ compute: (_ experts: UnsafeBufferPointer<Int32>, _ isFirst: Bool) -> Void
    ) {
        guard isFirst || !experts.isEmpty else { return }
        experts.map(\.expert).withUnsafeBufferPointer { compute($0, isFirst) }
        for expert in experts { classes[index].cache.unpin(expert.slab) }
    }

    private func count(hits: Int, misses: Int, _ before: (bytes: Int, busy: Duration), _ waited: Duration) {
        counted.withLock { statistics in
            statistics.hits += hits
            statistics.misses += misses
            statistics.bytesRead += transfer.bytesRead - before.bytes
            statistics.readSeconds += (transfer.busy - before.busy) / .seconds(1)
            statistics.waitSeconds += waited / .seconds(1)
        }
    }

    // MARK: What is asked for later

    /// Reads a plan's bytes outside any layer.
    func read(_ plan: BlockPlan, _ name: String, into memory: UnsafeMutableRawPointer) throws(FormatError) {
        lock.lock()
        defer { lock.unlock() }
        transfer.start(0, name, plan, into: memory)
        while !transfer.isIdle, transfer.failure == nil { _ = transfer.finished(waits: true) }
        if let failure = transfer.failure {
            transfer.drain()
            throw failure
        }
    }

    /// Gives up experts for weights that are to stay in memory from now on.
    /// - Throws: ``FormatError`` where too few experts would be left.
    func makeRoom(for bytes: Int, _ name: String) throws(FormatError) {
        lock.lock()
        defer { lock.unlock() }
        while spare < bytes {
            let most = classes.indices.max { classes[$0].cache.count < classes[$1].cache.count }
            guard let most, classes[most].cache.count > fewest else {
                throw FormatError(
                    file: files.files.first?.mapped.path ?? "", field: name,
                    expected: "a memory limit with room for this too, \(bytes) bytes", found: "none left")
            }
            let count = classes[most].cache.count - 1
            classes[most].cache.shrink(to: count)
            classes[most].memory.release(from: count * classes[most].slabBytes)
            spare += classes[most].slabBytes
            counted.withLock { statistics in
                statistics.slabs -= 1
                statistics.slabBytes -= classes[most].slabBytes
            }
        }
        spare -= bytes
        counted.withLock { $0.denseBytes += bytes }
    }

    /// Takes on a layer that was not there at first.
    /// - Throws: ``FormatError`` where its experts are larger than any others.
    func add(_ layer: StreamedLayer) throws(FormatError) {
        lock.lock()
        defer { lock.unlock() }
        guard let index = classes.firstIndex(where: { $0.slabBytes >= layer.slabBytes }) else {
            throw FormatError(
                file: files.files.first?.mapped.path ?? "", field: layer.name(0),
                expected: "experts of at most \(classes.last?.slabBytes ?? 0) bytes, as in other layers",
                found: "\(layer.slabBytes)")
        }
        layer.place(index, firstExpert: classes[index].cache.experts)
        classes[index].cache.add(experts: layer.count)
        counted.withLock { $0.experts += layer.count }
    }
}
