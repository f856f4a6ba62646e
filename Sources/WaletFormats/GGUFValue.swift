// Metadata values of a GGUF file. Arrays stay where they lie and are decoded when asked for.

/// The value of a metadata key.
public enum GGUFValue: Sendable {
    case uint8(UInt8)
    case int8(Int8)
    case uint16(UInt16)
    case int16(Int16)
    case uint32(UInt32)
    case int32(Int32)
    case uint64(UInt64)
    case int64(Int64)
    case float32(Float)
    case float64(Double)
    case bool(Bool)
    case string(GGUFString)
    case array(GGUFArray)

    public var kind: GGUFKind {
        switch self {
        case .uint8: .uint8
        case .int8: .int8
        case .uint16: .uint16
        case .int16: .int16
        case .uint32: .uint32
        case .int32: .int32
        case .uint64: .uint64
        case .int64: .int64
        case .float32: .float32
        case .float64: .float64
        case .bool: .bool
        case .string: .string
        case .array: .array
        }
    }

    /// The number where this is an integer of any width that fits; files use various widths for the same key.
    public var integer: Int? {
        switch self {
        case .uint8(let value): Int(value)
        case .int8(let value): Int(value)
        case .uint16(let value): Int(value)
        case .int16(let value): Int(value)
        case .uint32(let value): Int(value)
        case .int32(let value): Int(value)
        case .uint64(let value): Int(exactly: value)
        case .int64(let value): Int(value)
        default: nil
        }
    }

    /// The number where this is one.
    public var number: Double? {
        switch self {
        case .float32(let value): Double(value)
        case .float64(let value): value
        default: integer.map(Double.init)
        }
    }

    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The text, where this is a string of valid UTF-8.
    public var text: String? {
        if case .string(let value) = self { value.text } else { nil }
    }

    public var array: GGUFArray? {
        if case .array(let value) = self { value } else { nil }
    }
}

/// The types of metadata values, by their numbers in the file.
public enum GGUFKind: UInt32, Sendable {
    case uint8 = 0
    case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    public var name: String {
        switch self {
        case .uint8: "u8"
        case .int8: "i8"
        case .uint16: "u16"
        case .int16: "i16"
        case .uint32: "u32"
        case .int32: "i32"
        case .float32: "f32"
        case .bool: "bool"
        case .string: "string"
        case .array: "array"
        case .uint64: "u64"
        case .int64: "i64"
        case .float64: "f64"
        }
    }

    /// Bytes of a value, or the least that it can take.
    var minimumBytes: Int {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64, .string: 8
        case .array: 12
        }
    }
}

/// Bytes that should be UTF-8 and need not be: a vocabulary has tokens that are parts of characters.
public struct GGUFString: Sendable {
    fileprivate let file: MappedFile
    fileprivate let range: Range<Int>

    init(file: MappedFile, range: Range<Int>) {
        self.file = file
        self.range = range
    }

    public var bytes: [UInt8] { Array(file.bytes[range]) }
    public var count: Int { range.count }
    public var text: String? { String(validating: file.bytes[range], as: UTF8.self) }
}

/// An array as it lies in the file, checked when the file was opened.
public struct GGUFArray: Sendable {
    public let element: GGUFKind
    public let count: Int
    let file: MappedFile
    /// The elements' bytes.
    let range: Range<Int>

    init(element: GGUFKind, count: Int, file: MappedFile, range: Range<Int>) {
        self.element = element
        self.count = count
        self.file = file
        self.range = range
    }

    /// The strings as bytes, or nil where the elements are something else.
    public var strings: [[UInt8]]? {
        guard element == .string else { return nil }
        var reader = ByteReader(file.bytes, range: range)
        var strings: [[UInt8]] = []
        strings.reserveCapacity(count)
        for _ in 0..<count {
            // Lengths were checked once; a file that has changed since must still not lead out of it.
            guard let string = reader.string() else { return nil }
            strings.append(Array(file.bytes[string]))
        }
        return strings
    }

    /// Calls `body` with the bytes of each string, without copying them; false where these are no strings.
    public func forEachString(_ body: (_ index: Int, _ bytes: UnsafeRawBufferPointer) -> Void) -> Bool {
        guard element == .string else { return false }
        var reader = ByteReader(file.bytes, range: range)
        for index in 0..<count {
            guard let string = reader.string() else { return false }
            body(index, UnsafeRawBufferPointer(rebasing: file.bytes[string]))
        }
        return true
    }

    /// The numbers, or nil where the elements are no integers that fit.
    public var integers: [Int]? {
        var integers: [Int] = []
        var reader = ByteReader(file.bytes, range: range)
        guard element != .array, element != .string else { return nil }
        integers.reserveCapacity(count)
        for _ in 0..<count {
            guard let value = reader.scalar(element)?.integer else { return nil }
            integers.append(value)
        }
        return integers
    }

    /// The numbers, or nil where the elements are none.
    public var numbers: [Double]? {
        var numbers: [Double] = []
        var reader = ByteReader(file.bytes, range: range)
        guard element != .array, element != .string else { return nil }
        numbers.reserveCapacity(count)
        for _ in 0..<count {
            guard let value = reader.scalar(element)?.number else { return nil }
            numbers.append(value)
        }
        return numbers
    }

    /// The numbers as floats.
    public var floats: [Float]? { numbers?.map(Float.init) }
}

/// Steps through bytes and never past their end.
struct ByteReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var offset: Int
    let end: Int

    init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>) {
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    var left: Int { end - offset }

    mutating func integer<Number: FixedWidthInteger>(_ type: Number.Type) -> Number? {
        let count = MemoryLayout<Number>.size
        guard left >= count else { return nil }
        defer { offset += count }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    mutating func skip(_ count: Int) -> Bool {
        guard count >= 0, count <= left else { return false }
        offset += count
        return true
    }

    /// The bytes of a string: a u64 length, then as many bytes.
    mutating func string() -> Range<Int>? {
        guard let length = integer(UInt64.self), length <= UInt64(left) else { return nil }
        defer { offset += Int(length) }
        return offset..<offset + Int(length)
    }

    /// A value that is neither string nor array.
    mutating func scalar(_ kind: GGUFKind) -> GGUFValue? {
        switch kind {
        case .uint8: integer(UInt8.self).map(GGUFValue.uint8)
        case .int8: integer(Int8.self).map(GGUFValue.int8)
        case .uint16: integer(UInt16.self).map(GGUFValue.uint16)
        case .int16: integer(Int16.self).map(GGUFValue.int16)
        case .uint32: integer(UInt32.self).map(GGUFValue.uint32)
        case .int32: integer(Int32.self).map(GGUFValue.int32)
        case .uint64: integer(UInt64.self).map(GGUFValue.uint64)
        case .int64: integer(Int64.self).map(GGUFValue.int64)
        case .float32: integer(UInt32.self).map { .float32(Float(bitPattern: $0)) }
        case .float64: integer(UInt64.self).map { .float64(Double(bitPattern: $0)) }
        case .bool: integer(UInt8.self).flatMap { $0 < 2 ? .bool($0 == 1) : nil }
        case .string, .array: nil
        }
    }
}
