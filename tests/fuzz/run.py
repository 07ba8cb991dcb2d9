"""Runs the fuzzer on the committed corpus, and packs what it found.

    python run.py <fuzz> <seconds> [--update]

The corpus is kept as text, one input a line in hex: corpus/corpus.txt is the fuzzer's own (--update
merges what was found into it, as few inputs as have the same coverage), corpus/regressions.txt is
written by hand, for inputs that once failed.
"""

import argparse
import hashlib
import os
import pathlib
import re
import subprocess
import sys

CORPUS = pathlib.Path(__file__).parent / "corpus"


def inputs_in(file):
    lines = file.read_text().splitlines()
    return [bytes.fromhex(line) for line in lines if line and not line.startswith("#")]


def unpack(directory):
    directory.mkdir(parents=True, exist_ok=True)
    for file in sorted(CORPUS.glob("*.txt")):
        for content in inputs_in(file):
            (directory / hashlib.sha1(content).hexdigest()).write_bytes(content)


def pack(directory, file):
    contents = sorted(one.read_bytes() for one in directory.iterdir())
    file.write_text("".join(content.hex() + "\n" for content in contents if content))
    print(f"{file}: {len(contents)} inputs, {file.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fuzz", type=pathlib.Path)
    parser.add_argument("seconds", type=int)
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()

    work = arguments.fuzz.parent / "found"
    unpack(work)
    # Python's own allocator would hide what lies beyond an object.
    environment = os.environ | {"PYTHONMALLOC": "malloc"}
    command = [arguments.fuzz, "-max_len=256", "-len_control=0", "-detect_leaks=0", "-rss_limit_mb=8192"]
    log = arguments.fuzz.parent / "fuzz.log"
    with log.open("w") as output:
        status = subprocess.run(
            [*command, f"-max_total_time={arguments.seconds}", "-print_final_stats=1",
             f"-artifact_prefix={arguments.fuzz.parent}/", work],
            env=environment, stdout=output, stderr=subprocess.STDOUT,
        ).returncode
    text = log.read_text(errors="replace")
    if status != 0:
        found = re.search(r"==== a difference|==\d+==ERROR|.*: runtime error: ", text)
        print(text[found.start() :][:8000] if found else text[-8000:])
        print(re.search(r"Test unit written to .*|$", text).group())
        print(f"The whole of it is in {log}.")
        sys.exit(1)
    print(text[text.index("\nconversion ") + 1 : text.index("differences: 0")] + "differences: 0")

    if arguments.update:
        merged = arguments.fuzz.parent / "merged"
        merged.mkdir(exist_ok=True)
        for old in merged.iterdir():
            old.unlink()
        subprocess.run([*command, "-merge=1", merged, work], env=environment, check=True)
        pack(merged, CORPUS / "corpus.txt")


if __name__ == "__main__":
    main()
