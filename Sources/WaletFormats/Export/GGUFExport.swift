// A folder of safetensors as one GGUF file.

import WaletTensor

/// Writes a published checkpoint as a GGUF file that llama.cpp runs.
///
/// ```swift
/// let export = try GGUFExport(try ModelFolder("/models/kimi-k2-thinking"), vocabulary: nil)
/// let outcome = try export.write(to: "kimi-k2-thinking.gguf")
/// ```
///
/// Routed experts of INT4 become Q4_0 with the same integers; other matrices stay what they are or become one type; norms,
/// routers and biases become F32. The weights are read and written a few megabytes at a time.
public struct GGUFExport: Sendable {
    /// What matrices may become.
    public enum MatrixType: String, Sendable, CaseIterable {
        case f32, f16, bf16, q8_0, q4_0

        var packing: Packing {
            switch self {
            case .f32: .f32
            case .f16: .f16
            case .bf16: .bf16
            case .q8_0: .q8_0
            case .q4_0: .q4_0
            }
        }
    }

    /// What a file has of one type.
    public struct Share: Sendable, Equatable {
        public var type: String
        public var tensors: Int
        public var values: Int
        public var bytes: Int
    }

    /// What was written.
    public struct Outcome: Sendable, Equatable {
        /// Of the file.
        public var bytes: Int
        /// By type, the one with the most values first.
        public var shares: [Share]
        /// What is not as it was, in sentences for the user.
        public var notes: [String]
    }

    private let model: ModelFolder
    private let source: any WeightSource
    private let requested: MatrixType?
    private let tensors: [PlannedTensor]
    private let metadata: [(key: String, value: GGUFWriter.Value)]
    private let packings: [Packing]
    private let entries: [GGUFWriter.Entry]
    private let notes: [String]
    private let stamps: [FileStamp?]

    /// Plans the file; nothing is written.
    /// - Parameters:
    ///   - vocabulary: the tokenizer as GGUF has it; nil writes none.
    ///   - chatTemplate: for `tokenizer.chat_template`.
    ///   - matrices: what matrices become that are not integers; nil for what they are (FP8 becomes BF16).
    /// - Throws: ``FormatError`` for a model that is no folder of safetensors, that llama.cpp has no graph for, or whose
    ///   weights do not have the type's form.
    public init(
        _ model: ModelFolder, vocabulary: GGUFVocabulary?, chatTemplate: String? = nil, matrices: MatrixType? = nil
    ) throws(FormatError) {
        guard model.format == .safetensors else {
            throw FormatError(
                file: model.path, expected: "a folder of safetensors",
                found: model.format == .gguf ? "a GGUF model" : "a configuration alone")
        }
        self.model = model
        source = try model.weights()
        stamps = source.mappedFiles.map { FileStamp($0.descriptor) }
        requested = matrices
        let configuration = model.configuration
        let architecture = try configuration.ggufMetadata(file: model.path)
        let list = try GGUFTensorList(
            configuration, hasOwnHead: try Self.hasOwnHead(configuration, source), file: model.path)
        tensors = list.tensors
        let encoder = TensorEncoder(source, requested: matrices?.packing, file: model.path)
        var packings: [Packing] = []
        var entries: [GGUFWriter.Entry] = []
        for tensor in list.tensors {
            let packing = try encoder.packing(of: tensor)
            guard let type = GGUFType.of(packing) else { preconditionFailure("\(packing.name) is not written") }
            packings.append(packing)
            entries.append(GGUFWriter.Entry(name: tensor.name, type: type, dimensions: tensor.dimensions))
        }
        self.packings = packings
        self.entries = entries

        var metadata = architecture
        let type = Self.shares(entries).first?.type ?? ""
        var general: [(key: String, value: GGUFWriter.Value)] = [
            ("general.type", .text("model")), ("general.name", .text(model.name)),
            ("general.quantization_version", .uint32(2)),
        ]
        if let number = Self.fileTypes[type] { general.append(("general.file_type", .uint32(number))) }
        if let licence = try model.licence() { general.append(("general.license", .text(licence))) }
        metadata.insert(contentsOf: general, at: 1)
        if var vocabulary {
            vocabulary.complete(from: configuration)
            metadata += try vocabulary.metadata(size: configuration.vocabularySize, file: model.path)
            if let chatTemplate { metadata.append(("tokenizer.chat_template", .text(chatTemplate))) }
        } else {
            metadata.append(("tokenizer.ggml.model", .text("no_vocab")))
        }
        self.metadata = metadata
        notes = Self.notes(configuration, hasVocabulary: vocabulary != nil)
    }

    /// Of the tensors, without what lies between them.
    public var dataBytes: Int { Self.shares(entries).reduce(0) { $0 + $1.bytes } }

