import HTTPTypes
import Hummingbird
import Walet

/// Adds some routes to the server.
public protocol RouteProvider: Sendable {
    func addRoutes(to routes: RouteTable)
}

/// All routes of the server, each with who may use it. A route that says nothing needs a key.
public final class RouteTable {
    public typealias Handler = @Sendable (Request, ServerRequestContext) async throws -> Response

    /// One route, for the tests and the specification.
    public struct Route: Sendable {
        public let method: HTTPRequest.Method
        /// In Hummingbird's syntax, as in `/v1/responses/:id`.
        public let path: String
        public let access: RouteAccess
        public let dialect: Dialect
    }

    public private(set) var routes: [Route] = []
    private let router: Router<ServerRequestContext>
    private let gate: AccessGate

    init(router: Router<ServerRequestContext>, gate: AccessGate) {
        self.router = router
        self.gate = gate
    }

    /// Adds a route.
    /// - Parameters:
    ///   - path: in Hummingbird's syntax.
    ///   - access: who may use it.
    ///   - dialect: how it tells errors.
    ///   - handler: may throw any error; an ``APIError`` reaches the client as it is.
    public func on(
        _ method: HTTPRequest.Method, _ path: String, access: RouteAccess = .key, dialect: Dialect = .openAI,
        _ handler: @escaping Handler
    ) {
        routes.append(Route(method: method, path: path, access: access, dialect: dialect))
        let gate = gate
        router.on(RouterPath(path), method: method) { request, context in
            var context = context
            context.dialect = dialect
            context.exchange.note { $0.route = path }
            do {
                context.principal = try await gate.principal(access, request)
                let principal = context.principal
                context.exchange.note { notes in
                    notes.keyID = principal.keyID
                    notes.tenant = principal.tenant
                }
                if !principal.keyID.isEmpty { context.logger[metadataKey: "key"] = .string(principal.keyID) }
                return try await handler(request, context)
            } catch {
                return try context.answer(to: error, dialect)
            }
        }
    }

    public func get(
        _ path: String, access: RouteAccess = .key, dialect: Dialect = .openAI, _ handler: @escaping Handler
    ) { on(.get, path, access: access, dialect: dialect, handler) }

    public func post(
        _ path: String, access: RouteAccess = .key, dialect: Dialect = .openAI, _ handler: @escaping Handler
    ) { on(.post, path, access: access, dialect: dialect, handler) }

    public func delete(
        _ path: String, access: RouteAccess = .key, dialect: Dialect = .openAI, _ handler: @escaping Handler
    ) { on(.delete, path, access: access, dialect: dialect, handler) }

    /// Answers the methods that a path does not know with 405 and those that it does. Call it after the last route.
    func finish() {
        // Those of RFC 9110, and QUERY, of which clients begin to ask.
        var methods: [HTTPRequest.Method] = [.get, .post, .put, .patch, .delete, .options, .head, .trace]
        if let query = HTTPRequest.Method("QUERY") { methods.append(query) }
        for (path, known) in Dictionary(grouping: routes, by: \.path) {
            var allowed = known.map(\.method.rawValue)
            if allowed.contains("GET") { allowed.append("HEAD") }
            let dialect = known[0].dialect
            for method in methods where !allowed.contains(method.rawValue) {
                router.on(RouterPath(path), method: method) { [allowed] _, context in
                    var error = APIError(
                        .methodNotAllowed, "This path knows \(allowed.joined(separator: ", "))",
                        code: "method_not_allowed")
                    error.allowed = allowed
                    return try context.answer(to: error, dialect)
                }
            }
        }
    }
}
