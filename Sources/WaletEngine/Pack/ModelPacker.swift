// Writes a packed model: file by file, each compared with the source before it has its name.

import Crypto
import Foundation
import WaletFormats

/// Writes a model anew so that each of its routed experts is one stretch of a file.
///
/// ```swift
/// let packer = try ModelPacker(try ModelFolder("/models/kimi-k2"), into: "/models/kimi-k2-packed")
/// let outcome = try packer.run { event in print(event) }
/// ```
///
/// A file is written under a temporary name, flushed, read again from the disk, compared byte by byte with the source, and only
/// then has its name and stands in the journal. A run that was cut short, at whatever moment, goes on from there.
public struct ModelPacker: Sendable {
    public enum Event: Sendable, Equatable {
        /// Bytes of a file have been written, compared or hashed.
        case advanced(file: String, bytes: Int)
        /// A file is whole since an earlier run.
        case found(file: String)
        /// A file that an earlier run had finished is not what it was, or is gone, and is written again.
        case damaged(file: String)
        /// A file is whole.
        case finished(file: String)
    }

    public struct Outcome: Sendable, Equatable {
        public var files: [PackJournal.File]
        /// Of them, those that an earlier run had finished.
        public var found: Int
        public var tensors: Int
        public var bytes: Int { files.reduce(0) { $0 + $1.bytes } }
    }

    /// How far an earlier run came.
    public enum State: Sendable, Equatable { case new, begun, complete }

    /// Bytes that are copied and compared at a time; a test makes them fewer.
    package var chunk = 4 << 20

    public let layout: PackedLayout
    public let target: String
    private let model: ModelFolder
    private let sources: [PackJournal.Source]

    /// - Throws: ``FormatError`` for a model that cannot be packed.
    public init(_ model: ModelFolder, into target: String) throws(FormatError) {
        try self.init(model, try model.packedLayout(), into: target)
    }

    /// - Parameter layout: the model's own, where it is known already.
    public init(_ model: ModelFolder, _ layout: PackedLayout, into target: String) throws(FormatError) {
        self.model = model
        self.target = target
        self.layout = layout
        var sources: [PackJournal.Source] = []
        for file in layout.sources {
            guard let stamp = FileStamp(file.descriptor) else {
                throw FormatError(
                    file: file.path, expected: "a readable file", found: String(cString: strerror(errno)))
            }
            sources.append(PackJournal.Source(name: URL(filePath: file.path).lastPathComponent, stamp: stamp))
        }
        self.sources = sources
    }

    private func path(_ file: String) -> String { target.hasSuffix("/") ? target + file : target + "/" + file }

    // MARK: The target

    /// What is in the target.
    /// - Throws: ``FormatError`` where it is the source, or holds anything else.
    public func state() throws(FormatError) -> State {
        guard let journal = try journal() else { return .new }
        return journal.isComplete ? .complete : .begun
    }

