/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * vhost-user-blk, request by request (VIRTIO 1.3, 5.2.6): each kind, in pieces of any
 * shape, and what a driver must not send; and killed with requests in flight.
 */
#include <endian.h>
#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "leak.h"
#include "program.h"

#define SECTOR 512u
#define SECTORS 2048u
#define QUEUES 2u
#define DATA (64u << 10)
#define LOAD 64u		/* requests in flight when it is killed */

#define F(name) (1ull << VIRTIO_BLK_F_##name)
#define F_EVENT_IDX (1ull << 29)
#define F_INDIRECT (1ull << 28)
#define F_VERSION_1 (1ull << 32)
#define F_PACKED (1ull << 34)

static const uint64_t rings[] = {
	0,
	F_INDIRECT | F_EVENT_IDX,
	F_INDIRECT | F_EVENT_IDX | F_PACKED,
};
#define N_RINGS ((int)(sizeof(rings) / sizeof(rings[0])))

static char server_path[512];
static struct leak before;
static pid_t server;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static vhost_virtq_t *vqs[QUEUES];
static int call_fds[QUEUES];
static struct virtio_blk_outhdr *header;
static uint8_t *data;
static uint8_t *status;

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

static void start_server(const char *option)
{
	static char sock[160], file[160];
	const char *argv[] = { server_path, sock, file, "--serial=0123456789abcdefXYZ", option, NULL };

	snprintf(sock, sizeof(sock), "--socket-path=%s", program_path("sock"));
	snprintf(file, sizeof(file), "--blk-file=%s", program_path("disk"));
	server = program_start(argv, -1);
}

/* Sector n is filled with n + 1. */
static void setup(void)
{
	static uint8_t sector[SECTOR];
	FILE *f;
	unsigned int i;

	before = leak_begin();
	unlink(program_path("log"));
	f = fopen(program_path("disk"), "we");
	ck_assert_ptr_nonnull(f);
	for (i = 0; i < SECTORS; i++) {
		memset(sector, (int)(i + 1) & 0xff, sizeof(sector));
		ck_assert_uint_eq(fwrite(sector, SECTOR, 1, f), 1);
	}
	ck_assert_int_eq(fclose(f), 0);
}

static void teardown(void)
{
	program_teardown(&dev, vqs, QUEUES, &mem, server);
	ck_assert_int_eq(leak_check(&before), 0);
}

static void begin(const char *option, uint64_t features, bool inflight)
{
	struct vhost_virtq_opts opts = { .size = 128 };
	uint64_t offered;
	unsigned int q;

	start_server(option);
	dev = program_open(server, program_path("sock"));
	DEV_OK(dev, vhost_dev_get_features(dev, &offered));
	opts.features = F_VERSION_1 | F(FLUSH) | F(MQ) | features;
	opts.features |= (F(DISCARD) | F(WRITE_ZEROES) | F(RO)) & offered;
	ck_assert_uint_eq(opts.features & ~offered, 0);
	ck_assert_int_eq(vhost_mem_new(8 << 20, 0, 0x100000000, &mem), 0);
	DEV_OK(dev, vhost_dev_set_features(dev, opts.features));
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, mem));
	for (q = 0; q < QUEUES; q++) {
		struct vhost_virtq_layout layout;

		ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vqs[q]), 0);
		vhost_virtq_layout(vqs[q], &layout, sizeof(layout));
		call_fds[q] = layout.call_fd;
		DEV_OK(dev, vhost_dev_vq_attach(dev, q, vqs[q]));
	}
	if (inflight)
		DEV_OK(dev, vhost_dev_inflight_enable(dev, QUEUES, 128));
	header = vhost_mem_alloc(mem, sizeof(*header), 0);
	data = vhost_mem_alloc(mem, DATA, 4096);
	status = vhost_mem_alloc(mem, 1, 0);
	ck_assert(header && data && status);
	DEV_OK(dev, vhost_dev_start(dev));
}

static void wait_for(unsigned int q)
{
	struct pollfd p = { call_fds[q], POLLIN, 0 };
	uint64_t count;

	ck_assert_msg(poll(&p, 1, PROGRAM_PATIENCE_MS) > 0, "nothing completes");
	if (read(call_fds[q], &count, sizeof(count)) < 0)
		ck_assert_int_eq(errno, EAGAIN);
}

