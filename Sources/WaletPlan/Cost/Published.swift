// Figures that others published, computed again with the same arithmetic as everything else here.

/// DeepSeek's own figures, as a check of the method.
public enum Published {
    /// A day of serving V3 and R1 (DeepSeek, open-infra-index, 2025-02-27 noon to 2025-02-28 noon UTC).
    public struct Day: Sendable, Equatable {
        /// Nodes of 8 H800 in use on average.
        public var nodes = 226.75
        /// US dollars per GPU and hour, as DeepSeek assumed.
        public var hourPrice = 2.0
        /// Tokens: 608 billion of prompts, of them 342 billion from the cache, and 168 billion generated.
        public var tokens = TokenMix.published
        /// Tokens a second and node, prompts with what came from the cache.
        public var throughput = Throughput(fresh: 73_700, cached: 73_700, output: 14_800, origin: .measured)
        /// R1's list price on that day.
        public var price = TokenPrice(
            name: "DeepSeek R1", date: "2025-02-28", fresh: 0.55, cached: 0.14, output: 2.19)
        /// What DeepSeek says that the day cost, would have earned, and its profit over cost.
        public var cost = 87_072.0
        public var earned = 562_027.0
        public var margin = 5.45

        /// A node's hour from its rent.
        public var ownership: Ownership {
            var ownership = Ownership()
            ownership.rent = 8 * hourPrice
            return ownership
        }

        /// What the tokens cost by the throughput of a node, without looking at how many nodes there were.
        public func computedCost() throws(PlanError) -> Double {
            try ServingCost(ownership, throughput, mix: tokens, utilisation: 1).perMillion.cost(tokens)
        }

        /// Nodes that the tokens keep busy all day by the throughput of a node.
        public var computedNodes: Double { tokens.total * throughput.seconds(tokens) / 86_400 }

        public var computedEarned: Double { price.cost(tokens) }

        public init() {}
    }

    public static let day = Day()

    /// Training of DeepSeek-V3 (arXiv 2412.19437, table 1): GPU hours of pre-training, context extension and post-training
    /// on H800 at 2 dollars; 37 billion active parameters, 14.8 trillion tokens.
    public static let trainingHours = [
        (name: "pre-training", hours: 2_664_000.0), (name: "context extension", hours: 119_000.0),
        (name: "post-training", hours: 5_000.0),
    ]

    /// What DeepSeek says that it cost.
    public static let trainingCost = 5_576_000.0

    public static func training() throws(PlanError) -> TrainingCost {
        try TrainingCost(
            activeParameters: 37e9, tokens: 14.8e12, hours: trainingHours.reduce(0) { $0 + $1.hours }, hourPrice: 2)
    }
}
