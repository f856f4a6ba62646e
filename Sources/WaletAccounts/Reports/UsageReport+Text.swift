// A report for people, for spreadsheets and for programs.

import WaletJSON

extension UsageReport {
    /// A table for a terminal, with the exact amounts.
    public func table() -> String {
        var header = groupings.map { $0 == .key ? "KEY" : $0.rawValue.uppercased() }
        if let place = groupings.firstIndex(of: .key) { header.insert("NAME", at: place + 1) }
        let numbers = header.count
        header += ["REQUESTS", "PROMPT", "CACHED", "HITS", "OUTPUT", "REASONING", "USD"]
        let showsUnsettled = total.unsettled > 0
        if showsUnsettled { header.append("UNSETTLED") }
        // All amounts with as many decimals as one of them needs, so that the column adds up to the eye.
        let decimals = max(2, (rows.map(\.cost) + [total.cost]).map(\.decimals).max() ?? 2)

        func cells(_ row: Row, _ group: [String]) -> [String] {
            let tokens = row.tokens
            return group + [
                "\(row.requests)", "\(tokens.prompt)", "\(tokens.cached)",
                Self.percent(tokens.cached, of: tokens.prompt),
                "\(tokens.output)", "\(tokens.reasoning)", row.cost.text(minimumDecimals: decimals),
            ] + (showsUnsettled ? ["\(row.unsettled)"] : [])
        }
        var lines = [header] + rows.map { cells($0, named($0)) }
        if !groupings.isEmpty || rows.isEmpty {
            lines.append(cells(total, Array((["total"] + Array(repeating: "", count: numbers)).prefix(numbers))))
        }
        var text = TextTable.text(lines, rightFrom: numbers)
        if !comparison.isEmpty { text += "\n\n" + comparisonTable() }
        return text
    }

    /// What the report's tokens cost here and would have cost elsewhere.
    private func comparisonTable() -> String {
        let amounts = [total.cost] + total.elsewhere
        let decimals = max(2, amounts.map(\.decimals).max() ?? 2)
        func price(_ price: Price) -> [String] { [price.fresh, price.cached, price.output].map(\.description) }
        var lines = [["THE SAME TOKENS AT", "OF", "INPUT", "CACHED", "OUTPUT", "USD", "AGAINST WALET"]]
        lines.append(["Walet", "", "", "", "", total.cost.text(minimumDecimals: decimals), "1.00x"])
        for (list, cost) in zip(comparison, total.elsewhere) {
            lines.append(
                [list.name, "\(list.date)"] + price(list.price) + [
                    cost.text(minimumDecimals: decimals), Self.ratio(cost, to: total.cost),
                ])
        }
        return TextTable.text(lines, rightFrom: 2)
    }

    /// Rows by RFC 4180, with a header and without a total, which a spreadsheet computes. Amounts have nine decimals.
    ///
    /// Text that a spreadsheet would take for a formula gets an apostrophe in front.
    public func csv() -> String {
        var header = groupings.map(\.rawValue)
        if let place = groupings.firstIndex(of: .key) { header.insert("name", at: place + 1) }
        header += [
            "requests", "unsettled", "prompt_tokens", "fresh_tokens", "cached_tokens", "output_tokens",
            "reasoning_tokens", "cost_usd",
        ]
        header += comparison.map { "usd at \($0.name) of \($0.date)" }
        return CSV.text(
            [header.map(CSV.Cell.text)]
                + rows.map { row in
                    let tokens = row.tokens
                    let numbers = [
                        row.requests, row.unsettled, tokens.prompt, tokens.fresh, tokens.cached, tokens.output,
                        tokens.reasoning,
                    ]
                    return named(row).map(CSV.Cell.text) + numbers.map { .number("\($0)") }
                        + ([row.cost] + row.elsewhere).map { .number($0.text(minimumDecimals: 9)) }
                })
    }

    /// One object: `period`, `by`, `rows`, `total`, `comparison`. Amounts are decimal text, so that no reader rounds them.
    public func json() -> JSONValue {
        func money(_ amount: Money) -> JSONValue { .string(amount.text(minimumDecimals: 9)) }
        func object(_ row: Row, isTotal: Bool) -> JSONValue {
            var object = JSONObject()
            if !isTotal {
                for (grouping, value) in zip(groupings, row.group) {
                    object[grouping.rawValue] = .string(value)
                    if grouping == .key { object["name"] = .string(row.keyName ?? "") }
                }
            }
            object["requests"] = .int(row.requests)
            object["unsettled"] = .int(row.unsettled)
            object["prompt_tokens"] = .int(row.tokens.prompt)
            object["fresh_tokens"] = .int(row.tokens.fresh)
            object["cached_tokens"] = .int(row.tokens.cached)
            object["output_tokens"] = .int(row.tokens.output)
            object["reasoning_tokens"] = .int(row.tokens.reasoning)
            object["cost_usd"] = money(row.cost)
            if !comparison.isEmpty {
                object["elsewhere_usd"] = .object(
                    JSONObject(zip(comparison, row.elsewhere).map { ($0.name, money($1)) }))
            }
            return .object(object)
        }
        return [
            "period": [
                "from": from.map { .string(UTCTime.text($0)) } ?? .null,
                "to": to.map { .string(UTCTime.text($0)) } ?? .null,
            ],
            "by": .array(groupings.map { .string($0.rawValue) }),
            "rows": .array(rows.map { object($0, isTotal: false) }),
            "total": object(total, isTotal: true),
            "comparison": .array(
                comparison.map { list in
                    [
                        "name": .string(list.name), "date": .string("\(list.date)"), "input": money(list.price.fresh),
                        "cached_input": money(list.price.cached), "output": money(list.price.output),
                    ]
                }),
        ]
    }

    /// A row's group, with the key's name after its id.
    private func named(_ row: Row) -> [String] {
        var group = row.group
        if let place = groupings.firstIndex(of: .key) { group.insert(row.keyName ?? "", at: place + 1) }
        return group
    }

    private static func percent(_ part: Int, of whole: Int) -> String {
        guard whole > 0 else { return "-" }
        let tenths = Int(Int128(part) * 1000 / Int128(whole))
        return "\(tenths / 10).\(tenths % 10)%"
    }

    private static func ratio(_ amount: Money, to base: Money) -> String {
        guard base > .zero else { return "-" }
        let hundredths = Int128(amount.nanodollars) * 100 / Int128(base.nanodollars)
        let text = "\(hundredths % 100)"
        return "\(hundredths / 100).\(text.count == 1 ? "0" + text : text)x"
    }
}

/// Columns as wide as their widest cell.
public enum TextTable {
    /// - Parameter rightFrom: the first column whose cells are set to the right.
    public static func text(_ rows: [[String]], rightFrom: Int) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            let line = row.enumerated().map { index, cell in
                let space = String(repeating: " ", count: widths[index] - cell.count)
                return index >= rightFrom ? space + cell : cell + space
            }.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }.joined(separator: "\n")
    }
}
