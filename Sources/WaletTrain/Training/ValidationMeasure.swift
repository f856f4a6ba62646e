// How well a model predicts the validation split.

import WaletAutodiff

/// Measures a model on the first sequences or conversations of the validation split, the same ones each time.
struct ValidationMeasure {
    /// What is measured, a pass each.
    private let batches: [TrainingBatch]
    private let bytes: TokenBytes

    /// - Parameters:
    ///   - tokens: to measure on, at most; one sequence is measured in any case.
    ///   - part: sequences of one pass.
    /// - Throws: ``DataError/tooFewTokens(split:tokens:needed:)``.
    init(_ dataset: TokenDataset, length: Int, tokens: Int, part: Int, _ bytes: TokenBytes) throws(DataError) {
        self.bytes = bytes
        if dataset.isConversations {
            batches = try Self.conversations(dataset, length: length, tokens: tokens, part: part)
            return
        }
        let reader = try ValidationReader(dataset, length: length)
        let sequences = min(reader.sequences, max(1, tokens / length))
        var batches: [TrainingBatch] = []
        for first in stride(from: 0, to: sequences, by: part) {
            let tokens = try reader.batch(first..<min(sequences, first + part))
            batches.append(TrainingBatch(tokens: tokens.inputs, targets: tokens.targets, length: length))
        }
        self.batches = batches
    }

    private static func conversations(
        _ dataset: TokenDataset, length: Int, tokens: Int, part: Int
    ) throws(DataError) -> [TrainingBatch] {
        var batches: [TrainingBatch] = []
        var packer = ConversationPacker(length: length)
        // Evenly over all of them: files of conversations are often in an order.
        let step = max(1, dataset.tokens(.validation) / max(1, tokens))
        for shard in dataset.shards(.validation) {
            for document in stride(from: 0, to: shard.header.documents, by: step) {
                let range = shard.range(ofDocument: document)
                let count = packer.rows(of: range.count)
                if packer.rows + count > part * length {
                    if let batch = packer.batch { batches.append(batch) }
                    packer = ConversationPacker(length: length)
                }
                packer.add(shard, range)
            }
            try shard.checkIntact()
        }
        if let batch = packer.batch { batches.append(batch) }
        guard !batches.isEmpty else { throw .tooFewTokens(split: "validation", tokens: 0, needed: 2) }
        return batches
    }

    /// - Returns: the mean loss in nats and bits per byte of text, over all processes.
    func measure(_ trainer: Trainer) throws(TrainingError) -> (loss: Double, bitsPerByte: Double) {
        var (nats, targets, bits, textBytes) = (0.0, 0.0, 0.0, 0.0)
        // Each process takes every so many-th batch.
        let (rank, ranks) = (trainer.communicator.rank, trainer.communicator.size)
        for round in 0..<(batches.count + ranks - 1) / ranks {
            let own = round * ranks + rank
            // Where experts are apart all run as many passes: one that has no batch left runs the first once more.
            guard own < batches.count || trainer.model.exchange != nil else { break }
            let batch = batches[own < batches.count ? own : 0]
            let pass = trainer.model.forward(Tape(trainer.model.arena, recording: false), batch)
            try trainer.checkExchange()
            guard own < batches.count else { break }
            let text = bytes.sums(losses: pass.tokenLosses, targets: batch.targets)
            if batch.targetCount > 0 { nats += pass.loss * Double(batch.targetCount) }
            targets += Double(batch.targetCount)
            bits += text.bits
            textBytes += Double(text.bytes)
        }
        let sums = try trainer.sum([nats, targets, bits, textBytes])
        return (sums[0] / sums[1], sums[3] > 0 ? sums[2] / sums[3] : .nan)
    }
}
