// Recipes as YAML files: what was given, and what it came to.

import WaletFormats
import Yams

extension Recipe {
    /// Makes a recipe: what is set, else what stands in the file, else what follows from the depth.
    ///
    /// ```swift
    /// let recipe = try Recipe(depth: 6, file: "Recipes/moe.yaml", settings: ["training.optimizer=adamw"])
    /// print(recipe.yaml)
    /// ```
    /// - Parameters:
    ///   - depth: replaces the file's.
    ///   - settings: of the form `key=value`; they replace the file's.
    ///   - vocabularySize: that of the data, where neither file nor settings name one.
    /// - Throws: ``RecipeError`` for a key that no recipe has, a value that may not stand there, or values that do not
    ///   go together.
    public init(
        depth: Int? = nil, file: String? = nil, settings: [String] = [], vocabularySize: Int? = nil
    ) throws(RecipeError) {
        var given: [String: (text: String, source: RecipeError.Source)] = [:]
        if let file { given = try Self.read(file) }
        var set: Set<String> = []
        for setting in settings {
            guard let equals = setting.firstIndex(of: "="), equals != setting.startIndex else {
                throw .badSetting(setting)
            }
            let key = String(setting[..<equals])
            guard set.insert(key).inserted else { throw .duplicate(.setting, key: key) }
            given[key] = (String(setting[setting.index(after: equals)...]), .setting)
        }
        if let depth {
            guard !set.contains("depth") else { throw .duplicate(.setting, key: "depth") }
            given["depth"] = (String(depth), .setting)
        }
        try Self.addSizes(of: given["model.from"]?.text, to: &given)
        let key = "model.vocabulary_size"
        if let vocabularySize, given[key] == nil { given[key] = (String(vocabularySize), .setting) }
        try self.init(given)
    }

    /// Takes the sizes that nobody gave from the model that the run begins with.
    private static func addSizes(
        of folder: String?, to given: inout [String: (text: String, source: RecipeError.Source)]
    ) throws(RecipeError) {
        guard let folder, !folder.isEmpty,
            fields.contains(where: { $0.name.hasPrefix("model.") && given[$0.name] == nil })
        else { return }
        let model: StartingModel
        do throws(FormatError) { model = try StartingModel(folder) } catch {
            throw .inconsistent(key: "model.from", reason: error.description)
        }
        for (key, value) in try model.settings() where given[key] == nil { given[key] = (value, .setting) }
    }

    /// Makes a recipe from the text of a file alone.
    /// - Parameter name: of the file, for errors.
    public init(yaml: String, name: String) throws(RecipeError) {
        try self.init(try Self.parse(yaml, name: name))
    }

    private init(_ given: [String: (text: String, source: RecipeError.Source)]) throws(RecipeError) {
        self.init()
        // Sorted, so that of several errors the same one is found each time.
        for (key, value) in given.sorted(by: { $0.key < $1.key }) {
            guard let field = Self.fieldsByName[key] else {
                throw .unknownKey(value.source, key: key, nearest: Self.nearest(to: key))
            }
            guard field.write(value.text, &self) else {
                throw .badValue(value.source, key: key, expected: field.expected, found: "\"\(value.text)\"")
            }
        }
        try RecipeRules.apply(to: &self, given: Set(given.keys))
        try RecipeRules.check(self)
    }

    /// The recipe in full. Read back, it gives the same recipe, whatever the rules are by then.
    public var yaml: String {
        var text = ""
        var section: Substring?
        for field in Self.fields where isReinforcement || !field.name.hasPrefix("grpo.") {
            let parts = field.name.split(separator: ".", maxSplits: 1)
            let value = field.read(self)
            guard parts.count == 2 else {
                text += "\(field.name): \(value)\n"
                continue
            }
            if section != parts[0] {
                section = parts[0]
                text += "\(parts[0]):\n"
            }
            text += "  \(parts[1]): \(value)\n"
        }
        return text
    }

    // MARK: Reading

    private static let maximumBytes = 64 << 10

    private static func read(
        _ path: String
    ) throws(RecipeError) -> [String: (text: String, source: RecipeError.Source)] {
        let (folder, name) = StorageFolder.parts(of: path)
        let bytes: [UInt8]
        do throws(StorageError) {
            bytes = try StorageFolder(folder, create: false).contents(name, limit: maximumBytes)
        } catch {
            throw .storage(error)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .badYAML(.file(path, line: 1), reason: "it is not UTF-8")
        }
        return try parse(text, name: path)
    }

