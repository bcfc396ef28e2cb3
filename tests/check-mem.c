/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Shared memory and its allocator. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vhost/mem.h>

#include "leak.h"
#include "mem/alloc.h"

static vhost_mem_t *mem;
static struct leak leak;

static void setup(void)
{
	leak = leak_begin();
	ck_assert_int_eq(vhost_mem_new(1 << 20, 0, 0x100000, &mem), 0);
}

static void teardown(void)
{
	mem = vhost_mem_unref(mem);
	ck_assert_int_eq(leak_check(&leak), 0);
}

START_TEST(memory_is_a_sealed_memfd_mapped_shared_and_not_inherited)
{
	int fd = vhost_mem_fd(mem);
	unsigned char *other;

	ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 2 << 20), -1);
	other = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(other, MAP_FAILED);
	other[4711] = 0x5a;
	ck_assert_uint_eq(((unsigned char *)vhost_mem_addr(mem))[4711], 0x5a);
	munmap(other, 1 << 20);
}
END_TEST

START_TEST(size_is_rounded_up_to_pages)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	vhost_mem_t *m;

	ck_assert_int_eq(vhost_mem_new(1, 0, 0, &m), 0);
	ck_assert_uint_eq(vhost_mem_size(m), page);
	vhost_mem_unref(m);
	ck_assert_int_eq(vhost_mem_new(page + 1, 0, UINT64_MAX - 2 * page + 1, &m), 0);
	ck_assert_uint_eq(vhost_mem_size(m), 2 * page);
	vhost_mem_unref(m);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	vhost_mem_t *m = NULL;

	ck_assert_int_eq(vhost_mem_new(0, 0, 0, &m), -EINVAL);
	ck_assert_int_eq(vhost_mem_new(4096, 4, 0, &m), -EINVAL);
	ck_assert_int_eq(vhost_mem_new(4096, VHOST_MEM_HUGE_2M | VHOST_MEM_HUGE_1G, 0, &m), -EINVAL);
	ck_assert_int_eq(vhost_mem_new(4096, 0, 1, &m), -EINVAL);
	ck_assert_int_eq(vhost_mem_new(4096, VHOST_MEM_HUGE_2M, 4096, &m), -EINVAL);
	ck_assert_int_eq(vhost_mem_new(UINT64_MAX, 0, 0, &m), -EINVAL);
	ck_assert_int_eq(vhost_mem_new(1ull << 20, 0, UINT64_MAX - 65535, &m), -EINVAL);
	ck_assert_int_eq(vhost_mem_new(1ull << 63, 0, 0, &m), -ENOMEM);
	ck_assert_ptr_null(m);
}
END_TEST

START_TEST(huge_pages_work_or_are_refused_at_once)
{
	vhost_mem_t *m = NULL;
	int r = vhost_mem_new(1, VHOST_MEM_HUGE_2M, 1ull << 30, &m);

	if (r < 0) {
		ck_assert_msg(r == -ENOMEM || r == -ENODEV || r == -ENOSYS || r == -EINVAL, "%d", r);
		ck_assert_ptr_null(m);
		return;
	}
	ck_assert_uint_eq(vhost_mem_size(m), 2 << 20);
	memset(vhost_mem_addr(m), 1, 2 << 20);
	vhost_mem_unref(m);
}
END_TEST

