import Logging
import WaletAccounts
import WaletAudit
import WaletJSON

/// Takes what was done to keys into the audit log.
///
/// `walet keys` works on the accounts, also while a server has the log, which has one writer. So it leaves what it did in a
/// journal within the accounts, in the same transaction, and a server that has a log takes it from there within a second.
///
/// An action is marked in the journal once its entry is durable. Where the server dies between the two, the next one
/// records the action again, and it stands twice in the log; both entries then have the same `journal`, the action's place
/// there, in their details. None is lost.
public actor KeyActionRecorder {
    /// Actions that are recorded before they are marked, together.
    private static let batch = 100

    private let accounts: Accounts
    private let log: AuditLog
    private let logger: Logger
    private let interval: Duration
    private var last: Task<Void, Never>?
    /// In the log, but not marked yet. Kept over failures, so that a journal that cannot be written does not fill the log.
    private var unmarked: [Int] = []
    /// What the last attempt met: each problem is said once, not every second.
    private var problem: String?

    /// - Parameter interval: how often the journal is looked at.
    public init(_ accounts: Accounts, _ log: AuditLog, logger: Logger, interval: Duration = .seconds(1)) {
        self.accounts = accounts
        self.log = log
        self.logger = logger
        self.interval = interval
    }

    /// Records at once, then again and again while `body` runs, and a last time after it.
    public nonisolated func recording<Value: Sendable>(
        while body: () async throws -> Value
    ) async rethrows -> Value {
        let loop = Task { await run() }
        do {
            let value = try await body()
            loop.cancel()
            await loop.value
            return value
        } catch {
            loop.cancel()
            await loop.value
            throw error
        }
    }

    private func run() async {
        while !Task.isCancelled {
            await record()
            try? await Task.sleep(for: interval)
        }
        await record()
    }

    /// Records what is in the journal by now. What fails is logged, stays there, and is tried again the next time.
    public func record() async {
        // One after the other: two at once would both find the same actions.
        let previous = last
        let next = Task {
            if let previous { await previous.value }
            await attempt()
        }
        last = next
        await next.value
    }

    private func attempt() async {
        do {
            try await drain()
            if problem != nil { logger.notice("what is done to keys is recorded again") }
            problem = nil
        } catch {
            let found = "\(error)"
            if found != problem {
                logger.error("what was done to keys is not in the audit log yet", metadata: ["error": .string(found)])
            }
            problem = found
        }
    }

    private func drain() async throws {
        while true {
            try await mark()
            let actions = try await accounts.pendingKeyActions(limit: Self.batch)
            if actions.isEmpty { return }
            do {
                for action in actions {
                    try await log.append(.key(AuditKeyAction(action)))
                    unmarked.append(action.id)
                }
            } catch {
                // Those before it are in the log, and need not wait.
                try await mark()
                throw error
            }
        }
    }

    private func mark() async throws {
        try await accounts.markKeyActionsRecorded(unmarked)
        unmarked = []
    }
}

extension AuditKeyAction {
    /// The log's entry for an action of the journal: when it was done, which may be long before it is logged, and its place
    /// in the journal are among the details.
    init(_ action: KeyAction) {
        var details = Dictionary(action.details.members.map { ($0.0, $0.1) }, uniquingKeysWith: { first, _ in first })
        details["journal"] = .int(action.id)
        details["at"] = .string(UTCTime.text(action.date))
        let kind: Action =
            switch action.kind {
            case .create: .create
            case .set: .set
            case .revoke: .revoke
            }
        let tenant = action.tenant.isEmpty ? nil : action.tenant
        self.init(kind, key: action.keyID, tenant: tenant, by: action.by, details: details)
    }
}
