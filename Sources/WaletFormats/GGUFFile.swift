// One GGUF file: typed metadata, a list of tensors, the tensors.

import WaletTensor

/// A GGUF file of version 2 or 3, little-endian (ggml-org/ggml, docs/gguf.md).
public final class GGUFFile: Sendable {
    public struct Tensor: Sendable, Equatable {
        public var name: String
        public var type: GGUFType
        /// Fastest dimension first, as the file has it: `[columns, rows, …]`.
        public var dimensions: [Int]
        /// Bytes in the file.
        public var range: Range<Int>

        public var columns: Int { dimension(0) }
        /// A dimension; those that the file leaves out are 1.
        public func dimension(_ index: Int) -> Int { index < dimensions.count ? dimensions[index] : 1 }
        /// The product of all dimensions but the first.
        public var rows: Int { dimensions.dropFirst().reduce(1, *) }
    }

    public static let maximumDepth = 4
    /// The names of ggml are shorter than 64 bytes; forks have longer ones.
    static let maximumName = 1024
    static let maximumKey = 65535
    static let maximumAlignment = 1 << 20

    public let file: MappedFile
    public let version: Int
    public let alignment: Int
    /// Keys in the order of the file.
    public let keys: [String]
    /// The bytes of each key with its value.
    let keyRanges: [Range<Int>]
    /// In the order of the file's list.
    public let tensors: [Tensor]
    private let values: [String: GGUFValue]
    private let positions: [String: Int]

    /// - Parameter location: where the file is, where `path` is but what the user calls it.
    public init(_ path: String, at location: String? = nil) throws(FormatError) {
        file = try MappedFile(path, at: location)
        var parser = Parser(file: file)
        try parser.parse()
        version = parser.version
        alignment = parser.alignment
        keys = parser.keys
        keyRanges = parser.keyRanges
        tensors = parser.tensors
        values = parser.values
        positions = parser.positions
    }

    public subscript(key: String) -> GGUFValue? { values[key] }

    public func tensor(_ name: String) -> Tensor? { positions[name].map { tensors[$0] } }

    public func pointer(to tensor: Tensor) -> UnsafeRawPointer { file.pointer(at: tensor.range.lowerBound) }

    private struct Parser {
        let file: MappedFile
        var reader: ByteReader
        var version = 0
        var alignment = 32
        var keys: [String] = []
        var keyRanges: [Range<Int>] = []
        var values: [String: GGUFValue] = [:]
        var tensors: [Tensor] = []
        var positions: [String: Int] = [:]

        init(file: MappedFile) {
            self.file = file
            reader = ByteReader(file.bytes, range: 0..<file.size)
        }

        func failure(_ field: String?, _ expected: String, _ found: String) -> FormatError {
            FormatError(file: file.path, field: field, expected: expected, found: found)
        }

        func ends(in what: String) -> FormatError {
            failure(what, "more bytes", "the end of the file at byte \(file.size)")
        }

        mutating func parse() throws(FormatError) {
            let (tensorCount, keyCount) = try header()
            for _ in 0..<keyCount { try keyAndValue() }
            try readAlignment()
            var offsets: [UInt64] = []
            for _ in 0..<tensorCount { offsets.append(try tensorInfo()) }
            try place(offsets)
        }

