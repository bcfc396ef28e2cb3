/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A vDPA device that a process makes, behind a real kernel: qemu-storage-daemon's VDUSE
 * disk, and one that keeps requests (vduse.h). It cannot be suspended, so a stop loses
 * what is in flight; it raises configuration interrupts; and it can die. Run as root in
 * the test guest.
 */
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bus.h"
#include "disk.h"
#include "vduse.h"

#define NAME "lvh-vduse"
#define BLOCKS 1024u
#define SIZE (BLOCKS * DISK_BLOCK)
#define FEATURES (F_INDIRECT | F_EVENT_IDX)
#define MESSAGE_TIMEOUT_S 2u	/* how long the kernel waits for the daemon */

static const char *daemon_path;
static struct leak before;
static struct disk disk;
static pid_t daemon_pid;

static void start_daemon(bool slow)
{
	static char file[160], export[160], monitor[160];
	const char *argv[] = {
		daemon_path, "--blockdev", file,
		"--object", slow ? "throttle-group,id=t,x-iops-total=100" : "throttle-group,id=t",
		"--blockdev", "driver=throttle,throttle-group=t,file=f,node-name=n",
		"--chardev", monitor, "--monitor", "chardev=m",
		"--export", export, NULL
	};
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;

	snprintf(file, sizeof(file), "driver=file,filename=%s,node-name=f", program_path("disk"));
	snprintf(export, sizeof(export), "type=vduse-blk,id=e,node-name=n,name=%s,writable=on,"
		 "num-queues=1,queue-size=256", NAME);
	snprintf(monitor, sizeof(monitor), "socket,id=m,path=%s,server=on,wait=off",
		 program_path("monitor"));
	unlink(program_path("monitor"));
	daemon_pid = program_start(argv, -1);
	/* The export is the last that it makes. */
	while (access("/dev/vduse/" NAME, F_OK) < 0 && program_is_alive(daemon_pid) &&
	       program_now_ms() < end)
		poll(NULL, 0, 10);
	if (access("/dev/vduse/" NAME, F_OK) < 0)
		program_show_log();
	ck_assert_int_eq(access("/dev/vduse/" NAME, F_OK), 0);
}

static void forget(void)
{
	if (bus_has(NAME))	/* a test that failed left it */
		bus_sh("vdpa dev del " NAME);
	vduse_destroy(NAME);
}

static void attach(void)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
	int r;

	while ((r = bus_sh("vdpa dev add name " NAME " mgmtdev vduse")) != 0 &&
	       program_now_ms() < end)
		poll(NULL, 0, 50);
	ck_assert_int_eq(r, 0);
}

