import ArgumentParser
import Foundation
import Walet
import WaletJSON
import WaletPlan
import WaletTasks

/// `walet eval`: how well a model reasons, on problems whose answers a program checks.
struct EvalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Measures a model on reasoning tasks: pass@1, pass@k and majority@k by difficulty, and tokens spent.",
        discussion: """
            Problems are drawn from a seed, of the tenth that is held out of training data (walet train problems); answers
            are checked by programs. `walet train problems --list` says which tasks there are.
            """)

    @OptionGroup var arguments: ModelArguments
    @OptionGroup var selection: TaskSelection
    @Option(help: "Problems of each task and level.") var problems = 20
    @Option(help: "Answers to each problem.") var samples = 1
    @Option(help: "0 takes the likeliest token; default: 0 for one sample, 0.7 for more.") var temperature: Double?
    @Option(help: "Tokens of an answer, thinking included, at most.") var maxTokens = 512
    @Option(help: "Whether a model that can do both thinks first: on, off, both, or template for what it does unasked.")
    var thinking: Thinking = .both
    @Option(help: "held-out, or train for those that a model may have learned.") var split: TaskSplit = .heldOut
    @Option(help: "The system message.") var system: String?
    @Option(help: "Requests at a time.") var batch = 16
    @Flag(help: "The figures as one JSON object.") var json = false
    @Option(help: ArgumentHelp("Write every answer to this file, a line of JSON each.", valueName: "file")) var out:
        String?
    @Option(help: ArgumentHelp("Write a plot of pass@1 against the level to this SVG file.", valueName: "file"))
    var plot: String?

    func validate() throws {
        for (name, value, range) in [
            ("--problems", problems, 1...100_000), ("--samples", samples, 1...1024),
            ("--max-tokens", maxTokens, 1...1_000_000),
            ("--batch", batch, 1...4096),
        ] where !range.contains(value) {
            throw ValidationError("\(name): expected \(range.lowerBound) to \(range.upperBound), found \(value)")
        }
        if samples > 1, temperature == 0 {
            throw ValidationError("--samples \(samples) needs a temperature above 0, as all samples would be the same")
        }
    }

    func run() async throws {
        let cases = try selection.cases()
        let model = try await arguments.load()
        var options = model.defaultOptions
        options.sampling.temperature = temperature ?? (samples > 1 ? 0.7 : 0)
        options.maximumTokens = maxTokens
        do {
            try options.sampling.validate()
        } catch {
            throw ValidationError(error.description)
        }
        let log = try out.map { try LineFile($0) }
        // What cannot be written is said before the work, not after it.
        if let plot { try Files.write(chart([], model.name).svg(), to: plot) }
        var runs: [TaskRun] = []
        for way in try ways(of: model) {
            options.thinking = way.thinking
            runs.append(try await run(way.name, cases, model, options, log))
        }
        if json {
            Terminal.output(JSONValue.array(runs.map { $0.json(model: model.name) }).text() + "\n")
        } else {
            for run in runs {
                if runs.count > 1 { Terminal.output("\(run.name)\n") }
                Terminal.output(Terminal.table(run.table) + "\n")
            }
        }
        if let plot {
            try Files.write(chart(runs, model.name).svg(), to: plot)
            Terminal.log("the plot is in \(plot)")
        }
    }

    enum Thinking: String, ExpressibleByArgument, CaseIterable { case on, off, both, template }

    /// With thinking and without, where both are asked for and make a difference.
    private func ways(of model: LanguageModel) throws -> [(name: String, thinking: Bool?)] {
        let (with, without) = (("thinking", Bool?.some(true)), ("no thinking", Bool?.some(false)))
        switch thinking {
        case .on: return [with]
        case .off: return [without]
        case .template: return [("as the template says", nil)]
        case .both:
            let prompts = try [true, false].map { thinking in
                var request = request("1 + 1 = ?", model.defaultOptions)
                request.options.thinking = thinking
                return try model.promptTokens(of: request)
            }
            return prompts[0] == prompts[1] ? [("as the template says", nil)] : [with, without]
        }
    }

    private func request(_ question: String, _ options: GenerationOptions) -> ModelRequest {
        var messages = [ChatMessage(role: "user", content: question)]
        if let system { messages.insert(ChatMessage(role: "system", content: system), at: 0) }
        return ModelRequest(.chat(messages, tools: [], variables: [:]), options: options)
    }

    private func run(
        _ name: String, _ cases: [TaskSelection.Case], _ model: LanguageModel, _ options: GenerationOptions,
        _ log: LineFile?
    ) async throws -> TaskRun {
        var run = TaskRun(name: name, samples: samples)
        var random = TaskRandom(seed: selection.seed)
        for item in cases {
            var known: Set<String> = []
            var drawn: [TaskProblem] = []
            for index in 0..<problems {
                let language = item.languages[index % item.languages.count]
                guard
                    let problem = item.task.problem(
                        level: item.level, language, split, notOf: &known, &random)
                else { break }
                drawn.append(problem)
            }
            let attempts = try await answer(drawn, model, options, log, name)
            var score = TaskScore()
            for index in drawn.indices {
                score.add(Array(attempts[index * samples..<(index + 1) * samples]))
            }
            run.scores.append((item.task.name, item.level, score))
            Terminal.log(
                String(
                    format: "%@, %@ level %d: %.1f%% of %d", name, item.task.name, item.level, 100 * score.pass(at: 1),
                    score.problems.count))
        }
        return run
    }

    /// Answers every problem `samples` times, some requests at a time.
    /// - Returns: the attempts at the first problem, then those at the second, and so on.
    private func answer(
        _ problems: [TaskProblem], _ model: LanguageModel, _ options: GenerationOptions, _ log: LineFile?, _ way: String
    ) async throws -> [TaskAttempt] {
        let count = problems.count * samples
        return try await withThrowingTaskGroup(of: (Int, TaskAttempt).self) { group in
            var attempts = [TaskAttempt?](repeating: nil, count: count)
            var next = 0
            func start() {
                let index = next
                let problem = problems[index / samples]
                var options = options
                options.sampling.seed = selection.seed &+ UInt64(index)
                let request = request(problem.question, options)
                next += 1
                group.addTask { (index, try await Self.attempt(problem, request, model, log, way)) }
            }
            while next < min(batch, count) { start() }
            while let (index, attempt) = try await group.next() {
                attempts[index] = attempt
                if next < count { start() }
            }
            return attempts.compactMap(\.self)
        }
    }

    private static func attempt(
        _ problem: TaskProblem, _ request: ModelRequest, _ model: LanguageModel, _ log: LineFile?, _ way: String
    ) async throws -> TaskAttempt {
        var (thought, text) = ("", "")
        var (tokens, isFinished) = (0, false)
        for try await event in try model.respond(to: request) {
            switch event {
            case .thinking(let piece): thought += piece
            case .text(let piece): text += piece
            case .finish(let reason, let usage):
                tokens = usage.answerTokens
                isFinished = reason == .stop
            default: break
            }
        }
        let reading = problem.expected.read(text)
        try log?.write([
            "way": .string(way), "task": .string(problem.task), "level": .int(problem.level),
            "language": .string(problem.language.rawValue), "question": .string(problem.question),
            "thinking": .string(thought), "answer": .string(text), "expected": .string(problem.answer),
            "right": .bool(reading.isRight), "tokens": .int(tokens), "finished": .bool(isFinished),
        ])
        return TaskAttempt(value: reading.value, isRight: reading.isRight, tokens: tokens, isFinished: isFinished)
    }

    private func chart(_ runs: [TaskRun], _ model: String) -> Chart {
        var series: [Chart.Series] = []
        for run in runs {
            for task in run.tasks {
                let points = run.scores.filter { $0.task == task }.map {
                    Chart.Point(Double($0.level), 100 * $0.score.pass(at: 1))
                }
                series.append(Chart.Series(runs.count > 1 ? "\(task), \(run.name)" : task, points))
            }
        }
        return Chart(title: "\(model): right at once", xLabel: "level", yLabel: "pass@1, %", series: series)
    }
}

