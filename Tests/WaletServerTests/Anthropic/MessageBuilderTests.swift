import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct MessageBuilderTests {
    private func usage(prompt: Int = 0, cached: Int = 0, answer: Int = 0, stop: String? = nil) -> Usage {
        var usage = Usage()
        usage.promptTokens = prompt
        usage.cachedTokens = cached
        usage.answerTokens = answer
        usage.stopSequence = stop
        return usage
    }

    private func report(answer: Int = 9, thinking: Int = 0) -> UsageReport {
        var report = UsageReport()
        report.promptTokens = 100
        report.cachedTokens = 64
        report.answerTokens = answer
        report.thinkingTokens = thinking
        return report
    }

    /// The events of a stream, and the message that a client without a stream gets.
    private func run(
        _ events: [ModelEvent], _ reason: FinishReason = .stop, stop: String? = nil, answer: Int = 9,
        hidesThinking: Bool = false
    ) -> ([MessageBuilder.Event], JSONValue) {
        var builder = MessageBuilder(id: "1", model: "k2", hidesThinking: hidesThinking, maximumTokens: 9)
        var output: [MessageBuilder.Event] = []
        let started = ModelEvent.started(usage(prompt: 100, cached: 64))
        for event in [started] + events + [.finish(reason, usage(prompt: 100, cached: 64, answer: answer, stop: stop))]
        {
            output += builder.add(.event(choice: 0, event))
        }
        output += builder.add(.end(report(answer: answer, thinking: 2)))
        return (output, builder.message)
    }

    private func names(_ events: [MessageBuilder.Event]) -> [String] { events.map(\.name) }

    @Test func `A plain answer has the sequence of events that Anthropic documents`() {
        let (events, message) = run([.text("Hello"), .text(" there")])
        #expect(
            names(events) == [
                "message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
                "content_block_stop", "message_delta", "message_stop",
            ])
        for event in events { #expect(event.data["type"]?.stringValue == event.name) }
        let usage: JSONValue = [
            "input_tokens": 36, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 0,
            "cache_creation": ["ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0], "output_tokens": 9,
            "output_tokens_details": ["thinking_tokens": 2], "service_tier": "standard",
        ]
        #expect(events[0].data["message"]?["usage"]?["input_tokens"] == 36)
        #expect(events[0].data["message"]?["usage"]?["output_tokens"] == 0)
        #expect(events[0].data["message"]?["stop_reason"]?.isNull == true)
        #expect(events[0].data["message"]?["content"] == [])
        #expect(
            events[2].data == [
                "type": "content_block_start", "index": 0, "content_block": ["type": "text", "text": ""],
            ])
        #expect(
            events[3].data == [
                "type": "content_block_delta", "index": 0, "delta": ["type": "text_delta", "text": "Hello"],
            ])
        #expect(events[5].data == ["type": "content_block_stop", "index": 0])
        #expect(
            events[6].data == [
                "type": "message_delta", "delta": ["stop_reason": "end_turn", "stop_sequence": nil], "usage": usage,
            ])
        #expect(
            message == [
                "id": "msg_1", "type": "message", "role": "assistant", "model": "k2",
                "content": [["type": "text", "text": "Hello there"]], "stop_reason": "end_turn",
                "stop_sequence": nil, "usage": usage,
            ])
    }

    @Test func `Thinking is a block of its own that ends with its signature`() {
        let (events, message) = run([.thinking("Hm"), .thinking("."), .text("\n\n"), .text("Yes")])
        #expect(
            names(events) == [
                "message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
                "content_block_delta", "content_block_stop", "content_block_start", "content_block_delta",
                "content_block_stop", "message_delta", "message_stop",
            ])
        #expect(events[2].data["content_block"] == ["type": "thinking", "thinking": "", "signature": ""])
        #expect(events[3].data["delta"] == ["type": "thinking_delta", "thinking": "Hm"])
        #expect(events[5].data["delta"]?["type"] == "signature_delta")
        #expect(events[8].data["delta"] == ["type": "text_delta", "text": "\n\nYes"])
        let block = message["content"]?.arrayValue?.first
        #expect(block?["thinking"] == "Hm.")
        #expect(block?["signature"] == events[5].data["delta"]?["signature"])
        #expect(block?["signature"]?.stringValue?.isEmpty == false)
    }

    @Test func `Thinking that the client does not want to see comes as its signature only`() {
        let (events, message) = run([.thinking("secret"), .text("Yes")], hidesThinking: true)
        #expect(!events.contains { $0.data.text().contains("secret") })
        #expect(!message.text().contains("secret"))
        #expect(events.contains { $0.data["delta"]?["type"] == "signature_delta" })
        #expect(message["content"]?.arrayValue?.first?["type"] == "thinking")
    }

    @Test func `Calls of tools come as pieces of JSON, and whole in the message`() {
        let (events, message) = run([
            .text("Let me see."), .toolCallStarted(index: 0, id: "functions.f:0", name: "f"),
            .toolCallArguments(index: 0, #"{"a""#), .toolCallArguments(index: 0, ":1}"),
            .toolCallFinished(index: 0, isComplete: true),
            .toolCallStarted(index: 1, id: "functions.g:1", name: "g"), .toolCallArguments(index: 1, "{}"),
            .toolCallFinished(index: 1, isComplete: true),
        ])
        let starts = events.filter { $0.name == "content_block_start" }.map { $0.data["content_block"] }
        #expect(
            starts == [
                ["type": "text", "text": ""], ["type": "tool_use", "id": "functions.f:0", "name": "f", "input": [:]],
                ["type": "tool_use", "id": "functions.g:1", "name": "g", "input": [:]],
            ])
        let pieces = events.compactMap { $0.data["delta"]?["partial_json"]?.stringValue }
        #expect(pieces == [#"{"a""#, ":1}", "{}"])
        #expect(events.filter { $0.name == "content_block_stop" }.map { $0.data["index"] } == [0, 1, 2])
        #expect(message["stop_reason"] == "tool_use")
        #expect(message["content"]?.arrayValue?[1]["input"] == ["a": 1])
        #expect(message["content"]?.arrayValue?[2]["input"] == [:])
    }

    @Test func `A call that the answer's end cut off has an empty input and says why`() {
        let (_, message) = run(
            [
                .toolCallStarted(index: 0, id: "x", name: "f"), .toolCallArguments(index: 0, #"{"a": [1, "#),
                .toolCallFinished(index: 0, isComplete: false),
            ], .length)
        #expect(message["content"] == [["type": "tool_use", "id": "x", "name": "f", "input": [:]]])
        #expect(message["stop_reason"] == "max_tokens")
    }

    @Test func `White space without a word after it is no block`() {
        let (events, message) = run([
            .text("\n"), .text(" \n"), .toolCallStarted(index: 0, id: "x", name: "f"),
            .toolCallArguments(index: 0, "{}"), .toolCallFinished(index: 0, isComplete: true), .text("\n"),
        ])
        #expect(events.filter { $0.name == "content_block_start" }.count == 1)
        #expect(message["content"]?.arrayValue?.count == 1)
    }

    @Test func `An answer of nothing is a message without blocks`() {
        let (events, message) = run([])
        #expect(names(events) == ["message_start", "ping", "message_delta", "message_stop"])
        #expect(message["content"] == [])
    }

    @Test func `The reason of the end is told as Anthropic names it`() {
        func reason(_ reason: FinishReason, stop: String? = nil, answer: Int = 9) -> [JSONValue?] {
            let message = run([.text("x")], reason, stop: stop, answer: answer).1
            return [message["stop_reason"], message["stop_sequence"]]
        }
        #expect(reason(.stop) == ["end_turn", .null])
        #expect(reason(.stop, stop: "END") == ["stop_sequence", "END"])
        #expect(reason(.length) == ["max_tokens", .null])
        #expect(reason(.length, answer: 5) == ["model_context_window_exceeded", .null])
    }

    @Test func `Silence is filled with pings, before the first token too`() {
        var builder = MessageBuilder(id: "1", model: "k2")
        #expect(builder.add(.idle).map(\.data) == [["type": "ping"]])
        #expect(
            names(builder.add(.event(choice: 0, .started(usage())))) == ["message_start", "ping"])
        #expect(names(builder.add(.idle)) == ["ping"])
    }

    @Test func `A model that never says when it starts has a whole stream all the same`() {
        var builder = MessageBuilder(id: "1", model: "k2")
        var events = builder.add(.event(choice: 0, .text("x")))
        events += builder.add(.event(choice: 0, .finish(.stop, usage())))
        events += builder.add(.end(report()))
        #expect(
            names(events) == [
                "message_start", "ping", "content_block_start", "content_block_delta", "content_block_stop",
                "message_delta", "message_stop",
            ])
        #expect(events[5].data["usage"]?["input_tokens"] == 36)
    }

    @Test func `An answer that a shutdown cut off is not complete`() {
        var builder = MessageBuilder(id: "1", model: "k2")
        _ = builder.add(.event(choice: 0, .text("x")))
        #expect(!builder.isComplete)
        _ = builder.add(.event(choice: 0, .finish(.cancelled, usage())))
        #expect(builder.add(.end(report())).isEmpty)
        #expect(!builder.isComplete)
    }
}
