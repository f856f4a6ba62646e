import Foundation
import Testing
import WaletFormats
import WaletPlan

@Suite(.serialized) struct ProbeTests {
    @Test func memoryIsRead() throws {
        let speed = try MemoryProbe.readSpeed(bytes: 64 << 20, passes: 3)
        #expect((1e8...1e13).contains(speed))
        #expect(throws: PlanError.self) { try MemoryProbe.readSpeed(bytes: 1000) }
    }

    @Test func filesInThePageCacheAreReadBesideOtherMemory() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "walet-probe-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(repeating: 7, count: 9 << 20).write(to: URL(filePath: path))
        let share = try #require(try MappedProbe.share(files: [path, "/nowhere"], bytes: 8 << 20, least: 8 << 20))
        #expect(share > 0 && share <= 1)
        #expect(try MappedProbe.share(files: [path], least: 16 << 20) == nil)
        #expect(try MappedProbe.share(files: [path, path], least: 16 << 20) == nil)
        #expect(try MappedProbe.share(files: ["/nowhere", "/"], least: 0) == nil)
    }

    @Test(arguments: ["moonlight", "kimi-k2-thinking", "deepseek-v3", "llama-3.1-8b"])
    func kernelsAreTimedOnEachPacking(_ name: String) throws {
        let result = try #require(try KernelProbe.measure(Fixtures.shape(name), budget: 32 << 20))
        #expect((1e7...1e13).contains(result.readSpeed))
        #expect((1e7...1e15).contains(result.operations))
    }

    @Test(arguments: ["moonlight", "kimi-k2-thinking", "llama-3.1-8b"])
    func attentionIsTimedOnEachForm(_ name: String) throws {
        let shape = try Fixtures.shape(name)
        let seconds = try #require(try AttentionProbe.secondsPerPosition(shape, budget: 8 << 20))
        #expect((1e-12...1e-3).contains(seconds))
        #expect(try #require(try AttentionProbe.secondsPerPosition(shape, threads: 1, budget: 8 << 20)) > 0)
    }

    @Test func attentionOverOtherCachesIsNotTimed() throws {
        var shape = try Fixtures.shape("moonlight")
        shape.attention = nil
        #expect(try AttentionProbe.secondsPerPosition(shape) == nil)
    }

    @Test(arguments: Fixtures.models)
    func kernelsAreTimedOnFilesOrSaidToBeUnknown(_ path: String) throws {
        let shape = try ModelShape(ModelFolder(path))
        if let result = try KernelProbe.measure(shape, budget: 4 << 20) { #expect(result.readSpeed > 0) }
    }

    @Test func aDiskIsReadAndItsFileRemoved() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-plan-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let result = try DiskProbe.readSpeed(folder: folder.path, block: 1 << 20, size: 32 << 20)
        #expect(result.speed > 1e6 && result.bytesRead > 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test func whatCannotBeReadIsSaid() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-plan-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let small = folder.appending(path: "small")
        try Data(count: 5000).write(to: small)
        for (path, words) in [
            (folder.path + "/none", "No such file"), (small.path, "less than two blocks"),
            (folder.path, "regular file"),
        ] {
            let error = #expect(throws: PlanError.self) { try DiskProbe.readSpeed(file: path, block: 4096) }
            #expect(error?.description.contains(words) == true, "\(String(describing: error))")
            #expect(error?.description.contains("give --disk-speed") == true)
        }
        #expect(throws: PlanError.self) { try DiskProbe.readSpeed(folder: "/proc", block: 1 << 20) }
    }
}

struct ControlGroupsTests {
    @Test func theLeastLimitOfAllGroupsAboveCounts() {
        let groups = ControlGroups(membership: "9:name=systemd:/\n4:memory,hugetlb:/a/b\n0::/user.slice/x:y\n")
        #expect(
            groups.limitFiles == [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/user.slice/x:y/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max", "/sys/fs/cgroup/memory.max",
            ])
        let texts = [
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4096\n",
            "/sys/fs/cgroup/user.slice/x:y/memory.max": "max\n",
            "/sys/fs/cgroup/memory.max": "8192\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "-1",
        ]
        #expect(groups.memoryLimit { texts[$0] } == 4096)
        #expect(groups.memoryLimit { _ in nil } == nil)
        #expect(groups.memoryLimit { _ in "99999999999999999999999" } == nil)
    }

    @Test(arguments: ["", "\n\n", "4:memory", "::", "0::", "0::/../..", ":memory:", "4:memory:/\u{0}/\u{1F600}"])
    func whateverTheKernelSaysEnds(_ membership: String) {
        let files = ControlGroups(membership: membership).limitFiles
        #expect(files.allSatisfy { $0.hasPrefix("/sys/fs/cgroup") && !$0.contains("..") })
    }
}
