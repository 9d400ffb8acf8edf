#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what network policies cost on one node of the userspace datapath:

policy-5000-cidrs  a policy with 5,000 blocks comes, from its file to the
                   switch's barrier;
label-change       one pod's label changes among 10,000 pods and 1,000
                   policies, each pod in a file of its own; with
label-change-list  all of these pods in one file;
rss-130k-flows     the agent's memory with 130,000 flows.

Times end when the agent logs that the barrier has come back, and stand beside
those of "ovs-ofctl --bundle" with the very same flow mods, in turn with the
agent's."""

import ipaddress
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
NODES = TOP / "tests/lab/nodes.sh"
RUN = pathlib.Path(os.environ.get("LATEEN_LAB_RUN", "/run/lateen/lab"))
CLUSTER = RUN / "cluster"
NAMES = ["policy-5000-cidrs", "label-change", "label-change-list",
         "rss-130k-flows"]
GOALS = {"policy-5000-cidrs": "ratio 1.3", "label-change": "5 ms",
         "rss-130k-flows": "40 MB"}
RUNS = 30
LIST_RUNS = 5
RSS_GOAL = 40
CHANGE = re.compile(r"change \d+ is in the tables, (\d+) flows")


def on_node(*command, **kwargs):
    """Runs a command on the node and returns what it prints."""
    return subprocess.run([NODES, "exec", "n1", "--", *command], check=True,
                          text=True, stdout=subprocess.PIPE, **kwargs).stdout


def ofctl(*args):
    return subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", *args],
                          check=True, text=True,
                          stdout=subprocess.PIPE).stdout


class Log:
    """The agent's log, from now on."""

    def __init__(self):
        self.file = open(RUN / "log/n1-lateend.log", encoding="utf-8",
                         errors="replace")
        self.file.seek(0, os.SEEK_END)

    def wait_change(self):
        """Waits for a change to be in the tables, and returns how many flow
        mods it was."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            match = CHANGE.search(self.file.readline())
            if match:
                return int(match[1])
            time.sleep(0.0001)
        raise TimeoutError("no change of the switch's tables")


def settle():
    """Waits until the agent has read everything and put it in force."""
    time.sleep(1)
    subprocess.run(["lateenctl", "--timeout=300", "wait", "--for=synced"],
                   check=True, stdout=subprocess.DEVNULL)


class Change:
    """A file of the cluster that is to hold the objects, or to go."""

    def __init__(self, name, *objects):
        self.path = CLUSTER / name
        self.text = "---\n".join(json.dumps(o) + "\n" for o in objects)

    def make(self):
        """Makes the change, and returns when it began."""
        new = RUN / "new.yaml"
        if self.text:
            new.write_text(self.text, encoding="ascii")
        start = time.perf_counter()
        if self.text:
            new.rename(self.path)
        else:
            self.path.unlink()
        return start


def put(name, *objects):
    Change(name, *objects).make()


def dump():
    """The agent's flows, in the syntax that add-flows reads."""
    text = ofctl("--no-stats", "dump-flows", "br-int",
                 "cookie=0x4c54000000000000/0xffff000000000000")
    return {re.sub(r"^ *cookie=0x[0-9a-f]+, ", "", line)
            for line in text.splitlines() if "cookie=" in line}


def match_of(flow):
    return flow.split(" actions=")[0]


def flow_mods(old, new):
    """The flow mods that lead from one set of flows to another."""
    kept = {match_of(flow) for flow in new - old}
    return ([f"delete_strict {match_of(flow)}" for flow in old - new
             if match_of(flow) not in kept]
            + [f"add {flow}" for flow in new - old])


def bundle(mods):
    """Returns the milliseconds that ovs-ofctl takes for 'mods'."""
    path = RUN / "bundle"
    path.write_text("".join(f"{mod}\n" for mod in mods), encoding="ascii")
    start = time.perf_counter()
    ofctl("--bundle", "add-flows", "br-int", str(path))
    return 1000 * (time.perf_counter() - start)


