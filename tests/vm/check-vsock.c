/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The kernel's vhost-vsock: sockets of this kernel, which is the host, on the one side;
 * and on the other a guest's driver that is just large enough, on our queues.
 */
#include <endian.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>

#include "vm/guest.h"

#define RX 0u
#define TX 1u
#define ENTRIES 128u
#define MEM_IOVA 0x100000000ull
#define MEM_SIZE (1u << 20)
#define RX_BUFFERS 32u
#define PACKET 4096u		/* bytes of data in one packet of ours */
#define ROOM 8192u
#define CREDIT 16384u		/* what the host may send ahead */
#define CID 4242u
#define PORT 1234u
#define BYTES 65536u
#define A_WHILE_MS 300		/* for what is not to happen */

#define VSOCK_F_SEQPACKET (1ull << 1)

/* VIRTIO 1.3, 5.10.6 */
struct header {
	uint64_t src_cid;
	uint64_t dst_cid;
	uint32_t src_port;
	uint32_t dst_port;
	uint32_t len;
	uint16_t type;
	uint16_t op;
	uint32_t flags;
	uint32_t buf_alloc;
	uint32_t fwd_cnt;
} __attribute__((packed));

enum { STREAM = 1, SEQPACKET = 2 };
enum {
	OP_REQUEST = 1, OP_RESPONSE = 2, OP_RST = 3, OP_SHUTDOWN = 4, OP_RW = 5,
	OP_CREDIT_UPDATE = 6, OP_CREDIT_REQUEST = 7,
};
#define SHUTDOWN_BOTH 3u
#define SEQ_EOM 1u

static const uint64_t rings[] = {
	0,
	F_VERSION_1,
	F_VERSION_1 | F_INDIRECT | F_EVENT_IDX,
	F_VERSION_1 | F_EVENT_IDX | F_ACCESS_PLATFORM,
};
#define N_RINGS ((int)(sizeof(rings) / sizeof(rings[0])))
#define MODERN (F_VERSION_1 | F_EVENT_IDX)

static struct leak before;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static vhost_virtq_t *vqs[2];
static uint64_t features;
static uint8_t *rx_buffers[RX_BUFFERS];
static struct header *tx_header;
static uint8_t *tx_data;

/* The driver's one connection. */
static struct {
	enum { NONE, REQUESTED, OPEN, SHUT, RESET } state;
	uint16_t type;
	uint32_t port, peer_port;
	bool refuse;		/* answer no request but with a reset */
	bool hoard;		/* give no credit back */
	uint32_t taken;		/* bytes that came */
	uint32_t given;		/* of which the host has its credit back */
	uint32_t sent, peer_alloc, peer_taken;
	unsigned int messages;	/* SEQPACKET: how many ended */
	uint8_t data[BYTES + PACKET];
} c;

static void setup(void)
{
	before = leak_begin();
	memset(&c, 0, sizeof(c));
	dev = guest_open("/dev/vhost-vsock", 0);
}

static void teardown(void)
{
	dev = vhost_dev_unref(dev);
	vqs[RX] = vhost_virtq_unref(vqs[RX]);
	vqs[TX] = vhost_virtq_unref(vqs[TX]);
	mem = vhost_mem_unref(mem);
	ck_assert_int_eq(leak_check(&before), 0);
}

static uint8_t pattern(uint32_t i, unsigned int way)
{
	return (uint8_t)(i * 5 + (i >> 8) * 3 + way);
}

/* ------------------------------------------------------------------- the driver */

static void post(uint8_t *buffer)
{
	/* the header in a buffer of its own */
	struct vhost_sg sg[2] = {
		guest_sg(mem, buffer, sizeof(struct header)),
		guest_sg(mem, buffer + sizeof(struct header), ROOM - sizeof(struct header)),
	};
	struct vhost_virtq_req req = { .sg = sg, .in = 2, .cookie = buffer };

	ck_assert_msg(vhost_virtq_add(vqs[RX], &req, 1) == 1, "%s", vhost_virtq_error(vqs[RX]));
}

