// What the page says of runs of reinforcement.

extension TrainingReport {
    /// Curves of answers and groups; nothing where no run has any.
    var reinforcement: String {
        let taught = runs.filter { !$0.policies.isEmpty }
        guard !taught.isEmpty else { return "" }
        func chart(
            _ id: String, _ title: String, _ unit: String, isLogarithmic: Bool = false,
            _ value: (PolicyMetrics) -> Double
        ) -> String {
            LineChart(
                id: id, title: title, unit: unit,
                series: taught.map { run in
                    .init(name: run.name, points: run.policies.map { (Double($0.tokens), value($0)) })
                }, isLogarithmic: isLogarithmic, startsAtZero: !isLogarithmic
            ).html
        }
        let heldOut = LineChart(
            id: "held-out", title: "Right answers to held-out problems", unit: "%",
            series: taught.map { run in
                let tokens = Dictionary(run.policies.map { ($0.step, $0.tokens) }) { first, _ in first }
                return .init(
                    name: run.name,
                    points: run.policyValidations.map { (Double(tokens[$0.step] ?? 0), 100 * $0.right) })
            }, startsAtZero: true
        ).html
        return """
            <h2>Reinforcement</h2>
            <div class="charts">
            \(heldOut)
            \(chart("right", "Right answers to drawn problems", "%") { 100 * $0.right })
            \(chart("answer", "Length of an answer", "tokens") { $0.answerTokens })
            \(chart("groups", "Groups that taught something, of those drawn", "%") {
                100 * Double($0.learnedGroups) / Double(max(1, $0.drawnGroups))
            })
            \(chart("clipped", "Tokens whose probability had moved far enough", "%") { 100 * $0.clippedFraction })
            \(chart("apart", "Log probabilities of engine and trainer apart, mean", "nats", isLogarithmic: true) {
                $0.differenceMean
            })
            </div>
            """
    }
}
