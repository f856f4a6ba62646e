// What tokenizer_config.json says about tokens.

import WaletJSON

/// The fields of tokenizer_config.json that concern tokens. Fields of an unexpected kind count as missing: the file
/// comes with every checkpoint and much of it is for other programs.
struct TokenizerConfiguration {
    /// Names of the tokens.
    private(set) var bos: String?
    private(set) var eos: String?
    private(set) var pad: String?
    /// `added_tokens_decoder`, by ascending id.
    private(set) var added: [AddedToken] = []
    private let addBOS: Bool?
    private let addEOS: Bool?

    init(_ json: JSONValue?) {
        func name(_ key: String) -> String? { json?[key]?.stringValue ?? json?[key]?["content"]?.stringValue }
        bos = name("bos_token")
        eos = name("eos_token")
        pad = name("pad_token")
        // Only the Llama class rewrites its frame by these; in other classes they are without effect.
        let isLlama = json?["tokenizer_class"]?.stringValue?.hasPrefix("LlamaTokenizer") ?? false
        addBOS = isLlama ? json?["add_bos_token"]?.boolValue : nil
        addEOS = isLlama ? json?["add_eos_token"]?.boolValue : nil
        for (key, value) in json?["added_tokens_decoder"]?.objectValue?.members ?? JSONObject().members {
            guard let id = Int32(key), id >= 0, let content = value["content"]?.stringValue, !content.isEmpty else {
                continue
            }
            added.append(
                AddedToken(
                    content: Array(content.utf8), id: id, isSpecial: value["special"]?.boolValue ?? false,
                    isNormalized: value["normalized"]?.boolValue ?? false,
                    stripsLeft: value["lstrip"]?.boolValue ?? false, stripsRight: value["rstrip"]?.boolValue ?? false,
                    isSingleWord: value["single_word"]?.boolValue ?? false))
        }
        added.sort { $0.id < $1.id }
    }

    /// Makes the frame of a text begin and end as the flags say.
    func adjust(_ prefix: inout [Int], _ suffix: inout [Int], bos: Int?, eos: Int?) {
        if let addBOS, let bos {
            prefix.removeAll { $0 == bos }
            if addBOS { prefix.insert(bos, at: 0) }
        }
        if let addEOS, let eos {
            suffix.removeAll { $0 == eos }
            if addEOS { suffix.append(eos) }
        }
    }
}
