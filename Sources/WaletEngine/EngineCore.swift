import Foundation
import Synchronization
import WaletFormats
import WaletModels
import WaletTensor

/// The engine's loop: takes requests in, lets the scheduler choose rows, runs them, draws tokens.
///
/// It lives on the engine's thread; what comes from elsewhere comes through its ``Mailbox``.
final class EngineCore {
    let model: Transformer
    let space: Workspace
    private let mailbox: Mailbox
    let options: EngineOptions
    private let pool: PagePool
    private let store: PageStore?
    private let cache: PrefixCache
    private let contextLength: Int
    /// Attention has two forms, whose results differ in the last bits.
    private let hasTwoForms: Bool
    private var scheduler: Scheduler
    private var pacing = PromptPacing()
    private var requests: [ActiveRequest] = []
    private var arrivals = 0
    var statistics = EngineStatistics()

    init(
        _ model: Transformer, _ space: Workspace, _ mailbox: Mailbox, options: EngineOptions, pool: PagePool,
        store: PageStore?, secret: [UInt8], contextLength: Int
    ) {
        self.model = model
        self.space = space
        self.mailbox = mailbox
        self.options = options
        self.pool = pool
        self.store = store
        self.contextLength = contextLength
        hasTwoForms = model.hasExpandedForm(space.precision)
        cache = PrefixCache(secret: secret)
        scheduler = Scheduler(maximumRunning: options.maximumRunning)
    }

    func run() {
        while true {
            let isIdle = !requests.contains { $0.state != .loading }
            if isIdle { publish() }
            guard let mail = mailbox.take(waits: isIdle) else { break }
            mail.arrivals.forEach(receive)
            mail.loads.forEach(receive)
            dropCancelled()
            for job in mail.jobs { job.run(space) }
            if requests.contains(where: { $0.state != .loading }) { step() }
            publish()
        }
        for request in requests { request.continuation.finish(throwing: EngineError.stopped) }
        requests = []
        store?.flush()
    }

    private func publish() {
        statistics.running = requests.count { $0.state == .running }
        statistics.waiting = requests.count - statistics.running
        statistics.pages = pool.inUse
        statistics.cachedPages = cache.pages
        mailbox.publish(statistics)
    }

    // MARK: Requests that come

    private func receive(_ arrival: Mailbox.Arrival) {
        let request = ActiveRequest(
            id: arrivals, arrival.request, arrival.predictionLayer, contextLength: contextLength,
            cancelled: arrival.cancelled, continuation: arrival.continuation)
        arrivals += 1
        requests.append(request)
        statistics.promptTokens += request.promptCount
        if request.request.sequence == nil, !request.request.scoresPrompt { loadFromStore(request) }
    }

    /// Reads what the disk has of a prompt beyond what memory has, while others go on.
    private func loadFromStore(_ request: ActiveRequest) {
        guard let store else { return }
        let match = match(request)
        let size = KVCache.pageTokens
        let isStrict = needsCanonical(request)
        var keys: [PageKey] = []
        // Pages of other numbers make all that follow them such.
        var canonical = match.canonicalPages
        var key = match.key
        var page = match.fullPages
        while (page + 1) * size < request.tokens.count {
            key = key.next(request.tokens[page * size..<(page + 1) * size])
            if store.contains(key) {
                keys.append(key)
                if canonical == page { canonical += 1 }
            } else if !isStrict, store.contains(key.variant) {
                keys.append(key.variant)
            } else {
                break
            }
            page += 1
        }
        let missing = keys.count - (pool.limit - pool.inUse)
        if missing > 0 { keys.removeLast(min(keys.count, missing - cache.evict(missing))) }
        guard !keys.isEmpty else { return }
        request.state = .loading
        let load = Mailbox.Load(
            id: request.id, before: match.pages.prefix(match.fullPages).map { $0 }, canonicalPages: canonical)
        store.load(keys, from: pool) { [mailbox] pages in
            var load = load
            load.pages = pages
            mailbox.post(load)
        }
    }

    private func receive(_ load: Mailbox.Load) {
        guard let request = requests.first(where: { $0.id == load.id }), request.state == .loading else { return }
        request.state = .waiting
        guard !load.pages.isEmpty else { return }
        let pages = load.before + load.pages
        request.loadedTokens = load.pages.count * KVCache.pageTokens
        _ = cache.insert(
            Array(request.tokens.prefix(pages.count * KVCache.pageTokens)), pages, tenant: request.request.tenant,
            canonicalPages: load.canonicalPages, tailIsCanonical: nil)
    }

