// A model as its user names it: a folder of safetensors, a GGUF file, or a configuration alone.

import WaletJSON
import WaletTensor

/// Everything that a model's files say: its configuration, its weights, and what is needed to make a tokenizer.
///
/// ```swift
/// let model = try ModelFolder("/models/Kimi-K2-Thinking")
/// print(model.configuration.parameters.total, try model.weights().matrix("lm_head", rows: 163_840, columns: 7168))
/// ```
///
/// Opening maps the weights and checks the structure of every file; it copies no weight and reads no tokenizer.
public struct ModelFolder: Sendable {
    /// A file that belongs to the model.
    public struct File: Sendable, Equatable {
        /// In the folder, without its path.
        public var name: String
        public var bytes: Int
    }

    /// What `generation_config.json` recommends.
    public struct Generation: Sendable, Equatable {
        public var temperature: Double?
        public var topP: Double?
        public var topK: Int?
        public var minP: Double?
        public var repetitionPenalty: Double?
        /// False where the publisher decodes greedily.
        public var samples: Bool?
        public init() {}
    }

    public static let maximumJSON = 64 << 20
    /// A configuration is read as a tree, which takes many times its size.
    static let maximumConfiguration = 16 << 20
    public static let maximumTokenizer = 256 << 20

    /// As the user named it.
    public let path: String
    /// The model's name: of the folder, of the file, or `general.name`.
    public let name: String
    public let configuration: Configuration
    /// Where the weights are looked up; nil for a configuration alone.
    public let source: (any WeightSource)?
    public let generation: Generation
    /// `gguf`, `safetensors` or `config`.
    public let format: Format
    /// What had to be assumed, in sentences for the user.
    public let notes: [String]
    let contents: Contents
    let folder: Folder?

    public enum Format: String, Sendable { case safetensors, gguf, config }

    enum Contents: Sendable {
        case safetensors(SafetensorsSet)
        case gguf(GGUFSet)
        case none
    }

    /// Opens a folder of safetensors, a folder with one GGUF model, a `.gguf` file, or a `config.json`.
    /// - Parameter overrides: what a GGUF file leaves out.
    /// - Throws: ``FormatError`` that names the file and what is wrong with it.
    public init(_ path: String, overrides: GGUFOverrides = GGUFOverrides()) throws(FormatError) {
        switch FileSystem.kind(path) {
        case .folder: self = try Self.open(folder: try Folder(path), overrides)
        case .file where path.hasSuffix(".gguf"): self = try Self.open(gguf: path, nil, overrides)
        case .file where path.hasSuffix(".json"): self = try Self.open(configuration: path)
        case .file where path.hasSuffix(".safetensors"):
            throw FormatError(
                file: path, expected: "the folder that this file is in, since config.json is needed too",
                found: "the file alone")
        case .file:
            // A hub's cache names files by their hash: the first bytes tell.
            guard try FileSystem.prefix(path, count: 4) == Array("GGUF".utf8) else {
                throw FormatError(
                    file: path, expected: "a folder of safetensors, a .gguf file or a config.json",
                    found: "another file")
            }
            self = try Self.open(gguf: path, nil, overrides)
        case nil:
            throw FormatError(
                file: path, expected: "a folder of safetensors, a .gguf file or a config.json",
                found: FileSystem.exists(path) ? "neither file nor folder" : "nothing at this path")
        }
    }

    private init(
        path: String, name: String, configuration: Configuration, source: (any WeightSource)?,
        generation: Generation, format: Format, notes: [String], contents: Contents, folder: Folder?
    ) {
        self.path = path
        self.name = name
        self.configuration = configuration
        self.source = source
        self.generation = generation
        self.format = format
        self.notes = notes
        self.contents = contents
        self.folder = folder
    }

    /// The weights.
    /// - Throws: ``FormatError`` where there is but a configuration.
    public func weights() throws(FormatError) -> any WeightSource {
        guard let source else {
            throw FormatError(
                file: path, expected: "safetensors or GGUF files with the model's weights",
                found: "a configuration alone")
        }
        return source
    }

    private static func open(folder: Folder, _ overrides: GGUFOverrides) throws(FormatError) -> ModelFolder {
        let files = try folder.files()
        let shards = files.filter { $0.hasSuffix(".safetensors") }
        let index = "model.safetensors.index.json"
        let hasIndex = folder.has(index)
        let models = ggufModels(files)
        if shards.isEmpty, !hasIndex, let first = models.first {
            guard models.count == 1 else {
                throw FormatError(
                    file: folder.name, expected: "one model",
                    found: models.joined(separator: ", ") + "; name one of them")
            }
            return try open(gguf: folder.path(first), folder, overrides)
        }
        guard folder.has("config.json") else {
            throw FormatError(
                file: folder.path("config.json"), expected: "this file beside the weights", found: "no such file")
        }
        let (configuration, generation) = try readConfiguration(folder)
        let set: SafetensorsSet?
        if folder.has("model.safetensors") {
            set = SafetensorsSet(file: try open("model.safetensors", folder))
        } else if hasIndex {
            let bytes = try folder.read(index, limit: SafetensorsIndex.maximumSize)
            set = try SafetensorsSet(
                index: SafetensorsIndex(path: folder.path(index), bytes: bytes), in: folder)
        } else if shards.count == 1 {
            set = SafetensorsSet(file: try open(shards[0], folder))
        } else if shards.isEmpty {
            set = nil
        } else {
            throw FormatError(
                file: folder.path(index), expected: "this file, since there are \(shards.count) safetensors files",
                found: "no such file")
        }
        return ModelFolder(
            path: folder.name, name: lastPart(folder.name), configuration: configuration,
            source: set.map { SafetensorsSource($0, configuration: configuration) }, generation: generation,
            format: set == nil ? .config : .safetensors, notes: [],
            contents: set.map(Contents.safetensors) ?? .none, folder: folder)
    }

