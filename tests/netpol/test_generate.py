#! /usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of generate.py, edits.py, validity.py and shrink.py: that the cases
are the same for the same seed, valid and varied, that they find every one of
mutants.py, and that a failing case becomes small."""

import copy
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import edits
import generate
import judge
import matters
import mutants
import shrink
import test_judge
import validity

HERE = os.path.dirname(os.path.abspath(__file__))


def options(text):
    return generate.parse(["--seed", "1", "--output", "none"] + text.split())


def generated(seeds, text="--sctp --strangers --steps 4 --probes 400"):
    chosen = options(text)
    return [generate.generate(seed, chosen) for seed in seeds]


CASES = generated(range(1, 51))


def stage_probes(case):
    return [probe for stage in [case] + case["steps"]
            for probe in stage["probes"]]


def policies(case):
    """All policies that the case ever speaks of."""
    return case["policies"] + [action["policy"] for step in case["steps"]
                               for action in step["actions"]
                               if "policy" in action]


def rules(policy):
    """Its rules, as pairs (peers, ports)."""
    spec = policy["spec"]
    return [(rule.get(member), rule.get("ports"))
            for direction, member in (("ingress", "from"), ("egress", "to"))
            for rule in spec.get(direction) or []]


def survey(case):
    """What occurs in the case, as a set of words."""
    found = set(case["features"])
    names = set()
    for pod in case["pods"]:
        found |= {"serves " + item["protocol"] for item in pod["ports"]}
        names |= {(item["name"], item["protocol"], item["port"])
                  for item in pod["ports"] if "name" in item}
    if any(a[0] == b[0] and a[1] != b[1] for a in names for b in names):
        found.add("a name of two protocols")
    if any(a[:2] == b[:2] and a[2] != b[2] for a in names for b in names):
        found.add("a name of two numbers")
    for step in case["steps"]:
        found |= {action["op"] for action in step["actions"]}
        gone = {action["pod"] for action in step["actions"]
                if action["op"] == "deletePod"}
        if gone and any(action["op"] == "createPod" and "%s/%s" % (
                action["pod"]["ns"], action["pod"]["name"]) not in gone
                        for action in step["actions"]):
            found.add("a pod for another")
    for probe in stage_probes(case):
        found |= {word for word in ("loopback", "unserved") if word in probe}
        if probe["from"] in generate.STRANGERS[4]:
            found.add("a stranger")
    for policy in policies(case):
        found |= survey_policy(policy)
    return found


def survey_policy(policy):
    spec = policy["spec"]
    found = {"types %s" % "+".join(spec.get("policyTypes", ["missing"]))}
    for direction in "ingress", "egress":
        if direction in spec and spec[direction] in ([], [{}]):
            found.add("%s: %s" % (direction, spec[direction]))
        if direction.title() not in spec.get("policyTypes", []) \
                and spec.get("policyTypes") and spec.get(direction):
            found.add("rules that do not count")
    if not any(spec["podSelector"].values()):
        found.add("selects all")
    for peers, ports in rules(policy):
        found |= {"peers %s" % peers} if not peers else set()
        found |= {"ports %s" % ports} if not ports else set()
        for peer in peers or []:
            found.add("peer " + "+".join(sorted(peer)))
            if "ipBlock" in peer:
                found |= survey_block(peer["ipBlock"])
        for item in ports or []:
            found.add("port " + "+".join(sorted(item)))
            if isinstance(item.get("port"), str):
                found.add("name of " + item.get("protocol", "TCP"))
    text = json.dumps(spec)
    for word in "In", "NotIn", "Exists", "DoesNotExist":
        if '"operator": "%s"' % word in text:
            found.add(word)
    for word, what in (('""', "empty value"), ("none", "unknown key"),
                       (judge.NAME_LABEL, "namespace name")):
        if word in text:
            found.add(what)
    return found


def survey_block(block):
    if block["cidr"].startswith("{"):
        return {"symbolic"}
    outer = judge.network(block["cidr"])
    found = {"block of IPv%d" % outer.version}
    if outer.prefixlen == 0:
        found.add("all of IPv%d" % outer.version)
    if block["cidr"] != str(outer):
        found.add("an odd CIDR")
    excepts = [judge.network(cidr) for cidr in block.get("except", [])]
    if len(excepts) > 1:
        found.add("excepts")
    if any(a is not b and a.overlaps(b) for a in excepts for b in excepts):
        found.add("overlapping excepts")
    return found


SURVEYED = """
np cidr symbolic-cidr port-range named-port host-network node-probes
external-probes udp-probes sctp-probes ipv6 multi-step NotIn In Exists
DoesNotExist symbolic excepts createPolicy updatePolicy deletePolicy
createNamespace setNamespaceLabels deleteNamespace createPod setPodLabels
deletePod loopback unserved
""".split() + [
    "serves TCP", "serves UDP", "serves SCTP", "name of TCP", "name of UDP",
    "a name of two protocols", "a name of two numbers", "a pod for another",
    "a stranger", "types missing", "types Ingress", "types Egress",
    "types Ingress+Egress", "ingress: []", "ingress: [{}]", "egress: []",
    "egress: [{}]", "rules that do not count", "selects all", "peers None",
    "peers []", "ports None", "ports []", "peer podSelector",
    "peer namespaceSelector", "peer namespaceSelector+podSelector",
    "peer ipBlock", "port ", "port port", "port protocol",
    "port endPort+port", "port endPort+port+protocol", "port port+protocol",
    "empty value", "unknown key", "namespace name", "block of IPv4",
    "block of IPv6", "all of IPv4", "all of IPv6", "an odd CIDR",
    "overlapping excepts"]


class Generator(unittest.TestCase):

    def test_same_seed_same_bytes(self):
        """Also from one run of Python to another one."""
        with tempfile.TemporaryDirectory() as folder:
            for name, hash_seed in ("one", "1"), ("other", "2"):
                subprocess.run(
                    [sys.executable, os.path.join(HERE, "generate.py"),
                     "--seed", "7", "--count", "3", "--probes", "50",
                     "--output", os.path.join(folder, name)],
                    env={**os.environ, "PYTHONHASHSEED": hash_seed},
                    check=True)
            texts = []
            for name in "one", "other":
                texts.append([])
                for seed in 7, 8, 9:
                    path = os.path.join(folder, name, "random-%d.json" % seed)
                    with open(path, encoding="utf-8") as stream:
                        texts[-1].append(stream.read())
            self.assertEqual(texts[0], texts[1])
            # The count does not matter to a seed's case.
            self.assertEqual(texts[0][1], generate.dump(
                generate.generate(8, options("--probes 50"))))

    def test_seeds_differ(self):
        self.assertEqual(len({json.dumps(case["pods"]) for case in CASES}),
                         len(CASES))
        self.assertEqual(len({json.dumps(case["policies"])
                              for case in CASES}), len(CASES))

    def test_verdicts(self):
        """A quarter of the probes at least is of either kind."""
        found = [probe["expect"] for case in CASES
                 for probe in stage_probes(case)]
        self.assertGreater(found.count("allow"), len(found) / 4)
        self.assertGreater(found.count("deny"), len(found) / 4)

    def test_everything_occurs(self):
        found = set().union(*map(survey, CASES))
        self.assertEqual(set(SURVEYED) - found, set())

    def test_steps_matter(self):
        """Most steps change the result of a probe between pods."""
        n_steps = n_changes = 0
        for case in generated(range(1, 31), "--probes all --steps 3"):
            stages = [case] + case["steps"]
            verdicts = [{tuple(sorted((key, value) for key, value
                                      in probe.items() if key != "expect")):
                         probe["expect"] for probe in stage["probes"]}
                        for stage in stages]
            for before, after in zip(verdicts, verdicts[1:]):
                n_steps += 1
                n_changes += any(before.get(key, value) != value
                                 for key, value in after.items())
        self.assertGreater(n_changes, n_steps / 2)

    def test_undefined(self):
        """What the API leaves open does not occur."""
        for case in CASES:
            for policy in policies(case):
                for peers, ports in rules(policy):
                    self.assertFalse(
                        any("ipBlock" in peer for peer in peers or [])
                        and any(isinstance(item.get("port"), str)
                                for item in ports or []), policy)
            for pod in case["pods"]:
                names = [(item["name"], item["protocol"])
                         for item in pod["ports"] if "name" in item]
                self.assertEqual(len(names), len(set(names)), pod)

    def test_all_probes(self):
        """Without a number all is probed that a sample is made of."""
        chosen = options("--steps 1 --probes 100")
        some = generate.generate(1, chosen)
        self.assertEqual([len(stage["probes"])
                          for stage in [some] + some["steps"]], [100, 100])
        complete = generate.generate(1, options("--steps 0"))
        cluster = judge.Cluster(complete)
        ends = {(probe["from"], probe["to"], probe.get("family", 4))
                for probe in complete["probes"]}
        for one in cluster.pods:
            for other in cluster.pods:
                for family in 4, 6:
                    self.assertIn((one, other, family), ends)
        for probe in some["probes"]:
            self.assertIn(probe, complete["probes"])

    def test_medium(self):
        for case in generated(range(1, 4), "--size medium --probes 100"):
            self.assertGreaterEqual(len(case["pods"]), 8)
            self.assertEqual([line for line in judge.mismatches(case) if line],
                             [])

    def test_churn(self):
        """mutate() goes on for long, and leaves a cluster that makes sense
        and does not grow beyond bounds."""
        maker = generate.Maker(generate.random.Random(1), ["TCP", "UDP"])
        cluster = judge.Cluster(maker.cluster("medium"))
        for _ in range(300):
            before = judge.Cluster(cluster.state())
            _, actions = edits.mutate(maker, cluster)
            for action in json.loads(json.dumps(actions)):
                before.apply(action)
            self.assertEqual(before.state(), cluster.state())
            self.assertTrue(cluster.pods)
        for policy in cluster.policies.values():
            self.assertEqual(validity.refusals(policy), [])


class Mutants(unittest.TestCase):
    """Whatever is wrong with a judge, the cases show it."""

    def test_found(self):
        self.assertGreater(len(mutants.MUTANTS), 80)
        cases = CASES[:30]
        for name, (judge_class, cluster_class) in mutants.MUTANTS.items():
            with self.subTest(name):
                self.assertTrue(any(
                    disagrees(case, judge_class, cluster_class)
                    for case in cases))

    def test_found_by_what_matters(self):
        """The few probes of matters.py show it too, but for those of a pod to
        itself, which it leaves out."""
        cases = [matters_case(seed) for seed in range(1, 21)]
        for name, (judge_class, cluster_class) in mutants.MUTANTS.items():
            with self.subTest(name):
                self.assertEqual(any(
                    disagrees(case, judge_class, cluster_class)
                    for case in cases), name != "LoopbackBlocked")

    def test_found_by_table(self):
        """The table of test_judge.py finds those among them that judge."""
        for name, (judge_class, _) in mutants.MUTANTS.items():
            if judge_class is judge.Judge:
                continue
            with self.subTest(name):
                self.assertTrue(any(
                    judge_class().allows(cluster, test_judge.probe(text))
                    != (text in allowed)
                    for cluster, allowed, denied in [
                        (test_judge.table_cluster(specs), allowed, denied)
                        for _, specs, allowed, denied in test_judge.TABLE]
                    for text in allowed + denied))

    def test_judge_itself(self):
        self.assertFalse(any(disagrees(case, judge.Judge, judge.Cluster)
                             for case in CASES))


def matters_case(seed):
    """A case with the probes of matters.py."""
    chosen = options("--sctp --strangers --steps 2 --probes 0")
    chosen.size = "medium" if seed % 10 == 9 else "small"
    case = generate.generate(seed, chosen)
    rng, known = random.Random(seed), {}
    for _, cluster, probes in judge.stages(case):
        probes[:] = [
            generate.judged(cluster, probe) for probe in matters.connections(
                cluster, lambda where: None if str(where).startswith(
                    ("10.10.", "fd00:10:10:")) else False, rng, known)]
    return case


def disagrees(case, judge_class, cluster_class):
    """Whether a judge comes to another result than the case expects."""
    other = judge_class()
    return any(judge.verdict(other.allows(cluster, probe)) != probe["expect"]
               for _, cluster, probes in judge.stages(case, cluster_class)
               for probe in probes)


class Validity(unittest.TestCase):
    """What the API server refuses."""

    def policy(self, **spec):
        return {"metadata": {"name": "p", "namespace": "x"},
                "spec": {"podSelector": {}, **spec}}

    def check(self, n_refusals, **spec):
        self.assertEqual(len(validity.refusals(self.policy(**spec))),
                         n_refusals, spec)

    def test_peers(self):
        def check(n_refusals, *peers):
            self.check(n_refusals, ingress=[{"from": list(peers)}])
            self.check(n_refusals, egress=[{"to": list(peers)}])
        check(0, {"podSelector": {}}, {"namespaceSelector": {}})
        check(1, {})
        check(1, {"podSelector": {}, "ipBlock": {"cidr": "::/0"}})
        check(0, {"ipBlock": {"cidr": "10.0.0.1/8",
                              "except": ["10.0.0.1/9"]}})
        check(1, {"ipBlock": {"cidr": "10.0.0.0/8",
                              "except": ["10.0.0.0/8"]}})
        check(2, {"ipBlock": {"cidr": "10.0.0.0/8",
                              "except": ["11.0.0.0/9", "::/64"]}})
        check(1, {"ipBlock": {"cidr": "10.0.0.0/33"}})

    def test_selectors(self):
        def check(n_refusals, *expression, labels=None):
            key, operator, *values = expression
            self.check(n_refusals, podSelector={
                "matchLabels": labels or {}, "matchExpressions": [
                    {"key": key, "operator": operator, "values": values}]})
        check(0, "a", "In", "", "x")
        check(0, "example.com/a", "Exists", labels={"a": ""})
        check(1, "a", "In")
        check(1, "a", "Exists", "x")
        check(1, "a", "Near", "x")
        check(1, "a/b/c", "Exists")
        check(2, "-", "NotIn", "x y")
        check(1, "a", "DoesNotExist", labels={"a": "x" * 64})

    def test_ports(self):
        def check(n_refusals, **item):
            self.check(n_refusals, ingress=[{"ports": [item]}])
        check(0)
        check(0, protocol="SCTP", port=1, endPort=65535)
        check(0, port="web-1")
        check(1, protocol="ICMP")
        check(1, port=0)
        check(1, port=65536)
        check(1, port=2, endPort=1)
        check(1, endPort=1)
        check(1, port="web", endPort=1)
        check(1, port="80")
        check(1, port="a-name-that-is-long")
        check(1, port="a--b")

    def test_rest(self):
        self.check(0, policyTypes=["Ingress", "Egress"])
        self.check(1, policyTypes=["ingress"])
        policy = self.policy()
        policy["metadata"]["name"] = "A_b"
        self.assertEqual(len(validity.refusals(policy)), 1)


class Shrink(unittest.TestCase):

    def shrunk(self, name):
        """A case that shows the mutant, made small."""
        judge_class, cluster_class = mutants.MUTANTS[name]
        case = next(case for case in CASES
                    if disagrees(case, judge_class, cluster_class))
        before = copy.deepcopy(case)
        shrinker = shrink.Shrinker(case, lambda case: disagrees(
            case, judge_class, cluster_class))
        shrinker.run()
        case_now = shrinker.case
        self.assertEqual(case, before)
        self.assertTrue(disagrees(case_now, judge_class, cluster_class))
        self.assertEqual([line for line in judge.mismatches(case_now) if line],
                         [])
        self.assertEqual(len(stage_probes(case_now)), 1)
        return case_now

    def test_except(self):
        """What remains is the exception, and whom it is about."""
        case = self.shrunk("ExceptIgnored")
        self.assertEqual(case["steps"], [])
        self.assertLessEqual(len(case["pods"]), 2)
        [policy] = case["policies"]
        [(peers, ports)] = rules(policy)
        self.assertEqual(len(peers), 1)
        self.assertEqual(len(peers[0]["ipBlock"]["except"]), 1)
        self.assertIsNone(ports)
        self.assertEqual(policy["spec"]["podSelector"], {})

    def test_rules(self):
        case = self.shrunk("RulesMixed")
        self.assertEqual(len(case["policies"]), 1)
        self.assertEqual(len(rules(case["policies"][0])), 2)

    def test_step(self):
        """A fault of the change keeps the change, and nothing else."""
        case = self.shrunk("PodLabelsKept")
        self.assertEqual([action["op"] for step in case["steps"]
                          for action in step["actions"]], ["setPodLabels"])

    def test_command(self):
        """As a program, with a command that fails while there is a policy of
        UDP."""
        case = next(case for case in CASES if "UDP" in json.dumps(
            case["policies"]))
        script = ("import json, sys\n"
                  "case = json.load(open(sys.argv[1]))\n"
                  "sys.exit('UDP' in json.dumps(case['policies']))\n")
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "case.json")
            with open(name, "w", encoding="utf-8") as stream:
                json.dump(case, stream)
            command = [sys.executable, os.path.join(HERE, "shrink.py"),
                       name, "--", sys.executable, "-c"]
            subprocess.run(command + [script], check=True,
                           stdout=subprocess.DEVNULL)
            with open(name + ".min.json", encoding="utf-8") as stream:
                small = json.load(stream)
            done = subprocess.run(command + ["pass"], check=False,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(len(small["policies"]), 1)
        self.assertEqual([ports for _, ports in rules(small["policies"][0])],
                         [[{"protocol": "UDP"}]])
        self.assertEqual((len(small["pods"]), small["steps"]), (1, []))
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not fail", done.stderr)


if __name__ == "__main__":
    unittest.main()
