// The hashes of all nodes in one file, so that opening, appending and proving need not read the entries again.

/// `hashes.bin`: a header of 32 bytes, then the nodes of the tree in the order in which appending completes them, 32
/// bytes each (see ``MerklePosition``); 64 bytes an entry.
///
/// It speaks only of entries that are durable in their segments: it is written after these. Everything in it can be
/// made again from the segments.
package struct HashFile: MerkleNodes, Sendable {
    package static let name = "hashes.bin"
    package static let header = Array("walet audit hashes 1".utf8) + [UInt8](repeating: 0, count: 12)

    let file: AuditFile

    /// Opens the file for writing, or makes it.
    static func open(in folder: AuditFolder) throws(AuditError) -> HashFile {
        guard let file = try folder.file(name, .create(mode: 0o640)) else { throw .noLog(folder: folder.path) }
        let hashes = HashFile(file: file)
        if try file.size() < header.count {
            try file.truncate(to: 0)
            try file.write(header, at: 0)
        }
        try hashes.checkHeader()
        return hashes
    }

    /// Opens the file for reading; nil where there is none.
    static func read(in folder: AuditFolder) throws(AuditError) -> HashFile? {
        guard let file = try folder.file(name, .read) else { return nil }
        let hashes = HashFile(file: file)
        guard try file.size() >= header.count else { return nil }
        try hashes.checkHeader()
        return hashes
    }

    private func checkHeader() throws(AuditError) {
        guard try file.bytes(0..<Self.header.count) == Self.header else {
            throw .badHashFile(path: file.path, reason: "it does not begin as a hash file of an audit log does")
        }
    }

    /// The largest number of entries all of whose nodes are there.
    func entries() throws(AuditError) -> Int {
        MerklePosition.leaves(nodes: max(0, try file.size() - Self.header.count) / MerkleHash.byteCount)
    }

    package static func offset(ofNode position: Int) -> Int { header.count + position * MerkleHash.byteCount }

    package func node(level: Int, index: Int) throws(AuditError) -> MerkleHash {
        let offset = Self.offset(ofNode: MerklePosition.of(level: level, index: index))
        let bytes = try file.bytes(offset..<offset + MerkleHash.byteCount)
        guard let hash = MerkleHash(bytes) else {
            throw .badHashFile(path: file.path, reason: "it ends before the node of level \(level) and index \(index)")
        }
        return hash
    }

    /// Writes the nodes that appending completed after the first `entries`.
    func write(_ nodes: [MerkleHash], after entries: Int) throws(AuditError) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(nodes.count * MerkleHash.byteCount)
        for node in nodes { node.append(to: &bytes) }
        try file.write(bytes, at: Self.offset(ofNode: MerklePosition.nodes(leaves: entries)))
    }

    /// Forgets all but the first `entries`.
    func truncate(toEntries entries: Int) throws(AuditError) {
        try file.truncate(to: Self.offset(ofNode: MerklePosition.nodes(leaves: entries)))
    }
}

/// The nodes of a hash file one after the other, read in blocks.
struct HashStream {
    private let file: AuditFile
    private let end: Int
    private var buffer: [UInt8] = []
    private var position = 0
    private var offset: Int

    /// The nodes that come after the first `start` entries and before the end of the first `entries`.
    init(_ hashes: HashFile, from start: Int, entries: Int) {
        file = hashes.file
        offset = HashFile.offset(ofNode: MerklePosition.nodes(leaves: start))
        end = max(offset, HashFile.offset(ofNode: MerklePosition.nodes(leaves: entries)))
    }

    /// The next node, or nil after the last one.
    mutating func next() throws(AuditError) -> MerkleHash? {
        if position == buffer.count {
            buffer = try file.bytes(offset..<min(end, offset + 1 << 16))
            buffer.removeLast(buffer.count % MerkleHash.byteCount)
            offset += buffer.count
            position = 0
            if buffer.isEmpty { return nil }
        }
        defer { position += MerkleHash.byteCount }
        return buffer.withUnsafeBytes {
            MerkleHash(loading: UnsafeRawBufferPointer(rebasing: $0[position..<position + MerkleHash.byteCount]))
        }
    }
}
