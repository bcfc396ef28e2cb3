/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "proto/kernel-text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

enum arg {
	ARG_NONE,
	ARG_U8,
	ARG_U16,
	ARG_U32,
	ARG_U64,
	ARG_FD,		/* a descriptor */
	ARG_STATE,	/* index and number */
	ARG_FILE,	/* index and descriptor */
	ARG_ADDR,
	ARG_MEM,
	ARG_WORDS,
	ARG_CONFIG,
	ARG_RANGE,
	ARG_TARGET
};

#define ROW(name, arg) { KV_##name, "VHOST_" #name, ARG_##arg }

static const struct {
	unsigned long request;
	const char *name;
	enum arg arg;
} rows[] = {
	ROW(GET_FEATURES, U64),
	ROW(SET_FEATURES, U64),
	ROW(SET_OWNER, NONE),
	ROW(RESET_OWNER, NONE),
	ROW(SET_MEM_TABLE, MEM),
	ROW(SET_LOG_BASE, U64),
	ROW(SET_LOG_FD, FD),
	ROW(NEW_WORKER, U32),
	ROW(FREE_WORKER, U32),
	ROW(SET_VRING_NUM, STATE),
	ROW(SET_VRING_ADDR, ADDR),
	ROW(SET_VRING_BASE, STATE),
	ROW(GET_VRING_BASE, STATE),
	ROW(SET_VRING_ENDIAN, STATE),
	ROW(GET_VRING_ENDIAN, STATE),
	ROW(ATTACH_VRING_WORKER, STATE),
	ROW(GET_VRING_WORKER, STATE),
	ROW(SET_VRING_KICK, FILE),
	ROW(SET_VRING_CALL, FILE),
	ROW(SET_VRING_ERR, FILE),
	{ KV_SET_VRING_BUSYLOOP, "VHOST_SET_VRING_BUSYLOOP_TIMEOUT", ARG_STATE },
	{ KV_GET_VRING_BUSYLOOP, "VHOST_GET_VRING_BUSYLOOP_TIMEOUT", ARG_STATE },
	ROW(SET_BACKEND_FEATURES, U64),
	ROW(GET_BACKEND_FEATURES, U64),
	ROW(NET_SET_BACKEND, FILE),
	ROW(SCSI_SET_ENDPOINT, TARGET),
	ROW(SCSI_CLEAR_ENDPOINT, TARGET),
	ROW(SCSI_GET_ABI_VERSION, U32),
	ROW(SCSI_SET_EVENTS_MISSED, U32),
	ROW(SCSI_GET_EVENTS_MISSED, U32),
	ROW(VSOCK_SET_GUEST_CID, U64),
	ROW(VSOCK_SET_RUNNING, U32),
	ROW(VDPA_GET_DEVICE_ID, U32),
	ROW(VDPA_GET_STATUS, U8),
	ROW(VDPA_SET_STATUS, U8),
	ROW(VDPA_GET_CONFIG, CONFIG),
	ROW(VDPA_SET_CONFIG, CONFIG),
	ROW(VDPA_SET_VRING_ENABLE, STATE),
	ROW(VDPA_GET_VRING_NUM, U16),
	ROW(VDPA_SET_CONFIG_CALL, FD),
	ROW(VDPA_GET_IOVA_RANGE, RANGE),
	ROW(VDPA_GET_CONFIG_SIZE, U32),
	ROW(VDPA_GET_AS_NUM, U32),
	ROW(VDPA_GET_VRING_GROUP, STATE),
	ROW(VDPA_SET_GROUP_ASID, STATE),
	ROW(VDPA_SUSPEND, NONE),
	ROW(VDPA_RESUME, NONE),
	ROW(VDPA_GET_VRING_DESC_GROUP, STATE),
	ROW(VDPA_GET_VQS_COUNT, U32),
	ROW(VDPA_GET_GROUP_NUM, U32),
	ROW(VDPA_GET_VRING_SIZE, STATE),
	ROW(GET_FEATURES_ARRAY, WORDS),
	ROW(SET_FEATURES_ARRAY, WORDS),
	ROW(SET_FORK_FROM_OWNER, U8),
	ROW(GET_FORK_FROM_OWNER, U8),
};

