/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The configuration space of each device type, as tables. What comes from the
 * device is only ever read inside the size that the caller gave, byte by byte,
 * and its strings are made safe to print.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <vhost/names.h>

#include "util.h"

/* What the first version of the library had: the least that a caller may give. */
#define FIELD_SIZE_0_1 128

_Static_assert(sizeof(struct vhost_config_field) == FIELD_SIZE_0_1, "the ABI of 0.1");

/* How a field's value becomes text. */
enum kind {
	DEC,		/* a number; words, if any, are its unit: of one, of more */
	HEX,		/* a mask without names, or an address */
	BYTES,		/* a size in units of 1 << shift bytes */
	FLAGS,		/* words[n] for bit n */
	WORD,		/* words[n] for the value n */
	MAC,		/* six bytes */
	SPEED,		/* of a link */
	EXPONENT,	/* of two */
	CID,		/* of a vsock */
	STRING,		/* up to a NUL, or all of it */
	STRING_LE16,	/* its length is the le16 at offset 0 */
	STRING_INPUT,	/* its length is the u8 at offset 2 */
	MASK_INPUT,	/* the same, but bytes of a bitmap */
};

struct field {
	const char *name;
	uint16_t offset;
	uint16_t length;
	uint8_t as;			/* enum kind */
	uint8_t shift;
	const char *const *words;	/* ends with NULL, except where a unit */
	uint64_t any_of;		/* valid with any of these features; 0: always */
	uint64_t unless;		/* and none of these */
};

#define F(bit) (UINT64_C(1) << (bit))
#define UNIT(one, more) ((const char *const[]){one, more})
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_YES WORDS("no", "yes")

/* VIRTIO 1.3, 5.1.4. */
#define NET_RSS_OR_HASH (F(60) | F(57))
static const struct field net_fields[] = {
	{"mac", 0, 6, .as = MAC, .any_of = F(5)},
	{"status", 6, 2, .as = FLAGS, .words = WORDS("LINK_UP", "ANNOUNCE"), .any_of = F(16)},
	{"max_virtqueue_pairs", 8, 2, .as = DEC, .any_of = F(22) | F(60)},
	{"mtu", 10, 2, .as = DEC, .words = UNIT("byte", "bytes"), .any_of = F(3)},
	{"speed", 12, 4, .as = SPEED, .any_of = F(63)},
	{"duplex", 16, 1, .as = WORD, .words = WORDS("half", "full"), .any_of = F(63)},
	{"rss_max_key_size", 17, 1, .as = DEC, .words = UNIT("byte", "bytes"), .any_of = NET_RSS_OR_HASH},
	{"rss_max_indirection_table_length", 18, 2, .as = DEC, .words = UNIT("entry", "entries"), .any_of = F(60)},
	{"supported_hash_types", 20, 4, .as = FLAGS,
	 .words = WORDS("IPv4", "TCPv4", "UDPv4", "IPv6", "TCPv6", "UDPv6", "IP_EX", "TCP_EX", "UDP_EX"),
	 .any_of = NET_RSS_OR_HASH},
	{"supported_tunnel_types", 24, 4, .as = HEX, .any_of = F(51)},
};

