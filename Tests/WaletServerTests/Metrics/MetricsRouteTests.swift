import HTTPTypes
import HummingbirdTesting
import Testing
import WaletJSON

@testable import WaletServer

@Suite struct MetricsRouteTests {
    @Test func `The page comes in the format that is asked for`() async throws {
        try await TestServer().testAll { client in
            var response = try await client.get("/metrics", key: nil)
            #expect(response.status == .ok)
            #expect(response.headers[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
            #expect(response.text.contains("\n# TYPE walet_num_preemptions_total counter\n"))
            response = try await client.get(
                "/metrics", key: nil, headers: [.accept: "application/openmetrics-text; version=1.0.0"])
            #expect(response.headers[.contentType]?.hasPrefix("application/openmetrics-text; version=1.0.0") == true)
            #expect(response.text.hasSuffix("\n# EOF\n"))
        }
    }

    @Test func `Where the page is for operators others do not see it`() async throws {
        try await TestServer().testAll(metricsAccess: .operator) { client in
            var response = try await client.get("/metrics", key: nil)
            #expect(response.status == .unauthorized)
            response = try await client.get("/metrics")
            #expect(response.status == .forbidden)
            response = try await client.get("/metrics", key: TestServer.operatorKey)
            #expect(response.status == .ok)
        }
    }

    @Test func `A request shows in the page`() async throws {
        try await TestServer().testAll { client in
            _ = try await client.post(
                "/v1/messages",
                ["model": "fake", "max_tokens": 5, "messages": [["role": "user", "content": "Hi"]]])
            _ = try await client.post("/v1/messages", ["model": "fake"])
            let page = try await client.get("/metrics", key: nil).text
            for line in [
                #"walet_request_success_total{model="fake",finished_reason="stop"} 1.0"#,
                #"walet_prompt_tokens_total{model="fake"} 2.0"#,
                #"walet_key_generation_tokens_total{key="wk_user",model="fake"} 2.0"#,
                #"walet_http_requests_total{route="/v1/messages",method="POST",status="200"} 1.0"#,
                #"walet_http_requests_total{route="/v1/messages",method="POST",status="400"} 1.0"#,
            ] { #expect(page.contains("\n" + line + "\n"), "\(line)") }
        }
    }
}
