/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Addresses for programs without a guest: vhost_dev_iova_alloc() and _free(), on a vDPA
 * device that is made up and whose range of addresses is what a test wants it to be.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <vhost/vhost.h>

#include "fake-kernel.h"
#include "leak.h"
#include "mem/iova.h"

#define PAGE 0x1000ull
#define ABOVE_32_BITS (1ull << 32)

static struct leak before;
static struct fake_kernel *fk;
static vhost_dev_t *dev;
static vhost_mem_t *mem;

static void begin(enum kdev_kind kind, uint64_t first, uint64_t last)
{
	struct vhost_dev_opts opts = { 0 };
	struct vhost_dev_events events = { 0 };

	before = leak_begin();
	fk = fake_kernel_new(kind);
	fk->range = (struct kv_iova_range){ first, last };
	ck_assert_int_eq(vhost_mem_new(16 * PAGE, 0, 0, &mem), 0);
	ck_assert_int_eq(kdev_new(kind, "/dev/vhost-test", fake_kernel_open(fk), &opts, &events,
				  &dev), 0);
	fake_kernel_forget(fk);
}

static void end(void)
{
	vhost_dev_unref(dev);
	vhost_mem_unref(mem);
	fake_kernel_free(fk);
	ck_assert_int_eq(leak_check(&before), 0);
}

static uint64_t alloc_aligned(uint64_t size, uint64_t align)
{
	uint64_t iova = 77;
	int r = vhost_dev_iova_alloc(dev, size, align, &iova);

	ck_assert_msg(r == 0, "%d: %s", r, vhost_dev_error(dev));
	return iova;
}

static uint64_t alloc(uint64_t size)
{
	return alloc_aligned(size, 0);
}

/* There is no room: named, and nothing is written. */
static void full(uint64_t size)
{
	uint64_t iova = 77;

	ck_assert_int_eq(vhost_dev_iova_alloc(dev, size, 0, &iova), -ENOSPC);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_LIMIT);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "free"));
	ck_assert_uint_eq(iova, 77);
}

static int map(uint64_t iova, uint64_t offset, uint64_t size, uint32_t flags)
{
	struct vhost_mem_desc desc;

	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.iova = iova;
	desc.addr = (uint8_t *)desc.addr + offset;
	desc.fd_offset = offset;
	desc.size = size;
	desc.flags = flags;
	return vhost_dev_mem_add(dev, &desc, sizeof(desc));
}

START_TEST(addresses_are_whole_pages_above_4_gib_and_apart)
{
	uint64_t a, b, c;

	begin(KDEV_VDPA, 0, UINT64_MAX);
	a = alloc(1);
	b = alloc(PAGE + 1);
	c = alloc(PAGE);
	ck_assert_uint_eq(a, ABOVE_32_BITS);
	ck_assert_uint_eq(b, ABOVE_32_BITS + PAGE);
	ck_assert_uint_eq(c, ABOVE_32_BITS + 3 * PAGE);
	/* the device is not asked */
	fake_kernel_expect(fk, "");
	end();
}
END_TEST

static const uint64_t aligns[] = {
	1, 8, PAGE, 2 * PAGE, 1ull << 21, 1ull << 30, 1ull << 32, 1ull << 40, 1ull << 63,
};

START_TEST(addresses_are_aligned)
{
	uint64_t align = aligns[_i], a;

	begin(KDEV_VDPA, 0, UINT64_MAX);
	alloc(PAGE);
	a = alloc_aligned(PAGE, align);
	ck_assert_uint_eq(a % align, 0);
	ck_assert_uint_eq(a % PAGE, 0);
	ck_assert_uint_gt(a, ABOVE_32_BITS);
	end();
}
END_TEST

START_TEST(an_alignment_beyond_the_end_has_no_room)
{
	uint64_t iova = 77;

	begin(KDEV_VDPA, 0, UINT64_MAX);
	ck_assert_uint_eq(alloc_aligned(PAGE, 1ull << 63), 1ull << 63);
	ck_assert_int_eq(vhost_dev_iova_alloc(dev, PAGE, 1ull << 63, &iova), -ENOSPC);
	ck_assert_uint_eq(iova, 77);
	end();
}
END_TEST