    /// Writes the file.
    /// - Parameters:
    ///   - overwriting: whether a file of this name is replaced.
    ///   - progress: is told of bytes that have been written.
    /// - Throws: ``FormatError`` for a file that is there already, a full disk, numbers that the type cannot hold, or a source
    ///   that was written to; `CancellationError`. Nothing has the name then that did not have it before.
    public func write(
        to path: String, overwriting: Bool = false, progress: @escaping (Int) -> Void = { _ in }
    ) throws -> Outcome {
        let writer = try GGUFWriter(path, metadata: metadata, tensors: entries, overwrites: overwriting)
        var encoder = TensorEncoder(source, requested: requested?.packing, file: model.path)
        for (tensor, packing) in zip(tensors, packings) {
            try encoder.write(tensor, as: packing, to: writer, progress: progress)
            // What was read once would count as this process's memory until the end.
            for file in source.mappedFiles { file.dropPages() }
        }
        try checkUnchanged()
        try writer.finish()
        return Outcome(
            bytes: writer.byteCount, shares: Self.shares(entries), notes: notes + Self.notes(encoder.integers))
    }

    private func checkUnchanged() throws(FormatError) {
        try source.checkIntact()
        for (file, stamp) in zip(source.mappedFiles, stamps) where FileStamp(file.descriptor) != stamp {
            throw FormatError(
                file: file.path, expected: "the bytes that it had when it was opened",
                found: "others: the file was written to while it was exported")
        }
    }

    // MARK: Facts

    /// `general.file_type` by the type of most values (`llama_ftype` in llama.h).
    private static let fileTypes: [String: UInt32] = ["F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32]

    /// Whether the head is another matrix than the embedding.
    private static func hasOwnHead(
        _ configuration: Configuration, _ source: any WeightSource
    ) throws(FormatError) -> Bool {
        guard configuration.tiedEmbeddings else { return true }
        let (rows, columns) = (configuration.vocabularySize, configuration.hiddenSize)
        let head = try source.matrix("lm_head", rows: rows, columns: columns)
        let embedding = try source.matrix("model.embed_tokens", rows: rows, columns: columns)
        return head.valueBytes.baseAddress != embedding.valueBytes.baseAddress
    }

    private static func shares(_ entries: [GGUFWriter.Entry]) -> [Share] {
        var shares: [String: Share] = [:]
        for entry in entries {
            let values = entry.dimensions.reduce(1, *)
            let bytes = values / entry.type.blockValues * entry.type.blockBytes
            var share = shares[entry.type.name] ?? Share(type: entry.type.name, tensors: 0, values: 0, bytes: 0)
            share.tensors += 1
            share.values += values
            share.bytes += bytes
            shares[entry.type.name] = share
        }
        return shares.values.sorted { ($0.values, $1.type) > ($1.values, $0.type) }
    }

    private static func notes(_ configuration: Configuration, hasVocabulary: Bool) -> [String] {
        var notes: [String] = []
        if !hasVocabulary { notes.append("the model has no tokenizer, so the file has no vocabulary") }
        if configuration.predictionLayers > 0 {
            notes.append("prediction layers are left out: \(configuration.predictionLayers)")
        }
        if case .latent(let latent) = configuration.attention, latent.latentNormEpsilon != configuration.normEpsilon {
            notes.append(
                "llama.cpp takes rms_norm_eps, \(configuration.normEpsilon), for the norms on the latents too; "
                    + "transformers and Walet take \(latent.latentNormEpsilon)")
        }
        if case .yarn(_, let fast, let slow, _, _) = configuration.rope.scaling, fast != 32 || slow != 1 {
            notes.append(
                "llama.cpp takes 32 and 1 for YaRN's bounds whatever the file says; start it with --yarn-beta-fast "
                    + "\(fast) --yarn-beta-slow \(slow)")
        }
        return notes
    }

    private static func notes(_ integers: IntegerBlocks) -> [String] {
        guard integers.inexact > 0 else { return [] }
        return [
            "\(integers.inexact) of \(integers.scales) scales are not numbers that F16 has and were rounded; the largest "
                + "relative error is \(integers.largestError)"
        ]
    }
}

extension GGUFVocabulary {
    /// Fills in the tokens that only `config.json` names.
    fileprivate mutating func complete(from configuration: Configuration) {
        if begin == nil { begin = configuration.beginToken }
        var ends = configuration.endTokens.filter { $0 != end && $0 != endOfTurn && $0 != endOfMessage }[...]
        if end == nil { end = ends.popFirst() }
        if endOfTurn == nil { endOfTurn = ends.popFirst() }
        if endOfMessage == nil { endOfMessage = ends.popFirst() }
    }
}
