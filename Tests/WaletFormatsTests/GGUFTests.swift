import Testing
import WaletFormats

@Suite struct GGUFTests {
    let folder = TemporaryFolder()

    func open(_ builder: GGUFBuilder) throws -> GGUFFile {
        try GGUFFile(folder.write("x.gguf", builder.bytes))
    }

    func error(_ change: (inout GGUFBuilder) -> Void) -> FormatError? {
        var builder = GGUFBuilder.llama
        change(&builder)
        return failure { _ = try open(builder) }
    }

    @Test(arguments: [UInt32(2), 3])
    func bothVersionsAreRead(_ version: UInt32) throws {
        var builder = GGUFBuilder.llama
        builder.version = version
        let file = try open(builder)
        #expect(file.version == Int(version) && file.keys.count == builder.metadata.count)
        #expect(file["llama.embedding_length"]?.integer == 8)
        let tensor = try #require(file.tensor("blk.0.attn_k.weight"))
        #expect(tensor.columns == 8 && tensor.rows == 4)
        #expect(file.pointer(to: tensor).loadUnaligned(fromByteOffset: 124, as: Float.self) == 31)
    }

    @Test func everyTruncationIsAnError() throws {
        var builder = GGUFBuilder.llama
        builder.tensors.removeSubrange(3...)
        let bytes = builder.bytes
        _ = try GGUFFile(folder.write("x.gguf", bytes))
        for count in 0..<bytes.count {
            let error = failure { _ = try GGUFFile(folder.write("x.gguf", Array(bytes[..<count]))) }
            #expect(error != nil, "\(count) of \(bytes.count) bytes")
        }
    }

    @Test func valuesOfAllTypesAreRead() throws {
        var builder = GGUFBuilder()
        builder.set("u8", .u8(255))
        builder.set("i8", .raw(1, [0x80]))
        builder.set("u16", .u16(65535))
        builder.set("i16", .raw(3, [0xFF, 0x7F]))
        builder.set("u32", .u32(.max))
        builder.set("i32", .i32(.min))
        builder.set("f32", .f32(1.5))
        builder.set("bool", .bool(1))
        builder.set("string", .text("é"))
        builder.set("bytes", .string([0xFF]))
        builder.set("u64", .u64(.max))
        builder.set("i64", .i64(.min))
        builder.set("f64", .raw(12, [0, 0, 0, 0, 0, 0, 0xF8, 0x3F]))
        builder.set("array", .array(8, [.text("a"), .string([0xC3]), .text("")]))
        builder.set("nested", .array(9, [.array(4, [.u32(1)]), .array(4, [])]))
        builder.set("numbers", .array(3, [.raw(3, [0xFE, 0xFF])]))
        let file = try open(builder)
        #expect(file["u8"]?.integer == 255 && file["i8"]?.integer == -128 && file["u16"]?.integer == 65535)
        #expect(file["i16"]?.integer == 32767 && file["u32"]?.integer == 4_294_967_295)
        #expect(file["i32"]?.integer == -2_147_483_648 && file["i64"]?.integer == .min)
        #expect(file["u64"]?.integer == nil && file["u64"]?.number == nil)
        #expect(file["f32"]?.number == 1.5 && file["f64"]?.number == 1.5 && file["f32"]?.integer == nil)
        #expect(file["bool"]?.bool == true && file["string"]?.text == "é" && file["bytes"]?.text == nil)
        #expect(file["array"]?.array?.strings == [[97], [0xC3], []])
        #expect(file["numbers"]?.array?.integers == [-2] && file["numbers"]?.array?.numbers == [-2])
        #expect(file["nested"]?.array?.count == 2 && file["nested"]?.array?.integers == nil)
        #expect(file["array"]?.array?.integers == nil && file["numbers"]?.array?.strings == nil)
    }

    @Test func foreignFilesAreRefused() {
        #expect(says(error { $0.magic = 0x4C4D_4747 }, "magic"))
        #expect(says(error { $0.version = 1 }, "version", "2 or 3", "found 1"))
        #expect(says(error { $0.version = 4 }, "version", "found 4"))
        #expect(says(error { $0.version = 0 }, "version", "found 0"))
        #expect(says(error { $0.version = UInt32(3).byteSwapped }, "little-endian", "big-endian"))
    }

