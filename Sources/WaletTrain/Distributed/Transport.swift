/// How bytes get from one process of a run to another: all that training needs of a library such as MPI.
///
/// All processes make the same calls in the same order, each from one thread.
public protocol Transport: AnyObject {
    /// This process, from 0.
    var rank: Int { get }
    /// How many there are.
    var size: Int { get }
    /// How many of them may run on the same cores as this one, itself included.
    var coreSharers: Int { get }

    /// Each process's bytes for each other: those of `sent[other]` arrive there as `received[rank]`. Those for this process
    /// itself are not copied.
    /// - Parameter received: room for as many bytes from each process as that one sends here.
    /// - Throws: ``CommunicationError/lost(operation:reason:)`` where another process is gone or does not answer. Nothing can
    ///   be exchanged after that.
    func exchange(
        _ sent: [UnsafeRawBufferPointer], _ received: [UnsafeMutableRawBufferPointer]
    ) throws(CommunicationError)

    /// Leaves the others, once all of them do.
    func end() throws(CommunicationError)

    /// Ends all processes of the run, those too that wait for this one.
    func abort(code: Int32)
}

/// Why processes cannot go on together.
public enum CommunicationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Another process is gone or does not answer.
    case lost(operation: String, reason: String)
    /// The processes do not agree on something that all must have alike.
    case differs(what: String, rank: Int)
    /// Several processes were started with a program that knows of none but itself.
    case notBuilt(processes: Int)

    public var description: String {
        switch self {
        case .lost(let operation, let reason):
            "another process of this run is lost (\(operation): \(clean(reason))); start it again with --resume"
        case .differs(let what, let rank): "process \(rank) of this run has another \(what) than process 0"
        case .notBuilt(let processes):
            "mpirun started \(processes) processes, and this program was built to train on one; build it with "
                + "`swift build -c release --traits MPI`, or start it without mpirun"
        }
    }
}
