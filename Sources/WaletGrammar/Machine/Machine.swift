// Follows a grammar byte by byte, along all readings at once.

import Synchronization

/// The states of a grammar that were reached, by their numbers. A matcher's frontier means something in its machine only.
struct Machine: Sendable {
    private struct Seed: Hashable {
        var state: Int32
        var node: Int32
        var register: Int32
    }
    private struct Call {
        var rule: Int32
        var depth: Int32
        var continuation: Continuation
    }

    private static let counter = Atomic<UInt64>(0)

    /// Tells machines apart in caches.
    let id: UInt64
    let program: Program
    let vocabulary: VocabularyTrie
    let edges: [Edge]
    let edgeStart: [Int32]
    let byteStart: [Int32]
    private let scans: [Bool]
    private let isFinal: [Bool]
    private let height: [Int32]
    let lexers: [Lexer]

    private(set) var stacks = StackTable()
    var keys = KeyTable()
    private var frontiers: [[Reading]] = []
    private var frontierBytes = 0
    private var frontierTable = InternTable()

    // Room for what is under way, kept so that it is not allocated anew for every byte.
    private var seeds: [Seed] = []
    private var calls: [Call] = []
    private var list: [Continuation] = []
    private var visited = VisitedSet()
    var spare: [[Reading]] = []
    var lexerStates: [Int64] = []
    var lexerBase = 0

    init(_ program: Program, _ vocabulary: VocabularyTrie) {
        id = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
        self.program = program
        self.vocabulary = vocabulary
        edges = program.edges
        edgeStart = program.edgeStart
        byteStart = program.byteStart
        scans = program.scans
        isFinal = program.isFinal
        height = program.height
        lexers = program.lexers
    }

    /// Memory that grows with what was reached.
    var approximateBytes: Int {
        stacks.approximateBytes + keys.approximateBytes + frontierBytes + frontierTable.approximateBytes
    }

    // MARK: Steps

    /// Before any output.
    mutating func start() -> Frontier {
        seeds.append(Seed(state: program.rules[0].start, node: 0, register: 0))
        var frontier = Frontier()
        close(&frontier)
        return frontier
    }

    /// After a byte.
    mutating func step(_ readings: [Reading], _ byte: UInt8) -> Frontier {
        var frontier = Frontier()
        for reading in readings {
            if reading.place >= 0 { seed(reading, byte) } else { advance(reading, byte, &frontier) }
        }
        close(&frontier)
        return frontier
    }

    /// After a byte, of readings that wait in a state; what lexers are under way is left out.
    mutating func stepStates(_ readings: [Reading], _ byte: UInt8, _ frontier: inout Frontier) {
        for reading in readings where reading.place >= 0 { seed(reading, byte) }
        close(&frontier)
    }

    /// After a token, by its bytes or by a mark that allows it.
    mutating func accept(_ token: Int, _ readings: [Reading]) -> Frontier {
        let bytes = vocabulary.bytes(of: token)
        var result = Frontier()
        if !bytes.isEmpty { result = accept(bytes, Frontier(readings: readings)) }
        let marked = stepToken(readings, token)
        guard !marked.isDead else { return limited(result) }
        guard !result.isDead else { return limited(marked) }
        result.isComplete = result.isComplete || marked.isComplete
        result.readings = Set(result.readings + marked.readings).sorted(by: <)
        return limited(result)
    }

    mutating func accept(_ bytes: some Sequence<UInt8>, _ frontier: Frontier) -> Frontier {
        var frontier = frontier
        for byte in bytes where !frontier.isDead { frontier = step(frontier.readings, byte) }
        return frontier
    }

    /// Forgets readings beyond those that masks can afford. Any of them alone can be completed, and only a grammar of
    /// hundreds of alternatives that look alike has more.
    func limited(_ frontier: Frontier) -> Frontier {
        guard frontier.readings.count > Self.costlyReadings else { return frontier }
        var result = Frontier(isComplete: frontier.isComplete)
        var costly = 0
        for reading in frontier.readings where result.readings.count < Self.allReadings {
            if isPattern(reading) {
                costly += 1
                guard costly <= Self.costlyReadings else { continue }
            }
            result.readings.append(reading)
        }
        return result
    }

    private func isPattern(_ reading: Reading) -> Bool {
        guard reading.place < 0 else { return false }
        switch lexers[Int(edges[Int(~reading.place)].payload)].kind {
        case .table, .bounded: return true
        case .string, .key, .counter: return false
        }
    }

