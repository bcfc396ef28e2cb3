/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The part of libcheck's interface that our tests use, in one header: for
 * tests/check-i386.sh alone, as 64-bit systems seldom have a 32-bit libcheck.
 * Each case runs in a child of its own, as there; the last line printed counts
 * the cases in libcheck's words.
 */
#ifndef M32_CHECK_H
#define M32_CHECK_H

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void (*TFun)(int);
typedef void (*SFun)(void);

struct m32_test {
	const char *name;
	TFun fn;
};
typedef const struct m32_test TTest;

enum fork_status { CK_FORK_GETENV, CK_FORK, CK_NOFORK };
enum print_output { CK_SILENT, CK_MINIMAL, CK_NORMAL, CK_VERBOSE, CK_ENV };

struct m32_item {
	TTest *test;
	int start, end;		/* values of _i */
	int signal, status;	/* how it is to end */
};

typedef struct TCase {
	struct TCase *next;
	const char *name;
	SFun setup[8], teardown[8], once_setup[8], once_teardown[8];
	unsigned int n_setup, n_teardown, n_once_setup, n_once_teardown;
	struct m32_item *items;
	unsigned int n_items;
	double timeout;
} TCase;

typedef struct Suite {
	struct Suite *next;
	const char *name;
	TCase *cases;
} Suite;

typedef struct SRunner {
	Suite *suites;
	int run, failures, errors;
} SRunner;

#define M32_UNUSED __attribute__((unused))

#define START_TEST(id)						\
	static void id##_fn(int _i M32_UNUSED);			\
	static const struct m32_test id##_test = {#id, id##_fn};	\
	static const struct m32_test *const id M32_UNUSED = &id##_test;	\
	static void id##_fn(int _i M32_UNUSED)
#define END_TEST

static inline M32_UNUSED void *m32_new(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

static inline M32_UNUSED Suite *suite_create(const char *name)
{
	Suite *s = (Suite *)m32_new(sizeof(*s));

	s->name = name;
	return s;
}

static inline M32_UNUSED TCase *tcase_create(const char *name)
{
	TCase *t = (TCase *)m32_new(sizeof(*t));

	t->name = name;
	t->timeout = 4;
	return t;
}

static inline M32_UNUSED void suite_add_tcase(Suite *s, TCase *t)
{
	TCase **p = &s->cases;

	while (*p)
		p = &(*p)->next;
	*p = t;
}

static inline M32_UNUSED void tcase_set_timeout(TCase *t, double seconds)
{
	t->timeout = seconds;
}

static inline M32_UNUSED void m32_add(TCase *t, TTest *test, int sig, int status, int start, int end)
{
	t->items = (struct m32_item *)realloc(t->items, (t->n_items + 1) * sizeof(*t->items));
	if (!t->items)
		abort();
	t->items[t->n_items++] = (struct m32_item){test, start, end, sig, status};
}
#define tcase_add_test(t, f) m32_add(t, f, 0, 0, 0, 1)
#define tcase_add_loop_test(t, f, s, e) m32_add(t, f, 0, 0, s, e)
#define tcase_add_test_raise_signal(t, f, sig) m32_add(t, f, sig, 0, 0, 1)
#define tcase_add_exit_test(t, f, status) m32_add(t, f, 0, status, 0, 1)
#define tcase_add_loop_test_raise_signal(t, f, sig, s, e) m32_add(t, f, sig, 0, s, e)
#define tcase_add_loop_exit_test(t, f, status, s, e) m32_add(t, f, 0, status, s, e)

static inline M32_UNUSED void m32_fixture(SFun *list, unsigned int *n, SFun f)
{
	if (!f)
		return;
	if (*n == 8)
		abort();
	list[(*n)++] = f;
}

static inline M32_UNUSED void tcase_add_checked_fixture(TCase *t, SFun setup, SFun teardown)
{
	m32_fixture(t->setup, &t->n_setup, setup);
	m32_fixture(t->teardown, &t->n_teardown, teardown);
}

static inline M32_UNUSED void tcase_add_unchecked_fixture(TCase *t, SFun setup, SFun teardown)
{
	m32_fixture(t->once_setup, &t->n_once_setup, setup);
	m32_fixture(t->once_teardown, &t->n_once_teardown, teardown);
}

static inline M32_UNUSED void srunner_add_suite(SRunner *sr, Suite *s)
{
	Suite **p = &sr->suites;

	while (*p)
		p = &(*p)->next;
	*p = s;
}

static inline M32_UNUSED SRunner *srunner_create(Suite *s)
{
	SRunner *sr = (SRunner *)m32_new(sizeof(*sr));

	if (s)
		srunner_add_suite(sr, s);
	return sr;
}
#define srunner_set_fork_status(sr, status) ((void)(sr), (void)(status))
#define srunner_set_log(sr, name) ((void)(sr), (void)(name))
#define srunner_set_tap(sr, name) ((void)(sr), (void)(name))

/* The status of a case that an assertion ended. */
#define M32_FAILED 121

static inline M32_UNUSED void m32_one(SRunner *sr, const TCase *t, const struct m32_item *it, int i)
{
	const char *factor = getenv("CK_TIMEOUT_MULTIPLIER");
	unsigned int k;
	int status;
	pid_t pid;

	sr->run++;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		setpgid(0, 0);
		if (t->timeout > 0)
			alarm((unsigned int)(t->timeout * (factor ? atoi(factor) : 1)) + 1);
		for (k = 0; k < t->n_setup; k++)
			t->setup[k]();
		it->test->fn(i);
		for (k = t->n_teardown; k > 0; k--)
			t->teardown[k - 1]();
		fflush(NULL);
		exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		abort();
	kill(-pid, SIGKILL);	/* what the case may have left running */
	if (WIFSIGNALED(status) && WTERMSIG(status) == it->signal)
		return;
	if (WIFEXITED(status) && !it->signal && WEXITSTATUS(status) == it->status)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == M32_FAILED)
		sr->failures++;
	else
		sr->errors++;
	printf("%s:%s:%d: ended with status %#x\n", t->name, it->test->name, i, (unsigned int)status);
}

