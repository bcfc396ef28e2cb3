/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What a migration needs, and a restart: the dirty log, the record of what is in flight,
 * postcopy, and the device's own state.
 */
#include "backend/backend.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "backend/session.h"

/* -------------------------------------------------------------------- dirty log */

int session_set_log_base(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct dirty_log *log, *old;
	const char *why = "";
	struct vu_log w;
	int r;

	if (!(be->acked_pf & PF(LOG_SHMFD)) || msg->n_fds != 1 || msg->hdr.size != sizeof(w))
		return be_fail(be, -EINVAL, "SET_LOG_BASE: the log has to be a file, with a size "
			       "and an offset, as LOG_SHMFD has it (%u bytes and %u descriptors "
			       "came; %zu and 1 are expected)", msg->hdr.size, msg->n_fds,
			       sizeof(w));
	memcpy(&w, msg->payload, sizeof(w));
	r = dirty_log_new(msg->fds[0], w.offset, w.size, &log, &why);
	if (r < 0)
		return be_fail(be, r, "SET_LOG_BASE: the log of 0x%llx bytes at 0x%llx: %s",
			       (unsigned long long)w.size, (unsigned long long)w.offset, why);
	old = be->log;
	be->log = log;
	vr_log_changed(be);
	dirty_log_unref(old);
	/* Replies of other sizes are about; this is the one that all current readers take. */
	return session_answered(session_reply(be, VU_SET_LOG_BASE, &w, sizeof(w), -1));
}

int session_set_log_fd(struct vhost_backend *be, const struct vu_msg *msg)
{
	if (!vr_fd_ok(msg->fds[0]))
		return be_fail(be, -EINVAL, "SET_LOG_FD: the descriptor is no eventfd");
	close_fd(&be->log_fd);
	be->log_fd = TAKE_FD(msg->fds[0]);
	return 0;
}

/* --------------------------------------------------------------- what is in flight */

/* What both messages say of the rings. */
static int inflight_check(struct vhost_backend *be, const struct vu_msg *msg,
			  struct vu_inflight *w)
{
	const char *name = session_name(msg->hdr.request);

	memset(w, 0, sizeof(*w));
	/* 20 bytes or, with the padding of a C struct, 24 */
	memcpy(w, msg->payload, msg->hdr.size);
	w->padding = 0;
	if (!w->num_queues || w->num_queues > be->ops.max_queues)
		return be_fail(be, -EINVAL, "%s: %u queues: the device has 1 to %u", name,
			       w->num_queues, be->ops.max_queues);
	if (!w->queue_size || w->queue_size > be->ops.max_queue_size)
		return be_fail(be, -EINVAL, "%s: queues of %u descriptors: the device takes 1 to "
			       "%u", name, w->queue_size, be->ops.max_queue_size);
	if (session_rings_run(be))
		return be_fail(be, -EBUSY, "%s: rings run already, without it", name);
	return 0;
}

static void set_inflight(struct vhost_backend *be, struct inflight_area *area)
{
	inflight_area_unref(be->inflight);
	be->inflight = area;
}

int session_get_inflight(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct inflight_area *area;
	struct vu_inflight w;
	int r = inflight_check(be, msg, &w);

	if (r < 0)
		return r;
	r = inflight_area_new(w.num_queues, w.queue_size, be->acked & F_RING_PACKED, &area);
	if (r < 0)
		return be_fail(be, r, "GET_INFLIGHT_FD: a record for %u queues of %u descriptors "
			       "could not be made: %s", w.num_queues, w.queue_size, strerror(-r));
	w.mmap_size = area->size;
	w.mmap_offset = area->offset;
	/* "will be used to track inflight I/O by back-end", from here on */
	set_inflight(be, area);
	return session_answered(session_reply(be, VU_GET_INFLIGHT_FD, &w, sizeof(w), area->fd));
}

