// The door: keys, limits, budgets, prices and the ledger of an organisation.

import Foundation
import Synchronization

/// Keys, limits, budgets, prices and the ledger, in a file or on a PostgreSQL server.
///
/// ```swift
/// let accounts = try await Accounts.open(.sqlite("/var/lib/walet/accounts.sqlite"))
/// let limits = Limits(concurrency: 4, dayBudget: try Money(parsing: "5"))
/// let (_, secret) = try await accounts.createKey(KeySpecification(name: "payroll", limits: limits))
///
/// guard let principal = try await accounts.authenticate(secret) else { … }        // 401
/// let reservation = try await accounts.reserve(                                  // or throws a Refusal
///     principal, model: "kimi-k2", endpoint: "chat.completions", promptTokens: 1200, maximumOutputTokens: 500,
///     requestID: "req_1")
/// …                                                                              // the work
/// let charge = try await accounts.settle(
///     reservation, TokenCounts(prompt: 1200, cached: 1024, output: 93), outcome: .completed)
/// …                                                                              // only now the last byte
/// await accounts.close()
/// ```
///
/// Several processes may use the same accounts at the same time: budgets and limits hold over all of them.
public final class Accounts: Sendable {
    /// Where the accounts are.
    public enum Location: Sendable, Hashable {
        /// A file of SQLite, made where there is none.
        case sqlite(String)
        /// A URL as libpq reads it.
        case postgres(String)

        /// A path, or a URL that begins with postgres:// or postgresql://.
        /// - Throws: ``AccountsError/invalid(field:expected:found:)``.
        public init(parsing text: String) throws(AccountsError) {
            if text.hasPrefix("postgres://") || text.hasPrefix("postgresql://") {
                self = .postgres(text)
            } else if text.isEmpty || text.contains("://") || text.utf8.contains(0) {
                // Not quoted: it may hold a password.
                throw .invalid(
                    field: "database", expected: "a path or a URL postgres://…",
                    found: text.isEmpty ? "nothing" : "something else")
            } else {
                self = .sqlite(text)
            }
        }

        /// `$WALET_DATABASE`, or `walet/accounts.sqlite` in `$XDG_DATA_HOME` or `~/.local/share`.
        public static func standard(
            environment: [String: String] = ProcessInfo.processInfo.environment
        ) throws(AccountsError) -> Location {
            if let text = environment["WALET_DATABASE"], !text.isEmpty { return try Location(parsing: text) }
            let data = environment["XDG_DATA_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
            return .sqlite((data ?? "\(NSHomeDirectory())/.local/share") + "/walet/accounts.sqlite")
        }
    }

    package let lanes: Lanes
    let directory: KeyDirectory
    package let queue: RequestQueue
    package let life: Life
    let priceBook: PriceBook
    /// Microseconds since 1970.
    let now: @Sendable () -> Int64
    private let heart: Task<Void, Never>

    /// Opens accounts; brings older tables to today's form; marks what a crashed server on this machine left behind.
    /// - Parameters:
    ///   - prices: what requests cost from now on, until ``setPrices(_:)``.
    ///   - create: make a file that is not there.
    ///   - clock: what time it is. It may go backwards: nothing breaks, and limits hold.
    /// - Throws: ``AccountsError``.
    public static func open(
        _ location: Location, prices: PriceList = .standard, durability: Durability = .full, create: Bool = true,
        clock: @escaping @Sendable () -> Date = { Date() }
    ) async throws -> Accounts {
        try await open(location, prices: prices, durability: durability, create: create, rhythm: Rhythm(), clock: clock)
    }

    /// How often the heart beats, and after how long without a beat a server elsewhere counts as dead.
    package struct Rhythm: Sendable {
        package var interval: Duration
        package var timeout: Duration

        package init(interval: Duration = .seconds(5), timeout: Duration = .seconds(60)) {
            self.interval = interval
            self.timeout = timeout
        }
    }

    package static func open(
        _ location: Location, prices: PriceList = .standard, durability: Durability = .full, create: Bool = true,
        rhythm: Rhythm, clock: @escaping @Sendable () -> Date = { Date() }
    ) async throws -> Accounts {
        // Opening blocks, so it gets a thread of its own.
        let lanes: Lanes = try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: connect(location, durability, create)) }
        }
        let accounts = Accounts(lanes: lanes, prices: prices, rhythm: rhythm, clock: clock)
        do {
            try await accounts.life.sweep()
        } catch {
            await accounts.close()
            throw error
        }
        return accounts
    }

    private static func connect(_ location: Location, _ durability: Durability, _ create: Bool) -> Result<
        Lanes, any Error
    > {
        var name = ""
        do {
            let store: any Store
            switch location {
            case .sqlite(let path):
                name = path
                store = try SQLiteStore(path: path, durability: durability, create: create)
            case .postgres(let url):
                store = try PostgresStore(url: url, durability: durability)
                name = store.name
            }
            try Schema.migrate(store)
            return .success(Lanes(store))
        } catch let error as StoreError {
            return .failure(AccountsError.database(error.problem, database: name, detail: error.detail))
        } catch {
            return .failure(error)
        }
    }

    private init(
        lanes: Lanes, prices: PriceList, rhythm: Rhythm, clock: @escaping @Sendable () -> Date
    ) {
        let now: @Sendable () -> Int64 = { clock().microseconds }
        let queue = RequestQueue(lanes: lanes, clock: now)
        let life = Life(lanes: lanes, timeout: rhythm.timeout, clock: now)
        self.lanes = lanes
        self.now = now
        self.queue = queue
        self.life = life
        directory = KeyDirectory(lanes: lanes)
        priceBook = PriceBook(prices, lanes: lanes, clock: now)
        heart = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: rhythm.interval)
                if Task.isCancelled { return }
                // What fails now, because the database is away, is done at the next beat.
                try? await life.beat()
                _ = try? await life.sweep()
                let doubtful = queue.takeDoubtful()
                if !doubtful.isEmpty {
                    do { try await life.release(doubtful) } catch { queue.returnDoubtful(doubtful) }
                }
            }
        }
    }

    deinit { heart.cancel() }

    /// Waits for what is being written, and ends. Reservations of this server that nobody settled become unsettled. Calls
    /// after this throw ``AccountsError/closed``.
    public func close() async {
        heart.cancel()
        queue.close()
        await heart.value
        try? await life.end()
        await lanes.close()
    }
}

/// What a confirmed charge survives.
public enum Durability: Sendable, Hashable {
    /// The end of this process and the loss of power: each commit waits for the disk. Requests that end at the same time
    /// share one wait.
    case full
    /// The end of this process, however sudden. The last charges before a loss of power may be gone.
    case process
}
