// What a combination of schemas amounts to: alternatives, each a list of schemas that must all hold.

import WaletJSON

/// A list of schemas that must all hold, of which only the keywords count that do not combine schemas.
typealias SchemaTerm = [SchemaID]

/// Multiplies `$ref`, `allOf`, `anyOf` and `oneOf` out.
struct SchemaTerms {
    var document: SchemaDocument
    let options: JSONOptions
    private var known: [SchemaID: [SchemaTerm]] = [:]
    private var open: Set<SchemaID> = []
    private var patterns: [String: CharacterAutomaton] = [:]

    init(_ document: SchemaDocument, options: JSONOptions) {
        self.document = document
        self.options = options
    }

    /// The alternatives of schemas that must all hold; none where they cannot.
    mutating func terms(
        of ids: [SchemaID], budget: inout CompileBudget
    ) throws(GrammarError) -> [SchemaTerm] {
        var result: [SchemaTerm] = [[]]
        for id in ids {
            let more = try terms(of: id, budget: &budget)
            result = try product(result, more, at: document.path(id), budget: &budget)
        }
        return result
    }

    private mutating func terms(
        of id: SchemaID, budget: inout CompileBudget
    ) throws(GrammarError) -> [SchemaTerm] {
        if let known = known[id] { return known }
        let keywords = try document.keywords(of: id)
        guard open.insert(id).inserted else {
            throw .reference(
                path: keywords.path, expected: "a value between a schema and its reference to itself",
                found: "a reference that never ends")
        }
        // Every level of this recursion is another schema of the document.
        guard open.count <= Self.longestChain else {
            throw .limit(
                path: keywords.path, what: "schemas that combine each other", maximum: Self.longestChain,
                found: "more")
        }
        defer { open.remove(id) }
        try budget.spend(16, at: keywords.path)
        var result: [SchemaTerm] = keywords.isFalse ? [] : keywords.hasOwn ? [[id]] : [[]]
        if let reference = keywords.reference {
            let target = try terms(of: reference, budget: &budget)
            result = try product(result, target, at: keywords.path, budget: &budget)
        }
        for part in keywords.allOf {
            let terms = try terms(of: part, budget: &budget)
            result = try product(result, terms, at: keywords.path, budget: &budget)
        }
        if let branches = keywords.anyOf {
            var union: [SchemaTerm] = []
            for branch in branches { union += try terms(of: branch, budget: &budget) }
            result = try product(result, union, at: keywords.path.appendingPointer("anyOf"), budget: &budget)
        }
        if let branches = keywords.oneOf {
            let path = keywords.path.appendingPointer("oneOf")
            var union: [[SchemaTerm]] = []
            for branch in branches { union.append(try terms(of: branch, budget: &budget)) }
            if options.isStrict { try checkDisjoint(union, at: path, budget: &budget) }
            result = try product(result, Array(union.joined()), at: path, budget: &budget)
        }
        known[id] = result
        return result
    }

    private static let longestChain = 500

    private func product(
        _ left: [SchemaTerm], _ right: [SchemaTerm], at path: String, budget: inout CompileBudget
    ) throws(GrammarError) -> [SchemaTerm] {
        if right.count == 1, right[0].isEmpty { return left }
        if left.count == 1, left[0].isEmpty { return try unique(right, at: path, budget: &budget) }
        guard left.count * right.count <= options.limits.alternatives else {
            throw tooMany(left.count * right.count, at: path)
        }
        var result: [SchemaTerm] = []
        for first in left {
            for second in right {
                try budget.spend(first.count + second.count, at: path)
                result.append(first + second.filter { !first.contains($0) })
            }
        }
        return try unique(result, at: path, budget: &budget)
    }

    private func unique(
        _ terms: [SchemaTerm], at path: String, budget: inout CompileBudget
    ) throws(GrammarError) -> [SchemaTerm] {
        var seen: Set<SchemaTerm> = []
        var result: [SchemaTerm] = []
        for term in terms {
            try budget.spend(term.count + 1, at: path)
            if seen.insert(term).inserted { result.append(term) }
        }
        guard result.count <= options.limits.alternatives else { throw tooMany(result.count, at: path) }
        return result
    }

    private func tooMany(_ count: Int, at path: String) -> GrammarError {
        .limit(path: path, what: "alternatives of a value", maximum: options.limits.alternatives, found: "\(count)")
    }

    // MARK: oneOf

    /// `oneOf` is `anyOf` where no value fits two branches. That is refused unless it shows.
    private mutating func checkDisjoint(
        _ branches: [[SchemaTerm]], at path: String, budget: inout CompileBudget
    ) throws(GrammarError) {
        for first in branches.indices {
            for second in branches.indices where first != second {
                for written in branches[first] {
                    for other in branches[second] {
                        try budget.spend(8, at: path)
                        guard try excludes(other, written, budget: &budget) else {
                            throw .unsupported(
                                path: path,
                                expected: "anyOf, or branches of different types or told apart by a required property "
                                    + "with different constants",
                                found: "a oneOf of which branches \(first) and \(second) may both hold")
                        }
                    }
                }
            }
        }
    }

