// A file of tokens, mapped: nothing is copied until a batch asks for it.

import WaletFormats

/// A file of tokenized documents. ``TokenShardHeader`` says how it is laid out.
public final class TokenShard: Sendable {
    public let path: String
    public let header: TokenShardHeader
    private let file: MappedFile
    /// Where each document ends. Not left in the file: whoever cuts that must not make documents empty.
    private let ends: [Int]

    /// Opens a shard and checks its header and its documents' ends.
    /// - Throws: ``DataError/shardMissing(path:)``, ``DataError/badShard(path:reason:)``.
    public init(_ path: String) throws(DataError) {
        self.path = path
        do throws(FormatError) {
            file = try MappedFile(path)
        } catch {
            do throws(StorageError) {
                let (folder, name) = StorageFolder.parts(of: path)
                _ = try StorageFolder(folder, create: false).file(name, .read)
            } catch {
                if case .missing = error { throw .shardMissing(path: path) }
            }
            throw .badShard(path: path, reason: "it cannot be read: \(error.found)")
        }
        do throws(TokenShardHeader.Broken) {
            header = try TokenShardHeader(
                UnsafeRawBufferPointer(rebasing: file.bytes.prefix(TokenShardHeader.size)), fileSize: file.size)
        } catch {
            throw .badShard(path: path, reason: error.reason)
        }
        var ends: [Int] = []
        ends.reserveCapacity(header.documents)
        var last = 0
        for document in 0..<header.documents {
            let end = UInt64(
                littleEndian: file.bytes.loadUnaligned(
                    fromByteOffset: header.endsOffset + document * 8, as: UInt64.self))
            guard end > UInt64(last), end <= UInt64(header.tokens) else {
                throw .badShard(path: path, reason: "its document \(document) ends at \(end), after \(last)")
            }
            last = Int(end)
            ends.append(last)
        }
        guard last == header.tokens else {
            throw .badShard(path: path, reason: "its documents end at \(last), and its tokens at \(header.tokens)")
        }
        self.ends = ends
    }

    /// The places of a document's tokens, of which there is at least one.
    public func range(ofDocument document: Int) -> Range<Int> {
        (document == 0 ? 0 : ends[document - 1])..<ends[document]
    }

    /// Compares the bytes with their hash, and the tokens with the size of the vocabulary.
    /// - Throws: ``DataError/shardDamaged(path:expected:found:)``, ``DataError/badShard(path:reason:)``.
    public func verify() throws(DataError) {
        var hasher = ChecksumHasher()
        hasher.update(UnsafeRawBufferPointer(rebasing: file.bytes[TokenShardHeader.size...]))
        let found = hasher.finish()
        try checkIntact()
        guard found == header.content else { throw .shardDamaged(path: path, expected: header.content, found: found) }
        let limit = UInt32(header.vocabularySize)
        for place in 0..<header.tokens where token(at: place) >= limit {
            throw .badShard(
                path: path, reason: "its token \(place) is \(token(at: place)), in a vocabulary of \(limit)")
        }
    }

    /// - Throws: ``DataError/badShard(path:reason:)`` where the file was cut since it was opened.
    func checkIntact() throws(DataError) {
        do throws(FormatError) { try file.checkIntact() } catch {
            throw .badShard(path: path, reason: "it was cut or replaced while it was read: \(error.found)")
        }
    }

    @inline(__always)
    private func token(at place: Int) -> UInt32 {
        header.isConversations ? word(at: place) & ~readMark : word(at: place)
    }

    /// The bit of a token that is read and not learned.
    private var readMark: UInt32 { header.bytesPerToken == 2 ? 1 << 15 : 1 << 31 }

    /// Whether a token is learned; all are where the documents are no conversations.
    func isLearned(_ place: Int) -> Bool { !header.isConversations || word(at: place) & readMark == 0 }

    @inline(__always)
    private func word(at place: Int) -> UInt32 {
        let offset = TokenShardHeader.size + place * header.bytesPerToken
        if header.bytesPerToken == 2 {
            return UInt32(UInt16(littleEndian: file.bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
        }
        return UInt32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// Copies the tokens of a range.
    func copy(_ range: Range<Int>, to output: UnsafeMutablePointer<Int32>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= header.tokens)
        for (index, place) in range.enumerated() {
            // A file that is changed while it is mapped must not lead beyond an embedding.
            output[index] = Int32(truncatingIfNeeded: min(token(at: place), UInt32(header.vocabularySize) - 1))
        }
    }

    /// The tokens of a range.
    public func tokens(_ range: Range<Int>) -> [Int32] {
        [Int32](unsafeUninitializedCapacity: range.count) { buffer, count in
            if let base = buffer.baseAddress { copy(range, to: base) }
            count = range.count
        }
    }
}
