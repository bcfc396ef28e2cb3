/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The kernel's interface to vhost and vDPA, up to Linux 7.2: our own definitions, so
 * that old headers do not hide what a new kernel has. tests/check-kernel-abi.c
 * compares them with the kernel's, as far as the machine's headers know them.
 */
#ifndef LIBVHOST_KERNEL_ABI_H
#define LIBVHOST_KERNEL_ABI_H

#include <stdint.h>
#include <sys/ioctl.h>

struct kv_vring_state {
	uint32_t index;
	uint32_t num;
};

struct kv_vring_file {
	uint32_t index;
	int32_t fd;
};

struct kv_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

#define KV_VRING_F_LOG 1u	/* a mask: the kernel's VHOST_VRING_F_LOG is the bit's number */

struct kv_worker {
	uint32_t id;
};

struct kv_vring_worker {
	uint32_t index;
	uint32_t id;
};

struct kv_mem_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t padding;
};

struct kv_mem_table {
	uint32_t n;
	uint32_t padding;
	struct kv_mem_region regions[];
};

struct kv_features {
	uint64_t n;
	uint64_t words[];
};

struct kv_scsi_target {
	int32_t abi_version;
	char wwpn[224];
	uint16_t tpgt;
	uint16_t reserved;
};

struct kv_config {
	uint32_t offset;
	uint32_t len;
	uint8_t data[];
};

struct kv_iova_range {
	uint64_t first;
	uint64_t last;
};

enum kv_iotlb_type {
	KV_IOTLB_MISS = 1,
	KV_IOTLB_UPDATE = 2,
	KV_IOTLB_INVALIDATE = 3,
	KV_IOTLB_ACCESS_FAIL = 4,
	KV_IOTLB_BATCH_BEGIN = 5,
	KV_IOTLB_BATCH_END = 6
};

struct kv_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t user_addr;
	uint8_t perm;		/* as VHOST_IOTLB_PERM_* */
	uint8_t type;		/* enum kv_iotlb_type */
	uint8_t padding[6];
};

#define KV_MSG_V1 1u
#define KV_MSG_V2 2u

/* Both layouts of an IOTLB message: in the first, @asid is padding. */
struct kv_msg {
	uint32_t type;
	uint32_t asid;
	struct kv_iotlb iotlb;
	uint8_t padding[32];
};

/* Back-end features, by number. */
enum kv_backend_feature {
	KV_BF_IOTLB_MSG_V2 = 1,
	KV_BF_IOTLB_BATCH = 2,
	KV_BF_IOTLB_ASID = 3,
	KV_BF_SUSPEND = 4,
	KV_BF_RESUME = 5,
	KV_BF_ENABLE_AFTER_DRIVER_OK = 6,
	KV_BF_DESC_ASID = 7,
	KV_BF_IOTLB_PERSIST = 8
};
#define KV_BF_KNOWN 0x1feull

#define KV_F_LOG_ALL (1ull << 26)
#define KV_NET_F_HEADER (1ull << 27)	/* of vhost-net alone: elsewhere it is ANY_LAYOUT */

