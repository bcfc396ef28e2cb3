/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * vhost-user-net, frame by frame (VIRTIO 1.3, 5.1.6): what comes back from --loopback, in
 * buffers of all shapes, with too few of them or none; the control queue; and --tap in a
 * network namespace of the test's own.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "leak.h"
#include "program.h"

#define HEADER 12u
#define SIZE 64u		/* of each queue */
#define BUFS 32u
#define ROOM 2048u		/* of each buffer to receive into, at most */
#define LARGE 20000u

#define F(name) (1ull << VIRTIO_NET_F_##name)
#define F_INDIRECT (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_VERSION_1 (1ull << 32)
#define F_PACKED (1ull << 34)
#define F_IN_ORDER (1ull << 35)

static const uint64_t rings[] = {
	0,
	F_INDIRECT | F_EVENT_IDX,
	F_INDIRECT | F_EVENT_IDX | F_PACKED,
	F_IN_ORDER,
	F_IN_ORDER | F_PACKED,
};
#define N_RINGS ((int)(sizeof(rings) / sizeof(rings[0])))

static char server_path[512];
static struct leak before;
static pid_t server;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static vhost_virtq_t *vqs[3];
static int call_fds[3];
static unsigned int n_vqs;
static uint8_t *bufs[BUFS];
static uint32_t room;
static uint8_t *frame;		/* to be sent, with its header */

enum { RX, TX, CONTROL };

static void setup(void)
{
	before = leak_begin();
	unlink(program_path("log"));
}

static void go_away(void)
{
	dev = vhost_dev_unref(dev);
	for (unsigned int q = 0; q < 3; q++)
		vqs[q] = vhost_virtq_unref(vqs[q]);
	mem = vhost_mem_unref(mem);
	program_end(server, SIGTERM);
}

static void teardown(void)
{
	if (dev)
		go_away();
	ck_assert_int_eq(leak_check(&before), 0);
}

/* Receive buffers of @size bytes each; @features beyond those that all have. */
static void begin(const char *option, const char *more, uint64_t features, uint32_t size)
{
	static char sock[160];
	const char *argv[] = { server_path, sock, option, more, NULL };
	struct vhost_virtq_opts opts = { .size = SIZE };
	uint64_t offered;

	snprintf(sock, sizeof(sock), "--socket-path=%s", program_path("sock"));
	server = program_start(argv, -1);
	dev = program_open(server, program_path("sock"));
	DEV_OK(dev, vhost_dev_get_features(dev, &offered));
	opts.features = F_VERSION_1 | features;
	ck_assert_uint_eq(opts.features & ~offered, 0);
	ck_assert_int_eq(vhost_mem_new(8 << 20, 0, 0x100000000, &mem), 0);
	DEV_OK(dev, vhost_dev_set_features(dev, opts.features));
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, mem));
	n_vqs = features & F(CTRL_VQ) ? 3 : 2;
	for (unsigned int q = 0; q < n_vqs; q++) {
		struct vhost_virtq_layout layout;

		ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vqs[q]), 0);
		vhost_virtq_layout(vqs[q], &layout, sizeof(layout));
		call_fds[q] = layout.call_fd;
		DEV_OK(dev, vhost_dev_vq_attach(dev, q, vqs[q]));
	}
	room = size;
	for (unsigned int i = 0; i < BUFS; i++) {
		bufs[i] = vhost_mem_alloc(mem, ROOM, 64);
		ck_assert_ptr_nonnull(bufs[i]);
	}
	frame = vhost_mem_alloc(mem, HEADER + LARGE, 64);
	ck_assert_ptr_nonnull(frame);
	DEV_OK(dev, vhost_dev_start(dev));
}

static struct vhost_sg piece(const void *at, uint32_t len)
{
	return (struct vhost_sg){ vhost_mem_to_iova(mem, at), len, 0 };
}

