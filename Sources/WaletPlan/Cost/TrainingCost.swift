// What training a model takes and costs.

/// Training by arithmetic: operations, GPU hours and dollars.
public struct TrainingCost: Sendable, Equatable {
    /// Parameters that take part in a token.
    public var activeParameters: Double
    public var tokens: Double
    /// GPU hours, where they are known.
    public var givenHours: Double?
    /// US dollars per GPU and hour.
    public var hourPrice: Double
    /// What a GPU could do, in operations a second.
    public var peak: Double
    /// The share of ``peak`` that training reaches.
    public var efficiency: Double

    /// - Parameters:
    ///   - peak: by default a H100's or H800's 989 trillion a second in BF16.
    ///   - efficiency: by default 0.35, what the hours of DeepSeek-V3's pre-training come to, with much of it in FP8.
    /// - Throws: ``PlanError/invalid(field:expected:found:)``.
    public init(
        activeParameters: Double, tokens: Double, hours: Double? = nil, hourPrice: Double = 2, peak: Double = 989e12,
        efficiency: Double = 0.35
    ) throws(PlanError) {
        try PlanError.check("parameters", activeParameters, in: 1...1e18)
        try PlanError.check("tokens", tokens, in: 1...1e20)
        if let hours { try PlanError.check("GPU hours", hours, in: 1e-6...1e15) }
        try PlanError.check("price of a GPU hour", hourPrice, in: 0...1e6)
        try PlanError.check("peak", peak, in: 1e6...1e21)
        try PlanError.check("share of the peak", efficiency, in: 1e-4...1)
        self.activeParameters = activeParameters
        self.tokens = tokens
        givenHours = hours
        self.hourPrice = hourPrice
        self.peak = peak
        self.efficiency = efficiency
    }

    /// Multiplications and additions: 6 a parameter and token, two in the forward pass and four in the backward pass.
    /// Attention over the context comes besides.
    public var operations: Double { 6 * activeParameters * tokens }

    public var hours: Double { givenHours ?? operations / (peak * efficiency * 3600) }

    public var cost: Double { hours * hourPrice }

    /// Operations a second and GPU that the hours come to.
    public var reached: Double { operations / (hours * 3600) }

    /// From this many operations on the EU presumes a systemic risk (Regulation (EU) 2024/1689, article 51(2)).
    public static let systemicRisk = 1e25

    /// What hours times price leave out.
    public static let leftOut = [
        "research, ablations and runs that failed", "making, cleaning and licensing the data",
        "people", "machines that are bought, and their idle hours", "evaluation and later fine-tuning",
    ]
}
