/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The kernel's vhost-scsi, with targets that this program makes in configfs, disks in
 * memory, and removes again. Requests go through our queues, and all data is compared.
 */
#include <endian.h>

#include "vm/guest.h"

#define CONTROL 0u
#define EVENT 1u
#define FIRST 2u		/* of the queues for requests */
#define QUEUES 4u
#define ENTRIES 128u
#define MEM_SIZE (8u << 20)
#define DEPTH 16u		/* requests on each queue */
#define BLOCK 512u
#define BLOCKS 8192u		/* 1024 pages */
#define DATA (256u << 10)
#define PIECE 4096u
#define A_WHILE_MS 300		/* for what is not to happen */

#define CONFIG "/sys/kernel/config/target"
#define STORE CONFIG "/core/rd_mcp_77"
#define WWPN "naa.50014057aabbccd0"
#define NEXUS "naa.50014057aabbccd1"
#define BARE "naa.50014057aabbccd2"	/* a target without a nexus */
#define TPG CONFIG "/vhost/" WWPN "/tpgt_1"

#define SCSI_F_HOTPLUG (1ull << 1)

#define T_TMF 0u
#define TMF_LU_RESET 5u
#define T_NO_EVENT 0u
#define T_TRANSPORT_RESET 1u
#define EVENTS_MISSED 0x80000000u
#define RESET_RESCAN 1u
#define RESET_REMOVED 2u

#define S_OK 0u
#define S_BAD_TARGET 3u
#define S_FUNCTION_SUCCEEDED 10u
#define CHECK_CONDITION 2u
#define UNIT_ATTENTION 6u

/* VIRTIO 1.3, 5.6.6 */
struct command {
	uint8_t lun[8];
	uint64_t tag;
	uint8_t attr, prio, crn;
	uint8_t cdb[32];
} __attribute__((packed));

struct response {
	uint32_t sense_len;
	uint32_t resid;
	uint16_t status_qualifier;
	uint8_t status;
	uint8_t response;
	uint8_t sense[96];
};

struct tmf {
	uint32_t type;
	uint32_t subtype;
	uint8_t lun[8];
	uint64_t tag;
};

struct event {
	uint32_t event;
	uint8_t lun[8];
	uint32_t reason;
};

struct slot {
	struct command *cmd;
	struct response *resp;
	uint8_t *data;
	uint32_t lba;
	bool write, busy;
};

static const uint64_t rings[] = {
	0,
	F_VERSION_1,
	F_VERSION_1 | F_INDIRECT | F_EVENT_IDX,
};
#define N_RINGS ((int)(sizeof(rings) / sizeof(rings[0])))
#define MODERN (F_VERSION_1 | F_EVENT_IDX | F_INDIRECT)

static struct leak before;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static vhost_virtq_t *vqs[QUEUES];
static struct command *cmd;
static struct response *resp;
static uint8_t *data;
static struct event *event;

/* ------------------------------------------------------------ targets in configfs */

static void make_dir(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		fprintf(stderr, "mkdir %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

static void write_config(const char *path, const char *text)
{
	int r = guest_write(path, text);

	if (r < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-r));
		exit(1);
	}
}

static void make_targets(void)
{
	make_dir(STORE);
	make_dir(STORE "/disk");
	write_config(STORE "/disk/control", "rd_pages=1024");
	write_config(STORE "/disk/enable", "1");
	make_dir(STORE "/second");
	write_config(STORE "/second/control", "rd_pages=16");
	write_config(STORE "/second/enable", "1");
	make_dir(CONFIG "/vhost");
	make_dir(CONFIG "/vhost/" WWPN);
	make_dir(TPG);
	make_dir(TPG "/lun/lun_0");
	write_config(TPG "/nexus", NEXUS);
	if (symlink(STORE "/disk", TPG "/lun/lun_0/port") < 0) {
		perror(TPG "/lun/lun_0/port");
		exit(1);
	}
	make_dir(CONFIG "/vhost/" BARE);
	make_dir(CONFIG "/vhost/" BARE "/tpgt_1");
}

/* False if something stays. */
static bool remove_targets(void)
{
	static const char *const dirs[] = {
		TPG "/lun/lun_0", TPG, CONFIG "/vhost/" WWPN, CONFIG "/vhost/" BARE "/tpgt_1",
		CONFIG "/vhost/" BARE, STORE "/second", STORE "/disk", STORE,
	};
	bool ok = true;
	unsigned int i;

	unlink(TPG "/lun/lun_1/port");		/* where a test failed in between */
	rmdir(TPG "/lun/lun_1");
	unlink(TPG "/lun/lun_0/port");
	guest_write(TPG "/nexus", "NULL");
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (rmdir(dirs[i]) < 0) {
			perror(dirs[i]);
			ok = false;
		}
	return ok;
}

