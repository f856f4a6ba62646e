import Synchronization

/// How far reading or writing files has come, on a terminal: one line that moves.
final class ByteProgress: Sendable {
    private let verb: String
    private let total: Int
    private let state = Mutex((bytes: 0, shown: -1))

    /// - Parameters:
    ///   - verb: what is done, as in "hashing".
    ///   - total: bytes.
    init(_ verb: String, total: Int) {
        self.verb = verb
        self.total = total
    }

    /// - Parameter bytes: done since the last call.
    func advance(_ file: String, _ bytes: Int) {
        guard Terminal.errorIsTerminal, total > 0 else { return }
        let percent = state.withLock { state -> Int? in
            state.bytes += bytes
            let percent = min(100, Int(100 * Double(state.bytes) / Double(total)))
            guard percent != state.shown else { return nil }
            state.shown = percent
            return percent
        }
        if let percent { Terminal.progress("\r\u{1B}[K\(verb) \(percent)% \(Terminal.printable(file))") }
    }

    func end() {
        if Terminal.errorIsTerminal { Terminal.progress("\r\u{1B}[K") }
    }
}
