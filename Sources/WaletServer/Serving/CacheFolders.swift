import Foundation
import Walet

/// Where the models' prefix caches are kept on disk, and the secret that their pages' names are made with: without it a
/// tenant could guess what another one asked.
public struct CacheFolders: Sendable {
    private static let secretBytes = 32

    public let root: String
    /// The same at every start, or what is on disk would be lost.
    public let secret: [UInt8]

    /// Makes the folder and the secret where they are not there.
    /// - Throws: ``ConfigurationError``.
    public init(_ root: String) throws(ConfigurationError) {
        self.root = root
        func fail(_ reason: String) -> ConfigurationError { ConfigurationError(place: root, reason: reason) }
        do {
            try FileManager.default.createDirectory(
                atPath: root, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw fail("the folder cannot be made")
        }
        let path = root + "/secret"
        var generator = SystemRandomNumberGenerator()
        let fresh = (0..<Self.secretBytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        // Made whole under another name first, so that nobody reads half of it, and linked, which fails where one is there.
        let draft = path + ".\(UInt64.random(in: .min ... .max, using: &generator))"
        guard
            FileManager.default.createFile(
                atPath: draft, contents: Data(fresh), attributes: [.posixPermissions: 0o600])
        else { throw fail("no file can be made in the folder") }
        defer { try? FileManager.default.removeItem(atPath: draft) }
        try? FileManager.default.linkItem(atPath: draft, toPath: path)
        guard let data = FileManager.default.contents(atPath: path), data.count == Self.secretBytes else {
            throw fail("the file 'secret' in it cannot be read, or does not hold \(Self.secretBytes) bytes")
        }
        secret = Array(data)
    }

    /// A model's own folder.
    public func folder(of model: String) -> URL {
        var name = ""
        for byte in model.utf8 {
            let isPlain =
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
                || byte == UInt8(ascii: "_")
            name += isPlain ? String(UnicodeScalar(byte)) : "%" + String(byte, radix: 16)
        }
        // A name as long as a file's may be, and no two the same.
        if name.utf8.count > 200 { name = String(name.prefix(180)) + "-\(Self.hash(model))" }
        return URL(fileURLWithPath: root, isDirectory: true).appending(path: "model-" + name)
    }

    private static func hash(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}