/* ------------------------------------------------------------------- the driver */

static void setup(void)
{
	before = leak_begin();
	dev = guest_open("/dev/vhost-scsi", 0);
}

static void teardown(void)
{
	unsigned int i;

	dev = vhost_dev_unref(dev);
	for (i = 0; i < QUEUES; i++)
		vqs[i] = vhost_virtq_unref(vqs[i]);
	mem = vhost_mem_unref(mem);
	ck_assert_int_eq(leak_check(&before), 0);
}

static void prepare(uint64_t features)
{
	struct vhost_virtq_opts opts = { .size = ENTRIES, .features = features };
	unsigned int i;

	DEV_OK(dev, vhost_dev_set_features(dev, features));
	ck_assert_int_eq(vhost_mem_new(MEM_SIZE, 0, 0x100000000ull, &mem), 0);
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, mem));
	if (features & F_INDIRECT) {
		opts.flags = VHOST_VIRTQ_INDIRECT;
		opts.indirect_max = ENTRIES;
	}
	for (i = 0; i < QUEUES; i++) {
		ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vqs[i]), 0);
		DEV_OK(dev, vhost_dev_vq_attach(dev, i, vqs[i]));
	}
	cmd = vhost_mem_alloc(mem, sizeof(*cmd), 0);
	resp = vhost_mem_alloc(mem, sizeof(*resp), 0);
	data = vhost_mem_alloc(mem, DATA, PIECE);
	event = vhost_mem_alloc(mem, sizeof(*event), 0);
	ck_assert(cmd && resp && data && event);
}

static void bring_up(uint64_t features)
{
	prepare(features);
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, WWPN, 1));
	DEV_OK(dev, vhost_dev_start(dev));
}

static void fill_command(struct command *c, const uint8_t *cdb, size_t len, unsigned int target)
{
	memset(c, 0, sizeof(*c));
	c->lun[0] = 1;
	c->lun[1] = (uint8_t)target;
	c->lun[2] = 0x40;
	memcpy(c->cdb, cdb, len);
}

/* Buffers of a request: @n bytes of @buf in pieces of a page, the kernel's order. */
static unsigned int fill_sg(struct vhost_sg *sg, const struct command *c, struct response *r,
			    uint8_t *buf, size_t n, bool write, unsigned int *ret_out)
{
	unsigned int count = 0;
	size_t at;

	sg[count++] = guest_sg(mem, c, sizeof(*c));
	if (!write)
		sg[count++] = guest_sg(mem, r, sizeof(*r));
	*ret_out = 1;
	for (at = 0; at < n; at += PIECE) {
		sg[count++] = guest_sg(mem, buf + at, n - at < PIECE ? n - at : PIECE);
		*ret_out += write;
	}
	if (write)
		sg[count++] = guest_sg(mem, r, sizeof(*r));
	return count;
}

/* A command with @n bytes in data, on queue @q. */
static void run(unsigned int q, const uint8_t *cdb, size_t len, size_t n, bool write,
		unsigned int target)
{
	struct vhost_sg sg[DATA / PIECE + 2];
	struct vhost_virtq_done done;
	unsigned int out, count;

	fill_command(cmd, cdb, len, target);
	memset(resp, 0xee, sizeof(*resp));
	count = fill_sg(sg, cmd, resp, data, n, write, &out);
	done = guest_request(dev, vqs[q], sg, out, count - out);
	/* vhost-scsi never says how much it wrote */
	ck_assert_uint_eq(done.len, 0);
	ck_assert_uint_eq(done.flags, VHOST_VIRTQ_DONE_EMPTY);
}

/* ... that must succeed; what a reset left to be told is told first. */
static void run_ok(unsigned int q, const uint8_t *cdb, size_t len, size_t n, bool write)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		run(q, cdb, len, n, write, 1);
		ck_assert_uint_eq(resp->response, S_OK);
		if (resp->status != CHECK_CONDITION || (resp->sense[2] & 0xf) != UNIT_ATTENTION)
			break;
	}
	ck_assert_msg(resp->status == 0, "status %u, sense key %u", resp->status, resp->sense[2]);
	ck_assert_uint_eq(resp->resid, 0);
}

