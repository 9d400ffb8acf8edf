# SPDX-License-Identifier: GPL-3.0-or-later
"""What arrives while everybody sends as fast as they can: after a change is
said to be realized, at a pod that has just been attached, and at the next owner
of an address."""

import itertools
import json
import os
import signal
import time

from conversations import Tcp, Udp
from packets import NUMBER, SYN, Flood, Port, is_numbered, tcp, udp
from puppets import (FAMILIES, MARKERS, RUN, Failure, Guest, Pod, appctl, ask,
                     deliver, lateend, nodes, policy, run_in, until_published,
                     wait, write)

SERVERS = {"role": "server"}
FLOOD_PORT = 2001

# Packets a second of each kind: what Python can still look at, on a machine of
# its own or on the emulated one that kernels are tested in.
RATE, RATE_EMULATED = 500, 50


def policies(*items):
    write("policies", *items)


def rate(on_kernel):
    return RATE_EMULATED if on_kernel else RATE


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


def window(on_kernel):
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
    senders = start(conversations, rate(on_kernel))
    late = before = 0
    margins = []
    times = 10 if on_kernel else 20
    for _ in range(times):
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
          % (times, before, late, min(margins) * 1e3), flush=True)
    if late or before < times * 2:
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


# Before the first packet.

def spray(source, target):
    """Frames to the addresses of 'target', from addresses of 'source'."""
    return [source.port.frame(make(
        source.ip[family], 2002, target.ip[family], FLOOD_PORT, *more, NUMBER))
        for family in FAMILIES
        for make, more in ((udp, ()), (tcp, (SYN, 1, 0)))]


def talk_early(guest, targets, plugin):
    """Sends from the pod as soon as it has a device, until ADD ends."""
    while plugin.poll() is None:
        try:
            guest.port = guest.port or Port(guest.netns)
            for target in targets:
                for frame in spray(guest, target):
                    guest.port.sock.send(frame)
        except OSError:
            guest.port = None
            time.sleep(0.001)


class First:
    def __init__(self, on_kernel):
        self.rate = rate(on_kernel)
        self.senders = [Pod("default/near", "n1"), Pod("default/far", "n2")]
        until_published(*self.senders)
        rules = {"from": [{"podSelector": {}}]}, {"to": [{"podSelector": {}}]}
        policies(policy("closed", {"door": "closed"}, [], []),
                 policy("open", {"door": "open"}, [rules[0]], [rules[1]]))
        wait()
        self.number = itertools.count(50)

    def guest(self):
        n = next(self.number)
        return Guest("default/guest-%d" % n, "n1",
                     ["10.244.1.%d" % n, "fd00:10:244:1::%x" % n])

    def flooded(self, guest, until):
        """Has 'until' done while packets are sent to the pod.  Returns how
        many packets have got in, and out of it."""
        floods = [Flood(sender.port, spray(sender, guest), self.rate)
                  for sender in self.senders]
        outside = Watch(*(sender.sniffer for sender in self.senders))
        outside.read()
        outside.times.clear()
        inside = Watch(guest.sniffer)
        time.sleep(0.1)
        until(guest)
        for frame in spray(guest, self.senders[0]) if guest.port else ():
            guest.port.sock.send(frame)
        time.sleep(0.5)
        for flood in floods:
            flood.end()
        return inside.between(0, time.time()), outside.between(0, time.time())

    def add(self, guest, known=True, door=None):
        if known and door:
            guest.label(door=door)
        plugin = guest.call("ADD")
        if not known:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                if plugin.poll() is not None:
                    raise Failure("ADD does not wait for labels")
                time.sleep(0.1)
            if list(filter(is_numbered, (packet for _, packet in
                                         guest.sniffer.read()))):
                raise Failure("a pod without labels receives packets")
            guest.label(door=door)
        talk_early(guest, self.senders[:1], plugin)
        guest.added(plugin)

    def check(self, what, door, known=True):
        guest = self.guest()
        got, sent = self.flooded(
            guest, lambda guest: self.add(guest, known, door))
        print("first: %s, %s: %d packets get in, %d out"
              % (what, door, got, sent), flush=True)
        if bool(got) != (door == "open") or bool(sent) != (door == "open"):
            raise Failure("wrong")
        guest.delete()

    def never_known(self):
        """Nothing stays of a pod whose labels do not come."""
        before = self.traces()
        guest = self.guest()

        def fail(guest):
            plugin = guest.call("ADD")
            talk_early(guest, self.senders[:1], plugin)
            answer = json.loads(plugin.stdout.read())
            if not plugin.wait() or answer["code"] != 11:
                raise Failure("ADD answers %s" % answer)
        got, sent = self.flooded(guest, fail)
        guest.forget()
        after = self.traces()
        if got or sent or after != before:
            raise Failure("%d packets get in, %d out; left behind: %s" % (
                got, sent, after ^ before))
        print("first: labels that do not come: error 11, nothing is left",
              flush=True)

    @staticmethod
    def traces():
        wait()                  # Somebody may have left just now.
        lines = run_in("n1", "ip", "-br", "link")
        lines += run_in("n1", "env", "OVS_RUNDIR=%s/n1/ovs" % RUN, "sh", "-c",
                        "ovs-vsctl list-ports br-int; "
                        "ovs-ofctl --no-stats dump-flows br-int; "
                        "ls %s/n1/ipam/lateen | grep -v last_res" % RUN)
        lines += ask("n1", "pods")
        return set(lines.splitlines())


