/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The text of every bit and id. Tables and their lookup; no state. */
#include <errno.h>
#include <stdio.h>

#include <vhost/names.h>

#include "util.h"

/* ------------------------------------------------------------ device types */

/* VIRTIO 1.3, 5: 14, 15 were never given out; 37 is the kernel's alone; 48 is of VIRTIO 1.4. */
static const char *const devices[] = {
	[VHOST_DEVICE_NET] = "net",
	[VHOST_DEVICE_BLOCK] = "block",
	[VHOST_DEVICE_CONSOLE] = "console",
	[VHOST_DEVICE_RNG] = "rng",
	[VHOST_DEVICE_BALLOON] = "balloon",
	[VHOST_DEVICE_IOMEM] = "iomem",
	[VHOST_DEVICE_RPMSG] = "rpmsg",
	[VHOST_DEVICE_SCSI] = "scsi",
	[VHOST_DEVICE_9P] = "9p",
	[VHOST_DEVICE_MAC80211_WLAN] = "mac80211-wlan",
	[VHOST_DEVICE_RPROC_SERIAL] = "rproc-serial",
	[VHOST_DEVICE_CAIF] = "caif",
	[VHOST_DEVICE_MEMORY_BALLOON] = "memory-balloon",
	[VHOST_DEVICE_GPU] = "gpu",
	[VHOST_DEVICE_CLOCK] = "clock",
	[VHOST_DEVICE_INPUT] = "input",
	[VHOST_DEVICE_VSOCK] = "vsock",
	[VHOST_DEVICE_CRYPTO] = "crypto",
	[VHOST_DEVICE_SIGNAL_DIST] = "signal-dist",
	[VHOST_DEVICE_PSTORE] = "pstore",
	[VHOST_DEVICE_IOMMU] = "iommu",
	[VHOST_DEVICE_MEM] = "mem",
	[VHOST_DEVICE_SOUND] = "sound",
	[VHOST_DEVICE_FS] = "fs",
	[VHOST_DEVICE_PMEM] = "pmem",
	[VHOST_DEVICE_RPMB] = "rpmb",
	[VHOST_DEVICE_MAC80211_HWSIM] = "mac80211-hwsim",
	[VHOST_DEVICE_VIDEO_ENCODER] = "video-encoder",
	[VHOST_DEVICE_VIDEO_DECODER] = "video-decoder",
	[VHOST_DEVICE_SCMI] = "scmi",
	[VHOST_DEVICE_NITRO_SEC_MOD] = "nitro-sec-mod",
	[VHOST_DEVICE_I2C] = "i2c",
	[VHOST_DEVICE_WATCHDOG] = "watchdog",
	[VHOST_DEVICE_CAN] = "can",
	[VHOST_DEVICE_DMABUF] = "dmabuf",
	[VHOST_DEVICE_PARAM_SERV] = "param-serv",
	[VHOST_DEVICE_AUDIO_POLICY] = "audio-policy",
	[VHOST_DEVICE_BT] = "bt",
	[VHOST_DEVICE_GPIO] = "gpio",
	[VHOST_DEVICE_RDMA] = "rdma",
	[VHOST_DEVICE_CAMERA] = "camera",
	[VHOST_DEVICE_ISM] = "ism",
	[VHOST_DEVICE_SPI] = "spi",
	[VHOST_DEVICE_TEE] = "tee",
	[VHOST_DEVICE_CPU_BALLOON] = "cpu-balloon",
	[VHOST_DEVICE_MEDIA] = "media",
};

/* Other words in use: QEMU's and crosvm's device names, the specification's chapters. */
static const struct {
	const char *name;
	uint32_t device_id;
} device_aliases[] = {
	{"network", VHOST_DEVICE_NET},
	{"blk", VHOST_DEVICE_BLOCK},
	{"serial", VHOST_DEVICE_CONSOLE},
	{"entropy", VHOST_DEVICE_RNG},
	{"p9", VHOST_DEVICE_9P},
	{"rtc", VHOST_DEVICE_CLOCK},
	{"timer", VHOST_DEVICE_CLOCK},
	{"socket", VHOST_DEVICE_VSOCK},
	{"memory", VHOST_DEVICE_MEM},
	{"snd", VHOST_DEVICE_SOUND},
	{"virtiofs", VHOST_DEVICE_FS},
	{"bluetooth", VHOST_DEVICE_BT},
};

/* ------------------------------------------------------------ feature bits */

