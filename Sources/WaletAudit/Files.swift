// Files and folders as the log needs them: held open, never through a symbolic link, synchronized on demand.

import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// An open file or folder, closed when the last reference goes.
final class Descriptor: Sendable {
    let number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { close(number) }
}

/// The system's calls under the names that its own methods below do not hide.
private enum System {
    static func open(_ path: String, _ flags: Int32) -> Int32 {
        #if canImport(Glibc)
            Glibc.open(path, flags)
        #elseif canImport(Musl)
            Musl.open(path, flags)
        #else
            Darwin.open(path, flags)
        #endif
    }

    /// The error of the last call, with the file and what was tried. A full disk is a case of its own.
    static func error(_ path: String, _ operation: String, _ code: Int32, needed: Int = 0) -> AuditError {
        switch code {
        case ENOSPC, EDQUOT, EFBIG:
            return .diskFull(path: path, needed: needed, free: free(near: path))
        default:
            return .file(path: path, operation: operation, reason: String(cString: strerror(code)))
        }
    }

    private static func free(near path: String) -> Int? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        return Int(
            exactly: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }
}

/// A folder held open.
struct AuditFolder: Sendable {
    private let descriptor: Descriptor
    /// For messages, and for the few calls that take no descriptor.
    let path: String

    /// Opens a folder named by the user; links on the way are the user's own affair.
    /// - Throws: ``AuditError/noLog(folder:)`` where it does not exist and is not to be made.
    init(_ path: String, create: Bool, mode: Int = 0o750) throws(AuditError) {
        if create {
            do {
                try FileManager.default.createDirectory(
                    atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: mode])
            } catch {
                throw .file(path: path, operation: "create the folder", reason: error.localizedDescription)
            }
        }
        let number = System.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else {
            if errno == ENOENT { throw .noLog(folder: path) }
            throw System.error(path, "open the folder", errno)
        }
        self.init(descriptor: Descriptor(number), path: path)
    }

    private init(descriptor: Descriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    func path(of name: String) -> String { path + "/" + name }

    /// A folder right below, made where it is missing and `create` says so; else nil.
    func folder(_ name: String, create: Bool, mode: UInt32 = 0o700) throws(AuditError) -> AuditFolder? {
        if create, mkdirat(descriptor.number, name, mode_t(mode)) != 0, errno != EEXIST {
            throw System.error(path(of: name), "create the folder", errno)
        }
        let number = openat(descriptor.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard number >= 0 else {
            if errno == ENOENT { return nil }
            throw System.error(path(of: name), "open the folder", errno)
        }
        return AuditFolder(descriptor: Descriptor(number), path: path(of: name))
    }

    enum Access { case read, write, create(mode: Int), createNew(mode: Int) }

    /// A regular file right below; nil where it is missing and not to be made.
    func file(_ name: String, _ access: Access) throws(AuditError) -> AuditFile? {
        var flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK
        var mode = 0
        switch access {
        case .read: flags |= O_RDONLY
        case .write: flags |= O_RDWR
        case .create(let permissions):
            flags |= O_RDWR | O_CREAT
            mode = permissions
        case .createNew(let permissions):
            flags |= O_RDWR | O_CREAT | O_EXCL
            mode = permissions
        }
        let number = openat(descriptor.number, name, flags, mode_t(mode))
        guard number >= 0 else {
            if errno == ENOENT, case .read = access { return nil }
            if errno == ENOENT, case .write = access { return nil }
            throw System.error(path(of: name), "open the file", errno)
        }
        let file = AuditFile(descriptor: Descriptor(number), path: path(of: name))
        guard try file.status().isRegular else {
            throw .file(path: file.path, operation: "open the file", reason: "it is not a regular file")
        }
        return file
    }

    /// A file as a whole.
    /// - Returns: nil where it is missing.
    func contents(_ name: String, limit: Int) throws(AuditError) -> [UInt8]? {
        guard let file = try file(name, .read) else { return nil }
        let size = try file.size()
        guard size <= limit else {
            throw .file(path: file.path, operation: "read it", reason: "it has \(size) bytes, more than \(limit)")
        }
        return try file.bytes(0..<size)
    }

    /// Puts a file under a name at once: after a crash there is all of it or none.
    func put(_ name: String, _ bytes: [UInt8], mode: Int) throws(AuditError) {
        let temporary = ".\(name).tmp"
        try remove(temporary)
        guard let file = try file(temporary, .createNew(mode: mode)) else { throw .noLog(folder: path) }
        try file.write(bytes, at: 0)
        try file.synchronize()
        guard renameat(descriptor.number, temporary, descriptor.number, name) == 0 else {
            throw System.error(path(of: name), "rename the file", errno)
        }
        try synchronize()
    }

    func rename(_ name: String, to other: String) throws(AuditError) {
        guard renameat(descriptor.number, name, descriptor.number, other) == 0 else {
            throw System.error(path(of: name), "rename the file", errno)
        }
    }

    /// Removes a file; none there is fine.
    func remove(_ name: String) throws(AuditError) {
        guard unlinkat(descriptor.number, name, 0) == 0 || errno == ENOENT else {
            throw System.error(path(of: name), "remove the file", errno)
        }
    }

    /// The names right below, sorted.
    func names() throws(AuditError) -> [String] {
        // `fdopendir` takes the descriptor over and shares its offset, so it gets one of its own.
        let number = openat(descriptor.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw System.error(path, "list the folder", errno) }
        guard let stream = fdopendir(number) else {
            let code = errno
            close(number)
            throw System.error(path, "list the folder", code)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Makes the names that were created or removed here durable.
    func synchronize() throws(AuditError) {
        guard fsync(descriptor.number) == 0 else { throw System.error(path, "synchronize the folder", errno) }
    }
}

/// An open regular file, read and written at explicit offsets.
struct AuditFile: Sendable {
    private let descriptor: Descriptor
    let path: String

    fileprivate init(descriptor: Descriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// What `fstat` says, as far as it is needed.
    struct Status {
        let size: Int
        let isRegular: Bool
        /// Permission bits.
        let mode: Int
        /// False once nothing in the file system names the file any more.
        let isLinked: Bool
    }

    func status() throws(AuditError) -> Status {
        var status = stat()
        guard fstat(descriptor.number, &status) == 0 else { throw System.error(path, "look at the file", errno) }
        return Status(
            size: Int(status.st_size), isRegular: status.st_mode & S_IFMT == S_IFREG,
            mode: Int(status.st_mode & 0o7777), isLinked: status.st_nlink > 0)
    }

    func size() throws(AuditError) -> Int { try status().size }

    /// Reads until the buffer is full or the file ends.
    /// - Returns: the number of bytes read.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(AuditError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor.number, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(offset + done))
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw System.error(path, "read it", errno)
            }
            done += count
        }
        return done
    }

    /// The bytes of a range, fewer where the file ends before.
    func bytes(_ range: Range<Int>) throws(AuditError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 8)
        defer { buffer.deallocate() }
        let count = try read(into: buffer, at: range.lowerBound)
        return Array(buffer[..<count])
    }

    /// Writes all bytes at an offset.
    func write(_ bytes: [UInt8], at offset: Int) throws(AuditError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                pwrite(
                    descriptor.number, buffer.baseAddress?.advanced(by: done), buffer.count - done,
                    off_t(offset + done))
            }
            if count > 0 {
                done += count
            } else if count == 0 || errno != EINTR {
                throw System.error(path, "write to it", count == 0 ? EIO : errno, needed: bytes.count - done)
            }
        }
    }

    func truncate(to size: Int) throws(AuditError) {
        guard ftruncate(descriptor.number, off_t(size)) == 0 else { throw System.error(path, "cut it", errno) }
    }

    /// Returns when the file's bytes and size are on the disk.
    func synchronize() throws(AuditError) {
        #if canImport(Darwin)
            // Plain fsync leaves the bytes in the drive's own cache there.
            let result = fcntl(descriptor.number, F_FULLFSYNC)
        #else
            let result = fdatasync(descriptor.number)
        #endif
        guard result == 0 else { throw System.error(path, "synchronize it", errno) }
    }

    /// Takes the file's lock, which goes when the descriptor is closed, at the latest with the process.
    /// - Returns: false where another open file has it.
    func tryLock() throws(AuditError) -> Bool {
        while flock(descriptor.number, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK { return false }
            if errno != EINTR { throw System.error(path, "lock it", errno) }
        }
        return true
    }
}

