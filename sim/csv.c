/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "sim/import_int.h"

int im_csv(char *line, size_t len, char **field, int max)
{
	char *p = line, *end = line + len;
	int n = 0;

	while (n < max) {
		char *to = p, *from = p;
		field[n++] = p;
		if (from < end && *from == '"') {
			for (from++;; from++) {
				if (from >= end)
					return -1;
				if (*from == '"' && (from + 1 >= end || from[1] != '"'))
					break;
				if (*from == '"')
					from++;
				*to++ = *from;
			}
			from++;
		}
		while (from < end && *from != ',')
			*to++ = *from++;
		p = from + 1;
		bool more = from < end;
		*to = 0;
		if (!more)
			break;
	}
	return n;
}
