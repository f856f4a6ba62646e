// What it looks like when a model says that it cannot.

enum Refusals {
    /// Stretches of words that say it in English or Indonesian. They begin with who cannot, or with a word that nothing but a
    /// refusal has, so that "the two numbers cannot be equal" is none.
    private static let marks: [[String]] = [
        "i cannot", "i can not", "i cant", "i could not", "i couldnt", "i am not able", "im not able", "i am unable",
        "im unable", "i wont be able", "i do not know", "i dont know", "i have no information", "i have no knowledge",
        "not one of my tasks", "none of my tasks", "not my task", "outside my", "outside of my", "beyond my",
        "beyond what i", "not something i can", "sorry but", "im sorry", "i am sorry", "not trained for",
        "not trained to",
        "saya tidak bisa", "saya tidak dapat", "saya tak bisa", "saya tak dapat", "saya belum bisa", "saya belum dapat",
        "saya tidak mampu", "saya tidak tahu", "saya tidak mengetahui", "saya nggak bisa", "saya gak bisa",
        "aku tidak bisa", "aku tidak tahu", "kami tidak bisa", "bukan tugas saya", "bukan salah satu tugas",
        "di luar tugas", "di luar kemampuan", "di luar bidang", "maaf", "mohon maaf",
    ].map { $0.split(separator: " ").map(String.init) }
    /// May stand between who cannot and that.
    private static let fillers: Set<String> = [
        "really", "unfortunately", "just", "simply", "still", "also", "sadly", "memang", "sayangnya", "juga", "masih",
    ]

    /// Whether any part of an answer says that it cannot be done.
    static func isRefusal(_ answer: String) -> Bool {
        let plain = answer.lowercased().filter { $0 != "'" && $0 != "\u{2019}" }
        let words = plain.split { !$0.isLetter }.map(String.init).filter { !fillers.contains($0) }
        return words.indices.contains { start in
            marks.contains { words[start...].starts(with: $0) }
        }
    }
}
