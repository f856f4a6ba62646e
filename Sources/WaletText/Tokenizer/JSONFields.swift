// Fields of a JSON object, read with errors that name the path.

import WaletJSON

struct JSONFields {
    let object: JSONObject
    let path: String

    init(_ json: JSONValue?, _ path: String) throws(TokenizerError) {
        guard let json, let object = json.objectValue else {
            throw .field(path: path, expected: "object", found: json?.kind ?? "nothing")
        }
        self.object = object
        self.path = path
    }

    private func path(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    func error(_ key: String, expected: String) -> TokenizerError {
        .field(path: path(key), expected: expected, found: object[key]?.kind ?? "nothing")
    }

    func string(_ key: String) throws(TokenizerError) -> String {
        guard let value = object[key]?.stringValue else { throw error(key, expected: "string") }
        return value
    }

    /// Nil where the field is missing or null.
    func optionalString(_ key: String) throws(TokenizerError) -> String? {
        guard let value = object[key], !value.isNull else { return nil }
        guard let text = value.stringValue else { throw error(key, expected: "string or null") }
        return text
    }

    func bool(_ key: String, default fallback: Bool? = nil) throws(TokenizerError) -> Bool {
        if let value = object[key], !value.isNull {
            guard let flag = value.boolValue else { throw error(key, expected: "boolean") }
            return flag
        }
        guard let fallback else { throw error(key, expected: "boolean") }
        return fallback
    }

    func integer(_ key: String) throws(TokenizerError) -> Int {
        guard let value = object[key]?.intValue else { throw error(key, expected: "integer") }
        return value
    }

    func array(_ key: String) throws(TokenizerError) -> [JSONValue] {
        guard let value = object[key]?.arrayValue else { throw error(key, expected: "array") }
        return value
    }

    /// `{"Regex": …}` or `{"String": …}`, compiled as `tokenizers` does.
    func pattern(_ key: String) throws(TokenizerError) -> SplitRegex {
        let fields = try JSONFields(object[key], path(key))
        if let regex = try fields.optionalString("Regex") { return try SplitRegex(regex, .oniguruma) }
        if let text = try fields.optionalString("String") { return try SplitRegex(Self.escaped(text), .oniguruma) }
        throw error(key, expected: "object with Regex or String")
    }

    /// One Unicode scalar.
    func scalar(_ key: String) throws(TokenizerError) -> Unicode.Scalar {
        let text = try string(key)
        guard let scalar = text.unicodeScalars.first, text.unicodeScalars.count == 1 else {
            throw error(key, expected: "one character")
        }
        return scalar
    }

    /// A pattern that matches just a text.
    static func escaped(_ text: String) -> String {
        var output = ""
        for scalar in text.unicodeScalars {
            if scalar.isASCII, !scalar.properties.isAlphabetic, !("0"..."9").contains(scalar), scalar.value >= 0x20 {
                output += "\\"
            }
            output.unicodeScalars.append(scalar)
        }
        return output
    }
}
