// What the tests of operations share: PyTorch's values, distances, and numbers at random.
import Foundation
import Testing
import WaletAutodiff
import WaletFormats

/// Kernels of the process are switched by one of these tests, so no two run at a time.
@Suite(.serialized) enum AutodiffTests {}

/// `operations.expected`: inputs, results, slopes and gradients of `Tools/oracle/operations.py`.
struct Expected {
    let file: SafetensorsFile
    let operation: String

    init(_ operation: String) throws {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        file = try SafetensorsFile(tests.appending(path: "Fixtures/training/operations.expected").path)
        self.operation = operation
    }

    func values(_ name: String) throws -> [Float] {
        let tensor = try #require(file["\(operation).\(name)"], "\(operation).\(name)")
        #expect(tensor.element == .f32)
        let pointer = file.pointer(to: tensor)
        return (0..<tensor.shape.reduce(1, *)).map { pointer.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }

    /// An input, with its last dimension as columns.
    func tensor(_ name: String) throws -> Tensor {
        let shape = try #require(file["\(operation).\(name)"], "\(operation).\(name)").shape
        return Tensor(shape, try values(name))
    }

    /// Input `index` of several that are stacked.
    func tensor(_ name: String, _ index: Int) throws -> Tensor {
        let shape = Array(try #require(file["\(operation).\(name)"]).shape.dropFirst())
        let count = shape.reduce(1, *)
        return Tensor(shape, Array(try values(name)[index * count..<(index + 1) * count]))
    }

    /// Runs the tape back from the fixture's slopes and compares result and gradients.
    func check(_ result: Tensor, _ tape: Tape, _ inputs: [(String, Tensor)], within tolerance: Double = 1e-5) throws {
        let far = distance(result.values, try values("result"))
        #expect(far < tolerance, "\(operation): the result is \(far) away")
        result.zeroedGradient().update(from: try values("slope"), count: result.count)
        tape.backward()
        var largest = far
        for (name, input) in inputs {
            let far = distance(input.gradientValues, try values("\(name).gradient"))
            #expect(far < tolerance, "\(operation): the gradient of \(name) is \(far) away")
            largest = max(largest, far)
        }
        print("operation \(operation): at most \(largest) from PyTorch")
    }
}

/// The largest difference, relative to the largest expected value.
func distance(_ ours: [Float], _ theirs: [Float]) -> Double {
    #expect(ours.count == theirs.count)
    var (most, size) = (0.0, 1e-30)
    for (a, b) in zip(ours, theirs) {
        most = max(most, a.isFinite ? Double(abs(a - b)) : .infinity)
        size = max(size, Double(abs(b)))
    }
    return most / size
}

func dot(_ x: [Float], _ y: [Float]) -> Double {
    var sum = 0.0
    for (a, b) in zip(x, y) { sum += Double(a) * Double(b) }
    return sum
}

/// SplitMix64: the same numbers on every machine.
struct Random {
    var state: UInt64

    /// In -1..<1.
    mutating func next() -> Float {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return Float(z >> 40) / Float(1 << 23) - 1
    }

    mutating func tensor(_ shape: [Int]) -> Tensor {
        Tensor(shape, (0..<shape.reduce(1, *)).map { _ in next() })
    }
}

func makeArena(threads: Int = 2) throws -> Arena { try #require(Arena(threads: threads)) }

/// The indices of the `k` largest, largest first.
func largest(_ k: Int, _ count: Int) -> (UnsafePointer<Float>, UnsafeMutablePointer<Int32>) -> Void {
    { scores, ids in
        let order = (0..<count).sorted { (scores[$1], $0) < (scores[$0], $1) }
        for i in 0..<k { ids[i] = Int32(order[i]) }
    }
}
