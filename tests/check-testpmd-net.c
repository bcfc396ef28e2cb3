/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A real driver of a network card: DPDK's testpmd with virtio_user, in front of our
 * vhost-user-net in its loopback mode. What it sends comes back, with the addresses swapped.
 * Each of the two is killed in turn, and started again.
 */
#include <sched.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "leak.h"
#include "program.h"
#include "testpmd.h"

#define BURST 32u
#define CONSOLE_SIZE (1u << 20)

static const struct ring {
	const char *name;
	const char *options;	/* of virtio_user */
	unsigned int queues;
	bool small_buffers;	/* a frame takes several */
} rings[] = {
	{ "split", "mrg_rxbuf=0,in_order=0", 1, false },
	{ "split, in order", "mrg_rxbuf=0,in_order=1", 1, false },
	{ "split, mergeable", "mrg_rxbuf=1,in_order=0", 1, true },
	{ "split, mergeable, 2 queues", "mrg_rxbuf=1,in_order=0", 2, true },
	{ "split, mergeable, in order, 2 queues", "mrg_rxbuf=1,in_order=1", 2, true },
	{ "split, 2 queues", "mrg_rxbuf=0,in_order=0", 2, false },
	{ "packed", "packed_vq=1,mrg_rxbuf=0,in_order=0", 1, false },
	{ "packed, in order", "packed_vq=1,mrg_rxbuf=0,in_order=1", 1, false },
	{ "packed, mergeable", "packed_vq=1,mrg_rxbuf=1,in_order=0", 1, true },
	{ "packed, mergeable, 2 queues", "packed_vq=1,mrg_rxbuf=1,in_order=0", 2, true },
	{ "packed, mergeable, in order, 2 queues", "packed_vq=1,mrg_rxbuf=1,in_order=1", 2, true },
	{ "packed, 2 queues", "packed_vq=1,mrg_rxbuf=0,in_order=0", 2, false },
};
#define N_RINGS ((int)(sizeof(rings) / sizeof(rings[0])))

/* Those for which the killing is worth its time */
static const unsigned int some_rings[] = { 0, 3, 11 };
#define N_SOME ((int)(sizeof(some_rings) / sizeof(some_rings[0])))

static const char *testpmd_path;
static char net_path[512];
static struct leak before;
static pid_t testpmd_pid, net_pid;
static int tty = -1;
static char said[CONSOLE_SIZE];	/* by testpmd since the last command */
static size_t n_said;

/* ------------------------------------------------------------- the console */

static void open_tty(int *ret_slave)
{
	tty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	ck_assert_int_ge(tty, 0);
	ck_assert_int_eq(grantpt(tty), 0);
	ck_assert_int_eq(unlockpt(tty), 0);
	*ret_slave = open(ptsname(tty), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(*ret_slave, 0);
}

/* What it says also goes to the log, which is shown if the test fails. */
static void listen_a_moment(int ms)
{
	struct pollfd p = { tty, POLLIN, 0 };
	ssize_t n;
	int log;

	if (poll(&p, 1, ms) <= 0)
		return;
	log = open(program_path("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	while (n_said < CONSOLE_SIZE - 1 &&
	       (n = read(tty, said + n_said, CONSOLE_SIZE - 1 - n_said)) > 0) {
		if (write(log, said + n_said, (size_t)n) < 0)
			break;
		n_said += (size_t)n;
	}
	said[n_said] = 0;
	close(log);
	if (p.revents & POLLHUP)
		poll(NULL, 0, ms);
}

static void wait_for(const char *text)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;

	while (!strstr(said, text)) {
		ck_assert_msg(program_now_ms() < end && program_is_alive(testpmd_pid),
			      "testpmd does not say \"%s\"", text);
		listen_a_moment(20);
	}
}

/* Type a line. From here on, what it says is what comes after the echo. */
static void type(const char *line)
{
	char *echo;

	n_said = 0;
	said[0] = 0;
	ck_assert_int_eq(write(tty, line, strlen(line)), (ssize_t)strlen(line));
	ck_assert_int_eq(write(tty, "\n", 1), 1);
	wait_for("\n");
	echo = strchr(said, '\n');
	n_said -= (size_t)(echo - said);
	memmove(said, echo, n_said + 1);
}

/* Type it, and wait until that is done. */
static void command(const char *line)
{
	type(line);
	wait_for("testpmd> ");
}

/* The number behind @name, in what was said from @at on. */
static uint64_t figure(const char *at, const char *name)
{
	at = at ? strstr(at, name) : NULL;
	ck_assert_msg(at != NULL, "testpmd does not say how many \"%s\"", name);
	return strtoull(at + strlen(name), NULL, 10);
}

/* ---------------------------------------------------------- the two of them */

static void start_net(const struct ring *ring, int fd)
{
	static char where[160], pairs[32];
	const char *argv[] = { net_path, where, "--loopback", pairs, NULL };

	if (fd >= 0)
		snprintf(where, sizeof(where), "--fd=%d", fd);
	else
		snprintf(where, sizeof(where), "--socket-path=%s", program_path("sock"));
	snprintf(pairs, sizeof(pairs), "--queue-pairs=%u", ring->queues);
	net_pid = program_start(argv, -1);
}

static bool somebody_listens(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", program_path("sock"));
	r = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	close(fd);
	return r == 0;
}

static void wait_for_listener(pid_t pid)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;

	while (!somebody_listens()) {
		ck_assert_msg(program_now_ms() < end && program_is_alive(pid),
			      "nobody listens on the socket");
		listen_a_moment(10);
	}
}

