#! /usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes up NetworkPolicy cases: usage: generate.py --seed N --output DIR
[--count C] [--steps S] [--size small|medium] [--probes all|pairs|N]
[--sctp] [--strangers]

Writes DIR/random-SEED.json for each of C seeds from N on.  A case is a small
cluster of few labels, ports and addresses, so that selectors, ranges and
blocks meet often, and policies that are meant to be hard; then S steps that
change it.  What the probes expect is what judge.py says.  The same options
make the same file.

--probes N keeps N probes, drawn by lot, for the start and for each step;
--probes pairs keeps one for each two ends and family.
--sctp adds SCTP, --strangers probes from addresses inside the cluster that no
pod has."""

import argparse
import ipaddress
import json
import os
import random
import sys

sys.dont_write_bytecode = True

import edits
import judge
import validity

# Pods and namespaces have the key "env" in common.  A value may be empty or
# look like a number.
POD_LABELS = {"app": ["web", "db", "cli"], "tier": ["front", "1", ""],
              "env": ["prod", "dev"]}
NAMESPACE_LABELS = {"team": ["red", "blue", "1"], "env": ["prod", "dev", ""]}
UNKNOWN_KEY = "example.com/none"

NAMESPACE_NAMES = ["x", "y", "z", "u", "v", "w"]
POD_NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"]
NODES = {
    "node-%d" % n: {
        "labels": {"kubernetes.io/hostname": "node-%d" % n,
                   "kubernetes.io/os": "linux"},
        "ip": "192.168.77.1%d" % n, "ip6": "fd00:192:168:77::1%d" % n}
    for n in (1, 2)}
OUTSIDE = {4: ["198.51.100.9", "203.0.113.5", "203.0.113.130"],
           6: ["2001:db8::9", "2001:db8:1::5", "2001:db8:1::82"]}
STRANGERS = {4: ["10.10.1.99", "10.10.2.131"],
             6: ["fd00:10:10:1::63", "fd00:10:10:2::83"]}

# The last bytes of pods' addresses: neighbours, and both sides of the
# boundaries of masks.
HOSTS = [2, 3, 4, 5, 7, 8, 15, 16, 18, 31, 32, 63, 64, 127, 128, 130, 254]
LENGTHS = {4: [0, 1, 4, 8, 15, 16, 22, 23, 24, 25, 26, 27, 28, 30, 31, 32],
           6: [0, 1, 3, 16, 32, 48, 62, 63, 64, 120, 121, 124, 126, 127, 128]}

PORTS = [53, 80, 81, 443, 8080, 8081, 8090]
RANGES = [(80, 81), (79, 82), (80, 443), (81, 8080), (53, 80), (443, 443),
          (8080, 8090), (8081, 8095), (1, 80), (8081, 65535), (1, 65535)]
PORT_NAMES = ["http", "dns", "metrics"]
UNSERVED = 9999

# Numbers of namespaces, pods and policies, each from and to.
SIZES = {"small": ((2, 3), (4, 6), (3, 6)),
         "medium": ((3, 5), (8, 14), (5, 12))}


class Maker:
    """Makes parts of a cluster, by lot."""

    def __init__(self, rng, protocols):
        self.rng = rng
        self.protocols = protocols

    def chance(self, probability):
        return self.rng.random() < probability

    def some(self, items, least, most):
        return self.rng.sample(items, min(len(items),
                                          self.rng.randint(least, most)))

    # Pods and namespaces.

    def labels(self, vocabulary):
        return {key: self.rng.choice(values)
                for key, values in vocabulary.items() if self.chance(0.6)}

    def namespace_labels(self):
        return self.labels(NAMESPACE_LABELS)

    def namespace_name(self, cluster):
        """A name that no namespace has, None if there is none."""
        names = [name for name in NAMESPACE_NAMES
                 if name not in cluster.namespaces]
        return names[0] if names else None

    def pod_labels(self):
        return self.labels(POD_LABELS)

    def served(self):
        """A pod's ports.  A name may stand for one port of each protocol."""
        ports = []
        for protocol in self.protocols:
            names = self.some(PORT_NAMES, 1, 2)
            for port in sorted(self.some(PORTS, 1, 3)):
                ports.append({"port": port, "protocol": protocol})
                if names:
                    ports[-1]["name"] = names.pop()
        return ports

    def addresses(self, cluster, node):
        """Free addresses for a pod on the node, of both families.  They end
        alike more often than not."""
        number = sorted(NODES).index(node) + 1
        pods = cluster.pods.values()

        def free(form, member):
            taken = {pod[member] for pod in pods}
            return [host for host in HOSTS
                    if form % (number, host) not in taken]

        form, form6 = "10.10.%d.%d", "fd00:10:10:%d::%x"
        hosts, hosts6 = free(form, "ip"), free(form6, "ip6")
        host = self.rng.choice(hosts)
        host6 = (host if host in hosts6 and self.chance(0.7)
                 else self.rng.choice(hosts6))
        return {"ip": form % (number, host), "ip6": form6 % (number, host6)}

    def pod(self, cluster, namespace=None):
        """A new pod, in the namespace or in any, or None if there is no name
        left for it."""
        if namespace is None:
            namespace = self.rng.choice(sorted(cluster.namespaces))
        names = [name for name in POD_NAMES
                 if "%s/%s" % (namespace, name) not in cluster.pods]
        if not names or len(cluster.pods) > len(HOSTS):
            return None
        node = self.rng.choice(sorted(NODES))
        others = [cluster.pods[name] for name in sorted(cluster.pods)]
        if others and self.chance(0.12):
            # A replica, or a pod that only its namespace tells apart.
            other = self.rng.choice(others)
            labels, ports = dict(other["labels"]), list(other["ports"])
        else:
            labels, ports = self.pod_labels(), self.served()
        return {"ns": namespace, "name": self.rng.choice(names),
                "labels": labels, "node": node,
                **self.addresses(cluster, node), "ports": ports}

    def host_pod(self, cluster):
        """The same, in the network of its node."""
        pod = self.pod(cluster)
        if pod:
            node = NODES[pod["node"]]
            pod.update(ip=node["ip"], ip6=node["ip6"], hostNetwork=True)
        return pod

    # Selectors.

    def selector(self, vocabulary, those):
        """A selector; "those" are the labels of all that it could select, so
        that it often selects one of them."""
        if self.chance(0.2):
            return self.rng.choice([{}, {}, {"matchLabels": {}},
                                    {"matchExpressions": []}])
        selector = {}
        if self.chance(0.5):
            there = self.rng.choice(those) if those else {}
            keys = sorted(set(there) & set(vocabulary))
            if keys and self.chance(0.8):
                keys = self.some(keys, 1, 2)
                selector["matchLabels"] = {key: there[key] for key in keys}
            else:
                key = self.rng.choice(sorted(vocabulary))
                selector["matchLabels"] = {
                    key: self.rng.choice(vocabulary[key])}
        if not selector or self.chance(0.3):
            selector["matchExpressions"] = [
                self.expression(vocabulary)
                for _ in range(self.rng.choice([1, 1, 2]))]
        return selector

    def expression(self, vocabulary):
        operator = self.rng.choice(["In", "NotIn", "NotIn", "Exists",
                                    "DoesNotExist"])
        key = self.rng.choice(sorted(vocabulary))
        expression = {"key": key, "operator": operator}
        if operator in ("In", "NotIn"):
            expression["values"] = self.some(vocabulary[key], 1, 2)
        if self.chance(0.1):
            expression["key"] = UNKNOWN_KEY
        return expression

    def pod_selector(self, cluster, namespace=None):
        """A selector of pods, likely ones of the namespace, if there is
        one."""
        return self.selector(POD_LABELS, [
            pod["labels"] for pod in cluster.pods.values()
            if namespace in (None, pod["ns"])])

    def namespace_selector(self, cluster):
        if self.chance(0.15):
            name = self.rng.choice(sorted(cluster.namespaces))
            operator = self.rng.choice(["In", "NotIn"])
            return self.rng.choice([
                {"matchLabels": {judge.NAME_LABEL: name}},
                {"matchExpressions": [{"key": judge.NAME_LABEL,
                                       "operator": operator,
                                       "values": [name]}]}])
        return self.selector(NAMESPACE_LABELS,
                             list(cluster.namespaces.values()))

    # Blocks.

    def known_address(self, cluster, family):
        member = "ip6" if family == 6 else "ip"
        pods = [pod[member] for pod in cluster.pods.values()]
        others = ([node[member] for node in NODES.values()] + OUTSIDE[family]
                  + STRANGERS[family])
        return self.rng.choice(pods if pods and self.chance(0.7) else others)

    def cidr(self, where, length):
        """The network of that length around the address, often written with
        its host bits, or in another of the forms that IPv6 has."""
        if self.chance(0.7):
            network = judge.network("%s/%d" % (where, length))
            where = str(network.network_address)
        if ":" in where and self.chance(0.15):
            where = self.rng.choice([
                where.upper(), ipaddress.ip_address(where).exploded])
        return "%s/%d" % (where, length)

    def block(self, cluster):
        family = self.rng.choice([4, 6])
        most = 128 if family == 6 else 32
        if self.chance(0.15):
            return self.symbolic_block(cluster, most)
        lengths = LENGTHS[family]
        where = self.known_address(cluster, family)
        length = 0 if self.chance(0.15) else self.rng.choice(lengths)
        block = {"cidr": self.cidr(where, length)}
        if length < most and self.chance(0.6):
            block["except"] = [self.exception(cluster, block, family)
                               for _ in range(self.rng.choice([1, 1, 2, 3]))]
        return block

    def exception(self, cluster, block, family):
        """A block strictly inside the other, around an address that matters
        if one of a few tries is inside."""
        outer = judge.network(block["cidr"])
        where = str(outer.network_address)
        for _ in range(5):
            tried = self.known_address(cluster, family)
            if ipaddress.ip_address(tried) in outer:
                where = tried
                break
        length = self.rng.choice([n for n in LENGTHS[family]
                                  if n > outer.prefixlen])
        return self.cidr(where, length)

    def symbolic_block(self, cluster, most):
        """A block around the address that a pod has."""
        pods = sorted(key for key, pod in cluster.pods.items()
                      if not pod.get("hostNetwork"))
        if not pods:
            return {"cidr": "::/0" if most == 128 else "0.0.0.0/0"}
        symbol = "{%s:%s}" % ("ip6" if most == 128 else "ip",
                              self.rng.choice(pods))
        length = most - self.rng.choice([0, 1, 4, 8, 12])
        block = {"cidr": "%s/%d" % (symbol, length)}
        if length < most and self.chance(0.6):
            block["except"] = ["%s/%d" % (symbol,
                                          self.rng.randint(length + 1, most))]
        return block

    # Policies.

    def peer(self, cluster):
        kind = self.rng.choice(["pods", "pods", "namespaces", "both", "both",
                                "block", "block", "block"])
        if kind == "block":
            return {"ipBlock": self.block(cluster)}
        peer = {}
        if kind != "pods":
            peer["namespaceSelector"] = self.namespace_selector(cluster)
        if kind != "namespaces":
            peer["podSelector"] = self.pod_selector(cluster)
        return peer

    def port(self, named):
        """An item of a rule's ports."""
        item = {}
        kind = self.rng.choice(["number", "number", "range", "range",
                                "protocol", "name", "name", "name"])
        if kind == "number" or (kind == "name" and not named):
            item["port"] = self.rng.choice(PORTS)
        elif kind == "range":
            item["port"], item["endPort"] = self.rng.choice(RANGES)
        elif kind == "name":
            item["port"] = self.rng.choice(PORT_NAMES)
        protocol = self.rng.choice(self.protocols)
        if protocol != "TCP" or self.chance(0.5):
            item["protocol"] = protocol
        return item

    def rule(self, cluster, peers_member):
        """A rule.  What a named port means with an ipBlock is undefined, so
        that these never meet."""
        rule = {}
        if self.chance(0.85):
            rule[peers_member] = ([] if self.chance(0.08) else [
                self.peer(cluster)
                for _ in range(self.rng.choice([1, 1, 2, 3]))])
        named = not any("ipBlock" in peer
                        for peer in rule.get(peers_member, []))
        if self.chance(0.75):
            rule["ports"] = ([] if self.chance(0.08) else [
                self.port(named) for _ in range(self.rng.choice([1, 2, 3]))])
        return rule

    def rules(self, cluster, peers_member):
        """A direction's rules, None if it is to be left out."""
        kind = self.rng.random()
        if kind < 0.15:
            return None
        if kind < 0.27:
            return []
        if kind < 0.32:
            return [{}]
        return [self.rule(cluster, peers_member)
                for _ in range(self.rng.choice([1, 1, 2, 3]))]

    def spec(self, cluster, namespace):
        spec = {"podSelector": self.pod_selector(cluster, namespace)}
        types = self.rng.choice([None, None, ["Ingress"], ["Egress"],
                                 ["Ingress", "Egress"],
                                 ["Egress", "Ingress"]])
        if types:
            spec["policyTypes"] = types
        for direction, peers_member in ("ingress", "from"), ("egress", "to"):
            # Rules of a direction that does not count are there now and then.
            if types and direction.title() not in types and self.chance(0.8):
                continue
            rules = self.rules(cluster, peers_member)
            if not types and direction == "egress" and self.chance(0.2):
                rules = []   # Not a reason to isolate: easily misread.
            if rules is not None:
                spec[direction] = rules
        return spec

    def policy(self, cluster):
        """A new policy, which has the name of another one in another
        namespace now and then."""
        namespace = self.rng.choice(sorted(cluster.namespaces))
        numbers = {n for n in range(1, 40)
                   if (namespace, "p%d" % n) not in cluster.policies}
        return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": "p%d" % min(numbers),
                             "namespace": namespace},
                "spec": self.spec(cluster, namespace)}

    def cluster(self, size):
        namespaces, pods, policies = (self.rng.randint(*bounds)
                                      for bounds in SIZES[size])
        state = {"nodes": NODES, "namespaces": {}, "pods": [], "policies": []}
        for name in NAMESPACE_NAMES[:namespaces]:
            state["namespaces"][name] = {**self.namespace_labels(),
                                         judge.NAME_LABEL: name}
        for _ in range(pods):
            pod = self.pod(judge.Cluster(state))
            if pod:
                state["pods"].append(pod)
        if self.chance(0.3):
            state["pods"].append(self.host_pod(judge.Cluster(state)))
        state["pods"] = [pod for pod in state["pods"] if pod]
        for _ in range(policies):
            state["policies"].append(self.policy(judge.Cluster(state)))
        return state


