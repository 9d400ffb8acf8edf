#! /usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what Kubernetes NetworkPolicy allows: usage: judge.py FILE...

Each FILE is a case: a cluster, changes to it, and probes with the result that
is expected of a new connection.  Prints each probe for which this judge comes
to another result, and as its last line the numbers of cases, probes and
mismatches.  Exit status 0 only if there was a probe and no mismatch.

Written from the API's documentation alone, one small method for each rule of
it, and slow on purpose: there is nothing in it that could go stale.  Where
the documentation leaves a choice:

* A pod reaches itself, whatever the policies say.
* The own node of a pod reaches it, and is reached by it, likewise.
* A pod in the host's network is that node: no policy applies to it, no
  selector selects it, and ipBlock knows it by the node's address.
* ipBlock is compared with any address, those of pods too.
* An address inside the cluster that no pod has is just an address.
* A named port is whatever the destination pod calls so, with that protocol;
  nothing but a pod has names for ports.
* A peer that says nothing matches nothing.

A case is a JSON object:

    name, title     what it is called, and what it is about
    nodes           {name: {labels, ip, ip6}}
    namespaces      {name: labels}
    pods            [{ns, name, labels, node, ip, ip6, hostNetwork?,
                      ports: [{port, protocol, name?}]}]
    policies        the objects, as the API has them
    probes          [{from, to, port, protocol, family?, expect, loopback?,
                      literal?, unserved?}]
    steps           [{desc?, actions, probes}]

