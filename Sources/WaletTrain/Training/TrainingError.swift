// Why a training run cannot go on, each with the facts and the next step.

import WaletFormats
import WaletText

/// An error of a training run.
public enum TrainingError: Error, Sendable, Equatable, CustomStringConvertible {
    case recipe(RecipeError)
    case data(DataError)
    case checkpoint(CheckpointError)
    case metrics(MetricsError)
    case storage(StorageError)
    case format(FormatError)
    case communication(CommunicationError)
    case tokenizer(TokenizerError)
    /// The system does not let so many threads start.
    case noThreads
    /// A model that cannot learn from its answers.
    case reinforcement(String)
    /// The engine that answers and the trainer that learns do not compute the same.
    case policiesDiffer(step: Int, mean: Double, bound: Double)
    /// A new run in a folder that has one.
    case runExists(folder: String)
    /// A run that is to go on, in a folder that has none.
    case noRun(folder: String)
    /// A model that is to be written, of a run without a checkpoint, or without one whose bits per byte are known.
    case noCheckpoint(folder: String, isBest: Bool)
    /// A run goes on with the recipe that it was started with.
    case recipeDiffers(key: String, expected: String, found: String)
    /// A checkpoint that is whole but of another model.
    case stateDiffers(checkpoint: String, reason: String)
    /// The data have more tokens than the model.
    case vocabularyTooSmall(key: String, size: Int, needed: Int)
    case unevenRanks(sequences: Int, ranks: Int)
    /// Experts apart on more processes than there are experts.
    case tooFewExperts(experts: Int, ranks: Int)
    /// Loss or gradients were not finite in too many steps in a row. `place` is what was first found so.
    case notFinite(step: Int, inARow: Int, place: String)
    /// A weight that is not finite, before it came into a checkpoint.
    case weightNotFinite(step: Int, name: String)

    public var description: String {
        switch self {
        case .recipe(let error): error.description
        case .data(let error): error.description
        case .checkpoint(let error): error.description
        case .metrics(let error): error.description
        case .storage(let error): error.description
        case .format(let error): error.description
        case .communication(let error): error.description
        case .tokenizer(let error): error.description
        case .reinforcement(let reason): "reinforcement: \(clean(reason))"
        case .policiesDiffer(let step, let mean, let bound):
            "step \(step): log probabilities of engine and trainer differ by \(mean) in the mean, more than grpo.agreement "
                + "\(bound); the step is not kept"
        case .noThreads: "the system refuses to start the threads; ask for fewer with --threads"
        case .runExists(let folder):
            "\(folder) has a training run already; go on with it by --resume, or name another folder"
        case .noRun(let folder): "\(folder) has no training run to go on with: it has no recipe.yaml"
        case .noCheckpoint(let folder, let isBest):
            isBest
                ? "\(folder) has no checkpoint whose bits per byte are known, as a run of reinforcement has none; leave out "
                    + "--best for the newest"
                : "\(folder) has no checkpoint yet"
        case .recipeDiffers(let key, let expected, let found):
            "the run was started with \(key) \(expected), not \(clean(found)); leave that, or start a new run"
        case .stateDiffers(let checkpoint, let reason):
            "the checkpoint \(checkpoint) is not of this model: \(clean(reason))"
        case .vocabularyTooSmall(let key, let size, let needed):
            "\(key) is \(size), and the data have \(needed) tokens; give that number or more"
        case .unevenRanks(let sequences, let ranks):
            "batch.sequences is \(sequences), which \(ranks) processes cannot share evenly"
        case .tooFewExperts(let experts, let ranks):
            "model.experts is \(experts), of which \(ranks) processes cannot hold one each; start fewer, or set "
                + "parallel.experts false"
        case .notFinite(let step, let inARow, let place):
            "step \(step): \(clean(place)) is not finite, for the \(inARow) steps in a row; nothing of them was applied. "
                + "A lower training.learning_rate or training.optimizer muonclip helps; training.skip_limit says how "
                + "many such steps are passed over"
        case .weightNotFinite(let step, let name):
            "step \(step): the weight \(clean(name)) is not finite; the checkpoints before this step are whole"
        }
    }

    /// Whether another process is lost: what each of those that are left learns by itself.
    public var isLoss: Bool { if case .communication(.lost) = self { true } else { false } }

    /// Takes the errors of this target's parts for its own.
    static func wrapping<Value>(_ body: () throws -> Value) throws(TrainingError) -> Value {
        do { return try body() } catch {
            switch error {
            case let error as TrainingError: throw error
            case let error as RecipeError: throw .recipe(error)
            case let error as DataError: throw .data(error)
            case let error as CheckpointError: throw .checkpoint(error)
            case let error as MetricsError: throw .metrics(error)
            case let error as StorageError: throw .storage(error)
            case let error as FormatError: throw .format(error)
            case let error as CommunicationError: throw .communication(error)
            case let error as TokenizerError: throw .tokenizer(error)
            default: preconditionFailure("an error of no part of this target: \(error)")
            }
        }
    }
}
