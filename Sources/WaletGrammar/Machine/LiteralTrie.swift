// Many literals that begin alike.

/// Byte strings, each with the state to which it leads, written so that common beginnings are written once.
struct LiteralTrie {
    private var literals: [(bytes: [UInt8], target: Int32)] = []

    mutating func insert(_ bytes: [UInt8], to target: Int32) {
        // An empty literal would end a value before it has begun.
        if !bytes.isEmpty { literals.append((bytes, target)) }
    }

    func write(from state: Int32, at path: String, _ builder: inout ProgramBuilder) throws(GrammarError) {
        let sorted = literals.sorted {
            $0.bytes == $1.bytes ? $0.target < $1.target : $0.bytes.lexicographicallyPrecedes($1.bytes)
        }
        // States along the literal before: states[n] after n of its bytes.
        var states = [state]
        var before: [UInt8] = []
        var lastTarget: Int32 = -1
        for (index, (bytes, target)) in sorted.enumerated() {
            if bytes == before, target == lastTarget { continue }
            lastTarget = target
            var common = 0
            while common < min(before.count, bytes.count), before[common] == bytes[common] { common += 1 }
            states.removeLast(states.count - min(common + 1, states.count))
            let isPrefix = index + 1 < sorted.count && sorted[index + 1].bytes.starts(with: bytes)
            while states.count <= bytes.count {
                let byte = bytes[states.count - 1]
                if states.count == bytes.count, !isPrefix {
                    // An end without continuation needs no state of its own.
                    builder.byte(byte, from: states[states.count - 1], to: target)
                    break
                }
                let next = try builder.state(at: path)
                builder.byte(byte, from: states[states.count - 1], to: next)
                states.append(next)
            }
            if states.count == bytes.count + 1 { builder.empty(from: states[bytes.count], to: target) }
            before = bytes
        }
    }
}
