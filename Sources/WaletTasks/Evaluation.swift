// What many answers to many problems say of a model.

import Foundation

/// One answer to one problem.
public struct TaskAttempt: Sendable, Equatable {
    /// What was read of it; nil where there was nothing.
    public var value: String?
    public var isRight: Bool
    /// Tokens of thinking and answer.
    public var tokens: Int
    /// It ended by itself, and not for want of room.
    public var isFinished: Bool

    public init(value: String?, isRight: Bool, tokens: Int, isFinished: Bool) {
        self.value = value
        self.isRight = isRight
        self.tokens = tokens
        self.isFinished = isFinished
    }
}

/// The answers to problems of one kind, and what they come to. Every problem counts as much as every other, however many
/// attempts it had.
public struct TaskScore: Sendable {
    /// Of each problem all attempts, of which there is at least one.
    public private(set) var problems: [[TaskAttempt]] = []

    public init() {}

    public mutating func add(_ attempts: [TaskAttempt]) {
        if !attempts.isEmpty { problems.append(attempts) }
    }

    public static func + (left: TaskScore, right: TaskScore) -> TaskScore {
        var sum = left
        sum.problems += right.problems
        return sum
    }

    /// Attempts that every problem has.
    public var samples: Int { problems.map(\.count).min() ?? 0 }

    private func mean(_ value: ([TaskAttempt]) -> Double) -> Double {
        problems.isEmpty ? 0 : problems.reduce(0) { $0 + value($1) } / Double(problems.count)
    }

    /// The probability that at least one of `k` attempts is right: the unbiased estimate of Chen and others (arXiv
    /// 2107.03374, section 2.1).
    /// - Parameter k: at most ``samples``.
    public func pass(at k: Int) -> Double {
        mean { attempts in
            let n = attempts.count
            let right = attempts.count { $0.isRight }
            guard n - right >= k, k > 0 else { return 1 }
            var allWrong = 1.0
            for i in n - k + 1...n { allWrong *= Double(i - right) / Double(i) }
            return 1 - allWrong
        }
    }

    /// The probability that what most of `k` attempts say is right; of values that come equally often the earliest counts.
    /// Attempts without a value have no vote.
    /// - Parameter k: at most ``samples``; subsets are drawn, always the same.
    public func majority(at k: Int) -> Double {
        var random = TaskRandom(seed: UInt64(k))
        return mean { attempts in
            let rounds = k >= attempts.count ? 1 : 64
            let right = (0..<rounds).count { _ in
                var order = Array(attempts.indices)
                if k < attempts.count { random.shuffle(&order) }
                return Self.vote(order.prefix(k).sorted().map { attempts[$0] })
            }
            return Double(right) / Double(rounds)
        }
    }

    private static func vote(_ attempts: [TaskAttempt]) -> Bool {
        var counts: [String: (count: Int, first: Int, isRight: Bool)] = [:]
        for (index, attempt) in attempts.enumerated() {
            // Different ways to a right answer vote together.
            guard let value = attempt.isRight ? "" : attempt.value else { continue }
            counts[value, default: (0, index, attempt.isRight)].count += 1
        }
        let winner = counts.values.max { ($0.count, -$0.first) < ($1.count, -$1.first) }
        return winner?.isRight ?? false
    }

    /// Bounds of pass@1 that hold for 95 of 100 draws of problems: Wilson's interval, in which all attempts at one problem count
    /// as one.
    public var interval: ClosedRange<Double> {
        guard !problems.isEmpty else { return 0...1 }
        let n = Double(problems.count)
        let p = pass(at: 1)
        let z = 1.96
        let scale = 1 + z * z / n
        let middle = (p + z * z / (2 * n)) / scale
        let half = z / scale * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
        return max(0, middle - half)...min(1, middle + half)
    }

    /// Tokens of an attempt.
    public var meanTokens: Double {
        mean { attempts in attempts.reduce(0) { $0 + Double($1.tokens) } / Double(attempts.count) }
    }

    /// The part of the attempts that ended by themselves.
    public var finished: Double {
        mean { attempts in Double(attempts.count { $0.isFinished }) / Double(attempts.count) }
    }
}
