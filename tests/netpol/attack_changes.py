# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of policies while packets flow: what is allowed before and after
loses nothing, and what neither allows never passes."""

import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections import namedtuple

from conversations import SERVED, Udp
from packets import NUMBER, Flood, is_numbered, number_of, udp
from puppets import (Failure, Pod, deliver, namespace, nodes, policy,
                     until_published, vswitchd, wait, write)

CHANGES = 200
RATE = 1000

# How long to look at what is lost without changes, in seconds; how often that
# may be something until the rate is too high; and how often changes have to
# lose something, where nothing else does, for it to be their doing.
CONTROL = 5
BUSY, TRIALS = 3, 3

# How many more packets TCP may send again than without changes: it takes for
# lost what a busy machine delays.
AGAIN = 3

# What has been seen of the streams: how many packets were sent, were lost and
# were denied but passed, how many pings were not answered, how many of TCP's
# packets were sent again, and in how many seconds.
Seen = namedtuple("Seen", "sent lost passed pings again took")
SERVERS = {"role": "server"}
TCP_INFO, TOTAL_RETRANS = 11, 100


def ports_of(packet):
    return struct.unpack_from("!HH", packet, 20 if packet[0] >> 4 == 4 else 40)


def pods(**labels):
    return {"podSelector": {"matchLabels": labels}, "namespaceSelector": {}}


def rules(peer, port):
    """Lets the client do everything, and another pod one thing."""
    return [{"from": [pods(role="client")]},
            {"from": [pods(role=peer)],
             "ports": [{"protocol": "UDP", "port": port}]}]


# Neither lets the stranger at the port SERVED; but clauses of the one do with
# clauses of the other, and so does none of them.
STATES = ("stranger", SERVED + 1), ("friend", SERVED)


def prefer_datapath():
    """Has Open vSwitch run before whatever else is going on: it would lose
    packets."""
    for node in nodes():
        for thread in os.listdir("/proc/%s/task" % vswitchd(node)):
            os.setpriority(os.PRIO_PROCESS, int(thread), -20)


class Stream:
    """UDP of one direction: numbers that arrive."""

    def __init__(self, target, family, sport, dport):
        self.target = target
        self.family = family
        self.ports = sport, dport
        self.numbers = set()
        self.copies = 0

    def take(self, target, packet):
        if (target is self.target and packet[0] >> 4 == self.family
                and ports_of(packet) == self.ports):
            self.copies += 1
            self.numbers.add(number_of(packet))


class Tcp(threading.Thread):
    """A connection of the kernel's own, with a line every millisecond."""

    def __init__(self, client, server):
        super().__init__(daemon=True)
        listener = server.socket(socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((server.ip[4], 3000))
        listener.listen()
        self.ours = client.socket(socket.SOCK_STREAM)
        self.ours.connect((server.ip[4], 3000))
        self.theirs, _ = listener.accept()
        self.ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.goes_on = True
        self.sent = 0
        self.start()

    def run(self):
        while self.goes_on:
            self.ours.sendall(b"%08d" % self.sent)
            self.sent += 1
            time.sleep(1 / RATE)

    def end(self):
        """Returns how many lines there were, and how many packets were sent
        again."""
        self.goes_on = False
        self.join()
        retransmitted = struct.unpack_from("I", self.ours.getsockopt(
            socket.IPPROTO_TCP, TCP_INFO, 192), TOTAL_RETRANS)[0]
        self.ours.close()
        received = b""
        while len(received) < 8 * self.sent:
            data = self.theirs.recv(1 << 20)
            if not data:
                break
            received += data
        if received != b"".join(b"%08d" % n for n in range(self.sent)):
            raise Failure("TCP loses data")
        return self.sent, retransmitted


class Changes:
    def __init__(self, on_kernel):
        namespace("team")
        self.client = Pod("team/client", role="client")
        self.stranger = Pod("team/stranger", role="stranger")
        self.near = Pod("default/near", "n1", **SERVERS)
        self.far = Pod("default/far", "n2", **SERVERS)
        self.everybody = self.client, self.stranger, self.near, self.far
        until_published(*self.everybody)
        self.write(0)
        wait()
        self.conversations = [Udp(self.client, self.near, 4),
                              Udp(self.client, self.far, 6)]
        for batch in zip(*(c.greeting() for c in self.conversations)):
            deliver([message for part in batch for message in part])
        for pod in self.everybody:
            pod.sniffer.only_udp()
        prefer_datapath()
        self.rate = RATE // 4 if on_kernel else RATE

    def write(self, state, name="rules"):
        write("policies", policy(name, SERVERS, rules(*STATES[state % 2])))

    # Streams.

    def begin(self):
        self.allowed, self.denied, frames = [], [], {}
        for c in self.conversations:
            for who, other in ("client", "server"), ("server", "client"):
                self.allowed.append(Stream(c.ends[other], c.family,
                                           c.ports[who], c.ports[other]))
                frames.setdefault(c.ends[who], []).append(
                    c.ends[who].port.frame(c.numbered(who, NUMBER)[3]))
        for server, family in (self.near, 4), (self.far, 6):
            self.denied.append(Stream(server, family, 2003, SERVED))
            frames.setdefault(self.stranger, []).append(
                self.stranger.port.frame(udp(
                    self.stranger.ip[family], 2003, server.ip[family],
                    SERVED, NUMBER)))
        for pod in self.everybody:
            list(pod.sniffer.read())
        self.floods = {pod: Flood(pod.port, made, self.rate)
                       for pod, made in frames.items()}

    def read(self):
        for pod in self.everybody:
            for _, packet in pod.sniffer.read():
                if is_numbered(packet):
                    for stream in self.allowed + self.denied:
                        stream.take(pod, packet)

    def end(self):
        """Returns how many packets each allowed stream sent, and how many of
        these have not arrived."""
        sent = {pod: flood.end() for pod, flood in self.floods.items()}
        time.sleep(0.5)
        self.read()
        sources = [pod for c in self.conversations
                   for pod in (c.ends["client"], c.ends["server"])]
        lost = sum(sent[source] - len(stream.numbers)
                   for source, stream in zip(sources, self.allowed))
        return sum(sent[source] for source in sources), lost

    def passed(self):
        return sum(stream.copies for stream in self.denied)

    def look(self, what, act):
        """What is seen while "act" is done."""
        self.begin()
        tcp = Tcp(self.client, self.far)
        pings = [subprocess.Popen(
            ["ip", "netns", "exec", self.client.netns, "ping", "-q", "-i",
             "%f" % (1 / self.rate), server.ip[family]],
            stdout=subprocess.PIPE, text=True)
            for server, family in ((self.near, 6), (self.far, 4))]
        begin = time.monotonic()
        act()
        took = time.monotonic() - begin
        for ping in pings:
            ping.send_signal(2)
        answers = [re.search(
            "([0-9]+) packets transmitted, ([0-9]+) received",
            ping.communicate()[0]).groups() for ping in pings]
        lines, again = tcp.end()
        sent, lost = self.end()
        # A ping may be on its way when it ends.
        seen = Seen(sent, lost, self.passed(),
                    sum(max(int(a) - int(b) - 1, 0) for a, b in answers),
                    again, took)
        print("changes: %s in %.1f s, %d packets a second on each stream: %d "
              "of %d lost, %d denied ones passed; pings answered: %s; TCP: %d "
              "lines, %d retransmissions" % (
                  what, took, self.rate, lost, sent, seen.passed, ", ".join(
                      "%s of %s" % (b, a) for a, b in answers), lines, again),
              flush=True)
        if seen.passed:
            raise Failure("what is denied passes")
        return seen

    def control(self, seconds):
        """What is seen while nothing changes."""
        def idle():
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.05)
                self.read()
        return self.look("none", idle)

    @staticmethod
    def carried(seen):
        return not seen.lost and not seen.pings

    def calibrate(self):
        """Finds a rate at which nothing is lost while nothing changes, and
        with which this program keeps up.  Returns what was seen."""
        while True:
            for _ in range(BUSY):
                seen = self.control(CONTROL)
                if self.carried(seen) and seen.took < 1.2 * CONTROL:
                    return seen
            self.slow_down()

    def slow_down(self):
        self.rate //= 2
        if self.rate < 20:
            raise Failure("packets are lost without changes")

    # Changes.

    def change(self, n):
        turn = n // 8
        kind = n % 8
        if kind in (0, 4):          # One policy instead of the other.
            self.write(n // 4, "rules-%d" % (n // 4 % 2))
        elif kind == 1:             # One of the same name.
            self.write(turn + 1, "rules-0")
        elif kind == 2:             # More of what the servers may be sent.
            write("more", policy("more", SERVERS, [
                {"from": [pods(role="friend")], "ports": [
                    {"protocol": "UDP", "port": SERVED + turn}]}]))
        elif kind == 3:             # Labels of both ends.
            self.client.label(role="client", turn=str(turn))
        elif kind == 5:
            (self.near, self.far)[turn % 2].label(turn=str(turn), **SERVERS)
        elif kind == 6:
            namespace("team", turn=str(turn))
        else:                       # What is for others.
            write("more", *(policy("other-%d" % i, {"role": "other"}, [
                {"from": [pods(role="client"), pods(turn=str(i))]}], [])
                for i in range(turn % 3)))

    def run(self):
        """What is seen through many changes."""
        def change_all():
            for n in range(CHANGES):
                self.change(n)
                wait()
                self.read()
        return self.look(CHANGES, change_all)

    def harmless(self, seen, control):
        """Whether the changes have done no harm: TCP has sent no more again
        than without."""
        again = control.again * seen.took / control.took
        return self.carried(seen) and seen.again <= 2 * again + AGAIN

    def twin(self):
        """The same change in two steps, and one that denies."""
        self.begin()
        for items in (), (policy("rules", SERVERS, []),):
            write("policies", *items)
            wait()
            time.sleep(0.2)
            self.read()
        self.write(1)
        wait()
        time.sleep(0.2)
        _, lost = self.end()
        print("changes: in two steps, %d denied packets pass and %d allowed "
              "ones are lost" % (self.passed(), lost))
        if not lost or not self.passed():
            raise Failure("the test cannot see")


def changes(on_kernel):
    """A machine that is busy with other things loses packets, too: what counts
    is what is lost where as much time without changes loses nothing."""
    scenario = Changes(on_kernel)
    control = scenario.calibrate()
    n_busy = n_lost = 0
    while True:
        seen = scenario.run()
        if scenario.harmless(seen, control):
            break
        control = scenario.control(seen.took)
        if scenario.harmless(seen, control):
            break
        if scenario.carried(control):
            n_lost += 1
            if n_lost == TRIALS:
                raise Failure("what is allowed is lost, or sent again, where "
                              "nothing is without changes")
        else:
            n_busy += 1
            if n_busy % BUSY == 0:
                scenario.slow_down()
                control = scenario.calibrate()
    print("changes: no harm at %d packets a second" % scenario.rate,
          flush=True)
    write("more")
    scenario.twin()