int session_set_inflight(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct inflight_area *area;
	struct vu_inflight w;
	const char *why = "";
	int r = inflight_check(be, msg, &w);

	if (r < 0)
		return r;
	r = inflight_area_open(msg->fds[0], w.mmap_size, w.mmap_offset, w.num_queues, w.queue_size,
			       be->acked & F_RING_PACKED, &area, &why);
	if (r < 0)
		return be_fail(be, r, "SET_INFLIGHT_FD: the record of 0x%llx bytes at 0x%llx for %u "
			       "queues of %u descriptors: %s", (unsigned long long)w.mmap_size,
			       (unsigned long long)w.mmap_offset, w.num_queues, w.queue_size, why);
	set_inflight(be, area);
	return 0;
}

/* --------------------------------------------------------------------- postcopy */

/* With kernel mode faults: a device reads and writes guest memory in system calls, too. */
static int open_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), r;

#ifdef USERFAULTFD_IOC_NEW
	if (fd < 0) {
		_cleanup_close_ int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

		if (dev >= 0)
			fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	}
#endif
	if (fd < 0)
		return -errno;
	r = ioctl(fd, UFFDIO_API, &api) < 0 ? -errno : 0;
	/* guest memory is a memfd: of huge pages, or of others */
	if (!r && !(api.features & UFFD_FEATURE_MISSING_SHMEM))
		r = -EOPNOTSUPP;
	if (r < 0) {
		close_fd(&fd);
		return r;
	}
	return fd;
}

bool session_can_postcopy(void)
{
	int fd = open_uffd();
	bool can = fd >= 0;

	close_fd(&fd);
	return can;
}

static void region_range(const struct guest_region *region, struct uffdio_range *ret)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	ret->start = (uintptr_t)region->map;
	ret->len = (region->map_len + page - 1) / page * page;
}

int session_postcopy_register(struct vhost_backend *be, const struct guest_region *region)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int r = 0;

	if (!region->map)
		return be_fail(be, -EINVAL, "postcopy: the region at 0x%llx was mapped by the "
			       "program, not from a file", (unsigned long long)region->guest);
	region_range(region, &reg.range);
	if (ioctl(be->uffd, UFFDIO_REGISTER, &reg) < 0)
		r = -errno;
	else if (!(reg.ioctls & ((uint64_t)1 << _UFFDIO_COPY)))
		r = -EOPNOTSUPP;
	return r < 0 ? be_fail(be, r, "postcopy: faults of the region at 0x%llx cannot be left to "
			       "the front-end (its file must be shared memory): %s",
			       (unsigned long long)region->guest, strerror(-r)) : 0;
}

/* Who waits for a page is woken, and finds what is there. */
void session_postcopy_unregister(struct vhost_backend *be, const struct guest_region *region)
{
	struct uffdio_range range;

	if (be->uffd < 0 || !region->map)
		return;
	region_range(region, &range);
	/* fails for what was never registered, which is what is wanted */
	(void)ioctl(be->uffd, UFFDIO_UNREGISTER, &range);
}

static void unregister_map(struct vhost_backend *be, const struct guest_map *map)
{
	unsigned int i;

	for (i = 0; map && i < map->n; i++)
		session_postcopy_unregister(be, map->by_guest.spans[i].region);
}

/* The map that was to be is not: regions of the one that is go on to fault. */
static void drop_postcopy_map(struct vhost_backend *be, struct guest_map *map)
{
	unsigned int i;

	for (i = 0; map && i < map->n; i++) {
		struct guest_region *region = map->by_guest.spans[i].region;

		if (!guest_map_has(be->map, region))
			session_postcopy_unregister(be, region);
	}
	guest_map_unref(map);
}

void session_postcopy_over(struct vhost_backend *be)
{
	/* The front-end has the userfaultfd, too: to close ours would not be enough. */
	unregister_map(be, be->map);
	unregister_map(be, be->postcopy_map);
	guest_map_unref(TAKE_PTR(be->postcopy_map));
	close_fd(&be->uffd);
	be->postcopy = POSTCOPY_NONE;
}

