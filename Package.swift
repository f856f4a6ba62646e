// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "walet",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Walet", targets: ["Walet"]),
        .executable(name: "walet", targets: ["WaletCLI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    ],
    targets: [
        .executableTarget(
            name: "WaletCLI",
            dependencies: [
                "Walet", "WaletAudit",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .target(
            name: "Walet",
            dependencies: ["WaletEngine", "WaletModels", "WaletText", "WaletFormats", "WaletHub", "WaletJSON"]),
        .target(
            name: "WaletEngine",
            dependencies: [
                "WaletModels", "WaletFormats", "WaletTensor",
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .target(name: "WaletModels", dependencies: ["WaletTensor", "WaletFormats", "CWaletKernels"]),
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
        .target(name: "CWaletKernels"),
        .target(name: "CWaletSystem"),
        .systemLibrary(
            name: "CPCRE2", pkgConfig: "libpcre2-8",
            providers: [.apt(["libpcre2-dev"]), .brew(["pcre2"])]),
        // The other process of tests that kill one, fill its disk or cut it off from the network.
        .executableTarget(
            name: "WaletTestHelper", dependencies: ["WaletAudit", "WaletSystem"], path: "Tests/WaletTestHelper"),
        .testTarget(name: "CWaletKernelsTests", dependencies: ["CWaletKernels"]),
        .testTarget(
            name: "WaletAuditTests",
            dependencies: [
                "WaletAudit", "WaletJSON", "WaletTestHelper",
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .testTarget(name: "WaletJSONTests", dependencies: ["WaletJSON"]),
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
        .testTarget(name: "WaletSystemTests", dependencies: ["WaletSystem", "WaletTestHelper"]),
        .testTarget(name: "WaletTests", dependencies: ["Walet", "WaletAudit", "WaletCLI"]),
        .testTarget(name: "WaletTextTests", dependencies: ["WaletText", "WaletJSON"]),
    ],
    swiftLanguageModes: [.v6]
)
