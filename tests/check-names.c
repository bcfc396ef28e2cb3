/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vhost/names.h>

/* The kernel's layouts, where the build machine has them as new as those of Debian 12. */
#if defined(__has_include)
#if __has_include(<linux/version.h>)
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0) && __has_include(<linux/virtio_snd.h>)
#define HAVE_VIRTIO_HEADERS 1
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_bt.h>
#include <linux/virtio_console.h>
#include <linux/virtio_crypto.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_gpio.h>
#include <linux/virtio_gpu.h>
#include <linux/virtio_input.h>
#include <linux/virtio_iommu.h>
#include <linux/virtio_mem.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pmem.h>
#include <linux/virtio_scsi.h>
#include <linux/virtio_snd.h>
#include <linux/virtio_vsock.h>
#endif
#endif
#endif

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define MAX_DEVICE 64
#define MAX_BIT 140

/* -------------------------------------------------------------- the tables */

/* Every lookup with one number, so that one rule can be run over them all. */
static const char *by_device_id(unsigned int i)
{
	return vhost_name_device(i);
}

static const char *by_frontend_request(unsigned int i)
{
	return vhost_name_message(i, 0);
}

static const char *by_backend_request(unsigned int i)
{
	return vhost_name_message(i, 1);
}

static const struct {
	const char *(*name)(unsigned int);
	unsigned int first, last;	/* the numbers that have a name */
	unsigned int holes;		/* how many between them have none */
} tables[] = {
	{by_device_id, 1, 48, 2},
	{by_frontend_request, 1, 44, 0},
	{by_backend_request, 1, 10, 0},
	{vhost_name_protocol_feature, 0, 22, 0},
	{vhost_name_backend_feature, 1, 8, 0},
	{vhost_name_status, 0, 7, 2},
};

static bool is_name(const char *s)
{
	return *s && !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")];
}

START_TEST(each_table_names_its_whole_range_and_no_name_twice)
{
	unsigned int i, j, holes = 0;

	for (i = 0; i < 1000; i++) {
		const char *name = tables[_i].name(i);

		if (i < tables[_i].first || i > tables[_i].last) {
			ck_assert_ptr_null(name);
			continue;
		}
		if (!name) {
			holes++;
			continue;
		}
		ck_assert_msg(is_name(name), "%u: %s", i, name);
		for (j = 0; j < i; j++)
			if (tables[_i].name(j))
				ck_assert_str_ne(tables[_i].name(j), name);
	}
	ck_assert_ptr_nonnull(tables[_i].name(tables[_i].first));
	ck_assert_ptr_nonnull(tables[_i].name(tables[_i].last));
	ck_assert_uint_eq(holes, tables[_i].holes);
	ck_assert_ptr_null(tables[_i].name(UINT32_MAX));
	ck_assert_ptr_null(tables[_i].name(INT32_MAX));
}
END_TEST

START_TEST(each_device_type_names_no_feature_twice)
{
	unsigned int i, j;

	for (i = 0; i < MAX_BIT; i++) {
		const char *name = vhost_name_feature((uint32_t)_i, i);

		if (!name)
			continue;
		ck_assert_msg(is_name(name), "device %d, bit %u: %s", _i, i, name);
		for (j = 0; j < i; j++)
			if (vhost_name_feature((uint32_t)_i, j))
				ck_assert_str_ne(vhost_name_feature((uint32_t)_i, j), name);
	}
	ck_assert_ptr_null(vhost_name_feature((uint32_t)_i, UINT32_MAX));
}
END_TEST

START_TEST(bits_24_to_41_mean_the_same_for_every_device)
{
	static const char *const common[] = {
		"NOTIFY_ON_EMPTY", NULL, "LOG_ALL", "ANY_LAYOUT", "INDIRECT_DESC", "EVENT_IDX",
		"PROTOCOL_FEATURES", NULL, "VERSION_1", "ACCESS_PLATFORM", "RING_PACKED", "IN_ORDER",
		"ORDER_PLATFORM", "SR_IOV", "NOTIFICATION_DATA", "NOTIF_CONFIG_DATA", "RING_RESET",
		"ADMIN_VQ",
	};
	static const uint32_t ids[] = {0, VHOST_DEVICE_NET, VHOST_DEVICE_RNG, 14, 1000, UINT32_MAX};
	unsigned int i, j;

	for (i = 0; i < N(ids); i++)
		for (j = 0; j < N(common); j++)
			ck_assert_pstr_eq(vhost_name_feature(ids[i], 24 + j), common[j]);
}
END_TEST

