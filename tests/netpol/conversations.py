# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections of TCP, UDP and SCTP between puppets, packet by packet."""

import itertools
import struct

from packets import ACK, FIN, PSH, RST, SYN, sctp, tcp, udp, unreachable

SERVED = 2000
ports = itertools.count(20000)
tags = itertools.count(1)


class Conversation:
    """Each method returns a message: see puppets.py."""

    def __init__(self, client, server, family):
        self.ends = {"client": client, "server": server}
        self.family = family
        self.ports = {"client": next(ports), "server": SERVED}

    def route(self, who):
        """What the packet functions take first."""
        other = "server" if who == "client" else "client"
        return (self.ends[who].ip[self.family], self.ports[who],
                self.ends[other].ip[self.family], self.ports[other])

    def message(self, what, who, packet):
        other = "server" if who == "client" else "client"
        return ("%s's %s" % (who, what), self.ends[who], self.ends[other],
                packet)

    def error(self, who):
        """An ICMP error about what the other end has sent."""
        other = "server" if who == "client" else "client"
        quoted = self.data(other)[3]
        return self.message("ICMP error", who, unreachable(
            self.ends[who].ip[self.family], self.ends[other].ip[self.family],
            quoted, next(tags) & 0xffff))


class Udp(Conversation):
    def data(self, who):
        return self.message("UDP data", who, udp(
            *self.route(who), b"data %d" % next(tags)))

    def numbered(self, who, data):
        return self.message("UDP data", who, udp(*self.route(who), data))

    def greeting(self):
        return [self.data("client")], [self.data("server")]


class Tcp(Conversation):
    def __init__(self, *args):
        super().__init__(*args)
        self.seq = {"client": 1000, "server": 5000}

    def packet(self, what, who, flags, data=b""):
        other = "server" if who == "client" else "client"
        return self.message(what, who, tcp(
            *self.route(who), flags, self.seq[who],
            self.seq[other] if flags & ACK else 0, data,
            next(tags) & 0xffff))

    def greeting(self):
        """The batches of messages that establish it, one after another."""
        first = [self.syn("client")]
        self.seq["client"] += 1
        second = [self.syn_ack("server")]
        self.seq["server"] += 1
        return (first, second, [self.ack("client")], *self.talk())

    def talk(self):
        """Data of both, and their acknowledgements."""
        batches = []
        for who, other in ("client", "server"), ("server", "client"):
            batches.append([self.data(who)])
            self.seq[who] += DATA_SIZE
            batches.append([self.ack(other)])
        return tuple(batches)

    def syn(self, who):
        return self.packet("SYN", who, SYN)

    def syn_ack(self, who):
        return self.packet("SYN and ACK", who, SYN | ACK)

    def ack(self, who):
        return self.packet("ACK", who, ACK)

    def data(self, who):
        return self.packet("TCP data", who, ACK | PSH, bytes(DATA_SIZE))

    def numbered(self, who, data):
        return self.packet("TCP data", who, ACK | PSH, data)

    def again(self, who):
        """The last data once more."""
        self.seq[who] -= DATA_SIZE
        message = self.packet("retransmission", who, ACK | PSH,
                              bytes(DATA_SIZE))
        self.seq[who] += DATA_SIZE
        return message

    def fin(self, who):
        return self.packet("FIN", who, ACK | FIN)

    def rst(self, who):
        return self.packet("RST", who, ACK | RST)


DATA_SIZE = 16


class Sctp(Conversation):
    """RFC 9260."""
    DATA, INIT, INIT_ACK, HEARTBEAT, ABORT = 0, 1, 2, 4, 6
    COOKIE_ECHO, COOKIE_ACK = 10, 11

    # What each end has chosen, and the other one's packets carry.
    VTAGS = {"client": 0x11111111, "server": 0x22222222}

    def chunk(self, what, who, kind, body=b"", flags=0):
        other = "server" if who == "client" else "client"
        return self.message(what, who, sctp(
            *self.route(who), 0 if kind == self.INIT else self.VTAGS[other],
            kind, flags, body))

    def init(self, who, kind=INIT):
        return self.chunk("INIT", who, kind, struct.pack(
            "!IIHHI", self.VTAGS[who], 65536, 1, 1, next(tags)))

    def data(self, who):
        return self.chunk("SCTP data", who, self.DATA, struct.pack(
            "!IHHI", next(tags), 0, 0, 0) + bytes(16), 3)

    def heartbeat(self, who):
        return self.chunk("HEARTBEAT", who, self.HEARTBEAT, struct.pack(
            "!HHI", 1, 8, next(tags)))

    def abort(self, who):
        return self.chunk("ABORT", who, self.ABORT)

    def greeting(self):
        return ([self.init("client")],
                [self.init("server", self.INIT_ACK)],
                [self.chunk("COOKIE ECHO", "client", self.COOKIE_ECHO,
                            bytes(16))],
                [self.chunk("COOKIE ACK", "server", self.COOKIE_ACK)],
                [self.data("client")], [self.data("server")])
