// The safetensors of a folder as one: a single file, or the shards that an index lists.

/// Where the tensors of a folder lie.
public final class SafetensorsSet: Sendable {
    public let files: [SafetensorsFile]
    /// Position in ``files`` of each tensor's; nil where there is but one file.
    private let shardOfTensor: [String: Int]?

    /// The only file of a checkpoint.
    public init(file: SafetensorsFile) {
        files = [file]
        shardOfTensor = nil
    }

    /// The shards of an index, each of which must hold what the index says, no more and no less.
    public init(index: SafetensorsIndex, in folder: Folder) throws(FormatError) {
        var files: [SafetensorsFile] = []
        var count = 0
        for (number, shard) in index.shards.enumerated() {
            guard folder.has(shard) else {
                throw FormatError(
                    file: folder.path(shard), expected: "this shard, which \(index.path) lists", found: "no such file")
            }
            let file = try SafetensorsFile(folder.path(shard), at: try folder.locate(shard))
            for tensor in file.tensors {
                guard let listed = index.shardOfTensor[tensor.name] else {
                    throw FormatError(
                        file: file.file.path, field: tensor.name, expected: "only tensors that \(index.path) lists",
                        found: "this one, which it does not list")
                }
                guard listed == number else {
                    throw FormatError(
                        file: file.file.path, field: tensor.name,
                        expected: "this tensor in \(index.shards[listed]), as \(index.path) says",
                        found: "it in this file")
                }
            }
            count += file.tensors.count
            files.append(file)
        }
        if count != index.shardOfTensor.count {
            let missing = index.shardOfTensor.filter { files[$0.value][$0.key] == nil }.min { $0.key < $1.key }
            if let missing {
                throw FormatError(
                    file: folder.path(index.shards[missing.value]), field: missing.key,
                    expected: "this tensor, which \(index.path) lists", found: "no such tensor")
            }
        }
        self.files = files
        shardOfTensor = index.shardOfTensor
    }

    public subscript(name: String) -> (file: SafetensorsFile, tensor: SafetensorsFile.Tensor)? {
        guard let file = file(of: name), let tensor = file[name] else { return nil }
        return (file, tensor)
    }

    public func contains(_ name: String) -> Bool { shardOfTensor.map { $0[name] != nil } ?? (files[0][name] != nil) }
    public var count: Int { shardOfTensor?.count ?? files[0].tensors.count }

    private func file(of name: String) -> SafetensorsFile? {
        guard let shardOfTensor else { return files[0] }
        return shardOfTensor[name].map { files[$0] }
    }
}

/// `model.safetensors.index.json`: which shard holds which tensor.
public struct SafetensorsIndex: Sendable {
    public static let maximumSize = 64 << 20

    public let path: String
    /// File names in the index's folder, sorted.
    public let shards: [String]
    /// Tensor name to position in ``shards``.
    public let shardOfTensor: [String: Int]

    /// - Throws: ``FormatError`` also for a name that is not a plain file name: a separator, `..`, an absolute path.
    public init(path: String, bytes: [UInt8]) throws(FormatError) {
        self.path = path
        var weightMap: [(name: String, shard: String)] = []
        var seen = false
        let result: Result<Void, ScanError> = bytes.withUnsafeBytes { buffer in
            do throws(ScanError) {
                try Self.scan(buffer, into: &weightMap, seen: &seen)
                return .success(())
            } catch { return .failure(error) }
        }
        if case .failure(let error) = result {
            throw FormatError(
                file: path, expected: "a JSON object with a weight_map",
                found: "at byte \(error.offset): \(error.reason)")
        }
        guard seen, !weightMap.isEmpty else {
            throw FormatError(
                file: path, field: "weight_map", expected: "tensor names with their files",
                found: seen ? "none" : "no such field")
        }
        let names = Set(weightMap.map(\.shard)).sorted()
        for name in names {
            if let flaw = Folder.flaw(ofName: name) {
                throw FormatError(
                    file: path, field: "weight_map", expected: "names of files in the same folder",
                    found: "\"\(name.prefix(200))\", \(flaw)")
            }
            guard name.hasSuffix(".safetensors") else {
                throw FormatError(
                    file: path, field: "weight_map", expected: "names that end in .safetensors",
                    found: "\"\(name.prefix(200))\"")
            }
        }
        let numbers = Dictionary(uniqueKeysWithValues: zip(names, names.indices))
        var shardOfTensor: [String: Int] = [:]
        shardOfTensor.reserveCapacity(weightMap.count)
        for (name, shard) in weightMap where shardOfTensor.updateValue(numbers[shard] ?? 0, forKey: name) != nil {
            throw FormatError(
                file: path, field: "weight_map", expected: "each tensor once", found: "\(name) twice")
        }
        shards = names
        self.shardOfTensor = shardOfTensor
    }

    private static func scan(
        _ buffer: UnsafeRawBufferPointer, into weightMap: inout [(name: String, shard: String)], seen: inout Bool
    ) throws(ScanError) {
        var scanner = JSONScanner(buffer)
        try scanner.expect(UInt8(ascii: "{"))
        var first = true
        while let key = try scanner.nextKey(first: first) {
            first = false
            guard key == "weight_map" else {
                try scanner.skipValue()
                continue
            }
            guard !seen else { throw scanner.error("a second weight_map") }
            seen = true
            try scanner.expect(UInt8(ascii: "{"))
            while let name = try scanner.nextKey(first: weightMap.isEmpty) {
                weightMap.append((name, try scanner.string()))
            }
        }
        try scanner.end()
    }
}