    /// Whether a term refuses everything that is written for another one.
    private mutating func excludes(
        _ term: SchemaTerm, _ written: SchemaTerm, budget: inout CompileBudget
    ) throws(GrammarError) -> Bool {
        let refusing = try merge(term)
        let writing = try merge(written)
        if refusing.statedTypes.isDisjoint(with: writing.types) { return true }
        if let values = try constants(ofTerm: written, budget: &budget) {
            for value in values where try accepts(value, term, budget: &budget) { return false }
            return true
        }
        if let values = refusing.constants,
            values.allSatisfy({ TypeSet(of: $0).isDisjoint(with: writing.types) })
        {
            return true
        }
        guard writing.types == .object else { return false }
        for name in writing.requiredNames {
            guard let theirs = writing.property(name), let ours = refusing.property(name),
                let values = try constants(of: theirs, budget: &budget)
            else { continue }
            var isAccepted = false
            for value in values where !isAccepted {
                isAccepted = true
                for id in ours where isAccepted { isAccepted = try accepts(value, id, depth: 0, budget: &budget) }
            }
            if !isAccepted { return true }
        }
        return false
    }

    /// The values of schemas that must all hold, where these are listed.
    private mutating func constants(
        of ids: [SchemaID], budget: inout CompileBudget
    ) throws(GrammarError) -> [JSONValue]? {
        var result: [JSONValue] = []
        for term in try terms(of: ids, budget: &budget) {
            guard let constants = try constants(ofTerm: term, budget: &budget) else { return nil }
            result += constants
        }
        return result
    }

    mutating func isFalse(_ id: SchemaID) throws(GrammarError) -> Bool {
        try document.keywords(of: id).isFalse
    }

    mutating func merge(_ term: SchemaTerm) throws(GrammarError) -> MergedSchema {
        var members: [SchemaKeywords] = []
        for id in term { members.append(try document.keywords(of: id)) }
        return MergedSchema(members)
    }

    // MARK: Values

    /// Whether a value fits all schemas of a term.
    mutating func accepts(
        _ value: JSONValue, _ term: SchemaTerm, budget: inout CompileBudget
    ) throws(GrammarError) -> Bool {
        for id in term {
            guard try acceptsOwn(value, document.keywords(of: id), depth: 0, budget: &budget) else { return false }
        }
        return true
    }

    /// The listed values of a term that fit all of it; nil where none are listed.
    mutating func constants(
        ofTerm term: SchemaTerm, budget: inout CompileBudget
    ) throws(GrammarError) -> [JSONValue]? {
        var listing: SchemaKeywords?
        var others: [SchemaKeywords] = []
        for id in term {
            let keywords = try document.keywords(of: id)
            if let constants = keywords.constants, constants.count < listing?.constants?.count ?? .max {
                if let listing { others.append(listing) }
                listing = keywords
            } else {
                others.append(keywords)
            }
        }
        guard var listing, let constants = listing.constants else { return nil }
        // They need not be looked for in their own list.
        listing.constants = nil
        others.append(listing)
        var result: [JSONValue] = []
        for value in constants {
            var isAccepted = true
            for keywords in others where isAccepted {
                isAccepted = try acceptsOwn(value, keywords, depth: 0, budget: &budget)
            }
            if isAccepted { result.append(value) }
        }
        return result
    }

    private mutating func accepts(
        _ value: JSONValue, _ id: SchemaID, depth: Int, budget: inout CompileBudget
    ) throws(GrammarError) -> Bool {
        let keywords = try document.keywords(of: id)
        guard depth < Self.longestChain else {
            throw .reference(
                path: keywords.path, expected: "a value between a schema and its reference to itself",
                found: "a reference that never ends")
        }
        guard try acceptsOwn(value, keywords, depth: depth, budget: &budget) else { return false }
        if let reference = keywords.reference {
            guard try accepts(value, reference, depth: depth + 1, budget: &budget) else { return false }
        }
        for part in keywords.allOf {
            guard try accepts(value, part, depth: depth + 1, budget: &budget) else { return false }
        }
        for branches in [keywords.anyOf, keywords.oneOf] {
            guard let branches else { continue }
            var isAccepted = false
            for branch in branches where !isAccepted {
                isAccepted = try accepts(value, branch, depth: depth + 1, budget: &budget)
            }
            guard isAccepted else { return false }
        }
        return true
    }

