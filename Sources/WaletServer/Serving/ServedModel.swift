import Foundation
import Walet

/// A model as the server needs it: one in this process, or one behind another server.
public protocol ServedModel: Sendable {
    /// Tokens of prompt and answer together, at most.
    var contextLength: Int { get }
    /// Options of a request that says nothing.
    var defaultOptions: GenerationOptions { get }
    /// Tokens that end an answer; empty where they are unknown.
    var endTokens: Set<Int> { get }
    /// Whether ``promptTokens(of:)`` tells the length before the work, so that it can be reserved exactly.
    var countsPrompts: Bool { get }
    /// For the metrics.
    var snapshot: EngineSnapshot { get }

    /// Starts a request. Ending the iteration early, or cancelling its task, cancels the work within one step.
    /// - Throws: before any work, for parameters that cannot be, a prompt that is too long, or a full queue; and where another
    ///   server does not take the request.
    func respond(to request: ModelRequest) async throws -> AsyncThrowingStream<ModelEvent, any Error>

    /// The prompt that a request becomes.
    func promptTokens(of request: ModelRequest) async throws -> [Int]

    /// Tokens of a text without a beginning token; control tokens in it are text.
    func tokenize(_ text: String) async throws -> [Int]

    /// The text of tokens, control tokens included.
    func text(of tokens: [Int]) async throws -> String
}

extension ServedModel {
    public var countsPrompts: Bool { true }
}

/// A model that the server offers, in memory or not.
public struct ModelInfo: Sendable {
    public var name: String
    public var created: Date
    public var isLoaded: Bool
    /// Nil until it was in memory once.
    public var contextLength: Int?
}
