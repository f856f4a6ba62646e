// Which process this is, so that others on the same machine can tell whether it still runs.

import Foundation

/// A process, named so that no later process is taken for it.
package struct ProcessIdentity: Sendable, Hashable {
    /// The machine since its last start, and the space of process numbers in it (a container has its own); "" where this
    /// is not known.
    package let host: String
    let number: Int
    /// When it began, as the system counts.
    let start: String

    package init(host: String, number: Int, start: String) {
        self.host = host
        self.number = number
        self.start = start
    }

    package static let current: ProcessIdentity = {
        let number = Int(ProcessInfo.processInfo.processIdentifier)
        let boot = (try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)) ?? ""
        let space = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/pid")) ?? ""
        guard !boot.isEmpty, !space.isEmpty, let start = start(of: number) else {
            return ProcessIdentity(host: "", number: number, start: "")
        }
        return ProcessIdentity(
            host: "\(boot.trimmingCharacters(in: .whitespacesAndNewlines)) \(space)", number: number, start: start)
    }()

    /// It ran on this machine and ended. False also where that cannot be known from here.
    package var hasEnded: Bool {
        guard !host.isEmpty, host == Self.current.host else { return false }
        return Self.start(of: number) != start
    }

    /// When a process of this machine began; nil where there is none, or none that still does anything.
    private static func start(of number: Int) -> String? {
        guard number > 0, let text = try? String(contentsOfFile: "/proc/\(number)/stat", encoding: .utf8),
            // The name before may hold spaces and parentheses. After it: the state, and 19 fields later the start
            // (proc(5), /proc/pid/stat).
            let name = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: name)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
        return String(fields[19])
    }
}