    private func dropCancelled() {
        for request in requests where request.cancelled.isSet { end(request, .cancelled) }
    }

    // MARK: One pass

    private func step() {
        do throws(FormatError) {
            try makeDrafts()
            let candidates = candidates()
            var free = max(0, pool.limit - pool.inUse)
            if candidates.reduce(0, { $0 + $1.pages($1.pending + $1.guesses) }) > free { free += cache.reclaimable }
            let decision = scheduler.decide(
                candidates, rows: space.batch.capacity, promptRows: pacing.rows(capacity: space.batch.capacity),
                freePages: free)
            for id in decision.preempted { preempt(id) }
            let isStuck = decision.stuck != nil || (decision.rows.isEmpty && decision.preempted.isEmpty)
            if isStuck, store?.isBusy == true {
                // Pages that are on their way to the disk, or from there, cannot be freed yet.
                usleep(500)
                return
            }
            if decision.stuck != nil, cache.pages > 0 {
                // Of pages that hang together with those in use none can be evicted alone.
                cache.removeAll()
                return
            }
            if let id = decision.stuck, let request = requests.first(where: { $0.id == id }) {
                // Alone, and its pages are all that there are: as with the end of the context.
                end(request, .length)
                return
            }
            try run(
                decision.rows.compactMap { row in
                    requests.first { $0.id == row.id }.map { ($0, row.count) }
                })
        } catch {
            // The pass is worthless, and so is what its sequences hold of it.
            for request in requests where request.state == .running {
                if let own = request.request.sequence {
                    own.removeAll()
                    own.isBusy = false
                }
                request.continuation.finish(throwing: EngineError.weights(error.description))
            }
            requests.removeAll { $0.state == .running }
        }
    }

    /// Guesses what follows, where nobody else would have to wait for it.
    private func makeDrafts() throws(FormatError) {
        let decoding = requests.filter(\.isDecoding)
        let isAlone = decoding.count == 1 && requests.count == 1
        for request in decoding {
            guard let last = request.tokens.last, let sequence = request.sequence, request.speculator != nil,
                isAlone || !request.request.pacesDrafts
            else {
                request.draft = []
                continue
            }
            // A pass holds the rows of all, and no more logits than there is memory for.
            let share = min(space.logitRows, space.batch.capacity / decoding.count) - 1
            request.draft = try request.speculator!.draft(
                after: last, in: sequence, limit: min(share, request.limit - request.usage.answerTokens - 1), space)
        }
    }

    private func candidates() -> [Scheduler.Candidate] {
        let isFull = requests.count { $0.state == .running } >= options.maximumRunning
        var looked = 0
        var claimed: Set<ObjectIdentifier> = []
        // Those whose prompts are on the way: who begins alike waits for their pages instead of making its own.
        var leaders = requests.filter { $0.state == .running && !$0.isDecoding && $0.request.sequence == nil }
        var candidates: [Scheduler.Candidate] = []
        candidates.reserveCapacity(requests.count)
        for request in requests where request.state != .loading {
            let size = KVCache.pageTokens
            let owns = request.request.sequence != nil
            var cached: (tokens: Int, pages: Int) = (0, 0)
            if request.state == .waiting {
                if let own = request.request.sequence {
                    // Requests that go on with the same one do so in turn.
                    if own.isBusy || !claimed.insert(ObjectIdentifier(own)).inserted { continue }
                }
                if !owns, !isFull, looked < Self.lookedUp {
                    looked += 1
                    let match = match(request)
                    cached = (match.tokens, match.fullPages - match.unusedPages)
                    if follows(request, leaders, beyond: cached.tokens) { continue }
                    leaders.append(request)
                }
            }
            candidates.append(
                Scheduler.Candidate(
                    id: request.id, owner: request.request.owner, priority: request.request.priority,
                    arrival: request.id, isRunning: request.state == .running,
                    pending: request.pending - cached.tokens, guesses: request.draft.count,
                    isDecoding: request.isDecoding,
                    pages: { rows in
                        if owns || rows == 0 { return 0 }
                        if let sequence = request.sequence { return sequence.cache.pagesNeeded(for: rows) }
                        return (cached.tokens + rows + size - 1) / size - cached.pages
                    },
                    pagesHeld: owns ? 0 : max(0, (request.sequence?.cache.pages.count ?? 0) - request.adoptedPages)))
        }
        return candidates
    }

