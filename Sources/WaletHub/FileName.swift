// Names that come from outside and become paths: what is allowed, and why anything else is not.

/// Checks of names before they touch the disk. Each returns the reason for refusing, or nil.
enum FileName {
    static let manifest = ".walet-manifest.json"
    static let staging = ".incomplete"
    /// Appended to a file's name in the staging folder: a dot, 16 hexadecimal digits and ".part".
    private static let suffixLength = 22

    /// A path inside a repository: components separated by "/", nothing that leads out of the folder it is put in,
    /// hides in a terminal, or means something else after somebody decodes it once more.
    static func faultOfPath(_ path: String) -> String? {
        if path.isEmpty { return "the name is empty" }
        if path.utf8.count > 1024 { return "the path is longer than 1024 bytes" }
        if path.utf8.first == UInt8(ascii: "/") { return "the path is absolute" }
        if let fault = faultOfCharacters(path) { return fault }
        let components = path.split(separator: "/", omittingEmptySubsequences: false)
        if components.count > 16 { return "more than 16 folders deep" }
        for component in components {
            if component.isEmpty { return "the path has an empty component" }
            if component == "." || component == ".." { return "the path leads out of its folder" }
            if component.utf8.count > 255 - suffixLength { return "a component is longer than the disk allows" }
        }
        // Case-insensitive disks take ".WALET-manifest.json" for the same file.
        let first = components[0].lowercased()
        if first == manifest || first == staging { return "the name belongs to the model store" }
        return nil
    }

    /// Whether no honest repository can hold such a path. Git itself refuses these, so that a hub that lists one is
    /// not to be trusted with the rest.
    static func isForged(_ path: String) -> Bool {
        path.utf8.contains(0)
            || path.split(separator: "/", omittingEmptySubsequences: false).contains {
                $0.isEmpty || $0 == "." || $0 == ".."
            }
    }

    /// A model's name in the store: one or two components.
    static func faultOfModel(_ name: String) -> String? {
        if name.isEmpty { return "the name is empty" }
        if name.utf8.first == UInt8(ascii: "/") { return "the name is an absolute path" }
        if let fault = faultOfCharacters(name) { return fault }
        let components = name.split(separator: "/", omittingEmptySubsequences: false)
        if components.count > 2 { return "more than one '/'" }
        for component in components {
            if component.isEmpty { return "a part of the name is empty" }
            if component == "." || component == ".." { return "the name leads out of the store" }
            if component.utf8.first == UInt8(ascii: ".") { return "a part of the name begins with a dot" }
            if component.utf8.count > 200 { return "a part of the name is longer than 200 bytes" }
        }
        return nil
    }

    /// A repository's name on the hub, which allows ASCII letters, digits, '-', '_' and '.', 96 at most.
    static func faultOfRepository(_ name: String) -> String? {
        if let fault = faultOfModel(name) { return fault }
        for component in name.split(separator: "/") {
            if component.utf8.count > 96 { return "a part of the name is longer than 96 characters" }
            if component.contains("..") || component.contains("--") { return "'--' and '..' are not allowed" }
            guard component.utf8.allSatisfy({ isAlphanumeric($0) || "-_.".utf8.contains($0) }) else {
                return "only ASCII letters, digits, '-', '_' and '.' are allowed"
            }
            guard let first = component.utf8.first, let last = component.utf8.last,
                first != UInt8(ascii: "-"), last != UInt8(ascii: "-"), last != UInt8(ascii: ".")
            else { return "a part of the name begins or ends with '-' or '.'" }
        }
        return nil
    }

    static func isRevision(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 250 && !text.contains("..") && text != "." && !text.hasPrefix("/")
            && !text.hasPrefix("-") && faultOfCharacters(text) == nil && !text.contains(" ")
    }

    static func isCommit(_ text: String) -> Bool { (7...64).contains(text.utf8.count) && isHexadecimal(text) }

    static func isHexadecimal(_ text: String) -> Bool {
        text.utf8.allSatisfy { byte in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(byte)
        }
    }

    /// Control characters, and those that reorder text on a terminal or are not seen there.
    static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x2069, 0xFEFF: true
        default: false
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }

    private static func faultOfCharacters(_ text: String) -> String? {
        if text.utf8.contains(0) { return "it holds a NUL byte" }
        if text.unicodeScalars.contains(where: isControl) { return "it holds control characters" }
        if text.utf8.contains(UInt8(ascii: "\\")) { return "it holds a backslash" }
        let lower = text.lowercased()
        for code in ["%2e", "%2f", "%5c", "%00", "%25"] where lower.contains(code) {
            return "it holds \(code), a disguised path character"
        }
        return nil
    }
}
