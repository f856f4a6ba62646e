// Takes a model's output apart while it is written: reasoning, text, tool calls.

/// A streaming parser: a value without input or output of its own, fed with text as it is decoded.
///
/// The pieces, put together, do not depend on how the output is cut. Marks never appear in them: a suffix that may
/// become a mark is held back until it is decided. Work is linear in the output.
///
/// ```swift
/// var parser = OutputParser(style: .detect(template: template.source), insideThinking: prompt.endsInThinking)
/// for await text in answer { show(parser.append(text)) }
/// show(parser.finish())
/// ```
public struct OutputParser: Sendable {
    private enum State: Sendable, Equatable {
        case text, thinking
        /// Between a section's marks and outside its calls.
        case section
        /// Kimi: the id. DeepSeek: the type, or V3.1's name.
        case callHeader
        /// DeepSeek, after the separator: V3's name up to the end of the line, if no arguments begin.
        case callName
        /// DeepSeek V3, after the name: the fence, if there is one.
        case callFence
        case callArguments
        /// Hermes: a JSON document.
        case document
    }

    /// What to do with white space before the next visible text.
    private enum Lead: Sendable { case keep, hold, drop }

    /// What the pending bytes are.
    private enum Kind: Sendable { case thinking, text, arguments }

    /// What comes next is reasoning.
    public var isThinking: Bool { state == .thinking }

    private let style: OutputStyle
    private let tools: [ToolSignature]
    private let callIDPrefix: String
    private var state: State
    private var lead: Lead
    /// Whether no text or reasoning has been seen, so that `<think>` opens the reasoning.
    private var isAtStart = true
    private var hasThought: Bool
    private var isInSection = false
    /// Input that is not decided yet: at most the beginning of one mark.
    private var buffer: [UInt8] = []
    /// White space that is shown only if something visible of its kind follows.
    private var space: [UInt8] = []
    private var collected: [UInt8] = []
    private var header: [UInt8] = []
    private var callCount = 0
    private var hasArguments = false
    /// A call without a name: its arguments are collected to find out which tool it means.
    private var isNameless = false
    private var namelessIndex: Int?
    private var isInString = false
    private var isEscaped = false
    private var pending: [UInt8] = []
    private var pendingKind = Kind.text
    private var pieces: [ParsedPiece] = []

    /// - Parameters:
    ///   - insideThinking: whether the prompt ended inside the reasoning; see ``RenderedPrompt/endsInThinking``.
    ///   - tools: the declared tools, which help with calls that lack a name.
    ///   - callIDPrefix: what ids of calls begin with in styles that have no ids: make it unique in the conversation.
    public init(
        style: OutputStyle, insideThinking: Bool = false, tools: [ToolSignature] = [], callIDPrefix: String = "call_"
    ) {
        self.style = style
        self.tools = tools
        self.callIDPrefix = callIDPrefix
        let isThinking = insideThinking && style.hasThinking
        state = isThinking ? .thinking : .text
        lead = isThinking ? (style.trimsThinking ? .drop : .keep) : .hold
        hasThought = isThinking
    }

    /// Takes more of the output and returns what is decided by now.
    public mutating func append(_ text: String) -> [ParsedPiece] {
        buffer.append(contentsOf: text.utf8)
        drain(isFinal: false)
        return takePieces()
    }

    /// Ends the output and returns what was held back.
    public mutating func finish() -> [ParsedPiece] {
        drain(isFinal: true)
        switch state {
        case .text:
            // White space after the last call is no text of the answer.
            if lead == .keep || callCount == 0 { flushSpace() }
        case .thinking: if !style.trimsThinking { flushSpace() }
        case .section: break
        case .callHeader, .callName, .callFence, .callArguments: endCall(isComplete: false)
        case .document: endDocument()
        }
        state = .text
        lead = .keep
        space = []
        return takePieces()
    }

    private mutating func takePieces() -> [ParsedPiece] {
        flushPending()
        defer { pieces = [] }
        return pieces
    }

    // MARK: Marks

    private struct Mark: Sendable {
        enum Meaning: Sendable {
            case openThinking, closeThinking, openSection, closeSection, openCall, separator, closeCall
            case openDocument, closeDocument
        }
        let bytes: [UInt8]
        let meaning: Meaning

        init(_ text: String, _ meaning: Meaning) {
            bytes = Array(text.utf8)
            self.meaning = meaning
        }
    }

