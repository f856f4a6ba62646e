"""Writes Tests/Fixtures/grammar/schemas.json: schemas with values that jsonschema calls valid or invalid.

    python3 -m venv .venv
    .venv/bin/pip install -r Tools/requirements-grammar.txt
    .venv/bin/python Tools/make_grammar_fixtures.py

The verdicts are jsonschema's (2020-12, formats checked); the schemas come from the lists and the generator below. Values
are written compactly, members in the order of the schema, since that is what a grammar admits. The same bytes are
written each time.
"""

import copy
import json
import pathlib
import random

from jsonschema import Draft202012Validator

RANDOM = random.Random(20261125)
OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "Tests/Fixtures/grammar/schemas.json"

# Schemas written by hand, each with values to try. Whether a value is valid is for jsonschema to say.
STRINGS = ["", "a", "ab", "abc", "Zürich", "日本", "\U0001F600", 'quote"', "back\\slash", "line\nbreak", "tab\t", "\u0001",
           "a b", "0", "x" * 11, "hello world", "é", "e\u0301"]
NUMBERS = [0, 1, -1, 2, 3, 5, 7, 9, 10, 11, 12, 15, 99, 100, 101, 120, 1000, -5, -10, -99, 0.5, -0.5, 1.5, 2.25, 9.99,
           10.01, 99.5, 0.001, -3.75, 123456789, 9007199254740993, -9223372036854775808, 9223372036854775807]
OTHERS = [None, True, False, [], {}, [1], {"a": 1}, ["a", "b"], "text", 3, 2.5]


def string(**more):
    return {"type": "string", **more}


def integer(**more):
    return {"type": "integer", **more}


def number(**more):
    return {"type": "number", **more}


def obj(properties, required=None, additional=False, **more):
    schema = {"type": "object", "properties": properties}
    schema["required"] = list(properties) if required is None else required
    if additional is not None:
        schema["additionalProperties"] = additional
    schema.update(more)
    return schema


def arr(items=None, **more):
    schema = {"type": "array"}
    if items is not None:
        schema["items"] = items
    schema.update(more)
    return schema


PATTERNS = {
    "^[a-z]+$": ["abc", "ABC", "", "a1"],
    "^[A-Z]{2}[0-9]{3,4}$": ["AB123", "AB1234", "AB12", "AB12345", "ab123"],
    "foo": ["foo", "a foo b", "fo", "foofoo", "f\noo", "x\nfoo\n"],
    "^(cat|dog)s?$": ["cat", "dogs", "bird", "cats!", "catdog"],
    "^\\d{3}-\\d{4}$": ["555-1234", "555-123", "5551234"],
    "^[^\"]*$": ["plain", "with\"quote", "back\\slash", "\n"],
    "a.c": ["abc", "a c", "a\nc", "xxabcxx", "ac"],
    "^\\+?[1-9]\\d{1,14}$": ["+4912345", "0123", "12", "+1"],
    "^$": ["", "a"],
    "": ["", "anything"],
    "^(a+)+$": ["aaaa", "aaab", ""],
    "^(?:[01]\\d|2[0-3]):[0-5]\\d$": ["23:59", "24:00", "09:30", "9:30"],
    "^[\\w.-]+@[\\w-]+\\.[a-z]{2,}$": ["a.b@c.de", "a@b", "a b@c.de"],
    "^\\u00e9+$": ["é", "éé", "e", "e\u0301"],
    "^[α-ω]+$": ["αβγ", "abc", "Α"],
    "^\\s*x\\s*$": ["x", "  x ", "\tx\n", "y"],
    "^[\\[\\]\\\\]+$": ["[\\]", "a"],
    "^x{0,3}$": ["", "xx", "xxxx"],
    "^(|a|ab)(c|bcd)$": ["c", "ac", "abc", "abcd", "bcd", "abbcd", "ad"],
    "b$": ["ab", "b", "ba"],
    "^b": ["ba", "ab"],
    "^a|b$": ["ax", "xb", "xa", "ab", "xx"],
}

