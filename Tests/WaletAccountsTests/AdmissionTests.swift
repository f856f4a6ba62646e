import Foundation
import Testing
import WaletAccounts

/// Decisions about a key's limits, without a database.
@Suite struct AdmissionTests {
    private static let start: Int64 = 1_795_000_000_000_000

    private func state(_ limits: Limits, models: [String]? = nil) -> KeyState {
        let specification = KeySpecification(name: "a", models: models, limits: limits)
        let key = AccessKey(
            id: "wk_a", specification: specification, createdAt: Date(microseconds: Self.start), revokedAt: nil)
        return KeyState(key: key, today: UTCDay(microseconds: Self.start))
    }

    /// The state as the database gives it back later.
    private func at(_ now: Int64, _ state: KeyState) -> KeyState {
        var state = state
        state.window = state.window.filter { KeyState.window(at: now).contains($0.key) }
        return state
    }

    @Test func noSixtySecondsHoldMoreRequestsThanTheLimit() {
        var random = SplitMix(state: 1)
        for limit in [1, 2, 7, 60] {
            var state = state(Limits(requestsPerMinute: limit))
            var taken: [Int64] = []
            var now = Self.start
            for _ in 0..<2000 {
                // More often than the limit allows.
                now += Int64.random(in: 0...min(4_000_000, 60_000_000 / Int64(limit)), using: &random)
                state = at(now, state)
                let demand = KeyState.Demand(model: "m", tokens: 1, cost: 0)
                if let refusal = state.refusal(demand, at: now) {
                    #expect(refusal.kind == .requestRate && refusal.limit == Int64(limit))
                    // It is let in after that time, and was not a whole second before.
                    let wait = Int64(refusal.retryAfter!) * 1_000_000
                    #expect(at(now + wait, state).refusal(demand, at: now + wait) == nil)
                    #expect((1...61).contains(refusal.retryAfter!))
                    if wait > 1_000_000 {
                        let early = now + wait - 1_000_000
                        #expect(at(early, state).refusal(demand, at: early) != nil)
                    }
                } else {
                    state.take(demand, at: now)
                    taken.append(now)
                }
            }
            for index in taken.indices.dropFirst(limit) {
                #expect(taken[index] - taken[index - limit] > 60_000_000)
            }
            #expect(taken.count > limit * 10 && taken.count < 2000)
        }
    }

    @Test func noSixtySecondsHoldMoreTokensThanTheLimit() {
        var random = SplitMix(state: 2)
        var state = state(Limits(tokensPerMinute: 10_000))
        var taken: [(time: Int64, tokens: Int64)] = []
        var now = Self.start
        for _ in 0..<3000 {
            now += Int64.random(in: 0...3_000_000, using: &random)
            state = at(now, state)
            let demand = KeyState.Demand(model: "m", tokens: .random(in: 0...4000, using: &random), cost: 0)
            if let refusal = state.refusal(demand, at: now) {
                #expect(refusal.kind == .tokenRate && refusal.requested == demand.tokens)
                let wait = Int64(refusal.retryAfter!) * 1_000_000
                #expect(at(now + wait, state).refusal(demand, at: now + wait) == nil)
            } else {
                state.take(demand, at: now)
                taken.append((now, demand.tokens))
            }
        }
        for (index, first) in taken.enumerated() {
            let span = taken[index...].prefix { $0.time - first.time <= 60_000_000 }
            #expect(span.map(\.tokens).reduce(0, +) <= 10_000)
        }
        #expect(taken.count > 500)
    }

    @Test func aRequestThatNeedsMoreThanAMinuteHasIsRefusedForGood() {
        let refusal = state(Limits(tokensPerMinute: 100)).refusal(
            .init(model: "m", tokens: 101, cost: 0), at: Self.start)
        #expect(refusal?.kind == .tokenRate && refusal?.retryAfter == nil)
        #expect(
            state(Limits(tokensPerMinute: 100)).refusal(.init(model: "m", tokens: 100, cost: 0), at: Self.start) == nil)
    }

    @Test func refusalsComeInTheirOrder() {
        var state = state(
            Limits(requestsPerMinute: 1, tokensPerMinute: 10, concurrency: 1, dayBudget: .zero, monthBudget: .zero),
            models: ["m"])
        func kind(_ model: String = "m") -> Refusal.Kind? {
            state.refusal(.init(model: model, tokens: 10, cost: 1), at: Self.start)?.kind
        }
        state.window = [KeyState.second(Self.start): (1, 10)]
        state.running = 1
        #expect(kind("x") == .model && kind() == .concurrency)
        state.running = 0
        #expect(kind() == .requestRate)
        state.window = [KeyState.second(Self.start): (0, 10)]
        #expect(kind() == .tokenRate)
        state.window = [:]
        #expect(kind() == .dayBudget)
        state.committed = [state.today.number - 1: 5]
        #expect(kind() == .dayBudget)
    }

    @Test func modelsAreComparedByteByByte() {
        let composed = state(Limits(), models: ["caf\u{E9}"])
        #expect(composed.key.allows(model: "caf\u{E9}"))
        #expect(!composed.key.allows(model: "cafe\u{301}"))
        #expect(!composed.key.allows(model: "CAF\u{E9}") && !composed.key.allows(model: ""))
    }

    @Test func absurdSumsDoNotTrap() {
        var state = state(
            Limits(requestsPerMinute: 1, tokensPerMinute: 1_000_000_000_000, dayBudget: Money(nanodollars: .max)))
        state.window = [KeyState.second(Self.start): (.max, .max), KeyState.second(Self.start) - 1: (.max, .max)]
        state.committed = [state.today.number: .max, state.today.number - 1: .max]
        #expect(state.refusal(.init(model: "m", tokens: .max, cost: .max), at: Self.start) != nil)
        state.take(.init(model: "m", tokens: .max, cost: .max), at: Self.start)
        #expect(state.standing(at: Self.start).requests?.remaining == 0)
        #expect(state.refusal(.init(model: "m", tokens: 0, cost: 0), at: .min / 4) != nil)
    }

    @Test func whatIsLeftIsSaid() {
        var state = state(Limits(requestsPerMinute: 10, tokensPerMinute: 1000))
        #expect(state.standing(at: Self.start).requests == Standing.Rate(limit: 10, remaining: 10, resetAfter: 0))
        state.take(.init(model: "m", tokens: 300, cost: 0), at: Self.start)
        let standing = state.standing(at: Self.start + 10_000_000)
        #expect(standing.requests == Standing.Rate(limit: 10, remaining: 9, resetAfter: 51))
        #expect(standing.tokens == Standing.Rate(limit: 1000, remaining: 700, resetAfter: 51))
    }
}
