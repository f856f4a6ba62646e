import WaletAutodiff
import WaletFormats
import WaletTensor

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A tensor of a model under its published name.
public struct Parameter {
    /// What a tensor is to an optimizer.
    public enum Role: Sendable, Equatable {
        /// A matrix between hidden states: what Muon is for. Each expert has its own.
        case matrix
        /// Embedding and head: their rows are of tokens.
        case tokens
        /// Norms and biases.
        case vector
        /// A router's correction bias: changed by the load of the experts, never by a gradient.
        case routerBias
    }

    /// Such as `model.layers.3.mlp.experts.17.gate_proj.weight`.
    public let name: String
    public let role: Role
    /// `[outputs, inputs]`, `[vocabulary, hidden]` or `[count]`; without values where another process holds it.
    public let tensor: Tensor
    /// The process that alone holds it; nil where all do.
    public let holder: Int?
}

/// Makes the parameters of a model one after the other, with values from a checkpoint or drawn at random.
final class ParameterMaker {
    enum Values {
        case read(any WeightSource)
        /// Matrices from a normal distribution, norms 1, biases 0.
        case drawn(seed: UInt64, deviation: Float)
    }

    let values: Values
    /// Between processes that hold experts of their own; nil where all are here.
    let exchange: ExpertExchange?
    private(set) var parameters: [Parameter] = []

    init(_ values: Values, _ exchange: ExpertExchange? = nil) {
        self.values = values
        self.exchange = exchange
    }

    /// - Parameters:
    ///   - module: the name without `.weight`.
    ///   - holder: the process that alone holds it.
    func matrix(
        _ module: String, _ rows: Int, _ columns: Int, role: Parameter.Role = .matrix, holder: Int? = nil
    ) throws(FormatError) -> Tensor {
        let tensor = Tensor([rows, columns])
        if let holder, holder != exchange?.rank {
            tensor.releaseValues()
            return add(module + ".weight", role, tensor, holder)
        }
        switch values {
        case .read(let source):
            let matrix = try source.matrix(module, rows: rows, columns: columns)
            for row in 0..<rows { matrix.dequantize(row: row, into: tensor.pointer + row * columns) }
        case .drawn(let seed, let deviation):
            // The name is in the seed, so that a tensor's values do not depend on which others there are.
            var generator = NormalGenerator(seed: seed, name: module + ".weight")
            for i in 0..<tensor.count { tensor.pointer[i] = deviation * generator.next() }
        }
        return add(module + ".weight", role, tensor, holder)
    }

    func vector(_ name: String, _ count: Int, filling: Float, role: Parameter.Role = .vector) throws(FormatError)
        -> Tensor
    {
        let tensor = Tensor([count], needsGradient: role != .routerBias)
        switch values {
        case .read(let source):
            let values = try source.vector(name, count: count)
            withExtendedLifetime(values) { tensor.pointer.update(from: values.pointer, count: count) }
        case .drawn: tensor.pointer.update(repeating: filling, count: count)
        }
        return add(name, role, tensor, nil)
    }

    func norm(_ module: String, _ count: Int) throws(FormatError) -> Tensor {
        try vector(module + ".weight", count, filling: 1)
    }

    func feedForward(
        _ prefix: String, hidden: Int, width: Int, holder: Int? = nil
    ) throws(FormatError) -> GatedWeights {
        GatedWeights(
            gate: try matrix(prefix + "gate_proj", width, hidden, holder: holder),
            up: try matrix(prefix + "up_proj", width, hidden, holder: holder),
            down: try matrix(prefix + "down_proj", hidden, width, holder: holder))
    }

    private func add(_ name: String, _ role: Parameter.Role, _ tensor: Tensor, _ holder: Int?) -> Tensor {
        parameters.append(Parameter(name: name, role: role, tensor: tensor, holder: holder))
        return tensor
    }
}

/// Numbers of the standard normal distribution, by Box and Muller from SplitMix64.
struct NormalGenerator {
    private var state: UInt64
    private var spare: Float?

    /// - Parameter name: numbers of different names are independent (FNV-1a of the name goes into the seed).
    init(seed: UInt64, name: String) {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        state = hash ^ (seed &* 0x9E37_79B9_7F4A_7C15)
    }

    private mutating func word() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func next() -> Float {
        if let value = spare {
            spare = nil
            return value
        }
        // In (0, 1]: the logarithm of zero is not finite.
        let radius = (-2 * log((Double(word() >> 11) + 1) * 0x1p-53)).squareRoot()
        let angle = 2 * Double.pi * Double(word() >> 11) * 0x1p-53
        spare = Float(radius * sin(angle))
        return Float(radius * cos(angle))
    }
}
