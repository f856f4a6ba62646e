// From a repository's name to a complete model folder, in steps that can be cut short anywhere.

import Foundation
import NIOCore
import Synchronization

extension Hub {
    /// The files of a repository at a revision, from one request (and its retries).
    /// - Throws: ``HubError``, `CancellationError`.
    public func files(of repository: String, revision: String = "main") async throws -> HubListing {
        try check(repository, revision)
        let transport = Transport(hub: self, repository: repository, connections: 1)
        return try await transport.closing { try await listing(repository, revision, transport) }
    }

    /// Fetches a model into the store, or what is missing of it, and checks every file against the hash that the hub
    /// names.
    ///
    /// Files arrive in `.incomplete/` inside the model's folder, and move to their places together once all are there and
    /// checked; the manifest comes last. A pull that ends early, by an error, by cancellation or by a kill, is gone on with
    /// by pulling again. A model that is complete costs one request.
    ///
    /// Without `include` the folder becomes what the repository holds at that revision (see `FileSelection` in the
    /// source for which files): files of an older pull that are gone there are deleted. With `include` files are only
    /// added, so that a second quantization can be put beside the first. Files that did not come from a pull are left
    /// alone.
    ///
    /// - Parameters:
    ///   - repository: `owner/name`.
    ///   - revision: a branch, tag or commit.
    ///   - include: shell patterns of the files to take instead of the standard choice; `*` matches "/" too.
    ///   - exclude: shell patterns of files to leave out.
    ///   - name: the model's name in the store; the repository's where it is nil.
    ///   - maximumParallel: files at a time.
    ///   - progress: is called for each event, one at a time.
    /// - Returns: the model as it stands in the store.
    /// - Throws: ``HubError``, `CancellationError`.
    @discardableResult
    public func pull(
        _ repository: String, revision: String = "main", include: [String] = [], exclude: [String] = [],
        named name: String? = nil, into store: ModelStore, maximumParallel: Int = 4,
        progress: (@Sendable (PullEvent) -> Void)? = nil
    ) async throws -> StoredModel {
        try check(repository, revision)
        let name = name ?? repository
        if let reason = FileName.faultOfModel(name) { throw HubError.badName(name, reason: reason) }
        let parallel = min(max(maximumParallel, 1), 64)
        let turn = Mutex(())
        let report: @Sendable (PullEvent) -> Void = { event in
            guard let progress else { return }
            turn.withLock { _ in progress(event) }
        }
        let transport = Transport(hub: self, repository: repository, connections: parallel)
        return try await transport.closing {
            var listing = try await listing(repository, revision, transport)
            let selected = try FileSelection.select(
                listing.files, repository: repository, include: include, exclude: exclude)
            try HubListing.check(selected)
            listing = try await complete(listing, selected, transport)
            let job = try PullJob(
                hub: self, transport: transport, listing: listing, store: store, name: name,
                addsOnly: !include.isEmpty, report: report)
            return try await job.run(maximumParallel: parallel)
        }
    }

    /// What can be refused before anything is opened.
    private func check(_ repository: String, _ revision: String) throws(HubError) {
        if let offline { throw .offline(setting: offline) }
        if let reason = FileName.faultOfRepository(repository) { throw .badName(repository, reason: reason) }
        guard FileName.isRevision(revision) else { throw .badRevision(revision) }
    }

    private func listing(
        _ repository: String, _ revision: String, _ transport: Transport
    ) async throws -> HubListing {
        let path = "/api/models/\(repository)/revision/\(revision.percentEncoded(keepingSlashes: false))?blobs=true"
        let what = "the list of files of \(repository)"
        return try await transport.retrying {
            let reply = try await transport.send(.GET, path, what: what)
            try transport.check(reply, what: what, revision: revision)
            guard reply.status == 200 else { throw HubError.refused(what: what, status: reply.status, message: nil) }
            let body: ByteBuffer
            do {
                body = try await reply.body.collect(upTo: limits.answerBytes)
            } catch is NIOTooManyBytesError {
                throw HubError.answerTooLarge(what: what, limit: limits.answerBytes)
            } catch {
                throw transport.passing(error, what: what, host: endpoint.origin)
            }
            return try HubListing(
                parsing: body.readableBytesView, repository: repository, revision: revision, limits: limits)
        }
    }

    /// The selected files with size and hash. Mirrors that do not put these into the list tell them in the head of each
    /// file, as the hub does too.
    private func complete(
        _ listing: HubListing, _ selected: [HubFile], _ transport: Transport
    ) async throws -> HubListing {
        var files: [HubFile] = []
        for var file in selected {
            if file.size == nil || file.hash == nil {
                let revision = (listing.commit ?? listing.revision).percentEncoded(keepingSlashes: false)
                let path = "/\(listing.repository)/resolve/\(revision)/\(file.path.percentEncoded(keepingSlashes: true))"
                let what = "\(listing.repository): \(clean(file.path))"
                let reply = try await transport.retrying {
                    let reply = try await transport.send(.HEAD, path, what: what, leavesHome: false)
                    if !(300..<400).contains(reply.status) {
                        try transport.check(reply, what: what, revision: listing.revision, file: file.path)
                    }
                    return reply
                }
                let isRedirect = (300..<400).contains(reply.status)
                let size = reply.integer("X-Linked-Size") ?? (isRedirect ? nil : reply.integer("Content-Length"))
                if let size, size > HubListing.largestFile {
                    throw HubError.badAnswer(what: what, reason: "it has the size \(size)")
                }
                file.size = file.size ?? size
                file.hash = file.hash ?? Self.hash(reply.header("X-Linked-Etag") ?? reply.header("ETag"))
            }
            files.append(file)
        }
        return HubListing(listing, files: files)
    }

