import ArgumentParser
import Foundation
import Walet
import WaletAudit

/// `walet audit show`: what happened.
struct AuditShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Shows an entry, the last entries, or those that match.",
        discussion: "Shows what is there and verifies nothing: see 'walet audit verify'.")

    @Argument(help: "The index of one entry, to be shown in full.") var index: Int?
    @OptionGroup var log: AuditFolderArguments
    @Option(help: "Begin with this entry; by default the last ones are shown.") var from: Int?
    @Option(help: "How many entries at most.") var limit = 20
    @Option(help: "Only this kind: request, key, configuration, server or log.") var kind: String?
    @Option(help: "Only the request with this id.") var request: String?
    @Option(help: "Only what this key did, or was done to it.") var key: String?
    @Option(help: "Only this tenant.") var tenant: String?
    @Flag(help: "Entries as they stand in the log, one JSON object a line.") var json = false

    func validate() throws {
        guard (1...1_000_000).contains(limit) else {
            throw ValidationError("--limit: expected a number from 1 to 1000000, found \(limit)")
        }
        if let from, from < 0 { throw ValidationError("--from: expected a number from 0, found \(from)") }
        let kinds = ["request", "key", "configuration", "server", "log"]
        if let kind, !kinds.contains(kind) {
            throw ValidationError("--kind: expected one of \(kinds.joined(separator: ", ")), found '\(kind)'")
        }
        if index != nil, from != nil || kind != nil || request != nil || key != nil || tenant != nil {
            throw ValidationError("an index names one entry; the other options choose among all")
        }
    }

    func run() async throws {
        let reader = try AuditReader(folder: log.path)
        if let index {
            let record = try reader.record(at: index)
            Terminal.output(record.value.text(json ? .compact : .pretty) + "\n")
            return
        }
        let filters = [("kind", kind), ("request", request), ("key", key), ("tenant", tenant)].compactMap {
            name, value in
            value.map { (name, JSONValue.string($0)) }
        }
        // Without a filter the last entries are those at the end.
        let start = from ?? (filters.isEmpty ? max(0, reader.entries - limit) : 0)
        var records = try reader.records(from: start)
        var shown: [AuditRecord] = []
        while let record = try records.next() {
            guard filters.allSatisfy({ record.value[$0.0] == $0.1 }) else { continue }
            shown.append(record)
            if from != nil, shown.count == limit { break }
            // Dropped in large pieces, so that each is moved once.
            if shown.count >= 2 * limit { shown.removeFirst(shown.count - limit) }
        }
        let last = shown.suffix(limit)
        if json {
            for record in last { Terminal.output(String(decoding: record.line, as: UTF8.self) + "\n") }
        } else if last.isEmpty {
            Terminal.log("No entry of \(log.path) matches.")
        } else {
            let rows = [["index", "time", "kind", "what", "who"]] + last.map(Self.row)
            Terminal.output(Terminal.table(rows) + "\n")
        }
    }

    private static func row(_ record: AuditRecord) -> [String] {
        let value = record.value
        func text(_ name: String) -> String? { value[name]?.stringValue }
        func number(_ name: String) -> Int { value[name]?.intValue ?? 0 }
        var what: [String?]
        switch record.kind {
        case "request":
            what = [
                text("endpoint"), text("model"), "\(number("status"))", text("outcome"),
                "\(number("prompt_tokens"))+\(number("answer_tokens")) tokens", text("request"),
            ]
        case "key": what = [text("action"), text("key"), value["details"]?.text()]
        case "configuration": what = [text("setting"), value["from"]?.text(), "->", value["to"]?.text()]
        default: what = [text("event"), text("version"), text("reason"), value["details"]?.text()]
        }
        let who = record.kind == "request" ? [text("key"), text("tenant")] : [text("by"), text("tenant")]
        let joined = what.compactMap { $0 }.joined(separator: " ")
        return [
            "\(record.index)", record.time, record.kind, joined.count > 100 ? "\(joined.prefix(99))…" : joined,
            who.compactMap { $0 }.joined(separator: " "),
        ]
    }
}
