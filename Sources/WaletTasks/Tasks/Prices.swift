/// What things cost: by the piece, in packs, and by the million tokens.
struct Prices: ReasoningTask {
    let name = "prices"
    let levels = 1...5
    let summary = "some pieces; one piece; the cheaper pack; tokens at one price; read, cached and written tokens"

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        switch level {
        case 1: pieces(level, language, &random)
        case 2: onePiece(level, language, &random)
        case 3: packs(level, language, &random)
        case 4: tokens(level, language, &random)
        default: request(level, language, &random)
        }
    }

    /// Cents as dollars, always with two places.
    private static func dollars(_ cents: Int) -> String {
        "\(cents / 100)." + String("0\(cents % 100)".suffix(2))
    }

    private func pieces(_ level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let (price, count) = (random.number(2...99), random.number(2...20))
        return TaskProblem(
            task: name, level: level, language: language, key: "\(count) at \(price)",
            question: language(
                "A box costs \(price). What do \(count) boxes cost?",
                "Satu kotak harganya \(price). Berapa harga \(count) kotak?"),
            thinking: Columns.product(price, count), answer: "\(price * count)",
            expected: .number(ExactDecimal(price * count)))
    }

    private func onePiece(_ level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let (price, count) = (random.number(11...99), random.number(2...9))
        let total = price * count
        return TaskProblem(
            task: name, level: level, language: language, key: "1 of \(count) for \(total)",
            question: language(
                "\(count) kg cost \(total). What does 1 kg cost?", "\(count) kg harganya \(total). Berapa harga 1 kg?"),
            thinking: Columns.quotient(total, count, language), answer: "\(price)",
            expected: .number(ExactDecimal(price)))
    }

    private func packs(_ level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let counts = [random.number(2...9), random.number(2...9)]
        let first = random.number(5...40)
        var second = first
        while second == first { second = max(2, first + random.number(-4...4)) }
        let unit = [first, second]
        let totals = [counts[0] * unit[0], counts[1] * unit[1]]
        let winner = unit[0] < unit[1] ? 0 : 1
        let names = [["A"], ["B"]]
        return TaskProblem(
            task: name, level: level, language: language, key: "\(counts[0]):\(totals[0]) \(counts[1]):\(totals[1])",
            question: language(
                "Pack A has \(counts[0]) pieces for \(totals[0]), pack B has \(counts[1]) for \(totals[1]). Which is cheaper by the piece, A or B?",
                "Paket A isi \(counts[0]) harganya \(totals[0]), paket B isi \(counts[1]) harganya \(totals[1]). Mana yang lebih murah per buah, A atau B?"
            ),
            thinking: zip(names, zip(totals, counts)).map { name, pack in
                "\(name[0]): \(pack.0) / \(pack.1)\n" + Columns.quotient(pack.0, pack.1, language)
            }.joined(separator: "\n") + "\n" + Order.line(unit[0], unit[1], language),
            answer: names[winner][0], expected: .word(winner, of: names))
    }

    private func tokens(_ level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let (cents, millions) = (random.number(5...999), random.number(2...9))
        let price = Self.dollars(cents)
        return TaskProblem(
            task: name, level: level, language: language, key: "\(millions)M at \(cents)",
            question: language(
                "A million tokens cost \(price) USD. What do \(millions) million tokens cost?",
                "Sejuta token harganya \(price) USD. Berapa harga \(millions) juta token?"),
            thinking: Columns.product(cents, millions)
                + language("\n\(cents * millions) cents", "\n\(cents * millions) sen"),
            answer: Self.dollars(cents * millions) + " USD",
            expected: .number(ExactDecimal(cents * millions, places: 2)))
    }

    private func request(_ level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let fresh = random.number(20...150)
        let (cached, output) = (fresh / random.pick([4, 5, 10]), fresh * random.number(2...5))
        let amounts = [random.number(1...9), random.number(1...9), random.number(1...9)]
        let prices = [fresh, cached, output]
        let parts = zip(amounts, prices).map(*)
        let total = parts.reduce(0, +)
        let lines =
            [zip(prices, amounts).map { "\($0) * \($1)" }.joined(separator: ", ")]
            + zip(prices, amounts).map { Columns.product($0, $1) }
            + [Columns.sum(parts[0], parts[1]), Columns.sum(parts[0] + parts[1], parts[2])]
        let (a, b, c) = (Self.dollars(fresh), Self.dollars(cached), Self.dollars(output))
        return TaskProblem(
            task: name, level: level, language: language,
            key: zip(amounts, prices).map { "\($0)x\($1)" }.joined(separator: "+"),
            question: language(
                "A million tokens cost \(a) USD to read, \(b) USD when cached and \(c) USD to write. What do \(amounts[0]) million read, \(amounts[1]) million cached and \(amounts[2]) million written tokens cost?",
                "Sejuta token harganya \(a) USD untuk dibaca, \(b) USD dari cache dan \(c) USD untuk ditulis. Berapa harga \(amounts[0]) juta dibaca, \(amounts[1]) juta dari cache dan \(amounts[2]) juta ditulis?"
            ),
            thinking: lines.joined(separator: "\n") + language("\n\(total) cents", "\n\(total) sen"),
            answer: Self.dollars(total) + " USD", expected: .number(ExactDecimal(total, places: 2)))
    }
}
