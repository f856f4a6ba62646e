// A JSON document as a value that keeps the order of keys and the difference between 1 and 1.0.

/// One JSON value. Objects keep their keys in the order of the document, since chat templates print them and
/// checkpoints list tensors in file order.
public enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    /// A number without fraction or exponent that fits 64 bits.
    case int(Int)
    /// Any other finite number.
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)
}

extension JSONValue {
    public var isNull: Bool { self == .null }

    public var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The number as an integer; a double counts where it is integral and exactly representable.
    public var intValue: Int? {
        switch self {
        case .int(let value): value
        case .double(let value): Int(exactly: value)
        default: nil
        }
    }

    public var doubleValue: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    public var stringValue: String? {
        if case .string(let value) = self { value } else { nil }
    }

    public var arrayValue: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    public var objectValue: JSONObject? {
        if case .object(let value) = self { value } else { nil }
    }

    /// The member of an object, or nil where this is no object or has no such key.
    public subscript(key: String) -> JSONValue? { objectValue?[key] }

    /// The kind of value, for error messages: "object", "string", …
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .int: "integer"
        case .double: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }
}

/// The members of a JSON object in document order, with look-up by key in constant time.
public struct JSONObject: Sendable {
    public private(set) var keys: [String] = []
    public private(set) var values: [JSONValue] = []
    private var positions: [ExactKey: Int] = [:]

    public init() {}

    public init(_ members: [(String, JSONValue)]) {
        for (key, value) in members { self[key] = value }
    }

    public var count: Int { keys.count }
    public var isEmpty: Bool { keys.isEmpty }

    /// The members in document order.
    public var members: Zip2Sequence<[String], [JSONValue]> { zip(keys, values) }

    /// The value of a key. Setting a new key appends it, setting nil removes it (in time linear in the members).
    public subscript(key: String) -> JSONValue? {
        get { positions[ExactKey(key)].map { values[$0] } }
        set {
            switch (positions[ExactKey(key)], newValue) {
            case (let position?, let value?): values[position] = value
            case (nil, let value?):
                positions[ExactKey(key)] = keys.count
                keys.append(key)
                values.append(value)
            case (let position?, nil):
                keys.remove(at: position)
                values.remove(at: position)
                positions = Dictionary(uniqueKeysWithValues: zip(keys.map(ExactKey.init), keys.indices))
            case (nil, nil): break
            }
        }
    }

    /// Appends a member; false, and no change, where the key is there already.
    mutating func append(_ key: String, _ value: JSONValue) -> Bool {
        guard positions.updateValue(keys.count, forKey: ExactKey(key)) == nil else { return false }
        keys.append(key)
        values.append(value)
        return true
    }
}

/// A key compared by its code units. Swift's own comparison takes canonically equivalent strings for the same, which
/// vocabularies and file names are not.
private struct ExactKey: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: ExactKey, right: ExactKey) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension JSONObject: Hashable {
    /// Equal members in whatever order, as JSON defines equality.
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.count == right.count && left.members.allSatisfy { right[$0.0] == $0.1 }
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(count)
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
    ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
    public init(nilLiteral: ()) { self = .null }
}
