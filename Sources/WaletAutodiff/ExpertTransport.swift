/// How rows get to other processes that hold their experts. All processes make the same calls in the same order.
public protocol ExpertTransport: AnyObject {
    /// This process, from 0.
    var rank: Int { get }
    /// How many there are.
    var size: Int { get }

    /// Each process's bytes for each other: those of `sent[other]` arrive there as `received[rank]`, those for this process
    /// itself too. Where another process is lost, zeros arrive, and whoever runs the pass learns it from the transport.
    func exchange(_ sent: [UnsafeRawBufferPointer], _ received: [UnsafeMutableRawBufferPointer])
}

extension ExpertTransport {
    /// The experts that a process holds, of so many: as many as each other does, or one more or less.
    public func experts(of rank: Int, count: Int) -> Range<Int> { count * rank / size..<count * (rank + 1) / size }
}
