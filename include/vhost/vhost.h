/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: libvhost - virtio data planes over vhost, vhost-user and vDPA
 *
 * This header brings in all of the library's. The rules that hold for every
 * call (threads, ownership, errors) are in vhost(7).
 */
#ifndef VHOST_VHOST_H
#define VHOST_VHOST_H

#include <vhost/version.h>
#include <vhost/mem.h>
#include <vhost/virtq.h>
#include <vhost/trace.h>
#include <vhost/dev.h>
#include <vhost/user.h>
#include <vhost/net.h>
#include <vhost/scsi.h>
#include <vhost/vdpa.h>
#include <vhost/vsock.h>
#include <vhost/worker.h>
#include <vhost/vring.h>
#include <vhost/backend.h>
#include <vhost/names.h>

#endif