static inline M32_UNUSED void srunner_run_all(SRunner *sr, enum print_output mode)
{
	const char *only_case = getenv("CK_RUN_CASE");
	const char *only_suite = getenv("CK_RUN_SUITE");
	const Suite *s;
	const TCase *t;
	unsigned int k;
	int i;

	(void)mode;
	for (s = sr->suites; s; s = s->next) {
		if (only_suite && strcmp(only_suite, s->name) != 0)
			continue;
		printf("Running suite(s): %s\n", s->name);
		for (t = s->cases; t; t = t->next) {
			if (only_case && strcmp(only_case, t->name) != 0)
				continue;
			for (k = 0; k < t->n_once_setup; k++)
				t->once_setup[k]();
			for (k = 0; k < t->n_items; k++)
				for (i = t->items[k].start; i < t->items[k].end; i++)
					m32_one(sr, t, &t->items[k], i);
			for (k = t->n_once_teardown; k > 0; k--)
				t->once_teardown[k - 1]();
		}
	}
	printf("%d%%: Checks: %d, Failures: %d, Errors: %d\n",
	       sr->run ? (sr->run - sr->failures - sr->errors) * 100 / sr->run : 100,
	       sr->run, sr->failures, sr->errors);
}

static inline M32_UNUSED int srunner_ntests_failed(const SRunner *sr)
{
	return sr->failures + sr->errors;
}

static inline M32_UNUSED int srunner_ntests_run(const SRunner *sr)
{
	return sr->run;
}

static inline M32_UNUSED void srunner_free(SRunner *sr)
{
	Suite *s, *next_s;
	TCase *t, *next_t;

	for (s = sr->suites; s; s = next_s) {
		next_s = s->next;
		for (t = s->cases; t; t = next_t) {
			next_t = t->next;
			free(t->items);
			free(t);
		}
		free(s);
	}
	free(sr);
}

static inline M32_UNUSED __attribute__((noreturn, format(printf, 3, 4)))
void m32_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("%s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(NULL);
	_exit(M32_FAILED);
}

/* An expression, as libcheck's is. */
#define ck_abort_msg(...) m32_fail(__FILE__, __LINE__, "" __VA_ARGS__)
#define ck_abort() ck_abort_msg("aborted")
#define ck_assert_msg(e, ...)						\
	do {								\
		if (!(e))						\
			ck_abort_msg(__VA_ARGS__);			\
	} while (0)
