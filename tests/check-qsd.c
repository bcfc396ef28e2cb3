/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A real disk: qemu-storage-daemon's vhost-user-blk export. Requests on two queues,
 * with all data compared; the daemon killed under load and started again; many starts
 * and stops of the device.
 */
#include <endian.h>
#include <stdbool.h>

#include "leak.h"
#include "program.h"

#define DISK_BLOCKS 1024u
#define BLOCK 4096u
#define QUEUES 2u
#define DEPTH 24u		/* requests on each queue */
#define SECTOR 512u

#define BLK_F_MQ (1ull << 12)
#define F_INDIRECT (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_VERSION_1 (1ull << 32)
#define F_PACKED (1ull << 34)

#define BLK_T_IN 0u
#define BLK_T_OUT 1u

/* VIRTIO 1.3, 5.2.6 */
struct blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

struct slot {
	struct blk_header *header;
	uint64_t *data;
	uint8_t *status;
	unsigned int block;
	bool busy;
};

static const struct {
	const char *name;
	uint64_t features;
} rings[] = {
	{ "split, bare", 0 },
	{ "split", F_INDIRECT | F_EVENT_IDX },
	{ "packed", F_INDIRECT | F_EVENT_IDX | F_PACKED },
};
#define N_RINGS ((int)(sizeof(rings) / sizeof(rings[0])))

static const char *daemon_path;
static struct leak before;
static pid_t daemon_pid;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static vhost_virtq_t *vqs[QUEUES];
static int call_fds[QUEUES];
static struct slot slots[QUEUES][DEPTH];
static uint32_t written[DISK_BLOCKS];	/* how often: the block's content follows from it */
static bool in_use[DISK_BLOCKS];
static uint64_t n_added, n_done;
static uint64_t seed;
static unsigned int n_closed;

/* The same sequence in each run. */
static uint32_t dice(uint32_t sides)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % sides;
}

static uint64_t pattern(unsigned int block, uint32_t generation, unsigned int word)
{
	if (!generation)
		return 0;
	return ((uint64_t)block << 40 ^ (uint64_t)generation << 16 ^ word) * 0x9e3779b97f4a7c15ull;
}

static void start_daemon(void)
{
	static char blockdev[256], export[256];
	const char *argv[] = { daemon_path, "--blockdev", blockdev, "--export", export, NULL };

	snprintf(blockdev, sizeof(blockdev), "driver=file,filename=%s,node-name=n",
		 program_path("disk"));
	snprintf(export, sizeof(export), "type=vhost-user-blk,id=e,node-name=n,addr.type=unix,"
		 "addr.path=%s,writable=on,num-queues=%u", program_path("sock"), QUEUES);
	daemon_pid = program_start(argv, -1);
}

static void setup(void)
{
	int fd;

	before = leak_begin();
	unlink(program_path("log"));
	seed = 1;
	fd = open(program_path("disk"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)DISK_BLOCKS * BLOCK), 0);
	close(fd);
	start_daemon();
	dev = program_open(daemon_pid, program_path("sock"));
}

static void teardown(void)
{
	program_teardown(&dev, vqs, QUEUES, &mem, daemon_pid);
	ck_assert_int_eq(leak_check(&before), 0);
}

/* False if the daemon does not offer such a ring. */
static bool bring_up(int ring)
{
	uint64_t offered, wanted = F_VERSION_1 | rings[ring].features;
	struct vhost_virtq_opts opts = { .size = 128 };
	unsigned int q, i;

	DEV_OK(dev, vhost_dev_get_features(dev, &offered));
	if (wanted & F_PACKED & ~offered) {
		printf("not offered by this qemu-storage-daemon: packed rings\n");
		return false;
	}
	wanted = opts.features = (wanted | BLK_F_MQ) & offered;
	ck_assert_int_eq(vhost_mem_new(8 << 20, 0, 0x100000000, &mem), 0);
	DEV_OK(dev, vhost_dev_begin(dev));
	DEV_OK(dev, vhost_dev_set_features(dev, wanted));
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, mem));
	for (q = 0; q < QUEUES; q++) {
		struct vhost_virtq_layout layout;

		ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vqs[q]), 0);
		vhost_virtq_layout(vqs[q], &layout, sizeof(layout));
		call_fds[q] = layout.call_fd;
		DEV_OK(dev, vhost_dev_vq_attach(dev, q, vqs[q]));
		for (i = 0; i < DEPTH; i++) {
			struct slot *s = &slots[q][i];

			s->header = vhost_mem_alloc(mem, sizeof(*s->header), 0);
			s->data = vhost_mem_alloc(mem, BLOCK, BLOCK);
			s->status = vhost_mem_alloc(mem, 1, 0);
			ck_assert(s->header && s->data && s->status);
		}
	}
	DEV_OK(dev, vhost_dev_start(dev));
	DEV_OK(dev, vhost_dev_commit(dev));
	return true;
}

