import Walet
import WaletAudit

/// Records in an ``AuditLog``.
public final class AuditLogSink: AuditSink {
    private let log: AuditLog
    private let isRequired: Bool

    /// - Parameter isRequired: whether requests are turned away while the log cannot be written.
    public init(_ log: AuditLog, isRequired: Bool) {
        self.log = log
        self.isRequired = isRequired
    }

    public func ready() async throws {
        guard isRequired else { return }
        do {
            try await log.ready()
        } catch {
            throw APIError(
                .overloaded, "The audit log cannot be written", code: "audit_unavailable", retryAfter: 10)
        }
    }

    public func record(_ entry: AuditEntry) async throws {
        var prompt = log.recorder()
        prompt.add(utf8: entry.prompt)
        var answer = log.recorder()
        answer.add(entry.answer)
        let request = AuditRequest(
            id: entry.requestID, key: entry.keyID.isEmpty ? nil : entry.keyID,
            tenant: entry.tenant.isEmpty ? nil : entry.tenant, model: entry.model, endpoint: entry.endpoint,
            status: entry.status, outcome: entry.outcome, promptTokens: entry.usage.promptTokens,
            cachedTokens: entry.usage.cachedTokens, answerTokens: entry.usage.answerTokens,
            thinkingTokens: entry.usage.thinkingTokens, milliseconds: Int(entry.duration / .milliseconds(1)),
            prompt: prompt.finish(), answer: answer.finish())
        _ = try await log.append(.request(request))
    }

    public func recordReload(_ changes: [String]) async throws {
        _ = try await log.append(
            .server(.reload(details: ["read": .array(changes.map { .string($0) })])))
    }
}
