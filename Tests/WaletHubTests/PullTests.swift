import Foundation
import Synchronization
import Testing
import WaletHub
import WaletJSON

@Suite(.timeLimit(.minutes(20))) struct PullTests {
    static let weights = sampleBytes(300_000, seed: 7)
    static let files: [FakeHub.File] = [
        .init(path: ".gitattributes", content: Array("*.safetensors filter=lfs".utf8)),
        .init(path: "README.md", content: Array("# A model\n".utf8)),
        .init(path: "config.json", content: Array(#"{"model_type":"tiny"}"#.utf8)),
        .init(path: "model.safetensors", content: weights, isLFS: true),
        .init(path: "pytorch_model.bin", content: [1, 2, 3], isLFS: true),
        .init(path: "original/params.json", content: [0x7B, 0x7D]),
    ]
    static let model = "models/owner/model/"

    @Test func pullsWhatTheModelNeedsAndWritesAManifest() async throws {
        let (hub, folder, record) = (try await FakeHub(Self.files), try TemporaryFolder(), Record())
        let model = try await testHub(hub.address).pull(FakeHub.repository, into: folder.store) {
            record.add($0)
        }
        #expect(model.name == "owner/model")
        #expect(model.kind == .safetensors)
        #expect(model.revision == FakeHub.commit)
        #expect(model.fileCount == 3)
        #expect(!model.isIncomplete)
        #expect(try folder.read(Self.model + "model.safetensors") == Self.weights)
        #expect(try folder.read(Self.model + "config.json") == Array(#"{"model_type":"tiny"}"#.utf8))
        for absent in [".gitattributes", "pytorch_model.bin", "original/params.json", ".incomplete"] {
            #expect(!folder.exists(Self.model + absent))
        }
        let manifest = try JSONValue(parsing: try folder.read(Self.model + ".walet-manifest.json"))
        #expect(manifest["commit"]?.stringValue == FakeHub.commit)
        #expect(manifest["endpoint"]?.stringValue == "127.0.0.1:\(hub.server.port)")
        let entry = manifest["files"]?.arrayValue?.first { $0["path"] == "model.safetensors" }
        #expect(entry?["sha256"]?.stringValue == FakeHub.sha256(Self.weights))
        let verification = try await folder.store.verify("owner/model")
        #expect(verification.isIntact)
        #expect(verification.files.map(\.outcome) == [.ok, .ok, .ok])
        #expect(
            record.events.last
                == .completed(model: "owner/model", files: 3, bytes: model.bytes, changed: true))
        // Everything was asked for at one commit, not at a branch that may move.
        #expect(hub.fileRequests.allSatisfy { $0.target.contains("/resolve/\(FakeHub.commit)/") })
        await hub.stop()
    }

    @Test func aCompleteModelCostsOneRequest() async throws {
        let (hub, folder, record) = (try await FakeHub(Self.files), try TemporaryFolder(), Record())
        let client = try testHub(hub.address)
        try await client.pull(FakeHub.repository, into: folder.store)
        let before = hub.server.requests.count + hub.cdn.requests.count
        try await client.pull(FakeHub.repository, into: folder.store) { record.add($0) }
        #expect(hub.server.requests.count + hub.cdn.requests.count == before + 1)
        guard case .completed(_, _, _, changed: false)? = record.events.last else {
            Issue.record("\(record.events)")
            return
        }
        await hub.stop()
    }

    @Test func resumesByRangeAfterDroppedConnections() async throws {
        let (hub, folder, record) = (try await FakeHub(Self.files), try TemporaryFolder(), Record())
        hub.fail("model.safetensors", .dropAfter(100_000), .dropAfter(50_000), .dropAfter(0))
        try await testHub(hub.address, record: record).pull(FakeHub.repository, into: folder.store)
        #expect(try folder.read(Self.model + "model.safetensors") == Self.weights)
        // How much of what was sent arrives before the break is the kernel's affair.
        let starts = hub.cdn.requests.map { $0.start ?? 0 }
        #expect(starts.count == 4)
        #expect(starts == starts.sorted())
        #expect((1...150_000).contains(starts[2]))
        #expect(record.delays.count == 3)
        await hub.stop()
    }

    @Test func waitsAsLongAsTheServerAsks() async throws {
        let (hub, folder, record) = (try await FakeHub(Self.files), try TemporaryFolder(), Record())
        let limit = ("RateLimit", #""resolvers";r=0;t=55"#)
        hub.fail(
            "config.json", .status("429 Too Many Requests", [("Retry-After", "7")]), .status("503 Busy", []),
            .status("429 Too Many Requests", [limit]))
        hub.change {
            $0.listing = [TestServer.answer("503 Service Unavailable", [("Retry-After", "3")])]
        }
        try await testHub(hub.address, record: record).pull(FakeHub.repository, into: folder.store)
        #expect(record.delays.count == 4)
        #expect(record.delays[0] == .seconds(3))
        #expect(record.delays[1] == .seconds(7))
        #expect(record.delays[2] >= .seconds(1) && record.delays[2] <= .seconds(2))
        #expect(record.delays[3] == .seconds(55))
        #expect(try await folder.store.verify("owner/model").isIntact)
        await hub.stop()
    }

    @Test func givesUpOnAServerThatStaysBusy() async throws {
        let (hub, folder, record) = (try await FakeHub(Self.files), try TemporaryFolder(), Record())
        hub.change { $0.listing = Array(repeating: TestServer.answer("503 Busy"), count: 50) }
        let error = await hubError {
            try await testHub(hub.address, record: record).pull(FakeHub.repository, into: folder.store)
        }
        guard case .busy(_, status: 503, attempts: 6, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(record.delays.count == 5)
        // Each pause is up to twice the last.
        for (index, delay) in record.delays.enumerated() {
            let full = Duration.seconds(1 << index)
            #expect(delay >= full / 2 && delay <= full)
        }
        #expect(!folder.exists("models"))
        hub.change { $0.listing = [TestServer.answer("429 Too Many Requests", [("Retry-After", "86400")])] }
        let impatient = await hubError {
            try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        }
        guard case .busy(_, status: 429, attempts: 1, retryAfter: 86400)? = impatient else {
            Issue.record("\(String(describing: impatient))")
            return
        }
        await hub.stop()
    }

    @Test func startsAgainWhereTheServerIgnoresTheRange() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.fail("model.safetensors", .dropAfter(123_456), .ignoreRange)
        try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        #expect(try folder.read(Self.model + "model.safetensors") == Self.weights)
        await hub.stop()
    }

    @Test func startsAgainAfterAnotherRangeAnd416() async throws {
        for fault in [FakeHub.Fault.otherRange, .status("416 Range Not Satisfiable", [])] {
            let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
            hub.fail("model.safetensors", .dropAfter(5000), fault)
            try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
            #expect(try folder.read(Self.model + "model.safetensors") == Self.weights)
            #expect(hub.cdn.requests.count == 3)
            #expect(hub.cdn.requests.last?.start == nil)
            await hub.stop()
        }
    }

    @Test func wrongBytesAreFetchedOnceMoreAndThenNamed() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.change { $0.faults = ["model.safetensors": [.wrongBytes], "config.json": [.wrongBytes]] }
        try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        #expect(try await folder.store.verify("owner/model").isIntact)

        let other = try TemporaryFolder()
        hub.fail("model.safetensors", .wrongBytes, .wrongBytes, .wrongBytes)
        let error = await hubError {
            try await testHub(hub.address).pull(FakeHub.repository, into: other.store)
        }
        var wrong = Self.weights
        wrong[wrong.count - 1] ^= 0xFF
        #expect(
            error
                == .hashMismatch(
                    file: "model.safetensors", kind: "SHA-256", expected: FakeHub.sha256(Self.weights),
                    found: FakeHub.sha256(wrong)))
        #expect(error?.description.contains(FakeHub.sha256(wrong)) == true)
        // Nothing of it is left to be resumed, and nothing stands where a model would be looked for.
        #expect(!folder.exists(Self.model + ".incomplete"))
        let left = try FileManager.default.subpathsOfDirectory(
            atPath: other.url.appendingPathComponent(Self.model).path)
        #expect(!left.contains { $0.contains("model.safetensors") })
        #expect(!left.contains(".walet-manifest.json"))
        await hub.stop()
    }

    @Test func smallFilesAreCheckedByTheirGitHash() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.fail("config.json", .wrongBytes, .wrongBytes)
        let error = await hubError {
            try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        }
        guard case .hashMismatch(file: "config.json", kind: "Git SHA-1", let expected, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(expected == FakeHub.gitBlob(Array(#"{"model_type":"tiny"}"#.utf8)))
        await hub.stop()
    }

    @Test(arguments: [-10, 10]) func refusesAnotherLength(_ difference: Int) async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.fail("model.safetensors", .lengthOff(difference))
        let error = await hubError {
            try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        }
        #expect(
            error
                == .sizeMismatch(file: "model.safetensors", expected: 300_000, found: 300_000 + difference))
        await hub.stop()
    }

    @Test func aBodyTooLongIsRefusedAndOneTooShortResumed() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.fail("model.safetensors", .chunkedOff(5))
        let error = await hubError {
            try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        }
        guard case .sizeMismatch(file: "model.safetensors", expected: 300_000, let found)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(found > 300_000)
        hub.fail("model.safetensors", .chunkedOff(-5))
        try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        #expect(hub.cdn.requests.last?.start == 299_995)
        #expect(try folder.read(Self.model + "model.safetensors") == Self.weights)
        await hub.stop()
    }

    @Test func aServerThatHangsIsLeftAfterTheIdleTime() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.fail("model.safetensors", .hangAfter(200_000))
        var client = try testHub(hub.address)
        client.limits.idleSeconds = 1
        try await client.pull(FakeHub.repository, into: folder.store)
        // A slow machine may leave before all of the 200,000 bytes have come; it goes on from what it has.
        let resumed = try #require(hub.cdn.requests.compactMap(\.start).first)
        #expect((1...200_000).contains(resumed))
        #expect(try folder.read(Self.model + "model.safetensors") == Self.weights)
        await hub.stop()
    }

    @Test func aHubThatCannotBeReachedIsGivenUpSoon() async throws {
        let (server, folder, record) = (try await TestServer { _ in [] }, try TemporaryFolder(), Record())
        await server.stop()
        let error = await hubError {
            try await testHub(server.address, record: record).pull(FakeHub.repository, into: folder.store) {
                record.add($0)
            }
        }
        guard case .unreachable(_, attempts: 3, let reason)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.hasPrefix("127.0.0.1:\(server.port): Connection refused"))
        #expect(record.delays.count == 2)
        #expect(record.events.count == 2)
    }

    @Test func aPlainPullKeepsWhatAnIncludeBrought() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        let client = try testHub(hub.address)
        try await client.pull(FakeHub.repository, include: ["*"], exclude: ["*.bin"], into: folder.store)
        let model = try await client.pull(FakeHub.repository, into: folder.store)
        #expect(model.fileCount == 5)
        #expect(folder.exists(Self.model + "original/params.json"))
        #expect(try await folder.store.verify("owner/model").isIntact)
        await hub.stop()
    }

    @Test func theTokenStaysWithTheEndpoint() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        try await testHub(hub.address, token: "hf_secret").pull(FakeHub.repository, into: folder.store)
        #expect(!hub.server.requests.isEmpty)
        #expect(hub.server.requests.allSatisfy { $0.headers["authorization"] == "Bearer hf_secret" })
        #expect(!hub.cdn.requests.isEmpty)
        #expect(hub.cdn.requests.allSatisfy { $0.headers["authorization"] == nil })
        let manifest = String(decoding: try folder.read(Self.model + ".walet-manifest.json"), as: UTF8.self)
        #expect(!manifest.contains("hf_secret"))
        #expect(!"\(try testHub(hub.address, token: "hf_secret"))".contains("hf_secret"))
        var dumped = ""
        dump(try testHub(hub.address, token: "hf_secret"), to: &dumped)
        #expect(!dumped.contains("hf_secret"))
        await hub.stop()
    }

    @Test func theTokenDoesNotComeBackFromAForeignHost() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        let home = hub.server.port
        let foreign = try await TestServer { _ in
            TestServer.answer(
                "302 Found", [("Location", "http://127.0.0.1:\(home)/owner/model/resolve/x/README.md")])
        }
        hub.fail("config.json", .redirect("\(foreign.address)/elsewhere"))
        _ = await hubError {
            try await testHub(hub.address, token: "hf_secret").pull(
                FakeHub.repository, include: ["config.json"], into: folder.store)
        }
        #expect(foreign.requests.count == 1)
        #expect(foreign.requests.allSatisfy { $0.headers["authorization"] == nil })
        let back = hub.server.requests.filter { $0.target.hasSuffix("/resolve/x/README.md") }
        #expect(back.count == 1)
        #expect(back.allSatisfy { $0.headers["authorization"] == nil })
        await hub.stop()
        await foreign.stop()
    }

    @Test func aChallengeWithAForeignRealmIsNotAnswered() async throws {
        let foreign = try await TestServer { _ in TestServer.answer("200 OK") }
        let challenge = #"Bearer realm="\#(foreign.address)/token",service="hub""#
        let server = try await TestServer { _ in
            TestServer.answer(
                "401 Unauthorized", [("WWW-Authenticate", challenge), ("X-Error-Code", "GatedRepo")])
        }
        let folder = try TemporaryFolder()
        let error = await hubError {
            try await testHub(server.address).pull(FakeHub.repository, into: folder.store)
        }
        #expect(
            error
                == .accessDenied(
                    repository: FakeHub.repository, status: 401, tokenSent: false, gated: true, note: nil))
        #expect(error?.description.contains("HF_TOKEN") == true)
        #expect(foreign.requests.isEmpty)
        #expect(server.requests.count == 1)
        await server.stop()
        await foreign.stop()
    }

    @Test(arguments: [
        "http://192.0.2.1/file", "http://example.invalid/file", "ftp://127.0.0.1/file", "file:///etc/passwd",
        "http://user:pass@127.0.0.1/file", "//192.0.2.1/file", "javascript:alert(1)",
    ])
    func refusesRedirectsThatLeaveThisMachineInTheClear(_ location: String) async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.fail("config.json", .redirect(location))
        let error = await hubError {
            try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        }
        guard case .unsafeRedirect? = error else {
            Issue.record("\(location): \(String(describing: error))")
            return
        }
        await hub.stop()
    }

    @Test func redirectsAreFollowedOnlySoFar() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.change {
            $0.faults["config.json"] = Array(
                repeating: .redirect("/owner/model/resolve/main/config.json"), count: 100)
        }
        let error = await hubError {
            try await testHub(hub.address).pull(
                FakeHub.repository, include: ["config.json"], into: folder.store)
        }
        guard case .tooManyRedirects(_, limit: 10)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(hub.fileRequests.count == 11)
        await hub.stop()
    }

    @Test func anExpiredAddressOfTheCDNIsAskedForAgain() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.fail("model.safetensors", .dropAfter(1000), .status("403 Forbidden", []))
        try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        #expect(try folder.read(Self.model + "model.safetensors") == Self.weights)
        await hub.stop()
    }

    @Test func saysWhichThingIsNotThere() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        let client = try testHub(hub.address)
        let missing = await hubError { try await client.pull("owner/other", into: folder.store) }
        #expect(
            missing
                == .repositoryNotFound(repository: "owner/other", endpoint: "127.0.0.1:\(hub.server.port)"))
        hub.change {
            $0.listing = [TestServer.answer("404 Not Found", [("X-Error-Code", "RevisionNotFound")])]
        }
        let revision = await hubError {
            try await client.pull(FakeHub.repository, revision: "v9", into: folder.store)
        }
        #expect(revision == .revisionNotFound(repository: FakeHub.repository, revision: "v9"))
        hub.fail("config.json", .status("404 Not Found", []))
        let file = await hubError { try await client.pull(FakeHub.repository, into: folder.store) }
        #expect(file == .fileNotFound(repository: FakeHub.repository, file: "config.json"))
        hub.change { $0.listing = [TestServer.answer("403 Forbidden", [("X-Error-Code", "GatedRepo")])] }
        let gated = await hubError {
            try await testHub(hub.address, token: "hf_x").pull(FakeHub.repository, into: folder.store)
        }
        #expect(gated?.description.contains("accept the terms") == true)
        await hub.stop()
    }

    @Test func goesOnAfterBeingCancelled() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.fail("model.safetensors", .hangAfter(200_000))
        var client = try testHub(hub.address)
        client.limits.idleSeconds = 30
        let record = Record()
        let pull = Task { [client] in
            try await client.pull(FakeHub.repository, into: folder.store) { record.add($0) }
        }
        let part =
            Self.model + ".incomplete/model.safetensors.\(FakeHub.sha256(Self.weights).prefix(16)).part"
        let deadline = ContinuousClock.now + .seconds(10)
        while (try? folder.read(part).count) != 200_000, ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(5))
        }
        let start = ContinuousClock.now
        pull.cancel()
        await #expect(throws: CancellationError.self) { try await pull.value }
        #expect(ContinuousClock.now - start < .seconds(2))
        #expect(try folder.store.list().first?.isIncomplete == true)
        #expect(!folder.exists(Self.model + ".walet-manifest.json"))
        try await client.pull(FakeHub.repository, into: folder.store)
        #expect(hub.cdn.requests.last?.start == 200_000)
        #expect(try await folder.store.verify("owner/model").isIntact)
        await hub.stop()
    }

    @Test func aPartThatAKillLeftBehindIsChecked() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        let digits = FakeHub.sha256(Self.weights).prefix(16)
        // As after a loss of power: the length is right, the bytes are not.
        try folder.write(
            Self.model + ".incomplete/model.safetensors.\(digits).part", [UInt8](repeating: 0, count: 300_000)
        )
        // A part longer than the file, and one of another content.
        let git = FakeHub.gitBlob(Array(#"{"model_type":"tiny"}"#.utf8)).prefix(16)
        try folder.write(
            Self.model + ".incomplete/config.json.\(git).part", [UInt8](repeating: 1, count: 500))
        try folder.write(Self.model + ".incomplete/README.md.0000000000000000.part", [1])
        try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        #expect(try await folder.store.verify("owner/model").isIntact)
        #expect(!folder.exists(Self.model + ".incomplete"))
        await hub.stop()
    }

    @Test func filesThatAreThereAlreadyAreHashedAndNotFetched() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        try folder.write(Self.model + "model.safetensors", Self.weights)
        try folder.write(Self.model + "README.md", Array("# Another".utf8) + [10])
        try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        #expect(hub.cdn.requests.isEmpty)
        #expect(try folder.read(Self.model + "README.md") == Array("# A model\n".utf8))
        #expect(try await folder.store.verify("owner/model").isIntact)
        await hub.stop()
    }

    @Test func fetchesSeveralFilesAtOnce() async throws {
        let shards = (1...8).map { index in
            FakeHub.File(
                path: "model-0000\(index)-of-00008.safetensors",
                content: sampleBytes(1000, seed: UInt64(index)),
                isLFS: true)
        }
        let (hub, folder) = (try await FakeHub(shards), try TemporaryFolder())
        hub.change { state in
            for shard in shards { state.faults[shard.path] = [.slow(0.15)] }
        }
        try await testHub(hub.address).pull(FakeHub.repository, into: folder.store, maximumParallel: 4)
        #expect(hub.cdn.mostAtOnce == 4)
        #expect(hub.cdn.requests.count == 8)
        await hub.stop()
    }

    @Test func worksBehindAPathOfAMirrorThatTellsNoHashes() async throws {
        let (hub, folder) = (try await FakeHub(Self.files, prefix: "/api/hf%20mirror"), try TemporaryFolder())
        hub.change { $0.tellsHashes = false }
        let model = try await testHub(hub.address + "/").pull(
            FakeHub.repository, revision: "refs/pr/1", into: folder.store)
        #expect(model.fileCount == 3)
        #expect(hub.server.requests.allSatisfy { $0.target.hasPrefix("/api/hf%20mirror/") })
        #expect(hub.server.requests[0].target.hasSuffix("/revision/refs%2Fpr%2F1?blobs=true"))
        // Size and hash came from the heads of the files, so that a lie is still found.
        let other = try TemporaryFolder()
        hub.fail("model.safetensors", .wrongBytes, .wrongBytes)
        let error = await hubError {
            try await testHub(hub.address).pull(FakeHub.repository, into: other.store)
        }
        guard case .hashMismatch(file: "model.safetensors", kind: "SHA-256", _, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        await hub.stop()
    }

    @Test func offlineRefusesBeforeAnySocket() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        for (setting, environment, flag) in [
            ("--offline", ["HF_ENDPOINT": hub.address], true),
            ("WALET_OFFLINE", ["HF_ENDPOINT": hub.address, "WALET_OFFLINE": "1"], false),
            ("HF_HUB_OFFLINE", ["HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "true"], false),
        ] {
            let client = try Hub(environment: environment, offline: flag)
            let error = await hubError { try await client.pull(FakeHub.repository, into: folder.store) }
            #expect(error == .offline(setting: setting))
            let listing = await hubError { _ = try await client.files(of: FakeHub.repository) }
            #expect(listing == .offline(setting: setting))
        }
        #expect(hub.server.requests.isEmpty)
        #expect(!folder.exists("models"))
        await hub.stop()
    }

    @Test func aNewCommitReplacesWhatChangedAndDeletesWhatIsGone() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        let client = try testHub(hub.address)
        try await client.pull(FakeHub.repository, into: folder.store)
        try folder.write(Self.model + "notes.txt", [1])
        let commit = String(repeating: "f", count: 40)
        hub.change { state in
            state.commit = commit
            state.files.removeAll { $0.path == "README.md" }
            state.files[1].content = Array(#"{"model_type":"other"}"#.utf8)
        }
        let fetched = hub.cdn.requests.count
        let model = try await client.pull(FakeHub.repository, into: folder.store)
        #expect(model.revision == commit)
        #expect(!folder.exists(Self.model + "README.md"))
        #expect(folder.exists(Self.model + "notes.txt"))
        #expect(try folder.read(Self.model + "config.json") == Array(#"{"model_type":"other"}"#.utf8))
        #expect(hub.cdn.requests.count == fetched)
        let verification = try await folder.store.verify("owner/model")
        #expect(verification.isIntact)
        #expect(verification.files.first { $0.path == "notes.txt" }?.outcome == .extra)
        await hub.stop()
    }

    @Test func includeAddsAQuantizationBesideAnother() async throws {
        let files: [FakeHub.File] = [
            .init(path: "README.md", content: [1]),
            .init(path: "tiny-Q4_K_M.gguf", content: sampleBytes(100, seed: 1), isLFS: true),
            .init(path: "tiny-Q8_0.gguf", content: sampleBytes(200, seed: 2), isLFS: true),
            .init(path: "mmproj-tiny.gguf", content: sampleBytes(50, seed: 3), isLFS: true),
        ]
        let (hub, folder) = (try await FakeHub(files), try TemporaryFolder())
        let client = try testHub(hub.address)
        let error = await hubError { try await client.pull(FakeHub.repository, into: folder.store) }
        guard case .choiceNeeded(_, let choices)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(choices.map(\.name) == ["tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"])
        #expect(error?.description.contains("--include") == true)
        try await client.pull(FakeHub.repository, include: ["*Q4_K_M*"], into: folder.store)
        #expect(try folder.store.resolve("owner/model")?.lastPathComponent == "tiny-Q4_K_M.gguf")
        let model = try await client.pull(FakeHub.repository, include: ["*Q8_0*"], into: folder.store)
        #expect(model.kind == .gguf)
        #expect(model.fileCount == 2)
        #expect(
            throws: HubError.severalModels(
                name: "owner/model", choices: ["tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"])
        ) {
            try folder.store.resolve("owner/model")
        }
        #expect(try folder.store.resolve("owner/model/tiny-Q8_0.gguf") != nil)
        #expect(try await folder.store.verify("owner/model").files.count == 2)
        let none = await hubError {
            try await client.pull(FakeHub.repository, include: ["*Q2*"], into: folder.store)
        }
        guard case .nothingSelected? = none else {
            Issue.record("\(String(describing: none))")
            return
        }
        await hub.stop()
    }

    @Test func writesThroughNoSymbolicLink() async throws {
        for link in [
            "models/owner", "models/owner/model", "models/owner/model/config.json",
            "models/owner/model/.incomplete",
        ] {
            let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
            let outside = folder.url.appendingPathComponent("outside")
            try FileManager.default.createDirectory(at: outside, withIntermediateDirectories: true)
            let place = folder.url.appendingPathComponent(link)
            try FileManager.default.createDirectory(
                at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(at: place, withDestinationURL: outside)
            let error = await hubError {
                try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
            }
            #expect(error == .symlink(path: place.path))
            #expect(try FileManager.default.contentsOfDirectory(atPath: outside.path).isEmpty)
            await hub.stop()
        }
    }

    @Test func twoPullsOfOneModelDoNotMix() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.fail("model.safetensors", .slow(0.3))
        let client = try testHub(hub.address)
        async let first = hubError { try await client.pull(FakeHub.repository, into: folder.store) }
        async let second = hubError { try await client.pull(FakeHub.repository, into: folder.store) }
        let errors = await [first, second]
        #expect(errors.contains(nil))
        #expect(errors.contains(.locked(model: "owner/model")))
        #expect(try await folder.store.verify("owner/model").isIntact)
        await hub.stop()
    }

    @Test func anotherRepositoryDoesNotMoveIntoAModelsFolder() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        let client = try testHub(hub.address)
        let model = try await client.pull(FakeHub.repository, named: "mine", into: folder.store)
        #expect(model.name == "mine")
        #expect(model.repository == "owner/model")
        try folder.write(
            "models/mine/.walet-manifest.json",
            Array(
                String(decoding: try folder.read("models/mine/.walet-manifest.json"), as: UTF8.self)
                    .replacingOccurrences(of: "owner/model", with: "else/where").utf8))
        let error = await hubError {
            try await client.pull(FakeHub.repository, named: "mine", into: folder.store)
        }
        guard case .notAModel(name: "mine", _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        await hub.stop()
    }

    @Test func aDiskTooSmallIsToldBeforeTheFirstByte() async throws {
        let (hub, folder) = (try await FakeHub(Self.files), try TemporaryFolder())
        hub.change { state in
            var listing = FakeHub.listing(state.files, commit: state.commit, tellsHashes: true).text()
            listing = listing.replacingOccurrences(of: "300000", with: "10000000000000")
            state.json = try? JSONValue(parsing: listing)
        }
        let error = await hubError {
            try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        }
        guard case .diskFull(_, let needed, let available?)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(needed > available)
        #expect(hub.fileRequests.isEmpty)
        await hub.stop()
    }
}
