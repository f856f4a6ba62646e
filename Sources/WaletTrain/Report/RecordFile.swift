// Lines of JSON at the end of a file: appended whole, and cut where a crash left half of one.

import WaletJSON

/// Appends records to a file of lines.
struct RecordFile {
    private let file: StorageFile
    private var end: Int

    static let maximumBytes = 8 << 30

    /// Opens a file, makes it where it is missing, and cuts what follows the last whole line that is to be kept.
    /// - Parameter keeps: false for the first line that is to go, with all after it; it throws for one that is wrong.
    init(
        _ name: String, in folder: StorageFolder,
        keeping keeps: (UnsafeRawBufferPointer) throws(RecordFields.Broken) -> Bool
    ) throws(MetricsError) {
        let bytes: [UInt8]
        do throws(StorageError) {
            file = try folder.file(name, .create)
            bytes = try folder.contents(name, limit: Self.maximumBytes)
        } catch {
            throw .storage(error)
        }
        end = 0
        var kept = 0
        try Self.lines(bytes, path: file.path) { (line, lineEnd) throws(RecordFields.Broken) in
            guard try keeps(line) else { return false }
            kept = lineEnd
            return true
        }
        end = kept
        do throws(StorageError) {
            if end < bytes.count { try file.truncate(to: end) }
            try folder.synchronize()
        } catch {
            throw .storage(error)
        }
    }

    mutating func append(_ text: String) throws(MetricsError) {
        let line = Array(text.utf8) + [0x0A]
        do throws(StorageError) {
            try file.write(line, at: end)
        } catch {
            // Half a line must not stay before the next one.
            try? file.truncate(to: end)
            throw .storage(error)
        }
        end += line.count
    }

    func synchronize() throws(MetricsError) {
        do throws(StorageError) { try file.synchronize() } catch { throw .storage(error) }
    }

    /// Calls a closure with each line that has an end, and the place of that end, until it says no.
    /// - Throws: what is wrong with a line, with its number.
    static func lines(
        _ bytes: [UInt8], path: String,
        _ body: (UnsafeRawBufferPointer, Int) throws(RecordFields.Broken) -> Bool
    ) throws(MetricsError) {
        var start = 0
        var number = 0
        while let end = bytes[start...].firstIndex(of: 0x0A) {
            number += 1
            let result: Result<Bool, RecordFields.Broken> = bytes[start..<end].withUnsafeBytes { line in
                do throws(RecordFields.Broken) { return .success(try body(line, end + 1)) } catch {
                    return .failure(error)
                }
            }
            switch result {
            case .success(true): start = end + 1
            case .success(false): return
            case .failure(let error): throw .badRecord(file: path, line: number, reason: error.reason)
            }
        }
    }
}
