// Which files of a repository a pull takes.

/// GGUF files that make one model: a single file, or the parts `NAME-00001-of-00009.gguf` of one.
struct GGUFSet {
    /// The path of the file, or of the lowest part.
    var first: String
    var bytes: Int
    var paths: [String]

    /// The sets among some files, by path. Vision projectors (`mmproj…`) and importance matrices are no models.
    static func sets(in files: [(path: String, size: Int)]) -> [GGUFSet] {
        var sets: [String: GGUFSet] = [:]
        for (path, size) in files.sorted(by: { $0.path < $1.path }) where path.hasSuffix(".gguf") {
            let name = path.split(separator: "/").last.map(String.init) ?? path
            if name.lowercased().hasPrefix("mmproj") || name.lowercased().contains("imatrix") { continue }
            let key = stem(path) ?? path
            sets[key, default: GGUFSet(first: path, bytes: 0, paths: [])].bytes += size
            sets[key]?.paths.append(path)
        }
        return sets.values.sorted { $0.first < $1.first }
    }

    /// What precedes "-00001-of-00009.gguf" with the count of parts, or nil where the name has no such end.
    private static func stem(_ path: String) -> String? {
        let bytes = Array(path.utf8)
        let pattern = Array("-#####-of-#####.gguf".utf8)
        guard bytes.count > pattern.count else { return nil }
        for (byte, wanted) in zip(bytes.suffix(pattern.count), pattern) {
            let digit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            guard wanted == UInt8(ascii: "#") ? digit : byte == wanted else { return nil }
        }
        return String(decoding: bytes.dropLast(pattern.count), as: UTF8.self) + " " + path.suffix(10)
    }
}

enum FileSelection {
    /// The files that a pull takes, in the order of the listing.
    ///
    /// With `include`, those that match one of its patterns. Without it, what is needed to run the model:
    /// - a repository with safetensors: the `.safetensors` of its top folder (but not `consolidated*`, Mistral's second
    ///   copy, where there are others), its `.json`, `.jinja`, `.model`, `.tiktoken`, `.txt` and `.md` files, the
    ///   licence, and `additional_chat_templates/`. Sub-folders hold second copies (`original/`, `onnx/`, `metal/`);
    /// - a repository with one GGUF model, in one file or in parts: that, and the text files named above.
    ///
    /// PyTorch, ONNX, TensorFlow and Flax copies of the weights and Python code are never taken unasked. `exclude` takes
    /// files away in each case.
    static func select(
        _ files: [HubFile], repository: String, include: [String], exclude: [String]
    ) throws(HubError) -> [HubFile] {
        let excludes = exclude.map(Glob.init)
        func excluded(_ file: HubFile) -> Bool { excludes.contains { $0.matches(file.path) } }
        let selected: [HubFile]
        if !include.isEmpty {
            let includes = include.map(Glob.init)
            selected = files.filter { file in includes.contains { $0.matches(file.path) } && !excluded(file) }
        } else {
            selected = try standard(files.filter { !excluded($0) }, repository: repository)
        }
        if selected.isEmpty {
            throw .nothingSelected(
                repository: repository, include: include, exclude: exclude, available: files.map(\.path))
        }
        return selected
    }

    private static func standard(_ files: [HubFile], repository: String) throws(HubError) -> [HubFile] {
        let weights = files.filter { !$0.path.contains("/") && $0.path.hasSuffix(".safetensors") }
        if !weights.isEmpty {
            let others = weights.contains { !$0.path.hasPrefix("consolidated") }
            return files.filter { file in
                if file.path.hasSuffix(".safetensors") {
                    return !file.path.contains("/") && !(others && file.path.hasPrefix("consolidated"))
                }
                return isText(file.path)
            }
        }
        let sets = GGUFSet.sets(in: files.map { ($0.path, $0.size ?? 0) })
        if sets.count > 1 {
            throw .choiceNeeded(
                repository: repository,
                choices: sets.map { .init(name: $0.first, bytes: $0.bytes, parts: $0.paths.count) })
        }
        guard let set = sets.first else {
            let heavy = [".bin", ".pt", ".pth", ".onnx", ".msgpack", ".h5", ".ckpt", ".npz"]
            throw .noWeights(
                repository: repository,
                found: files.map(\.path).filter { path in heavy.contains { path.hasSuffix($0) } })
        }
        let parts = Set(set.paths)
        return files.filter { parts.contains($0.path) || isText($0.path) }
    }

    private static func isText(_ path: String) -> Bool {
        if path.hasPrefix("additional_chat_templates/") { return path.hasSuffix(".jinja") }
        guard !path.contains("/"), !path.hasPrefix(".") else { return false }
        let lower = path.lowercased()
        // The index of PyTorch's copy, of no use without it.
        if lower.hasSuffix(".bin.index.json") { return false }
        return [".json", ".jinja", ".model", ".tiktoken", ".txt", ".md"].contains { lower.hasSuffix($0) }
            || ["license", "licence", "notice"].contains { lower.hasPrefix($0) }
    }
}
