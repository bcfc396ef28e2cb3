/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What a back-end maps of a front-end's files: guest memory, the dirty log, the record of
 * what is in flight; and the translations of an IOMMU.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <vhost/mem.h>

#include "leak.h"
#include "mem/dirty.h"
#include "mem/guest.h"
#include "mem/inflight.h"
#include "mem/iotlb.h"
#include "util.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct leak before;
static uint64_t page;

static void setup(void)
{
	before = leak_begin();
	page = (uint64_t)sysconf(_SC_PAGESIZE);
}

static void teardown(void)
{
	ck_assert_int_eq(leak_check(&before), 0);
}

/*
 * Valgrind runs one thread at a time, so that those that race take for ever and show
 * nothing; and registers are not what they were when a signal handler returns.
 */
static bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

static int memfd_of(uint64_t size, unsigned int flags)
{
	int fd = memfd_create("check-guest", MFD_CLOEXEC | flags);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct guest_region *region_of(const struct guest_region_desc *desc)
{
	struct guest_region *region = NULL;
	const char *why = "";
	int r = guest_region_new(desc, &region, &why);

	ck_assert_msg(r == 0, "%d: %s", r, why);
	return region;
}

/* Refused with @error and a sentence, and nothing is written. */
static void refused(const struct guest_region_desc *desc, int error)
{
	struct guest_region *region = (void *)&before;
	const char *why = NULL;
	int r = guest_region_new(desc, &region, &why);

	ck_assert_msg(r == error, "%d: %s", r, why ? why : "");
	ck_assert_ptr_nonnull(why);
	ck_assert_ptr_eq(region, (void *)&before);
}

/* A little generator, so that every run is the same. */
static uint64_t seed;

static uint64_t any(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed >> 32 | seed << 32;
}

/* --------------------------------------------------------------------- regions */

START_TEST(f25_a_region_that_cannot_be_is_refused)
{
	static const struct {
		uint64_t guest, size, user, fd_offset;
	} wrong[] = {
		{ 0, 0, 0, 0 },				/* empty */
		{ UINT64_MAX, 2, 0, 0 },		/* the guest address wraps */
		{ 1, UINT64_MAX, 0, 0 },
		{ 0, 2, UINT64_MAX, 0 },		/* the user address wraps */
		{ 0, 0x1000, 0, UINT64_MAX },		/* offset and size wrap */
		{ 0, 0x1000, 0, UINT64_MAX - 0xfff },
		{ 0, 0x1000, 0, INT64_MAX },		/* no file is so large */
		{ 0, 1, 0, MIB },			/* begins at the end of the file */
		{ 0, MIB + 1, 0, 0 },			/* one byte beyond it */
		{ 0, MIB, 0, 1 },
		{ 0, 1ull << 63, 0, 0 },
		{ 0, 1ull << 62, 0, 0 },
		{ 1ull << 63, 1ull << 63, 1ull << 63, 0 },
		{ 0, UINT64_MAX, 0, 0 },
		{ 0, 1ull << 32, 0, 0 },		/* low half 0 */
		{ 0, (1ull << 32) + 0x1000, 0, 0 },
	};
	int fd = memfd_of(MIB, 0);
	struct guest_region_desc desc = {
		.guest = wrong[_i].guest, .size = wrong[_i].size, .user = wrong[_i].user,
		.fd_offset = wrong[_i].fd_offset, .fd = fd,
	};

	ck_assert_int_lt(_i, (int)ARRAY_SIZE(wrong));
	refused(&desc, -EINVAL);
	close(fd);
}
END_TEST
#define N_WRONG 16

START_TEST(f25_a_region_may_end_with_the_last_byte_of_all)
{
	int fd = memfd_of(MIB, 0);
	struct guest_region_desc desc = {
		.guest = UINT64_MAX - MIB + 1, .size = MIB, .user = UINT64_MAX - MIB + 1, .fd = fd,
	};
	struct guest_region *region = region_of(&desc);
	struct guest_map *map = NULL;
	const struct guest_span *span;
	const char *why;

	ck_assert_int_eq(guest_map_new(&region, 1, &map, &why), 0);
	span = guest_index_find(&map->by_guest, map->n, UINT64_MAX);
	ck_assert_ptr_nonnull(span);
	ck_assert_uint_eq(span->last, UINT64_MAX);
	ck_assert_ptr_null(guest_index_find(&map->by_guest, map->n, UINT64_MAX - MIB));
	ck_assert_ptr_null(guest_index_find(&map->by_guest, map->n, 0));
	guest_map_unref(map);
	guest_region_unref(region);
	close(fd);
}
END_TEST

START_TEST(f25_an_offset_and_a_size_need_not_be_whole_pages)
{
	static const uint64_t offsets[] = { 0, 1, 8, 4095, 4096, 4097, 70001 };
	int fd = memfd_of(MIB, 0);
	struct guest_region_desc desc = { .size = 12345, .fd_offset = offsets[_i], .fd = fd };
	struct guest_region *region = region_of(&desc);
	uint8_t byte = 0;

	region->addr[0] = 0x11;
	region->addr[desc.size - 1] = 0x22;
	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)desc.fd_offset), 1);
	ck_assert_uint_eq(byte, 0x11);
	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)(desc.fd_offset + desc.size - 1)), 1);
	ck_assert_uint_eq(byte, 0x22);
	guest_region_unref(region);
	close(fd);
}
END_TEST

START_TEST(f25_files_of_huge_pages_are_mapped_and_unmapped_whole)
{
	int fd = memfd_create("check-guest", MFD_CLOEXEC | MFD_HUGETLB);
	struct guest_region_desc desc = { .size = page, .fd = fd };
	struct guest_region *region;
	struct stat st;

	/* a kernel may have none, and qemu-user cannot map them */
	if (fd < 0 || leak_emulated() || fstat(fd, &st) < 0 || st.st_blksize <= (long)page) {
		close_fd(&fd);
		return;
	}
	ck_assert_int_eq(ftruncate(fd, 2 * st.st_blksize), 0);
	desc.fd_offset = (uint64_t)st.st_blksize + page;
	region = region_of(&desc);
	ck_assert_uint_eq((uintptr_t)region->map % (uintptr_t)st.st_blksize, 0);
	ck_assert_uint_eq(region->map_len, (size_t)st.st_blksize);
	ck_assert_ptr_eq(region->addr, (uint8_t *)region->map + page);
	guest_region_unref(region);
	desc.fd_offset = 2 * (uint64_t)st.st_blksize;
	refused(&desc, -EINVAL);
	close(fd);
}
END_TEST

START_TEST(f54_sizes_and_offsets_beyond_32_bits_are_not_cut)
{
	int fd = memfd_of(16 * GIB, 0);
	struct guest_region_desc desc = {
		.guest = 4 * GIB, .size = page, .user = 1ull << 40, .fd_offset = 5 * GIB, .fd = fd,
	};
	struct guest_region *region = region_of(&desc);
	uint8_t byte = 0;

	region->addr[page - 1] = 0x5a;
	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)(5 * GIB + page - 1)), 1);
	/* qemu-user cuts the offset of mmap2(2) itself */
	ck_assert(byte == 0x5a || leak_emulated());
	guest_region_unref(region);
	desc.size = 5 * GIB;
	if (sizeof(void *) < 8) {
		refused(&desc, -EINVAL);
	} else {
		region = region_of(&desc);
		ck_assert_uint_eq(region->map_len, 5 * GIB);
		region->addr[desc.size - 1] = 0xa5;
		ck_assert_int_eq(pread(fd, &byte, 1, (off_t)(10 * GIB - 1)), 1);
		ck_assert_uint_eq(byte, 0xa5);
		guest_region_unref(region);
	}
	close(fd);
}
END_TEST

static int file_of_wrong_kind(int which, int *other)
{
	int pair[2], fd;

	*other = -1;
	switch (which) {
	case 0:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case 1:
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		*other = pair[1];
		return pair[0];
	case 2:
		ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
		*other = pair[0];
		return pair[1];
	case 3:
		return eventfd(0, EFD_CLOEXEC);
	case 4:
		return epoll_create1(EPOLL_CLOEXEC);
	case 5:
		return open("/dev/zero", O_PATH | O_CLOEXEC);
	case 6:
		/* a file, but it can be written by nobody */
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		return fd;
	case 7:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	default:
		return -1;
	}
}

