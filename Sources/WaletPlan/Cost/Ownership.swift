// What a machine costs an hour, whatever it does.

/// Buying or renting machines, running them, and looking after them. Amounts are US dollars.
public struct Ownership: Sendable, Equatable {
    /// Machines of a kind.
    public var machines = 1
    /// Price of a machine.
    public var capital = 0.0
    /// Years over which it is written off.
    public var years = 4.0
    /// What a machine draws on average, in watts, idle hours included.
    public var watts = 0.0
    /// Power of the building over power of the machine: cooling and losses (power usage effectiveness).
    public var pue = 1.4
    /// Per kilowatt-hour.
    public var powerPrice = 0.20
    /// Per year, for the work of people on all machines.
    public var staff = 0.0
    /// Per month, for all machines: space, network, support.
    public var other = 0.0
    /// Rent of a machine per hour, where it is not bought.
    public var rent = 0.0

    public init() {}

    /// A mean year and a mean month of the Gregorian calendar, in hours.
    public static let hoursPerYear = 8765.82
    public static let hoursPerMonth = hoursPerYear / 12

    /// What an hour costs by cause, for all machines.
    public var perHour: [(name: String, cost: Double)] {
        let count = Double(machines)
        return [
            ("capital", count * capital / (years * Self.hoursPerYear)),
            ("rent", count * rent),
            ("power", count * watts / 1000 * pue * powerPrice),
            ("staff", staff / Self.hoursPerYear),
            ("other", other / Self.hoursPerMonth),
        ].filter { $0.1 > 0 }
    }

    /// For all machines.
    public var costPerHour: Double { perHour.reduce(0) { $0 + $1.cost } }
    public var costPerMonth: Double { costPerHour * Self.hoursPerMonth }

    /// What has been spent after some years: machines are paid at the start, everything else as it comes.
    public func spent(years elapsed: Double) -> Double {
        let running = perHour.filter { $0.name != "capital" }.reduce(0) { $0 + $1.cost }
        // Machines that are written off are bought again.
        let purchases = elapsed > 0 ? (elapsed / years).rounded(.up) : 1
        return Double(machines) * capital * purchases + running * Self.hoursPerYear * elapsed
    }

    /// - Throws: ``PlanError/invalid(field:expected:found:)``.
    public func validate() throws(PlanError) {
        guard (1...1_000_000).contains(machines) else {
            throw .invalid(field: "machines", expected: "1 to 1000000", found: "\(machines)")
        }
        try PlanError.check("years", years, in: 0.1...30)
        try PlanError.check("power in watts", watts, in: 0...1e6)
        try PlanError.check("PUE", pue, in: 1...5)
        try PlanError.check("price of power", powerPrice, in: 0...100)
        for (name, value) in [("capital", capital), ("staff", staff), ("other", other), ("rent", rent)] {
            try PlanError.check(name, value, in: 0...1e12)
        }
        guard costPerHour > 0 else {
            throw .invalid(
                field: "cost", expected: "a price of the machine, its power, staff or rent", found: "nothing")
        }
    }
}
