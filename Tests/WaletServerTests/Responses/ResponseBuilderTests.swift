import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct ResponseBuilderTests {
    private func request(_ members: String = "") throws -> ResponsesRequest {
        let text = #"{"model":"k2","input":"Hi""# + members + "}"
        return try ResponsesRequest(RequestFields(try #require(try JSONValue(parsing: text).objectValue)))
    }

    private func builder(_ members: String = "") throws -> ResponseBuilder {
        ResponseBuilder(id: "1", model: "k2", created: 1_700_000_000, request: try request(members), isStored: true)
    }

    private var report: UsageReport {
        var report = UsageReport()
        report.promptTokens = 100
        report.cachedTokens = 64
        report.answerTokens = 9
        report.thinkingTokens = 4
        return report
    }

    /// All events of a stream, and the response at its end.
    private func run(
        _ events: [ModelEvent], _ reason: FinishReason = .stop, _ members: String = ""
    ) throws -> ([JSONValue], JSONValue) {
        var builder = try builder(members)
        var output = builder.begin()
        for event in events + [.finish(reason, Usage())] { output += builder.add(.event(choice: 0, event), now: 1) }
        output += builder.add(.end(report), now: 1_700_000_002)
        return (output, builder.json)
    }

    private func types(_ events: [JSONValue]) -> [String] {
        events.map { String(($0["type"]?.stringValue ?? "").dropFirst("response.".count)) }
    }

    @Test func `A plain answer has the sequence of events that OpenAI documents`() throws {
        let (events, response) = try run([.started(Usage()), .text("Hello"), .text(" there")])
        #expect(
            types(events) == [
                "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
                "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
            ])
        #expect(events.map { $0["sequence_number"] } == (0..<10).map { .int($0) })
        #expect(events[0]["response"]?["status"] == "in_progress")
        #expect(events[0]["response"]?["usage"]?.isNull == true)
        #expect(
            events[2] == [
                "type": "response.output_item.added", "sequence_number": 2, "output_index": 0,
                "item": [
                    "id": "msg_1_0", "type": "message", "status": "in_progress", "role": "assistant", "content": [],
                ],
            ])
        #expect(
            events[4] == [
                "type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_1_0", "output_index": 0,
                "content_index": 0, "delta": "Hello", "logprobs": [],
            ])
        let part: JSONValue = ["type": "output_text", "text": "Hello there", "annotations": [], "logprobs": []]
        #expect(events[7]["part"] == part)
        #expect(events[9]["response"] == response)
        #expect(response["status"] == "completed")
        #expect(response["completed_at"] == 1_700_000_002)
        #expect(
            response["output"] == [
                ["id": "msg_1_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]]
            ])
        #expect(
            response["usage"] == [
                "input_tokens": 100, "input_tokens_details": ["cached_tokens": 64, "cache_write_tokens": 0],
                "output_tokens": 9, "output_tokens_details": ["reasoning_tokens": 4], "total_tokens": 109,
            ])
    }

    @Test func `Reasoning is an item of its own, with its text as its content`() throws {
        let (events, response) = try run([.thinking("Hm"), .thinking("."), .text("\n\nYes")])
        #expect(
            types(events) == [
                "created", "in_progress", "output_item.added", "content_part.added", "reasoning_text.delta",
                "reasoning_text.delta", "reasoning_text.done", "content_part.done", "output_item.done",
                "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
                "content_part.done", "output_item.done", "completed",
            ])
        #expect(
            response["output"]?.arrayValue?[0] == [
                "id": "rs_1_0", "type": "reasoning", "summary": [],
                "content": [["type": "reasoning_text", "text": "Hm."]], "status": "completed",
            ])
        #expect(events[11]["output_index"] == 1)
    }

    @Test func `Where summaries are asked for, the whole reasoning is the summary`() throws {
        let (events, response) = try run(
            [.thinking("Hm"), .text("Yes")], .stop, #","reasoning":{"summary":"auto"}"#)
        #expect(
            types(Array(events[2..<8])) == [
                "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
                "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
            ])
        #expect(events[4]["summary_index"] == 0)
        #expect(events[4]["content_index"] == nil)
        #expect(response["output"]?.arrayValue?[0]["summary"] == [["type": "summary_text", "text": "Hm"]])
        #expect(response["output"]?.arrayValue?[0]["content"] == [])
    }

    @Test func `Reasoning is sealed where the client asks for it, and the seal opens again`() throws {
        let (_, response) = try run(
            [.thinking("Hm"), .text("Yes")], .stop, #","include":["reasoning.encrypted_content"]"#)
        let sealed = try #require(response["output"]?.arrayValue?[0]["encrypted_content"]?.stringValue)
        #expect(sealed == ResponseInputItem.seal("Hm"))
    }

    @Test func `Calls of functions come as pieces of their arguments`() throws {
        let (events, response) = try run([
            .toolCallStarted(index: 0, id: "functions.f:0", name: "f"), .toolCallArguments(index: 0, #"{"a""#),
            .toolCallArguments(index: 0, ":1}"), .toolCallFinished(index: 0, isComplete: true), .text("\n"),
            .toolCallStarted(index: 1, id: "functions.g:1", name: "g"), .toolCallArguments(index: 1, "{}"),
            .toolCallFinished(index: 1, isComplete: true),
        ])
        #expect(
            types(events) == [
                "created", "in_progress", "output_item.added", "function_call_arguments.delta",
                "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
                "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
                "output_item.done", "completed",
            ])
        #expect(
            events[5] == [
                "type": "response.function_call_arguments.done", "sequence_number": 5, "item_id": "fc_1_0",
                "output_index": 0, "name": "f", "arguments": #"{"a":1}"#,
            ])
        #expect(
            response["output"]?.arrayValue?[0] == [
                "id": "fc_1_0", "type": "function_call", "status": "completed", "call_id": "functions.f:0", "name": "f",
                "arguments": #"{"a":1}"#,
            ])
    }

    @Test func `An answer that the maximum cut off is incomplete, and so is its last item`() throws {
        let (events, response) = try run([.text("Hel")], .length)
        #expect(events.last?["type"] == "response.incomplete")
        #expect(response["status"] == "incomplete")
        #expect(response["incomplete_details"] == ["reason": "max_output_tokens"])
        #expect(response["output"]?.arrayValue?[0]["status"] == "incomplete")
        #expect(response["completed_at"]?.isNull == true)
    }

    @Test func `A failure in the middle ends the stream with what is known of it`() throws {
        var builder = try builder()
        _ = builder.begin()
        _ = builder.add(.event(choice: 0, .text("Hel")), now: 1)
        let events = builder.fail(APIError(.server, "It broke"))
        #expect(types(events) == ["output_text.done", "content_part.done", "output_item.done", "failed"])
        #expect(events.last?["response"]?["error"] == ["code": "server_error", "message": "It broke"])
        #expect(events.last?["response"]?["status"] == "failed")
    }

    @Test func `A response that is cancelled keeps what it has`() throws {
        var builder = try builder()
        _ = builder.begin()
        _ = builder.add(.event(choice: 0, .text("Hel")), now: 1)
        _ = builder.cancel()
        #expect(builder.json["status"] == "cancelled")
        var conversation = ResponseConversation()
        builder.add(to: &conversation)
        #expect(conversation.messages == [ChatMessage(role: "assistant", content: "Hel")])
    }

    @Test func `Log probabilities come with the text that their tokens make`() throws {
        var builder = try builder(#","include":["message.output_text.logprobs"],"top_logprobs":1"#)
        _ = builder.begin()
        let token = TestTokens.logprob("é", -0.5, top: [("é", -0.5)])
        var events = builder.add(.event(choice: 0, .logprobs([TestTokens.logprob("Hm", -1)])), now: 1)
        events += builder.add(.event(choice: 0, .thinking("Hm")), now: 1)
        events += builder.add(.event(choice: 0, .logprobs([token])), now: 1)
        events += builder.add(.event(choice: 0, .text("é")), now: 1)
        let delta = try #require(events.first { $0["type"] == "response.output_text.delta" })
        let expected: JSONValue = [
            [
                "token": "é", "logprob": -0.5, "bytes": [195, 169],
                "top_logprobs": [["token": "é", "logprob": -0.5, "bytes": [195, 169]]],
            ]
        ]
        #expect(delta["logprobs"] == expected)
        #expect(builder.json["output"]?.arrayValue?[1]["content"]?.arrayValue?[0]["logprobs"] == expected)
    }

    @Test func `A response repeats what was asked for`() throws {
        let (_, response) = try run(
            [.text("x")], .stop,
            #","instructions":"Be brief.","metadata":{"a":"b"},"temperature":0.5,"max_output_tokens":20,"user":"u","tools":[{"type":"function","name":"f"}],"tool_choice":"none","text":{"format":{"type":"json_object"}},"reasoning":{"effort":"high"}"#
        )
        #expect(response["instructions"] == "Be brief.")
        #expect(response["metadata"] == ["a": "b"])
        #expect(response["temperature"] == 0.5)
        #expect(response["max_output_tokens"] == 20)
        #expect(response["user"] == "u")
        #expect(response["tool_choice"] == "none")
        #expect(response["text"]?["format"] == ["type": "json_object"])
        #expect(response["reasoning"]?["effort"] == "high")
        #expect(response["tools"]?.arrayValue?[0]["name"] == "f")
        #expect(response["store"] == true)
    }

    @Test func `The answer goes on in the next request's conversation, but for calls that were cut off`() throws {
        var builder = try builder()
        for event in [
            .thinking("Hm"), .text("See:"), .toolCallStarted(index: 0, id: "a", name: "f"),
            .toolCallArguments(index: 0, "{}"), .toolCallFinished(index: 0, isComplete: true),
            .toolCallStarted(index: 1, id: "b", name: "f"), .toolCallArguments(index: 1, "{"),
            .toolCallFinished(index: 1, isComplete: false),
        ] as [ModelEvent] { _ = builder.add(.event(choice: 0, event), now: 1) }
        var conversation = ResponseConversation([ChatMessage(role: "user", content: "Hi")])
        builder.add(to: &conversation)
        #expect(
            conversation.messages == [
                ChatMessage(role: "user", content: "Hi"),
                ChatMessage(
                    role: "assistant", content: "See:", reasoning: "Hm",
                    toolCalls: [ToolCall(id: "a", name: "f", arguments: "{}")]),
            ])
    }
}
