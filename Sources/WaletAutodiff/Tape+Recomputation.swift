import CWaletAutodiff
import WaletTensor

extension Tape {
    /// How much of a layer is kept for the way back.
    public enum Keeping: String, Sendable, CaseIterable {
        /// Everything: the fastest.
        case everything
        /// The layer's input; the layer runs a second time on the way back.
        case input
        /// The layer's input in BF16, half of that memory. The layer reads the rounded input both times, so that the
        /// gradients are those of what was computed.
        case halfInput
    }

    /// Runs `body`, and runs it again on the way back with a tape of its own, so that what it computes need not be kept.
    /// - Parameters:
    ///   - input: what gradients leave through; everything else that `body` reads are parameters. With `.halfInput` the
    ///     caller may not read it afterwards.
    public func recomputed(
        _ input: Tensor, keeping: Keeping, _ body: @escaping (Tape, Tensor) -> Tensor
    ) -> Tensor {
        guard isRecording, keeping != .everything else { return body(self, input) }
        let half = keeping == .halfInput ? HalfCopy(of: input, arena) : nil
        half?.restore(into: input, arena)
        let output = body(Tape(arena, recording: false), input)
        if half != nil { input.releaseValues() }
        record { [arena] in
            guard output.gradient != nil else { return }
            let tape = Tape(replaying: arena)
            var source = input
            if let half {
                source = arena.tensor(input.shape)
                half.restore(into: source, arena)
            }
            let again = body(tape, source)
            again.adoptGradient(of: output)
            tape.backward()
            if source !== input { input.add(gradientOf: source, arena) }
        }
        return output
    }
}

/// A tensor's values in BF16.
private final class HalfCopy {
    private let values: UnsafeMutablePointer<UInt16>
    private let columns: Int
    private let rows: Int

    init(of tensor: Tensor, _ arena: Arena) {
        values = .allocate(capacity: max(1, tensor.count))
        (rows, columns) = (tensor.rows, tensor.columns)
        arena.forRows(rows, size: 64) { [values, columns] range in
            let first = range.lowerBound * columns
            wa_to_bf16(tensor.pointer + first, values + first, Int64(range.count * columns))
        }
    }

    deinit { values.deallocate() }

    func restore(into tensor: Tensor, _ arena: Arena) {
        arena.forRows(rows, size: 64) { range in
            let first = range.lowerBound * columns
            wa_from_bf16(values + first, tensor.pointer + first, Int64(range.count * columns))
        }
    }
}