static uint8_t pattern(uint32_t lba, unsigned int i, unsigned int generation)
{
	return (uint8_t)(lba * 7 + (lba >> 8) + i * 3 + (i >> 8) + generation * 101);
}

static void make_rw(uint8_t cdb[10], bool write, uint32_t lba, unsigned int blocks)
{
	uint32_t be = htobe32(lba);

	memset(cdb, 0, 10);
	cdb[0] = write ? 0x2a : 0x28;
	memcpy(cdb + 2, &be, 4);
	cdb[7] = (uint8_t)(blocks >> 8);
	cdb[8] = (uint8_t)blocks;
}

static void write_blocks(unsigned int q, uint32_t lba, unsigned int blocks, unsigned int generation)
{
	uint8_t cdb[10];
	unsigned int i;

	make_rw(cdb, true, lba, blocks);
	for (i = 0; i < blocks * BLOCK; i++)
		data[i] = pattern(lba, i, generation);
	run_ok(q, cdb, sizeof(cdb), blocks * BLOCK, true);
}

static void read_blocks(unsigned int q, uint32_t lba, unsigned int blocks, unsigned int generation)
{
	uint8_t cdb[10];
	unsigned int i;

	make_rw(cdb, false, lba, blocks);
	memset(data, 0xee, blocks * BLOCK);
	run_ok(q, cdb, sizeof(cdb), blocks * BLOCK, false);
	for (i = 0; i < blocks * BLOCK && data[i] == pattern(lba, i, generation); i++)
		;
	ck_assert_msg(i == blocks * BLOCK, "%u blocks at %u: byte %u differs", blocks, lba, i);
}

static void blocks_flow(unsigned int generation)
{
	write_blocks(FIRST, 100, 8, generation);
	read_blocks(FIRST, 100, 8, generation);
}

/* ------------------------------------------------------------------- the device */

START_TEST(the_device_says_what_it_has)
{
	uint64_t words[2] = { 1, 2 }, has, backend = 77, acked = 77;
	int version = 0;

	ck_assert_str_eq(vhost_dev_get_transport(dev), "vhost-scsi");
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_DEVICE_ID), 8);
	ck_assert_uint_ge(guest_cap(dev, VHOST_CAP_MAX_QUEUES), 3);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_IOTLB), 0);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_ENABLE_RUNNING), 0);
	DEV_OK(dev, vhost_scsi_get_abi_version(dev, &version));
	ck_assert_int_eq(version, 1);
	DEV_OK(dev, vhost_dev_get_features(dev, &has));
	ck_assert_uint_eq(has & (MODERN | SCSI_F_HOTPLUG), MODERN | SCSI_F_HOTPLUG);
	ck_assert_uint_eq(has & F_ACCESS_PLATFORM, 0);
	/* K16: of these it has neither */
	DEV_OK(dev, vhost_dev_get_features_array(dev, words, 2));
	ck_assert_uint_eq(words[0], has);
	ck_assert_uint_eq(words[1], 0);
	DEV_OK(dev, vhost_dev_get_backend_features(dev, &backend, &acked));
	ck_assert_uint_eq(backend | acked, 0);
}
END_TEST

