// `tojson` as transformers gives it to templates: Python's json.dumps, not escaped for HTML.

extension JinjaInterpreter {
    struct JSONStyle {
        var escapesNonASCII = false
        /// One level of indentation, or nil for one line.
        var indent: MarkedText?
        var itemSeparator = MarkedText(", ")
        var keySeparator = MarkedText(": ")
        var sortsKeys = false
    }

    func json(_ value: JinjaValue, _ arguments: JinjaCallArguments) throws(TemplateError) -> MarkedText {
        let given = try bind(arguments, ["ensure_ascii", "indent", "separators", "sort_keys"], for: "tojson")
        var style = JSONStyle()
        style.escapesNonASCII = given[0]?.isTrue ?? false
        style.sortsKeys = given[3]?.isTrue ?? false
        switch given[1] {
        case nil, .some(.none): break
        case .text(let text): style.indent = text
        case .some(let indent):
            guard let width = indent.integerValue else { throw failure("tojson's indent is \(indent.kind)") }
            guard width <= 1000 else { throw .limit(what: "spaces of indentation", limit: 1000, line: line) }
            style.indent = MarkedText(String(repeating: " ", count: max(0, width)))
        }
        if style.indent != nil { style.itemSeparator = MarkedText(",") }
        switch given[2] {
        case nil, .some(.none): break
        case .some(let separators):
            let parts = try elements(of: separators)
            guard parts.count == 2, case .text(let item) = parts[0], case .text(let key) = parts[1] else {
                throw failure("tojson's separators are two strings")
            }
            style.itemSeparator = item
            style.keySeparator = key
        }
        var output = MarkedText()
        try writeJSON(value, style, level: 0, to: &output)
        return output
    }

    private func writeJSON(
        _ value: JinjaValue, _ style: JSONStyle, level: Int, to output: inout MarkedText
    ) throws(TemplateError) {
        try enter()
        defer { leave() }
        try charge(bytes: output.count, additional: 1)
        switch value {
        case .none: output.append("null")
        case .bool(let value): output.append(value ? "true" : "false")
        case .integer(let value): output.append(String(value))
        case .float(let value): output.append(Self.jsonText(value))
        case .text(let text): try writeJSON(text, style, to: &output)
        case .list(let list): try writeJSON(list.items, style, level: level, to: &output)
        case .tuple(let items): try writeJSON(items, style, level: level, to: &output)
        case .dictionary(let dictionary): try writeJSON(dictionary, style, level: level, to: &output)
        case .undefined(let name): throw undefined(name)
        default: throw failure("\(value.kind) cannot be written as JSON")
        }
    }

    private static func jsonText(_ value: Double) -> String {
        if value.isFinite { return value.pythonText }
        return value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
    }

    private func newline(_ style: JSONStyle, level: Int, to output: inout MarkedText) throws(TemplateError) {
        guard let indent = style.indent else { return }
        output.append("\n")
        try charge(bytes: output.count + level * indent.count, additional: 1 + level * indent.count / 64)
        for _ in 0..<level { output.append(indent) }
    }

    private func writeJSON(
        _ items: [JinjaValue], _ style: JSONStyle, level: Int, to output: inout MarkedText
    ) throws(TemplateError) {
        output.append("[")
        for (index, item) in items.enumerated() {
            if index > 0 { output.append(style.itemSeparator) }
            try newline(style, level: level + 1, to: &output)
            try writeJSON(item, style, level: level + 1, to: &output)
        }
        if !items.isEmpty { try newline(style, level: level, to: &output) }
        output.append("]")
    }

    private func writeJSON(
        _ dictionary: JinjaDictionary, _ style: JSONStyle, level: Int, to output: inout MarkedText
    ) throws(TemplateError) {
        var members = Array(zip(dictionary.keys, dictionary.values))
        if style.sortsKeys {
            members = try sorted(members) { (left, right) throws(TemplateError) in
                try self.order(left.0, right.0) ?? 0
            }
        }
        output.append("{")
        for (index, (key, value)) in members.enumerated() {
            if index > 0 { output.append(style.itemSeparator) }
            try newline(style, level: level + 1, to: &output)
            switch key {
            case .text(let text): try writeJSON(text, style, to: &output)
            case .none: output.append("\"null\"")
            case .bool(let value): output.append(value ? "\"true\"" : "\"false\"")
            case .integer(let value): output.append("\"\(value)\"")
            case .float(let value): output.append("\"\(Self.jsonText(value))\"")
            default: throw failure("\(key.kind) cannot be a key in JSON")
            }
            output.append(style.keySeparator)
            try writeJSON(value, style, level: level + 1, to: &output)
        }
        if !members.isEmpty { try newline(style, level: level, to: &output) }
        output.append("}")
    }

    /// A string between quotes; its marks follow each character into its escape.
    private func writeJSON(
        _ text: MarkedText, _ style: JSONStyle, to output: inout MarkedText
    ) throws(TemplateError) {
        try charge(bytes: output.count + text.count, additional: 1 + text.count / 32)
        output.append("\"")
        output.append(text.mapped { Self.escaped($0, style) })
        output.append("\"")
    }

    private static func escaped(_ bytes: ArraySlice<UInt8>, _ style: JSONStyle) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""): output += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "\\"): output += [UInt8(ascii: "\\"), byte]
            case 0x08: output += Array("\\b".utf8)
            case 0x09: output += Array("\\t".utf8)
            case 0x0A: output += Array("\\n".utf8)
            case 0x0C: output += Array("\\f".utf8)
            case 0x0D: output += Array("\\r".utf8)
            case 0..<0x20: output += Array("\\u\(UInt32(byte).hexadecimal(4))".utf8)
            case 0x20..<0x7F: output.append(byte)
            default:
                guard style.escapesNonASCII else {
                    output.append(byte)
                    continue
                }
                var end = index
                while end < bytes.endIndex, bytes[end] & 0xC0 == 0x80 { end += 1 }
                for unit in String(decoding: bytes[(index - 1)..<end], as: UTF8.self).utf16 {
                    output += Array("\\u\(UInt32(unit).hexadecimal(4))".utf8)
                }
                index = end
            }
        }
        return output
    }

    // MARK: Sorting

    /// A stable merge sort whose comparison may fail; the comparison is at most 0 where the left element stays first.
    func sorted<Element>(
        _ elements: [Element], by order: (Element, Element) throws(TemplateError) -> Int
    ) throws(TemplateError) -> [Element] {
        var source = elements
        var width = 1
        while width < source.count {
            var merged: [Element] = []
            merged.reserveCapacity(source.count)
            var start = 0
            while start < source.count {
                let middle = min(start + width, source.count)
                let end = min(start + 2 * width, source.count)
                var left = start
                var right = middle
                while left < middle, right < end {
                    try charge()
                    if try order(source[left], source[right]) <= 0 {
                        merged.append(source[left])
                        left += 1
                    } else {
                        merged.append(source[right])
                        right += 1
                    }
                }
                merged += source[left..<middle]
                merged += source[right..<end]
                start = end
            }
            source = merged
            width *= 2
        }
        return source
    }
}
