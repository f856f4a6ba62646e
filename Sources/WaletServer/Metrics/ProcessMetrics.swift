// What the system knows about this process, under the names that Prometheus' clients agree on.

import Foundation

/// Memory, processor time and open files of this process, read at each scrape. Empty where there is no `/proc`.
public struct ProcessMetrics: MetricSource {
    public init() {}

    public func collect() -> [MetricsPage.Family] {
        guard
            let stat = Self.read("/proc/self/stat").flatMap({ Stat($0, ticksPerSecond: sysconf(Int32(_SC_CLK_TCK))) })
        else { return [] }
        var families = [
            Self.family("process_cpu_seconds", .counter, "Processor time used, user and system.", stat.cpuSeconds),
            Self.family(
                "process_resident_memory_bytes", .gauge, "Resident memory, mapped weights included.",
                Double(stat.residentPages) * Double(sysconf(Int32(_SC_PAGESIZE)))),
            Self.family("process_virtual_memory_bytes", .gauge, "Virtual memory.", Double(stat.virtualBytes)),
        ]
        if let boot = Self.read("/proc/stat").flatMap(Self.bootTime) {
            families.append(
                Self.family(
                    "process_start_time_seconds", .gauge, "When the process began, in seconds since 1970.",
                    boot + stat.startSeconds))
        }
        if let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            families.append(Self.family("process_open_fds", .gauge, "Open file descriptors.", Double(open.count)))
        }
        var limit = rlimit()
        if getrlimit(Self.openFiles, &limit) == 0, limit.rlim_cur <= 1 << 40 {
            families.append(
                Self.family("process_max_fds", .gauge, "Open file descriptors, at most.", Double(limit.rlim_cur)))
        }
        return families
    }

    private static func family(
        _ name: String, _ kind: MetricKind, _ help: String, _ value: Double
    ) -> MetricsPage.Family {
        MetricsPage.Family(name, kind, help, [MetricSample(kind == .counter ? "_total" : "", [], value)])
    }

    #if canImport(Glibc)
        private static let openFiles = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
        private static let openFiles = RLIMIT_NOFILE
    #endif

    /// The fields of `/proc/PID/stat` that are shown. Source: proc_pid_stat(5).
    struct Stat: Equatable {
        var cpuSeconds: Double
        var startSeconds: Double
        var virtualBytes: UInt64
        var residentPages: UInt64

        /// Nil where the text is not of that form.
        init?(_ text: String, ticksPerSecond: Int) {
            // The second field is the program's name in brackets, which may hold spaces and brackets itself.
            guard ticksPerSecond > 0, let bracket = text.lastIndex(of: ")") else { return nil }
            let fields = text[text.index(after: bracket)...].split(separator: " ")
            // Fields are counted from 1 in the manual, and the first here is the third there.
            func field(_ number: Int) -> UInt64? {
                fields.indices.contains(number - 3) ? UInt64(fields[number - 3]) : nil
            }
            guard let user = field(14), let system = field(15), let start = field(22), let bytes = field(23),
                let pages = field(24)
            else { return nil }
            cpuSeconds = (Double(user) + Double(system)) / Double(ticksPerSecond)
            startSeconds = Double(start) / Double(ticksPerSecond)
            virtualBytes = bytes
            residentPages = pages
        }
    }

    /// The line `btime` of `/proc/stat`: when the machine started, in seconds since 1970.
    static func bootTime(_ text: String) -> Double? {
        text.split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap { Double($0.dropFirst(6)) }
    }

    /// Files of `/proc` say that they are empty, so that they are read to their end instead of by their size.
    private static func read(_ path: String) -> String? {
        guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? handle.close() }
        guard let data = try? handle.read(upToCount: 1 << 20) else { return nil }
        return String(decoding: data, as: UTF8.self)
    }
}
