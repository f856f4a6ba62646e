import Foundation
import Logging
import Synchronization
import Walet

/// One answer from its start to its charge.
final class AnswerRun: Sendable {
    /// What is known of a choice.
    private struct Choice {
        var started: Usage?
        var finished: (reason: FinishReason, usage: Usage)?
        var callsTools = false
        /// All that was said, in whatever kind of piece.
        var text = ""
        /// So many pieces it came in: a token each at least.
        var pieces = 0
    }

    private struct State {
        var choices: [Choice]
        var lastEvent = ContinuousClock.now
        var isFirstStart = true
    }

    private let serving: Serving
    private let call: ModelCall
    private let requests: [ModelRequest]
    private let progress: [RequestProgress]
    private let lease: ModelLease
    private let reservation: Reservation
    private let observation: RequestObservation
    private let exchange: Exchange
    private let principal: Principal
    private let logger: Logger
    private let begun = ContinuousClock.now
    private let state: Mutex<State>

    init(
        serving: Serving, call: ModelCall, requests: [ModelRequest], lease: ModelLease, reservation: Reservation,
        observation: RequestObservation, exchange: Exchange, principal: Principal, logger: Logger
    ) {
        self.serving = serving
        self.call = call
        let progress = requests.map { _ in RequestProgress() }
        self.progress = progress
        self.requests = zip(requests, progress).map { request, progress in
            var request = request
            request.progress = progress
            return request
        }
        self.lease = lease
        self.reservation = reservation
        self.observation = observation
        self.exchange = exchange
        self.principal = principal
        self.logger = logger
        state = Mutex(State(choices: Array(repeating: Choice(), count: requests.count)))
    }

    private typealias Pieces = AsyncThrowingStream<ModelEvent, any Error>
    private typealias Output = AsyncThrowingStream<ServedEvent, any Error>.Continuation

    /// Starts the model and a task that follows it.
    /// - Throws: what the model finds wrong before any work.
    func start(_ client: ClientPresence) async throws -> ServedAnswer {
        // A task of its own, as another server may take its time.
        let starting = Task { try await self.startPrompts() }
        client.onLeave { starting.cancel() }
        let started: [(choices: Range<Int>, pieces: Pieces)]
        do {
            started = try await withTaskCancellationHandler {
                try await starting.value
            } onCancel: {
                starting.cancel()
            }
        } catch {
            let apiError = APIError(error)
            let isGone = error is CancellationError
            let outcome = isGone ? Outcome.disconnected : .failed(apiError.code ?? "\(apiError.kind)")
            let status = isGone ? 499 : apiError.status.code
            _ = await Task { await self.conclude(outcome, status: status) }.value
            throw apiError
        }
        let (events, output) = AsyncThrowingStream.makeStream(of: ServedEvent.self)
        let task = serving.active.start { await self.follow(started, output) }
        output.onTermination = { _ in task.cancel() }
        client.onLeave { task.cancel() }
        return ServedAnswer(
            id: Self.makeID(), model: lease.name, created: Int(Date.now.timeIntervalSince1970),
            fingerprint: Self.fingerprint(serving.options.version, lease), events: events)
    }

    /// Starts the first choice of each prompt; those of several prompts side by side, as another server may take its time.
    private func startPrompts() async throws -> [(choices: Range<Int>, pieces: Pieces)] {
        let prompts = call.prompts
        if prompts.count == 1 { return [(prompts[0], try await lease.model.respond(to: requests[0]))] }
        return try await withThrowingTaskGroup(of: (Int, Pieces).self) { group in
            for (index, choices) in prompts.enumerated() {
                group.addTask { (index, try await self.lease.model.respond(to: self.requests[choices.lowerBound])) }
            }
            var pieces: [Int: Pieces] = [:]
            for try await (index, started) in group { pieces[index] = started }
            return prompts.enumerated().compactMap { index, choices in pieces[index].map { (choices, $0) } }
        }
    }

    // MARK: Following the model

