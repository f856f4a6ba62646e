// What a run says of itself, one JSON object a line. Nothing in it depends on the clock, so that a run that was resumed
// writes the same file as one that was not.

import WaletJSON

/// A line of `metrics.jsonl`.
public enum MetricsRecord: Sendable, Equatable {
    case step(StepMetrics)
    case validation(ValidationMetrics)
    case sample(SampleMetrics)
    case policy(PolicyMetrics)
    case policyValidation(PolicyValidationMetrics)

    /// The step after which it was taken.
    public var step: Int {
        switch self {
        case .step(let metrics): metrics.step
        case .validation(let metrics): metrics.step
        case .sample(let metrics): metrics.step
        case .policy(let metrics): metrics.step
        case .policyValidation(let metrics): metrics.step
        }
    }

    /// The record as its line in `metrics.jsonl`, without the end of the line.
    public var text: String { json.text(.compact) }
}

/// What an optimizer step came to.
public struct StepMetrics: Sendable, Equatable {
    public var step: Int
    /// Tokens trained on so far.
    public var tokens: Int
    /// Mean loss of the batch's targets, in nats.
    public var loss: Double
    /// The same in bits a byte of text.
    public var bitsPerByte: Double
    public var learningRate: Double
    /// Norm of all gradients before it is limited.
    public var gradientNorm: Double
    /// Losses beside the main one, in nats, where there are any.
    public var balanceLoss: Double?
    public var predictionLoss: Double?
    /// Largest attention logit of each layer, before QK-Clip. [layers]
    public var maximumLogits: [Double]
    /// How many heads QK-Clip changed in each layer. [layers]
    public var clippedHeads: [Int]
    /// Tokens that each routed expert took, for each layer that has experts. [sparse layers][experts]
    public var expertTokens: [[Int]]
    /// Bytes that the processes of the run sent each other for the step; nil where there is one alone.
    public var sentBytes: Int?
    /// How often they exchanged something for it.
    public var exchanges: Int?

    public init(
        step: Int, tokens: Int, loss: Double, bitsPerByte: Double, learningRate: Double, gradientNorm: Double,
        balanceLoss: Double? = nil, predictionLoss: Double? = nil, maximumLogits: [Double] = [],
        clippedHeads: [Int] = [], expertTokens: [[Int]] = [], sentBytes: Int? = nil, exchanges: Int? = nil
    ) {
        self.step = step
        self.tokens = tokens
        self.loss = loss
        self.bitsPerByte = bitsPerByte
        self.learningRate = learningRate
        self.gradientNorm = gradientNorm
        self.balanceLoss = balanceLoss
        self.predictionLoss = predictionLoss
        self.maximumLogits = maximumLogits
        self.clippedHeads = clippedHeads
        self.expertTokens = expertTokens
        self.sentBytes = sentBytes
        self.exchanges = exchanges
    }

    /// Experts that took no token, over all layers.
    public var deadExperts: Int { expertTokens.reduce(0) { $0 + $1.count { $0 == 0 } } }

    /// The busiest expert's tokens by the mean of its layer's, of the layer in which that is largest; nil where no layer
    /// has experts. DeepSeek-V3's MaxVio (arXiv 2408.15664, section 4.1) is one less.
    public var largestExpertLoad: Double? {
        expertTokens.compactMap { layer in
            let sum = layer.reduce(0.0) { $0 + Double($1) }
            guard let largest = layer.max(), sum > 0 else { return nil }
            return Double(largest) * Double(layer.count) / sum
        }.max()
    }
}

/// A measurement on the validation split.
public struct ValidationMetrics: Sendable, Equatable {
    public var step: Int
    public var tokens: Int
    /// Mean loss, in nats.
    public var loss: Double
    public var bitsPerByte: Double

    public init(step: Int, tokens: Int, loss: Double, bitsPerByte: Double) {
        self.step = step
        self.tokens = tokens
        self.loss = loss
        self.bitsPerByte = bitsPerByte
    }
}

/// Text that the model wrote at a step.
public struct SampleMetrics: Sendable, Equatable {
    public var step: Int
    public var prompt: String
    public var text: String

    public init(step: Int, prompt: String, text: String) {
        self.step = step
        self.prompt = prompt
        self.text = text
    }
}

// MARK: JSON

/// The members of a record, with errors that name them.
struct RecordFields {
    struct Broken: Error { let reason: String }

    let object: JSONObject

