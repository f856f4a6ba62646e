import Foundation
import Testing
import WaletJSON
import WaletText

@testable import WaletTrain

@Suite struct DatasetTests {
    @Test func everyDocumentIsThereOnceBetweenItsTokens() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        let tokenizer = try Tokenizer(
            tokenizerJSON: folder.read("data/tokenizer.json"),
            configuration: JSONValue(parsing: folder.read("data/tokenizer_config.json")))
        var found: [String] = []
        for split in TokenDataset.Split.allCases {
            var bytes = 0
            for document in TestData.documents(dataset, split) {
                #expect(document.first == 0 && document.last == 1)
                let text = tokenizer.decode(document.dropFirst().dropLast().map { Int($0) }, skipSpecial: false)
                found.append(text)
                bytes += text.utf8.count
            }
            #expect(dataset.textBytes(split) == bytes)
        }
        #expect(found.sorted() == TestData.texts(300).sorted())
        #expect(dataset.shards(.train).count > 3 && dataset.shards(.validation).count >= 1)
        #expect((10...60).contains(dataset.documents(.validation)))
    }

    @Test func aTextIsOnTheSameSideWheneverItComes() throws {
        let one = TemporaryFolder()
        let other = TemporaryFolder()
        let first = try TestData.dataset(in: one)
        try TestData.tokenizer(in: other)
        let builder = try DatasetBuilder(
            folder: other.file("data"), tokenizerFolder: other.file("tokenizer"), validationFraction: 0.1)
        for text in TestData.texts(300).reversed() { try builder.add([text, text, ""]) }
        let second = try builder.finish()
        #expect(builder.duplicates == 300)
        for split in TokenDataset.Split.allCases {
            #expect(Set(TestData.documents(first, split)) == Set(TestData.documents(second, split)))
        }
        #expect(first.fingerprint != second.fingerprint)
        #expect(first.vocabulary == second.vocabulary)
    }

    @Test func theSameDocumentsGiveTheSameBytes() throws {
        let folders = [TemporaryFolder(), TemporaryFolder()]
        let sets = try folders.map { try TestData.dataset(in: $0) }
        #expect(sets[0].fingerprint == sets[1].fingerprint)
        #expect(sets[0].entries == sets[1].entries)
    }

    @Test func aLargeVocabularyTakesFourBytesAToken() throws {
        let folder = TemporaryFolder()
        try TestData.tokenizer(in: folder)
        let path = try StorageFolder(folder.path, create: false)
        let vocabulary = Checksum(of: [])
        for (size, bytes) in [(1 << 16, 2), (1 << 16 + 1, 4)] {
            var writer = try TokenShardWriter("a-\(size)", in: path, vocabularySize: size, vocabulary: vocabulary)
            let tokens: [Int32] = [0, 1, 255, 256, Int32(size - 1)]
            try writer.append(tokens, textBytes: 5)
            try writer.append([7], textBytes: 1)
            let header = try writer.finish()
            let shard = try TokenShard(folder.file("a-\(size)"))
            try shard.verify()
            #expect(shard.header == header && header.bytesPerToken == bytes)
            #expect(shard.tokens(0..<6) == tokens + [7] && shard.range(ofDocument: 1) == 5..<6)
        }
    }

    @Test func aFolderWithADataSetIsNotOverwritten() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        #expect(throws: DataError.alreadyThere(folder: folder.file("data"))) {
            try DatasetBuilder(
                folder: folder.file("data"), tokenizerFolder: folder.file("tokenizer"), validationFraction: 0)
        }
    }

    @Test func aDataSetWithoutItsListIsNone() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        try folder.remove("data/dataset.json")
        let error = #expect(throws: DataError.self) { try TokenDataset(folder: folder.file("data")) }
        #expect(error?.description.contains("dataset.json does not exist") == true)
        // What an interrupted preparation left is written anew.
        let builder = try DatasetBuilder(
            folder: folder.file("data"), tokenizerFolder: folder.file("tokenizer"), validationFraction: 0.1,
            shardTokens: 900)
        try builder.add(TestData.texts(300))
        #expect(try builder.finish().tokens(.train) > 1000)
    }

    @Test func aMissingShardIsNamed() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        try folder.remove("data/train-00001.tokens")
        #expect(throws: DataError.shardMissing(path: folder.file("data/train-00001.tokens"))) {
            try TokenDataset(folder: folder.file("data"))
        }
    }

    @Test func aFlippedByteInAShardIsDamage() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        let name = "data/train-00000.tokens"
        let bytes = try folder.read(name)
        for place in [TokenShardHeader.size + 3, bytes.count / 2] {
            var changed = bytes
            changed[place] ^= 1
            try folder.write(name, changed)
            let error = #expect(throws: DataError.self) { try TokenDataset(folder: dataset.folder) }
            guard case .shardDamaged(let path, let expected, let found)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(path == folder.file(name) && expected != found)
        }
    }

    @Test func anotherShardUnderTheNameIsChanged() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        try folder.write("data/train-00000.tokens", folder.read("data/train-00001.tokens"))
        let error = #expect(throws: DataError.self) { try TokenDataset(folder: dataset.folder) }
        guard case .shardChanged? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func anotherVocabularyIsSaid() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder)
        try folder.write("data/tokenizer.json", folder.read("data/tokenizer.json") + [0x20])
        let error = #expect(throws: DataError.self) { try TokenDataset(folder: dataset.folder) }
        guard case .vocabularyDiffers? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func aFullDiskIsSaidAndLeavesNoDataSet() throws {
        let folder = TemporaryFolder()
        try TestData.tokenizer(in: folder)
        let (code, _, errors) = try Worker.run(["fill-data", folder.path, "100000"])
        #expect(code == 1)
        #expect(errors.contains("no room on the disk for \(folder.path)/data/"), "\(errors)")
        #expect(throws: DataError.self) { try TokenDataset(folder: folder.file("data")) }
    }

    /// Whatever is done to a list or a shard, opening it is an error or gives the same data; it never ends the process.
    @Test func mutatedFilesNeverPass() throws {
        let folder = TemporaryFolder()
        let dataset = try TestData.dataset(in: folder, documents: 60, shardTokens: 400)
        var generator = RandomGenerator(seed: 3)
        var refused = 0
        for name in ["dataset.json", "train-00000.tokens", "validation-00000.tokens"] {
            let path = "data/" + name
            let bytes = try folder.read(path)
            for _ in 0..<700 {
                let changed = mutated(bytes, &generator)
                try folder.write(path, changed)
                do {
                    let found = try TokenDataset(folder: dataset.folder)
                    #expect(found.entries == dataset.entries)
                    #expect(changed == bytes || name == "dataset.json")
                } catch {
                    #expect(!error.description.isEmpty)
                    refused += 1
                }
            }
            try folder.write(path, bytes)
        }
        #expect(refused > 1900)
    }

    /// A header whose checksum holds may still lie.
    @Test func aWellSealedLieIsRefused() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let bytes = try folder.read("data/train-00000.tokens")
        var generator = RandomGenerator(seed: 4)
        for _ in 0..<500 {
            var changed = bytes
            let place = 12 + generator.next(below: 36)
            changed[place] = UInt8(generator.next(below: 256))
            if generator.next(below: 3) == 0 { for index in place..<min(place + 8, 48) { changed[index] = 0xFF } }
            changed.replaceSubrange(112..<144, with: Checksum(of: changed[..<112]).bytes)
            try folder.write("lie", changed)
            guard let shard = try? TokenShard(folder.file("lie")) else { continue }
            #expect(shard.header.tokens * shard.header.bytesPerToken <= bytes.count)
            for document in 0..<shard.header.documents { _ = shard.tokens(shard.range(ofDocument: document)) }
        }
    }

    @Test func aTokenBeyondTheVocabularyIsRefused() throws {
        let folder = TemporaryFolder()
        let path = try StorageFolder(folder.path, create: false)
        var writer = try TokenShardWriter("a", in: path, vocabularySize: 10, vocabulary: Checksum(of: []))
        try writer.append([1, 9, 10], textBytes: 3)
        _ = try writer.finish()
        let error = #expect(throws: DataError.self) { try TokenShard(folder.file("a")).verify() }
        #expect(error?.description.contains("token 2 is 10") == true)
    }
}