START_TEST(a_bit_has_the_name_that_its_device_type_gives_it)
{
	static const struct {
		uint32_t device_id;
		unsigned int bit;
		const char *name;
	} rows[] = {
		{VHOST_DEVICE_NET, 15, "MRG_RXBUF"},	     {VHOST_DEVICE_NET, 4, NULL},
		{VHOST_DEVICE_NET, 50, "DEVICE_STATS"},	     {VHOST_DEVICE_NET, 63, "SPEED_DUPLEX"},
		{VHOST_DEVICE_NET, 65, "GUEST_UDP_TUNNEL_GSO"},
		{VHOST_DEVICE_NET, 68, "HOST_UDP_TUNNEL_GSO_CSUM"},
		{VHOST_DEVICE_NET, 69, "OUT_NET_HEADER"},    {VHOST_DEVICE_NET, 70, NULL},
		{VHOST_DEVICE_BLOCK, 15, "LIFETIME"},	     {VHOST_DEVICE_BLOCK, 17, "ZONED"},
		{VHOST_DEVICE_RNG, 0, NULL},		     {VHOST_DEVICE_BALLOON, 5, "PAGE_REPORTING"},
		{VHOST_DEVICE_9P, 0, "MOUNT_TAG"},	     {VHOST_DEVICE_FS, 0, "NOTIFICATION"},
		{VHOST_DEVICE_VSOCK, 2, "NO_IMPLIED_STREAM"},
		{VHOST_DEVICE_GPU, 5, "BLOB_ALIGNMENT"},     {VHOST_DEVICE_CRYPTO, 0, "REVISION_1"},
		{VHOST_DEVICE_SOUND, 0, "CTLS"},	     {VHOST_DEVICE_CAN, 3, "LATE_TX_ACK"},
		{VHOST_DEVICE_BT, 3, "CONFIG_V2"},	     {0, 0, NULL},
		{1000, 5, NULL},			     {UINT32_MAX, 5, NULL},
	};
	size_t i;

	for (i = 0; i < N(rows); i++)
		ck_assert_pstr_eq(vhost_name_feature(rows[i].device_id, rows[i].bit), rows[i].name);
}
END_TEST

START_TEST(messages_have_a_name_by_the_side_that_sends_them)
{
	ck_assert_str_eq(vhost_name_message(1, 0), "GET_FEATURES");
	ck_assert_str_eq(vhost_name_message(44, 0), "GET_SHMEM_CONFIG");
	ck_assert_str_eq(vhost_name_message(1, 1), "BACKEND_IOTLB_MSG");
	ck_assert_str_eq(vhost_name_message(10, 1), "BACKEND_SHMEM_UNMAP");
	ck_assert_ptr_null(vhost_name_message(1, 2));
	ck_assert_ptr_null(vhost_name_message(1, -1));
}
END_TEST

START_TEST(a_device_type_is_found_by_its_name_and_by_the_other_words_for_it)
{
	static const struct {
		const char *name;
		uint32_t device_id;
	} rows[] = {
		{"net", 1},	    {"blk", 2},	    {"block", 2},  {"virtio-blk", 2},
		{"entropy", 4},	    {"9p", 9},	    {"vsock", 19}, {"socket", 19},
		{"snd", 25},	    {"sound", 25},  {"virtiofs", 26},
		{"bluetooth", 40},  {"", 0},	    {"virtio-", 0}, {"virtio-virtio-net", 0},
		{"ne", 0},	    {"nets", 0},    {"Net", 0},
	};
	uint32_t id;
	size_t i;

	for (i = 0; i < N(rows); i++)
		ck_assert_msg(vhost_device_from_name(rows[i].name) == rows[i].device_id, "%s", rows[i].name);
	for (id = 0; id < MAX_DEVICE; id++)
		if (vhost_name_device(id))
			ck_assert_uint_eq(vhost_device_from_name(vhost_name_device(id)), id);
	ck_assert_uint_eq(vhost_device_from_name(NULL), 0);
}
END_TEST

/*
 * The kernel's own headers, read as text: a bit that they and we know is called
 * the same. Theirs may be older or newer than ours.
 */
static const struct {
	const char *file, *prefix;
	int device_id;	/* -1: a device type's number, -2: a back-end feature */
} headers[] = {
	{"virtio_ids.h", "VIRTIO_ID_", -1},
	{"vhost_types.h", "VHOST_BACKEND_F_", -2},
	{"virtio_config.h", "VIRTIO_F_", 0},
	{"virtio_ring.h", "VIRTIO_RING_F_", 0},
	{"virtio_net.h", "VIRTIO_NET_F_", VHOST_DEVICE_NET},
	{"virtio_blk.h", "VIRTIO_BLK_F_", VHOST_DEVICE_BLOCK},
	{"virtio_console.h", "VIRTIO_CONSOLE_F_", VHOST_DEVICE_CONSOLE},
	{"virtio_balloon.h", "VIRTIO_BALLOON_F_", VHOST_DEVICE_BALLOON},
	{"virtio_scsi.h", "VIRTIO_SCSI_F_", VHOST_DEVICE_SCSI},
	{"virtio_gpu.h", "VIRTIO_GPU_F_", VHOST_DEVICE_GPU},
	{"virtio_rtc.h", "VIRTIO_RTC_F_", VHOST_DEVICE_CLOCK},
	{"virtio_vsock.h", "VIRTIO_VSOCK_F_", VHOST_DEVICE_VSOCK},
	{"virtio_iommu.h", "VIRTIO_IOMMU_F_", VHOST_DEVICE_IOMMU},
	{"virtio_mem.h", "VIRTIO_MEM_F_", VHOST_DEVICE_MEM},
	{"virtio_snd.h", "VIRTIO_SND_F_", VHOST_DEVICE_SOUND},
	{"virtio_pmem.h", "VIRTIO_PMEM_F_", VHOST_DEVICE_PMEM},
	{"virtio_scmi.h", "VIRTIO_SCMI_F_", VHOST_DEVICE_SCMI},
	{"virtio_i2c.h", "VIRTIO_I2C_F_", VHOST_DEVICE_I2C},
	{"virtio_can.h", "VIRTIO_CAN_F_", VHOST_DEVICE_CAN},
	{"virtio_bt.h", "VIRTIO_BT_F_", VHOST_DEVICE_BT},
	{"virtio_gpio.h", "VIRTIO_GPIO_F_", VHOST_DEVICE_GPIO},
};

