import WaletText

/// Tokens of an answer to its parts: characters are whole, stop strings cut, thinking and tool calls told apart.
struct AnswerDecoder: Sendable {
    private let tokenizer: Tokenizer
    /// Control tokens that are part of the text, since the parser looks for them.
    private let marks: Set<Int>
    private var decoder: IncrementalDecoder
    private var filter: StopFilter
    private var parser: OutputParser

    init(_ tokenizer: Tokenizer, parser: OutputParser, style: OutputStyle, stops: [String]) {
        self.tokenizer = tokenizer
        self.parser = parser
        marks = Set(style.marks.compactMap { tokenizer.id(ofToken: $0) })
        decoder = IncrementalDecoder(tokenizer, skipSpecial: false)
        filter = StopFilter(stops)
    }

    /// A stop string was found.
    var isStopped: Bool { filter.isStopped }

    /// The one that was found.
    var stopSequence: String? { filter.found }

    /// The token that came last is part of the thinking, or of the mark that ends it.
    private(set) var isThinking = false

    mutating func append(_ token: Int) -> [ParsedPiece] {
        let wasThinking = parser.isThinking
        defer { isThinking = wasThinking || parser.isThinking }
        if tokenizer.isSpecial(token), !marks.contains(token) { return [] }
        return parse(filter.append(decoder.append(token)))
    }

    mutating func finish() -> [ParsedPiece] {
        let rest = filter.append(decoder.finish()) + filter.finish()
        return parse(rest) + parser.finish()
    }

    private mutating func parse(_ text: String) -> [ParsedPiece] { text.isEmpty ? [] : parser.append(text) }
}

extension OutputStyle {
    /// Tokens that mark thinking and tool calls, whatever the tokenizer thinks of them.
    var marks: [String] {
        var marks = hasThinking ? ["<think>", "</think>"] : []
        switch toolCalls {
        case .none: break
        case .kimi:
            marks += [
                "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_section_begin|>",
                "<|tool_call_section_end|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>",
            ]
        case .deepSeek:
            marks += [
                "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>",
                "<｜tool▁sep｜>",
            ]
        case .hermes: marks += ["<tool_call>", "</tool_call>"]
        }
        return marks
    }
}