    private static let thinking = [Mark("<think>", .openThinking), Mark("</think>", .closeThinking)]
    private static let kimi = [
        Mark("<|tool_calls_section_begin|>", .openSection), Mark("<|tool_call_section_begin|>", .openSection),
        Mark("<|tool_calls_section_end|>", .closeSection), Mark("<|tool_call_section_end|>", .closeSection),
        Mark("<|tool_call_begin|>", .openCall), Mark("<|tool_call_argument_begin|>", .separator),
        Mark("<|tool_call_end|>", .closeCall),
    ]
    private static let deepSeek = [
        Mark("<｜tool▁calls▁begin｜>", .openSection), Mark("<｜tool▁calls▁end｜>", .closeSection),
        Mark("<｜tool_calls_begin｜>", .openSection), Mark("<｜tool_calls_end｜>", .closeSection),
        Mark("<｜tool▁call▁begin｜>", .openCall), Mark("<｜tool▁sep｜>", .separator),
        Mark("<｜tool▁call▁end｜>", .closeCall),
    ]
    private static let document = [Mark("<tool_call>", .openDocument), Mark("</tool_call>", .closeDocument)]
    private static let thinkingAndKimi = thinking + kimi
    private static let thinkingAndDeepSeek = thinking + deepSeek
    private static let thinkingAndDocument = thinking + document

    /// The marks that mean something here. Qwen may write of `<tool_call>` while it thinks, and calls nothing.
    private var marks: [Mark] {
        let canThink = style.hasThinking && (state == .text || state == .thinking)
        switch style.toolCalls {
        case .none: return canThink ? Self.thinking : []
        case .kimi: return canThink ? Self.thinkingAndKimi : Self.kimi
        case .deepSeek: return canThink ? Self.thinkingAndDeepSeek : Self.deepSeek
        case .hermes:
            if state == .thinking { return Self.thinking }
            return canThink ? Self.thinkingAndDocument : Self.document
        }
    }

    private mutating func drain(isFinal: Bool) {
        var head = 0
        var search = 0
        scan: while search < buffer.count {
            guard buffer[search] == UInt8(ascii: "<") else {
                search += 1
                continue
            }
            for mark in marks {
                let count = min(mark.bytes.count, buffer.count - search)
                guard buffer[search..<(search + count)].elementsEqual(mark.bytes[..<count]) else { continue }
                if count == mark.bytes.count {
                    consume(buffer[head..<search])
                    head = search + count
                    search = head
                    if !handle(mark.meaning) { consume(mark.bytes[...]) }
                    continue scan
                }
                if isFinal { break }
                // The rest may become a mark: it waits for more.
                consume(buffer[head..<search])
                buffer.removeSubrange(..<search)
                return
            }
            search += 1
        }
        consume(buffer[head...])
        buffer.removeAll(keepingCapacity: true)
    }

    /// Acts on a mark; false where it is mere text.
    private mutating func handle(_ meaning: Mark.Meaning) -> Bool {
        switch meaning {
        case .openThinking:
            // A model whose prompt opened the reasoning may open it again.
            if state == .thinking { return isAtStart }
            guard isAtStart, !hasThought else { return false }
            state = .thinking
            hasThought = true
            space = []
            lead = style.trimsThinking ? .drop : .keep
        case .closeThinking:
            if state == .thinking {
                closeThinking()
            } else if hasThought {
                return false
            } else {
                // Nobody knew that the prompt ended inside the reasoning: the mark at least is not shown.
                hasThought = true
            }
        case .openSection:
            leaveText()
            if isInCall { endCall(isComplete: true) }
            isInSection = true
            state = .section
        case .closeSection:
            if isInCall { endCall(isComplete: true) }
            guard isInSection else { return true }
            isInSection = false
            enterText()
        case .openCall:
            leaveText()
            if isInCall { endCall(isComplete: true) }
            header = []
            collected = []
            state = .callHeader
        case .separator: separate()
        case .closeCall: if isInCall { endCall(isComplete: true) }
        case .openDocument:
            guard state == .text else { return false }
            space = []
            isAtStart = false
            collected = []
            isInString = false
            isEscaped = false
            state = .document
        case .closeDocument:
            guard state == .document else { return true }
            if isInString { return false }
            endDocument()
            enterText()
        }
        return true
    }

    private var isInCall: Bool {
        switch state {
        case .callHeader, .callName, .callFence, .callArguments: true
        default: false
        }
    }

    private mutating func closeThinking() {
        if !style.trimsThinking { flushSpace() }
        space = []
        state = .text
        lead = style.trimsThinking ? .drop : .keep
        isAtStart = false
    }

    /// Ends text or reasoning before a section or a call.
    private mutating func leaveText() {
        if state == .thinking { closeThinking() }
        if state == .text { space = [] }
        isAtStart = false
    }

