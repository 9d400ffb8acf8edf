# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads files of NetworkPolicy cases, and finds networks to replay them in."""

import ipaddress
import json

import renumber
from judge import CaseError, Cluster, address, probe_family
from renumber import is_bare, member

# Policies for all of a cluster, which the product does not know.
CLUSTER_WIDE = ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy",
                "ClusterNetworkPolicy")

OPS = {
    "createPolicy": {"policy": "policy"},
    "updatePolicy": {"policy": "policy"},
    "deletePolicy": {"kind": "string", "namespace": "string",
                     "name": "string"},
    "createNamespace": {"namespace": "string", "labels?": "labels"},
    "setNamespaceLabels": {"namespace": "string", "labels?": "labels"},
    "deleteNamespace": {"namespace": "string"},
    "createPod": {"pod": "pod"},
    "setPodLabels": {"pod": "string", "labels?": "labels"},
    "deletePod": {"pod": "string"},
}

# What is where in a case.  A "?" marks what may be left out.
SHAPES = {
    "case": {"name": "string", "nodes": {"*": "node"},
             "namespaces": {"*": "labels?"}, "pods": ["pod"],
             "policies?": ["policy"], "probes?": ["probe"],
             "steps?": ["step"]},
    "node": {"ip?": "IPv4", "ip6?": "IPv6", "labels?": "labels"},
    "pod": {"ns": "string", "name": "string", "labels?": "labels",
            "node": "string", "ip?": "IPv4", "ip6?": "IPv6",
            "hostNetwork?": "boolean", "ports?": ["served"]},
    "served": {"port": "port", "protocol": "protocol", "name?": "string"},
    "policy": {"apiVersion": "string", "kind": "string",
               "metadata": {"name": "string", "namespace": "string"},
               "spec": {}},
    "probe": {"from": "string", "to": "string", "port": "port",
              "protocol": "protocol", "expect": "verdict",
              "family?": "family"},
    "step": {"desc?": "string", "actions?": ["action"],
             "probes?": ["probe"]},
    "labels": {"*": "string"},
}


def is_address(version):
    def check(value):
        try:
            return address(value).version == version
        except ValueError:
            return False
    return check


VALUES = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "port": lambda value: type(value) is int and 0 < value < 65536,
    "protocol": lambda value: value in ("TCP", "UDP", "SCTP"),
    "verdict": lambda value: value in ("allow", "deny"),
    "family": lambda value: value in (4, 6),
    "IPv4": is_address(4),
    "IPv6": is_address(6),
}
WANTED = {"port": "a port's number", "protocol": "TCP, UDP or SCTP",
          "verdict": "allow or deny", "family": "4 or 6",
          "string": "a string", "boolean": "true or false",
          "IPv4": "an IPv4 address", "IPv6": "an IPv6 address"}


def check(value, shape, where):
    """Raises CaseError, with the name of the field, unless the value has the
    shape: one's name, a list of one, or members."""
    def must(condition, what):
        if not condition:
            raise CaseError("%s: must be %s, not %.60s" % (
                where or "the file", what, json.dumps(value)))

    if shape == "action":
        must(isinstance(value, dict) and value.get("op") in OPS,
             "an object whose \"op\" is one of " + ", ".join(OPS))
        shape = OPS[value["op"]]
    if isinstance(value, dict) and value.get("kind") in CLUSTER_WIDE:
        return
    if isinstance(shape, str) and shape.endswith("?"):
        if value is None:
            return
        shape = shape.rstrip("?")
    if isinstance(shape, str) and shape in VALUES:
        must(VALUES[shape](value), WANTED[shape])
        return
    shape = SHAPES[shape] if isinstance(shape, str) else shape
    if isinstance(shape, list):
        must(isinstance(value, list), "a list")
        for i, element in enumerate(value):
            check(element, shape[0], "%s[%d]" % (where, i))
        return
    must(isinstance(value, dict), "an object")
    for name, part in shape.items():
        key = name.rstrip("?")
        if key == "*":
            for member in value:
                check(value[member], part, "%s.%s" % (where, member))
        elif value.get(key) == "" and part in ("IPv4", "IPv6"):
            continue            # As good as none.
        elif value.get(key) is not None:
            check(value[key], part, "%s.%s" % (where, key) if where else key)
        elif name == key:
            raise CaseError("%s: is missing" % (
                "%s.%s" % (where, key) if where else key))


class Skipped(Exception):
    """The case is about a kind of policy that the product does not know."""

    def __init__(self, kind, n_probes):
        super().__init__(kind)
        self.kind = kind
        self.n_probes = n_probes


