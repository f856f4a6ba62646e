import Foundation
import Synchronization
import WaletAccounts

/// A real PostgreSQL server in a temporary folder, on a socket that nobody else sees, for as long as this process lives.
final class PostgresServer: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The folder of `initdb` and `postgres`; nil where PostgreSQL's server is not installed.
    static let programs: String? = {
        let manager = FileManager.default
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        // Debian keeps the server's programs off the PATH, a folder a version.
        let versions = (try? manager.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        let folders =
            path
            + versions.sorted { $0.localizedStandardCompare($1) == .orderedDescending }
            .map { "/usr/lib/postgresql/\($0)/bin" }
        return folders.first { folder in
            ["initdb", "postgres"].allSatisfy { manager.isExecutableFile(atPath: "\(folder)/\($0)") }
        }
    }()

    /// The one server of this process, started when first asked for.
    static let running = Result<PostgresServer, any Error> { try PostgresServer() }

    private let folder: String
    /// The server ends when this pipe does, and with it this process, however that ends.
    private let lifeline: FileHandle
    private let databases = Mutex(0)

    private init() throws {
        guard let programs = Self.programs else { throw Failure(description: "PostgreSQL's server is not installed") }
        // In /tmp, since the path of a socket may have no more than 107 bytes.
        var template = Array("/tmp/walet-postgres-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure(description: "no temporary folder") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)

        // The server refuses to run as root.
        var asUser: [String] = []
        if geteuid() == 0 {
            guard let user = getpwnam("postgres") ?? getpwnam("nobody") else {
                throw Failure(description: "there is no user to run the server as")
            }
            guard chown(folder, user.pointee.pw_uid, user.pointee.pw_gid) == 0 else {
                throw Failure(description: "the temporary folder cannot be given away")
            }
            asUser = [
                "setpriv", "--reuid=\(user.pointee.pw_uid)", "--regid=\(user.pointee.pw_gid)", "--clear-groups", "--",
            ]
        }
        let initialize = Process()
        initialize.executableURL = URL(filePath: "/usr/bin/env")
        initialize.arguments =
            asUser + [
                "\(programs)/initdb", "--pgdata", "\(folder)/data", "--username", "walet", "--auth", "trust",
                "--encoding", "UTF8", "--locale", "C", "--no-sync",
            ]
        initialize.currentDirectoryURL = URL(filePath: folder)
        let output = Pipe()
        initialize.standardOutput = output
        initialize.standardError = output
        try initialize.run()
        let message = output.fileHandleForReading.readDataToEndOfFile()
        initialize.waitUntilExit()
        guard initialize.terminationStatus == 0 else {
            throw Failure(description: "initdb: \(String(decoding: message, as: UTF8.self))")
        }

        let server = Process()
        server.executableURL = URL(filePath: "/bin/bash")
        server.arguments =
            [
                "-c",
                #"folder=$1; shift; "$@" >"$folder/log" 2>&1 & cat >/dev/null; kill -INT $!; wait $!; rm -rf "$folder""#,
                "bash", folder,
            ] + asUser + [
                "\(programs)/postgres", "-D", "\(folder)/data", "-k", folder, "-c", "listen_addresses=", "-c",
                "fsync=off", "-c", "max_connections=200",
            ]
        server.currentDirectoryURL = URL(filePath: folder)
        let input = Pipe()
        server.standardInput = input
        server.standardOutput = FileHandle.nullDevice
        server.standardError = FileHandle.nullDevice
        try server.run()
        lifeline = input.fileHandleForWriting

        for _ in 0..<600 {
            if (try? execute("SELECT 1", database: "postgres")) != nil { return }
            usleep(50_000)
        }
        let log = (try? String(contentsOfFile: "\(folder)/log", encoding: .utf8)) ?? ""
        throw Failure(description: "the server does not answer: \(log.suffix(2000))")
    }

    /// A URL for a database of this server.
    func url(_ database: String) -> String {
        "postgres://walet@/\(database)?host=\(folder.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? folder)"
    }

    /// - Returns: the URL of a new, empty database.
    func makeDatabase() throws -> String {
        let name = "t\(databases.withLock { $0 += 1; return $0 })"
        try execute("CREATE DATABASE \(name)", database: "postgres")
        return url(name)
    }

    /// Runs one statement outside of any transaction.
    func execute(_ sql: String, database: String) throws {
        let psql = Process()
        psql.executableURL = URL(filePath: "/usr/bin/env")
        psql.arguments = ["psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-c", sql, url(database)]
        psql.standardOutput = FileHandle.nullDevice
        let errors = Pipe()
        psql.standardError = errors
        try psql.run()
        let message = errors.fileHandleForReading.readDataToEndOfFile()
        psql.waitUntilExit()
        if psql.terminationStatus != 0 { throw Failure(description: String(decoding: message, as: UTF8.self)) }
    }
}
