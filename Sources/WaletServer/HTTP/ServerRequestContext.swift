import Hummingbird
import Logging
import NIOCore
import Walet

/// What the server knows of a request beside its content.
public struct ServerRequestContext: RequestContext {
    public var coreContext: CoreRequestContextStorage
    /// Notes for the log and the metrics, shared by all copies of this context.
    public let exchange: Exchange
    /// Tells when the client is gone.
    public let client: ClientPresence
    /// Who calls; set before a route's handler runs.
    public var principal = Principal.nobody
    /// How the route tells errors.
    public var dialect = Dialect.openAI
    /// The caller's trace, where it sent one.
    public var trace: TraceContext?

    public init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        exchange = Exchange()
        client = ClientPresence(channel: source.channel)
        logger[metadataKey: "hb.request.id"] = nil
        logger[metadataKey: "request_id"] = .string(exchange.requestID)
    }

    /// `req_` and 32 hexadecimal digits; the client reads it in the header `x-request-id`.
    public var requestID: String { exchange.requestID }
}
