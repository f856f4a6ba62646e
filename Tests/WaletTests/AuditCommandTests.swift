import Foundation
import Testing
import Walet
import WaletAudit

/// `walet audit`: what goes where, with which exit code, and that an auditor needs no more than the key and a file.
@Suite struct AuditCommandTests {
    private let folder: String
    private let elsewhere: String

    init() async throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "walet-audit-command-\(UUID().uuidString)")
            .path
        (folder, elsewhere) = (root + "/audit", root + "/elsewhere")
        try FileManager.default.createDirectory(atPath: elsewhere, withIntermediateDirectories: true)
        var options = AuditOptions()
        options.origin = "walet.example/test"
        options.segmentBytes = 4096
        options.checkpointEntries = 5
        let log = try AuditLog.open(folder: folder, options: options)
        try await log.append(.server(.start(version: "1.0")))
        for number in 0..<10 {
            var (prompt, answer) = (log.recorder(), log.recorder())
            prompt.add("prompt \(number)")
            answer.add("answer \(number)")
            try await log.append(
                .request(
                    AuditRequest(
                        id: "req_\(number)", key: "k_\(number % 2)", tenant: "hr", model: "kimi-k2",
                        endpoint: "/v1/chat/completions", status: 200, outcome: "stop", promptTokens: 10,
                        answerTokens: 3, prompt: prompt.finish(), answer: answer.finish())))
        }
        try await log.append(.key(AuditKeyAction(.revoke, key: "k_0", by: "cli:ada")))
        try await log.close()
    }

    private func walet(_ arguments: String...) async throws -> ToolRun {
        try await ToolRun(["audit"] + arguments, environment: ["WALET_AUDIT": folder])
    }

    /// Puts text into a file that is not the log's.
    private func keep(_ name: String, _ text: String) throws -> String {
        let path = elsewhere + "/" + name
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }

    @Test func anIntactLogIsSaidToBe() async throws {
        let key = try await walet("checkpoint", "--public-key")
        #expect(key.code == 0 && key.output.hasPrefix("walet.example/test+"))
        let note = try keep("note", try await walet("checkpoint").output)
        let plain = try await walet("verify", "--key", try keep("key", key.output), "--checkpoint", note)
        #expect(plain.code == 0 && plain.errors.isEmpty)
        #expect(
            plain.output.contains("intact") && plain.output.contains("the log extends the checkpoint of 13 entries"))
        let json = try #require(try await walet("verify", "--key", key.output, "--checkpoint", note, "--json").json)
        #expect(json["intact"] == true && json["entries"] == 13 && json["confirmed"] == [13])
        #expect(json["problem"] == nil || json["problem"]?.isNull == true)
        #expect(json["key_given"] == true && json["signed_entries"] == 13 && json["notes"] == [])
        let byItself = try #require(try await walet("verify", "--json").json)
        #expect(byItself["key_given"] == false && byItself["notes"]?.arrayValue?.count == 1)
    }

    @Test func aChangedLogIsOneClearLineAndExitCodeOne() async throws {
        let note = try keep("note", try await walet("checkpoint").output)
        let name = folder + "/000000000000.jsonl"
        let text = try String(contentsOfFile: name, encoding: .utf8)
        try Data(text.replacingOccurrences(of: "\"req_2\"", with: "\"req_X\"").utf8).write(to: URL(filePath: name))
        for arguments in [["verify"], ["verify", "--json"], ["verify", "--checkpoint", note]] {
            let outcome =
                switch arguments.count {
                case 1: try await walet(arguments[0])
                case 2: try await walet(arguments[0], arguments[1])
                default: try await walet(arguments[0], arguments[1], arguments[2])
                }
            #expect(outcome.code == 1)
            #expect(
                outcome.errors
                    == "walet: entry 4 (in 000000000000.jsonl) is not what was logged: its hash differs\n")
            if let json = outcome.json { #expect(json["intact"] == false && json["first_wrong_entry"] == 4) }
        }
        let proof = try await walet("prove", "4")
        #expect(proof.code == 1 && proof.output.isEmpty && proof.errors.split(separator: "\n").count == 1)
    }

    @Test func aProofIsCheckedFarFromTheLog() async throws {
        let key = try await walet("checkpoint", "--public-key").output
        let proof = try keep("5.tlog-proof", try await walet("prove", "5", "--disclose-prompt").output)
        try FileManager.default.removeItem(atPath: folder)
        let (right, wrong) = (try keep("right", "prompt 3"), try keep("wrong", "prompt 4"))
        let plain = try await walet("verify", "--proof", proof, "--key", key)
        #expect(
            plain.code == 0 && plain.output.hasPrefix("entry 5 is in the log of 13 entries of walet.example/test\n"))
        let text = try await walet("verify", "--proof", proof, "--key", key, "--prompt", right, "--json")
        #expect(text.code == 0 && text.json?["holds"] == true && text.json?["same_texts"] == ["prompt"])
        #expect(text.json?["entry"]?["request"] == "req_3")
        let other = try await walet("verify", "--proof", proof, "--key", key, "--prompt", wrong)
        #expect(other.code == 1 && other.errors == "walet: this is not the prompt whose hash was logged\n")
        let closed = try await walet("verify", "--proof", proof, "--key", key, "--answer", right)
        #expect(closed.code == 1 && closed.errors.contains("does not disclose the salt of the answer"))
        let forged = try keep(
            "forged",
            try String(contentsOfFile: proof, encoding: .utf8).replacingOccurrences(of: "index 5", with: "index 6"))
        #expect(try await walet("verify", "--proof", forged, "--key", key).code == 1)
    }

    @Test func anExtensionIsProvedAgainstAnOlderCheckpoint() async throws {
        let all = try await walet("checkpoint", "--all")
        let notes = all.output.components(separatedBy: "\n\nwalet.example")
        #expect(notes.count == 3)
        let lines = try await walet("checkpoint", "--all", "--json").output.split(separator: "\n")
        #expect(lines.count == 3)
        let first = try JSONValue(parsing: String(lines[0]))
        #expect(first["size"] == 5)
        let old = try keep("old", try #require(first["checkpoint"]?.stringValue) + "\n")
        let proof = try await walet("prove", "--from", old)
        #expect(proof.code == 0 && proof.output.hasPrefix("old 5\n"))
        let file = try keep("extension", proof.output)
        let key = try await walet("checkpoint", "--public-key").output
        let checked = try await walet("verify", "--proof", file, "--key", key, "--checkpoint", old)
        #expect(checked.code == 0 && checked.output == "the log of 13 entries extends the one of 5\n")
        #expect(try await walet("verify", "--proof", file, "--key", key).code == 2)
        let json = try await walet("prove", "--from", old, "--json")
        #expect(json.json?["old_size"] == 5 && json.json?["proof"] == .string(proof.output))
    }

    @Test func entriesAreShownAndChosen() async throws {
        let table = try await walet("show")
        #expect(table.output.split(separator: "\n").count == 14)
        #expect(table.output.contains("/v1/chat/completions kimi-k2 200 stop 10+3 tokens req_9"))
        let json = try await walet("show", "--key", "k_1", "--limit", "2", "--json")
        let entries = try json.output.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        #expect(entries.map { $0["request"] } == ["req_7", "req_9"])
        #expect(try await walet("show", "--from", "3", "--limit", "2").output.split(separator: "\n").count == 3)
        #expect(try await walet("show", "5", "--json").json?["request"] == "req_3")
        #expect(try await walet("show", "--kind", "key").output.contains("revoke k_0"))
        let none = try await walet("show", "--request", "nobody")
        #expect(none.code == 0 && none.output.isEmpty && none.errors.hasPrefix("No entry of "))
        let missing = try await walet("show", "99")
        #expect(missing.code == 1 && missing.errors == "walet: there is no entry 99: the log holds entries 0 to 12\n")
    }

    @Test func whileNoServerRunsACheckpointIsSigned() async throws {
        let log = try AuditLog.open(folder: folder)
        try await log.append(.server(.stop(reason: "test")))
        let refused = try await walet("checkpoint", "--sign")
        #expect(refused.code == 1 && refused.errors.contains("is being written by another process"))
        try await log.close()
        let signed = try await walet("checkpoint", "--sign", "--json")
        #expect(signed.code == 0 && signed.json?["size"] == 14)
    }

    @Test func wrongUseIsExitCodeTwoAndNoLogIsOne() async throws {
        #expect(try await walet("prove").code == 2)
        #expect(try await walet("prove", "1", "--from", "x").code == 2)
        #expect(try await walet("verify", "--proof", "x").code == 2)
        #expect(try await walet("show", "--kind", "x").code == 2)
        #expect(try await walet("show", "--limit", "0").code == 2)
        #expect(try await walet("checkpoint", "--all", "--sign").code == 2)
        for command in ["verify", "show", "checkpoint"] {
            let outcome = try await walet(command, "--folder", elsewhere)
            #expect(outcome.code == 1 && outcome.errors == "walet: there is no audit log in \(elsewhere)\n")
        }
        let missing = try await walet("verify", "--checkpoint", elsewhere + "/none")
        #expect(missing.code == 1 && missing.errors.contains("cannot open the file: No such file"))
        let key = try await walet("verify", "--key", "nonsense")
        #expect(key.code == 1 && key.errors.contains("--key is not a key of an audit log"))
    }
}
