/// What a checkpoint says of its own shape: everything that changes the computation, and nothing else.
///
/// Read from `config.json` or from GGUF metadata; the same type describes every family that Walet runs.
public struct Configuration: Sendable, Equatable {
    /// The family's graph.
    public enum Family: String, Sendable {
        /// DeepSeek V2, V3, R1, Moonlight, Kimi K2: latent attention, shared and routed experts.
        case deepseek
        case llama
        /// Qwen3 and Qwen3-MoE: grouped-query attention with norms on queries and keys.
        case qwen3
    }

    /// The checkpoint's own word, such as `deepseek_v3`, `kimi_k2`, or GGUF's `deepseek2`.
    public var modelType: String
    public var family: Family
    public var hiddenSize: Int
    public var layers: Int
    public var heads: Int
    public var vocabularySize: Int
    /// Positions that the model was made for.
    public var contextLength: Int
    /// Width of the dense feed-forward layers.
    public var feedForwardSize: Int
    public var normEpsilon: Float
    /// The output head is the embedding matrix.
    public var tiedEmbeddings: Bool
    public var attention: Attention
    public var rope: Rope
    /// Nil for dense models.
    public var experts: Experts?
    /// Bias vectors on q, k, v and o (Llama) or on q_a, kv_a and o (DeepSeek).
    public var attentionBias: Bool
    public var feedForwardBias: Bool
    /// Multi-token-prediction layers stored after the last decoder layer.
    public var predictionLayers: Int
    /// Tokens that end a text, from `config.json` and `generation_config.json` or GGUF.
    public var endTokens: [Int]
    public var beginToken: Int?
    /// How the checkpoint says that its weights are packed; nil where they are plain or the file says it per tensor.
    public var quantization: Quantization?

    public enum Attention: Sendable, Equatable {
        case latent(LatentAttention)
        case grouped(GroupedAttention)
    }

    /// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
    public struct LatentAttention: Sendable, Equatable {
        /// Rank of the compressed query; nil where queries have one dense projection.
        public var queryRank: Int?
        /// Numbers of the compressed key/value latent, `kv_lora_rank`.
        public var latentRank: Int
        /// Dimensions of a head without rotary position, `qk_nope_head_dim`.
        public var plainHeadSize: Int
        /// Dimensions of a head with rotary position, `qk_rope_head_dim`.
        public var ropeHeadSize: Int
        public var valueHeadSize: Int
        /// Epsilon of the norms on the latents, which is not the block norms' in all checkpoints.
        public var latentNormEpsilon: Float

        public init(
            queryRank: Int?, latentRank: Int, plainHeadSize: Int, ropeHeadSize: Int, valueHeadSize: Int,
            latentNormEpsilon: Float = 1e-6
        ) {
            self.queryRank = queryRank
            self.latentRank = latentRank
            self.plainHeadSize = plainHeadSize
            self.ropeHeadSize = ropeHeadSize
            self.valueHeadSize = valueHeadSize
            self.latentNormEpsilon = latentNormEpsilon
        }
    }

    /// Grouped-query attention: several query heads share a key/value head.
    public struct GroupedAttention: Sendable, Equatable {
        public var keyValueHeads: Int
        public var headSize: Int
        /// RMSNorm on each query and key head (Qwen3).
        public var queryKeyNorm: Bool

        public init(keyValueHeads: Int, headSize: Int, queryKeyNorm: Bool) {
            self.keyValueHeads = keyValueHeads
            self.headSize = headSize
            self.queryKeyNorm = queryKeyNorm
        }
    }

    /// Rotary position embedding.
    public struct Rope: Sendable, Equatable {
        public enum Layout: Sendable, Equatable {
            /// Pair i is dimensions 2i and 2i+1.
            case interleaved
            /// Pair i is dimensions i and i + half.
            case half
        }

