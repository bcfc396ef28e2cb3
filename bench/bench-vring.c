/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What a request costs on the device's side of a ring, from the descriptors to the used
 * entry: ours, against a loop that checks what has to be checked and no more, and one
 * that checks nothing and believes that memory is in one piece. The driver is in the same
 * thread, and its part is subtracted. Without --variant it prints times; with it, it does
 * its rounds and nothing else, so that bench/vring-instructions.sh can count instructions.
 */
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mem/guest.h"
#include "ring/vring.h"

#define RING 256u
#define BURST 32u
#define RING_REGION (1u << 20)		/* the first one, which has the rings */
#define REGION (64u << 10)		/* each of the others */
#define GUEST 0x40000000ull		/* where guest memory begins */
#define TABLES 0x40000u			/* in the first region */
#define BUFFERS 0x80000u		/* and buffers, if it is the only one */

enum variant { OURS, CHECKED, UNCHECKED, DRIVER_ONLY };
enum shape { SINGLE, CHAIN, INDIRECT };

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t a, b;			/* split: flags, next; packed: id, flags */
};

#define NEXT 1u
#define WRITE 2u
#define TABLE 4u
#define AVAIL 0x80u
#define USED 0x8000u

struct region {
	uint64_t first, last;
	uint8_t *addr;
};

struct request {			/* as the loops by hand keep it */
	bool in_flight;
	uint16_t n_desc;
	uint32_t in_len;
	struct iovec iov[8];
};

static struct {
	bool packed;
	enum shape shape;
	unsigned int n_regions;
	int fd;
	uint8_t *linear;		/* all of it in one piece */
	uint64_t size;
	struct guest_map *map;
	struct vring_run *run;
	struct region regions[GUEST_REGIONS_MAX];
	struct desc *desc;
	uint8_t *driver, *device;
	/* The driver. */
	uint64_t addr[RING][3];
	uint16_t d_avail, d_flags;
	uint32_t d_pos, d_next;
	/* The loops by hand. */
	struct request requests[RING];
	unsigned int hit;
	uint16_t h_avail, h_used, h_flags, h_used_flags;
	uint32_t h_pos, h_used_pos;
	bool bad;
} b;

static const uint32_t lens[3] = { 16, 4096, 1 };

/* ------------------------------------------------------------------ the driver */

static uint32_t per_request(void)
{
	return b.shape == CHAIN ? 3 : 1;
}

/* Descriptors stay as they are: request i has those from i * per_request() on. */
static __attribute__((noinline)) void drive_split(void)
{
	uint16_t *avail = (uint16_t *)(b.driver + 4);
	uint32_t n = RING / per_request();
	unsigned int i;

	for (i = 0; i < BURST; i++) {
		avail[b.d_avail++ % RING] = (uint16_t)(b.d_next * per_request());
		b.d_next = b.d_next + 1 == n ? 0 : b.d_next + 1;
	}
	__atomic_store_n((uint16_t *)(b.driver + 2), b.d_avail, __ATOMIC_RELEASE);
}

static void put_packed(uint64_t addr, uint32_t len, uint32_t id, uint32_t flags)
{
	struct desc *d = &b.desc[b.d_pos];

	d->addr = addr;
	d->len = len;
	d->a = (uint16_t)id;
	__atomic_store_n(&d->b, (uint16_t)(flags | b.d_flags), __ATOMIC_RELEASE);
	if (++b.d_pos == RING) {
		b.d_pos = 0;
		b.d_flags ^= AVAIL | USED;
	}
}

static __attribute__((noinline)) void drive_packed(void)
{
	unsigned int i;

	for (i = 0; i < BURST; i++) {
		uint32_t id = b.d_next;

		if (b.shape == SINGLE) {
			put_packed(b.addr[id][1], lens[1], id, WRITE);
		} else if (b.shape == INDIRECT) {
			put_packed(GUEST + TABLES + id * 48, 48, id, TABLE);
		} else {
			put_packed(b.addr[id][0], lens[0], id, NEXT);
			put_packed(b.addr[id][1], lens[1], id, NEXT | WRITE);
			put_packed(b.addr[id][2], lens[2], id, WRITE);
		}
		b.d_next = id + 1 == RING / per_request() ? 0 : id + 1;
	}
}

