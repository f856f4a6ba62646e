// What `is` can ask.

enum JinjaTest: String, CaseIterable {
    case boolean, callable, defined, divisibleby, eq, escaped, even, filter, float, ge, gt, `in`, integer, iterable
    case le, lower, lt, mapping, ne, none, number, odd, sameas, sequence, string, test, `false`, `true`, undefined
    case upper

    private static let aliases: [String: JinjaTest] = [
        "equalto": .eq, "greaterthan": .gt, "lessthan": .lt,
    ]

    static let supported = (allCases.map(\.rawValue) + aliases.keys).sorted()

    init?(name: String) {
        guard let test = JinjaTest(rawValue: name) ?? Self.aliases[name] else { return nil }
        self = test
    }
}

extension JinjaInterpreter {
    func test(
        _ value: JinjaValue, _ test: JinjaTest, _ arguments: JinjaCallArguments
    ) throws(TemplateError) -> Bool {
        switch test {
        case .divisibleby, .eq, .ge, .gt, .in, .le, .lt, .ne, .sameas:
            guard arguments.named.isEmpty, arguments.positional.count == 1 else {
                throw failure("the test '\(test.rawValue)' takes one argument")
            }
            return try compare(value, test, arguments.positional[0])
        default:
            guard arguments.named.isEmpty, arguments.positional.isEmpty else {
                throw failure("the test '\(test.rawValue)' takes no argument")
            }
            return try examine(value, test)
        }
    }

    private func compare(
        _ value: JinjaValue, _ test: JinjaTest, _ other: JinjaValue
    ) throws(TemplateError) -> Bool {
        switch test {
        case .eq: return try isEqual(value, other)
        case .ne: return !(try isEqual(value, other))
        case .gt: return try compare(value, .greater, other)
        case .ge: return try compare(value, .greaterOrEqual, other)
        case .lt: return try compare(value, .less, other)
        case .le: return try compare(value, .lessOrEqual, other)
        case .in: return try contains(other, value)
        case .divisibleby:
            guard case .integer(let remainder) = try combine(value, .remainder, other) else { return false }
            return remainder == 0
        default: return isSame(value, other)
        }
    }

    /// Python's `is`, as far as values here have an identity.
    private func isSame(_ left: JinjaValue, _ right: JinjaValue) -> Bool {
        switch (left, right) {
        case (.none, .none): true
        case (.bool(let left), .bool(let right)): left == right
        case (.integer(let left), .integer(let right)): left == right
        case (.float(let left), .float(let right)): left == right
        case (.text(let left), .text(let right)): left.bytes == right.bytes
        case (.list(let left), .list(let right)): left === right
        case (.dictionary(let left), .dictionary(let right)): left === right
        case (.namespace(let left), .namespace(let right)): left === right
        case (.macro(let left), .macro(let right)): left === right
        default: false
        }
    }

    private func examine(_ value: JinjaValue, _ test: JinjaTest) throws(TemplateError) -> Bool {
        switch test {
        case .defined: return !value.isUndefined
        case .undefined: return value.isUndefined
        case .none:
            if case .none = value { return true }
            return false
        case .boolean:
            if case .bool = value { return true }
            return false
        case .true:
            if case .bool(true) = value { return true }
            return false
        case .false:
            if case .bool(false) = value { return true }
            return false
        case .integer:
            if case .integer = value { return true }
            return false
        case .float:
            if case .float = value { return true }
            return false
        case .number: return value.floatValue != nil
        case .string:
            if case .text = value { return true }
            return false
        case .mapping:
            if case .dictionary = value { return true }
            return false
        case .sequence:
            switch value {
            case .text, .list, .tuple, .dictionary, .undefined, .sequence(.range, _): return true
            default: return false
            }
        case .iterable:
            switch value {
            case .text, .list, .tuple, .dictionary, .undefined, .sequence, .loop: return true
            default: return false
            }
        case .callable:
            switch value {
            case .macro, .global, .method, .joiner, .loop: return true
            default: return false
            }
        case .even, .odd:
            guard case .integer(let remainder) = try combine(value, .remainder, .integer(2)) else { return false }
            return (remainder == 0) == (test == .even)
        case .lower, .upper:
            let text = try text(of: value)
            try charge(bytes: text.count)
            let string = text.string
            let isCased = string.unicodeScalars.contains { $0.properties.isCased }
            return isCased && string == (test == .lower ? string.lowercased() : string.uppercased())
        case .filter:
            guard case .text(let name) = value else { return false }
            return JinjaFilter(name: name.string) != nil
        case .test:
            guard case .text(let name) = value else { return false }
            return JinjaTest(name: name.string) != nil
        default: return false
        }
    }
}
