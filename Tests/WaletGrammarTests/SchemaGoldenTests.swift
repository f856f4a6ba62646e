import Testing
import WaletGrammar
import WaletJSON

/// Schemas and values on which jsonschema has given its verdict (Tools/make_grammar_fixtures.py).
@Suite struct SchemaGoldenTests {
    private static let options = JSONOptions(admitsUndeclaredProperties: true)

    @Test func everyValidValueIsAcceptedAndNoInvalidOne() throws {
        let cases = try Fixtures.schemas()
        #expect(cases.count > 350)
        var count = 0
        for item in cases {
            let grammar = try TokenGrammar(
                Grammar.json(schema: item.schema, options: Self.options), vocabulary: Vocabularies.bytes)
            for text in item.valid { #expect(accepts(grammar, text), "\(text) of \(item.schema.text())") }
            for text in item.invalid { #expect(!accepts(grammar, text), "\(text) of \(item.schema.text())") }
            count += item.valid.count + item.invalid.count
        }
        #expect(count > 3_000)
    }

    @Test func whiteSpaceIsWhatTheOptionsSay() throws {
        for item in try Fixtures.schemas() {
            for policy in [JSONWhitespace.none, .spaced, .indented] {
                let options = JSONOptions(whitespace: policy, admitsUndeclaredProperties: true)
                let grammar = try TokenGrammar(
                    Grammar.json(schema: item.schema, options: options), vocabulary: Vocabularies.bytes)
                for text in item.valid {
                    let value = try JSONValue(parsing: text)
                    // Numbers whose spelling would change are left as they are.
                    guard value.text() == text else { continue }
                    let (spaced, indented) = (value.text(.python), value.text(.pretty))
                    #expect(accepts(grammar, text))
                    #expect(accepts(grammar, spaced) == (policy != .none || spaced == text), "\(spaced)")
                    #expect(accepts(grammar, indented) == (policy == .indented || indented == spaced), "\(indented)")
                }
            }
        }
    }

    @Test func theTestsOwnValidatorAgreesWithJsonschema() throws {
        for item in try Fixtures.schemas() where !item.schema.text().contains("\"format\":") {
            let validator = Validator(root: item.schema)
            for text in item.valid { #expect(try validator.isValid(JSONValue(parsing: text)), "\(text)") }
            for text in item.invalid { #expect(try !validator.isValid(JSONValue(parsing: text)), "\(text)") }
        }
    }

    @Test func randomOutputOfEverySchemaIsValid() throws {
        var random = SeededGenerator(state: 1)
        let (_, strings, trie) = try Vocabularies.kimi()
        var complete = 0
        for item in try Fixtures.schemas() {
            let grammar = try TokenGrammar(Grammar.json(schema: item.schema, options: Self.options), vocabulary: trie)
            let validator = Validator(root: item.schema)
            for length in [0, 3, 12] {
                let walk = RandomWalk(grammar, strings, length: length, &random)
                #expect(walk.refused == nil && !walk.isStuck, "\(item.schema.text()): \(walk.text)")
                guard walk.isComplete else { continue }
                complete += 1
                let value = try JSONValue(parsing: walk.bytes)
                #expect(validator.isValid(value), "\(item.schema.text()): \(walk.text)")
            }
        }
        #expect(complete > 1_100)
    }
}
