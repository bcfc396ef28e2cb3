/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "proto/vu-msg.h"

#include <vhost/user.h>

#include <string.h>

#include "util.h"

#define PF(name) VHOST_USER_PF_##name
#define NONE VU_GATE_NONE
#define S(n) { VU_SIZE_RANGE, n, n }
#define RANGE(min, max) { VU_SIZE_RANGE, min, max }
#define CONFIG { VU_SIZE_CONFIG, sizeof(struct vu_config), sizeof(struct vu_config) + VU_MAX_CONFIG }
#define TABLE { VU_SIZE_TABLE, sizeof(struct vu_mem_table), \
	sizeof(struct vu_mem_table) + VU_MAX_TABLE_REGIONS * sizeof(struct vu_region_xen) }
#define MEM_REG { VU_SIZE_XEN, sizeof(struct vu_mem_reg), \
	sizeof(struct vu_mem_reg) + sizeof(struct vu_region_xen) - sizeof(struct vu_region) }
#define INFLIGHT RANGE(VU_INFLIGHT_MIN, sizeof(struct vu_inflight))

/* No reply of its own: a u64 acknowledges it, if that is asked for. */
#define ACK VU_REPLY_ACK, VU_FD_NONE
#define ACK_SIZE S(8)

const struct vu_row vu_frontend_rows[] = {
	/*                       name, gate, fds, reply, its fds, payload, reply's payload */
	[VU_GET_FEATURES] = { "GET_FEATURES", NONE, VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(0), S(8) },
	[VU_SET_FEATURES] = { "SET_FEATURES", NONE, VU_FD_NONE, ACK, S(8), ACK_SIZE },
	[VU_SET_OWNER] = { "SET_OWNER", NONE, VU_FD_NONE, ACK, S(0), ACK_SIZE },
	[VU_RESET_OWNER] = { "RESET_OWNER", NONE, VU_FD_NONE, ACK, S(0), ACK_SIZE },
	[VU_SET_MEM_TABLE] = { "SET_MEM_TABLE", NONE, VU_FD_TABLE, ACK, TABLE, ACK_SIZE },
	/* Replies of 0 (DPDK), 8 (libvhost-user) and 16 bytes (rust-vmm) are about. */
	[VU_SET_LOG_BASE] = { "SET_LOG_BASE", NONE, VU_FD_OPTIONAL,
		VU_REPLY_LOG, VU_FD_NONE, RANGE(8, sizeof(struct vu_log)),
		RANGE(0, sizeof(struct vu_log)) },
	[VU_SET_LOG_FD] = { "SET_LOG_FD", NONE, VU_FD_ONE, ACK, S(0), ACK_SIZE },
	[VU_SET_VRING_NUM] = { "SET_VRING_NUM", NONE, VU_FD_NONE, ACK, S(8), ACK_SIZE },
	[VU_SET_VRING_ADDR] = { "SET_VRING_ADDR", NONE, VU_FD_NONE, ACK,
		S(sizeof(struct vu_vring_addr)), ACK_SIZE },
	[VU_SET_VRING_BASE] = { "SET_VRING_BASE", NONE, VU_FD_NONE, ACK, S(8), ACK_SIZE },
	[VU_GET_VRING_BASE] = { "GET_VRING_BASE", NONE, VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(8), S(8) },
	[VU_SET_VRING_KICK] = { "SET_VRING_KICK", NONE, VU_FD_NOFD_BIT, ACK, S(8), ACK_SIZE },
	[VU_SET_VRING_CALL] = { "SET_VRING_CALL", NONE, VU_FD_NOFD_BIT, ACK, S(8), ACK_SIZE },
	[VU_SET_VRING_ERR] = { "SET_VRING_ERR", NONE, VU_FD_NOFD_BIT, ACK, S(8), ACK_SIZE },
	[VU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", NONE, VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(0), S(8) },
	[VU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", NONE, VU_FD_NONE, ACK,
		S(8), ACK_SIZE },
	[VU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", PF(MQ), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(0), S(8) },
	[VU_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", NONE, VU_FD_NONE, ACK, S(8), ACK_SIZE },
	[VU_SEND_RARP] = { "SEND_RARP", PF(RARP), VU_FD_NONE, ACK, S(8), ACK_SIZE },
	[VU_NET_SET_MTU] = { "NET_SET_MTU", PF(NET_MTU), VU_FD_NONE, ACK, S(8), ACK_SIZE },
	[VU_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", PF(BACKEND_REQ), VU_FD_ONE, ACK,
		S(0), ACK_SIZE },
	[VU_IOTLB_MSG] = { "IOTLB_MSG", NONE, VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(sizeof(struct vu_iotlb)), S(8) },
	[VU_SET_VRING_ENDIAN] = { "SET_VRING_ENDIAN", PF(CROSS_ENDIAN), VU_FD_NONE, ACK,
		S(8), ACK_SIZE },
	[VU_GET_CONFIG] = { "GET_CONFIG", PF(CONFIG), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, CONFIG,
		RANGE(0, sizeof(struct vu_config) + VU_MAX_CONFIG) },
	[VU_SET_CONFIG] = { "SET_CONFIG", PF(CONFIG), VU_FD_NONE, ACK, CONFIG, ACK_SIZE },
	[VU_CREATE_CRYPTO_SESSION] = { "CREATE_CRYPTO_SESSION", PF(CRYPTO_SESSION), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, RANGE(8, VHOST_USER_CRYPTO_SESSION_MAX),
		RANGE(8, VHOST_USER_CRYPTO_SESSION_MAX) },
	[VU_CLOSE_CRYPTO_SESSION] = { "CLOSE_CRYPTO_SESSION", PF(CRYPTO_SESSION), VU_FD_NONE,
		ACK, S(8), ACK_SIZE },
	/* libvhost-user echoes a u64 with the reply. */
	[VU_POSTCOPY_ADVISE] = { "POSTCOPY_ADVISE", PF(PAGEFAULT), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_OPTIONAL, S(0), RANGE(0, 8) },
	[VU_POSTCOPY_LISTEN] = { "POSTCOPY_LISTEN", PF(PAGEFAULT), VU_FD_NONE, ACK,
		S(0), ACK_SIZE },
	[VU_POSTCOPY_END] = { "POSTCOPY_END", PF(PAGEFAULT), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(0), S(8) },
	[VU_GET_INFLIGHT_FD] = { "GET_INFLIGHT_FD", PF(INFLIGHT_SHMFD), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_OPTIONAL, INFLIGHT, INFLIGHT },
	[VU_SET_INFLIGHT_FD] = { "SET_INFLIGHT_FD", PF(INFLIGHT_SHMFD), VU_FD_ONE, ACK,
		INFLIGHT, ACK_SIZE },
	[VU_GPU_SET_SOCKET] = { "GPU_SET_SOCKET", NONE, VU_FD_ONE, ACK, S(0), ACK_SIZE },
	[VU_RESET_DEVICE] = { "RESET_DEVICE", PF(RESET_DEVICE), VU_FD_NONE, ACK, S(0), ACK_SIZE },
	[VU_VRING_KICK] = { "VRING_KICK", PF(INBAND_NOTIFICATIONS), VU_FD_NONE, ACK,
		S(8), ACK_SIZE },
	[VU_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", PF(CONFIGURE_MEM_SLOTS), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(0), S(8) },
	[VU_ADD_MEM_REG] = { "ADD_MEM_REG", PF(CONFIGURE_MEM_SLOTS), VU_FD_ONE, ACK,
		MEM_REG, ACK_SIZE },
	/* QEMU attaches a descriptor, which the specification tolerates. */
	[VU_REM_MEM_REG] = { "REM_MEM_REG", PF(CONFIGURE_MEM_SLOTS), VU_FD_OPTIONAL, ACK,
		MEM_REG, ACK_SIZE },
	[VU_SET_STATUS] = { "SET_STATUS", PF(STATUS), VU_FD_NONE, ACK, S(8), ACK_SIZE },
	[VU_GET_STATUS] = { "GET_STATUS", PF(STATUS), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(0), S(8) },
	/* The reply's payload is not specified: rust-vmm sends none, libvhost-user 16 bytes. */
	[VU_GET_SHARED_OBJECT] = { "GET_SHARED_OBJECT", PF(SHARED_OBJECT), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_OPTIONAL, S(16), RANGE(0, 16) },
	[VU_SET_DEVICE_STATE_FD] = { "SET_DEVICE_STATE_FD", PF(DEVICE_STATE), VU_FD_ONE,
		VU_REPLY_ALWAYS, VU_FD_OPTIONAL, S(sizeof(struct vu_transfer)), S(8) },
	[VU_CHECK_DEVICE_STATE] = { "CHECK_DEVICE_STATE", PF(DEVICE_STATE), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(0), S(8) },
	[VU_GET_SHMEM_CONFIG] = { "GET_SHMEM_CONFIG", PF(SHMEM), VU_FD_NONE,
		VU_REPLY_ALWAYS, VU_FD_NONE, S(0), S(sizeof(struct vu_shmem_config)) },
};

const struct vu_row vu_backend_rows[] = {
	[VU_BACKEND_IOTLB_MSG] = { "BACKEND_IOTLB_MSG", NONE, VU_FD_NONE, ACK,
		S(sizeof(struct vu_iotlb)), ACK_SIZE },
	[VU_BACKEND_CONFIG_CHANGE_MSG] = { "BACKEND_CONFIG_CHANGE_MSG", PF(CONFIG), VU_FD_NONE,
		ACK, S(0), ACK_SIZE },
	[VU_BACKEND_VRING_HOST_NOTIFIER_MSG] = { "BACKEND_VRING_HOST_NOTIFIER_MSG",
		PF(HOST_NOTIFIER), VU_FD_NOFD_BIT, ACK, S(sizeof(struct vu_vring_area)), ACK_SIZE },
	[VU_BACKEND_VRING_CALL] = { "BACKEND_VRING_CALL", PF(INBAND_NOTIFICATIONS), VU_FD_NONE,
		ACK, S(8), ACK_SIZE },
	[VU_BACKEND_VRING_ERR] = { "BACKEND_VRING_ERR", PF(INBAND_NOTIFICATIONS), VU_FD_NONE,
		ACK, S(8), ACK_SIZE },
	[VU_BACKEND_SHARED_OBJECT_ADD] = { "BACKEND_SHARED_OBJECT_ADD", PF(SHARED_OBJECT),
		VU_FD_NONE, ACK, S(16), ACK_SIZE },
	[VU_BACKEND_SHARED_OBJECT_REMOVE] = { "BACKEND_SHARED_OBJECT_REMOVE", PF(SHARED_OBJECT),
		VU_FD_NONE, ACK, S(16), ACK_SIZE },
	[VU_BACKEND_SHARED_OBJECT_LOOKUP] = { "BACKEND_SHARED_OBJECT_LOOKUP", PF(SHARED_OBJECT),
		VU_FD_NONE, VU_REPLY_ALWAYS, VU_FD_OPTIONAL, S(16), S(8) },
	[VU_BACKEND_SHMEM_MAP] = { "BACKEND_SHMEM_MAP", PF(SHMEM), VU_FD_ONE, ACK,
		S(sizeof(struct vu_mmap)), ACK_SIZE },
	[VU_BACKEND_SHMEM_UNMAP] = { "BACKEND_SHMEM_UNMAP", PF(SHMEM), VU_FD_NONE, ACK,
		S(sizeof(struct vu_mmap)), ACK_SIZE },
};

bool vu_row_is_open(const struct vu_row *row, uint64_t protocol_features)
{
	return row->gate == NONE || protocol_features >> row->gate & 1;
}

bool vu_size_ok(const struct vu_size *rule, const void *payload, uint32_t size,
		uint64_t protocol_features)
{
	bool xen = protocol_features >> PF(XEN_MMAP) & 1;
	struct vu_mem_table table;
	struct vu_config config;

	if (size < rule->min || size > rule->max)
		return false;
	switch (rule->rule) {
	case VU_SIZE_TABLE:
		memcpy(&table, payload, sizeof(table));
		return table.n_regions <= VU_MAX_TABLE_REGIONS &&
		       size == sizeof(table) + table.n_regions *
		       (xen ? sizeof(struct vu_region_xen) : sizeof(struct vu_region));
	case VU_SIZE_CONFIG:
		memcpy(&config, payload, sizeof(config));
		return size - sizeof(config) == config.size;
	case VU_SIZE_XEN:
		return size == (xen ? rule->max : rule->min);
	default:
		return true;
	}
}

uint32_t vu_row_max(const struct vu_row *row)
{
	return row->size.max > row->reply_size.max ? row->size.max : row->reply_size.max;
}

static bool fds_ok(enum vu_fd_rule rule, const struct vu_msg *msg)
{
	struct vu_mem_table table;
	uint64_t index;

	switch (rule) {
	case VU_FD_ONE:
		return msg->n_fds == 1;
	case VU_FD_OPTIONAL:
		return msg->n_fds <= 1;
	case VU_FD_NOFD_BIT:
		memcpy(&index, msg->payload, sizeof(index));
		return msg->n_fds == (index & VU_VRING_NOFD ? 0 : 1);
	case VU_FD_TABLE:
		memcpy(&table, msg->payload, sizeof(table));
		return msg->n_fds == table.n_regions;
	default:
		return msg->n_fds == 0;
	}
}

enum vu_verdict vu_check_request(enum vu_direction dir, const struct vu_msg *msg,
				 uint64_t protocol_features)
{
	const struct vu_row *row = vu_row(dir, msg->hdr.request);

	if ((msg->hdr.flags & VU_VERSION_MASK) != VU_VERSION)
		return VU_BAD_VERSION;
	if (msg->hdr.flags & VU_REPLY)
		return VU_BAD_REPLY_FLAG;
	if (!row)
		return VU_BAD_REQUEST;
	if (!vu_row_is_open(row, protocol_features))
		return VU_BAD_GATE;
	if (!vu_size_ok(&row->size, msg->payload, msg->hdr.size, protocol_features))
		return VU_BAD_SIZE;
	return fds_ok(row->fds, msg) ? VU_OK : VU_BAD_FDS;
}

enum vu_verdict vu_check_reply(enum vu_direction dir, uint32_t request, enum vu_expect expect,
			       const struct vu_msg *msg, uint64_t protocol_features)
{
	static const struct vu_size ack_size = ACK_SIZE;
	const struct vu_row *row = vu_row(dir, request);
	const struct vu_size *size;

	if ((msg->hdr.flags & VU_VERSION_MASK) != VU_VERSION)
		return VU_BAD_VERSION;
	if (!(msg->hdr.flags & VU_REPLY))
		return VU_BAD_REPLY_FLAG;
	if (!row || msg->hdr.request != request)
		return VU_BAD_REQUEST;
	size = expect == VU_EXPECT_ACK ? &ack_size :
	       expect == VU_EXPECT_ECHO ? &row->size : &row->reply_size;
	if (!vu_size_ok(size, msg->payload, msg->hdr.size, protocol_features))
		return VU_BAD_SIZE;
	return fds_ok(expect == VU_EXPECT_ROW ? row->reply_fds : VU_FD_NONE, msg) ?
	       VU_OK : VU_BAD_FDS;
}

const char *vu_verdict_text(enum vu_verdict verdict)
{
	static const char *const texts[] = {
		[VU_OK] = "is in order",
		[VU_BAD_REQUEST] = "is not the message that is expected",
		[VU_BAD_VERSION] = "has an unknown version in its header",
		[VU_BAD_REPLY_FLAG] = "has the wrong reply flag in its header",
		[VU_BAD_GATE] = "needs a protocol feature that was not negotiated",
		[VU_BAD_SIZE] = "has a payload of the wrong size",
		[VU_BAD_FDS] = "has the wrong number of file descriptors",
	};

	return texts[verdict];
}