/// The lines of a file up to an offset, one after the other, in bounded memory.
struct LineReader {
    struct Line {
        /// Without the line end.
        var bytes: [UInt8]
        /// Where it begins in the file.
        var offset: Int
    }

    private let file: AuditFile
    private let end: Int
    private let maximumLine: Int
    private var buffer: [UInt8] = []
    private var position = 0
    private var bufferOffset: Int

    /// - Parameters:
    ///   - end: bytes from here on are not looked at.
    ///   - maximumLine: a longer line is taken for one without an end.
    init(_ file: AuditFile, from offset: Int = 0, to end: Int, maximumLine: Int) {
        self.file = file
        self.end = end
        self.maximumLine = maximumLine
        bufferOffset = offset
    }

    /// Where the next line begins; after the last one, where the file's whole lines end.
    var offset: Int { bufferOffset + position }

    /// The next line that has an end, or nil.
    mutating func next() throws(AuditError) -> Line? {
        var searched = position
        while true {
            if let newline = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = Line(bytes: Array(buffer[position..<newline]), offset: offset)
                position = newline + 1
                return line
            }
            guard buffer.count - position <= maximumLine else { return nil }
            buffer.removeFirst(position)
            bufferOffset += position
            position = 0
            searched = buffer.count
            let start = bufferOffset + buffer.count
            guard start < end else { return nil }
            let more = try file.bytes(start..<min(end, start + 1 << 18))
            guard !more.isEmpty else { return nil }
            buffer += more
        }
    }
}
