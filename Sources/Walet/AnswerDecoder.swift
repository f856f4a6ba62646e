import WaletText

/// Tokens of an answer to events: characters are whole, stop strings cut, thinking and tool calls told apart.
struct AnswerDecoder: Sendable {
    private let tokenizer: Tokenizer
    /// Control tokens that are part of the text, since the parser looks for them.
    private let marks: Set<Int>
    private var decoder: IncrementalDecoder
    private var filter: StopFilter
    private var parser: OutputParser
    private var call: ToolCall?

    init(_ tokenizer: Tokenizer, parser: OutputParser, style: OutputStyle, stops: [String]) {
        self.tokenizer = tokenizer
        self.parser = parser
        marks = Set(style.marks.compactMap { tokenizer.id(ofToken: $0) })
        decoder = IncrementalDecoder(tokenizer, skipSpecial: false)
        filter = StopFilter(stops)
    }

    /// A stop string was found.
    var isStopped: Bool { filter.isStopped }

    mutating func append(_ token: Int) -> [ResponseEvent] {
        if tokenizer.isSpecial(token), !marks.contains(token) { return [] }
        return parse(filter.append(decoder.append(token)))
    }

    mutating func finish() -> [ResponseEvent] {
        let rest = filter.append(decoder.finish()) + filter.finish()
        var events = parse(rest)
        for piece in parser.finish() { add(piece, to: &events) }
        return events
    }

    private mutating func parse(_ text: String) -> [ResponseEvent] {
        if text.isEmpty { return [] }
        var events: [ResponseEvent] = []
        for piece in parser.append(text) { add(piece, to: &events) }
        return events
    }

    private mutating func add(_ piece: ParsedPiece, to events: inout [ResponseEvent]) {
        switch piece {
        case .thinking(let text): events.append(.thinking(text))
        case .text(let text): events.append(.text(text))
        case .toolCallStarted(_, let id, let name): call = ToolCall(id: id, name: name, arguments: "")
        case .toolCallArguments(_, let text): call?.arguments += text
        case .toolCallFinished:
            if let call { events.append(.toolCall(call)) }
            call = nil
        // What the model wrote is shown rather than lost.
        case .malformedToolCall(let text): events.append(.text(text))
        }
    }
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
