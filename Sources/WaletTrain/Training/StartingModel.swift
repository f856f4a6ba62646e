// The model that a run goes on from: that of a stage before it.

import WaletAutodiff
import WaletFormats

/// The folder of a model that a run begins with.
struct StartingModel {
    let path: String
    private let folder: ModelFolder

    /// - Throws: ``FormatError``.
    init(_ path: String) throws(FormatError) {
        self.path = path
        folder = try ModelFolder(path)
    }

    var configuration: Configuration { folder.configuration }

    /// Its sizes, as the keys of a recipe.
    /// - Throws: ``RecipeError/inconsistent(key:reason:)`` for a model of another architecture.
    func settings() throws(RecipeError) -> [(key: String, value: String)] {
        let shape = configuration
        guard case .latent(let latent) = shape.attention else {
            throw .inconsistent(
                key: "model.from", reason: "\(path) is of the type \(shape.modelType); recipes describe deepseek_v3")
        }
        var numbers: [(String, Int)] = [
            ("layers", shape.layers), ("hidden_size", shape.hiddenSize), ("heads", shape.heads),
            ("q_lora_rank", latent.queryRank ?? 0), ("kv_lora_rank", latent.latentRank),
            ("qk_nope_head_dim", latent.plainHeadSize), ("qk_rope_head_dim", latent.ropeHeadSize),
            ("v_head_dim", latent.valueHeadSize), ("dense_size", shape.feedForwardSize),
            ("experts", shape.experts?.count ?? 0), ("prediction_layers", shape.predictionLayers),
            ("vocabulary_size", shape.vocabularySize),
        ]
        var settings: [(key: String, value: String)] = [("model.rope_theta", "\(shape.rope.theta)")]
        if let experts = shape.experts {
            numbers += [
                ("dense_layers", experts.sparseLayers.min() ?? 0), ("experts_per_token", experts.perToken),
                ("shared_experts", experts.shared), ("expert_size", experts.width),
            ]
            settings.append(("model.routed_scaling", "\(experts.scale)"))
        }
        return settings + numbers.map { ("model." + $0.0, "\($0.1)") }
    }

    /// The model, ready to be trained.
    /// - Throws: ``RecipeError/inconsistent(key:reason:)`` where the recipe describes another one,
    ///   ``DataError/vocabularyDiffers(path:expected:found:)`` where the data have other tokens, ``FormatError``.
    func model(
        _ recipe: Recipe, _ arena: Arena, _ dataset: TokenDataset, exchange: ExpertExchange? = nil
    ) throws -> TrainableModel {
        let vocabulary = Checksum(
            of: try StorageFolder(path, create: false).contents(TokenDataset.vocabularyName, limit: 1 << 30))
        guard vocabulary == dataset.vocabulary else {
            throw DataError.vocabularyDiffers(path: dataset.folder, expected: vocabulary, found: dataset.vocabulary)
        }
        return try model(recipe, arena, exchange: exchange)
    }

    /// The model with its own tokens.
    /// - Throws: as above.
    func model(_ recipe: Recipe, _ arena: Arena, exchange: ExpertExchange? = nil) throws -> TrainableModel {
        let wanted = try recipe.configuration()
        var found = configuration
        // These say nothing of the graph: how far it was trained, which tokens end a text, how weights are stored.
        found.contextLength = wanted.contextLength
        found.beginToken = wanted.beginToken
        found.endTokens = wanted.endTokens
        found.quantization = wanted.quantization
        found.modelType = wanted.modelType
        guard found == wanted else {
            let settings = try settings()
            let fields = Recipe.fieldsByName
            let other = settings.first { setting in
                guard let field = fields[setting.key] else { return false }
                var copy = recipe
                return !field.write(setting.value, &copy) || field.read(copy) != field.read(recipe)
            }
            throw RecipeError.inconsistent(
                key: other?.key ?? "model.from",
                reason: other.map { "\(path) has \($0.value)" } ?? "\(path) has parts that no recipe describes")
        }
        return try TrainableModel(wanted, arena, from: try folder.weights(), exchange: exchange)
    }
}
