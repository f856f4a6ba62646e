import NIOCore
import NIOSSL
import Synchronization

/// A certificate and its key from PEM files, read again on demand: a renewed certificate counts from the next connection on.
public final class TLSFiles: Sendable {
    private struct Material {
        let chain: [NIOSSLCertificate]
        let key: NIOSSLPrivateKey
    }

    private let certificateFile: String
    private let keyFile: String
    private let material: Mutex<Material>

    /// - Throws: ``ConfigurationError`` for files that cannot be read or do not belong together.
    public init(certificate: String, key: String) throws(ConfigurationError) {
        certificateFile = certificate
        keyFile = key
        material = Mutex(try Self.read(certificate, key))
    }

    /// Reads the files again; the old ones stay in use where that fails.
    public func reload() throws(ConfigurationError) {
        let new = try Self.read(certificateFile, keyFile)
        material.withLock { $0 = new }
    }

    /// TLS 1.2 and 1.3 with the files' content of the moment.
    func configuration() -> TLSConfiguration {
        let first = material.withLock { $0 }
        var configuration = Self.configuration(first)
        configuration.sslContextCallback = { [self] _, promise in
            let current = material.withLock { $0 }
            var override = NIOSSLContextConfigurationOverride()
            override.certificateChain = current.chain.map { .certificate($0) }
            override.privateKey = .privateKey(current.key)
            promise.succeed(override)
        }
        return configuration
    }

    private static func configuration(_ material: Material) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: material.chain.map { .certificate($0) }, privateKey: .privateKey(material.key))
        configuration.minimumTLSVersion = .tlsv12
        return configuration
    }

    private static func read(_ certificate: String, _ key: String) throws(ConfigurationError) -> Material {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(certificate)
        } catch {
            throw ConfigurationError(place: certificate, reason: "expected certificates in PEM form: \(error)")
        }
        guard !chain.isEmpty else { throw ConfigurationError(place: certificate, reason: "holds no certificate") }
        let privateKey: NIOSSLPrivateKey
        do {
            privateKey = try NIOSSLPrivateKey(file: key, format: .pem)
        } catch {
            throw ConfigurationError(place: key, reason: "expected a private key in PEM form: \(error)")
        }
        let material = Material(chain: chain, key: privateKey)
        do {
            _ = try NIOSSLContext(configuration: configuration(material))
        } catch {
            throw ConfigurationError(place: key, reason: "the key does not belong to the certificate: \(error)")
        }
        return material
    }
}
