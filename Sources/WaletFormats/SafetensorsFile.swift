// One safetensors file: a JSON header that must account for every byte, then the tensors.

/// A safetensors file (huggingface/safetensors, README "Format"), checked as strictly as the reference library does, and
/// duplicate names refused besides.
public final class SafetensorsFile: Sendable {
    /// What the numbers of a tensor are.
    public enum Element: String, Sendable, CaseIterable {
        case bool = "BOOL"
        case u8 = "U8"
        case i8 = "I8"
        case f8e4m3 = "F8_E4M3"
        case f8e5m2 = "F8_E5M2"
        case f8e8m0 = "F8_E8M0"
        case f8e4m3fnuz = "F8_E4M3FNUZ"
        case f8e5m2fnuz = "F8_E5M2FNUZ"
        case f4 = "F4"
        case f6e2m3 = "F6_E2M3"
        case f6e3m2 = "F6_E3M2"
        case i16 = "I16"
        case u16 = "U16"
        case f16 = "F16"
        case bf16 = "BF16"
        case i32 = "I32"
        case u32 = "U32"
        case f32 = "F32"
        case i64 = "I64"
        case u64 = "U64"
        case f64 = "F64"
        case c64 = "C64"

        public var bits: Int {
            switch self {
            case .f4: 4
            case .f6e2m3, .f6e3m2: 6
            case .bool, .u8, .i8, .f8e4m3, .f8e5m2, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
            case .i16, .u16, .f16, .bf16: 16
            case .i32, .u32, .f32: 32
            case .i64, .u64, .f64, .c64: 64
            }
        }
    }

    public struct Tensor: Sendable, Equatable {
        public var name: String
        public var element: Element
        /// Slowest dimension first; empty for a scalar.
        public var shape: [Int]
        /// Bytes in the file.
        public var range: Range<Int>
    }

    public static let maximumHeader = 100_000_000

    public let file: MappedFile
    /// In the order of the file's bytes.
    public let tensors: [Tensor]
    /// `__metadata__`, such as `format: pt`.
    public let metadata: [String: String]
    private let positions: [String: Int]

    /// - Parameter location: where the file is, where `path` is but what the user calls it.
    public init(_ path: String, at location: String? = nil) throws(FormatError) {
        file = try MappedFile(path, at: location)
        let bytes = file.bytes
        guard bytes.count >= 8 else {
            throw FormatError(
                file: path, field: "header", expected: "at least 8 bytes", found: "\(bytes.count) bytes")
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        guard length <= UInt64(Self.maximumHeader) else {
            throw FormatError(
                file: path, field: "header", expected: "a length of at most \(Self.maximumHeader) bytes",
                found: "\(length)")
        }
        guard length <= UInt64(bytes.count - 8) else {
            throw FormatError(
                file: path, field: "header", expected: "a length of at most the \(bytes.count - 8) bytes that follow",
                found: "\(length)")
        }
        let start = 8 + Int(length)
        var reader = HeaderReader(
            path: path, scanner: JSONScanner(UnsafeRawBufferPointer(rebasing: bytes[8..<start])), start: start,
            size: bytes.count)
        try reader.read()
        tensors = reader.tensors
        metadata = reader.metadata
        positions = reader.positions
    }

    public subscript(name: String) -> Tensor? { positions[name].map { tensors[$0] } }

    public func pointer(to tensor: Tensor) -> UnsafeRawPointer { file.pointer(at: tensor.range.lowerBound) }
}

/// Builds the list of tensors from a header.
private struct HeaderReader {
    let path: String
    var scanner: JSONScanner
    /// Offset of the data in the file, and the file's size.
    let start: Int
    let size: Int
    var tensors: [SafetensorsFile.Tensor] = []
    var metadata: [String: String] = [:]
    var positions: [String: Int] = [:]

    mutating func read() throws(FormatError) {
        do throws(ScanError) {
            try document()
        } catch {
            throw FormatError(
                file: path, field: "header", expected: "a JSON object of tensors",
                found: "at its byte \(error.offset): \(error.reason)")
        }
        if let duplicate { throw failure(duplicate, "one entry of this name", "two") }
        try checkSizes()
        try checkNamesAndCoverage()
    }

    private var duplicate: String?

    init(path: String, scanner: JSONScanner, start: Int, size: Int) {
        self.path = path
        self.scanner = scanner
        self.start = start
        self.size = size
    }

    private func failure(_ name: String, _ expected: String, _ found: String) -> FormatError {
        FormatError(file: path, field: name, expected: expected, found: found)
    }

    private mutating func document() throws(ScanError) {
        try scanner.expect(UInt8(ascii: "{"))
        var first = true
        var metadataSeen = false
        while let name = try scanner.nextKey(first: first) {
            first = false
            if name == "__metadata__" {
                if metadataSeen { duplicate = name }
                metadataSeen = true
                try readMetadata()
            } else {
                try readTensor(name)
            }
        }
        try scanner.end()
    }

