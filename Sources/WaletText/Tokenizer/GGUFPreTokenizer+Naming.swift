// The name that GGUF has for the pre-tokenizer of a tokenizer.json: the other direction of GGUFPreTokenizer.

import WaletJSON

extension GGUFPreTokenizer {
    /// The name for `tokenizer.ggml.pre`.
    /// - Parameter json: the parsed tokenizer.json.
    /// - Throws: ``TokenizerError`` for one that no name stands for exactly.
    package static func name(of json: JSONValue) throws(TokenizerError) -> String {
        var steps: [String] = []
        try flatten(json["pre_tokenizer"], "pre_tokenizer", into: &steps)
        let takesWholePieces = json["model"]?["ignore_merges"]?.boolValue ?? false
        let isComposed = try composes(json["normalizer"])
        let found = known.first { scheme in
            scheme.steps == steps && scheme.takesWholePieces == takesWholePieces && scheme.isComposed == isComposed
        }
        guard let found else {
            // What differs, where the steps alone have a name.
            let near = known.first { $0.steps == steps }?.name
            let flags = "ignore_merges \(takesWholePieces), normalizer \(isComposed ? "NFC" : "null")"
            throw .unsupported(
                part: "pre_tokenizer for GGUF", name: near.map { "that of \($0) with \(flags)" } ?? described(steps),
                supported: known.map(\.name))
        }
        return found.name
    }

    private struct Scheme {
        var name: String
        var steps: [String]
        var takesWholePieces = false
        /// Whether text is composed first (NFC).
        var isComposed = false
    }

    // Where two names have the same pattern they differ in the flags: llama.cpp merges pieces that are tokens already for
    // "smaug-bpe" and not for "llama-bpe", and Walet composes text for "qwen2" and not for "deepseek-r1-qwen".
    private static let known = [
        Scheme(name: "gpt-2", steps: ["words"]),
        Scheme(name: "smollm", steps: ["digits", "words"]),
        Scheme(name: "llama-bpe", steps: [llama3, "bytes"], takesWholePieces: true),
        Scheme(name: "smaug-bpe", steps: [llama3, "bytes"]),
        Scheme(name: "qwen2", steps: [qwen2, "bytes"], isComposed: true),
        Scheme(name: "deepseek-r1-qwen", steps: [qwen2, "bytes"]),
        Scheme(
            name: "deepseek-v3",
            steps: [#"\p{N}{1,3}"#, "[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+", deepSeekV3, "bytes"]),
    ]

    private static func described(_ steps: [String]) -> String {
        steps.isEmpty ? "none" : String(steps.joined(separator: ", then ").prefix(200))
    }

    /// The steps as words, and the patterns of those that split.
    private static func flatten(
        _ json: JSONValue?, _ path: String, into steps: inout [String]
    ) throws(TokenizerError) {
        guard let json, !json.isNull else { return }
        let fields = try JSONFields(json, path)
        let type = try fields.string("type")
        switch type {
        case "Sequence":
            guard steps.count < 16 else { return }
            for (index, item) in try fields.array("pretokenizers").prefix(16).enumerated() {
                try flatten(item, "\(path).pretokenizers[\(index)]", into: &steps)
            }
        case "ByteLevel":
            if try fields.bool("add_prefix_space", default: true) { steps.append("a space before") }
            steps.append(try fields.bool("use_regex", default: true) ? "words" : "bytes")
        case "Digits" where try fields.bool("individual_digits", default: false): steps.append("digits")
        case "Split":
            let pattern = fields.object["pattern"]?["Regex"]?.stringValue
            let behavior = try fields.string("behavior")
            guard let pattern, behavior == "Isolated", try fields.bool("invert") == false else {
                steps.append("Split \(behavior)")
                return
            }
            steps.append(pattern)
        default: steps.append(type)
        }
    }

    /// Whether the normalizer is NFC and not none.
    private static func composes(_ json: JSONValue?) throws(TokenizerError) -> Bool {
        guard let json, !json.isNull else { return false }
        if json["type"] == "NFC" { return true }
        let parts = json["normalizers"]?.arrayValue
        if json["type"] == "Sequence", let parts, parts.count < 2 { return try composes(parts.first) }
        throw .unsupported(
            part: "normalizer for GGUF", name: json["type"]?.stringValue ?? json.kind, supported: ["null", "NFC"])
    }
}
