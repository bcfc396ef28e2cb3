/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What a request costs on the driver's side: ours against a loop that checks nothing
 * and remembers nothing but the cookie (the floor), both with the same device in the
 * same thread. Without --variant it prints times; with it, it does its rounds and
 * nothing else, so that bench/instructions.sh can count instructions.
 */
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vhost/virtq.h>

#define RING 256u
#define BURST 32u

enum variant { OURS, FLOOR, DEVICE_ONLY };

static struct {
	bool packed;
	unsigned int descs;		/* per request */
	unsigned char *desc, *driver, *device;
	/* The device. */
	uint16_t d_avail, d_used;
	uint32_t d_pos;
	uint16_t d_flags;		/* packed: of what is available in this lap */
	/* The floor. */
	uint16_t f_avail, f_used, f_head;
	uint32_t f_pos, f_used_pos;
	uint16_t f_flags, f_used_flags;
	uint16_t f_next[RING];
	void *f_cookie[RING];
} b;

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t a, b;			/* split: flags, next; packed: id, flags */
};

#define AVAIL 0x80u
#define USED 0x8000u

/* Complete the burst, in order, without looking at the chains. */
static __attribute__((noinline)) void device_split(unsigned int n)
{
	uint16_t *avail = (uint16_t *)(b.driver + 4);
	uint32_t *used = (uint32_t *)(b.device + 4);
	unsigned int i;

	for (i = 0; i < n; i++) {
		used[2 * (b.d_used % RING)] = avail[b.d_avail++ % RING];
		used[2 * (b.d_used++ % RING) + 1] = 64;
	}
	__atomic_store_n((uint16_t *)(b.device + 2), b.d_used, __ATOMIC_RELEASE);
}

static __attribute__((noinline)) void device_packed(unsigned int n)
{
	struct desc *desc = (struct desc *)b.desc;
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct desc *d = &desc[b.d_pos];

		d->len = 64;
		__atomic_store_n(&d->b, b.d_flags & AVAIL ? AVAIL | USED : 0, __ATOMIC_RELEASE);
		b.d_pos += b.descs;
		if (b.d_pos >= RING) {
			b.d_pos -= RING;
			b.d_flags ^= AVAIL | USED;
		}
	}
}

static void device(unsigned int n)
{
	if (b.packed)
		device_packed(n);
	else
		device_split(n);
}

/* ------------------------------------------------------------------ the floor */

static __attribute__((noinline)) void floor_add_split(const struct vhost_virtq_req *reqs)
{
	struct desc *desc = (struct desc *)b.desc;
	uint16_t *ring = (uint16_t *)(b.driver + 4);
	uint16_t head = b.f_head, avail = b.f_avail;
	unsigned int i, j;

	for (i = 0; i < BURST; i++) {
		const struct vhost_virtq_req *r = &reqs[i];
		unsigned int total = (unsigned int)r->out + r->in;
		uint16_t id = head;

		b.f_cookie[head] = r->cookie;
		for (j = 0; j < total; j++) {
			desc[id].addr = r->sg[j].iova;
			desc[id].len = r->sg[j].len;
			desc[id].a = (uint16_t)((j + 1 < total) | (j >= r->out) << 1);
			desc[id].b = b.f_next[id];
			id = b.f_next[id];
		}
		ring[avail++ % RING] = head;
		head = id;
	}
	b.f_head = head;
	b.f_avail = avail;
	__atomic_store_n((uint16_t *)(b.driver + 2), avail, __ATOMIC_RELEASE);
}

static __attribute__((noinline)) void floor_get_split(struct vhost_virtq_done *done)
{
	uint32_t *used = (uint32_t *)(b.device + 4);
	uint16_t idx = __atomic_load_n((uint16_t *)(b.device + 2), __ATOMIC_ACQUIRE);
	unsigned int i;

	for (i = 0; b.f_used != idx; i++, b.f_used++) {
		uint32_t id = used[2 * (b.f_used % RING)];

		done[i].cookie = b.f_cookie[id];
		done[i].len = used[2 * (b.f_used % RING) + 1];
		done[i].flags = 0;
		/* All have the same length, so that the end of the chain is known. */
		b.f_next[(id + b.descs - 1) % RING] = b.f_head;
		b.f_head = (uint16_t)id;
	}
}