static void prepare(uint64_t wanted)
{
	struct vhost_virtq_opts opts = { .size = ENTRIES, .features = wanted };
	unsigned int i;

	features = wanted;
	if (wanted & F_INDIRECT)
		opts.flags = VHOST_VIRTQ_INDIRECT;
	DEV_OK(dev, vhost_dev_set_features(dev, wanted));
	ck_assert_int_eq(vhost_mem_new(MEM_SIZE, 0, MEM_IOVA, &mem), 0);
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, mem));
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vqs[i]), 0);
		DEV_OK(dev, vhost_dev_vq_attach(dev, i, vqs[i]));
	}
	for (i = 0; i < RX_BUFFERS; i++) {
		rx_buffers[i] = vhost_mem_alloc(mem, ROOM, 0);
		ck_assert(rx_buffers[i] != NULL);
		post(rx_buffers[i]);
	}
	tx_header = vhost_mem_alloc(mem, sizeof(*tx_header), 0);
	tx_data = vhost_mem_alloc(mem, PACKET, 0);
	ck_assert(tx_header && tx_data);
}

static void bring_up(uint64_t wanted)
{
	prepare(wanted);
	DEV_OK(dev, vhost_vsock_set_cid(dev, CID));
	DEV_OK(dev, vhost_dev_start(dev));
}

/* Send a packet of the connection, with @len bytes that are in tx_data. */
static void driver_sends(uint16_t op, uint32_t flags, uint32_t len)
{
	struct vhost_sg sg[2] = { guest_sg(mem, tx_header, sizeof(*tx_header)) };

	*tx_header = (struct header){
		.src_cid = htole64(CID), .dst_cid = htole64(VMADDR_CID_HOST),
		.src_port = htole32(c.port), .dst_port = htole32(c.peer_port),
		.len = htole32(len), .type = htole16(c.type), .op = htole16(op),
		.flags = htole32(flags), .buf_alloc = htole32(CREDIT), .fwd_cnt = htole32(c.given),
	};
	if (len)
		sg[1] = guest_sg(mem, tx_data, len);
	guest_request(dev, vqs[TX], sg, len ? 2 : 1, 0);
}

static void give_credit(void)
{
	if (c.hoard || c.taken == c.given)
		return;
	c.given = c.taken;
	driver_sends(OP_CREDIT_UPDATE, 0, 0);
}

static void take(const struct header *h, const uint8_t *data)
{
	uint16_t op = le16toh(h->op);
	uint32_t len = le32toh(h->len);

	ck_assert_uint_eq(le64toh(h->src_cid), VMADDR_CID_HOST);
	ck_assert_uint_eq(le64toh(h->dst_cid), CID);
	if (c.state == NONE && op == OP_REQUEST) {
		c.type = le16toh(h->type);
		c.port = le32toh(h->dst_port);
		c.peer_port = le32toh(h->src_port);
		c.peer_alloc = le32toh(h->buf_alloc);
		if (c.refuse) {
			driver_sends(OP_RST, 0, 0);
			return;
		}
		c.state = OPEN;
		driver_sends(OP_RESPONSE, 0, 0);
		return;
	}
	if (op == OP_RST && c.state == NONE)
		return;		/* to a packet of a connection that is no more */
	ck_assert_uint_eq(le16toh(h->type), c.type);
	ck_assert_uint_eq(le32toh(h->src_port), c.peer_port);
	ck_assert_uint_eq(le32toh(h->dst_port), c.port);
	if (op != OP_RST) {
		c.peer_alloc = le32toh(h->buf_alloc);
		c.peer_taken = le32toh(h->fwd_cnt);
	}
	switch (op) {
	case OP_RESPONSE:
		ck_assert_int_eq(c.state, REQUESTED);
		c.state = OPEN;
		break;
	case OP_RW:
		ck_assert_msg(c.taken + len - c.given <= CREDIT,
			      "the host sends more than it has credit for");
		ck_assert_uint_le(c.taken + len, sizeof(c.data));
		memcpy(c.data + c.taken, data, len);
		c.taken += len;
		c.messages += c.type == SEQPACKET && le32toh(h->flags) & SEQ_EOM;
		if (c.taken - c.given >= CREDIT / 2)
			give_credit();
		break;
	case OP_CREDIT_REQUEST:
		driver_sends(OP_CREDIT_UPDATE, 0, 0);
		break;
	case OP_SHUTDOWN:
		c.state = SHUT;
		if ((le32toh(h->flags) & SHUTDOWN_BOTH) == SHUTDOWN_BOTH)
			driver_sends(OP_RST, 0, 0);
		break;
	case OP_RST:
		c.state = RESET;
		break;
	default:
		ck_assert_int_eq(op, OP_CREDIT_UPDATE);
		break;
	}
}

