import WaletFormats
import WaletJSON
import WaletText

extension LanguageModel {
    /// The text side of a model: its tokenizer and chat template, which need none of its weights.
    public struct Vocabulary: Sendable {
        /// What the user called the model.
        let name: String
        let tokenizer: Tokenizer
        let template: ChatTemplate?
        /// The same one, where the checkpoint has none of its own for tools.
        let toolTemplate: ChatTemplate?
        /// Tokens that end a turn or a text, as the tokenizer's files say.
        let endTokens: [Int]

        /// Loads the text side alone.
        /// - Parameter name: as for ``LanguageModel/load(_:name:threads:contextLength:precision:engine:)``.
        public static func load(_ name: String) async throws -> Vocabulary {
            let files = try ModelFolder(try LanguageModel.locate(name))
            guard let vocabulary = try Vocabulary(name: name, files: files) else {
                throw LanguageModelError.noTokenizer(name)
            }
            return vocabulary
        }

        /// Nil where the checkpoint has no tokenizer.
        init?(name: String, files: ModelFolder) throws {
            let material = try files.tokenizerFiles()
            let configuration = try material.configuration.map { bytes in
                do {
                    return try JSONValue(parsing: bytes)
                } catch {
                    throw FormatError(
                        file: material.source, field: "tokenizer_config.json", expected: "JSON", found: "\(error)")
                }
            }
            do {
                if let bytes = material.tokenizer {
                    tokenizer = try Tokenizer(tokenizerJSON: bytes, configuration: configuration)
                } else if let bytes = material.tiktoken {
                    tokenizer = try Tokenizer(tiktokenModel: bytes, configuration: configuration)
                } else if let vocabulary = material.gguf {
                    tokenizer = try Tokenizer(vocabulary: WaletText.GGUFVocabulary(vocabulary))
                } else {
                    return nil
                }
            } catch {
                throw FormatError(
                    file: material.source, field: "tokenizer", expected: "one that Walet can honour",
                    found: "\(error)")
            }
            self.name = name
            let tokenizer = tokenizer
            func token(_ name: String, _ id: Int?) -> String? {
                configuration.flatMap { ChatTemplate.specialToken(name, in: $0) }
                    ?? id.flatMap { tokenizer.bytes(of: $0) }.map { String(decoding: $0, as: UTF8.self) }
            }
            func compile(_ source: String) throws -> ChatTemplate {
                try ChatTemplate(
                    source: source, bosToken: token("bos_token", tokenizer.bosID),
                    eosToken: token("eos_token", tokenizer.eosID))
            }
            do {
                let choices = try ChatTemplate.Choices(
                    tokenizerConfig: configuration, jinjaFile: material.chatTemplate)
                template = try choices.source().map(compile)
                toolTemplate = try choices.source(hasTools: true).map(compile)
            } catch {
                throw FormatError(
                    file: material.source, field: "chat_template", expected: "a template that Walet can honour",
                    found: "\(error)")
            }
            var ends = [tokenizer.eosID, material.gguf?.endOfTurn, material.gguf?.endOfMessage].compactMap { $0 }
            // K2's files name [EOS], and its turns end with <|im_end|>: both end an answer.
            for name in ["<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "[EOS]", "[EOT]"] {
                if let id = tokenizer.id(ofToken: name), tokenizer.isSpecial(id) { ends.append(id) }
            }
            endTokens = ends
        }

        /// Number of ids, those without a token included.
        public var count: Int { tokenizer.vocabularySize }

        /// Tokens of a text.
        /// - Parameter special: whether beginning and end tokens are added as the tokenizer says, and the text of
        ///   control tokens becomes those tokens.
        public func tokenize(_ text: String, special: Bool = true) -> [Int] {
            tokenizer.encode(text, addSpecial: special, special: special ? .recognized : .asText)
        }

