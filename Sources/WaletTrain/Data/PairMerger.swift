// The merge loop of BPE training: the most frequent pair of neighbours becomes a token, over and over, with counts kept
// up to date instead of counted anew.

/// Learns merges from words, exactly as `BpeTrainer` of Hugging Face `tokenizers` does (models/bpe/trainer.rs), so that
/// equal input gives equal merges: among equally frequent pairs the one of the smallest ids wins.
struct PairMerger {
    /// What was learned.
    struct Merge: Equatable {
        var left: Int32
        var right: Int32
        /// The token that the two make; more than one merge may make it.
        var token: Int32
    }

    private struct Candidate {
        var count: Int
        var pair: UInt64
        /// Index into `places`.
        var list: Int

        func isBefore(_ other: Candidate) -> Bool {
            count != other.count ? count > other.count : pair < other.pair
        }
    }

    /// The symbols of all words, each word's from `starts` on; merging makes words shorter in place.
    private var symbols: [Int32] = []
    private var starts: [Int] = []
    private var lengths: [Int32] = []
    private var weights: [Int] = []

    private var counts: [UInt64: Int] = [:]
    /// For each candidate the words that may hold its pair.
    private var places: [[Int32]] = []
    private var heap: [Candidate] = []

    private(set) var tokens: [[UInt8]]
    private var ids: [[UInt8]: Int32] = [:]
    private(set) var merges: [Merge] = []

    /// - Parameter tokens: those that are there before the first merge, in the order of their ids.
    init(tokens: [[UInt8]]) {
        self.tokens = tokens
        for (id, token) in tokens.enumerated() where ids[token] == nil { ids[token] = Int32(id) }
    }

    /// Adds a word that occurs so often.
    mutating func add(_ word: some Sequence<Int32>, weight: Int) {
        starts.append(symbols.count)
        symbols.append(contentsOf: word)
        lengths.append(Int32(symbols.count - starts[starts.count - 1]))
        weights.append(weight)
    }

    /// Merges until there are so many tokens or no pair is frequent enough.
    mutating func run(vocabularySize: Int, minimumCount: Int) {
        countPairs()
        while ids.count < vocabularySize, var top = pop() {
            let current = counts[top.pair] ?? 0
            if top.count != current {
                top.count = current
                push(top)
                continue
            }
            guard top.count >= 1, top.count >= minimumCount else { return }
            merge(top)
        }
    }

    private mutating func countPairs() {
        var fresh = FreshPairs()
        for word in starts.indices {
            let start = starts[word]
            let length = Int(lengths[word])
            guard length > 1 else { continue }
            for index in start..<start + length - 1 {
                let pair = Self.pair(symbols[index], symbols[index + 1])
                counts[pair, default: 0] += weights[word]
                fresh.add(pair, Int32(word))
            }
        }
        push(fresh)
    }

    private mutating func merge(_ candidate: Candidate) {
        let left = Int32(truncatingIfNeeded: candidate.pair >> 32)
        let right = Int32(truncatingIfNeeded: candidate.pair & 0xFFFF_FFFF)
        let bytes = tokens[Int(left)] + tokens[Int(right)]
        let token: Int32
        if let known = ids[bytes] {
            token = known
        } else {
            token = Int32(tokens.count)
            tokens.append(bytes)
            ids[bytes] = token
        }
        merges.append(Merge(left: left, right: right, token: token))
        let words = places[candidate.list]
        places[candidate.list] = []
        var fresh = FreshPairs()
        for word in words { merge(left, right, into: token, inWord: Int(word), &fresh) }
        push(fresh)
    }

    /// Replaces a pair in one word and takes note of what that does to its neighbours. The pair's own count is left as
    /// it is: nobody asks for it again, unless it forms anew, and then the reference has it so too.
    private mutating func merge(
        _ left: Int32, _ right: Int32, into token: Int32, inWord word: Int, _ fresh: inout FreshPairs
    ) {
        let start = starts[word]
        let weight = weights[word]
        var end = start + Int(lengths[word])
        var read = start
        var write = start
        while read < end {
            guard read + 1 < end, symbols[read] == left, symbols[read + 1] == right else {
                symbols[write] = symbols[read]
                read += 1
                write += 1
                continue
            }
            if write > start {
                counts[Self.pair(symbols[write - 1], left), default: 0] -= weight
                let pair = Self.pair(symbols[write - 1], token)
                counts[pair, default: 0] += weight
                fresh.add(pair, Int32(word))
            }
            if read + 2 < end {
                counts[Self.pair(right, symbols[read + 2]), default: 0] -= weight
                let pair = Self.pair(token, symbols[read + 2])
                counts[pair, default: 0] += weight
                fresh.add(pair, Int32(word))
            }
            symbols[write] = token
            write += 1
            read += 2
        }
        end = write
        lengths[word] = Int32(end - start)
    }

    private mutating func push(_ fresh: FreshPairs) {
        for (pair, words) in zip(fresh.pairs, fresh.words) {
            let count = counts[pair] ?? 0
            guard count > 0 else { continue }
            places.append(words)
            push(Candidate(count: count, pair: pair, list: places.count - 1))
        }
    }

    private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    // MARK: A binary heap, the most frequent candidate on top

    private mutating func push(_ candidate: Candidate) {
        heap.append(candidate)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func pop() -> Candidate? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return top }
        heap[0] = last
        var parent = 0
        while true {
            var best = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].isBefore(heap[best]) {
                best = child
            }
            if best == parent { return top }
            heap.swapAt(best, parent)
            parent = best
        }
    }
}

/// Pairs that formed just now, with the words in which they did.
private struct FreshPairs {
    private(set) var pairs: [UInt64] = []
    private(set) var words: [[Int32]] = []
    private var positions: [UInt64: Int] = [:]

    /// Words come in order, so that a word that is there already is the last one.
    mutating func add(_ pair: UInt64, _ word: Int32) {
        if let position = positions[pair] {
            if words[position].last != word { words[position].append(word) }
        } else {
            positions[pair] = pairs.count
            pairs.append(pair)
            words.append([word])
        }
    }
}