/* Have one request done: its status; @ret_len, if not NULL, is what the device wrote. */
static uint8_t ask_sg(const struct vhost_sg *sg, unsigned int out, unsigned int in,
		      uint32_t *ret_len)
{
	struct vhost_virtq_req req = { .sg = sg, .out = (uint16_t)out, .in = (uint16_t)in };
	struct vhost_virtq_done done;
	int n;

	*status = 0xee;
	ck_assert_int_eq(vhost_virtq_add(vqs[0], &req, 1), 1);
	vhost_virtq_kick(vqs[0]);
	while ((n = vhost_virtq_get(vqs[0], &done, 1)) == 0)
		wait_for(0);
	ck_assert_msg(n == 1, "%s", vhost_virtq_error(vqs[0]));
	if (ret_len)
		*ret_len = done.len;
	return *status;
}

static struct vhost_sg piece(const void *at, uint32_t len)
{
	return (struct vhost_sg){ vhost_mem_to_iova(mem, at), len, 0 };
}

static void set_header(uint32_t type, uint64_t sector)
{
	*header = (struct virtio_blk_outhdr){ .type = htole32(type), .sector = htole64(sector) };
}

/* In the common shape: header, data, status. */
static uint8_t ask(uint32_t type, uint64_t sector, uint32_t len)
{
	bool out = type != VIRTIO_BLK_T_IN && type != VIRTIO_BLK_T_GET_ID;
	struct vhost_sg sg[3] = { piece(header, sizeof(*header)) };
	unsigned int n = 1;

	set_header(type, sector);
	if (len)
		sg[n++] = piece(data, len);
	sg[n++] = piece(status, 1);
	return ask_sg(sg, out ? n - 1 : 1, out ? 1 : n - 1, NULL);
}

static uint8_t ask_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes range = {
		.sector = htole64(sector), .num_sectors = htole32(sectors), .flags = htole32(flags)
	};

	memcpy(data, &range, sizeof(range));
	return ask(type, 0, sizeof(range));
}

/* What the file has at a sector: the byte that fills it; -1 if none does. */
static int on_disk(unsigned int sector)
{
	int fd = open(program_path("disk"), O_RDONLY | O_CLOEXEC);
	uint8_t buf[SECTOR];
	unsigned int i;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, buf, SECTOR, (off_t)sector * SECTOR), SECTOR);
	close(fd);
	for (i = 1; i < SECTOR; i++)
		if (buf[i] != buf[0])
			return -1;
	return buf[0];
}

START_TEST(reads_and_writes_are_of_whole_sectors_of_the_disk)
{
	begin(NULL, rings[_i], false);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_IN, 7, 2 * SECTOR), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(data[0], 8);
	ck_assert_int_eq(data[2 * SECTOR - 1], 9);
	memset(data, 0xab, DATA);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_OUT, SECTORS - 2, 2 * SECTOR), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(on_disk(SECTORS - 3), (SECTORS - 2) & 0xff);
	ck_assert_int_eq(on_disk(SECTORS - 2), 0xab);
	ck_assert_int_eq(on_disk(SECTORS - 1), 0xab);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);

	ck_assert_int_eq(ask(VIRTIO_BLK_T_IN, SECTORS - 1, 2 * SECTOR), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_OUT, SECTORS, SECTOR), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_OUT, UINT64_MAX, SECTOR), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_OUT, UINT64_MAX / SECTOR + 1, SECTOR), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_IN, 1ull << 63, SECTOR), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_IN, 0, SECTOR - 1), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_OUT, 0, SECTOR + 1), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(on_disk(0), 1);
	ck_assert_int_eq(ask(7, 0, 0), VIRTIO_BLK_S_UNSUPP);
	ck_assert_int_eq(ask(0x80000000, 0, 0), VIRTIO_BLK_S_UNSUPP);
}
END_TEST