    /// What an entity tag of the hub says: SHA-256 of a file in LFS, or a Git blob hash.
    private static func hash(_ tag: String?) -> ExpectedHash? {
        guard var text = tag?[...] else { return nil }
        if text.hasPrefix("W/") { text = text.dropFirst(2) }
        let digits = text.filter { $0 != "\"" }.lowercased()
        guard FileName.isHexadecimal(digits) else { return nil }
        switch digits.utf8.count {
        case 64: return .sha256(digits)
        case 40: return .gitBlob(digits)
        default: return nil
        }
    }
}

extension HubListing {
    init(_ listing: HubListing, files: [HubFile]) {
        repository = listing.repository
        revision = listing.revision
        commit = listing.commit
        self.files = files
    }
}

extension Transport {
    /// Runs `body` and closes every connection, whatever comes of it.
    func closing<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            let value = try await body()
            try? await client.shutdown()
            return value
        } catch {
            try? await client.shutdown()
            throw Task.isCancelled ? CancellationError() : error
        }
    }
}

/// One pull into one folder.
struct PullJob {
    let hub: Hub
    let transport: Transport
    /// Holds the selected files only, complete with size and hash as far as they can be known.
    let listing: HubListing
    let store: ModelStore
    let name: String
    let addsOnly: Bool
    let report: @Sendable (PullEvent) -> Void
    /// The model's folder, locked for us as long as it is open.
    let folder: Folder
    let manifest: PullManifest?

    init(
        hub: Hub, transport: Transport, listing: HubListing, store: ModelStore, name: String, addsOnly: Bool,
        report: @escaping @Sendable (PullEvent) -> Void
    ) throws(HubError) {
        self.hub = hub
        self.transport = transport
        self.listing = listing
        self.store = store
        self.name = name
        self.addsOnly = addsOnly
        self.report = report
        var folder = try Folder(root: store.root.path, create: true)
        for component in name.split(separator: "/").map(String.init) {
            folder = try folder.folder(component, create: true)
        }
        guard folder.lock() else { throw .locked(model: name) }
        self.folder = folder
        // One that cannot be read is as good as none: the files are hashed and it is written anew.
        manifest = (try? PullManifest(in: folder)) ?? nil
        if let manifest, manifest.repository != listing.repository {
            throw .notAModel(
                name: name,
                reason: "its folder holds \(clean(manifest.repository)); remove it first, or pull under another name")
        }
    }

    /// Where a selected file stands before the pull.
    private enum Place {
        /// In its place, as it should be.
        case final(PullManifest.File)
        /// In the staging folder, checked.
        case staged(PullManifest.File)
        case missing
    }

    func run(maximumParallel: Int) async throws -> StoredModel {
        var entries: [String: PullManifest.File] = [:]
        var staged: [HubFile] = []
        var missing: [HubFile] = []
        for file in listing.files {
            switch try await place(of: file) {
            case .final(let entry): entries[file.path] = entry
            case .staged(let entry):
                entries[file.path] = entry
                staged.append(file)
            case .missing: missing.append(file)
            }
        }
        let total = listing.files.reduce(0) { $0 &+ ($1.size ?? 0) }
        let absent = missing.reduce(0) { $0 &+ ($1.size ?? 0) }
        report(
            .planned(
                repository: listing.repository, commit: listing.commit, files: listing.files.count, bytes: total,
                bytesHere: total - absent))
        let old = manifest?.files.filter { entries[$0.path] == nil } ?? []
        let gone = addsOnly ? [] : old.filter { file in !listing.files.contains { $0.path == file.path } }
        let isChanged = !missing.isEmpty || !staged.isEmpty || !gone.isEmpty || manifest == nil
        if isChanged || manifest?.commit != listing.commit ?? "" || manifest?.revision != listing.revision
            || listing.files.contains(where: { file in entries[file.path] != manifest?.file(file.path) })
        {
            let staging = try folder.folder(FileName.staging, create: true)
            try checkRoom(for: missing, staging)
            try await fetch(missing, staging, maximumParallel, &entries)
            try Task.checkCancellation()
            try settle(staged + missing, gone: gone, entries, staging)
        }
        if try folder.status(FileName.staging) != nil { try folder.deleteTree(FileName.staging) }
        report(.completed(model: name, files: listing.files.count, bytes: total, changed: isChanged))
        guard let model = try store.model(named: name) else {
            throw HubError.notFound(model: name, root: store.root.path)
        }
        return model
    }

