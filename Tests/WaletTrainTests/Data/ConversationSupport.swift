import Foundation
import Testing
import WaletJSON

@testable import WaletTrain

/// Data sets of conversations for tests.
enum ChatData {
    static func message(_ role: String, _ content: String, _ thinking: String? = nil) -> JSONValue {
        var object = JSONObject([("role", .string(role)), ("content", .string(content))])
        if let thinking { object["reasoning_content"] = .string(thinking) }
        return .object(object)
    }

    static func conversation(
        _ question: String, _ answer: String, thinking: String? = nil, thinks: Bool? = nil
    ) -> TrainingConversation {
        TrainingConversation(
            messages: [message("user", question), message("assistant", answer, thinking)], thinking: thinks)
    }

    /// Trains a vocabulary with the marks of conversations into a folder named `chat-tokenizer`.
    static func tokenizer(in folder: TemporaryFolder, size: Int = 300) throws {
        var trainer = try TokenizerTrainer(
            vocabularySize: size, split: .qwen2, specialTokens: TokenizerTrainer.chatSpecialTokens)
        trainer.add(TestData.texts(200))
        try trainer.train().write(to: folder.file("chat-tokenizer"))
    }

    /// Makes a data set in a folder named `chat`.
    @discardableResult
    static func dataset(
        in folder: TemporaryFolder, _ conversations: [TrainingConversation], validationFraction: Double = 0.1,
        shardTokens: Int = 900
    ) throws -> TokenDataset {
        let builder = try DatasetBuilder(
            folder: folder.file("chat"), tokenizerFolder: folder.file("chat-tokenizer"),
            validationFraction: validationFraction, ofConversations: true, shardTokens: shardTokens)
        try builder.add(conversations)
        return try builder.finish()
    }

    /// Conversations of different lengths, in turns and alone, with thinking and without.
    static func conversations(_ count: Int) -> [TrainingConversation] {
        let texts = TestData.texts(4 * count, seed: 3).map { String($0.prefix(60)) + String($0.suffix(3)) }
        return (0..<count).map { number in
            let part = texts[number * 4..<number * 4 + 4].map { $0 }
            switch number % 3 {
            case 0: return conversation(part[0], part[1], thinking: part[2])
            case 1: return conversation(part[0], part[1], thinks: false)
            default:
                return TrainingConversation(messages: [
                    message("user", part[0]), message("assistant", part[1]), message("user", part[2]),
                    message("assistant", part[3]),
                ])
            }
        }
    }

    /// A data set of documents that are given as tokens, some to a shard.
    static func tokens(
        in folder: TemporaryFolder, _ documents: [[Int32]], shardDocuments: Int = 20, vocabularySize: Int = 1000,
        isLearned: (_ document: Int, _ place: Int) -> Bool = { _, _ in true }
    ) throws -> TokenDataset {
        let place = try StorageFolder(folder.file("tokens"), create: true)
        let vocabulary = Checksum(of: [])
        try place.put(TokenDataset.vocabularyName, [])
        var entries: [TokenDataset.Entry] = []
        for first in stride(from: 0, to: documents.count, by: shardDocuments) {
            var writer = try TokenShardWriter(
                "train-\(first).tokens", in: place, vocabularySize: vocabularySize, isConversations: true,
                vocabulary: vocabulary)
            for index in first..<min(documents.count, first + shardDocuments) {
                let document = documents[index]
                try writer.append(document, learned: document.indices.map { isLearned(index, $0) }, textBytes: 1)
            }
            let header = try writer.finish()
            entries.append(
                .init(
                    name: writer.name, split: .train, tokens: header.tokens, documents: header.documents,
                    textBytes: header.textBytes, content: header.content))
        }
        let list = DatasetList(
            vocabularySize: vocabularySize, vocabulary: vocabulary, validationFraction: 0, isConversations: true,
            entries: entries)
        try place.put(TokenDataset.listName, SealedJSON.bytes(list.object))
        return try TokenDataset(folder: folder.file("tokens"))
    }
}
