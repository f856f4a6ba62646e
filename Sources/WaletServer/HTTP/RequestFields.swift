import Walet
import WaletJSON

/// Reads the members of one JSON object, with an error that names the parameter for the first that is wrong. What is null
/// counts as absent, as all SDKs send it.
public struct RequestFields: Sendable {
    private let object: JSONObject
    /// The object's own path, empty for a whole body.
    public let path: String
    /// The bytes of the whole body that the object was read from, where it is one.
    public let body: [UInt8]
    private var seen: Set<String> = []

    public init(_ object: JSONObject, path: String = "", body: [UInt8] = []) {
        self.object = object
        self.path = path
        self.body = body
    }

    /// Takes a value that must be an object.
    public static func object(_ value: JSONValue, path: String) throws(APIError) -> RequestFields {
        guard let object = value.objectValue else {
            throw APIError.invalid(
                "Expected an object, found \(value.kind)", parameter: path, code: "invalid_value")
        }
        return RequestFields(object, path: path)
    }

    /// Where a member stands, as in `tools[0].function.name`.
    public func path(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// The member as it is, or nil where it is absent or null.
    public mutating func value(_ key: String) -> JSONValue? {
        seen.insert(key)
        guard let value = object[key], !value.isNull else { return nil }
        return value
    }

    /// Text of at most so many bytes of UTF-8.
    public mutating func string(_ key: String, maximumBytes: Int = 4096) throws(APIError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.stringValue else { throw mismatch(key, "a string", value) }
        guard text.utf8.count <= maximumBytes else {
            throw APIError.invalid(
                "Expected at most \(maximumBytes) bytes, found \(text.utf8.count)", parameter: path(key),
                code: "string_above_max_length")
        }
        return text
    }

    public mutating func integer(_ key: String, _ range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let value = value(key) else { return nil }
        guard let number = value.intValue, range.contains(number) else {
            throw mismatch(key, "an integer from \(range.lowerBound) to \(range.upperBound)", value)
        }
        return number
    }

    public mutating func number(_ key: String, _ range: ClosedRange<Double>) throws(APIError) -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.doubleValue, range.contains(number) else {
            throw mismatch(key, "a number from \(range.lowerBound) to \(range.upperBound)", value)
        }
        return number
    }

    public mutating func boolean(_ key: String) throws(APIError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard let boolean = value.boolValue else { throw mismatch(key, "true or false", value) }
        return boolean
    }

    public mutating func array(_ key: String, maximumCount: Int) throws(APIError) -> [JSONValue]? {
        guard let value = value(key) else { return nil }
        guard let array = value.arrayValue else { throw mismatch(key, "an array", value) }
        guard array.count <= maximumCount else {
            throw APIError.invalid(
                "Expected at most \(maximumCount) elements, found \(array.count)", parameter: path(key),
                code: "array_above_max_length")
        }
        return array
    }

    public mutating func object(_ key: String) throws(APIError) -> RequestFields? {
        guard let value = value(key) else { return nil }
        return try Self.object(value, path: path(key))
    }

    /// One of some words.
    public mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, _ type: Choice.Type
    ) throws(APIError) -> Choice? where Choice.RawValue == String {
        guard let value = value(key) else { return nil }
        guard let text = value.stringValue, let choice = Choice(rawValue: text) else {
            let words = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            throw mismatch(key, "one of \(words)", value)
        }
        return choice
    }

    /// Names members that are accepted and change nothing.
    public mutating func ignore(_ keys: String...) { seen.formUnion(keys) }

    /// Turns a member down that this server knows and does not offer, unless it is absent, null, or says the default.
    public mutating func refuse(_ key: String, _ reason: String, unless defaults: JSONValue...) throws(APIError) {
        guard let value = value(key), !defaults.contains(value) else { return }
        throw APIError.unsupported(path(key), reason)
    }

    public func required<Value>(_ value: Value?, _ key: String) throws(APIError) -> Value {
        guard let value else {
            throw APIError.invalid(
                "Missing required parameter: '\(path(key))'", parameter: path(key), code: "missing_required_parameter")
        }
        return value
    }

    /// Turns down members that nobody asked for: an option that does nothing would mislead.
    public func finish() throws(APIError) {
        for key in object.keys where !seen.contains(key) {
            throw APIError.invalid(
                "Unknown parameter: '\(path(String(key.prefix(100))))'", parameter: path(String(key.prefix(100))),
                code: "unknown_parameter")
        }
    }

    /// The members' names in the document's order.
    public var keys: [String] { object.keys }

    /// The object itself.
    public var json: JSONObject { object }

    func mismatch(_ key: String, _ expected: String, _ value: JSONValue) -> APIError {
        let found: String =
            switch value {
            case .int, .double, .bool: value.text()
            case .string(let text) where text.utf8.count <= 40: value.text()
            default: value.kind
            }
        return .invalid("Expected \(expected), found \(found)", parameter: path(key), code: "invalid_value")
    }
}