    init(_ line: UnsafeRawBufferPointer) throws(Broken) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: line, maximumDepth: 8) } catch {
            throw Broken(reason: error.description)
        }
        guard let object = value.objectValue else { throw Broken(reason: "it is no JSON object") }
        self.object = object
    }

    private func wrong(_ key: String, _ expected: String) -> Broken {
        Broken(reason: "\"\(key)\" is \(object[key]?.kind ?? "missing"), expected \(expected)")
    }

    func text(_ key: String) throws(Broken) -> String {
        guard let value = object[key]?.stringValue else { throw wrong(key, "a string") }
        return value
    }

    func count(_ key: String) throws(Broken) -> Int {
        guard let value = object[key]?.intValue, value >= 0 else { throw wrong(key, "a count") }
        return value
    }

    func number(_ key: String) throws(Broken) -> Double {
        guard let value = object[key].flatMap(Self.number) else { throw wrong(key, "a number") }
        return value
    }

    func optionalCount(_ key: String) throws(Broken) -> Int? { object[key] == nil ? nil : try count(key) }

    func optionalNumber(_ key: String) throws(Broken) -> Double? {
        object[key] == nil ? nil : try number(key)
    }

    func numbers(_ key: String) throws(Broken) -> [Double] {
        guard let value = object[key] else { return [] }
        guard let numbers = value.arrayValue?.compactMap(Self.number), numbers.count == value.arrayValue?.count else {
            throw wrong(key, "an array of numbers")
        }
        return numbers
    }

    func counts(_ key: String) throws(Broken) -> [Int] {
        guard let value = object[key] else { return [] }
        guard let counts = Self.counts(value) else { throw wrong(key, "an array of counts") }
        return counts
    }

    func tables(_ key: String) throws(Broken) -> [[Int]] {
        guard let value = object[key] else { return [] }
        guard let rows = value.arrayValue?.compactMap(Self.counts), rows.count == value.arrayValue?.count else {
            throw wrong(key, "an array of arrays of counts")
        }
        return rows
    }

    private static func counts(_ value: JSONValue) -> [Int]? {
        guard let values = value.arrayValue else { return nil }
        // Counts are of tokens; a sum of any of them must not overflow.
        let counts = values.compactMap(\.intValue).filter { $0 >= 0 && $0 < 1 << 40 }
        return counts.count == values.count && counts.count < 1 << 16 ? counts : nil
    }

    /// JSON has no spelling for what is not finite, and a loss may be that.
    static func number(_ value: JSONValue) -> Double? {
        switch value.stringValue {
        case "nan": .nan
        case "inf": .infinity
        case "-inf": -.infinity
        case nil: value.doubleValue
        default: nil
        }
    }

    static func json(_ value: Double) -> JSONValue {
        value.isFinite ? .double(value) : .string(value.isNaN ? "nan" : value < 0 ? "-inf" : "inf")
    }
}

extension MetricsRecord {
    init(line: UnsafeRawBufferPointer) throws(RecordFields.Broken) {
        let fields = try RecordFields(line)
        let step = try fields.count("step")
        switch try fields.text("kind") {
        case "step":
            self = .step(
                StepMetrics(
                    step: step, tokens: try fields.count("tokens"), loss: try fields.number("loss"),
                    bitsPerByte: try fields.number("bits_per_byte"),
                    learningRate: try fields.number("learning_rate"),
                    gradientNorm: try fields.number("gradient_norm"),
                    balanceLoss: try fields.optionalNumber("balance_loss"),
                    predictionLoss: try fields.optionalNumber("prediction_loss"),
                    maximumLogits: try fields.numbers("max_logits"),
                    clippedHeads: try fields.counts("clipped_heads"),
                    expertTokens: try fields.tables("expert_tokens"),
                    sentBytes: try fields.optionalCount("sent_bytes"),
                    exchanges: try fields.optionalCount("exchanges")))
        case "validation":
            self = .validation(
                ValidationMetrics(
                    step: step, tokens: try fields.count("tokens"), loss: try fields.number("loss"),
                    bitsPerByte: try fields.number("bits_per_byte")))
        case "sample":
            self = .sample(
                SampleMetrics(step: step, prompt: try fields.text("prompt"), text: try fields.text("text")))
        case "policy": self = .policy(try PolicyMetrics(fields, step: step))
        case "policy_validation": self = .policyValidation(try PolicyValidationMetrics(fields, step: step))
        case let kind: throw RecordFields.Broken(reason: "a record of the kind \"\(kind.prefix(40))\" is not known")
        }
    }

    var json: JSONValue {
        switch self {
        case .step(let step):
            var object = JSONObject([
                ("kind", "step"), ("step", .int(step.step)), ("tokens", .int(step.tokens)),
                ("loss", RecordFields.json(step.loss)), ("bits_per_byte", RecordFields.json(step.bitsPerByte)),
                ("learning_rate", RecordFields.json(step.learningRate)),
                ("gradient_norm", RecordFields.json(step.gradientNorm)),
            ])
            object["balance_loss"] = step.balanceLoss.map(RecordFields.json)
            object["prediction_loss"] = step.predictionLoss.map(RecordFields.json)
            if !step.maximumLogits.isEmpty { object["max_logits"] = .array(step.maximumLogits.map(RecordFields.json)) }
            if !step.clippedHeads.isEmpty { object["clipped_heads"] = .array(step.clippedHeads.map { .int($0) }) }
            if !step.expertTokens.isEmpty {
                object["expert_tokens"] = .array(step.expertTokens.map { .array($0.map { .int($0) }) })
            }
            object["sent_bytes"] = step.sentBytes.map { .int($0) }
            object["exchanges"] = step.exchanges.map { .int($0) }
            return .object(object)
        case .validation(let metrics):
            return [
                "kind": "validation", "step": .int(metrics.step), "tokens": .int(metrics.tokens),
                "loss": RecordFields.json(metrics.loss), "bits_per_byte": RecordFields.json(metrics.bitsPerByte),
            ]
        case .policy(let metrics): return metrics.json
        case .policyValidation(let metrics): return metrics.json
        case .sample(let sample):
            return [
                "kind": "sample", "step": .int(sample.step), "prompt": .string(sample.prompt),
                "text": .string(sample.text),
            ]
        }
    }
}
