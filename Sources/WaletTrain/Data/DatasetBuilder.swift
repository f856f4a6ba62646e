// Documents to a data set: each is sent to training or validation by its own hash, tokenized, and written to a shard.

import Foundation
import WaletJSON
import WaletText

/// Makes a data set from documents.
///
/// A document's SHA-256 decides whether it trains or validates, so that the same text is on the same side wherever and
/// whenever it comes; a text that comes again is left out. The list is written last: a folder without it is no data set,
/// whatever happened.
///
/// ```swift
/// let builder = try DatasetBuilder(folder: "data", tokenizerFolder: "tokenizer", validationFraction: 0.01)
/// for texts in batches { try builder.add(texts) }
/// let dataset = try builder.finish()
/// ```
public final class DatasetBuilder {
    private let folder: StorageFolder
    private let tokenizer: Tokenizer
    /// Nil where documents are texts.
    private let conversations: ConversationEncoder?
    private let vocabulary: Checksum
    private let begin: Int?
    private let end: Int
    private let validationFraction: Double
    private let shardTokens: Int
    private var writers: [TokenDataset.Split: TokenShardWriter] = [:]
    private var entries: [TokenDataset.Entry] = []
    private var seen: Set<Checksum> = []

    /// Documents that were left out because the same text had come before.
    public private(set) var duplicates = 0

    /// - Parameters:
    ///   - folder: made where it is missing; it must hold no data set yet.
    ///   - tokenizerFolder: holds `tokenizer.json` and `tokenizer_config.json`, which are copied. The tokens that begin
    ///     and end a text are put around each document; the end is needed, the begin is not.
    ///   - validationFraction: part of the documents, from 0 to 1, that validate.
    ///   - ofConversations: whether documents are conversations, in the template of the tokenizer's folder.
    ///   - shardTokens: a shard is closed at the document that reaches so many tokens.
    /// - Throws: ``DataError``.
    public init(
        folder path: String, tokenizerFolder: String, validationFraction: Double, ofConversations: Bool = false,
        shardTokens: Int = 1 << 26
    ) throws(DataError) {
        guard validationFraction >= 0, validationFraction < 1 else {
            throw .badOption(name: "validation fraction", reason: "\(validationFraction) is not from 0 to below 1")
        }
        guard shardTokens > 0 else {
            throw .badOption(name: "tokens of a shard", reason: "\(shardTokens) is less than 1")
        }
        self.validationFraction = validationFraction
        self.shardTokens = shardTokens
        let json: [UInt8]
        let configuration: [UInt8]
        var template: [UInt8]?
        do throws(StorageError) {
            folder = try StorageFolder(path, create: true)
            let source = try StorageFolder(tokenizerFolder, create: false)
            json = try source.contents(TokenDataset.vocabularyName, limit: 1 << 30)
            configuration = try source.contents("tokenizer_config.json", limit: 1 << 30)
            let name = ConversationTemplate.fileName
            if source.exists(name) { template = try source.contents(name, limit: 1 << 24) }
        } catch {
            throw .storage(error)
        }
        guard !folder.exists(TokenDataset.listName) else { throw .alreadyThere(folder: path) }
        let settings: JSONValue
        do {
            settings = try JSONValue(parsing: configuration)
            tokenizer = try Tokenizer(tokenizerJSON: json, configuration: settings)
        } catch {
            throw .badVocabulary(reason: "\(tokenizerFolder): \(error)")
        }
        conversations =
            ofConversations
            ? try ConversationEncoder(
                tokenizer, configuration: settings,
                template: template.map { String(decoding: $0, as: UTF8.self) }) : nil
        guard let end = tokenizer.eosID else {
            throw .badVocabulary(reason: "\(tokenizerFolder)/tokenizer_config.json names no token that ends a text")
        }
        self.end = end
        begin = tokenizer.bosID
        vocabulary = Checksum(of: json)
        do throws(StorageError) {
            try folder.put(TokenDataset.vocabularyName, json)
            try folder.put("tokenizer_config.json", configuration)
            if let template { try folder.put(ConversationTemplate.fileName, template) }
        } catch {
            throw .storage(error)
        }
    }

    /// The side of a text.
    static func split(_ hash: Checksum, validationFraction: Double) -> TokenDataset.Split {
        let number = hash.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        // The upper 53 bits, which a double holds exactly.
        return Double(number >> 11) / 0x1p53 < validationFraction ? .validation : .train
    }

