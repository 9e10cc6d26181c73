"""The simulated client: right under a thousand seeds; without its care some seed fails, and plays the
same again."""

import subprocess
import sys


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, done.stdout


def main(program):
    code, out = run(program)
    if code != 0:
        sys.exit(f"with care it fails:\n{out}")
    print(out, end="")
    code, out = run(program, "--careless")
    lines = out.splitlines()
    if code != 1 or not lines[-1].startswith("again: simulated_client --careless --from "):
        sys.exit(f"without care no seed fails, or it does not say which:\n{out}")
    words = lines[-1].split()[2:]
    first, second = run(program, *words), run(program, *words)
    if first != second or first[0] != 1:
        sys.exit("played again it comes out differently")
    trace = [line for line in first[1].splitlines() if line[0].isdigit()]
    if len(trace) < 10 or not any("arrive at server" in line for line in trace):
        sys.exit(f"this is no trace:\n{first[1]}")
    print(f"{lines[-2]}; replayed, {len(trace)} lines of trace, the same each time")


main(*sys.argv[1:])