static void setup_with(bool slow)
{
	int fd;

	before = leak_begin();
	unlink(program_path("log"));
	forget();
	fd = open(program_path("disk"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	close(fd);
	start_daemon(slow);
	attach();
	disk_open(&disk, "vdpa:" NAME, 0, FEATURES);
}

static void setup(void)
{
	setup_with(false);
}

static void setup_slow(void)
{
	setup_with(true);
}

static void teardown(void)
{
	disk_close(&disk);
	ck_assert_int_eq(bus_sh("vdpa dev del " NAME), 0);
	program_end(daemon_pid, SIGTERM);
	ck_assert_int_eq(leak_check(&before), 0);
}

/* The kernel keeps the device of a daemon that died. */
static void teardown_dead(void)
{
	disk_close(&disk);
	ck_assert_int_eq(bus_sh("vdpa dev del " NAME), 0);
	ck_assert_int_eq(vduse_destroy(NAME), 0);
	ck_assert_int_eq(leak_check(&before), 0);
}

static void setup_keeping(void)
{
	before = leak_begin();
	forget();
	daemon_pid = vduse_begin(NAME);
	attach();
	disk_open(&disk, "vdpa:" NAME, 0, 0);
}

static void teardown_keeping(void)
{
	disk_close(&disk);
	ck_assert_int_eq(bus_sh("vdpa dev del " NAME), 0);
	ck_assert(program_is_alive(daemon_pid));
	program_end(daemon_pid, SIGKILL);
	ck_assert_int_eq(vduse_destroy(NAME), 0);
	ck_assert_int_eq(leak_check(&before), 0);
}

static void start(void)
{
	disk_prepare(&disk, FEATURES);
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
}

/* The file behind the disk has what disk_works(@first, @seed) wrote. */
static void check_file(unsigned int first, uint32_t seed)
{
	int fd = open(program_path("disk"), O_RDONLY | O_CLOEXEC);
	uint8_t data[DISK_BLOCK];
	unsigned int i, at;

	ck_assert_int_ge(fd, 0);
	for (i = 0; i < DISK_DEPTH; i++) {
		ck_assert_int_eq(pread(fd, data, DISK_BLOCK, (off_t)(first + i) * DISK_BLOCK),
				 DISK_BLOCK);
		for (at = 0; at < DISK_BLOCK; at++)
			if (data[at] != disk_byte(seed + i, at))
				break;
		ck_assert_msg(at == DISK_BLOCK, "the file differs in block %u", first + i);
	}
	close(fd);
}

START_TEST(it_says_what_it_can)
{
	uint64_t capacity;
	uint32_t size;

	ck_assert_str_eq(vhost_dev_get_transport(disk.dev), "vhost-vdpa");
	ck_assert_uint_eq(guest_cap(disk.dev, VHOST_CAP_DEVICE_ID), 2);
	ck_assert_uint_eq(guest_cap(disk.dev, VHOST_CAP_MAX_QUEUES), 1);
	ck_assert_uint_eq(guest_cap(disk.dev, VHOST_CAP_MEM_NEEDS_SHARED), 1);
	ck_assert_uint_eq(guest_cap(disk.dev, VHOST_CAP_ADDRESS_SPACES), 1);
	DEV_OK(disk.dev, vhost_dev_get_config(disk.dev, 0, &capacity, sizeof(capacity)));
	ck_assert_uint_eq(le64toh(capacity), SIZE / DISK_SECTOR);
	DEV_OK(disk.dev, vhost_vdpa_get_queue_size(disk.dev, 0, &size));
	ck_assert_uint_eq(size, 256);
}
END_TEST

START_TEST(what_is_written_is_read_back_and_is_in_the_file)
{
	start();
	disk_works(&disk, 0, 1);
	check_file(0, 1);
	disk_works(&disk, BLOCKS - DISK_DEPTH, 2);
	check_file(BLOCKS - DISK_DEPTH, 2);
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	disk_works(&disk, 100, 3);
	check_file(100, 3);
}
END_TEST

START_TEST(it_cannot_be_suspended)
{
	if (guest_cap(disk.dev, VHOST_CAP_SUSPEND)) {
		guest_skip_case("VDUSE can be suspended here");
		return;
	}
	start();
	disk_works(&disk, 0, 4);
	ck_assert_int_eq(vhost_dev_suspend(disk.dev), -ENOTSUP);
	ck_assert_int_ne(*vhost_dev_error(disk.dev), 0);
	ck_assert_int_eq(vhost_dev_get_state(disk.dev), VHOST_DEV_STARTED);
	disk_works(&disk, 0, 5);
}
END_TEST

START_TEST(private_memory_is_refused_by_name)
{
	void *p = mmap(NULL, DISK_BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	struct vhost_mem_desc desc = {
		.iova = 0x200000000000, .size = DISK_BLOCK, .addr = p, .fd = -1,
	};

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)), -EINVAL);
	ck_assert_int_eq(vhost_dev_error_kind(disk.dev), VHOST_ERR_MEM_NOT_SHARED);
	munmap(p, DISK_BLOCK);
}
END_TEST

/* Post a write of each block from @first on that is not under way. */
static void write_all(unsigned int first, uint32_t seed)
{
	unsigned int i;

	for (i = 0; i < DISK_DEPTH; i++) {
		if (disk.reqs[i].busy)
			continue;
		disk_fill(&disk, i, seed + i);
		disk_post(&disk, i, DISK_T_OUT, disk_sector(first + i));
	}
	vhost_virtq_kick(disk.vq);
}

/* Post all, and wait until the disk has done its half. */
static void half_is_done(void)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;

	write_all(0, 6);
	while (disk.n_busy > DISK_DEPTH / 2 && program_now_ms() < end) {
		poll(&(struct pollfd){ disk.call_fd, POLLIN, 0 }, 1, 20);
		disk_collect(&disk);
	}
	ck_assert_uint_eq(disk.n_busy, DISK_DEPTH / 2);
	ck_assert(!disk_wait(&disk, 50));	/* the others it keeps */
}

START_TEST(nothing_is_lost_by_a_stop_with_requests_in_flight)
{
	uint32_t base;

	disk_prepare(&disk, 0);
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	half_is_done();
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
	disk_collect(&disk);
	ck_assert_uint_eq(disk.n_busy, DISK_DEPTH / 2);
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	disk_settle(&disk);
	/* What was done was not done again: each was available once, half of them twice. */
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
	DEV_OK(disk.dev, vhost_dev_vq_get_base(disk.dev, 0, &base));
	ck_assert_uint_eq(base, DISK_DEPTH);
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	write_all(0, 7);
	disk_settle(&disk);
}
END_TEST

