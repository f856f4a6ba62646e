// An open regular file: whole writes, errors with the file's name, durable on demand.

import Foundation

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// An open regular file, read and written at explicit offsets.
struct StorageFile: Sendable {
    private let descriptor: Descriptor
    let path: String

    init(descriptor: Descriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    private func status() throws(StorageError) -> stat {
        var status = stat()
        guard fstat(descriptor.number, &status) == 0 else {
            throw SystemCall.error(path, "look at the file", errno)
        }
        return status
    }

    func size() throws(StorageError) -> Int { Int(try status().st_size) }

    func isRegular() throws(StorageError) -> Bool { try status().st_mode & S_IFMT == S_IFREG }

    /// The bytes of a range, fewer where the file ends before.
    func bytes(_ range: Range<Int>) throws(StorageError) -> [UInt8] {
        var failure: Int32?
        let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, filled in
            while filled < range.count, let start = buffer.baseAddress {
                let count = pread(
                    descriptor.number, start + filled, range.count - filled, off_t(range.lowerBound + filled))
                if count == 0 { return }
                if count < 0 {
                    if errno == EINTR { continue }
                    failure = errno
                    return
                }
                filled += count
            }
        }
        if let failure { throw SystemCall.error(path, "read it", failure) }
        return bytes
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(StorageError) {
        let failure: StorageError? = bytes.withUnsafeBytes { buffer in
            do throws(StorageError) {
                try write(buffer, at: offset)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    /// Writes all bytes at an offset.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
        var done = 0
        while done < bytes.count {
            let count = pwrite(
                descriptor.number, bytes.baseAddress?.advanced(by: done), bytes.count - done, off_t(offset + done))
            if count > 0 {
                done += count
            } else if count == 0 || errno != EINTR {
                throw SystemCall.error(path, "write to it", count == 0 ? EIO : errno, needed: bytes.count - done)
            }
        }
    }

    func truncate(to size: Int) throws(StorageError) {
        guard ftruncate(descriptor.number, off_t(size)) == 0 else { throw SystemCall.error(path, "cut it", errno) }
    }

    /// Returns when the file's bytes and size are on the disk.
    func synchronize() throws(StorageError) {
        #if canImport(Darwin)
            // Plain fsync leaves the bytes in the drive's own cache there.
            let result = fcntl(descriptor.number, F_FULLFSYNC)
        #else
            let result = fdatasync(descriptor.number)
        #endif
        guard result == 0 else { throw SystemCall.error(path, "synchronize it", errno) }
    }

    /// Takes the file's lock, which goes when the descriptor is closed, at the latest with the process.
    /// - Returns: false where another open file has it.
    func tryLock() throws(StorageError) -> Bool {
        while flock(descriptor.number, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK { return false }
            if errno != EINTR { throw SystemCall.error(path, "lock it", errno) }
        }
        return true
    }
}