def in_turn(changes, runs):
    """Makes the two changes in turn, 'runs' times, and beside the second one
    has ovs-ofctl make its flow mods.  Returns the milliseconds of the second
    change and of ovs-ofctl, and the number of flow mods."""
    log = Log()
    states = []
    for change in changes:
        change.make()
        log.wait_change()
        settle()
        states.append(dump())
    forth, back = flow_mods(*states), flow_mods(*reversed(states))
    ours, theirs = [], []
    for _ in range(runs):
        changes[0].make()
        log.wait_change()
        time.sleep(0.05)
        theirs.append(bundle(forth))
        bundle(back)
        time.sleep(0.05)
        start = changes[1].make()
        n = log.wait_change()
        ours.append(1000 * (time.perf_counter() - start))
        if n != len(forth):
            raise ValueError(f"{n} flow mods, and not {len(forth)}")
        time.sleep(0.05)
    return ours, theirs, len(forth)


def result(name, what, unit, ours, limit, runs):
    goal = f" (goal: {GOALS[name]})" if name in GOALS else ""
    return {"name": name, "what": what + goal, "unit": unit,
            "ours": round(ours, 2), "limit": round(limit, 2),
            "ratio": round(ours / limit, 3),
            "runs": [round(run, 2) for run in runs]}


def timed(name, what, changes, runs):
    ours, theirs, n = in_turn(changes, runs)
    return result(name, f"{what}: {n} flow mods, median of {runs}, against "
                  "ovs-ofctl --bundle with these in turn with it", "ms",
                  statistics.median(ours), statistics.median(theirs), ours)


def obj(kind, name, namespace=None, **members):
    metadata = {"name": name, **members.pop("metadata", {})}
    if namespace:
        metadata["namespace"] = namespace
    version = "networking.k8s.io/v1" if kind == "NetworkPolicy" else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata,
            **members}


def pod(number, **labels):
    """A pod of another node, one of 100 in its namespace, 10 of each app."""
    ips = [str(ipaddress.ip_address("10.245.0.1") + number),
           str(ipaddress.ip_address("fd00:10:245::1") + number)]
    labels = {"app": f"app{number % 10}", "pod": f"p{number}", **labels}
    return obj("Pod", f"p{number}", f"ns{number // 100}",
               metadata={"labels": labels},
               spec={"nodeName": "elsewhere", "containers": [
                   {"name": "c", "ports": [{"name": "http",
                                            "containerPort": 8080}]}]},
               status={"podIPs": [{"ip": ip} for ip in ips]})


def selector(**labels):
    return {"podSelector": {"matchLabels": labels}}


def small_policy(number):
    """One of 10 in its namespace."""
    app, namespace = number % 10, number // 10
    team = {"namespaceSelector": {"matchLabels": {"team": f"t{app}"}}}
    port = "http" if app < 5 else 8080
    spec = {**selector(app=f"app{app}"),
            "ingress": [{"from": [selector(app=f"app{(app + 1) % 10}"),
                                  {**team, **selector(app="app0")}],
                         "ports": [{"port": port}]}],
            "egress": [{"to": [selector(role="x"),
                               selector(app=f"app{(app + 2) % 10}")]}]}
    return obj("NetworkPolicy", f"policy{app}", f"ns{namespace}", spec=spec)


def cidrs_policy(name, rng, n_blocks):
    """A policy with 'n_blocks' blocks, every tenth with exceptions."""
    peers = []
    for i in range(n_blocks):
        net = ipaddress.ip_network((rng.randrange(1 << 23) << 8 | 1 << 31,
                                    24))
        block = {"cidr": str(net)}
        if i % 10 == 0:
            block["except"] = [str(sub) for sub in
                               rng.sample(list(net.subnets(4)), 2)]
        peers.append({"ipBlock": block})
    ports = [{"port": 80}, {"port": 443}, {"port": 8000, "endPort": 8080},
             {"port": 53, "protocol": "UDP"}]
    return obj("NetworkPolicy", name, "default", spec={
        **selector(app="cidrs"), "ingress": [{"from": peers,
                                              "ports": ports}]})


