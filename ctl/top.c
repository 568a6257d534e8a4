/* SPDX-License-Identifier: MIT
 *
 * top: the terminal and the loop. Signals are taken only while waiting, so that
 * the terminal is always put back before they do their work.
 */
#include "ctl/top.h"

#include <curses.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <unistd.h>

#include "ctl/ctl.h"

static volatile sig_atomic_t ended_by, resized, resumed;

static void on_signal(int sig)
{
	if (sig == SIGWINCH)
		resized = 1;
	else if (sig == SIGCONT)
		resumed = 1;
	else
		ended_by = sig;
}

static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGCONT };

/* Blocks what the handlers take; *ret is the mask to wait with. */
static void take_signals(sigset_t *ret)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t block;

	sigemptyset(&block);
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
		sigaddset(&block, taken[i]);
		sigaction(taken[i], &sa, NULL);
	}
	sigprocmask(SIG_BLOCK, &block, ret);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		sigdelset(ret, taken[i]);
}

/* Colour pairs by look; plain and bold use none, so that the terminal's own colours stay. */
static void start_colours(bool want)
{
	if (!want || !has_colors())
		return;
	start_color();
	use_default_colors();
	init_pair(GF_LOOK_GOOD, COLOR_GREEN, -1);
	init_pair(GF_LOOK_WARN, COLOR_YELLOW, -1);
	init_pair(GF_LOOK_BAD, COLOR_RED, -1);
}

static attr_t attr_of(const struct gf_cell *cell, bool colour, short *ret_pair)
{
	attr_t a = A_NORMAL;

	*ret_pair = 0;
	switch (cell->look) {
	case GF_LOOK_HEAD:
		a = A_BOLD;
		break;
	case GF_LOOK_DIM:
		a = A_DIM;
		break;
	case GF_LOOK_GOOD:
	case GF_LOOK_WARN:
	case GF_LOOK_BAD:
		/* On an inverted row colours would be blocks; there boldness says it. */
		if (colour && !cell->invert)
			*ret_pair = cell->look;
		else if (cell->look != GF_LOOK_GOOD)
			a = A_BOLD;
		break;
	default:
		break;
	}
	return cell->invert ? a | A_REVERSE : a;
}

static void show(const struct gf_canvas *c, bool colour)
{
	for (int r = 0; r < c->rows; r++)
		for (int i = 0; i < c->cols; i++) {
			const struct gf_cell *cell = &c->cell[(size_t)r * (size_t)c->cols + (size_t)i];
			wchar_t text[2] = { cell->ch, 0 };
			short pair;
			attr_t a = attr_of(cell, colour, &pair);
			cchar_t cc;
			if (!cell->ch)
				continue;
			setcchar(&cc, text, a, pair, NULL);
			mvadd_wch(r, i, &cc);
		}
	refresh();
}

/* The terminal's key as ours; -1: none for us. */
static int translate(int rc, wint_t key)
{
	if (rc == KEY_CODE_YES)
		switch (key) {
		case KEY_UP: return GF_TK_UP;
		case KEY_DOWN: return GF_TK_DOWN;
		case KEY_PPAGE: return GF_TK_PGUP;
		case KEY_NPAGE: return GF_TK_PGDN;
		case KEY_HOME: return GF_TK_HOME;
		case KEY_END: return GF_TK_END;
		case KEY_ENTER: return GF_TK_ENTER;
		case KEY_BACKSPACE: return GF_TK_BACKSPACE;
		default: return -1;
		}
	switch (key) {
	case '\n': case '\r': return GF_TK_ENTER;
	case 27: return GF_TK_ESC;
	case '\t': return GF_TK_TAB;
	case 8: case 127: return GF_TK_BACKSPACE;
	default: return key < 0x110000 ? (int)key : -1;
	}
}

static bool read_keys(struct gf_top *t)
{
	wint_t key;
	bool any = false;
	int rc;

	while ((rc = get_wch(&key)) != ERR) {
		int k = translate(rc, key);
		if (k >= 0)
			gf_top_key(t, k);
		any = true;
	}
	return any;
}

static void resize(struct gf_canvas *c)
{
	struct winsize ws;

	if (resized && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_row && ws.ws_col)
		resizeterm(ws.ws_row, ws.ws_col);
	if (resized || resumed)
		clearok(stdscr, TRUE);
	if (resized || c->rows != LINES || c->cols != COLS)
		gf_canvas_resize(c, LINES, COLS);
	resized = resumed = 0;
}

