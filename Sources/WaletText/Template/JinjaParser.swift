// Tokens to a tree, by Jinja2's own grammar: its precedence, its tuples without brackets, its tests with one argument.

struct JinjaParser {
    private let tokens: [JinjaToken]
    private var position = 0
    private var depth = 0
    private var names: [String] = []
    private var indices: [String: Int] = [:]
    /// Names that some statement gives a value, that some test asks about, and that are called.
    private var assigned: Set<String> = []
    private var questioned: Set<String> = []
    private var called: [(name: String, line: Int)] = []
    /// Special names that each open macro has read.
    private var macroReads: [Set<String>] = []
    private var loopDepth = 0

    static func program(of text: String) throws(TemplateError) -> JinjaProgram {
        guard text.utf8.count <= TemplateLimits.sourceBytes else {
            throw .limit(what: "bytes of template text", limit: TemplateLimits.sourceBytes, line: 1)
        }
        var parser = JinjaParser(tokens: try JinjaLexer.tokens(of: text))
        let statements = try parser.statements(until: [])
        try parser.checkCalls()
        return JinjaProgram(statements: statements, names: parser.names, indices: parser.indices)
    }

    private init(tokens: [JinjaToken]) { self.tokens = tokens }

    /// A call of a name that nothing defines cannot succeed, so it is refused before the first request needs it.
    private func checkCalls() throws(TemplateError) {
        for call in called where !assigned.contains(call.name) && !questioned.contains(call.name) {
            if JinjaGlobal(rawValue: call.name) == nil {
                throw .unsupported(
                    .function, name: call.name, line: call.line, supported: JinjaGlobal.allCases.map(\.rawValue))
            }
        }
    }

    // MARK: Tokens

    private var token: JinjaToken { tokens[min(position, tokens.count - 1)] }
    private var line: Int { token.line }

    private mutating func advance() { position += 1 }

    private func isSymbol(_ symbol: String) -> Bool { token.kind == .symbol(symbol) }
    private func isName(_ name: String) -> Bool { token.kind == .name(name) }

    private mutating func skip(_ symbol: String) -> Bool {
        guard isSymbol(symbol) else { return false }
        advance()
        return true
    }