static int postcopy_advise(struct vhost_backend *be)
{
	int fd;

	if (be->postcopy != POSTCOPY_NONE)
		return be_fail(be, -EALREADY, "POSTCOPY_ADVISE: postcopy is under way already");
	fd = open_uffd();
	if (fd < 0)
		return be_fail(be, fd, "POSTCOPY_ADVISE: there is no userfaultfd: %s (it needs "
			       "CAP_SYS_PTRACE, vm.unprivileged_userfaultfd=1, or access to "
			       "/dev/userfaultfd)", strerror(-fd));
	be->uffd = fd;
	be->postcopy = POSTCOPY_ADVISED;
	/* QEMU wants no payload beside the descriptor. */
	return session_answered(session_reply(be, VU_POSTCOPY_ADVISE, NULL, 0, fd));
}

static int postcopy_listen(struct vhost_backend *be)
{
	if (be->postcopy != POSTCOPY_ADVISED)
		return be_fail(be, -EINVAL, "POSTCOPY_LISTEN: %s", be->postcopy == POSTCOPY_NONE ?
			       "there was no POSTCOPY_ADVISE" : "it came before");
	/* what is mapped now may have been touched already */
	if (be->map && be->map->n)
		return be_fail(be, -EBUSY, "POSTCOPY_LISTEN: the device has %u memory regions "
			       "already, which cannot fault any more", be->map->n);
	be->postcopy = POSTCOPY_LISTENING;
	return 0;
}

int session_postcopy(struct vhost_backend *be, const struct vu_msg *msg)
{
	switch (msg->hdr.request) {
	case VU_POSTCOPY_ADVISE:
		return postcopy_advise(be);
	case VU_POSTCOPY_LISTEN:
		return postcopy_listen(be);
	default:
		if (be->postcopy == POSTCOPY_NONE)
			return be_fail(be, -EINVAL, "POSTCOPY_END: no postcopy is under way");
		session_postcopy_over(be);
		return session_answered(session_reply_u64(be, VU_POSTCOPY_END, 0));
	}
}

void session_postcopy_wait(struct vhost_backend *be, uint32_t request, struct guest_map *map)
{
	guest_map_unref(be->postcopy_map);
	be->postcopy_map = map;
	be->late = LATE_POSTCOPY_ACK;
	be->late_request = request;
}

/*
 * "QEMU will then reply back to the list of mappings with an empty [message] as an
 * acknowledgement; only upon reception of this message may the guest start accessing the
 * memory": a u64 of 0, in fact, whose header may have been a reply's.
 */
int session_postcopy_ack(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct guest_map *map = TAKE_PTR(be->postcopy_map);
	uint64_t value = 0;

	be->late = LATE_NONE;
	if ((msg->hdr.flags & VU_VERSION_MASK) != VU_VERSION ||
	    msg->hdr.request != be->late_request || msg->n_fds ||
	    (msg->hdr.size && msg->hdr.size != sizeof(value))) {
		drop_postcopy_map(be, map);
		return be_fail(be, -EPROTO, "postcopy: the front-end was told where its memory is, "
			       "and has to say that it is ready with %s, not with %s (%u bytes, "
			       "%u descriptors)", session_name(be->late_request),
			       session_name(msg->hdr.request), msg->hdr.size, msg->n_fds);
	}
	memcpy(&value, msg->payload, msg->hdr.size);
	if (value) {
		drop_postcopy_map(be, map);
		be_fail(be, -EPROTO, "postcopy: the front-end says that it cannot serve faults "
			"(%llu): the memory stays as it was", (unsigned long long)value);
		return 0;
	}
	session_set_map(be, map);
	return 0;
}

/* ----------------------------------------------------------------- device state */

/* What the device is given to write to, or to read from: it must never block. */
static int state_fd_check(struct vhost_backend *be, int fd, bool save)
{
	int flags = fcntl(fd, F_GETFL), mode = flags & O_ACCMODE;
	struct stat st;

	if (flags < 0 || flags & O_PATH || fstat(fd, &st) < 0 ||
	    (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)))
		return be_fail(be, -EINVAL, "SET_DEVICE_STATE_FD: the descriptor is neither a pipe "
			       "nor a socket");
	if (mode != O_RDWR && mode != (save ? O_WRONLY : O_RDONLY))
		return be_fail(be, -EINVAL, "SET_DEVICE_STATE_FD: the descriptor is the wrong end: "
			       "the state cannot be %s", save ? "written to it" : "read from it");
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return be_fail(be, -errno, "SET_DEVICE_STATE_FD: the descriptor cannot be made "
			       "non-blocking: %s", strerror(errno));
	return 0;
}

