/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The kernel's vhost-net, with a tap behind it: our queues are the virtio driver's, and
 * a packet socket is the other end of the wire. Every frame is compared, byte by byte.
 */
#include <endian.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vm/guest.h"
#include "vm/tap.h"

#define RX 0u
#define TX 1u
#define ENTRIES 256u
#define MEM_IOVA 0x100000000ull
#define MEM_SIZE (8u << 20)
#define TARGET 0x7000000000ull	/* where the memory map has the memory, behind the IOTLB */
#define PAGE 4096u
#define FRAME_MAX 65000u
#define TX_SLOTS 16u
#define TX_ROOM 69632u		/* a frame and its header, in whole pages */
#define RX_MAX 128u
#define A_WHILE_MS 300		/* for what is not to happen */

#define NET_F_MRG_RXBUF (1ull << 15)
#define NET_F_VIRTIO_NET_HDR (1ull << 27)
#define F_LOG_ALL (1ull << 26)

/* VIRTIO 1.3, 5.1.6: the last field is there with MRG_RXBUF or VERSION_1 only. */
struct net_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers;
};

struct rx_buffer {
	uint8_t *data;
	uint32_t size;
};

static const struct {
	const char *name;
	uint64_t features;
} rings[] = {
	{ "legacy", 0 },
	{ "legacy, mergeable", NET_F_MRG_RXBUF },
	{ "modern", F_VERSION_1 },
	{ "modern, indirect", F_VERSION_1 | F_INDIRECT | F_EVENT_IDX },
	{ "mergeable", F_VERSION_1 | NET_F_MRG_RXBUF },
	{ "mergeable, indirect", F_VERSION_1 | NET_F_MRG_RXBUF | F_INDIRECT | F_EVENT_IDX },
};
#define N_RINGS ((int)(sizeof(rings) / sizeof(rings[0])))
#define MODERN (F_VERSION_1 | NET_F_MRG_RXBUF | F_EVENT_IDX)

static const size_t sizes[] = {
	14, 15, 59, 60, 61, 127, 128, 1000, 1514, 1515, 2036, 2037, 4084, 9014, 20000, FRAME_MAX
};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static struct leak before;
static struct tap tap;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static vhost_virtq_t *vqs[2];
static uint64_t features;
static uint32_t header_size;
static uint8_t *tx_data;
static bool tx_busy[TX_SLOTS];
static unsigned int n_tx_busy;
static struct rx_buffer rx_buffers[RX_MAX];
static unsigned int n_rx_buffers;
static uint8_t expected[FRAME_MAX + 1], found[FRAME_MAX + 4096];

/* The misses that the device asked about. */
static struct {
	uint64_t pages[64];
	unsigned int n;
	bool refuse;
} misses;

static void setup(void)
{
	before = leak_begin();
	tap.fd = tap.sock = -1;
	ck_assert_int_eq(tap_own_network(), 0);
	dev = guest_open("/dev/vhost-net", 0);
}

static void teardown(void)
{
	dev = vhost_dev_unref(dev);
	vqs[RX] = vhost_virtq_unref(vqs[RX]);
	vqs[TX] = vhost_virtq_unref(vqs[TX]);
	mem = vhost_mem_unref(mem);
	tap_close(&tap);
	ck_assert_int_eq(leak_check(&before), 0);
}

/* ------------------------------------------------------------------- the driver */

static uint32_t header_of(uint64_t f)
{
	return f & (F_VERSION_1 | NET_F_MRG_RXBUF) ? 12 : 10;
}

static void make_queue(unsigned int index)
{
	struct vhost_virtq_opts opts = { .size = ENTRIES, .features = features };

	if (features & F_INDIRECT)
		opts.flags = VHOST_VIRTQ_INDIRECT;
	ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vqs[index]), 0);
	DEV_OK(dev, vhost_dev_vq_attach(dev, index, vqs[index]));
}

/* Features, memory and queues; no tap yet. The map has the memory at @iova. */
static void prepare_at(uint64_t wanted, uint64_t iova)
{
	struct vhost_mem_desc desc;

	features = wanted;
	header_size = header_of(wanted);
	DEV_OK(dev, vhost_dev_set_features(dev, wanted));
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), wanted);
	ck_assert_int_eq(vhost_mem_new(MEM_SIZE, 0, MEM_IOVA, &mem), 0);
	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.iova = iova;
	DEV_OK(dev, vhost_dev_mem_add(dev, &desc, sizeof(desc)));
	make_queue(RX);
	make_queue(TX);
	tx_data = vhost_mem_alloc(mem, TX_SLOTS * TX_ROOM, PAGE);
	ck_assert(tx_data != NULL);
}

static void prepare(uint64_t wanted)
{
	prepare_at(wanted, MEM_IOVA);
}

static void plug(int header)
{
	int r = tap_new(&tap, header, 1);

	ck_assert_msg(r == 0, "no tap: %s", strerror(-r));
	DEV_OK(dev, vhost_net_set_backend(dev, RX, tap.fd));
	DEV_OK(dev, vhost_net_set_backend(dev, TX, tap.fd));
}

static void bring_up(uint64_t wanted)
{
	prepare(wanted);
	plug((int)header_size);
	DEV_OK(dev, vhost_dev_start(dev));
}

/* Make a buffer available to receive into, again or for the first time. */
static void post(struct rx_buffer *b)
{
	struct vhost_sg sg[2] = { guest_sg(mem, b->data, b->size) };
	struct vhost_virtq_req req = { .sg = sg, .in = 1, .cookie = b };

	memset(b->data, 0xee, b->size);
	if (features & F_INDIRECT) {
		/* the header in a buffer of its own */
		sg[0].len = header_size;
		sg[1] = guest_sg(mem, b->data + header_size, b->size - header_size);
		req.in = 2;
	}
	ck_assert_msg(vhost_virtq_add(vqs[RX], &req, 1) == 1, "%s", vhost_virtq_error(vqs[RX]));
}

static void post_new(unsigned int n, uint32_t size)
{
	while (n--) {
		struct rx_buffer *b = &rx_buffers[n_rx_buffers++];

		b->size = size;
		b->data = vhost_mem_alloc(mem, size, PAGE);
		ck_assert(b->data != NULL);
		post(b);
	}
	ck_assert_int_ge(vhost_virtq_kick(vqs[RX]), 0);
}

/* So many buffers that any frame fits. */
static void post_enough(void)
{
	if (features & NET_F_MRG_RXBUF)
		post_new(128, 2048);
	else
		post_new(16, TX_ROOM);
}

/* The wire's end sends a frame to the driver. */
static void wire_sends(unsigned int number, size_t size)
{
	tap_frame(expected, size, number);
	ck_assert_msg(send(tap.sock, expected, size, 0) == (ssize_t)size, "frame %u of %zu: %s",
		      number, size, strerror(errno));
}

static void compare(unsigned int number, size_t size, size_t got)
{
	size_t i;

	ck_assert_msg(got == size, "frame %u has %zu bytes, not %zu", number, got, size);
	tap_frame(expected, size, number);
	for (i = 0; i < size && found[i] == expected[i]; i++)
		;
	ck_assert_msg(i == size, "frame %u of %zu differs at byte %zu", number, size, i);
}

/* A frame arrives in the driver's buffers, which are posted again: how many it took. */
static unsigned int driver_gets(unsigned int number, size_t size)
{
	unsigned int i, n = 1;
	size_t got = 0;

	for (i = 0; i < n; i++) {
		struct vhost_virtq_done done;
		struct rx_buffer *b;
		uint32_t skip = 0;

		ck_assert_msg(guest_get(dev, vqs[RX], &done, 1, PROGRAM_PATIENCE_MS) == 1,
			      "frame %u of %zu does not come", number, size);
		b = done.cookie;
		ck_assert_uint_eq(done.flags, 0);
		ck_assert_uint_le(done.len, b->size);
		if (i == 0) {
			struct net_header h;

			ck_assert_uint_ge(done.len, header_size);
			memcpy(&h, b->data, sizeof(h));
			ck_assert_uint_eq(h.flags, 0);
			ck_assert_uint_eq(h.gso_type, 0);
			skip = header_size;
			if (features & NET_F_MRG_RXBUF)
				n = le16toh(h.num_buffers);
			ck_assert_msg(n >= 1 && n <= n_rx_buffers, "num_buffers is %u", n);
		}
		ck_assert_uint_le(got + done.len - skip, sizeof(found));
		memcpy(found + got, b->data + skip, done.len - skip);
		got += done.len - skip;
		post(b);
	}
	ck_assert_int_ge(vhost_virtq_kick(vqs[RX]), 0);
	compare(number, size, got);
	return n;
}

static void driver_gets_nothing(void)
{
	struct vhost_virtq_done done;

	ck_assert_int_eq(guest_get(dev, vqs[RX], &done, 1, A_WHILE_MS), 0);
}