    private mutating func skip(name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    private mutating func expect(_ symbol: String) throws(TemplateError) {
        guard skip(symbol) else {
            throw .syntax(line: line, reason: "expected '\(symbol)' and found \(token.text)")
        }
    }

    private mutating func expectBlockEnd() throws(TemplateError) {
        guard token.kind == .blockEnd else {
            throw .syntax(line: line, reason: "expected '%}' and found \(token.text)")
        }
        advance()
    }

    private mutating func anyName(_ what: String) throws(TemplateError) -> String {
        guard case .name(let name) = token.kind else {
            throw .syntax(line: line, reason: "expected \(what) and found \(token.text)")
        }
        advance()
        return name
    }

    private mutating func intern(_ name: String) -> JinjaName {
        if let index = indices[name] { return JinjaName(index: index) }
        indices[name] = names.count
        names.append(name)
        return JinjaName(index: names.count - 1)
    }

    private mutating func deeper() throws(TemplateError) {
        depth += 1
        guard depth <= TemplateLimits.sourceDepth else {
            throw .limit(what: "levels of nesting", limit: TemplateLimits.sourceDepth, line: line)
        }
    }

    // MARK: Statements

    /// Parses up to a block tag of one of the names and leaves the parser after that name.
    private mutating func statements(until ends: [String]) throws(TemplateError) -> [JinjaStatement] {
        try deeper()
        defer { depth -= 1 }
        var body: [JinjaStatement] = []
        while true {
            let start = token
            switch start.kind {
            case .end:
                guard ends.isEmpty else {
                    throw .syntax(
                        line: line,
                        reason: "the template ends where a '\(ends.joined(separator: "' or '"))' is expected")
                }
                return body
            case .data(let bytes):
                advance()
                body.append(JinjaStatement(line: start.line, kind: .data(bytes)))
            case .variableBegin:
                advance()
                let value = try tuple()
                guard token.kind == .variableEnd else {
                    throw .syntax(line: line, reason: "expected '}}' and found \(token.text)")
                }
                advance()
                body.append(JinjaStatement(line: start.line, kind: .output([value])))
            case .blockBegin:
                advance()
                let name = try anyName("the name of a tag")
                if ends.contains(name) {
                    position -= 1
                    return body
                }
                if let kind = try statement(name, line: start.line) {
                    body.append(JinjaStatement(line: start.line, kind: kind))
                }
            default:
                throw .syntax(line: line, reason: "unexpected \(start.text)")
            }
        }
    }

    /// A body and the end tag that closes it.
    private mutating func body(_ end: String) throws(TemplateError) -> [JinjaStatement] {
        let body = try statements(until: [end])
        advance()
        try expectBlockEnd()
        return body
    }

    private static let tags = [
        "if", "for", "set", "macro", "call", "filter", "with", "print", "raw", "break", "continue", "generation",
    ]

    private mutating func statement(_ name: String, line: Int) throws(TemplateError) -> JinjaStatement.Kind? {
        switch name {
        case "if": return try ifStatement()
        case "for": return try forStatement()
        case "set": return try setStatement()
        case "macro": return .macro(try macro())
        case "call": return try callStatement()
        case "filter":
            let filters = try filterChain(first: true)
            try expectBlockEnd()
            return .filter(filters, try body("endfilter"))
        case "with": return try withStatement()
        case "print":
            var values = [try expression()]
            while skip(",") { values.append(try expression()) }
            try expectBlockEnd()
            return .output(values)
        case "break", "continue":
            guard loopDepth > 0 else { throw .syntax(line: line, reason: "'\(name)' outside a loop") }
            try expectBlockEnd()
            return name == "break" ? .break : .continue
        case "generation":
            try expectBlockEnd()
            return .scope(try body("endgeneration"))
        default:
            if name.hasPrefix("end") || name == "else" || name == "elif" {
                throw .syntax(line: line, reason: "unexpected '{% \(name.prefix(80)) %}'")
            }
            throw .unsupported(.tag, name: name, line: line, supported: Self.tags)
        }
    }

    private mutating func ifStatement() throws(TemplateError) -> JinjaStatement.Kind {
        var branches: [(JinjaExpression, [JinjaStatement])] = []
        var otherwise: [JinjaStatement] = []
        while true {
            let condition = try tuple(withConditional: false)
            try expectBlockEnd()
            branches.append((condition, try statements(until: ["elif", "else", "endif"])))
            if skip(name: "elif") { continue }
            if skip(name: "else") {
                try expectBlockEnd()
                otherwise = try statements(until: ["endif"])
            }
            advance()
            try expectBlockEnd()
            return .if(branches, else: otherwise)
        }
    }

    private mutating func forStatement() throws(TemplateError) -> JinjaStatement.Kind {
        let target = try assignmentTarget(allowsTuple: true)
        guard skip(name: "in") else { throw .syntax(line: line, reason: "expected 'in' and found \(token.text)") }
        let sequence = try tuple(withConditional: false, endingAt: "recursive")
        let filter = skip(name: "if") ? try expression() : nil
        let isRecursive = skip(name: "recursive")
        if isRecursive { assigned.insert("loop") }
        try expectBlockEnd()
        loopDepth += 1
        let body = try statements(until: ["else", "endfor"])
        loopDepth -= 1
        var otherwise: [JinjaStatement] = []
        if skip(name: "else") {
            try expectBlockEnd()
            otherwise = try statements(until: ["endfor"])
        }
        advance()
        try expectBlockEnd()
        return .for(
            JinjaLoop(
                target: target, sequence: sequence, filter: filter, isRecursive: isRecursive, body: body,
                otherwise: otherwise))
    }

    private mutating func setStatement() throws(TemplateError) -> JinjaStatement.Kind {
        let target = try assignmentTarget(allowsTuple: true, allowsAttribute: true)
        if skip("=") {
            let value = try tuple()
            try expectBlockEnd()
            return .set(target, value)
        }
        let filters = try filterChain(first: false)
        try expectBlockEnd()
        return .setBlock(target, filters: filters, try body("endset"))
    }

    private mutating func withStatement() throws(TemplateError) -> JinjaStatement.Kind {
        var values: [(JinjaTarget, JinjaExpression)] = []
        while token.kind != .blockEnd {
            if !values.isEmpty { try expect(",") }
            let target = try assignmentTarget(allowsTuple: false)
            try expect("=")
            values.append((target, try expression()))
        }
        try expectBlockEnd()
        return .with(values, try body("endwith"))
    }

    private mutating func macro() throws(TemplateError) -> JinjaMacro {
        let title = try anyName("the name of a macro")
        assigned.insert(title)
        let name = intern(title)
        var macro = try parameters(title)
        macro.name = name
        return try macroBody(macro, end: "endmacro")
    }

    private mutating func callStatement() throws(TemplateError) -> JinjaStatement.Kind {
        let empty = JinjaMacro(
            name: nil, title: "caller", parameters: [], body: [], takesPositionalRest: false, takesNamedRest: false,
            takesCaller: false)
        let macro = isSymbol("(") ? try parameters("caller") : empty
        let start = line
        let call = try expression()
        guard case .postfix(_, let operations) = call, case .call = operations.last else {
            throw .syntax(line: start, reason: "'{% call %}' needs a call")
        }
        return .call(try macroBody(macro, end: "endcall"), call)
    }

    private mutating func parameters(_ title: String) throws(TemplateError) -> JinjaMacro {
        var parameters: [(name: JinjaName, title: String, value: JinjaExpression?)] = []
        try expect("(")
        while !isSymbol(")") {
            if !parameters.isEmpty {
                try expect(",")
                if isSymbol(")") { break }
            }
            let parameter = try anyName("the name of a parameter")
            assigned.insert(parameter)
            let name = intern(parameter)
            let value = skip("=") ? try expression() : nil
            if value == nil, parameters.last.map({ $0.value != nil }) ?? false {
                throw .syntax(line: line, reason: "a parameter without a default follows one with a default")
            }
            parameters.append((name, parameter, value))
        }
        try expect(")")
        return JinjaMacro(
            name: nil, title: title, parameters: parameters, body: [], takesPositionalRest: false,
            takesNamedRest: false, takesCaller: false)
    }

    private mutating func macroBody(_ macro: JinjaMacro, end: String) throws(TemplateError) -> JinjaMacro {
        var macro = macro
        try expectBlockEnd()
        macroReads.append([])
        let outerLoops = loopDepth
        loopDepth = 0
        macro.body = try body(end)
        loopDepth = outerLoops
        let reads = macroReads.removeLast()
        macro.takesPositionalRest = reads.contains("varargs")
        macro.takesNamedRest = reads.contains("kwargs")
        macro.takesCaller = reads.contains("caller")
        return macro
    }

    private mutating func assignmentTarget(
        allowsTuple: Bool, allowsAttribute: Bool = false
    ) throws(TemplateError) -> JinjaTarget {
        try deeper()
        defer { depth -= 1 }
        var targets: [JinjaTarget] = []
        var isTuple = false
        repeat {
            if isTuple, isName("in") || isSymbol("=") || isSymbol(")") || token.kind == .blockEnd { break }
            if skip("(") {
                targets.append(try assignmentTarget(allowsTuple: true, allowsAttribute: allowsAttribute))
                try expect(")")
            } else {
                let start = line
                let name = try anyName("a name to assign to")
                guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
                    throw .syntax(line: start, reason: "cannot assign to '\(name)'")
                }
                if allowsAttribute, skip(".") {
                    let attribute = try anyName("the name of an attribute")
                    targets.append(.attribute(intern(name), attribute))
                } else {
                    assigned.insert(name)
                    targets.append(.name(intern(name)))
                }
            }
            guard allowsTuple, isSymbol(",") else { break }
            isTuple = true
        } while skip(",")
        return isTuple ? .tuple(targets) : targets[0]
    }

