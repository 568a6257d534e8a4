/* SPDX-License-Identifier: MIT */
#include "daemon/eventjson.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "compiler/compiler.h"
#include "grammar/parser.h" /* gf_utf8_len */
#include "targets/vm.h"

static const char *name_of(const char *const *names, size_t n, unsigned i)
{
	return i < n && names[i] ? names[i] : "unknown";
}
#define NAME_OF(names, i) name_of(names, sizeof(names) / sizeof *(names), i)

const char *gf_tri_name(uint8_t truth)
{
	static const char *const names[] = { "false", "unknown", "true" };
	return NAME_OF(names, truth);
}

const char *gf_why_name(uint8_t why)
{
	static const char *const names[GF_WHY_COUNT] = {
		[GF_WHY_CHOSEN] = "chosen", [GF_WHY_RANKED_LOWER] = "ranked-lower", [GF_WHY_AVOIDED] = "avoided",
		[GF_WHY_NOT_PREFERRED] = "not-preferred", [GF_WHY_PID1] = "init", [GF_WHY_KTHREAD] = "kernel-thread",
		[GF_WHY_SELF] = "self", [GF_WHY_EXITING] = "exiting", [GF_WHY_TORN] = "torn",
		[GF_WHY_OOM_IMMUNE] = "oom-immune", [GF_WHY_PROTECTED] = "protected", [GF_WHY_WHERE] = "not-where",
		[GF_WHY_CONDEMNED] = "condemned", [GF_WHY_KEY_UNKNOWN] = "key-unknown",
	};
	return NAME_OF(names, why);
}

const char *gf_held_back_name(uint8_t hb)
{
	static const char *const names[] = {
		[GF_HB_NONE] = "none", [GF_HB_COOLDOWN] = "cooldown", [GF_HB_LIMIT] = "limit",
		[GF_HB_SETTLE] = "settle", [GF_HB_BUDGET] = "budget", [GF_HB_STALE] = "stale",
		[GF_HB_BUSY] = "busy",
	};
	return NAME_OF(names, hb);
}

const char *gf_event_kind_name(uint8_t kind)
{
	static const char *const names[] = {
		[GF_EV_ACTION] = "action", [GF_EV_NO_VICTIM] = "no-victim", [GF_EV_HELD_BACK] = "held-back",
		[GF_EV_SKIPPED] = "skipped", [GF_EV_RESULT] = "result", [GF_EV_RULE_ON] = "rule-on",
		[GF_EV_RULE_OFF] = "rule-off", [GF_EV_MISSED] = "missed", [GF_EV_DAEMON] = "daemon",
	};
	return NAME_OF(names, kind);
}

const char *gf_time_text(uint64_t wall_ns, char *buf, size_t n)
{
	time_t t = (time_t)(wall_ns / 1000000000u);
	char day[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, n, "%s.%09uZ", day, (unsigned)(wall_ns % 1000000000u));
	return buf;
}

const char *gf_signal_text(int sig, char *buf, size_t n)
{
	const char *s = gf_signal_name(sig);

	if (s)
		snprintf(buf, n, "%s", s);
	else
		snprintf(buf, n, "signal %d", sig);
	return buf;
}

static const struct gf_rule *rule_of(const struct gf_event *ev, const struct gf_image_header *img)
{
	return img && ev->rule < img->sec[GF_SEC_RULE].count ? &GF_SEC(struct gf_rule, img, GF_SEC_RULE)[ev->rule] : NULL;
}

const char *gf_event_rule(const struct gf_event *ev, const struct gf_image_header *img)
{
	const struct gf_rule *r = rule_of(ev, img);
	return r ? gf_image_str(img, r->name) : "";
}

const struct gf_step *gf_event_step(const struct gf_event *ev, const struct gf_image_header *img)
{
	const struct gf_rule *r = rule_of(ev, img);
	bool has = ev->kind == GF_EV_ACTION || ev->kind == GF_EV_SKIPPED || ev->kind == GF_EV_RESULT ||
		   ev->kind == GF_EV_NO_VICTIM;

	return r && has && ev->step < r->steps ? &GF_SEC(struct gf_step, img, GF_SEC_STEP)[r->step + ev->step] : NULL;
}

