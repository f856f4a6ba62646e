// What a model weighs, part by part: all that a plan needs to know of it.

import Foundation
import WaletFormats

/// A model as matrices of some size and packing: how many are stored, and how many of them a token reads.
public struct ModelShape: Sendable, Equatable {
    /// What a matrix is for.
    public enum Part: String, Sendable, CaseIterable {
        case embedding, attention, dense, shared, router, routed, head, norms
        /// Stored but not read by plain decoding: prediction layers and the vision part.
        case unused

        public var name: String {
            switch self {
            case .embedding: "embedding"
            case .attention: "attention"
            case .dense: "dense feed-forward"
            case .shared: "shared experts"
            case .router: "routers"
            case .routed: "routed experts"
            case .head: "head"
            case .norms: "norms"
            case .unused: "not read (prediction, vision)"
            }
        }
    }

    /// Matrices of one size, packing and purpose.
    public struct Group: Sendable, Equatable {
        public var part: Part
        /// `BF16`, `INT4`, `Q4_K`, …
        public var packing: String
        public var rows: Int
        public var columns: Int
        /// Of one matrix, in bytes, scales included.
        public var bytes: Int
        /// Matrices in the files; 0 for the head of a model whose head is its embedding.
        public var stored: Int
        /// Matrices that one token multiplies with.
        public var read: Int
    }

    /// What a cached token holds for attention.
    public enum Attention: Sendable, Equatable {
        /// One latent and one rotated key for all heads.
        case latent(rank: Int, rope: Int)
        /// A key and a value for each key/value head.
        case grouped(headSize: Int, keyValueHeads: Int)
    }

    public var name: String
    public var modelType: String
    public var groups: [Group]
    public var layers: Int
    public var sparseLayers: Int
    /// Routed experts a layer; 0 for a dense model.
    public var experts: Int
    public var expertsPerToken: Int
    public var heads: Int
    /// Numbers of the KV cache a token and layer.
    public var cacheWidth: Int
    /// How the kernels attend to the cache; nil where it is not one of 16-bit numbers, as they take it.
    public var attention: Attention?
    /// Numbers that a head multiplies a cached token with: keys, then values.
    public var attentionWidth: Int
    /// Bytes of the KV cache a token, all layers, as the engine keeps it in fast precision.
    public var cacheBytesPerToken: Int
    public var contextLength: Int
    /// Sizes were computed from the configuration, not read from files.
    public var isEstimated: Bool
    /// What had to be assumed.
    public var notes: [String]

    /// Tokens that one page of the KV cache holds.
    public static let pageTokens = 64

    /// Parameters that multiply an input: 2 operations each a token.
    public var multipliedPerToken: Double {
        groups.reduce(0) { $0 + Double($1.rows) * Double($1.columns) * Double($1.read) }
    }

    /// Bytes in the files of a part.
    public func bytes(_ part: Part) -> Int { sum(part) { ($0.bytes, $0.stored) } }

    /// Bytes that a token reads of a part.
    public func readBytes(_ part: Part) -> Int { sum(part) { ($0.bytes, $0.read) } }

    /// All bytes of the weights.
    public var totalBytes: Int { Part.allCases.reduce(0) { $0.addingSaturated(bytes($1)) } }

    /// What must be in memory whatever the experts do; prediction layers and vision are not loaded.
    public var residentBytes: Int {
        Part.allCases.filter { $0 != .routed && $0 != .unused }.reduce(0) { $0.addingSaturated(bytes($1)) }
    }

    /// Bytes that a decode step of one token reads, routed experts included.
    public var activeBytes: Int { Part.allCases.reduce(0) { $0.addingSaturated(readBytes($1)) } }

    /// Bytes of the chosen experts of one token: what it may have to read from the disk.
    public var activeExpertBytes: Int { readBytes(.routed) }

    /// Bytes of one routed expert; 0 for a dense model.
    public var expertBytes: Int {
        let stored = experts.multipliedSaturated(by: sparseLayers)
        return stored > 0 ? bytes(.routed) / stored : 0
    }

    /// Bytes of the KV cache for requests of so many tokens, in whole pages.
    public func cacheBytes(context: Int, concurrency: Int) -> Int {
        let tokens = ((context.addingSaturated(Self.pageTokens - 1)) / Self.pageTokens)
            .multipliedSaturated(by: Self.pageTokens)
        return tokens.multipliedSaturated(by: cacheBytesPerToken).multipliedSaturated(by: concurrency)
    }

    /// How many different experts of a layer are chosen by `tokens` tokens, if routing is even and independent.
    public func distinctExperts(tokens: Double) -> Double {
        guard experts > 0, expertsPerToken > 0 else { return 0 }
        let share = Double(expertsPerToken) / Double(experts)
        return share >= 1 ? Double(experts) : Double(experts) * (1 - pow(1 - share, tokens))
    }

    private func sum(_ part: Part, _ value: (Group) -> (Int, Int)) -> Int {
        groups.filter { $0.part == part }.reduce(0) { total, group in
            let (bytes, count) = value(group)
            return total.addingSaturated(bytes.multipliedSaturated(by: count))
        }
    }

    /// Adds to the group that a matrix belongs to.
    mutating func add(_ part: Part, _ packing: String, _ rows: Int, _ columns: Int, bytes: Int, stored: Int, read: Int)
    {
        let place = groups.firstIndex {
            $0.part == part && $0.rows == rows && $0.columns == columns && $0.packing == packing && $0.bytes == bytes
        }
        if let place {
            groups[place].stored = groups[place].stored.addingSaturated(stored)
            groups[place].read = groups[place].read.addingSaturated(read)
        } else {
            groups.append(
                Group(
                    part: part, packing: packing, rows: rows, columns: columns, bytes: bytes, stored: stored, read: read
                ))
        }
    }

    /// Everything but the matrices.
    init(name: String, _ configuration: Configuration, isEstimated: Bool, notes: [String]) {
        self.name = name
        modelType = configuration.modelType
        groups = []
        layers = configuration.layers
        sparseLayers = configuration.experts?.sparseLayers.filter { $0 < configuration.layers }.count ?? 0
        experts = sparseLayers > 0 ? configuration.experts?.count ?? 0 : 0
        expertsPerToken = sparseLayers > 0 ? configuration.experts?.perToken ?? 0 : 0
        heads = configuration.heads
        cacheWidth = configuration.cacheWidth
        let form: Attention
        switch configuration.attention {
        case .latent(let latent):
            form = .latent(rank: latent.latentRank, rope: latent.ropeHeadSize)
            // Absorbed: the query meets the latent and the position's part, the weights meet the latent again.
            attentionWidth = 2 * latent.latentRank + latent.ropeHeadSize
        case .grouped(let grouped):
            form = .grouped(headSize: grouped.headSize, keyValueHeads: grouped.keyValueHeads)
            attentionWidth = 2 * grouped.headSize
        }
        attention = configuration.takesHalfCache ? form : nil
        cacheBytesPerToken = configuration.cacheWidth
            .multipliedSaturated(by: configuration.layers)
            .multipliedSaturated(by: configuration.takesHalfCache ? 2 : 4)
        contextLength = configuration.contextLength
        self.isEstimated = isEstimated
        self.notes = notes
    }
}

extension Int {
    /// The sum, or the largest number where it does not fit.
    func addingSaturated(_ other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }

    /// The product of numbers that are not negative, or the largest number where it does not fit.
    func multipliedSaturated(by other: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }
}
