import Crypto
import Foundation
import Synchronization
import WaletModels

/// Pages of the prefix cache on disk, one file each, so that they outlive the memory's and the process.
///
/// Files are written behind, read ahead of a prompt, and found by name alone: ``PageKey`` says all that a page's numbers
/// depend on. Each has a checksum over name and numbers; one that does not hold is removed and counts as a miss. A file
/// gets its name when it is whole, so that a crash leaves nothing that looks like a page.
///
///     "WALETKV1" ‖ SHA-256(name's 32 bytes ‖ numbers) ‖ numbers
public final class PageStore: Sendable {
    public struct Statistics: Sendable, Equatable {
        /// Files, and their bytes.
        public var pages = 0
        public var bytes = 0
        public var read = 0
        public var written = 0
        /// Pages that were not written: too many waited, or the disk was full.
        public var dropped = 0
        /// Files whose checksum did not hold.
        public var damaged = 0
    }

    private struct Entry {
        let bytes: Int
        var lastUse: UInt64
    }

    private struct State {
        var entries: [PageKey: Entry] = [:]
        var waiting: Set<PageKey> = []
        var loads = 0
        var clock: UInt64 = 0
        var statistics = Statistics()
    }

    private let folder: URL
    private let pageBytes: Int
    private let limit: Int
    private let state: Mutex<State>
    private let reading = DispatchQueue(label: "walet-page-read", qos: .userInitiated)
    /// Whoever suspends it keeps pages from the disk, as a slow one does.
    package let writing = DispatchQueue(label: "walet-page-write", qos: .utility)

    private static let magic = Array("WALETKV1".utf8)
    private static let headerBytes = 40
    private static let suffix = ".page"
    /// Pages that may wait to be written: they cannot be evicted meanwhile.
    private static let maximumWaiting = 64

