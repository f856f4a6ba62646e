// This machine, measured, or another one as far as it is described.

import Foundation
import WaletFormats
import WaletTensor

extension Machine {
    /// What a user says of the machine; everything else is measured here.
    public struct Description: Sendable, Equatable {
        /// Bytes.
        public var memory: Int?
        public var cores: Int?
        /// Bytes a second.
        public var memorySpeed: Double?
        /// Bytes a second.
        public var diskSpeed: Double?
        /// A file that is read, or a folder that a file is written to and read from, to measure the disk.
        public var disk: String?

        public init(
            memory: Int? = nil, cores: Int? = nil, memorySpeed: Double? = nil, diskSpeed: Double? = nil,
            disk: String? = nil
        ) {
            self.memory = memory
            self.cores = cores
            self.memorySpeed = memorySpeed
            self.diskSpeed = diskSpeed
            self.disk = disk
        }
    }

    /// Measures what is not described: memory and kernels in some seconds, the disk only where `needsDisk` says so.
    ///
    /// With a given speed of memory nothing is measured but the disk, since the machine is another one; the kernels' share
    /// of that speed and their arithmetic are then assumed.
    /// - Parameters:
    ///   - files: files of the model: what the page cache holds of them is read, and the largest where no disk is named.
    /// - Throws: ``PlanError/unmeasurable(what:reason:remedy:)``.
    public static func measured(
        for shape: ModelShape, _ description: Description, needsDisk: (Machine) -> Bool, files: [String]
    ) throws(PlanError) -> Machine {
        let cores = description.cores ?? Hardware.physicalCores
        let isa = Hardware.instructionSet
        let memory = description.memory ?? installedMemory()
        var machine = Machine(
            memory: Figure(Double(memory), description.memory == nil ? .measured : .given),
            cores: Figure(Double(cores), description.cores == nil ? .measured : .given), instructionSet: isa,
            memorySpeed: Figure(0, .measured), efficiency: assumedEfficiency,
            operations: Figure(Double(cores) * assumedOperations(perCore: isa), .assumed), diskSpeed: nil)
        if let speed = description.memorySpeed {
            machine.memorySpeed = Figure(speed, .given)
        } else {
            try machine.measureHere(shape, files: files)
        }
        if let speed = description.diskSpeed {
            machine.diskSpeed = Figure(speed, .given)
        } else if needsDisk(machine) {
            machine.diskSpeed = try diskSpeed(shape, description.disk, files: files)
        }
        return machine
    }

    private mutating func measureHere(_ shape: ModelShape, files: [String]) throws(PlanError) {
        let threads = max(1, min(Int(cores.value), Hardware.physicalCores))
        // Far above a processor's caches, of which some have hundreds of megabytes, and no more than a third of what this
        // process may have: a control group that is asked for more ends it.
        let memory = min(Self.installedMemory(), ControlGroups().memoryLimit() ?? .max)
        let budget = max(64 << 20, min(3 << 30, max(memory / 8, min(1 << 30, memory / 3))))
        let read = try MemoryProbe.readSpeed(bytes: min(budget, 1 << 30), threads: threads)
        memorySpeed = Figure(read, .measured)
        guard let kernels = try KernelProbe.measure(shape, threads: threads, budget: budget) else { return }
        // Kernels that ask for lines ahead may read faster than a plain loop does: memory is as fast as its fastest reader.
        let speed = max(read, kernels.readSpeed)
        memorySpeed = Figure(speed, .measured)
        efficiency = Figure(kernels.readSpeed / speed, .measured)
        mapped = try MappedProbe.share(files: files, threads: threads).map { Figure($0, .measured) }
        guard kernels.operations > 0 else { return }
        // Arithmetic grows with the cores; a machine of more cores than this one is scaled up.
        let scale = cores.value / Double(threads)
        operations = Figure(kernels.operations * scale, scale == 1 ? .measured : .assumed)
        if let seconds = try AttentionProbe.secondsPerPosition(shape, threads: threads) {
            attention = Figure(seconds / scale, scale == 1 ? .measured : .assumed)
        }
    }

    private static func diskSpeed(
        _ shape: ModelShape, _ disk: String?, files: [String]
    ) throws(PlanError) -> Figure? {
        // A read is a matrix of an expert, or the expert whole where its parts lie together.
        let block = max(1 << 20, min(64 << 20, shape.expertBytes / 3))
        if let disk {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: disk, isDirectory: &isFolder) else {
                throw .file(path: disk, reason: "no file or folder is there")
            }
            let result =
                isFolder.boolValue
                ? try DiskProbe.readSpeed(folder: disk, block: block)
                : try DiskProbe.readSpeed(file: disk, block: block)
            return Figure(result.speed, .measured)
        }
        func size(_ path: String) -> Int {
            ((try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? NSNumber)?.intValue ?? 0
        }
        guard let largest = files.max(by: { size($0) < size($1) }), size(largest) >= 8 * block else { return nil }
        return Figure(try DiskProbe.readSpeed(file: largest, block: block).speed, .measured)
    }
}
