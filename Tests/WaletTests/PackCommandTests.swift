import Foundation
import Testing
import Walet

/// `walet pack` as an operator meets it.
@Suite struct PackCommandTests {
    private static func fixture(_ name: String) -> String {
        TestFiles.fixtures.appending(path: "models/\(name)").path
    }

    /// A name in the temporary folder.
    private final class Target {
        let path = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)").path
        var exists: Bool { FileManager.default.fileExists(atPath: path) }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func names() -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
        func read(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: path + "/" + name)) }
    }

    @Test(arguments: ["kimi-k2-thinking", "gguf-qwen3moe", "deepseek-v3-fp8"])
    func scoresOfAPackedModelAreThoseOfItsSource(_ name: String) async throws {
        let target = Target()
        let packed = try await ToolRun(["pack", Self.fixture(name), "--out", target.path, "--force", "--json"])
        #expect(packed.code == 0, "\(packed.errors)")
        let json = try #require(packed.json)
        #expect(json["verdict"] == "unmeasured")
        #expect(json["packed"]?["stretches"] == 1.0)
        #expect(json["written"]?["found"] == 0)
        let files = json["written"]?["files"]?.arrayValue ?? []
        #expect(target.names() == (files.compactMap { $0["name"]?.stringValue } + ["pack.json"]).sorted())
        #expect(files.allSatisfy { $0["sha256"]?.stringValue?.count == 64 })
        #expect(packed.errors.split(separator: "\n").count == files.count)

        let score = ["--tokens", "5,6,7,8,9,30,41", "--top", "3", "--json"]
        let whole = try await ToolRun(["score", Self.fixture(name)] + score)
        for extra in [[], ["--memory", "1.5M"], ["--memory", "1.5M", "--expert-reads", "buffered"]] {
            let run = try await ToolRun(["score", target.path] + score + extra)
            #expect(run.code == 0, "\(run.errors)")
            #expect(run.output == whole.output)
        }
        let again = try await ToolRun(["pack", Self.fixture(name), "--out", target.path])
        #expect(again.code == 0, "\(again.errors)")
        #expect(again.output.contains("\(files.count) of them from an earlier run; "))
        #expect(again.output.hasSuffix("each read again and equal to the source's, byte for byte\n"))
        // What is packed need not be packed.
        let other = Target()
        let twice = try await ToolRun(["pack", target.path, "--out", other.path])
        #expect(twice.code == 0 && !other.exists)
        #expect(
            twice.output.hasSuffix(
                "nothing is written: each expert is one stretch already; --force packs all the same\n"))
    }

    @Test func whatDoesNotPayIsNotWritten() async throws {
        let target = Target()
        let run = try await ToolRun(["pack", Self.fixture("kimi-k2-thinking"), "--out", target.path])
        #expect(run.code == 0, "\(run.errors)")
        #expect(run.output.contains("the model fits in memory"))
        #expect(run.output.contains("GB/s, smallest / median / largest of 5 rounds"))
        #expect(!target.exists)
    }

    @Test func aDryRunMeasuresAndWritesNothing() async throws {
        let target = Target()
        let run = try await ToolRun([
            "pack", Self.fixture("kimi-k2-thinking"), "--out", target.path, "--dry-run", "--memory", "220K", "--json",
        ])
        #expect(run.code == 0, "\(run.errors)")
        #expect(["small", "pays"].contains(run.json?["verdict"]?.stringValue))
        #expect(run.json?["gain"]?.doubleValue != nil)
        #expect((run.json?["now"]?["stretches"]?.doubleValue ?? 0) > 1)
        #expect(run.json?["now"]?["gb_per_second"]?.arrayValue?.count == 5)
        #expect(run.json?["written"] == .null)
        #expect((run.json?["free_bytes"]?.intValue ?? 0) > 0)
        #expect(!target.exists)
    }

    @Test func wrongUsageAndWhatCannotBePackedAreSaid() async throws {
        let moe = Self.fixture("moonlight")
        for arguments in [[moe], [moe, "--out"], [moe, "--out", "x", "--memory", "three"]] {
            #expect(try await ToolRun(["pack"] + arguments).code == 2, "\(arguments)")
        }
        let target = Target()
        for (name, words) in [
            ("llama", "expected a model with routed experts, found a dense one"),
            ("deepseek-v3-fused", "gate and up lie side by side"), ("moonlight/config.json", "a configuration alone"),
        ] {
            let run = try await ToolRun(["pack", Self.fixture(name), "--out", target.path, "--force"])
            #expect(run.code == 1 && run.output.isEmpty)
            #expect(run.errors.hasPrefix("walet: \(Self.fixture(name))") && run.errors.contains(words), "\(run.errors)")
        }
        let itself = try await ToolRun(["pack", moe, "--out", moe, "--force"])
        #expect(itself.code == 1 && itself.errors.contains("found the model's own"))
        #expect(!target.exists)
    }

    #if os(Linux)
        /// Files may not grow beyond a limit, which looks like a full disk.
        @Test func aFullDiskIsAnErrorAndLeavesNoHalfFile() async throws {
            let (target, whole) = (Target(), Target())
            let pack = "trap '' XFSZ; ulimit -f 200; exec \"$0\" pack \"$1\" --out \"$2\" --force"
            let process = Process()
            process.executableURL = URL(filePath: "/bin/sh")
            process.arguments = ["-c", pack, ToolRun.tool.path, Self.fixture("kimi-k2"), target.path]
            let errors = Pipe()
            process.standardOutput = FileHandle.nullDevice
            process.standardError = errors
            try process.run()
            let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 1)
            let last = text.split(separator: "\n").last ?? ""
            #expect(
                last.hasPrefix("walet: \(target.path)/model-0000") && last.contains("room on the disk for its"),
                "\(text)")
            #expect(!target.names().contains { $0.hasSuffix(".partial") })

            for folder in [target, whole] {
                let run = try await ToolRun(["pack", Self.fixture("kimi-k2"), "--out", folder.path, "--force"])
                #expect(run.code == 0, "\(run.errors)")
            }
            try expectEqual(target, whole)
        }

        private func expectEqual(_ target: Target, _ whole: Target) throws {
            #expect(target.names() == whole.names())
            for name in whole.names() where name != "pack.json" {
                #expect(try target.read(name) == whole.read(name), "\(name)")
            }
        }

        /// After each kill, whatever has its name is whole, and a run after all of them finishes the rest.
        @Test func killsAtRandomMomentsLeaveWholeFilesAlone() async throws {
            let (target, whole) = (Target(), Target())
            let pack = ["pack", Self.fixture("kimi-k2"), "--force", "--out"]
            let start = ContinuousClock.now
            #expect(try await ToolRun(pack + [whole.path]).code == 0)
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            var (killed, named) = (0, 0)
            for round in 0..<30 {
                if round % 5 == 0 { try? FileManager.default.removeItem(atPath: target.path) }
                let process = Process()
                process.executableURL = ToolRun.tool
                process.arguments = pack + [target.path]
                process.standardOutput = FileHandle.nullDevice
                process.standardError = FileHandle.nullDevice
                try process.run()
                try await Task.sleep(for: .seconds(Double.random(in: 0...seconds)))
                kill(process.processIdentifier, SIGKILL)
                process.waitUntilExit()
                if process.terminationReason == .uncaughtSignal { killed += 1 }
                for name in target.names() where !name.hasSuffix(".partial") && name != "pack.json" {
                    named += 1
                    #expect(try target.read(name) == whole.read(name), "\(name)")
                }
                if target.names().contains("pack.json") {
                    #expect(throws: Never.self) { try JSONValue(parsing: target.read("pack.json")) }
                }
            }
            print("pack: \(killed) kills, after which \(named) files had their names")
            #expect(killed > 0)
            #expect(try await ToolRun(pack + [target.path]).code == 0)
            try expectEqual(target, whole)
        }
    #endif
}
