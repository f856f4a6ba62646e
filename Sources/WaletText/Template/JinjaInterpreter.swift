// Runs a compiled template: statements and expressions, counting every step.

/// Arguments of a call after evaluation.
struct JinjaCallArguments {
    var positional: [JinjaValue] = []
    var named: [(name: String, value: JinjaValue)] = []
}

final class JinjaInterpreter {
    let program: JinjaProgram
    let limits: TemplateLimits
    /// Seconds since 1970 for `strftime_now`, or nil for the machine's clock.
    let now: Int?

    private(set) var line = 1
    private(set) var output = MarkedText()
    private var steps = 0
    private var depth = 0
    private let globals: [JinjaGlobal?]
    private let loopName: JinjaName?
    private let callerName: JinjaName?
    private let positionalRestName: JinjaName?
    private let namedRestName: JinjaName?
    /// Everything that may take part in a cycle of references, emptied after rendering.
    private var scopes: [JinjaScope] = []
    private var lists: [JinjaList] = []
    private var dictionaries: [JinjaDictionary] = []
    private var namespaces: [JinjaNamespace] = []

    init(_ program: JinjaProgram, limits: TemplateLimits, now: Int?) {
        self.program = program
        self.limits = limits
        self.now = now
        globals = program.names.map(JinjaGlobal.init(rawValue:))
        let name: (String) -> JinjaName? = { program.indices[$0].map(JinjaName.init(index:)) }
        loopName = name("loop")
        callerName = name("caller")
        positionalRestName = name("varargs")
        namedRestName = name("kwargs")
    }

    /// Renders the template with variables by name.
    func render(_ variables: [(String, JinjaValue)]) throws(TemplateError) -> MarkedText {
        defer { releaseCycles() }
        let scope = makeScope(parent: nil)
        for (name, value) in variables {
            if let index = program.indices[name] { scope.values[JinjaName(index: index)] = value }
        }
        _ = try run(program.statements, scope)
        return output
    }

    private func releaseCycles() {
        for scope in scopes { scope.values = [:] }
        for list in lists { list.items = [] }
        for dictionary in dictionaries { dictionary.removeAll() }
        for namespace in namespaces { namespace.members = [:] }
    }

    // MARK: Accounts

    func charge(_ amount: Int = 1) throws(TemplateError) {
        steps += amount
        if steps > limits.steps { throw .limit(what: "steps", limit: limits.steps, line: line) }
    }

    /// Accounts for touching some bytes of text, and refuses a text beyond the limit before it is made.
    func charge(bytes: Int) throws(TemplateError) {
        if bytes > limits.outputBytes { throw .limit(what: "bytes of text", limit: limits.outputBytes, line: line) }
        try charge(1 + bytes / 64)
    }

    func charge(elements: Int) throws(TemplateError) {
        if elements > limits.elements { throw .limit(what: "elements", limit: limits.elements, line: line) }
        try charge(1 + elements / 4)
    }

    func enter() throws(TemplateError) {
        depth += 1
        if depth > limits.depth { throw .limit(what: "levels of nesting", limit: limits.depth, line: line) }
    }

    func leave() { depth -= 1 }

    func failure(_ reason: String) -> TemplateError { .runtime(line: line, reason: reason) }

    func undefined(_ name: String) -> TemplateError {
        failure("'\(name.prefix(80))' is undefined")
    }

    func note(mutated list: JinjaList) { lists.append(list) }
    func note(mutated dictionary: JinjaDictionary) { dictionaries.append(dictionary) }
    func note(_ namespace: JinjaNamespace) { namespaces.append(namespace) }

    private func makeScope(parent: JinjaScope?) -> JinjaScope {
        let scope = JinjaScope(parent: parent)
        // Only a macro can tie a scope into a cycle, so templates without one keep no list of scopes.
        if hasMacros { scopes.append(scope) }
        return scope
    }

    private lazy var hasMacros = Self.containsMacro(program.statements)

