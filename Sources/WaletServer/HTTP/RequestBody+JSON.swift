import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import Synchronization
import Walet
import WaletJSON

extension ServerRequestContext {
    /// The body as a JSON object.
    /// - Throws: ``APIError``: 415 for another type or a compressed body, 413 for one that is too large, 503 where bodies
    ///   under way take all the memory that they may, 400 for anything that is not strict JSON.
    public func object(_ request: Request) async throws -> RequestFields {
        try Self.requireJSON(request.headers)
        let limits = exchange.limits
        let length = request.headers[.contentLength].flatMap { Int($0) }
        if let length, length > limits.bodyBytes { throw Self.tooLarge(limits) }
        // A body without a length may become as large as the limit.
        let ticket = try limits.bodyMemory.take(length ?? limits.bodyBytes)
        defer { withExtendedLifetime(ticket) {} }
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: limits.bodyBytes)
        } catch is NIOTooManyBytesError {
            throw Self.tooLarge(limits)
        }
        let bytes = Array(buffer.readableBytesView)
        guard !bytes.isEmpty else {
            throw APIError.invalid("The body is empty; expected a JSON object", code: "empty_body")
        }
        try limits.checkShape(bytes)
        let value: JSONValue
        do {
            value = try JSONValue(parsing: bytes, maximumDepth: limits.jsonDepth)
        } catch {
            throw APIError(error)
        }
        guard let object = value.objectValue else {
            throw APIError.invalid("The body is not a JSON object but: \(value.kind)", code: "invalid_json")
        }
        return RequestFields(object, body: bytes)
    }

    private static func requireJSON(_ headers: HTTPFields) throws(APIError) {
        if let encoding = headers[.contentEncoding], encoding.lowercased() != "identity" {
            throw APIError(
                .mediaType, "Compressed bodies are not accepted; send it without Content-Encoding",
                code: "unsupported_content_encoding")
        }
        // A browser sends other types across origins without asking first, so this also keeps strange pages out.
        let type = (headers[.contentType] ?? "").split(separator: ";").first.map { $0.lowercased() } ?? ""
        let name = type.trimmingSpaces()
        guard name == "application/json" || (name.hasPrefix("application/") && name.hasSuffix("+json")) else {
            throw APIError(
                .mediaType, "Expected Content-Type: application/json", code: "unsupported_content_type")
        }
    }

    private static func tooLarge(_ limits: RequestLimits) -> APIError {
        APIError(.tooLarge, "The body is larger than \(limits.bodyBytes) bytes", code: "request_too_large")
    }
}

extension StringProtocol {
    func trimmingSpaces() -> String {
        var text = self[...]
        while let first = text.first, first == " " || first == "\t" { text = text.dropFirst() }
        while let last = text.last, last == " " || last == "\t" { text = text.dropLast() }
        return String(text)
    }
}
