// Hashes of files too big for memory, in the two kinds that a hub names.

import Crypto

/// What a hub says that a file's content is.
public enum ExpectedHash: Sendable, Hashable {
    /// Files in Git LFS: SHA-256 of the content, 64 hexadecimal digits in lower case.
    case sha256(String)
    /// Files in Git itself: SHA-1 of "blob ", the size in decimal, a NUL and the content (40 digits).
    case gitBlob(String)

    var kind: String {
        switch self {
        case .sha256: "SHA-256"
        case .gitBlob: "Git SHA-1"
        }
    }

    var digits: String {
        switch self {
        case .sha256(let digits), .gitBlob(let digits): digits
        }
    }
}

/// SHA-256 of a stream and, where it is asked for, its Git blob hash, at one go.
struct Digest {
    private var sha256 = SHA256()
    private var git: Insecure.SHA1?

    /// - Parameter gitSize: the size of the whole content if its Git hash is wanted too.
    init(gitSize: Int? = nil) {
        guard let gitSize else { return }
        var git = Insecure.SHA1()
        git.update(data: Array("blob \(gitSize)\0".utf8))
        self.git = git
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        sha256.update(bufferPointer: bytes)
        git?.update(bufferPointer: bytes)
    }

    func finish() -> (sha256: String, gitBlob: String?) {
        (Self.hexadecimal(sha256.finalize()), git.map { Self.hexadecimal($0.finalize()) })
    }

    private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

extension OpenFile {
    /// Feeds the first `count` bytes to a digest, 1 MiB at a time, with room for cancellation in between.
    /// - Returns: how many bytes there were, fewer than `count` where the file is shorter.
    func feed(_ digest: inout Digest, count: Int, progress: ((Int) -> Void)? = nil) async throws -> Int {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var offset = 0
        while offset < count {
            try Task.checkCancellation()
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, count - offset)])
            let read = try read(into: part, at: offset)
            if read == 0 { break }
            digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<read]))
            offset += read
            progress?(offset)
            await Task.yield()
        }
        return offset
    }
}
