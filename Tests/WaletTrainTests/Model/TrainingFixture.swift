// `Tests/Fixtures/training`: tiny models with what PyTorch made of them (`Tools/make_training_fixtures.py`).
import Foundation
import Testing
import WaletAutodiff
import WaletFormats
import WaletJSON
import WaletTrain

struct TrainingFixture {
    static let names = ["deepseek-v3", "llama", "qwen3-moe"]

    let folder: String
    let json: JSONValue

    init(_ name: String) throws {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        folder = tests.appending(path: "Fixtures/training/\(name)").path
        json = try JSONValue(parsing: Data(contentsOf: URL(filePath: folder + "/expected.json")))
    }

    func model(threads: Int = 2) throws -> TrainableModel {
        try TrainableModel(try ModelFolder(folder), try #require(Arena(threads: threads)))
    }

    func number(_ path: String...) throws -> Double {
        var value: JSONValue? = json
        for key in path { value = value?[key] }
        return try #require(value?.doubleValue, "\(path)")
    }

    func numbers(_ value: JSONValue?) throws -> [Double] {
        try #require(value?.arrayValue).map { try #require($0.doubleValue) }
    }

    var objective: TrainingObjective {
        TrainingObjective(
            balance: Float(json["options"]?["balance"]?.doubleValue ?? 0),
            prediction: Float(json["options"]?["mtp_weight"]?.doubleValue ?? 0))
    }

    func batch(_ step: Int) throws -> TrainingBatch {
        func row(_ name: String) throws -> [Int32] {
            try numbers(try #require(json[name]?.arrayValue)[step]).map { Int32($0) }
        }
        return TrainingBatch(
            tokens: try row("tokens"), targets: try row("targets"), length: Int(try number("length")))
    }

    /// The tensors of `gradients.expected`, `muonclip.expected` or `adamw.expected`.
    func tensors(_ file: String) throws -> [String: [Float]] {
        let file = try SafetensorsFile(folder + "/\(file).expected")
        return Dictionary(
            uniqueKeysWithValues: file.tensors.map { tensor in
                let pointer = file.pointer(to: tensor)
                return (
                    tensor.name,
                    (0..<tensor.range.count / 4).map { pointer.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
                )
            })
    }

    var settings: Optimizer.Settings {
        get throws {
            var settings = Optimizer.Settings()
            settings.decay = Float(try number("options", "decay"))
            settings.gradientLimit = Float(try number("options", "clip_norm"))
            settings.biasRate = Float(try number("options", "bias_rate"))
            return settings
        }
    }
}

/// The largest difference relative to the largest value, and the relative difference in the Euclidean norm.
func distances(_ ours: [Float], _ theirs: [Float]) -> (largest: Double, norm: Double) {
    #expect(ours.count == theirs.count)
    var (most, size, sum, squares) = (0.0, 1e-30, 0.0, 1e-60)
    for (a, b) in zip(ours, theirs) {
        let difference = a.isFinite ? Double(a) - Double(b) : .infinity
        most = max(most, abs(difference))
        size = max(size, Double(abs(b)))
        sum += difference * difference
        squares += Double(b) * Double(b)
    }
    return (most / size, (sum / squares).squareRoot())
}
