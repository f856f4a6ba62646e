// A schema document: its schemas by their places, and what references mean.

import WaletJSON

/// All schemas that have been reached in a document, each read once. Nothing outside the document is ever fetched.
struct SchemaDocument {
    private let root: JSONValue
    private let isStrict: Bool
    private let limits: GrammarLimits
    private var ids: [String: SchemaID] = [:]
    private var values: [JSONValue] = []
    private var paths: [String] = []
    private var keywords: [SchemaKeywords?] = []

    /// - Throws: ``GrammarError/limit(path:what:maximum:found:)`` before anything is built of it.
    init(_ root: JSONValue, options: JSONOptions) throws(GrammarError) {
        try Self.measure(root, options.limits)
        self.root = root
        isStrict = options.isStrict
        limits = options.limits
    }

    /// The whole document's schema.
    mutating func rootID() -> SchemaID { id(of: root, at: "#") }

    /// The id of the schema at a place. One place has one id.
    mutating func id(of value: JSONValue, at path: String) -> SchemaID {
        if let known = ids[path] { return known }
        let id = SchemaID(values.count)
        ids[path] = id
        values.append(value)
        paths.append(path)
        keywords.append(nil)
        return id
    }

    /// The schema of a member of `properties` that stands in no document, such as "an object".
    mutating func synthetic(_ value: JSONValue, named name: String) -> SchemaID { id(of: value, at: "(\(name))") }

    func path(_ id: SchemaID) -> String { paths[Int(id)] }

    mutating func keywords(of id: SchemaID) throws(GrammarError) -> SchemaKeywords {
        if let known = keywords[Int(id)] { return known }
        let path = paths[Int(id)]
        var result: SchemaKeywords
        switch values[Int(id)] {
        case .bool(let isTrue):
            result = SchemaKeywords(path: path)
            result.isFalse = !isTrue
        case .object(let object):
            result = try KeywordReader(object, path: path, isStrict: isStrict, limits: limits).read(&self)
        default:
            throw .invalid(
                path: path, expected: "a schema, which is an object or a boolean", found: values[Int(id)].kind)
        }
        keywords[Int(id)] = result
        return result
    }

    /// The schema that a `$ref` means.
    mutating func resolve(_ reference: String, from path: String) throws(GrammarError) -> SchemaID {
        func missing() -> GrammarError {
            .reference(
                path: path, expected: "# or a JSON pointer to a schema of this document, such as #/$defs/name",
                found: "\"\(reference)\"")
        }
        guard reference.utf8.first == UInt8(ascii: "#"), let fragment = Self.decoded(reference.dropFirst()) else {
            throw missing()
        }
        var value = root
        var place = "#"
        guard !fragment.isEmpty else { return id(of: value, at: place) }
        guard fragment.utf8.first == UInt8(ascii: "/") else { throw missing() }
        for part in fragment.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            guard let name = Self.unescaped(part) else { throw missing() }
            if let member = value[name] {
                value = member
            } else if let elements = value.arrayValue, let index = Int(name), elements.indices.contains(index) {
                value = elements[index]
            } else {
                throw missing()
            }
            place = place.appendingPointer(name)
        }
        guard value.objectValue != nil || value.boolValue != nil else { throw missing() }
        return id(of: value, at: place)
    }

    /// A URI fragment without its percent signs.
    private static func decoded(_ text: Substring) -> String? {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return String(text) }
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(code)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func unescaped(_ part: Substring) -> String? {
        guard part.utf8.contains(UInt8(ascii: "~")) else { return String(part) }
        var result = ""
        var rest = part.unicodeScalars
        while let scalar = rest.popFirst() {
            guard scalar == "~" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            switch rest.popFirst() {
            case "0": result += "~"
            case "1": result += "/"
            default: return nil
            }
        }
        return result
    }

    /// Refuses a document that is too large, without recursion: it may be nested deeper than the stack.
    private static func measure(_ root: JSONValue, _ limits: GrammarLimits) throws(GrammarError) {
        var bytes = 0
        var constants = 0
        var stack: [(value: JSONValue, depth: Int)] = [(root, 0)]
        while let (value, depth) = stack.popLast() {
            guard depth <= limits.schemaDepth else {
                throw .limit(path: "#", what: "levels of a schema", maximum: limits.schemaDepth, found: "more")
            }
            switch value {
            case .null, .bool, .int, .double: bytes += 8
            case .string(let text): bytes += text.utf8.count + 2
            case .array(let elements):
                bytes += 2 + elements.count
                for element in elements { stack.append((element, depth + 1)) }
            case .object(let object):
                bytes += 2
                for (key, member) in object.members {
                    bytes += key.utf8.count + 4
                    // A property may have this name too; to count it does no harm.
                    if key == "enum", let values = member.arrayValue { constants += values.count }
                    stack.append((member, depth + 1))
                }
            }
            guard bytes <= limits.schemaBytes else {
                throw .limit(path: "#", what: "bytes of a schema", maximum: limits.schemaBytes, found: "more")
            }
            guard constants <= limits.enumValues else {
                throw .limit(
                    path: "#", what: "values in the schema's enumerations", maximum: limits.enumValues,
                    found: "\(constants)")
            }
        }
    }
}
