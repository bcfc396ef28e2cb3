/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* A message's fields, for people. Whatever the payload has less than its row is left out. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "proto/vu-msg.h"
#include "util.h"

struct text {
	char *buf;
	size_t size;
	size_t len;
};

static void put(struct text *t, const char *fmt, ...) _printf_(2, 3);
static void put(struct text *t, const char *fmt, ...)
{
	size_t at = t->len < t->size ? t->len : t->size;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf ? t->buf + at : NULL, t->size - at, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n;
}

static void put_region(struct text *t, const uint8_t *p)
{
	struct vu_region r;

	memcpy(&r, p, sizeof(r));
	put(t, " {guest 0x%" PRIx64 " size 0x%" PRIx64 " user 0x%" PRIx64 " offset 0x%" PRIx64 "}",
	    r.guest_addr, r.size, r.user_addr, r.mmap_offset);
}

static void put_iotlb(struct text *t, const uint8_t *p)
{
	static const char *const types[] = { "?", "miss", "update", "invalidate", "fault" };
	struct vu_iotlb m;

	memcpy(&m, p, sizeof(m));
	put(t, " %s iova 0x%" PRIx64 " size 0x%" PRIx64 " user 0x%" PRIx64 " perm %u",
	    m.type < ARRAY_SIZE(types) ? types[m.type] : "?", m.iova, m.size, m.user_addr, m.perm);
}

static void put_uuid(struct text *t, const uint8_t *p)
{
	unsigned int i;

	put(t, " ");
	for (i = 0; i < 16; i++)
		put(t, "%02x", p[i]);
}

/* The payload of a front-end message, or of its reply where that is not a plain u64. */
static bool put_frontend(struct text *t, uint32_t request, const uint8_t *p, uint32_t size)
{
	struct vu_mem_table table;
	struct vu_vring_state state;
	struct vu_vring_addr addr;
	struct vu_inflight in = { 0 };
	struct vu_transfer transfer;
	struct vu_shmem_config *shmem;
	struct vu_config config;
	struct vu_log log;
	uint64_t value;
	uint32_t i;

	switch (request) {
	case VU_SET_MEM_TABLE:
		if (size < sizeof(table) || size == sizeof(value))
			return false;
		memcpy(&table, p, sizeof(table));
		put(t, " regions %u", table.n_regions);
		for (i = 0; i < table.n_regions &&
			    size >= sizeof(table) + (i + 1) * sizeof(struct vu_region); i++)
			put_region(t, p + sizeof(table) + i * sizeof(struct vu_region));
		return true;
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG:
		if (size < sizeof(struct vu_mem_reg))
			return false;
		put_region(t, p + sizeof(uint64_t));
		return true;
	case VU_SET_LOG_BASE:
		if (size < sizeof(log))
			return false;
		memcpy(&log, p, sizeof(log));
		put(t, " size 0x%" PRIx64 " offset 0x%" PRIx64, log.size, log.offset);
		return true;
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
	case VU_SET_VRING_ENABLE:
	case VU_SET_VRING_ENDIAN:
	case VU_VRING_KICK:
		if (size != sizeof(state))
			return false;
		memcpy(&state, p, sizeof(state));
		put(t, " queue %u num 0x%x", state.index, state.num);
		return true;
	case VU_SET_VRING_ADDR:
		if (size < sizeof(addr))
			return false;
		memcpy(&addr, p, sizeof(addr));
		put(t, " queue %u flags 0x%x desc 0x%" PRIx64 " used 0x%" PRIx64 " avail 0x%" PRIx64
		    " log 0x%" PRIx64, addr.index, addr.flags, addr.desc, addr.used, addr.avail,
		    addr.log);
		return true;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		if (size < sizeof(value))
			return false;
		memcpy(&value, p, sizeof(value));
		put(t, " queue %u%s", (unsigned int)(value & VU_VRING_INDEX_MASK),
		    value & VU_VRING_NOFD ? " no descriptor" : "");
		return true;
	case VU_IOTLB_MSG:
		if (size < sizeof(struct vu_iotlb))
			return false;
		put_iotlb(t, p);
		return true;
	case VU_GET_CONFIG:
	case VU_SET_CONFIG:
		if (size < sizeof(config))
			return false;
		memcpy(&config, p, sizeof(config));
		put(t, " offset %u size %u flags 0x%x data", config.offset, config.size,
		    config.flags);
		for (i = 0; i < 16 && i < size - sizeof(config); i++)
			put(t, "%s%02x", i % 4 ? "" : " ", p[sizeof(config) + i]);
		put(t, "%s", size - sizeof(config) > 16 ? "..." : "");
		return true;
	case VU_GET_INFLIGHT_FD:
	case VU_SET_INFLIGHT_FD:
		if (size < VU_INFLIGHT_MIN || size > sizeof(in))
			return false;
		memcpy(&in, p, size);
		put(t, " size 0x%" PRIx64 " offset 0x%" PRIx64 " queues %u of %u", in.mmap_size,
		    in.mmap_offset, in.num_queues, in.queue_size);
		return true;
	case VU_GET_SHARED_OBJECT:
		if (size < 16)
			return false;
		put_uuid(t, p);
		return true;
	case VU_SET_DEVICE_STATE_FD:
		memcpy(&transfer, p, size < sizeof(transfer) ? size : sizeof(transfer));
		if (size < sizeof(transfer))
			return false;
		put(t, " direction %u phase %u", transfer.direction, transfer.phase);
		return true;
	case VU_GET_SHMEM_CONFIG:
		if (size < sizeof(*shmem))
			return false;
		memcpy(&i, p, sizeof(i));
		put(t, " regions %u", i);
		return true;
	default:
		return false;
	}
}

