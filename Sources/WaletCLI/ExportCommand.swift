import ArgumentParser
import Foundation
import Walet

/// `walet export`: a model in another program's format.
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Writes a model in the format of other programs.",
        subcommands: [ExportGGUFCommand.self])
}

/// `walet export gguf`: a folder of safetensors as one file for llama.cpp.
struct ExportGGUFCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gguf", abstract: "Writes a folder of safetensors as one GGUF file, which llama.cpp runs.",
        discussion: """
            INT4 in groups of 32 and more becomes Q4_0 with the same integers; other matrices stay BF16, F16 or F32, FP8 becomes
            BF16, or all of them become --type. Norms, routers and biases are F32. What is not as it was is said on standard
            error.
            """)

    @Argument(help: "A folder of safetensors, or a name that `walet list` shows.") var model: String
    @Option(help: ArgumentHelp("The file to be made; it must not be there.", valueName: "file.gguf")) var out: String
    @Option(help: "What matrices become that are not INT4 or INT8; default: what they are.")
    var type: GGUFExport.MatrixType?
    @Flag(help: "Replace a file that is there.") var force = false
    @Flag(help: "One JSON object.") var json = false

    func run() async throws {
        try await Puller.pullIfNamed(model)
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: out, isDirectory: &isFolder), !isFolder.boolValue, !force {
            throw FormatError(file: out, expected: "a name that no file has yet, or --force", found: "a file")
        }
        let folder = try ModelFolder(try LanguageModel.locate(model))
        let text = try VocabularyExport(folder)
        let export = try GGUFExport(
            folder, vocabulary: text?.vocabulary, chatTemplate: text?.chatTemplate, matrices: type)
        if let free = ModelPacker.freeBytes(at: out), free < export.dataBytes {
            throw FormatError(
                file: out, expected: "room on the disk for its \(export.dataBytes) bytes", found: "\(free)")
        }
        let outcome = try await write(export)
        for note in outcome.notes { Terminal.log("walet: note: \(note)") }
        Terminal.output(json ? Self.json(outcome, out).text() + "\n" : Self.table(outcome, out))
    }

    private func write(_ export: GGUFExport) async throws -> GGUFExport.Outcome {
        let progress = ByteProgress("writing", total: export.dataBytes)
        let (out, force) = (out, force)
        do {
            return try await Interrupt.cancelling {
                defer { progress.end() }
                return try export.write(to: out, overwriting: force) { progress.advance(out, $0) }
            }
        } catch is CancellationError {
            Terminal.log("walet: stopped; nothing was written")
            throw ExitCode(1)
        }
    }

    private static func table(_ outcome: GGUFExport.Outcome, _ out: String) -> String {
        let rows = outcome.shares.map { share in
            [
                share.type,
                "\(share.tensors) tensors, \(Terminal.count(share.values)) values, \(Terminal.bytes(share.bytes))",
            ]
        }
        return Terminal.table(rows + [["file", "\(out), \(Terminal.bytes(outcome.bytes))"]]) + "\n"
    }

    private static func json(_ outcome: GGUFExport.Outcome, _ out: String) -> JSONValue {
        let shares = outcome.shares.map { share -> JSONValue in
            [
                "type": .string(share.type), "tensors": .int(share.tensors), "values": .int(share.values),
                "bytes": .int(share.bytes),
            ]
        }
        return [
            "file": .string(out), "bytes": .int(outcome.bytes), "types": .array(shares),
            "notes": .array(outcome.notes.map { .string($0) }),
        ]
    }
}

extension GGUFExport.MatrixType: ExpressibleByArgument {}
