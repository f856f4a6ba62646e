import ArgumentParser
import Foundation
import Synchronization
import Walet

/// `walet list`: the models on this machine.
struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "The models on this machine.")

    @Flag(help: "One JSON object.") var json = false

    func run() async throws {
        let store = ModelStore()
        let models = try store.list()
        let embedded = EmbeddedModel.folder
        if json {
            var list = models.map { model -> JSONValue in
                [
                    "name": .string(model.name), "kind": .string(model.kind.rawValue), "bytes": .int(model.bytes),
                    "files": .int(model.fileCount), "path": .string(model.folder.path),
                    "repository": model.repository.map { .string($0) } ?? .null,
                    "revision": model.revision.map { .string($0) } ?? .null, "incomplete": .bool(model.isIncomplete),
                ]
            }
            if let embedded, !models.contains(where: { $0.name == EmbeddedModel.name }) {
                let files = try Self.files(embedded)
                list.append([
                    "name": .string(EmbeddedModel.name), "kind": "safetensors",
                    "bytes": .int(files.reduce(0, +)), "files": .int(files.count), "path": .string(embedded),
                    "repository": nil, "revision": nil, "incomplete": false,
                ])
            }
            let object: JSONValue = ["folder": .string(store.root.path), "models": .array(list)]
            Terminal.output(object.text() + "\n")
            return
        }
        if models.isEmpty { Terminal.log("No models in \(store.root.path). 'walet pull OWNER/NAME' fetches one.") }
        let day = Date.ISO8601FormatStyle().year().month().day()
        var rows = [["name", "kind", "size", "files", "date", "revision"]]
        for model in models {
            rows.append([
                model.name, model.kind.rawValue, Terminal.bytes(model.bytes), "\(model.fileCount)",
                model.date.formatted(day),
                (model.revision.map { String($0.prefix(12)) } ?? "-") + (model.isIncomplete ? " (incomplete)" : ""),
            ])
        }
        if let embedded, !models.contains(where: { $0.name == EmbeddedModel.name }) {
            let files = try Self.files(embedded)
            rows.append([
                EmbeddedModel.name, "safetensors", Terminal.bytes(files.reduce(0, +)), "\(files.count)", "-",
                "(comes with Walet)",
            ])
        }
        Terminal.output(Terminal.table(rows) + "\n")
    }

    /// Sizes of a folder's files.
    private static func files(_ folder: String) throws -> [Int] {
        try FileManager.default.contentsOfDirectory(
            at: URL(filePath: folder), includingPropertiesForKeys: [.fileSizeKey]
        ).map { try $0.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0 }
    }
}

/// `walet pull`: a model from a hub.
struct PullCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull", abstract: "Fetches a model from a Hugging Face hub or a mirror of one.",
        discussion: """
            The hub is HF_ENDPOINT, else https://huggingface.co; a token is read from HF_TOKEN. A pull that was cut short \
            goes on where it stopped, and every file is checked against the hash that the hub names.
            """)

    @Argument(help: "OWNER/NAME on the hub.") var repository: String
    @Option(help: "A branch, tag or commit.") var revision = "main"
    @Option(help: "Only files that match, such as '*Q4_K_M*'; may be given several times.") var include: [String] = []
    @Option(help: "No files that match; may be given several times.") var exclude: [String] = []
    @Option(help: "The name under which the model is stored; by default OWNER/NAME.") var name: String?
    @Option(help: "Files at a time.") var parallel = 4
    @Flag(help: "Refuse to open a connection, as WALET_OFFLINE=1 does.") var offline = false
    @Flag(help: "One JSON object at the end.") var json = false

    func validate() throws {
        guard (1...64).contains(parallel) else {
            throw ValidationError("--parallel: expected a number from 1 to 64, found \(parallel)")
        }
    }

    func run() async throws {
        let (repository, revision, include, exclude) = (repository, revision, include, exclude)
        let (name, parallel, offline) = (name, parallel, offline)
        let stored = try await Puller.pull(offline: offline) { hub, progress in
            try await hub.pull(
                repository, revision: revision, include: include, exclude: exclude, named: name, into: ModelStore(),
                maximumParallel: parallel, progress: progress)
        }
        if json {
            let object: JSONValue = [
                "name": .string(stored.name), "path": .string(stored.folder.path), "bytes": .int(stored.bytes),
                "files": .int(stored.fileCount), "revision": stored.revision.map { .string($0) } ?? .null,
            ]
            Terminal.output(object.text() + "\n")
        } else {
            Terminal.output("\(stored.name)\t\(Terminal.bytes(stored.bytes))\t\(stored.folder.path)\n")
        }
    }
}

/// Fetches a model, with bars on standard error, until it is here or Ctrl-C.
enum Puller {
    static func pull(
        offline: Bool = false,
        _ body: @escaping @Sendable (Hub, @escaping @Sendable (PullEvent) -> Void) async throws -> StoredModel
    ) async throws -> StoredModel {
        let hub = try Hub(offline: offline)
        let bars = Mutex(ProgressBars(width: width, isTerminal: Terminal.errorIsTerminal))
        let start = ContinuousClock.now
        return try await Interrupt.cancelling {
            try await body(hub) { event in
                let seconds = (ContinuousClock.now - start) / .seconds(1)
                if let text = bars.withLock({ $0.draw(event, at: seconds) }) { Terminal.progress(text) }
            }
        }
    }

    /// Fetches a model that is named as on a hub, `owner/name`, and is neither a path nor stored.
    static func pullIfNamed(_ model: String) async throws {
        let parts = model.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && !$0.hasPrefix(".") && !$0.hasPrefix("~") }),
            !FileManager.default.fileExists(atPath: model), try ModelStore().resolve(model) == nil
        else { return }
        _ = try await pull { hub, progress in try await hub.pull(model, into: ModelStore(), progress: progress) }
    }

    private static var width: Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }
}

/// `walet rm`: a model less.
struct RemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rm", abstract: "Deletes a stored model.")

    @Argument(help: "A name that `walet list` shows.") var name: String
    @Flag(help: "One JSON object.") var json = false

    func run() async throws {
        let freed = try ModelStore().remove(name)
        if json {
            let object: JSONValue = ["name": .string(name), "bytes": .int(freed)]
            Terminal.output(object.text() + "\n")
        } else {
            Terminal.log("removed \(name), \(Terminal.bytes(freed)) freed")
        }
    }
}
