/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Other people's programs, as peers of a test: found, started, and ended by pid. A
 * peer dies with the test that started it, however that ends. Everything that it
 * leaves is in one directory, which main() removes.
 */
#ifndef LIBVHOST_TESTS_PROGRAM_H
#define LIBVHOST_TESTS_PROGRAM_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vhost/vhost.h>

#define PROGRAM_PATIENCE_MS 20000		/* for anything that a peer does; a busy machine is slow */

static char program_dir[64];

/* The test cannot run here: says why, and ends it as make check wants. */
static inline int program_skip(const char *why)
{
	printf("skip: %s\n", why);
	return 77;
}

static inline uint64_t program_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Where @name is installed: a path, or a name to look for in PATH. NULL: nowhere. */
static inline const char *program_find(const char *name)
{
	static char found[512];
	const char *dir = getenv("PATH");

	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? name : NULL;
	while (dir && *dir) {
		int len = (int)strcspn(dir, ":");

		snprintf(found, sizeof(found), "%.*s/%s", len, dir, name);
		if (access(found, X_OK) == 0)
			return found;
		dir += len + (dir[len] == ':');
	}
	return NULL;
}

static inline void program_make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	/* a socket's path has 107 bytes at most */
	snprintf(program_dir, sizeof(program_dir), "%s/libvhost-peer.XXXXXX",
		 tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!mkdtemp(program_dir)) {
		perror(program_dir);
		exit(1);
	}
}

static inline void program_remove_dir(void)
{
	pid_t pid = fork();

	if (!pid) {
		execlp("rm", "rm", "-rf", "--", program_dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static inline const char *program_path(const char *name)
{
	static char path[4][128];
	static unsigned int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", program_dir, name);
	return p;
}

/* Start a program. Its output goes to @tty, or if that is -1 to a file named log. */
static inline pid_t program_start(const char *const argv[], int tty)
{
	pid_t parent = getpid(), pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		int in = tty >= 0 ? tty : open("/dev/null", O_RDWR);
		int out = tty >= 0 ? tty : open(program_path("log"),
						O_WRONLY | O_CREAT | O_APPEND, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(126);
		setsid();
		dup2(in, 0);
		dup2(out, 1);
		dup2(out, 2);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

static inline int program_is_alive(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid;
}

/* End it, and wait until it is gone; one that does not listen is killed. */
static inline void program_end(pid_t pid, int sig)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;

	kill(pid, sig);
	while (program_is_alive(pid)) {
		if (program_now_ms() > end)
			kill(pid, SIGKILL);
		poll(NULL, 0, 5);
	}
	waitpid(pid, NULL, 0);
}

/* The last of what it said. */
static inline void program_show_log(void)
{
	FILE *f = fopen(program_path("log"), "re");
	char line[256];

	if (f && fseek(f, -4000, SEEK_END) < 0)
		rewind(f);
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "peer: %s", line);
	if (f)
		fclose(f);
}

/* Not there yet, or there from before and not listened on. */
static inline int program_is_coming(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

/* Connect to a peer that is still starting. */
static inline vhost_dev_t *program_open(pid_t pid, const char *socket)
{
	uint64_t end = program_now_ms() + PROGRAM_PATIENCE_MS;
	vhost_dev_t *dev = NULL;
	char address[160];
	int r;

	snprintf(address, sizeof(address), "unix:%s", socket);
	while (program_is_coming(r = vhost_dev_open(address, NULL, 0, &dev)) &&
	       program_now_ms() < end && program_is_alive(pid))
		poll(NULL, 0, 5);
	if (r < 0)
		program_show_log();
	ck_assert_msg(r == 0, "%s: %d: %s", address, r, vhost_last_error());
	return dev;
}

/* A call on a device that must succeed; if not, its own sentence says why. */
#define DEV_OK(dev, call) do { \
	int r_ = (call); \
	ck_assert_msg(r_ == 0, "%s: %d: %s", #call, r_, vhost_dev_error(dev)); \
} while (0)

static inline int program_run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	program_make_dir();
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (failed)
		program_show_log();
	program_remove_dir();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Our side of a device goes, and then the program that is the other. */
static inline void program_teardown(vhost_dev_t **dev, vhost_virtq_t **vqs, unsigned int n_vqs,
				    vhost_mem_t **mem, pid_t pid)
{
	unsigned int q;

	*dev = vhost_dev_unref(*dev);
	for (q = 0; q < n_vqs; q++)
		vqs[q] = vhost_virtq_unref(vqs[q]);
	*mem = vhost_mem_unref(*mem);
	program_end(pid, SIGTERM);
}

#endif