    private mutating func readMetadata() throws(ScanError) {
        try scanner.expect(UInt8(ascii: "{"))
        var first = true
        while let key = try scanner.nextKey(first: first) {
            first = false
            let value = try scanner.string()
            if metadata.updateValue(value, forKey: key) != nil { duplicate = "__metadata__.\(key)" }
        }
    }

    private mutating func readTensor(_ name: String) throws(ScanError) {
        try scanner.expect(UInt8(ascii: "{"))
        var element: SafetensorsFile.Element?
        var shape: [Int]?
        var offsets: [Int]?
        var first = true
        while let key = try scanner.nextKey(first: first) {
            first = false
            switch key {
            case "dtype":
                let text = try scanner.string()
                guard let known = SafetensorsFile.Element(rawValue: text) else {
                    throw scanner.error(
                        "tensor \(name) has the dtype \(text.prefix(40)), which is none of "
                            + SafetensorsFile.Element.allCases.map(\.rawValue).joined(separator: ", "))
                }
                if element != nil { throw scanner.error("tensor \(name) has two dtypes") }
                element = known
            case "shape":
                if shape != nil { throw scanner.error("tensor \(name) has two shapes") }
                shape = try naturals(of: name, "shape")
            case "data_offsets":
                if offsets != nil { throw scanner.error("tensor \(name) has two data_offsets") }
                offsets = try naturals(of: name, "data_offsets")
            default: try scanner.skipValue()
            }
        }
        guard let element, let shape, let offsets, offsets.count == 2 else {
            throw scanner.error("tensor \(name) lacks a dtype, a shape or two data_offsets")
        }
        guard offsets[0] <= offsets[1], offsets[1] <= size - start else {
            throw scanner.error(
                "tensor \(name) has the data_offsets [\(offsets[0]), \(offsets[1])] in \(size - start) bytes of data")
        }
        tensors.append(
            SafetensorsFile.Tensor(
                name: name, element: element, shape: shape, range: start + offsets[0]..<start + offsets[1]))
    }

    private mutating func naturals(of name: String, _ field: String) throws(ScanError) -> [Int] {
        var values: [Int] = []
        guard scanner.peek() == UInt8(ascii: "[") else {
            throw scanner.error("tensor \(name) has a \(field) that is no list of whole numbers")
        }
        try scanner.expect(UInt8(ascii: "["))
        while try scanner.nextElement(first: values.isEmpty) { values.append(try scanner.natural()) }
        return values
    }

    private func checkSizes() throws(FormatError) {
        for tensor in tensors {
            guard let bits = product(tensor.shape, times: tensor.element.bits), bits % 8 == 0 else {
                throw failure(
                    tensor.name, "a size in whole bytes below 2^63",
                    "\(tensor.element.rawValue) \(tensor.shape)")
            }
            guard bits / 8 == tensor.range.count else {
                throw failure(
                    tensor.name, "\(bits / 8) bytes for \(tensor.element.rawValue) \(tensor.shape)",
                    "\(tensor.range.count)")
            }
        }
    }

    /// Each tensor begins where the one before ended, and the last ends with the file.
    private mutating func checkNamesAndCoverage() throws(FormatError) {
        func precedes(_ left: SafetensorsFile.Tensor, _ right: SafetensorsFile.Tensor) -> Bool {
            left.range.lowerBound != right.range.lowerBound
                ? left.range.lowerBound < right.range.lowerBound : left.range.upperBound < right.range.upperBound
        }
        // Writers list tensors in order, so that there is seldom anything to sort.
        if !zip(tensors, tensors.dropFirst()).allSatisfy({ !precedes($1, $0) }) { tensors.sort(by: precedes) }
        positions.reserveCapacity(tensors.count)
        for (index, tensor) in tensors.enumerated()
        where positions.updateValue(index, forKey: tensor.name) != nil {
            throw failure(tensor.name, "one tensor of this name", "two")
        }
        var end = start
        for tensor in tensors {
            guard tensor.range.lowerBound == end else {
                throw failure(
                    tensor.name, "data from byte \(end - start) on, where the tensor before ends",
                    "byte \(tensor.range.lowerBound - start)"
                        + (tensor.range.lowerBound < end ? ", inside another tensor" : ", which leaves a hole"))
            }
            end = tensor.range.upperBound
        }
        guard end == size else {
            throw FormatError(
                file: path, expected: "a file of \(end) bytes, where its last tensor ends", found: "\(size) bytes")
        }
    }
}

/// The product of all, or nil beyond 64 bits.
func product(_ dimensions: [Int], times factor: Int = 1) -> Int? {
    // A zero makes the product zero whatever the others are.
    if dimensions.contains(0) { return 0 }
    var result = factor
    for dimension in dimensions {
        let (next, overflow) = result.multipliedReportingOverflow(by: dimension)
        if overflow { return nil }
        result = next
    }
    return result
}