    /// Whether a page or more of a prompt is about to be made for another.
    private func follows(_ request: ActiveRequest, _ leaders: [ActiveRequest], beyond tokens: Int) -> Bool {
        let wanted = (tokens / KVCache.pageTokens + 1) * KVCache.pageTokens
        guard wanted < request.tokens.count, !request.request.scoresPrompt else { return false }
        return leaders.contains { leader in
            leader.request.tenant == request.request.tenant && leader.request.priority >= request.request.priority
                && leader.promptCount >= wanted && !leader.request.scoresPrompt
                && (!needsCanonical(request) || needsCanonical(leader))
                && leader.tokens[..<wanted] == request.tokens[..<wanted]
        }
    }

    /// Of so many waiting requests it is looked up what the cache has.
    private static let lookedUp = 16

    private func needsCanonical(_ request: ActiveRequest) -> Bool { hasTwoForms && request.request.isReproducible }

    private func match(_ request: ActiveRequest) -> PrefixCache.Match {
        cache.match(
            request.tokens, limit: request.request.scoresPrompt ? 0 : request.tokens.count - 1,
            tenant: request.request.tenant,
            need: needsCanonical(request) ? .canonical(fullPages: request.promptCount / KVCache.pageTokens) : .any)
    }

    /// Gives a request its sequence, with what is there already.
    private func admit(_ request: ActiveRequest) {
        let sequence: SequenceState
        var adopted: PrefixCache.Match?
        if let own = request.request.sequence {
            sequence = own
            own.isBusy = true
            own.keepPrefix(of: request.tokens)
        } else {
            let match = match(request)
            let kv = KVCache(
                model.configuration, capacity: contextLength, precision: space.precision, pool: pool)
            kv.adopt(match.pages, tokens: match.tokens)
            sequence = SequenceState(cache: kv)
            sequence.tokens = Array(request.tokens.prefix(match.tokens))
            request.adoptedPages = match.pages.count
            request.keptPages = match.fullPages
            adopted = match
            if request.usage.answerTokens == 0 {
                statistics.cacheQueries += request.promptCount
                let disk = min(request.loadedTokens, match.tokens)
                statistics.diskHits += disk
                statistics.memoryHits += match.tokens - disk
            }
        }
        request.sequence = sequence
        let cached = sequence.tokens.count
        let fresh = max(0, request.promptCount - cached)
        request.expands =
            needsCanonical(request) && request.request.sequence == nil
            ? request.promptCount >= KVCache.pageTokens : model.isLongPrompt(fresh: fresh, cached: cached)
        request.canonicalPages = adopted.map { canonicalPages(of: request, after: $0) } ?? 0
        if request.request.speculation != .off {
            request.speculator = Speculator(
                request.request, request.predictionLayer, sequence, text: request.tokens,
                capacity: request.promptCount + request.limit, space)
        }
        request.begin(cached: cached)
    }

    /// How many of the pages that a request will have are canonical, at most.
    private func canonicalPages(of request: ActiveRequest, after match: PrefixCache.Match) -> Int {
        guard hasTwoForms, match.canonicalPages == match.fullPages else {
            return hasTwoForms ? match.canonicalPages : .max
        }
        let full = request.promptCount / KVCache.pageTokens
        // Rows of a page that is taken in part may be of either form.
        let takesPart = match.tokens > match.fullPages * KVCache.pageTokens && match.fullPages < full
        return request.expands && !takesPart ? full : min(full, match.fullPages)
    }

    private func preempt(_ id: Int) {
        guard let request = requests.first(where: { $0.id == id }) else { return }
        keep(request, tail: false)
        request.yield()
        statistics.preemptions += 1
    }

