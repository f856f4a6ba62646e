// A model's folder: names in it are data from outside, and links in it may not lead anywhere they like.

/// A folder and the files in it by plain names.
///
/// A link is followed where its target lies in the folder itself, or in the `blobs` folder of a hub's cache, whose layout
/// is `models--x/snapshots/<revision>/<file> -> ../../blobs/<hash>`. Any other link is refused: a downloaded folder
/// must not make Walet read files elsewhere.
public struct Folder: Sendable {
    /// As the user named it.
    public let name: String
    private let real: String
    private let blobs: String?

    public init(_ name: String) throws(FormatError) {
        guard FileSystem.kind(name) == .folder, let real = FileSystem.resolve(name) else {
            throw FormatError(
                file: name, expected: "a folder",
                found: FileSystem.exists(name) ? "something else" : "nothing at this path")
        }
        self.name = name
        self.real = real
        let parts = real.split(separator: "/")
        if parts.count >= 3, parts[parts.count - 2] == "snapshots" {
            blobs = "/" + parts.dropLast(2).joined(separator: "/") + "/blobs"
        } else {
            blobs = nil
        }
    }

    public func path(_ file: String) -> String { name.hasSuffix("/") ? name + file : "\(name)/\(file)" }

    public func has(_ file: String) -> Bool { Self.flaw(ofName: file) == nil && FileSystem.exists(path(file)) }

    /// Where a file of this folder really lies.
    /// - Throws: ``FormatError`` for a link that leads elsewhere or nowhere.
    public func locate(_ file: String) throws(FormatError) -> String {
        if let flaw = Self.flaw(ofName: file) {
            throw FormatError(file: path(file), expected: "a plain file name", found: flaw)
        }
        let path = path(file)
        guard FileSystem.isLink(path) else { return path }
        guard let target = FileSystem.resolve(path) else {
            throw FormatError(file: path, expected: "a file", found: "a link that leads nowhere")
        }
        let allowed = target.hasPrefix(real + "/") || blobs.map { target.hasPrefix($0 + "/") } ?? false
        guard allowed else {
            throw FormatError(
                file: path, expected: "a file of this folder, or a link to one in it or in the hub cache's blobs",
                found: "a link to \(target)")
        }
        return target
    }

    public func read(_ file: String, limit: Int) throws(FormatError) -> [UInt8] {
        try FileSystem.read(path(file), at: locate(file), limit: limit)
    }

    /// Names of the regular files, sorted; links count as what they lead to.
    public func files() throws(FormatError) -> [String] {
        try FileSystem.names(in: name).filter { FileSystem.kind(path($0)) == .file }
    }

    /// What is wrong with a name that should be that of a file in a folder.
    static func flaw(ofName name: String) -> String? {
        if name.isEmpty { return "an empty name" }
        if name.utf8.contains(UInt8(ascii: "/")) || name.utf8.contains(UInt8(ascii: "\\")) {
            return "a name with a separator"
        }
        if name == "." || name == ".." { return "the name of a folder" }
        if name.utf8.contains(where: { $0 < 0x20 }) { return "a name with control characters" }
        if name.utf8.count > 255 { return "a name of \(name.utf8.count) bytes" }
        return nil
    }
}