def first(on_kernel):
    scenario = First(on_kernel)
    for _ in range(1 if on_kernel else 3):
        scenario.check("labels known", "closed")
    scenario.check("labels known", "open")
    scenario.check("labels come late", "closed", known=False)
    scenario.check("labels come late", "open", known=False)
    with open(RUN + "/n1/lateend.yaml", "r+", encoding="ascii") as file:
        length = len(file.read())
        file.write("cni-timeout: 2\n")
        file.flush()
        # The agent looks at the file every second.
        time.sleep(2.5)
        scenario.never_known()
        file.truncate(length)


# The next owner of an address.

class Reuse:
    """The first owner takes what the next one may not."""

    def __init__(self, on_kernel):
        self.rate = rate(on_kernel)
        self.client = Pod("default/client", "n1")
        until_published(self.client)
        policies(policy("closed", {"door": "closed"}, [MARKERS], []))
        wait()
        self.number = itertools.count(1)

    def owner(self, node, addresses, door):
        guest = Guest("default/owner-%d" % next(self.number), node, addresses)
        guest.label(door=door)
        return guest

    def connected(self, guest):
        """Connections of the client, that it goes on to send on."""
        conversations = [kind(self.client, guest, family)
                         for kind in (Udp, Tcp) for family in FAMILIES]
        for batch in itertools.zip_longest(*(c.greeting()
                                             for c in conversations)):
            deliver([message for part in batch if part for message in part])
        return [self.client.port.frame(c.numbered("client", NUMBER)[3])
                for c in conversations]

    @staticmethod
    def remembered(node, guest):
        """What conntrack knows of the addresses."""
        return [line for line in appctl(node, "dpctl/dump-conntrack",
                                        "zone=%d" % 0x4c00).splitlines()
                if any("=%s," % ip in line for ip in guest.ip.values())]

    def run(self, node, door):
        addresses = ["10.244.%s.77" % node[1], "fd00:10:244:%s::4d" % node[1]]
        old = self.owner(node, addresses, "open")
        old.add()
        until_published(old)
        frames = self.connected(old)
        if not self.remembered(node, old):
            raise Failure("conntrack knows nothing")
        watch = Watch(old.sniffer)
        flood = Flood(self.client.port, frames, self.rate)
        time.sleep(0.3)
        if not watch.between(0, time.time()):
            raise Failure("nothing arrives at the first owner")
        new = self.owner(node, addresses, door)
        old.delete()
        new.add()
        left = self.remembered(node, new)
        time.sleep(0.5)
        flood.end()
        got = Watch(new.sniffer).between(0, time.time())
        print("reuse: on %s, next owner %s: %d packets get in"
              % (node, door, got), flush=True)
        if door == "closed" and (got or left):
            raise Failure("conntrack still knows: %s" % left)
        if door == "open" and not got:
            raise Failure("the test cannot see")
        new.delete()
        wait()


