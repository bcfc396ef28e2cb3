/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What was set on a device, and its form as bytes. */
#include <endian.h>
#include <sys/mman.h>

#include "transport/transport.h"

void record_init(struct vhost_record *rec)
{
	rec->log.fd = rec->log.notify_fd = -1;
	rec->inflight.fd = -1;
}

static void vq_forget(struct vhost_vq *vq)
{
	close_fd(&vq->config.kick_fd);
	close_fd(&vq->config.call_fd);
	close_fd(&vq->config.err_fd);
	vhost_virtq_unref(vq->virtq);
}

void record_forget_queues(struct vhost_record *rec)
{
	unsigned int i;

	for (i = 0; i < rec->n_vqs; i++)
		if (rec->vqs[i].set_up)
			vq_forget(&rec->vqs[i]);
	free(rec->vqs);
	rec->vqs = NULL;
	rec->n_vqs = 0;
}

void log_drop(struct vhost_log *log)
{
	if (log->map)
		munmap(log->map, log->size);
	log->map = NULL;
	log->size = 0;
	close_fd(&log->fd);
}

void record_clear(struct vhost_record *rec)
{
	record_forget_queues(rec);
	mem_map_clear(&rec->map);
	log_drop(&rec->log);
	close_fd(&rec->log.notify_fd);
	close_fd(&rec->inflight.fd);
}

struct vhost_vq *record_vq(struct vhost_record *rec, unsigned int index)
{
	return index < rec->n_vqs && rec->vqs[index].set_up ? &rec->vqs[index] : NULL;
}

