import Foundation
import Walet

/// A model of this process.
public struct LocalModel: ServedModel {
    private let model: LanguageModel
    private let plan: PlannedFigures?
    /// Where templates are rendered, text is cut into tokens and schemas are compiled: up to a second of work for the
    /// largest, which the threads that serve every connection must not be held for.
    private static let preparation = DispatchQueue(label: "walet.preparation", attributes: .concurrent)

    /// - Parameter plan: what its plan expects, for the page of metrics.
    public init(_ model: LanguageModel, plan: PlannedFigures? = nil) {
        self.model = model
        self.plan = plan
    }

    public var contextLength: Int { model.contextLength }
    /// The checkpoint's; where it says nothing about the temperature, 1, as the API's reference has it.
    public var defaultOptions: GenerationOptions {
        var options = model.defaultOptions
        if model.recommendedTemperature == nil { options.sampling.temperature = 1 }
        return options
    }
    public var endTokens: Set<Int> { model.endTokens }

    public var snapshot: EngineSnapshot {
        let statistics = model.statistics
        var tiers = [
            EngineSnapshot.Tier(
                name: "memory", queryTokens: statistics.cacheQueries, hitTokens: statistics.memoryHits,
                bytes: statistics.cachedPages * statistics.pageBytes)
        ]
        if let store = statistics.store {
            // What memory does not have is looked for on disk.
            tiers.append(
                EngineSnapshot.Tier(
                    name: "disk", queryTokens: statistics.cacheQueries - statistics.memoryHits,
                    hitTokens: statistics.diskHits, bytes: store.bytes))
        }
        var snapshot = EngineSnapshot(
            running: statistics.running, waiting: statistics.waiting, preemptions: statistics.preemptions,
            pagesUsed: statistics.pages, pagesTotal: statistics.pageLimit, tiers: tiers,
            experts: statistics.experts)
        (snapshot.decoding, snapshot.prompts, snapshot.plan) = (statistics.decoding, statistics.prompts, plan)
        return snapshot
    }

    public func respond(to request: ModelRequest) async throws -> AsyncThrowingStream<ModelEvent, any Error> {
        try await prepared { try reading { try model.respond(to: request) } }
    }

    public func promptTokens(of request: ModelRequest) async throws -> [Int] {
        try await prepared { try reading { try model.promptTokens(of: request) } }
    }

    public func tokenize(_ text: String) async throws -> [Int] {
        try await prepared { try vocabulary.tokenize(text, special: false) }
    }

    public func text(of tokens: [Int]) async throws -> String {
        let vocabulary = try vocabulary
        if let unknown = tokens.first(where: { vocabulary.piece($0) == nil }) {
            throw EngineError.tokenOutOfRange(token: unknown, vocabulary: vocabulary.count)
        }
        return vocabulary.text(tokens)
    }

    private var vocabulary: LanguageModel.Vocabulary {
        get throws {
            guard let vocabulary = model.vocabulary else { throw LanguageModelError.noTokenizer(model.name) }
            return vocabulary
        }
    }

    private func prepared<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            Self.preparation.async { continuation.resume(with: Result(catching: body)) }
        }
    }

    /// What is wrong with a request before any work is the client's to mend: what is no error of the engine comes from the
    /// chat template, which looks at nothing but the messages.
    private func reading<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as EngineError {
            throw error
        } catch let error as LanguageModelError {
            throw error
        } catch let error as ModelRequestError {
            throw error
        } catch let error as any APIErrorConvertible {
            throw error
        } catch {
            throw APIError.invalid("\(error)".prefixed(500), parameter: "messages", code: "invalid_messages")
        }
    }
}

extension ModelRequestError: APIErrorConvertible {
    public var apiError: APIError {
        switch self {
        case .noThinking: .unsupported("thinking", description)
        case .noTools: .unsupported("tools", description)
        case .output: .invalid(description, parameter: "response_format", code: "invalid_schema")
        }
    }
}
