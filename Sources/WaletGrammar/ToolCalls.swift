// Tool calls as the models write them.

import WaletJSON

/// A tool that a model may call.
public struct CallableTool: Sendable {
    public enum Arguments: Sendable {
        /// An object of this schema.
        case schema(JSONValue)
        /// Any JSON object.
        case anyObject
    }

    public var name: String
    public var arguments: Arguments

    public init(name: String, arguments: Arguments) {
        self.name = name
        self.arguments = arguments
    }

    /// Reads an OpenAI-style declaration: a strict tool takes arguments of its schema, any other one takes any object.
    /// - Throws: ``GrammarError/tool(name:expected:found:)`` where there is no name.
    public init(declaration: JSONValue) throws(GrammarError) {
        let function = declaration["function"] ?? declaration
        guard let name = function["name"]?.stringValue else {
            throw .tool(name: "", expected: "a name", found: function["name"]?.kind ?? "nothing")
        }
        let isStrict = function["strict"]?.boolValue ?? false
        self.init(
            name: name, arguments: isStrict ? function["parameters"].map { .schema($0) } ?? .anyObject : .anyObject)
    }
}

/// How a model writes its calls.
public enum ToolCallStyle: Sendable, Hashable, CaseIterable {
    /// Kimi K2: ids `functions.NAME:INDEX` between `<|tool_call_…|>` marks in a section.
    case kimi
    /// DeepSeek V3 and R1: type, name and a fenced block between `<｜tool▁…｜>` marks.
    case deepSeekV3
    /// DeepSeek V3.1: name and arguments between the same marks.
    case deepSeekV31
    /// Hermes and Qwen: `<tool_call>` around an object with name and arguments.
    case hermes

    /// The texts of the marks, for which a vocabulary may have tokens.
    public var marks: [String] {
        switch self {
        case .kimi:
            [
                "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>",
                "<|tool_call_argument_begin|>", "<|tool_call_end|>",
            ]
        case .deepSeekV3, .deepSeekV31:
            [
                "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
                "<｜tool▁call▁end｜>",
            ]
        case .hermes: ["<tool_call>", "</tool_call>"]
        }
    }

    /// Marks that end the reasoning or the text of an answer wherever they occur, as ``marks`` are, though no model is
    /// meant to write them.
    fileprivate var variants: [String] {
        switch self {
        case .kimi: ["<|tool_call_section_begin|>", "<|tool_call_section_end|>"]
        case .deepSeekV3, .deepSeekV31: ["<｜tool_calls_begin｜>", "<｜tool_calls_end｜>"]
        case .hermes: []
        }
    }
}

/// Whether a model must call a tool.
public enum CallChoice: Sendable, Hashable {
    /// It answers, or calls tools. An answer in free text may come before the calls.
    case auto
    /// It calls one or more of them.
    case required
    /// It calls this one.
    case named(String)
}

/// What an answer without a call is.
public enum AnswerForm: Sendable {
    case text
    case jsonObject
    case jsonSchema(JSONValue)
}

extension Grammar {
    /// Tool calls, well-formed from their first mark to their last.
    /// - Parameters:
    ///   - isParallel: whether there may be several calls.
    ///   - firstIndex: Kimi's number of the first call, which counts through the conversation.
    ///   - answer: what stands where no tool is called, with ``CallChoice/auto``.
    ///   - thinking: reasoning that comes first.
    ///   - token: the id of the token that stands for a mark, or nil where the vocabulary has none.
    /// - Throws: ``GrammarError/tool(name:expected:found:)`` for names that are missing, twice, unknown or not writable;
    ///   the errors of a tool's schema, the path beginning with the tool's name.
    public static func toolCalls(
        _ tools: [CallableTool], style: ToolCallStyle, choice: CallChoice, isParallel: Bool = true,
        firstIndex: Int = 0, answer: AnswerForm = .text, thinking: ThinkingPhase? = nil,
        options: JSONOptions = JSONOptions(), token: (String) -> Int? = { _ in nil }
    ) throws(GrammarError) -> Grammar {
        var writer = try OutputWriter(options: options)
        let called = try check(tools, choice, options)
        let marks = style.marks.map { OutputMark($0, token: token($0)) }
        let forbidden = marks + style.variants.map { OutputMark($0) }
        // Qwen may write of its marks while it thinks, and calls nothing.
        let start = try writer.begin(thinking, forbidden: style == .hermes ? [] : forbidden)
        var beforeCalls = start
        if choice == .auto {
            switch answer {
            case .text:
                beforeCalls = try writer.state()
                let reasoning = thinking.map { [$0.opening, $0.closing] } ?? []
                try writer.freeText(without: forbidden + reasoning, from: start, to: beforeCalls)
                writer.empty(from: beforeCalls, to: writer.end)
            case .jsonObject: try writer.json(["type": "object"], from: start, to: writer.end, isObject: true)
            case .jsonSchema(let schema): try writer.json(schema, from: start, to: writer.end, isObject: false)
            }
        }
        var calls = CallWriter(
            style: style, marks: marks, maximum: isParallel ? options.limits.toolCalls : 1,
            firstIndex: max(0, firstIndex))
        try calls.write(called, options: options, from: beforeCalls, &writer)
        return Grammar(program: try writer.finish())
    }