    private static func containsMacro(_ statements: [JinjaStatement]) -> Bool {
        statements.contains { statement in
            switch statement.kind {
            case .macro, .call: true
            case .if(let branches, let otherwise):
                branches.contains { containsMacro($0.1) } || containsMacro(otherwise)
            case .for(let loop): loop.isRecursive || containsMacro(loop.body) || containsMacro(loop.otherwise)
            case .setBlock(_, _, let body), .filter(_, let body), .with(_, let body), .scope(let body):
                containsMacro(body)
            case .data, .output, .set, .break, .continue: false
            }
        }
    }

    // MARK: Statements

    private enum Flow { case next, leaveLoop, nextTurn }

    private func run(_ statements: [JinjaStatement], _ scope: JinjaScope) throws(TemplateError) -> Flow {
        for statement in statements {
            line = statement.line
            let flow = try run(statement, scope)
            if flow != .next { return flow }
        }
        return .next
    }

    private func run(_ statement: JinjaStatement, _ scope: JinjaScope) throws(TemplateError) -> Flow {
        switch statement.kind {
        case .data(let bytes):
            try charge(bytes: output.count + bytes.count, touched: bytes.count)
            output.append(bytes)
        case .output(let values):
            for value in values { try emit(try text(of: try evaluate(value, scope))) }
        case .if(let branches, let otherwise):
            try charge()
            try enter()
            defer { leave() }
            for (condition, body) in branches where try evaluate(condition, scope).isTrue {
                return try run(body, scope)
            }
            return try run(otherwise, scope)
        case .for(let loop):
            return try runLoop(loop, over: nil, depth: 1, scope)
        case .set(let target, let value):
            try assign(try evaluate(value, scope), to: target, scope)
        case .break: return .leaveLoop
        case .continue: return .nextTurn
        default: try runBlock(statement.kind, scope)
        }
        return .next
    }

    /// The statements that make a scope of their own, apart so that the common ones use less of the stack.
    private func runBlock(_ kind: JinjaStatement.Kind, _ scope: JinjaScope) throws(TemplateError) {
        try charge()
        switch kind {
        case .setBlock(let target, let filters, let body):
            var value = JinjaValue.text(try capture(body, makeScope(parent: scope)))
            for filter in filters { value = try apply(filter, to: value, scope) }
            try assign(value, to: target, scope)
        case .macro(let macro):
            if let name = macro.name { scope.values[name] = .macro(JinjaClosure(macro, scope)) }
        case .call(let macro, let call):
            guard case .postfix(let base, var operations) = call, case .call(let last) = operations.popLast() else {
                return
            }
            var arguments = try evaluate(last, scope)
            arguments.named.append((Self.callerArgument, .macro(JinjaClosure(macro, scope))))
            let callee = try evaluate(operations.isEmpty ? base : .postfix(base, operations), scope)
            try emit(try text(of: try self.call(callee, arguments)))
        case .filter(let filters, let body):
            var value = JinjaValue.text(try capture(body, makeScope(parent: scope)))
            for filter in filters { value = try apply(filter, to: value, scope) }
            try emit(try text(of: value))
        case .with(let values, let body):
            let inner = makeScope(parent: scope)
            for (target, value) in values { try assign(try evaluate(value, scope), to: target, inner) }
            try enter()
            defer { leave() }
            _ = try run(body, inner)
        case .scope(let body):
            try enter()
            defer { leave() }
            _ = try run(body, makeScope(parent: scope))
        default: break
        }
    }

    private func charge(bytes total: Int, touched: Int) throws(TemplateError) {
        if total > limits.outputBytes { throw .limit(what: "bytes of text", limit: limits.outputBytes, line: line) }
        try charge(1 + touched / 64)
    }

    private func emit(_ text: MarkedText) throws(TemplateError) {
        try charge(bytes: output.count + text.count, touched: text.count)
        output.append(text)
    }

    private func capture(_ body: [JinjaStatement], _ scope: JinjaScope) throws(TemplateError) -> MarkedText {
        try enter()
        defer { leave() }
        var outer = MarkedText()
        swap(&outer, &output)
        _ = try run(body, scope)
        swap(&outer, &output)
        return outer
    }

