import Foundation
import Testing
import WaletHub

@Suite struct EndpointTests {
    @Test(arguments: [
        "", "huggingface.co", "ftp://huggingface.co", "https://", "https:///x", "https://u:p@host", "https://u@host",
        "https://host?x=1", "https://host#x", "https://host/a/../b", "https://ho st", "https://host\r\nX: y",
        "file:///etc", "https://host:99999", "https://hôst",
    ])
    func refuses(_ text: String) {
        #expect(throws: HubError.self) { try Hub.Endpoint(text) }
    }

    @Test func aPasswordInTheAddressIsNotRepeated() {
        do throws(HubError) {
            _ = try Hub.Endpoint("https://user:secret@host/x")
            Issue.record("accepted")
        } catch {
            #expect(!error.description.contains("secret"))
            #expect(error.description.contains("HF_TOKEN"))
        }
    }

    @Test func knowsItsHost() throws {
        #expect(try Hub.Endpoint("https://mirror.example/hf/").text == "https://mirror.example/hf")
        #expect(try Hub.Endpoint("https://mirror.example:8443/hf").host == "mirror.example:8443")
        #expect(try Hub.Endpoint("http://[::1]:80").host.contains("::1"))
        #expect(Hub.Endpoint.huggingFace.host == "huggingface.co")
    }

    @Test func readsTheEnvironment() throws {
        let folder = try TemporaryFolder()
        try folder.write("token", Array("hf_file\n".utf8))
        let path = folder.url.appendingPathComponent("token").path
        let home = ["HOME": folder.url.path]
        #expect(try Hub(environment: home).token == nil)
        #expect(try Hub(environment: home).endpoint == .huggingFace)
        #expect(try Hub(environment: home).offline == nil)
        #expect(try Hub(environment: ["HF_TOKEN": " hf_a\n"]).token == Hub.Token("hf_a"))
        #expect(try Hub(environment: ["HF_TOKEN_PATH": path]).token == Hub.Token("hf_file"))
        #expect(try Hub(environment: ["HF_HOME": folder.url.path]).token == Hub.Token("hf_file"))
        #expect(try Hub(environment: ["HF_TOKEN": "hf_a", "HF_TOKEN_PATH": path]).token == Hub.Token("hf_a"))
        #expect(try Hub(environment: home.merging(["WALET_OFFLINE": "0"]) { $1 }).offline == nil)
        #expect(throws: HubError.badToken(source: "HF_TOKEN")) { try Hub(environment: ["HF_TOKEN": "hf a\r\nX: y"]) }
        #expect(throws: HubError.self) { try Hub(environment: ["HF_ENDPOINT": "nonsense"]) }
    }
}