/// Which problems.
struct TaskSelection: ParsableArguments {
    @Option(name: .customLong("task"), help: "A task; may be given several times. By default all.") var names:
        [String] = []
    @Option(help: "Levels, as in 3 or 1-3; by default all that a task has.") var level: String?
    @Option(help: "en, id or both.") var language: Language = .en
    @Option(help: "Problems are the same for the same seed.") var seed: UInt64 = 1

    enum Language: String, ExpressibleByArgument, CaseIterable { case en, id, both }

    struct Case {
        var task: any ReasoningTask
        var level: Int
        var languages: [TaskLanguage]
    }

    func validate() throws { _ = try cases() }

    func cases() throws -> [Case] {
        let tasks = try names.map { name in
            guard let task = ReasoningTasks.named(name) else {
                let known = ReasoningTasks.all.map(\.name).joined(separator: ", ")
                throw ValidationError("--task: expected one of \(known), found \(name)")
            }
            return task
        }
        let wanted = try levels()
        let languages: [TaskLanguage] =
            switch language {
            case .en: [.english]
            case .id: [.indonesian]
            case .both: TaskLanguage.allCases
            }
        let cases = (tasks.isEmpty ? ReasoningTasks.all : tasks).flatMap { task in
            task.levels.filter { wanted?.contains($0) ?? true }.map {
                Case(task: task, level: $0, languages: languages)
            }
        }
        if cases.isEmpty { throw ValidationError("--level: no task has level \(level ?? "")") }
        return cases
    }

