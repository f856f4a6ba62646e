import Testing
import WaletGrammar
import WaletJSON
import WaletText

/// Tool calls in all styles, read back by the parser of the models' outputs.
@Suite struct ToolCallTests {
    private static let weather = CallableTool(
        name: "get_weather",
        arguments: .schema([
            "type": "object", "properties": ["city": ["type": "string"], "days": ["type": "integer", "minimum": 1]],
            "required": ["city"], "additionalProperties": false,
        ]))
    private static let search = CallableTool(name: "get_weather_map", arguments: .anyObject)
    private static let tools = [weather, search]

    private static let samples: [(ToolCallStyle, OutputStyle.ToolCalls, one: String, two: String)] = [
        (
            .kimi, .kimi,
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
                + #"{"city": "Ulm"}<|tool_call_end|><|tool_calls_section_end|>"#,
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
                + #"{"city":"Ulm","days":3}<|tool_call_end|><|tool_call_begin|>functions.get_weather_map:1"#
                + #"<|tool_call_argument_begin|>{"x":[1]}<|tool_call_end|><|tool_calls_section_end|>"#
        ),
        (
            .deepSeekV3, .deepSeek,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
                + "{\"city\": \"Ulm\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
                + "{\"city\": \"Ulm\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather_map\n"
                + "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        ),
        (
            .deepSeekV31, .deepSeek,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Ulm\"}"
                + "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Ulm\"}<｜tool▁call▁end｜>"
                + "<｜tool▁call▁begin｜>get_weather_map<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        ),
        (
            .hermes, .hermes,
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Ulm\"}}\n</tool_call>",
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Ulm\"}}\n</tool_call>\n"
                + "<tool_call>\n{\"name\": \"get_weather_map\", \"arguments\": {}}\n</tool_call>"
        ),
    ]

    private func grammar(
        _ style: ToolCallStyle, _ choice: CallChoice, isParallel: Bool = true, firstIndex: Int = 0,
        answer: AnswerForm = .text, thinking: ThinkingPhase? = nil
    ) throws -> TokenGrammar {
        try TokenGrammar(
            .toolCalls(
                Self.tools, style: style, choice: choice, isParallel: isParallel, firstIndex: firstIndex,
                answer: answer, thinking: thinking), vocabulary: Vocabularies.bytes)
    }

    @Test func callsAreWrittenAsTheModelsWriteThem() throws {
        for (style, _, one, two) in Self.samples {
            let required = try grammar(style, .required)
            #expect(accepts(required, one) && accepts(required, two), "\(style)")
            #expect(!accepts(required, "") && !accepts(required, "Hello") && !accepts(required, "Hello" + one))
            #expect(!accepts(required, one.replacing("city", with: "town")))
            #expect(!accepts(required, one.replacing("get_weather", with: "get_news")))
            #expect(!accepts(required, String(one.dropLast())))
            let single = try grammar(style, .required, isParallel: false)
            #expect(accepts(single, one) && !accepts(single, two), "\(style)")
            let named = try grammar(style, .named("get_weather"))
            #expect(accepts(named, one) && !accepts(named, two), "\(style)")
            let other = try grammar(style, .named("get_weather_map"))
            #expect(!accepts(other, one), "\(style)")
        }
    }

    @Test func withoutObligationTextIsFreeAndACallOnceBegunIsWellFormed() throws {
        for (style, _, one, two) in Self.samples {
            let auto = try grammar(style, .auto)
            for text in ["", "Hello <b>", "a < b, <tool", "<think>hm</think> {\"x\": 1}"] {
                #expect(
                    accepts(auto, text) && accepts(auto, text + one) && accepts(auto, text + two), "\(style) \(text)")
            }
            let output = Follower(auto)
            #expect(output.accept("Hello "))
            #expect(output.matcher.canEnd)
            #expect(output.accept(String(one.prefix(40))))
            #expect(!output.matcher.canEnd)
            #expect(!accepts(auto, "Hello " + one.replacing("city", with: "town")))
            #expect(!accepts(auto, one + one.replacing(":0", with: ":1") + " and text"))
            let json = try grammar(
                style, .auto, answer: .jsonSchema(["type": "object", "properties": ["a": true], "required": ["a"]]))
            #expect(accepts(json, "{\"a\":1}") && accepts(json, one) && !accepts(json, "Hello") && !accepts(json, ""))
        }
    }

    @Test func kimisIndicesCountThroughTheConversation() throws {
        func section(_ indices: [Int]) -> String {
            let calls = indices.map {
                "<|tool_call_begin|>functions.get_weather:\($0)<|tool_call_argument_begin|>{\"city\": \"\"}<|tool_call_end|>"
            }
            return "<|tool_calls_section_begin|>" + calls.joined() + "<|tool_calls_section_end|>"
        }
        let grammar = try grammar(.kimi, .required, firstIndex: 98)
        #expect(accepts(grammar, section([98])) && accepts(grammar, section([98, 99, 100])))
        #expect(
            !accepts(grammar, section([0])) && !accepts(grammar, section([98, 98])) && !accepts(grammar, section([9])))
        #expect(!accepts(grammar, section([98, 100])) && !accepts(grammar, section([980])))
        let last = try self.grammar(.kimi, .required, firstIndex: .max)
        #expect(accepts(last, section([.max])))
    }

