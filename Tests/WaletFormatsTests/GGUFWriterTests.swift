import Foundation
import Testing
import WaletFormats
import WaletTensor

@Suite struct GGUFWriterTests {
    let folder = TemporaryFolder()

    private func type(_ id: UInt32) throws -> GGUFType { try #require(GGUFType.known(id)) }

    private func write(_ path: String, overwrites: Bool = false) throws {
        let metadata: [(key: String, value: GGUFWriter.Value)] = [
            ("general.architecture", .text("llama")), ("a.count", .uint32(7)), ("a.scale", .float32(0.5)),
            ("a.flag", .bool(true)), ("a.texts", .texts([[0xFF, 0x41], []])), ("a.numbers", .int32s([-1, 3])),
        ]
        let writer = try GGUFWriter(
            path, metadata: metadata,
            tensors: [
                GGUFWriter.Entry(name: "one", type: try type(0), dimensions: [3]),
                GGUFWriter.Entry(name: "two", type: try type(8), dimensions: [32, 2]),
            ], overwrites: overwrites)
        let floats: [Float] = [1, 2, 3]
        try floats.withUnsafeBytes { try writer.append($0) }
        // In two parts, of which the first ends within a block.
        for part in [[UInt8](repeating: 1, count: 10), [UInt8](repeating: 2, count: 58)] {
            try part.withUnsafeBytes { try writer.append($0) }
        }
        try writer.finish()
        #expect(try Data(contentsOf: URL(filePath: path)).count == writer.byteCount)
    }

    @Test func whatIsWrittenIsRead() throws {
        let path = folder.path + "/model.gguf"
        try write(path)
        let file = try GGUFFile(path)
        #expect(file.version == 3 && file.alignment == 32)
        #expect(file["a.count"]?.integer == 7 && file["a.scale"]?.number == 0.5 && file["a.flag"]?.bool == true)
        #expect(file["a.texts"]?.array?.strings == [[0xFF, 0x41], []])
        #expect(file["a.numbers"]?.array?.integers == [-1, 3])
        let tensors = file.tensors
        #expect(tensors.map(\.name) == ["one", "two"] && tensors.map(\.type.name) == ["F32", "Q8_0"])
        #expect(tensors.allSatisfy { $0.range.lowerBound % 32 == 0 })
        #expect(try file.pointer(to: #require(file.tensor("one"))).load(as: Float.self) == 1)
        #expect(try file.pointer(to: #require(file.tensor("two"))).load(fromByteOffset: 10, as: UInt8.self) == 2)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["model.gguf"])
    }

    @Test func aFileThatIsThereStays() throws {
        let path = folder.write("model.gguf", [1, 2, 3])
        #expect(says(failure { try write(path) }, path, "a name that no file has yet"))
        #expect(try Data(contentsOf: URL(filePath: path)) == Data([1, 2, 3]))
        try write(path, overwrites: true)
        #expect(try GGUFFile(path).tensors.count == 2)
        #expect(says(failure { try write(folder.path, overwrites: true) }, folder.path, "the name of a file"))
        #expect(says(failure { try write(folder.path + "/none/model.gguf") }, "a file that can be written"))
    }

    @Test func aFileThatAppearsMeanwhileStays() throws {
        let path = folder.path + "/model.gguf"
        let writer = try GGUFWriter(
            path, metadata: [], tensors: [GGUFWriter.Entry(name: "one", type: try type(0), dimensions: [1])])
        try [Float(1)].withUnsafeBytes { try writer.append($0) }
        try Data([1, 2, 3]).write(to: URL(filePath: path))
        #expect(says(failure { try writer.finish() }, path, "a name that no file has yet"))
        #expect(try Data(contentsOf: URL(filePath: path)) == Data([1, 2, 3]))
    }

    @Test func whatIsNotFinishedLeavesNothing() throws {
        do {
            let writer = try GGUFWriter(
                folder.path + "/model.gguf", metadata: [],
                tensors: [GGUFWriter.Entry(name: "one", type: try type(0), dimensions: [2])])
            try [Float(1)].withUnsafeBytes { try writer.append($0) }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test(arguments: [[33], [0, 2], [32, 1 << 40, 1 << 20], [], [32, 1, 1, 1, 1]])
    func impossibleShapesAreRefused(_ dimensions: [Int]) throws {
        let entry = GGUFWriter.Entry(name: "odd", type: try type(2), dimensions: dimensions)
        let path = folder.path + "/model.gguf"
        #expect(
            says(failure { _ = try GGUFWriter(path, metadata: [], tensors: [entry]) }, path, "odd", "\(dimensions)"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test func halfFloatsAreRoundedToTheNearest() {
        for bits in UInt16.min...UInt16.max {
            let value = HalfFloat.float(f16: bits)
            if value.isNaN {
                #expect(HalfFloat.float(f16: HalfFloat.f16(value)).isNaN)
                continue
            }
            #expect(HalfFloat.f16(value) == bits)
            guard bits & 0x7FFF < 0x7BFF else { continue }
            // Halfway to the next, which goes to the even one, and a little before and after it.
            let next = HalfFloat.float(f16: bits + 1)
            let half = value + (next - value) / 2
            #expect(HalfFloat.f16(half) == (bits % 2 == 0 ? bits : bits + 1))
            let (low, high) = bits & 0x8000 != 0 ? (half.nextUp, half.nextDown) : (half.nextDown, half.nextUp)
            #expect(HalfFloat.f16(low) == bits && HalfFloat.f16(high) == bits + 1)
        }
        #expect(HalfFloat.f16(65519.99) == 0x7BFF && HalfFloat.f16(65520) == 0x7C00)
        #expect(HalfFloat.bf16(1) == 0x3F80 && HalfFloat.bf16(Float(bitPattern: 0x3F80_8000)) == 0x3F80)
        #expect(HalfFloat.bf16(Float(bitPattern: 0x3F81_8000)) == 0x3F82 && HalfFloat.bf16(.infinity) == 0x7F80)
    }
}
