import Walet

/// Reads settings with their types; each error names the place where the value stands.
struct SettingReader {
    let source: ConfigurationSource

    func text(_ name: String) -> String? {
        source.value(name).flatMap { $0.text.isEmpty ? nil : $0.text }
    }

    func integer(_ name: String, _ range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        guard let (text, place) = source.value(name) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw ConfigurationError(
                place: place,
                reason: "expected a number from \(range.lowerBound) to \(range.upperBound), found '\(text.prefix(40))'")
        }
        return value
    }

    func number(_ name: String, _ range: ClosedRange<Double>) throws(ConfigurationError) -> Double? {
        guard let (text, place) = source.value(name) else { return nil }
        guard let value = Double(text), range.contains(value) else {
            throw ConfigurationError(
                place: place,
                reason: "expected a number from \(range.lowerBound) to \(range.upperBound), found '\(text.prefix(40))'")
        }
        return value
    }

    func boolean(_ name: String) throws(ConfigurationError) -> Bool? {
        guard let (text, place) = source.value(name) else { return nil }
        switch text.lowercased() {
        case "true", "yes", "on", "1": return true
        case "false", "no", "off", "0": return false
        default:
            throw ConfigurationError(place: place, reason: "expected true or false, found '\(text.prefix(40))'")
        }
    }

    func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ type: Choice.Type
    ) throws(ConfigurationError) -> Choice? where Choice.RawValue == String {
        guard let (text, place) = source.value(name) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw ConfigurationError(place: place, reason: "expected one of \(words), found '\(text.prefix(40))'")
        }
        return choice
    }

    /// A time as in `30`, `30s`, `500ms`, `2m` or `1h`.
    func duration(_ name: String, _ range: ClosedRange<Duration>) throws(ConfigurationError) -> Duration? {
        guard let (text, place) = source.value(name) else { return nil }
        let units: [(String, Double)] = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("", 1)]
        let unit = units.first { text.hasSuffix($0.0) }!
        guard let number = Double(text.dropLast(unit.0.count)), number.isFinite, number >= 0, number < 1e9,
            range.contains(.seconds(number * unit.1))
        else {
            throw ConfigurationError(
                place: place,
                reason: "expected a time from \(range.lowerBound) to \(range.upperBound) as in 30s or 2m, "
                    + "found '\(text.prefix(40))'")
        }
        return .seconds(number * unit.1)
    }

    /// A size as in `16777216`, `16M` or `16MiB`; letters are powers of 1024.
    func bytes(_ name: String, _ range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        guard let (text, place) = source.value(name) else { return nil }
        guard let value = Self.bytes(text), range.contains(value) else {
            throw ConfigurationError(
                place: place,
                reason: "expected a size from \(range.lowerBound) to \(range.upperBound) bytes as in 512M or 16G, "
                    + "found '\(text.prefix(40))'")
        }
        return value
    }

    private static func bytes(_ text: String) -> Int? {
        var digits = text.uppercased()[...]
        for suffix in ["IB", "B"] where digits.hasSuffix(suffix) { digits = digits.dropLast(suffix.count) }
        var shift = 0
        if let letter = digits.last, let power = ["K", "M", "G", "T"].firstIndex(of: letter) {
            shift = 10 * (power + 1)
            digits = digits.dropLast()
        }
        if let number = Int(digits), number >= 0 {
            let (value, overflows) = number.multipliedReportingOverflow(by: 1 << shift)
            return overflows ? nil : value
        }
        // As in 1.5G.
        guard shift > 0, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2E }),
            let number = Double(digits), number * Double(1 << shift) < 0x1p62
        else { return nil }
        return Int(number * Double(1 << shift))
    }

    /// Texts with commas between.
    func list(_ name: String) -> [String]? {
        source.value(name)?.text.split(separator: ",").map { $0.trimmingSpaces() }.filter { !$0.isEmpty }
    }

    /// `NAME=SOURCE`, or a source alone that is its own name, with commas between.
    func models(_ name: String) throws(ConfigurationError) -> [ModelSpecification]? {
        guard let (text, place) = source.value(name) else { return nil }
        var models: [ModelSpecification] = []
        for element in text.split(separator: ",") {
            models.append(try ModelSpecification(parsing: element.trimmingSpaces(), place: place))
        }
        return models
    }
}

extension ModelSpecification {
    /// Reads `NAME=SOURCE`, or a source whose last component is the name. The address of another server needs a name before
    /// it.
    public init(parsing text: String, place: String) throws(ConfigurationError) {
        let name: String
        let source: String
        if UpstreamAddress.isAddress(text) {
            throw ConfigurationError(
                place: place, reason: "expected NAME=\(text.prefix(100)): a model of another server needs a name")
        } else if let equals = text.firstIndex(of: "=") {
            name = String(text[..<equals])
            source = String(text[text.index(after: equals)...])
        } else {
            source = text
            // owner/name is a hub's name as it is; a path's last component is short enough to type.
            let isPath = text.hasPrefix("/") || text.hasPrefix(".") || text.split(separator: "/").count > 2
            name = isPath ? String(text.split(separator: "/").last ?? "") : text
        }
        let isName =
            (1...200).contains(name.utf8.count)
            && name.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7F && $0 != "," }
        guard isName, !source.isEmpty else {
            throw ConfigurationError(
                place: place, reason: "expected NAME=MODEL or a model, found '\(text.prefix(100))'")
        }
        if UpstreamAddress.isAddress(source) { _ = try UpstreamAddress(parsing: source, place: place) }
        self.init(name: name, source: source)
    }
}
