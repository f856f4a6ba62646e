import Foundation
import Testing
import WaletFormats
import WaletModels
import WaletTensor

/// Latent attention over keys and values made from the latents, against its absorbed form on the same weights.
@Suite struct ExpandedAttentionTests {
    /// Seeded fp32 weights; `kv_b_proj` as published or, as GGUF files have it, keys transposed and values apart.
    private struct Weights: WeightSource {
        let isSplit: Bool
        let heads = 4
        let plain = 16
        let value = 16

        private final class Values {
            let start: UnsafeMutablePointer<Float>
            init(_ values: [Float]) {
                start = .allocate(capacity: values.count)
                start.initialize(from: values, count: values.count)
            }
            deinit { start.deallocate() }
        }

        private func values(_ name: String, _ count: Int, scale: Float) -> [Float] {
            var state = name.utf8.reduce(UInt64(5381)) { $0 &* 33 &+ UInt64($1) }
            return (0..<count).map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return scale * (Float(state >> 40) / Float(1 << 23) - 1)
            }
        }

        func matrix(_ module: String, rows: Int, columns: Int) throws(FormatError) -> WeightMatrix {
            func whole(_ module: String, _ rows: Int, _ columns: Int) -> [Float] {
                values(module, rows * columns, scale: 3 / Float(columns).squareRoot())
            }
            var numbers: [Float] = []
            if module.hasSuffix(".k_b_proj") || module.hasSuffix(".v_b_proj") {
                let isKey = module.hasSuffix(".k_b_proj")
                let latent = isKey ? rows / heads : columns
                let joint = whole(module.dropLast(8) + "kv_b_proj", heads * (plain + value), latent)
                func row(_ index: Int) -> ArraySlice<Float> { joint[index * latent..<(index + 1) * latent] }
                for head in 0..<heads {
                    let first = head * (plain + value)
                    if isKey {
                        for l in 0..<latent { for k in 0..<plain { numbers.append(joint[(first + k) * latent + l]) } }
                    } else {
                        for v in 0..<value { numbers += row(first + plain + v) }
                    }
                }
            } else {
                numbers = whole(module, rows, columns)
            }
            let owner = Values(numbers)
            return WeightMatrix(packing: .f32, rows: rows, columns: columns, data: owner.start, owner: owner)
        }

        func vector(_ name: String, count: Int) throws(FormatError) -> FloatBuffer {
            FloatBuffer(name.hasSuffix("bias") ? values(name, count, scale: 0.1) : [Float](repeating: 1, count: count))
        }

        func hasMatrix(_ module: String) -> Bool {
            isSplit
                ? !module.hasSuffix("kv_b_proj")
                : !module.hasSuffix(".k_b_proj") && !module.hasSuffix(".v_b_proj")
        }
        func hasVector(_ name: String) -> Bool { true }
        func checkIntact() throws(FormatError) {}
    }

    private func model(isSplit: Bool) throws -> Transformer {
        let fixture = GoldenTests.folder.appending(path: "moonlight/config.json")
        let text = try String(contentsOf: fixture, encoding: .utf8)
            .replacingOccurrences(of: "\"v_head_dim\": 12", with: "\"v_head_dim\": 16")
        let file = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString).json")
        try text.write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        return try Transformer(try ModelFolder(file.path).configuration, from: Weights(isSplit: isSplit))
    }

    private let tokens = (0..<1200).map { ($0 * 7919 + 13) % 320 }

    /// Logits after each of the last 40 tokens.
    private func logits(
        _ model: Transformer, chunk: Int, isLong: Bool, beside other: Bool = false, precision: Precision = .fast
    ) throws -> [Float] {
        let pool = try #require(ThreadPool(threads: 2))
        let space = Workspace(model.configuration, pool: pool, precision: precision, rows: 1300, logitRows: 40)
        let cache = KVCache(model.configuration, capacity: tokens.count, precision: precision)
        let second = KVCache(model.configuration, capacity: tokens.count, precision: precision)
        var result: [Float] = []
        while cache.count < tokens.count {
            let first = cache.count
            let rows = min(chunk, tokens.count - first)
            space.batch.removeAll()
            if other { space.batch.append(tokens[first..<first + min(3, rows)], to: second) }
            space.batch.append(tokens[first..<first + rows], to: cache, ofLongPrompt: isLong)
            if other { space.batch.append([1], to: second) }
            try model.forward(space)
            let begin = (other ? min(3, rows) : 0) + max(0, tokens.count - 40 - first)
            let end = (other ? min(3, rows) : 0) + rows
            if begin < end {
                let found = model.logits(ofRows: begin..<end, space)
                result += UnsafeBufferPointer(
                    start: found, count: (end - begin) * model.configuration.vocabularySize)
            }
        }
        return result
    }

    /// Root mean square of the differences.
    private func difference(_ a: [Float], _ b: [Float]) -> Double {
        (zip(a, b).reduce(0.0) { $0 + pow(Double($1.0 - $1.1), 2) } / Double(a.count)).squareRoot()
    }

    @Test(arguments: [false, true]) func agreesWithTheAbsorbedForm(isSplit: Bool) throws {
        let model = try model(isSplit: isSplit)
        let exact = try logits(model, chunk: 1200, isLong: false, precision: .exact)
        let absorbed = try logits(model, chunk: 1200, isLong: false)
        let expanded = try logits(model, chunk: 1200, isLong: true)
        #expect(exact.count == 40 * 320 && exact.count == expanded.count)
        let spread = difference(exact, [Float](repeating: 0, count: exact.count))
        // Both keep 16-bit numbers in the cache; neither may stray further from fp32 than that explains.
        let (of, ofAbsorbed) = (difference(expanded, exact), difference(absorbed, exact))
        print("expanded: \(of) from exact, absorbed: \(ofAbsorbed), of \(spread)")
        #expect(of < 0.05 * spread)
        #expect(of < 1.5 * ofAbsorbed)
        #expect(difference(absorbed, expanded) > 0, "the two forms are two")
    }

    @Test(arguments: [false, true]) func isBitwiseTheSameInAnyChunksAndBatch(isSplit: Bool) throws {
        let model = try model(isSplit: isSplit)
        let whole = try logits(model, chunk: 1200, isLong: true)
        for chunk in [1, 64, 500, 513] where chunk > 1 || !isSplit {
            #expect(try logits(model, chunk: chunk, isLong: true) == whole, "chunks of \(chunk)")
        }
        #expect(try logits(model, chunk: 700, isLong: true, beside: true) == whole)
    }

    @Test func splitAndJointProjectionsAgree() throws {
        let joint = try logits(try model(isSplit: false), chunk: 1200, isLong: true)
        let split = try logits(try model(isSplit: true), chunk: 1200, isLong: true)
        #expect(difference(joint, split) < 0.05 * difference(joint, [Float](repeating: 0, count: joint.count)))
    }
}
