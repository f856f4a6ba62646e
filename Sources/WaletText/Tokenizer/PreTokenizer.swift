// The "pre_tokenizer" of a tokenizer.json: cuts text into the pieces within which BPE may merge.

import WaletJSON

/// The steps that cut a text into pieces, each applied to every piece of the one before.
struct PreTokenizer: Sendable {
    enum Behavior: String, Sendable {
        case isolated = "Isolated"
        case removed = "Removed"
        case contiguous = "Contiguous"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
    }

    enum PrependScheme: String, Sendable { case always, first, never }

    enum Step: Sendable {
        case split(SplitRegex, Behavior, invert: Bool)
        /// ByteLevel's `add_prefix_space`.
        case prefixSpace
        /// Replaces spaces, puts one before the text by its scheme, and may split before each.
        case metaspace(replacement: [UInt8], PrependScheme, splitter: SplitRegex?)
    }

    private let steps: [Step]
    private let shadow: UnicodeShadow?
    /// Pieces are bytes, which stand for themselves in the vocabulary through GPT-2's alphabet.
    let isByteLevel: Bool

    init(steps: [Step], isByteLevel: Bool) {
        self.steps = steps
        self.isByteLevel = isByteLevel
        var ranges: [ClosedRange<UInt32>] = []
        var hasRegex = false
        for case .split(let regex, _, _) in steps {
            ranges += regex.explicitRanges
            hasRegex = true
        }
        shadow = hasRegex ? UnicodeShadow(explicitRanges: ranges) : nil
    }

    /// GPT-2's pattern, which ByteLevel's `use_regex` means too.
    static let gpt2Pattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// What Rust's `char::is_numeric` takes for a digit: `\p{N}`, with Unicode 17's two new blocks of digits.
    static let digitPattern = #"[\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}]"#

    static let supported = [
        "Sequence", "ByteLevel", "Split", "Digits", "Whitespace", "WhitespaceSplit", "Metaspace",
        "CharDelimiterSplit",
    ]

    /// Reads a `pre_tokenizer` field.
    init(_ json: JSONValue?) throws(TokenizerError) {
        var steps: [Step] = []
        var isByteLevel = false
        try Self.read(json, "pre_tokenizer", &steps, &isByteLevel, depth: 0)
        self.init(steps: steps, isByteLevel: isByteLevel)
    }

