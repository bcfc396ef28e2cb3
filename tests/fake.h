/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A transport that is only a table: it counts what reaches it, answers at once or when
 * told to, and says yes or no as the test wants.
 */
#ifndef LIBVHOST_TESTS_FAKE_H
#define LIBVHOST_TESTS_FAKE_H

#include "transport/transport.h"

enum fake_slot {
	FAKE_GET_FEATURES,
	FAKE_SET_FEATURES,
	FAKE_SET_STATUS,
	FAKE_GET_CONFIG,
	FAKE_MEM_ADD,
	FAKE_MEM_REMOVE,
	FAKE_START,
	FAKE_STOP,
	FAKE_RESET,
	FAKE_VQ_ENABLE,
	FAKE_LOST,
	FAKE_SLOTS
};

struct fake {
	struct vhost_dev dev;
	unsigned int calls[FAKE_SLOTS];
	int fail[FAKE_SLOTS];		/* what the slot returns, with nothing sent */
	int refuse[FAKE_SLOTS];		/* what its answer is */
	bool later;			/* answers come when waited for */
	struct {
		struct vhost_op *op;
		int status;
	} answers[32];
	unsigned int n_answers;
};

/* A device behind the fake; @bare has nothing but what every transport has. */
struct fake *fake_new(bool bare);

/* Give the answers that are to come. */
void fake_answer(struct fake *f);

#endif
