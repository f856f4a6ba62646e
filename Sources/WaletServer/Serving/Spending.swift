/// What a model costs, in US dollars for a million tokens, as decimal text.
public struct ModelPrice: Sendable, Equatable {
    public var input: String
    public var cachedInput: String
    public var output: String

    public init(input: String, cachedInput: String, output: String) {
        self.input = input
        self.cachedInput = cachedInput
        self.output = output
    }
}

/// What the keys used and spent. Money is decimal text in US dollars; days are those of UTC, as in `2026-11-25`.
public struct Spending: Sendable, Equatable {
    public struct Day: Sendable, Equatable {
        public var day: String
        public var requests: Int
        /// Tokens of prompts that were computed, and those that came from the cache.
        public var fresh: Int
        public var cached: Int
        public var output: Int
        public var cost: String

        public init(day: String, requests: Int, fresh: Int, cached: Int, output: Int, cost: String) {
            self.day = day
            self.requests = requests
            self.fresh = fresh
            self.cached = cached
            self.output = output
            self.cost = cost
        }
    }

    public struct Key: Sendable, Equatable {
        public var id: String
        public var name: String
        public var tenant: String
        /// `active`, `revoked` or `expired`.
        public var state: String
        public var requestsPerMinute: Int?
        public var tokensPerMinute: Int?
        public var concurrency: Int?
        public var dayBudget: String?
        public var monthBudget: String?
        /// With what is set aside for requests under way.
        public var spentToday: String
        public var spentThisMonth: String
        public var running: Int
        /// Only days with usage.
        public var days: [Day] = []

        public init(
            id: String, name: String, tenant: String, state: String, spentToday: String, spentThisMonth: String,
            running: Int
        ) {
            self.id = id
            self.name = name
            self.tenant = tenant
            self.state = state
            self.spentToday = spentToday
            self.spentThisMonth = spentThisMonth
            self.running = running
        }
    }

    /// Oldest first; the last one is today.
    public var days: [String]
    public var keys: [Key]

    public init(days: [String], keys: [Key]) {
        self.days = days
        self.keys = keys
    }
}