    private func assign(_ value: JinjaValue, to target: JinjaTarget, _ scope: JinjaScope) throws(TemplateError) {
        switch target {
        case .name(let name): scope.values[name] = value
        case .attribute(let name, let attribute):
            guard case .namespace(let namespace) = scope.value(of: name) else {
                throw failure("only a namespace's attributes can be set, and '\(program.names[name.index])' is none")
            }
            try set(attribute, to: value, in: namespace)
        case .tuple(let targets):
            let values = try elements(of: value)
            guard values.count == targets.count else {
                throw failure("\(targets.count) names cannot take apart \(values.count) values")
            }
            for (target, value) in zip(targets, values) { try assign(value, to: target, scope) }
        }
    }

    func set(_ attribute: String, to value: JinjaValue, in namespace: JinjaNamespace) throws(TemplateError) {
        guard !attribute.hasPrefix("_") else {
            throw failure("a namespace's attribute cannot begin with '_': '\(attribute.prefix(80))'")
        }
        try charge(elements: namespace.members.count)
        namespace.set(attribute, value)
    }

    private func runLoop(
        _ loop: JinjaLoop, over given: JinjaValue?, depth loopDepth: Int, _ scope: JinjaScope
    ) throws(TemplateError) -> Flow {
        try charge()
        try enter()
        defer { leave() }
        let sequence: JinjaValue
        if let given { sequence = given } else { sequence = try evaluate(loop.sequence, scope) }
        var items = try elements(of: sequence)
        if let filter = loop.filter {
            var kept: [JinjaValue] = []
            for item in items {
                let inner = makeScope(parent: scope)
                try assign(item, to: loop.target, inner)
                if try evaluate(filter, inner).isTrue { kept.append(item) }
            }
            items = kept
        }
        if items.isEmpty { return try run(loop.otherwise, makeScope(parent: scope)) }
        var state: JinjaLoopState?
        if loopName != nil {
            state = JinjaLoopState(items: items, depth: loopDepth, recursion: loop.isRecursive ? (loop, scope) : nil)
        }
        // As in Jinja2, `else` runs unless some turn came to its end: after a `break` in the first turn too.
        var isComplete = false
        for (index, item) in items.enumerated() {
            try charge()
            let inner = makeScope(parent: scope)
            if let loopName, let state {
                state.index = index
                inner.values[loopName] = .loop(state)
            }
            try assign(item, to: loop.target, inner)
            let flow = try run(loop.body, inner)
            if flow == .leaveLoop { break }
            if flow == .next { isComplete = true }
        }
        return isComplete ? .next : try run(loop.otherwise, makeScope(parent: scope))
    }

    // MARK: Expressions

    func evaluate(_ expression: JinjaExpression, _ scope: JinjaScope) throws(TemplateError) -> JinjaValue {
        try charge()
        try enter()
        defer { leave() }
        switch expression {
        case .none: return .none
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .float(let value): return .float(value)
        case .text(let text): return .text(text)
        case .name(let name): return value(of: name, scope)
        case .not(let operand): return .bool(!(try evaluate(operand, scope).isTrue))
        case .and(let operands):
            var value = JinjaValue.none
            for operand in operands {
                value = try evaluate(operand, scope)
                if !value.isTrue { break }
            }
            return value
        case .or(let operands):
            var value = JinjaValue.none
            for operand in operands {
                value = try evaluate(operand, scope)
                if value.isTrue { break }
            }
            return value
        case .comparison(let first, let rest): return .bool(try compare(first, rest, scope))
        case .arithmetic(let first, let rest):
            var value = try evaluate(first, scope)
            for (operation, operand) in rest { value = try combine(value, operation, try evaluate(operand, scope)) }
            return value
        case .concatenation(let parts): return try concatenate(parts, scope)
        case .conditional(let condition, let then, let otherwise):
            if try evaluate(condition, scope).isTrue { return try evaluate(then, scope) }
            guard let otherwise else { return .undefined("the inline if-expression without else") }
            return try evaluate(otherwise, scope)
        case .postfix(let base, let operations):
            var value = try evaluate(base, scope)
            for operation in operations { value = try apply(operation, to: value, scope) }
            return value
        default: return try evaluateLiteral(expression, scope)
        }
    }

