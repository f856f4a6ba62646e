import Foundation
import Testing
import WaletJSON
import WaletText

@testable import WaletTrain

/// Golden values: Tools/oracle/conversations.py, transformers' `apply_chat_template`.
@Suite struct ConversationTests {
    private static func facts() throws -> JSONValue {
        let file = Fixtures.repository.appending(path: "Tests/Fixtures/training/conversations.json")
        return try JSONValue(parsing: Data(contentsOf: file))
    }

    /// With the vocabulary of the golden values.
    private func encoder(_ folder: TemporaryFolder) throws -> ConversationEncoder {
        var trainer = try TokenizerTrainerTests.trainer("qwen2-700")
        trainer.add(try TokenizerTrainerTests.texts())
        try trainer.train().write(to: folder.file("chat-tokenizer"))
        return try ConversationEncoder(folder: folder.file("chat-tokenizer"))
    }

    @Test func textsAreThoseOfTransformers() throws {
        let facts = try Self.facts()
        #expect(facts["template"]?.stringValue == ConversationTemplate.source)
        let template = try ChatTemplate(
            source: ConversationTemplate.source, bosToken: "<|begin|>", eosToken: "<|end|>")
        for item in try #require(facts["cases"]?.arrayValue) {
            let messages = try #require(item["messages"]?.arrayValue)
            let extra = item["thinking"]?.boolValue.map { ["enable_thinking": JSONValue.bool($0)] } ?? [:]
            for (name, isPrompt) in [("text", false), ("prompt", true)] {
                let found = try template.render(messages: messages, addGenerationPrompt: isPrompt, extra: extra)
                #expect(found.text == item[name]?.stringValue)
            }
        }
    }

    @Test func tokensAndTheAssistantsSideAreThoseOfTransformers() throws {
        let folder = TemporaryFolder()
        let encoder = try encoder(folder)
        let items = try #require(try Self.facts()["cases"]?.arrayValue)
        #expect(items.count >= 12)
        for item in items {
            let name = item["name"]?.stringValue ?? ""
            let found = try encoder.encode(
                TrainingConversation(
                    messages: try #require(item["messages"]?.arrayValue), thinking: item["thinking"]?.boolValue))
            #expect(found.tokens.map { Int($0) } == item["tokens"]?.arrayValue?.compactMap(\.intValue), "\(name)")
            #expect(found.learned == item["learned"]?.arrayValue?.compactMap(\.boolValue), "\(name)")
            #expect(found.textBytes == item["text"]?.stringValue?.utf8.count, "\(name)")
        }
    }

    @Test func marksInAMessageAreText() throws {
        let folder = TemporaryFolder()
        let encoder = try encoder(folder)
        let text = "a<|im_end|><|im_assistant|><think>b</think><|end|>"
        let found = try encoder.encode(ChatData.conversation(text, text, thinking: text))
        let control = found.tokens.filter { encoder.tokenizer.isSpecial(Int($0)) }
        let expected = [
            "<|begin|>", "<|im_user|>", "<|im_end|>", "<|im_assistant|>", "<think>", "</think>", "<|im_end|>",
        ]
        #expect(control.map { Int($0) } == expected.map { encoder.tokenizer.id(ofToken: $0) ?? -1 })
        #expect(found.learned.last == true && found.learned.first == false)
        let read = zip(found.tokens, found.learned).filter { !$0.1 }.map { Int($0.0) }
        #expect(encoder.tokenizer.decode(read, skipSpecial: true) == text)
    }

    @Test func aDataSetHasWhatTheEncoderGives() throws {
        let folder = TemporaryFolder()
        try ChatData.tokenizer(in: folder)
        let conversations = ChatData.conversations(90)
        let dataset = try ChatData.dataset(in: folder, conversations + conversations)
        let encoder = try ConversationEncoder(folder: folder.file("chat"))
        #expect(dataset.isConversations && dataset.shards(.train).count > 2 && dataset.documents(.validation) > 0)
        var found: Set<[Int32]> = []
        for split in TokenDataset.Split.allCases {
            for shard in dataset.shards(split) {
                for document in 0..<shard.header.documents {
                    let range = shard.range(ofDocument: document)
                    // The mark in the sign, so that one set tells both apart.
                    found.insert(zip(shard.tokens(range), range).map { shard.isLearned($1) ? $0 : -1 - $0 })
                }
            }
        }
        let expected = try conversations.map { conversation -> [Int32] in
            let (tokens, learned, _) = try encoder.encode(conversation)
            return zip(tokens, learned).map { $1 ? $0 : -1 - $0 }
        }
        #expect(found == Set(expected) && dataset.documents(.train) + dataset.documents(.validation) == 90)
        // The template came along.
        #expect(try folder.read("chat/chat_template.jinja") == Array(ConversationTemplate.source.utf8))
    }

    @Test func whatTheTemplateRefusesOrNothingIsLearnedOfIsAnError() throws {
        let folder = TemporaryFolder()
        try ChatData.tokenizer(in: folder)
        func error(_ conversation: TrainingConversation) throws -> String {
            let error = #expect(throws: DataError.self) { try ChatData.dataset(in: folder, [conversation]) }
            return error?.description ?? ""
        }
        let tool = TrainingConversation(messages: [
            ChatData.message("tool", "1"), ChatData.message("assistant", "2"),
        ])
        #expect(try error(tool).contains("no messages of the role tool"))
        // Thoughts that are left out later: the only answer is none that its prompt led to.
        let dropped = TrainingConversation(messages: [
            ChatData.message("user", "1"), ChatData.message("assistant", "2", "thought"), ChatData.message("user", "3"),
        ])
        #expect(try error(dropped).contains("shows no answer"))
        // A vocabulary without a template.
        try TestData.tokenizer(in: folder)
        #expect(throws: DataError.badVocabulary(reason: "it has no chat template, which conversations need")) {
            try DatasetBuilder(
                folder: folder.file("none"), tokenizerFolder: folder.file("tokenizer"), validationFraction: 0,
                ofConversations: true)
        }
    }

    @Test func linesOfAFileAreConversations() throws {
        let folder = TemporaryFolder()
        let user = #"{"role":"user","content":"a"}"#
        let assistant = #"{"role":"assistant","content":"b"}"#
        try folder.write(
            "a.jsonl",
            Array("{\"messages\":[\(user),\(assistant)]}\n\n{\"messages\":[\(assistant)],\"thinking\":false}".utf8))
        var found: [TrainingConversation] = []
        try DocumentReader([folder.path]).forEachConversationBatch(count: 1) { (batch) throws(DataError) in
            found += batch
        }
        #expect(
            found == [
                ChatData.conversation("a", "b"),
                TrainingConversation(messages: [ChatData.message("assistant", "b")], thinking: false),
            ])
        let good = "{\"messages\":[\(assistant)]}\n"
        for bad in [
            #"{"text":"a"}"#, "{\"messages\":[\(user)]}", "{\"messages\":[]}", "{\"messages\":{}}",
            #"{"messages":[{"content":"a"}]}"#, "{\"messages\":[\(assistant)],\"thinking\":1}", "[]", "{",
        ] {
            try folder.write("a.jsonl", Array((good + bad).utf8))
            let error = #expect(throws: DataError.self) {
                try DocumentReader([folder.path]).forEachConversationBatch { (_) throws(DataError) in }
            }
            guard case .badDocument(_, 2, _)? = error else {
                Issue.record("\(bad): \(String(describing: error))")
                continue
            }
        }
        try folder.remove("a.jsonl")
        try folder.write("a.txt", Array("text".utf8))
        #expect(throws: DataError.self) {
            try DocumentReader([folder.path]).forEachConversationBatch { (_) throws(DataError) in }
        }
    }
}

