import ArgumentParser
import Foundation
import Synchronization
import Walet
import WaletProvenance

/// `walet show`: what a model is.
struct ShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "A model's architecture, parameters, quantization, context, files and licence.",
        discussion: "A config.json alone is enough for all but files and packings.")

    @Argument(help: "A folder of safetensors, a .gguf file, a config.json, or a name that `walet list` shows.")
    var model: String
    @Flag(help: "List every tensor.") var tensors = false
    @Flag(help: "One JSON object.") var json = false
    @Flag(help: "A bill of materials instead: CycloneDX 1.6 with the model card, and the SHA-256 of every file.")
    var bom = false

    func validate() throws {
        if bom, tensors { throw ValidationError("--bom and --tensors exclude each other") }
    }

    func run() async throws {
        try await Puller.pullIfNamed(model)
        if bom {
            let bill = try await bill()
            Terminal.output(bill.json.text(.pretty) + "\n")
            return
        }
        let description = try ModelDescription.read(model)
        if json {
            Terminal.output(description.json(tensors: tensors).text(.pretty) + "\n")
            return
        }
        var rows = description.facts.map { [$0.0, $0.1] }
        for packing in description.packings {
            rows.append([
                "packing",
                "\(packing.packing): \(packing.tensors) tensors, \(Terminal.count(packing.values)) values, "
                    + Terminal.bytes(packing.bytes),
            ])
        }
        for file in description.files { rows.append(["file", "\(file.name), \(Terminal.bytes(file.bytes))"]) }
        for note in description.notes { rows.append(["note", note]) }
        Terminal.output(Terminal.table(rows) + "\n")
        if tensors {
            let rows = description.tensors.map { tensor in
                [tensor.name, tensor.packing, "[" + tensor.shape.map(String.init).joined(separator: ", ") + "]"]
            }
            Terminal.output("\n" + Terminal.table(rows) + "\n")
        }
    }

    /// Hashes every file of the model; Ctrl-C ends that.
    private func bill() async throws -> BillOfMaterials {
        let model = model
        let stored = try ModelStore().model(named: model)
        var origin: BillOfMaterials.Origin?
        if let repository = stored?.repository, let revision = stored?.revision {
            origin = BillOfMaterials.Origin(repository: repository, revision: revision)
        }
        return try await Interrupt.cancelling { [origin] in
            let folder = try ModelFolder(LanguageModel.locate(model))
            let progress = ByteProgress("hashing", total: try folder.files().reduce(0) { $0 + $1.bytes })
            defer { progress.end() }
            return try BillOfMaterials(folder, origin: origin, tool: Version.current, progress: progress.advance)
        }
    }
}
