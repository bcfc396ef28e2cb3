/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A disk (VIRTIO 1.3, 5.2): takes requests in bursts, has them done by the file, and
 * gives them back as they are done, in whatever order that is.
 */

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend-program.h"
#include "blk-file.h"
#include "parse.h"

#define BURST 32u
#define TURN_BURSTS 8u		/* of one queue, before others have their turn */
#define SPINS 256u		/* looks at a queue, before one at everything else */
#define WORK_MAX 16u		/* of these, that found something to do */
#define MAX_IOS 1024u		/* under way at the same time */
#define SECTOR 512u
#define SEG_MAX 126u		/* a queue of 128, less what is around the data */
#define DISCARD_MAX (1u << 22)	/* sectors: 2 GiB */
#define ZEROES_MAX (1u << 17)	/* sectors: 64 MiB, as it may come to writing them */
#define LOOK_MS 1000

/* Front-ends read more than is offered, some as much as a message has. That is zero. */
#define CONFIG_SIZE 256u
/* The fields up to those of WRITE_ZEROES */
#define CONFIG_USED (offsetof(struct virtio_blk_config, unused1) + 3)

#define F(name) (1ULL << VIRTIO_BLK_F_##name)

struct queue {
	vhost_vring_t *vr;
	struct vhost_req done[BURST];	/* to be pushed */
	unsigned int n_done;
	bool touched;			/* in blk.touched */
	bool polled;			/* in blk.polled: the driver need not notify */
	bool starved;			/* has requests that could not be taken */
	struct queue *next_touched;
	struct queue *next_polled;
};

/* A request that is being done. */
struct io {
	struct file_io file;		/* first: what file_collect() returns is one of these */
	struct vhost_req req;
	struct queue *queue;
	uint8_t *status;
	bool busy;
	bool stale;			/* its ring has stopped since */
	struct io *next;
};

struct blk {
	struct program program;
	vhost_backend_t *be;
	struct file file;
	struct watch done;
	struct virtio_blk_config config;
	uint64_t sectors;
	bool write_back;		/* the driver flushes */
	bool any_starved;
	uint64_t looked;
	unsigned int n_stale;
	struct queue *touched;
	struct queue *polled;
	unsigned int n_polled;
	struct io *free;
	struct io ios[MAX_IOS];
	struct vhost_req reqs[BURST];
	struct queue *queues;

	/* options */
	const char *path;
	const char *serial;
	bool read_only;
	bool direct;
	unsigned int n_queues;
	unsigned int block_size;	/* 0: the file's */
};

/* ------------------------------------------------------- giving requests back */

static void touch(struct blk *b, struct queue *q)
{
	if (!q->touched) {
		q->touched = true;
		q->next_touched = b->touched;
		b->touched = q;
	}
}

static void push(struct queue *q)
{
	/* A ring that broke meanwhile takes nothing, and has been told of already. */
	vhost_vring_push(q->vr, q->done, q->n_done);
	q->n_done = 0;
}

static void give_back(struct blk *b, struct queue *q, const struct vhost_req *req)
{
	q->done[q->n_done++] = *req;
	touch(b, q);
	if (q->n_done == BURST)
		push(q);
}

/* The driver sees all that was done so far, and is notified once for each queue. */
static void flush(struct blk *b)
{
	while (b->touched) {
		struct queue *q = b->touched;

		b->touched = q->next_touched;
		q->touched = false;
		if (q->n_done)
			push(q);
		vhost_vring_notify(q->vr);
	}
}

/*
 * The status is the last byte that the device writes. All before it counts as written,
 * whatever became of it: that is how the length of an answer is counted, and what the
 * dirty log goes by.
 */
static void finish(struct blk *b, struct queue *q, struct vhost_req *req, uint8_t *status,
		   uint8_t value)
{
	*status = value;
	req->written = req->in_len;
	give_back(b, q, req);
}

