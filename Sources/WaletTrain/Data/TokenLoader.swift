// Batches for training: an endless stream in which each epoch holds each token once, in an order of its own.

/// Where a loader is. All that the order of what follows depends on.
public struct LoaderState: Sendable, Hashable, Codable {
    /// ``TokenDataset/fingerprint``
    public var dataset: Checksum
    /// Epochs that are over.
    public var epoch: Int
    /// What the order of this epoch is drawn from.
    public var generator: RandomGenerator
    /// Place in this epoch's order of shards.
    public var shard: Int
    /// Place in this shard's order of documents.
    public var document: Int
    /// Tokens of the document that are behind.
    public var offset: Int
    /// Tokens that were given in all epochs.
    public var tokens: Int

    /// The beginning of a data set.
    /// - Parameter dataset: ``TokenDataset/fingerprint``
    public init(dataset: Checksum, seed: UInt64) {
        self.dataset = dataset
        epoch = 0
        generator = RandomGenerator(seed: seed)
        shard = 0
        document = 0
        offset = 0
        tokens = 0
    }
}

/// Sequences of tokens, each with the tokens to be predicted.
public struct TokenBatch: Sendable, Equatable {
    public var sequences: Int
    public var length: Int
    /// [sequences, length]
    public var inputs: [Int32]
    /// [sequences, length]: the token after each of the inputs.
    public var targets: [Int32]
}

/// Packs documents into sequences without padding, epoch after epoch.
///
/// Shards are in a new random order each epoch, and so are the documents of a shard. The sequences are cut from the
/// stream that they make; one that reaches the end of an epoch goes on with the beginning of the next, so that no tail
/// is dropped or repeated. Each token but the very first is predicted once an epoch.
///
/// ```swift
/// var loader = try TokenLoader(dataset, seed: 1)
/// let batch = try loader.next(sequences: 16, length: 256)
/// save(loader.state)      // …
/// var again = try TokenLoader(dataset, resuming: state)
/// ```
public struct TokenLoader: Sendable {
    private var cursor: Cursor

    /// - Throws: ``DataError/tooFewTokens(split:tokens:needed:)`` for a data set without two tokens to train on.
    public init(_ dataset: TokenDataset, seed: UInt64) throws(DataError) {
        cursor = try Cursor(dataset, LoaderState(dataset: dataset.fingerprint, seed: seed))
    }

    /// Goes on where another loader was.
    /// - Throws: ``DataError/datasetDiffers(path:expected:found:)`` where the data are not those of the state,
    ///   ``DataError/badPosition(reason:)`` where the state cannot be.
    public init(_ dataset: TokenDataset, resuming state: LoaderState) throws(DataError) {
        guard state.dataset == dataset.fingerprint else {
            throw .datasetDiffers(path: dataset.folder, expected: state.dataset, found: dataset.fingerprint)
        }
        cursor = try Cursor(dataset, state)
    }

    public var state: LoaderState { cursor.state }

    /// The next sequences.
    /// - Parameters:
    ///   - sequences: of the whole batch, over all processes.
    ///   - length: tokens of one.
    ///   - rows: those that this process wants; the others are passed over. The stream depends on the whole batch
    ///     alone, so that a run may go on with another number of processes.
    /// - Returns: a batch of the wanted rows.
    /// - Throws: ``DataError/tooFewTokens(split:tokens:needed:)`` where one sequence is longer than an epoch,
    ///   ``DataError/badShard(path:reason:)`` where a shard was cut meanwhile.
    public mutating func next(
        sequences: Int, length: Int, rows: Range<Int>? = nil
    ) throws(DataError) -> TokenBatch {
        precondition(sequences > 0 && length > 0)
        guard cursor.epochTokens > length else {
            throw .tooFewTokens(split: "train", tokens: cursor.epochTokens, needed: length + 1)
        }
        let rows = (rows ?? 0..<sequences).clamped(to: 0..<sequences)
        var inputs = [Int32](repeating: 0, count: rows.count * length)
        var targets = inputs
        var sequence = [Int32](repeating: 0, count: length + 1)
        for row in 0..<sequences {
            guard rows.contains(row) else {
                cursor.advance(length, into: nil)
                continue
            }
            sequence.withUnsafeMutableBufferPointer { buffer in
                guard let base = buffer.baseAddress else { return }
                cursor.advance(length, into: base)
                // The token after the last one stays where it is: it begins the next sequence.
                var ahead = cursor
                ahead.advance(1, into: base + length)
            }
            let start = (row - rows.lowerBound) * length
            for index in 0..<length {
                inputs[start + index] = sequence[index]
                targets[start + index] = sequence[index + 1]
            }
        }
        try cursor.checkIntact()
        return TokenBatch(sequences: rows.count, length: length, inputs: inputs, targets: targets)
    }

