# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges and clusters that are wrong, each in one way that an implementation
of NetworkPolicy may be wrong.  The generator must find every one of them: see
test_generate.py.

MUTANTS lists them all by name, in pairs (judge class, cluster class)."""

import copy
import ipaddress

from judge import Cluster, Judge, address, network

MUTANTS = {}


def mutant(cls):
    """Puts the class into MUTANTS, under its own name."""
    if issubclass(cls, Judge):
        MUTANTS[cls.__name__] = cls, Cluster
    else:
        MUTANTS[cls.__name__] = Judge, cls
    return cls


# Whom a policy is for, and in which direction.

@mutant
class NothingIsIsolated(Judge):
    def isolating(self, cluster, direction, subject):
        return []


@mutant
class DirectionsSwapped(Judge):
    """Ingress policies hold the source and egress policies the target."""
    def allows(self, cluster, probe, literal=False):
        return super().allows(cluster, {**probe, "from": probe["to"],
                                        "to": probe["from"]}, literal)


@mutant
class IngressOnly(Judge):
    def policy_types(self, spec):
        return [name for name in super().policy_types(spec)
                if name == "Ingress"]


@mutant
class EgressOnly(Judge):
    def policy_types(self, spec):
        return [name for name in super().policy_types(spec)
                if name == "Egress"]


@mutant
class FirstPolicyTypeOnly(Judge):
    def policy_types(self, spec):
        return super().policy_types(spec)[:1]


@mutant
class TypesDefaultToIngress(Judge):
    """Egress rules do not count unless policyTypes says so."""
    def policy_types(self, spec):
        return spec.get("policyTypes") or ["Ingress"]


@mutant
class TypesDefaultToBoth(Judge):
    def policy_types(self, spec):
        return spec.get("policyTypes") or ["Ingress", "Egress"]


@mutant
class TypesFromMembers(Judge):
    """Without policyTypes, an egress: [] counts as egress rules."""
    def policy_types(self, spec):
        return spec.get("policyTypes") or ["Ingress"] + (
            ["Egress"] if "egress" in spec else [])


@mutant
class TypesIgnored(Judge):
    """A direction counts if there are rules for it."""
    def policy_types(self, spec):
        return [name for name in ("Ingress", "Egress")
                if name.lower() in spec]


@mutant
class EmptySelectorSelectsNobody(Judge):
    def selects_subject(self, policy, pod):
        selector = policy["spec"].get("podSelector") or {}
        return any(selector.values()) and super().selects_subject(policy, pod)


@mutant
class SubjectExpressionsIgnored(Judge):
    def selects_subject(self, policy, pod):
        selector = policy["spec"].get("podSelector") or {}
        labels = selector.get("matchLabels") or {}
        return self.labels_match(labels, pod["labels"])


@mutant
class PoliciesForAllNamespaces(Judge):
    def isolating(self, cluster, direction, subject):
        return [] if subject.pod is None else [
            policy for policy in cluster.policies.values()
            if direction in self.policy_types(policy["spec"])
            and self.selects_subject(policy, subject.pod)]


@mutant
class OwnNodeBlocked(Judge):
    def own_node(self, node, end):
        return False


@mutant
class EveryNodeExempt(Judge):
    def own_node(self, node, end):
        return node.node is not None


@mutant
class OnlyOneEndAsked(Judge):
    """It is enough that one end allows the connection."""
    def allows(self, cluster, probe, literal=False):
        family = probe.get("family", 4)
        source = cluster.end(probe["from"], family)
        target = cluster.end(probe["to"], family)
        port, protocol = probe["port"], probe["protocol"]
        return (self.exempt(source, target, literal)
                or self.direction_allows(cluster, "Egress", source, target,
                                         target, port, protocol)
                or self.direction_allows(cluster, "Ingress", target, source,
                                         target, port, protocol))


@mutant
class LoopbackBlocked(Judge):
    def allows(self, cluster, probe, literal=False):
        return super().allows(cluster, probe, literal=True)


# How policies, rules and their parts go together.

@mutant
class FirstPolicyWins(Judge):
    def isolating(self, cluster, direction, subject):
        return super().isolating(cluster, direction, subject)[:1]


@mutant
class AllPoliciesMustAllow(Judge):
    def direction_allows(self, cluster, direction, subject, peer, target,
                         port, protocol):
        return all(self.policy_allows(cluster, direction, policy, peer, target,
                                      port, protocol)
                   for policy in self.isolating(cluster, direction, subject))


class RulesChanged(Judge):
    """A base: judges by what its rules() makes of a policy's rules."""
    def policy_allows(self, cluster, direction, policy, peer, target, port,
                      protocol):
        policy = copy.deepcopy(policy)
        name = direction.lower()
        policy["spec"][name] = self.rules(policy["spec"].get(name) or [])
        return super().policy_allows(cluster, direction, policy, peer, target,
                                     port, protocol)


