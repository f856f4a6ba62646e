// Comma-separated values as RFC 4180 has them.

public enum CSV {
    public enum Cell: Sendable {
        /// From outside: quoted where needed, and never a formula.
        case text(String)
        /// A number that we made.
        case number(String)
    }

    /// Lines that end with CR LF.
    public static func text(_ rows: [[Cell]]) -> String {
        rows.map { row in row.map(cell).joined(separator: ",") + "\r\n" }.joined()
    }

    /// Also the full-width forms of = + - @, which some spreadsheets take for the same.
    private static let formulaMarks = "=+-@\t\r\n\u{FF1D}\u{FF0B}\u{FF0D}\u{FF20}".unicodeScalars

    private static func cell(_ cell: Cell) -> String {
        guard case .text(let text) = cell else {
            if case .number(let number) = cell { return number }
            return ""
        }
        // Spreadsheets run what begins so. An apostrophe in front makes it text (OWASP, "CSV Injection").
        let safe = text.unicodeScalars.first.map { formulaMarks.contains($0) } == true ? "'" + text : text
        guard safe.unicodeScalars.contains(where: { "\",\r\n".unicodeScalars.contains($0) }) else { return safe }
        // Scalar by scalar: with an accent upon it, a quotation mark would be another character, and not doubled.
        var quoted = "\""
        for scalar in safe.unicodeScalars {
            if scalar == "\"" { quoted.unicodeScalars.append(scalar) }
            quoted.unicodeScalars.append(scalar)
        }
        return quoted + "\""
    }
}
