import Foundation
import Testing
import WaletFormats

@Suite struct SafetensorsTests {
    let folder = TemporaryFolder()

    func open(_ bytes: [UInt8]) throws -> SafetensorsFile {
        try SafetensorsFile(folder.write("x.safetensors", bytes))
    }

    func open(header: String, data: [UInt8] = []) throws -> SafetensorsFile {
        try open(SafetensorsBuilder.file(header: header, data: data))
    }

    var small: SafetensorsBuilder {
        var builder = SafetensorsBuilder(metadata: "{\"format\":\"pt\"}")
        builder.add("odd", "U8", [3], [1, 2, 3])
        builder.addFloats("a.weight", [2, 3])
        builder.add("none", "F16", [0, 5], [])
        builder.add("scalar", "I64", [], [7, 0, 0, 0, 0, 0, 0, 0])
        return builder
    }

    @Test func listsTensorsAtAnyAlignmentWithoutCopyingThem() throws {
        let file = try open(small.bytes)
        #expect(file.tensors.map(\.name) == ["odd", "a.weight", "none", "scalar"])
        #expect(file.metadata == ["format": "pt"])
        let weight = try #require(file["a.weight"])
        #expect(weight.element == .f32 && weight.shape == [2, 3] && weight.range.count == 24)
        #expect(file.pointer(to: weight).loadUnaligned(fromByteOffset: 20, as: Float.self) == 5)
        #expect(file["scalar"]?.shape == [] && file["none"]?.range.isEmpty == true && file["b"] == nil)
    }

    @Test func everyTruncationIsAnError() throws {
        let bytes = small.bytes
        _ = try open(bytes)
        for count in 0..<bytes.count {
            #expect(failure { _ = try open(Array(bytes[..<count])) } != nil, "\(count) bytes")
        }
        #expect(says(failure { _ = try open(bytes + [0]) }, "expected a file of \(bytes.count) bytes"))
    }

    @Test(arguments: [1 << 31, (1 << 32) - 1, 1 << 63, .max, 100_000_001, 100_000_000, 9] as [UInt64])
    func aHeaderLongerThanTheFileIsRefused(_ length: UInt64) {
        var bytes: [UInt8] = []
        bytes.append(little: length)
        bytes += Array("{}".utf8)
        #expect(says(failure { _ = try open(bytes) }, "header", "\(length)"))
    }

    @Test func spacesAroundTheHeaderAreFine() throws {
        #expect(try open(header: "  {} \n ").tensors.isEmpty)
        #expect(failure { _ = try open(header: "") } != nil)
        #expect(failure { _ = try open(header: "[]") } != nil)
        #expect(failure { _ = try open(header: "{}{}") } != nil)
    }

    @Test func aHeaderMustBeUTF8() {
        var bytes: [UInt8] = []
        let header =
            Array("{\"a".utf8) + [0xFF] + Array("\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}".utf8)
        bytes.append(little: UInt64(header.count))
        #expect(says(failure { _ = try open(bytes + header + [0]) }, "UTF-8"))
    }

