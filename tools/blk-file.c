/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backend-program.h"
#include "blk-file.h"
#include "parse.h"

#define RING_ENTRIES 256u
#define ZEROS (64u << 10)
#define MOST_IOV 1024u		/* of one system call (IOV_MAX) */

static const uint8_t zeros[ZEROS] __attribute__((aligned(4096)));
static const struct iovec zero_iov[16] = {
#define Z { (void *)(uintptr_t)zeros, ZEROS }
	Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z
#undef Z
};

/* -------------------------------------------------------- one step of an io */

/* A system call that is to be made. */
struct step {
	enum { STEP_READ, STEP_WRITE, STEP_SYNC, STEP_ALLOCATE } call;
	int fd;
	const struct iovec *iov;
	unsigned int n_iov;
	int flags;
	uint64_t offset, len;
};

static bool aligned(const struct file *f, const struct iovec *iov, unsigned int n, uint64_t offset)
{
	uintptr_t all = (uintptr_t)offset;

	for (unsigned int i = 0; i < n; i++)
		all |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
	return !(all & (f->align - 1));
}

/* What the step points to is the io's, and stays until the step is done. */
static void next_step(const struct file *f, struct file_io *io, struct step *s)
{
	s->fd = f->fd;
	s->offset = io->offset;
	s->len = io->left;
	s->flags = 0;
	if (io->op == FILE_FLUSH || io->syncing) {
		s->call = STEP_SYNC;
	} else if (io->op == FILE_DISCARD || (io->op == FILE_ZERO && !io->by_writing)) {
		s->call = STEP_ALLOCATE;
		s->flags = FALLOC_FL_KEEP_SIZE;
		s->flags |= io->op == FILE_DISCARD || io->unmap ? FALLOC_FL_PUNCH_HOLE :
								  FALLOC_FL_ZERO_RANGE;
	} else if (io->op == FILE_ZERO) {
		s->call = STEP_WRITE;
		s->iov = zero_iov;
		s->n_iov = sizeof(zero_iov) / sizeof(zero_iov[0]);
		if (io->left < sizeof(zeros)) {
			io->small = (struct iovec){ zero_iov[0].iov_base, (size_t)io->left };
			s->iov = &io->small;
			s->n_iov = 1;
		} else if (io->left < s->n_iov * sizeof(zeros)) {
			s->n_iov = (unsigned int)(io->left / sizeof(zeros));
		}
	} else {
		s->call = io->op == FILE_READ ? STEP_READ : STEP_WRITE;
		s->iov = io->iov;
		s->n_iov = io->n_iov < MOST_IOV ? io->n_iov : MOST_IOV;
	}
	if (f->buffered_fd != f->fd && (s->call == STEP_READ || s->call == STEP_WRITE) &&
	    !aligned(f, s->iov, s->n_iov, s->offset))
		s->fd = f->buffered_fd;
}

/* Not what this file can have done in this way, or not at this place. */
static bool refused(long res)
{
	return res == -EOPNOTSUPP || res == -EINVAL;
}

/* Return: whether that was the last one; io->result then says how it ended. */
static bool step_done(const struct file *f, struct file_io *io, long res)
{
	io->result = 0;
	if (res == -EAGAIN || res == -EINTR)
		return false;
	if (io->op == FILE_FLUSH || io->syncing) {
		io->result = (int)res;
		return true;
	}
	if (io->op == FILE_DISCARD) {
		uint64_t range[2] = { io->offset, io->left };

		/* Zeroing needs more of a device than discarding, and a discard is a hint. */
		if (refused(res) && f->block_device)
			res = ioctl(f->fd, BLKDISCARD, range) < 0 ? -errno : 0;
		io->result = refused(res) ? 0 : (int)res;
		return true;
	}
	if (io->op == FILE_ZERO && !io->by_writing) {
		if (refused(res)) {
			io->by_writing = true;
			return false;
		}
		io->result = (int)res;
		io->syncing = io->durable;
		return res < 0 || !io->durable;
	}

	if (res <= 0) {
		io->result = res < 0 ? (int)res : -EIO;	/* the file was cut short */
		return true;
	}
	if ((uint64_t)res >= io->left) {
		io->left = 0;
		io->syncing = io->durable;
		return !io->durable;
	}
	io->left -= (uint64_t)res;
	io->offset += (uint64_t)res;
	if (io->op == FILE_ZERO)
		return false;
	while (io->n_iov && (size_t)res >= io->iov->iov_len) {
		res -= (long)io->iov->iov_len;
		io->iov++;
		io->n_iov--;
	}
	if (io->n_iov) {
		io->iov->iov_base = (uint8_t *)io->iov->iov_base + res;
		io->iov->iov_len -= (size_t)res;
	}
	return false;
}

