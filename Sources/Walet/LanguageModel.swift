import WaletEngine
import WaletFormats
import WaletJSON
import WaletModels
import WaletText

/// A model that is ready to answer.
///
/// ```swift
/// let model = try await LanguageModel.load("smollm2")
/// let session = model.session(system: "You are brief.")
/// for try await event in session.respond(to: "What is the capital of France?") {
///     if case .text(let piece) = event { print(piece, terminator: "") }
/// }
/// ```
public final class LanguageModel: Sendable {
    /// What the user called it.
    public let name: String
    public let configuration: Configuration
    /// Nil where the checkpoint has no tokenizer.
    public let vocabulary: Vocabulary?
    /// What the checkpoint's `generation_config.json` recommends; greedy where it says nothing.
    public let defaultOptions: GenerationOptions
    let engine: Engine
    /// How the model marks its thinking and its tool calls.
    let style: OutputStyle
    let endTokens: Set<Int>
    /// Ids below the vocabulary size that have no token: nothing may draw them.
    let forbidden: [Int]

    /// Opens a model. The weights are mapped, not read: this takes milliseconds, and memory as they are used.
    /// - Parameters:
    ///   - name: a folder of safetensors, a `.gguf` file, or the name of a stored model.
    ///   - threads: workers; nil for the physical cores.
    ///   - contextLength: tokens of prompt and answer together, at most; nil for the model's own.
    /// - Throws: ``LanguageModelError``, ``FormatError``, or what is wrong with tokenizer or template.
    public static func load(_ name: String, threads: Int? = nil, contextLength: Int? = nil) async throws -> LanguageModel {
        let files = try ModelFolder(try locate(name))
        return try LanguageModel(name: name, files: files, threads: threads, contextLength: contextLength)
    }

    init(name: String, files: ModelFolder, threads: Int?, contextLength: Int?) throws {
        self.name = name
        configuration = files.configuration
        guard let weights = try files.weights() else { throw LanguageModelError.noWeights(name) }
        let transformer = try Transformer(files.configuration, from: weights)
        engine = Engine(transformer, threads: threads, contextLength: contextLength)
        let vocabulary = try Vocabulary(name: name, files: files)
        self.vocabulary = vocabulary
    }

    /// Tokens of a text, control tokens recognized.
    public func tokenize(_ text: String) throws -> [Int] { try requireVocabulary().tokenize(text) }

    /// The text of one token, or nil where there is none.
    public func piece(_ id: Int) -> String? { vocabulary?.piece(id) }

    func requireVocabulary() throws(LanguageModelError) -> Vocabulary {
        guard let vocabulary else { throw .noTokenizer(name) }
        return vocabulary
    }

    /// The distribution after each token of a text.
    /// - Parameters:
    ///   - tokens: at most the context.
    ///   - top: how many of the likeliest next tokens to give after each token.
    public func score(_ tokens: [Int], top: Int = 0) async throws -> TokenScores {
        try await engine.score(tokens, top: top)
    }

    /// An empty conversation.
    /// - Parameters:
    ///   - system: the system message.
    ///   - tools: what the model may call, in the OpenAI API's form.
    public func session(system: String? = nil, tools: [JSONValue] = []) -> Session {
        Session(self, system: system, tools: tools)
    }

    /// Goes on from a text as it is, without chat template; control tokens in it are recognized.
    public func complete(_ text: String, options: GenerationOptions? = nil) -> AsyncThrowingStream<ResponseEvent, any Error> {
        let options = options ?? defaultOptions
        return answer(options, style: .plain, startsThinking: false, sequence: engine.makeSequence()) {
            let vocabulary = try self.requireVocabulary()
            return vocabulary.tokenize(text)
        }
    }
}