/* VIRTIO 1.3, 5.2.4. Sectors are of 512 bytes, whatever blk_size says. */
static const struct field blk_fields[] = {
	{"capacity", 0, 8, .as = BYTES, .shift = 9},
	{"size_max", 8, 4, .as = BYTES, .any_of = F(1)},
	{"seg_max", 12, 4, .as = DEC, .any_of = F(2)},
	{"geometry.cylinders", 16, 2, .as = DEC, .any_of = F(4)},
	{"geometry.heads", 18, 1, .as = DEC, .any_of = F(4)},
	{"geometry.sectors", 19, 1, .as = DEC, .any_of = F(4)},
	{"blk_size", 20, 4, .as = BYTES, .any_of = F(6)},
	{"topology.physical_block_exp", 24, 1, .as = EXPONENT, .words = UNIT("block", "blocks"), .any_of = F(10)},
	{"topology.alignment_offset", 25, 1, .as = DEC, .words = UNIT("block", "blocks"), .any_of = F(10)},
	{"topology.min_io_size", 26, 2, .as = DEC, .words = UNIT("block", "blocks"), .any_of = F(10)},
	{"topology.opt_io_size", 28, 4, .as = DEC, .words = UNIT("block", "blocks"), .any_of = F(10)},
	{"writeback", 32, 1, .as = WORD, .words = WORDS("write-through", "write-back"), .any_of = F(11)},
	{"num_queues", 34, 2, .as = DEC, .any_of = F(12)},
	{"max_discard_sectors", 36, 4, .as = BYTES, .shift = 9, .any_of = F(13)},
	{"max_discard_seg", 40, 4, .as = DEC, .any_of = F(13)},
	{"discard_sector_alignment", 44, 4, .as = BYTES, .shift = 9, .any_of = F(13)},
	{"max_write_zeroes_sectors", 48, 4, .as = BYTES, .shift = 9, .any_of = F(14)},
	{"max_write_zeroes_seg", 52, 4, .as = DEC, .any_of = F(14)},
	{"write_zeroes_may_unmap", 56, 1, .as = WORD, .words = NO_YES, .any_of = F(14)},
	{"max_secure_erase_sectors", 60, 4, .as = BYTES, .shift = 9, .any_of = F(16)},
	{"max_secure_erase_seg", 64, 4, .as = DEC, .any_of = F(16)},
	{"secure_erase_sector_alignment", 68, 4, .as = BYTES, .shift = 9, .any_of = F(16)},
	{"zoned.zone_sectors", 72, 4, .as = BYTES, .shift = 9, .any_of = F(17)},
	{"zoned.max_open_zones", 76, 4, .as = DEC, .any_of = F(17)},
	{"zoned.max_active_zones", 80, 4, .as = DEC, .any_of = F(17)},
	{"zoned.max_append_sectors", 84, 4, .as = BYTES, .shift = 9, .any_of = F(17)},
	{"zoned.write_granularity", 88, 4, .as = BYTES, .any_of = F(17)},
	{"zoned.model", 92, 1, .as = WORD, .words = WORDS("none", "host-managed", "host-aware"), .any_of = F(17)},
};

/* VIRTIO 1.3, 5.3.4. */
static const struct field console_fields[] = {
	{"cols", 0, 2, .as = DEC, .any_of = F(0)},
	{"rows", 2, 2, .as = DEC, .any_of = F(0)},
	{"max_nr_ports", 4, 4, .as = DEC, .any_of = F(1)},
	{"emerg_wr", 8, 4, .as = DEC, .any_of = F(2)},
};

/* VIRTIO 1.3, 5.5.4. A page is of 4096 bytes, whatever the guest's pages are (5.5.6). */
static const struct field balloon_fields[] = {
	{"num_pages", 0, 4, .as = BYTES, .shift = 12},
	{"actual", 4, 4, .as = BYTES, .shift = 12},
	{"free_page_hint_cmd_id", 8, 4, .as = DEC, .any_of = F(3)},
	{"poison_val", 12, 4, .as = HEX, .any_of = F(4)},
};

/* VIRTIO 1.3, 5.6.4. */
static const struct field scsi_fields[] = {
	{"num_queues", 0, 4, .as = DEC},
	{"seg_max", 4, 4, .as = DEC},
	{"max_sectors", 8, 4, .as = BYTES, .shift = 9},
	{"cmd_per_lun", 12, 4, .as = DEC},
	{"event_info_size", 16, 4, .as = DEC, .words = UNIT("byte", "bytes")},
	{"sense_size", 20, 4, .as = DEC, .words = UNIT("byte", "bytes")},
	{"cdb_size", 24, 4, .as = DEC, .words = UNIT("byte", "bytes")},
	{"max_channel", 28, 2, .as = DEC},
	{"max_target", 30, 2, .as = DEC},
	{"max_lun", 32, 4, .as = DEC},
};

/* <linux/virtio_9p.h>. */
static const struct field p9_fields[] = {
	{"tag_len", 0, 2, .as = DEC, .words = UNIT("byte", "bytes"), .any_of = F(0)},
	{"tag", 2, 0, .as = STRING_LE16, .any_of = F(0)},
};