def kinds(data):
    """The kinds of policies that there are at any time."""
    objects = data["policies"] + [
        action.get("policy", action) for step in data["steps"]
        for action in step["actions"]]
    return {item["kind"] for item in objects if "kind" in item}


class Case:
    """A case, which makes sense.  "placed" are the addresses of pods, by
    node; "bare" those that probes name and that are nobody's."""

    def __init__(self, path, data):
        self.path = path
        self.data = data
        self.name = self.data["name"]
        self.changed = None     # Which addresses are not the file's, and why.
        self.placed = {node: set() for node in self.data["nodes"]}
        self.bare = set()
        for where, _, cluster, probes in self.stages():
            for pod in cluster.pods.values():
                for family in 4, 6:
                    if not pod.get("hostNetwork") and pod.get(member(family)):
                        self.placed[pod["node"]].add(
                            address(pod[member(family)]))
            for i, probe in enumerate(probes):
                try:
                    for end in probe["from"], probe["to"]:
                        who = cluster.end(end, probe_family(probe))
                        if not who.pod and not who.node:
                            self.bare.add(who.address)
                except (CaseError, ValueError) as error:
                    raise CaseError("%sprobes[%d]: %s" % (
                        where, i, error)) from error
        if not self.data["nodes"]:
            raise CaseError("nodes: must name at least one")

    def renumbered(self, family):
        """The case with other addresses of that family."""
        return Case(self.path, renumber.renumbered(self.data, family))

    def n_probes(self):
        return sum(len(step["probes"]) for step in renumber.steps(self.data))

    def stages(self):
        """Yields (where in the file, description, the cluster, probes) for
        the start and each step."""
        try:
            cluster = Cluster(self.data)
        except (CaseError, KeyError, TypeError) as error:
            raise CaseError("at the start: %s" % error) from error
        yield "", "start", cluster, self.data["probes"]
        for i, step in enumerate(self.data["steps"]):
            where = "steps[%d]." % i
            for j, action in enumerate(step["actions"]):
                try:
                    cluster.apply(action)
                except (CaseError, KeyError, TypeError) as error:
                    raise CaseError("%sactions[%d] (%s): %s" % (
                        where, j, action["op"], error)) from error
            try:
                cluster.check_addresses()
            except CaseError as error:
                raise CaseError("%s%s" % (where, error)) from error
            yield (where, "step %d%s" % (
                i + 1, " (%s)" % step["desc"] if step.get("desc") else ""),
                cluster, step["probes"])


def load(path):
    """The file's case; raises Skipped, or CaseError, whose text names file and
    field."""
    try:
        with open(path, encoding="utf-8") as stream:
            data = json.load(stream)
        check(data, "case", "")
        renumber.tidy(data)
        unknown = kinds(data) & set(CLUSTER_WIDE)
        if unknown:
            raise Skipped(" and ".join(sorted(unknown)),
                          sum(len(step["probes"])
                              for step in renumber.steps(data)))
        renumber.complete(data)
        return Case(path, data)
    except OSError as error:
        raise CaseError("%s: %s" % (path, error.strerror)) from error
    except CaseError as error:
        raise CaseError("%s: %s" % (path, error)) from error
    except ValueError as error:
        raise CaseError("%s: is no JSON: %s" % (path, error)) from error


# How many nodes cases that share a lab have together.
MOST_NODES = 6


