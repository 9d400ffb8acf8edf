# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of nodes on which cases are replayed: what ../lab/nodes.sh brings up,
with the objects and the pods of one case after the other."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid

from judge import address, probe_family
from cases import is_bare, member
from prober import Prober

LAB = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "lab", "nodes.sh")
TOP = os.path.dirname(os.path.dirname(os.path.dirname(LAB)))
RUN = os.environ.get("LATEEN_LAB_RUN", "/run/lateen/lab")
PROGRAMS = os.path.join(RUN, "programs")

# How many calls of the CNI plugin at a time, and how long anything may take,
# in seconds.
PARALLEL = 4
PATIENCE = 60


class LabError(Exception):
    """The lab does not do what it is told."""


class Node:
    def __init__(self, namespace, name, addresses):
        self.namespace = namespace
        self.name = name
        self.addresses = addresses      # By family.
        self.prober = Prober("node:" + name, "/run/netns/" + namespace)

    def path(self, name):
        return os.path.join(RUN, self.namespace, name)

    def ctl(self, *args):
        """What lateenctl of the node answers, as JSON."""
        done = subprocess.run(
            [os.path.join(PROGRAMS, "lateenctl"),
             "-t", self.path("lateen/lateend.ctl"), "-T", str(PATIENCE),
             "-o", "json", *args], capture_output=True, text=True)
        if done.returncode:
            raise LabError("%s: lateenctl %s: %s" % (
                self.name, " ".join(args), done.stderr.strip()))
        return json.loads(done.stdout)

    def in_netns(self, *command):
        return ["ip", "netns", "exec", self.namespace, *command]


