/// Decides which rows the next pass has. A value that does nothing else: it takes how requests stand and says what to do.
///
/// Answers under way get their row in every pass. What is left of a pass goes to prompts: those of higher priority first,
/// then those of the owner who was served least, then the oldest. Where pages run out, requests of the lowest priority
/// that came last give theirs up, and begin anew when there is room.
package struct Scheduler {
    /// How a request stands.
    package struct Candidate {
        package let id: Int
        package let owner: String
        /// Higher goes first.
        package let priority: Int
        /// Order of arrival.
        package let arrival: Int
        /// It has been admitted.
        package let isRunning: Bool
        /// Rows that have to be run before its next token; 1 where an answer goes on.
        package let pending: Int
        /// Rows of guesses after them.
        package let guesses: Int
        /// Its prompt is done and its answer goes on.
        package let isDecoding: Bool
        /// Pages that so many rows would take.
        package let pages: (_ rows: Int) -> Int
        /// Pages that it would give back, so far as nobody shares them; 0 where it cannot be preempted.
        package let pagesHeld: Int

        package init(
            id: Int, owner: String, priority: Int, arrival: Int, isRunning: Bool, pending: Int, guesses: Int,
            isDecoding: Bool, pages: @escaping (_ rows: Int) -> Int, pagesHeld: Int
        ) {
            self.id = id
            self.owner = owner
            self.priority = priority
            self.arrival = arrival
            self.isRunning = isRunning
            self.pending = pending
            self.guesses = guesses
            self.isDecoding = isDecoding
            self.pages = pages
            self.pagesHeld = pagesHeld
        }
    }

    package struct Decision: Equatable {
        /// Requests that give their pages up.
        package var preempted: [Int] = []
        /// Requests with rows in the next pass, and how many; those of guesses included.
        package var rows: [Row] = []
        /// The one running request that found no page, with nobody left to give one up.
        package var stuck: Int?

        package struct Row: Equatable {
            package let id: Int
            package let count: Int

            package init(id: Int, count: Int) {
                self.id = id
                self.count = count
            }
        }
    }

    /// Requests that run at once, at most.
    package let maximumRunning: Int
    /// Tokens that owners were served, from the same zero.
    private var served: [String: Int] = [:]

    package init(maximumRunning: Int) { self.maximumRunning = maximumRunning }

    /// What is left while a pass is put together.
    private struct Turn {
        var rows: Int
        var pages: Int
        var running: [Candidate]
        var decision = Decision()
    }

    /// - Parameters:
    ///   - rows: of the next pass, at most.
    ///   - promptRows: of prompts beside answers, at most.
    ///   - freePages: pages that can be had.
    package mutating func decide(_ candidates: [Candidate], rows: Int, promptRows: Int, freePages: Int) -> Decision {
        forget(candidates)
        // Highest priority first, then the oldest: pages are taken from the end.
        let running = candidates.filter(\.isRunning).sorted(by: Self.precedes)
        var turn = Turn(rows: rows, pages: freePages, running: running)
        takeAnswers(&turn)
        if turn.decision.stuck != nil { return turn.decision }
        if !turn.decision.rows.isEmpty { turn.rows = min(turn.rows, promptRows) }
        takePrompts(candidates.filter { !$0.isRunning }, &turn)
        if turn.decision.rows.isEmpty, turn.decision.preempted.isEmpty {
            // Prompts that are half done hold all pages: the one that should go last gives way.
            let holders = turn.running.filter { $0.pagesHeld > 0 }
            if holders.count > 1, let last = holders.last {
                turn.decision.preempted.append(last.id)
            } else if let only = turn.running.first, only.pages(1) > turn.pages {
                turn.decision.stuck = only.id
            }
        }
        return turn.decision
    }

    /// Every answer under way gets its row, and a page for it, if need be from who should go last.
    private mutating func takeAnswers(_ turn: inout Turn) {
        var position = 0
        while position < turn.running.count, turn.rows > 0 {
            let candidate = turn.running[position]
            guard candidate.isDecoding else {
                position += 1
                continue
            }
            var count = min(turn.rows, candidate.pending + candidate.guesses)
            if candidate.pages(count) > turn.pages { count = min(count, candidate.pending) }
            while candidate.pages(count) > turn.pages,
                // Who cannot give pages back cannot help.
                let victim = turn.running.lastIndex(where: { $0.pagesHeld > 0 }), victim > position
            {
                turn.pages += turn.running[victim].pagesHeld
                turn.decision.preempted.append(turn.running.remove(at: victim).id)
            }
            if candidate.pages(count) > turn.pages {
                guard position > 0, candidate.pagesHeld > 0 else {
                    turn.decision.stuck = candidate.id
                    return
                }
                // The ones before it go on; this one waits until they have ended.
                turn.pages += candidate.pagesHeld
                turn.decision.preempted.append(candidate.id)
                turn.running.remove(at: position)
                continue
            }
            give(count, to: candidate, &turn)
            position += 1
        }
    }

    /// What is left goes to prompts.
    private mutating func takePrompts(_ waiting: [Candidate], _ turn: inout Turn) {
        var prompts = turn.running.filter { !$0.isDecoding } + waiting
        var places = maximumRunning - turn.running.count
        // All of a prompt must fit, or prompts that are half done would hold what others need.
        var promised = turn.running.reduce(0) { $0 + ($1.isDecoding ? 0 : $1.pages($1.pending)) }
        while turn.rows > 0, let next = prompts.indices.min(by: { goesFirst(prompts[$0], prompts[$1]) }) {
            let candidate = prompts.remove(at: next)
            let needed = candidate.pages(candidate.pending)
            if candidate.isRunning {
                promised -= needed
            } else {
                guard places > 0, promised + needed <= turn.pages else {
                    // Nobody of its kind overtakes it, or the large ones would never come.
                    prompts.removeAll { !$0.isRunning && $0.priority <= candidate.priority }
                    continue
                }
                places -= 1
            }
            var count = min(turn.rows, candidate.pending)
            while count > 0, candidate.pages(count) > turn.pages { count -= 1 }
            if count > 0 { give(count, to: candidate, &turn) }
            promised += needed - candidate.pages(count)
        }
    }

    private mutating func give(_ count: Int, to candidate: Candidate, _ turn: inout Turn) {
        turn.pages -= candidate.pages(count)
        turn.rows -= count
        served[candidate.owner, default: 0] += count
        turn.decision.rows.append(.init(id: candidate.id, count: count))
    }

    private static func precedes(_ left: Candidate, _ right: Candidate) -> Bool {
        left.priority != right.priority ? left.priority > right.priority : left.arrival < right.arrival
    }

    /// Whose prompt goes first. Those that run are not held up by those that wait, but for a higher priority.
    private func goesFirst(_ left: Candidate, _ right: Candidate) -> Bool {
        if left.priority != right.priority { return left.priority > right.priority }
        let (a, b) = (served[left.owner] ?? 0, served[right.owner] ?? 0)
        return a != b ? a < b : left.arrival < right.arrival
    }

    /// Owners who come begin where the one stands who was served least; those without requests are forgotten.
    private mutating func forget(_ candidates: [Candidate]) {
        let owners = Set(candidates.map(\.owner))
        served = served.filter { owners.contains($0.key) }
        let least = served.values.min() ?? 0
        for owner in owners where served[owner] == nil { served[owner] = least }
        // From the same zero, so that nothing grows for ever.
        if least > 0 { for owner in served.keys { served[owner, default: 0] -= least } }
    }
}
