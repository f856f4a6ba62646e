// A model that trains answers problems, many at a time, with the engine that serves models.

import WaletAutodiff
import WaletEngine
import WaletJSON
import WaletModels
import WaletTasks
import WaletText

/// Asks a model that trains. The weights are the trainer's own: nothing is copied but norms and biases.
struct PolicyRollouts {
    private let model: TrainableModel
    private let tokenizer: Tokenizer
    private let encoder: ConversationEncoder
    /// Ends an answer.
    private let endToken: Int32
    private let closeToken: Int32
    private let answerTokens: Int

    /// - Throws: ``TrainingError/reinforcement(_:)`` for a template that marks no thinking or no end of a turn.
    init(_ model: TrainableModel, _ encoder: ConversationEncoder, answerTokens: Int) throws(TrainingError) {
        self.model = model
        self.encoder = encoder
        self.answerTokens = answerTokens
        tokenizer = encoder.tokenizer
        let example = TrainingConversation(messages: [
            ["role": "user", "content": "1"], ["role": "assistant", "reasoning_content": "1", "content": "1"],
        ])
        guard let close = tokenizer.id(ofToken: "</think>") else {
            throw .reinforcement("the vocabulary has no token </think>, with which thinking ends")
        }
        closeToken = Int32(truncatingIfNeeded: close)
        do {
            let (tokens, learned, _) = try encoder.encode(example)
            guard let last = tokens.last, learned.last == true, last != closeToken, tokenizer.isSpecial(Int(last))
            else {
                throw TrainingError.reinforcement("the chat template ends no answer with a control token")
            }
            endToken = last
        } catch {
            throw error as? TrainingError ?? .reinforcement("the chat template cannot be used: \(error)")
        }
    }

    /// Answers to problems, a group for each.
    /// - Parameters:
    ///   - count: answers to each problem.
    ///   - temperature: 1 is the model's own distribution, which learning needs; 0 takes the likeliest tokens.
    ///   - seed: the same seed, weights and problems give the same answers.
    /// - Throws: ``TrainingError``.
    func groups(
        _ problems: [TaskProblem], count: Int, temperature: Double, seed: UInt64
    ) async throws -> [PolicyGroup] {
        let transformer = try Transformer(model.configuration, from: TrainedWeights(model))
        let engine = try Engine(transformer, threads: model.arena.pool.threads, precision: .exact)
        let groups = try await answer(problems, count, temperature, seed, engine)
        // A request that was left in the middle is gone with the next pass; weights must not change before.
        while engine.statistics.running > 0 { try await Task.sleep(nanoseconds: 200_000) }
        return groups
    }

    private func answer(
        _ problems: [TaskProblem], _ count: Int, _ temperature: Double, _ seed: UInt64, _ engine: Engine
    ) async throws -> [PolicyGroup] {
        let asked = try problems.map { problem in
            (
                problem: problem,
                prompt: try encoder.prompt([["role": "user", "content": .string(problem.question)]])
            )
        }
        let reader = AnswerReading(tokenizer: tokenizer, endToken: endToken, closeToken: closeToken)
        let limit = answerTokens
        return try await withThrowingTaskGroup(of: (Int, PolicyAnswer).self) { tasks in
            for index in 0..<asked.count * count {
                let (problem, prompt) = asked[index / count]
                var request = GenerationRequest(
                    prompt: prompt.map { Int($0) },
                    sampling: SamplingParameters(
                        temperature: temperature, seed: seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15),
                    maximumTokens: limit)
                request.logprobs = 0
                let stream = try engine.generate(request)
                tasks.addTask { (index, try await reader.answer(problem, prompt, stream)) }
            }
            var answers = [PolicyAnswer?](repeating: nil, count: asked.count * count)
            for try await (index, answer) in tasks { answers[index] = answer }
            return asked.indices.map { problem in
                PolicyGroup(answers: answers[problem * count..<(problem + 1) * count].compactMap(\.self))
            }
        }
    }
}

/// Reads one answer as it comes.
private struct AnswerReading: Sendable {
    let tokenizer: Tokenizer
    let endToken: Int32
    let closeToken: Int32

    func answer(
        _ problem: TaskProblem, _ prompt: [Int32], _ stream: AsyncThrowingStream<GenerationEvent, any Error>
    ) async throws -> PolicyAnswer {
        var answer = PolicyAnswer(
            prompt: prompt, tokens: [], logProbabilities: [], isRight: false, isWellFormed: false)
        var hasEnded = false
        for try await event in stream {
            switch event {
            case .logprob(let value): answer.logProbabilities.append(value.logprob)
            case .token(let token, _): answer.tokens.append(Int32(truncatingIfNeeded: token))
            default: break
            }
            // The engine would not say how likely an end token was that it knew as one.
            hasEnded = answer.tokens.last == endToken
            if hasEnded { break }
        }
        let closes = answer.tokens.count { $0 == closeToken }
        answer.isWellFormed = hasEnded && closes == 1
        let text = answer.tokens[((answer.tokens.lastIndex(of: closeToken) ?? -1) + 1)...].map { Int($0) }
        answer.isRight =
            hasEnded && closes == 1 && problem.expected.read(tokenizer.decode(text, skipSpecial: true)).isRight
        return answer
    }
}
