// A file's bytes where they lie: mapped for weights, read whole for the small files beside them.

import WaletTensor

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A regular file mapped for reading. The bytes are pages of the file's cache: nothing is copied.
public final class MappedFile: @unchecked Sendable {
    // Unchecked: all members are constant and the mapped memory is never written.
    /// As the user named it or as it lies in the folder.
    public let path: String
    /// Bytes when it was opened.
    public let size: Int
    /// For reads past the mapping, such as direct reads of experts. Open as long as this object lives.
    public let descriptor: Int32
    private let base: UnsafeRawPointer?
    private let watch: MappedGuard?

    /// - Parameters:
    ///   - path: named in errors.
    ///   - location: where the file really is, where that differs from what the user named.
    /// - Throws: ``FormatError`` for what cannot be opened or is no regular file.
    public init(_ path: String, at location: String? = nil) throws(FormatError) {
        let (descriptor, size) = try FileSystem.openRegular(location ?? path, named: path)
        var base: UnsafeRawPointer?
        if size > 0 {
            let mapped = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
            guard let mapped, mapped != MAP_FAILED else {
                let reason = FileSystem.lastError()
                close(descriptor)
                throw FormatError(file: path, expected: "a file that can be mapped", found: reason)
            }
            base = UnsafeRawPointer(mapped)
            #if os(Linux)
                // MADV_HUGEPAGE: what is not in memory yet is read, and mapped, 2 MB at a time, where the file system has
                // large folios (XFS, ext4 since Linux 6.16). A sixth was gained where it was measured; elsewhere nothing.
                _ = madvise(mapped, size, 14)
            #endif
        }
        self.path = path
        self.size = size
        self.descriptor = descriptor
        self.base = base
        watch = base.map { MappedGuard(base: $0, length: size) }
    }

    deinit {
        watch?.end()
        if let base { munmap(UnsafeMutableRawPointer(mutating: base), size) }
        close(descriptor)
    }

    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: size) }

    /// The address of a byte. The offset is checked, what is read from there on is the caller's affair.
    func pointer(at offset: Int) -> UnsafeRawPointer {
        precondition(offset >= 0 && offset <= size)
        return base.map { $0 + offset } ?? Self.nowhere
    }

    // What the views of an empty file point at; nothing is ever read from there.
    private static var nowhere: UnsafeRawPointer { UnsafeRawPointer(bitPattern: 64)! }

    /// A copy of a few bytes, read past the mapping: a touch of that can map two megabytes of the file's cache, which a
    /// process that is to stay small would have to count as its own.
    /// - Throws: ``FormatError`` for what cannot be read or is not there any more.
    func copy(at offset: Int, count: Int, field: String) throws(FormatError) -> [UInt8] {
        let (bytes, failure) = FileSystem.read(descriptor, count: count, at: offset)
        guard bytes.count == count else {
            throw FormatError(
                file: path, field: field, expected: "\(count) bytes at \(offset)",
                found: failure ?? "\(bytes.count) bytes; it was cut while in use")
        }
        return bytes
    }

    /// Drops the pages of the file that this process has entered; they are the page cache's alone then.
    package func dropPages() {
        guard let base else { return }
        _ = madvise(UnsafeMutableRawPointer(mutating: base), size, MADV_DONTNEED)
    }

    /// - Throws: ``FormatError`` where the file has become shorter than it was when it was opened.
    public func checkIntact() throws(FormatError) {
        var status = stat()
        let now = fstat(descriptor, &status) == 0 ? Int(status.st_size) : size
        if now < size || watch?.isBroken == true {
            throw FormatError(
                file: path, expected: "the \(size) bytes that it had when it was opened",
                found: "\(min(now, size)) bytes; it was cut or replaced while in use")
        }
    }
}

/// What the formats need of the file system.
enum FileSystem {
    /// Opens a regular file without waiting for a FIFO's writer or a device.
    static func openRegular(
        _ location: String, named path: String
    ) throws(FormatError) -> (descriptor: Int32, size: Int) {
        guard !location.utf8.contains(0) else {
            throw FormatError(file: path, expected: "a file name", found: "a name with a zero byte")
        }
        let descriptor = open(location, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw FormatError(file: path, expected: "a readable file", found: lastError())
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let reason = lastError()
            close(descriptor)
            throw FormatError(file: path, expected: "a readable file", found: reason)
        }
        guard let kind = kind(of: status), kind == .file else {
            close(descriptor)
            throw FormatError(file: path, expected: "a regular file", found: Self.name(of: status))
        }
        return (descriptor, Int(status.st_size))
    }

