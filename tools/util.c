/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "vhostctl.h"

volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

void catch_signals(void)
{
	/*
	 * No SA_RESTART: whatever waits is to see it. Only the first signal is
	 * caught, so that the second one ends a program that is stuck.
	 */
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	/* A reader of our output that went away shows as EPIPE, and we stop the device. */
	signal(SIGPIPE, SIG_IGN);
}

void complain(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("vhostctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void complain_dev(const struct options *opts, const vhost_dev_t *dev)
{
	const char *why = dev ? vhost_dev_error(dev) : vhost_last_error();

	/* The sentence of a failed open names the address by itself. */
	if (strstr(why, opts->address))
		complain("%s", why);
	else
		complain("%s: %s", opts->address, why);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

const char *format_bytes(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned int u = 0;

	while (value >= 1024 && u < sizeof(units) / sizeof(units[0]) - 1) {
		value /= 1024;
		u++;
	}
	snprintf(buf, size, u ? "%.1f %s" : "%.0f %s", value, units[u]);
	return buf;
}

const char *format_time(uint64_t ns, char *buf, size_t size)
{
	if (ns < 1000000)
		snprintf(buf, size, "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(buf, size, "%.2f ms", (double)ns / 1e6);
	else
		snprintf(buf, size, "%.2f s", (double)ns / 1e9);
	return buf;
}

void put_escaped(const char *text, FILE *to)
{
	for (const char *p = text; *p; p++) {
		if (*p == '\\')
			fputs("\\\\", to);
		else if (*p < ' ' || *p > '~')
			fprintf(to, "\\x%02x", (unsigned char)*p);
		else
			fputc(*p, to);
	}
}

const char *escape(const char *text, char *buf, size_t size)
{
	size_t n = 0;

	/* Each takes four characters at most; what does not fit is left out. */
	for (const char *p = text; *p && n + 5 <= size; p++) {
		if (*p == '\\')
			n += (size_t)snprintf(buf + n, size - n, "\\\\");
		else if (*p < ' ' || *p > '~')
			n += (size_t)snprintf(buf + n, size - n, "\\x%02x", (unsigned char)*p);
		else
			buf[n++] = *p;
	}
	buf[n] = 0;
	return buf;
}

void print_words(int width, const char *label, const char *text)
{
	unsigned int column = 0, room = (unsigned int)(78 - width);
	const char *p = text;

	printf("%-*s", width, label);
	if (!*text)
		printf("none");
	while (*p) {
		size_t n = strcspn(p, " ");

		if (column && column + 1 + n > room) {
			printf("\n%-*s", width, "");
			column = 0;
		}
		printf("%s%.*s", column ? " " : "", (int)n, p);
		column += (unsigned int)n + (column ? 1 : 0);
		p += n;
		p += strspn(p, " ");
	}
	putchar('\n');
}

int end_of_output(void)
{
	if (!fflush(stdout))
		return EXIT_OK;
	complain("cannot write to the standard output: %s", strerror(errno));
	return EXIT_FAILED;
}

static void print_trace(const struct vhost_trace_event *event, void *opaque)
{
	char line[1024];

	(void)opaque;
	if (vhost_trace_format(event, line, sizeof(line)) >= 0)
		fprintf(stderr, "%s\n", line);
}

int open_device(const struct options *opts, uint32_t device_id, vhost_dev_t **ret)
{
	struct vhost_dev_opts o = {
		.timeout_ms = opts->timeout_ms,
		.device_id = device_id,
		.trace = opts->trace ? print_trace : NULL,
	};
	int r = vhost_dev_open(opts->address, &o, sizeof(o), ret);

	if (r < 0)
		complain_dev(opts, NULL);
	return r;
}

/*
 * A device refuses to give more than it has, and how much it has depends on how new
 * it is. So what it has is searched for, below the end of the last field known.
 */
int read_config(vhost_dev_t *dev, uint32_t device_id, uint8_t buf[CONFIG_MAX])
{
	static const uint8_t zeros[CONFIG_MAX];
	struct vhost_config_field field;
	uint64_t has = 0, most = 0;
	uint32_t good = 0, refused, size = 0;

	vhost_dev_get_cap(dev, VHOST_CAP_CONFIG, &has);
	vhost_dev_get_cap(dev, VHOST_CAP_CONFIG_MAX, &most);
	if (!has)
		return 0;
	for (unsigned int i = 0; !vhost_config_field(device_id, UINT64_MAX, zeros, sizeof(zeros), i,
						     &field, sizeof(field)); i++)
		if (field.offset + field.length > size)
			size = field.offset + field.length;
	if (size > most)
		size = (uint32_t)most;
	refused = size + 1;
	while (good + 1 < refused) {
		uint8_t part[CONFIG_MAX];
		int r = vhost_dev_get_config(dev, 0, part, size);

		if (r == 0) {
			memcpy(buf, part, size);
			good = size;
		} else if (r == -EREMOTEIO) {
			refused = size;
		} else {
			return r;
		}
		size = good + (refused - good) / 2;
	}
	return (int)good;
}

/* ---------------------------------------------------------------- progress */

void progress_begin(struct progress *p, const struct options *opts, const char *verb,
		    uint64_t total)
{
	*p = (struct progress){
		.verb = verb,
		.total = total,
		.began = now_ns(),
		.quiet = opts->quiet,
		.bar = !opts->quiet && !opts->trace && isatty(STDERR_FILENO),
	};
}

static const char *format_rate(const struct progress *p, uint64_t done, char *buf, size_t size)
{
	double s = (double)(now_ns() - p->began) / 1e9;
	double rate = s > 0 ? (double)done / s / 1e6 : 0;

	snprintf(buf, size, rate < 10 ? "%.2f MB/s" : "%.0f MB/s", rate);
	return buf;
}

static void draw(struct progress *p, uint64_t done)
{
	char a[32], b[32], r[32], text[128], bar[128];
	struct winsize ws;
	int columns = 80, width, n;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col)
		columns = ws.ws_col;
	format_bytes(done, a, sizeof(a));
	if (done > p->total) {	/* not known, or a file that grew */
		fprintf(stderr, "\r\033[K%s %s, %s", p->verb, a,
			format_rate(p, done, r, sizeof(r)));
		return;
	}
	n = snprintf(text, sizeof(text), " %3u %%  %s of %s  %s",
		     (unsigned int)((double)done * 100 / (double)p->total), a,
		     format_bytes(p->total, b, sizeof(b)), format_rate(p, done, r, sizeof(r)));
	width = columns - n - 3;
	if (width > 40)
		width = 40;
	if (width < 4) {
		fprintf(stderr, "\r\033[K%s", text);
		return;
	}
	n = (int)((double)done * width / (double)p->total);
	memset(bar, '#', (size_t)n);
	memset(bar + n, '.', (size_t)(width - n));
	fprintf(stderr, "\r\033[K[%.*s]%s", width, bar, text);
}

void progress_update(struct progress *p, uint64_t done)
{
	uint64_t now;

	if (!p->bar || !done)
		return;
	now = now_ns();
	if (now - p->drawn < 100000000)
		return;
	p->drawn = now;
	draw(p, done);
}

/* The bar stays, if all was done; without a terminal there is one line at the end. */
void progress_end(struct progress *p, uint64_t done, bool whole)
{
	char a[32], r[32], t[32];

	if (p->quiet)
		return;
	if (p->bar) {
		if (done) {
			draw(p, done);
			fputc('\n', stderr);
		}
		return;
	}
	if (whole)
		fprintf(stderr, "%s %s in %s, %s\n", p->verb, format_bytes(done, a, sizeof(a)),
			format_time(now_ns() - p->began, t, sizeof(t)),
			format_rate(p, done, r, sizeof(r)));
}

/* -------------------------------------------------------------------- JSON */

#ifdef HAVE_JSON_C
json_object *json_u64(uint64_t value)
{
#if JSON_C_VERSION_NUM >= ((0 << 16) | (14 << 8))
	return json_object_new_uint64(value);
#else
	return json_object_new_int64(value > INT64_MAX ? INT64_MAX : (int64_t)value);
#endif
}

json_object *json_bits(uint64_t bits)
{
	char text[24];

	snprintf(text, sizeof(text), "%#" PRIx64, bits);
	return json_object_new_string(text);
}

json_object *json_words(const char *text)
{
	json_object *array = json_object_new_array();

	while (*text) {
		size_t n = strcspn(text, " ");

		json_object_array_add(array, json_object_new_string_len(text, (int)n));
		text += n;
		text += strspn(text, " ");
	}
	return array;
}

/* How many bytes the UTF-8 sequence at @p has; 0 if it is none. */
static size_t utf8(const unsigned char *p)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *p < 0x80 ? 1 : *p < 0xc0 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 :
		   *p < 0xf8 ? 4 : 0;
	uint32_t c;

	if (n < 2)
		return n;
	c = *p & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

json_object *json_text(const char *text)
{
	json_object *string = NULL;
	const char *p = text;
	size_t n, size;
	char *buf;

	if (!text)
		return NULL;
	while (*p && (n = utf8((const unsigned char *)p)))
		p += n;
	if (!*p)
		return json_object_new_string(text);
	size = strlen(text) * 4 + 5;
	buf = malloc(size);
	if (buf)
		string = json_object_new_string(escape(text, buf, size));
	free(buf);
	return string;
}

int json_print(json_object *obj)
{
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(obj);
	return end_of_output();
}
#endif