/* A queue that the program drives in its own way: the library cannot make it good. */
START_TEST(a_queue_of_ones_own_does_not_start_after_it_lost_requests)
{
	struct vhost_virtq_layout layout;
	struct vhost_vq_config config;
	uint32_t base;

	disk_prepare(&disk, 0);
	vhost_virtq_layout(disk.vq, &layout, sizeof(layout));
	config = (struct vhost_vq_config){
		.size = layout.size, .desc = layout.desc, .driver = layout.driver,
		.device = layout.device, .base = layout.base, .kick_fd = layout.kick_fd,
		.call_fd = layout.call_fd, .err_fd = -1,
	};
	DEV_OK(disk.dev, vhost_dev_vq_attach(disk.dev, 0, NULL));
	DEV_OK(disk.dev, vhost_dev_vq_setup(disk.dev, 0, &config, sizeof(config)));
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	half_is_done();
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
	ck_assert_int_eq(vhost_dev_start(disk.dev), -ESTALE);
	ck_assert_int_eq(vhost_dev_error_kind(disk.dev), VHOST_ERR_REQUESTS_LOST);
	ck_assert_int_eq(vhost_virtq_requeue(disk.vq, &base), DISK_DEPTH / 2);
	DEV_OK(disk.dev, vhost_dev_vq_set_base(disk.dev, 0, base));
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	disk_settle(&disk);
}
END_TEST

/* Have the daemon change the disk's size, by its monitor. */
static void resize(unsigned long size)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char text[512];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), n, i;

	ck_assert_int_ge(fd, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", program_path("monitor"));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	n = snprintf(text, sizeof(text), "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":"
		     "\"block_resize\",\"arguments\":{\"node-name\":\"n\",\"size\":%lu}}\n", size);
	ck_assert_int_eq(write(fd, text, (size_t)n), n);
	/* the greeting and two answers, a line each */
	for (i = 0; i < 3;) {
		char c;

		ck_assert_int_gt(poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, PROGRAM_PATIENCE_MS),
				 0);
		ck_assert_int_eq(read(fd, &c, 1), 1);
		i += c == '\n';
	}
	close(fd);
}

static void config_changed(vhost_dev_t *dev, void *opaque)
{
	(void)dev;
	++*(unsigned int *)opaque;
}

START_TEST(a_changed_size_is_an_event)
{
	static const struct vhost_dev_events events = { .config_changed = config_changed };
	uint64_t capacity, end, count;
	unsigned int n = 0;
	int event;

	DEV_OK(disk.dev, vhost_dev_set_events(disk.dev, &events, sizeof(events), &n));
	start();
	disk_works(&disk, 0, 9);
	DEV_OK(disk.dev, vhost_dev_process(disk.dev));
	n = 0;
	resize(2 * SIZE);
	end = program_now_ms() + PROGRAM_PATIENCE_MS;
	while (!n && program_now_ms() < end) {
		poll(&(struct pollfd){ vhost_dev_get_fd(disk.dev), POLLIN, 0 }, 1, 100);
		DEV_OK(disk.dev, vhost_dev_process(disk.dev));
	}
	ck_assert_uint_eq(n, 1);
	DEV_OK(disk.dev, vhost_dev_get_config(disk.dev, 0, &capacity, sizeof(capacity)));
	ck_assert_uint_eq(le64toh(capacity), 2 * SIZE / DISK_SECTOR);
	disk_works(&disk, 2 * BLOCKS - DISK_DEPTH, 10);

	/* As a VMM has it: by an eventfd of its own, and by that alone; */
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	DEV_OK(disk.dev, vhost_vdpa_set_config_call(disk.dev, event));
	resize(3 * SIZE);
	ck_assert_int_eq(poll(&(struct pollfd){ event, POLLIN, 0 }, 1, PROGRAM_PATIENCE_MS), 1);
	ck_assert_int_eq(read(event, &count, sizeof(count)), sizeof(count));
	DEV_OK(disk.dev, vhost_dev_process(disk.dev));
	ck_assert_uint_eq(n, 1);
	/* over a stop and a start, too. */
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	if (read(event, &count, sizeof(count)) < 0)
		ck_assert_int_eq(errno, EAGAIN);
	resize(4 * SIZE);
	ck_assert_int_eq(poll(&(struct pollfd){ event, POLLIN, 0 }, 1, PROGRAM_PATIENCE_MS), 1);
	DEV_OK(disk.dev, vhost_vdpa_set_config_call(disk.dev, -1));
	close(event);
	resize(5 * SIZE);
	end = program_now_ms() + PROGRAM_PATIENCE_MS;
	while (n == 1 && program_now_ms() < end) {
		poll(&(struct pollfd){ vhost_dev_get_fd(disk.dev), POLLIN, 0 }, 1, 100);
		DEV_OK(disk.dev, vhost_dev_process(disk.dev));
	}
	ck_assert_uint_eq(n, 2);
}
END_TEST