/* "MAC80211_WLAN" is "mac80211-wlan", and some words differ. */
static bool same_device_name(const char *theirs, const char *ours)
{
	if (!strcmp(theirs, "I2C_ADAPTER"))
		theirs = "I2C";
	while (*theirs && *ours) {
		char c = *theirs == '_' ? '-' : *theirs;

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c != *ours)
			return false;
		theirs++;
		ours++;
	}
	return *theirs == *ours;
}

START_TEST(names_agree_with_the_kernels_headers)
{
	/* The kernel's name for the bit that the standard calls PAGE_REPORTING. */
	static const char renamed[] = "REPORTING";
	char path[128], line[512], word[128];
	unsigned int known = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/usr/include/linux/%s", headers[_i].file);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		size_t n = strlen(headers[_i].prefix);
		const char *ours;
		unsigned int bit;

		/* %i, as some are written in hexadecimal */
		if (sscanf(line, " # define %127s %i", word, (int *)&bit) != 2 &&
		    sscanf(line, "#define %127s %i", word, (int *)&bit) != 2)
			continue;
		if (strncmp(word, headers[_i].prefix, n))
			continue;
		if (headers[_i].device_id == -1)
			ours = vhost_name_device(bit);
		else if (headers[_i].device_id == -2)
			ours = vhost_name_backend_feature(bit);
		else
			ours = vhost_name_feature((uint32_t)headers[_i].device_id, bit);
		if (!ours || !strcmp(word + n, renamed))
			continue;
		if (headers[_i].device_id == -1)
			ck_assert_msg(same_device_name(word + n, ours), "%u: %s, %s", bit, word, ours);
		else
			ck_assert_msg(!strcmp(word + n, ours), "%u: %s, %s", bit, word, ours);
		known++;
	}
	fclose(f);
	/* Debian 12 has no feature of the sound and pmem devices yet. */
	if (headers[_i].device_id != VHOST_DEVICE_SOUND && headers[_i].device_id != VHOST_DEVICE_PMEM)
		ck_assert_uint_gt(known, 0);
}
END_TEST

/* -------------------------------------------------------------- formatting */

START_TEST(a_set_of_bits_is_its_names_in_order)
{
	static const struct {
		uint32_t device_id;
		uint64_t bits;
		const char *text;
	} rows[] = {
		{VHOST_DEVICE_NET, 0, ""},
		{VHOST_DEVICE_NET, UINT64_C(1) << 32 | 1 << 15 | 1, "CSUM MRG_RXBUF VERSION_1"},
		{VHOST_DEVICE_NET, 1 << 4, "BIT_4"},
		{VHOST_DEVICE_BLOCK, UINT64_C(1) << 63 | 1 << 5, "RO BIT_63"},
		{0, 3, "BIT_0 BIT_1"},
	};
	char buf[256];
	size_t i;

	for (i = 0; i < N(rows); i++) {
		ck_assert_int_eq(vhost_format_features(rows[i].device_id, rows[i].bits, buf, sizeof(buf)),
				 (int)strlen(rows[i].text));
		ck_assert_str_eq(buf, rows[i].text);
	}
	ck_assert_int_eq(vhost_format_protocol_features(1 << 3 | 1 << 22 | 1 << 23, buf, sizeof(buf)), 22);
	ck_assert_str_eq(buf, "REPLY_ACK SHMEM BIT_23");
	ck_assert_int_eq(vhost_format_status(0x1f, buf, sizeof(buf)), 46);
	ck_assert_str_eq(buf, "ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK BIT_4");
}
END_TEST

START_TEST(text_that_does_not_fit_is_cut_terminated_and_its_length_told)
{
	char whole[2048];
	int len = vhost_format_features(VHOST_DEVICE_NET, UINT64_MAX, whole, sizeof(whole));
	size_t size;

	ck_assert_int_gt(len, 64);
	ck_assert_uint_eq(strlen(whole), (size_t)len);
	for (size = 0; size <= (size_t)len + 2; size++) {
		char *buf = malloc(size ? size : 1);	/* exactly, so that the sanitizer sees a byte too many */

		ck_assert_ptr_nonnull(buf);
		memset(buf, 'x', size ? size : 1);
		ck_assert_int_eq(vhost_format_features(VHOST_DEVICE_NET, UINT64_MAX, buf, size), len);
		if (size == 0) {
			ck_assert_int_eq(buf[0], 'x');
		} else {
			ck_assert_uint_eq(strlen(buf), size > (size_t)len ? (size_t)len : size - 1);
			ck_assert(!strncmp(buf, whole, size - 1));
		}
		free(buf);
	}
	ck_assert_int_eq(vhost_format_features(VHOST_DEVICE_NET, UINT64_MAX, NULL, 0), len);
	ck_assert_int_eq(vhost_format_features(VHOST_DEVICE_NET, 0, NULL, 1), -EINVAL);
	ck_assert_int_eq(vhost_format_protocol_features(0, NULL, 1), -EINVAL);
	ck_assert_int_eq(vhost_format_status(0, NULL, 1), -EINVAL);
}
END_TEST

