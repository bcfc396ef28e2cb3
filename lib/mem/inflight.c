/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "mem/inflight.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "mem/guest.h"
#include "util.h"

#define STRIDE_ALIGN 64u

_Static_assert(sizeof(struct inflight_split) == 16, "as vhost-user has it");
_Static_assert(sizeof(struct inflight_split_desc) == 16, "as vhost-user has it");
_Static_assert(sizeof(struct inflight_packed) == 32, "as vhost-user has it");
_Static_assert(sizeof(struct inflight_packed_desc) == 32, "as vhost-user has it");

uint64_t inflight_stride(uint16_t queue_size, bool packed)
{
	uint64_t size = packed ?
		sizeof(struct inflight_packed) +
			(uint64_t)queue_size * sizeof(struct inflight_packed_desc) :
		sizeof(struct inflight_split) +
			(uint64_t)queue_size * sizeof(struct inflight_split_desc);

	return (size + STRIDE_ALIGN - 1) & ~(uint64_t)(STRIDE_ALIGN - 1);
}

/* Bytes of all the queues, or 0 for numbers out of range. Far from any overflow then. */
static uint64_t area_size(uint16_t num_queues, uint16_t queue_size, bool packed, const char **why)
{
	if (!num_queues || num_queues > INFLIGHT_QUEUES_MAX) {
		*why = "it is for no queue, or for more than 256";
		return 0;
	}
	if (!queue_size || queue_size > INFLIGHT_QUEUE_SIZE_MAX) {
		*why = "it is for queues of no descriptor, or of more than 32768";
		return 0;
	}
	return num_queues * inflight_stride(queue_size, packed);
}

/* Takes the descriptor, if it succeeds. */
static int area_map(int fd, uint64_t size, const struct inflight_area *what,
		    struct inflight_area **ret, const char **why)
{
	struct inflight_area *area = calloc(1, sizeof(*area));
	struct guest_file file;
	int r;

	if (!area) {
		*why = "there is no memory left";
		return -ENOMEM;
	}
	r = guest_file_map(fd, what->offset, size, false, &file, why);
	if (r < 0) {
		free(area);
		return r;
	}
	*area = *what;
	area->refs = 1;
	area->fd = fd;
	area->addr = file.addr;
	area->map = file.map;
	area->map_len = file.map_len;
	area->dead = file.dead;
	*ret = area;
	return 0;
}

int inflight_area_new(uint16_t num_queues, uint16_t queue_size, bool packed,
		      struct inflight_area **ret)
{
	struct inflight_area what = {
		.num_queues = num_queues, .queue_size = queue_size, .packed = packed,
	};
	_cleanup_close_ int fd = -1;
	const char *why;
	int r;

	what.size = area_size(num_queues, queue_size, packed, &why);
	if (!what.size)
		return -EINVAL;
	fd = memfd_create("vhost-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)what.size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	r = area_map(fd, what.size, &what, ret, &why);
	if (r == 0)
		(void)TAKE_FD(fd);
	return r;
}

int inflight_area_open(int fd, uint64_t size, uint64_t offset, uint16_t num_queues,
		       uint16_t queue_size, bool packed, struct inflight_area **ret,
		       const char **why)
{
	struct inflight_area what = {
		.size = size, .offset = offset,
		.num_queues = num_queues, .queue_size = queue_size, .packed = packed,
	};
	uint64_t needed = area_size(num_queues, queue_size, packed, why);
	_cleanup_close_ int ours = -1;
	int r;

	if (!needed)
		return -EINVAL;
	if (size < needed) {
		*why = "it is too small for so many queues of that size";
		return -EINVAL;
	}
	if (offset % sizeof(uint64_t)) {
		*why = "its offset is not aligned to 8 bytes";
		return -EINVAL;
	}
	ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (ours < 0) {
		*why = "its file descriptor could not be duplicated (see RLIMIT_NOFILE)";
		return -errno;
	}
	r = area_map(ours, size, &what, ret, why);
	if (r == 0)
		(void)TAKE_FD(ours);
	return r;
}

struct inflight_area *inflight_area_ref(struct inflight_area *area)
{
	__atomic_add_fetch(&area->refs, 1, __ATOMIC_RELAXED);
	return area;
}

void inflight_area_unref(struct inflight_area *area)
{
	if (!area || __atomic_sub_fetch(&area->refs, 1, __ATOMIC_ACQ_REL))
		return;
	guest_file_unmap(area->map, area->map_len, area->dead);
	close_fd(&area->fd);
	free(area);
}

void *inflight_area_queue(const struct inflight_area *area, unsigned int index)
{
	if (index >= area->num_queues)
		return NULL;
	return area->addr + index * inflight_stride(area->queue_size, area->packed);
}
