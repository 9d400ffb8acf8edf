# SPDX-License-Identifier: GPL-3.0-or-later
"""Other addresses for a case, with which every policy says the same.

A node's gateway has the first address of each of its pod networks, and pod
networks do not overlap.  So there are none for every plan of addresses: not
where a pod has the only address that the gateway could have, not where pods of
two nodes are neighbors, not where a pod's address wanders from node to node.
But all that policies know of addresses is which block has which.  Prefixes are
a tree.  renumbered() takes out what branches nowhere, puts a network of its own
in place of each leaf, and so finds for all addresses and blocks others that
contain each other just the same."""

import copy
import ipaddress
import itertools

from judge import (SYMBOLIC, CaseError, Cluster, Judge, address, network,
                   probe_family)

# Where the new addresses are, and how long the prefix of each leaf's network
# is: the pod has the third address, the gateway the second.  A wide space, for
# blocks may be in each other 27 deep.
SPACE = {4: "64.0.0.0/3", 6: "fd00::/16"}
LEAF = {4: 30, 6: 126}

# Where addresses that a case leaves out are taken from: what is outside the
# blocks of its policies goes first.
POOLS = {4: ["10.244.%d.0/24", "172.29.%d.0/24", "192.168.%d.0/24",
             "198.18.%d.0/24"],
         6: ["fd00:10:244:%x::/64", "fd7a:6c61:7465:%x::/64",
             "2001:db8:10:%x::/64"]}


def member(family):
    """Where nodes and pods have their address of the family."""
    return "ip6" if family == 6 else "ip"


def is_bare(end):
    return "/" not in end and not end.startswith("node:")


# What a case consists of.

def steps(data):
    """The start as one, and the steps."""
    return [{"actions": [], "probes": data["probes"]}, *data["steps"]]


def all_pods(data):
    """All objects that are pods."""
    return data["pods"] + [action["pod"] for step in data["steps"]
                           for action in step["actions"]
                           if action["op"] == "createPod"]


def all_policies(data):
    return data["policies"] + [action["policy"] for step in data["steps"]
                               for action in step["actions"]
                               if "policy" in action]


def blocks(policy):
    """Yields (list or object, key in it) for each CIDR."""
    for direction, peers in ("ingress", "from"), ("egress", "to"):
        for rule in policy["spec"].get(direction) or []:
            for peer in rule.get(peers) or []:
                block = peer.get("ipBlock")
                if block:
                    yield block, "cidr"
                    excepted = block.get("except") or []
                    yield from ((excepted, i) for i in range(len(excepted)))


# What is left out.

def tidy(data):
    """Gives what may be left out, or may be null or empty, its usual form."""
    for name in "policies", "probes", "steps":
        data[name] = data.get(name) or []
    for step in data["steps"]:
        for name in "actions", "probes":
            step[name] = step.get(name) or []
        for action in step["actions"]:
            if action["op"] in ("createNamespace", "setNamespaceLabels",
                                "setPodLabels"):
                action["labels"] = action.get("labels") or {}
    namespaces = data["namespaces"]
    for name in namespaces:
        namespaces[name] = namespaces[name] or {}
    for end in [*data["nodes"].values(), *all_pods(data)]:
        end["labels"] = end.get("labels") or {}
        for name in "ip", "ip6":
            if not end.get(name):
                end.pop(name, None)
    for pod in all_pods(data):
        pod["ports"] = pod.get("ports") or []


def complete(data):
    """Gives an address to each pod and node that has none of a family of which
    a probe or a policy wants one.  The policies' blocks leave it out where they
    can."""
    wanted = set()
    for step in steps(data):
        for probe in step["probes"]:
            wanted |= {(end, probe_family(probe))
                       for end in (probe["from"], probe["to"])}
    for policy in all_policies(data):
        for place, key in blocks(policy):
            for what, name in SYMBOLIC.findall(place[key]):
                wanted.add((name, 6 if what == "ip6" else 4))
    maker = Missing(data)
    pods = [("%s/%s" % (pod["ns"], pod["name"]), pod)
            for pod in all_pods(data)]
    for family in 4, 6:
        for name, pod in pods:
            if (name, family) not in wanted:
                continue
            if pod.get("hostNetwork"):
                wanted.add(("node:" + pod["node"], family))
            elif member(family) not in pod:
                pod[member(family)] = maker.make(pod["node"], family)
        for name, node in data["nodes"].items():
            if ("node:" + name, family) in wanted \
                    and member(family) not in node:
                node[member(family)] = maker.make(None, family)


class Missing:
    """Makes addresses up: those of one node's pods are neighbors."""

    def __init__(self, data):
        known = {}
        for pod in all_pods(data):
            known.setdefault("%s/%s" % (pod["ns"], pod["name"]), pod)
        self.blocks = []
        for policy in all_policies(data):
            for place, key in blocks(policy):
                try:
                    self.blocks.append(network(SYMBOLIC.sub(
                        lambda match: known[match[2]][match[1]], place[key])))
                except (KeyError, ValueError):
                    pass        # Of something that has yet to be made up.
        self.taken = [address(end[name]) for end in
                      [*data["nodes"].values(), *all_pods(data)]
                      for name in ("ip", "ip6") if name in end]
        self.taken += [address(end) for step in steps(data)
                       for probe in step["probes"]
                       for end in (probe["from"], probe["to"])
                       if is_bare(end)]
        self.nets = {}

    def make(self, who, family):
        if (who, family) not in self.nets:
            self.nets[who, family] = iter(self.find(family)[2:])
        return str(next(self.nets[who, family]))

    def find(self, family):
        candidates = [network(pool % i) for pool in POOLS[family]
                      for i in range(256)]
        candidates = [net for net in candidates
                      if not any(ip in net for ip in self.taken)]
        # A block of all addresses has all of them.
        best = min(candidates, key=lambda net: sum(
            block.prefixlen > 0 and block.version == family
            and block.overlaps(net) for block in self.blocks))
        addresses = list(itertools.islice(best, 200))
        self.taken += addresses
        return addresses