static void give(unsigned int i)
{
	struct vhost_sg sg = piece(bufs[i], room);
	struct vhost_virtq_req req = { .sg = &sg, .in = 1, .cookie = bufs[i] };

	memset(bufs[i], 0xee, ROOM);
	ck_assert_int_eq(vhost_virtq_add(vqs[RX], &req, 1), 1);
	vhost_virtq_kick(vqs[RX]);
}

static void give_all(void)
{
	for (unsigned int i = 0; i < BUFS; i++)
		give(i);
}

static void wait_for(unsigned int q)
{
	struct pollfd p = { call_fds[q], POLLIN, 0 };
	uint64_t count;

	ck_assert_msg(poll(&p, 1, PROGRAM_PATIENCE_MS) > 0, "nothing comes from queue %u", q);
	if (read(call_fds[q], &count, sizeof(count)) < 0)
		ck_assert_int_eq(errno, EAGAIN);
}

static uint32_t get(unsigned int q, uint8_t **ret)
{
	struct vhost_virtq_done done;
	int n;

	while ((n = vhost_virtq_get(vqs[q], &done, 1)) == 0)
		wait_for(q);
	ck_assert_msg(n == 1, "queue %u: %s", q, vhost_virtq_error(vqs[q]));
	ck_assert_uint_eq(done.flags & ~VHOST_VIRTQ_DONE_EMPTY, 0);
	if (ret)
		*ret = done.cookie;
	return done.len;
}

static void send_sg(const struct vhost_sg *sg, unsigned int n)
{
	struct vhost_virtq_req req = { .sg = sg, .out = (uint16_t)n };

	ck_assert_int_eq(vhost_virtq_add(vqs[TX], &req, 1), 1);
	vhost_virtq_kick(vqs[TX]);
	get(TX, NULL);
}

/* @len bytes: two addresses, and after them bytes that follow from @seed. */
static void fill(uint32_t len, unsigned int seed)
{
	memset(frame, 0, HEADER);
	for (uint32_t i = 0; i < len; i++)
		frame[HEADER + i] = i < 6 ? 0xd0 : i < 12 ? 0x50 : (uint8_t)(i * 7 + seed);
}

static void send_frame(uint32_t len, unsigned int seed)
{
	struct vhost_sg sg = piece(frame, HEADER + len);

	fill(len, seed);
	send_sg(&sg, 1);
}

/* The frame comes, in buffers of which all but the last are full; they are given again. */
static void expect(uint32_t len, unsigned int seed)
{
	static uint8_t got[HEADER + LARGE];
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint32_t total = 0;
	unsigned int n = 0;

	do {
		uint8_t *buf;
		uint32_t part = get(RX, &buf);

		ck_assert_uint_le(part, room);
		memcpy(got + total, buf, part);
		ck_assert(buf[part] == 0xee || part == room);
		total += part;
		n++;
		ck_assert(total == HEADER + len || part == room);
		for (unsigned int i = 0; i < BUFS; i++)
			if (bufs[i] == buf)
				give(i);
	} while (total < HEADER + len);
	ck_assert_uint_eq(total, HEADER + len);
	memcpy(&hdr, got, sizeof(hdr));
	ck_assert_uint_eq(le16toh(hdr.num_buffers), n);
	ck_assert_int_eq(hdr.hdr.flags, 0);
	ck_assert_int_eq(hdr.hdr.gso_type, 0);
	for (uint32_t i = 0; i < len; i++)
		ck_assert_msg(got[HEADER + i] == (i < 6 ? 0x50 : i < 12 ? 0xd0 :
						  (uint8_t)(i * 7 + seed)), "byte %u", i);
}

static bool log_says(const char *text)
{
	FILE *f = fopen(program_path("log"), "re");
	char line[256];
	bool found = false;

	while (f && fgets(line, sizeof(line), f))
		found |= strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return found;
}

/* ---------------------------------------------------------------- loopback */

