/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Reconnection, dirty log, in-flight record, the device's own state. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "transport/transport.h"

/* --------------------------------------------------------------- reconnection */

static int reconnect(struct vhost_dev *dev, int fd, uint32_t flags)
{
	_hold_(dev);

	if (flags & ~(VHOST_OPEN_NONBLOCK | VHOST_RECONNECT_FROM_USED))
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT, "unknown flags 0x%x", flags);
	if (dev->open_txn)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"a reconnection cannot be part of a transaction");
	return vhost_call(dev, reconnect, fd, flags);
}

VHOST_EXPORT int vhost_dev_reconnect(vhost_dev_t *dev, uint32_t flags)
{
	return reconnect(dev, -1, flags);
}

VHOST_EXPORT int vhost_dev_reconnect_fd(vhost_dev_t *dev, int fd, uint32_t flags)
{
	if (fd < 0)
		return dev_fail(dev, -EBADF, VHOST_ERR_ARGUMENT, "%d is no file descriptor", fd);
	return reconnect(dev, fd, flags);
}

/* ------------------------------------------------------------------ dirty log */

#define PAGES_PER_WORD 64u
#define BYTES_PER_WORD ((uint64_t)PAGES_PER_WORD * VHOST_DIRTY_PAGE_SIZE)

static int log_make(struct vhost_dev *dev, struct vhost_log *log)
{
	uint64_t words = (mem_map_end(&dev->rec.map) + BYTES_PER_WORD - 1) / BYTES_PER_WORD;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	_cleanup_close_ int fd = -1;

	if (!words)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE, "the device has no memory to log");
	if (words > SIZE_MAX / 16)
		return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "the log would be too large");
	log->size = (words * sizeof(uint64_t) + page - 1) / page * page;
	fd = memfd_create("libvhost-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)log->size) < 0)
		return dev_fail(dev, -errno, VHOST_ERR_OTHER, "no memory for the log: %s",
				strerror(errno));
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return dev_fail(dev, -errno, VHOST_ERR_OTHER, "the log cannot be sealed: %s",
				strerror(errno));
	log->map = mmap(NULL, log->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (log->map == MAP_FAILED) {
		log->map = NULL;
		return dev_fail(dev, -errno, VHOST_ERR_OTHER, "no memory for the log: %s",
				strerror(errno));
	}
	log->fd = TAKE_FD(fd);
	return 0;
}

static void settle_log_start(struct vhost_dev *dev, struct vhost_op *op)
{
	if (op->status < 0)
		log_drop(&dev->rec.log);
}

VHOST_EXPORT int vhost_dev_log_start(vhost_dev_t *dev)
{
	struct vhost_op stack, *op;
	uint64_t can = 0;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	dev->ops->get_cap(dev, VHOST_CAP_LOG, &can);
	if (!can)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the device cannot log the pages it writes");
	if (dev->rec.log.map)
		return dev_fail(dev, -EALREADY, VHOST_ERR_STATE, "the device logs already");
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	r = log_make(dev, &dev->rec.log);
	if (!r)
		r = vqs_check_log(dev);
	op->settle = settle_log_start;
	return op_end(dev, op, r < 0 ? r : vhost_call(dev, log_start, op));
}

VHOST_EXPORT int vhost_dev_log_collect(vhost_dev_t *dev, uint64_t iova, uint64_t *bitmap,
				       size_t n_words, uint64_t *ret)
{
	struct vhost_log *log = &dev->rec.log;
	uint64_t first = iova / BYTES_PER_WORD, n = 0;
	size_t i;

	if (!log->map)
		return dev_fail(dev, -ENOENT, VHOST_ERR_STATE, "the device does not log");
	if (iova % BYTES_PER_WORD || !range_within(first, n_words, log->size / sizeof(uint64_t)))
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"the log has no %zu words for 0x%llx", n_words,
				(unsigned long long)iova);
	for (i = 0; i < n_words; i++) {
		uint64_t *word = (uint64_t *)log->map + first + i, dirty;
		uint8_t bytes[8];
		unsigned int bit;

		/* most are clean: no locked instruction for these */
		if (!READ_ONCE(*word))
			continue;
		dirty = __atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL);
		/* The log is bytes (page % 8 in page / 8); the bitmap is words. */
		memcpy(bytes, &dirty, sizeof(bytes));
		for (dirty = 0, bit = 0; bit < sizeof(bytes); bit++)
			dirty |= (uint64_t)bytes[bit] << 8 * bit;
		bitmap[i] |= dirty;
		n += (uint64_t)__builtin_popcountll(dirty);
	}
	*ret = n;
	return 0;
}

