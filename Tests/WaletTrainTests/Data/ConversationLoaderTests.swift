import Foundation
import Testing
import WaletAutodiff
import WaletText

@testable import WaletTrain

/// Conversations in batches: whole documents, each once an epoch.
@Suite struct ConversationLoaderTests {
    /// Documents that begin with their own number, of 1 to 40 tokens.
    private static func documents(_ count: Int, vocabulary: Int = 1000) -> [[Int32]] {
        var generator = RandomGenerator(seed: 12)
        return (0..<count).map { number in
            let length = number % 11 == 5 ? 1 : 1 + generator.next(below: 40)
            return [Int32(number)] + (1..<max(1, length)).map { _ in Int32(generator.next(below: vocabulary)) }
        }
    }

    private static func isLearned(_ document: Int, _ place: Int) -> Bool { (document + place) % 3 > 0 }

    private func dataset(_ folder: TemporaryFolder, _ documents: [[Int32]]) throws -> TokenDataset {
        try ChatData.tokens(in: folder, documents, isLearned: Self.isLearned)
    }

    private static let parts = [64, 64, 40, 97]
    private static let length = 32

    @Test func anEpochHoldsEachDocumentOnceAndPartsAreFull() throws {
        let folder = TemporaryFolder()
        let documents = Self.documents(110)
        let dataset = try dataset(folder, documents)
        // One token alone has nothing to predict.
        let expected = documents.indices.filter { documents[$0].count > 1 }
        #expect(expected.count < 110 && dataset.shards(.train).count > 4)
        var loader = try TokenLoader(dataset, seed: 4)
        var seen: [Int] = []
        var last: (limit: Int, rows: Int)?
        while loader.state.epoch < 3 {
            let batches = try loader.nextConversations(
                parts: Self.parts, length: Self.length, wanted: 0..<Self.parts.count)
            #expect(batches.count == Self.parts.count)
            for (batch, limit) in zip(batches, Self.parts) {
                #expect(batch.rows <= limit)
                // The first document here had no room in the part before.
                if let last { #expect(last.rows + batch.segments[0].count > last.limit) }
                last = (limit, batch.rows)
                for segment in batch.segments {
                    let number = Int(batch.tokens[segment.lowerBound])
                    let document = documents[number]
                    let rows = min(document.count - 1, Self.length)
                    seen.append(number)
                    #expect(Array(batch.tokens[segment]) == Array(document[..<rows]))
                    let targets = (1...rows).map { Self.isLearned(number, $0) ? document[$0] : -1 }
                    #expect(Array(batch.targets[segment]) == targets)
                }
            }
        }
        var orders: [[Int]] = []
        for epoch in 0..<3 {
            let part = Array(seen[epoch * expected.count..<(epoch + 1) * expected.count])
            #expect(part.sorted() == expected)
            orders.append(part)
        }
        #expect(orders[0] != orders[1] && orders[1] != orders[2])
        #expect(documents.contains { $0.count - 1 > Self.length })
    }

    @Test func aLoaderGoesOnFromAnySavedState() throws {
        let folder = TemporaryFolder()
        let dataset = try dataset(folder, Self.documents(110))
        func next(_ loader: inout TokenLoader) throws -> [TrainingBatch] {
            try loader.nextConversations(parts: Self.parts, length: Self.length, wanted: 0..<Self.parts.count)
        }
        var loader = try TokenLoader(dataset, seed: 3)
        var states: [LoaderState] = []
        var batches: [[TrainingBatch]] = []
        for _ in 0..<40 {
            states.append(loader.state)
            batches.append(try next(&loader))
        }
        #expect(loader.state.epoch >= 2)
        #expect(zip(states, states.dropFirst()).allSatisfy { $0.tokens < $1.tokens })
        for index in stride(from: 0, to: 40, by: 7) {
            let saved = try JSONEncoder().encode(states[index])
            var again = try TokenLoader(dataset, resuming: JSONDecoder().decode(LoaderState.self, from: saved))
            for step in index..<40 { #expect(try next(&again) == batches[step]) }
            #expect(again.state == loader.state)
        }
    }

    @Test func severalProcessesShareThePartsWithoutOverlap() throws {
        let folder = TemporaryFolder()
        let dataset = try dataset(folder, Self.documents(110))
        var whole = try TokenLoader(dataset, seed: 5)
        var ranks = try (0..<2).map { _ in try TokenLoader(dataset, seed: 5) }
        for _ in 0..<20 {
            let all = try whole.nextConversations(parts: Self.parts, length: Self.length, wanted: 0..<4)
            let shared = try ranks.indices.map { rank in
                try ranks[rank].nextConversations(
                    parts: Self.parts, length: Self.length, wanted: rank * 2..<rank * 2 + 2)
            }
            #expect(shared.allSatisfy { $0.count == 2 } && shared.flatMap { $0 } == all)
            #expect(ranks.allSatisfy { $0.state == whole.state })
        }
    }

    @Test func documentsOfOneTokenAloneAreRefused() throws {
        let folder = TemporaryFolder()
        let dataset = try dataset(folder, (0..<30).map { [$0] })
        var loader = try TokenLoader(dataset, seed: 1)
        #expect(throws: DataError.tooFewTokens(split: "train", tokens: 30, needed: 31)) {
            try loader.nextConversations(parts: [64], length: 32, wanted: 0..<1)
        }
    }

    @Test func aFewDocumentsFillALargePart() throws {
        let folder = TemporaryFolder()
        let dataset = try dataset(folder, [[0, 1, 2], [1], [2, 5]])
        var loader = try TokenLoader(dataset, seed: 1)
        let batch = try #require(try loader.nextConversations(parts: [100], length: 10, wanted: 0..<1).first)
        #expect(batch.rows >= 99 && batch.segments.count >= 65)
        #expect(batch.segments.count { $0.count == 2 } - batch.segments.count { $0.count == 1 } <= 1)
    }

    @Test func aShardThatIsCutWhileItIsReadIsAnError() throws {
        let folder = TemporaryFolder()
        let dataset = try ChatData.tokens(in: folder, Self.documents(110), shardDocuments: 1000)
        var loader = try TokenLoader(dataset, seed: 1)
        let file = try FileHandle(forWritingTo: URL(filePath: folder.file("tokens/train-0.tokens")))
        try file.truncate(atOffset: 200)
        try file.close()
        let error = #expect(throws: DataError.self) {
            try loader.nextConversations(parts: [64], length: 32, wanted: 0..<1)
        }
        #expect(error?.description.contains("cut or replaced") == true)
    }

