/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * When a ring runs, who is told, and what its descriptors are for. The memory work of a
 * run is in ring/; here is what surrounds it, and the calls of the device.
 *
 * A run is there from the start of a ring to its stop, or, when what is in flight is
 * waited for, until the last of it has come back. In between it is live or not: a
 * disabled ring gives no requests, but takes back those in flight. Runs that were ended
 * before (the connection did) are old: they only keep the buffers.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <vhost/trace.h>

#include "backend/backend.h"

#define F_LOG_ALL (1ull << 26)
#define F_ACCESS_PLATFORM (1ull << 33)

#define LEAST_BUDGET 64u	/* requests of one queue_ready callback */

static void vr_lock(struct vhost_vring *vr)
{
	if (unlikely(vr->threads))
		pthread_mutex_lock(&vr->lock);
}

static void vr_unlock(struct vhost_vring *vr)
{
	if (unlikely(vr->threads))
		pthread_mutex_unlock(&vr->lock);
}

static bool has_pf(const struct vhost_backend *be, unsigned int bit)
{
	return be->acked_pf & VHOST_USER_PF_BIT(bit);
}

/* ----------------------------------------------------------------- life */

int vr_new(struct vhost_backend *be, unsigned int index, struct vhost_vring **ret)
{
	struct vhost_vring *vr = calloc(1, sizeof(*vr));
	int r;

	if (!vr)
		return -ENOMEM;
	r = pthread_mutex_init(&vr->lock, NULL);
	if (r) {
		free(vr);
		return -r;
	}
	vr->be = be;
	vr->index = index;
	vr->threads = be->ops.flags & VHOST_BACKEND_THREADS;
	vr->notify = !(be->ops.flags & VHOST_BACKEND_POLL);
	vr->kick_fd = vr->call_fd = vr->err_fd = -1;
	*ret = vr;
	return 0;
}

void vr_free(struct vhost_vring *vr)
{
	unsigned int i;

	if (!vr)
		return;
	for (i = 0; i < vr->n_old; i++)
		vring_run_free(vr->old[i]);
	free(vr->old);
	close_fd(&vr->kick_fd);
	close_fd(&vr->call_fd);
	close_fd(&vr->err_fd);
	pthread_mutex_destroy(&vr->lock);
	free(vr);
}

/* ----------------------------------------------------- descriptors, signals */

bool vr_fd_ok(int fd)
{
	static const char eventfd_link[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(eventfd_link)];
	struct stat st;
	ssize_t n;
	int flags;

	/* "Set the event file descriptor": a pipe, say, would have us die of SIGPIPE. */
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || flags & O_PATH || fstat(fd, &st) < 0 || st.st_mode & S_IFMT)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	/* without /proc this has to do: nothing waits for such a descriptor, or trusts it */
	return n < 0 || (n == sizeof(eventfd_link) - 1 && !memcmp(link, eventfd_link, (size_t)n));
}