From and to are "ns/pod", "node:NAME" or an address; family is 4 or 6; expect
is "allow" or "deny".  A probe with "loopback" is one of a pod to itself, and
"literal" what the policies alone would say of it; the target of one with
"unserved" does not listen there.  The probes beside the policies are made at
the start, those of a step after all of its actions.  An action has an "op" and
what that needs: see Cluster.apply().  "{ip:ns/pod}" and "{ip6:ns/pod}" in a
policy stand for the pod's address.
"""

import copy
import functools
import ipaddress
import json
import re
import sys
from collections import namedtuple

NAME_LABEL = "kubernetes.io/metadata.name"
SYMBOLIC = re.compile(r"\{(ip6?):([^}]+)\}")

# One end of a connection: its address; the pod, if it is one to which
# policies apply; the node's name, if it is a node or in its network.
End = namedtuple("End", "address pod node")


class CaseError(Exception):
    """The case does not make sense: it names something that is not there, or
    creates something that is."""


address = functools.lru_cache(maxsize=None)(ipaddress.ip_address)


@functools.lru_cache(maxsize=None)
def network(cidr):
    """A CIDR, which may have host bits set, as a network."""
    return ipaddress.ip_network(cidr, strict=False)


class Cluster:
    """What there is: nodes, namespaces, pods (by "ns/name") and policies (by
    namespace and name), as the case format has them.  "state" is a case, of
    which only these four are read."""

    def __init__(self, state):
        self.nodes = copy.deepcopy(state["nodes"])
        self.namespaces = {}
        self.pods = {}
        self.policies = {}
        for name, labels in state["namespaces"].items():
            self.create_namespace(name, labels)
        for pod in state["pods"]:
            self.create_pod(pod)
        self.check_addresses()
        for policy in state["policies"]:
            self.create_policy(policy)

    def state(self):
        """The four members of a case that describe this cluster."""
        return copy.deepcopy({
            "nodes": self.nodes,
            "namespaces": self.namespaces,
            "pods": list(self.pods.values()),
            "policies": list(self.policies.values())})

    # Changes.

    def apply(self, action):
        """Makes the change that one action of a case's step asks for."""
        op = action["op"]
        if op == "createPolicy":
            self.create_policy(action["policy"])
        elif op == "updatePolicy":
            self.update_policy(action["policy"])
        elif op == "deletePolicy":
            self.delete_policy(action["kind"], action.get("namespace"),
                               action["name"])
        elif op == "createNamespace":
            self.create_namespace(action["namespace"], action["labels"])
        elif op == "setNamespaceLabels":
            self.set_namespace_labels(action["namespace"], action["labels"])
        elif op == "deleteNamespace":
            self.delete_namespace(action["namespace"])
        elif op == "createPod":
            self.create_pod(action["pod"])
        elif op == "setPodLabels":
            self.set_pod_labels(action["pod"], action["labels"])
        elif op == "deletePod":
            self.delete_pod(action["pod"])
        else:
            raise CaseError("%s: unknown op" % op)

    def create_namespace(self, name, labels):
        if name in self.namespaces:
            raise CaseError("namespace %s exists" % name)
        self.namespaces[name] = self.labels_of_namespace(name, labels)

    def set_namespace_labels(self, name, labels):
        self.check_namespace(name)
        self.namespaces[name] = self.labels_of_namespace(name, labels)

    def delete_namespace(self, name):
        self.check_namespace(name)
        del self.namespaces[name]
        self.pods = {key: pod for key, pod in self.pods.items()
                     if pod["ns"] != name}
        self.policies = {key: policy for key, policy in self.policies.items()
                         if key[0] != name}

    def create_pod(self, pod):
        key = "%s/%s" % (pod["ns"], pod["name"])
        self.check_namespace(pod["ns"])
        if key in self.pods:
            raise CaseError("pod %s exists" % key)
        if pod["node"] not in self.nodes:
            raise CaseError("pod %s: no node %s" % (key, pod["node"]))
        self.pods[key] = copy.deepcopy(pod)

    def set_pod_labels(self, key, labels):
        self.check_pod(key)
        self.pods[key]["labels"] = dict(labels)

    def delete_pod(self, key):
        self.check_pod(key)
        del self.pods[key]

    def create_policy(self, policy):
        key = self.policy_key(policy)
        self.check_namespace(key[0])
        if key in self.policies:
            raise CaseError("policy %s/%s exists" % key)
        self.policies[key] = self.resolve(policy)

    def update_policy(self, policy):
        key = self.policy_key(policy)
        self.check_policy(key)
        self.policies[key] = self.resolve(policy)

    def delete_policy(self, kind, namespace, name):
        self.check_kind(kind)
        self.check_policy((namespace, name))
        del self.policies[namespace, name]

    # What changes need.

    @staticmethod
    def labels_of_namespace(name, labels):
        """The labels, with the one that the API server sees to."""
        return {**labels, NAME_LABEL: name}

    @staticmethod
    def check_kind(kind):
        if kind != "NetworkPolicy":
            raise CaseError("%s: not a kind that is judged here" % kind)

    def policy_key(self, policy):
        self.check_kind(policy["kind"])
        return policy["metadata"]["namespace"], policy["metadata"]["name"]

    def check_namespace(self, name):
        if name not in self.namespaces:
            raise CaseError("no namespace %s" % name)

    def check_pod(self, key):
        if key not in self.pods:
            raise CaseError("no pod %s" % key)

    def check_policy(self, key):
        if key not in self.policies:
            raise CaseError("no policy %s/%s" % key)

    def check_addresses(self):
        """Nobody has another one's address.  Within a step somebody may: all
        of its actions are one change."""
        owners = {}
        ends = [("node %s" % name, node) for name, node in self.nodes.items()]
        ends += [("pod %s" % key, pod) for key, pod in self.pods.items()
                 if not pod.get("hostNetwork")]
        for name, end in ends:
            for member in "ip", "ip6":
                where = end.get(member) and address(end[member])
                if where and owners.setdefault(where, name) != name:
                    raise CaseError("%s: %s is %s's" % (name, where,
                                                        owners[where]))

    def resolve(self, policy):
        """A copy of the policy in which symbolic addresses have become those
        that the pods have now."""
        def value(match):
            self.check_pod(match[2])
            pod = self.pods[match[2]]
            found = pod.get(match[1])
            if not found and pod.get("hostNetwork"):
                found = self.nodes.get(pod["node"], {}).get(match[1])
            if not found:
                raise CaseError("pod %s has no %s" % (match[2], match[1]))
            return found

        def resolved(part):
            if isinstance(part, dict):
                return {key: resolved(member) for key, member in part.items()}
            if isinstance(part, list):
                return [resolved(member) for member in part]
            if isinstance(part, str):
                return SYMBOLIC.sub(value, part)
            return part

        return resolved(policy)

    # Who is who.

    def end(self, text, family):
        """The End that a probe calls "text": ns/pod, node:NAME or an
        address."""
        member = "ip6" if family == 6 else "ip"
        if text.startswith("node:"):
            return self.end_of_node(text[len("node:"):], member)
        if "/" in text:
            self.check_pod(text)
            pod = self.pods[text]
            if pod.get("hostNetwork"):
                return self.end_of_node(pod["node"], member)
            if not pod.get(member):
                raise CaseError("pod %s has no %s" % (text, member))
            return End(address(pod[member]), pod, None)
        end = self.end_of_address(text)
        if end.address.version != family:
            raise CaseError("%s is not of family %d" % (text, family))
        return end

    def end_of_node(self, name, member):
        if not self.nodes.get(name, {}).get(member):
            raise CaseError("no node %s with an %s" % (name, member))
        return End(address(self.nodes[name][member]), None, name)

    def end_of_address(self, text):
        """Whoever has the address."""
        wanted = address(text)
        for pod in self.pods.values():
            if not pod.get("hostNetwork") and wanted in (
                    address(pod[member]) for member in ("ip", "ip6")
                    if pod.get(member)):
                return End(wanted, pod, None)
        for name, node in self.nodes.items():
            if wanted in (address(node[member]) for member in ("ip", "ip6")
                          if node.get(member)):
                return End(wanted, None, name)
        return End(wanted, None, None)


