import ArgumentParser
import Foundation
import Walet
import WaletAccounts
import WaletPlan

/// `walet cost`: what a million tokens cost here, against an API; and what training costs.
struct CostCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cost",
        abstract: "What a million tokens cost on machines of your own, against an API; and what training costs.",
        subcommands: [ServingCostCommand.self, TrainingCostCommand.self, PublishedCostCommand.self],
        defaultSubcommand: ServingCostCommand.self)
}

/// `walet cost serving`.
struct ServingCostCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serving",
        abstract: "The cost of a million tokens, fresh, cached and generated, and the break-even against price lists.",
        discussion: """
            Say what the machine costs (--capital or --rent), what it draws (--power or --measure-power), and how fast it
            is: --prefill-rate and --decode-rate where you measured them ('walet bench'), else the plan of MODEL.
            How much it works is --utilisation, or the tokens a month of --tokens.
            Amounts are US dollars. Power lists, prices and mixes of tokens have dates and sources in the guide.
            """)

    @Argument(help: "The model whose planned speed counts; not needed with both rates.") var model: String?

    @Option(help: "Price of a machine.") var capital = 0.0
    @Option(help: "Rent of a machine an hour.") var rent = 0.0
    @Option(help: "Machines of the kind.") var machines = 1
    @Option(help: "Years in use.") var years = 4.0
    @Option(help: ArgumentHelp("What a machine draws on average, idle hours included.", valueName: "watts"))
    var power: Double?
    @Option(help: ArgumentHelp("Measure for so long what this machine draws (RAPL).", valueName: "seconds"))
    var measurePower: Double?
    @Option(help: "Power of the building over power of the machine.") var pue = 1.4
    @Option(help: "Price of a kilowatt-hour.") var powerPrice = 0.20
    @Option(help: "People's work on all machines, a year.") var staff = 0.0
    @Option(help: "Space, network and support of all machines, a month.") var other = 0.0
    @Option(help: "The share of all hours in which the machines work, 0 to 1; by default 0.3.") var utilisation: Double?
    @Option(help: ArgumentHelp("Tokens a month, such as 600M, in place of --utilisation.", valueName: "count"))
    var tokens: String?
    @Option(help: "Prompt tokens a second of a machine, measured.") var prefillRate: Double?
    @Option(help: "Cached prompt tokens a second; by default 100 times the fresh ones.") var cachedRate: Double?
    @Option(help: "Generated tokens a second of a machine, all requests together, measured.") var decodeRate: Double?
    @Option(
        help: ArgumentHelp(
            "Fresh, cached and generated tokens, in any unit; by default 266,342,168 as on DeepSeek's published day.",
            valueName: "a,b,c"))
    var mix: String?
    @Option(help: ArgumentHelp("Prices to compare with, a JSON file as for 'walet usage'.", valueName: "file"))
    var prices: String?
    @Option(help: "Write a plot of what each input moves to this SVG file.") var plot: String?
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var machine: MachineArguments

    func validate() throws {
        if utilisation != nil, tokens != nil { throw ValidationError("--utilisation and --tokens exclude each other") }
        if power != nil, measurePower != nil { throw ValidationError("--power and --measure-power exclude each other") }
        if let measurePower, !(0.1...3600).contains(measurePower) {
            throw ValidationError("--measure-power: expected 0.1 to 3600 seconds, found \(measurePower)")
        }
        if model == nil, prefillRate == nil || decodeRate == nil {
            throw ValidationError("expected a MODEL, or --prefill-rate and --decode-rate")
        }
        do {
            _ = try tokenMix
            if let tokens { _ = try Quantity.count(tokens, field: "--tokens") }
        } catch {
            throw ValidationError("\(error)")
        }
    }

    func run() async throws {
        let list = try prices.map(ListPrices.read(file:)) ?? ListPrices.standard
        let others = list.map(TokenPrice.init)
        let (cost, note) = try cost()
        if let plot {
            try Files.write(cost.tornado(against: others).svg(), to: plot)
            Terminal.log("the plot is in \(plot)")
        }
        let horizon = max(1, Int(years.rounded(.up)))
        if json {
            Terminal.output(cost.json(others, years: horizon).text() + "\n")
            return
        }
        Terminal.output(Terminal.table(cost.rows + note.map { ["planned", $0] }) + "\n\n")
        Terminal.output(Terminal.table(cost.comparisonRows(others)) + "\n\n")
        Terminal.output(Terminal.table(cost.totalRows(others, years: horizon)) + "\n\n")
        let spans = cost.sensitivities().map { [$0.name, Self.amount($0.half), Self.amount($0.more)] }
        Terminal.output(
            Terminal.table([["USD A MILLION IF THIS IS", "HALF", "ONE AND A HALF"]] + spans) + "\n\n")
        Terminal.output(cost.verdict(others) + "\n")
    }

    private func cost() throws -> (cost: ServingCost, note: [String]) {
        var ownership = Ownership()
        (ownership.capital, ownership.rent, ownership.machines, ownership.years) = (capital, rent, machines, years)
        (ownership.pue, ownership.powerPrice, ownership.staff, ownership.other) = (pue, powerPrice, staff, other)
        ownership.watts = try power ?? measurePower.map { try PowerMeter().watts(seconds: $0) } ?? 0
        var notes: [String] = []
        var (fresh, output) = (prefillRate, decodeRate)
        if fresh == nil || output == nil, let model {
            let plan = try machine.plan(model)
            guard let prefill = plan.prefillRate, let decode = plan.decodeRate else {
                throw PlanError.invalid(
                    field: "memory", expected: "at least \(Terminal.bytes(plan.memory.least)) for \(plan.shape.name)",
                    found: Terminal.bytes(Int(plan.machine.memory.value)))
            }
            fresh = fresh ?? prefill
            output = output ?? decode
            notes.append(
                "\(plan.shape.name), \(plan.concurrency) at a time, \(plan.context) tokens each, "
                    + plan.placement.rawValue)
        }
        let throughput = Throughput(
            fresh: fresh ?? 0, cached: cachedRate ?? (fresh ?? 0) / Throughput.cachedShare, output: output ?? 0,
            origin: notes.isEmpty ? .given : .assumed)
        let mix = try tokenMix
        if let tokens {
            let count = try Quantity.count(tokens, field: "--tokens")
            return (try ServingCost(ownership, throughput, tokensPerMonth: count, mix: mix), notes)
        }
        return (try ServingCost(ownership, throughput, mix: mix, utilisation: utilisation ?? 0.3), notes)
    }

    private var tokenMix: TokenMix {
        get throws(PlanError) {
            guard let mix else { return .published }
            return try TokenMix(parsing: mix, field: "--mix")
        }
    }

    private static func amount(_ value: Double) -> String { String(format: value < 0.1 ? "%.3g" : "%.2f", value) }
}

