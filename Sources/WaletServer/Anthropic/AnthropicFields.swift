// Parts that recur all over a request in Anthropic's form.

import WaletJSON

enum AnthropicFields {
    /// Reads a mark where a client wants the prompt cached. It is checked and then not needed: every prompt is cached,
    /// for as long as there is room.
    static func cacheControl(_ fields: inout RequestFields) throws(APIError) {
        guard var mark = try fields.object("cache_control") else { return }
        let type = try mark.required(try mark.string("type"), "type")
        guard type == "ephemeral" else {
            throw .invalid("Only the type \"ephemeral\" exists", parameter: mark.path("type"))
        }
        if let time = try mark.string("ttl"), time != "5m", time != "1h" {
            throw .invalid("Expected \"5m\" or \"1h\"", parameter: mark.path("ttl"))
        }
        try mark.finish()
    }
}

/// Names of tools: they go into the prompt and come back in paths, so nothing but what all APIs allow.
enum ToolName {
    static let longest = 128

    static func check(_ name: String, parameter: String) throws(APIError) {
        let isPlain = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isPlain, !name.isEmpty, name.utf8.count <= longest else {
            throw .invalid(
                "Expected 1 to \(longest) letters, digits, \"_\" or \"-\" and found \"\(name.prefix(80))\"",
                parameter: parameter)
        }
    }
}