/* Post a read or a write of a block that no other request is at. */
static bool post(unsigned int q, struct slot *s)
{
	struct vhost_sg sg[3];
	struct vhost_virtq_req req = { .sg = sg, .cookie = s };
	unsigned int i;
	bool write = dice(2);
	int n;

	do
		s->block = dice(DISK_BLOCKS);
	while (in_use[s->block]);
	*s->header = (struct blk_header){
		.type = htole32(write ? BLK_T_OUT : BLK_T_IN),
		.sector = htole64((uint64_t)s->block * (BLOCK / SECTOR)),
	};
	*s->status = 0xff;
	for (i = 0; i < BLOCK / 8; i++)
		s->data[i] = write ? pattern(s->block, written[s->block] + 1, i) : 0xa5a5a5a5a5a5a5a5;
	sg[0] = (struct vhost_sg){ vhost_mem_to_iova(mem, s->header), sizeof(*s->header), 0 };
	sg[1] = (struct vhost_sg){ vhost_mem_to_iova(mem, s->data), BLOCK, 0 };
	sg[2] = (struct vhost_sg){ vhost_mem_to_iova(mem, s->status), 1, 0 };
	req.out = write ? 2 : 1;
	req.in = write ? 1 : 2;
	n = vhost_virtq_add(vqs[q], &req, 1);
	ck_assert_msg(n >= 0, "queue %u: %s", q, vhost_virtq_error(vqs[q]));
	if (!n)
		return false;
	in_use[s->block] = true;
	s->busy = true;
	n_added++;
	return true;
}

static void fill(unsigned int q)
{
	unsigned int i;

	for (i = 0; i < DEPTH; i++)
		if (!slots[q][i].busy && !post(q, &slots[q][i]))
			break;
	vhost_virtq_kick(vqs[q]);
}

static void complete(const struct vhost_virtq_done *done)
{
	struct slot *s = done->cookie;
	unsigned int i;

	ck_assert_msg(s->busy, "a request completed twice");
	s->busy = false;
	in_use[s->block] = false;
	n_done++;
	ck_assert_uint_eq(done->flags, 0);
	ck_assert_uint_eq(*s->status, 0);
	if (le32toh(s->header->type) == BLK_T_OUT)
		written[s->block]++;
	for (i = 0; i < BLOCK / 8; i++)
		if (s->data[i] != pattern(s->block, written[s->block], i))
			break;
	ck_assert_msg(i == BLOCK / 8, "block %u: word %u is wrong", s->block, i);
}

static unsigned int collect(unsigned int q)
{
	struct vhost_virtq_done done[16];
	unsigned int total = 0;
	int n, i;

	while ((n = vhost_virtq_get(vqs[q], done, 16)) > 0) {
		for (i = 0; i < n; i++)
			complete(&done[i]);
		total += (unsigned int)n;
	}
	ck_assert_msg(n == 0, "queue %u: %s", q, vhost_virtq_error(vqs[q]));
	return total;
}

/* Sleep until something completes, or the connection ends. */
static void doze(void)
{
	struct pollfd p[QUEUES + 1];
	uint64_t count;
	unsigned int q;

	for (q = 0; q < QUEUES; q++)
		p[q] = (struct pollfd){ call_fds[q], POLLIN, 0 };
	p[QUEUES] = (struct pollfd){ vhost_dev_get_fd(dev), POLLIN, 0 };
	ck_assert_msg(poll(p, QUEUES + 1, PROGRAM_PATIENCE_MS) > 0, "nothing completes: %llu of %llu",
		      (unsigned long long)n_done, (unsigned long long)n_added);
	for (q = 0; q < QUEUES; q++)
		if (p[q].revents && read(call_fds[q], &count, sizeof(count)) < 0)
			ck_assert_int_eq(errno, EAGAIN);
	if (p[QUEUES].revents)
		vhost_dev_process(dev);
}

/* Run the load until @total requests are done; @last lets it run empty. */
static void run(uint64_t total, bool last)
{
	unsigned int q, got;

	while (n_done < total || (last && n_done < n_added)) {
		for (got = q = 0; q < QUEUES; q++) {
			got += collect(q);
			if (n_done < total)
				fill(q);
		}
		if (!got)
			doze();
	}
}

