import Foundation
import Testing
import WaletGrammar
import WaletJSON

/// Patterns and numbers against other implementations.
@Suite struct PatternTests {
    /// A random pattern that ICU reads in the same way.
    /// - Parameter loops: how deep quantifiers may nest. ICU backtracks, for minutes where more than two of them do.
    private func pattern(_ depth: Int, loops: Int = 2, _ random: inout SeededGenerator) -> String {
        let atoms = ["a", "b", "c", ".", "[ab]", "[^a]", "[a-c]", "\\d", "\\w", "x", "\\.", "é", "\"", "\\\\"]
        guard depth > 0 else { return atoms.randomElement(using: &random) ?? "a" }
        func part(_ loops: Int) -> String { pattern(depth - 1, loops: loops, &random) }
        switch Int.random(in: 0..<6, using: &random) {
        case 0: return part(loops) + "|" + part(loops)
        case 1 where loops > 0:
            let counts = loops > 1 ? ["*", "+", "?", "{2}", "{1,3}", "*?", "{0}", "{2,}"] : ["*", "+", "?", "{2}"]
            return "(" + part(loops - 1) + ")" + (counts.randomElement(using: &random) ?? "")
        case 2: return "(?:" + part(loops) + ")"
        default: return part(loops) + part(loops)
        }
    }

    @Test func patternsMatchWhatICUMatches() throws {
        var random = SeededGenerator(state: 21)
        let letters = Array("abcx.1é\"\\ ")
        var matches = 0
        for _ in 0..<1_500 {
            var text = pattern(3, &random)
            if random.next() % 3 == 0 { text = "^" + text }
            if random.next() % 3 == 0 { text += "$" }
            // To ICU, \w is letters of all scripts.
            let expression = try NSRegularExpression(
                pattern: text.replacingOccurrences(of: "\\w", with: "[0-9A-Za-z_]"))
            let grammar = try TokenGrammar(
                .json(schema: ["type": "string", "pattern": .string(text)]), vocabulary: Vocabularies.bytes)
            for _ in 0..<12 {
                let count = Int.random(in: 0...6, using: &random)
                let subject = String((0..<count).map { _ in letters.randomElement(using: &random) ?? "a" })
                let range = NSRange(location: 0, length: subject.utf16.count)
                let expected = expression.firstMatch(in: subject, range: range) != nil
                #expect(accepts(grammar, JSONValue.string(subject).text()) == expected, "\(text) on \(subject)")
                if expected { matches += 1 }
            }
        }
        #expect(matches > 3_000)
    }

    @Test func lengthsAndPatternsHoldTogether() throws {
        var random = SeededGenerator(state: 22)
        let letters = Array("ab\u{1F600}\"")
        for _ in 0..<400 {
            let text = "^(?:" + pattern(2, &random) + ")*$"
            let low = Int.random(in: 0...3, using: &random)
            let high = low + Int.random(in: 0...3, using: &random)
            let schema: JSONValue = [
                "type": "string", "pattern": .string(text), "minLength": .int(low), "maxLength": .int(high),
            ]
            let validator = Validator(root: schema)
            guard let grammar = try? Grammar.json(schema: schema) else { continue }
            let tokens = try TokenGrammar(grammar, vocabulary: Vocabularies.bytes)
            for _ in 0..<12 {
                let count = Int.random(in: 0...7, using: &random)
                let subject = String((0..<count).map { _ in letters.randomElement(using: &random) ?? "a" })
                let value = JSONValue.string(subject)
                #expect(accepts(tokens, value.text()) == validator.isValid(value), "\(schema.text()) on \(subject)")
            }
        }
    }

    @Test func integersKeepWithinTheirBounds() throws {
        var random = SeededGenerator(state: 23)
        func number() -> Int {
            let digits = Int.random(in: 0...18, using: &random)
            let bound = (0..<digits).reduce(1) { value, _ in value * 10 }
            return Int.random(in: -bound...bound, using: &random)
        }
        for _ in 0..<400 {
            let (first, second) = (number(), number())
            let (low, high) = (min(first, second), max(first, second))
            let step = Int.random(in: 1...12, using: &random)
            let isExclusive = random.next() % 2 == 0
            guard
                let grammar = try? Grammar.json(schema: [
                    "type": "integer", isExclusive ? "exclusiveMinimum" : "minimum": .int(low), "maximum": .int(high),
                    "multipleOf": .int(step),
                ])
            else { continue }
            let tokens = try TokenGrammar(grammar, vocabulary: Vocabularies.bytes)
            for value in [low, low + 1, high, high - 1, number(), number(), low + step, high - high % step, 0, low / 2]
            {
                let expected = (isExclusive ? value > low : value >= low) && value <= high && value % step == 0
                #expect(accepts(tokens, "\(value)") == expected, "\(value) in \(low)...\(high) by \(step)")
            }
            #expect(!accepts(tokens, "-0") && !accepts(tokens, "00") && !accepts(tokens, "+1") && !accepts(tokens, ""))
        }
    }

    @Test func numbersKeepWithinTheirBounds() throws {
        var random = SeededGenerator(state: 24)
        func number() -> Double {
            let scales: [Double] = [1, 10, 100, 1_000, 1e6]
            let scale = scales[Int.random(in: 0..<scales.count, using: &random)]
            return (Double.random(in: -1_000...1_000, using: &random) * scale).rounded() / scale
        }
        for _ in 0..<400 {
            let (first, second) = (number(), number())
            let (low, high) = (min(first, second), max(first, second))
            let isExclusive = random.next() % 2 == 0
            guard
                let grammar = try? Grammar.json(schema: [
                    "type": "number", "minimum": .double(low),
                    isExclusive ? "exclusiveMaximum" : "maximum": .double(high),
                ])
            else { continue }
            let tokens = try TokenGrammar(grammar, vocabulary: Vocabularies.bytes)
            let values: [Double] = [
                low, high, low.nextUp, high.nextDown, number(), number(), (low + high) / 2, 0, low + 0.5,
            ]
            for value in values {
                // Longer ones than doubles tell apart are not written.
                let text = JSONValue.double(value).text()
                guard !text.contains("e"), text.filter(\.isNumber).count <= 15, text != "-0.0" else { continue }
                let expected = value >= low && (isExclusive ? value < high : value <= high)
                #expect(accepts(tokens, text) == expected, "\(text) in \(low)...\(high)")
                if value == value.rounded() {
                    #expect(accepts(tokens, "\(Int(value))") == expected, "\(value) in \(low)...\(high)")
                }
            }
        }
    }

    @Test func everyFormatHasValuesThatTheReferenceAccepts() throws {
        // What random output looks like is checked by the fixtures' verdicts; here only that none is empty.
        var random = SeededGenerator(state: 25)
        let strings = (0..<256).map { Optional([UInt8($0)]) } + [nil]
        for name in ["date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"] {
            let grammar = try TokenGrammar(
                .json(schema: ["type": "string", "format": .string(name)]), vocabulary: Vocabularies.bytes)
            for _ in 0..<20 {
                let walk = RandomWalk(grammar, strings, length: 30, &random)
                #expect(walk.refused == nil && !walk.isStuck && walk.isComplete, "\(name): \(walk.text)")
            }
        }
    }
}
