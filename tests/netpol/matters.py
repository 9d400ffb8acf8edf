# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connections tell something about a cluster's policies."""

import itertools
import json

from generate import OUTSIDE, STRANGERS, UNSERVED
from judge import Judge, network

PROTOCOLS = ["TCP", "UDP", "SCTP"]

# How many containers without identity to look at.
CONTAINERS = 10


class Rules:
    """The rules that have a say in what pods do, by pod and direction."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.known = {}

    def of(self, direction, end):
        """The (policy, rule) pairs that isolate the End, None if it is not
        isolated."""
        if not end.pod:
            return None
        key = direction, end.pod["ns"], end.pod["name"]
        if key not in self.known:
            policies = Judge().isolating(self.cluster, direction, end)
            self.known[key] = [
                (policy, rule) for policy in policies
                for rule in policy["spec"].get(direction.lower()) or []
            ] if policies else None
        return self.known[key]

    def between(self, source, target):
        """What the rules have to say from End to End, None if no policy has a
        say: for each direction None, or two lists of what rules call ports,
        of those that are about the other end and of the others."""
        found = []
        for rules, peers_member, peer in (
                (self.of("Egress", source), "to", target),
                (self.of("Ingress", target), "from", source)):
            lists = [], []
            for policy, rule in rules or []:
                about = Judge().peers_match(self.cluster, policy,
                                            rule.get(peers_member), peer)
                lists[0 if about else 1].append(rule.get("ports") or [])
            found.append(None if rules is None else lists)
        return None if found == [None, None] else found


def ports_between(said, target, rng):
    """The set of (protocol, port) that matter, where rules have said that: of
    each set of ports that the rules about the two ends do not tell apart, one
    at least, and one of each rule that is not about them."""
    near = [items for lists in said or [] if lists for items in lists[0]]
    far = [items for lists in said or [] if lists for items in lists[1]]
    found = {one_of(items, target, rng) for items in far}
    if any(near):
        for protocol in PROTOCOLS:
            found |= {(protocol, port)
                      for port in ports(said, target, protocol, rng)}
    return found or {(rng.choice(PROTOCOLS), UNSERVED)}


def numbers_of(item, target):
    """The ports of a rule's item, as a range for range()."""
    port = item.get("port", UNSERVED)
    if isinstance(port, str):
        return [one["port"] for one in (
            target.pod["ports"] if target.pod else [])
                if one.get("name") == port]
    return range(port, item.get("endPort", port) + 1)


def one_of(items, target, rng):
    """Some port that a rule would allow."""
    item = rng.choice(items) if items else {"protocol": rng.choice(PROTOCOLS)}
    return (item.get("protocol") or "TCP",
            rng.choice(numbers_of(item, target) or [UNSERVED]))


def ports(said, target, protocol, rng):
    """Both sides of each edge of what a direction allows for the protocol,
    where the other one allows it too, so that it shows; one port at least of
    each item; what names stand for with any protocol; one number that is
    another protocol's; and one that nobody speaks of."""
    def allows(which, port):
        return said[which] is None or any(
            Judge().ports_match(items, target, port, protocol)
            for items in said[which][0])

    named, ranges, others, found = set(), [], set(), set()
    for this, lists in enumerate(said):
        for item in (item for items in lists and lists[0] or []
                     for item in items):
            numbers = numbers_of(item, target)
            if isinstance(item.get("port"), str):
                named |= set(numbers)
            elif "port" not in item:
                continue
            elif (item.get("protocol") or "TCP") != protocol:
                others.add(numbers[0])
            else:
                ranges.append(numbers)
                for edge in ((numbers[0] - 1, numbers[0]),
                             (numbers[-1], numbers[-1] + 1)):
                    if allows(this, edge[0]) != allows(this, edge[1]):
                        found |= {side for side in edge
                                  if allows(not this, side)}
    found = {port for port in found | named if 0 < port < 65536}
    for numbers in ranges:
        if not any(port in numbers for port in found):
            found.add(rng.choice(numbers))
    if others - named:
        found.add(rng.choice(sorted(others - named)))
    if all(port in named or any(port in numbers for numbers in ranges)
           for port in found):
        found.add(UNSERVED)
    return found


