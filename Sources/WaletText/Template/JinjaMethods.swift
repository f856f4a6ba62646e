// Methods of strings, lists and dictionaries.

enum JinjaMethod: String {
    case append, capitalize, casefold, center, changed, clear, copy, count, cycle, endswith, extend, find, format, get
    case index, insert, isalnum, isalpha, isdecimal, isdigit, islower, isnumeric, isspace, istitle, isupper, items
    case join, keys, ljust, lower, lstrip, next, partition, pop, remove, removeprefix, removesuffix, replace, reset
    case reverse, rfind, rindex, rjust, rpartition, rsplit, rstrip, setdefault, sort, split, splitlines, startswith
    case strip, swapcase, title, update, upper, values, zfill

    private static let ofText: Set<JinjaMethod> = [
        .capitalize, .casefold, .center, .count, .endswith, .find, .format, .index, .isalnum, .isalpha, .isdecimal,
        .isdigit, .islower, .isnumeric, .isspace, .istitle, .isupper, .join, .ljust, .lower, .lstrip, .partition,
        .removeprefix, .removesuffix, .replace, .rfind, .rindex, .rjust, .rpartition, .rsplit, .rstrip, .split,
        .splitlines, .startswith, .strip, .swapcase, .title, .upper, .zfill,
    ]
    private static let ofList: Set<JinjaMethod> = [
        .append, .clear, .copy, .count, .extend, .index, .insert, .pop, .remove, .reverse, .sort,
    ]
    private static let ofDictionary: Set<JinjaMethod> = [
        .clear, .copy, .get, .items, .keys, .pop, .setdefault, .update, .values,
    ]

    func exists(on value: JinjaValue) -> Bool {
        switch value {
        case .text: Self.ofText.contains(self)
        case .list: Self.ofList.contains(self)
        case .tuple, .sequence(.range, _): self == .count || self == .index
        case .dictionary: Self.ofDictionary.contains(self)
        default: false
        }
    }
}

extension JinjaInterpreter {
    @inline(never)
    func call(
        _ method: JinjaMethod, of receiver: JinjaValue, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        switch receiver {
        case .text(let text): return try call(method, of: text, arguments)
        case .list(let list): return try call(method, of: list, arguments)
        case .tuple(let items), .sequence(_, let items): return try search(method, items, arguments)
        case .dictionary(let dictionary): return try call(method, of: dictionary, arguments)
        case .loop(let loop):
            if method == .cycle {
                guard !arguments.positional.isEmpty else { throw failure("loop.cycle needs values") }
                return arguments.positional[loop.index % arguments.positional.count]
            }
            var isSame = loop.lastChanged?.count == arguments.positional.count
            for (old, new) in zip(loop.lastChanged ?? [], arguments.positional) where isSame {
                isSame = try isEqual(old, new)
            }
            if !isSame { loop.lastChanged = arguments.positional }
            return .bool(!isSame)
        case .cycler(let cycler):
            let value = cycler.items[cycler.position]
            cycler.position = method == .reset ? 0 : (cycler.position + 1) % cycler.items.count
            return method == .reset ? .none : value
        default: throw failure("\(receiver.kind) has no method '\(method.rawValue)'")
        }
    }

    // MARK: Lists

    private func search(
        _ method: JinjaMethod, _ items: [JinjaValue], _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        guard let wanted = try bind(arguments, ["value"], for: method.rawValue)[0] else {
            throw failure("\(method.rawValue) needs a value")
        }
        var count = 0
        for (index, item) in items.enumerated() {
            try charge()
            guard try isEqual(item, wanted) else { continue }
            if method == .index { return .integer(index) }
            count += 1
        }
        guard method == .count else { throw failure("index: the value is not in the list") }
        return .integer(count)
    }

