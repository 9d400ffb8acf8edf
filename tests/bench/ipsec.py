#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures IPsec beside strongSwan and Open vSwitch set up by hand:
ipsec-1-stream and ipsec-1-stream-cpu for a TCP stream between two nodes,
peers-100 for the time in which charon takes 100 peers.

Both are in one kernel, in the lab's virtual machine where the running kernel
cannot do it, and take turns: the nodes n1 and n2 of a lab, with pods, and the
namespaces h1 and h2 on the same underlay, each with an Open vSwitch and a
charon of its own, and a Geneve tunnel with IPsec of the same traffic
selectors, proposals and MTU."""

import json
import os
import pathlib
import shlex
import socket
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
NODES = TOP / "tests/lab/nodes.sh"
RUN = pathlib.Path(os.environ.get("LATEEN_LAB_RUN", "/run/lateen/lab"))
HAND = pathlib.Path("/run/lateen/by-hand")
STREAM_RUNS = 40
STREAM_SECONDS = 2
PEERS_RUNS = 5
N_PEERS = 100

CHARON = """charon-systemd {
  load_modular = yes
  plugins {
    include /etc/strongswan.d/charon/*.conf
    forecast {
      load = no
    }
    kernel-libipsec {
      load = no
    }
    vici {
      socket = unix://%(dir)s/charon.vici
    }
  }
  filelog {
    lab {
      path = %(dir)s/charon.txt
      default = 1
      flush_line = yes
    }
  }
}
"""

CONNECTION = """  %(name)s {
    version = 2
    local_addrs = %(me)s
    remote_addrs = %(peer)s
    proposals = aes256gcm16-prfsha256-x25519
    mobike = no
    keyingtries = 0
    rekey_time = 4h
    dpd_delay = 10s
    unique = no
    local {
      auth = psk
      id = %(me)s
    }
    remote {
      auth = psk
      id = %(peer)s
    }
    children {
      out {
        local_ts = %(me)s/32[17]
        remote_ts = %(peer)s/32[17/6081]
        %(child)s
      }
      in {
        local_ts = %(me)s/32[17/6081]
        remote_ts = %(peer)s/32[17]
        %(child)s
      }
    }
  }
"""
CHILD = """esp_proposals = aes256gcm16-x25519
        mode = transport
        start_action = trap
        rekey_time = 1h
        replay_window = 256
        priority = 1000"""


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True,
                          text=True, **options)


def output(*command):
    return run(*command, stdout=subprocess.PIPE).stdout


def wait_until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.05)


class Host:
    """A node without Lateen."""

    def __init__(self, number):
        self.name = f"h{number}"
        self.dir = HAND / self.name
        self.ip = f"192.0.2.{100 + number}"
        self.peer = f"192.0.2.{103 - number}"
        self.dir.mkdir(parents=True)
        self.env = dict(
            os.environ, OVS_RUNDIR=str(self.dir), OVS_LOGDIR=str(self.dir),
            OVS_DBDIR=str(self.dir),
            STRONGSWAN_CONF=str(self.dir / "strongswan.conf"))
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ip", "-n", self.name, "link", "add", "eth0", "type", "veth",
            "peer", "name", f"s-{self.name}", "netns", "lab-switch")
        run("ip", "-n", "lab-switch", "link", "set", f"s-{self.name}",
            "master", "br0", "up")
        run("ip", "-n", self.name, "address", "add", f"{self.ip}/24", "dev",
            "eth0")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
        self.start_charon()

    def inside(self, *command, **options):
        return run("ip", "netns", "exec", self.name, *command, env=self.env,
                   stdout=subprocess.DEVNULL, **options)

    def swanctl(self, *arguments):
        return self.inside("swanctl", *arguments, "--uri",
                           f"unix://{self.dir}/charon.vici",
                           stderr=subprocess.DEVNULL)

    def start_charon(self):
        (self.dir / "strongswan.conf").write_text(
            CHARON % {"dir": self.dir}, encoding="ascii")
        with open(self.dir / "charon.out", "wb") as log:
            self.charon = subprocess.Popen(
                ["ip", "netns", "exec", self.name,
                 "/usr/sbin/charon-systemd"], env=self.env, stdout=log,
                stderr=log, stdin=subprocess.DEVNULL)

        def answers():
            try:
                self.swanctl("--stats")
            except subprocess.CalledProcessError:
                return False
            return True
        wait_until(f"charon of {self.name}", answers)

    def load(self, peers):
        """Has charon load connections to 'peers', and returns how long that
        took."""
        with open(self.dir / "swanctl.conf", "w", encoding="ascii") as conf:
            conf.write("connections {\n")
            for n, peer in enumerate(peers):
                conf.write(CONNECTION % {
                    "name": f"peer-{n}", "me": self.ip, "peer": peer,
                    "child": CHILD})
            conf.write("}\nsecrets {\n  ike {\n    secret = \"")
            conf.write((RUN / "psk").read_text(encoding="ascii").strip())
            conf.write("\"\n  }\n}\n")
        start = time.perf_counter()
        self.swanctl("--load-all", "--file", self.dir / "swanctl.conf")
        return time.perf_counter() - start

    def start_switch(self, mtu):
        """Starts Open vSwitch with a tunnel and a container."""
        run("ovsdb-tool", "create", self.dir / "conf.db",
            "/usr/share/openvswitch/vswitch.ovsschema")
        self.inside("ovsdb-server", self.dir / "conf.db",
                    f"--remote=punix:{self.dir}/db.sock", "--detach",
                    "--no-chdir", f"--pidfile={self.dir}/ovsdb-server.pid",
                    "--log-file", "-vconsole:off")
        self.inside("ovs-vsctl", "--no-wait", "init")
        self.inside("ovs-vswitchd", f"unix:{self.dir}/db.sock", "--detach",
                    "--no-chdir", f"--pidfile={self.dir}/ovs-vswitchd.pid",
                    "--log-file", "-vconsole:off")
        pod = f"{self.name}-pod"
        run("ip", "netns", "add", pod)
        run("ip", "-n", pod, "link", "add", "eth0", "mtu", mtu, "type",
            "veth", "peer", "name", "pod0", "mtu", mtu, "netns", self.name)
        run("ip", "-n", pod, "address", "add", f"198.18.0.{self.name[1:]}/24",
            "dev", "eth0")
        run("ip", "-n", pod, "link", "set", "eth0", "up")
        run("ip", "-n", self.name, "link", "set", "pod0", "up")
        self.inside("ovs-vsctl", "--timeout=30", "add-br", "br0", "--",
                    "add-port", "br0", "pod0", "--", "add-port", "br0",
                    "tun0", "--", "set", "interface", "tun0", "type=geneve",
                    f"options:remote_ip={self.peer}")

    def stop(self):
        for pidfile in self.dir.glob("*.pid"):
            os.kill(int(pidfile.read_text(encoding="ascii")), 15)
        self.charon.terminate()
        self.charon.wait()


def busy_seconds():
    """The time that all processors have worked."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(word) for word in stat.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def stream(client, address):
    """Returns Mbit/s, and the processors' seconds for each gigabyte."""
    before = busy_seconds()
    result = json.loads(output("ip", "netns", "exec", client, "iperf3", "-J",
                               "-t", STREAM_SECONDS, "-O", "1", "-c",
                               address))
    sent = result["end"]["sum_received"]
    whole = sum(i["sum"]["bytes"] for i in result["intervals"])
    return (sent["bits_per_second"] / 1e6,
            (busy_seconds() - before) / (whole / 1e9))


def settle():
    """Waits until nothing that is past is at work any more: the kernel takes
    long to end a network namespace, and charon to forget its peers."""
    def idle():
        before = busy_seconds()
        time.sleep(2)
        return busy_seconds() - before < 0.6
    wait_until("an idle machine", idle, 120)


def netns(pod):
    """The network namespace of 'pod', as "ip netns" names it."""
    return output(NODES, "exec", pod, "--", "ip", "netns", "identify").strip()


def esp_only(name):
    """That the tunnel's packets of namespace 'name' are in ESP: there are
    SAs, and its XFRM policies leave it no other way."""
    states = output("ip", "-n", name, "-s", "xfrm", "state")
    return "proto esp" in states


def measure_stream():
    pods = [("n1", "default/a"), ("n2", "default/b")]
    for node, pod in pods:
        run(NODES, "pod", "add", node, pod, stdout=subprocess.DEVNULL)
    mtu = output(NODES, "exec", "default/a", "--", "cat",
                 "/sys/class/net/eth0/mtu").strip()
    ours = json.loads(output(NODES, "exec", "default/b", "--", "ip", "-j",
                             "-4", "address", "show", "dev", "eth0"))
    ours = ours[0]["addr_info"][0]["local"]
    hosts = [Host(1), Host(2)]
    servers = []
    try:
        for host in hosts:
            host.load([host.peer])
        for child in "out", "in":
            hosts[0].swanctl("--initiate", "--ike", "peer-0", "--child", child)
        for host in hosts:
            host.start_switch(mtu)
        kinds = [(netns("default/a"), ours, "n1"),
                 ("h1-pod", "198.18.0.2", "h1")]
        for server in netns("default/b"), "h2-pod":
            servers.append(subprocess.Popen(
                ["ip", "netns", "exec", server, "iperf3", "-s"],
                stdout=subprocess.DEVNULL))
        for client, address, name in kinds:
            wait_until(f"{address} from {name}", lambda c=client, a=address:
                       not subprocess.run([
                           "ip", "netns", "exec", c,
                           "ping", "-c", "1", "-W", "1", a],
                           stdout=subprocess.DEVNULL, check=False).returncode)
            time.sleep(2)
            stream(client, address)
            if not esp_only(name):
                raise RuntimeError(f"{name} has no ESP SAs")
        runs = [[], []]
        for _ in range(STREAM_RUNS):
            for kind, (client, address, _) in enumerate(kinds):
                runs[kind].append(stream(client, address))
    finally:
        for server in servers:
            server.terminate()
        for host in hosts:
            host.stop()
    return runs


def control(command):
    """Asks n1's lateend, by its socket: a program more would take longer than
    what it is to see."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(RUN / "n1/lateen/lateend.ctl"))
        sock.sendall(json.dumps({"method": command, "params": [],
                                 "id": 0}).encode())
        answer = b""
        while True:
            answer += sock.recv(65536)
            try:
                return json.loads(answer)["result"]
            except ValueError:
                continue


def peer_addresses():
    return [f"192.0.2.{254 - n}" for n in range(1, N_PEERS + 1)]


def measure_peers():
    """The time from a file of 100 nodes to charon with all connections and
    traps, beside "swanctl --load-all"."""
    file = RUN / "cluster/peers.yaml"
    nodes = "".join(f"""---
apiVersion: v1
kind: Node
metadata: {{name: peer-{n}}}
spec: {{podCIDRs: [10.244.{100 + n}.0/24]}}
status: {{addresses: [{{type: InternalIP, address: {peer}}}]}}
""" for n, peer in enumerate(peer_addresses()))
    ours, theirs = [], []
    # Both nodes see the file; only one is to load.
    run(NODES, "lateend", "n2", "stop", stdout=subprocess.DEVNULL)

    def realized(n_nodes):
        status = json.loads(control("status"))
        return (status["source"]["nodes"] == n_nodes
                and status["ipsec"]["inPlace"])

    def traps(name, n):
        return output("ip", "-n", name, "xfrm", "policy").count(
            "tmpl src") >= 4 * n

    for _ in range(PEERS_RUNS):
        host = Host(1)
        settle()
        try:
            theirs.append(host.load(peer_addresses()))
            if not traps("h1", N_PEERS):
                raise RuntimeError("swanctl has not loaded all")
        finally:
            host.stop()
            run("ip", "netns", "del", "h1")
            run("rm", "-r", HAND)

        file.with_suffix(".tmp").write_text(nodes, encoding="ascii")
        settle()
        start = time.perf_counter()
        file.with_suffix(".tmp").rename(file)
        # To ask takes time, too.
        time.sleep(theirs[-1] * 0.8)
        while not realized(2 + N_PEERS):
            time.sleep(0.02)
        ours.append(time.perf_counter() - start)
        if not traps("n1", N_PEERS):
            raise RuntimeError("charon has not what lateend says")
        file.unlink()
        wait_until("the end of the peers", lambda: realized(2))
    run(NODES, "lateend", "n2", "start", stdout=subprocess.DEVNULL)
    return [ours, theirs]


def measure(names):
    """Brings the nodes up and prints {"stream": ..., "peers": ...}."""
    # As Debian has it, by hand or not.
    run(NODES, "up", "--no-bypass-lan", stdout=sys.stderr)
    results = {}
    try:
        if "peers-100" in names:
            results["peers"] = measure_peers()
        if set(names) & {"ipsec-1-stream", "ipsec-1-stream-cpu"}:
            results["stream"] = measure_stream()
    finally:
        run(NODES, "down", stdout=sys.stderr)
    print("result:", json.dumps(results))


def report(name, what, unit, ours, theirs, digits):
    limit = statistics.median(theirs)
    return {"name": name, "what": what, "unit": unit,
            "ours": round(statistics.median(ours), digits),
            "limit": round(limit, digits),
            "ratio": round(statistics.median(ours) / limit, 3),
            "runs": [round(value, digits) for value in ours]}


NAMES = ["ipsec-1-stream", "ipsec-1-stream-cpu", "peers-100"]


def main():
    names = sys.argv[1:]
    if names == ["--list"]:
        print(*NAMES, sep="\n")
        return
    if names[:1] == ["--measure"]:
        measure(names[1:])
        return
    # charon and what loads it work side by side.
    os.environ.setdefault("LATEEN_LAB_CPUS", "2")
    command = [sys.executable, __file__, "--measure", *(names or NAMES)]
    done = run(TOP / "tests/lab/vm", "run", "-s", "1200", "--", "sh", "-c",
               " ".join(shlex.quote(word) for word in
                        ["/usr/bin/python3", *command[1:]]),
               stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    results = json.loads([line for line in done.stdout.splitlines()
                          if line.startswith("result:")][0][7:])
    reports = []
    if "stream" in results:
        ours, theirs = results["stream"]
        reports.append(report(
            "ipsec-1-stream",
            "TCP throughput of one stream between pods on two nodes, beside "
            "strongSwan and Open vSwitch set up by hand in the same kernel "
            "(goal: ratio 0.98 at least)", "Mbit/s",
            [mbps for mbps, _ in ours], [mbps for mbps, _ in theirs], 1))
        reports.append(report(
            "ipsec-1-stream-cpu",
            "processor time of all for one gigabyte of that stream", "s",
            [cpu for _, cpu in ours], [cpu for _, cpu in theirs], 2))
    if "peers" in results:
        ours, theirs = results["peers"]
        reports.append(report(
            "peers-100",
            "time until charon has 100 peers with their traps, from a file "
            "of Nodes, beside \"swanctl --load-all\" of the same connections "
            "(goal: ratio 1.2)", "s", ours, theirs, 3))
    print(json.dumps([r for r in reports
                      if not names or r["name"] in names]))


if __name__ == "__main__":
    main()