START_TEST(frames_come_back_with_their_addresses_swapped)
{
	begin("--loopback", NULL, rings[_i], ROOM);
	give_all();
	for (unsigned int i = 0; i < 300; i++) {
		uint32_t len = i < 3 ? 14 + i : i % 2 ? 60 : 1514 - i;

		send_frame(len, i);
		expect(len, i);
	}
}
END_TEST

START_TEST(a_frame_is_spread_over_mergeable_buffers)
{
	begin("--loopback", NULL, rings[_i] | F(MRG_RXBUF), 256);
	give_all();
	for (unsigned int i = 0; i < 50; i++) {
		/* Of one buffer, just one, just more, and many */
		static const uint32_t lens[] = { 60, 256 - HEADER, 257 - HEADER, 1514, 5000 };

		send_frame(lens[i % 5], i);
		expect(lens[i % 5], i);
	}
	go_away();
	ck_assert(!log_says("dropped"));
}
END_TEST

START_TEST(a_frame_comes_and_goes_in_pieces)
{
	struct vhost_sg sg[40];
	unsigned int n = 0;

	begin("--loopback", NULL, rings[_i] | F(MRG_RXBUF), 100);
	give_all();
	fill(900, 5);
	/* Header and addresses byte by byte, the rest in two */
	for (unsigned int i = 0; i < 30; i++)
		sg[n++] = piece(frame + i, 1);
	sg[n++] = piece(frame + 30, 1);
	sg[n++] = piece(frame + 31, HEADER + 900 - 31);
	send_sg(sg, n);
	expect(900, 5);
}
END_TEST

START_TEST(what_does_not_fit_is_dropped_and_the_next_frame_comes)
{
	begin("--loopback", NULL, rings[_i], 500);
	give_all();
	send_frame(1000, 1);	/* no merging was negotiated */
	send_frame(400, 2);
	expect(400, 2);
	go_away();
	ck_assert(log_says("dropped for want of receive buffers: 1"));
}
END_TEST

START_TEST(without_buffers_frames_are_dropped_and_counted)
{
	begin("--loopback", NULL, rings[_i] | F(MRG_RXBUF), 500);
	give(0);
	send_frame(1000, 1);	/* needs three */
	for (unsigned int i = 0; i < 100; i++)
		send_frame(60, i);
	expect(60, 0);		/* gives the buffer again */
	send_frame(61, 7);
	expect(61, 7);
	go_away();
	ck_assert(log_says("dropped for want of receive buffers: 100"));
}
END_TEST

/* G26; _i: a ring, and buffers of 1 byte, of one less than a header, of a header */
START_TEST(g26_buffers_that_hold_no_frame_are_survived)
{
	static const unsigned int rooms[] = { 1, HEADER - 1, HEADER };

	begin("--loopback", NULL, rings[_i / 3], rooms[_i % 3]);
	give_all();
	send_frame(60, 1);
	go_away();
	ck_assert(log_says("dropped for want of receive buffers: 1"));
}
END_TEST

START_TEST(frames_that_are_none_are_dropped_and_counted)
{
	struct vhost_sg sg[2];

	begin("--loopback", NULL, rings[_i], ROOM);
	give_all();
	fill(60, 0);
	sg[0] = piece(frame, 1);
	send_sg(sg, 1);
	sg[0] = piece(frame, HEADER);
	send_sg(sg, 1);
	sg[0] = piece(frame, HEADER);
	sg[1] = piece(frame, 13);
	send_sg(sg, 2);
	send_frame(60, 3);
	expect(60, 3);
	go_away();
	ck_assert(log_says("too short, too long, or refused by the host: 3"));
}
END_TEST