/* VIRTIO 1.3, 5.7.4; blob_alignment is of 1.4. */
static const struct field gpu_fields[] = {
	{"events_read", 0, 4, .as = FLAGS, .words = WORDS("DISPLAY")},
	{"events_clear", 4, 4, .as = FLAGS, .words = WORDS("DISPLAY")},
	{"num_scanouts", 8, 4, .as = DEC},
	{"num_capsets", 12, 4, .as = DEC},
	{"blob_alignment", 16, 4, .as = BYTES, .any_of = F(5)},
};

/*
 * VIRTIO 1.3, 5.8.4: select and subsel are the driver's question, what begins at
 * offset 8 is the answer, and size its length: 0 for no answer.
 */
static const struct field input_fields[] = {
	{"select", 0, 1, .as = HEX},
	{"subsel", 1, 1, .as = HEX},
	{"size", 2, 1, .as = DEC, .words = UNIT("byte", "bytes")},
};

static const struct field input_string[] = {
	{"u.string", 8, 128, .as = STRING_INPUT},
};

static const struct field input_bitmap[] = {
	{"u.bitmap", 8, 128, .as = MASK_INPUT},
};

static const struct field input_abs[] = {
	{"u.abs.min", 8, 4, .as = DEC},
	{"u.abs.max", 12, 4, .as = DEC},
	{"u.abs.fuzz", 16, 4, .as = DEC},
	{"u.abs.flat", 20, 4, .as = DEC},
	{"u.abs.res", 24, 4, .as = DEC},
};

static const struct field input_ids[] = {
	{"u.ids.bustype", 8, 2, .as = HEX},
	{"u.ids.vendor", 10, 2, .as = HEX},
	{"u.ids.product", 12, 2, .as = HEX},
	{"u.ids.version", 14, 2, .as = HEX},
};

/* VIRTIO 1.3, 5.9.4. */
static const struct field crypto_fields[] = {
	{"status", 0, 4, .as = FLAGS, .words = WORDS("HW_READY")},
	{"max_dataqueues", 4, 4, .as = DEC},
	{"crypto_services", 8, 4, .as = FLAGS, .words = WORDS("CIPHER", "HASH", "MAC", "AEAD", "AKCIPHER")},
	{"cipher_algo_l", 12, 4, .as = HEX},
	{"cipher_algo_h", 16, 4, .as = HEX},
	{"hash_algo", 20, 4, .as = HEX},
	{"mac_algo_l", 24, 4, .as = HEX},
	{"mac_algo_h", 28, 4, .as = HEX},
	{"aead_algo", 32, 4, .as = HEX},
	{"max_cipher_key_len", 36, 4, .as = DEC, .words = UNIT("byte", "bytes")},
	{"max_auth_key_len", 40, 4, .as = DEC, .words = UNIT("byte", "bytes")},
	{"akcipher_algo", 44, 4, .as = HEX},
	{"max_size", 48, 8, .as = BYTES},
};

/* VIRTIO 1.3, 5.10.4. */
static const struct field vsock_fields[] = {
	{"guest_cid", 0, 8, .as = CID},
};

/* VIRTIO 1.3, 5.11.4. */
static const struct field fs_fields[] = {
	{"tag", 0, 36, .as = STRING},
	{"num_request_queues", 36, 4, .as = DEC},
	{"notify_buf_size", 40, 4, .as = DEC, .words = UNIT("byte", "bytes"), .any_of = F(0)},
};

/* VIRTIO 1.3, 5.12.4: the capacity is in units of 128 KiB. */
static const struct field rpmb_fields[] = {
	{"capacity", 0, 1, .as = BYTES, .shift = 17},
	{"max_wr_cnt", 1, 1, .as = DEC},
	{"max_rd_cnt", 2, 1, .as = DEC},
};

/* VIRTIO 1.3, 5.13.4. The ranges include their ends. */
static const struct field iommu_fields[] = {
	{"page_size_mask", 0, 8, .as = HEX},
	{"input_range.start", 8, 8, .as = HEX, .any_of = F(0)},
	{"input_range.end", 16, 8, .as = HEX, .any_of = F(0)},
	{"domain_range.start", 24, 4, .as = DEC, .any_of = F(1)},
	{"domain_range.end", 28, 4, .as = DEC, .any_of = F(1)},
	{"probe_size", 32, 4, .as = DEC, .words = UNIT("byte", "bytes"), .any_of = F(4)},
	{"bypass", 36, 1, .as = WORD, .words = NO_YES, .any_of = F(6)},
};

