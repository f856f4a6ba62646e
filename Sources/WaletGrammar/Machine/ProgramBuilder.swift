// Puts a program together and removes what can never be completed.

/// Collects states, edges, rules and lexers. Rule 0 is the whole.
struct ProgramBuilder {
    private struct State {
        var firstEdge: Int32 = -1
        var isFinal = false
    }
    private struct LinkedEdge {
        var edge: Edge
        var next: Int32
    }

    let limits: GrammarLimits
    var budget: CompileBudget
    private var states: [State] = []
    private var edges: [LinkedEdge] = []
    private(set) var rules: [Rule] = []
    private var lexers: [Lexer] = []
    private var lexerNumbers: [LexerKey: Int32?] = [:]

    init(limits: GrammarLimits) {
        self.limits = limits
        budget = CompileBudget(limits)
    }

    // MARK: States and edges

    mutating func state(at path: String) throws(GrammarError) -> Int32 {
        guard states.count < limits.states else {
            throw .limit(path: path, what: "states of the grammar", maximum: limits.states, found: "more")
        }
        states.append(State())
        return Int32(states.count - 1)
    }

    mutating func finalState(at path: String) throws(GrammarError) -> Int32 {
        let state = try state(at: path)
        states[Int(state)].isFinal = true
        return state
    }

    private mutating func add(_ edge: Edge, from state: Int32) {
        edges.append(LinkedEdge(edge: edge, next: states[Int(state)].firstEdge))
        states[Int(state)].firstEdge = Int32(edges.count - 1)
    }

    mutating func byte(_ byte: UInt8, from: Int32, to: Int32) {
        add(Edge(kind: .byte, low: byte, high: byte, target: to), from: from)
    }

    mutating func bytes(_ bytes: some Collection<UInt8>, from: Int32, to: Int32, at path: String) throws(GrammarError) {
        guard !bytes.isEmpty else {
            empty(from: from, to: to)
            return
        }
        var state = from
        var left = bytes.count
        for byte in bytes {
            left -= 1
            let next = left == 0 ? to : try self.state(at: path)
            self.byte(byte, from: state, to: next)
            state = next
        }
    }

    mutating func text(_ text: String, from: Int32, to: Int32, at path: String) throws(GrammarError) {
        try bytes(Array(text.utf8), from: from, to: to, at: path)
    }

    mutating func empty(from: Int32, to: Int32) { add(Edge(kind: .empty, target: to), from: from) }

    mutating func edge(_ kind: Edge.Kind, _ payload: Int, from: Int32, to: Int32) {
        add(Edge(kind: kind, target: to, payload: Int32(clamping: payload)), from: from)
    }

    mutating func lexer(_ lexer: Int32, from: Int32, to: Int32) { edge(.lexer, Int(lexer), from: from, to: to) }

    mutating func call(_ rule: Int32, from: Int32, to: Int32) { edge(.call, Int(rule), from: from, to: to) }

    // MARK: Rules and lexers

    /// A rule without edges yet; its start.
    mutating func rule(at path: String) throws(GrammarError) -> (rule: Int32, start: Int32) {
        let start = try state(at: path)
        rules.append(Rule(start: start, height: 0, path: path))
        return (Int32(rules.count - 1), start)
    }

    /// A lexer that is made already; the inner nil where it is known to match nothing.
    func knownLexer(_ key: LexerKey) -> Int32?? { lexerNumbers[key] }

    /// - Parameter kind: nil where it matches nothing.
    mutating func addLexer(_ key: LexerKey, _ kind: Lexer.Kind?) -> Int32? {
        let number = kind.map { kind in
            lexers.append(Lexer(kind: kind))
            return Int32(lexers.count - 1)
        }
        lexerNumbers[key] = .some(number)
        return number
    }

    // MARK: The end

