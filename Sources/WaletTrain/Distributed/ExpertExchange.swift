import WaletAutodiff

/// Carries rows to the processes that hold their experts, and results back.
///
/// A pass over layers cannot be left halfway, so a process that is lost is noted, and all that would arrive from then on is
/// zeros, until ``check()`` tells of it.
public final class ExpertExchange: ExpertTransport {
    let communicator: Communicator
    private var failure: CommunicationError?

    public init(_ communicator: Communicator) { self.communicator = communicator }

    public var rank: Int { communicator.rank }
    public var size: Int { communicator.size }

    public func exchange(_ sent: [UnsafeRawBufferPointer], _ received: [UnsafeMutableRawBufferPointer]) {
        if failure == nil {
            do throws(CommunicationError) {
                return try communicator.exchange(sent, received)
            } catch {
                failure = error
            }
        }
        for target in received { _ = target.initializeMemory(as: UInt8.self, repeating: 0) }
    }

    /// - Throws: what went wrong since the exchange was made: all that was computed since then is worth nothing.
    func check() throws(CommunicationError) { if let failure { throw failure } }
}