/// `walet cost training`.
struct TrainingCostCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "training", abstract: "Operations, GPU hours and cost of training a model.",
        discussion: "Parameters are those that take part in a token: of MODEL, or --parameters.")

    @Argument(help: "The model whose active parameters count.") var model: String?
    @Option(help: ArgumentHelp("Active parameters, such as 37B.", valueName: "count")) var parameters: String?
    @Option(help: ArgumentHelp("Tokens of training, such as 14.8T.", valueName: "count")) var tokens: String
    @Option(help: ArgumentHelp("GPU hours, where they are known, such as 2.788M.", valueName: "count"))
    var gpuHours: String?
    @Option(help: "Price of a GPU hour, in US dollars.") var gpuPrice = 2.0
    @Option(help: "What a GPU could do, in trillions of operations a second.") var peak = 989.0
    @Option(help: "The share of that which training reaches, 0 to 1.") var efficiency = 0.35
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
        guard (model == nil) != (parameters == nil) else { throw ValidationError("expected a MODEL or --parameters") }
        do {
            for (name, text) in [("--parameters", parameters), ("--tokens", tokens), ("--gpu-hours", gpuHours)] {
                if let text { _ = try Quantity.count(text, field: name) }
            }
        } catch {
            throw ValidationError("\(error)")
        }
    }

    func run() async throws {
        let active: Double
        if let model {
            active = Double(try ModelFolder(LanguageModel.locate(model)).configuration.parameters.active)
        } else {
            active = try Quantity.count(parameters ?? "", field: "--parameters")
        }
        let cost = try TrainingCost(
            activeParameters: active, tokens: Quantity.count(tokens, field: "--tokens"),
            hours: gpuHours.map { try Quantity.count($0, field: "--gpu-hours") }, hourPrice: gpuPrice,
            peak: peak * 1e12, efficiency: efficiency)
        Terminal.output(json ? cost.json.text() + "\n" : Terminal.table(cost.rows) + "\n")
    }
}

/// `walet cost published`: the method, checked on what others published.
struct PublishedCostCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "published",
        abstract: "DeepSeek's published day and training, computed again by the same arithmetic.")

    @Flag(help: "One JSON object.") var json = false

    func run() async throws {
        let figures = try Published.check()
        if json {
            let list = figures.map { figure -> JSONValue in
                [
                    "what": .string(figure.what), "published": .double(figure.published),
                    "computed": .double(figure.computed), "difference": .double(figure.computed / figure.published - 1),
                ]
            }
            let object: JSONValue = [
                "figures": .array(list), "left_out": .array(TrainingCost.leftOut.map { .string($0) }),
            ]
            Terminal.output(object.text() + "\n")
            return
        }
        func number(_ value: Double) -> String { String(format: value < 1000 ? "%.2f" : "%.0f", value) }
        let rows = figures.map {
            [
                $0.what, number($0.published), number($0.computed),
                String(format: "%+.2f%%", ($0.computed / $0.published - 1) * 100),
            ]
        }
        Terminal.output(Terminal.table([["FIGURE", "PUBLISHED", "COMPUTED", "DIFFERENCE"]] + rows) + "\n\n")
        Terminal.output("Training leaves out: " + TrainingCost.leftOut.joined(separator: "; ") + ".\n")
    }
}

extension TokenPrice {
    init(_ price: ListPrice) {
        func dollars(_ money: Money) -> Double { Double(money.nanodollars) / 1e9 }
        self.init(
            name: price.name, date: "\(price.date)", fresh: dollars(price.price.fresh),
            cached: dollars(price.price.cached), output: dollars(price.price.output))
    }
}