/* G13: those that it did not accept, and unknown ones, do not */
START_TEST(offloads_come_back_if_the_driver_takes_them)
{
	struct virtio_net_hdr *h;
	struct vhost_sg sg;
	uint8_t *buf;

	begin("--loopback", NULL, F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(GUEST_CSUM) | F(GUEST_TSO4),
	      ROOM);
	give_all();
	h = (struct virtio_net_hdr *)frame;
	sg = piece(frame, HEADER + 1000);
	fill(1000, 0);
	*h = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = htole16(54), .gso_size = htole16(500), .csum_start = htole16(34),
		.csum_offset = htole16(16)
	};
	send_sg(&sg, 1);
	ck_assert_uint_eq(get(RX, &buf), HEADER + 1000);
	ck_assert_mem_eq(buf, h, sizeof(*h));
	/* This it did not accept. */
	h->gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	send_sg(&sg, 1);
	h->gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN;
	send_sg(&sg, 1);
	h->gso_type = 77;
	send_sg(&sg, 1);
	/* Without a flag the fields mean nothing. */
	h->gso_type = VIRTIO_NET_HDR_GSO_NONE;
	h->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	send_sg(&sg, 1);
	ck_assert_uint_eq(get(RX, &buf), HEADER + 1000);
	ck_assert_mem_eq(buf, "\0\0\0\0\0\0\0\0\0\0\x01\0", HEADER);
	go_away();
	ck_assert(log_says("refused by the host: 3"));
}
END_TEST

START_TEST(a_burst_comes_back_in_order)
{
	struct vhost_sg sg[BUFS];
	struct vhost_virtq_req reqs[BUFS];
	uint8_t *all;

	begin("--loopback", NULL, rings[_i], ROOM);
	all = vhost_mem_alloc(mem, BUFS * 128, 64);
	ck_assert_ptr_nonnull(all);
	for (unsigned int round = 0; round < 20; round++) {
		give_all();
		for (unsigned int i = 0; i < BUFS; i++) {
			fill(100, round + i);
			memcpy(all + i * 128, frame, HEADER + 100);
			sg[i] = piece(all + i * 128, HEADER + 100);
			reqs[i] = (struct vhost_virtq_req){ .sg = &sg[i], .out = 1 };
		}
		ck_assert_int_eq(vhost_virtq_add(vqs[TX], reqs, BUFS), BUFS);
		vhost_virtq_kick(vqs[TX]);
		for (unsigned int i = 0; i < BUFS; i++) {
			uint8_t *buf;

			ck_assert_uint_eq(get(RX, &buf), HEADER + 100);
			ck_assert_ptr_eq(buf, bufs[i]);
			ck_assert_int_eq(buf[HEADER + 99], (uint8_t)(99 * 7 + round + i));
		}
		for (unsigned int i = 0; i < BUFS; i++)
			get(TX, NULL);
	}
}
END_TEST

START_TEST(stopped_and_started_it_goes_on)
{
	begin("--loopback", NULL, rings[_i], ROOM);
	give_all();
	for (unsigned int i = 0; i < 20; i++) {
		send_frame(60 + i, i);
		expect(60 + i, i);
		DEV_OK(dev, vhost_dev_stop(dev));
		DEV_OK(dev, vhost_dev_start(dev));
	}
}
END_TEST

/* ----------------------------------------------------------- control queue */

static int control(uint8_t class, uint8_t command, const void *arg, uint32_t len)
{
	uint8_t *cmd = frame, *ack = frame + 256;
	struct vhost_sg sg[2] = { piece(cmd, 2 + len), piece(ack, 1) };
	struct vhost_virtq_req req = { .sg = sg, .out = 1, .in = 1 };

	cmd[0] = class;
	cmd[1] = command;
	memcpy(cmd + 2, arg, len);
	*ack = 0xee;
	ck_assert_int_eq(vhost_virtq_add(vqs[CONTROL], &req, 1), 1);
	vhost_virtq_kick(vqs[CONTROL]);
	ck_assert_uint_eq(get(CONTROL, NULL), 1);
	return *ack;
}

