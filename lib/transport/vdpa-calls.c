/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The calls of <vhost/vdpa.h>: what only vDPA has. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include <vhost/vdpa.h>

#include "transport/vdpa.h"

/* Longer than any name that the kernel's vdpa bus takes. */
#define NAME_BYTES 128

VHOST_EXPORT int vhost_vdpa_find(const char *name, char *buf, size_t size)
{
	static const char prefix[] = "vhost-vdpa-";
	char path[64 + NAME_BYTES], node[64] = "", driver[128];
	const char *slash;
	struct dirent *entry;
	ssize_t n;
	DIR *dir;

	if (!name || !*name || strlen(name) >= NAME_BYTES || strchr(name, '/') || name[0] == '.')
		return call_fail(-EINVAL, VHOST_ERR_ARGUMENT,
				 "a vDPA device cannot be called \"%.64s\"", name ? name : "");
	snprintf(path, sizeof(path) - sizeof("/driver"), "/sys/bus/vdpa/devices/%s", name);
	dir = opendir(path);
	if (!dir)
		return call_fail(-ENODEV, VHOST_ERR_CONNECT,
				 "there is no vDPA device %s (vdpa dev show, or vhostctl list, tells "
				 "which there are)", name);
	while (!*node && (entry = readdir(dir)))
		if (strncmp(entry->d_name, prefix, sizeof(prefix) - 1) == 0 &&
		    strlen(entry->d_name) < sizeof(node) - 5)
			snprintf(node, sizeof(node), "/dev/%.58s", entry->d_name);
	closedir(dir);
	if (!*node) {
		strcat(path, "/driver");
		n = readlink(path, driver, sizeof(driver) - 1);
		driver[n > 0 ? n : 0] = '\0';
		slash = strrchr(driver, '/');
		return call_fail(-ENXIO, VHOST_ERR_CONNECT,
				 "the vDPA device %s is bound to %s, and not to vhost_vdpa (modprobe "
				 "vhost_vdpa; vhost-vdpa(7) tells how to bind it)", name,
				 slash ? slash + 1 : "no driver");
	}
	if (!buf || strlen(node) >= size)
		return call_fail(-ENOSPC, VHOST_ERR_ARGUMENT, "%s does not fit into %zu bytes", node,
				 size);
	memcpy(buf, node, strlen(node) + 1);
	return 0;
}

static int check_vdpa(struct vhost_dev *dev)
{
	int r = dev_ready(dev);

	if (!r && dev->ops != &vhost_vdpa_ops)
		r = dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
			     "this needs a vDPA device, and %s is %s", dev->address,
			     dev->transport);
	return r;
}

/* "<", not "<=": the kernel has been lax about the end of its ranges. */
static int check_queue(struct vhost_dev *dev, unsigned int index)
{
	struct vhost_vdpa *v;
	int r = check_vdpa(dev);

	if (r < 0)
		return r;
	v = to_vdpa(dev);
	if (index >= v->n_queues)
		return dev_fail(dev, -EINVAL, VHOST_ERR_LIMIT,
				"queue %u: the device has the queues 0 to %u", index,
				v->n_queues ? v->n_queues - 1 : 0);
	return 0;
}

VHOST_EXPORT int vhost_vdpa_get_queue_size(vhost_dev_t *dev, unsigned int index, uint32_t *ret)
{
	struct kv_vring_state state = { .index = index };
	int r = check_queue(dev, index);

	if (r < 0)
		return r;
	r = kdev_probe(to_kdev(dev), KV_VDPA_GET_VRING_SIZE, &state);
	if (r == -ENOTSUP)
		state.num = to_vdpa(dev)->queue_size;
	else if (r < 0)
		return kdev_fail(to_kdev(dev), r, KV_VDPA_GET_VRING_SIZE, (int)index);
	*ret = state.num;
	return 0;
}

VHOST_EXPORT int vhost_vdpa_get_group(vhost_dev_t *dev, unsigned int index, uint32_t *ret)
{
	int r = check_queue(dev, index);

	if (r < 0)
		return r;
	r = vdpa_get_group(to_vdpa(dev), KV_VDPA_GET_VRING_GROUP, index, ret);
	return r == -ENOTSUP ? dev_fail(dev, r, VHOST_ERR_UNSUPPORTED,
					"queue %u: this kernel or device does not tell its group",
					index) : r;
}

