/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A real network back-end: DPDK's testpmd with net_vhost, which sends every frame back
 * with its addresses swapped. Our front-end brings it up with two queues, and each
 * frame that it sends comes back once.
 */
#include <sched.h>
#include <stdbool.h>

#include "leak.h"
#include "program.h"
#include "testpmd.h"

#define QUEUE_SIZE 256u
#define RX 0u
#define TX 1u
#define FRAMES 2000u
#define DEPTH 64u
#define FRAME_LEN 128u
#define BUFFER 2048u
#define NET_HEADER 12u		/* VIRTIO 1.3, 5.1.6: with num_buffers, since VERSION_1 */

#define NET_F_MRG_RXBUF (1ull << 15)
#define F_INDIRECT (1ull << 28)
#define F_VERSION_1 (1ull << 32)
#define F_PACKED (1ull << 34)
#define F_IN_ORDER (1ull << 35)

static const struct {
	const char *name;
	uint64_t features;
} rings[] = {
	{ "split", F_INDIRECT },
	{ "split, in order", F_INDIRECT | F_IN_ORDER },
	{ "packed", F_INDIRECT | F_PACKED },
	{ "packed, in order", F_INDIRECT | F_PACKED | F_IN_ORDER },
};
#define N_RINGS ((int)(sizeof(rings) / sizeof(rings[0])))

static const char *testpmd_path;
static struct leak before;
static pid_t testpmd_pid;
static int tty = -1;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static vhost_virtq_t *vqs[2];
static uint8_t *rx_buffers[DEPTH], *tx_buffers[DEPTH];
static bool tx_busy[DEPTH];
static uint8_t seen[FRAMES];

/* It holds its output back unless that is a terminal. */
static int open_tty(int *ret_master)
{
	int slave;

	*ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	ck_assert_int_ge(*ret_master, 0);
	ck_assert_int_eq(grantpt(*ret_master), 0);
	ck_assert_int_eq(unlockpt(*ret_master), 0);
	slave = open(ptsname(*ret_master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(slave, 0);
	return slave;
}

/* What it says goes to the log, which is shown if the test fails; and it is not held up. */
static void drain_tty(void)
{
	int log = open(program_path("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	char buf[1024];
	ssize_t n;

	while ((n = read(tty, buf, sizeof(buf))) > 0)
		if (write(log, buf, (size_t)n) < 0)
			break;
	close(log);
}

static void setup(void)
{
	static char vdev[192], cores[64], prefix[64];
	const char *argv[] = {
		testpmd_path, cores, "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", prefix,
		"--vdev", vdev, "--", "--forward-mode=macswap", "--total-num-mbufs=2048",
		"--no-mlockall", NULL
	};
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
	int slave;

	before = leak_begin();
	choose_cores(cores, sizeof(cores));
	snprintf(prefix, sizeof(prefix), "--file-prefix=libvhost-%d", (int)getpid());
	snprintf(vdev, sizeof(vdev), "net_vhost0,iface=%s,queues=1", program_path("sock"));
	/* else it leaves files in /run/dpdk */
	setenv("RUNTIME_DIRECTORY", program_dir, 1);
	/* it binds to no socket that is there already, as one that was killed leaves it */
	unlink(program_path("sock"));
	unlink(program_path("log"));
	slave = open_tty(&tty);
	testpmd_pid = program_start(argv, slave);
	close(slave);
	while (access(program_path("sock"), F_OK) < 0 && program_now_ms() < end &&
	       program_is_alive(testpmd_pid)) {
		poll(NULL, 0, 20);
		drain_tty();
	}
	dev = program_open(testpmd_pid, program_path("sock"));
}

static void teardown(void)
{
	unsigned int q;

	dev = vhost_dev_unref(dev);
	for (q = 0; q < 2; q++)
		vqs[q] = vhost_virtq_unref(vqs[q]);
	mem = vhost_mem_unref(mem);
	drain_tty();
	close(tty);
	/* it takes long to go by itself on a busy machine, and all its files are in our directory */
	program_end(testpmd_pid, SIGKILL);
	ck_assert_int_eq(leak_check(&before), 0);
}

static void offer_rx(unsigned int i)
{
	struct vhost_sg sg = { vhost_mem_to_iova(mem, rx_buffers[i]), BUFFER, 0 };
	struct vhost_virtq_req req = { .sg = &sg, .in = 1, .cookie = rx_buffers[i] };

	ck_assert_int_eq(vhost_virtq_add(vqs[RX], &req, 1), 1);
}

/* False if testpmd does not offer such a ring. */
static bool bring_up(int ring)
{
	struct vhost_virtq_opts opts = { .size = QUEUE_SIZE };
	uint64_t offered, wanted = F_VERSION_1 | NET_F_MRG_RXBUF | rings[ring].features;
	unsigned int q, i;

	DEV_OK(dev, vhost_dev_get_features(dev, &offered));
	if (wanted & ~offered) {
		printf("not offered by this testpmd: %s\n", rings[ring].name);
		return false;
	}
	opts.features = wanted;
	ck_assert_int_eq(vhost_mem_new(4 << 20, 0, 0x40000000, &mem), 0);
	DEV_OK(dev, vhost_dev_begin(dev));
	DEV_OK(dev, vhost_dev_set_features(dev, wanted));
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, mem));
	for (q = 0; q < 2; q++) {
		ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vqs[q]), 0);
		DEV_OK(dev, vhost_dev_vq_attach(dev, q, vqs[q]));
	}
	for (i = 0; i < DEPTH; i++) {
		rx_buffers[i] = vhost_mem_alloc(mem, BUFFER, 0);
		tx_buffers[i] = vhost_mem_alloc(mem, BUFFER, 0);
		ck_assert(rx_buffers[i] && tx_buffers[i]);
		offer_rx(i);
	}
	DEV_OK(dev, vhost_dev_start(dev));
	DEV_OK(dev, vhost_dev_commit(dev));
	vhost_virtq_kick(vqs[RX]);
	return true;
}

