import ArgumentParser
import Foundation
import Walet
import WaletAudit

/// `walet audit`: is the log what was written, and how does somebody else know?
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Verifies, proves, signs and shows the audit log of 'walet serve'.",
        discussion: """
            The log is in --folder, else in WALET_AUDIT, else in walet/audit under XDG_DATA_HOME or ~/.local/share. All of \
            this may run beside the server. docs/audit.md says what a log proves, and what it cannot.
            """,
        subcommands: [
            AuditVerifyCommand.self, AuditProveCommand.self, AuditCheckpointCommand.self, AuditShowCommand.self,
        ])
}

/// Which log.
struct AuditFolderArguments: ParsableArguments {
    @Option(help: "The log's folder.") var folder: String?

    var path: String { folder ?? AuditLog.defaultFolder }
}

/// Files and keys that are named on the command line.
enum AuditInput {
    private static let limit = 64 << 20

    static func file(_ path: String) throws -> [UInt8] {
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw AuditError.file(path: path, operation: "open the file", reason: String(cString: strerror(errno)))
        }
        defer { try? handle.close() }
        let data: Data
        do {
            data = try handle.read(upToCount: limit + 1) ?? Data()
        } catch {
            throw AuditError.file(path: path, operation: "read it", reason: error.localizedDescription)
        }
        guard data.count <= limit else {
            throw AuditError.file(path: path, operation: "read it", reason: "it has more than \(limit) bytes")
        }
        return Array(data)
    }

    /// A public key, or the file that holds it.
    static func key(_ text: String) throws -> NoteVerifierKey {
        guard !text.contains("+"), FileManager.default.fileExists(atPath: text) else {
            return try NoteVerifierKey(text, source: "--key")
        }
        return try NoteVerifierKey(String(decoding: try file(text), as: UTF8.self), source: text)
    }

    static func checkpoint(_ path: String) throws -> SignedCheckpoint {
        var bytes = try file(path)
        // As it stands in the log's own file, with the empty line that follows.
        while bytes.suffix(2).elementsEqual([0x0A, 0x0A]) { bytes.removeLast() }
        return try SignedCheckpoint(parsing: bytes, source: path)
    }
}

/// `walet audit verify`: the whole log, or a proof.
struct AuditVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Recomputes the log and compares it with every checkpoint; or checks a proof.",
        discussion: """
            Give --key and --checkpoint from where you keep them, not from the log's folder: whoever can change the log can \
            change what lies beside it. With --proof, the log itself is not needed. Exit code 1 where something is wrong.
            """)

    @OptionGroup var log: AuditFolderArguments
    @Option(help: "The log's public key, or a file with it; by default key.pub of the folder.") var key: String?
    @Option(help: "A file with a checkpoint that was kept elsewhere; may be given several times.")
    var checkpoint: [String] = []
    @Option(help: "A file that 'walet audit prove' printed; needs --key.") var proof: String?
    @Option(help: "With --proof: a file with the prompt that the entry is about.") var prompt: String?
    @Option(help: "With --proof: a file with the answer.") var answer: String?
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
        if proof != nil, key == nil { throw ValidationError("--proof needs --key: a proof says nothing by itself") }
        if proof == nil, prompt != nil || answer != nil {
            throw ValidationError("--prompt and --answer are compared with an entry that --proof proves")
        }
    }

    func run() async throws {
        let key = try key.map(AuditInput.key)
        let checkpoints = try checkpoint.map(AuditInput.checkpoint)
        if let proof, let key {
            try AuditProofCheck(
                file: proof, key: key, checkpoints: checkpoints, prompt: prompt, answer: answer, json: json
            ).run()
            return
        }
        let report = try AuditVerifier.verify(folder: log.path, key: key, checkpoints: checkpoints)
        if json {
            Terminal.output(report.json.text() + "\n")
        } else {
            Terminal.output(Terminal.table(report.rows) + "\n")
        }
        if let problem = report.problem {
            Terminal.log("walet: \(problem)")
            throw ExitCode(1)
        }
    }
}

