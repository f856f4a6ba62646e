import Foundation
import Testing

@testable import WaletServer

@Suite struct UpstreamConfigurationTests {
    private static func address(_ text: String) throws(ConfigurationError) -> UpstreamAddress {
        try UpstreamAddress(parsing: text, place: "--model")
    }

    @Test func anAddressHasABaseARootAndMayNameAModel() throws {
        let plain = try Self.address("http://gpu-1:8000/v1")
        #expect(plain.base == "http://gpu-1:8000/v1" && plain.root == "http://gpu-1:8000")
        #expect(plain.remoteModel == nil && plain.isReadable)
        let named = try Self.address("https://Host.example/api/v1/#deepseek-ai/DeepSeek-R1")
        #expect(named.base == "https://Host.example/api/v1" && named.root == "https://Host.example/api")
        #expect(named.remoteModel == "deepseek-ai/DeepSeek-R1" && !named.isReadable)
        #expect(try Self.address("http://127.0.0.1:1").base == "http://127.0.0.1:1/v1")
        #expect(try !Self.address("http://[::1]:8000/v1").isReadable)
        #expect(try Self.address("http://[::1]:8000/other").root == "http://[::1]:8000/other")
    }

    @Test(arguments: [
        "http://", "http:///v1", "ftp://host/v1", "http://user:secret@host/v1", "http://user@host/v1",
        "http://host/v1?key=a", "http://host:0/v1", "http://host:70000/v1", "http://ho st/v1", "http://host/v1#",
        "http://host/\u{0}", "http://host/v1#a\nb", "http://hö.example/v1", "http://host/%2e%2e",
    ])
    func otherAddressesAreRefused(text: String) {
        do {
            _ = try Self.address(text)
            Issue.record("expected an error for \(text)")
        } catch {
            #expect(error.place == "--model")
            #expect(!error.reason.contains("secret"))
        }
    }

    @Test func aModelOfAnotherServerNeedsAName() throws {
        let model = try ModelSpecification(parsing: "big=http://gpu:8000/v1#a/b=c", place: "--model")
        #expect(model.name == "big" && model.upstream?.remoteModel == "a/b=c")
        #expect(try ModelSpecification(parsing: "big=/models/http", place: "--model").upstream == nil)
        for text in ["http://gpu:8000/v1", "https://gpu/v1?a=b", "big=http://gpu:8000/v1?a", "big=http://"] {
            #expect(throws: ConfigurationError.self) { try ModelSpecification(parsing: text, place: "--model") }
        }
    }

    private static func file(_ text: String) throws -> String {
        let url = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString).key")
        try Data(text.utf8).write(to: url)
        return url.path
    }

    @Test func keysComeFromFilesAndVariables() throws {
        let file = try Self.file("  sk-1\n")
        defer { try? FileManager.default.removeItem(atPath: file) }
        let configuration = try ServerConfiguration(
            flags: [
                "model": "a=http://x/v1,b=http://y/v1", "upstream_key": "a=\(file),b=env:OTHER_KEY",
            ], environment: ["OTHER_KEY": "sk-2"])
        #expect(configuration.upstreamKeys.mapValues(\.secret) == ["a": "sk-1", "b": "sk-2"])
        #expect("\(configuration.upstreamKeys)".contains("sk-") == false)
        try configuration.checkUpstreams()
    }

    @Test func keysThatAreNoneAreRefusedWithoutBeingTold() throws {
        for content in [
            "", "\n", "sk-secret two", "sk-secret\r\nX-Other: 1", "sk-sécret", String(repeating: "s", count: 5000),
        ] {
            let file = try Self.file(content)
            defer { try? FileManager.default.removeItem(atPath: file) }
            do {
                _ = try ServerConfiguration(flags: ["upstream_key": "a=\(file)"])
                Issue.record("expected an error for \(content)")
            } catch {
                #expect(!error.description.contains("sk-"))
            }
        }
        for list in ["sk-secret", "=sk-secret", "sk-secret=", "a=/no/such/file", "a=env:NO_SUCH", "a=env:K,a=env:K"] {
            do {
                _ = try ServerConfiguration(flags: ["upstream_key": list], environment: ["K": "k"])
                Issue.record("expected an error for \(list)")
            } catch {
                #expect(!error.description.contains("sk-secret"))
                #expect(error.place.hasPrefix("--upstream-key"))
            }
        }
    }

    @Test func aKeyForNobodyIsAnError() throws {
        let configuration = try ServerConfiguration(
            flags: ["model": "a=http://x/v1,b=/models/b", "upstream_key": "b=env:K"], environment: ["K": "k"])
        #expect(throws: ConfigurationError.self) { try configuration.checkUpstreams() }
    }

    @Test func aSovereignServerHasNoUpstreams() throws {
        let configuration = try ServerConfiguration(
            flags: ["model": "a=/models/a,big=http://gpu:8000/v1", "sovereign": "true"])
        do {
            try configuration.checkUpstreams()
            Issue.record("expected an error")
        } catch {
            #expect(error.place == "--sovereign")
            #expect(error.reason.contains("'big'") && error.reason.contains("http://gpu:8000/v1"))
        }
        try ServerConfiguration(flags: ["model": "a=/models/a", "sovereign": "true"]).checkUpstreams()
    }
}
