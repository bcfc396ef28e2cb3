/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What the other tests in the guest build on: that its kernel has the devices. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_char_device(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISCHR(st.st_mode);
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *kernel(void)
{
	const char *k = getenv("VM_KERNEL");

	ck_assert_msg(k, "VM_KERNEL is not set: run this with make check-vm");
	return k;
}

START_TEST(the_kernel_has_vhost)
{
	ck_assert(is_char_device("/dev/vhost-net"));
	ck_assert(is_char_device("/dev/vhost-vsock"));
	ck_assert(is_char_device("/dev/vhost-scsi"));
	ck_assert(is_char_device("/dev/net/tun"));
}
END_TEST

START_TEST(the_kernel_has_vdpa_and_its_simulators)
{
	if (strcmp(kernel(), "6.1") == 0) {
		ck_assert(!is_directory("/sys/bus/vdpa"));
		puts("skip: Debian's Linux 6.1 has no vDPA");
		return;
	}
	ck_assert(is_char_device("/dev/vduse/control"));
	ck_assert(is_directory("/sys/bus/vdpa/drivers/vhost_vdpa"));
	ck_assert(is_directory("/sys/module/vdpa_sim_net"));
	ck_assert(is_directory("/sys/module/vdpa_sim_blk"));
}
END_TEST

START_TEST(the_place_for_sockets_is_private_and_empty)
{
	ck_assert_int_eq(rmdir("/tmp"), -1);	/* a mount of its own */
	ck_assert_int_eq(mkdir("/tmp/check-boot", 0700), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot");
	TCase *t = tcase_create("boot");
	SRunner *sr;
	int failed;

	tcase_add_test(t, the_kernel_has_vhost);
	tcase_add_test(t, the_kernel_has_vdpa_and_its_simulators);
	tcase_add_test(t, the_place_for_sockets_is_private_and_empty);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
