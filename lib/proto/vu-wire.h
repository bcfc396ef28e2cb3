/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * vhost-user as it is on the wire: host byte order, natural alignment. Names
 * are the specification's, less its VHOST_USER_ prefix, which is the public
 * headers'.
 */
#ifndef LIBVHOST_VU_WIRE_H
#define LIBVHOST_VU_WIRE_H

#include <stdint.h>

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_LOG_BASE = 6,
	VU_SET_LOG_FD = 7,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SEND_RARP = 19,
	VU_NET_SET_MTU = 20,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_IOTLB_MSG = 22,
	VU_SET_VRING_ENDIAN = 23,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_CREATE_CRYPTO_SESSION = 26,
	VU_CLOSE_CRYPTO_SESSION = 27,
	VU_POSTCOPY_ADVISE = 28,
	VU_POSTCOPY_LISTEN = 29,
	VU_POSTCOPY_END = 30,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_GPU_SET_SOCKET = 33,
	VU_RESET_DEVICE = 34,
	VU_VRING_KICK = 35,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_GET_SHARED_OBJECT = 41,
	VU_SET_DEVICE_STATE_FD = 42,
	VU_CHECK_DEVICE_STATE = 43,
	VU_GET_SHMEM_CONFIG = 44,
	VU_REQUEST_LAST = VU_GET_SHMEM_CONFIG
};

enum vu_backend_request {
	VU_BACKEND_IOTLB_MSG = 1,
	VU_BACKEND_CONFIG_CHANGE_MSG = 2,
	VU_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
	VU_BACKEND_VRING_CALL = 4,
	VU_BACKEND_VRING_ERR = 5,
	VU_BACKEND_SHARED_OBJECT_ADD = 6,
	VU_BACKEND_SHARED_OBJECT_REMOVE = 7,
	VU_BACKEND_SHARED_OBJECT_LOOKUP = 8,
	VU_BACKEND_SHMEM_MAP = 9,
	VU_BACKEND_SHMEM_UNMAP = 10,
	VU_BACKEND_REQUEST_LAST = VU_BACKEND_SHMEM_UNMAP
};

/* vu_header.flags */
#define VU_VERSION 0x1u
#define VU_VERSION_MASK 0x3u
#define VU_REPLY 0x4u
#define VU_NEED_REPLY 0x8u

/* virtio feature bits that are the transport's own business */
#define VU_F_LOG_ALL ((uint64_t)1 << 26)
#define VU_F_PROTOCOL_FEATURES ((uint64_t)1 << 30)

#define VU_VRING_INDEX_MASK 0xffu
#define VU_VRING_NOFD 0x100u
#define VU_MAX_QUEUES 256u		/* what the index of a vring fd can say */
#define VU_MAX_FDS 8u			/* regions of SET_MEM_TABLE; back-end requests */
#define VU_MAX_TABLE_REGIONS 8u
#define VU_MAX_SHMEM_REGIONS 256u
#define VU_VRING_ADDR_LOG 1u		/* vu_vring_addr.flags: VHOST_VRING_F_LOG */
#define VU_MMAP_WRITABLE 1u
#define VU_DEVICE_STATE_NOFD 0x100u
#define VU_DEVICE_STATE_ERROR 0xffu
/* QEMU's front-end and most back-ends bound an access at 256 bytes, rust-vmm at 4096. */
#define VU_MAX_CONFIG 4096u

struct vu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

struct vu_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vu_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vu_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct vu_region_xen {
	struct vu_region region;
	uint32_t flags;
	uint32_t domid;
};

struct vu_mem_table {
	uint32_t n_regions;
	uint32_t padding;
};

struct vu_mem_reg {
	uint64_t padding;
	struct vu_region region;
};

struct vu_log {
	uint64_t size;
	uint64_t offset;
};

struct vu_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t user_addr;
	uint8_t perm;
	uint8_t type;
	uint8_t padding[6];
};

enum vu_iotlb_type {
	VU_IOTLB_MISS = 1,
	VU_IOTLB_UPDATE = 2,
	VU_IOTLB_INVALIDATE = 3,
	VU_IOTLB_ACCESS_FAIL = 4
};

struct vu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
};

struct vu_vring_area {
	uint64_t index;		/* and VU_VRING_NOFD */
	uint64_t size;
	uint64_t offset;
};

/* 20 bytes if its fields are added up, 24 in every implementation. */
struct vu_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding;
};
#define VU_INFLIGHT_MIN 20u

struct vu_uuid {
	uint8_t uuid[16];
};

struct vu_transfer {
	uint32_t direction;
	uint32_t phase;
};

struct vu_shmem_config {
	uint32_t n_regions;
	uint32_t padding;
	uint64_t size[VU_MAX_SHMEM_REGIONS];
};

struct vu_mmap {
	uint8_t shmid;
	uint8_t padding[7];
	uint64_t fd_offset;
	uint64_t shm_offset;
	uint64_t len;
	uint64_t flags;
};

_Static_assert(sizeof(struct vu_header) == 12, "header");
_Static_assert(sizeof(struct vu_vring_addr) == 40, "addr");
_Static_assert(sizeof(struct vu_region) == 32, "region");
_Static_assert(sizeof(struct vu_region_xen) == 40, "xen region");
_Static_assert(sizeof(struct vu_mem_reg) == 40, "mem_reg");
_Static_assert(sizeof(struct vu_iotlb) == 32, "iotlb");
_Static_assert(sizeof(struct vu_config) == 12, "config");
_Static_assert(sizeof(struct vu_vring_area) == 24, "area");
_Static_assert(sizeof(struct vu_inflight) == 24, "inflight");
_Static_assert(sizeof(struct vu_transfer) == 8, "transfer");
_Static_assert(sizeof(struct vu_shmem_config) == 2056, "shmem config");
_Static_assert(sizeof(struct vu_mmap) == 40, "mmap");

#define VU_MAX_PAYLOAD 4608u	/* the largest row of the table: a config access */

#endif