static void drive(void)
{
	if (b.packed)
		drive_packed();
	else
		drive_split();
}

/* ------------------------------------------------- by hand, with and without checks */

/* A range within one region: the last one that was found, or a binary search. */
static inline uint8_t *find(uint64_t addr, uint32_t len)
{
	const struct region *r = &b.regions[b.hit];
	unsigned int low = 0, high = b.n_regions;

	if (addr < r->first || addr > r->last) {
		while (high - low > 1) {
			unsigned int mid = (low + high) / 2;

			if (addr >= b.regions[mid].first)
				low = mid;
			else
				high = mid;
		}
		r = &b.regions[low];
		if (addr < r->first || addr > r->last)
			return NULL;
		b.hit = low;
	}
	if (!len || len - 1 > r->last - addr)
		return NULL;
	return r->addr + (addr - r->first);
}

static inline uint8_t *find_unchecked(uint64_t addr)
{
	return b.linear + (addr - GUEST);
}

static inline __attribute__((always_inline)) bool
add_buffer(struct request *q, struct vhost_req *req, uint64_t addr, uint32_t len, bool write,
	   bool checked)
{
	uint32_t n = req->out + req->in;
	uint8_t *p = checked ? find(addr, len) : find_unchecked(addr);

	if (checked && (!p || n == 8 || (!write && req->in) ||
			(uint64_t)req->out_len + req->in_len + len > UINT32_MAX))
		return false;
	q->iov[n].iov_base = p;
	q->iov[n].iov_len = len;
	if (write) {
		req->in++;
		req->in_len += len;
	} else {
		req->out++;
		req->out_len += len;
	}
	return true;
}

static inline __attribute__((always_inline)) void
begin_request(struct request *q, struct vhost_req *req, uint32_t id)
{
	*req = (struct vhost_req){ .iov = q->iov, .id = id };
}

static inline __attribute__((always_inline)) bool
read_split(struct request *q, struct vhost_req *req, const struct desc *table, uint32_t n,
	   uint32_t i, bool nested, bool checked)
{
	uint32_t steps = 0;

	for (;;) {
		const volatile struct desc *d = &table[i];
		uint64_t addr = d->addr;
		uint32_t len = d->len, flags = d->a, next = d->b;

		if (checked && ++steps > n)
			return false;
		if (flags & TABLE) {
			const struct desc *t = checked ? (void *)find(addr, len) :
				(void *)find_unchecked(addr);

			if (nested || (checked && (!t || flags & NEXT || !len || len % 16)))
				return false;
			table = t;
			n = len / 16;
			i = steps = 0;
			nested = true;
			continue;
		}
		if (!add_buffer(q, req, addr, len, flags & WRITE, checked))
			return false;
		if (!(flags & NEXT))
			return true;
		i = next;
		if (checked && i >= n)
			return false;
	}
}

static inline __attribute__((always_inline)) void pop_split(struct vhost_req *reqs, bool checked)
{
	const uint16_t *avail = (const uint16_t *)(b.driver + 4);
	uint16_t idx = __atomic_load_n((uint16_t *)(b.driver + 2), __ATOMIC_ACQUIRE);
	unsigned int i, n = (uint16_t)(idx - b.h_avail);

	if (checked && n > RING) {
		b.bad = true;
		return;
	}
	if (n > BURST)
		n = BURST;
	for (i = 0; i < n; i++) {
		uint16_t head = *(const volatile uint16_t *)&avail[b.h_avail % RING];
		struct request *q = &b.requests[head];

		if (checked && (head >= RING || q->in_flight)) {
			b.bad = true;
			return;
		}
		begin_request(q, &reqs[i], head);
		if (!read_split(q, &reqs[i], b.desc, RING, head, false, checked)) {
			b.bad = true;
			return;
		}
		q->in_len = reqs[i].in_len;
		q->in_flight = true;
		b.h_avail++;
	}
}

