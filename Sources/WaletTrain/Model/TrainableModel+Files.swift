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
    ///   - int4Experts: whether routed experts are stored in 4 bits with a scale for each 32, as compressed-tensors does;
    ///     `json` must then say so. Their rows must be whole groups.
    ///   - json: the configuration's text, where the model was loaded with one that says more than ``Configuration``; nil
    ///     to write it from ``configuration``.
    /// - Throws: ``FormatError`` for what cannot be written.
    public func save(
        to folder: String, as element: SafetensorsFile.Element = .f32, int4Experts: Bool = false,
        json: JSONValue? = nil
    ) throws(FormatError) {
        precondition(element == .f32 || element == .bf16)
        guard let json = json ?? configuration.json(weights: element) else {
            throw FormatError(
                file: folder + "/config.json", expected: "a configuration that a published model_type describes",
                found: "one of the family \(configuration.family.rawValue) that none does")
        }
        var parts = parameters.map { parameter in
            Part(
                name: parameter.name, tensor: parameter.tensor,
                form: int4Experts && parameter.isRoutedExpert
                    // The routers' biases stay fp32: what they are added to is compared to the last digit.
                    ? .packed : parameter.role == .routerBias || element == .f32 ? .full : .half)
        }
        if prediction != nil {
            let prefix = "model.layers.\(configuration.layers)."
            let form: Part.Form = element == .f32 ? .full : .half
            parts.append(Part(name: prefix + "embed_tokens.weight", tensor: parameters[0].tensor, form: form))
            parts.append(Part(name: prefix + "shared_head.head.weight", tensor: outputHead, form: form))
        }
        let writer = try SafetensorsWriter(folder + "/model.safetensors", parts.flatMap(\.entries))
        for part in parts { try part.write(to: writer) }
        try writer.finish()
        try AtomicFile.write(Array((json.text(.pretty) + "\n").utf8), to: folder + "/config.json")
    }
}

/// A parameter as it is written.
private struct Part {
    enum Form {
        /// fp32
        case full
        /// BF16, each number rounded to the nearest.
        case half
        /// 4 bits with a scale for each 32: weight_packed, weight_scale and weight_shape.
        case packed
    }

    let name: String
    let tensor: Tensor
    let form: Form

    var entries: [SafetensorsWriter.Entry] {
        switch form {
        case .full: return [.init(name: name, element: .f32, shape: tensor.shape)]
        case .half: return [.init(name: name, element: .bf16, shape: tensor.shape)]
        case .packed:
            let (rows, columns) = (tensor.shape[0], tensor.shape[1])
            return [
                .init(name: name + "_packed", element: .i32, shape: [rows, columns / 8]),
                .init(name: name + "_scale", element: .bf16, shape: [rows, columns / ExpertQuantization.group]),
                .init(name: name + "_shape", element: .i64, shape: [2]),
            ]
        }
    }

    func write(to writer: SafetensorsWriter) throws(FormatError) {
        switch form {
        case .full: try writer.append(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * 4))
        case .half:
            var half = [UInt16](repeating: 0, count: tensor.count)
            half.withUnsafeMutableBufferPointer { half in
                if let target = half.baseAddress { wa_to_bf16(tensor.pointer, target, Int64(tensor.count)) }
            }
            try append(half, to: writer)
        case .packed:
            let groups = tensor.count / ExpertQuantization.group
            var words = [Int32](repeating: 0, count: tensor.count / 8)
            var scales = [UInt16](repeating: 0, count: groups)
            words.withUnsafeMutableBufferPointer { words in
                scales.withUnsafeMutableBufferPointer { scales in
                    if let words = words.baseAddress, let scales = scales.baseAddress {
                        wa_int4_pack(tensor.pointer, words, scales, Int64(groups))
                    }
                }
            }
            let shape = tensor.shape.map { Int64($0).littleEndian }
            try append(words, to: writer)
            try append(scales, to: writer)
            try append(shape, to: writer)
        }
    }

    private func append<Element>(_ values: [Element], to writer: SafetensorsWriter) throws(FormatError) {
        try values.withUnsafeBufferPointer { values throws(FormatError) in
            try writer.append(UnsafeRawBufferPointer(values))
        }
    }
}
