// What `|` can do: Jinja2's filters, but for those that make HTML.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

enum JinjaFilter: String, CaseIterable {
    case abs, attr, batch, capitalize, center, `default`, dictsort, escape, first, float, format, fromjson, groupby
    case indent, int
    case items, join, last, length, list, lower, map, max, min, reject, rejectattr, replace, reverse, round, safe
    case select, selectattr, slice, sort, string, sum, title, tojson, trim, truncate, unique, upper, wordcount

    private static let aliases: [String: JinjaFilter] = [
        "count": .length, "d": .default, "e": .escape, "forceescape": .escape, "from_json": .fromjson,
    ]

    static let supported = (allCases.map(\.rawValue) + aliases.keys).sorted()

    init?(name: String) {
        guard let filter = JinjaFilter(rawValue: name) ?? Self.aliases[name] else { return nil }
        self = filter
    }
}

extension JinjaInterpreter {
    @inline(never)
    func filter(
        _ value: JinjaValue, _ filter: JinjaFilter, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        switch filter {
        case .default:
            let given = try bind(arguments, ["default_value", "boolean"], for: "default")
            let isMissing = value.isUndefined || (given[1]?.isTrue ?? false) && !value.isTrue
            return isMissing ? given[0] ?? .text("") : value
        case .tojson: return .text(try json(value, arguments))
        case .fromjson:
            _ = try bind(arguments, [], for: "from_json")
            return try parsed(try string(value, "from_json"))
        case .length:
            _ = try bind(arguments, [], for: "length")
            return .integer(try length(of: value))
        case .trim, .upper, .lower, .capitalize, .title, .replace, .indent, .escape, .safe, .string, .center, .truncate,
            .wordcount, .format:
            return try textFilter(value, filter, arguments)
        case .abs, .int, .float, .round: return try numberFilter(value, filter, arguments)
        case .map, .select, .reject, .selectattr, .rejectattr: return try choose(value, filter, arguments)
        case .sort, .dictsort, .unique, .groupby, .min, .max: return try orderFilter(value, filter, arguments)
        default: return try sequenceFilter(value, filter, arguments)
        }
    }

    // MARK: Text

    @inline(never)
    private func textFilter(
        _ value: JinjaValue, _ filter: JinjaFilter, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        let text = try text(of: value)
        try charge(bytes: text.count)
        let name = filter.rawValue
        switch filter {
        case .trim:
            return .text(
                try stripped(text, try bind(arguments, ["chars"], for: name)[0], leading: true, trailing: true))
        case .upper: return .text(try cased(.upper, text))
        case .lower: return .text(try cased(.lower, text))
        case .capitalize: return .text(try cased(.capitalize, text))
        case .title: return .text(try titled(text))
        case .string, .safe: return .text(text)
        case .escape:
            try charge(bytes: text.count * 5)
            return .text(text.mapped(Self.escapedForHTML))
        case .replace:
            let given = try bind(arguments, ["old", "new", "count"], for: name)
            guard let old = given[0], let new = given[1] else { throw failure("replace needs two strings") }
            return .text(
                try replaced(
                    text, try self.text(of: old), try self.text(of: new), try integer(given[2], or: -1, name)))
        case .indent: return .text(try indented(text, try bind(arguments, ["width", "first", "blank"], for: name)))
        case .center:
            var centered = arguments
            if arguments.positional.isEmpty, arguments.named.isEmpty { centered.positional = [.integer(80)] }
            return try call(.center, of: text, centered)
        case .truncate:
            return .text(
                try truncated(text, try bind(arguments, ["length", "killwords", "end", "leeway"], for: name)))
        case .wordcount:
            var count = 0
            var isInside = false
            for scalar in text.string.unicodeScalars {
                let isPart = scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                if isPart, !isInside { count += 1 }
                isInside = isPart
            }
            return .integer(count)
        default:
            guard arguments.named.isEmpty || arguments.positional.isEmpty else {
                throw failure("format takes positional arguments or named ones")
            }
            if arguments.named.isEmpty { return .text(try formatted(text, .tuple(arguments.positional))) }
            let members = JinjaDictionary()
            for (name, value) in arguments.named { members.set(.text(Array(name.utf8)), .text(name), value) }
            return .text(try formatted(text, .dictionary(members)))
        }
    }

