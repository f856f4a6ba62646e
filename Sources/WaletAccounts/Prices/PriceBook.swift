// The prices in force, and under which numbers they are stored.

import Foundation
import Synchronization

/// Each price that was ever used is a row of its own, which the ledger's rows name: what a request cost can be computed again
/// whatever has happened to the price list.
final class PriceBook: Sendable {
    private struct State {
        var list: PriceList
        /// Stored prices by name in the list; nil until they are stored.
        var numbers: [String: Int64]?
    }

    private let lanes: Lanes
    private let clock: @Sendable () -> Int64
    private let state: Mutex<State>

    init(_ list: PriceList, lanes: Lanes, clock: @escaping @Sendable () -> Int64) {
        self.lanes = lanes
        self.clock = clock
        state = Mutex(State(list: list, numbers: nil))
    }

    var list: PriceList { state.withLock { $0.list } }

    /// Stores the prices, then takes them into force, all at once.
    func set(_ list: PriceList) async throws {
        let numbers = try await store(list)
        state.withLock { $0 = State(list: list, numbers: numbers) }
    }

    /// A model's price, stored when it is first asked for: who only reads never writes.
    func price(of model: String) async throws -> (price: Price, number: Int64) {
        let (list, numbers) = state.withLock { ($0.list, $0.numbers) }
        let entry = list.entry(for: model)
        if let number = numbers?[entry.name] { return (entry.price, number) }
        let stored = try await store(list)
        state.withLock { if $0.list == list { $0.numbers = stored } }
        guard let number = stored[entry.name] else {
            throw AccountsError.invalid(
                field: "model", expected: "a model with a price", found: AccountsError.excerpt(model))
        }
        return (entry.price, number)
    }

    private func store(_ list: PriceList) async throws -> [String: Int64] {
        try await lanes.run(.write) { [clock] connection in
            var numbers: [String: Int64] = [:]
            for (name, price) in list.entries {
                let values: [SQLValue] = [
                    .text(name), .integer(price.fresh.nanodollars), .integer(price.cached.nanodollars),
                    .integer(price.output.nanodollars),
                ]
                try connection.execute(
                    """
                    INSERT INTO walet_price (model, fresh, cached, output, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
                    ON CONFLICT (model, fresh, cached, output) DO NOTHING
                    """, values + [.integer(clock())])
                numbers[name] = try connection.query(
                    "SELECT id FROM walet_price WHERE model = ?1 AND fresh = ?2 AND cached = ?3 AND output = ?4", values
                ).first?.integer(0)
            }
            return numbers
        }
    }
}
