// A folder held open: what is made in it becomes durable by name, and never through a symbolic link.

import Foundation

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// An open file or folder, closed when the last reference goes.
final class Descriptor: Sendable {
    let number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { close(number) }
}

/// The system's calls under the names that the methods below do not hide.
enum SystemCall {
    static func open(_ path: String, _ flags: Int32) -> Int32 {
        #if canImport(Darwin)
            Darwin.open(path, flags)
        #elseif canImport(Musl)
            Musl.open(path, flags)
        #else
            Glibc.open(path, flags)
        #endif
    }

    /// The error of the last call. A full disk is a case of its own.
    static func error(_ path: String, _ operation: String, _ code: Int32, needed: Int = 0) -> StorageError {
        switch code {
        case ENOSPC, EDQUOT, EFBIG: .diskFull(path: path, needed: needed, free: free(near: path))
        case ENOENT: .missing(path: path)
        default: .file(path: path, operation: operation, reason: String(cString: strerror(code)))
        }
    }

    private static func free(near path: String) -> Int? {
        var status = statvfs()
        var place = path
        // The file itself may never have come to be.
        while statvfs(place, &status) != 0 {
            guard let slash = place.lastIndex(of: "/"), slash != place.startIndex else { return nil }
            place = String(place[..<slash])
        }
        return Int(
            exactly: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }
}

/// A folder held open.
struct StorageFolder: Sendable {
    private let descriptor: Descriptor
    /// For messages, and for the few calls that take no descriptor.
    let path: String

    /// Opens a folder named by the user; links on the way are the user's own affair.
    init(_ path: String, create: Bool) throws(StorageError) {
        if create {
            do {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            } catch {
                throw .file(path: path, operation: "create the folder", reason: error.localizedDescription)
            }
        }
        let number = SystemCall.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw SystemCall.error(path, "open the folder", errno) }
        self.init(descriptor: Descriptor(number), path: path)
    }

    private init(descriptor: Descriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    func path(of name: String) -> String { (path == "/" ? "" : path) + "/" + name }

    /// A path as the folder and the name in it.
    static func parts(of path: String) -> (folder: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        return (slash == path.startIndex ? "/" : String(path[..<slash]), String(path[path.index(after: slash)...]))
    }

    /// Makes a new folder right below.
    func makeFolder(_ name: String) throws(StorageError) -> StorageFolder {
        guard mkdirat(descriptor.number, name, 0o755) == 0 else {
            throw SystemCall.error(path(of: name), "create the folder", errno)
        }
        return try folder(name)
    }

    /// A folder right below.
    func folder(_ name: String) throws(StorageError) -> StorageFolder {
        let number = openat(descriptor.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard number >= 0 else { throw SystemCall.error(path(of: name), "open the folder", errno) }
        return StorageFolder(descriptor: Descriptor(number), path: path(of: name))
    }

    enum Access { case read, write, create, createNew }

    /// A regular file right below.
    func file(_ name: String, _ access: Access) throws(StorageError) -> StorageFile {
        var flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK
        switch access {
        case .read: flags |= O_RDONLY
        case .write: flags |= O_RDWR
        case .create: flags |= O_RDWR | O_CREAT
        case .createNew: flags |= O_RDWR | O_CREAT | O_EXCL
        }
        let number = openat(descriptor.number, name, flags, 0o644)
        guard number >= 0 else { throw SystemCall.error(path(of: name), "open the file", errno) }
        let file = StorageFile(descriptor: Descriptor(number), path: path(of: name))
        guard try file.isRegular() else {
            throw .file(path: file.path, operation: "open the file", reason: "it is not a regular file")
        }
        return file
    }

    /// A file as a whole.
    func contents(_ name: String, limit: Int) throws(StorageError) -> [UInt8] {
        let file = try file(name, .read)
        let size = try file.size()
        guard size <= limit else { throw .tooLarge(path: file.path, bytes: size, limit: limit) }
        return try file.bytes(0..<size)
    }

    /// Puts a file under a name at once: after a crash there is all of it or what was there before.
    func put(_ name: String, _ bytes: [UInt8]) throws(StorageError) {
        let temporary = ".\(name).tmp"
        try removeFile(temporary)
        do throws(StorageError) {
            let file = try file(temporary, .createNew)
            try file.write(bytes, at: 0)
            try file.synchronize()
            try rename(temporary, to: name)
        } catch {
            try? removeFile(temporary)
            throw error
        }
        try synchronize()
    }

    /// Gives another name, in place of a file or an empty folder that has it.
    func rename(_ name: String, to other: String) throws(StorageError) {
        guard renameat(descriptor.number, name, descriptor.number, other) == 0 else {
            throw SystemCall.error(path(of: name), "rename it to \(other)", errno)
        }
    }

    /// Removes a file; none there is fine.
    func removeFile(_ name: String) throws(StorageError) {
        guard unlinkat(descriptor.number, name, 0) == 0 || errno == ENOENT else {
            throw SystemCall.error(path(of: name), "remove the file", errno)
        }
    }

    /// Removes a folder of files; none there is fine.
    func removeFolder(_ name: String) throws(StorageError) {
        let inner: StorageFolder
        do throws(StorageError) { inner = try folder(name) } catch {
            if case .missing = error { return }
            throw error
        }
        for file in try inner.names() { try inner.removeFile(file) }
        guard unlinkat(descriptor.number, name, AT_REMOVEDIR) == 0 || errno == ENOENT else {
            throw SystemCall.error(path(of: name), "remove the folder", errno)
        }
    }

    func exists(_ name: String) -> Bool { faccessat(descriptor.number, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 }

    /// The names right below, sorted.
    func names() throws(StorageError) -> [String] {
        // `fdopendir` takes the descriptor over and shares its offset, so it gets one of its own.
        let number = openat(descriptor.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw SystemCall.error(path, "list the folder", errno) }
        guard let stream = fdopendir(number) else {
            let code = errno
            close(number)
            throw SystemCall.error(path, "list the folder", code)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Makes the names that were created or removed here durable.
    func synchronize() throws(StorageError) {
        guard fsync(descriptor.number) == 0 else { throw SystemCall.error(path, "synchronize the folder", errno) }
    }

    /// Takes the folder for one process, by a file named `lock` that goes on existing.
    /// - Returns: what holds the lock as long as it lives.
    func lock() throws(StorageError) -> StorageFile {
        let file = try file("lock", .create)
        guard try file.tryLock() else { throw .locked(folder: path) }
        return file
    }
}
