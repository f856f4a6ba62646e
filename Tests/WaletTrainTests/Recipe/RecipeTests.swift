import Foundation
import Testing
import WaletFormats
import WaletJSON
import WaletTrain

@Suite struct RecipeTests {
    private func error(_ yaml: String) -> RecipeError? {
        do throws(RecipeError) {
            _ = try Recipe(yaml: yaml, name: "r.yaml")
            return nil
        } catch {
            return error
        }
    }

    @Test func oneDialSetsTheRest() throws {
        var last: Recipe?
        for depth in [1, 2, 4, 6, 8, 12, 16, 24, 32, 64] {
            let recipe = try Recipe(depth: depth)
            #expect(recipe.model.layers == depth && recipe.depth == depth)
            #expect(recipe.model.hiddenSize == recipe.model.heads * 64)
            #expect(recipe.training.tokens % (recipe.batch.sequences * recipe.batch.length) == 0)
            #expect(recipe.steps >= 100 && recipe.schedule.warmupSteps < recipe.steps / 10)
            if let last {
                #expect(recipe.model.hiddenSize >= last.model.hiddenSize)
                #expect(recipe.training.tokens > last.training.tokens)
                #expect(try recipe.flopsPerToken() > last.flopsPerToken())
            }
            last = recipe
        }
    }

    /// The middle of Moonlight's scaling study (arXiv 2502.16982, table 3), which the rule was not fitted to: 822M active
    /// parameters, 20.76B tokens, 160 sequences of 8,192, learning rate 8.825e-4.
    @Test func theRuleGoesThroughTheStudysMiddle() throws {
        let recipe = try Recipe(
            depth: 16,
            settings: [
                "model.experts=0", "model.hidden_size=2048", "model.dense_size=5632", "model.vocabulary_size=8192",
                "batch.length=8192", "training.tokens=20760000000",
            ])
        let parameters = Double(try recipe.configuration().parameters.active)
        #expect((700e6...950e6).contains(parameters))
        let batch = Double(recipe.batch.sequences)
        #expect(batch == 128 || batch == 256)
        // The rate for the batch that it has, brought to the study's.
        let rate = recipe.training.learningRate * (160 / batch).squareRoot()
        #expect(abs(rate / 8.825e-4 - 1) < 0.05)
    }

    /// The best rates of `Benchmarks/efficiency.py` (docs/training-efficiency.md).
    @Test(arguments: [(2, 64, 0.0118), (3, 96, 0.0082), (3, 128, 0.0036)])
    func theRuleIsNearTheRatesThatWereBest(depth: Int, width: Int, best: Double) throws {
        let recipe = try Recipe(
            depth: depth,
            settings: [
                "model.hidden_size=\(width)", "model.vocabulary_size=1024", "model.experts=16", "batch.length=128",
                "batch.sequences=16", "training.tokens_per_parameter=4",
            ])
        #expect(abs(log2(recipe.training.learningRate / best)) < 0.5)
    }

    @Test func theModelIsOneThatWaletRuns() throws {
        let recipe = try Recipe(depth: 6)
        let configuration = try Configuration(
            file: "config.json",
            json: Array(recipe.modelConfiguration(beginToken: 0, endToken: 1).text(.pretty).utf8))
        #expect(configuration.hiddenSize == 256 && configuration.layers == 6 && configuration.heads == 4)
        #expect(configuration.experts?.count == 16 && configuration.experts?.perToken == 2)
        #expect(configuration.experts?.sparseLayers == [1, 2, 3, 4, 5] && configuration.endTokens == [1])
        let parameters = configuration.parameters
        #expect((9_000_000...14_000_000).contains(parameters.total))
        #expect(parameters.active < parameters.total / 2)

        let dense = try Recipe(depth: 6, settings: ["model.experts=0"]).configuration()
        #expect(dense.experts == nil)
    }

    /// By hand, for one small dense model: 6 a parameter, and attention over half a sequence three times.
    @Test func flopsAreCountedByTheUsualFormula() throws {
        let recipe = try Recipe(
            depth: 1,
            settings: [
                "model.experts=0", "model.hidden_size=64", "model.heads=1", "model.kv_lora_rank=32",
                "model.dense_size=128", "model.vocabulary_size=1000", "batch.length=128", "training.tokens=100000",
            ])
        let query = 64 * 96
        let latent = 64 * (32 + 32) + 32
        let up = 32 * (64 + 64)
        let output = 64 * 64
        let norms = 64 * 3
        let active = query + latent + up + output + norms + 3 * 64 * 128 + 1000 * 64
        #expect(try recipe.flopsPerToken() == Double(6 * active + 3 * 160 * 128))
    }

