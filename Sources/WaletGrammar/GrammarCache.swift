// Grammars that were used last, so that a schema is compiled once for many requests.

import Synchronization

/// A cache of grammars with bounds on their number and memory; what was used longest ago goes first.
public final class GrammarCache: Sendable {
    private struct Entry {
        var grammar: TokenGrammar
        var lastUse: Int
    }
    private struct State {
        var entries: [String: Entry] = [:]
        var clock = 0
    }

    private let state = Mutex(State())
    private let countLimit: Int
    private let byteLimit: Int

    /// - Parameters:
    ///   - countLimit: grammars at most.
    ///   - byteLimit: memory of all of them with their states, at most; a grammar that is larger is not kept.
    public init(countLimit: Int = 64, byteLimit: Int = 128 << 20) {
        self.countLimit = max(1, countLimit)
        self.byteLimit = byteLimit
    }

    /// The grammar of a key, made where it is not there. Two callers that miss at once both make it.
    /// - Parameter key: what determines the grammar, such as the schema's text with the options. Keys of one vocabulary
    ///   only.
    public func grammar(
        for key: String, make: () throws(GrammarError) -> TokenGrammar
    ) throws(GrammarError) -> TokenGrammar {
        if let known = lookUp(key) { return known }
        let grammar = try make()
        state.withLock { state in
            state.clock += 1
            state.entries[key] = Entry(grammar: grammar, lastUse: state.clock)
            var sizes = state.entries.mapValues { $0.grammar.approximateBytes }
            for (key, _) in sizes { sizes[key, default: 0] += key.utf8.count }
            var bytes = sizes.values.reduce(0, +)
            while state.entries.count > countLimit || bytes > byteLimit,
                let oldest = state.entries.min(by: { $0.value.lastUse < $1.value.lastUse })?.key
            {
                state.entries[oldest] = nil
                bytes -= sizes[oldest] ?? 0
            }
        }
        return grammar
    }

    private func lookUp(_ key: String) -> TokenGrammar? {
        state.withLock { state in
            state.clock += 1
            state.entries[key]?.lastUse = state.clock
            return state.entries[key]?.grammar
        }
    }

    /// Grammars that are kept.
    public var count: Int { state.withLock { $0.entries.count } }
}
