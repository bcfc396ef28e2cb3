/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: the names of bits and numbers
 *
 * Words for what the protocols carry as numbers: device types, feature bits,
 * status bits, messages, and the fields of a device's configuration space. The
 * names are those of the specifications, without their prefixes.
 *
 * Nothing here keeps state: every call may be made by any thread at any time.
 * A name that is returned is valid for ever. A newer library may know names
 * that an older one does not; a name once given stays.
 */
#ifndef VHOST_NAMES_H
#define VHOST_NAMES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------ device types */

/** enum vhost_device_id - the virtio device types (VIRTIO 1.3, 5) */
enum vhost_device_id {
	VHOST_DEVICE_NET = 1,
	VHOST_DEVICE_BLOCK = 2,
	VHOST_DEVICE_CONSOLE = 3,
	VHOST_DEVICE_RNG = 4,
	VHOST_DEVICE_BALLOON = 5,	/**< the traditional balloon */
	VHOST_DEVICE_IOMEM = 6,
	VHOST_DEVICE_RPMSG = 7,
	VHOST_DEVICE_SCSI = 8,
	VHOST_DEVICE_9P = 9,
	VHOST_DEVICE_MAC80211_WLAN = 10,
	VHOST_DEVICE_RPROC_SERIAL = 11,
	VHOST_DEVICE_CAIF = 12,
	VHOST_DEVICE_MEMORY_BALLOON = 13,
	VHOST_DEVICE_GPU = 16,
	VHOST_DEVICE_CLOCK = 17,
	VHOST_DEVICE_INPUT = 18,
	VHOST_DEVICE_VSOCK = 19,
	VHOST_DEVICE_CRYPTO = 20,
	VHOST_DEVICE_SIGNAL_DIST = 21,
	VHOST_DEVICE_PSTORE = 22,
	VHOST_DEVICE_IOMMU = 23,
	VHOST_DEVICE_MEM = 24,
	VHOST_DEVICE_SOUND = 25,
	VHOST_DEVICE_FS = 26,
	VHOST_DEVICE_PMEM = 27,
	VHOST_DEVICE_RPMB = 28,
	VHOST_DEVICE_MAC80211_HWSIM = 29,
	VHOST_DEVICE_VIDEO_ENCODER = 30,
	VHOST_DEVICE_VIDEO_DECODER = 31,
	VHOST_DEVICE_SCMI = 32,
	VHOST_DEVICE_NITRO_SEC_MOD = 33,
	VHOST_DEVICE_I2C = 34,
	VHOST_DEVICE_WATCHDOG = 35,
	VHOST_DEVICE_CAN = 36,
	VHOST_DEVICE_DMABUF = 37,
	VHOST_DEVICE_PARAM_SERV = 38,
	VHOST_DEVICE_AUDIO_POLICY = 39,
	VHOST_DEVICE_BT = 40,
	VHOST_DEVICE_GPIO = 41,
	VHOST_DEVICE_RDMA = 42,
	VHOST_DEVICE_CAMERA = 43,
	VHOST_DEVICE_ISM = 44,
	VHOST_DEVICE_SPI = 45,
	VHOST_DEVICE_TEE = 46,
	VHOST_DEVICE_CPU_BALLOON = 47,
	VHOST_DEVICE_MEDIA = 48
};

/**
 * vhost_name_device() - the name of a device type
 * @device_id: one of enum vhost_device_id
 *
 * Return: a word in lower case, such as "net" or "block"; NULL for a number
 *         that is not known.
 * Since: 0.1
 */
const char *vhost_name_device(uint32_t device_id);

/**
 * vhost_device_from_name() - the device type of a name
 * @name: what vhost_name_device() returns, or another word in use for the same
 *        type, such as "blk" or "sound"; "virtio-" may stand before it
 *
 * Return: one of enum vhost_device_id; 0 for a name that is not known, or NULL.
 * Since: 0.1
 */
uint32_t vhost_device_from_name(const char *name);

/* -------------------------------------------------------------------- bits */

/**
 * vhost_name_feature() - the name of a virtio feature bit
 * @device_id: the device's type, which gives its own bits their meaning; with a
 *             type that is not known, or 0, only the common bits have names
 * @bit:       number of the bit, which may be above 63
 *
 * Bits 24 to 41 mean the same for every device. Two of them are not the
 * driver's: 26 (LOG_ALL) and 30 (PROTOCOL_FEATURES) are between the two sides of
 * vhost. Bit 27 is ANY_LAYOUT; the kernel's vhost-net alone gives it a meaning
 * of its own, VHOST_NET_F_VIRTIO_NET_HDR.
 *
 * Return: the name, such as "MRG_RXBUF" or "VERSION_1"; NULL for a bit that is
 *         not known.
 * Since: 0.1
 */
const char *vhost_name_feature(uint32_t device_id, unsigned int bit);

/**
 * vhost_name_protocol_feature() - the name of a vhost-user protocol feature
 * @bit: number of the bit, one of enum vhost_user_protocol_feature
 *
 * Return: the name, such as "REPLY_ACK"; NULL for a bit that is not known.
 * Since: 0.1
 */
const char *vhost_name_protocol_feature(unsigned int bit);