        public enum Scaling: Sendable, Equatable {
            case none
            case linear(factor: Double)
            /// Llama 3: low frequencies divided by `factor`, a smooth step between the two bounds.
            case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, originalContext: Double)
            /// YaRN (arXiv 2309.00071). `truncate` rounds the bounds of the ramp outward to whole dimensions.
            case yarn(factor: Double, betaFast: Double, betaSlow: Double, originalContext: Double, truncate: Bool)
        }

        public var theta: Double
        public var layout: Layout
        public var scaling: Scaling
        /// Multiplies cos and sin.
        public var amplitude: Double
        /// Multiplies the attention logits beside 1/sqrt(head size): YaRN's squared `mscale_all_dim` term.
        public var logitScale: Double
        /// One divisor a pair, `rope_freqs.weight` of GGUF files; nil where there is none.
        public var frequencyDivisors: [Float]?

        public init(
            theta: Double, layout: Layout, scaling: Scaling = .none, amplitude: Double = 1, logitScale: Double = 1,
            frequencyDivisors: [Float]? = nil
        ) {
            self.theta = theta
            self.layout = layout
            self.scaling = scaling
            self.amplitude = amplitude
            self.logitScale = logitScale
            self.frequencyDivisors = frequencyDivisors
        }
    }

    /// Sparse feed-forward layers.
    public struct Experts: Sendable, Equatable {
        public enum Scoring: String, Sendable { case softmax, sigmoid }

        public enum Selection: Sendable, Equatable {
            /// The experts with the largest scores.
            case greedy
            /// V2: the groups with the largest single score first; other groups' scores count as 0.
            case groupLimited
            /// V3: scores plus a correction bias; the groups with the largest sum of two first; others are out.
            case biased
        }

        public var count: Int
        public var perToken: Int
        /// Shared experts, held as one feed-forward of `shared * width`; 0 for none.
        public var shared: Int
        /// Width of one expert.
        public var width: Int
        public var scoring: Scoring
        public var selection: Selection
        public var groups: Int
        public var groupsPerToken: Int
        /// Weights of the chosen experts are divided by their sum.
        public var normalized: Bool
        public var scale: Float
        /// Layers with a sparse feed-forward.
        public var sparseLayers: Set<Int>

        public init(
            count: Int, perToken: Int, shared: Int, width: Int, scoring: Scoring, selection: Selection, groups: Int,
            groupsPerToken: Int, normalized: Bool, scale: Float, sparseLayers: Set<Int>
        ) {
            self.count = count
            self.perToken = perToken
            self.shared = shared
            self.width = width
            self.scoring = scoring
            self.selection = selection
            self.groups = groups
            self.groupsPerToken = groupsPerToken
            self.normalized = normalized
            self.scale = scale
            self.sparseLayers = sparseLayers
        }
    }

    /// `quantization_config` of a `config.json`.
    public enum Quantization: Sendable, Equatable {
        /// compressed-tensors `pack-quantized`: bits a value, values a scale (nil: one scale a row), and modules left
        /// plain, by exact path or, after `re:`, by a regular expression anchored at the start.
        case packed(bits: Int, groupSize: Int?, ignore: [String])
        /// DeepSeek FP8 e4m3 with a scale a block of rows and columns.
        case fp8(blockRows: Int, blockColumns: Int)
    }

    public func isSparse(layer: Int) -> Bool { experts?.sparseLayers.contains(layer) ?? false }

    /// Numbers that the KV cache keeps for a token in one layer.
    public var cacheWidth: Int {
        switch attention {
        case .latent(let latent): latent.latentRank + latent.ropeHeadSize
        case .grouped(let grouped): 2 * grouped.keyValueHeads * grouped.headSize
        }
    }

    /// The kernels take heads of these sizes from a KV cache of 16-bit numbers; others keep fp32.
    package var takesHalfCache: Bool {
        switch attention {
        case .latent(let latent): latent.latentRank % 16 == 0 && latent.ropeHeadSize % 2 == 0
        case .grouped(let grouped): grouped.headSize % 16 == 0
        }
    }
}
