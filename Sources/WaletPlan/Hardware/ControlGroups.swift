// What Linux's control groups allow this process.

import Foundation

/// Control groups, of either version, that a process is in: each may limit the memory of all processes in it and below.
public struct ControlGroups: Sendable {
    /// Files that may say a limit in bytes, from the process's own groups up to the roots.
    public let limitFiles: [String]

    /// - Parameter membership: what `/proc/self/cgroup` says, lines of `number:controllers:path`.
    public init(membership: String) {
        var files: [String] = []
        for line in membership.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let root: String
            let name: String
            if fields[0] == "0", fields[1].isEmpty {
                (root, name) = ("/sys/fs/cgroup", "memory.max")
            } else if fields[1].split(separator: ",").contains("memory") {
                (root, name) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            } else {
                continue
            }
            // Inside a container the path may be one of the host, which is not there: the root then stands for the container's.
            var parts = fields[2].split(separator: "/").map(String.init)
            guard !parts.contains("..") else {
                files.append("\(root)/\(name)")
                continue
            }
            while !parts.isEmpty {
                files.append("\(root)/\(parts.joined(separator: "/"))/\(name)")
                parts.removeLast()
            }
            files.append("\(root)/\(name)")
        }
        limitFiles = files
    }

    /// The groups of this process; none where there is no such file.
    public init() {
        self.init(membership: Self.text("/proc/self/cgroup") ?? "")
    }

    /// The least limit of memory in bytes, nil where nothing limits it. "max" and files that are not there are no limit.
    public func memoryLimit(reading: (String) -> String? = ControlGroups.text) -> Int? {
        limitFiles.compactMap { path in
            reading(path).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        }.filter { $0 > 0 }.min()
    }

    /// What a file says, nil where it cannot be read.
    public static func text(_ path: String) -> String? {
        try? String(contentsOfFile: path, encoding: .utf8)
    }
}
