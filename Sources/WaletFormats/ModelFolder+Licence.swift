// What a model's licence file asks for beyond the licence that it begins with.

extension ModelFolder {
    static let maximumLicence = 1 << 20

    /// The text of the licence file, or nil where there is none.
    /// - Throws: ``FormatError`` where it cannot be read.
    public func licenceText() throws(FormatError) -> String? {
        guard let folder else { return nil }
        for name in try folder.files() where Self.isLicenceFile(name) {
            return String(decoding: try folder.read(name, limit: Self.maximumLicence), as: UTF8.self)
        }
        return nil
    }

    /// Conditions that the licence adds, in its own words, such as those of Kimi K2's modified MIT licence.
    /// - Throws: ``FormatError`` where the licence file cannot be read.
    public func licenceConditions() throws(FormatError) -> [String] {
        if let text = try licenceText() { return Self.conditions(ofLicence: text) }
        // A model card may name the licence without its text.
        guard let name = try licence(), name.lowercased().contains("modified-mit"), configuration.modelType == "kimi_k2"
        else { return [] }
        return [
            "as published with Kimi K2, whose licence file is not here: " + Self.kimiCondition
        ]
    }

    /// The one change that the licence of Kimi K2 makes to the MIT licence (MoonshotAI/Kimi-K2, file LICENSE).
    static let kimiCondition =
        "if the Software (or any derivative works thereof) is used for any of your commercial products or services that "
        + "have more than 100 million monthly active users, or more than 20 million US dollars (or equivalent in other "
        + "currencies) in monthly revenue, you shall prominently display \"Kimi K2\" on the user interface of such "
        + "product or service."

    /// Paragraphs that say what was changed in a known licence.
    static func conditions(ofLicence text: String) -> [String] {
        var paragraphs: [String] = []
        var lines: [Substring] = []
        var rest = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        rest.append("")
        for line in rest {
            let isBlank = line.allSatisfy(\.isWhitespace)
            if !isBlank { lines.append(line) }
            if isBlank, !lines.isEmpty {
                paragraphs.append(
                    lines.flatMap { $0.split(whereSeparator: \.isWhitespace) }.joined(separator: " "))
                lines = []
            }
        }
        return paragraphs.filter { paragraph in
            let words = paragraph.lowercased()
            return words.contains("our only modification") && words.contains("you shall")
        }.map { String($0.prefix(2000)) }
    }

    static func isLicenceFile(_ name: String) -> Bool {
        let upper = name.uppercased()
        return upper.hasPrefix("LICENSE") || upper.hasPrefix("LICENCE")
    }
}
