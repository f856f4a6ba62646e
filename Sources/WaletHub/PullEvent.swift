// What a pull tells while it runs.

/// How far a file has come.
public struct PullProgress: Sendable, Equatable {
    public let file: String
    public let bytesDone: Int
    /// Nil where the hub does not tell.
    public let bytesTotal: Int?
    /// Over the last seconds.
    public let bytesPerSecond: Double

    public init(file: String, bytesDone: Int, bytesTotal: Int?, bytesPerSecond: Double) {
        self.file = file
        self.bytesDone = bytesDone
        self.bytesTotal = bytesTotal
        self.bytesPerSecond = bytesPerSecond
    }
}

/// A step of a pull. Events come one at a time, from whatever thread.
public enum PullEvent: Sendable, Equatable {
    /// The hub has answered: the commit, the files to be in the folder in the end, all their bytes, and how many of
    /// those are here already.
    case planned(repository: String, commit: String?, files: Int, bytes: Int, bytesHere: Int)
    /// A file on the disk is being read to see whether it is the one that is wanted.
    case checking(file: String)
    case progress(PullProgress)
    /// Something went wrong that may pass; the pull waits and goes on.
    case retrying(file: String, reason: String, delay: Duration)
    /// A file has arrived, is checked, and is on the disk.
    case finished(file: String, bytes: Int)
    /// Everything is in place.
    case completed(model: String, files: Int, bytes: Int, changed: Bool)
}
