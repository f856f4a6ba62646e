// Processes that write an audit log.

import Foundation
import WaletAudit

private func request(_ text: String, in log: AuditLog) -> AuditEntry {
    var prompt = log.recorder()
    prompt.add(text)
    return .request(
        AuditRequest(id: text, endpoint: "/v1/completions", status: 200, outcome: "stop", prompt: prompt.finish()))
}

/// Appends until it is killed, from four tasks, and prints the index and the number of each entry that was confirmed.
func writeEntries(_ arguments: [String]) async {
    guard let folder = arguments.first else { fail("audit-write FOLDER") }
    do {
        var options = AuditOptions()
        options.segmentBytes = 16 << 10
        options.checkpointEntries = 20
        let log = try AuditLog.open(folder: folder, options: options)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for number in 0... {
                        let id = "\(task)-\(number)"
                        do {
                            let receipt = try await log.append(request(id, in: log))
                            say("\(receipt.index) \(id)")
                        } catch {
                            fail("\(error)")
                        }
                    }
                }
            }
        }
    } catch {
        fail("\(error)")
    }
}

/// Appends with a limit on the size of files, says which entries were confirmed and how the first refused one was
/// refused, then lifts the limit and goes on.
func fillDisk(_ arguments: [String]) async {
    guard arguments.count == 2, let limit = Int(arguments[1]) else { fail("audit-fill FOLDER BYTES") }
    signal(SIGXFSZ, SIG_IGN)
    do {
        let log = try AuditLog.open(folder: arguments[0])
        var before = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
        getrlimit(resource, &before)
        var small = rlimit(rlim_cur: rlim_t(limit), rlim_max: before.rlim_max)
        setrlimit(resource, &small)
        var refused = 0
        for number in 0..<100_000 {
            do {
                let receipt = try await log.append(request("before-\(number)", in: log))
                say("\(receipt.index) before-\(number)")
            } catch {
                say("refused \(error)")
                refused += 1
                if refused == 3 { break }
            }
        }
        do {
            try await log.ready()
            say("ready")
        } catch {
            say("not ready \(error)")
        }
        say("lost \(log.status.lost)")
        setrlimit(resource, &before)
        try await log.ready()
        say("ready after")
        let receipt = try await log.append(request("after", in: log))
        say("\(receipt.index) after")
        say("lost \(log.status.lost)")
        try await log.close()
    } catch {
        fail("\(error)")
    }
}

/// Holds a log until its standard input ends, then closes it.
func holdLog(_ arguments: [String]) async {
    guard let folder = arguments.first else { fail("audit-hold FOLDER") }
    do {
        let log = try AuditLog.open(folder: folder)
        say("open")
        _ = readLine()
        try await log.close()
        say("closed")
    } catch {
        fail("\(error)")
    }
}