    @Test func reasoningComesFirst() throws {
        for (style, _, one, _) in Self.samples {
            let opened = try grammar(style, .required, thinking: ThinkingPhase(.opened))
            #expect(accepts(opened, "I should call </it>\n</think>\n\n" + one) && accepts(opened, "</think>" + one))
            #expect(!accepts(opened, one) && !accepts(opened, "hm</think>\n\n\n" + one))
            let optional = try grammar(style, .required, thinking: ThinkingPhase(.optional))
            #expect(accepts(optional, one) && accepts(optional, "<think>\nhm\n</think>\n\n" + one))
            #expect(!accepts(optional, "hm</think>" + one) && !accepts(optional, "<think>" + one))
            let auto = try grammar(style, .auto, thinking: ThinkingPhase(.opened))
            #expect(accepts(auto, "hm</think>Hello") && accepts(auto, "hm</think>Hello" + one))
            #expect(!accepts(auto, "hm") && !accepts(auto, "hm</think>a</think>b"))
        }
        let json = try TokenGrammar(
            .jsonObject(thinking: ThinkingPhase(.opened)), vocabulary: Vocabularies.bytes)
        #expect(accepts(json, "Let me see: {\"a\": 2} is wrong.</think>\n\n{\"a\": 1}"))
        #expect(!accepts(json, "{\"a\": 1}"))
    }

    /// A budget for thinking puts the closing mark where the matcher allows it.
    @Test func reasoningCanBeClosedAfterAnyTokenOfItEvenWithinACharacter() throws {
        let (tokenizer, strings, trie) = try Vocabularies.kimi()
        let close = try #require(tokenizer.id(ofToken: "</think>"))
        let marked = ThinkingPhase(.opened, closing: OutputMark("</think>", token: close))
        let tools = try Grammar.toolCalls(
            Self.tools, style: .kimi, choice: .required, thinking: marked, token: { tokenizer.id(ofToken: $0) })
        var random = SeededGenerator(state: 33)
        var withinCharacters = 0
        for grammar in [try Grammar.jsonObject(thinking: marked), tools] {
            let output = try Follower(grammar, trie)
            // The first bytes of a character of four, one token each, and of marks; then whatever is allowed.
            let beginnings = ["\u{1F600}", "</think", "<|tool_calls_section_beg", "<", "é"].flatMap { Array($0.utf8) }
            let bytes = beginnings.map { byte in strings.firstIndex { $0 == [byte] } ?? -1 }
            let others = (0..<300).map { _ in Int.random(in: 0..<strings.count, using: &random) }
            for token in bytes + others where token != close && output.matcher.allows(token) {
                #expect(output.accept(token))
                withinCharacters += (strings[token]?.last ?? 0) >= 0xC0 ? 1 : 0
                #expect(output.mask.contains(close) && output.matcher.allows(close))
                let closed = Follower(output.matcher)
                #expect(closed.accept(close))
                #expect(!closed.mask.isEmpty && !closed.mask.contains(close) && !closed.matcher.canEnd)
            }
        }
        #expect(withinCharacters >= 4)
        // Where the mark has no token, its spelling may come after any byte of the text.
        let spelled = try Follower(.jsonObject(thinking: ThinkingPhase(.opened)), Vocabularies.bytes)
        for byte in Array("a\u{1F600}</thi".utf8) {
            #expect(spelled.accept(Int(byte)))
            let closed = Follower(spelled.matcher)
            #expect(closed.accept("</think>{}") && closed.matcher.canEnd)
        }
    }