    /// The bytes of a small file.
    static func read(
        _ path: String, at location: String? = nil, limit: Int
    ) throws(FormatError) -> [UInt8] {
        let (descriptor, size) = try openRegular(location ?? path, named: path)
        defer { close(descriptor) }
        guard size <= limit else {
            throw FormatError(file: path, expected: "at most \(limit) bytes", found: "\(size) bytes")
        }
        let (bytes, failure) = read(descriptor, count: size)
        if let failure { throw FormatError(file: path, expected: "a readable file", found: failure) }
        return bytes
    }

    /// The first bytes of a file, at most `count`.
    static func prefix(_ path: String, at location: String? = nil, count: Int) throws(FormatError) -> [UInt8] {
        let (descriptor, size) = try openRegular(location ?? path, named: path)
        defer { close(descriptor) }
        let (bytes, failure) = read(descriptor, count: min(size, count))
        if let failure { throw FormatError(file: path, expected: "a readable file", found: failure) }
        return bytes
    }

    /// As many of the bytes as there are, from the descriptor's position or from an offset of the file.
    fileprivate static func read(
        _ descriptor: Int32, count: Int, at offset: Int? = nil
    ) -> (bytes: [UInt8], failure: String?) {
        var failure: String?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count, let start = buffer.baseAddress {
                #if canImport(Darwin)
                    let got =
                        offset.map { pread(descriptor, start + filled, count - filled, off_t($0 + filled)) }
                        ?? Darwin.read(descriptor, start + filled, count - filled)
                #elseif canImport(Musl)
                    let got =
                        offset.map { pread(descriptor, start + filled, count - filled, off_t($0 + filled)) }
                        ?? Musl.read(descriptor, start + filled, count - filled)
                #else
                    let got =
                        offset.map { pread(descriptor, start + filled, count - filled, off_t($0 + filled)) }
                        ?? Glibc.read(descriptor, start + filled, count - filled)
                #endif
                if got < 0 {
                    if errno == EINTR { continue }
                    failure = lastError()
                    return
                }
                if got == 0 { return }
                filled += got
            }
        }
        return (bytes, failure)
    }

    enum Kind { case file, folder }

    /// What lies at a path, links followed; nil for nothing, or for what is neither file nor folder.
    static func kind(_ path: String) -> Kind? {
        var status = stat()
        guard !path.utf8.contains(0), stat(path, &status) == 0 else { return nil }
        return kind(of: status)
    }

    static func exists(_ path: String) -> Bool {
        var status = stat()
        return !path.utf8.contains(0) && lstat(path, &status) == 0
    }

    static func size(_ path: String) -> Int? {
        var status = stat()
        guard !path.utf8.contains(0), stat(path, &status) == 0 else { return nil }
        return Int(status.st_size)
    }

    static func isLink(_ path: String) -> Bool {
        var status = stat()
        guard !path.utf8.contains(0), lstat(path, &status) == 0 else { return false }
        return status.st_mode & S_IFMT == S_IFLNK
    }

    /// The path without links, or nil where it leads nowhere.
    static func resolve(_ path: String) -> String? {
        guard !path.utf8.contains(0), let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Names in a folder, sorted, without `.` and `..`.
    static func names(in folder: String) throws(FormatError) -> [String] {
        guard !folder.utf8.contains(0), let stream = opendir(folder) else {
            throw FormatError(file: folder, expected: "a readable folder", found: lastError())
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func lastError() -> String { String(cString: strerror(errno)) }

    private static func kind(of status: stat) -> Kind? {
        switch status.st_mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .folder
        default: nil
        }
    }

    private static func name(of status: stat) -> String {
        switch status.st_mode & S_IFMT {
        case S_IFDIR: "a folder"
        case S_IFIFO: "a FIFO"
        case S_IFCHR, S_IFBLK: "a device"
        case S_IFSOCK: "a socket"
        default: "something else"
        }
    }
}
