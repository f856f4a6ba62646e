// quantization_config of a config.json.

import WaletJSON

extension Configuration {
    /// What `quantization_config` may say.
    static let supportedQuantizations =
        "compressed-tensors pack-quantized (4 or 8 bits, symmetric, groups of 32, 64 or 128 or one a row) "
        + "and fp8 with weight_block_size"

    static func quantization(_ fields: Fields) throws(FormatError) -> Quantization? {
        guard let quantization = try fields.optionalFields("quantization_config") else { return nil }
        let method = try quantization.optionalString("quant_method") ?? ""
        switch method {
        case "compressed-tensors": return try packed(quantization)
        case "fp8": return try fp8(quantization)
        default:
            throw quantization.failure(
                "quant_method", supportedQuantizations, method.isEmpty ? "nothing" : "\"\(method.prefix(80))\"")
        }
    }

    private static func fp8(_ fields: Fields) throws(FormatError) -> Quantization {
        let format = try fields.optionalString("fmt") ?? "e4m3"
        guard format == "e4m3" else { throw fields.failure("fmt", "e4m3", "\"\(format.prefix(80))\"") }
        guard let block = try fields.optionalArray("weight_block_size") else {
            throw fields.failure("weight_block_size", "rows and columns of a block", "nothing")
        }
        let range = 1...1 << 20
        guard block.count == 2, let rows = block[0].intValue, let columns = block[1].intValue,
            range.contains(rows), range.contains(columns)
        else {
            throw fields.failure("weight_block_size", "two numbers from 1 to \(range.upperBound)", "others")
        }
        return .fp8(blockRows: rows, blockColumns: columns)
    }

    private static func packed(_ fields: Fields) throws(FormatError) -> Quantization {
        let format = try fields.optionalString("format") ?? ""
        guard format == "pack-quantized" else {
            throw fields.failure("format", supportedQuantizations, "\"\(format.prefix(80))\"")
        }
        if let status = try fields.optionalString("quantization_status"), status != "compressed" {
            throw fields.failure("quantization_status", "compressed", "\"\(status.prefix(80))\"")
        }
        if let sparsity = try fields.optionalFields("sparsity_config"),
            let kind = try sparsity.optionalString("format"), kind != "dense"
        {
            throw sparsity.failure("format", "dense", "\"\(kind.prefix(80))\"")
        }
        if let transform = try fields.optionalFields("transform_config"), transform.has("config_groups"),
            transform.object["config_groups"]?.objectValue?.isEmpty == false
        {
            throw fields.failure("transform_config", "no transforms of weights", "some")
        }
        guard let groups = try fields.optionalFields("config_groups"), !groups.object.isEmpty else {
            throw fields.failure("config_groups", "a group of modules with their scheme", "none")
        }
        var scheme: (bits: Int, groupSize: Int?)?
        for name in groups.object.keys {
            guard let group = try groups.optionalFields(name) else { continue }
            let next = try packedGroup(group)
            if let scheme, scheme != next {
                throw groups.failure(name, "the same scheme in all groups", "another than in the first")
            }
            scheme = next
        }
        guard let scheme else { throw fields.failure("config_groups", "a group with its scheme", "none") }
        var ignore: [String] = []
        for value in try fields.optionalArray("ignore") ?? [] {
            guard let pattern = value.stringValue else {
                throw fields.failure("ignore", "names or patterns of modules", fields.describe(value))
            }
            ignore.append(pattern)
        }
        return .packed(bits: scheme.bits, groupSize: scheme.groupSize, ignore: ignore)
    }

    private static func packedGroup(_ group: Fields) throws(FormatError) -> (bits: Int, groupSize: Int?) {
        let targets = try group.optionalArray("targets") ?? []
        guard targets == ["Linear"] else {
            throw group.failure(
                "targets", "[\"Linear\"]", JSONValue.array(targets).text().prefix(120).description)
        }
        if group.has("input_activations") || group.has("output_activations") {
            throw group.failure("input_activations", "weights alone quantized", "activations quantized too")
        }
        guard let weights = try group.optionalFields("weights") else {
            throw group.failure("weights", "the scheme of the weights", "nothing")
        }
        let bits = try weights.int("num_bits", in: 1...64)
        guard bits == 4 || bits == 8 else { throw weights.failure("num_bits", "4 or 8", "\(bits)") }
        if let kind = try weights.optionalString("type"), kind != "int" {
            throw weights.failure("type", "int", "\"\(kind.prefix(80))\"")
        }
        guard try weights.bool("symmetric", default: true) else {
            throw weights.failure("symmetric", "true", "false (zero points are not supported)")
        }
        if weights.value("dynamic").map({ $0 != .bool(false) }) ?? false {
            throw weights.failure("dynamic", "false", weights.describe(weights.value("dynamic")))
        }
        // "static" and its older name "weight" change only how the scales were found; the others reorder columns.
        if let order = weights.value("actorder"), order != "static", order != "weight", order != false {
            throw weights.failure("actorder", "null, \"static\" or \"weight\"", weights.describe(order))
        }
        let size = try weights.optionalInt("group_size", in: -1...1 << 20)
        let strategy = try weights.optionalString("strategy") ?? (size ?? -1 > 0 ? "group" : "channel")
        switch strategy {
        case "channel": return (bits, nil)
        case "group":
            guard let size, [32, 64, 128].contains(size) else {
                throw weights.failure("group_size", "32, 64 or 128", weights.describe(weights.value("group_size")))
            }
            return (bits, size)
        default: throw weights.failure("strategy", "group or channel", "\"\(strategy.prefix(80))\"")
        }
    }
}
