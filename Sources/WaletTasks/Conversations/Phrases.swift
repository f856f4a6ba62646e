/// Words that are the same in everything people ask.
enum Phrases {
    /// Fills `{name}` by the value of that name; a name without a value stays as it is.
    static func fill(_ template: String, _ values: [String: String]) -> String {
        var text = ""
        var rest = template[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            text += rest[..<open]
            let name = String(rest[rest.index(after: open)..<close])
            text += values[name] ?? "{\(name)}"
            rest = rest[rest.index(after: close)...]
        }
        return text + rest
    }

    /// The names in braces, in their order.
    static func slots(of template: String) -> [String] {
        template.split(separator: "{", omittingEmptySubsequences: false).dropFirst().compactMap { part in
            part.split(separator: "}", omittingEmptySubsequences: false).first.map(String.init)
        }
    }

    static func lowercasedFirst(_ text: String) -> String { text.prefix(1).lowercased() + text.dropFirst() }
    static func uppercasedFirst(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }
}

/// What people put around a question: a greeting, why they ask, thanks; and how carelessly they write.
struct Dressing {
    let greetings: [String]
    /// Said before the question.
    let leads: [String]
    /// Why it is asked.
    let contexts: [String]
    /// Said after the question.
    let endings: [String]

    /// Puts some of it around a question.
    /// - Parameters:
    ///   - more: contexts that fit this question only.
    ///   - mayLower: capitals mean nothing in it.
    static func dress(
        _ question: String, _ language: TaskLanguage, more: [String] = [], mayLower: Bool, _ random: inout TaskRandom
    ) -> String {
        let words = language == .english ? english : indonesian
        var core = question
        if random.isTrue(oneIn: 3), let last = core.last, ".?!".contains(last) { core.removeLast() }
        var text = core
        var before: [String] = []
        if random.isTrue(oneIn: 4) { before.append(random.pick(words.leads)) }
        if random.isTrue(oneIn: 5) {
            let contexts = !more.isEmpty && random.isTrue(oneIn: 2) ? more : words.contexts
            before.insert(random.pick(contexts), at: random.number(0...before.count))
        }
        text = (before + [text]).joined(separator: " ")
        if random.isTrue(oneIn: 3) {
            let greeting = random.pick(words.greetings)
            let mark = random.pick(["!", ",", ".", ""])
            let starts = mark == "," && mayLower ? Phrases.lowercasedFirst(text) : text
            text = greeting + mark + " " + starts
        }
        if random.isTrue(oneIn: 5) {
            let isOpen = text.last.map { $0.isLetter || $0.isNumber } ?? false
            text += (isOpen ? ". " : " ") + random.pick(words.endings)
        }
        switch random.number(1...6) {
        case 1 where mayLower: return text.lowercased()
        case 2 where mayLower: return Phrases.lowercasedFirst(text)
        default: return text
        }
    }
}

extension Dressing {
    static let english = Dressing(
        greetings: [
            "Hi", "Hello", "Hey", "Hi there", "Hello there", "Good morning", "Good afternoon", "Good evening",
            "Good day", "Dear walet", "Hi walet", "Hello walet-nano", "Greetings", "Hey there", "Excuse me", "OK",
        ],
        leads: [
            "Can you help me?", "Could you help me?", "I have a question.", "Quick question.", "One question.",
            "Please help me with this.", "Can you solve this?", "Here is my question.", "Help me please.",
            "I need your help.", "Tell me this.", "Next question.", "Would you help me?", "May I ask something?",
            "Please answer this.", "Another one.", "I want to know this.", "Let me ask you this.",
        ],
        contexts: [
            "I am doing my homework.", "I need this for school.", "My teacher asked me this.", "My son asked me this.",
            "My daughter wants to know.", "I want to check my result.", "This is for my work.",
            "I have a small problem.", "I am stuck.", "My calculator is broken.", "I want to test you.",
            "Let us try something.", "I forgot how to do this.", "I am in a hurry.", "We have a bet.",
            "I am learning.", "My friend asked me.", "I am bored.",
        ],
        endings: [
            "Thanks!", "Thank you.", "Thanks in advance.", "Please.", "Please help me.", "I need the answer soon.",
            "Show me the result.", "Many thanks!", "Can you help?", "I don't know it.", "Thanks a lot.",
            "Thank you very much!", "I am waiting.", "Be careful.", "It is important.", "Please be quick.",
        ])

    static let indonesian = Dressing(
        greetings: [
            "Hai", "Halo", "Hei", "Selamat pagi", "Selamat siang", "Selamat sore", "Selamat malam", "Pagi", "Siang",
            "Halo walet", "Hai walet", "Halo walet-nano", "Permisi", "Maaf", "Oke", "Assalamualaikum", "Salam",
        ],
        leads: [
            "Bisa bantu saya?", "Bisakah kamu membantu?", "Saya mau tanya.", "Mau tanya.", "Tolong bantu saya.",
            "Ada satu soal.", "Ini soalnya.", "Coba jawab ini.", "Saya butuh bantuan.", "Boleh tanya?",
            "Numpang tanya.", "Tolong jawab ini.", "Satu pertanyaan.", "Saya punya pertanyaan.", "Bantu saya ya.",
            "Soal berikutnya.", "Saya ingin tahu.", "Izin bertanya.",
        ],
        contexts: [
            "Saya sedang mengerjakan PR.", "Ini untuk sekolah.", "Guru saya menanyakan ini.",
            "Anak saya menanyakan ini.",
            "Adik saya mau tahu.", "Saya mau periksa hasil saya.", "Ini untuk pekerjaan saya.",
            "Saya punya soal kecil.", "Saya bingung.", "Kalkulator saya rusak.", "Saya mau mengetes kamu.",
            "Ayo kita coba.", "Saya lupa caranya.", "Saya buru-buru.", "Saya sedang belajar.",
            "Teman saya bertanya.", "Saya bosan.", "Ini penting.",
        ],
        endings: [
            "Terima kasih!", "Makasih ya.", "Terima kasih sebelumnya.", "Tolong ya.", "Mohon bantuannya.",
            "Saya perlu jawabannya.", "Bisa bantu?", "Saya tidak tahu.", "Trims!", "Terima kasih banyak.",
            "Saya tunggu.", "Yang teliti ya.", "Tolong cepat ya.", "Mohon dijawab.", "Makasih banyak!",
        ])
}
