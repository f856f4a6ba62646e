// Which tokens may come next: a walk through the vocabulary's trie along all readings.

extension Machine {
    /// Sets the bits of all tokens that may come next, but for those that end the output.
    ///
    /// A token is allowed where some reading allows it, so that readings are walked by themselves: those inside of a
    /// lexer with what is known of the lexer's state, the others together.
    /// - Parameter words: all 0.
    mutating func fill(_ words: UnsafeMutableBufferPointer<UInt64>, _ readings: [Reading]) {
        let key = MaskCache.Key(owner: MaskCache.Key.machineOwner + id, state: Int64(number(of: readings)))
        if let known = vocabulary.cache[key] {
            known.add(to: words)
            return
        }
        for reading in readings where reading.place < 0 { beginLexer(reading, words) }
        descend(0, readings, words, includesLexers: false)
        for token in markTokens(readings) where token < vocabulary.count && token >= 0 {
            words[token >> 6] |= 1 << UInt64(token & 63)
        }
        vocabulary.cache.insert(CachedMask(Array(words)), for: key)
    }

    @inline(__always)
    private func setTokens(_ node: Int32, _ words: UnsafeMutableBufferPointer<UInt64>) {
        let first = Int(vocabulary.tokenStart[Int(node)])
        let last = Int(vocabulary.tokenStart[Int(node) + 1])
        for index in first..<last {
            let id = Int(vocabulary.tokens[index])
            words[id >> 6] |= 1 << UInt64(id & 63)
        }
    }

    @inline(__always)
    private func hasChildren(_ node: Int32) -> Bool { vocabulary.end[Int(node)] > node + 1 }

    /// Sets the tokens below a node.
    private mutating func descend(
        _ node: Int32, _ readings: [Reading], _ words: UnsafeMutableBufferPointer<UInt64>, includesLexers: Bool = true
    ) {
        var wanted = ByteSet()
        for reading in readings {
            if reading.place < 0 {
                if includesLexers { walkLexer(node, reading, words) }
                continue
            }
            let state = Int(reading.place)
            for index in Int(byteStart[state])..<Int(edgeStart[state + 1]) {
                let edge = edges[index]
                if edge.low == edge.high { wanted.insert(edge.low) } else { wanted.insert(edge.low...edge.high) }
            }
        }
        guard !wanted.isEmpty else { return }
        var next = Frontier(readings: spare.popLast() ?? [])
        if node == 0 {
            for byte in UInt8.min...UInt8.max where wanted.contains(byte) {
                let child = vocabulary.rootChild[Int(byte)]
                if child >= 0 { visitChild(child, byte, readings, &next, words) }
            }
        } else {
            var child = node + 1
            let last = vocabulary.end[Int(node)]
            while child < last {
                let byte = vocabulary.byte[Int(child)]
                if wanted.contains(byte) { visitChild(child, byte, readings, &next, words) }
                child = vocabulary.end[Int(child)]
            }
        }
        spare.append(next.readings)
    }

    private mutating func visitChild(
        _ child: Int32, _ byte: UInt8, _ readings: [Reading], _ next: inout Frontier,
        _ words: UnsafeMutableBufferPointer<UInt64>
    ) {
        next.readings.removeAll(keepingCapacity: true)
        next.isComplete = false
        stepStates(readings, byte, &next)
        guard !next.isDead else { return }
        setTokens(child, words)
        if hasChildren(child) { descend(child, next.readings, words) }
    }

    // MARK: Lexers

    /// A lexer at the beginning of a token.
    private mutating func beginLexer(_ reading: Reading, _ words: UnsafeMutableBufferPointer<UInt64>) {
        let lexer = lexers[Int(edges[Int(~reading.place)].payload)]
        switch lexer.kind {
        case .counter: walkLexer(0, reading, words)
        case .table(let automaton):
            let key = MaskCache.Key(owner: automaton.id, state: Int64(reading.state), exits: lexer.exits)
            useCached(key, reading, words)
        // What a count forbids depends on no more than what a token can add to it.
        case .bounded(let automaton, let maximum):
            let room = min(maximum - reading.detail, Int32(vocabulary.longest) + automaton.mostNeeded)
            useCached(
                MaskCache.Key(owner: automaton.id, state: Int64(reading.state), detail: Int64(room) + 1), reading, words
            )
        case .string(let minimum, let maximum):
            let longest = Int32(vocabulary.longest)
            let needed = min(max(0, minimum - reading.detail), longest + 1)
            let room = maximum == Lexer.unlimited ? longest : min(maximum - reading.detail, longest)
            let key = MaskCache.Key(
                owner: MaskCache.Key.stringOwner, state: Int64(reading.state),
                detail: Int64(needed) << 32 | Int64(room))
            useCached(key, reading, words)
        case .key(let excluded):
            let key = MaskCache.Key(owner: MaskCache.Key.keyOwner, state: Int64(reading.state))
            let known = cached(key, reading)
            known.add(to: words)
            // Tokens that close the key, unless the object has it.
            let taken = takenNodes(0, reading, excluded)
            for node in known.exits where !taken.contains(node) { closeKey(node, 0, reading, words) }
        }
    }

