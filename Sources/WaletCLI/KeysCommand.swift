import ArgumentParser
import Foundation
import Walet
import WaletAccounts

/// `walet keys`: who may use the server, and how much.
struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Makes, lists, changes and revokes keys to the server.",
        discussion: """
            KEY is a key's id (wk_…), or its name where only one key has it.
            A running server follows within a second.
            """,
        subcommands: [
            CreateKeyCommand.self, ListKeysCommand.self, ShowKeyCommand.self, SetKeyCommand.self, RevokeKeyCommand.self,
        ])
}

/// Which accounts.
struct DatabaseArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A file, or postgres://USER@HOST/NAME; by default $WALET_DATABASE, or accounts.sqlite in Walet's data folder.",
            valueName: "path|url"))
    var database: String?

    /// Opens the accounts, hands them to `body`, and closes them.
    func open<Value>(create: Bool = false, _ body: (Accounts) async throws -> Value) async throws -> Value {
        let location = try database.map { try Accounts.Location(parsing: $0) } ?? Accounts.Location.standard()
        let accounts = try await Accounts.open(location, create: create)
        do {
            let value = try await body(accounts)
            await accounts.close()
            return value
        } catch {
            await accounts.close()
            throw error
        }
    }
}

/// Who runs this command, for the audit log.
private enum CommandUser {
    /// "cli:" and the name of the account that the process belongs to: the kernel's word, not the environment's.
    static var name: String {
        let number = getuid()
        guard let name = getpwuid(number).flatMap({ $0.pointee.pw_name }).map({ String(cString: $0) }), !name.isEmpty
        else { return "cli:\(number)" }
        return "cli:\(name)"
    }
}

/// What a key may do: the options of `create` and of `set`.
struct KeyArguments: ParsableArguments {
    @Option(help: "Keys of a tenant share cached prompts, and with nobody else.") var tenant: String?
    @Option(help: "user, operator (sees everybody's usage) or admin (also changes keys).") var role: Role?
    @Option(help: ArgumentHelp("The models that it may use, or 'all'.", valueName: "a,b,…|all")) var models: String?
    @Option(
        name: [.customLong("requests-per-minute"), .customLong("rpm")],
        help: ArgumentHelp("Requests that begin within 60 seconds.", valueName: "n|none"))
    var requestsPerMinute: String?
    @Option(
        name: [.customLong("tokens-per-minute"), .customLong("tpm")],
        help: ArgumentHelp("Tokens, prompt and output, of these.", valueName: "n|none"))
    var tokensPerMinute: String?
    @Option(help: ArgumentHelp("Requests at once.", valueName: "n|none")) var concurrency: String?
    @Option(help: ArgumentHelp("What requests of a UTC day may cost.", valueName: "usd|none")) var budgetDay: String?
    @Option(help: ArgumentHelp("What requests of a UTC month may cost.", valueName: "usd|none")) var budgetMonth:
        String?
    @Option(parsing: .unconditional, help: "-100 to 100; higher goes first.") var priority: Int?
    @Option(
        help: ArgumentHelp(
            "When it ends: a UTC day or time, or a number of days from now.", valueName: "2027-01-31|90d|none"))
    var expires: String?

    func validate() throws { _ = try changes() }

    /// What the options say, as a change of a key.
    func changes() throws -> @Sendable (inout KeySpecification) -> Void {
        let (tenant, role, priority) = (tenant, role, priority)
        let models: [String]?? = models.map { text in
            text == "all" ? nil : text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        let requests = try count(requestsPerMinute, "--requests-per-minute")
        let tokens = try count(tokensPerMinute, "--tokens-per-minute")
        let concurrency = try count(concurrency, "--concurrency")
        let day = try money(budgetDay, "--budget-day")
        let month = try money(budgetMonth, "--budget-month")
        let expiry = try Self.expiry(expires)
        return { specification in
            if let tenant { specification.tenant = tenant }
            if let role { specification.role = role }
            if let models { specification.models = models }
            if let requests { specification.limits.requestsPerMinute = requests }
            if let tokens { specification.limits.tokensPerMinute = tokens }
            if let concurrency { specification.limits.concurrency = concurrency }
            if let day { specification.limits.dayBudget = day }
            if let month { specification.limits.monthBudget = month }
            if let priority { specification.priority = priority }
            if let expiry { specification.expiresAt = expiry }
        }
    }

    var isEmpty: Bool {
        tenant == nil && role == nil && models == nil && requestsPerMinute == nil && tokensPerMinute == nil
            && concurrency == nil && budgetDay == nil && budgetMonth == nil && priority == nil && expires == nil
    }

    private func count(_ text: String?, _ option: String) throws -> Int?? {
        guard let text else { return nil }
        if text == "none" { return .some(nil) }
        guard let count = Int(text), count > 0 else {
            throw ValidationError("\(option): expected a whole number above 0, or 'none', found '\(text)'")
        }
        return count
    }

    private func money(_ text: String?, _ option: String) throws -> Money?? {
        guard let text else { return nil }
        if text == "none" { return .some(nil) }
        do {
            return try Money(parsing: text)
        } catch {
            throw ValidationError("\(option): expected US dollars such as 12.50, or 'none', found '\(text)'")
        }
    }

    private static func expiry(_ text: String?) throws -> Date?? {
        guard let text else { return nil }
        if text == "none" { return .some(nil) }
        if text.hasSuffix("d"), let days = Int(text.dropLast()), (1...36_500).contains(days) {
            return Date().addingTimeInterval(Double(days) * 86_400)
        }
        guard let date = UTCTime.parse(text) else {
            throw ValidationError(
                "--expires: expected 2027-01-31, 2027-01-31T18:00:00Z, 90d or none, found '\(text)'")
        }
        return date
    }
}

extension Role: ExpressibleByArgument {}

/// `walet keys create`: a new key, whose secret is shown this once.
struct CreateKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Makes a key and prints its secret, which is shown this once and stored nowhere.")

