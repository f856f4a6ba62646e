import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct ResponsesRequestTests {
    private static let minimal = #""model":"k2","input":"Hi""#

    private func parse(_ members: String) throws -> ResponsesRequest {
        let object = try #require(try JSONValue(parsing: "{" + members + "}").objectValue)
        return try ResponsesRequest(RequestFields(object))
    }

    private func model(_ members: String) throws -> ModelRequest {
        let request = try parse(Self.minimal + members)
        var conversation = ResponseConversation()
        for item in request.input { conversation.add(item) }
        return request.modelRequest(conversation, GenerationOptions())
    }

    private func messages(_ input: String, instructions: String? = nil) throws -> [ChatMessage] {
        let request = try parse(#""model":"k2","input":"# + input)
        var conversation = ResponseConversation()
        for item in request.input { conversation.add(item) }
        return conversation.messages(instructions: instructions)
    }

    @Test func `A text is a user's message`() throws {
        #expect(try messages(#""Hi""#) == [ChatMessage(role: "user", content: "Hi")])
    }

    @Test func `Instructions and the client's own system messages are one message at the start`() throws {
        let messages = try messages(
            #"""
            [{"role":"developer","content":"A"},{"type":"message","role":"system","content":[{"type":"input_text","text":"B"}]},
             {"role":"user","content":[{"type":"input_text","text":"c"},{"type":"input_text","text":"d"}]}]
            """#, instructions: "First.")
        #expect(
            messages == [
                ChatMessage(role: "system", content: "First.\n\nA\n\nB"), ChatMessage(role: "user", content: "cd"),
            ])
    }

    @Test func `Reasoning, text and calls that follow each other are one message of the assistant`() throws {
        let messages = try messages(
            #"""
            [{"role":"user","content":"Weather?"},
             {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"Hm."}],"status":"completed"},
             {"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"See:","annotations":[],"logprobs":[]}]},
             {"type":"function_call","id":"fc_1","call_id":"functions.w:0","name":"w","arguments":"{\"c\":1}","status":"completed"},
             {"type":"function_call","call_id":"functions.w:1","name":"w","arguments":"{}"},
             {"type":"function_call_output","call_id":"functions.w:0","output":"12"},
             {"type":"function_call_output","call_id":"functions.w:1","output":[{"type":"input_text","text":"13"}]},
             {"role":"assistant","content":"12 and 13."},{"role":"user","content":"Thanks"}]
            """#)
        #expect(
            messages == [
                ChatMessage(role: "user", content: "Weather?"),
                ChatMessage(
                    role: "assistant", content: "See:", reasoning: "Hm.",
                    toolCalls: [
                        ToolCall(id: "functions.w:0", name: "w", arguments: #"{"c":1}"#),
                        ToolCall(id: "functions.w:1", name: "w", arguments: "{}"),
                    ]),
                ChatMessage(role: "tool", content: "12", toolCallID: "functions.w:0"),
                ChatMessage(role: "tool", content: "13", toolCallID: "functions.w:1"),
                ChatMessage(role: "assistant", content: "12 and 13."), ChatMessage(role: "user", content: "Thanks"),
            ])
    }

    @Test func `Reasoning comes back from its content, its seal or its summary`() throws {
        let sealed = ResponseInputItem.seal("Größe: 5 ≤ 6")
        for item in [
            #"{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"Größe: 5 ≤ 6"}]}"#,
            #"{"type":"reasoning","summary":[],"encrypted_content":"\#(sealed)"}"#,
            #"{"type":"reasoning","summary":[{"type":"summary_text","text":"Größe: 5 ≤ 6"}]}"#,
        ] {
            #expect(
                try messages("[\(item)]") == [ChatMessage(role: "assistant", content: "", reasoning: "Größe: 5 ≤ 6")])
        }
    }

    @Test func `Parameters of generation reach the model`() throws {
        let request = try model(
            #","temperature":0.3,"top_p":0.8,"max_output_tokens":77,"parallel_tool_calls":false,"top_logprobs":3"#)
        #expect(request.options.sampling.temperature == 0.3)
        #expect(request.options.sampling.topP == 0.8)
        #expect(request.options.maximumTokens == 77)
        #expect(!request.parallelToolCalls)
        #expect(request.logprobs == 3)
    }

    @Test func `Effort switches thinking, bounds it, and is told to the template`() throws {
        func effort(_ effort: String) throws -> (Bool?, Int?, JSONValue?) {
            let request = try model(#","reasoning":{"effort":\#(effort)}"#)
            guard case .chat(_, _, let variables) = request.prompt else { return (nil, nil, nil) }
            return (request.options.thinking, request.thinkingBudget, variables["reasoning_effort"])
        }
        #expect(try effort(#""none""#) == (false, nil, nil))
        #expect(try effort(#""low""#) == (true, 2048, "low"))
        #expect(try effort(#""high""#) == (true, nil, "high"))
        #expect(try effort("null") == (nil, nil, nil))
    }

    @Test func `The form of the answer constrains it`() throws {
        if case .free = try model(#","text":{"format":{"type":"text"}}"#).output {} else { Issue.record("text") }
        if case .jsonObject = try model(#","text":{"format":{"type":"json_object"}}"#).output {
        } else {
            Issue.record("json_object")
        }
        let request = try model(
            #","text":{"verbosity":"medium","format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object"}}}"#
        )
        guard case .jsonSchema(["type": "object"], isStrict: true) = request.output else {
            Issue.record("json_schema")
            return
        }
    }

    @Test func `Functions are declared to the template as chat completions have them`() throws {
        let request = try parse(
            Self.minimal
                + #","tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},{"type":"function","name":"g"}]"#
        )
        #expect(
            request.functions == [
                [
                    "type": "function",
                    "function": ["name": "f", "description": "d", "parameters": ["type": "object"], "strict": true],
                ],
                [
                    "type": "function",
                    "function": ["name": "g", "parameters": ["type": "object", "properties": [:]]],
                ],
            ])
        #expect(request.tools[0]["name"] == "f")
        #expect(request.tools[1]["strict"] == false)
    }

    @Test func `Of allowed tools only those are shown to the model`() throws {
        let request = try parse(
            Self.minimal
                + #","tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}],"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]}"#
        )
        #expect(request.functions.map { $0["function"]?["name"] } == ["g"])
        #expect(request.tools.count == 2)
        guard case .required = request.toolChoice else {
            Issue.record("\(request.toolChoice)")
            return
        }
    }

    @Test func `What is included is noted`() throws {
        let request = try parse(
            Self.minimal + #","include":["message.output_text.logprobs","reasoning.encrypted_content"]"#)
        #expect(request.logprobs == 0)
        #expect(request.sealsReasoning)
    }

    static let refusals: [(String, String)] = [
        (#""surprise":1"#, "surprise"), (#""background":true"#, "background"), (#""truncation":"auto""#, "truncation"),
        (#""service_tier":"flex""#, "service_tier"), (#""conversation":"c""#, "conversation"),
        (#""prompt":{"id":"p"}"#, "prompt"), (#""max_tool_calls":3"#, "max_tool_calls"),
        (#""prompt_cache_retention":"forever""#, "prompt_cache_retention"),
        (#""stream_options":{"other":true}"#, "stream_options.other"), (#""moderation":{"model":"m"}"#, "moderation"),
        (#""context_management":[{"type":"compaction"}]"#, "context_management"),
        (#""temperature":2.5"#, "temperature"), (#""max_output_tokens":0"#, "max_output_tokens"),
        (#""max_output_tokens":1.5"#, "max_output_tokens"), (#""top_logprobs":21"#, "top_logprobs"),
        (#""store":"yes""#, "store"), (#""include":["file_search_call.results"]"#, "include[0]"),
        (#""text":{"verbosity":"low"}"#, "text.verbosity"), (#""text":{"format":{"type":"xml"}}"#, "text.format.type"),
        (#""text":{"format":{"type":"json_schema","name":"n"}}"#, "text.format.schema"),
        (#""text":{"format":{"type":"json_schema","name":"a b","schema":{}}}"#, "text.format.name"),
        (#""reasoning":{"effort":"huge"}"#, "reasoning.effort"),
        (#""reasoning":{"summary":"concise"}"#, "reasoning.summary"),
        (#""reasoning":{"summary":"long"}"#, "reasoning.summary"), (#""reasoning":{"depth":1}"#, "reasoning.depth"),
        (#""metadata":{"a":1}"#, "metadata.a"), (#""metadata":[]"#, "metadata"),
        (#""tools":[{"type":"web_search"}]"#, "tools[0].type"), (#""tools":[{"type":"function"}]"#, "tools[0].name"),
        (#""tools":[{"type":"function","name":"a b"}]"#, "tools[0].name"),
        (#""tools":[{"type":"function","name":"f","parameters":[]}]"#, "tools[0].parameters"),
        (#""tools":[{"type":"function","name":"f"},{"type":"function","name":"f"}]"#, "tools[1].name"),
        (#""tool_choice":"required""#, "tool_choice"), (#""tool_choice":"sometimes""#, "tool_choice"),
        (#""tool_choice":5"#, "tool_choice"), (#""tool_choice":{"type":"function","name":"g"}"#, "tool_choice.name"),
        (#""tool_choice":{"type":"mcp","server_label":"x"}"#, "tool_choice.type"),
        (#"!"input":"x""#, "model"), (#"!"model":"k2""#, "input"), (#"!"model":"k2","input":[]"#, "input"),
        (#"!"model":"k2","input":5"#, "input"), (#"!"model":"k2","input":["x"]"#, "input[0]"),
        (#"!"model":"k2","input":[{"role":"robot","content":"x"}]"#, "input[0].role"),
        (#"!"model":"k2","input":[{"role":"user"}]"#, "input[0].content"),
        (
            #"!"model":"k2","input":[{"role":"user","content":[{"type":"input_image","image_url":"http://127.0.0.1/"}]}]"#,
            "input[0].content[0].type"
        ),
        (
            #"!"model":"k2","input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#,
            "input[0].content[0].type"
        ),
        (#"!"model":"k2","input":[{"type":"item_reference","id":"x"}]"#, "input[0].type"),
        (#"!"model":"k2","input":[{"type":"mcp_call"}]"#, "input[0].type"),
        (#"!"model":"k2","input":[{"type":"function_call","name":"f","arguments":"{}"}]"#, "input[0].call_id"),
        (#"!"model":"k2","input":[{"type":"function_call_output","call_id":"x"}]"#, "input[0].output"),
        (
            #"!"model":"k2","input":[{"type":"reasoning","summary":[],"encrypted_content":"gAAAA"}]"#,
            "input[0].encrypted_content"
        ),
        (
            #"!"model":"k2","input":[{"type":"reasoning","summary":[],"encrypted_content":"walet1.!!"}]"#,
            "input[0].encrypted_content"
        ),
        (#"!"model":"k2","input":[{"type":"message","role":"user","content":"x","extra":1}]"#, "input[0].extra"),
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