static long make_step(const struct step *s)
{
	long r;

	switch (s->call) {
	case STEP_READ:
		r = preadv(s->fd, s->iov, (int)s->n_iov, (off_t)s->offset);
		break;
	case STEP_WRITE:
		r = pwritev(s->fd, s->iov, (int)s->n_iov, (off_t)s->offset);
		break;
	case STEP_SYNC:
		r = fdatasync(s->fd);
		break;
	default:
		r = fallocate(s->fd, s->flags, (off_t)s->offset, (off_t)s->len);
		break;
	}
	return r < 0 ? -errno : r;
}

/* ---------------------------------------------------------------- io_uring */

#ifdef HAVE_LIBURING
static void open_ring(struct file *f)
{
	struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE, .cq_entries = 8 * RING_ENTRIES };
	int r = io_uring_queue_init_params(RING_ENTRIES, &f->ring, &params);

	if (r < 0) {
		complain("without io_uring (%s) the disk is slower", strerror(-r));
		return;
	}
	f->sync = false;
	f->event_fd = f->ring.ring_fd;
}

static void close_ring(struct file *f)
{
	if (f->event_fd >= 0)
		io_uring_queue_exit(&f->ring);
}

static void prepare(struct file *f, struct io_uring_sqe *sqe, struct file_io *io)
{
	struct step s;

	next_step(f, io, &s);
	switch (s.call) {
	case STEP_READ:
		io_uring_prep_readv(sqe, s.fd, s.iov, s.n_iov, s.offset);
		break;
	case STEP_WRITE:
		io_uring_prep_writev(sqe, s.fd, s.iov, s.n_iov, s.offset);
		break;
	case STEP_SYNC:
		io_uring_prep_fsync(sqe, s.fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(sqe, s.fd, s.flags, (off_t)s.offset, (off_t)s.len);
		break;
	}
	io_uring_sqe_set_data(sqe, io);
}

static void queue_step(struct file *f, struct file_io *io)
{
	io->next = NULL;
	*f->todo_tail = io;
	f->todo_tail = &io->next;
}

bool file_submit(struct file *f)
{
	int r = 0;

	if (f->sync)
		return true;
	while (f->todo && r >= 0) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&f->ring);

		if (!sqe) {
			r = io_uring_submit(&f->ring);
			sqe = r > 0 ? io_uring_get_sqe(&f->ring) : NULL;
			if (!sqe)
				break;
		}
		prepare(f, sqe, f->todo);
		f->todo = f->todo->next;
		f->unsent = true;
	}
	if (!f->todo)
		f->todo_tail = &f->todo;
	if (f->unsent && r >= 0) {
		/* EAGAIN, EBUSY: the kernel lacks room; what was not taken stays in the ring. */
		io_uring_submit(&f->ring);
		f->unsent = io_uring_sq_ready(&f->ring) > 0;
	}
	return !f->unsent && !f->todo;
}

struct file_io *file_collect(struct file *f)
{
	struct io_uring_cqe *cqe;

	while (f->in_flight && io_uring_peek_cqe(&f->ring, &cqe) == 0) {
		struct file_io *io = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&f->ring, cqe);
		if (step_done(f, io, res)) {
			f->in_flight--;
			return io;
		}
		queue_step(f, io);
	}
	return NULL;
}

void file_wait(struct file *f)
{
	struct io_uring_cqe *cqe;

	file_submit(f);
	io_uring_wait_cqe(&f->ring, &cqe);
}

#else
static void open_ring(struct file *f)
{
	(void)f;
}

static void close_ring(struct file *f)
{
	(void)f;
}

