// The tree of a compiled template. Chains of operators are lists, so that depth comes from brackets alone.

indirect enum JinjaExpression: Sendable {
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case text(MarkedText)
    case name(JinjaName)
    case list([JinjaExpression])
    case tuple([JinjaExpression])
    case dictionary([(JinjaExpression, JinjaExpression)])
    case not(JinjaExpression)
    case negated(JinjaExpression)
    case plus(JinjaExpression)
    case and([JinjaExpression])
    case or([JinjaExpression])
    case comparison(JinjaExpression, [(JinjaComparison, JinjaExpression)])
    case arithmetic(JinjaExpression, [(JinjaArithmetic, JinjaExpression)])
    case concatenation([JinjaExpression])
    case conditional(JinjaExpression, then: JinjaExpression, else: JinjaExpression?)
    case postfix(JinjaExpression, [JinjaPostfix])
}

/// A variable's name as a number within its template.
struct JinjaName: Hashable, Sendable {
    let index: Int
}

enum JinjaComparison: Sendable {
    case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, inside, notInside
}

enum JinjaArithmetic: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case remainder = "%"
    case power = "**"
}

enum JinjaPostfix: Sendable {
    case attribute(MarkedText)
    case item(JinjaExpression)
    case slice(JinjaExpression?, JinjaExpression?, JinjaExpression?)
    case call(JinjaArguments)
    case filter(JinjaFilter, JinjaArguments)
    case test(JinjaTest, JinjaArguments, negated: Bool)
}

struct JinjaArguments: Sendable {
    var positional: [JinjaExpression] = []
    var named: [(String, JinjaExpression)] = []
    /// `*list` and `**dictionary`.
    var positionalRest: JinjaExpression?
    var namedRest: JinjaExpression?
}

indirect enum JinjaTarget: Sendable {
    case name(JinjaName)
    case tuple([JinjaTarget])
    /// `set namespace.attribute`
    case attribute(JinjaName, String)
}

struct JinjaStatement: Sendable {
    var line: Int
    var kind: Kind

    indirect enum Kind: Sendable {
        case data([UInt8])
        case output([JinjaExpression])
        case `if`([(JinjaExpression, [JinjaStatement])], else: [JinjaStatement])
        case `for`(JinjaLoop)
        case set(JinjaTarget, JinjaExpression)
        case setBlock(JinjaTarget, filters: [JinjaPostfix], [JinjaStatement])
        case macro(JinjaMacro)
        case call(JinjaMacro, JinjaExpression)
        case filter([JinjaPostfix], [JinjaStatement])
        case with([(JinjaTarget, JinjaExpression)], [JinjaStatement])
        case scope([JinjaStatement])
        case `break`
        case `continue`
    }
}

struct JinjaLoop: Sendable {
    var target: JinjaTarget
    var sequence: JinjaExpression
    var filter: JinjaExpression?
    var isRecursive: Bool
    var body: [JinjaStatement]
    var otherwise: [JinjaStatement]
}

struct JinjaMacro: Sendable {
    var name: JinjaName?
    var title: String
    var parameters: [(name: JinjaName, title: String, value: JinjaExpression?)]
    var body: [JinjaStatement]
    /// Whether the body reads `varargs`, `kwargs`, `caller`: only then may a call bring such arguments.
    var takesPositionalRest: Bool
    var takesNamedRest: Bool
    var takesCaller: Bool
}

/// A template's statements and the names that they use.
struct JinjaProgram: Sendable {
    var statements: [JinjaStatement]
    var names: [String]
    var indices: [String: Int]
}