# Probes.

def edges(cluster):
    """The ports at the edges of what the policies speak of, inside and
    outside."""
    numbers = set()
    for policy in cluster.policies.values():
        spec = policy["spec"]
        for rule in (spec.get("ingress") or []) + (spec.get("egress") or []):
            for item in rule.get("ports") or []:
                port = item.get("port")
                if isinstance(port, int):
                    end = item.get("endPort", port)
                    numbers |= {port - 1, port, end, end + 1}
    return {number for number in numbers if 1 <= number <= 65535}


def connections(cluster, protocols, strangers):
    """Yields each probe that may tell something, without its result."""
    pods = sorted(cluster.pods)
    hosted = {key for key in pods if cluster.pods[key].get("hostNetwork")}
    nodes = ["node:%s" % name for name in sorted(cluster.nodes)]
    numbers = edges(cluster)
    for family in 4, 6:
        taken = {pod["ip6" if family == 6 else "ip"]
                 for pod in cluster.pods.values()}
        others = nodes + OUTSIDE[family] + [
            where for where in STRANGERS[family]
            if strangers and where not in taken]
        for target in pods + others:
            served = {(item["port"], item["protocol"])
                      for item in (cluster.pods[target]["ports"]
                                   if target in pods else [])}
            ports = sorted(numbers | {port for port, _ in served}
                           | {UNSERVED})
            for source in pods + others:
                # Between nodes and the outside there is nothing to judge.
                if (source in others or source in hosted) and \
                        (target in others or target in hosted):
                    continue
                for protocol in protocols:
                    for port in ports:
                        probe = {"from": source, "to": target, "port": port,
                                 "protocol": protocol}
                        if family == 6:
                            probe["family"] = 6
                        if target in pods and \
                                (port, protocol) not in served:
                            probe["unserved"] = True
                        yield probe