    @Test func aNumberThatIsGivenChangesWhatFollowsFromIt() throws {
        let plain = try Recipe(depth: 6)
        let wide = try Recipe(depth: 6, settings: ["model.hidden_size=512"])
        #expect(wide.model.heads == 8 && wide.model.expertSize == 192 && wide.model.denseSize == 3 * 192)
        #expect(wide.training.learningRate < plain.training.learningRate)
        #expect(wide.training.tokens > plain.training.tokens)
        let set = try Recipe(depth: 6, settings: ["training.learning_rate=0.01", "batch.sequences=4"])
        #expect(set.training.learningRate == 0.01 && set.batch.sequences == 4 && set.batch.microSequences == 4)
        let small = try Recipe(depth: 6, settings: ["batch.sequences=\(plain.batch.sequences / 4)"])
        #expect(abs(small.training.learningRate / plain.training.learningRate - 0.5) < 0.01)
    }

    @Test func everyKeyIsPrintedAndReadBack() throws {
        let settings = ["training.optimizer=adamw", "data.folder=a \"b\" \\ c: #d", "memory.recompute=true", "seed=7"]
        let recipe = try Recipe(depth: 9, settings: settings)
        let yaml = recipe.yaml
        for field in Recipe.fields {
            let parts = field.name.split(separator: ".")
            // What only reinforcement reads is shown for it alone.
            if parts[0] != "grpo" { #expect(yaml.contains("\(parts[parts.count - 1]): ")) }
            #expect(!field.help.isEmpty)
        }
        #expect(try Recipe(yaml: yaml, name: "again") == recipe)
        #expect(try Recipe(yaml: yaml, name: "again").yaml == yaml)
        #expect(recipe.data.folder == "a \"b\" \\ c: #d" && !yaml.contains("grpo"))
    }

    @Test func aSettingReplacesTheFilesValue() throws {
        let folder = TemporaryFolder()
        try folder.write(
            "r.yaml", Array("depth: 4\nmodel:\n  experts: 8\ntraining: {tokens: 20e6}\nseed: 1_000\n".utf8))
        let recipe = try Recipe(file: folder.file("r.yaml"))
        #expect(recipe.depth == 4 && recipe.model.experts == 8 && recipe.training.tokens == 20_000_000)
        #expect(recipe.seed == 1000)
        let other = try Recipe(depth: 3, file: folder.file("r.yaml"), settings: ["model.experts=24"])
        #expect(other.depth == 3 && other.model.experts == 24 && other.training.tokens == 20_000_000)
    }

    @Test(arguments: [
        ("model:\n  layer: 3\n", 2, "model.layer", "model.layers"),
        ("learning_rate: 0.1\n", 1, "learning_rate", "training.learning_rate"),
        ("training:\n  optimiser: adamw\n", 2, "training.optimiser", "training.optimizer"),
        ("model:\n  hidden_sizes: 4", 2, "model.hidden_sizes", "model.hidden_size"),
        ("dept: 4", 1, "dept", "depth"),
        ("# c\n\nqwertyuiop: 4", 3, "qwertyuiop", nil),
    ])
    func anUnknownKeyIsAnErrorWithTheNearestName(yaml: String, line: Int, key: String, nearest: String?) {
        #expect(error(yaml) == .unknownKey(.file("r.yaml", line: line), key: key, nearest: nearest))
        #expect(throws: RecipeError.unknownKey(.setting, key: key, nearest: nearest)) {
            try Recipe(depth: 2, settings: ["\(key)=1"])
        }
    }

    @Test(arguments: [
        ("depth: 0", "depth", "a whole number from 1 to 128"), ("depth: 2.5", "depth", "a whole number from 1 to 128"),
        ("depth: six", "depth", "a whole number from 1 to 128"), ("depth:", "depth", "a whole number from 1 to 128"),
        ("training: {learning_rate: nan}", "training.learning_rate", "a number from 0.0 to 10.0"),
        ("training: {learning_rate: 11}", "training.learning_rate", "a number from 0.0 to 10.0"),
        ("training: {optimizer: sgd}", "training.optimizer", "one of muonclip, muon, adamw"),
        ("memory: {recompute: maybe}", "memory.recompute", "true or false"),
        ("data: {folder: \"\"}", "data.folder", "a text"),
    ])
    func aValueThatMayNotStandThereIsNamed(yaml: String, key: String, expected: String) {
        guard case .badValue(.file("r.yaml", line: 1), key, expected, _)? = error(yaml) else {
            Issue.record("\(String(describing: error(yaml)))")
            return
        }
    }