static uint8_t status_of(int result)
{
	return result == 0 ? VIRTIO_BLK_S_OK :
	       result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static bool collect(struct blk *b)
{
	struct file_io *done;
	bool any = false;

	while ((done = file_collect(&b->file))) {
		struct io *io = (struct io *)done;

		finish(b, io->queue, &io->req, io->status, status_of(done->result));
		io->busy = false;
		if (io->stale && --b->n_stale == 0)
			b->any_starved = true;
		io->next = b->free;
		b->free = io;
		any = true;
	}
	return any;
}

/* -------------------------------------------------------------- one request */

/* Cut @head bytes off the front and @tail off the end of buffers that have as many. */
static unsigned int trim(struct iovec **iov, unsigned int n, size_t head, size_t tail)
{
	struct iovec *v = *iov;

	while (n && head >= v->iov_len) {
		head -= v->iov_len;
		v++;
		n--;
	}
	if (n) {
		v->iov_base = (uint8_t *)v->iov_base + head;
		v->iov_len -= head;
	}
	while (n && tail >= v[n - 1].iov_len) {
		tail -= v[n - 1].iov_len;
		n--;
	}
	if (n)
		v[n - 1].iov_len -= tail;
	*iov = v;
	return n;
}

static bool in_range(const struct blk *b, uint64_t sector, uint64_t bytes)
{
	uint64_t n = bytes / SECTOR;

	return bytes % SECTOR == 0 && n <= b->sectors && sector <= b->sectors - n;
}

/* VIRTIO 1.3, 5.2.6.2: one range, with flags that we know. A status, 0 to go on. */
static uint8_t read_range(const struct blk *b, const struct vhost_req *req, uint32_t type,
			  struct file_io *io)
{
	struct virtio_blk_discard_write_zeroes range;
	uint32_t flags, sectors;
	uint64_t sector;

	if (b->read_only || req->out_len != sizeof(struct virtio_blk_outhdr) + sizeof(range))
		return VIRTIO_BLK_S_IOERR;
	vhost_req_read(req, sizeof(struct virtio_blk_outhdr), &range, sizeof(range));
	flags = le32toh(range.flags);
	sectors = le32toh(range.num_sectors);
	sector = le64toh(range.sector);
	if (flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP || (flags && type == VIRTIO_BLK_T_DISCARD))
		return VIRTIO_BLK_S_UNSUPP;
	if (sectors > (type == VIRTIO_BLK_T_DISCARD ? DISCARD_MAX : ZEROES_MAX) ||
	    !in_range(b, sector, (uint64_t)sectors * SECTOR))
		return VIRTIO_BLK_S_IOERR;
	io->op = type == VIRTIO_BLK_T_DISCARD ? FILE_DISCARD : FILE_ZERO;
	io->unmap = flags != 0;
	io->offset = sector * SECTOR;
	io->left = (uint64_t)sectors * SECTOR;
	return VIRTIO_BLK_S_OK;
}

static void get_id(const struct blk *b, struct vhost_req *req)
{
	char id[VIRTIO_BLK_ID_BYTES] = "";
	size_t room = req->in_len - 1;

	memcpy(id, b->serial, strnlen(b->serial, sizeof(id)));
	vhost_req_write(req, 0, id, room < sizeof(id) ? room : sizeof(id));
}

/* What is to be done, into @io. A status, 0 to go on. */
static uint8_t decode(const struct blk *b, struct vhost_req *req, struct file_io *io)
{
	struct virtio_blk_outhdr hdr;
	uint32_t type;

	if (vhost_req_read(req, 0, &hdr, sizeof(hdr)) < sizeof(hdr))
		return VIRTIO_BLK_S_IOERR;
	type = le32toh(hdr.type);
	io->durable = !b->write_back;
	io->offset = le64toh(hdr.sector) * SECTOR;
	switch (type) {
	case VIRTIO_BLK_T_IN:
		io->op = FILE_READ;
		io->iov = req->iov + req->out;
		io->left = req->in_len - 1;
		io->durable = false;
		if (!in_range(b, le64toh(hdr.sector), io->left))
			return VIRTIO_BLK_S_IOERR;
		io->n_iov = trim(&io->iov, req->in, 0, 1);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_OUT:
		io->op = FILE_WRITE;
		io->iov = req->iov;
		io->left = req->out_len - sizeof(hdr);
		if (b->read_only || !in_range(b, le64toh(hdr.sector), io->left))
			return VIRTIO_BLK_S_IOERR;
		io->n_iov = trim(&io->iov, req->out, sizeof(hdr), 0);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_FLUSH:
		io->op = FILE_FLUSH;
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_GET_ID:
		get_id(b, req);
		io->op = FILE_READ;	/* of nothing more */
		io->left = 0;
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return read_range(b, req, type, io);
	}
	return VIRTIO_BLK_S_UNSUPP;
}

static uint8_t *find_status(const struct vhost_req *req)
{
	const struct iovec *last = req->iov + req->out + req->in - 1;

	while (!last->iov_len)
		last--;
	return (uint8_t *)last->iov_base + last->iov_len - 1;
}

/* Uses the first of the free ios, which there must be, and keeps it if that takes time. */
static void begin(struct blk *b, struct queue *q, struct vhost_req *req)
{
	struct io *io = b->free;
	uint8_t status;
	int r;

	if (!req->in_len) {
		vhost_vring_break(q->vr, "a request has no room for its status");
		give_back(b, q, req);
		return;
	}
	io->status = find_status(req);
	status = decode(b, req, &io->file);
	r = status == VIRTIO_BLK_S_OK ? file_begin(&b->file, &io->file) : 0;
	if (r != -EINPROGRESS) {
		finish(b, q, req, io->status, status ? status : status_of(r));
		return;
	}
	b->free = io->next;
	io->req = *req;
	io->queue = q;
	io->busy = true;
	io->stale = false;
}

/* ------------------------------------------------------------------- queues */

/*
 * Take requests, up to so many bursts. While something that was begun for an earlier
 * run of a ring is under way nothing new is: it may be the same request once more, and
 * what follows it must not be overtaken by the old one.
 */
static bool serve(struct blk *b, struct queue *q, unsigned int bursts)
{
	bool any = false;
	int n = 0;

	for (;; bursts--) {
		unsigned int room = MAX_IOS - b->file.in_flight;
		unsigned int want = room < BURST ? room : BURST;

		/* Nobody notifies of what is left in the ring: look again. */
		if (b->n_stale || !want || !bursts) {
			q->starved = b->any_starved = true;
			break;
		}
		n = vhost_vring_pop(q->vr, b->reqs, want);
		if (n <= 0)
			break;
		for (int i = 0; i < n; i++)
			begin(b, q, &b->reqs[i]);
		file_submit(&b->file);
		collect(b);
		flush(b);
		any = true;
		if ((unsigned int)n < want)
			break;
	}
	if (n == -ENOMEM)
		q->starved = b->any_starved = true;
	return any;
}

static void stop_polling(struct blk *b)
{
	while (b->polled) {
		struct queue *q = b->polled;

		b->polled = q->next_polled;
		b->n_polled--;
		q->polled = false;
		/* What came while notifications were still off is looked for once more. */
		if (vhost_vring_set_notify(q->vr, true) == 1)
			q->starved = b->any_starved = true;
	}
}

static bool serve_starved(struct blk *b)
{
	bool any = false;

	b->any_starved = false;
	for (unsigned int i = 0; i < b->n_queues; i++) {
		if (b->queues[i].starved) {
			b->queues[i].starved = false;
			any |= serve(b, &b->queues[i], TURN_BURSTS);
		}
	}
	return any;
}

static bool look_for_work(struct blk *b)
{
	bool any;

	file_submit(&b->file);
	any = collect(b);
	flush(b);
	for (struct queue *q = b->polled; q; q = q->next_polled)
		any |= serve(b, q, TURN_BURSTS);
	if (b->any_starved && !b->n_stale && b->file.in_flight < MAX_IOS)
		any |= serve_starved(b);
	return any;
}

static void queue_ready(vhost_vring_t *vr, void *opaque)
{
	struct queue *q = vhost_vring_get_opaque(vr);
	struct blk *b = opaque;

	/* The library bounds what a turn takes of a ring, and calls again. */
	if (!serve(b, q, UINT32_MAX) || !b->program.poll_us || q->polled)
		return;
	program_polls(&b->program, true);
	vhost_vring_set_notify(vr, false);
	q->polled = true;
	q->next_polled = b->polled;
	b->polled = q;
	b->n_polled++;
}

static void queue_stop(vhost_vring_t *vr, void *opaque)
{
	struct queue *q = vhost_vring_get_opaque(vr);
	struct blk *b = opaque;

	q->starved = false;
	for (unsigned int i = 0; i < MAX_IOS && b->file.in_flight; i++) {
		struct io *io = &b->ios[i];

		if (io->busy && io->queue == q && !io->stale) {
			io->stale = true;
			b->n_stale++;
		}
	}
}

/*
 * A driver that does not flush is told that a write is done when it is on the medium.
 * CONFIG_WCE is not offered: a driver could ask for that, and a back-end that is started
 * again would not hear of it.
 */
static int set_features(vhost_backend_t *be, uint64_t features, void *opaque)
{
	struct blk *b = opaque;

	(void)be;
	b->write_back = features & F(FLUSH);
	return 0;
}

/* ------------------------------------------------------- capacity and config */

static uint64_t capacity(const struct blk *b)
{
	return b->file.size / b->block_size * (b->block_size / SECTOR);
}

/* Has the file grown, or shrunk? */
static void look_at_size(struct blk *b)
{
	int r = file_look(&b->file);

	if (r < 0) {
		complain("cannot find out the size of %s: %s", b->path, strerror(-r));
		return;
	}
	if (capacity(b) == b->sectors)
		return;
	b->sectors = capacity(b);
	b->config.capacity = htole64(b->sectors);
	vhost_backend_set_config(b->be, offsetof(struct virtio_blk_config, capacity),
				 &b->config.capacity, sizeof(b->config.capacity));
}

static void hangup(struct program *p)
{
	look_at_size(p->opaque);
}

static void fill_config(struct blk *b)
{
	struct virtio_blk_config *c = &b->config;
	uint32_t exponent = 0;

	b->sectors = capacity(b);
	while (exponent < 7 && b->block_size << (exponent + 1) <= b->file.physical_size)
		exponent++;
	c->capacity = htole64(b->sectors);
	c->seg_max = htole32(SEG_MAX);
	c->blk_size = htole32(b->block_size);
	c->physical_block_exp = (uint8_t)exponent;
	c->min_io_size = htole16(1);
	c->wce = 1;
	c->num_queues = htole16((uint16_t)b->n_queues);
	c->max_discard_sectors = htole32(DISCARD_MAX);
	c->max_discard_seg = htole32(1);
	c->discard_sector_alignment = htole32(b->block_size / SECTOR);
	c->max_write_zeroes_sectors = htole32(ZEROES_MAX);
	c->max_write_zeroes_seg = htole32(1);
	c->write_zeroes_may_unmap = 1;
}

/* ------------------------------------------------------------------ program */

static int turn(struct program *p)
{
	struct blk *b = p->opaque;
	unsigned int worked = look_for_work(b);
	uint64_t now;

	for (unsigned int i = 0; i < SPINS && b->polled && worked < WORK_MAX; i += b->n_polled)
		worked += look_for_work(b);
	if (b->polled || worked) {
		if (program_polls(p, worked > 0))
			return 0;
		stop_polling(b);
		if (b->any_starved)
			return 0;
	}
	/* Nothing tells of a file that grows but a look at it. */
	if (vhost_backend_is_connected(b->be) && !b->file.null) {
		now = program_now_ns();
		if (now - b->looked >= LOOK_MS * 1000000u) {
			b->looked = now;
			look_at_size(b);
		}
	}
	if (!file_submit(&b->file) || (b->any_starved && !b->n_stale))
		return 1;	/* for want of memory: try again in a moment */
	return vhost_backend_is_connected(b->be) && !b->file.null ? LOOK_MS : -1;
}

/* That something is done is taken up by the turn that follows. */
static void done_ready(struct watch *w)
{
	(void)w;
}

/* What is under way is still done, and told; nothing new is begun. */
static void drain(struct blk *b)
{
	while (b->file.in_flight) {
		file_wait(&b->file);
		collect(b);
		flush(b);
	}
}

enum {
	OPT_BLK_FILE = OPTION_OWN,
	OPT_READ_ONLY,
	OPT_NUM_QUEUES,
	OPT_BLOCK_SIZE,
	OPT_SERIAL,
	OPT_DIRECT
};

static const struct option options[] = {
	{ "blk-file", required_argument, NULL, OPT_BLK_FILE },
	{ "read-only", no_argument, NULL, OPT_READ_ONLY },
	{ "num-queues", required_argument, NULL, OPT_NUM_QUEUES },
	{ "block-size", required_argument, NULL, OPT_BLOCK_SIZE },
	{ "serial", required_argument, NULL, OPT_SERIAL },
	{ "direct", no_argument, NULL, OPT_DIRECT },
	{ NULL, 0, NULL, 0 }
};

static int option(struct program *p, int value, const char *arg)
{
	struct blk *b = p->opaque;

	switch (value) {
	case OPT_BLK_FILE:
		b->path = arg;
		return 0;
	case OPT_READ_ONLY:
		b->read_only = true;
		return 0;
	case OPT_NUM_QUEUES:
		return program_number("--num-queues", arg, 1, 256, &b->n_queues);
	case OPT_BLOCK_SIZE:
		if (program_number("--block-size", arg, 512, 4096, &b->block_size) < 0)
			return -EINVAL;
		if (b->block_size & (b->block_size - 1)) {
			complain("--block-size: must be 512, 1024, 2048 or 4096");
			return -EINVAL;
		}
		return 0;
	case OPT_SERIAL:
		if (strlen(arg) > VIRTIO_BLK_ID_BYTES) {
			complain("--serial: at most %d characters fit", VIRTIO_BLK_ID_BYTES);
			return -EINVAL;
		}
		b->serial = arg;
		return 0;
	case OPT_DIRECT:
		b->direct = true;
		return 0;
	}
	return -EINVAL;
}

/* The ends of what the options and the file say: 0, or an exit code. */
static int set_up(struct blk *b)
{
	const char *name;

	if (!b->path) {
		complain("--blk-file is needed");
		return EXIT_USAGE;
	}
	if (file_open(&b->file, b->path, b->read_only, b->direct) < 0)
		return EXIT_FAILED;
	if (!b->block_size)
		b->block_size = b->file.block_size;
	if (b->block_size < b->file.block_size) {
		complain("--block-size: the blocks of %s have %u bytes", b->path, b->file.block_size);
		return EXIT_FAILED;
	}
	name = strrchr(b->path, '/');
	if (!b->serial)
		b->serial = name ? name + 1 : b->path;
	b->queues = calloc(b->n_queues, sizeof(*b->queues));
	if (!b->queues) {
		complain("cannot make the queues: %s", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	for (unsigned int i = MAX_IOS; i-- > 0;) {
		b->ios[i].next = b->free;
		b->free = &b->ios[i];
	}
	fill_config(b);
	return EXIT_OK;
}

static int serve_disk(struct blk *b)
{
	struct vhost_backend_ops ops = {
		.device_id = VHOST_DEVICE_BLOCK,
		.max_queues = b->n_queues,
		.features = F(SEG_MAX) | F(BLK_SIZE) | F(TOPOLOGY) | F(FLUSH),
		.config_size = CONFIG_SIZE,
		.set_features = set_features,
		.queue_ready = queue_ready,
		.queue_stop = queue_stop,
	};
	int r;

	ops.features |= b->read_only ? F(RO) : F(DISCARD) | F(WRITE_ZEROES);
	ops.features |= b->n_queues > 1 ? F(MQ) : 0;
	r = vhost_backend_new(&ops, sizeof(ops), b, &b->be);
	if (r < 0) {
		complain("cannot make a back-end: %s", vhost_last_error());
		return EXIT_FAILED;
	}
	vhost_backend_set_config(b->be, 0, &b->config, CONFIG_USED);
	for (unsigned int i = 0; i < b->n_queues; i++) {
		b->queues[i].vr = vhost_backend_get_vring(b->be, i);
		vhost_vring_set_opaque(b->queues[i].vr, &b->queues[i]);
	}
	b->done = (struct watch){ .fd = b->file.event_fd, .ready = done_ready };
	r = b->done.fd >= 0 ? program_watch(&b->program, &b->done, EPOLLIN) : 0;
	if (r < 0) {
		complain("cannot wait for the disk: %s", strerror(-r));
		return EXIT_FAILED;
	}
	return program_serve(&b->program, b->be);
}

static const char *const capabilities[] = { "read-only", "blk-file", NULL };

static struct blk blk = {
	.file = { .fd = -1, .buffered_fd = -1, .event_fd = -1 },
	.n_queues = 64,
	.program = {
		.name = "vhost-user-blk", .type = "block", .features = capabilities,
		.arguments = "--blk-file=FILE [--read-only] ...",
		.help = "  --blk-file=FILE      a file, or a block device, to serve as a disk;\n"
			"                       null:SIZE is a disk that does nothing, to measure\n"
			"  --read-only          the guest may not write\n"
			"  --num-queues=N       offer so many queues (default 64)\n"
			"  --block-size=N       logical block size (default that of the device,\n"
			"                       512 for a file)\n"
			"  --serial=ID          of the disk (default the name of the file)\n"
			"  --direct             not through the host's page cache\n",
		.options = options, .option = option, .turn = turn, .hangup = hangup,
		.opaque = &blk,
	},
};

int main(int argc, char **argv)
{
	int code;

	program_start(&blk.program, argc, argv);
	code = set_up(&blk);
	if (code == EXIT_OK)
		code = serve_disk(&blk);
	drain(&blk);
	vhost_backend_unref(blk.be);
	file_close(&blk.file);
	free(blk.queues);
	return code;
}