static bool put_backend(struct text *t, uint32_t request, const uint8_t *p, uint32_t size)
{
	struct vu_vring_state state;
	struct vu_vring_area area;
	struct vu_mmap m;

	switch (request) {
	case VU_BACKEND_IOTLB_MSG:
		if (size < sizeof(struct vu_iotlb))
			return false;
		put_iotlb(t, p);
		return true;
	case VU_BACKEND_VRING_HOST_NOTIFIER_MSG:
		if (size < sizeof(area))
			return false;
		memcpy(&area, p, sizeof(area));
		put(t, " queue %u size 0x%" PRIx64 " offset 0x%" PRIx64,
		    (unsigned int)(area.index & VU_VRING_INDEX_MASK), area.size, area.offset);
		return true;
	case VU_BACKEND_VRING_CALL:
	case VU_BACKEND_VRING_ERR:
		if (size < sizeof(state))
			return false;
		memcpy(&state, p, sizeof(state));
		put(t, " queue %u", state.index);
		return true;
	case VU_BACKEND_SHARED_OBJECT_ADD:
	case VU_BACKEND_SHARED_OBJECT_REMOVE:
	case VU_BACKEND_SHARED_OBJECT_LOOKUP:
		if (size < 16)
			return false;
		put_uuid(t, p);
		return true;
	case VU_BACKEND_SHMEM_MAP:
	case VU_BACKEND_SHMEM_UNMAP:
		if (size < sizeof(m))
			return false;
		memcpy(&m, p, sizeof(m));
		put(t, " region %u fd offset 0x%" PRIx64 " offset 0x%" PRIx64 " size 0x%" PRIx64
		    " flags 0x%" PRIx64, m.shmid, m.fd_offset, m.shm_offset, m.len, m.flags);
		return true;
	default:
		return false;
	}
}

int vu_text(enum vu_direction dir, const struct vu_header *hdr, const void *payload,
	    unsigned int n_fds, char *buf, size_t size)
{
	const struct vu_row *row = vu_row(dir, hdr->request);
	struct text t = { .buf = size ? buf : NULL, .size = size };
	bool done;
	uint64_t value;

	if (size)
		buf[0] = '\0';
	if (row)
		put(&t, "%s", row->name);
	else
		put(&t, "message %u", hdr->request);
	put(&t, "%s%s", hdr->flags & VU_REPLY ? " reply" : "",
	    hdr->flags & VU_NEED_REPLY ? " need_reply" : "");
	/* An acknowledgement is a number, whatever its request looks like. */
	done = hdr->flags & VU_REPLY && row && row->reply == VU_REPLY_ACK && hdr->size == 8 ?
	       false : dir == VU_BACKEND ? put_backend(&t, hdr->request, payload, hdr->size) :
					   put_frontend(&t, hdr->request, payload, hdr->size);
	if (!done && hdr->size == sizeof(value)) {
		memcpy(&value, payload, sizeof(value));
		put(&t, " 0x%" PRIx64, value);
	} else if (!done && hdr->size) {
		put(&t, " (%u bytes)", hdr->size);
	}
	if (n_fds)
		put(&t, " +%u fd%s", n_fds, n_fds > 1 ? "s" : "");
	return (int)t.len;
}
