// A compiled pre-tokenizer pattern and the search for its matches, bounded however hostile pattern or text are.

import CPCRE2

/// A pattern compiled by PCRE2, with machine code where the platform allows. Immutable, so that threads may share it.
///
/// `@unchecked Sendable`: `pcre2_code` is read only after `init`, as PCRE2 documents for use by several threads; what
/// a match writes lies in the ``RegexSession`` that each call of `encode` has for itself.
final class SplitRegex: @unchecked Sendable {
    /// The pattern as the tokenizer has it.
    let source: String
    /// Code points that the pattern names itself; see ``UnicodeShadow``.
    let explicitRanges: [ClosedRange<UInt32>]
    private let code: OpaquePointer

    init(_ source: String, _ dialect: PatternTranslator.Dialect) throws(TokenizerError) {
        let translation = try PatternTranslator.translate(source, dialect)
        self.source = source
        explicitRanges = translation.explicitRanges
        guard let context = pcre2_compile_context_create_8(nil) else {
            throw .pattern(source, offset: 0, reason: "out of memory")
        }
        defer { pcre2_compile_context_free_8(context) }
        pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
        pcre2_set_bsr_8(context, UInt32(PCRE2_BSR_UNICODE))
        pcre2_set_parens_nest_limit_8(context, 250)
        var options = UInt32(PCRE2_UTF) | UInt32(PCRE2_UCP) | PCRE2_NEVER_BACKSLASH_C
        options |= dialect == .oniguruma ? PCRE2_MULTILINE : PCRE2_DOLLAR_ENDONLY
        var number: Int32 = 0
        var offset = 0
        let pattern = Array(translation.pattern.utf8)
        guard let code = pcre2_compile_8(pattern, pattern.count, options, &number, &offset, context) else {
            var message = [UInt8](repeating: 0, count: 256)
            let length = pcre2_get_error_message_8(number, &message, message.count)
            let reason = String(decoding: message.prefix(max(0, Int(length))), as: UTF8.self)
            throw .pattern(source, offset: 0, reason: "\(reason), in its translation \(translation.pattern)")
        }
        self.code = code
        // Where there is no JIT the interpreter runs with the same limits.
        _ = pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE))
    }

    deinit { pcre2_code_free_8(code) }

    /// The first match at or after an offset of a text, or nil.
    /// - Parameters:
    ///   - text: valid UTF-8; nothing before or after it is looked at.
    ///   - offset: in bytes, at a character's start.
    @inline(__always)
    func match(_ text: UnsafeBufferPointer<UInt8>, from offset: Int, _ session: RegexSession) -> Range<Int>? {
        guard !session.isExhausted, let base = text.baseAddress else { return nil }
        session.count(text.count - offset)
        var result = pcre2_match_8(
            code, base, text.count, offset, PCRE2_NO_UTF_CHECK, session.matchData, session.matchContext)
        if result == PCRE2_ERROR_JIT_STACKLIMIT {
            result = pcre2_match_8(
                code, base, text.count, offset, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, session.matchData,
                session.matchContext)
        }
        if result == PCRE2_ERROR_NOMATCH { return nil }
        guard result >= 0 else {
            session.isExhausted = true
            return nil
        }
        let start = session.offsets[0]
        let end = session.offsets[1]
        return start <= end ? start..<end : nil
    }

    /// Calls a closure with each match, left to right, as the reference engines iterate: an empty match directly after
    /// another match does not count.
    @inline(__always)
    func matches(
        _ text: UnsafeBufferPointer<UInt8>, _ session: RegexSession, _ body: (Range<Int>) -> Void
    ) {
        var offset = 0
        var lastEnd = -1
        while offset <= text.count, let match = match(text, from: offset, session) {
            if match.isEmpty {
                if match.lowerBound == lastEnd {
                    // On by one character.
                    guard offset < text.count else { return }
                    offset += 1
                    while offset < text.count, text[offset] & 0xC0 == 0x80 { offset += 1 }
                    continue
                }
            }
            // \K and look-behind could put a match before the last one's end.
            guard match.lowerBound >= max(lastEnd, 0) else { return }
            offset = match.upperBound
            lastEnd = match.upperBound
            body(match)
        }
    }
}

/// What one call of `encode` needs to search: PCRE2's working memory, limits, and a clock.
final class RegexSession {
    fileprivate let matchData: OpaquePointer
    fileprivate let matchContext: OpaquePointer
    fileprivate let offsets: UnsafeMutablePointer<Int>
    /// A match ran into a limit: from here on nothing matches, and what is left of each text stays one piece.
    fileprivate(set) var isExhausted = false
    private var limit: Int
    private var matchesUntilClock = 256
    private let deadline: ContinuousClock.Instant

    /// - Parameter byteCount: length of the whole text, to which the limits are proportional.
    init?(byteCount: Int) {
        guard let data = pcre2_match_data_create_8(1, nil) else { return nil }
        guard let context = pcre2_match_context_create_8(nil), let offsets = pcre2_get_ovector_pointer_8(data) else {
            pcre2_match_data_free_8(data)
            return nil
        }
        matchData = data
        matchContext = context
        self.offsets = offsets
        limit = 2_000_000
        pcre2_set_match_limit_8(context, UInt32(limit))
        pcre2_set_depth_limit_8(context, 200_000)
        pcre2_set_heap_limit_8(context, 65_536)
        // Far beyond what any real pattern needs: a stop for patterns that stay just below the limit of a match.
        deadline = ContinuousClock.now + .seconds(10) + .microseconds(5 * byteCount)
    }

    deinit {
        pcre2_match_data_free_8(matchData)
        pcre2_match_context_free_8(matchContext)
    }

    /// Before each match: a longer text may take more steps, and time must not run out.
    @inline(__always)
    fileprivate func count(_ remaining: Int) {
        if remaining * 16 > limit {
            limit = min(remaining * 32, Int(Int32.max))
            pcre2_set_match_limit_8(matchContext, UInt32(limit))
        }
        matchesUntilClock -= 1
        if matchesUntilClock == 0 {
            matchesUntilClock = 256
            if ContinuousClock.now > deadline { isExhausted = true }
        }
    }
}