/* Whatever is asked of a device whose daemon died ends, and within a time. */
START_TEST(nothing_hangs_when_the_daemon_is_killed)
{
	uint64_t was, value;
	uint8_t status;
	int r;

	ck_assert_int_eq(bus_sh("echo %u >/sys/class/vduse/" NAME "/msg_timeout",
				MESSAGE_TIMEOUT_S), 0);
	start();
	disk_works(&disk, 0, 11);
	write_all(0, 12);
	program_end(daemon_pid, SIGKILL);
	write_all(0, 13);
	disk_wait(&disk, 200);
	was = program_now_ms();
	vhost_dev_process(disk.dev);
	vhost_dev_get_status(disk.dev, &status);
	vhost_dev_get_features(disk.dev, &value);
	vhost_dev_get_config(disk.dev, 0, &value, sizeof(value));
	vhost_dev_vq_kick(disk.dev, 0);
	r = vhost_dev_stop(disk.dev);
	ck_assert_int_lt(r, 0);
	ck_assert_int_ne(*vhost_dev_error(disk.dev), 0);
	ck_assert_int_ne(vhost_dev_get_state(disk.dev), VHOST_DEV_STARTED);
	r = vhost_dev_start(disk.dev);
	ck_assert_int_lt(r, 0);
	ck_assert_int_ne(*vhost_dev_error(disk.dev), 0);
	ck_assert_int_lt(vhost_dev_reset(disk.dev), 0);
	vhost_dev_mem_set(disk.dev, NULL, 0, sizeof(struct vhost_mem_desc));
	ck_assert_uint_lt(program_now_ms() - was, 5 * MESSAGE_TIMEOUT_S * 1000);
}
END_TEST

/* The kernel holds the device for a daemon of the same name. */
START_TEST(another_daemon_does_what_a_killed_one_left_undone)
{
	unsigned int left;

	start();
	disk_works(&disk, 0, 14);
	write_all(0, 15);
	poll(NULL, 0, 50);
	program_end(daemon_pid, SIGKILL);
	disk_collect(&disk);
	left = disk.n_busy;
	ck_assert_uint_gt(left, 0);
	start_daemon(false);
	disk_settle(&disk);
	check_file(0, 15);
	disk_works(&disk, 0, 16);
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("VDUSE");
	TCase *tc = tcase_create("disk"), *slow = tcase_create("slow disk");
	TCase *keeping = tcase_create("disk that keeps requests");
	TCase *dead = tcase_create("dead daemon");
	const char *found;
	int status = guest_must_have("/dev/vduse/control");

	if (!status)
		status = bus_must_be();
	if (status)
		return status;
	found = program_find("qemu-storage-daemon");
	if (!found)
		return program_skip("qemu-storage-daemon is not installed "
				    "(Debian: qemu-system-common)");
	daemon_path = strdup(found);	/* the next search overwrites it */

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, it_says_what_it_can);
	tcase_add_test(tc, what_is_written_is_read_back_and_is_in_the_file);
	tcase_add_test(tc, it_cannot_be_suspended);
	tcase_add_test(tc, private_memory_is_refused_by_name);
	tcase_add_test(tc, a_changed_size_is_an_event);
	tcase_add_checked_fixture(slow, setup_slow, teardown);
	tcase_add_test(slow, another_daemon_does_what_a_killed_one_left_undone);
	tcase_add_checked_fixture(keeping, setup_keeping, teardown_keeping);
	tcase_add_test(keeping, nothing_is_lost_by_a_stop_with_requests_in_flight);
	tcase_add_test(keeping, a_queue_of_ones_own_does_not_start_after_it_lost_requests);
	tcase_add_checked_fixture(dead, setup_slow, teardown_dead);
	tcase_add_test(dead, nothing_hangs_when_the_daemon_is_killed);
	tcase_set_timeout(tc, 60);
	tcase_set_timeout(slow, 60);
	tcase_set_timeout(keeping, 60);
	tcase_set_timeout(dead, 60);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, slow);
	suite_add_tcase(suite, keeping);
	suite_add_tcase(suite, dead);
	return program_run_suite(suite);
}