        mutating func header() throws(FormatError) -> (tensors: Int, keys: Int) {
            guard let magic = reader.integer(UInt32.self) else { throw ends(in: "magic") }
            guard magic == 0x4655_4747 else {
                throw failure("magic", "\"GGUF\"", "bytes \(String(magic.byteSwapped, radix: 16))")
            }
            guard let version = reader.integer(UInt32.self) else { throw ends(in: "version") }
            guard version & 0xFFFF != 0 || version == 0 else {
                throw failure("version", "a little-endian file", "a big-endian one, of version \(version.byteSwapped)")
            }
            guard version == 2 || version == 3 else { throw failure("version", "2 or 3", "\(version)") }
            self.version = Int(version)
            guard let tensors = reader.integer(UInt64.self), let keys = reader.integer(UInt64.self) else {
                throw ends(in: "counts")
            }
            // The least that an entry can take: an empty name or key, and the fixed fields after it.
            guard keys <= UInt64(reader.left / 13) else {
                throw failure("metadata count", "at most the \(reader.left / 13) that the file has room for", "\(keys)")
            }
            guard tensors <= UInt64(reader.left / 24) else {
                throw failure(
                    "tensor count", "at most the \(reader.left / 24) that the file has room for", "\(tensors)")
            }
            return (Int(tensors), Int(keys))
        }

        mutating func keyAndValue() throws(FormatError) {
            let start = reader.offset
            let what = keys.last.map { "the key after \($0)" } ?? "the first key"
            guard let range = reader.string() else { throw ends(in: what) }
            guard range.count > 0, range.count <= GGUFFile.maximumKey else {
                throw failure(what, "1 to \(GGUFFile.maximumKey) bytes", "\(range.count)")
            }
            guard let key = String(validating: file.bytes[range], as: UTF8.self) else {
                throw failure(what, "valid UTF-8", "other bytes")
            }
            guard let id = reader.integer(UInt32.self) else { throw ends(in: key) }
            guard let kind = GGUFKind(rawValue: id) else {
                throw failure(key, "a value type from 0 to 12", "\(id)")
            }
            let value = try value(of: key, kind, depth: 0)
            guard values.updateValue(value, forKey: key) == nil else { throw failure(key, "this key once", "twice") }
            keys.append(key)
            keyRanges.append(start..<reader.offset)
        }

        mutating func value(of key: String, _ kind: GGUFKind, depth: Int) throws(FormatError) -> GGUFValue {
            switch kind {
            case .string:
                guard let range = reader.string() else { throw ends(in: key) }
                return .string(GGUFString(file: file, range: range))
            case .array:
                return .array(try array(of: key, depth: depth))
            default:
                guard reader.left >= kind.minimumBytes else { throw ends(in: key) }
                guard let value = reader.scalar(kind) else { throw failure(key, "a bool of 0 or 1", "another byte") }
                return value
            }
        }

        mutating func array(of key: String, depth: Int) throws(FormatError) -> GGUFArray {
            guard depth < GGUFFile.maximumDepth else {
                throw failure(key, "arrays nested at most \(GGUFFile.maximumDepth) deep", "deeper ones")
            }
            guard let id = reader.integer(UInt32.self), let count = reader.integer(UInt64.self) else {
                throw ends(in: key)
            }
            guard let element = GGUFKind(rawValue: id) else {
                throw failure(key, "an element type from 0 to 12", "\(id)")
            }
            guard count <= UInt64(reader.left / element.minimumBytes) else {
                throw failure(
                    key, "at most the \(reader.left / element.minimumBytes) elements that the file has room for",
                    "\(count)")
            }
            let start = reader.offset
            switch element {
            case .string:
                for _ in 0..<count where reader.string() == nil { throw ends(in: key) }
            case .array:
                for _ in 0..<count { _ = try array(of: key, depth: depth + 1) }
            case .bool:
                for offset in start..<start + Int(count) where file.bytes[offset] > 1 {
                    throw failure(key, "bools of 0 or 1", "\(file.bytes[offset])")
                }
                _ = reader.skip(Int(count))
            default:
                // The product fits: the count was checked against the bytes that are left.
                _ = reader.skip(Int(count) * element.minimumBytes)
            }
            return GGUFArray(element: element, count: Int(count), file: file, range: start..<reader.offset)
        }