@Suite struct DocumentReaderTests {
    @Test func linesAndFilesAreDocuments() throws {
        let folder = TemporaryFolder()
        try folder.write("b.jsonl", Array("{\"text\":\"one\\n1\",\"source\":\"x\"}\n\n{\"text\":\"two\"}".utf8))
        try folder.write("a.txt", Array("zero\nzero".utf8))
        try folder.write("c.md", Array("no".utf8))
        var batches: [[String]] = []
        try DocumentReader([folder.path]).forEachBatch(bytes: 9) { (texts) throws(DataError) in batches.append(texts) }
        #expect(batches == [["zero\nzero"], ["one\n1", "two"]])
    }

    @Test func aBadLineIsNamedByFileAndNumber() throws {
        let folder = TemporaryFolder()
        for (text, line) in [("{\"text\":\"a\"}\n{\"text\":1}", 2), ("\n\n[]", 3), ("{\"text\":\"a\"", 1)] {
            try folder.write("a.jsonl", Array(text.utf8))
            let error = #expect(throws: DataError.self) {
                try DocumentReader([folder.file("a.jsonl")]).forEachBatch { (_) throws(DataError) in }
            }
            guard case .badDocument(folder.file("a.jsonl"), line, _)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
        try folder.write("a.txt", [0xFF])
        #expect(throws: DataError.self) {
            try DocumentReader([folder.file("a.txt")]).forEachBatch { (_) throws(DataError) in }
        }
        #expect(throws: DataError.self) { try DocumentReader([folder.file("none")]) }
    }

    @Test func mutatedLinesNeverEndTheProcess() throws {
        let folder = TemporaryFolder()
        let bytes = try Array(Fixtures.bytes("texts.jsonl").prefix(4000))
        var generator = RandomGenerator(seed: 5)
        for _ in 0..<500 {
            try folder.write("a.jsonl", mutated(bytes, &generator))
            do {
                try DocumentReader([folder.file("a.jsonl")]).forEachBatch { (_) throws(DataError) in }
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
    }
}
