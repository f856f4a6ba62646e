extension ProblemWording {
    private static let sums = [
        "What is {x}?", "What's {x}?", "Whats {x}?", "How much is {x}?", "Calculate {x}.", "Compute {x}.",
        "Work out {x}.", "Solve {x}.", "Tell me {x}.", "{x}?", "{x}", "{x} =", "{x} = ?", "I need {x}.",
        "What do you get for {x}?", "Can you calculate {x}?", "Could you work out {x}?", "Please calculate {x}.",
        "Please tell me what {x} is.", "Do you know what {x} is?", "How much does {x} make?",
        "What is the result of {x}?", "Give me the result of {x}.", "Find {x}.", "I would like to know {x}.",
        "Help me with {x}.", "Please do {x}.", "Now {x}.", "And {x}?", "Can you do {x}?", "What does {x} come to?",
        "Could you tell me {x}?", "How about {x}?", "What is the answer to {x}?",
    ]

    static let english: [ProblemForm.Name: [String]] = [
        .addition: sums + [
            "Add {a} and {b}.", "Add {a} to {b}.", "What is the sum of {a} and {b}?", "Please add {a} and {b}.",
            "Can you add {a} and {b}?", "Sum {a} and {b}.", "What do {a} and {b} make together?",
            "I have {a} and get {b} more. How many do I have?", "Could you add {a} and {b} for me?",
        ],
        .subtraction: sums + [
            "Subtract {b} from {a}.", "Take {b} away from {a}.", "Please subtract {b} from {a}.",
            "Can you take {b} from {a}?", "What is {a} take away {b}?", "Could you subtract {b} from {a} for me?",
            "I start with {a} and take away {b}. What is the result?",
        ],
        .multiplication: sums + [
            "Multiply {a} by {b}.", "What is {a} times {b}?", "What is the product of {a} and {b}?",
            "Please multiply {a} by {b}.", "Can you multiply {a} by {b}?", "How much is {a} times {b}?",
            "Multiply {a} and {b} for me.",
        ],
        .largest: [
            "Which is the {e}: {l}?", "Which number is the {e}: {l}?", "What is the {e} of {l}?",
            "Tell me the {e} of {l}.", "{l}: which is the {e}?", "Find the {e}: {l}.", "Pick the {e} of {l}.",
            "Please tell me which is the {e}: {l}.", "What is the maximum of {l}?", "Which one is the {e}, {l}?",
            "I have {l}. Which is the {e}?", "Can you find the {e} of {l}?",
        ],
        .smallest: [
            "Which is the {e}: {l}?", "Which number is the {e}: {l}?", "What is the {e} of {l}?",
            "Tell me the {e} of {l}.", "{l}: which is the {e}?", "Find the {e}: {l}.", "Pick the {e} of {l}.",
            "Please tell me which is the {e}: {l}.", "What is the minimum of {l}?", "Which one is the {e}, {l}?",
            "I have {l}. Which is the {e}?", "Can you find the {e} of {l}?",
        ],
        .ascending: [
            "Sort {l}.", "Please sort {l}.", "Can you sort {l}?", "Sort {l} from small to large.",
            "Put these in order: {l}.", "Order these numbers: {l}.", "Arrange {l} from smallest to largest.",
            "I have {l}. Sort them.", "Put {l} in order, smallest first.", "Could you sort {l} for me?",
            "Sort the numbers {l}.", "Bring {l} into order.",
        ],
        .descending: [
            "Sort {l} from large to small.", "Put {l} in order, largest first.",
            "Arrange {l} from largest to smallest.", "Please sort {l}, largest first.",
            "Can you sort {l} in descending order?", "I have {l}. Sort them, largest first.",
            "Could you sort {l} for me, largest first?", "Order these from the largest: {l}.",
        ],
        .letters: [
            "How many {c} are in \"{w}\"?", "How often is {c} in \"{w}\"?", "How many times is the letter {c} in {w}?",
            "Count {c} in {w}.", "Please count the letter {c} in \"{w}\".", "Can you count the letter {c} in {w}?",
            "In the word {w}, how many {c} are there?", "How often does {c} occur in the word {w}?",
            "How many letters {c} does {w} have?", "Tell me how many {c} there are in \"{w}\".",
            "How many {c}'s are in {w}?",
        ],
        .weekdayLater: [
            "Today is {d}. Which day is it in {n} days?", "If today is {d}, what day is it in {n} days?",
            "It is {d}. What day will it be {n} days from now?", "What day is {n} days after {d}?",
            "{n} days after {d} is which day?", "Today is {d}, what day comes in {n} days?",
            "It is {d} today. What weekday is it in {n} days?", "If it is {d} now, which day is it {n} days later?",
        ],
        .weekdayEarlier: [
            "If today is {d}, what day was it {n} days ago?", "What day was {n} days before {d}?",
            "It is {d} today. Which day was it {n} days ago?", "{n} days before {d} was which day?",
            "Today is {d}. What weekday was it {n} days ago?",
        ],
        .dateLater: [
            "What is the date {n} days after {t}?", "If today is {t}, what is the date in {n} days?",
            "Which date is {n} days after {t}?", "Today is {t}. What date is it in {n} days?",
            "{n} days after {t}, what is the date?", "It is {t}. Which date do we have in {n} days? (No leap year.)",
        ],
        .daysBetween: [
            "How many days from {t} to {u}?", "How many days is it from {t} to {u}?", "Count the days from {t} to {u}.",
            "Today is {t}. How many days until {u}?", "How many days are there between {t} and {u}?",
            "How many days until {u} if today is {t}? (No leap year.)",
        ],
        .weekdayOfDate: [
            "If {t} is a {d}, what day is {u}?", "{t} is a {d}. Which weekday is {u}?",
            "{t} is a {d} this year. What day is {u}?", "Today is {d}, {t}. What day is {u}? (No leap year.)",
        ],
        .countdown: [
            "Make {t} with {l}. Use each number once, with {s}.", "How can I make {t} from {l} with {s}?",
            "Can you make {t} out of {l}, each once, with {s}?", "I have {l}. How do I get {t} with {s}?",
            "Get {t} from {l}, using {s}.", "Use {l} and {s} to get {t}.", "Find a way to {t} with {l} and {s}.",
        ],
        .pieces: [
            "A {g} costs {p}. What do {n} {gs} cost?", "One {g} is {p}. How much are {n} {gs}?",
            "How much are {n} {gs} at {p} each?", "I buy {n} {gs} at {p} each. What do I pay?",
            "If a {g} costs {p}, how much are {n}?", "What do {n} {gs} cost if one is {p}?",
            "I want {n} {gs}. Each is {p}. How much is that?", "A {g} is {p}, so what are {n} {gs}?",
        ],
        .onePiece: [
            "{n} kg of {f} cost {p}. How much is 1 kg?", "I paid {p} for {n} kg of {f}. What is 1 kg?",
            "If {n} kg cost {p}, what does 1 kg cost?", "What is 1 kg of {f} if {n} kg cost {p}?",
            "{n} kg of {f} are {p}. What does one kg cost?",
        ],
        .packs: [
            "Pack A: {a} pieces for {x}. Pack B: {b} pieces for {y}. Which is cheaper by the piece?",
            "Pack A has {a} for {x}, pack B has {b} for {y}. Which one should I buy?",
            "Which is cheaper by the piece: pack A, {a} for {x}, or pack B, {b} for {y}?",
            "A is {a} pieces for {x}. B is {b} pieces for {y}. Which is cheaper?",
        ],
        .tokens: [
            "1 million tokens cost {p} USD. How much are {n} million?",
            "At {p} USD a million tokens, what do {n} million tokens cost?",
            "A million tokens are {p} USD. I used {n} million. What do I pay?",
            "How much are {n} million tokens at {p} USD a million?",
        ],
    ]
}