static void reap_tx(bool all)
{
	struct vhost_virtq_done done[TX_SLOTS];
	int n, i;

	do {
		n = guest_get(dev, vqs[TX], done, TX_SLOTS, n_tx_busy ? PROGRAM_PATIENCE_MS : 0);
		ck_assert_msg(n > 0 || !n_tx_busy, "frames that were sent do not complete");
		for (i = 0; i < n; i++) {
			bool *busy = done[i].cookie;

			ck_assert_msg(*busy, "a frame completed twice");
			*busy = false;
			n_tx_busy--;
			ck_assert_uint_eq(done[i].len, 0);
		}
	} while (all && n_tx_busy);
}

/* Make a frame available to the device, header and frame in @pieces buffers and more. */
static void driver_adds(unsigned int number, size_t size, unsigned int pieces)
{
	struct vhost_sg sg[16];
	struct vhost_virtq_req req = { .sg = sg };
	unsigned int slot, i;
	size_t at, part;
	uint8_t *data;

	if (n_tx_busy == TX_SLOTS)
		reap_tx(false);
	for (slot = 0; tx_busy[slot]; slot++)
		;
	data = tx_data + (size_t)slot * TX_ROOM;
	memset(data, 0, header_size);
	tap_frame(data + header_size, size, number);
	if (pieces == 1) {
		sg[0] = guest_sg(mem, data, header_size + size);
		req.out = 1;
	} else {
		sg[0] = guest_sg(mem, data, header_size);
		for (i = 1, at = 0; i < pieces; i++, at += part) {
			part = i + 1 < pieces ? size / pieces : size - at;
			sg[i] = guest_sg(mem, data + header_size + at, part);
		}
		req.out = (uint16_t)pieces;
	}
	req.cookie = &tx_busy[slot];
	ck_assert_msg(vhost_virtq_add(vqs[TX], &req, 1) == 1, "%s", vhost_virtq_error(vqs[TX]));
	tx_busy[slot] = true;
	n_tx_busy++;
}

static void driver_sends(unsigned int number, size_t size, unsigned int pieces)
{
	driver_adds(number, size, pieces);
	ck_assert_int_ge(vhost_virtq_kick(vqs[TX]), 0);
}

static bool wire_has(int ms)
{
	uint64_t end = program_now_ms() + (uint64_t)ms;
	struct pollfd p[2] = { { tap.sock, POLLIN, 0 }, { vhost_dev_get_fd(dev), POLLIN, 0 } };

	do {
		poll(p, 2, ms);
		if (p[1].revents)
			DEV_OK(dev, vhost_dev_process(dev));
	} while (!p[0].revents && program_now_ms() < end);
	return p[0].revents != 0;
}

/* The frame comes out at the wire's end. */
static void wire_gets(unsigned int number, size_t size)
{
	ssize_t n;

	ck_assert_msg(wire_has(PROGRAM_PATIENCE_MS), "frame %u of %zu does not come", number, size);
	n = recv(tap.sock, found, sizeof(found), 0);
	ck_assert_int_ge(n, 0);
	compare(number, size, (size_t)n);
}

/* One frame each way: it works. */
static void frames_flow(void)
{
	static unsigned int number = 100000;

	if (!n_rx_buffers)
		post_enough();
	driver_sends(++number, 500, 2);
	wire_gets(number, 500);
	wire_sends(++number, 700);
	driver_gets(number, 700);
	reap_tx(true);
}

/* ------------------------------------------------------------------- the device */

START_TEST(the_device_says_what_it_has)
{
	uint64_t has, backend, acked;

	ck_assert_str_eq(vhost_dev_get_transport(dev), "vhost-net");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_DEVICE_ID), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MAX_QUEUES), 2);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MAX_QUEUE_SIZE), 32768);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_LOG), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_IOTLB), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_ENABLE_RUNNING), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MEM_NEEDS_ADDR), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MEM_NEEDS_SHARED), 0);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_CONFIG), 0);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_STATUS), 0);
	DEV_OK(dev, vhost_dev_get_features(dev, &has));
	ck_assert_uint_eq(has & MODERN, MODERN);
	ck_assert_uint_eq(has & F_ACCESS_PLATFORM, F_ACCESS_PLATFORM);
	/* the transport's own business */
	ck_assert_uint_eq(has & (F_LOG_ALL | NET_F_VIRTIO_NET_HDR), 0);
	DEV_OK(dev, vhost_dev_get_backend_features(dev, &backend, &acked));
	ck_assert_uint_eq(backend & 2, 2);
	ck_assert_uint_eq(acked & ~backend, 0);
}
END_TEST

START_TEST(features_that_are_not_offered_are_refused)
{
	DEV_FAILS(dev, vhost_dev_set_features(dev, F_VERSION_1 | 1ull << 34), -EINVAL,
		  "0x400000000");
	DEV_FAILS(dev, vhost_dev_set_features(dev, F_VERSION_1 | 1ull << 60), -EINVAL,
		  "0x1000000000000000");
	bring_up(MODERN);
	DEV_FAILS(dev, vhost_dev_set_features(dev, F_VERSION_1), -EBUSY, "");
	frames_flow();
}
END_TEST

START_TEST(features_past_64_are_those_of_udp_tunnels)
{
	uint64_t words[4] = { 0, 1, 2, 3 }, has, wanted[2] = { F_VERSION_1, 0xa };

	DEV_OK(dev, vhost_dev_get_features(dev, &has));
	DEV_OK(dev, vhost_dev_get_features_array(dev, words, 4));
	ck_assert_uint_eq(words[0], has);
	ck_assert_uint_eq(words[2] | words[3], 0);
	if (!guest_kernel_has(6, 17)) {
		ck_assert_uint_eq(words[1], 0);
		DEV_FAILS(dev, vhost_dev_set_features_array(dev, wanted, 2), -EINVAL,
			  "0xa of word 1");
		wanted[1] = 0;
		DEV_OK(dev, vhost_dev_set_features_array(dev, wanted, 2));
		return;
	}
	/* 65 and 67: VIRTIO_NET_F_{GUEST,HOST}_UDP_TUNNEL_GSO */
	ck_assert_uint_eq(words[1], 0xa);
	wanted[1] = 1u << (66 - 64);
	DEV_FAILS(dev, vhost_dev_set_features_array(dev, wanted, 2), -EINVAL,
		  "0x4 of word 1");
	wanted[1] = 0xa;
	DEV_OK(dev, vhost_dev_set_features_array(dev, wanted, 2));
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), F_VERSION_1);
	wanted[1] = 0;
	DEV_OK(dev, vhost_dev_set_features_array(dev, wanted, 2));
	bring_up(MODERN);
	frames_flow();
}
END_TEST

/* ----------------------------------------------------------------------- frames */

/* A kernel that offers it goes wrong with it after a stop and a start. */
START_TEST(in_order_is_left_out)
{
	uint64_t has;

	DEV_OK(dev, vhost_dev_get_features(dev, &has));
	ck_assert_uint_eq(has & F_IN_ORDER, 0);
	DEV_FAILS(dev, vhost_dev_set_features(dev, F_VERSION_1 | F_IN_ORDER), -EINVAL, "IN_ORDER");
}
END_TEST

