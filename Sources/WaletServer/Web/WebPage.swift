// The web page: its files lie in the binary, so that the executable works wherever it is copied.

import Crypto
import HTTPTypes
import Hummingbird
import NIOCore

/// The chat page, the operator's page and what they load.
///
/// The pages hold nothing secret, so everybody may fetch them; the figures and answers on them come from routes that
/// ask for a key. They load nothing from elsewhere, and their policy makes the browser refuse to.
public struct WebPage: RouteProvider {
    /// What a browser may do with the pages. No script, style or address but this server's own, none of them inside the
    /// page's text, and no text made into markup by a script (trusted types).
    public static let contentSecurityPolicy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ].joined(separator: "; ")

    static let headers: [(name: String, value: String)] = [
        ("Content-Security-Policy", contentSecurityPolicy),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ("Cache-Control", "no-cache"),
    ]

    /// One file of the page.
    public struct File: Sendable {
        /// Where it is served.
        public let path: String
        public let contentType: String
        /// A strong validator: the beginning of the content's SHA-256.
        public let tag: String
        let content: ByteBuffer

        init(_ path: String, _ contentType: String, _ content: [UInt8]) {
            self.path = path
            self.contentType = contentType
            self.content = ByteBuffer(bytes: content)
            let digest = SHA256.hash(data: content).prefix(12).map { byte in
                let text = String(byte, radix: 16)
                return text.count == 1 ? "0" + text : text
            }
            tag = "\"" + digest.joined() + "\""
        }

        /// The file, or 304 where the client has it. Browsers ask each time, so that a new version of the server is
        /// seen at once.
        public func response(to request: Request) -> Response {
            var fields = HTTPFields()
            for (name, value) in WebPage.headers { fields[HTTPField.Name(name)!] = value }
            fields[.eTag] = tag
            if let known = request.headers[.ifNoneMatch], matches(known) {
                return Response(status: .notModified, headers: fields)
            }
            fields[.contentType] = contentType
            return Response(status: .ok, headers: fields, body: ResponseBody(byteBuffer: content))
        }

        // RFC 9110, section 13.1.2: a list of tags, compared weakly, or a star.
        private func matches(_ list: String) -> Bool {
            list.split(separator: ",").contains { item in
                var known = item.drop { $0 == " " || $0 == "\t" }
                while let last = known.last, last == " " || last == "\t" { known.removeLast() }
                return known == "*" || known == tag || known == "W/" + tag
            }
        }
    }

    /// All files, each with the path that serves it.
    public static let files: [File] = [
        File("/", "text/html; charset=utf-8", EmbeddedFile.bytes("index.html")),
        File("/operator", "text/html; charset=utf-8", EmbeddedFile.bytes("operator.html")),
        File("/web/app.css", "text/css; charset=utf-8", EmbeddedFile.bytes("app.css")),
        File("/web/icon.svg", "image/svg+xml", EmbeddedFile.bytes("icon.svg")),
        script("answer.js"),
        script("api.js"),
        script("charts.js"),
        script("chat.js"),
        script("conversation.js"),
        script("dom.js"),
        script("markdown.js"),
        script("metrics.js"),
        script("operator.js"),
        script("settings.js"),
        script("syntax.js"),
        script("theme.js"),
    ]

    private static func script(_ name: String) -> File {
        File("/web/" + name, "text/javascript; charset=utf-8", EmbeddedFile.bytes(name))
    }

    public init() {}

    public func addRoutes(to routes: RouteTable) {
        for file in Self.files {
            routes.get(file.path, access: .open, dialect: .plain) { request, _ in file.response(to: request) }
        }
    }
}
