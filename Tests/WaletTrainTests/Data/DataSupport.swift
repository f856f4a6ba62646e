import Foundation
import Testing
import WaletTrain

/// Small data sets for tests.
enum TestData {
    /// Documents of different lengths, from one word to some hundred.
    static func texts(_ count: Int, seed: UInt64 = 1) -> [String] {
        var generator = RandomGenerator(seed: seed)
        let words = ["river", "stone", "the", "a", "über", "今天", "42", "runs", "over", "expert"]
        return (0..<count).map { number in
            let length = 1 + generator.next(below: generator.next(below: 4) == 0 ? 120 : 12)
            return (0..<length).map { _ in words[generator.next(below: words.count)] }.joined(separator: " ")
                + " \(number)"
        }
    }

    /// Trains a vocabulary of 300 tokens into a folder named `tokenizer`.
    static func tokenizer(in folder: TemporaryFolder, size: Int = 300) throws {
        var trainer = try TokenizerTrainer(vocabularySize: size)
        trainer.add(texts(200))
        try trainer.train().write(to: folder.file("tokenizer"))
    }

    /// Makes a data set in a folder named `data`.
    @discardableResult
    static func dataset(
        in folder: TemporaryFolder, documents: Int = 300, validationFraction: Double = 0.1, shardTokens: Int = 900
    ) throws -> TokenDataset {
        try tokenizer(in: folder)
        let builder = try DatasetBuilder(
            folder: folder.file("data"), tokenizerFolder: folder.file("tokenizer"),
            validationFraction: validationFraction, shardTokens: shardTokens)
        try builder.add(texts(documents))
        return try builder.finish()
    }

    /// The tokens of each document of a split, in the order of the files.
    static func documents(_ dataset: TokenDataset, _ split: TokenDataset.Split) -> [[Int32]] {
        dataset.shards(split).flatMap { shard in
            (0..<shard.header.documents).map { shard.tokens(shard.range(ofDocument: $0)) }
        }
    }
}
