// What was done to a key, by whom, and what was set to what.

import Foundation
import WaletJSON

/// Something that was done to a key. The accounts keep a journal of it, from which an audit log takes it.
public struct KeyAction: Sendable, Hashable, Identifiable {
    public enum Kind: String, Sendable, Hashable, CaseIterable { case create, set, revoke }

    /// Its place in the journal: grows from action to action, not always by one.
    public let id: Int
    /// When it was done.
    public let date: Date
    public let kind: Kind
    public let keyID: String
    /// The key's tenant after it; "" where it has none.
    public let tenant: String
    /// Who did it, such as "cli:ada".
    public let by: String
    /// What was set to what, under the names that `walet keys show --json` has: for a new key its settings, for a changed
    /// one an object with `from` and `to` for each that differs, for a revoked one its name. Nothing of the secret.
    public let details: JSONObject

    /// Who did what a program did that does not say in whose name.
    public static let program = "program"

    static func validate(by: String) throws(AccountsError) {
        guard Names.isLabel(by) else {
            throw .invalid(
                field: "by", expected: "1 to 256 bytes of text without control characters",
                found: "'\(AccountsError.excerpt(by))'")
        }
    }

    /// All settings of a new key but its tenant, which an action names anyway, and the limits that it does not have.
    static func details(creating specification: KeySpecification) -> JSONObject {
        JSONObject(settings(specification).filter { $0.0 != "tenant" && $0.1 != .null })
    }

    static func details(changing old: KeySpecification, to new: KeySpecification) -> JSONObject {
        JSONObject(
            zip(settings(old), settings(new)).filter { $0.1 != $1.1 }.map { from, to in
                (from.0, ["from": from.1, "to": to.1])
            })
    }

    static func details(revoking specification: KeySpecification) -> JSONObject {
        JSONObject([("name", .string(specification.name))])
    }

    /// Always the same names in the same order.
    private static func settings(_ specification: KeySpecification) -> [(String, JSONValue)] {
        let limits = specification.limits
        func count(_ count: Int?) -> JSONValue { count.map(JSONValue.int) ?? .null }
        func money(_ amount: Money?) -> JSONValue { amount.map { .string("\($0)") } ?? .null }
        return [
            ("name", .string(specification.name)), ("tenant", .string(specification.tenant)),
            ("role", .string(specification.role.rawValue)),
            ("models", specification.models.map { .array($0.map(JSONValue.string)) } ?? .null),
            ("requests_per_minute", count(limits.requestsPerMinute)),
            ("tokens_per_minute", count(limits.tokensPerMinute)), ("concurrency", count(limits.concurrency)),
            ("budget_day_usd", money(limits.dayBudget)), ("budget_month_usd", money(limits.monthBudget)),
            ("priority", .int(specification.priority)),
            ("expires_at", specification.expiresAt.map { .string(UTCTime.text($0)) } ?? .null),
        ]
    }
}