START_TEST(a_disk_says_what_it_is)
{
	static const uint8_t inquiry[] = { 0x12, 0, 0, 0, 36, 0 }, ready[] = { 0, 0, 0, 0, 0, 0 };
	static const uint8_t capacity[10] = { 0x25 };
	uint32_t be[2];

	bring_up(rings[_i]);
	run_ok(FIRST, inquiry, sizeof(inquiry), 36, false);
	ck_assert_uint_eq(data[0], 0);
	ck_assert_mem_eq(data + 8, "LIO-ORG ", 8);
	ck_assert_mem_eq(data + 16, "RAMDISK-MCP", 11);
	run_ok(FIRST, ready, sizeof(ready), 0, false);
	run_ok(FIRST + 1, capacity, sizeof(capacity), 8, false);
	memcpy(be, data, 8);
	ck_assert_uint_eq(be32toh(be[0]), BLOCKS - 1);
	ck_assert_uint_eq(be32toh(be[1]), BLOCK);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
	static const unsigned int sizes[] = { 1, 7, 8, 9, 64, 127, DATA / BLOCK };
	unsigned int i, n = sizeof(sizes) / sizeof(sizes[0]);

	bring_up(rings[_i]);
	/* in one direction, then in the other, so that nothing is read from a buffer */
	for (i = 0; i < n; i++)
		write_blocks(FIRST + i % 2, i * 1000, sizes[i], (unsigned int)_i + 1);
	for (i = n; i--;)
		read_blocks(FIRST + i % 2, i * 1000, sizes[i], (unsigned int)_i + 1);
	write_blocks(FIRST, BLOCKS - 1, 1, 9);
	read_blocks(FIRST + 1, BLOCKS - 1, 1, 9);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

START_TEST(a_request_beyond_the_disk_fails_with_its_sense)
{
	uint8_t cdb[10];

	bring_up(MODERN);
	blocks_flow(1);
	make_rw(cdb, false, BLOCKS, 1);
	run(FIRST, cdb, sizeof(cdb), BLOCK, false, 1);
	ck_assert_uint_eq(resp->response, S_OK);
	ck_assert_uint_eq(resp->status, CHECK_CONDITION);
	ck_assert_uint_gt(le32toh(resp->sense_len), 7);
	ck_assert_uint_eq(resp->sense[2] & 0xf, 5);	/* ILLEGAL REQUEST */
	/* no such target */
	make_rw(cdb, false, 0, 1);
	run(FIRST, cdb, sizeof(cdb), BLOCK, false, 77);
	ck_assert_uint_eq(resp->response, S_BAD_TARGET);
	blocks_flow(2);
}
END_TEST

static void post_slot(unsigned int q, struct slot *s, bool write, unsigned int generation)
{
	struct vhost_sg sg[4];
	struct vhost_virtq_req req = { .sg = sg, .cookie = s };
	unsigned int count, out, i;
	uint8_t cdb[10];

	s->write = write;
	s->busy = true;
	make_rw(cdb, write, s->lba, 2 * PIECE / BLOCK);
	fill_command(s->cmd, cdb, sizeof(cdb), 1);
	for (i = 0; i < 2 * PIECE; i++)
		s->data[i] = write ? pattern(s->lba, i, generation) : 0xee;
	s->resp->response = s->resp->status = 0xee;
	count = fill_sg(sg, s->cmd, s->resp, s->data, 2 * PIECE, write, &out);
	req.out = (uint16_t)out;
	req.in = (uint16_t)(count - out);
	ck_assert_int_eq(vhost_virtq_add(vqs[q], &req, 1), 1);
}

static void check_slot(struct slot *s, unsigned int generation)
{
	unsigned int i;

	ck_assert_msg(s->busy, "a request completed twice");
	s->busy = false;
	ck_assert_uint_eq(s->resp->response, S_OK);
	ck_assert_uint_eq(s->resp->status, 0);
	for (i = 0; i < 2 * PIECE && s->data[i] == pattern(s->lba, i, generation); i++)
		;
	ck_assert_msg(i == 2 * PIECE, "block %u: byte %u differs", s->lba, i);
}

/* Many at once on two queues, which complete in any order. */
START_TEST(requests_in_flight_on_two_queues)
{
	static struct slot slots[2][DEPTH];
	struct vhost_virtq_done done[DEPTH];
	unsigned int q, i, round, n_done = 0;
	int n, k;

	bring_up(rings[_i]);
	for (q = 0; q < 2; q++)
		for (i = 0; i < DEPTH; i++) {
			struct slot *s = &slots[q][i];

			s->cmd = vhost_mem_alloc(mem, sizeof(*s->cmd), 0);
			s->resp = vhost_mem_alloc(mem, sizeof(*s->resp), 0);
			s->data = vhost_mem_alloc(mem, 2 * PIECE, PIECE);
			ck_assert(s->cmd && s->resp && s->data);
			s->lba = (q * DEPTH + i) * 16;
		}
	blocks_flow(1);
	/* what one round writes the next one reads */
	for (round = 0; round < 8; round++) {
		for (q = 0; q < 2; q++) {
			for (i = 0; i < DEPTH; i++)
				post_slot(FIRST + q, &slots[q][i], round % 2 == 0, round & ~1u);
			ck_assert_int_ge(vhost_virtq_kick(vqs[FIRST + q]), 0);
		}
		for (q = 0; q < 2; q++)
			for (i = 0; i < DEPTH; i += (unsigned int)n) {
				n = guest_get(dev, vqs[FIRST + q], done, DEPTH,
					      PROGRAM_PATIENCE_MS);
				ck_assert_int_gt(n, 0);
				for (k = 0; k < n; k++)
					check_slot(done[k].cookie, round & ~1u);
				n_done += (unsigned int)n;
			}
	}
	ck_assert_uint_eq(n_done, 8 * 2 * DEPTH);
	DEV_OK(dev, vhost_dev_stop(dev));
}
END_TEST

START_TEST(the_control_queue_resets_a_unit)
{
	struct tmf *tmf;
	uint8_t *answer;
	struct vhost_sg sg[2];

	bring_up(MODERN);
	blocks_flow(1);
	tmf = vhost_mem_alloc(mem, sizeof(*tmf), 0);
	answer = vhost_mem_alloc(mem, 1, 0);
	ck_assert(tmf && answer);
	tmf->type = htole32(T_TMF);
	tmf->subtype = htole32(TMF_LU_RESET);
	tmf->lun[0] = tmf->lun[1] = 1;
	tmf->lun[2] = 0x40;
	*answer = 0xee;
	sg[0] = guest_sg(mem, tmf, sizeof(*tmf));
	sg[1] = guest_sg(mem, answer, 1);
	guest_request(dev, vqs[CONTROL], sg, 1, 1);
	ck_assert_uint_eq(*answer, S_FUNCTION_SUCCEEDED);
	blocks_flow(2);
}
END_TEST

/* ------------------------------------------------------------------- the endpoint */

START_TEST(names_that_cannot_be_are_refused)
{
	char name[256];

	memset(name, 'a', sizeof(name));
	name[224] = 0;
	DEV_FAILS(dev, vhost_scsi_set_endpoint(dev, "", 1), -EINVAL, "name");
	DEV_FAILS(dev, vhost_scsi_set_endpoint(dev, name, 1), -EINVAL, "223");
	name[223] = 0;
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, name, 1));
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, NULL, 0));
}
END_TEST

