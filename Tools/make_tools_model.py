"""Gives a GGUF model another chat template: SmolLM2's own knows no tools; Qwen2.5's, with the same marks of roles, does.

    python3 Tools/make_tools_model.py .models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf \\
        Tests/Fixtures/templates/qwen2.5.jinja .models/smollm2-tools/model.gguf

What the SDKs' checks of tools need is a model whose calls can be constrained, not one that calls wisely. Standard
library only.
"""

import pathlib
import struct
import sys

KEY = b"tokenizer.chat_template"
STRING, ARRAY = 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def string(self):
        length = self.number("Q")
        self.at += length
        return self.data[self.at - length : self.at]

    def skip(self, kind):
        """Passes over a value."""
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip(inner)
        else:
            self.at += SIZES[kind]


def string(value):
    return struct.pack("<Q", len(value)) + value


def with_template(data, template):
    reader = Reader(data)
    if data[:4] != b"GGUF":
        raise ValueError("it is no GGUF file")
    reader.at = 4
    version, tensors, values = reader.number("I"), reader.number("Q"), reader.number("Q")
    kept, alignment, has_template = b"", 32, False
    for _ in range(values):
        begin = reader.at
        key, kind = reader.string(), reader.number("I")
        if key == b"general.alignment":
            alignment = struct.unpack_from("<I", data, reader.at)[0]
        reader.skip(kind)
        if key == KEY:
            has_template = True
        else:
            kept += data[begin : reader.at]
    kept += string(KEY) + struct.pack("<I", STRING) + string(template)
    begin = reader.at
    for _ in range(tensors):
        reader.string()
        dimensions = reader.number("I")
        reader.at += 8 * dimensions + 4 + 8
    # Places of tensors count from here on, rounded up, so that they stay as they are.
    weights = -(-reader.at // alignment) * alignment
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, values + (not has_template)) + kept + data[begin : reader.at]
    return head + bytes(-len(head) % alignment) + data[weights:]


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, template, target = map(pathlib.Path, sys.argv[1:])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(with_template(source.read_bytes(), template.read_bytes()))


if __name__ == "__main__":
    main()