START_TEST(f4_only_files_and_devices_can_be_memory)
{
	static const int errors[] = {
		-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EACCES, -EINVAL, -EINVAL
	};
	int other, fd = file_of_wrong_kind(_i, &other);
	struct guest_region_desc desc = { .size = 1, .fd = fd };
	struct inflight_area *area;
	struct dirty_log *log;
	const char *why = "";

	refused(&desc, errors[_i]);
	if (fd >= 0) {
		ck_assert_int_eq(dirty_log_new(fd, 0, 1, &log, &why), errors[_i]);
		/* large enough in what it claims: a program is, too */
		ck_assert_int_lt(inflight_area_open(fd, 64, 0, 1, 1, false, &area, &why), 0);
	}
	close_fd(&fd);
	close_fd(&other);
}
END_TEST
#define N_KINDS 9

START_TEST(f4_a_descriptor_that_is_none)
{
	struct guest_region_desc desc = { .size = 1, .fd = 1 << 20 };

	refused(&desc, -EBADF);
}
END_TEST

START_TEST(a_device_has_no_size_to_compare_with)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	struct guest_region_desc desc = { .size = page, .fd = fd };
	struct guest_region *region;

	ck_assert_int_ge(fd, 0);
	region = region_of(&desc);
	region->addr[page - 1] = 1;
	guest_region_unref(region);
	close(fd);
}
END_TEST

START_TEST(f29_where_seals_are_required_a_file_that_can_shrink_is_refused)
{
	int fd = memfd_of(MIB, MFD_ALLOW_SEALING);
	struct guest_region_desc desc = { .size = MIB, .fd = fd, .sealed = true };
	int device = open("/dev/zero", O_RDWR | O_CLOEXEC);

	refused(&desc, -EPERM);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	refused(&desc, -EPERM);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	guest_region_unref(region_of(&desc));
	/* what knows no seals has none */
	desc.fd = device;
	refused(&desc, -EPERM);
	close(device);
	desc.fd = fd;
	desc.sealed = false;
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	refused(&desc, -EPERM);
	close(fd);
}
END_TEST

/* VmFlags of the mapping at @addr, or "". */
static void vm_flags(const void *addr, char ret[512])
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool here = false;
	char line[512], start[32];

	ck_assert_ptr_nonnull(f);
	ret[0] = '\0';
	snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)addr);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, start, strlen(start)) == 0)
			here = true;
		if (here && strncmp(line, "VmFlags:", 8) == 0) {
			strcpy(ret, line + 8);
			break;
		}
	}
	fclose(f);
}

START_TEST(the_guests_memory_is_not_dumped_and_in_postcopy_has_no_huge_pages)
{
	int fd = memfd_of(MIB, 0);
	struct guest_region_desc desc = { .size = MIB, .fd = fd, .postcopy = true };
	struct guest_region *region = region_of(&desc);
	char flags[512];

	vm_flags(region->map, flags);
	/* an emulator shows none */
	if (*flags) {
		ck_assert_ptr_nonnull(strstr(flags, " dd"));
		ck_assert_ptr_nonnull(strstr(flags, " nh"));
		ck_assert_ptr_nonnull(strstr(flags, " sh"));
	}
	guest_region_unref(region);
	close(fd);
}
END_TEST

START_TEST(f27_a_region_is_itself_only_with_the_same_addresses_and_file)
{
	int fd = memfd_of(MIB, 0), again = dup(fd), other = memfd_of(MIB, 0);
	const struct guest_region_desc desc = {
		.guest = 0x1000, .size = page, .user = 0x2000, .fd_offset = page, .fd = fd,
	};
	struct guest_region *region = region_of(&desc);
	struct guest_region_desc d;

	ck_assert(guest_region_is(region, &desc));
	d = desc;
	d.fd = again;
	ck_assert(guest_region_is(region, &d));
	d.fd = other;
	ck_assert(!guest_region_is(region, &d));
	d.fd = -1;
	ck_assert(!guest_region_is(region, &d));
	d = desc;
	d.guest++;
	ck_assert(!guest_region_is(region, &d));
	d = desc;
	d.size--;
	ck_assert(!guest_region_is(region, &d));
	d = desc;
	d.user++;
	ck_assert(!guest_region_is(region, &d));
	d = desc;
	d.fd_offset++;
	ck_assert(!guest_region_is(region, &d));
	d = desc;
	d.xen_domid = 1;
	ck_assert(!guest_region_is(region, &d));
	d = desc;
	d.xen_flags = 1;
	ck_assert(!guest_region_is(region, &d));
	guest_region_unref(region);
	close(fd);
	close(again);
	close(other);
}
END_TEST

/* Mapped by nobody: only where they lie matters. */
static unsigned int n_unmapped;

static void unmap_nothing(struct guest_region *region)
{
	ck_assert_ptr_eq(region->unmap_opaque, &n_unmapped);
	n_unmapped++;
}

static int map_nothing(struct guest_region *region, void *opaque)
{
	region->addr = (uint8_t *)(uintptr_t)(1 << 20);
	region->unmap = unmap_nothing;
	region->unmap_opaque = opaque;
	return 0;
}

static int map_fails(struct guest_region *region, void *opaque)
{
	(void)region;
	(void)opaque;
	return -ENXIO;
}

static struct guest_region *region_at(uint64_t guest, uint64_t user, uint64_t size)
{
	struct guest_region_desc desc = {
		.guest = guest, .size = size, .user = user, .fd = -1,
		.map = map_nothing, .map_opaque = &n_unmapped,
	};

	return region_of(&desc);
}

START_TEST(f51_a_region_can_be_mapped_in_the_programs_own_way)
{
	struct guest_region_desc desc = {
		.size = 0x1000, .xen_flags = 2, .xen_domid = 7, .fd = -1,
		.map = map_fails, .map_opaque = &n_unmapped,
	};
	struct guest_region *region;

	refused(&desc, -ENXIO);
	desc.map = map_nothing;
	n_unmapped = 0;
	region = region_of(&desc);
	ck_assert_int_eq(region->fd, -1);
	ck_assert_ptr_eq(region->addr, (uint8_t *)(uintptr_t)(1 << 20));
	ck_assert(guest_region_is(region, &desc));
	ck_assert_uint_eq(__atomic_load_n(region->dead, __ATOMIC_RELAXED), 0);
	/* what the program mapped, it contains itself */
	ck_assert_int_eq(guest_handle_sigbus(region->addr), 0);
	guest_region_unref(region);
	ck_assert_uint_eq(n_unmapped, 1);
}
END_TEST

/* ------------------------------------------------------------------------ maps */

START_TEST(f26_regions_that_overlap_are_refused)
{
	static const struct {
		uint64_t guest, user;
		const char *says;
	} second[] = {
		{ 0x1000, 0x9000, "guest" },	/* the same */
		{ 0x1fff, 0x9000, "guest" },	/* one byte */
		{ 0x0001, 0x9000, "guest" },
		{ 0x9000, 0x5000, "user" },
		{ 0x9000, 0x5fff, "user" },
		{ 0x9000, 0x4001, "user" },
		{ 0x1000, 0x5000, "guest" },	/* identical twice */
		{ 0x2000, 0x6000, NULL },	/* just after */
		{ 0x0000, 0x4000, NULL },	/* just before */
	};
	struct guest_region *regions[2] = {
		region_at(0x1000, 0x5000, 0x1000),
		region_at(second[_i].guest, second[_i].user, 0x1000),
	};
	struct guest_map *map = NULL;
	const char *why = "";
	int r = guest_map_new(regions, 2, &map, &why);

	if (second[_i].says) {
		ck_assert_int_eq(r, -EEXIST);
		ck_assert_ptr_nonnull(strstr(why, second[_i].says));
		ck_assert_ptr_null(map);
	} else {
		ck_assert_int_eq(r, 0);
		guest_map_unref(map);
	}
	guest_region_unref(regions[0]);
	guest_region_unref(regions[1]);
}
END_TEST
#define N_OVERLAPS 9

START_TEST(f26_one_file_may_be_many_regions)
{
	struct guest_region *regions[8];
	int fd = memfd_of(MIB, 0);
	struct guest_map *map;
	const char *why;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		struct guest_region_desc desc = {
			.guest = i * MIB, .size = MIB, .user = (i + 100) * MIB, .fd = fd,
		};

		regions[i] = region_of(&desc);
	}
	ck_assert_int_eq(guest_map_new(regions, 8, &map, &why), 0);
	guest_index_find(&map->by_guest, 8, 0)->addr[77] = 0x33;
	ck_assert_uint_eq(guest_index_find(&map->by_user, 8, 107 * MIB)->addr[77], 0x33);
	for (i = 0; i < 8; i++)
		guest_region_unref(regions[i]);
	guest_map_unref(map);
	close(fd);
}
END_TEST

