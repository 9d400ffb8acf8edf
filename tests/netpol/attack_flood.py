# SPDX-License-Identifier: GPL-3.0-or-later
"""What arrives while everybody sends as fast as they can: after a change is
said to be realized, at a pod that has just been attached, and at the next owner
of an address."""

import itertools
import json
import os
import subprocess
import time

from conversations import SERVED, Tcp, Udp
from packets import NUMBER, Flood, Port, Sniffer, is_numbered, udp
from puppets import (CLUSTER, FAMILIES, MARKERS, RUN, Failure, Pod, appctl,
                     ask, deliver, nodes, pod_object, policy, run_in,
                     socket_in, until_published, wait, write)

SERVERS = {"role": "server"}
FLOOD_PORT = 2001


def policies(*items):
    write("policies", *items)


class Watch:
    """The times at which numbered packets arrive in namespaces."""

    def __init__(self, *sniffers):
        self.sniffers = sniffers
        self.times = []

    def read(self):
        for sniffer in self.sniffers:
            for when, packet in sniffer.read():
                if is_numbered(packet):
                    self.times.append(when)

    def between(self, begin, end):
        self.read()
        return sum(begin < when < end for when in self.times)


def start(conversations, rate=None):
    """Processes that send on the connections, from all their ends."""
    frames = {}
    for c in conversations:
        for who in "client", "server":
            packet = c.numbered(who, NUMBER)[3]
            frames.setdefault(c.ends[who], []).append(
                c.ends[who].port.frame(packet))
    return [Flood(source.port, made, rate) for source, made in frames.items()]


# The window between the tables and the datapath.

CHANGES = 20
RATE = 500                      # Packets a second on each connection.


def window(_with_sctp):
    client = Pod("default/client", role="client")
    servers = [Pod("default/near", "n1", **SERVERS),
               Pod("default/far", "n2", **SERVERS)]
    until_published(client, *servers)
    policies()
    wait()
    conversations = [kind(client, server, family) for kind in (Udp, Tcp)
                     for server in servers for family in FAMILIES]
    for batch in itertools.zip_longest(*(c.greeting()
                                         for c in conversations)):
        deliver([message for part in batch if part for message in part])
    watch = Watch(*(pod.sniffer for pod in (client, *servers)))
    senders = start(conversations, RATE)
    late = before = 0
    margins = []
    for _ in range(CHANGES):
        begin = time.time()
        time.sleep(0.05)
        watch.read()
        policies(policy("isolate", SERVERS, [MARKERS]))
        denied = wait()
        time.sleep(0.1)
        undone = time.time()
        policies()
        wait()
        before += watch.between(begin, denied)
        late += watch.between(denied, undone)
        margins.append(denied - max(t for t in watch.times if t < undone))
        watch.times.clear()
    print("window: %d changes, %d packets before and %d after they were said "
          "to be realized, the last of them at least %.1f ms before"
          % (CHANGES, before, late, min(margins) * 1e3), flush=True)
    if late or before < CHANGES * 10:
        raise Failure("the window is open")

    # The twin: the datapath follows the tables only when revalidators run.
    for node in nodes():
        appctl(node, "revalidator/pause")
    policies(policy("isolate", SERVERS, [MARKERS]))
    time.sleep(0.5)
    begin = time.time()
    time.sleep(0.3)
    passed = watch.between(begin, time.time())
    missing = json.loads(ask("n1", "status"))["synced"]
    for node in nodes():
        appctl(node, "revalidator/resume")
    wait()
    for sender in senders:
        sender.end()
    print("window: without revalidators %d packets pass, and the change is %s "
          "to be realized" % (passed, "said" if missing else "not said"))
    if not passed or missing:
        raise Failure("the test cannot see a window")
