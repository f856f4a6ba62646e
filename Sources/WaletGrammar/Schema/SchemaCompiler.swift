// From schemas to rules.

import WaletJSON

/// Writes the rules of one schema document into a program.
struct SchemaCompiler {
    private struct PendingRule {
        var ids: [SchemaID]
        var start: Int32
        var end: Int32
        var path: String
    }

    private var terms: SchemaTerms
    private let options: JSONOptions
    private let whitespace: WhitespaceWriter
    private var rules: [[SchemaID]: Int32] = [:]
    private var pending: [PendingRule] = []

    /// Members of an object that its schema does not declare, at most.
    private static let undeclaredKeys = 1_024
    /// Values with more constants than this get a rule of their own, so that they are written once.
    private static let inlineConstants = 8

    init(_ schema: JSONValue, options: JSONOptions) throws(GrammarError) {
        terms = SchemaTerms(try SchemaDocument(schema, options: options), options: options)
        self.options = options
        whitespace = WhitespaceWriter(options.whitespace)
    }

    /// Writes the whole document's value between two states.
    /// - Parameter isObject: whether it must be an object whatever the schema says.
    mutating func write(
        from: Int32, to: Int32, isObject: Bool, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        var ids = [terms.document.rootID()]
        if isObject { ids.append(terms.document.synthetic(["type": "object"], named: "an object")) }
        builder.call(try rule(for: ids, at: "#", &builder), from: from, to: to)
        while let next = pending.popLast() {
            try write(next.ids, from: next.start, to: next.end, at: next.path, &builder)
        }
    }

    private mutating func rule(
        for ids: [SchemaID], at path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) -> Int32 {
        if let known = rules[ids] { return known }
        let (rule, start) = try builder.rule(at: path)
        rules[ids] = rule
        pending.append(PendingRule(ids: ids, start: start, end: try builder.finalState(at: path), path: path))
        return rule
    }

    /// Writes a value of schemas that must all hold, by a call of its rule unless it is short.
    private mutating func value(
        _ ids: [SchemaID], from: Int32, to: Int32, at path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        var unique: [SchemaID] = []
        for id in ids where !unique.contains(id) { unique.append(id) }
        let path = unique.first.map { terms.document.path($0) } ?? path
        if try isShort(unique, &builder) {
            try write(unique, from: from, to: to, at: path, &builder)
        } else {
            builder.call(try rule(for: unique, at: path, &builder), from: from, to: to)
        }
    }

    private mutating func isShort(_ ids: [SchemaID], _ builder: inout ProgramBuilder) throws(GrammarError) -> Bool {
        guard !ids.isEmpty, rules[ids] == nil else { return false }
        let alternatives = try terms.terms(of: ids, budget: &builder.budget)
        guard alternatives.count <= 3 else { return false }
        for term in alternatives {
            let merged = try terms.merge(term)
            if let constants = merged.constants {
                guard constants.count <= Self.inlineConstants,
                    constants.allSatisfy({ $0.arrayValue == nil && $0.objectValue == nil })
                else { return false }
            } else {
                guard merged.types.isDisjoint(with: [.array, .object]) else { return false }
            }
        }
        return true
    }

    private mutating func write(
        _ ids: [SchemaID], from: Int32, to: Int32, at path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        var literals = LiteralTrie()
        for term in try terms.terms(of: ids, budget: &builder.budget) {
            let merged = try terms.merge(term)
            if let constants = try terms.constants(ofTerm: term, budget: &builder.budget) {
                for value in constants {
                    if value.arrayValue == nil, value.objectValue == nil {
                        literals.insert(value.spelling, to: to)
                    } else {
                        try constant(value, from: from, to: to, at: path, &builder)
                    }
                }
                continue
            }
            if merged.types.contains(.null) { literals.insert(Array("null".utf8), to: to) }
            if merged.types.contains(.boolean) {
                literals.insert(Array("true".utf8), to: to)
                literals.insert(Array("false".utf8), to: to)
            }
            if !merged.types.isDisjoint(with: .number) { try number(merged, from, to, path, &builder) }
            if merged.types.contains(.string) { try string(merged, from, to, path, &builder) }
            if merged.types.contains(.array) { try array(merged, from, to, path, &builder) }
            if merged.types.contains(.object) { try object(merged, from, to, path, &builder) }
        }
        try literals.write(from: from, at: path, &builder)
    }

    // MARK: Scalars

