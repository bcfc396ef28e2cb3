/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What a vhost_backend_t is inside. backend.c has its life and what it waits for,
 * vring.c the state of its rings, session*.c the messages of the front-end,
 * channel.c its own requests to the front-end.
 */
#ifndef LIBVHOST_BACKEND_BACKEND_H
#define LIBVHOST_BACKEND_BACKEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <vhost/backend.h>
#include <vhost/user.h>

#include "mem/dirty.h"
#include "mem/guest.h"
#include "mem/inflight.h"
#include "mem/iotlb.h"
#include "proto/vu-chan.h"
#include "ring/vring.h"
#include "util.h"

#define VIRTIO_STATUS_NEEDS_RESET 64u

/*
 * What be->epoll_fd waits for. The event's u64 is the kind in the high half, the number
 * of the ring in the low one, so that nothing stale is ever followed as a pointer.
 */
enum be_source {
	BE_LISTENER = 1,
	BE_MAIN,		/* the front-end's socket */
	BE_CHANNEL,		/* the back-end's requests */
	BE_WAKE,		/* eventfd: a ring's thread, or our own postponed work */
	BE_KICK			/* of the ring in the low half */
};

/*
 * A ring. What threads of the program's and the thread of the back-end share (run, and
 * all that a run holds) is under @lock, which is taken only if @threads; everything else
 * is the back-end's thread's.
 */
struct vhost_vring {
	struct vhost_backend *be;
	unsigned int index;
	void *opaque;

	/* shared with the ring's thread */
	pthread_mutex_t lock;
	bool threads;
	bool notify;			/* as the device wants it */
	bool live;			/* requests of @run may be taken */
	bool draining;			/* none may, but those in flight may be pushed */
	bool broken;			/* @run is, and it was told */
	struct vring_run *run;		/* NULL: not running */
	uint64_t run_id;
	struct vring_run **old;		/* stopped, with requests in flight */
	unsigned int n_old;
	unsigned int old_room;
	int call_fd;
	int err_fd;
	bool inband;			/* what has no descriptor goes by message */
	bool inband_call;		/* a notification for the back-end's thread to send */
	bool drained;			/* draining, and the last request has come back */
	bool broke;			/* broken since the back-end's thread looked last */
	bool missed;			/* a translation is missing: @asked */
	bool waited;			/* until what was asked was forgotten */
	struct vring_miss asked;	/* what the front-end was, or is to be asked for */
	char error[192];
	bool left;			/* one of drained, broke, missed, inband_call; atomic */
	bool serving;			/* the queue_ready callback is running */
	bool again;			/* it stopped at the budget */
	unsigned int budget;		/* requests left of this turn */

	/* the back-end's thread's */
	bool started;			/* has a kick fd, or the word that it needs none */
	bool enabled;
	bool told;			/* queue_start was called */
	bool stopping;			/* vr_stop() waits for what is in flight, or is to */
	bool retired;			/* the driver has reset the device: vr_retire() */
	bool unmapped;			/* running, but its areas are not in the memory now */
	uint32_t size;			/* 0: not said */
	uint32_t base;
	struct vring_areas areas;
	bool areas_set;
	bool log_used;			/* VU_VRING_ADDR_LOG */
	uint64_t log_guest;
	bool big_endian;
	int kick_fd;
	bool kick_polled;		/* in be->epoll_fd */
};

/* A message that is not answered yet: one at a time, those behind it wait. */
enum be_late {
	LATE_NONE,
	LATE_CALLBACK,		/* vhost_backend_answer() */
	LATE_DRAIN,		/* GET_VRING_BASE: requests in flight of ring late_ring */
	LATE_STATE,		/* CHECK_DEVICE_STATE: vhost_backend_state_done() */
	LATE_POSTCOPY_ACK	/* SET_MEM_TABLE, ADD_MEM_REG: the front-end's own word */
};

enum be_postcopy { POSTCOPY_NONE, POSTCOPY_ADVISED, POSTCOPY_LISTENING };

enum be_state_transfer { STATE_NONE, STATE_RUNNING, STATE_DONE };

struct be_request;		/* channel.c: a request to the front-end, on its way */

struct vhost_backend {
	unsigned int refs;
	unsigned int in_call;		/* depth of be_enter() */
	struct vhost_backend_ops ops;
	uint64_t *shmem_sizes;		/* our copy */
	void *opaque;

