// Writes a safetensors file tensor by tensor, so that no second copy of the weights is ever in memory.

import WaletJSON

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A safetensors file that comes into being (huggingface/safetensors, README "Format").
///
/// The header comes first, so all tensors are announced before the first is written. The file has its name only once
/// ``finish()`` has flushed it to the disk; whoever reads the folder never sees half of it.
public final class SafetensorsWriter {
    /// A tensor that will be written.
    public struct Entry: Sendable, Equatable {
        public var name: String
        public var element: SafetensorsFile.Element
        /// Slowest dimension first.
        public var shape: [Int]

        public init(name: String, element: SafetensorsFile.Element, shape: [Int]) {
            self.name = name
            self.element = element
            self.shape = shape
        }

        var bytes: Int { shape.reduce(1, *) * element.bits / 8 }
    }

    private let path: String
    private let temporary: String
    private let entries: [Entry]
    private var descriptor: Int32
    private var next = 0

    /// Begins the file with its header.
    /// - Throws: ``FormatError`` for what the system refuses, such as a full disk.
    public init(_ path: String, _ entries: [Entry], metadata: [String: String] = ["format": "pt"]) throws(FormatError) {
        self.path = path
        self.entries = entries
        temporary = path + ".partial"
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else {
            throw FormatError(file: path, expected: "a file that can be written", found: FileSystem.lastError())
        }
        let header = Self.header(entries, metadata: metadata)
        try header.withUnsafeBufferPointer { header throws(FormatError) in try write(UnsafeRawBufferPointer(header)) }
    }

    /// What a file of some tensors begins with: the length of the header, and the header.
    /// - Parameters:
    ///   - metadata: `__metadata__`; left out where it is empty.
    ///   - alignment: what the data begins at a multiple of, itself a multiple of eight.
    public static func header(
        _ entries: [Entry], metadata: [String: String] = ["format": "pt"], alignment: Int = 8
    ) -> [UInt8] {
        var header = JSONObject()
        if !metadata.isEmpty {
            header["__metadata__"] = .object(
                JSONObject(metadata.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
        }
        var offset = 0
        for entry in entries {
            header[entry.name] = .object(
                JSONObject([
                    ("dtype", .string(entry.element.rawValue)), ("shape", .array(entry.shape.map { .int($0) })),
                    ("data_offsets", .array([.int(offset), .int(offset + entry.bytes)])),
                ]))
            offset += entry.bytes
        }
        var text = Array(JSONValue.object(header).text().utf8)
        let length = (8 + text.count + alignment - 1) / alignment * alignment - 8
        text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: length - text.count))
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
    }

    deinit {
        if descriptor >= 0 {
            close(descriptor)
            unlink(temporary)
        }
    }

    /// Writes the next announced tensor.
    /// - Precondition: exactly its bytes, little-endian.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        precondition(next < entries.count && bytes.count == entries[next].bytes)
        next += 1
        try write(bytes)
    }

    /// Flushes the file to the disk and gives it its name.
    /// - Precondition: all tensors are written.
    public func finish() throws(FormatError) {
        precondition(next == entries.count)
        guard fsync(descriptor) == 0, rename(temporary, path) == 0 else { throw failure() }
        close(descriptor)
        descriptor = -1
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        var done = 0
        while done < bytes.count {
            // The system writes at most 2 GB at once.
            let count = posixWrite(descriptor, bytes.baseAddress! + done, min(bytes.count - done, 1 << 30))
            if count < 0 {
                if errno == EINTR { continue }
                throw failure()
            }
            done += count
        }
    }

    private func failure() -> FormatError {
        FormatError(file: path, expected: "a file that can be written", found: FileSystem.lastError())
    }
}

private func posixWrite(_ descriptor: Int32, _ start: UnsafeRawPointer, _ count: Int) -> Int {
    write(descriptor, start, count)
}

/// A small file that is there as a whole or not at all.
public enum AtomicFile {
    /// - Throws: ``FormatError`` for what the system refuses; what was there before then stays.
    public static func write(_ bytes: [UInt8], to path: String) throws(FormatError) {
        let temporary = path + ".partial"
        func failure() -> FormatError {
            FormatError(file: path, expected: "a file that can be written", found: FileSystem.lastError())
        }
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw failure() }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { posixWrite(descriptor, $0.baseAddress! + done, $0.count - done) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                let error = failure()
                close(descriptor)
                unlink(temporary)
                throw error
            }
            done += count
        }
        guard fsync(descriptor) == 0, close(descriptor) == 0, rename(temporary, path) == 0 else { throw failure() }
    }
}
