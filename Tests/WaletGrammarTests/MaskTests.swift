import Testing
import WaletGrammar
import WaletJSON

/// Masks and matchers over real vocabularies.
@Suite struct MaskTests {
    private static let person: JSONValue = [
        "type": "object",
        "properties": [
            "name": ["type": "string"], "age": ["type": "integer", "minimum": 0, "maximum": 150],
            "mail": ["type": ["string", "null"], "maxLength": 12], "kind": ["enum": ["red", "green", "blue"]],
            "when": ["type": "string", "format": "date"], "ratio": ["type": "number"],
            "tags": ["type": "array", "items": ["type": "string", "pattern": "^[a-z]{2,8}$"], "maxItems": 3],
        ],
        "required": ["name", "kind"], "additionalProperties": ["type": "boolean"],
    ]
    private static let ambiguous: JSONValue = [
        "anyOf": [
            ["type": "array", "items": ["$ref": "#"], "maxItems": 2],
            ["type": "array", "items": ["$ref": "#"], "maxItems": 3],
            ["type": "string", "pattern": "^a*b?$"], ["type": "string", "maxLength": 3], ["type": "integer"],
            ["type": "number", "minimum": 0.5],
        ]
    ]

    private static func grammars() throws -> [Grammar] {
        [
            try .jsonObject(), try .jsonObject(options: JSONOptions(whitespace: .indented)), try .json(schema: person),
            try .json(schema: ambiguous), try .json(schema: true, thinking: ThinkingPhase(.optional)),
            try .toolCalls(
                [
                    CallableTool(name: "get_weather", arguments: .schema(person)),
                    CallableTool(name: "get", arguments: .anyObject),
                ],
                style: .hermes, choice: .auto),
            try .toolCalls(
                [CallableTool(name: "f", arguments: .anyObject)], style: .kimi, choice: .required, firstIndex: 9),
        ]
    }

    /// Compares masks along random outputs with what the matcher says of each token by itself.
    private func compare(
        _ strings: [[UInt8]?], _ trie: VocabularyTrie, every step: Int, length: Int, seed: UInt64
    ) throws -> Int {
        var random = SeededGenerator(state: seed)
        var compared = 0
        for grammar in try Self.grammars() {
            let tokens = try TokenGrammar(grammar, vocabulary: trie)
            var count = 0
            let walk = RandomWalk(tokens, strings, length: length, &random) { matcher, mask in
                count += 1
                guard count % step == 1 || step == 1 else { return }
                var expected = TokenMask(count: trie.count)
                for id in 0..<trie.count where matcher.allows(id) { expected.insert(id) }
                #expect(mask == expected, "after \(count) tokens")
                compared += 1
            }
            #expect(walk.refused == nil && !walk.isStuck)
        }
        return compared
    }

    @Test func masksAreWhatTheMatcherSaysOfEachTokenOfASmallVocabulary() throws {
        let (_, strings, trie) = try Vocabularies.kimi()
        #expect(try compare(strings, trie, every: 1, length: 25, seed: 3) > 150)
    }

    @Test func masksAreWhatTheMatcherSaysOfEachTokenOfSmolLM2() throws {
        let (strings, trie) = try Vocabularies.smolLM2()
        #expect(try compare(strings, trie, every: 5, length: 30, seed: 4) > 30)
    }

    @Test func masksAreWhatTheMatcherSaysOfEachTokenOfDeepSeek() throws {
        let (_, strings, trie) = try Vocabularies.deepSeek()
        #expect(try compare(strings, trie, every: 12, length: 24, seed: 5) > 10)
    }

    @Test func randomOutputOfRealTokensIsValid() throws {
        var random = SeededGenerator(state: 6)
        let (strings, trie) = try Vocabularies.smolLM2()
        let validator = Validator(root: Self.person)
        let person = try TokenGrammar(.json(schema: Self.person), vocabulary: trie)
        let any = try TokenGrammar(.jsonObject(), vocabulary: trie)
        for round in 0..<100 {
            let walk = RandomWalk(person, strings, length: round, &random)
            #expect(walk.isComplete)
            #expect(try validator.isValid(JSONValue(parsing: walk.bytes)), "\(walk.text)")
            let free = RandomWalk(any, strings, length: round, &random)
            #expect(free.isComplete)
            // The strict parser refuses a key that comes twice.
            #expect(try JSONValue(parsing: free.bytes).objectValue != nil, "\(free.text)")
        }
    }