# Other addresses.

def literal(data):
    """A copy of the case without symbolic addresses."""
    data = copy.deepcopy(data)
    cluster = Cluster({**data, "policies": []})
    for i, policy in enumerate(data["policies"]):
        data["policies"][i] = cluster.resolve(policy)
        cluster.create_policy(policy)
    for step in data["steps"]:
        for action in step["actions"]:
            if "policy" in action:
                action["policy"] = cluster.resolve(action["policy"])
            cluster.apply(action)
    return data


class Tree:
    """The other addresses of a family."""

    def __init__(self, family, owners, nets):
        self.family = family
        self.owners = owners            # By address: whose it is, a list.
        self.addresses = {}             # By (address, owner).
        self.nets = {}
        self.place(set(owners), set(nets), network(SPACE[family]))

    def place(self, addresses, nets, where):
        """Finds addresses and networks in "where" for those."""
        if not addresses and not nets:
            return
        first = min([int(ip) for ip in addresses]
                    + [int(net[0]) for net in nets])
        last = max([int(ip) for ip in addresses]
                   + [int(net[-1]) for net in nets])
        bits = 32 if self.family == 4 else 128
        length = bits - (first ^ last).bit_length()
        top = network("%s/%d" % (type(where[0])(first), length))
        if top in nets:
            # What contains all goes on to do so.
            self.nets[top] = where if length else top
        if length == bits:
            self.place_leaf(top, where)
            return
        if where.prefixlen >= LEAF[self.family]:
            raise CaseError("policies have more IPv%d blocks in each other "
                            "than fit into %s" % (self.family,
                                                  SPACE[self.family]))
        for half, part in zip(top.subnets(), where.subnets()):
            self.place({ip for ip in addresses if ip in half},
                       {net for net in nets
                        if net != top and net.subnet_of(half)}, part)

    def place_leaf(self, top, where):
        owners = self.owners.get(top[0], [])
        length = LEAF[self.family]
        room = 2 ** max(length - where.prefixlen, 0)
        if len(owners) > room:
            raise CaseError("%s is of more nodes than there is room for"
                            % top[0])
        for i, owner in enumerate(owners):
            base = int(where[0]) + (i << (top.max_prefixlen - length))
            self.addresses[top[0], owner] = type(top[0])(base + 2)
        if len(owners) == 1 and top in self.nets:
            self.nets[top] = network(str(self.addresses[top[0], owners[0]]))

    def address(self, ip, owner):
        """The new address, as text.  Nobody's is that of whoever has it at
        another time."""
        if (ip, owner) not in self.addresses:
            owner = self.owners[ip][0]
        return str(self.addresses[ip, owner])


def owner_of(end):
    """What tells apart two owners of an address: pods of one node are one."""
    return end.pod["node"] if end.pod else None


def renumbered(data, family):
    """The case with other addresses of that family, of which all policies say
    what they say of its own."""
    new = literal(data)
    owners, nets = {}, set()

    def note(ip, owner):
        if ip.version == family and owner not in owners.setdefault(ip, []):
            owners[ip].append(owner)

    for pod in all_pods(new):
        if member(family) in pod and not pod.get("hostNetwork"):
            note(address(pod[member(family)]), pod["node"])
    for node in new["nodes"].values():
        if member(family) in node:
            note(address(node[member(family)]), None)
    ends = list(bare_ends(new, family))
    for _, _, end in ends:
        if end.address not in owners:
            note(end.address, owner_of(end))
    for policy in all_policies(new):
        nets |= {network(place[key]) for place, key in blocks(policy)
                 if network(place[key]).version == family}
    tree = Tree(family, owners, nets)

    for probe, name, end in ends:
        probe["family"] = family
        probe[name] = tree.address(end.address, owner_of(end))
    for policy in all_policies(new):
        for place, key in blocks(policy):
            if network(place[key]) in tree.nets:
                place[key] = str(tree.nets[network(place[key])])
    for pod in all_pods(new):
        if pod.get("hostNetwork"):
            pod.pop(member(family), None)
        elif member(family) in pod:
            pod[member(family)] = tree.address(address(pod[member(family)]),
                                               pod["node"])
    for node in new["nodes"].values():
        if member(family) in node:
            node[member(family)] = tree.address(address(node[member(family)]),
                                                None)
    check_verdicts(data, new)
    return new


def bare_ends(data, family):
    """[(probe, "from" or "to", End)...] of those that probes name by their
    addresses."""
    cluster = Cluster(data)
    found = []
    for step in steps(data):
        for action in step["actions"]:
            cluster.apply(action)
        found += [(probe, name, cluster.end(probe[name], family))
                  for probe in step["probes"] if probe_family(probe) == family
                  for name in ("from", "to") if is_bare(probe[name])]
    return found


def verdicts(data):
    cluster = Cluster(data)
    for step in steps(data):
        for action in step["actions"]:
            cluster.apply(action)
        for probe in step["probes"]:
            yield Judge().allows(cluster, probe)


def check_verdicts(old, new):
    if list(verdicts(old)) != list(verdicts(new)):
        raise CaseError("other addresses change what the policies say")