START_TEST(frames_go_out_byte_for_byte)
{
	unsigned int i, number = 0, pieces;

	bring_up(rings[_i].features);
	for (i = 0; i < N_SIZES; i++)
		for (pieces = 1; pieces <= 11; pieces += 5) {
			driver_sends(++number, sizes[i], pieces);
			wire_gets(number, sizes[i]);
		}
	/* in bursts, and in order */
	for (i = 0; i < TX_SLOTS / 2; i++)
		driver_adds(1000 + i, sizes[i], 3);
	ck_assert_int_ge(vhost_virtq_kick(vqs[TX]), 0);
	for (i = 0; i < TX_SLOTS / 2; i++)
		wire_gets(1000 + i, sizes[i]);
	reap_tx(true);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

START_TEST(frames_come_in_byte_for_byte)
{
	unsigned int i, buffers;

	bring_up(rings[_i].features);
	post_enough();
	for (i = 0; i < N_SIZES; i++) {
		wire_sends(i, sizes[i]);
		buffers = driver_gets(i, sizes[i]);
		if (features & NET_F_MRG_RXBUF)
			ck_assert_uint_eq(buffers, (sizes[i] + header_size + 2047) / 2048);
	}
	for (i = 0; i < 10; i++)
		wire_sends(1000 + i, sizes[i]);
	for (i = 0; i < 10; i++)
		driver_gets(1000 + i, sizes[i]);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

START_TEST(a_frame_waits_until_there_are_buffers_for_all_of_it)
{
	bring_up(MODERN);
	post_new(2, 2048);
	wire_sends(1, 9014);
	driver_gets_nothing();
	post_new(8, 2048);
	ck_assert_uint_eq(driver_gets(1, 9014), 5);
}
END_TEST

START_TEST(without_mergeable_buffers_a_frame_too_long_is_dropped)
{
	bring_up(F_VERSION_1);
	post_new(4, 2048);
	wire_sends(1, 2048 - 12);
	wire_sends(2, 2048 - 11);
	wire_sends(3, 100);
	driver_gets(1, 2048 - 12);
	driver_gets(3, 100);
	driver_gets_nothing();
}
END_TEST

START_TEST(the_kernel_adds_and_strips_the_header_for_a_tap_without)
{
	unsigned int i;

	DEV_OK(dev, vhost_net_set_header(dev, 1));
	prepare(rings[_i].features);
	plug(0);
	DEV_OK(dev, vhost_dev_start(dev));
	DEV_FAILS(dev, vhost_net_set_header(dev, 0), -EBUSY, "");
	post_enough();
	for (i = 0; i < N_SIZES; i++) {
		driver_sends(i, sizes[i], 2);
		wire_gets(i, sizes[i]);
		wire_sends(1000 + i, sizes[i]);
		driver_gets(1000 + i, sizes[i]);
	}
	reap_tx(true);
}
END_TEST

/* Of two taps one is the device's, through a packet socket, and the other end its file. */
START_TEST(a_packet_socket_does_as_well_as_a_tap)
{
	static uint8_t frame[1514];
	struct pollfd p;
	unsigned int i;

	DEV_OK(dev, vhost_net_set_header(dev, 1));
	prepare(MODERN);
	ck_assert_int_eq(tap_new(&tap, 0, 1), 0);
	DEV_OK(dev, vhost_net_set_backend(dev, RX, tap.sock));
	DEV_OK(dev, vhost_net_set_backend(dev, TX, tap.sock));
	DEV_OK(dev, vhost_dev_start(dev));
	post_enough();
	for (i = 1; i <= 20; i++) {
		size_t size = 60 + i * 70;
		ssize_t n;

		driver_sends(i, size, 2);
		p = (struct pollfd){ tap.fd, POLLIN, 0 };
		ck_assert_int_eq(poll(&p, 1, PROGRAM_PATIENCE_MS), 1);
		n = read(tap.fd, found, sizeof(found));
		ck_assert_int_ge(n, 0);
		compare(i, size, (size_t)n);
		tap_frame(frame, size, 1000 + i);
		ck_assert_int_eq(write(tap.fd, frame, size), (int)size);
		driver_gets(1000 + i, size);
	}
	reap_tx(true);
}
END_TEST

/* ------------------------------------------------------------------------ IOTLB */

static int miss(vhost_dev_t *d, uint64_t iova, uint32_t perm, struct vhost_iotlb_entry *ret,
		void *opaque)
{
	uint64_t page = iova & ~(uint64_t)(PAGE - 1);

	ck_assert(d == dev && opaque == &misses);
	ck_assert_uint_ne(perm & (VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE), 0);
	misses.pages[misses.n++ % 64] = page;
	if (misses.refuse)
		return -EFAULT;
	ck_assert_uint_ge(page, MEM_IOVA);
	ck_assert_uint_lt(page, MEM_IOVA + MEM_SIZE);
	*ret = (struct vhost_iotlb_entry){
		.iova = page, .size = PAGE, .target = page - MEM_IOVA + TARGET,
		.perm = VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE,
	};
	return 0;
}

static const struct vhost_dev_events miss_events = { .iotlb_miss = miss };

static unsigned int missed(uint64_t page)
{
	unsigned int i, n = 0;

	for (i = 0; i < misses.n && i < 64; i++)
		n += misses.pages[i] == page;
	return n;
}

static void bring_up_with_iotlb(void)
{
	DEV_OK(dev, vhost_dev_set_events(dev, &miss_events, sizeof(miss_events), &misses));
	prepare_at(MODERN | F_ACCESS_PLATFORM, TARGET);
	plug((int)header_size);
	DEV_OK(dev, vhost_dev_start(dev));
}

static struct vhost_iotlb_entry entry_of(uint64_t page, uint64_t size)
{
	struct vhost_iotlb_entry e = {
		.iova = page, .size = size, .target = page - MEM_IOVA + TARGET,
		.perm = VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE,
	};

	return e;
}

START_TEST(frames_flow_through_translations_given_on_a_miss)
{
	unsigned int i;

	bring_up_with_iotlb();
	post_enough();
	for (i = 0; i < N_SIZES; i++) {
		driver_sends(i, sizes[i], 3);
		wire_gets(i, sizes[i]);
		wire_sends(1000 + i, sizes[i]);
		driver_gets(1000 + i, sizes[i]);
	}
	ck_assert_uint_gt(misses.n, 20);
	reap_tx(true);
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
}
END_TEST

START_TEST(after_invalidate_the_next_frame_misses_again)
{
	unsigned int n;
	uint64_t page;

	/* the kernel may ask more than once, when it tries again before it has the answer */
	bring_up_with_iotlb();
	post_new(1, PAGE);
	page = vhost_mem_to_iova(mem, rx_buffers[0].data);
	ck_assert_uint_eq(missed(page), 0);
	wire_sends(1, 1000);
	driver_gets(1, 1000);
	ck_assert_uint_ge(missed(page), 1);
	n = misses.n;
	wire_sends(2, 1000);
	driver_gets(2, 1000);
	ck_assert_uint_eq(misses.n, n);
	DEV_OK(dev, vhost_dev_iotlb_invalidate(dev, page, PAGE, 0));
	misses.n = 0;
	wire_sends(3, 1000);
	driver_gets(3, 1000);
	ck_assert_uint_ge(missed(page), 1);
	/* nothing else was taken away */
	ck_assert_uint_eq(missed(page), misses.n);
	/* all of it, the rings too */
	DEV_OK(dev, vhost_dev_iotlb_invalidate(dev, MEM_IOVA, MEM_SIZE, 0));
	misses.n = 0;
	wire_sends(4, 1000);
	driver_gets(4, 1000);
	ck_assert_uint_ge(missed(page), 1);
	ck_assert_uint_gt(misses.n, missed(page));
}
END_TEST

START_TEST(what_was_updated_is_not_missed)
{
	struct vhost_iotlb_entry e;
	unsigned int n;

	bring_up_with_iotlb();
	e = entry_of(MEM_IOVA, MEM_SIZE);
	DEV_OK(dev, vhost_dev_iotlb_update(dev, &e, sizeof(e)));
	n = misses.n;
	frames_flow();
	ck_assert_uint_eq(misses.n, n);
}
END_TEST

START_TEST(a_miss_that_is_refused_waits_for_an_update)
{
	struct vhost_iotlb_entry e;
	uint64_t page;

	bring_up_with_iotlb();
	frames_flow();
	page = vhost_mem_to_iova(mem, tx_data);
	DEV_OK(dev, vhost_dev_iotlb_invalidate(dev, page, TX_ROOM, 0));
	misses.n = 0;
	misses.refuse = true;
	driver_sends(1, 900, 1);
	ck_assert(!wire_has(A_WHILE_MS));
	ck_assert_uint_ge(missed(page), 1);
	e = entry_of(page, PAGE);
	DEV_OK(dev, vhost_dev_iotlb_update(dev, &e, sizeof(e)));
	wire_gets(1, 900);
	reap_tx(true);
	misses.refuse = false;
}
END_TEST

START_TEST(without_a_miss_callback_the_map_is_the_translation)
{
	prepare(MODERN | F_ACCESS_PLATFORM);
	plug((int)header_size);
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
	DEV_OK(dev, vhost_dev_iotlb_invalidate(dev, MEM_IOVA, MEM_SIZE, 0));
	frames_flow();
}
END_TEST

START_TEST(translations_that_cannot_be_are_refused)
{
	struct vhost_iotlb_entry e;

	bring_up_with_iotlb();
	e = entry_of(MEM_IOVA, 0);
	DEV_FAILS(dev, vhost_dev_iotlb_update(dev, &e, sizeof(e)), -EINVAL, "");
	e = entry_of(MEM_IOVA, MEM_SIZE + PAGE);
	DEV_FAILS(dev, vhost_dev_iotlb_update(dev, &e, sizeof(e)), -EINVAL, "");
	e = entry_of(MEM_IOVA, PAGE);
	e.iova = UINT64_MAX - PAGE + 2;
	DEV_FAILS(dev, vhost_dev_iotlb_update(dev, &e, sizeof(e)), -EINVAL, "");
	e = entry_of(MEM_IOVA, PAGE);
	e.asid = 1;
	DEV_FAILS(dev, vhost_dev_iotlb_update(dev, &e, sizeof(e)), -EINVAL, "address space");
	frames_flow();
}
END_TEST

/* ------------------------------------------------------------- what it has besides */

START_TEST(busy_polling_is_set_and_read_back)
{
	uint32_t us = 77;

	DEV_OK(dev, vhost_worker_get_busyloop(dev, RX, &us));
	ck_assert_uint_eq(us, 0);
	bring_up(MODERN);
	DEV_OK(dev, vhost_worker_set_busyloop(dev, RX, 50));
	DEV_OK(dev, vhost_worker_set_busyloop(dev, TX, 70));
	DEV_OK(dev, vhost_worker_get_busyloop(dev, RX, &us));
	ck_assert_uint_eq(us, 50);
	DEV_OK(dev, vhost_worker_get_busyloop(dev, TX, &us));
	ck_assert_uint_eq(us, 70);
	frames_flow();
	DEV_FAILS(dev, vhost_worker_set_busyloop(dev, 2, 50), -EINVAL, "queue 2");
	DEV_FAILS(dev, vhost_worker_set_busyloop(dev, RX, 1u << 31), -EINVAL, "");
	DEV_FAILS(dev, vhost_worker_get_busyloop(dev, 2, &us), -EINVAL, "queue 2");
}
END_TEST

#define LOG_WORDS (MEM_SIZE / VHOST_DIRTY_PAGE_SIZE / 64)

static void mark(uint64_t *bits, uint64_t iova, uint64_t size)
{
	uint64_t page;

	for (page = iova / PAGE; page <= (iova + size - 1) / PAGE; page++) {
		uint64_t bit = page - MEM_IOVA / PAGE;

		bits[bit / 64] |= 1ull << bit % 64;
	}
}

START_TEST(the_dirty_log_has_the_pages_that_were_written_and_no_others)
{
	static uint64_t dirty[LOG_WORDS], want[LOG_WORDS], used[LOG_WORDS];
	struct vhost_virtq_layout layout;
	uint64_t n = 0, bits = 0;
	unsigned int i;

	bring_up(F_VERSION_1);
	post_new(3, 4 * PAGE);
	DEV_FAILS(dev, vhost_dev_log_collect(dev, MEM_IOVA, dirty, LOG_WORDS, &n), -ENOENT, "");
	ck_assert_uint_eq(vhost_dev_log_get_size(dev), 0);
	DEV_OK(dev, vhost_dev_log_start(dev));
	ck_assert_int_eq(vhost_dev_log_start(dev), -EALREADY);
	ck_assert_uint_ge(vhost_dev_log_get_size(dev), MEM_IOVA + MEM_SIZE);
	/* what the start of it wrote */
	DEV_OK(dev, vhost_dev_log_collect(dev, MEM_IOVA, dirty, LOG_WORDS, &n));
	memset(dirty, 0, sizeof(dirty));

	/* one page, two and a bit of the third, and not a byte into the next */
	wire_sends(1, 100);
	driver_gets(1, 100);
	wire_sends(2, 2 * PAGE + 1 - 12);
	driver_gets(2, 2 * PAGE + 1 - 12);
	wire_sends(3, PAGE - 12);
	driver_gets(3, PAGE - 12);
	driver_sends(4, 3000, 2);
	wire_gets(4, 3000);
	reap_tx(true);

	mark(want, vhost_mem_to_iova(mem, rx_buffers[0].data), PAGE);
	mark(want, vhost_mem_to_iova(mem, rx_buffers[1].data), 2 * PAGE + 1);
	mark(want, vhost_mem_to_iova(mem, rx_buffers[2].data), PAGE);
	for (i = 0; i < 2; i++) {
		vhost_virtq_layout(vqs[i], &layout, sizeof(layout));
		mark(want, layout.device, 4 + 8 * 3);
		mark(used, layout.device, 6 + 8 * ENTRIES);
	}
	DEV_OK(dev, vhost_dev_log_collect(dev, MEM_IOVA, dirty, LOG_WORDS, &n));
	for (i = 0; i < LOG_WORDS; i++) {
		ck_assert_msg((dirty[i] & ~used[i]) == (want[i] & ~used[i]) &&
			      (want[i] & ~dirty[i]) == 0, "pages from %u on: 0x%llx, not 0x%llx",
			      i * 64, (unsigned long long)dirty[i], (unsigned long long)want[i]);
		bits += (uint64_t)__builtin_popcountll(dirty[i]);
	}
	ck_assert_uint_eq(n, bits);

	/* taken is taken, and after the end nothing is logged */
	DEV_OK(dev, vhost_dev_log_collect(dev, MEM_IOVA, dirty, LOG_WORDS, &n));
	ck_assert_uint_eq(n, 0);
	DEV_FAILS(dev, vhost_dev_log_collect(dev, MEM_IOVA + PAGE, dirty, 1, &n), -EINVAL, "");
	DEV_OK(dev, vhost_dev_log_stop(dev));
	frames_flow();
	ck_assert_int_eq(vhost_dev_log_collect(dev, MEM_IOVA, dirty, LOG_WORDS, &n), -ENOENT);
}
END_TEST

/* The log is about the memory map, whatever the IOTLB makes of its addresses. */
START_TEST(with_an_iotlb_the_dirty_log_is_about_the_memory_behind_it)
{
	static uint64_t dirty[LOG_WORDS], want[LOG_WORDS], may[LOG_WORDS];
	struct vhost_virtq_layout layout;
	uint64_t n = 0;
	unsigned int i;

	bring_up_with_iotlb();
	post_new(3, 4 * PAGE);
	/* while it runs */
	DEV_OK(dev, vhost_dev_log_start(dev));
	ck_assert_uint_ge(vhost_dev_log_get_size(dev), TARGET + MEM_SIZE);
	DEV_OK(dev, vhost_dev_log_collect(dev, TARGET, dirty, LOG_WORDS, &n));
	memset(dirty, 0, sizeof(dirty));
	wire_sends(1, 100);
	driver_gets(1, 100);
	wire_sends(2, 2 * PAGE);
	driver_gets(2, 2 * PAGE);
	driver_sends(3, 3000, 2);
	wire_gets(3, 3000);
	reap_tx(true);

	mark(want, vhost_mem_to_iova(mem, rx_buffers[0].data), PAGE);
	mark(want, vhost_mem_to_iova(mem, rx_buffers[1].data), 2 * PAGE + 12);
	/* kernels log a buffer as a whole here */
	mark(may, vhost_mem_to_iova(mem, rx_buffers[0].data), 4 * PAGE);
	mark(may, vhost_mem_to_iova(mem, rx_buffers[1].data), 4 * PAGE);
	for (i = 0; i < 2; i++) {
		vhost_virtq_layout(vqs[i], &layout, sizeof(layout));
		mark(want, layout.device + 2, 2);
		mark(may, layout.device, 6 + 8 * ENTRIES);
	}
	DEV_OK(dev, vhost_dev_log_collect(dev, TARGET, dirty, LOG_WORDS, &n));
	for (i = 0; i < LOG_WORDS; i++)
		ck_assert_msg((dirty[i] & ~(want[i] | may[i])) == 0 && (want[i] & ~dirty[i]) == 0,
			      "pages from %u on: 0x%llx, not 0x%llx", i * 64,
			      (unsigned long long)dirty[i], (unsigned long long)want[i]);
	DEV_OK(dev, vhost_dev_log_stop(dev));
	frames_flow();
	/* nothing but the translations is left of it */
	misses.n = 0;
	DEV_OK(dev, vhost_dev_iotlb_invalidate(dev, MEM_IOVA, MEM_SIZE, 0));
	frames_flow();
	ck_assert_uint_gt(misses.n, 0);
}
END_TEST

START_TEST(the_log_goes_on_over_a_stop_and_a_start)
{
	static uint64_t dirty[LOG_WORDS];
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t n = 0, count;
	struct pollfd p = { fd, POLLIN, 0 };
	uint64_t page;

	prepare(F_VERSION_1);
	plug((int)header_size);
	DEV_OK(dev, vhost_dev_log_start(dev));
	DEV_OK(dev, vhost_dev_log_set_fd(dev, fd));
	DEV_OK(dev, vhost_dev_start(dev));
	post_new(1, PAGE);
	page = (vhost_mem_to_iova(mem, rx_buffers[0].data) - MEM_IOVA) / PAGE;
	wire_sends(1, 100);
	driver_gets(1, 100);
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_log_collect(dev, MEM_IOVA, dirty, LOG_WORDS, &n));
	ck_assert_uint_eq(dirty[page / 64] >> page % 64 & 1, 1);
	memset(dirty, 0, sizeof(dirty));
	DEV_OK(dev, vhost_dev_start(dev));
	wire_sends(2, 100);
	driver_gets(2, 100);
	DEV_OK(dev, vhost_dev_log_collect(dev, MEM_IOVA, dirty, LOG_WORDS, &n));
	ck_assert_uint_eq(dirty[page / 64] >> page % 64 & 1, 1);
	/* and it says so */
	ck_assert_int_eq(poll(&p, 1, PROGRAM_PATIENCE_MS), 1);
	ck_assert_int_eq(read(fd, &count, sizeof(count)), sizeof(count));
	close(fd);
}
END_TEST

START_TEST(K6_memory_regions_up_to_the_limit_and_one_more)
{
	const size_t region = 2 * PAGE;
	unsigned long limit = guest_read_number("/sys/module/vhost/parameters/max_mem_regions");
	struct vhost_mem_desc desc = { .fd = -1, .size = region };
	struct vhost_virtq_req req = { .cookie = &tx_busy[0] };
	struct vhost_sg sg[128];
	unsigned int i, n;
	size_t size, at;
	uint8_t *data;

	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MAX_MEM_REGIONS), limit);
	ck_assert_uint_ge(limit, 64);
	bring_up(MODERN);
	/* private memory does: the kernel uses our own mapping */
	data = mmap(NULL, (limit + 1) * region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	ck_assert(data != MAP_FAILED);
	for (i = 0; i < limit; i++) {
		int r;

		desc.iova = 0x200000000ull + 2 * region * i;
		desc.addr = data + i * region;
		r = vhost_dev_mem_add(dev, &desc, sizeof(desc));
		if (i < limit - 1)
			ck_assert_msg(r == 0, "region %u: %d: %s", i + 2, r, vhost_dev_error(dev));
		else
			DEV_FAILS_KIND(dev, r, -ENOSPC, VHOST_ERR_LIMIT, "max_mem_regions");
	}
	frames_flow();

	/* a frame out of as many of them as a chain takes, from the last on */
	n = limit - 1 < 100 ? (unsigned int)limit - 1 : 100;
	size = n * 100;
	sg[0] = guest_sg(mem, tx_data, header_size);
	memset(tx_data, 0, header_size);
	tap_frame(expected, size, 7);
	for (i = 0, at = 0; i < n; i++, at += 100) {
		unsigned long k = limit - 2 - i;

		sg[1 + i] = (struct vhost_sg){ 0x200000000ull + 2 * region * k + 64, 100, 0 };
		memcpy(data + k * region + 64, expected + at, 100);
	}
	req.sg = sg;
	req.out = (uint16_t)(n + 1);
	ck_assert_int_eq(vhost_virtq_add(vqs[TX], &req, 1), 1);
	tx_busy[0] = true;
	n_tx_busy++;
	ck_assert_int_ge(vhost_virtq_kick(vqs[TX]), 0);
	wire_gets(7, size);
	reap_tx(true);

	/* one goes, and there is room again */
	DEV_OK(dev, vhost_dev_mem_remove(dev, 0x200000000ull, region));
	DEV_OK(dev, vhost_dev_mem_add(dev, &desc, sizeof(desc)));
	DEV_FAILS(dev, vhost_dev_mem_remove(dev, MEM_IOVA, MEM_SIZE), -EBUSY, "queue");
	frames_flow();
	DEV_OK(dev, vhost_dev_stop(dev));
	munmap(data, (limit + 1) * region);
}
END_TEST