    private mutating func enterText() {
        state = .text
        lead = .hold
        space = []
    }

    // MARK: What stands between marks

    private mutating func consume(_ bytes: ArraySlice<UInt8>) {
        guard !bytes.isEmpty else { return }
        switch state {
        case .text: consumeText(bytes)
        case .thinking: consumeThinking(bytes)
        case .section: break
        case .callHeader: header += bytes
        case .callName, .callFence: consumeName(bytes)
        case .callArguments: consumeArguments(bytes)
        case .document:
            collected += bytes
            for byte in bytes {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = isInString
                } else if byte == UInt8(ascii: "\"") {
                    isInString.toggle()
                }
            }
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    private mutating func consumeText(_ bytes: ArraySlice<UInt8>) {
        var bytes = bytes
        if lead != .keep {
            let visible = bytes.firstIndex { !Self.isSpace($0) } ?? bytes.endIndex
            if lead == .hold { space += bytes[..<visible] }
            bytes = bytes[visible...]
            guard !bytes.isEmpty else { return }
            lead = .keep
        }
        isAtStart = false
        // The white space before `<tool_call>` belongs to the mark.
        emit(bytes, .text, holdsSpace: style.toolCalls == .hermes)
    }

    private mutating func consumeThinking(_ bytes: ArraySlice<UInt8>) {
        var bytes = bytes
        if lead == .drop {
            bytes = bytes[(bytes.firstIndex { !Self.isSpace($0) } ?? bytes.endIndex)...]
            guard !bytes.isEmpty else { return }
            lead = .keep
        }
        isAtStart = isAtStart && bytes.allSatisfy(Self.isSpace)
        emit(bytes, .thinking, holdsSpace: style.trimsThinking)
    }

    /// Emits bytes after the space held before them, and holds the space at their end.
    private mutating func emit(_ bytes: ArraySlice<UInt8>, _ kind: Kind, holdsSpace: Bool) {
        var end = bytes.endIndex
        if holdsSpace { end = (bytes.lastIndex { !Self.isSpace($0) }).map { $0 + 1 } ?? bytes.startIndex }
        if end > bytes.startIndex {
            emit(space[...], kind)
            space = []
            emit(bytes[..<end], kind)
        }
        space += bytes[end...]
    }

    private mutating func flushSpace() {
        emit(space[...], state == .thinking ? .thinking : .text)
        space = []
    }

    private mutating func emit(_ bytes: ArraySlice<UInt8>, _ kind: Kind) {
        guard !bytes.isEmpty else { return }
        if kind != pendingKind {
            flushPending()
            pendingKind = kind
        }
        pending += bytes
    }

    private mutating func emit(_ piece: ParsedPiece) {
        flushPending()
        pieces.append(piece)
    }

    private mutating func flushPending() {
        guard !pending.isEmpty else { return }
        let text = String(decoding: pending, as: UTF8.self)
        pending.removeAll(keepingCapacity: true)
        switch pendingKind {
        case .thinking: pieces.append(.thinking(text))
        case .text: pieces.append(.text(text))
        case .arguments: pieces.append(.toolCallArguments(index: callCount, text))
        }
    }

    // MARK: Calls

    private static func trimmed(_ bytes: [UInt8]) -> String {
        let start = bytes.firstIndex { !isSpace($0) } ?? bytes.endIndex
        let end = (bytes.lastIndex { !isSpace($0) }).map { $0 + 1 } ?? start
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    /// The mark between a call's header and what follows it.
    private mutating func separate() {
        guard state == .callHeader else { return }
        space = []
        collected = []
        hasArguments = false
        if style.toolCalls == .kimi {
            startKimiCall(Self.trimmed(header))
        } else {
            state = .callName
        }
    }

    private mutating func startKimiCall(_ text: String) {
        let id = KimiCallID(text)
        state = .callArguments
        isNameless = false
        if let name = id.name, id.index != nil || tools.isEmpty || tools.contains(where: { $0.name == name }) {
            start(name: name, id: KimiCallID.text(name: name, index: id.index ?? callCount))
        } else {
            isNameless = true
            namelessIndex = id.index
        }
    }

    /// Starts a DeepSeek call, unless the model left the name out.
    private mutating func startNamed(_ name: String) {
        isNameless = name.isEmpty
        namelessIndex = nil
        if !isNameless { start(name: name) }
    }

    private mutating func start(name: String, id: String? = nil) {
        emit(.toolCallStarted(index: callCount, id: id ?? "\(callIDPrefix)\(callCount)", name: name))
        state = .callArguments
        isNameless = false
        hasArguments = false
        space = []
    }

    /// DeepSeek: V3 has the name on a line of its own and a fence after it; in V3.1 the arguments begin at once.
    private mutating func consumeName(_ bytes: ArraySlice<UInt8>) {
        var index = bytes.startIndex
        while index < bytes.endIndex, state == .callName || state == .callFence {
            let byte = bytes[index]
            index += 1
            if collected.isEmpty, Self.isSpace(byte) { continue }
            if collected.isEmpty, areArguments(byte) {
                if state == .callName { startNamed(Self.trimmed(header)) }
                state = .callArguments
                index -= 1
            } else if byte == UInt8(ascii: "\n") {
                if state == .callName {
                    start(name: Self.trimmed(collected))
                    state = .callFence
                } else {
                    state = .callArguments
                }
                collected = []
            } else {
                collected.append(byte)
            }
        }
        if index < bytes.endIndex { consumeArguments(bytes[index...]) }
    }

    /// Whether arguments begin with a byte, after white space. V3's header is the word "function" and a name follows it;
    /// a V3.1 tool of that name shows by its arguments' brace.
    private func areArguments(_ byte: UInt8) -> Bool {
        if state == .callFence { return byte != UInt8(ascii: "`") }
        let name = Self.trimmed(header)
        return byte == UInt8(ascii: "{") || !(name.isEmpty || name == "function")
    }

    /// Passes arguments on, but for white space at both ends and the fence that may close them.
    private mutating func consumeArguments(_ bytes: ArraySlice<UInt8>) {
        if isNameless {
            collected += bytes
            return
        }
        let hasFence = style.toolCalls == .deepSeek
        var bytes = bytes
        if !hasArguments, space.isEmpty {
            bytes = bytes[(bytes.firstIndex { !Self.isSpace($0) } ?? bytes.endIndex)...]
        }
        let last = bytes.lastIndex { !Self.isSpace($0) && !(hasFence && $0 == UInt8(ascii: "`")) }
        guard let last else {
            space += bytes
            return
        }
        hasArguments = true
        emit(space[...], .arguments)
        emit(bytes[...last], .arguments)
        space = Array(bytes[(last + 1)...])
    }

    private mutating func endCall(isComplete: Bool) {
        switch state {
        case .callHeader:
            guard isComplete, style.toolCalls == .kimi, let brace = header.firstIndex(of: UInt8(ascii: "{")) else {
                malformed(header)
                break
            }
            // The mark before the arguments is missing.
            let arguments = header[brace...]
            header = Array(header[..<brace])
            collected = []
            startKimiCall(Self.trimmed(header))
            consumeArguments(arguments)
            endArguments(isComplete: true)
        case .callName:
            let name = Self.trimmed(collected.isEmpty ? header : collected)
            if name.isEmpty || (collected.isEmpty && name == "function") || !isComplete {
                malformed(collected.isEmpty ? header : collected)
            } else {
                start(name: name)
                endArguments(isComplete: true)
            }
        default: endArguments(isComplete: isComplete)
        }
        space = []
        if isInSection { state = .section } else { enterText() }
    }

    private mutating func endArguments(isComplete: Bool) {
        if isNameless {
            isNameless = false
            guard let tool = meantTool() else {
                malformed(header + collected)
                return
            }
            let arguments = collected
            let index = namelessIndex ?? callCount
            start(name: tool, id: style.toolCalls == .kimi ? KimiCallID.text(name: tool, index: index) : nil)
            consumeArguments(arguments[...])
        }
        if isComplete, !hasArguments { emit(Array("{}".utf8)[...], .arguments) }
        emit(.toolCallFinished(index: callCount, isComplete: isComplete))
        callCount += 1
    }

    /// The one declared tool that can take the collected arguments.
    private func meantTool() -> String? {
        if tools.count == 1 { return tools[0].name }
        guard let document = JSONDocument(collected) else { return nil }
        let candidates = tools.filter { $0.accepts(document.keys) }
        return candidates.count == 1 ? candidates[0].name : nil
    }

    private mutating func malformed(_ bytes: [UInt8]) {
        let text = Self.trimmed(bytes)
        if !text.isEmpty { emit(.malformedToolCall(text)) }
    }

    private mutating func endDocument() {
        defer { collected = [] }
        guard let document = JSONDocument(collected), let name = document.name, !name.isEmpty else {
            malformed(collected)
            return
        }
        start(name: name)
        emit(document.arguments[...], .arguments)
        emit(.toolCallFinished(index: callCount, isComplete: true))
        callCount += 1
    }
}
