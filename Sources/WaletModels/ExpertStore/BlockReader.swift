// What the expert store asks of whoever reads: many reads at a time, in any order of ending.

/// One read of a file.
public struct BlockRead: @unchecked Sendable {
    // Unchecked: the memory behind `target` is the read's alone until it has ended.
    public var descriptor: Int32
    public var offset: Int
    public var count: Int
    /// `count` bytes that nobody else touches until the read has ended.
    public var target: UnsafeMutableRawPointer
    /// Comes back with the result.
    public var tag: Int

    public init(descriptor: Int32, offset: Int, count: Int, target: UnsafeMutableRawPointer, tag: Int) {
        self.descriptor = descriptor
        self.offset = offset
        self.count = count
        self.target = target
        self.tag = tag
    }
}

/// How a read ended.
public struct BlockResult: Sendable, Equatable {
    public var tag: Int
    /// Bytes that were read, fewer than asked for at the end of a file, or the negated errno.
    public var result: Int

    public init(tag: Int, result: Int) {
        self.tag = tag
        self.result = result
    }
}

/// Reads blocks of files, several at a time. One thread at a time calls it.
public protocol BlockReader: AnyObject, Sendable {
    /// `io_uring` or `threads`.
    var name: String { get }

    /// Takes reads on, of any number. It begins with them at once and does not wait.
    func start(_ reads: [BlockRead])

    /// Takes the reads that have ended.
    /// - Parameter waits: return only when there is one. There must be reads under way.
    func ended(waits: Bool) -> [BlockResult]
}
