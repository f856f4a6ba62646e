// What a signature vouches for: files, or pieces of files, and their hashes.

import Crypto
import WaletJSON

/// The in-toto statement of a model's signature (`https://model_signing/signature/v1.0`).
public struct SignedManifest: Sendable, Equatable {
    public enum Method: Sendable, Equatable {
        /// One hash a file.
        case files
        /// One hash a piece of so many bytes.
        case shards(Int)
    }

    public struct Resource: Sendable, Equatable {
        /// A path, or `path:start:end`.
        public var name: String
        /// 64 hexadecimal digits.
        public var sha256: String
    }

    /// The model's name when it was signed; it proves nothing.
    public let modelName: String
    public let method: Method
    public let resources: [Resource]
    /// Paths, from the model on, that were left out.
    public let ignoredPaths: [String]

    static let statementType = "https://in-toto.io/Statement/v1"
    static let predicateType = "https://model_signing/signature/v1.0"
    static let oldPredicateType = "https://model_signing/Digests/v0.1"

    /// Reads a payload whose signature has been checked.
    /// - Throws: ``ProvenanceError``, also where the root hash is not that of the hashes it stands for.
    public init(file: String, payload: [UInt8]) throws(ProvenanceError) {
        let document = Document(file: file)
        let json = try document.parse(payload)
        let type = try document.string(json["_type"], "_type")
        guard type == Self.statementType else {
            throw document.invalid("_type", Self.statementType, "\"\(type.prefix(80))\"")
        }
        let predicateType = try document.string(json["predicateType"], "predicateType")
        guard predicateType == Self.predicateType else {
            throw document.invalid(
                "predicateType", Self.predicateType,
                "\"\(predicateType.prefix(80))\""
                    + (predicateType == Self.oldPredicateType ? ", of a signer before version 1.0; sign again" : ""))
        }
        guard let subjects = json["subject"]?.arrayValue, subjects.count == 1 else {
            throw document.invalid("subject", "one", "\(json["subject"]?.arrayValue?.count ?? 0)")
        }
        modelName = try document.string(subjects[0]["name"], "subject[0].name")
        let root = try document.string(subjects[0]["digest"]?["sha256"], "subject[0].digest.sha256")
        guard let predicate = json["predicate"], predicate.objectValue != nil else {
            throw document.invalid("predicate", "an object", json["predicate"]?.kind ?? "nothing")
        }
        let (method, ignored) = try Self.serialization(predicate["serialization"], document)
        self.method = method
        ignoredPaths = ignored
        resources = try Self.resources(predicate["resources"], method, document)

        var hash = SHA256()
        for resource in resources { hash.update(data: FileHash.bytes(hexadecimal: resource.sha256) ?? []) }
        let computed = FileHash.hexadecimal(hash.finalize())
        guard computed == root else {
            throw .refused(
                file: file, reason: "the root hash \(root.prefix(64)) is not that of the files listed, \(computed)")
        }
    }

    private static func serialization(
        _ json: JSONValue?, _ document: Document
    ) throws(ProvenanceError) -> (Method, [String]) {
        let field = "predicate.serialization"
        guard let json, json.objectValue != nil else { throw document.invalid(field, "an object", "nothing") }
        let hash = try document.string(json["hash_type"], field + ".hash_type")
        guard hash == "sha256" else {
            throw document.invalid(field + ".hash_type", "sha256", "\"\(hash.prefix(40))\"")
        }
        let name = try document.string(json["method"], field + ".method")
        let method: Method
        switch name {
        case "files": method = .files
        case "shards":
            guard let size = json["shard_size"]?.intValue, size > 0 else {
                throw document.invalid(
                    field + ".shard_size", "a number of bytes", json["shard_size"]?.kind ?? "nothing")
            }
            method = .shards(size)
        default: throw document.invalid(field + ".method", "files or shards", "\"\(name.prefix(40))\"")
        }
        var ignored: [String] = []
        if let list = json["ignore_paths"], !list.isNull {
            guard let values = list.arrayValue, values.count <= 10_000 else {
                throw document.invalid(field + ".ignore_paths", "a list of paths", list.kind)
            }
            for value in values { ignored.append(try document.string(value, field + ".ignore_paths")) }
        }
        return (method, ignored)
    }

    private static func resources(
        _ json: JSONValue?, _ method: Method, _ document: Document
    ) throws(ProvenanceError) -> [Resource] {
        let field = "predicate.resources"
        guard let list = json?.arrayValue else { throw document.invalid(field, "a list", json?.kind ?? "nothing") }
        let algorithm =
            switch method {
            case .files: "sha256"
            case .shards(let size): "sha256-sharded-\(size)"
            }
        var seen: Set<String> = []
        var resources: [Resource] = []
        resources.reserveCapacity(list.count)
        for (index, value) in list.enumerated() {
            let name = try document.string(value["name"], "\(field)[\(index)].name")
            let used = try document.string(value["algorithm"], "\(field)[\(index)].algorithm")
            guard used == algorithm else {
                throw document.invalid("\(field)[\(index)].algorithm", algorithm, "\"\(used.prefix(60))\"")
            }
            let digest = try document.string(value["digest"], "\(field)[\(index)].digest")
            guard digest.utf8.count == 64, FileHash.bytes(hexadecimal: digest) != nil else {
                throw document.invalid("\(field)[\(index)].digest", "64 hexadecimal digits", "\"\(digest.prefix(80))\"")
            }
            guard seen.insert(name).inserted else {
                throw document.invalid("\(field)[\(index)].name", "each name once", "\"\(name.prefix(80))\" again")
            }
            resources.append(Resource(name: name, sha256: digest))
        }
        return resources
    }
}
