/// Which experts passes chose, for who studies routing or caches.
public final class RoutingTrace: @unchecked Sendable {
    // Unchecked: written by the thread of a forward pass, read by others when the pass has ended.
    /// Of each layer with experts, in the order of the layers: each token's, best first, one token after the other.
    public private(set) var experts: [Int: [Int32]] = [:]
    /// Experts a token.
    public private(set) var perToken = 0

    public init() {}

    func record(layer: Int, _ ids: UnsafeBufferPointer<Int32>, perToken: Int) {
        self.perToken = perToken
        experts[layer, default: []].append(contentsOf: ids)
    }

    /// Tokens that were seen.
    public var count: Int { perToken > 0 ? (experts.values.first?.count ?? 0) / perToken : 0 }

    /// The experts of a token, by layer.
    public func experts(ofToken token: Int) -> [[Int]] {
        experts.keys.sorted().map { layer in
            (experts[layer] ?? [])[token * perToken..<(token + 1) * perToken].map { Int($0) }
        }
    }
}