START_TEST(an_empty_map_is_a_map)
{
	struct guest_map *map = NULL;
	const char *why;
	uint64_t a, b;

	ck_assert_int_eq(guest_map_new(NULL, 0, &map, &why), 0);
	ck_assert_ptr_null(guest_index_find(&map->by_guest, 0, 0));
	ck_assert_ptr_null(guest_index_find(&map->by_user, 0, UINT64_MAX));
	ck_assert_ptr_null(guest_index_find_slow(&map->by_guest, 0, 0));
	ck_assert(!guest_map_to_guest(map, &map, &a, &b));
	ck_assert(!guest_map_is_dead(map));
	guest_map_unref(map);
	guest_map_unref(NULL);
	guest_region_unref(NULL);
}
END_TEST

/* Every look-up against one that looks at every region. */
static void check_look_up(const struct guest_map *map, struct guest_region *const *regions,
			  uint64_t addr)
{
	const struct guest_span *g = guest_index_find(&map->by_guest, map->n, addr);
	const struct guest_span *u = guest_index_find(&map->by_user, map->n, addr);
	const struct guest_region *by_guest = NULL, *by_user = NULL;
	unsigned int i;

	for (i = 0; i < map->n; i++) {
		if (addr - regions[i]->guest < regions[i]->size)
			by_guest = regions[i];
		if (addr - regions[i]->user < regions[i]->size)
			by_user = regions[i];
	}
	ck_assert_ptr_eq(g ? g->region : NULL, by_guest);
	ck_assert_ptr_eq(u ? u->region : NULL, by_user);
	if (g) {
		ck_assert_uint_eq(g->first, by_guest->guest);
		ck_assert_uint_eq(g->last, by_guest->guest + (by_guest->size - 1));
		ck_assert_ptr_eq(g->addr, by_guest->addr);
	}
}

enum { DENSE, ODD, SPARSE, CLUSTERS, ENDS, N_DISTRIBUTIONS };

/* Regions by rising address, handed over in another order. */
static unsigned int lay_out(int how, unsigned int n, struct guest_region **regions)
{
	uint64_t at = how == ENDS ? 0 : any() % (1ull << 40), size = 0, gap = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		switch (how) {
		case DENSE:
			size = 256 * MIB;
			break;
		case ODD:
			size = 1 + any() % (64 * MIB);
			gap = any() % 3 ? 0 : any() % (64 * MIB);
			break;
		case SPARSE:
			size = 1 + any() % 0x10000;
			gap = any() % (1ull << 50);
			break;
		case CLUSTERS:
			size = 1 + any() % 0x1000;
			gap = i % 16 ? any() % 2 : 1ull << 52;
			break;
		case ENDS:
			/* all but one at the one end, or at the other */
			size = 1;
			gap = i == n / 3 ? UINT64_MAX - 2 * n : 0;
			if (i == n - 1)
				at = UINT64_MAX - gap;
			break;
		}
		at += gap;
		regions[i] = region_at(at, UINT64_MAX - at - (size - 1), size);
		at += size;
	}
	for (i = n; i > 1; i--) {
		unsigned int j = (unsigned int)(any() % i);
		struct guest_region *r = regions[j];

		regions[j] = regions[i - 1];
		regions[i - 1] = r;
	}
	return n;
}

START_TEST(any_distribution_of_regions_is_looked_up_rightly)
{
	static const unsigned int counts[] = { 1, 2, 3, 8, 64, 508, 509 };
	static struct guest_region *regions[509];
	unsigned int c, i, n;

	seed = 1 + (uint64_t)_i;
	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		struct guest_map *map = NULL;
		const char *why = "";
		int r;

		n = lay_out(_i, counts[c], regions);
		r = guest_map_new(regions, n, &map, &why);
		ck_assert_msg(r == 0, "%d: %s", r, why);
		n_unmapped = 0;
		for (i = 0; i < n; i++) {
			uint64_t at[] = { regions[i]->guest, regions[i]->user };
			unsigned int j;

			for (j = 0; j < 2; j++) {
				check_look_up(map, regions, at[j] - 1);
				check_look_up(map, regions, at[j]);
				check_look_up(map, regions, at[j] + regions[i]->size / 2);
				check_look_up(map, regions, at[j] + (regions[i]->size - 1));
				check_look_up(map, regions, at[j] + regions[i]->size);
			}
		}
		for (i = 0; i < 2000; i++)
			check_look_up(map, regions, any() >> (any() % 64));
		check_look_up(map, regions, 0);
		check_look_up(map, regions, UINT64_MAX);
		for (i = 0; i < n; i++)
			guest_region_unref(regions[i]);
		ck_assert_uint_eq(n_unmapped, 0);
		guest_map_unref(map);
		ck_assert_uint_eq(n_unmapped, n);
	}
}
END_TEST

START_TEST(the_two_ends_of_the_address_space_make_a_map)
{
	struct guest_region *regions[3] = {
		region_at(0, 1ull << 63, 1),
		region_at(1ull << 63, 0, 1),
		region_at(UINT64_MAX, UINT64_MAX, 1),
	};
	struct guest_map *map = NULL;
	const char *why;
	unsigned int i;

	ck_assert_int_eq(guest_map_new(regions, 3, &map, &why), 0);
	ck_assert_uint_le(map->by_guest.n_start, 1024);
	for (i = 0; i < 64; i++) {
		check_look_up(map, regions, 1ull << i);
		check_look_up(map, regions, (1ull << i) - 1);
		check_look_up(map, regions, (1ull << i) + 1);
		check_look_up(map, regions, UINT64_MAX - (1ull << i));
	}
	guest_map_unref(map);
	for (i = 0; i < 3; i++)
		guest_region_unref(regions[i]);
}
END_TEST

START_TEST(the_first_look_finds_it_whatever_the_number_of_regions)
{
	static const unsigned int counts[] = { 1, 8, 64, 509 };
	static struct guest_region *regions[509];
	unsigned int n = lay_out(DENSE, counts[_i], regions), i;
	const struct guest_index *index;
	struct guest_map *map = NULL;
	const char *why;

	ck_assert_int_eq(guest_map_new(regions, n, &map, &why), 0);
	index = &map->by_guest;
	for (i = 0; i < n * 16; i++) {
		uint64_t addr = index->base + i * 16 * MIB;
		const struct guest_span *first = &index->spans[
			index->start[(addr - index->base) >> index->shift]];

		ck_assert_uint_le(addr - first->first, first->last - first->first);
	}
	guest_map_unref(map);
	for (i = 0; i < n; i++)
		guest_region_unref(regions[i]);
}
END_TEST

START_TEST(a_pointer_leads_back_to_its_guest_address)
{
	int fd = memfd_of(2 * MIB, 0);
	struct guest_region_desc descs[2] = {
		{ .guest = 5 * GIB, .size = MIB, .user = 0, .fd = fd },
		{ .guest = 0, .size = MIB, .user = GIB, .fd_offset = MIB, .fd = fd },
	};
	struct guest_region *regions[2] = { region_of(&descs[0]), region_of(&descs[1]) };
	struct guest_map *map = NULL;
	uint64_t guest, len;
	const char *why;

	ck_assert_int_eq(guest_map_new(regions, 2, &map, &why), 0);
	ck_assert(guest_map_to_guest(map, regions[0]->addr, &guest, &len));
	ck_assert_uint_eq(guest, 5 * GIB);
	ck_assert_uint_eq(len, MIB);
	ck_assert(guest_map_to_guest(map, regions[1]->addr + MIB - 1, &guest, &len));
	ck_assert_uint_eq(guest, MIB - 1);
	ck_assert_uint_eq(len, 1);
	ck_assert(!guest_map_to_guest(map, &guest, &guest, &len));
	ck_assert(!guest_map_to_guest(map, NULL, &guest, &len));
	guest_map_unref(map);
	guest_region_unref(regions[0]);
	guest_region_unref(regions[1]);
	close(fd);
}
END_TEST