def measure_cidrs():
    come = Change("cidrs.yaml", cidrs_policy("cidrs", random.Random(1), 5000))
    come.make()
    settle()
    yield timed("policy-5000-cidrs", "a policy with 5,000 blocks comes",
                [Change("cidrs.yaml"), come], RUNS)


def namespaces():
    return [obj("Namespace", f"ns{i}",
                metadata={"labels": {"team": f"t{i % 10}"}})
            for i in range(100)]


def measure_labels(as_list):
    pods = [pod(i) for i in range(10000)]
    put("namespaces.yaml", *namespaces())
    put("policies.yaml", *map(small_policy, range(1000)))
    if as_list:
        what = ", all pods in one file"
    else:
        what = ", each pod in a file of its own"
    if as_list:
        put("pods.json", obj("List", "pods", items=pods))
    else:
        for i, p in enumerate(pods):
            put(f"pod{i}.yaml", p)
    settle()

    def change(role):
        pods[4321] = pod(4321, role=role)
        if as_list:
            return Change("pods.json", obj("List", "pods", items=pods))
        return Change("pod4321.yaml", pods[4321])

    yield timed("label-change-list" if as_list else "label-change",
                "a label of one pod changes among 10,000 pods and 1,000 "
                f"policies{what}", [change("y"), change("x")],
                LIST_RUNS if as_list else RUNS)


def rss():
    pid = (RUN / "n1/lateen/lateend.pid").read_text(encoding="ascii").strip()
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s*(\d+)", status)[1]) / 1000


def measure_rss():
    rng = random.Random(2)
    n = 0
    while len(dump()) < 130000:
        put(f"cidrs{n}.yaml", cidrs_policy(f"cidrs{n}", rng, 5000))
        n += 1
        settle()
    runs = []
    for _ in range(5):
        time.sleep(1)
        runs.append(rss())
    yield result("rss-130k-flows", "lateend's resident memory with "
                 f"{len(dump())} flows of {n} policies with 5,000 blocks "
                 "each, against the goal", "MB", max(runs), RSS_GOAL, runs)


MEASURES = {"policy-5000-cidrs": measure_cidrs,
            "label-change": lambda: measure_labels(False),
            "label-change-list": lambda: measure_labels(True),
            "rss-130k-flows": measure_rss}


def main():
    names = [name for name in sys.argv[1:] if name in NAMES] or NAMES
    if sys.argv[1:] == ["--list"]:
        print(*NAMES, sep="\n")
        return
    if sys.argv[1:2] == ["--measure"]:
        on_log = ["ovs-appctl", "-t", str(RUN / "n1/lateen/lateend.ctl"),
                  "vlog/set", "ofctrl:file:dbg"]
        subprocess.run(on_log, check=True, stdout=subprocess.DEVNULL)
        print(json.dumps(list(MEASURES[sys.argv[2]]())))
        return
    if os.environ.get("LATEEN_ISOLATED") != "yes":
        # The shell buries the daemons that the lab ends.
        os.execv(TOP / "tests/isolate",
                 ["isolate", "sh", "-c", '"$@"; exit $?', "sh",
                  sys.executable, __file__, *sys.argv[1:]])
    results = []
    for name in names:
        subprocess.run([NODES, "up", "--nodes", "1", "--ipsec", "off"],
                       check=True, stdout=sys.stderr)
        try:
            results += json.loads(on_node(sys.executable, __file__,
                                          "--measure", name))
        finally:
            subprocess.run([NODES, "down"], check=False, stdout=sys.stderr)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