    private func place(of file: HubFile) async throws -> Place {
        let status = try folder.status(at: file.path)
        if let status, status.kind != .file {
            let path = folder.path + "/" + file.path
            if status.kind == .link { throw HubError.symlink(path: path) }
            throw HubError.file(path: path, operation: "write it", reason: "something that is no file stands there")
        }
        let size = file.size
        if let status, let entry = manifest?.file(file.path), entry.matches(file.hash, size: size ?? entry.size),
            status.size == entry.size
        {
            return .final(entry)
        }
        guard file.hash != nil, size != nil else { return .missing }
        let stagedPath = FileName.staging + "/" + Self.stagedPath(file, listing)
        if let staged = try folder.status(at: stagedPath), staged.kind == .file, staged.size == size {
            // It was checked and on the disk before it got this name, which says for which content.
            if case .sha256(let digits) = file.hash {
                return .staged(.init(path: file.path, size: staged.size, sha256: digits, checked: .sha256, gitBlob: nil))
            }
            // Small, and the manifest needs its SHA-256.
            if let entry = try await entry(file, at: stagedPath, size: staged.size) { return .staged(entry) }
        }
        if let status, status.size == size, let entry = try await entry(file, at: file.path, size: status.size) {
            return .final(entry)
        }
        return .missing
    }

    /// The manifest's entry for a file on the disk, if its content is the one that the hub names.
    private func entry(_ file: HubFile, at path: String, size: Int) async throws -> PullManifest.File? {
        report(.checking(file: file.path))
        guard let (parent, name) = try folder.parent(of: path, create: false) else { return nil }
        var gitSize: Int?
        if case .gitBlob? = file.hash { gitSize = size }
        var digest = Digest(gitSize: gitSize)
        guard try await parent.file(name, write: false).feed(&digest, count: size) == size else { return nil }
        let (sha256, gitBlob) = digest.finish()
        let entry = PullManifest.File(
            path: file.path, size: size, sha256: sha256, checked: gitSize == nil ? .sha256 : .git, gitBlob: gitBlob)
        return entry.matches(file.hash, size: size) ? entry : nil
    }

    private static func stagedPath(_ file: HubFile, _ listing: HubListing) -> String {
        let folders = file.path.split(separator: "/").dropLast().joined(separator: "/")
        let name = Download.stagedName(file, listing: listing)
        return folders.isEmpty ? name : folders + "/" + name
    }

    private func checkRoom(for files: [HubFile], _ staging: Folder) throws(HubError) {
        var needed = 0
        for file in files {
            let part = try staging.status(at: Self.stagedPath(file, listing) + ".part")
            needed += max((file.size ?? 0) - (part?.size ?? 0), 0)
        }
        if let available = staging.available(), needed > available {
            throw .diskFull(path: folder.path, needed: needed, available: available)
        }
    }

    /// Downloads files, a few at a time. The first error stops the others; what they have stays.
    private func fetch(
        _ files: [HubFile], _ staging: Folder, _ maximumParallel: Int, _ entries: inout [String: PullManifest.File]
    ) async throws {
        try await withThrowingTaskGroup(of: PullManifest.File.self) { group in
            var waiting = files[...]
            for _ in 0..<min(maximumParallel, files.count) {
                if let file = waiting.popFirst() { group.addTask { try await download(file, staging) } }
            }
            while let entry = try await group.next() {
                entries[entry.path] = entry
                if let file = waiting.popFirst() { group.addTask { try await download(file, staging) } }
            }
        }
    }

    private func download(_ file: HubFile, _ staging: Folder) async throws -> PullManifest.File {
        guard let (parent, name) = try staging.parent(of: Self.stagedPath(file, listing), create: true) else {
            throw HubError.unsafeFileName(file.path, reason: "the name is empty")
        }
        let download = Download(
            transport: transport, file: file, listing: listing, folder: parent, name: name, report: report)
        let entry = try await download.run()
        report(.finished(file: file.path, bytes: entry.size))
        return entry
    }

    /// Moves what is staged into place, deletes what the repository no longer has, and writes the manifest.
    private func settle(
        _ files: [HubFile], gone: [PullManifest.File], _ entries: [String: PullManifest.File], _ staging: Folder
    ) throws(HubError) {
        for file in files {
            guard let (from, stagedName) = try staging.parent(of: Self.stagedPath(file, listing), create: false),
                let (to, finalName) = try folder.parent(of: file.path, create: true)
            else { continue }
            try from.move(stagedName, to: to, finalName)
            to.synchronize()
        }
        for file in gone {
            if let (parent, last) = try folder.parent(of: file.path, create: false) { try parent.delete(last) }
        }
        let kept = manifest?.files.filter { entries[$0.path] == nil } ?? []
        let removed = Set(gone.map(\.path))
        let all = entries.values + kept.filter { !removed.contains($0.path) }
        let new = PullManifest(
            repository: listing.repository, revision: listing.revision, commit: listing.commit ?? "",
            endpoint: hub.endpoint.host, pulled: Date(), files: all.sorted { $0.path < $1.path })
        try new.write(to: folder, through: staging)
    }
}

extension PullManifest {
    func file(_ path: String) -> File? { files.first { $0.path == path } }
}
