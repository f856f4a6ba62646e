// Which texts may be names, so that they are safe in a log line, on a terminal and in a database of any kind.

enum Names {
    /// Of a key, a tenant, an endpoint: 1...256 bytes of UTF-8 without control characters, line separators or directional
    /// overrides (which show a text as another one).
    static func isLabel(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 256 && text.unicodeScalars.allSatisfy(isPlain)
    }

    static func isModel(_ text: String) -> Bool { isLabel(text) }

    /// Of a request: 1...128 printable ASCII characters without spaces.
    static func isRequestID(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF: false
        default: true
        }
    }

    /// What a failure said, for the ledger: one line of at most 200 characters.
    static func errorText(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars.prefix(200) { result.unicodeScalars.append(isPlain(scalar) ? scalar : " ") }
        return result
    }
}
