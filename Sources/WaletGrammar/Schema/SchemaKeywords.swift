// The keywords of one schema, read and checked.

import WaletJSON

/// Kinds of JSON values.
struct TypeSet: OptionSet, Hashable, Sendable {
    let rawValue: UInt8

    static let null = TypeSet(rawValue: 1)
    static let boolean = TypeSet(rawValue: 2)
    static let integer = TypeSet(rawValue: 4)
    /// Numbers that are no integers; `number` is both.
    static let fractional = TypeSet(rawValue: 8)
    static let string = TypeSet(rawValue: 16)
    static let array = TypeSet(rawValue: 32)
    static let object = TypeSet(rawValue: 64)

    static let number: TypeSet = [.integer, .fractional]
    static let all: TypeSet = [.null, .boolean, .number, .string, .array, .object]

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init?(name: String) {
        switch name {
        case "null": self = .null
        case "boolean": self = .boolean
        case "integer": self = .integer
        case "number": self = .number
        case "string": self = .string
        case "array": self = .array
        case "object": self = .object
        default: return nil
        }
    }

    init(of value: JSONValue) {
        switch value {
        case .null: self = .null
        case .bool: self = .boolean
        case .int: self = .integer
        case .double(let number): self = number.rounded() == number ? .integer : .fractional
        case .string: self = .string
        case .array: self = .array
        case .object: self = .object
        }
    }
}

/// A schema of a ``SchemaDocument``.
typealias SchemaID = Int32

/// What one schema says, the schemas in it by their ids.
struct SchemaKeywords {
    let path: String
    /// For the schemas `true` and `false`.
    var isFalse = false
    /// Nil where `type` is missing.
    var types: TypeSet?
    /// Values that `enum` and `const` leave.
    var constants: [JSONValue]?
    var number = NumberConstraint()
    var minimumLength = 0
    var maximumLength: Int?
    var pattern: String?
    var format: StringFormat?
    var prefixItems: [SchemaID] = []
    var items: SchemaID?
    var minimumItems = 0
    var maximumItems: Int?
    var properties: [(name: String, schema: SchemaID)] = []
    var required: [String] = []
    var additionalProperties: SchemaID?
    var minimumProperties = 0
    var maximumProperties: Int?
    var reference: SchemaID?
    var allOf: [SchemaID] = []
    var anyOf: [SchemaID]?
    var oneOf: [SchemaID]?
    /// Kinds of values that keywords other than `type` speak of.
    var mentioned: TypeSet = []
    /// Whether there is a keyword beside those that combine schemas.
    var hasOwn = false

    init(path: String) { self.path = path }
}

/// Reads the keywords of one schema.
struct KeywordReader {
    private let object: JSONObject
    private let path: String
    private let isStrict: Bool
    private let limits: GrammarLimits

    init(_ object: JSONObject, path: String, isStrict: Bool, limits: GrammarLimits) {
        self.object = object
        self.path = path
        self.isStrict = isStrict
        self.limits = limits
    }

    /// - Parameter document: gives schemas inside this one their ids.
    func read(_ document: inout SchemaDocument) throws(GrammarError) -> SchemaKeywords {
        var result = SchemaKeywords(path: path)
        try readCombinations(&result, &document)
        try readTypes(&result)
        try readNumbers(&result)
        try readStrings(&result)
        try readArrays(&result, &document)
        try readObjects(&result, &document)
        try refuseOthers(result)
        return result
    }

    private func invalid(_ keyword: String, _ expected: String) -> GrammarError {
        .invalid(path: path(keyword), expected: expected, found: object[keyword]?.kind ?? "nothing")
    }

    private func unsupported(_ keyword: String, _ expected: String) -> GrammarError {
        .unsupported(path: path(keyword), expected: expected, found: "\"\(keyword)\"")
    }

    private func path(_ keyword: String) -> String { path.appendingPointer(keyword) }

    // MARK: Any value

    private func readCombinations(
        _ result: inout SchemaKeywords, _ document: inout SchemaDocument
    ) throws(GrammarError) {
        if let value = object["$ref"] {
            guard let text = value.stringValue else { throw invalid("$ref", "a string") }
            result.reference = try document.resolve(text, from: path("$ref"))
        }
        result.allOf = try list("allOf", &document) ?? []
        result.anyOf = try list("anyOf", &document)
        result.oneOf = try list("oneOf", &document)
    }

    private func list(_ keyword: String, _ document: inout SchemaDocument) throws(GrammarError) -> [SchemaID]? {
        guard let value = object[keyword] else { return nil }
        guard let elements = value.arrayValue, !elements.isEmpty else {
            throw invalid(keyword, "a list of at least one schema")
        }
        var ids: [SchemaID] = []
        for (index, element) in elements.enumerated() {
            ids.append(document.id(of: element, at: path(keyword).appendingPointer("\(index)")))
        }
        return ids
    }