START_TEST(a_device_without_a_target_does_not_start)
{
	prepare(MODERN);
	DEV_FAILS(dev, vhost_dev_start(dev), -EINVAL, "vhost_scsi_set_endpoint");
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, WWPN, 1));
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, NULL, 0));
	DEV_FAILS(dev, vhost_dev_start(dev), -EINVAL, "vhost_scsi_set_endpoint");
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, WWPN, 1));
	DEV_OK(dev, vhost_dev_start(dev));
	DEV_FAILS(dev, vhost_scsi_set_endpoint(dev, WWPN, 1), -EBUSY, "");
	blocks_flow(1);
}
END_TEST

START_TEST(a_target_that_is_unknown_or_has_no_nexus_is_named_at_start)
{
	prepare(MODERN);
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, "naa.0000000000000000", 1));
	DEV_FAILS(dev, vhost_dev_start(dev), -ENODEV, "naa.0000000000000000");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, BARE, 1));
	DEV_FAILS(dev, vhost_dev_start(dev), -ENODEV, BARE);
	DEV_FAILS(dev, vhost_dev_start(dev), -ENODEV, "nexus");
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, WWPN, 1));
	DEV_OK(dev, vhost_dev_start(dev));
	blocks_flow(1);
}
END_TEST

START_TEST(a_target_that_another_device_serves_is_in_use)
{
	vhost_dev_t *first;
	vhost_mem_t *first_mem;
	vhost_virtq_t *first_vqs[QUEUES];
	unsigned int i;

	bring_up(MODERN);
	blocks_flow(1);
	first = dev;
	first_mem = mem;
	memcpy(first_vqs, vqs, sizeof(vqs));
	dev = guest_open("/dev/vhost-scsi", 0);
	prepare(MODERN);
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, WWPN, 1));
	DEV_FAILS_KIND(dev, vhost_dev_start(dev), -ENODEV, VHOST_ERR_IN_USE, WWPN);
	DEV_FAILS(dev, vhost_dev_start(dev), -ENODEV, "another device");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	/* free once the first has stopped */
	DEV_OK(first, vhost_dev_stop(first));
	DEV_OK(dev, vhost_dev_start(dev));
	read_blocks(FIRST, 100, 8, 1);
	vhost_dev_unref(first);
	for (i = 0; i < QUEUES; i++)
		vhost_virtq_unref(first_vqs[i]);
	vhost_mem_unref(first_mem);
	blocks_flow(2);
}
END_TEST