VHOST_EXPORT int vhost_vdpa_get_desc_group(vhost_dev_t *dev, unsigned int index, uint32_t *ret)
{
	struct vhost_vdpa *v;
	int r = check_queue(dev, index);

	if (r < 0)
		return r;
	v = to_vdpa(dev);
	r = has_bf(&v->k, KV_BF_DESC_ASID) ?
	    vdpa_get_group(v, KV_VDPA_GET_VRING_DESC_GROUP, index, ret) : -ENOTSUP;
	return r == -ENOTSUP ? dev_fail(dev, r, VHOST_ERR_UNSUPPORTED,
					"queue %u: the device has its rings where its buffers are",
					index) : r;
}

VHOST_EXPORT int vhost_vdpa_set_group_asid(vhost_dev_t *dev, uint32_t group, uint32_t asid)
{
	struct vhost_vdpa *v;
	uint32_t *all;
	int r = check_vdpa(dev);

	if (r < 0)
		return r;
	if (dev->state != VHOST_DEV_STOPPED)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"a group's address space is chosen before the device starts");
	v = to_vdpa(dev);
	vdpa_learn_groups(v);
	if (group >= v->n_groups || asid >= v->n_as)
		return dev_fail(dev, -EINVAL, VHOST_ERR_LIMIT,
				"group %u in address space %u: the device has %u groups and %u "
				"address spaces, counted from 0", group, asid, v->n_groups, v->n_as);
	all = v->group_asid ? v->group_asid : calloc(v->n_groups, sizeof(*all));
	if (!all)
		return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	v->group_asid = all;
	if (has_bf(&v->k, KV_BF_IOTLB_ASID)) {
		r = kdev_vring(&v->k, KV_VDPA_SET_GROUP_ASID, group, asid);
		if (r < 0)
			return r;
	}
	all[group] = asid;
	return 0;
}

VHOST_EXPORT int vhost_vdpa_set_config_call(vhost_dev_t *dev, int fd)
{
	_cleanup_close_ int dup = -1;
	struct vhost_vdpa *v;
	int r = check_vdpa(dev);

	if (r < 0)
		return r;
	v = to_vdpa(dev);
	if (fd < 0) {
		close_fd(&v->config_user_fd);
		return vdpa_listen_config(v);
	}
	dup = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (dup < 0)
		return dev_fail(dev, -errno, VHOST_ERR_ARGUMENT, "descriptor %d: %s", fd,
				strerror(errno));
	r = kdev_ioctl(&v->k, KV_VDPA_SET_CONFIG_CALL, &dup);
	if (r < 0)
		return r;
	close_fd(&v->config_fd);
	close_fd(&v->config_user_fd);
	v->config_user_fd = TAKE_FD(dup);
	return 0;
}

VHOST_EXPORT int vhost_vdpa_map_doorbell(vhost_dev_t *dev, unsigned int index, void **ret,
					 size_t *ret_size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct vhost_vdpa *v;
	void *addr;
	int r = check_queue(dev, index);

	if (r < 0)
		return r;
	v = to_vdpa(dev);
	if (!v->doorbells)
		v->doorbells = calloc(v->n_queues, sizeof(*v->doorbells));
	if (!v->doorbells)
		return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	addr = v->doorbells[index];
	if (!addr) {
		addr = kdev_sys->mmap(NULL, page, PROT_WRITE, MAP_SHARED, v->k.fd,
				      (off_t)(index * page));
		if (addr == MAP_FAILED && (errno == ENOMEM || errno == EAGAIN))
			return dev_fail(dev, -errno, VHOST_ERR_OTHER,
					"queue %u: its doorbell cannot be mapped: %s", index,
					strerror(errno));
		/* the kernel has several errnos for it, and some that are its own */
		if (addr == MAP_FAILED)
			return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
					"queue %u: the device has no doorbell page for it", index);
		v->doorbells[index] = addr;
	}
	*ret = addr;
	*ret_size = page;
	return 0;
}

static void unmap(struct vhost_vdpa *v, unsigned int index)
{
	if (v->doorbells && v->doorbells[index])
		munmap(v->doorbells[index], (size_t)sysconf(_SC_PAGESIZE));
	if (v->doorbells)
		v->doorbells[index] = NULL;
}

VHOST_EXPORT int vhost_vdpa_unmap_doorbell(vhost_dev_t *dev, unsigned int index)
{
	int r = check_queue(dev, index);

	if (!r)
		unmap(to_vdpa(dev), index);
	return r;
}

void vdpa_doorbells_unmap(struct vhost_vdpa *v)
{
	unsigned int i;

	for (i = 0; v->doorbells && i < v->n_queues; i++)
		unmap(v, i);
	free(v->doorbells);
	v->doorbells = NULL;
}
