import Foundation
import Testing
import WaletJSON
import WaletPlan

@Suite struct PlanTests {
    /// The streaming table of the cost reference: K2 with 11.2 GB of dense weights at 8.5 bits, experts of 11.89 GB a token,
    /// a disk at 85% of its speed. Tokens a second at disks of 3, 7, 14 and 28 GB/s.
    static let table: [(memorySpeed: Double, hitRate: Double, rates: [Double])] = [
        (70e9, 0.10, [0.22, 0.47, 0.81, 1.28]),
        (70e9, 0.42, [0.33, 0.67, 1.10, 1.61]),
        (70e9, 0.62, [0.48, 0.92, 1.41, 1.92]),
        (150e9, 0.80, [0.92, 1.81, 2.83, 3.94]),
        (280e9, 0.98, [5.7, 8.2, 9.8, 10.8]),
    ]

    @Test(arguments: PlanTests.table.indices)
    func theFormulaGivesTheTableOfTheReference(_ row: Int) throws {
        var shape = try Fixtures.shape("kimi-k2-thinking")
        let dense = Double(shape.activeBytes - shape.activeExpertBytes)
        for index in shape.groups.indices where shape.groups[index].part != .routed {
            shape.groups[index].bytes = Int(Double(shape.groups[index].bytes) * 11.2e9 / dense)
        }
        let (speed, hitRate, rates) = Self.table[row]
        for (disk, rate) in zip([3e9, 7e9, 14e9, 28e9], rates) {
            let plan = try Plan(
                shape, on: .given(memory: 64e9, speed: speed, disk: disk * 0.85), context: 1, concurrency: 1,
                hitRate: hitRate)
            #expect(plan.placement == .streamed)
            let found = try #require(plan.decodeRate)
            // The table has two or three digits.
            #expect(abs(found / rate - 1) < 0.025, "disk \(disk): \(found) against \(rate)")
        }
    }

    @Test func hitRatesGoThroughTheMeasuredPoints() {
        for (share, rate) in [(0.024, 0.10), (0.08, 0.42), (0.19, 0.62), (0.42, 0.80), (0.865, 0.98), (0, 0), (1, 1)] {
            #expect(abs(HitRate.assumed(cachedShare: share) - rate) < 1e-9)
        }
        var last = 0.0
        for step in 0...200 {
            let share = Double(step) / 200
            let (low, middle, high) = (
                HitRate.assumed(cachedShare: share, .low), HitRate.assumed(cachedShare: share),
                HitRate.assumed(cachedShare: share, .high)
            )
            #expect(low <= middle && middle <= high && middle >= last)
            last = middle
        }
        #expect(HitRate.assumed(cachedShare: 2) == 1 && HitRate.assumed(cachedShare: -1) == 0)
    }

    @Test func placementFollowsMemory() throws {
        let shape = try Fixtures.shape("kimi-k2-thinking")
        func placement(_ gigabytes: Double) -> Plan.Placement {
            Plan.place(shape, memory: gigabytes * 1e9, context: 4096, concurrency: 1).placement
        }
        #expect(placement(16) == .tooLarge)
        #expect(placement(32) == .streamed)
        #expect(placement(512) == .streamed)
        #expect(placement(768) == .resident)
        // What is said to be needed is enough, and 1% less is not.
        for context in [64, 32768] {
            let memory = Plan.place(shape, memory: 32e9, context: context, concurrency: 2).memory
            for (bytes, wanted, below) in [
                (memory.least, Plan.Placement.streamed, Plan.Placement.tooLarge), (memory.whole, .resident, .streamed),
            ] {
                func at(_ share: Double) -> Plan.Placement {
                    Plan.place(shape, memory: Double(bytes) * share, context: context, concurrency: 2).placement
                }
                #expect(at(1.0001) == wanted)
                #expect(at(0.99) == below)
            }
        }
        let dense = try Fixtures.shape("llama-3.1-8b")
        #expect(Plan.place(dense, memory: 12e9, context: 4096, concurrency: 1).placement == .tooLarge)
        #expect(Plan.place(dense, memory: 24e9, context: 4096, concurrency: 1).placement == .resident)
    }