    // MARK: Losses

    /// -ln p of each learned token of a document, read alone.
    private func losses(_ document: [Int32], _ isLearned: [Bool], _ length: Int, _ model: TrainableModel) -> [Float] {
        let rows = min(document.count - 1, length)
        guard rows > 0 else { return [] }
        let batch = TrainingBatch(
            tokens: Array(document[..<rows]), targets: (1...rows).map { isLearned[$0] ? document[$0] : -1 },
            length: rows)
        let pass = model.forward(Tape(model.arena, recording: false), batch)
        return zip(pass.tokenLosses, batch.targets).filter { $0.1 >= 0 }.map(\.0)
    }

    private func mean(_ losses: [Float]) -> Double {
        losses.reduce(0) { $0 + Double($1) } / Double(losses.count)
    }

    @Test func thePackedLossIsTheMeanOverSingleDocuments() throws {
        let folder = TemporaryFolder()
        let documents = Self.documents(40, vocabulary: 40)
        let dataset = try ChatData.tokens(in: folder, documents, vocabularySize: 40, isLearned: Self.isLearned)
        let model = try TrainingFixture("deepseek-v3").model()
        var loader = try TokenLoader(dataset, seed: 2)
        for batch in try loader.nextConversations(parts: Self.parts, length: Self.length, wanted: 0..<4) {
            let pass = model.forward(Tape(model.arena, recording: false), batch)
            let alone = batch.segments.flatMap { segment -> [Float] in
                let number = Int(batch.tokens[segment.lowerBound])
                let document = documents[number]
                return losses(document, document.indices.map { Self.isLearned(number, $0) }, Self.length, model)
            }
            #expect(alone.count == batch.targetCount && batch.segments.count > 1)
            #expect(abs(pass.loss - mean(alone)) < 1e-5)
        }
    }

    @Test func validationIsTheMeanOverItsConversations() throws {
        let folder = TemporaryFolder()
        try ChatData.tokenizer(in: folder)
        let dataset = try ChatData.dataset(
            in: folder, ChatData.conversations(60), validationFraction: 0.5, shardTokens: 500)
        let recipe = try TestRun.recipe(folder, "model.vocabulary_size=\(dataset.vocabularySize)")
        let arena = try #require(Arena(threads: 1))
        let model = try TrainableModel(try recipe.configuration(), arena, seed: 1)
        let trainer = Trainer(model, Optimizer(model, .adamW))
        let bytes = TokenBytes(try dataset.tokenizer())
        var expected: [Float] = []
        for shard in dataset.shards(.validation) {
            for document in 0..<shard.header.documents {
                let range = shard.range(ofDocument: document)
                expected += losses(shard.tokens(range), range.map { shard.isLearned($0) }, 48, model)
            }
        }
        #expect(dataset.shards(.validation).count > 1 && expected.count > 100)
        for part in [1, 4] {
            let measure = try ValidationMeasure(dataset, length: 48, tokens: 1 << 20, part: part, bytes)
            let (loss, bitsPerByte) = try measure.measure(trainer)
            #expect(abs(loss - mean(expected)) < 1e-5 && bitsPerByte > 0)
        }
        // Some of them, when fewer tokens are asked for.
        let few = try ValidationMeasure(dataset, length: 48, tokens: 100, part: 1, bytes).measure(trainer).loss
        #expect(few.isFinite && few != mean(expected))
    }
}