START_TEST(a_mapper_may_give_the_same_memory_twice)
{
	struct guest_region *regions[2] = { region_at(0, 0, 0x1000), region_at(GIB, GIB, 0x2000) };
	uint8_t *addr = regions[0]->addr;
	struct guest_map *map = NULL;
	uint64_t guest, len;
	const char *why;

	ck_assert_int_eq(guest_map_new(regions, 2, &map, &why), 0);
	ck_assert(guest_map_to_guest(map, addr + 0x1fff, &guest, &len));
	ck_assert_uint_eq(guest, GIB + 0x1fff);
	ck_assert_uint_eq(len, 1);
	ck_assert(guest_map_to_guest(map, addr + 5, &guest, &len));
	ck_assert(guest == 5 || guest == GIB + 5);
	ck_assert(!guest_map_to_guest(map, addr + 0x2000, &guest, &len));
	ck_assert(!guest_map_to_guest(map, addr - 1, &guest, &len));
	guest_map_unref(map);
	guest_region_unref(regions[0]);
	guest_region_unref(regions[1]);
}
END_TEST

START_TEST(f27_what_is_removed_stays_mapped_until_its_last_user_has_gone)
{
	int fd = memfd_of(MIB, 0);
	struct guest_region_desc desc = { .size = MIB, .fd = fd };
	struct guest_region *region = region_of(&desc);
	struct guest_map *old = NULL, *new = NULL;
	const char *why;
	uint8_t *addr = region->addr;
	struct leak mapped;

	ck_assert_int_eq(guest_map_new(&region, 1, &old, &why), 0);
	ck_assert_int_eq(guest_map_new(NULL, 0, &new, &why), 0);
	guest_region_unref(region);
	guest_map_ref(old);
	guest_map_unref(old);
	mapped = leak_begin();
	addr[4711] = 1;
	guest_map_unref(old);
	ck_assert_int_eq(leak_begin().maps, mapped.maps - 1);
	ck_assert_int_eq(leak_begin().fds, mapped.fds - 1);
	guest_map_unref(new);
	close(fd);
}
END_TEST

START_TEST(f12_maps_made_again_and_again_leave_nothing)
{
	int fd = memfd_of(MIB, 0);
	struct guest_region_desc desc = { .size = MIB, .fd = fd };
	struct guest_map *map = NULL;
	const char *why;
	unsigned int i;

	for (i = 0; i < 10000; i++) {
		struct guest_region *region = region_of(&desc);
		struct guest_map *new;

		ck_assert_int_eq(guest_map_new(&region, 1, &new, &why), 0);
		guest_region_unref(region);
		guest_map_unref(map);
		map = new;
	}
	guest_map_unref(map);
	close(fd);
}
END_TEST

/* --------------------------------------------------------------------- threads */

#define N_READERS 2u

static struct {
	pthread_mutex_t lock;
	struct guest_map *map;
	bool stop;		/* atomic */
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* What a ring does: take a reference, translate, use it, drop it. */
static void *reader(void *arg)
{
	uint64_t *wrong = arg;
	unsigned int i;

	while (!__atomic_load_n(&shared.stop, __ATOMIC_RELAXED)) {
		struct guest_map *map;

		pthread_mutex_lock(&shared.lock);
		map = guest_map_ref(shared.map);
		pthread_mutex_unlock(&shared.lock);
		for (i = 0; i < 64; i++) {
			uint64_t addr = i * 0x4000;
			const struct guest_span *s = guest_index_find(&map->by_guest, map->n, addr);

			/* each page has its number */
			*wrong += !s || __atomic_load_n(s->addr + (addr - s->first),
							__ATOMIC_RELAXED) != i;
		}
		guest_map_unref(map);
	}
	return NULL;
}

START_TEST(f28_f32_maps_are_swapped_while_threads_translate_and_read)
{
	int fd = memfd_of(MIB, 0);
	struct guest_region *regions[4] = { NULL };
	uint64_t wrong[N_READERS] = { 0 };
	pthread_t threads[N_READERS];
	time_t start = time(NULL);	/* a busy machine does fewer rounds */
	unsigned int i, round;
	const char *why;

	for (i = 0; i < 64; i++)
		ck_assert_int_eq(pwrite(fd, &(uint8_t){ (uint8_t)i }, 1, i * 0x4000), 1);
	for (round = 0; round < 2000 && time(NULL) < start + 5; round++) {
		unsigned int which = round % 4;
		struct guest_map *map = NULL, *old;

		/* one region of four is new each time, the others stay */
		for (i = 0; i < 4; i++) {
			struct guest_region_desc desc = {
				.guest = i * MIB / 4, .size = MIB / 4, .user = i * MIB / 4,
				.fd_offset = i * MIB / 4, .fd = fd,
			};

			if (regions[i] && i != which)
				continue;
			guest_region_unref(regions[i]);
			regions[i] = region_of(&desc);
		}
		ck_assert_int_eq(guest_map_new(regions, 4, &map, &why), 0);
		pthread_mutex_lock(&shared.lock);
		old = shared.map;
		shared.map = map;
		pthread_mutex_unlock(&shared.lock);
		guest_map_unref(old);
		for (i = 0; round == 0 && i < N_READERS; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, reader, &wrong[i]), 0);
	}
	__atomic_store_n(&shared.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < N_READERS; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_uint_eq(wrong[i], 0);
	}
	guest_map_unref(shared.map);
	for (i = 0; i < 4; i++)
		guest_region_unref(regions[i]);
	close(fd);
}
END_TEST

/* ---------------------------------------------------------------------- SIGBUS */

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!guest_handle_sigbus(info->si_addr)) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

static void contain_sigbus(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	ck_assert_int_eq(sigaction(SIGBUS, &sa, NULL), 0);
}

static uint8_t touch(const uint8_t *p)
{
	return *(const volatile uint8_t *)p;
}

START_TEST(f29_a_file_cut_short_becomes_empty_memory)
{
	int fd = memfd_of(8 * page, 0), whole = memfd_of(page, 0);
	struct guest_region_desc descs[2] = {
		{ .size = 8 * page - 100, .fd_offset = 100, .fd = fd },
		{ .guest = GIB, .size = page, .user = GIB, .fd = whole },
	};
	struct guest_region *regions[2] = { region_of(&descs[0]), region_of(&descs[1]) };
	uint32_t faults = guest_faults_count();
	struct guest_map *map = NULL;
	const char *why;
	uint8_t *addr = regions[0]->addr;

	contain_sigbus();
	ck_assert_int_eq(guest_map_new(regions, 2, &map, &why), 0);
	ck_assert(!guest_map_is_dead(map));
	memset(addr, 0x77, 8 * page - 100);
	memset(regions[1]->addr, 0x55, page);
	ck_assert_int_eq(ftruncate(fd, (off_t)(2 * page)), 0);
	errno = 4711;
	ck_assert_uint_eq(touch(addr + 4 * page), 0);
	ck_assert_int_eq(errno, 4711);
	ck_assert(guest_map_is_dead(map));
	ck_assert_uint_eq(__atomic_load_n(regions[0]->dead, __ATOMIC_RELAXED), 1);
	ck_assert_uint_eq(__atomic_load_n(regions[1]->dead, __ATOMIC_RELAXED), 0);
	ck_assert_uint_eq(guest_faults_count(), faults + 1);
	/* to the region's end it is there, and can be written */
	memset(addr + 4 * page, 1, 4 * page - 100);
	ck_assert_uint_eq(guest_faults_count(), faults + 1);
	/* and before, what the file still has; the page between faults for itself */
	ck_assert_uint_eq(touch(addr), 0x77);
	ck_assert_uint_eq(touch(addr + 3 * page), 0);
	ck_assert_uint_eq(guest_faults_count(), faults + 2);
	/* a neighbour is left alone */
	ck_assert_uint_eq(touch(regions[1]->addr + page - 1), 0x55);
	guest_map_unref(map);
	guest_region_unref(regions[0]);
	guest_region_unref(regions[1]);
	close(fd);
	close(whole);
}
END_TEST

START_TEST(f29_faults_elsewhere_are_not_ours)
{
	int fd = memfd_of(page, 0);
	struct guest_region_desc desc = { .size = page, .fd = fd };
	struct guest_region *region = region_of(&desc);
	uint8_t *addr = region->addr;

	ck_assert_int_eq(guest_handle_sigbus(NULL), 0);
	ck_assert_int_eq(guest_handle_sigbus(&desc), 0);
	ck_assert_int_eq(guest_handle_sigbus(addr - 1), 0);
	ck_assert_int_eq(guest_handle_sigbus(addr + page), 0);
	ck_assert_int_eq(guest_handle_sigbus((void *)UINTPTR_MAX), 0);
	guest_region_unref(region);
	ck_assert_int_eq(guest_handle_sigbus(addr), 0);
	close(fd);
}
END_TEST