/**
 * vhost_name_backend_feature() - the name of a back-end feature of kernel vhost
 * @bit: number of the bit, as VHOST_BACKEND_F_IOTLB_MSG_V2 and its kind in
 *       <linux/vhost_types.h>
 *
 * Return: the name, such as "IOTLB_BATCH"; NULL for a bit that is not known.
 * Since: 0.1
 */
const char *vhost_name_backend_feature(unsigned int bit);

/**
 * vhost_name_status() - the name of a bit of the device status
 * @bit: number of the bit (VIRTIO 1.3, 2.1)
 *
 * Return: the name, such as "DRIVER_OK"; NULL for a bit that is not known.
 * Since: 0.1
 */
const char *vhost_name_status(unsigned int bit);

/* ---------------------------------------------------------------- messages */

/**
 * vhost_name_message() - the name of a vhost-user message
 * @request: its number, as in the message's header
 * @channel: 0 for a request of the front-end, 1 for one of the back-end (enum
 *           vhost_trace_channel)
 *
 * Return: the name, such as "GET_FEATURES" or "BACKEND_IOTLB_MSG"; NULL for a
 *         number or a channel that is not known.
 * Since: 0.1
 */
const char *vhost_name_message(uint32_t request, int channel);

/* ---------------------------------------------------------- sets of bits */

/**
 * vhost_format_features() - virtio feature bits as text
 * @device_id: as for vhost_name_feature()
 * @features:  bits 0 to 63
 * @buf:       where the text goes; may be NULL when @size is 0; always
 *             terminated when @size is not 0
 * @size:      of @buf in bytes
 *
 * The text is the names of the bits that are set, the lowest first, with a space
 * between them; a bit that has no name is written as BIT_ and its number.
 * Without a bit it is empty.
 *
 * Return: the length of the whole text without its terminator, which does not
 *         fit if it is @size or more; -EINVAL if @buf is NULL and @size is not 0.
 * Since: 0.1
 */
int vhost_format_features(uint32_t device_id, uint64_t features, char *buf, size_t size);

/**
 * vhost_format_protocol_features() - vhost-user protocol features as text
 * @features: bits 0 to 63
 * @buf:      as for vhost_format_features()
 * @size:     of @buf in bytes
 *
 * Return: as vhost_format_features().
 * Since: 0.1
 */
int vhost_format_protocol_features(uint64_t features, char *buf, size_t size);

/**
 * vhost_format_status() - a device status as text
 * @status: the status
 * @buf:    as for vhost_format_features()
 * @size:   of @buf in bytes
 *
 * Return: as vhost_format_features().
 * Since: 0.1
 */
int vhost_format_status(uint64_t status, char *buf, size_t size);

/* ----------------------------------------------------- configuration space */

/* The features given say that the device fills this field in. */
#define VHOST_CONFIG_FIELD_VALID 1u
/* The field is not a number: @value is its length, and @text has it. */
#define VHOST_CONFIG_FIELD_STRING 2u

/**
 * struct vhost_config_field - a field of a device's configuration space
 * @name:     as in the specification, such as "capacity" or "geometry.heads"
 * @value:    the number that is in the field, in the field's own unit; of a MAC
 *            address, its six bytes as one number, the first the highest; of a
 *            string (VHOST_CONFIG_FIELD_STRING), its length in bytes
 * @text:     the same for people: scaled and with its unit ("8.0 GiB", rounded
 *            down), or in words ("LINK_UP"), or the string itself, with \xNN for
 *            what is not printable ASCII and \\ for a backslash. It is cut, and
 *            then ends in "...", when it does not fit
 * @offset:   where the field is
 * @length:   of the field in bytes
 * @flags:    VHOST_CONFIG_FIELD_VALID, VHOST_CONFIG_FIELD_STRING
 * @reserved: 0
 */
struct vhost_config_field {
	char name[40];
	uint64_t value;
	char text[64];
	uint32_t offset;
	uint32_t length;
	uint32_t flags;
	uint32_t reserved;
};

/**
 * vhost_config_field() - decode a field of a device's configuration space
 * @device_id: one of enum vhost_device_id
 * @features:  the features that the device offers, or those negotiated
 * @config:    the configuration space, or as much of it as was read
 * @size:      of @config in bytes
 * @index:     which field: 0, 1, 2 and so on until -ENOENT
 * @ret:       the field
 * @ret_size:  sizeof(struct vhost_config_field)
 *
 * Fields that are not wholly within @size are left out. All fields are taken as
 * little-endian, as they are for every device that offers VERSION_1 (VIRTIO
 * 1.3, 2.5). A field whose feature is not in @features is given as well, but
 * without VHOST_CONFIG_FIELD_VALID: its content means nothing.
 *
 * Return: 0; -ENOENT past the last field, which may be the first: a device type
 *         may have no configuration space, or one that is not known here;
 *         -EINVAL if @config is NULL and @size is not 0, if @ret is NULL, or if
 *         @ret_size is too small.
 * Since: 0.1
 */
int vhost_config_field(uint32_t device_id, uint64_t features, const void *config, size_t size,
		       unsigned int index, struct vhost_config_field *ret, size_t ret_size);

#ifdef __cplusplus
}
#endif

#endif
