/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * vhostctl: what its files share. Nothing in it knows what carries a device: it
 * has addresses, and asks for capabilities.
 */
#ifndef VHOSTCTL_H
#define VHOSTCTL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <vhost/vhost.h>

#ifdef HAVE_JSON_C
#include <json-c/json.h>
#endif

#include "parse.h"

/* Exit codes; vhostctl(1) has them, too. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2
};

enum rw {
	RW_RANDREAD,
	RW_RANDWRITE,
	RW_READ,
	RW_WRITE
};

struct options {
	const char *address;	/* or the name of a vDPA device; NULL if not given */
	bool json;
	bool trace;
	bool quiet;
	bool packed;
	bool busy;
	bool has_length;
	uint32_t device_type;
	int timeout_ms;
	uint64_t offset;
	uint64_t length;
	enum rw rw;
	const char *rw_name;
	uint64_t bs;
	unsigned int iodepth;
	unsigned int queues;
	double runtime;
	const char *root;
	const char *mgmtdev;
	const char *name;
	const char *features;
	bool has_mac;
	uint8_t mac[6];
	unsigned int mtu;	/* 0: not given */
	unsigned int max_vqp;
};

/* --- util.c */

/* Set by SIGINT and SIGTERM; a second signal ends the program at once. */
extern volatile sig_atomic_t interrupted;
void catch_signals(void);

void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A sentence of the library's: for vhost_dev_open() pass no device. */
void complain_dev(const struct options *opts, const vhost_dev_t *dev);

uint64_t now_ns(void);
/* "1.5 GiB", "12.3 us": into @buf, which is returned. */
const char *format_bytes(uint64_t bytes, char *buf, size_t size);
const char *format_time(uint64_t ns, char *buf, size_t size);

/*
 * Text that others wrote: what is not printable ASCII is written as \xNN. escape()
 * leaves out what does not fit, four bytes and one more for each character.
 */
void put_escaped(const char *text, FILE *to);
const char *escape(const char *text, char *buf, size_t size);
/* The words of @text, with a label of @width before, in lines that fit a terminal. */
void print_words(int width, const char *label, const char *text);
/* Have all output written; an exit code. */
int end_of_output(void);

int open_device(const struct options *opts, uint32_t device_id, vhost_dev_t **ret);

#define CONFIG_MAX 256
/*
 * Read as much as the device has of a configuration space of type @device_id.
 * Return: bytes read; 0 if it has none that is known; or a negative errno.
 */
int read_config(vhost_dev_t *dev, uint32_t device_id, uint8_t buf[CONFIG_MAX]);

struct progress {
	const char *verb;
	uint64_t total;		/* 0: not known before the end */
	uint64_t began;
	uint64_t drawn;
	bool bar;
	bool quiet;
};

void progress_begin(struct progress *p, const struct options *opts, const char *verb,
		    uint64_t total);
void progress_update(struct progress *p, uint64_t done);
void progress_end(struct progress *p, uint64_t done, bool whole);

#ifdef HAVE_JSON_C
json_object *json_u64(uint64_t value);
json_object *json_bits(uint64_t bits);		/* "0x12" */
json_object *json_words(const char *text);	/* names with spaces between, as an array */
json_object *json_text(const char *text);	/* whatever bytes; NULL for NULL */
int json_print(json_object *obj);	/* and release it; an exit code */
#endif

/* --- the commands: each returns an exit code */

int cmd_probe(const struct options *opts);
int cmd_blk_info(const struct options *opts);
int cmd_blk_read(const struct options *opts);
int cmd_blk_write(const struct options *opts);
int cmd_blk_bench(const struct options *opts);
int cmd_list(const struct options *opts);
int cmd_vdpa_show(const struct options *opts);
int cmd_vdpa_add(const struct options *opts);
int cmd_vdpa_del(const struct options *opts);

#endif
