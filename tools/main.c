/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vhostctl.h"

enum {
	OPT_JSON = 'j',
	OPT_DEVICE_TYPE = 'd',
	OPT_TRACE = 't',
	OPT_TIMEOUT = 'T',
	OPT_QUIET = 'q',
	OPT_OFFSET = 'o',
	OPT_LENGTH = 'l',
	OPT_RW = 'w',
	OPT_BS = 'b',
	OPT_IODEPTH = 'i',
	OPT_QUEUES = 'Q',
	OPT_RUNTIME = 'r',
	OPT_PACKED = 'p',
	OPT_BUSY_POLL = 'B',
	OPT_HELP = 'h',
	OPT_VERSION = 'V'
};

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "device-type", required_argument, NULL, OPT_DEVICE_TYPE },
	{ "trace", no_argument, NULL, OPT_TRACE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "offset", required_argument, NULL, OPT_OFFSET },
	{ "length", required_argument, NULL, OPT_LENGTH },
	{ "rw", required_argument, NULL, OPT_RW },
	{ "bs", required_argument, NULL, OPT_BS },
	{ "iodepth", required_argument, NULL, OPT_IODEPTH },
	{ "queues", required_argument, NULL, OPT_QUEUES },
	{ "runtime", required_argument, NULL, OPT_RUNTIME },
	{ "packed", no_argument, NULL, OPT_PACKED },
	{ "busy-poll", no_argument, NULL, OPT_BUSY_POLL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 }
};

/* The options that a command takes besides --trace, --timeout, --help, --version. */
static const struct command {
	const char *group;
	const char *name;
	const char *options;
	int (*run)(const struct options *opts);
} commands[] = {
	{ NULL, "probe", "jd", cmd_probe },
	{ "blk", "info", "j", cmd_blk_info },
	{ "blk", "read", "olpq", cmd_blk_read },
	{ "blk", "write", "olpq", cmd_blk_write },
	{ "blk", "bench", "jolwbiQrpB", cmd_blk_bench },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	fputs("usage: vhostctl probe ADDRESS [--json] [--device-type NAME]\n"
	      "       vhostctl blk info ADDRESS [--json]\n"
	      "       vhostctl blk read ADDRESS [--offset BYTES] [--length BYTES] > FILE\n"
	      "       vhostctl blk write ADDRESS [--offset BYTES] [--length BYTES] < FILE\n"
	      "       vhostctl blk bench ADDRESS [--rw randread|randwrite|read|write] ...\n"
	      "\n"
	      "An ADDRESS is unix:PATH, unix-listen:PATH or fd:N. BYTES may end in K, M, G, T.\n"
	      "\n"
	      "  --json               print JSON\n"
	      "  --device-type NAME   what the device is, if it does not tell: net, block, fs...\n"
	      "  --offset, --length   the part of the disk; all of it by default\n"
	      "  --packed             use packed rings\n"
	      "  --quiet              no progress\n"
	      "  --trace              print the conversation with the device to stderr\n"
	      "  --timeout SECONDS    how long to wait for the device (default 10)\n"
	      "  --version, --help\n"
	      "\n"
	      "bench:\n"
	      "  --rw KIND            randread (default), randwrite, read or write;\n"
	      "                       the writing ones overwrite the disk\n"
	      "  --bs BYTES           of a request (default 4K)\n"
	      "  --iodepth N          requests in flight on each queue (default 1)\n"
	      "  --queues N           how many queues (default 1)\n"
	      "  --runtime SECONDS    (default 5)\n"
	      "  --busy-poll          never sleep for a completion\n"
	      "\n"
	      "Exit status: 0 done; 1 failed; 2 wrong usage.\n", to);
}

static int bad(const char *what, const char *value)
{
	complain("%s: \"%s\" is not valid", what, value);
	return -EINVAL;
}

static int parse_count(const char *what, const char *text, unsigned int max, unsigned int *ret)
{
	uint64_t v;

	if (parse_size(text, &v) < 0)
		return bad(what, text);
	if (v < 1 || v > max) {
		complain("%s: must be 1 to %u", what, max);
		return -EINVAL;
	}
	*ret = (unsigned int)v;
	return 0;
}

static int parse_seconds(const char *what, const char *text, double max, double *ret)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !isfinite(v) || v <= 0 || v > max)
		return bad(what, text);
	*ret = v;
	return 0;
}