    private func levels() throws -> ClosedRange<Int>? {
        guard let level else { return nil }
        let parts = level.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        if let first = parts.first, let low = first, let last = parts.last, let high = last, parts.count <= 2,
            1 <= low, low <= high
        {
            return low...high
        }
        throw ValidationError("--level: expected a number or two with - between, found \(level)")
    }
}

extension TaskSplit: ExpressibleByArgument {}

/// The scores of a model, asked in one way.
struct TaskRun {
    var name: String
    var samples: Int
    var scores: [(task: String, level: Int, score: TaskScore)] = []

    /// In their order.
    var tasks: [String] {
        var names: [String] = []
        for (task, _, _) in scores where names.last != task { names.append(task) }
        return names
    }

    private func total(_ task: String?) -> TaskScore {
        scores.filter { task == nil || $0.task == task }.reduce(TaskScore()) { $0 + $1.score }
    }

    private func cells(_ task: String, _ level: String, _ score: TaskScore) -> [String] {
        func percent(_ value: Double) -> String { String(format: "%.1f%%", 100 * value) }
        let interval = score.interval
        var cells = [
            task, level, "\(score.problems.count)", percent(score.pass(at: 1)),
            "\(percent(interval.lowerBound)) to \(percent(interval.upperBound))",
        ]
        if samples > 1 { cells += [percent(score.pass(at: samples)), percent(score.majority(at: samples))] }
        return cells + [percent(score.finished), String(format: "%.0f", score.meanTokens)]
    }

    var table: [[String]] {
        var header = ["TASK", "LEVEL", "PROBLEMS", "PASS@1", "95% INTERVAL"]
        if samples > 1 { header += ["PASS@\(samples)", "MAJORITY@\(samples)"] }
        var rows = [header + ["ENDED", "TOKENS"]]
        for task in tasks {
            let own = scores.filter { $0.task == task }
            for (_, level, score) in own { rows.append(cells(task, "\(level)", score)) }
            if own.count > 1 { rows.append(cells(task, "all", total(task))) }
        }
        if tasks.count > 1 { rows.append(cells("all", "all", total(nil))) }
        return rows
    }

    func json(model: String) -> JSONValue {
        func object(_ task: String?, _ level: Int?, _ score: TaskScore) -> JSONValue {
            let interval = score.interval
            var object = JSONObject([
                ("task", task.map { .string($0) } ?? .null), ("level", level.map { .int($0) } ?? .null),
                ("problems", .int(score.problems.count)), ("pass_at_1", .double(score.pass(at: 1))),
                ("low", .double(interval.lowerBound)), ("high", .double(interval.upperBound)),
                ("ended", .double(score.finished)), ("tokens", .double(score.meanTokens)),
            ])
            if samples > 1 {
                // How much more samples give, by powers of two.
                var k = 2
                var pass: [JSONValue] = []
                var majority: [JSONValue] = []
                while k <= samples {
                    pass.append(["k": .int(k), "rate": .double(score.pass(at: k))])
                    majority.append(["k": .int(k), "rate": .double(score.majority(at: k))])
                    k = k == samples ? samples + 1 : min(2 * k, samples)
                }
                object["pass_at_k"] = .array(pass)
                object["majority_at_k"] = .array(majority)
            }
            return .object(object)
        }
        let levels = scores.map { object($0.task, $0.level, $0.score) }
        let whole = tasks.map { object($0, nil, total($0)) } + [object(nil, nil, total(nil))]
        return [
            "model": .string(model), "way": .string(name), "samples": .int(samples), "levels": .array(levels),
            "tasks": .array(whole),
        ]
    }
}

/// A file of JSON lines that several tasks write to.
final class LineFile: @unchecked Sendable {
    // Unchecked: the handle is used under the lock alone.
    private let handle: FileHandle
    private let lock = NSLock()

    init(_ path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let handle = FileHandle(forWritingAtPath: path)
        else { throw PlanError.file(path: path, reason: "it cannot be written: \(String(cString: strerror(errno)))") }
        self.handle = handle
    }

    func write(_ line: JSONValue) throws {
        try lock.withLock { try handle.write(contentsOf: Data((line.text() + "\n").utf8)) }
    }
}
