/// Why a plan or a cost cannot be computed, in words a user can act on.
public enum PlanError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A number or text that was given is not usable.
    case invalid(field: String, expected: String, found: String)
    /// A file or folder cannot be used.
    case file(path: String, reason: String)
    /// Something cannot be measured here; `remedy` says what to give instead.
    case unmeasurable(what: String, reason: String, remedy: String)

    public var description: String {
        switch self {
        case .invalid(let field, let expected, let found): "\(field): expected \(expected), found \(found)"
        case .file(let path, let reason): "\(path): \(reason)"
        case .unmeasurable(let what, let reason, let remedy): "cannot measure \(what): \(reason); \(remedy)"
        }
    }
}

extension PlanError {
    /// A finite number within a range.
    static func check(_ field: String, _ value: Double, in range: ClosedRange<Double>) throws(PlanError) {
        guard range.contains(value) else {
            throw .invalid(
                field: field, expected: "a number from \(plain(range.lowerBound)) to \(plain(range.upperBound))",
                found: plain(value))
        }
    }

    private static func plain(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 1e15 { return "\(Int(value))" }
        return "\(value)"
    }
}