static void queue_step(struct file *f, struct file_io *io)
{
	(void)f;
	(void)io;
}

bool file_submit(struct file *f)
{
	(void)f;
	return true;
}

struct file_io *file_collect(struct file *f)
{
	(void)f;
	return NULL;
}

void file_wait(struct file *f)
{
	(void)f;
}
#endif

int file_begin(struct file *f, struct file_io *io)
{
	struct step s;

	if (f->null || (!io->left && io->op != FILE_FLUSH))
		return 0;
	io->by_writing = false;
	io->syncing = false;
	if (!f->sync) {
		f->in_flight++;
		queue_step(f, io);
		return -EINPROGRESS;
	}
	do
		next_step(f, io, &s);
	while (!step_done(f, io, make_step(&s)));
	return io->result;
}

/* ------------------------------------------------------------ open and close */

int file_look(struct file *f)
{
	struct stat st;

	if (f->null)
		return 0;
	if (f->block_device)
		return ioctl(f->fd, BLKGETSIZE64, &f->size) < 0 ? -errno : 0;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	f->size = (uint64_t)st.st_size;
	return 0;
}

static int open_null(struct file *f, const char *size)
{
	if (parse_size(size, &f->size) < 0 || f->size > INT64_MAX) {
		complain("--blk-file: \"%s\" is not a size, such as 64M or 10G", size);
		return -EINVAL;
	}
	f->null = true;
	return 0;
}

/* Memory that is called a file never waits for a device: a ring would only cost. */
static bool in_memory(int fd)
{
	struct statfs fs;
	uint32_t type;

	if (fstatfs(fd, &fs) < 0)
		return false;
	type = (uint32_t)fs.f_type;
	return type == TMPFS_MAGIC || type == RAMFS_MAGIC || type == HUGETLBFS_MAGIC;
}

static void geometry(struct file *f, const struct stat *st)
{
	unsigned int physical = 0;
	int logical = 0;

	f->block_size = 512;
	f->physical_size = st->st_blksize > 512 ? (uint32_t)st->st_blksize : 512;
	if (f->block_device && ioctl(f->fd, BLKSSZGET, &logical) == 0 && logical >= 512)
		f->block_size = (uint32_t)logical;
	if (f->block_device && ioctl(f->fd, BLKPBSZGET, &physical) == 0 && physical >= 512)
		f->physical_size = physical;
	/* A file's file system wants no more than its blocks. */
	f->align = f->block_device ? f->block_size : f->physical_size;
	if (f->align & (f->align - 1))
		f->align = 4096;
}

int file_open(struct file *f, const char *path, bool read_only, bool direct)
{
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat st;
	int r;

	*f = (struct file){ .fd = -1, .buffered_fd = -1, .event_fd = -1, .sync = true,
			    .block_size = 512, .physical_size = 512 };
	if (!strncmp(path, "null:", 5))
		return open_null(f, path + 5);
	f->fd = open(path, flags | (direct ? O_DIRECT : 0));
	f->buffered_fd = direct && f->fd >= 0 ? open(path, flags) : f->fd;
	if (f->fd < 0 || f->buffered_fd < 0 || fstat(f->fd, &st) < 0) {
		r = -errno;
		complain("cannot open %s: %s%s", path, strerror(-r),
			 r == -EINVAL && direct ? "; its file system has no direct I/O" :
			 r == -EROFS || r == -EACCES ? "; --read-only might do" : "");
		return r;
	}
	f->block_device = S_ISBLK(st.st_mode);
	if (!f->block_device && !S_ISREG(st.st_mode)) {
		complain("cannot serve %s: neither a file nor a block device", path);
		return -EINVAL;
	}
	r = file_look(f);
	if (r < 0) {
		complain("cannot find out the size of %s: %s", path, strerror(-r));
		return r;
	}
	geometry(f, &st);
#ifdef HAVE_LIBURING
	f->todo_tail = &f->todo;
#endif
	if (!in_memory(f->fd))
		open_ring(f);
	return 0;
}

void file_close(struct file *f)
{
	close_ring(f);
	if (f->buffered_fd >= 0 && f->buffered_fd != f->fd)
		close(f->buffered_fd);
	if (f->fd >= 0)
		close(f->fd);
}