START_TEST(memory_comes_and_goes_while_it_runs)
{
	vhost_mem_t *more = NULL;
	struct vhost_virtq_req req = { .in = 1 };
	struct vhost_virtq_done done;
	struct vhost_sg sg;
	uint8_t *p;
	int i;

	bring_up(F_VERSION_1);
	for (i = 0; i < 10; i++) {
		ck_assert_int_eq(vhost_mem_new(1 << 20, 0, 0x300000000ull, &more), 0);
		DEV_OK(dev, vhost_dev_mem_add_mem(dev, more));
		p = vhost_mem_alloc(more, PAGE, PAGE);
		ck_assert(p != NULL);
		sg = guest_sg(more, p, PAGE);
		req.sg = &sg;
		ck_assert_int_eq(vhost_virtq_add(vqs[RX], &req, 1), 1);
		ck_assert_int_ge(vhost_virtq_kick(vqs[RX]), 0);
		wire_sends(1, 1500);
		ck_assert_int_eq(guest_get(dev, vqs[RX], &done, 1, PROGRAM_PATIENCE_MS), 1);
		ck_assert_uint_eq(done.len, 1500 + header_size);
		memcpy(found, p + header_size, 1500);
		compare(1, 1500, 1500);
		DEV_OK(dev, vhost_dev_mem_remove(dev, 0x300000000ull, 1 << 20));
		more = vhost_mem_unref(more);
	}
}
END_TEST

