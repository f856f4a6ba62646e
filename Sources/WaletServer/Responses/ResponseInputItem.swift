// The items of a request's `input`: what each is, and how it is listed again.

import Foundation
import Walet
import WaletJSON

/// One item that a client sends, checked.
struct ResponseInputItem: Sendable {
    enum Content: Sendable {
        case message(role: String, text: String)
        case functionCall(ToolCall)
        case functionOutput(callID: String, text: String)
        case reasoning(String)
    }

    var id: String?
    var content: Content

    /// What a client sends back in place of a reasoning item's text begins with this.
    private static let sealPrefix = "walet1."

    /// A text that goes with the reasoning item, for clients that keep this field only. Nothing in it is secret from the
    /// client: it has read the same text.
    static func seal(_ reasoning: String) -> String { sealPrefix + Data(reasoning.utf8).base64EncodedString() }

    private static func unseal(_ text: String) -> String? {
        guard text.hasPrefix(sealPrefix), let data = Data(base64Encoded: String(text.dropFirst(sealPrefix.count)))
        else { return nil }
        return String(validating: data, as: UTF8.self)
    }

    /// A text that stands for a user's message.
    init(text: String) { content = .message(role: "user", text: text) }

    init(_ value: JSONValue, path: String) throws(APIError) {
        var fields = try RequestFields.object(value, path: path)
        let type = try fields.string("type") ?? "message"
        id = try fields.string("id", maximumBytes: 64)
        fields.ignore("status")
        switch type {
        case "message": content = try Self.message(&fields, path: path)
        case "function_call":
            fields.ignore("caller", "namespace", "async", "parsed_arguments")
            content = .functionCall(
                ToolCall(
                    id: try fields.required(try fields.string("call_id"), "call_id"),
                    name: try fields.required(try fields.string("name"), "name"),
                    arguments: try fields.required(try fields.text("arguments"), "arguments")))
        case "function_call_output":
            fields.ignore("caller", "namespace", "name")
            let callID = try fields.required(try fields.string("call_id"), "call_id")
            let output = try fields.required(fields.value("output"), "output")
            content = .functionOutput(callID: callID, text: try Self.text(output, path: path + ".output"))
        case "reasoning": content = try Self.reasoning(&fields, path: path)
        case "item_reference":
            throw .unsupported(
                path + ".type", "items are not looked up by reference; send the item, or use previous_response_id")
        default:
            throw .unsupported(path + ".type", "an item of type \"\(type.prefix(40))\" is not supported here")
        }
        try fields.finish()
    }

    private static func message(_ fields: inout RequestFields, path: String) throws(APIError) -> Content {
        let role = try fields.required(try fields.string("role"), "role")
        guard ["user", "assistant", "system", "developer"].contains(role) else {
            throw .invalid(
                "Expected \"user\", \"assistant\", \"system\" or \"developer\" and found \"\(role.prefix(40))\"",
                parameter: path + ".role")
        }
        fields.ignore("phase")
        let content = try fields.required(fields.value("content"), "content")
        return .message(role: role, text: try text(content, path: path + ".content"))
    }

    private static func reasoning(_ fields: inout RequestFields, path: String) throws(APIError) -> Content {
        var texts: [String] = []
        for (index, part) in (try fields.array("content", maximumCount: 1000) ?? []).enumerated() {
            texts.append(try Self.part(part, ["reasoning_text"], path: "\(path).content[\(index)]"))
        }
        var summaries: [String] = []
        for (index, part) in (try fields.array("summary", maximumCount: 1000) ?? []).enumerated() {
            summaries.append(try Self.part(part, ["summary_text"], path: "\(path).summary[\(index)]"))
        }
        let sealed = try fields.text("encrypted_content")
        if !texts.isEmpty { return .reasoning(texts.joined()) }
        if let sealed {
            guard let text = unseal(sealed) else {
                throw .invalid(
                    "This was not made here; leave the reasoning item out",
                    parameter: path + ".encrypted_content")
            }
            return .reasoning(text)
        }
        return .reasoning(summaries.joined(separator: "\n\n"))
    }

