// The values that a template computes with, by Python's rules for equality, order, truth and printing.

import WaletJSON

enum JinjaValue {
    /// A missing variable or member, with the name that was looked for.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case text(MarkedText)
    case list(JinjaList)
    case tuple([JinjaValue])
    /// What iterates like a list and is none: a dictionary's views, a filter's generator, a range.
    case sequence(JinjaSequenceKind, [JinjaValue])
    case dictionary(JinjaDictionary)
    case namespace(JinjaNamespace)
    case loop(JinjaLoopState)
    case macro(JinjaClosure)
    case global(JinjaGlobal)
    indirect case method(JinjaValue, JinjaMethod)
    case cycler(JinjaCycler)
    case joiner(JinjaJoiner)

    static func text(_ string: String) -> JinjaValue { .text(MarkedText(string)) }
}

enum JinjaSequenceKind: Equatable {
    case keys, values, items, generator
    case range(start: Int, stop: Int, step: Int)
}

/// A list that `append` changes in place, as Python's do.
final class JinjaList {
    var items: [JinjaValue]

    init(_ items: [JinjaValue]) { self.items = items }
}

/// A dictionary in order of insertion.
final class JinjaDictionary {
    private(set) var keys: [JinjaValue] = []
    var values: [JinjaValue] = []
    private var positions: [JinjaKey: Int] = [:]

    var count: Int { keys.count }

    subscript(key: JinjaKey) -> JinjaValue? { positions[key].map { values[$0] } }

    func set(_ key: JinjaKey, _ name: JinjaValue, _ value: JinjaValue) {
        if let position = positions[key] {
            values[position] = value
        } else {
            positions[key] = keys.count
            keys.append(name)
            values.append(value)
        }
    }

    func remove(_ key: JinjaKey) -> JinjaValue? {
        guard let position = positions.removeValue(forKey: key) else { return nil }
        keys.remove(at: position)
        for (key, index) in positions where index > position { positions[key] = index - 1 }
        return values.remove(at: position)
    }

    func removeAll() {
        keys = []
        values = []
        positions = [:]
    }

    func copy() -> JinjaDictionary {
        let result = JinjaDictionary()
        result.keys = keys
        result.values = values
        result.positions = positions
        return result
    }
}

/// A value as a dictionary's key: 1, 1.0 and True are one key, and marks do not count.
enum JinjaKey: Hashable {
    case none
    case integer(Int)
    case float(Double)
    case text([UInt8])
    indirect case tuple([JinjaKey])
}

final class JinjaNamespace {
    var members: [String: JinjaValue] = [:]
    var order: [String] = []

    func set(_ name: String, _ value: JinjaValue) {
        if members.updateValue(value, forKey: name) == nil { order.append(name) }
    }
}

/// Where a `for` stands.
final class JinjaLoopState {
    let items: [JinjaValue]
    let depth: Int
    var index = 0
    var lastChanged: [JinjaValue]?
    /// Set for a recursive loop: what calling `loop` runs again.
    let recursion: (loop: JinjaLoop, scope: JinjaScope)?

    init(items: [JinjaValue], depth: Int, recursion: (loop: JinjaLoop, scope: JinjaScope)?) {
        self.items = items
        self.depth = depth
        self.recursion = recursion
    }
}

/// A macro with the scope in which it was defined.
final class JinjaClosure {
    let macro: JinjaMacro
    let scope: JinjaScope

    init(_ macro: JinjaMacro, _ scope: JinjaScope) {
        self.macro = macro
        self.scope = scope
    }
}

final class JinjaCycler {
    let items: [JinjaValue]
    var position = 0

    init(_ items: [JinjaValue]) { self.items = items }
}

final class JinjaJoiner {
    let separator: JinjaValue
    var isUsed = false

    init(_ separator: JinjaValue) { self.separator = separator }
}

/// The variables of a template, a loop's turn or a macro's call; reading goes outward, writing does not.
final class JinjaScope {
    var values: [JinjaName: JinjaValue] = [:]
    let parent: JinjaScope?

    init(parent: JinjaScope?) { self.parent = parent }

    func value(of name: JinjaName) -> JinjaValue? {
        var scope: JinjaScope? = self
        while let current = scope {
            if let value = current.values[name] { return value }
            scope = current.parent
        }
        return nil
    }
}

/// The functions that every template may call.
enum JinjaGlobal: String, CaseIterable {
    case range, namespace, dict, raiseException = "raise_exception", strftimeNow = "strftime_now", cycler, joiner
}

// MARK: - Kinds

