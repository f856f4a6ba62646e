// The values of `format` that can be enforced.

import Synchronization

/// Formats as patterns over ASCII, each a subset of what its standard allows that validators agree on: no leap second,
/// years from 0001, no comments or quotes in an address.
enum StringFormat: String, CaseIterable, Sendable {
    case dateTime = "date-time"
    case date
    case time
    case duration
    case email
    case hostname
    case ipv4
    case ipv6
    case uuid
    case uri

    /// The same for every grammar, so that they are made once.
    private static let known = Mutex<[StringFormat: CharacterAutomaton]>([:])
    private static let knownInJSON = Mutex<[StringFormat: ByteAutomaton]>([:])

    /// Whether a text is of the format.
    func accepts(_ text: String, path: String) throws(GrammarError) -> Bool {
        guard text.unicodeScalars.count <= longest ?? .max else { return false }
        return try automaton(path: path).accepts(text)
    }

    /// Strings of the format, but for its ``longest``.
    func automaton(path: String) throws(GrammarError) -> CharacterAutomaton {
        if let automaton = Self.known.withLock({ $0[self] }) { return automaton }
        var budget = CompileBudget(GrammarLimits())
        var automaton = try RegexAutomaton.automaton("^(?:\(pattern))$", path: path, budget: &budget)
        if self == .email {
            let shortName = try RegexAutomaton.automaton("^[^@]{1,64}@", path: path, budget: &budget)
            automaton = try automaton.intersection(shortName, path: path, budget: &budget)
        }
        Self.known.withLock { [automaton] in $0[self] = automaton }
        return automaton
    }

    /// The same as JSON spells them, without the opening quote.
    func jsonAutomaton(path: String) throws(GrammarError) -> ByteAutomaton? {
        if let automaton = Self.knownInJSON.withLock({ $0[self] }) { return automaton }
        var budget = CompileBudget(GrammarLimits())
        let automaton = try automaton(path: path).jsonAutomaton(path: path, budget: &budget)
        if let automaton { Self.knownInJSON.withLock { $0[self] = automaton } }
        return automaton
    }

    /// Characters at most, where the standard bounds the whole.
    var longest: Int? {
        switch self {
        case .hostname: 253
        case .email: 254
        default: nil
        }
    }

    private var pattern: String {
        switch self {
        // RFC 3339, section 5.6
        case .dateTime: "\(Self.day)T\(Self.clock)"
        case .date: Self.day
        case .time: Self.clock
        // RFC 3339, appendix A
        case .duration: Self.period
        // RFC 5321, section 4.1.2, without quoted strings
        case .email: "\(Self.atom)(?:\\.\(Self.atom))*@\(Self.label)(?:\\.\(Self.label))+"
        // RFC 1123, section 2.1
        case .hostname: "\(Self.label)(?:\\.\(Self.label))*"
        case .ipv4: Self.address4
        // RFC 4291, section 2.2, forms 1 and 2
        case .ipv6: Self.address6
        // RFC 9562, section 4
        case .uuid: "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
        // RFC 3986 with a registered name
        case .uri:
            "[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,4})?"
                + "(?:/\(Self.segment)*)*(?:\\?(?:\(Self.segment)|[/?])*)?(?:#(?:\(Self.segment)|[/?])*)?"
        }
    }

    private static let day: String = {
        let year = "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
        let leap =
            "(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
        let long = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
        let short = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
        return "(?:\(year)-(?:\(long)|\(short)|02-(?:0[1-9]|1[0-9]|2[0-8]))|\(leap))"
    }()

    private static let clock =
        "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"

    private static let period: String = {
        let number = "[0-9]{1,6}"
        let seconds = "\(number)S"
        let minutes = "\(number)M(?:\(seconds))?"
        let hours = "\(number)H(?:\(minutes))?"
        let time = "T(?:\(hours)|\(minutes)|\(seconds))"
        let months = "\(number)M(?:\(number)D)?"
        let years = "\(number)Y(?:\(months))?"
        return "P(?:(?:\(years)|\(months)|\(number)D)(?:\(time))?|\(time)|\(number)W)"
    }()

    private static let atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
    private static let label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

    private static let address4: String = {
        let byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
        return "\(byte)(?:\\.\(byte)){3}"
    }()

    private static let address6: String = {
        let group = "[0-9A-Fa-f]{1,4}"
        var forms = ["(?:\(group):){7}\(group)", "(?:\(group):){1,7}:", ":(?:(?::\(group)){1,7}|:)"]
        for before in 1...6 {
            forms.append("(?:\(group):){1,\(before)}(?::\(group)){1,\(7 - before)}")
        }
        return forms.joined(separator: "|")
    }()

    private static let segment = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
}
