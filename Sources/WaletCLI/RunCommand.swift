import ArgumentParser
import Foundation
import Walet

/// `walet run`: one answer, or a chat.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Answers a prompt; without one, holds a conversation.",
        discussion: """
            Without a model, walet-nano answers, which comes with Walet: `walet run "What is 12345 + 54321?"`. A single argument with
            a space in it that names no model is the prompt.
            """)

    @OptionGroup var arguments: ModelArguments
    @Argument(help: "What to ask. Without it: an interactive chat.") var prompt: String?
    @Option(help: "Tokens of the answer, at most.") var maxTokens: Int?
    @Option(help: "0 takes the likeliest token; default: what the checkpoint recommends, else 0.") var temperature:
        Double?
    @Option(help: "Only the likeliest tokens whose probabilities reach this sum.") var topP: Double?
    @Option(help: "Only the k likeliest tokens; 0 for all.") var topK: Int?
    @Option(help: "Only tokens at least this likely, as a fraction of the likeliest.") var minP: Double?
    @Option(help: "Divides the logits of tokens seen before; 1 for none.") var repetitionPenalty: Double?
    @Option(help: "Taken from the logits of tokens the answer has.") var presencePenalty: Double?
    @Option(help: "Taken from the logits of tokens, for each time the answer has them.") var frequencyPenalty: Double?
    @Option(help: "The same seed gives the same answer.") var seed: UInt64?
    @Option(help: "A text that ends the answer; may be given several times.") var stop: [String] = []
    @Option(help: "Guess tokens ahead: 'lookup' from the text, 'mtp' with the checkpoint's layer. Same answer, sooner.")
    var speculate: SpeculationChoice = .off
    @Option(help: "Guesses at a time, 1 to 15; default: 15 of lookup, 1 of mtp.") var draftTokens: Int?
    @Option(help: "The system message.") var system: String?
    @Flag(help: "Go on from the prompt as it is, without the chat template.") var raw = false
    @Flag(inversion: .prefixedNo, help: "Whether a model that can do both thinks first.") var thinking: Bool?
    @Flag(help: "Events as JSON, one a line.") var json = false

    func validate() throws {
        if let maxTokens, maxTokens < 1 {
            throw ValidationError("--max-tokens: expected 1 or more, found \(maxTokens)")
        }
        if let draftTokens {
            if speculate == .off { throw ValidationError("--draft-tokens needs --speculate lookup or mtp") }
            if !Speculation.draftTokens.contains(draftTokens) {
                throw ValidationError("--draft-tokens: expected 1 to 15, found \(draftTokens)")
            }
        }
        if raw, question == nil { throw ValidationError("--raw needs a prompt") }
        if raw, system != nil { throw ValidationError("--raw and --system exclude each other") }
    }

    /// Whether the only argument is what to ask, and not whom.
    private var asksEmbedded: Bool {
        prompt == nil && arguments.model.contains(" ") && !FileManager.default.fileExists(atPath: arguments.model)
    }

    private var question: String? { asksEmbedded ? arguments.model : prompt }

    func run() async throws {
        var arguments = arguments
        let prompt = question
        if asksEmbedded { arguments.model = EmbeddedModel.name }
        let model = try await arguments.load()
        var options = model.defaultOptions
        options.maximumTokens = maxTokens
        options.stop = stop
        options.thinking = thinking
        options.speculation = speculate.speculation(draftTokens)
        try model.prepare(options.speculation)
        if let temperature { options.sampling.temperature = temperature }
        if let topP { options.sampling.topP = topP }
        if let topK { options.sampling.topK = topK }
        if let minP { options.sampling.minP = minP }
        if let repetitionPenalty { options.sampling.repetitionPenalty = repetitionPenalty }
        if let presencePenalty { options.sampling.presencePenalty = presencePenalty }
        if let frequencyPenalty { options.sampling.frequencyPenalty = frequencyPenalty }
        options.sampling.seed = seed ?? options.sampling.seed
        do {
            try options.sampling.validate()
        } catch {
            throw ValidationError(error.description)
        }

        if let prompt {
            if raw {
                try await show(model.complete(prompt, options: options))
            } else {
                try await show(model.session(system: system).respond(to: prompt, options: options))
            }
            showExperts(model)
        } else {
            try await chat(model.session(system: system), options)
            showExperts(model)
        }
    }

    /// Prints an answer as it is made, and what it took.
    private func show(_ events: AsyncThrowingStream<ResponseEvent, any Error>) async throws {
        var printer = AnswerPrinter(json: json)
        for try await event in events { printer.print(event) }
    }

    /// One line about the experts that were read, where any are.
    private func showExperts(_ model: LanguageModel) {
        if !json, let experts = model.statistics.experts { Terminal.log(ExpertReport.summary(experts)) }
    }

    private func chat(_ session: Session, _ options: GenerationOptions) async throws {
        let interactive = Terminal.inputIsTerminal
        if interactive {
            Terminal.log(
                "Chat with \(session.model.name). Ctrl-C stops an answer, Ctrl-D or /bye leaves, /clear forgets.")
        }
        // Between answers Ctrl-C must not end the chat either.
        signal(SIGINT, SIG_IGN)
        while true {
            if interactive { FileHandle.standardError.write(Data(">>> ".utf8)) }
            guard let line = readLine() else { break }
            let text = line.trimmingCharacters(in: .whitespaces)
            if text.isEmpty { continue }
            if text == "/bye" { break }
            if text == "/clear" {
                session.clear()
                continue
            }
            let json = json
            do {
                try await Interrupt.cancelling {
                    var printer = AnswerPrinter(json: json)
                    for try await event in session.respond(to: text, options: options) { printer.print(event) }
                    if Task.isCancelled { Terminal.log("\n(stopped)") }
                }
            } catch let error as EngineError {
                Terminal.log("walet: \(error)")
            }
            signal(SIGINT, SIG_IGN)
        }
        if interactive { Terminal.log("") }
    }
}