static __attribute__((noinline)) void floor_add_packed(const struct vhost_virtq_req *reqs)
{
	struct desc *desc = (struct desc *)b.desc, *first = &desc[b.f_pos];
	uint16_t first_flags = 0, flags = b.f_flags;
	uint32_t pos = b.f_pos;
	unsigned int i, j;

	for (i = 0; i < BURST; i++) {
		const struct vhost_virtq_req *r = &reqs[i];
		unsigned int total = (unsigned int)r->out + r->in;
		uint16_t id = b.f_head;

		b.f_cookie[id] = r->cookie;
		b.f_head = b.f_next[id];
		for (j = 0; j < total; j++) {
			uint16_t f = (uint16_t)(flags | (j + 1 < total) | (j >= r->out) << 1);

			desc[pos].addr = r->sg[j].iova;
			desc[pos].len = r->sg[j].len;
			desc[pos].a = id;
			if (i | j)
				desc[pos].b = f;
			else
				first_flags = f;
			if (++pos == RING) {
				pos = 0;
				flags ^= AVAIL | USED;
			}
		}
	}
	b.f_pos = pos;
	b.f_flags = flags;
	__atomic_store_n(&first->b, first_flags, __ATOMIC_RELEASE);
}

static __attribute__((noinline)) void floor_get_packed(struct vhost_virtq_done *done)
{
	struct desc *desc = (struct desc *)b.desc;
	unsigned int i;

	for (i = 0; i < BURST; i++) {
		struct desc *d = &desc[b.f_used_pos];

		if ((__atomic_load_n(&d->b, __ATOMIC_ACQUIRE) & (AVAIL | USED)) != b.f_used_flags)
			return;
		done[i].cookie = b.f_cookie[d->a];
		done[i].len = d->len;
		done[i].flags = 0;
		b.f_next[d->a] = b.f_head;
		b.f_head = d->a;
		b.f_used_pos += b.descs;
		if (b.f_used_pos >= RING) {
			b.f_used_pos -= RING;
			b.f_used_flags ^= AVAIL | USED;
		}
	}
}

static __attribute__((noinline)) bool floor_needs_kick(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (b.packed)
		return *(volatile uint16_t *)(b.device + 2) == 0;
	return !(*(volatile uint16_t *)b.device & 1);
}

/* ------------------------------------------------------------------- the rounds */

static unsigned long run(vhost_virtq_t *vq, const struct vhost_virtq_req *reqs, enum variant variant,
			 unsigned long rounds)
{
	struct vhost_virtq_done done[BURST];
	unsigned long r, bad = 0;

	memset(done, 0, sizeof(done));
	for (r = 0; r < rounds; r++) {
		switch (variant) {
		case OURS:
			bad += vhost_virtq_add(vq, reqs, BURST) != BURST;
			bad += vhost_virtq_needs_kick(vq);
			device(BURST);
			bad += vhost_virtq_get(vq, done, BURST) != BURST;
			break;
		case FLOOR:
			if (b.packed)
				floor_add_packed(reqs);
			else
				floor_add_split(reqs);
			bad += floor_needs_kick();
			device(BURST);
			if (b.packed)
				floor_get_packed(done);
			else
				floor_get_split(done);
			break;
		case DEVICE_ONLY:
			device(BURST);
			break;
		}
		if (variant != DEVICE_ONLY)
			bad += done[BURST - 1].cookie != reqs[BURST - 1].cookie;
	}
	return bad;
}

