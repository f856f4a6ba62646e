import Testing
import WaletJSON

@Suite struct JSONTests {
    @Test func keepsOrderAndTheDifferenceBetweenIntegersAndDoubles() throws {
        let value = try JSONValue(parsing: #"{"b": 1, "a": [1.0, -2e3, true, null, "x\n\u00e9\ud83d\ude00"]}"#)
        #expect(value.objectValue?.keys == ["b", "a"])
        #expect(value["b"] == .int(1))
        #expect(value["a"] == [1.0, -2000.0, true, nil, "x\né😀"])
        #expect(value.text(.python) == #"{"b": 1, "a": [1.0, -2000.0, true, null, "x\né😀"]}"#)
    }

    @Test(arguments: [
        "", " ", "{", "[1,]", "{\"a\":1,}", "01", "1.", "1e", "+1", "nul", "\"\\x\"", "\"\\ud800\"", "\"\u{01}\"",
        "1e999", "[1] 2", "{\"a\":1,\"a\":2}", "NaN", "'a'", "\"abc", "{1:2}", "\"\\u12\"", "-", "[1 2]",
    ])
    func refuses(_ text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    }

    @Test func refusesBytesThatAreNotUTF8() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xC3, 0x28, 0x22] as [UInt8]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0x5C, 0x6E, 0xFF, 0x22] as [UInt8]) }
    }

    @Test func refusesDeepNestingWithoutUsingTheStack() {
        let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        #expect(throws: JSONError.self) { try JSONValue(parsing: deep) }
        #expect(throws: Never.self) {
            try JSONValue(parsing: String(repeating: "[", count: 200) + String(repeating: "]", count: 200))
        }
    }

    @Test func everyTruncationIsAnError() throws {
        let text = #"{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "é\u0041": -1.5e-3}"#
        let bytes = Array(text.utf8)
        for count in 0..<bytes.count {
            #expect(throws: JSONError.self) { try JSONValue(parsing: bytes[..<count]) }
        }
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            var mutated = bytes
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                mutated[Int.random(in: mutated.indices, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            if let value = try? JSONValue(parsing: mutated) {
                #expect(try JSONValue(parsing: value.text()) == value)
            }
        }
    }

    @Test(arguments: [
        (1e16, "1e+16"), (1e-5, "1e-05"), (1.5e-7, "1.5e-07"), (123456789.125, "123456789.125"), (0.0001, "0.0001"),
        (1e15, "1000000000000000.0"), (1.7976931348623157e308, "1.7976931348623157e+308"), (-0.0, "-0.0"),
    ])
    func spellsDoublesAsPythonDoes(_ value: Double, _ spelling: String) {
        #expect(JSONValue.double(value).text() == spelling)
    }

    @Test func keysAreComparedByTheirBytes() throws {
        let object = try JSONValue(parsing: #"{"\u00e9": 1, "e\u0301": 2}"#).objectValue
        #expect(object?.count == 2)
        #expect(object?["e\u{301}"] == .int(2))
    }

    @Test func indentsAndSorts() {
        let value: JSONValue = ["b": [1, 2], "a": [:]]
        #expect(
            value.text(.init(itemSeparator: ",", keySeparator: ": ", indent: 2, sortKeys: true))
                == "{\n  \"a\": {},\n  \"b\": [\n    1,\n    2\n  ]\n}")
    }
}
