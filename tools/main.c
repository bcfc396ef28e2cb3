/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <errno.h>
#include <fcntl.h>
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
	OPT_ROOT = 'R',
	OPT_MGMTDEV = 'm',
	OPT_NAME = 'n',
	OPT_MAC = 'a',
	OPT_MTU = 'u',
	OPT_MAX_VQP = 'v',
	OPT_FEATURES = 'f',
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
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "mgmtdev", required_argument, NULL, OPT_MGMTDEV },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "mac", required_argument, NULL, OPT_MAC },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "max-vqp", required_argument, NULL, OPT_MAX_VQP },
	{ "features", required_argument, NULL, OPT_FEATURES },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 }
};

static const char an_address[] = "the address of a device, such as unix:PATH";
static const char a_name[] = "the name of a vDPA device";

/* The options that a command takes besides --help and --version. */
static const struct command {
	const char *group;
	const char *name;
	const char *options;
	int args_min, args_max;
	const char *arg;
	int (*run)(const struct options *opts);
} commands[] = {
	{ NULL, "probe", "tTjd", 1, 1, an_address, cmd_probe },
	{ NULL, "list", "TjR", 0, 0, NULL, cmd_list },
	{ "blk", "info", "tTj", 1, 1, an_address, cmd_blk_info },
	{ "blk", "read", "tTolpq", 1, 1, an_address, cmd_blk_read },
	{ "blk", "write", "tTolpq", 1, 1, an_address, cmd_blk_write },
	{ "blk", "bench", "tTjolwbiQrpB", 1, 1, an_address, cmd_blk_bench },
	{ "vdpa", "show", "Tj", 0, 1, a_name, cmd_vdpa_show },
	{ "vdpa", "add", "Tjmnauvf", 0, 0, NULL, cmd_vdpa_add },
	{ "vdpa", "del", "Tj", 1, 1, a_name, cmd_vdpa_del },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	fputs("usage: vhostctl probe ADDRESS [--json] [--device-type NAME]\n"
	      "       vhostctl blk info ADDRESS [--json]\n"
	      "       vhostctl blk read ADDRESS [--offset BYTES] [--length BYTES] > FILE\n"
	      "       vhostctl blk write ADDRESS [--offset BYTES] [--length BYTES] < FILE\n"
	      "       vhostctl blk bench ADDRESS [--rw randread|randwrite|read|write] ...\n"
	      "       vhostctl list [--json] [--root DIR]\n"
	      "       vhostctl vdpa show [NAME] [--json]\n"
	      "       vhostctl vdpa add --mgmtdev MGMTDEV --name NAME [--mac MAC] [--mtu N]\n"
	      "                         [--max-vqp N] [--features MASK|NAME,...] [--json]\n"
	      "       vhostctl vdpa del NAME [--json]\n"
	      "\n"
	      "An ADDRESS is unix:PATH, unix-listen:PATH, fd:N, vdpa:NAME or a /dev/vhost node.\nBYTES may end in K, M, G, T.\n"
	      "\n"
	      "  --json               print JSON\n"
	      "  --device-type NAME   what the device is, if it does not tell: net, block, fs...\n"
	      "  --offset, --length   the part of the disk; all of it by default\n"
	      "  --packed             use packed rings\n"
	      "  --quiet              no progress\n"
	      "  --trace              print the conversation with the device to stderr\n"
	      "  --timeout SECONDS    how long to wait for the device (default 10)\n"
	      "  --root DIR           list what an image below DIR has\n"
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
	      "vdpa add:\n"
	      "  --mgmtdev MGMTDEV    what makes the device; vdpa show lists them\n"
	      "  --name NAME          of the new device\n"
	      "  --mac, --mtu         of a network device\n"
	      "  --max-vqp N          pairs of queues of a network device, at most\n"
	      "  --features LIST      what it may offer: a mask, or names with commas between\n"
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
	case OPT_ROOT:
		opts->root = arg;
		return 0;
	case OPT_MGMTDEV:
		opts->mgmtdev = arg;
		return 0;
	case OPT_NAME:
		opts->name = arg;
		return 0;
	case OPT_MAC:
		opts->has_mac = true;
		return parse_mac(arg, opts->mac) < 0 ? bad("--mac", arg) : 0;
	case OPT_MTU:
		if (parse_count("--mtu", arg, 65535, &opts->mtu) < 0)
			return -EINVAL;
		if (opts->mtu < 68) {
			complain("--mtu is at least 68, which is Ethernet's least");
			return -EINVAL;
		}
		return 0;
	case OPT_MAX_VQP:
		return parse_count("--max-vqp", arg, 32768, &opts->max_vqp);
	case OPT_FEATURES:
		opts->features = arg;
		return 0;
	}
	return -EINVAL;
}

static int misused(void)
{
	fputs("Try: vhostctl --help\n", stderr);
	return EXIT_USAGE;
}

/*
 * A device that is opened while one of these is closed would take its place, and get
 * what is meant for people. Whoever uses what stands in there gets an error.
 */
static void keep_standard_fds(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			exit(EXIT_FAILED);
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

	keep_standard_fds();
	while ((c = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		if (c == OPT_HELP) {
			usage(stdout);
			return end_of_output();
		}
		if (c == OPT_VERSION) {
			printf("vhostctl %s (libvhost %s)\n", PACKAGE_VERSION, vhost_version());
			return end_of_output();
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
		else if (!strcmp(words[0], "vdpa"))
			complain("vdpa does one of: show, add, del");
		else
			complain("there is no command \"%s\"", words[0]);
		return misused();
	}
	for (const char *g = given; *g; g++) {
		if (strchr(cmd->options, *g))
			continue;
		for (const struct option *o = long_options; o->name; o++)
			if (o->val == *g)
				complain("%s does not take --%s", cmd->name, o->name);
		return misused();
	}
	if (n > cmd->args_max) {
		complain(cmd->args_max ? "%s takes one argument, %s" : "%s takes no argument%s",
			 cmd->name, cmd->args_max ? cmd->arg : "");
		return misused();
	}
	if (n < cmd->args_min) {
		complain("%s needs %s", cmd->name, cmd->arg);
		return misused();
	}
	opts.address = n ? words[0] : NULL;
	catch_signals();
	return cmd->run(&opts);
}