        mutating func readAlignment() throws(FormatError) {
            guard let value = values["general.alignment"] else { return }
            guard case .uint32(let number) = value else {
                throw failure("general.alignment", "an u32", "a value of type \(value.kind.name)")
            }
            guard number >= 8, number <= UInt32(GGUFFile.maximumAlignment), number & (number - 1) == 0 else {
                throw failure("general.alignment", "a power of two from 8 to \(GGUFFile.maximumAlignment)", "\(number)")
            }
            alignment = Int(number)
        }

        /// Reads a tensor's entry and returns its offset; its range is set when all are known.
        mutating func tensorInfo() throws(FormatError) -> UInt64 {
            let what = tensors.last.map { "the tensor after \($0.name)" } ?? "the first tensor"
            guard let range = reader.string() else { throw ends(in: what) }
            guard range.count > 0, range.count <= GGUFFile.maximumName else {
                throw failure(what, "a name of 1 to \(GGUFFile.maximumName) bytes", "\(range.count)")
            }
            guard let name = String(validating: file.bytes[range], as: UTF8.self) else {
                throw failure(what, "a name in valid UTF-8", "other bytes")
            }
            guard let rank = reader.integer(UInt32.self) else { throw ends(in: name) }
            guard rank <= 4 else { throw failure(name, "at most 4 dimensions", "\(rank)") }
            var dimensions: [Int] = []
            for _ in 0..<rank {
                guard let dimension = reader.integer(UInt64.self) else { throw ends(in: name) }
                guard dimension > 0, let size = Int(exactly: dimension) else {
                    throw failure(name, "dimensions of 1 to 2^63 - 1", "\(dimension)")
                }
                dimensions.append(size)
            }
            guard let id = reader.integer(UInt32.self), let offset = reader.integer(UInt64.self) else {
                throw ends(in: name)
            }
            guard let type = GGUFType.known(id) else {
                throw failure(
                    name, "a tensor type that Walet knows (\(GGUFType.supported))",
                    "type \(id)" + (GGUFType.isRemoved(id) ? ", which was removed from the format" : ""))
            }
            guard (dimensions.first ?? 1) % type.blockValues == 0 else {
                throw failure(
                    name, "rows of a multiple of \(type.blockValues) values for \(type.name)",
                    "\(dimensions.first ?? 1)")
            }
            guard let values = product(dimensions),
                case let (bytes, overflow) = (values / type.blockValues).multipliedReportingOverflow(
                    by: type.blockBytes), !overflow
            else { throw failure(name, "a size below 2^63 bytes", "\(type.name) \(dimensions)") }
            guard positions.updateValue(tensors.count, forKey: name) == nil else {
                throw failure(name, "one tensor of this name", "two")
            }
            tensors.append(Tensor(name: name, type: type, dimensions: dimensions, range: 0..<bytes))
            return offset
        }

        /// Turns offsets into ranges and checks that they are aligned, within the file, and apart.
        mutating func place(_ offsets: [UInt64]) throws(FormatError) {
            let end = reader.offset
            let start = (end + alignment - 1) / alignment * alignment
            for (index, offset) in offsets.enumerated() {
                let tensor = tensors[index]
                let bytes = tensor.range.count
                guard offset % UInt64(alignment) == 0 else {
                    throw failure(tensor.name, "an offset that is a multiple of \(alignment)", "\(offset)")
                }
                let room = file.size - start
                guard room >= bytes, offset <= UInt64(room - bytes) else {
                    throw failure(
                        tensor.name, "\(bytes) bytes within the file's \(max(0, room)) bytes of data",
                        "them at offset \(offset)")
                }
                tensors[index].range = start + Int(offset)..<start + Int(offset) + bytes
            }
            let order = tensors.indices.sorted { tensors[$0].range.lowerBound < tensors[$1].range.lowerBound }
            for (left, right) in zip(order, order.dropFirst())
            where tensors[right].range.lowerBound < tensors[left].range.upperBound {
                throw failure(
                    tensors[right].name, "bytes of its own", "bytes that it shares with \(tensors[left].name)")
            }
        }
    }
}
