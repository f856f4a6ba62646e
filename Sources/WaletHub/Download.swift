// One file from the hub into the staging folder: resumed where it broke off, hashed as it arrives.

import Foundation
import NIOCore

/// The download of one file. What has arrived stands in `.incomplete/PATH.HASH.part`; once it is checked and on the disk
/// it is `.incomplete/PATH.HASH`. The hash in the name (its first 16 digits) keeps what belongs to another content of the
/// same path apart.
struct Download {
    let transport: Transport
    let file: HubFile
    let listing: HubListing
    /// Where the staged file goes, and its name there.
    let folder: Folder
    let name: String
    let report: @Sendable (PullEvent) -> Void

    private var partName: String { name + ".part" }
    private var what: String { "\(listing.repository): \(clean(file.path))" }

    /// The name of a staged file, beside the other files of its folder.
    static func stagedName(_ file: HubFile, listing: HubListing) -> String {
        let last = file.path.split(separator: "/").last.map(String.init) ?? file.path
        let hash: String
        if let expected = file.hash {
            hash = expected.digits
        } else {
            var digest = Digest()
            let identity = "\(listing.commit ?? listing.revision)\n\(file.path)\n\(file.size ?? -1)"
            Array(identity.utf8).withUnsafeBytes { digest.update($0) }
            hash = digest.finish().sha256
        }
        return "\(last).\(hash.prefix(16))"
    }

    /// Downloads the file.
    /// - Throws: ``HubError`` or `CancellationError`; what has arrived stays for the next attempt.
    func run() async throws -> PullManifest.File {
        let part = try folder.file(partName, write: true)
        var state = State(part: part, size: try part.status().size)
        var failures = 0
        var wrongHash = 0
        var badRanges = 0
        while true {
            try Task.checkCancellation()
            // Without a size there is no telling whether what has arrived is all: begin again.
            if state.count > file.size ?? 0 { try state.restart() }
            let before = state.count
            do {
                if state.count != file.size { try await fetch(&state, badRanges: &badRanges) }
                let (entry, fault) = try await verify(&state)
                if let entry { return try finish(part, entry) }
                try state.restart()
                wrongHash += 1
                if let fault, wrongHash > 1 {
                    try folder.delete(partName)
                    throw fault
                }
                report(.retrying(file: file.path, reason: "the bytes that arrived are wrong", delay: .zero))
            } catch let fault as Passing {
                failures = state.count - before >= transport.hub.retry.worthwhileBytes ? 1 : failures + 1
                report(
                    .retrying(
                        file: file.path, reason: fault.error(failures).description, delay: fault.retryAfter ?? .zero))
                try await transport.pause(fault, failures: failures)
            }
        }
    }

    /// What has arrived of a file, and the hash of it as far as it was computed.
    private struct State {
        let part: OpenFile
        /// Bytes in the part.
        var count: Int
        private(set) var digest: Digest?

        init(part: OpenFile, size: Int) {
            self.part = part
            self.count = size
        }

        mutating func restart() throws(HubError) {
            try part.truncate(to: 0)
            count = 0
            digest = nil
        }

        /// Makes the digest cover what is in the part.
        mutating func prepare(gitSize: Int?) async throws {
            guard digest == nil else { return }
            var digest = Digest(gitSize: gitSize)
            count = try await part.feed(&digest, count: count)
            self.digest = digest
        }

        mutating func append(_ bytes: UnsafeRawBufferPointer) throws(HubError) {
            try part.write(bytes, at: count)
            digest?.update(bytes)
            count += bytes.count
        }
    }

    private var gitSize: Int? {
        if case .gitBlob? = file.hash { file.size } else { nil }
    }

