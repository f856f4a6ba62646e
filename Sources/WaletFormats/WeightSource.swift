import WaletTensor

/// Weights by the names of the published safetensors, whatever file they lie in.
///
/// A model asks for `model.layers.3.mlp.experts.17.gate_proj` and gets a view, be it a tensor of its own, a slice of a
/// stacked GGUF tensor, or packed values with their scales.
public protocol WeightSource: Sendable {
    /// The matrix of a module, `[rows, columns]` (outputs, inputs).
    /// - Parameter module: the path without `.weight`.
    /// - Throws: ``FormatError`` where it is missing, has another shape, or is packed in an unknown way.
    func matrix(_ module: String, rows: Int, columns: Int) throws(FormatError) -> WeightMatrix

    /// A vector as floats: norms and biases, which are small enough to be copied.
    /// - Parameter name: the full tensor name, such as `model.norm.weight`.
    func vector(_ name: String, count: Int) throws(FormatError) -> FloatBuffer

    /// Whether a module has a matrix here.
    func hasMatrix(_ module: String) -> Bool

    /// Whether a vector is here.
    func hasVector(_ name: String) -> Bool

    /// Throws where a mapped file has shrunk since it was opened, since its lost part then reads as zeros.
    func checkIntact() throws(FormatError)

    /// The mapped files that the matrices are views of; none where the weights are in memory of their own.
    var mappedFiles: [MappedFile] { get }
}

extension WeightSource {
    public var mappedFiles: [MappedFile] { [] }
}
