/// What communication took of a run.
public struct CommunicationTraffic: Sendable, Equatable {
    /// Bytes that were sent to other processes.
    public var bytes: Int
    /// How often processes exchanged something.
    public var calls: Int
    /// Time within these calls, waiting for others included.
    public var seconds: Double

    public init(bytes: Int = 0, calls: Int = 0, seconds: Double = 0) {
        self.bytes = bytes
        self.calls = calls
        self.seconds = seconds
    }

    /// What came after `earlier`.
    public static func - (later: CommunicationTraffic, earlier: CommunicationTraffic) -> CommunicationTraffic {
        CommunicationTraffic(
            bytes: later.bytes - earlier.bytes, calls: later.calls - earlier.calls,
            seconds: later.seconds - earlier.seconds)
    }
}