    private func readTypes(_ result: inout SchemaKeywords) throws(GrammarError) {
        if let value = object["type"] {
            var types: TypeSet = []
            let expected = "null, boolean, integer, number, string, array, object or a list of these"
            guard let names = value.stringValue.map({ [JSONValue.string($0)] }) ?? value.arrayValue, !names.isEmpty
            else { throw invalid("type", expected) }
            for name in names {
                guard let type = name.stringValue.flatMap({ TypeSet(name: $0) }) else {
                    throw .invalid(
                        path: path("type"), expected: expected,
                        found: name.stringValue.map { "\"\($0.shortened)\"" } ?? name.kind)
                }
                types.formUnion(type)
            }
            result.types = types
            result.hasOwn = true
        }
        if let value = object["enum"] {
            guard let values = value.arrayValue else { throw invalid("enum", "a list of values") }
            result.constants = values
            result.hasOwn = true
        }
        if let value = object["const"] {
            result.constants = result.constants.map { $0.filter { $0.equalsInJSON(value) } } ?? [value]
            result.hasOwn = true
        }
    }

    // MARK: Numbers

    private func readNumbers(_ result: inout SchemaKeywords) throws(GrammarError) {
        var number = NumberConstraint()
        func bound(_ keyword: String, _ isInclusive: Bool) throws(GrammarError) -> NumberConstraint.Bound? {
            guard let value = object[keyword] else { return nil }
            guard let decimal = Decimal(value) else { throw invalid(keyword, "a number") }
            return .init(value: decimal, isInclusive: isInclusive)
        }
        // Draft 4 had booleans that change the other bound.
        let isLowerExclusive = object["exclusiveMinimum"]?.boolValue
        let isUpperExclusive = object["exclusiveMaximum"]?.boolValue
        if let found = try bound("minimum", isLowerExclusive != true) { number.raiseLower(found) }
        if let found = try bound("maximum", isUpperExclusive != true) { number.sinkUpper(found) }
        if isLowerExclusive == nil, let found = try bound("exclusiveMinimum", false) { number.raiseLower(found) }
        if isUpperExclusive == nil, let found = try bound("exclusiveMaximum", false) { number.sinkUpper(found) }
        if let value = object["multipleOf"] {
            guard let decimal = Decimal(value), !decimal.isNegative, !decimal.isZero else {
                throw invalid("multipleOf", "a number above 0")
            }
            number.multiples = [decimal]
        }
        result.number = number
        if !number.isUnbounded {
            result.mentioned.formUnion(.number)
            result.hasOwn = true
        }
    }

    // MARK: Strings

    private func readStrings(_ result: inout SchemaKeywords) throws(GrammarError) {
        result.minimumLength = try demand("minLength") ?? 0
        result.maximumLength = try count("maxLength")
        if let value = object["pattern"] {
            guard let text = value.stringValue else { throw invalid("pattern", "a string") }
            result.pattern = text
        }
        if let value = object["format"] {
            guard let name = value.stringValue else { throw invalid("format", "a string") }
            result.format = StringFormat(rawValue: name)
            if result.format == nil, isStrict {
                throw .unsupported(
                    path: path("format"),
                    expected: "one of " + StringFormat.allCases.map(\.rawValue).joined(separator: ", "),
                    found: "the format \"\(name.shortened)\"")
            }
        }
        if result.minimumLength > 0 || result.maximumLength != nil || result.pattern != nil || result.format != nil {
            result.mentioned.formUnion(.string)
            result.hasOwn = true
        }
    }

    /// A number of characters, elements or members.
    private func count(_ keyword: String) throws(GrammarError) -> Int? {
        guard let value = object[keyword] else { return nil }
        if let count = value.intValue, count >= 0 { return count }
        // A count too large for an integer is no bound, but a number all the same.
        if let number = value.doubleValue, number > 0, number.rounded() == number { return Int.max }
        throw .invalid(
            path: path(keyword), expected: "an integer, 0 or above",
            found: value.doubleValue == nil ? value.kind : value.text().shortened)
    }

    /// A number of things that a model is forced to write.
    private func demand(_ keyword: String) throws(GrammarError) -> Int? {
        guard let count = try count(keyword) else { return nil }
        guard count <= limits.demanded else {
            throw .limit(path: path(keyword), what: keyword, maximum: limits.demanded, found: "\(count)")
        }
        return count
    }

    // MARK: Arrays

