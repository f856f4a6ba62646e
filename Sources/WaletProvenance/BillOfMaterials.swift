// What a model is made of, as a CycloneDX document that procurement and security tools read.

import Foundation
import WaletFormats
import WaletJSON

/// A bill of materials of a model: CycloneDX 1.6 in JSON (ECMA-424), with the model card that the standard defines for
/// components of the type `machine-learning-model`.
///
/// ```swift
/// let bill = try BillOfMaterials(ModelFolder("/models/Kimi-K2-Thinking"), tool: "0.1.0")
/// print(bill.json.text(.pretty))
/// ```
public struct BillOfMaterials: Sendable {
    public struct File: Sendable, Equatable {
        public var name: String
        public var bytes: Int
        /// 64 hexadecimal digits.
        public var sha256: String
    }

    /// Where the model was pulled from.
    public struct Origin: Sendable, Equatable {
        /// `owner/name` on the hub.
        public var repository: String
        /// The commit.
        public var revision: String

        public init(repository: String, revision: String) {
            self.repository = repository
            self.revision = revision
        }
    }

    public var name: String
    public var files: [File]
    public var origin: Origin?
    /// Version of Walet.
    public var tool: String
    public var created: Date
    /// Makes the document one of a kind.
    public var serial: UUID
    let configuration: Configuration
    let format: String
    let licence: String?
    let licenceText: String?
    let conditions: [String]
    let packings: [ModelFolder.PackingEntry]

    /// Reads and hashes every file of the model.
    /// - Parameter progress: is told a file and the bytes read of it since it was last told.
    /// - Throws: ``FormatError``, ``ProvenanceError``, `CancellationError`.
    public init(
        _ folder: ModelFolder, origin: Origin? = nil, tool: String, created: Date = Date(), serial: UUID = UUID(),
        progress: ((String, Int) -> Void)? = nil
    ) throws {
        name = folder.name
        self.origin = origin
        self.tool = tool
        self.created = created
        self.serial = serial
        configuration = folder.configuration
        format = folder.format.rawValue
        licence = try folder.licence()
        licenceText = try folder.licenceText()
        conditions = try folder.licenceConditions()
        packings = try folder.packings()
        files = try folder.files().map { file in
            let path = try folder.location(of: file)
            return File(
                name: file.name, bytes: file.bytes, sha256: try FileHash.sha256(path) { progress?(file.name, $0) })
        }
    }

    /// The document.
    public var json: JSONValue {
        let parts = files.map { file -> JSONValue in
            [
                "type": "file", "bom-ref": .string(reference(file)), "name": .string(file.name),
                "hashes": [["alg": "SHA-256", "content": .string(file.sha256)]],
                "properties": [property("walet:bytes", "\(file.bytes)")],
            ]
        }
        var metadata = JSONObject([
            ("timestamp", .string(created.formatted(.iso8601))),
            ("tools", ["components": [["type": "application", "name": "walet", "version": .string(tool)]]]),
        ])
        metadata["component"] = model
        return [
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": .string("urn:uuid:" + serial.uuidString.lowercased()), "version": 1,
            "metadata": .object(metadata), "components": .array(parts),
            "dependencies": [
                ["ref": "model", "dependsOn": .array(files.map { .string(reference($0)) })]
            ],
        ]
    }

    private var model: JSONValue {
        var component = JSONObject([
            ("type", "machine-learning-model"), ("bom-ref", "model"), ("name", .string(name)),
        ])
        if let origin {
            component["version"] = .string(origin.revision)
            component["purl"] = .string(Self.packageURL(origin))
        }
        if let licences { component["licenses"] = licences }
        if let origin {
            component["externalReferences"] = [
                ["type": "distribution", "url": .string("https://huggingface.co/" + Self.encoded(origin.repository))]
            ]
        }
        component["modelCard"] = card
        component["properties"] = .array(properties)
        return .object(component)
    }

    private var card: JSONValue {
        var limits = ["context of \(configuration.contextLength) tokens"]
        if configuration.quantization != nil {
            limits.append("weights are quantized: \(packings.map(\.packing).joined(separator: ", "))")
        }
        return [
            "modelParameters": [
                "task": "text-generation", "architectureFamily": "transformer",
                "modelArchitecture": .string(configuration.modelType),
                "inputs": [["format": "text"]], "outputs": [["format": "text"]],
            ],
            "considerations": ["technicalLimitations": .array(limits.map { .string($0) })],
        ]
    }

    private var licences: JSONValue? {
        guard let licence else { return nil }
        var object = JSONObject()
        if let identifier = Self.spdx[licence.lowercased()], conditions.isEmpty {
            object["id"] = .string(identifier)
        } else {
            object["name"] = .string(licence)
        }
        if let licenceText {
            object["text"] = ["contentType": "text/plain", "content": .string(licenceText)]
        }
        return [["license": .object(object)]]
    }

    private var properties: [JSONValue] {
        let parameters = configuration.parameters
        var list: [(String, String)] = [
            ("walet:format", format),
            ("walet:parameters:total", "\(parameters.total)"), ("walet:parameters:active", "\(parameters.active)"),
            ("walet:layers", "\(configuration.layers)"), ("walet:hidden_size", "\(configuration.hiddenSize)"),
            ("walet:vocabulary_size", "\(configuration.vocabularySize)"),
            ("walet:context_length", "\(configuration.contextLength)"),
            ("walet:bytes", "\(files.reduce(0) { $0 + $1.bytes })"),
        ]
        if let experts = configuration.experts {
            list.append(
                ("walet:experts", "\(experts.count) routed, \(experts.perToken) active, \(experts.shared) shared"))
        }
        for packing in packings {
            list.append(
                (
                    "walet:quantization:\(packing.packing)",
                    "\(packing.tensors) tensors, \(packing.values) values, \(packing.bytes) bytes"
                ))
        }
        for condition in conditions { list.append(("walet:licence_condition", condition)) }
        return list.map { property($0, $1) }
    }

    private func property(_ name: String, _ value: String) -> JSONValue {
        ["name": .string(name), "value": .string(value)]
    }

    private func reference(_ file: File) -> String { "file:" + file.name }

    /// Names of licences on hubs to identifiers of SPDX. Others are given by name.
    static let spdx = [
        "apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause",
        "gpl-3.0": "GPL-3.0-only", "agpl-3.0": "AGPL-3.0-only", "lgpl-3.0": "LGPL-3.0-only", "mpl-2.0": "MPL-2.0",
        "cc0-1.0": "CC0-1.0", "cc-by-4.0": "CC-BY-4.0", "cc-by-sa-4.0": "CC-BY-SA-4.0",
        "cc-by-nc-4.0": "CC-BY-NC-4.0", "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0", "unlicense": "Unlicense",
    ]

    /// `pkg:huggingface/owner/name@revision` (package-url/purl-spec, type huggingface).
    private static func packageURL(_ origin: Origin) -> String {
        "pkg:huggingface/\(encoded(origin.repository))@\(encoded(origin.revision.lowercased()))"
    }

    private static func encoded(_ text: String) -> String {
        text.utf8.map { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E, 0x2F: String(UnicodeScalar(byte))
            default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }
}
