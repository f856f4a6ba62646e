// Anthropic's messages and content blocks to the messages of a chat template.

import Walet
import WaletJSON

/// The conversation of a request in Anthropic's form, message by message.
///
/// A tool's results are blocks of a user's message there and messages of their own in a template; text blocks of a message
/// are joined by line breaks (by nothing in an assistant's, so that it is what the model wrote), and messages of one
/// role that follow each other are one turn.
struct AnthropicConversation {
    private(set) var messages: [ChatMessage] = []
    /// Ids of the calls so far, which results may name.
    private var calls: Set<String> = []

    /// The system prompt, a text or a list of text blocks.
    mutating func addSystem(_ value: JSONValue, path: String) throws(APIError) {
        let text = try Self.text(value, path: path, separator: "\n")
        if !text.isEmpty { messages.append(ChatMessage(role: "system", content: text)) }
    }

    mutating func add(_ value: JSONValue, path: String) throws(APIError) {
        var fields = try RequestFields.object(value, path: path)
        let role = try fields.required(try fields.string("role"), "role")
        let content = try fields.required(fields.value("content"), "content")
        try fields.finish()
        switch role {
        case "user": try addUser(content, path: path + ".content")
        case "assistant": try addAssistant(content, path: path + ".content")
        case "system": try addSystem(content, path: path + ".content")
        default:
            throw .invalid(
                "Expected \"user\", \"assistant\" or \"system\" and found \"\(role.prefix(40))\"",
                parameter: path + ".role")
        }
    }

    private mutating func addUser(_ content: JSONValue, path: String) throws(APIError) {
        guard let blocks = content.arrayValue else {
            return addUserText(try Self.text(content, path: path, separator: "\n"))
        }
        guard !blocks.isEmpty else { throw .invalid("Expected at least one element", parameter: path) }
        var text: String?
        for (index, block) in blocks.enumerated() {
            let place = "\(path)[\(index)]"
            var fields = try RequestFields.object(block, path: place)
            switch try Self.type(&fields) {
            case "text":
                let more = try Self.textBlock(&fields)
                text = text.map { $0 + "\n" + more } ?? more
            case "tool_result":
                messages.append(try toolResult(&fields, path: place))
            case let type:
                throw Self.unsupported(type, path: place)
            }
        }
        if let text { addUserText(text) }
    }

    private mutating func addUserText(_ text: String) {
        if let last = messages.indices.last, messages[last].role == "user" {
            messages[last].content = (messages[last].content ?? "") + "\n" + text
        } else {
            messages.append(ChatMessage(role: "user", content: text))
        }
    }

    private func toolResult(_ fields: inout RequestFields, path: String) throws(APIError) -> ChatMessage {
        let id = try fields.required(try fields.string("tool_use_id"), "tool_use_id")
        guard calls.contains(id) else {
            throw .invalid(
                "There is no tool_use block before with the id \"\(id.prefix(80))\"", parameter: path + ".tool_use_id")
        }
        var text = ""
        if let content = fields.value("content") {
            text = try Self.text(content, path: path + ".content", separator: "\n")
        }
        // Templates have no place for the flag, and a model must not take a failure for a result.
        if try fields.boolean("is_error") == true, !text.lowercased().hasPrefix("error") { text = "Error: " + text }
        try AnthropicFields.cacheControl(&fields)
        fields.ignore("toolset_name")
        try fields.finish()
        return ChatMessage(role: "tool", content: text, toolCallID: id)
    }

    private mutating func addAssistant(_ content: JSONValue, path: String) throws(APIError) {
        var message = ChatMessage(role: "assistant", content: "")
        if let blocks = content.arrayValue {
            for (index, block) in blocks.enumerated() {
                try Self.add(block, path: "\(path)[\(index)]", to: &message)
            }
        } else {
            message.content = try Self.text(content, path: path, separator: "")
        }
        for call in message.toolCalls {
            guard calls.insert(call.id).inserted else {
                throw .invalid("Two tool_use blocks have the id \"\(call.id.prefix(80))\"", parameter: path)
            }
        }
        if let last = messages.indices.last, messages[last].role == "assistant" {
            messages[last].content = (messages[last].content ?? "") + (message.content ?? "")
            messages[last].toolCalls += message.toolCalls
            if let reasoning = message.reasoning {
                messages[last].reasoning = messages[last].reasoning.map { $0 + "\n" + reasoning } ?? reasoning
            }
        } else {
            messages.append(message)
        }
    }

    private static func add(
        _ block: JSONValue, path: String, to message: inout ChatMessage
    ) throws(APIError) {
        var fields = try RequestFields.object(block, path: path)
        switch try type(&fields) {
        case "text":
            message.content = (message.content ?? "") + (try textBlock(&fields))
        case "thinking":
            let thinking = try fields.required(try fields.text("thinking"), "thinking")
            // What was thought is text like any other: whoever holds the conversation may change it, so the signature
            // protects nothing and is not asked for.
            _ = try fields.text("signature")
            try fields.finish()
            if !thinking.isEmpty { message.reasoning = message.reasoning.map { $0 + "\n" + thinking } ?? thinking }
        case "tool_use":
            let id = try fields.required(try fields.string("id"), "id")
            let name = try fields.required(try fields.string("name"), "name")
            guard let input = fields.value("input")?.objectValue else {
                throw .invalid("Expected an object", parameter: path + ".input")
            }
            try AnthropicFields.cacheControl(&fields)
            fields.ignore("caller", "toolset_name")
            try fields.finish()
            message.toolCalls.append(ToolCall(id: id, name: name, arguments: JSONValue.object(input).text(.python)))
        case "redacted_thinking":
            throw .unsupported(path + ".type", "only its maker can read redacted thinking; leave the block out")
        case let type:
            throw unsupported(type, path: path)
        }
    }

    /// A text, or a list of text blocks.
    private static func text(_ value: JSONValue, path: String, separator: String) throws(APIError) -> String {
        switch value {
        case .string(let text): return text
        case .array(let blocks):
            var texts: [String] = []
            for (index, block) in blocks.enumerated() {
                let place = "\(path)[\(index)]"
                var fields = try RequestFields.object(block, path: place)
                let type = try type(&fields)
                guard type == "text" else { throw unsupported(type, path: place) }
                texts.append(try textBlock(&fields))
            }
            return texts.joined(separator: separator)
        default:
            throw .invalid("Expected text or a list of blocks and found \(value.kind)", parameter: path)
        }
    }

    private static func type(_ fields: inout RequestFields) throws(APIError) -> String {
        try fields.required(try fields.string("type"), "type")
    }

    private static func textBlock(_ fields: inout RequestFields) throws(APIError) -> String {
        let text = try fields.required(try fields.text("text"), "text")
        try AnthropicFields.cacheControl(&fields)
        fields.ignore("citations")
        try fields.finish()
        return text
    }

    private static func unsupported(_ type: String, path: String) -> APIError {
        switch type {
        case "image", "document":
            .unsupported(path + ".type", "this server takes text only; a block of type \"\(type)\" is never fetched")
        default:
            .unsupported(path + ".type", "a block of type \"\(type.prefix(40))\" is not supported here")
        }
    }
}