START_TEST(translation_stays_inside)
{
	unsigned char *addr = vhost_mem_addr(mem);
	uint64_t size = vhost_mem_size(mem);

	ck_assert_uint_eq(vhost_mem_iova(mem), 0x100000);
	ck_assert_uint_eq(vhost_mem_to_iova(mem, addr), 0x100000);
	ck_assert_uint_eq(vhost_mem_to_iova(mem, addr + size - 1), 0x1fffff);
	ck_assert_uint_eq(vhost_mem_to_iova(mem, addr + size), UINT64_MAX);
	ck_assert_uint_eq(vhost_mem_to_iova(mem, (void *)((uintptr_t)addr - 1)), UINT64_MAX);
	ck_assert_uint_eq(vhost_mem_to_iova(mem, NULL), UINT64_MAX);
	ck_assert_ptr_eq(vhost_mem_from_iova(mem, 0x100000, size), addr);
	ck_assert_ptr_eq(vhost_mem_from_iova(mem, 0x1fffff, 1), addr + size - 1);
	ck_assert_ptr_eq(vhost_mem_from_iova(mem, 0x1fffff, 0), addr + size - 1);
	ck_assert_ptr_null(vhost_mem_from_iova(mem, 0x200000, 0));
	ck_assert_ptr_null(vhost_mem_from_iova(mem, 0x1fffff, 2));
	ck_assert_ptr_null(vhost_mem_from_iova(mem, 0xfffff, 2));
	ck_assert_ptr_null(vhost_mem_from_iova(mem, 0x100001, UINT64_MAX));
	ck_assert_ptr_null(vhost_mem_from_iova(mem, UINT64_MAX, 2));
}
END_TEST

START_TEST(describe_fills_what_the_caller_knows)
{
	struct { struct vhost_mem_desc desc; uint64_t more; } newer;
	struct vhost_mem_desc desc;

	memset(&newer, 0xff, sizeof(newer));
	vhost_mem_describe(mem, &newer.desc, sizeof(newer));
	ck_assert_uint_eq(newer.desc.iova, 0x100000);
	ck_assert_uint_eq(newer.desc.size, 1 << 20);
	ck_assert_ptr_eq(newer.desc.addr, vhost_mem_addr(mem));
	ck_assert_int_eq(newer.desc.fd, vhost_mem_fd(mem));
	ck_assert_uint_eq(newer.desc.flags, 0);
	ck_assert_uint_eq(newer.desc.fd_offset, 0);
	ck_assert_uint_eq(newer.more, 0);
	desc.size = 7;
	vhost_mem_describe(mem, &desc, 8);
	ck_assert_uint_eq(desc.iova, 0x100000);
	ck_assert_uint_eq(desc.size, 7);
}
END_TEST

START_TEST(pieces_are_aligned_zeroed_and_apart)
{
	unsigned char *a = vhost_mem_alloc(mem, 1, 0), *b = vhost_mem_alloc(mem, 100, 4096), *c;

	ck_assert_uint_eq((uintptr_t)a % 64, 0);
	ck_assert_uint_eq((uintptr_t)b % 4096, 0);
	ck_assert_uint_eq(vhost_mem_to_iova(mem, b) % 4096, 0);
	memset(b, 0xff, 128);
	vhost_mem_free(mem, b);
	c = vhost_mem_alloc(mem, 128, 4096);
	ck_assert_ptr_eq(c, b);
	ck_assert_uint_eq(c[0] | c[99] | c[127], 0);
	/* An alignment beyond the page size holds in the device's address space. */
	c = vhost_mem_alloc(mem, 64, 0x80000);
	ck_assert_uint_eq(vhost_mem_to_iova(mem, c) % 0x80000, 0);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
	ck_assert_ptr_null(vhost_mem_alloc(mem, 0, 0));
	ck_assert_ptr_null(vhost_mem_alloc(mem, 64, 3));
	ck_assert_ptr_null(vhost_mem_alloc(mem, (1 << 20) + 1, 0));
	ck_assert_ptr_null(vhost_mem_alloc(mem, SIZE_MAX, 0));
	ck_assert_ptr_null(vhost_mem_alloc(mem, SIZE_MAX - 63, 64));
	ck_assert_ptr_nonnull(vhost_mem_alloc(mem, 1 << 20, 0));
	ck_assert_ptr_null(vhost_mem_alloc(mem, 1, 0));
}
END_TEST

