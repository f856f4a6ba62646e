// One turn of a conversation, and its OpenAI-style JSON.

import WaletJSON

/// A call of a tool by the assistant.
public struct ToolCall: Sendable, Equatable {
    /// The id that the result's message repeats; K2 knows `functions.NAME:INDEX` only.
    public var id: String
    public var name: String
    /// JSON text, as the model wrote it.
    public var arguments: String

    public init(id: String, name: String, arguments: String) {
        self.id = id
        self.name = name
        self.arguments = arguments
    }
}

/// One message of a conversation.
public struct ChatMessage: Sendable, Equatable {
    /// "system", "user", "assistant", "tool", or what else a template knows.
    public var role: String
    /// The text, or nil where an assistant only called tools.
    public var content: String?
    /// What the assistant thought before it answered.
    public var reasoning: String?
    public var toolCalls: [ToolCall]
    /// Which call a tool's message answers.
    public var toolCallID: String?
    public var name: String?

    public init(
        role: String, content: String?, reasoning: String? = nil, toolCalls: [ToolCall] = [],
        toolCallID: String? = nil, name: String? = nil
    ) {
        self.role = role
        self.content = content
        self.reasoning = reasoning
        self.toolCalls = toolCalls
        self.toolCallID = toolCallID
        self.name = name
    }
}

/// Why an object is no chat message, with the place in the conversation.
public struct ChatMessageError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Where, as in "messages[2].tool_calls[0].function.name".
    public let path: String
    public let reason: String

    public var description: String { "\(path): \(reason)" }
}

extension ChatMessage {
    /// Reads the messages of an OpenAI-style request.
    /// - Throws: ``ChatMessageError`` for the first thing that is wrong.
    public static func messages(from json: JSONValue) throws(ChatMessageError) -> [ChatMessage] {
        guard let elements = json.arrayValue else {
            throw ChatMessageError(path: "messages", reason: "expected an array and found \(json.kind)")
        }
        var messages: [ChatMessage] = []
        for (index, element) in elements.enumerated() {
            messages.append(try ChatMessage(json: element, path: "messages[\(index)]"))
        }
        return messages
    }

    /// Reads one OpenAI-style message. `content` may be text, null, or a list of text parts, which are joined.
    /// - Throws: ``ChatMessageError``.
    public init(json: JSONValue, path: String = "message") throws(ChatMessageError) {
        guard let object = json.objectValue else {
            throw ChatMessageError(path: path, reason: "expected an object and found \(json.kind)")
        }
        guard let role = try Self.text(object, "role", path), !role.isEmpty else {
            throw ChatMessageError(path: path + ".role", reason: "is missing")
        }
        self.init(role: role, content: try Self.content(object["content"], path + ".content"))
        name = try Self.text(object, "name", path)
        toolCallID = try Self.text(object, "tool_call_id", path)
        for key in ["reasoning_content", "reasoning", "thinking"] where reasoning == nil {
            reasoning = try Self.text(object, key, path)
        }
        switch object["tool_calls"] {
        case nil, .null?: break
        case .array(let calls)?:
            for (index, call) in calls.enumerated() {
                toolCalls.append(try ToolCall(json: call, path: path + ".tool_calls[\(index)]"))
            }
        case .some(let other):
            throw ChatMessageError(
                path: path + ".tool_calls", reason: "expected an array and found \(other.kind)")
        }
        guard toolCalls.isEmpty || role == "assistant" else {
            throw ChatMessageError(path: path + ".tool_calls", reason: "only an assistant calls tools")
        }
        guard content != nil || role == "assistant" else {
            throw ChatMessageError(path: path + ".content", reason: "is missing")
        }
    }

    private static func text(
        _ object: JSONObject, _ key: String, _ path: String
    ) throws(ChatMessageError) -> String? {
        switch object[key] {
        case nil, .null?: return nil
        case .string(let text)?: return text
        case .some(let other):
            throw ChatMessageError(path: "\(path).\(key)", reason: "expected a string and found \(other.kind)")
        }
    }

    private static func content(_ json: JSONValue?, _ path: String) throws(ChatMessageError) -> String? {
        switch json {
        case nil, .null?: return nil
        case .string(let text)?: return text
        case .array(let parts)?:
            var text = ""
            for (index, part) in parts.enumerated() {
                let place = "\(path)[\(index)]"
                guard let object = part.objectValue else {
                    throw ChatMessageError(path: place, reason: "expected an object and found \(part.kind)")
                }
                let type = try Self.text(object, "type", place) ?? "missing"
                guard type == "text" else {
                    throw ChatMessageError(
                        path: place + ".type", reason: "only \"text\" is supported, not \"\(type.prefix(40))\"")
                }
                guard let more = try Self.text(object, "text", place) else {
                    throw ChatMessageError(path: place + ".text", reason: "is missing")
                }
                text += more
            }
            return text
        case .some(let other):
            throw ChatMessageError(path: path, reason: "expected text or a list of parts and found \(other.kind)")
        }
    }

    /// The message as an OpenAI-style object; what is nil or empty is left out, but for `content`.
    public var json: JSONValue {
        var object = JSONObject([("role", .string(role)), ("content", content.map(JSONValue.string) ?? .null)])
        if let reasoning { object["reasoning_content"] = .string(reasoning) }
        if !toolCalls.isEmpty { object["tool_calls"] = .array(toolCalls.map(\.json)) }
        if let toolCallID { object["tool_call_id"] = .string(toolCallID) }
        if let name { object["name"] = .string(name) }
        return .object(object)
    }
}

extension ToolCall {
    /// Reads one element of `tool_calls`: `{"id": …, "type": "function", "function": {"name": …, "arguments": …}}`.
    /// Arguments may be JSON text, as OpenAI's API has them, or an object.
    /// - Throws: ``ChatMessageError``.
    public init(json: JSONValue, path: String = "tool_call") throws(ChatMessageError) {
        guard let object = json.objectValue else {
            throw ChatMessageError(path: path, reason: "expected an object and found \(json.kind)")
        }
        if let type = object["type"], type != "function" {
            throw ChatMessageError(path: path + ".type", reason: "only \"function\" is supported")
        }
        guard let function = object["function"]?.objectValue else {
            throw ChatMessageError(path: path + ".function", reason: "is missing or no object")
        }
        guard let name = function["name"]?.stringValue, !name.isEmpty else {
            throw ChatMessageError(path: path + ".function.name", reason: "is missing or no string")
        }
        let arguments: String
        switch function["arguments"] {
        case nil, .null?: arguments = "{}"
        case .string(let text)?: arguments = text
        case .object(let members)?: arguments = JSONValue.object(members).text(.python)
        case .some(let other):
            throw ChatMessageError(
                path: path + ".function.arguments", reason: "expected JSON text or an object and found \(other.kind)")
        }
        let id: String
        switch object["id"] {
        case nil, .null?: id = ""
        case .string(let text)?: id = text
        case .some(let other):
            throw ChatMessageError(path: path + ".id", reason: "expected a string and found \(other.kind)")
        }
        self.init(id: id, name: name, arguments: arguments)
    }

    /// The call as an element of OpenAI-style `tool_calls`.
    public var json: JSONValue {
        [
            "id": .string(id), "type": "function",
            "function": ["name": .string(name), "arguments": .string(arguments)],
        ]
    }
}
