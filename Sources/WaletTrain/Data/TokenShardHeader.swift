// The first bytes of a shard: what is in it, for which vocabulary, and how one sees that it is whole.

/// The header of a token shard. All numbers are little-endian.
///
///     0    8   "WALETTOK"
///     8    4   version, 1
///     12   4   bytes a token, 2 or 4
///     16   8   tokens
///     24   8   documents
///     32   8   bytes of text, as UTF-8
///     40   4   size of the vocabulary
///     44   4   1 where the documents are conversations, else 0
///     48   32  SHA-256 of the vocabulary's tokenizer.json
///     80   32  SHA-256 of everything after the header
///     112  32  SHA-256 of the 112 bytes before
///     144      the tokens; zeros up to a multiple of 8; for each document the place, 8 bytes, where it ends
///
/// In conversations the highest bit of a token says that it is read and not learned.
public struct TokenShardHeader: Sendable, Equatable {
    /// Bytes before the tokens.
    public static let size = 144
    static let magic = Array("WALETTOK".utf8)
    static let version: UInt32 = 1

    public var bytesPerToken: Int
    public var tokens: Int
    public var documents: Int
    public var textBytes: Int
    public var vocabularySize: Int
    /// Whether tokens say if they are learned.
    public var isConversations: Bool
    public var vocabulary: Checksum
    /// Of everything after the header.
    public var content: Checksum

    /// Why bytes are no header.
    struct Broken: Error, Equatable { let reason: String }

    /// Tokens as they are stored take two bytes where the vocabulary allows.
    static func bytesPerToken(vocabularySize: Int, isConversations: Bool = false) -> Int {
        vocabularySize <= 1 << (isConversations ? 15 : 16) ? 2 : 4
    }

    /// Where the documents' ends begin.
    var endsOffset: Int { (Self.size + tokens * bytesPerToken + 7) / 8 * 8 }
    /// Bytes of the whole file.
    var fileSize: Int { endsOffset + documents * 8 }

    /// The header's bytes.
    var encoded: [UInt8] {
        var bytes = Self.magic
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        append(Self.version)
        append(UInt32(bytesPerToken))
        append(UInt64(tokens))
        append(UInt64(documents))
        append(UInt64(textBytes))
        append(UInt32(vocabularySize))
        append(UInt32(isConversations ? 1 : 0))
        bytes += vocabulary.bytes
        bytes += content.bytes
        return bytes + Checksum(of: bytes).bytes
    }

    init(
        bytesPerToken: Int, tokens: Int, documents: Int, textBytes: Int, vocabularySize: Int,
        isConversations: Bool = false, vocabulary: Checksum, content: Checksum
    ) {
        self.bytesPerToken = bytesPerToken
        self.tokens = tokens
        self.documents = documents
        self.textBytes = textBytes
        self.vocabularySize = vocabularySize
        self.isConversations = isConversations
        self.vocabulary = vocabulary
        self.content = content
    }

    /// Reads a header and checks it against the size of its file.
    init(_ bytes: UnsafeRawBufferPointer, fileSize: Int) throws(Broken) {
        guard bytes.count >= Self.size else {
            throw Broken(reason: "it has \(bytes.count) bytes, fewer than a header's \(Self.size)")
        }
        guard bytes.prefix(8).elementsEqual(Self.magic) else { throw Broken(reason: "it does not begin with WALETTOK") }
        func number<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: T.Type) -> T {
            T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type))
        }
        let version = number(8, UInt32.self)
        guard version == Self.version else {
            throw Broken(reason: "its version is \(version); this program reads \(Self.version)")
        }
        guard Checksum(of: bytes[..<112]).bytes.elementsEqual(bytes[112..<144]) else {
            throw Broken(reason: "its header is damaged: the checksum does not hold")
        }
        bytesPerToken = Int(number(12, UInt32.self))
        vocabularySize = Int(number(40, UInt32.self))
        let kind = number(44, UInt32.self)
        guard kind <= 1 else { throw Broken(reason: "it is of the kind \(kind); this program reads 0 and 1") }
        isConversations = kind == 1
        guard vocabularySize > 0,
            bytesPerToken
                == Self.bytesPerToken(vocabularySize: vocabularySize, isConversations: isConversations)
        else {
            throw Broken(reason: "\(bytesPerToken) bytes a token do not go with a vocabulary of \(vocabularySize)")
        }
        // Whoever writes a checksum may still write nonsense: no count may be larger than the file can hold.
        let limit = UInt64(max(fileSize, 0))
        let tokens = number(16, UInt64.self)
        let documents = number(24, UInt64.self)
        let textBytes = number(32, UInt64.self)
        guard tokens <= limit, documents <= limit, textBytes <= UInt64(Int.max) else {
            throw Broken(reason: "\(tokens) tokens in \(documents) documents cannot be in \(fileSize) bytes")
        }
        self.tokens = Int(tokens)
        self.documents = Int(documents)
        self.textBytes = Int(textBytes)
        guard let vocabulary = Checksum(bytes: bytes[48..<80]), let content = Checksum(bytes: bytes[80..<112]) else {
            throw Broken(reason: "its checksums are cut")
        }
        self.vocabulary = vocabulary
        self.content = content
        guard self.fileSize == fileSize else {
            throw Broken(reason: "it has \(fileSize) bytes, and its header speaks of \(self.fileSize)")
        }
    }
}