        /// Text of tokens; bytes that are no UTF-8 become U+FFFD.
        /// - Parameter skipSpecial: whether control tokens are left out.
        public func text(_ ids: [Int], skipSpecial: Bool = false) -> String {
            tokenizer.decode(ids, skipSpecial: skipSpecial)
        }

        /// The text of one token, or nil where the id has none.
        public func piece(_ id: Int) -> String? {
            tokenizer.bytes(of: id).map { String(decoding: $0, as: UTF8.self) }
        }

        /// The prompt that a conversation becomes.
        /// - Parameters:
        ///   - messages: in the OpenAI API's form.
        ///   - tools: in the OpenAI API's form.
        ///   - variables: further variables of the template, such as `enable_thinking`.
        /// - Throws: ``LanguageModelError/noTemplate(_:)``, or what the template finds wrong.
        public func render(
            _ messages: [JSONValue], tools: [JSONValue]? = nil, addGenerationPrompt: Bool = true,
            variables: [String: JSONValue] = [:]
        ) throws -> String {
            try prompt(messages, tools: tools, addGenerationPrompt: addGenerationPrompt, variables: variables).text
        }

        /// The tokens of the prompt that a conversation becomes, as a session makes them: text that came from messages
        /// never becomes a control token.
        package func promptTokens(_ messages: [JSONValue]) throws -> [Int] {
            tokenize(try prompt(messages, tools: nil, addGenerationPrompt: true, variables: [:]))
        }

        func prompt(
            _ messages: [JSONValue], tools: [JSONValue]?, addGenerationPrompt: Bool, variables: [String: JSONValue]
        ) throws -> RenderedPrompt {
            guard let template = tools == nil ? template : toolTemplate else {
                throw LanguageModelError.noTemplate(name)
            }
            return try template.render(
                messages: messages, tools: tools, addGenerationPrompt: addGenerationPrompt, extra: variables)
        }

        /// A rendered prompt's tokens. The template writes its own beginning token, and what a user wrote never becomes
        /// a control token.
        func tokenize(_ prompt: RenderedPrompt) -> [Int] {
            tokenizer.encode(prompt.text, addSpecial: false, special: .recognized(outside: prompt.untrusted))
        }
    }
}

/// What a model cannot do, or why it cannot be found.
public enum LanguageModelError: Error, Sendable, Equatable, CustomStringConvertible {
    /// No file, folder or stored model of this name.
    case notFound(name: String, store: String)
    /// The checkpoint has no tokenizer.
    case noTokenizer(String)
    /// The checkpoint has no chat template.
    case noTemplate(String)
    /// Weights that would have to be made up do not fit the memory.
    case tooLarge(name: String, bytes: Int, memory: Int)

    public var description: String {
        switch self {
        case .notFound(let name, let store):
            "\(name): no such file or folder, and no model of that name in \(store); "
                + "'walet list' shows what is there, 'walet pull OWNER/NAME' fetches one"
        case .noTokenizer(let name):
            "\(name): the checkpoint has no tokenizer.json, tiktoken.model or GGUF vocabulary; give tokens by their ids"
        case .noTemplate(let name):
            "\(name): the checkpoint has no chat template; 'walet run --raw' goes on from a text as it is"
        case .tooLarge(let name, let bytes, let memory):
            "\(name): weights of this shape take \(bytes) bytes, and this machine has \(memory) bytes of memory"
        }
    }
}

extension WaletText.GGUFVocabulary {
    /// The same values, as the tokenizer takes them.
    init(_ file: WaletFormats.GGUFVocabulary) {
        self.init(
            model: file.model, pre: file.preTokenizer ?? "", tokens: file.tokens,
            tokenTypes: file.types ?? [], merges: file.merges ?? [], scores: file.scores ?? [],
            bosID: file.begin, eosID: file.end, eotID: file.endOfTurn, unknownID: file.unknown, padID: file.padding,
            addBOS: file.addsBegin, addEOS: file.addsEnd, addSpacePrefix: file.addsSpacePrefix)
    }
}
