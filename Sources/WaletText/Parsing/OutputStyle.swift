// Which marks a model puts around its reasoning and its tool calls.

/// How a model writes what is not plain text.
public struct OutputStyle: Sendable, Equatable {
    public enum ToolCalls: Sendable, Equatable {
        /// Calls are not looked for.
        case none
        /// Kimi K2: `<|tool_call_begin|>functions.NAME:INDEX<|tool_call_argument_begin|>{…}<|tool_call_end|>` in a section.
        case kimi
        /// DeepSeek V3 and R1 (type, name and a fenced block) and V3.1 (name and arguments) between `<｜tool▁…｜>` marks.
        case deepSeek
        /// Hermes and Qwen: `<tool_call>{"name": …, "arguments": …}</tool_call>`.
        case hermes
    }

    /// Whether the model may think between `<think>` and `</think>` before it answers.
    public var hasThinking: Bool
    public var toolCalls: ToolCalls
    /// Whether white space around the reasoning is dropped, as clients expect; otherwise every byte is kept.
    public var trimsThinking = true

    public init(hasThinking: Bool, toolCalls: ToolCalls) {
        self.hasThinking = hasThinking
        self.toolCalls = toolCalls
    }

    /// Nothing but text.
    public static let plain = OutputStyle(hasThinking: false, toolCalls: .none)

    /// The style that a chat template or a vocabulary shows.
    /// - Parameters:
    ///   - template: the template's text, where there is one.
    ///   - hasToken: whether the vocabulary has a token of a text, such as `<think>`.
    public static func detect(template: String?, hasToken: (String) -> Bool = { _ in false }) -> OutputStyle {
        let text = Array((template ?? "").utf8)
        func mentions(_ mark: String) -> Bool { text.firstOffset(of: Array(mark.utf8), from: 0) != nil }
        func knows(_ mark: String) -> Bool { mentions(mark) || hasToken(mark) }
        var style = OutputStyle(hasThinking: knows("<think>") || mentions("</think>"), toolCalls: .none)
        if mentions("<|im_middle|>") || knows("<|tool_calls_section_begin|>") {
            style.toolCalls = .kimi
        } else if knows("<｜tool▁calls▁begin｜>") {
            style.toolCalls = .deepSeek
        } else if mentions("<tool_call>"), !mentions("<function=") {
            style.toolCalls = .hermes
        }
        return style
    }
}

extension RenderedPrompt {
    /// Whether the template left `<think>` open at the end, so that the answer begins inside the reasoning.
    public var endsInThinking: Bool {
        let bytes = Array(text.utf8.suffix(64))
        var end = bytes.count
        while end > 0, bytes[end - 1] == 0x20 || (0x09...0x0D).contains(bytes[end - 1]) { end -= 1 }
        let mark = Array("<think>".utf8)
        guard end >= mark.count, bytes[(end - mark.count)..<end].elementsEqual(mark) else { return false }
        let start = text.utf8.count - bytes.count + end - mark.count
        // A user who writes `<think>` opens nothing.
        return untrusted.last.map { $0.upperBound <= start } ?? true
    }
}