static int set_device_state_fd(struct vhost_backend *be, const struct vu_msg *msg)
{
	enum be_state_transfer was = be->transfer;
	uint64_t session = be->session;
	struct vu_transfer w;
	int r;

	memcpy(&w, msg->payload, sizeof(w));
	if (w.direction > 1 || w.phase)
		return be_fail(be, -EINVAL, "SET_DEVICE_STATE_FD: the direction %u in the phase %u "
			       "is unknown (0 saves, 1 loads; 0 is the only phase)", w.direction,
			       w.phase);
	if (was == STATE_RUNNING)
		return be_fail(be, -EBUSY, "SET_DEVICE_STATE_FD: a transfer is under way already");
	if (!session_is_suspended(be))
		return be_fail(be, -EBUSY, "SET_DEVICE_STATE_FD: the device is not suspended: stop "
			       "all rings first");
	r = state_fd_check(be, msg->fds[0], !w.direction);
	if (r < 0)
		return r;
	/* From before the callback: it may be done inside of it. */
	be->transfer = STATE_RUNNING;
	if (w.direction)
		r = be->ops.load_state(be, TAKE_FD(msg->fds[0]), be->opaque);
	else
		r = be->ops.save_state(be, TAKE_FD(msg->fds[0]), be->opaque);
	if (be->session != session)
		return SESSION_ANSWERED;
	if (be->transfer == STATE_RUNNING && r != -EINPROGRESS) {
		be->transfer = r < 0 ? was : STATE_DONE;
		if (r < 0)
			return be_fail(be, r, "SET_DEVICE_STATE_FD: the device refused: %s",
				       strerror(-r));
		be->transfer_status = 0;
	}
	return session_answered(session_reply_u64(be, VU_SET_DEVICE_STATE_FD,
						  VU_DEVICE_STATE_NOFD));
}

static int reply_state(struct vhost_backend *be)
{
	int status = be->transfer_status;

	be->transfer = STATE_NONE;
	if (status < 0)
		be_fail(be, status, "CHECK_DEVICE_STATE: the transfer failed: %s",
			strerror(-status));
	return session_reply_u64(be, VU_CHECK_DEVICE_STATE, status < 0 ? 1 : 0);
}

int session_device_state(struct vhost_backend *be, const struct vu_msg *msg)
{
	if (msg->hdr.request == VU_SET_DEVICE_STATE_FD)
		return set_device_state_fd(be, msg);
	switch (be->transfer) {
	case STATE_RUNNING:
		/* "The back-end responds once it knows" */
		be->late = LATE_STATE;
		be->late_request = VU_CHECK_DEVICE_STATE;
		return SESSION_ANSWERED;
	case STATE_DONE:
		return session_answered(reply_state(be));
	default:
		return be_fail(be, -EINVAL, "CHECK_DEVICE_STATE: there was no transfer");
	}
}

VHOST_EXPORT int vhost_backend_state_done(vhost_backend_t *be, int status)
{
	if (be->transfer != STATE_RUNNING)
		return be_fail(be, -ENOENT, "nothing is to be answered");
	be->transfer = STATE_DONE;
	be->transfer_status = status > 0 ? -EINVAL : status;
	if (be->late != LATE_STATE)
		return 0;
	be_enter(be);
	be->late = LATE_NONE;
	session_answer_sent(be, reply_state(be));
	be_leave(be);
	return 0;
}

/* ----------------------------------------------------------------------- the end */

void session_migrate_clear(struct vhost_backend *be)
{
	session_postcopy_over(be);
	dirty_log_unref(TAKE_PTR(be->log));
	close_fd(&be->log_fd);
	inflight_area_unref(TAKE_PTR(be->inflight));
}