    private mutating func useCached(
        _ key: MaskCache.Key, _ reading: Reading, _ words: UnsafeMutableBufferPointer<UInt64>
    ) {
        let known = cached(key, reading)
        known.add(to: words)
        guard !known.exits.isEmpty else { return }
        var after = Frontier(readings: spare.popLast() ?? [])
        after.readings.removeAll(keepingCapacity: true)
        afterLexer(reading, register: reading.register, &after)
        for node in known.exits { descend(node, after.readings, words) }
        spare.append(after.readings)
    }

    private mutating func cached(_ key: MaskCache.Key, _ reading: Reading) -> CachedMask {
        if let known = vocabulary.cache[key] { return known }
        var own = [UInt64](repeating: 0, count: (vocabulary.count + 63) / 64)
        var exits: [Int32] = []
        own.withUnsafeMutableBufferPointer { walkAll(reading, $0, &exits) }
        let mask = CachedMask(own, exits: exits)
        vocabulary.cache.insert(mask, for: key)
        return mask
    }

    /// Sets the tokens that a lexer takes whole and lists the nodes at which it may end while tokens go on.
    private mutating func walkAll(
        _ reading: Reading, _ words: UnsafeMutableBufferPointer<UInt64>, _ exits: inout [Int32]
    ) {
        let lexer = lexers[Int(edges[Int(~reading.place)].payload)]
        switch lexer.kind {
        case .counter: break
        case .table(let automaton):
            walkAll(TableWalk(automaton: automaton), reading, lexer.exits, words, &exits)
        case .bounded(let automaton, let maximum):
            walkAll(BoundedWalk(automaton: automaton, maximum: maximum), reading, nil, words, &exits)
        case .string(let minimum, let maximum):
            walkAll(StringWalk(minimum: minimum, maximum: maximum), reading, nil, words, &exits)
        case .key: vocabulary.withTables { walkKeys($0, reading, words, &exits) }
        }
    }

    /// A key's bytes; all places where it may close are exits, since not every key may.
    private func walkKeys(
        _ trie: VocabularyTrie.Tables, _ reading: Reading, _ words: UnsafeMutableBufferPointer<UInt64>,
        _ exits: inout [Int32]
    ) {
        var states = [Int32](repeating: 0, count: vocabulary.longest + 2)
        states[0] = reading.state
        var node = 1
        while node < trie.byte.count {
            let depth = Int(trie.depth[node])
            let next = Int32(StringBody.canonical[Int(states[depth - 1]) * 256 + Int(trie.byte[node])])
            if next < 0 {
                node = Int(trie.end[node])
            } else if next == StringBody.closed {
                exits.append(Int32(node))
                node = Int(trie.end[node])
            } else {
                trie.setTokens(node, words)
                states[depth] = next
                node += 1
            }
        }
    }

    @inline(__always)
    private func walkAll(
        _ walk: some LexerWalk, _ reading: Reading, _ following: ByteSet?,
        _ words: UnsafeMutableBufferPointer<UInt64>, _ exits: inout [Int32]
    ) {
        var states = [Int64](repeating: 0, count: vocabulary.longest + 2)
        states[0] = LexerState.pack(reading.state, reading.detail)
        vocabulary.withTables { trie in
            var node = 1
            while node < trie.byte.count {
                let depth = Int(trie.depth[node])
                let state = walk.next(states[depth - 1], trie.byte[node])
                guard state >= 0 else {
                    node = Int(trie.end[node])
                    continue
                }
                trie.setTokens(node, words)
                if walk.matches(state), Int(trie.end[node]) > node + 1,
                    following.map({ hasChild(Int32(node), $0) }) ?? true
                {
                    exits.append(Int32(node))
                }
                states[depth] = state
                node = walk.goesOn(state) ? node + 1 : Int(trie.end[node])
            }
        }
    }

    private func hasChild(_ node: Int32, _ bytes: ByteSet) -> Bool {
        var child = node + 1
        let last = vocabulary.end[Int(node)]
        while child < last {
            if bytes.contains(vocabulary.byte[Int(child)]) { return true }
            child = vocabulary.end[Int(child)]
        }
        return false
    }

    /// A lexer inside of a token: sets the tokens below a node.
    private mutating func walkLexer(
        _ node: Int32, _ reading: Reading, _ words: UnsafeMutableBufferPointer<UInt64>
    ) {
        let lexer = lexers[Int(edges[Int(~reading.place)].payload)]
        switch lexer.kind {
        case .counter(let start):
            walkDigits(node, reading, Lexer.digits(start: start, count: reading.register), words)
        case .key(let excluded): walkKey(node, reading, excluded, words)
        case .table(let automaton): walkTable(node, reading, TableWalk(automaton: automaton), words)
        case .bounded(let automaton, let maximum):
            walkTable(node, reading, BoundedWalk(automaton: automaton, maximum: maximum), words)
        case .string(let minimum, let maximum):
            walkTable(node, reading, StringWalk(minimum: minimum, maximum: maximum), words)
        }
    }

