import Synchronization
import Walet
import WaletJSON

/// How much of the server one request may take before its content is understood.
public struct RequestLimits: Sendable {
    /// Bytes of a body.
    public var bodyBytes = 16 << 20
    /// How deep JSON may nest.
    public var jsonDepth = 128
    /// Values of a JSON document: a value takes a hundred times the bytes of its spelling.
    public var jsonValues = 1 << 20
    /// What bodies that are being read take together.
    public var bodyMemory = BodyMemory(maximum: 512 << 20)

    public init() {}

    /// Counts the values of a document without parsing it.
    func checkShape(_ bytes: [UInt8]) throws(APIError) {
        var values = 1
        var isString = false
        var isEscaped = false
        for byte in bytes {
            if isString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isString = true
            case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "{"): values += 1
            default: break
            }
        }
        guard values <= jsonValues else {
            throw APIError(
                .tooLarge, "The body has more than \(jsonValues) JSON values", code: "too_many_values")
        }
    }
}

/// Bytes that are set aside for bodies under way.
public final class BodyMemory: Sendable {
    private let maximum: Int
    private let taken = Mutex(0)

    public init(maximum: Int) { self.maximum = maximum }

    /// Sets bytes aside until the ticket is dropped.
    /// - Throws: ``APIError``, 503, where there are not so many left.
    func take(_ bytes: Int) throws(APIError) -> Ticket {
        let fits = taken.withLock { taken in
            guard bytes <= maximum - taken else { return false }
            taken += bytes
            return true
        }
        guard fits else {
            throw APIError(
                .overloaded, "Too many large bodies are being read at once", code: "body_memory", retryAfter: 1)
        }
        return Ticket(memory: self, bytes: bytes)
    }

    final class Ticket: Sendable {
        private let memory: BodyMemory
        private let bytes: Int

        init(memory: BodyMemory, bytes: Int) {
            self.memory = memory
            self.bytes = bytes
        }

        deinit { memory.taken.withLock { $0 -= bytes } }
    }
}
