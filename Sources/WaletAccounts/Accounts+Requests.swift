// A request's way: who asks, what is held for it, what it is charged.

import Foundation

extension Accounts {
    /// Who holds a secret; nil where nobody does, or the key is revoked or expired. A client should not learn which.
    ///
    /// From memory: changes to keys, by other processes too, count within a second.
    /// - Throws: ``AccountsError`` where the database does not answer.
    public func authenticate(_ secret: String) async throws -> Principal? {
        guard let hash = Secret.hash(secret), let key = try await directory.key(hash: hash),
            !key.isExpired(at: Date(microseconds: now()))
        else { return nil }
        return Principal(key: key)
    }

    /// The principal of servers that ask for no key: the key `wk_open`, without a secret, which is made when first asked
    /// for. Limits and budgets can be set on it.
    /// - Throws: ``AccountsError``.
    public func openPrincipal() async throws -> Principal {
        let id = Self.openKeyID
        let found = try await lanes.run(.lookup) { try KeyTable.load([id], locking: false, $0)[id] }
        if let found { return Principal(key: found) }
        let time = now()
        let key = AccessKey(
            id: id, specification: KeySpecification(name: "open"), createdAt: Date(microseconds: time), revokedAt: nil)
        do {
            try await lanes.run(.write) { connection in
                if try KeyTable.load([id], locking: false, connection)[id] == nil {
                    try KeyTable.insert(key, hash: nil, connection)
                    try KeyActionTable.append(
                        .create, key, by: "server", KeyAction.details(creating: key.specification), at: time,
                        connection)
                }
            }
        } catch AccountsError.database(.failed, _, _) {
            // Another server made it in the same moment.
        }
        return Principal(key: try await self.key(id))
    }

    static let openKeyID = "wk_open"

    /// Lets a request in and holds the worst that it can cost, or refuses it.
    ///
    /// When it returns, the reservation is as safe as ``Durability`` says, and must be settled whatever happens. It is not
    /// cancelled with its task: what is written is returned.
    /// - Parameters:
    ///   - promptTokens: known by now.
    ///   - maximumOutputTokens: all choices together.
    ///   - requestID: 1 to 128 printable ASCII characters, unique for ever.
    ///   - promptIsEstimate: the prompt's length is known only afterwards, as with engines elsewhere.
    /// - Throws: ``Refusal`` for what the client may not, checked in the order of ``Refusal/Kind``; ``AccountsError``.
    public func reserve(
        _ principal: Principal, model: String, endpoint: String, promptTokens: Int, maximumOutputTokens: Int,
        requestID: String, promptIsEstimate: Bool = false
    ) async throws -> Reservation {
        guard Names.isRequestID(requestID) else {
            throw AccountsError.invalid(
                field: "request id", expected: "1 to 128 printable ASCII characters",
                found: "'\(AccountsError.excerpt(requestID))'")
        }
        for (field, name) in [("model", model), ("endpoint", endpoint)] where !Names.isLabel(name) {
            throw AccountsError.invalid(
                field: field, expected: "1 to 256 bytes of text without control characters",
                found: "'\(AccountsError.excerpt(name))'")
        }
        for (field, count) in [("prompt tokens", promptTokens), ("maximum output tokens", maximumOutputTokens)]
        where !(0...TokenCounts.maximum).contains(count) {
            throw AccountsError.invalid(field: field, expected: "0 to \(TokenCounts.maximum)", found: "\(count)")
        }
        let (price, number) = try await priceBook.price(of: model)
        try await life.register()
        return try await queue.reserve(
            ReserveOperation(
                keyID: principal.id, requestID: requestID, model: model, endpoint: endpoint,
                promptTokens: promptTokens, promptIsEstimate: promptIsEstimate,
                maximumOutputTokens: maximumOutputTokens, price: price, priceID: number,
                cost: try price.worstCase(prompt: promptTokens, output: maximumOutputTokens), instance: life.id,
                nonce: .random(in: .min ... .max)))
    }

    /// Charges what a request used, instead of what was held for it.
    ///
    /// When it returns, the charge is as safe as ``Durability`` says: send the last byte of the answer after that. It happens
    /// exactly once, so that a call that threw ``AccountsError/database(_:database:detail:)`` may be repeated. One that is
    /// never repeated leaves the reservation open until this server ends; then it is unsettled.
    /// - Parameters:
    ///   - counts: what was done; ``TokenCounts/none`` where nothing was. A completed request's prompt is the reservation's.
    /// - Throws: ``AccountsError/alreadySettled(_:)``, ``AccountsError/abandoned(_:)``,
    ///   ``AccountsError/unknownReservation(_:)``, ``AccountsError/tokensDoNotAddUp(_:)`` and others. Nothing was charged then.
    @discardableResult
    public func settle(
        _ reservation: Reservation, _ counts: TokenCounts, outcome: Outcome, timings: Timings = Timings()
    ) async throws -> Charge {
        try counts.validate()
        guard outcome != .unsettled else {
            throw AccountsError.invalid(
                field: "outcome", expected: "completed, cancelled, disconnected or failed", found: "unsettled")
        }
        return try await queue.settle(
            SettleOperation(
                requestID: reservation.requestID, keyID: reservation.keyID, counts: counts, outcome: outcome,
                timings: timings, nonce: .random(in: .min ... .max)))
    }

    /// Requests that are reserved and not settled, of all servers, the oldest first.
    /// - Throws: ``AccountsError``.
    public func inFlight() async throws -> [Reservation] {
        try await lanes.run(.report) { try ReservationTable.all($0).map(\.reservation) }
    }

    /// Changes prices for requests that are reserved from now on.
    /// - Throws: ``AccountsError``; the old prices stay in force then.
    public func setPrices(_ prices: PriceList) async throws { try await priceBook.set(prices) }

    /// The prices in force.
    public var prices: PriceList { priceBook.list }

    /// A model's price in force.
    public func price(of model: String) -> Price { priceBook.list.entry(for: model).price }
}
