// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "walet",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Walet", targets: ["Walet"]),
        .executable(name: "walet", targets: ["WaletCLI"]),
    ],
    traits: [
        .trait(name: "MPI", description: "Training on several processes and machines, by OpenMPI (libopenmpi-dev).")
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.18.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .executableTarget(
            name: "WaletCLI",
            dependencies: [
                "Walet", "WaletAccounts", "WaletAudit", "WaletPlan", "WaletProvenance", "WaletServer",
                "WaletSystem", "WaletTasks", "WaletTrain", "WaletJSON",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(
            name: "WaletServer",
            dependencies: [
                "Walet", "WaletAccounts", "WaletAudit", "WaletJSON", "CWaletServerFiles",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdHTTP2", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            // Tests look at its parts, in optimised builds too, where it is not the default.
            swiftSettings: [.unsafeFlags(["-enable-testing"])]),
        .target(name: "CWaletServerFiles", exclude: ["Web", "openapi.json"]),
        .target(
            name: "Walet",
            dependencies: [
                "WaletEngine", "WaletModels", "WaletGrammar", "WaletText", "WaletFormats", "WaletHub", "WaletJSON",
            ],
            resources: [.copy("Resources/walet-nano")]),
        .target(
            name: "WaletEngine",
            dependencies: [
                "WaletModels", "WaletFormats", "WaletTensor",
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .target(
            name: "WaletTrain",
            dependencies: [
                "WaletAutodiff", "WaletEngine", "WaletModels", "WaletText", "WaletTasks", "WaletFormats", "WaletJSON",
                "WaletTensor", "CWaletAutodiff", "CWaletMPI",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Yams", package: "Yams"),
            ],
            // Tests look at its parts, in optimised builds too, where it is not the default.
            swiftSettings: [.unsafeFlags(["-enable-testing"])]),
        .target(
            name: "WaletAccounts",
            dependencies: [
                "WaletJSON", "CPQ",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
            ]),
        .target(name: "WaletAutodiff", dependencies: ["WaletTensor", "CWaletAutodiff", "CWaletKernels", "COpenBLAS"]),
        .target(name: "WaletPlan", dependencies: ["WaletFormats", "WaletTensor", "WaletJSON", "CWaletKernels"]),
        .target(
            name: "WaletProvenance",
            dependencies: [
                "WaletFormats", "WaletJSON",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ]),
        .target(name: "WaletModels", dependencies: ["WaletTensor", "WaletFormats", "CWaletKernels", "CWaletSystem"]),
        .target(name: "WaletGrammar", dependencies: ["WaletJSON"]),
        .target(name: "WaletText", dependencies: ["WaletJSON", "CPCRE2"]),
        .target(name: "WaletFormats", dependencies: ["WaletTensor", "WaletJSON"]),
        .target(
            name: "WaletHub",
            dependencies: [
                "WaletJSON",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        .target(
            name: "WaletAudit",
            dependencies: [
                "WaletJSON",
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .target(name: "WaletSystem", dependencies: ["CWaletSystem"]),
        .target(name: "WaletTensor", dependencies: ["CWaletKernels"]),
        .target(name: "WaletJSON"),
        .target(name: "WaletTasks"),
        .target(name: "CWaletAutodiff", dependencies: ["CWaletKernels"]),
        .target(name: "CWaletKernels"),
        // Empty without the trait.
        .target(
            name: "CWaletMPI", cSettings: [.define("WALET_MPI", .when(traits: ["MPI"]))],
            linkerSettings: [.linkedLibrary("mpi", .when(traits: ["MPI"]))]),
        .target(name: "CWaletSystem"),
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas",
            providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
        .systemLibrary(
            name: "CPCRE2", pkgConfig: "libpcre2-8",
            providers: [.apt(["libpcre2-dev"]), .brew(["pcre2"])]),
        // Times a training step beside PyTorch: Benchmarks/training.py.
        .executableTarget(
            name: "WaletTrainBenchmark", dependencies: ["WaletTrain", "WaletAutodiff", "WaletFormats", "WaletTensor"],
            path: "Benchmarks/TrainingStep"),
        // The other process of tests that kill one, fill its disk or cut it off from the network.
        .executableTarget(
            name: "WaletTestHelper", dependencies: ["WaletAudit", "WaletSystem"], path: "Tests/WaletTestHelper"),
        .systemLibrary(
            name: "CPQ", pkgConfig: "libpq",
            providers: [.apt(["libpq-dev"]), .brew(["libpq"])]),
        // A process that the tests of WaletAccounts let race with others, and kill.
        .executableTarget(
            name: "WaletAccountsWorker", dependencies: ["WaletAccounts"], path: "Tests/WaletAccountsWorker"),
        // A process that the tests of WaletTrain kill while it saves, and whose disk they fill.
        .executableTarget(name: "WaletTrainWorker", dependencies: ["WaletTrain"], path: "Tests/WaletTrainWorker"),
        .testTarget(name: "CWaletKernelsTests", dependencies: ["CWaletKernels"]),
        .testTarget(
            name: "WaletAutodiffTests",
            dependencies: ["WaletAutodiff", "WaletFormats", "CWaletAutodiff", "CWaletKernels"]),
        .testTarget(
            name: "WaletAuditTests",
            dependencies: [
                "WaletAudit", "WaletJSON", "WaletTestHelper",
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .testTarget(name: "WaletGrammarTests", dependencies: ["WaletGrammar", "WaletText", "WaletJSON"]),
        .testTarget(name: "WaletJSONTests", dependencies: ["WaletJSON"]),
        .testTarget(
            name: "WaletAccountsTests",
            dependencies: [
                "WaletAccounts", "WaletAccountsWorker", "WaletJSON",
                .product(name: "GRDB", package: "GRDB.swift"),
            ]),
        .testTarget(
            name: "WaletEngineTests",
            dependencies: ["WaletEngine", "WaletModels", "WaletFormats", "WaletJSON", "WaletTensor"]),
        .testTarget(
            name: "WaletHubTests",
            dependencies: [
                "WaletHub", "WaletJSON",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        .testTarget(name: "WaletFormatsTests", dependencies: ["WaletFormats", "WaletTensor", "WaletJSON"]),
        .testTarget(
            name: "WaletPlanTests", dependencies: ["WaletPlan", "WaletFormats", "WaletJSON", "WaletTensor"]),
        .testTarget(name: "WaletProvenanceTests", dependencies: ["WaletProvenance", "WaletFormats", "WaletJSON"]),
        .testTarget(
            name: "WaletServerTests",
            dependencies: [
                "WaletServer", "Walet", "WaletAccounts", "WaletAudit", "WaletJSON",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            // To optimise what runs once takes longer than to run it.
            swiftSettings: [.unsafeFlags(["-Onone"])]),
        .testTarget(name: "WaletSystemTests", dependencies: ["WaletSystem", "WaletTestHelper"]),
        .testTarget(name: "WaletTasksTests", dependencies: ["WaletTasks"]),
        .testTarget(name: "WaletTests", dependencies: ["Walet", "WaletAudit", "WaletCLI"]),
        .testTarget(name: "WaletTextTests", dependencies: ["WaletText", "WaletJSON"]),
        .testTarget(
            name: "WaletTrainTests",
            dependencies: [
                "WaletTrain", "WaletTrainWorker", "WaletAutodiff", "CWaletAutodiff", "WaletModels", "WaletTasks",
                "WaletText", "WaletFormats", "WaletJSON", "WaletTensor",
            ]),
    ],
    swiftLanguageModes: [.v6]
)