    /// Tokenizes documents on all cores and writes them in their order. Empty texts are left out.
    public func add(_ texts: [String]) throws(DataError) {
        var fresh: [(text: String, split: TokenDataset.Split)] = []
        for text in texts where !text.isEmpty {
            let hash = Checksum(of: text.utf8)
            guard seen.insert(hash).inserted else {
                duplicates += 1
                continue
            }
            fresh.append((text, Self.split(hash, validationFraction: validationFraction)))
        }
        let documents = encode(fresh.map(\.text))
        do throws(StorageError) {
            for ((text, split), tokens) in zip(fresh, documents) {
                try append(tokens, textBytes: text.utf8.count, split)
            }
        } catch {
            throw .storage(error)
        }
    }

    /// Tokenizes conversations on all cores and writes them in their order.
    /// - Precondition: the builder was made for conversations.
    /// - Throws: ``DataError/badVocabulary(reason:)`` for one that the template refuses, or of which nothing is learned.
    public func add(_ batch: [TrainingConversation]) throws(DataError) {
        guard let encoder = conversations else { preconditionFailure("a builder of texts") }
        var fresh: [(conversation: TrainingConversation, split: TokenDataset.Split)] = []
        for conversation in batch {
            let hash = Checksum(of: conversation.identity.utf8)
            guard seen.insert(hash).inserted else {
                duplicates += 1
                continue
            }
            fresh.append((conversation, Self.split(hash, validationFraction: validationFraction)))
        }
        typealias Encoded = (tokens: [Int32], learned: [Bool], textBytes: Int)
        let results = Gathered<Result<Encoded, any Error>>(count: fresh.count)
        let work = fresh.map(\.conversation)
        DispatchQueue.concurrentPerform(iterations: work.count) { index in
            results[index] = Result { try encoder.encode(work[index]) }
        }
        for (index, (conversation, split)) in fresh.enumerated() {
            let document: Encoded
            do {
                guard let result = results[index] else { continue }
                document = try result.get()
            } catch {
                throw .badVocabulary(reason: "its chat template, of \(conversation.identity.prefix(200)): \(error)")
            }
            guard document.learned.contains(true) else {
                throw .badVocabulary(
                    reason: "its chat template shows no answer of \(conversation.identity.prefix(200)) as it follows "
                        + "from its prompt")
            }
            do throws(StorageError) {
                try append(document.tokens, learned: document.learned, textBytes: document.textBytes, split)
            } catch {
                throw .storage(error)
            }
        }
    }

    private func encode(_ texts: [String]) -> [[Int32]] {
        let results = Gathered<[Int32]>(count: texts.count)
        let (tokenizer, begin, end) = (self.tokenizer, self.begin, self.end)
        DispatchQueue.concurrentPerform(iterations: texts.count) { index in
            var tokens: [Int32] = begin.map { [Int32(truncatingIfNeeded: $0)] } ?? []
            for id in tokenizer.encode(texts[index], addSpecial: false, special: .asText) {
                tokens.append(Int32(truncatingIfNeeded: id))
            }
            tokens.append(Int32(truncatingIfNeeded: end))
            results[index] = tokens
        }
        return texts.indices.map { results[$0] ?? [] }
    }

    private func append(
        _ tokens: [Int32], learned: [Bool]? = nil, textBytes: Int, _ split: TokenDataset.Split
    ) throws(StorageError) {
        if writers[split] == nil {
            let number = String(entries.count { $0.split == split })
            let padded = String(repeating: "0", count: max(0, 5 - number.count)) + number
            writers[split] = try TokenShardWriter(
                "\(split.rawValue)-\(padded).tokens", in: folder, vocabularySize: tokenizer.vocabularySize,
                isConversations: conversations != nil, vocabulary: vocabulary)
        }
        try writers[split]?.append(tokens, learned: learned, textBytes: textBytes)
        if let count = writers[split]?.tokens, count >= shardTokens { try close(split) }
    }

    private func close(_ split: TokenDataset.Split) throws(StorageError) {
        guard var writer = writers.removeValue(forKey: split) else { return }
        let header = try writer.finish()
        entries.append(
            TokenDataset.Entry(
                name: writer.name, split: split, tokens: header.tokens, documents: header.documents,
                textBytes: header.textBytes, content: header.content))
    }

    /// Closes the shards, writes the list and opens what was made.
    public func finish() throws(DataError) -> TokenDataset {
        do throws(StorageError) {
            for split in TokenDataset.Split.allCases { try close(split) }
            let list = DatasetList(
                vocabularySize: tokenizer.vocabularySize, vocabulary: vocabulary,
                validationFraction: validationFraction, isConversations: conversations != nil, entries: entries)
            try folder.put(TokenDataset.listName, SealedJSON.bytes(list.object))
        } catch {
            throw .storage(error)
        }
        return try TokenDataset(folder: folder.path)
    }
}
