#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the agent's memory on an idle node: rss-idle.

A lab of two nodes on the userspace datapath comes up in namespaces of its
own; the agent's resident set is read when it has nothing to do."""

import json
import os
import pathlib
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
NODES = TOP / "tests/lab/nodes.sh"
RUNS = 5
GOAL = 10                       # MB.


def rss(pidfile):
    pid = pathlib.Path(pidfile).read_text(encoding="ascii").strip()
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    for line in status.split("\n"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise ValueError(f"process {pid} has no VmRSS")


def main():
    if sys.argv[1:] == ["--list"]:
        print("rss-idle")
        return
    if os.environ.get("LATEEN_ISOLATED") != "yes":
        os.execv(TOP / "tests/isolate",
                 ["isolate", sys.executable, __file__, *sys.argv[1:]])
    subprocess.run([NODES, "up", "--ipsec", "off"], check=True,
                   stdout=sys.stderr)
    try:
        runs = []
        for _ in range(RUNS):
            time.sleep(1)
            runs.append(rss("/run/lateen/lab/n1/lateen/lateend.pid"))
    finally:
        subprocess.run([NODES, "down"], check=False, stdout=sys.stderr)
    ours = max(runs)
    print(json.dumps([{
        "name": "rss-idle",
        "what": "lateend's resident memory on an idle node of a cluster of "
                "two, against the goal",
        "unit": "MB", "ours": ours, "limit": GOAL,
        "ratio": round(ours / GOAL, 3), "runs": runs}]))


if __name__ == "__main__":
    main()