#define ck_assert(e) ck_assert_msg(e, "'%s' failed", #e)
#define mark_point() ((void)0)

#define M32_NUM(type, fmt, x, op, y)					\
	do {								\
		type m32_x = (x), m32_y = (y);				\
		if (!(m32_x op m32_y))					\
			ck_abort_msg("'%s' failed: %" fmt ", %" fmt,	\
				     #x " " #op " " #y, m32_x, m32_y);	\
	} while (0)
#define M32_INT(x, op, y) M32_NUM(intmax_t, PRIdMAX, x, op, y)
#define M32_UINT(x, op, y) M32_NUM(uintmax_t, PRIuMAX, x, op, y)
#define ck_assert_int_eq(x, y) M32_INT(x, ==, y)
#define ck_assert_int_ne(x, y) M32_INT(x, !=, y)
#define ck_assert_int_lt(x, y) M32_INT(x, <, y)
#define ck_assert_int_le(x, y) M32_INT(x, <=, y)
#define ck_assert_int_gt(x, y) M32_INT(x, >, y)
#define ck_assert_int_ge(x, y) M32_INT(x, >=, y)
#define ck_assert_uint_eq(x, y) M32_UINT(x, ==, y)
#define ck_assert_uint_ne(x, y) M32_UINT(x, !=, y)
#define ck_assert_uint_lt(x, y) M32_UINT(x, <, y)
#define ck_assert_uint_le(x, y) M32_UINT(x, <=, y)
#define ck_assert_uint_gt(x, y) M32_UINT(x, >, y)
#define ck_assert_uint_ge(x, y) M32_UINT(x, >=, y)

#define M32_PTR(x, op, y)						\
	do {								\
		const volatile void *m32_x = (x), *m32_y = (y);		\
		if (!(m32_x op m32_y))					\
			ck_abort_msg("'%s' failed", #x " " #op " " #y);	\
	} while (0)
#define ck_assert_ptr_eq(x, y) M32_PTR(x, ==, y)
#define ck_assert_ptr_ne(x, y) M32_PTR(x, !=, y)
#define ck_assert_ptr_null(x) M32_PTR(x, ==, NULL)
#define ck_assert_ptr_nonnull(x) M32_PTR(x, !=, NULL)

/* NULL is no string: it equals only NULL, and that only for pstr. */
#define M32_STR(x, want, y, null_ok)					\
	do {								\
		const char *m32_x = (x), *m32_y = (y);			\
		bool m32_ok = m32_x && m32_y ?				\
			(strcmp(m32_x, m32_y) == 0) == (want) :		\
			(null_ok) && (m32_x == m32_y) == (want);	\
		if (!m32_ok)						\
			ck_abort_msg("'%s' %s '%s' failed: \"%s\", \"%s\"",	\
				     #x, (want) ? "==" : "!=", #y,	\
				     m32_x ? m32_x : "(null)",		\
				     m32_y ? m32_y : "(null)");		\
	} while (0)
#define ck_assert_str_eq(x, y) M32_STR(x, true, y, false)
#define ck_assert_str_ne(x, y) M32_STR(x, false, y, false)
#define ck_assert_pstr_eq(x, y) M32_STR(x, true, y, true)
#define ck_assert_pstr_ne(x, y) M32_STR(x, false, y, true)

#define M32_MEM(x, op, y, n)						\
	do {								\
		if (!(memcmp(x, y, n) op 0))				\
			ck_abort_msg("%s", "memory " #x " " #op " " #y " failed");	\
	} while (0)
#define ck_assert_mem_eq(x, y, n) M32_MEM(x, ==, y, n)
#define ck_assert_mem_ne(x, y, n) M32_MEM(x, !=, y, n)
#define ck_assert_double_le(x, y) ck_assert((double)(x) <= (double)(y))
#define ck_assert_double_lt(x, y) ck_assert((double)(x) < (double)(y))
#define ck_assert_double_ge(x, y) ck_assert((double)(x) >= (double)(y))
#define ck_assert_double_gt(x, y) ck_assert((double)(x) > (double)(y))

#endif