    @Test(arguments: [1 << 31, (1 << 32) - 1, 1 << 62, 1 << 63, .max] as [UInt64])
    func countsBeyondTheFileAreRefusedBeforeAnythingIsAllocated(_ count: UInt64) {
        #expect(says(error { $0.keyCount = count }, "metadata count", "\(count)"))
        #expect(says(error { $0.tensorCount = count }, "tensor count", "\(count)"))
        var length: [UInt8] = []
        length.append(little: count)
        #expect(says(error { $0.set("s", .raw(8, length)) }, "s: expected more bytes"))
        for element: UInt8 in [0, 4, 7, 8, 9, 10] {
            #expect(says(error { $0.set("a", .raw(9, [element, 0, 0, 0] + length)) }, "a: expected at most"))
        }
        #expect(error { $0.tensors[0].dimensions = [8, count] } != nil)
        #expect(error { $0.tensors[0].dimensions = [count] } != nil)
        #expect(error { $0.tensors[0].offset = count } != nil)
        #expect(error { $0.tensors[0].offset = count & ~31 } != nil)
    }

    @Test func arraysMayNestButNotForEver() throws {
        func nested(_ depth: Int) -> GGUFBuilder.Value {
            depth == 0 ? .array(0, [.u8(1)]) : .array(9, [nested(depth - 1)])
        }
        #expect(error { $0.set("a", nested(GGUFFile.maximumDepth - 1)) } == nil)
        #expect(says(error { $0.set("a", nested(GGUFFile.maximumDepth)) }, "nested"))
        #expect(says(error { $0.set("a", nested(1000)) }, "nested"))
    }

    @Test func keysAndNamesOccurOnce() {
        #expect(says(error { $0.metadata.append($0.metadata[1]) }, "llama.block_count", "once"))
        #expect(says(error { $0.tensors.append($0.tensors[1]) }, "output_norm.weight", "two"))
        #expect(says(error { $0.metadata.append(("", .u8(0))) }, "the key after", "found 0"))
        #expect(says(error { $0.tensors[0].name = "" }, "the first tensor", "found 0"))
        #expect(error { $0.metadata.append((String(repeating: "k", count: 70_000), .u8(0))) } != nil)
        #expect(error { $0.tensors[0].name = String(repeating: "n", count: 70_000) } != nil)
    }

    @Test func unknownTypesAreNamed() {
        #expect(says(error { $0.tensors[0].type = 99 }, "token_embd.weight", "type 99", "Q4_K"))
        #expect(says(error { $0.tensors[0].type = 4 }, "type 4", "removed"))
        #expect(says(error { $0.tensors[0].type = .max }, "token_embd.weight", "type 4294967295"))
        #expect(says(error { $0.set("k", .raw(13, [0])) }, "k", "13"))
        #expect(says(error { $0.set("k", .raw(9, [13, 0, 0, 0] + [UInt8](repeating: 0, count: 8))) }, "k", "13"))
        #expect(says(error { $0.set("k", .bool(2)) }, "k", "bool"))
        #expect(says(error { $0.set("k", .array(7, [.bool(1), .bool(7)])) }, "k", "bools"))
    }

    @Test func dimensionsAreChecked() {
        #expect(says(error { $0.tensors[0].dimensions = [8, 0] }, "token_embd.weight", "found 0"))
        #expect(says(error { $0.tensors[0].dimensions = [0] }, "found 0"))
        #expect(says(error { $0.tensors[0].dimensions = [1 << 32, 1 << 32] }, "2^63"))
        #expect(says(error { $0.tensors[0].dimensions = [1 << 40, 1 << 22, 4] }, "2^63"))
        #expect(says(error { $0.tensors[0].dimensions = [1 << 62] }, "2^63"))
        #expect(says(error { $0.tensors[0].dimensions = [1, 1, 1, 1, 1] }, "at most 4", "found 5"))
        #expect(says(error { $0.tensors[0].type = 2 }, "multiple of 32", "Q4_0", "found 8"))
        #expect(says(error { $0.tensors[0].type = 12 }, "multiple of 256", "Q4_K"))
    }

    @Test func tensorsLieApartAndInside() {
        #expect(says(error { $0.tensors[1].offset = 1 }, "output_norm.weight", "multiple of 32", "found 1"))
        #expect(says(error { $0.tensors[1].offset = 0 }, "shares"))
        #expect(says(error { $0.tensors[1].offset = 32 }, "shares with token_embd.weight"))
        #expect(says(error { $0.tensors[1].offset = 1 << 20 }, "output_norm.weight", "1048576"))
        #expect(says(error { $0.tensors[1].offset = UInt64.max - 31 }, "output_norm.weight"))
        #expect(says(error { $0.tensors[10].offset = 1 << 12 }, "blk.0.ffn_down"))
    }

    @Test(arguments: [UInt32(0), 1, 3, 4, 24, 1 << 21, 1 << 31, .max])
    func oddAlignmentsAreRefused(_ alignment: UInt32) {
        #expect(says(error { $0.set("general.alignment", .u32(alignment)) }, "general.alignment", "\(alignment)"))
    }

