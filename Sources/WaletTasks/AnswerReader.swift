// What a model's answer says, among its other words.

/// The part of an answer that counts.
public struct AnswerReading: Sendable, Equatable {
    /// The same for answers that say the same; nil where there is nothing that could be meant.
    public var value: String?
    public var isRight: Bool
}

extension ExpectedAnswer {
    /// Reads an answer: text after the thinking. Whatever else is in it, the last of what is asked for counts.
    public func read(_ answer: String) -> AnswerReading {
        // Nobody needs more to say it, and expressions are evaluated by recursion.
        let answer = String(answer.suffix(4096))
        switch self {
        case .number(let expected):
            guard let found = Self.numbers(in: answer).last else { return AnswerReading(value: nil, isRight: false) }
            return AnswerReading(
                value: found.contains(expected) ? "\(expected)" : found.first.map { "\($0)" },
                isRight: found.contains(expected))
        case .numbers(let expected):
            let found = Self.numbers(in: answer).suffix(expected.count)
            let isRight =
                found.count == expected.count && zip(found, expected).allSatisfy { $0.contains($1) }
            let value = found.compactMap(\.first).map { "\($0)" }.joined(separator: " ")
            return AnswerReading(value: found.isEmpty ? nil : value, isRight: isRight)
        case .word(let expected, let names):
            let found = Self.lastWord(of: names, in: answer)
            return AnswerReading(value: found.map { names[$0].first ?? "" }, isRight: found == expected)
        case .date(let month, let day):
            guard let found = Self.date(in: answer) else { return AnswerReading(value: nil, isRight: false) }
            return AnswerReading(
                value: "\(found.month)-\(found.day)", isRight: found.month == month && found.day == day)
        case .expression(let numbers, let target):
            return Arithmetic.read(answer, numbers, target)
        case .refusal(let expected):
            // A number alone is an answer, but not to a question that wants words.
            guard answer.contains(where: { $0.isLetter || $0.isNumber }) else {
                return AnswerReading(value: nil, isRight: false)
            }
            let found = Refusals.isRefusal(answer)
            return AnswerReading(
                value: found ? "refusal" : "answer", isRight: found == expected && answer.contains(where: \.isLetter))
        }
    }

    /// The numbers of a text, each with all that it may mean: "12,345" is one number or another in this country and that.
    static func numbers(in text: String) -> [[ExactDecimal]] {
        var found: [[ExactDecimal]] = []
        let characters = Array(text.unicodeScalars)
        var index = 0
        func isDigit(_ place: Int) -> Bool {
            place < characters.count && ("0"..."9").contains(characters[place])
        }
        while index < characters.count {
            guard isDigit(index) else {
                index += 1
                continue
            }
            // A sign, unless it stands between two numbers, as in "7-3" and "2025-11-30".
            var isNegative = false
            if index > 0, ["-", "\u{2212}"].contains(characters[index - 1]) {
                var before = index - 2
                while before >= 0, characters[before] == " " { before -= 1 }
                isNegative = before < 0 || !(isDigit(before) || characters[before] == ")")
            }
            var token = ""
            while isDigit(index) || ([".", ","].contains(characters[index]) && isDigit(index + 1) && !token.isEmpty) {
                token.unicodeScalars.append(characters[index])
                index += 1
                if index >= characters.count { break }
            }
            let meanings = Self.meanings(of: token).compactMap { ExactDecimal((isNegative ? "-" : "") + $0) }
            if !meanings.isEmpty { found.append(meanings) }
        }
        return found
    }

    /// - Parameter token: digits with points and commas between them.
    private static func meanings(of token: String) -> [String] {
        let points = token.filter { $0 == "." }.count
        let commas = token.filter { $0 == "," }.count
        if points + commas == 0 { return [token] }
        var meanings: [String] = []
        for (decimal, group) in [(Character("."), Character(",")), (Character(","), Character("."))] {
            let parts = token.split(separator: decimal, omittingEmptySubsequences: false)
            guard parts.count <= 2, let whole = parts.first else { continue }
            let groups = whole.split(separator: group, omittingEmptySubsequences: false)
            guard groups.dropFirst().allSatisfy({ $0.count == 3 }),
                (1...3).contains(groups[0].count) || groups.count == 1,
                parts.count < 2 || !parts[1].contains(group)
            else { continue }
            meanings.append(groups.joined() + (parts.count == 2 ? "." + parts[1] : ""))
        }
        return meanings
    }

    /// The number of the last word that is one of some.
    static func lastWord(of names: [[String]], in text: String) -> Int? {
        let words = text.lowercased().split { !$0.isLetter }
        for word in words.reversed() {
            if let index = names.firstIndex(where: { $0.contains { $0.lowercased() == word } }) { return index }
        }
        return nil
    }

    /// The last month that a text names, and the number beside it: "14 March", "March 14", "14 Maret".
    static func date(in text: String) -> (month: Int, day: Int)? {
        let words = text.lowercased().split { !$0.isLetter && !$0.isNumber }
        for index in words.indices.reversed() {
            guard let month = Calendar.months.firstIndex(where: { $0.contains { $0.lowercased() == words[index] } })
            else { continue }
            let beside = [index - 1, index + 1].compactMap { place -> Int? in
                guard words.indices.contains(place) else { return nil }
                // "14th"
                let digits = words[place].prefix { $0.isASCII && $0.isNumber }
                guard digits.count <= 2, words[place].count - digits.count <= 2 else { return nil }
                return Int(digits)
            }
            if let day = beside.first(where: { (1...31).contains($0) }) { return (month + 1, day) }
        }
        return nil
    }
}
