# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connections tell something about a cluster's policies."""

from generate import OUTSIDE, STRANGERS, UNSERVED
from judge import Judge, network

PROTOCOLS = ["TCP", "UDP", "SCTP"]

# How many ports of a protocol to look at, by lot, between two pods, and
# between a pod and what is none: at the start of a case, and after its changes.
MANY = 65536, 1
FEW = 1, 1

# How many containers without identity to look at.
CONTAINERS = 10


class Rules:
    """The rules that have a say in what pods do, by pod and direction."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.known = {}

    def of(self, direction, end):
        """The rules of the policies that isolate the End, None if it is not
        isolated."""
        if not end.pod:
            return None
        key = direction, end.pod["ns"], end.pod["name"]
        if key not in self.known:
            policies = Judge().isolating(self.cluster, direction, end)
            self.known[key] = [
                rule for policy in policies
                for rule in policy["spec"].get(direction.lower()) or []
            ] if policies else None
        return self.known[key]

    def ports_between(self, source, target, rng, limits):
        """Yields (protocol, port) for those that matter from End to End.  One
        is enough where no policy has a say."""
        both = [self.of("Egress", source), self.of("Ingress", target)]
        if both == [None, None]:
            yield rng.choice(PROTOCOLS), UNSERVED
            return
        items = [item for rules in both for rule in rules or []
                 for item in rule.get("ports") or []]
        limit = limits[0 if source.pod and target.pod else 1]
        for protocol in PROTOCOLS:
            found = ports(items, target, protocol, rng)
            for port in rng.sample(found, min(limit, len(found))):
                yield protocol, port


def ports(items, target, protocol, rng):
    """Both sides of each edge of the ports that the items allow for the
    protocol, what names in them stand for with any protocol, one number that
    is another protocol's, and one that nobody speaks of."""
    served = target.pod["ports"] if target.pod else []
    found, others = {UNSERVED}, []
    for item in items:
        port = item.get("port")
        if isinstance(port, str):
            found |= {one["port"] for one in served
                      if one.get("name") == port}
        elif port and (item.get("protocol") or "TCP") == protocol:
            last = item.get("endPort", port)
            found |= {port - 1, port, last, last + 1}
        elif port:
            others.append(port)
    found |= set(rng.sample(others, min(1, len(others))))
    return sorted(port for port in found if 0 < port < 65536)


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
    for rule in rules or []:
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


def connections(cluster, inside, rng, limits):
    """Yields each probe that may tell something, without its result: between
    all ends at each port that matters to the rules between them, and between
    pods and the edges of their rules' blocks.  A pod that speaks to itself
    sends nothing into the network; between what is no pod there is nothing to
    judge.  "inside" says of an address that is nobody's whether it is a
    container's without identity, True, a host's outside, False, or cannot be
    either, None."""
    rules = Rules(cluster)
    pods = sorted(cluster.pods)
    found = set()
    for family in 4, 6:
        strange = [where for where in OUTSIDE[family] + STRANGERS[family]
                   if not cluster.end_of_address(where).pod]
        nodes = ["node:%s" % name for name in sorted(cluster.nodes)]
        ends = {name: cluster.end(name, family)
                for name in pods + nodes + strange}
        for source in ends:
            for target in ends:
                if ends[source] == ends[target] or not (
                        ends[source].pod or ends[target].pod):
                    continue
                for protocol, port in rules.ports_between(
                        ends[source], ends[target], rng, limits):
                    found.add((source, target, port, protocol, family))
    found |= set(to_edges(cluster, rules, inside, rng))
    for source, target, port, protocol, family in sorted(found):
        yield {"from": source, "to": target, "port": port,
               "protocol": protocol, "family": family}
