// What a configuration may say at most: far above any real model, and low enough that sizes computed from it fit 64 bits.

extension Configuration {
    enum Limit {
        static let hiddenSize = 1...1 << 18
        static let layers = 1...4096
        static let heads = 1...1 << 14
        static let headSize = 1...1 << 14
        static let rank = 1...1 << 18
        static let vocabulary = 1...1 << 24
        static let context = 1...1 << 30
        static let feedForward = 1...1 << 22
        static let experts = 1...1 << 14
        static let epsilon = 1e-30...1.0
        static let theta = 1.0...1e15
        static let factor = 1e-3...1e6
        static let expertScale = 1e-6...1e6
    }

    /// What holds whatever the file's format is: called by each reader when all fields are there.
    func checkConsistency(file: String) throws(FormatError) {
        func failure(_ field: String, _ expected: String, _ found: String) -> FormatError {
            FormatError(file: file, field: field, expected: expected, found: found)
        }
        let rotated: Int
        switch attention {
        case .latent(let latent): rotated = latent.ropeHeadSize
        case .grouped(let grouped):
            rotated = grouped.headSize
            guard heads % grouped.keyValueHeads == 0 else {
                throw failure(
                    "key/value heads", "a divisor of the \(heads) attention heads", "\(grouped.keyValueHeads)")
            }
        }
        guard rotated % 2 == 0 else {
            throw failure("rotary dimensions of a head", "an even number", "\(rotated)")
        }
        if let divisors = rope.frequencyDivisors {
            guard divisors.count == rotated / 2 else {
                throw failure("rope_freqs.weight", "\(rotated / 2) values", "\(divisors.count)")
            }
            guard divisors.allSatisfy({ $0.isFinite && $0 > 0 }) else {
                throw failure("rope_freqs.weight", "positive numbers", "others")
            }
        }
        guard let experts else { return }
        guard experts.perToken <= experts.count else {
            throw failure("experts per token", "at most the \(experts.count) experts", "\(experts.perToken)")
        }
        guard experts.groups >= 1, experts.count % experts.groups == 0 else {
            throw failure("expert groups", "a divisor of the \(experts.count) experts", "\(experts.groups)")
        }
        guard experts.groupsPerToken >= 1, experts.groupsPerToken <= experts.groups else {
            throw failure("expert groups per token", "1 to the \(experts.groups) groups", "\(experts.groupsPerToken)")
        }
        let reachable = experts.count / experts.groups * experts.groupsPerToken
        guard experts.perToken <= reachable else {
            throw failure(
                "experts per token", "at most the \(reachable) experts of the chosen groups", "\(experts.perToken)")
        }
        // The score of a group is the sum of its two best experts.
        if experts.selection == .biased, experts.groups > 1, experts.count / experts.groups < 2 {
            throw failure("expert groups", "groups of two experts or more", "\(experts.groups)")
        }
    }

    /// Drops ids that no vocabulary entry has: they can be neither fed nor sampled.
    static func known(_ tokens: [Int], in vocabulary: Int) -> [Int] {
        var known: [Int] = []
        for token in tokens where token < vocabulary && !known.contains(token) { known.append(token) }
        return known
    }
}