/* --------------------------------------------------------------- start and stop */

START_TEST(stop_and_start_lose_nothing)
{
	unsigned int round, i, sent = 0, got = 0, out = 0, seen = 0;
	uint32_t base;

	bring_up(rings[_i].features);
	post_enough();
	for (round = 0; round < 10; round++) {
		/* out: some are on their way when it stops, some are added while it is */
		for (i = 0; i < 5; i++)
			driver_adds(out++, 300, 2);
		ck_assert_int_ge(vhost_virtq_kick(vqs[TX]), 0);
		for (i = 0; i < 3; i++)
			wire_sends(1000 + sent++, 400);
		DEV_OK(dev, vhost_dev_stop(dev));
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
		for (i = 0; i < 3; i++)
			driver_adds(out++, 300, 2);
		for (i = 0; i < 3; i++)
			wire_sends(1000 + sent++, 400);
		/* it goes on behind what it has taken: never more than there was */
		DEV_OK(dev, vhost_dev_vq_get_base(dev, TX, &base));
		ck_assert_uint_ge(base, 8 * round);
		ck_assert_uint_le(base, 8 * round + 5);
		DEV_OK(dev, vhost_dev_start(dev));
		while (seen < out)
			wire_gets(seen++, 300);
		while (got < sent)
			driver_gets(1000 + got++, 400);
		reap_tx(true);
	}
	ck_assert(!wire_has(0));
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_vq_get_base(dev, TX, &base));
	ck_assert_uint_eq(base, out);
	DEV_OK(dev, vhost_dev_vq_get_base(dev, RX, &base));
	ck_assert_uint_eq(base, got);
}
END_TEST

START_TEST(a_base_that_is_set_is_where_the_device_begins)
{
	struct vhost_virtq_layout l;
	uint32_t base;

	/* the rings begin just before their indexes wrap */
	prepare(F_VERSION_1);
	plug((int)header_size);
	vhost_virtq_layout(vqs[TX], &l, sizeof(l));
	ck_assert_uint_eq(l.base, 0);
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_vq_get_base(dev, TX, &base));
	ck_assert_uint_eq(base, 1);
	/* nothing is outstanding, so that the frame before can be sent once more */
	DEV_OK(dev, vhost_dev_vq_attach(dev, TX, NULL));
	{
		struct vhost_vq_config c = {
			.size = l.size, .desc = l.desc, .driver = l.driver, .device = l.device,
			.base = 0, .kick_fd = l.kick_fd, .call_fd = l.call_fd, .err_fd = l.err_fd,
		};
		uint16_t *used = vhost_mem_from_iova(mem, l.device, 4);

		used[1] = 0;
		DEV_OK(dev, vhost_dev_vq_setup(dev, TX, &c, sizeof(c)));
	}
	DEV_OK(dev, vhost_dev_start(dev));
	ck_assert(wire_has(PROGRAM_PATIENCE_MS));
	ck_assert_int_eq(recv(tap.sock, found, sizeof(found), 0), 500);
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_vq_get_base(dev, TX, &base));
	ck_assert_uint_eq(base, 1);
}
END_TEST

/* As after a crash: the first device is closed while it runs. */
START_TEST(a_new_device_goes_on_where_the_old_one_was)
{
	unsigned int i, index;
	uint32_t base;

	bring_up(MODERN);
	post_enough();
	for (i = 0; i < 10; i++)
		frames_flow();
	dev = vhost_dev_unref(dev);
	driver_adds(1, 400, 2);
	wire_sends(2, 600);

	dev = guest_open("/dev/vhost-net", 0);
	DEV_OK(dev, vhost_dev_begin(dev));
	DEV_OK(dev, vhost_dev_set_features(dev, MODERN));
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, mem));
	for (index = 0; index < 2; index++) {
		ck_assert_int_ge(vhost_virtq_requeue(vqs[index], &base), 0);
		DEV_OK(dev, vhost_dev_vq_attach(dev, index, vqs[index]));
		DEV_OK(dev, vhost_net_set_backend(dev, index, tap.fd));
	}
	DEV_OK(dev, vhost_dev_start(dev));
	DEV_OK(dev, vhost_dev_commit(dev));
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	DEV_OK(dev, vhost_dev_vq_get_base(dev, TX, &base));
	ck_assert_uint_eq(base, 10);
	wire_gets(1, 400);
	driver_gets(2, 600);
	reap_tx(true);
	frames_flow();
}
END_TEST

static void connected(vhost_dev_t *d, int status, void *opaque)
{
	ck_assert(d == dev);
	ck_assert_int_eq(status, 0);
	++*(int *)opaque;
}

START_TEST(opened_without_waiting_it_is_ready_at_once_and_says_so)
{
	static const struct vhost_dev_events events = { .connected = connected };
	int count = 0;

	vhost_dev_unref(dev);
	dev = guest_open("/dev/vhost-net", VHOST_OPEN_NONBLOCK);
	DEV_OK(dev, vhost_dev_set_events(dev, &events, sizeof(events), &count));
	ck_assert_int_eq(poll(&(struct pollfd){ vhost_dev_get_fd(dev), POLLIN, 0 }, 1, 0), 1);
	DEV_OK(dev, vhost_dev_process(dev));
	ck_assert_int_eq(count, 1);
	ck_assert_int_eq(poll(&(struct pollfd){ vhost_dev_get_fd(dev), POLLIN, 0 }, 1, 0), 0);
	bring_up(MODERN);
	frames_flow();
	ck_assert_int_eq(count, 1);
	DEV_OK(dev, vhost_dev_set_events(dev, NULL, 0, NULL));
}
END_TEST

