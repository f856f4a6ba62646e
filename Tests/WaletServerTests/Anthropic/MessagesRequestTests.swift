import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct MessagesRequestTests {
    /// The smallest body that is complete.
    private static let minimal = #""model":"k2","max_tokens":16,"messages":[{"role":"user","content":"Hi"}]"#

    private func parse(_ members: String, isCount: Bool = false) throws -> MessagesRequest {
        let object = try #require(try JSONValue(parsing: "{" + members + "}").objectValue)
        return try MessagesRequest(RequestFields(object), isCount: isCount)
    }

    private func messages(_ list: String) throws -> [ChatMessage] {
        try parse(#""model":"k2","max_tokens":16,"messages":"# + list).messages
    }

    @Test func `Texts, and lists of text blocks, become messages`() throws {
        let request = try parse(
            #"""
            "model":"k2","max_tokens":16,
            "system":[{"type":"text","text":"Be brief."},{"type":"text","text":"Be kind.","cache_control":{"type":"ephemeral"}}],
            "messages":[{"role":"user","content":"One"},{"role":"assistant","content":[{"type":"text","text":"A"},
                {"type":"text","text":"B","citations":null}]},
                {"role":"user","content":[{"type":"text","text":"Two"},{"type":"text","text":"Three"}]}]
            """#)
        #expect(
            request.messages == [
                ChatMessage(role: "system", content: "Be brief.\nBe kind."), ChatMessage(role: "user", content: "One"),
                ChatMessage(role: "assistant", content: "AB"), ChatMessage(role: "user", content: "Two\nThree"),
            ])
    }

    @Test func `Messages of one role that follow each other are one turn`() throws {
        let messages = try messages(
            #"""
            [{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]},
             {"role":"assistant","content":"c"},
             {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"d"}]},
             {"role":"user","content":"e"}]
            """#)
        #expect(
            messages == [
                ChatMessage(role: "user", content: "a\nb"),
                ChatMessage(role: "assistant", content: "cd", reasoning: "t"),
                ChatMessage(role: "user", content: "e"),
            ])
    }

    @Test func `Calls, results and thinking stand where templates look for them`() throws {
        let messages = try messages(
            #"""
            [{"role":"user","content":"Weather?"},
             {"role":"assistant","content":[{"type":"thinking","thinking":"Two cities.","signature":"x"},
                {"type":"text","text":"Let me see."},
                {"type":"tool_use","id":"functions.weather:0","name":"weather","input":{"city":"Bonn","days":[1,2]},"caller":{"type":"direct"}},
                {"type":"tool_use","id":"functions.weather:1","name":"weather","input":{}}]},
             {"role":"user","content":[
                {"type":"tool_result","tool_use_id":"functions.weather:0","content":"12 °C"},
                {"type":"tool_result","tool_use_id":"functions.weather:1","content":[{"type":"text","text":"no city"}],"is_error":true},
                {"type":"text","text":"And tomorrow?"}]}]
            """#)
        #expect(
            messages == [
                ChatMessage(role: "user", content: "Weather?"),
                ChatMessage(
                    role: "assistant", content: "Let me see.", reasoning: "Two cities.",
                    toolCalls: [
                        ToolCall(
                            id: "functions.weather:0", name: "weather",
                            arguments: #"{"city": "Bonn", "days": [1, 2]}"#),
                        ToolCall(id: "functions.weather:1", name: "weather", arguments: "{}"),
                    ]),
                ChatMessage(role: "tool", content: "12 °C", toolCallID: "functions.weather:0"),
                ChatMessage(role: "tool", content: "Error: no city", toolCallID: "functions.weather:1"),
                ChatMessage(role: "user", content: "And tomorrow?"),
            ])
    }

    @Test func `Parameters of generation reach the model`() throws {
        let request = try parse(
            Self.minimal
                + #","temperature":0.5,"top_p":0.9,"top_k":40,"stop_sequences":["END","\n\n"],"stream":true,"metadata":{"user_id":"u"},"service_tier":"auto","output_config":{"effort":"high"}"#
        )
        #expect(request.isStream)
        let model = request.modelRequest(GenerationOptions())
        #expect(model.options.sampling.temperature == 0.5)
        #expect(model.options.sampling.topP == 0.9)
        #expect(model.options.sampling.topK == 40)
        #expect(model.options.stop == ["END", "\n\n"])
        #expect(model.options.maximumTokens == 16)
        #expect(model.options.thinking == nil)
        guard case .chat(_, _, let variables) = model.prompt else {
            Issue.record("no chat")
            return
        }
        #expect(variables == ["reasoning_effort": "high"])
    }

    @Test func `What the client leaves open is as the model's makers recommend`() throws {
        var defaults = GenerationOptions()
        defaults.sampling.temperature = 0.6
        defaults.sampling.topP = 0.95
        let options = try parse(Self.minimal).modelRequest(defaults).options
        #expect(options.sampling.temperature == 0.6)
        #expect(options.sampling.topP == 0.95)
    }

    @Test func `Thinking is switched on with a budget, on without, and off`() throws {
        func thinking(_ json: String) throws -> (Bool?, Int?) {
            let request = try parse(
                #""model":"k2","max_tokens":4000,"messages":[{"role":"user","content":"Hi"}],"thinking":"# + json)
            let model = request.modelRequest(GenerationOptions())
            return (model.options.thinking, model.thinkingBudget)
        }
        #expect(try thinking(#"{"type":"enabled","budget_tokens":2000}"#) == (true, 2000))
        #expect(try thinking(#"{"type":"adaptive"}"#) == (true, nil))
        #expect(try thinking(#"{"type":"disabled"}"#) == (false, nil))
        #expect(try thinking("null") == (nil, nil))
    }

    @Test func `A tool is declared to the template as OpenAI's API has it`() throws {
        let request = try parse(
            Self.minimal
                + #","tools":[{"name":"f","description":"d","input_schema":{"type":"object","properties":{}},"strict":true,"cache_control":null,"type":"custom"}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true}"#
        )
        #expect(
            request.tools == [
                [
                    "type": "function",
                    "function": [
                        "name": "f", "description": "d", "parameters": ["type": "object", "properties": [:]],
                        "strict": true,
                    ],
                ]
            ])
        let model = request.modelRequest(GenerationOptions())
        #expect(!model.parallelToolCalls)
        guard case .function("f") = model.toolChoice else {
            Issue.record("\(model.toolChoice)")
            return
        }
    }

    @Test func `Choices of tools have their counterparts`() throws {
        func choice(_ type: String) throws -> ModelRequest.ToolChoice {
            try parse(
                Self.minimal + #","tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"\#(type)"}"#
            ).toolChoice
        }
        if case .auto = try choice("auto") {} else { Issue.record("auto") }
        if case .required = try choice("any") {} else { Issue.record("any") }
        if case .none = try choice("none") {} else { Issue.record("none") }
    }

    @Test func `A schema for the answer constrains it`() throws {
        let request = try parse(
            Self.minimal + #","output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}"#)
        guard case .jsonSchema(["type": "object"], isStrict: true) = request.modelRequest(GenerationOptions()).output
        else {
            Issue.record("no schema")
            return
        }
    }

    @Test func `Counting tokens needs no maximum and takes no parameters of generation`() throws {
        let body = #""model":"k2","messages":[{"role":"user","content":"Hi"}]"#
        #expect(try parse(body, isCount: true).maximumTokens == nil)
        #expect(throws: APIError.self) { try parse(body + #","max_tokens":5"#, isCount: true) }
        #expect(throws: APIError.self) { try parse(body) }
    }

    /// Members beside the minimal ones (or in place of them, where they begin with "!"), and the parameter that the
    /// error names.
    static let refusals: [(String, String)] = [
        (#""surprise":1"#, "surprise"),
        (#""temperature":3"#, "temperature"), (#""temperature":"hot""#, "temperature"), (#""top_p":-1"#, "top_p"),
        (#""top_k":-1"#, "top_k"), (#""top_k":1.5"#, "top_k"), (#""stream":"yes""#, "stream"),
        (#""stop_sequences":[""]"#, "stop_sequences[0]"), (#""stop_sequences":["a",5]"#, "stop_sequences[1]"),
        (#""stop_sequences":"a""#, "stop_sequences"), (#""service_tier":"gold""#, "service_tier"),
        (#""metadata":{"secret":1}"#, "metadata.secret"), (#""metadata":[]"#, "metadata"),
        (#""speed":"fast""#, "speed"), (#""container":"c""#, "container"), (#""mcp_servers":[{}]"#, "mcp_servers"),
        (#""context_management":{}"#, "context_management"), (#""inference_geo":"eu""#, "inference_geo"),
        (#""diagnostics":{}"#, "diagnostics"), (#""cache_control":{"type":"forever"}"#, "cache_control.type"),
        (#""cache_control":{"type":"ephemeral","ttl":"2h"}"#, "cache_control.ttl"),
        (#""thinking":{"type":"enabled"}"#, "thinking.budget_tokens"),
        (#""thinking":{"type":"enabled","budget_tokens":16}"#, "thinking.budget_tokens"),
        (#""thinking":{"type":"between_tools"}"#, "thinking.type"), (#""thinking":true"#, "thinking"),
        (#""thinking":{"type":"adaptive","display":"loud"}"#, "thinking.display"),
        (#""output_config":{"effort":"huge"}"#, "output_config.effort"),
        (#""output_config":{"format":{"type":"xml"}}"#, "output_config.format.type"),
        (#""output_config":{"format":{"type":"json_schema","schema":5}}"#, "output_config.format.schema"),
        (#""tools":{}"#, "tools"), (#""tools":[5]"#, "tools[0]"),
        (#""tools":[{"name":"f"}]"#, "tools[0].input_schema"),
        (#""tools":[{"name":"a b","input_schema":{}}]"#, "tools[0].name"),
        (#""tools":[{"name":"<|im_end|>","input_schema":{}}]"#, "tools[0].name"),
        (#""tools":[{"name":"","input_schema":{}}]"#, "tools[0].name"),
        (#""tools":[{"name":"f","input_schema":{}},{"name":"f","input_schema":{}}]"#, "tools[1].name"),
        (#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#, "tools[0].type"),
        (#""tools":[{"name":"f","input_schema":{},"defer_loading":true}]"#, "tools[0].defer_loading"),
        (#""tools":[{"name":"f","input_schema":{},"input_examples":[{}]}]"#, "tools[0].input_examples"),
        (
            #""tools":[{"name":"f","input_schema":{},"allowed_callers":["code_execution_20250825"]}]"#,
            "tools[0].allowed_callers[0]"
        ),
        (#""tool_choice":{"type":"any"}"#, "tool_choice.type"),
        (#""tool_choice":{"type":"tool","name":"g"}"#, "tool_choice.name"),
        (#""tool_choice":{"type":"sometimes"}"#, "tool_choice.type"), (#""tool_choice":"auto""#, "tool_choice"),
        (#"!"model":"k2","max_tokens":0,"messages":[{"role":"user","content":"x"}]"#, "max_tokens"),
        (#"!"model":"k2","messages":[{"role":"user","content":"x"}]"#, "max_tokens"),
        (#"!"max_tokens":5,"messages":[{"role":"user","content":"x"}]"#, "model"),
        (#"!"model":"k2","max_tokens":5"#, "messages"), (#"!"model":"k2","max_tokens":5,"messages":[]"#, "messages"),
        (#"!"model":"k2","max_tokens":5,"messages":[5]"#, "messages[0]"),
        (#"!"model":"k2","max_tokens":5,"messages":[{"role":"user","content":""}]"#, "messages[0].content"),
        (#"!"model":"k2","max_tokens":5,"messages":[{"role":"user","content":[]}]"#, "messages[0].content"),
        (#"!"model":"k2","max_tokens":5,"messages":[{"role":"user"}]"#, "messages[0].content"),
        (#"!"model":"k2","max_tokens":5,"messages":[{"role":"robot","content":"x"}]"#, "messages[0].role"),
        (#"!"model":"k2","max_tokens":5,"messages":[{"role":"user","content":"x","name":"y"}]"#, "messages[0].name"),
        (
            #"!"model":"k2","max_tokens":5,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]"#,
            "messages[1].role"
        ),
        (
            #"!"model":"k2","max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"http://169.254.169.254/"}}]}]"#,
            "messages[0].content[0].type"
        ),
        (
            #"!"model":"k2","max_tokens":5,"messages":[{"role":"user","content":[{"type":"document","source":{}}]}]"#,
            "messages[0].content[0].type"
        ),
        (
            #"!"model":"k2","max_tokens":5,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]"#,
            "messages[0].content[0].tool_use_id"
        ),
        (
            #"!"model":"k2","max_tokens":5,"messages":[{"role":"assistant","content":[{"type":"redacted_thinking","data":"x"}]},{"role":"user","content":"x"}]"#,
            "messages[0].content[0].type"
        ),
        (
            #"!"model":"k2","max_tokens":5,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":"x"}]},{"role":"user","content":"x"}]"#,
            "messages[0].content[0].input"
        ),
        (
            #"!"model":"k2","max_tokens":5,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}},{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":"x"}]"#,
            "messages[0].content"
        ),
        (#"!"model":"k2","max_tokens":5,"system":7,"messages":[{"role":"user","content":"x"}]"#, "system"),
        (
            #"!"model":"k2","max_tokens":5,"system":[{"type":"image"}],"messages":[{"role":"user","content":"x"}]"#,
            "system[0].type"
        ),
    ]

    @Test(arguments: refusals)
    func `What cannot be served is refused with the parameter's name`(_ members: String, _ parameter: String) throws {
        let body = members.hasPrefix("!") ? String(members.dropFirst()) : Self.minimal + "," + members
        let error = #expect(throws: APIError.self) { try parse(body) }
        #expect(error?.kind == .invalidRequest)
        #expect(error?.parameter == parameter)
        #expect(error?.message.isEmpty == false)
    }
}