/* VIRTIO 1.3, 5.14.4. */
static const struct field sound_fields[] = {
	{"jacks", 0, 4, .as = DEC},
	{"streams", 4, 4, .as = DEC},
	{"chmaps", 8, 4, .as = DEC},
	{"controls", 12, 4, .as = DEC, .any_of = F(0)},
};

/* VIRTIO 1.3, 5.15.4. */
static const struct field mem_fields[] = {
	{"block_size", 0, 8, .as = BYTES},
	{"node_id", 8, 2, .as = DEC, .any_of = F(0)},
	{"addr", 16, 8, .as = HEX},
	{"region_size", 24, 8, .as = BYTES},
	{"usable_region_size", 32, 8, .as = BYTES},
	{"plugged_size", 40, 8, .as = BYTES},
	{"requested_size", 48, 8, .as = BYTES},
};

/* VIRTIO 1.3, 5.18.4. */
static const struct field gpio_fields[] = {
	{"ngpio", 0, 2, .as = DEC},
	{"gpio_names_size", 4, 4, .as = DEC, .words = UNIT("byte", "bytes")},
};

/* VIRTIO 1.3, 5.19.5: with SHMEM_REGION the range is that of shared memory region 0. */
static const struct field pmem_fields[] = {
	{"start", 0, 8, .as = HEX, .unless = F(0)},
	{"size", 8, 8, .as = BYTES, .unless = F(0)},
};

/* VIRTIO 1.4: the CAN, SPI and media devices. */
static const struct field can_fields[] = {
	{"status", 0, 2, .as = FLAGS, .words = WORDS("CTRL_BUSOFF")},
};

static const struct field spi_fields[] = {
	{"cs_max_number", 0, 1, .as = DEC},
	{"cs_change_supported", 1, 1, .as = WORD, .words = NO_YES},
	{"tx_nbits_supported", 2, 1, .as = FLAGS, .words = WORDS("DUAL", "QUAD", "OCTAL")},
	{"rx_nbits_supported", 3, 1, .as = FLAGS, .words = WORDS("DUAL", "QUAD", "OCTAL")},
	{"bits_per_word_mask", 4, 4, .as = HEX},
	{"mode_func_supported", 8, 4, .as = HEX},
	{"max_freq_hz", 12, 4, .as = DEC, .words = UNIT("Hz", "Hz")},
	{"max_word_delay_ns", 16, 4, .as = DEC, .words = UNIT("ns", "ns")},
	{"max_cs_setup_ns", 20, 4, .as = DEC, .words = UNIT("ns", "ns")},
	{"max_cs_hold_ns", 24, 4, .as = DEC, .words = UNIT("ns", "ns")},
	{"max_cs_inactive_ns", 28, 4, .as = DEC, .words = UNIT("ns", "ns")},
};

static const struct field media_fields[] = {
	{"device_caps", 0, 4, .as = HEX},
	{"device_type", 4, 4, .as = DEC},
	{"card", 8, 32, .as = STRING},
};

/* <linux/virtio_bt.h>: the first layout was not aligned, CONFIG_V2 chooses one that is. */
#define BT_VENDORS WORDS("none", "Zephyr", "Intel", "Realtek")
static const struct field bt_fields[] = {
	{"type", 0, 1, .as = WORD, .words = WORDS("primary")},
	{"vendor", 1, 2, .as = WORD, .words = BT_VENDORS, .any_of = F(0)},
	{"msft_opcode", 3, 2, .as = HEX, .any_of = F(1)},
};

static const struct field bt_fields_v2[] = {
	{"type", 0, 1, .as = WORD, .words = WORDS("primary")},
	{"alignment", 1, 1, .as = DEC},
	{"vendor", 2, 2, .as = WORD, .words = BT_VENDORS, .any_of = F(0)},
	{"msft_opcode", 4, 2, .as = HEX, .any_of = F(1)},
};

