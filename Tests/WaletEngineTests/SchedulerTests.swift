import Testing
import WaletEngine

/// The scheduler decides from how requests stand, so it is tested without a model.
@Suite struct SchedulerTests {
    /// A request with 64 tokens a page.
    private struct Request {
        var id: Int
        var owner = ""
        var priority = 0
        var isRunning = false
        var done = 0
        var pending: Int
        var guesses = 0
        var isDecoding = false

        var candidate: Scheduler.Candidate {
            let held = (done + 63) / 64
            let done = done
            return Scheduler.Candidate(
                id: id, owner: owner, priority: priority, arrival: id, isRunning: isRunning, pending: pending,
                guesses: guesses, isDecoding: isDecoding, pages: { rows in (done + rows + 63) / 64 - held },
                pagesHeld: held)
        }
    }

    private func decide(
        _ scheduler: inout Scheduler, _ requests: [Request], rows: Int = 512, promptRows: Int = 128, pages: Int = 1000
    ) -> Scheduler.Decision {
        scheduler.decide(requests.map(\.candidate), rows: rows, promptRows: promptRows, freePages: pages)
    }

    private func answer(_ id: Int, done: Int = 10, priority: Int = 0, guesses: Int = 0) -> Request {
        Request(
            id: id, priority: priority, isRunning: true, done: done, pending: 1, guesses: guesses, isDecoding: true)
    }

    @Test func aPromptAloneGetsAllRows() {
        var scheduler = Scheduler(maximumRunning: 4)
        #expect(decide(&scheduler, [Request(id: 0, pending: 2000)]).rows == [.init(id: 0, count: 512)])
        #expect(decide(&scheduler, [Request(id: 0, pending: 20)]).rows == [.init(id: 0, count: 20)])
    }

    @Test func answersGetTheirRowsBeforePrompts() {
        var scheduler = Scheduler(maximumRunning: 4)
        let decision = decide(&scheduler, [Request(id: 0, pending: 2000), answer(1), answer(2, guesses: 3)])
        #expect(decision.rows == [.init(id: 1, count: 1), .init(id: 2, count: 4), .init(id: 0, count: 128)])
    }

    @Test func severalPromptsShareAPass() {
        var scheduler = Scheduler(maximumRunning: 8)
        let decision = decide(
            &scheduler, [Request(id: 0, pending: 100), Request(id: 1, pending: 100), Request(id: 2, pending: 400)])
        #expect(decision.rows == [.init(id: 0, count: 100), .init(id: 1, count: 100), .init(id: 2, count: 312)])
    }

    @Test func noMoreRunThanMay() {
        var scheduler = Scheduler(maximumRunning: 2)
        let decision = decide(&scheduler, [answer(0), Request(id: 1, pending: 5), Request(id: 2, pending: 5)])
        #expect(decision.rows.map(\.id) == [0, 1])
    }

    @Test func higherPriorityGoesFirst() {
        var scheduler = Scheduler(maximumRunning: 8)
        let decision = decide(
            &scheduler,
            [Request(id: 0, pending: 600), Request(id: 1, priority: 5, pending: 500), Request(id: 2, pending: 1)])
        #expect(decision.rows == [.init(id: 1, count: 500), .init(id: 0, count: 12)])
    }

    @Test func ownersTakeTurns() {
        var scheduler = Scheduler(maximumRunning: 100)
        // One owner has sent nine prompts before the other's one.
        var requests = (0..<9).map { Request(id: $0, owner: "many", pending: 512) }
        requests.append(Request(id: 9, owner: "one", pending: 512))
        var order: [Int] = []
        while !requests.isEmpty {
            for row in decide(&scheduler, requests).rows {
                order.append(row.id)
                requests.removeAll { $0.id == row.id }
            }
        }
        #expect(order.firstIndex(of: 9) == 1, "\(order)")
    }

    @Test func anOwnerWhoWasAwayHasNoClaimOnThePast() {
        var scheduler = Scheduler(maximumRunning: 100)
        for _ in 0..<50 { _ = decide(&scheduler, [Request(id: 0, owner: "a", pending: 512)]) }
        var first: [String: Int] = [:]
        for _ in 0..<10 {
            let rows = decide(
                &scheduler, [Request(id: 1, owner: "a", pending: 512), Request(id: 2, owner: "b", pending: 512)]
            ).rows
            first[rows[0].id == 1 ? "a" : "b", default: 0] += 1
        }
        #expect(first == ["a": 5, "b": 5])
    }

    @Test func aPromptWaitsUntilAllOfItFits() {
        var scheduler = Scheduler(maximumRunning: 8)
        #expect(decide(&scheduler, [Request(id: 0, pending: 640)], pages: 9).rows.isEmpty)
        #expect(decide(&scheduler, [Request(id: 0, pending: 640)], pages: 10).rows == [.init(id: 0, count: 512)])
        // A small one does not overtake it, or it would never come; one of higher priority does.
        let small = Request(id: 1, pending: 64)
        #expect(decide(&scheduler, [Request(id: 0, pending: 640), small], pages: 9).rows.isEmpty)
        var urgent = small
        urgent.priority = 1
        #expect(decide(&scheduler, [Request(id: 0, pending: 640), urgent], pages: 9).rows.map(\.id) == [1])
    }