START_TEST(a_queue_is_disabled_and_enabled_while_it_runs)
{
	bring_up(MODERN);
	frames_flow();
	DEV_OK(dev, vhost_dev_vq_enable(dev, RX, 0));
	DEV_OK(dev, vhost_dev_vq_enable(dev, TX, 0));
	wire_sends(1, 200);
	driver_sends(2, 300, 2);
	driver_gets_nothing();
	ck_assert(!wire_has(A_WHILE_MS));
	/* without another kick */
	DEV_OK(dev, vhost_dev_vq_enable(dev, TX, 1));
	wire_gets(2, 300);
	driver_gets_nothing();
	DEV_OK(dev, vhost_dev_vq_enable(dev, RX, 1));
	driver_gets(1, 200);
	reap_tx(true);
	frames_flow();
	/* it stays off over a stop and a start */
	DEV_OK(dev, vhost_dev_vq_enable(dev, TX, 0));
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_start(dev));
	driver_sends(3, 300, 2);
	ck_assert(!wire_has(A_WHILE_MS));
	DEV_OK(dev, vhost_dev_vq_enable(dev, TX, 1));
	wire_gets(3, 300);
	reap_tx(true);
}
END_TEST

START_TEST(a_queue_gets_another_tap_while_it_runs)
{
	struct tap other = tap;

	bring_up(MODERN);
	frames_flow();
	ck_assert_int_eq(tap_new(&other, (int)header_size, 1), 0);
	DEV_OK(dev, vhost_net_set_backend(dev, TX, other.fd));
	driver_sends(1, 500, 2);
	ck_assert(!wire_has(A_WHILE_MS));
	DEV_OK(dev, vhost_net_set_backend(dev, RX, other.fd));
	{
		struct tap first = tap;

		tap = other;
		wire_gets(1, 500);
		frames_flow();
		tap = first;
	}
	/* none at all, and back */
	DEV_OK(dev, vhost_net_set_backend(dev, TX, -1));
	driver_sends(2, 500, 2);
	ck_assert(!wire_has(A_WHILE_MS));
	DEV_OK(dev, vhost_net_set_backend(dev, TX, tap.fd));
	DEV_OK(dev, vhost_net_set_backend(dev, RX, tap.fd));
	wire_gets(2, 500);
	reap_tx(true);
	frames_flow();
	tap_close(&other);
}
END_TEST

START_TEST(a_queue_without_a_tap_does_not_start)
{
	int r;

	prepare(MODERN);
	r = vhost_dev_start(dev);
	ck_assert_int_lt(r, 0);
	DEV_FAILS(dev, r, r, "vhost_net_set_backend");
	ck_assert_int_eq(tap_new(&tap, (int)header_size, 1), 0);
	DEV_OK(dev, vhost_net_set_backend(dev, RX, tap.fd));
	r = vhost_dev_start(dev);
	ck_assert_int_lt(r, 0);
	DEV_FAILS(dev, r, r, "queue 1");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	DEV_OK(dev, vhost_net_set_backend(dev, TX, tap.fd));
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
}
END_TEST

START_TEST(a_descriptor_that_is_no_tap_is_named)
{
	int fd = eventfd(0, EFD_CLOEXEC), other[2], r;

	prepare(MODERN);
	ck_assert_int_eq(tap_new(&tap, (int)header_size, 1), 0);
	DEV_OK(dev, vhost_net_set_backend(dev, TX, tap.fd));
	DEV_FAILS(dev, vhost_net_set_backend(dev, 2, tap.fd), -EINVAL, "2");
	/* found when it is set or when it is attached: with the same words */
	r = vhost_net_set_backend(dev, RX, fd);
	if (!r)
		r = vhost_dev_start(dev);
	DEV_FAILS(dev, r, -EINVAL, "tap");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other), 0);
	r = vhost_net_set_backend(dev, RX, other[0]);
	if (!r)
		r = vhost_dev_start(dev);
	DEV_FAILS(dev, r, -EINVAL, "tap");
	close(other[0]);
	close(other[1]);
	close(fd);
	DEV_FAILS(dev, vhost_net_set_backend(dev, RX, fd), -EBADF, "");
	DEV_OK(dev, vhost_net_set_backend(dev, RX, tap.fd));
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
	/* while it runs, the one that it has stays */
	fd = eventfd(0, EFD_CLOEXEC);
	DEV_FAILS(dev, vhost_net_set_backend(dev, TX, fd), -EINVAL, "tap");
	close(fd);
	frames_flow();
}
END_TEST

START_TEST(a_buffer_outside_of_the_memory_is_told_on_the_error_descriptor)
{
	struct vhost_sg sg = { 0x900000000ull, 100, 0 };
	struct vhost_virtq_req req = { .sg = &sg, .out = 1 };
	struct vhost_virtq_layout l;
	struct pollfd p;

	bring_up(F_VERSION_1);
	vhost_virtq_layout(vqs[TX], &l, sizeof(l));
	p = (struct pollfd){ l.err_fd, POLLIN, 0 };
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	ck_assert_int_eq(vhost_virtq_add(vqs[TX], &req, 1), 1);
	ck_assert_int_ge(vhost_virtq_kick(vqs[TX]), 0);
	ck_assert_int_eq(poll(&p, 1, PROGRAM_PATIENCE_MS), 1);
	/* the other queue goes on */
	post_enough();
	wire_sends(1, 500);
	driver_gets(1, 500);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

START_TEST(reset_forgets_queues_and_features_and_keeps_memory)
{
	bring_up(MODERN);
	frames_flow();
	DEV_OK(dev, vhost_dev_reset(dev));
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 0);
	ck_assert_int_eq(vhost_dev_start(dev), -EINVAL);
	DEV_OK(dev, vhost_dev_set_features(dev, MODERN));
	vhost_virtq_reset(vqs[RX]);
	vhost_virtq_reset(vqs[TX]);
	n_rx_buffers = 0;
	DEV_OK(dev, vhost_dev_vq_attach(dev, RX, vqs[RX]));
	DEV_OK(dev, vhost_dev_vq_attach(dev, TX, vqs[TX]));
	DEV_OK(dev, vhost_net_set_backend(dev, RX, tap.fd));
	DEV_OK(dev, vhost_net_set_backend(dev, TX, tap.fd));
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
}
END_TEST

START_TEST(each_open_is_a_device_of_its_own)
{
	vhost_dev_t *second = guest_open("/dev/vhost-net", 0);
	uint64_t has;

	/* the second knows nothing of the first */
	bring_up(MODERN);
	ck_assert_uint_eq(vhost_dev_get_acked_features(second), 0);
	DEV_OK(second, vhost_dev_get_features(second, &has));
	ck_assert_int_eq(vhost_dev_start(second), -EINVAL);
	vhost_dev_unref(second);
	frames_flow();
}
END_TEST

START_TEST(a_descriptor_that_has_an_owner_is_in_use)
{
	int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	vhost_dev_t *first = NULL, *second = NULL;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vhost_dev_open_fd(fd, NULL, 0, &first), 0);
	ck_assert_str_eq(vhost_dev_get_transport(first), "vhost-net");
	ck_assert_int_eq(vhost_dev_open_fd(fd, NULL, 0, &second), -EBUSY);
	ck_assert_int_eq(vhost_last_error_kind(), VHOST_ERR_IN_USE);
	ck_assert_str_ne(vhost_last_error(), "");
	vhost_dev_unref(first);
	close(fd);
}
END_TEST

/* ------------------------------------------------------------------------ workers */

static int count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	ck_assert(d != NULL);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* Where there is no choice before 6.17, stable releases may have it all the same. */
START_TEST(the_worker_is_a_kernel_thread_or_a_task_of_ours_as_asked)
{
	static const struct {
		uint32_t flag;
		int mode;
	} kinds[] = {
		{ VHOST_OPEN_WORKER_KTHREAD, VHOST_WORKER_KTHREAD },
		{ VHOST_OPEN_WORKER_TASK, VHOST_WORKER_TASK },
	};
	struct vhost_dev_opts opts = { .flags = kinds[_i].flag };
	int threads, r, mode = -1;

	r = vhost_worker_get_mode(dev, &mode);
	dev = vhost_dev_unref(dev);
	threads = count_threads();
	if (r < 0) {
		ck_assert_int_eq(r, -ENOTSUP);
		ck_assert(!guest_kernel_has(6, 17));
		r = vhost_dev_open("/dev/vhost-net", &opts, sizeof(opts), &dev);
		ck_assert_int_eq(r, -ENOTSUP);
		ck_assert_int_eq(vhost_last_error_kind(), VHOST_ERR_UNSUPPORTED);
		ck_assert_str_ne(vhost_last_error(), "");
		guest_skip_case("the kernel gives no choice of worker");
		return;
	}
	dev = guest_open("/dev/vhost-net", kinds[_i].flag);
	DEV_OK(dev, vhost_worker_get_mode(dev, &mode));
	ck_assert_int_eq(mode, kinds[_i].mode);
	bring_up(MODERN);
	frames_flow();
	ck_assert_int_eq(count_threads() - threads, kinds[_i].mode == VHOST_WORKER_TASK);
}
END_TEST