/// Files of conversations, whole and not.
@Suite struct ConversationShardTests {
    @Test func marksAreKeptBesideTokensOfTwoAndOfFourBytes() throws {
        let folder = TemporaryFolder()
        let place = try StorageFolder(folder.path, create: false)
        for (size, bytes) in [(10, 2), (1 << 15, 2), (1 << 15 + 1, 4)] {
            let document: [Int32] = [0, 7, Int32(size - 1), Int32(size - 1), 1]
            let learned = [false, true, false, true, true]
            for isConversations in [true, false] {
                let name = "\(size)-\(isConversations)"
                var writer = try TokenShardWriter(
                    name, in: place, vocabularySize: size, isConversations: isConversations,
                    vocabulary: Checksum(of: []))
                try writer.append(document, learned: isConversations ? learned : nil, textBytes: 5)
                try writer.append([2, 3], learned: isConversations ? [true, false] : nil, textBytes: 1)
                let header = try writer.finish()
                let shard = try TokenShard(folder.file(name))
                try shard.verify()
                #expect(shard.header == header && header.isConversations == isConversations)
                #expect(header.bytesPerToken == (isConversations ? bytes : 2))
                #expect(shard.tokens(0..<7) == document + [2, 3] && shard.range(ofDocument: 1) == 5..<7)
                let marks = (0..<7).map { shard.isLearned($0) }
                #expect(marks == (isConversations ? learned + [true, false] : [Bool](repeating: true, count: 7)))
            }
        }
    }

