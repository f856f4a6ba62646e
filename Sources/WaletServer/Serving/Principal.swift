/// Who calls: a key, or whoever reaches an open server.
public struct Principal: Sendable, Equatable {
    /// The key's public id; empty where there is none. Never the secret.
    public var keyID: String
    public var name: String
    /// Prefix cache, stored responses and reports are separate by tenant.
    public var tenant: String
    /// Models that may be used; nil for all.
    public var models: Set<String>?
    /// Higher goes first, -100 to 100.
    public var priority: Int
    /// May see the keys, the spending and the metrics of all.
    public var isOperator: Bool

    public init(
        keyID: String, name: String = "", tenant: String = "", models: Set<String>? = nil, priority: Int = 0,
        isOperator: Bool = false
    ) {
        self.keyID = keyID
        self.name = name
        self.tenant = tenant
        self.models = models
        self.priority = priority
        self.isOperator = isOperator
    }

    /// On routes that are open to everybody.
    static let nobody = Principal(keyID: "", models: [])

    public func allows(model: String) -> Bool { models?.contains(model) ?? true }
}