    private func number(
        _ merged: MergedSchema, _ from: Int32, _ to: Int32, _ path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        let constraint = merged.number
        let lexer: Int32?
        if let known = builder.knownLexer(.number(constraint)) {
            lexer = known
        } else {
            let automaton = try constraint.automaton(path: path, budget: &builder.budget)
            lexer = builder.addLexer(.number(constraint), automaton.map { .table($0) })
        }
        if let lexer { builder.lexer(lexer, from: from, to: to) }
    }

    private mutating func string(
        _ merged: MergedSchema, _ from: Int32, _ to: Int32, _ path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        let minimum = merged.minimumLength
        let patterns = Set(merged.members.compactMap(\.pattern)).sorted()
        let formats = Set(merged.members.compactMap(\.format)).sorted { $0.rawValue < $1.rawValue }
        let bounds = formats.compactMap(\.longest) + [merged.maximumLength ?? Int.max]
        let maximum = bounds.min().map { Int32(clamping: $0) } ?? Lexer.unlimited
        guard minimum <= Int(maximum) else { return }
        let lexer: Int32?
        if patterns.isEmpty, formats.isEmpty {
            let key = LexerKey.string(minimum: Int32(clamping: minimum), maximum: maximum)
            lexer =
                builder.knownLexer(key)
                ?? builder.addLexer(key, .string(minimum: Int32(clamping: minimum), maximum: maximum))
        } else {
            let key = LexerKey.pattern(patterns, formats, minimum: minimum, maximum: maximum)
            if let known = builder.knownLexer(key) {
                lexer = known
            } else {
                let automaton = try automaton(patterns, formats, minimum: minimum, at: path, &builder.budget)
                lexer = builder.addLexer(key, automaton.flatMap { Self.bounded($0, maximum) })
            }
        }
        guard let lexer else { return }
        let body = try builder.state(at: path)
        builder.byte(UInt8(ascii: "\""), from: from, to: body)
        builder.lexer(lexer, from: body, to: to)
    }

    /// A string of no more characters than a maximum; nil where all are longer.
    private static func bounded(_ automaton: ByteAutomaton, _ maximum: Int32) -> Lexer.Kind? {
        if maximum == Lexer.unlimited { return .table(automaton) }
        return automaton.needed[0] <= maximum ? .bounded(automaton, maximum: maximum) : nil
    }

    /// Strings that all patterns and formats accept, in JSON.
    private mutating func automaton(
        _ patterns: [String], _ formats: [StringFormat], minimum: Int, at path: String,
        _ budget: inout CompileBudget
    ) throws(GrammarError) -> ByteAutomaton? {
        if patterns.isEmpty, formats.count == 1, minimum == 0 {
            return try formats[0].jsonAutomaton(path: path)
        }
        var parts: [CharacterAutomaton] = []
        for format in formats { parts.append(try format.automaton(path: path)) }
        for pattern in patterns { parts.append(try terms.automaton(of: pattern, at: path, budget: &budget)) }
        var automaton = parts.first ?? .everything
        for part in parts.dropFirst() { automaton = try automaton.intersection(part, path: path, budget: &budget) }
        automaton = try automaton.ofLength(atLeast: minimum, path: path, budget: &budget)
        return try automaton.jsonAutomaton(path: path, budget: &budget)
    }

    // MARK: Arrays

