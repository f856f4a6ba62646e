// The two secrets of a log: the key that signs its checkpoints and the key behind the salts of its texts.

import Foundation

/// Where the secrets lie, and how they come to be.
enum AuditKeys {
    static let keyName = "key"
    static let publicKeyName = "key.pub"
    static let saltName = "salt"
    private static let limit = 4096

    /// The signing key: read, or made where the log is new.
    static func signer(in folder: AuditFolder, options: AuditOptions, isNew: Bool) throws(AuditError) -> NoteSigner {
        let (place, name) = try location(in: folder, options: options)
        let signer: NoteSigner
        if let text = try secret(name, in: place) {
            signer = try NoteSigner(text, source: place.path(of: name))
        } else {
            guard isNew else { throw .keyMissing(path: place.path(of: name)) }
            signer = try NoteSigner(newNamed: options.origin ?? randomOrigin())
            try place.put(name, Array((signer.text + "\n").utf8), mode: 0o600)
        }
        if let origin = options.origin, origin != signer.verifier.name {
            throw .originDiffers(expected: origin, found: signer.verifier.name)
        }
        let text = Array("\(signer.verifier)\n".utf8)
        let stored = try folder.contents(publicKeyName, limit: limit)
        if stored == nil || (isNew && stored != text) {
            try folder.put(publicKeyName, text, mode: 0o644)
        } else if stored != text {
            throw .keyDiffers(
                path: folder.path(of: publicKeyName), expected: "\(signer.verifier)",
                found: String(decoding: stored ?? [], as: UTF8.self))
        }
        return signer
    }

    /// The key of the salts: read, or made where it is missing.
    static func salts(in folder: AuditFolder) throws(AuditError) -> (salts: SaltKey, isNew: Bool) {
        if let salts = try readSalts(in: folder) { return (salts, false) }
        let salts = SaltKey()
        try folder.put(saltName, Array((salts.text + "\n").utf8), mode: 0o600)
        return (salts, true)
    }

    /// The key of the salts, or nil where it is missing.
    static func readSalts(in folder: AuditFolder) throws(AuditError) -> SaltKey? {
        try secret(saltName, in: folder).map { text throws(AuditError) in
            try SaltKey(text, source: folder.path(of: saltName))
        }
    }

    /// The public key that lies beside the log.
    static func verifier(in folder: AuditFolder) throws(AuditError) -> NoteVerifierKey? {
        guard let bytes = try folder.contents(publicKeyName, limit: limit) else { return nil }
        return try NoteVerifierKey(String(decoding: bytes, as: UTF8.self), source: folder.path(of: publicKeyName))
    }

    /// A secret file's text, once it is sure that nobody else can read it.
    private static func secret(_ name: String, in folder: AuditFolder) throws(AuditError) -> String? {
        guard let file = try folder.file(name, .read) else { return nil }
        let status = try file.status()
        guard status.mode & 0o077 == 0 else { throw .keyExposed(path: file.path, mode: status.mode) }
        guard status.size <= limit else {
            throw .badKey(source: file.path, reason: "it has \(status.size) bytes, more than \(limit)")
        }
        return String(decoding: try file.bytes(0..<status.size), as: UTF8.self)
    }

    private static func location(
        in folder: AuditFolder, options: AuditOptions
    ) throws(AuditError) -> (folder: AuditFolder, name: String) {
        guard let path = options.keyFile else { return (folder, keyName) }
        let url = URL(filePath: path)
        let name = url.lastPathComponent
        guard !name.isEmpty, name != "/", name != ".." else {
            throw .badOption(name: "keyFile", reason: "\(quoted(path)) is not a file")
        }
        return (try AuditFolder(url.deletingLastPathComponent().path, create: true, mode: 0o700), name)
    }

    private static func randomOrigin() -> String {
        var generator = SystemRandomNumberGenerator()
        let digits = Hexadecimal.text((0..<8).map { _ in UInt8.random(in: 0...255, using: &generator) })
        return "walet-audit/\(digits)"
    }
}