    @Test(arguments: [
        ("model: {experts: 4, experts_per_token: 8}", "model.experts_per_token"),
        ("depth: 4\nmodel: {dense_layers: 4}", "model.dense_layers"),
        ("model: {qk_rope_head_dim: 33}", "model.qk_rope_head_dim"),
        ("batch: {sequences: 10, micro_sequences: 4}", "batch.micro_sequences"),
        ("training: {tokens: 100}\nbatch: {sequences: 8}", "training.tokens"),
        ("schedule: {warmup_steps: 1000000}", "schedule.warmup_steps"),
        ("schedule: {decay_fraction: 0.99}", "schedule.warmup_steps"),
    ])
    func valuesThatDoNotGoTogetherAreNamed(yaml: String, key: String) {
        guard case .inconsistent(key, _)? = error(yaml) else {
            Issue.record("\(String(describing: error(yaml)))")
            return
        }
    }

    @Test func whatIsNoRecipeIsSaidWithItsLine() {
        for (yaml, line) in [
            ("a: b: c", 1), ("depth: 4\n  x: [", 2), ("- 1\n- 2", 1), ("depth: [1]", 1), ("just text", 1),
            ("depth: 4\nmodel:\n  a:\n    b:\n      c: 1", 5), ("depth: 1\ndepth: 2", 1), ("? [a]\n: 1", 1),
        ] {
            guard case .badYAML(.file("r.yaml", let found), _)? = error(yaml) else {
                Issue.record("\(yaml): \(String(describing: error(yaml)))")
                continue
            }
            #expect(found == line || yaml.contains("["), "\(yaml)")
        }
        #expect(
            error("model.layers: 3\nmodel:\n  layers: 4") == .duplicate(.file("r.yaml", line: 3), key: "model.layers"))
        for text in ["depth", "=4", ""] {
            #expect(throws: RecipeError.badSetting(text)) { try Recipe(depth: 2, settings: [text]) }
        }
        #expect(throws: RecipeError.duplicate(.setting, key: "seed")) {
            try Recipe(depth: 2, settings: ["seed=1", "seed=2"])
        }
    }

    @Test func aFileThatIsMissingOrTooLargeIsSaid() throws {
        let folder = TemporaryFolder()
        #expect(throws: RecipeError.storage(.missing(path: folder.file("none.yaml")))) {
            try Recipe(file: folder.file("none.yaml"))
        }
        try folder.write("large.yaml", [UInt8](repeating: 0x0A, count: 70_000))
        #expect(throws: RecipeError.self) { try Recipe(file: folder.file("large.yaml")) }
        try folder.write("bytes.yaml", [0x64, 0xFF])
        #expect(throws: RecipeError.self) { try Recipe(file: folder.file("bytes.yaml")) }
    }

    /// Texts that would exhaust the stack or the memory of a plain composer.
    @Test func hostileTextsAreRefused() {
        for unit in ["[", "{", "- ", "? ", "{a: ", "[[", "!!seq [", "a: &a [", "- - "] {
            #expect(error(String(repeating: unit, count: 60_000 / unit.utf8.count)) != nil)
            #expect(error(String(repeating: unit + "\n", count: 60_000 / (unit.utf8.count + 1))) != nil)
        }
        var ladder = ""
        for level in 0..<300 { ladder += String(repeating: " ", count: level) + "a:\n" }
        #expect(error(ladder) != nil)
        var laughs = "a0: &a0 {x: 1}\n"
        for level in 1..<60 { laughs += "a\(level): &a\(level) {x: *a\(level - 1), y: *a\(level - 1)}\n" }
        #expect(error(laughs) != nil)
    }

    @Test func mutatedRecipesNeverEndTheProcess() throws {
        let yaml = Array(try Recipe(depth: 6).yaml.utf8)
        var generator = RandomGenerator(seed: 11)
        var refused = 0
        for _ in 0..<3000 {
            let text = String(decoding: mutated(yaml, &generator), as: UTF8.self)
            if let error = error(text) {
                refused += 1
                #expect(!error.description.isEmpty)
            }
        }
        #expect(refused > 1000)
    }
}
