// How the processes of one training run talk to each other; one process alone talks to nobody.

import WaletTensor

/// The processes that train one model together. All of them make the same calls in the same order.
///
/// Sums are taken in the order of the ranks, so that every process gets the same bits, and a run repeated with as many of
/// them the same weights. A call that cannot be finished, since another process is gone, throws; the run then ends, and
/// resumes with any number of processes.
public final class Communicator {
    /// This process, from 0.
    public let rank: Int
    /// How many there are.
    public let size: Int
    /// Workers that this process should have: its part of the physical cores.
    public var threads: Int { max(1, Hardware.physicalCores / max(1, transport?.coreSharers ?? 1)) }
    /// What this process has sent so far.
    public private(set) var traffic = CommunicationTraffic()
    private let transport: (any Transport)?

    /// One process alone.
    public init() { (rank, size, transport) = (0, 1, nil) }

    public init(_ transport: any Transport) {
        (rank, size) = (transport.rank, transport.size)
        self.transport = transport
    }

    /// Each number becomes the sum of all processes' numbers.
    public func sum(_ values: [Double]) throws(CommunicationError) -> [Double] { try combine(values, +) }

    /// Each number becomes the largest of all processes' numbers; a NaN of any of them stays one.
    public func maximum(_ values: [Float]) throws(CommunicationError) -> [Float] {
        // A maximum passes a NaN by.
        try combine(values) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
    }

    /// The bytes of one process, on all, which must give as many.
    public func broadcast(_ bytes: [UInt8], from owner: Int) throws(CommunicationError) -> [UInt8] {
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { target.deallocate() }
        target.copyBytes(from: bytes)
        let isOwner = rank == owner
        try exchange(
            (0..<size).map { isOwner && $0 != rank ? UnsafeRawBufferPointer(target) : .nothing },
            (0..<size).map { $0 == owner && !isOwner ? target : .nothing })
        return Array(target)
    }

    /// Each process's bytes for each other: those of `sent[other]` arrive there as `received[rank]`.
    /// - Parameter received: as many bytes from each process as that one sends here.
    public func exchange(
        _ sent: [UnsafeRawBufferPointer], _ received: [UnsafeMutableRawBufferPointer]
    ) throws(CommunicationError) {
        precondition(sent.count == size && received.count == size && sent[rank].count == received[rank].count)
        if !sent[rank].isEmpty { received[rank].copyMemory(from: sent[rank]) }
        guard let transport else { return }
        let begin = ContinuousClock.now
        defer { traffic.seconds += (ContinuousClock.now - begin) / .seconds(1) }
        traffic.calls += 1
        for other in 0..<size where other != rank { traffic.bytes += sent[other].count }
        try transport.exchange(sent, received)
    }

    /// Returns when all processes have called it.
    public func wait() throws(CommunicationError) { _ = try sum([0]) }

    /// Leaves the others, at the end of a run that went well on all.
    public func end() throws(CommunicationError) {
        try wait()
        try transport?.end()
    }

    /// Ends all processes of the run, those that hang too: what to do after an error.
    public func abort(code: Int32) { transport?.abort(code: code) }

    /// - Parameters:
    ///   - what: what the bytes are, for a person.
    ///   - bytes: what all processes must have alike.
    /// - Throws: ``CommunicationError/differs(what:rank:)``, the same on all processes.
    func requireAlike(_ what: String, _ bytes: [UInt8]) throws(CommunicationError) {
        let own = Checksum(of: bytes).bytes
        let differs = try broadcast(own, from: 0) != own
        if let rank = try first(where: differs) { throw .differs(what: what, rank: rank) }
    }

    /// The first process on which a condition is true.
    func first(where condition: Bool) throws(CommunicationError) -> Int? {
        try sum((0..<size).map { $0 == rank && condition ? 1 : 0 }).firstIndex { $0 > 0 }
    }

    /// Each process takes a slice of the values together, in the order of the ranks, and sends it to all.
    private func combine<Value: BitwiseCopyable>(
        _ values: [Value], _ add: (Value, Value) -> Value
    ) throws(CommunicationError) -> [Value] {
        guard size > 1, !values.isEmpty else { return values }
        let slices = (0..<size).map { values.count * $0 / size..<values.count * ($0 + 1) / size }
        let own = slices[rank]
        let whole = UnsafeMutableBufferPointer<Value>.allocate(capacity: values.count)
        let copies = UnsafeMutableBufferPointer<Value>.allocate(capacity: size * own.count)
        defer {
            whole.deallocate()
            copies.deallocate()
        }
        _ = whole.initialize(from: values)
        func part(_ slice: Range<Int>, of buffer: UnsafeMutableBufferPointer<Value>) -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: buffer[slice]))
        }
        try exchange(
            slices.map { UnsafeRawBufferPointer(part($0, of: whole)) },
            (0..<size).map { part($0 * own.count..<($0 + 1) * own.count, of: copies) })
        for index in 0..<own.count {
            var result = copies[index]
            for other in 1..<size { result = add(result, copies[other * own.count + index]) }
            whole[own.lowerBound + index] = result
        }
        let mine = UnsafeRawBufferPointer(part(own, of: whole))
        try exchange(
            (0..<size).map { $0 == rank ? .nothing : mine },
            (0..<size).map { $0 == rank ? .nothing : part(slices[$0], of: whole) })
        return Array(whole)
    }
}

extension UnsafeRawBufferPointer {
    static var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }
}

extension UnsafeMutableRawBufferPointer {
    static var nothing: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: nil, count: 0) }
}