START_TEST(both_kinds_of_worker_at_once_are_refused)
{
	struct vhost_dev_opts opts = {
		.flags = VHOST_OPEN_WORKER_KTHREAD | VHOST_OPEN_WORKER_TASK,
	};
	vhost_dev_t *second = NULL;

	ck_assert_int_eq(vhost_dev_open("/dev/vhost-net", &opts, sizeof(opts), &second), -EINVAL);
}
END_TEST

START_TEST(K17_vhost_net_has_its_one_worker)
{
	uint32_t id = 77;

	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_WORKERS), 0);
	DEV_FAILS_KIND(dev, vhost_worker_new(dev, &id), -ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	DEV_FAILS(dev, vhost_worker_get(dev, RX, &id), -ENOTSUP, "worker");
	DEV_FAILS(dev, vhost_worker_attach(dev, RX, 0), -ENOTSUP, "worker");
	DEV_FAILS(dev, vhost_worker_free(dev, 0), -ENOTSUP, "worker");
	ck_assert_uint_eq(id, 77);
	bring_up(MODERN);
	frames_flow();
}
END_TEST

/* --------------------------------------------------------------- quirks of kernels */

static bool child_is_not_the_owner(void)
{
	int r = vhost_dev_stop(dev);

	if (!r || vhost_dev_error_kind(dev) != VHOST_ERR_NOT_OWNER) {
		fprintf(stderr, "stop: %d: %s\n", r, vhost_dev_error(dev));
		return false;
	}
	r = vhost_dev_mem_remove(dev, 0x300000000ull, 1 << 20);
	if (r != -EPERM || vhost_dev_error_kind(dev) != VHOST_ERR_NOT_OWNER ||
	    !strstr(vhost_dev_error(dev), "fork")) {
		fprintf(stderr, "mem_remove: %d: %s\n", r, vhost_dev_error(dev));
		return false;
	}
	return true;
}

START_TEST(K2_a_forked_child_is_not_the_owner)
{
	vhost_mem_t *more = NULL;

	ck_assert_int_eq(vhost_mem_new(1 << 20, 0, 0x300000000ull, &more), 0);
	bring_up(MODERN);
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, more));
	ck_assert(guest_in_child(child_is_not_the_owner));
	/* which does no harm to the parent */
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	frames_flow();
	DEV_OK(dev, vhost_dev_mem_remove(dev, 0x300000000ull, 1 << 20));
	vhost_mem_unref(more);
}
END_TEST

static struct vhost_vq_config config_of(const vhost_virtq_t *vq)
{
	struct vhost_virtq_layout l;

	vhost_virtq_layout(vq, &l, sizeof(l));
	return (struct vhost_vq_config){
		.size = l.size, .desc = l.desc, .driver = l.driver, .device = l.device,
		.base = l.base, .kick_fd = l.kick_fd, .call_fd = l.call_fd, .err_fd = l.err_fd,
	};
}

START_TEST(K3_sizes_that_the_kernel_refuses_are_refused_by_name)
{
	static const uint32_t wrong[] = { 0, 3, 255, 32769, 65536 };
	struct vhost_vq_config c;
	unsigned int i;

	prepare(MODERN);
	plug((int)header_size);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		c = config_of(vqs[TX]);
		c.size = wrong[i];
		DEV_FAILS(dev, vhost_dev_vq_setup(dev, TX, &c, sizeof(c)), -EINVAL, "queue 1");
	}
	DEV_OK(dev, vhost_dev_start(dev));
	c = config_of(vqs[TX]);
	c.size = ENTRIES / 2;
	DEV_FAILS(dev, vhost_dev_vq_setup(dev, TX, &c, sizeof(c)), -EBUSY, "queue 1");
	frames_flow();
}
END_TEST

START_TEST(K3_a_ring_of_the_greatest_size_works)
{
	struct vhost_virtq_opts opts = { .size = 32768, .features = F_VERSION_1 };
	unsigned int i;

	features = F_VERSION_1;
	header_size = 12;
	DEV_OK(dev, vhost_dev_set_features(dev, features));
	ck_assert_int_eq(vhost_mem_new(MEM_SIZE, 0, MEM_IOVA, &mem), 0);
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, mem));
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vqs[i]), 0);
		DEV_OK(dev, vhost_dev_vq_attach(dev, i, vqs[i]));
	}
	tx_data = vhost_mem_alloc(mem, TX_SLOTS * TX_ROOM, PAGE);
	ck_assert(tx_data != NULL);
	plug((int)header_size);
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
}
END_TEST

START_TEST(K4_a_base_out_of_range_or_of_a_running_queue_is_refused)
{
	uint32_t base = 77;

	bring_up(MODERN);
	DEV_FAILS(dev, vhost_dev_vq_set_base(dev, TX, 0), -EBUSY, "queue 1");
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_FAILS(dev, vhost_dev_vq_set_base(dev, TX, 0x10000), -EINVAL, "queue 1");
	DEV_OK(dev, vhost_dev_vq_get_base(dev, TX, &base));
	ck_assert_uint_eq(base, 0);
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
}
END_TEST

START_TEST(K5_flags_of_a_queue_are_refused)
{
	struct vhost_vq_config c;

	prepare(MODERN);
	c = config_of(vqs[TX]);
	c.flags = 2;
	DEV_FAILS(dev, vhost_dev_vq_setup(dev, TX, &c, sizeof(c)), -EINVAL, "flags");
	plug((int)header_size);
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
}
END_TEST

START_TEST(K7_memory_that_is_empty_wraps_or_is_not_there_is_refused_by_us)
{
	struct vhost_mem_desc good, d;

	bring_up(MODERN);
	vhost_mem_describe(mem, &good, sizeof(good));
	good.iova = 0x500000000ull;
	d = good;
	d.size = 0;
	DEV_FAILS_KIND(dev, vhost_dev_mem_add(dev, &d, sizeof(d)), -EINVAL, VHOST_ERR_ARGUMENT, "");
	d = good;
	d.iova = UINT64_MAX - PAGE + 2;
	DEV_FAILS(dev, vhost_dev_mem_add(dev, &d, sizeof(d)), -EINVAL, "");
	d = good;
	d.iova = MEM_IOVA + PAGE;
	DEV_FAILS(dev, vhost_dev_mem_add(dev, &d, sizeof(d)), -EEXIST, "");
	d = good;
	d.addr = NULL;
	DEV_FAILS(dev, vhost_dev_mem_add(dev, &d, sizeof(d)), -EINVAL, "");
	d = good;
	/* the kernel's half of the address space */
	d.fd = -1;
	d.addr = (void *)(uintptr_t)0xffff888000000000;
	DEV_FAILS(dev, vhost_dev_mem_add(dev, &d, sizeof(d)), -EFAULT, "");
	ck_assert_str_ne(vhost_dev_error(dev), "");
	DEV_OK(dev, vhost_dev_mem_add(dev, &good, sizeof(good)));
	frames_flow();
}
END_TEST

START_TEST(K8_a_ring_outside_of_the_memory_is_named_at_start)
{
	static const char *const names[] = { "descriptor area", "driver area", "device area" };
	struct vhost_vq_config c;
	uint64_t *at[3] = { &c.desc, &c.driver, &c.device };
	unsigned int i;

	prepare(MODERN);
	plug((int)header_size);
	for (i = 0; i < 3; i++) {
		/* its last bytes are */
		c = config_of(vqs[TX]);
		*at[i] = MEM_IOVA + MEM_SIZE - 64;
		DEV_OK(dev, vhost_dev_vq_setup(dev, TX, &c, sizeof(c)));
		DEV_FAILS(dev, vhost_dev_start(dev), -EFAULT, names[i]);
		DEV_FAILS(dev, vhost_dev_start(dev), -EFAULT, "queue 1");
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	}
	DEV_OK(dev, vhost_dev_vq_attach(dev, TX, vqs[TX]));
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
}
END_TEST

