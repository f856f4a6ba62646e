import CWaletKernels
import Foundation

/// What this machine has.
public enum Hardware {
    /// Physical cores that this process may run on. Two hyper-threads share one core's units and one core's path to
    /// memory, so a second thread on it slows decoding.
    public static let physicalCores: Int = {
        let logical = ProcessInfo.processInfo.activeProcessorCount
        #if os(Linux)
            var cores: Set<String> = []
            for cpu in 0..<4096 {
                let folder = "/sys/devices/system/cpu/cpu\(cpu)/topology/"
                guard let siblings = try? String(contentsOfFile: folder + "thread_siblings_list", encoding: .utf8)
                else { break }
                cores.insert(siblings)
            }
            return cores.isEmpty ? logical : max(1, min(logical, cores.count))
        #else
            return logical
        #endif
    }()

    /// The instruction set that the kernels use: "generic", "avx2", "avx512" or "neon".
    public static var instructionSet: String { String(cString: wk_isa()) }
}
