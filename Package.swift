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
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        .executableTarget(
            name: "WaletCLI",
            dependencies: [
                "Walet",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .target(name: "Walet", dependencies: ["WaletEngine", "WaletText", "WaletFormats"]),
        .target(name: "WaletEngine", dependencies: ["WaletModels"]),
        .target(name: "WaletModels", dependencies: ["WaletTensor", "WaletFormats"]),
        .target(name: "WaletText", dependencies: ["WaletJSON", "CPCRE2"]),
        .target(name: "WaletFormats", dependencies: ["WaletTensor", "WaletJSON"]),
        .target(name: "WaletTensor", dependencies: ["CWaletKernels"]),
        .target(name: "WaletJSON"),
        .target(name: "CWaletKernels"),
        .systemLibrary(
            name: "CPCRE2", pkgConfig: "libpcre2-8",
            providers: [.apt(["libpcre2-dev"]), .brew(["pcre2"])]),
        .testTarget(name: "WaletJSONTests", dependencies: ["WaletJSON"]),
        .testTarget(name: "WaletTextTests", dependencies: ["WaletText", "WaletJSON"]),
    ],
    swiftLanguageModes: [.v6]
)
