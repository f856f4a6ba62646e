// A data set: a vocabulary, and shards of tokens for training and for validation, listed with their hashes.

import WaletJSON
import WaletText

/// A folder with `dataset.json`, `tokenizer.json` and the shards that the list names.
public struct TokenDataset: Sendable {
    /// What a document is used for; its hash decides.
    public enum Split: String, Sendable, CaseIterable {
        case train
        case validation
    }

    /// A shard in the list.
    public struct Entry: Sendable, Equatable {
        public var name: String
        public var split: Split
        public var tokens: Int
        public var documents: Int
        /// Bytes of text, as UTF-8.
        public var textBytes: Int
        /// ``TokenShardHeader/content``
        public var content: Checksum
    }

    public static let listName = "dataset.json"
    public static let vocabularyName = "tokenizer.json"
    static let format = "walet-dataset"

    public let folder: String
    public let vocabularySize: Int
    /// SHA-256 of `tokenizer.json`.
    public let vocabulary: Checksum
    public let entries: [Entry]
    /// Whether documents are conversations, of which a model learns the assistant's side.
    public let isConversations: Bool
    /// SHA-256 of the list, which has the hash of every shard: it names the data set by content.
    public let fingerprint: Checksum
    private let shards: [TokenShard]

    /// Opens a data set and compares all of its bytes with their hashes.
    /// - Throws: ``DataError`` for a list, a vocabulary or a shard that is missing, damaged or another one's.
    public init(folder path: String) throws(DataError) {
        self.folder = path
        let listPath = path + "/" + Self.listName
        let (list, fingerprint) = try Self.list(path)
        self.fingerprint = fingerprint
        vocabularySize = list.vocabularySize
        vocabulary = list.vocabulary
        entries = list.entries
        isConversations = list.isConversations
        let found: Checksum
        do throws(StorageError) {
            found = Checksum(
                of: try StorageFolder(path, create: false).contents(Self.vocabularyName, limit: 1 << 30))
        } catch {
            throw .badDataset(path: listPath, reason: error.description)
        }
        guard found == vocabulary else {
            throw .vocabularyDiffers(path: path + "/" + Self.vocabularyName, expected: vocabulary, found: found)
        }
        var shards: [TokenShard] = []
        for entry in entries {
            let shard = try TokenShard(path + "/" + entry.name)
            try Self.compare(shard, entry, vocabulary)
            guard shard.header.isConversations == isConversations else {
                throw .badShard(
                    path: shard.path,
                    reason: "it has \(isConversations ? "documents" : "conversations"), and the data set "
                        + (isConversations ? "conversations" : "documents"))
            }
            try shard.verify()
            shards.append(shard)
        }
        self.shards = shards
    }

    /// Files that a vocabulary has, the last one where it is made for conversations.
    static let tokenizerFiles = [vocabularyName, "tokenizer_config.json", ConversationTemplate.fileName]

    /// The vocabulary.
    /// - Throws: ``DataError/badVocabulary(reason:)``, ``DataError/storage(_:)``.
    public func tokenizer() throws(DataError) -> Tokenizer {
        let json: [UInt8]
        let configuration: [UInt8]
        do throws(StorageError) {
            let folder = try StorageFolder(folder, create: false)
            json = try folder.contents(Self.vocabularyName, limit: 1 << 30)
            configuration = try folder.contents("tokenizer_config.json", limit: 1 << 30)
        } catch {
            throw .storage(error)
        }
        do {
            return try Tokenizer(tokenizerJSON: json, configuration: try JSONValue(parsing: configuration))
        } catch {
            throw .badVocabulary(reason: "\(folder): \(error)")
        }
    }

    /// The size of the vocabulary of a data set, without a look at its shards.
    /// - Throws: ``DataError/badDataset(path:reason:)``.
    public static func vocabularySize(in path: String) throws(DataError) -> Int { try list(path).list.vocabularySize }

    private static func list(_ path: String) throws(DataError) -> (list: DatasetList, fingerprint: Checksum) {
        let listPath = path + "/" + listName
        let bytes: [UInt8]
        do throws(StorageError) {
            bytes = try StorageFolder(path, create: false).contents(listName, limit: SealedJSON.maximumBytes)
        } catch {
            throw .badDataset(path: listPath, reason: error.description)
        }
        do throws(SealedJSON.Broken) {
            return (try DatasetList(try SealedJSON.open(bytes, format: format, version: 1)), Checksum(of: bytes))
        } catch {
            throw .badDataset(path: listPath, reason: error.reason)
        }
    }