    /// Runs rows of requests in one pass, and draws what follows.
    private func run(_ chosen: [(request: ActiveRequest, count: Int)]) throws(FormatError) {
        guard !chosen.isEmpty else { return }
        let clock = ContinuousClock()
        let start = clock.now
        for (request, _) in chosen where request.state == .waiting { admit(request) }
        makeRoom(for: chosen)
        // What a drafter still has to run goes before the pass, which would overwrite it.
        var parts: [Part] = []
        for (request, count) in chosen {
            guard let sequence = request.sequence else { continue }
            let own = min(count, request.pending)
            let draft = own == request.pending ? Array(request.draft.prefix(count - own)) : []
            parts.append(Part(request: request, sequence: sequence, own: own, draft: draft))
            let next = request.tokens[sequence.tokens.count]
            try request.speculator?.makeRoom(for: own + draft.count, in: sequence, next: next, space)
        }
        space.batch.removeAll()
        for index in parts.indices { parts[index].firstRow = append(parts[index]) }
        try model.forward(space)
        statistics.passes += 1
        statistics.rows += space.batch.count
        for part in parts {
            let first = part.sequence.tokens.count
            part.sequence.tokens.append(contentsOf: part.request.tokens[first..<first + part.own])
            part.sequence.tokens.append(contentsOf: part.draft)
            if !part.wasDecoding {
                let done = min(part.request.promptCount, part.sequence.tokens.count)
                part.request.request.progress?.record(promptTokens: done)
            }
        }
        let isPrompt = parts.contains { !$0.wasDecoding }
        let shape = shape(of: parts)
        scorePrompts(parts)
        draw(parts)
        for part in parts where part.request.state == .running && !part.wasDecoding { keep(part.request, tail: false) }
        let seconds = (clock.now - start).seconds
        if isPrompt { pacing.record(rows: space.batch.count, seconds: seconds) }
        if let shape { record(shape, seconds: seconds) }
        // It would hold the pages of sequences that have ended.
        space.batch.removeAll()
    }

    /// Frees as many pages as the rows will take.
    private func makeRoom(for chosen: [(request: ActiveRequest, count: Int)]) {
        let needed = chosen.reduce(0) { sum, part in
            guard part.request.request.sequence == nil, let sequence = part.request.sequence else { return sum }
            return sum + sequence.cache.pagesNeeded(for: part.count)
        }
        let missing = needed - (pool.limit - pool.inUse)
        if missing > 0 { _ = cache.evict(missing) }
    }

    /// - Returns: the part's first row.
    private func append(_ part: Part) -> Int {
        let first = space.batch.count
        let begin = part.sequence.tokens.count
        let end = begin + part.own
        let text = part.request.tokens
        // What a prompt has beyond its full pages is made as an answer is, whatever comes of it later.
        let full = part.request.promptCount / KVCache.pageTokens * KVCache.pageTokens
        let boundary = part.request.expands ? min(max(begin, full), end) : begin
        if begin < boundary {
            space.batch.append(text[begin..<boundary], to: part.sequence.cache, ofLongPrompt: true)
        }
        if boundary < end { space.batch.append(text[boundary..<end] + part.draft, to: part.sequence.cache) }
        return first
    }

    // MARK: What stays

    func end(_ request: ActiveRequest, _ reason: FinishReason) {
        statistics.answerTokens += request.usage.answerTokens
        keep(request, tail: true)
        if request.state == .running { request.request.sequence?.isBusy = false }
        request.sequence = nil
        requests.removeAll { $0 === request }
        // Whoever sees the end sees the figures after it.
        publish()
        request.continuation.yield(.finished(reason, request.usage))
        request.continuation.finish()
    }

    /// Leaves a request's pages to those that begin alike.
    /// - Parameter tail: the page that is not full too.
    private func keep(_ request: ActiveRequest, tail: Bool) {
        guard let sequence = request.sequence, request.request.sequence == nil, !sequence.tokens.isEmpty else { return }
        let full = sequence.tokens.count / KVCache.pageTokens
        let hasTail = tail && sequence.tokens.count % KVCache.pageTokens != 0
        guard full > request.keptPages || hasTail else { return }
        let canonical = min(full, request.canonicalPages)
        request.keptPages = full
        let additions = cache.insert(
            sequence.tokens, sequence.cache.pages, tenant: request.request.tenant, canonicalPages: canonical,
            tailIsCanonical: hasTail ? canonical == full : nil)
        guard let store else { return }
        for addition in additions {
            store.save(addition.isCanonical ? addition.key : addition.key.variant, addition.page)
        }
    }
}