START_TEST(it_stops_and_starts_where_it_was)
{
	uint32_t base, expected = 0;
	unsigned int i;

	bring_up(rings[_i]);
	for (i = 0; i < 4; i++) {
		write_blocks(FIRST, i * 10, 5, i);
		DEV_OK(dev, vhost_dev_stop(dev));
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
		DEV_OK(dev, vhost_dev_vq_get_base(dev, FIRST, &base));
		ck_assert_uint_gt(base, expected);
		expected = base;
		DEV_OK(dev, vhost_dev_start(dev));
		read_blocks(FIRST + 1, i * 10, 5, i);
	}
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_vq_get_base(dev, FIRST + 1, &base));
	ck_assert_uint_eq(base, 4);
	/* what is added while it is stopped is done when it starts */
	{
		struct vhost_sg sg[16];
		struct vhost_virtq_req req = { .sg = sg };
		struct vhost_virtq_done done;
		unsigned int out, count, j;
		uint8_t cdb[10];

		make_rw(cdb, false, 30, 5);
		fill_command(cmd, cdb, sizeof(cdb), 1);
		count = fill_sg(sg, cmd, resp, data, 5 * BLOCK, false, &out);
		req.out = (uint16_t)out;
		req.in = (uint16_t)(count - out);
		memset(data, 0, 5 * BLOCK);
		ck_assert_int_eq(vhost_virtq_add(vqs[FIRST], &req, 1), 1);
		DEV_OK(dev, vhost_dev_start(dev));
		ck_assert_int_eq(guest_get(dev, vqs[FIRST], &done, 1, PROGRAM_PATIENCE_MS), 1);
		for (j = 0; j < 5 * BLOCK && data[j] == pattern(30, j, 3); j++)
			;
		ck_assert_uint_eq(j, 5 * BLOCK);
	}
}
END_TEST

/* ------------------------------------------------------------------------ events */

START_TEST(events_missed_are_set_and_read_back)
{
	uint32_t missed = 77;

	DEV_OK(dev, vhost_scsi_get_events_missed(dev, &missed));
	ck_assert_uint_eq(missed, 0);
	DEV_OK(dev, vhost_scsi_set_events_missed(dev, 1));
	DEV_OK(dev, vhost_scsi_get_events_missed(dev, &missed));
	ck_assert_uint_eq(missed, 1);
	DEV_OK(dev, vhost_scsi_set_events_missed(dev, 0));
	DEV_OK(dev, vhost_scsi_get_events_missed(dev, &missed));
	ck_assert_uint_eq(missed, 0);
	DEV_FAILS(dev, vhost_scsi_set_events_missed(dev, 2), -EINVAL, "0 or 1");
}
END_TEST

static void post_event(void)
{
	struct vhost_sg sg = guest_sg(mem, event, sizeof(*event));
	struct vhost_virtq_req req = { .sg = &sg, .in = 1 };

	memset(event, 0xee, sizeof(*event));
	ck_assert_int_eq(vhost_virtq_add(vqs[EVENT], &req, 1), 1);
	ck_assert_int_ge(vhost_virtq_kick(vqs[EVENT]), 0);
}

static void expect_event(uint32_t what, uint32_t reason)
{
	struct vhost_virtq_done done;

	ck_assert_int_eq(guest_get(dev, vqs[EVENT], &done, 1, PROGRAM_PATIENCE_MS), 1);
	ck_assert_uint_eq(le32toh(event->event), what);
	ck_assert_uint_eq(le32toh(event->reason), reason);
	if (what == T_TRANSPORT_RESET) {
		ck_assert_uint_eq(event->lun[1], 1);
		ck_assert_uint_eq(event->lun[3], 1);
	}
}

START_TEST(disks_that_come_and_go_are_told_on_the_event_queue)
{
	uint64_t end;
	uint32_t missed = 0;

	bring_up(MODERN | SCSI_F_HOTPLUG);
	post_event();
	ck_assert_int_eq(mkdir(TPG "/lun/lun_1", 0755), 0);
	ck_assert_int_eq(symlink(STORE "/second", TPG "/lun/lun_1/port"), 0);
	expect_event(T_TRANSPORT_RESET, RESET_RESCAN);
	post_event();
	ck_assert_int_eq(unlink(TPG "/lun/lun_1/port"), 0);
	expect_event(T_TRANSPORT_RESET, RESET_REMOVED);
	/* one that finds no buffer is missed, which the next buffer brings */
	ck_assert_int_eq(symlink(STORE "/second", TPG "/lun/lun_1/port"), 0);
	end = program_now_ms() + PROGRAM_PATIENCE_MS;
	while (!missed && program_now_ms() < end) {
		DEV_OK(dev, vhost_scsi_get_events_missed(dev, &missed));
		poll(NULL, 0, 5);
	}
	ck_assert_uint_eq(missed, 1);
	post_event();
	expect_event(T_NO_EVENT | EVENTS_MISSED, 0);
	DEV_OK(dev, vhost_scsi_get_events_missed(dev, &missed));
	ck_assert_uint_eq(missed, 0);
	post_event();
	ck_assert_int_eq(unlink(TPG "/lun/lun_1/port"), 0);
	expect_event(T_TRANSPORT_RESET, RESET_REMOVED);
	ck_assert_int_eq(rmdir(TPG "/lun/lun_1"), 0);
	blocks_flow(1);
}
END_TEST