    private static func open(_ file: String, _ folder: Folder) throws(FormatError) -> SafetensorsFile {
        try SafetensorsFile(folder.path(file), at: try folder.locate(file))
    }

    /// The GGUF models of a folder: one name each, of the first part that is there where they are split.
    private static func ggufModels(_ files: [String]) -> [String] {
        var seen: Set<String> = []
        return files.filter { name in
            // Projectors of multimodal models lie beside them.
            guard name.hasSuffix(".gguf"), !name.hasPrefix("mmproj") else { return false }
            return seen.insert(SplitName(name)?.prefix ?? name).inserted
        }
    }

    private static func open(
        gguf path: String, _ folder: Folder?, _ overrides: GGUFOverrides
    ) throws(FormatError) -> ModelFolder {
        let set = try GGUFSet(path, in: folder)
        var notes: [String] = []
        let configuration = try Configuration(gguf: set, overrides: overrides, notes: &notes)
        let name = set["general.name"]?.text.flatMap { $0.isEmpty ? nil : $0 } ?? lastPart(path)
        return ModelFolder(
            path: folder?.name ?? path, name: name, configuration: configuration, source: GGUFSource(set),
            generation: Generation(), format: .gguf, notes: notes, contents: .gguf(set), folder: folder)
    }

    private static func open(configuration path: String) throws(FormatError) -> ModelFolder {
        let configuration = try Configuration(file: path, json: FileSystem.read(path, limit: maximumConfiguration))
        return ModelFolder(
            path: path, name: lastPart(path), configuration: configuration, source: nil, generation: Generation(),
            format: .config, notes: [], contents: .none, folder: nil)
    }

    private static func readConfiguration(
        _ folder: Folder
    ) throws(FormatError) -> (configuration: Configuration, generation: Generation) {
        var generation = Generation()
        var extra: (file: String, bytes: [UInt8])?
        if folder.has("generation_config.json") {
            let path = folder.path("generation_config.json")
            let bytes = try folder.read("generation_config.json", limit: maximumConfiguration)
            let fields = try Fields(file: path, parsing: bytes)
            generation.temperature = try fields.optionalDouble("temperature", in: 0...1000)
            generation.topP = try fields.optionalDouble("top_p", in: 0...1)
            generation.topK = try fields.optionalInt("top_k", in: -1...Int.max)
            generation.minP = try fields.optionalDouble("min_p", in: 0...1)
            generation.repetitionPenalty = try fields.optionalDouble("repetition_penalty", in: 1e-3...1e3)
            generation.samples = try fields.optionalBool("do_sample")
            extra = (path, bytes)
        }
        let configuration = try Configuration(
            file: folder.path("config.json"), json: folder.read("config.json", limit: maximumConfiguration),
            generation: extra)
        return (configuration, generation)
    }
}

extension ModelFolder {
    /// The files that make the model, with their sizes. Those of a folder, or the parts of a GGUF model.
    public func files() throws(FormatError) -> [File] {
        if let folder {
            return try folder.files().map { File(name: $0, bytes: FileSystem.size(folder.path($0)) ?? 0) }
        }
        if case .gguf(let set) = contents {
            return set.parts.map { File(name: lastPart($0.file.path), bytes: $0.file.size) }
        }
        return [File(name: lastPart(path), bytes: FileSystem.size(path) ?? 0)]
    }

    /// Where a file of ``files()`` really lies.
    /// - Throws: ``FormatError`` for a link that leads out of the model.
    public func location(of file: File) throws(FormatError) -> String {
        if let folder { return try folder.locate(file.name) }
        if case .gguf(let set) = contents,
            let part = set.parts.first(where: { lastPart($0.file.path) == file.name })
        {
            return part.file.path
        }
        return path
    }

    /// The licence as the files name it: `general.license`, the front matter of README.md, or a licence file's name.
    public func licence() throws(FormatError) -> String? {
        if case .gguf(let set) = contents, let text = set["general.license"]?.text, !text.isEmpty { return text }
        guard let folder else { return nil }
        if folder.has("README.md") {
            let bytes = try FileSystem.prefix(
                folder.path("README.md"), at: try folder.locate("README.md"), count: 64 << 10)
            if let licence = Self.frontMatterLicence(String(decoding: bytes, as: UTF8.self)) { return licence }
        }
        return try folder.files().first(where: Self.isLicenceFile)
    }

    /// `license:` between the two `---` lines that a model card begins with; `license_name:` where that says "other".
    private static func frontMatterLicence(_ text: String) -> String? {
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        guard lines.first == "---" else { return nil }
        var found: [String: String] = [:]
        for line in lines.dropFirst() {
            if line == "---" { break }
            for key in ["license", "license_name"] where line.hasPrefix(key + ":") {
                let value = line.dropFirst(key.count + 1).filter { $0 != "\"" && $0 != "'" && $0 != " " }
                if !value.isEmpty { found[key] = String(value.prefix(200)) }
            }
        }
        return found["license"] == "other" ? found["license_name"] ?? "other" : found["license"]
    }
}