    @Test func aMachineThatIsAlwaysFullGivesTheSameMasks() throws {
        let (_, strings, trie) = try Vocabularies.kimi()
        for grammar in try Self.grammars() {
            var random = SeededGenerator(state: 7)
            let roomy = try TokenGrammar(grammar, vocabulary: trie)
            let narrow = try TokenGrammar(grammar, vocabulary: trie, machineBytes: 0)
            let other = Follower(narrow)
            var position = 0
            var masks: [TokenMask] = []
            let walk = RandomWalk(roomy, strings, length: 40, &random) { _, mask in masks.append(mask) }
            for (token, mask) in zip(walk.tokens, masks) {
                #expect(other.mask == mask, "after \(position) tokens")
                #expect(other.accept(token))
                position += 1
            }
        }
    }

    @Test func aCacheWithoutRoomGivesTheSameMasks() throws {
        let (_, strings, trie) = try Vocabularies.kimi()
        let tight = VocabularyTrie(strings, endTokens: trie.endTokens, cacheBytes: 3_000)
        var random = SeededGenerator(state: 8)
        for grammar in try Self.grammars() {
            let other = try Follower(grammar, tight)
            var masks: [TokenMask] = []
            let walk = RandomWalk(
                try TokenGrammar(grammar, vocabulary: trie), strings, length: 30, &random
            ) { _, mask in masks.append(mask) }
            for (token, mask) in zip(walk.tokens, masks) {
                #expect(other.mask == mask)
                #expect(other.accept(token))
                #expect(tight.cachedBytes <= 3_000)
            }
        }
        #expect(trie.cachedBytes > 3_000)
    }

    @Test func copiesOfAMatcherGoTheirOwnWay() throws {
        let first = try Follower(.json(schema: Self.person))
        #expect(first.accept("{\"name\":\""))
        let second = Follower(first.matcher)
        let third = first.matcher
        #expect(second.accept("x\",\"kind\":\"red\"}"))
        #expect(second.matcher.canEnd && !first.matcher.canEnd)
        #expect(first.accept("yy"))
        #expect(first.accept("\",\"age\":1"))
        #expect(!first.accept("x"))
        #expect(first.matcher.allows(Int(UInt8(ascii: "5"))))
        // What was refused has changed nothing.
        #expect(first.accept("50,\"kind\":\"blue\"}"))
        #expect(first.matcher.canEnd)
        #expect(third.allows(Int(UInt8(ascii: "z"))) && !third.canEnd)
    }

