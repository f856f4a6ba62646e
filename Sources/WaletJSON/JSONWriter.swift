// JSON text from a value, compact or indented, in the spelling that a caller needs.

extension JSONValue {
    /// How a document is spelled.
    public struct Style: Sendable {
        /// Between members and elements; ", " is what Python prints.
        public var itemSeparator: String
        /// Between a key and its value.
        public var keySeparator: String
        /// Spaces a level, or nil for one line.
        public var indent: Int?
        public var sortKeys: Bool

        public init(
            itemSeparator: String = ",", keySeparator: String = ":", indent: Int? = nil, sortKeys: Bool = false
        ) {
            self.itemSeparator = itemSeparator
            self.keySeparator = keySeparator
            self.indent = indent
            self.sortKeys = sortKeys
        }

        /// `{"a":1,"b":2}`
        public static let compact = Style()
        /// What Python's `json.dumps` prints by default.
        public static let python = Style(itemSeparator: ", ", keySeparator: ": ")
        /// Two spaces a level.
        public static let pretty = Style(itemSeparator: ",", keySeparator: ": ", indent: 2)
    }

    /// The document as text. Characters beyond ASCII stay as they are; a double is spelled as Python's `repr` does.
    public func text(_ style: Style = .compact) -> String {
        var output = ""
        write(to: &output, style, level: 0)
        return output
    }

    private func write(to output: inout String, _ style: Style, level: Int) {
        switch self {
        case .null: output += "null"
        case .bool(let value): output += value ? "true" : "false"
        case .int(let value): output += String(value)
        case .double(let value): output += Self.spell(value)
        case .string(let value): Self.write(value, to: &output)
        case .array(let elements):
            Self.writeList(elements, "[", "]", to: &output, style, level: level) { element, output in
                element.write(to: &output, style, level: level + 1)
            }
        case .object(let object):
            var members = Array(object.members)
            if style.sortKeys {
                members.sort { $0.0.unicodeScalars.lexicographicallyPrecedes($1.0.unicodeScalars) }
            }
            Self.writeList(members, "{", "}", to: &output, style, level: level) { member, output in
                Self.write(member.0, to: &output)
                output += style.keySeparator
                member.1.write(to: &output, style, level: level + 1)
            }
        }
    }

    private static func writeList<Element>(
        _ elements: [Element], _ open: String, _ close: String, to output: inout String, _ style: Style, level: Int,
        _ writeElement: (Element, inout String) -> Void
    ) {
        output += open
        for (index, element) in elements.enumerated() {
            if index > 0 { output += style.itemSeparator }
            if let indent = style.indent { output += "\n" + String(repeating: " ", count: indent * (level + 1)) }
            writeElement(element, &output)
        }
        if let indent = style.indent, !elements.isEmpty {
            output += "\n" + String(repeating: " ", count: indent * level)
        }
        output += close
    }

    /// A number as Python's `repr` spells it, which Swift's shortest spelling equals but for the exponent's form.
    private static func spell(_ value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity" }
        let magnitude = abs(value)
        if magnitude != 0, magnitude < 1e-4 || magnitude >= 1e16 {
            let parts = "\(value)".split(separator: "e")
            if parts.count == 2, let exponent = Int(parts[1]) {
                let digits = parts[0].hasSuffix(".0") ? parts[0].dropLast(2) : parts[0]
                let sign = exponent < 0 ? "-" : "+"
                return "\(digits)e\(sign)\(abs(exponent) < 10 ? "0" : "")\(abs(exponent))"
            }
        }
        return "\(value)"
    }

    private static func write(_ string: String, to output: inout String) {
        output += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": output += "\\\""
            case "\\": output += "\\\\"
            case "\n": output += "\\n"
            case "\r": output += "\\r"
            case "\t": output += "\\t"
            case "\u{08}": output += "\\b"
            case "\u{0C}": output += "\\f"
            case _ where scalar.value < 0x20:
                let code = String(scalar.value, radix: 16)
                output += "\\u" + String(repeating: "0", count: 4 - code.count) + code
            default: output.unicodeScalars.append(scalar)
            }
        }
        output += "\""
    }
}
