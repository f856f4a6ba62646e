import Testing
import WaletGrammar
import WaletJSON

/// Schemas that are refused, with the place and the cause.
@Suite struct SchemaErrorTests {
    private func error(_ schema: JSONValue, isStrict: Bool = true) -> GrammarError? {
        do throws(GrammarError) {
            _ = try Grammar.json(schema: schema, options: JSONOptions(isStrict: isStrict))
            return nil
        } catch {
            return error
        }
    }

    @Test func keywordsOfTheWrongKindAreNamed() {
        let cases: [(JSONValue, String)] = [
            (3, "#"), (["type": "text"], "#/type"), (["type": 1], "#/type"), (["type": []], "#/type"),
            (["properties": []], "#/properties"), (["properties": ["a": 1]], "#/properties/a"),
            (["type": "object", "required": "a"], "#/required"), (["required": [1]], "#/required"),
            (["enum": "a"], "#/enum"), (["anyOf": []], "#/anyOf"), (["allOf": ["type": "string"]], "#/allOf"),
            (["minLength": -1], "#/minLength"), (["maxItems": 1.5], "#/maxItems"), (["minimum": "0"], "#/minimum"),
            (["multipleOf": 0], "#/multipleOf"), (["multipleOf": -2], "#/multipleOf"), (["pattern": 1], "#/pattern"),
            (["format": true], "#/format"), (["items": "x"], "#/items"), (["$ref": 1], "#/$ref"),
            (
                ["anyOf": [["type": "string"], ["type": "object", "properties": ["a/b~c": ["type": "x"]]]]],
                "#/anyOf/1/properties/a~1b~0c/type"
            ),
        ]
        for (schema, path) in cases {
            guard case .invalid(let found, let expected, _)? = error(schema) else {
                Issue.record("\(schema.text()): \(String(describing: error(schema)))")
                continue
            }
            #expect(found == path && !expected.isEmpty)
        }
    }

    @Test func assertionsThatCannotBeEnforcedAreRefusedWhereTheSchemaIsStrict() throws {
        let cases: [(JSONValue, String)] = [
            (["not": ["type": "string"]], "#/not"), (["if": true, "then": false], "#/if"),
            (["type": "object", "patternProperties": ["^a": true]], "#/patternProperties"),
            (["type": "object", "propertyNames": ["maxLength": 2]], "#/propertyNames"),
            (["type": "object", "dependentRequired": ["a": ["b"]]], "#/dependentRequired"),
            (["type": "object", "dependentSchemas": ["a": true]], "#/dependentSchemas"),
            (["type": "object", "unevaluatedProperties": false], "#/unevaluatedProperties"),
            (["type": "object", "minProperties": 1], "#/minProperties"),
            (["type": "array", "uniqueItems": true], "#/uniqueItems"),
            (["type": "array", "contains": 1], "#/contains"),
            (["type": "string", "format": "iri"], "#/format"), (["$dynamicRef": "#a"], "#/$dynamicRef"),
            (["oneOf": [["type": "integer"], ["type": "number"]]], "#/oneOf"),
            (["oneOf": [["type": "string", "pattern": "^a"], ["type": "string", "pattern": "b$"]]], "#/oneOf"),
        ]
        for (schema, path) in cases {
            guard case .unsupported(let found, let expected, _)? = error(schema) else {
                Issue.record("\(schema.text()): \(String(describing: error(schema)))")
                continue
            }
            #expect(found == path && !expected.isEmpty)
            #expect(error(schema, isStrict: false) == nil)
        }
        // Those that restrict nothing.
        for schema: JSONValue in [
            ["type": "array", "uniqueItems": false], ["type": "object", "patternProperties": [:]],
            ["type": "object", "dependentRequired": [:], "propertyNames": true], ["unknown": ["type": 3]],
        ] {
            #expect(error(schema) == nil)
        }
    }

