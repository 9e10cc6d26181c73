"""Run the demo and look at the picture it draws: nothing is missing in it, and it needs nothing else.

    demo_test.py PROGRAM
"""

import json
import os
import re
import subprocess
import sys
import tempfile

CLIENTS, ROUNDS, FILES, TIMERS = 40, 5, 400, 10  # of demo --quick
BYTES_MAX = 3 << 20


def check(condition, what):
    if not condition:
        sys.exit(f"the picture is wrong: {what}")


def check_kind(kind, data):
    lives, name = kind["lives"], kind["name"]
    check(len(lives) == 5 * kind["count"], f"{name}: {len(lives) / 5} of {kind['count']}")
    check(sum(kind["outcomes"][1::2]) == kind["count"], f"{name}: outcomes {kind['outcomes']}")
    check(1 <= kind["most"] <= kind["count"], f"{name}: {kind['most']} at once")
    check(0 < kind["p50"] <= kind["p99"] <= kind["max"], f"{name}: percentiles")
    begin, longest = 0, 0
    for since, length, status in zip(lives[0::5], lives[1::5], lives[2::5]):
        begin += since
        longest = max(longest, length)
        check(min(since, length) >= 0 and begin + length <= data["span"], f"{name}: a life outside")
        check(0 < status < len(data["statuses"]), f"{name}: a life without end")
    # Both ends are rounded down.
    check(abs(longest * data["unit"] - kind["max"]) <= data["unit"], f"{name}: max {kind['max']}")


def main(program):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.realpath(os.path.join(directory, "picture.html"))
        done = subprocess.run([program, "--quick", "--picture", path], check=True, timeout=60,
                              stdout=subprocess.PIPE, text=True)
        print(done.stdout)
        check(done.stdout.split("\n")[-3].strip() == path, "its path is not the last line but one")
        with open(path, encoding="utf-8") as file:
            page = file.read()
    check(len(page) < BYTES_MAX, f"{len(page)} bytes")
    check(not re.search(r"https?:|\b(src|href)=|url\(|@import", page), "it needs something else")
    data = json.loads(re.search(r"<script id='data'[^>]*>\n(.*?)</script>", page, re.S).group(1))
    check(data["lost"] == 0, f"{data['lost']} events lost")
    for kind in data["kinds"]:
        check_kind(kind, data)
    counts = {kind["name"]: kind["count"] for kind in data["kinds"]}
    for name, count in {"TCP_LISTEN": 1, "TCP_ACCEPT": 1, "TCP_CONNECT": CLIENTS,
                        "FILE_LOAD": FILES, "TIMER": TIMERS + CLIENTS * ROUNDS + 1}.items():
        check(counts[f"FERRY_OP_{name}"] == count, f"{name}: {counts}")
    # What is sent may arrive in pieces, each of which is echoed.
    check(counts["FERRY_OP_STREAM_SEND"] >= 2 * CLIENTS * ROUNDS, f"sends: {counts}")
    check(data["total"]["count"] == sum(counts.values()), "the total")
    accept = next(kind for kind in data["kinds"] if kind["name"] == "FERRY_OP_TCP_ACCEPT")
    check(len(accept["mores"]) == 2 * CLIENTS, "connections accepted")


main(*sys.argv[1:])