    /// Whether a value fits the keywords of a schema that do not combine schemas.
    private mutating func acceptsOwn(
        _ value: JSONValue, _ keywords: SchemaKeywords, depth: Int, budget: inout CompileBudget
    ) throws(GrammarError) -> Bool {
        try budget.spend(8, at: keywords.path)
        guard !keywords.isFalse else { return false }
        if let types = keywords.types, types.isDisjoint(with: TypeSet(of: value)) { return false }
        if let constants = keywords.constants {
            try budget.spend(constants.count, at: keywords.path)
            guard constants.contains(where: { $0.equalsInJSON(value) }) else { return false }
        }
        switch value {
        case .null, .bool: return true
        case .int, .double: return Decimal(value).map(keywords.number.accepts) ?? false
        case .string(let text):
            let count = text.unicodeScalars.count
            try budget.spend(count, at: keywords.path)
            guard count >= keywords.minimumLength, count <= keywords.maximumLength ?? count else { return false }
            if let pattern = keywords.pattern {
                guard try automaton(of: pattern, at: keywords.path, budget: &budget).accepts(text) else { return false }
            }
            return try keywords.format?.accepts(text, path: keywords.path) ?? true
        case .array(let elements):
            guard elements.count >= keywords.minimumItems, elements.count <= keywords.maximumItems ?? elements.count
            else { return false }
            for (index, element) in elements.enumerated() {
                let schema = index < keywords.prefixItems.count ? keywords.prefixItems[index] : keywords.items
                guard let schema else { continue }
                guard try accepts(element, schema, depth: depth + 1, budget: &budget) else { return false }
            }
            return true
        case .object(let object):
            guard keywords.required.allSatisfy({ object[$0] != nil }) else { return false }
            guard object.count >= keywords.minimumProperties,
                object.count <= keywords.maximumProperties ?? object.count
            else { return false }
            for (name, member) in object.members {
                try budget.spend(keywords.properties.count, at: keywords.path)
                let declared = keywords.properties.first { $0.name.utf8.elementsEqual(name.utf8) }?.schema
                guard let schema = declared ?? keywords.additionalProperties else { continue }
                guard try accepts(member, schema, depth: depth + 1, budget: &budget) else { return false }
            }
            return true
        }
    }

    /// A pattern's automaton, made once.
    mutating func automaton(
        of pattern: String, at path: String, budget: inout CompileBudget
    ) throws(GrammarError) -> CharacterAutomaton {
        if let known = patterns[pattern] { return known }
        let automaton = try RegexAutomaton.automaton(pattern, path: path, budget: &budget)
        patterns[pattern] = automaton
        return automaton
    }
}

/// The keywords of schemas that must all hold, put together.
struct MergedSchema {
    let members: [SchemaKeywords]
    /// Kinds of values that `type` leaves.
    let statedTypes: TypeSet
    /// Kinds of values that are written: where no schema states its types, those that other keywords speak of.
    let types: TypeSet

    init(_ members: [SchemaKeywords]) {
        self.members = members
        var stated: TypeSet = .all
        for member in members { if let types = member.types { stated.formIntersection(types) } }
        statedTypes = stated
        let isStated = members.contains { $0.types != nil || $0.constants != nil }
        let mentioned = members.reduce(into: TypeSet()) { $0.formUnion($1.mentioned) }
        types = isStated || mentioned.isEmpty ? stated : mentioned
    }

    /// Values that the schemas list, not checked against the rest of them.
    var constants: [JSONValue]? { members.lazy.compactMap(\.constants).min { $0.count < $1.count } }

    var number: NumberConstraint {
        var result = NumberConstraint()
        result.isInteger = !types.contains(.fractional)
        for member in members {
            if let bound = member.number.lower { result.raiseLower(bound) }
            if let bound = member.number.upper { result.sinkUpper(bound) }
            result.multiples.formUnion(member.number.multiples)
        }
        return result
    }

    var minimumLength: Int { members.lazy.map(\.minimumLength).max() ?? 0 }
    var maximumLength: Int? { members.lazy.compactMap(\.maximumLength).min() }
    var minimumItems: Int { members.lazy.map(\.minimumItems).max() ?? 0 }
    var maximumItems: Int? { members.lazy.compactMap(\.maximumItems).min() }
    var minimumProperties: Int { members.lazy.map(\.minimumProperties).max() ?? 0 }
    var maximumProperties: Int? { members.lazy.compactMap(\.maximumProperties).min() }

    /// Names of required members, each once.
    var requiredNames: [String] {
        var seen: Set<[UInt8]> = []
        return members.flatMap(\.required).filter { seen.insert(Array($0.utf8)).inserted }
    }

    /// What holds of the member of a name; nil where no schema says anything of it.
    func property(_ name: String) -> [SchemaID]? {
        var result: [SchemaID] = []
        for member in members {
            if let declared = member.properties.first(where: { $0.name.utf8.elementsEqual(name.utf8) }) {
                result.append(declared.schema)
            } else if let other = member.additionalProperties {
                result.append(other)
            }
        }
        return result.isEmpty ? nil : result
    }
}
