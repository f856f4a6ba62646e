import WaletFormats
import WaletJSON

/// What a model is, told from its files without loading it.
public struct ModelDescription: Sendable {
    public let name: String
    public let configuration: Configuration
    public let parameters: Configuration.Parameters
    public let files: [ModelFolder.File]
    public let packings: [ModelFolder.PackingEntry]
    public let tensors: [ModelFolder.TensorEntry]
    public let licence: String?
    /// What the licence asks for beyond the one that it begins with, in its own words.
    public let licenceConditions: [String]
    /// Bytes of the weights, and of them those of routed experts.
    public let weightBytes: ModelFolder.WeightBytes
    /// What had to be assumed.
    public let notes: [String]

    /// - Parameter name: a folder of safetensors, a `.gguf` file, a `config.json`, or the name of a stored model.
    public static func read(_ name: String) throws -> ModelDescription {
        let folder = try ModelFolder(try LanguageModel.locate(name))
        return ModelDescription(
            name: folder.name, configuration: folder.configuration, parameters: folder.configuration.parameters,
            files: try folder.files(), packings: try folder.packings(), tensors: try folder.tensors(),
            licence: try folder.licence(), licenceConditions: try folder.licenceConditions(),
            weightBytes: try folder.weightBytes(), notes: folder.notes)
    }

    /// The same facts for a person, in order.
    public var facts: [(String, String)] {
        var facts = [("name", name), ("architecture", architecture)]
        facts.append(
            ("parameters", "\(Self.billions(parameters.total)) in all, \(Self.billions(parameters.active)) active"))
        facts.append(("layers", layers))
        facts.append(("hidden size", "\(configuration.hiddenSize)"))
        facts.append(("attention", attention))
        if let experts = configuration.experts {
            facts.append(
                (
                    "experts",
                    "\(experts.count) routed, \(experts.perToken) active, \(experts.shared) shared, width \(experts.width)"
                ))
        }
        facts.append(("vocabulary", "\(configuration.vocabularySize)"))
        facts.append(("context", "\(configuration.contextLength) tokens"))
        facts.append(("KV cache", "\(configuration.cacheWidth * configuration.layers) numbers a token"))
        facts.append(("quantization", quantization))
        if weightBytes.total > 0 {
            facts.append(("weights", "\(weightBytes.total) bytes, of them \(weightBytes.routed) of routed experts"))
        }
        facts.append(("licence", licence ?? "not said in the files"))
        for condition in licenceConditions { facts.append(("licence condition", condition)) }
        return facts
    }

    /// The same facts for a program.
    public func json(tensors listsTensors: Bool = false) -> JSONValue {
        var object = JSONObject([
            ("name", .string(name)), ("model_type", .string(configuration.modelType)),
            ("family", .string(configuration.family.rawValue)),
            (
                "parameters",
                [
                    "total": .int(parameters.total), "active": .int(parameters.active),
                    "routed_experts": .int(parameters.routed), "one_expert": .int(parameters.expert),
                ]
            ),
            ("layers", .int(configuration.layers)), ("hidden_size", .int(configuration.hiddenSize)),
            ("heads", .int(configuration.heads)), ("vocabulary_size", .int(configuration.vocabularySize)),
            ("context_length", .int(configuration.contextLength)),
            ("kv_numbers_per_token", .int(configuration.cacheWidth * configuration.layers)),
            ("quantization", .string(quantization)), ("licence", licence.map { .string($0) } ?? .null),
            ("licence_conditions", .array(licenceConditions.map { .string($0) })),
            ("weight_bytes", .int(weightBytes.total)), ("routed_expert_bytes", .int(weightBytes.routed)),
            ("prediction_layers", .int(configuration.predictionLayers)),
        ])
        if let experts = configuration.experts {
            object["experts"] = [
                "count": .int(experts.count), "per_token": .int(experts.perToken), "shared": .int(experts.shared),
                "width": .int(experts.width), "sparse_layers": .int(experts.sparseLayers.count),
            ]
        }
        object["packings"] = .array(
            packings.map {
                [
                    "packing": .string($0.packing), "tensors": .int($0.tensors), "values": .int($0.values),
                    "bytes": .int($0.bytes),
                ]
            })
        object["files"] = .array(files.map { ["name": .string($0.name), "bytes": .int($0.bytes)] })
        object["notes"] = .array(notes.map { .string($0) })
        if listsTensors {
            object["tensors"] = .array(
                tensors.map {
                    [
                        "name": .string($0.name), "packing": .string($0.packing),
                        "shape": .array($0.shape.map { .int($0) }), "bytes": .int($0.bytes),
                    ]
                })
        }
        return .object(object)
    }

    private var architecture: String {
        configuration.modelType
            + (configuration.predictionLayers > 0 ? " with \(configuration.predictionLayers) prediction layer(s)" : "")
    }

    private var layers: String {
        guard let experts = configuration.experts else { return "\(configuration.layers) dense" }
        let sparse = experts.sparseLayers.count
        return "\(configuration.layers), of them \(sparse) sparse"
    }

    private var attention: String {
        switch configuration.attention {
        case .latent(let latent):
            "latent, \(configuration.heads) heads, rank \(latent.latentRank) + \(latent.ropeHeadSize) for position"
                + (latent.queryRank.map { ", query rank \($0)" } ?? "")
        case .grouped(let grouped):
            "grouped, \(configuration.heads) heads on \(grouped.keyValueHeads), head size \(grouped.headSize)"
        }
    }

    /// As `quantization_config` says it, else as the tensors are.
    public var quantization: String {
        switch configuration.quantization {
        case .packed(let bits, let groupSize, _):
            "INT\(bits) compressed-tensors, \(groupSize.map { "group \($0)" } ?? "one scale a row")"
        case .fp8(let rows, let columns): "FP8 e4m3, blocks of \(rows) x \(columns)"
        case nil: packings.isEmpty ? "none" : packings.map(\.packing).joined(separator: ", ")
        }
    }

    private static func billions(_ count: Int) -> String {
        let tenths = count < 1_000_000_000 ? (Double(count) / 1e5).rounded() / 10 : (Double(count) / 1e8).rounded() / 10
        let text = tenths >= 100 ? "\(Int(tenths.rounded()))" : "\(tenths)"
        return text + (count < 1_000_000_000 ? "M" : "B")
    }
}
