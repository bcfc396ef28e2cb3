/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The kernel's vhost and vDPA, through the library and by the fewest system calls that
 * do the same. Run as root where there are such devices.
 *
 *	bench-vdpa bring-up ours|bare vdpa:NAME|/dev/vhost-net
 *		Once, and quietly, for strace: what counts is between two calls of
 *		getppid(2).
 *	bench-vdpa map /dev/vhost-vdpa-N
 *		Map 1 GiB in 509 regions, as one batch and each for itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <vhost/vhost.h>

#include "proto/kernel-abi.h"

#define F_VERSION_1 (1ull << 32)
#define F_ACCESS_PLATFORM (1ull << 33)
#define QUEUE_SIZE 128u
#define MEM_SIZE (1u << 20)
#define IOVA 0x100000000ull
#define NET_HEADER 12

#define S_ACKNOWLEDGE 1u
#define S_DRIVER 2u
#define S_DRIVER_OK 4u
#define S_FEATURES_OK 8u

static void die(const char *what)
{
	fprintf(stderr, "bench-vdpa: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "bench-vdpa: %s: %s\n", what, vhost_last_error());
		exit(1);
	}
}

static void call(int fd, unsigned long request, void *arg, const char *what)
{
	if (ioctl(fd, request, arg) < 0)
		die(what);
}

static void mark(void)
{
	syscall(SYS_getppid);
}

/* ------------------------------------------------------------------------ bring-up */

static int open_tap(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), header = NET_HEADER;

	if (fd < 0)
		die("/dev/net/tun");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "bench-tap");
	call(fd, TUNSETIFF, &ifr, "TUNSETIFF");
	call(fd, TUNSETVNETHDRSZ, &header, "TUNSETVNETHDRSZ");
	return fd;
}

static void bring_up_ours(const char *address, int tap)
{
	struct vhost_virtq_opts opts = { .size = QUEUE_SIZE };
	unsigned int q, n = tap < 0 ? 1 : 2;
	vhost_virtq_t *vq;
	vhost_mem_t *mem;
	vhost_dev_t *dev;

	mark();
	must(vhost_dev_open(address, NULL, 0, &dev), address);
	must(vhost_dev_get_features(dev, &opts.features), "features");
	opts.features &= F_VERSION_1 | (tap < 0 ? F_ACCESS_PLATFORM : 0);
	must(vhost_dev_set_features(dev, opts.features), "features");
	must(vhost_mem_new(MEM_SIZE, 0, IOVA, &mem), "memory");
	must(vhost_dev_mem_add_mem(dev, mem), "memory");
	for (q = 0; q < n; q++) {
		must(vhost_virtq_new(mem, &opts, sizeof(opts), &vq), "queue");
		must(vhost_dev_vq_attach(dev, q, vq), "queue");
		if (tap >= 0)
			must(vhost_net_set_backend(dev, q, tap), "tap");
	}
	must(vhost_dev_start(dev), "start");
	mark();
	vhost_dev_unref(dev);
}

static void *map_memfd(size_t size)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);
	void *p;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		die("memory");
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("memory");
	return p;
}

static void set_status(int fd, uint8_t status)
{
	call(fd, KV_VDPA_SET_STATUS, &status, "status");
}

static void send_iotlb(int fd, uint8_t type, uint64_t iova, uint64_t size, void *addr)
{
	struct kv_msg msg = {
		.type = KV_MSG_V2,
		.iotlb = {
			.iova = iova, .size = size, .user_addr = (uintptr_t)addr, .perm = 3,
			.type = type,
		},
	};

	if (write(fd, &msg, sizeof(msg)) != sizeof(msg))
		die("IOTLB message");
}

static void set_table(int fd, char *mem)
{
	_Alignas(struct kv_mem_table)
	char buf[sizeof(struct kv_mem_table) + sizeof(struct kv_mem_region)] = "";
	struct kv_mem_table *table = (struct kv_mem_table *)(void *)buf;

	table->n = 1;
	table->regions[0] = (struct kv_mem_region){
		.guest_addr = IOVA, .size = MEM_SIZE, .user_addr = (uintptr_t)mem,
	};
	call(fd, KV_SET_MEM_TABLE, table, "memory");
}