    private static func parse(
        _ yaml: String, name: String
    ) throws(RecipeError) -> [String: (text: String, source: RecipeError.Source)] {
        try checkNesting(yaml, name)
        let node: Node?
        do { node = try Yams.compose(yaml: yaml) } catch {
            let (reason, line) = explanation(error)
            throw .badYAML(.file(name, line: line), reason: reason)
        }
        var values: [String: (text: String, source: RecipeError.Source)] = [:]
        if let node { try collect(node, prefix: "", name, depth: 0, into: &values) }
        return values
    }

    private static func collect(
        _ node: Node, prefix: String, _ name: String, depth: Int,
        into values: inout [String: (text: String, source: RecipeError.Source)]
    ) throws(RecipeError) {
        let source = RecipeError.Source.file(name, line: node.mark?.line ?? 1)
        switch node {
        case .mapping(let mapping):
            guard depth < 3 else { throw .badYAML(source, reason: "sections lie too deep") }
            for (key, value) in mapping {
                guard case .scalar(let scalar) = key else {
                    throw .badYAML(.file(name, line: key.mark?.line ?? 1), reason: "a key that is no text")
                }
                let path = prefix.isEmpty ? scalar.string : prefix + "." + scalar.string
                try collect(value, prefix: path, name, depth: depth + 1, into: &values)
            }
        case .scalar(let scalar):
            guard !prefix.isEmpty else { throw .badYAML(source, reason: "a recipe is keys and values") }
            guard values[prefix] == nil else { throw .duplicate(source, key: prefix) }
            values[prefix] = (scalar.string, source)
        case .sequence: throw .badYAML(source, reason: "a recipe has no lists")
        case .alias: throw .badYAML(source, reason: "a recipe has no aliases")
        }
    }

    /// The composer calls itself for each level, so that a small text of nothing but levels would end the process.
    private static func checkNesting(_ yaml: String, _ name: String) throws(RecipeError) {
        guard yaml.utf8.count <= maximumBytes else {
            throw .badYAML(.file(name, line: 1), reason: "it has more than \(maximumBytes) bytes")
        }
        var brackets = 0
        for (number, line) in yaml.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            var marks = 0
            var isIndent = true
            for byte in line {
                switch byte {
                case UInt8(ascii: " "): if isIndent { marks += 1 }
                case UInt8(ascii: "["), UInt8(ascii: "{"): brackets += 1
                case UInt8(ascii: "-"), UInt8(ascii: "?"), UInt8(ascii: ":"):
                    marks += 1
                    isIndent = true
                default: isIndent = false
                }
            }
            guard marks < 256, brackets < 64 else {
                throw .badYAML(.file(name, line: number + 1), reason: "it is nested too deep")
            }
        }
    }

    private static func explanation(_ error: any Error) -> (reason: String, line: Int) {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            (problem, mark.line)
        case .duplicatedKeysInMapping(let keys, let context):
            ("\(keys.sorted().joined(separator: ", ")) is there twice", context.mark.line)
        case .reader(let problem, _, _, _): (problem, 1)
        default: ("it is not YAML: \(error)", 1)
        }
    }

    // MARK: Names

    /// The known key that was most likely meant, with or without its section.
    static func nearest(to key: String) -> String? {
        let key = Array(key.utf8.prefix(100))
        var best: (name: String, distance: Int)?
        for field in fields {
            let full = Array(field.name.utf8)
            var distance = distance(key, full)
            if let point = full.firstIndex(of: UInt8(ascii: ".")) {
                // Without the section is a slip of its own.
                distance = min(distance, self.distance(key, Array(full[(point + 1)...])) + 1)
            }
            if best.map({ distance < $0.distance }) ?? true { best = (field.name, distance) }
        }
        guard let best, best.distance <= max(2, key.count / 3) else { return nil }
        return best.name
    }

    /// Levenshtein's.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let next = min(row[j] + 1, row[j + 1] + 1, diagonal + (a == b ? 0 : 1))
                diagonal = row[j + 1]
                row[j + 1] = next
            }
        }
        return row[right.count]
    }
}