    private mutating func walkTable(
        _ start: Int32, _ reading: Reading, _ walk: some LexerWalk, _ words: UnsafeMutableBufferPointer<UInt64>
    ) {
        let base = beginStates()
        defer { endStates() }
        let above = Int(vocabulary.depth[Int(start)])
        lexerStates[base] = LexerState.pack(reading.state, reading.detail)
        let last = vocabulary.end[Int(start)]
        var after: [Reading]?
        var node = start + 1
        while node < last {
            let level = base + Int(vocabulary.depth[Int(node)]) - above
            let next = walk.next(lexerStates[level - 1], vocabulary.byte[Int(node)])
            guard next >= 0 else {
                node = vocabulary.end[Int(node)]
                continue
            }
            setTokens(node, words)
            if walk.matches(next), hasChildren(node) {
                let following: [Reading]
                if let after {
                    following = after
                } else {
                    var frontier = Frontier()
                    afterLexer(reading, register: reading.register, &frontier)
                    following = frontier.readings
                    after = following
                }
                descend(node, following, words)
            }
            lexerStates[level] = next
            node = walk.goesOn(next) ? node + 1 : vocabulary.end[Int(node)]
        }
    }

    /// Room for the states along one path of the trie.
    private mutating func beginStates() -> Int {
        let base = lexerBase
        lexerBase += vocabulary.longest + 2
        if lexerStates.count < lexerBase {
            lexerStates += [Int64](repeating: 0, count: lexerBase - lexerStates.count)
        }
        return base
    }

    private mutating func endStates() { lexerBase -= vocabulary.longest + 2 }

    private mutating func walkDigits(
        _ start: Int32, _ reading: Reading, _ digits: [UInt8], _ words: UnsafeMutableBufferPointer<UInt64>
    ) {
        var node = start
        for index in Int(reading.state)..<max(digits.count, Int(reading.state)) {
            node = vocabulary.node(digits[index...index], below: node)
            guard node >= 0 else { return }
            setTokens(node, words)
        }
        guard hasChildren(node) else { return }
        var after = Frontier()
        afterLexer(reading, register: reading.register, &after)
        descend(node, after.readings, words)
    }

    private mutating func walkKey(
        _ start: Int32, _ reading: Reading, _ excluded: [[UInt8]], _ words: UnsafeMutableBufferPointer<UInt64>
    ) {
        let base = beginStates()
        defer { endStates() }
        let taken = takenNodes(start, reading, excluded)
        let above = Int(vocabulary.depth[Int(start)])
        lexerStates[base] = Int64(reading.state)
        let last = vocabulary.end[Int(start)]
        var node = start + 1
        while node < last {
            let level = base + Int(vocabulary.depth[Int(node)]) - above
            let next = StringBody.canonical[Int(lexerStates[level - 1]) * 256 + Int(vocabulary.byte[Int(node)])]
            if next < 0 {
                node = vocabulary.end[Int(node)]
            } else if Int32(next) == StringBody.closed {
                if !taken.contains(node) { closeKey(node, start, reading, words) }
                node = vocabulary.end[Int(node)]
            } else {
                setTokens(node, words)
                lexerStates[level] = Int64(next)
                node += 1
            }
        }
    }

    /// Nodes below a node at which a key closes that the object has already.
    private func takenNodes(_ start: Int32, _ reading: Reading, _ excluded: [[UInt8]]) -> Set<Int32> {
        let dynamic = keys.texts(of: -reading.register)
        guard !excluded.isEmpty || !dynamic.isEmpty else { return [] }
        let text = keys.bytes(of: reading.detail)
        var result: Set<Int32> = []
        func add(_ key: [UInt8]) {
            guard key.count > text.count, key.starts(with: text) else { return }
            let node = vocabulary.node(key[text.count...], below: start)
            if node >= 0 { result.insert(node) }
        }
        for key in excluded { add(key) }
        for number in dynamic { add(keys.bytes(of: number) + [UInt8(ascii: "\"")]) }
        return result
    }

    /// A key that ends at a node: sets its tokens, and those that go on after it.
    private mutating func closeKey(
        _ node: Int32, _ start: Int32, _ reading: Reading, _ words: UnsafeMutableBufferPointer<UInt64>
    ) {
        setTokens(node, words)
        guard hasChildren(node) else { return }
        // The bytes between the nodes, without the closing quote.
        var number = reading.detail
        for byte in path(from: start, to: node).dropLast() { number = keys.text(number, adding: byte) }
        var after = Frontier(readings: spare.popLast() ?? [])
        after.readings.removeAll(keepingCapacity: true)
        afterLexer(reading, register: adding(number, to: reading.register), &after)
        descend(node, after.readings, words)
        spare.append(after.readings)
    }

    /// The bytes that lead from a node to one below it.
    private func path(from start: Int32, to node: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        var parent = start
        while parent != node {
            var child = parent + 1
            while vocabulary.end[Int(child)] <= node { child = vocabulary.end[Int(child)] }
            bytes.append(vocabulary.byte[Int(child)])
            parent = child
        }
        return bytes
    }
}