    @inline(never)
    private func call(
        _ method: JinjaMethod, of list: JinjaList, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        switch method {
        case .count, .index: return try search(method, list.items, arguments)
        case .copy: return .list(JinjaList(list.items))
        default: break
        }
        note(mutated: list)
        switch method {
        case .append:
            guard let item = try bind(arguments, ["object"], for: "append")[0] else {
                throw failure("append needs a value")
            }
            if list.items.count >= limits.elements { try charge(elements: list.items.count + 1) }
            list.items.append(item)
        case .extend:
            guard let items = try bind(arguments, ["iterable"], for: "extend")[0] else {
                throw failure("extend needs a sequence")
            }
            let elements = try elements(of: items)
            try charge(elements: list.items.count + elements.count)
            list.items += elements
        case .insert:
            let given = try bind(arguments, ["index", "object"], for: "insert")
            guard let index = given[0]?.integerValue, let item = given[1] else {
                throw failure("insert needs an index and a value")
            }
            try charge(elements: list.items.count + 1)
            let position = index < 0 ? max(0, index + list.items.count) : min(index, list.items.count)
            list.items.insert(item, at: position)
        case .pop:
            let given = try bind(arguments, ["index"], for: "pop")[0]
            guard let index = given.map(\.integerValue) ?? -1 else { throw failure("pop needs an index") }
            let position = index < 0 ? index + list.items.count : index
            guard list.items.indices.contains(position) else { throw failure("pop: the list has no such element") }
            try charge(elements: list.items.count - position)
            return list.items.remove(at: position)
        case .remove:
            guard case .integer(let index) = try search(.index, list.items, arguments) else { break }
            try charge(elements: list.items.count)
            list.items.remove(at: index)
        case .reverse:
            try charge(elements: list.items.count)
            list.items.reverse()
        case .sort:
            let given = try bind(arguments, ["reverse"], for: "sort")
            list.items = try sorted(list.items, reverse: given[0]?.isTrue ?? false, keys: list.items)
        default: list.items = []
        }
        return .none
    }

    /// Elements in the order of their keys, which are computed once.
    func sorted(
        _ items: [JinjaValue], reverse: Bool, keys: [JinjaValue]
    ) throws(TemplateError) -> [JinjaValue] {
        try charge(elements: items.count)
        let order = try sorted(Array(items.indices)) { (left, right) throws(TemplateError) in
            let order = try self.order(keys[left], keys[right]) ?? 0
            return reverse ? -order : order
        }
        return order.map { items[$0] }
    }

    // MARK: Dictionaries

    @inline(never)
    private func call(
        _ method: JinjaMethod, of dictionary: JinjaDictionary, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        switch method {
        case .get:
            let given = try bind(arguments, ["key", "default"], for: "get")
            guard let name = given[0] else { throw failure("get needs a key") }
            return dictionary[try key(name)] ?? given[1] ?? .none
        case .keys: return .sequence(.keys, dictionary.keys)
        case .values: return .sequence(.values, dictionary.values)
        case .items:
            try charge(elements: dictionary.count)
            return .sequence(.items, zip(dictionary.keys, dictionary.values).map { .tuple([$0, $1]) })
        case .copy:
            try charge(elements: dictionary.count)
            return .dictionary(dictionary.copy())
        default: break
        }
        note(mutated: dictionary)
        switch method {
        case .pop:
            let given = try bind(arguments, ["key", "default"], for: "pop")
            guard let name = given[0] else { throw failure("pop needs a key") }
            try charge(elements: dictionary.count)
            guard let value = dictionary.remove(try key(name)) ?? given[1] else {
                throw failure("pop: the dictionary has no such key")
            }
            return value
        case .setdefault:
            let given = try bind(arguments, ["key", "default"], for: "setdefault")
            guard let name = given[0] else { throw failure("setdefault needs a key") }
            let key = try key(name)
            if let value = dictionary[key] { return value }
            if dictionary.count >= limits.elements { try charge(elements: dictionary.count + 1) }
            dictionary.set(key, name, given[1] ?? .none)
            return given[1] ?? .none
        case .update:
            var members: [(JinjaValue, JinjaValue)] = []
            if let first = arguments.positional.first {
                guard case .dictionary(let other) = first else { throw failure("update needs a dictionary") }
                members = Array(zip(other.keys, other.values))
            }
            for (name, value) in arguments.named { members.append((.text(name), value)) }
            try charge(elements: dictionary.count + members.count)
            for (name, value) in members { dictionary.set(try key(name), name, value) }
        default: dictionary.removeAll()
        }
        return .none
    }

    // MARK: Strings