    @Argument(help: "What it is for, such as a department or an application.") var name: String
    @OptionGroup var options: KeyArguments
    @OptionGroup var accounts: DatabaseArguments
    @Flag(help: "One JSON object, with the secret.") var json = false

    func run() async throws {
        var specification = KeySpecification(name: name)
        try options.changes()(&specification)
        let (key, secret) = try await accounts.open(create: true) { [specification] in
            try await $0.createKey(specification, by: CommandUser.name)
        }
        if json {
            let members = KeyText.members(key) + [("secret", .string(secret))]
            Terminal.output(KeyText.json(members) + "\n")
        } else {
            Terminal.output(secret + "\n")
            Terminal.log("key \(key.id) for \(Terminal.printable(key.name)); its secret is shown this once")
        }
    }
}

/// `walet keys list`.
struct ListKeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Keys, their limits and what they have spent.")

    @Flag(help: "Revoked keys too.") var all = false
    @OptionGroup var accounts: DatabaseArguments
    @Flag(help: "One JSON object.") var json = false

    func run() async throws {
        let statuses = try await accounts.open { try await $0.statuses(includingRevoked: all) }
        if json {
            let object: JSONValue = ["keys": .array(statuses.map { .object(.init(KeyText.members($0))) })]
            Terminal.output(object.text() + "\n")
        } else if statuses.isEmpty {
            Terminal.log("there are no keys; 'walet keys create NAME' makes one")
        } else {
            let header = [
                "ID", "NAME", "TENANT", "ROLE", "MODELS", "STATE", "REQ/MIN", "TOK/MIN", "AT ONCE", "USD/DAY",
                "USD/MONTH",
                "TODAY", "THIS MONTH", "RESERVED",
            ]
            Terminal.output(TextTable.text([header] + statuses.map(KeyText.row), rightFrom: 6) + "\n")
        }
    }
}

/// `walet keys show`.
struct ShowKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "A key, its limits and what it has used.")

    @Argument(help: "An id or a name.") var key: String
    @OptionGroup var accounts: DatabaseArguments
    @Flag(help: "One JSON object.") var json = false

    func run() async throws {
        let status = try await accounts.open { try await $0.status(of: key) }
        Terminal.output(
            (json ? KeyText.json(KeyText.members(status)) : KeyText.description(status)) + "\n")
    }
}

/// `walet keys set`: other limits for a key; its secret stays.
struct SetKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Changes what a key may do; 'none' takes a limit away.")

    @Argument(help: "An id or a name.") var key: String
    @Option(help: "Another name.") var name: String?
    @OptionGroup var options: KeyArguments
    @OptionGroup var accounts: DatabaseArguments
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
        if options.isEmpty && name == nil { throw ValidationError("nothing to change: give at least one option") }
    }

    func run() async throws {
        let (changes, name) = (try options.changes(), name)
        let status = try await accounts.open { accounts in
            let key = try await accounts.update(key, by: CommandUser.name) { specification in
                changes(&specification)
                if let name { specification.name = name }
            }
            return try await accounts.status(of: key.id)
        }
        Terminal.output(
            (json ? KeyText.json(KeyText.members(status)) : KeyText.description(status)) + "\n")
    }
}