	int epoll_fd;
	int wake_fd;
	bool woken;			/* wake_fd was written to; atomic */
	int listen_fd;
	char *listen_path;		/* to be removed; NULL if it is not ours */
	dev_t listen_dev;		/* if it is still this file */
	ino_t listen_ino;
	struct vu_chan main;		/* main.fd < 0: no connection */
	bool accept_again;		/* it failed for want of something */
	uint32_t main_events;		/* what epoll_fd waits for of it */
	bool main_first;		/* the last thing that happened was a message */
	unsigned int turn;
	uint64_t session;		/* changes when a connection begins, and when it ends */
	bool greet;			/* the connected callback is due */
	bool connected;			/* between the two callbacks */
	bool ending;			/* a connection is being ended */

	/* negotiated */
	uint64_t offered;
	uint64_t acked;
	bool features_set;
	uint64_t offered_pf;
	uint64_t acked_pf;
	uint8_t status;
	bool needs_reset;
	uint8_t *config;

	/* rings: ops.max_queues of them */
	struct vhost_vring **vrings;
	uint64_t next_run;
	uint64_t due[VU_MAX_QUEUES / 64];	/* whose queue_ready is to be called */

	/* memory */
	struct guest_map *map;
	struct iotlb iotlb;
	struct dirty_log *log;
	int log_fd;
	struct inflight_area *inflight;

	/* the message that is not answered yet */
	enum be_late late;
	uint32_t late_request;
	bool late_need_reply;
	unsigned int late_ring;
	union {
		struct {
			struct vu_config hdr;
			uint8_t data[VU_MAX_CONFIG];
		} config;
		struct {
			uint64_t id;
			uint8_t desc[VHOST_USER_CRYPTO_SESSION_MAX];
			size_t size;
		} crypto;
	} *late_data;			/* allocated when it is needed */

	/* migration */
	enum be_postcopy postcopy;
	int uffd;
	struct guest_map *postcopy_map;	/* to be the map once that word has come */
	enum be_state_transfer transfer;
	int transfer_status;

	/* channel */
	struct vu_chan *channel;	/* NULL: none */
	bool channel_broken;		/* to be closed by channel_process() */
	bool channel_out;		/* be->epoll_fd waits to write there */
	struct be_request *waiting;	/* to be sent; oldest first, as in all three */
	struct be_request *requests;	/* sent, and to be answered */
	struct be_request *taken;	/* sent, and never answered: whoever asked is to be told */
	unsigned int n_requests;	/* of the program's */
	unsigned int n_own;		/* of the library's */
	struct be_shmem *shmem;		/* what is mapped */

	vhost_log_fn log_hook;
	void *log_opaque;
	vhost_trace_fn trace_hook;
	void *trace_opaque;
	char error[256];
};

/* ---------------------------------------------------------------- backend.c */

/* A sentence for vhost_backend_error() and the log; returns @r. */
int be_fail(struct vhost_backend *be, int r, const char *fmt, ...) _printf_(3, 4);
void be_log(struct vhost_backend *be, int level, const char *fmt, ...) _printf_(3, 4);

/*
 * Around whatever may call back: the last reference may be dropped meanwhile, and the
 * back-end then goes at the outermost be_leave(). A callback may have ended the connection,
 * and another may have begun: be->session has changed then, and a message that was being
 * handled is no longer there.
 */
static inline void be_enter(struct vhost_backend *be)
{
	be->in_call++;
}

void be_free(struct vhost_backend *be);

static inline void be_leave(struct vhost_backend *be)
{
	if (!--be->in_call && unlikely(!be->refs))
		be_free(be);
}

/* The connection ends: rings stop, memory goes, the callback is called. */
void be_disconnect(struct vhost_backend *be, int status);

/* Wait for @events of a descriptor, as well or instead; stop to wait. */
int be_poll(struct vhost_backend *be, int fd, uint32_t events, enum be_source source,
	    unsigned int index);
void be_unpoll(struct vhost_backend *be, int fd);

/* Give a socket the trace hook. */
void be_trace(struct vhost_backend *be, struct vu_chan *c);

/*
 * Back to what a device is at first, without touching the connection; calls ops.reset.
 * @by_driver: the rings retire, see there.
 */
void be_reset_device(struct vhost_backend *be, bool by_driver);

/* Have vhost_backend_process() called once more. May be called by a ring's thread. */
void be_wake(struct vhost_backend *be);

/* Call back with a reference held, so that the callback may drop the last one of the user. */
#define be_call(be, member, ...) \
	do { \
		if ((be)->ops.member) { \
			(be)->in_call++; \
			(be)->ops.member(__VA_ARGS__, (be)->opaque); \
			(be)->in_call--; \
		} \
	} while (0)

/* ------------------------------------------------------------------ vring.c */

int vr_new(struct vhost_backend *be, unsigned int index, struct vhost_vring **ret);
void vr_free(struct vhost_vring *vr);

/*
 * Run it if it is started, enabled and set up, stop it if not. 0, also when it only waits
 * (for a translation, say); -EINVAL and vr->error when it cannot be run as it is set up.
 */
