// A vocabulary as files: tokenizer.json and tokenizer_config.json.

import WaletJSON
import WaletText

/// A byte-level BPE vocabulary that was just trained.
public struct TrainedVocabulary: Sendable {
    /// Tokens in the order of their ids, as they are named in tokenizer.json: special ones literally, the others in
    /// GPT-2's alphabet of bytes.
    public let names: [String]
    /// Pairs of ids; those learned first are merged first.
    public let merges: [(left: Int32, right: Int32)]
    /// How many of the first tokens are special.
    public let specialCount: Int
    let split: TokenizerTrainer.Split

    init(names: [String], merges: [(Int32, Int32)], specialCount: Int, split: TokenizerTrainer.Split) {
        self.names = names
        self.merges = merges.map { (left: $0.0, right: $0.1) }
        self.specialCount = specialCount
        self.split = split
    }

    /// The document that `Tokenizer` of WaletText and of Hugging Face `tokenizers` load.
    public var tokenizerJSON: JSONValue {
        let added = names.prefix(specialCount).enumerated().map { id, name -> JSONValue in
            [
                "id": .int(id), "content": .string(name), "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            ]
        }
        var vocabulary = JSONObject()
        for (id, name) in names.enumerated() { vocabulary[name] = .int(id) }
        let pairs = merges.map { merge -> JSONValue in
            [.string(names[Int(merge.left)]), .string(names[Int(merge.right)])]
        }
        let decoder: JSONValue = [
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
        ]
        let model: JSONValue = [
            "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
            "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": .object(vocabulary), "merges": .array(pairs),
        ]
        return [
            "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(added), "normalizer": nil,
            "pre_tokenizer": split.json, "post_processor": nil, "decoder": decoder, "model": model,
        ]
    }

    /// `tokenizer_config.json`: which tokens begin and end a text and fill up a batch.
    public var configurationJSON: JSONValue {
        var object = JSONObject([
            ("tokenizer_class", "PreTrainedTokenizerFast"), ("bos_token", .string(names[0])),
            ("eos_token", .string(names[1])), ("clean_up_tokenization_spaces", false),
        ])
        if specialCount > 2 { object["pad_token"] = .string(names[2]) }
        return .object(object)
    }

    /// The vocabulary ready for use.
    public func tokenizer() throws(TokenizerError) -> Tokenizer {
        try Tokenizer(tokenizerJSON: tokenizerJSON, configuration: configurationJSON)
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json` into a folder, which is made where it is missing, and for a
    /// vocabulary with the marks of conversations their template.
    /// - Throws: ``StorageError``; a file that was there is then as it was.
    public func write(to folder: String) throws(StorageError) {
        let folder = try StorageFolder(folder, create: true)
        if ConversationTemplate.marks.allSatisfy(names.prefix(specialCount).contains) {
            try folder.put(ConversationTemplate.fileName, Array(ConversationTemplate.source.utf8))
        }
        try folder.put("tokenizer_config.json", Array((configurationJSON.text(.pretty) + "\n").utf8))
        try folder.put("tokenizer.json", Array(tokenizerJSON.text(.pretty).utf8))
    }
}
