# SPDX-License-Identifier: GPL-3.0-or-later
"""The node between pods: what it translates as kube-proxy does, what it
forwards, and what it sends itself."""

import shutil
import socket
import subprocess
import time

from packets import NUMBER, Flood, Sniffer, is_numbered, socket_in, udp
from puppets import (MARKERS, Failure, Pod, lab, policy, run_in,
                     until_published, wait, write)

OUTSIDE, NODE, PEER = "198.51.100.1", "192.0.2.1", "192.0.2.2"
PORT = 8080
IPTABLES = shutil.which("iptables", path="/usr/sbin:/sbin")
UNROUTED, ROUTED = "10.96.0.77", "10.96.200.1"
UNJUDGED_MAC = bytes.fromhex("0e4c61746575")
SERVICES = """table ip service {
  chain pre {
    type nat hook prerouting priority dstnat;
    ip daddr 10.96.0.10 tcp dport 80 dnat to %(near)s:8080
    ip daddr 10.96.0.11 tcp dport 80 dnat to %(far)s:8080
    ip daddr 10.96.0.12 tcp dport 80 dnat to %(other)s:8080
    ip daddr 10.96.0.13 tcp dport 80 dnat to 198.51.100.1:8080
    ip daddr 192.0.2.1 tcp dport 8081 dnat to 198.51.100.1:8080
    ip daddr 192.0.2.1 tcp dport 8082 dnat to %(near)s:8080
  }
}
"""


