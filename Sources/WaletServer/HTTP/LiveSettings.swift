import Logging
import Synchronization

/// Settings that may change while the server runs.
public final class LiveSettings: Sendable {
    private let state: Mutex<(origins: OriginPolicy, logLevel: Logger.Level)>

    public init(origins: OriginPolicy = OriginPolicy(), logLevel: Logger.Level = .info) {
        state = Mutex((origins, logLevel))
    }

    public var origins: OriginPolicy {
        get { state.withLock { $0.origins } }
        set { state.withLock { $0.origins = newValue } }
    }

    public var logLevel: Logger.Level {
        get { state.withLock { $0.logLevel } }
        set { state.withLock { $0.logLevel = newValue } }
    }
}