    @Test func copiesAreUsedOnSeveralThreadsAtOnce() async throws {
        let (_, strings, trie) = try Vocabularies.kimi()
        let grammar = try TokenGrammar(.jsonObject(), vocabulary: trie, machineBytes: 100_000)
        let texts = await withTaskGroup(of: (UInt64, [Int], Bool).self) { group in
            for seed in UInt64(0)..<8 {
                group.addTask {
                    var random = SeededGenerator(state: seed / 2)
                    let walk = RandomWalk(grammar, strings, length: 60, &random)
                    return (seed / 2, walk.tokens, walk.isComplete)
                }
            }
            var result: [UInt64: [[Int]]] = [:]
            for await (seed, tokens, isComplete) in group {
                #expect(isComplete)
                result[seed, default: []].append(tokens)
            }
            return result
        }
        for walks in texts.values { #expect(walks[0] == walks[1]) }
    }

    @Test func outputEndsWhereItIsCompleteAndNowhereElse() throws {
        let end = 256
        let number = try Follower(.json(schema: ["type": "integer"]))
        #expect(number.mask.count == 257 && !number.mask.contains(end) && !number.matcher.canEnd)
        #expect(!number.accept(end))
        #expect(number.accept("1"))
        #expect(number.mask.contains(end) && number.matcher.canEnd && !number.matcher.mustEnd)
        #expect(number.accept(end))
        #expect(number.matcher.isFinished && !number.matcher.canEnd)
        #expect(number.mask.isEmpty)
        #expect(!number.accept(Int(UInt8(ascii: "1"))))
        #expect(!number.accept(end))

        let closed = try Follower(.json(schema: ["const": true]))
        #expect(closed.accept("true"))
        #expect(closed.matcher.mustEnd)
        #expect(closed.mask.ids == [end])
    }

    @Test func whatMustComeNextIsKnownAhead() throws {
        let output = try Follower(.json(schema: Self.person, options: JSONOptions(whitespace: .none)))
        #expect(output.forced == "{\"name\":\"")
        #expect(output.matcher.forcedBytes(limit: 3) == Array("{\"n".utf8))
        #expect(output.accept(output.forced))
        #expect(output.forced == "")
        #expect(output.accept("x\","))
        #expect(output.forced == "\"")
        #expect(output.accept("\"k"))
        #expect(output.forced == "ind\":\"")
        #expect(output.matcher.forcedToken == nil)
    }

    @Test func noKeyComesTwiceHoweverItIsSpelled() throws {
        let grammar = try TokenGrammar(.jsonObject(), vocabulary: Vocabularies.bytes)
        #expect(accepts(grammar, #"{"a":1,"ab":{"a":1},"b":[{"a":1},{"a":2}]}"#))
        #expect(!accepts(grammar, #"{"a":1,"a":2}"#))
        #expect(!accepts(grammar, #"{"":1,"":2}"#))
        #expect(!accepts(grammar, #"{"a":1,"b":2,"\u0061":3}"#))
        #expect(accepts(grammar, #"{"\n":1,"\u0001":2,"\"":3,"/":4}"#))
        #expect(!accepts(grammar, #"{"\n":1,"\u000a":2}"#))
        let declared: JSONValue = [
            "properties": ["id": ["type": "integer"]], "additionalProperties": true, "type": "object",
        ]
        #expect(try accepts(declared, #"{"id":1,"idx":2,"i":3}"#))
        #expect(try !accepts(declared, #"{"x":1,"id":2}"#))
        // In a single token too.
        let strings: [[UInt8]?] =
            (0..<256).map { [UInt8($0)] } + ["\"a\":1,\"a\"", "\"a\":1,\"b\":", ",\"a\":"].map { Array($0.utf8) }
        let output = try Follower(.jsonObject(), VocabularyTrie(strings))
        #expect(output.accept("{"))
        #expect(!output.mask.contains(256) && output.mask.contains(257) && !output.mask.contains(258))
        #expect(output.accept(257))
        #expect(output.accept("2"))
        #expect(!output.mask.contains(258) && output.mask.contains(Int(UInt8(ascii: ","))))
    }

    @Test func outputNestsNoDeeperThanTheLimit() throws {
        var options = JSONOptions()
        options.limits.outputDepth = 5
        let grammar = try TokenGrammar(.json(schema: true, options: options), vocabulary: Vocabularies.bytes)
        #expect(accepts(grammar, "[[[[1]]]]") && accepts(grammar, "[[[[[]]]]]"))
        #expect(!accepts(grammar, "[[[[[1]]]]]") && !accepts(grammar, "[[[[[[]]]]]]"))
        #expect(accepts(grammar, #"[[[{"a":[]}]]]"#) && !accepts(grammar, #"[[[[{"a":[]}]]]]"#))
        // Whatever was begun can be completed: a member that needs two more levels is not begun on the last one.
        let chain: JSONValue = [
            "type": "object",
            "properties": [
                "next": ["anyOf": [["$ref": "#"], ["type": "array", "items": ["$ref": "#"], "minItems": 1]]]
            ],
            "additionalProperties": false,
        ]
        let nested = try TokenGrammar(.json(schema: chain, options: options), vocabulary: Vocabularies.bytes)
        #expect(accepts(nested, #"{"next":{"next":{"next":{"next":{}}}}}"#))
        #expect(!accepts(nested, #"{"next":{"next":{"next":{"next":[{}]}}}}"#))
        var random = SeededGenerator(state: 9)
        let strings = (0..<256).map { Optional([UInt8($0)]) } + [nil]
        for _ in 0..<200 {
            let walk = RandomWalk(nested, strings, length: 100, &random)
            #expect(walk.refused == nil && !walk.isStuck)
        }
    }

    @Test func aVocabularyWithoutTheNeededBytesIsRefused() throws {
        let letters = VocabularyTrie((0x20..<0x7F).map { [UInt8($0)] } as [[UInt8]?])
        #expect(throws: Never.self) { try TokenGrammar(.json(schema: ["enum": ["a", 1]]), vocabulary: letters) }
        #expect(throws: GrammarError.self) { try TokenGrammar(.json(schema: ["const": "é"]), vocabulary: letters) }
        #expect(throws: GrammarError.self) { try TokenGrammar(.json(schema: ["type": "string"]), vocabulary: letters) }
        #expect(throws: GrammarError.self) {
            try TokenGrammar(.json(schema: ["type": "string", "pattern": "^é$"]), vocabulary: letters)
        }
        #expect(throws: GrammarError.self) {
            try TokenGrammar(.json(schema: ["const": 1]), vocabulary: VocabularyTrie([] as [[UInt8]?]))
        }
        #expect(throws: GrammarError.self) {
            try TokenGrammar(
                .json(schema: true, thinking: ThinkingPhase(.opened, closing: OutputMark("</think>", token: 999))),
                vocabulary: Vocabularies.bytes)
        }
    }

    @Test func oddVocabulariesDoNoHarm() throws {
        var strings: [[UInt8]?] = (0..<256).map { [UInt8($0)] }
        strings += [nil, [], Array("true".utf8), Array("true".utf8), [UInt8](repeating: 0x20, count: 5_000)]
        let trie = VocabularyTrie(strings, endTokens: [256, -5, 90_000, 256])
        #expect(trie.endTokens == [256])
        let output = try Follower(.json(schema: ["type": "boolean"]), trie)
        #expect(output.mask.ids == [Int(UInt8(ascii: "f")), Int(UInt8(ascii: "t")), 258, 259])
        for token in [257, -1, .max, 260] { #expect(!output.accept(token)) }
        #expect(output.accept(259))
        #expect(output.accept(256))
    }

    @Test func aMaskForbidsLogits() {
        var mask = TokenMask(count: 70)
        mask.insert(3)
        mask.insert(69)
        mask.insert(70)
        mask.insert(-1)
        #expect(mask.ids == [3, 69] && mask.population == 2)
        var logits = [Float](repeating: 1, count: 80)
        logits.withUnsafeMutableBufferPointer { mask.apply(to: $0) }
        #expect(logits.indices.filter { logits[$0] == 1 } == [3, 69])
        mask.insertAll()
        #expect(mask.population == 70)
        mask.remove(5)
        #expect(!mask.contains(5) && mask.contains(6) && !mask.contains(70) && !mask.contains(-1))
        mask.removeAll()
        #expect(mask.isEmpty)
    }

    @Test func aMaskForbidsWhatItDoesNotContain() {
        var random = SeededGenerator(state: 10)
        for round in 0..<300 {
            let count = Int.random(in: 0...400, using: &random)
            var mask = TokenMask(count: count)
            // Few, many, and runs of ids.
            if round % 3 == 1 { mask.insertAll() }
            for _ in 0..<Int.random(in: 0...12, using: &random) {
                let first = Int.random(in: 0...400, using: &random)
                let last = first + (Bool.random(using: &random) ? 0 : Int.random(in: 0...200, using: &random))
                for id in first...last { if round % 3 == 1 { mask.remove(id) } else { mask.insert(id) } }
            }
            // Logits may be more or fewer than ids.
            let logits = [Float](repeating: 1, count: max(0, count + Int.random(in: -70...70, using: &random)))
            var masked = logits
            masked.withUnsafeMutableBufferPointer { mask.apply(to: $0) }
            #expect(masked == logits.indices.map { mask.contains($0) ? 1 : -.infinity })
        }
    }

    @Test func grammarsThatWereUsedLongestAgoLeaveTheCacheFirst() throws {
        let cache = GrammarCache(countLimit: 2)
        var made: [String] = []
        func use(_ key: String) throws {
            _ = try cache.grammar(for: key) { () throws(GrammarError) in
                made.append(key)
                return try TokenGrammar(.json(schema: ["const": .string(key)]), vocabulary: Vocabularies.bytes)
            }
        }
        for key in ["a", "b", "a", "c", "a", "b"] { try use(key) }
        #expect(made == ["a", "b", "c", "b"] && cache.count == 2)
        let tiny = GrammarCache(byteLimit: 10)
        _ = try tiny.grammar(for: "x") { () throws(GrammarError) in
            try TokenGrammar(.json(schema: true), vocabulary: Vocabularies.bytes)
        }
        #expect(tiny.count == 0)
        #expect(throws: GrammarError.self) {
            try tiny.grammar(for: "y") { () throws(GrammarError) in
                try TokenGrammar(.json(schema: 1), vocabulary: Vocabularies.bytes)
            }
        }
    }
}
