import Walet
import WaletJSON

/// What serves behind an address. The engines differ in what they offer beside the API of OpenAI.
enum UpstreamKind: Sendable, Equatable {
    case llama, vllm, sglang
    /// One that says nothing of itself: nothing is sent to it that is not in the API, unless a client asks for it.
    case other

    /// - Parameter owner: `owned_by` of its models.
    init(owner: String?) {
        switch owner?.lowercased() {
        case "llamacpp": self = .llama
        case "vllm": self = .vllm
        case "sglang": self = .sglang
        default: self = .other
        }
    }

    /// Whether each chunk may carry the counts so far, so that an answer that is broken off can be charged.
    var countsWhileStreaming: Bool { self == .vllm || self == .sglang }
    /// Whether `cache_salt` keeps what tenants have in the prefix cache apart.
    var separatesCaches: Bool { self == .vllm || self == .sglang }
}

/// How another server turns text into tokens.
enum UpstreamTokenizer: Sendable, Equatable {
    case none
    /// `{"content"}` gives `{"tokens"}`; chats go through `/apply-template` first.
    case llama(hasTemplate: Bool)
    /// `{"model", "prompt"}` gives `{"tokens"}`; chats too where it takes `messages`.
    case openAI(takesChats: Bool)

    /// Whether the tokens of all prompts can be counted.
    var countsPrompts: Bool {
        switch self {
        case .none: false
        case .llama(let all), .openAI(let all): all
        }
    }
}

/// A model of another server, as that server describes it.
struct UpstreamRemote: Sendable, Equatable {
    private static let maximumModels = 10_000

    /// As the other server calls it.
    var name: String
    var kind: UpstreamKind
    var contextLength: Int
    var tokenizer: UpstreamTokenizer

    /// Asks another server.
    /// - Parameters:
    ///   - localName: what this server calls the model; the other one may call it the same.
    ///   - contextLimit: of prompt and answer, at most, whatever the other server says.
    /// - Throws: ``UpstreamError``, or `CancellationError`.
    static func ask(
        _ address: UpstreamAddress, key: UpstreamKey?, localName: String, contextLimit: Int?,
        client: UpstreamClient
    ) async throws -> UpstreamRemote {
        let list = try await optional { try await client.document(address.base + "/models", key: key, body: nil) }
        let model = try select(list, address.remoteModel, localName)
        let kind = UpstreamKind(owner: model["owned_by"]?.stringValue)
        let name = model["id"]?.stringValue ?? address.remoteModel ?? localName
        var told = contextLength(of: model)
        if kind == .llama, length(model["meta"]?["n_ctx"]) == nil {
            // Its older versions tell there what one answer gets.
            let properties = try await optional {
                try await client.document(address.root + "/props", key: key, body: nil)
            }
            told = length(properties?["default_generation_settings"]?["n_ctx"]) ?? told
        }
        guard let context = [told, contextLimit].compactMap({ $0 }).min() else {
            throw UpstreamError.noContextLength
        }
        var remote = UpstreamRemote(name: name, kind: kind, contextLength: context, tokenizer: .none)
        remote.tokenizer = try await remote.askTokenizer(address, key: key, client: client)
        return remote
    }

    /// The entry that is meant; an empty object where the server lists nothing.
    private static func select(
        _ list: JSONValue?, _ remoteName: String?, _ localName: String
    ) throws(UpstreamError) -> JSONValue {
        guard let list else { return [:] }
        guard let models = list["data"]?.arrayValue, models.count <= maximumModels else {
            throw .malformed(what: "the list of models", expected: "an array as 'data'", found: list.kind)
        }
        if models.isEmpty { return [:] }
        func named(_ name: String) -> JSONValue? {
            models.first { model in
                model["id"]?.stringValue == name || model["aliases"]?.arrayValue?.contains(.string(name)) == true
            }
        }
        if let model = named(remoteName ?? localName) { return model }
        if remoteName == nil, models.count == 1 { return models[0] }
        throw .noModel(
            name: remoteName ?? localName,
            offered: models.prefix(20).map { String(($0["id"]?.stringValue ?? "?").prefix(100)) })
    }

    private static func length(_ value: JSONValue?) -> Int? {
        value?.intValue.flatMap { (1...Int(Int32.max)).contains($0) ? $0 : nil }
    }

    /// In the words of vLLM and SGLang, llama-server, and some gateways.
    private static func contextLength(of model: JSONValue) -> Int? {
        length(model["max_model_len"]) ?? length(model["meta"]?["n_ctx"]) ?? length(model["meta"]?["n_ctx_train"])
            ?? length(model["context_length"]) ?? length(model["context_window"])
    }

    private func askTokenizer(
        _ address: UpstreamAddress, key: UpstreamKey?, client: UpstreamClient
    ) async throws -> UpstreamTokenizer {
        let url = address.root + "/tokenize"
        let messages: JSONValue = [["role": "user", "content": "a"]]
        func answers(_ url: String, _ body: JSONValue, _ member: String) async throws -> Bool {
            let answer = try await Self.optional { try await client.document(url, key: key, body: body) }
            return answer?[member] != nil
        }
        if kind == .llama {
            guard try await answers(url, ["content": "a"], "tokens") else { return .none }
            return .llama(
                hasTemplate: try await answers(address.root + "/apply-template", ["messages": messages], "prompt"))
        }
        guard try await answers(url, ["model": .string(name), "prompt": "a"], "tokens") else { return .none }
        return .openAI(
            takesChats: try await answers(url, ["model": .string(name), "messages": messages], "tokens"))
    }

    /// Nil where the other server does not have what is asked for.
    private static func optional(_ body: () async throws -> JSONValue) async throws -> JSONValue? {
        do {
            return try await body()
        } catch let error as UpstreamError {
            switch error {
            case .refused(let status, _) where status == 404 || status == 405: return nil
            case .rejected, .malformed, .failed: return nil
            default: throw error
            }
        }
    }
}
