// Outputs are taken apart the same way however they are cut, and no mark is ever shown.

import Testing
import WaletJSON
import WaletText

@Suite struct OutputParserTests {
    static let kimi = OutputStyle(hasThinking: true, toolCalls: .kimi)
    static let deepSeek = OutputStyle(hasThinking: true, toolCalls: .deepSeek)
    static let hermes = OutputStyle(hasThinking: true, toolCalls: .hermes)
    static let thinking = OutputStyle(hasThinking: true, toolCalls: .none)

    static let marks = [
        "<|tool_calls_section_begin|>", "<|tool_call_section_begin|>", "<|tool_calls_section_end|>",
        "<|tool_call_section_end|>", "<|tool_call_begin|>",
        "<|tool_call_argument_begin|>", "<|tool_call_end|>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>", "<tool_call>", "</tool_call>", "<think>", "</think>",
    ]

    struct Example: Sendable, CustomTestStringConvertible {
        var name: String
        var style: OutputStyle
        var inside = false
        var output: String
        var thinking = ""
        var text = ""
        var calls: [ToolCall] = []
        var incomplete: [Int] = []
        var malformed: [String] = []
        var tools: [ToolSignature] = []
        var testDescription: String { name }

        var expected: ParsedOutput {
            var result = ParsedOutput()
            result.thinking = thinking
            result.text = text
            result.toolCalls = calls
            result.incompleteCalls = incomplete
            result.malformedToolCalls = malformed
            return result
        }
    }

    static func kimiCall(_ id: String, _ arguments: String) -> String {
        "<|tool_call_begin|>\(id)<|tool_call_argument_begin|>\(arguments)<|tool_call_end|>"
    }

    static func section(_ calls: String) -> String { "<|tool_calls_section_begin|>\(calls)<|tool_calls_section_end|>" }

    static func v3Call(_ name: String, _ arguments: String) -> String {
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>\(name)\n```json\n\(arguments)\n```<｜tool▁call▁end｜>"
    }

    static let weather = ToolCall(id: "functions.get_weather:0", name: "get_weather", arguments: "{\"city\": \"Oslo\"}")
    static let twoTools = [
        ToolSignature(name: "get_weather", parameters: ["city", "unit"], required: ["city"]),
        ToolSignature(name: "search", parameters: ["query"], required: ["query"]),
    ]