def usable(where, cluster):
    """Whether the address is nobody's, and can be somebody's."""
    if where.is_multicast or where.is_unspecified or where.is_loopback \
            or where.is_link_local or int(where) == 2 ** 32 - 1 \
            or getattr(where, "ipv4_mapped", None):
        return False
    end = cluster.end_of_address(str(where))
    return not end.pod and not end.node


def edges(cidr):
    """The addresses on both sides of a block's edges."""
    net = network(cidr)
    return [type(net[0])(n) for n in (
        int(net[0]) - 1, int(net[0]), int(net[-1]), int(net[-1]) + 1)
        if 0 <= n < 2 ** net.max_prefixlen]


def at_edges(rules, peers_member):
    """Yields (address, port, protocol) for the addresses at the edges of the
    rules' blocks, with a port that the rule allows."""
    for _, rule in rules or []:
        item = (rule.get("ports") or [{}])[0]
        for peer in rule.get(peers_member) or []:
            block = peer.get("ipBlock")
            for cidr in ([block["cidr"]] + (block.get("except") or [])
                         if block else []):
                for where in edges(cidr):
                    yield (where, item.get("port", UNSERVED),
                           item.get("protocol") or "TCP")


def to_edges(cluster, rules, inside, rng):
    """Yields the connections between pods and the edges of their rules'
    blocks, as connections() has them."""
    containers, found = set(), []
    for name in sorted(cluster.pods):
        end = cluster.end(name, 4)
        for direction, peers_member in ("Ingress", "from"), ("Egress", "to"):
            for where, port, protocol in at_edges(rules.of(direction, end),
                                                  peers_member):
                two = [str(where), name]
                found.append((where, *(
                    two if direction == "Ingress" else two[::-1]),
                    port, protocol, where.version))
    rng.shuffle(found)
    for where, *connection in found:
        place = inside(where) if usable(where, cluster) else None
        if place and len(containers | {where}) <= CONTAINERS:
            containers.add(where)
        if where in containers or place is False:
            yield tuple(connection)


def connections(cluster, inside, rng, known):
    """Yields each probe that may tell something, without its result: between
    all ends at each port that matters to the rules between them, and between
    pods and the edges of their rules' blocks.  A pod that speaks to itself
    sends nothing into the network; between what is no pod there is nothing to
    judge.  "inside" says of an address that is nobody's whether it is a
    container's without identity, True, a host's outside, False, or cannot be
    either, None.  "known" is at first empty, and remembers what rules said
    before a change: where they say the same, one port is drawn by lot."""
    rules = Rules(cluster)
    pods = sorted(cluster.pods)
    found, before = set(), dict(known)
    known.clear()
    for family in 4, 6:
        strange = [where for where in OUTSIDE[family] + STRANGERS[family]
                   if not cluster.end_of_address(where).pod]
        nodes = ["node:%s" % name for name in sorted(cluster.nodes)]
        ends = {name: cluster.end(name, family)
                for name in pods + nodes + strange}
        for source, target in itertools.permutations(ends, 2):
            if ends[source] == ends[target] or not (
                    ends[source].pod or ends[target].pod):
                continue
            said = rules.between(ends[source], ends[target])
            chosen = sorted(ports_between(said, ends[target], rng))
            key = source, target, ends[source].address, ends[target].address
            known[key] = json.dumps([said, ends[target].pod
                                     and ends[target].pod["ports"]])
            if known[key] == before.get(key):
                chosen = [rng.choice(chosen)]
            for protocol, port in chosen:
                found.add((source, target, port, protocol, family))
    found |= set(to_edges(cluster, rules, inside, rng))
    for source, target, port, protocol, family in sorted(found):
        yield {"from": source, "to": target, "port": port,
               "protocol": protocol, "family": family}
