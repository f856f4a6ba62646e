import WaletFormats
import WaletModels
import WaletTensor

/// Drafts for one sequence with the checkpoint's multi-token-prediction layer, and remembers what the layer has seen.
///
/// The layer wants a row for every position: the model's hidden state there, and the token after it. Hidden states wait
/// here until a draft is wanted, and then go through the layer together.
final class PredictionDrafter {
    private let layer: PredictionLayer
    private let cache: KVCache
    /// The position of the sequence that the cache's first row counts as. Attention knows positions by their distance
    /// alone, so they may be counted from anywhere.
    private var start: Int
    /// Hidden states of the positions from `end` on, `[waiting of room, hidden]`
    private let states: FloatBuffer
    private var waiting = 0
    private let room: Int
    private let hidden: Int

    /// The first position that has not been through the layer.
    private var end: Int { start + cache.count }

    /// - Parameters:
    ///   - cache: empty, of one layer.
    ///   - position: the first that there will be a hidden state of.
    init(_ layer: PredictionLayer, _ cache: KVCache, from position: Int, _ space: Workspace) {
        self.layer = layer
        self.cache = cache
        start = position
        hidden = layer.model.configuration.hiddenSize
        // The rows of a whole pass, and some that wait while nothing is drafted.
        room = space.batch.capacity + 4 * space.logitRows
        states = FloatBuffer(count: room * hidden)
    }

    /// Forgets what depends on more than the first `count` tokens.
    func truncate(to count: Int) {
        // A row of the layer has seen the token after it.
        let kept = max(0, min(cache.count, count - 1 - start))
        waiting = kept == cache.count ? max(0, min(waiting, count - end)) : 0
        cache.truncate(to: kept)
    }

    /// Makes ready for the hidden state of `position`, where those of some positions before it may never have come.
    ///
    /// What the layer has seen before a small gap is as if it were nearer, which harms its guesses little.
    func goOn(from position: Int) {
        guard end + waiting != position else { return }
        waiting = 0
        if position < end || position - end > Self.widestGap { cache.truncate(to: 0) }
        start = position - cache.count
    }

    private static let widestGap = 64

    /// Takes in rows of the model's last pass, before `space` serves another.
    func append(rows: Range<Int>, _ space: Workspace) {
        layer.model.hiddenStates(ofRows: rows, space, into: states.pointer + waiting * hidden)
        waiting += rows.count
    }

    /// Runs the layer where so many more hidden states might not fit.
    /// - Parameters:
    ///   - text: the tokens of the sequence, as far as they have been run.
    ///   - next: the token after them.
    func makeRoom(for rows: Int, text: [Int], next: Int, _ space: Workspace) throws(FormatError) {
        if waiting > 0, waiting + rows > room { _ = try flush(text, next, space) }
    }

    /// Guesses what follows `next`; the last guess may be an end token.
    func draft(
        _ limit: Int, text: [Int], next: Int, endTokens: Set<Int>, forbidden: [Int], _ space: Workspace
    ) throws(FormatError) -> [Int] {
        guard limit > 0, waiting > 0 else { return [] }
        var row = try flush(text, next, space)
        let count = cache.count
        var draft = [likeliest(row, forbidden, space)]
        while draft.count < limit, let last = draft.last, !endTokens.contains(last) {
            // Further on the layer's own state stands for the model's.
            layer.hiddenStates(ofRows: row..<row + 1, space, into: states.pointer)
            space.batch.removeAll()
            space.batch.append([last], to: cache)
            try layer.forward(space, states: states.pointer)
            row = 0
            draft.append(likeliest(row, forbidden, space))
        }
        cache.truncate(to: count)
        return draft
    }

    /// Runs all rows that wait.
    /// - Returns: which row of the last pass is the last.
    private func flush(_ text: [Int], _ next: Int, _ space: Workspace) throws(FormatError) -> Int {
        var first = 0
        var rows = 0
        while first < waiting {
            rows = min(space.batch.capacity, waiting - first)
            let position = end + 1
            let tokens = (position..<position + rows).map { $0 < text.count ? text[$0] : next }
            space.batch.removeAll()
            space.batch.append(tokens[...], to: cache)
            try layer.forward(space, states: states.pointer + first * hidden)
            first += rows
        }
        waiting = 0
        return rows - 1
    }

    private func likeliest(_ row: Int, _ forbidden: [Int], _ space: Workspace) -> Int {
        let logits = UnsafeMutableBufferPointer(
            start: layer.logits(ofRows: row..<row + 1, space), count: layer.model.configuration.vocabularySize)
        for id in forbidden where id < logits.count { logits[id] = -.infinity }
        return Sampler.largest(logits)
    }
}