static inline __attribute__((always_inline)) void push_split(const struct vhost_req *reqs,
							     bool checked)
{
	uint32_t *used = (uint32_t *)(b.device + 4);
	unsigned int i;

	for (i = 0; i < BURST; i++) {
		uint32_t id = reqs[i].id, len = reqs[i].written;

		if (checked && (id >= RING || !b.requests[id].in_flight)) {
			b.bad = true;
			return;
		}
		if (checked && len > b.requests[id].in_len)
			len = b.requests[id].in_len;
		b.requests[id].in_flight = false;
		used[2 * (b.h_used % RING)] = id;
		used[2 * (b.h_used++ % RING) + 1] = len;
	}
	__atomic_store_n((uint16_t *)(b.device + 2), b.h_used, __ATOMIC_RELEASE);
}

static inline __attribute__((always_inline)) bool
read_packed(struct request *q, struct vhost_req *req, bool checked)
{
	for (;;) {
		const volatile struct desc *d = &b.desc[b.h_pos];
		uint64_t addr = d->addr;
		uint32_t len = d->len, flags = d->b;

		if (checked && (flags & (AVAIL | USED)) != b.h_flags)
			return false;
		if (checked && q->n_desc == RING)
			return false;
		q->n_desc++;
		if (++b.h_pos == RING) {
			b.h_pos = 0;
			b.h_flags ^= AVAIL | USED;
		}
		if (flags & TABLE) {
			const volatile struct desc *t = checked ? (void *)find(addr, len) :
				(void *)find_unchecked(addr);
			uint32_t i;

			if (checked && (!t || flags & NEXT || !len || len % 16))
				return false;
			for (i = 0; i < len / 16; i++) {
				uint64_t t_addr = t[i].addr;
				uint32_t t_len = t[i].len, t_flags = t[i].b;

				if (!add_buffer(q, req, t_addr, t_len, t_flags & WRITE, checked))
					return false;
			}
			return true;
		}
		if (!add_buffer(q, req, addr, len, flags & WRITE, checked))
			return false;
		if (!(flags & NEXT))
			return true;
	}
}

static inline __attribute__((always_inline)) void pop_packed(struct vhost_req *reqs, bool checked)
{
	unsigned int n;

	for (n = 0; n < BURST; n++) {
		struct desc *d = &b.desc[b.h_pos];
		uint16_t flags = __atomic_load_n(&d->b, __ATOMIC_ACQUIRE);
		struct request *q;
		uint16_t id;

		if ((flags & (AVAIL | USED)) != b.h_flags)
			break;
		/* This driver has the id in each descriptor. */
		id = *(const volatile uint16_t *)&d->a;
		q = &b.requests[id];
		if (checked && (id >= RING || q->in_flight)) {
			b.bad = true;
			return;
		}
		q->n_desc = 0;
		begin_request(q, &reqs[n], id);
		if (!read_packed(q, &reqs[n], checked)) {
			b.bad = true;
			return;
		}
		q->in_len = reqs[n].in_len;
		q->in_flight = true;
	}
}

