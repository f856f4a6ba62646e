import ArgumentParser
import Foundation
import WaletJSON
import WaletTasks

/// `walet train conversations`: what a model that knows the tasks is fine-tuned on.
struct TrainConversationsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conversations",
        abstract: "Draws conversations about the reasoning problems: a line of JSON each, for walet train data --chat.",
        discussion: """
            Problems as they are and as people ask them, several in a row, small talk, and questions outside the tasks, which the
            model says it cannot do; in English and Indonesian. What is held out for `walet eval` is never in them.
            """)

    @Option(help: "Conversations.") var count = 1000
    @Option(help: "The same seed gives the same conversations.") var seed: UInt64 = 1
    @Option(help: "Tasks, with levels and weights as in countdown:1-3=2,prices; by default all.") var tasks: String?
    @Option(
        help: ArgumentHelp(
            "How often each kind comes; kinds that are left out do not.", valueName: "kind=weight,…"))
    var kinds = "problem=8,wrapped=6,turns=2,small-talk=1,outside=3"
    @Option(help: "Hundredths whose answers come without thinking.") var direct = 30
    @Option(
        help: ArgumentHelp(
            "Hundredths of a task's problems with thinking that show its last line alone, as in countdown=60.",
            valueName: "task=percent,…"))
    var brief: String?
    @Option(help: "Hundredths in Indonesian.") var indonesian = 50
    @Option(help: "train, or held-out.") var split: TaskSplit = .train
    @Option(help: "What a line is: chat, or text, one member with all turns, thinking included.") var format: Format =
        .chat

    enum Format: String, ExpressibleByArgument, CaseIterable { case chat, text }

    func validate() throws {
        _ = try mix()
        for (name, value, range) in [
            ("--count", count, 1...100_000_000), ("--direct", direct, 0...100), ("--indonesian", indonesian, 0...100),
        ] where !range.contains(value) {
            throw ValidationError("\(name): expected \(range.lowerBound) to \(range.upperBound), found \(value)")
        }
    }

    private func mix() throws -> ConversationMix {
        var mix = ConversationMix()
        mix.percentWithoutThinking = direct
        mix.percentIndonesian = indonesian
        if let tasks {
            do throws(ProblemChoice.Malformed) { mix.problems = try ProblemChoice.list(parsing: tasks) } catch {
                throw ValidationError("--tasks: \(error)")
            }
        }
        for item in brief?.split(separator: ",", omittingEmptySubsequences: false) ?? [] {
            let parts = item.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, let task = ReasoningTasks.named(String(parts[0])), let percent = Int(parts[1]),
                (1...100).contains(percent), mix.percentBrief[task.name] == nil
            else { throw ValidationError("--brief: expected tasks, each once, as in countdown=60, found \(item)") }
            mix.percentBrief[task.name] = percent
        }
        mix.kinds = [:]
        for item in kinds.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, let kind = ConversationKind(rawValue: String(parts[0])),
                let weight = Int(parts[1]), (1...1_000_000).contains(weight), mix.kinds[kind] == nil
            else {
                let known = ConversationKind.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("--kinds: expected one of \(known), each once, as in problem=8, found \(item)")
            }
            mix.kinds[kind] = weight
        }
        return mix
    }

    func run() async throws {
        let mix = try mix()
        var random = TaskRandom(seed: seed)
        var lines = ""
        for _ in 0..<count {
            lines += line(mix.conversation(split, &random)).text() + "\n"
            if lines.utf8.count > 1 << 16 {
                Terminal.output(lines)
                lines = ""
            }
        }
        Terminal.output(lines)
    }

    private func line(_ conversation: TaskConversation) -> JSONValue {
        guard format == .chat else {
            let parts = conversation.turns.flatMap { [$0.thinking, $0.content].compactMap(\.self) }
            return ["text": .string(parts.joined(separator: "\n"))]
        }
        let messages = conversation.turns.map { turn -> JSONValue in
            var message = JSONObject([("role", .string(turn.role.rawValue))])
            message["reasoning_content"] = turn.thinking.map { .string($0) }
            message["content"] = .string(turn.content)
            return .object(message)
        }
        var object = JSONObject([("messages", .array(messages))])
        if !conversation.thinks { object["thinking"] = false }
        return .object(object)
    }
}
