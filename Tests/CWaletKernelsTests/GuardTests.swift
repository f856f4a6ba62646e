import CWaletKernels
import Foundation
import Synchronization
import Testing

private let earlierHandlerCalls = Atomic<Int>(0)

extension KernelTests {
    @Suite struct Guard {
        init() {
            // The handler that is there before the guard, which other tests may have installed before.
            struct Once {
                static let installed: Bool = {
                    signal(SIGBUS) { _ in earlierHandlerCalls.add(1, ordering: .relaxed) }
                    wk_guard_install()
                    return true
                }()
            }
            _ = Once.installed
        }

        @Test func aFileThatShrinksReadsAsZerosAndIsMarked() throws {
            let page = Int(sysconf(Int32(_SC_PAGESIZE)))
            let path = NSTemporaryDirectory() + "walet-guard-\(UUID().uuidString)"
            defer { unlink(path) }
            try Data(repeating: 7, count: 4 * page).write(to: URL(filePath: path))
            let file = open(path, O_RDWR)
            defer { close(file) }
            let base = try #require(mmap(nil, 4 * page, PROT_READ, MAP_SHARED, file, 0))
            try #require(base != MAP_FAILED)
            defer { munmap(base, 4 * page) }
            let other = wk_guard_register(base + 100 * page, page)
            let slot = wk_guard_register(base, 4 * page)
            defer {
                wk_guard_unregister(slot)
                wk_guard_unregister(other)
            }
            try #require(slot >= 0 && other >= 0)

            func byte(_ offset: Int) -> UInt8 { base.load(fromByteOffset: offset, as: UInt8.self) }
            #expect(byte(3 * page) == 7)
            #expect(!wk_guard_is_broken(slot))
            try #require(ftruncate(file, off_t(2 * page)) == 0)
            #expect(byte(3 * page + 5) == 0)
            #expect(wk_guard_is_broken(slot))
            #expect(!wk_guard_is_broken(other))
            #expect(byte(2 * page) == 0)
            #expect(byte(4 * page - 1) == 0)
            #expect(byte(page) == 7)
            #expect(byte(2 * page - 1) == 7)

            // A slot that is used again starts unbroken.
            wk_guard_unregister(slot)
            #expect(wk_guard_register(base, page) == slot)
            #expect(!wk_guard_is_broken(slot))
        }

        @Test func workersOfThePoolAreGuardedToo() throws {
            let page = Int(sysconf(Int32(_SC_PAGESIZE))), pages = 64
            let path = NSTemporaryDirectory() + "walet-guard-\(UUID().uuidString)"
            defer { unlink(path) }
            try Data(repeating: 7, count: pages * page).write(to: URL(filePath: path))
            let file = open(path, O_RDWR)
            defer { close(file) }
            let base = try #require(mmap(nil, pages * page, PROT_READ, MAP_SHARED, file, 0))
            defer { munmap(base, pages * page) }
            let slot = wk_guard_register(base, pages * page)
            defer { wk_guard_unregister(slot) }
            try #require(ftruncate(file, 0) == 0)
            let pool = try #require(wk_pool_create(4))
            defer { wk_pool_destroy(pool) }
            // Each task reads its page; two workers may fault on the same page if they read across.
            wk_pool_run(
                pool, Int64(pages),
                { base, task, _ in
                    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
                    precondition(base!.load(fromByteOffset: Int(task) * page, as: UInt8.self) == 0)
                }, base)
            #expect(wk_guard_is_broken(slot))
        }

        @Test func aBusErrorOutsideGoesToTheHandlerThatWasThereBefore() {
            let before = earlierHandlerCalls.load(ordering: .relaxed)
            raise(SIGBUS)
            #expect(earlierHandlerCalls.load(ordering: .relaxed) == before + 1)
        }

        @Test func numbersThatAreNoSlotsAreHarmless() {
            wk_guard_unregister(-1)
            wk_guard_unregister(.max)
            #expect(!wk_guard_is_broken(-1))
            #expect(!wk_guard_is_broken(.max))
        }

        @Test func aFullTableIsReported() {
            var slots: [Int32] = []
            while let slot = Optional(wk_guard_register(nil, 0)), slot >= 0 { slots.append(slot) }
            #expect(slots.count > 1000)
            for slot in slots { wk_guard_unregister(slot) }
            let again = wk_guard_register(nil, 0)
            #expect(again >= 0)
            wk_guard_unregister(again)
        }
    }
}
