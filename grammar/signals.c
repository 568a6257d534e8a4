/* SPDX-License-Identifier: MIT
 *
 * Signals by name, as `kill -l` lists them.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "grammar/ast.h"

static const struct {
	int number;
	const char *name;
} table[] = {
	{ SIGHUP, "SIGHUP" },   { SIGINT, "SIGINT" },   { SIGQUIT, "SIGQUIT" },     { SIGILL, "SIGILL" },
	{ SIGTRAP, "SIGTRAP" }, { SIGABRT, "SIGABRT" }, { SIGBUS, "SIGBUS" },       { SIGFPE, "SIGFPE" },
	{ SIGKILL, "SIGKILL" }, { SIGUSR1, "SIGUSR1" }, { SIGSEGV, "SIGSEGV" },     { SIGUSR2, "SIGUSR2" },
	{ SIGPIPE, "SIGPIPE" }, { SIGALRM, "SIGALRM" }, { SIGTERM, "SIGTERM" },     { SIGSTKFLT, "SIGSTKFLT" },
	{ SIGCHLD, "SIGCHLD" }, { SIGCONT, "SIGCONT" }, { SIGSTOP, "SIGSTOP" },     { SIGTSTP, "SIGTSTP" },
	{ SIGTTIN, "SIGTTIN" }, { SIGTTOU, "SIGTTOU" }, { SIGURG, "SIGURG" },       { SIGXCPU, "SIGXCPU" },
	{ SIGXFSZ, "SIGXFSZ" }, { SIGVTALRM, "SIGVTALRM" }, { SIGPROF, "SIGPROF" }, { SIGWINCH, "SIGWINCH" },
	{ SIGIO, "SIGIO" },     { SIGPWR, "SIGPWR" },   { SIGSYS, "SIGSYS" },
	/* second names, after the first ones */
	{ SIGIOT, "SIGIOT" },   { SIGPOLL, "SIGPOLL" }, { SIGCHLD, "SIGCLD" },
};
#define NAMED (sizeof table / sizeof *table)

/* Both forms of every name, for gf_nearest; and the real-time ones as bash's kill -l has them. */
static char forms[NAMED + 64][16];
static const char *names[2 * (NAMED + 64)];
static size_t name_count;
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

static void rt_name(int signo, char *buf, size_t n)
{
	int lo = SIGRTMIN, hi = SIGRTMAX;
	if (signo == lo)
		snprintf(buf, n, "SIGRTMIN");
	else if (signo == hi)
		snprintf(buf, n, "SIGRTMAX");
	else if (signo - lo <= (hi - lo) / 2)
		snprintf(buf, n, "SIGRTMIN+%d", signo - lo);
	else
		snprintf(buf, n, "SIGRTMAX-%d", hi - signo);
}

static void fill_names(void)
{
	size_t n = 0, form = 0;
	for (size_t i = 0; i < NAMED; i++)
		names[n++] = table[i].name;
	for (int s = SIGRTMIN; s <= SIGRTMAX && form < sizeof forms / sizeof *forms; s++) {
		rt_name(s, forms[form], sizeof forms[form]);
		names[n++] = forms[form++];
	}
	for (size_t i = 0, with = n; i < with; i++)
		names[n++] = names[i] + 3;
	name_count = n;
}

const char *const *gf_signal_names(size_t *ret_n)
{
	pthread_once(&names_once, fill_names);
	*ret_n = name_count;
	return names;
}

/* "+3" or "-3": the number, or -1. */
static int offset(const char *s, char sign)
{
	if (!*s)
		return 0;
	if (*s != sign || s[1] < '0' || s[1] > '9' || strlen(s) > 3)
		return -1;
	char *end;
	long v = strtol(s + 1, &end, 10);
	return *end ? -1 : (int)v;
}

int gf_signal_number(const char *name)
{
	if (!strncasecmp(name, "SIG", 3))
		name += 3;
	for (size_t i = 0; i < NAMED; i++)
		if (!strcasecmp(name, table[i].name + 3))
			return table[i].number;
	int off, ret = 0;
	if (!strncasecmp(name, "RTMIN", 5) && (off = offset(name + 5, '+')) >= 0)
		ret = SIGRTMIN + off;
	else if (!strncasecmp(name, "RTMAX", 5) && (off = offset(name + 5, '-')) >= 0)
		ret = SIGRTMAX - off;
	return ret >= SIGRTMIN && ret <= SIGRTMAX ? ret : 0;
}

const char *gf_signal_name(int signo)
{
	for (size_t i = 0; i < NAMED; i++)
		if (table[i].number == signo)
			return table[i].name;
	if (signo < SIGRTMIN || signo > SIGRTMAX)
		return NULL;
	pthread_once(&names_once, fill_names);
	return forms[signo - SIGRTMIN];
}
