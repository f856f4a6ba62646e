// What a machine remembers: which rules called which, and which keys its objects have.

/// Where to go on after a rule has ended.
struct Continuation: Hashable, Sendable {
    var target: Int32
    /// The calls below.
    var node: Int32
    /// The caller's counter or keys.
    var register: Int32

    static func < (left: Continuation, right: Continuation) -> Bool {
        (left.target, left.node, left.register) < (right.target, right.node, right.register)
    }
}

/// Stacks of calls that share what they have in common. All calls of a rule at one place of the output are one node,
/// whoever called: that keeps the number of nodes small where a grammar is ambiguous.
struct StackTable: Sendable {
    private struct Node {
        var start: Int32
        var count: Int32
        var depth: Int32
    }

    /// Node 0 is the whole output, to which nothing follows.
    private var nodes = [Node(start: 0, count: 0, depth: 0)]
    private var continuations: [Continuation] = []
    private var table = InternTable()

    var approximateBytes: Int { nodes.count * 12 + continuations.count * 12 + table.approximateBytes }

    @inline(__always)
    func depth(_ node: Int32) -> Int32 { nodes[Int(node)].depth }

    func continuations(of node: Int32) -> ArraySlice<Continuation> {
        let entry = nodes[Int(node)]
        return continuations[Int(entry.start)..<Int(entry.start + entry.count)]
    }

    /// The node of these continuations.
    /// - Parameter list: sorted, without repetition.
    mutating func node(_ list: ArraySlice<Continuation>, depth: Int32) -> Int32 {
        let hash = Self.hash(list, depth)
        let known = table.find(hash) {
            nodes[Int($0)].depth == depth && continuations(of: $0).elementsEqual(list)
        }
        guard known < 0 else { return known }
        let number = Int32(nodes.count)
        nodes.append(Node(start: Int32(continuations.count), count: Int32(list.count), depth: depth))
        continuations += list
        table.insert(number, hash: hash)
        return number
    }

    private static func hash(_ list: ArraySlice<Continuation>, _ depth: Int32) -> UInt64 {
        var hash = SeededHash()
        hash.add(depth)
        for item in list {
            hash.add(item.target)
            hash.add(item.node)
            hash.add(item.register)
        }
        return hash.value
    }
}

/// Texts of keys, byte by byte, and lists of them.
struct KeyTable: Sendable {
    private struct Link {
        var parent: Int32
        /// A byte, or a text's number.
        var item: Int32
        var count: Int32
    }

    /// Text 0 is empty.
    private var texts = [Link(parent: -1, item: -1, count: 0)]
    /// List 0 is empty.
    private var lists = [Link(parent: -1, item: -1, count: 0)]
    private var textTable = InternTable()
    private var listTable = InternTable()

    var approximateBytes: Int {
        (texts.count + lists.count) * 12 + textTable.approximateBytes + listTable.approximateBytes
    }

    mutating func text(_ parent: Int32, adding byte: UInt8) -> Int32 {
        Self.add(Int32(byte), to: parent, &texts, &textTable)
    }

    mutating func list(_ parent: Int32, adding text: Int32) -> Int32 {
        Self.add(text, to: parent, &lists, &listTable)
    }

    private static func add(
        _ item: Int32, to parent: Int32, _ links: inout [Link], _ table: inout InternTable
    ) -> Int32 {
        var hash = SeededHash()
        hash.add(parent)
        hash.add(item)
        let known = table.find(hash.value) { links[Int($0)].parent == parent && links[Int($0)].item == item }
        guard known < 0 else { return known }
        let number = Int32(links.count)
        links.append(Link(parent: parent, item: item, count: links[Int(parent)].count + 1))
        table.insert(number, hash: hash.value)
        return number
    }

    func bytes(of text: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(texts[Int(text)].count))
        var text = text
        while text > 0 {
            bytes.append(UInt8(truncatingIfNeeded: texts[Int(text)].item))
            text = texts[Int(text)].parent
        }
        bytes.reverse()
        return bytes
    }

    func count(_ list: Int32) -> Int32 { lists[Int(list)].count }

    func contains(_ list: Int32, _ text: Int32) -> Bool {
        var list = list
        while list > 0 {
            if lists[Int(list)].item == text { return true }
            list = lists[Int(list)].parent
        }
        return false
    }

    /// The texts of a list, the last one first.
    func texts(of list: Int32) -> [Int32] {
        var result: [Int32] = []
        var list = list
        while list > 0 {
            result.append(lists[Int(list)].item)
            list = lists[Int(list)].parent
        }
        return result
    }
}
