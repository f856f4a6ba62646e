// What a checkpoint holds, as values: taken between two steps, written while the next ones run.

/// Numbers with a name and a shape. Copies share them until one is changed.
public struct CheckpointArray: Sendable, Equatable {
    public var name: String
    /// Slowest dimension first; empty for a scalar.
    public var shape: [Int]
    /// The product of the shape's dimensions.
    public var values: [Float]

    public init(name: String, shape: [Int], values: [Float]) {
        self.name = name
        self.shape = shape
        self.values = values
    }

    /// Copies the numbers out of memory that goes on being changed.
    public init(name: String, shape: [Int], copying values: UnsafeBufferPointer<Float>) {
        self.init(name: name, shape: shape, values: Array(values))
    }
}

/// Everything of a training run that is not its arrays.
public struct TrainingState: Sendable, Hashable, Codable {
    /// Steps that are done.
    public var step: Int
    /// Those of them that changed the weights; the others had a loss or gradients that were not finite.
    public var applied: Int
    /// Steps without a change since the last that had one.
    public var skippedInARow: Int
    /// Where the data are; ``LoaderState/tokens`` is how many were seen.
    public var loader: LoaderState
    /// Generators by what they are for, such as `samples`.
    public var generators: [String: RandomGenerator]
    /// The recipe in full, which has the schedule: learning rates are functions of it and the step.
    public var recipe: String
    /// Lowest bits per byte on the validation split so far, and the step of it.
    public var best: Best?

    public struct Best: Sendable, Hashable, Codable {
        public var step: Int
        public var bitsPerByte: Double

        public init(step: Int, bitsPerByte: Double) {
            self.step = step
            self.bitsPerByte = bitsPerByte
        }
    }

    public init(
        step: Int, applied: Int? = nil, skippedInARow: Int = 0, loader: LoaderState,
        generators: [String: RandomGenerator] = [:], recipe: String, best: Best? = nil
    ) {
        self.step = step
        self.applied = applied ?? step
        self.skippedInARow = skippedInARow
        self.loader = loader
        self.generators = generators
        self.recipe = recipe
        self.best = best
    }
}

/// A training run at the end of a step.
public struct CheckpointSnapshot: Sendable {
    /// What the arrays are for; each kind is a file of its own.
    public enum Kind: String, Sendable, CaseIterable {
        /// The model, under the names that a published checkpoint has.
        case weights
        /// Momenta and second moments.
        case optimizer
        /// Router biases and whatever else a step changes.
        case state
    }

    public var state: TrainingState
    public var arrays: [Kind: [CheckpointArray]]
    /// Bits per byte on the validation split at this step, where they were measured; the checkpoint with the lowest is
    /// kept.
    public var bitsPerByte: Double?

    public init(state: TrainingState, arrays: [Kind: [CheckpointArray]], bitsPerByte: Double? = nil) {
        self.state = state
        self.arrays = arrays
        self.bitsPerByte = bitsPerByte
    }
}
