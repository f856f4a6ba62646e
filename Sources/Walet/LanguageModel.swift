import Foundation
import Synchronization
import WaletEngine
import WaletFormats
import WaletGrammar
import WaletHub
import WaletJSON
import WaletModels
import WaletText

/// A model that is ready to answer.
///
/// ```swift
/// let model = try await LanguageModel.load("smollm2")
/// let session = model.session(system: "Answer in one sentence.")
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
    private let pages: PagePopulation
    /// How the model marks its thinking and its tool calls.
    let style: OutputStyle
    /// Tokens that end an answer.
    public let endTokens: Set<Int>
    /// Ids below the vocabulary size that have no token: nothing may draw them.
    let forbidden: [Int]
    /// Forms of answers that were asked for lately.
    let grammars = GrammarCache()
    let trie = Mutex<VocabularyTrie?>(nil)
    /// The temperature that the checkpoint recommends, 0 where it recommends not to sample; nil where it says nothing.
    public let recommendedTemperature: Double?

    /// Opens a model. The weights are mapped, not read: this takes milliseconds, and memory as they are used. With
    /// ``EngineOptions/memoryLimit`` what every token needs is read at once, and experts when they are chosen.
    /// - Parameters:
    ///   - source: a folder of safetensors, a `.gguf` file, or the name of a stored model.
    ///   - name: what messages call it; nil for `source`.
    ///   - threads: workers; nil for the physical cores.
    ///   - contextLength: tokens of prompt and answer together, at most; nil for the model's own.
    ///   - precision: how it computes.
    ///   - engine: how requests share time and memory.
    /// - Throws: ``LanguageModelError``, ``FormatError``, ``EngineError``, ``MemoryLimitError``, or what is wrong with
    ///   tokenizer or template.
    public static func load(
        _ source: String, name: String? = nil, threads: Int? = nil, contextLength: Int? = nil,
        precision: Precision = .fast, engine: EngineOptions = EngineOptions()
    ) async throws -> LanguageModel {
        let path = try locate(source)
        let files = try ModelFolder(path)
        let weights = try files.weights()
        let transformer =
            if let limit = engine.memoryLimit {
                try Transformer(
                    files.configuration, from: weights,
                    ExpertStoreOptions(memoryLimit: limit, mode: engine.expertReads))
            } else {
                try Transformer(files.configuration, from: weights)
            }
        var options = engine
        if options.storeFolder != nil { options.modelIdentity = try identity(of: files, at: path) }
        return try LanguageModel(
            name: name ?? source, files: files, transformer, threads: threads, contextLength: contextLength,
            precision: precision, options: options)
    }

    /// Tells a model's files from others without reading them: names, sizes, and when they were changed.
    package static func identity(of files: ModelFolder, at path: String) throws -> [UInt8] {
        var isFolder: ObjCBool = false
        _ = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        let url = URL(filePath: path)
        let root = isFolder.boolValue ? url : url.deletingLastPathComponent()
        var text = ""
        for file in try files.files().sorted(by: { $0.name < $1.name }) {
            let place = root.appending(path: file.name).resolvingSymlinksInPath().path
            let date = try FileManager.default.attributesOfItem(atPath: place)[.modificationDate] as? Date
            text += "\(file.name)\0\(file.bytes)\0\(date?.timeIntervalSince1970 ?? 0)\n"
        }
        return Array(text.utf8)
    }

    /// A model of made-up weights in the shape of a configuration, for measuring speed.
    /// - Parameter name: a `config.json`, or a folder with one.
    /// - Throws: ``LanguageModelError/tooLarge(name:bytes:memory:)`` where they do not fit this machine's memory.
    public static func withRandomWeights(
        _ name: String, threads: Int? = nil, precision: Precision = .fast
    ) throws -> LanguageModel {
        let files = try ModelFolder(try locate(name))
        let bytes = RandomWeights.byteCount(files.configuration)
        let memory = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        guard bytes < memory / 10 * 9 else {
            throw LanguageModelError.tooLarge(name: name, bytes: bytes, memory: memory)
        }
        let transformer = try Transformer(files.configuration, from: RandomWeights(files.configuration))
        return try LanguageModel(
            name: name, files: files, transformer, threads: threads, contextLength: nil, precision: precision,
            options: EngineOptions())
    }

    private init(
        name: String, files: ModelFolder, _ transformer: Transformer, threads: Int?, contextLength: Int?,
        precision: Precision, options engineOptions: EngineOptions
    ) throws {
        self.name = name
        configuration = files.configuration
        vocabulary = try Vocabulary(name: name, files: files)
        var endTokens = Set(configuration.endTokens)
        if let vocabulary { endTokens.formUnion(vocabulary.endTokens) }
        self.endTokens = endTokens
        style =
            vocabulary.map { vocabulary in
                OutputStyle.detect(template: vocabulary.toolTemplate?.source) {
                    vocabulary.tokenizer.id(ofToken: $0) != nil
                }
            } ?? .plain
        let count = configuration.vocabularySize
        forbidden =
            vocabulary.map { vocabulary in
                (0..<count).filter { vocabulary.tokenizer.bytes(of: $0) == nil && !endTokens.contains($0) }
            } ?? []
        var options = GenerationOptions()
        let recommended = files.generation
        if recommended.samples != false, let temperature = recommended.temperature {
            options.sampling = SamplingParameters(
                temperature: temperature, topK: max(0, recommended.topK ?? 0), topP: recommended.topP ?? 1,
                minP: recommended.minP ?? 0, repetitionPenalty: recommended.repetitionPenalty ?? 1)
        }
        defaultOptions = options
        recommendedTemperature = recommended.samples == false ? 0 : recommended.temperature
        engine = try Engine(
            transformer, threads: threads, contextLength: contextLength, precision: precision, options: engineOptions)
        pages = PagePopulation(of: transformer)
    }

    /// Where a model of this name lies: a path, or else the name of a stored model, or else the one that comes with Walet.
    package static func locate(_ name: String) throws -> String {
        if FileManager.default.fileExists(atPath: name) { return name }
        let store = ModelStore()
        if !name.hasPrefix("/"), !name.hasPrefix("."), let url = try store.resolve(name) { return url.path }
        if name == EmbeddedModel.name, let folder = EmbeddedModel.folder { return folder }
        throw LanguageModelError.notFound(name: name, store: store.root.path)
    }

    /// Workers of the engine.
    public var threads: Int { engine.threads }

    /// The instruction set that the kernels use.
    public static var instructionSet: String { Engine.instructionSet }

    /// Tokens of prompt and answer together, at most.
    public var contextLength: Int { engine.contextLength }

    /// Returns when the weights' pages are mapped, which goes on in the background after loading.
    public func pagesAreMapped() async { await pages.finished() }

    /// Measures prefill and decode on random tokens.
    /// - Parameters:
    ///   - prompt: tokens of each sequence's prompt.
    ///   - generate: decode steps.
    ///   - batch: sequences that are decoded together, 1 to 16.
    public func benchmark(
        prompt: Int, generate: Int, batch: Int = 1, depth: Int = 0, longPrompt: Bool? = nil
    ) async throws -> BenchmarkResult {
        try await engine.benchmark(
            prompt: prompt, generate: generate, batch: batch, depth: depth, longPrompt: longPrompt)
    }

    /// What fast precision changes on a text, against exact.
    /// - Parameters:
    ///   - window: tokens that are scored together; each window begins anew.
    ///   - progress: called after each window.
    public func comparePrecisions(
        _ tokens: [Int], window: Int = 512, progress: (PrecisionComparison) -> Void = { _ in }
    ) async throws -> PrecisionComparison {
        try await PrecisionComparison.measure(
            engine.model, tokens: tokens, window: window, threads: engine.threads, progress: progress)
    }

    /// Makes sure that the model can guess tokens ahead in this way. Answers do it themselves; this tells earlier.
    /// - Throws: ``EngineError/noPredictionLayer(named:)``, or for a number of guesses out of range.
    public func prepare(_ speculation: Speculation) throws(EngineError) { try engine.prepare(speculation) }

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
    ///   - routing: is told which experts the tokens choose.
    public func score(_ tokens: [Int], top: Int = 0, routing: RoutingTrace? = nil) async throws -> TokenScores {
        try await engine.score(tokens, top: top, routing: routing)
    }

    /// An empty conversation.
    /// - Parameters:
    ///   - system: the system message.
    ///   - tools: what the model may call, in the OpenAI API's form.
    public func session(system: String? = nil, tools: [JSONValue] = []) -> Session {
        Session(self, system: system, tools: tools)
    }

    /// Goes on from a text as it is, without chat template; control tokens in it are recognized.
    public func complete(_ text: String, options: GenerationOptions? = nil) -> AsyncThrowingStream<
        ResponseEvent, any Error
    > {
        let options = options ?? defaultOptions
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: ResponseEvent.self)
        let task = Task {
            do {
                var assembler = EventAssembler()
                let request = ModelRequest(.text(text, special: true), options: options)
                for try await event in try self.respond(to: request) {
                    if let event = assembler.add(event) { continuation.yield(event) }
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }
}
