#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how long the CNI plugin takes: cni-add and cni-del for one
container after the other, cni-add-100 and cni-del-100 for a node that fills
up and empties again.

On a node of its own, containers are added and deleted in turn by Lateen and by
the reference plugin "bridge", both with host-local and with IPv4: for an IPv6
address, "bridge" would wait for duplicate address detection.  The agent's and
Open vSwitch's part of the work is in Lateen's times."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
NODES = TOP / "tests/lab/nodes.sh"
RUN = pathlib.Path(os.environ.get("LATEEN_LAB_RUN", "/run/lateen/lab"))
PEERS = "/usr/lib/cni"
RUNS = 100
GOALS = {"add": 1.0, "del": 0.5}
NAMES = ["cni-add", "cni-del", "cni-add-100", "cni-del-100"]


def call(plugin, command, number, ifname, conf):
    """Returns the milliseconds that the plugin takes."""
    env = dict(os.environ, CNI_COMMAND=command, CNI_CONTAINERID=f"c{number}",
               CNI_NETNS=f"/run/netns/c{number}", CNI_IFNAME=ifname,
               CNI_PATH=PEERS, CNI_ARGS="")
    start = time.perf_counter()
    answer = subprocess.run([plugin], env=env, input=conf, text=True,
                            stdout=subprocess.PIPE, check=False)
    took = 1000 * (time.perf_counter() - start)
    if answer.returncode:
        raise RuntimeError(f"{plugin} {command}: {answer.stdout}")
    return took


def measure():
    """On the node, prints the times as {"add": [OURS, THEIRS], ...}."""
    lateen = json.loads((RUN / "n1/cni.conf").read_text(encoding="ascii"))
    lateen["ipam"]["ranges"] = [[{"subnet": "10.244.1.0/24"}]]
    bridge = {
        "cniVersion": "1.0.0", "name": "bench", "type": "bridge",
        "bridge": "bench0", "isGateway": True,
        "ipam": {"type": "host-local", "dataDir": str(RUN / "ipam-bridge"),
                 "ranges": [[{"subnet": "198.18.0.0/16"}]],
                 "routes": [{"dst": "0.0.0.0/0"}]}}
    kinds = [("lateen-cni", "eth0", json.dumps(lateen)),
             (f"{PEERS}/bridge", "eth1", json.dumps(bridge))]
    # The bridge's devices are on the node, too: an IPv6 address on each would
    # slow Open vSwitch down.
    pathlib.Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode").write_text(
        "1", encoding="ascii")
    times = {name: [[], []] for name in NAMES}

    def step(command, number, suffix):
        for kind, (plugin, ifname, conf) in enumerate(kinds):
            times[f"cni-{command}{suffix}"][kind].append(
                call(plugin, command.upper(), number, ifname, conf))

    for number in range(RUNS):
        subprocess.run(["ip", "netns", "add", f"c{number}"], check=True)
        for command in "add", "del":
            step(command, number, "")
    for command in "add", "del":
        for number in range(RUNS):
            step(command, number, "-100")
    print(json.dumps(times))


def main():
    if sys.argv[1:] == ["--list"]:
        print(*NAMES, sep="\n")
        return
    if sys.argv[1:] == ["--measure"]:
        measure()
        return
    if os.environ.get("LATEEN_ISOLATED") != "yes":
        # The shell buries the daemons that the lab ends.
        os.execv(TOP / "tests/isolate",
                 ["isolate", "sh", "-c", '"$@"; exit $?', "sh",
                  sys.executable, __file__, *sys.argv[1:]])
    if not os.access(f"{PEERS}/bridge", os.X_OK):
        sys.exit(f"{PEERS}/bridge is missing: install "
                 "containernetworking-plugins")
    subprocess.run([NODES, "up", "--nodes", "1", "--ipsec", "off"],
                   check=True, stdout=sys.stderr)
    try:
        output = subprocess.run(
            [NODES, "exec", "n1", "--", sys.executable, __file__,
             "--measure"], check=True, text=True, stdout=subprocess.PIPE)
    finally:
        subprocess.run([NODES, "down"], check=False, stdout=sys.stderr)

    results = []
    for name, (ours, theirs) in json.loads(output.stdout).items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        command = name.split("-")[1]
        state = "with up to 100 on the node" if "100" in name else "alone"
        ours_ms, theirs_ms = statistics.median(ours), statistics.median(theirs)
        results.append({
            "name": name,
            "what": f"{command.upper()} of a container, {state}, median of "
                    f"{RUNS}, against the reference plugin bridge in turn "
                    f"with it (goal: ratio {GOALS[command]})",
            "unit": "ms", "ours": round(ours_ms, 2),
            "limit": round(theirs_ms, 2),
            "ratio": round(ours_ms / theirs_ms, 3),
            "runs": [round(ms, 2) for ms in ours]})
    print(json.dumps(results))


if __name__ == "__main__":
    main()
