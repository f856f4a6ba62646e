// A GGUF model in one file or split over several.

/// The parts of a GGUF model; metadata is the first part's.
public final class GGUFSet: Sendable {
    public let parts: [GGUFFile]
    private let locations: [String: (part: Int32, tensor: Int32)]

    /// Opens a model by any of its parts, which are named `name-00001-of-00009.gguf`.
    /// - Parameter folder: where the file is opened as part of a model's folder, whose rules for links then apply.
    public init(_ path: String, in folder: Folder? = nil) throws(FormatError) {
        let opened = try Self.open(path, folder)
        guard let count = try Self.number("split.count", of: opened), count > 1 else {
            parts = [opened]
            locations = try Self.locate([opened])
            return
        }
        guard let name = SplitName(path), name.count == count else {
            throw FormatError(
                file: path, expected: "a name that ends in -00001-of-\(SplitName.padded(count)).gguf",
                found: "another name, though split.count is \(count)")
        }
        var parts: [GGUFFile] = []
        for number in 1...count {
            let sibling = name.path(of: number)
            let part: GGUFFile
            if number == name.number {
                part = opened
            } else {
                guard FileSystem.exists(sibling) else {
                    throw FormatError(
                        file: sibling, expected: "part \(number) of the \(count) of this model", found: "no such file")
                }
                part = try Self.open(sibling, folder)
            }
            let (partNumber, partCount) = (
                try Self.number("split.no", of: part), try Self.number("split.count", of: part)
            )
            guard partNumber == number - 1, partCount == count else {
                throw FormatError(
                    file: sibling, field: "split.no", expected: "\(number - 1) of split.count \(count)",
                    found: "\(partNumber.map { "\($0)" } ?? "none") of \(partCount.map { "\($0)" } ?? "none")")
            }
            parts.append(part)
        }
        self.parts = parts
        locations = try Self.locate(parts)
        if let total = try Self.number("split.tensors.count", of: parts[0]), total != locations.count {
            throw FormatError(
                file: path, field: "split.tensors.count", expected: "\(total) tensors in all parts",
                found: "\(locations.count)")
        }
    }

    private static func open(_ path: String, _ folder: Folder?) throws(FormatError) -> GGUFFile {
        guard let folder else { return try GGUFFile(path) }
        return try GGUFFile(path, at: try folder.locate(String(path.split(separator: "/").last ?? "")))
    }

    private static func number(_ key: String, of part: GGUFFile) throws(FormatError) -> Int? {
        guard let value = part[key] else { return nil }
        guard let number = value.integer, number >= 0, number <= 1_000_000_000,
            key != "split.count" || number <= 99_999
        else {
            throw FormatError(
                file: part.file.path, field: key, expected: "a count", found: "a value of type \(value.kind.name)")
        }
        return number
    }

    private static func locate(_ parts: [GGUFFile]) throws(FormatError) -> [String: (part: Int32, tensor: Int32)] {
        var locations: [String: (part: Int32, tensor: Int32)] = [:]
        for (number, part) in parts.enumerated() {
            for (index, tensor) in part.tensors.enumerated() {
                let place = (part: Int32(clamping: number), tensor: Int32(clamping: index))
                guard let other = locations.updateValue(place, forKey: tensor.name) else { continue }
                throw FormatError(
                    file: part.file.path, field: tensor.name, expected: "each tensor in one part",
                    found: "it in \(parts[Int(other.part)].file.path) too")
            }
        }
        return locations
    }

    public subscript(key: String) -> GGUFValue? { parts[0][key] }
    public var path: String { parts[0].file.path }
    public var tensorCount: Int { locations.count }

    public func tensor(_ name: String) -> (file: GGUFFile, tensor: GGUFFile.Tensor)? {
        guard let location = locations[name] else { return nil }
        let part = parts[Int(location.part)]
        return (part, part.tensors[Int(location.tensor)])
    }

    public func has(_ name: String) -> Bool { locations[name] != nil }
}

/// The name of a part: `prefix-00001-of-00009.gguf`.
struct SplitName {
    var prefix: String
    /// From 1 on.
    var number: Int
    var count: Int

    init?(_ path: String) {
        let bytes = Array(path.utf8)
        let tail = "-00001-of-00001.gguf".utf8.count
        guard bytes.count > tail, bytes.suffix(5).elementsEqual(".gguf".utf8) else { return nil }
        let end = bytes.suffix(tail)
        let start = end.startIndex
        guard end[start] == UInt8(ascii: "-"), end[(start + 6)..<(start + 10)].elementsEqual("-of-".utf8),
            let number = Self.digits(end[(start + 1)..<(start + 6)]),
            let count = Self.digits(end[(start + 10)..<(start + 15)]), number >= 1, number <= count
        else { return nil }
        prefix = String(decoding: bytes.dropLast(tail), as: UTF8.self)
        self.number = number
        self.count = count
    }

    func path(of part: Int) -> String { "\(prefix)-\(Self.padded(part))-of-\(Self.padded(count)).gguf" }

    static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    private static func digits(_ bytes: ArraySlice<UInt8>) -> Int? {
        guard bytes.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return bytes.reduce(0) { $0 * 10 + Int($1) - 0x30 }
    }
}
