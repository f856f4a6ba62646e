import Walet
import WaletJSON

/// The tools of a chat, and which the model may or must call.
struct ChatTools {
    private static let maximumCount = 128
    /// All descriptions and schemas together: they are part of every prompt.
    private static let maximumBytes = 1 << 20

    var tools: [JSONValue] = []
    var choice = ModelRequest.ToolChoice.auto
    var allowsParallelCalls = true

    init(_ fields: inout RequestFields) throws(APIError) {
        try fields.refuse("functions", "functions were replaced by tools")
        try fields.refuse("function_call", "functions were replaced by tools", unless: "none")
        var names: Set<String> = []
        var bytes = 0
        for (index, value) in (try fields.array("tools", maximumCount: Self.maximumCount) ?? []).enumerated() {
            let name = try Self.read(value, path: "tools[\(index)]")
            guard names.insert(name).inserted else {
                throw APIError.invalid(
                    "Two tools are named \"\(name)\"", parameter: "tools[\(index)].function.name",
                    code: "duplicate_tool")
            }
            bytes += value.text().utf8.count
            tools.append(value)
        }
        guard bytes <= Self.maximumBytes else {
            throw APIError.invalid(
                "Expected at most \(Self.maximumBytes) bytes of tools, found \(bytes)", parameter: "tools",
                code: "tools_too_large")
        }
        allowsParallelCalls = try fields.boolean("parallel_tool_calls") ?? true
        choice = try Self.choice(&fields, names)
    }

    private static func read(_ value: JSONValue, path: String) throws(APIError) -> String {
        var tool = try RequestFields.object(value, path: path)
        let type = try tool.required(try tool.string("type", maximumBytes: 64), "type")
        guard type == "function" else { throw APIError.unsupported(tool.path("type"), "only \"function\" is known") }
        var function = try tool.required(try tool.object("function"), "function")
        let name = try function.required(try function.string("name", maximumBytes: 256), "name")
        try check(name, function.path("name"))
        _ = try function.string("description", maximumBytes: 65536)
        _ = try function.object("parameters")
        // Looked at where the answer is held to its form.
        _ = try function.boolean("strict")
        try function.finish()
        tool.ignore("cache_control")
        try tool.finish()
        return name
    }

    /// Letters, digits, `_` and `-`, up to 64: a name goes into templates and must be no markup.
    static func check(_ name: String, _ path: String) throws(APIError) {
        let isName =
            (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "_")
                    || byte == UInt8(ascii: "-")
            }
        guard isName else {
            throw APIError.invalid(
                "Expected a name of 1 to 64 letters, digits, '_' and '-'", parameter: path, code: "invalid_value")
        }
    }

    private static func choice(
        _ fields: inout RequestFields, _ names: Set<String>
    ) throws(APIError) -> ModelRequest.ToolChoice {
        let path = fields.path("tool_choice")
        guard let value = fields.value("tool_choice") else { return .auto }
        if case .string(let word) = value {
            switch word {
            case "none": return .none
            case "auto": return .auto
            case "required" where names.isEmpty: throw withoutTools(path)
            case "required": return .required
            default:
                throw fields.mismatch("tool_choice", "\"none\", \"auto\", \"required\" or a function", value)
            }
        }
        var object = try RequestFields.object(value, path: path)
        let type = try object.required(try object.string("type", maximumBytes: 64), "type")
        guard type == "function" else {
            throw APIError.unsupported(object.path("type"), "only \"function\" is known")
        }
        var function = try object.required(try object.object("function"), "function")
        let name = try function.required(try function.string("name", maximumBytes: 256), "name")
        try function.finish()
        try object.finish()
        if names.isEmpty { throw withoutTools(path) }
        guard names.contains(name) else {
            throw APIError.invalid(
                "No tool is named \"\(name.prefix(64))\"", parameter: function.path("name"), code: "unknown_tool")
        }
        return .function(name)
    }

    private static func withoutTools(_ path: String) -> APIError {
        .invalid("A tool can only be required when 'tools' are given", parameter: path, code: "invalid_value")
    }
}
