// A trained model as others load it: config.json, model.safetensors, the tokenizer.

import WaletAutodiff
import WaletFormats
import WaletJSON
import WaletText

/// Writes folders in the published format.
public enum ModelExport {
    /// Writes a model with its tokenizer. The folder has its name only when all of it is on the disk; one that
    /// was there is replaced.
    /// - Parameter tokenizerFolder: of the data set, or of the model that the run began with.
    /// - Throws: ``TrainingError``; what was there is then as it was.
    static func write(
        _ model: TrainableModel, _ recipe: Recipe, _ tokenizer: Tokenizer, of tokenizerFolder: String,
        to path: String, as element: SafetensorsFile.Element = .f32
    ) throws(TrainingError) {
        try TrainingError.wrapping {
            let (parent, name) = StorageFolder.parts(of: path)
            let outer = try StorageFolder(parent, create: true)
            let (temporary, old) = (".writing-" + name, ".removing-" + name)
            try outer.removeFolder(temporary)
            let folder = try outer.makeFolder(temporary)
            do {
                var json = recipe.modelConfiguration(beginToken: tokenizer.bosID, endToken: tokenizer.eosID)
                if element == .bf16, var object = json.objectValue {
                    object["torch_dtype"] = "bfloat16"
                    json = .object(object)
                }
                let isPacked = recipe.quantization.experts == .int4
                if isPacked, var object = json.objectValue {
                    object["quantization_config"] = quantizationConfiguration
                    json = .object(object)
                }
                try model.save(to: folder.path, as: element, int4Experts: isPacked, json: json)
                let source = try StorageFolder(tokenizerFolder, create: false)
                for file in TokenDataset.tokenizerFiles where source.exists(file) {
                    try folder.put(file, try source.contents(file, limit: 1 << 30))
                }
                try folder.synchronize()
            } catch {
                try? outer.removeFolder(temporary)
                throw error
            }
            try outer.removeFolder(old)
            if outer.exists(name) { try outer.rename(name, to: old) }
            try outer.rename(temporary, to: name)
            try outer.synchronize()
            try outer.removeFolder(old)
        }
    }

    /// What Kimi K2 Thinking's config.json says of its routed experts.
    private static let quantizationConfiguration: JSONValue = [
        "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
        "config_groups": [
            "group_0": [
                "targets": ["Linear"], "input_activations": nil, "output_activations": nil,
                "weights": [
                    "num_bits": 4, "type": "int", "symmetric": true, "strategy": "group",
                    "group_size": .int(ExpertQuantization.group), "dynamic": false, "actorder": nil,
                    "observer": "minmax", "observer_kwargs": [:], "block_structure": nil,
                ],
            ]
        ],
        "ignore": [
            "lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*",
        ],
        "kv_cache_scheme": nil,
    ]

    /// Writes the model of a run's checkpoint.
    /// - Parameters:
    ///   - run: the run's folder.
    ///   - best: the checkpoint with the fewest bits per byte instead of the newest.
    ///   - dataFolder: where the data set lies now; nil for where the recipe says.
    /// - Returns: the checkpoint's step.
    /// - Throws: ``TrainingError``.
    public static func write(
        run: String, best: Bool, dataFolder: String? = nil, as element: SafetensorsFile.Element, to path: String
    ) throws(TrainingError) -> Int {
        var recipe = try RunFolder.recipe(of: run)
        if let dataFolder { recipe.data.folder = dataFolder }
        return try TrainingError.wrapping { [recipe] in
            let store = try CheckpointStore(
                folder: run + "/" + RunFolder.checkpointsName, keep: recipe.checkpoint.keep)
            guard let checkpoint = try best ? store.best() : store.restore()?.checkpoint else {
                throw TrainingError.noCheckpoint(folder: run, isBest: best)
            }
            guard let arena = Arena(threads: 1) else { throw TrainingError.noThreads }
            let model = try TrainableModel(try recipe.configuration(), arena, seed: 0)
            try model.restore(checkpoint)
            let folder = recipe.isReinforcement ? recipe.model.from : recipe.data.folder
            let tokenizer: Tokenizer
            if recipe.isReinforcement {
                tokenizer = try ConversationEncoder(folder: folder).tokenizer
            } else {
                let dataset = try TokenDataset(folder: folder)
                guard dataset.fingerprint == checkpoint.snapshot.state.loader.dataset else {
                    throw DataError.datasetDiffers(
                        path: dataset.folder, expected: checkpoint.snapshot.state.loader.dataset,
                        found: dataset.fingerprint)
                }
                tokenizer = try dataset.tokenizer()
            }
            try write(model, recipe, tokenizer, of: folder, to: path, as: element)
            return checkpoint.snapshot.state.step
        }
    }
}
