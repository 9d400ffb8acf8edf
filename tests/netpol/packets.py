# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets by hand: to write them, to send them in any network namespace, and
to see what arrives there, with the kernel's time of arrival."""

import ctypes
import ipaddress
import os
import signal
import socket
import struct
import time

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86dd
PACKET_OUTGOING = 4
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35
ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

libc = ctypes.CDLL(None, use_errno=True)


def socket_in(netns, *args):
    """A socket that belongs to the namespace of this name."""
    with open("/proc/self/ns/net", encoding="ascii") as back, \
            open("/run/netns/" + netns, encoding="ascii") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "network namespace " + netns)
        try:
            return socket.socket(*args)
        finally:
            libc.setns(back.fileno(), CLONE_NEWNET)


# Writing.

def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return ~crc & 0xffffffff


def ip_packet(src, dst, protocol, payload):
    """'payload' behind an IP header of the family of 'src'."""
    src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if src.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0,
                             64, protocol, 0) + src.packed + dst.packed
        return (header[:10] + struct.pack("!H", checksum(header))
                + header[12:] + payload)
    return (struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
            + src.packed + dst.packed + payload)


def with_checksum(src, dst, protocol, segment, offset):
    """'segment' with the checksum that TCP, UDP and ICMPv6 have."""
    src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    pseudo = src.packed + dst.packed + struct.pack("!II", len(segment),
                                                   protocol)
    return (segment[:offset]
            + struct.pack("!H", checksum(pseudo + segment) or 0xffff)
            + segment[offset + 2:])


def udp(src, sport, dst, dport, data):
    segment = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    return ip_packet(src, dst, UDP, with_checksum(src, dst, UDP, segment, 6))


def tcp(src, sport, dst, dport, flags, seq, ack, data=b"", tag=0):
    """'tag' is in the urgent pointer, which nobody looks at."""
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags,
                          8192, 0, tag) + data
    return ip_packet(src, dst, TCP, with_checksum(src, dst, TCP, segment, 16))


def sctp(src, sport, dst, dport, vtag, chunk, flags, body):
    packet = (struct.pack("!HHII", sport, dport, vtag, 0)
              + struct.pack("!BBH", chunk, flags, 4 + len(body)) + body)
    return ip_packet(src, dst, SCTP, packet[:8]
                     + struct.pack("<I", crc32c(packet)) + packet[12:])


def unreachable(src, dst, quoted, tag=0):
    """The ICMP error "port unreachable", about the packet 'quoted'."""
    if ipaddress.ip_address(src).version == 4:
        message = struct.pack("!BBHI", 3, 3, 0, tag) + quoted[:48]
        return ip_packet(src, dst, ICMP, message[:2]
                         + struct.pack("!H", checksum(message))
                         + message[4:])
    message = struct.pack("!BBHI", 1, 4, 0, tag) + quoted[:80]
    return ip_packet(src, dst, ICMP6,
                     with_checksum(src, dst, ICMP6, message, 2))


def echo(src, dst, ident, seq):
    """An ICMP echo request."""
    if ipaddress.ip_address(src).version == 4:
        message = struct.pack("!BBHHH", 8, 0, 0, ident, seq)
        return ip_packet(src, dst, ICMP, message[:2]
                         + struct.pack("!H", checksum(message))
                         + message[4:])
    message = struct.pack("!BBHHH", 128, 0, 0, ident, seq)
    return ip_packet(src, dst, ICMP6,
                     with_checksum(src, dst, ICMP6, message, 2))


def essence(packet):
    """What of an IP packet no forwarding changes."""
    if packet[0] >> 4 == 4:
        return packet[12:struct.unpack_from("!H", packet, 2)[0]]
    return packet[8:40 + struct.unpack_from("!H", packet, 4)[0]]


# Sending and seeing.

