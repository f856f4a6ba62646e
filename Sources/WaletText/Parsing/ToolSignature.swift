// What a parser needs to know of a declared tool, and Kimi K2's ids.

import WaletJSON

/// A declared tool's name and parameters: enough to tell which tool a call without a name means.
public struct ToolSignature: Sendable, Equatable {
    public var name: String
    public var parameters: Set<String>
    public var required: Set<String>

    public init(name: String, parameters: Set<String> = [], required: Set<String> = []) {
        self.name = name
        self.parameters = parameters
        self.required = required
    }

    /// Reads an OpenAI-style declaration; nil where it has no name.
    public init?(json: JSONValue) {
        guard let name = (json["function"] ?? json)["name"]?.stringValue else { return nil }
        let schema = (json["function"] ?? json)["parameters"]
        self.init(
            name: name, parameters: Set(schema?["properties"]?.objectValue?.keys ?? []),
            required: Set((schema?["required"]?.arrayValue ?? []).compactMap(\.stringValue)))
    }

    /// Whether a call with these arguments can mean this tool.
    func accepts(_ arguments: Set<String>) -> Bool {
        arguments.isSubset(of: parameters) && required.isSubset(of: arguments)
    }
}

/// The parts of an id as Kimi K2 writes it, `functions.NAME:INDEX`, with what it leaves out at times.
struct KimiCallID: Equatable {
    /// Nil where the id is a bare counter.
    var name: String?
    var index: Int?

    init(_ text: String) {
        var rest = Substring(text)
        let isPrefixed = rest.hasPrefix("functions.")
        if isPrefixed { rest = rest.dropFirst("functions.".count) }
        if let colon = rest.lastIndex(of: ":"), let number = Self.number(rest[rest.index(after: colon)...]) {
            index = number
            rest = rest[..<colon]
        } else if !isPrefixed, let number = Self.number(rest) {
            index = number
            rest = ""
        }
        name = rest.isEmpty ? nil : String(rest)
    }

    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) else {
            return nil
        }
        return Int(text)
    }

    static func text(name: String, index: Int) -> String { "functions.\(name):\(index)" }
}

extension [ChatMessage] {
    /// The conversation with tool-call ids in the form that Kimi K2 was trained on, `functions.NAME:INDEX`, where INDEX
    /// counts the calls of the whole conversation. An id that has the form already stays unless it is used twice; each
    /// result follows its call. With foreign ids in its history K2 copies them, or writes its marks as text.
    public func withKimiToolCallIDs() -> [ChatMessage] {
        var counter = 0
        var used: Set<String> = []
        var renamed: [String: String] = [:]
        var unanswered: [(old: String, new: String)] = []
        return map { message in
            var message = message
            if !message.toolCalls.isEmpty { unanswered = [] }
            for position in message.toolCalls.indices {
                let call = message.toolCalls[position]
                let parts = KimiCallID(call.id)
                var id = call.id
                if parts.name == call.name, let index = parts.index,
                    id == KimiCallID.text(name: call.name, index: index), !used.contains(id)
                {
                    counter = Swift.max(counter, index < Int.max ? index + 1 : index)
                } else {
                    repeat {
                        id = KimiCallID.text(name: call.name, index: counter)
                        counter = counter == Int.max ? 0 : counter + 1
                    } while used.contains(id)
                }
                used.insert(id)
                renamed[call.id] = id
                unanswered.append((call.id, id))
                message.toolCalls[position].id = id
            }
            guard message.role == "tool" else { return message }
            let old = message.toolCallID ?? ""
            if let position = unanswered.firstIndex(where: { $0.old == old || old.isEmpty }) {
                message.toolCallID = unanswered.remove(at: position).new
            } else if let new = renamed[old] {
                message.toolCallID = new
            }
            return message
        }
    }
}