    // MARK: Expressions

    /// An expression, or several with commas between, which make a tuple.
    private mutating func tuple(
        withConditional: Bool = true, endingAt end: String? = nil
    ) throws(TemplateError) -> JinjaExpression {
        var values: [JinjaExpression] = []
        var isTuple = false
        while true {
            switch token.kind {
            case .variableEnd, .blockEnd, .symbol(")"):
                guard !values.isEmpty else {
                    throw .syntax(line: line, reason: "expected an expression and found \(token.text)")
                }
                return .tuple(values)
            case .name(let name) where name == end && !values.isEmpty: return .tuple(values)
            default: break
            }
            values.append(withConditional ? try expression() : try binary(level: 1))
            guard skip(",") else { break }
            isTuple = true
        }
        return isTuple ? .tuple(values) : values[0]
    }

    private mutating func expression() throws(TemplateError) -> JinjaExpression {
        try deeper()
        defer { depth -= 1 }
        var value = try binary(level: 1)
        var chained = 0
        while skip(name: "if") {
            let condition = try binary(level: 1)
            let otherwise = skip(name: "else") ? try expression() : nil
            value = .conditional(condition, then: value, else: otherwise)
            chained += 1
            guard chained + depth <= TemplateLimits.sourceDepth else {
                throw .limit(what: "levels of nesting", limit: TemplateLimits.sourceDepth, line: line)
            }
        }
        return value
    }

