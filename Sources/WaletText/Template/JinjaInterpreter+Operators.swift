// Python's operators on template values: printing, equality, order, arithmetic, membership.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension JinjaInterpreter {
    // MARK: Text and elements

    /// What printing a value gives.
    func text(of value: JinjaValue) throws(TemplateError) -> MarkedText {
        switch value {
        case .text(let text): return text
        case .undefined: return MarkedText()
        case .integer(let value): return MarkedText(String(value))
        default:
            var result = MarkedText()
            try represent(value, into: &result)
            return result
        }
    }

    /// Appends Python's `repr` of a value.
    private func represent(_ value: JinjaValue, into result: inout MarkedText) throws(TemplateError) {
        try enter()
        defer { leave() }
        try charge(bytes: result.count)
        switch value {
        case .undefined: result.append("Undefined")
        case .none: result.append("None")
        case .bool(let value): result.append(value ? "True" : "False")
        case .integer(let value): result.append(String(value))
        case .float(let value): result.append(value.pythonText)
        case .text(let text):
            try charge(bytes: text.count * 4)
            result.append(text.pythonRepresentation)
        case .list(let list): try represent(list.items, "[", "]", into: &result)
        case .tuple(let items): try represent(items, "(", items.count == 1 ? ",)" : ")", into: &result)
        case .sequence(.range(let start, let stop, let step), _):
            result.append(step == 1 ? "range(\(start), \(stop))" : "range(\(start), \(stop), \(step))")
        case .sequence(.generator, _): result.append("<generator object>")
        case .sequence(_, let items): try represent(items, "\(value.kind)([", "])", into: &result)
        case .dictionary(let dictionary):
            result.append("{")
            for (index, (key, value)) in zip(dictionary.keys, dictionary.values).enumerated() {
                if index > 0 { result.append(", ") }
                try represent(key, into: &result)
                result.append(": ")
                try represent(value, into: &result)
            }
            result.append("}")
        case .namespace: result.append("<Namespace>")
        case .loop(let loop): result.append("<LoopContext \(loop.index + 1)/\(loop.items.count)>")
        case .macro(let closure): result.append("<Macro '\(closure.macro.title)'>")
        case .global(let global): result.append("<function \(global.rawValue)>")
        case .method(_, let method): result.append("<method \(method.rawValue)>")
        case .cycler: result.append("<Cycler>")
        case .joiner: result.append("<Joiner>")
        }
    }

    private func represent(
        _ items: [JinjaValue], _ open: String, _ close: String, into result: inout MarkedText
    ) throws(TemplateError) {
        result.append(open)
        for (index, item) in items.enumerated() {
            if index > 0 { result.append(", ") }
            try represent(item, into: &result)
        }
        result.append(close)
    }

    /// What iterating over a value gives.
    func elements(of value: JinjaValue) throws(TemplateError) -> [JinjaValue] {
        switch value {
        case .undefined: return []
        case .list(let list):
            try charge(elements: 0)
            return list.items
        case .tuple(let items), .sequence(_, let items): return items
        case .dictionary(let dictionary): return dictionary.keys
        case .text(let text):
            try charge(bytes: text.count * 16)
            let offsets = text.scalarOffsets
            try charge(elements: offsets.count)
            var items: [JinjaValue] = []
            for index in offsets.indices.dropLast() {
                items.append(.text(text.slice(offsets[index]..<offsets[index + 1])))
            }
            return items
        case .loop(let loop): return loop.items
        default: throw failure("\(value.kind) cannot be iterated over")
        }
    }

    /// Python's `len`.
    func length(of value: JinjaValue) throws(TemplateError) -> Int {
        switch value {
        case .undefined: return 0
        case .text(let text):
            try charge(bytes: text.count)
            return text.scalarCount
        case .list(let list): return list.items.count
        case .tuple(let items): return items.count
        case .sequence(let kind, let items) where kind != .generator: return items.count
        case .dictionary(let dictionary): return dictionary.count
        case .loop(let loop): return loop.items.count
        default: throw failure("\(value.kind) has no length")
        }
    }

    func key(_ value: JinjaValue) throws(TemplateError) -> JinjaKey {
        if case .text(let text) = value { try charge(bytes: text.count) }
        guard let key = value.key else { throw failure("\(value.kind) cannot be a dictionary's key") }
        return key
    }

    // MARK: Comparison

    func compare(
        _ left: JinjaValue, _ comparison: JinjaComparison, _ right: JinjaValue
    ) throws(TemplateError) -> Bool {
        switch comparison {
        case .equal: return try isEqual(left, right)
        case .notEqual: return !(try isEqual(left, right))
        case .inside: return try contains(right, left)
        case .notInside: return !(try contains(right, left))
        case .less: return try order(left, right) { $0 < 0 }
        case .lessOrEqual: return try order(left, right) { $0 <= 0 }
        case .greater: return try order(left, right) { $0 > 0 }
        case .greaterOrEqual: return try order(left, right) { $0 >= 0 }
        }
    }

    func isEqual(_ left: JinjaValue, _ right: JinjaValue) throws(TemplateError) -> Bool {
        switch (left, right) {
        case (.text(let left), .text(let right)):
            guard left.count == right.count else { return false }
            try charge(bytes: left.count)
            return left.bytes == right.bytes
        case (.undefined, .undefined), (.none, .none): return true
        case (.list(let left), .list(let right)): return left === right ? true : try isEqual(left.items, right.items)
        case (.tuple(let left), .tuple(let right)): return try isEqual(left, right)
        case (.sequence(.range, let left), .sequence(.range, let right)): return try isEqual(left, right)
        case (.dictionary(let left), .dictionary(let right)):
            guard left !== right else { return true }
            guard left.count == right.count else { return false }
            try enter()
            defer { leave() }
            for (name, value) in zip(left.keys, left.values) {
                guard let other = right[try key(name)], try isEqual(value, other) else { return false }
            }
            return true
        case (.namespace(let left), .namespace(let right)): return left === right
        case (.macro(let left), .macro(let right)): return left === right
        default:
            if let left = left.integerValue, let right = right.integerValue { return left == right }
            guard let left = left.floatValue, let right = right.floatValue else { return false }
            return left == right
        }
    }

    private func isEqual(_ left: [JinjaValue], _ right: [JinjaValue]) throws(TemplateError) -> Bool {
        guard left.count == right.count else { return false }
        try enter()
        defer { leave() }
        for (left, right) in zip(left, right) {
            try charge()
            guard try isEqual(left, right) else { return false }
        }
        return true
    }

    /// Whether -1, 0 or 1, as the order of two values says, satisfies a predicate; nothing does beside a NaN.
    private func order(
        _ left: JinjaValue, _ right: JinjaValue, _ predicate: (Int) -> Bool
    ) throws(TemplateError) -> Bool {
        guard let order = try order(left, right) else { return false }
        return predicate(order)
    }

    func order(_ left: JinjaValue, _ right: JinjaValue) throws(TemplateError) -> Int? {
        switch (left, right) {
        case (.text(let left), .text(let right)):
            try charge(bytes: min(left.count, right.count))
            // UTF-8 orders as its code points do.
            if left.bytes == right.bytes { return 0 }
            return left.bytes.lexicographicallyPrecedes(right.bytes) ? -1 : 1
        case (.list(let left), .list(let right)): return try order(left.items, right.items)
        case (.tuple(let left), .tuple(let right)): return try order(left, right)
        case (.undefined(let name), _), (_, .undefined(let name)): throw undefined(name)
        default:
            if let left = left.integerValue, let right = right.integerValue {
                return left < right ? -1 : left == right ? 0 : 1
            }
            guard let first = left.floatValue, let second = right.floatValue else {
                throw failure("\(left.kind) and \(right.kind) have no order")
            }
            guard !first.isNaN, !second.isNaN else { return nil }
            return first < second ? -1 : first == second ? 0 : 1
        }
    }

    private func order(_ left: [JinjaValue], _ right: [JinjaValue]) throws(TemplateError) -> Int? {
        try enter()
        defer { leave() }
        for (left, right) in zip(left, right) {
            try charge()
            if try isEqual(left, right) { continue }
            return try order(left, right)
        }
        return left.count < right.count ? -1 : left.count == right.count ? 0 : 1
    }

    func contains(_ container: JinjaValue, _ value: JinjaValue) throws(TemplateError) -> Bool {
        switch container {
        case .text(let text):
            guard case .text(let part) = value else {
                throw failure("'in' a string needs a string, not \(value.kind)")
            }
            try charge(bytes: text.count + part.count)
            return text.contains(part)
        case .dictionary(let dictionary): return dictionary[try key(value)] != nil
        case .list, .tuple, .sequence, .undefined, .loop:
            for item in try elements(of: container) {
                try charge()
                if try isEqual(item, value) { return true }
            }
            return false
        default: throw failure("'in' cannot search \(container.kind)")
        }
    }

    // MARK: Arithmetic

    func negate(_ value: JinjaValue) throws(TemplateError) -> JinjaValue {
        if case .float(let value) = value { return .float(-value) }
        if case .undefined(let name) = value { throw undefined(name) }
        guard let integer = value.integerValue else { throw failure("'-' cannot be put before \(value.kind)") }
        return try integerResult(Int(0).subtractingReportingOverflow(integer))
    }

    private func integerResult(_ result: (partialValue: Int, overflow: Bool)) throws(TemplateError) -> JinjaValue {
        guard !result.overflow else { throw failure("an integer beyond 64 bits") }
        return .integer(result.partialValue)
    }

    func combine(
        _ left: JinjaValue, _ operation: JinjaArithmetic, _ right: JinjaValue
    ) throws(TemplateError) -> JinjaValue {
        if let left = left.integerValue, let right = right.integerValue {
            return try combine(left, operation, right)
        }
        if let left = left.floatValue, let right = right.floatValue { return try combine(left, operation, right) }
        switch (left, operation, right) {
        case (.text(let first), .add, .text(let second)):
            try charge(bytes: first.count + second.count)
            var result = first
            result.append(second)
            return .text(result)
        case (.list(let first), .add, .list(let second)):
            try charge(elements: first.items.count + second.items.count)
            return .list(JinjaList(first.items + second.items))
        case (.tuple(let first), .add, .tuple(let second)):
            try charge(elements: first.count + second.count)
            return .tuple(first + second)
        case (.text(let format), .remainder, _): return .text(try formatted(format, right))
        case (.undefined(let name), _, _), (_, _, .undefined(let name)): throw undefined(name)
        case (_, .multiply, _):
            if let count = right.integerValue, let result = try repeated(left, count) { return result }
            if let count = left.integerValue, let result = try repeated(right, count) { return result }
        default: break
        }
        throw failure("'\(operation.rawValue)' cannot combine \(left.kind) and \(right.kind)")
    }

    private func repeated(_ value: JinjaValue, _ count: Int) throws(TemplateError) -> JinjaValue? {
        let count = max(0, count)
        switch value {
        case .text(let text):
            let (total, overflow) = text.count.multipliedReportingOverflow(by: count)
            try charge(bytes: overflow ? Int.max : total)
            guard !text.isEmpty else { return value }
            var result = MarkedText()
            for _ in 0..<count { result.append(text) }
            return .text(result)
        case .list(let list): return .list(JinjaList(try repeated(list.items, count)))
        case .tuple(let items): return .tuple(try repeated(items, count))
        default: return nil
        }
    }

    private func repeated(_ items: [JinjaValue], _ count: Int) throws(TemplateError) -> [JinjaValue] {
        let (total, overflow) = items.count.multipliedReportingOverflow(by: count)
        try charge(elements: overflow ? Int.max : total)
        guard !items.isEmpty else { return [] }
        var result: [JinjaValue] = []
        for _ in 0..<count { result += items }
        return result
    }

    private func combine(_ left: Int, _ operation: JinjaArithmetic, _ right: Int) throws(TemplateError) -> JinjaValue {
        switch operation {
        case .add: return try integerResult(left.addingReportingOverflow(right))
        case .subtract: return try integerResult(left.subtractingReportingOverflow(right))
        case .multiply: return try integerResult(left.multipliedReportingOverflow(by: right))
        case .divide:
            guard right != 0 else { throw failure("division by zero") }
            return .float(Double(left) / Double(right))
        case .floorDivide, .remainder:
            guard right != 0 else { throw failure("division by zero") }
            let (quotient, overflow) = left.dividedReportingOverflow(by: right)
            guard !overflow else {
                if operation == .remainder { return .integer(0) }
                throw failure("an integer beyond 64 bits")
            }
            let remainder = left - quotient * right
            // Swift rounds toward zero, Python down.
            let isBelow = remainder != 0 && (remainder < 0) != (right < 0)
            if operation == .floorDivide { return .integer(isBelow ? quotient - 1 : quotient) }
            return .integer(isBelow ? remainder + right : remainder)
        case .power:
            guard right >= 0 else {
                guard left != 0 else { throw failure("0 cannot be raised to a negative power") }
                return .float(pow(Double(left), Double(right)))
            }
            var result = 1
            var base = left
            var exponent = right
            while exponent > 0 {
                if exponent & 1 == 1 {
                    let (product, overflow) = result.multipliedReportingOverflow(by: base)
                    guard !overflow else { throw failure("an integer beyond 64 bits") }
                    result = product
                }
                exponent >>= 1
                if exponent > 0 {
                    let (square, overflow) = base.multipliedReportingOverflow(by: base)
                    guard !overflow else { throw failure("an integer beyond 64 bits") }
                    base = square
                }
            }
            return .integer(result)
        }
    }

    private func combine(
        _ left: Double, _ operation: JinjaArithmetic, _ right: Double
    ) throws(TemplateError) -> JinjaValue {
        switch operation {
        case .add: return .float(left + right)
        case .subtract: return .float(left - right)
        case .multiply: return .float(left * right)
        case .divide:
            guard right != 0 else { throw failure("division by zero") }
            return .float(left / right)
        case .floorDivide, .remainder:
            guard right != 0 else { throw failure("division by zero") }
            var remainder = left.truncatingRemainder(dividingBy: right)
            var quotient = (left - remainder) / right
            if remainder != 0 {
                if (remainder < 0) != (right < 0) {
                    remainder += right
                    quotient -= 1
                }
            } else {
                remainder = right < 0 ? -0.0 : 0.0
            }
            if operation == .remainder { return .float(remainder) }
            guard quotient != 0 else { return .float(left / right < 0 ? -0.0 : 0.0) }
            let floor = quotient.rounded(.down)
            return .float(quotient - floor > 0.5 ? floor + 1 : floor)
        case .power:
            let result = pow(left, right)
            if result.isNaN, !left.isNaN, !right.isNaN { throw failure("a power that is not a real number") }
            if result.isInfinite, left.isFinite, right.isFinite { throw failure("a number beyond a double") }
            return .float(result)
        }
    }

    // MARK: Formatting

    /// Python's `%` on strings: flags, width and precision of s, r, d, i, u, x, X, o, f, F, e, E, g, G, c and %.
    func formatted(_ format: MarkedText, _ value: JinjaValue) throws(TemplateError) -> MarkedText {
        var values: [JinjaValue] = [value]
        if case .tuple(let items) = value { values = items }
        var next = 0
        var result = MarkedText()
        let bytes = format.bytes
        var index = 0
        while index < bytes.count {
            try charge(bytes: result.count, additional: 1)
            guard bytes[index] == UInt8(ascii: "%") else {
                var end = index
                while end < bytes.count, bytes[end] != UInt8(ascii: "%") { end += 1 }
                result.append(format.slice(index..<end))
                index = end
                continue
            }
            index += 1
            var argument: JinjaValue?
            if index < bytes.count, bytes[index] == UInt8(ascii: "("), case .dictionary(let dictionary) = value {
                var end = index
                while end < bytes.count, bytes[end] != UInt8(ascii: ")") { end += 1 }
                guard end < bytes.count else { throw failure("a format without ')'") }
                let name = Array(bytes[(index + 1)..<end])
                guard let member = dictionary[.text(name)] else {
                    throw failure("a format's member '\(String(decoding: name, as: UTF8.self).prefix(80))' is missing")
                }
                argument = member
                next = values.count
                index = end + 1
            }
            var flags: Set<UInt8> = []
            while index < bytes.count, "-+ #0".utf8.contains(bytes[index]) {
                flags.insert(bytes[index])
                index += 1
            }
            let width = try formatNumber(bytes, &index) ?? 0
            var precision: Int?
            if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
                index += 1
                precision = try formatNumber(bytes, &index) ?? 0
            }
            guard index < bytes.count else { throw failure("a format that ends after '%'") }
            let letter = bytes[index]
            index += 1
            if letter == UInt8(ascii: "%") {
                result.append("%")
                continue
            }
            if argument == nil {
                guard next < values.count else { throw failure("a format with too few values") }
                argument = values[next]
                next += 1
            }
            let piece = try formatted(argument ?? .none, letter, flags, precision)
            let padding = max(0, width - piece.scalarCount)
            try charge(bytes: padding)
            let spaces = String(repeating: " ", count: padding)
            if flags.contains(UInt8(ascii: "-")) {
                result.append(piece)
                result.append(spaces)
            } else if flags.contains(UInt8(ascii: "0")), "dixXofFeEgGu".utf8.contains(letter) {
                let hasSign = piece.bytes.first.map { "+- ".utf8.contains($0) } ?? false
                result.append(piece.slice(0..<(hasSign ? 1 : 0)))
                result.append(String(repeating: "0", count: padding))
                result.append(piece.slice((hasSign ? 1 : 0)..<piece.count))
            } else {
                result.append(spaces)
                result.append(piece)
            }
        }
        if next < values.count {
            // What Python takes for a mapping may be left unread.
            switch value {
            case .dictionary, .list, .sequence(.range, _): break
            default: throw failure("a format with too many values")
            }
        }
        return result
    }

    func charge(bytes total: Int, additional: Int) throws(TemplateError) {
        if total > limits.outputBytes { throw .limit(what: "bytes of text", limit: limits.outputBytes, line: line) }
        try charge(additional)
    }

    private func formatNumber(_ bytes: [UInt8], _ index: inout Int) throws(TemplateError) -> Int? {
        var value: Int?
        while index < bytes.count, bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") {
            value = (value ?? 0) * 10 + Int(bytes[index] - UInt8(ascii: "0"))
            guard value ?? 0 <= 10_000 else { throw .limit(what: "columns of a format", limit: 10_000, line: line) }
            index += 1
        }
        return value
    }

    private func formatted(
        _ value: JinjaValue, _ letter: UInt8, _ flags: Set<UInt8>, _ precision: Int?
    ) throws(TemplateError) -> MarkedText {
        func signed(_ digits: String, isNegative: Bool) -> MarkedText {
            let sign =
                isNegative
                ? "-" : flags.contains(UInt8(ascii: "+")) ? "+" : flags.contains(UInt8(ascii: " ")) ? " " : ""
            return MarkedText(sign + digits)
        }
        switch letter {
        case UInt8(ascii: "s"), UInt8(ascii: "r"):
            var text = MarkedText()
            if letter == UInt8(ascii: "s") {
                text = try self.text(of: value)
            } else {
                try represent(value, into: &text)
            }
            if let precision {
                let offsets = text.scalarOffsets
                return text.slice(0..<offsets[min(precision, offsets.count - 1)])
            }
            return text
        case UInt8(ascii: "d"), UInt8(ascii: "i"), UInt8(ascii: "u"), UInt8(ascii: "x"), UInt8(ascii: "X"),
            UInt8(ascii: "o"):
            var integer = value.integerValue
            if letter | 0x20 != UInt8(ascii: "x"), letter != UInt8(ascii: "o"), case .float(let float) = value {
                integer = Int(exactly: float.rounded(.towardZero))
            }
            guard let integer else { throw failure("a format of a number cannot print \(value.kind)") }
            let radix = letter | 0x20 == UInt8(ascii: "x") ? 16 : letter == UInt8(ascii: "o") ? 8 : 10
            var digits = String(integer.magnitude, radix: radix, uppercase: letter == UInt8(ascii: "X"))
            if let precision, digits.utf8.count < precision {
                digits = String(repeating: "0", count: precision - digits.utf8.count) + digits
            }
            if flags.contains(UInt8(ascii: "#")), radix != 10 {
                digits = "0" + String(Unicode.Scalar(letter)) + digits
            }
            return signed(digits, isNegative: integer < 0)
        case UInt8(ascii: "f"), UInt8(ascii: "F"), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "g"),
            UInt8(ascii: "G"):
            guard let float = value.floatValue else { throw failure("a format of a number cannot print \(value.kind)") }
            guard float.isFinite else { return signed(abs(float).pythonText, isNegative: float < 0) }
            var buffer = [CChar](repeating: 0, count: 16_000)
            let format = "%\(flags.contains(UInt8(ascii: "#")) ? "#" : "").*\(Unicode.Scalar(letter))"
            let length = withVaList([Int32(precision ?? 6), abs(float)]) { arguments in
                vsnprintf(&buffer, buffer.count, format, arguments)
            }
            guard length > 0, Int(length) < buffer.count else { throw failure("a number that cannot be printed") }
            let digits = String(decoding: buffer[..<Int(length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return signed(digits, isNegative: float.sign == .minus)
        case UInt8(ascii: "c"):
            if case .text(let text) = value, text.scalarCount == 1 { return text }
            guard let code = value.integerValue.flatMap({ UInt32(exactly: $0) }), let scalar = Unicode.Scalar(code)
            else { throw failure("'%c' needs a character") }
            return MarkedText(String(Character(scalar)))
        default:
            throw failure("a format with the letter '\(Unicode.Scalar(letter))'")
        }
    }
}