class Judge:
    """The rules.  Each method is one of them, so that a test can break one
    and see whether anybody notices."""

    def allows(self, cluster, probe, literal=False):
        """Whether a new connection, "probe", gets through.  "literal" asks
        what the policies alone say where a pod speaks to itself."""
        family = probe_family(probe)
        source = cluster.end(probe["from"], family)
        target = cluster.end(probe["to"], family)
        port, protocol = probe["port"], probe["protocol"]
        if self.exempt(source, target, literal):
            return True
        return (self.direction_allows(cluster, "Egress", source, target,
                                      target, port, protocol)
                and self.direction_allows(cluster, "Ingress", target, source,
                                          target, port, protocol))

    def exempt(self, source, target, literal):
        """Whether no policy has a say."""
        if source == target and not literal:
            return True
        return self.own_node(source, target) or self.own_node(target, source)

    def own_node(self, node, end):
        return (node.node is not None and end.pod is not None
                and end.pod["node"] == node.node)

    def direction_allows(self, cluster, direction, subject, peer, target,
                         port, protocol):
        """Whether the policies for the one end, "subject", let it speak with
        "peer" in this direction.  "target" is the one of them that is spoken
        to."""
        policies = self.isolating(cluster, direction, subject)
        return not policies or any(
            self.policy_allows(cluster, direction, policy, peer, target, port,
                               protocol)
            for policy in policies)

    def isolating(self, cluster, direction, subject):
        """The policies that apply to the pod in this direction."""
        if subject.pod is None:
            return []
        return [policy for policy in cluster.policies.values()
                if policy["metadata"]["namespace"] == subject.pod["ns"]
                and direction in self.policy_types(policy["spec"])
                and self.selects_subject(policy, subject.pod)]

    def policy_types(self, spec):
        types = spec.get("policyTypes")
        if types:
            return types
        return ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]

    def selects_subject(self, policy, pod):
        selector = policy["spec"].get("podSelector") or {}
        return self.selector_matches(selector, pod["labels"])

    def policy_allows(self, cluster, direction, policy, peer, target, port,
                      protocol):
        rules = policy["spec"].get(direction.lower()) or []
        return any(self.rule_allows(cluster, direction, policy, rule, peer,
                                    target, port, protocol)
                   for rule in rules)

    def rule_allows(self, cluster, direction, policy, rule, peer, target,
                    port, protocol):
        peers = rule.get("from" if direction == "Ingress" else "to")
        return (self.peers_match(cluster, policy, peers, peer)
                and self.ports_match(rule.get("ports"), target, port,
                                     protocol))

    # Peers.

    def peers_match(self, cluster, policy, peers, end):
        """Missing and empty peers are everybody."""
        return not peers or any(self.peer_matches(cluster, policy, peer, end)
                                for peer in peers)

    def peer_matches(self, cluster, policy, peer, end):
        if peer.get("ipBlock") is not None:
            return self.block_matches(peer["ipBlock"], end.address)
        pods = peer.get("podSelector")
        namespaces = peer.get("namespaceSelector")
        if end.pod is None or (pods is None and namespaces is None):
            return False
        return (self.namespace_matches(cluster, policy, namespaces, end.pod)
                and self.peer_pod_matches(pods, end.pod))

    def namespace_matches(self, cluster, policy, selector, pod):
        """Without a selector it is the policy's own namespace."""
        if selector is None:
            return pod["ns"] == policy["metadata"]["namespace"]
        return self.selector_matches(selector, cluster.namespaces[pod["ns"]])

    def peer_pod_matches(self, selector, pod):
        return (selector is None
                or self.selector_matches(selector, pod["labels"]))

    def block_matches(self, block, where):
        return (self.cidr_matches(block["cidr"], where)
                and not any(self.cidr_matches(cidr, where)
                            for cidr in block.get("except") or []))

    def cidr_matches(self, cidr, where):
        return where in network(cidr)

    # Labels.

    def selector_matches(self, selector, labels):
        return (self.labels_match(selector.get("matchLabels") or {}, labels)
                and self.expressions_match(
                    selector.get("matchExpressions") or [], labels))

    def labels_match(self, wanted, labels):
        return all(labels.get(key) == value for key, value in wanted.items())

    def expressions_match(self, expressions, labels):
        return all(self.expression_matches(expression, labels)
                   for expression in expressions)

    def expression_matches(self, expression, labels):
        key, operator = expression["key"], expression["operator"]
        values = expression.get("values") or []
        if operator == "In":
            return key in labels and labels[key] in values
        if operator == "NotIn":
            return key not in labels or labels[key] not in values
        if operator == "Exists":
            return key in labels
        if operator == "DoesNotExist":
            return key not in labels
        raise CaseError("%s: unknown operator" % operator)

    # Ports.

    def ports_match(self, items, target, port, protocol):
        """Missing and empty ports are all of them, of any protocol."""
        return not items or any(
            self.port_matches(item, target, port, protocol) for item in items)

    def port_matches(self, item, target, port, protocol):
        wanted = item.get("port")
        if self.port_protocol(item) != protocol:
            return False
        if wanted is None:
            return True
        if isinstance(wanted, str):
            return self.name_matches(wanted, target, port, protocol)
        return self.number_matches(wanted, item.get("endPort"), port)

    def port_protocol(self, item):
        return item.get("protocol") or "TCP"

    def number_matches(self, first, last, port):
        return first <= port <= (first if last is None else last)

    def name_matches(self, name, target, port, protocol):
        return target.pod is not None and any(
            served.get("name") == name and served["port"] == port
            and served["protocol"] == protocol
            for served in target.pod["ports"])


