# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods of a lab as puppets, that send what packets they are told to, and the
cluster that the lab's agents see."""

import glob
import ipaddress
import itertools
import json
import os
import re
import socket
import subprocess
import time

from packets import Port, Sniffer, essence, socket_in, udp

LAB = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "lab", "nodes.sh")
RUN = os.environ.get("LATEEN_LAB_RUN", "/run/lateen/lab")
CLUSTER = os.path.join(RUN, "cluster")
FAMILIES = 4, 6

# How long anything may take, and how long what is denied is looked out for
# after what was sent later and is allowed has arrived, in seconds.
PATIENCE = 60
GRACE = 0.3

# Of the puppets' own; the kernels of their namespaces do not answer there.
MARKER = 9
PORTS = "{ 9, 2000-2099 }"
SILENCE = """table inet puppet {
  chain in {
    type filter hook prerouting priority -400;
    meta l4proto { tcp, udp, sctp } th dport %s drop
    meta l4proto { tcp, udp, sctp } th sport %s drop
  }
}
""" % (PORTS, PORTS)


class Failure(Exception):
    """Something passed that must not, or did not that must."""


def lab(*args):
    done = subprocess.run([LAB, *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode:
        raise Failure("lab %s: %s" % (" ".join(args), done.stdout.strip()))
    return done.stdout


def run_in(netns, *command, stdin=None, check=True):
    return subprocess.run(["ip", "netns", "exec", netns, *command], text=True,
                          input=stdin, stdout=subprocess.PIPE,
                          check=check).stdout


def ask(node, method, *params):
    """What the agent of the node answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect("%s/%s/lateen/lateend.ctl" % (RUN, node))
        sock.sendall(json.dumps({"method": method, "params": params,
                                 "id": 1}).encode())
        answer = b""
        while True:
            answer += sock.recv(65536)
            try:
                answer = json.loads(answer)
            except ValueError:
                continue
            break
    if answer["error"]:
        raise Failure("%s: %s: %s" % (node, method, answer["error"]))
    return answer["result"]


def wait():
    """Until every node does what all files say.  Returns when it was."""
    for node in nodes():
        ask(node, "wait", "for", "synced")
    return time.time()


def nodes():
    with open(os.path.join(RUN, "nodes"), encoding="ascii") as file:
        return ["n%d" % i for i in range(1, int(file.read()) + 1)]


def vswitchd(node):
    """The process of the node's switch."""
    with open("%s/%s/ovs/ovs-vswitchd.pid" % (RUN, node),
              encoding="ascii") as file:
        return file.read().strip()


def lateend(node):
    """The process of the node's agent."""
    with open("%s/%s/lateen/lateend.pid" % (RUN, node),
              encoding="ascii") as file:
        return int(file.read())


def appctl(node, *args):
    target = "%s/%s/ovs/ovs-vswitchd.%s.ctl" % (RUN, node, vswitchd(node))
    return subprocess.run(["ovs-appctl", "-t", target, *args], check=True,
                          stdout=subprocess.PIPE, text=True).stdout


def flush_conntrack():
    """Takes all of conntrack's memory away."""
    for node in nodes():
        appctl(node, "dpctl/flush-conntrack")


def ofctl(command, flow):
    """Changes the flows of all nodes behind their agents' backs."""
    for node in nodes():
        run_in(node, "env", "OVS_RUNDIR=%s/%s/ovs" % (RUN, node),
               "ovs-ofctl", *command.split(), "br-int", flow)
        # The second dump has begun after the change.
        for _ in range(2):
            appctl(node, "revalidator/wait")


def recompute():
    for node in nodes():
        ask(node, "recompute")


# The cluster.

def write(name, *objects):
    """Has the agents see these objects as the file's."""
    path = os.path.join(CLUSTER, name + ".yaml")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({"apiVersion": "v1", "kind": "List", "items": objects},
                  file)
    os.rename(path + ".new", path)


def namespace(name, **labels):
    write("namespace-" + name, {
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": labels}})


def pod_object(name, node, labels):
    space, name = name.split("/")
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": space, "labels": labels},
            "spec": {"nodeName": node, "containers": []}}


def policy(name, select, ingress=None, egress=None, space="default"):
    """A policy of 'space' for pods with the labels 'select'."""
    spec = {"podSelector": {"matchLabels": select}, "policyTypes": []}
    for kind, rules in ("Ingress", ingress), ("Egress", egress):
        if rules is not None:
            spec["policyTypes"].append(kind)
            spec[kind.lower()] = rules
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": space}, "spec": spec}


# What every policy here allows: what tells that all before it has arrived.
MARKERS = {"ports": [{"protocol": "UDP", "port": MARKER}]}


class Puppet:
    """A pod's end of things, once it has a network namespace."""

    def __init__(self, name, node, netns):
        self.name = name
        self.node = node
        self.netns = netns
        self.port = None
        self.sniffer = Sniffer(netns)
        run_in(netns, "nft", "-f", "-", stdin=SILENCE)

    def label(self, **labels):
        write("pod-" + self.name.replace("/", "-"),
              pod_object(self.name, self.node, labels))

    def send(self, packet):
        self.port.send(packet)

    def socket(self, kind, family=4):
        return socket_in(self.netns, socket.AF_INET if family == 4
                         else socket.AF_INET6, kind)


class Pod(Puppet):
    """A pod of the lab.  The name gets a number: scenarios leave theirs."""
    number = itertools.count(1)

    def __init__(self, name, node="n1", **labels):
        name = "%s-%d" % (name, next(self.number))
        lab("pod", "add", node, name,
            *("%s=%s" % item for item in labels.items()))
        path = os.path.join(RUN, "pods", name.replace("/", "."))
        with open(path, encoding="ascii") as file:
            netns = re.search(r"netns=(\S+)", file.read())[1]
        super().__init__(name, node, netns)
        self.port = Port(self.netns)
        self.ip = {}
        for line in run_in(self.netns, "ip", "-o", "address", "show", "dev",
                           "eth0", "scope", "global").splitlines():
            ip = ipaddress.ip_interface(line.split()[3]).ip
            self.ip[ip.version] = str(ip)


class Guest(Puppet):
    """A pod that the test attaches itself, and watches from before that."""

    def __init__(self, name, node, addresses):
        netns = "guest-" + os.urandom(4).hex()
        subprocess.run(["ip", "netns", "add", netns], check=True)
        run_in(netns, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        super().__init__(name, node, netns)
        self.ip = {ipaddress.ip_address(ip).version: ip for ip in addresses}

    def call(self, command):
        """Starts the CNI plugin, as a container runtime does."""
        space, name = self.name.split("/")
        with open("%s/%s/cni.conf" % (RUN, self.node),
                  encoding="utf-8") as file:
            conf = json.load(file)
        conf["runtimeConfig"] = {"ips": list(self.ip.values())}
        programs = os.path.join(RUN, "programs")
        plugin = subprocess.Popen(
            ["ip", "netns", "exec", self.node, programs + "/lateen-cni"],
            env={**os.environ, "CNI_COMMAND": command, "CNI_IFNAME": "eth0",
                 "CNI_CONTAINERID": self.netns,
                 "CNI_NETNS": "/run/netns/" + self.netns,
                 "CNI_PATH": programs + ":/usr/lib/cni",
                 "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;"
                             "K8S_POD_NAME=%s" % (space, name)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        plugin.stdin.write(json.dumps(conf))
        plugin.stdin.close()
        return plugin

    def add(self):
        self.added(self.call("ADD"))

    def added(self, plugin):
        out = plugin.stdout.read()
        if plugin.wait():
            raise Failure("ADD of %s: %s" % (self.name, out))
        self.port = Port(self.netns)

    def delete(self):
        """Deletes the interface, the namespace and the manifest."""
        self.detach()
        self.forget()

    def detach(self):
        plugin = self.call("DEL")
        out = plugin.stdout.read()
        if plugin.wait():
            raise Failure("DEL of %s: %s" % (self.name, out))

    def forget(self):
        subprocess.run(["ip", "netns", "del", self.netns], check=True)
        path = os.path.join(CLUSTER, "pod-%s.yaml"
                            % self.name.replace("/", "-"))
        if os.path.exists(path):
            os.unlink(path)


def until_published(*pods):
    """Waits until every node knows every pod's addresses."""
    wanted = {(pod.name, ip) for pod in pods for ip in pod.ip.values()}
    end = time.monotonic() + PATIENCE
    while True:
        known = set()
        for path in glob.glob(os.path.join(CLUSTER, "status", "*.json")):
            with open(path, encoding="utf-8") as file:
                known.update((p["namespace"] + "/" + p["name"], ip["ip"])
                             for p in json.load(file)["pods"]
                             for ip in p["podIPs"])
        if wanted <= known:
            break
        if time.monotonic() > end:
            raise Failure("not published: %s" % (wanted - known))
        time.sleep(0.05)
    wait()


# Sending and seeing.  A message is (what it is called, the pod that sends it,
# the pod that it is for, the packet).

def names(messages):
    return ", ".join(sorted({"%s from %s to %s on IPv%d" % (
        what, source.name, target.name, packet[0] >> 4)
        for what, source, target, packet in messages}))


def arrived(pods):
    """What has come in at each pod since the last look."""
    return {(pod, essence(packet)) for pod in pods
            for _, packet in pod.sniffer.read()}


def deliver(messages):
    """Sends what must arrive.  One that is late is sent again, as every
    sender would."""
    targets = {target for _, _, target, _ in messages}
    missing = list(messages)
    end = time.monotonic() + PATIENCE
    while True:
        for _, source, _, packet in missing:
            source.send(packet)
        again = time.monotonic() + 1
        while missing and time.monotonic() < again:
            time.sleep(0.002)
            seen = arrived(targets)
            missing = [message for message in missing
                       if (message[2], essence(message[3])) not in seen]
        if not missing:
            return
        if time.monotonic() > end:
            raise Failure("did not arrive: " + names(missing))


def attempt(messages):
    """Sends what may or may not arrive.  Returns what does."""
    targets = {target for _, _, target, _ in messages}
    arrived(targets)
    for _, source, _, packet in messages:
        source.send(packet)
    seen = set()
    markers = {("marker", source, target, udp(
        source.ip[family], MARKER, target.ip[family], MARKER, b"marker"))
        for _, source, target, _ in messages for family in FAMILIES}
    missing, end = markers, time.monotonic() + PATIENCE
    while missing:
        for _, source, _, packet in missing:
            source.send(packet)
        time.sleep(0.05)
        seen |= arrived(targets)
        missing = {message for message in missing
                   if (message[2], essence(message[3])) not in seen}
        if time.monotonic() > end:
            raise Failure("did not arrive: " + names(missing))
    time.sleep(GRACE)
    seen |= arrived(targets)
    return [message for message in messages
            if (message[2], essence(message[3])) in seen]


def deny(messages):
    """Sends what must not arrive."""
    passed = attempt(messages)
    if passed:
        raise Failure("passed: " + names(passed))