/// `walet keys revoke`.
struct RevokeKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Ends a key, for ever.",
        discussion: "A request that runs may end. The key stays in the ledger and in reports.")

    @Argument(help: "An id or a name.") var key: String
    @OptionGroup var accounts: DatabaseArguments
    @Flag(help: "One JSON object.") var json = false

    func run() async throws {
        let reference = key
        let key = try await accounts.open { try await $0.revoke(reference, by: CommandUser.name) }
        if json {
            Terminal.output(KeyText.json(KeyText.members(key)) + "\n")
        } else {
            Terminal.log("revoked \(key.id) (\(Terminal.printable(key.name)))")
        }
    }
}

/// Keys for people and for programs.
private enum KeyText {
    static func json(_ members: [(String, JSONValue)]) -> String { JSONValue.object(.init(members)).text() }

    static func members(_ key: AccessKey) -> [(String, JSONValue)] {
        let limits = key.limits
        func money(_ amount: Money?) -> JSONValue { amount.map { .string("\($0)") } ?? .null }
        func count(_ count: Int?) -> JSONValue { count.map(JSONValue.int) ?? .null }
        func time(_ date: Date?) -> JSONValue { date.map { .string(UTCTime.text($0)) } ?? .null }
        return [
            ("id", .string(key.id)), ("name", .string(key.name)), ("tenant", .string(key.tenant)),
            ("role", .string(key.role.rawValue)), ("state", .string(state(key))),
            ("models", key.models.map { .array($0.map(JSONValue.string)) } ?? .null),
            ("requests_per_minute", count(limits.requestsPerMinute)),
            ("tokens_per_minute", count(limits.tokensPerMinute)), ("concurrency", count(limits.concurrency)),
            ("budget_day_usd", money(limits.dayBudget)), ("budget_month_usd", money(limits.monthBudget)),
            ("priority", .int(key.priority)), ("created_at", time(key.createdAt)), ("expires_at", time(key.expiresAt)),
            ("revoked_at", time(key.revokedAt)),
        ]
    }

    static func members(_ status: KeyStatus) -> [(String, JSONValue)] {
        members(status.key) + [
            ("spent_today_usd", .string("\(status.spentToday)")),
            ("spent_this_month_usd", .string("\(status.spentThisMonth)")),
            ("reserved_usd", .string("\(status.reserved)")), ("running", .int(status.running)),
            ("requests_last_minute", .int(status.requestsLastMinute)),
            ("tokens_last_minute", .int(status.tokensLastMinute)),
        ]
    }

    static func row(_ status: KeyStatus) -> [String] {
        let (key, limits) = (status.key, status.key.limits)
        func count(_ count: Int?) -> String { count.map { "\($0)" } ?? "-" }
        func money(_ amount: Money?) -> String { amount.map { "\($0)" } ?? "-" }
        return [
            key.id, key.name, key.tenant.isEmpty ? "-" : key.tenant, key.role.rawValue,
            key.models?.joined(separator: ",") ?? "all", state(key), count(limits.requestsPerMinute),
            count(limits.tokensPerMinute), count(limits.concurrency), money(limits.dayBudget),
            money(limits.monthBudget), "\(status.spentToday)", "\(status.spentThisMonth)", "\(status.reserved)",
        ]
    }

    static func description(_ status: KeyStatus) -> String {
        let (key, limits) = (status.key, status.key.limits)
        func count(_ used: Int, _ limit: Int?) -> String { "\(used) of \(limit.map { "\($0)" } ?? "any number")" }
        func money(_ used: Money, _ limit: Money?) -> String {
            "\(used) of \(limit.map { "\($0)" } ?? "any amount") USD"
        }
        let rows = [
            ["id", key.id], ["name", key.name], ["tenant", key.tenant.isEmpty ? "-" : key.tenant],
            ["role", key.role.rawValue], ["state", state(key)],
            ["models", key.models?.joined(separator: ", ") ?? "all"],
            ["priority", "\(key.priority)"], ["created", UTCTime.text(key.createdAt)],
            ["expires", key.expiresAt.map(UTCTime.text) ?? "never"],
            ["requests this minute", count(status.requestsLastMinute, limits.requestsPerMinute)],
            ["tokens this minute", count(status.tokensLastMinute, limits.tokensPerMinute)],
            ["running", count(status.running, limits.concurrency)],
            ["spent today", money(status.spentToday, limits.dayBudget)],
            ["spent this month", money(status.spentThisMonth, limits.monthBudget)],
            ["reserved", "\(status.reserved) USD"],
        ]
        return TextTable.text(rows, rightFrom: 2)
    }

    private static func state(_ key: AccessKey) -> String {
        key.isRevoked ? "revoked" : key.isExpired(at: Date()) ? "expired" : "valid"
    }
}
