/// Problems as people ask them, and answers as people like to read them.
enum ProblemWording {
    /// The same problem in other words, with an answer in a sentence. What it comes to, and the way there, stay.
    static func worded(_ problem: TaskProblem, _ random: inout TaskRandom) -> TaskProblem {
        var worded = problem
        worded.question = question(problem, &random)
        worded.answer = AnswerSentences.sentence(for: problem, &random)
        return worded
    }

    static func question(_ problem: TaskProblem, _ random: inout TaskRandom) -> String {
        let language = problem.language
        var text = problem.question
        if !random.isTrue(oneIn: 4), let form = ProblemForm(problem) {
            let wordings = language == .english ? english : indonesian
            if let templates = wordings[form.name] {
                let template = wording(of: templates, mayBeNew: problem.isHeldOut, &random)
                text = Phrases.fill(template, values(form, language, &random))
            }
        }
        // The names of the packs are capitals.
        let mayLower = !(problem.task == "prices" && problem.level == 3)
        // Lists and sums may stand at the beginning.
        text = Phrases.uppercasedFirst(text)
        return Dressing.dress(
            text, language, more: contexts(problem.task, language), mayLower: mayLower, &random)
    }

    /// One of some wordings. One in ten is kept for problems that are held out, so that these are asked in new words too.
    private static func wording(of templates: [String], mayBeNew: Bool, _ random: inout TaskRandom) -> String {
        let first = random.pick(templates)
        guard TaskSplit.isHeldOut(first), !mayBeNew else { return first }
        let trained = templates.filter { !TaskSplit.isHeldOut($0) }
        return trained.isEmpty ? first : random.pick(trained)
    }

    /// What a template of any form may need.
    private static func values(
        _ form: ProblemForm, _ language: TaskLanguage, _ random: inout TaskRandom
    ) -> [String: String] {
        var values = form.values
        if let a = values["a"], let b = values["b"], let sign = values["sign"] {
            values["x"] = expression(a, sign, b, language, &random)
        }
        let (one, many) = random.pick(goods(language))
        values["g"] = one
        values["gs"] = many
        values["f"] = random.pick(
            language == .english
                ? ["rice", "sugar", "fish", "apples", "flour", "oranges", "salt", "onions", "tomatoes", "coffee"]
                : ["beras", "gula", "ikan", "apel", "tepung", "jeruk", "garam", "bawang", "tomat", "kopi"])
        values["e"] = random.pick(
            form.name == .largest
                ? (language == .english
                    ? ["largest", "biggest", "greatest", "highest"] : ["terbesar", "paling besar"])
                : (language == .english ? ["smallest", "least", "lowest"] : ["terkecil", "paling kecil"]))
        return values
    }

    /// `12 + 30`, `12+30`, `12 plus 30`.
    private static func expression(
        _ a: String, _ sign: String, _ b: String, _ language: TaskLanguage, _ random: inout TaskRandom
    ) -> String {
        switch random.number(1...5) {
        case 1: return a + sign + b
        case 2, 3:
            let english = ["+": ["plus"], "-": ["minus", "less"], "*": ["times", "x"]]
            let indonesian = [
                "+": ["tambah", "ditambah", "plus"], "-": ["kurang", "dikurangi", "minus"],
                "*": ["kali", "dikali", "x"],
            ]
            let words = (language == .english ? english : indonesian)[sign] ?? [sign]
            return "\(a) \(random.pick(words)) \(b)"
        default: return "\(a) \(sign) \(b)"
        }
    }

    /// Things that are bought by the piece.
    private static func goods(_ language: TaskLanguage) -> [(String, String)] {
        guard language == .english else {
            return [
                "kotak", "buku", "pensil", "tiket", "gelas", "mangga", "kue", "baju", "tas", "roti", "kursi", "bola",
            ]
            .map { ($0, $0) }
        }
        return [
            ("box", "boxes"), ("book", "books"), ("pen", "pens"), ("ticket", "tickets"), ("cup", "cups"),
            ("mango", "mangos"), ("cake", "cakes"), ("shirt", "shirts"), ("bag", "bags"), ("chair", "chairs"),
            ("ball", "balls"), ("lamp", "lamps"),
        ]
    }

    /// Why one asks such a thing.
    private static func contexts(_ task: String, _ language: TaskLanguage) -> [String] {
        switch task {
        case "prices":
            return language == .english
                ? [
                    "I am at the market.", "I am in a shop.", "I am shopping.", "I want to save money.",
                    "I buy things.",
                ]
                : [
                    "Saya di pasar.", "Saya sedang di toko.", "Saya sedang belanja.", "Saya mau hemat.",
                    "Saya mau beli.",
                ]
        case "calendar":
            return language == .english
                ? ["I am planning a trip.", "I am planning a party.", "I have a meeting.", "We plan our holiday."]
                : ["Saya mau berlibur.", "Saya mau buat acara.", "Saya ada janji.", "Saya sedang menyusun jadwal."]
        case "letters":
            return language == .english
                ? ["I am playing with words.", "It is a word game."]
                : ["Saya sedang main kata.", "Ini permainan kata."]
        case "countdown":
            return language == .english
                ? ["It is a number game.", "Here is a puzzle."] : ["Ini permainan angka.", "Ada teka-teki."]
        default: return []
        }
    }
}