    private static func compare(
        _ shard: TokenShard, _ entry: Entry, _ vocabulary: Checksum
    ) throws(DataError) {
        let header = shard.header
        guard header.vocabulary == vocabulary else {
            throw .vocabularyDiffers(path: shard.path, expected: vocabulary, found: header.vocabulary)
        }
        guard header.content == entry.content else {
            throw .shardChanged(
                path: shard.path, expected: "SHA-256 \(entry.content)", found: "SHA-256 \(header.content)")
        }
        guard header.tokens == entry.tokens, header.documents == entry.documents, header.textBytes == entry.textBytes
        else {
            throw .shardChanged(
                path: shard.path, expected: "\(entry.tokens) tokens in \(entry.documents) documents",
                found: "\(header.tokens) tokens in \(header.documents) documents")
        }
    }

    /// The shards of a split, in the order of the list.
    public func shards(_ split: Split) -> [TokenShard] {
        zip(entries, shards).filter { $0.0.split == split }.map(\.1)
    }

    public func tokens(_ split: Split) -> Int { entries.filter { $0.split == split }.reduce(0) { $0 + $1.tokens } }

    public func documents(_ split: Split) -> Int {
        entries.filter { $0.split == split }.reduce(0) { $0 + $1.documents }
    }

    /// Bytes of a split's text, as UTF-8.
    public func textBytes(_ split: Split) -> Int {
        entries.filter { $0.split == split }.reduce(0) { $0 + $1.textBytes }
    }
}

/// The members of `dataset.json`.
struct DatasetList {
    var vocabularySize: Int
    var vocabulary: Checksum
    var validationFraction: Double
    var isConversations: Bool
    var entries: [TokenDataset.Entry]

    init(
        vocabularySize: Int, vocabulary: Checksum, validationFraction: Double, isConversations: Bool,
        entries: [TokenDataset.Entry]
    ) {
        self.vocabularySize = vocabularySize
        self.vocabulary = vocabulary
        self.validationFraction = validationFraction
        self.isConversations = isConversations
        self.entries = entries
    }

    init(_ object: JSONObject) throws(SealedJSON.Broken) {
        func fail(_ what: String) -> SealedJSON.Broken { SealedJSON.Broken(reason: "its \(what) is missing or wrong") }
        guard let size = object["vocabulary_size"]?.intValue, size > 0, size <= Int(Int32.max) else {
            throw fail("vocabulary_size")
        }
        guard let hash = object["vocabulary_sha256"]?.stringValue, let vocabulary = Checksum(hexadecimal: hash) else {
            throw fail("vocabulary_sha256")
        }
        guard let fraction = object["validation_fraction"]?.doubleValue else { throw fail("validation_fraction") }
        guard let values = object["shards"]?.arrayValue else { throw fail("shards") }
        vocabularySize = size
        self.vocabulary = vocabulary
        validationFraction = fraction
        isConversations = object["conversations"]?.boolValue ?? false
        entries = []
        var total = 0
        for (index, value) in values.enumerated() {
            guard let name = value["name"]?.stringValue, Self.isPlain(name),
                let split = value["split"]?.stringValue.flatMap(TokenDataset.Split.init(rawValue:)),
                let tokens = value["tokens"]?.intValue, let documents = value["documents"]?.intValue,
                let textBytes = value["text_bytes"]?.intValue, tokens >= 0, documents >= 0, textBytes >= 0,
                let content = value["sha256"]?.stringValue.flatMap({ Checksum(hexadecimal: $0) })
            else { throw fail("shards[\(index)]") }
            let (sum, overflow) = total.addingReportingOverflow(max(tokens, textBytes))
            guard !overflow, !entries.contains(where: { $0.name == name }) else { throw fail("shards[\(index)]") }
            total = sum
            entries.append(
                TokenDataset.Entry(
                    name: name, split: split, tokens: tokens, documents: documents, textBytes: textBytes,
                    content: content))
        }
    }

    /// A name right in the folder.
    private static func isPlain(_ name: String) -> Bool {
        !name.isEmpty && !name.hasPrefix(".") && name.utf8.count < 200
            && name.utf8.allSatisfy { $0 != UInt8(ascii: "/") && $0 >= 0x20 }
    }

    var object: JSONObject {
        let shards = entries.map { entry -> JSONValue in
            [
                "name": .string(entry.name), "split": .string(entry.split.rawValue), "tokens": .int(entry.tokens),
                "documents": .int(entry.documents), "text_bytes": .int(entry.textBytes),
                "sha256": .string(entry.content.hexadecimal),
            ]
        }
        var object = JSONObject([
            ("format", .string(TokenDataset.format)), ("version", 1),
            ("vocabulary_size", .int(vocabularySize)), ("vocabulary_sha256", .string(vocabulary.hexadecimal)),
            ("validation_fraction", .double(validationFraction)),
        ])
        if isConversations { object["conversations"] = true }
        object["shards"] = .array(shards)
        return object
    }
}