def judged(cluster, probe):
    """The probe with its results."""
    judge_ = judge.Judge()
    probe = {**probe, "expect": judge.verdict(judge_.allows(cluster, probe))}
    if probe["from"] == probe["to"]:
        probe["loopback"] = True
        probe["literal"] = judge.verdict(
            judge_.allows(cluster, probe, literal=True))
    return probe


def probes(cluster, rng, options):
    """What to probe now: all of it, or as many as the options say."""
    if options.probes == 0:
        return []
    found = list(connections(cluster, options.protocols, options.strangers))
    if options.probes == "pairs":
        pairs = {}
        for probe in found:
            pairs.setdefault((probe["from"], probe["to"],
                              probe.get("family")), []).append(probe)
        found = [rng.choice(those) for those in pairs.values()]
    elif options.probes is not None and options.probes < len(found):
        chosen = sorted(rng.sample(range(len(found)), options.probes))
        found = [found[n] for n in chosen]
    return [judged(cluster, probe) for probe in found]


# Cases.

def features(case):
    """What a replayer may want to know before it takes the case."""
    text = json.dumps([case["policies"], case["steps"]])
    found = {"np"}
    for word, feature in (("ipBlock", "cidr"), ("{ip", "symbolic-cidr"),
                          ("endPort", "port-range"),
                          ("hostNetwork", "host-network")):
        if word in text or word in json.dumps(case["pods"]):
            found.add(feature)
    if any('"port": "%s"' % name in text for name in PORT_NAMES):
        found.add("named-port")
    if case["steps"]:
        found.add("multi-step")
    for stage in [case] + case["steps"]:
        for probe in stage["probes"]:
            if probe["protocol"] != "TCP":
                found.add("%s-probes" % probe["protocol"].lower())
            if probe.get("family") == 6:
                found.add("ipv6")
            for end in probe["from"], probe["to"]:
                if end.startswith("node:"):
                    found.add("node-probes")
                elif "/" not in end:
                    found.add("external-probes")
    return sorted(found)


