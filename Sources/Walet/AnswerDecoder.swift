import WaletText

/// Tokens of an answer to events: characters are whole, stop strings cut, thinking and tool calls told apart.
struct AnswerDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let markers: Set<String>
    private var decoder: IncrementalDecoder
    private var filter: StopFilter
    private var parser: OutputParser

    init(_ tokenizer: Tokenizer, style: OutputStyle, startsThinking: Bool, stops: [String]) {
        self.tokenizer = tokenizer
        markers = style.markers
        decoder = IncrementalDecoder(tokenizer)
        filter = StopFilter(stops)
        parser = OutputParser(style, startsThinking: startsThinking)
    }

    /// A stop string was found.
    var isStopped: Bool { filter.isStopped }

    mutating func append(_ token: Int) -> [ResponseEvent] {
        // Control tokens are no text, but for those that mark thinking and tool calls.
        if tokenizer.isSpecial(token),
            !(tokenizer.bytes(of: token).map { markers.contains(String(decoding: $0, as: UTF8.self)) } ?? false)
        {
            return []
        }
        return parse(filter.append(decoder.append(token)))
    }

    mutating func finish() -> [ResponseEvent] {
        let rest = filter.append(decoder.finish()) + filter.finish()
        return parse(rest) + parser.finish().map(Self.event)
    }

    private mutating func parse(_ text: String) -> [ResponseEvent] {
        text.isEmpty ? [] : parser.append(text).map(Self.event)
    }
}
