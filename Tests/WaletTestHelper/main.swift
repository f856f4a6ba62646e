// A process for the tests that need another one: to kill it, to fill its disk, to cut it off from the network.

import Foundation
import WaletAudit
import WaletSystem

func fail(_ message: String) -> Never {
    FileHandle.standardError.write(Data("\(message)\n".utf8))
    exit(1)
}

/// At once: whoever kills this process must have read what it has confirmed.
func say(_ line: String) {
    FileHandle.standardOutput.write(Data("\(line)\n".utf8))
}

let arguments = CommandLine.arguments.dropFirst()
switch arguments.first {
case "audit-write": await writeEntries(Array(arguments.dropFirst()))
case "audit-fill": await fillDisk(Array(arguments.dropFirst()))
case "audit-hold": await holdLog(Array(arguments.dropFirst()))
case "sovereign": sovereign(Array(arguments.dropFirst()))
default: fail("audit-write FOLDER | audit-fill FOLDER BYTES | audit-hold FOLDER | sovereign CASE")
}
