# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API server refuses in a NetworkPolicy.

The generator and the shrinker keep to what it accepts.  Addresses must have
been resolved (see judge.Cluster.resolve())."""

import ipaddress
import re

LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
                      r"(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
PORT_NAME = re.compile(r"(?!.*--)(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def refusals(policy):
    """What is wrong with the policy, a list of strings."""
    found = []
    for member in "namespace", "name":
        if not DNS_NAME.fullmatch(policy["metadata"].get(member, "")):
            found.append("metadata.%s" % member)
    spec = policy["spec"]
    found += selector_refusals(spec.get("podSelector") or {})
    types = spec.get("policyTypes") or []
    if len(types) > 2 or not set(types) <= {"Ingress", "Egress"}:
        found.append("policyTypes %s" % types)
    for direction, peers in ("ingress", "from"), ("egress", "to"):
        for rule in spec.get(direction) or []:
            found += [text for peer in rule.get(peers) or []
                      for text in peer_refusals(peer)]
            found += [text for item in rule.get("ports") or []
                      for text in port_refusals(item)]
    return found


def peer_refusals(peer):
    selectors = [peer[member] for member in
                 ("podSelector", "namespaceSelector")
                 if peer.get(member) is not None]
    block = peer.get("ipBlock")
    if block is None:
        if not selectors:
            return ["a peer that says nothing"]
        return [text for selector in selectors
                for text in selector_refusals(selector)]
    return (["ipBlock beside a selector"] if selectors else []) + \
        block_refusals(block)


def block_refusals(block):
    try:
        outer = ipaddress.ip_network(block["cidr"], strict=False)
        found = []
        for cidr in block.get("except") or []:
            inner = ipaddress.ip_interface(cidr)
            if (inner.ip not in outer
                    or inner.network.prefixlen <= outer.prefixlen):
                found.append("except %s is not strictly inside %s"
                             % (cidr, block["cidr"]))
        return found
    except ValueError as error:
        return [str(error)]


def selector_refusals(selector):
    found = []
    for key, value in (selector.get("matchLabels") or {}).items():
        found += key_refusals(key) + value_refusals(value)
    for expression in selector.get("matchExpressions") or []:
        found += key_refusals(expression["key"])
        values = expression.get("values") or []
        if expression["operator"] in ("In", "NotIn"):
            if not values:
                found.append("%s without values" % expression["operator"])
            found += [text for value in values
                      for text in value_refusals(value)]
        elif expression["operator"] in ("Exists", "DoesNotExist"):
            if values:
                found.append("%s with values" % expression["operator"])
        else:
            found.append("operator %s" % expression["operator"])
    return found


def key_refusals(key):
    prefix, slash, name = key.rpartition("/")
    if LABEL_NAME.fullmatch(name) and (not slash
                                       or DNS_NAME.fullmatch(prefix)):
        return []
    return ["label key %s" % key]


def value_refusals(value):
    if value == "" or LABEL_NAME.fullmatch(value):
        return []
    return ["label value %s" % value]


def port_refusals(item):
    found = []
    if item.get("protocol") not in (None, "TCP", "UDP", "SCTP"):
        found.append("protocol %s" % item["protocol"])
    port, end = item.get("port"), item.get("endPort")
    if isinstance(port, str):
        if len(port) > 15 or not PORT_NAME.fullmatch(port):
            found.append("port name %s" % port)
    elif port is not None and not 1 <= port <= 65535:
        found.append("port %d" % port)
    if end is not None and (not isinstance(port, int)
                            or not port <= end <= 65535):
        found.append("endPort %s of port %s" % (end, port))
    return found