class Impersonate:
    """The first owner may do what the next one may not: nobody takes it for
    the first, neither on its own node nor on one that is told."""

    def __init__(self, on_kernel):
        self.rate = rate(on_kernel)
        self.targets = [Pod("default/guarded", node, guarded="yes")
                        for node in nodes()]
        until_published(*self.targets)
        policies(policy("guard", {"guarded": "yes"}, [MARKERS, {"from": [
            {"podSelector": {"matchLabels": {"door": "open"}}}]}]))
        wait()
        # What is tried is how soon agents act, not how busy the machine is.
        for node in nodes():
            os.setpriority(os.PRIO_PROCESS, lateend(node), -20)
        self.number = itertools.count(1)

    def owner(self, node, addresses, door):
        guest = Guest("default/heir-%d" % next(self.number), node, addresses)
        guest.label(door=door)
        return guest

    def frames(self, guest):
        return [frame for target in self.targets
                for frame in spray(guest, target)]

    def arrived(self):
        """How many packets have reached each target, by family, since the last
        look."""
        found = {(target.node, family): 0 for target in self.targets
                 for family in FAMILIES}
        for target in self.targets:
            for _, packet in target.sniffer.read():
                if is_numbered(packet):
                    found[target.node, packet[0] >> 4] += 1
        return found

    def run(self, node, door, lingers=False, late=None):
        """The first owner's manifest goes with it, or, as in Kubernetes, when
        the next owner is there.  The agent of the node "late" hears of nothing
        in between.  Returns how many packets have reached each target."""
        addresses = ["10.244.%s.177" % node[1], "fd00:10:244:%s::b1" % node[1]]
        old = self.owner(node, addresses, "open")
        old.add()
        until_published(old)
        flood = Flood(old.port, self.frames(old), self.rate)
        time.sleep(0.3)
        flood.end()
        before = self.arrived()
        if not all(before.values()):
            raise Failure("the first owner does not get through: %s" % before)
        new = self.owner(node, addresses, door)
        wait()
        if late:
            os.kill(lateend(late), signal.SIGSTOP)
        try:
            old.detach()
            if not lingers:
                old.forget()
            self.arrived()
            plugin = new.call("ADD")
            talk_early(new, self.targets, plugin)
            new.added(plugin)
            flood = Flood(new.port, self.frames(new), self.rate)
            time.sleep(0.5)
            got = self.arrived()
        finally:
            if late:
                os.kill(lateend(late), signal.SIGCONT)
        if lingers:
            old.forget()
        until_published(new)
        wait()
        if not late:
            for where, n in self.arrived().items():
                got[where] += n
        self.arrived()
        time.sleep(0.3)
        flood.end()
        after = self.arrived()
        print("reuse: %s%s, next owner on %s is %s: %s get through, %d in the "
              "end" % ("%s is late, " % late if late else "",
                       "old manifest stays" if lingers else
                       "old manifest goes", node, door, ", ".join(
                           "%d to %s on IPv%d" % (n, *where)
                           for where, n in got.items()), sum(after.values())),
              flush=True)
        if door == "open" and not all(after.values()):
            raise Failure("the test cannot see")
        if door != "open" and any(after.values()):
            raise Failure("the next owner is taken for the first in the end")
        new.delete()
        wait()
        return got

    def deny(self, node, lingers):
        if any(self.run(node, "shut", lingers).values()):
            raise Failure("the next owner is taken for the first")

    def twin(self, node, late):
        """Where an agent hears of nothing, it can be seen, and there alone."""
        got = self.run(node, "shut", True, late)
        if any(bool(n) != (where[0] == late) for where, n in got.items()):
            raise Failure("the test cannot see")


def reuse(on_kernel):
    scenario = Reuse(on_kernel)
    for node in nodes():
        for door in "closed", "open":
            scenario.run(node, door)
    scenario = Impersonate(on_kernel)
    for node in nodes():
        scenario.run(node, "open")
        scenario.twin(node, next(late for late in nodes() if late != node))
    for _ in range(1 if on_kernel else 4):
        for node in nodes():
            for lingers in False, True:
                scenario.deny(node, lingers)
