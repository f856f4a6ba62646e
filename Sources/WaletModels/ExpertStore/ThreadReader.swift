import Foundation

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Reads by threads that wait for one read each.
package final class ThreadReader: BlockReader {
    package let name = "threads"
    private let queue = Queue()

    /// - Parameter threads: reads under way, at most.
    package init(threads: Int) {
        for _ in 0..<threads {
            let thread = Thread { [queue] in
                while let read = queue.take() { queue.end(Self.perform(read)) }
            }
            thread.name = "walet-reads"
            thread.stackSize = 256 << 10
            thread.start()
        }
    }

    deinit { queue.stop() }

    package func start(_ reads: [BlockRead]) { queue.add(reads) }

    package func ended(waits: Bool) -> [BlockResult] { queue.ended(waits: waits) }

    private static func perform(_ read: BlockRead) -> BlockResult {
        while true {
            let got = pread(read.descriptor, read.target, read.count, off_t(read.offset))
            if got < 0, errno == EINTR { continue }
            return BlockResult(tag: read.tag, result: got < 0 ? -Int(errno) : got)
        }
    }

    private final class Queue: @unchecked Sendable {
        // Unchecked: every access to the variables holds the condition's lock.
        private let condition = NSCondition()
        private var waiting: [BlockRead] = []
        private var next = 0
        private var underWay = 0
        private var results: [BlockResult] = []
        private var isStopped = false

        func add(_ reads: [BlockRead]) {
            condition.withLock {
                waiting.append(contentsOf: reads)
                condition.broadcast()
            }
        }

        func take() -> BlockRead? {
            condition.withLock {
                while next == waiting.count, !isStopped { condition.wait() }
                guard !isStopped else { return nil }
                let read = waiting[next]
                next += 1
                underWay += 1
                if next == waiting.count {
                    waiting.removeAll(keepingCapacity: true)
                    next = 0
                }
                return read
            }
        }

        func end(_ result: BlockResult) {
            condition.withLock {
                underWay -= 1
                results.append(result)
                condition.broadcast()
            }
        }

        func ended(waits: Bool) -> [BlockResult] {
            condition.withLock {
                while waits, results.isEmpty, underWay > 0 || next < waiting.count { condition.wait() }
                defer { results.removeAll(keepingCapacity: true) }
                return results
            }
        }

        func stop() {
            condition.withLock {
                isStopped = true
                condition.broadcast()
            }
        }
    }
}
