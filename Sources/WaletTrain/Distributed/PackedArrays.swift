import WaletTensor

/// Some of many arrays, one behind the other: what one message carries.
struct PackedArrays {
    let buffer: FloatBuffer
    let count: Int

    /// - Parameter indices: which of the arrays.
    init(_ arrays: [UnsafeMutableBufferPointer<Float>], _ indices: [Int]) {
        self.init(count: Self.count(arrays, indices))
        var place = 0
        for index in indices {
            if let source = arrays[index].baseAddress {
                (buffer.pointer + place).update(from: source, count: arrays[index].count)
            }
            place += arrays[index].count
        }
    }

    /// Room for a message.
    init(count: Int) {
        self.count = count
        buffer = FloatBuffer(count: count)
    }

    static func count(_ arrays: [UnsafeMutableBufferPointer<Float>], _ indices: [Int]) -> Int {
        indices.reduce(0) { $0 + arrays[$1].count }
    }

    /// Nothing may be read through this when the value is gone.
    var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: buffer.pointer, count: count * MemoryLayout<Float>.stride)
    }

    /// Copies the numbers to their arrays.
    func unpack(into arrays: [UnsafeMutableBufferPointer<Float>], _ indices: [Int]) {
        var place = 0
        for index in indices {
            arrays[index].baseAddress?.update(from: buffer.pointer + place, count: arrays[index].count)
            place += arrays[index].count
        }
    }

    /// Each process's arrays come to one of them.
    /// - Parameters:
    ///   - arrays: on `root` all of them; on the others only the own ones are read.
    ///   - members: which each process has.
    static func gather(
        _ arrays: [UnsafeMutableBufferPointer<Float>], _ members: [[Int]], on root: Int, _ communicator: Communicator
    ) throws(CommunicationError) {
        let rank = communicator.rank
        let sent = PackedArrays(arrays, rank == root ? [] : members[rank])
        let received = members.indices.map {
            PackedArrays(count: rank == root && $0 != root ? count(arrays, members[$0]) : 0)
        }
        try communicator.exchange(
            members.indices.map { $0 == root && rank != root ? UnsafeRawBufferPointer(sent.bytes) : .nothing },
            received.map { $0.count > 0 ? $0.bytes : .nothing })
        for other in members.indices where received[other].count > 0 {
            received[other].unpack(into: arrays, members[other])
        }
        withExtendedLifetime((sent, received)) {}
    }
}
