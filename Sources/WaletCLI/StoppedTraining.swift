// Runs of training that somebody ends before they are done.

import Foundation
import Synchronization

/// The end of a run that a person or a service manager asked for.
struct StoppedTraining: Error, CustomStringConvertible {
    let signal: String
    let step: Int
    let folder: String

    var description: String {
        "stopped by \(signal) after step \(step); a checkpoint of it is in \(folder)/checkpoints, --resume goes on"
    }
}

/// SIGINT and SIGTERM, and SIGUSR1, which `mpirun` passes on and batch systems send before they end a job: noted for whoever
/// looks between two steps. A second one ends the process at once.
///
/// Not a source of signals of Dispatch: on Linux one was seen to miss a SIGTERM under `mpirun`.
struct StopSignals {
    private static let signals: [(number: Int32, name: String)] = [
        (SIGINT, "SIGINT"), (SIGTERM, "SIGTERM"), (SIGUSR1, "SIGUSR1"),
    ]
    /// What a handler may touch: numbers that are there before it is installed.
    private static let received = Atomic<Int32>(0)
    private static let isQuiet = Atomic<Bool>(false)

    var name: String? {
        let number = Self.received.load(ordering: .relaxed)
        return Self.signals.first { $0.number == number }?.name
    }

    /// - Parameter isQuiet: whether somebody else says that the run stops.
    init(isQuiet: Bool) {
        Self.received.store(0, ordering: .relaxed)
        Self.isQuiet.store(isQuiet, ordering: .relaxed)
        for (number, _) in Self.signals {
            signal(number) { number in
                StopSignals.received.store(number, ordering: .relaxed)
                signal(number, SIG_DFL)
                if StopSignals.isQuiet.load(ordering: .relaxed) { return }
                let text: StaticString = "stopping after this step; once more ends at once\n"
                _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
            }
        }
    }
}
