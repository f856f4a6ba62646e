import Hummingbird
import WaletJSON

/// `GET /admin/usage`: what the keys used and spent in the last 14 days, for an operator.
struct AdminRoutes: RouteProvider {
    let gatekeeper: any Gatekeeper

    func addRoutes(to routes: RouteTable) {
        let gatekeeper = gatekeeper
        routes.get("/admin/usage", access: .operator) { _, _ in
            let spending = try await gatekeeper.spending(days: 14)
            return .json(spending.json)
        }
    }
}

extension Spending {
    fileprivate var json: JSONValue {
        [
            "object": "walet.usage", "currency": "USD", "days": .array(days.map { .string($0) }),
            "keys": .array(keys.map(\.json)),
        ]
    }
}

extension Spending.Key {
    fileprivate var json: JSONValue {
        [
            "id": .string(id), "name": .string(name), "tenant": .string(tenant), "state": .string(state),
            "limits": [
                "requests_per_minute": requestsPerMinute.map { .int($0) } ?? .null,
                "tokens_per_minute": tokensPerMinute.map { .int($0) } ?? .null,
                "concurrency": concurrency.map { .int($0) } ?? .null,
                "budget_day": dayBudget.map { .string($0) } ?? .null,
                "budget_month": monthBudget.map { .string($0) } ?? .null,
            ],
            "spend": ["day": .string(spentToday), "month": .string(spentThisMonth)], "running": .int(running),
            "days": .array(
                days.map {
                    [
                        "day": .string($0.day), "requests": .int($0.requests), "fresh": .int($0.fresh),
                        "cached": .int($0.cached), "output": .int($0.output), "cost": .string($0.cost),
                    ]
                }),
        ]
    }
}