static const uint8_t addresses[2][6] = {
	{ 0x02, 0, 0, 0, 0, 0x01 }, { 0x02, 0, 0, 0, 0, 0x02 },
};

static bool send_frame(uint32_t number)
{
	struct vhost_sg sg[2];
	struct vhost_virtq_req req = { .sg = sg, .out = 2 };
	uint8_t *frame;
	unsigned int i;

	for (i = 0; i < DEPTH && tx_busy[i]; i++)
		;
	if (i == DEPTH)
		return false;
	memset(tx_buffers[i], 0, NET_HEADER);
	frame = tx_buffers[i] + NET_HEADER;
	memcpy(frame, addresses[0], 6);
	memcpy(frame + 6, addresses[1], 6);
	frame[12] = 0x88;	/* IEEE 802, local experimental */
	frame[13] = 0xb5;
	memset(frame + 14, (int)(number * 7 & 0xff), FRAME_LEN - 14);
	memcpy(frame + 14, &number, sizeof(number));
	sg[0] = (struct vhost_sg){ vhost_mem_to_iova(mem, tx_buffers[i]), NET_HEADER, 0 };
	sg[1] = (struct vhost_sg){ vhost_mem_to_iova(mem, frame), FRAME_LEN, 0 };
	req.cookie = &tx_busy[i];
	if (vhost_virtq_add(vqs[TX], &req, 1) != 1)
		return false;
	tx_busy[i] = true;
	return true;
}

static void check_frame(const struct vhost_virtq_done *done)
{
	const uint8_t *frame = (const uint8_t *)done->cookie + NET_HEADER;
	uint32_t number;
	unsigned int i;

	ck_assert_uint_eq(done->len, NET_HEADER + FRAME_LEN);
	ck_assert_int_eq(memcmp(frame, addresses[1], 6), 0);
	ck_assert_int_eq(memcmp(frame + 6, addresses[0], 6), 0);
	memcpy(&number, frame + 14, sizeof(number));
	ck_assert_uint_lt(number, FRAMES);
	for (i = 18; i < FRAME_LEN; i++)
		ck_assert_uint_eq(frame[i], number * 7 & 0xff);
	seen[number]++;
}

static int collect(unsigned int q, struct vhost_virtq_done *done, unsigned int n)
{
	int got = vhost_virtq_get(vqs[q], done, n);

	ck_assert_msg(got >= 0, "queue %u: %s", q, vhost_virtq_error(vqs[q]));
	return got;
}

/* Until something is used by the back-end, or a moment has passed. */
static void doze(void)
{
	struct vhost_virtq_layout layout[2];
	struct pollfd p[2];
	uint64_t count;
	unsigned int q;

	for (q = 0; q < 2; q++) {
		vhost_virtq_layout(vqs[q], &layout[q], sizeof(layout[q]));
		p[q] = (struct pollfd){ layout[q].call_fd, POLLIN, 0 };
	}
	poll(p, 2, 50);
	for (q = 0; q < 2; q++)
		if (p[q].revents && read(layout[q].call_fd, &count, sizeof(count)) < 0)
			ck_assert_int_eq(errno, EAGAIN);
	drain_tty();
}

/* All frames out, and those that come back counted, until all are there. */
static void exchange(uint64_t end)
{
	struct vhost_virtq_done done[32];
	uint32_t sent = 0, back = 0;
	int n, i;

	while (back < FRAMES) {
		bool progress = false;

		while (sent - back < DEPTH / 2 && sent < FRAMES && send_frame(sent)) {
			sent++;
			progress = true;
		}
		vhost_virtq_kick(vqs[TX]);
		while ((n = collect(TX, done, 32)) > 0)
			for (i = 0; i < n; i++)
				*(bool *)done[i].cookie = false;
		while ((n = collect(RX, done, 32)) > 0) {
			progress = true;
			for (i = 0; i < n; i++) {
				unsigned int b;

				check_frame(&done[i]);
				back++;
				for (b = 0; rx_buffers[b] != done[i].cookie; b++)
					;
				offer_rx(b);
			}
			vhost_virtq_kick(vqs[RX]);
		}
		ck_assert_msg(program_now_ms() < end, "%u frames sent, %u came back", sent, back);
		if (!progress)
			doze();
	}
}

START_TEST(every_frame_comes_back_once)
{
	unsigned int i;

	if (!bring_up(_i))
		return;
	exchange(program_now_ms() + PROGRAM_PATIENCE_MS);
	for (i = 0; i < FRAMES; i++)
		ck_assert_uint_eq(seen[i], 1);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("testpmd");
	TCase *tc = tcase_create("net");

	testpmd_path = program_find("dpdk-testpmd");
	if (!testpmd_path)
		return program_skip("dpdk-testpmd is not installed (Debian: dpdk-dev)");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 90);
	tcase_add_loop_test(tc, every_frame_comes_back_once, 0, N_RINGS);
	suite_add_tcase(suite, tc);
	return program_run_suite(suite);
}
