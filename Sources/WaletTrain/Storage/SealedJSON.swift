// Small JSON files that say themselves whether they are whole.

import WaletJSON

/// A JSON object whose last member, `checksum`, is the SHA-256 of the rest in compact spelling.
enum SealedJSON {
    static let key = "checksum"
    /// Files of this kind are lists of a few hundred entries at most.
    static let maximumBytes = 64 << 20

    static func bytes(_ object: JSONObject) -> [UInt8] {
        var object = object
        object[key] = .string(checksum(object).hexadecimal)
        return Array((JSONValue.object(object).text(.pretty) + "\n").utf8)
    }

    struct Broken: Error { let reason: String }

    /// The members without the seal.
    static func open(_ bytes: [UInt8], format: String, version: Int) throws(Broken) -> JSONObject {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: bytes, maximumDepth: 16) } catch {
            throw Broken(reason: "it is \(error)")
        }
        guard var object = value.objectValue else { throw Broken(reason: "it is no JSON object") }
        guard object["format"] == .string(format) else {
            throw Broken(reason: "its format is \(object["format"]?.text() ?? "missing"), not \"\(format)\"")
        }
        guard object["version"] == .int(version) else {
            throw Broken(
                reason: "its version is \(object["version"]?.text() ?? "missing"); this program reads \(version)")
        }
        guard let sealed = object[key]?.stringValue else { throw Broken(reason: "it has no \(key)") }
        object[key] = nil
        let found = checksum(object)
        guard sealed == found.hexadecimal else {
            throw Broken(reason: "it was changed: its SHA-256 is \(found), not \(sealed)")
        }
        return object
    }

    private static func checksum(_ object: JSONObject) -> Checksum {
        Checksum(of: JSONValue.object(object).text(.compact).utf8)
    }
}