    private static func escapedForHTML(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var output: [UInt8] = []
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "&"): output += Array("&amp;".utf8)
            case UInt8(ascii: "<"): output += Array("&lt;".utf8)
            case UInt8(ascii: ">"): output += Array("&gt;".utf8)
            case UInt8(ascii: "'"): output += Array("&#39;".utf8)
            case UInt8(ascii: "\""): output += Array("&#34;".utf8)
            default: output.append(byte)
            }
        }
        return output
    }

    /// Jinja2's own title case: a word begins after white space or one of `-({[<`.
    private func titled(_ text: MarkedText) throws(TemplateError) -> MarkedText {
        try charge(bytes: text.count * 4)
        var result = ""
        var isStart = true
        var wasSeparator: Bool?
        for scalar in text.string.unicodeScalars {
            let isSeparator = scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar)
            isStart = wasSeparator != isSeparator
            wasSeparator = isSeparator
            result += isStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
        }
        return text.carrying(Array(result.utf8))
    }

    private func indented(_ text: MarkedText, _ given: [JinjaValue?]) throws(TemplateError) -> MarkedText {
        var indentation: MarkedText
        switch given[0] {
        case nil: indentation = MarkedText("    ")
        case .text(let text): indentation = text
        case .some(let width):
            let width = try integer(width, or: 4, "indent")
            guard width <= 10_000 else { throw .limit(what: "spaces of indentation", limit: 10_000, line: line) }
            indentation = MarkedText(String(repeating: " ", count: max(0, width)))
        }
        let isFirst = given[1]?.isTrue ?? false
        let isBlank = given[2]?.isTrue ?? false
        var ended = text
        ended.append("\n")
        guard case .list(let lines) = try call(.splitlines, of: ended, JinjaCallArguments()) else { return text }
        try charge(bytes: text.count + lines.items.count * indentation.count)
        var result = MarkedText()
        for (index, line) in lines.items.enumerated() {
            guard case .text(let line) = line else { continue }
            if index > 0 { result.append("\n") }
            if index == 0 ? isFirst : isBlank || !line.isEmpty { result.append(indentation) }
            result.append(line)
        }
        return result
    }

    private func truncated(_ text: MarkedText, _ given: [JinjaValue?]) throws(TemplateError) -> MarkedText {
        let length = try integer(given[0], or: 255, "truncate")
        let leeway = try integer(given[3], or: 5, "truncate")
        var end = MarkedText("...")
        if let given = given[2] { end = try string(given, "truncate") }
        guard length >= end.scalarCount, leeway >= 0 else {
            throw failure("truncate needs a length of at least its end's, and a leeway of at least 0")
        }
        let offsets = text.scalarOffsets
        guard offsets.count - 1 > length.addingReportingOverflow(leeway).partialValue else { return text }
        var result = text.slice(0..<offsets[min(length - end.scalarCount, offsets.count - 1)])
        if !(given[1]?.isTrue ?? false), let space = result.bytes.lastIndex(of: UInt8(ascii: " ")) {
            result = result.slice(0..<space)
        }
        result.append(end)
        return result
    }

    // MARK: Numbers

    @inline(never)
    private func numberFilter(
        _ value: JinjaValue, _ filter: JinjaFilter, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        if case .undefined(let name) = value { throw undefined(name) }
        switch filter {
        case .abs:
            _ = try bind(arguments, [], for: "abs")
            if case .float(let value) = value { return .float(Swift.abs(value)) }
            guard let integer = value.integerValue else { throw failure("abs needs a number, not \(value.kind)") }
            return integer < 0 ? try negate(.integer(integer)) : .integer(integer)
        case .float:
            let given = try bind(arguments, ["default"], for: "float")
            if let number = value.floatValue { return .float(number) }
            if case .text(let text) = value, let number = try Self.float(text.string) { return .float(number) }
            return given[0] ?? .float(0)
        case .int:
            let given = try bind(arguments, ["default", "base"], for: "int")
            if let integer = value.integerValue { return .integer(integer) }
            var number = value.floatValue
            if case .text(let text) = value {
                try charge(bytes: text.count)
                let string = text.string
                if let integer = Self.integer(string, base: try integer(given[1], or: 10, "int")) {
                    return .integer(integer)
                }
                number = try Self.float(string)
            }
            guard let number, number.isFinite else { return given[0] ?? .integer(0) }
            guard let integer = Int(exactly: number.rounded(.towardZero)) else {
                throw failure("an integer beyond 64 bits")
            }
            return .integer(integer)
        default:
            let given = try bind(arguments, ["precision", "method"], for: "round")
            let precision = try integer(given[0], or: 0, "round")
            guard Swift.abs(precision) <= 300 else { throw .limit(what: "digits of a number", limit: 300, line: line) }
            let method =
                try given[1].map { (value) throws(TemplateError) in try string(value, "round").string } ?? "common"
            guard let number = value.floatValue else { throw failure("round needs a number, not \(value.kind)") }
            let scale = pow(10, Double(precision))
            switch method {
            case "ceil": return .float((number * scale).rounded(.up) / scale)
            case "floor": return .float((number * scale).rounded(.down) / scale)
            case "common":
                if let integer = value.integerValue, precision >= 0 { return .integer(integer) }
                let rounded = Self.rounded(number, precision)
                return value.integerValue == nil ? .float(rounded) : .integer(Int(exactly: rounded) ?? 0)
            default: throw failure("round's method is common, ceil or floor")
            }
        }
    }

    private static func rounded(_ number: Double, _ precision: Int) -> Double {
        guard number.isFinite else { return number }
        guard precision >= 0 else {
            let scale = pow(10, Double(-precision))
            return (number / scale).rounded(.toNearestOrEven) * scale
        }
        // The C library rounds the exact decimal value, as Python does.
        var buffer = [CChar](repeating: 0, count: 1024)
        let length = withVaList([Int32(precision), number]) { vsnprintf(&buffer, buffer.count, "%.*f", $0) }
        guard length > 0, Int(length) < buffer.count else { return number }
        return Double(String(decoding: buffer[..<Int(length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)) ?? number
    }

    /// Python's `int(text, base)`, or nil where that raises.
    private static func integer(_ text: String, base: Int) -> Int? {
        var digits = trimmed(text).lowercased()
        var sign = ""
        if let first = digits.first, first == "-" || first == "+" {
            sign = first == "-" ? "-" : ""
            digits.removeFirst()
        }
        let prefixes = [16: "0x", 8: "0o", 2: "0b"]
        if let prefix = prefixes[base], digits.hasPrefix(prefix) { digits.removeFirst(2) }
        guard (2...36).contains(base), !digits.hasPrefix("_"), !digits.hasSuffix("_"), !digits.contains("__") else {
            return nil
        }
        digits.removeAll { $0 == "_" }
        guard let first = digits.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else { return nil }
        return Int(sign + digits, radix: base)
    }

    /// Python's `float(text)`, or nil where that raises.
    private static func float(_ text: String) throws(TemplateError) -> Double? {
        let trimmed = trimmed(text).lowercased()
        guard !trimmed.contains("x"), !trimmed.contains("p"), !trimmed.hasPrefix("_"), !trimmed.hasSuffix("_"),
            !trimmed.contains("__")
        else { return nil }
        switch trimmed.drop(while: { $0 == "+" || $0 == "-" }) {
        case "inf", "infinity": return trimmed.hasPrefix("-") ? -Double.infinity : .infinity
        case "nan": return .nan
        default: break
        }
        guard let first = trimmed.utf8.first(where: { $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            first == UInt8(ascii: ".") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first)
        else { return nil }
        return Double(trimmed.filter { $0 != "_" })
    }

    private static func trimmed(_ text: String) -> String {
        MarkedText(text).trimmed(leading: true, trailing: true) { $0.isPythonSpace }.string
    }

    // MARK: Choosing

    @inline(never)
    private func choose(
        _ value: JinjaValue, _ filter: JinjaFilter, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        var rest = arguments
        // Jinja2 does not look into what is false: None has no elements here.
        let items = value.isTrue ? try elements(of: value) : []
        var result: [JinjaValue] = []
        if filter == .map {
            if rest.positional.isEmpty, let index = rest.named.firstIndex(where: { $0.name == "attribute" }) {
                let path = try attributePath(rest.named.remove(at: index).value)
                let fallback = try bind(rest, ["default"], for: "map")[0]
                for item in items { result.append(try follow(path, from: item, or: fallback)) }
                return .sequence(.generator, result)
            }
            guard !rest.positional.isEmpty else { throw failure("map needs a filter or an attribute") }
            let name = try string(rest.positional.removeFirst(), "map").string
            guard let inner = JinjaFilter(name: name) else {
                throw .unsupported(.filter, name: name, line: line, supported: JinjaFilter.supported)
            }
            try enter()
            defer { leave() }
            for item in items {
                try charge()
                result.append(try self.filter(item, inner, rest))
            }
            return .sequence(.generator, result)
        }
        var path: [JinjaValue]?
        if filter == .selectattr || filter == .rejectattr {
            guard !rest.positional.isEmpty else { throw failure("\(filter.rawValue) needs an attribute") }
            path = try attributePath(rest.positional.removeFirst())
        }
        var test: JinjaTest?
        if !rest.positional.isEmpty {
            let name = try string(rest.positional.removeFirst(), filter.rawValue).string
            test = JinjaTest(name: name) ?? Self.operators[name]
            guard test != nil else {
                throw .unsupported(.test, name: name, line: line, supported: JinjaTest.supported)
            }
        }
        let keeps = filter == .select || filter == .selectattr
        for item in items {
            try charge()
            let examined =
                try path.map { (path) throws(TemplateError) in try follow(path, from: item, or: nil) } ?? item
            let holds: Bool
            if let test { holds = try self.test(examined, test, rest) } else { holds = examined.isTrue }
            if holds == keeps { result.append(item) }
        }
        return .sequence(.generator, result)
    }

    private static let operators: [String: JinjaTest] = [
        "==": .eq, "!=": .ne, "<": .lt, "<=": .le, ">": .gt, ">=": .ge,
    ]

    /// "a.b.0" as the steps a, b and 0.
    private func attributePath(_ value: JinjaValue) throws(TemplateError) -> [JinjaValue] {
        if value.integerValue != nil { return [value] }
        let text = try string(value, "an attribute")
        return text.string.split(separator: ".", omittingEmptySubsequences: false).map {
            Int($0).map(JinjaValue.integer) ?? .text(String($0))
        }
    }

    private func follow(
        _ path: [JinjaValue], from item: JinjaValue, or fallback: JinjaValue?
    ) throws(TemplateError) -> JinjaValue {
        var value = item
        for step in path {
            try charge()
            value = try self.item(step, of: value)
            if value.isUndefined, let fallback { value = fallback }
        }
        return value
    }

    // MARK: Order

    @inline(never)
    private func orderFilter(
        _ value: JinjaValue, _ filter: JinjaFilter, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        let name = filter.rawValue
        switch filter {
        case .sort:
            let given = try bind(arguments, ["reverse", "case_sensitive", "attribute"], for: name)
            let items = try elements(of: value)
            let keys = try sortKeys(items, given[2], isCaseSensitive: given[1]?.isTrue ?? false)
            return .list(JinjaList(try sorted(items, reverse: given[0]?.isTrue ?? false, keys: keys)))
        case .dictsort:
            let given = try bind(arguments, ["case_sensitive", "by", "reverse"], for: name)
            guard case .dictionary(let dictionary) = value else { throw failure("dictsort needs a dictionary") }
            let by = try given[1].map { (value) throws(TemplateError) in try string(value, name).string } ?? "key"
            guard by == "key" || by == "value" else { throw failure("dictsort sorts by 'key' or 'value'") }
            let pairs = zip(dictionary.keys, dictionary.values).map { JinjaValue.tuple([$0, $1]) }
            let keys = try sortKeys(
                by == "key" ? dictionary.keys : dictionary.values, nil, isCaseSensitive: given[0]?.isTrue ?? false)
            return .list(JinjaList(try sorted(pairs, reverse: given[2]?.isTrue ?? false, keys: keys)))
        case .unique:
            let given = try bind(arguments, ["case_sensitive", "attribute"], for: name)
            let items = try elements(of: value)
            let keys = try sortKeys(items, given[1], isCaseSensitive: given[0]?.isTrue ?? false)
            var seen: Set<JinjaKey> = []
            var result: [JinjaValue] = []
            for (item, key) in zip(items, keys) where seen.insert(try self.key(key)).inserted { result.append(item) }
            return .sequence(.generator, result)
        case .groupby:
            let given = try bind(arguments, ["attribute", "default", "case_sensitive"], for: name)
            guard let attribute = given[0] else { throw failure("groupby needs an attribute") }
            let items = try elements(of: value)
            let path = try attributePath(attribute)
            var values: [JinjaValue] = []
            for item in items { values.append(try follow(path, from: item, or: given[1])) }
            let keys = try sortKeys(values, nil, isCaseSensitive: given[2]?.isTrue ?? false)
            var groups: [(name: JinjaValue, key: JinjaValue, items: [JinjaValue])] = []
            for index in try sorted(items.indices.map { .integer($0) }, reverse: false, keys: keys) {
                guard let index = index.integerValue else { continue }
                if let last = groups.last, try isEqual(last.key, keys[index]) {
                    groups[groups.count - 1].items.append(items[index])
                } else {
                    groups.append((values[index], keys[index], [items[index]]))
                }
            }
            return .list(JinjaList(groups.map { .tuple([$0.name, .list(JinjaList($0.items))]) }))
        default:
            let given = try bind(arguments, ["case_sensitive", "attribute"], for: name)
            let items = try elements(of: value)
            let keys = try sortKeys(items, given[1], isCaseSensitive: given[0]?.isTrue ?? false)
            guard !items.isEmpty else { return .undefined("no aggregated item, the sequence was empty") }
            var best = 0
            for index in items.indices.dropFirst() {
                let order = try order(keys[index], keys[best]) ?? 0
                if filter == .min ? order < 0 : order > 0 { best = index }
            }
            return items[best]
        }
    }

    /// What each element is sorted by: itself or its attributes, strings in lower case unless case matters.
    private func sortKeys(
        _ items: [JinjaValue], _ attribute: JinjaValue?, isCaseSensitive: Bool
    ) throws(TemplateError) -> [JinjaValue] {
        var paths: [[JinjaValue]] = []
        switch attribute {
        case nil, .some(.none): break
        case .text(let text):
            for part in text.string.split(separator: ",") { paths.append(try attributePath(.text(String(part)))) }
        case .some(let index): paths = [try attributePath(index)]
        }
        try charge(elements: items.count)
        var keys: [JinjaValue] = []
        for item in items {
            var parts: [JinjaValue] = []
            if paths.isEmpty { parts = [item] }
            for path in paths { parts.append(try follow(path, from: item, or: nil)) }
            if !isCaseSensitive {
                for (index, part) in parts.enumerated() {
                    if case .text(let text) = part { parts[index] = .text(try cased(.lower, text)) }
                }
            }
            keys.append(parts.count == 1 ? parts[0] : .list(JinjaList(parts)))
        }
        return keys
    }

    // MARK: Sequences

    @inline(never)
    private func sequenceFilter(
        _ value: JinjaValue, _ filter: JinjaFilter, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        let name = filter.rawValue
        switch filter {
        case .first:
            let items = try elements(of: value)
            return items.first ?? .undefined("no first item, sequence was empty")
        case .last:
            let items = try elements(of: value)
            return items.last ?? .undefined("no last item, sequence was empty")
        case .list: return .list(JinjaList(try elements(of: value)))
        case .reverse:
            let items = try elements(of: value)
            guard case .text = value else { return .sequence(.generator, items.reversed()) }
            var result = MarkedText()
            for case .text(let part) in items.reversed() { result.append(part) }
            return .text(result)
        case .items:
            if value.isUndefined { return .sequence(.generator, []) }
            guard case .dictionary(let dictionary) = value else { throw failure("items needs a dictionary") }
            return .sequence(.generator, zip(dictionary.keys, dictionary.values).map { .tuple([$0, $1]) })
        case .join:
            let given = try bind(arguments, ["d", "attribute"], for: name)
            var path: [JinjaValue] = []
            if let attribute = given[1] { path = try attributePath(attribute) }
            var parts: [MarkedText] = []
            for item in try elements(of: value) {
                parts.append(try text(of: path.isEmpty ? item : try follow(path, from: item, or: nil)))
            }
            return .text(
                try joined(
                    parts, try given[0].map { (value) throws(TemplateError) in try text(of: value) } ?? MarkedText()))
        case .attr:
            let attribute = try string(try bind(arguments, ["name"], for: name)[0], name)
            guard !attribute.bytes.starts(with: "__".utf8) else { return .undefined(attribute.string) }
            if case .dictionary = value, JinjaMethod(rawValue: attribute.string)?.exists(on: value) != true {
                return .undefined(attribute.string)
            }
            return try self.attribute(attribute, of: value)
        case .sum:
            let given = try bind(arguments, ["attribute", "start"], for: name)
            var path: [JinjaValue] = []
            if let attribute = given[0], !attribute.isNone { path = try attributePath(attribute) }
            var total = given[1] ?? .integer(0)
            for item in try elements(of: value) {
                try charge()
                total = try combine(total, .add, path.isEmpty ? item : try follow(path, from: item, or: nil))
            }
            return total
        case .batch:
            let given = try bind(arguments, ["linecount", "fill_with"], for: name)
            let size = try integer(given[0], or: 0, name)
            guard size > 0 else { throw failure("batch needs a size above 0") }
            var batches: [[JinjaValue]] = []
            for item in try elements(of: value) {
                if let last = batches.last, last.count < size {
                    batches[batches.count - 1].append(item)
                } else {
                    batches.append([item])
                }
            }
            if let fill = given[1], !fill.isNone, let last = batches.last, last.count < size {
                try charge(elements: size)
                batches[batches.count - 1] += Array(repeating: fill, count: size - last.count)
            }
            return .sequence(.generator, batches.map { .list(JinjaList($0)) })
        default:
            let given = try bind(arguments, ["slices", "fill_with"], for: name)
            let count = try integer(given[0], or: 0, name)
            guard count > 0 else { throw failure("slice needs a number above 0") }
            try charge(elements: count)
            let items = try elements(of: value)
            var slices: [JinjaValue] = []
            var start = 0
            for index in 0..<count {
                let isLong = index < items.count % count
                let end = start + items.count / count + (isLong ? 1 : 0)
                var part = Array(items[start..<end])
                if let fill = given[1], !fill.isNone, !isLong { part.append(fill) }
                slices.append(.list(JinjaList(part)))
                start = end
            }
            return .sequence(.generator, slices)
        }
    }
}

extension JinjaValue {
    var isNone: Bool {
        if case .none = self { true } else { false }
    }
}