/*
 * What every device shares: VIRTIO 1.3, 6 and 6.3 (24, 27), and two bits that
 * belong to vhost: 26 (the kernel's <linux/vhost_types.h>) and 30 (vhost-user,
 * "Feature negotiation"). 25 and 31 were never given out.
 */
static const char *const common_features[] = {
	[24] = "NOTIFY_ON_EMPTY",
	[26] = "LOG_ALL",
	[27] = "ANY_LAYOUT",
	[28] = "INDIRECT_DESC",
	[29] = "EVENT_IDX",
	[30] = "PROTOCOL_FEATURES",
	[32] = "VERSION_1",
	[33] = "ACCESS_PLATFORM",
	[34] = "RING_PACKED",
	[35] = "IN_ORDER",
	[36] = "ORDER_PLATFORM",
	[37] = "SR_IOV",
	[38] = "NOTIFICATION_DATA",
	[39] = "NOTIF_CONFIG_DATA",
	[40] = "RING_RESET",
	[41] = "ADMIN_VQ",
};

/*
 * VIRTIO 1.3, 5.1.3, with the legacy bits 6 and 42 of 5.1.3.2 (its bit 41 has
 * become ADMIN_VQ) and, from 64 on, what VIRTIO 1.4 adds.
 */
static const char *const net_features[] = {
	[0] = "CSUM",
	[1] = "GUEST_CSUM",
	[2] = "CTRL_GUEST_OFFLOADS",
	[3] = "MTU",
	[5] = "MAC",
	[6] = "GSO",
	[7] = "GUEST_TSO4",
	[8] = "GUEST_TSO6",
	[9] = "GUEST_ECN",
	[10] = "GUEST_UFO",
	[11] = "HOST_TSO4",
	[12] = "HOST_TSO6",
	[13] = "HOST_ECN",
	[14] = "HOST_UFO",
	[15] = "MRG_RXBUF",
	[16] = "STATUS",
	[17] = "CTRL_VQ",
	[18] = "CTRL_RX",
	[19] = "CTRL_VLAN",
	[20] = "CTRL_RX_EXTRA",
	[21] = "GUEST_ANNOUNCE",
	[22] = "MQ",
	[23] = "CTRL_MAC_ADDR",
	[42] = "GUEST_RSC6",
	[50] = "DEVICE_STATS",
	[51] = "HASH_TUNNEL",
	[52] = "VQ_NOTF_COAL",
	[53] = "NOTF_COAL",
	[54] = "GUEST_USO4",
	[55] = "GUEST_USO6",
	[56] = "HOST_USO",
	[57] = "HASH_REPORT",
	[59] = "GUEST_HDRLEN",
	[60] = "RSS",
	[61] = "RSC_EXT",
	[62] = "STANDBY",
	[63] = "SPEED_DUPLEX",
	[64] = "RSS_CONTEXT",
	[65] = "GUEST_UDP_TUNNEL_GSO",
	[66] = "GUEST_UDP_TUNNEL_GSO_CSUM",
	[67] = "HOST_UDP_TUNNEL_GSO",
	[68] = "HOST_UDP_TUNNEL_GSO_CSUM",
	[69] = "OUT_NET_HEADER",
};

/* VIRTIO 1.3, 5.2.3; BARRIER and SCSI are legacy. */
static const char *const blk_features[] = {
	[0] = "BARRIER",
	[1] = "SIZE_MAX",
	[2] = "SEG_MAX",
	[4] = "GEOMETRY",
	[5] = "RO",
	[6] = "BLK_SIZE",
	[7] = "SCSI",
	[9] = "FLUSH",
	[10] = "TOPOLOGY",
	[11] = "CONFIG_WCE",
	[12] = "MQ",
	[13] = "DISCARD",
	[14] = "WRITE_ZEROES",
	[15] = "LIFETIME",
	[16] = "SECURE_ERASE",
	[17] = "ZONED",
};

static const char *const console_features[] = {
	[0] = "SIZE",
	[1] = "MULTIPORT",
	[2] = "EMERG_WRITE",
};

static const char *const balloon_features[] = {
	[0] = "MUST_TELL_HOST",
	[1] = "STATS_VQ",
	[2] = "DEFLATE_ON_OOM",
	[3] = "FREE_PAGE_HINT",
	[4] = "PAGE_POISON",
	[5] = "PAGE_REPORTING",
};

static const char *const rpmsg_features[] = {
	[0] = "NS",
};