static const struct {
	uint64_t size;
	uint64_t align;
} wrong[] = {
	{ 0, 0 }, { PAGE, 3 }, { PAGE, PAGE + 1 }, { PAGE, UINT64_MAX }, { UINT64_MAX, 0 },
	{ UINT64_MAX - PAGE + 2, 0 },
};

START_TEST(what_cannot_be_is_refused)
{
	uint64_t iova = 77;

	begin(KDEV_VDPA, 0, UINT64_MAX);
	ck_assert_int_eq(vhost_dev_iova_alloc(dev, wrong[_i].size, wrong[_i].align, &iova),
			 -EINVAL);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_ARGUMENT);
	ck_assert_uint_eq(iova, 77);
	full(UINT64_MAX - PAGE + 1);
	end();
}
END_TEST

/* No memory can be there: one past its end would be no number. */
START_TEST(the_last_page_of_all_is_not_given)
{
	begin(KDEV_VDPA, UINT64_MAX - 3 * PAGE + 1, UINT64_MAX);
	ck_assert_uint_eq(alloc(PAGE), UINT64_MAX - 3 * PAGE + 1);
	ck_assert_uint_eq(alloc(PAGE), UINT64_MAX - 2 * PAGE + 1);
	full(1);
	ck_assert_int_eq(map(UINT64_MAX - 2 * PAGE + 1, 0, PAGE, 0), 0);
	end();
}
END_TEST

START_TEST(all_of_the_range_can_be_one)
{
	begin(KDEV_VDPA, 1ull << 63, UINT64_MAX);
	full(1ull << 63);
	ck_assert_uint_eq(alloc((1ull << 63) - PAGE), 1ull << 63);
	full(1);
	end();
}
END_TEST

static bool nothing_taken(const void *opaque, uint64_t first, uint64_t last, uint64_t *ret_last)
{
	(void)opaque;
	(void)first;
	(void)last;
	(void)ret_last;
	return false;
}

/* All but what is above @opaque's number. */
static bool taken_up_to(const void *opaque, uint64_t first, uint64_t last, uint64_t *ret_last)
{
	(void)last;
	*ret_last = *(const uint64_t *)opaque;
	return first <= *ret_last;
}

START_TEST(a_range_is_searched_to_its_very_end)
{
	uint64_t iova = 77, end_of_all = UINT64_MAX, but_one = UINT64_MAX - PAGE;

	ck_assert(iova_find(0, UINT64_MAX, 1ull << 63, PAGE, nothing_taken, NULL, &iova));
	ck_assert_uint_eq(iova, 0);
	ck_assert(iova_find(UINT64_MAX - PAGE + 1, UINT64_MAX, PAGE, PAGE, nothing_taken, NULL,
			    &iova));
	ck_assert_uint_eq(iova, UINT64_MAX - PAGE + 1);
	ck_assert(!iova_find(UINT64_MAX - PAGE + 2, UINT64_MAX, PAGE, PAGE, nothing_taken, NULL,
			     &iova));
	ck_assert(!iova_find(UINT64_MAX - PAGE + 1, UINT64_MAX, 2 * PAGE, PAGE, nothing_taken, NULL,
			     &iova));
	ck_assert(iova_find(0, UINT64_MAX, PAGE, PAGE, taken_up_to, &but_one, &iova));
	ck_assert_uint_eq(iova, UINT64_MAX - PAGE + 1);
	ck_assert(!iova_find(0, UINT64_MAX, PAGE, PAGE, taken_up_to, &end_of_all, &iova));
}
END_TEST

START_TEST(a_page_that_is_not_wholly_in_the_range_is_none)
{
	begin(KDEV_VDPA, PAGE + 1, 4 * PAGE - 2);
	ck_assert_uint_eq(alloc(PAGE), 2 * PAGE);
	full(1);
	end();
}
END_TEST

START_TEST(address_0_is_not_given)
{
	begin(KDEV_VDPA, 0, 2 * PAGE - 1);
	ck_assert_uint_eq(alloc(PAGE), PAGE);
	full(1);
	end();
}
END_TEST

START_TEST(a_device_of_32_bits_has_what_it_reaches)
{
	begin(KDEV_VDPA, PAGE, UINT32_MAX);
	ck_assert_uint_eq(alloc(PAGE), PAGE);
	ck_assert_uint_eq(alloc(PAGE), 2 * PAGE);
	full(ABOVE_32_BITS);
	end();
}
END_TEST

