// Conversations to tokens, with the assistant's side marked: what a model learns of them.

import WaletJSON
import WaletText

/// A conversation as training data: OpenAI-style messages, and whether the model is asked to think.
public struct TrainingConversation: Sendable, Equatable {
    /// Objects with `role`, `content` and, for what the assistant thought, `reasoning_content`.
    public var messages: [JSONValue]
    /// The template's `enable_thinking`; nil for what the template does unasked.
    public var thinking: Bool?

    public init(messages: [JSONValue], thinking: Bool? = nil) {
        self.messages = messages
        self.thinking = thinking
    }

    /// Reads a line of a file: `{"messages": [...], "thinking": false}`.
    /// - Returns: nil where it is something else, or no message is the assistant's.
    init?(json: JSONValue) {
        guard let messages = json["messages"]?.arrayValue,
            messages.allSatisfy({ $0["role"]?.stringValue != nil }),
            messages.contains(where: { $0["role"]?.stringValue == "assistant" })
        else { return nil }
        if let value = json["thinking"], value.boolValue == nil, !value.isNull { return nil }
        self.init(messages: messages, thinking: json["thinking"]?.boolValue)
    }

    /// What makes it another conversation.
    var identity: String {
        JSONValue.object(JSONObject([("m", .array(messages)), ("t", .bool(thinking ?? true))])).text()
    }
}

/// Turns conversations into tokens as the model's template has them, and says which of them are the assistant's.
struct ConversationEncoder: Sendable {
    let tokenizer: Tokenizer
    private let template: ChatTemplate

    /// - Parameters:
    ///   - template: the text of `chat_template.jinja`; nil for what the configuration has.
    /// - Throws: ``DataError/badVocabulary(reason:)`` where there is no template, or one that cannot be honoured.
    init(_ tokenizer: Tokenizer, configuration: JSONValue, template source: String?) throws(DataError) {
        self.tokenizer = tokenizer
        do {
            guard let text = try ChatTemplate.Choices(tokenizerConfig: configuration, jinjaFile: source).source()
            else { throw DataError.badVocabulary(reason: "it has no chat template, which conversations need") }
            template = try ChatTemplate(
                source: text, bosToken: ChatTemplate.specialToken("bos_token", in: configuration),
                eosToken: ChatTemplate.specialToken("eos_token", in: configuration))
        } catch {
            throw error as? DataError ?? .badVocabulary(reason: "its chat template: \(error)")
        }
    }

    /// That of a model's folder.
    /// - Throws: ``DataError``.
    init(folder path: String) throws(DataError) {
        let (json, configuration, template): ([UInt8], [UInt8], [UInt8]?)
        do throws(StorageError) {
            let folder = try StorageFolder(path, create: false)
            json = try folder.contents(TokenDataset.vocabularyName, limit: 1 << 30)
            configuration = try folder.contents("tokenizer_config.json", limit: 1 << 30)
            let name = ConversationTemplate.fileName
            template = folder.exists(name) ? try folder.contents(name, limit: 1 << 24) : nil
        } catch {
            throw .storage(error)
        }
        let (tokenizer, settings): (Tokenizer, JSONValue)
        do {
            settings = try JSONValue(parsing: configuration)
            tokenizer = try Tokenizer(tokenizerJSON: json, configuration: settings)
        } catch {
            throw .badVocabulary(reason: "\(path): \(error)")
        }
        try self.init(
            tokenizer, configuration: settings, template: template.map { String(decoding: $0, as: UTF8.self) })
    }

    /// A conversation's tokens, and for each whether it is learned: what comes after the prompt of a turn, up to the
    /// turn's end. A turn that the whole conversation shows otherwise than its own prompt led to, such as one whose thinking
    /// is left out later, is read alone.
    /// - Throws: `TemplateError`.
    func encode(_ conversation: TrainingConversation) throws -> (tokens: [Int32], learned: [Bool], textBytes: Int) {
        let messages = conversation.messages
        let (tokens, bytes) = try render(messages[...], conversation, prompting: false)
        var learned = [Bool](repeating: false, count: tokens.count)
        for index in messages.indices where messages[index]["role"]?.stringValue == "assistant" {
            let prompt = try render(messages[..<index], conversation, prompting: true).tokens
            let turn =
                index == messages.count - 1
                ? tokens : try render(messages[...index], conversation, prompting: false).tokens
            guard turn.count > prompt.count, tokens.starts(with: turn), turn.starts(with: prompt) else { continue }
            for place in prompt.count..<turn.count { learned[place] = true }
        }
        return (tokens, learned, bytes)
    }

    /// The tokens of a prompt that an answer follows.
    /// - Throws: `TemplateError`.
    func prompt(_ messages: [JSONValue]) throws -> [Int32] {
        try render(messages[...], TrainingConversation(messages: messages), prompting: true).tokens
    }

    private func render(
        _ messages: ArraySlice<JSONValue>, _ conversation: TrainingConversation, prompting: Bool
    ) throws -> (tokens: [Int32], bytes: Int) {
        var variables: [String: JSONValue] = [:]
        if let thinking = conversation.thinking {
            variables = ["enable_thinking": .bool(thinking), "thinking": .bool(thinking)]
        }
        let prompt = try template.render(
            messages: Array(messages), addGenerationPrompt: prompting, extra: variables)
        let ids = tokenizer.encode(prompt.text, addSpecial: false, special: .recognized(outside: prompt.untrusted))
        return (ids.map { Int32(truncatingIfNeeded: $0) }, prompt.text.utf8.count)
    }
}