    /// A text, or a list of parts that are texts.
    private static func text(_ value: JSONValue, path: String) throws(APIError) -> String {
        switch value {
        case .string(let text): return text
        case .array(let parts):
            var text = ""
            for (index, part) in parts.enumerated() {
                text += try Self.part(
                    part, ["input_text", "output_text", "text", "refusal"], path: "\(path)[\(index)]")
            }
            return text
        default:
            throw .invalid("Expected text or a list of parts and found \(value.kind)", parameter: path)
        }
    }

    private static func part(_ value: JSONValue, _ types: [String], path: String) throws(APIError) -> String {
        var fields = try RequestFields.object(value, path: path)
        let type = try fields.required(try fields.string("type"), "type")
        guard types.contains(type) else {
            switch type {
            case "input_image", "input_file", "input_audio":
                throw .unsupported(
                    path + ".type", "this server takes text only; a part of type \"\(type)\" is never fetched")
            default:
                throw .unsupported(path + ".type", "a part of type \"\(type.prefix(40))\" is not supported here")
            }
        }
        let key = type == "refusal" ? "refusal" : "text"
        let text = try fields.required(try fields.text(key), key)
        fields.ignore("annotations", "logprobs", "parsed", "prompt_cache_breakpoint")
        try fields.finish()
        return text
    }

    /// The item as it is listed.
    func json(id fallback: String) -> JSONValue {
        let id = JSONValue.string(id ?? fallback)
        switch content {
        case .message("assistant", let text):
            return [
                "id": id, "type": "message", "status": "completed", "role": "assistant",
                "content": [["type": "output_text", "text": .string(text), "annotations": []]],
            ]
        case .message(let role, let text):
            return [
                "id": id, "type": "message", "status": "completed", "role": .string(role),
                "content": [["type": "input_text", "text": .string(text)]],
            ]
        case .functionCall(let call):
            return [
                "id": id, "type": "function_call", "status": "completed", "call_id": .string(call.id),
                "name": .string(call.name), "arguments": .string(call.arguments),
            ]
        case .functionOutput(let callID, let text):
            return [
                "id": id, "type": "function_call_output", "status": "completed", "call_id": .string(callID),
                "output": .string(text),
            ]
        case .reasoning(let text):
            return [
                "id": id, "type": "reasoning", "summary": [],
                "content": [["type": "reasoning_text", "text": .string(text)]],
            ]
        }
    }
}

/// The messages that items make. An assistant's reasoning, text and calls are items of their own in the API, and one
/// message in a template.
struct ResponseConversation: Sendable {
    private(set) var messages: [ChatMessage]

    /// - Parameter messages: an earlier conversation that goes on.
    init(_ messages: [ChatMessage] = []) { self.messages = messages }

    mutating func add(_ item: ResponseInputItem) {
        switch item.content {
        case .message("assistant", let text): extendAssistant { $0.content = ($0.content ?? "") + text }
        case .message(let role, let text):
            // Templates know no developer; the role has the system's place.
            messages.append(ChatMessage(role: role == "developer" ? "system" : role, content: text))
        case .functionCall(let call): extendAssistant { $0.toolCalls.append(call) }
        case .functionOutput(let callID, let text):
            messages.append(ChatMessage(role: "tool", content: text, toolCallID: callID))
        case .reasoning(let text):
            if !text.isEmpty { extendAssistant { $0.reasoning = $0.reasoning.map { $0 + "\n" + text } ?? text } }
        }
    }

    private mutating func extendAssistant(_ change: (inout ChatMessage) -> Void) {
        if messages.last?.role != "assistant" { messages.append(ChatMessage(role: "assistant", content: "")) }
        change(&messages[messages.count - 1])
    }

    /// The conversation with instructions before it. Many templates take one system message, at the start: what the
    /// client put there itself follows the instructions in the same message.
    func messages(instructions: String?) -> [ChatMessage] {
        let leading = messages.prefix { $0.role == "system" }
        var system = leading.compactMap(\.content)
        if let instructions { system.insert(instructions, at: 0) }
        let rest = messages.dropFirst(leading.count)
        if system.isEmpty { return Array(rest) }
        return [ChatMessage(role: "system", content: system.joined(separator: "\n\n"))] + rest
    }
}