    // Levels: 1 or, 2 and, 3 not, 4 comparison, 5 + -, 6 ~, 7 * / // %, 8 **, 9 unary.
    private mutating func binary(level: Int) throws(TemplateError) -> JinjaExpression {
        if level <= 3, isName("not") {
            try deeper()
            defer { depth -= 1 }
            advance()
            let value = JinjaExpression.not(try binary(level: 3))
            return try operators(after: value, level: level)
        }
        return try operators(after: try unary(withFilters: true), level: level)
    }

    /// Extends an operand by the operators of a level and of all that bind tighter.
    private mutating func operators(
        after operand: JinjaExpression, level: Int
    ) throws(TemplateError) -> JinjaExpression {
        var value = operand
        if case .not = operand {
        } else {
            if level <= 8 { value = try arithmetic(value, ["**"], nextLevel: 9) }
            if level <= 7 { value = try arithmetic(value, ["*", "/", "//", "%"], nextLevel: 8) }
            if level <= 6, isSymbol("~") {
                var parts = [value]
                while skip("~") { parts.append(try binary(level: 7)) }
                value = .concatenation(parts)
            }
            if level <= 5 { value = try arithmetic(value, ["+", "-"], nextLevel: 6) }
            if level <= 4 { value = try comparison(value) }
        }
        if level <= 2, isName("and") {
            var parts = [value]
            while skip(name: "and") { parts.append(try binary(level: 3)) }
            value = .and(parts)
        }
        if level <= 1, isName("or") {
            var parts = [value]
            while skip(name: "or") { parts.append(try binary(level: 2)) }
            value = .or(parts)
        }
        return value
    }

    private mutating func arithmetic(
        _ first: JinjaExpression, _ symbols: [String], nextLevel: Int
    ) throws(TemplateError) -> JinjaExpression {
        var rest: [(JinjaArithmetic, JinjaExpression)] = []
        while case .symbol(let symbol) = token.kind, symbols.contains(symbol),
            let operation = JinjaArithmetic(rawValue: symbol)
        {
            advance()
            rest.append((operation, nextLevel == 9 ? try unary(withFilters: true) : try binary(level: nextLevel)))
        }
        return rest.isEmpty ? first : .arithmetic(first, rest)
    }