def generate(seed, options):
    """The case of that seed."""
    rng = random.Random("netpol %d" % seed)
    maker = Maker(rng, options.protocols)
    state = maker.cluster(options.size)
    cluster = judge.Cluster(state)
    case = {"name": "random-%d" % seed,
            "title": "random cluster %d, %s" % (seed, options.size),
            "source": {"suite": "generate.py",
                       "test": "seed %d size %s steps %d protocols %s"
                       % (seed, options.size, options.steps,
                          "+".join(options.protocols))},
            "tags": ["random", options.size], "features": [],
            "expect_origin": "oracle", **state,
            "probes": probes(cluster, rng, options), "steps": []}
    for _ in range(options.steps):
        names, actions = [], []
        for _ in range(rng.choice([1, 1, 2, 3])):
            name, edit = edits.mutate(maker, cluster)
            names.append(name)
            actions += edit
        case["steps"].append({"desc": ", ".join(names), "actions": actions,
                              "probes": probes(cluster, rng, options)})
    case["features"] = features(case)
    check(case)
    return case


def check(case):
    """Fails if the API server would refuse one of the case's policies."""
    for _, cluster, _ in judge.stages({**case, "probes": []}):
        for policy in cluster.policies.values():
            refusals = validity.refusals(policy)
            if refusals:
                raise AssertionError("%s: %s: %s" % (case["name"], refusals,
                                                     policy))


