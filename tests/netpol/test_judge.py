#! /usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of judge.py: a table of what the documentation of NetworkPolicy says,
written by hand, and the changes of state."""

import copy
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import judge

HERE = os.path.dirname(os.path.abspath(__file__))

# Two nodes, three namespaces.  b/web and a/web have the same labels, one of
# b/cli's is empty, c/bare and namespace c have none, a/host is in the network of node n2.  "http" is
# another number in each pod; "dns" of a/db is another one for each protocol.
PORTS = [{"port": 80, "protocol": "TCP", "name": "http"},
         {"port": 81, "protocol": "TCP"},
         {"port": 53, "protocol": "UDP", "name": "dns"},
         {"port": 9, "protocol": "SCTP"}]
DB_PORTS = [{"port": 8080, "protocol": "TCP", "name": "http"},
            {"port": 53, "protocol": "UDP", "name": "dns"},
            {"port": 5353, "protocol": "TCP", "name": "dns"}]
BASE = {
    "nodes": {
        "n1": {"labels": {}, "ip": "192.168.77.11", "ip6": "fd00:77::11"},
        "n2": {"labels": {}, "ip": "192.168.77.12", "ip6": "fd00:77::12"}},
    "namespaces": {"a": {"team": "red", "env": "prod"},
                   "b": {"team": "blue"}, "c": {}},
    "pods": [
        {"ns": "a", "name": "web", "labels": {"app": "web", "tier": "front"},
         "node": "n1", "ip": "10.10.1.2", "ip6": "fd00:10:10:1::2",
         "ports": PORTS},
        {"ns": "a", "name": "db", "labels": {"app": "db"},
         "node": "n2", "ip": "10.10.2.2", "ip6": "fd00:10:10:2::2",
         "ports": DB_PORTS},
        {"ns": "b", "name": "web", "labels": {"app": "web", "tier": "front"},
         "node": "n1", "ip": "10.10.1.3", "ip6": "fd00:10:10:1::3",
         "ports": PORTS},
        {"ns": "b", "name": "cli", "labels": {"app": "cli", "zone": ""},
         "node": "n2", "ip": "10.10.2.130", "ip6": "fd00:10:10:2::82",
         "ports": PORTS},
        {"ns": "c", "name": "bare", "labels": {},
         "node": "n1", "ip": "10.10.1.130", "ip6": "fd00:10:10:1::82",
         "ports": PORTS},
        {"ns": "a", "name": "host", "labels": {"app": "web"},
         "node": "n2", "ip": "192.168.77.12", "ip6": "fd00:77::12",
         "hostNetwork": True, "ports": PORTS}],
    "policies": []}


def policy(spec, namespace="a", name="p"):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def probe(text):
    """"FROM TO PORT/PROTOCOL [6]" as a probe; "80" is short for "80/TCP"."""
    words = text.split()
    port, _, protocol = words[2].partition("/")
    result = {"from": words[0], "to": words[1], "port": int(port),
              "protocol": protocol or "TCP"}
    if len(words) > 3:
        result["family"] = int(words[3])
    return result


def selected(*expressions, **labels):
    """A selector; an expression is "KEY OPERATOR VALUE..."."""
    selector = {}
    if labels:
        selector["matchLabels"] = labels
    if expressions:
        selector["matchExpressions"] = [
            {"key": words[0], "operator": words[1],
             **({"values": words[2:]} if words[2:] else {})}
            for words in map(str.split, expressions)]
    return selector


def ingress(*peers, ports=None, pods=None, **more):
    """The spec of a policy with one rule for incoming connections, for a/web
    if nothing else is said."""
    rule = {}
    if peers:
        rule["from"] = list(peers)
    if ports:
        rule["ports"] = ports
    return {"podSelector": selected(app="web") if pods is None else pods,
            "policyTypes": ["Ingress"], "ingress": [rule], **more}


def egress(*peers, ports=None, pods=None, **more):
    """The same for outgoing ones."""
    rule = {}
    if peers:
        rule["to"] = list(peers)
    if ports:
        rule["ports"] = ports
    return {"podSelector": selected(app="web") if pods is None else pods,
            "policyTypes": ["Egress"], "egress": [rule], **more}


def block(cidr, *excepts):
    return {"ipBlock": {"cidr": cidr,
                        **({"except": list(excepts)} if excepts else {})}}


def pods(*expressions, **labels):
    return {"podSelector": selected(*expressions, **labels)}


def spaces(*expressions, **labels):
    return {"namespaceSelector": selected(*expressions, **labels)}


WEB = selected(app="web")

# What it is about, the specs in force (of policies in namespace a), the
# probes that get through, the probes that do not.
TABLE = [
    # Isolation.
    ("no policy", [],
     ["b/cli a/web 80", "a/web b/cli 80 6", "203.0.113.5 a/web 80",
      "a/web 203.0.113.5 80"], []),
    ("deny all ingress", [{"podSelector": {}, "policyTypes": ["Ingress"]}],
     ["a/web b/cli 80", "b/cli c/bare 80"],
     ["b/cli a/web 80", "a/db a/web 80", "a/web a/db 8080",
      "b/cli a/web 80 6", "b/cli a/web 53/UDP", "b/cli a/web 9/SCTP",
      "203.0.113.5 a/web 80", "2001:db8::5 a/web 80"]),
    ("deny all egress", [{"podSelector": {}, "policyTypes": ["Egress"]}],
     ["b/cli a/web 80", "203.0.113.5 a/web 80"],
     ["a/web b/cli 80", "a/web 203.0.113.5 80", "a/web 2001:db8::5 80"]),
    ("only pods that the policy selects are isolated",
     [{"podSelector": WEB, "policyTypes": ["Ingress"]}],
     ["b/cli a/db 8080"], ["b/cli a/web 80"]),
    ("only pods of the policy's namespace are isolated",
     [{"podSelector": WEB, "policyTypes": ["Ingress"]}],
     ["b/cli b/web 80"], []),
    ("no podSelector selects all", [{"policyTypes": ["Ingress"]}],
     [], ["b/cli a/web 80"]),
    ("both ends must agree: the egress side",
     [ingress(pods=selected(app="db")), egress(pods("app In nobody"))],
     ["b/cli a/db 8080"], ["a/web a/db 8080"]),
    ("both ends must agree: the ingress side",
     [ingress(pods("app In nobody"), pods=selected(app="db")), egress()],
     ["a/web b/cli 80"], ["a/web a/db 8080"]),
    # policyTypes.
    ("types left out: ingress", [{"podSelector": WEB}],
     ["a/web b/cli 80"], ["b/cli a/web 80"]),
    ("types left out, with egress rules: both",
     [{"podSelector": WEB, "egress": [{"to": [pods(app="db")]}]}],
     ["a/web a/db 8080"], ["a/web b/cli 80", "b/cli a/web 80"]),
    ("types left out, with egress: []: ingress",
     [{"podSelector": WEB, "egress": []}],
     ["a/web b/cli 80"], ["b/cli a/web 80"]),
    ("types empty: as if left out",
     [{"podSelector": WEB, "policyTypes": [], "egress": [{}]}],
     ["a/web b/cli 80"], ["b/cli a/web 80"]),
    ("type Egress: ingress rules mean nothing",
     [{"podSelector": WEB, "policyTypes": ["Egress"], "ingress": []}],
     ["b/cli a/web 80"], ["a/web b/cli 80"]),
    ("type Ingress: egress rules mean nothing",
     [{"podSelector": WEB, "policyTypes": ["Ingress"],
       "egress": [{"to": [pods(app="db")]}]}],
     ["a/web b/cli 80"], ["b/cli a/web 80"]),
    # Rules.
    ("ingress: [] allows nothing", [{"podSelector": WEB, "ingress": []}],
     [], ["b/cli a/web 80"]),
    ("ingress: [{}] allows all", [{"podSelector": WEB, "ingress": [{}]}],
     ["b/cli a/web 80", "2001:db8::5 a/web 7/UDP"], []),
    ("egress: [{}] allows all", [egress()],
     ["a/web b/cli 80", "a/web 2001:db8::5 7/SCTP"], []),
    ("from: [] is everybody",
     [{"podSelector": WEB, "ingress": [{"from": []}]}],
     ["b/cli a/web 80", "203.0.113.5 a/web 80"], []),
    ("to: [] is everybody",
     [{"podSelector": WEB, "policyTypes": ["Egress"],
       "egress": [{"to": []}]}],
     ["a/web b/cli 80", "a/web 203.0.113.5 80"], []),
    ("ports: [] is all ports",
     [{"podSelector": WEB, "ingress": [{"from": [pods()], "ports": []}]}],
     ["a/db a/web 81", "a/db a/web 9/SCTP"], ["b/cli a/web 80"]),
    ("members that are null are left out",
     [{"podSelector": WEB, "policyTypes": None,
       "ingress": [{"from": None, "ports": None}], "egress": None}],
     ["b/cli a/web 80", "a/web b/cli 80"], []),
    ("rules are a union, each by itself",
     [{"podSelector": WEB, "ingress": [
         {"from": [pods(app="db")], "ports": [{"port": 80}]},
         {"from": [spaces(team="blue")], "ports": [{"port": 81}]}]}],
     ["a/db a/web 80", "b/cli a/web 81"],
     ["a/db a/web 81", "b/cli a/web 80"]),
    ("policies are a union",
     [ingress(pods(app="db")), ingress(spaces(team="blue")),
      {"podSelector": {}, "policyTypes": ["Ingress"]}],
     ["a/db a/web 80", "b/cli a/web 80"],
     ["c/bare a/web 80", "a/web a/db 8080"]),
    ("policies' directions do not mix",
     [ingress(pods(app="db")), egress(pods(app="nobody"))],
     ["a/db a/web 80"], ["a/web a/db 8080"]),
    # Peers.
    ("podSelector alone: the policy's namespace",
     [ingress(pods(app="web"), pods=selected(app="db"))],
     ["a/web a/db 8080"], ["b/web a/db 8080"]),
    ("podSelector {}: all of the policy's namespace",
     [ingress(pods())], ["a/db a/web 80"], ["b/cli a/web 80"]),
    ("namespaceSelector alone: all pods there",
     [ingress(spaces(team="blue"))],
     ["b/cli a/web 80", "b/web a/web 80"],
     ["a/db a/web 80", "c/bare a/web 80"]),
    ("namespaceSelector {}: all pods, nobody outside",
     [ingress(spaces())],
     ["b/cli a/web 80", "c/bare a/web 80", "a/db a/web 80"],
     ["203.0.113.5 a/web 80", "node:n2 a/web 80", "a/host a/web 80",
      "10.10.1.77 a/web 80"]),
    ("both: these pods in these namespaces",
     [ingress({**pods(app="web"), **spaces(team="blue")})],
     ["b/web a/web 80"],
     ["b/cli a/web 80", "a/db a/web 80"]),
    ("two peers: either",
     [ingress(pods(app="db"), spaces(team="blue"))],
     ["a/db a/web 80", "b/cli a/web 80"], ["c/bare a/web 80"]),
    ("namespace by its name",
     [ingress(spaces(**{judge.NAME_LABEL: "c"}))],
     ["c/bare a/web 80"], ["b/cli a/web 80"]),
    ("a peer that says nothing", [ingress({})], [], ["a/db a/web 80"]),
    ("egress peers are destinations",
     [egress(pods(app="db"), spaces(team="blue"))],
     ["a/web a/db 8080", "a/web b/cli 80 6", "c/bare a/web 80"],
     ["a/web c/bare 80", "a/web 203.0.113.5 80"]),
    # Selectors.
    ("labels: all of them",
     [ingress({**spaces(), **pods(app="web", tier="back")}),
      ingress({**spaces(), **pods(app="cli", zone="")})],
     ["b/cli a/web 80"], ["b/web a/web 80", "a/db a/web 80"]),
    ("an empty value is a value",
     [ingress({**spaces(), **pods(zone="")}, ports=[{"port": 80}]),
      ingress({**spaces(), **pods("zone Exists")}, ports=[{"port": 81}])],
     ["b/cli a/web 80", "b/cli a/web 81"],
     ["b/web a/web 80", "b/web a/web 81"]),
    ("In", [ingress({**spaces(), **pods("app In db cli")})],
     ["a/db a/web 80", "b/cli a/web 80"],
     ["b/web a/web 80", "c/bare a/web 80"]),
    ("NotIn: also where the key is missing",
     [ingress({**spaces(), **pods("app NotIn db cli")})],
     ["b/web a/web 80", "c/bare a/web 80"],
     ["a/db a/web 80", "b/cli a/web 80"]),
    ("Exists", [ingress({**spaces(), **pods("app Exists")})],
     ["a/db a/web 80"], ["c/bare a/web 80"]),
    ("DoesNotExist", [ingress({**spaces(), **pods("app DoesNotExist")})],
     ["c/bare a/web 80"], ["a/db a/web 80"]),
    ("expressions: all of them",
     [ingress(spaces("team Exists", "team NotIn red"))],
     ["b/cli a/web 80"], ["a/db a/web 80", "c/bare a/web 80"]),
    ("labels and expressions: all of them",
     [ingress(spaces("env DoesNotExist", team="blue")),
      ingress(spaces("env DoesNotExist", team="red"))],
     ["b/cli a/web 80"], ["a/db a/web 80"]),
    ("a NotIn selector of namespaces without the label",
     [ingress(spaces("team NotIn blue"))],
     ["c/bare a/web 80", "a/db a/web 80"], ["b/cli a/web 80"]),
    ("an expression as the policy's selector",
     [{"podSelector": selected("tier DoesNotExist"),
       "policyTypes": ["Ingress"]}],
     ["b/cli a/web 80"], ["b/cli a/db 8080"]),
    # ipBlock.
    ("ipBlock: addresses outside", [ingress(block("203.0.113.0/29"))],
     ["203.0.113.5 a/web 80"],
     ["203.0.113.8 a/web 80", "2001:db8::5 a/web 80", "b/cli a/web 80"]),
    ("ipBlock: addresses of pods too",
     [ingress(block("10.10.2.128/25"))],
     ["b/cli a/web 80"], ["a/db a/web 80", "b/cli a/web 80 6"]),
    ("ipBlock: IPv6", [egress(block("fd00:10:10:2::/64"))],
     ["a/web b/cli 80 6"], ["a/web b/cli 80", "a/web c/bare 80 6"]),
    ("except", [egress(block("10.10.0.0/16", "10.10.2.128/25",
                             "10.10.1.130/32"))],
     ["a/web a/db 8080", "a/web b/web 80"],
     ["a/web b/cli 80", "a/web c/bare 80"]),
    ("another peer covers what is excepted",
     [egress(block("10.10.0.0/16", "10.10.2.0/24"),
             block("10.10.2.130/32"))],
     ["a/web b/cli 80", "a/web c/bare 80"], ["a/web a/db 8080"]),
    ("a selector covers what is excepted",
     [egress(block("10.10.0.0/16", "10.10.2.0/24"), pods(app="db"))],
     ["a/web a/db 8080"], ["a/web b/cli 80"]),
    ("another policy covers what is excepted",
     [egress(block("0.0.0.0/0", "10.10.2.130/32")),
      egress(block("10.10.2.128/25"), ports=[{"port": 80}])],
     ["a/web b/cli 80", "a/web 203.0.113.5 443"], ["a/web b/cli 81"]),
    ("0.0.0.0/0 is all of IPv4 alone", [ingress(block("0.0.0.0/0"))],
     ["203.0.113.5 a/web 80", "b/cli a/web 80", "node:n2 a/web 80"],
     ["2001:db8::5 a/web 80", "b/cli a/web 80 6"]),
    ("::/0 is all of IPv6 alone", [ingress(block("::/0", "2001:db8::/64"))],
     ["b/cli a/web 80 6", "2001:db8:1::5 a/web 80"],
     ["2001:db8::5 a/web 80", "b/cli a/web 80"]),
    ("a CIDR with host bits", [egress(block("10.10.2.130/24"))],
     ["a/web a/db 8080"], ["a/web c/bare 80"]),
    ("symbolic addresses",
     [egress(block("{ip:b/cli}/24", "{ip:b/cli}/25")),
      egress(block("{ip6:c/bare}/128"))],
     ["a/web a/db 8080", "a/web c/bare 80 6"],
     ["a/web b/cli 80", "a/web b/web 80 6"]),
    # Ports.
    ("a port", [ingress(ports=[{"port": 80}])],
     ["b/cli a/web 80", "b/cli a/web 80 6"],
     ["b/cli a/web 81", "b/cli a/web 79", "b/cli a/web 80/UDP",
      "b/cli a/web 80/SCTP"]),
    ("a port of UDP", [ingress(ports=[{"port": 53, "protocol": "UDP"}])],
     ["b/cli a/web 53/UDP"], ["b/cli a/web 53/TCP"]),
    ("a port of SCTP", [ingress(ports=[{"port": 9, "protocol": "SCTP"}])],
     ["b/cli a/web 9/SCTP"], ["b/cli a/web 9/TCP", "b/cli a/web 9/UDP"]),
    ("a protocol without port", [ingress(ports=[{"protocol": "UDP"}])],
     ["b/cli a/web 1/UDP", "b/cli a/web 65535/UDP"], ["b/cli a/web 80"]),
    ("a port without anything is all of TCP", [ingress(ports=[{}])],
     ["b/cli a/web 65535"], ["b/cli a/web 53/UDP"]),
    ("two ports: either",
     [ingress(ports=[{"port": 80}, {"port": 53, "protocol": "UDP"}])],
     ["b/cli a/web 80", "b/cli a/web 53/UDP"], ["b/cli a/web 53/TCP"]),
    ("endPort is included",
     [ingress(ports=[{"port": 80, "endPort": 90}])],
     ["b/cli a/web 80", "b/cli a/web 85", "b/cli a/web 90"],
     ["b/cli a/web 79", "b/cli a/web 91", "b/cli a/web 85/UDP"]),
    ("endPort equal to port", [ingress(ports=[{"port": 80, "endPort": 80}])],
     ["b/cli a/web 80"], ["b/cli a/web 79", "b/cli a/web 81"]),
    ("the whole range",
     [ingress(ports=[{"port": 1, "endPort": 65535, "protocol": "UDP"}])],
     ["b/cli a/web 1/UDP", "b/cli a/web 65535/UDP"], ["b/cli a/web 1"]),
    ("ports are the destination's, in egress too",
     [egress(ports=[{"port": 8080}])],
     ["a/web a/db 8080"], ["a/web b/cli 80"]),
    ("peers and ports: both must match",
     [egress(spaces(team="blue"), ports=[{"port": 80}])],
     ["a/web b/cli 80"], ["a/web b/cli 81", "a/web c/bare 80"]),
    # Named ports.
    ("a name for incoming connections is the pod's own number",
     [ingress(ports=[{"port": "http"}], pods={})],
     ["b/cli a/web 80", "b/cli a/db 8080", "203.0.113.5 a/db 8080"],
     ["b/cli a/web 8080", "b/cli a/db 80"]),
    ("a name for outgoing ones is the destination's number",
     [egress(ports=[{"port": "http"}])],
     ["a/web a/db 8080", "a/web b/cli 80"],
     ["a/web a/db 80", "a/web b/cli 8080"]),
    ("a name has a protocol",
     [ingress(ports=[{"port": "dns"}], pods={})],
     ["b/cli a/db 5353"],
     ["b/cli a/db 53/UDP", "b/cli a/db 5353/UDP", "b/cli a/web 53/UDP",
      "b/cli a/web 53"]),
    ("a name of UDP",
     [ingress(ports=[{"port": "dns", "protocol": "UDP"}], pods={})],
     ["b/cli a/db 53/UDP", "b/cli a/web 53/UDP"], ["b/cli a/db 5353"]),
    ("a name that nobody has", [ingress(ports=[{"port": "nope"}])],
     [], ["b/cli a/web 80"]),
    ("names are for pods alone", [egress(ports=[{"port": "http"}])],
     [], ["a/web 203.0.113.5 80", "a/web node:n2 80", "a/web a/host 80"]),
    # Nodes, and who else has no policy.
    ("the own node is never blocked",
     [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}],
     ["node:n1 a/web 80", "a/web node:n1 80", "node:n1 a/web 80 6",
      "192.168.77.11 a/web 80", "a/host a/db 8080", "a/db a/host 80"],
     ["node:n2 a/web 80", "a/web node:n2 80", "a/host a/web 80",
      "a/web a/host 80"]),
    ("another node is an address", [ingress(block("192.168.77.12/32"))],
     ["node:n2 a/web 80", "a/host a/web 80"],
     ["b/cli a/web 80", "203.0.113.5 a/web 80"]),
    ("a pod in the host's network is not isolated",
     [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}],
     ["b/web a/host 80", "a/host b/web 80"], []),
    ("nor selected as peer", [ingress(pods(app="web"))],
     [], ["a/host a/web 80"]),
    ("a pod reaches itself",
     [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}],
     ["a/web a/web 80", "a/web a/web 1/UDP 6"], []),
    ("a pod's address is the pod", [ingress(pods(app="db"))],
     ["10.10.2.2 a/web 80", "fd00:10:10:2::2 a/web 80"],
     ["10.10.2.130 a/web 80"]),
    ("an address in the cluster without a pod",
     [ingress(block("10.10.1.0/24"))],
     ["10.10.1.77 a/web 80", "b/cli 10.10.1.77 80"],
     ["10.10.2.77 a/web 80"]),
]


def table_cluster(specs):
    return judge.Cluster({**BASE, "policies": [
        policy(spec, name="p%d" % n) for n, spec in enumerate(specs)]})


class Table(unittest.TestCase):
    """Each line of TABLE becomes a test."""

    def check(self, specs, allowed, denied):
        cluster = table_cluster(specs)
        for text in allowed + denied:
            with self.subTest(text):
                self.assertEqual(judge.Judge().allows(cluster, probe(text)),
                                 text in allowed)

    def test_size(self):
        """The table has as many assertions as it is supposed to have."""
        self.assertGreater(sum(len(allowed) + len(denied)
                               for _, _, allowed, denied in TABLE), 200)


for _n, (_title, *_rest) in enumerate(TABLE):
    def _test(self, rest=_rest):
        self.check(*rest)
    _test.__doc__ = _title
    setattr(Table, "test_%02d" % _n, _test)


class Changes(unittest.TestCase):
    """What a step's actions do."""

    def setUp(self):
        self.cluster = judge.Cluster(copy.deepcopy(BASE))

    def apply(self, op, **members):
        self.cluster.apply({"op": op, **members})

    def allows(self, text, literal=False):
        return judge.Judge().allows(self.cluster, probe(text), literal)

    def test_policies(self):
        self.apply("createPolicy", policy=policy(ingress(pods())))
        self.assertFalse(self.allows("b/cli a/web 80"))
        self.apply("updatePolicy", policy=policy(ingress(spaces())))
        self.assertTrue(self.allows("b/cli a/web 80"))
        self.assertFalse(self.allows("203.0.113.5 a/web 80"))
        self.apply("deletePolicy", kind="NetworkPolicy", namespace="a",
                   name="p")
        self.assertTrue(self.allows("203.0.113.5 a/web 80"))

    def test_pod_labels_are_replaced(self):
        self.apply("createPolicy",
                   policy=policy(ingress(pods(app="db"), pods(tier="front"),
                                         pods=selected(new="yes"))))
        self.assertTrue(self.allows("b/cli a/db 8080"))
        self.apply("setPodLabels", pod="a/db", labels={"new": "yes"})
        self.assertFalse(self.allows("b/cli a/db 8080"))
        self.assertTrue(self.allows("a/web a/db 8080"))
        self.apply("setPodLabels", pod="a/web", labels={"app": "web"})
        self.assertFalse(self.allows("a/web a/db 8080"))

    def test_namespace_labels_are_replaced(self):
        self.apply("createPolicy",
                   policy=policy(ingress(spaces(team="blue"))))
        self.apply("setNamespaceLabels", namespace="c",
                   labels={"team": "blue"})
        self.apply("setNamespaceLabels", namespace="b", labels={})
        self.assertTrue(self.allows("c/bare a/web 80"))
        self.assertFalse(self.allows("b/cli a/web 80"))
        self.assertEqual(self.cluster.namespaces["b"],
                         {judge.NAME_LABEL: "b"})

    def test_address_reuse(self):
        self.apply("createPolicy", policy=policy(ingress(pods(app="db"))))
        pod = dict(self.cluster.pods["a/db"])
        self.apply("deletePod", pod="a/db")
        self.assertFalse(self.allows("10.10.2.2 a/web 80"))
        pod.update(name="new", labels={"app": "cli"})
        self.apply("createPod", pod=pod)
        self.assertFalse(self.allows("a/new a/web 80"))
        self.assertFalse(self.allows("10.10.2.2 a/web 80"))

    def test_namespace_goes_with_all_in_it(self):
        self.apply("createPolicy", policy=policy(ingress(pods())))
        web = self.cluster.pods["a/web"]
        self.apply("deleteNamespace", namespace="a")
        self.assertEqual(list(self.cluster.pods), ["b/web", "b/cli", "c/bare"])
        self.apply("createNamespace", namespace="a", labels={})
        self.apply("createPod", pod=web)
        self.assertTrue(self.allows("b/cli a/web 80"))

    def test_symbols_mean_the_addresses_of_then(self):
        self.apply("createPolicy",
                   policy=policy(ingress(block("{ip:b/cli}/32"))))
        self.apply("deletePod", pod="b/cli")
        self.assertTrue(self.allows("10.10.2.130 a/web 80"))

    def test_literal(self):
        self.apply("createPolicy", policy=policy(ingress(pods(app="db"))))
        self.assertTrue(self.allows("a/web a/web 80"))
        self.assertFalse(self.allows("a/web a/web 80", literal=True))

    def test_case_is_left_alone(self):
        self.assertEqual(judge.Cluster(BASE).state()["pods"], BASE["pods"])
        before = json.dumps(BASE)
        self.apply("setPodLabels", pod="a/db", labels={"new": "yes"})
        self.apply("deleteNamespace", namespace="b")
        self.assertEqual(json.dumps(BASE), before)

    def test_addresses_change_hands(self):
        """After all actions of a step nobody may have another one's."""
        pod = dict(self.cluster.pods["a/db"], name="other")
        self.apply("createPod", pod=pod)
        with self.assertRaises(judge.CaseError):
            self.cluster.check_addresses()
        self.apply("deletePod", pod="a/db")
        self.cluster.check_addresses()
        self.apply("createPod", pod=dict(
            pod, name="more", ip=self.cluster.nodes["n1"]["ip"]))
        with self.assertRaises(judge.CaseError):
            self.cluster.check_addresses()

    def test_nonsense(self):
        pod = dict(self.cluster.pods["a/db"], name="other")
        for op, members in (
                ("createPod", {"pod": self.cluster.pods["a/web"]}),
                ("createPod", {"pod": dict(pod, ns="none", ip="10.10.1.9",
                                           ip6="fd00:10:10:1::9")}),
                ("createPod", {"pod": dict(pod, node="none", ip="10.10.1.9",
                                           ip6="fd00:10:10:1::9")}),
                ("deletePod", {"pod": "a/none"}),
                ("setPodLabels", {"pod": "a/none", "labels": {}}),
                ("createNamespace", {"namespace": "a", "labels": {}}),
                ("setNamespaceLabels", {"namespace": "d", "labels": {}}),
                ("deleteNamespace", {"namespace": "d"}),
                ("createPolicy", {"policy": policy({}, namespace="d")}),
                ("createPolicy", {"policy": policy(
                    ingress(block("{ip:a/none}/32")))}),
                ("updatePolicy", {"policy": policy({})}),
                ("deletePolicy", {"kind": "NetworkPolicy", "namespace": "a",
                                  "name": "none"}),
                ("deletePolicy", {"kind": "Other", "namespace": "a",
                                  "name": "none"}),
                ("other", {})):
            with self.subTest(op=op, **members):
                with self.assertRaises(judge.CaseError):
                    self.apply(op, **members)
        for text in ("a/none a/web 80", "a/web node:none 80",
                     "203.0.113.5 a/web 80 6"):
            with self.subTest(text):
                with self.assertRaises(judge.CaseError):
                    self.allows(text)


