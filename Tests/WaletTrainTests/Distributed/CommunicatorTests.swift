import Foundation
import Testing

@testable import WaletTrain

/// What processes tell each other arrives everywhere alike, and a lost one ends the waiting.
@Suite(.timeLimit(.minutes(2))) struct CommunicatorTests {
    @Test(arguments: 1...5) func sumsAreTakenInTheOrderOfTheRanks(_ ranks: Int) throws {
        // Numbers of which only one order of additions gives this sum.
        let numbers: [[Double]] = (0..<ranks).map { rank in
            let factor = rank == 0 ? 1e16 : 1.1
            return (0..<7).map { factor * Double(rank * 7 + $0 + 1) }
        }
        var expected = numbers[0]
        for other in numbers.dropFirst() { for index in 0..<7 { expected[index] += other[index] } }
        for result in ThreadGroup.run(ranks, { try $0.sum(numbers[$0.rank]) }) { #expect(try result.get() == expected) }
        for result in ThreadGroup.run(ranks, { try $0.sum([]) }) { #expect(try result.get() == []) }
    }

    @Test(arguments: 1...4) func theLargestIsFoundAndANaNStays(_ ranks: Int) throws {
        for result in ThreadGroup.run(
            ranks,
            {
                let rank = Float($0.rank)
                return try $0.maximum([rank, -rank, $0.rank == ranks - 1 ? .nan : 1])
            })
        {
            let values = try result.get()
            #expect(values[0] == Float(ranks - 1) && values[1] == 0 && values[2].isNaN)
        }
    }

    @Test(arguments: 1...4) func bytesOfOneArriveOnAll(_ ranks: Int) throws {
        for owner in 0..<ranks {
            let results = ThreadGroup.run(ranks) { try $0.broadcast([UInt8($0.rank), 7], from: owner) }
            for result in results { #expect(try result.get() == [UInt8(owner), 7]) }
        }
    }

    @Test func whatDiffersIsSaidAlikeOnAll() {
        for result in ThreadGroup.run(3, { try $0.requireAlike("recipe", [$0.rank == 2 ? 1 : 0]) }) {
            #expect(throws: CommunicationError.differs(what: "recipe", rank: 2)) { try result.get() }
        }
    }

    @Test func aLostProcessEndsTheWaiting() {
        for (rank, result) in ThreadGroup.run(3, lose: (1, 5), { for _ in 0..<100 { try $0.wait() } }).enumerated() {
            let reason = rank == 1 ? "this one" : "process 1 is gone"
            #expect(throws: CommunicationError.lost(operation: "exchange", reason: reason)) { try result.get() }
        }
    }

    @Test func aProcessThatHangsEndsTheWaiting() throws {
        let results = ThreadGroup.run(2, patience: 0.3) {
            if $0.rank == 0 { try $0.wait() } else { Thread.sleep(forTimeInterval: 1) }
        }
        #expect(throws: CommunicationError.lost(operation: "exchange", reason: "no answer in time")) {
            try results[0].get()
        }
        try results[1].get()
    }

    @Test func theMostCostlyGoesToWhoHasLeast() {
        let ownership = Ownership(costs: [1, 8, 5, 4, 1], holders: Array(repeating: nil, count: 5), ranks: 2)
        #expect(ownership.owners == [0, 0, 1, 1, 0])
        #expect(ownership.owned == [[0, 1, 4], [2, 3]] && ownership.replicated == ownership.owned)
    }

    @Test func whatOneProcessHoldsStaysWithItAndIsNotSent() {
        let ownership = Ownership(costs: [9, 1, 1, 9], holders: [1, nil, nil, nil], ranks: 2)
        #expect(ownership.owners == [1, 0, 1, 0])
        #expect(ownership.owned == [[1, 3], [0, 2]] && ownership.replicated == [[1, 3], [2]])
    }

    @Test func whatMpirunStartedIsSeen() {
        #expect(Launch(environment: [:]).processes == 1)
        #expect(Launch(environment: ["OMPI_COMM_WORLD_SIZE": "3"]).processes == 3)
        #if !MPI
            #expect(throws: CommunicationError.notBuilt(processes: 3)) {
                try Launch(environment: ["OMPI_COMM_WORLD_SIZE": "3"]).communicator(patience: 1)
            }
            #expect("\(CommunicationError.notBuilt(processes: 3))".contains("--traits MPI"))
        #endif
    }
}
