/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A tap in a network namespace of the program's own, where nothing else sends, and a
 * packet socket as the other end of its wire.
 */
#ifndef LIBVHOST_TESTS_VM_TAP_H
#define LIBVHOST_TESTS_VM_TAP_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAP_ETHERTYPE 0x88b5	/* for local experiments: nobody else's */
#define TAP_MTU 65521		/* the most that a tap has */

struct tap {
	int fd;
	int sock;		/* the other end */
	unsigned int index;
	char name[IFNAMSIZ];
};

/* From here on this process has a network of its own, in which IPv6 is silent. */
static inline int tap_own_network(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		int r = write(fd, "1", 1) == 1 ? 0 : -errno;

		close(fd);
		return r;
	}
	return errno == ENOENT ? 0 : -errno;
}

static inline void tap_close(struct tap *tap)
{
	if (tap->fd >= 0)
		close(tap->fd);
	if (tap->sock >= 0)
		close(tap->sock);
	tap->fd = tap->sock = -1;
}

static inline int tap_up(struct tap *tap)
{
	struct ifreq ifr;

	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_name, tap->name, IFNAMSIZ);
	ifr.ifr_mtu = TAP_MTU;
	if (ioctl(tap->sock, SIOCSIFMTU, &ifr) < 0)
		return -errno;
	ifr.ifr_flags = IFF_UP | IFF_NOARP;
	return ioctl(tap->sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

/*
 * Make a tap, and bring it up. @header is the size of its virtio-net header, 0 for a tap
 * that has none. The other end takes TAP_ETHERTYPE alone, if @listen.
 */
static inline int tap_new(struct tap *tap, int header, int listen)
{
	int room = 32 << 20, r = 0;
	struct sockaddr_ll ll;
	struct ifreq ifr;

	memset(&ifr, 0, sizeof(ifr));
	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (header ? IFF_VNET_HDR : 0));
	tap->sock = -1;
	tap->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap->fd < 0 || ioctl(tap->fd, TUNSETIFF, &ifr) < 0 ||
	    (header && ioctl(tap->fd, TUNSETVNETHDRSZ, &header) < 0))
		goto fail;
	memcpy(tap->name, ifr.ifr_name, IFNAMSIZ);
	tap->index = if_nametoindex(tap->name);
	tap->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (tap->sock < 0)
		goto fail;
	r = tap_up(tap);
	if (r < 0 || !listen)
		goto out;
	memset(&ll, 0, sizeof(ll));
	ll.sll_family = AF_PACKET;
	ll.sll_protocol = htons(TAP_ETHERTYPE);
	ll.sll_ifindex = (int)tap->index;
	if (setsockopt(tap->sock, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    bind(tap->sock, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		goto fail;
	return 0;
fail:
	r = -errno;
out:
	if (r < 0)
		tap_close(tap);
	return r;
}

/* A frame for @tap's wire, of @size bytes from ETH_HLEN on, like no other of its number. */
static inline void tap_frame(unsigned char *frame, size_t size, unsigned int number)
{
	static const unsigned char to[6] = { 2, 0, 0, 0, 0, 1 }, from[6] = { 2, 0, 0, 0, 0, 2 };
	size_t i;

	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = TAP_ETHERTYPE >> 8;
	frame[13] = TAP_ETHERTYPE & 0xff;
	for (i = ETH_HLEN; i < size; i++)
		frame[i] = (unsigned char)(i * 7 + (i >> 8) * 31 + number * 13 + (number >> 8));
}

#endif