class Port:
    """A device of a network namespace."""

    def __init__(self, netns, device="eth0"):
        self.netns = netns
        self.device = device
        self.sock = socket_in(netns, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.bind((device, 0))
        self.mac = self.sock.getsockname()[4]

    def frame(self, packet, src_mac=None):
        """Any destination will do: pods have but one neighbor."""
        return (b"\x02\0\0\0\0\1" + (src_mac or self.mac)
                + struct.pack("!H", ETH_P_IP if packet[0] >> 4 == 4
                              else ETH_P_IPV6) + packet)

    def send(self, packet, src_mac=None):
        self.sock.send(self.frame(packet, src_mac))


class Sniffer:
    """Sees what comes in by any device of the namespace, also one that has
    yet to be made."""

    def __init__(self, netns):
        self.sock = socket_in(netns, socket.AF_PACKET, socket.SOCK_DGRAM,
                              socket.htons(ETH_P_ALL))
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 28)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def only_udp(self):
        """Leaves all other packets to the kernel."""
        program = b"".join(struct.pack("HBBI", *step) for step in (
            (0x30, 0, 0, 0),            # The version.
            (0x54, 0, 0, 0xf0),
            (0x15, 0, 2, 0x40),
            (0x30, 0, 0, 9),            # IPv4: the protocol.
            (0x05, 0, 0, 1),
            (0x30, 0, 0, 6),            # IPv6: the next header.
            (0x15, 0, 1, UDP),
            (0x06, 0, 0, 65535),        # All of the packet,
            (0x06, 0, 0, 0)))           # or nothing.
        buffer = ctypes.create_string_buffer(program)
        self.sock.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack(
                "HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))

    def read(self):
        """Yields (time, packet) for each that has arrived since, until now."""
        now = time.time()
        when = 0
        while when < now:
            try:
                packet, control, _, where = self.sock.recvmsg(2048, 64)
            except BlockingIOError:
                return
            if where[2] == PACKET_OUTGOING or where[1] not in (ETH_P_IP,
                                                               ETH_P_IPV6):
                continue
            sec, nsec = struct.unpack_from("qq", control[0][2])
            when = sec + nsec / 1e9
            yield when, packet


class Flood:
    """A process that sends copies of frames, each with a number, as fast as it
    can or 'rate' times a second."""

    def __init__(self, port, frames, rate=None):
        """Each frame has NUMBER for its data."""
        parent = os.getpid()
        self.count, child = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                stop = []
                signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
                n = 0
                if os.getppid() == parent:
                    n = self.flood(port, frames, rate, stop)
                os.write(child, b"%d\n" % n)
            finally:
                os._exit(0)
        os.close(child)

    @staticmethod
    def flood(port, frames, rate, stop):
        frames = [bytearray(frame) for frame in frames]
        places = [frame.rindex(NUMBER) for frame in frames]
        n, begin = 0, time.monotonic()
        while not stop:
            if rate:
                ahead = n / rate - (time.monotonic() - begin)
                if ahead > 0:
                    time.sleep(ahead)
                elif ahead < -0.01:
                    begin -= ahead  # Late, but no reason for a burst.
            for frame, place in zip(frames, places):
                frame[place:place + 8] = number(n)
                try:
                    port.sock.send(frame)
                except OSError:
                    pass            # The device's queue is full.
            n += 1
        return n

    def end(self):
        """Returns how often it has sent each frame."""
        os.kill(self.pid, signal.SIGTERM)
        n = int(os.read(self.count, 32))
        os.waitpid(self.pid, 0)
        os.close(self.count)
        return n


def number(n):
    """Eight bytes that say 'n' and are all the same to a checksum."""
    return struct.pack("!II", n, ~n & 0xffffffff)


NUMBER = number(0)


def is_numbered(packet):
    """Whether the IP packet ends with such a number."""
    if len(packet) < 36:
        return False
    n, complement = struct.unpack_from("!II", packet, len(packet) - 8)
    return n ^ complement == 0xffffffff


def number_of(packet):
    return struct.unpack_from("!I", packet, len(packet) - 8)[0]