VHOST_EXPORT uint64_t vhost_dev_log_get_size(const vhost_dev_t *dev)
{
	return dev->rec.log.size / sizeof(uint64_t) * BYTES_PER_WORD;
}

static void settle_log_fd(struct vhost_dev *dev, struct vhost_op *op)
{
	int old = (int)op->a;

	if (op->status < 0) {
		int refused = dev->rec.log.notify_fd;

		dev->rec.log.notify_fd = old;
		old = refused;
	}
	close_fd(&old);
}

VHOST_EXPORT int vhost_dev_log_set_fd(vhost_dev_t *dev, int fd)
{
	struct vhost_op stack, *op;
	uint64_t can = 0;
	int dup, r = dev_ready(dev);

	if (r < 0)
		return r;
	dev->ops->get_cap(dev, VHOST_CAP_LOG, &can);
	if (!can)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the device cannot log the pages it writes");
	dup = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (dup < 0)
		return dev_fail(dev, -errno, VHOST_ERR_ARGUMENT, "descriptor %d: %s", fd,
				strerror(errno));
	r = op_begin(dev, &stack, &op);
	if (r < 0) {
		close_fd(&dup);
		return r;
	}
	op->a = (uint64_t)dev->rec.log.notify_fd;
	op->settle = settle_log_fd;
	dev->rec.log.notify_fd = dup;
	return op_end(dev, op, vhost_call(dev, log_set_fd, op, dup));
}

/* The old log stays mapped until the device no longer writes to it. */
static void settle_log_stop(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_log log = {
		.map = op->out, .size = (size_t)op->a, .fd = (int)op->b, .notify_fd = -1,
	};

	if (op->status < 0 && !dev->rec.log.map) {
		log.notify_fd = dev->rec.log.notify_fd;
		dev->rec.log = log;
	} else {
		log_drop(&log);
	}
}

VHOST_EXPORT int vhost_dev_log_stop(vhost_dev_t *dev)
{
	struct vhost_op stack, *op;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (!dev->rec.log.map)
		return 0;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	op->out = TAKE_PTR(dev->rec.log.map);
	op->a = dev->rec.log.size;
	op->b = (uint64_t)TAKE_FD(dev->rec.log.fd);
	dev->rec.log.size = 0;
	op->settle = settle_log_stop;
	return op_end(dev, op, vhost_call(dev, log_stop, op));
}

/* ------------------------------------------------------------ in-flight record */

static int inflight_check(struct vhost_dev *dev, uint16_t num_queues, uint16_t queue_size)
{
	uint64_t can = 0, most = 0;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	dev->ops->get_cap(dev, VHOST_CAP_INFLIGHT, &can);
	dev->ops->get_cap(dev, VHOST_CAP_MAX_QUEUES, &most);
	if (!can)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the device keeps no record of what it has in flight");
	if (dev->state != VHOST_DEV_STOPPED || dev->open_txn)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"the in-flight record is set before the device starts, and outside "
				"of transactions");
	if (!num_queues || num_queues > most || !queue_size || queue_size > VHOST_VIRTQ_SIZE_MAX)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"an in-flight record for %u queues of %u entries cannot be",
				num_queues, queue_size);
	return 0;
}

/* Hand over the record in @in, which becomes the device's if that succeeds. */
static int inflight_hand_over(struct vhost_dev *dev, struct vhost_inflight *in)
{
	struct vhost_inflight old = dev->rec.inflight;
	struct vhost_op stack, *op;
	int r = op_begin(dev, &stack, &op);

	if (r < 0)
		return r;
	dev->rec.inflight = *in;
	r = op_end(dev, op, vhost_call(dev, inflight_set, op));
	if (r < 0) {
		dev->rec.inflight = old;
		return r;
	}
	in->fd = -1;
	close_fd(&old.fd);
	return 0;
}

