// Text to a vocabulary: byte-level BPE, written in the format that Walet and Hugging Face's libraries load.

import Foundation
import WaletJSON
import WaletText

/// Trains a byte-level BPE vocabulary.
///
/// Equal documents, in whatever order, give equal bytes, and the merges are those of `BpeTrainer` of Hugging Face
/// `tokenizers` 0.23 with the whole byte alphabet.
///
/// ```swift
/// var trainer = try TokenizerTrainer(vocabularySize: 8192)
/// for text in texts { trainer.add(text) }
/// let vocabulary = trainer.train()
/// try vocabulary.write(to: "tokenizer")
/// ```
public struct TokenizerTrainer: Sendable {
    /// How text is cut before bytes are merged.
    public enum Split: String, Sendable, CaseIterable {
        /// As DeepSeek-V3: digits by three, Chinese and Japanese apart, then words and punctuation.
        case deepseek
        /// As Llama 3.
        case llama3
        /// As Qwen2: every digit is a token of its own, which arithmetic is learned from best.
        case qwen2
        /// As GPT-2.
        case gpt2
    }

    /// Tokens that stand for no bytes of text, in the order of their ids, from 0.
    public let specialTokens: [String]
    public let vocabularySize: Int
    public let split: Split
    /// A pair that occurs less often is not merged.
    public let minimumCount: Int

    private let splitter: TextSplitter
    private var words = WordCounter()

    /// The tokens that Walet's own models have: a document's begin and end, and what fills up a batch.
    public static let defaultSpecialTokens = ["<|begin|>", "<|end|>", "<|pad|>"]
    /// Those and the marks of ``ConversationTemplate``.
    public static let chatSpecialTokens = defaultSpecialTokens + ConversationTemplate.marks

    /// - Parameters:
    ///   - vocabularySize: tokens in all, special ones and the 256 bytes among them.
    ///   - specialTokens: the first one begins a document, the second one ends it.
    /// - Throws: ``DataError/badVocabulary(reason:)`` for a size or tokens that cannot be.
    public init(
        vocabularySize: Int, split: Split = .deepseek, specialTokens: [String] = defaultSpecialTokens,
        minimumCount: Int = 2
    ) throws(DataError) {
        guard Set(specialTokens.map { Array($0.utf8) }).count == specialTokens.count,
            specialTokens.allSatisfy({ $0.utf8.count > 1 })
        else {
            throw .badVocabulary(reason: "special tokens must be different and longer than one byte")
        }
        guard specialTokens.count >= 2 else {
            throw .badVocabulary(reason: "it needs a token that begins a document and one that ends it")
        }
        let least = specialTokens.count + 256
        guard vocabularySize >= least, vocabularySize <= 1 << 24 else {
            throw .badVocabulary(
                reason: "a size of \(vocabularySize) is not between the \(least) of special tokens and bytes and "
                    + "\(1 << 24)")
        }
        self.vocabularySize = vocabularySize
        self.split = split
        self.specialTokens = specialTokens
        self.minimumCount = max(minimumCount, 1)
        do throws(TokenizerError) {
            splitter = try TextSplitter(preTokenizer: split.json)
        } catch {
            throw .badVocabulary(reason: error.description)
        }
    }

    /// Different pieces of text seen so far.
    public var wordCount: Int { words.count }

    /// Counts the pieces of a document.
    public mutating func add(_ text: String) {
        splitter.pieces(of: text) { words.add($0) }
    }

    /// Counts the pieces of some documents on all cores.
    public mutating func add(_ texts: [String]) {
        let parts = min(texts.count, ProcessInfo.processInfo.activeProcessorCount)
        guard parts > 1 else {
            for text in texts { add(text) }
            return
        }
        let results = Gathered<WordCounter>(count: parts)
        let splitter = splitter
        DispatchQueue.concurrentPerform(iterations: parts) { part in
            var counter = WordCounter()
            for index in stride(from: part, to: texts.count, by: parts) {
                splitter.pieces(of: texts[index]) { counter.add($0) }
            }
            results[part] = counter
        }
        for part in 0..<parts { if let counter = results[part] { words.merge(counter) } }
    }

    /// Learns the merges.
    public func train() -> TrainedVocabulary {
        let special = specialTokens.map { Array($0.utf8) }
        // Ids of single bytes follow the order of the characters that stand for them, as in the reference.
        let bytes = (0..<256).map { UInt8($0) }.sorted {
            ByteAlphabet.scalars[Int($0)] < ByteAlphabet.scalars[Int($1)]
        }
        var ids = [Int32](repeating: 0, count: 256)
        for (rank, byte) in bytes.enumerated() { ids[Int(byte)] = Int32(special.count + rank) }
        // Names, not bytes: a special token must not be taken for the bytes that spell it.
        var merger = PairMerger(tokens: special + bytes.map { ByteAlphabet.encode([$0]) })
        for index in 0..<words.count {
            let word = words[index]
            merger.add(word.bytes.map { ids[Int($0)] }, weight: word.count)
        }
        merger.run(vocabularySize: vocabularySize, minimumCount: minimumCount)
        return TrainedVocabulary(
            names: merger.tokens.map { String(decoding: $0, as: UTF8.self) },
            merges: merger.merges.map { ($0.left, $0.right) }, specialCount: special.count, split: split)
    }
}

extension TokenizerTrainer.Split {
    /// The `pre_tokenizer` field.
    var json: JSONValue {
        func isolated(_ pattern: String) -> JSONValue {
            [
                "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false,
            ]
        }
        func byteLevel(regex: Bool) -> JSONValue {
            ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(regex)]
        }
        switch self {
        case .gpt2: return byteLevel(regex: true)
        case .llama3, .qwen2:
            let digits = self == .llama3 ? #"\p{N}{1,3}"# : #"\p{N}"#
            let pattern =
                #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
                + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
            return ["type": "Sequence", "pretokenizers": [isolated(pattern), byteLevel(regex: false)]]
        case .deepseek:
            let words =
                ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"##
                + #" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
            return [
                "type": "Sequence",
                "pretokenizers": [
                    isolated(#"\p{N}{1,3}"#), isolated("[一-龥぀-ゟ゠-ヿ]+"), isolated(words), byteLevel(regex: false),
                ],
            ]
        }
    }
}
