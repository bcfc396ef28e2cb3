/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend-program.h"
#include "parse.h"

#define MAX_OPTIONS 32
#define MAX_EVENTS 16
#define POLL_US 32u		/* about what it takes to wake somebody up */

static const char *program_name;

enum {
	OPT_SOCKET_PATH = 256,
	OPT_FD,
	OPT_PRINT_CAPABILITIES,
	OPT_POLL_US,
	OPT_HELP = 'h',
	OPT_VERSION = 'V'
};

void complain(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: ", program_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

uint64_t program_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ------------------------------------------------------------ command line */

static void usage(const struct program *p, FILE *to)
{
	fprintf(to, "usage: %s --socket-path=PATH | --fd=N%s%s\n"
		"\n"
		"  --socket-path=PATH   serve front-ends on this socket, one after another\n"
		"  --fd=N               serve one front-end, on a socket that is open already\n",
		p->name, *p->arguments ? " " : "", p->arguments);
	fputs(p->help, to);
	if (p->turn)
		fprintf(to, "  --poll-us=N          look for more work so many microseconds before\n"
			"                       sleeping (default %u; 0 with one CPU)\n", POLL_US);
	fputs("  --print-capabilities print what management software wants to know, as JSON\n"
	      "  --version, --help\n"
	      "\n"
	      "Exit status: 0 ended by SIGTERM or the front-end; 1 failed; 2 wrong usage.\n", to);
}

static int end_of_output(void)
{
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write to the standard output: %s", strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static __attribute__((noreturn)) void misused(void)
{
	fprintf(stderr, "Try: %s --help\n", program_name);
	exit(EXIT_USAGE);
}

static void print_capabilities(const struct program *p)
{
	printf("{\n  \"type\": \"%s\",\n  \"features\": [", p->type);
	for (const char *const *f = p->features; f && *f; f++)
		printf("%s\n    \"%s\"", f == p->features ? "" : ",", *f);
	printf("%s]\n}\n", p->features && *p->features ? "\n  " : "");
}

int program_number(const char *option, const char *arg, unsigned int min, unsigned int max,
		   unsigned int *ret)
{
	uint64_t v;

	if (parse_size(arg, &v) < 0) {
		complain("%s: \"%s\" is not a number", option, arg);
		return -EINVAL;
	}
	if (v < min || v > max) {
		complain("%s: must be %u to %u", option, min, max);
		return -EINVAL;
	}
	*ret = (unsigned int)v;
	return 0;
}

static int parse_option(struct program *p, int value, const char *arg)
{
	unsigned int n;

	switch (value) {
	case OPT_SOCKET_PATH:
		if (!*arg) {
			complain("--socket-path: the path is empty");
			return -EINVAL;
		}
		p->socket_path = arg;
		return 0;
	case OPT_FD:
		if (program_number("--fd", arg, 0, 1u << 20, &n) < 0)
			return -EINVAL;
		p->fd = (int)n;
		return 0;
	case OPT_POLL_US:
		return program_number("--poll-us", arg, 0, 1000000, &p->poll_us);
	}
	return p->option(p, value, arg);
}

/*
 * A socket that is opened while one of these is closed would take its place, and get
 * what is meant for people. Whoever uses what stands in there gets an error.
 */
static void keep_standard_fds(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			exit(EXIT_FAILED);
}

/* A front-end that cuts a file of its memory short harms its own rings only. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (vhost_backend_handle_sigbus(info->si_addr))
		return;
	signal(sig, SIG_DFL);	/* it was ours: happens again, and ends us */
}

/* SIGTERM and the like arrive at the loop only. */
static void set_signals(struct program *p)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigemptyset(&p->caught);
	sigaddset(&p->caught, SIGTERM);
	sigaddset(&p->caught, SIGINT);
	if (p->hangup)
		sigaddset(&p->caught, SIGHUP);
	sigprocmask(SIG_BLOCK, &p->caught, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&sa.sa_mask);
	sigaction(SIGBUS, &sa, NULL);
}

void program_start(struct program *p, int argc, char **argv)
{
	static const struct option common[] = {
		{ "socket-path", required_argument, NULL, OPT_SOCKET_PATH },
		{ "fd", required_argument, NULL, OPT_FD },
		{ "print-capabilities", no_argument, NULL, OPT_PRINT_CAPABILITIES },
		{ "help", no_argument, NULL, OPT_HELP },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "poll-us", required_argument, NULL, OPT_POLL_US },
	};
	struct option all[MAX_OPTIONS + 1] = { { NULL, 0, NULL, 0 } };
	unsigned int n = sizeof(common) / sizeof(common[0]) - (p->turn ? 0 : 1);
	cpu_set_t cpus;
	int c;

	program_name = p->name;
	p->fd = -1;
	p->poll_us = POLL_US;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2)
		p->poll_us = 0;		/* whom we wait for could not run */
	keep_standard_fds();

	/* Whatever else is given, this is all that is done. */
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--print-capabilities")) {
			print_capabilities(p);
			exit(end_of_output());
		}
	}

	memcpy(all, common, n * sizeof(common[0]));
	for (const struct option *o = p->options; o && o->name && n < MAX_OPTIONS; o++)
		all[n++] = *o;
	while ((c = getopt_long(argc, argv, "hV", all, NULL)) != -1) {
		if (c == OPT_HELP) {
			usage(p, stdout);
			exit(end_of_output());
		}
		if (c == OPT_VERSION) {
			printf("%s %s (libvhost %s)\n", p->name, PACKAGE_VERSION, vhost_version());
			exit(end_of_output());
		}
		if (c == OPT_PRINT_CAPABILITIES) {	/* abbreviated */
			print_capabilities(p);
			exit(end_of_output());
		}
		if (c == '?' || parse_option(p, c, optarg) < 0)
			misused();
	}
	if (optind < argc) {
		complain("there is no argument \"%s\"", argv[optind]);
		misused();
	}
	if (!p->socket_path == (p->fd < 0)) {
		complain(p->socket_path ? "--socket-path and --fd exclude each other" :
					  "--socket-path or --fd is needed");
		misused();
	}
	set_signals(p);
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0) {
		complain("cannot wait for events: %s", strerror(errno));
		exit(EXIT_FAILED);
	}
}

