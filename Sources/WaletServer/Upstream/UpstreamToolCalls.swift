import Walet
import WaletJSON

/// Puts the pieces of an answer's tool calls together.
struct UpstreamToolCalls {
    private static let maximumCalls = 512
    private static let maximumName = 256

    private struct Call {
        /// As the other server counts.
        let key: Int
        var id: String?
        var name = ""
        /// Arguments that came before the name.
        var early = ""
        var hasStarted = false
        var isClosed = false
    }

    private let prefix: String
    private var calls: [Call] = []

    /// - Parameter prefix: of the ids of calls that come without one.
    init(prefix: String) { self.prefix = prefix }

    /// Takes the elements of `delta.tool_calls`.
    mutating func take(_ deltas: [JSONValue]) throws(UpstreamError) -> [ModelEvent] {
        var events: [ModelEvent] = []
        for delta in deltas {
            guard delta.objectValue != nil else { throw malformed("an object", delta) }
            events += try take(delta)
        }
        return events
    }

    private mutating func take(_ delta: JSONValue) throws(UpstreamError) -> [ModelEvent] {
        var events: [ModelEvent] = []
        let index = try find(delta, &events)
        let function = delta["function"]
        if calls[index].id == nil, let id = delta["id"]?.stringValue, (1...Self.maximumName).contains(id.utf8.count) {
            calls[index].id = id
        }
        var arguments = ""
        switch function?["arguments"] {
        case nil, .null?: break
        case .string(let text)?: arguments = text
        // Not as the API has it, but what is meant is plain.
        case .object(let object)?: arguments = JSONValue.object(object).text()
        case .some(let other): throw malformed("arguments as text", other)
        }
        if !calls[index].hasStarted {
            if let name = function?["name"]?.stringValue { calls[index].name += name }
            guard calls[index].name.utf8.count <= Self.maximumName else {
                throw .malformed(
                    what: "the name of a tool", expected: "at most \(Self.maximumName) bytes", found: "more")
            }
            if calls[index].name.isEmpty {
                calls[index].early += arguments
                return events
            }
            calls[index].hasStarted = true
            let id = calls[index].id ?? "\(prefix)\(index)"
            events.append(.toolCallStarted(index: index, id: id, name: calls[index].name))
            arguments = calls[index].early + arguments
            calls[index].early = ""
        }
        if !arguments.isEmpty { events.append(.toolCallArguments(index: index, arguments)) }
        return events
    }

    /// The call that a piece belongs to; a new one where it is the first of it.
    private mutating func find(_ delta: JSONValue, _ events: inout [ModelEvent]) throws(UpstreamError) -> Int {
        let key: Int
        switch delta["index"] {
        case .int(let index)?: key = index
        case nil, .null?:
            // Without numbers, a new id begins a new call.
            let isNew = calls.isEmpty || (delta["id"]?.stringValue.map { $0 != calls.last?.id } ?? false)
            key = isNew ? calls.count : calls[calls.count - 1].key
        case .some(let other): throw malformed("a number as 'index'", other)
        }
        if let index = calls.firstIndex(where: { $0.key == key }) {
            guard !calls[index].isClosed else {
                throw .malformed(what: "a call of a tool", expected: "its pieces together", found: "another between")
            }
            return index
        }
        guard calls.count < Self.maximumCalls else {
            throw .malformed(what: "the calls of tools", expected: "at most \(Self.maximumCalls)", found: "more")
        }
        try close(isComplete: true, &events)
        calls.append(Call(key: key))
        return calls.count - 1
    }

    private mutating func close(isComplete: Bool, _ events: inout [ModelEvent]) throws(UpstreamError) {
        guard let last = calls.indices.last, !calls[last].isClosed else { return }
        guard calls[last].hasStarted else {
            throw .malformed(what: "a call of a tool", expected: "a name", found: "none")
        }
        calls[last].isClosed = true
        events.append(.toolCallFinished(index: last, isComplete: isComplete))
    }

    /// Takes the end of the answer.
    /// - Parameter isCut: the answer reached its maximum of tokens.
    mutating func finish(isCut: Bool) throws(UpstreamError) -> [ModelEvent] {
        // Of a call whose name did not come there is nothing to tell.
        if isCut, let last = calls.last, !last.hasStarted { return [] }
        var events: [ModelEvent] = []
        try close(isComplete: !isCut, &events)
        return events
    }

    private func malformed(_ expected: String, _ found: JSONValue) -> UpstreamError {
        .malformed(what: "a call of a tool", expected: expected, found: found.kind)
    }
}
