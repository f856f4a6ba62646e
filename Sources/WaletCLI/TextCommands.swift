import ArgumentParser
import Foundation
import Walet

/// `walet score`: what the model thinks of a text, token by token.
struct ScoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "score", abstract: "Log probabilities of a text's tokens, and its perplexity.")

    @OptionGroup var arguments: ModelArguments
    @Option(help: "The text.") var text: String?
    @Option(help: "The tokens, as ids with commas between.") var tokens: String?
    @Option(help: "A file with the text, UTF-8; - for standard input.") var file: String?
    @Option(help: "How many of the likeliest next tokens to give after each token.") var top: Int = 0
    @Flag(help: "Instead: what fast precision changes on the text, against exact.") var compare = false
    @Option(help: "With --compare: tokens that are scored together; each window begins anew.") var window = 512
    @Option(
        help: ArgumentHelp(
            "Write which experts each token chose to this file: a line of JSON a token, its experts by layer.",
            valueName: "file"))
    var routing: String?
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
        if compare, routing != nil { throw ValidationError("give either --compare or --routing") }
        if compare, top > 0 { throw ValidationError("give either --compare or --top") }
        if window < 2 { throw ValidationError("--window: expected 2 or more, found \(window)") }
        guard [text, tokens, file].compactMap({ $0 }).count == 1 else {
            throw ValidationError("give exactly one of --text, --tokens and --file")
        }
        if top < 0 { throw ValidationError("--top: expected 0 or more, found \(top)") }
        if let tokens { _ = try TokenList.parse(tokens, option: "--tokens") }
    }

    func run() async throws {
        let model = try await arguments.load()
        let ids: [Int]
        if let tokens {
            ids = try TokenList.parse(tokens, option: "--tokens")
        } else {
            ids = try model.tokenize(text ?? InputFile.text(file!))
        }
        if compare { return try await comparePrecisions(model, ids) }
        let trace = routing.map { _ in RoutingTrace() }
        let scores = try await model.score(ids, top: top, routing: trace)
        if let routing, let trace { try Self.write(trace, of: ids, to: routing) }
        let known = scores.logprobs.compactMap { $0 }
        let mean = known.isEmpty ? 0 : -known.reduce(0.0) { $0 + Double($1) } / Double(known.count)
        let perplexity: JSONValue = known.isEmpty ? .null : .double(exp(mean))
        if json {
            let object: JSONValue = [
                "tokens": .array(ids.map { .int($0) }),
                "logprobs": .array(scores.logprobs.map { $0.map { .double(Double($0)) } ?? .null }),
                "top": .array(
                    scores.top.map { candidates in
                        .array(candidates.map { ["id": .int($0.id), "logprob": .double(Double($0.logprob))] })
                    }),
                "perplexity": perplexity,
            ]
            Terminal.output(object.text() + "\n")
        } else {
            var rows = [["position", "token", "logprob", "text"]]
            for (position, id) in ids.enumerated() {
                let logprob = scores.logprobs[position].map { String(format: "%.4f", $0) } ?? "-"
                rows.append(["\(position)", "\(id)", logprob, model.piece(id).map { "\($0.debugDescription)" } ?? ""])
                if position < scores.top.count {
                    for candidate in scores.top[position] {
                        let text = model.piece(candidate.id).map { $0.debugDescription } ?? ""
                        rows.append(["", "  \(candidate.id)", String(format: "%.4f", candidate.logprob), text])
                    }
                }
            }
            Terminal.output(Terminal.table(rows) + "\n")
            if !known.isEmpty { Terminal.output(String(format: "perplexity %.4f\n", exp(mean))) }
        }
    }

    private static func write(_ trace: RoutingTrace, of ids: [Int], to path: String) throws {
        guard trace.count == ids.count else { throw ValidationError("--routing: this model has no routed experts") }
        let lines = ids.indices.map { token in
            let experts = trace.experts(ofToken: token).map { JSONValue.array($0.map { .int($0) }) }
            let line: JSONValue = ["token": .int(ids[token]), "experts": .array(experts)]
            return line.text()
        }
        try Files.write(lines.joined(separator: "\n") + "\n", to: path)
    }

    private func comparePrecisions(_ model: LanguageModel, _ ids: [Int]) async throws {
        let result = try await model.comparePrecisions(ids, window: window) { part in
            Terminal.log("\(part.positions) of about \(ids.count) positions")
        }
        if json {
            let object: JSONValue = [
                "positions": .int(result.positions), "exact_perplexity": .double(result.exactPerplexity),
                "fast_perplexity": .double(result.fastPerplexity), "mean_kl_divergence": .double(result.divergence),
                "top1_agreement": .double(result.topAgreement),
            ]
            Terminal.output(object.text() + "\n")
        } else {
            Terminal.output(
                Terminal.table([
                    ["positions", "\(result.positions)"],
                    ["perplexity, exact", String(format: "%.4f", result.exactPerplexity)],
                    [
                        "perplexity, fast",
                        String(
                            format: "%.4f (%+.3f%%)", result.fastPerplexity,
                            100 * (result.fastPerplexity / result.exactPerplexity - 1)),
                    ],
                    ["mean KL divergence", String(format: "%.5f nats", result.divergence)],
                    ["same likeliest token", String(format: "%.2f%%", 100 * result.topAgreement)],
                ]) + "\n")
        }
    }
}

