import Foundation
import Synchronization
import WaletEngine
import WaletFormats
import WaletModels

/// Fixtures with experts, opened with a store.
enum StreamedModels {
    /// Every checkpoint with experts that there is, of all packings and formats.
    static let names = GoldenTests.names.filter { name in
        let files = try? ModelFolder(GoldenTests.folder.appending(path: name).path)
        return files?.configuration.experts != nil
    }

    static func options(
        slabs: Int? = nil, mode: ExpertStoreOptions.Mode = .direct, reader: (any BlockReader)? = nil,
        limit: Int = 1 << 30
    ) -> ExpertStoreOptions {
        var options = ExpertStoreOptions(memoryLimit: limit, mode: mode)
        options.slabs = slabs
        options.reader = reader
        return options
    }

    static func open(_ path: String, _ options: ExpertStoreOptions) throws -> Transformer {
        let files = try ModelFolder(path)
        return try Transformer(files.configuration, from: try files.weights(), options)
    }

    static func open(_ name: String, slabs: Int?, _ mode: ExpertStoreOptions.Mode = .direct) throws -> Transformer {
        try open(GoldenTests.folder.appending(path: name).path, options(slabs: slabs, mode: mode))
    }

    /// A copy of a fixture that tests may spoil.
    static func copy(_ name: String) throws -> URL {
        let target = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
        try FileManager.default.copyItem(at: GoldenTests.folder.appending(path: name), to: target)
        return target
    }
}

/// Reads as a disk does that fails when told to.
final class FaultyReader: BlockReader {
    enum Fault: Sendable {
        /// The errno of every read.
        case error(Int32)
        /// The file seems to end where a read begins.
        case end
        /// Every read ends after so many bytes, and the rest comes when it is asked for.
        case pieces(Int)
        /// Reads end the other way round.
        case reversed
    }

    private struct State {
        var fault: Fault?
        /// Reads that go well before the fault begins.
        var spared = 0
        var started = 0
        var results: [BlockResult] = []
    }

    let name = "faulty"
    private let state = Mutex(State())

    /// Reads so far.
    var started: Int { state.withLock { $0.started } }

    /// - Parameter spared: reads that go well before.
    func set(_ fault: Fault?, after spared: Int = 0) {
        state.withLock { ($0.fault, $0.spared) = (fault, spared) }
    }

    func start(_ reads: [BlockRead]) {
        for read in reads {
            state.withLock { state in
                state.spared -= 1
                state.started += 1
                var count = read.count
                var result: Int?
                switch state.spared < 0 ? state.fault : nil {
                case .error(let number): result = -Int(number)
                case .end: result = 0
                case .pieces(let bytes): count = min(count, bytes)
                case .reversed, nil: break
                }
                let got = result ?? pread(read.descriptor, read.target, count, off_t(read.offset))
                state.results.append(BlockResult(tag: read.tag, result: got))
            }
        }
    }

    func ended(waits: Bool) -> [BlockResult] {
        state.withLock { state in
            // One at a time, so that experts come apart.
            guard !state.results.isEmpty else { return [] }
            if case .reversed = state.fault { return [state.results.removeLast()] }
            return [state.results.removeFirst()]
        }
    }
}
