// GET /metrics

import HTTPTypes
import Hummingbird
import NIOCore

/// The page that Prometheus scrapes.
public struct MetricsRoutes: RouteProvider {
    private let metrics: ServerMetrics
    private let access: RouteAccess

    /// - Parameter access: who may see the page; it names keys and what they spent.
    public init(metrics: ServerMetrics, access: RouteAccess) {
        self.metrics = metrics
        self.access = access
    }

    public func addRoutes(to routes: RouteTable) {
        let metrics = metrics
        routes.get("/metrics", access: access, dialect: .plain) { request, _ in
            let (contentType, body) = metrics.page(accept: request.headers[.accept])
            return Response(
                status: .ok, headers: [.contentType: contentType],
                body: ResponseBody(byteBuffer: ByteBuffer(string: body)))
        }
    }
}