    @Test func marksAreTokensWhereTheVocabularyHasThem() throws {
        let (tokenizer, _, trie) = try Vocabularies.kimi()
        let id: (String) -> Int? = { tokenizer.id(ofToken: $0) }
        let thinking = ThinkingPhase(
            .optional, opening: OutputMark("<think>", token: id("<think>")),
            closing: OutputMark("</think>", token: id("</think>")))
        let grammar = try TokenGrammar(
            .toolCalls(Self.tools, style: .kimi, choice: .auto, thinking: thinking, token: id), vocabulary: trie)
        let whole = Follower(grammar)
        let output =
            "<think>hm</think>Hello<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
            + "<|tool_call_argument_begin|>{\"city\": \"Ulm\"}<|tool_call_end|><|tool_calls_section_end|><|im_end|>"
        for token in tokenizer.encode(output, addSpecial: false) {
            #expect(whole.mask.contains(token))
            #expect(whole.accept(token), "\(token)")
        }
        #expect(whole.matcher.isFinished)

        // Spelled with ordinary tokens, a mark is no mark, and text must not look like one.
        let spelled = Follower(grammar)
        #expect(!spelled.accept("<|tool_calls_section_begin|>"))
        #expect(!spelled.accept("Hello <|tool_call_end|>"))
        #expect(spelled.accept("Hello <|tool_calls"))
        #expect(spelled.mask.contains(id("<|tool_calls_section_begin|>") ?? -1))
        #expect(!spelled.mask.contains(id("<|tool_call_end|>") ?? -1) && spelled.mask.contains(trie.endTokens[0]))

        let required = try Follower(
            .toolCalls(Self.tools, style: .kimi, choice: .required, token: id), trie)
        #expect(required.matcher.forcedToken == id("<|tool_calls_section_begin|>"))
        #expect(required.forced == "")
        #expect(required.accept(required.matcher.forcedToken ?? -1))
        #expect(required.accept(required.matcher.forcedToken ?? -1))
        #expect(required.forced == "functions.get_weather")
    }

    @Test func randomCallsAreReadBackWhole() throws {
        var random = SeededGenerator(state: 31)
        let (_, strings, trie) = try Vocabularies.kimi()
        for (style, parsed, _, _) in Self.samples {
            for choice in [CallChoice.required, .named("get_weather"), .auto] {
                let grammar = try TokenGrammar(
                    .toolCalls(Self.tools, style: style, choice: choice, thinking: ThinkingPhase(.optional)),
                    vocabulary: trie)
                for round in 0..<12 {
                    let walk = RandomWalk(grammar, strings, length: round * 8, &random, endings: ["</think>"])
                    #expect(walk.refused == nil && !walk.isStuck && walk.isComplete)
                    // Free text is any bytes; what is no UTF-8 is replaced, as a server does.
                    let text = walk.text
                    let output = ParsedOutput.parse(text, style: OutputStyle(hasThinking: true, toolCalls: parsed))
                    #expect(output.malformedToolCalls.isEmpty && output.incompleteCalls.isEmpty, "\(text)")
                    if choice != .auto { #expect(!output.toolCalls.isEmpty, "\(text)") }
                    for call in output.toolCalls {
                        #expect(["get_weather", "get_weather_map"].contains(call.name))
                        let arguments = try JSONValue(parsing: call.arguments)
                        #expect(arguments.objectValue != nil)
                        if call.name == "get_weather" { #expect(arguments["city"]?.stringValue != nil) }
                    }
                }
            }
        }
    }

    @Test func toolsThatCannotBeCalledAreRefused() throws {
        func error(_ tools: [CallableTool], _ choice: CallChoice = .required) -> GrammarError? {
            do throws(GrammarError) {
                _ = try Grammar.toolCalls(tools, style: .hermes, choice: choice)
                return nil
            } catch {
                return error
            }
        }
        for name in ["", "a b", "a\"b", "a\nb", "<tool_call>", String(repeating: "x", count: 300)] {
            guard case .tool? = error([CallableTool(name: name, arguments: .anyObject)]) else {
                Issue.record("\(name)")
                continue
            }
        }
        guard case .tool? = error([]), case .tool? = error([Self.weather, Self.weather]),
            case .tool(name: "none", _, _)? = error(Self.tools, .named("none"))
        else {
            Issue.record("no error")
            return
        }
        let broken = CallableTool(
            name: "f", arguments: .schema(["type": "object", "properties": ["a": ["type": "x"]]]))
        #expect(error([broken])?.path == "f#/properties/a/type")
        guard case .unsatisfiable? = error([CallableTool(name: "f", arguments: .schema(["type": "string"]))]) else {
            Issue.record("arguments that are no object")
            return
        }
        #expect(throws: GrammarError.self) { try CallableTool(declaration: ["type": "function", "function": [:]]) }
        let loose = try CallableTool(declaration: [
            "type": "function", "function": ["name": "f", "parameters": ["type": "nonsense"]],
        ])
        #expect(error([loose]) == nil)
        let strict = try CallableTool(declaration: ["name": "f", "strict": true, "parameters": ["type": "nonsense"]])
        #expect(error([strict])?.path == "f#/type")
    }
}