    /// The program, with nothing left in it that cannot be completed.
    /// - Throws: ``GrammarError/unsatisfiable(path:reason:)`` where that is everything.
    consuming func finish() throws(GrammarError) -> Program {
        let height = heights()
        guard let whole = rules.first else { throw .unsatisfiable(path: "#", reason: "there is no rule") }
        let needed = height[Int(whole.start)]
        guard needed >= 0 else { throw emptiness(height) }
        guard needed <= limits.outputDepth else {
            throw .limit(
                path: whole.path, what: "levels of nesting that the smallest value needs", maximum: limits.outputDepth,
                found: "\(needed)")
        }
        for index in rules.indices { rules[index].height = height[Int(rules[index].start)] }

        var number = [Int32](repeating: -1, count: states.count)
        var count: Int32 = 0
        for state in states.indices where height[state] >= 0 {
            number[state] = count
            count += 1
        }
        var flat: [Edge] = []
        flat.reserveCapacity(edges.count)
        var edgeStart: [Int32] = []
        var byteStart: [Int32] = []
        var scans: [Bool] = []
        var isFinal: [Bool] = []
        var kept: [Int32] = []
        for state in states.indices where height[state] >= 0 {
            edgeStart.append(Int32(flat.count))
            var withBytes: [Edge] = []
            var hasToken = false
            var index = states[state].firstEdge
            while index >= 0 {
                var edge = edges[Int(index)].edge
                index = edges[Int(index)].next
                guard number[Int(edge.target)] >= 0 else { continue }
                if edge.kind == .call, rules[Int(edge.payload)].height < 0 { continue }
                edge.target = number[Int(edge.target)]
                hasToken = hasToken || edge.kind == .token
                if edge.kind == .byte { withBytes.append(edge) } else { flat.append(edge) }
            }
            byteStart.append(Int32(flat.count))
            withBytes.sort { ($0.low, $0.high, $0.target) < ($1.low, $1.high, $1.target) }
            flat += withBytes
            scans.append(hasToken || !withBytes.isEmpty)
            isFinal.append(states[state].isFinal)
            kept.append(height[state])
        }
        edgeStart.append(Int32(flat.count))
        for index in rules.indices { rules[index].start = number[Int(rules[index].start)] }

        let draft = Program(
            edges: flat, edgeStart: edgeStart, byteStart: byteStart, scans: scans, isFinal: isFinal, height: kept,
            rules: rules, lexers: lexers, depth: Int32(clamping: limits.outputDepth))
        let isOfWhole = draft.statesOfWhole()
        // Text that may end after each of its bytes: only few of these places matter.
        var exits: [Int32: ByteSet?] = [:]
        for edge in flat where edge.kind == .lexer {
            guard case .table(let automaton) = lexers[Int(edge.payload)].kind,
                automaton.accepting.allSatisfy({ $0 })
            else { continue }
            if let known = exits[edge.payload], known == nil { continue }
            var bytes = (exits[edge.payload] ?? nil) ?? ByteSet()
            exits[edge.payload] = .some(draft.addFirstBytes(of: edge.target, isOfWhole, to: &bytes) ? bytes : nil)
        }
        for (lexer, bytes) in exits { lexers[Int(lexer)].exits = bytes }
        return Program(
            edges: flat, edgeStart: edgeStart, byteStart: byteStart, scans: scans, isFinal: isFinal, height: kept,
            rules: rules, lexers: lexers, depth: Int32(clamping: limits.outputDepth))
    }