/* Take what the host sent, if there is any within @ms. */
static bool driver_takes(int ms)
{
	struct vhost_virtq_done done[RX_BUFFERS];
	int i, n = guest_get(dev, vqs[RX], done, RX_BUFFERS, ms);

	for (i = 0; i < n; i++) {
		struct header *h = done[i].cookie;

		ck_assert_uint_eq(done[i].flags, 0);
		ck_assert_uint_ge(done[i].len, sizeof(*h));
		ck_assert_uint_eq(done[i].len, sizeof(*h) + le32toh(h->len));
		take(h, (uint8_t *)(h + 1));
		post(done[i].cookie);
	}
	ck_assert_int_ge(vhost_virtq_kick(vqs[RX]), 0);
	return n > 0;
}

static void wait_for_state(int state)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;

	while ((int)c.state != state && program_now_ms() < end)
		driver_takes(100);
	ck_assert_int_eq(c.state, state);
}

/* --------------------------------------------------------------- the host's sockets */

static struct sockaddr_vm address(unsigned int cid, unsigned int port)
{
	struct sockaddr_vm sa;

	memset(&sa, 0, sizeof(sa));
	sa.svm_family = AF_VSOCK;
	sa.svm_cid = cid;
	sa.svm_port = port;
	return sa;
}

/* Begin to connect to the driver. */
static int host_begins(int type)
{
	struct sockaddr_vm sa = address(CID, PORT);
	int fd = socket(AF_VSOCK, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_msg(fd >= 0, "no vsock: %s", strerror(errno));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), -1);
	ck_assert_int_eq(errno, EINPROGRESS);
	return fd;
}

/* How it ended: 0 or an errno. */
static int host_connected(int fd)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
	struct pollfd p = { fd, POLLOUT, 0 };
	socklen_t len = sizeof(int);
	int error = -1;

	while (poll(&p, 1, 0) == 0 && program_now_ms() < end)
		driver_takes(20);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	return error;
}

static int host_connects(int type)
{
	int fd = host_begins(type);
	int r = host_connected(fd);

	ck_assert_msg(r == 0, "connect: %s", strerror(r));
	ck_assert_int_eq(c.state, OPEN);
	return fd;
}

/* As much as it may of bytes @from to @to. How many. */
static uint32_t host_sends(int fd, uint32_t from, uint32_t to)
{
	static uint8_t out[BYTES];
	ssize_t n;
	uint32_t i;

	for (i = from; i < to; i++)
		out[i] = pattern(i, 1);
	n = send(fd, out + from, to - from, MSG_NOSIGNAL);
	ck_assert_msg(n >= 0 || errno == EAGAIN, "send: %s", strerror(errno));
	return n < 0 ? 0 : (uint32_t)n;
}

static void host_to_driver(int fd, uint32_t from, uint32_t to)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
	uint32_t sent = from;

	while (c.taken < to && program_now_ms() < end) {
		if (sent < to)
			sent += host_sends(fd, sent, to);
		driver_takes(20);
	}
	ck_assert_uint_eq(c.taken, to);
}

static void driver_to_host(int fd, uint32_t to)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
	static uint8_t in[BYTES];
	uint32_t got = c.sent, i;

	while (got < to && program_now_ms() < end) {
		uint32_t len = to - c.sent, room = c.peer_alloc - (c.sent - c.peer_taken);
		ssize_t n;

		len = len < PACKET ? len : PACKET;
		if (len && len <= room) {
			for (i = 0; i < len; i++)
				tx_data[i] = pattern(c.sent + i, 2);
			driver_sends(OP_RW, 0, len);
			c.sent += len;
		}
		n = recv(fd, in + got, to - got, 0);
		ck_assert_msg(n > 0 || (n < 0 && errno == EAGAIN), "recv: %zd: %s", n,
			      strerror(errno));
		if (n > 0)
			got += (uint32_t)n;
		driver_takes(0);
	}
	ck_assert_uint_eq(got, to);
	for (i = 0; i < to && in[i] == pattern(i, 2); i++)
		;
	ck_assert_msg(i == to, "byte %u differs of those that the driver sent", i);
}

static void compare_driver(uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n && c.data[i] == pattern(i, 1); i++)
		;
	ck_assert_msg(i == n, "byte %u differs of those that the host sent", i);
}

/* A stream, with a few bytes each way. */
static void bytes_flow(int fd)
{
	host_to_driver(fd, c.taken, c.taken + 100);
	compare_driver(c.taken);
	driver_to_host(fd, c.sent + 100);
}

/* --------------------------------------------------------------------------- tests */