const char *gf_action_text(const struct gf_image_header *img, const struct gf_step *s, char *buf, size_t n)
{
	static const char *const names[GF_ACT_COUNT] = {
		[GF_ACT_SIGNAL] = "signal", [GF_ACT_RENICE] = "renice", [GF_ACT_LOG] = "log", [GF_ACT_NOTIFY] = "notify",
		[GF_ACT_RUN] = "run", [GF_ACT_FREEZE] = "freeze", [GF_ACT_THAW] = "thaw", [GF_ACT_LIMIT] = "limit",
		[GF_ACT_RESET] = "reset", [GF_ACT_NMI] = "nmi", [GF_ACT_PANIC] = "panic", [GF_ACT_RESTART] = "restart",
	};

	if (s->action == GF_ACT_SIGNAL)
		gf_signal_text(s->arg, buf, n);
	else if (s->action == GF_ACT_RENICE)
		snprintf(buf, n, "renice %+d", s->arg);
	else if (s->action == GF_ACT_LIMIT && s->value == GF_NONE && s->amount < 0)
		snprintf(buf, n, "restore %s", gf_image_str(img, s->text));
	else if (s->action == GF_ACT_RUN || s->action == GF_ACT_LIMIT)
		snprintf(buf, n, "%s %s", NAME_OF(names, s->action), gf_image_str(img, s->text));
	else
		snprintf(buf, n, "%s", NAME_OF(names, s->action));
	return buf;
}

const char *gf_event_notify(const struct gf_event *ev, const struct gf_image_header *img, char *buf, size_t n)
{
	const struct gf_step *s = gf_event_step(ev, img);
	const struct gf_rule *r = rule_of(ev, img);
	uint32_t first, count;
	const char *str = ev->text, *end = ev->text + sizeof ev->text;
	size_t o = 0;

	buf[0] = 0;
	if (!r || ev->kind != GF_EV_ACTION)
		return buf;
	first = s && s->notes ? s->note : r->note;
	count = s && s->notes ? s->notes : r->notes;
	for (uint32_t i = 0; i < count && o < n; i++) {
		const struct gf_note *t = &GF_SEC(struct gf_note, img, GF_SEC_NOTE)[first + i];
		const char *lit = gf_image_str(img, t->text);
		char v[GF_EVENT_TEXT] = "";
		gf_safe_text(lit, strlen(lit), buf + o, n - o);
		o += strlen(buf + o);
		bool known = i < GF_MIN(ev->notes, GF_EVENT_NOTES); /* else the event had no room for it */
		if (t->str && known) {
			size_t len = strnlen(str, (size_t)(end - str));
			gf_safe_text(str, len, v, sizeof v);
			str += len;
			if (str < end)
				str++;
		} else if (t->str || t->prog != GF_NONE) {
			if (!known || gf_is_unknown(ev->note[i]))
				snprintf(v, sizeof v, "unknown");
			else
				gf_value_text(ev->note[i], (enum gf_dim)t->dim, v, sizeof v);
		} else {
			continue;
		}
		if (o < n)
			o += (size_t)snprintf(buf + o, n - o, "%s", v);
	}
	/* the last cut may have gone through a character */
	size_t len = strlen(buf), at = 0;
	while (at < len) {
		size_t l = gf_utf8_len(buf + at, len - at);
		if (!l) {
			buf[at] = 0;
			break;
		}
		at += l;
	}
	return buf;
}

int gf_event_priority(const struct gf_event *ev, const struct gf_image_header *img)
{
	const struct gf_step *s = gf_event_step(ev, img);

	switch (ev->kind) {
	case GF_EV_ACTION:
		if (ev->observed || (s && s->action == GF_ACT_LOG))
			return LOG_NOTICE;
		return LOG_WARNING;
	case GF_EV_NO_VICTIM:
	case GF_EV_MISSED:
		return LOG_WARNING;
	case GF_EV_HELD_BACK:
		return ev->held_back == GF_HB_BUDGET || ev->held_back == GF_HB_STALE ||
				       ev->held_back == GF_HB_BUSY ? LOG_WARNING : LOG_INFO;
	case GF_EV_RESULT:
		for (uint32_t i = 0; i < GF_MIN(ev->count, GF_EVENT_MEMBERS); i++)
			if ((ev->u.member[i].error && ev->u.member[i].error != -ESRCH) || ev->u.member[i].became == GF_BECAME_LOST)
				return LOG_WARNING;
		return LOG_NOTICE;
	case GF_EV_DAEMON:
		return ev->step >= LOG_ERR && ev->step <= LOG_DEBUG ? ev->step : LOG_NOTICE;
	default:
		return LOG_INFO;
	}
}

