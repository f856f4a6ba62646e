// What holds a plan back, and what to buy so that it goes twice as fast.

extension Plan {
    /// The largest term of a step.
    public enum Bottleneck: String, Sendable {
        case memorySpeed = "memory_speed"
        case diskSpeed = "disk_speed"
        case arithmetic, attention, other

        public var words: String {
            switch self {
            case .memorySpeed: "reading weights from memory"
            case .diskSpeed: "reading experts from the disk"
            case .arithmetic: "arithmetic"
            case .attention: "attention over the context"
            case .other: "what layers do besides their matrices"
            }
        }
    }

    /// One thing to change, with what that gives.
    public struct Advice: Sendable, Equatable {
        public enum Part: String, Sendable {
            case memory
            case memorySpeed = "memory_speed"
            case diskSpeed = "disk_speed"
            case cores
        }

        public var part: Part
        /// Bytes, bytes a second, or cores.
        public var now: Double
        /// What it would have to be; nil where no amount of it doubles the speed.
        public var needed: Double?
        /// Tokens a second of all sequences with that, or with any amount of it.
        public var decodeRate: Double
    }

    public var bottleneck: Bottleneck? {
        guard let decode else { return nil }
        let terms: [(Bottleneck, Double)] = [
            (.memorySpeed, decode.weights + decode.experts), (.diskSpeed, decode.disk),
            (.arithmetic, decode.arithmetic), (.attention, decode.attention), (.other, decode.other),
        ]
        return terms.max { $0.1 < $1.1 }?.0
    }

    /// Sizes of memory that machines are sold with, in bytes.
    static let memorySizes: [Double] = [
        8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
    ].map { $0 * 0x1p30 }

    /// What to change, one at a time, so that decoding goes twice as fast. Empty where the model does not fit.
    public var advice: [Advice] {
        guard let rate = decodeRate else { return [] }
        var advice: [Advice] = []
        if placement == .streamed {
            advice.append(memoryAdvice(rate))
            if let disk = machine.diskSpeed?.value {
                advice.append(search(.diskSpeed, disk, rate) { $0.diskSpeed?.value = $1 })
            }
        }
        advice.append(search(.memorySpeed, machine.memorySpeed.value, rate) { $0.memorySpeed.value = $1 })
        advice.append(
            search(.cores, machine.cores.value, rate) { changed, cores in
                changed.operations.value *= cores / changed.cores.value
                changed.cores.value = cores
            })
        return advice
    }

    /// The same plan on another machine; nil where it does not fit there.
    func with(_ change: (inout Machine) -> Void) -> Plan? {
        var changed = machine
        change(&changed)
        let given = hitRate.origin == .given ? hitRate.value : nil
        return try? Plan(shape, on: changed, context: context, concurrency: concurrency, hitRate: given)
    }

    private func memoryAdvice(_ rate: Double) -> Advice {
        var best = rate
        for size in Self.memorySizes where size > machine.memory.value {
            // A given hit rate is that of this memory; more of it has the assumed one, or all.
            var changed = machine
            changed.memory.value = size
            let plan = try? Plan(shape, on: changed, context: context, concurrency: concurrency)
            guard let reached = plan?.decodeRate else { continue }
            best = max(best, reached)
            if reached >= 2 * rate {
                return Advice(part: .memory, now: machine.memory.value, needed: size, decodeRate: reached)
            }
            if plan?.placement == .resident { break }
        }
        return Advice(part: .memory, now: machine.memory.value, needed: nil, decodeRate: best)
    }

    /// Finds the least factor that doubles the speed, to 1%; factors end at 1000.
    private func search(
        _ part: Advice.Part, _ now: Double, _ rate: Double, _ change: (inout Machine, Double) -> Void
    ) -> Advice {
        func reached(_ factor: Double) -> Double { with { change(&$0, now * factor) }?.decodeRate ?? rate }
        let limit = reached(1000)
        guard limit >= 2 * rate else { return Advice(part: part, now: now, needed: nil, decodeRate: limit) }
        var (low, high) = (1.0, 1000.0)
        while high / low > 1.01 {
            let middle = (low * high).squareRoot()
            if reached(middle) >= 2 * rate { high = middle } else { low = middle }
        }
        return Advice(part: part, now: now, needed: now * high, decodeRate: reached(high))
    }
}
