"""Run trace_perfetto and look at the trace it writes: it parses, and every life in it is whole.

    trace_test.py PROGRAM FILE...
"""

import collections
import json
import os
import subprocess
import sys
import tempfile

SHARDS = 2


def check(condition, what):
    if not condition:
        sys.exit(f"the trace is wrong: {what}")


def trace_of(program, files):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "trace.json")
        subprocess.run([program, path, *files], check=True, timeout=60)
        with open(path, encoding="utf-8") as file:
            return json.load(file)["traceEvents"]


def check_life(life):
    phases = "".join(event["ph"] for event in life)
    check(phases == "b" + "n" * (len(life) - 2) + "e", f"phases {phases!r} of {life[0]}")
    first, last = life[0], life[-1]
    check(first["name"] == last["name"], f"{first['name']} ends as {last['name']}")
    for before, after in zip(life, life[1:]):
        check(before["ts"] <= after["ts"], f"time falls in {first}")
        check(all(before[key] == after[key] for key in ("pid", "tid", "cat")), f"{first} wanders")
        check(before["args"]["tag"] == after["args"]["tag"], f"{first} changes its tag")
    check(last["args"]["status"].startswith("FERRY_"), f"{last} has no status")


def main(program, *files):
    events = trace_of(program, files)
    named = {event["tid"]: event["args"]["name"] for event in events
             if event["ph"] == "M" and event["name"] == "thread_name"}
    check(named == {shard: f"shard {shard}" for shard in range(SHARDS)}, f"threads {named}")
    lives = collections.defaultdict(list)
    for event in events:
        if event["ph"] != "M":
            check(event["pid"] == 1 and event["tid"] in named, f"{event} runs nowhere")
            lives[event["id"]].append(event)
    check(lives, "there is nothing in it")
    for life in lives.values():
        check_life(life)
    kinds = collections.Counter(life[0]["name"] for life in lives.values())
    check(kinds["FERRY_OP_FILE_LOAD"] == len(files), f"files: {kinds}")
    for kind in ("TIMER", "TCP_LISTEN", "TCP_ACCEPT", "TCP_CONNECT", "STREAM_SEND",
                 "STREAM_RECEIVE"):
        check(kinds["FERRY_OP_" + kind] > 0, f"no {kind}")
    statuses = {life[-1]["args"]["status"] for life in lives.values()}
    check({"FERRY_OK", "FERRY_E_TIMED_OUT", "FERRY_E_SHUTDOWN"} <= statuses, f"{statuses}")
    check(any(event["name"] == "more" for event in events), "no completion with FERRY_MORE")
    print(f"{len(lives)} whole lives: {dict(kinds)}")


main(*sys.argv[1:])
