import Walet
import WaletJSON

/// Reads log probabilities: of chats, of completions as OpenAI and vLLM have them, and of completions as llama-server has them,
/// which is the form of chats.
enum UpstreamLogprobs {
    /// Of one chunk, and of the alternatives of one token.
    private static let maximumTokens = 65536
    private static let maximumAlternatives = 64

    static func read(_ value: JSONValue) throws(UpstreamError) -> [TokenLogprob] {
        if let content = value["content"], !content.isNull {
            guard let list = content.arrayValue else { throw malformed("a list as 'content'", content) }
            return try bounded(list).mapTyped(entry)
        }
        if value["token_logprobs"] != nil { return try lists(value) }
        return []
    }

    private static func bounded(_ list: [JSONValue]) throws(UpstreamError) -> [JSONValue] {
        guard list.count <= maximumTokens else {
            throw .malformed(what: "log probabilities", expected: "at most \(maximumTokens)", found: "\(list.count)")
        }
        return list
    }

    private static func entry(_ value: JSONValue) throws(UpstreamError) -> TokenLogprob {
        let candidate = try candidate(value)
        var top: [TokenLogprob.Candidate] = []
        for alternative in (value["top_logprobs"]?.arrayValue ?? []).prefix(maximumAlternatives) {
            top.append(try self.candidate(alternative))
        }
        return TokenLogprob(id: candidate.id, bytes: candidate.bytes, logprob: candidate.logprob, top: top)
    }

    private static func candidate(_ value: JSONValue) throws(UpstreamError) -> TokenLogprob.Candidate {
        guard let token = value["token"]?.stringValue, let logprob = value["logprob"]?.doubleValue else {
            throw malformed("a token with its log probability", value)
        }
        // The bytes are exact where a token is no whole text.
        var bytes: [UInt8] = []
        for byte in value["bytes"]?.arrayValue ?? [] {
            guard let number = byte.intValue, let byte = UInt8(exactly: number) else {
                throw malformed("bytes of 0 to 255", byte)
            }
            bytes.append(byte)
        }
        return TokenLogprob.Candidate(
            id: value["id"]?.intValue ?? unknownID, bytes: bytes.isEmpty ? Array(token.utf8) : bytes, logprob: logprob)
    }

    /// Most servers tell a token's text alone.
    private static let unknownID = -1

    /// `tokens`, `token_logprobs` and `top_logprobs`, side by side.
    private static func lists(_ value: JSONValue) throws(UpstreamError) -> [TokenLogprob] {
        let tokens = try bounded(value["tokens"]?.arrayValue ?? [])
        let probabilities = value["token_logprobs"]?.arrayValue ?? []
        let tops = value["top_logprobs"]?.arrayValue ?? []
        guard tokens.count == probabilities.count else {
            throw .malformed(
                what: "log probabilities", expected: "one for each of \(tokens.count) tokens",
                found: "\(probabilities.count)")
        }
        var result: [TokenLogprob] = []
        for (index, token) in tokens.enumerated() {
            guard let text = token.stringValue else { throw malformed("text as a token", token) }
            var top: [TokenLogprob.Candidate] = []
            if tops.indices.contains(index), let object = tops[index].objectValue {
                for (key, value) in object.members.prefix(maximumAlternatives) {
                    guard let logprob = value.doubleValue else { throw malformed("a number", value) }
                    top.append(.init(id: unknownID, bytes: Array(key.utf8), logprob: logprob))
                }
                top.sort { $0.logprob > $1.logprob }
            }
            result.append(
                TokenLogprob(
                    id: unknownID, bytes: Array(text.utf8), logprob: probabilities[index].doubleValue, top: top))
        }
        return result
    }

    private static func malformed(_ expected: String, _ found: JSONValue) -> UpstreamError {
        .malformed(what: "log probabilities", expected: expected, found: found.kind)
    }
}

extension Array {
    /// `map` whose error keeps its type.
    fileprivate func mapTyped<Value, Failure: Error>(
        _ transform: (Element) throws(Failure) -> Value
    ) throws(Failure) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(count)
        for element in self { values.append(try transform(element)) }
        return values
    }
}