    @Test func everyAdviceDoublesTheSpeed() throws {
        let shape = try Fixtures.shape("kimi-k2-thinking")
        for (memory, speed, disk) in [(64e9, 70e9, 3e9), (256e9, 150e9, 7e9), (768e9, 280e9, 7e9), (512e9, 60e9, 14e9)]
        {
            let machine = Machine.given(memory: memory, speed: speed, disk: disk)
            let plan = try Plan(shape, on: machine, context: 4096, concurrency: 1)
            let rate = try #require(plan.decodeRate)
            #expect(!plan.advice.isEmpty)
            for advice in plan.advice {
                guard let needed = advice.needed else {
                    #expect(advice.decodeRate < 2 * rate)
                    continue
                }
                var changed = machine
                switch advice.part {
                case .memory: changed.memory.value = needed
                case .memorySpeed: changed.memorySpeed.value = needed
                case .diskSpeed: changed.diskSpeed?.value = needed
                case .cores: changed.operations.value *= needed / machine.cores.value
                }
                let reached = try Plan(shape, on: changed, context: 4096, concurrency: 1).decodeRate
                #expect((reached ?? 0) >= 2 * rate * 0.999, "\(advice)")
            }
        }
    }

    @Test func theBottleneckIsWhatMostTimeGoesTo() throws {
        let shape = try Fixtures.shape("kimi-k2-thinking")
        let streamed = try Plan(
            shape, on: .given(memory: 64e9, speed: 70e9, disk: 3e9), context: 4096, concurrency: 1)
        #expect(streamed.bottleneck == .diskSpeed)
        let resident = try Plan(shape, on: .given(memory: 800e9, speed: 70e9, disk: nil), context: 4096, concurrency: 1)
        #expect(resident.bottleneck == .memorySpeed)
        #expect(resident.hitRate.value == 1 && resident.cachedShare == 1)
        var slow = resident.machine
        slow.operations.value = 1e10
        #expect(try Plan(shape, on: slow, context: 64, concurrency: 8).bottleneck == .arithmetic)
        #expect(try Plan(shape, on: slow, context: 200_000, concurrency: 1).bottleneck == .attention)
    }

    @Test func slowFilesSlowWhatStaysMapped() throws {
        let shape = try Fixtures.shape("moonlight")
        var machine = Machine.given(memory: 100e9, speed: 30e9, disk: 2e9)
        var limited = machine
        limited.memory.value = 20e9
        let (whole, streamed) = (
            try Plan(shape, on: machine, context: 1, concurrency: 1),
            try Plan(shape, on: limited, context: 1, concurrency: 1)
        )
        #expect(whole.placement == .resident && streamed.placement == .streamed)
        machine.mapped = Machine.Figure(0.5, .given)
        limited.mapped = machine.mapped
        let (slow, same) = (
            try Plan(shape, on: machine, context: 1, concurrency: 1),
            try Plan(shape, on: limited, context: 1, concurrency: 1)
        )
        #expect(try #require(slow.decodeRate) < 0.6 * #require(whole.decodeRate))
        #expect(same.decodeRate == streamed.decodeRate)
    }

    @Test func manySequencesShareAReading() throws {
        let shape = try Fixtures.shape("moonlight")
        let machine = Machine.given(memory: 64e9, speed: 50e9, disk: nil)
        let one = try #require(try Plan(shape, on: machine, context: 512, concurrency: 1).decodeRate)
        let eight = try #require(try Plan(shape, on: machine, context: 512, concurrency: 8).decodeRate)
        #expect(eight > 1.5 * one && eight < 8 * one)
    }

    @Test func aPromptReadsEachExpertOnceAChunk() throws {
        let shape = try Fixtures.shape("kimi-k2-thinking")
        let plan = try Plan(shape, on: .given(memory: 64e9, speed: 70e9, disk: 5e9), context: 4096, concurrency: 1)
        let perChunk = plan.prefillDiskSeconds * 512
        let missing = Double(shape.bytes(.routed)) * (1 - plan.cachedShare)
        #expect(perChunk < missing / 5e9 && perChunk > 0.99 * missing / 5e9)
    }