START_TEST(the_device_says_what_it_has)
{
	uint64_t words[3] = { 1, 2, 3 }, has;

	ck_assert_str_eq(vhost_dev_get_transport(dev), "vhost-vsock");
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_DEVICE_ID), 19);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MAX_QUEUES), 2);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_IOTLB), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_LOG), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_ENABLE_RUNNING), 0);
	DEV_OK(dev, vhost_dev_get_features(dev, &has));
	ck_assert_uint_eq(has & (MODERN | F_ACCESS_PLATFORM), MODERN | F_ACCESS_PLATFORM);
	/* K16: of the three only vhost-net has more than one word */
	DEV_OK(dev, vhost_dev_get_features_array(dev, words, 3));
	ck_assert_uint_eq(words[0], has);
	ck_assert_uint_eq(words[1] | words[2], 0);
}
END_TEST

START_TEST(K11_a_cid_that_is_reserved_is_refused)
{
	static const uint64_t wrong[] = { 0, 1, 2, UINT32_MAX, 1ull << 32, UINT64_MAX };
	unsigned int i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		DEV_FAILS_KIND(dev, vhost_vsock_set_cid(dev, wrong[i]), -EINVAL, VHOST_ERR_ARGUMENT,
			       "address");
	DEV_OK(dev, vhost_vsock_set_cid(dev, 3));
	DEV_OK(dev, vhost_vsock_set_cid(dev, UINT32_MAX - 1));
}
END_TEST

START_TEST(K11_a_cid_that_another_device_has_is_named)
{
	vhost_dev_t *second = guest_open("/dev/vhost-vsock", 0);

	DEV_OK(dev, vhost_vsock_set_cid(dev, CID));
	DEV_OK(dev, vhost_vsock_set_cid(dev, CID));
	DEV_FAILS_KIND(second, vhost_vsock_set_cid(second, CID), -EADDRINUSE, VHOST_ERR_IN_USE,
		       "4242");
	DEV_OK(second, vhost_vsock_set_cid(second, CID + 1));
	DEV_FAILS_KIND(dev, vhost_vsock_set_cid(dev, CID + 1), -EADDRINUSE, VHOST_ERR_IN_USE,
		       "4243");
	/* free again once its device is closed, or has another */
	second = vhost_dev_unref(second);
	DEV_OK(dev, vhost_vsock_set_cid(dev, CID + 1));
	second = guest_open("/dev/vhost-vsock", 0);
	DEV_OK(second, vhost_vsock_set_cid(second, CID));
	vhost_dev_unref(second);
}
END_TEST

START_TEST(a_device_without_a_cid_does_not_start)
{
	int fd;

	prepare(MODERN);
	DEV_FAILS(dev, vhost_dev_start(dev), -EINVAL, "vhost_vsock_set_cid");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	DEV_OK(dev, vhost_vsock_set_cid(dev, CID));
	DEV_OK(dev, vhost_dev_start(dev));
	DEV_FAILS(dev, vhost_vsock_set_cid(dev, CID + 1), -EBUSY, "");
	fd = host_connects(SOCK_STREAM);
	bytes_flow(fd);
	close(fd);
}
END_TEST

START_TEST(a_stream_from_the_host_carries_data_both_ways)
{
	int fd;

	bring_up(rings[_i]);
	fd = host_connects(SOCK_STREAM);
	ck_assert_uint_eq(c.port, PORT);
	ck_assert_uint_eq(c.type, STREAM);
	host_to_driver(fd, 0, BYTES);
	compare_driver(BYTES);
	driver_to_host(fd, BYTES);
	close(fd);
	wait_for_state(SHUT);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

START_TEST(a_stream_from_the_guest_carries_data_both_ways)
{
	struct sockaddr_vm sa = address(VMADDR_CID_ANY, 7777), peer;
	int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), fd;
	socklen_t len = sizeof(peer);
	uint8_t byte;

	bring_up(MODERN);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	c.type = STREAM;
	c.port = 1111;
	c.peer_port = 7777;
	c.state = REQUESTED;
	driver_sends(OP_REQUEST, 0, 0);
	wait_for_state(OPEN);
	fd = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(peer.svm_cid, CID);
	ck_assert_uint_eq(peer.svm_port, 1111);
	driver_to_host(fd, BYTES);
	host_to_driver(fd, 0, BYTES);
	compare_driver(BYTES);
	/* the driver ends it: the host sees the end */
	driver_sends(OP_SHUTDOWN, SHUTDOWN_BOTH, 0);
	ck_assert_int_eq(poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, PROGRAM_PATIENCE_MS), 1);
	ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(a_request_to_a_port_of_the_host_that_nobody_has_is_reset)
{
	bring_up(MODERN);
	c.type = STREAM;
	c.port = 1111;
	c.peer_port = 7778;
	c.state = REQUESTED;
	driver_sends(OP_REQUEST, 0, 0);
	wait_for_state(RESET);
}
END_TEST

