/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A vhost-user front-end that does what a test's script says, in the test's own thread:
 * its messages are put into the socket, the back-end is asked to process until it is
 * quiet, and what it answered is looked at byte for byte. With it come a guest's memory,
 * a split ring that is driven by hand, and a device that writes down its callbacks.
 */
#ifndef LIBVHOST_TESTS_FRONTEND_H
#define LIBVHOST_TESTS_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/backend.h>
#include <vhost/user.h>

#include "proto/vu-wire.h"

#define PF(name) VHOST_USER_PF_BIT(VHOST_USER_PF_##name)
#define BIT(n) ((uint64_t)1 << (n))
#define F_LOG_ALL BIT(26)
#define F_INDIRECT BIT(28)
#define F_EVENT_IDX BIT(29)
#define F_PROTOCOL BIT(30)
#define F_VERSION_1 BIT(32)
#define F_ACCESS_PLATFORM BIT(33)
#define F_PACKED BIT(34)
#define F_IN_ORDER BIT(35)

#define FRONT_PLAIN 1u
#define FRONT_NEED_REPLY 9u
#define FRONT_REPLY 5u

/* ---------------------------------------------------------------- the device */

#define DEVICE_HELD 256u
#define DEVICE_QUEUES 4u

/* What it does with the requests that it takes. */
enum device_mode {
	DEVICE_ECHO,		/* copy what is readable to what is writable, push, notify */
	DEVICE_HOLD,		/* keep them until device_release() */
	DEVICE_IDLE		/* take none */
};

struct device {
	struct vhost_backend_ops ops;
	enum device_mode mode;
	bool record_ready;		/* queue_ready is among the calls */
	char calls[8192];		/* a word each, with a space before it */
	/* called in each callback, with its word */
	void (*in_call)(struct device *d, vhost_backend_t *be, const char *word);
	void *in_call_opaque;

	/* what the callbacks return; -EINPROGRESS where that is allowed */
	int set_features, get_config, set_config, save_state, load_state, send_rarp, set_mtu;
	int create_crypto, close_crypto, gpu_socket;

	/* what they were given */
	uint64_t features;
	uint8_t status;
	int gone;			/* the status of disconnected */
	uint8_t mac[6];
	uint16_t mtu;
	uint8_t *late_buf;		/* of a get_config that is late */
	uint64_t *late_id;		/* of a create_crypto_session that is late */
	int state_fd;			/* of a transfer, -1 without */
	int gpu_fd;
	int object_fd;			/* what get_shared_object gives a copy of, or -1 */
	uint64_t crypto_id;
	uint8_t config[256];
	uint8_t state[4096];
	size_t state_len;

	struct vhost_req held[DEVICE_HELD];
	vhost_vring_t *held_ring[DEVICE_HELD];
	unsigned int n_held;
	unsigned int served;
	int last_pop;			/* what pop gave last */
	unsigned int burst;		/* of a pop; 0: 16 */
};

/* All callbacks, 4 queues, 64 bytes of configuration, two regions of shared memory. */
void device_init(struct device *d);
/* The callbacks since the last time were these words, with a space before each. */
void device_expect(struct device *d, const char *calls);
/* Push what is held, in the order in which it came, and notify. */
void device_release(struct device *d);
/* Close the descriptors that it was given. */
void device_close(struct device *d);
/* Take what is there, in the way of queue_ready. */
void device_serve(struct device *d, vhost_vring_t *vr);

/* ------------------------------------------------------------- the front-end */

struct front {
	vhost_backend_t *be;
	int fd;			/* the front-end's end */
	int chan;		/* its end of the back-end's channel, or -1 */
	uint64_t features;	/* accepted */
	uint64_t pf;		/* accepted */
};

/* What became of a message. */
enum front_outcome {
	FRONT_SILENT,		/* no answer, and the connection stands */
	FRONT_ACKED,		/* a u64 of 0 */
	FRONT_REFUSED,		/* a u64 that is not 0 */
	FRONT_REPLIED,		/* something else */
	FRONT_CLOSED		/* the connection has ended */
};

/* A message as it was received. */
struct front_msg {
	struct vu_header hdr;
	uint8_t payload[8192];
	int fds[8];
	unsigned int n_fds;
};

/* Make the back-end of @d, and be connected with it. */
void front_new(struct front *f, struct device *d);
/* A new pair of sockets for the back-end that is there. */
void front_attach(struct front *f);
/* Have the connection end, and the back-end see it. */
void front_hang_up(struct front *f);
/* All of it goes. */
void front_close(struct front *f);

/* Process until there is nothing to do; fails if that takes for ever. */
void front_pump(struct front *f);
/* A bounded number of turns, whether quiet or not. */
void front_turns(struct front *f, unsigned int n);

/* Put bytes, a message, into the socket. */
void front_put_bytes(int fd, const void *bytes, size_t n, const int *fds, unsigned int n_fds);
void front_put(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
	       const int *fds, unsigned int n_fds);
