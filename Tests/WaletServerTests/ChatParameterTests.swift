import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import Walet
import struct WaletJSON.JSONObject

@testable import WaletServer

@Suite struct ChatParameterTests {
    /// The request that the model gets, or the error's parameter and code.
    private static func send(_ members: [(String, JSONValue)]) async throws -> (ModelRequest?, JSONValue) {
        var object = JSONObject([("model", "fake"), ("messages", [["role": "user", "content": "Hi"]])])
        for (key, value) in members { object[key] = value }
        let server = TestServer()
        let json = try await TestServer.post(server, .object(object))
        return (server.model.requests.first, json)
    }

    // JSON as text: literals of so many values take the compiler minutes.
    private static func long(_ bytes: Int) -> String { "\"\(String(repeating: "x", count: bytes))\"" }
    private static func list(_ count: Int, _ element: String) -> String {
        "[\(Array(repeating: element, count: count).joined(separator: ","))]"
    }
    private static func members(_ count: Int, _ value: String) -> String {
        "{\((0..<count).map { "\"\($0)\":\(value)" }.joined(separator: ","))}"
    }
    private static let tool = #"{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}"#

    private static let weather: JSONValue = [
        "type": "function",
        "function": ["name": "weather", "parameters": ["type": "object", "properties": ["city": ["type": "string"]]]],
    ]

    static let wrong: [(String, String, String)] = [
        ("n", "0", "n"),
        ("n", "-1", "n"),
        ("n", "129", "n"),
        ("n", "1000000000", "n"),
        ("n", "1.5", "n"),
        ("n", #""1""#, "n"),
        ("temperature", "-0.1", "temperature"),
        ("temperature", "2.1", "temperature"),
        ("temperature", #""1""#, "temperature"),
        ("temperature", "1e300", "temperature"),
        ("top_p", "-0.1", "top_p"),
        ("top_p", "1.1", "top_p"),
        ("top_k", "-2", "top_k"),
        ("top_k", "9223372036854775807", "top_k"),
        ("min_p", "2", "min_p"),
        ("repetition_penalty", "0", "repetition_penalty"),
        ("presence_penalty", "-2.5", "presence_penalty"),
        ("frequency_penalty", "3", "frequency_penalty"),
        ("frequency_penalty", "true", "frequency_penalty"),
        ("max_tokens", "0", "max_tokens"),
        ("max_tokens", "-5", "max_tokens"),
        ("max_tokens", "1e18", "max_tokens"),
        ("max_completion_tokens", "0", "max_completion_tokens"),
        ("seed", "1e30", "seed"),
        ("seed", #""1""#, "seed"),
        ("stop", "1", "stop"),
        ("stop", #"[""]"#, "stop"),
        ("stop", "[1]", "stop"),
        ("stop", #""""#, "stop"),
        ("stop", list(17, "\"x\""), "stop"),
        ("stop", long(513), "stop"),
        ("logit_bias", #"{"x":1}"#, "logit_bias"),
        ("logit_bias", #"{"1":101}"#, "logit_bias"),
        ("logit_bias", #"{"-1":1}"#, "logit_bias"),
        ("logit_bias", #"{"1":"1"}"#, "logit_bias"),
        ("logit_bias", #"{"99999999999999999999":1}"#, "logit_bias"),
        ("logit_bias", "[1]", "logit_bias"),
        ("logit_bias", members(1025, "1"), "logit_bias"),
        ("top_logprobs", "1", "top_logprobs"),
        ("top_logprobs", "21", "top_logprobs"),
        ("logprobs", "1", "logprobs"),
        ("stream", #""true""#, "stream"),
        ("stream", "1", "stream"),
        ("stream_options", #"{"include_usage":true}"#, "stream_options"),
        ("user", "5", "user"),
        ("user", long(1025), "user"),
        ("safety_identifier", long(1025), "safety_identifier"),
        ("metadata", #"{"a":1}"#, "metadata"),
        ("metadata", #""a""#, "metadata"),
        ("metadata", members(17, "\"x\""), "metadata"),
        ("store", #""yes""#, "store"),
        ("service_tier", #""priority""#, "service_tier"),
        ("service_tier", #""flex""#, "service_tier"),
        ("reasoning_effort", #""extreme""#, "reasoning_effort"),
        ("reasoning_effort", "3", "reasoning_effort"),
        ("thinking", "true", "thinking"),
        ("thinking", #"{"type":"maybe"}"#, "thinking.type"),
        ("thinking", #"{"type":"enabled","budget_tokens":-1}"#, "thinking.budget_tokens"),
        ("thinking", #"{"type":"enabled","else":1}"#, "thinking.else"),
        ("chat_template_kwargs", #"{"messages":[]}"#, "chat_template_kwargs.messages"),
        ("chat_template_kwargs", #"{"add_generation_prompt":false}"#, "chat_template_kwargs.add_generation_prompt"),
        ("chat_template_kwargs", #"{"chat_template":"x"}"#, "chat_template_kwargs.chat_template"),
        ("chat_template_kwargs", #"{"bos_token":"x"}"#, "chat_template_kwargs.bos_token"),
        ("chat_template_kwargs", #"{"other":1}"#, "chat_template_kwargs.other"),
        ("chat_template_kwargs", #"{"enable_thinking":"yes"}"#, "chat_template_kwargs.enable_thinking"),
        ("chat_template_kwargs", #""x""#, "chat_template_kwargs"),
        ("response_format", #""json""#, "response_format"),
        ("response_format", #"{"type":"xml"}"#, "response_format.type"),
        ("response_format", #"{"type":"json_schema"}"#, "response_format.json_schema"),
        (
            "response_format", #"{"type":"json_schema","json_schema":{"name":"a"}}"#,
            "response_format.json_schema.schema"
        ),
        (
            "response_format", #"{"type":"json_schema","json_schema":{"name":"a b","schema":{}}}"#,
            "response_format.json_schema.name"
        ),
        ("tools", "[1]", "tools[0]"),
        ("tools", #"[{"type":"custom"}]"#, "tools[0].type"),
        ("tools", #"[{"type":"function"}]"#, "tools[0].function"),
        ("tools", #"[{"type":"function","function":{"name":""}}]"#, "tools[0].function.name"),
        ("tools", #"[{"type":"function","function":{"name":"<|im_end|>"}}]"#, "tools[0].function.name"),
        ("tools", #"[{"type":"function","function":{"name":"a\nb"}}]"#, "tools[0].function.name"),
        ("tools", "[{\"type\":\"function\",\"function\":{\"name\":\(long(65))}}]", "tools[0].function.name"),
        ("tools", #"[{"type":"function","function":{"name":"a","parameters":"x"}}]"#, "tools[0].function.parameters"),
        ("tools", "[\(tool),\(tool)]", "tools[1].function.name"),
        ("tools", list(129, tool), "tools"),
        ("tool_choice", #""required""#, "tool_choice"),
        ("tool_choice", #""any""#, "tool_choice"),
        ("tool_choice", #"{"type":"function","function":{"name":"x"}}"#, "tool_choice"),
        ("tool_choice", #"{"type":"allowed_tools"}"#, "tool_choice.type"),
        ("parallel_tool_calls", #""no""#, "parallel_tool_calls"),
        ("messages", "[]", "messages"),
        ("messages", "null", "messages"),
        ("messages", #""Hi""#, "messages"),
        ("messages", "[1]", "messages[0]"),
        ("messages", #"[{"role":"user"}]"#, "messages[0].content"),
        ("messages", #"[{"role":"robot","content":"x"}]"#, "messages[0].role"),
        ("messages", #"[{"content":"x"}]"#, "messages[0].role"),
        ("messages", #"[{"role":"tool","content":"x"}]"#, "messages[0].tool_call_id"),
        ("messages", #"[{"role":"user","content":1}]"#, "messages[0].content"),
        ("messages", #"[{"role":"user","content":[{"type":"text"}]}]"#, "messages[0].content[0].text"),
        ("messages", #"[{"role":"function","content":"x","name":"f"}]"#, "messages[0].role"),
        (
            "messages", #"[{"role":"assistant","content":"x","function_call":{"name":"f"}}]"#,
            "messages[0].function_call"
        ),
        (
            "messages", #"[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"<x>"}}]}]"#,
            "messages[0].tool_calls[0].function.name"
        ),
        ("messages", #"[{"role":"assistant","content":"x","partial":true}]"#, "messages[0].partial"),
        ("model", "5", "model"),
        ("model", "null", "model"),
        ("frobnicate", "1", "frobnicate"),
        ("ignore_eos", "1", "ignore_eos"),
    ]

    @Test(arguments: wrong)
    func whatIsWrongIsNamed(key: String, value: String, parameter: String) async throws {
        let (request, json) = try await Self.send([(key, try JSONValue(parsing: value))])
        #expect(request == nil)
        #expect(json.at("error.type") == "invalid_request_error")
        #expect(json.at("error.param")?.stringValue == parameter)
        #expect(json.at("error.code") != .null)
    }

    static let refused: [(String, String)] = [
        ("audio", #"{"voice":"x","format":"wav"}"#),
        ("modalities", #"["text","audio"]"#),
        ("prediction", #"{"type":"content","content":"x"}"#),
        ("web_search_options", "{}"),
        ("functions", #"[{"name":"f"}]"#),
        ("function_call", #""auto""#),
        ("verbosity", #""low""#),
        ("tools", #"[{"type":"custom","custom":{"name":"x"}}]"#),
        ("chat_template_kwargs", #"{"tools":[]}"#),
    ]

    @Test(arguments: refused)
    func whatIsKnownAndNotOfferedIsRefusedByName(key: String, value: String) async throws {
        let (request, json) = try await Self.send([(key, try JSONValue(parsing: value))])
        #expect(request == nil)
        #expect(json.at("error.code") == "unsupported_parameter")
        #expect(json.at("error.param")?.stringValue?.hasPrefix(key) == true)
    }

    static let harmless: [(String, String)] = [
        ("user", #""someone""#),
        ("safety_identifier", #""s""#),
        ("metadata", #"{"a":"b"}"#),
        ("store", "true"),
        ("store", "false"),
        ("service_tier", #""auto""#),
        ("service_tier", #""default""#),
        ("prompt_cache_key", #""k""#),
        ("cache_salt", #""s""#),
        ("prompt_cache_retention", #""24h""#),
        ("modalities", #"["text"]"#),
        ("verbosity", #""medium""#),
        ("function_call", #""none""#),
        ("audio", "null"),
        ("prediction", "null"),
        ("stop", "null"),
        ("n", "null"),
        ("tools", "null"),
        ("tools", "[]"),
        ("logit_bias", "null"),
        ("response_format", "null"),
        ("tool_choice", #""auto""#),
        ("parallel_tool_calls", "true"),
        ("chat_template_kwargs", "{}"),
        ("stream", "false"),
        ("logprobs", "false"),
        ("top_logprobs", "0"),
        ("max_tokens", "null"),
    ]

    @Test(arguments: harmless)
    func whatChangesNothingIsAccepted(key: String, value: String) async throws {
        let (request, json) = try await Self.send([(key, try JSONValue(parsing: value))])
        #expect(json["object"] == "chat.completion", "\(json.text())")
        let plain = try #require(try await Self.send([]).0)
        #expect(String(describing: request!) == String(describing: plain))
    }

    @Test func labelsNeverSeparateCachesOrTenants() async throws {
        let (request, _) = try await Self.send([
            ("user", "other"), ("cache_salt", "x"), ("prompt_cache_key", "y"), ("metadata", ["tenant": "b"]),
        ])
        #expect(request?.tenant == "tenant-a")
        #expect(request?.owner == "wk_user")
        #expect(request?.priority == 3)
    }

    @Test(arguments: ["tenant", "owner", "priority", "role", "route", "budget", "key", "models", "allowed_routes"])
    func aCallerCannotSetWhoItIs(key: String) async throws {
        let (request, json) = try await Self.send([(key, "admin")])
        #expect(request == nil)
        #expect(json.at("error.code") == "unknown_parameter")
    }

    @Test func samplingReachesTheModel() async throws {
        let (request, _) = try await Self.send([
            ("temperature", 0.7), ("top_p", 0.9), ("top_k", 40), ("min_p", 0.05), ("repetition_penalty", 1.1),
            ("presence_penalty", 0.5), ("frequency_penalty", -0.5), ("seed", 42), ("stop", ["a", "b"]),
            ("max_tokens", 7), ("logit_bias", ["50": -100, "60": 1.5]),
        ])
        let options = try #require(request?.options)
        #expect(
            options.sampling
                == SamplingParameters(
                    temperature: 0.7, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1, presencePenalty: 0.5,
                    frequencyPenalty: -0.5, seed: 42))
        #expect(options.stop == ["a", "b"])
        #expect(options.maximumTokens == 7)
        #expect(request?.logitBias == [50: -100, 60: 1.5])
    }

    @Test func whatIsNotSaidIsTheModelsOwn() async throws {
        let (request, _) = try await Self.send([])
        #expect(request?.options.sampling == SamplingParameters(temperature: 0.5))
        // As much as the context holds beside the prompt.
        #expect(request?.options.maximumTokens == 100_000 - 2)
        #expect(request?.options.thinking == nil)
    }

    @Test func aNegativeSeedIsASeed() async throws {
        #expect(try await Self.send([("seed", -1)]).0?.options.sampling.seed == .max)
        #expect(try await Self.send([("seed", 0)]).0?.options.sampling.seed == 0)
    }

    @Test func bothNamesOfTheMaximumMustAgree() async throws {
        #expect(try await Self.send([("max_tokens", 5), ("max_completion_tokens", 5)]).0?.options.maximumTokens == 5)
        let (_, json) = try await Self.send([("max_tokens", 5), ("max_completion_tokens", 6)])
        #expect(json.at("error.param") == "max_completion_tokens")
        #expect(try await Self.send([("max_completion_tokens", 2_000_000_000)]).0?.options.maximumTokens == 99_998)
    }

    struct Thinking: Sendable {
        let members: [(String, JSONValue)]
        let isOn: Bool?
        let budget: Int?

        init(_ members: [(String, JSONValue)], _ isOn: Bool?, _ budget: Int?) {
            self.members = members
            self.isOn = isOn
            self.budget = budget
        }
    }

    static let thinking: [Thinking] = [
        Thinking([("reasoning_effort", "none")], false, nil), Thinking([("reasoning_effort", "low")], true, 2048),
        Thinking([("reasoning_effort", "minimal")], true, 256), Thinking([("reasoning_effort", "high")], true, nil),
        Thinking([("reasoning_effort", "max")], true, nil), Thinking([("thinking", ["type": "enabled"])], true, nil),
        Thinking([("thinking", ["type": "disabled"])], false, nil),
        Thinking([("thinking", ["type": "auto"])], nil, nil),
        Thinking([("thinking", ["type": "enabled", "budget_tokens": 100])], true, 100),
        Thinking([("enable_thinking", false)], false, nil),
        Thinking([("chat_template_kwargs", ["enable_thinking": false])], false, nil),
        Thinking([("chat_template_kwargs", ["thinking": true])], true, nil), Thinking([("thinking_budget", 9)], nil, 9),
        Thinking([("thinking_token_budget", 0)], nil, 0),
        Thinking([("chat_template_kwargs", ["thinking": true, "enable_thinking": true])], true, nil),
        Thinking([("reasoning_effort", "low"), ("thinking_budget", 5)], true, 5),
    ]

    @Test(arguments: thinking)
    func thinkingIsSwitchedAndBounded(thinking: Thinking) async throws {
        let request = try #require(try await Self.send(thinking.members).0)
        #expect(request.options.thinking == thinking.isOn)
        #expect(request.thinkingBudget == thinking.budget)
    }

    @Test func switchesThatContradictEachOtherAreTurnedDown() async throws {
        let (_, json) = try await Self.send([("reasoning_effort", "high"), ("thinking", ["type": "disabled"])])
        #expect(json.at("error.code") == "invalid_value")
    }

    @Test func declaredTemplateVariablesReachTheTemplateAndInternalsNeverDo() async throws {
        var server = TestServer()
        server.configuration.serving.templateVariables = ["style", "messages"]
        let model = server.model
        let kwargs: JSONValue = ["style": "brief"]
        _ = try await TestServer.post(server, hello(("chat_template_kwargs", kwargs)))
        guard case .chat(_, _, let variables)? = model.requests.first?.prompt else {
            Issue.record("no chat")
            return
        }
        #expect(variables == ["style": "brief"])
        for kwargs: JSONValue in [
            ["messages": []], ["style": ["a": 1]], ["style": .string(String(repeating: "x", count: 2000))],
        ] {
            let json = try await TestServer.post(server, hello(("chat_template_kwargs", kwargs)))
            #expect(json.at("error.param")?.stringValue?.hasPrefix("chat_template_kwargs.") == true)
        }
    }

    @Test func messagesReachTheModelAsTheyAre() async throws {
        let (request, _) = try await Self.send([
            (
                "messages",
                [
                    ["role": "developer", "content": "Be brief."],
                    [
                        "role": "user", "content": [["type": "text", "text": "a"], ["type": "text", "text": "b"]],
                        "name": "Ann",
                    ],
                    [
                        "role": "assistant", "content": .null, "reasoning_content": "hm", "refusal": .null,
                        "tool_calls": [
                            [
                                "id": "functions.weather:0", "type": "function",
                                "function": ["name": "weather", "arguments": "{\"city\":\"Bonn\"}"],
                            ]
                        ], "provider_specific_fields": ["x": 1],
                    ], ["role": "tool", "tool_call_id": "functions.weather:0", "content": "<|im_end|>rain"],
                    ["role": "assistant", "content": "Rain.", "annotations": []], ["role": "user", "content": ""],
                ]
            ), ("tools", [Self.weather]),
        ])
        guard case .chat(let messages, let tools, _)? = request?.prompt else {
            Issue.record("no chat")
            return
        }
        #expect(tools == [Self.weather])
        #expect(
            messages == [
                ChatMessage(role: "system", content: "Be brief."),
                ChatMessage(role: "user", content: "ab", name: "Ann"),
                ChatMessage(
                    role: "assistant", content: nil, reasoning: "hm",
                    toolCalls: [
                        ToolCall(id: "functions.weather:0", name: "weather", arguments: "{\"city\":\"Bonn\"}")
                    ]),
                ChatMessage(role: "tool", content: "<|im_end|>rain", toolCallID: "functions.weather:0"),
                ChatMessage(role: "assistant", content: "Rain."), ChatMessage(role: "user", content: ""),
            ])
    }

    @Test(arguments: ["image_url", "input_audio", "file", "video_url", "image", "constructor"])
    func partsThatAreNoTextAreRefusedBeforeAnythingIsFetched(type: String) async throws {
        for address in [
            "http://127.0.0.1:1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data", "http://2130706433/",
            "file:///etc/passwd", "data:image/png;base64,AAAA",
        ] {
            let part: JSONValue = .object(JSONObject([("type", .string(type)), (type, ["url": .string(address)])]))
            let (request, json) = try await Self.send([("messages", [["role": "user", "content": [part]]])])
            #expect(request == nil)
            #expect(json.at("error.code") == "unsupported_content_type")
            #expect(json.at("error.param") == "messages[0].content[0].type")
        }
    }

    @Test func toolChoicesReachTheModel() async throws {
        let choices: [(JSONValue, ModelRequest.ToolChoice)] = [
            ("auto", .auto), ("none", .none), ("required", .required),
            (["type": "function", "function": ["name": "weather"]], .function("weather")),
        ]
        for (value, choice) in choices {
            let request = try await Self.send([
                ("tools", [Self.weather]), ("tool_choice", value), ("parallel_tool_calls", false),
            ]).0
            #expect(request?.toolChoice == choice)
            #expect(request?.parallelToolCalls == false)
        }
        let (_, json) = try await Self.send([
            ("tools", [Self.weather]), ("tool_choice", ["type": "function", "function": ["name": "other"]]),
        ])
        #expect(json.at("error.code") == "unknown_tool")
    }

    @Test func outputConstraintsReachTheModel() async throws {
        let object = try await Self.send([("response_format", ["type": "json_object"])]).0
        guard case .jsonObject? = object?.output else {
            Issue.record("expected an object")
            return
        }
        let schema: JSONValue = ["type": "object", "properties": ["a": ["type": "string"]]]
        let constrained = try await Self.send([
            (
                "response_format",
                ["type": "json_schema", "json_schema": ["name": "answer", "strict": true, "schema": schema]]
            )
        ]).0
        guard case .jsonSchema(let found, isStrict: true)? = constrained?.output else {
            Issue.record("expected a schema")
            return
        }
        #expect(found == schema)
    }

    @Test func theEndCanBeForbiddenForBenchmarks() async throws {
        #expect(try await Self.send([("ignore_eos", true)]).0?.logitBias == [2: -100])
        #expect(try await Self.send([("ignore_eos", false)]).0?.logitBias == [:])
    }

    @Test func choicesOfOneSeedDiffer() async throws {
        let server = TestServer()
        _ = try await TestServer.post(server, hello(("n", 3), ("seed", 7)))
        let seeds = server.model.requests.compactMap(\.options.sampling.seed)
        #expect(seeds.count == 3 && Set(seeds).count == 3)
        #expect(seeds.contains(7))
    }
}

extension TestServer {
    static func post(
        _ server: TestServer, _ body: JSONValue, to path: String = "/v1/chat/completions"
    ) async throws -> JSONValue {
        try await server.test { client async throws in try await client.post(path, body).json }
    }
}
