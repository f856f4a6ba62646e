import HTTPTypes
import Logging
import Synchronization
import Walet

/// One request and its answer, as the log and the metrics see them. Handlers leave notes; the end is reported once.
public final class Exchange: Sendable {
    /// What is known at the end.
    public struct Notes: Sendable {
        public var method = ""
        /// The path without its query, which may hold secrets.
        public var path = ""
        /// The route's template; nil where there is none.
        public var route: String?
        public var status = 0
        public var keyID = ""
        public var tenant = ""
        public var model: String?
        public var errorCode: String?
        public var errorKind: APIError.Kind?
        public var usage: UsageReport?
        /// Headers for the answer, such as rate limits.
        public var headers = HTTPFields()
    }

    public let requestID: String
    private let start = ContinuousClock.now
    private let state: Mutex<(notes: Notes, report: (@Sendable (Notes, Duration) -> Void)?)>
    private let limitsBox = Mutex(RequestLimits())

    init() {
        var generator = SystemRandomNumberGenerator()
        requestID = "req_" + Self.hexadecimal(generator.next()) + Self.hexadecimal(generator.next())
        state = Mutex((Notes(), nil))
    }

    deinit {
        // The answer was never written: the client left before its head.
        finish(status: 499)
    }

    /// What one request may take.
    var limits: RequestLimits {
        get { limitsBox.withLock { $0 } }
        set { limitsBox.withLock { $0 = newValue } }
    }

    public var notes: Notes { state.withLock { $0.notes } }

    public func note(_ change: (inout Notes) -> Void) { state.withLock { change(&$0.notes) } }

    /// Since it began.
    var duration: Duration { ContinuousClock.now - start }

    /// Says who learns the end.
    func begin(_ report: @escaping @Sendable (Notes, Duration) -> Void) { state.withLock { $0.report = report } }

    /// Reports the end; later calls do nothing.
    func finish(status: Int? = nil) {
        let (report, notes) = state.withLock { state in
            if let status { state.notes.status = status }
            defer { state.report = nil }
            return (state.report, state.notes)
        }
        report?(notes, duration)
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
