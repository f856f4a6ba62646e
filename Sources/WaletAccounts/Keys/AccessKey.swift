// A key to the server: who holds it, what it may do.

import Foundation

/// What a key's holder may do beside asking models.
public enum Role: String, Sendable, Hashable, CaseIterable, Comparable {
    /// Asks models.
    case user
    /// Sees the operator's page and everybody's usage.
    case `operator`
    /// Also changes keys and prices.
    case admin

    public static func < (left: Role, right: Role) -> Bool { left.rank < right.rank }

    private var rank: Int {
        switch self {
        case .user: 0
        case .operator: 1
        case .admin: 2
        }
    }
}

/// How much a key may use; nil is without limit.
public struct Limits: Sendable, Hashable {
    /// Requests that begin within any 60 seconds.
    public var requestsPerMinute: Int?
    /// Tokens, prompt and output, of the requests that began within any 60 seconds. While a request runs, its longest
    /// possible output counts.
    public var tokensPerMinute: Int?
    /// Requests at once.
    public var concurrency: Int?
    /// What requests of one UTC day may cost.
    public var dayBudget: Money?
    /// What requests of one UTC month may cost.
    public var monthBudget: Money?

    public init(
        requestsPerMinute: Int? = nil, tokensPerMinute: Int? = nil, concurrency: Int? = nil, dayBudget: Money? = nil,
        monthBudget: Money? = nil
    ) {
        self.requestsPerMinute = requestsPerMinute
        self.tokensPerMinute = tokensPerMinute
        self.concurrency = concurrency
        self.dayBudget = dayBudget
        self.monthBudget = monthBudget
    }

    var isRateLimited: Bool { requestsPerMinute != nil || tokensPerMinute != nil }
}

/// What an operator decides about a key.
public struct KeySpecification: Sendable, Hashable {
    /// For people; need not be unique.
    public var name: String
    /// Keys of a tenant share cached prompts and nothing else; "" is the tenant of those that name none.
    public var tenant: String
    public var role: Role
    /// The models that the key may ask; nil: all.
    public var models: [String]?
    public var limits: Limits
    /// -100...100; higher goes first.
    public var priority: Int
    public var expiresAt: Date?

    public init(
        name: String, tenant: String = "", role: Role = .user, models: [String]? = nil, limits: Limits = Limits(),
        priority: Int = 0, expiresAt: Date? = nil
    ) {
        self.name = name
        self.tenant = tenant
        self.role = role
        self.models = models
        self.limits = limits
        self.priority = priority
        self.expiresAt = expiresAt
    }

    func validate() throws(AccountsError) {
        let label = "1 to 256 bytes of text without control characters"
        func check(_ valid: Bool, _ field: String, _ expected: String, _ found: @autoclosure () -> String)
            throws(AccountsError)
        {
            guard valid else { throw .invalid(field: field, expected: expected, found: AccountsError.excerpt(found())) }
        }
        try check(Names.isLabel(name), "name", label, "'\(name)'")
        try check(!name.hasPrefix(AccessKey.idPrefix), "name", "a name that does not look like an id", "'\(name)'")
        try check(tenant.isEmpty || Names.isLabel(tenant), "tenant", label, "'\(tenant)'")
        if let models {
            try check((1...1000).contains(models.count), "models", "1 to 1000 names, or all", "\(models.count)")
            for model in models { try check(Names.isModel(model), "models", label, "'\(model)'") }
        }
        let counts = [
            ("requests per minute", limits.requestsPerMinute, 1_000_000),
            ("tokens per minute", limits.tokensPerMinute, 1_000_000_000_000),
            ("concurrency", limits.concurrency, 1_000_000),
        ]
        for case (let field, let count?, let most) in counts {
            try check((1...most).contains(count), field, "1 to \(most), or none", "\(count)")
        }
        for case (let field, let budget?) in [("day budget", limits.dayBudget), ("month budget", limits.monthBudget)] {
            try check(budget >= .zero, field, "no negative amount", "\(budget)")
        }
        try check((-100...100).contains(priority), "priority", "-100 to 100", "\(priority)")
    }
}

/// A key as it is stored. Its secret is not: only the secret's SHA-256 is.
public struct AccessKey: Sendable, Hashable {
    /// Public: `wk_` and twelve characters, for lists, logs and metrics.
    public let id: String
    public let specification: KeySpecification
    public let createdAt: Date
    public let revokedAt: Date?

    static let idPrefix = "wk_"

    package init(id: String, specification: KeySpecification, createdAt: Date, revokedAt: Date?) {
        self.id = id
        self.specification = specification
        self.createdAt = createdAt
        self.revokedAt = revokedAt
    }

    public var name: String { specification.name }
    public var tenant: String { specification.tenant }
    public var role: Role { specification.role }
    public var models: [String]? { specification.models }
    public var limits: Limits { specification.limits }
    public var priority: Int { specification.priority }
    public var expiresAt: Date? { specification.expiresAt }
    public var isRevoked: Bool { revokedAt != nil }

    public func isExpired(at date: Date) -> Bool { expiresAt.map { date >= $0 } ?? false }

    /// Names are compared byte by byte.
    public func allows(model: String) -> Bool {
        models?.contains { $0.utf8.elementsEqual(model.utf8) } ?? true
    }
}

/// Who makes a request: a key that was valid at most a second ago.
public struct Principal: Sendable, Hashable {
    public let key: AccessKey

    public var id: String { key.id }
    public var name: String { key.name }
    public var tenant: String { key.tenant }
    public var role: Role { key.role }
    public var priority: Int { key.priority }
}