#define KV_TYPE 0xaf
#define KV_GET_FEATURES _IOR(KV_TYPE, 0x00, uint64_t)
#define KV_SET_FEATURES _IOW(KV_TYPE, 0x00, uint64_t)
#define KV_SET_OWNER _IO(KV_TYPE, 0x01)
#define KV_RESET_OWNER _IO(KV_TYPE, 0x02)
#define KV_SET_MEM_TABLE _IOW(KV_TYPE, 0x03, struct kv_mem_table)
#define KV_SET_LOG_BASE _IOW(KV_TYPE, 0x04, uint64_t)
#define KV_SET_LOG_FD _IOW(KV_TYPE, 0x07, int32_t)
#define KV_NEW_WORKER _IOR(KV_TYPE, 0x08, struct kv_worker)
#define KV_FREE_WORKER _IOW(KV_TYPE, 0x09, struct kv_worker)
#define KV_SET_VRING_NUM _IOW(KV_TYPE, 0x10, struct kv_vring_state)
#define KV_SET_VRING_ADDR _IOW(KV_TYPE, 0x11, struct kv_vring_addr)
#define KV_SET_VRING_BASE _IOW(KV_TYPE, 0x12, struct kv_vring_state)
#define KV_GET_VRING_BASE _IOWR(KV_TYPE, 0x12, struct kv_vring_state)
#define KV_SET_VRING_ENDIAN _IOW(KV_TYPE, 0x13, struct kv_vring_state)
#define KV_GET_VRING_ENDIAN _IOW(KV_TYPE, 0x14, struct kv_vring_state)	/* sic: it reads */
#define KV_ATTACH_VRING_WORKER _IOW(KV_TYPE, 0x15, struct kv_vring_worker)
#define KV_GET_VRING_WORKER _IOWR(KV_TYPE, 0x16, struct kv_vring_worker)
#define KV_SET_VRING_KICK _IOW(KV_TYPE, 0x20, struct kv_vring_file)
#define KV_SET_VRING_CALL _IOW(KV_TYPE, 0x21, struct kv_vring_file)
#define KV_SET_VRING_ERR _IOW(KV_TYPE, 0x22, struct kv_vring_file)
#define KV_SET_VRING_BUSYLOOP _IOW(KV_TYPE, 0x23, struct kv_vring_state)
#define KV_GET_VRING_BUSYLOOP _IOW(KV_TYPE, 0x24, struct kv_vring_state)	/* sic */
#define KV_SET_BACKEND_FEATURES _IOW(KV_TYPE, 0x25, uint64_t)
#define KV_GET_BACKEND_FEATURES _IOR(KV_TYPE, 0x26, uint64_t)
#define KV_NET_SET_BACKEND _IOW(KV_TYPE, 0x30, struct kv_vring_file)
#define KV_SCSI_SET_ENDPOINT _IOW(KV_TYPE, 0x40, struct kv_scsi_target)
#define KV_SCSI_CLEAR_ENDPOINT _IOW(KV_TYPE, 0x41, struct kv_scsi_target)
#define KV_SCSI_GET_ABI_VERSION _IOW(KV_TYPE, 0x42, int32_t)	/* sic */
#define KV_SCSI_SET_EVENTS_MISSED _IOW(KV_TYPE, 0x43, uint32_t)
#define KV_SCSI_GET_EVENTS_MISSED _IOW(KV_TYPE, 0x44, uint32_t)	/* sic */
#define KV_VSOCK_SET_GUEST_CID _IOW(KV_TYPE, 0x60, uint64_t)
#define KV_VSOCK_SET_RUNNING _IOW(KV_TYPE, 0x61, int32_t)
#define KV_VDPA_GET_DEVICE_ID _IOR(KV_TYPE, 0x70, uint32_t)
#define KV_VDPA_GET_STATUS _IOR(KV_TYPE, 0x71, uint8_t)
#define KV_VDPA_SET_STATUS _IOW(KV_TYPE, 0x72, uint8_t)
#define KV_VDPA_GET_CONFIG _IOR(KV_TYPE, 0x73, struct kv_config)
#define KV_VDPA_SET_CONFIG _IOW(KV_TYPE, 0x74, struct kv_config)
#define KV_VDPA_SET_VRING_ENABLE _IOW(KV_TYPE, 0x75, struct kv_vring_state)
#define KV_VDPA_GET_VRING_NUM _IOR(KV_TYPE, 0x76, uint16_t)
#define KV_VDPA_SET_CONFIG_CALL _IOW(KV_TYPE, 0x77, int32_t)
#define KV_VDPA_GET_IOVA_RANGE _IOR(KV_TYPE, 0x78, struct kv_iova_range)
#define KV_VDPA_GET_CONFIG_SIZE _IOR(KV_TYPE, 0x79, uint32_t)
#define KV_VDPA_GET_AS_NUM _IOR(KV_TYPE, 0x7a, uint32_t)
#define KV_VDPA_GET_VRING_GROUP _IOWR(KV_TYPE, 0x7b, struct kv_vring_state)
#define KV_VDPA_SET_GROUP_ASID _IOW(KV_TYPE, 0x7c, struct kv_vring_state)
#define KV_VDPA_SUSPEND _IO(KV_TYPE, 0x7d)
#define KV_VDPA_RESUME _IO(KV_TYPE, 0x7e)
#define KV_VDPA_GET_VRING_DESC_GROUP _IOWR(KV_TYPE, 0x7f, struct kv_vring_state)
#define KV_VDPA_GET_VQS_COUNT _IOR(KV_TYPE, 0x80, uint32_t)
#define KV_VDPA_GET_GROUP_NUM _IOR(KV_TYPE, 0x81, uint32_t)
#define KV_VDPA_GET_VRING_SIZE _IOWR(KV_TYPE, 0x82, struct kv_vring_state)
#define KV_GET_FEATURES_ARRAY _IOR(KV_TYPE, 0x83, struct kv_features)
#define KV_SET_FEATURES_ARRAY _IOW(KV_TYPE, 0x83, struct kv_features)
#define KV_SET_FORK_FROM_OWNER _IOW(KV_TYPE, 0x84, uint8_t)
#define KV_GET_FORK_FROM_OWNER _IOR(KV_TYPE, 0x85, uint8_t)

#endif
