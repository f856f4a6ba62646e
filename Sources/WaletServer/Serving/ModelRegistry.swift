import Foundation
import Logging
import Synchronization
import Walet

/// A model that the server was told of.
public struct ModelSpecification: Sendable, Equatable {
    /// What clients call it.
    public var name: String
    /// What the loader opens: a path, a stored model's name, or the address of another server.
    public var source: String

    public init(name: String, source: String) {
        self.name = name
        self.source = source
    }
}

/// A model in memory, and how much of it that takes.
public struct LoadedModel: Sendable {
    public var model: any ServedModel
    public var residentBytes: Int

    public init(_ model: any ServedModel, residentBytes: Int) {
        self.model = model
        self.residentBytes = residentBytes
    }
}

/// The models by name: loads them when they are asked for, and unloads those that nobody uses, least recently used first,
/// so that they stay within a budget of memory.
public actor ModelRegistry {
    public typealias Loader = @Sendable (ModelSpecification) async throws -> LoadedModel

    private enum State {
        case unloaded
        case loading(Task<APIError?, Never>)
        case loaded(LoadedModel, uses: UseCount)
    }

    private struct Entry {
        var specification: ModelSpecification
        var created: Date
        var state = State.unloaded
        var lastUse: UInt64 = 0
        var contextLength: Int?
        /// What it took when it was in memory last, or the estimate before.
        var bytes: Int
    }

    private var entries: [Entry]
    private let memoryBudget: Int?
    private let loader: Loader
    private let metrics: ServerMetrics
    private let logger: Logger
    private var clock: UInt64 = 0

    /// - Parameters:
    ///   - models: in the order in which `/v1/models` lists them; names differ.
    ///   - memoryBudget: bytes of all models in memory together; nil for no limit. One model alone may be larger.
    ///   - estimate: bytes that a model takes, before it is loaded.
    public init(
        _ models: [ModelSpecification], memoryBudget: Int?, metrics: ServerMetrics, logger: Logger,
        created: Date = .now, estimate: (ModelSpecification) -> Int = { _ in 0 }, loader: @escaping Loader
    ) {
        entries = models.map { Entry(specification: $0, created: created, bytes: estimate($0)) }
        self.memoryBudget = memoryBudget
        self.loader = loader
        self.metrics = metrics
        self.logger = logger
        metrics.setModels(models.map(\.name))
    }

    public var models: [ModelInfo] {
        entries.map { entry in
            var isLoaded = false
            if case .loaded = entry.state { isLoaded = true }
            return ModelInfo(
                name: entry.specification.name, created: entry.created, isLoaded: isLoaded,
                contextLength: entry.contextLength)
        }
    }

    /// A model for use. It stays in memory as long as the lease is held.
    /// - Throws: ``APIError``: 404 for a name that is unknown, 503 where there is no room or the files cannot be read, 500 where
    ///   loading fails otherwise, 502 where the server behind the model cannot be asked.
    public func lease(_ name: String) async throws -> ModelLease {
        while true {
            guard let index = entries.firstIndex(where: { $0.specification.name == name }) else {
                throw Self.unknown(name)
            }
            clock += 1
            entries[index].lastUse = clock
            switch entries[index].state {
            case .loaded(let loaded, let uses):
                return ModelLease(
                    name: name, created: entries[index].created, model: loaded.model, use: uses.take())
            case .loading(let task):
                // The task itself changes the state, so that the next look finds what came of it.
                if let error = await task.value { throw error }
                try Task.checkCancellation()
            case .unloaded:
                try makeRoom(entries[index].bytes, except: index)
                // A task of its own: that the client who asked first leaves is no reason to stop for the others.
                entries[index].state = .loading(Task { await load(index) })
            }
        }
    }

    /// - Returns: what went wrong.
    private func load(_ index: Int) async -> APIError? {
        let specification = entries[index].specification
        logger.info("loading a model", metadata: ["model": .string(specification.name)])
        let start = ContinuousClock.now
        do {
            let loaded = try await loader(specification)
            entries[index].state = .loaded(loaded, uses: UseCount())
            entries[index].contextLength = loaded.model.contextLength
            entries[index].bytes = loaded.residentBytes
            let model = loaded.model
            metrics.setEngine(specification.name) { model.snapshot }
            logger.info(
                "loaded a model",
                metadata: [
                    "model": .string(specification.name),
                    "milliseconds": .stringConvertible(Int((ContinuousClock.now - start) / .milliseconds(1))),
                ])
            return nil
        } catch {
            entries[index].state = .unloaded
            logger.error(
                "a model could not be loaded",
                metadata: ["model": .string(specification.name), "error": .string("\(error)")])
            // Another server that is away comes back; what it says of itself is not for clients.
            return (error as? UpstreamError)?.apiError ?? Self.failed(specification.name, error)
        }
    }

    private func makeRoom(_ bytes: Int, except index: Int) throws {
        guard let memoryBudget else { return }
        while true {
            let held = entries.indices.filter { $0 != index && isHeld($0) }
            let taken = held.reduce(0) { $0 + entries[$1].bytes }
            if taken == 0 || bytes <= memoryBudget - taken { return }
            let idle = held.filter { isIdle($0) }.min { entries[$0].lastUse < entries[$1].lastUse }
            guard let idle else {
                throw APIError(
                    .loading,
                    "There is no memory for the model '\(entries[index].specification.name)' while others work",
                    parameter: "model", code: "model_not_loaded", retryAfter: 10)
            }
            unload(idle)
        }
    }

    private func isHeld(_ index: Int) -> Bool {
        if case .unloaded = entries[index].state { false } else { true }
    }

    private func isIdle(_ index: Int) -> Bool {
        if case .loaded(_, let uses) = entries[index].state { uses.isIdle } else { false }
    }

    private func unload(_ index: Int) {
        let name = entries[index].specification.name
        metrics.setEngine(name, nil)
        entries[index].state = .unloaded
        logger.info("unloaded a model", metadata: ["model": .string(name)])
    }

    /// Drops all models, for the end of the process.
    public func unloadAll() {
        for index in entries.indices where isIdle(index) { unload(index) }
    }

    static func unknown(_ name: String) -> APIError {
        APIError(
            .notFound, "The model '\(name.prefix(200))' does not exist or you do not have access to it",
            parameter: "model", code: "model_not_found")
    }

    private static func failed(_ name: String, _ error: any Error) -> APIError {
        // Files and memory are the operator's to mend, and the model may be there later.
        let isAway = error is FormatError || error is MemoryLimitError
        return APIError(
            isAway ? .unavailable : .server, "The model '\(name)' could not be loaded", parameter: "model",
            code: "model_load_failed", retryAfter: isAway ? 30 : nil)
    }
}

/// How many leases of a model are held.
final class UseCount: Sendable {
    private let count = Mutex(0)

    /// A token that counts until it is dropped.
    func take() -> Token {
        count.withLock { $0 += 1 }
        return Token(self)
    }

    var isIdle: Bool { count.withLock { $0 == 0 } }

    final class Token: Sendable {
        private let owner: UseCount

        fileprivate init(_ owner: UseCount) { self.owner = owner }

        deinit { owner.count.withLock { $0 -= 1 } }
    }
}

/// A model that stays in memory as long as this is held.
public struct ModelLease: Sendable {
    public let name: String
    public let created: Date
    public let model: any ServedModel
    let use: UseCount.Token
}
