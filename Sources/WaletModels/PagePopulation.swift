import Foundation
import Synchronization
import WaletFormats
import WaletTensor

/// Brings a model's weights in behind its back: a thread enters the pages of the mapped files, so that the first tokens,
/// each of which meets other experts, do not stop at millions of page faults.
public final class PagePopulation: Sendable {
    private struct State {
        var isDone = false
        var hugeShare: Double?
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private static let chunk = 64 << 20

    /// Starts at once; ends early where the model is given up. Files that would fill the memory are left alone.
    /// - Parameter rereads: whether files that the page cache holds in small pages are read from the disk again, into pages of
    ///   2 MB, where the system has such for files.
    public init(of model: Transformer, rereads: Bool = false) {
        let files = model.mappedFiles
        guard files.reduce(0, { $0 + $1.size }) <= Int(clamping: ProcessInfo.processInfo.physicalMemory) / 10 * 8 else {
            end()
            return
        }
        let thread = Thread { [weak model] in
            // The model may go away meanwhile; what is left is then left.
            let isWanted = { model != nil }
            for file in files where isWanted() { Self.populate(file, isWanted) }
            if rereads {
                for file in files where isWanted() { Self.reread(file, isWanted) }
            }
            let entered = files.compactMap { file in file.bytes.baseAddress.flatMap(PageTable.entered(at:)) }
            let all = entered.reduce(0) { $0 + $1.all }
            let share = all > 0 ? Double(entered.reduce(0) { $0 + $1.huge }) / Double(all) : nil
            self.state.withLock { $0.hugeShare = share }
            self.end()
        }
        thread.name = "walet-pages"
        thread.start()
    }

    private static func populate(_ file: MappedFile, _ isWanted: () -> Bool) {
        for chunk in chunks(of: file) where isWanted() {
            PageTable.populate(UnsafeRawBufferPointer(rebasing: file.bytes[chunk]))
        }
    }

    /// Lets go of a file's pages and reads them again, through the mapping, which asks for large ones. What another process maps
    /// stays as it is.
    private static func reread(_ file: MappedFile, _ isWanted: () -> Bool) {
        guard let start = file.bytes.baseAddress, let before = PageTable.entered(at: start) else { return }
        // Beginnings and ends of files do not fill a large page.
        guard before.all - before.huge >= max(Self.chunk, before.all / 20) else { return }
        for (number, chunk) in chunks(of: file).enumerated() where isWanted() {
            let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[chunk])
            PageTable.drop(bytes)
            file.dropCache(chunk)
            PageTable.populate(bytes)
            // A file system without large pages for files is not asked for all of it.
            guard number == 0, let now = PageTable.entered(at: start) else { continue }
            if now.huge < chunk.count / 2 { return }
        }
    }

    private static func chunks(of file: MappedFile) -> [Range<Int>] {
        stride(from: 0, to: file.size, by: chunk).map { $0..<min($0 + chunk, file.size) }
    }

    /// The share of the mapped weights that the processor knows in pages of 2 MB; nil before all is there, and where the system
    /// does not tell.
    public var hugeShare: Double? { state.withLock { $0.hugeShare } }

    /// Returns when all is there.
    public func finished() async {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if !state.isDone { state.waiting.append(continuation) }
                return state.isDone
            }
            if isDone { continuation.resume() }
        }
    }

    private func end() {
        let waiting = state.withLock { state in
            state.isDone = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}

extension Transformer {
    /// The mapped files that the weights lie in.
    var mappedFiles: [MappedFile] { source.mappedFiles }
}