static const char *const scsi_features[] = {
	[0] = "INOUT",
	[1] = "HOTPLUG",
	[2] = "CHANGE",
	[3] = "T10_PI",
};

static const char *const p9_features[] = {
	[0] = "MOUNT_TAG",
};

/* BLOB_ALIGNMENT is of VIRTIO 1.4. */
static const char *const gpu_features[] = {
	[0] = "VIRGL",
	[1] = "EDID",
	[2] = "RESOURCE_UUID",
	[3] = "RESOURCE_BLOB",
	[4] = "CONTEXT_INIT",
	[5] = "BLOB_ALIGNMENT",
};

/* VIRTIO 1.4: the RTC device. */
static const char *const clock_features[] = {
	[0] = "ALARM",
};

static const char *const vsock_features[] = {
	[0] = "STREAM",
	[1] = "SEQPACKET",
	[2] = "NO_IMPLIED_STREAM",
};

static const char *const crypto_features[] = {
	[0] = "REVISION_1",
	[1] = "CIPHER_STATELESS_MODE",
	[2] = "HASH_STATELESS_MODE",
	[3] = "MAC_STATELESS_MODE",
	[4] = "AEAD_STATELESS_MODE",
	[5] = "AKCIPHER_STATELESS_MODE",
};

static const char *const iommu_features[] = {
	[0] = "INPUT_RANGE",
	[1] = "DOMAIN_RANGE",
	[2] = "MAP_UNMAP",
	[3] = "BYPASS",
	[4] = "PROBE",
	[5] = "MMIO",
	[6] = "BYPASS_CONFIG",
};

static const char *const mem_features[] = {
	[0] = "ACPI_PXM",
	[1] = "UNPLUGGED_INACCESSIBLE",
	[2] = "PERSISTENT_SUSPEND",
};

static const char *const sound_features[] = {
	[0] = "CTLS",
};

static const char *const fs_features[] = {
	[0] = "NOTIFICATION",
};

static const char *const pmem_features[] = {
	[0] = "SHMEM_REGION",
};

static const char *const scmi_features[] = {
	[0] = "P2A_CHANNELS",
	[1] = "SHARED_MEMORY",
};

static const char *const i2c_features[] = {
	[0] = "ZERO_LENGTH_REQUEST",
};

static const char *const can_features[] = {
	[0] = "CAN_CLASSIC",
	[1] = "CAN_FD",
	[2] = "RTR_FRAMES",
	[3] = "LATE_TX_ACK",
};

/* Not in the standard: <linux/virtio_bt.h>. */
static const char *const bt_features[] = {
	[0] = "VND_HCI",
	[1] = "MSFT_EXT",
	[2] = "AOSP_EXT",
	[3] = "CONFIG_V2",
};

static const char *const gpio_features[] = {
	[0] = "IRQ",
};

/* A table and its length, kept together. */
struct names {
	const char *const *name;
	unsigned int n;
};

#define NAMES(table) {(table), ARRAY_SIZE(table)}

/* The types that are not here have no feature bits of their own. */
static const struct names device_features[] = {
	[VHOST_DEVICE_NET] = NAMES(net_features),
	[VHOST_DEVICE_BLOCK] = NAMES(blk_features),
	[VHOST_DEVICE_CONSOLE] = NAMES(console_features),
	[VHOST_DEVICE_BALLOON] = NAMES(balloon_features),
	[VHOST_DEVICE_RPMSG] = NAMES(rpmsg_features),
	[VHOST_DEVICE_SCSI] = NAMES(scsi_features),
	[VHOST_DEVICE_9P] = NAMES(p9_features),
	[VHOST_DEVICE_GPU] = NAMES(gpu_features),
	[VHOST_DEVICE_CLOCK] = NAMES(clock_features),
	[VHOST_DEVICE_VSOCK] = NAMES(vsock_features),
	[VHOST_DEVICE_CRYPTO] = NAMES(crypto_features),
	[VHOST_DEVICE_IOMMU] = NAMES(iommu_features),
	[VHOST_DEVICE_MEM] = NAMES(mem_features),
	[VHOST_DEVICE_SOUND] = NAMES(sound_features),
	[VHOST_DEVICE_FS] = NAMES(fs_features),
	[VHOST_DEVICE_PMEM] = NAMES(pmem_features),
	[VHOST_DEVICE_SCMI] = NAMES(scmi_features),
	[VHOST_DEVICE_I2C] = NAMES(i2c_features),
	[VHOST_DEVICE_CAN] = NAMES(can_features),
	[VHOST_DEVICE_BT] = NAMES(bt_features),
	[VHOST_DEVICE_GPIO] = NAMES(gpio_features),
};

