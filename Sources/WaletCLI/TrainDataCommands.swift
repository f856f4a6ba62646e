import ArgumentParser
import Foundation
import WaletTrain

/// `walet train tokenizer`: a vocabulary from text.
struct TrainTokenizerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenizer",
        abstract: "Learns a byte-level BPE vocabulary: tokenizer.json, as Hugging Face tokenizers read it.")

    @Argument(help: "Files of documents: .jsonl with a member 'text' a line, .txt, or folders of such.")
    var files: [String]
    @Option(help: ArgumentHelp("The folder to write tokenizer.json to.", valueName: "folder")) var out: String
    @Option(help: "Tokens in all, special ones and the 256 bytes among them.") var vocabularySize = 8192
    @Option(
        help: "How text is cut before bytes are merged: deepseek, llama3, gpt2, or qwen2, where each digit is a token.")
    var split: TokenizerTrainer.Split = .deepseek
    @Flag(help: "With control tokens for conversations and their template, chat_template.jinja.") var chat = false

    func run() async throws {
        var trainer = try TokenizerTrainer(
            vocabularySize: vocabularySize, split: split,
            specialTokens: chat ? TokenizerTrainer.chatSpecialTokens : TokenizerTrainer.defaultSpecialTokens)
        var bytes = 0
        try DocumentReader(files).forEachBatch { (texts) throws(DataError) in
            trainer.add(texts)
            bytes += texts.reduce(0) { $0 + $1.utf8.count }
        }
        let vocabulary = trainer.train()
        try vocabulary.write(to: out)
        Terminal.log(
            "\(vocabulary.names.count) tokens from \(Terminal.bytes(bytes)) of text, \(trainer.wordCount) different "
                + "pieces; \(out)/tokenizer.json")
        if vocabulary.names.count < vocabularySize {
            Terminal.log("the text has no more pairs that come twice, so there are fewer than \(vocabularySize)")
        }
    }
}

extension TokenizerTrainer.Split: ExpressibleByArgument {}

/// `walet train data`: a tokenized data set from text.
struct TrainDataCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Tokenizes documents into shards, for training and for validation by each document's own hash.")

    @Argument(help: "Files of documents: .jsonl with a member 'text' a line, .txt, or folders of such.")
    var files: [String]
    @Option(help: ArgumentHelp("The folder with tokenizer.json.", valueName: "folder")) var tokenizer: String
    @Flag(
        help: """
            Documents are conversations, lines of .jsonl with a member 'messages' and, for answers without thinking, 'thinking': \
            false. A model learns the assistant's side of them.
            """)
    var chat = false
    @Option(help: ArgumentHelp("The folder of the data set.", valueName: "folder")) var out: String
    @Option(help: "Part of the documents that validate, from 0 to below 1.") var validationFraction = 0.01
    @Option(help: "A shard ends with the document that reaches so many tokens.") var shardTokens = 1 << 26

    func run() async throws {
        let reader = try DocumentReader(files)
        let builder = try DatasetBuilder(
            folder: out, tokenizerFolder: tokenizer, validationFraction: validationFraction, ofConversations: chat,
            shardTokens: shardTokens)
        if chat {
            try reader.forEachConversationBatch { (batch) throws(DataError) in try builder.add(batch) }
        } else {
            try reader.forEachBatch { (texts) throws(DataError) in try builder.add(texts) }
        }
        let dataset = try builder.finish()
        var lines = [["SPLIT", "DOCUMENTS", "TOKENS", "TEXT", "BYTES A TOKEN", "SHARDS"]]
        for split in TokenDataset.Split.allCases {
            let (tokens, bytes) = (dataset.tokens(split), dataset.textBytes(split))
            lines.append([
                split.rawValue, "\(dataset.documents(split))", "\(tokens)", Terminal.bytes(bytes),
                tokens == 0 ? "-" : String(format: "%.2f", Double(bytes) / Double(tokens)),
                "\(dataset.shards(split).count)",
            ])
        }
        Terminal.output(Terminal.table(lines) + "\n")
        Terminal.log("\(builder.duplicates) documents came twice and were left out; data set \(dataset.fingerprint)")
    }
}
