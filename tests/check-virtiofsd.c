/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* A real file system: QEMU's virtiofsd is brought up, and answers a FUSE_INIT. */
#include <linux/fuse.h>
#include <sys/stat.h>

#include "leak.h"
#include "program.h"

#define QUEUE_SIZE 128u
#define REQUESTS 1u		/* the queue; 0 is the one of high priority */
#define QUEUES 2u

#define F_INDIRECT (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_VERSION_1 (1ull << 32)
#define F_PACKED (1ull << 34)

static const char *const places[] = { "/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd" };

static const struct {
	const char *name;
	uint64_t features;
} rings[] = {
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

static void setup(void)
{
	static char source[192], path[192];
	const char *argv[] = { daemon_path, path, "-o", source, "-o", "sandbox=chroot", NULL };

	before = leak_begin();
	unlink(program_path("log"));
	ck_assert(mkdir(program_path("shared"), 0700) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "--socket-path=%s", program_path("sock"));
	snprintf(source, sizeof(source), "source=%s", program_path("shared"));
	daemon_pid = program_start(argv, -1);
	dev = program_open(daemon_pid, program_path("sock"));
}

static void teardown(void)
{
	program_teardown(&dev, vqs, QUEUES, &mem, daemon_pid);
	ck_assert_int_eq(leak_check(&before), 0);
}

static void wait_for(vhost_virtq_t *vq, struct vhost_virtq_done *done)
{
	struct vhost_virtq_layout layout;
	uint64_t count;
	int n;

	vhost_virtq_layout(vq, &layout, sizeof(layout));
	while (!(n = vhost_virtq_get(vq, done, 1))) {
		struct pollfd p = { layout.call_fd, POLLIN, 0 };

		ck_assert_int_gt(poll(&p, 1, PROGRAM_PATIENCE_MS), 0);
		if (read(layout.call_fd, &count, sizeof(count)) < 0)
			ck_assert_int_eq(errno, EAGAIN);
	}
	ck_assert_int_eq(n, 1);
}

START_TEST(it_answers_fuse_init)
{
	struct { struct fuse_in_header head; struct fuse_init_in init; } *in;
	struct { struct fuse_out_header head; struct fuse_init_out init; } *out;
	struct vhost_virtq_opts opts = { .size = QUEUE_SIZE };
	struct vhost_virtq_done done;
	struct vhost_virtq_req req;
	struct vhost_sg sg[4];
	uint64_t features;
	unsigned int q;

	DEV_OK(dev, vhost_dev_get_features(dev, &features));
	if (rings[_i].features & F_PACKED & ~features) {
		printf("not offered by this virtiofsd: packed rings\n");
		return;
	}
	features &= F_VERSION_1 | rings[_i].features;
	opts.features = features;
	ck_assert_int_eq(vhost_mem_new(1 << 20, 0, 0, &mem), 0);
	DEV_OK(dev, vhost_dev_begin(dev));
	DEV_OK(dev, vhost_dev_set_features(dev, features));
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, mem));
	for (q = 0; q < QUEUES; q++) {
		ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vqs[q]), 0);
		DEV_OK(dev, vhost_dev_vq_attach(dev, q, vqs[q]));
	}
	DEV_OK(dev, vhost_dev_start(dev));
	DEV_OK(dev, vhost_dev_commit(dev));

	in = vhost_mem_alloc(mem, sizeof(*in), 0);
	out = vhost_mem_alloc(mem, sizeof(*out), 0);
	ck_assert(in && out);
	in->head.len = sizeof(*in);
	in->head.opcode = FUSE_INIT;
	in->head.unique = 0x1234567890;
	in->init.major = FUSE_KERNEL_VERSION;
	in->init.minor = FUSE_KERNEL_MINOR_VERSION;
	in->init.max_readahead = 65536;
	sg[0] = (struct vhost_sg){ vhost_mem_to_iova(mem, &in->head), sizeof(in->head), 0 };
	sg[1] = (struct vhost_sg){ vhost_mem_to_iova(mem, &in->init), sizeof(in->init), 0 };
	sg[2] = (struct vhost_sg){ vhost_mem_to_iova(mem, &out->head), sizeof(out->head), 0 };
	sg[3] = (struct vhost_sg){ vhost_mem_to_iova(mem, &out->init), sizeof(out->init), 0 };
	req = (struct vhost_virtq_req){ .sg = sg, .out = 2, .in = 2, .cookie = in };
	ck_assert_int_eq(vhost_virtq_add(vqs[REQUESTS], &req, 1), 1);
	ck_assert_int_ge(vhost_virtq_kick(vqs[REQUESTS]), 0);
	wait_for(vqs[REQUESTS], &done);

	ck_assert_ptr_eq(done.cookie, in);
	ck_assert_uint_ge(done.len, sizeof(out->head));
	ck_assert_int_eq(out->head.error, 0);
	ck_assert_uint_eq(out->head.unique, in->head.unique);
	ck_assert_uint_eq(out->head.len, done.len);
	ck_assert_uint_eq(out->init.major, FUSE_KERNEL_VERSION);
	ck_assert_uint_gt(out->init.max_write, 0);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtiofsd");
	TCase *tc = tcase_create("fs");
	unsigned int i;

	for (i = 0; !daemon_path && i < sizeof(places) / sizeof(places[0]); i++)
		daemon_path = program_find(places[i]);
	if (!daemon_path)
		return program_skip("virtiofsd is not installed (Debian 12: qemu-system-common)");
	if (geteuid() != 0)
		return program_skip("virtiofsd needs root for its sandbox");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, it_answers_fuse_init, 0, N_RINGS);
	suite_add_tcase(suite, tc);
	return program_run_suite(suite);
}