extension AuditReport {
    fileprivate var json: JSONValue {
        [
            "folder": .string(folder), "intact": .bool(isIntact), "entries": .int(entries),
            "root": root.map { .string($0.base64) } ?? .null,
            "segments": .int(segments), "bytes": .int(bytes), "first_time": firstTime.map { .string($0) } ?? .null,
            "last_time": lastTime.map { .string($0) } ?? .null, "checkpoints": .int(checkpoints),
            "signed_entries": .int(signedEntries), "confirmed": .array(confirmed.map { .int($0) }),
            "key": .string("\(key)"), "key_given": .bool(keyWasGiven),
            "problem": problem.map { .string("\($0)") } ?? .null,
            "first_wrong_entry": firstWrongEntry.map { .int($0) } ?? .null,
            "notes": .array(notes.map { .string($0) }),
        ]
    }

    fileprivate var rows: [[String]] {
        var rows = [
            ["log", folder],
            ["result", isIntact ? "intact" : "NOT INTACT"],
            ["entries", "\(entries)" + (firstTime.map { ", \($0) to \(lastTime ?? $0)" } ?? "")],
            ["segments", "\(segments), \(Terminal.bytes(bytes))"],
            ["checkpoints", "\(checkpoints), covering \(signedEntries) entries"],
            ["key", "\(key)"],
        ]
        if let root { rows.append(["root", root.base64]) }
        for size in confirmed { rows.append(["kept elsewhere", "the log extends the checkpoint of \(size) entries"]) }
        if let firstWrongEntry { rows.append(["first wrong", "entry \(firstWrongEntry)"]) }
        for note in notes { rows.append(["note", note]) }
        return rows
    }
}

/// A proof, checked without the log.
private struct AuditProofCheck {
    let file: String
    let key: NoteVerifierKey
    let checkpoints: [SignedCheckpoint]
    let prompt: String?
    let answer: String?
    let json: Bool

    func run() throws {
        let bytes = try AuditInput.file(file)
        if bytes.starts(with: Array("old ".utf8)) {
            guard checkpoints.count == 1, let old = checkpoints.first, prompt == nil, answer == nil else {
                throw ValidationError(
                    "this proof is about an older checkpoint: give that, and only that, with --checkpoint")
            }
            let proof = try ExtensionProof(parsing: bytes)
            try proof.check(by: key, old: old)
            tell(
                [
                    "holds": true, "old_size": .int(old.size), "size": .int(proof.checkpoint.size),
                    "root": .string(proof.checkpoint.root.base64),
                ],
                "the log of \(proof.checkpoint.size) entries extends the one of \(old.size)")
            return
        }
        let proof = try EntryProof(parsing: bytes)
        let record = try proof.check(by: key)
        var same: [JSONValue] = []
        for (name, path) in [("prompt", prompt), ("answer", answer)] {
            guard let path else { continue }
            try proof.check(name, is: AuditInput.file(path))
            same.append(.string(name))
        }
        for old in checkpoints where old != proof.checkpoint {
            throw ValidationError(
                "the checkpoint of \(old.size) entries is not the one in the proof; 'walet audit prove --from' relates the two"
            )
        }
        let texts = same.isEmpty ? "" : "; the texts are those that were logged"
        tell(
            [
                "holds": true, "index": .int(record.index), "size": .int(proof.checkpoint.size),
                "origin": .string(proof.checkpoint.origin), "same_texts": .array(same), "entry": record.value,
            ],
            "entry \(record.index) is in the log of \(proof.checkpoint.size) entries of \(proof.checkpoint.origin)\(texts)\n"
                + record.value.text(.pretty))
    }

    private func tell(_ object: JSONValue, _ text: String) { Terminal.output((json ? object.text() : text) + "\n") }
}