    static let examples: [Example] = [
        Example(
            name: "text", style: .plain, output: "Hello <think> </think> <|tool_call_begin|>\n",
            text: "Hello <think> </think> <|tool_call_begin|>\n"),
        Example(
            name: "text with a style", style: kimi, output: " a < b, <b>, <|x|>, <th\n",
            text: " a < b, <b>, <|x|>, <th\n"),
        Example(name: "empty", style: kimi, output: ""),
        Example(name: "white space", style: kimi, output: " \n", text: " \n"),
        Example(
            name: "a mark's beginning at the end", style: kimi, output: "a <|tool_calls_sec", text: "a <|tool_calls_sec"
        ),
        Example(
            name: "thinking", style: thinking, output: "<think>\nwhy\n</think>\n\nanswer\n", thinking: "why",
            text: "answer\n"),
        Example(
            name: "thinking after white space", style: thinking, output: "\n<think>why</think>answer", thinking: "why",
            text: "answer"),
        Example(
            name: "thinking that the prompt opened", style: thinking, inside: true,
            output: "why\nnot\n</think>\n\nanswer", thinking: "why\nnot", text: "answer"),
        Example(
            name: "thinking opened twice", style: thinking, inside: true, output: "\n<think>\nwhy</think>answer",
            thinking: "why", text: "answer"),
        Example(
            name: "thinking that does not end", style: thinking, inside: true, output: "why not ", thinking: "why not"),
        Example(name: "empty thinking", style: thinking, output: "<think>\n\n</think>\n\nanswer", text: "answer"),
        Example(
            name: "the first end counts", style: thinking, inside: true, output: "a</think>b</think>c<think>d",
            thinking: "a", text: "b</think>c<think>d"),
        Example(
            name: "a mark inside the reasoning", style: thinking, inside: true, output: "a <think> b</think>c",
            thinking: "a <think> b", text: "c"),
        Example(
            name: "thinking in the midst of text is text", style: thinking, output: "use <think> tags",
            text: "use <think> tags"),
        Example(name: "an end without a beginning", style: thinking, output: "abc</think>def", text: "abcdef"),
        Example(
            name: "no trimming",
            style: {
                var style = thinking; style.trimsThinking = false; return style
            }(), output: "<think>\nwhy\n</think>\n\nanswer ", thinking: "\nwhy\n", text: "\n\nanswer "),

        Example(
            name: "K2 call", style: kimi, output: section(kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}")),
            calls: [weather]),
        Example(
            name: "K2 call after thinking and text", style: kimi,
            output: "<think>hm</think>Let me see.\n"
                + section(kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}")), thinking: "hm",
            text: "Let me see.\n", calls: [weather]),
        Example(
            name: "K2 white space around id and arguments", style: kimi,
            output: section(" \n" + kimiCall(" functions.get_weather:0\n", "\n{\"city\": \"Oslo\"} \n") + "\n "),
            calls: [weather]),
        Example(
            name: "K2 two calls", style: kimi,
            output: section(
                kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}") + kimiCall("functions.a.b-c:1", "{}")),
            calls: [weather, ToolCall(id: "functions.a.b-c:1", name: "a.b-c", arguments: "{}")]),
        Example(
            name: "K2 index counts the conversation", style: kimi,
            output: section(kimiCall("functions.f:17", "{\"x\":[1,2]}")),
            calls: [ToolCall(id: "functions.f:17", name: "f", arguments: "{\"x\":[1,2]}")]),
        Example(
            name: "K2 missing prefix", style: kimi, output: section(kimiCall("get_weather:0", "{\"city\": \"Oslo\"}")),
            calls: [weather]),
        Example(
            name: "K2 missing index", style: kimi,
            output: section(kimiCall("functions.get_weather", "{\"city\": \"Oslo\"}")), calls: [weather]),
        Example(
            name: "K2 singular section", style: kimi,
            output: "a<|tool_call_section_begin|>" + kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}")
                + "<|tool_call_section_end|>", text: "a", calls: [weather]),
        Example(
            name: "K2 missing section end", style: kimi,
            output: "<|tool_calls_section_begin|>" + kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}"),
            calls: [weather]),
        Example(
            name: "K2 missing call end", style: kimi,
            output: section(
                "<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Oslo\"}"),
            calls: [weather]),
        Example(
            name: "K2 missing call end before a call", style: kimi,
            output: section(
                "<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Oslo\"}"
                    + kimiCall("f:1", "{}")),
            calls: [weather, ToolCall(id: "functions.f:1", name: "f", arguments: "{}")]),
        Example(
            name: "K2 missing argument mark", style: kimi,
            output: section("<|tool_call_begin|>functions.get_weather:0 {\"city\": \"Oslo\"}<|tool_call_end|>"),
            calls: [weather]),
        Example(
            name: "K2 no section", style: kimi,
            output: "Now: " + kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}") + "\n", text: "Now: ",
            calls: [weather]),
        Example(
            name: "K2 cut in the arguments", style: kimi,
            output:
                "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Os",
            calls: [ToolCall(id: "functions.get_weather:0", name: "get_weather", arguments: "{\"city\": \"Os")],
            incomplete: [0]),
        Example(
            name: "K2 cut in the id", style: kimi,
            output: "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_w", malformed: ["functions.get_w"]),
        Example(
            name: "K2 cut in a mark", style: kimi,
            output: section(kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}")) + "<|tool_c", text: "<|tool_c",
            calls: [weather]),
        Example(
            name: "K2 no arguments", style: kimi, output: section(kimiCall("functions.now:0", " ")),
            calls: [ToolCall(id: "functions.now:0", name: "now", arguments: "{}")]),
        Example(
            name: "K2 bare counter", style: kimi,
            output: section(kimiCall("3", "{\"query\": \"x\"}") + kimiCall("4", "{\"city\": \"Oslo\"}")),
            calls: [
                ToolCall(id: "functions.search:3", name: "search", arguments: "{\"query\": \"x\"}"),
                ToolCall(id: "functions.get_weather:4", name: "get_weather", arguments: "{\"city\": \"Oslo\"}"),
            ], tools: twoTools),
        Example(
            name: "K2 bare counter, one tool", style: kimi, output: section(kimiCall("0", "{\"q\": 1}")),
            calls: [ToolCall(id: "functions.f:0", name: "f", arguments: "{\"q\": 1}")],
            tools: [ToolSignature(name: "f")]),
        Example(
            name: "K2 bare counter that fits nothing", style: kimi, output: section(kimiCall("3", "{\"z\": 1}")) + "x",
            text: "x", malformed: ["3{\"z\": 1}"], tools: twoTools),
        Example(
            name: "K2 foreign id", style: kimi, output: section(kimiCall("call_abc123", "{\"query\": \"x\"}")),
            calls: [ToolCall(id: "functions.search:0", name: "search", arguments: "{\"query\": \"x\"}")],
            tools: twoTools),
        Example(
            name: "K2 unknown tool", style: kimi, output: section(kimiCall("functions.nope:0", "{\"query\": \"x\"}")),
            calls: [ToolCall(id: "functions.nope:0", name: "nope", arguments: "{\"query\": \"x\"}")], tools: twoTools),
        Example(
            name: "K2 section inside the reasoning", style: kimi, inside: true,
            output: "I need it. " + section(kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}")),
            thinking: "I need it.", calls: [weather]),
        Example(
            name: "K2 section after an unclosed think", style: kimi,
            output: "<think>need" + section(kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}"))
                + "</think>after", thinking: "need", text: "</think>after", calls: [weather]),
        Example(
            name: "K2 text after the section", style: kimi,
            output: section(kimiCall("functions.get_weather:0", "{\"city\": \"Oslo\"}")) + "\n\nDone.\n",
            text: "\n\nDone.\n", calls: [weather]),
        Example(
            name: "K2 stray marks", style: kimi,
            output: "a<|tool_call_end|>b<|tool_calls_section_end|>c<|tool_call_argument_begin|>d", text: "abcd"),
        Example(name: "K2 empty section", style: kimi, output: "a" + section("junk") + "b", text: "ab"),
        Example(
            name: "K2 marks in arguments end them", style: kimi,
            output: section(kimiCall("functions.f:0", "{\"a\": \"</think><tool_call>\"}")),
            calls: [ToolCall(id: "functions.f:0", name: "f", arguments: "{\"a\": \"</think><tool_call>\"}")]),

        Example(
            name: "V3 call", style: deepSeek,
            output: "<｜tool▁calls▁begin｜>" + v3Call("get_weather", "{\"city\": \"Oslo\"}") + "<｜tool▁calls▁end｜>",
            calls: [ToolCall(id: "call_0", name: "get_weather", arguments: "{\"city\": \"Oslo\"}")]),
        Example(
            name: "V3 two calls with text", style: deepSeek,
            output: "I look.<｜tool▁calls▁begin｜>" + v3Call("a", "{\"x\": \"``` `\\n\"}") + "\n"
                + v3Call("b", "{\n \"y\": 1\n}") + "<｜tool▁calls▁end｜>", text: "I look.",
            calls: [
                ToolCall(id: "call_0", name: "a", arguments: "{\"x\": \"``` `\\n\"}"),
                ToolCall(id: "call_1", name: "b", arguments: "{\n \"y\": 1\n}"),
            ]),
        Example(
            name: "R1 thinks and calls", style: deepSeek, inside: true,
            output: "hm\n</think>\n\n<｜tool▁calls▁begin｜>" + v3Call("a", "{}") + "<｜tool▁calls▁end｜>", thinking: "hm",
            calls: [ToolCall(id: "call_0", name: "a", arguments: "{}")]),
        Example(
            name: "V3 without a fence", style: deepSeek,
            output:
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>a\n{\"x\": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            calls: [ToolCall(id: "call_0", name: "a", arguments: "{\"x\": 1}")]),
        Example(
            name: "V3 without arguments", style: deepSeek,
            output: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>a<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            calls: [ToolCall(id: "call_0", name: "a", arguments: "{}")]),
        Example(
            name: "V3 cut", style: deepSeek,
            output: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>a\n```json\n{\"x\": 1",
            calls: [ToolCall(id: "call_0", name: "a", arguments: "{\"x\": 1")], incomplete: [0]),
        Example(
            name: "V3 cut in the name", style: deepSeek,
            output: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_w", malformed: ["get_w"]),
        Example(
            name: "V3.1 call", style: deepSeek,
            output:
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Oslo\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>f<｜tool▁sep｜> {\"a\": {}}\n<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            calls: [
                ToolCall(id: "call_0", name: "get_weather", arguments: "{\"city\": \"Oslo\"}"),
                ToolCall(id: "call_1", name: "f", arguments: "{\"a\": {}}"),
            ]),
        Example(
            name: "V3.1 arguments that are no object", style: deepSeek,
            output:
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>[1]\n<｜tool▁call▁end｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>{}<｜tool▁call▁end｜>",
            calls: [
                ToolCall(id: "call_0", name: "f", arguments: "[1]"),
                ToolCall(id: "call_1", name: "function", arguments: "{}"),
            ]),
        Example(
            name: "V3 without a name", style: deepSeek,
            output: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜><｜tool▁call▁end｜>x",
            malformed: ["function"]),
        Example(
            name: "V3.1 without arguments", style: deepSeek,
            output: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now<｜tool▁sep｜><｜tool▁call▁end｜>",
            calls: [ToolCall(id: "call_0", name: "now", arguments: "{}")]),
        Example(
            name: "V3 with underscores in the section", style: deepSeek,
            output: "<｜tool_calls_begin｜>" + v3Call("a", "{}") + "<｜tool_calls_end｜>",
            calls: [ToolCall(id: "call_0", name: "a", arguments: "{}")]),

        Example(
            name: "Hermes call", style: hermes,
            output: "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\":  \"Oslo\"}}\n</tool_call>",
            calls: [ToolCall(id: "call_0", name: "get_weather", arguments: "{\"city\":  \"Oslo\"}")]),
        Example(
            name: "Hermes two calls after thinking and text", style: hermes,
            output:
                "<think>\na <tool_call> b\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"arguments\": {\"x\": [1, {\"arguments\": 2}]}, \"name\": \"b\"}\n</tool_call>\n",
            thinking: "a <tool_call> b", text: "I look.",
            calls: [
                ToolCall(id: "call_0", name: "a", arguments: "{}"),
                ToolCall(id: "call_1", name: "b", arguments: "{\"x\": [1, {\"arguments\": 2}]}"),
            ]),
        Example(
            name: "Hermes marks in a string", style: hermes,
            output:
                "<tool_call>{\"name\": \"w\", \"arguments\": {\"text\": \"a</tool_call>b\\\"</tool_call>\"}}</tool_call>x",
            text: "x",
            calls: [ToolCall(id: "call_0", name: "w", arguments: "{\"text\": \"a</tool_call>b\\\"</tool_call>\"}")]),
        Example(
            name: "Hermes arguments as a string", style: hermes,
            output: "<tool_call>{\"name\": \"w\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
            calls: [ToolCall(id: "call_0", name: "w", arguments: "{\"a\": 1}")]),
        Example(
            name: "Hermes parameters", style: hermes,
            output: "<tool_call>{\"name\": \"w\", \"parameters\": {\"a\": 1}}</tool_call>",
            calls: [ToolCall(id: "call_0", name: "w", arguments: "{\"a\": 1}")]),
        Example(
            name: "Hermes no arguments", style: hermes, output: "<tool_call>{\"name\": \"w\"}</tool_call>",
            calls: [ToolCall(id: "call_0", name: "w", arguments: "{}")]),
        Example(
            name: "Hermes missing end", style: hermes, output: "a\n<tool_call>{\"name\": \"w\", \"arguments\": {}}\n",
            text: "a", calls: [ToolCall(id: "call_0", name: "w", arguments: "{}")]),
        Example(
            name: "Hermes cut", style: hermes, output: "<tool_call>{\"name\": \"w\", \"argu",
            malformed: ["{\"name\": \"w\", \"argu"]),
        Example(
            name: "Hermes no JSON", style: hermes, output: "a <tool_call>nothing</tool_call> b", text: "a b",
            malformed: ["nothing"]),
        Example(
            name: "Hermes no name", style: hermes, output: "<tool_call>{\"arguments\": {}}</tool_call>",
            malformed: ["{\"arguments\": {}}"]),
        Example(name: "Hermes stray end", style: hermes, output: "a</tool_call>b ", text: "ab "),
    ]

    /// All pieces of an output fed in parts, neighbours of one kind joined.
    static func pieces(_ parts: [String], _ example: Example) -> [ParsedPiece] {
        var parser = OutputParser(style: example.style, insideThinking: example.inside, tools: example.tools)
        var result: [ParsedPiece] = []
        for part in parts { join(parser.append(part), to: &result) }
        join(parser.finish(), to: &result)
        return result
    }

    static func join(_ more: [ParsedPiece], to pieces: inout [ParsedPiece]) {
        for piece in more {
            switch (pieces.last, piece) {
            case (.thinking(let before)?, .thinking(let after)): pieces[pieces.count - 1] = .thinking(before + after)
            case (.text(let before)?, .text(let after)): pieces[pieces.count - 1] = .text(before + after)
            case (.toolCallArguments(let index, let before)?, .toolCallArguments(let same, let after))
            where index == same:
                pieces[pieces.count - 1] = .toolCallArguments(index: index, before + after)
            default: pieces.append(piece)
            }
        }
    }

    static func cut(_ text: String, _ random: inout SplitMix) -> [String] {
        var parts: [String] = [""]
        let odds = random.next() % 12 + 1
        for scalar in text.unicodeScalars {
            if random.next() % odds == 0 { parts.append("") }
            parts[parts.count - 1].unicodeScalars.append(scalar)
        }
        return parts
    }

    @Test(arguments: examples)
    func takesApart(_ example: Example) {
        let whole = Self.pieces([example.output], example)
        #expect(ParsedOutput(whole) == example.expected)
        let scalars = example.output.unicodeScalars.map { String(Character($0)) }
        #expect(Self.pieces(scalars, example) == whole, "one character at a time")
        for index in scalars.indices {
            let parts = [scalars[..<index].joined(), scalars[index...].joined()]
            #expect(Self.pieces(parts, example) == whole, "cut at \(index)")
        }
        var random = SplitMix(state: 7)
        for _ in 0..<50 { #expect(Self.pieces(Self.cut(example.output, &random), example) == whole) }
    }

    /// Random sequences of marks, parts of marks, JSON and text: every cut gives the same, and what a style's marks are
    /// stays out of the text.
    @Test func randomOutputsDoNotDependOnTheirCuts() {
        var random = SplitMix(state: 3)
        let fragments =
            Self.marks + [
                "a", "b c", " ", "\n", "\n\n", "<", "<|", "</", "<｜", "|>", "｜>", "<tool", "<th", "<|tool_call", "é日🌍",
                "functions.f:0", "f:1", "3", "function",
                "name\n", "```json\n", "\n```", "`", "{\"a\": 1}", "{\"name\": \"f\", \"arguments\": {\"x\": \"y\"}}",
                "{", "}", "\"", "\\", "\\\"", "[1]", "<|tool_call_end|",
            ]
        for round in 0..<4000 {
            var style = [Self.kimi, Self.deepSeek, Self.hermes, Self.thinking, .plain][round % 5]
            style.trimsThinking = random.next() % 4 != 0
            if random.next() % 8 == 0 { style.hasThinking = false }
            var output = ""
            for _ in 0..<(random.next() % 14) { output += fragments[Int(random.next() % UInt64(fragments.count))] }
            let example = Example(
                name: "", style: style, inside: random.next() % 3 == 0, output: output,
                tools: random.next() % 2 == 0 ? Self.twoTools : [])
            let whole = Self.pieces([output], example)
            for _ in 0..<4 {
                let parts = Self.cut(output, &random)
                #expect(Self.pieces(parts, example) == whole, "\(output.debugDescription) in \(style)")
            }
            let parsed = ParsedOutput(whole)
            #expect(whole.allSatisfy { $0 != .text("") && $0 != .thinking("") })
            #expect(
                parsed.toolCalls.allSatisfy { !$0.name.isEmpty && !$0.id.isEmpty },
                "\(output.debugDescription) \(style)")
            let own: [String]
            switch style.toolCalls {
            case .none: own = []
            case .kimi: own = Array(Self.marks[0..<7])
            case .deepSeek: own = Array(Self.marks[7..<12])
            case .hermes: own = []
            }
            for mark in own {
                // A mark may come together only where another mark was taken out of its middle.
                let isMadeOfParts = Self.marks.contains { output.replacingMarks($0).containsBytes(mark) }
                if !isMadeOfParts {
                    #expect(
                        !parsed.text.containsBytes(mark) && !parsed.thinking.containsBytes(mark),
                        "\(output.debugDescription)")
                }
            }
        }
    }

    @Test func startsNumbersAndEndsComeInOrder() {
        let output = Self.section(Self.kimiCall("functions.f:0", "{\"a\": 1}") + Self.kimiCall("functions.g:1", "{}"))
        var parser = OutputParser(style: Self.kimi)
        var pieces: [ParsedPiece] = []
        for character in "Hi " + output { Self.join(parser.append(String(character)), to: &pieces) }
        Self.join(parser.finish(), to: &pieces)
        #expect(
            pieces == [
                .text("Hi "),
                .toolCallStarted(index: 0, id: "functions.f:0", name: "f"), .toolCallArguments(index: 0, "{\"a\": 1}"),
                .toolCallFinished(index: 0, isComplete: true),
                .toolCallStarted(index: 1, id: "functions.g:1", name: "g"), .toolCallArguments(index: 1, "{}"),
                .toolCallFinished(index: 1, isComplete: true),
            ])
    }

    @Test func argumentsStreamBeforeTheCallEnds() {
        var parser = OutputParser(style: Self.kimi)
        _ = parser.append("<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>")
        #expect(parser.append("{\"text\": \"a") == [.toolCallArguments(index: 0, "{\"text\": \"a")])
        #expect(parser.append("bc <") == [.toolCallArguments(index: 0, "bc")])
        #expect(parser.append("d") == [.toolCallArguments(index: 0, " <d")])
    }

    @Test func textIsNotHeldLongerThanNeeded() {
        var parser = OutputParser(style: Self.hermes)
        #expect(parser.append("Hello") == [.text("Hello")])
        #expect(parser.append(" a <") == [.text(" a")])
        #expect(parser.append("b>") == [.text(" <b>")])
        #expect(parser.append(" <tool_cal") == [])
        #expect(parser.append("m>") == [.text(" <tool_calm>")])
    }

    /// A megabyte of anything, in large and in small parts, takes time in proportion.
    @Test(.timeLimit(.minutes(2))) func workIsLinear() {
        #if DEBUG
            let count = 1 << 15
        #else
            let count = 1 << 20
        #endif
        let units = [
            "<", "<|tool_calls_section_begin|", "</think>", "<think>", " ", "`", "\n", "x", "<|tool_call_begin|>",
            "<|tool_call_end|>",
            Self.kimiCall("functions.f:0", "{}"), Self.kimiCall("3", "{}"), Self.v3Call("f", "{}"),
            "<｜tool▁call▁begin｜>f<｜tool▁sep｜>", "<tool_call>{\"name\": \"f\"}</tool_call>",
            "</tool_call>", "<tool_call>", "\"",
        ]
        let prefixes = [
            "", "<think>", "<tool_call>{\"a\": \"", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>f\n",
            "<|tool_call_begin|>f:0<|tool_call_argument_begin|>", "<|tool_call_begin|>3<|tool_call_argument_begin|>",
        ]
        for unit in units {
            let output = String(repeating: unit, count: count / unit.utf8.count)
            for style in [Self.kimi, Self.deepSeek, Self.hermes] {
                for prefix in prefixes {
                    var parser = OutputParser(style: style, tools: Self.twoTools)
                    var pieces = parser.append(prefix + output).count
                    pieces += parser.finish().count
                    #expect(pieces <= count)
                }
            }
            let part = String(output.prefix(64))
            var parser = OutputParser(style: Self.hermes)
            for _ in 0..<(count / 256) { _ = parser.append(part) }
            _ = parser.finish()
        }
    }

    @Test func stylesAreSeenInTemplates() throws {
        let expected: [String: OutputStyle] = [
            "kimi-k2": OutputStyle(hasThinking: false, toolCalls: .kimi),
            "kimi-k2-queue": OutputStyle(hasThinking: false, toolCalls: .kimi),
            "kimi-k2-thinking": Self.kimi, "kimi-k2-thinking-queue": Self.kimi, "deepseek-v3": Self.deepSeek,
            "deepseek-r1": Self.deepSeek,
            "deepseek-r1-distill": Self.deepSeek, "deepseek-v3.1": Self.deepSeek, "smollm2": .plain,
            "smollm3": Self.thinking,
            "qwen2.5": OutputStyle(hasThinking: false, toolCalls: .hermes), "qwen3": Self.hermes,
            "qwen3-2507": Self.hermes, "qwq": Self.hermes,
            "qwen3-coder": .plain,
        ]
        for name in try TemplateFixtures.names() {
            #expect(OutputStyle.detect(template: try TemplateFixtures.source(name)) == expected[name], "\(name)")
        }
        #expect(OutputStyle.detect(template: nil) == .plain)
        #expect(
            OutputStyle.detect(template: nil) { $0 == "<think>" || $0 == "<|tool_calls_section_begin|>" } == Self.kimi)
    }

    @Test func promptsShowWhetherTheAnswerBeginsInThinking() throws {
        let user = [ChatMessage(role: "user", content: "Q")]
        let openers: [String: [String: JSONValue]] = [
            "deepseek-r1": [:], "deepseek-r1-distill": [:], "deepseek-v3.1": ["thinking": true],
            "qwq": ["enable_thinking": true],
        ]
        for name in try TemplateFixtures.names() {
            let template = try TemplateFixtures.template(name)
            let prompt = try template.render(messages: user, extra: openers[name] ?? [:], now: 0)
            #expect(
                prompt.endsInThinking == (openers[name] != nil), "\(name): \(prompt.text.suffix(60).debugDescription)")
        }
        let quiet = try TemplateFixtures.template("deepseek-v3.1").render(messages: user, extra: ["thinking": false])
        #expect(!quiet.endsInThinking)
        // A user's own mark at the end of a prompt opens nothing.
        let raw = try ChatTemplate(source: "{{ messages[0].content }}", bosToken: nil, eosToken: nil)
        #expect(!(try raw.render(messages: [ChatMessage(role: "user", content: "<think>")]).endsInThinking))
        #expect(!(try raw.render(messages: [ChatMessage(role: "user", content: "")]).endsInThinking))
    }

    /// What a template writes for an assistant's turn is what the parser reads.
    @Test func outputsOfTemplatesAreReadBack() throws {
        let calls = [
            ToolCall(id: "functions.get_weather:0", name: "get_weather", arguments: "{\"city\": \"Oslo <b>\"}"),
            ToolCall(id: "functions.search.web:1", name: "search.web", arguments: "{\"q\": [1, {\"a\": \"}\"}]}"),
        ]
        for name in [
            "kimi-k2-thinking", "kimi-k2-queue", "deepseek-v3", "deepseek-r1", "deepseek-v3.1", "qwen3", "qwen2.5",
        ] {
            let template = try TemplateFixtures.template(name)
            let user = ChatMessage(role: "user", content: "Q")
            let reply = ChatMessage(
                role: "assistant", content: "Let me see.", reasoning: "I need it.", toolCalls: calls)
            let before = try template.render(messages: [user], addGenerationPrompt: true).text
            let after = try template.render(messages: [user, reply], addGenerationPrompt: false).text
            // Where the prompt opens the reasoning, the history leaves the reasoning out.
            let common = zip(before.utf8, after.utf8).prefix { $0 == $1 }.count
            let output = String(decoding: Array(after.utf8)[common...], as: UTF8.self)
            let style = OutputStyle.detect(template: template.source)
            let parsed = ParsedOutput.parse(output, style: style)
            #expect(parsed.toolCalls.map(\.name) == calls.map(\.name), "\(name): \(output)")
            let arguments = parsed.toolCalls.map(\.arguments)
            // This V3.1 template writes arguments that are a string as a JSON string.
            let written =
                name == "deepseek-v3.1" ? calls.map { JSONValue.string($0.arguments).text() } : calls.map(\.arguments)
            #expect(arguments == written, "\(name)")
            if style.toolCalls == .kimi { #expect(parsed.toolCalls.map(\.id) == calls.map(\.id), "\(name)") }
            #expect(parsed.text.hasPrefix("Let me see."), "\(name): \(parsed.text)")
            if name == "kimi-k2-thinking" || name == "qwen3" { #expect(parsed.thinking == "I need it.", "\(name)") }
        }
    }
}

extension String {
    func containsBytes(_ part: String) -> Bool {
        let bytes = Array(utf8)
        let wanted = Array(part.utf8)
        guard wanted.count <= bytes.count else { return false }
        return (0...(bytes.count - wanted.count)).contains { bytes[$0..<($0 + wanted.count)].elementsEqual(wanted) }
    }

    /// The text without a mark, which may bring the halves of another together.
    func replacingMarks(_ mark: String) -> String {
        let bytes = Array(utf8)
        let wanted = Array(mark.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if index + wanted.count <= bytes.count, bytes[index..<(index + wanted.count)].elementsEqual(wanted) {
                index += wanted.count
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