int record_vq_grow(struct vhost_record *rec, unsigned int index, struct vhost_vq **ret)
{
	if (index >= rec->n_vqs) {
		struct vhost_vq *more = realloc(rec->vqs, (index + 1) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		memset(&more[rec->n_vqs], 0, (index + 1 - rec->n_vqs) * sizeof(*more));
		rec->vqs = more;
		rec->n_vqs = index + 1;
	}
	*ret = &rec->vqs[index];
	return 0;
}

bool record_has(const struct vhost_record *rec, unsigned int bit)
{
	return rec->features[bit / 64] >> (bit % 64) & 1;
}

/*
 * The saved form, little-endian: a head, @n_words of features, @n_vqs queues, and a
 * CRC-32 (IEEE 802.3) of all before it.
 */
struct saved_head {
	char magic[8];
	uint32_t version;
	uint32_t size;		/* of all of it, with the checksum */
	uint32_t n_words;
	uint32_t n_vqs;
	uint32_t status;
	uint32_t state;		/* enum vhost_dev_state when it was saved */
};

struct saved_vq {
	uint32_t index;
	uint32_t size;
	uint32_t flags;
	uint32_t base;
	uint64_t desc;
	uint64_t driver;
	uint64_t device;
	uint64_t log;
};

#define SAVED_MAGIC "libvhost"
#define SAVED_VERSION 1u
#define SAVED_VQ_ENABLED 1u
#define SAVED_VQ_ENDIAN 2u	/* the byte order was said, ... */
#define SAVED_VQ_BIG 4u		/* ... and it is this */

static uint32_t crc32(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;
	int bit;

	while (n--) {
		crc ^= *p++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

VHOST_EXPORT int vhost_dev_save(const vhost_dev_t *dev, void *buf, size_t size, size_t *ret_size)
{
	const struct vhost_record *rec = &dev->rec;
	struct saved_head head = { .magic = SAVED_MAGIC, .version = htole32(SAVED_VERSION) };
	unsigned int n_vqs = 0, i;
	uint8_t *p = buf;
	uint32_t crc;
	size_t need;

	for (i = 0; i < rec->n_vqs; i++)
		n_vqs += rec->vqs[i].set_up;
	need = sizeof(head) + VHOST_FEATURE_WORDS * sizeof(uint64_t) +
	       n_vqs * sizeof(struct saved_vq) + sizeof(crc);
	*ret_size = need;
	if (!buf)
		return 0;
	if (size < need)
		return -ENOSPC;

	head.size = htole32((uint32_t)need);
	head.n_words = htole32(VHOST_FEATURE_WORDS);
	head.n_vqs = htole32(n_vqs);
	head.status = htole32(rec->status);
	head.state = htole32((uint32_t)dev->state);
	memcpy(p, &head, sizeof(head));
	p += sizeof(head);
	for (i = 0; i < VHOST_FEATURE_WORDS; i++, p += sizeof(uint64_t)) {
		uint64_t word = htole64(rec->features[i]);

		memcpy(p, &word, sizeof(word));
	}
	for (i = 0; i < rec->n_vqs; i++) {
		const struct vhost_vq *vq = &rec->vqs[i];
		struct saved_vq saved = {
			.index = htole32(i), .size = htole32(vq->config.size),
			.flags = htole32((vq->enabled ? SAVED_VQ_ENABLED : 0) |
					 (vq->endian >= 0 ? SAVED_VQ_ENDIAN : 0) |
					 (vq->endian == 1 ? SAVED_VQ_BIG : 0)),
			.base = htole32(vq->config.base),
			.desc = htole64(vq->config.desc), .driver = htole64(vq->config.driver),
			.device = htole64(vq->config.device), .log = htole64(vq->config.log),
		};

		if (!vq->set_up)
			continue;
		memcpy(p, &saved, sizeof(saved));
		p += sizeof(saved);
	}
	crc = htole32(crc32(buf, need - sizeof(crc)));
	memcpy(p, &crc, sizeof(crc));
	return 0;
}

static int damaged(struct vhost_dev *dev, const char *why)
{
	return dev_fail(dev, -EBADMSG, VHOST_ERR_ARGUMENT, "the saved state is damaged: %s", why);
}

VHOST_EXPORT int vhost_dev_load(vhost_dev_t *dev, const void *buf, size_t size)
{
	_hold_(dev);
	uint64_t features[VHOST_FEATURE_WORDS] = { 0 };
	struct vhost_record old = dev->rec;
	const uint8_t *p = buf, *queues;
	struct saved_head head;
	uint32_t crc, n_words, n_vqs, i;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (dev->open_txn || dev->state != VHOST_DEV_STOPPED)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"a state can only be loaded into a stopped device");
	if (size < sizeof(head) + sizeof(crc))
		return damaged(dev, "it is too short");
	memcpy(&head, p, sizeof(head));
	if (memcmp(head.magic, SAVED_MAGIC, sizeof(head.magic)) != 0)
		return damaged(dev, "it does not start as one");
	if (le32toh(head.version) != SAVED_VERSION)
		return dev_fail(dev, -EPROTONOSUPPORT, VHOST_ERR_INCOMPATIBLE,
				"the saved state is of version %u, and only version %u is known",
				le32toh(head.version), SAVED_VERSION);
	n_words = le32toh(head.n_words);
	n_vqs = le32toh(head.n_vqs);
	if (n_words > VHOST_FEATURE_WORDS || n_vqs > VHOST_MAX_QUEUES ||
	    le32toh(head.size) != size ||
	    size != sizeof(head) + n_words * sizeof(uint64_t) +
		    n_vqs * sizeof(struct saved_vq) + sizeof(crc))
		return damaged(dev, "its size is not what it says");
	memcpy(&crc, p + size - sizeof(crc), sizeof(crc));
	if (le32toh(crc) != crc32(p, size - sizeof(crc)))
		return damaged(dev, "its checksum is wrong");

	p += sizeof(head);
	memcpy(features, p, n_words * sizeof(uint64_t));
	for (i = 0; i < n_words; i++)
		features[i] = le64toh(features[i]);
	queues = p + n_words * sizeof(uint64_t);

	/* Describe the queues in a record of their own, and keep it if all goes well. */
	dev->rec.vqs = NULL;
	dev->rec.n_vqs = 0;
	memcpy(dev->rec.features, features, sizeof(features));
	for (i = 0; i < n_vqs && !r; i++) {
		struct vhost_vq_config config = { .kick_fd = -1, .call_fd = -1, .err_fd = -1 };
		struct saved_vq saved;
		uint32_t flags;

		memcpy(&saved, queues + i * sizeof(saved), sizeof(saved));
		flags = le32toh(saved.flags);
		config.size = le32toh(saved.size);
		config.base = le32toh(saved.base);
		config.desc = le64toh(saved.desc);
		config.driver = le64toh(saved.driver);
		config.device = le64toh(saved.device);
		config.log = le64toh(saved.log);
		r = vhost_dev_vq_setup(dev, le32toh(saved.index), &config, sizeof(config));
		if (!r) {
			struct vhost_vq *vq = record_vq(&dev->rec, le32toh(saved.index));

			vq->enabled = flags & SAVED_VQ_ENABLED;
			if (flags & SAVED_VQ_ENDIAN)
				vq->endian = flags & SAVED_VQ_BIG ? 1 : 0;
		}
	}
	memcpy(dev->rec.features, old.features, sizeof(features));
	if (!r) {
		r = vhost_dev_set_features_array(dev, features, VHOST_FEATURE_WORDS);
		if (r == -EINVAL)
			r = -EPROTONOSUPPORT;
	} else {
		r = r == -EINVAL ? -EPROTONOSUPPORT : r;
	}
	if (r < 0) {
		record_forget_queues(&dev->rec);
		dev->rec.vqs = old.vqs;
		dev->rec.n_vqs = old.n_vqs;
		if (r == -EPROTONOSUPPORT)
			dev->error.kind = VHOST_ERR_INCOMPATIBLE;
		return r;
	}
	old.map = (struct mem_map){ 0 };	/* only its queues are replaced */
	record_forget_queues(&old);
	dev->rec.status = (uint8_t)le32toh(head.status);
	return 0;
}