@mutant
class FirstRuleOnly(RulesChanged):
    def rules(self, rules):
        return rules[:1]


@mutant
class EmptyRuleAllowsNobody(RulesChanged):
    def rules(self, rules):
        return [rule for rule in rules if rule]


@mutant
class NoRulesAllowAll(RulesChanged):
    def rules(self, rules):
        return rules or [{}]


@mutant
class RulesMixed(Judge):
    """The peers of one rule go with the ports of another one, of the same
    policy."""
    def policy_allows(self, cluster, direction, policy, peer, target, port,
                      protocol):
        rules = policy["spec"].get(direction.lower()) or []
        member = "from" if direction == "Ingress" else "to"
        return (any(self.peers_match(cluster, policy, rule.get(member), peer)
                    for rule in rules)
                and any(self.ports_match(rule.get("ports"), target, port,
                                         protocol) for rule in rules))


@mutant
class PoliciesMixed(Judge):
    """The peers of one policy go with the ports of another one."""
    def direction_allows(self, cluster, direction, subject, peer, target,
                         port, protocol):
        policies = self.isolating(cluster, direction, subject)
        member = "from" if direction == "Ingress" else "to"
        rules = [(policy, rule) for policy in policies
                 for rule in policy["spec"].get(direction.lower()) or []]
        return not policies or (
            any(self.peers_match(cluster, policy, rule.get(member), peer)
                for policy, rule in rules)
            and any(self.ports_match(rule.get("ports"), target, port, protocol)
                    for policy, rule in rules))


@mutant
class PeersOrPorts(Judge):
    def rule_allows(self, cluster, direction, policy, rule, peer, target,
                    port, protocol):
        peers = rule.get("from" if direction == "Ingress" else "to")
        return (self.peers_match(cluster, policy, peers, peer)
                or self.ports_match(rule.get("ports"), target, port,
                                    protocol))


@mutant
class EmptyPeersAreNobody(Judge):
    def peers_match(self, cluster, policy, peers, end):
        return peers != [] and super().peers_match(cluster, policy, peers,
                                                   end)


@mutant
class MissingPeersAreNobody(Judge):
    def peers_match(self, cluster, policy, peers, end):
        return peers is not None and super().peers_match(cluster, policy,
                                                         peers, end)


@mutant
class MissingPeersArePods(Judge):
    def peers_match(self, cluster, policy, peers, end):
        return super().peers_match(cluster, policy,
                                   peers or [{"namespaceSelector": {}}], end)


@mutant
class FirstPeerOnly(Judge):
    def peers_match(self, cluster, policy, peers, end):
        return super().peers_match(cluster, policy, peers and peers[:1], end)


# Peers.

@mutant
class NamespaceSelectorIgnored(Judge):
    """A peer's pods are those of the policy's namespace, always."""
    def namespace_matches(self, cluster, policy, selector, pod):
        return super().namespace_matches(cluster, policy, None, pod)


@mutant
class PodSelectorIgnored(Judge):
    """A peer with both selectors is all of the namespace."""
    def peer_pod_matches(self, selector, pod):
        return True


@mutant
class PodSelectorForAllNamespaces(Judge):
    def namespace_matches(self, cluster, policy, selector, pod):
        return selector is None or super().namespace_matches(
            cluster, policy, selector, pod)


