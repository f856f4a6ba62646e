import Synchronization
import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct ResponseStoreTests {
    private func entry(
        _ text: String = "{}", status: ResponseBuilder.Status = .completed, cancel: (@Sendable () -> Void)? = nil
    ) -> ResponseStore.Entry {
        ResponseStore.Entry(status: status, text: text, messages: [], items: [], cancel: cancel)
    }

    @Test func `A response is found by its own tenant only`() {
        let store = ResponseStore()
        store.set("resp_1", entry("{\"a\":1}"), tenant: "blue")
        #expect(store.get("resp_1", tenant: "blue")?.text == "{\"a\":1}")
        #expect(store.get("resp_1", tenant: "red") == nil)
        #expect(!store.delete("resp_1", tenant: "red"))
        #expect(store.get("resp_1", tenant: "blue") != nil)
        #expect(store.delete("resp_1", tenant: "blue"))
        #expect(store.get("resp_1", tenant: "blue") == nil)
        #expect(store.bytes == 0)
    }

    @Test func `What was not used for the longest time makes room`() {
        let store = ResponseStore(limits: .init(count: 3))
        for id in ["a", "b", "c"] { store.set(id, entry(), tenant: "t") }
        _ = store.get("a", tenant: "t")
        store.set("d", entry(), tenant: "t")
        #expect(["a", "b", "c", "d"].map { store.get($0, tenant: "t") != nil } == [true, false, true, true])
    }

    @Test func `A tenant stays within its bytes and takes nothing from others`() {
        let store = ResponseStore(limits: .init(count: 1000, bytes: 10_000, totalBytes: 1 << 20))
        store.set("keep", entry(), tenant: "quiet")
        for number in 0..<100 { store.set("\(number)", entry(String(repeating: "x", count: 1000)), tenant: "loud") }
        #expect(store.bytes <= 10_000 + 512 + 2)
        #expect(store.get("keep", tenant: "quiet") != nil)
        #expect(store.get("99", tenant: "loud") != nil)
        #expect(store.get("50", tenant: "loud") == nil)
    }

    @Test func `Where all tenants' bytes are used up the one with most of them gives way`() {
        let store = ResponseStore(limits: .init(count: 1000, bytes: 1 << 20, totalBytes: 20_000))
        store.set("keep", entry(), tenant: "quiet")
        for number in 0..<100 { store.set("\(number)", entry(String(repeating: "x", count: 1000)), tenant: "loud") }
        #expect(store.bytes <= 20_000)
        #expect(store.get("keep", tenant: "quiet") != nil)
    }

    @Test func `A response larger than all room is not kept`() {
        let store = ResponseStore(limits: .init(count: 10, bytes: 1000, totalBytes: 1000))
        store.set("a", entry(String(repeating: "x", count: 2000)), tenant: "t")
        #expect(store.get("a", tenant: "t") == nil)
        #expect(store.bytes == 0)
    }

    @Test func `A response under way is not dropped to make room, and deleting it ends the work`() {
        let store = ResponseStore(limits: .init(count: 1))
        let isCancelled = Mutex(false)
        store.set("a", entry(status: .inProgress) { isCancelled.withLock { $0 = true } }, tenant: "t")
        store.set("b", entry(), tenant: "t")
        #expect(store.get("a", tenant: "t") != nil)
        #expect(store.delete("a", tenant: "t"))
        #expect(isCancelled.withLock { $0 })
    }

    @Test func `The end of a response that was deleted meanwhile brings it not back`() {
        let store = ResponseStore()
        store.set("a", entry(status: .inProgress), tenant: "t")
        #expect(store.delete("a", tenant: "t"))
        store.finish("a", entry(), tenant: "t")
        #expect(store.get("a", tenant: "t") == nil)
    }

    @Test func `A store without room keeps nothing`() {
        let store = ResponseStore(limits: .init(count: 0))
        #expect(!store.isOn)
        store.set("a", entry(), tenant: "t")
        #expect(store.bytes == 0)
    }

    @Test func `Many tasks at once leave the sum of bytes right`() async {
        let store = ResponseStore(limits: .init(count: 50, bytes: 100_000, totalBytes: 200_000))
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for number in 0..<200 {
                        let id = "\(task)-\(number)"
                        let tenant = "\(task % 3)"
                        store.set(id, entry(String(repeating: "x", count: number * 10)), tenant: tenant)
                        _ = store.get(id, tenant: tenant)
                        if number % 3 == 0 { _ = store.delete(id, tenant: tenant) }
                    }
                }
            }
        }
        #expect(store.bytes <= 200_000)
        for task in 0..<8 {
            for number in 0..<200 { _ = store.delete("\(task)-\(number)", tenant: "\(task % 3)") }
        }
        #expect(store.bytes == 0)
    }
}