    private func readArrays(
        _ result: inout SchemaKeywords, _ document: inout SchemaDocument
    ) throws(GrammarError) {
        result.minimumItems = try demand("minItems") ?? 0
        result.maximumItems = try count("maxItems")
        result.prefixItems = try list("prefixItems", &document) ?? []
        if let value = object["items"] {
            if value.arrayValue != nil, result.prefixItems.isEmpty {
                // What prefixItems was called until 2019.
                result.prefixItems = value.arrayValue?.isEmpty == true ? [] : try list("items", &document) ?? []
                if let rest = object["additionalItems"] {
                    result.items = document.id(of: rest, at: path("additionalItems"))
                }
            } else {
                result.items = document.id(of: value, at: path("items"))
            }
        }
        if result.minimumItems > 0 || result.maximumItems != nil || result.items != nil || !result.prefixItems.isEmpty {
            result.mentioned.formUnion(.array)
            result.hasOwn = true
        }
    }

    // MARK: Objects

    private func readObjects(
        _ result: inout SchemaKeywords, _ document: inout SchemaDocument
    ) throws(GrammarError) {
        if let value = object["properties"] {
            guard let members = value.objectValue else { throw invalid("properties", "an object of schemas") }
            for (name, schema) in members.members {
                let id = document.id(of: schema, at: path("properties").appendingPointer(name))
                result.properties.append((name, id))
            }
            result.mentioned.formUnion(.object)
        }
        // A boolean on a property is how draft 3 and careless authors write it; it says nothing of a value.
        if let value = object["required"], value.boolValue == nil {
            guard let names = value.arrayValue else { throw invalid("required", "a list of names") }
            for name in names {
                guard let text = name.stringValue else {
                    throw .invalid(path: path("required"), expected: "a list of names", found: name.kind)
                }
                result.required.append(text)
            }
            if !names.isEmpty { result.mentioned.formUnion(.object) }
        }
        if let value = object["additionalProperties"] {
            result.additionalProperties = document.id(of: value, at: path("additionalProperties"))
            result.mentioned.formUnion(.object)
        }
        result.minimumProperties = try count("minProperties") ?? 0
        result.maximumProperties = try count("maxProperties")
        if result.mentioned.contains(.object) || result.minimumProperties > 0 || result.maximumProperties != nil {
            result.mentioned.formUnion(.object)
            result.hasOwn = true
        }
    }

    // MARK: The rest

    /// Keywords that restrict values and cannot be enforced, with what to do instead. Whatever else is unknown is an
    /// annotation.
    private func refuseOthers(_ result: SchemaKeywords) throws(GrammarError) {
        guard isStrict else { return }
        for keyword in object.keys {
            guard let value = object[keyword] else { continue }
            switch keyword {
            case "not", "if", "dependentSchemas", "contains":
                throw unsupported(keyword, "anyOf with the alternatives spelled out")
            case "dependentRequired", "dependencies":
                if value.objectValue?.isEmpty == true { break }
                throw unsupported(keyword, "anyOf with the alternatives spelled out")
            case "patternProperties", "propertyNames", "unevaluatedProperties":
                if value.objectValue?.isEmpty == true || value == .bool(true) { break }
                throw unsupported(keyword, "properties and additionalProperties")
            case "unevaluatedItems":
                if value.objectValue?.isEmpty == true || value == .bool(true) { break }
                throw unsupported(keyword, "prefixItems and items")
            case "uniqueItems":
                if value == .bool(false) { break }
                throw unsupported(keyword, "minItems and maxItems alone")
            case "$dynamicRef", "$recursiveRef": throw unsupported(keyword, "$ref")
            default: break
            }
        }
    }
}

extension String {
    /// The JSON pointer (RFC 6901) of a member.
    func appendingPointer(_ member: String) -> String {
        guard member.utf8.contains(where: { $0 == UInt8(ascii: "~") || $0 == UInt8(ascii: "/") }) else {
            return self + "/" + member
        }
        var escaped = ""
        for scalar in member.unicodeScalars {
            switch scalar {
            case "~": escaped += "~0"
            case "/": escaped += "~1"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return self + "/" + escaped
    }
}

extension JSONValue {
    /// Equality as JSON Schema defines it: 1 is 1.0, and strings are compared by their characters.
    func equalsInJSON(_ other: JSONValue) -> Bool {
        switch (self, other) {
        case (.int(let left), .double(let right)): right == Double(left) && Int(exactly: right) == left
        case (.double, .int): other.equalsInJSON(self)
        case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
        case (.array(let left), .array(let right)):
            left.count == right.count && zip(left, right).allSatisfy { $0.equalsInJSON($1) }
        case (.object(let left), .object(let right)):
            left.count == right.count
                && left.members.allSatisfy { key, value in right[key].map { value.equalsInJSON($0) } ?? false }
        default: self == other
        }
    }
}