    /// Readings after a token, and those of them inside of patterns, at most.
    private static let allReadings = 256
    private static let costlyReadings = 32

    /// After a token that a mark allows, whatever its bytes are.
    private mutating func stepToken(_ readings: [Reading], _ token: Int) -> Frontier {
        for reading in readings where reading.place >= 0 {
            let state = Int(reading.place)
            for index in Int(edgeStart[state])..<Int(byteStart[state]) {
                let edge = edges[index]
                if edge.kind == .token, Int(edge.payload) == token {
                    seeds.append(Seed(state: edge.target, node: reading.node, register: reading.register))
                }
            }
        }
        var frontier = Frontier()
        close(&frontier)
        return frontier
    }

    /// Where a lexer's edge leads once it has matched.
    mutating func afterLexer(_ reading: Reading, register: Int32, _ frontier: inout Frontier) {
        seeds.append(Seed(state: edges[Int(~reading.place)].target, node: reading.node, register: register))
        close(&frontier)
    }

    @inline(__always)
    private mutating func seed(_ reading: Reading, _ byte: UInt8) {
        let state = Int(reading.place)
        var index = Int(byteStart[state])
        let last = Int(edgeStart[state + 1])
        while index < last {
            let edge = edges[index]
            if edge.low > byte { break }
            if byte <= edge.high {
                seeds.append(Seed(state: edge.target, node: reading.node, register: reading.register))
            }
            index += 1
        }
    }

    private mutating func advance(_ reading: Reading, _ byte: UInt8, _ frontier: inout Frontier) {
        let edge = edges[Int(~reading.place)]
        var reading = reading
        var register = reading.register
        let matches: Bool
        let goesOn: Bool
        switch lexers[Int(edge.payload)].kind {
        case .table(let automaton):
            guard let ends = Self.advance(TableWalk(automaton: automaton), &reading, byte) else { return }
            (matches, goesOn) = ends
        case .bounded(let automaton, let maximum):
            let walk = BoundedWalk(automaton: automaton, maximum: maximum)
            guard let ends = Self.advance(walk, &reading, byte) else { return }
            (matches, goesOn) = ends
        case .string(let minimum, let maximum):
            let walk = StringWalk(minimum: minimum, maximum: maximum)
            guard let ends = Self.advance(walk, &reading, byte) else { return }
            (matches, goesOn) = ends
        case .key(let excluded):
            let next = Int32(StringBody.canonical[Int(reading.state) * 256 + Int(byte)])
            guard next >= 0 else { return }
            reading.state = next
            matches = next == StringBody.closed
            goesOn = !matches
            if matches {
                guard isNew(reading.detail, in: reading.register, excluded) else { return }
                register = adding(reading.detail, to: reading.register)
            } else {
                reading.detail = keys.text(reading.detail, adding: byte)
            }
        case .counter(let start):
            let digits = Lexer.digits(start: start, count: reading.register)
            guard Int(reading.state) < digits.count, digits[Int(reading.state)] == byte else { return }
            reading.state += 1
            matches = Int(reading.state) == digits.count
            goesOn = !matches
        }
        if goesOn { frontier.readings.append(reading) }
        if matches { seeds.append(Seed(state: edge.target, node: reading.node, register: register)) }
    }

    @inline(__always)
    private static func advance(
        _ walk: some LexerWalk, _ reading: inout Reading, _ byte: UInt8
    ) -> (matches: Bool, goesOn: Bool)? {
        let next = walk.next(LexerState.pack(reading.state, reading.detail), byte)
        guard next >= 0 else { return nil }
        (reading.state, reading.detail) = (LexerState.state(next), LexerState.count(next))
        return (walk.matches(next), walk.goesOn(next))
    }

    /// The register of an object that has one key more. Lists of keys are kept as negative numbers, so that they are
    /// told from counters.
    mutating func adding(_ text: Int32, to register: Int32) -> Int32 { -keys.list(-register, adding: text) }

    /// Whether an object may have a key: it is not declared, and not there yet.
    func isNew(_ text: Int32, in register: Int32, _ excluded: [[UInt8]]) -> Bool {
        guard !keys.contains(-register, text) else { return false }
        guard !excluded.isEmpty else { return true }
        let bytes = keys.bytes(of: text)
        return !excluded.contains { $0.count == bytes.count + 1 && $0.starts(with: bytes) }
    }