/* vhost-user, "Protocol features". */
static const char *const protocol_features[] = {
	[0] = "MQ",
	[1] = "LOG_SHMFD",
	[2] = "RARP",
	[3] = "REPLY_ACK",
	[4] = "NET_MTU",
	[5] = "BACKEND_REQ",
	[6] = "CROSS_ENDIAN",
	[7] = "CRYPTO_SESSION",
	[8] = "PAGEFAULT",
	[9] = "CONFIG",
	[10] = "BACKEND_SEND_FD",
	[11] = "HOST_NOTIFIER",
	[12] = "INFLIGHT_SHMFD",
	[13] = "RESET_DEVICE",
	[14] = "INBAND_NOTIFICATIONS",
	[15] = "CONFIGURE_MEM_SLOTS",
	[16] = "STATUS",
	[17] = "XEN_MMAP",
	[18] = "SHARED_OBJECT",
	[19] = "DEVICE_STATE",
	[20] = "GET_VRING_BASE_INFLIGHT",
	[21] = "GPA_ADDRESSES",
	[22] = "SHMEM",
};

/* <linux/vhost_types.h>, VHOST_BACKEND_F_*. */
static const char *const backend_features[] = {
	[1] = "IOTLB_MSG_V2",
	[2] = "IOTLB_BATCH",
	[3] = "IOTLB_ASID",
	[4] = "SUSPEND",
	[5] = "RESUME",
	[6] = "ENABLE_AFTER_DRIVER_OK",
	[7] = "DESC_ASID",
	[8] = "IOTLB_PERSIST",
};

/* VIRTIO 1.3, 2.1. */
static const char *const status_bits[] = {
	[0] = "ACKNOWLEDGE",
	[1] = "DRIVER",
	[2] = "DRIVER_OK",
	[3] = "FEATURES_OK",
	[6] = "NEEDS_RESET",
	[7] = "FAILED",
};

/* ---------------------------------------------------------------- messages */

/* vhost-user, "Front-end message types". */
static const char *const frontend_messages[] = {
	[1] = "GET_FEATURES",
	[2] = "SET_FEATURES",
	[3] = "SET_OWNER",
	[4] = "RESET_OWNER",
	[5] = "SET_MEM_TABLE",
	[6] = "SET_LOG_BASE",
	[7] = "SET_LOG_FD",
	[8] = "SET_VRING_NUM",
	[9] = "SET_VRING_ADDR",
	[10] = "SET_VRING_BASE",
	[11] = "GET_VRING_BASE",
	[12] = "SET_VRING_KICK",
	[13] = "SET_VRING_CALL",
	[14] = "SET_VRING_ERR",
	[15] = "GET_PROTOCOL_FEATURES",
	[16] = "SET_PROTOCOL_FEATURES",
	[17] = "GET_QUEUE_NUM",
	[18] = "SET_VRING_ENABLE",
	[19] = "SEND_RARP",
	[20] = "NET_SET_MTU",
	[21] = "SET_BACKEND_REQ_FD",
	[22] = "IOTLB_MSG",
	[23] = "SET_VRING_ENDIAN",
	[24] = "GET_CONFIG",
	[25] = "SET_CONFIG",
	[26] = "CREATE_CRYPTO_SESSION",
	[27] = "CLOSE_CRYPTO_SESSION",
	[28] = "POSTCOPY_ADVISE",
	[29] = "POSTCOPY_LISTEN",
	[30] = "POSTCOPY_END",
	[31] = "GET_INFLIGHT_FD",
	[32] = "SET_INFLIGHT_FD",
	[33] = "GPU_SET_SOCKET",
	[34] = "RESET_DEVICE",
	[35] = "VRING_KICK",
	[36] = "GET_MAX_MEM_SLOTS",
	[37] = "ADD_MEM_REG",
	[38] = "REM_MEM_REG",
	[39] = "SET_STATUS",
	[40] = "GET_STATUS",
	[41] = "GET_SHARED_OBJECT",
	[42] = "SET_DEVICE_STATE_FD",
	[43] = "CHECK_DEVICE_STATE",
	[44] = "GET_SHMEM_CONFIG",
};

