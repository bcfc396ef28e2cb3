/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What the vhost-user-* programs share: the options and signals of the specification
 * (vhost-user, "Backend program conventions"), and the loop that everything runs in.
 */
#ifndef BACKEND_PROGRAM_H
#define BACKEND_PROGRAM_H

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <vhost/vhost.h>

/* Exit codes */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2
};

/* Values of a program's own options are from here on. */
#define OPTION_OWN 512

/* A descriptor that the loop waits for. */
struct watch {
	int fd;
	void (*ready)(struct watch *w);
	void *opaque;
	uint32_t events;	/* EPOLLIN and so on; 0: not waited for */
};

struct program {
	/* What it is */
	const char *name;
	const char *type;		/* enum VHostUserBackendType of vhost-user.json */
	const char *const *features;	/* of --print-capabilities, NULL at their end; or NULL */
	const char *arguments;		/* for the line of usage; "" for none */
	const char *help;		/* a line for each option of its own; "" for none */
	const struct option *options;	/* these, zeros at their end; or NULL */
	/* One of them was given. 0, or a negative errno after it has complained. */
	int (*option)(struct program *p, int value, const char *arg);
	/*
	 * Before the loop sleeps: do what can be done. Return: for how many milliseconds
	 * it may sleep, 0 to be called again soon, -1 for as long as nothing comes.
	 */
	int (*turn)(struct program *p);
	void (*hangup)(struct program *p);	/* SIGHUP; or NULL: it ends the program */
	void *opaque;

	/* What the command line said */
	const char *socket_path;
	int fd;				/* -1: not given */
	unsigned int poll_us;		/* --poll-us, of programs with a turn */

	/* The loop's */
	vhost_backend_t *be;
	int epoll_fd;
	sigset_t caught;
	struct watch backend;
	struct watch signals;
	struct watch listener;
	uint64_t poll_until;
	bool done;
	int code;
};

/* "NAME: what failed: why" on the standard error. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Read the command line. Where there is nothing to serve, this ends the program. */
void program_start(struct program *p, int argc, char **argv);

/* A whole number from @min to @max; complains otherwise. */
int program_number(const char *option, const char *arg, unsigned int min, unsigned int max,
		   unsigned int *ret);

/* Wait for @events of @w->fd from now on, 0 to wait no more. 0, or a negative errno. */
int program_watch(struct program *p, struct watch *w, uint32_t events);

/*
 * For a turn that looks for work instead of waiting for it: is it to look again, having
 * @worked just now? A wake-up costs more than looking for a while, on both sides.
 */
bool program_polls(struct program *p, bool worked);

uint64_t program_now_ns(void);

/* Serve until a signal, or with --fd until the front-end has gone. An exit code. */
int program_serve(struct program *p, vhost_backend_t *be);

#endif