static unsigned int find(unsigned long request)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows) && rows[i].request != request; i++)
		;
	return i;
}

const char *kv_name(unsigned long request)
{
	unsigned int i = find(request);

	return i < ARRAY_SIZE(rows) ? rows[i].name : "ioctl";
}

const char *kv_iotlb_name(uint8_t type)
{
	static const char *const names[] = {
		[KV_IOTLB_MISS] = "IOTLB_MISS",
		[KV_IOTLB_UPDATE] = "IOTLB_UPDATE",
		[KV_IOTLB_INVALIDATE] = "IOTLB_INVALIDATE",
		[KV_IOTLB_ACCESS_FAIL] = "IOTLB_ACCESS_FAIL",
		[KV_IOTLB_BATCH_BEGIN] = "IOTLB_BATCH_BEGIN",
		[KV_IOTLB_BATCH_END] = "IOTLB_BATCH_END",
	};

	return type < ARRAY_SIZE(names) && names[type] ? names[type] : "?";
}

void kv_describe(unsigned long request, const void *arg, char *buf, size_t size)
{
	unsigned int i = find(request);
	const struct kv_vring_state *state = arg;
	const struct kv_vring_addr *addr = arg;
	const struct kv_iova_range *range = arg;
	const struct kv_config *config = arg;
	const struct kv_mem_table *table = arg;
	const struct kv_features *words = arg;

	switch (i < ARRAY_SIZE(rows) && arg ? rows[i].arg : ARG_NONE) {
	case ARG_NONE:
		*buf = '\0';
		break;
	case ARG_U8:
		snprintf(buf, size, "0x%x", *(const uint8_t *)arg);
		break;
	case ARG_U16:
		snprintf(buf, size, "%u", *(const uint16_t *)arg);
		break;
	case ARG_U32:
		snprintf(buf, size, "%" PRIu32, *(const uint32_t *)arg);
		break;
	case ARG_U64:
		snprintf(buf, size, "0x%" PRIx64, *(const uint64_t *)arg);
		break;
	case ARG_FD:
		snprintf(buf, size, "fd %" PRIi32, *(const int32_t *)arg);
		break;
	case ARG_STATE:
		snprintf(buf, size, "index %" PRIu32 ", %" PRIu32, state->index, state->num);
		break;
	case ARG_FILE:
		snprintf(buf, size, "index %" PRIu32 ", fd %" PRIi32, state->index,
			 (int32_t)state->num);
		break;
	case ARG_ADDR:
		snprintf(buf, size, "index %" PRIu32 ", flags 0x%" PRIx32 ", desc 0x%" PRIx64
			 ", avail 0x%" PRIx64 ", used 0x%" PRIx64 ", log 0x%" PRIx64, addr->index,
			 addr->flags, addr->desc, addr->avail, addr->used, addr->log);
		break;
	case ARG_MEM:
		snprintf(buf, size, "%" PRIu32 " regions", table->n);
		break;
	case ARG_WORDS:
		snprintf(buf, size, "0x%" PRIx64 ", 0x%" PRIx64,
			 words->n > 0 ? words->words[0] : 0, words->n > 1 ? words->words[1] : 0);
		break;
	case ARG_CONFIG:
		snprintf(buf, size, "%" PRIu32 " bytes at %" PRIu32, config->len, config->offset);
		break;
	case ARG_RANGE:
		snprintf(buf, size, "0x%" PRIx64 " to 0x%" PRIx64, range->first, range->last);
		break;
	case ARG_TARGET:
		snprintf(buf, size, "%.223s", ((const struct kv_scsi_target *)arg)->wwpn);
		break;
	}
}
