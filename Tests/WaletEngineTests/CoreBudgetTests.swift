import Dispatch
import Foundation
import Synchronization
import Testing
import WaletTensor

@Suite struct CoreBudgetTests {
    @Test func workersOfAllPoolsAreNeverMoreThanTheCores() {
        let budget = CoreBudget(cores: 3)
        let active = Atomic(0)
        let most = Atomic(0)
        let turns = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: 8) { index in
            let threads = index % 4 + 1
            let share = min(threads, 3)
            for _ in 0..<50 {
                budget.spend(threads) {
                    let now = active.add(share, ordering: .relaxed).newValue
                    most.max(now, ordering: .relaxed)
                    if index % 3 == 0 { usleep(50) }
                    active.subtract(share, ordering: .relaxed)
                }
                turns.add(1, ordering: .relaxed)
            }
        }
        #expect(turns.load(ordering: .relaxed) == 400)
        #expect(most.load(ordering: .relaxed) <= 3)
    }

    /// A thread that comes back at once waits behind those that were there before it.
    @Test func turnsAreTakenInOrder() {
        let budget = CoreBudget(cores: 1)
        let order = Mutex<[Int]>([])
        let others = DispatchGroup()
        budget.spend(1) {
            for index in 0..<3 {
                let thread = Thread {
                    budget.spend(1) { order.withLock { $0.append(index) } }
                    others.leave()
                }
                others.enter()
                thread.start()
                usleep(20000)
            }
        }
        budget.spend(1) { order.withLock { $0.append(3) } }
        others.wait()
        #expect(order.withLock { $0 } == [0, 1, 2, 3])
    }
}