extension JinjaValue {
    /// The name of Python's type, for error messages.
    var kind: String {
        switch self {
        case .undefined: "undefined"
        case .none: "None"
        case .bool: "bool"
        case .integer: "int"
        case .float: "float"
        case .text: "str"
        case .list: "list"
        case .tuple: "tuple"
        case .sequence(.range, _): "range"
        case .sequence(.keys, _): "dict_keys"
        case .sequence(.values, _): "dict_values"
        case .sequence(.items, _): "dict_items"
        case .sequence(.generator, _): "generator"
        case .dictionary: "dict"
        case .namespace: "namespace"
        case .loop: "loop"
        case .macro: "macro"
        case .global, .method: "function"
        case .cycler: "cycler"
        case .joiner: "joiner"
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .text(let text): !text.isEmpty
        case .list(let list): !list.items.isEmpty
        case .tuple(let items): !items.isEmpty
        case .sequence(.generator, _): true
        case .sequence(_, let items): !items.isEmpty
        case .dictionary(let dictionary): dictionary.count > 0
        case .loop(let loop): !loop.items.isEmpty
        case .namespace, .macro, .global, .method, .cycler, .joiner: true
        }
    }

    var isUndefined: Bool {
        if case .undefined = self { true } else { false }
    }

    /// A number as Python's arithmetic sees it: True is 1.
    var integerValue: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): value
        default: nil
        }
    }

    var floatValue: Double? {
        if case .float(let value) = self { return value }
        return integerValue.map(Double.init)
    }

    /// The value as a dictionary's key, or nil where Python says "unhashable".
    var key: JinjaKey? {
        switch self {
        case .none: return JinjaKey.none
        case .bool(let value): return .integer(value ? 1 : 0)
        case .integer(let value): return .integer(value)
        case .float(let value):
            if let integer = Int(exactly: value) { return .integer(integer) }
            return .float(value)
        case .text(let text): return .text(text.bytes)
        case .tuple(let items):
            var keys: [JinjaKey] = []
            for item in items {
                // One level is all that a template needs, and it keeps hashing from recursing.
                if case .tuple = item { return nil }
                guard let key = item.key else { return nil }
                keys.append(key)
            }
            return .tuple(keys)
        default: return nil
        }
    }
}

// MARK: - Printing

extension Double {
    /// Python's `repr` of a float.
    var pythonText: String {
        guard isFinite else { return isNaN ? "nan" : self < 0 ? "-inf" : "inf" }
        let magnitude = abs(self)
        let text = "\(self)"
        guard magnitude != 0, magnitude < 1e-4 || magnitude >= 1e16 else { return text }
        let parts = text.split(separator: "e")
        guard parts.count == 2, let exponent = Int(parts[1]) else { return text }
        let digits = parts[0].hasSuffix(".0") ? parts[0].dropLast(2) : parts[0]
        return "\(digits)e\(exponent < 0 ? "-" : "+")\(abs(exponent) < 10 ? "0" : "")\(abs(exponent))"
    }
}

extension MarkedText {
    /// Python's `repr` of a string; the escapes of a marked text are marked.
    var pythonRepresentation: MarkedText {
        let hasSingle = bytes.contains(UInt8(ascii: "'"))
        let quote: Unicode.Scalar = hasSingle && !bytes.contains(UInt8(ascii: "\"")) ? "\"" : "'"
        var output: [UInt8] = []
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\\": output += Array("\\\\".utf8)
            case "\n": output += Array("\\n".utf8)
            case "\r": output += Array("\\r".utf8)
            case "\t": output += Array("\\t".utf8)
            case quote: output += Array("\\\(quote)".utf8)
            case _ where scalar.isPythonPrintable: output += Array(String(Character(scalar)).utf8)
            case _ where scalar.value <= 0xFF: output += Array("\\x\(scalar.value.hexadecimal(2))".utf8)
            case _ where scalar.value <= 0xFFFF: output += Array("\\u\(scalar.value.hexadecimal(4))".utf8)
            default: output += Array("\\U\(scalar.value.hexadecimal(8))".utf8)
            }
        }
        var result = MarkedText()
        result.append(String(Character(quote)))
        result.append(output, untrusted: isMarked)
        result.append(String(Character(quote)))
        return result
    }
}

extension UInt32 {
    func hexadecimal(_ width: Int) -> String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: Swift.max(0, width - digits.count)) + digits
    }
}

// MARK: - From JSON

extension JinjaValue {
    /// A document as template values; its strings are marked as untrusted.
    init(untrusted json: JSONValue) {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .int(let value): self = .integer(value)
        case .double(let value): self = .float(value)
        case .string(let value): self = .text(MarkedText(value, untrusted: true))
        case .array(let elements): self = .list(JinjaList(elements.map(JinjaValue.init(untrusted:))))
        case .object(let object):
            let dictionary = JinjaDictionary()
            for (key, value) in object.members {
                let name = MarkedText(key, untrusted: true)
                dictionary.set(.text(name.bytes), .text(name), JinjaValue(untrusted: value))
            }
            self = .dictionary(dictionary)
        }
    }
}