    /// Lists, dictionaries and signs, apart so that the common expressions use less of the stack.
    private func evaluateLiteral(
        _ expression: JinjaExpression, _ scope: JinjaScope
    ) throws(TemplateError) -> JinjaValue {
        switch expression {
        case .list(let items): return .list(JinjaList(try evaluate(items, scope)))
        case .tuple(let items): return .tuple(try evaluate(items, scope))
        case .dictionary(let members):
            let dictionary = JinjaDictionary()
            for (name, value) in members {
                let name = try evaluate(name, scope)
                dictionary.set(try key(name), name, try evaluate(value, scope))
            }
            return .dictionary(dictionary)
        case .negated(let operand): return try negate(try evaluate(operand, scope))
        case .plus(let operand):
            let value = try evaluate(operand, scope)
            if case .float = value { return value }
            guard let integer = value.integerValue else { throw failure("'+' cannot be put before \(value.kind)") }
            return .integer(integer)
        default: return .none
        }
    }

    private func evaluate(
        _ expressions: [JinjaExpression], _ scope: JinjaScope
    ) throws(TemplateError) -> [JinjaValue] {
        var values: [JinjaValue] = []
        values.reserveCapacity(expressions.count)
        for expression in expressions { values.append(try evaluate(expression, scope)) }
        return values
    }

    private func value(of name: JinjaName, _ scope: JinjaScope) -> JinjaValue {
        if let value = scope.value(of: name) { return value }
        if let global = globals[name.index] { return .global(global) }
        return .undefined(program.names[name.index])
    }

    private func compare(
        _ first: JinjaExpression, _ rest: [(JinjaComparison, JinjaExpression)], _ scope: JinjaScope
    ) throws(TemplateError) -> Bool {
        var left = try evaluate(first, scope)
        for (comparison, operand) in rest {
            let right = try evaluate(operand, scope)
            guard try compare(left, comparison, right) else { return false }
            left = right
        }
        return true
    }

    private func concatenate(
        _ parts: [JinjaExpression], _ scope: JinjaScope
    ) throws(TemplateError) -> JinjaValue {
        var result = MarkedText()
        for part in parts {
            let text = try text(of: try evaluate(part, scope))
            try charge(bytes: result.count + text.count, touched: text.count)
            result.append(text)
        }
        return .text(result)
    }

    private func apply(
        _ operation: JinjaPostfix, to value: JinjaValue, _ scope: JinjaScope
    ) throws(TemplateError) -> JinjaValue {
        try charge()
        switch operation {
        case .attribute(let name): return try attribute(name, of: value)
        case .item(let index): return try item(try evaluate(index, scope), of: value)
        case .slice(let start, let stop, let step):
            var bounds: [JinjaValue?] = []
            for bound in [start, stop, step] {
                if let bound { bounds.append(try evaluate(bound, scope)) } else { bounds.append(nil) }
            }
            return try slice(value, from: bounds[0], to: bounds[1], by: bounds[2])
        case .call(let arguments): return try call(value, try evaluate(arguments, scope))
        case .filter(let filter, let arguments):
            return try self.filter(value, filter, try evaluate(arguments, scope))
        case .test(let test, let arguments, let negated):
            return .bool(try self.test(value, test, try evaluate(arguments, scope)) != negated)
        }
    }

    private func evaluate(
        _ arguments: JinjaArguments, _ scope: JinjaScope
    ) throws(TemplateError) -> JinjaCallArguments {
        var result = JinjaCallArguments()
        for argument in arguments.positional { result.positional.append(try evaluate(argument, scope)) }
        for (name, argument) in arguments.named { result.named.append((name, try evaluate(argument, scope))) }
        if let rest = arguments.positionalRest {
            result.positional += try elements(of: try evaluate(rest, scope))
            try charge(elements: result.positional.count)
        }
        if let rest = arguments.namedRest {
            guard case .dictionary(let dictionary) = try evaluate(rest, scope) else {
                throw failure("what follows '**' is not a dictionary")
            }
            for (name, value) in zip(dictionary.keys, dictionary.values) {
                guard case .text(let name) = name else { throw failure("an argument's name is not a string") }
                result.named.append((name.string, value))
                guard result.named.count <= 64 else { throw .limit(what: "named arguments", limit: 64, line: line) }
            }
        }
        return result
    }

