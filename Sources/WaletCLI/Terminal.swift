import Foundation
import Synchronization
import Walet

/// What goes to the person in front, and how.
enum Terminal {
    static let outputIsTerminal = isatty(STDOUT_FILENO) == 1
    static let errorIsTerminal = isatty(STDERR_FILENO) == 1
    static let inputIsTerminal = isatty(STDIN_FILENO) == 1

    /// A line for standard error.
    static func log(_ message: String) { write(message + "\n", to: .standardError) }

    /// Text for standard output, at once. Control characters of a model's answer do not reach a terminal: they could
    /// move its cursor, rename its window or do worse.
    static func output(_ text: String) { write(outputIsTerminal ? printable(text) : text, to: .standardOutput) }

    /// Reasoning: on standard error, dimmed where that is a terminal.
    static func thinking(_ text: String) {
        write(errorIsTerminal ? "\u{1B}[2m\(printable(text))\u{1B}[22m" : text, to: .standardError)
    }

    /// Text for standard error as it is, such as progress bars that move the cursor.
    static func progress(_ text: String) { write(text, to: .standardError) }

    static func printable(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
            result.unicodeScalars.append(isControl && scalar != "\n" && scalar != "\t" ? "\u{FFFD}" : scalar)
        }
        return result
    }

    private static func write(_ text: String, to handle: FileHandle) {
        try? handle.write(contentsOf: Data(text.utf8))
    }

    /// One line that says what went wrong.
    static func describe(_ error: any Error) -> String { "\(error)" }

    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        var units = ["B", "kB", "MB", "GB", "TB"][...]
        while value >= 1000, units.count > 1 {
            value /= 1000
            units.removeFirst()
        }
        return units.first == "B"
            ? "\(count) B" : String(format: value < 10 ? "%.2f %@" : "%.1f %@", value, units.first!)
    }

    static func count(_ number: Int) -> String {
        let value = Double(number)
        return switch number {
        case 1_000_000_000...: String(format: value < 1e11 ? "%.2fB" : "%.0fB", value / 1e9)
        case 1_000_000...: String(format: "%.1fM", value / 1e6)
        case 1000...: String(format: "%.1fk", value / 1e3)
        default: "\(number)"
        }
    }

    /// A table with columns as wide as their widest cell.
    static func table(_ rows: [[String]]) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { index, cell in
                index == row.count - 1 ? cell : cell.padding(toLength: widths[index], withPad: " ", startingAt: 0)
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}

/// Memory of this process.
enum ProcessMemory {
    /// The most that was resident so far, mapped files included, in bytes.
    static var peakResidentBytes: Int {
        #if os(Linux)
            // Not getrusage: its figure survives exec, so that a large parent would count.
            guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
                let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
                let kilobytes = Int(line.split(whereSeparator: { $0 == " " || $0 == "\t" })[1])
            else { return 0 }
            return kilobytes * 1024
        #else
            var usage = rusage()
            return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0
        #endif
    }
}

/// Ctrl-C, while a body runs: cancels that and nothing else.
enum Interrupt {
    /// Runs `body` as a task that Ctrl-C cancels.
    static func cancelling<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value
    {
        let task = Task { try await body() }
        signal(SIGINT, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
        source.setEventHandler { task.cancel() }
        source.resume()
        defer {
            source.cancel()
            signal(SIGINT, SIG_DFL)
        }
        return try await task.value
    }
}