    /// For each state, levels of nesting needed to reach the end of its rule, or -1 where that cannot be reached.
    private func heights() -> [Int32] {
        // Edges by where they lead: those to a state lie together.
        var position = [Int32](repeating: 0, count: states.count + 1)
        for edge in edges { position[Int(edge.edge.target) + 1] += 1 }
        for state in states.indices { position[state + 1] += position[state] }
        var incoming = [Int32](repeating: 0, count: edges.count)
        var filled = position
        // Calls wait until both what they call and what follows can be completed.
        var callers = [[Int32]](repeating: [], count: rules.count)
        var origins = [Int32](repeating: 0, count: edges.count)
        for state in states.indices {
            var index = states[state].firstEdge
            while index >= 0 {
                let edge = edges[Int(index)].edge
                origins[Int(index)] = Int32(state)
                incoming[Int(filled[Int(edge.target)])] = index
                filled[Int(edge.target)] += 1
                if edge.kind == .call { callers[Int(edge.payload)].append(index) }
                index = edges[Int(index)].next
            }
        }
        var ruleOfStart: [Int32: Int32] = [:]
        for (index, rule) in rules.enumerated() { ruleOfStart[rule.start] = Int32(index) }

        var height = [Int32](repeating: -1, count: states.count)
        var ruleHeight = [Int32](repeating: -1, count: rules.count)
        var stack: [Int32] = []
        var completed: [Int32] = []
        func reach(_ state: Int32, _ level: Int32) {
            guard height[Int(state)] < 0 else { return }
            height[Int(state)] = level
            stack.append(state)
            if let rule = ruleOfStart[state] {
                ruleHeight[Int(rule)] = level
                completed.append(rule)
            }
        }
        for state in states.indices where states[state].isFinal { reach(Int32(state), 0) }
        var level: Int32 = 0
        while true {
            while let state = stack.popLast() {
                for place in position[Int(state)]..<position[Int(state) + 1] {
                    let index = incoming[Int(place)]
                    let edge = edges[Int(index)].edge
                    if edge.kind == .call {
                        let called = ruleHeight[Int(edge.payload)]
                        guard called >= 0, called < level else { continue }
                    }
                    reach(origins[Int(index)], level)
                }
            }
            guard !completed.isEmpty else { return height }
            // A call of what was completed at this level is one level higher.
            level += 1
            let rules = completed
            completed = []
            for rule in rules {
                for index in callers[Int(rule)] where height[Int(edges[Int(index)].edge.target)] >= 0 {
                    reach(origins[Int(index)], level)
                }
            }
        }
    }

    /// Why the whole cannot be completed: a rule that fails by itself, if there is one.
    private func emptiness(_ height: [Int32]) -> GrammarError {
        for rule in rules where height[Int(rule.start)] < 0 {
            var stack = [rule.start]
            var seen: Set<Int32> = []
            var waits = false
            while let state = stack.popLast() {
                guard seen.insert(state).inserted else { continue }
                var index = states[Int(state)].firstEdge
                while index >= 0 {
                    let edge = edges[Int(index)].edge
                    if edge.kind == .call, height[Int(rules[Int(edge.payload)].start)] < 0 {
                        waits = true
                    } else {
                        stack.append(edge.target)
                    }
                    index = edges[Int(index)].next
                }
            }
            if !waits { return .unsatisfiable(path: rule.path, reason: "its keywords exclude each other") }
        }
        return .unsatisfiable(
            path: rules.first?.path ?? "#", reason: "each value must contain another one, without an end")
    }
}

extension Program {
    /// The states of rule 0.
    fileprivate func statesOfWhole() -> Set<Int32> {
        var stack = [rules[0].start]
        var seen: Set<Int32> = []
        while let state = stack.popLast() {
            guard seen.insert(state).inserted else { continue }
            for index in edgeStart[Int(state)]..<edgeStart[Int(state) + 1] { stack.append(edges[Int(index)].target) }
        }
        return seen
    }

    /// Bytes that can come next from a state. False where its rule may end there, so that the callers know; nothing
    /// follows the whole.
    fileprivate func addFirstBytes(of state: Int32, _ isOfWhole: Set<Int32>, to bytes: inout ByteSet) -> Bool {
        var stack = [state]
        var seen: Set<Int32> = []
        while let state = stack.popLast() {
            guard seen.insert(state).inserted else { continue }
            if isFinal[Int(state)], !isOfWhole.contains(state) { return false }
            for index in Int(edgeStart[Int(state)])..<Int(edgeStart[Int(state) + 1]) {
                let edge = edges[index]
                switch edge.kind {
                case .byte: bytes.insert(edge.low...edge.high)
                case .token: break
                case .lexer:
                    let lexer = lexers[Int(edge.payload)]
                    bytes.formUnion(lexer.firstBytes)
                    if lexer.acceptsNothing { stack.append(edge.target) }
                // No rule but the whole matches nothing, so that what follows a call does not come first.
                case .call: stack.append(rules[Int(edge.payload)].start)
                case .empty, .whenBelow, .whenAtLeast, .increment, .whenKeysBelow: stack.append(edge.target)
                }
            }
        }
        return true
    }
}
