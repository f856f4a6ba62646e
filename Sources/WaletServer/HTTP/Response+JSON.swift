import HTTPTypes
import Hummingbird
import NIOCore
import WaletJSON

extension Response {
    /// A JSON document as the answer.
    public static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: value.text())))
    }
}