FORMATS = {
    "date-time": ["2024-02-29T12:00:00Z", "2023-02-29T12:00:00Z", "2024-01-01T00:00:00+02:00", "2024-01-01 00:00:00Z",
                  "2024-13-01T00:00:00Z", "2024-12-31T23:59:59.123Z", "2024-12-31T24:00:00Z", "2024-12-31"],
    "date": ["2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "2024-04-31", "2024-1-1", "0001-01-01"],
    "time": ["12:00:00Z", "23:59:59+00:00", "25:00:00Z", "12:00Z", "12:00:00.5-05:30"],
    "duration": ["P1D", "PT1H30M", "P1Y2M3DT4H5M6S", "P2W", "1D", "P", "PT", "P1H"],
    "email": ["a@b.de", "first.last@sub.example.com", "nobody", "x"],
    "hostname": ["example.com", "a-b.c", "-a.com", "a..b", "x" * 64 + ".com", "localhost", "a_b.com"],
    "ipv4": ["1.2.3.4", "255.255.255.255", "256.1.1.1", "1.2.3", "01.2.3.4", "0.0.0.0"],
    "ipv6": ["::1", "2001:db8::ff", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "::", "1::2::3", "12345::", "fe80::1:2", "1::"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000",
             "123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400"],
    "uri": ["https://example.com/a?b=c#d", "http://a", "no uri", "https://ex ample.com"],
}

TREE = {
    "$ref": "#/$defs/node",
    "$defs": {"node": obj({"name": string(), "children": arr({"$ref": "#/$defs/node"})})},
}
LINKED = {
    "type": "object",
    "properties": {"value": integer(), "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    "required": ["value", "next"],
    "additionalProperties": False,
}


def handwritten():
    for kind in ["null", "boolean", "integer", "number", "string", "array", "object"]:
        yield {"type": kind}, OTHERS + NUMBERS[:6] + STRINGS[:6]
    yield {"type": ["string", "null"]}, OTHERS
    yield {"type": ["integer", "string", "null"]}, OTHERS
    yield {"type": ["number", "boolean"]}, OTHERS
    yield {}, OTHERS + STRINGS[:8]
    yield True, OTHERS
    yield string(), STRINGS
    for bounds in [dict(minLength=1), dict(maxLength=2), dict(minLength=2, maxLength=3), dict(maxLength=0),
                   dict(minLength=11)]:
        yield string(**bounds), STRINGS
    for pattern, values in PATTERNS.items():
        yield string(pattern=pattern), values + STRINGS[:3]
    yield string(pattern="^[a-z]*$", minLength=2, maxLength=4), ["a", "ab", "abcd", "abcde", "AB"]
    yield string(pattern="^(ab)*$", minLength=3, maxLength=6), ["ab", "abab", "ababab", "abababab", "aba"]
    yield {"allOf": [string(pattern="^a"), {"pattern": "z$"}]}, ["az", "abcz", "a", "z", "za"]
    for form, values in FORMATS.items():
        yield string(format=form), values + [""]
    yield string(format="date", pattern="^20"), ["2024-01-01", "1999-01-01", "2024-99-01"]
    yield string(format="hostname", maxLength=5), ["a.com", "ab.com", "b.de"]
    for bounds in [dict(minimum=0), dict(minimum=1, maximum=10), dict(exclusiveMinimum=0), dict(maximum=-1),
                   dict(minimum=-10, maximum=120), dict(exclusiveMinimum=9, exclusiveMaximum=12), dict(minimum=99),
                   dict(maximum=100), dict(multipleOf=5), dict(multipleOf=3, minimum=-5), dict(minimum=1.5),
                   dict(minimum=-99, exclusiveMaximum=-5), dict(minimum=1000, maximum=123456789), dict(multipleOf=10),
                   dict(minimum=7, maximum=7), dict(multipleOf=0.5)]:
        yield integer(**bounds), [n for n in NUMBERS if isinstance(n, int)] + [0.5, "1"]
    for bounds in [dict(minimum=0), dict(exclusiveMinimum=0), dict(minimum=-0.5, maximum=9.99), dict(maximum=1.5),
                   dict(exclusiveMinimum=0.5, exclusiveMaximum=10.01), dict(minimum=0.25, maximum=0.75),
                   dict(multipleOf=0.25), dict(multipleOf=0.5, minimum=-1), dict(minimum=-99, maximum=-3),
                   dict(exclusiveMaximum=0), dict(minimum=99.5), dict(multipleOf=5), dict(minimum=0.001, maximum=2)]:
        yield number(**bounds), [n for n in NUMBERS if abs(n) < 10**15] + [0.3, 0.75, 0.2500001, -0.001, 1.25, "1"]
    yield number(), NUMBERS + [1e-7, 1.5e300 / 1e150, 3.0, 123456.789, 0.30000000000000004]
    yield {"enum": ["red", "green", "blue"]}, ["red", "green", "re", "redd", "", None, 1]
    yield {"enum": [1, 12, 123, "1", None, True, 1.5]}, [1, 12, 123, 2, "1", "12", None, True, False, 1.5, 15]
    yield {"enum": [[1, 2], {"a": "b"}, []]}, [[1, 2], {"a": "b"}, [], [1], {}, {"a": "c"}]
    yield {"const": "x"}, ["x", "y", ""]
    yield {"const": None}, [None, False, 0]
    yield {"const": 'a"b\\c\nd'}, ['a"b\\c\nd', "a"]
    yield {"type": ["string", "null"], "enum": ["F", "C", None]}, ["F", "C", None, "K"]
    yield {"type": "string", "enum": ["a", 1, None]}, ["a", 1, None]
    yield {"enum": [1, 5, 10, 20], "minimum": 5, "maximum": 15}, [1, 5, 10, 20]
    yield {"enum": ["a", "ab", "abc"], "minLength": 2, "type": "string"}, ["a", "ab", "abc"]
    yield {"enum": ["ab", "cd", "ax"], "pattern": "^a"}, ["ab", "cd", "ax"]
    yield arr(), [[], [1], [1, "a", None], [[]], {}]
    yield arr(integer()), [[], [1], [1, 2, 3], ["a"], [1, "a"], [1.5]]
    for bounds in [dict(minItems=1), dict(maxItems=2), dict(minItems=2, maxItems=3), dict(maxItems=0),
                   dict(minItems=3), dict(minItems=2, maxItems=2)]:
        yield arr(integer(), **bounds), [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]
    yield {"type": "array", "prefixItems": [string(), integer()]}, [[], ["a"], ["a", 1], ["a", 1, None], [1], ["a", "b"]]
    yield ({"type": "array", "prefixItems": [string(), integer()], "items": False},
           [[], ["a"], ["a", 1], ["a", 1, None], [1]])
    yield ({"type": "array", "prefixItems": [string()], "items": integer(), "minItems": 2, "maxItems": 3},
           [["a"], ["a", 1], ["a", 1, 2], ["a", 1, 2, 3], ["a", "b"]])
    yield arr(arr(integer(), maxItems=2), minItems=1), [[], [[]], [[1, 2]], [[1, 2, 3]], [[1], [2]], [1]]
    yield arr({"anyOf": [string(), integer()]}), [["a", 1], [1, 2, "b"], [None], [1.5]]
    yield obj({}), [{}, {"a": 1}]
    yield {"type": "object"}, [{}, {"a": 1}, {"a": {"b": []}}, {"": None}, []]
    yield obj({"a": integer()}), [{"a": 1}, {}, {"a": "x"}, {"a": 1, "b": 2}]
    yield obj({"a": integer(), "b": string(), "c": {"type": "null"}}, ["b"]), [
        {"b": "x"}, {"a": 1, "b": "x"}, {"b": "x", "c": None}, {"a": 1, "b": "x", "c": None}, {"a": 1}, {"c": None}, {}]
    yield obj({"a": integer(), "b": integer(), "c": integer()}, []), [
        {}, {"a": 1}, {"b": 1}, {"c": 1}, {"a": 1, "c": 1}, {"a": 1, "b": 2, "c": 3}, {"d": 1}, {"a": None}]
    yield obj({"a": integer()}, additional=True), [{"a": 1}, {"a": 1, "b": None}, {"b": 1}, {"a": 1, "b": {"c": []}}]
    yield obj({"a": integer()}, additional=None), [{"a": 1}, {"a": 1, "b": None}, {"b": 1}]
    yield obj({"a": integer()}, [], additional=string()), [
        {}, {"a": 1}, {"a": 1, "b": "x"}, {"b": "x", "c": "y"}, {"b": 1}, {"a": "x"}]
    yield {"type": "object", "additionalProperties": integer()}, [{}, {"x": 1}, {"x": 1, "y": 2}, {"x": "1"}]
    yield {"type": "object", "required": ["id"], "properties": {}}, [{"id": 1}, {}, {"id": None, "x": 1}]
    yield {"type": "object", "required": ["id"], "additionalProperties": integer()}, [{"id": 1}, {"id": "x"}, {}]
    yield obj({"a/b": integer(), "c~d": integer(), 'e"f': integer(), "": integer()}), [
        {"a/b": 1, "c~d": 2, 'e"f': 3, "": 4}, {"a/b": 1}]
    yield obj({"é": integer(), "e\u0301": integer()}), [{"é": 1, "e\u0301": 2}, {"é": 1}]
    yield obj({"a": False, "b": integer()}, ["b"]), [{"b": 1}, {"a": 1, "b": 1}]
    yield {"type": "object", "maxProperties": 2}, [{}, {"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}]
    yield TREE, [{"name": "a", "children": []}, {"name": "a", "children": [{"name": "b", "children": []}]},
                 {"name": "a"}, {"name": "a", "children": [{}]},
                 {"name": "a", "children": [{"name": "b", "children": [{"name": "c", "children": []}]}]}]
    yield LINKED, [{"value": 1, "next": None}, {"value": 1, "next": {"value": 2, "next": None}}, {"value": 1},
                   {"value": 1, "next": {}}]
    yield ({"anyOf": [obj({"kind": {"const": "a"}, "x": integer()}), obj({"kind": {"const": "b"}, "y": string()})]},
           [{"kind": "a", "x": 1}, {"kind": "b", "y": "s"}, {"kind": "a", "y": "s"}, {"kind": "c", "x": 1}])
    yield ({"oneOf": [obj({"kind": {"const": "a"}, "x": integer()}), obj({"kind": {"const": "b"}, "y": string()})]},
           [{"kind": "a", "x": 1}, {"kind": "b", "y": "s"}, {"kind": "a", "y": "s"}, {"kind": "c", "x": 1}])
    yield {"oneOf": [string(), integer(), arr(string())]}, ["a", 1, ["x"], [1], None, 1.5]
    yield {"anyOf": [integer(minimum=10), integer(maximum=-10), string(maxLength=1)]}, [10, 9, -10, -9, "a", "ab", 0]
    yield {"anyOf": [arr(integer()), arr(string())]}, [[], [1, 2], ["a", "b"], [1, "a"], ["a", 1]]
    yield ({"anyOf": [obj({"a": integer()}), obj({"a": integer(), "b": integer()}), obj({"a": string()})]},
           [{"a": 1}, {"a": 1, "b": 2}, {"a": "x"}, {"a": "x", "b": 2}, {"b": 1}])
    yield ({"allOf": [{"type": "object", "properties": {"a": integer(minimum=0)}, "required": ["a"]},
                      {"properties": {"a": integer(maximum=5), "b": string()}}], "type": "object"},
           [{"a": 3}, {"a": 6}, {"a": -1}, {"a": 1, "b": "x"}, {"a": 1, "b": 2}, {}])
    yield ({"$ref": "#/$defs/base", "$defs": {"base": integer(minimum=0)}, "maximum": 10}, [5, -1, 11, 10])
    yield ({"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": arr({"$ref": "#/$defs/x~1y%20z"})},
            "$defs": {"x/y z": integer()}, "required": ["a", "b"], "additionalProperties": False},
           [{"a": [1], "b": []}, {"a": [], "b": ["x"]}, {"a": 1, "b": []}])
    yield ({"type": "object", "properties": {"t": {"title": "T", "description": "d", "default": 3, "examples": [1],
                                                   "type": "integer", "deprecated": True, "x-order": 1}},
            "required": ["t"], "additionalProperties": False, "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:x", "$comment": "c"}, [{"t": 1}, {"t": "x"}])
    yield (obj({"steps": arr(obj({"explanation": string(), "output": string()})), "final_answer": string()}),
           [{"steps": [], "final_answer": "x"}, {"steps": [{"explanation": "e", "output": "o"}], "final_answer": "x"},
            {"steps": [{"explanation": "e"}], "final_answer": "x"}, {"final_answer": "x"}])


WORDS = ["id", "name", "tags", "size", "unit", "note", "kind", "at", "of", "x"]


def random_schema(depth):
    """A schema of the supported keywords, and a function that draws a value of about its shape."""
    choice = RANDOM.random()
    if depth == 0 or choice < 0.45:
        return random_scalar()
    if choice < 0.6:
        items = random_schema(depth - 1)
        schema = {"type": "array", "items": items}
        if RANDOM.random() < 0.4:
            schema["minItems"] = RANDOM.randint(0, 2)
        if RANDOM.random() < 0.4:
            schema["maxItems"] = schema.get("minItems", 0) + RANDOM.randint(0, 3)
        return schema
    if choice < 0.9:
        names = RANDOM.sample(WORDS, RANDOM.randint(1, 4))
        schema = {"type": "object", "properties": {name: random_schema(depth - 1) for name in names}}
        schema["required"] = [name for name in names if RANDOM.random() < 0.6]
        draw = RANDOM.random()
        if draw < 0.5:
            schema["additionalProperties"] = False
        elif draw < 0.6:
            schema["additionalProperties"] = random_scalar()
        return schema
    return {"anyOf": [random_schema(depth - 1) for _ in range(RANDOM.randint(2, 3))]}


def random_scalar():
    draw = RANDOM.randrange(9)
    if draw == 0:
        return {"type": "boolean"}
    if draw == 1:
        return {"enum": RANDOM.sample(["a", "b", "ab", "abc", 1, 10, None, "long one"], RANDOM.randint(1, 4))}
    if draw == 2:
        low = RANDOM.randint(-200, 200)
        return integer(minimum=low, maximum=low + RANDOM.randint(0, 300))
    if draw == 3:
        return integer(multipleOf=RANDOM.randint(2, 9)) if RANDOM.random() < 0.5 else integer()
    if draw == 4:
        low = RANDOM.randint(-400, 400) / 4
        return number(minimum=low, exclusiveMaximum=low + RANDOM.randint(1, 100) / 4)
    if draw == 5:
        low = RANDOM.randint(0, 4)
        return string(minLength=low, maxLength=low + RANDOM.randint(0, 6))
    if draw == 6:
        return string(pattern=RANDOM.choice(["^[a-f]+$", "^\\d{2,4}$", "b", "^(x|yz)*$", "^[A-Z][a-z]*$", "[^a]$"]))
    if draw == 7:
        return string(format=RANDOM.choice(["date", "uuid", "ipv4", "time", "duration", "email"]))
    return {"type": RANDOM.choice([["string", "null"], ["integer", "null"], "string", "number"])}


def draw_value(schema):
    """A value of about a schema's shape: often valid, not always."""
    if RANDOM.random() < 0.04:
        return RANDOM.choice([None, True, 0, -7, "zz", [], {}, 2.5])
    if "anyOf" in schema:
        return draw_value(RANDOM.choice(schema["anyOf"]))
    if "enum" in schema:
        return copy.deepcopy(RANDOM.choice(schema["enum"]))
    kind = schema["type"]
    if isinstance(kind, list):
        kind = RANDOM.choice(kind)
    if kind == "null":
        return None
    if kind == "boolean":
        return RANDOM.random() < 0.5
    if kind == "integer":
        low = schema.get("minimum", -50)
        value = RANDOM.randint(low - 1, schema.get("maximum", low + 200) + 1)
        step = schema.get("multipleOf")
        return value - value % step if step and RANDOM.random() < 0.8 else value
    if kind == "number":
        low = schema.get("minimum", -50)
        return round(low + RANDOM.uniform(-0.05, 1.05) * (schema.get("exclusiveMaximum", low + 20) - low), 3)
    if kind == "string":
        if "format" in schema:
            return RANDOM.choice(FORMATS[schema["format"]])
        if "pattern" in schema:
            return "".join(RANDOM.choice("abcfxyzABZ019") for _ in range(RANDOM.randint(0, 4)))
        count = RANDOM.randint(max(0, schema.get("minLength", 0) - 1), schema.get("maxLength", 6) + 1)
        return "".join(RANDOM.choice('abzé日\U0001F600"\\ \n') for _ in range(count))
    if kind == "array":
        count = RANDOM.randint(max(0, schema.get("minItems", 0) - 1), schema.get("maxItems", 3) + 1)
        return [draw_value(schema["items"]) for _ in range(count)]
    value = {}
    for name, member in schema["properties"].items():
        if name in schema["required"] or RANDOM.random() < 0.5:
            if RANDOM.random() < 0.97:
                value[name] = draw_value(member)
    if RANDOM.random() < (0.1 if schema.get("additionalProperties") is False else 0.3):
        value["extra"] = RANDOM.choice(["s", 1, None])
    return value


def spell(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def case(schema, values):
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    Draft202012Validator.check_schema(schema)
    verdicts = {True: [], False: []}
    for value in values:
        text = spell(value)
        verdict = validator.is_valid(value)
        if text not in verdicts[verdict]:
            verdicts[verdict].append(text)
    return {"schema": schema, "valid": verdicts[True], "invalid": verdicts[False]}


def main():
    cases = [case(schema, values) for schema, values in handwritten()]
    for _ in range(260):
        schema = random_schema(3)
        drawn = case(schema, [draw_value(schema) for _ in range(40)])
        drawn["valid"] = sorted(drawn["valid"], key=len)[:60:3][:6]
        drawn["invalid"] = sorted(drawn["invalid"], key=len)[:60:3][:6]
        cases.append(drawn)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    with OUTPUT.open("w", encoding="utf-8") as file:
        file.write("[\n")
        file.write(",\n".join(spell(item) for item in cases))
        file.write("\n]\n")
    valid = sum(len(item["valid"]) for item in cases)
    invalid = sum(len(item["invalid"]) for item in cases)
    print(f"{len(cases)} schemas, {valid} valid and {invalid} invalid values, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