START_TEST(a_request_may_come_in_pieces_of_any_shape)
{
	struct vhost_sg sg[64];
	unsigned int n = 0, i;
	uint32_t len;

	begin(NULL, rings[_i], false);

	/* The header byte by byte, the data in three, the status with the last of it */
	set_header(VIRTIO_BLK_T_IN, 20);
	for (i = 0; i < sizeof(*header); i++)
		sg[n++] = piece((uint8_t *)header + i, 1);
	sg[n++] = piece(data + 1, 100);
	sg[n++] = piece(data + 5000, 900);
	sg[n++] = piece(data + 9000, 24 + 1);
	data[9024] = 0xee;
	ask_sg(sg, 16, 3, &len);
	ck_assert_int_eq(data[9024], VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(len, 2 * SECTOR + 1);
	ck_assert_int_eq(data[1], 21);
	ck_assert_int_eq(data[100], 21);
	ck_assert_int_eq(data[5000 + 411], 21);
	ck_assert_int_eq(data[5000 + 412], 22);
	ck_assert_int_eq(data[9023], 22);

	/* Header and data in one */
	set_header(VIRTIO_BLK_T_OUT, 30);
	memcpy(data, header, sizeof(*header));
	memset(data + sizeof(*header), 0xcd, SECTOR);
	sg[0] = piece(data, sizeof(*header) + SECTOR);
	sg[1] = piece(status, 1);
	ck_assert_int_eq(ask_sg(sg, 1, 1, &len), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(len, 1);
	ck_assert_int_eq(on_disk(30), 0xcd);

	/* Too short to be a header */
	sg[0] = piece(header, sizeof(*header) - 1);
	ck_assert_int_eq(ask_sg(sg, 1, 1, NULL), VIRTIO_BLK_S_IOERR);
	/* A status alone */
	ck_assert_int_eq(ask_sg(sg + 1, 0, 1, NULL), VIRTIO_BLK_S_IOERR);
}
END_TEST

START_TEST(the_disk_says_its_serial)
{
	begin(NULL, 0, false);
	memset(data, 0xee, DATA);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(data, "0123456789abcdefXYZ\0\xee", VIRTIO_BLK_ID_BYTES + 1);
	memset(data, 0xee, DATA);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_GET_ID, 0, 4), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(data, "0123\xee", 5);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_GET_ID, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

static blkcnt_t blocks_used(void)
{
	struct stat st;

	ck_assert_int_eq(stat(program_path("disk"), &st), 0);
	return st.st_blocks;
}

START_TEST(discards_and_zeroes_change_their_range_only)
{
	const uint32_t types[] = { VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };
	const uint32_t unmap = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	blkcnt_t used;
	unsigned int i;

	begin(NULL, rings[_i], false);
	used = blocks_used();
	ck_assert_int_eq(ask_range(VIRTIO_BLK_T_WRITE_ZEROES, 33, 70, 0), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(on_disk(32), 33);
	ck_assert_int_eq(on_disk(33), 0);
	ck_assert_int_eq(on_disk(102), 0);
	ck_assert_int_eq(on_disk(103), 104);
	ck_assert_int_ge(blocks_used(), used);	/* not given back: that was not asked for */

	ck_assert_int_eq(ask_range(VIRTIO_BLK_T_WRITE_ZEROES, 201, 1000, unmap), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(on_disk(200), 201);
	ck_assert_int_eq(on_disk(201), 0);
	ck_assert_int_eq(on_disk(1200), 0);
	ck_assert_int_eq(on_disk(1201), 1202 & 0xff);
	ck_assert_int_eq(ask_range(VIRTIO_BLK_T_DISCARD, 1301, 500, 0), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(on_disk(1300), 1301 & 0xff);
	ck_assert_int_eq(on_disk(1801), 1802 & 0xff);

	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(ask_range(types[i], 5, 1, 2), VIRTIO_BLK_S_UNSUPP);
		ck_assert_int_eq(ask_range(types[i], 5, SECTORS, 0), VIRTIO_BLK_S_IOERR);
		ck_assert_int_eq(ask_range(types[i], UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR);
		ck_assert_int_eq(ask_range(types[i], 5, UINT32_MAX, 0), VIRTIO_BLK_S_IOERR);
		ck_assert_int_eq(ask(types[i], 0, 0), VIRTIO_BLK_S_IOERR);
		ck_assert_int_eq(ask(types[i], 0, 15), VIRTIO_BLK_S_IOERR);
		ck_assert_int_eq(ask(types[i], 0, 32), VIRTIO_BLK_S_IOERR);
		ck_assert_int_eq(ask_range(types[i], 5, 0, 0), VIRTIO_BLK_S_OK);
	}
	ck_assert_int_eq(ask_range(VIRTIO_BLK_T_DISCARD, 5, 1, unmap), VIRTIO_BLK_S_UNSUPP);
	ck_assert_int_eq(on_disk(5), 6);
}
END_TEST

START_TEST(a_read_only_disk_is_not_changed)
{
	begin("--read-only", 0, false);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_IN, 7, SECTOR), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_OUT, 7, SECTOR), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(ask_range(VIRTIO_BLK_T_DISCARD, 7, 1, 0), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(ask_range(VIRTIO_BLK_T_WRITE_ZEROES, 7, 1, 0), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(on_disk(7), 8);
}
END_TEST

START_TEST(a_request_without_room_for_its_status_breaks_its_ring_alone)
{
	struct vhost_virtq_req req = { .out = 1 };
	struct vhost_virtq_done done;
	struct vhost_sg sg;
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
	uint32_t base;

	begin(NULL, rings[_i], false);
	set_header(VIRTIO_BLK_T_FLUSH, 0);
	sg = piece(header, sizeof(*header));
	req.sg = &sg;
	ck_assert_int_eq(vhost_virtq_add(vqs[1], &req, 1), 1);
	vhost_virtq_kick(vqs[1]);
	while (!log_says("queue 1 is broken: a request has no room for its status")) {
		ck_assert_msg(program_now_ms() < end, "the ring is not broken");
		poll(NULL, 0, 5);
	}
	ck_assert_int_eq(vhost_virtq_get(vqs[1], &done, 1), 0);
	ck_assert_int_eq(ask(VIRTIO_BLK_T_IN, 7, SECTOR), VIRTIO_BLK_S_OK);
	/* It was taken, and is not in flight: the ring stops at once. */
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_vq_get_base(dev, 1, &base));
}
END_TEST

START_TEST(killed_with_requests_in_flight_it_does_each_of_them_once)
{
	uint8_t *bufs[LOAD], *stats[LOAD];
	struct virtio_blk_outhdr *headers[LOAD];
	bool seen[LOAD];
	unsigned int i, round, n_done;

	begin(NULL, rings[_i], true);
	for (i = 0; i < LOAD; i++) {
		headers[i] = vhost_mem_alloc(mem, sizeof(*headers[i]), 0);
		bufs[i] = vhost_mem_alloc(mem, 4096, 4096);
		stats[i] = vhost_mem_alloc(mem, 1, 0);
		ck_assert(headers[i] && bufs[i] && stats[i]);
	}
	for (round = 1; round <= 8; round++) {
		uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
		int r;

		for (i = 0; i < LOAD; i++) {
			struct vhost_sg sg[] = { piece(headers[i], 16), piece(bufs[i], 4096),
						 piece(stats[i], 1) };
			struct vhost_virtq_req req = { .sg = sg, .out = 2, .in = 1, .cookie = &seen[i] };

			*headers[i] = (struct virtio_blk_outhdr){
				.type = htole32(VIRTIO_BLK_T_OUT), .sector = htole64(8 * i)
			};
			memset(bufs[i], (int)(16 * round + i) & 0xff, 4096);
			*stats[i] = 0xee;
			seen[i] = false;
			ck_assert_int_eq(vhost_virtq_add(vqs[i % QUEUES], &req, 1), 1);
		}
		vhost_virtq_kick(vqs[0]);
		vhost_virtq_kick(vqs[1]);
		if (round % 2)
			poll(NULL, 0, 1);
		program_end(server, SIGKILL);
		start_server(NULL);
		while (program_is_coming(r = vhost_dev_reconnect(dev, 0)) && program_now_ms() < end)
			poll(NULL, 0, 5);
		ck_assert_msg(r == 0, "round %u: %d: %s", round, r, vhost_dev_error(dev));
		for (n_done = 0; n_done < LOAD;) {
			struct vhost_virtq_done done[LOAD];
			int n = vhost_virtq_get(vqs[n_done % QUEUES], done, LOAD);

			if (n == 0)
				n = vhost_virtq_get(vqs[(n_done + 1) % QUEUES], done, LOAD);
			ck_assert_int_ge(n, 0);
			ck_assert_msg(program_now_ms() < end, "%u of %u completed", n_done, LOAD);
			if (n == 0)
				poll(NULL, 0, 1);
			for (n_done += (unsigned int)n; n > 0; n--) {
				bool *done_of = done[n - 1].cookie;

				ck_assert_msg(!*done_of, "a request completed twice");
				*done_of = true;
			}
		}
		for (i = 0; i < LOAD; i++) {
			ck_assert_int_eq(*stats[i], VIRTIO_BLK_S_OK);
			ck_assert_int_eq(on_disk(8 * i), (int)(16 * round + i) & 0xff);
			ck_assert_int_eq(on_disk(8 * i + 7), (int)(16 * round + i) & 0xff);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost-user-blk");
	TCase *tc = tcase_create("disk");
	const char *dir = getenv("builddir");

	snprintf(server_path, sizeof(server_path), "%s/tools/vhost-user-blk", dir ? dir : ".");
	if (access(server_path, X_OK) < 0)
		return program_skip("tools/vhost-user-blk was not built");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, reads_and_writes_are_of_whole_sectors_of_the_disk, 0, N_RINGS);
	tcase_add_loop_test(tc, a_request_may_come_in_pieces_of_any_shape, 0, N_RINGS);
	tcase_add_test(tc, the_disk_says_its_serial);
	tcase_add_loop_test(tc, discards_and_zeroes_change_their_range_only, 0, N_RINGS);
	tcase_add_test(tc, a_read_only_disk_is_not_changed);
	tcase_add_loop_test(tc, a_request_without_room_for_its_status_breaks_its_ring_alone, 0, N_RINGS);
	tcase_add_loop_test(tc, killed_with_requests_in_flight_it_does_each_of_them_once, 0, N_RINGS);
	suite_add_tcase(suite, tc);
	return program_run_suite(suite);
}
