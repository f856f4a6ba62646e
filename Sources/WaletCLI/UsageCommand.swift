import ArgumentParser
import Foundation
import Walet
import WaletAccounts

/// `walet usage`: what was used and what it cost.
struct UsageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usage", abstract: "What was used and what it cost, by key, tenant, model or day.",
        discussion: """
            Days are UTC; a request belongs to the moment at which it was let in. Amounts are exact.
            --requests prints the ledger itself, --verify computes it again (exit code 1 where it does not add up).
            """)

    @Option(
        help: ArgumentHelp(
            "key, tenant, model, endpoint, outcome, day, month, in any combination; 'none' for one sum.",
            valueName: "a,b,…"))
    var by = "key"
    @Option(help: ArgumentHelp("From this UTC day or time on.", valueName: "2026-11-01")) var from: String?
    @Option(help: ArgumentHelp("Until this UTC day, all of it, or until before this time.", valueName: "2026-11-30"))
    var to: String?
    @Option(help: "Only this key, by id or name.") var key: String?
    @Option(help: "Only this tenant.") var tenant: String?
    @Option(help: "Only this model.") var model: String?
    @Flag(help: "Also what the same tokens would have cost at the list prices of well-known APIs.") var compare = false
    @Option(help: ArgumentHelp("Other list prices, a JSON file; implies --compare.", valueName: "file"))
    var comparePrices: String?
    @Flag(help: "Each request instead of sums.") var requests = false
    @Flag(help: "Requests that a crash left unsettled.") var unsettled = false
    @Flag(help: "Computes every charge again from tokens and prices.") var verify = false
    @Flag(help: "Comma-separated values (RFC 4180).") var csv = false
    @Flag(help: "One JSON object; with --requests or --unsettled one a line.") var json = false
    @OptionGroup var accounts: DatabaseArguments

    func validate() throws {
        if csv && json { throw ValidationError("--csv and --json exclude each other") }
        if verify && csv { throw ValidationError("--verify prints text or --json") }
        if verify && (requests || unsettled) {
            throw ValidationError("--verify looks at the whole ledger, without --requests or --unsettled")
        }
        _ = try query(comparison: [])
    }

    func run() async throws {
        var comparison = compare ? ListPrices.standard : []
        if let comparePrices { comparison = try ListPrices.read(file: comparePrices) }
        let query = try query(comparison: comparison)
        try await accounts.open { accounts in
            if verify {
                try await printVerification(accounts)
            } else if requests || unsettled {
                try await printRequests(accounts, query)
            } else {
                let report = try await accounts.usage(query)
                Terminal.output(csv ? report.csv() : json ? report.json().text() + "\n" : report.table() + "\n")
            }
        }
    }

    private func query(comparison: [ListPrice]) throws -> UsageQuery {
        let names = by == "none" ? [] : by.split(separator: ",", omittingEmptySubsequences: false)
        let groupings = try names.map { name in
            guard let grouping = UsageQuery.Grouping(rawValue: String(name)) else {
                let known = UsageQuery.Grouping.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("--by: expected \(known) or none, found '\(name)'")
            }
            return grouping
        }
        guard Set(groupings).count == groupings.count else {
            throw ValidationError("--by: expected each grouping once, found '\(by)'")
        }
        let (start, end) = (try time(from, "--from"), try time(to, "--to", isEnd: true))
        if let start, let end, start > end {
            throw ValidationError("--to: expected a time after --from, found \(UTCTime.text(end))")
        }
        return UsageQuery(
            by: groupings, from: start, to: end, key: key, tenant: tenant, model: model, comparison: comparison)
    }

    /// A day as an end includes that day.
    private func time(_ text: String?, _ option: String, isEnd: Bool = false) throws -> Date? {
        guard let text else { return nil }
        if isEnd, let day = UTCDay(parsing: text) { return day.next.start }
        guard let date = UTCTime.parse(text) else {
            throw ValidationError("\(option): expected 2026-11-30 or 2026-11-30T18:00:00Z, found '\(text)'")
        }
        return date
    }

    private func printRequests(_ accounts: Accounts, _ filter: UsageQuery) async throws {
        var query = LedgerQuery(filter, limit: 5000, outcome: unsettled ? .unsettled : nil)
        if csv { Terminal.output(CSV.text([LedgerRow.fields.map(CSV.Cell.text)])) }
        var rows: [[String]] = []
        while true {
            let page = try await accounts.ledger(query)
            guard let last = page.last else { break }
            query.after = last.sequence
            if csv {
                Terminal.output(CSV.text(page.map(\.cells)))
            } else if json {
                Terminal.output(page.map { $0.json.text() + "\n" }.joined())
            } else {
                rows += page.map(Self.line)
            }
        }
        if csv || json { return }
        guard !rows.isEmpty else {
            Terminal.log(unsettled ? "no request is unsettled" : "the ledger has no request of this period")
            return
        }
        let header = ["TIME", "REQUEST", "KEY", "MODEL", "OUTCOME", "PROMPT", "CACHED", "OUTPUT", "RESERVED", "USD"]
        Terminal.output(TextTable.text([header] + rows, rightFrom: 5) + "\n")
    }

    private static func line(_ row: LedgerRow) -> [String] {
        [
            UTCTime.text(row.startedAt), row.requestID, row.keyID, row.model,
            row.outcome.name + (row.outcome.detail.map { $0.isEmpty ? "" : ": \($0)" } ?? ""), "\(row.counts.prompt)",
            "\(row.counts.cached)", "\(row.counts.output)", "\(row.reserved)", "\(row.cost)",
        ]
    }

    private func printVerification(_ accounts: Accounts) async throws {
        let result = try await accounts.verifyLedger()
        if json {
            let object: JSONValue = [
                "correct": .bool(result.isCorrect), "rows": .int(result.rows), "unsettled": .int(result.unsettled),
                "running": .int(result.reservations), "prompt_tokens": .int(result.tokens.prompt),
                "fresh_tokens": .int(result.tokens.fresh), "cached_tokens": .int(result.tokens.cached),
                "output_tokens": .int(result.tokens.output), "cost_usd": .string(result.cost.text(minimumDecimals: 9)),
                "reserved_usd": .string(result.reserved.text(minimumDecimals: 9)),
                "mistake_count": .int(result.mistakeCount), "mistakes": .array(result.mistakes.map(JSONValue.string)),
            ]
            Terminal.output(object.text() + "\n")
        } else {
            Terminal.output(
                """
                \(result.rows) requests, \(result.unsettled) of them unsettled: \(result.cost) USD
                \(result.reservations) running: \(result.reserved) USD reserved

                """)
            for mistake in result.mistakes { Terminal.output(mistake + "\n") }
        }
        if !result.isCorrect {
            Terminal.log("walet: the ledger does not add up: \(result.mistakeCount) mistakes")
            throw ExitCode(1)
        }
    }
}
