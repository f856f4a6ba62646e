// SHA-256 of files too big for memory.

import Crypto
import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

public enum FileHash {
    /// SHA-256 of a file, or of a range of its bytes, as 64 hexadecimal digits. Links are not followed.
    /// - Parameter progress: is told how many bytes have been read since it was last told.
    /// - Throws: ``ProvenanceError/file(path:reason:)``, also where the range is not there; `CancellationError`.
    public static func sha256(
        _ path: String, range: Range<Int>? = nil, progress: ((Int) -> Void)? = nil
    ) throws -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw ProvenanceError.file(path: path, reason: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw ProvenanceError.file(path: path, reason: "it is no regular file")
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var hash = SHA256()
        var offset = range?.lowerBound ?? 0
        while range == nil || offset < range?.upperBound ?? 0 {
            try Task.checkCancellation()
            let wanted = range.map { min(buffer.count, $0.upperBound - offset) } ?? buffer.count
            let got = pread(descriptor, buffer.baseAddress, wanted, off_t(offset))
            if got < 0 {
                if errno == EINTR { continue }
                throw ProvenanceError.file(path: path, reason: String(cString: strerror(errno)))
            }
            if got == 0 {
                guard range == nil else { throw ProvenanceError.file(path: path, reason: "it ended early") }
                break
            }
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<got]))
            offset += got
            progress?(got)
        }
        return hexadecimal(hash.finalize())
    }

    static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// The bytes of hexadecimal digits, or nil where they are none.
    static func bytes(hexadecimal text: String) -> [UInt8]? {
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x61...0x66: byte - 0x61 + 10
            default: nil
            }
        }
        let characters = Array(text.utf8)
        guard characters.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(characters.count / 2)
        for index in stride(from: 0, to: characters.count, by: 2) {
            guard let high = digit(characters[index]), let low = digit(characters[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    /// The bytes of a small file.
    static func read(_ path: String, limit: Int) throws(ProvenanceError) -> [UInt8] {
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw .file(path: path, reason: String(cString: strerror(errno)))
        }
        defer { try? handle.close() }
        let data: Data
        do {
            data = try handle.read(upToCount: limit + 1) ?? Data()
        } catch {
            throw .file(path: path, reason: "it cannot be read")
        }
        guard data.count <= limit else { throw .file(path: path, reason: "it has more than \(limit) bytes") }
        return Array(data)
    }
}