    private func follow(_ firsts: [(choices: Range<Int>, pieces: Pieces)], _ output: Output) async {
        var failure: (any Error)?
        do {
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    await self.tick(output)
                    return false
                }
                for (choices, pieces) in firsts {
                    group.addTask {
                        try await self.followPrompt(choices, pieces, output)
                        return true
                    }
                }
                var remaining = firsts.count
                while remaining > 0, let isPrompt = try await group.next() {
                    if isPrompt { remaining -= 1 }
                }
                group.cancelAll()
            }
        } catch {
            failure = error
        }
        let isCancelled = Task.isCancelled
        // A task of its own: what is owed is charged although this one was cancelled.
        await Task { await self.end(failure, isCancelled: isCancelled, output) }.value
    }

    /// Follows the choices of one prompt. The further ones start when the first has its first token: by then the prompt is in
    /// the prefix cache.
    private func followPrompt(_ choices: Range<Int>, _ pieces: Pieces, _ output: Output) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var waiting = choices.dropFirst()
            for try await event in pieces {
                try pass(event, choices.lowerBound, output)
                if case .started = event { continue }
                for index in waiting {
                    group.addTask {
                        let pieces = try await self.lease.model.respond(to: self.requests[index])
                        for try await event in pieces { try self.pass(event, index, output) }
                        try self.requireFinish(index)
                    }
                }
                waiting = waiting.suffix(0)
            }
            try requireFinish(choices.lowerBound)
            try await group.waitForAll()
        }
    }

    private func requireFinish(_ index: Int) throws {
        if state.withLock({ $0.choices[index].finished != nil }) { return }
        if Task.isCancelled { throw CancellationError() }
        throw APIError(.server, "The model stopped before the answer was complete", code: "incomplete_answer")
    }

    private func pass(_ event: ModelEvent, _ index: Int, _ output: Output) throws {
        var isFirstStart = false
        state.withLock { state in
            state.lastEvent = .now
            switch event {
            case .started(let usage):
                isFirstStart = state.isFirstStart
                state.isFirstStart = false
                state.choices[index].started = usage
            case .thinking(let text), .text(let text), .toolCallArguments(_, let text):
                state.choices[index].text += text
                state.choices[index].pieces += 1
            case .toolCallStarted(_, _, let name):
                state.choices[index].callsTools = true
                state.choices[index].text += name
                state.choices[index].pieces += 1
            case .finish(let reason, let usage): state.choices[index].finished = (reason, usage)
            case .toolCallFinished, .logprobs, .promptLogprobs: break
            }
        }
        switch event {
        case .started(let usage):
            if isFirstStart {
                observation.started(promptTokens: usage.promptTokens, cachedTokens: usage.cachedTokens)
            }
        case .thinking, .text, .toolCallStarted, .toolCallArguments: observation.output()
        case .finish(.cancelled, _):
            // Nobody here asked for it: the engine is going down.
            if Task.isCancelled { throw CancellationError() }
            throw APIError(.draining, "The server stopped before the answer was complete", code: "shutting_down")
        case .finish, .toolCallFinished, .logprobs, .promptLogprobs: break
        }
        output.yield(.event(choice: index, event))
    }

    /// Tells of silence, until it is cancelled.
    private func tick(_ output: Output) async {
        let interval = serving.options.keepAlive
        while !Task.isCancelled {
            let last = state.withLock { $0.lastEvent }
            guard (try? await Task.sleep(until: last + interval, clock: .continuous)) != nil else { return }
            let isSilent = state.withLock { state in
                guard ContinuousClock.now - state.lastEvent >= interval else { return false }
                state.lastEvent = .now
                return true
            }
            if isSilent { output.yield(.idle) }
        }
    }

    // MARK: The end

    private func end(_ failure: (any Error)?, isCancelled: Bool, _ output: Output) async {
        guard let failure else {
            let usage = await conclude(.completed, status: 200)
            output.yield(.end(usage))
            output.finish()
            return
        }
        if isCancelled || failure is CancellationError {
            let isStopping = serving.active.isStopping
            await conclude(isStopping ? .cancelled : .disconnected, status: isStopping ? 503 : 499)
            output.finish(
                throwing: isStopping
                    ? APIError(.draining, "The server stopped before the answer was complete", code: "shutting_down")
                    : CancellationError())
        } else {
            let error = APIError(failure)
            if error.kind == .server {
                logger.error("a model failed", metadata: ["error": .string("\(failure)".prefixed(500))])
            }
            exchange.note { $0.errorCode = error.code ?? "\(error.kind)" }
            await conclude(.failed(error.code ?? "\(error.kind)"), status: error.status.code)
            output.finish(throwing: error)
        }
    }

    /// Charges, audits and meters. Not to be called from a cancelled task.
    @discardableResult
    private func conclude(_ outcome: Outcome, status: Int) async -> UsageReport {
        let usage = await totals(outcome)
        exchange.note { $0.usage = usage }
        async let recorded: Void = record(outcome, usage, status)
        await settle(outcome, usage)
        await recorded
        let callsTools = state.withLock { $0.choices.contains { $0.callsTools } }
        let reason: RequestObservation.Finish =
            switch outcome {
            case .completed:
                callsTools
                    ? .toolCalls
                    : state.withLock { $0.choices.contains { $0.finished?.reason == .length } } ? .length : .stop
            case .cancelled, .disconnected: .abort
            case .failed: .error
            }
        observation.finish(
            reason,
            RequestTotals(
                promptTokens: usage.promptTokens, cachedTokens: usage.cachedTokens,
                answerTokens: usage.answerTokens, thinkingTokens: usage.thinkingTokens,
                draftedTokens: usage.draftedTokens, acceptedTokens: usage.acceptedTokens,
                queueSeconds: usage.queueSeconds, prefillSeconds: usage.prefillSeconds,
                decodeSeconds: usage.decodeSeconds))
        return usage
    }

    /// What all choices took. Of those that were stopped, what they had made until then.
    private func totals(_ outcome: Outcome) async -> UsageReport {
        let choices = state.withLock { $0.choices }
        var report = UsageReport()
        for prompt in call.prompts {
            var countsPrompt = true
            for index in prompt {
                let choice = choices[index]
                if let finished = choice.finished {
                    report.add(finished.usage, countsPrompt: countsPrompt)
                    countsPrompt = false
                } else if var usage = choice.started {
                    // The model's own count did not come: what it said tells, and how far it was with the prompt.
                    if choice.text.isEmpty {
                        usage.promptTokens = min(usage.promptTokens, progress[index].promptTokens)
                        usage.cachedTokens = min(usage.cachedTokens, usage.promptTokens)
                    }
                    usage.answerTokens = (try? await lease.model.tokenize(choice.text).count) ?? choice.pieces
                    usage.thinkingTokens = 0
                    report.add(usage, countsPrompt: countsPrompt)
                    countsPrompt = false
                }
            }
        }
        if !call.countsAnswer {
            report.answerTokens = 0
            report.thinkingTokens = 0
        }
        return report
    }

    private func settle(_ outcome: Outcome, _ usage: UsageReport) async {
        var delay = Duration.milliseconds(50)
        for attempt in 1...6 {
            do {
                return try await serving.gatekeeper.settle(reservation, usage, outcome)
            } catch {
                logger.error(
                    "a request could not be charged",
                    metadata: ["attempt": .stringConvertible(attempt), "error": .string("\(error)".prefixed(500))])
                // Repeating it would change nothing.
                if (error as? APIError)?.kind == .server { return }
                if attempt < 6 { try? await Task.sleep(for: delay) }
                delay *= 2
            }
        }
    }

    private func record(_ outcome: Outcome, _ usage: UsageReport, _ status: Int) async {
        guard let audit = serving.audit else { return }
        let choices = state.withLock { $0.choices }
        let reason: String =
            switch outcome {
            case .completed:
                choices.contains { $0.callsTools } ? "tool_calls" : choices[0].finished?.reason.rawValue ?? "stop"
            case .cancelled: "cancelled"
            case .disconnected: "disconnected"
            case .failed(let code): code
            }
        let entry = AuditEntry(
            requestID: reservation.claim.requestID, keyID: principal.keyID, tenant: principal.tenant,
            model: lease.name, endpoint: reservation.claim.endpoint, status: status, outcome: reason, usage: usage,
            duration: ContinuousClock.now - begun, prompt: call.body,
            answer: choices.map(\.text).joined(separator: "\n"))
        do {
            try await audit.record(entry)
        } catch {
            logger.error("a request could not be audited", metadata: ["error": .string("\(error)".prefixed(500))])
        }
    }

    // MARK: Names

    private static let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")

    static func makeID() -> String { String((0..<24).map { _ in letters.randomElement()! }) }

    /// FNV-1a of what makes answers differ for the same seed.
    private static func fingerprint(_ version: String, _ lease: ModelLease) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in "\(version) \(lease.name) \(lease.model.contextLength)".utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        let digits = String(hash, radix: 16)
        return "fp_" + String(repeating: "0", count: 16 - digits.count) + digits
    }
}