def dump(case):
    """The case as text, one line for each thing of which there are many."""
    def listed(items, indent):
        return "[%s]" % ",".join("\n" + indent + json.dumps(item)
                                 for item in items)

    def step(item):
        return "{\"desc\": %s,\n  \"actions\": %s,\n  \"probes\": %s}" % (
            json.dumps(item.get("desc", "")), listed(item["actions"], "   "),
            listed(item["probes"], "   "))

    members = []
    for name, value in case.items():
        if name == "steps":
            text = "[%s]" % ",".join("\n " + step(item) for item in value)
        elif name in ("pods", "policies", "probes"):
            text = listed(value, "  ")
        else:
            text = json.dumps(value)
        members.append("%s: %s" % (json.dumps(name), text))
    return "{%s}\n" % ",\n".join(members)


def probes_wanted(word):
    """What the options say of probes, for probes() above."""
    return (None if word == "all" else word if word == "pairs"
            else int(word))


def parse(arguments):
    parser = argparse.ArgumentParser(description="Makes up NetworkPolicy "
                                     "cases.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--probes", default="all", metavar="all|pairs|N")
    parser.add_argument("--sctp", action="store_true")
    parser.add_argument("--strangers", action="store_true")
    parser.add_argument("--output", required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    options.probes = probes_wanted(options.probes)
    options.protocols = ["TCP", "UDP"] + (["SCTP"] if options.sctp else [])
    return options


def main(arguments):
    options = parse(arguments)
    os.makedirs(options.output, exist_ok=True)
    for seed in range(options.seed, options.seed + options.count):
        case = generate(seed, options)
        name = os.path.join(options.output, "%s.json" % case["name"])
        with open(name, "w", encoding="utf-8") as stream:
            stream.write(dump(case))


if __name__ == "__main__":
    main(sys.argv[1:])
