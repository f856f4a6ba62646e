// How well a model predicts the validation split.

import WaletAutodiff

/// Measures a model on the first sequences of the validation split, the same ones each time.
struct ValidationMeasure {
    private let reader: ValidationReader
    /// Sequences that are measured.
    private let sequences: Int
    /// Sequences of one pass.
    private let part: Int
    private let bytes: TokenBytes

    /// - Parameters:
    ///   - tokens: to measure on, at most; one sequence is measured in any case.
    ///   - part: sequences of one pass.
    /// - Throws: ``DataError/tooFewTokens(split:tokens:needed:)``.
    init(_ dataset: TokenDataset, length: Int, tokens: Int, part: Int, _ bytes: TokenBytes) throws(DataError) {
        reader = try ValidationReader(dataset, length: length)
        sequences = min(reader.sequences, max(1, tokens / length))
        self.part = part
        self.bytes = bytes
    }

    /// - Returns: the mean loss in nats and bits per byte of text, over all processes.
    func measure(_ trainer: Trainer) throws(TrainingError) -> (loss: Double, bitsPerByte: Double) {
        var (nats, targets, bits, textBytes) = (0.0, 0.0, 0.0, 0.0)
        // Each process takes every so many-th part.
        let (rank, ranks) = (trainer.communicator.rank, trainer.communicator.size)
        let parts = (sequences + part - 1) / part
        for round in 0..<(parts + ranks - 1) / ranks {
            let own = round * ranks + rank
            // Where experts are apart all run as many passes: one that has no part left runs the first once more.
            guard own < parts || trainer.model.exchange != nil else { break }
            let first = own < parts ? own * part : 0
            let tokens = try TrainingError.wrapping { try reader.batch(first..<min(sequences, first + part)) }
            let batch = TrainingBatch(tokens: tokens.inputs, targets: tokens.targets, length: tokens.length)
            let pass = trainer.model.forward(Tape(trainer.model.arena, recording: false), batch)
            try trainer.checkExchange()
            guard own < parts else { break }
            let text = bytes.sums(losses: pass.tokenLosses, targets: batch.targets)
            nats += pass.loss * Double(batch.targetCount)
            targets += Double(batch.targetCount)
            bits += text.bits
            textBytes += Double(text.bytes)
        }
        let sums = try trainer.sum([nats, targets, bits, textBytes])
        return (sums[0] / sums[1], sums[3] > 0 ? sums[2] / sums[3] : .nan)
    }
}
