/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What the test guest does to its devices, and its own memory of what they must hold.
 * Linked statically: the guest has no libraries.
 *
 *   guest frames IF COUNT LARGEST QUEUES   frames that come back with swapped addresses
 *   guest gso IF COUNT                     the same, in TCP segments for the card to cut
 *   guest pattern DEV OFFSET STOP          writes until the file STOP exists, each read again
 *   guest hotmem DEV OFFSET                requests from and to memory above 4 GiB
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u

#define fail(...) do { \
	fprintf(stderr, __VA_ARGS__); \
	fputc('\n', stderr); \
	exit(1); \
} while (0)

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static unsigned int number(const char *s)
{
	return (unsigned int)strtoul(s, NULL, 0);
}

/* ------------------------------------------------------------------ frames */

#define ETHERTYPE 0x88b5u	/* and the next: for local experiments (IEEE 802) */
#define WINDOW 64u
#define PATIENCE_MS 20000u

struct card {
	int fd;
	uint8_t mac[6];
};

static const uint8_t far_mac[6] = { 0x02, 0, 0, 0, 0, 0x99 };

static struct card card_open(const char *name, unsigned int type)
{
	struct card card = { .fd = socket(AF_PACKET, SOCK_RAW, 0) };
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)type),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int room = 16 << 20;
	struct ifreq ifr;

	if (card.fd < 0 || !ll.sll_ifindex)
		fail("%s: %s", name, strerror(errno));
	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(card.fd, SIOCGIFHWADDR, &ifr) < 0)
		fail("%s: no address: %s", name, strerror(errno));
	memcpy(card.mac, ifr.ifr_hwaddr.sa_data, 6);
	if (setsockopt(card.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    setsockopt(card.fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0 ||
	    bind(card.fd, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		fail("%s: %s", name, strerror(errno));
	return card;
}

static void addresses(uint8_t *frame, const struct card *card, unsigned int type)
{
	memcpy(frame, far_mac, 6);
	memcpy(frame + 6, card->mac, 6);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
}

static bool swapped(const uint8_t *frame, const struct card *card)
{
	return !memcmp(frame, card->mac, 6) && !memcmp(frame + 6, far_mac, 6);
}

static uint8_t frame_byte(uint32_t n, size_t i)
{
	return (uint8_t)(n * 7 + i * 13 + (i >> 8));
}

/* The size of frame @n follows from its number, so that the one that comes back can be told. */
static size_t frame_size(uint32_t n, size_t largest)
{
	return 60 + n * 37u % (largest - 60 + 1);
}

static void frame_fill(uint8_t *at, uint32_t n, size_t size)
{
	size_t i;

	memcpy(at, &n, sizeof(n));
	for (i = sizeof(n); i < size; i++)
		at[i] = frame_byte(n, i);
}

static bool frame_whole(const uint8_t *at, uint32_t n, size_t size)
{
	size_t i;

	for (i = sizeof(n); i < size; i++)
		if (at[i] != frame_byte(n, i))
			return false;
	return true;
}

static void frames_take(const struct card *card, const uint8_t *frame, size_t size, uint8_t *seen,
			uint32_t count, size_t largest)
{
	uint32_t n;

	if (!swapped(frame, card))
		fail("a frame came back with its addresses as they were");
	memcpy(&n, frame + ETH_HLEN, sizeof(n));
	if (n >= count || size != frame_size(n, largest) ||
	    !frame_whole(frame + ETH_HLEN, n, size - ETH_HLEN))
		fail("frame %u of %zu bytes is not as it was sent", n, size);
	if (seen[n]++)
		fail("frame %u came back twice", n);
}

static void frames_send(const struct card *card, uint32_t n, size_t largest, unsigned int type)
{
	static uint8_t frame[65536];
	size_t size = frame_size(n, largest);

	addresses(frame, card, type);
	frame_fill(frame + ETH_HLEN, n, size - ETH_HLEN);
	if (send(card->fd, frame, size, 0) != (ssize_t)size)
		fail("frame %u: %s", n, strerror(errno));
}

/* A card may drop what it has no buffer for: after a silence, what is missing goes again. */
static int frames(const char *name, uint32_t count, size_t largest, unsigned int type)
{
	static uint8_t frame[65536];
	struct card card = card_open(name, type);
	uint64_t end = now_ms() + PATIENCE_MS;
	uint8_t *seen = calloc(count, 1);
	uint32_t sent = 0, back = 0, silent = 0, n;
	ssize_t got;

	if (!seen)
		fail("no memory");
	alarm(PATIENCE_MS / 1000 + 5);	/* a queue that is not emptied holds up send() */
	while (back < count) {
		while (sent < count && sent - back < WINDOW) {
			frames_send(&card, sent, largest, type);
			sent++;
		}
		if (now_ms() > end)
			fail("%u frames sent, %u came back", sent, back);
		if (poll(&(struct pollfd){ card.fd, POLLIN, 0 }, 1, 100) <= 0) {
			if (++silent % 10)
				continue;
			for (n = 0; n < sent; n++)
				if (!seen[n])
					frames_send(&card, n, largest, type);
			continue;
		}
		silent = 0;
		while ((got = recv(card.fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
			frames_take(&card, frame, (size_t)got, seen, count, largest);
			back++;
		}
	}
	return 0;
}

/* Frames that queue @q received, as the driver counts them. */
static uint64_t received(const char *name, unsigned int q)
{
	struct ethtool_sset_info *info = calloc(1, sizeof(*info) + sizeof(uint32_t));
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ethtool_gstrings *strings;
	struct ethtool_stats *stats;
	char want[ETH_GSTRING_LEN];
	struct ifreq ifr;
	uint32_t i, n;

	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	snprintf(want, sizeof(want), "rx_queue_%u_packets", q);
	if (fd < 0 || !info)
		fail("%s: %s", name, strerror(errno));
	info->cmd = ETHTOOL_GSSET_INFO;
	info->sset_mask = 1 << ETH_SS_STATS;
	ifr.ifr_data = (void *)info;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		fail("%s: how many statistics: %s", name, strerror(errno));
	n = info->data[0];
	strings = calloc(1, sizeof(*strings) + n * ETH_GSTRING_LEN);
	stats = calloc(1, sizeof(*stats) + n * sizeof(uint64_t));
	if (!strings || !stats)
		fail("no memory");
	strings->cmd = ETHTOOL_GSTRINGS;
	strings->string_set = ETH_SS_STATS;
	strings->len = n;
	ifr.ifr_data = (void *)strings;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		fail("%s: names of statistics: %s", name, strerror(errno));
	stats->cmd = ETHTOOL_GSTATS;
	stats->n_stats = n;
	ifr.ifr_data = (void *)stats;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		fail("%s: statistics: %s", name, strerror(errno));
	for (i = 0; i < n; i++)
		if (!strcmp((char *)strings->data + i * ETH_GSTRING_LEN, want))
			break;
	if (i == n)
		fail("%s: no %s", name, want);
	close(fd);
	return stats->data[i];
}

/* A process for each queue: on a CPU of its own, since that chooses the queue. */
static int frames_all(const char *name, uint32_t count, size_t largest, unsigned int queues)
{
	unsigned int q, failed = 0;
	uint64_t before[2] = { 0, 0 };
	int status;

	if (queues < 1 || queues > 2)
		fail("one queue or two");
	for (q = 0; q < queues; q++)
		before[q] = received(name, q);
	for (q = 0; q < queues; q++)
		if (!fork()) {
			cpu_set_t set;

			CPU_ZERO(&set);
			CPU_SET(q, &set);
			if (queues > 1 && sched_setaffinity(0, sizeof(set), &set) < 0)
				fail("no CPU %u: %s", q, strerror(errno));
			exit(frames(name, count, largest, ETHERTYPE + q));
		}
	while (wait(&status) > 0)
		failed += status != 0;
	if (failed)
		return 1;
	for (q = 0; q < queues; q++) {
		uint64_t n = received(name, q) - before[q];

		if (!n)
			fail("queue %u received nothing", q);
		printf("queue %u: %llu frames\n", q, (unsigned long long)n);
	}
	return 0;
}

/* -------------------------------------------------------- segments of TCP */

#define IP_LEN 20u
#define TCP_LEN 20u
#define GSO_DATA 32000u
#define GSO_SIZE 1448u

static uint16_t ip_sum(const uint8_t *p, unsigned int n)
{
	uint32_t sum = 0;

	for (; n; n -= 2, p += 2)
		sum += (uint32_t)(p[0] << 8 | p[1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static size_t gso_frame(uint8_t *frame, const struct card *card, uint32_t n)
{
	static const uint8_t ip[IP_LEN] = { 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0,
					    10, 9, 8, 1, 10, 9, 8, 2 };
	uint8_t *tcp = frame + ETH_HLEN + IP_LEN;
	uint16_t len = IP_LEN + TCP_LEN + GSO_DATA, sum;
	uint8_t pseudo[12] = { 10, 9, 8, 1, 10, 9, 8, 2, 0, 6 };

	addresses(frame, card, ETH_P_IP);
	memcpy(frame + ETH_HLEN, ip, IP_LEN);
	frame[ETH_HLEN + 2] = (uint8_t)(len >> 8);
	frame[ETH_HLEN + 3] = (uint8_t)len;
	sum = (uint16_t)~ip_sum(frame + ETH_HLEN, IP_LEN);
	frame[ETH_HLEN + 10] = (uint8_t)(sum >> 8);
	frame[ETH_HLEN + 11] = (uint8_t)sum;
	memset(tcp, 0, TCP_LEN);
	tcp[0] = tcp[2] = 0x40;
	tcp[12] = TCP_LEN / 4 << 4;
	tcp[13] = 0x10;			/* ACK */
	len -= IP_LEN;
	pseudo[10] = (uint8_t)(len >> 8);
	pseudo[11] = (uint8_t)len;
	sum = ip_sum(pseudo, sizeof(pseudo));	/* the card adds the rest */
	tcp[16] = (uint8_t)(sum >> 8);
	tcp[17] = (uint8_t)sum;
	frame_fill(tcp + TCP_LEN, n, GSO_DATA);
	return ETH_HLEN + IP_LEN + TCP_LEN + GSO_DATA;
}

static int gso(const char *name, uint32_t count)
{
	static uint8_t buf[sizeof(struct virtio_net_hdr) + 65536];
	struct card card = card_open(name, ETH_P_IP);
	struct virtio_net_hdr *hdr = (struct virtio_net_hdr *)(void *)buf;
	uint8_t *frame = buf + sizeof(*hdr);
	const size_t data = ETH_HLEN + IP_LEN + TCP_LEN;
	uint32_t n, tag;
	int yes = 1;

	if (setsockopt(card.fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof(yes)) < 0)
		fail("PACKET_VNET_HDR: %s", strerror(errno));
	for (n = 0; n < count; n++) {
		size_t size = gso_frame(frame, &card, n) + sizeof(*hdr);
		ssize_t got;

		*hdr = (struct virtio_net_hdr){
			.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.hdr_len = (uint16_t)data, .gso_size = GSO_SIZE,
			.csum_start = ETH_HLEN + IP_LEN, .csum_offset = 16,
		};
		if (send(card.fd, buf, size, 0) != (ssize_t)size)
			fail("segment %u: %s", n, strerror(errno));
		memset(buf, 0, sizeof(buf));
		if (poll(&(struct pollfd){ card.fd, POLLIN, 0 }, 1, (int)PATIENCE_MS) <= 0)
			fail("segment %u did not come back", n);
		got = recv(card.fd, buf, sizeof(buf), 0);
		if (got != (ssize_t)size || hdr->gso_type != VIRTIO_NET_HDR_GSO_TCPV4 ||
		    hdr->gso_size != GSO_SIZE)
			fail("segment %u: %zd bytes of %zu, type %u, size %u", n, got, size,
			     hdr->gso_type, hdr->gso_size);
		memcpy(&tag, frame + data, sizeof(tag));
		if (!swapped(frame, &card) || tag != n || !frame_whole(frame + data, n, GSO_DATA))
			fail("segment %u is not as it was sent", n);
	}
	printf("%u segments of %u bytes came back\n", count, GSO_DATA);
	return 0;
}

/* ------------------------------------------------------------------- disk */

#define WRITERS 8u
#define WRITER_BLOCKS 64u
#define HELD 16u

/*
 * A writer has blocks of its own and knows what was last written to each. A block
 * that holds less was lost, or written once more with what it had before. What was read
 * stays for a while before it is looked at: the memory may have moved to another machine.
 */
struct writer {
	pthread_t thread;
	int fd;
	const char *stop;
	uint64_t offset;
	unsigned int id;
	uint64_t seed;
	uint32_t seq[WRITER_BLOCKS];
	uint64_t *out;
	struct {
		uint64_t *data;
		unsigned int block;
		uint32_t seq;
		bool full;
	} held[HELD];
	unsigned int turn;
	unsigned int writes, reads;
};

static uint64_t word(const struct writer *w, unsigned int block, uint32_t seq, unsigned int i)
{
	if (i == 0)
		return seq;
	return ((uint64_t)w->id << 56 ^ (uint64_t)block << 40 ^ (uint64_t)seq << 12 ^ i) *
	       0x9e3779b97f4a7c15ull;
}

static uint32_t dice(struct writer *w, uint32_t sides)
{
	w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->seed >> 33) % sides;
}

static off_t place(const struct writer *w, unsigned int block)
{
	return (off_t)(w->offset + ((uint64_t)w->id * WRITER_BLOCKS + block) * BLOCK);
}

static void write_block(struct writer *w, unsigned int block)
{
	unsigned int i;

	for (i = 0; i < BLOCK / 8; i++)
		w->out[i] = word(w, block, w->seq[block] + 1, i);
	if (pwrite(w->fd, w->out, BLOCK, place(w, block)) != BLOCK)
		fail("writer %u, block %u: %s", w->id, block, strerror(errno));
	w->seq[block]++;
	w->writes++;
}

static void look(struct writer *w, unsigned int slot)
{
	uint64_t *data = w->held[slot].data;
	unsigned int block = w->held[slot].block, i;
	uint32_t seq = w->held[slot].seq;

	if (!w->held[slot].full)
		return;
	for (i = 0; i < BLOCK / 8; i++)
		if (data[i] != word(w, block, seq, i))
			fail("writer %u, block %u: word %u of number %u is %llx; it begins with "
			     "number %llu", w->id, block, i, seq, (unsigned long long)data[i],
			     (unsigned long long)data[0]);
	w->held[slot].full = false;
}

static void read_block(struct writer *w, unsigned int block)
{
	unsigned int slot = w->turn++ % HELD;

	look(w, slot);
	memset(w->held[slot].data, 0xee, BLOCK);
	if (pread(w->fd, w->held[slot].data, BLOCK, place(w, block)) != BLOCK)
		fail("writer %u, block %u, read: %s", w->id, block, strerror(errno));
	w->held[slot].block = block;
	w->held[slot].seq = w->seq[block];
	w->held[slot].full = true;
	w->reads++;
}

static void *writer(void *opaque)
{
	struct writer *w = opaque;
	unsigned int b, i;

	for (b = 0; b < WRITER_BLOCKS; b++)
		write_block(w, b);
	for (i = 0; access(w->stop, F_OK) < 0; i++) {
		write_block(w, dice(w, WRITER_BLOCKS));
		read_block(w, dice(w, WRITER_BLOCKS));
		if (i % 64 == 63 && fdatasync(w->fd) < 0)
			fail("writer %u: flush: %s", w->id, strerror(errno));
	}
	for (b = 0; b < WRITER_BLOCKS; b++)
		read_block(w, b);
	for (b = 0; b < HELD; b++)
		look(w, b);
	return NULL;
}

static void *pages(size_t n)
{
	void *p = mmap(NULL, n * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		fail("no memory: %s", strerror(errno));
	return p;
}

static int pattern(const char *dev, uint64_t offset, const char *stop)
{
	static struct writer writers[WRITERS];
	unsigned int i, j, writes = 0, reads = 0;

	for (i = 0; i < WRITERS; i++) {
		struct writer *w = &writers[i];

		w->fd = open(dev, O_RDWR | O_DIRECT);
		if (w->fd < 0)
			fail("%s: %s", dev, strerror(errno));
		w->id = i;
		w->seed = i + 1;
		w->offset = offset;
		w->stop = stop;
		w->out = pages(1);
		for (j = 0; j < HELD; j++)
			w->held[j].data = pages(1);
		if (pthread_create(&w->thread, NULL, writer, w) != 0)
			fail("no thread");
	}
	for (i = 0; i < WRITERS; i++) {
		pthread_join(writers[i].thread, NULL);
		writes += writers[i].writes;
		reads += writers[i].reads;
	}
	printf("%u writes and %u reads\n", writes, reads);
	return 0;
}

/* ---------------------------------------------------------- new memory */

#define HOT_PAGES 64u

/* The page's number in the guest's memory, as root may see it. */
static uint64_t frame_number(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)p / BLOCK * 8)) != 8)
		fail("pagemap: %s", strerror(errno));
	close(fd);
	return entry & ((1ull << 55) - 1);
}

/* What was plugged in lies above 4 GiB; the first memory of this guest does not. */
static unsigned int find_hot(uint8_t **hot)
{
	unsigned int n = 0, i;

	for (i = 0; i < 80000 && n < HOT_PAGES; i++) {
		uint8_t *page = pages(1);

		*page = 1;
		if (frame_number(page) >= 1u << 20)
			hot[n++] = page;
	}
	return n;
}

static int hotmem(const char *dev, uint64_t offset)
{
	static uint8_t *hot[HOT_PAGES];
	unsigned int n = find_hot(hot), i, j;
	int fd = open(dev, O_RDWR | O_DIRECT);
	uint8_t *cold = pages(1);

	if (fd < 0)
		fail("%s: %s", dev, strerror(errno));
	if (n < HOT_PAGES)
		fail("only %u pages in the new memory", n);
	for (i = 0; i < n; i++) {
		for (j = 0; j < BLOCK; j++)
			hot[i][j] = frame_byte(i, j);
		if (pwrite(fd, hot[i], BLOCK, (off_t)(offset + i * BLOCK)) != BLOCK)
			fail("write from page %u: %s", i, strerror(errno));
		memset(hot[i], 0xee, BLOCK);
	}
	for (i = 0; i < n; i++) {
		if (pread(fd, hot[i], BLOCK, (off_t)(offset + i * BLOCK)) != BLOCK)
			fail("read into page %u: %s", i, strerror(errno));
		if (pread(fd, cold, BLOCK, (off_t)(offset + i * BLOCK)) != BLOCK)
			fail("read: %s", strerror(errno));
		for (j = 0; j < BLOCK; j++)
			if (hot[i][j] != frame_byte(i, j) || cold[j] != hot[i][j])
				fail("page %u: byte %u is wrong", i, j);
	}
	printf("%u pages above 4 GiB, the first at %llx\n", n,
	       (unsigned long long)frame_number(hot[0]) * BLOCK);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "frames"))
		return frames_all(argv[2], number(argv[3]), number(argv[4]), number(argv[5]));
	if (argc == 4 && !strcmp(argv[1], "gso"))
		return gso(argv[2], number(argv[3]));
	if (argc == 5 && !strcmp(argv[1], "pattern"))
		return pattern(argv[2], number(argv[3]), argv[4]);
	if (argc == 4 && !strcmp(argv[1], "hotmem"))
		return hotmem(argv[2], number(argv[3]));
	fprintf(stderr, "usage: guest frames|gso|pattern|hotmem ...\n");
	return 2;
}