struct layout {
	const struct field *fields;
	size_t n;
};

#define LAYOUT(table) {(table), ARRAY_SIZE(table)}

/* The types that are not here have no configuration space (rng, i2c, scmi), or none that is known. */
static const struct layout layouts[] = {
	[VHOST_DEVICE_NET] = LAYOUT(net_fields),
	[VHOST_DEVICE_BLOCK] = LAYOUT(blk_fields),
	[VHOST_DEVICE_CONSOLE] = LAYOUT(console_fields),
	[VHOST_DEVICE_BALLOON] = LAYOUT(balloon_fields),
	[VHOST_DEVICE_SCSI] = LAYOUT(scsi_fields),
	[VHOST_DEVICE_9P] = LAYOUT(p9_fields),
	[VHOST_DEVICE_GPU] = LAYOUT(gpu_fields),
	[VHOST_DEVICE_INPUT] = LAYOUT(input_fields),
	[VHOST_DEVICE_VSOCK] = LAYOUT(vsock_fields),
	[VHOST_DEVICE_CRYPTO] = LAYOUT(crypto_fields),
	[VHOST_DEVICE_IOMMU] = LAYOUT(iommu_fields),
	[VHOST_DEVICE_MEM] = LAYOUT(mem_fields),
	[VHOST_DEVICE_SOUND] = LAYOUT(sound_fields),
	[VHOST_DEVICE_FS] = LAYOUT(fs_fields),
	[VHOST_DEVICE_PMEM] = LAYOUT(pmem_fields),
	[VHOST_DEVICE_RPMB] = LAYOUT(rpmb_fields),
	[VHOST_DEVICE_CAN] = LAYOUT(can_fields),
	[VHOST_DEVICE_BT] = LAYOUT(bt_fields),
	[VHOST_DEVICE_GPIO] = LAYOUT(gpio_fields),
	[VHOST_DEVICE_SPI] = LAYOUT(spi_fields),
	[VHOST_DEVICE_MEDIA] = LAYOUT(media_fields),
};

/* The configuration space as the caller gave it. */
struct space {
	const uint8_t *p;
	size_t size;
};

/* A little-endian number of 1 to 8 bytes, which are known to be there. */
static uint64_t get_le(const struct space *cfg, uint32_t offset, uint32_t length)
{
	uint64_t value = 0;

	while (length--)
		value = value << 8 | cfg->p[offset + length];
	return value;
}

/* The rest of an input device's layout: the answer to what the driver selected. */
static struct layout input_answer(const struct space *cfg)
{
	static const struct layout string = LAYOUT(input_string);
	static const struct layout bitmap = LAYOUT(input_bitmap);
	static const struct layout abs_info = LAYOUT(input_abs);
	static const struct layout ids = LAYOUT(input_ids);
	static const struct layout nothing = {NULL, 0};

	if (cfg->size < 3 || cfg->p[2] == 0)
		return nothing;
	switch (cfg->p[0]) {
	case 0x01:	/* ID_NAME */
	case 0x02:	/* ID_SERIAL */
		return string;
	case 0x03:	/* ID_DEVIDS */
		return ids;
	case 0x10:	/* PROP_BITS */
	case 0x11:	/* EV_BITS */
		return bitmap;
	case 0x12:	/* ABS_INFO */
		return abs_info;
	default:
		return nothing;
	}
}

/* How long the field is, in this space; false if the space does not say. */
static bool field_length(const struct field *f, const struct space *cfg, uint32_t *ret)
{
	switch (f->as) {
	case STRING_LE16:
		if (cfg->size < 2)
			return false;
		*ret = (uint32_t)get_le(cfg, 0, 2);
		return true;
	case STRING_INPUT:
	case MASK_INPUT:
		if (cfg->size < 3)
			return false;
		*ret = cfg->p[2] < f->length ? cfg->p[2] : f->length;
		return true;
	default:
		*ret = f->length;
		return true;
	}
}

/* -------------------------------------------------------------------- text */

/* Text that is cut, and says so, when it does not fit. */
struct text {
	char *buf;
	size_t size;
	size_t len;
	bool cut;
};