START_TEST(commands_are_accepted_if_they_make_sense)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
	const uint8_t on = 1;
	uint16_t one = htole16(1), two = htole16(2);
	uint8_t now[6];

	begin("--loopback", "--mac=02:00:00:00:00:01",
	      rings[_i] | F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_MAC_ADDR) | F(MAC), ROOM);
	DEV_OK(dev, vhost_dev_get_config(dev, 0, now, sizeof(now)));
	ck_assert_int_eq(now[5], 1);
	ck_assert_int_eq(control(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1), 0);
	ck_assert_int_eq(control(VIRTIO_NET_CTRL_RX, 6, &on, 1), 1);
	ck_assert_int_eq(control(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6), 0);
	ck_assert_int_eq(control(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 5), 1);
	DEV_OK(dev, vhost_dev_get_config(dev, 0, now, sizeof(now)));
	ck_assert_mem_eq(now, mac, 6);
	ck_assert_int_eq(control(VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, "", 0), 0);
	/* Several pairs were not negotiated. */
	ck_assert_int_eq(control(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &one, 2), 1);
	ck_assert_int_eq(control(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &two, 2), 1);
	ck_assert_int_eq(control(77, 0, "", 0), 1);
	give_all();
	send_frame(60, 1);
	expect(60, 1);
}
END_TEST

/* --------------------------------------------------------------------- tap */

static int packets;

