import Foundation
import WaletFormats

/// A folder that goes away with the object.
final class TemporaryFolder {
    let path: String

    init() {
        path = FileManager.default.temporaryDirectory.appending(path: "walet-formats-\(UUID().uuidString)").path
        try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) -> String {
        let path = file(name)
        try! Data(bytes).write(to: URL(filePath: path))
        return path
    }

    @discardableResult
    func write(_ name: String, _ text: String) -> String { write(name, Array(text.utf8)) }
}

extension [UInt8] {
    mutating func append(little value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// A length of 64 bits, then the bytes.
    mutating func append(string: String) {
        append(little: UInt64(string.utf8.count))
        append(contentsOf: Array(string.utf8))
    }
}

/// Writes safetensors, right or wrong.
struct SafetensorsBuilder {
    var entries: [(name: String, dtype: String, shape: [Int], bytes: [UInt8])] = []
    var metadata: String?

    mutating func add(_ name: String, _ dtype: String, _ shape: [Int], _ bytes: [UInt8]) {
        entries.append((name, dtype, shape, bytes))
    }

    /// Floats that count up.
    mutating func addFloats(_ name: String, _ shape: [Int]) {
        var bytes: [UInt8] = []
        for index in 0..<shape.reduce(1, *) { bytes.append(little: Float(index).bitPattern) }
        add(name, "F32", shape, bytes)
    }

    var bytes: [UInt8] {
        var header = metadata.map { "{\"__metadata__\":\($0)" } ?? "{"
        var data: [UInt8] = []
        for entry in entries {
            if header.utf8.count > 1 { header += "," }
            let end = data.count + entry.bytes.count
            header +=
                "\"\(entry.name)\":{\"dtype\":\"\(entry.dtype)\",\"shape\":\(entry.shape),\"data_offsets\":[\(data.count),\(end)]}"
            data += entry.bytes
        }
        return Self.file(header: header + "}", data: data)
    }

    static func file(header: String, data: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(little: UInt64(header.utf8.count))
        return bytes + Array(header.utf8) + data
    }
}

/// Writes GGUF, right or wrong.
struct GGUFBuilder {
    indirect enum Value {
        case u8(UInt8), u16(UInt16), u32(UInt32), i32(Int32), u64(UInt64), i64(Int64), f32(Float), bool(UInt8)
        case string([UInt8])
        case array(UInt32, [Value])
        /// A type number and the bytes after it.
        case raw(UInt32, [UInt8])

        static func text(_ text: String) -> Value { .string(Array(text.utf8)) }

        var type: UInt32 {
            switch self {
            case .u8: 0
            case .u16: 2
            case .u32: 4
            case .i32: 5
            case .f32: 6
            case .bool: 7
            case .string: 8
            case .array: 9
            case .u64: 10
            case .i64: 11
            case .raw(let type, _): type
            }
        }

        func append(to bytes: inout [UInt8]) {
            switch self {
            case .u8(let value): bytes.append(value)
            case .u16(let value): bytes.append(little: value)
            case .u32(let value): bytes.append(little: value)
            case .i32(let value): bytes.append(little: value)
            case .u64(let value): bytes.append(little: value)
            case .i64(let value): bytes.append(little: value)
            case .f32(let value): bytes.append(little: value.bitPattern)
            case .bool(let value): bytes.append(value)
            case .string(let text):
                bytes.append(little: UInt64(text.count))
                bytes += text
            case .array(let element, let values):
                bytes.append(little: element)
                bytes.append(little: UInt64(values.count))
                for value in values { value.append(to: &bytes) }
            case .raw(_, let raw): bytes += raw
            }
        }
    }

    struct Tensor {
        var name: String
        var type: UInt32
        var dimensions: [UInt64]
        var bytes: [UInt8]
        var offset: UInt64?
    }