static int prepare(bool packed, unsigned int descs, vhost_mem_t **mem, vhost_virtq_t **vq)
{
	struct vhost_virtq_opts opts = {
		.size = RING,
		.flags = VHOST_VIRTQ_NO_FDS,
		.features = 1ull << 32 | (packed ? 1ull << 34 : 0),
	};
	struct vhost_virtq_layout l;
	unsigned int i;
	int r;

	r = vhost_mem_new(1 << 20, 0, 0, mem);
	if (r < 0)
		return r;
	r = vhost_virtq_new(*mem, &opts, sizeof(opts), vq);
	if (r < 0)
		return r;
	vhost_virtq_layout(*vq, &l, sizeof(l));
	memset(&b, 0, sizeof(b));
	b.packed = packed;
	b.descs = descs;
	b.desc = vhost_mem_from_iova(*mem, l.desc, RING * 16);
	b.driver = vhost_mem_from_iova(*mem, l.driver, 4);
	b.device = vhost_mem_from_iova(*mem, l.device, 4);
	b.d_flags = b.f_flags = AVAIL;
	b.f_used_flags = AVAIL | USED;
	for (i = 0; i < RING; i++)
		b.f_next[i] = (uint16_t)((i + 1) % RING);
	/* The device wants no notification: what is measured is the decision. */
	if (packed)
		b.device[2] = 1;
	else
		b.device[0] = 1;
	return 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int measure(bool packed, unsigned int descs, enum variant variant, unsigned long count,
		   double *ns)
{
	struct vhost_sg sg[3] = { { 0x1000, 64, 0 }, { 0x2000, 4096, 0 }, { 0x4000, 512, 0 } };
	struct vhost_virtq_req reqs[BURST];
	unsigned long rounds = count / BURST, bad;
	vhost_mem_t *mem = NULL;
	vhost_virtq_t *vq = NULL;
	unsigned int i;
	int r = prepare(packed, descs, &mem, &vq);

	if (r < 0) {
		fprintf(stderr, "bench-virtq: no queue: %s\n", strerror(-r));
	} else {
		for (i = 0; i < BURST; i++)
			reqs[i] = (struct vhost_virtq_req){ .sg = sg,
				.out = descs == 1 ? 0 : 1, .in = descs == 1 ? 1 : 2,
				.cookie = &reqs[i] };
		*ns = now();
		bad = run(vq, reqs, variant, rounds);
		*ns = (now() - *ns) / (double)(rounds * BURST);
		if (bad) {
			fprintf(stderr, "bench-virtq: %lu rounds went wrong\n", bad);
			r = -EIO;
		}
	}
	vhost_virtq_unref(vq);
	vhost_mem_unref(mem);
	return r;
}

static int usage(FILE *f)
{
	fputs("Usage: bench-virtq [--count N]\n"
	      "       bench-virtq --variant ours|floor|device-only --layout split|packed\n"
	      "                   --descriptors 1|3 [--count N]\n"
	      "Requests in bursts of 32 through a queue of 256, the device in the same thread.\n"
	      "The first form prints times; the second runs and prints nothing.\n", f);
	return f == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "variant", required_argument, NULL, 'v' },
		{ "layout", required_argument, NULL, 'l' },
		{ "descriptors", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	unsigned long count = 10000000;
	int variant = -1, opt, layout, i;
	unsigned int descs = 1;
	bool packed = false;
	double ns;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			count = strtoul(optarg, NULL, 10);
			break;
		case 'v':
			variant = !strcmp(optarg, "ours") ? OURS : !strcmp(optarg, "floor") ? FLOOR :
				  !strcmp(optarg, "device-only") ? DEVICE_ONLY : -2;
			break;
		case 'l':
			packed = !strcmp(optarg, "packed");
			break;
		case 'd':
			descs = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (variant == -2 || count < BURST || (descs != 1 && descs != 3) || optind != argc)
		return usage(stderr);
	if (variant >= 0)
		return measure(packed, descs, (enum variant)variant, count, &ns) < 0;

	printf("%-8s %5s %10s %10s %10s %7s\n", "layout", "desc", "ours ns", "floor ns", "device ns", "ratio");
	for (layout = 0; layout < 2; layout++) {
		for (descs = 1; descs <= 3; descs += 2) {
			double best[3] = { 0, 0, 0 };
			int v;

			/* The best of five, in turn, so that noise hits all alike. */
			for (i = 0; i < 5; i++) {
				for (v = OURS; v <= DEVICE_ONLY; v++) {
					if (measure(layout, descs, (enum variant)v, count / 5, &ns) < 0)
						return 1;
					if (!best[v] || ns < best[v])
						best[v] = ns;
				}
			}
			printf("%-8s %5u %10.2f %10.2f %10.2f %7.2f\n", layout ? "packed" : "split",
			       descs, best[OURS], best[FLOOR], best[DEVICE_ONLY],
			       (best[OURS] - best[DEVICE_ONLY]) / (best[FLOOR] - best[DEVICE_ONLY]));
		}
	}
	return 0;
}
