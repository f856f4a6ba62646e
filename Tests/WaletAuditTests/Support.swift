import Foundation
import Testing
import WaletAudit
import WaletJSON

/// A folder that is gone with the last reference.
final class TemporaryFolder: Sendable {
    let path: String

    /// - Parameter onDisk: whether synchronizing must be real. In memory it is free, and thousands of crashes pass
    ///   quickly.
    init(onDisk: Bool = false) {
        let memory = "/dev/shm"
        let isThere = FileManager.default.isWritableFile(atPath: memory)
        let place = isThere && !onDisk ? URL(filePath: memory) : FileManager.default.temporaryDirectory
        path = place.appending(path: "walet-audit-\(UUID().uuidString)").path
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: file(name)))) }

    func write(_ name: String, _ bytes: some Sequence<UInt8>) throws {
        // In place: permissions and the like stay.
        if FileManager.default.fileExists(atPath: file(name)) {
            let handle = try FileHandle(forWritingTo: URL(filePath: file(name)))
            try handle.truncate(atOffset: 0)
            try handle.write(contentsOf: Data(bytes))
            try handle.close()
        } else {
            try Data(bytes).write(to: URL(filePath: file(name)))
        }
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: file(name)) }

    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }

    func segments() throws -> [String] { try names().filter { $0.hasSuffix(".jsonl") } }

    /// The same files elsewhere.
    func copy() throws -> TemporaryFolder {
        let copy = TemporaryFolder()
        for name in try names() {
            try FileManager.default.copyItem(atPath: file(name), toPath: copy.file(name))
        }
        return copy
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// The golden values of Tools/make_audit_fixtures.go.
struct Reference {
    let json: JSONValue
    let leaves: [[UInt8]]
    let roots: [MerkleHash]

    static let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/audit/reference.json")

    init() throws {
        json = try JSONValue(parsing: Data(contentsOf: Self.url))
        leaves = try #require(json["leaves"]?.arrayValue).map { try #require(Hexadecimal.bytes($0.stringValue ?? "-")) }
        roots = try Self.hashes(json["roots"])
    }

    static func hashes(_ value: JSONValue?) throws -> [MerkleHash] {
        try #require(value?.arrayValue).map { try #require(MerkleHash(base64: $0.stringValue ?? "")) }
    }

    var verifier: NoteVerifierKey {
        get throws { try NoteVerifierKey(#require(json["verifier"]?.stringValue)) }
    }

    var notes: [[UInt8]] {
        get throws { try #require(json["notes"]?.arrayValue).map { Array(($0.stringValue ?? "").utf8) } }
    }
}

/// A tree in memory, for proofs without files.
struct MemoryNodes: MerkleNodes {
    var nodes: [MerkleHash] = []
    var frontier = MerkleFrontier()

    init(leaves: [MerkleHash]) { for leaf in leaves { append(leaf) } }

    mutating func append(_ leaf: MerkleHash) { frontier.append(leaf) { nodes.append($0) } }

    func node(level: Int, index: Int) throws(AuditError) -> MerkleHash {
        let position = MerklePosition.of(level: level, index: index)
        guard position < nodes.count else { throw .badHashFile(path: "memory", reason: "no node \(position)") }
        return nodes[position]
    }
}

extension AuditLog {
    /// A small log: by default three segments or so, checkpoints every seven entries.
    @discardableResult
    static func sample(
        in folder: TemporaryFolder, entries: Int = 30, segmentBytes: Int = 4096, checkpointEntries: Int = 7,
        configure: (inout AuditOptions) -> Void = { _ in }
    ) async throws -> SignedCheckpoint {
        let log = try open(
            folder: folder.path,
            options: .test(segmentBytes: segmentBytes, checkpointEntries: checkpointEntries, configure))
        for number in 0..<entries { try await log.append(log.request(number)) }
        let checkpoint = try await log.checkpoint()
        try await log.close()
        return checkpoint
    }

    func request(_ number: Int) -> AuditEntry {
        var prompt = recorder()
        prompt.add("prompt \(number)")
        var answer = recorder()
        answer.add("answer \(number) größer")
        return .request(
            AuditRequest(
                id: "req_\(number)", key: "k_\(number % 3)", tenant: "hr", model: "kimi-k2",
                endpoint: "/v1/chat/completions", status: 200, outcome: "stop", promptTokens: 100 + number,
                cachedTokens: 64, answerTokens: number, milliseconds: 12, prompt: prompt.finish(),
                answer: answer.finish()))
    }
}

extension AuditOptions {
    /// With a clock that stands, so that runs are equal, and nothing that depends on time.
    static func test(
        segmentBytes: Int = 4096, checkpointEntries: Int = 7, _ configure: (inout AuditOptions) -> Void = { _ in }
    ) -> AuditOptions {
        var options = AuditOptions()
        options.origin = "walet.example/test"
        options.segmentBytes = segmentBytes
        options.checkpointEntries = checkpointEntries
        options.checkpointInterval = .seconds(3600)
        options.now = { 1_795_600_000_000_000 }
        configure(&options)
        return options
    }
}

/// The lines of all segments.
func lines(of folder: TemporaryFolder) throws -> [[UInt8]] {
    try folder.segments().flatMap { name in
        try folder.read(name).split(separator: 0x0A, omittingEmptySubsequences: true).map(Array.init)
    }
}

/// The program for tests that need another process.
enum Helper {
    static let program = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appending(path: "WaletTestHelper")

    /// Runs it to its end.
    static func run(_ arguments: [String]) throws -> (code: Int32, lines: [String], errors: String) {
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        let errorBytes = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (
            process.terminationStatus,
            String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init),
            String(decoding: errorBytes, as: UTF8.self)
        )
    }
}
