import Foundation

/// Two self-signed certificates for localhost with their keys, made by
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=walet-test-1
/// -addext subjectAltName=DNS:localhost,IP:127.0.0.1`. They protect nothing.
enum TestCertificates {
    static let first = (certificate: certificate1, key: key1)
    static let second = (certificate: certificate2, key: key2)

    /// A folder with the files `cert.pem` and `key.pem`.
    static func folder(_ pair: (certificate: String, key: String)) throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try write(pair, to: folder)
        return folder
    }

    static func write(_ pair: (certificate: String, key: String), to folder: URL) throws {
        try Data(pair.certificate.utf8).write(to: folder.appending(path: "cert.pem"))
        try Data(pair.key.utf8).write(to: folder.appending(path: "key.pem"))
    }

    private static let certificate1 = """
        -----BEGIN CERTIFICATE-----
        MIIBoDCCAUegAwIBAgIUD8EbU6G8y/2n/JBzNOiomDMVfCIwCgYIKoZIzj0EAwIw
        FzEVMBMGA1UEAwwMd2FsZXQtdGVzdC0xMCAXDTI2MTEyNTEyMjYxN1oYDzIxMjYx
        MTAxMTIyNjE3WjAXMRUwEwYDVQQDDAx3YWxldC10ZXN0LTEwWTATBgcqhkjOPQIB
        BggqhkjOPQMBBwNCAASg7XmQrZLX8nqF8+vAIVrrA3haFyHrP5M8QJ/xTC7bQ/wu
        gW+Z2mRT+gw7iuqxc6W6141lxHBxAkzli8d37Yxio28wbTAdBgNVHQ4EFgQUvBIL
        8gecJcm3cbzS6Waq+7ihivswHwYDVR0jBBgwFoAUvBIL8gecJcm3cbzS6Waq+7ih
        ivswDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEw
        CgYIKoZIzj0EAwIDRwAwRAIgXuGvZdmy2x/ZpqRUxNParSNfuLYzY/x8q3z9M5le
        68ICID69DNhGYV3VpKDWflp8fX/qTI9MG0ap1ekJRH1qkSSx
        -----END CERTIFICATE-----
        """
    private static let key1 = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrQwn/lMA/XiO+oRT
        GXXqBIdA7PYS/qy3tls7ZcS2DVKhRANCAASg7XmQrZLX8nqF8+vAIVrrA3haFyHr
        P5M8QJ/xTC7bQ/wugW+Z2mRT+gw7iuqxc6W6141lxHBxAkzli8d37Yxi
        -----END PRIVATE KEY-----
        """
    private static let certificate2 = """
        -----BEGIN CERTIFICATE-----
        MIIBoTCCAUegAwIBAgIUVmwTMs5GHVenSSEJuWKjI2w9ERAwCgYIKoZIzj0EAwIw
        FzEVMBMGA1UEAwwMd2FsZXQtdGVzdC0yMCAXDTI2MTEyNTEyMjYxN1oYDzIxMjYx
        MTAxMTIyNjE3WjAXMRUwEwYDVQQDDAx3YWxldC10ZXN0LTIwWTATBgcqhkjOPQIB
        BggqhkjOPQMBBwNCAARZ871MOVm5PWKfeI/ImcTfMNP3aCTMthKsmfl0r+sQzJD0
        +l9kA95p7jsloKlEVGh+q/BIWS8URx32PfWc85x6o28wbTAdBgNVHQ4EFgQUast4
        QBZDHC2tqsmO7h69seQ7DH0wHwYDVR0jBBgwFoAUast4QBZDHC2tqsmO7h69seQ7
        DH0wDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEw
        CgYIKoZIzj0EAwIDSAAwRQIgbDhISr5eiRZ3vdhKaCx1IHhtRyuqCKHZIv/pssco
        ss4CIQCEwxh08H/1t4vouTQEiutWSMQ5EeOeDW9V2FxXZa3Cjw==
        -----END CERTIFICATE-----
        """
    private static let key2 = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5f5BEGl2DZrfakCz
        kxmY8HUZjdDDbB6J5awRrDlFzEChRANCAARZ871MOVm5PWKfeI/ImcTfMNP3aCTM
        thKsmfl0r+sQzJD0+l9kA95p7jsloKlEVGh+q/BIWS8URx32PfWc85x6
        -----END PRIVATE KEY-----
        """
}