    private mutating func comparison(_ first: JinjaExpression) throws(TemplateError) -> JinjaExpression {
        var rest: [(JinjaComparison, JinjaExpression)] = []
        while true {
            let operation: JinjaComparison
            switch token.kind {
            case .symbol("=="): operation = .equal
            case .symbol("!="): operation = .notEqual
            case .symbol("<"): operation = .less
            case .symbol("<="): operation = .lessOrEqual
            case .symbol(">"): operation = .greater
            case .symbol(">="): operation = .greaterOrEqual
            case .name("in"): operation = .inside
            case .name("not"):
                guard position + 1 < tokens.count, tokens[position + 1].kind == .name("in") else { fallthrough }
                advance()
                operation = .notInside
            default: return rest.isEmpty ? first : .comparison(first, rest)
            }
            advance()
            rest.append((operation, try binary(level: 5)))
        }
    }

    private mutating func unary(withFilters: Bool) throws(TemplateError) -> JinjaExpression {
        if isSymbol("-") || isSymbol("+") {
            try deeper()
            defer { depth -= 1 }
            let isNegative = isSymbol("-")
            advance()
            let operand = try unary(withFilters: false)
            return try postfix(isNegative ? .negated(operand) : .plus(operand), withFilters: withFilters)
        }
        return try postfix(try primary(), withFilters: withFilters)
    }

