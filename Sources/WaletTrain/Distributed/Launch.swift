import Foundation

/// What `mpirun` tells a process that it starts.
///
/// ```swift
/// let communicator = try Launch().communicator(patience: 300)
/// ```
public struct Launch: Sendable, Equatable {
    /// Processes of the run; 1 without `mpirun`.
    public let processes: Int

    public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        processes = environment["OMPI_COMM_WORLD_SIZE"].flatMap { Int($0) } ?? 1
    }

    /// The processes that were started, joined.
    /// - Parameter patience: seconds without an answer after which another process counts as lost.
    /// - Throws: ``CommunicationError/notBuilt(processes:)`` for several processes without the package trait `MPI`: each
    ///   would train a model of its own.
    public func communicator(patience: Double) throws(CommunicationError) -> Communicator {
        guard processes > 1 else { return Communicator() }
        #if MPI
            return Communicator(try MPITransport(patience: patience))
        #else
            throw .notBuilt(processes: processes)
        #endif
    }
}