@mutant
class EitherSelector(Judge):
    def peer_matches(self, cluster, policy, peer, end):
        if len(peer) == 2:
            return any(super(EitherSelector, self).peer_matches(
                cluster, policy, {key: value}, end)
                for key, value in peer.items())
        return super().peer_matches(cluster, policy, peer, end)


@mutant
class EmptyNamespaceSelectorIsOwn(Judge):
    def namespace_matches(self, cluster, policy, selector, pod):
        return super().namespace_matches(cluster, policy, selector or None,
                                         pod)


@mutant
class NamespaceLabelsOfPods(Judge):
    """namespaceSelector looks at the pod's labels."""
    def namespace_matches(self, cluster, policy, selector, pod):
        return (super().namespace_matches(cluster, policy, None, pod)
                if selector is None
                else self.selector_matches(selector, pod["labels"]))


@mutant
class HostPodsSelected(Judge):
    """Pods in the host's network are isolated, and peers, as others."""
    def allows(self, cluster, probe, literal=False):
        cluster = copy.copy(cluster)
        cluster.pods = {key: {**pod, "hostNetwork": False}
                        for key, pod in cluster.pods.items()}
        return super().allows(cluster, probe, literal)


# Blocks.

@mutant
class ExceptIgnored(Judge):
    def block_matches(self, block, where):
        return self.cidr_matches(block["cidr"], where)


@mutant
class FirstExceptOnly(Judge):
    def block_matches(self, block, where):
        return super().block_matches(
            {**block, "except": block.get("except", [])[:1]}, where)


@mutant
class ExceptDeniesElsewhere(Judge):
    """What is excepted from one peer is denied to its neighbours too."""
    def peers_match(self, cluster, policy, peers, end):
        return (super().peers_match(cluster, policy, peers, end)
                and not any(self.cidr_matches(cidr, end.address)
                            for peer in peers or []
                            for cidr in peer.get("ipBlock", {}).get(
                                "except", [])))


@mutant
class ExceptOfOneAddressOnly(Judge):
    """An exception counts as its first address."""
    def block_matches(self, block, where):
        return (self.cidr_matches(block["cidr"], where)
                and not any(where == network(cidr).network_address
                            for cidr in block.get("except", [])))


@mutant
class BlocksAreOutside(Judge):
    """ipBlock does not know the addresses of pods."""
    def peer_matches(self, cluster, policy, peer, end):
        if "ipBlock" in peer and end.pod is not None:
            return False
        return super().peer_matches(cluster, policy, peer, end)


@mutant
class BlocksArePods(Judge):
    """ipBlock knows nothing but the addresses of pods."""
    def peer_matches(self, cluster, policy, peer, end):
        if "ipBlock" in peer and end.pod is None:
            return False
        return super().peer_matches(cluster, policy, peer, end)


@mutant
class HostBitsCount(Judge):
    """A CIDR with host bits set matches nothing."""
    def cidr_matches(self, cidr, where):
        return (ipaddress.ip_interface(cidr).ip
                == network(cidr).network_address
                and super().cidr_matches(cidr, where))


@mutant
class ZeroLengthIsBothFamilies(Judge):
    def cidr_matches(self, cidr, where):
        return (network(cidr).prefixlen == 0
                or super().cidr_matches(cidr, where))


@mutant
class ZeroLengthIsNothing(Judge):
    def cidr_matches(self, cidr, where):
        return (network(cidr).prefixlen != 0
                and super().cidr_matches(cidr, where))


@mutant
class IPv6BlocksIgnored(Judge):
    def cidr_matches(self, cidr, where):
        return where.version == 4 and super().cidr_matches(cidr, where)