/* Its own driver of a card; @server: which waits for a back-end to connect. */
static void start_testpmd(const struct ring *ring, bool server)
{
	static char vdev[256], cores[64], prefix[64], rxq[16], txq[16], mbuf[32];
	const char *argv[] = {
		testpmd_path, cores, "--no-huge", "-m", "256", "--no-pci", "--no-telemetry", prefix,
		"--log-level=pmd.net.virtio.driver:info", "--vdev", vdev, "--", "--interactive", "--total-num-mbufs=4096", "--no-mlockall",
		"--no-lsc-interrupt", "--disable-link-check", "--port-topology=loop",
		"--eth-peer=0,02:00:00:00:00:77",
		rxq, txq, mbuf, ring->small_buffers ? "--enable-scatter" : NULL, NULL
	};
	int slave;

	choose_cores(cores, sizeof(cores));
	snprintf(prefix, sizeof(prefix), "--file-prefix=libvhost-%d", (int)getpid());
	snprintf(vdev, sizeof(vdev), "net_virtio_user0,path=%s,mac=02:00:00:00:00:01,queues=%u,"
		 "queue_size=256,server=%d,%s", program_path("sock"), ring->queues, server,
		 ring->options);
	snprintf(rxq, sizeof(rxq), "--rxq=%u", ring->queues);
	snprintf(txq, sizeof(txq), "--txq=%u", ring->queues);
	/* 128 bytes of each are headroom */
	snprintf(mbuf, sizeof(mbuf), "--mbuf-size=%u", ring->small_buffers ? 640 : 2176);
	/* else it leaves files in /run/dpdk */
	setenv("RUNTIME_DIRECTORY", program_dir, 1);
	open_tty(&slave);
	n_said = 0;
	said[0] = 0;
	testpmd_pid = program_start(argv, slave);
	close(slave);
}

static void end_testpmd(void)
{
	program_end(testpmd_pid, SIGKILL);
	testpmd_pid = 0;
	close(tty);
	tty = -1;
}

static void setup(void)
{
	before = leak_begin();
	unlink(program_path("log"));
	unlink(program_path("sock"));
	testpmd_pid = net_pid = 0;
}

static void teardown(void)
{
	if (testpmd_pid)
		end_testpmd();
	if (net_pid)
		program_end(net_pid, SIGKILL);
	ck_assert_int_eq(leak_check(&before), 0);
}

/* ------------------------------------------------------------------ traffic */

/* A burst for each queue; all of it must come back, from whom it was for. */
static void frames_come_back_swapped(const struct ring *ring)
{
	static const char from[] = "src=02:00:00:00:00:77 - dst=02:00:00:00:00:01";
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
	unsigned int n = 0;
	const char *at;

	command("set verbose 1");
	command("set fwd rxonly");
	command(ring->small_buffers ? "set txpkts 500,500,400" : "set txpkts 500");
	type("start tx_first 1");	/* the prompt gets between the frames */
	while (n < BURST * ring->queues && program_now_ms() < end) {
		listen_a_moment(20);
		for (n = 0, at = said; (at = strstr(at, from)); at += sizeof(from) - 1)
			n++;
	}
	ck_assert_uint_eq(n, BURST * ring->queues);
	for (n = 0, at = said; (at = strstr(at, "src=")); at++)
		n++;
	ck_assert_uint_eq(n, BURST * ring->queues);
	if (ring->small_buffers) {
		for (n = 0, at = said; (at = strstr(at, "length=1400 - nb_segs=3")); at++)
			n++;
		ck_assert_uint_eq(n, BURST * ring->queues);
	}
	command("stop");
	command("set verbose 0");
}