/* ------------------------------------------------------------------------ workers */

START_TEST(workers_are_made_attached_read_back_and_freed)
{
	uint32_t own = 77, made = 77, more = 77, id = 77;

	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_WORKERS), 1);
	bring_up(MODERN);
	DEV_OK(dev, vhost_worker_get(dev, FIRST, &own));
	DEV_OK(dev, vhost_worker_new(dev, &made));
	DEV_OK(dev, vhost_worker_new(dev, &more));
	ck_assert(made != own && more != own && more != made);
	DEV_OK(dev, vhost_worker_attach(dev, FIRST, made));
	DEV_OK(dev, vhost_worker_get(dev, FIRST, &id));
	ck_assert_uint_eq(id, made);
	DEV_OK(dev, vhost_worker_get(dev, FIRST + 1, &id));
	ck_assert_uint_eq(id, own);
	blocks_flow(1);
	DEV_FAILS(dev, vhost_worker_free(dev, made), -EBUSY, "queue");
	/* while the device runs, and with requests in between */
	DEV_OK(dev, vhost_worker_attach(dev, FIRST, more));
	blocks_flow(2);
	DEV_OK(dev, vhost_worker_free(dev, made));
	DEV_FAILS(dev, vhost_worker_free(dev, made), -ENODEV, "worker");
	DEV_FAILS(dev, vhost_worker_attach(dev, FIRST, made), -ENODEV, "worker");
	DEV_FAILS(dev, vhost_worker_attach(dev, UINT32_MAX, more), -EINVAL, "queue");
	DEV_FAILS(dev, vhost_worker_get(dev, 5000, &id), -EINVAL, "queue 5000");
	/* it stays over a stop and a start */
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_start(dev));
	DEV_OK(dev, vhost_worker_get(dev, FIRST, &id));
	ck_assert_uint_eq(id, more);
	blocks_flow(3);
	DEV_OK(dev, vhost_worker_attach(dev, FIRST, own));
	DEV_OK(dev, vhost_worker_free(dev, more));
	blocks_flow(4);
}
END_TEST

START_TEST(K17_without_worker_calls_the_device_works_all_the_same)
{
	uint32_t id = 77;

	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_WORKERS), 0);
	DEV_FAILS_KIND(dev, vhost_worker_new(dev, &id), -ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	DEV_FAILS(dev, vhost_worker_get(dev, FIRST, &id), -ENOTSUP, "worker");
	DEV_FAILS(dev, vhost_worker_attach(dev, FIRST, 0), -ENOTSUP, "worker");
	DEV_FAILS(dev, vhost_worker_free(dev, 0), -ENOTSUP, "worker");
	ck_assert_uint_eq(id, 77);
	bring_up(MODERN);
	blocks_flow(1);
}
END_TEST

/* --------------------------------------------------------------- quirks of kernels */

static bool child_is_not_the_owner(void)
{
	int r = vhost_dev_mem_remove(dev, vhost_mem_iova(mem), vhost_mem_size(mem));

	if (r == -EPERM && vhost_dev_error_kind(dev) == VHOST_ERR_NOT_OWNER)
		return true;
	fprintf(stderr, "mem_remove: %d: %s\n", r, vhost_dev_error(dev));
	return false;
}

START_TEST(K2_a_forked_child_is_not_the_owner)
{
	prepare(MODERN);
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, WWPN, 1));
	ck_assert(guest_in_child(child_is_not_the_owner));
	DEV_OK(dev, vhost_dev_start(dev));
	blocks_flow(1);
}
END_TEST

