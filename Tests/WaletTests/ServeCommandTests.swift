import Foundation
import Testing
import Walet

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

#if os(Linux)
    /// `walet serve` as a process of its own.
    @Suite struct ServeCommandTests {
        private static let tracer = "/usr/bin/strace"
        static let canTrace: Bool = {
            let process = Process()
            process.executableURL = URL(filePath: tracer)
            process.arguments = ["-f", "-e", "trace=connect", "-o", "/dev/null", "/bin/true"]
            process.standardError = FileHandle.nullDevice
            guard (try? process.run()) != nil else { return false }
            process.waitUntilExit()
            return process.terminationStatus == 0
        }()

        /// A server under a tracer, ready when it is made, ended when it is let go.
        private final class TracedServer {
            let folder: URL
            let url: URL
            private let process = Process()
            private let server: pid_t

            init(_ options: [String]) async throws {
                folder = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                let log = folder.appending(path: "log")
                try Data().write(to: log)
                process.executableURL = URL(filePath: ServeCommandTests.tracer)
                // The shell becomes the server, so its number is the server's.
                process.arguments = [
                    "-f", "-qq", "-e", "trace=network,io_uring_setup", "-e", "signal=none", "-o",
                    folder.appending(path: "trace").path, "/bin/sh", "-c", "echo $$ > \"$0\"; exec \"$@\"",
                    folder.appending(path: "pid").path, ToolRun.tool.path, "serve", "--port", "0",
                    "--database", folder.appending(path: "accounts.sqlite").path,
                ]
                process.arguments? += options
                let errors = try FileHandle(forWritingTo: log)
                process.standardOutput = errors
                process.standardError = errors
                process.standardInput = FileHandle.nullDevice
                try process.run()
                var address: URL?
                for _ in 0..<600 where address == nil && process.isRunning {
                    try await Task.sleep(for: .milliseconds(100))
                    for line in try String(contentsOf: log, encoding: .utf8).split(separator: "\n") {
                        guard let entry = try? JSONValue(parsing: String(line)), line.contains("\"listening\"") else {
                            continue
                        }
                        address = (entry["url"] ?? entry["metadata"]?["url"])?.stringValue.flatMap { URL(string: $0) }
                    }
                }
                server =
                    pid_t(
                        try String(contentsOf: folder.appending(path: "pid"), encoding: .utf8)
                            .trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
                let text = (try? String(contentsOf: log, encoding: .utf8)) ?? ""
                url = try #require(address, "no server: \(text)")
            }

            /// Ends the server as a service manager does; what the kernel was asked for, call by call.
            func end() throws -> (status: Int32, calls: [String]) {
                kill(server, SIGTERM)
                process.waitUntilExit()
                let trace = try String(contentsOf: folder.appending(path: "trace"), encoding: .utf8)
                return (process.terminationStatus, trace.split(separator: "\n").map(String.init))
            }

            deinit {
                if process.isRunning { kill(server, SIGKILL) }
                try? FileManager.default.removeItem(at: folder)
            }
        }

        private func post(_ url: URL, _ body: JSONValue) async throws -> (status: Int, answer: JSONValue) {
            var request = URLRequest(url: url)
            request.httpMethod = "POST"
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
            request.httpBody = Data(body.text().utf8)
            let (data, response) = try await URLSession.shared.data(for: request)
            return (
                (response as? HTTPURLResponse)?.statusCode ?? 0,
                try JSONValue(parsing: String(decoding: data, as: UTF8.self))
            )
        }

        /// A whole life of the server (start, page, metrics, answers with and without a schema, drain), as the kernel saw it.
        @Test(.enabled(if: canTrace, "strace is not installed or may not trace here"))
        func aSovereignServerAnswersAndAsksNobody() async throws {
            let server = try await TracedServer(["m=\(TestFiles.smollm2)", "--sovereign", "--open-metrics"])
            let (status, answer) = try await post(
                server.url.appending(path: "v1/chat/completions"),
                [
                    "model": "m", "temperature": 0, "max_tokens": 40,
                    "messages": [["role": "user", "content": "What is the capital of Germany?"]],
                ])
            #expect(status == 200)
            let message = answer["choices"]?.arrayValue?.first?["message"]
            #expect(message?["content"]?.stringValue?.contains("Berlin") == true, "\(answer.text())")
            let structured = try await post(
                server.url.appending(path: "v1/chat/completions"),
                [
                    "model": "m", "max_tokens": 20, "response_format": ["type": "json_object"],
                    "messages": [["role": "user", "content": "Name a city."]],
                ])
            #expect(structured.status == 200)
            for path in ["", "metrics", "v1/models", "openapi.json"] {
                let (_, response) = try await URLSession.shared.data(from: server.url.appending(path: path))
                #expect((response as? HTTPURLResponse)?.statusCode == 200, "/\(path)")
            }
            let (ended, calls) = try server.end()
            #expect(ended == 0)
            #expect(calls.contains { $0.contains("listen(") } && calls.contains { $0.contains("accept") })
            for call in calls {
                let isRefused =
                    call.contains("= -1 EACCES") || call.contains("= -1 EPERM") || call.contains("= -1 ENOSYS")
                if call.contains("connect(") || call.contains("sendmmsg(") || call.contains("io_uring_setup(") {
                    #expect(isRefused, "\(call)")
                }
                // Data without an address goes to who is connected already.
                if call.contains("sendto(") { #expect(isRefused || call.contains("NULL, 0)"), "\(call)") }
                if call.contains("sendmsg(") { #expect(isRefused || call.contains("msg_name=NULL"), "\(call)") }
                if call.contains("socket(") {
                    #expect(isRefused || call.contains("SOCK_STREAM"), "\(call)")
                }
            }
        }
    }
#endif
