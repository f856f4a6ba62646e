// The ledger's rows, to read.

import Foundation
import WaletJSON

/// One request, as it was charged.
public struct LedgerRow: Sendable, Hashable {
    /// Its place; grows from row to row, not always by one.
    public let sequence: Int
    public let requestID: String
    public let keyID: String
    public let tenant: String
    public let model: String
    public let endpoint: String
    public let counts: TokenCounts
    public let price: Price
    public let priceVersion: Int
    /// What was held while it ran.
    public let reserved: Money
    public let cost: Money
    public let outcome: Outcome
    public let timings: Timings
    /// When it was reserved. Its UTC day is the one whose budget it counts against.
    public let startedAt: Date
    public let settledAt: Date

    init(_ row: SQLRow) throws {
        let entry = try StoredEntry(row)
        sequence = Int(try row.integer(26))
        requestID = entry.requestID
        keyID = entry.keyID
        tenant = entry.tenant
        model = entry.model
        endpoint = entry.endpoint
        counts = entry.counts
        price = entry.price
        priceVersion = Int(entry.priceID)
        reserved = entry.reserved
        cost = entry.cost
        outcome = entry.outcome
        timings = entry.timings
        startedAt = Date(microseconds: entry.startedAt)
        settledAt = Date(microseconds: entry.settledAt)
    }

    /// The fields' names in CSV and JSON.
    public static let fields = [
        "sequence", "started_at", "settled_at", "request_id", "key", "tenant", "model", "endpoint", "prompt_tokens",
        "fresh_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "price_version", "reserved_usd",
        "cost_usd",
        "outcome", "error", "queue_seconds", "prefill_seconds", "decode_seconds",
    ]

    /// Values for `CSV`, in the order of `fields`.
    public var cells: [CSV.Cell] {
        [
            .number("\(sequence)"), .text(UTCTime.text(startedAt)), .text(UTCTime.text(settledAt)), .text(requestID),
            .text(keyID), .text(tenant), .text(model), .text(endpoint), .number("\(counts.prompt)"),
            .number("\(counts.fresh)"), .number("\(counts.cached)"), .number("\(counts.output)"),
            .number("\(counts.reasoning)"), .number("\(priceVersion)"), .number(reserved.text(minimumDecimals: 9)),
            .number(cost.text(minimumDecimals: 9)), .text(outcome.name), .text(outcome.detail ?? ""),
        ]
            + [timings.queue, timings.prefill, timings.decode].map {
                .number(DecimalText.text($0.microseconds, scale: 6, minimum: 6))
            }
    }

    /// One object with the members of `fields`: numbers as numbers, amounts of money as decimal text.
    public var json: JSONValue {
        .object(
            JSONObject(
                zip(Self.fields, cells).map { name, cell in
                    switch cell {
                    case .text(let text): (name, name == "error" && text.isEmpty ? .null : .string(text))
                    case .number(let text) where name.hasSuffix("_seconds"): (name, .double(Double(text) ?? 0))
                    case .number(let text): (name, Int(text).map(JSONValue.int) ?? .string(text))
                    }
                }))
    }
}

/// Which rows of the ledger, in their order.
public struct LedgerQuery: Sendable, Hashable {
    /// Period, key, tenant and model; how to group does not matter here.
    public var filter: UsageQuery
    /// Rows behind this place, for the next page.
    public var after: Int
    public var limit: Int
    /// Only rows of this outcome, whatever its detail.
    public var outcome: Outcome?

    public init(_ filter: UsageQuery = UsageQuery(), after: Int = 0, limit: Int = 1000, outcome: Outcome? = nil) {
        self.filter = filter
        self.after = after
        self.limit = limit
        self.outcome = outcome
    }
}

extension Accounts {
    /// A page of the ledger, at most 10,000 rows.
    /// - Throws: ``AccountsError``.
    public func ledger(_ query: LedgerQuery = LedgerQuery()) async throws -> [LedgerRow] {
        try query.filter.validate()
        return try await lanes.run(.report) { connection in
            let keyID = try query.filter.key.map { try KeyTable.find($0, locking: false, connection).id }
            var (condition, arguments) = query.filter.condition(keyID: keyID)
            arguments.append(SQLValue(query.after))
            condition += "\(condition.isEmpty ? "WHERE" : " AND") l.sequence > ?\(arguments.count)"
            if let outcome = query.outcome {
                arguments.append(.text(outcome.name))
                condition += " AND l.outcome = ?\(arguments.count)"
            }
            arguments.append(SQLValue(min(max(query.limit, 1), 10_000)))
            return try connection.query(
                "\(LedgerTable.selection) \(condition) ORDER BY l.sequence LIMIT ?\(arguments.count)", arguments
            ).map(LedgerRow.init)
        }
    }
}