START_TEST(the_host_sends_no_more_than_its_credit)
{
	uint64_t end;
	uint32_t sent = 0, n;
	int fd;

	bring_up(MODERN);
	fd = host_connects(SOCK_STREAM);
	c.hoard = true;
	end = program_now_ms() + PROGRAM_PATIENCE_MS;
	while (sent < CREDIT && program_now_ms() < end) {
		sent += host_sends(fd, sent, BYTES);
		driver_takes(10);
	}
	n = host_sends(fd, sent, BYTES);
	ck_assert_uint_eq(sent + n, CREDIT);
	while (driver_takes(A_WHILE_MS))
		;
	ck_assert_uint_eq(c.taken, CREDIT);
	ck_assert_int_eq(poll(&(struct pollfd){ fd, POLLOUT, 0 }, 1, 0), 0);
	c.hoard = false;
	give_credit();
	host_to_driver(fd, sent, BYTES);
	compare_driver(BYTES);
	close(fd);
}
END_TEST

START_TEST(a_connection_that_the_driver_resets_is_refused)
{
	int fd;

	bring_up(MODERN);
	c.refuse = true;
	fd = host_begins(SOCK_STREAM);
	ck_assert_int_eq(host_connected(fd), ECONNRESET);
	close(fd);
}
END_TEST

START_TEST(messages_keep_their_bounds)
{
	uint8_t in[64];
	uint64_t has;
	int fd;

	DEV_OK(dev, vhost_dev_get_features(dev, &has));
	if (!(has & VSOCK_F_SEQPACKET)) {
		guest_skip_case("vhost-vsock does not offer SEQPACKET");
		return;
	}
	bring_up(MODERN | VSOCK_F_SEQPACKET);
	fd = host_connects(SOCK_SEQPACKET);
	ck_assert_uint_eq(c.type, SEQPACKET);
	/* two packets of one message, then one of another */
	ck_assert_uint_eq(host_sends(fd, 0, 10000), 10000);
	ck_assert_uint_eq(host_sends(fd, 10000, 10100), 100);
	while (c.taken < 10100 && driver_takes(PROGRAM_PATIENCE_MS))
		;
	ck_assert_uint_eq(c.taken, 10100);
	ck_assert_uint_eq(c.messages, 2);
	compare_driver(10100);
	memset(tx_data, 'a', 10);
	driver_sends(OP_RW, 0, 10);
	driver_sends(OP_RW, SEQ_EOM, 10);
	driver_sends(OP_RW, SEQ_EOM, 5);
	ck_assert_int_eq(poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, PROGRAM_PATIENCE_MS), 1);
	ck_assert_int_eq(recv(fd, in, sizeof(in), 0), 20);
	ck_assert_int_eq(poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, PROGRAM_PATIENCE_MS), 1);
	ck_assert_int_eq(recv(fd, in, sizeof(in), 0), 5);
	close(fd);
}
END_TEST

START_TEST(a_stream_survives_stop_and_start)
{
	uint32_t base[2];
	int fd, round;

	bring_up(rings[_i]);
	fd = host_connects(SOCK_STREAM);
	for (round = 0; round < 8; round++) {
		uint32_t from = (uint32_t)round * 4000, sent;

		/* some on its way when it stops, some sent while it is */
		sent = from + host_sends(fd, from, from + 2000);
		DEV_OK(dev, vhost_dev_stop(dev));
		DEV_OK(dev, vhost_dev_vq_get_base(dev, RX, &base[0]));
		DEV_OK(dev, vhost_dev_vq_get_base(dev, TX, &base[1]));
		ck_assert_uint_gt(base[1], 0);
		ck_assert_uint_gt(base[0], 0);
		DEV_OK(dev, vhost_dev_start(dev));
		while (c.taken < sent && driver_takes(PROGRAM_PATIENCE_MS))
			;
		host_to_driver(fd, sent, from + 4000);
		driver_to_host(fd, from + 4000);
	}
	compare_driver(c.taken);
	close(fd);
}
END_TEST