START_TEST(free_ignores_what_is_no_piece)
{
	unsigned char *a = vhost_mem_alloc(mem, 256, 0);
	unsigned int stretches;
	uint64_t left = vhost_mem_free_bytes(mem, &stretches);

	vhost_mem_free(mem, NULL);
	vhost_mem_free(mem, a + 64);
	vhost_mem_free(mem, &left);
	ck_assert_uint_eq(vhost_mem_free_bytes(mem, &stretches), left);
	vhost_mem_free(mem, a);
	vhost_mem_free(mem, a);
	ck_assert_uint_eq(vhost_mem_free_bytes(mem, &stretches), 1 << 20);
	ck_assert_uint_eq(stretches, 1);
}
END_TEST

START_TEST(random_use_never_overlaps_and_grows_together_again)
{
	struct { unsigned char *p; size_t size; } held[512] = { { NULL, 0 } };
	uint64_t rng = 88172645463325252ull + (unsigned int)_i, sum = 0;
	unsigned int round, i, stretches;

	for (round = 0; round < 20000; round++) {
		size_t size, align;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		i = (unsigned int)(rng >> 20) % ARRAY_SIZE(held);
		if (held[i].p) {
			/* Ours alone: what we wrote at its ends is still there. */
			if (held[i].p[0] != (i & 0xff) || held[i].p[held[i].size - 1] != (i & 0xff))
				ck_abort_msg("piece %u was overwritten", i);
			vhost_mem_free(mem, held[i].p);
			sum -= (held[i].size + 63) & ~(size_t)63;
			held[i].p = NULL;
			continue;
		}
		size = 1 + (size_t)(rng >> 40) % (rng & 1 ? 200 : 9000);
		align = (size_t)1 << ((rng >> 8) % 13);
		held[i].p = vhost_mem_alloc(mem, size, align);
		if (!held[i].p)
			continue;
		if ((uintptr_t)held[i].p % align || held[i].p[0] || held[i].p[size - 1])
			ck_abort_msg("piece %u is not aligned or not zero", i);
		held[i].size = size;
		memset(held[i].p, (int)(i & 0xff), size);
		sum += (size + 63) & ~(size_t)63;
		if (vhost_mem_free_bytes(mem, &stretches) + sum != 1 << 20)
			ck_abort_msg("bytes went missing");
	}
	for (i = 0; i < ARRAY_SIZE(held); i++)
		vhost_mem_free(mem, held[i].p);
	ck_assert_uint_eq(vhost_mem_free_bytes(mem, &stretches), 1 << 20);
	ck_assert_uint_eq(stretches, 1);
}
END_TEST

START_TEST(references_are_counted)
{
	ck_assert_ptr_eq(vhost_mem_ref(mem), mem);
	ck_assert_ptr_null(vhost_mem_unref(mem));
	ck_assert_ptr_nonnull(vhost_mem_alloc(mem, 64, 0));
	ck_assert_ptr_null(vhost_mem_unref(NULL));
	ck_assert_ptr_null(vhost_mem_ref(NULL));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mem");
	TCase *tc = tcase_create("mem");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, memory_is_a_sealed_memfd_mapped_shared_and_not_inherited);
	tcase_add_test(tc, size_is_rounded_up_to_pages);
	tcase_add_test(tc, what_cannot_be_is_refused);
	tcase_add_test(tc, huge_pages_work_or_are_refused_at_once);
	tcase_add_test(tc, translation_stays_inside);
	tcase_add_test(tc, describe_fills_what_the_caller_knows);
	tcase_add_test(tc, pieces_are_aligned_zeroed_and_apart);
	tcase_add_test(tc, what_does_not_fit_is_refused);
	tcase_add_test(tc, free_ignores_what_is_no_piece);
	tcase_add_loop_test(tc, random_use_never_overlaps_and_grows_together_again, 0, 4);
	tcase_add_test(tc, references_are_counted);
	suite_add_tcase(s, tc);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
