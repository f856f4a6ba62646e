// A folder held open, through which files are reached without ever following a symbolic link.

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

/// What `fstat` says, as far as it is needed.
struct FileStatus: Sendable {
    enum Kind: Sendable { case file, folder, link, other }
    let kind: Kind
    let size: Int
    let modified: Date

    init(_ status: stat) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .folder
        case S_IFLNK: kind = .link
        default: kind = .other
        }
        size = Int(status.st_size)
        #if canImport(Darwin)
            modified = Date(timeIntervalSince1970: Double(status.st_mtimespec.tv_sec))
        #else
            modified = Date(timeIntervalSince1970: Double(status.st_mtim.tv_sec))
        #endif
    }
}

/// A folder held open. Paths below it are walked a component at a time, so that a link that somebody puts there, before
/// or while we look, leads nowhere.
struct Folder: Sendable {
    let descriptor: Descriptor
    /// For messages only.
    let path: String

    /// Opens a folder named by the user; links are the user's own affair here.
    init(root path: String, create: Bool) throws(HubError) {
        if create {
            do {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            } catch {
                throw HubError.file(path: path, operation: "create the folder", reason: "\(error.localizedDescription)")
            }
        }
        let number = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw Self.failure(path, "open the folder", errno) }
        self.init(descriptor: Descriptor(number), path: path)
    }

    private init(descriptor: Descriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// A folder right below this one.
    func folder(_ name: String, create: Bool) throws(HubError) -> Folder {
        let below = path + "/" + name
        if create, mkdirat(descriptor.number, name, 0o755) != 0, errno != EEXIST {
            throw Self.failure(below, "create the folder", errno)
        }
        let number = openat(descriptor.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard number >= 0 else {
            let code = errno
            if try status(name)?.kind == .link { throw .symlink(path: below) }
            throw Self.failure(below, "open the folder", code)
        }
        return Folder(descriptor: Descriptor(number), path: below)
    }

    /// The folder that holds the last component of `relative`, and that component; nil where a folder on the way is
    /// missing and `create` is false.
    func parent(of relative: String, create: Bool) throws(HubError) -> (Folder, String)? {
        var components = relative.split(separator: "/").map(String.init)
        guard let last = components.popLast() else { return nil }
        var folder = self
        for component in components {
            if !create, try folder.status(component) == nil { return nil }
            folder = try folder.folder(component, create: create)
        }
        return (folder, last)
    }

    /// What stands under a name right below, or nil for nothing. A link is reported as a link.
    func status(_ name: String) throws(HubError) -> FileStatus? {
        var status = stat()
        guard fstatat(descriptor.number, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw Self.failure(path + "/" + name, "look at the file", errno)
        }
        return FileStatus(status)
    }

    /// The same for a path further below.
    func status(at relative: String) throws(HubError) -> FileStatus? {
        guard let (folder, name) = try parent(of: relative, create: false) else { return nil }
        return try folder.status(name)
    }

    /// Opens a file right below, for reading or for reading and writing.
    func file(_ name: String, write: Bool) throws(HubError) -> OpenFile {
        let flags = (write ? O_RDWR | O_CREAT : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK
        let below = path + "/" + name
        let number = openat(descriptor.number, name, flags, 0o644)
        guard number >= 0 else {
            let code = errno
            if try status(name)?.kind == .link { throw .symlink(path: below) }
            throw Self.failure(below, write ? "create the file" : "open the file", code)
        }
        let file = OpenFile(descriptor: Descriptor(number), path: below)
        guard try file.status().kind == .file else {
            throw .file(path: below, operation: "open the file", reason: "it is not a regular file")
        }
        return file
    }

    /// Puts a file of this folder in place of whatever regular file `other` has under `name`.
    func move(_ from: String, to other: Folder, _ name: String) throws(HubError) {
        if let status = try other.status(name), status.kind != .file {
            let target = other.path + "/" + name
            if status.kind == .link { throw .symlink(path: target) }
            throw .file(path: target, operation: "replace it", reason: "it is not a regular file")
        }
        guard renameat(descriptor.number, from, other.descriptor.number, name) == 0 else {
            throw Self.failure(other.path + "/" + name, "rename the file", errno)
        }
    }

    /// Renames a folder that stands right below into another folder, under a name that is free.
    func moveFolder(_ from: String, to other: Folder, _ name: String) throws(HubError) {
        guard renameat(descriptor.number, from, other.descriptor.number, name) == 0 else {
            throw Self.failure(path + "/" + from, "rename the folder", errno)
        }
    }

    func modified() throws(HubError) -> Date {
        var status = stat()
        guard fstat(descriptor.number, &status) == 0 else { throw Self.failure(path, "look at the folder", errno) }
        return FileStatus(status).modified
    }

    func delete(_ name: String) throws(HubError) {
        guard unlinkat(descriptor.number, name, 0) == 0 || errno == ENOENT else {
            throw Self.failure(path + "/" + name, "delete the file", errno)
        }
    }

    /// Deletes everything below and then the folder `name` itself. Links are deleted, never followed.
    func deleteTree(_ name: String) throws(HubError) {
        guard let status = try status(name) else { return }
        guard status.kind == .folder else { return try delete(name) }
        let folder = try folder(name, create: false)
        for entry in try folder.names() { try folder.deleteTree(entry) }
        guard unlinkat(descriptor.number, name, AT_REMOVEDIR) == 0 || errno == ENOENT else {
            throw Self.failure(path + "/" + name, "delete the folder", errno)
        }
    }

    /// Deletes a folder right below if it is empty.
    func deleteIfEmpty(_ name: String) { _ = unlinkat(descriptor.number, name, AT_REMOVEDIR) }

    /// The names right below, sorted.
    func names() throws(HubError) -> [String] {
        // `fdopendir` takes the descriptor over and shares its offset, so it gets one of its own.
        let number = openat(descriptor.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0, let stream = fdopendir(number) else { throw Self.failure(path, "list the folder", errno) }
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

    /// Every file and link below, as paths with what they are, sorted. Folders deeper than 16 are an error.
    func tree(skipping: Set<String> = [], depth: Int = 0) throws(HubError) -> [(path: String, status: FileStatus)] {
        guard depth <= 17 else { throw .file(path: path, operation: "list the folder", reason: "folders too deep") }
        var result: [(path: String, status: FileStatus)] = []
        for name in try names() where !skipping.contains(name) {
            guard let status = try status(name) else { continue }
            if status.kind == .folder {
                for (path, status) in try folder(name, create: false).tree(depth: depth + 1) {
                    result.append((name + "/" + path, status))
                }
            } else {
                result.append((name, status))
            }
        }
        return result
    }

    /// Makes renames and deletions in this folder last.
    func synchronize() { _ = fsync(descriptor.number) }

    /// Takes the folder for this process until the descriptor is closed; false where another process has it.
    func lock() -> Bool { flock(descriptor.number, LOCK_EX | LOCK_NB) == 0 }

    /// Bytes that may still be written to this disk.
    func available() -> Int? {
        var information = statvfs()
        guard fstatvfs(descriptor.number, &information) == 0 else { return nil }
        let (bytes, overflow) = Int(clamping: information.f_bavail)
            .multipliedReportingOverflow(by: Int(clamping: information.f_frsize))
        return overflow ? nil : bytes
    }

    static func failure(_ path: String, _ operation: String, _ code: Int32) -> HubError {
        if code == ENOSPC || code == EDQUOT { return .diskFull(path: path, needed: 0, available: nil) }
        return .file(path: path, operation: operation, reason: String(cString: strerror(code)))
    }
}

/// A regular file held open, read and written at given offsets.
struct OpenFile: Sendable {
    let descriptor: Descriptor
    let path: String

    func status() throws(HubError) -> FileStatus {
        var status = stat()
        guard fstat(descriptor.number, &status) == 0 else { throw Folder.failure(path, "look at the file", errno) }
        return FileStatus(status)
    }

    /// Reads up to the size of `buffer`; fewer bytes only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(HubError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor.number, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw Folder.failure(path, "read the file", errno)
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(HubError) {
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor.number, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                let failure = Folder.failure(path, "write the file", errno)
                if case .diskFull(let path, _, let available) = failure {
                    throw .diskFull(path: path, needed: bytes.count - done, available: available)
                }
                throw failure
            }
            done += count
        }
    }

    func truncate(to size: Int) throws(HubError) {
        guard ftruncate(descriptor.number, off_t(size)) == 0 else {
            throw Folder.failure(path, "shorten the file", errno)
        }
    }

    func synchronize() throws(HubError) {
        guard fsync(descriptor.number) == 0 else { throw Folder.failure(path, "write the file to the disk", errno) }
    }
}