static void text_add(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (t->cut)
		return;
	/* Whole pieces only, and three bytes kept for the dots. */
	if (n >= t->size - 3 - t->len) {
		t->cut = true;
		memcpy(t->buf + t->len, "...", 4);
		return;
	}
	memcpy(t->buf + t->len, s, n + 1);
	t->len += n;
}

static void text_string(struct text *t, const uint8_t *p, size_t n)
{
	char piece[8];

	for (; n; p++, n--) {
		if (*p == '\\')
			snprintf(piece, sizeof(piece), "\\\\");
		else if (*p >= 0x20 && *p < 0x7f)
			snprintf(piece, sizeof(piece), "%c", *p);
		else
			snprintf(piece, sizeof(piece), "\\x%02x", *p);
		text_add(t, piece);
	}
}

static void text_mask(struct text *t, const uint8_t *p, size_t n)
{
	char piece[8];

	for (; n; p++, n--) {
		snprintf(piece, sizeof(piece), "%02x", *p);
		text_add(t, piece);
	}
}

static void text_flags(struct text *t, uint64_t value, const char *const *words)
{
	char rest[24];
	unsigned int bit;

	for (bit = 0; words[bit]; bit++) {
		if (!(value >> bit & 1))
			continue;
		value &= ~F(bit);
		if (t->len)
			text_add(t, " ");
		text_add(t, words[bit]);
	}
	if (value || !t->len) {
		snprintf(rest, sizeof(rest), "%s%#" PRIx64, t->len ? " " : "", value);
		text_add(t, rest);
	}
}

static void text_word(struct text *t, uint64_t value, const char *const *words)
{
	char number[32];
	size_t n = 0;

	while (words[n] && n < value)
		n++;
	if (words[n]) {
		text_add(t, words[n]);
	} else {
		snprintf(number, sizeof(number), "unknown (%" PRIu64 ")", value);
		text_add(t, number);
	}
}

/* value << shift bytes, which may be more than 64 bits hold, in the largest unit below it. */
static void text_bytes(struct text *t, uint64_t value, unsigned int shift)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB"};
	unsigned int bits = value ? 64 - (unsigned int)__builtin_clzll(value) + shift : 1;
	unsigned int unit = (bits - 1) / 10;
	char number[40];

	if (unit == 0) {
		snprintf(number, sizeof(number), "%" PRIu64 " B", value << shift);
	} else if (unit * 10 < shift) {
		snprintf(number, sizeof(number), "%" PRIu64 ".0 %s", value << (shift - unit * 10), units[unit]);
	} else {
		unsigned int down = unit * 10 - shift;
		uint64_t fraction = value & (F(down) - 1);

		/* Ten times the fraction must fit: 60 bits of it do. */
		if (down > 60) {
			fraction >>= down - 60;
			snprintf(number, sizeof(number), "%" PRIu64 ".%" PRIu64 " %s", value >> down,
				 fraction * 10 >> 60, units[unit]);
		} else {
			snprintf(number, sizeof(number), "%" PRIu64 ".%" PRIu64 " %s", value >> down,
				 fraction * 10 >> down, units[unit]);
		}
	}
	text_add(t, number);
}

static void text_cid(struct text *t, uint64_t cid)
{
	/* VIRTIO 1.3, 5.10.4: reserved, and the addresses that vsock(7) gives a meaning. */
	const char *meaning = "";
	char number[40];

	if (cid == 0)
		meaning = " (hypervisor)";
	else if (cid == 1)
		meaning = " (local)";
	else if (cid == 2)
		meaning = " (host)";
	else if (cid == UINT32_MAX)
		meaning = " (any)";
	snprintf(number, sizeof(number), "%" PRIu64 "%s", cid, meaning);
	text_add(t, number);
}

