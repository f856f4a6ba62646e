// Attributes, subscripts and slices: a dictionary's methods hide its keys after a dot, not between brackets.

extension JinjaInterpreter {
    @inline(never)
    func attribute(_ name: MarkedText, of value: JinjaValue) throws(TemplateError) -> JinjaValue {
        try charge(bytes: name.count)
        if case .undefined(let missing) = value { throw undefined(missing) }
        if let attribute = attributeOnly(name, of: value) { return attribute }
        if case .dictionary(let dictionary) = value, let member = dictionary[.text(name.bytes)],
            !name.bytes.starts(with: "__".utf8)
        {
            return member
        }
        return .undefined(name.string)
    }

    @inline(never)
    func item(_ index: JinjaValue, of value: JinjaValue) throws(TemplateError) -> JinjaValue {
        if case .undefined(let missing) = value { throw undefined(missing) }
        switch value {
        case .dictionary(let dictionary):
            if case .text(let text) = index { try charge(bytes: text.count) }
            if let key = index.key, let member = dictionary[key] { return member }
        case .list(let list):
            if let item = element(index, of: list.items) { return item }
        case .tuple(let items), .sequence(.range, let items):
            if let item = element(index, of: items) { return item }
        case .text(let text):
            if let index = index.integerValue {
                try charge(bytes: text.count * 8)
                let offsets = text.scalarOffsets
                let count = offsets.count - 1
                let position = index < 0 ? index + count : index
                if position >= 0, position < count {
                    return .text(text.slice(offsets[position]..<offsets[position + 1]))
                }
            }
        default: break
        }
        guard case .text(let name) = index else { return .undefined("item \(index.kind)") }
        return attributeOnly(name, of: value) ?? .undefined(name.string)
    }

    private func element(_ index: JinjaValue, of items: [JinjaValue]) -> JinjaValue? {
        guard let index = index.integerValue else { return nil }
        // Written so that the least Int cannot overflow.
        let position = index < 0 ? index + items.count : index
        return items.indices.contains(position) ? items[position] : nil
    }

    /// What Python's `getattr` finds on the kinds of values that have attributes.
    private func attributeOnly(_ name: MarkedText, of value: JinjaValue) -> JinjaValue? {
        let name = name.string
        switch value {
        case .namespace(let namespace): return namespace.members[name]
        case .loop(let loop): return loopAttribute(name, loop)
        case .macro(let closure):
            switch name {
            case "name": return .text(closure.macro.title)
            case "arguments": return .tuple(closure.macro.parameters.map { .text($0.title) })
            case "catch_kwargs": return .bool(closure.macro.takesNamedRest)
            case "catch_varargs": return .bool(closure.macro.takesPositionalRest)
            case "caller": return .bool(closure.macro.takesCaller)
            default: return nil
            }
        case .cycler(let cycler):
            if name == "current" { return cycler.items[cycler.position] }
            return name == "next" || name == "reset" ? JinjaMethod(rawValue: name).map { .method(value, $0) } : nil
        default:
            guard let method = JinjaMethod(rawValue: name), method.exists(on: value) else { return nil }
            return .method(value, method)
        }
    }

    private func loopAttribute(_ name: String, _ loop: JinjaLoopState) -> JinjaValue? {
        let count = loop.items.count
        switch name {
        case "index": return .integer(loop.index + 1)
        case "index0": return .integer(loop.index)
        case "revindex": return .integer(count - loop.index)
        case "revindex0": return .integer(count - loop.index - 1)
        case "first": return .bool(loop.index == 0)
        case "last": return .bool(loop.index == count - 1)
        case "length": return .integer(count)
        case "depth": return .integer(loop.depth)
        case "depth0": return .integer(loop.depth - 1)
        case "previtem":
            return loop.index > 0 ? loop.items[loop.index - 1] : .undefined("there is no previous item")
        case "nextitem":
            return loop.index + 1 < count ? loop.items[loop.index + 1] : .undefined("there is no next item")
        case "cycle", "changed": return JinjaMethod(rawValue: name).map { .method(.loop(loop), $0) }
        default: return nil
        }
    }

    @inline(never)
    func slice(
        _ value: JinjaValue, from start: JinjaValue?, to stop: JinjaValue?, by step: JinjaValue?
    ) throws(TemplateError) -> JinjaValue {
        // No list has 2^32 elements: a longer step takes the first one alone.
        let step = min(max(try sliceBound(step) ?? 1, -1 << 32), 1 << 32)
        guard step != 0 else { throw failure("a slice needs a step other than 0") }
        let start = try sliceBound(start)
        let stop = try sliceBound(stop)
        switch value {
        case .undefined(let name): throw undefined(name)
        case .list(let list): return .list(JinjaList(try slice(list.items, start, stop, step)))
        case .tuple(let items): return .tuple(try slice(items, start, stop, step))
        case .sequence(.range(let first, _, let gap), let items):
            let part = try slice(items, start, stop, step)
            let begin = part.first?.integerValue ?? first
            let end = (part.last?.integerValue).map { $0 &+ gap &* step } ?? begin
            return .sequence(.range(start: begin, stop: end, step: gap &* step), part)
        case .text(let text):
            try charge(bytes: text.count)
            if text.isASCII, step == 1 {
                let (first, last) = Self.sliceRange(text.count, start, stop, 1)
                return .text(text.slice(first..<max(first, last)))
            }
            try charge(bytes: text.count * 8)
            let offsets = text.scalarOffsets
            let (first, last) = Self.sliceRange(offsets.count - 1, start, stop, step)
            if step == 1 { return .text(text.slice(offsets[first]..<offsets[max(first, last)])) }
            var result = MarkedText()
            for index in stride(from: first, to: last, by: step) {
                result.append(text.slice(offsets[index]..<offsets[index + 1]))
            }
            return .text(result)
        default: throw failure("\(value.kind) cannot be sliced")
        }
    }

    private func sliceBound(_ bound: JinjaValue?) throws(TemplateError) -> Int? {
        switch bound {
        case nil, .some(.none): return nil
        case .undefined(let name): throw undefined(name)
        case .some(let bound):
            guard let value = bound.integerValue else { throw failure("a slice needs integers, not \(bound.kind)") }
            return value
        }
    }

    private func slice(
        _ items: [JinjaValue], _ start: Int?, _ stop: Int?, _ step: Int
    ) throws(TemplateError) -> [JinjaValue] {
        let (first, last) = Self.sliceRange(items.count, start, stop, step)
        try charge(elements: items.count)
        if step == 1 { return Array(items[first..<max(first, last)]) }
        var result: [JinjaValue] = []
        for index in stride(from: first, to: last, by: step) { result.append(items[index]) }
        return result
    }

    /// The bounds of a slice, as Python clamps them.
    private static func sliceRange(_ count: Int, _ start: Int?, _ stop: Int?, _ step: Int) -> (Int, Int) {
        let lowest = step > 0 ? 0 : -1
        let highest = step > 0 ? count : count - 1
        func clamp(_ bound: Int?, _ fallback: Int) -> Int {
            guard let bound else { return fallback }
            return min(max(bound < 0 ? bound + count : bound, lowest), highest)
        }
        return (clamp(start, step > 0 ? lowest : highest), clamp(stop, step > 0 ? highest : lowest))
    }
}