/// `walet audit prove`: evidence for somebody who has the public key and nothing else.
struct AuditProveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prove",
        abstract: "Prints a proof that an entry is in the log, or that the log extends a checkpoint.",
        discussion: """
            The proof of an entry contains the entry. It has the form of c2sp.org/tlog-proof, the one of an extension that of \
            c2sp.org/tlog-witness. 'walet audit verify --proof' checks both.
            """)

    @Argument(help: "The entry's index, as 'walet audit show' prints it.") var index: Int?
    @OptionGroup var log: AuditFolderArguments
    @Option(help: "A file with an older checkpoint: prove that the log begins with what it covers.") var from: String?
    @Flag(help: "Add the salt of the prompt, so that a text can be compared with it.") var disclosePrompt = false
    @Flag(help: "Add the salt of the answer.") var discloseAnswer = false
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
        guard (index == nil) != (from == nil) else { throw ValidationError("give either an entry's index or --from") }
        if from != nil, disclosePrompt || discloseAnswer {
            throw ValidationError("only entries have texts to disclose")
        }
    }

    func run() async throws {
        let reader = try AuditReader(folder: log.path)
        if let from {
            let old = try AuditInput.checkpoint(from)
            let proof = try reader.prove(extensionOf: old)
            tell(
                "\(proof)",
                [
                    "old_size": .int(old.size), "size": .int(proof.checkpoint.size),
                    "hashes": .array(proof.consistency.hashes.map { .string($0.base64) }),
                    "checkpoint": .string("\(proof.checkpoint)"), "proof": .string("\(proof)"),
                ])
        } else if let index {
            let proof = try reader.prove(index, disclosesPrompt: disclosePrompt, disclosesAnswer: discloseAnswer)
            let record = try reader.record(at: index)
            tell(
                "\(proof)",
                [
                    "index": .int(index), "size": .int(proof.checkpoint.size), "leaf": .string(record.leafHash.base64),
                    "hashes": .array(proof.inclusion.hashes.map { .string($0.base64) }), "entry": record.value,
                    "checkpoint": .string("\(proof.checkpoint)"), "proof": .string("\(proof)"),
                ])
        }
    }

    private func tell(_ text: String, _ object: JSONValue) { Terminal.output(json ? object.text() + "\n" : text) }
}

/// `walet audit checkpoint`: what to keep elsewhere.
struct AuditCheckpointCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint",
        abstract: "Prints the last checkpoint, to be kept elsewhere, or the log's public key.",
        discussion: "The server signs a checkpoint every so often and when it stops; --sign does while none runs.")

    @OptionGroup var log: AuditFolderArguments
    @Flag(help: "Print the public key.") var publicKey = false
    @Flag(help: "Print all checkpoints.") var all = false
    @Flag(help: "Sign what is there now; only while no server runs.") var sign = false
    @Option(help: "With --sign: the file of the secret key; by default 'key' in the folder.") var keyFile: String?
    @Flag(help: "One JSON object; with --all one a line.") var json = false

    func validate() throws {
        guard [publicKey, all, sign].count(where: { $0 }) <= 1 else {
            throw ValidationError("--public-key, --all and --sign exclude each other")
        }
        if keyFile != nil, !sign { throw ValidationError("--key-file goes with --sign") }
    }

    func run() async throws {
        let reader = try AuditReader(folder: log.path)
        if publicKey {
            let key = try reader.verifierKey()
            let object: JSONValue = ["origin": .string(key.name), "key": .string("\(key)")]
            Terminal.output(json ? object.text() + "\n" : "\(key)\n")
        } else if all {
            var count = 0
            try reader.forEachCheckpoint { note in
                let separator = count > 0 ? "\n" : ""
                Terminal.output(json ? Self.object(note).text() + "\n" : "\(separator)\(note)")
                count += 1
            }
        } else {
            let checkpoint = sign ? try await signed() : try reader.lastCheckpoint()
            guard let checkpoint else { throw AuditError.notYetSigned(index: 0, covered: 0) }
            Terminal.output(json ? Self.object(checkpoint).text() + "\n" : "\(checkpoint)")
        }
    }

    private func signed() async throws -> SignedCheckpoint {
        var options = AuditOptions()
        options.keyFile = keyFile
        let open = try AuditLog.open(folder: log.path, options: options)
        if !open.recovery.isClean { Terminal.log("\(open.recovery)") }
        let checkpoint = try await open.checkpoint()
        try await open.close()
        return checkpoint
    }

    private static func object(_ checkpoint: SignedCheckpoint) -> JSONValue {
        [
            "origin": .string(checkpoint.origin), "size": .int(checkpoint.size),
            "root": .string(checkpoint.root.base64),
            "checkpoint": .string("\(checkpoint)"),
        ]
    }
}