static void loop(struct gf_top *t, bool colour, const sigset_t *mask)
{
	struct gf_canvas c = { 0 };
	bool old = true;

	resized = 1;
	while (!t->quit && !ended_by) {
		struct pollfd p[2] = { { STDIN_FILENO, POLLIN, 0 }, { -1, POLLIN, 0 } };
		int ms = gf_top_wait_ms(t);
		struct timespec wait = { ms / 1000, (long)(ms % 1000) * 1000000 };

		if (resized || resumed) {
			resize(&c);
			old = true;
		}
		if (old && c.cell) {
			gf_top_draw(t, &c);
			show(&c, colour);
		}
		p[1].fd = t->asking >= 0 ? t->c.fd : -1;
		if (ppoll(p, 2, &wait, mask) < 0 && errno != EINTR)
			break;
		if (p[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			break; /* the terminal is gone */
		old = read_keys(t);
		old |= gf_top_step(t);
	}
	gf_canvas_deinit(&c);
}

/* Whether the terminal's type is known and its cursor can be moved. */
static bool can_show(void)
{
	int status;
	bool can = setupterm(NULL, STDOUT_FILENO, &status) != ERR && cursor_address;

	if (cur_term)
		del_curterm(cur_term);
	return can;
}

static int screen(struct gf_ctl *ctl, struct gf_top *t)
{
	const char *term = getenv("TERM");
	const char *no = getenv("NO_COLOR"), *when = ctl->val[GF_O_COLOR];
	bool colour = when && !strcmp(when, "always") ? true : ctl->colour && !(no && *no);
	sigset_t mask;
	SCREEN *scr;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return gf_ctl_misuse(ctl, "top needs a terminal; `gpufasctl top --once` prints one screen as text");
	if (!term || !*term || !strcmp(term, "dumb"))
		return gf_ctl_misuse(ctl, "this terminal (TERM=%s) cannot show a screen; use `gpufasctl status` or `gpufasctl top --once`",
				     term ? term : "");
	if (!can_show())
		return gf_ctl_misuse(ctl, "the terminal type %s cannot show a screen or is not known here; use `gpufasctl status` or `gpufasctl top --once`", term);
	take_signals(&mask);
	set_escdelay(25);
	scr = newterm(NULL, stdout, stdin);
	if (!scr)
		return gf_ctl_fail(GF_EXIT_NO, "the terminal cannot be set up");
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	start_colours(colour);
	loop(t, colour, &mask);
	endwin();
	delscreen(scr);
	if (ended_by) { /* end as the signal wants, with the terminal put back */
		signal(ended_by, SIG_DFL);
		sigprocmask(SIG_SETMASK, &mask, NULL);
		raise(ended_by);
	}
	return GF_EXIT_OK;
}

/* Runs the conversation until a round is complete. */
static int one_round(struct gf_top *t)
{
	for (;;) {
		struct pollfd p = { t->c.fd, POLLIN, 0 };
		if (gf_top_step(t))
			return t->gone ? gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", t->trouble) : GF_EXIT_OK;
		p.fd = t->asking >= 0 ? t->c.fd : -1;
		if (poll(&p, 1, gf_top_wait_ms(t)) < 0 && errno != EINTR)
			return gf_ctl_fail(GF_EXIT_NO, "%s", strerror(errno));
	}
}

static int size_from(const char *name, int otherwise, int least, int most)
{
	const char *s = getenv(name);
	double v;

	return s && gf_ctl_number(s, least, most, &v) ? (int)v : otherwise;
}

static int once(struct gf_top *t)
{
	struct gf_canvas c = { 0 };
	int rc;

	/* Shares of CPU time take two looks. */
	t->delay_s = fmin(t->delay_s, 0.5);
	rc = one_round(t);
	if (!rc)
		rc = one_round(t);
	if (rc)
		return rc;
	if (gf_canvas_resize(&c, size_from("LINES", 40, 14, GF_CANVAS_MAX_ROWS), size_from("COLUMNS", 100, 60, GF_CANVAS_MAX_COLS)))
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	gf_top_draw(t, &c);
	c.rows--; /* the keys are of no use on paper */
	gf_canvas_print(&c, stdout);
	gf_canvas_deinit(&c);
	return GF_EXIT_OK;
}

int gf_cmd_top(struct gf_ctl *ctl)
{
	struct gf_top t;
	double delay = 1;
	const char *sort = ctl->val[GF_O_SORT];
	int rc;

	if (ctl->val[GF_O_DELAY] && !gf_ctl_number(ctl->val[GF_O_DELAY], 0.1, 3600, &delay))
		return gf_ctl_misuse(ctl, "--delay is a number of seconds from 0.1 to 3600, not `%s`", ctl->val[GF_O_DELAY]);
	gf_top_init(&t, ctl->socket, ctl->val[GF_O_TARGET], delay);
	for (int i = 0; sort && i < GF_TC_COUNT; i++)
		if (!strcmp(gf_top_columns[i].field, sort)) {
			t.sort = (enum gf_top_column)i;
			sort = NULL;
		}
	if (sort)
		return gf_ctl_misuse(ctl, "top has no column `%s`: it sorts by pid, uid, comm, state, cpu, rss, swap, cputime, age, threads, nice, oom_score_adj", sort);
	rc = ctl->val[GF_O_ONCE] ? once(&t) : screen(ctl, &t);
	gf_top_deinit(&t);
	return rc;
}
