// Typed look-ups in a JSON object, with errors that name the file, the field, and what was expected.

import WaletJSON

struct Fields {
    let file: String
    let object: JSONObject
    /// What comes before a field's name in errors, such as `rope_scaling.`.
    var prefix = ""

    func failure(_ name: String, _ expected: String, _ found: String) -> FormatError {
        FormatError(file: file, field: prefix + name, expected: expected, found: found)
    }

    /// The value, or nil where there is none or it is null.
    func value(_ name: String) -> JSONValue? {
        guard let value = object[name], !value.isNull else { return nil }
        return value
    }

    func has(_ name: String) -> Bool { value(name) != nil }

    func describe(_ value: JSONValue?) -> String {
        switch value {
        case nil: "nothing"
        case .null: "null"
        case .bool(let value): "\(value)"
        case .int(let value): "\(value)"
        case .double(let value): "\(value)"
        case .string(let value): "\"\(value.prefix(80))\""
        case .array, .object: "an \(value?.kind ?? "")"
        }
    }

    func optionalInt(_ name: String, in range: ClosedRange<Int>) throws(FormatError) -> Int? {
        guard let value = value(name) else { return nil }
        guard let number = value.intValue, range.contains(number) else {
            throw failure(name, "a whole number from \(range.lowerBound) to \(range.upperBound)", describe(value))
        }
        return number
    }

    func int(_ name: String, in range: ClosedRange<Int>) throws(FormatError) -> Int {
        guard let number = try optionalInt(name, in: range) else {
            throw failure(
                name, "a whole number from \(range.lowerBound) to \(range.upperBound)", describe(object[name]))
        }
        return number
    }

    /// The value of the first of several spellings that is there.
    func int(
        _ names: [String], in range: ClosedRange<Int>, default fallback: Int? = nil
    ) throws(FormatError) -> Int {
        for name in names where has(name) { return try int(name, in: range) }
        if let fallback { return fallback }
        return try int(names[0], in: range)
    }

    func optionalDouble(_ name: String, in range: ClosedRange<Double>) throws(FormatError) -> Double? {
        guard let value = value(name) else { return nil }
        guard let number = value.doubleValue, range.contains(number) else {
            throw failure(name, "a number from \(range.lowerBound) to \(range.upperBound)", describe(value))
        }
        return number
    }

    func double(_ name: String, in range: ClosedRange<Double>) throws(FormatError) -> Double {
        guard let number = try optionalDouble(name, in: range) else {
            throw failure(name, "a number from \(range.lowerBound) to \(range.upperBound)", describe(object[name]))
        }
        return number
    }

    func optionalBool(_ name: String) throws(FormatError) -> Bool? {
        guard let value = value(name) else { return nil }
        guard let flag = value.boolValue else { throw failure(name, "true or false", describe(value)) }
        return flag
    }

    func bool(_ name: String, default fallback: Bool) throws(FormatError) -> Bool {
        try optionalBool(name) ?? fallback
    }

    func optionalString(_ name: String) throws(FormatError) -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.stringValue else { throw failure(name, "a string", describe(value)) }
        return text
    }

    func optionalArray(_ name: String) throws(FormatError) -> [JSONValue]? {
        guard let value = value(name) else { return nil }
        guard let array = value.arrayValue else { throw failure(name, "an array", describe(value)) }
        return array
    }

    func optionalFields(_ name: String) throws(FormatError) -> Fields? {
        guard let value = value(name) else { return nil }
        guard let object = value.objectValue else { throw failure(name, "an object", describe(value)) }
        return Fields(file: file, object: object, prefix: prefix + name + ".")
    }

    /// Token ids from a number or a list of numbers; negative ones mean none.
    func tokens(_ name: String) throws(FormatError) -> [Int] {
        guard let value = value(name) else { return [] }
        let values = value.arrayValue ?? [value]
        guard values.count <= 4096 else { throw failure(name, "at most 4096 ids", "\(values.count)") }
        var tokens: [Int] = []
        for value in values {
            guard let token = value.intValue else {
                throw failure(name, "a token id or a list of them", describe(value))
            }
            if token >= 0, !tokens.contains(token) { tokens.append(token) }
        }
        return tokens
    }
}

extension Fields {
    /// Parses a file that holds one JSON object.
    init(file: String, parsing bytes: [UInt8]) throws(FormatError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue(parsing: bytes, maximumDepth: 64)
        } catch {
            throw FormatError(file: file, expected: "JSON", found: error.description)
        }
        guard let object = value.objectValue else {
            throw FormatError(file: file, expected: "a JSON object", found: "a JSON \(value.kind)")
        }
        self.init(file: file, object: object)
    }
}