VHOST_EXPORT int vhost_dev_inflight_enable(vhost_dev_t *dev, uint16_t num_queues,
					   uint16_t queue_size)
{
	_hold_(dev);
	struct vhost_inflight in = { .fd = -1 };
	struct vhost_op stack, *op;
	int r = inflight_check(dev, num_queues, queue_size);

	if (r < 0)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	r = op_end(dev, op, vhost_call(dev, inflight_get, op, num_queues, queue_size, &in));
	if (!r)
		r = inflight_hand_over(dev, &in);
	close_fd(&in.fd);
	return r;
}

VHOST_EXPORT int vhost_dev_inflight_get(const vhost_dev_t *dev, int *ret_fd, uint64_t *ret_size,
					uint64_t *ret_offset)
{
	const struct vhost_inflight *in = &dev->rec.inflight;

	if (in->fd < 0)
		return -ENOENT;
	*ret_fd = in->fd;
	*ret_size = in->size;
	*ret_offset = in->offset;
	return 0;
}

VHOST_EXPORT int vhost_dev_inflight_set(vhost_dev_t *dev, int fd, uint64_t size, uint64_t offset,
					uint16_t num_queues, uint16_t queue_size)
{
	_hold_(dev);
	struct vhost_inflight in = {
		.fd = -1, .size = size, .offset = offset,
		.num_queues = num_queues, .queue_size = queue_size,
	};
	struct stat st;
	uint64_t end;
	int r = inflight_check(dev, num_queues, queue_size);

	if (r < 0)
		return r;
	in.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (in.fd < 0)
		return dev_fail(dev, -errno, VHOST_ERR_ARGUMENT, "descriptor %d: %s", fd,
				strerror(errno));
	if (!size || !range_end(offset, size, &end) || fstat(in.fd, &st) < 0 ||
	    (uint64_t)st.st_size < end)
		r = dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
			     "the in-flight record is not within its file");
	else
		r = inflight_hand_over(dev, &in);
	close_fd(&in.fd);
	return r;
}

/* ---------------------------------------------------------------- device state */

static int state_check(struct vhost_dev *dev)
{
	uint64_t can = 0;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	dev->ops->get_cap(dev, VHOST_CAP_DEVICE_STATE, &can);
	if (!can)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the device does not give its internal state");
	if (dev->open_txn || dev->state == VHOST_DEV_STARTED)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"the device's state is transferred while it is suspended or stopped");
	return 0;
}

VHOST_EXPORT int vhost_dev_device_state_fd(vhost_dev_t *dev, int direction, int fd, int *ret_fd)
{
	struct vhost_op stack, *op;
	int r = state_check(dev);

	if (r < 0)
		return r;
	if (direction != VHOST_DEVICE_STATE_SAVE && direction != VHOST_DEVICE_STATE_LOAD)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"%d is no direction of a transfer", direction);
	if (fcntl(fd, F_GETFD) < 0)
		return dev_fail(dev, -errno, VHOST_ERR_ARGUMENT, "descriptor %d: %s", fd,
				strerror(errno));
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	return op_end(dev, op, vhost_call(dev, device_state_fd, op, direction, fd, ret_fd));
}

VHOST_EXPORT int vhost_dev_device_state_check(vhost_dev_t *dev)
{
	struct vhost_op stack, *op;
	int r = state_check(dev);

	if (r < 0)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	return op_end(dev, op, vhost_call(dev, device_state_check, op));
}

/* Wait for the channel, no longer than until @deadline. */
static int state_poll(struct vhost_dev *dev, int fd, short events, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		uint64_t now = now_ms();
		int timeout = -1, r;

		if (deadline != UINT64_MAX) {
			if (now >= deadline)
				return dev_fail(dev, -ETIMEDOUT, VHOST_ERR_DEADLINE,
						"the transfer of the device's state took longer than "
						"%d ms", dev->timeout_ms);
			timeout = deadline - now > INT32_MAX ? INT32_MAX : (int)(deadline - now);
		}
		r = poll(&p, 1, timeout);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return dev_fail(dev, -errno, VHOST_ERR_OTHER, "poll: %s", strerror(errno));
	}
}