START_TEST(f29_the_log_and_the_inflight_record_are_contained_as_well)
{
	int fd = memfd_of(4 * page, 0);
	struct inflight_area *area = NULL;
	struct dirty_log *log = NULL;
	const char *why;

	contain_sigbus();
	ck_assert_int_eq(dirty_log_new(fd, 0, 4 * page, &log, &why), 0);
	ck_assert_int_eq(inflight_area_open(fd, 4 * page, 0, 1, 16, false, &area, &why), 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	dirty_log_mark(log, 0, 1);
	ck_assert_uint_eq(__atomic_load_n(log->dead, __ATOMIC_RELAXED), 1);
	ck_assert_uint_eq(touch(inflight_area_queue(area, 0)), 0);
	ck_assert_uint_eq(__atomic_load_n(area->dead, __ATOMIC_RELAXED), 1);
	dirty_log_unref(log);
	inflight_area_unref(area);
	close(fd);
}
END_TEST

START_TEST(f29_huge_pages_that_are_not_there_are_contained)
{
	int fd = memfd_create("check-guest", MFD_CLOEXEC | MFD_HUGETLB);
	struct guest_region_desc desc = { .size = page, .fd = fd };
	struct guest_region *region;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_blksize <= (long)page) {
		close_fd(&fd);
		return;
	}
	contain_sigbus();
	ck_assert_int_eq(ftruncate(fd, 2 * st.st_blksize), 0);
	desc.size = 2 * (uint64_t)st.st_blksize;
	region = region_of(&desc);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_uint_eq(touch(region->addr + st.st_blksize + 5), 0);
	ck_assert_uint_eq(touch(region->addr + 5), 0);
	ck_assert_uint_eq(__atomic_load_n(region->dead, __ATOMIC_RELAXED), 1);
	guest_region_unref(region);
	close(fd);
}
END_TEST

START_TEST(f29_more_mappings_than_one_block_of_slots)
{
	static struct guest_region *regions[300];
	int fd = memfd_of(page, 0);
	struct guest_region_desc desc = { .size = page, .fd = fd };
	unsigned int i, round;

	contain_sigbus();
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(regions); i++)
			regions[i] = region_of(&desc);
		ck_assert_int_eq(ftruncate(fd, 0), 0);
		for (i = 0; i < ARRAY_SIZE(regions); i += 7) {
			ck_assert_uint_eq(touch(regions[i]->addr), 0);
			ck_assert_uint_eq(*regions[i]->dead, 1);
		}
		ck_assert_uint_eq(*regions[1]->dead, 0);
		ck_assert_int_eq(ftruncate(fd, (off_t)page), 0);
		for (i = 0; i < ARRAY_SIZE(regions); i++)
			guest_region_unref(regions[i]);
	}
	close(fd);
}
END_TEST

static uintptr_t published;	/* atomic */

/* A thread that gets faults without end, at the address where a region was just now. */
static void *handler(void *arg)
{
	uint64_t *contained = arg;

	while (!__atomic_load_n(&shared.stop, __ATOMIC_RELAXED)) {
		uintptr_t addr = __atomic_load_n(&published, __ATOMIC_RELAXED);

		*contained += (uint64_t)guest_handle_sigbus((void *)addr);
	}
	return NULL;
}