/* ----------------------------------------------------- configuration space */

static int get_field(uint32_t id, uint64_t features, const void *config, size_t size, const char *name,
		     struct vhost_config_field *ret)
{
	unsigned int i;
	int r;

	for (i = 0; !(r = vhost_config_field(id, features, config, size, i, ret, sizeof(*ret))); i++)
		if (!strcmp(ret->name, name))
			return 0;
	return r;
}

static const uint8_t net_config[] = {
	0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x01, 0x00, 0x08, 0x00, 0xdc, 0x05, 0x10, 0x27,
	0x00, 0x00, 0x01, 0x28, 0x80, 0x00, 0x3f, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
};

static const uint8_t blk_config[96] = {
	[2] = 0x00, [3] = 0x01,			/* 2^24 sectors */
	[10] = 0x01,				/* size_max: 64 KiB */
	[12] = 0x7e, [16] = 0x10, [17] = 0x27, [18] = 16, [19] = 63,
	[21] = 0x10,				/* blk_size: 4 KiB */
	[24] = 3, [26] = 1, [32] = 1, [34] = 4,
	[36] = 0xff, [37] = 0xff, [38] = 0x3f,	/* 2^22 - 1 sectors */
	[56] = 1, [92] = 1,
};

static const uint8_t fs_config[40] = "my\tfs\\\xc3\xa9";
static const uint8_t p9_config[] = {5, 0, 's', 'h', 'a', 'r', 'e'};
static const uint8_t vsock_config[8] = {3};
static const uint8_t vsock_host[8] = {2};
static const uint8_t bt_config[] = {0, 2, 0, 0x34, 0x12};
static const uint8_t bt_config_v2[] = {0, 0, 3, 0, 0x34, 0x12};
static const uint8_t input_name[16] = {1, 0, 4, 0, 0, 0, 0, 0, 'k', 'e', 'y', 's'};
static const uint8_t input_bits[16] = {0x11, 1, 2, 0, 0, 0, 0, 0, 0xfe, 0x01};
static const uint8_t input_ids[16] = {3, 0, 8, 0, 0, 0, 0, 0, 6, 0, 0x27, 0x06};
static const uint8_t crypto_config[56] = {1, 0, 0, 0, 1, 0, 0, 0, 0x11};
static const uint8_t mem_config[56] = {[2] = 0x20, [19] = 1, [20] = 1, [28] = 4};
static const uint8_t pmem_config[16] = {[12] = 1};
static const uint8_t balloon_config[16] = {0, 1};
static const uint8_t gpu_config[20] = {1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x40};
static const uint8_t iommu_config[40] = {[1] = 0xf0, [36] = 1};
static const uint8_t zero[96];
static const uint8_t full[96] = {[0 ... 95] = 0xff};