/* The three areas of a ring have a page each, from @base on. */
static int bring_up_bare_queue(int fd, unsigned int q, uint64_t base, bool vdpa)
{
	struct kv_vring_state state = { q, QUEUE_SIZE }, start = { q, 0 };
	struct kv_vring_addr addr = {
		.index = q, .desc = base, .avail = base + 4096, .used = base + 8192,
	};
	struct kv_vring_file kick = { q, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	struct kv_vring_file end = { q, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };

	call(fd, KV_SET_VRING_NUM, &state, "size");
	call(fd, KV_SET_VRING_BASE, &start, "base");
	call(fd, KV_SET_VRING_ADDR, &addr, "addresses");
	call(fd, KV_SET_VRING_CALL, &end, "call");
	call(fd, KV_SET_VRING_KICK, &kick, "kick");
	if (vdpa) {
		state.num = 1;
		call(fd, KV_VDPA_SET_VRING_ENABLE, &state, "enable");
	}
	return kick.fd;
}

static void bring_up_bare(const char *path, int tap)
{
	uint64_t features, backend, one = 1;
	unsigned int q;
	uint8_t status;
	int fd, kick[2];
	char *mem;

	mark();
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(path);
	call(fd, KV_SET_OWNER, NULL, "owner");
	call(fd, KV_GET_BACKEND_FEATURES, &backend, "back-end features");
	backend &= KV_BF_KNOWN;
	call(fd, KV_SET_BACKEND_FEATURES, &backend, "back-end features");
	call(fd, KV_GET_FEATURES, &features, "features");
	features &= F_VERSION_1 | (tap < 0 ? F_ACCESS_PLATFORM : 0);
	mem = map_memfd(MEM_SIZE);
	if (tap >= 0) {
		call(fd, KV_SET_FEATURES, &features, "features");
		set_table(fd, mem);
		for (q = 0; q < 2; q++)
			kick[q] = bring_up_bare_queue(fd, q, (uintptr_t)mem + 16384 * q, false);
		for (q = 0; q < 2; q++) {
			struct kv_vring_file file = { q, tap };

			call(fd, KV_NET_SET_BACKEND, &file, "tap");
			if (write(kick[q], &one, sizeof(one)) < 0)
				die("kick");
		}
	} else {
		set_status(fd, S_ACKNOWLEDGE | S_DRIVER);
		call(fd, KV_SET_FEATURES, &features, "features");
		set_status(fd, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
		call(fd, KV_VDPA_GET_STATUS, &status, "status");
		send_iotlb(fd, KV_IOTLB_UPDATE, IOVA, MEM_SIZE, mem);
		kick[0] = bring_up_bare_queue(fd, 0, IOVA, true);
		set_status(fd, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
		if (write(kick[0], &one, sizeof(one)) < 0)
			die("kick");
	}
	mark();
	close(fd);
}

static int bring_up(const char *how, const char *address)
{
	bool net = strcmp(address, "/dev/vhost-net") == 0;
	int tap = net ? open_tap() : -1;

	if (strcmp(how, "ours") == 0)
		bring_up_ours(address, tap);
	else
		bring_up_bare(address, tap);
	return 0;
}

/* ------------------------------------------------------------------------- mapping */

#define REGIONS 509u
#define SIZE (1ull << 30)
#define PAGE 4096u
#define RUNS 9u

static struct vhost_mem_desc descs[REGIONS];
static vhost_dev_t *dev;
static int bare_fd;

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* How many write(2)s this process made. */
static unsigned long writes_made(void)
{
	FILE *f = fopen("/proc/self/io", "re");
	unsigned long n = 0;
	char line[64];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "syscw: %lu", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

static void ours_batch(void)
{
	must(vhost_dev_mem_set(dev, descs, REGIONS, sizeof(descs[0])), "mapping");
}

static void ours_single(void)
{
	unsigned int i;

	for (i = 0; i < REGIONS; i++)
		must(vhost_dev_mem_add(dev, &descs[i], sizeof(descs[i])), "mapping");
}

static void ours_clear(void)
{
	must(vhost_dev_mem_set(dev, NULL, 0, sizeof(descs[0])), "unmapping");
}

static void bare_single(void)
{
	unsigned int i;

	for (i = 0; i < REGIONS; i++)
		send_iotlb(bare_fd, KV_IOTLB_UPDATE, descs[i].iova, descs[i].size, descs[i].addr);
}

static void bare_batch(void)
{
	send_iotlb(bare_fd, KV_IOTLB_BATCH_BEGIN, 0, 0, NULL);
	bare_single();
	send_iotlb(bare_fd, KV_IOTLB_BATCH_END, 0, 0, NULL);
}

static void bare_clear(void)
{
	send_iotlb(bare_fd, KV_IOTLB_INVALIDATE, IOVA, SIZE, NULL);
}

struct result {
	double ms;
	unsigned long writes;
};

/* The best of several. */
static struct result measure(void (*map)(void), void (*clear)(void))
{
	struct result best = { 0, 0 };
	unsigned int run;

	for (run = 0; run < RUNS; run++) {
		unsigned long writes = writes_made();
		double ms = now_ms();

		map();
		ms = now_ms() - ms;
		writes = writes_made() - writes;
		if (!run || ms < best.ms)
			best = (struct result){ ms, writes };
		clear();
	}
	return best;
}

static int map(const char *path)
{
	uint64_t backend = 1 << KV_BF_IOTLB_MSG_V2 | 1 << KV_BF_IOTLB_BATCH;
	uint64_t pages = SIZE / PAGE, at = 0;
	struct result ours[2], bare[2];
	char *mem = map_memfd(SIZE);
	unsigned int i;

	for (i = 0; i < REGIONS; i++) {
		uint64_t size = i + 1 < REGIONS ? pages / REGIONS * PAGE : SIZE - at;

		descs[i] = (struct vhost_mem_desc){
			.iova = IOVA + at, .size = size, .addr = mem + at, .fd = -1,
		};
		at += size;
	}
	must(vhost_dev_open(path, NULL, 0, &dev), path);
	ours[0] = measure(ours_batch, ours_clear);
	ours[1] = measure(ours_single, ours_clear);
	vhost_dev_unref(dev);

	bare_fd = open(path, O_RDWR | O_CLOEXEC);
	if (bare_fd < 0)
		die(path);
	call(bare_fd, KV_SET_OWNER, NULL, "owner");
	call(bare_fd, KV_SET_BACKEND_FEATURES, &backend, "back-end features");
	bare[0] = measure(bare_batch, bare_clear);
	bare[1] = measure(bare_single, bare_clear);
	close(bare_fd);

	printf("1 GiB in %u regions (best of %u)          ms   write(2)s\n", REGIONS, RUNS);
	printf("  vhost_dev_mem_set(), a batch       %9.1f %8lu\n", ours[0].ms, ours[0].writes);
	printf("  vhost_dev_mem_add(), each alone    %9.1f %8lu\n", ours[1].ms, ours[1].writes);
	printf("  bare writes, a batch               %9.1f %8lu\n", bare[0].ms, bare[0].writes);
	printf("  bare writes, each alone            %9.1f %8lu\n", bare[1].ms, bare[1].writes);
	printf("a batch is %.1f times as fast as each alone, and takes %.2f times a bare batch\n",
	       ours[1].ms / ours[0].ms, ours[0].ms / bare[0].ms);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "bring-up") == 0)
		return bring_up(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "map") == 0)
		return map(argv[2]);
	fprintf(stderr, "usage: bench-vdpa bring-up ours|bare DEVICE\n"
		"       bench-vdpa map /dev/vhost-vdpa-N\n");
	return 2;
}