START_TEST(the_stream_is_reset_when_the_device_is_closed)
{
	struct pollfd p;
	uint8_t byte;
	int fd;

	bring_up(MODERN);
	fd = host_connects(SOCK_STREAM);
	bytes_flow(fd);
	dev = vhost_dev_unref(dev);
	p = (struct pollfd){ fd, POLLIN, 0 };
	ck_assert_int_eq(poll(&p, 1, PROGRAM_PATIENCE_MS), 1);
	ck_assert_int_eq(recv(fd, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(fd);
}
END_TEST

START_TEST(K8_rings_outside_of_the_memory_are_named_at_start)
{
	struct vhost_virtq_layout l;
	struct vhost_vq_config config;

	prepare(MODERN);
	DEV_OK(dev, vhost_vsock_set_cid(dev, CID));
	vhost_virtq_layout(vqs[TX], &l, sizeof(l));
	config = (struct vhost_vq_config){
		.size = l.size, .desc = l.desc, .driver = l.driver, .device = MEM_IOVA + MEM_SIZE,
		.kick_fd = l.kick_fd, .call_fd = l.call_fd, .err_fd = l.err_fd,
	};
	DEV_OK(dev, vhost_dev_vq_setup(dev, TX, &config, sizeof(config)));
	DEV_FAILS(dev, vhost_dev_start(dev), -EFAULT, "device area");
	DEV_OK(dev, vhost_dev_vq_attach(dev, TX, vqs[TX]));
	DEV_OK(dev, vhost_dev_start(dev));
}
END_TEST

START_TEST(K9_the_event_queue_is_the_programs_own)
{
	prepare(MODERN);
	DEV_FAILS_KIND(dev, vhost_dev_vq_attach(dev, 2, vqs[TX]), -EINVAL, VHOST_ERR_LIMIT,
		       "queue 2");
}
END_TEST

START_TEST(K17_vhost_vsock_has_its_one_worker)
{
	uint32_t id;

	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_WORKERS), 0);
	DEV_FAILS(dev, vhost_worker_new(dev, &id), -ENOTSUP, "worker");
	DEV_FAILS(dev, vhost_worker_get(dev, RX, &id), -ENOTSUP, "worker");
	DEV_FAILS(dev, vhost_worker_attach(dev, RX, 0), -ENOTSUP, "worker");
	DEV_FAILS(dev, vhost_worker_free(dev, 0), -ENOTSUP, "worker");
}
END_TEST

START_TEST(K16_calls_of_other_devices_are_unsupported)
{
	uint32_t missed;

	bring_up(MODERN);
	DEV_FAILS(dev, vhost_dev_vq_enable(dev, TX, 0), -ENOTSUP, "queue");
	DEV_FAILS(dev, vhost_net_set_backend(dev, 0, -1), -ENOTSUP, "vhost-net");
	DEV_FAILS(dev, vhost_scsi_get_events_missed(dev, &missed), -ENOTSUP, "vhost-scsi");
	close(host_connects(SOCK_STREAM));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost-vsock");
	TCase *tc = tcase_create("vsock");
	int r = guest_must_have("/dev/vhost-vsock");

	if (r)
		return r;
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_device_says_what_it_has);
	tcase_add_test(tc, a_device_without_a_cid_does_not_start);
	tcase_add_loop_test(tc, a_stream_from_the_host_carries_data_both_ways, 0, N_RINGS);
	tcase_add_test(tc, a_stream_from_the_guest_carries_data_both_ways);
	tcase_add_test(tc, a_request_to_a_port_of_the_host_that_nobody_has_is_reset);
	tcase_add_test(tc, the_host_sends_no_more_than_its_credit);
	tcase_add_test(tc, a_connection_that_the_driver_resets_is_refused);
	tcase_add_test(tc, messages_keep_their_bounds);
	tcase_add_loop_test(tc, a_stream_survives_stop_and_start, 0, N_RINGS);
	tcase_add_test(tc, the_stream_is_reset_when_the_device_is_closed);
	tcase_add_test(tc, K8_rings_outside_of_the_memory_are_named_at_start);
	tcase_add_test(tc, K9_the_event_queue_is_the_programs_own);
	tcase_add_test(tc, K11_a_cid_that_is_reserved_is_refused);
	tcase_add_test(tc, K11_a_cid_that_another_device_has_is_named);
	tcase_add_test(tc, K16_calls_of_other_devices_are_unsupported);
	tcase_add_test(tc, K17_vhost_vsock_has_its_one_worker);
	suite_add_tcase(suite, tc);
	return program_run_suite(suite);
}
