/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <errno.h>
#include <linux/genetlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "netlink.h"

#define TRIES 5		/* of a list that changes while it is read */

/* As of <linux/netlink.h>, where older headers lack them. */
#define ACK_CAPPED 0x100
#define ACK_TLVS 0x200
#define ACK_ATTR_MSG 1

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void netlink_begin(struct netlink *nl, uint8_t command, bool dump)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(nl->out);
	struct genlmsghdr *head;

	msg->nlmsg_type = nl->family;
	msg->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | (dump ? NLM_F_DUMP : NLM_F_ACK));
	head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
	head->cmd = command;
	head->version = 1;
}

int netlink_put(struct netlink *nl, uint16_t attribute, const void *value, size_t size)
{
	return mnl_attr_put_check((struct nlmsghdr *)nl->out, sizeof(nl->out), attribute, size,
				  value) ? 0 : -EMSGSIZE;
}

int netlink_put_string(struct netlink *nl, uint16_t attribute, const char *text)
{
	return netlink_put(nl, attribute, text, strlen(text) + 1);
}

/* The kernel's sentence about an error, which stands behind @skip bytes of payload. */
static void take_sentence(struct netlink *nl, const struct nlmsghdr *msg, size_t skip)
{
	const struct nlattr *attr;

	if (!(msg->nlmsg_flags & ACK_TLVS) || skip > mnl_nlmsg_get_payload_len(msg))
		return;
	mnl_attr_for_each(attr, msg, skip) {
		if (mnl_attr_get_type(attr) == ACK_ATTR_MSG)
			snprintf(nl->error, sizeof(nl->error), "%.*s",
				 (int)mnl_attr_get_payload_len(attr),
				 (const char *)mnl_attr_get_payload(attr));
	}
}

/* 1: there is more to come; 0: it is done; or a negative errno. */
static int take(struct netlink *nl, const struct nlmsghdr *msg, netlink_found_fn found,
		void *opaque)
{
	const size_t size = mnl_nlmsg_get_payload_len(msg);
	int error = 0;

	if (msg->nlmsg_type == NLMSG_NOOP)
		return 1;
	if (msg->nlmsg_type == NLMSG_DONE || msg->nlmsg_type == NLMSG_ERROR) {
		size_t skip = sizeof(error);

		if (size >= sizeof(error))
			memcpy(&error, mnl_nlmsg_get_payload(msg), sizeof(error));
		if (msg->nlmsg_type == NLMSG_ERROR) {
			if (size < sizeof(struct nlmsgerr))
				return -EBADMSG;
			skip = sizeof(struct nlmsgerr);
			if (!(msg->nlmsg_flags & ACK_CAPPED)) {
				const struct nlmsgerr *e = mnl_nlmsg_get_payload(msg);

				skip += e->msg.nlmsg_len - sizeof(e->msg);
			}
		}
		take_sentence(nl, msg, MNL_ALIGN(skip));
		return error < 0 ? error : 0;
	}
	if (msg->nlmsg_type < NLMSG_MIN_TYPE || size < sizeof(struct genlmsghdr))
		return -EBADMSG;
	if (found)
		error = found(msg, opaque);
	return error < 0 ? error : 1;
}

static int run_once(struct netlink *nl, netlink_found_fn found, void *opaque)
{
	struct nlmsghdr *out = (struct nlmsghdr *)nl->out;
	const uint64_t end = now_ms() + (uint64_t)nl->timeout_ms;
	static uint32_t in[8192];
	bool changed = false;
	int r = 1;

	out->nlmsg_seq = ++nl->sequence;
	nl->error[0] = 0;
	if (mnl_socket_sendto(nl->socket, out, out->nlmsg_len) < 0)
		return -errno;
	while (r == 1) {
		struct pollfd p = { mnl_socket_get_fd(nl->socket), POLLIN, 0 };
		struct sockaddr_nl from = { .nl_family = AF_NETLINK };
		socklen_t from_size = sizeof(from);
		const struct nlmsghdr *msg = (const struct nlmsghdr *)in;
		uint64_t now = now_ms();
		ssize_t n;
		int left;

		r = poll(&p, 1, now < end ? (int)(end - now) : 0);
		if (r <= 0)
			return r < 0 ? -errno : -ETIMEDOUT;
		n = recvfrom(p.fd, in, sizeof(in), MSG_TRUNC, (struct sockaddr *)&from, &from_size);
		if (n < 0)
			return -errno;
		if ((size_t)n > sizeof(in))
			return -EMSGSIZE;
		r = 1;
		if (from.nl_pid != 0)
			continue;	/* not the kernel's */
		left = (int)n;
		for (; r == 1 && mnl_nlmsg_ok(msg, left); msg = mnl_nlmsg_next(msg, &left)) {
			if (msg->nlmsg_seq != nl->sequence)
				continue;
			changed |= (msg->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
			r = take(nl, msg, found, opaque);
		}
	}
	return r == 0 && changed ? -EAGAIN : r;
}

/*
 * What a list was found to hold before it changed is found again: @found has to cope
 * with what it knows.
 */
int netlink_run(struct netlink *nl, netlink_found_fn found, void *opaque)
{
	const struct nlmsghdr *out = (const struct nlmsghdr *)nl->out;
	bool dump = (out->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	int r = -EAGAIN;

	for (int i = 0; i < (dump ? TRIES : 1) && r == -EAGAIN; i++)
		r = run_once(nl, found, opaque);
	return r;
}

static int take_family(const struct nlmsghdr *msg, void *opaque)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, msg, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
			*(uint16_t *)opaque = mnl_attr_get_u16(attr);
	}
	return 0;
}

int netlink_open(const char *family, int timeout_ms, struct netlink *ret)
{
	uint16_t id = 0;
	int one = 1, r;

	memset(ret, 0, sizeof(*ret));
	ret->timeout_ms = timeout_ms;
	ret->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!ret->socket)
		return -errno;
	/* Kernels before 4.12 know neither; errors then come without a sentence. */
	mnl_socket_setsockopt(ret->socket, NETLINK_CAP_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(ret->socket, NETLINK_EXT_ACK, &one, sizeof(one));
	r = mnl_socket_bind(ret->socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (r == 0) {
		ret->family = GENL_ID_CTRL;
		netlink_begin(ret, CTRL_CMD_GETFAMILY, false);
		r = netlink_put_string(ret, CTRL_ATTR_FAMILY_NAME, family);
	}
	if (r == 0)
		r = netlink_run(ret, take_family, &id);
	if (r == 0 && !id)
		r = -ENOENT;
	if (r < 0) {
		netlink_close(ret);
		return r;
	}
	ret->family = id;
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (nl->socket)
		mnl_socket_close(nl->socket);
	nl->socket = NULL;
}