    @Test func alignmentIsFollowedAndMustBeAnU32() throws {
        for alignment in [8, 64, 4096] {
            var builder = GGUFBuilder.llama
            builder.alignment = alignment
            builder.set("general.alignment", .u32(UInt32(alignment)))
            let file = try open(builder)
            let tensor = try #require(file.tensor("blk.0.ffn_down.weight"))
            #expect(tensor.range.lowerBound % alignment == 0)
            #expect(file.pointer(to: tensor).loadUnaligned(fromByteOffset: 4, as: Float.self) == 1)
        }
        #expect(says(error { $0.set("general.alignment", .u64(32)) }, "u32", "u64"))
        #expect(says(error { $0.set("general.alignment", .text("32")) }, "u32", "string"))
    }

    @Test func aVocabularyOfAHundredAndSixtyThousandTokensIsReadQuickly() throws {
        var builder = GGUFBuilder.llama
        let count = 163_840
        builder.set("tokenizer.ggml.tokens", .array(8, (0..<count).map { .text("token\($0)") }))
        builder.set("tokenizer.ggml.token_type", .array(5, (0..<count).map { _ in .i32(1) }))
        builder.set("tokenizer.ggml.merges", .array(8, (0..<count).map { .text("tok en\($0)") }))
        builder.set("llama.vocab_size", .u32(UInt32(count)))
        let path = folder.write("large.gguf", builder.bytes)
        let clock = ContinuousClock()
        var model: ModelFolder?
        let opening = try clock.measure { model = try ModelFolder(path) }
        let reading = try clock.measure {
            let vocabulary = try model?.tokenizerFiles().gguf
            #expect(vocabulary?.tokens.count == count && vocabulary?.merges?.last == Array("tok en163839".utf8))
        }
        print("\(count) tokens: opened in \(opening), read in \(reading)")
        #expect(opening < .seconds(3) && reading < .seconds(5))
    }
}

@Suite struct GGUFVocabularyTests {
    let folder = TemporaryFolder()

    func vocabulary(_ change: (inout GGUFBuilder) -> Void) throws -> GGUFVocabulary? {
        var builder = GGUFBuilder.llama
        change(&builder)
        return try ModelFolder(folder.write("x.gguf", builder.bytes)).tokenizerFiles().gguf
    }

    @Test func tokensMayBeAnyBytes() throws {
        let large = [UInt8](repeating: 0x61, count: 1 << 20)
        let vocabulary = try #require(
            try vocabulary {
                // Duplicates, nothing, a megabyte, half a character: what to make of them is the tokenizer's affair.
                $0.set(
                    "tokenizer.ggml.tokens",
                    .array(8, [.text("a"), .text("a"), .text(""), .string(large), .string([0xE2, 0x82])]))
                $0.set("tokenizer.ggml.token_type", .array(5, (0..<5).map { .i32($0) }))
                $0.set("tokenizer.ggml.scores", .array(6, (0..<5).map { .f32(Float($0)) }))
                $0.set("tokenizer.ggml.add_bos_token", .bool(1))
                $0.set("tokenizer.ggml.padding_token_id", .u32(77))
            })
        #expect(vocabulary.tokens == [[97], [97], [], large, [0xE2, 0x82]])
        #expect(vocabulary.types == [0, 1, 2, 3, 4] && vocabulary.scores?.last == 4)
        #expect(vocabulary.begin == 2 && vocabulary.end == 3 && vocabulary.addsBegin == true)
        #expect(vocabulary.padding == nil && vocabulary.merges == nil && vocabulary.addsEnd == nil)
    }

    @Test func listsOfAnotherLengthOrTypeAreRefused() {
        #expect(
            says(
                failure { _ = try vocabulary { $0.set("tokenizer.ggml.token_type", .array(5, [.i32(1)])) } },
                "token_type", "11", "found 1"))
        #expect(
            says(
                failure { _ = try vocabulary { $0.set("tokenizer.ggml.tokens", .array(4, [.u32(1)])) } },
                "tokens", "strings", "u32"))
        #expect(
            says(failure { _ = try vocabulary { $0.set("tokenizer.ggml.tokens", .u32(1)) } }, "tokens", "u32"))
        #expect(
            says(failure { _ = try vocabulary { $0.set("tokenizer.ggml.model", .u32(1)) } }, "model", "no string"))
        #expect(
            says(failure { _ = try vocabulary { $0.set("tokenizer.ggml.add_bos_token", .u32(1)) } }, "add_bos", "u32"))
    }
}
