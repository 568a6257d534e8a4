/* SPDX-License-Identifier: MIT
 *
 * What a QEMU monitor says. The first byte of the input chooses:
 *   m   the text of `info mtree -f`
 *   g   after a greeting as it should be: answers and events, asked for as a keeper does
 *   any other: all that the peer ever sends
 * Pieces of memory are whole pages, ascending, disjoint; nothing is waited for.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "targets/qmp_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct gf_ram_piece *p, size_t n, bool disjoint)
{
	for (size_t i = 0; i < n; i++) {
		assert(p[i].size && (p[i].gpa | p[i].size) % 4096 == 0 && p[i].gpa + p[i].size <= 1ull << 52);
		assert(!i || p[i].gpa >= p[i - 1].gpa + (disjoint ? p[i - 1].size : 0));
	}
}

static void mtree(const char *text)
{
	struct gf_ram_piece p[4];
	struct gf_err err;
	size_t n = 0;

	if (gf_mtree_parse(text, "m", p, 4, &n, &err) == 0) {
		assert(n && n <= 4);
		check(p, n, true);
	}
}

static void say(int fd, const void *s, size_t n)
{
	if (send(fd, s, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* more than fits is cut, as by a peer that dies */
}

static void talk(const uint8_t *data, size_t size, bool greet)
{
	static const char hello[] = "{\"QMP\": {}}\n{\"return\": {}, \"id\": 1}\n";
	struct gf_qmp_guest g;
	struct gf_err err;
	struct gf_qmp *q;
	uint64_t cr3;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		abort();
	if (greet)
		say(fd[1], hello, sizeof hello - 1);
	say(fd[1], data, size);
	shutdown(fd[1], SHUT_WR);
	if (gf_qmp_open(fd[0], "fuzz", 1000, &q, &err) == 0) {
		q->pid = 0; /* this process is no QEMU: its memory is not to be looked for */
		if (gf_qmp_guest(q, &g, &err) == 0) {
			assert(g.pieces && g.pieces <= GF_QMP_PIECES);
			check(g.piece, g.pieces, false);
			gf_qmp_guest_close(&g);
		}
		gf_qmp_cr3(q, &cr3, &err);
		while (gf_qmp_next(q, 1000) != GF_QMP_GONE)
			;
		gf_qmp_close(q);
	}
	close(fd[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (*data == 'm') {
		char *text = malloc(size);

		memcpy(text, data + 1, size - 1);
		text[size - 1] = 0;
		mtree(text);
		free(text);
	} else {
		talk(*data == 'g' ? data + 1 : data, *data == 'g' ? size - 1 : size, *data == 'g');
	}
	return 0;
}
