import Foundation
import WaletFormats

/// Brings plans' stretches into memory through a reader: cuts them into blocks of a size that keeps the disk busy, sees
/// to it that all bytes come, and says which file and which tensor it was where they do not.
struct BlockTransfer {
    /// Bytes of a read, at most.
    static let largestRead = 1 << 20

    private struct Pending {
        var job: Int
        var file: Int
        var read: BlockRead
        /// Of the read's bytes, those that must come.
        var needed: Int
        var tries = 0
    }

    private struct Job {
        var plan: BlockPlan
        var name: String
        var reads = 0
    }

    private let files: WeightFiles
    private let reader: any BlockReader
    private let isDirect: Bool
    private var pending: [Int: Pending] = [:]
    private var jobs: [Int: Job] = [:]
    private var nextTag = 0
    private(set) var failure: FormatError?
    /// Bytes that have come, whole blocks included.
    private(set) var bytesRead = 0
    /// When the reads that are under way began, or those before them that they overlap.
    private var busySince: ContinuousClock.Instant?
    /// Time in which reads were under way.
    private(set) var busy = Duration.zero

    init(_ files: WeightFiles, _ reader: any BlockReader, isDirect: Bool) {
        self.files = files
        self.reader = reader
        self.isDirect = isDirect
    }

    var isIdle: Bool { pending.isEmpty }

    /// - Parameters:
    ///   - job: comes back when all is there.
    ///   - name: the module, for errors.
    ///   - base: memory for the plan's bytes.
    mutating func start(_ job: Int, _ name: String, _ plan: BlockPlan, into base: UnsafeMutableRawPointer) {
        var reads: [BlockRead] = []
        for stretch in plan.stretches {
            let file = files.files[stretch.file]
            var done = 0
            while done < stretch.count {
                let count = min(Self.largestRead, stretch.count - done)
                let read = BlockRead(
                    descriptor: isDirect ? file.direct : file.mapped.descriptor, offset: stretch.offset + done,
                    count: count, target: base + stretch.place + done, tag: nextTag)
                pending[nextTag] = Pending(
                    job: job, file: stretch.file, read: read, needed: min(count, stretch.needed - done))
                reads.append(read)
                nextTag += 1
                done += count
            }
        }
        jobs[job] = Job(plan: plan, name: name, reads: reads.count)
        if busySince == nil { busySince = .now }
        reader.start(reads)
    }

    /// The jobs whose bytes have all come.
    mutating func finished(waits: Bool) -> [Int] {
        var finished: [Int] = []
        repeat {
            let results = reader.ended(waits: waits)
            for result in results {
                if let job = end(result) { finished.append(job) }
            }
            if pending.isEmpty, let since = busySince {
                busy += .now - since
                busySince = nil
            }
        } while waits && finished.isEmpty && failure == nil && !pending.isEmpty
        return finished
    }

    /// Waits for everything under way, whatever comes of it: its memory is free then.
    mutating func drain() {
        while !pending.isEmpty { _ = finished(waits: true) }
        jobs.removeAll()
        failure = nil
    }

    private mutating func end(_ result: BlockResult) -> Int? {
        guard var part = pending[result.tag] else { return nil }
        pending[result.tag] = nil
        let again = result.result == -Int(EINTR) || result.result == -Int(EAGAIN)
        if result.result > 0 { bytesRead += result.result }
        if result.result < part.needed {
            // The rest of a read that ended early, in whole blocks; where not even one came, the file ends there.
            let done = max(0, result.result) / WeightFile.block * WeightFile.block
            part.tries = done > 0 ? 0 : part.tries + 1
            guard failure == nil, done > 0 || (again && part.tries < 100) else {
                fail(part, result.result)
                return nil
            }
            part.read = BlockRead(
                descriptor: part.read.descriptor, offset: part.read.offset + done, count: part.read.count - done,
                target: part.read.target + done, tag: result.tag)
            part.needed -= done
            pending[result.tag] = part
            reader.start([part.read])
            return nil
        }
        jobs[part.job]?.reads -= 1
        guard failure == nil, jobs[part.job]?.reads == 0 else { return nil }
        jobs[part.job] = nil
        return part.job
    }

    private mutating func fail(_ part: Pending, _ result: Int) {
        guard failure == nil, let job = jobs[part.job] else { return }
        let offset = part.read.offset + max(0, result)
        let file = files.files[part.file].mapped
        failure = FormatError(
            file: file.path, field: job.plan.part(at: offset, of: part.file)?.name ?? job.name,
            expected: "\(part.needed) bytes from byte \(part.read.offset) on",
            found: result < 0
                ? String(cString: strerror(Int32(clamping: -result)))
                : "\(result); the file was cut while in use, or its disk fails")
    }
}