    @inline(never)
    func call(
        _ method: JinjaMethod, of text: MarkedText, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> JinjaValue {
        try charge(bytes: text.count)
        let name = method.rawValue
        switch method {
        case .strip, .lstrip, .rstrip:
            let characters = try bind(arguments, ["chars"], for: name)[0]
            return .text(
                try stripped(text, characters, leading: method != .rstrip, trailing: method != .lstrip))
        case .split, .rsplit:
            let given = try bind(arguments, ["sep", "maxsplit"], for: name)
            let limit = try integer(given[1], or: -1, name)
            return .list(
                JinjaList(try split(text, at: given[0], limit: limit < 0 ? Int.max : limit, fromEnd: method == .rsplit))
            )
        case .splitlines:
            return .list(
                JinjaList(try lines(text, keepEnds: try bind(arguments, ["keepends"], for: name)[0]?.isTrue ?? false)))
        case .startswith, .endswith:
            let given = try bind(arguments, ["prefix"], for: name)
            var affixes: [JinjaValue] = []
            if case .tuple(let items)? = given[0] { affixes = items } else if let first = given[0] { affixes = [first] }
            for affix in affixes {
                guard case .text(let affix) = affix else { throw failure("\(name) needs a string, not \(affix.kind)") }
                try charge(bytes: affix.count)
                if method == .startswith ? text.bytes.starts(with: affix.bytes) : text.hasSuffix(affix) {
                    return .bool(true)
                }
            }
            return .bool(false)
        case .removeprefix, .removesuffix:
            let affix = try string(try bind(arguments, ["prefix"], for: name)[0], name)
            if method == .removeprefix {
                return .text(text.bytes.starts(with: affix.bytes) ? text.slice(affix.count..<text.count) : text)
            }
            return .text(!affix.isEmpty && text.hasSuffix(affix) ? text.slice(0..<(text.count - affix.count)) : text)
        case .partition, .rpartition:
            let separator = try string(try bind(arguments, ["sep"], for: name)[0], name)
            guard !separator.isEmpty else { throw failure("\(name) needs a separator that is not empty") }
            let parts = try split(text, at: .text(separator), limit: 1, fromEnd: method == .rpartition)
            if parts.count == 2 { return .tuple([parts[0], .text(separator), parts[1]]) }
            let empty = JinjaValue.text("")
            return .tuple(method == .partition ? [.text(text), empty, empty] : [empty, empty, .text(text)])
        case .replace:
            let given = try bind(arguments, ["old", "new", "count"], for: name)
            return .text(
                try replaced(
                    text, try string(given[0], name), try string(given[1], name), try integer(given[2], or: -1, name)))
        case .join:
            guard let items = try bind(arguments, ["iterable"], for: name)[0] else {
                throw failure("join needs a sequence")
            }
            var parts: [MarkedText] = []
            for item in try elements(of: items) { parts.append(try string(item, name)) }
            return .text(try joined(parts, text))
        case .find, .rfind, .index, .rindex, .count:
            return .integer(try find(method, text, try bind(arguments, ["sub", "start", "end"], for: name)))
        case .format: return .text(try braceFormatted(text, arguments))
        case .center, .ljust, .rjust, .zfill: return .text(try padded(method, text, arguments))
        case .lower, .upper, .casefold, .swapcase, .title, .capitalize:
            guard arguments.positional.isEmpty, arguments.named.isEmpty else {
                throw failure("\(name) takes no argument")
            }
            return .text(try cased(method, text))
        default:
            guard arguments.positional.isEmpty, arguments.named.isEmpty else {
                throw failure("\(name) takes no argument")
            }
            return .bool(Self.isAll(method, text.string))
        }
    }

    func string(_ value: JinjaValue?, _ function: String) throws(TemplateError) -> MarkedText {
        guard let value else { throw failure("\(function) needs one more argument") }
        if case .undefined(let name) = value { throw undefined(name) }
        guard case .text(let text) = value else { throw failure("\(function) needs a string, not \(value.kind)") }
        return text
    }

    func integer(_ value: JinjaValue?, or fallback: Int, _ function: String) throws(TemplateError) -> Int {
        switch value {
        case nil, .some(.none): return fallback
        case .some(let value):
            guard let integer = value.integerValue else {
                throw failure("\(function) needs an integer, not \(value.kind)")
            }
            return integer
        }
    }

    func stripped(
        _ text: MarkedText, _ characters: JinjaValue?, leading: Bool, trailing: Bool
    ) throws(TemplateError) -> MarkedText {
        switch characters {
        case nil, .some(.none):
            return text.trimmed(leading: leading, trailing: trailing) { $0.isPythonSpace }
        case .text(let characters):
            let set = Set(characters.string.unicodeScalars)
            return text.trimmed(leading: leading, trailing: trailing) { set.contains($0) }
        case .some(let other): throw failure("strip needs a string, not \(other.kind)")
        }
    }

    private func split(
        _ text: MarkedText, at separator: JinjaValue?, limit: Int, fromEnd: Bool
    ) throws(TemplateError) -> [JinjaValue] {
        var ranges: [Range<Int>]
        switch separator {
        case nil, .some(.none): ranges = Self.words(text.bytes, limit: limit, fromEnd: fromEnd)
        case .text(let separator):
            guard !separator.isEmpty else { throw failure("split needs a separator that is not empty") }
            ranges = Self.pieces(text.bytes, separator.bytes, limit: limit, fromEnd: fromEnd)
        case .some(let other): throw failure("split needs a string, not \(other.kind)")
        }
        try charge(elements: ranges.count)
        return ranges.map { .text(text.slice($0)) }
    }

    private static func pieces(_ bytes: [UInt8], _ separator: [UInt8], limit: Int, fromEnd: Bool) -> [Range<Int>] {
        if fromEnd {
            let ranges = pieces(Array(bytes.reversed()), Array(separator.reversed()), limit: limit, fromEnd: false)
            return ranges.reversed().map { bytes.count - $0.upperBound..<bytes.count - $0.lowerBound }
        }
        var ranges: [Range<Int>] = []
        var start = 0
        for found in occurrences(of: separator, in: bytes, limit: limit) {
            ranges.append(start..<found)
            start = found + separator.count
        }
        ranges.append(start..<bytes.count)
        return ranges
    }

    /// Where a needle stands, from the left and without overlaps; one pass whatever the texts are.
    static func occurrences(of needle: [UInt8], in bytes: [UInt8], limit: Int) -> [Int] {
        var found: [Int] = []
        var borders = [Int](repeating: 0, count: needle.count)
        var length = 0
        for index in needle.indices.dropFirst() {
            while length > 0, needle[index] != needle[length] { length = borders[length - 1] }
            if needle[index] == needle[length] { length += 1 }
            borders[index] = length
        }
        length = 0
        for (offset, byte) in bytes.enumerated() {
            guard found.count < limit else { break }
            while length > 0, byte != needle[length] { length = borders[length - 1] }
            if byte == needle[length] { length += 1 }
            if length == needle.count {
                found.append(offset - needle.count + 1)
                length = 0
            }
        }
        return found
    }

    /// Words between white space, as `split()` without a separator gives them.
    private static func words(_ bytes: [UInt8], limit: Int, fromEnd: Bool) -> [Range<Int>] {
        var words: [Range<Int>] = []
        var offset = 0
        var start: Int?
        while offset < bytes.count {
            let (scalar, length) = MarkedText.scalar(in: bytes, at: offset)
            if scalar.isPythonSpace {
                if let first = start { words.append(first..<offset) }
                start = nil
            } else if start == nil {
                start = offset
            }
            offset += length
        }
        if let first = start { words.append(first..<bytes.count) }
        guard words.count > limit else { return words }
        if fromEnd {
            let kept = words.suffix(limit)
            let rest = words[words.count - limit - 1]
            return [0..<rest.upperBound] + kept
        }
        return words.prefix(limit) + [words[limit].lowerBound..<bytes.count]
    }

    private func lines(_ text: MarkedText, keepEnds: Bool) throws(TemplateError) -> [JinjaValue] {
        var lines: [JinjaValue] = []
        var start = 0
        var offset = 0
        while offset < text.count {
            let (scalar, length) = MarkedText.scalar(in: text.bytes, at: offset)
            var end = offset + length
            switch scalar.value {
            case 0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029:
                if scalar == "\r", end < text.count, text.bytes[end] == 0x0A { end += 1 }
                try charge(2)
                lines.append(.text(text.slice(start..<(keepEnds ? end : offset))))
                start = end
            default: break
            }
            offset = end
        }
        if start < text.count { lines.append(.text(text.slice(start..<text.count))) }
        try charge(elements: lines.count)
        return lines
    }

    func replaced(
        _ text: MarkedText, _ old: MarkedText, _ new: MarkedText, _ count: Int
    ) throws(TemplateError) -> MarkedText {
        let limit = count < 0 ? Int.max : count
        var found: [Int]
        if old.isEmpty {
            found = Array(text.scalarOffsets.prefix(limit))
        } else {
            found = Self.occurrences(of: old.bytes, in: text.bytes, limit: limit)
        }
        let (growth, overflow) = found.count.multipliedReportingOverflow(by: new.count)
        try charge(bytes: overflow ? Int.max : text.count + growth)
        try charge(found.count)
        var result = MarkedText()
        var start = 0
        for offset in found {
            result.append(text.slice(start..<offset))
            result.append(new)
            start = offset + old.count
        }
        result.append(text.slice(start..<text.count))
        return result
    }

    func joined(_ parts: [MarkedText], _ separator: MarkedText) throws(TemplateError) -> MarkedText {
        var result = MarkedText()
        for (index, part) in parts.enumerated() {
            let more = part.count + separator.count
            try charge(bytes: result.count + more, additional: 1 + more / 64)
            if index > 0 { result.append(separator) }
            result.append(part)
        }
        return result
    }

    private func find(
        _ method: JinjaMethod, _ text: MarkedText, _ given: [JinjaValue?]
    ) throws(TemplateError) -> Int {
        let wanted = try string(given[0], method.rawValue)
        try charge(bytes: text.count * 8)
        let offsets = text.scalarOffsets
        let count = offsets.count - 1
        func clamp(_ bound: Int) -> Int { min(max(bound < 0 ? bound + count : bound, 0), count) }
        let start = clamp(try integer(given[1], or: 0, method.rawValue))
        let end = clamp(try integer(given[2], or: count, method.rawValue))
        var found: [Int] = []
        if start <= end {
            let part = Array(text.bytes[offsets[start]..<offsets[end]])
            if wanted.isEmpty {
                found =
                    method == .count
                    ? Array(0...(end - start)) : [method == .rfind || method == .rindex ? part.count : 0]
            } else if method == .rfind || method == .rindex {
                let reversed = Self.occurrences(
                    of: Array(wanted.bytes.reversed()), in: Array(part.reversed()), limit: 1)
                found = reversed.map { part.count - $0 - wanted.count }
            } else {
                found = Self.occurrences(of: wanted.bytes, in: part, limit: method == .count ? Int.max : 1)
            }
            if method == .count { return found.count }
            if let first = found.first {
                return start + MarkedText(Array(part[..<first])).scalarCount
            }
        }
        switch method {
        case .count: return 0
        case .index, .rindex: throw failure("\(method.rawValue): the text is not found")
        default: return -1
        }
    }

    private func padded(
        _ method: JinjaMethod, _ text: MarkedText, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> MarkedText {
        let given = try bind(arguments, ["width", "fillchar"], for: method.rawValue)
        let width = try integer(given[0], or: 0, method.rawValue)
        var fill = MarkedText(method == .zfill ? "0" : " ")
        if let character = given[1] {
            fill = try string(character, method.rawValue)
            guard fill.scalarCount == 1, method != .zfill else {
                throw failure("\(method.rawValue) pads with one character")
            }
        }
        let missing = max(0, width &- text.scalarCount)
        let (total, overflow) = missing.multipliedReportingOverflow(by: fill.count)
        try charge(bytes: overflow ? Int.max : text.count + total)
        // Where the padding is odd, Python puts the extra character left if the width is odd, right if not.
        let left =
            switch method {
            case .ljust: 0
            case .center: missing / 2 + (missing & width & 1)
            default: missing
            }
        var result = MarkedText()
        var rest = text
        if method == .zfill, let sign = text.bytes.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
            result.append(text.slice(0..<1))
            rest = text.slice(1..<text.count)
        }
        for _ in 0..<left { result.append(fill) }
        result.append(rest)
        for _ in 0..<(missing - left) { result.append(fill) }
        return result
    }

    func cased(_ method: JinjaMethod, _ text: MarkedText) throws(TemplateError) -> MarkedText {
        try charge(bytes: text.count * 4)
        let string = text.string
        let result: String
        switch method {
        case .lower, .casefold: result = string.lowercased()
        case .upper: result = string.uppercased()
        case .capitalize:
            guard let first = string.unicodeScalars.first else { return text }
            result = first.properties.titlecaseMapping + String(string.unicodeScalars.dropFirst()).lowercased()
        case .swapcase:
            result = string.unicodeScalars.reduce(into: "") { result, scalar in
                let properties = scalar.properties
                result +=
                    properties.isUppercase
                    ? properties.lowercaseMapping
                    : properties.isLowercase ? properties.uppercaseMapping : String(Character(scalar))
            }
        default:
            var title = ""
            var isInside = false
            for scalar in string.unicodeScalars {
                title += isInside ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
                isInside = scalar.properties.isCased
            }
            result = title
        }
        return text.carrying(Array(result.utf8))
    }

    private static func isAll(_ method: JinjaMethod, _ string: String) -> Bool {
        let scalars = string.unicodeScalars
        guard !scalars.isEmpty else { return false }
        func isLetter(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
            default: false
            }
        }
        switch method {
        case .isspace: return scalars.allSatisfy(\.isPythonSpace)
        case .isalpha: return scalars.allSatisfy(isLetter)
        case .isdecimal: return scalars.allSatisfy { $0.properties.generalCategory == .decimalNumber }
        case .isdigit:
            return scalars.allSatisfy { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
        case .isnumeric: return scalars.allSatisfy { $0.properties.numericType != nil }
        case .isalnum: return scalars.allSatisfy { isLetter($0) || $0.properties.numericType != nil }
        case .islower, .isupper:
            let wrong = scalars.contains {
                let category = $0.properties.generalCategory
                return category == .titlecaseLetter
                    || (method == .islower ? $0.properties.isUppercase : $0.properties.isLowercase)
            }
            return !wrong
                && scalars.contains { method == .islower ? $0.properties.isLowercase : $0.properties.isUppercase }
        default:
            var isInside = false
            var isFound = false
            for scalar in scalars {
                let properties = scalar.properties
                if properties.isUppercase || properties.generalCategory == .titlecaseLetter {
                    if isInside { return false }
                    isInside = true
                    isFound = true
                } else if properties.isLowercase {
                    if !isInside { return false }
                    isFound = true
                } else {
                    isInside = false
                }
            }
            return isFound
        }
    }

    /// `str.format` with `{}`, `{0}` and `{name}`; no attributes, conversions or format specifications.
    private func braceFormatted(
        _ text: MarkedText, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> MarkedText {
        var result = MarkedText()
        var next = 0
        var index = 0
        let bytes = text.bytes
        while index < bytes.count {
            try charge(bytes: result.count, additional: 1)
            let byte = bytes[index]
            guard byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}") else {
                var end = index
                while end < bytes.count, bytes[end] != UInt8(ascii: "{"), bytes[end] != UInt8(ascii: "}") { end += 1 }
                result.append(text.slice(index..<end))
                index = end
                continue
            }
            if index + 1 < bytes.count, bytes[index + 1] == byte {
                result.append(text.slice(index..<(index + 1)))
                index += 2
                continue
            }
            guard byte == UInt8(ascii: "{"),
                let end = bytes[index...].firstIndex(of: UInt8(ascii: "}"))
            else { throw failure("format: a single brace") }
            let name = String(decoding: bytes[(index + 1)..<end], as: UTF8.self)
            index = end + 1
            var value: JinjaValue?
            if name.isEmpty {
                value = next < arguments.positional.count ? arguments.positional[next] : nil
                next += 1
            } else if let position = Int(name) {
                value = arguments.positional.indices.contains(position) ? arguments.positional[position] : nil
            } else {
                value = arguments.named.first { $0.name == name }?.value
            }
            guard let value else { throw failure("format: no value for '{\(name.prefix(80))}'") }
            let piece = try self.text(of: value)
            try charge(bytes: result.count + piece.count, additional: 1 + piece.count / 64)
            result.append(piece)
        }
        return result
    }
}

extension MarkedText {
    func hasSuffix(_ suffix: MarkedText) -> Bool {
        suffix.count <= count && bytes[(count - suffix.count)...].elementsEqual(suffix.bytes)
    }
}
