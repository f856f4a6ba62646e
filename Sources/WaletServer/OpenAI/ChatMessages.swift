import Walet
import WaletJSON

/// Reads the messages of a chat in OpenAI's form. Members of a message that mean nothing to a model (`refusal`,
/// `annotations`, what other clients add) are passed over; those that would change the answer are turned down.
enum ChatMessages {
    private static let maximumCount = 16384

    static func read(_ fields: inout RequestFields) throws(APIError) -> [ChatMessage] {
        let list = try fields.required(try fields.array("messages", maximumCount: maximumCount), "messages")
        guard !list.isEmpty else {
            throw APIError.invalid("Expected at least one message", parameter: "messages", code: "empty_array")
        }
        var messages: [ChatMessage] = []
        messages.reserveCapacity(list.count)
        for (index, value) in list.enumerated() {
            messages.append(try message(RequestFields.object(value, path: "messages[\(index)]")))
        }
        return messages
    }

    private static func message(_ source: RequestFields) throws(APIError) -> ChatMessage {
        var fields = source
        let role = try fields.required(try fields.string("role", maximumBytes: 32), "role")
        try fields.refuse("function_call", "functions were replaced by tools")
        try fields.refuse("audio", "only text is supported")
        // Kimi's and DeepSeek's ways to have an answer's beginning continued.
        try fields.refuse("partial", "an answer cannot be continued", unless: false)
        try fields.refuse("prefix", "an answer cannot be continued", unless: false)
        let content = try content(&fields)
        var message = ChatMessage(role: role, content: content)
        message.name = try fields.string("name", maximumBytes: 256)
        switch role {
        case "system", "user": break
        // The newer name of the system's messages, which no template knows.
        case "developer": message.role = "system"
        case "tool":
            message.toolCallID = try fields.required(
                try fields.string("tool_call_id", maximumBytes: 256), "tool_call_id")
        case "assistant":
            message.reasoning = try reasoning(&fields)
            message.toolCalls = try toolCalls(&fields)
        default:
            throw APIError.invalid(
                "Expected \"system\", \"developer\", \"user\", \"assistant\" or \"tool\"",
                parameter: fields.path("role"), code: "invalid_value")
        }
        guard content != nil || role == "assistant" else { throw missing(fields.path("content")) }
        return message
    }

    private static func missing(_ path: String) -> APIError {
        .invalid("Missing required parameter: '\(path)'", parameter: path, code: "missing_required_parameter")
    }

    private static func content(_ fields: inout RequestFields) throws(APIError) -> String? {
        let path = fields.path("content")
        switch fields.value("content") {
        case nil: return nil
        case .string(let text)?: return text
        case .array(let parts)?:
            var text = ""
            for (index, part) in parts.enumerated() {
                text += try Self.text(RequestFields.object(part, path: "\(path)[\(index)]"))
            }
            return text
        case .some(let other):
            throw APIError.invalid(
                "Expected text or an array of parts, found \(other.kind)", parameter: path, code: "invalid_value")
        }
    }

    private static func text(_ source: RequestFields) throws(APIError) -> String {
        var part = source
        let type = try part.required(try part.string("type", maximumBytes: 64), "type")
        switch type {
        case "text": return try part.required(try part.string("text", maximumBytes: .max), "text")
        case "refusal": return try part.required(try part.string("refusal", maximumBytes: .max), "refusal")
        default:
            // Nothing is fetched and nothing decoded: the type alone decides.
            throw APIError(
                .invalidRequest, "Only text is supported, not parts of type \"\(type)\"", parameter: part.path("type"),
                code: "unsupported_content_type")
        }
    }

    /// What an assistant thought: templates of some models need it back.
    private static func reasoning(_ fields: inout RequestFields) throws(APIError) -> String? {
        if let text = try fields.string("reasoning_content", maximumBytes: .max) { return text }
        // Others' name of it; where it is no text it is another server's own format.
        return fields.value("reasoning")?.stringValue
    }

    private static func toolCalls(_ fields: inout RequestFields) throws(APIError) -> [ToolCall] {
        guard let list = try fields.array("tool_calls", maximumCount: 512) else { return [] }
        var calls: [ToolCall] = []
        for (index, value) in list.enumerated() {
            var call = try RequestFields.object(value, path: "\(fields.path("tool_calls"))[\(index)]")
            let type = try call.string("type", maximumBytes: 64) ?? "function"
            guard type == "function" else {
                throw APIError.unsupported(call.path("type"), "only \"function\" is known")
            }
            var function = try call.required(try call.object("function"), "function")
            let name = try function.required(try function.string("name", maximumBytes: 256), "name")
            try ChatTools.check(name, function.path("name"))
            let arguments: String
            switch function.value("arguments") {
            case nil: arguments = "{}"
            case .string(let text)?: arguments = text
            case .object(let object)?: arguments = JSONValue.object(object).text()
            case .some(let other):
                throw APIError.invalid(
                    "Expected JSON as text, found \(other.kind)", parameter: function.path("arguments"),
                    code: "invalid_value")
            }
            calls.append(
                ToolCall(id: try call.string("id", maximumBytes: 256) ?? "", name: name, arguments: arguments))
        }
        return calls
    }
}
