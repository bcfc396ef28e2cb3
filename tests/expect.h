/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What a call of the library is to come to, for tests that make many. */
#ifndef LIBVHOST_TESTS_EXPECT_H
#define LIBVHOST_TESTS_EXPECT_H

#include <check.h>
#include <string.h>

#include <vhost/dev.h>

/* A call that must succeed; if not, its own sentence says why. */
#define OK(expr) do { \
	int r_ = (expr); \
	ck_assert_msg(r_ == 0, "%s: %d: %s", #expr, r_, vhost_last_error()); \
} while (0)

/* A call that must fail: with this errno, kind, and words in its sentence. */
#define FAILS(expr, errno_, kind_, words) do { \
	int r_ = (expr); \
	ck_assert_msg(r_ == -(errno_), "%s: %d: %s", #expr, r_, vhost_last_error()); \
	ck_assert_msg(vhost_last_error_kind() == (kind_), "%s: kind %d: %s", #expr, \
		      vhost_last_error_kind(), vhost_last_error()); \
	ck_assert_msg(strstr(vhost_last_error(), words) != NULL, "%s: \"%s\" is not in: %s", \
		      #expr, words, vhost_last_error()); \
} while (0)

#endif
