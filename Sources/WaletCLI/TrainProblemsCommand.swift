import ArgumentParser
import Foundation
import WaletJSON
import WaletTasks

/// `walet train problems`: reasoning problems with worked solutions, as training data or to look at.
struct TrainProblemsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "problems",
        abstract: "Draws reasoning problems with worked solutions: a line of JSON each.",
        discussion: """
            The same seed gives the same problems. Of each task one problem in ten, by the hash of its key, is held out for
            `walet eval`, and --split train never has it. --format says what a line is: `problem` has the members task, level,
            language, key, question, thinking and answer; `text` one member text, for walet train data; `chat` messages, for
            walet train data --chat.
            """)

    @OptionGroup var selection: TaskSelection
    @Option(help: "Problems of each task and level; fewer where there are no more different ones.") var count = 10
    @Option(help: "train, or held-out for what `walet eval` asks.") var split: TaskSplit = .train
    @Option(help: "What a line is: problem, text or chat.") var format: Format = .problem
    @Flag(help: "Only list the tasks.") var list = false

    enum Format: String, ExpressibleByArgument, CaseIterable { case problem, text, chat }

    func validate() throws {
        guard (1...10_000_000).contains(count) else {
            throw ValidationError("--count: expected 1 to 10000000, found \(count)")
        }
    }

    func run() async throws {
        if list {
            let rows = ReasoningTasks.all.map {
                [$0.name, "\($0.levels.lowerBound)-\($0.levels.upperBound)", $0.summary]
            }
            Terminal.output(Terminal.table([["TASK", "LEVELS", "WHAT"]] + rows) + "\n")
            return
        }
        var random = TaskRandom(seed: selection.seed)
        for item in try selection.cases() {
            var known: Set<String> = []
            var lines = ""
            var drawn = 0
            while drawn < count {
                let language = item.languages[drawn % item.languages.count]
                guard
                    let problem = item.task.problem(
                        level: item.level, language, split, notOf: &known, &random)
                else { break }
                lines += line(problem).text() + "\n"
                drawn += 1
                if lines.utf8.count > 1 << 16 {
                    Terminal.output(lines)
                    lines = ""
                }
            }
            Terminal.output(lines)
            if drawn < count {
                Terminal.log(
                    "\(item.task.name), level \(item.level): \(drawn) different problems were found, not \(count)")
            }
        }
    }

    private func line(_ problem: TaskProblem) -> JSONValue {
        switch format {
        case .problem:
            [
                "task": .string(problem.task), "level": .int(problem.level),
                "language": .string(problem.language.rawValue), "key": .string(problem.key),
                "question": .string(problem.question), "thinking": .string(problem.thinking),
                "answer": .string(problem.answer),
            ]
        case .text: ["text": .string("\(problem.question)\n\(problem.thinking)\n\(problem.answer)")]
        case .chat:
            [
                "messages": [
                    ["role": "user", "content": .string(problem.question)],
                    [
                        "role": "assistant", "reasoning_content": .string(problem.thinking),
                        "content": .string(problem.answer),
                    ],
                ]
            ]
        }
    }
}
