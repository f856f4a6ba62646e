#if MPI
    import CWaletMPI

    /// The processes that `mpirun` started, by OpenMPI. With the package trait `MPI` only; one object a process, used by the
    /// thread that made it.
    public final class MPITransport: Transport {
        public let rank: Int
        public let size: Int
        public let coreSharers: Int
        private let patience: Double

        /// - Parameter patience: seconds without an answer after which another process counts as lost.
        /// - Throws: ``CommunicationError/lost(operation:reason:)`` where MPI does not start.
        public init(patience: Double) throws(CommunicationError) {
            var (rank, size, sharers): (Int32, Int32, Int32) = (0, 1, 1)
            try Self.check("start", wm_start(&rank, &size, &sharers))
            (self.rank, self.size, coreSharers) = (Int(rank), Int(size), Int(sharers))
            self.patience = patience
        }

        public func exchange(
            _ sent: [UnsafeRawBufferPointer], _ received: [UnsafeMutableRawBufferPointer]
        ) throws(CommunicationError) {
            try Self.check(
                "exchange",
                wm_exchange(
                    sent.map(\.baseAddress), sent.map { Int64($0.count) }, received.map(\.baseAddress),
                    received.map { Int64($0.count) }, patience))
        }

        public func end() throws(CommunicationError) { try Self.check("end", wm_end()) }

        public func abort(code: Int32) { wm_abort(code) }

        private static func check(_ operation: String, _ error: Int32) throws(CommunicationError) {
            if error == 0 { return }
            var text = [CChar](repeating: 0, count: 512)
            wm_reason(error, &text, Int64(text.count))
            let reason = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw .lost(operation: operation, reason: reason)
        }
    }
#endif
