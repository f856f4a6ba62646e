// What model FLOP utilization divides by.

import WaletAutodiff

/// How fast this machine multiplies fp32 matrices with the threads of an arena, as training does.
public enum MatrixSpeed {
    /// FLOPs a second of the best of some products of 1,024 x 1,024 x 1,024, which take a fifth of a second or so.
    public static func measured(_ arena: Arena) -> Double {
        let size = 1024
        let tape = Tape(arena, recording: false)
        let operands = (0..<2).map { _ in
            let tensor = arena.tensor([size, size], needsGradient: false)
            tensor.pointer.update(repeating: 0.5, count: tensor.count)
            return tensor
        }
        let clock = ContinuousClock()
        let seconds = (0..<6).map { _ in
            clock.measure { _ = tape.linear(operands[0], operands[1]) } / .seconds(1)
        }
        return 2 * Double(size * size * size) / max(seconds.min() ?? .infinity, 1e-9)
    }
}
