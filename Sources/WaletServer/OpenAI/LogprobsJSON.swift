import Walet
import WaletJSON

/// Log probabilities as chat completions spell them.
enum LogprobsJSON {
    /// JSON knows no infinity; this is what OpenAI's API says of tokens that cannot come.
    static func clamp(_ value: Double?) -> Double {
        guard let value, value.isFinite else { return -9999 }
        return max(value, -9999)
    }

    static func entry(_ token: TokenLogprob, alternatives: Int) -> JSONValue {
        var object = members(token.bytes, token.logprob)
        object["top_logprobs"] = .array(
            token.top.prefix(alternatives).map { .object(members($0.bytes, $0.logprob)) })
        return .object(object)
    }

    private static func members(_ bytes: [UInt8], _ logprob: Double?) -> JSONObject {
        JSONObject([
            ("token", .string(String(decoding: bytes, as: UTF8.self))), ("logprob", .double(clamp(logprob))),
            ("bytes", .array(bytes.map { .int(Int($0)) })),
        ])
    }
}