START_TEST(what_is_below_4_gib_is_given_when_all_above_it_is)
{
	begin(KDEV_VDPA, PAGE, ABOVE_32_BITS + PAGE - 1);
	ck_assert_uint_eq(alloc(PAGE), ABOVE_32_BITS);
	ck_assert_uint_eq(alloc(PAGE), PAGE);
	/* across the border, since there is no other room for it */
	ck_assert_int_eq(vhost_dev_iova_free(dev, ABOVE_32_BITS), 0);
	ck_assert_uint_eq(alloc(0x1000000), 2 * PAGE);
	end();
}
END_TEST

START_TEST(where_interrupts_are_written_is_not_given)
{
	begin(KDEV_VDPA, 0xfedff000, 0xfef00fff);
	full(2 * PAGE);
	ck_assert_uint_eq(alloc(PAGE), 0xfedff000);
	ck_assert_uint_eq(alloc(PAGE), 0xfef00000);
	full(1);
	end();
}
END_TEST

START_TEST(memory_and_translations_are_avoided)
{
	struct vhost_iotlb_entry entry = {
		.iova = 7 * PAGE, .size = PAGE, .target = 2 * PAGE, .perm = 3, .asid = 1,
	};

	begin(KDEV_VDPA, PAGE, 10 * PAGE - 1);
	ck_assert_int_eq(map(2 * PAGE, 0, 2 * PAGE, 0), 0);
	ck_assert_int_eq(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), 0);
	ck_assert_uint_eq(alloc(3 * PAGE), 4 * PAGE);
	ck_assert_uint_eq(alloc(2 * PAGE), 8 * PAGE);
	ck_assert_uint_eq(alloc(PAGE), PAGE);
	full(1);
	/* what is taken back can be given */
	ck_assert_int_eq(vhost_dev_iotlb_invalidate(dev, 7 * PAGE, PAGE, 1), 0);
	ck_assert_uint_eq(alloc(PAGE), 7 * PAGE);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, 2 * PAGE, 2 * PAGE), 0);
	ck_assert_uint_eq(alloc(2 * PAGE), 2 * PAGE);
	full(1);
	end();
}
END_TEST

START_TEST(a_range_stays_reserved_whatever_is_mapped_there)
{
	uint64_t iova;

	begin(KDEV_VDPA, PAGE, 3 * PAGE - 1);
	iova = alloc(PAGE);
	ck_assert_int_eq(map(iova, 0, PAGE, 0), 0);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, iova, PAGE), 0);
	ck_assert_uint_eq(alloc(PAGE), 2 * PAGE);
	ck_assert_int_eq(map(iova, 0, PAGE, 0), 0);
	/* given back, and still mapped: not to be had */
	ck_assert_int_eq(vhost_dev_iova_free(dev, iova), 0);
	full(1);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, iova, PAGE), 0);
	ck_assert_uint_eq(alloc(PAGE), iova);
	end();
}
END_TEST

START_TEST(what_was_not_given_cannot_be_given_back)
{
	uint64_t iova;

	begin(KDEV_VDPA, 0, UINT64_MAX);
	ck_assert_int_eq(vhost_dev_iova_free(dev, 0), -ENOENT);
	iova = alloc(2 * PAGE);
	ck_assert_int_eq(vhost_dev_iova_free(dev, iova + PAGE), -ENOENT);
	ck_assert_int_eq(vhost_dev_iova_free(dev, iova - PAGE), -ENOENT);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "0xfffff000"));
	ck_assert_int_eq(vhost_dev_iova_free(dev, iova), 0);
	ck_assert_int_eq(vhost_dev_iova_free(dev, iova), -ENOENT);
	end();
}
END_TEST

START_TEST(the_kernel_s_vhost_has_addresses_as_well)
{
	uint64_t iova, last;

	begin(KDEV_NET, 0, 0);
	ck_assert_int_eq(map(ABOVE_32_BITS, 0, PAGE, 0), 0);
	iova = alloc(PAGE);
	ck_assert_uint_eq(iova, ABOVE_32_BITS + PAGE);
	ck_assert_int_eq(map(iova, PAGE, PAGE, 0), 0);
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_IOVA_LAST, &last), 0);
	iova = alloc_aligned(PAGE, 1ull << 63);
	ck_assert_uint_le(iova + (PAGE - 1), last);
	end();
}
END_TEST