START_TEST(K8_a_ring_outside_of_the_memory_is_named_at_start)
{
	struct vhost_virtq_layout l;
	struct vhost_vq_config c;

	prepare(MODERN);
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, WWPN, 1));
	vhost_virtq_layout(vqs[FIRST], &l, sizeof(l));
	c = (struct vhost_vq_config){
		.size = l.size, .desc = l.desc, .driver = 0x5000, .device = l.device,
		.kick_fd = l.kick_fd, .call_fd = l.call_fd, .err_fd = l.err_fd,
	};
	DEV_OK(dev, vhost_dev_vq_setup(dev, FIRST, &c, sizeof(c)));
	DEV_FAILS(dev, vhost_dev_start(dev), -EFAULT, "driver area");
	DEV_FAILS(dev, vhost_dev_start(dev), -EFAULT, "queue 2");
	DEV_OK(dev, vhost_dev_vq_attach(dev, FIRST, vqs[FIRST]));
	DEV_OK(dev, vhost_dev_start(dev));
	blocks_flow(1);
}
END_TEST

START_TEST(K9_a_queue_that_the_device_does_not_have_is_refused)
{
	unsigned int most = (unsigned int)guest_cap(dev, VHOST_CAP_MAX_QUEUES);

	prepare(MODERN);
	DEV_FAILS_KIND(dev, vhost_dev_vq_attach(dev, most, vqs[FIRST]), -EINVAL, VHOST_ERR_LIMIT,
		       "queue");
	/* and it has the last one */
	DEV_OK(dev, vhost_dev_vq_attach(dev, QUEUES - 1, NULL));
	DEV_OK(dev, vhost_dev_vq_attach(dev, most - 1, vqs[QUEUES - 1]));
	DEV_OK(dev, vhost_scsi_set_endpoint(dev, WWPN, 1));
	DEV_OK(dev, vhost_dev_start(dev));
	write_blocks(QUEUES - 1, 50, 4, 3);
	read_blocks(FIRST, 50, 4, 3);
}
END_TEST

START_TEST(K16_calls_of_other_devices_are_unsupported)
{
	bring_up(MODERN);
	DEV_FAILS(dev, vhost_dev_vq_enable(dev, FIRST, 0), -ENOTSUP, "queue");
	DEV_FAILS(dev, vhost_net_set_backend(dev, 0, -1), -ENOTSUP, "vhost-net");
	DEV_FAILS(dev, vhost_vsock_set_cid(dev, 42), -ENOTSUP, "vhost-vsock");
	blocks_flow(1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost-scsi");
	TCase *tc = tcase_create("scsi");
	int r = guest_must_have("/dev/vhost-scsi");

	if (!r)
		r = guest_must_have(CONFIG);
	if (r)
		return r;
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_device_says_what_it_has);
	tcase_add_loop_test(tc, a_disk_says_what_it_is, 0, N_RINGS);
	tcase_add_loop_test(tc, what_is_written_is_read_back, 0, N_RINGS);
	tcase_add_test(tc, a_request_beyond_the_disk_fails_with_its_sense);
	tcase_add_loop_test(tc, requests_in_flight_on_two_queues, 0, N_RINGS);
	tcase_add_test(tc, the_control_queue_resets_a_unit);
	tcase_add_test(tc, names_that_cannot_be_are_refused);
	tcase_add_test(tc, a_device_without_a_target_does_not_start);
	tcase_add_test(tc, a_target_that_is_unknown_or_has_no_nexus_is_named_at_start);
	tcase_add_test(tc, a_target_that_another_device_serves_is_in_use);
	tcase_add_loop_test(tc, it_stops_and_starts_where_it_was, 0, N_RINGS);
	tcase_add_test(tc, events_missed_are_set_and_read_back);
	tcase_add_test(tc, disks_that_come_and_go_are_told_on_the_event_queue);
	tcase_add_test(tc, K2_a_forked_child_is_not_the_owner);
	tcase_add_test(tc, K8_a_ring_outside_of_the_memory_is_named_at_start);
	tcase_add_test(tc, K9_a_queue_that_the_device_does_not_have_is_refused);
	tcase_add_test(tc, K16_calls_of_other_devices_are_unsupported);
	if (guest_kernel_has(6, 5))
		tcase_add_test(tc, workers_are_made_attached_read_back_and_freed);
	else
		tcase_add_test(tc, K17_without_worker_calls_the_device_works_all_the_same);
	suite_add_tcase(suite, tc);
	make_targets();
	r = program_run_suite(suite);
	return remove_targets() ? r : EXIT_FAILURE;
}