@mutant
class MasksInBytes(Judge):
    """The length of a mask is rounded up to whole bytes."""
    def cidr_matches(self, cidr, where):
        plain, _, length = cidr.partition("/")
        return super().cidr_matches(
            "%s/%d" % (plain, (int(length) + 7) // 8 * 8), where)


# Labels.

@mutant
class NotInNeedsKey(Judge):
    def expression_matches(self, expression, labels):
        return (super().expression_matches(expression, labels)
                and (expression["operator"] != "NotIn"
                     or expression["key"] in labels))


@mutant
class FirstValueOnly(Judge):
    def expression_matches(self, expression, labels):
        return super().expression_matches(
            {**expression, "values": expression.get("values", [])[:1]},
            labels)


@mutant
class ExpressionsIgnored(Judge):
    def expressions_match(self, expressions, labels):
        return True


@mutant
class AnyExpression(Judge):
    def expressions_match(self, expressions, labels):
        return not expressions or any(
            self.expression_matches(expression, labels)
            for expression in expressions)


@mutant
class LabelsIgnored(Judge):
    def labels_match(self, wanted, labels):
        return True


@mutant
class AnyLabel(Judge):
    def labels_match(self, wanted, labels):
        return not wanted or any(labels.get(key) == value
                                 for key, value in wanted.items())


@mutant
class LabelsOrExpressions(Judge):
    def selector_matches(self, selector, labels):
        both = (selector.get("matchLabels")
                and selector.get("matchExpressions"))
        return super().selector_matches(selector, labels) or bool(
            both and (self.labels_match(selector["matchLabels"], labels)
                      or self.expressions_match(selector["matchExpressions"],
                                                labels)))


@mutant
class ExistsNeedsValue(Judge):
    """A label of an empty value is as good as none."""
    def expression_matches(self, expression, labels):
        return super().expression_matches(
            expression, {key: value for key, value in labels.items() if value})


@mutant
class MissingLabelIsEmpty(Judge):
    """A label that is not there has the empty value."""
    def labels_match(self, wanted, labels):
        return all(labels.get(key, "") == value
                   for key, value in wanted.items())


# Ports.

@mutant
class ProtocolIgnored(Judge):
    def port_matches(self, item, target, port, protocol):
        return super().port_matches({**item, "protocol": protocol}, target,
                                    port, protocol)


@mutant
class NoProtocolIsAny(Judge):
    def port_matches(self, item, target, port, protocol):
        return super().port_matches({"protocol": protocol, **item}, target,
                                    port, protocol)


@mutant
class SctpIsTcp(Judge):
    def allows(self, cluster, probe, literal=False):
        if probe["protocol"] == "SCTP":
            probe = {**probe, "protocol": "TCP"}
        return super().allows(cluster, probe, literal)


@mutant
class EmptyPortsAreNone(Judge):
    def ports_match(self, items, target, port, protocol):
        return items != [] and super().ports_match(items, target, port,
                                                   protocol)


@mutant
class MissingPortsAreTcp(Judge):
    def ports_match(self, items, target, port, protocol):
        return super().ports_match(items or [{}], target, port, protocol)


@mutant
class FirstPortOnly(Judge):
    def ports_match(self, items, target, port, protocol):
        return super().ports_match(items and items[:1], target, port,
                                   protocol)


@mutant
class ProtocolWithoutPortIgnored(Judge):
    def port_matches(self, item, target, port, protocol):
        return "port" in item and super().port_matches(item, target, port,
                                                       protocol)


@mutant
class EndPortIgnored(Judge):
    def number_matches(self, first, last, port):
        return port == first


@mutant
class EndPortExcluded(Judge):
    def number_matches(self, first, last, port):
        return first <= port < (first + 1 if last is None else last)


@mutant
class EndPortOneTooMany(Judge):
    def number_matches(self, first, last, port):
        return first <= port <= (first if last is None else last + 1)


@mutant
class RangeWithoutStart(Judge):
    def number_matches(self, first, last, port):
        return (first == port if last is None else first < port <= last)


@mutant
class RangesAsBlocks(Judge):
    """A range is the aligned block of ports around its start that reaches its
    end."""
    def number_matches(self, first, last, port):
        bits = (first ^ (first if last is None else last)).bit_length()
        return first >> bits == port >> bits


@mutant
class NamesIgnored(Judge):
    """A named port is every port."""
    def name_matches(self, name, target, port, protocol):
        return True


@mutant
class NamesUnknown(Judge):
    def name_matches(self, name, target, port, protocol):
        return False


@mutant
class FirstPortOfName(Judge):
    """A name is the first port that is called so, whatever its protocol."""
    def name_matches(self, name, target, port, protocol):
        served = target.pod["ports"] if target.pod else []
        named = [item for item in served if item.get("name") == name][:1]
        return bool(named) and named[0]["port"] == port \
            and named[0]["protocol"] == protocol


@mutant
class NamesOfAnyProtocol(Judge):
    def name_matches(self, name, target, port, protocol):
        return target.pod is not None and any(
            item.get("name") == name and item["port"] == port
            for item in target.pod["ports"])


class NameOfSomePod(Judge):
    """A base: a name means what its pods() call so."""
    def policy_allows(self, cluster, direction, policy, peer, target, port,
                      protocol):
        ports = [item for pod in self.pods(cluster, policy, target)
                 for item in pod["ports"]]
        target = target._replace(pod={**(target.pod or {}), "ports": ports})
        return super().policy_allows(cluster, direction, policy, peer, target,
                                     port, protocol)


@mutant
class NamesOfAllPods(NameOfSomePod):
    """A name is each number that any pod calls so."""
    def pods(self, cluster, policy, target):
        return cluster.pods.values()


@mutant
class NamesOfSelectedPods(NameOfSomePod):
    """A name is what the pods that the policy selects call so, even for
    outgoing connections."""
    def pods(self, cluster, policy, target):
        return [pod for pod in cluster.pods.values()
                if pod["ns"] == policy["metadata"]["namespace"]
                and self.selects_subject(policy, pod)]


# What is left of the state before.

@mutant
class PodLabelsAdded(Cluster):
    def set_pod_labels(self, key, labels):
        super().set_pod_labels(key, {**self.pods[key]["labels"], **labels})


@mutant
class PodLabelsKept(Cluster):
    def set_pod_labels(self, key, labels):
        self.check_pod(key)


@mutant
class NamespaceLabelsAdded(Cluster):
    def set_namespace_labels(self, name, labels):
        super().set_namespace_labels(name, {**self.namespaces[name],
                                            **labels})


@mutant
class NamespaceLabelsKept(Cluster):
    def set_namespace_labels(self, name, labels):
        self.check_namespace(name)


@mutant
class PolicyKept(Cluster):
    def update_policy(self, policy):
        self.check_policy(self.policy_key(policy))


@mutant
class PolicyRulesAdded(Cluster):
    """The rules of before are still there after an update."""
    def update_policy(self, policy):
        old = self.policies[self.policy_key(policy)]["spec"]
        super().update_policy(policy)
        spec = self.policies[self.policy_key(policy)]["spec"]
        for direction in "ingress", "egress":
            if old.get(direction):
                spec[direction] = (spec.get(direction) or []) + old[direction]


@mutant
class PolicyNotDeleted(Cluster):
    """A policy that is deleted stays, until one of its name comes."""
    def delete_policy(self, kind, namespace, name):
        self.check_policy((namespace, name))

    def create_policy(self, policy):
        self.policies.pop(self.policy_key(policy), None)
        super().create_policy(policy)


@mutant
class NamespaceLeavesPolicies(Cluster):
    """A deleted namespace leaves its policies for its successor."""
    def delete_namespace(self, name):
        policies = self.policies
        super().delete_namespace(name)
        self.policies = policies

    def create_policy(self, policy):
        self.policies.pop(self.policy_key(policy), None)
        super().create_policy(policy)


@mutant
class AddressKeepsLabels(Cluster):
    """A pod that takes another one's address has its labels too."""
    def __init__(self, state):
        self.labels = {}
        super().__init__(state)

    def create_pod(self, pod):
        super().create_pod(pod)
        key = "%s/%s" % (pod["ns"], pod["name"])
        labels = self.labels.setdefault(address(pod["ip"]), pod["labels"])
        self.pods[key]["labels"] = dict(labels)


@mutant
class NameKeepsPorts(Cluster):
    """A pod that comes back under its name has its old ports."""
    def __init__(self, state):
        self.ports = {}
        super().__init__(state)

    def create_pod(self, pod):
        super().create_pod(pod)
        key = "%s/%s" % (pod["ns"], pod["name"])
        self.pods[key]["ports"] = self.ports.setdefault(key, pod["ports"])
