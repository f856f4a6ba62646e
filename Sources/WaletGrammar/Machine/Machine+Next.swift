// What may come next in a frontier.

extension Machine {
    /// Token ids that marks allow.
    func markTokens(_ readings: [Reading]) -> [Int] {
        var result: [Int] = []
        for reading in readings where reading.place >= 0 {
            let state = Int(reading.place)
            for index in Int(edgeStart[state])..<Int(byteStart[state]) where edges[index].kind == .token {
                result.append(Int(edges[index].payload))
            }
        }
        return result
    }

    private static func nextBytes(_ walk: some LexerWalk, _ reading: Reading) -> ByteSet {
        var bytes = ByteSet()
        let state = LexerState.pack(reading.state, reading.detail)
        for byte in UInt8.min...UInt8.max where walk.next(state, byte) >= 0 { bytes.insert(byte) }
        return bytes
    }

    /// Bytes that may come next.
    func nextBytes(_ readings: [Reading]) -> ByteSet {
        var bytes = ByteSet()
        for reading in readings {
            guard reading.place < 0 else {
                let state = Int(reading.place)
                for index in Int(byteStart[state])..<Int(edgeStart[state + 1]) {
                    bytes.insert(edges[index].low...edges[index].high)
                }
                continue
            }
            switch lexers[Int(edges[Int(~reading.place)].payload)].kind {
            case .table(let automaton): bytes.formUnion(automaton.nextBytes(reading.state))
            case .bounded(let automaton, let maximum):
                bytes.formUnion(Self.nextBytes(BoundedWalk(automaton: automaton, maximum: maximum), reading))
            case .string(let minimum, let maximum):
                bytes.formUnion(Self.nextBytes(StringWalk(minimum: minimum, maximum: maximum), reading))
            case .key(let excluded):
                for byte in UInt8.min...UInt8.max {
                    let next = StringBody.canonical[Int(reading.state) * 256 + Int(byte)]
                    guard next >= 0 else { continue }
                    if Int32(next) == StringBody.closed, !isNew(reading.detail, in: reading.register, excluded) {
                        continue
                    }
                    bytes.insert(byte)
                }
            case .counter(let start):
                let digits = Lexer.digits(start: start, count: reading.register)
                if Int(reading.state) < digits.count { bytes.insert(digits[Int(reading.state)]) }
            }
        }
        return bytes
    }
}