    /// Fetches what is missing, in one request.
    private func fetch(_ state: inout State, badRanges: inout Int) async throws {
        let revision = (listing.commit ?? listing.revision).percentEncoded(keepingSlashes: false)
        let path = "/\(listing.repository)/resolve/\(revision)/\(file.path.percentEncoded(keepingSlashes: true))"
        // The digest is made to cover the part before the request, so that no connection waits for it.
        try await state.prepare(gitSize: gitSize)
        let reply = try await transport.send(.GET, path, what: what, start: state.count)
        try transport.check(reply, what: what, revision: listing.revision, file: file.path)
        if let coding = reply.header("Content-Encoding"), coding.lowercased() != "identity" {
            throw HubError.badAnswer(what: what, reason: "it is packed with \(coding), which was not asked for")
        }
        switch reply.status {
        case 206 where state.count > 0:
            guard Self.range(reply.header("Content-Range"), starts: state.count, size: file.size) else {
                try state.restart()
                try mindRange(&badRanges, "Content-Range \(quoted(reply.header("Content-Range") ?? ""))")
                throw Passing { _ in .badAnswer(what: what, reason: "another range than the one asked for") }
            }
        case 200:
            // The server ignores ranges: this is the file from its first byte.
            if state.count > 0 {
                try state.restart()
                try await state.prepare(gitSize: gitSize)
                report(.retrying(file: file.path, reason: "the server cannot resume; from the start", delay: .zero))
            }
        case 416:
            try state.restart()
            try mindRange(&badRanges, "416 for a range inside the file")
            throw Passing { _ in .badAnswer(what: what, reason: "416 for a range inside the file") }
        default:
            throw HubError.refused(what: what, status: reply.status, message: nil)
        }
        if let size = file.size, let length = reply.integer("Content-Length"), length != size - state.count {
            throw HubError.sizeMismatch(file: file.path, expected: size, found: state.count + length)
        }
        var meter = Meter(file: file.path, total: file.size, count: state.count, report: report)
        do {
            for try await buffer in reply.body {
                try Task.checkCancellation()
                if let size = file.size, buffer.readableBytes > size - state.count {
                    let found = state.count + buffer.readableBytes
                    try state.restart()
                    throw HubError.sizeMismatch(file: file.path, expected: size, found: found)
                }
                try buffer.withUnsafeReadableBytes { try state.append($0) }
                meter.advance(to: state.count)
            }
        } catch {
            throw transport.passing(error, what: what, host: transport.hub.endpoint.origin)
        }
        if let size = file.size, state.count < size {
            let count = state.count
            throw Passing { attempts in
                .unreachable(what: what, attempts: attempts, reason: "the server ends after \(count) of \(size) bytes")
            }
        }
        meter.end(at: state.count)
    }

    private func mindRange(_ badRanges: inout Int, _ reason: String) throws(HubError) {
        badRanges += 1
        if badRanges > 1 { throw .badAnswer(what: what, reason: "\(reason), twice") }
    }

    /// Compares what arrived with what the hub said: the manifest's entry, or the fault.
    private func verify(_ state: inout State) async throws -> (PullManifest.File?, HubError?) {
        try await state.prepare(gitSize: gitSize)
        guard let (sha256, gitBlob) = state.digest?.finish() else { return (nil, nil) }
        let found: String
        let checked: PullManifest.File.Checked
        switch file.hash {
        case .sha256: (found, checked) = (sha256, .sha256)
        case .gitBlob: (found, checked) = (gitBlob ?? "", .git)
        case nil: (found, checked) = ("", .size)
        }
        if let expected = file.hash, expected.digits != found {
            let fault = HubError.hashMismatch(
                file: file.path, kind: expected.kind, expected: expected.digits, found: found)
            return (nil, fault)
        }
        let entry = PullManifest.File(
            path: file.path, size: state.count, sha256: sha256, checked: checked, gitBlob: gitBlob)
        return (entry, nil)
    }

    private func finish(_ part: OpenFile, _ entry: PullManifest.File) throws(HubError) -> PullManifest.File {
        try part.synchronize()
        try folder.move(partName, to: folder, name)
        folder.synchronize()
        return entry
    }

    /// Whether `bytes START-END/TOTAL` begins where it was asked to and ends with the file.
    static func range(_ text: String?, starts start: Int, size: Int?) -> Bool {
        guard let text, text.lowercased().hasPrefix("bytes ") else { return false }
        let parts = text.dropFirst(6).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return false }
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, Int(ends[0]) == start, let last = Int(ends[1]), last >= start else { return false }
        if parts[1] == "*" { return true }
        guard let total = Int(parts[1]), last < total else { return false }
        return size == nil || total == size
    }
}

/// Reports the progress of a file about ten times a second, with its speed over the last seconds.
private struct Meter {
    let file: String
    let total: Int?
    let report: @Sendable (PullEvent) -> Void
    private let clock = ContinuousClock()
    private var last: ContinuousClock.Instant
    private var lastCount: Int
    private var speed: Double?

    init(file: String, total: Int?, count: Int, report: @escaping @Sendable (PullEvent) -> Void) {
        self.file = file
        self.total = total
        self.report = report
        last = clock.now
        lastCount = count
        report(.progress(.init(file: file, bytesDone: count, bytesTotal: total, bytesPerSecond: 0)))
    }

    mutating func advance(to count: Int) {
        let now = clock.now
        guard now - last >= .milliseconds(100) else { return }
        publish(count, now)
    }

    mutating func end(at count: Int) { publish(count, clock.now) }

    private mutating func publish(_ count: Int, _ now: ContinuousClock.Instant) {
        let seconds = max((now - last) / .seconds(1), 1e-6)
        let current = Double(count - lastCount) / seconds
        // Each report weighs as its share of about three seconds.
        let weight = min(seconds / 3, 1)
        speed = speed.map { $0 + (current - $0) * weight } ?? current
        (last, lastCount) = (now, count)
        report(.progress(.init(file: file, bytesDone: count, bytesTotal: total, bytesPerSecond: speed ?? current)))
    }
}
