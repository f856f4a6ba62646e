import Foundation
import Testing
import WaletAccounts

/// Measured and printed; nothing here fails because of time.
@Suite struct SpeedTests {
    @Test(arguments: StoreKind.available)
    func reservingAndSettlingIsMeasured(kind: StoreKind) async throws {
        for durability in [Durability.full, .process] {
            let database = try TestDatabase(kind)
            let accounts = try await Accounts.open(database.location, durability: durability)
            let limits = Limits(
                requestsPerMinute: 1_000_000, tokensPerMinute: 1_000_000_000_000, concurrency: 1000,
                dayBudget: Money("1000000"), monthBudget: Money("1000000"))
            let principal = try await accounts.makePrincipal(limits)
            for tasks in [1, 16, 64] {
                let count = kind == .sqlite ? 2048 : 1024
                let start = ContinuousClock.now
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<tasks {
                        group.addTask {
                            for index in 0..<(count / tasks) {
                                let reservation = try await accounts.reserve(principal, "\(tasks)-\(task)-\(index)")
                                try await accounts.settle(
                                    reservation, TokenCounts(prompt: 1000, cached: 500, output: 50), outcome: .completed
                                )
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let each = (ContinuousClock.now - start) / count
                print(
                    "accounts: \(kind), \(durability): \(tasks) at once: \(Int(each / .microseconds(1))) µs for each reserve and settle"
                )
            }
            let start = ContinuousClock.now
            #expect(try await accounts.verifyLedger().mistakes == [])
            print("accounts: \(kind): verified in \(Int((ContinuousClock.now - start) / .milliseconds(1))) ms")
            await accounts.close()
        }
    }
}