    @Test(arguments: [
        // Reversed, a hole, an overlap, a late start, past the end, a wrap.
        (#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}"#, "[1, 0]"),
        (
            #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#,
            "hole"
        ),
        (
            #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
            "inside another"
        ),
        (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#, "hole"),
        (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}"#, "[1, 4]"),
        (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, "expected a file of"),
        (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[9223372036854775805,9223372036854775807]}}"#, "data_offsets"),
        (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,18446744073709551616]}}"#, "beyond 64 bits"),
        (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[-1,2]}}"#, "not negative"),
        (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0]}}"#, "data_offsets"),
        (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,1,3]}}"#, "data_offsets"),
        // Sizes.
        (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,3]}}"#, "4 bytes"),
        (#"{"a":{"dtype":"U8","shape":[-3],"data_offsets":[0,3]}}"#, "not negative"),
        (#"{"a":{"dtype":"U8","shape":[3.0],"data_offsets":[0,3]}}"#, "whole number"),
        (#"{"a":{"dtype":"U8","shape":["3"],"data_offsets":[0,3]}}"#, "whole number"),
        (#"{"a":{"dtype":"U8","shape":3,"data_offsets":[0,3]}}"#, "no list"),
        (#"{"a":{"dtype":"U8","shape":[4294967296,4294967296,16],"data_offsets":[0,3]}}"#, "2^63"),
        (#"{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,3]}}"#, "2^63"),
        (#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,3]}}"#, "whole bytes"),
        // Fields.
        (#"{"a":{"dtype":"U7","shape":[3],"data_offsets":[0,3]}}"#, "U7"),
        (#"{"a":{"dtype":7,"shape":[3],"data_offsets":[0,3]}}"#, "at its byte"),
        (#"{"a":{"shape":[3],"data_offsets":[0,3]}}"#, "lacks"),
        (#"{"a":{"dtype":"U8","data_offsets":[0,3]}}"#, "lacks"),
        (#"{"a":{"dtype":"U8","shape":[3]}}"#, "lacks"),
        (#"{"a":{"dtype":"U8","dtype":"I8","shape":[3],"data_offsets":[0,3]}}"#, "two dtypes"),
        (#"{"a":[]}"#, "at its byte"), (#"{"a":null}"#, "at its byte"),
        (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},}"#, "at its byte"),
        (#"{"a":{"dtype":"U8","shape":[3,],"data_offsets":[0,3]}}"#, "after ','"),
        (#"{"a":{"dtype":"U8","shape":[03],"data_offsets":[0,3]}}"#, "begin with 0"),
        // Names.
        (
            #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#,
            "two"
        ),
        (#"{"__metadata__":{"x":1},"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#, "at its byte"),
        (#"{"__metadata__":{"x":"1","x":"2"},"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#, "two"),
    ])
    func refuses(_ header: String, _ reason: String) {
        let error = failure { _ = try open(header: header, data: [1, 2, 3]) }
        #expect(says(error, reason, "x.safetensors"), "\(error?.description ?? "no error") for \(header)")
    }

    @Test func unknownFieldsOfATensorAreIgnored() throws {
        let header = #"{"a":{"dtype":"U8","more":{"x":[1,{"y":null}]},"shape":[3],"data_offsets":[0,3]}}"#
        #expect(try open(header: header, data: [1, 2, 3])["a"]?.shape == [3])
        let deep = String(repeating: "[", count: 1_000_000)
        #expect(failure { _ = try open(header: #"{"a":{"more":\#(deep)"#) } != nil)
    }

    @Test(arguments: SafetensorsFile.Element.allCases)
    func allTypesAreKnown(_ element: SafetensorsFile.Element) throws {
        let header = #"{"a":{"dtype":"\#(element.rawValue)","shape":[8],"data_offsets":[0,\#(element.bits)]}}"#
        let file = try open(header: header, data: [UInt8](repeating: 0, count: element.bits))
        #expect(file["a"]?.element == element)
    }

    @Test func onlyRegularFilesAreOpened() throws {
        #expect(says(failure { _ = try SafetensorsFile("/dev/random") }, "a regular file", "device"))
        #expect(says(failure { _ = try SafetensorsFile("/dev/zero") }, "a regular file", "device"))
        #expect(says(failure { _ = try SafetensorsFile(folder.path) }, "a regular file", "folder"))
        #expect(says(failure { _ = try SafetensorsFile(folder.file("absent")) }, "readable", "No such file"))
        #expect(says(failure { _ = try SafetensorsFile("a\0b") }, "zero byte"))
        let fifo = folder.file("fifo")
        try #require(mkfifo(fifo, 0o600) == 0)
        // With nobody at its other end, opening it must not wait.
        #expect(says(failure { _ = try SafetensorsFile(fifo) }, "a regular file", "FIFO"))
        #expect(says(failure { _ = try SafetensorsFile(folder.write("empty", [])) }, "8 bytes"))
    }

    @Test func aHeaderOfTwoHundredThousandTensorsIsReadQuickly() throws {
        var header = "{"
        let count = 207_360
        for index in 0..<count {
            if index > 0 { header += "," }
            header +=
                "\"model.layers.\(index / 3456).mlp.experts.\(index / 9 % 384).gate_proj.weight_\(index)\":{\"dtype\":\"U8\",\"shape\":[1,1],\"data_offsets\":[\(index),\(index + 1)]}"
        }
        let bytes = SafetensorsBuilder.file(header: header + "}", data: [UInt8](repeating: 0, count: count))
        let path = folder.write("large.safetensors", bytes)
        var read = 0
        let time = try ContinuousClock().measure { read = try SafetensorsFile(path).tensors.count }
        #expect(read == count)
        print("\(count) tensors, \(bytes.count >> 20) MB of header: \(time)")
        #expect(time < .seconds(10))
    }
}

@Suite struct MappedFileTests {
    @Test func aFileThatShrinksWhileItIsMappedEndsInAnError() throws {
        let folder = TemporaryFolder()
        let path = folder.write("a", [UInt8](repeating: 7, count: 1 << 20))
        let file = try MappedFile(path)
        try file.checkIntact()
        #expect(file.bytes[1_000_000] == 7)
        #expect(truncate(path, 100) == 0)
        // Reads of the part that is gone give zeros instead of ending the process.
        #expect(file.bytes[1_000_000] == 0)
        #expect(file.bytes[4096] == 0)
        #expect(says(failure { try file.checkIntact() }, path, "1048576 bytes", "100 bytes"))
    }

    @Test func aShrunkFileIsNoticedBeforeItIsRead() throws {
        let folder = TemporaryFolder()
        let path = folder.write("a", [UInt8](repeating: 7, count: 1 << 20))
        let file = try MappedFile(path)
        #expect(truncate(path, 4096) == 0)
        #expect(failure { try file.checkIntact() } != nil)
    }

    @Test func aModelWhoseFileShrinksSaysSo() throws {
        let folder = TemporaryFolder()
        let path = folder.write("model.gguf", GGUFBuilder.llama.bytes)
        let model = try ModelFolder(path)
        let weights = try model.weights()
        try weights.checkIntact()
        #expect(truncate(path, 64) == 0)
        _ = try model.tokenizerFiles()
        #expect(says(failure { try weights.checkIntact() }, path))
    }
}
