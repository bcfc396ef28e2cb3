/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The file or block device behind a disk: what is to be done with it is begun, and
 * done some time later where io_uring can have it so, at once otherwise.
 */
#ifndef BLK_FILE_H
#define BLK_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

enum file_op { FILE_READ, FILE_WRITE, FILE_FLUSH, FILE_DISCARD, FILE_ZERO };

/* One thing to be done, in as many steps as that takes. */
struct file_io {
	enum file_op op;
	bool durable;		/* WRITE, ZERO: not done before it is on the medium */
	bool unmap;		/* ZERO: space may be given back */
	bool by_writing;	/* ZERO: nothing better is there */
	bool syncing;		/* the last step, of what is to be durable */
	struct iovec *iov;	/* READ, WRITE: changed as it goes on */
	unsigned int n_iov;
	uint64_t offset;
	uint64_t left;		/* bytes */
	int result;		/* of file_collect(): 0, or a negative errno */
	struct iovec small;	/* ZERO: the last of it */
	struct file_io *next;
};

struct file {
	int fd;
	int buffered_fd;	/* for what is not aligned as O_DIRECT needs it; or fd */
	bool null;
	bool block_device;
	bool sync;		/* all is done at once */
	uint64_t size;
	uint32_t block_size;	/* of the device; 512 for a file */
	uint32_t physical_size;
	uint32_t align;		/* that O_DIRECT needs */
	unsigned int in_flight;
	int event_fd;		/* readable when something is done; -1 if all is done at once */
#ifdef HAVE_LIBURING
	struct io_uring ring;
	struct file_io *todo, **todo_tail;	/* steps that are not in the ring yet */
	bool unsent;
#endif
};

/* "null:SIZE" or a path. 0, or a negative errno after it has complained. */
int file_open(struct file *f, const char *path, bool read_only, bool direct);
void file_close(struct file *f);
/* How large is it now? 0 and f->size, or a negative errno. */
int file_look(struct file *f);

/* Return: 0 or a negative errno, and it is done; -EINPROGRESS. */
int file_begin(struct file *f, struct file_io *io);
/* Send off what was begun. False: some could not be, and it is to be called again. */
bool file_submit(struct file *f);
/* Something that is done; NULL if nothing is. */
struct file_io *file_collect(struct file *f);
/* Wait until something is done. */
void file_wait(struct file *f);

#endif