    // MARK: Calls

    /// What a `call` block passes under; no template can write this name itself.
    private static let callerArgument = "caller()"

    private func call(_ callee: JinjaValue, _ arguments: JinjaCallArguments) throws(TemplateError) -> JinjaValue {
        switch callee {
        case .macro(let closure): return .text(try call(closure, arguments))
        case .method(let receiver, let method): return try call(method, of: receiver, arguments)
        case .global(let global): return try call(global, arguments)
        case .loop(let loop):
            guard let recursion = loop.recursion, arguments.positional.count == 1, arguments.named.isEmpty else {
                throw failure("'loop' can be called in a recursive loop only, with one sequence")
            }
            try enter()
            defer { leave() }
            var outer = MarkedText()
            swap(&outer, &output)
            _ = try runLoop(
                recursion.loop, over: arguments.positional[0], depth: loop.depth + 1, recursion.scope)
            swap(&outer, &output)
            return .text(outer)
        case .joiner(let joiner):
            defer { joiner.isUsed = true }
            return joiner.isUsed ? joiner.separator : .text("")
        case .undefined(let name): throw undefined(name)
        default: throw failure("\(callee.kind) cannot be called")
        }
    }

    private func call(_ closure: JinjaClosure, _ arguments: JinjaCallArguments) throws(TemplateError) -> MarkedText {
        let macro = closure.macro
        let scope = makeScope(parent: closure.scope)
        var named = arguments.named
        if let index = named.firstIndex(where: { $0.name == Self.callerArgument }) {
            guard macro.takesCaller, let callerName else {
                throw failure("the macro '\(macro.title)' does not use 'caller'")
            }
            scope.values[callerName] = named.remove(at: index).value
        } else if macro.takesCaller, let callerName {
            scope.values[callerName] = .undefined("caller")
        }
        for (index, parameter) in macro.parameters.enumerated() {
            let position = named.firstIndex { $0.name == parameter.title }
            if index < arguments.positional.count {
                guard position == nil else {
                    throw failure("the macro '\(macro.title)' got the argument '\(parameter.title)' twice")
                }
                scope.values[parameter.name] = arguments.positional[index]
            } else if let position {
                scope.values[parameter.name] = named.remove(at: position).value
            } else if let value = parameter.value {
                scope.values[parameter.name] = try evaluate(value, scope)
            } else {
                scope.values[parameter.name] = .undefined(parameter.title)
            }
        }
        let rest = arguments.positional.dropFirst(macro.parameters.count)
        if macro.takesPositionalRest, let positionalRestName {
            scope.values[positionalRestName] = .tuple(Array(rest))
        } else if !rest.isEmpty {
            throw failure("the macro '\(macro.title)' takes \(macro.parameters.count) arguments")
        }
        if macro.takesNamedRest, let namedRestName {
            let dictionary = JinjaDictionary()
            for (name, value) in named { dictionary.set(.text(Array(name.utf8)), .text(name), value) }
            scope.values[namedRestName] = .dictionary(dictionary)
        } else if let first = named.first {
            throw failure("the macro '\(macro.title)' takes no argument '\(first.name.prefix(80))'")
        }
        return try capture(macro.body, scope)
    }

