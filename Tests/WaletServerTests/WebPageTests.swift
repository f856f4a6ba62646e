import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing

@testable import WaletServer

@Suite("Web page")
struct WebPageTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../Sources/CWaletServerFiles/Web").standardizedFileURL

    private static func name(_ file: WebPage.File) -> String {
        switch file.path {
        case "/": "index.html"
        case "/operator": "operator.html"
        default: String(file.path.dropFirst("/web/".count))
        }
    }

    private func withPage(_ body: @escaping @Sendable (any TestClientProtocol) async throws -> Void) async throws {
        let router = Router(context: BasicRequestContext.self, options: .autoGenerateHeadEndpoints)
        for file in WebPage.files {
            router.get(RouterPath(file.path)) { request, _ in file.response(to: request) }
        }
        try await Application(router: router).test(.router, body)
    }

    @Test("Every file in the folder is in the binary, as it is in the folder")
    func filesAreEmbedded() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
            .filter { !$0.hasSuffix(".swift") && !$0.hasPrefix(".") }
        #expect(Set(names) == Set(WebPage.files.map(Self.name)))
        for file in WebPage.files {
            let content = try Data(contentsOf: Self.folder.appending(path: Self.name(file)))
            #expect(Array(file.content.readableBytesView) == Array(content), "\(file.path)")
        }
    }

    @Test(
        "Each file is sent whole with its type, its tag and the headers that bind the browser",
        arguments: WebPage.files)
    func filesAreSent(file: WebPage.File) async throws {
        try await withPage { client in
            try await client.execute(uri: file.path, method: .get) { response in
                #expect(response.status == .ok)
                #expect(response.body == file.content)
                #expect(response.headers[.contentType] == file.contentType)
                #expect(response.headers[.eTag] == file.tag)
                #expect(response.headers[.cacheControl] == "no-cache")
                #expect(response.headers[.xContentTypeOptions] == "nosniff")
                #expect(response.headers[HTTPField.Name("Referrer-Policy")!] == "no-referrer")
                #expect(response.headers[.contentSecurityPolicy] == WebPage.contentSecurityPolicy)
            }
        }
    }

    @Test("The policy allows nothing that is not this server's")
    func policyIsStrict() {
        let policy = WebPage.contentSecurityPolicy
        #expect(policy.hasPrefix("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"))
        for word in ["unsafe", "*", "http", "blob:"] { #expect(!policy.contains(word)) }
        for part in ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
            #expect(policy.contains(part))
        }
    }

    @Test(
        "A client that has a file gets 304 without it",
        arguments: ["TAG", "W/TAG", "*", "\"other\", TAG", "\"a\" ,\t W/TAG ,\"b\""])
    func knownFilesAreNotSent(condition: String) async throws {
        let file = try #require(WebPage.files.first { $0.path == "/web/app.css" })
        try await withPage { client in
            let headers: HTTPFields = [.ifNoneMatch: condition.replacing("TAG", with: file.tag)]
            try await client.execute(uri: file.path, method: .get, headers: headers) { response in
                #expect(response.status == .notModified)
                #expect(response.body.readableBytes == 0)
                #expect(response.headers[.eTag] == file.tag)
                #expect(response.headers[.contentSecurityPolicy] == WebPage.contentSecurityPolicy)
            }
        }
    }

    @Test("A client that has another version gets this one", arguments: ["\"\"", "TA", "W/\"x\"", ",, ,", "\"*\""])
    func otherVersionsAreSent(condition: String) async throws {
        try await withPage { client in
            try await client.execute(uri: "/", method: .get, headers: [.ifNoneMatch: condition]) { response in
                #expect(response.status == .ok)
                #expect(response.body.readableBytes > 0)
            }
        }
    }

    @Test("HEAD has the headers of GET and no content")
    func headIsAnswered() async throws {
        try await withPage { client in
            try await client.execute(uri: "/", method: .head) { response in
                #expect(response.status == .ok)
                #expect(response.body.readableBytes == 0)
                #expect(response.headers[.eTag] == WebPage.files[0].tag)
            }
        }
    }

    @Test(
        "Other files are not served",
        arguments: ["/web/", "/web/WebPage.swift", "/web/../WebPage.swift", "/web/%2e%2e/x", "/index.html"])
    func otherFilesAreNotServed(path: String) async throws {
        try await withPage { client in
            try await client.execute(uri: path, method: .get) { #expect($0.status == .notFound) }
        }
    }

    @Test("Each file has a tag of its own")
    func tagsDiffer() {
        #expect(Set(WebPage.files.map(\.tag)).count == WebPage.files.count)
        #expect(WebPage.files.allSatisfy { $0.tag.count == 26 && $0.tag.hasPrefix("\"") && $0.tag.hasSuffix("\"") })
    }

    @Test("The pages ask for no file that is not there")
    func referencesAreServed() throws {
        let served = Set(WebPage.files.map(\.path))
        for file in WebPage.files where file.contentType.hasPrefix("text/") {
            let text = String(buffer: file.content)
            for match in text.matches(of: /(?:src|href)="(web\/[^"]+)"/) {
                #expect(served.contains("/" + match.1), "\(file.path) asks for \(match.1)")
            }
            for match in text.matches(of: /from '\.\/([^']+)'/) {
                #expect(served.contains("/web/" + match.1), "\(file.path) imports \(match.1)")
            }
        }
    }
}
