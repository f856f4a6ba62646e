// How the processes of one training run talk to each other; one process alone talks to itself.

/// The processes that train one model together. All of them make the same calls in the same order.
///
/// Sums are taken in the order of the ranks, so that every rank gets the same bits, and a run repeated with as many ranks
/// the same weights. A call that cannot be finished, since another process is gone, throws; the run then ends, and resumes
/// with another number of ranks.
public protocol Communicator: AnyObject {
    /// This process, from 0.
    var rank: Int { get }
    /// How many there are.
    var size: Int { get }

    /// Each value becomes the sum of all ranks' values, on every rank.
    func sum(_ values: UnsafeMutableBufferPointer<Float>) throws(CommunicationError)

    /// The same for statistics, which are few.
    func sum(_ values: UnsafeMutableBufferPointer<Double>) throws(CommunicationError)

    /// Each value becomes the largest of all ranks' values, on every rank; a NaN of any rank stays one.
    func maximum(_ values: UnsafeMutableBufferPointer<Float>) throws(CommunicationError)

    /// The sum of all ranks' values on one of them; on the others the values are undefined afterwards.
    func sum(_ values: UnsafeMutableBufferPointer<Float>, on owner: Int) throws(CommunicationError)

    /// The bytes of one rank, on every rank, which all have room for as many.
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from owner: Int) throws(CommunicationError)

    /// Each rank's bytes for each other: those of `sent[other]` arrive there as `received[rank]`.
    /// - Parameter received: as many bytes from each rank as that one sends here.
    func exchange(
        _ sent: [UnsafeRawBufferPointer], _ received: [UnsafeMutableRawBufferPointer]
    ) throws(CommunicationError)

    /// Returns when all ranks have called it.
    func wait() throws(CommunicationError)
}

/// Why processes cannot go on together.
public enum CommunicationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Another process is gone or does not answer.
    case lost(operation: String, reason: String)
    /// The processes do not agree on something that all must have alike.
    case differs(what: String, rank: Int)

    public var description: String {
        switch self {
        case .lost(let operation, let reason):
            "another process of this run is lost (\(operation): \(clean(reason))); start it again with --resume"
        case .differs(let what, let rank): "process \(rank) of this run has another \(what) than process 0"
        }
    }
}

/// One process alone.
public final class SingleProcess: Communicator {
    public init() {}

    public var rank: Int { 0 }
    public var size: Int { 1 }
    public func sum(_ values: UnsafeMutableBufferPointer<Float>) {}
    public func sum(_ values: UnsafeMutableBufferPointer<Double>) {}
    public func maximum(_ values: UnsafeMutableBufferPointer<Float>) {}
    public func sum(_ values: UnsafeMutableBufferPointer<Float>, on owner: Int) {}
    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from owner: Int) {}

    public func exchange(_ sent: [UnsafeRawBufferPointer], _ received: [UnsafeMutableRawBufferPointer]) {
        for (source, target) in zip(sent, received) { target.copyMemory(from: source) }
    }

    public func wait() {}
}
