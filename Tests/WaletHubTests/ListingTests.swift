import Foundation
import Testing
import WaletHub
import WaletJSON

/// A hub that lists what no honest one would.
@Suite(.timeLimit(.minutes(20))) struct ListingTests {
    /// Pulls from a hub whose list of files is `json`, and makes sure that nothing was written or asked for after it.
    private func error(listing steps: [TestServer.Step], include: [String] = []) async throws -> HubError? {
        let hub = try await FakeHub([])
        hub.change { $0.listing = [steps] }
        let folder = try TemporaryFolder()
        let error = await hubError {
            try await testHub(hub.address).pull(FakeHub.repository, include: include, into: folder.store)
        }
        #expect(hub.server.requests.count <= 1)
        #expect(hub.cdn.requests.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path).isEmpty)
        await hub.stop()
        return error
    }

    private func error(files: [JSONValue], include: [String] = []) async throws -> HubError? {
        let json: JSONValue = ["sha": .string(FakeHub.commit), "siblings": .array(files)]
        return try await error(
            listing: TestServer.answer("200 OK", [], Array(json.text().utf8)), include: include)
    }

    private func file(_ name: String, _ size: JSONValue = 3) -> JSONValue {
        ["rfilename": .string(name), "size": size, "blobId": "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"]
    }

    @Test(arguments: [
        "../x.safetensors", "a/../../x.safetensors", "/etc/x.safetensors", "//x.safetensors",
        "a//b.safetensors",
        "./x.safetensors", "..", ".", "", "x\u{0}.safetensors", "a/", "..\\x.safetensors",
        "a\\..\\..\\x.safetensors",
        "C:\\x.safetensors", "%2e%2e/x.safetensors", "%2E%2e%2fx.safetensors", "..%2fx.safetensors",
        "%5c..%5cx.safetensors", "x%00.safetensors", "%252e%252e/x.safetensors", "x\n.safetensors",
        "x\u{1B}[2J.safetensors", "x\u{202E}.safetensors", "x\u{7F}.safetensors", "x\u{85}.safetensors",
        ".walet-manifest.json", ".WALET-Manifest.JSON", ".incomplete/x.safetensors", ".Incomplete",
        String(repeating: "a", count: 250) + ".safetensors",
        String(repeating: "a/", count: 20) + "x.safetensors",
        String(repeating: "abcdefgh/", count: 130) + "x.safetensors",
    ])
    func refusesTheName(_ name: String) async throws {
        let error = try await error(files: [file("config.json"), file(name)], include: ["*", ""])
        guard case .unsafeFileName(name, let reason)? = error else {
            Issue.record("\(name.debugDescription): \(String(describing: error))")
            return
        }
        #expect(!reason.isEmpty)
        // The message can be shown on a terminal.
        #expect(error?.description.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x202E } == false)
    }

    @Test func oddButHonestNamesAreTaken() async throws {
        let names = [
            "größe 1.json", "a b+c&d=e#f?.json", "deep/er/x..y.json", "...json", "100%.json", "模型.json",
            "~/x.json",
        ]
        let hub = try await FakeHub(
            names.enumerated().map { .init(path: $1, content: [UInt8($0)], isLFS: $0 % 2 == 0) })
        let folder = try TemporaryFolder()
        let model = try await testHub(hub.address).pull(
            FakeHub.repository, include: ["*"], into: folder.store)
        #expect(model.fileCount == names.count)
        for (index, name) in names.enumerated() {
            #expect(try folder.read("models/owner/model/" + name) == [UInt8(index)])
        }
        #expect(try await folder.store.verify("owner/model").isIntact)
        await hub.stop()
    }

    @Test func refusesNamesThatAreOneOnDisk() async throws {
        let pairs = [
            ("a.json", "A.json"), ("a", "a/b.json"), ("A/b.json", "a"),
            ("caf\u{E9}.json", "cafe\u{301}.json"),
        ]
        for (first, second) in pairs {
            let error = try await error(files: [file(first), file(second)], include: ["*"])
            guard case .unsafeFileName? = error else {
                Issue.record("\(first), \(second): \(String(describing: error))")
                continue
            }
        }
        let twice = try await error(files: [file("a.json"), file("a.json")], include: ["*"])
        guard case .badAnswer(_, let reason)? = twice else {
            Issue.record("\(String(describing: twice))")
            return
        }
        #expect(reason.contains("twice"))
    }

    @Test(arguments: [
        #"{"rfilename":"a.json","size":-1}"#, #"{"rfilename":"a.json","size":1e300}"#,
        #"{"rfilename":"a.json","size":9223372036854775807}"#,
        #"{"rfilename":"a.json","size":17592186044417}"#, #"{"rfilename":"a.json","size":1.5}"#,
        #"{"rfilename":"a.json","size":"3"}"#,
        #"{"rfilename":"a.json","size":3,"lfs":{"size":4,"sha256":null}}"#,
        #"{"rfilename":"a.json","size":3,"lfs":{"size":-4}}"#,
        #"{"rfilename":"a.json","size":3,"blobId":"xyz"}"#,
        #"{"rfilename":"a.json","size":3,"lfs":{"sha256":"../../../../etc/passwd"}}"#,
        #"{"rfilename":"a.json","size":3,"blobId":7}"#, #"{"size":3}"#, #"{"rfilename":7}"#, "7", "null",
        "[]",
    ])
    func refusesTheEntry(_ entry: String) async throws {
        let text = #"{"sha":"\#(FakeHub.commit)","siblings":[\#(entry)]}"#
        let error = try await error(
            listing: TestServer.answer("200 OK", [], Array(text.utf8)), include: ["*"])
        guard case .badAnswer? = error else {
            Issue.record("\(entry): \(String(describing: error))")
            return
        }
    }

    @Test(arguments: [
        "", "[]", "{}", "null", "<html>", #"{"siblings":{}}"#, #"{"siblings":[],"siblings":[]}"#,
        #"{"sha":"../..","siblings":[]}"#, #"{"sha":"main","siblings":[]}"#,
        #"{"siblings":[{"rfilename":"\ud800"}]}"#,
        String(repeating: "[", count: 100_000),
    ])
    func refusesTheAnswer(_ text: String) async throws {
        let error = try await error(listing: TestServer.answer("200 OK", [], Array(text.utf8)))
        guard case .badAnswer? = error else {
            Issue.record("\(text.prefix(80)): \(String(describing: error))")
            return
        }
    }

    @Test func anAnswerOfAHundredMegabytesIsNotRead() async throws {
        let space = [UInt8](repeating: 0x20, count: 1 << 20)
        let told: [TestServer.Step] = [
            .bytes(TestServer.head("200 OK", [("Content-Length", "\(100 << 20)")])), .repeating(space, 100),
        ]
        #expect(
            try await error(listing: told)
                == .answerTooLarge(what: "the list of files of owner/model", limit: 32 << 20))
        let chunk = Array("100000\r\n".utf8) + space + Array("\r\n".utf8)
        let endless: [TestServer.Step] = [
            .bytes(TestServer.head("200 OK", [("Transfer-Encoding", "chunked")])), .repeating(chunk, 100_000),
        ]
        #expect(
            try await error(listing: endless)
                == .answerTooLarge(what: "the list of files of owner/model", limit: 32 << 20))
    }

    @Test func everyTruncationOfAListIsAnError() async throws {
        let json = FakeHub.listing(
            [.init(path: "config.json", content: [1])], commit: FakeHub.commit, tellsHashes: true)
        let bytes = Array(json.text().utf8)
        let hub = try await FakeHub([])
        let folder = try TemporaryFolder()
        let client = try testHub(hub.address)
        hub.change { state in
            state.listing = (0..<bytes.count).map { TestServer.answer("200 OK", [], Array(bytes[..<$0])) }
        }
        for count in 0..<bytes.count {
            let error = await hubError { try await client.pull(FakeHub.repository, into: folder.store) }
            guard case .badAnswer? = error else {
                Issue.record("\(count) bytes: \(String(describing: error))")
                return
            }
        }
        await hub.stop()
    }

    @Test(arguments: [
        "", "..", "../x", "a/../b", "/a", "a/", "a//b", "a/b/c", "a\u{0}/b", "a\\b", "%2e%2e/x", "a b/c",
        "-a/b",
        "a/.hidden", "a/b.", "a/b--c", "größe/x", "owner/name?x=1", "owner/name#x", "owner/na\nme",
        String(repeating: "a", count: 97) + "/b",
    ])
    func refusesTheRepositoryBeforeAnySocket(_ name: String) async throws {
        let hub = try await FakeHub([])
        let folder = try TemporaryFolder()
        let error = await hubError { try await testHub(hub.address).pull(name, into: folder.store) }
        guard case .badName(name, _)? = error else {
            Issue.record("\(name.debugDescription): \(String(describing: error))")
            return
        }
        #expect(hub.server.requests.isEmpty)
        await hub.stop()
    }

    @Test(arguments: ["", "..", "a..b", ".", "-x", "/x", "a b", "a\u{0}", "a\n", "a\\b", "%2e%2e"])
    func refusesTheRevision(_ revision: String) async throws {
        let folder = try TemporaryFolder()
        let error = await hubError {
            try await testHub("http://127.0.0.1:1").pull(
                FakeHub.repository, revision: revision, into: folder.store)
        }
        #expect(error == .badRevision(revision))
    }

    @Test func theStandardChoiceLeavesSecondCopiesOut() async throws {
        let names = [
            ".gitattributes", "LICENSE", "README.md", "additional_chat_templates/tools.jinja",
            "chat_template.jinja",
            "config.json", "consolidated-00001-of-00002.safetensors", "generation_config.json", "merges.txt",
            "metal/model.bin", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
            "model.onnx", "model.safetensors.index.json", "modeling_tiny.py", "onnx/config.json",
            "original/model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5",
            "flax_model.msgpack", "tiktoken.model", "tokenizer.json", "weights.pth",
        ]
        let hub = try await FakeHub(names.map { .init(path: $0, content: Array($0.utf8)) })
        let folder = try TemporaryFolder()
        try await testHub(hub.address).pull(FakeHub.repository, exclude: ["merges*"], into: folder.store)
        let found = try await folder.store.verify("owner/model").files.map(\.path)
        #expect(
            found == [
                "LICENSE", "README.md", "additional_chat_templates/tools.jinja", "chat_template.jinja",
                "config.json",
                "generation_config.json", "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json", "tiktoken.model", "tokenizer.json",
            ])
        await hub.stop()
    }

    @Test func oneGGUFInPartsIsTakenUnasked() async throws {
        let names = [
            "Q4/tiny-00001-of-00003.gguf", "Q4/tiny-00002-of-00003.gguf", "Q4/tiny-00003-of-00003.gguf",
            "config.json",
        ]
        let hub = try await FakeHub(names.map { .init(path: $0, content: Array($0.utf8), isLFS: true) })
        let folder = try TemporaryFolder()
        let model = try await testHub(hub.address).pull(FakeHub.repository, into: folder.store)
        #expect(model.fileCount == 4)
        #expect(
            try folder.store.resolve("owner/model")?.path.hasSuffix("Q4/tiny-00001-of-00003.gguf") == true)
        #expect(try folder.store.list().map(\.name) == ["owner/model"])
        await hub.stop()
    }

    @Test func aRepositoryOfPyTorchFilesAloneSaysSo() async throws {
        let error = try await error(files: [file("config.json"), file("pytorch_model.bin")])
        #expect(error == .noWeights(repository: FakeHub.repository, found: ["pytorch_model.bin"]))
    }

    @Test(arguments: [
        ("*.gguf", "a/b.gguf", true), ("*Q4_K_M*", "tiny-Q4_K_M.gguf", true),
        ("*Q4_K_M*", "tiny-q4_k_m.gguf", false),
        ("folder/", "folder/x", true), ("a?c", "abc", true), ("a?c", "ac", false), ("[a-c]x", "bx", true),
        ("[!a-c]x", "bx", false), ("[]]x", "]x", true), ("[ab", "[ab", true), ("", "", true),
        ("", "x", false),
        ("a*b*c", "a-b-b-c", true), ("a*b*c", "a-b-b-d", false), ("**", "x/y", true), ("x", "xx", false),
    ])
    func patternsMatchAsFnmatchDoes(_ pattern: String, _ name: String, _ expected: Bool) {
        #expect(Glob(pattern).matches(name) == expected)
    }

    @Test func aPatternMadeToBeSlowIsNot() {
        let pattern = Glob(String(repeating: "a*", count: 200) + "b")
        #expect(!pattern.matches(String(repeating: "a", count: 1000)))
    }
}
