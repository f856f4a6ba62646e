import Foundation

/// Who may compute now: workers of all pools of the process together are no more than the physical cores, first come
/// first served, so that two engines take turns instead of taking each other's cores.
public final class CoreBudget: @unchecked Sendable {
    // Unchecked: every access to the variables holds the condition's lock.
    /// The process's own.
    public static let shared = CoreBudget(cores: Hardware.physicalCores)

    private let cores: Int
    private let condition = NSCondition()
    private var nextTicket = 0
    private var serving = 0
    private var active = 0

    public init(cores: Int) { self.cores = cores }

    /// Runs `body` with `threads` of the cores; more than there are get all of them, alone.
    public func spend<Result, Failure: Error>(
        _ threads: Int, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let share = min(threads, cores)
        condition.lock()
        let ticket = nextTicket
        nextTicket += 1
        while serving != ticket || active + share > cores { condition.wait() }
        serving += 1
        active += share
        condition.broadcast()
        condition.unlock()
        defer {
            condition.lock()
            active -= share
            condition.broadcast()
            condition.unlock()
        }
        return try body()
    }
}
