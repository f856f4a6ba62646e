// The list of a checkpoint's files: what must be there, to the byte.

import WaletJSON

/// `manifest.json` of a checkpoint. It carries its own hash.
struct CheckpointManifest: Equatable {
    struct File: Equatable {
        var name: String
        var bytes: Int
        var checksum: Checksum
    }

    static let name = "manifest.json"
    private static let format = "walet-checkpoint"

    var step: Int
    var bitsPerByte: Double?
    var files: [File]

    init(step: Int, bitsPerByte: Double?, files: [File]) {
        self.step = step
        self.bitsPerByte = bitsPerByte
        self.files = files
    }

    init(_ bytes: [UInt8]) throws(SealedJSON.Broken) {
        let object = try SealedJSON.open(bytes, format: Self.format, version: 1)
        guard let step = object["step"]?.intValue, step >= 0 else {
            throw SealedJSON.Broken(reason: "its step is missing")
        }
        guard let values = object["files"]?.arrayValue else {
            throw SealedJSON.Broken(reason: "its files are missing")
        }
        var files: [File] = []
        for value in values {
            guard let name = value["name"]?.stringValue, !name.isEmpty, !name.hasPrefix("."), !name.contains("/"),
                !name.utf8.contains(0), !files.contains(where: { $0.name == name }),
                let bytes = value["bytes"]?.intValue, bytes >= 0,
                let checksum = value["sha256"]?.stringValue.flatMap({ Checksum(hexadecimal: $0) })
            else {
                throw SealedJSON.Broken(reason: "its entry \(files.count) is no file with size and hash")
            }
            files.append(File(name: name, bytes: bytes, checksum: checksum))
        }
        self.step = step
        bitsPerByte = object["bits_per_byte"]?.doubleValue
        self.files = files
    }

    var encoded: [UInt8] {
        // JSON has no spelling for what is not finite.
        let value = bitsPerByte.flatMap { $0.isFinite ? JSONValue.double($0) : nil }
        let list = files.map { file -> JSONValue in
            ["name": .string(file.name), "bytes": .int(file.bytes), "sha256": .string(file.checksum.hexadecimal)]
        }
        return SealedJSON.bytes(
            JSONObject([
                ("format", .string(Self.format)), ("version", 1), ("step", .int(step)),
                ("bits_per_byte", value ?? .null), ("files", .array(list)),
            ]))
    }
}