class Network:
    """What cases need of the network: nodes with their addresses, the pod
    networks of each, and a router.

    Raises CaseError where there are no such networks."""

    # Prefix lengths to try for pod networks: the usual one first, longer ones
    # where nodes would share that, shorter ones where a pod has the first
    # address, which is the gateway's.
    LENGTHS = {4: [*range(24, 15, -1), *range(25, 31)],
               6: [*range(64, 47, -1), *range(65, 127)]}

    def __init__(self, cases):
        self.pod_cidrs = {}     # By name: a list.
        self.nodes = {}         # By name: the addresses, by family.
        self.placed = {}        # By name: the pods' addresses.
        self.bare = set()
        for case in cases:
            self.bare |= case.bare
            for name, node in case.data["nodes"].items():
                known = self.nodes.setdefault(name, {})
                for family in 4, 6:
                    self.add_address(known, name, family, node)
                self.placed.setdefault(name, set()).update(case.placed[name])
        if len(cases) > 1 and len(self.nodes) > MOST_NODES:
            raise CaseError("too many nodes for one lab")
        known = [ip for node in self.nodes.values() for ip in node.values()]
        if len(known) > len(set(known)):
            raise CaseError("two nodes have the same address")
        self.add_missing_addresses()
        self.pod_cidrs = {name: [] for name in self.nodes}
        for family in 4, 6:
            for name in self.nodes:
                self.find_cidrs(name, family)
        # Nodes without pods of their own have a network as well.
        for family in 4, 6:
            for name in self.nodes:
                if not any(net.version == family
                           for net in self.pod_cidrs[name]):
                    self.pod_cidrs[name].append(self.spare_cidr(family))
        self.router = {family: self.find_router(family) for family in (4, 6)}

    @staticmethod
    def add_address(known, name, family, node):
        text = node.get(member(family))
        if text and known.setdefault(family, address(text)) != address(text):
            raise CaseError("node %s has another address elsewhere" % name)

    def add_missing_addresses(self):
        for family, base in (4, "192.0.2.100"), (6, "2001:db8::100"):
            known = [node[family] for node in self.nodes.values()
                     if family in node]
            for node in self.nodes.values():
                if family not in node:
                    node[family] = self.free_address(
                        known[0] if known else address(base))

    def free_address(self, candidate):
        """The candidate, or the next address that is nobody's."""
        taken = self.all_addresses()
        while candidate in taken or self.node_of(candidate):
            candidate += 1
        return candidate

    def all_addresses(self):
        return (set().union(self.bare, *self.placed.values())
                | {ip for known in self.nodes.values()
                   for ip in known.values()})

    def find_cidrs(self, name, family):
        own = {ip for ip in self.placed[name] if ip.version == family}
        foreign = {ip for node in self.nodes.values() for ip in node.values()}
        foreign.update(*(placed for other, placed in self.placed.items()
                         if other != name))
        while own:
            net = self.find_cidr(min(own), own, foreign)
            if not net:
                raise CaseError("no pod network of node %s can have %s: its "
                                "neighbors are other nodes', or it is all "
                                "that the gateway could have"
                                % (name, min(own)))
            self.pod_cidrs[name].append(net)
            own = {ip for ip in own if ip not in net}

    def find_cidr(self, wanted, own, foreign):
        for length in self.LENGTHS[wanted.version]:
            net = ipaddress.ip_network((wanted, length), strict=False)
            # The first address is the gateway's, and IPAM gives neither the
            # network's nor the broadcast address.
            special = {net[0], net[1], net[-1]}
            if not (special & (own | self.bare)
                    or any(ip in net for ip in foreign)
                    or self.overlaps(net)):
                return net
        return None

    def overlaps(self, net):
        return any(net.version == other.version and net.overlaps(other)
                   for nets in self.pod_cidrs.values() for other in nets)

    def spare_cidr(self, family):
        taken = self.all_addresses()
        for i in range(256):
            net = ipaddress.ip_network("10.244.%d.0/24" % i if family == 4
                                       else "fd00:10:244:%x::/64" % i)
            if not self.overlaps(net) and not any(ip in net for ip in taken):
                return net
        raise CaseError("there is no pod network left")

    def find_router(self, family):
        """The address of a router next to all nodes."""
        addresses = [known[family] for known in self.nodes.values()]
        for length in range(24 if family == 4 else 64, 0, -1):
            net = ipaddress.ip_network((addresses[0], length), strict=False)
            router = self.free_address(addresses[0])
            special = {net[0], net[-1]}
            if all(ip in net and ip not in special
                   for ip in [*addresses, router]):
                return ipaddress.ip_interface((router, length))
        raise CaseError("the nodes' addresses have no network in common")

    def node_of(self, ip):
        """The node in whose pod networks the address is, or None."""
        for name, nets in self.pod_cidrs.items():
            if any(ip in net for net in nets):
                return name
        return None


def networks(cases):
    """Yields (Network, [case...]): as few networks as the order allows.  In
    place of the network there is an error for a case that has none."""
    together, network = [], None
    for case in cases:
        try:
            network, together = Network(together + [case]), together + [case]
            continue
        except CaseError:
            if together:
                yield network, together
        try:
            network, together = Network([case]), [case]
        except CaseError as error:
            yield own_network(case, error)
            together = []
    if together:
        yield network, together


def own_network(case, error):
    """The case, whose own addresses have no network, with others."""
    for families in (4,), (6,), (4, 6):
        changed = case
        try:
            for family in families:
                changed = changed.renumbered(family)
            network = Network([changed])
        except CaseError as another:
            error = CaseError("%s; with other addresses: %s" % (
                error, another)) if families == (4, 6) else error
            continue
        changed.changed = "other IPv%s addresses: %s" % (
            " and IPv".join(map(str, families)), error)
        return network, [changed]
    return error, [case]
