import Foundation
import Walet
import WaletPlan

/// What commands say of experts that are read from the disk.
enum ExpertReport {
    /// One line for the end of a run.
    static func summary(_ experts: ExpertStatistics) -> String {
        String(
            format: "%d experts from memory, %d from disk (%.1f%% hits), %@ read at %.2f GB/s, %.2f s of waiting",
            experts.hits, experts.misses, 100 * (experts.hitRate ?? 0), Terminal.bytes(experts.bytesRead),
            (experts.readSpeed ?? 0) / 1e9, experts.waitSeconds)
    }

    static func json(_ experts: ExpertStatistics) -> JSONValue {
        [
            "hits": .int(experts.hits), "misses": .int(experts.misses),
            "hit_rate": experts.hitRate.map { .double($0) } ?? .null, "bytes_read": .int(experts.bytesRead),
            "read_seconds": .double(experts.readSeconds), "wait_seconds": .double(experts.waitSeconds),
            "read_gb_per_second": experts.readSpeed.map { .double($0 / 1e9) } ?? .null,
        ]
    }

    /// Rows of `walet bench`, of its decode steps.
    static func rows(_ experts: ExpertStatistics) -> [[String]] {
        [
            [
                "weights in memory",
                "\(Terminal.bytes(experts.denseBytes + experts.slabBytes)) of \(Terminal.bytes(experts.limit)): "
                    + "\(experts.slabs) of \(experts.experts) experts",
            ],
            ["experts from memory", String(format: "%.1f%%", 100 * (experts.hitRate ?? 0))],
            [
                "experts from disk",
                String(
                    format: "%d, %@ at %.2f GB/s, %.2f s of waiting", experts.misses, Terminal.bytes(experts.bytesRead),
                    (experts.readSpeed ?? 0) / 1e9, experts.waitSeconds),
            ],
            ["reads", "\(experts.isDirect ? "direct" : "buffered"), \(experts.reader)"],
        ]
    }

    static func placement(_ experts: ExpertStatistics) -> JSONValue {
        [
            "limit_bytes": .int(experts.limit), "dense_bytes": .int(experts.denseBytes),
            "slab_bytes": .int(experts.slabBytes), "slabs": .int(experts.slabs), "experts": .int(experts.experts),
            "direct": .bool(experts.isDirect), "reader": .string(experts.reader),
        ]
    }
}