    @Test func referencesThatLeadNowhereAreRefused() {
        let cases: [(JSONValue, String)] = [
            (["$ref": "#/$defs/x"], "#/$ref"), (["$ref": "other.json"], "#/$ref"),
            (["$ref": "http://169.254.169.254/latest"], "#/$ref"), (["$ref": "file:///etc/passwd"], "#/$ref"),
            (["$ref": "#name"], "#/$ref"), (["$ref": "#/%zz"], "#/$ref"), (["$ref": "#/a~2"], "#/$ref"),
            (["$ref": "#/type", "type": "string"], "#/$ref"), (["$ref": "#"], "#"),
            (["allOf": [["$ref": "#"]]], "#"), (["anyOf": [["type": "null"], ["$ref": "#"]]], "#"),
            (["$ref": "#/$defs/a", "$defs": ["a": ["$ref": "#/$defs/b"], "b": ["$ref": "#/$defs/a"]]], "#/$defs/a"),
        ]
        for (schema, path) in cases {
            guard case .reference(let found, _, _)? = error(schema) else {
                Issue.record("\(schema.text()): \(String(describing: error(schema)))")
                continue
            }
            #expect(found == path, "\(schema.text())")
        }
    }

    @Test func schemasWithoutAFiniteValueAreRefused() {
        let schemas: [JSONValue] = [
            false, ["type": "string", "enum": [1]], ["type": "string", "minLength": 3, "maxLength": 2], ["enum": []],
            ["type": "integer", "minimum": 1.2, "maximum": 1.8], ["type": "string", "pattern": "a$b"],
            ["type": "string", "pattern": "^a{3}$", "maxLength": 2], ["type": "array", "minItems": 1, "items": false],
            ["allOf": [["type": "string"], ["type": "integer"]]], ["type": "integer", "exclusiveMinimum": 1e30],
            ["type": "object", "properties": ["a": ["$ref": "#"]], "required": ["a"]],
            ["type": "object", "required": ["a"], "additionalProperties": false],
            ["type": "array", "items": ["$ref": "#"], "minItems": 1],
            ["type": "object", "required": ["a", "b"], "maxProperties": 1],
        ]
        for schema in schemas {
            guard case .unsatisfiable? = error(schema) else {
                Issue.record("\(schema.text()): \(String(describing: error(schema)))")
                continue
            }
        }
        guard
            case .unsatisfiable(let path, _)? = error([
                "type": "object", "required": ["a"],
                "properties": ["a": ["type": "object", "properties": ["b": ["enum": []]], "required": ["b"]]],
            ])
        else {
            Issue.record("no error")
            return
        }
        #expect(path == "#/properties/a")
    }

    @Test func patternsThatAreNotRegularAreRefused() {
        let cases: [(String, Int)] = [
            ("(a)\\1", 3), ("a(?=b)", 1), ("(?!a)", 0), ("(?<=a)b", 0), ("\\bword", 0), ("\\p{L}+", 0), ("a**", 2),
            ("(a", 2), ("a)", 1), ("[a", 0), ("[z-a]", 1), ("*a", 0), ("a{3,1}", 1), ("\\", 1), ("\\q", 0),
            ("\\u12", 0), ("\\ud800", 0), ("(?i)a", 0), ("^*", 0), ("x\\k<n>", 1), ("[\\d-z]", 1),
        ]
        for (pattern, offset) in cases {
            guard
                case .pattern(_, let found, let position, _, _)? = error([
                    "type": "string", "pattern": .string(pattern),
                ])
            else {
                Issue.record("\(pattern)")
                continue
            }
            #expect(found == pattern && position == offset, "\(pattern): \(position)")
        }
    }

    @Test func messagesNameWhatIsWrongAndStayShort() {
        let long = String(repeating: "x", count: 100_000)
        let schemas: [JSONValue] = [
            ["type": .string(long)], ["$ref": .string(long)], ["type": "string", "format": .string(long)],
            ["type": "string", "pattern": .string("(" + long)],
            ["type": "object", "properties": .object(JSONObject([(long, 1)]))],
        ]
        for schema in schemas {
            let message = error(schema)?.description ?? ""
            #expect(message.utf8.count < 1_000 && message.contains("#"), "\(message.prefix(300))")
        }
        #expect(
            error(["type": "strin"])?.description
                == "schema at #/type: expected null, boolean, integer, number, string, array, object or a list of these, "
                + "found \"strin\"")
    }
}
