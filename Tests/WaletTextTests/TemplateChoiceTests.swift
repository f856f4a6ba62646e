// Messages, ids and the choice among a model's templates.

import Testing
import WaletJSON
import WaletText

@Suite struct TemplateChoiceTests {
    @Test func oneTemplateAListAndAFileAreRead() throws {
        let single = try ChatTemplate.Choices(tokenizerConfig: ["chat_template": "A"])
        #expect(try single.source() == "A" && single.source(hasTools: true) == "A")
        let list = try ChatTemplate.Choices(tokenizerConfig: [
            "chat_template": [
                ["name": "default", "template": "A"], ["name": "tool_use", "template": "B"],
                ["name": "thinking", "template": "C"],
            ]
        ])
        #expect(try list.source() == "A" && list.source(hasTools: true) == "B" && list.source(named: "thinking") == "C")
        let file = try ChatTemplate.Choices(tokenizerConfig: ["chat_template": "A"], jinjaFile: "F")
        #expect(try file.source() == "F")
        #expect(try ChatTemplate.Choices(tokenizerConfig: nil).source() == nil)
        #expect(try ChatTemplate.Choices(tokenizerConfig: ["chat_template": nil]).isEmpty)
    }

    @Test(
        arguments: [
            ["chat_template": 5], ["chat_template": [["name": "default"]]], ["chat_template": ["x"]],
            ["chat_template": [["name": "a", "template": "1"], ["name": "a", "template": "2"]]],
        ] as [JSONValue])
    func otherShapesAreRefused(_ config: JSONValue) {
        #expect(throws: TemplateError.self) { try ChatTemplate.Choices(tokenizerConfig: config) }
    }