    private func journal() throws(FormatError) -> PackJournal? {
        guard !target.isEmpty, !target.utf8.contains(0) else {
            throw FormatError(file: target, expected: "the name of a folder", found: "none")
        }
        var status = stat()
        guard stat(target, &status) == 0 else {
            guard errno == ENOENT else {
                throw FormatError(
                    file: target, expected: "a folder", found: String(cString: strerror(errno)))
            }
            return nil
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw FormatError(file: target, expected: "a folder", found: "something else")
        }
        for source in layout.sources {
            let folder = URL(filePath: source.path).deletingLastPathComponent()
            for folder in [folder, URL(filePath: source.path).resolvingSymlinksInPath().deletingLastPathComponent()] {
                var other = stat()
                guard stat(folder.path, &other) == 0 else { continue }
                guard (other.st_dev, other.st_ino) != (status.st_dev, status.st_ino) else {
                    throw FormatError(
                        file: target, expected: "another folder than the model's own", found: "the model's own")
                }
            }
        }
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: target) } catch {
            throw FormatError(file: target, expected: "a readable folder", found: error.localizedDescription)
        }
        // The journal is the first file of all; its own temporary file is what a kill may have left.
        let others = names.filter { $0 != PackJournal.name + ".partial" }.sorted()
        guard let first = others.first else { return nil }
        guard others.contains(PackJournal.name) else {
            throw FormatError(
                file: target, expected: "a new or empty folder, or one that packing has begun",
                found: "\(others.count) files, such as \(first)")
        }
        let journal = try PackJournal(path: path(PackJournal.name))
        guard journal.sources == sources else {
            let changed = zip(journal.sources, sources).first { $0 != $1 }.map(\.1.name)
            throw FormatError(
                file: target, expected: "a folder that was packed from these files of \(model.path)",
                found: "one that was packed from others" + (changed.map { "; \($0) differs" } ?? ""))
        }
        return journal
    }

    /// Bytes that are yet to be written.
    private func missing(_ journal: PackJournal) -> Int {
        let done = Set(journal.files.map(\.name))
        return layout.files.reduce(0) { sum, file in
            guard !done.contains(file.name) else { return sum }
            var status = stat()
            let begun = stat(path(file.name + ".partial"), &status) == 0 ? Int(status.st_size) : 0
            return sum + max(0, file.size - begun)
        }
    }

    /// Bytes free on the target's disk; nil where the system does not tell.
    public static func freeBytes(at path: String) -> Int? {
        var status = statvfs()
        var place = URL(filePath: path).standardizedFileURL
        while statvfs(place.path, &status) != 0 {
            guard place.path != "/" else { return nil }
            place.deleteLastPathComponent()
        }
        let (bytes, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return overflow ? Int.max : Int(clamping: bytes)
    }

    // MARK: Writing

    /// Writes what is missing, and checks what is there.
    /// - Parameter progress: is told of every few megabytes.
    /// - Throws: ``FormatError`` for a target that is another's, a full disk, a source that cannot be read or that changes;
    ///   `CancellationError`. What has been finished stays in every case.
    public func run(progress: (Event) -> Void = { _ in }) throws -> Outcome {
        let begun = try journal()
        if begun == nil, mkdir(target, 0o755) != 0, errno != EEXIST {
            throw failure(target, "a folder that can be made")
        }
        let folder = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw failure(target, "a folder that can be opened") }
        defer { close(folder) }
        guard flock(folder, LOCK_EX | LOCK_NB) == 0 else {
            throw FormatError(
                file: target, expected: "a folder that nobody else packs into", found: "another run at it")
        }
        // Another run may have ended between.
        var journal = try self.journal() ?? PackJournal(sources: sources)
        let needed = missing(journal)
        if let free = Self.freeBytes(at: target), free < needed {
            throw FormatError(file: target, expected: "\(needed) bytes of free disk", found: "\(free)")
        }
        try save(journal, folder)
        var found = 0
        let buffers = (0..<2).map { _ in
            UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 4096)
        }
        defer { for buffer in buffers { buffer.deallocate() } }
        for file in layout.files {
            if let entry = journal.files.first(where: { $0.name == file.name }) {
                if try isWhole(entry, file, buffers[0], progress) {
                    found += 1
                    progress(.found(file: file.name))
                    continue
                }
                progress(.damaged(file: file.name))
                journal.files.removeAll { $0.name == file.name }
                journal.isComplete = false
                try save(journal, folder)
            }
            let hash = try write(file, buffers, progress)
            try checkSources()
            guard rename(path(file.name + ".partial"), path(file.name)) == 0, fsync(folder) == 0 else {
                throw failure(path(file.name), "a file that can be given its name")
            }
            journal.files.append(PackJournal.File(name: file.name, bytes: file.size, sha256: hash))
            try save(journal, folder)
            progress(.finished(file: file.name))
        }
        try checkOpens()
        if !journal.isComplete {
            journal.isComplete = true
            try save(journal, folder)
        }
        return Outcome(files: journal.files, found: found, tensors: layout.tensorCount)
    }

    private func save(_ journal: PackJournal, _ folder: Int32) throws(FormatError) {
        try AtomicFile.write(Array(journal.text.utf8), to: path(PackJournal.name))
        guard fsync(folder) == 0 else { throw failure(target, "a folder that can be flushed") }
    }

    /// Whether a file of an earlier run is still what it was.
    private func isWhole(
        _ entry: PackJournal.File, _ file: PackedLayout.File, _ buffer: UnsafeMutableRawBufferPointer,
        _ progress: (Event) -> Void
    ) throws -> Bool {
        let descriptor = open(path(file.name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        guard entry.bytes == file.size, FileStamp(descriptor)?.size == file.size else { return false }
        var hash = SHA256()
        var offset = 0
        while offset < file.size {
            try Task.checkCancellation()
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, file.size - offset)])
            try read(descriptor, path(file.name), from: offset, into: part)
            hash.update(bufferPointer: UnsafeRawBufferPointer(part))
            offset += part.count
            progress(.advanced(file: file.name, bytes: part.count))
        }
        return Self.text(hash.finalize()) == entry.sha256
    }

    /// Writes a file under its temporary name and compares it with the source.
    /// - Returns: its SHA-256.
    private func write(
        _ file: PackedLayout.File, _ buffers: [UnsafeMutableRawBufferPointer], _ progress: (Event) -> Void
    ) throws -> String {
        let content = PackedContent(file: file, sources: layout.sources)
        let partial = path(file.name + ".partial")
        let descriptor = open(partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o644)
        guard descriptor >= 0 else { throw failure(path(file.name), "a file that can be written") }
        defer { close(descriptor) }
        guard let begun = FileStamp(descriptor)?.size else { throw failure(partial, "a regular file") }
        // What an earlier run has written stays; whether it is right the comparison tells.
        var start = min(begun, file.size) / chunk * chunk
        while true {
            try write(content, to: descriptor, from: start, buffers[0], progress)
            do {
                return try compare(content, descriptor, buffers, progress)
            } catch let error as FormatError where start > 0 {
                // A crash of the machine may have lost bytes of what had been written. Another try will tell.
                guard error.file == path(file.name) else { throw error }
                start = 0
            }
        }
    }

    private func write(
        _ content: PackedContent, to descriptor: Int32, from start: Int, _ buffer: UnsafeMutableRawBufferPointer,
        _ progress: (Event) -> Void
    ) throws {
        let name = content.file.name
        do {
            guard ftruncate(descriptor, off_t(start)) == 0 else { throw writeFailure(content.file) }
            if start > 0 { progress(.advanced(file: name, bytes: start)) }
            var offset = start
            while offset < content.file.size {
                try Task.checkCancellation()
                let count = min(buffer.count, content.file.size - offset)
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
                try content.read(from: offset, into: part)
                try write(UnsafeRawBufferPointer(part), to: descriptor, at: offset, content.file)
                offset += count
                progress(.advanced(file: name, bytes: count))
            }
            guard fsync(descriptor) == 0 else { throw writeFailure(content.file) }
        } catch let error as DiskFull {
            // Others need the room that half a file would take.
            unlink(path(name + ".partial"))
            throw error.reason
        }
    }

    private struct DiskFull: Error { var reason: FormatError }

    private func write(
        _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int, _ file: PackedLayout.File
    ) throws {
        guard let base = bytes.baseAddress else { return }
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw writeFailure(file) }
            done += count
        }
    }

    /// Why the last call could not write a file.
    private func writeFailure(_ file: PackedLayout.File) -> any Error {
        guard [ENOSPC, EDQUOT, EFBIG].contains(errno) else {
            return failure(path(file.name), "a file that can be written")
        }
        return DiskFull(reason: failure(path(file.name), "room on the disk for its \(file.size) bytes"))
    }

    /// Reads a file from the disk again and compares its bytes with what is to be there.
    /// - Returns: its SHA-256.
    private func compare(
        _ content: PackedContent, _ descriptor: Int32, _ buffers: [UnsafeMutableRawBufferPointer],
        _ progress: (Event) -> Void
    ) throws -> String {
        let name = content.file.name
        #if os(Linux)
            // What has been written is to come from the disk.
            _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        #endif
        guard FileStamp(descriptor)?.size == content.file.size else {
            throw FormatError(
                file: path(name), expected: "\(content.file.size) bytes",
                found: "\(FileStamp(descriptor)?.size ?? 0) after they were written")
        }
        var hash = SHA256()
        var offset = 0
        while offset < content.file.size {
            try Task.checkCancellation()
            let count = min(chunk, content.file.size - offset)
            let (written, expected) = (buffers[0][..<count], buffers[1][..<count])
            let part = UnsafeMutableRawBufferPointer(rebasing: written)
            try read(descriptor, path(name), from: offset, into: part)
            try content.read(from: offset, into: UnsafeMutableRawBufferPointer(rebasing: expected))
            if let first = Self.difference(written, expected) {
                throw FormatError(
                    file: path(name), field: content.name(at: offset + first), expected: "the source's bytes",
                    found: "another one at byte \(offset + first) after it was written")
            }
            hash.update(bufferPointer: UnsafeRawBufferPointer(part))
            offset += count
            progress(.advanced(file: name, bytes: count))
        }
        try content.checkStructure(path(name), at: path(name + ".partial"))
        return Self.text(hash.finalize())
    }

    private static func difference(
        _ left: Slice<UnsafeMutableRawBufferPointer>, _ right: Slice<UnsafeMutableRawBufferPointer>
    ) -> Int? {
        guard let first = UnsafeMutableRawBufferPointer(rebasing: left).baseAddress,
            let second = UnsafeMutableRawBufferPointer(rebasing: right).baseAddress,
            memcmp(first, second, left.count) != 0
        else { return nil }
        return zip(left, right).enumerated().first { $1.0 != $1.1 }?.offset
    }

    private func read(
        _ descriptor: Int32, _ path: String, from offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let base = buffer.baseAddress else { return }
        var done = 0
        while done < buffer.count {
            let got = pread(descriptor, base + done, buffer.count - done, off_t(offset + done))
            if got < 0, errno == EINTR { continue }
            guard got > 0 else {
                throw FormatError(
                    file: path, expected: "\(buffer.count - done) bytes from byte \(offset + done) on",
                    found: got < 0 ? String(cString: strerror(errno)) : "the end of the file")
            }
            done += got
        }
    }

    // MARK: Checks

    /// - Throws: ``FormatError`` where a file of the source has been written to since packing began.
    private func checkSources() throws(FormatError) {
        for (file, source) in zip(layout.sources, sources) where FileStamp(file.descriptor) != source.stamp {
            throw FormatError(
                file: file.path, expected: "the \(source.stamp.size) bytes that it had when packing began",
                found: "others: the file was written to while it was packed")
        }
    }

    /// The whole folder opens as the model that it was made of.
    private func checkOpens() throws(FormatError) {
        let packed = try ModelFolder(model.format == .gguf ? path(layout.files[0].name) : target)
        guard packed.configuration == model.configuration else {
            throw FormatError(file: target, expected: "the configuration of \(model.path)", found: "another")
        }
    }

    private func failure(_ path: String, _ expected: String) -> FormatError {
        FormatError(file: path, expected: expected, found: String(cString: strerror(errno)))
    }

    private static func text(_ digest: SHA256Digest) -> String {
        digest.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }
}
