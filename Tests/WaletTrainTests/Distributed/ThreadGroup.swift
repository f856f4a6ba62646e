import Foundation

@testable import WaletTrain

/// Threads of this process as the processes of a run: they talk through memory.
final class ThreadGroup: @unchecked Sendable {
    // Unchecked: everything is read and written with the condition locked.
    let size: Int
    private let patience: Double
    private let condition = NSCondition()
    private var posted: [[[UInt8]]?]
    private var readers = 0
    private var lost: Int?

    private init(size: Int, patience: Double) {
        self.size = size
        self.patience = patience
        posted = Array(repeating: nil, count: size)
    }

    /// Runs `body` as each of so many processes.
    /// - Parameters:
    ///   - patience: seconds after which a process that does not answer counts as lost.
    ///   - lose: the process that dies, and after how many exchanges.
    /// - Returns: what each came to. One that ends with an error is lost to the others.
    static func run<Value: Sendable>(
        _ size: Int, patience: Double = 60, lose: (rank: Int, after: Int)? = nil,
        _ body: @escaping @Sendable (Communicator) throws -> Value
    ) -> [Result<Value, any Error>] {
        let group = ThreadGroup(size: size, patience: patience)
        let results = Results<Value>(count: size)
        for rank in 0..<size {
            let limit = lose.flatMap { $0.rank == rank ? $0.after : nil }
            let thread = Thread {
                let transport = Member(group, rank, limit: limit)
                let result = Result { try body(size == 1 ? Communicator() : Communicator(transport)) }
                if case .failure = result { group.lose(rank) }
                results.set(rank, result)
            }
            thread.stackSize = 8 << 20
            thread.start()
        }
        return results.wait()
    }

    private func lose(_ rank: Int) {
        condition.withLock { lost = lost ?? rank }
        condition.broadcast()
    }

    /// Waits until a condition is true.
    private func wait(until isTrue: () -> Bool) throws(CommunicationError) {
        let deadline = Date(timeIntervalSinceNow: patience)
        while !isTrue() {
            if let lost { throw .lost(operation: "exchange", reason: "process \(lost) is gone") }
            if !condition.wait(until: deadline), !isTrue() {
                throw .lost(operation: "exchange", reason: "no answer in time")
            }
        }
    }

    /// Gives each process's messages to each other.
    private func exchange(_ rank: Int, _ messages: [[UInt8]]) throws(CommunicationError) -> [[UInt8]] {
        condition.lock()
        defer { condition.unlock() }
        posted[rank] = messages
        condition.broadcast()
        try wait { posted.allSatisfy { $0 != nil } }
        let result = posted.map { $0.map { $0[rank] } ?? [] }
        readers += 1
        if readers == size {
            readers = 0
            posted = Array(repeating: nil, count: size)
            condition.broadcast()
        } else {
            // The last one to read clears the table.
            try wait { posted[rank] == nil }
        }
        return result
    }

    private final class Member: Transport {
        let group: ThreadGroup
        let rank: Int
        var size: Int { group.size }
        var coreSharers: Int { group.size }
        /// Exchanges that are left; nil for no end.
        private var limit: Int?

        init(_ group: ThreadGroup, _ rank: Int, limit: Int?) {
            (self.group, self.rank, self.limit) = (group, rank, limit)
        }

        func exchange(
            _ sent: [UnsafeRawBufferPointer], _ received: [UnsafeMutableRawBufferPointer]
        ) throws(CommunicationError) {
            if let left = limit {
                if left == 0 { throw .lost(operation: "exchange", reason: "this one") }
                limit = left - 1
            }
            let messages = try group.exchange(rank, sent.map { Array($0) })
            for other in 0..<size where other != rank {
                precondition(messages[other].count == received[other].count, "both sides know the size of a message")
                received[other].copyBytes(from: messages[other])
            }
        }

        func end() {}
        func abort(code: Int32) { group.lose(rank) }
    }

    /// What threads leave behind.
    private final class Results<Value: Sendable>: @unchecked Sendable {
        // Unchecked: everything is read and written with the condition locked.
        private let condition = NSCondition()
        private var values: [Result<Value, any Error>?]

        init(count: Int) { values = Array(repeating: nil, count: count) }

        func set(_ index: Int, _ value: Result<Value, any Error>) {
            condition.withLock { values[index] = value }
            condition.broadcast()
        }

        func wait() -> [Result<Value, any Error>] {
            condition.withLock {
                while values.contains(where: { $0 == nil }) { condition.wait() }
                return values.compactMap { $0 }
            }
        }
    }
}
