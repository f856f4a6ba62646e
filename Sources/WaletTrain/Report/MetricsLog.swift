// The two files that a run writes about itself.

/// Writes `metrics.jsonl` and `journal.jsonl` in a run's folder.
///
/// A run that resumes at a step cuts the metrics after it and writes them anew, the same ones. For that the metrics of a
/// step must be on the disk before its checkpoint is:
///
/// ```swift
/// var log = try MetricsLog(folder: run, resumingAt: restored?.snapshot.state.step ?? 0)
/// try log.append(.step(metrics))
/// try log.synchronize()
/// try store.save(snapshot)
/// ```
public struct MetricsLog {
    static let metricsName = "metrics.jsonl"
    static let journalName = "journal.jsonl"

    private var metrics: RecordFile
    private var journal: RecordFile

    /// - Parameters:
    ///   - path: of the run; made where it is missing.
    ///   - step: metrics of later steps are cut, and so is half a line at the end.
    /// - Throws: ``MetricsError``; a record that is wrong is not cut but named.
    public init(folder path: String, resumingAt step: Int) throws(MetricsError) {
        let folder: StorageFolder
        do throws(StorageError) { folder = try StorageFolder(path, create: true) } catch { throw .storage(error) }
        metrics = try RecordFile(Self.metricsName, in: folder) { (line) throws(RecordFields.Broken) in
            try MetricsRecord(line: line).step <= step
        }
        journal = try RecordFile(Self.journalName, in: folder) { (line) throws(RecordFields.Broken) in
            _ = try JournalRecord(line: line)
            return true
        }
    }

    /// - Throws: ``MetricsError/storage(_:)``; the file is then as it was.
    public mutating func append(_ record: MetricsRecord) throws(MetricsError) { try metrics.append(record.text) }

    /// - Throws: ``MetricsError/storage(_:)``; the file is then as it was.
    public mutating func append(_ record: JournalRecord) throws(MetricsError) {
        try journal.append(record.json.text(.compact))
    }

    /// Returns when all records are on the disk.
    public func synchronize() throws(MetricsError) {
        try metrics.synchronize()
        try journal.synchronize()
    }
}