    @Test func aMissingNameSaysWhatThereIs() throws {
        let list = try ChatTemplate.Choices(tokenizerConfig: ["chat_template": [["name": "rag", "template": "A"]]])
        do throws(TemplateError) {
            _ = try list.source()
            Issue.record("no error")
        } catch { #expect(error.description.contains("default") && error.description.contains("rag")) }
        #expect(throws: TemplateError.self) { try ChatTemplate.Choices(tokenizerConfig: nil).source(named: "x") }
    }

    @Test func specialTokensAreTextsOrObjects() {
        let config: JSONValue = ["bos_token": ["content": "<s>"], "eos_token": "</s>", "pad_token": nil]
        #expect(ChatTemplate.specialToken("bos_token", in: config) == "<s>")
        #expect(ChatTemplate.specialToken("eos_token", in: config) == "</s>")
        #expect(ChatTemplate.specialToken("pad_token", in: config) == nil)
    }

    @Test func messagesGoToJSONAndBack() throws {
        let messages = [
            ChatMessage(role: "system", content: "S"),
            ChatMessage(role: "user", content: "U", name: "ann"),
            ChatMessage(
                role: "assistant", content: nil, reasoning: "R",
                toolCalls: [ToolCall(id: "i", name: "f", arguments: "{\"a\": 1}")]),
            ChatMessage(role: "tool", content: "T", toolCallID: "i"),
        ]
        #expect(try ChatMessage.messages(from: .array(messages.map(\.json))) == messages)
        let parts = try ChatMessage(json: [
            "role": "user", "content": [["type": "text", "text": "a"], ["type": "text", "text": "b"]],
        ])
        #expect(parts.content == "ab")
        let object = try ToolCall(json: [
            "id": "i", "type": "function", "function": ["name": "f", "arguments": ["a": [1, 2.0, nil]]],
        ])
        #expect(object.arguments == "{\"a\": [1, 2.0, null]}")
    }

    @Test(arguments: [
        ("[{\"content\": \"x\"}]", "messages[0].role"), ("[{\"role\": 5}]", "messages[0].role"), ("[5]", "messages[0]"),
        ("{}", "messages"),
        ("[{\"role\": \"user\"}]", "messages[0].content"),
        ("[{\"role\": \"user\", \"content\": 5}]", "messages[0].content"),
        ("[{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]", "messages[0].content[0].type"),
        ("[{\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}]", "messages[0].content[0].text"),
        (
            "[{\"role\": \"user\", \"content\": \"\", \"tool_calls\": [{\"function\": {\"name\": \"f\"}}]}]",
            "messages[0].tool_calls"
        ),
        ("[{\"role\": \"assistant\", \"tool_calls\": {}}]", "messages[0].tool_calls"),
        ("[{\"role\": \"assistant\", \"tool_calls\": [{}]}]", "messages[0].tool_calls[0].function"),
        (
            "[{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {}}]}]",
            "messages[0].tool_calls[0].function.name"
        ),
        (
            "[{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": [1]}}]}]",
            "messages[0].tool_calls[0].function.arguments"
        ),
        (
            "[{\"role\": \"assistant\", \"tool_calls\": [{\"type\": \"custom\", \"function\": {\"name\": \"f\"}}]}]",
            "messages[0].tool_calls[0].type"
        ),
        (
            "[{\"role\": \"assistant\", \"tool_calls\": [{\"id\": 1, \"function\": {\"name\": \"f\"}}]}]",
            "messages[0].tool_calls[0].id"
        ),
    ])
    func whatIsNoMessageIsRefusedWithItsPlace(_ text: String, _ path: String) throws {
        let json = try JSONValue(parsing: text)
        do throws(ChatMessageError) {
            _ = try ChatMessage.messages(from: json)
            Issue.record("no error")
        } catch { #expect(error.path == path) }
    }

    @Test func foreignCallIDsBecomeKimis() {
        func assistant(_ calls: [(String, String)]) -> ChatMessage {
            ChatMessage(
                role: "assistant", content: nil,
                toolCalls: calls.map { ToolCall(id: $0.0, name: $0.1, arguments: "{}") })
        }
        func tool(_ id: String?) -> ChatMessage { ChatMessage(role: "tool", content: "r", toolCallID: id) }
        func ids(_ messages: [ChatMessage]) -> [String] {
            messages.withKimiToolCallIDs().flatMap {
                $0.toolCalls.map(\.id) + ($0.toolCallID.map { ["->" + $0] } ?? [])
            }
        }
        #expect(
            ids([
                assistant([("call_x", "f"), ("call_y", "g.h-1")]), tool("call_y"), tool("call_x"),
                assistant([("call_z", "f")]), tool("call_z"),
            ]) == [
                "functions.f:0", "functions.g.h-1:1", "->functions.g.h-1:1", "->functions.f:0", "functions.f:2",
                "->functions.f:2",
            ])
        // The same foreign id in two rounds, and results without an id.
        #expect(
            ids([
                assistant([("1", "f")]), tool("1"), assistant([("1", "f"), ("1", "f")]), tool("1"), tool(nil), tool(""),
            ]) == [
                "functions.f:0", "->functions.f:0", "functions.f:1", "functions.f:2", "->functions.f:1",
                "->functions.f:2", "->",
            ])
        // Native ids stay, and what comes after counts on from them.
        #expect(
            ids([
                assistant([("functions.f:4", "f")]), tool("functions.f:4"),
                assistant([("x", "f"), ("functions.f:4", "f")]),
            ]) == [
                "functions.f:4", "->functions.f:4", "functions.f:5", "functions.f:6",
            ])
        // The form with another tool's name is foreign, and so is a leading zero.
        #expect(
            ids([assistant([("functions.g:0", "f"), ("functions.f:00", "f")])]) == ["functions.f:0", "functions.f:1"])
        #expect(ids([tool("unknown")]) == ["->unknown"])
    }

    @Test func longConversationsFitTheDefaultLimits() throws {
        var messages = [ChatMessage(role: "system", content: "S")]
        for index in 0..<1000 {
            messages.append(ChatMessage(role: "user", content: String(repeating: "question \(index) ", count: 40)))
            messages.append(ChatMessage(role: "assistant", content: String(repeating: "answer <\(index)> ", count: 40)))
        }
        messages.append(ChatMessage(role: "user", content: String(repeating: "x", count: 1 << 20)))
        for name in try TemplateFixtures.names() {
            let prompt = try TemplateFixtures.template(name).render(messages: messages, now: 0)
            #expect(prompt.text.utf8.count > 2_000_000, "\(name)")
        }
    }
}