/// `walet tokenize`: text to tokens and back.
struct TokenizeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "A text's tokens, or with --decode the tokens' text.")

    @Argument(help: "A folder of safetensors, a .gguf file, or a name that `walet list` shows.") var model: String
    @Argument(help: "The text; - reads it from standard input.") var text: String?
    @Option(help: "Ids with commas between, to turn into text.") var decode: String?
    @Flag(help: "Neither add a beginning token nor recognize control tokens; with --decode, leave them out.")
    var noSpecial = false
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
        guard (text == nil) != (decode == nil) else { throw ValidationError("give either TEXT or --decode") }
        if let decode { _ = try TokenList.parse(decode, option: "--decode") }
    }

    func run() async throws {
        try await Puller.pullIfNamed(model)
        let vocabulary = try await LanguageModel.Vocabulary.load(model)
        let ids: [Int]
        if let decode {
            ids = try TokenList.parse(decode, option: "--decode")
            if let unknown = ids.first(where: { vocabulary.piece($0) == nil }) {
                throw EngineError.tokenOutOfRange(token: unknown, vocabulary: vocabulary.count)
            }
        } else {
            let input = text == "-" ? try InputFile.text("-") : text!
            ids = vocabulary.tokenize(input, special: !noSpecial)
        }
        let pieces = ids.map { vocabulary.piece($0) ?? "" }
        if json {
            var object: JSONValue = [
                "tokens": .array(ids.map { .int($0) }), "pieces": .array(pieces.map { .string($0) }),
            ]
            if decode != nil, case .object(var members) = object {
                members["text"] = .string(vocabulary.text(ids, skipSpecial: noSpecial))
                object = .object(members)
            }
            Terminal.output(object.text() + "\n")
        } else if decode != nil {
            Terminal.output(vocabulary.text(ids, skipSpecial: noSpecial) + "\n")
        } else {
            Terminal.output(Terminal.table(zip(ids, pieces).map { ["\($0)", $1.debugDescription] }) + "\n")
        }
    }
}

/// `walet template`: the prompt that a conversation becomes.
struct TemplateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "template", abstract: "Renders messages with the model's chat template.")

    @Argument(help: "A folder of safetensors, a .gguf file, or a name that `walet list` shows.") var model: String
    @Option(help: "A JSON file with a list of messages, or an object with 'messages' and 'tools'.") var messages: String
    @Option(help: "A JSON file with a list of tools.") var tools: String?
    @Flag(help: "Do not begin the assistant's turn.") var noGenerationPrompt = false

    func run() async throws {
        try await Puller.pullIfNamed(model)
        let vocabulary = try await LanguageModel.Vocabulary.load(model)
        var list = try InputFile.json(messages)
        var toolList = try tools.map { try InputFile.json($0) }
        if case .object(let object) = list {
            toolList = toolList ?? object["tools"]
            guard let inner = object["messages"] else {
                throw FormatError(file: messages, field: "messages", expected: "a list", found: "nothing")
            }
            list = inner
        }
        guard let turns = list.arrayValue else {
            throw FormatError(file: messages, expected: "a list of messages", found: list.kind)
        }
        if let toolList, toolList.arrayValue == nil, !toolList.isNull {
            throw FormatError(
                file: tools ?? messages, field: "tools", expected: "a list of tools", found: toolList.kind)
        }
        let prompt = try vocabulary.render(
            turns, tools: toolList?.arrayValue, addGenerationPrompt: !noGenerationPrompt)
        // As it is, with no newline of our own: the prompt's last byte matters.
        Terminal.output(prompt)
    }
}

/// Ids with commas or spaces between.
enum TokenList {
    static func parse(_ text: String, option: String) throws -> [Int] {
        try text.split(whereSeparator: { $0 == "," || $0.isWhitespace }).map { word in
            guard let id = Int(word), id >= 0 else {
                throw ValidationError("\(option): expected token ids with commas between, found '\(word)'")
            }
            return id
        }
    }
}

/// Files that the user names on the command line.
enum InputFile {
    static let maximumBytes = 256 << 20

    static func bytes(_ path: String) throws -> Data {
        let handle: FileHandle
        if path == "-" {
            handle = .standardInput
        } else {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
                throw FormatError(file: path, expected: "a file", found: "nothing")
            }
            guard !isFolder.boolValue, let opened = FileHandle(forReadingAtPath: path) else {
                throw FormatError(
                    file: path, expected: "a readable file", found: isFolder.boolValue ? "a folder" : "no access")
            }
            handle = opened
        }
        let data = try handle.read(upToCount: maximumBytes + 1) ?? Data()
        guard data.count <= maximumBytes else {
            throw FormatError(file: path, expected: "at most \(maximumBytes) bytes", found: "more")
        }
        return data
    }

    static func text(_ path: String) throws -> String {
        guard let text = String(validating: try bytes(path), as: UTF8.self) else {
            throw FormatError(file: path, expected: "UTF-8 text", found: "other bytes")
        }
        return text
    }

    static func json(_ path: String) throws -> JSONValue {
        do {
            return try JSONValue(parsing: bytes(path))
        } catch let error as FormatError {
            throw error
        } catch {
            throw FormatError(file: path, expected: "JSON", found: "\(error)")
        }
    }
}