    // MARK: Closure

    /// Follows edges without bytes from all seeds until bytes or tokens are waited for.
    private mutating func close(_ frontier: inout Frontier) {
        visited.removeAll()
        repeat {
            while let seed = seeds.popLast() { visit(seed, &frontier) }
        } while takeCalls()
        guard frontier.readings.count > 1 else { return }
        frontier.readings.sort(by: <)
        var kept = 1
        for index in 1..<frontier.readings.count where frontier.readings[index] != frontier.readings[kept - 1] {
            frontier.readings[kept] = frontier.readings[index]
            kept += 1
        }
        frontier.readings.removeLast(frontier.readings.count - kept)
    }

    private mutating func visit(_ seed: Seed, _ frontier: inout Frontier) {
        let state = Int(seed.state)
        let depth = stacks.depth(seed.node)
        // Beyond the last level nothing could be completed.
        guard depth + height[state] <= program.depth else { return }
        guard visited.insert(seed.state, seed.node, seed.register) else { return }
        if isFinal[state] {
            if seed.node == 0 {
                frontier.isComplete = true
            } else {
                for next in stacks.continuations(of: seed.node) {
                    seeds.append(Seed(state: next.target, node: next.node, register: next.register))
                }
            }
        }
        for index in Int(edgeStart[state])..<Int(byteStart[state]) {
            let edge = edges[index]
            var next = seed
            next.state = edge.target
            switch edge.kind {
            case .empty: seeds.append(next)
            case .whenBelow: if seed.register < edge.payload { seeds.append(next) }
            case .whenAtLeast: if seed.register >= edge.payload { seeds.append(next) }
            case .increment:
                next.register = min(seed.register + 1, edge.payload)
                seeds.append(next)
            case .whenKeysBelow: if keys.count(-seed.register) < edge.payload { seeds.append(next) }
            case .call:
                // What follows must have room too.
                guard depth + height[Int(edge.target)] <= program.depth else { continue }
                calls.append(
                    Call(
                        rule: edge.payload, depth: depth + 1,
                        continuation: Continuation(target: edge.target, node: seed.node, register: seed.register)))
            case .lexer:
                guard depth + height[Int(edge.target)] <= program.depth else { continue }
                frontier.readings.append(Reading(place: ~Int32(index), node: seed.node, register: seed.register))
                if lexers[Int(edge.payload)].acceptsNothing { seeds.append(next) }
            case .byte, .token: break
            }
        }
        if scans[state] {
            frontier.readings.append(Reading(place: seed.state, node: seed.node, register: seed.register))
        }
    }

    /// Enters the rules that were called, each once for all its callers on a level; false where there are none.
    private mutating func takeCalls() -> Bool {
        guard !calls.isEmpty else { return false }
        if calls.count > 1 {
            calls.sort {
                $0.rule != $1.rule
                    ? $0.rule < $1.rule : $0.depth != $1.depth ? $0.depth < $1.depth : $0.continuation < $1.continuation
            }
        }
        var first = 0
        while first < calls.count {
            let (rule, depth) = (calls[first].rule, calls[first].depth)
            list.removeAll(keepingCapacity: true)
            while first < calls.count, calls[first].rule == rule, calls[first].depth == depth {
                if list.last != calls[first].continuation { list.append(calls[first].continuation) }
                first += 1
            }
            let node = stacks.node(list[...], depth: depth)
            seeds.append(Seed(state: program.rules[Int(rule)].start, node: node, register: 0))
        }
        calls.removeAll(keepingCapacity: true)
        return true
    }

    /// The node of these continuations, which are sorted.
    mutating func stack(_ list: [Continuation], depth: Int32) -> Int32 { stacks.node(list[...], depth: depth) }

    // MARK: Frontiers

    /// The number of a frontier, for caches.
    mutating func number(of readings: [Reading]) -> Int32 {
        var hash = SeededHash()
        for reading in readings {
            hash.add(reading.place)
            hash.add(reading.node)
            hash.add(reading.register)
            hash.add(reading.state)
            hash.add(reading.detail)
        }
        let known = frontierTable.find(hash.value) { frontiers[Int($0)] == readings }
        guard known < 0 else { return known }
        let number = Int32(frontiers.count)
        frontiers.append(readings)
        frontierBytes += readings.count * MemoryLayout<Reading>.stride + 48
        frontierTable.insert(number, hash: hash.value)
        return number
    }
}
