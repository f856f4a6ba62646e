import Walet

/// Tokens with made-up probabilities.
enum TestTokens {
    static func logprob(_ text: String, _ logprob: Double, top: [(String, Double)] = []) -> TokenLogprob {
        TokenLogprob(
            id: 0, bytes: Array(text.utf8), logprob: logprob,
            top: top.map { .init(id: 0, bytes: Array($0.0.utf8), logprob: $0.1) })
    }
}