    /// The next documents, whole ones, of a data set of conversations: as many in each part as fit, one behind the other
    /// without padding, each a text of its own.
    /// - Parameters:
    ///   - parts: rows that each part of the whole batch may have, over all processes; each at least `length`.
    ///   - length: rows of a document at most; a longer one is cut.
    ///   - wanted: the parts that this process wants; the others are passed over.
    /// - Throws: ``DataError/badShard(path:reason:)`` where a shard was cut meanwhile.
    public mutating func nextConversations(
        parts: [Int], length: Int, wanted: Range<Int>
    ) throws(DataError) -> [TrainingBatch] {
        // Documents of one token have nothing to predict.
        guard cursor.epochTokens > cursor.epochDocuments else {
            throw .tooFewTokens(split: "train", tokens: cursor.epochTokens, needed: cursor.epochDocuments + 1)
        }
        var batches: [TrainingBatch] = []
        for (index, limit) in parts.enumerated() {
            precondition(length > 0 && limit >= length)
            var packer = ConversationPacker(length: length, isKept: wanted.contains(index))
            while packer.rows + packer.rows(of: cursor.documentTokens) <= limit {
                cursor.takeDocument { packer.add($0, $1) }
            }
            if let batch = packer.batch { batches.append(batch) }
        }
        try cursor.checkIntact()
        return batches
    }
}

/// Puts documents one behind the other.
struct ConversationPacker {
    /// Rows of a document at most.
    let length: Int
    /// Whether what is added is wanted, and not only counted.
    var isKept = true
    private(set) var rows = 0
    private var tokens: [Int32] = []
    private var targets: [Int32] = []
    private var segments: [Range<Int>] = []

    init(length: Int, isKept: Bool = true) {
        self.length = length
        self.isKept = isKept
    }

    /// Rows that a document of so many tokens takes: its last token is predicted alone.
    func rows(of count: Int) -> Int { min(count - 1, length) }

    mutating func add(_ shard: TokenShard, _ range: Range<Int>) {
        let count = rows(of: range.count)
        guard count > 0 else { return }
        defer { rows += count }
        guard isKept else { return }
        let document = shard.tokens(range.lowerBound..<range.lowerBound + count + 1)
        tokens += document.dropLast()
        for index in 1...count {
            targets.append(shard.isLearned(range.lowerBound + index) ? document[index] : -1)
        }
        segments.append(rows..<rows + count)
    }

    /// What was added; nil where nothing was, or nothing is wanted.
    var batch: TrainingBatch? {
        tokens.isEmpty ? nil : TrainingBatch(tokens: tokens, targets: targets, segments: segments)
    }
}

/// A place in the stream, with the orders of this epoch.
private struct Cursor: Sendable {
    private(set) var state: LoaderState
    let epochTokens: Int
    let epochDocuments: Int
    private let shards: [TokenShard]
    /// Of this epoch: the order of shards, and for each place in it what the order of its documents is drawn from.
    private var shardOrder: [Int32] = []
    private var seeds: [UInt64] = []
    private var documentOrder: [Int32] = []
    private var nextGenerator = RandomGenerator(seed: 0)

    init(_ dataset: TokenDataset, _ state: LoaderState) throws(DataError) {
        shards = dataset.shards(.train).filter { $0.header.tokens > 0 }
        epochTokens = shards.reduce(0) { $0 + $1.header.tokens }
        epochDocuments = shards.reduce(0) { $0 + $1.header.documents }
        self.state = state
        guard epochTokens >= 2 else { throw .tooFewTokens(split: "train", tokens: epochTokens, needed: 2) }
        guard state.epoch >= 0, state.tokens >= 0, shards.indices.contains(state.shard) else {
            throw .badPosition(reason: "place \(state.shard) of \(shards.count) shards in epoch \(state.epoch)")
        }
        drawEpoch()
        drawShard()
        guard documentOrder.indices.contains(state.document) else {
            throw .badPosition(reason: "place \(state.document) of \(documentOrder.count) documents")
        }
        guard state.offset >= 0, state.offset < range.count else {
            throw .badPosition(reason: "token \(state.offset) of a document with \(range.count)")
        }
    }

    private mutating func drawEpoch() {
        var generator = state.generator
        shardOrder = generator.permutation(shards.count)
        seeds = shards.indices.map { _ in generator.next() }
        nextGenerator = generator
    }

    private mutating func drawShard() {
        var generator = RandomGenerator(seed: seeds[state.shard])
        documentOrder = generator.permutation(shard.header.documents)
    }

    private var shard: TokenShard { shards[Int(shardOrder[state.shard])] }
    private var range: Range<Int> { shard.range(ofDocument: Int(documentOrder[state.document])) }

    func checkIntact() throws(DataError) { try shard.checkIntact() }

    /// Passes over tokens, and copies them where somebody wants them.
    mutating func advance(_ count: Int, into output: UnsafeMutablePointer<Int32>?) {
        var done = 0
        while done < count {
            let range = range
            let start = min(range.lowerBound + state.offset, range.upperBound)
            let part = min(count - done, range.upperBound - start)
            if let output { shard.copy(start..<start + part, to: output + done) }
            done += part
            state.offset += part
            if state.offset >= range.count { moveToNextDocument() }
        }
        state.tokens += count
    }

    /// Tokens of the document at hand.
    var documentTokens: Int { range.count }

    /// Passes over the document at hand, whole.
    mutating func takeDocument(_ body: (TokenShard, Range<Int>) -> Void) {
        body(shard, range)
        state.tokens += range.count
        moveToNextDocument()
    }

    private mutating func moveToNextDocument() {
        state.offset = 0
        state.document += 1
        guard state.document == documentOrder.count else { return }
        state.document = 0
        state.shard += 1
        if state.shard == shards.count {
            state.shard = 0
            state.epoch += 1
            state.generator = nextGenerator
            drawEpoch()
        }
        drawShard()
    }
}