    @Test func promptsThatAreUnderWayKeepTheirPages() {
        var scheduler = Scheduler(maximumRunning: 8)
        // 8 of 10 pages are promised to the first.
        let requests = [
            Request(id: 0, isRunning: true, done: 128, pending: 512), Request(id: 1, pending: 192),
        ]
        #expect(decide(&scheduler, requests, rows: 64, pages: 10).rows.map(\.id) == [0])
        #expect(decide(&scheduler, requests, rows: 1024, pages: 11).rows.map(\.id) == [0, 1])
    }

    @Test func whoCameLastGivesItsPagesUp() {
        var scheduler = Scheduler(maximumRunning: 8)
        let decision = decide(&scheduler, [answer(0, done: 64), answer(1, done: 64), answer(2, done: 70)], pages: 0)
        #expect(decision.preempted == [2])
        #expect(decision.rows == [.init(id: 0, count: 1), .init(id: 1, count: 1)])
        let priority = decide(
            &scheduler, [answer(0, done: 64), answer(1, done: 64, priority: 1), answer(2, done: 64, priority: 2)],
            pages: 1)
        #expect(priority.preempted == [0])
        #expect(priority.rows.map(\.id) == [2, 1])
    }

    @Test func guessesAreGivenUpBeforeRequests() {
        var scheduler = Scheduler(maximumRunning: 8)
        let decision = decide(&scheduler, [answer(0, done: 60, guesses: 8), answer(1, done: 10)], pages: 0)
        #expect(decision.preempted.isEmpty)
        #expect(decision.rows == [.init(id: 0, count: 1), .init(id: 1, count: 1)])
    }

    @Test func oneThatHoldsEverythingIsStuck() {
        var scheduler = Scheduler(maximumRunning: 8)
        #expect(decide(&scheduler, [answer(0, done: 64)], pages: 0).stuck == 0)
        #expect(decide(&scheduler, [Request(id: 0, isRunning: true, done: 64, pending: 9)], pages: 0).stuck == 0)
        // Of two prompts that hold all pages, the later one gives way.
        let two = [
            Request(id: 0, isRunning: true, done: 64, pending: 9),
            Request(id: 1, isRunning: true, done: 64, pending: 9),
        ]
        let decision = decide(&scheduler, two, pages: 0)
        #expect(decision.stuck == nil && decision.preempted == [1])
    }

    /// Whatever comes, a simulation ends, keeps to its bounds, and serves everybody.
    @Test(arguments: [UInt64(1), 2, 3, 4, 5, 6, 7, 8]) func everyRequestEnds(_ seed: UInt64) {
        struct Simulated {
            var request: Request
            var answer: Int
        }
        var random = Xorshift(state: seed &* 7919 | 1)
        var scheduler = Scheduler(maximumRunning: 6)
        let limit = 24
        var waiting = (0..<60).map { id in
            Simulated(
                request: Request(
                    id: id, owner: "\(Int.random(in: 0..<4, using: &random))",
                    priority: Int.random(in: -1...1, using: &random), pending: Int.random(in: 1...900, using: &random)),
                answer: Int.random(in: 1...200, using: &random))
        }
        var passes = 0
        while !waiting.isEmpty, passes < 200_000 {
            passes += 1
            let held = waiting.reduce(0) { $0 + ($1.request.done + 63) / 64 }
            let decision = decide(&scheduler, waiting.map(\.request), rows: 256, promptRows: 64, pages: limit - held)
            #expect(!decision.rows.isEmpty || !decision.preempted.isEmpty || decision.stuck != nil)
            #expect(decision.rows.reduce(0) { $0 + $1.count } <= 256)
            for id in decision.preempted {
                let index = waiting.firstIndex { $0.request.id == id }!
                waiting[index].request.pending += waiting[index].request.done
                waiting[index].request.done = 0
                waiting[index].request.isRunning = false
                waiting[index].request.isDecoding = false
            }
            if let id = decision.stuck { waiting.removeAll { $0.request.id == id } }
            for row in decision.rows {
                guard let index = waiting.firstIndex(where: { $0.request.id == row.id }) else { continue }
                waiting[index].request.isRunning = true
                waiting[index].request.done += row.count
                waiting[index].request.pending -= row.count
                guard waiting[index].request.pending == 0 else { continue }
                waiting[index].answer -= 1
                waiting[index].request.pending = 1
                waiting[index].request.isDecoding = true
            }
            #expect(waiting.count { $0.request.isRunning } <= 6)
            #expect(waiting.reduce(0) { $0 + ($1.request.done + 63) / 64 } <= limit)
            waiting.removeAll { $0.answer <= 0 }
        }
        #expect(waiting.isEmpty, "\(waiting.count) are left after \(passes) passes")
    }
}