/* Agree on a channel; *ret is our end. */
static int state_open(struct vhost_dev *dev, int direction, int *ret)
{
	int save = direction == VHOST_DEVICE_STATE_SAVE, fds[2], theirs, r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return dev_fail(dev, -errno, VHOST_ERR_OTHER, "no pipe: %s", strerror(errno));
	theirs = -1;
	r = vhost_dev_device_state_fd(dev, direction, fds[save ? 1 : 0], &theirs);
	close(fds[save ? 1 : 0]);
	if (r < 0 || theirs >= 0)
		close(fds[save ? 0 : 1]);
	if (r < 0)
		return r;
	*ret = theirs >= 0 ? theirs : fds[save ? 0 : 1];
	fcntl(*ret, F_SETFL, fcntl(*ret, F_GETFL) | O_NONBLOCK);
	return 0;
}

VHOST_EXPORT int vhost_dev_device_state_save(vhost_dev_t *dev, size_t limit, void **ret,
					     size_t *ret_size)
{
	_hold_(dev);
	uint64_t deadline = dev_deadline(dev);
	_cleanup_close_ int fd = -1;
	_cleanup_free_ uint8_t *buf = NULL;
	size_t have = 0, room = 0;
	ssize_t n;
	int r;

	r = state_check(dev);
	if (!r)
		r = state_open(dev, VHOST_DEVICE_STATE_SAVE, &fd);
	if (r < 0)
		return r;
	for (;;) {
		if (have == room) {
			size_t more = room ? room * 2 : 65536;
			uint8_t *p;

			/* one byte more than the limit shows that there is more */
			more = more > limit && limit < SIZE_MAX ? limit + 1 : more;
			p = more > room ? realloc(buf, more) : NULL;
			if (!p)
				return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
			buf = p;
			room = more;
		}
		n = read(fd, buf + have, room - have);
		if (n == 0)
			break;
		if (n > 0) {
			have += (size_t)n;
			if (have > limit)
				return dev_fail(dev, -EFBIG, VHOST_ERR_LIMIT,
						"the device's state is larger than %zu bytes", limit);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return dev_fail(dev, -errno, VHOST_ERR_OTHER,
					"the device's state cannot be read: %s", strerror(errno));
		r = state_poll(dev, fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
	close_fd(&fd);
	r = vhost_dev_device_state_check(dev);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(buf);
	*ret_size = have;
	return 0;
}

/*
 * write(2), without the SIGPIPE that a pipe without a reader raises: the signal is the
 * program's, so it is held back for this thread, and taken if it came of this.
 */
static ssize_t write_quietly(int fd, const void *buf, size_t size)
{
	const struct timespec none = { 0 };
	sigset_t pipe_set, old, pending;
	bool was_pending;
	ssize_t n;
	int saved;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	n = write(fd, buf, size);
	saved = errno;
	if (n < 0 && saved == EPIPE && !was_pending)
		while (sigtimedwait(&pipe_set, NULL, &none) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return n;
}

VHOST_EXPORT int vhost_dev_device_state_load(vhost_dev_t *dev, const void *buf, size_t size)
{
	_hold_(dev);
	uint64_t deadline = dev_deadline(dev);
	_cleanup_close_ int fd = -1;
	size_t done = 0;
	ssize_t n;
	int r = state_check(dev);

	if (!r)
		r = state_open(dev, VHOST_DEVICE_STATE_LOAD, &fd);
	while (!r && done < size) {
		n = write_quietly(fd, (const uint8_t *)buf + done, size - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			r = state_poll(dev, fd, POLLOUT, deadline);
		else if (errno != EINTR)
			r = dev_fail(dev, -errno, VHOST_ERR_OTHER,
				     "the device took %zu of the %zu bytes of its state: %s", done,
				     size, strerror(errno));
	}
	if (r < 0)
		return r;
	close_fd(&fd);
	return vhost_dev_device_state_check(dev);
}
