/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Watching a device: see wire.h. */

#include <config.h>
#include "wire.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "guard.h"
#include "packets.h"
#include "unaligned.h"
#include "util.h"

/* Bytes of a packet that are looked at: IPv6, a fragment header, and UDP with
 * the SPI are less. */
#define SNAP_LENGTH 96

#define ESP_PORT 4500

static void
parse_payload(const uint8_t *p, size_t size, uint8_t protocol,
              const struct guard_tunnel *tunnel, struct wire_packet *packet)
{
    if (protocol == IPPROTO_ESP && size >= 4) {
        packet->kind = WIRE_ESP;
        packet->spi = ntohl(get_unaligned_be32((const ovs_be32 *) p));
    } else if (protocol == IPPROTO_GRE && protocol == tunnel->protocol) {
        packet->kind = WIRE_CLEAR;
    } else if (protocol == IPPROTO_UDP && size >= 4) {
        uint16_t sport = p[0] << 8 | p[1], dport = p[2] << 8 | p[3];

        if (protocol == tunnel->protocol && dport == tunnel->port) {
            packet->kind = WIRE_CLEAR;
        } else if ((sport == ESP_PORT || dport == ESP_PORT) && size >= 12) {
            /* IKE has zeros there. */
            packet->spi
                = ntohl(get_unaligned_be32((const ovs_be32 *) (p + 8)));
            packet->kind = packet->spi ? WIRE_ESP : WIRE_OTHER;
        }
    } else if ((protocol == IPPROTO_ICMP && size && (p[0] == 0 || p[0] == 8))
               || (protocol == IPPROTO_ICMPV6 && size
                   && (p[0] == 128 || p[0] == 129))) {
        packet->kind = WIRE_ECHO;
    }
}

void
wire_parse(const void *data, size_t size, const struct guard_tunnel *tunnel,
           struct wire_packet *packet)
{
    const uint8_t *p = data;

    memset(packet, 0, sizeof *packet);
    if (size >= IP_HEADER_LEN && p[0] >> 4 == 4) {
        size_t header = (p[0] & 0xf) * 4;
        ovs_be32 src, dst;

        memcpy(&src, p + 12, sizeof src);
        memcpy(&dst, p + 16, sizeof dst);
        in6_addr_set_mapped_ipv4(&packet->src, src);
        in6_addr_set_mapped_ipv4(&packet->dst, dst);
        /* Only the first fragment has what is looked for. */
        if (header >= IP_HEADER_LEN && header <= size
            && !(p[6] & 0x1f) && !p[7]) {
            parse_payload(p + header, size - header, p[9], tunnel, packet);
        }
    } else if (size >= IPV6_HEADER_LEN && p[0] >> 4 == 6) {
        size_t header = IPV6_HEADER_LEN;
        uint8_t protocol = p[6];

        memcpy(&packet->src, p + 8, sizeof packet->src);
        memcpy(&packet->dst, p + 24, sizeof packet->dst);
        if (protocol == IPPROTO_FRAGMENT && size >= header + 8
            && !p[header + 2] && !(p[header + 3] & 0xf8)) {
            protocol = p[header];
            header += 8;
        }
        parse_payload(p + header, size - header, protocol, tunnel, packet);
    }
}

/* The jumps' targets in the filter, by instruction. */
enum { LOAD_V6 = 6, COMPARE = 8, PORTS = 13, ACCEPT = 17, REJECT = 18 };

#define JUMP_TO(HERE, K, YES, NO) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, K, (YES) - (HERE) - 1, \
             (NO) - (HERE) - 1)

int
wire_open(const char *ifname, const struct guard_tunnel *tunnel, bool esp)
{
    uint8_t p1 = esp ? IPPROTO_ESP : IPPROTO_GRE;
    uint8_t p2 = esp ? IPPROTO_ESP : IPPROTO_ICMP;
    uint8_t p3 = esp ? IPPROTO_ESP : IPPROTO_ICMPV6;
    uint8_t p4 = esp ? IPPROTO_ESP : IPPROTO_FRAGMENT;
    uint16_t port = esp ? ESP_PORT : tunnel->port;
    /* A packet socket of this type begins with the IP header. */
    struct sock_filter code[] = {
        /*  0 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        /*  1 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
        /*  2 */ JUMP_TO(2, 0x40, 3, LOAD_V6 - 1),
        /*  3 */ BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        /*  4 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
        /*  5 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x60, 0, COMPARE - 6),
        /*  6 */ BPF_STMT(BPF_LDX | BPF_IMM, IPV6_HEADER_LEN),
        /*  7 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
        /*  8 */ JUMP_TO(8, p1, ACCEPT, 9),
        /*  9 */ JUMP_TO(9, p2, ACCEPT, 10),
        /* 10 */ JUMP_TO(10, p3, ACCEPT, 11),
        /* 11 */ JUMP_TO(11, p4, ACCEPT, 12),
        /* 12 */ JUMP_TO(12, IPPROTO_UDP, PORTS, REJECT),
        /* 13 */ BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
        /* 14 */ JUMP_TO(14, port, ACCEPT, 15),
        /* 15 */ BPF_STMT(BPF_LD | BPF_H | BPF_IND, 0),
        /* 16 */ JUMP_TO(16, esp ? port : 0, ACCEPT, REJECT),
        /* 17 */ BPF_STMT(BPF_RET | BPF_K, SNAP_LENGTH),
        /* 18 */ BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { ARRAY_SIZE(code), code };
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = if_nametoindex(ifname),
    };
    int fd;

    if (!address.sll_ifindex) {
        return -errno;
    }
    /* Without a protocol at first, nothing comes in before the filter. */
    fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                   sizeof program)
        || bind(fd, (struct sockaddr *) &address, sizeof address)) {
        int error = errno;

        close(fd);
        return -error;
    }
    return fd;
}

bool
wire_next(int fd, const struct guard_tunnel *tunnel,
          struct wire_packet *packet)
{
    uint8_t data[SNAP_LENGTH];
    ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);

    if (n < 0) {
        return false;
    }
    wire_parse(data, n, tunnel, packet);
    return true;
}

unsigned int
wire_lost(int fd)
{
    struct tpacket_stats stats = { .tp_drops = 0 };
    socklen_t size = sizeof stats;

    return (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size)
            ? 0 : stats.tp_drops);
}