int vr_update(struct vhost_vring *vr);

/*
 * Stop it: queue_stop is called. With vr->stopping what is in flight may still be pushed:
 * true if there is any; session_drained() is called once it has come back. Without, or
 * with nothing in flight, false: vr->base is where the ring stands.
 */
bool vr_stop(struct vhost_vring *vr);

/* All as at first; what the program keeps with it (opaque, notify) stays. */
void vr_reset(struct vhost_vring *vr);

/*
 * Stop it at the driver's reset of the device. A front-end asks for the ring's position
 * only after that (GET_VRING_BASE, as QEMU does), and waits for what is in flight; so the
 * position stays, and pushes reach the ring, until vr_renew(): the ring is set up anew.
 */
void vr_retire(struct vhost_vring *vr);
void vr_renew(struct vhost_vring *vr);

/* Can it be one of these? An eventfd can, a file, say, cannot. */
bool vr_fd_ok(int fd);
/* The descriptors are the ring's from here on; -1 for none. */
void vr_set_kick(struct vhost_vring *vr, int fd);
void vr_set_call(struct vhost_vring *vr, int fd);
void vr_set_err(struct vhost_vring *vr, int fd);

/* Queue_ready is due, as if the driver had notified. */
void vr_kick(struct vhost_vring *vr);

/*
 * Memory, IOTLB or log (also log_used and log_guest of a ring) have changed: all rings are
 * told, between two of their calls.
 */
void vr_memory_changed(struct vhost_backend *be);
void vr_log_changed(struct vhost_backend *be);
void vr_iotlb_lock(struct vhost_backend *be);
/* Forgets what was remembered, and retries; @more: there are translations that were not. */
void vr_iotlb_unlock(struct vhost_backend *be, bool more);

/* The channel is another one. */
void vr_channel_changed(struct vhost_backend *be);

/* What rings left for the back-end's thread: in-band notifications, misses, errors, drains. */
void vr_collect(struct vhost_backend *be);
/* Call queue_ready of those that are due, once each. */
void vr_serve(struct vhost_backend *be);

/* ---------------------------------------------------------------- session.c */

/* What is offered, from the callbacks. Once, at vhost_backend_new(). */
void session_init(struct vhost_backend *be);
/* A connection begins. */
void session_begin(struct vhost_backend *be);
/* One message, checked against its row or not yet. <0: the connection is to be ended. */
int session_message(struct vhost_backend *be, const struct vu_msg *msg);
/* A ring that GET_VRING_BASE waits for has drained. */
void session_drained(struct vhost_backend *be);
/* All that the session holds goes. */
void session_end(struct vhost_backend *be);

/* For session*.c: */
int session_reply(struct vhost_backend *be, uint32_t request, const void *payload,
		  uint32_t size, int fd);
int session_reply_u64(struct vhost_backend *be, uint32_t request, uint64_t value);

/* session-mem.c */
int session_set_mem_table(struct vhost_backend *be, const struct vu_msg *msg);
int session_add_mem_reg(struct vhost_backend *be, const struct vu_msg *msg);
int session_rem_mem_reg(struct vhost_backend *be, const struct vu_msg *msg);
int session_iotlb(struct vhost_backend *be, const struct vu_msg *msg);
void session_mem_clear(struct vhost_backend *be);

/* session-migrate.c */
int session_set_log_base(struct vhost_backend *be, const struct vu_msg *msg);
int session_get_inflight(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_inflight(struct vhost_backend *be, const struct vu_msg *msg);
int session_postcopy(struct vhost_backend *be, const struct vu_msg *msg);
int session_device_state(struct vhost_backend *be, const struct vu_msg *msg);
bool session_can_postcopy(void);
/* Nothing faults any more; threads that wait for pages go on. */
void session_postcopy_over(struct vhost_backend *be);

/* ---------------------------------------------------------------- channel.c */

int channel_open(struct vhost_backend *be, int fd);	/* takes it */
void channel_close(struct vhost_backend *be, int status);
/* For events, and after be_wake(): sends what may be sent, takes answers, calls back. */
void channel_process(struct vhost_backend *be, uint32_t events);
/* Send what waits, if the device is not suspended. Calls nobody back. */
void channel_flush(struct vhost_backend *be);
/* "Every mapping dies with a device reset." */
void channel_forget_shmem(struct vhost_backend *be);
/* Messages of the library's own. */
int channel_iotlb_miss(struct vhost_backend *be, uint64_t iova, uint32_t perm);
int channel_vring_call(struct vhost_backend *be, unsigned int index, bool error);
int channel_config_changed(struct vhost_backend *be);

#endif