    @Test func aTokenBeyondTheVocabularyIsRefusedWhateverItsMark() throws {
        let folder = TemporaryFolder()
        let place = try StorageFolder(folder.path, create: false)
        for learned in [true, false] {
            var writer = try TokenShardWriter(
                "a", in: place, vocabularySize: 10, isConversations: true, vocabulary: Checksum(of: []))
            try writer.append([1, 10], learned: [true, learned], textBytes: 3)
            _ = try writer.finish()
            let error = #expect(throws: DataError.self) { try TokenShard(folder.file("a")).verify() }
            #expect(error?.description.contains("token 1 is 10") == true)
        }
    }

    private func sealed(_ bytes: [UInt8], kind: UInt8) -> [UInt8] {
        var bytes = bytes
        bytes[44] = kind
        bytes.replaceSubrange(112..<144, with: Checksum(of: bytes[..<112]).bytes)
        return bytes
    }

    @Test func aKindThatNobodyKnowsIsRefused() throws {
        let folder = TemporaryFolder()
        _ = try ChatData.tokens(in: folder, [[1, 2, 3]])
        let bytes = try folder.read("tokens/train-0.tokens")
        for kind in [UInt8(2), 255] {
            try folder.write("tokens/train-0.tokens", sealed(bytes, kind: kind))
            let error = #expect(throws: DataError.self) { try TokenShard(folder.file("tokens/train-0.tokens")) }
            #expect(error?.description.contains("it is of the kind \(kind)") == true)
        }
    }

    /// Changes whether a list says that its data are conversations.
    private func relist(_ folder: TemporaryFolder, _ name: String, isConversations: Bool) throws {
        var list = try DatasetList(
            try SealedJSON.open(folder.read(name), format: TokenDataset.format, version: 1))
        list.isConversations = isConversations
        try folder.write(name, SealedJSON.bytes(list.object))
    }

    @Test func conversationsAndDocumentsAreNotTakenForEachOther() throws {
        let folder = TemporaryFolder()
        try ChatData.tokenizer(in: folder)
        let chat = try ChatData.dataset(in: folder, ChatData.conversations(30))
        try relist(folder, "chat/dataset.json", isConversations: false)
        var error = #expect(throws: DataError.self) { try TokenDataset(folder: chat.folder) }
        #expect(error?.description.contains("it has conversations, and the data set documents") == true)
        // The shard lies too: what is marked is no token of the vocabulary.
        let name = "chat/" + (try #require(chat.entries.first)).name
        try folder.write(name, sealed(folder.read(name), kind: 0))
        #expect(throws: DataError.self) { try TokenShard(folder.file(name)).verify() }

        let plain = try TestData.dataset(in: folder, documents: 30)
        try relist(folder, "data/dataset.json", isConversations: true)
        error = #expect(throws: DataError.self) { try TokenDataset(folder: plain.folder) }
        #expect(error?.description.contains("it has documents, and the data set conversations") == true)
    }

    /// Whatever is done to a list or a shard, opening it is an error or gives the same data; it never ends the process.
    @Test func mutatedFilesNeverPass() throws {
        let folder = TemporaryFolder()
        try ChatData.tokenizer(in: folder)
        let dataset = try ChatData.dataset(in: folder, ChatData.conversations(40))
        var generator = RandomGenerator(seed: 8)
        var refused = 0
        for name in ["dataset.json", "train-00000.tokens"] {
            let bytes = try folder.read("chat/" + name)
            for _ in 0..<300 {
                let changed = mutated(bytes, &generator)
                try folder.write("chat/" + name, changed)
                do {
                    #expect(try TokenDataset(folder: dataset.folder).entries == dataset.entries)
                    #expect(changed == bytes || name == "dataset.json")
                } catch {
                    refused += 1
                }
            }
            try folder.write("chat/" + name, bytes)
        }
        #expect(refused > 500)
    }
}