START_TEST(f29_a_handler_never_maps_over_what_is_no_longer_a_region)
{
	int fd = memfd_of(page, 0);
	struct guest_region_desc desc = { .size = page, .fd = fd };
	uint64_t contained = 0;
	time_t start = time(NULL);	/* a busy machine does fewer rounds */
	pthread_t thread;
	unsigned int i, taken = 0, wrong = 0;

	ck_assert_int_eq(pthread_create(&thread, NULL, handler, &contained), 0);
	for (i = 0; i < 5000 && time(NULL) < start + 5; i++) {
		struct guest_region *region = region_of(&desc);
		uint8_t *addr = region->addr, *other;
		unsigned int n;

		__atomic_store_n(&published, (uintptr_t)addr, __ATOMIC_RELAXED);
		for (n = i % 64; n; n--)
			__atomic_load_n(&published, __ATOMIC_SEQ_CST);
		guest_region_unref(region);
		/* somebody else's memory, at the same place: nothing is left there */
		other = mmap(addr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ck_assert_ptr_ne(other, MAP_FAILED);
		taken += other != addr;
		*(volatile uint8_t *)other = 0x42;
		for (n = 0; n < 100; n++)
			wrong += touch(other) != 0x42;
		munmap(other, page);
	}
	__atomic_store_n(&shared.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(taken, 0);
	/* it did get at some while they were regions */
	ck_assert_uint_gt(contained, 0);
	close(fd);
}
END_TEST

/* ------------------------------------------------------------------- dirty log */

static struct dirty_log *log_of(int fd, uint64_t offset, uint64_t size)
{
	struct dirty_log *log = NULL;
	const char *why = "";
	int r = dirty_log_new(fd, offset, size, &log, &why);

	ck_assert_msg(r == 0, "%d: %s", r, why);
	return log;
}

START_TEST(f30_a_log_that_cannot_be_is_refused)
{
	static const struct {
		uint64_t offset, size;
	} wrong[] = {
		{ 0, 0 }, { 8, 0 }, { 0, 0x10001 }, { 1, 0x10000 }, { 0x10000, 1 },
		{ UINT64_MAX, 1 }, { UINT64_MAX, 2 }, { 1, UINT64_MAX }, { 0, UINT64_MAX },
		{ 0, 1ull << 63 }, { 1ull << 63, 1ull << 63 }, { 0, 1ull << 32 },
	};
	int fd = memfd_of(0x10000, 0);
	struct dirty_log *log = NULL;
	const char *why;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		why = NULL;
		ck_assert_int_eq(dirty_log_new(fd, wrong[i].offset, wrong[i].size, &log, &why),
				 -EINVAL);
		ck_assert_ptr_nonnull(why);
		ck_assert_ptr_null(log);
	}
	close(fd);
}
END_TEST

START_TEST(f53_the_offset_of_a_log_counts_once)
{
	static const uint64_t offsets[] = { 0, 1, 0x234, 0x1000, 0x1001, 0x5fff };
	int fd = memfd_of(0x10000, 0);
	struct dirty_log *log = log_of(fd, offsets[_i], 0x100);
	static uint8_t bytes[0x10000], expected[0x10000];

	/* page 0x123: bit 3 of byte 0x24 */
	dirty_log_mark(log, 0x123456, 1);
	expected[offsets[_i] + 0x24] = 1u << 3;
	ck_assert_int_eq(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	ck_assert_int_eq(memcmp(bytes, expected, sizeof(bytes)), 0);
	dirty_log_unref(log);
	close(fd);
}
END_TEST
#define N_LOG_OFFSETS 6

#define MODEL_PAGES 4096u

START_TEST(f31_every_page_of_a_range_is_marked_and_no_other)
{
	int fd = memfd_of(MODEL_PAGES / 8, 0);
	struct dirty_log *log = log_of(fd, 0, MODEL_PAGES / 8);
	static uint8_t model[MODEL_PAGES / 8];
	unsigned int i, p;

	seed = 31;
	for (i = 0; i < 2000; i++) {
		uint64_t guest = any() % (MODEL_PAGES * 0x1000ull);
		uint64_t len = any() % 3 ? any() % 0x3000 : any() % 0x40000;

		if (guest + len > MODEL_PAGES * 0x1000ull)
			len = MODEL_PAGES * 0x1000ull - guest;
		/* the front-end takes marks away now and then */
		if (i % 16 == 0) {
			memset(log->bits, 0, log->size);
			memset(model, 0, sizeof(model));
		}
		dirty_log_mark(log, guest, len);
		for (p = 0; p < MODEL_PAGES; p++)
			if (len && p >= guest >> 12 && p <= (guest + len - 1) >> 12)
				model[p / 8] |= (uint8_t)(1 << p % 8);
		ck_assert_int_eq(memcmp(log->bits, model, sizeof(model)), 0);
	}
	ck_assert_uint_eq(log->dropped, 0);
	dirty_log_unref(log);
	close(fd);
}
END_TEST

START_TEST(f31_nothing_written_marks_nothing)
{
	int fd = memfd_of(0x1000, 0);
	struct dirty_log *log = log_of(fd, 0, 0x1000);
	static const uint8_t none[0x1000];

	dirty_log_mark(log, 0, 0);
	dirty_log_mark(log, 0x1234, 0);
	dirty_log_mark(log, UINT64_MAX, 0);
	ck_assert_int_eq(memcmp(log->bits, none, sizeof(none)), 0);
	ck_assert_uint_eq(log->dropped, 0);
	dirty_log_unref(log);
	close(fd);
}
END_TEST

START_TEST(f30_f31_pages_beyond_the_end_are_dropped_and_counted)
{
	/* 128 pages in 16 bytes, and bytes of another's around them */
	int fd = memfd_of(48, 0);
	struct dirty_log *log = log_of(fd, 16, 16);
	uint8_t bytes[48];
	unsigned int i;

	ck_assert_uint_eq(log->dropped, 0);
	dirty_log_mark(log, 128 << 12, 1);
	ck_assert_uint_eq(log->dropped, 1);
	dirty_log_mark(log, 127 << 12, 0x3000);
	ck_assert_uint_eq(log->dropped, 3);
	dirty_log_mark(log, UINT64_MAX, 1);
	ck_assert_uint_eq(log->dropped, 4);
	/* 4 GiB; and more than there is */
	dirty_log_mark(log, 0, 1ull << 32);
	ck_assert_uint_eq(log->dropped, 4 + (1u << 20) - 128);
	log->dropped = 0;
	dirty_log_mark(log, 0, UINT64_MAX);
	ck_assert_uint_eq(log->dropped, (1ull << 52) - 128);
	log->dropped = 0;
	dirty_log_mark(log, 0x1000, UINT64_MAX);
	ck_assert_uint_eq(log->dropped, (1ull << 52) - 128);
	ck_assert_int_eq(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	for (i = 0; i < sizeof(bytes); i++)
		ck_assert_uint_eq(bytes[i], i >= 16 && i < 32 ? 0xff : 0);
	dirty_log_unref(log);
	close(fd);
}
END_TEST

START_TEST(a_page_that_is_marked_is_not_written_again)
{
	int fd = memfd_of(page, 0);
	struct dirty_log *log = log_of(fd, 0, page);

	dirty_log_mark(log, 0x5000, 0x20000);
	/* a store, or a locked OR of a bit that is set, would end the test here */
	ck_assert_int_eq(mprotect(log->map, log->map_len, PROT_READ), 0);
	dirty_log_mark(log, 0x5000, 0x20000);
	dirty_log_mark(log, 0x6fff, 2);
	dirty_log_unref(log);
	close(fd);
}
END_TEST

/* A migration in small: data, its copy, and who copies what is marked. */
#define COPY_PAGES 64u

static uint32_t data[COPY_PAGES], copy[COPY_PAGES];	/* a word of each page; atomic */

static void copy_marked(struct dirty_log *log)
{
	unsigned int byte, bit;

	for (byte = 0; byte < COPY_PAGES / 8; byte++) {
		uint8_t bits = __atomic_exchange_n(&log->bits[byte], 0, __ATOMIC_SEQ_CST);

		for (bit = 0; bit < 8; bit++)
			if (bits >> bit & 1)
				copy[byte * 8 + bit] = __atomic_load_n(&data[byte * 8 + bit],
								       __ATOMIC_RELAXED);
	}
}

static unsigned int written, copied;	/* rounds; atomic */

static void *copier(void *arg)
{
	while (!__atomic_load_n(&shared.stop, __ATOMIC_RELAXED)) {
		unsigned int round = __atomic_load_n(&written, __ATOMIC_ACQUIRE);

		copy_marked(arg);
		__atomic_store_n(&copied, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Rings of two threads: one writes the even pages, one the odd ones, of the same bytes. */
static void write_pages(struct dirty_log *log, unsigned int p, uint32_t round)
{
	for (; p < COPY_PAGES; p += 2) {
		__atomic_store_n(&data[p], round, __ATOMIC_RELAXED);
		__sync_synchronize();
		dirty_log_mark(log, (uint64_t)p << 12, 4);
	}
}

static unsigned int begun, ended;	/* rounds; atomic */

static void *writer(void *arg)
{
	unsigned int round, last = 0;

	while (!__atomic_load_n(&shared.stop, __ATOMIC_RELAXED)) {
		round = __atomic_load_n(&begun, __ATOMIC_ACQUIRE);
		if (round == last) {
			sched_yield();
			continue;
		}
		last = round;
		write_pages(arg, 1, round);
		__atomic_store_n(&ended, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void wait_for(const unsigned int *round, unsigned int n)
{
	while (__atomic_load_n(round, __ATOMIC_ACQUIRE) != n)
		sched_yield();
}

START_TEST(f31_no_mark_is_lost_while_the_front_end_takes_them_away)
{
	int fd = memfd_of(COPY_PAGES / 8, 0);
	struct dirty_log *log = log_of(fd, 0, COPY_PAGES / 8);
	unsigned int i, wrong = 0;
	time_t start = time(NULL);	/* a busy machine does fewer rounds */
	pthread_t threads[2];

	ck_assert_int_eq(pthread_create(&threads[0], NULL, copier, log), 0);
	ck_assert_int_eq(pthread_create(&threads[1], NULL, writer, log), 0);
	/* each page once, then a look at the copy: what was lost is not made good later */
	for (i = 1; i <= 3000 && time(NULL) < start + 5; i++) {
		__atomic_store_n(&begun, i, __ATOMIC_RELEASE);
		write_pages(log, 0, i);
		wait_for(&ended, i);
		__atomic_store_n(&written, i, __ATOMIC_RELEASE);
		wait_for(&copied, i);
		wrong += memcmp(data, copy, sizeof(data)) != 0;
	}
	__atomic_store_n(&shared.stop, true, __ATOMIC_RELAXED);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	ck_assert_uint_eq(wrong, 0);
	dirty_log_unref(log);
	close(fd);
}
END_TEST

/* ----------------------------------------------------------------------- IOTLB */

/* The whole table in order, apart, and within its bound. */
static void check_table(const struct iotlb *t)
{
	unsigned int i, wrong = 0;

	ck_assert_uint_le(t->n, IOTLB_MAX);
	for (i = 0; i < t->n; i++)
		wrong += t->entries[i].first > t->entries[i].last ||
			 (i && t->entries[i].first <= t->entries[i - 1].last);
	ck_assert_uint_eq(wrong, 0);
}

START_TEST(f37_a_translation_that_cannot_be_is_refused)
{
	struct iotlb t = { 0 };

	ck_assert_int_eq(iotlb_add(&t, 1, 0, 0, 3), -EINVAL);
	ck_assert_int_eq(iotlb_add(&t, 0, 1, UINT64_MAX, 3), -EINVAL);
	ck_assert_int_eq(iotlb_add(&t, 0, 1, 0, 0), -EINVAL);
	ck_assert_int_eq(iotlb_add(&t, 0, 1, 0, 4), -EINVAL);
	ck_assert_int_eq(iotlb_add(&t, 0, UINT64_MAX, 1, 1), -EINVAL);
	ck_assert_uint_eq(t.n, 0);
	ck_assert_uint_eq(t.generation, 0);
	ck_assert_ptr_null(iotlb_find(&t, 0));
	iotlb_remove(&t, 0, UINT64_MAX);
	iotlb_remove(&t, 1, 0);
	iotlb_clear(&t);
}
END_TEST

START_TEST(all_of_the_address_space_is_one_translation)
{
	struct iotlb t = { 0 };
	const struct iotlb_entry *e;

	ck_assert_int_eq(iotlb_add(&t, 0, UINT64_MAX, 0, VHOST_IOTLB_PERM_READ), 0);
	ck_assert_ptr_nonnull(iotlb_find(&t, 0));
	ck_assert_ptr_nonnull(iotlb_find(&t, UINT64_MAX));
	/* a hole in the middle, and one at either end */
	iotlb_remove(&t, 1ull << 63, 1ull << 63);
	ck_assert_uint_eq(t.n, 2);
	ck_assert_ptr_null(iotlb_find(&t, 1ull << 63));
	e = iotlb_find(&t, UINT64_MAX);
	ck_assert_uint_eq(e->first, (1ull << 63) + 1);
	ck_assert_uint_eq(e->user, (1ull << 63) + 1);
	iotlb_remove(&t, 0, 0);
	iotlb_remove(&t, UINT64_MAX, UINT64_MAX);
	ck_assert_ptr_null(iotlb_find(&t, 0));
	ck_assert_ptr_null(iotlb_find(&t, UINT64_MAX));
	ck_assert_uint_eq(iotlb_find(&t, 1)->user, 1);
	iotlb_clear(&t);
}
END_TEST

#define IOVAS 64u

START_TEST(f37_updates_that_overlap_replace_what_they_overlap)
{
	struct {
		uint64_t user;
		uint32_t perm;
	} model[IOVAS] = { { 0, 0 } };
	struct iotlb t = { 0 };
	unsigned int i, a, wrong;

	seed = 37;
	for (i = 0; i < 5000; i++) {
		uint64_t first = any() % IOVAS, last = first + any() % (IOVAS - first);
		uint64_t user = any() >> 8, generation = t.generation;
		uint32_t perm = any() % 4;
		bool had = false;

		for (a = (unsigned int)first; a <= last; a++) {
			had = had || model[a].perm;
			model[a].perm = perm;
			model[a].user = user + (a - first);
		}
		if (perm)
			ck_assert_int_eq(iotlb_add(&t, first, last, user, perm), 0);
		else
			iotlb_remove(&t, first, last);
		ck_assert_int_eq(t.generation != generation, perm || had);
		check_table(&t);
		/* an assertion for all: libcheck writes a line for each */
		for (a = 0, wrong = 0; a < IOVAS; a++) {
			const struct iotlb_entry *e = iotlb_find(&t, a);

			wrong += (e ? e->perm : 0) != model[a].perm ||
				 (e && e->user + (a - e->first) != model[a].user);
		}
		ck_assert_uint_eq(wrong, 0);
		ck_assert_ptr_null(iotlb_find(&t, IOVAS));
	}
	iotlb_clear(&t);
	ck_assert_uint_eq(t.n, 0);
	ck_assert_ptr_null(iotlb_find(&t, 0));
}
END_TEST

START_TEST(f37_when_it_is_full_the_oldest_goes)
{
	struct iotlb t = { 0 };
	unsigned int i, wrong = 0, n = 2 * IOTLB_MAX + 100;

	/* all over the place, no two at one */
	for (i = 0; i < n; i++) {
		uint64_t iova = ((uint64_t)i * 7919 % n) << 12;

		wrong += iotlb_add(&t, iova, iova + 0xfff, iova, 3) != 0 || t.n > IOTLB_MAX ||
			 !iotlb_find(&t, iova);
	}
	ck_assert_uint_eq(wrong, 0);
	check_table(&t);
	ck_assert_uint_eq(t.n, IOTLB_MAX);
	for (i = 0; i < n; i++) {
		uint64_t iova = ((uint64_t)i * 7919 % n) << 12;

		wrong += !iotlb_find(&t, iova) != (i < n - IOTLB_MAX);
	}
	ck_assert_uint_eq(wrong, 0);
	/* what splits an entry in a full table needs one more, too */
	iotlb_remove(&t, t.entries[7].first + 1, t.entries[7].first + 1);
	ck_assert_uint_eq(t.n, IOTLB_MAX);
	ck_assert_int_eq(iotlb_add(&t, t.entries[9].first + 1, t.entries[9].first + 1, 0, 1), 0);
	ck_assert_uint_eq(t.n, IOTLB_MAX);
	check_table(&t);
	iotlb_clear(&t);
}
END_TEST

/* -------------------------------------------------------------------- inflight */

START_TEST(the_record_is_laid_out_as_vhost_user_has_it)
{
	ck_assert_uint_eq(offsetof(struct inflight_split, version), 8);
	ck_assert_uint_eq(offsetof(struct inflight_split, desc_num), 10);
	ck_assert_uint_eq(offsetof(struct inflight_split, last_batch_head), 12);
	ck_assert_uint_eq(offsetof(struct inflight_split, used_idx), 14);
	ck_assert_uint_eq(offsetof(struct inflight_split, desc), 16);
	ck_assert_uint_eq(offsetof(struct inflight_split_desc, next), 6);
	ck_assert_uint_eq(offsetof(struct inflight_split_desc, counter), 8);
	ck_assert_uint_eq(offsetof(struct inflight_packed, free_head), 12);
	ck_assert_uint_eq(offsetof(struct inflight_packed, old_free_head), 14);
	ck_assert_uint_eq(offsetof(struct inflight_packed, used_idx), 16);
	ck_assert_uint_eq(offsetof(struct inflight_packed, old_used_idx), 18);
	ck_assert_uint_eq(offsetof(struct inflight_packed, used_wrap_counter), 20);
	ck_assert_uint_eq(offsetof(struct inflight_packed, old_used_wrap_counter), 21);
	ck_assert_uint_eq(offsetof(struct inflight_packed, desc), 32);
	ck_assert_uint_eq(offsetof(struct inflight_packed_desc, next), 2);
	ck_assert_uint_eq(offsetof(struct inflight_packed_desc, last), 4);
	ck_assert_uint_eq(offsetof(struct inflight_packed_desc, num), 6);
	ck_assert_uint_eq(offsetof(struct inflight_packed_desc, counter), 8);
	ck_assert_uint_eq(offsetof(struct inflight_packed_desc, id), 16);
	ck_assert_uint_eq(offsetof(struct inflight_packed_desc, flags), 18);
	ck_assert_uint_eq(offsetof(struct inflight_packed_desc, len), 20);
	ck_assert_uint_eq(offsetof(struct inflight_packed_desc, addr), 24);
	ck_assert_uint_eq(inflight_stride(1, false), 64);
	ck_assert_uint_eq(inflight_stride(3, false), 64);
	ck_assert_uint_eq(inflight_stride(4, false), 128);
	ck_assert_uint_eq(inflight_stride(128, false), 16 + 128 * 16 + 48);
	ck_assert_uint_eq(inflight_stride(128, true), 32 + 128 * 32 + 32);
	ck_assert_uint_eq(inflight_stride(32768, true), 32 + 32768 * 32 + 32);
	ck_assert_uint_eq(inflight_stride(65535, true), 65536 * 32);
}
END_TEST

START_TEST(f33_numbers_out_of_range_make_no_record)
{
	static const struct {
		uint16_t num_queues, queue_size;
	} wrong[] = {
		{ 0, 128 }, { 257, 128 }, { 65535, 128 }, { 1, 0 }, { 1, 32769 }, { 1, 65535 },
		{ 65535, 65535 }, { 0, 0 },
	};
	struct inflight_area *area = NULL;
	int fd = memfd_of(GIB, 0), packed;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		for (packed = 0; packed < 2; packed++) {
			const char *why = NULL;

			ck_assert_int_eq(inflight_area_new(wrong[i].num_queues, wrong[i].queue_size,
							   packed, &area), -EINVAL);
			ck_assert_int_eq(inflight_area_open(fd, GIB, 0, wrong[i].num_queues,
							    wrong[i].queue_size, packed, &area,
							    &why), -EINVAL);
			ck_assert_ptr_nonnull(why);
			ck_assert_ptr_null(area);
		}
	close(fd);
}
END_TEST

START_TEST(f33_a_new_record_is_zeros_in_a_sealed_file_of_its_size)
{
	static const struct {
		uint16_t num_queues, queue_size;
	} good[] = { { 1, 1 }, { 2, 128 }, { 256, 32768 }, { 3, 100 } };
	struct inflight_area *area = NULL;
	unsigned int i, q, packed = _i & 1;
	struct stat st;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		uint64_t stride = inflight_stride(good[i].queue_size, packed);

		ck_assert_int_eq(inflight_area_new(good[i].num_queues, good[i].queue_size, packed,
						   &area), 0);
		ck_assert_int_eq(fcntl(area->fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW),
				 F_SEAL_SHRINK | F_SEAL_GROW);
		ck_assert_int_eq(fcntl(area->fd, F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(fstat(area->fd, &st), 0);
		ck_assert_uint_eq((uint64_t)st.st_size, area->size);
		ck_assert_uint_eq(area->size, good[i].num_queues * stride);
		ck_assert_uint_eq(area->offset, 0);
		ck_assert_uint_eq(area->num_queues, good[i].num_queues);
		ck_assert_uint_eq(area->queue_size, good[i].queue_size);
		for (q = 0; q < good[i].num_queues; q++)
			ck_assert_ptr_eq(inflight_area_queue(area, q), area->addr + q * stride);
		ck_assert_ptr_null(inflight_area_queue(area, q));
		ck_assert_ptr_null(inflight_area_queue(area, UINT32_MAX));
		/* all bytes are the first, which is 0; a MiB of them, or they take memory */
		ck_assert_uint_eq(area->addr[0], 0);
		ck_assert_int_eq(memcmp(area->addr, area->addr + 1,
					(area->size < MIB ? area->size : MIB) - 1), 0);
		/* the last byte that a queue may use */
		area->addr[area->size - 1] = 1;
		inflight_area_unref(area);
	}
	inflight_area_unref(NULL);
}
END_TEST

START_TEST(f33_records_made_again_and_again_leave_nothing)
{
	struct inflight_area *area;
	unsigned int i;

	for (i = 0; i < 10000; i++) {
		ck_assert_int_eq(inflight_area_new(2, 256, i & 1, &area), 0);
		inflight_area_ref(area);
		inflight_area_unref(area);
		inflight_area_unref(area);
	}
}
END_TEST

START_TEST(f34_a_record_that_cannot_be_is_refused)
{
	/* 2 queues of 128, split: 2 x 2112 bytes */
	static const struct {
		uint64_t size, offset;
	} wrong[] = {
		{ 0, 0 }, { 4223, 0 }, { 2112, 0 },	/* too small */
		{ 4224, 8192 - 4224 + 8 },		/* beyond the end of the file */
		{ 8193, 0 }, { 1ull << 32, 0 }, { 1ull << 63, 0 }, { UINT64_MAX, 0 },
		{ 4224, UINT64_MAX - 7 },		/* wraps */
		{ 4224, UINT64_MAX - 4223 }, { UINT64_MAX, 8 },
		{ 4224, 1 }, { 4224, 4 },		/* counters would not be aligned */
		{ (1ull << 32) + 4224, 0 }, { 4224, 1ull << 32 },
	};
	struct inflight_area *area = NULL;
	int fd = memfd_of(8192, 0);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		const char *why = NULL;

		ck_assert_int_eq(inflight_area_open(fd, wrong[i].size, wrong[i].offset, 2, 128,
						    false, &area, &why), -EINVAL);
		ck_assert_ptr_nonnull(why);
		ck_assert_ptr_null(area);
	}
	close(fd);
}
END_TEST

START_TEST(f34_f52_a_record_is_kept_and_given_back)
{
	struct inflight_area *area = NULL, *again = NULL;
	struct inflight_split *queue;
	const char *why;
	int fd;

	ck_assert_int_eq(inflight_area_new(2, 128, false, &area), 0);
	queue = inflight_area_queue(area, 1);
	queue->desc[127].counter = 0x1122334455667788;
	fd = dup(area->fd);
	inflight_area_unref(area);
	ck_assert_int_eq(inflight_area_open(fd, 4224, 0, 2, 128, false, &again, &why), 0);
	ck_assert_int_ne(again->fd, fd);
	queue = inflight_area_queue(again, 1);
	ck_assert_uint_eq(queue->desc[127].counter, 0x1122334455667788);
	inflight_area_unref(again);
	/* a larger queue finds no room in it */
	ck_assert_int_eq(inflight_area_open(fd, 4224, 0, 2, 256, false, &again, &why), -EINVAL);
	ck_assert_int_eq(inflight_area_open(fd, 4224, 0, 2, 128, true, &again, &why), -EINVAL);
	close(fd);
}
END_TEST

START_TEST(f54_a_record_may_lie_beyond_4_gib_of_its_file)
{
	int fd = memfd_of(5 * GIB, 0);
	struct inflight_area *area = NULL;
	uint16_t desc_num = 0;
	const char *why;

	ck_assert_int_eq(inflight_area_open(fd, 8192, 4 * GIB + 8, 2, 128, false, &area, &why), 0);
	((struct inflight_split *)inflight_area_queue(area, 0))->desc_num = 0x1234;
	ck_assert_int_eq(pread(fd, &desc_num, 2, (off_t)(4 * GIB + 8 + 10)), 2);
	ck_assert(desc_num == 0x1234 || leak_emulated());
	inflight_area_unref(area);
	close(fd);
}
END_TEST

static TCase *tcase(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	suite_add_tcase(s, tc);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("guest");
	TCase *tc = tcase(s, "regions");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, f25_a_region_that_cannot_be_is_refused, 0, N_WRONG);
	tcase_add_test(tc, f25_a_region_may_end_with_the_last_byte_of_all);
	tcase_add_loop_test(tc, f25_an_offset_and_a_size_need_not_be_whole_pages, 0, 7);
	tcase_add_test(tc, f25_files_of_huge_pages_are_mapped_and_unmapped_whole);
	tcase_add_test(tc, f54_sizes_and_offsets_beyond_32_bits_are_not_cut);
	tcase_add_loop_test(tc, f4_only_files_and_devices_can_be_memory, 0, N_KINDS);
	tcase_add_test(tc, f4_a_descriptor_that_is_none);
	tcase_add_test(tc, a_device_has_no_size_to_compare_with);
	tcase_add_test(tc, f29_where_seals_are_required_a_file_that_can_shrink_is_refused);
	tcase_add_test(tc, the_guests_memory_is_not_dumped_and_in_postcopy_has_no_huge_pages);
	tcase_add_test(tc, f27_a_region_is_itself_only_with_the_same_addresses_and_file);
	tcase_add_test(tc, f51_a_region_can_be_mapped_in_the_programs_own_way);

	tc = tcase(s, "maps");
	tcase_add_loop_test(tc, f26_regions_that_overlap_are_refused, 0, N_OVERLAPS);
	tcase_add_test(tc, f26_one_file_may_be_many_regions);
	tcase_add_test(tc, an_empty_map_is_a_map);
	tcase_add_loop_test(tc, any_distribution_of_regions_is_looked_up_rightly, 0,
			    N_DISTRIBUTIONS);
	tcase_add_test(tc, the_two_ends_of_the_address_space_make_a_map);
	tcase_add_loop_test(tc, the_first_look_finds_it_whatever_the_number_of_regions, 0, 4);
	tcase_add_test(tc, a_pointer_leads_back_to_its_guest_address);
	tcase_add_test(tc, a_mapper_may_give_the_same_memory_twice);
	tcase_add_test(tc, f27_what_is_removed_stays_mapped_until_its_last_user_has_gone);
	tcase_add_test(tc, f12_maps_made_again_and_again_leave_nothing);
	if (!under_valgrind())
		tcase_add_test(tc, f28_f32_maps_are_swapped_while_threads_translate_and_read);

	tc = tcase(s, "SIGBUS");
	tcase_add_test(tc, f29_faults_elsewhere_are_not_ours);
	/* qemu-user does not pass SIGBUS on */
	if (!leak_emulated() && !under_valgrind()) {
		tcase_add_test(tc, f29_a_file_cut_short_becomes_empty_memory);
		tcase_add_test(tc, f29_the_log_and_the_inflight_record_are_contained_as_well);
		tcase_add_test(tc, f29_huge_pages_that_are_not_there_are_contained);
		tcase_add_test(tc, f29_more_mappings_than_one_block_of_slots);
	}
	if (!under_valgrind())
		tcase_add_test(tc, f29_a_handler_never_maps_over_what_is_no_longer_a_region);

	tc = tcase(s, "dirty log");
	tcase_add_test(tc, f30_a_log_that_cannot_be_is_refused);
	tcase_add_loop_test(tc, f53_the_offset_of_a_log_counts_once, 0, N_LOG_OFFSETS);
	tcase_add_test(tc, f31_every_page_of_a_range_is_marked_and_no_other);
	tcase_add_test(tc, f31_nothing_written_marks_nothing);
	tcase_add_test(tc, f30_f31_pages_beyond_the_end_are_dropped_and_counted);
	tcase_add_test(tc, a_page_that_is_marked_is_not_written_again);
	if (!under_valgrind())
		tcase_add_test(tc, f31_no_mark_is_lost_while_the_front_end_takes_them_away);

	tc = tcase(s, "IOTLB");
	tcase_add_test(tc, f37_a_translation_that_cannot_be_is_refused);
	tcase_add_test(tc, all_of_the_address_space_is_one_translation);
	tcase_add_test(tc, f37_updates_that_overlap_replace_what_they_overlap);
	tcase_add_test(tc, f37_when_it_is_full_the_oldest_goes);

	tc = tcase(s, "inflight");
	tcase_add_test(tc, the_record_is_laid_out_as_vhost_user_has_it);
	tcase_add_test(tc, f33_numbers_out_of_range_make_no_record);
	tcase_add_loop_test(tc, f33_a_new_record_is_zeros_in_a_sealed_file_of_its_size, 0, 2);
	tcase_add_test(tc, f33_records_made_again_and_again_leave_nothing);
	tcase_add_test(tc, f34_a_record_that_cannot_be_is_refused);
	tcase_add_test(tc, f34_f52_a_record_is_kept_and_given_back);
	tcase_add_test(tc, f54_a_record_may_lie_beyond_4_gib_of_its_file);

	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
