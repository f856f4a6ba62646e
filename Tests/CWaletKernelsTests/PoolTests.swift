import CWaletKernels
import Foundation
import Synchronization
import Testing

/// How often each task of a region has run, and what was wrong about its worker's number.
private final class Counters: Sendable {
    let runs: [Counter]
    let wrongWorkers = Atomic<Int>(0)
    let threads: Int32

    final class Counter: Sendable { let value = Atomic<Int>(0) }

    init(tasks: Int, threads: Int32) {
        runs = (0..<tasks).map { _ in Counter() }
        self.threads = threads
    }

    func run(on pool: OpaquePointer, tasks: Int) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        wk_pool_run(pool, Int64(tasks), { context, task, worker in
            let counters = Unmanaged<Counters>.fromOpaque(context!).takeUnretainedValue()
            counters.runs[Int(task)].value.add(1, ordering: .relaxed)
            if !(0..<counters.threads).contains(worker) { counters.wrongWorkers.add(1, ordering: .relaxed) }
        }, context)
    }
}

extension KernelTests {
    @Suite struct Pool {
        @Test(arguments: 1...8 as ClosedRange<Int32>)
        func everyTaskOfManyRegionsRunsOnce(threads: Int32) throws {
            let pool = try #require(wk_pool_create(threads))
            defer { wk_pool_destroy(pool) }
            #expect(wk_pool_threads(pool) == threads)
            var random = Random(UInt64(threads))
            let largest = 40
            let counters = Counters(tasks: largest, threads: threads)
            var expected = [Int](repeating: 0, count: largest)
            for region in 0..<10_000 {
                let tasks = Int(random.next() % UInt64(largest + 1))
                counters.run(on: pool, tasks: tasks)
                for task in 0..<tasks { expected[task] += 1 }
                // Right after the barrier, not only at the end: a task that runs late is a torn region.
                if region % 16 == 0 || tasks == largest {
                    #expect(counters.runs.map { $0.value.load(ordering: .relaxed) } == expected)
                }
                if region % 1000 == 999 { usleep(300) } // let the workers fall asleep
            }
            #expect(counters.runs.map { $0.value.load(ordering: .relaxed) } == expected)
            #expect(counters.wrongWorkers.load(ordering: .relaxed) == 0)
        }

        @Test func aWorkerThatFallsAsleepIsWoken() throws {
            let pool = try #require(wk_pool_create(2))
            defer { wk_pool_destroy(pool) }
            // Two tasks that wait for each other: they end only if both threads take part.
            final class Meeting: Sendable { let arrived = Atomic<Int>(0) }
            let meeting = Meeting()
            for _ in 0..<20 {
                usleep(2000)
                meeting.arrived.store(0, ordering: .sequentiallyConsistent)
                wk_pool_run(pool, 2, { context, _, _ in
                    let meeting = Unmanaged<Meeting>.fromOpaque(context!).takeUnretainedValue()
                    meeting.arrived.add(1, ordering: .sequentiallyConsistent)
                    while meeting.arrived.load(ordering: .sequentiallyConsistent) < 2 { sched_yield() }
                }, Unmanaged.passUnretained(meeting).toOpaque())
            }
            #expect(meeting.arrived.load(ordering: .relaxed) == 2)
        }

        @Test func theCallerWaitsForLongTasks() throws {
            let pool = try #require(wk_pool_create(2))
            defer { wk_pool_destroy(pool) }
            let counters = Counters(tasks: 2, threads: 2)
            for round in 1...10 {
                wk_pool_run(pool, 2, { context, task, worker in
                    if worker == 1 { usleep(3000) } // longer than the caller spins
                    let counters = Unmanaged<Counters>.fromOpaque(context!).takeUnretainedValue()
                    counters.runs[Int(task)].value.add(1, ordering: .relaxed)
                }, Unmanaged.passUnretained(counters).toOpaque())
                #expect(counters.runs.map { $0.value.load(ordering: .relaxed) } == [round, round])
            }
        }

        @Test func aPoolCanBeDestroyedHotIdleOrUnused() throws {
            for threads in 1...8 as ClosedRange<Int32> {
                let unused = try #require(wk_pool_create(threads))
                wk_pool_destroy(unused)
                let hot = try #require(wk_pool_create(threads))
                Counters(tasks: 100, threads: threads).run(on: hot, tasks: 100)
                wk_pool_destroy(hot)
                let idle = try #require(wk_pool_create(threads))
                Counters(tasks: 100, threads: threads).run(on: idle, tasks: 100)
                usleep(1000)
                wk_pool_destroy(idle)
            }
            wk_pool_destroy(nil)
            #expect(wk_pool_create(0) == nil)
        }
    }
}