/// `--speculate`.
enum SpeculationChoice: String, ExpressibleByArgument, CaseIterable {
    case off, lookup, mtp

    func speculation(_ draftTokens: Int?) -> Speculation {
        switch self {
        case .off: .off
        case .lookup: draftTokens.map { .lookup(draftTokens: $0) } ?? .lookup()
        case .mtp: draftTokens.map { .mtp(draftTokens: $0) } ?? .mtp()
        }
    }
}

/// Prints the events of one answer.
struct AnswerPrinter {
    let json: Bool
    private var thought = false
    private var wrote = false

    init(json: Bool) { self.json = json }

    mutating func print(_ event: ResponseEvent) {
        if json {
            Terminal.output(event.json.text() + "\n")
            return
        }
        switch event {
        case .thinking(let text):
            thought = true
            Terminal.thinking(text)
        case .text(let text):
            endThought()
            wrote = true
            Terminal.output(text)
        case .toolCall(let call):
            endThought()
            Terminal.output("\(wrote ? "\n" : "")\(call.name)(\(call.arguments))\n")
            wrote = false
        case .finish(let reason, let usage):
            endThought()
            if wrote { Terminal.output("\n") }
            Terminal.log(Self.summary(reason, usage))
        }
    }

    private mutating func endThought() {
        if thought { Terminal.thinking("\n") }
        thought = false
    }

    static func summary(_ reason: FinishReason, _ usage: Usage) -> String {
        let cached = usage.cachedTokens > 0 ? " (\(usage.cachedTokens) cached)" : ""
        let guessed =
            usage.draftedTokens > 0 ? " (\(usage.acceptedTokens) of \(usage.draftedTokens) guesses came true)" : ""
        return String(
            format: "%d prompt tokens%@, %d tokens%@, %.1f tokens/s, first token after %.2f s%@", usage.promptTokens,
            cached, usage.answerTokens, guessed, usage.decodeRate, usage.prefillSeconds,
            reason == .stop ? "" : " (\(reason.rawValue))")
    }
}

extension ResponseEvent {
    /// One line of `walet run --json`.
    var json: JSONValue {
        switch self {
        case .thinking(let text): ["type": "thinking", "text": .string(text)]
        case .text(let text): ["type": "text", "text": .string(text)]
        case .toolCall(let call):
            [
                "type": "tool_call", "id": .string(call.id), "name": .string(call.name),
                "arguments": .string(call.arguments),
            ]
        case .finish(let reason, let usage):
            [
                "type": "finish", "reason": .string(reason.rawValue),
                "usage": [
                    "prompt_tokens": .int(usage.promptTokens), "cached_tokens": .int(usage.cachedTokens),
                    "completion_tokens": .int(usage.answerTokens),
                    "drafted_tokens": .int(usage.draftedTokens), "accepted_tokens": .int(usage.acceptedTokens),
                    "prefill_seconds": .double(usage.prefillSeconds), "decode_seconds": .double(usage.decodeSeconds),
                    "tokens_per_second": .double(usage.decodeRate),
                ],
            ]
        }
    }
}
