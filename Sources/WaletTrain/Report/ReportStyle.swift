// The report's style sheet: light and dark by what the reader's system says, colours told apart by those who see few.

/// Colours are Okabe and Ito's (jfly.uni-koeln.de/color), darker on white and lighter on black so that each has a contrast
/// of at least 3 to its background.
enum ReportStyle {
    static let sheet = """
        :root { --back: #fff; --text: #1b1b1b; --soft: #595959; --grid: #d9d9d9; --panel: #f6f6f6;
          --c0: #0072b2; --c1: #b34700; --c2: #00795a; --c3: #a0477c; --c4: #8a6d00; --c5: #1f77a8; --c6: #555;
          --c7: #7b3fb0; }
        @media (prefers-color-scheme: dark) {
          :root { --back: #141414; --text: #ececec; --soft: #b0b0b0; --grid: #3a3a3a; --panel: #1f1f1f;
            --c0: #56b4e9; --c1: #ff9a4d; --c2: #2fd3a3; --c3: #e59ac6; --c4: #f0e442; --c5: #8fd0ff; --c6: #c0c0c0;
            --c7: #c9a0f0; } }
        body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
        main { max-width: 90rem; margin: 0 auto; padding: 1rem; }
        h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 0 0 .5rem; }
        .charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 32rem), 1fr)); gap: 1rem; }
        figure { margin: 0; padding: 1rem; background: var(--panel); border-radius: .5rem; min-width: 0; }
        svg { width: 100%; height: auto; display: block; }
        .grid { stroke: var(--grid); fill: none; } .tick { fill: var(--soft); font-size: 12px; }
        .limit { stroke: var(--text); stroke-dasharray: 4 4; fill: none; }
        .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
        .c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
        .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); } .c6 { stroke: var(--c6); } .c7 { stroke: var(--c7); }
        .cell { fill: var(--c0); stroke: var(--grid); }
        .dead { fill: none; stroke: var(--c1); stroke-width: 2; stroke-dasharray: 2 2; }
        .legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: .5rem 0; padding: 0;
          font-size: .875rem; }
        .legend svg { width: 28px; display: inline-block; margin-right: .4rem; vertical-align: middle; }
        .wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .875rem; }
        caption { text-align: left; font-weight: 600; padding: .25rem 0; }
        th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--grid); text-align: right; white-space: nowrap; }
        th:first-child { text-align: left; } td { font-variant-numeric: tabular-nums; }
        pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel); padding: .75rem;
          border-radius: .5rem; }
        summary { cursor: pointer; color: var(--soft); } summary:focus-visible { outline: 2px solid var(--c0); }
        @media print { .charts { display: block; } figure { break-inside: avoid; margin-bottom: 1rem; } }
        """
}
