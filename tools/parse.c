/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"

int parse_size(const char *text, uint64_t *ret)
{
	static const char suffixes[] = "KMGT";
	unsigned long long value;
	unsigned int shift = 0;
	const char *s;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno)
		return -EINVAL;
	if (*end) {
		char c = *end >= 'a' ? (char)(*end - 'a' + 'A') : *end;

		s = strchr(suffixes, c);
		if (!s)
			return -EINVAL;
		shift = 10 * (unsigned int)(s - suffixes + 1);
		end++;
		if (!strcmp(end, "iB"))
			end += 2;
		if (*end)
			return -EINVAL;
	}
	if (value > UINT64_MAX >> shift)
		return -EINVAL;
	*ret = (uint64_t)value << shift;
	return 0;
}

int parse_mac(const char *text, uint8_t ret[6])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t mac[6] = { 0 };

	if (strlen(text) != 17)
		return -EINVAL;
	for (int i = 0; i < 17; i++) {
		char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
		const char *d = strchr(digits, c);

		if (i % 3 == 2 ? c != ':' : !d)
			return -EINVAL;
		if (i % 3 != 2)
			mac[i / 3] = (uint8_t)(mac[i / 3] << 4 | (d - digits));
	}
	memcpy(ret, mac, sizeof(mac));
	return 0;
}
