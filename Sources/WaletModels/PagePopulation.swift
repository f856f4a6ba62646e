import Foundation
import Synchronization
import WaletTensor

/// Brings a model's weights in behind its back: a thread enters the pages of the mapped files, so that the first tokens,
/// each of which meets other experts, do not stop at millions of page faults.
public final class PagePopulation: Sendable {
    private struct State {
        var isDone = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private static let chunk = 64 << 20

    /// Starts at once; ends early where the model is given up. Files that would fill the memory are left alone.
    public init(of model: Transformer) {
        let total = model.mappedRanges.reduce(0) { $0 + $1.count }
        guard total <= Int(clamping: ProcessInfo.processInfo.physicalMemory) / 10 * 8 else {
            end()
            return
        }
        let thread = Thread { [weak model] in
            var file = 0
            var offset = 0
            while let ranges = model?.mappedRanges, file < ranges.count {
                let range = ranges[file]
                let count = min(Self.chunk, range.count - offset)
                // The model may go away meanwhile; the call then fails, or enters pages that nobody asked for.
                PageTable.populate(UnsafeRawBufferPointer(rebasing: range[offset..<offset + count]))
                offset += count
                if offset == range.count { (file, offset) = (file + 1, 0) }
            }
            self.end()
        }
        thread.name = "walet-pages"
        thread.start()
    }

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
    var mappedRanges: [UnsafeRawBufferPointer] { source.mappedFiles.map(\.bytes) }
}