    private mutating func array(
        _ merged: MergedSchema, _ from: Int32, _ to: Int32, _ path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        let (minimum, maximum) = (merged.minimumItems, merged.maximumItems)
        guard minimum <= maximum ?? minimum else { return }
        let listed = merged.members.map(\.prefixItems.count).max() ?? 0
        func schemas(at index: Int) -> [SchemaID] {
            merged.members.compactMap { index < $0.prefixItems.count ? $0.prefixItems[index] : $0.items }
        }
        let opened = try builder.state(at: path)
        builder.byte(UInt8(ascii: "["), from: from, to: opened)
        if minimum == 0 { builder.byte(UInt8(ascii: "]"), from: opened, to: to) }
        // Before the next element.
        var before = try whitespace.afterOpening(opened, at: path, &builder)
        for index in 0..<listed {
            guard index < maximum ?? Int.max else { return }
            let after = try builder.state(at: path)
            try value(schemas(at: index), from: before, to: after, at: path, &builder)
            if index + 1 >= minimum {
                let closing = try whitespace.beforeClosing(after, at: path, &builder)
                builder.byte(UInt8(ascii: "]"), from: closing, to: to)
            }
            let comma = try builder.state(at: path)
            builder.byte(UInt8(ascii: ","), from: after, to: comma)
            before = try whitespace.afterComma(comma, at: path, &builder)
        }
        // The rest is a loop that counts, as far as the count matters.
        let least = max(0, minimum - listed)
        let most = maximum.map { $0 - listed }
        guard most ?? 1 > 0 else { return }
        let element = try builder.state(at: path)
        builder.empty(from: before, to: element)
        let after = try builder.state(at: path)
        try value(schemas(at: listed), from: element, to: after, at: path, &builder)
        var ended = after
        var going = after
        if least > 1 || most != nil {
            let counted = try builder.state(at: path)
            builder.edge(.increment, max(least, most ?? 0), from: after, to: counted)
            ended = counted
            going = counted
            if least > 1 {
                ended = try builder.state(at: path)
                builder.edge(.whenAtLeast, least, from: counted, to: ended)
            }
            if let most {
                going = try builder.state(at: path)
                builder.edge(.whenBelow, most, from: counted, to: going)
            }
        }
        let closing = try whitespace.beforeClosing(ended, at: path, &builder)
        builder.byte(UInt8(ascii: "]"), from: closing, to: to)
        let comma = try builder.state(at: path)
        builder.byte(UInt8(ascii: ","), from: going, to: comma)
        builder.empty(from: try whitespace.afterComma(comma, at: path, &builder), to: element)
    }

    // MARK: Objects

    private struct Property {
        var spelling: [UInt8]
        var schemas: [SchemaID]
        var isRequired: Bool
    }

    /// Declared members in the order of the schema, those that only `required` names after them.
    private func properties(_ merged: MergedSchema) -> [Property] {
        var result: [Property] = []
        var positions: [[UInt8]: Int] = [:]
        let declared = merged.members.map { member in
            Dictionary(member.properties.map { (Array($0.name.utf8), $0.schema) }) { first, _ in first }
        }
        func add(_ name: String, isRequired: Bool) {
            let key = Array(name.utf8)
            if let position = positions[key] {
                result[position].isRequired = result[position].isRequired || isRequired
                return
            }
            positions[key] = result.count
            var schemas: [SchemaID] = []
            for (member, properties) in zip(merged.members, declared) {
                if let schema = properties[key] ?? member.additionalProperties { schemas.append(schema) }
            }
            result.append(Property(spelling: name.jsonSpelling, schemas: schemas, isRequired: isRequired))
        }
        for member in merged.members { for (name, _) in member.properties { add(name, isRequired: false) } }
        for name in merged.requiredNames { add(name, isRequired: true) }
        return result
    }

    /// What holds of members that no schema declares, or nil where there must be none.
    private mutating func undeclared(_ merged: MergedSchema) throws(GrammarError) -> [SchemaID]? {
        let schemas = merged.members.compactMap(\.additionalProperties)
        for schema in schemas where try terms.isFalse(schema) { return nil }
        guard schemas.isEmpty else { return schemas }
        let isOpen = options.admitsUndeclaredProperties || merged.members.allSatisfy(\.properties.isEmpty)
        return isOpen ? [] : nil
    }

