#! /usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what cases.py takes, and of the networks that it finds."""

import argparse
import copy
import glob
import ipaddress
import json
import os
import random
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import cases
import generate
import judge
import renumber

BASE = {
    "name": "base", "nodes": {"n1": {"ip": "192.0.2.1"},
                              "n2": {"ip": "192.0.2.2"}},
    "namespaces": {"s": None},
    "pods": [{"ns": "s", "name": "a", "node": "n1", "ip": "10.0.1.2",
              "ip6": ""},
             {"ns": "s", "name": "b", "node": "n2", "ip": "10.0.2.2"},
             {"ns": "s", "name": "h", "node": "n2", "hostNetwork": True}]}
PROBE = {"from": "s/a", "to": "s/b", "port": 80, "protocol": "TCP",
         "expect": "allow"}
POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
          "metadata": {"name": "p", "namespace": "s"},
          "spec": {"podSelector": {}}}


def blocks(*cidrs):
    return {**POLICY, "spec": {"podSelector": {}, "ingress": [{"from": [
        {"ipBlock": {"cidr": cidr}} for cidr in cidrs]}]}}


def load(**members):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as stream:
        json.dump({**copy.deepcopy(BASE), **members}, stream)
        stream.flush()
        return cases.load(stream.name)


def network_of(case):
    """The only network, and the case that is replayed there."""
    [(network, [replayed])] = cases.networks([case])
    if isinstance(network, judge.CaseError):
        raise network
    return network, replayed


class Files(unittest.TestCase):
    def test_what_is_left_out(self):
        case = load()
        self.assertEqual(case.n_probes(), 0)
        self.assertEqual(case.data["pods"][0]["labels"], {})
        self.assertNotIn("ip6", case.data["pods"][0])

    def test_addresses_that_are_left_out(self):
        """Blocks leave them out, if they can."""
        case = load(probes=[{**PROBE, "family": 6},
                            {**PROBE, "to": "node:n1", "family": 6}],
                    policies=[blocks("fd00:10:244::/48", "::/0")])
        made_up = [ipaddress.ip_address(case.data["pods"][i]["ip6"])
                   for i in range(2)]
        self.assertNotEqual(*made_up)
        for ip in made_up:
            self.assertNotIn(ip, judge.network("fd00:10:244::/48"))
        self.assertIn("ip6", case.data["nodes"]["n1"])
        self.assertNotIn("ip6", case.data["nodes"]["n2"])
        network_of(case)

    def test_pods_in_the_hosts_network(self):
        """Symbolic addresses of theirs are the node's."""
        case = load(policies=[blocks("{ip:s/h}/32", "{ip6:s/h}/128")])
        [(_, _, cluster, _)] = case.stages()
        peers = cluster.policies["s", "p"]["spec"]["ingress"][0]["from"]
        self.assertEqual([peer["ipBlock"]["cidr"] for peer in peers], [
            "192.0.2.2/32", case.data["nodes"]["n2"]["ip6"] + "/128"])

    def test_addresses_that_change_hands(self):
        new = {**BASE["pods"][1], "name": "new"}
        create = {"op": "createPod", "pod": new}
        delete = {"op": "deletePod", "pod": "s/b"}
        for actions in [create, delete], [delete, create]:
            case = load(steps=[{"actions": actions}])
            self.assertIn("s/new", list(case.stages())[1][2].pods)
        with self.assertRaisesRegex(judge.CaseError, r"steps\[0\].*10.0.2.2"):
            load(steps=[{"actions": [create]}])

    def test_policies_for_the_whole_cluster(self):
        wide = {"apiVersion": "policy.networking.k8s.io/v1alpha1",
                "kind": "BaselineAdminNetworkPolicy",
                "metadata": {"name": "default"}, "spec": {}}
        for members in (
                {"policies": [wide], "steps": [{"probes": [PROBE]}]},
                {"steps": [{"probes": [PROBE], "actions": [
                    {"op": "createPolicy", "policy": wide}]}]},
                {"steps": [{"probes": [PROBE], "actions": [
                    {"op": "updatePolicy", "policy": wide}]}]},
                {"steps": [{"probes": [PROBE], "actions": [
                    {"op": "deletePolicy", "kind": wide["kind"],
                     "name": "default"}]}]}):
            with self.assertRaises(cases.Skipped) as context:
                load(probes=[PROBE, PROBE], **members)
            self.assertEqual(context.exception.kind, wide["kind"])
            self.assertEqual(context.exception.n_probes, 3)

    def test_what_is_none(self):
        pod = BASE["pods"][0]
        for text, members in (
                ("nodes", {"nodes": {}, "pods": []}),
                ("n2: 192.0.2.1 is node n1's", {
                    "nodes": {"n1": {"ip": "192.0.2.1"},
                              "n2": {"ip": "192.0.2.1"}}}),
                (r"pods\[0\].ip:", {"pods": [{**pod, "ip": "none"}]}),
                (r"s/b: 10.0.1.2 is pod s/a's", {"pods": [
                    pod, {**pod, "name": "b"}]}),
                (r"probes\[0\]: no pod s/none", {"probes": [
                    {**PROBE, "to": "s/none"}]}),
                (r"probes\[0\].port", {"probes": [{**PROBE, "port": 0}]}),
                (r"policies\[0\].metadata.namespace: is missing", {
                    "policies": [{**POLICY, "metadata": {"name": "p"}}]}),
                ("Other: not a kind", {"policies": [
                    {**POLICY, "kind": "Other"}]})):
            with self.subTest(text), \
                    self.assertRaisesRegex(judge.CaseError, text):
                load(**members)