    var magic: UInt32 = 0x4655_4747
    var version: UInt32 = 3
    var tensorCount: UInt64?
    var keyCount: UInt64?
    var metadata: [(key: String, value: Value)] = []
    var tensors: [Tensor] = []
    var alignment = 32

    mutating func set(_ key: String, _ value: Value) {
        metadata.removeAll { $0.key == key }
        metadata.append((key, value))
    }

    mutating func addFloats(_ name: String, _ dimensions: [UInt64]) {
        var bytes: [UInt8] = []
        for index in 0..<dimensions.reduce(1, *) { bytes.append(little: Float(index).bitPattern) }
        tensors.append(Tensor(name: name, type: 0, dimensions: dimensions, bytes: bytes))
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(little: magic)
        bytes.append(little: version)
        bytes.append(little: tensorCount ?? UInt64(tensors.count))
        bytes.append(little: keyCount ?? UInt64(metadata.count))
        for (key, value) in metadata {
            bytes.append(string: key)
            bytes.append(little: value.type)
            value.append(to: &bytes)
        }
        var data: [UInt8] = []
        for tensor in tensors {
            while data.count % alignment != 0 { data.append(0) }
            bytes.append(string: tensor.name)
            bytes.append(little: UInt32(tensor.dimensions.count))
            for dimension in tensor.dimensions { bytes.append(little: dimension) }
            bytes.append(little: tensor.type)
            bytes.append(little: tensor.offset ?? UInt64(data.count))
            data += tensor.bytes
        }
        while bytes.count % alignment != 0 { bytes.append(0) }
        return bytes + data
    }

    /// A llama of one layer with 8 dimensions, 2 heads, 11 tokens.
    static var llama: GGUFBuilder {
        var builder = GGUFBuilder()
        builder.set("general.architecture", .text("llama"))
        builder.set("llama.block_count", .u32(1))
        builder.set("llama.context_length", .u64(64))
        builder.set("llama.embedding_length", .u16(8))
        builder.set("llama.feed_forward_length", .i32(12))
        builder.set("llama.attention.head_count", .u8(2))
        builder.set("llama.attention.head_count_kv", .i64(1))
        builder.set("llama.attention.layer_norm_rms_epsilon", .f32(1e-5))
        builder.set("llama.rope.freq_base", .f32(10_000))
        builder.set("tokenizer.ggml.model", .text("gpt2"))
        builder.set(
            "tokenizer.ggml.tokens",
            .array(8, (0..<10).map { .text("t\($0)") } + [.string([0xFF, 0xFE])]))
        builder.set("tokenizer.ggml.token_type", .array(5, (0..<11).map { _ in .i32(1) }))
        builder.set("tokenizer.ggml.eos_token_id", .u32(3))
        builder.set("tokenizer.ggml.bos_token_id", .u32(2))
        builder.addFloats("token_embd.weight", [8, 11])
        builder.addFloats("output_norm.weight", [8])
        builder.addFloats("blk.0.attn_norm.weight", [8])
        builder.addFloats("blk.0.ffn_norm.weight", [8])
        builder.addFloats("blk.0.attn_q.weight", [8, 8])
        builder.addFloats("blk.0.attn_k.weight", [8, 4])
        builder.addFloats("blk.0.attn_v.weight", [8, 4])
        builder.addFloats("blk.0.attn_output.weight", [8, 8])
        builder.addFloats("blk.0.ffn_gate.weight", [8, 12])
        builder.addFloats("blk.0.ffn_up.weight", [8, 12])
        builder.addFloats("blk.0.ffn_down.weight", [12, 8])
        return builder
    }
}

/// The error that an action throws, or nil.
func failure(_ action: () throws -> Void) -> FormatError? {
    do {
        try action()
        return nil
    } catch {
        return error as? FormatError
    }
}

/// Whether a text says all of these.
func says(_ error: FormatError?, _ parts: String...) -> Bool {
    guard let error else { return false }
    return parts.allSatisfy { error.description.contains($0) }
}

/// Numbers from a seed, the same on every machine.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