/* The same, where the socket may be full or gone: false then. */
bool front_try_put(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
		   const int *fds, unsigned int n_fds);

/* Take a message from a socket: 1; 0 if there is none; -1 if the socket is closed. */
int front_take(int fd, struct front_msg *msg);
void front_drop_fds(struct front_msg *msg);

/* Send, pump, and see what comes of it. @ret may be NULL; its descriptors are the caller's. */
enum front_outcome front_do(struct front *f, uint32_t request, uint32_t flags,
			    const void *payload, uint32_t size, const int *fds,
			    unsigned int n_fds, struct front_msg *ret);

/* With NEED_REPLY: it must be acknowledged, or refused. */
void front_set(struct front *f, uint32_t request, const void *payload, uint32_t size);
void front_set_fd(struct front *f, uint32_t request, const void *payload, uint32_t size, int fd);
void front_set_u64(struct front *f, uint32_t request, uint64_t value);
void front_set_state(struct front *f, uint32_t request, uint32_t index, uint32_t num);
void front_refused(struct front *f, uint32_t request, const void *payload, uint32_t size);
void front_refused_fd(struct front *f, uint32_t request, const void *payload, uint32_t size,
		      int fd);
void front_refused_u64(struct front *f, uint32_t request, uint64_t value);
void front_refused_state(struct front *f, uint32_t request, uint32_t index, uint32_t num);
/* It is answered with a u64, and that is returned. */
uint64_t front_get(struct front *f, uint32_t request, const void *payload, uint32_t size);
/* GET_VRING_BASE. */
uint32_t front_get_base(struct front *f, uint32_t index);

/* The next message on @fd must be this one; its descriptors go to @fds, or are closed. */
void front_expect_on(int fd, uint32_t request, uint32_t flags, const void *payload,
		     uint32_t size, int *fds, unsigned int n_fds);
void front_expect_nothing(int fd);
/* The connection stands: GET_FEATURES is answered. */
void front_alive(struct front *f);
/* It has ended, as the front-end sees it. */
void front_gone(struct front *f);

/* Accept protocol features and virtio features; with BACKEND_REQ a channel, too. */
void front_negotiate(struct front *f, uint64_t features, uint64_t pf);
void front_open_channel(struct front *f);

/* ------------------------------------------------------------------- memory */

struct front_mem {
	int fd;
	uint8_t *addr;		/* here */
	uint64_t size;
	uint64_t guest;
	uint64_t user;		/* as the back-end is told */
	uint64_t offset;	/* in the file */
};

void front_mem_new(struct front_mem *m, uint64_t size, uint64_t guest, uint64_t user);
void front_mem_close(struct front_mem *m);
struct vu_mem_reg front_mem_reg(const struct front_mem *m);
/* ADD_MEM_REG, acknowledged. */
void front_mem_add(struct front *f, const struct front_mem *m);
void front_mem_remove(struct front *f, const struct front_mem *m);
/* SET_MEM_TABLE of @n, acknowledged. */
void front_mem_table(struct front *f, const struct front_mem *const *m, unsigned int n);

/* --------------------------------------------------------------------- ring */

struct front_ring {
	struct front_mem *mem;
	unsigned int index;
	unsigned int size;
	uint64_t desc, avail, used;	/* offsets in the memory */
	unsigned int next_desc;
	uint16_t avail_idx;
	uint16_t used_idx;
	int kick, call, err;
};

struct front_buf {
	uint64_t addr;		/* guest address */
	uint32_t len;
	uint16_t flags;		/* VIRTQ_DESC_F_WRITE or _INDIRECT; _NEXT is added */
};

/* Lay it out at an offset of the memory, with eventfds; nothing is sent. */
void front_ring_new(struct front_ring *r, struct front_mem *m, uint64_t offset,
		    unsigned int index, unsigned int size);
void front_ring_close(struct front_ring *r);
struct vu_vring_addr front_ring_addr(const struct front_ring *r);
/* NUM, BASE, ADDR, CALL, ERR, KICK, each acknowledged. */
void front_ring_start(struct front *f, struct front_ring *r, uint32_t base);
/* Make a chain available; its head is returned. */
unsigned int front_ring_add(struct front_ring *r, const struct front_buf *bufs, unsigned int n);
/* A request of a readable and a writable buffer, at offsets of the memory. */
unsigned int front_ring_request(struct front_ring *r, uint64_t out, uint32_t out_len,
				uint64_t in, uint32_t in_len);
void front_ring_kick(struct front_ring *r);
/* The next used element, if there is one. */
bool front_ring_used(struct front_ring *r, uint32_t *id, uint32_t *len);
/* Has the eventfd been signalled since? */
bool front_fd_signalled(int fd);

/* Negotiate all, add memory at 0x100000, start and enable ring 0 of 16. */
void front_bring_up(struct front *f, struct front_mem *m, struct front_ring *r,
		    uint64_t features, uint64_t pf);
/* One request goes through the ring: @n bytes are echoed. */
void front_roundtrip(struct front *f, struct front_ring *r);

#endif
