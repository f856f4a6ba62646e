// GPT-2's alphabet: one printable character a byte, so that byte strings can stand in a JSON vocabulary.

/// The bijection between bytes and the 256 characters that stand for them in byte-level vocabularies
/// (`bytes_to_unicode` of GPT-2).
package enum ByteAlphabet {
    /// The scalar of each byte.
    package static let scalars: [UInt32] = {
        var scalars = [UInt32](repeating: 0, count: 256)
        var next: UInt32 = 0x100
        for byte in 0..<256 {
            switch byte {
            case 33...126, 161...172, 174...255: scalars[byte] = UInt32(byte)
            default:
                scalars[byte] = next
                next += 1
            }
        }
        return scalars
    }()

    /// The byte of each scalar below U+0144, or -1.
    private static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
        return bytes
    }()

    /// The bytes that a name of a byte-level vocabulary stands for, appended; false (and nothing appended) where it
    /// has a character outside the alphabet.
    static func decode(_ name: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) -> Bool {
        let start = output.count
        var index = 0
        while index < name.count {
            var scalar = Int(name[index])
            index += 1
            if scalar >= 0x80 {
                guard scalar < 0xC6, index < name.count else {
                    output.removeSubrange(start...)
                    return false
                }
                scalar = (scalar & 0x1F) << 6 | Int(name[index] & 0x3F)
                index += 1
            }
            guard scalar < bytes.count, bytes[scalar] >= 0 else {
                output.removeSubrange(start...)
                return false
            }
            output.append(UInt8(bytes[scalar]))
        }
        return true
    }

    /// The characters that stand for some bytes.
    package static func encode(_ input: some Sequence<UInt8>) -> [UInt8] {
        var output: [UInt8] = []
        for byte in input {
            let scalar = scalars[Int(byte)]
            if scalar < 0x80 {
                output.append(UInt8(scalar))
            } else {
                output.append(UInt8(0xC0 | scalar >> 6))
                output.append(UInt8(0x80 | scalar & 0x3F))
            }
        }
        return output
    }
}