class Server:
    """Tells who asks what it sees of the client."""

    def __init__(self, netns, address):
        self.sock = socket_in(netns, socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((address, PORT))
        self.sock.listen()
        self.sock.setblocking(False)

    def clients(self):
        seen = []
        while True:
            try:
                connection, (address, _) = self.sock.accept()
            except BlockingIOError:
                return seen
            connection.close()
            seen.append(address)


class Service:
    def __init__(self, on_kernel):
        self.on_kernel = on_kernel
        self.client = Pod("default/client", role="client")
        self.near = Pod("default/near", "n1", role="backend")
        self.far = Pod("default/far", "n2", role="backend")
        self.other = Pod("default/other", role="other")
        until_published(self.client, self.near, self.far, self.other)
        self.outside = Sniffer("outside")
        self.servers = {
            "near": Server(self.near.netns, self.near.ip[4]),
            "far": Server(self.far.netns, self.far.ip[4]),
            "other": Server(self.other.netns, self.other.ip[4]),
            "outside": Server("outside", OUTSIDE),
            "node": Server("n1", NODE)}
        self.rules = SERVICES % {name: getattr(self, name).ip[4]
                                 for name in ("near", "far", "other")}
        run_in("n1", "nft", "-f", "-", stdin=self.rules)
        if IPTABLES:
            for address, pod in ("10.96.0.14", self.far), ("10.96.0.15",
                                                           self.other):
                run_in("n1", IPTABLES, "-w", "-t", "nat", "-A", "PREROUTING",
                       "-d", address, "-p", "tcp", "--dport", "80", "-j",
                       "DNAT", "--to", "%s:%d" % (pod.ip[4], PORT))
        run_in("n1", "ip", "route", "add", "10.96.128.0/17", "via",
               "192.0.2.254")
        self.policies()

    def policies(self, confined=True):
        items = [policy("in", {"role": "backend"}, [MARKERS, {"from": [
            {"podSelector": {"matchLabels": {"role": "client"}}}]}])]
        if confined:
            items.append(policy("out", {"role": "client"}, egress=[
                MARKERS, {"to": [{"podSelector": {"matchLabels": {
                    "role": "backend"}}}]}]))
        write("policies", *items)
        wait()

    def connect(self, netns, address, port, who):
        """Connects.  Returns the address that the server saw, or None."""
        for server in self.servers.values():
            server.clients()
        with socket_in(netns, socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(10 if who else 1.2 if self.on_kernel else 0.6)
            try:
                sock.connect((address, port))
            except OSError:
                pass
        time.sleep(0.05)
        seen = {name: server.clients()
                for name, server in self.servers.items()}
        if any(clients for name, clients in seen.items() if name != who):
            raise Failure("%s port %d: answered by %s" % (address, port,
                                                          seen))
        return (seen[who] or [None])[0] if who else None

    def expect(self, netns, address, port, who, source):
        saw = self.connect(netns, address, port, who)
        if saw != (source if who else None):
            raise Failure("%s port %d: %s, where %s is to see %s" % (
                address, port, saw, who, source))

    def translated(self):
        """Egress is judged by what the host translates to, ingress by where
        the packets come from."""
        mine, netns = self.client.ip[4], self.client.netns
        for address, port, who in (
                ("10.96.0.10", 80, "near"), ("10.96.0.11", 80, "far"),
                ("10.96.0.12", 80, None), ("10.96.0.13", 80, None),
                ("10.96.0.14", 80, IPTABLES and "far"),
                ("10.96.0.15", 80, None),
                (NODE, 8081, None), (NODE, 8082, "near"),
                (NODE, PORT, "node"), (PEER, PORT, None),
                (self.other.ip[4], PORT, None), (OUTSIDE, PORT, None)):
            self.expect(netns, address, port, who, mine)
        for address in "10.96.0.10", "10.96.0.11":
            self.expect(self.other.netns, address, 80, None, None)

        # The node's own is never judged, what it forwards is.
        self.expect("n1", self.near.ip[4], PORT, "near", "10.244.1.1")
        self.expect("n1", self.far.ip[4], PORT, None, None)

        # Without the policy, it can be seen.
        self.policies(confined=False)
        for address, who in ("10.96.0.12", "other"), ("10.96.0.13",
                                                      "outside"):
            self.expect(netns, address, 80, who,
                        NODE if who == "outside" else mine)
        self.expect(netns, NODE, 8081, "outside", NODE)
        self.policies()
        print("service: translated connections are judged", flush=True)

    def balanced(self):
        """The same for IPVS, which sends what it translates as if it were
        the node's own."""
        services = [("10.96.0.20", self.near.ip[4], "near"),
                    ("10.96.0.21", self.far.ip[4], "far"),
                    ("10.96.0.22", self.other.ip[4], None),
                    ("10.96.0.23", OUTSIDE, None), ("10.96.0.24", PEER, None)]
        run_in("n1", "ip", "link", "add", "kube-ipvs0", "type", "dummy")
        for address, server, _ in services:
            run_in("n1", "ip", "address", "add", address + "/32", "dev",
                   "kube-ipvs0")
            run_in("n1", "ipvsadm", "-A", "-t", address + ":80")
            run_in("n1", "ipvsadm", "-a", "-t", address + ":80", "-r",
                   "%s:%d" % (server, PORT), "-m")
        run_in("n1", "sysctl", "-qw", "net.ipv4.vs.conntrack=1")
        netns = self.client.netns
        for address, _, who in services:
            self.expect(netns, address, 80, who, self.client.ip[4])
        self.policies(confined=False)
        self.expect(netns, "10.96.0.22", 80, "other", self.client.ip[4])
        self.expect(netns, "10.96.0.23", 80, "outside", NODE)
        self.policies()
        # Routing rules do not see it: without nftables, it leaves.
        lab("lateend", "n1", "kill")
        run_in("n1", "nft", "flush", "chain", "inet", "lateen_nat", "leaving")
        self.expect(netns, "10.96.0.23", 80, "outside", NODE)
        lab("lateend", "n1", "start")
        wait()
        run_in("n1", "ipvsadm", "-C")
        run_in("n1", "ip", "link", "del", "kube-ipvs0")
        print("service: what IPVS translates is judged", flush=True)

    # What has yet to be judged.

    def leaves(self, frames):
        """How many of the numbered datagrams reach the world outside."""
        list(self.outside.read())
        for _ in range(20):
            for frame in frames:
                self.client.port.sock.send(frame)
            time.sleep(0.005)
        time.sleep(0.3)
        return sum(is_numbered(packet) for _, packet in self.outside.read())

    def frames(self, mac=None, targets=(UNROUTED, ROUTED)):
        return [self.client.port.frame(
            udp(self.client.ip[4], 2005, target, 2006, NUMBER), mac)
            for target in targets]

    def unjudged(self):
        for what, frames in (
                ("to no Service", self.frames()),
                ("with the MAC address", self.frames(UNJUDGED_MAC, (
                    UNROUTED, OUTSIDE, NODE)))):
            if self.leaves(frames):
                raise Failure("packets %s leave" % what)
        lab("lateend", "n1", "kill")
        run_in("n1", "nft", "flush", "chain", "inet", "lateen_nat", "leaving")
        if self.on_kernel and self.leaves(self.frames()):
            raise Failure("packets leave without the host's chain")
        run_in("n1", "ip", "rule", "del", "priority", "1224")
        passed = self.leaves(self.frames())
        lab("lateend", "n1", "start")
        wait()
        print("service: without the host's chain and rule %d packets leave"
              % passed)
        if not passed or self.leaves(self.frames()):
            raise Failure("the test cannot see")

    def flushed(self):
        """Somebody takes Lateen's nftables away, over and over."""
        flood = Flood(self.client.port, self.frames(), 100 if self.on_kernel
                      else 5000)
        list(self.outside.read())
        passed = 0
        for _ in range(10):
            # A slow agent may not have put it back.
            run_in("n1", "nft", "add table inet lateen_nat; "
                   "delete table inet lateen_nat")
            time.sleep(0.2)
            passed += sum(is_numbered(packet)
                          for _, packet in self.outside.read())
        sent = flood.end()
        print("service: of %d packets, %d leave while the host's table is "
              "taken away ten times" % (2 * sent, passed), flush=True)
        # With a datapath in user space, the table is all there is.
        if passed and self.on_kernel:
            raise Failure("packets leave without the host's table")

    def forwarded(self):
        """What the node forwards to a pod is not the node's own."""
        subprocess.run(["ip", "-n", "outside", "route", "add", "10.244.1.0/24",
                        "via", NODE], check=True)
        self.expect("outside", self.near.ip[4], PORT, None, None)
        run_in("n1", "nft", "-f", "-", stdin="""table ip masquerading {
  chain post {
    type nat hook postrouting priority srcnat;
    ip saddr 192.0.2.254 oifname "lateen-gw0" masquerade
  }
}
""")
        # A datapath in user space cannot tell.
        if self.on_kernel:
            self.expect("outside", self.near.ip[4], PORT, None, None)
        write("policies")
        wait()
        self.expect("outside", self.near.ip[4], PORT, "near", "10.244.1.1")
        print("service: what is forwarded is judged", flush=True)


def service(on_kernel):
    scenario = Service(on_kernel)
    scenario.translated()
    if on_kernel:
        scenario.balanced()
    scenario.unjudged()
    scenario.flushed()
    scenario.forwarded()
