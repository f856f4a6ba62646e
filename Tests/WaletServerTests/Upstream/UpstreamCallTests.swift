import Testing
import Walet
import WaletJSON

@testable import WaletServer

/// What another server is asked.
@Suite struct UpstreamCallTests {
    private static func body(
        _ kind: UpstreamKind = .vllm, _ prompt: ModelRequest.Prompt? = nil, tools: [JSONValue] = [],
        variables: [String: JSONValue] = [:], _ change: (inout ModelRequest) -> Void = { _ in }
    ) throws -> JSONValue {
        var request = ModelRequest(
            prompt ?? .chat([ChatMessage(role: "user", content: "Hi")], tools: tools, variables: variables),
            options: UpstreamCall.defaults)
        change(&request)
        let remote = UpstreamRemote(name: "big", kind: kind, contextLength: 1000, tokenizer: .none)
        return try UpstreamCall(request, remote, cacheSalt: "salt", key: nil).body
    }

    private static let weather: JSONValue = ["type": "function", "function": ["name": "weather", "parameters": [:]]]
    private static let time: JSONValue = ["type": "function", "function": ["name": "time", "parameters": [:]]]

    @Test func whatARequestDoesNotSayIsNotSent() throws {
        let body = try Self.body(.other)
        #expect(
            body == [
                "model": "big", "stream": true, "stream_options": ["include_usage": true],
                "messages": [["role": "user", "content": "Hi"]],
            ])
    }

    @Test func whatItSaysIsSentThoughItBeTheUsualValue() throws {
        let body = try Self.body { request in
            request.options.sampling = SamplingParameters(
                temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, presencePenalty: 0,
                frequencyPenalty: 0, seed: 7)
            request.options.stop = ["END"]
            request.options.maximumTokens = 50
            request.logitBias = [5: -1]
        }
        #expect(body["temperature"] == 1.0 && body["top_p"] == 1.0 && body["min_p"] == 0.0)
        #expect(body["top_k"] == -1)
        #expect(
            body["repetition_penalty"] == 1.0 && body["presence_penalty"] == 0.0 && body["frequency_penalty"] == 0.0)
        #expect(body["seed"] == 7 && body["stop"] == ["END"] && body["max_tokens"] == 50)
        #expect(body["logit_bias"] == ["5": -1.0])
        let llama = try Self.body(.llama) { request in
            request.options.sampling.topK = 0
            request.options.sampling.repetitionPenalty = 1.1
        }
        #expect(llama["top_k"] == 0)
        #expect(llama["repeat_penalty"] == 1.1)
    }

    @Test func seedsFitIn31Bits() throws {
        for seed: UInt64 in [0, 1, 1 << 31, .max, 0x9E37_79B9_7F4A_7C15] {
            let body = try Self.body { $0.options.sampling.seed = seed }
            let sent = try #require(body["seed"]?.intValue)
            #expect((0..<Int(Int32.max)).contains(sent))
        }
        #expect(try Self.body { $0.options.sampling.seed = .max } == Self.body { $0.options.sampling.seed = .max })
    }

    @Test func eachEngineIsAskedInItsWords() throws {
        let llama = try Self.body(.llama)
        #expect(llama["timings_per_token"] == true)
        #expect(llama["cache_salt"] == nil)
        let vllm = try Self.body(.vllm)
        #expect(vllm["stream_options"]?["continuous_usage_stats"] == true)
        #expect(vllm["cache_salt"] == "salt")
        #expect(vllm["timings_per_token"] == nil)
    }

    @Test func toolsAndTheirChoice() throws {
        let tools = [Self.weather, Self.time]
        let auto = try Self.body(tools: tools)
        #expect(auto["tools"] == .array(tools))
        #expect(auto["tool_choice"] == nil && auto["parallel_tool_calls"] == nil)
        let none = try Self.body(tools: tools) { $0.toolChoice = .none }
        #expect(none["tools"] == nil && none["tool_choice"] == nil)
        let required = try Self.body(tools: tools) {
            $0.toolChoice = .required
            $0.parallelToolCalls = false
        }
        #expect(required["tool_choice"] == "required" && required["parallel_tool_calls"] == false)
        let named = try Self.body(tools: tools) { $0.toolChoice = .function("time") }
        #expect(named["tool_choice"] == ["type": "function", "function": ["name": "time"]])
        // llama-server has no choice by name.
        let llama = try Self.body(.llama, tools: tools) { $0.toolChoice = .function("time") }
        #expect(llama["tool_choice"] == "required" && llama["tools"] == [Self.time])
    }

    @Test func theFormOfTheAnswer() throws {
        #expect(try Self.body { $0.output = .jsonObject }["response_format"] == ["type": "json_object"])
        let schema: JSONValue = ["type": "object"]
        let body = try Self.body { $0.output = .jsonSchema(schema, isStrict: true) }
        #expect(body["response_format"]?["json_schema"]?["schema"] == schema)
        #expect(body["response_format"]?["json_schema"]?["strict"] == true)
    }

    @Test func thinkingIsSwitchedAndBounded() throws {
        let off = try Self.body { $0.options.thinking = false }
        #expect(off["chat_template_kwargs"] == ["enable_thinking": false, "thinking": false])
        let effort = try Self.body(variables: ["reasoning_effort": "low"]) { $0.thinkingBudget = 2048 }
        #expect(effort["reasoning_effort"] == "low")
        #expect(effort["chat_template_kwargs"] == ["reasoning_effort": "low"])
        #expect(effort["thinking_token_budget"] == nil)
        #expect(try Self.body(.vllm) { $0.thinkingBudget = 5 }["thinking_token_budget"] == 5)
        #expect(try Self.body(.llama) { $0.thinkingBudget = 5 }["thinking_budget_tokens"] == 5)
        #expect(throws: ModelRequestError.self) { try Self.body(.sglang) { $0.thinkingBudget = 5 } }
    }

    @Test func logProbabilities() throws {
        let body = try Self.body { $0.logprobs = 0 }
        #expect(body["logprobs"] == true && body["top_logprobs"] == 0)
        // llama-server tells none at all without alternatives.
        #expect(try Self.body(.llama) { $0.logprobs = 0 }["top_logprobs"] == 1)
        #expect(throws: APIError.self) {
            try Self.body(.vllm, .text("a", special: true)) { $0.promptLogprobs = true }
        }
    }

    @Test func completionsOfTextAndOfTokens() throws {
        let text = try Self.body(.vllm, .text("Once", special: true)) {
            $0.options.maximumTokens = 5000
            $0.logprobs = 3
        }
        #expect(text["prompt"] == "Once" && text["messages"] == nil)
        #expect(text["max_tokens"] == 1000 && text["logprobs"] == 3)
        #expect(try Self.body(.vllm, .tokens([1, 2]))["prompt"] == [1, 2])
    }
}
