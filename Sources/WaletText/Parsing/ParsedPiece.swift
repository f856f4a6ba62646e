// What a parser finds in a model's output, and the pieces put together again.

/// A part of a model's output. Pieces of one kind that follow each other belong together.
public enum ParsedPiece: Sendable, Equatable {
    case thinking(String)
    case text(String)
    /// A call whose name is known; its arguments follow. `index` counts the calls of this output from 0.
    case toolCallStarted(index: Int, id: String, name: String)
    /// More of a call's arguments, which are JSON text as the model wrote it.
    case toolCallArguments(index: Int, String)
    /// The end of a call; not complete where the output ended first.
    case toolCallFinished(index: Int, isComplete: Bool)
    /// What stood between a call's marks and is no call: no name, or no JSON.
    case malformedToolCall(String)
}

/// A whole output, taken apart.
public struct ParsedOutput: Sendable, Equatable {
    public var thinking = ""
    public var text = ""
    public var toolCalls: [ToolCall] = []
    /// Indices of calls that the output's end cut off.
    public var incompleteCalls: [Int] = []
    public var malformedToolCalls: [String] = []

    public init() {}

    public init(_ pieces: [ParsedPiece]) {
        for piece in pieces { add(piece) }
    }

    public mutating func add(_ piece: ParsedPiece) {
        switch piece {
        case .thinking(let more): thinking += more
        case .text(let more): text += more
        case .toolCallStarted(_, let id, let name): toolCalls.append(ToolCall(id: id, name: name, arguments: ""))
        case .toolCallArguments(let index, let more):
            if toolCalls.indices.contains(index) { toolCalls[index].arguments += more }
        case .toolCallFinished(let index, let isComplete):
            if !isComplete { incompleteCalls.append(index) }
        case .malformedToolCall(let raw): malformedToolCalls.append(raw)
        }
    }

    /// Takes a whole output apart at once.
    public static func parse(
        _ output: String, style: OutputStyle, insideThinking: Bool = false, tools: [ToolSignature] = []
    ) -> ParsedOutput {
        var parser = OutputParser(style: style, insideThinking: insideThinking, tools: tools)
        var result = ParsedOutput(parser.append(output))
        for piece in parser.finish() { result.add(piece) }
        return result
    }
}
