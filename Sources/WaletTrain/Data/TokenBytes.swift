// What bits per byte divide by: how much text a token stands for.

import WaletText

/// Bytes of text that each token of a vocabulary stands for; none for special tokens, so that a loss in bits per byte can
/// be compared between vocabularies.
public struct TokenBytes: Sendable {
    private let counts: [Int32]

    public init(_ tokenizer: Tokenizer) {
        counts = (0..<tokenizer.vocabularySize).map { id in
            tokenizer.isSpecial(id) ? 0 : Int32(truncatingIfNeeded: tokenizer.bytes(of: id)?.count ?? 0)
        }
    }

    /// Bytes of one token; 0 for an id that is no token.
    public subscript(token: Int32) -> Int { counts.indices.contains(Int(token)) ? Int(counts[Int(token)]) : 0 }

    /// Bytes of some tokens.
    public func count(_ tokens: some Sequence<Int32>) -> Int { tokens.reduce(0) { $0 + self[$1] } }

    /// Bits per byte of text.
    /// - Parameters:
    ///   - losses: of each target, in nats. [targets]
    ///   - targets: those without bytes of text do not count. [targets]
    /// - Returns: nil where no target stands for text.
    public func bitsPerByte(losses: some Sequence<Float>, targets: some Sequence<Int32>) -> Double? {
        let (bits, bytes) = sums(losses: losses, targets: targets)
        return bytes > 0 ? bits / Double(bytes) : nil
    }

    /// The bits that some targets cost, and the bytes of text that they stand for, to be added to others.
    func sums(
        losses: some Sequence<Float>, targets: some Sequence<Int32>
    ) -> (bits: Double, bytes: Int) {
        var nats = 0.0
        var bytes = 0
        for (loss, target) in zip(losses, targets) where self[target] > 0 {
            nats += Double(loss)
            bytes += self[target]
        }
        return (nats / 0.693147180559945309417, bytes)
    }
}