class Command(unittest.TestCase):
    """judge.py as a program."""

    def run_judge(self, *cases):
        """Its exit status and the last line of its output."""
        with tempfile.TemporaryDirectory() as folder:
            names = []
            for n, case in enumerate(cases):
                names.append(os.path.join(folder, "%d.json" % n))
                with open(names[-1], "w", encoding="utf-8") as stream:
                    stream.write(case if isinstance(case, str)
                                 else json.dumps(case))
            done = subprocess.run(
                [sys.executable, os.path.join(HERE, "judge.py"), *names],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                check=False)
        return done.returncode, done.stdout.splitlines()[-1]

    def case(self, expect):
        deny = policy({"podSelector": {}})
        return {**BASE, "probes": [{**probe("b/cli a/web 80"),
                                    "expect": expect}],
                "steps": [{"actions": [{"op": "createPolicy",
                                        "policy": deny}],
                           "probes": [{**probe("b/cli a/web 80"),
                                       "expect": "deny"}]}]}

    def test_agreement(self):
        self.assertEqual(
            self.run_judge(self.case("allow"), self.case("allow")),
            (0, "2 cases, 4 probes, 0 mismatches"))

    def test_mismatch(self):
        self.assertEqual(
            self.run_judge(self.case("deny"), self.case("allow")),
            (1, "2 cases, 4 probes, 1 mismatches"))

    def test_no_probe(self):
        self.assertEqual(self.run_judge({**BASE, "probes": []}),
                         (1, "1 cases, 0 probes, 0 mismatches"))

    def test_broken_file(self):
        self.assertEqual(self.run_judge(self.case("allow"), "{")[0], 1)
        broken = self.case("allow")
        broken["steps"][0]["actions"][0]["op"] = "none"
        self.assertEqual(self.run_judge(broken)[0], 1)


if __name__ == "__main__":
    unittest.main()
