// Writes a GGUF file tensor by tensor, so that no second copy of the weights is ever in memory.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A GGUF file of version 3 that comes into being (ggml-org/ggml, docs/gguf.md).
///
/// Metadata and the list of tensors come first, so all tensors are announced before the first is written. The file has its
/// name only once ``finish()`` has flushed it to the disk; without that, nothing stays of it.
public final class GGUFWriter {
    /// A metadata value of the kinds that are written.
    public enum Value: Sendable, Equatable {
        case uint32(UInt32)
        case float32(Float)
        case bool(Bool)
        case text(String)
        /// Bytes that need not be UTF-8.
        case texts([[UInt8]])
        case int32s([Int32])
    }

    /// A tensor that will be written.
    public struct Entry: Sendable, Equatable {
        public var name: String
        public var type: GGUFType
        /// Fastest dimension first: `[columns, rows, …]`.
        public var dimensions: [Int]

        public init(name: String, type: GGUFType, dimensions: [Int]) {
            self.name = name
            self.type = type
            self.dimensions = dimensions
        }
    }

    /// What each tensor begins at a multiple of, in bytes.
    public static let alignment = 32

    /// Of the whole file.
    public let byteCount: Int
    private let path: String
    private let temporary: String
    private let overwrites: Bool
    /// Bytes of each tensor.
    private let sizes: [Int]
    private var descriptor: Int32 = -1
    private var next = 0
    /// Bytes that the tensor under way has yet to get.
    private var left = 0

