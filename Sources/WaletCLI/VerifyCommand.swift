import ArgumentParser
import Foundation
import Walet
import WaletProvenance

/// `walet verify`: is it still what was pulled, or what somebody signed?
struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compares a model's files with the hashes of its pull, or with a signature (OpenSSF model signing).",
        discussion: """
            With --public-key or --certificates the signature is checked first, then every file against what it vouches
            for; no network is needed. Without them the hashes are those that the pull wrote.
            Exit code 1 where a file is missing or differs, where there is nothing to compare with, or where the signature
            does not hold.
            """)

    @Argument(help: "A name that `walet list` shows, or the path of a model.") var name: String
    @Option(help: ArgumentHelp("The signature; by default model.sig in the model's folder.", valueName: "file"))
    var signature: String?
    @Option(help: ArgumentHelp("The signer's public key, PEM, of P-256, P-384 or P-521.", valueName: "file"))
    var publicKey: String?
    @Option(
        help: ArgumentHelp(
            "Trusted certificates, PEM, with a self-signed root; may be given several times.", valueName: "file"))
    var certificates: [String] = []
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
        if publicKey != nil, !certificates.isEmpty {
            throw ValidationError("--public-key and --certificates exclude each other")
        }
        if signature != nil, publicKey == nil, certificates.isEmpty {
            throw ValidationError("--signature: expected --public-key or --certificates besides, found neither")
        }
    }

    func run() async throws {
        if publicKey != nil || !certificates.isEmpty {
            try await checkSignature()
        } else {
            try await checkPull()
        }
    }

    private func checkSignature() async throws {
        let model = try folder()
        let verifier =
            try publicKey.map { try SignatureVerifier(publicKey: $0) } ?? SignatureVerifier(certificates: certificates)
        let bundle = try SignatureBundle(file: signature ?? model + "/model.sig")
        let total = try FolderFiles(model, ignoring: { $0.hasPrefix(".git") }).entries.reduce(0) { $0 + $1.bytes }
        let result = try await Interrupt.cancelling {
            let progress = ByteProgress("hashing", total: total)
            defer { progress.end() }
            return try await SignedModel.check(model, signature: bundle, by: verifier, progress: progress.advance)
        }
        if json {
            let files = result.items.map { item -> JSONValue in
                ["path": .string(item.name), "outcome": .string(Self.words(item.outcome))]
            }
            let object: JSONValue = [
                "name": .string(name), "signed": true, "intact": .bool(result.isIntact),
                "signed_name": .string(result.manifest.modelName), "files": .array(files),
            ]
            Terminal.output(object.text() + "\n")
        } else {
            Terminal.output(Terminal.table(result.items.map { [$0.name, Self.words($0.outcome)] }) + "\n")
        }
        guard result.isIntact else {
            Terminal.log("walet: \(name) is not what was signed")
            throw ExitCode(1)
        }
        if !json { Terminal.log("the signature holds for all \(result.items.count) of \(name)") }
    }

    /// The folder of a stored model, else the path itself.
    private func folder() throws -> String {
        if let stored = try ModelStore().model(named: name) { return stored.folder.path }
        guard FileManager.default.fileExists(atPath: name) else {
            throw ProvenanceError.file(path: name, reason: "no stored model of this name and no file or folder")
        }
        return name
    }

    private func checkPull() async throws {
        var (store, name) = (ModelStore(), name)
        // A folder elsewhere has its manifest with it.
        if try store.model(named: name) == nil, FileManager.default.fileExists(atPath: name) {
            let url = URL(filePath: name).standardizedFileURL
            (store, name) = (ModelStore(root: url.deletingLastPathComponent()), url.lastPathComponent)
        }
        let result = try await Interrupt.cancelling { [store, name] in try await store.verify(name) }
        if json {
            let files = result.files.map { file -> JSONValue in
                [
                    "path": .string(file.path), "outcome": .string(Self.words(file.outcome)),
                    "sha256": file.sha256.map { .string($0) } ?? .null,
                ]
            }
            let object: JSONValue = [
                "name": .string(result.name), "intact": .bool(result.isIntact),
                "revision": result.manifest.map { .string($0.commit) } ?? .null, "files": .array(files),
            ]
            Terminal.output(object.text() + "\n")
        } else {
            let rows = result.files.map { [$0.path, Self.words($0.outcome), $0.sha256 ?? ""] }
            Terminal.output(Terminal.table(rows) + "\n")
        }
        if result.manifest == nil {
            Terminal.log("walet: \(name) was not pulled, so that there is nothing to compare these hashes with")
            throw ExitCode(1)
        }
        if !result.isIntact {
            Terminal.log("walet: \(name) is not what was pulled; 'walet pull' fetches what is missing or differs")
            throw ExitCode(1)
        }
    }

    private static func words(_ outcome: SignedModel.Outcome) -> String {
        switch outcome {
        case .ok: "ok"
        case .missing: "missing"
        case .differs(let expected, let found): "SHA-256 differs: expected \(expected), found \(found)"
        case .unsigned: "not part of what was signed"
        }
    }

    private static func words(_ outcome: Verification.Outcome) -> String {
        switch outcome {
        case .ok: "ok"
        case .missing: "missing"
        case .sizeDiffers(let expected, let found): "size differs: expected \(expected) bytes, found \(found)"
        case .hashDiffers(let expected, let found): "SHA-256 differs: expected \(expected), found \(found)"
        case .notAFile: "not a file"
        case .extra: "not part of the pull"
        case .unknown: "nothing to compare with"
        }
    }
}
