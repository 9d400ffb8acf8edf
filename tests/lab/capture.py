#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what the packets of a capture of the underlay are.

usage: capture.py [-j | --esp | --since OFFSETFILE] FILE

Reads a pcap file with link type Ethernet or Linux cooked (v1, v2).  Each line
is a kind and how many packets there are of it; with -j, a JSON object.  Clear
tunnel packets have kinds of their own, and so have packets of the pods'
networks that are in no tunnel at all.  With --esp, each line is the length of
an ESP packet, its IP header included, and "fragment" if it is none or only
part of one.  With --since, only packets count that the file has got since the
last time that OFFSETFILE was named."""

import ipaddress
import json
import os
import struct
import sys
from collections import Counter

PODS = (ipaddress.ip_network("10.244.0.0/16"),
        ipaddress.ip_network("fd00:10:244::/48"))
POD_BYTES = PODS[0].network_address.packed[:2]
LINK_HEADERS = {1: (14, 12), 113: (16, 14), 276: (20, 0)}
# What tests put into their packets: it can be read in none but clear ones.
MARK = b"LATEEN-CLEAR"
# What "lab capture sync" sends and waits for.
SYNC = b"lateen-"
UDP_TUNNELS = {4789: "clear-vxlan", 6081: "clear-geneve"}


def packets(path, since=None):
    """Yields (Ethernet type, payload) of each packet; with 'since', of those
    after the place in the file that it says, which is made to say where the
    last one ends."""
    with open(path, "rb") as file:
        header = file.read(24)
        order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">",
                 b"\x4d\x3c\xb2\xa1": "<",
                 b"\xa1\xb2\x3c\x4d": ">"}[header[:4]]
        link = struct.unpack(order + "I", header[20:])[0]
        size, type_at = LINK_HEADERS[link]
        if since and os.path.exists(since):
            with open(since, encoding="ascii") as offset:
                file.seek(int(offset.read()))
        end = file.tell()
        while len(record := file.read(16)) == 16:
            captured = struct.unpack(order + "4I", record)[2]
            data = file.read(captured)
            if len(data) < captured:
                break           # It is being written.
            end = file.tell()
            if len(data) < size:
                continue
            ethertype = struct.unpack_from("!H", data, type_at)[0]
            if not (ethertype == 0x88b5 and data[size:].startswith(SYNC)):
                yield ethertype, data[size:]
    if since:
        with open(since, "w", encoding="ascii") as offset:
            offset.write(str(end))


def ip_payload(ethertype, data):
    """(protocol, source, destination, first fragment, payload) or None."""
    if ethertype == 0x0800 and len(data) >= 20:
        size = (data[0] & 15) * 4
        offset = struct.unpack_from("!H", data, 6)[0] & 0x1fff
        return (data[9], ipaddress.ip_address(data[12:16]),
                ipaddress.ip_address(data[16:20]), not offset, data[size:])
    if ethertype == 0x86dd and len(data) >= 40:
        protocol, payload, first = data[6], data[40:], True
        while protocol in (0, 43, 44, 60) and len(payload) >= 8:
            size = 8 if protocol == 44 else (payload[1] + 1) * 8
            if protocol == 44:
                first = not struct.unpack_from("!H", payload, 2)[0] >> 3
            protocol, payload = payload[0], payload[size:]
        return (protocol, ipaddress.ip_address(data[8:24]),
                ipaddress.ip_address(data[24:40]), first, payload)
    return None


def kind(ethertype, data):
    marked = MARK in data
    if not marked and ethertype == 0x0800 and data[:1] == b"\x45":
        # Most are these, and looking closer takes its time.
        if data[9] == 50 and data[12:14] != POD_BYTES != data[16:18]:
            return "esp"
    what = kind_by_headers(ethertype, data)
    return "clear-mark" if marked and not what.startswith("clear-") else what


def kind_by_headers(ethertype, data):
    packet = ip_payload(ethertype, data)
    if packet is None:
        return "arp" if ethertype == 0x0806 else "other"
    protocol, source, destination, first, payload = packet
    if any(a in network for a in (source, destination) for network in PODS):
        return "clear-pod"
    if protocol == 50:
        return "esp"
    if protocol == 47:
        return "clear-gre"
    if protocol == 17 and not first:
        return "udp-fragment"
    if protocol == 17 and len(payload) >= 8:
        ports = struct.unpack_from("!HH", payload)
        if ports[1] in UDP_TUNNELS:
            return UDP_TUNNELS[ports[1]]
        if 4500 in ports:
            return "ike" if payload[8:12] == b"\0\0\0\0" else "esp-in-udp"
        if 500 in ports:
            return "ike"
    if protocol in (1, 58):
        return "icmp"
    return {6: "tcp", 17: "udp"}.get(protocol, "other")


def esp_lengths(path):
    """Yields a line for each ESP packet."""
    for ethertype, data in packets(path):
        what = kind(ethertype, data)
        if ethertype == 0x0800:
            length = struct.unpack_from("!H", data, 2)[0]
            fragment = struct.unpack_from("!H", data, 6)[0] & 0x3fff
        elif ethertype == 0x86dd:
            length = 40 + struct.unpack_from("!H", data, 4)[0]
            fragment = data[6] == 44
        else:
            continue
        if fragment:
            yield f"{length} fragment"
        elif what in ("esp", "esp-in-udp"):
            yield str(length)


def main():
    if sys.argv[1] == "--esp":
        print("\n".join(esp_lengths(sys.argv[-1])))
        return
    as_json = sys.argv[1] == "-j"
    since = sys.argv[2] if sys.argv[1] == "--since" else None
    counts = Counter(kind(*packet) for packet in packets(sys.argv[-1], since))
    if as_json:
        print(json.dumps(counts))
        return
    for name, count in sorted(counts.items()):
        print(f"{name} {count}")


if __name__ == "__main__":
    main()