    private mutating func object(
        _ merged: MergedSchema, _ from: Int32, _ to: Int32, _ path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        var properties = properties(merged)
        let names = properties.map { Array($0.spelling.dropFirst()) }
        var additional = try undeclared(merged)
        var undeclaredKeys = Self.undeclaredKeys
        let required = properties.count(where: \.isRequired)
        if merged.minimumProperties > required, options.isStrict {
            throw .unsupported(
                path: path.appendingPointer("minProperties"), expected: "at most the number of required properties",
                found: "minProperties of \(merged.minimumProperties)")
        }
        if let maximum = merged.maximumProperties {
            guard required <= maximum else { return }
            // Optional ones from the end make room.
            while properties.count > maximum, let last = properties.lastIndex(where: { !$0.isRequired }) {
                properties.remove(at: last)
            }
            undeclaredKeys = min(undeclaredKeys, maximum - properties.count)
            if undeclaredKeys == 0 { additional = nil }
        }

        let count = properties.count
        var canEnd = [Bool](repeating: true, count: count + 1)
        for index in properties.indices.reversed() {
            canEnd[index] = canEnd[index + 1] && !properties[index].isRequired
        }
        let opened = try builder.state(at: path)
        builder.byte(UInt8(ascii: "{"), from: from, to: opened)
        if canEnd[0] { builder.byte(UInt8(ascii: "}"), from: opened, to: to) }

        // keys[i]: a member must come, from the i-th on. after[i]: the i-th was the last so far.
        var keys: [Int32] = []
        for _ in 0...count { keys.append(try builder.state(at: path)) }
        builder.empty(from: try whitespace.afterOpening(opened, at: path, &builder), to: keys[0])
        var after = try builder.state(at: path)
        for (index, property) in properties.enumerated() {
            let key = try builder.state(at: path)
            try builder.bytes(property.spelling, from: keys[index], to: key, at: path)
            if !property.isRequired { builder.empty(from: keys[index], to: keys[index + 1]) }
            let value = try whitespace.colon(key, at: path, &builder)
            let next = try builder.state(at: path)
            try self.value(property.schemas, from: value, to: next, at: path, &builder)
            // What came before this one may also be followed by what comes after it.
            if index > 0 { try self.comma(from: after, to: keys[index], at: path, &builder) }
            if index > 0, canEnd[index] { try self.brace(from: after, to: to, at: path, &builder) }
            after = next
        }
        if count > 0 || additional != nil { try self.brace(from: after, to: to, at: path, &builder) }
        guard let additional else { return }
        let excluded = names.sorted { $0.lexicographicallyPrecedes($1) }
        let lexerKey = LexerKey.key(excluded: excluded)
        guard let lexer = builder.knownLexer(lexerKey) ?? builder.addLexer(lexerKey, .key(excluded: excluded)) else {
            return
        }
        let key = try builder.state(at: path)
        builder.byte(UInt8(ascii: "\""), from: keys[count], to: key)
        let ended = try builder.state(at: path)
        builder.lexer(lexer, from: key, to: ended)
        let value = try whitespace.colon(ended, at: path, &builder)
        try self.value(additional, from: value, to: after, at: path, &builder)
        let going = try builder.state(at: path)
        builder.edge(.whenKeysBelow, undeclaredKeys, from: after, to: going)
        try self.comma(from: going, to: keys[count], at: path, &builder)
    }

    private func comma(
        from: Int32, to: Int32, at path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        let comma = try builder.state(at: path)
        builder.byte(UInt8(ascii: ","), from: from, to: comma)
        builder.empty(from: try whitespace.afterComma(comma, at: path, &builder), to: to)
    }

    private func brace(
        from: Int32, to: Int32, at path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        let closing = try whitespace.beforeClosing(from, at: path, &builder)
        builder.byte(UInt8(ascii: "}"), from: closing, to: to)
    }

    // MARK: Constants

    /// Writes an array or object as it is listed, but for white space.
    private func constant(
        _ value: JSONValue, from: Int32, to: Int32, at path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        switch value {
        case .array(let elements):
            let members = elements.map { (key: [UInt8](), value: $0) }
            try constant(members, "[", "]", from: from, to: to, at: path, &builder)
        case .object(let object):
            let members = object.members.map { (key: $0.jsonSpelling, value: $1) }
            try constant(members, "{", "}", from: from, to: to, at: path, &builder)
        default: try builder.bytes(value.spelling, from: from, to: to, at: path)
        }
    }

    private func constant(
        _ members: [(key: [UInt8], value: JSONValue)], _ opening: String, _ closing: String, from: Int32, to: Int32,
        at path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) {
        var state = try builder.state(at: path)
        try builder.text(opening, from: from, to: state, at: path)
        guard !members.isEmpty else {
            try builder.text(closing, from: state, to: to, at: path)
            return
        }
        state = try whitespace.afterOpening(state, at: path, &builder)
        for (index, member) in members.enumerated() {
            if index > 0 {
                let comma = try builder.state(at: path)
                builder.byte(UInt8(ascii: ","), from: state, to: comma)
                state = try whitespace.afterComma(comma, at: path, &builder)
            }
            if !member.key.isEmpty {
                let key = try builder.state(at: path)
                try builder.bytes(member.key, from: state, to: key, at: path)
                state = try whitespace.colon(key, at: path, &builder)
            }
            let next = try builder.state(at: path)
            try constant(member.value, from: state, to: next, at: path, &builder)
            state = next
        }
        state = try whitespace.beforeClosing(state, at: path, &builder)
        try builder.text(closing, from: state, to: to, at: path)
    }
}

extension JSONValue {
    /// Compact JSON with the spelling of strings that grammars use.
    var spelling: [UInt8] {
        if case .string(let text) = self { text.jsonSpelling } else { Array(text().utf8) }
    }
}