    /// Opens the folder, and makes it where it is missing. Files of other sizes, and what a crash left, are removed.
    /// - Parameters:
    ///   - folder: one for each model, as another's pages are of another size.
    ///   - pageBytes: of every page.
    ///   - limit: bytes of all files, at most.
    /// - Throws: what the file system says.
    public init(folder: URL, pageBytes: Int, limit: Int) throws {
        self.folder = folder
        self.pageBytes = pageBytes
        self.limit = limit
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        var found: [(key: PageKey, date: Date)] = []
        let size = pageBytes + Self.headerBytes
        let keys: [URLResourceKey] = [.fileSizeKey, .contentModificationDateKey, .isRegularFileKey]
        for url in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: keys) {
            guard let values = try? url.resourceValues(forKeys: Set(keys)), values.isRegularFile == true else {
                continue
            }
            let name = url.lastPathComponent
            guard name.hasSuffix(Self.suffix) else { continue }
            if let key = PageKey(name: name.dropLast(Self.suffix.count)), values.fileSize == size {
                found.append((key, values.contentModificationDate ?? .distantPast))
            } else {
                try? FileManager.default.removeItem(at: url)
            }
        }
        found.sort { $0.date < $1.date }
        var state = State()
        for (key, _) in found {
            state.clock += 1
            state.entries[key] = Entry(bytes: size, lastUse: state.clock)
            state.statistics.bytes += size
        }
        state.statistics.pages = found.count
        self.state = Mutex(state)
        trim(for: 0)
    }

    public var statistics: Statistics { state.withLock { $0.statistics } }

    /// Pages are held here that are being written or read.
    package var isBusy: Bool { state.withLock { !$0.waiting.isEmpty || $0.loads > 0 } }

    /// Whether a page is there.
    package func contains(_ key: PageKey) -> Bool { state.withLock { $0.entries[key] != nil } }

    /// Reads pages, in order, up to the first that is missing or damaged; calls back on a thread of its own.
    package func load(
        _ keys: [PageKey], from pool: PagePool, _ completion: @escaping @Sendable ([KVPage]) -> Void
    ) {
        state.withLock { $0.loads += 1 }
        reading.async {
            var pages: [KVPage] = []
            for key in keys {
                let page = pool.makePage()
                guard self.read(key, into: page) else { break }
                pages.append(page)
            }
            completion(pages)
            self.state.withLock { $0.loads -= 1 }
        }
    }

    /// Writes a page when its turn comes.
    package func save(_ key: PageKey, _ page: KVPage) {
        let isWanted = state.withLock { state in
            if state.entries[key] != nil || state.waiting.contains(key) { return false }
            guard state.waiting.count < Self.maximumWaiting, pageBytes + Self.headerBytes <= limit else {
                state.statistics.dropped += 1
                return false
            }
            state.waiting.insert(key)
            return true
        }
        guard isWanted else { return }
        writing.async { self.write(key, page) }
    }

    /// Returns when all pages that were given are written.
    public func flush() { writing.sync {} }

    private func url(_ key: PageKey) -> URL { folder.appendingPathComponent(key.name + Self.suffix) }

    private func read(_ key: PageKey, into page: KVPage) -> Bool {
        guard page.byteCount == pageBytes else { return false }
        let path = url(key).path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            forget(key)
            return false
        }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: Self.headerBytes)
        let isWhole =
            header.withUnsafeMutableBytes { Self.readAll(descriptor, $0) }
            && Self.readAll(descriptor, page.mutableBytes)
        guard isWhole, header.starts(with: Self.magic), Array(header[Self.magic.count...]) == checksum(key, page) else {
            try? FileManager.default.removeItem(atPath: path)
            forget(key)
            state.withLock { $0.statistics.damaged += 1 }
            return false
        }
        state.withLock { state in
            state.clock += 1
            state.entries[key]?.lastUse = state.clock
            state.statistics.read += 1
        }
        // The order of use is to survive a restart.
        futimens(descriptor, nil)
        return true
    }

    private func write(_ key: PageKey, _ page: KVPage) {
        trim(for: pageBytes + Self.headerBytes)
        let temporary = folder.appendingPathComponent("\(key.name).tmp\(Self.suffix)").path
        let isWritten: Bool = {
            let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard descriptor >= 0 else { return false }
            defer { close(descriptor) }
            let header = Self.magic + checksum(key, page)
            guard header.withUnsafeBytes({ Self.writeAll(descriptor, $0) }), Self.writeAll(descriptor, page.bytes)
            else {
                return false
            }
            return rename(temporary, url(key).path) == 0
        }()
        if !isWritten { unlink(temporary) }
        state.withLock { state in
            state.waiting.remove(key)
            guard isWritten else {
                state.statistics.dropped += 1
                return
            }
            state.clock += 1
            state.entries[key] = Entry(bytes: pageBytes + Self.headerBytes, lastUse: state.clock)
            state.statistics.written += 1
            state.statistics.pages += 1
            state.statistics.bytes += pageBytes + Self.headerBytes
        }
    }

    /// Removes the files that were used least recently until so many bytes more have room.
    private func trim(for bytes: Int) {
        let removed: [PageKey] = state.withLock { state in
            let excess = state.statistics.bytes + bytes - limit
            guard excess > 0 else { return [] }
            var removed: [PageKey] = []
            var freed = 0
            for (key, entry) in state.entries.sorted(by: { $0.value.lastUse < $1.value.lastUse }) {
                if freed >= excess { break }
                freed += entry.bytes
                removed.append(key)
                state.entries[key] = nil
            }
            state.statistics.bytes -= freed
            state.statistics.pages -= removed.count
            return removed
        }
        for key in removed { unlink(url(key).path) }
    }

    private func forget(_ key: PageKey) {
        state.withLock { state in
            guard let entry = state.entries.removeValue(forKey: key) else { return }
            state.statistics.pages -= 1
            state.statistics.bytes -= entry.bytes
        }
    }

    private func checksum(_ key: PageKey, _ page: KVPage) -> [UInt8] {
        var hash = SHA256()
        hash.update(data: key.bytes)
        hash.update(bufferPointer: page.bytes)
        return Array(hash.finalize())
    }

    private static func readAll(_ descriptor: Int32, _ target: UnsafeMutableRawBufferPointer) -> Bool {
        all(target.count) { Foundation.read(descriptor, target.baseAddress! + $0, $1) }
    }

    private static func writeAll(_ descriptor: Int32, _ source: UnsafeRawBufferPointer) -> Bool {
        all(source.count) { Foundation.write(descriptor, source.baseAddress! + $0, $1) }
    }

    /// Repeats a call that may move fewer bytes than it is asked for.
    private static func all(_ count: Int, _ move: (_ from: Int, _ bytes: Int) -> Int) -> Bool {
        var done = 0
        while done < count {
            let moved = move(done, count - done)
            if moved < 0, errno == EINTR { continue }
            guard moved > 0 else { return false }
            done += moved
        }
        return true
    }
}