    /// Begins the file with its header.
    /// - Parameter overwrites: whether a file of this name is replaced.
    /// - Throws: ``FormatError`` for a tensor whose rows are no whole blocks of its type, a file that is there already, and what
    ///   the system refuses, such as a full disk.
    public init(
        _ path: String, metadata: [(key: String, value: Value)], tensors: [Entry], overwrites: Bool = false
    ) throws(FormatError) {
        self.path = path
        self.overwrites = overwrites
        temporary = path + ".partial"
        var sizes: [Int] = []
        for tensor in tensors { sizes.append(try Self.size(of: tensor, in: path)) }
        self.sizes = sizes
        let header = Self.header(metadata, tensors, sizes)
        byteCount = sizes.reduce(header.count) { $0 + Self.padded($1) }
        try checkTarget()
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw failure() }
        try write(header)
        left = sizes.first ?? 0
    }

    deinit {
        if descriptor >= 0 {
            close(descriptor)
            unlink(temporary)
        }
    }

    /// Writes the next bytes of the tensors, in the order in which they were announced.
    /// - Precondition: they end with a tensor, or within one.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        precondition(next < sizes.count && bytes.count <= left)
        try write(bytes)
        left -= bytes.count
        guard left == 0 else { return }
        try write([UInt8](repeating: 0, count: Self.padded(sizes[next]) - sizes[next]))
        next += 1
        left = next < sizes.count ? sizes[next] : 0
    }

    /// Flushes the file to the disk and gives it its name.
    /// - Precondition: all tensors are written.
    public func finish() throws(FormatError) {
        precondition(next == sizes.count)
        guard fsync(descriptor) == 0 else { throw failure() }
        if overwrites {
            guard rename(temporary, path) == 0 else { throw failure() }
        } else if link(temporary, path) == 0 {
            // A link, unlike a renaming, fails where somebody has made a file of this name meanwhile.
            unlink(temporary)
        } else {
            guard errno != EEXIST else { throw alreadyThere() }
            // Not every file system has links.
            try checkTarget()
            guard rename(temporary, path) == 0 else { throw failure() }
        }
        close(descriptor)
        descriptor = -1
        let parent = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let folder = open(parent.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : parent, O_RDONLY | O_CLOEXEC)
        guard folder >= 0 else { throw failure() }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw failure() }
    }

    // MARK: The header

    private static func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

    private static func size(of tensor: Entry, in path: String) throws(FormatError) -> Int {
        func failure(_ expected: String) -> FormatError {
            FormatError(file: path, field: tensor.name, expected: expected, found: "\(tensor.dimensions)")
        }
        guard (1...4).contains(tensor.dimensions.count), tensor.dimensions.allSatisfy({ $0 > 0 }) else {
            throw failure("1 to 4 dimensions that are positive")
        }
        guard tensor.dimensions[0] % tensor.type.blockValues == 0 else {
            throw failure("rows of a multiple of \(tensor.type.blockValues) values for \(tensor.type.name)")
        }
        var bytes = tensor.type.blockBytes
        for factor in [tensor.dimensions[0] / tensor.type.blockValues] + tensor.dimensions.dropFirst() {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: factor)
            guard !overflow, product < 1 << 60 else { throw failure("a size below 2^60 bytes") }
            bytes = product
        }
        return bytes
    }

    private static func header(
        _ metadata: [(key: String, value: Value)], _ tensors: [Entry], _ sizes: [Int]
    ) -> [UInt8] {
        var bytes = Array("GGUF".utf8)
        bytes.append(number: UInt32(3))
        bytes.append(number: UInt64(tensors.count))
        bytes.append(number: UInt64(metadata.count))
        for (key, value) in metadata {
            bytes.append(text: key.utf8)
            bytes.append(value)
        }
        var offset = 0
        for (tensor, size) in zip(tensors, sizes) {
            bytes.append(text: tensor.name.utf8)
            bytes.append(number: UInt32(tensor.dimensions.count))
            for dimension in tensor.dimensions { bytes.append(number: UInt64(dimension)) }
            bytes.append(number: tensor.type.id)
            bytes.append(number: UInt64(offset))
            offset += padded(size)
        }
        bytes.append(contentsOf: repeatElement(0, count: padded(bytes.count) - bytes.count))
        return bytes
    }

    // MARK: The file

    private func checkTarget() throws(FormatError) {
        guard !path.isEmpty, !path.utf8.contains(0), FileSystem.kind(path) != .folder else {
            throw FormatError(file: path, expected: "the name of a file", found: path.isEmpty ? "none" : "a folder")
        }
        guard overwrites || !FileSystem.exists(path) else { throw alreadyThere() }
    }

    private func alreadyThere() -> FormatError {
        FormatError(file: path, expected: "a name that no file has yet", found: "a file")
    }

    private func write(_ bytes: [UInt8]) throws(FormatError) {
        try bytes.withUnsafeBufferPointer { bytes throws(FormatError) in try write(UnsafeRawBufferPointer(bytes)) }
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard let start = bytes.baseAddress else { return }
        var done = 0
        while done < bytes.count {
            // The system writes at most 2 GB at once.
            let count = posixWrite(descriptor, start + done, min(bytes.count - done, 1 << 30))
            if count < 0 {
                if errno == EINTR { continue }
                throw failure()
            }
            done += count
        }
    }

    private func failure() -> FormatError {
        let room = [ENOSPC, EDQUOT, EFBIG].contains(errno)
        return FormatError(
            file: path, expected: room ? "room on the disk for its \(byteCount) bytes" : "a file that can be written",
            found: FileSystem.lastError())
    }
}

private func posixWrite(_ descriptor: Int32, _ start: UnsafeRawPointer, _ count: Int) -> Int {
    write(descriptor, start, count)
}

extension [UInt8] {
    fileprivate mutating func append(number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    fileprivate mutating func append(text: some Collection<UInt8>) {
        append(number: UInt64(text.count))
        append(contentsOf: text)
    }

    fileprivate mutating func append(_ value: GGUFWriter.Value) {
        func kind(_ kind: GGUFKind) { append(number: kind.rawValue) }
        switch value {
        case .uint32(let number):
            kind(.uint32)
            append(number: number)
        case .float32(let number):
            kind(.float32)
            append(number: number.bitPattern)
        case .bool(let flag):
            kind(.bool)
            append(flag ? 1 : 0)
        case .text(let text):
            kind(.string)
            append(text: text.utf8)
        case .texts(let texts):
            kind(.array)
            kind(.string)
            append(number: UInt64(texts.count))
            for text in texts { append(text: text) }
        case .int32s(let numbers):
            kind(.array)
            kind(.int32)
            append(number: UInt64(numbers.count))
            for number in numbers { append(number: number) }
        }
    }
}
