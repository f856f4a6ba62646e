import Synchronization

/// Results of parallel work, each put into a place of its own.
final class Gathered<Element: Sendable>: Sendable {
    private let values: Mutex<[Element?]>

    init(count: Int) { values = Mutex([Element?](repeating: nil, count: count)) }

    subscript(index: Int) -> Element? {
        get { values.withLock { $0[index] } }
        set { values.withLock { $0[index] = newValue } }
    }
}