/* They go round and round: testpmd sends what it received. None may get lost. */
static void frames_go_round(const struct ring *ring, unsigned int ms)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS, rx = 0, round;
	const char *at;
	unsigned int q;

	command("set fwd io");
	command("clear port stats all");
	command("start tx_first 2");
	while (ms) {
		listen_a_moment(ms > 50 ? 50 : (int)ms);
		ms -= ms > 50 ? 50 : ms;
	}
	do {
		round = rx;
		command("show port stats 0");
		rx = figure(said, "RX-packets: ");
		ck_assert_msg(program_now_ms() < end, "%llu frames came back, and no more",
			      (unsigned long long)rx);
	} while (rx == round || rx < 5000);
	ck_assert_uint_eq(figure(said, "RX-errors: "), 0);
	ck_assert_uint_eq(figure(said, "TX-errors: "), 0);
	command("stop");
	for (q = 0, at = said; q < ring->queues && ring->queues > 1; q++) {
		char head[48];

		snprintf(head, sizeof(head), "RX Port= 0/Queue= %u", q);
		at = strstr(said, head);
		ck_assert_msg(at != NULL, "nothing went through queue %u", q);
		ck_assert_uint_gt(figure(at, "RX-packets: "), 0);
	}
	at = strstr(said, "Forward statistics for port 0");
	/* what it could not send while we had no processor, it drops itself: TX-dropped */
	ck_assert_uint_eq(figure(at, "RX-dropped: "), 0);
}

/* -------------------------------------------------------------------- tests */

START_TEST(frames_come_back)
{
	const struct ring *ring = &rings[_i];

	start_net(ring, -1);
	wait_for_listener(net_pid);
	start_testpmd(ring, false);
	wait_for("testpmd> ");
	frames_come_back_swapped(ring);
	frames_go_round(ring, 0);
	command("port stop 0");
	command("port start 0");
	frames_go_round(ring, 0);
}
END_TEST

START_TEST(the_driver_is_killed_and_comes_back)
{
	const struct ring *ring = &rings[some_rings[_i]];
	int round;

	start_net(ring, -1);
	wait_for_listener(net_pid);
	for (round = 0; round < 3; round++) {
		start_testpmd(ring, false);
		wait_for("testpmd> ");
		frames_go_round(ring, 0);
		command("start tx_first 2");
		end_testpmd();
		ck_assert(program_is_alive(net_pid));
	}
}
END_TEST

/* The socket is testpmd's, so that the back-end can go and another come. */
static void connect_net(const struct ring *ring)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", program_path("sock"));
	while (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		ck_assert_msg(program_now_ms() < end && program_is_alive(testpmd_pid),
			      "testpmd does not listen: %s", strerror(errno));
		listen_a_moment(20);
	}
	start_net(ring, fd);
	close(fd);
}

/* It looks at the connection when it is asked for the state of the link. */
static void wait_for_link_down(void)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;

	do {
		ck_assert_msg(program_now_ms() < end, "testpmd does not see that the back-end died");
		listen_a_moment(50);
		command("show port info 0");
	} while (!strstr(said, "Link status: down"));
}

START_TEST(the_back_end_is_killed_and_another_comes)
{
	const struct ring *ring = &rings[some_rings[_i]];
	int round;

	start_testpmd(ring, true);
	for (round = 0; round < 3; round++) {
		n_said = 0;
		said[0] = 0;
		connect_net(ring);
		wait_for(round ? "reconnection succeeds" : "testpmd> ");
		frames_go_round(ring, 0);
		command("start tx_first 2");
		program_end(net_pid, SIGKILL);
		net_pid = 0;
		command("stop");
		wait_for_link_down();
	}
}
END_TEST

int main(void)
{
	const char *dir = getenv("builddir");
	Suite *suite = suite_create("testpmd-net");
	TCase *tc = tcase_create("net");

	testpmd_path = program_find("dpdk-testpmd");
	if (!testpmd_path)
		return program_skip("dpdk-testpmd is not installed (Debian: dpdk-dev)");
	snprintf(net_path, sizeof(net_path), "%s/tools/vhost-user-net", dir ? dir : ".");
	if (access(net_path, X_OK) < 0)
		return program_skip("tools/vhost-user-net was not built");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 90);
	tcase_add_loop_test(tc, frames_come_back, 0, N_RINGS);
	tcase_add_loop_test(tc, the_driver_is_killed_and_comes_back, 0, N_SOME);
	tcase_add_loop_test(tc, the_back_end_is_killed_and_another_comes, 0, N_SOME);
	suite_add_tcase(suite, tc);
	return program_run_suite(suite);
}