    private func call(_ global: JinjaGlobal, _ arguments: JinjaCallArguments) throws(TemplateError) -> JinjaValue {
        switch global {
        case .range: return try range(arguments)
        case .namespace:
            let namespace = JinjaNamespace()
            note(namespace)
            for (name, value) in try members(arguments, for: "namespace") {
                guard case .text(let name) = name else { throw failure("an attribute's name is not a string") }
                try set(name.string, to: value, in: namespace)
            }
            return .namespace(namespace)
        case .dict:
            let dictionary = JinjaDictionary()
            for (name, value) in try members(arguments, for: "dict") { dictionary.set(try key(name), name, value) }
            return .dictionary(dictionary)
        case .raiseException:
            let message = try bind(arguments, ["message"], for: "raise_exception")[0] ?? .text("")
            throw .raised(message: String(try text(of: message).string.prefix(1000)))
        case .strftimeNow:
            guard case .text(let format)? = try bind(arguments, ["format"], for: "strftime_now")[0] else {
                throw failure("strftime_now needs a format")
            }
            guard let text = JinjaClock.text(format.string, at: now) else {
                throw failure("strftime_now cannot print this format")
            }
            return .text(format.carrying(Array(text.utf8)))
        case .cycler:
            guard arguments.named.isEmpty, !arguments.positional.isEmpty else { throw failure("cycler needs values") }
            return .cycler(JinjaCycler(arguments.positional))
        case .joiner:
            return .joiner(JinjaJoiner(try bind(arguments, ["sep"], for: "joiner")[0] ?? .text(", ")))
        }
    }

    /// The members that `dict` or `namespace` is called with: of a dictionary or of pairs, then the named ones.
    private func members(
        _ arguments: JinjaCallArguments, for function: String
    ) throws(TemplateError) -> [(JinjaValue, JinjaValue)] {
        var members: [(JinjaValue, JinjaValue)] = []
        guard arguments.positional.count <= 1 else { throw failure("\(function) takes one positional argument") }
        if let first = arguments.positional.first {
            if case .dictionary(let dictionary) = first {
                members = Array(zip(dictionary.keys, dictionary.values))
            } else {
                for pair in try elements(of: first) {
                    let pair = try elements(of: pair)
                    guard pair.count == 2 else { throw failure("\(function) needs pairs") }
                    members.append((pair[0], pair[1]))
                }
            }
        }
        for (name, value) in arguments.named { members.append((.text(name), value)) }
        return members
    }

    private func range(_ arguments: JinjaCallArguments) throws(TemplateError) -> JinjaValue {
        var bounds: [Int] = []
        for argument in arguments.positional {
            guard let bound = argument.integerValue else {
                if case .undefined(let name) = argument { throw undefined(name) }
                throw failure("range needs integers, not \(argument.kind)")
            }
            bounds.append(bound)
        }
        guard (1...3).contains(bounds.count), arguments.named.isEmpty else {
            throw failure("range takes one to three integers")
        }
        let start = bounds.count == 1 ? 0 : bounds[0]
        let stop = bounds.count == 1 ? bounds[0] : bounds[1]
        let step = bounds.count == 3 ? bounds[2] : 1
        guard step != 0 else { throw failure("range needs a step other than 0") }
        // Both differences are taken as unsigned: the full width of Int does not fit an Int.
        let isEmpty = step > 0 ? start >= stop : start <= stop
        let width = isEmpty ? 0 : (step > 0 ? UInt(bitPattern: stop &- start) : UInt(bitPattern: start &- stop))
        let count = isEmpty ? 0 : (width - 1) / step.magnitude + 1
        guard count <= limits.elements else { throw .limit(what: "elements", limit: limits.elements, line: line) }
        try charge(elements: Int(count))
        var items: [JinjaValue] = []
        items.reserveCapacity(Int(count))
        var value = start
        for _ in 0..<count {
            items.append(.integer(value))
            value = value &+ step
        }
        return .sequence(.range(start: start, stop: stop, step: step), items)
    }

    /// Arguments in the order of a list of parameters; nil for those not given.
    func bind(
        _ arguments: JinjaCallArguments, _ parameters: [String], for function: String
    ) throws(TemplateError) -> [JinjaValue?] {
        guard arguments.positional.count <= parameters.count else {
            throw failure("\(function) takes \(parameters.count) arguments and got \(arguments.positional.count)")
        }
        var values = [JinjaValue?](repeating: nil, count: parameters.count)
        for (index, value) in arguments.positional.enumerated() { values[index] = value }
        for (name, value) in arguments.named {
            guard let index = parameters.firstIndex(of: name), values[index] == nil else {
                throw failure("\(function) cannot take the argument '\(name.prefix(80))'")
            }
            values[index] = value
        }
        return values
    }
}