class Plans(unittest.TestCase):
    """Any plan of addresses has a network."""

    def test_usual(self):
        """Those of the suites keep their addresses."""
        loaded = [cases.load(path) for path in glob.glob(
            os.path.join(HERE, "cases", "*.json"))]
        [(_, together)] = cases.networks(loaded)
        self.assertEqual([case.changed for case in together],
                         [None] * len(loaded))

    def test_close_together(self):
        """Addresses of three nodes' pods, of the nodes and of strangers from
        a few dozens, with any blocks around them."""
        n_changed = 0
        for seed in range(150):
            rng = random.Random(seed)
            base, n = rng.choice([("10.0.0.%d", 48), ("fd00::%x", 48),
                                  ("192.168.%d.1", 30)])
            one = "ip6" if ":" in base else "ip"
            where = [base % i for i in rng.sample(range(1, n), 14)]
            nodes = {"n%d" % i: {one: where.pop()} for i in range(3)}
            if rng.random() < 0.5:
                nodes = {name: {one: "198.51.100.%d" % i if one == "ip"
                                else "2001:db8:1::%d" % i}
                         for i, name in enumerate(nodes, 1)}
            strangers = [where.pop() for _ in range(2)]
            pods = [{"ns": "s", "name": "p%d" % i, one: ip,
                     "node": rng.choice(sorted(nodes))}
                    for i, ip in enumerate(where)]
            bits = 32 if one == "ip" else 128
            cidrs = ["%s/%d" % (rng.choice(where), rng.choice(
                [0, 8, bits - 8, *range(bits - 5, bits + 1)]))
                for _ in range(rng.randrange(12))]
            ends = (["s/" + pod["name"] for pod in pods] + strangers
                    + ["node:" + name for name in nodes])
            case = load(nodes=nodes, pods=pods, policies=[blocks(*cidrs)],
                        probes=[{**PROBE, "from": a, "to": b,
                                 "family": 4 if one == "ip" else 6}
                                for a in ends for b in ends])
            before = list(renumber.verdicts(case.data))
            network, replayed = network_of(case)
            self.assertEqual(list(renumber.verdicts(replayed.data)), before)
            n_changed += bool(replayed.changed)
            for name, nets in network.pod_cidrs.items():
                for net in nets:
                    self.assertFalse(net[1] in network.all_addresses())
                    for other in network.pod_cidrs:
                        if other != name:
                            self.assertFalse(any(
                                ip in net for ip in network.placed[other]))
        self.assertGreater(n_changed, 50)

    def test_address_that_wanders(self):
        pod = {**BASE["pods"][1], "name": "new", "node": "n1"}
        case = load(steps=[{"actions": [
            {"op": "deletePod", "pod": "s/b"}, {"op": "createPod", "pod": pod}
        ], "probes": [{**PROBE, "to": "10.0.2.2"}]}])
        network, replayed = network_of(case)
        where = {pod["node"]: pod["ip"]
                 for pod in renumber.all_pods(replayed.data)
                 if pod["name"] in ("b", "new")}
        self.assertEqual(replayed.data["steps"][0]["probes"][0]["to"],
                         where["n1"])
        for name, ip in where.items():
            self.assertEqual(network.node_of(judge.address(ip)), name)

    def test_deep(self):
        """Blocks of each length around an address, and too deep ones."""
        case = load(policies=[blocks(*("{ip:s/a}/%d" % n
                                       for n in range(8, 33)))],
                    probes=[PROBE])
        case.renumbered(4)
        case = load(policies=[blocks(*("{ip:s/a}/%d" % n
                                       for n in range(33)))],
                    probes=[PROBE])
        with self.assertRaises(judge.CaseError):
            case.renumbered(4)

    def test_generated(self):
        """Random clusters with other addresses are judged the same: else
        renumbered() fails."""
        for seed in range(40):
            data = generate.generate(seed, argparse.Namespace(
                steps=3, size="small", probes=100, strangers=True,
                protocols=["TCP"]))
            renumber.tidy(data)
            case = cases.Case("", data)
            for family in 4, 6:
                case = case.renumbered(family)
            self.assertNotEqual(case.data["pods"], data["pods"])
            cases.Network([case])


if __name__ == "__main__":
    unittest.main()
