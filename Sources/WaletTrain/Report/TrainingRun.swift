// A run as it lies on disk, for whoever looks at it.

/// A run's folder, read: `recipe.yaml`, `metrics.jsonl`, `journal.jsonl`, and `checkpoints`.
public struct TrainingRun: Sendable {
    /// The folder's name, or what the user calls it.
    public var name: String
    /// Nil where the folder has none.
    public var recipe: Recipe?
    public var steps: [StepMetrics] = []
    public var validations: [ValidationMetrics] = []
    public var samples: [SampleMetrics] = []
    /// Of a run of reinforcement.
    public var policies: [PolicyMetrics] = []
    public var policyValidations: [PolicyValidationMetrics] = []
    public var journal: [JournalRecord] = []

    static let recipeName = "recipe.yaml"

    public init(name: String, recipe: Recipe? = nil, records: [MetricsRecord] = [], journal: [JournalRecord] = []) {
        self.name = name
        self.recipe = recipe
        self.journal = journal
        for record in records { add(record) }
    }

    private mutating func add(_ record: MetricsRecord) {
        switch record {
        case .step(let metrics): steps.append(metrics)
        case .validation(let metrics): validations.append(metrics)
        case .sample(let metrics): samples.append(metrics)
        case .policy(let metrics): policies.append(metrics)
        case .policyValidation(let metrics): policyValidations.append(metrics)
        }
    }

    /// Reads a folder. Half a line at the end of a file, as a running process or a crash leaves it, is left out.
    /// - Throws: ``MetricsError``; a recipe that is no recipe counts as a bad record of its file.
    public init(folder path: String) throws(MetricsError) {
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        name = String(trimmed.split(separator: "/").last ?? "run")
        let metrics: [UInt8]
        var journal: [UInt8] = []
        var yaml: [UInt8]?
        do throws(StorageError) {
            let folder = try StorageFolder(trimmed, create: false)
            metrics = try folder.contents(MetricsLog.metricsName, limit: RecordFile.maximumBytes)
            if folder.exists(MetricsLog.journalName) {
                journal = try folder.contents(MetricsLog.journalName, limit: RecordFile.maximumBytes)
            }
            if folder.exists(Self.recipeName) { yaml = try folder.contents(Self.recipeName, limit: 1 << 20) }
        } catch {
            throw .storage(error)
        }
        try RecordFile.lines(metrics, path: trimmed + "/" + MetricsLog.metricsName) {
            (line, _) throws(RecordFields.Broken) in
            add(try MetricsRecord(line: line))
            return true
        }
        try RecordFile.lines(journal, path: trimmed + "/" + MetricsLog.journalName) {
            (line, _) throws(RecordFields.Broken) in
            self.journal.append(try JournalRecord(line: line))
            return true
        }
        if let yaml {
            let file = trimmed + "/" + Self.recipeName
            do throws(RecipeError) {
                recipe = try Recipe(yaml: String(decoding: yaml, as: UTF8.self), name: file)
            } catch {
                throw .badRecord(file: file, line: 1, reason: error.description)
            }
        }
        guard !steps.isEmpty || !policies.isEmpty else { throw .empty(file: trimmed + "/" + MetricsLog.metricsName) }
    }

    /// Writes the recipe of a run into its folder, which is made where it is missing.
    public static func write(_ recipe: Recipe, to folder: String) throws(StorageError) {
        try StorageFolder(folder, create: true).put(recipeName, Array(recipe.yaml.utf8))
    }
}
