import Testing
import WaletGrammar
import WaletJSON

/// Hostile schemas: each is refused or compiled within the limits. A hang shows as the suite's time limit.
@Suite(.timeLimit(.minutes(10))) struct SchemaAttackTests {
    private func error(_ schema: JSONValue) -> GrammarError? {
        do throws(GrammarError) {
            _ = try Grammar.json(schema: schema)
            return nil
        } catch {
            return error
        }
    }

    private func expectLimit(_ schema: JSONValue, sourceLocation: SourceLocation = #_sourceLocation) {
        guard case .limit? = error(schema) else {
            let found = error(schema)?.description ?? "no error"
            Issue.record("\(found)", sourceLocation: sourceLocation)
            return
        }
    }

    private func pattern(_ pattern: String) -> JSONValue { ["type": "string", "pattern": .string(pattern)] }

    @Test func aSchemaTenThousandLevelsDeepIsRefused() {
        let text = String(repeating: "{\"items\":", count: 10_000) + "true" + String(repeating: "}", count: 10_000)
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
        var schema: JSONValue = true
        for _ in 0..<1_000 { schema = ["items": schema] }
        expectLimit(schema)
    }

    @Test func referencesThatNeverEndAreRefused() {
        for schema: JSONValue in [
            ["$ref": "#"], ["allOf": [["$ref": "#"], ["type": "string"]]], ["oneOf": [["$ref": "#"], true]],
        ] {
            guard case .reference? = error(schema) else {
                Issue.record("\(schema.text())")
                continue
            }
        }
        // A chain of references that ends is a chain all the same.
        var definitions = JSONObject()
        for index in 0..<5_000 { definitions["d\(index)"] = ["$ref": .string("#/$defs/d\(index + 1)")] }
        definitions["d5000"] = ["type": "string"]
        expectLimit(["$ref": "#/$defs/d0", "$defs": .object(definitions)])
    }

    @Test func aMillionConstantsAreRefused() {
        let values = (0..<1_000_000).map { JSONValue.int($0) }
        expectLimit(["enum": .array(values)])
        expectLimit(["anyOf": .array(values.prefix(100_000).map { ["const": $0] })])
        #expect(error(["enum": .array(Array(values.prefix(5_000)))]) == nil)
    }

    @Test func lengthsThatForceAModelToWriteForeverAreRefused() {
        expectLimit(["type": "string", "minLength": 1_000_000_000])
        expectLimit(["type": "array", "minItems": 1_000_000_000])
        expectLimit(["type": "string", "minLength": 1e300])
        // Upper bounds cost nothing.
        #expect(error(["type": "string", "maxLength": 1_000_000_000]) == nil)
        #expect(
            error(["type": "array", "maxItems": .int(.max), "items": ["type": "string", "maxLength": 1e300]]) == nil)
    }

    @Test func patternsThatExplodeAreRefused() {
        expectLimit(pattern("a{0,1000000000}"))
        expectLimit(pattern("a{1000000000}"))
        expectLimit(pattern("(a{1000}){1000}"))
        expectLimit(pattern("((((a{99}){99}){99}){99}){99}"))
        expectLimit(pattern("((((((a{9999999}){9999999}){9999999}){9999999}){9999999}){9999999}){9999999}"))
        expectLimit(pattern("(a|b)*a(a|b){20}$"))
        expectLimit(pattern("^(.*a.{30})$"))
        expectLimit(pattern(String(repeating: "(", count: 10_000)))
        expectLimit(pattern(String(repeating: "(a|", count: 10_000)))
        expectLimit(pattern(String(repeating: "x", count: 2_000_000)))
        #expect(error(["type": "string", "pattern": "^(ab?c)*$", "maxLength": 1_000_000_000]) == nil)
        expectLimit(["type": "string", "pattern": "^[ab]*a[ab]{9}$", "minLength": 40_000])
    }

    @Test func patternsThatOnlyBacktrackingFearsAreFine() throws {
        #expect(try accepts(pattern("^(a+)+$"), "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""))
        #expect(try !accepts(pattern("^(a+)+$"), "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\""))
        #expect(try !accepts(pattern("(a*)*(a*)*(a*)*b$"), "\"\(String(repeating: "a", count: 5_000))\""))
        #expect(try accepts(pattern("^(|(|(|a)))*$"), "\"aaaa\""))
        // Alternations of dates, nested, as one killed a server.
        let day = "((0[1-9]|[12]\\d|3[01])|(([1-9])|([12]\\d)|(3[01])))"
        let date = "((\(day)[-/.]\(day)[-/.](\\d{4}|\\d{2}))|((\\d{4}|\\d{2})[-/.]\(day)[-/.]\(day)))"
        let dates = pattern("^(\(date)|(\(date)( - \(date))+)|(\(date),)*)$")
        #expect(try accepts(dates, "\"2024-01-31 - 31/12/24\""))
        #expect(try !accepts(dates, "\"2024-01-31 -\""))
    }

    @Test func combinationsThatMultiplyAreRefused() {
        let distinct = (0..<30).map { index -> JSONValue in
            ["anyOf": [["minLength": .int(index)], ["maxLength": .int(1_000 + index)]]]
        }
        expectLimit(["type": "string", "allOf": .array(distinct)])
        // Properties that are combinations of combinations.
        var schema: JSONValue = ["type": "integer"]
        for level in 0..<40 {
            schema = [
                "anyOf": [["title": "a", "anyOf": [schema]], ["multipleOf": .int(level + 2), "anyOf": [schema]]]
            ]
        }
        expectLimit(schema)
    }

    @Test func tooManyPropertiesAreRefusedAndFiveThousandAreNot() {
        func object(_ count: Int, _ schema: JSONValue) -> JSONValue {
            let names = (0..<count).map { "property_number_\($0)" }
            return [
                "type": "object", "properties": .object(JSONObject(names.map { ($0, schema) })),
                "required": .array(names.map { .string($0) }), "additionalProperties": false,
            ]
        }
        #expect(error(object(5_000, ["type": "string"])) == nil)
        #expect(error(object(5_000, ["type": ["string", "null"]])) == nil)
        expectLimit(object(200_000, true))
        expectLimit(["type": "object", "properties": ["a": pattern(String(repeating: "[a-z]{1,50}[0-9]", count: 900))]])
    }

    @Test func multiplesTooFineForAnAutomatonAreRefused() {
        expectLimit(["type": "integer", "multipleOf": 999_983])
        expectLimit(["type": "number", "multipleOf": 1e-300])
        expectLimit(["type": "number", "multipleOf": 1e300])
        expectLimit(["allOf": [["multipleOf": 9_973], ["multipleOf": 9_967], ["type": "integer"]]])
        #expect(error(["type": "integer", "multipleOf": 1_000]) == nil)
    }

    @Test func alternativesThatLookAlikeCostNoMoreThanTheirNumber() throws {
        // Readings double at each level, unless what they have in common is kept once.
        let schema: JSONValue = [
            "anyOf": [
                ["type": "object", "properties": ["x": ["$ref": "#"]], "required": ["x"], "maxProperties": 1],
                ["type": "object", "properties": ["x": ["$ref": "#"]], "required": ["x"], "maxProperties": 2],
                ["type": "array", "items": ["$ref": "#"], "maxItems": 1],
                ["type": "array", "items": ["$ref": "#"], "maxItems": 2],
                ["type": "null"],
            ]
        ]
        let text = String(repeating: "{\"x\":[", count: 30) + "null" + String(repeating: "]}", count: 30)
        #expect(try accepts(schema, text))

        // Hundreds of patterns at once: some are forgotten, and what is left can be completed.
        func patterns(_ count: Int) -> JSONValue {
            .array(
                (1...count).map { length in
                    [
                        "type": "object", "properties": ["a": pattern("^.*x{\(length)}$")], "required": ["a"],
                        "additionalProperties": false,
                    ]
                })
        }
        let (_, strings, trie) = try Vocabularies.kimi()
        let grammar = try TokenGrammar(Grammar.json(schema: ["anyOf": patterns(300)]), vocabulary: trie)
        var random = SeededGenerator(state: 11)
        let ending = String(repeating: "x", count: 300) + "\"}"
        let walk = RandomWalk(grammar, strings, length: 10, &random, endings: [ending])
        #expect(walk.refused == nil && !walk.isStuck && walk.isComplete)
        // The n-th of these has n + 1 states, however it is built: nine hundred have 406,350, of some thirty cells each,
        // which is 50 MB for 90 kB of schema.
        expectLimit(["anyOf": patterns(900)])
    }

    @Test func countedCharactersCostNoMoreThanTheirNumber() throws {
        // One state for each character that was counted; stepping through sets of them would cost their square.
        for text in ["^.*x{4000}$", "x{4000}", "^a{0,20000}$", "^(ab){10000}$", "^[ab]{5,20000}c$"] {
            #expect(error(pattern(text)) == nil, "\(text)")
        }
        #expect(try accepts(pattern("^.*x{3000}$"), "\"yx\(String(repeating: "x", count: 3_000))\""))
        #expect(try !accepts(pattern("^.*x{3000}$"), "\"x\(String(repeating: "xxy", count: 3_000))\""))
        #expect(try accepts(pattern("x{200}y?$"), "\"yx\(String(repeating: "x", count: 200))y\""))
        #expect(try !accepts(pattern("x{200}y?$"), "\"y\(String(repeating: "x", count: 199))y\""))
    }

    @Test func limitsCanBeSet() {
        var options = JSONOptions()
        options.limits.schemaBytes = 100
        options.limits.enumValues = 3
        #expect(throws: GrammarError.self) { try Grammar.json(schema: ["enum": [1, 2, 3, 4]], options: options) }
        #expect(throws: Never.self) { try Grammar.json(schema: ["enum": [1, 2, 3]], options: options) }
        #expect(throws: GrammarError.self) {
            try Grammar.json(schema: ["title": .string(String(repeating: "x", count: 200))], options: options)
        }
        options = JSONOptions()
        options.limits.states = 50
        #expect(throws: GrammarError.self) { try Grammar.json(schema: true, options: options) }
        options = JSONOptions()
        options.limits.outputDepth = 2
        let nested: JSONValue = [
            "type": "object", "required": ["a"],
            "properties": ["a": ["type": "object", "required": ["a"], "properties": ["a": ["type": "array"]]]],
        ]
        #expect(throws: GrammarError.self) { try Grammar.json(schema: nested, options: options) }
    }

    @Test func damagedSchemasAreRefusedOrSound() throws {
        let cases = try Fixtures.schemas().map { Array($0.schema.text().utf8) }
        let spices = [
            "\"$ref\":\"#\"", "null", "-1", "1e400", "[", "}", "999999999999", "\"^(a|\"", "{}", "\\ud800", "false",
        ]
        .map { Array($0.utf8) }
        var random = SeededGenerator(state: 12)
        let strings = (0..<256).map { Optional([UInt8($0)]) } + [nil]
        var refused = 0
        var compiled = 0
        for _ in 0..<12_000 {
            var bytes = cases.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                let end = min(bytes.count, index + Int.random(in: 1...10, using: &random))
                switch Int.random(in: 0..<5, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0x20...0x7E, using: &random)
                case 1: bytes.removeSubrange(index..<end)
                case 2:
                    let piece = Array(bytes[index..<end])
                    bytes.insert(contentsOf: piece, at: Int.random(in: 0...bytes.count, using: &random))
                case 3: bytes.insert(contentsOf: spices.randomElement(using: &random) ?? [], at: index)
                default:
                    let digits = Array(String(Int.random(in: -10...10_000, using: &random)).utf8)
                    bytes.replaceSubrange(index..<end, with: digits)
                }
            }
            guard let schema = try? JSONValue(parsing: bytes) else { continue }
            do throws(GrammarError) {
                let grammar = try Grammar.json(
                    schema: schema, options: JSONOptions(isStrict: random.next() % 2 == 0))
                compiled += 1
                let tokens = try TokenGrammar(grammar, vocabulary: Vocabularies.bytes)
                let walk = RandomWalk(tokens, strings, length: 20, &random)
                #expect(walk.refused == nil && !walk.isStuck, "\(schema.text())")
                if walk.isComplete { #expect((try? JSONValue(parsing: walk.bytes)) != nil, "\(walk.text)") }
            } catch {
                refused += 1
                #expect(error.description.utf8.count < 2_000)
            }
        }
        #expect(refused > 200 && compiled > 1_000)
    }
}