START_TEST(a_field_is_decoded_as_a_number_and_as_text)
{
#define C(config) config, sizeof(config)
	static const struct {
		uint32_t device_id;
		uint64_t features;
		const uint8_t *config;
		size_t size;
		const char *name;
		uint64_t value;
		const char *text;
		uint32_t offset, length, flags;
	} rows[] = {
		{1, 1 << 5, C(net_config), "mac", 0x525400123456, "52:54:00:12:34:56", 0, 6, 1},
		{1, 1 << 16, C(net_config), "status", 1, "LINK_UP", 6, 2, 1},
		{1, 0, C(net_config), "status", 1, "LINK_UP", 6, 2, 0},
		{1, 1 << 22, C(net_config), "max_virtqueue_pairs", 8, "8", 8, 2, 1},
		{1, UINT64_C(1) << 60, C(net_config), "max_virtqueue_pairs", 8, "8", 8, 2, 1},
		{1, 1 << 3, C(net_config), "mtu", 1500, "1500 bytes", 10, 2, 1},
		{1, UINT64_C(1) << 63, C(net_config), "speed", 10000, "10000 Mbit/s", 12, 4, 1},
		{1, UINT64_C(1) << 63, C(net_config), "duplex", 1, "full", 16, 1, 1},
		{1, UINT64_C(1) << 57, C(net_config), "rss_max_key_size", 40, "40 bytes", 17, 1, 1},
		{1, UINT64_C(1) << 57, C(net_config), "rss_max_indirection_table_length", 128, "128 entries",
		 18, 2, 0},
		{1, UINT64_C(1) << 57, C(net_config), "supported_hash_types", 0x3f,
		 "IPv4 TCPv4 UDPv4 IPv6 TCPv6 UDPv6", 20, 4, 1},
		{1, UINT64_C(1) << 51, C(net_config), "supported_tunnel_types", 1, "0x1", 24, 4, 1},
		{1, 0, C(full), "speed", UINT32_MAX, "unknown", 12, 4, 0},
		{1, 0, C(full), "duplex", 255, "unknown (255)", 16, 1, 0},
		{1, 0, C(full), "status", 0xffff, "LINK_UP ANNOUNCE 0xfffc", 6, 2, 0},
		{2, 0, C(blk_config), "capacity", 1 << 24, "8.0 GiB", 0, 8, 1},
		{2, 0, C(full), "capacity", UINT64_MAX, "7.9 ZiB", 0, 8, 1},
		{2, 1 << 1, C(blk_config), "size_max", 65536, "64.0 KiB", 8, 4, 1},
		{2, 1 << 2, C(blk_config), "seg_max", 126, "126", 12, 4, 1},
		{2, 1 << 4, C(blk_config), "geometry.cylinders", 10000, "10000", 16, 2, 1},
		{2, 1 << 4, C(blk_config), "geometry.heads", 16, "16", 18, 1, 1},
		{2, 1 << 4, C(blk_config), "geometry.sectors", 63, "63", 19, 1, 1},
		{2, 1 << 6, C(blk_config), "blk_size", 4096, "4.0 KiB", 20, 4, 1},
		{2, 1 << 10, C(blk_config), "topology.physical_block_exp", 3, "8 blocks", 24, 1, 1},
		{2, 1 << 10, C(zero), "topology.physical_block_exp", 0, "1 block", 24, 1, 1},
		{2, 1 << 10, C(full), "topology.physical_block_exp", 255, "2^255 blocks", 24, 1, 1},
		{2, 1 << 10, C(blk_config), "topology.min_io_size", 1, "1 block", 26, 2, 1},
		{2, 1 << 11, C(blk_config), "writeback", 1, "write-back", 32, 1, 1},
		{2, 1 << 12, C(blk_config), "num_queues", 4, "4", 34, 2, 1},
		{2, 1 << 13, C(blk_config), "max_discard_sectors", 0x3fffff, "1.9 GiB", 36, 4, 1},
		{2, 1 << 14, C(blk_config), "max_write_zeroes_sectors", 0, "0 B", 48, 4, 1},
		{2, 1 << 14, C(blk_config), "write_zeroes_may_unmap", 1, "yes", 56, 1, 1},
		{2, 1 << 17, C(blk_config), "zoned.model", 1, "host-managed", 92, 1, 1},
		{5, 0, C(balloon_config), "num_pages", 256, "1.0 MiB", 0, 4, 1},
		{9, 1, C(p9_config), "tag", 5, "share", 2, 5, 3},
		{16, 0, C(gpu_config), "events_read", 1, "DISPLAY", 0, 4, 1},
		{16, 0, C(gpu_config), "events_clear", 2, "0x2", 4, 4, 1},
		{16, 1 << 5, C(gpu_config), "blob_alignment", 16384, "16.0 KiB", 16, 4, 1},
		{18, 0, C(input_name), "u.string", 4, "keys", 8, 4, 3},
		{18, 0, C(input_bits), "u.bitmap", 2, "fe01", 8, 2, 3},
		{18, 0, C(input_ids), "u.ids.vendor", 0x627, "0x627", 10, 2, 1},
		{19, 0, C(vsock_config), "guest_cid", 3, "3", 0, 8, 1},
		{19, 0, C(vsock_host), "guest_cid", 2, "2 (host)", 0, 8, 1},
		{20, 0, C(crypto_config), "status", 1, "HW_READY", 0, 4, 1},
		{20, 0, C(crypto_config), "crypto_services", 0x11, "CIPHER AKCIPHER", 8, 4, 1},
		{23, 1 << 6, C(iommu_config), "bypass", 1, "yes", 36, 1, 1},
		{23, 0, C(iommu_config), "page_size_mask", 0xf000, "0xf000", 0, 8, 1},
		{24, 0, C(mem_config), "block_size", 1 << 21, "2.0 MiB", 0, 8, 1},
		{24, 0, C(mem_config), "addr", 0x101000000, "0x101000000", 16, 8, 1},
		{24, 0, C(mem_config), "region_size", UINT64_C(4) << 32, "16.0 GiB", 24, 8, 1},
		{26, 0, C(fs_config), "tag", 8, "my\\x09fs\\\\\\xc3\\xa9", 0, 36, 3},
		{27, 0, C(pmem_config), "size", UINT64_C(1) << 32, "4.0 GiB", 8, 8, 1},
		{27, 1, C(pmem_config), "size", UINT64_C(1) << 32, "4.0 GiB", 8, 8, 0},
		{40, 3, C(bt_config), "vendor", 2, "Intel", 1, 2, 1},
		{40, 3, C(bt_config), "msft_opcode", 0x1234, "0x1234", 3, 2, 1},
		{40, 11, C(bt_config_v2), "vendor", 3, "Realtek", 2, 2, 1},
		{40, 11, C(bt_config_v2), "msft_opcode", 0x1234, "0x1234", 4, 2, 1},
	};
	size_t i;

	for (i = 0; i < N(rows); i++) {
		struct vhost_config_field f;

		ck_assert_msg(!get_field(rows[i].device_id, rows[i].features, rows[i].config, rows[i].size,
					 rows[i].name, &f),
			      "row %zu: %s", i, rows[i].name);
		ck_assert_msg(f.value == rows[i].value, "row %zu: %s: %#" PRIx64, i, f.name, f.value);
		ck_assert_str_eq(f.text, rows[i].text);
		ck_assert_uint_eq(f.offset, rows[i].offset);
		ck_assert_uint_eq(f.length, rows[i].length);
		ck_assert_msg(f.flags == rows[i].flags, "row %zu: %s: %#x", i, f.name, f.flags);
		ck_assert_uint_eq(f.reserved, 0);
	}
}
END_TEST

