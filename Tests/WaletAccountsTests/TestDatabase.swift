import Foundation
import Synchronization
import Testing
import WaletAccounts

/// The stores on which the same tests run.
enum StoreKind: String, Sendable, CaseIterable, CustomTestStringConvertible {
    case sqlite
    case postgres

    /// PostgreSQL only where its server is installed.
    static var available: [StoreKind] { PostgresServer.programs == nil ? [.sqlite] : allCases }

    var testDescription: String { rawValue }
}

/// An empty database of a test's own.
final class TestDatabase: Sendable {
    let location: Accounts.Location
    let folder: URL

    init(_ kind: StoreKind) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "walet-accounts-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        switch kind {
        case .sqlite: location = .sqlite(folder.appending(path: "accounts.sqlite").path)
        case .postgres: location = .postgres(try PostgresServer.running.get().makeDatabase())
        }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// As a command line names it.
    var text: String {
        switch location {
        case .sqlite(let path): path
        case .postgres(let url): url
        }
    }

    func open(
        prices: PriceList = .standard, rhythm: Accounts.Rhythm = Accounts.Rhythm(interval: .seconds(3600)),
        clock: TestClock? = nil
    ) async throws -> Accounts {
        try await Accounts.open(location, prices: prices, rhythm: rhythm, clock: { clock?.now ?? Date() })
    }
}

/// A clock that a test sets.
final class TestClock: Sendable {
    private let time: Mutex<Date>

    init(_ text: String = "2026-11-25T12:00:00Z") { time = Mutex(UTCTime.parse(text)!) }

    var now: Date { time.withLock { $0 } }
    func set(_ text: String) { time.withLock { $0 = UTCTime.parse(text)! } }
    func advance(_ seconds: Double) { time.withLock { $0 += seconds } }
}

extension Accounts {
    /// A key and who holds it.
    func makePrincipal(_ specification: KeySpecification = KeySpecification(name: "test")) async throws -> Principal {
        let (_, secret) = try await createKey(specification)
        return try #require(try await authenticate(secret))
    }

    func makePrincipal(_ limits: Limits) async throws -> Principal {
        try await makePrincipal(KeySpecification(name: "test", limits: limits))
    }

    func reserve(_ principal: Principal, _ id: String, model: String = "m", prompt: Int = 1000, output: Int = 100)
        async throws -> Reservation
    {
        try await reserve(
            principal, model: model, endpoint: "test", promptTokens: prompt, maximumOutputTokens: output, requestID: id)
    }

    /// Nil where the request was let in.
    func refusal(_ principal: Principal, _ id: String, model: String = "m", prompt: Int = 1000, output: Int = 100)
        async throws -> Refusal?
    {
        do {
            _ = try await reserve(principal, id, model: model, prompt: prompt, output: output)
            return nil
        } catch let refusal as Refusal {
            return refusal
        }
    }
}

/// Errors of a call, or nil where it threw none of that type.
func accountsError(_ body: () async throws -> Void) async -> AccountsError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? AccountsError
    }
}

extension Money {
    init(_ text: String) { self = try! Money(parsing: text) }
}

enum Fixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/accounts")
}