/* Neither a counter that is empty nor one that is full may block us. */
static void set_nonblock(int fd)
{
	int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;

	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* A counter that is full (EAGAIN) is as good as one more. */
static void signal_fd(int fd)
{
	static const uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

/* Have vr_collect() look at this ring. */
static void leave_word(struct vhost_vring *vr)
{
	__atomic_store_n(&vr->left, true, __ATOMIC_RELEASE);
	be_wake(vr->be);
}

/* Notify the driver. The lock is held, if there is one. */
static bool signal_call(struct vhost_vring *vr)
{
	if (likely(vr->call_fd >= 0)) {
		signal_fd(vr->call_fd);
		return true;
	}
	if (!vr->inband)
		return false;
	vr->inband_call = true;
	leave_word(vr);
	return true;
}

static void set_due(struct vhost_vring *vr)
{
	vr->be->due[vr->index / 64] |= 1ull << vr->index % 64;
}

/* There may be requests: tell who serves the ring. */
static void tell_ready(struct vhost_vring *vr)
{
	if (vr->be->ops.flags & VHOST_BACKEND_THREADS) {
		/* the thread waits for this descriptor, and takes one notification for another */
		if (vr->kick_fd >= 0)
			signal_fd(vr->kick_fd);
	} else if (!(vr->be->ops.flags & VHOST_BACKEND_POLL)) {
		set_due(vr);
	}
}

/*
 * "Polling should be used instead of waiting for the kick" (VHOST_USER_SET_VRING_KICK): a
 * device that is called back is called whenever there are requests.
 */
static bool is_polled(const struct vhost_vring *vr)
{
	return vr->kick_fd < 0 && !has_pf(vr->be, VHOST_USER_PF_INBAND_NOTIFICATIONS) &&
	       !(vr->be->ops.flags & (VHOST_BACKEND_THREADS | VHOST_BACKEND_POLL));
}

/* Wait for kicks while somebody is to be called. */
static void poll_kick(struct vhost_vring *vr)
{
	bool want = vr->told && vr->kick_fd >= 0 &&
		    !(vr->be->ops.flags & (VHOST_BACKEND_THREADS | VHOST_BACKEND_POLL));
	int r;

	if (want == vr->kick_polled)
		return;
	if (!want) {
		be_unpoll(vr->be, vr->kick_fd);
		vr->kick_polled = false;
		return;
	}
	r = be_poll(vr->be, vr->kick_fd, EPOLLIN | EPOLLET, BE_KICK, vr->index);
	if (r < 0)
		be_log(vr->be, VHOST_LOG_ERROR, "queue %u: cannot wait for its notifications: %s",
		       vr->index, strerror(-r));
	vr->kick_polled = r == 0;
}

static void replace_fd(struct vhost_vring *vr, int *which, int fd)
{
	int old;

	set_nonblock(fd);
	vr_lock(vr);
	old = *which;
	*which = fd;
	vr_unlock(vr);
	close_fd(&old);
}

void vr_set_call(struct vhost_vring *vr, int fd)
{
	replace_fd(vr, &vr->call_fd, fd);
}

void vr_set_err(struct vhost_vring *vr, int fd)
{
	replace_fd(vr, &vr->err_fd, fd);
}

/* -------------------------------------------------------------------- memory */

static void get_memory(struct vhost_backend *be, struct vring_memory *ret)
{
	ret->map = be->map;
	ret->iotlb = be->acked & F_ACCESS_PLATFORM ? &be->iotlb : NULL;
	ret->log = be->acked & F_LOG_ALL ? be->log : NULL;
}

/* Ask the front-end for the translation in vr->asked. */
static void ask(struct vhost_vring *vr)
{
	int r = channel_iotlb_miss(vr->be, vr->asked.iova, vr->asked.perm);

	if (r < 0) {
		be_log(vr->be, VHOST_LOG_WARNING, "queue %u: the front-end cannot be asked for the "
		       "translation of 0x%llx: %s", vr->index,
		       (unsigned long long)vr->asked.iova, strerror(-r));
		/* again, when any translation comes */
		vr_lock(vr);
		vr->asked.waiting = false;
		vr_unlock(vr);
	}
}

static bool same_miss(const struct vring_miss *a, const struct vring_miss *b)
{
	return a->waiting && b->waiting && a->iova == b->iova && a->perm == b->perm;
}

/* Where the ring is in this process. -EAGAIN if that is not known yet. */
static int find_areas(struct vhost_vring *vr, const struct vring_memory *mem, void *ret[3],
		      char *why, size_t why_size)
{
	enum vring_address kind = mem->iotlb ? VRING_ADDRESS_IOVA :
				  has_pf(vr->be, VHOST_USER_PF_GPA_ADDRESSES) ?
				  VRING_ADDRESS_GUEST : VRING_ADDRESS_USER;
	struct vring_miss miss = { .waiting = false };
	bool asked;
	int r;

	if (!mem->map || !mem->map->n)
		return -EAGAIN;
	r = vring_find_areas(mem, kind, &vr->areas, vr->size, vr->be->acked, ret, &miss, why,
			     why_size);
	if (r == -EAGAIN && miss.waiting) {
		vr_lock(vr);
		asked = same_miss(&vr->asked, &miss);
		vr->asked = miss;
		vr_unlock(vr);
		if (!asked)
			ask(vr);
	}
	return r;
}

/* ------------------------------------------------------------- start and stop */

static void set_live(struct vhost_vring *vr)
{
	bool live = vr->run && vr->started && vr->enabled && !vr->draining && !vr->unmapped;

	vr_lock(vr);
	vr->live = live;
	vr_unlock(vr);
}

static void call_start(struct vhost_vring *vr)
{
	struct vhost_backend *be = vr->be;

	vr->told = true;
	poll_kick(vr);
	tell_ready(vr);
	be_call(be, queue_start, vr);
}

static void call_stop(struct vhost_vring *vr)
{
	struct vhost_backend *be = vr->be;

	if (!vr->told)
		return;
	vr->told = false;
	poll_kick(vr);
	be_call(be, queue_stop, vr);
}

static int cannot_start(struct vhost_vring *vr, int r, const char *why)
{
	vr_lock(vr);
	snprintf(vr->error, sizeof(vr->error), "%s", why);
	vr_unlock(vr);
	be_fail(vr->be, r, "queue %u cannot be started: %s", vr->index, vr->error);
	if (vr->err_fd >= 0)
		signal_fd(vr->err_fd);
	else if (has_pf(vr->be, VHOST_USER_PF_INBAND_NOTIFICATIONS))
		channel_vring_call(vr->be, vr->index, true);
	return r;
}

/* Room to keep one run more that has ended: the end must not fail. */
static int reserve_old(struct vhost_vring *vr)
{
	struct vring_run **more;

	if (vr->n_old < vr->old_room)
		return 0;
	more = realloc(vr->old, (vr->old_room + 4) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	vr->old = more;
	vr->old_room += 4;
	return 0;
}

/* Not the first time: requests may have come, or gone, while nobody looked. */
static bool is_resumed(const struct vhost_vring *vr)
{
	/* a packed ring's position is beside its wrap counter */
	return vr->be->inflight || (vr->be->acked & RING_F_PACKED ? vr->base & 0x7fff : vr->base);
}

static int start(struct vhost_vring *vr)
{
	struct vhost_backend *be = vr->be;
	struct vring_run *run = NULL;
	char why[sizeof(vr->error)] = "";
	struct vring_memory mem;
	bool notify = false;
	void *areas[3];
	int r;

	get_memory(be, &mem);
	r = find_areas(vr, &mem, areas, why, sizeof(why));
	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return cannot_start(vr, r, why);
	vr_lock(vr);
	r = reserve_old(vr);
	notify = vr->notify;
	vr_unlock(vr);
	if (!r) {
		struct vring_config config = {
			.size = vr->size,
			.features = be->acked,
			.base = vr->base,
			.big_endian = vr->big_endian,
			.desc = areas[0], .driver = areas[1], .device = areas[2],
			.log_device = mem.log && vr->log_used,
			.device_guest = vr->log_guest,
			.inflight = be->inflight,
			.index = vr->index,
			.id = ++be->next_run,
			.notify = notify,
		};

		r = vring_run_new(&config, &mem, &run, why, sizeof(why));
	}
	if (r < 0)
		return cannot_start(vr, r, r == -ENOMEM ? "out of memory" : why);
	vr_lock(vr);
	vr->run = run;
	/* said by the ring's thread in the meantime */
	if (vr->notify != notify)
		vring_set_notify(run, vr->notify);
	vr->run_id = be->next_run;
	vr->budget = UINT_MAX;
	vr->again = vr->broken = vr->broke = vr->missed = false;
	vr->asked.waiting = false;
	vr->error[0] = '\0';
	vr->live = true;
	vr->inband = has_pf(be, VHOST_USER_PF_INBAND_NOTIFICATIONS);
	if (is_resumed(vr))
		signal_call(vr);
	vr_unlock(vr);
	be_log(be, VHOST_LOG_INFO, "queue %u was started", vr->index);
	call_start(vr);
	return 0;
}

int vr_update(struct vhost_vring *vr)
{
	if (vr->run || !vr->started || !vr->enabled) {
		set_live(vr);
		if (!vr->started || !vr->enabled)
			call_stop(vr);
		else if (!vr->told && !vr->draining)
			call_start(vr);
		return 0;
	}
	if (!vr->size || !vr->areas_set || !vr->be->features_set)
		return 0;
	return start(vr);
}

/* The run is over: what it has in flight only keeps its buffers from here on. */
static void end_run(struct vhost_vring *vr)
{
	vr_lock(vr);
	if (vr->run) {
		vr->base = vring_base(vr->run);
		/* the last ones may have been pushed, and not yet notified of */
		if (vr->be->main.fd >= 0 && !vr->broken && vring_needs_notify(vr->run))
			signal_call(vr);
		if (!vring_run_stop(vr->run))
			vr->old[vr->n_old++] = vr->run;
		vr->run = NULL;
	}
	/* nothing is told of a stopped ring; what drained may still be */
	vr->inband_call &= vr->draining;
	vr->live = vr->draining = vr->drained = vr->missed = false;
	vr_unlock(vr);
	vr->stopping = false;
	vr->unmapped = false;
}

bool vr_stop(struct vhost_vring *vr)
{
	bool in_flight, had_run = vr->run != NULL;

	vr->started = false;
	vr_lock(vr);
	vr->live = false;
	vr->draining = vr->stopping && vr->run;
	vr_unlock(vr);
	if (!vr->draining)
		end_run(vr);
	if (had_run)
		be_log(vr->be, VHOST_LOG_INFO, "queue %u was stopped", vr->index);
	call_stop(vr);
	if (!vr->run)
		return false;
	vr_lock(vr);
	in_flight = vring_in_flight(vr->run) > 0;
	vr_unlock(vr);
	if (in_flight)
		return true;
	end_run(vr);
	return false;
}

void vr_retire(struct vhost_vring *vr)
{
	/* before the stop, whose callback may end the connection, and with it all of this */
	vr->enabled = false;
	vr->retired = true;
	vr->stopping = !has_pf(vr->be, VHOST_USER_PF_GET_VRING_BASE_INFLIGHT);
	vr_stop(vr);
	vr_set_kick(vr, -1);
}

void vr_renew(struct vhost_vring *vr)
{
	if (!vr->retired)
		return;
	vr->retired = vr->stopping = false;
	vr_stop(vr);
	vr->base = 0;
}

void vr_reset(struct vhost_vring *vr)
{
	vr->retired = vr->stopping = false;
	vr_stop(vr);
	vr->enabled = false;
	vr->size = vr->base = 0;
	memset(&vr->areas, 0, sizeof(vr->areas));
	vr->areas_set = vr->log_used = vr->big_endian = false;
	vr->log_guest = 0;
	vr_set_kick(vr, -1);
	vr_set_call(vr, -1);
	vr_set_err(vr, -1);
}

void vr_set_kick(struct vhost_vring *vr, int fd)
{
	uint64_t session = vr->be->session;
	bool threads = vr->threads && vr->told;

	/* the thread has the old one: it is to let go of it */
	if (threads) {
		vr_lock(vr);
		vr->live = false;
		vr_unlock(vr);
		call_stop(vr);
		if (vr->be->session != session) {
			close_fd(&fd);
			return;
		}
	}
	if (vr->kick_polled) {
		be_unpoll(vr->be, vr->kick_fd);
		vr->kick_polled = false;
	}
	replace_fd(vr, &vr->kick_fd, fd);
	if (threads) {
		vr_update(vr);
	} else if (vr->told) {
		/* the old one may have had a kick that nobody saw */
		poll_kick(vr);
		tell_ready(vr);
	}
}

void vr_kick(struct vhost_vring *vr)
{
	if (vr->told)
		tell_ready(vr);
}

/* A run was found broken: once. The lock is held, if there is one. */
static void __attribute__((cold)) note_broken(struct vhost_vring *vr)
{
	if (vr->broken)
		return;
	vr->broken = vr->broke = true;
	snprintf(vr->error, sizeof(vr->error), "%s", vring_broken(vr->run));
	if (vr->err_fd >= 0)
		signal_fd(vr->err_fd);
	leave_word(vr);
}

/* -------------------------------------------------------------- what changes */

/*
 * Find the ring in the memory as it is now. When it is not there, the ring rests until it
 * is: front-ends replace a region by taking it away first.
 */
static void remap(struct vhost_vring *vr, bool more)
{
	bool tell = more || vr->unmapped || vr->waited;
	char why[sizeof(vr->error)];
	struct vring_memory mem;
	void *areas[3];
	int r;

	get_memory(vr->be, &mem);
	r = find_areas(vr, &mem, areas, why, sizeof(why));
	if (!r) {
		vr_lock(vr);
		vring_set_memory(vr->run, &mem, areas);
		if (vring_broken(vr->run))
			note_broken(vr);
		vr->asked.waiting = false;
		vr_unlock(vr);
	} else if (!vr->unmapped) {
		be_log(vr->be, r == -EAGAIN ? VHOST_LOG_DEBUG : VHOST_LOG_WARNING,
		       "queue %u rests: %s", vr->index,
		       r == -EAGAIN ? "its addresses are not known now" : why);
	}
	vr->unmapped = r < 0;
	vr->waited = false;
	set_live(vr);
	if (tell && vr->told && vr->live)
		tell_ready(vr);
}

/*
 * Rings that wait are tried again; those that run get what has changed. @more: what they
 * could not reach before may be there now.
 */
static void retry(struct vhost_backend *be, bool more)
{
	unsigned int i;

	for (i = 0; i < be->ops.max_queues; i++) {
		struct vhost_vring *vr = be->vrings[i];

		/* what a retired ring has in flight keeps what it has */
		if (vr->run && !vr->retired)
			remap(vr, more);
		else if (!vr->run)
			vr_update(vr);
	}
}

void vr_memory_changed(struct vhost_backend *be)
{
	retry(be, true);
}

void vr_log_changed(struct vhost_backend *be)
{
	struct vring_memory mem;
	unsigned int i;

	get_memory(be, &mem);
	for (i = 0; i < be->ops.max_queues; i++) {
		struct vhost_vring *vr = be->vrings[i];

		vr_lock(vr);
		if (vr->run && !vr->retired)
			vring_set_log(vr->run, mem.log, mem.log && vr->log_used, vr->log_guest);
		vr_unlock(vr);
	}
}

void vr_iotlb_lock(struct vhost_backend *be)
{
	unsigned int i;

	for (i = 0; i < be->ops.max_queues; i++)
		vr_lock(be->vrings[i]);
}

void vr_iotlb_unlock(struct vhost_backend *be, bool more)
{
	unsigned int i;

	for (i = 0; i < be->ops.max_queues; i++) {
		struct vhost_vring *vr = be->vrings[i];

		if (vr->run)
			vring_iotlb_changed(vr->run);
		vr->waited |= vr->asked.waiting;
		vr->asked.waiting = false;
		vr_unlock(vr);
	}
	if (be->acked & F_ACCESS_PLATFORM)
		retry(be, more);
}

/*
 * What was on its way on the old one is not answered any more: what rings wait for is asked
 * for again, and drivers are notified once more.
 */
void vr_channel_changed(struct vhost_backend *be)
{
	unsigned int i;

	for (i = 0; i < be->ops.max_queues; i++) {
		struct vhost_vring *vr = be->vrings[i];

		vr_lock(vr);
		vr->waited |= vr->asked.waiting;
		vr->asked.waiting = false;
		if (vr->run && vr->inband && vr->call_fd < 0)
			signal_call(vr);
		vr_unlock(vr);
	}
	if (be->acked & F_ACCESS_PLATFORM)
		retry(be, false);
}

/* ------------------------------------------------- what rings leave, and serving */

void vr_collect(struct vhost_backend *be)
{
	unsigned int i;

	for (i = 0; i < be->ops.max_queues; i++) {
		struct vhost_vring *vr = be->vrings[i];
		bool call, broke, missed, drained;
		char why[sizeof(vr->error)];

		if (!__atomic_load_n(&vr->left, __ATOMIC_RELAXED) ||
		    !__atomic_exchange_n(&vr->left, false, __ATOMIC_ACQ_REL))
			continue;
		vr_lock(vr);
		drained = vr->drained && vr->draining;
		vr_unlock(vr);
		if (drained)
			end_run(vr);
		vr_lock(vr);
		call = vr->inband_call;
		broke = vr->broke;
		missed = vr->missed;
		vr->inband_call = vr->broke = vr->missed = false;
		memcpy(why, vr->error, sizeof(why));
		vr_unlock(vr);
		if (broke) {
			be_log(be, VHOST_LOG_ERROR, "queue %u is broken: %s", i, why);
			if (vr->err_fd < 0 && has_pf(be, VHOST_USER_PF_INBAND_NOTIFICATIONS))
				channel_vring_call(be, i, true);
		}
		if (call)
			channel_vring_call(be, i, false);
		if (missed)
			ask(vr);
		if (drained)
			session_drained(be);
	}
}

static void serve(struct vhost_vring *vr)
{
	struct vhost_backend *be = vr->be;
	bool polled = is_polled(vr);

	if (!vr->told || !vr->live || vr->broken)
		return;
	if (!polled || vring_has_requests(vr->run)) {
		vr->budget = vr->size > LEAST_BUDGET ? vr->size : LEAST_BUDGET;
		vr->serving = true;
		be_call(be, queue_ready, vr);
		vr->serving = false;
		vr->budget = UINT_MAX;
	}
	if (vr->told && (polled || vr->again))
		set_due(vr);
	vr->again = false;
}

void vr_serve(struct vhost_backend *be)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(be->due); i++) {
		/* those that come meanwhile have their turn after all others */
		uint64_t due = be->due[i];

		be->due[i] = 0;
		for (; due; due &= due - 1)
			serve(be->vrings[i * 64 + (unsigned int)__builtin_ctzll(due)]);
	}
}

/* ------------------------------------------------------------- the device's calls */

static void note_miss(struct vhost_vring *vr)
{
	const struct vring_miss *miss = vring_miss(vr->run);

	if (!miss->waiting || same_miss(&vr->asked, miss))
		return;
	vr->asked = *miss;
	vr->missed = true;
	leave_word(vr);
}

/* The budget is not enough: @n becomes what there is of it. */
static unsigned int cut_to_budget(struct vhost_vring *vr, unsigned int n)
{
	if (!vr->serving) {
		vr->budget = UINT_MAX;
		return n;
	}
	vr->again = true;
	return vr->budget;
}

static inline int pop(struct vhost_vring *vr, struct vhost_req *reqs, unsigned int n)
{
	int r;

	if (unlikely(!vr->live))
		return vr->run && vr->broken ? -EBADMSG : 0;
	if (unlikely(n > vr->budget)) {
		n = cut_to_budget(vr, n);
		if (!n)
			return 0;
	}
	r = vring_pop(vr->run, reqs, n);
	if (likely(r > 0))
		vr->budget -= (unsigned int)r;
	if (likely(r == (int)n))
		return r;
	if (unlikely(r == -EBADMSG))
		note_broken(vr);
	else
		note_miss(vr);
	return r;
}

VHOST_EXPORT int vhost_vring_pop(vhost_vring_t *vr, struct vhost_req *reqs, unsigned int n)
{
	int r;

	vr_lock(vr);
	r = pop(vr, reqs, n);
	vr_unlock(vr);
	return r;
}

static int push_old(struct vhost_vring *vr, const struct vhost_req *reqs, unsigned int n)
{
	bool gone = false;
	unsigned int i;
	int r;

	for (i = 0; i < vr->n_old; i++) {
		if (vring_run_id(vr->old[i]) != reqs->run)
			continue;
		r = vring_push(vr->old[i], reqs, n, &gone);
		if (gone)
			vr->old[i] = vr->old[--vr->n_old];
		return r == -EBADMSG ? 0 : r;
	}
	return -EINVAL;
}

/* How many of them are of the same run as the first. */
static inline unsigned int same_run(const struct vhost_req *reqs, unsigned int n, uint64_t run)
{
	unsigned int i = 0;

	while (i < n && reqs[i].run == run)
		i++;
	return i;
}

/* Is this what the stop of the ring waits for? */
static inline void note_drained(struct vhost_vring *vr)
{
	if (unlikely(vr->draining) && !vring_in_flight(vr->run)) {
		vr->drained = true;
		leave_word(vr);
	}
}

static int push_run(struct vhost_vring *vr, const struct vhost_req *reqs, unsigned int n)
{
	bool gone = false;
	int r = vring_push(vr->run, reqs, n, &gone);

	if (unlikely(r == -EBADMSG))
		note_broken(vr);
	note_drained(vr);
	return r;
}

/* Of several runs, or of one that has ended. */
static int push_mixed(struct vhost_vring *vr, const struct vhost_req *reqs, unsigned int n)
{
	int ret = 0;

	while (n) {
		unsigned int some = same_run(reqs, n, reqs->run);
		int r = vr->run && reqs->run == vr->run_id ? push_run(vr, reqs, some) :
			push_old(vr, reqs, some);

		if (r == -EINVAL)
			return r;
		if (r < 0)
			ret = r;
		reqs += some;
		n -= some;
	}
	return ret;
}

static inline int push(struct vhost_vring *vr, const struct vhost_req *reqs, unsigned int n)
{
	if (likely(vr->run && same_run(reqs, n, vr->run_id) == n))
		return push_run(vr, reqs, n);
	return push_mixed(vr, reqs, n);
}

VHOST_EXPORT int vhost_vring_push(vhost_vring_t *vr, const struct vhost_req *reqs,
				  unsigned int n)
{
	int r;

	vr_lock(vr);
	r = push(vr, reqs, n);
	vr_unlock(vr);
	return r;
}

static int unpop(struct vhost_vring *vr, const struct vhost_req *reqs, unsigned int n)
{
	int r;

	/* of a run that has ended: nobody pops them again */
	while (n && (!vr->run || reqs->run != vr->run_id)) {
		unsigned int some = same_run(reqs, n, reqs->run);

		r = push_old(vr, reqs, some);
		if (r < 0)
			return r;
		reqs += some;
		n -= some;
	}
	if (!n)
		return 0;
	if (same_run(reqs, n, vr->run_id) != n)
		return -EINVAL;
	r = vring_unpop(vr->run, reqs, n);
	if (unlikely(r == -EBADMSG))
		note_broken(vr);
	if (!r && vr->budget <= UINT_MAX - n)
		vr->budget += n;
	note_drained(vr);
	return r;
}

VHOST_EXPORT int vhost_vring_unpop(vhost_vring_t *vr, const struct vhost_req *reqs,
				   unsigned int n)
{
	int r;

	vr_lock(vr);
	r = unpop(vr, reqs, n);
	vr_unlock(vr);
	return r;
}

VHOST_EXPORT int vhost_vring_notify(vhost_vring_t *vr)
{
	int r = 0;

	vr_lock(vr);
	if (likely(vr->run != NULL)) {
		if (unlikely(vr->broken))
			r = -EBADMSG;
		else if (vring_needs_notify(vr->run))
			r = signal_call(vr);
	}
	vr_unlock(vr);
	return r;
}

VHOST_EXPORT int vhost_vring_set_notify(vhost_vring_t *vr, bool enable)
{
	int r = 0;

	vr_lock(vr);
	vr->notify = enable;
	if (vr->run) {
		r = vr->broken ? -EBADMSG : vring_set_notify(vr->run, enable);
		if (r > 0 && !vr->live)
			r = 0;
	}
	vr_unlock(vr);
	return r;
}

VHOST_EXPORT void vhost_vring_break(vhost_vring_t *vr, const char *why)
{
	vr_lock(vr);
	if (vr->run) {
		vring_break(vr->run, "%s", why);
		note_broken(vr);
	}
	vr_unlock(vr);
}

VHOST_EXPORT const char *vhost_vring_error(const vhost_vring_t *vr)
{
	return vr->error;
}

VHOST_EXPORT bool vhost_vring_is_running(const vhost_vring_t *const_vr)
{
	struct vhost_vring *vr = (struct vhost_vring *)const_vr;
	bool running;

	vr_lock(vr);
	running = vr->live && !vr->broken;
	vr_unlock(vr);
	return running;
}

VHOST_EXPORT unsigned int vhost_vring_in_flight(const vhost_vring_t *const_vr)
{
	struct vhost_vring *vr = (struct vhost_vring *)const_vr;
	unsigned int n;

	vr_lock(vr);
	n = vr->run ? vring_in_flight(vr->run) : 0;
	vr_unlock(vr);
	return n;
}

VHOST_EXPORT unsigned int vhost_vring_get_index(const vhost_vring_t *vr)
{
	return vr->index;
}

VHOST_EXPORT unsigned int vhost_vring_get_size(const vhost_vring_t *vr)
{
	return vr->size;
}

VHOST_EXPORT int vhost_vring_get_fd(const vhost_vring_t *vr)
{
	return vr->kick_fd;
}

VHOST_EXPORT vhost_backend_t *vhost_vring_get_backend(const vhost_vring_t *vr)
{
	return vr->be;
}

VHOST_EXPORT void vhost_vring_set_opaque(vhost_vring_t *vr, void *opaque)
{
	vr->opaque = opaque;
}

VHOST_EXPORT void *vhost_vring_get_opaque(const vhost_vring_t *vr)
{
	return vr->opaque;
}

/* ------------------------------------------------------------------- requests */

/* Copy between @buf and the @n buffers, from byte @offset of these on. */
static size_t copy_iov(const struct iovec *iov, uint32_t n, size_t offset, void *buf, size_t len,
		       bool to_iov)
{
	size_t done = 0;
	uint32_t i;

	for (i = 0; i < n && done < len; i++) {
		size_t some;
		char *at;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		at = (char *)iov[i].iov_base + offset;
		some = iov[i].iov_len - offset;
		if (some > len - done)
			some = len - done;
		if (to_iov)
			memcpy(at, (char *)buf + done, some);
		else
			memcpy((char *)buf + done, at, some);
		done += some;
		offset = 0;
	}
	return done;
}

VHOST_EXPORT size_t vhost_req_read(const struct vhost_req *req, size_t offset, void *buf,
				   size_t len)
{
	return copy_iov(req->iov, req->out, offset, buf, len, false);
}

VHOST_EXPORT size_t vhost_req_write(const struct vhost_req *req, size_t offset, const void *buf,
				    size_t len)
{
	return copy_iov(req->iov + req->out, req->in, offset, (void *)buf, len, true);
}