    private mutating func primary() throws(TemplateError) -> JinjaExpression {
        let start = token
        switch start.kind {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .bool(true)
            case "false", "False": return .bool(false)
            case "none", "None": return .none
            default:
                for index in macroReads.indices { macroReads[index].insert(name) }
                if isName("is") { questioned.insert(name) }
                if isSymbol("("), name != "caller" || macroReads.isEmpty { called.append((name, start.line)) }
                return .name(intern(name))
            }
        case .string(var bytes):
            advance()
            while case .string(let more) = token.kind {
                bytes += more
                advance()
            }
            return .text(MarkedText(bytes))
        case .integer(let value):
            advance()
            return .integer(value)
        case .float(let value):
            advance()
            return .float(value)
        case .symbol("("):
            try deeper()
            defer { depth -= 1 }
            advance()
            if skip(")") { return .tuple([]) }
            let value = try tuple()
            try expect(")")
            return value
        case .symbol("["):
            advance()
            var values: [JinjaExpression] = []
            while !isSymbol("]") {
                if !values.isEmpty {
                    try expect(",")
                    if isSymbol("]") { break }
                }
                values.append(try expression())
            }
            try expect("]")
            return .list(values)
        case .symbol("{"):
            advance()
            var members: [(JinjaExpression, JinjaExpression)] = []
            while !isSymbol("}") {
                if !members.isEmpty {
                    try expect(",")
                    if isSymbol("}") { break }
                }
                let key = try expression()
                try expect(":")
                members.append((key, try expression()))
            }
            try expect("}")
            return .dictionary(members)
        default:
            throw .syntax(line: start.line, reason: "expected an expression and found \(start.text)")
        }
    }

    private mutating func postfix(
        _ base: JinjaExpression, withFilters: Bool
    ) throws(TemplateError) -> JinjaExpression {
        var operations: [JinjaPostfix] = []
        var filtered = false
        loop: while true {
            switch token.kind {
            case .symbol(".") where !filtered:
                advance()
                switch token.kind {
                case .name(let name): operations.append(.attribute(MarkedText(name)))
                case .integer(let index): operations.append(.item(.integer(index)))
                default: throw .syntax(line: line, reason: "expected a name after '.' and found \(token.text)")
                }
                advance()
            case .symbol("[") where !filtered:
                advance()
                operations.append(try subscriptOperation())
            case .symbol("("): operations.append(.call(try arguments()))
            case .symbol("|") where withFilters:
                filtered = true
                operations += try filterChain(first: false)
            case .name("is") where withFilters:
                filtered = true
                operations.append(try test())
            default: break loop
            }
        }
        guard !operations.isEmpty else { return base }
        if case .postfix(let inner, let before) = base { return .postfix(inner, before + operations) }
        return .postfix(base, operations)
    }

    private mutating func subscriptOperation() throws(TemplateError) -> JinjaPostfix {
        var bounds: [JinjaExpression?] = []
        if !isSymbol(":") {
            let first = try expression()
            if isSymbol(",") {
                var values = [first]
                while skip(","), !isSymbol("]") { values.append(try expression()) }
                try expect("]")
                return .item(.tuple(values))
            }
            guard isSymbol(":") else {
                try expect("]")
                return .item(first)
            }
            bounds.append(first)
        } else {
            bounds.append(nil)
        }
        while bounds.count < 3, skip(":") {
            bounds.append(isSymbol(":") || isSymbol("]") ? nil : try expression())
        }
        try expect("]")
        while bounds.count < 3 { bounds.append(nil) }
        return .slice(bounds[0], bounds[1], bounds[2])
    }

    private mutating func arguments() throws(TemplateError) -> JinjaArguments {
        var arguments = JinjaArguments()
        try expect("(")
        var isFirst = true
        while !isSymbol(")") {
            if !isFirst {
                try expect(",")
                if isSymbol(")") { break }
            }
            isFirst = false
            if skip("*") {
                guard arguments.positionalRest == nil, arguments.namedRest == nil else { throw argumentOrder() }
                arguments.positionalRest = try expression()
            } else if skip("**") {
                guard arguments.namedRest == nil else { throw argumentOrder() }
                arguments.namedRest = try expression()
            } else if case .name(let name) = token.kind, position + 1 < tokens.count,
                tokens[position + 1].kind == .symbol("=")
            {
                guard arguments.namedRest == nil else { throw argumentOrder() }
                position += 2
                guard !arguments.named.contains(where: { $0.0 == name }) else {
                    throw .syntax(line: line, reason: "the argument '\(name.prefix(80))' is given twice")
                }
                arguments.named.append((name, try expression()))
                guard arguments.named.count <= 64 else {
                    throw .limit(what: "named arguments", limit: 64, line: line)
                }
            } else {
                guard arguments.named.isEmpty, arguments.positionalRest == nil, arguments.namedRest == nil else {
                    throw argumentOrder()
                }
                arguments.positional.append(try expression())
            }
        }
        try expect(")")
        return arguments
    }

    private func argumentOrder() -> TemplateError {
        .syntax(line: line, reason: "arguments come in the order: positional, named, *list, **dictionary")
    }

    /// `|name(arguments)|name…`; a filter block's first filter has no bar before it.
    private mutating func filterChain(first: Bool) throws(TemplateError) -> [JinjaPostfix] {
        var filters: [JinjaPostfix] = []
        var isBare = first
        while isBare || skip("|") {
            isBare = false
            let start = line
            let name = try dottedName("the name of a filter")
            guard let filter = JinjaFilter(name: name) else {
                throw .unsupported(.filter, name: name, line: start, supported: JinjaFilter.supported)
            }
            filters.append(.filter(filter, isSymbol("(") ? try arguments() : JinjaArguments()))
        }
        return filters
    }

    private mutating func dottedName(_ what: String) throws(TemplateError) -> String {
        var name = try anyName(what)
        while skip(".") { name += "." + (try anyName("a name")) }
        return name
    }

    private mutating func test() throws(TemplateError) -> JinjaPostfix {
        advance()
        let negated = skip(name: "not")
        let start = line
        let name = try dottedName("the name of a test")
        guard let test = JinjaTest(name: name) else {
            throw .unsupported(.test, name: name, line: start, supported: JinjaTest.supported)
        }
        var arguments = JinjaArguments()
        let takesOperand: Bool
        switch token.kind {
        case .symbol("("):
            arguments = try self.arguments()
            takesOperand = false
        case .name("is"): throw .syntax(line: line, reason: "tests cannot be chained: write 'and' between them")
        case .name(let word): takesOperand = !["else", "or", "and"].contains(word)
        case .string, .integer, .float, .symbol("["), .symbol("{"): takesOperand = true
        default: takesOperand = false
        }
        if takesOperand {
            // As in Jinja2, an operand that follows a test without brackets is its one argument.
            try deeper()
            defer { depth -= 1 }
            arguments.positional.append(try postfix(try primary(), withFilters: false))
        }
        return .test(test, arguments, negated: negated)
    }
}
