// The log's own copy of its checkpoints, one note after the other.

/// `checkpoints.txt`: signed notes, each followed by an empty line.
package enum CheckpointFile {
    package static let name = "checkpoints.txt"

    /// The last whole note, and where whole notes end; what comes after was torn by a crash.
    static func last(in file: AuditFile, size: Int) throws(AuditError) -> (note: SignedCheckpoint?, end: Int) {
        // Two notes fit, one of them cut.
        let start = max(0, size - 2 * SignedCheckpoint.maximumBytes)
        let tail = try file.bytes(start..<size)
        // Blocks of lines, each closed by an empty line: text and signatures take turns.
        var blocks: [Range<Int>] = []
        var begin = 0
        for index in tail.indices.dropFirst() where tail[index] == 0x0A && tail[index - 1] == 0x0A {
            if index > begin { blocks.append(begin..<index) }
            begin = index + 1
        }
        let dash = Array("\u{2014} ".utf8)
        guard let signatures = blocks.lastIndex(where: { tail[$0].starts(with: dash) }) else {
            guard start == 0 else {
                throw .badCheckpoint(source: "the end of \(file.path)", reason: "there is no whole note in it")
            }
            return (nil, 0)
        }
        let source = "the last checkpoint in \(file.path)"
        guard signatures > 0 else { throw .badCheckpoint(source: source, reason: "it is signatures without a text") }
        let note = tail[blocks[signatures - 1].lowerBound..<blocks[signatures].upperBound]
        return (try SignedCheckpoint(parsing: note, source: source), start + blocks[signatures].upperBound + 1)
    }

    /// All notes of a file, from the front.
    struct Reader {
        private var lines: LineReader
        private let path: String
        private let end: Int
        /// How many notes were given.
        private(set) var count = 0
        /// Bytes at the end that are no whole note.
        private(set) var torn = 0

        /// - Parameter end: bytes from here on are not looked at.
        init(_ file: AuditFile, end: Int) {
            lines = LineReader(file, to: end, maximumLine: SignedCheckpoint.maximumBytes)
            path = file.path
            self.end = end
        }

        /// The next note, or nil at the end of the whole ones.
        mutating func next() throws(AuditError) -> SignedCheckpoint? {
            let start = lines.offset
            let source = Self.source(count + 1, path)
            var note: [UInt8] = []
            var hasText = false
            while let line = try lines.next() {
                if line.bytes.isEmpty {
                    if hasText {
                        let checkpoint = try SignedCheckpoint(parsing: note, source: source)
                        count += 1
                        return checkpoint
                    }
                    hasText = true
                }
                note += line.bytes + [0x0A]
                guard note.count <= SignedCheckpoint.maximumBytes else {
                    throw .badCheckpoint(
                        source: source, reason: "it has more than \(SignedCheckpoint.maximumBytes) bytes")
                }
            }
            torn = end - start
            return nil
        }

        /// Names the note that was given last.
        var source: String { Self.source(count, path) }

        private static func source(_ number: Int, _ path: String) -> String { "checkpoint \(number) of \(path)" }
    }
}