/* ----------------------------------------------------- against the simplest of models */

#define PAGES 48u

static bool reserved[PAGES], mapped[PAGES];

/* The lowest run of free pages, one by one. */
static unsigned int model_find(unsigned int n, unsigned int align)
{
	unsigned int at, i;

	for (at = 1; at + n <= PAGES; at++) {
		if (at % align)
			continue;
		for (i = 0; i < n && !reserved[at + i] && !mapped[at + i]; i++)
			;
		if (i == n)
			return at;
	}
	return 0;
}

static unsigned int sizes[PAGES];

static void step(unsigned int *seed)
{
	unsigned int r = (unsigned int)rand_r(seed), at = 1 + r % (PAGES - 1), n, align, i;
	uint64_t iova = 77;

	switch (r >> 8 & 3) {
	case 0:
	case 1:
		n = 1 + (r >> 10) % 5;
		align = 1u << (r >> 13) % 3;
		at = model_find(n, align);
		if (!at) {
			ck_assert_int_eq(vhost_dev_iova_alloc(dev, n * PAGE, align * PAGE, &iova),
					 -ENOSPC);
			return;
		}
		ck_assert_uint_eq(alloc_aligned(n * PAGE, align * PAGE), at * PAGE);
		for (i = 0; i < n; i++)
			reserved[at + i] = true;
		sizes[at] = n;
		return;
	case 2:
		ck_assert_int_eq(vhost_dev_iova_free(dev, at * PAGE), sizes[at] ? 0 : -ENOENT);
		for (i = 0; i < sizes[at]; i++)
			reserved[at + i] = false;
		sizes[at] = 0;
		return;
	default:
		if (mapped[at])
			ck_assert_int_eq(vhost_dev_mem_remove(dev, at * PAGE, PAGE), 0);
		else
			ck_assert_int_eq(map(at * PAGE, 0, PAGE, 0), 0);
		mapped[at] = !mapped[at];
		return;
	}
}

START_TEST(the_lowest_room_is_found_as_by_counting_pages)
{
	unsigned int seed = 1000 + (unsigned int)_i, i;

	memset(reserved, 0, sizeof(reserved));
	memset(mapped, 0, sizeof(mapped));
	memset(sizes, 0, sizeof(sizes));
	begin(KDEV_VDPA, 0, PAGES * PAGE - 1);
	for (i = 0; i < 400; i++)
		step(&seed);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("iova");
	TCase *tc = tcase_create("iova");
	SRunner *runner;
	int failed;

	if (sysconf(_SC_PAGESIZE) != 4096) {
		printf("skip: the addresses here are made for pages of 4096 bytes\n");
		return 77;
	}
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, addresses_are_whole_pages_above_4_gib_and_apart);
	tcase_add_loop_test(tc, addresses_are_aligned, 0, (int)ARRAY_SIZE(aligns));
	tcase_add_test(tc, an_alignment_beyond_the_end_has_no_room);
	tcase_add_loop_test(tc, what_cannot_be_is_refused, 0, (int)ARRAY_SIZE(wrong));
	tcase_add_test(tc, the_last_page_of_all_is_not_given);
	tcase_add_test(tc, all_of_the_range_can_be_one);
	tcase_add_test(tc, a_range_is_searched_to_its_very_end);
	tcase_add_test(tc, a_page_that_is_not_wholly_in_the_range_is_none);
	tcase_add_test(tc, address_0_is_not_given);
	tcase_add_test(tc, a_device_of_32_bits_has_what_it_reaches);
	tcase_add_test(tc, what_is_below_4_gib_is_given_when_all_above_it_is);
	tcase_add_test(tc, where_interrupts_are_written_is_not_given);
	tcase_add_test(tc, memory_and_translations_are_avoided);
	tcase_add_test(tc, a_range_stays_reserved_whatever_is_mapped_there);
	tcase_add_test(tc, what_was_not_given_cannot_be_given_back);
	tcase_add_test(tc, the_kernel_s_vhost_has_addresses_as_well);
	tcase_add_loop_test(tc, the_lowest_room_is_found_as_by_counting_pages, 0, 20);
	suite_add_tcase(s, tc);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