const char *gf_member_error(const struct gf_event_member *m)
{
	if (m->became == GF_BECAME_REFUSED)
		return gf_refused_text(m->why);
	if (m->became == GF_BECAME_LOST)
		return "the target went away";
	return !m->error ? "" : m->error == -ESRCH ? "gone before" :
	       m->error == -ESTALE ? "another process has this pid now" : strerror(-m->error);
}

/* ---- JSON ------------------------------------------------------------------- */

static void value_text(struct gf_jbuf *b, const char *key, double v, uint8_t dim)
{
	char t[64];
	gf_jbuf_kstr(b, key, gf_is_unknown(v) ? "unknown" : gf_value_text(v, (enum gf_dim)dim, t, sizeof t));
}

void gf_terms_json(const struct gf_event_term *t, uint32_t n, const char *comm, const struct gf_image_header *img,
		   struct gf_jbuf *b)
{
	gf_jbuf_open(b, '[');
	for (uint32_t i = 0; i < GF_MIN(n, GF_EVENT_TERMS); i++) {
		if (!img || t[i].term >= img->sec[GF_SEC_TERM].count)
			continue;
		const struct gf_term *it = &GF_SEC(struct gf_term, img, GF_SEC_TERM)[t[i].term];
		gf_jbuf_open(b, '{');
		gf_jbuf_kstr(b, "text", gf_image_str(img, it->text));
		gf_jbuf_knum(b, "left", t[i].left);
		gf_jbuf_knum(b, "right", t[i].right);
		if (it->str == GF_SF_COMM + 1 && comm) {
			gf_jbuf_key(b, "left_text");
			gf_jbuf_strn(b, comm, strnlen(comm, GF_COMM_LEN));
		} else if (it->values >= 1) {
			value_text(b, "left_text", t[i].left, it->dim);
		} else {
			gf_jbuf_kstr(b, "left_text", "");
		}
		if (it->values >= 2)
			value_text(b, "right_text", t[i].right, it->dim);
		else
			gf_jbuf_kstr(b, "right_text", "");
		gf_jbuf_kstr(b, "truth", gf_tri_name(t[i].truth));
		gf_jbuf_close(b, '}');
	}
	gf_jbuf_close(b, ']');
}

static void by_text(const struct gf_event_rank *k, const struct gf_image_header *img, char *buf, size_t n)
{
	static const char *const kinds[] = { "protect", "unprotect", "prefer", "avoid" };

	buf[0] = 0;
	if (!img || k->by == GF_NONE)
		return;
	if (k->why == GF_WHY_CONDEMNED) {
		if (k->by < img->sec[GF_SEC_RULE].count)
			snprintf(buf, n, "rule %s", gf_image_str(img, GF_SEC(struct gf_rule, img, GF_SEC_RULE)[k->by].name));
	} else if (k->by < img->sec[GF_SEC_CLASS].count) {
		const struct gf_class *c = &GF_SEC(struct gf_class, img, GF_SEC_CLASS)[k->by];
		snprintf(buf, n, "%s %s (%s:%u)", NAME_OF(kinds, c->kind), gf_image_str(img, c->text),
			 gf_image_str(img, c->file), c->line);
	}
}

static void ranks_json(const struct gf_event *ev, const struct gf_step *s, const struct gf_image_header *img, struct gf_jbuf *b)
{
	static const char *const classes[] = { "preferred", "plain", "avoided", "protected" };
	char by[512];

	gf_jbuf_key(b, "ranks");
	gf_jbuf_open(b, '[');
	for (uint32_t i = 0; i < GF_MIN(ev->ranks, GF_EVENT_RANKS); i++) {
		const struct gf_event_rank *k = &ev->u.rank[i];
		gf_jbuf_open(b, '{');
		gf_jbuf_kint(b, "pid", k->pid);
		gf_jbuf_key(b, "comm");
		gf_jbuf_strn(b, k->comm, strnlen(k->comm, GF_COMM_LEN));
		gf_jbuf_kuid(b, k->uid);
		gf_jbuf_knum(b, "key", k->key);
		value_text(b, "key_text", k->key, s ? s->key_dim : GF_DIM_NUM);
		gf_jbuf_kstr(b, "class", NAME_OF(classes, k->klass));
		gf_jbuf_kstr(b, "why", gf_why_name(k->why));
		by_text(k, img, by, sizeof by);
		if (*by)
			gf_jbuf_kstr(b, "by", by);
		gf_jbuf_close(b, '}');
	}
	gf_jbuf_close(b, ']');
	gf_jbuf_key(b, "counts");
	gf_jbuf_open(b, '{');
	gf_jbuf_kuint(b, "candidates", ev->candidates);
	gf_jbuf_kuint(b, "never", ev->never);
	gf_jbuf_kuint(b, "protected", ev->protect);
	gf_jbuf_kuint(b, "where", ev->where);
	gf_jbuf_kuint(b, "condemned", ev->condemned);
	gf_jbuf_kuint(b, "chosen", ev->chosen);
	gf_jbuf_kuint(b, "members", ev->members);
	gf_jbuf_close(b, '}');
}

