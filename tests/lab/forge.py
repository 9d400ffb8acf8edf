#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends packets that nobody should send: forge.py DEVICE KIND [OPTION]...

KIND is geneve, vxlan, gre (each with a UDP packet inside), esp, esp-in-udp, ah,
ike, udp, arp, arp-reply, ns, na, or replay: the ESP packets to --dst that a
capture has.  Frames go out by DEVICE as they are written, in each of the
shapes of --shape and from each of the addresses of --src."""

import argparse
import ipaddress
import itertools
import random
import socket
import struct
import time

import capture


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip(source, destination, protocol, payload):
    """(Ethernet type, packet)"""
    source = ipaddress.ip_address(source)
    destination = ipaddress.ip_address(destination)
    if source.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0,
                             64, protocol, 0)
        header += source.packed + destination.packed
        header = (header[:10] + struct.pack("!H", checksum(header))
                  + header[12:])
        return 0x0800, header + payload
    header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255)
    return 0x86dd, header + source.packed + destination.packed + payload


# IPv6 extension headers: number, and what follows the next header's.
HEADERS = {"hop": (0, b"\0\1\4\0\0\0\0"),
           "destination": (60, b"\0\1\4\0\0\0\0"),
           "routing": (43, b"\0\0\0\0\0\0\0"),
           "atomic": (44, b"\0\0\0atom")}

# Of an SA that nobody has.
ESP = struct.pack("!II", 0xc0ffee01, 1) + b"e" * 48

# In IPv6, a fragment that lacks another one waits for it for a minute, and takes
# one of a later call for that if they have the same number.
identifications = itertools.count(random.getrandbits(31))


def fragment(packet, number, offset, data, more):
    """A packet with the headers of 'packet', and 'data' at 'offset' of what
    follows them."""
    if len(packet) == 40:
        extension = struct.pack("!BBHI", packet[6], 0, offset | more,
                                number)
        return (packet[:4] + struct.pack("!HB", 8 + len(data), 44)
                + packet[7:] + extension + data)
    header = (packet[:2]
              + struct.pack("!HHH", 20 + len(data), number & 0xffff,
                            offset >> 3 | more << 13)
              + packet[8:10] + b"\0\0" + packet[12:])
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + data


def shapes(packet, shape):
    """The packets that 'packet' is in this shape: without one, as it is."""
    size = 20 if packet[0] >> 4 == 4 else 40
    header, data = packet[:size], packet[size:]
    if not shape or shape == "plain":
        return [packet]
    if shape == "options":      # Of IPv4.
        header = (b"\x46" + header[1:2]
                  + struct.pack("!H", 24 + len(data)) + header[4:10]
                  + b"\0\0" + header[12:] + b"\1\1\1\0")
        return [header[:10] + struct.pack("!H", checksum(header))
                + header[12:] + data]
    if all(name in HEADERS for name in shape.split("+")):
        for name in reversed(shape.split("+")):
            number, rest = HEADERS[name]
            data = header[6:7] + rest + data
            header = (header[:4] + struct.pack("!HB", len(data), number)
                      + header[7:])
        return [header + data]

    # The rest is in two pieces.
    number = next(identifications)
    first = second = len(data) // 2 & ~7
    if shape == "tiny":
        first = second = 8
    elif shape == "hidden":     # Behind a header that fills the first.
        data = header[6:7] + HEADERS["destination"][1] + data
        header = header[:6] + b"\x3c" + header[7:]
        first = second = 8
    elif shape == "overlap":
        second -= 8
    pieces = [fragment(header, number, 0, data[:first], 1),
              fragment(header, number, second, data[second:], 0)]
    return pieces[::-1] if shape == "reversed" else pieces


def pseudo(source, destination, protocol, length):
    source = ipaddress.ip_address(source)
    destination = ipaddress.ip_address(destination)
    if source.version == 4:
        tail = struct.pack("!BBH", 0, protocol, length)
    else:
        tail = struct.pack("!II", length, protocol)
    return source.packed + destination.packed + tail


def udp(source, destination, port, payload, source_port=40000):
    length = 8 + len(payload)
    segment = struct.pack("!HHHH", source_port, port, length, 0) + payload
    total = checksum(pseudo(source, destination, 17, length) + segment)
    return segment[:6] + struct.pack("!H", total or 0xffff) + segment[8:]


def icmp6(source, destination, message):
    total = checksum(pseudo(source, destination, 58, len(message)) + message)
    return message[:2] + struct.pack("!H", total) + message[4:]


def inner_frame(args):
    ethertype, packet = ip(args.inner_src, args.inner_dst, 17,
                           udp(args.inner_src, args.inner_dst,
                               args.inner_port, b"forged"))
    return (mac("0200000000ff") + mac("0200000000fe")
            + struct.pack("!H", ethertype) + packet)


def payload(args):
    """(Ethernet type, what follows it)"""
    kind, src, dst = args.kind, args.src, args.dst
    if kind == "geneve":
        data = struct.pack("!BBHI", 0, 0, 0x6558, 0) + inner_frame(args)
        return ip(src, dst, 17, udp(src, dst, args.port or 6081, data))
    if kind == "vxlan":
        data = struct.pack("!II", 0x08000000, 0) + inner_frame(args)
        return ip(src, dst, 17, udp(src, dst, args.port or 4789, data))
    if kind == "gre":
        data = struct.pack("!HHI", 0x2000, 0x6558, 0) + inner_frame(args)
        return ip(src, dst, 47, data)
    if kind == "esp":
        return ip(src, dst, 50, ESP)
    if kind == "esp-in-udp":
        return ip(src, dst, 17, udp(src, dst, 4500, ESP, 4500))
    if kind == "ah":
        return ip(src, dst, 51, b"\x11\x04\0\0" + b"a" * 20)
    if kind == "ike":
        return ip(src, dst, 17, udp(src, dst, args.port or 500, b"i" * 28,
                                    args.port or 500))
    if kind == "udp":
        return ip(src, dst, 17, udp(src, dst, args.port, b"forged"))
    if kind in ("arp", "arp-reply"):
        return 0x0806, (struct.pack("!HHBBH", 1, 0x0800, 6, 4,
                                    1 if kind == "arp" else 2)
                        + mac(args.sha or args.smac)
                        + ipaddress.ip_address(src).packed
                        + mac(args.dmac) + ipaddress.ip_address(dst).packed)
    message = struct.pack("!BBHI", 135 if kind == "ns" else 136, 0, 0,
                          0 if kind == "ns" else 0x60000000)
    message += ipaddress.ip_address(args.target).packed
    message += bytes([1 if kind == "ns" else 2, 1])
    message += mac(args.sha or args.smac)
    return ip(src, dst, 58, icmp6(src, dst, message))


def replayed(args):
    """The ESP packets of the capture, as (Ethernet type, packet)."""
    for ethertype, data in list(capture.packets(args.pcap)):
        packet = capture.ip_payload(ethertype, data)
        if not packet or packet[0] != 50 or str(packet[2]) != args.dst:
            continue
        source = packet[1] if args.src is None else args.src
        yield ip(source, packet[2], 50, packet[4])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device")
    parser.add_argument("kind")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--interval", type=float, default=0, metavar="S")
    parser.add_argument("--src", help="several, with commas in between")
    parser.add_argument("--dst")
    parser.add_argument("--smac", help="default: the device's own")
    parser.add_argument("--dmac", default="ff:ff:ff:ff:ff:ff")
    parser.add_argument("--sha", help="address in ARP or ND; default: smac")
    parser.add_argument("--port", type=int)
    parser.add_argument("--target", help="of ns and na")
    parser.add_argument("--shape", default="", help="several, with commas in "
                        "between: plain, fragments, reversed, tiny, overlap; "
                        "IPv4: options; IPv6: hidden, and hop, destination, "
                        "routing and atomic, with + in between")
    parser.add_argument("--pcap", help="the capture that replay sends")
    parser.add_argument("--inner-src")
    parser.add_argument("--inner-dst")
    parser.add_argument("--inner-port", type=int, default=7777)
    args = parser.parse_args()
    if not args.smac:
        with open(f"/sys/class/net/{args.device}/address",
                  encoding="ascii") as file:
            args.smac = file.read().strip()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((args.device, 0))
        head = mac(args.dmac) + mac(args.smac)
        if args.kind == "replay":
            packets = list(replayed(args))
            for ethertype, data in packets:
                sock.send(head + struct.pack("!H", ethertype) + data)
            print(len(packets))
            return
        for args.src, shape in itertools.product(
                (args.src or "").split(","), args.shape.split(",")):
            ethertype, data = payload(args)
            for _ in range(args.count):
                for piece in shapes(data, shape):
                    sock.send(head + struct.pack("!H", ethertype) + piece)
                time.sleep(args.interval)


if __name__ == "__main__":
    main()