    private static func check(
        _ tools: [CallableTool], _ choice: CallChoice, _ options: JSONOptions
    ) throws(GrammarError) -> [CallableTool] {
        var seen: Set<[UInt8]> = []
        for tool in tools {
            // What would end the name, or need an escape where it stands in JSON.
            let isPlain = tool.name.unicodeScalars.allSatisfy {
                $0.value > 0x20 && $0.value != 0x7F && $0 != "\"" && $0 != "\\" && $0 != "<" && $0 != "`"
            }
            guard !tool.name.isEmpty, tool.name.utf8.count <= 256, isPlain else {
                throw .tool(
                    name: tool.name, expected: "a name of 1 to 256 bytes without spaces, quotes, backslashes, ` and <",
                    found: "another one")
            }
            guard seen.insert(Array(tool.name.utf8)).inserted else {
                throw .tool(name: tool.name, expected: "names that differ", found: "the same one twice")
            }
        }
        guard !tools.isEmpty else { throw .tool(name: "", expected: "at least one tool", found: "none") }
        guard case .named(let name) = choice else { return tools }
        let named = tools.filter { $0.name.utf8.elementsEqual(name.utf8) }
        guard !named.isEmpty else { throw .tool(name: name, expected: "a declared tool", found: "no such tool") }
        return named
    }
}

/// Writes calls in one style.
private struct CallWriter {
    let style: ToolCallStyle
    let marks: [OutputMark]
    let maximum: Int
    let firstIndex: Int

    /// Writes one to `maximum` calls and the end.
    mutating func write(
        _ tools: [CallableTool], options: JSONOptions, from: Int32, _ writer: inout OutputWriter
    ) throws(GrammarError) {
        let first = try writer.state()
        let name = try writer.state()
        let arguments = try writer.state()
        let ended = try writer.state()
        switch style {
        case .kimi, .deepSeekV3, .deepSeekV31: try writer.mark(marks[0], from: from, to: first)
        case .hermes: writer.empty(from: from, to: first)
        }
        try open(from: first, to: name, &writer)
        try self.tools(tools, options: options, from: name, to: arguments, &writer)
        try close(from: arguments, to: ended, &writer)

        let counted = try writer.state()
        writer.edge(.increment, maximum, from: ended, to: counted)
        switch style {
        case .kimi, .deepSeekV3, .deepSeekV31: try writer.mark(marks[1], from: counted, to: writer.end)
        case .hermes: writer.empty(from: counted, to: writer.end)
        }
        guard maximum > 1 else { return }
        let going = try writer.state()
        writer.edge(.whenBelow, maximum, from: counted, to: going)
        switch style {
        case .kimi, .deepSeekV31: writer.empty(from: going, to: first)
        case .deepSeekV3, .hermes: try writer.text("\n", from: going, to: first)
        }
    }

    /// From the beginning of a call to its tool's name.
    private func open(from: Int32, to: Int32, _ writer: inout OutputWriter) throws(GrammarError) {
        let opened = try writer.state()
        switch style {
        case .kimi:
            try writer.mark(marks[2], from: from, to: opened)
            try writer.text("functions.", from: opened, to: to)
        case .deepSeekV3:
            try writer.mark(marks[2], from: from, to: opened)
            let typed = try writer.state()
            try writer.text("function", from: opened, to: typed)
            try writer.mark(marks[3], from: typed, to: to)
        case .deepSeekV31: try writer.mark(marks[2], from: from, to: to)
        case .hermes:
            try writer.mark(marks[0], from: from, to: opened)
            try writer.text("\n{\"name\": \"", from: opened, to: to)
        }
    }

    /// From the arguments to the end of a call.
    private func close(from: Int32, to: Int32, _ writer: inout OutputWriter) throws(GrammarError) {
        let closing = try writer.state()
        switch style {
        case .kimi, .deepSeekV31: try writer.mark(marks[4], from: from, to: to)
        case .deepSeekV3:
            try writer.text("\n```", from: from, to: closing)
            try writer.mark(marks[4], from: closing, to: to)
        case .hermes:
            try writer.text("}\n", from: from, to: closing)
            try writer.mark(marks[1], from: closing, to: to)
        }
    }

    /// The name of one of the tools and its arguments.
    private func tools(
        _ tools: [CallableTool], options: JSONOptions, from: Int32, to: Int32, _ writer: inout OutputWriter
    ) throws(GrammarError) {
        var names = LiteralTrie()
        for tool in tools {
            let named = try writer.state()
            let arguments = try writer.state()
            switch style {
            case .kimi:
                names.insert(Array("\(tool.name):".utf8), to: named)
                let numbered = try writer.state()
                writer.counter(start: firstIndex, from: named, to: numbered)
                try writer.mark(marks[3], from: numbered, to: arguments)
            case .deepSeekV3: names.insert(Array("\(tool.name)\n```json\n".utf8), to: arguments)
            case .deepSeekV31:
                names.insert(Array(tool.name.utf8), to: named)
                try writer.mark(marks[3], from: named, to: arguments)
            case .hermes: names.insert(Array("\(tool.name)\", \"arguments\": ".utf8), to: arguments)
            }
            do throws(GrammarError) {
                switch tool.arguments {
                case .schema(let schema): try writer.json(schema, from: arguments, to: to, isObject: true)
                case .anyObject: try writer.json(["type": "object"], from: arguments, to: to, isObject: true)
                }
            } catch {
                throw error.inDocument(tool.name)
            }
        }
        try writer.literals(names, from: from)
    }
}
