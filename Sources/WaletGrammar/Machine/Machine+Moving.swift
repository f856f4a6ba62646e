// A frontier without a machine, so that a machine that has grown too large can be left behind.

/// A frontier by its content.
struct PortableFrontier: Sendable {
    fileprivate var readings: [Reading] = []
    fileprivate var isComplete = false
    /// Those that a node mentions come before it; node 0 is the whole.
    fileprivate var nodes: [(depth: Int32, continuations: [Continuation])] = [(0, [])]
    fileprivate var texts: [[UInt8]] = []
    /// Texts by their numbers here, in the order in which they were added.
    fileprivate var lists: [[Int]] = []
}

extension Machine {
    /// What a frontier of this machine means.
    func export(_ frontier: Frontier) -> PortableFrontier {
        var exporter = Exporter(machine: self)
        exporter.result.isComplete = frontier.isComplete
        for reading in frontier.readings {
            var reading = reading
            reading.node = exporter.node(reading.node)
            reading.register = exporter.register(reading.register)
            if isKey(reading) { reading.detail = exporter.text(reading.detail) }
            exporter.result.readings.append(reading)
        }
        return exporter.result
    }

    /// The same frontier in this machine.
    mutating func adopt(_ portable: PortableFrontier) -> Frontier {
        let texts = portable.texts.map { bytes in
            bytes.reduce(Int32(0)) { keys.text($0, adding: $1) }
        }
        let lists = portable.lists.map { list in
            list.reduce(Int32(0)) { keys.list($0, adding: texts[$1]) }
        }
        func register(_ value: Int32) -> Int32 { value < 0 ? -lists[Int(-value) - 1] : value }
        var nodes: [Int32] = [0]
        for (depth, continuations) in portable.nodes.dropFirst() {
            var list = continuations.map {
                Continuation(target: $0.target, node: nodes[Int($0.node)], register: register($0.register))
            }
            list.sort(by: <)
            nodes.append(stack(list, depth: depth))
        }
        var frontier = Frontier(isComplete: portable.isComplete)
        for reading in portable.readings {
            var moved = reading
            moved.node = nodes[Int(reading.node)]
            moved.register = register(reading.register)
            if isKey(reading) { moved.detail = texts[Int(reading.detail)] }
            frontier.readings.append(moved)
        }
        frontier.readings.sort(by: <)
        return frontier
    }

    private func isKey(_ reading: Reading) -> Bool {
        guard reading.place < 0 else { return false }
        if case .key = lexers[Int(edges[Int(~reading.place)].payload)].kind { return true }
        return false
    }

    private struct Exporter {
        let machine: Machine
        var result = PortableFrontier()
        private var nodes: [Int32: Int32] = [0: 0]
        private var texts: [Int32: Int32] = [:]
        private var lists: [Int32: Int32] = [:]

        init(machine: Machine) { self.machine = machine }

        /// Depth is bounded by the grammar's.
        mutating func node(_ node: Int32) -> Int32 {
            if let known = nodes[node] { return known }
            var continuations: [Continuation] = []
            for item in machine.stacks.continuations(of: node) {
                continuations.append(
                    Continuation(
                        target: item.target, node: self.node(item.node), register: register(item.register)))
            }
            let number = Int32(result.nodes.count)
            result.nodes.append((machine.stacks.depth(node), continuations))
            nodes[node] = number
            return number
        }

        mutating func register(_ value: Int32) -> Int32 {
            guard value < 0 else { return value }
            if let known = lists[value] { return known }
            let texts = machine.keys.texts(of: -value).reversed().map { Int(text($0)) }
            result.lists.append(texts)
            let number = -Int32(result.lists.count)
            lists[value] = number
            return number
        }

        mutating func text(_ text: Int32) -> Int32 {
            if let known = texts[text] { return known }
            let number = Int32(result.texts.count)
            result.texts.append(machine.keys.bytes(of: text))
            texts[text] = number
            return number
        }
    }
}