/* ---------------------------------------------------------------- the loop */

int program_watch(struct program *p, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };
	int op = !events ? EPOLL_CTL_DEL : w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (events == w->events)
		return 0;
	if (epoll_ctl(p->epoll_fd, op, w->fd, &ev) < 0)
		return -errno;
	w->events = events;
	return 0;
}

bool program_polls(struct program *p, bool worked)
{
	uint64_t now;

	if (!p->poll_us)
		return false;
	now = program_now_ns();
	if (worked)
		p->poll_until = now + (uint64_t)p->poll_us * 1000;
	return now < p->poll_until;
}

static void end(struct program *p, int code)
{
	p->done = true;
	p->code = code;
}

static void backend_ready(struct watch *w)
{
	struct program *p = w->opaque;

	if (vhost_backend_process(p->be) == -ENOTCONN)
		end(p, EXIT_OK);	/* --fd, and the front-end has gone */
}

static void signal_ready(struct watch *w)
{
	struct program *p = w->opaque;
	struct signalfd_siginfo info;

	if (read(w->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		p->hangup(p);
	else
		end(p, EXIT_OK);
}

/* --fd with a socket that listens: one front-end is served, and then it ends. */
static void listener_ready(struct watch *w)
{
	struct program *p = w->opaque;
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
	int r;

	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		complain("--fd=%d: cannot accept a front-end: %s", w->fd, strerror(errno));
		end(p, EXIT_FAILED);
		return;
	}
	program_watch(p, w, 0);
	r = vhost_backend_attach_fd(p->be, fd);
	close(fd);
	if (r == 0)
		r = program_watch(p, &p->backend, EPOLLIN);
	if (r < 0) {
		complain("--fd=%d: cannot serve the front-end: %s", w->fd, strerror(-r));
		end(p, EXIT_FAILED);
	}
}

/* What people should know is told; LIBVHOST_LOG is for those who want all of it. */
static void log_line(int level, const char *text, void *opaque)
{
	(void)opaque;
	if (level <= VHOST_LOG_ERROR)
		complain("%s", text);
}

static int open_socket(struct program *p)
{
	int listening = 0;
	socklen_t len = sizeof(listening);
	int r;

	if (p->socket_path) {
		r = vhost_backend_listen(p->be, p->socket_path);
		if (r < 0)
			complain("cannot listen on %s: %s", p->socket_path, vhost_backend_error(p->be));
		return r < 0 ? r : program_watch(p, &p->backend, EPOLLIN);
	}
	if (getsockopt(p->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0) {
		r = -errno;
		complain("--fd=%d: %s", p->fd, strerror(-r));
		return r;
	}
	if (listening) {
		int flags = fcntl(p->fd, F_GETFL);

		/* Who was waiting there may be gone when we accept. */
		if (flags >= 0)
			fcntl(p->fd, F_SETFL, flags | O_NONBLOCK);
		p->listener = (struct watch){ .fd = p->fd, .ready = listener_ready, .opaque = p };
		return program_watch(p, &p->listener, EPOLLIN);
	}
	r = vhost_backend_attach_fd(p->be, p->fd);
	if (r < 0)
		complain("--fd=%d: %s", p->fd, vhost_backend_error(p->be));
	else
		close(p->fd);	/* the library has its own, and the end of ours would not show */
	return r < 0 ? r : program_watch(p, &p->backend, EPOLLIN);
}

static int open_loop(struct program *p)
{
	p->signals = (struct watch){
		.fd = signalfd(-1, &p->caught, SFD_CLOEXEC | SFD_NONBLOCK),
		.ready = signal_ready, .opaque = p
	};
	p->backend = (struct watch){
		.fd = vhost_backend_get_fd(p->be), .ready = backend_ready, .opaque = p
	};
	if (p->signals.fd < 0 || program_watch(p, &p->signals, EPOLLIN) < 0) {
		complain("cannot wait for events: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

int program_serve(struct program *p, vhost_backend_t *be)
{
	struct epoll_event ev[MAX_EVENTS];
	const char *log = getenv("LIBVHOST_LOG");

	p->be = be;
	if (!log || !*log || !strcmp(log, "0"))
		vhost_backend_set_log(be, log_line, NULL);
	if (open_loop(p) < 0 || open_socket(p) < 0)
		end(p, EXIT_FAILED);
	while (!p->done) {
		int timeout = p->turn ? p->turn(p) : -1;
		int n;

		/* Whom we woke may have been put behind us, on this CPU. */
		if (!timeout)
			sched_yield();
		n = epoll_wait(p->epoll_fd, ev, MAX_EVENTS, timeout);
		if (n < 0 && errno != EINTR) {
			complain("cannot wait for events: %s", strerror(errno));
			end(p, EXIT_FAILED);
		}
		for (int i = 0; i < n && !p->done; i++) {
			struct watch *w = ev[i].data.ptr;

			w->ready(w);
		}
	}
	/* From here on a second signal ends a program that is stuck. */
	sigprocmask(SIG_UNBLOCK, &p->caught, NULL);
	if (p->signals.fd >= 0)
		close(p->signals.fd);
	return p->code;
}