/* The image must hold what was written; that goes through the host's page cache. */
static void compare_image(void)
{
	static uint64_t data[BLOCK / 8];
	int fd = open(program_path("disk"), O_RDONLY | O_CLOEXEC);
	unsigned int b, i;

	ck_assert_int_ge(fd, 0);
	for (b = 0; b < DISK_BLOCKS; b++) {
		ck_assert_int_eq(pread(fd, data, BLOCK, (off_t)b * BLOCK), BLOCK);
		for (i = 0; i < BLOCK / 8; i++)
			if (data[i] != pattern(b, written[b], i))
				break;
		ck_assert_msg(i == BLOCK / 8, "the image differs in block %u", b);
	}
	close(fd);
}

static void all_is_done(void)
{
	unsigned int q;

	ck_assert_uint_eq(n_added, n_done);
	for (q = 0; q < QUEUES; q++)
		ck_assert_uint_eq(vhost_virtq_outstanding(vqs[q]), 0);
	compare_image();
}

START_TEST(the_daemon_says_what_it_has)
{
	uint64_t value, capacity = 0;

	DEV_OK(dev, vhost_dev_get_cap(dev, VHOST_CAP_MAX_QUEUES, &value));
	ck_assert_uint_eq(value, QUEUES);
	DEV_OK(dev, vhost_dev_get_config(dev, 0, &capacity, sizeof(capacity)));
	ck_assert_uint_eq(le64toh(capacity), DISK_BLOCKS * (BLOCK / SECTOR));
}
END_TEST

START_TEST(two_queues_read_back_what_they_wrote)
{
	unsigned int q;

	if (!bring_up(_i))
		return;
	run(5000, true);
	all_is_done();
	DEV_OK(dev, vhost_dev_stop(dev));
	for (q = 0; q < QUEUES; q++) {
		uint32_t base;

		DEV_OK(dev, vhost_dev_vq_get_base(dev, q, &base));
		ck_assert_uint_ne(base, 0);
	}
}
END_TEST

static void closed(vhost_dev_t *d, int status, void *opaque)
{
	(void)d;
	(void)opaque;
	ck_assert_int_lt(status, 0);
	n_closed++;
}

START_TEST(no_request_is_lost_when_the_daemon_is_killed_under_load)
{
	static const struct vhost_dev_events events = { .closed = closed };
	uint64_t left = 0;
	int round;

	if (!bring_up(_i))
		return;
	DEV_OK(dev, vhost_dev_set_events(dev, &events, sizeof(events), NULL));
	for (round = 1; round <= 6; round++) {
		uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
		int r;

		run((uint64_t)round * 500, false);
		fill(0);
		fill(1);
		program_end(daemon_pid, SIGKILL);
		left += vhost_virtq_outstanding(vqs[0]) + vhost_virtq_outstanding(vqs[1]);
		if (round % 2) {
			/* as an event loop sees it; in other rounds reconnect finds out */
			while ((r = vhost_dev_process(dev)) == 0 && program_now_ms() < end)
				doze();
			ck_assert_int_lt(r, 0);
			ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
		}
		start_daemon();
		while (program_is_coming(r = vhost_dev_reconnect(dev, 0)) && program_now_ms() < end)
			poll(NULL, 0, 5);
		ck_assert_msg(r == 0, "round %d: %d: %s", round, r, vhost_dev_error(dev));
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	}
	run(n_done + 500, true);
	all_is_done();
	ck_assert_uint_gt(left, 0);
	ck_assert_uint_ge(n_closed, 3);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

START_TEST(it_starts_and_stops_a_hundred_times)
{
	int i;

	if (!bring_up(_i))
		return;
	for (i = 1; i <= 100; i++) {
		/*
		 * Empty: with requests in flight QEMU 7.2 gives up its call eventfd at
		 * GET_VRING_BASE, and the connection once it has to use it.
		 */
		run((uint64_t)i * 30, true);
		DEV_OK(dev, vhost_dev_stop(dev));
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
		DEV_OK(dev, vhost_dev_start(dev));
	}
	run(n_done + 30, true);
	all_is_done();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("qemu-storage-daemon");
	TCase *tc = tcase_create("disk");

	daemon_path = program_find("qemu-storage-daemon");
	if (!daemon_path)
		return program_skip("qemu-storage-daemon is not installed (Debian: qemu-system-common)");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_daemon_says_what_it_has);
	tcase_add_loop_test(tc, two_queues_read_back_what_they_wrote, 0, N_RINGS);
	tcase_add_loop_test(tc, no_request_is_lost_when_the_daemon_is_killed_under_load, 0, N_RINGS);
	tcase_add_loop_test(tc, it_starts_and_stops_a_hundred_times, 0, N_RINGS);
	suite_add_tcase(suite, tc);
	return program_run_suite(suite);
}
