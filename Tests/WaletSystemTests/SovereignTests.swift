import Foundation
import Testing
import WaletSystem

#if os(Linux)
    /// `--sovereign` in processes of their own: what they do is traced, and counted by a network of their own.
    @Suite struct SovereignTests {
        private static let program = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appending(path: "WaletTestHelper").path

        private struct Outcome {
            let code: Int32
            let output: String
            let errors: String
            var lines: [String] { output.split(separator: "\n").map(String.init) }
        }

        @discardableResult
        private static func run(_ program: String, _ arguments: [String]) throws -> Outcome {
            let process = Process()
            process.executableURL = URL(filePath: program)
            process.arguments = arguments
            let (output, errors) = (Pipe(), Pipe())
            process.standardOutput = output
            process.standardError = errors
            process.standardInput = FileHandle.nullDevice
            try process.run()
            let bytes = output.fileHandleForReading.readDataToEndOfFile()
            let errorBytes = errors.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return Outcome(
                code: process.terminationStatus, output: String(decoding: bytes, as: UTF8.self),
                errors: String(decoding: errorBytes, as: UTF8.self))
        }

        private static func helper(_ name: String) throws -> Outcome { try run(program, ["sovereign", name]) }

        private static func isThere(_ program: String, _ arguments: [String]) -> Bool {
            (try? run(program, arguments))?.code == 0
        }

        static let canTrace = isThere("/usr/bin/strace", ["-f", "-e", "trace=connect", "-o", "/dev/null", "/bin/true"])
        static let hasNamespaces = isThere("/usr/bin/unshare", ["-r", "-n", "/bin/true"])

        private let checks = [
            "TCP connection", "TCP connection over IPv6", "TCP fast open", "TCP data with a destination",
            "Unix connection", "UDP datagram", "UDP socket over IPv6", "raw socket", "netlink socket", "packet socket",
            "io_uring", "name look-up",
        ]

        @Test func everyWayOutIsRefused() throws {
            let outcome = try Self.helper("enforced")
            #expect(outcome.code == 0, "\(outcome.output)\(outcome.errors)")
            #expect(outcome.lines.map { $0.split(separator: "\t").dropFirst().first.map(String.init) ?? "" } == checks)
            #expect(outcome.lines.allSatisfy { $0.hasPrefix("refused\t") })
            #expect(outcome.lines.count { $0.contains("Permission denied") } >= 9)
        }

        /// The test of the test: without the filter the same tries get through.
        @Test func withoutItTheSameTriesGetThrough() throws {
            let outcome = try Self.helper("open")
            #expect(outcome.code == 1)
            for name in [
                "TCP connection", "TCP fast open", "Unix connection", "UDP datagram", "netlink socket", "name look-up",
            ] {
                #expect(outcome.lines.contains { $0.hasPrefix("OPEN\t\(name)\t") }, "\(outcome.output)")
            }
        }

        @Test func threadsThatWereThereBeforeAreCutOffToo() throws {
            let outcome = try Self.helper("thread")
            #expect(outcome.code == 0 && outcome.lines.count == checks.count, "\(outcome.output)\(outcome.errors)")
        }

        @Test func childrenAreCutOffToo() throws {
            let outcome = try Self.helper("child")
            #expect(outcome.code == 0 && outcome.lines.count == checks.count, "\(outcome.output)\(outcome.errors)")
        }

        @Test func programsAreNotStartedWhereThatIsForbidden() throws {
            let outcome = try Self.helper("no-programs")
            #expect(outcome.code == 99 && outcome.lines == ["cannot start: Permission denied"])
        }

        @Test func aSocketFromBeforeIsNamed() throws {
            let outcome = try Self.helper("udp-before")
            #expect(outcome.code == 1)
            #expect(outcome.errors.contains("refused too late") && outcome.errors.contains("a UDP or raw socket"))
        }

        /// What --listen may name: the resolver reads /etc/hosts without a socket.
        @Test func namesOfTheHostsFileAreStillFound() throws {
            let outcome = try Self.helper("localhost")
            #expect(outcome.code == 0, "\(outcome.errors)")
        }

        @Test func listeningAndAnsweringGoOn() throws {
            let process = Process()
            process.executableURL = URL(filePath: Self.program)
            process.arguments = ["sovereign", "serve"]
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            var line: [UInt8] = []
            while let byte = try output.fileHandleForReading.read(upToCount: 1)?.first, byte != 0x0A {
                line.append(byte)
            }
            let port = try #require(UInt16(String(decoding: line, as: UTF8.self)))
            let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(client) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let isConnected = withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(client, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            #expect(isConnected)
            #expect(send(client, "hello", 5, 0) == 5)
            var answer = [UInt8](repeating: 0, count: 16)
            #expect(read(client, &answer, answer.count) == 5 && answer.starts(with: Array("hello".utf8)))
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
        }

        /// Each system call of the network that a cut-off process makes, as the kernel saw it.
        @Test(.enabled(if: canTrace, "strace is not installed or may not trace here"))
        func theTraceShowsNoConnectionAndNoDatagram() throws {
            for name in ["enforced", "child", "thread"] {
                let trace = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString).trace")
                defer { try? FileManager.default.removeItem(at: trace) }
                let outcome = try Self.run(
                    "/usr/bin/strace",
                    [
                        "-f", "-qq", "-e", "trace=network,io_uring_setup", "-e", "signal=none", "-o", trace.path,
                        Self.program, "sovereign", name,
                    ])
                #expect(outcome.code == 0, "\(outcome.output)\(outcome.errors)")
                let text = try String(contentsOf: trace, encoding: .utf8)
                let calls = text.split(separator: "\n").map(String.init)
                let outgoing = calls.filter { line in
                    ["connect(", "sendto(", "sendmsg(", "sendmmsg("].contains { line.contains($0) }
                }
                // The tries are there, and each was refused.
                #expect(outgoing.count >= 6)
                for call in outgoing { #expect(call.contains("= -1 EACCES"), "\(call)") }
                for call in calls where call.contains("socket(") {
                    let isAllowed = call.contains("socket(AF_UNIX,") || call.contains("SOCK_STREAM")
                    #expect(isAllowed || call.contains("= -1 EACCES") || call.contains("= -1 EPERM"), "\(call)")
                }
                for call in calls where call.contains("io_uring_setup(") {
                    #expect(call.contains("= -1 ENOSYS"), "\(call)")
                }
                // The resolver tried to ask, and could not.
                #expect(calls.contains { $0.contains("AF_INET") && $0.contains("SOCK_DGRAM") && $0.contains("EACCES") })
            }
        }

        /// A network of its own counts what the process sends: nothing, and with the filter left out something.
        @Test(.enabled(if: hasNamespaces, "network namespaces cannot be made here"))
        func aNetworkOfItsOwnCountsNothing() throws {
            func count(_ name: String) throws -> (opens: Int, datagrams: Int) {
                let outcome = try Self.run(
                    "/usr/bin/unshare",
                    [
                        "-r", "-n", "/bin/sh", "-c",
                        "ip link set lo up 2>/dev/null; \"$0\" sovereign \(name) >&2; grep -E '^(Tcp|Udp):' /proc/net/snmp",
                        Self.program,
                    ])
                func value(_ kind: String, _ column: String) throws -> Int {
                    let rows = outcome.lines.filter { $0.hasPrefix("\(kind):") }.map { $0.split(separator: " ") }
                    let position = try #require(rows.first?.firstIndex(of: Substring(column)))
                    return try #require(Int(rows[1][position]))
                }
                return (try value("Tcp", "ActiveOpens"), try value("Udp", "OutDatagrams"))
            }
            let enforced = try count("enforced")
            #expect(enforced.opens == 0 && enforced.datagrams == 0)
            let open = try count("open")
            #expect(open.opens > 0 && open.datagrams > 0)
        }
    }
#else
    @Suite struct SovereignTests {
        @Test func elsewhereItSaysThatItIsNotAvailable() {
            #expect(throws: SovereignError.self) { try Sovereign.enforce() }
            #expect(!Sovereign.isEnforced)
        }
    }
#endif