START_TEST(K8_memory_that_cannot_be_reached_is_told_at_start)
{
	struct vhost_mem_desc desc = { .iova = 0x400000000ull, .size = 16 * PAGE, .fd = -1 };
	struct vhost_vq_config c;
	int r;

	prepare(MODERN);
	plug((int)header_size);
	desc.addr = mmap(NULL, desc.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	ck_assert(desc.addr != MAP_FAILED);
	DEV_OK(dev, vhost_dev_mem_add(dev, &desc, sizeof(desc)));
	c = config_of(vqs[TX]);
	c.desc = desc.iova;
	c.driver = desc.iova + 4 * PAGE;
	c.device = desc.iova + 8 * PAGE;
	DEV_OK(dev, vhost_dev_vq_setup(dev, TX, &c, sizeof(c)));
	ck_assert_int_eq(mprotect(desc.addr, desc.size, PROT_NONE), 0);
	r = vhost_dev_start(dev);
	DEV_FAILS(dev, r, -EFAULT, "queue 1");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_int_eq(mprotect(desc.addr, desc.size, PROT_READ | PROT_WRITE), 0);
	DEV_OK(dev, vhost_dev_start(dev));
	post_enough();
	wire_sends(1, 1000);
	driver_gets(1, 1000);
	DEV_OK(dev, vhost_dev_stop(dev));
	munmap(desc.addr, desc.size);
}
END_TEST

START_TEST(K9_a_queue_that_the_device_does_not_have_is_refused)
{
	struct vhost_vq_config c;
	uint32_t base;

	prepare(MODERN);
	c = config_of(vqs[TX]);
	DEV_FAILS_KIND(dev, vhost_dev_vq_setup(dev, 2, &c, sizeof(c)), -EINVAL, VHOST_ERR_LIMIT,
		       "queue 2");
	DEV_FAILS(dev, vhost_dev_vq_attach(dev, 255, vqs[TX]), -EINVAL, "queue 255");
	DEV_FAILS(dev, vhost_dev_vq_enable(dev, 2, 1), -EINVAL, "queue 2");
	DEV_FAILS(dev, vhost_dev_vq_get_base(dev, UINT32_MAX, &base), -EINVAL, "queue");
}
END_TEST

START_TEST(K10_minus_one_is_no_descriptor_and_zero_is_one)
{
	struct vhost_virtq_done done;
	struct vhost_vq_config c;
	uint64_t end, count;
	struct pollfd p = { 0, POLLIN, 0 };
	int keep = dup(0), fd, n;

	prepare(MODERN & ~F_EVENT_IDX);
	plug((int)header_size);
	c = config_of(vqs[TX]);
	c.call_fd = -1;
	c.err_fd = -1;
	DEV_OK(dev, vhost_dev_vq_setup(dev, TX, &c, sizeof(c)));
	DEV_OK(dev, vhost_dev_start(dev));
	driver_sends(1, 100, 1);
	wire_gets(1, 100);
	/* no notification, but it is completed */
	end = program_now_ms() + PROGRAM_PATIENCE_MS;
	while ((n = vhost_virtq_get(vqs[TX], &done, 1)) == 0 && program_now_ms() < end)
		poll(NULL, 0, 1);
	ck_assert_int_eq(n, 1);
	tx_busy[0] = false;
	n_tx_busy = 0;

	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_eq(dup2(fd, 0), 0);
	close(fd);
	DEV_OK(dev, vhost_dev_vq_set_call(dev, TX, 0));
	/* what a change of it may signal */
	n = (int)read(0, &count, sizeof(count));
	ck_assert(n == sizeof(count) || errno == EAGAIN);
	driver_sends(2, 100, 1);
	ck_assert_int_eq(poll(&p, 1, PROGRAM_PATIENCE_MS), 1);
	wire_gets(2, 100);
	DEV_OK(dev, vhost_dev_vq_set_call(dev, TX, -1));
	ck_assert_int_eq(vhost_virtq_get(vqs[TX], &done, 1), 1);
	tx_busy[0] = false;
	n_tx_busy = 0;
	if (keep >= 0) {
		dup2(keep, 0);
		close(keep);
	} else {
		close(0);
	}
}
END_TEST

START_TEST(K16_calls_that_the_kernel_lacks_are_unsupported)
{
	uint8_t byte;

	/* no cross-endian rings here: the kernel answers ENOTTY */
	prepare(MODERN);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_CROSS_ENDIAN), 0);
	DEV_FAILS_KIND(dev, vhost_dev_vq_set_endian(dev, TX, 1), -ENOTSUP, VHOST_ERR_UNSUPPORTED,
		       "");
	DEV_FAILS(dev, vhost_dev_get_config(dev, 0, &byte, 1), -ENOTSUP, "");
	DEV_FAILS(dev, vhost_vsock_set_cid(dev, 42), -ENOTSUP, "");
	DEV_FAILS(dev, vhost_scsi_set_endpoint(dev, "naa.5001405aabbccdd0", 1), -ENOTSUP, "");
	plug((int)header_size);
	DEV_OK(dev, vhost_dev_start(dev));
	frames_flow();
}
END_TEST

START_TEST(K18_a_running_ring_is_not_moved)
{
	struct vhost_vq_config c;

	bring_up_with_iotlb();
	c = config_of(vqs[TX]);
	c.device += 64;
	DEV_FAILS(dev, vhost_dev_vq_setup(dev, TX, &c, sizeof(c)), -EBUSY, "queue 1");
	DEV_FAILS(dev, vhost_dev_vq_attach(dev, TX, vqs[RX]), -EBUSY, "queue 1");
	DEV_FAILS(dev, vhost_dev_vq_attach(dev, TX, NULL), -EBUSY, "queue 1");
	frames_flow();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost-net");
	TCase *tc = tcase_create("net");
	int r = guest_must_have("/dev/vhost-net");

	if (r)
		return r;
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_device_says_what_it_has);
	tcase_add_test(tc, features_that_are_not_offered_are_refused);
	tcase_add_test(tc, features_past_64_are_those_of_udp_tunnels);
	tcase_add_test(tc, in_order_is_left_out);
	tcase_add_loop_test(tc, frames_go_out_byte_for_byte, 0, N_RINGS);
	tcase_add_loop_test(tc, frames_come_in_byte_for_byte, 0, N_RINGS);
	tcase_add_test(tc, a_frame_waits_until_there_are_buffers_for_all_of_it);
	tcase_add_test(tc, without_mergeable_buffers_a_frame_too_long_is_dropped);
	tcase_add_loop_test(tc, the_kernel_adds_and_strips_the_header_for_a_tap_without, 0,
			    N_RINGS - 1);
	tcase_add_test(tc, a_packet_socket_does_as_well_as_a_tap);
	tcase_add_test(tc, frames_flow_through_translations_given_on_a_miss);
	tcase_add_test(tc, after_invalidate_the_next_frame_misses_again);
	tcase_add_test(tc, what_was_updated_is_not_missed);
	tcase_add_test(tc, a_miss_that_is_refused_waits_for_an_update);
	tcase_add_test(tc, without_a_miss_callback_the_map_is_the_translation);
	tcase_add_test(tc, translations_that_cannot_be_are_refused);
	tcase_add_test(tc, busy_polling_is_set_and_read_back);
	tcase_add_test(tc, the_dirty_log_has_the_pages_that_were_written_and_no_others);
	tcase_add_test(tc, with_an_iotlb_the_dirty_log_is_about_the_memory_behind_it);
	tcase_add_test(tc, the_log_goes_on_over_a_stop_and_a_start);
	tcase_add_test(tc, memory_comes_and_goes_while_it_runs);
	tcase_add_loop_test(tc, stop_and_start_lose_nothing, 0, N_RINGS);
	tcase_add_test(tc, a_base_that_is_set_is_where_the_device_begins);
	tcase_add_test(tc, a_new_device_goes_on_where_the_old_one_was);
	tcase_add_test(tc, opened_without_waiting_it_is_ready_at_once_and_says_so);
	tcase_add_test(tc, a_queue_is_disabled_and_enabled_while_it_runs);
	tcase_add_test(tc, a_queue_gets_another_tap_while_it_runs);
	tcase_add_test(tc, a_queue_without_a_tap_does_not_start);
	tcase_add_test(tc, a_descriptor_that_is_no_tap_is_named);
	tcase_add_test(tc, a_buffer_outside_of_the_memory_is_told_on_the_error_descriptor);
	tcase_add_test(tc, reset_forgets_queues_and_features_and_keeps_memory);
	tcase_add_test(tc, each_open_is_a_device_of_its_own);
	tcase_add_test(tc, a_descriptor_that_has_an_owner_is_in_use);
	tcase_add_loop_test(tc, the_worker_is_a_kernel_thread_or_a_task_of_ours_as_asked, 0, 2);
	tcase_add_test(tc, both_kinds_of_worker_at_once_are_refused);
	tcase_add_test(tc, K2_a_forked_child_is_not_the_owner);
	tcase_add_test(tc, K3_sizes_that_the_kernel_refuses_are_refused_by_name);
	tcase_add_test(tc, K3_a_ring_of_the_greatest_size_works);
	tcase_add_test(tc, K4_a_base_out_of_range_or_of_a_running_queue_is_refused);
	tcase_add_test(tc, K5_flags_of_a_queue_are_refused);
	tcase_add_test(tc, K6_memory_regions_up_to_the_limit_and_one_more);
	tcase_add_test(tc, K7_memory_that_is_empty_wraps_or_is_not_there_is_refused_by_us);
	tcase_add_test(tc, K8_a_ring_outside_of_the_memory_is_named_at_start);
	tcase_add_test(tc, K8_memory_that_cannot_be_reached_is_told_at_start);
	tcase_add_test(tc, K9_a_queue_that_the_device_does_not_have_is_refused);
	tcase_add_test(tc, K10_minus_one_is_no_descriptor_and_zero_is_one);
	tcase_add_test(tc, K16_calls_that_the_kernel_lacks_are_unsupported);
	tcase_add_test(tc, K17_vhost_net_has_its_one_worker);
	tcase_add_test(tc, K18_a_running_ring_is_not_moved);
	suite_add_tcase(suite, tc);
	return program_run_suite(suite);
}