    private static func read(
        _ json: JSONValue?, _ path: String, _ steps: inout [Step], _ isByteLevel: inout Bool, depth: Int
    ) throws(TokenizerError) {
        guard let json, !json.isNull else { return }
        guard depth < 32, steps.count < 64 else {
            throw .field(path: path, expected: "at most 64 steps and 32 nested sequences", found: "more")
        }
        let fields = try JSONFields(json, path)
        let type = try fields.string("type")
        if type == "Sequence" {
            for (index, item) in try fields.array("pretokenizers").enumerated() {
                try read(item, "\(path).pretokenizers[\(index)]", &steps, &isByteLevel, depth: depth + 1)
            }
            return
        }
        guard !isByteLevel else {
            throw .unsupported(
                part: "pre_tokenizer", name: "\(type) after ByteLevel", supported: ["ByteLevel as the last step"])
        }
        switch type {
        case "ByteLevel":
            if try fields.bool("add_prefix_space", default: true) { steps.append(.prefixSpace) }
            if try fields.bool("use_regex", default: true) {
                steps.append(.split(try SplitRegex(gpt2Pattern, .oniguruma), .isolated, invert: false))
            }
            isByteLevel = true
        case "Split":
            let name = try fields.string("behavior")
            guard let behavior = Behavior(rawValue: name) else {
                throw .unsupported(
                    part: "Split behavior", name: name,
                    supported: ["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"])
            }
            steps.append(.split(try fields.pattern("pattern"), behavior, invert: try fields.bool("invert")))
        case "Digits":
            let individual = try fields.bool("individual_digits", default: false)
            steps.append(
                .split(try SplitRegex(digitPattern, .oniguruma), individual ? .isolated : .contiguous, invert: false))
        case "Whitespace":
            steps.append(.split(try SplitRegex(#"\w+|[^\w\s]+"#, .rust), .removed, invert: true))
        case "WhitespaceSplit":
            steps.append(.split(try SplitRegex(#"\s"#, .rust), .removed, invert: false))
        case "CharDelimiterSplit":
            let delimiter = String(try fields.scalar("delimiter"))
            steps.append(.split(try SplitRegex(JSONFields.escaped(delimiter), .oniguruma), .removed, invert: false))
        case "Metaspace":
            let replacement = String(try fields.scalar("replacement"))
            let name = try fields.optionalString("prepend_scheme") ?? "always"
            guard var scheme = PrependScheme(rawValue: name) else {
                throw .unsupported(part: "prepend_scheme", name: name, supported: ["always", "first", "never"])
            }
            if try fields.bool("add_prefix_space", default: true) == false { scheme = .never }
            let splitter =
                try fields.bool("split", default: true)
                ? try SplitRegex(JSONFields.escaped(replacement), .oniguruma) : nil
            steps.append(.metaspace(replacement: Array(replacement.utf8), scheme, splitter: splitter))
        default: throw .unsupported(part: "pre_tokenizer", name: type, supported: supported)
        }
    }

    /// Cuts a text and calls a closure with each piece, none of them empty.
    /// - Parameter isStart: whether the text is the start of what is encoded.
    func pieces(
        _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, _ session: RegexSession,
        _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
        guard !text.isEmpty else { return }
        withShadow(text) { shadow in run(0, text, shadow, isStart, session, body) }
    }

    private func withShadow(
        _ text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
        if let shadow = shadow?(text) { shadow.withUnsafeBufferPointer(body) } else { body(text) }
    }

    private func run(
        _ step: Int, _ text: UnsafeBufferPointer<UInt8>, _ shadow: UnsafeBufferPointer<UInt8>, _ isStart: Bool,
        _ session: RegexSession, _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
        guard step < steps.count else { return body(text) }
        func descend(_ start: Int, _ end: Int) {
            guard start < end else { return }
            run(
                step + 1, UnsafeBufferPointer(rebasing: text[start..<end]),
                UnsafeBufferPointer(rebasing: shadow[start..<end]), isStart && start == 0, session, body)
        }
        switch steps[step] {
        case .split(let regex, .isolated, _):
            var done = 0
            regex.matches(shadow, session) { match in
                descend(done, match.lowerBound)
                descend(match.lowerBound, match.upperBound)
                done = match.upperBound
            }
            descend(done, text.count)
        case .split(let regex, let behavior, let invert):
            for range in Self.ranges(regex, shadow, behavior, invert, session) {
                descend(range.lowerBound, range.upperBound)
            }
        case .prefixSpace:
            if text[0] == 0x20 {
                run(step + 1, text, shadow, isStart, session, body)
            } else {
                var prefixed: [UInt8] = [0x20]
                prefixed.append(contentsOf: text)
                prefixed.withUnsafeBufferPointer { prefixed in
                    withShadow(prefixed) { run(step + 1, prefixed, $0, isStart, session, body) }
                }
            }
        case .metaspace(let replacement, let scheme, let splitter):
            var replaced: [UInt8] = []
            for byte in text {
                if byte == 0x20 { replaced.append(contentsOf: replacement) } else { replaced.append(byte) }
            }
            if scheme == .always || scheme == .first && isStart, !replaced.starts(with: replacement) {
                replaced.insert(contentsOf: replacement, at: 0)
            }
            replaced.withUnsafeBufferPointer { replaced in
                withShadow(replaced) { shadow in
                    guard let splitter else { return run(step + 1, replaced, shadow, isStart, session, body) }
                    for range in Self.ranges(splitter, replaced, .mergedWithNext, false, session) where !range.isEmpty {
                        run(
                            step + 1, UnsafeBufferPointer(rebasing: replaced[range]),
                            UnsafeBufferPointer(rebasing: shadow[range]), isStart && range.lowerBound == 0, session,
                            body)
                    }
                }
            }
        }
    }

    /// The pieces of a text by a behavior other than the plain one.
    private static func ranges(
        _ regex: SplitRegex, _ text: UnsafeBufferPointer<UInt8>, _ behavior: Behavior, _ invert: Bool,
        _ session: RegexSession
    ) -> [Range<Int>] {
        var parts: [(range: Range<Int>, isMatch: Bool)] = []
        var done = 0
        regex.matches(text, session) { match in
            if done != match.lowerBound { parts.append((done..<match.lowerBound, invert)) }
            parts.append((match, !invert))
            done = match.upperBound
        }
        if done != text.count { parts.append((done..<text.count, invert)) }
        var ranges: [Range<Int>] = []
        var previous = false
        switch behavior {
        case .isolated: ranges = parts.map(\.range)
        case .removed: ranges = parts.filter { !$0.isMatch }.map(\.range)
        case .contiguous:
            for part in parts {
                if part.isMatch == previous, let last = ranges.popLast() {
                    ranges.append(last.lowerBound..<part.range.upperBound)
                } else {
                    ranges.append(part.range)
                }
                previous = part.isMatch
            }
        case .mergedWithPrevious:
            for part in parts {
                if part.isMatch, !previous, let last = ranges.popLast() {
                    ranges.append(last.lowerBound..<part.range.upperBound)
                } else {
                    ranges.append(part.range)
                }
                previous = part.isMatch
            }
        case .mergedWithNext:
            for part in parts.reversed() {
                if part.isMatch, !previous, let last = ranges.popLast() {
                    ranges.append(part.range.lowerBound..<last.upperBound)
                } else {
                    ranges.append(part.range)
                }
                previous = part.isMatch
            }
            ranges.reverse()
        }
        return ranges
    }
}