/* How it went into a target's memory, and what was seen there. */
static void delivery_json(const struct gf_event_member *m, struct gf_jbuf *b)
{
	static const char *const hows[] = {
		[GF_HOW_CALL] = "call", [GF_HOW_STORE] = "store", [GF_HOW_IRQ_WORK] = "irq-work",
		[GF_HOW_LIMIT] = "limit", [GF_HOW_QMP] = "qmp", [GF_HOW_GPU_STORE] = "gpu-store",
		[GF_HOW_GPU_IRQ_WORK] = "gpu-irq-work", [GF_HOW_MODULE] = "module", [GF_HOW_SYSRQ] = "sysrq",
	};
	static const char *const becames[] = {
		[GF_BECAME_UNSEEN] = "unseen", [GF_BECAME_DELIVERED] = "delivered", [GF_BECAME_PENDING] = "pending",
		[GF_BECAME_REFUSED] = "refused", [GF_BECAME_LOST] = "lost",
	};

	gf_jbuf_kstr(b, "how", NAME_OF(hows, m->how));
	gf_jbuf_kstr(b, "became", NAME_OF(becames, m->became));
	gf_jbuf_kuint(b, "tries", m->tries);
}

void gf_member_json(const struct gf_event_member *m, struct gf_jbuf *b)
{
	gf_jbuf_open(b, '{');
	gf_jbuf_kint(b, "pid", m->pid);
	gf_jbuf_kstr(b, "error", gf_member_error(m));
	gf_jbuf_key(b, "exit_us");
	if (m->exit_us == GF_NONE)
		gf_jbuf_null(b);
	else
		gf_jbuf_uint(b, m->exit_us);
	if (m->how != GF_HOW_CALL)
		delivery_json(m, b);
	gf_jbuf_close(b, '}');
}

static void members_json(const struct gf_event *ev, struct gf_jbuf *b)
{
	gf_jbuf_key(b, "members");
	gf_jbuf_open(b, '[');
	for (uint32_t i = 0; i < GF_MIN(ev->count, GF_EVENT_MEMBERS); i++)
		gf_member_json(&ev->u.member[i], b);
	gf_jbuf_close(b, ']');
}

static void victim_json(const struct gf_event *ev, struct gf_jbuf *b)
{
	if (ev->pid <= 0)
		return;
	gf_jbuf_kint(b, "pid", ev->pid);
	gf_jbuf_key(b, "comm");
	gf_jbuf_strn(b, ev->comm, strnlen(ev->comm, GF_COMM_LEN));
	gf_jbuf_kuid(b, ev->uid);
	gf_jbuf_kuint(b, "start_ns", ev->start_ns);
}

void gf_event_json(const struct gf_event *ev, const struct gf_image_header *img, const char *target, bool named,
		   struct gf_jbuf *b)
{
	const struct gf_step *s = gf_event_step(ev, img);
	const char *rule = gf_event_rule(ev, img);
	char t[64], text[1024];

