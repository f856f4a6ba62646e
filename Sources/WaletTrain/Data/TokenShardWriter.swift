// Writes one shard as documents come; it has its name only when it is whole.

/// Writes a token shard.
struct TokenShardWriter {
    private let folder: StorageFolder
    private let file: StorageFile
    private let temporary: String
    private var header: TokenShardHeader
    private var hasher = ChecksumHasher()
    private var buffer: [UInt8] = []
    private var offset = TokenShardHeader.size
    private var ends: [UInt64] = []

    let name: String
    var tokens: Int { header.tokens }

    init(
        _ name: String, in folder: StorageFolder, vocabularySize: Int, isConversations: Bool = false,
        vocabulary: Checksum
    ) throws(StorageError) {
        self.name = name
        self.folder = folder
        temporary = ".\(name).tmp"
        try folder.removeFile(temporary)
        file = try folder.file(temporary, .createNew)
        header = TokenShardHeader(
            bytesPerToken: TokenShardHeader.bytesPerToken(
                vocabularySize: vocabularySize, isConversations: isConversations), tokens: 0, documents: 0,
            textBytes: 0, vocabularySize: vocabularySize, isConversations: isConversations, vocabulary: vocabulary,
            content: vocabulary)
    }

    /// Appends a document, which has at least one token.
    /// - Parameter learned: which of its tokens are learned, in conversations; nil for all.
    mutating func append(_ document: [Int32], learned: [Bool]? = nil, textBytes: Int) throws(StorageError) {
        let mark: Int32 = header.bytesPerToken == 2 ? 1 << 15 : .min
        for (index, token) in document.enumerated() {
            let token = header.isConversations && learned?[index] == false ? token | mark : token
            if header.bytesPerToken == 2 {
                buffer.append(UInt8(truncatingIfNeeded: token))
                buffer.append(UInt8(truncatingIfNeeded: token >> 8))
            } else {
                withUnsafeBytes(of: token.littleEndian) { buffer.append(contentsOf: $0) }
            }
        }
        header.tokens += document.count
        header.documents += 1
        header.textBytes += textBytes
        ends.append(UInt64(header.tokens))
        if buffer.count >= 1 << 20 { try flush() }
    }

    private mutating func flush() throws(StorageError) {
        hasher.update(buffer)
        try file.write(buffer, at: offset)
        offset += buffer.count
        buffer.removeAll(keepingCapacity: true)
    }

    /// Makes the file durable under its name.
    mutating func finish() throws(StorageError) -> TokenShardHeader {
        buffer.append(contentsOf: [UInt8](repeating: 0, count: header.endsOffset - offset - buffer.count))
        for end in ends { withUnsafeBytes(of: end.littleEndian) { buffer.append(contentsOf: $0) } }
        try flush()
        header.content = hasher.finish()
        try file.write(header.encoded, at: 0)
        try file.synchronize()
        try folder.rename(temporary, to: name)
        try folder.synchronize()
        return header
    }
}
