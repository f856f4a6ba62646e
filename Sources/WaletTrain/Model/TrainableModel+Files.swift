import CWaletAutodiff
import WaletAutodiff
import WaletFormats
import WaletJSON

extension TrainableModel {
    /// The model of a published folder or file.
    /// - Throws: ``FormatError`` that names the file and what is wrong with it.
    public convenience init(_ folder: ModelFolder, _ arena: Arena) throws(FormatError) {
        try self.init(folder.configuration, arena, from: folder.weights())
    }

    /// Writes `config.json` and `model.safetensors` as published models have them, so that Walet and transformers load
    /// them. Each file appears when it is whole. The prediction layer gets copies of embedding and head, as DeepSeek-V3's
    /// files have them.
    /// - Parameters:
    ///   - folder: one that exists.
    ///   - element: `.f32`, or `.bf16`: half the size, each weight rounded to the nearest.
    ///   - json: the configuration's text, where the model was loaded with one that says more than ``Configuration``; nil
    ///     to write it from ``configuration``.
    /// - Throws: ``FormatError`` for what cannot be written.
    public func save(
        to folder: String, as element: SafetensorsFile.Element = .f32, json: JSONValue? = nil
    ) throws(FormatError) {
        precondition(element == .f32 || element == .bf16)
        guard let json = json ?? configuration.json(weights: element) else {
            throw FormatError(
                file: folder + "/config.json", expected: "a configuration that a published model_type describes",
                found: "one of the family \(configuration.family.rawValue) that none does")
        }
        var tensors = parameters.map { (name: $0.name, tensor: $0.tensor, isBias: $0.role == .routerBias) }
        if prediction != nil {
            let prefix = "model.layers.\(configuration.layers)."
            tensors.append((prefix + "embed_tokens.weight", parameters[0].tensor, false))
            tensors.append((prefix + "shared_head.head.weight", outputHead, false))
        }
        // The routers' biases stay fp32: what they are added to is compared to the last digit.
        let entries = tensors.map {
            SafetensorsWriter.Entry(name: $0.name, element: $0.isBias ? .f32 : element, shape: $0.tensor.shape)
        }
        let writer = try SafetensorsWriter(folder + "/model.safetensors", entries)
        for (tensor, entry) in zip(tensors.map(\.tensor), entries) {
            if entry.element == .f32 {
                try writer.append(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * 4))
                continue
            }
            let half = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: tensor.count)
            defer { half.deallocate() }
            if let target = half.baseAddress { wa_to_bf16(tensor.pointer, target, Int64(tensor.count)) }
            try writer.append(UnsafeRawBufferPointer(half))
        }
        try writer.finish()
        try AtomicFile.write(Array((json.text(.pretty) + "\n").utf8), to: folder + "/config.json")
    }
}
