// A process of its own that the tests let race with others, and kill.
//
//   race LOCATION SECRET COUNT      reserves COUNT requests at once, prints "granted N", waits for the end of its input
//   load LOCATION SECRET SEED COUNT runs COUNT requests of all kinds, and prints each step before and after it is taken

import Foundation
import WaletAccounts

/// One line in one call, so that what was printed is with the reader however this process ends.
func say(_ line: String) {
    try? FileHandle.standardOutput.write(contentsOf: Data((line + "\n").utf8))
}

struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        // SplitMix64.
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

@main
enum WaletAccountsWorker {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 5, let number = UInt64(arguments[4]) else { fail("usage: see the source") }
        let accounts = try await Accounts.open(try Accounts.Location(parsing: arguments[2]))
        guard let principal = try await accounts.authenticate(arguments[3]) else { fail("the secret is nobody's") }
        switch (arguments[1], arguments.dropFirst(5).first.flatMap { Int($0) }) {
        case ("race", _): await race(accounts, principal, count: Int(number))
        case ("load", let count?): await load(accounts, principal, seed: number, count: count)
        default: fail("usage: see the source")
        }
        await accounts.close()
        say("done")
    }

    static func fail(_ message: String) -> Never {
        FileHandle.standardError.write(Data((message + "\n").utf8))
        exit(2)
    }

    static func race(_ accounts: Accounts, _ principal: Principal, count: Int) async {
        let process = ProcessInfo.processInfo.processIdentifier
        let granted = await withTaskGroup(of: Bool.self) { group in
            for index in 0..<count {
                group.addTask {
                    let reservation = try? await accounts.reserve(
                        principal, model: "m", endpoint: "race", promptTokens: 1000, maximumOutputTokens: 100,
                        requestID: "race-\(process)-\(index)")
                    return reservation != nil
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        say("granted \(granted)")
        _ = try? FileHandle.standardInput.readToEnd()
    }

    static func load(_ accounts: Accounts, _ principal: Principal, seed: UInt64, count: Int) async {
        await withTaskGroup(of: Void.self) { group in
            for lane in 0..<8 {
                group.addTask {
                    var random = Generator(state: seed &* 31 &+ UInt64(lane))
                    for index in stride(from: lane, to: count, by: 8) {
                        await request("load-\(seed)-\(index)", accounts, principal, &random)
                    }
                }
            }
        }
    }

    static func request(_ id: String, _ accounts: Accounts, _ principal: Principal, _ random: inout Generator) async {
        let prompt = Int.random(in: 1...4000, using: &random)
        let most = Int.random(in: 1...500, using: &random)
        let cached = Int.random(in: 0...prompt, using: &random)
        let output = Int.random(in: 0...most, using: &random)
        let outcomes: [Outcome] = [.cancelled, .disconnected, .failed("out of luck"), .completed]
        let outcome = outcomes[Int.random(in: 0..<4, using: &random)]
        do {
            say("reserving \(id)")
            let reservation = try await accounts.reserve(
                principal, model: "m", endpoint: "load", promptTokens: prompt, maximumOutputTokens: most, requestID: id)
            say("reserved \(id)")
            say("settling \(id) \(prompt - cached) \(cached) \(output) \(outcome.name)")
            let charge = try await accounts.settle(
                reservation, TokenCounts(prompt: prompt, cached: cached, output: output), outcome: outcome)
            say("settled \(id) \(charge.cost.nanodollars)")
        } catch {
            say("error \(id) \(error)")
        }
    }
}
