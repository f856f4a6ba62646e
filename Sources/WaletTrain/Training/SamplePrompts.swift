// What a model goes on from when it shows what it can write.

import WaletText

/// Beginnings of validation documents; of conversations all that comes before the first answer.
struct SamplePrompts {
    private enum Source {
        case documents(ValidationReader)
        case conversations([[Int32]])
    }

    private let source: Source
    /// What ends a text that goes on from one of them; nil where nothing does.
    let endToken: Int?
    var count: Int {
        switch source {
        case .documents(let reader): reader.sequences
        case .conversations(let prompts): prompts.count
        }
    }

    /// Of conversations the first ones are enough to draw from.
    private static let limit = 1024

    /// - Parameter length: tokens of a document's beginning.
    /// - Returns: nil where there is none.
    init?(_ dataset: TokenDataset, _ tokenizer: Tokenizer, length: Int) throws(DataError) {
        guard dataset.isConversations else {
            guard dataset.tokens(.validation) > length else { return nil }
            source = .documents(try ValidationReader(dataset, length: length))
            endToken = tokenizer.eosID
            return
        }
        var prompts: [[Int32]] = []
        var last: Int32?
        for shard in dataset.shards(.validation) {
            for document in 0..<min(shard.header.documents, Self.limit - prompts.count) {
                let range = shard.range(ofDocument: document)
                guard let first = range.first(where: { shard.isLearned($0) }), first > range.lowerBound else {
                    continue
                }
                prompts.append(shard.tokens(range.lowerBound..<first))
                // What an answer ends with: the template's own mark, whatever the tokenizer's file names.
                last = last ?? range.last(where: { shard.isLearned($0) }).map { shard.tokens($0..<$0 + 1)[0] }
            }
            try shard.checkIntact()
        }
        guard !prompts.isEmpty else { return nil }
        source = .conversations(prompts)
        endToken = last.map { Int($0) } ?? tokenizer.eosID
    }

    /// - Throws: ``DataError/badShard(path:reason:)`` where a shard was cut meanwhile.
    subscript(index: Int) -> [Int32] {
        get throws(DataError) {
            switch source {
            case .documents(let reader): try reader.batch(index..<index + 1).inputs
            case .conversations(let prompts): prompts[index]
            }
        }
    }
}
