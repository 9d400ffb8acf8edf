# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that a change of policy denies: they are cut in both directions,
nobody brings them back, and what was allowed before goes on when the change is
undone."""

import itertools
import socket
import time

from conversations import Sctp, Tcp, Udp
from puppets import (FAMILIES, MARKERS, PATIENCE, Failure, Pod, attempt,
                     deliver, deny, flush_conntrack, namespace, names, ofctl,
                     policy, recompute, until_published, wait, write)

SERVERS = {"role": "server"}
CLIENTS = {"role": "client"}


def policies(*items):
    write("policies", *items)


def isolate(*rules):
    return policy("isolate", SERVERS, [MARKERS, *rules])


def pods(labels):
    return {"podSelector": {"matchLabels": labels}, "namespaceSelector": {}}


class Cut:
    def __init__(self, on_kernel):
        namespace("team", colour="green")
        self.client = Pod("team/client", **CLIENTS, good="yes")
        self.servers = [Pod("default/near", "n1", **SERVERS),
                        Pod("default/far", "n2", **SERVERS)]
        self.kinds = [Udp, Sctp] if on_kernel else [Udp]
        until_published(self.client, *self.servers)

    # Changes: each sets up what allows, and returns what denies and what
    # undoes that.

    def policy_added(self):
        policies()
        return lambda: policies(isolate()), policies

    def policy_edited(self):
        def write_it(good):
            policies(isolate({"from": [pods({"good": good})]}))
        write_it("yes")
        return lambda: write_it("no"), lambda: write_it("yes")

    def policy_deleted(self):
        def write_it(*more):
            policies(isolate(), *more)
        allow = policy("allow", SERVERS, [{"from": [pods(CLIENTS)]}])
        write_it(allow)
        return write_it, lambda: write_it(allow)

    def block_edited(self):
        def write_it(*excepted):
            policies(isolate({"from": [{"ipBlock": {
                "cidr": cidr, "except": [ip for ip in excepted
                                         if (":" in ip) == (":" in cidr)]}}
                for cidr in ("0.0.0.0/0", "::/0")]}))
        write_it()
        return lambda: write_it(self.client.ip[4] + "/32",
                                self.client.ip[6] + "/128"), write_it

    def port_edited(self):
        def write_it(end):
            policies(isolate({"ports": [
                {"protocol": protocol, "port": 1990, "endPort": end}
                for protocol in ("TCP", "UDP", "SCTP")]}))
        write_it(2010)
        return lambda: write_it(1999), lambda: write_it(2010)

    def client_labelled(self):
        policies(isolate({"from": [pods({"good": "yes"})]}))
        return (lambda: self.client.label(**CLIENTS, good="no"),
                lambda: self.client.label(**CLIENTS, good="yes"))

    def servers_labelled(self):
        policies(policy("isolate", {"guarded": "yes"}, [MARKERS]))

        def label(**more):
            for server in self.servers:
                server.label(**SERVERS, **more)
        return lambda: label(guarded="yes"), label

    def namespace_labelled(self):
        policies(isolate({"from": [{"namespaceSelector": {
            "matchLabels": {"colour": "green"}}}]}))
        return (lambda: namespace("team", colour="red"),
                lambda: namespace("team", colour="green"))

    def egress(self):
        """Only what the client sends is denied."""
        policies()
        return lambda: policies(policy("confine", CLIENTS, egress=[MARKERS],
                                       space="team")), policies

    def both(self):
        """The server may not open connections either."""
        policies()
        return lambda: policies(
            policy("isolate", SERVERS, [MARKERS], [MARKERS])), policies

    # Games.

    def conversations(self, kind):
        return [kind(self.client, server, family)
                for server in self.servers for family in FAMILIES]

    def greet(self, conversations):
        for batch in itertools.zip_longest(*(
                conversation.greeting() for conversation in conversations)):
            deliver([message for part in batch if part for message in part])

    def talk(self, conversations):
        """A connection that is allowed goes on."""
        deliver([c.data(who) for c in conversations
                 for who in ("client", "server")])

    @staticmethod
    def games(name, c):
        """What the ends of a TCP connection try."""
        if name == "data":
            return [c.data("client"), c.data("server"), c.ack("client"),
                    c.ack("server"), c.again("client"), c.again("server"),
                    c.error("client"), c.error("server")]
        if name == "reset by the client":
            return [c.rst("client"), c.data("server"), c.data("client")]
        if name == "reset by the server":
            return [c.rst("server"), c.data("client"), c.data("server")]
        if name == "end":
            return [c.fin("client"), c.ack("server"), c.fin("server"),
                    c.ack("client"), c.syn("client"), c.data("client")]
        # Another beginning, also by both at once.
        return [c.syn("client"), c.syn_ack("server"), c.syn("server"),
                c.syn_ack("client"), c.data("client"), c.data("server")]

    GAMES = ("data", "reset by the client", "reset by the server", "end",
             "beginning")

    def others(self, c):
        messages = [c.data("client"), c.data("server"), c.error("client"),
                    c.error("server")]
        if isinstance(c, Sctp):
            messages += [c.heartbeat("client"), c.heartbeat("server"),
                         c.init("client"), c.init("server")]
        return messages

    @staticmethod
    def from_the_middle(c, both):
        """What conntrack might take for a connection when it knows of none.
        With 'both' denied, neither may the server open one."""
        if isinstance(c, Tcp):
            messages = [packet(who) for who in ("client", "server")
                        for packet in (c.data, c.ack, c.again, c.fin, c.rst,
                                       c.syn_ack)]
            messages.append(c.syn("client"))
            return messages + ([c.syn("server")] if both else [])
        messages = [c.data("client")]
        if isinstance(c, Sctp):
            messages += [c.heartbeat("client"), c.init("client")]
        if both:
            messages.append(c.data("server"))
            if isinstance(c, Sctp):
                messages += [c.heartbeat("server"), c.init("server")]
        return messages

    def run(self, change):
        both = change == "both"
        deny_it, undo = getattr(self, change)()
        wait()
        played = {name: self.conversations(Tcp) for name in self.GAMES}
        others = [c for kind in self.kinds for c in self.conversations(kind)]
        self.greet([*sum(played.values(), []), *others])

        deny_it()
        wait()
        deny([message for name, conversations in played.items()
              for c in conversations for message in self.games(name, c)]
             + [message for c in others for message in self.others(c)])

        # Those that have tried nothing but to go on do so.
        undo()
        wait()
        self.talk(played["data"] + others)

        # Without any state left.
        deny_it()
        wait()
        flush_conntrack()
        deny([message for c in sum(played.values(), others)
              for message in self.from_the_middle(c, both)])
        undo()
        wait()
        print("cut: %s" % change.replace("_", " "), flush=True)

    # Twins.

    def twin(self):
        """Without any policy, it can be seen."""
        policies()
        wait()
        played = {name: self.conversations(Tcp) for name in self.GAMES}
        others = [c for kind in self.kinds for c in self.conversations(kind)]
        self.greet([*sum(played.values(), []), *others])
        for name, conversations in played.items():
            self.passes(name, [message for c in conversations
                               for message in self.games(name, c)],
                        0.8 if name == "data" else 0.5)
        self.passes("others", [message for c in others
                               for message in self.others(c)], 0.7)
        flush_conntrack()
        self.passes("from the middle",
                    [message for c in sum(played.values(), others)
                     for message in self.from_the_middle(c, True)], 0.5)

    @staticmethod
    def passes(what, messages, part):
        """Conntrack takes some for invalid, and of ICMP errors only the
        server's pass."""
        passed = attempt(messages)
        print("twin, %s: %d of %d pass" % (what, len(passed), len(messages)),
              flush=True)
        if len(passed) < part * len(messages):
            raise Failure("too few: " + names(passed))

    def twin_of_protection(self):
        """Where what is established may pass, nothing is cut; and where
        connections begin with any packet, they come back."""
        policies()
        wait()
        conversations = self.conversations(Tcp)
        self.greet(conversations)
        policies(isolate())
        wait()
        ofctl("add-flow", "table=egress_policy,priority=65000,"
              "ct_state=+est+trk,actions=goto_table:ct_commit")
        self.talk(conversations)
        ofctl("--strict del-flows", "table=egress_policy,priority=65000,"
              "ct_state=+est+trk")
        sent = [c.data("server") for c in conversations]
        deny(sent)

        flush_conntrack()
        deny(sent)
        for family in "tcp", "tcp6":
            ofctl("--strict del-flows", "table=egress_policy,priority=600,"
                  "ct_state=+new+trk,%s,reg0=0x2000/0x3400,tcp_flags=-syn"
                  % family)
        self.passes("pick-up", sent, 1)
        recompute()
        flush_conntrack()
        deny(sent)

    def real(self):
        """Connections of the kernel's own."""
        policies()
        wait()
        pairs = []
        for server, family in itertools.product(self.servers, FAMILIES):
            listener = server.socket(socket.SOCK_STREAM, family)
            listener.bind((server.ip[family], 3000))
            listener.listen()
            ours = self.client.socket(socket.SOCK_STREAM, family)
            ours.settimeout(PATIENCE)
            ours.connect((server.ip[family], 3000))
            theirs, _ = listener.accept()
            theirs.settimeout(PATIENCE)
            pairs += [(ours, theirs), (theirs, ours)]
        for source, target in pairs:
            source.sendall(b"before")
        for source, target in pairs:
            if target.recv(100) != b"before":
                raise Failure("a TCP connection loses data")

        policies(isolate())
        wait()
        pods_ = [self.client, *self.servers]
        for pod in pods_:
            list(pod.sniffer.read())
        for source, target in pairs:
            source.sendall(b"while it is denied")
        time.sleep(1.5)
        for pod in pods_:
            tcp = [packet for _, packet in pod.sniffer.read()
                   if is_tcp(packet)]
            if tcp:
                raise Failure("%s receives %d packets of TCP"
                              % (pod.name, len(tcp)))
        policies()
        wait()
        for source, target in pairs:
            if target.recv(100) != b"while it is denied":
                raise Failure("a TCP connection loses data")
        print("cut: the kernel's own connections", flush=True)


def is_tcp(packet):
    return packet[9 if packet[0] >> 4 == 4 else 6] == socket.IPPROTO_TCP


def cut(on_kernel):
    scenario = Cut(on_kernel)
    scenario.twin()
    scenario.twin_of_protection()
    scenario.real()
    for change in ("policy_added", "policy_edited", "policy_deleted",
                   "block_edited", "port_edited", "client_labelled",
                   "servers_labelled", "namespace_labelled", "egress",
                   "both"):
        scenario.run(change)