class Attachment:
    """A container's interface: a pod's, or one without identity for a bare
    address."""

    def __init__(self, node, pod, addresses):
        self.node = node
        self.pod = pod                  # As in the case, or None.
        self.addresses = addresses
        self.id = uuid.uuid4().hex
        self.prober = Prober(self.name())
        self.mac = None

    def name(self):
        return (pod_key(self.pod) if self.pod
                else "bare:%s" % self.addresses[0])

    def call(self, command, nets):
        """Starts the CNI plugin, as a container runtime does."""
        arguments = "IgnoreUnknown=1"
        if self.pod:
            arguments += ";K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s" % (
                self.pod["ns"], self.pod["name"])
        conf = {
            "cniVersion": "1.0.0", "name": "lateen", "type": "lateen-cni",
            "socket": self.node.path("lateen/lateend.ctl"),
            "runtimeConfig": {"ips": [str(ip) for ip in self.addresses]},
            "ipam": {"type": "host-local", "dataDir": self.node.path("ipam"),
                     "ranges": [[{"subnet": str(net)}]
                                for ip in self.addresses
                                for net in nets if ip in net]}}
        env = {**os.environ, "CNI_COMMAND": command, "CNI_IFNAME": "eth0",
               "CNI_CONTAINERID": self.id, "CNI_NETNS": self.prober.netns(),
               "CNI_ARGS": arguments, "CNI_PATH": PROGRAMS + ":/usr/lib/cni"}
        plugin = subprocess.Popen(
            self.node.in_netns(os.path.join(PROGRAMS, "lateen-cni")),
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        plugin.stdin.write(json.dumps(conf))
        plugin.stdin.close()
        plugin.stdin = None
        return plugin

    def finish(self, command, plugin):
        out, err = plugin.communicate(timeout=PATIENCE)
        if plugin.returncode:
            raise LabError("CNI %s of %s: %s" % (command, self.name(),
                                                 (out + err).strip()))
        if command == "ADD":
            self.mac = next(interface["mac"]
                            for interface in json.loads(out)["interfaces"]
                            if interface.get("sandbox"))


def pod_key(pod):
    return "%s/%s" % (pod["ns"], pod["name"])


class Fabric:
    """The lab, brought up for a Network; end() takes it down."""

    def __init__(self, network, datapath):
        self.network = network
        os.makedirs("/run/lateen", exist_ok=True)
        self.directory = tempfile.mkdtemp(dir="/run/lateen")
        self.nodes = {}
        self.attachments = {}           # By name.
        self.outside = None
        self.outside_addresses = set()
        try:
            self.bring_up(datapath)
        except BaseException:
            self.end()
            raise

    def bring_up(self, datapath):
        network = self.network
        self.write_objects({})
        options = ["--ipsec", "off", "--datapath", datapath,
                   "--cluster", self.directory, "--no-masquerade",
                   "--cluster-cidrs",
                   ", ".join('"%s"' % net
                             for nets in network.pod_cidrs.values()
                             for net in nets),
                   "--router",
                   "%s %s" % (network.router[4], network.router[6])]
        for name, addresses in network.nodes.items():
            options += ["--node", "%s %s %s" % (name, addresses[4],
                                                addresses[6])]
        self.lab("up", *options)
        for i, (name, addresses) in enumerate(network.nodes.items(), 1):
            self.nodes[name] = Node("n%d" % i, name, addresses)
            for net in network.pod_cidrs[name]:
                self.outside_ip("route", "add", str(net), "via",
                                str(addresses[net.version]))
        self.outside = Prober("outside", "/run/netns/outside")

    @staticmethod
    def lab(*args):
        done = subprocess.run([LAB, *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise LabError("lab %s: %s" % (args[0], done.stdout.strip()))
        return done.stdout

    @staticmethod
    def outside_ip(*args):
        subprocess.run(["ip", "-n", "outside", *args], check=True)

    def end(self, logs=None):
        for attachment in self.attachments.values():
            attachment.prober.end()
        for node in self.nodes.values():
            node.prober.end()
        if self.outside:
            self.outside.end()
        if logs:
            shutil.copytree(os.path.join(RUN, "log"), logs,
                            dirs_exist_ok=True)
        self.lab("down")
        shutil.rmtree(self.directory)

    # Objects.

    def write_objects(self, state):
        """Has the agents see all of a case's objects at once."""
        objects = [self.node_object(name, state) for name in
                   self.network.nodes]
        objects += [{"apiVersion": "v1", "kind": "Namespace",
                     "metadata": {"name": name, "labels": labels}}
                    for name, labels in state.get("namespaces", {}).items()]
        objects += [self.pod_object(pod) for pod in state.get("pods", [])]
        objects += state.get("policies", [])
        path = os.path.join(self.directory, "objects.json")
        with open(path + ".new", "w", encoding="utf-8") as stream:
            json.dump({"apiVersion": "v1", "kind": "List", "items": objects},
                      stream, indent=1)
        os.rename(path + ".new", path)

    def node_object(self, name, state):
        node = state.get("nodes", {}).get(name, {})
        return {"apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": node.get("labels", {})},
                "spec": {"podCIDRs": [str(net) for net in
                                      self.network.pod_cidrs[name]]},
                "status": {"addresses": [
                    {"type": "InternalIP", "address": str(ip)}
                    for ip in self.network.nodes[name].values()]}}

    def pod_object(self, pod):
        container = {"name": "c", "image": "none", "ports": [
            {"containerPort": served["port"], "protocol": served["protocol"],
             **({"name": served["name"]} if served.get("name") else {})}
            for served in pod["ports"]]}
        spec = {"nodeName": pod["node"], "containers": [container]}
        status = {"phase": "Running"}
        if pod.get("hostNetwork"):
            spec["hostNetwork"] = True
            status["podIPs"] = [
                {"ip": str(ip)}
                for ip in self.network.nodes[pod["node"]].values()]
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": pod["name"], "namespace": pod["ns"],
                             "labels": pod["labels"]},
                "spec": spec, "status": status}

    # Pods.

    def become(self, cluster, probes, start=False):
        """Makes the lab what the cluster is, with whatever else the probes
        need.  At the start of a case, pods of the last one that are in the
        same place stay attached."""
        state = cluster.state()
        wanted = {key: pod for key, pod in cluster.pods.items()
                  if not pod.get("hostNetwork")}
        strangers = self.strangers(cluster, probes)
        for name, attachment in self.attachments.items():
            if start and attachment.pod and name in wanted and all(
                    attachment.pod.get(what) == wanted[name].get(what)
                    for what in ("node", "ip", "ip6")):
                attachment.pod = wanted[name]
        self.detach([
            name for name, attachment in self.attachments.items()
            if (attachment.pod is not wanted.get(name)
                if attachment.pod else name not in strangers)])
        self.write_objects(state)
        new = [(pod["node"], pod, [address(pod[member(family)])
                                   for family in (4, 6)
                                   if pod.get(member(family))])
               for key, pod in wanted.items() if key not in self.attachments]
        new += [(self.network.node_of(ip), None, [ip])
                for name, ip in strangers.items()
                if name not in self.attachments]
        self.attach([Attachment(self.nodes[node], pod, addresses)
                     for node, pod, addresses in new])
        self.wait(cluster)

    def strangers(self, cluster, probes):
        """The attachments without identity, and the addresses outside, that
        the probes need."""
        strangers = {}
        for probe in probes:
            for end in probe["from"], probe["to"]:
                if not is_bare(end):
                    continue
                who = cluster.end(end, probe_family(probe))
                if who.pod or who.node:
                    continue
                if self.network.node_of(who.address):
                    strangers["bare:%s" % who.address] = who.address
                elif who.address not in self.outside_addresses:
                    # Where neighbors look for it, too.
                    self.outside_ip("address", "replace", "%s/%d" % (
                        who.address, who.address.max_prefixlen), "dev",
                        "eth0")
                    self.outside_addresses.add(who.address)
        return strangers

    def call_all(self, command, attachments):
        """Calls the CNI plugin for each, some at a time.  Returns the
        errors."""
        waiting, running, errors = list(attachments), [], []
        while waiting or running:
            while waiting and len(running) < PARALLEL:
                attachment = waiting.pop(0)
                nets = self.network.pod_cidrs[attachment.node.name]
                running.append((attachment, attachment.call(command, nets)))
            attachment, plugin = running.pop(0)
            try:
                attachment.finish(command, plugin)
            except (LabError, subprocess.TimeoutExpired) as error:
                plugin.kill()
                errors.append(str(error))
        return errors

    def detach(self, names):
        gone = [self.attachments[name] for name in names]
        errors = self.call_all("DEL", gone)
        for attachment in gone:
            attachment.prober.end()
            del self.attachments[attachment.name()]
        if errors:
            raise LabError("; ".join(errors))

    def attach(self, new):
        for attachment in new:
            self.attachments[attachment.name()] = attachment
        for attachment in new:
            attachment.prober.ask(do="serve", ports=[])
        for attachment in new:
            attachment.prober.answer()
        errors = self.call_all("ADD", new)
        if errors:
            raise LabError("; ".join(errors))

    def clear(self):
        """Takes all of a case away."""
        self.detach(list(self.attachments))
        self.write_objects({})

    # Waiting.

    def wait(self, cluster):
        """Waits until every node knows and does all."""
        self.wait_for_status()
        for node in self.nodes.values():
            # The agent may have begun to wait before it saw the last change;
            # what it answers after that, it has seen.
            node.ctl("wait", "--for=synced")
            node.ctl("wait", "--for=synced")
            source = node.ctl("status")["source"]
            if source["errors"]:
                raise LabError("%s refuses: %s" % (
                    node.name, "; ".join(source["errors"])))
            for kind, wanted in (("namespaces", cluster.namespaces),
                                 ("pods", cluster.pods),
                                 ("policies", cluster.policies)):
                if source[kind] != len(wanted):
                    raise LabError("%s knows %d %s, not %d" % (
                        node.name, source[kind], kind, len(wanted)))

    def wait_for_status(self):
        """Until every node has published the addresses of its pods."""
        wanted = {name: set() for name in self.nodes}
        for attachment in self.attachments.values():
            if attachment.pod:
                wanted[attachment.node.name].update(
                    (attachment.name(), ip) for ip in attachment.addresses)
        end = time.monotonic() + PATIENCE
        while True:
            late = [name for name in wanted
                    if self.published(name) != wanted[name]]
            if not late:
                return
            if time.monotonic() > end:
                raise LabError("%s does not publish its pods"
                               % ", ".join(late))
            time.sleep(0.01)

    def published(self, name):
        path = os.path.join(self.directory, "status", name + ".json")
        try:
            with open(path, encoding="utf-8") as stream:
                status = json.load(stream)
        except (OSError, ValueError):
            return None
        return {(pod["namespace"] + "/" + pod["name"], address(ip["ip"]))
                for pod in status["pods"] for ip in pod["podIPs"]}

    # Ends of probes.

    def prober_of(self, who):
        """The prober that has the End's address."""
        if who.pod:
            return self.attachments[pod_key(who.pod)].prober
        if who.node:
            return self.nodes[who.node].prober
        stranger = self.attachments.get("bare:%s" % who.address)
        return stranger.prober if stranger else self.outside

    # Why.

    def trace(self, source, target, probe):
        """Returns lines: the flows that the first packet of the probe meets,
        on the node of either end."""
        ends = [self.node_of_end(source), self.node_of_end(target)]
        lines = []
        if ends[0]:
            attachment = self.attachment_of(source)
            lines += self.trace_on(
                ends[0], source, target, probe,
                {"in_port": self.port(attachment) if attachment
                 else "lateen-gw0",
                 **({"dl_src": attachment.mac} if attachment else {})})
        if ends[1] and ends[1] is not ends[0]:
            tunnel = {"in_port": "lateen-gw0"}
            if ends[0]:
                tunnel = {"in_port": "lateen-tun0", "tun_id": 0,
                          "tun_src": ends[0].addresses[4],
                          "tun_dst": ends[1].addresses[4]}
            lines += self.trace_on(ends[1], source, target, probe, tunnel)
        return lines

    def attachment_of(self, who):
        return self.attachments.get(pod_key(who.pod) if who.pod
                                    else "bare:%s" % who.address)

    def node_of_end(self, who):
        attachment = self.attachment_of(who)
        return attachment.node if attachment else self.nodes.get(who.node)

    @staticmethod
    def port(attachment):
        for pod in attachment.node.ctl("pods"):
            if str(attachment.addresses[0]) in pod["ips"]:
                return pod["port"]
        raise LabError("%s is not attached" % attachment.name())

    def trace_on(self, node, source, target, probe, fields):
        protocol = probe["protocol"].lower()
        six = "6" if source.address.version == 6 else ""
        fields = {
            **fields,
            "dl_dst": self.gateway_mac(node), "nw_ttl": 64,
            ("ipv6_src" if six else "nw_src"): source.address,
            ("ipv6_dst" if six else "nw_dst"): target.address,
            protocol + "_src": 49152, protocol + "_dst": probe["port"]}
        flow = ",".join([protocol + six]
                        + ["%s=%s" % item for item in fields.items()])
        done = subprocess.run(
            ["ovs-appctl", "-t", node.path("ovs/ovs-vswitchd.%s.ctl"
                                           % self.vswitchd(node)),
             "ofproto/trace", "--names", "br-int", flow],
            capture_output=True, text=True)
        if done.returncode:
            return ["on %s: no trace: %s" % (node.name, done.stderr.strip())]
        flows = node.ctl("flows")
        tables = {str(row["tableId"]): row["table"] for row in flows}
        owners = {row["cookie"]: row["owner"] for row in flows}
        lines = ["on %s, %s:" % (node.name, flow)]
        for line in done.stdout.splitlines():
            step = re.match(r" *([0-9]+)\. (.*), cookie (0x[0-9a-f]+)", line)
            if step:
                line = "%s: %s (%s)" % (
                    tables.get(step[1], step[1]), step[2],
                    owners.get(step[3], step[3]))
            if step or re.match(r" *[0-9]+\. |Datapath actions", line):
                lines.append("  " + line)
        return lines

    @staticmethod
    def vswitchd(node):
        with open(node.path("ovs/ovs-vswitchd.pid"),
                  encoding="ascii") as stream:
            return stream.read().strip()

    @staticmethod
    def gateway_mac(node):
        done = subprocess.run(
            node.in_netns("cat", "/sys/class/net/lateen-gw0/address"),
            capture_output=True, text=True)
        return done.stdout.strip()