    @Test func wrongFiguresAreRefusedByName() throws {
        let shape = try Fixtures.shape("moonlight")
        let machine = Machine.given(memory: 64e9, speed: 50e9, disk: nil)
        func error(_ machine: Machine, _ context: Int = 512, _ concurrency: Int = 1, _ hitRate: Double? = nil)
            -> PlanError?
        {
            do throws(PlanError) {
                _ = try Plan(shape, on: machine, context: context, concurrency: concurrency, hitRate: hitRate)
                return nil
            } catch {
                return error
            }
        }
        #expect(error(machine) == nil)
        #expect(error(machine, 9000)?.description == "context: expected 1 to the model's 8192 tokens, found 9000")
        #expect(error(machine, 0) != nil && error(machine, 512, 0) != nil && error(machine, 512, 1, 1.5) != nil)
        for change in [
            { $0.memorySpeed.value = 0 }, { $0.memory.value = .nan }, { $0.operations.value = -1 },
            { $0.efficiency.value = .infinity },
        ] as [(inout Machine) -> Void] {
            var changed = machine
            change(&changed)
            #expect(error(changed) != nil)
        }
        var small = machine
        small.memory.value = 12e9
        #expect(error(small)?.description.contains("give --disk-speed") == true)
    }

    @Test func jsonAndTableTellTheSame() throws {
        let shape = try Fixtures.shape("kimi-k2-thinking")
        let plan = try Plan(shape, on: .given(memory: 64e9, speed: 70e9, disk: 3e9), context: 4096, concurrency: 2)
        let json = try JSONValue(parsing: plan.json.text())
        #expect(json["placement"] == "streamed")
        #expect(json["shape"]?["kv_bytes_per_token"] == 70_272)
        #expect(json["decode_tokens_per_second"]?.doubleValue == plan.decodeRate)
        #expect(json["bottleneck"] == "disk_speed")
        let step = try #require(json["decode_step_seconds"]?.objectValue)
        let sum = step.members.filter { $0.0 != "total" }.compactMap(\.1.doubleValue).reduce(0, +)
        #expect(abs(sum / (step["total"]?.doubleValue ?? 0) - 1) < 1e-9)
        let rows = Dictionary(plan.rows.map { ($0[0], $0[1]) }, uniquingKeysWith: { $0 + "\n" + $1 })
        #expect(rows["hit rate"]?.contains("assumed") == true)
        #expect(rows["to double it"]?.contains("memory") == true)
        #expect(rows["bottleneck"] == "reading experts from the disk")
        #expect(plan.bars.map(\.value).reduce(0, +) > 0.999 * (plan.decode?.total ?? 0))
    }

    @Test func aLimitOfWeightsLeavesTheRestOnTheDisk() throws {
        let shape = try Fixtures.shape("moonlight")
        let machine = Machine.given(memory: 64e9, speed: 70e9, disk: 5e9)
        let dense = shape.residentBytes - shape.bytes(.embedding)
        let plan = try Plan(shape, on: machine, context: 4096, concurrency: 1, weightLimit: dense + 8_000_000_000)
        #expect(plan.placement == .streamed)
        #expect(plan.memory.experts == 8_000_000_000)
        let whole = try Plan(shape, on: machine, context: 4096, concurrency: 1)
        #expect(whole.placement == .resident)
        #expect(try #require(plan.decodeRate) < #require(whole.decodeRate))
        #expect(plan.passSeconds(sequences: 1, context: 4096) == plan.decode?.total)
        let narrow = try Plan(shape, on: machine, context: 4096, concurrency: 1, weightLimit: dense)
        #expect(narrow.placement == .tooLarge && narrow.passSeconds(sequences: 1, context: 1) == nil)
        #expect(
            try Plan(shape, on: machine, context: 4096, concurrency: 1, weightLimit: .max).placement == .resident)
    }
}