/* vhost-user, "Back-end message types". */
static const char *const backend_messages[] = {
	[1] = "BACKEND_IOTLB_MSG",
	[2] = "BACKEND_CONFIG_CHANGE_MSG",
	[3] = "BACKEND_VRING_HOST_NOTIFIER_MSG",
	[4] = "BACKEND_VRING_CALL",
	[5] = "BACKEND_VRING_ERR",
	[6] = "BACKEND_SHARED_OBJECT_ADD",
	[7] = "BACKEND_SHARED_OBJECT_REMOVE",
	[8] = "BACKEND_SHARED_OBJECT_LOOKUP",
	[9] = "BACKEND_SHMEM_MAP",
	[10] = "BACKEND_SHMEM_UNMAP",
};

/* ------------------------------------------------------------------ lookup */

#define LOOKUP(table, i) ((i) < ARRAY_SIZE(table) ? (table)[i] : NULL)

VHOST_EXPORT const char *vhost_name_device(uint32_t device_id)
{
	return LOOKUP(devices, device_id);
}

VHOST_EXPORT uint32_t vhost_device_from_name(const char *name)
{
	static const char prefix[] = "virtio-";
	size_t i;

	if (!name)
		return 0;
	if (!strncmp(name, prefix, sizeof(prefix) - 1))
		name += sizeof(prefix) - 1;
	for (i = 0; i < ARRAY_SIZE(devices); i++)
		if (devices[i] && !strcmp(devices[i], name))
			return (uint32_t)i;
	for (i = 0; i < ARRAY_SIZE(device_aliases); i++)
		if (!strcmp(device_aliases[i].name, name))
			return device_aliases[i].device_id;
	return 0;
}

VHOST_EXPORT const char *vhost_name_feature(uint32_t device_id, unsigned int bit)
{
	const char *name = LOOKUP(common_features, bit);

	if (!name && device_id < ARRAY_SIZE(device_features) && bit < device_features[device_id].n)
		name = device_features[device_id].name[bit];
	return name;
}

VHOST_EXPORT const char *vhost_name_protocol_feature(unsigned int bit)
{
	return LOOKUP(protocol_features, bit);
}

VHOST_EXPORT const char *vhost_name_backend_feature(unsigned int bit)
{
	return LOOKUP(backend_features, bit);
}

VHOST_EXPORT const char *vhost_name_status(unsigned int bit)
{
	return LOOKUP(status_bits, bit);
}

VHOST_EXPORT const char *vhost_name_message(uint32_t request, int channel)
{
	switch (channel) {
	case 0:
		return LOOKUP(frontend_messages, request);
	case 1:
		return LOOKUP(backend_messages, request);
	default:
		return NULL;
	}
}

/* -------------------------------------------------------------- formatting */

typedef const char *(*name_fn)(uint32_t device_id, unsigned int bit);

static const char *name_protocol_feature(uint32_t device_id _unused_, unsigned int bit)
{
	return LOOKUP(protocol_features, bit);
}

static const char *name_status(uint32_t device_id _unused_, unsigned int bit)
{
	return LOOKUP(status_bits, bit);
}

static int format_bits(name_fn name_of, uint32_t device_id, uint64_t bits, char *buf, size_t size)
{
	size_t len = 0;
	unsigned int bit;

	if (!buf && size)
		return -EINVAL;
	if (size)
		buf[0] = '\0';
	for (bit = 0; bit < 64; bit++) {
		const char *name;
		char number[16];
		size_t left = len < size ? size - len : 0;

		if (!(bits >> bit & 1))
			continue;
		name = name_of(device_id, bit);
		if (!name) {
			snprintf(number, sizeof(number), "BIT_%u", bit);
			name = number;
		}
		/* Past the end of the buffer snprintf() goes on counting, and writes nothing. */
		len += (size_t)snprintf(left ? buf + len : NULL, left, "%s%s", len ? " " : "", name);
	}
	return (int)len;
}

VHOST_EXPORT int vhost_format_features(uint32_t device_id, uint64_t features, char *buf, size_t size)
{
	return format_bits(vhost_name_feature, device_id, features, buf, size);
}

VHOST_EXPORT int vhost_format_protocol_features(uint64_t features, char *buf, size_t size)
{
	return format_bits(name_protocol_feature, 0, features, buf, size);
}

VHOST_EXPORT int vhost_format_status(uint64_t status, char *buf, size_t size)
{
	return format_bits(name_status, 0, status, buf, size);
}