static inline __attribute__((always_inline)) void push_packed(const struct vhost_req *reqs,
							      bool checked)
{
	uint16_t first_flags = 0;
	struct desc *first = &b.desc[b.h_used_pos];
	unsigned int i;

	for (i = 0; i < BURST; i++) {
		struct desc *d = &b.desc[b.h_used_pos];
		uint32_t id = reqs[i].id, len = reqs[i].written;
		uint16_t flags;

		if (checked && (id >= RING || !b.requests[id].in_flight)) {
			b.bad = true;
			return;
		}
		if (checked && len > b.requests[id].in_len)
			len = b.requests[id].in_len;
		b.requests[id].in_flight = false;
		flags = (uint16_t)(b.h_used_flags | (len ? WRITE : 0));
		d->len = len;
		d->a = (uint16_t)id;
		if (i)
			d->b = flags;
		else
			first_flags = flags;
		b.h_used_pos += b.requests[id].n_desc;
		if (b.h_used_pos >= RING) {
			b.h_used_pos -= RING;
			b.h_used_flags ^= AVAIL | USED;
		}
	}
	__atomic_store_n(&first->b, first_flags, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------- the rounds */

/* Names of their own, so that what they take can be counted apart from all else. */
static __attribute__((noinline)) void pop_ours(struct vhost_req *reqs)
{
	b.bad |= vring_pop(b.run, reqs, BURST) != BURST;
}

static __attribute__((noinline)) void push_ours(const struct vhost_req *reqs)
{
	bool gone;

	b.bad |= vring_push(b.run, reqs, BURST, &gone) != 0;
}

static __attribute__((noinline)) void pop_checked(struct vhost_req *reqs)
{
	if (b.packed)
		pop_packed(reqs, true);
	else
		pop_split(reqs, true);
}

static __attribute__((noinline)) void push_checked(const struct vhost_req *reqs)
{
	if (b.packed)
		push_packed(reqs, true);
	else
		push_split(reqs, true);
}

static __attribute__((noinline)) void pop_unchecked(struct vhost_req *reqs)
{
	if (b.packed)
		pop_packed(reqs, false);
	else
		pop_split(reqs, false);
}

static __attribute__((noinline)) void push_unchecked(const struct vhost_req *reqs)
{
	if (b.packed)
		push_packed(reqs, false);
	else
		push_split(reqs, false);
}

static void pop_nothing(struct vhost_req *reqs)
{
	(void)reqs;
}

static void push_nothing(const struct vhost_req *reqs)
{
	(void)reqs;
}

static const struct {
	void (*pop)(struct vhost_req *reqs);
	void (*push)(const struct vhost_req *reqs);
} ways[] = {
	{ pop_ours, push_ours },
	{ pop_checked, push_checked },
	{ pop_unchecked, push_unchecked },
	{ pop_nothing, push_nothing },
};

static void rounds(enum variant variant, unsigned long n)
{
	struct vhost_req reqs[BURST];
	unsigned int i;

	memset(reqs, 0, sizeof(reqs));
	while (n-- && !b.bad) {
		drive();
		ways[variant].pop(reqs);
		/* the device */
		for (i = 0; i < BURST; i++)
			reqs[i].written = 1;
		ways[variant].push(reqs);
	}
	if (variant != DRIVER_ONLY && (reqs[BURST - 1].in_len != (b.shape == SINGLE ? 4096 : 4097) ||
				       reqs[BURST - 1].out_len != (b.shape == SINGLE ? 0 : 16)))
		b.bad = true;
}

/* Where the buffers of request @i are: each in another region, if there are any. */
static uint64_t place(unsigned int i, unsigned int k)
{
	unsigned int n = b.n_regions, at = i * 3 + k;

	if (n == 1)
		return GUEST + BUFFERS + (uint64_t)(at % 64) * 8192;
	return GUEST + RING_REGION + (uint64_t)(1 + at * 7 % (n - 1) - 1) * REGION + at % 8 * 8192;
}

static int map_memory(void)
{
	struct guest_region *regions[GUEST_REGIONS_MAX];
	const char *why = "";
	unsigned int i, n;
	int r = 0;

	b.size = RING_REGION + (uint64_t)(b.n_regions - 1) * REGION;
	b.fd = memfd_create("bench-vring", MFD_CLOEXEC);
	if (b.fd < 0 || ftruncate(b.fd, (off_t)b.size) < 0)
		return -errno;
	b.linear = mmap(NULL, b.size, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0);
	if (b.linear == MAP_FAILED)
		return -errno;
	for (n = 0; n < b.n_regions && r == 0; n++) {
		uint64_t at = n ? RING_REGION + (uint64_t)(n - 1) * REGION : 0;
		struct guest_region_desc d = {
			.guest = GUEST + at, .user = 0x7f0000000000ull + at, .fd = b.fd,
			.size = n ? REGION : RING_REGION, .fd_offset = at,
		};

		r = guest_region_new(&d, &regions[n], &why);
		if (r == 0)
			b.regions[n] = (struct region){ .first = d.guest, .addr = regions[n]->addr,
							.last = d.guest + d.size - 1 };
	}
	if (r < 0)
		n--;
	else
		r = guest_map_new(regions, n, &b.map, &why);
	for (i = 0; i < n; i++)
		guest_region_unref(regions[i]);
	if (r < 0)
		fprintf(stderr, "bench-vring: no memory: %s\n", why);
	return r;
}

static void prepare_driver(void)
{
	struct desc *tables = (struct desc *)(b.regions[0].addr + TABLES);
	unsigned int i, k;

	for (i = 0; i < RING / per_request(); i++) {
		for (k = 0; k < 3; k++)
			b.addr[i][k] = place(i, k);
		for (k = 0; k < 3 && b.shape == INDIRECT; k++) {
			struct desc *d = &tables[i * 3 + k];

			d->addr = b.addr[i][k];
			d->len = lens[k];
			if (b.packed)
				d->b = k ? WRITE : 0;
			else
				d->a = (uint16_t)((k ? WRITE : 0) | (k < 2 ? NEXT : 0));
			if (!b.packed)
				d->b = (uint16_t)(k + 1);
		}
		if (b.packed)
			continue;
		if (b.shape == SINGLE)
			b.desc[i] = (struct desc){ b.addr[i][1], lens[1], WRITE, 0 };
		else if (b.shape == INDIRECT)
			b.desc[i] = (struct desc){ GUEST + TABLES + i * 48, 48, TABLE, 0 };
		for (k = 0; k < 3 && b.shape == CHAIN; k++)
			b.desc[i * 3 + k] = (struct desc){ b.addr[i][k], lens[k],
				(uint16_t)((k ? WRITE : 0) | (k < 2 ? NEXT : 0)),
				(uint16_t)(i * 3 + k + 1) };
	}
	b.d_flags = b.h_flags = AVAIL;
	b.h_used_flags = AVAIL | USED;
}

static int prepare(bool packed, enum shape shape, unsigned int n_regions)
{
	uint64_t features = 1ull << 32 | 1ull << 28 | (packed ? 1ull << 34 : 0);
	struct vring_areas areas = { GUEST, GUEST + 0x2000, GUEST + 0x3000 };
	struct vring_config config = {
		.size = RING, .features = features, .base = packed ? 0x80008000 : 0,
	};
	struct vring_memory mem = { 0 };
	struct vring_miss miss;
	char why[192] = "";
	void *at[3];
	int r;

	memset(&b, 0, sizeof(b));
	b.packed = packed;
	b.shape = shape;
	b.n_regions = n_regions;
	r = map_memory();
	if (r < 0)
		return r;
	mem.map = b.map;
	r = vring_find_areas(&mem, VRING_ADDRESS_GUEST, &areas, RING, features, at, &miss, why,
			     sizeof(why));
	if (r == 0) {
		config.desc = at[0];
		config.driver = at[1];
		config.device = at[2];
		r = vring_run_new(&config, &mem, &b.run, why, sizeof(why));
	}
	if (r < 0) {
		fprintf(stderr, "bench-vring: no ring: %s\n", why);
		return r;
	}
	b.desc = at[0];
	b.driver = at[1];
	b.device = at[2];
	prepare_driver();
	return 0;
}

static void clean_up(void)
{
	if (b.run)
		vring_run_free(b.run);
	guest_map_unref(b.map);
	if (b.linear && b.linear != MAP_FAILED)
		munmap(b.linear, b.size);
	if (b.fd > 0)
		close(b.fd);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int measure(bool packed, enum shape shape, unsigned int regions, enum variant variant,
		   unsigned long count, double *ns)
{
	int r = prepare(packed, shape, regions);

	if (r == 0) {
		*ns = now();
		rounds(variant, count / BURST);
		*ns = (now() - *ns) / (double)(count / BURST * BURST);
		if (b.bad) {
			fprintf(stderr, "bench-vring: requests went wrong: %s\n",
				vring_broken(b.run) ? vring_broken(b.run) : "by hand");
			r = -EIO;
		}
	}
	clean_up();
	return r;
}

static int usage(FILE *f)
{
	fputs("Usage: bench-vring [--count N]\n"
	      "       bench-vring --variant ours|checked|unchecked|driver-only\n"
	      "                   --layout split|packed --shape single|chain|indirect\n"
	      "                   --regions N [--count N]\n"
	      "Requests in bursts of 32 through a ring of 256, the driver in the same thread.\n"
	      "The first form prints times; the second runs and prints nothing.\n", f);
	return f == stdout ? 0 : 2;
}

static int index_of(const char *s, const char *const *names, int n)
{
	while (n-- > 0)
		if (!strcmp(s, names[n]))
			break;
	return n;
}

static const char *const variants[] = { "ours", "checked", "unchecked", "driver-only" };
static const char *const layouts[] = { "split", "packed" };
static const char *const shapes[] = { "single", "chain", "indirect" };

static int table(unsigned long count)
{
	static const unsigned int regions[] = { 1, 8, 64, 509 };
	unsigned int layout, shape, n, i, v;

	printf("%-8s %-8s %7s %9s %9s %9s %9s %9s\n", "layout", "shape", "regions", "ours ns",
	       "checked", "unchecked", "/checked", "/unch.");
	for (layout = 0; layout < 2; layout++)
		for (shape = SINGLE; shape <= INDIRECT; shape++)
			for (n = 0; n < 4; n++) {
				double best[4] = { 0, 0, 0, 0 }, ns = 0;

				/* The best of five, in turn, so that noise hits all alike. */
				for (i = 0; i < 5; i++)
					for (v = OURS; v <= DRIVER_ONLY; v++) {
						if (measure(layout, (enum shape)shape, regions[n],
							    (enum variant)v, count / 5, &ns) < 0)
							return 1;
						if (!best[v] || ns < best[v])
							best[v] = ns;
					}
				for (v = OURS; v < DRIVER_ONLY; v++)
					best[v] -= best[DRIVER_ONLY];
				printf("%-8s %-8s %7u %9.2f %9.2f %9.2f %9.2f %9.2f\n", layouts[layout],
				       shapes[shape], regions[n], best[OURS], best[CHECKED],
				       best[UNCHECKED], best[OURS] / best[CHECKED],
				       best[OURS] / best[UNCHECKED]);
			}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "variant", required_argument, NULL, 'v' },
		{ "layout", required_argument, NULL, 'l' },
		{ "shape", required_argument, NULL, 's' },
		{ "regions", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int variant = 0, opt, layout = 0, shape = 0;
	unsigned long count = 2000000, regions = 1;
	bool one = false;
	double ns;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			count = strtoul(optarg, NULL, 10);
			break;
		case 'v':
			variant = index_of(optarg, variants, 4);
			one = true;
			break;
		case 'l':
			layout = index_of(optarg, layouts, 2);
			break;
		case 's':
			shape = index_of(optarg, shapes, 3);
			break;
		case 'r':
			regions = strtoul(optarg, NULL, 10);
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (variant < 0 || layout < 0 || shape < 0 || regions < 1 || regions > GUEST_REGIONS_MAX ||
	    count < 5 * BURST || optind != argc)
		return usage(stderr);
	if (one)
		return measure(layout, (enum shape)shape, (unsigned int)regions,
			       (enum variant)variant, count, &ns) < 0;
	return table(count);
}