static void text_number(struct text *t, const struct field *f, uint64_t value)
{
	const char *unit = f->words ? f->words[value != 1] : "";
	char number[64];

	switch (f->as) {
	case HEX:
		snprintf(number, sizeof(number), "%#" PRIx64, value);
		break;
	case SPEED:
		/* VIRTIO 1.3, 5.1.4.2: above 0x7fffffff, unknown. */
		if (value > INT32_MAX)
			snprintf(number, sizeof(number), "unknown");
		else
			snprintf(number, sizeof(number), "%" PRIu64 " Mbit/s", value);
		break;
	case MAC:
		snprintf(number, sizeof(number), "%02x:%02x:%02x:%02x:%02x:%02x",
			 (unsigned int)(value >> 40 & 0xff), (unsigned int)(value >> 32 & 0xff),
			 (unsigned int)(value >> 24 & 0xff), (unsigned int)(value >> 16 & 0xff),
			 (unsigned int)(value >> 8 & 0xff), (unsigned int)(value & 0xff));
		break;
	case EXPONENT:
		if (value < 64)
			snprintf(number, sizeof(number), "%" PRIu64 " %s", F(value), f->words[value != 0]);
		else
			snprintf(number, sizeof(number), "2^%" PRIu64 " %s", value, unit);
		break;
	default:
		snprintf(number, sizeof(number), "%" PRIu64 "%s%s", value, *unit ? " " : "", unit);
		break;
	}
	text_add(t, number);
}

/* The field is known to be within the space. */
static void decode(const struct field *f, const struct space *cfg, uint32_t length, struct vhost_config_field *out)
{
	struct text text = {out->text, sizeof(out->text), 0, false};
	const uint8_t *p = cfg->size > f->offset ? cfg->p + f->offset : NULL;
	uint32_t i;

	switch (f->as) {
	case STRING:
	case STRING_LE16:
	case STRING_INPUT:
		for (i = 0; i < length && p[i]; i++)
			;
		out->value = i;
		out->flags |= VHOST_CONFIG_FIELD_STRING;
		text_string(&text, p, i);
		return;
	case MASK_INPUT:
		out->value = length;
		out->flags |= VHOST_CONFIG_FIELD_STRING;
		text_mask(&text, p, length);
		return;
	case MAC:
		for (i = 0; i < length; i++)
			out->value = out->value << 8 | p[i];
		break;
	default:
		out->value = get_le(cfg, f->offset, length);
		break;
	}

	switch (f->as) {
	case FLAGS:
		text_flags(&text, out->value, f->words);
		break;
	case WORD:
		text_word(&text, out->value, f->words);
		break;
	case BYTES:
		text_bytes(&text, out->value, f->shift);
		break;
	case CID:
		text_cid(&text, out->value);
		break;
	default:
		text_number(&text, f, out->value);
		break;
	}
}

VHOST_EXPORT int vhost_config_field(uint32_t device_id, uint64_t features, const void *config, size_t size,
				    unsigned int index, struct vhost_config_field *ret, size_t ret_size)
{
	static const struct layout bt_v2 = LAYOUT(bt_fields_v2);
	const struct space cfg = {config, size};
	struct layout part[2] = {{NULL, 0}, {NULL, 0}};
	struct vhost_config_field out;
	unsigned int i;
	size_t j;

	if ((!config && size) || !ret || ret_size < FIELD_SIZE_0_1)
		return -EINVAL;
	if (device_id < ARRAY_SIZE(layouts))
		part[0] = layouts[device_id];
	if (device_id == VHOST_DEVICE_BT && (features & F(3)))
		part[0] = bt_v2;
	if (device_id == VHOST_DEVICE_INPUT)
		part[1] = input_answer(&cfg);

	for (i = 0; i < ARRAY_SIZE(part); i++) {
		for (j = 0; j < part[i].n; j++) {
			const struct field *f = &part[i].fields[j];
			uint32_t length;

			if (!field_length(f, &cfg, &length) || !range_within(f->offset, length, size))
				continue;
			if (index--)
				continue;
			memset(&out, 0, sizeof(out));
			snprintf(out.name, sizeof(out.name), "%s", f->name);
			out.offset = f->offset;
			out.length = length;
			if ((!f->any_of || (features & f->any_of)) && !(features & f->unless))
				out.flags |= VHOST_CONFIG_FIELD_VALID;
			decode(f, &cfg, length, &out);
			/* What a newer caller's struct has more is zero. */
			memset((char *)ret + sizeof(out), 0, ret_size - sizeof(out));
			memcpy(ret, &out, sizeof(out));
			return 0;
		}
	}
	return -ENOENT;
}