START_TEST(a_string_that_does_not_fit_is_cut_between_its_characters)
{
	uint8_t tag[40];
	struct vhost_config_field f;

	memset(tag, 0x80, sizeof(tag));
	ck_assert_int_eq(get_field(VHOST_DEVICE_FS, 0, tag, sizeof(tag), "tag", &f), 0);
	ck_assert_uint_eq(f.value, 36);
	ck_assert_uint_eq(strlen(f.text), 15 * 4 + 3);
	ck_assert_str_eq(f.text + 14 * 4, "\\x80...");
	/* One without a terminator, and one that fits. */
	memset(tag, 'a', sizeof(tag));
	ck_assert_int_eq(get_field(VHOST_DEVICE_FS, 0, tag, sizeof(tag), "tag", &f), 0);
	ck_assert_uint_eq(f.value, 36);
	ck_assert_str_eq(f.text, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}
END_TEST

/* Without libcheck's own assertions, each of which costs a write: there are millions. */
#define MUST(cond) ((cond) ? (void)0 : ck_abort_msg("device %u, %zu bytes, field %u: %s", id, size, i, #cond))

static void check_fields(uint32_t id, uint64_t features, const uint8_t *config, size_t size)
{
	static const char printable[] = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
	struct vhost_config_field f;
	unsigned int i;
	uint32_t end = 0;
	int r;

	for (i = 0;; i++) {
		memset(&f, 0xa5, sizeof(f));
		r = vhost_config_field(id, features, config, size, i, &f, sizeof(f));
		if (r)
			break;
		MUST(f.name[0]);
		MUST(strnlen(f.name, sizeof(f.name)) < sizeof(f.name));
		MUST(strnlen(f.text, sizeof(f.text)) < sizeof(f.text));
		MUST(!f.text[strspn(f.text, printable)]);
		MUST(f.offset >= end);	/* in order, and none over another */
		end = f.offset + f.length;
		MUST(end <= size);
		MUST(!(f.flags & ~3u));
	}
	MUST(r == -ENOENT);
	MUST((unsigned char)f.name[0] == 0xa5);	/* written on success only */
	MUST(vhost_config_field(id, features, config, size, UINT32_MAX, &f, sizeof(f)) == -ENOENT);
}

START_TEST(no_field_is_read_outside_the_size_whatever_is_in_it)
{
	static const uint8_t selects[] = {0x00, 0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0xff};
	uint32_t seed = 1;
	size_t size, i;
	unsigned int round;

	for (size = 0; size < 160; size++) {
		for (round = 0; round < 3 + N(selects); round++) {
			uint8_t *config = malloc(size ? size : 1);

			ck_assert_ptr_nonnull(config);
			for (i = 0; i < size; i++) {
				seed = seed * 1103515245 + 12345;
				config[i] = round == 0 ? 0 : round == 1 ? 0xff : (uint8_t)(seed >> 16);
			}
			if (round >= 3 && size)
				config[0] = selects[round - 3];
			check_fields((uint32_t)_i, 0, config, size);
			check_fields((uint32_t)_i, UINT64_MAX, config, size);
			free(config);
		}
	}
	check_fields((uint32_t)_i, UINT64_MAX, NULL, 0);
}
END_TEST

START_TEST(a_9p_tag_longer_than_the_space_is_left_out)
{
	const uint8_t config[] = {6, 0, 's', 'h', 'a', 'r', 'e'};
	struct vhost_config_field f;

	ck_assert_int_eq(get_field(VHOST_DEVICE_9P, 1, config, sizeof(config), "tag_len", &f), 0);
	ck_assert_int_eq(get_field(VHOST_DEVICE_9P, 1, config, sizeof(config), "tag", &f), -ENOENT);
}
END_TEST

START_TEST(fields_that_the_device_does_not_have_are_left_out)
{
	struct vhost_config_field f;

	ck_assert_int_eq(vhost_config_field(VHOST_DEVICE_RNG, 0, full, sizeof(full), 0, &f, sizeof(f)), -ENOENT);
	ck_assert_int_eq(vhost_config_field(0, 0, full, sizeof(full), 0, &f, sizeof(f)), -ENOENT);
	ck_assert_int_eq(vhost_config_field(UINT32_MAX, 0, full, sizeof(full), 0, &f, sizeof(f)), -ENOENT);
	/* A device that ends before a field, or in the middle of it. */
	ck_assert_int_eq(get_field(VHOST_DEVICE_BLOCK, ~0u, blk_config, 35, "writeback", &f), 0);
	ck_assert_int_eq(get_field(VHOST_DEVICE_BLOCK, ~0u, blk_config, 35, "num_queues", &f), -ENOENT);
	ck_assert_int_eq(get_field(VHOST_DEVICE_BLOCK, ~0u, blk_config, 36, "num_queues", &f), 0);
}
END_TEST

START_TEST(the_result_may_be_larger_but_not_smaller_than_it_was_in_0_1)
{
	struct {
		struct vhost_config_field f;
		uint8_t more[8];
	} newer;

	ck_assert_uint_eq(sizeof(struct vhost_config_field), 128);
	memset(&newer, 0xff, sizeof(newer));
	ck_assert_int_eq(vhost_config_field(2, 0, blk_config, 96, 0, &newer.f, sizeof(newer)), 0);
	ck_assert_str_eq(newer.f.name, "capacity");
	ck_assert_uint_eq(newer.more[0] | newer.more[7], 0);
	ck_assert_int_eq(vhost_config_field(2, 0, blk_config, 96, 0, &newer.f, 127), -EINVAL);
	ck_assert_int_eq(vhost_config_field(2, 0, blk_config, 96, 0, &newer.f, 0), -EINVAL);
	ck_assert_int_eq(vhost_config_field(2, 0, blk_config, 96, 0, NULL, 128), -EINVAL);
	ck_assert_int_eq(vhost_config_field(2, 0, NULL, 96, 0, &newer.f, 128), -EINVAL);
}
END_TEST

#ifdef HAVE_VIRTIO_HEADERS
#define AT(id, type, name, member) \
	{id, name, offsetof(struct type, member), sizeof(((struct type *)0)->member)}
#define SAME(id, type, member) AT(id, type, #member, member)

START_TEST(fields_are_where_the_kernels_headers_have_them)
{
	static const struct {
		uint32_t device_id;
		const char *name;
		size_t offset, length;
	} rows[] = {
		SAME(1, virtio_net_config, mac),
		SAME(1, virtio_net_config, status),
		SAME(1, virtio_net_config, max_virtqueue_pairs),
		SAME(1, virtio_net_config, mtu),
		SAME(1, virtio_net_config, speed),
		SAME(1, virtio_net_config, duplex),
		SAME(1, virtio_net_config, rss_max_key_size),
		SAME(1, virtio_net_config, rss_max_indirection_table_length),
		SAME(1, virtio_net_config, supported_hash_types),
		SAME(2, virtio_blk_config, capacity),
		SAME(2, virtio_blk_config, size_max),
		SAME(2, virtio_blk_config, seg_max),
		SAME(2, virtio_blk_config, geometry.cylinders),
		SAME(2, virtio_blk_config, geometry.heads),
		SAME(2, virtio_blk_config, geometry.sectors),
		SAME(2, virtio_blk_config, blk_size),
		AT(2, virtio_blk_config, "topology.physical_block_exp", physical_block_exp),
		AT(2, virtio_blk_config, "topology.alignment_offset", alignment_offset),
		AT(2, virtio_blk_config, "topology.min_io_size", min_io_size),
		AT(2, virtio_blk_config, "topology.opt_io_size", opt_io_size),
		AT(2, virtio_blk_config, "writeback", wce),
		SAME(2, virtio_blk_config, num_queues),
		SAME(2, virtio_blk_config, max_discard_sectors),
		SAME(2, virtio_blk_config, max_discard_seg),
		SAME(2, virtio_blk_config, discard_sector_alignment),
		SAME(2, virtio_blk_config, max_write_zeroes_sectors),
		SAME(2, virtio_blk_config, max_write_zeroes_seg),
		SAME(2, virtio_blk_config, write_zeroes_may_unmap),
		SAME(2, virtio_blk_config, max_secure_erase_sectors),
		SAME(2, virtio_blk_config, max_secure_erase_seg),
		SAME(2, virtio_blk_config, secure_erase_sector_alignment),
		SAME(3, virtio_console_config, cols),
		SAME(3, virtio_console_config, rows),
		SAME(3, virtio_console_config, max_nr_ports),
		SAME(3, virtio_console_config, emerg_wr),
		SAME(5, virtio_balloon_config, num_pages),
		SAME(5, virtio_balloon_config, actual),
		SAME(5, virtio_balloon_config, free_page_hint_cmd_id),
		SAME(5, virtio_balloon_config, poison_val),
		SAME(8, virtio_scsi_config, num_queues),
		SAME(8, virtio_scsi_config, seg_max),
		SAME(8, virtio_scsi_config, max_sectors),
		SAME(8, virtio_scsi_config, cmd_per_lun),
		SAME(8, virtio_scsi_config, event_info_size),
		SAME(8, virtio_scsi_config, sense_size),
		SAME(8, virtio_scsi_config, cdb_size),
		SAME(8, virtio_scsi_config, max_channel),
		SAME(8, virtio_scsi_config, max_target),
		SAME(8, virtio_scsi_config, max_lun),
		SAME(16, virtio_gpu_config, events_read),
		SAME(16, virtio_gpu_config, events_clear),
		SAME(16, virtio_gpu_config, num_scanouts),
		SAME(16, virtio_gpu_config, num_capsets),
		SAME(18, virtio_input_config, select),
		SAME(18, virtio_input_config, subsel),
		SAME(18, virtio_input_config, size),
		SAME(18, virtio_input_config, u.abs.min),
		SAME(18, virtio_input_config, u.abs.max),
		SAME(18, virtio_input_config, u.abs.fuzz),
		SAME(18, virtio_input_config, u.abs.flat),
		SAME(18, virtio_input_config, u.abs.res),
		SAME(19, virtio_vsock_config, guest_cid),
		SAME(20, virtio_crypto_config, status),
		SAME(20, virtio_crypto_config, max_dataqueues),
		SAME(20, virtio_crypto_config, crypto_services),
		SAME(20, virtio_crypto_config, cipher_algo_l),
		SAME(20, virtio_crypto_config, cipher_algo_h),
		SAME(20, virtio_crypto_config, hash_algo),
		SAME(20, virtio_crypto_config, mac_algo_l),
		SAME(20, virtio_crypto_config, mac_algo_h),
		SAME(20, virtio_crypto_config, aead_algo),
		SAME(20, virtio_crypto_config, max_cipher_key_len),
		SAME(20, virtio_crypto_config, max_auth_key_len),
		SAME(20, virtio_crypto_config, akcipher_algo),
		SAME(20, virtio_crypto_config, max_size),
		SAME(23, virtio_iommu_config, page_size_mask),
		SAME(23, virtio_iommu_config, input_range.start),
		SAME(23, virtio_iommu_config, input_range.end),
		SAME(23, virtio_iommu_config, domain_range.start),
		SAME(23, virtio_iommu_config, domain_range.end),
		SAME(23, virtio_iommu_config, probe_size),
		SAME(23, virtio_iommu_config, bypass),
		SAME(24, virtio_mem_config, block_size),
		SAME(24, virtio_mem_config, node_id),
		SAME(24, virtio_mem_config, addr),
		SAME(24, virtio_mem_config, region_size),
		SAME(24, virtio_mem_config, usable_region_size),
		SAME(24, virtio_mem_config, plugged_size),
		SAME(24, virtio_mem_config, requested_size),
		SAME(25, virtio_snd_config, jacks),
		SAME(25, virtio_snd_config, streams),
		SAME(25, virtio_snd_config, chmaps),
		SAME(26, virtio_fs_config, tag),
		SAME(26, virtio_fs_config, num_request_queues),
		SAME(27, virtio_pmem_config, start),
		SAME(27, virtio_pmem_config, size),
		SAME(40, virtio_bt_config, type),
		SAME(40, virtio_bt_config, vendor),
		SAME(40, virtio_bt_config, msft_opcode),
		SAME(41, virtio_gpio_config, ngpio),
		SAME(41, virtio_gpio_config, gpio_names_size),
	};
	const uint8_t config[160] = {0x12, 0, 20};	/* the answer that an input device gives: an axis */
	struct vhost_config_field f;
	size_t i;

	for (i = 0; i < N(rows); i++) {
		ck_assert_msg(!get_field(rows[i].device_id, 0, config, sizeof(config), rows[i].name, &f), "%s",
			      rows[i].name);
		ck_assert_msg(f.offset == rows[i].offset && f.length == rows[i].length, "%s", rows[i].name);
	}
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("names");
	TCase *tc = tcase_create("names");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, each_table_names_its_whole_range_and_no_name_twice, 0, (int)N(tables));
	tcase_add_loop_test(tc, each_device_type_names_no_feature_twice, 0, MAX_DEVICE);
	tcase_add_test(tc, bits_24_to_41_mean_the_same_for_every_device);
	tcase_add_test(tc, a_bit_has_the_name_that_its_device_type_gives_it);
	tcase_add_test(tc, messages_have_a_name_by_the_side_that_sends_them);
	tcase_add_test(tc, a_device_type_is_found_by_its_name_and_by_the_other_words_for_it);
	tcase_add_loop_test(tc, names_agree_with_the_kernels_headers, 0, (int)N(headers));
	tcase_add_test(tc, a_set_of_bits_is_its_names_in_order);
	tcase_add_test(tc, text_that_does_not_fit_is_cut_terminated_and_its_length_told);
	tcase_add_test(tc, a_field_is_decoded_as_a_number_and_as_text);
	tcase_add_test(tc, a_string_that_does_not_fit_is_cut_between_its_characters);
	tcase_add_loop_test(tc, no_field_is_read_outside_the_size_whatever_is_in_it, 0, MAX_DEVICE);
	tcase_add_test(tc, a_9p_tag_longer_than_the_space_is_left_out);
	tcase_add_test(tc, fields_that_the_device_does_not_have_are_left_out);
	tcase_add_test(tc, the_result_may_be_larger_but_not_smaller_than_it_was_in_0_1);
#ifdef HAVE_VIRTIO_HEADERS
	tcase_add_test(tc, fields_are_where_the_kernels_headers_have_them);
#endif

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
