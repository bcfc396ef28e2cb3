/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The README's program: write a sector of a disk to the standard output. */
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <vhost/vhost.h>

int main(int argc, char **argv)
{
	vhost_dev_t *dev = NULL;
	vhost_mem_t *mem = NULL;
	vhost_virtq_t *vq = NULL;
	struct vhost_virtq_opts opts = { .size = 64, .features = 1ULL << 32 /* VIRTIO_F_VERSION_1 */ };
	struct vhost_virtq_layout layout;
	struct vhost_virtq_done done;
	uint64_t iova;
	int n;

	if (argc < 2)
		return fprintf(stderr, "usage: %s ADDRESS [SECTOR]\n", argv[0]), 2;
	if (vhost_dev_open(argv[1], NULL, 0, &dev) < 0 ||
	    vhost_dev_set_features(dev, opts.features) < 0 ||
	    vhost_dev_iova_alloc(dev, 1 << 20, 0, &iova) < 0 ||
	    vhost_mem_new(1 << 20, 0, iova, &mem) < 0 || vhost_dev_mem_add_mem(dev, mem) < 0 ||
	    vhost_virtq_new(mem, &opts, sizeof(opts), &vq) < 0 ||
	    vhost_dev_vq_attach(dev, 0, vq) < 0 || vhost_dev_start(dev) < 0)
		return fprintf(stderr, "%s\n", vhost_last_error()), 1;

	struct virtio_blk_outhdr *hdr = vhost_mem_alloc(mem, sizeof(*hdr), 16);
	unsigned char *data = vhost_mem_alloc(mem, 513, 512);	/* a sector, then the status */

	hdr->type = VIRTIO_BLK_T_IN;
	hdr->sector = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	data[512] = 255;
	struct vhost_sg sg[] = { { vhost_mem_to_iova(mem, hdr), sizeof(*hdr), 0 },
				 { vhost_mem_to_iova(mem, data), 513, 0 } };
	vhost_virtq_add(vq, &(struct vhost_virtq_req){ .sg = sg, .out = 1, .in = 1 }, 1);
	vhost_virtq_kick(vq);
	vhost_virtq_layout(vq, &layout, sizeof(layout));
	while ((n = vhost_virtq_get(vq, &done, 1)) == 0)
		if (poll(&(struct pollfd){ layout.call_fd, POLLIN, 0 }, 1, 5000) <= 0)
			break;
	vhost_dev_stop(dev);
	bool ok = n == 1 && data[512] == VIRTIO_BLK_S_OK;

	if (ok)
		fwrite(data, 1, 512, stdout);
	else
		fprintf(stderr, "the sector could not be read\n");
	vhost_dev_unref(dev);
	vhost_virtq_unref(vq);
	vhost_mem_unref(mem);
	return !ok;
}
