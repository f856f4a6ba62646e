import Foundation
import Testing
import WaletText
import WaletTrain

@Suite struct LoaderTests {
    /// The stream of a loader: each token that was to be predicted.
    private func stream(_ loader: inout TokenLoader, batches: Int, sequences: Int, length: Int) throws -> [Int32] {
        try (0..<batches).flatMap { _ in try loader.next(sequences: sequences, length: length).targets }
    }

    /// The documents of a stream, cut behind the token that ends each.
    private func documents(_ tokens: [Int32]) -> [[Int32]] {
        tokens.split(separator: 1, omittingEmptySubsequences: false).map { Array($0) + [1] }
    }

    @Test func anEpochHoldsEachDocumentOnceAndGoesOnWithoutAGap() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        let expected = TestData.documents(dataset, .train)
        let total = dataset.tokens(.train)
        var loader = try TokenLoader(dataset, seed: 7)
        let length = 64
        // The very first token is the only one that is not predicted.
        var stream: [Int32] = [0]
        while stream.count < 3 * total + 1 {
            let before = loader.state
            let batch = try loader.next(sequences: 2, length: length)
            #expect(batch.inputs.count == 2 * length && batch.sequences == 2)
            // Inputs are the targets moved by one, across sequences and batches.
            #expect(batch.inputs[0] == stream[stream.count - 1])
            #expect(Array(batch.inputs.dropFirst()) == Array(batch.targets.dropLast()))
            #expect(loader.state.tokens == before.tokens + 2 * length)
            stream += batch.targets
        }
        var orders: [[[Int32]]] = []
        for epoch in 0..<3 {
            let part = Array(stream[epoch * total..<(epoch + 1) * total])
            let found = documents(part).dropLast()
            #expect(
                found.map { $0 }.sorted { $0.lexicographicallyPrecedes($1) }
                    == expected.sorted { $0.lexicographicallyPrecedes($1) })
            orders.append(Array(found))
        }
        #expect(orders[0] != orders[1] && orders[1] != orders[2] && orders[0] != expected)
        #expect(loader.state.epoch == 3)
    }

    @Test func aLoaderGoesOnFromAnySavedState() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        var loader = try TokenLoader(dataset, seed: 3)
        var states: [LoaderState] = []
        var batches: [TokenBatch] = []
        for _ in 0..<60 {
            states.append(loader.state)
            batches.append(try loader.next(sequences: 3, length: 50))
        }
        #expect(loader.state.epoch >= 1)
        for index in stride(from: 0, to: 60, by: 7) {
            let saved = try JSONEncoder().encode(states[index])
            var again = try TokenLoader(dataset, resuming: JSONDecoder().decode(LoaderState.self, from: saved))
            for step in index..<60 { #expect(try again.next(sequences: 3, length: 50) == batches[step]) }
            #expect(again.state == loader.state)
        }
    }

    @Test func theSeedMakesTheOrder() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        var loaders = try [1, 1, 2].map { try TokenLoader(dataset, seed: $0) }
        let streams = try loaders.indices.map { try stream(&loaders[$0], batches: 4, sequences: 2, length: 64) }
        #expect(streams[0] == streams[1] && streams[0] != streams[2])
    }

    @Test func severalProcessesShareOneStreamWhateverTheirNumber() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        var whole = try TokenLoader(dataset, seed: 5)
        var parts = try (0..<3).map { _ in try TokenLoader(dataset, seed: 5) }
        for _ in 0..<20 {
            let batch = try whole.next(sequences: 6, length: 40)
            var inputs: [Int32] = []
            for rank in 0..<3 {
                let part = try parts[rank].next(sequences: 6, length: 40, rows: rank * 2..<rank * 2 + 2)
                #expect(part.sequences == 2)
                inputs += part.inputs
            }
            #expect(inputs == batch.inputs)
            #expect(parts.allSatisfy { $0.state == whole.state })
        }
    }

    @Test func otherDataOnResumeAreRefused() throws {
        let folder = TemporaryFolder()
        let other = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        let changed = try TestData.dataset(in: other, documents: 299)
        let state = try TokenLoader(dataset, seed: 1).state
        #expect(
            throws: DataError.datasetDiffers(
                path: changed.folder, expected: dataset.fingerprint, found: changed.fingerprint)
        ) { try TokenLoader(changed, resuming: state) }
    }

    @Test func aPlaceThatIsNotInTheDataIsRefused() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        let state = try TokenLoader(dataset, seed: 1).state
        let changes: [(inout LoaderState) -> Void] = [
            { $0.shard = 1000 }, { $0.shard = -1 }, { $0.document = 1000 }, { $0.document = .min },
            { $0.offset = 100_000 }, { $0.offset = -1 }, { $0.epoch = -1 }, { $0.tokens = -1 },
        ]
        for change in changes {
            var changed = state
            change(&changed)
            #expect(throws: DataError.self) { try TokenLoader(dataset, resuming: changed) }
        }
    }

    @Test func aSequenceLongerThanAnEpochIsRefused() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder, documents: 5, validationFraction: 0)
        var loader = try TokenLoader(dataset, seed: 1)
        let total = dataset.tokens(.train)
        #expect(throws: DataError.tooFewTokens(split: "train", tokens: total, needed: total + 1)) {
            try loader.next(sequences: 1, length: total)
        }
        #expect(try loader.next(sequences: 1, length: total - 1).inputs.count == total - 1)
        #expect(throws: DataError.self) { try ValidationReader(dataset, length: 4) }
    }

    @Test func aShardThatIsCutWhileItIsReadIsAnError() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder, shardTokens: 1 << 20)
        var loader = try TokenLoader(dataset, seed: 1)
        _ = try loader.next(sequences: 1, length: 64)
        let file = try FileHandle(forWritingTo: URL(filePath: folder.file("data/train-00000.tokens")))
        try file.truncate(atOffset: 500)
        try file.close()
        let error = #expect(throws: DataError.self) { try loader.next(sequences: 1, length: 64) }
        #expect(error?.description.contains("cut or replaced") == true)
    }

    @Test func validationIsTheSameSequencesEachTime() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder, validationFraction: 0.3, shardTokens: 300)
        #expect(dataset.shards(.validation).count > 2)
        let tokens = TestData.documents(dataset, .validation).flatMap { $0 }
        let reader = try ValidationReader(dataset, length: 32)
        #expect(reader.sequences == (tokens.count - 1) / 32)
        let batch = try reader.batch(0..<1000)
        #expect(batch.sequences == reader.sequences)
        #expect(batch.inputs == Array(tokens[..<(reader.sequences * 32)]))
        #expect(batch.targets == Array(tokens[1...(reader.sequences * 32)]))
        #expect(try reader.batch(3..<5).inputs == Array(tokens[96..<160]))
        #expect(try reader.batch(5000..<5001).inputs == [])
    }

    @Test func bitsPerByteCountTextAlone() throws {
        let folder = TemporaryFolder()
        try TestData.tokenizer(in: folder)
        let tokenizer = try Tokenizer(tokenizerJSON: folder.read("tokenizer/tokenizer.json"))
        let bytes = TokenBytes(tokenizer)
        let text = "über the river 今天"
        let tokens = tokenizer.encode(text, addSpecial: false).map { Int32($0) }
        #expect(bytes.count(tokens) == text.utf8.count)
        #expect(bytes[0] == 0 && bytes[1] == 0 && bytes[-1] == 0 && bytes[100_000] == 0)
        let losses = tokens.map { _ in Float(0.5) } + [100]
        let found = try #require(bytes.bitsPerByte(losses: losses, targets: tokens + [1]))
        let expected = 0.5 * Double(tokens.count) / 0.6931471805599453 / Double(text.utf8.count)
        #expect(abs(found - expected) < 1e-12)
        #expect(bytes.bitsPerByte(losses: [1], targets: [1]) == nil)
    }
}

@Suite struct RandomGeneratorTests {
    /// Golden values: the authors' xoshiro256starstar.c and splitmix64.c, seed 42.
    @Test func theNumbersAreTheAuthors() {
        var generator = RandomGenerator(seed: 42)
        let found = (0..<4).map { _ in generator.next() }
        #expect(
            found == [
                1_546_998_764_402_558_742, 6_990_951_692_964_543_102, 12_544_586_762_248_559_009,
                17_057_574_109_182_124_193,
            ])
    }

    @Test func aPermutationHasEachNumberOnceAndIsUnbiased() {
        var generator = RandomGenerator(seed: 1)
        var counts = [[Int]](repeating: [Int](repeating: 0, count: 5), count: 5)
        for _ in 0..<10_000 {
            let order = generator.permutation(5)
            #expect(order.sorted() == [0, 1, 2, 3, 4])
            for (place, number) in order.enumerated() { counts[place][Int(number)] += 1 }
        }
        #expect(counts.allSatisfy { $0.allSatisfy { (1800...2200).contains($0) } })
        #expect(generator.permutation(0) == [] && generator.permutation(1) == [0])
    }
}
