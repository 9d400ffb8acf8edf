# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that live in network namespaces, serve ports and make probes.

Prober is this end of one: a child of fork(), so that there is one Python to
start for any number of pods.  It ends with the program that made it.

Every port that anybody probes is served, and the server's answer is the
prober's name: who gets a refusal has it from the network, and an answer says
who gave it.  Besides, each prober sees what packets reach its namespace, so
that a packet that comes in is not taken for one that was stopped because the
reply was."""

import asyncio
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import traceback

PROTOCOLS = {"TCP": socket.IPPROTO_TCP, "UDP": socket.IPPROTO_UDP, "SCTP": 132}
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
PR_SET_PDEATHSIG = 1
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86dd
PACKET_OUTGOING = 4
IP_FREEBIND, IPV6_FREEBIND = 15, 78
TCP_SYN, TCP_ACK = 0x02, 0x10

# When the attempts of a probe begin, as parts of its time.
ATTEMPTS = 0, 0.2, 0.5

libc = ctypes.CDLL(None, use_errno=True)


def enter_netns(path=None):
    """Enters the network namespace, or a new one, with its loopback up."""
    if path:
        with open(path, encoding="ascii") as netns:
            result = libc.setns(netns.fileno(), CLONE_NEWNET)
    else:
        result = libc.unshare(CLONE_NEWNET)
    if result:
        raise OSError(ctypes.get_errno(), "network namespace")
    if path:
        return
    # Nobody waits for duplicate address detection here.
    with open("/proc/sys/net/ipv6/conf/default/accept_dad", "w",
              encoding="ascii") as sysctl:
        sysctl.write("0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from(
            "H", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(sock, SIOCSIFFLAGS,
                    struct.pack("16sH14x", b"lo", flags | IFF_UP))


class Prober:
    """The program's end.  Questions are sent to many at once, answers
    received one after another."""

    def __init__(self, name, netns=None):
        self.name = name
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            try:
                # An end that another prober keeps open would keep it alive.
                fd = os.dup2(theirs.fileno(), 3)
                os.closerange(4, os.sysconf("SC_OPEN_MAX"))
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() == parent:
                    enter_netns(netns)
                    asyncio.run(Server(name, socket.socket(fileno=fd)).run())
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        theirs.close()
        ours.settimeout(120)
        self.control = ours
        self.answers = ours.makefile("r", encoding="utf-8")

    def netns(self):
        return "/proc/%d/ns/net" % self.pid

    def ask(self, **question):
        self.control.sendall(json.dumps(question).encode() + b"\n")

    def answer(self):
        line = self.answers.readline()
        if not line:
            raise RuntimeError("the prober of %s has ended" % self.name)
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError("%s: %s" % (self.name, answer["error"]))
        return answer["answer"]

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.answers.close()
        self.control.close()


def new_socket(protocol, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM
    sock = socket.socket(family, kind, PROTOCOLS[protocol])
    sock.setblocking(False)
    return sock


class Server:
    """The child's end."""

    def __init__(self, name, control):
        self.name = name
        self.control = control
        self.served = {}        # (protocol, address, port): socket.
        self.arrived = set()    # (protocol, source, its port, address, port).

    async def run(self):
        self.watch()
        reader, writer = await asyncio.open_connection(sock=self.control,
                                                       limit=1 << 26)
        while line := await reader.readline():
            question = json.loads(line)
            try:
                answer = {"answer": await getattr(
                    self, "do_" + question.pop("do"))(**question)}
            except Exception as error:
                answer = {"error": "%s: %s" % (type(error).__name__, error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    # Serving.

    async def do_serve(self, ports):
        for protocol, address, port in ports:
            if (protocol, address, port) not in self.served:
                self.serve(protocol, address, port)

    def serve(self, protocol, address, port):
        sock = new_socket(protocol, address)
        if ":" in address:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError as error:
            raise OSError("cannot serve %s %s port %d: %s"
                          % (protocol, address, port, error)) from error
        if protocol != "UDP":
            sock.listen(1024)
        asyncio.get_running_loop().add_reader(
            sock, self.reply if protocol == "UDP" else self.accept, sock)
        self.served[protocol, address, port] = sock

    def reply(self, sock):
        try:
            _, client = sock.recvfrom(64)
            sock.sendto(self.name.encode(), client)
        except OSError:
            pass                # An ICMP error about an earlier answer.

    def accept(self, sock):
        try:
            connection, _ = sock.accept()
            with connection:
                connection.send(self.name.encode())
        except OSError:
            pass                # The client has gone.

    # Probing.

    async def do_probe(self, probes, seconds):
        """Each probe is (protocol, own address, address, port), each answer
        (the name that was answered or None, what went wrong, own ports)."""
        return await asyncio.gather(*(self.probe(seconds, *probe)
                                      for probe in probes))

    async def probe(self, seconds, protocol, source, address, port):
        ports = []
        last = "nothing came back"
        attempts = {asyncio.create_task(self.attempt(
            seconds * begin, protocol, source, address, port, ports))
            for begin in ATTEMPTS}
        end = asyncio.get_running_loop().time() + seconds
        try:
            while attempts:
                left = end - asyncio.get_running_loop().time()
                done, attempts = await asyncio.wait(
                    attempts, timeout=max(left, 0),
                    return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
                for attempt in done:
                    try:
                        return attempt.result(), None, ports
                    except ConnectionRefusedError:
                        return None, "refused", ports
                    except OSError as error:
                        last = error.strerror or str(error)
            return None, last, ports
        finally:
            for attempt in attempts:
                attempt.cancel()

    @staticmethod
    async def attempt(delay, protocol, source, address, port, ports):
        loop = asyncio.get_running_loop()
        await asyncio.sleep(delay)
        with new_socket(protocol, address) as sock:
            sock.bind((source, 0))
            ports.append(sock.getsockname()[1])
            await loop.sock_connect(sock, (address, port))
            if protocol == "UDP":
                await loop.sock_sendall(sock, b"probe")
            answer = await loop.sock_recv(sock, 256)
            if not answer:
                raise OSError("closed without an answer")
            return answer.decode()

    # Seeing what arrives.

    async def do_arrived(self):
        arrived = list(self.arrived)
        self.arrived.clear()
        return arrived

    def watch(self):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                             socket.htons(ETH_P_ALL))
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        asyncio.get_running_loop().add_reader(sock, self.see, sock)

    def see(self, sock):
        try:
            packet, (_, ethertype, kind, _, _) = sock.recvfrom(128)
        except OSError:
            return
        if kind == PACKET_OUTGOING:
            return
        if ethertype == ETH_P_IP and len(packet) >= 20:
            header, number = (packet[0] & 15) * 4, packet[9]
            ends = [socket.inet_ntop(socket.AF_INET, packet[at:at + 4])
                    for at in (12, 16)]
        elif ethertype == ETH_P_IPV6 and len(packet) >= 40:
            header, number = 40, packet[6]
            ends = [socket.inet_ntop(socket.AF_INET6, packet[at:at + 16])
                    for at in (8, 24)]
        else:
            return
        if len(packet) < header + 4:
            return
        if number == socket.IPPROTO_TCP and (
                len(packet) < header + 14
                or packet[header + 13] & (TCP_SYN | TCP_ACK) != TCP_SYN):
            return
        ports = struct.unpack_from("!HH", packet, header)
        for protocol, protocol_number in PROTOCOLS.items():
            if number == protocol_number and (
                    protocol, ends[1], ports[1]) in self.served:
                self.arrived.add((protocol, ends[0], ports[0], ends[1],
                                  ports[1]))
