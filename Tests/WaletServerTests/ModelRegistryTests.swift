import Logging
import Synchronization
import Testing
import Walet

@testable import WaletServer

@Suite struct ModelRegistryTests {
    private struct Broken: Error {}

    private static func registry(
        budget: Int?, sizes: [String: Int] = [:], log: LogLines = LogLines(),
        loader: (@Sendable (ModelSpecification) async throws -> Void)? = nil
    ) -> ModelRegistry {
        ModelRegistry(
            ["a", "b", "c"].map { ModelSpecification(name: $0, source: $0) }, memoryBudget: budget,
            metrics: ServerMetrics(build: ServerMetrics.BuildInfo(version: "test", instructionSet: "generic")),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, estimate: { sizes[$0.name] ?? 10 }
        ) { specification in
            log.append(specification.name)
            try await loader?(specification)
            return LoadedModel(FakeModel(), residentBytes: sizes[specification.name] ?? 10)
        }
    }

    private static func loaded(_ registry: ModelRegistry) async -> [String] {
        await registry.models.filter(\.isLoaded).map(\.name)
    }

    @Test func modelsAreLoadedWhenTheyAreAskedFor() async throws {
        let log = LogLines()
        let registry = Self.registry(budget: nil, log: log)
        #expect(await Self.loaded(registry).isEmpty)
        _ = try await registry.lease("b")
        _ = try await registry.lease("b")
        #expect(log.all == ["b"])
        #expect(await Self.loaded(registry) == ["b"])
    }

    @Test func theOneUsedLongestAgoMakesRoom() async throws {
        let registry = Self.registry(budget: 20)
        _ = try await registry.lease("a")
        _ = try await registry.lease("b")
        _ = try await registry.lease("a")
        _ = try await registry.lease("c")
        #expect(await Self.loaded(registry) == ["a", "c"])
    }

    @Test func aModelThatWorksIsNotUnloaded() async throws {
        let registry = Self.registry(budget: 20)
        let first = try await registry.lease("a")
        let second = try await registry.lease("b")
        await #expect(throws: APIError.self) { try await registry.lease("c") }
        do {
            _ = try await registry.lease("c")
        } catch let error as APIError {
            #expect(error.status == .serviceUnavailable)
            #expect(error.retryAfter != nil)
        }
        #expect(await Self.loaded(registry) == ["a", "b"])
        withExtendedLifetime((first, second)) {}
    }

    @Test func aModelLargerThanTheBudgetMayRunAlone() async throws {
        let registry = Self.registry(budget: 20, sizes: ["c": 1000])
        _ = try await registry.lease("a")
        _ = try await registry.lease("c")
        #expect(await Self.loaded(registry) == ["c"])
        _ = try await registry.lease("a")
        #expect(await Self.loaded(registry) == ["a"])
    }

    @Test func manyWhoAskAtOnceLoadOnce() async throws {
        let log = LogLines()
        let registry = Self.registry(budget: nil, log: log) { _ in try await Task.sleep(for: .milliseconds(50)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<20 { group.addTask { _ = try await registry.lease("a") } }
            try await group.waitForAll()
        }
        #expect(log.all == ["a"])
    }

    @Test func whoLeavesWhileAModelLoadsDoesNotStopItForOthers() async throws {
        let registry = Self.registry(budget: nil) { _ in try await Task.sleep(for: .milliseconds(200)) }
        let first = Task { try await registry.lease("a") }
        try await Task.sleep(for: .milliseconds(20))
        let second = Task { try await registry.lease("a") }
        first.cancel()
        _ = try await second.value
        #expect(await Self.loaded(registry) == ["a"])
    }

    @Test func aModelThatCannotBeLoadedIsTriedAgain() async throws {
        let isBroken = Mutex(true)
        let registry = Self.registry(budget: nil) { _ in
            if isBroken.withLock({ $0 }) { throw Broken() }
        }
        do {
            _ = try await registry.lease("a")
            Issue.record("expected an error")
        } catch let error as APIError {
            #expect(error.status == .internalServerError)
            #expect(error.code == "model_load_failed")
        }
        isBroken.withLock { $0 = false }
        _ = try await registry.lease("a")
    }

    @Test func aModelWhoseFilesCannotBeUsedIsUnavailable() async throws {
        let errors: [any Error & Sendable] = [
            FormatError(file: "/secret/a", expected: "a readable file", found: "Input/output error"),
            MemoryLimitError(file: "/secret/a", limit: 1, dense: 2, experts: 3, expertCount: 4),
        ]
        for error in errors {
            let registry = Self.registry(budget: nil) { if $0.name == "a" { throw error } }
            do {
                _ = try await registry.lease("a")
                Issue.record("expected an error")
            } catch let error as APIError {
                #expect(error.status == .serviceUnavailable)
                #expect(error.retryAfter != nil)
                #expect(!error.message.contains("secret"))
            }
            _ = try await registry.lease("b")
        }
    }

    @Test func unknownNamesGet404() async throws {
        do {
            _ = try await Self.registry(budget: nil).lease("x")
            Issue.record("expected an error")
        } catch let error as APIError {
            #expect(error.status == .notFound)
        }
    }
}
