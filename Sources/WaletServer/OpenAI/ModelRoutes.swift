import Foundation
import HTTPTypes
import Hummingbird
import Walet
import WaletJSON

/// `GET /v1/models` and `GET /v1/models/{id}`: the models that the caller may use.
struct ModelRoutes: RouteProvider {
    let serving: Serving

    func addRoutes(to routes: RouteTable) {
        let serving = serving
        routes.get("/v1/models") { _, context in
            var list: [JSONValue] = []
            for model in await serving.models.models where context.principal.allows(model: model.name) {
                list.append(await Self.json(model, serving))
            }
            return .json(["object": "list", "data": .array(list)])
        }
        // A name may hold slashes, as it is or escaped.
        routes.get("/v1/models/**") { _, context in
            let name = context.parameters.getCatchAll().map { $0.removingPercentEncoding ?? String($0) }
                .joined(separator: "/")
            guard context.principal.allows(model: name),
                let model = await serving.models.models.first(where: { $0.name == name })
            else { throw ModelRegistry.unknown(name) }
            return .json(await Self.json(model, serving))
        }
    }

    private static func json(_ model: ModelInfo, _ serving: Serving) async -> JSONValue {
        var walet = JSONObject([("loaded", .bool(model.isLoaded))])
        if let price = await serving.gatekeeper.price(of: model.name) {
            walet["pricing"] = [
                "input": .string(price.input), "cached_input": .string(price.cachedInput),
                "output": .string(price.output), "currency": "USD",
            ]
        }
        var object = JSONObject([
            ("id", .string(model.name)), ("object", "model"),
            ("created", .int(Int(model.created.timeIntervalSince1970))), ("owned_by", "walet"),
        ])
        if let context = model.contextLength {
            object["max_model_len"] = .int(context)
            walet["context_length"] = .int(context)
        }
        object["walet"] = .object(walet)
        return .object(object)
    }
}