static int parse_rw(const char *text, struct options *opts)
{
	static const char *const names[] = {
		[RW_RANDREAD] = "randread", [RW_RANDWRITE] = "randwrite",
		[RW_READ] = "read", [RW_WRITE] = "write"
	};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			opts->rw = (enum rw)i;
			opts->rw_name = names[i];
			return 0;
		}
	}
	return bad("--rw", text);
}

static int parse_option(int c, const char *arg, struct options *opts)
{
	double s;

	switch (c) {
	case OPT_JSON:
#ifdef HAVE_JSON_C
		opts->json = true;
		return 0;
#else
		complain("--json: this vhostctl was built without json-c");
		return -ENOTSUP;
#endif
	case OPT_DEVICE_TYPE:
		opts->device_type = vhost_device_from_name(arg);
		if (!opts->device_type && parse_count("--device-type", arg, 63, &opts->device_type) < 0)
			return -EINVAL;
		return 0;
	case OPT_TRACE:
		opts->trace = true;
		return 0;
	case OPT_TIMEOUT:
		if (parse_seconds("--timeout", arg, 1e6, &s) < 0)
			return -EINVAL;
		opts->timeout_ms = s < 0.001 ? 1 : (int)(s * 1000);
		return 0;
	case OPT_QUIET:
		opts->quiet = true;
		return 0;
	case OPT_OFFSET:
		return parse_size(arg, &opts->offset) < 0 ? bad("--offset", arg) : 0;
	case OPT_LENGTH:
		opts->has_length = true;
		return parse_size(arg, &opts->length) < 0 ? bad("--length", arg) : 0;
	case OPT_RW:
		return parse_rw(arg, opts);
	case OPT_BS:
		return parse_size(arg, &opts->bs) < 0 ? bad("--bs", arg) : 0;
	case OPT_IODEPTH:
		return parse_count("--iodepth", arg, 1024, &opts->iodepth);
	case OPT_QUEUES:
		return parse_count("--queues", arg, 256, &opts->queues);
	case OPT_RUNTIME:
		return parse_seconds("--runtime", arg, 1e6, &opts->runtime);
	case OPT_PACKED:
		opts->packed = true;
		return 0;
	case OPT_BUSY_POLL:
		opts->busy = true;
		return 0;
	}
	return -EINVAL;
}

static int misused(void)
{
	fputs("Try: vhostctl --help\n", stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct options opts = {
		.timeout_ms = 10000,
		.rw = RW_RANDREAD,
		.rw_name = "randread",
		.bs = 4096,
		.iodepth = 1,
		.queues = 1,
		.runtime = 5,
	};
	const struct command *cmd = NULL;
	char given[64] = "";
	size_t n_given = 0;
	char **words;
	int c, n;

	while ((c = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		if (c == OPT_HELP) {
			usage(stdout);
			return EXIT_OK;
		}
		if (c == OPT_VERSION) {
			printf("vhostctl %s (libvhost %s)\n", PACKAGE_VERSION, vhost_version());
			return EXIT_OK;
		}
		if (c == '?' || parse_option(c, optarg, &opts) < 0)
			return misused();
		if (!strchr(given, c) && n_given < sizeof(given) - 1)
			given[n_given++] = (char)c;
	}
	words = argv + optind;
	n = argc - optind;

	if (n == 0) {
		usage(stderr);
		return EXIT_USAGE;
	}
	for (unsigned int i = 0; i < N_COMMANDS && !cmd; i++) {
		const struct command *t = &commands[i];
		int skip = t->group ? 2 : 1;

		if (t->group ? n > 1 && !strcmp(words[0], t->group) && !strcmp(words[1], t->name) :
			       !strcmp(words[0], t->name)) {
			cmd = t;
			words += skip;
			n -= skip;
		}
	}
	if (!cmd) {
		if (!strcmp(words[0], "blk"))
			complain("blk does one of: info, read, write, bench");
		else
			complain("there is no command \"%s\"", words[0]);
		return misused();
	}
	for (const char *g = given; *g; g++) {
		if (*g == OPT_TRACE || *g == OPT_TIMEOUT || strchr(cmd->options, *g))
			continue;
		for (const struct option *o = long_options; o->name; o++)
			if (o->val == *g)
				complain("%s does not take --%s", cmd->name, o->name);
		return misused();
	}
	if (n != 1) {
		complain(n ? "%s takes one address" : "%s needs the address of a device, such as unix:PATH",
			 cmd->name);
		return misused();
	}
	opts.address = words[0];
	catch_signals();
	return cmd->run(&opts);
}