	gf_jbuf_open(b, '{');
	gf_jbuf_kuint(b, "seq", ev->seq);
	gf_jbuf_kstr(b, "time", gf_time_text(ev->wall_ns, t, sizeof t));
	if (target)
		gf_jbuf_kstr(b, "target", target);
	gf_jbuf_kstr(b, "kind", gf_event_kind_name(ev->kind));
	if (*rule)
		gf_jbuf_kstr(b, "rule", rule);
	if (s) {
		gf_jbuf_kstr(b, "step", gf_image_str(img, s->shown));
		gf_jbuf_kstr(b, "action", gf_action_text(img, s, text, sizeof text));
	}
	gf_jbuf_kbool(b, "observed", ev->observed);
	gf_jbuf_kstr(b, "sentence", gf_event_sentence_of(ev, img, named ? target : NULL, text, sizeof text));
	victim_json(ev, b);
	if (ev->kind == GF_EV_HELD_BACK)
		gf_jbuf_kstr(b, "held_back", gf_held_back_name(ev->held_back));
	if (ev->terms && ev->kind != GF_EV_RESULT && ev->kind != GF_EV_DAEMON) {
		gf_jbuf_key(b, "terms");
		gf_terms_json(ev->term, ev->terms, ev->pid > 0 ? ev->comm : NULL, img, b);
	}
	if (ev->kind == GF_EV_ACTION || ev->kind == GF_EV_NO_VICTIM)
		ranks_json(ev, s, img, b);
	if (ev->kind == GF_EV_RESULT)
		members_json(ev, b);
	if (ev->kind == GF_EV_MISSED)
		gf_jbuf_kuint(b, "count", ev->count);
	else if (ev->count && ev->kind == GF_EV_ACTION)
		gf_jbuf_kuint(b, "no_room", ev->count);
	else if (ev->count && ev->kind != GF_EV_RESULT && ev->kind != GF_EV_DAEMON)
		gf_jbuf_kuint(b, "unsaid", ev->count);
	if (ev->about)
		gf_jbuf_kuint(b, "about", ev->about);
	if (*gf_event_notify(ev, img, text, sizeof text))
		gf_jbuf_kstr(b, "notify", text);
	if (ev->kind == GF_EV_ACTION)
		gf_jbuf_knum(b, "decide_us", ev->decide_ns / 1e3);
	gf_jbuf_close(b, '}');
}

static void rule_state_json(const struct gf_rule_view *v, uint64_t now_ns, struct gf_jbuf *b)
{
	static const char *const phases[] = { "idle", "steps", "settle", "cooldown" };

	gf_jbuf_kstr(b, "truth", gf_tri_name(v->truth));
	gf_jbuf_kstr(b, "phase", NAME_OF(phases, v->phase));
	gf_jbuf_knum(b, "closeness", v->close);
	gf_jbuf_key(b, "closest");
	if (v->close_pid > 0) {
		gf_jbuf_open(b, '{');
		gf_jbuf_kint(b, "pid", v->close_pid);
		gf_jbuf_key(b, "comm");
		gf_jbuf_strn(b, v->close_comm, strnlen(v->close_comm, GF_COMM_LEN));
		gf_jbuf_close(b, '}');
	} else {
		gf_jbuf_null(b);
	}
	gf_jbuf_kuint(b, "true_rows", v->true_rows);
	gf_jbuf_kuint(b, "fired", v->fired);
	gf_jbuf_knum(b, "last_ago_s", v->last_ns && now_ns >= v->last_ns ? (double)(now_ns - v->last_ns) / 1e9 : gf_unknown());
	gf_jbuf_knum(b, "due_in_s", v->due_in_ns ? (double)v->due_in_ns / 1e9 : gf_unknown());
}

void gf_rule_json(const struct gf_rule_view *v, uint32_t rule, const struct gf_image_header *img, uint64_t now_ns,
		  struct gf_jbuf *b)
{
	const struct gf_rule *r = &GF_SEC(struct gf_rule, img, GF_SEC_RULE)[rule];

	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "name", gf_image_str(img, r->name));
	gf_jbuf_kstr(b, "title", gf_image_str(img, r->title));
	gf_jbuf_kstr(b, "file", gf_image_str(img, r->file));
	gf_jbuf_kuint(b, "line", r->line);
	gf_jbuf_kstr(b, "text", gf_image_str(img, r->text));
	gf_jbuf_kbool(b, "observe", r->flags & GF_RULE_OBSERVE);
	rule_state_json(v, now_ns, b);
	gf_jbuf_key(b, "steps");
	gf_jbuf_open(b, '[');
	for (uint32_t i = 0; i < r->steps; i++)
		gf_jbuf_str(b, gf_image_str(img, GF_SEC(struct gf_step, img, GF_SEC_STEP)[r->step + i].shown));
	gf_jbuf_close(b, ']');
	gf_jbuf_key(b, "terms");
	gf_terms_json(v->term, v->terms, v->close_pid > 0 ? v->close_comm : NULL, img, b);
	gf_jbuf_close(b, '}');
}
