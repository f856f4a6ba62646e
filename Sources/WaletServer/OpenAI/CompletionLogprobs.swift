import Walet
import WaletJSON

/// Log probabilities as completions spell them: four lists side by side.
struct CompletionLogprobs {
    private let alternatives: Int
    private var tokens: [JSONValue] = []
    private var probabilities: [JSONValue] = []
    private var tops: [JSONValue] = []
    private var offsets: [JSONValue] = []
    /// Characters that began so far.
    private var offset: Int

    /// - Parameters:
    ///   - alternatives: likeliest tokens to tell of, beside the one that came.
    ///   - offset: where in the text the first token stands, in characters.
    init(alternatives: Int, offset: Int = 0) {
        self.alternatives = alternatives
        self.offset = offset
    }

    /// A token; the first of a prompt has no probability.
    mutating func add(_ token: TokenLogprob) {
        let bytes = token.bytes
        tokens.append(.string(Self.spell(bytes)))
        offsets.append(.int(offset))
        // A character of several tokens begins in the first of them.
        offset += bytes.count { $0 & 0xC0 != 0x80 }
        guard let logprob = token.logprob else {
            probabilities.append(.null)
            tops.append(.null)
            return
        }
        let value = LogprobsJSON.clamp(logprob)
        probabilities.append(.double(value))
        var likeliest = JSONObject()
        for candidate in token.top.prefix(alternatives) {
            let spelling = Self.spell(candidate.bytes)
            // Different tokens may be spelled alike; the likelier one came first.
            if likeliest[spelling] == nil { likeliest[spelling] = .double(LogprobsJSON.clamp(candidate.logprob)) }
        }
        // The token that came is always among them.
        let own = Self.spell(bytes)
        if alternatives > 0, likeliest[own] == nil { likeliest[own] = .double(value) }
        tops.append(.object(likeliest))
    }

    var isEmpty: Bool { tokens.isEmpty }

    var json: JSONValue {
        [
            "tokens": .array(tokens), "token_logprobs": .array(probabilities), "top_logprobs": .array(tops),
            "text_offset": .array(offsets),
        ]
    }

    /// What was gathered since the last call.
    mutating func take() -> JSONValue {
        defer {
            tokens = []
            probabilities = []
            tops = []
            offsets = []
        }
        return json
    }

    /// A token that is no whole text is spelled by its bytes, as OpenAI's API does.
    private static func spell(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        return "bytes:"
            + bytes.map { byte in
                let digits = String(byte, radix: 16)
                return "\\x" + (digits.count < 2 ? "0" : "") + digits
            }.joined()
    }
}
