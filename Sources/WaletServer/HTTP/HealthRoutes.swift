import HTTPTypes
import Hummingbird
import WaletJSON

/// `GET /health`, which says that the process lives, and `GET /ready`, which says whether it should get requests.
struct HealthRoutes: RouteProvider {
    let drain: Drain
    let readiness: Readiness
    let audit: (any AuditSink)?

    func addRoutes(to routes: RouteTable) {
        let (drain, readiness, audit) = (drain, readiness, audit)
        routes.get("/health", access: .open) { _, _ in .json(["status": "ok"]) }
        routes.get("/ready", access: .open) { _, _ in
            if drain.isDraining {
                throw APIError(.draining, "The server is going down", code: "shutting_down", retryAfter: 10)
            }
            guard readiness.isReady else {
                throw APIError(.loading, "The model is being loaded", code: "loading", retryAfter: 2)
            }
            do {
                try await audit?.ready()
            } catch {
                throw APIError(
                    .overloaded, "The audit log cannot be written", code: "audit_unavailable", retryAfter: 10)
            }
            return .json(["status": "ready"])
        }
    }
}
