import Foundation
import WaletFormats

/// What a packed file is to hold, read from the source's files where it is asked for.
struct PackedContent {
    let file: PackedLayout.File
    let sources: [MappedFile]

    /// Fills a buffer with the file's bytes from an offset on.
    /// - Throws: ``FormatError`` where the source cannot be read, or is shorter than it was.
    func read(from offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) {
        guard let base = buffer.baseAddress else { return }
        let end = offset + buffer.count
        var position = offset
        if position < file.header.count {
            let count = min(end, file.header.count) - position
            file.header.withUnsafeBytes { header in
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: header[position..<position + count]))
            }
            position += count
        }
        var index = file.piece(at: position)
        while position < end {
            while index < file.pieces.count, file.pieces[index].range.upperBound <= position { index += 1 }
            let piece = index < file.pieces.count ? file.pieces[index] : nil
            if let piece, piece.range.contains(position) {
                let count = min(end, piece.range.upperBound) - position
                try read(
                    piece, from: piece.sourceOffset + position - piece.range.lowerBound, base + position - offset,
                    count)
                position += count
            } else {
                let next = min(end, piece?.range.lowerBound ?? end)
                memset(base + position - offset, 0, next - position)
                position = next
            }
        }
    }

    private func read(
        _ piece: PackedLayout.Piece, from offset: Int, _ target: UnsafeMutableRawPointer, _ count: Int
    ) throws(FormatError) {
        let source = sources[piece.source]
        var done = 0
        while done < count {
            let got = pread(source.descriptor, target + done, count - done, off_t(offset + done))
            if got < 0, errno == EINTR { continue }
            guard got > 0 else {
                let field = piece.name.isEmpty ? nil : piece.name
                throw FormatError(
                    file: source.path, field: field, expected: "\(count - done) bytes from byte \(offset + done) on",
                    found: got < 0 ? String(cString: strerror(errno)) : "the end of the file; it was cut while in use")
            }
            done += got
        }
    }

    /// What lies at a byte, for errors.
    func name(at offset: Int) -> String {
        guard offset >= file.header.count else { return "header" }
        let index = file.piece(at: offset)
        guard index < file.pieces.count, file.pieces[index].range.contains(offset) else { return "padding" }
        return file.pieces[index].name.isEmpty ? "contents" : file.pieces[index].name
    }

    // MARK: What our reader says of it

    /// Compares what the format's reader finds in a file with what is to be there: each tensor's name, type, shape and place,
    /// and that there is no other.
    /// - Parameter location: where the file is, which has not its name yet.
    func checkStructure(_ path: String, at location: String) throws(FormatError) {
        switch file.format {
        case .plain: return
        case .safetensors:
            let read = try SafetensorsFile(path, at: location)
            try check(path, read.tensors.count, file.pieces.count + file.fillers) { name in
                read[name].map { ($0.element.rawValue, $0.shape, $0.range) }
            }
        case .gguf:
            let read = try GGUFFile(path, at: location)
            try check(path, read.tensors.count, file.pieces.count) { name in
                read.tensor(name).map { ($0.type.name, $0.dimensions, $0.range) }
            }
        }
    }

    private func check(
        _ path: String, _ count: Int, _ expected: Int,
        _ tensor: (_ name: String) -> (element: String, shape: [Int], range: Range<Int>)?
    ) throws(FormatError) {
        guard count == expected else {
            throw FormatError(file: path, expected: "\(expected) tensors", found: "\(count)")
        }
        for piece in file.pieces {
            guard let found = tensor(piece.name) else {
                throw FormatError(file: path, field: piece.name, expected: "this tensor", found: "none of this name")
            }
            guard found.element == piece.element, found.shape == piece.shape, found.range == piece.range else {
                throw FormatError(
                    file: path, field: piece.name, expected: "\(piece.element) \(piece.shape) in bytes \(piece.range)",
                    found: "\(found.element) \(found.shape) in bytes \(found.range)")
            }
        }
    }
}