/* A network of our own, and in it a tap interface that is up: false if that cannot be. */
static bool begin_tap(uint64_t features)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5) };
	struct ifreq ifr = { .ifr_name = "libvhost0" };
	int yes = 1;

	if (access("/dev/net/tun", R_OK | W_OK) < 0 ||
	    (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)) {
		printf("not tested: no tap interface can be made here\n");
		return false;
	}
	begin("--tap=libvhost0", NULL, features, ROOM);
	packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(packets, 0);
	ck_assert_int_eq(ioctl(packets, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags |= IFF_UP;
	ck_assert_int_eq(ioctl(packets, SIOCSIFFLAGS, &ifr), 0);
	ck_assert_int_eq(ioctl(packets, SIOCGIFINDEX, &ifr), 0);
	addr.sll_ifindex = ifr.ifr_ifindex;
	/* All that the card sends; what we send ourselves is not heard. */
	addr.sll_protocol = htons(0x0003);
	setsockopt(packets, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes));
	ck_assert_int_eq(bind(packets, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return true;
}

static uint32_t hear(uint8_t *buf, uint32_t size)
{
	struct pollfd p = { packets, POLLIN, 0 };
	ssize_t n;

	ck_assert_msg(poll(&p, 1, PROGRAM_PATIENCE_MS) > 0, "the tap interface has no frame");
	n = recv(packets, buf, size, 0);
	ck_assert_int_gt(n, 0);
	return (uint32_t)n;
}

/* Frames of the experimental type: the kernel's own are others. */
static uint32_t receive_ours(uint8_t *ret, uint16_t *ret_buffers)
{
	for (;;) {
		struct virtio_net_hdr_mrg_rxbuf hdr;
		uint32_t total = 0, len = 0;
		unsigned int left = 1;

		for (unsigned int n = 0; n < left; n++) {
			uint8_t *buf;

			len = get(RX, &buf);
			if (!n) {
				memcpy(&hdr, buf, sizeof(hdr));
				left = le16toh(hdr.num_buffers);
			}
			memcpy(ret + total, buf, len);
			total += len;
			for (unsigned int i = 0; i < BUFS; i++)
				if (bufs[i] == buf)
					give(i);
		}
		*ret_buffers = (uint16_t)left;
		if (ret[HEADER + 12] == 0x88 && ret[HEADER + 13] == 0xb5)
			return total;
	}
}

START_TEST(frames_go_to_the_tap_and_come_from_it)
{
	static uint8_t buf[ROOM + HEADER], sent[1400];
	uint16_t buffers;

	if (!begin_tap(rings[_i] | F(MRG_RXBUF)))
		return;
	room = 256;
	for (unsigned int i = 0; i < 50; i++) {
		uint32_t len = 60 + 20 * i;
		struct vhost_sg sg = piece(frame, HEADER + len);

		fill(len, i);
		frame[HEADER + 12] = 0x88;
		frame[HEADER + 13] = 0xb5;
		send_sg(&sg, 1);
		ck_assert_uint_eq(hear(buf, sizeof(buf)), len);
		ck_assert_mem_eq(buf, frame + HEADER, len);
	}
	/* The first ones come before there is a buffer: they wait. */
	for (unsigned int i = 0; i < 50; i++) {
		uint32_t len = 60 + 20 * i;

		memset(sent, (int)i, len);
		memset(sent, 0xff, 6);
		sent[12] = 0x88;
		sent[13] = 0xb5;
		ck_assert_int_eq(send(packets, sent, len, 0), len);
		if (i == 3) {
			give_all();
			for (unsigned int j = 0; j <= i; j++) {
				ck_assert_uint_eq(receive_ours(buf, &buffers), HEADER + 60 + 20 * j);
				ck_assert_int_eq(buf[HEADER + 14], j);
			}
		} else if (i > 3) {
			ck_assert_uint_eq(receive_ours(buf, &buffers), HEADER + len);
			ck_assert_mem_eq(buf + HEADER, sent, len);
			ck_assert_uint_eq(buffers, (HEADER + len + room - 1) / room);
		}
	}
	close(packets);
}
END_TEST

START_TEST(a_guest_is_announced_on_the_tap)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 5 };
	uint8_t buf[256];

	if (!begin_tap(0))
		return;
	DEV_OK(dev, vhost_user_send_rarp(dev, mac));
	ck_assert_uint_ge(hear(buf, sizeof(buf)), 42);
	ck_assert_mem_eq(buf, "\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x05\x80\x35"
			 "\0\x01\x08\0\x06\x04\0\x03", 22);
	ck_assert_mem_eq(buf + 22, mac, 6);
	ck_assert_mem_eq(buf + 32, mac, 6);
	close(packets);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost-user-net");
	TCase *tc = tcase_create("card");
	const char *dir = getenv("builddir");

	snprintf(server_path, sizeof(server_path), "%s/tools/vhost-user-net", dir ? dir : ".");
	if (access(server_path, X_OK) < 0)
		return program_skip("tools/vhost-user-net was not built");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, frames_come_back_with_their_addresses_swapped, 0, N_RINGS);
	tcase_add_loop_test(tc, a_frame_is_spread_over_mergeable_buffers, 0, N_RINGS);
	tcase_add_loop_test(tc, a_frame_comes_and_goes_in_pieces, 0, N_RINGS);
	tcase_add_loop_test(tc, what_does_not_fit_is_dropped_and_the_next_frame_comes, 0, N_RINGS);
	tcase_add_loop_test(tc, without_buffers_frames_are_dropped_and_counted, 0, N_RINGS);
	tcase_add_loop_test(tc, g26_buffers_that_hold_no_frame_are_survived, 0, 3 * N_RINGS);
	tcase_add_loop_test(tc, frames_that_are_none_are_dropped_and_counted, 0, N_RINGS);
	tcase_add_test(tc, offloads_come_back_if_the_driver_takes_them);
	tcase_add_loop_test(tc, a_burst_comes_back_in_order, 0, N_RINGS);
	tcase_add_loop_test(tc, stopped_and_started_it_goes_on, 0, N_RINGS);
	tcase_add_loop_test(tc, commands_are_accepted_if_they_make_sense, 0, N_RINGS);
	tcase_add_loop_test(tc, frames_go_to_the_tap_and_come_from_it, 0, N_RINGS);
	tcase_add_test(tc, a_guest_is_announced_on_the_tap);
	suite_add_tcase(suite, tc);
	return program_run_suite(suite);
}