def probe_family(probe):
    """The family of a probe's addresses: what it says, else that of an
    address in it, else IPv4."""
    if probe.get("family"):
        return probe["family"]
    for end in probe["from"], probe["to"]:
        if "/" not in end and not end.startswith("node:"):
            return address(end).version
    return 4


def verdict(allowed):
    """The word of the case format."""
    return "allow" if allowed else "deny"


def stages(case, cluster_class=Cluster):
    """Yields (name, cluster, probes) for the start and after each step."""
    cluster = cluster_class(case)
    yield "start", cluster, case["probes"]
    for number, step in enumerate(case.get("steps", []), 1):
        for action in step["actions"]:
            cluster.apply(action)
        cluster.check_addresses()
        yield "step %d" % number, cluster, step["probes"]


def describe(probe):
    return "%s -> %s %s/%d IPv%d" % (
        probe["from"], probe["to"], probe["protocol"], probe["port"],
        probe_family(probe))


def mismatches(case):
    """Yields, for each probe, None or a line that says what is wrong with
    what it expects."""
    judge = Judge()
    for stage, cluster, probes in stages(case):
        for probe in probes:
            wrong = []
            for member, literal in ("expect", False), ("literal", True):
                judged = verdict(judge.allows(cluster, probe, literal))
                if probe.get(member, judged) != judged:
                    wrong.append("%s is %s, judged %s"
                                 % (member, probe[member], judged))
            yield ("%s: %s: %s" % (stage, describe(probe), "; ".join(wrong))
                   if wrong else None)


def main(files):
    if not files:
        sys.exit("usage: judge.py FILE...")
    n_probes = n_mismatches = 0
    broken = False
    for name in files:
        try:
            with open(name, encoding="utf-8") as stream:
                for line in mismatches(json.load(stream)):
                    n_probes += 1
                    if line:
                        n_mismatches += 1
                        print("%s: %s" % (name, line))
        except (CaseError, OSError, ValueError, KeyError, TypeError) as error:
            broken = True
            print("%s: %s: %s" % (name, type(error).__name__, error),
                  file=sys.stderr)
    print("%d cases, %d probes, %d mismatches"
          % (len(files), n_probes, n_mismatches))
    return 0 if n_probes and not n_mismatches and not broken else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
