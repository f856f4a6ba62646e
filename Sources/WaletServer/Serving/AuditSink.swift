import Foundation
import Walet

/// Where it is kept what the server did.
public protocol AuditSink: Sendable {
    /// - Throws: where requests must not be answered while they cannot be recorded, and they cannot.
    func ready() async throws

    /// Records a request; when it returns, the entry is durable.
    func record(_ entry: AuditEntry) async throws

    /// Records that the server's configuration was read again.
    func recordReload(_ changes: [String]) async throws
}

/// A request that ended.
public struct AuditEntry: Sendable {
    public var requestID: String
    public var keyID: String
    public var tenant: String
    public var model: String
    public var endpoint: String
    public var status: Int
    /// `stop`, `length`, `tool_calls`, `cancelled`, or an error's code.
    public var outcome: String
    public var usage: UsageReport
    public var duration: Duration
    /// The body as it came. A sink keeps its hash only, unless the operator asks for texts.
    public var prompt: [UInt8]
    /// All that was answered.
    public var answer: String
}
