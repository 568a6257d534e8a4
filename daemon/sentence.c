/* SPDX-License-Identifier: MIT
 *
 * What happened and why, as one line for a person.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "compiler/compiler.h"
#include "daemon/eventjson.h"
#include "targets/vm.h"

struct line {
	char *p;
	size_t n, size;
};

__attribute__((format(printf, 2, 3)))
static void add(struct line *l, const char *fmt, ...)
{
	char raw[1024];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(raw, sizeof raw, fmt, ap);
	va_end(ap);
	if (n < 0 || l->n >= l->size)
		return;
	/* here, once for all: whatever came in through names of processes and files */
	gf_safe_text(raw, GF_MIN((size_t)n, sizeof raw - 1), l->p + l->n, l->size - l->n);
	l->n += strlen(l->p + l->n);
}

static void add_task(struct line *l, const char *comm, int32_t pid)
{
	char t[GF_COMM_LEN * 4 + 1];

	gf_safe_text(comm, strnlen(comm, GF_COMM_LEN), t, sizeof t);
	add(l, "%s (pid %d)", *t ? t : "a process", pid);
}

/* A value as a person would write it: "50 MiB", where a table says "50.0 MiB". */
static const char *value_text(double v, uint8_t dim, char *buf, size_t n)
{
	if (gf_is_unknown(v)) {
		snprintf(buf, n, "unknown");
		return buf;
	}
	gf_value_text(v, (enum gf_dim)dim, buf, n);
	char *dot = strstr(buf, ".0");
	if (dot && (dot[2] < '0' || dot[2] > '9'))
		memmove(dot, dot + 2, strlen(dot + 2) + 1);
	return buf;
}

static void add_value(struct line *l, double v, uint8_t dim)
{
	char t[64];
	add(l, "%s", value_text(v, dim, t, sizeof t));
}

/* " for 300 ms", or "" */
static const char *hold_text(const struct gf_image_header *img, const struct gf_term *it, char *buf, size_t n)
{
	char t[64];

	buf[0] = 0;
	if (it->hold >= img->sec[GF_SEC_HOLD].count)
		return buf;
	const struct gf_hold *h = &GF_SEC(struct gf_hold, img, GF_SEC_HOLD)[it->hold];
	if (h->kind == GF_HOLD_TIME)
		snprintf(buf, n, " for %s", value_text((double)h->amount, GF_DIM_TIME, t, sizeof t));
	else if (h->kind == GF_HOLD_PERIODS)
		snprintf(buf, n, " for %llu period%s", (unsigned long long)h->amount, h->amount == 1 ? "" : "s");
	return buf;
}

/* "rss > 50 MiB" as "rss 113.6 MiB > 50 MiB". What is more than one plain comparison
 * is shown as written, its values behind it. */
static void add_term(struct line *l, const struct gf_event_term *t, const struct gf_term *it, const char *text)
{
	static const char *const signs[] = { " < ", " <= ", " > ", " >= ", " == ", " != " };
	const char *sign = NULL, *at = NULL;
	size_t found = 0;

	for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
		for (const char *p = text; (p = strstr(p, signs[i])); p++) {
			sign = signs[i];
			at = p;
			found++;
		}
	if (it->values && found == 1 && !strpbrk(text, "\"(")) {
		add(l, "%.*s ", (int)(at - text), text);
		add_value(l, t->left, it->dim);
		add(l, "%s", sign);
		if (it->values > 1 && strchr(at + strlen(sign), '%') && it->dim != GF_DIM_PCT) {
			add(l, "%s (", at + strlen(sign));
			add_value(l, t->right, it->dim);
			add(l, ")");
		} else if (it->values > 1) {
			add_value(l, t->right, it->dim);
		} else {
			add(l, "%s", at + strlen(sign));
		}
		return;
	}
	add(l, "%s", text);
	if (it->values) {
		add(l, " (");
		add_value(l, t->left, it->dim);
		if (it->values > 1) {
			add(l, " against ");
			add_value(l, t->right, it->dim);
		}
		add(l, ")");
	}
}

/* The comparisons that hold, with their values, those of one rule's hold together. */
static void add_terms(struct line *l, const struct gf_event *ev, const struct gf_image_header *img)
{
	const struct gf_event_term *shown[4];
	char hold[4][96];
	uint32_t n = 0;

	for (uint32_t i = 0; img && i < GF_MIN(ev->terms, GF_EVENT_TERMS) && n < 4; i++)
		if (ev->term[i].term < img->sec[GF_SEC_TERM].count && ev->term[i].truth == GF_TRUE)
			shown[n++] = &ev->term[i];
	const struct gf_term *terms = n ? GF_SEC(struct gf_term, img, GF_SEC_TERM) : NULL;
	for (uint32_t i = 0; i < n; i++)
		hold_text(img, &terms[shown[i]->term], hold[i], sizeof hold[i]);
	for (uint32_t i = 0; i < n; i++) {
		const struct gf_term *it = &terms[shown[i]->term];
		add(l, "%s", i ? " and " : ": ");
		add_term(l, shown[i], it, gf_image_str(img, it->text));
		/* a hold over several comparisons is said behind the last of them */
		if (*hold[i] && (i + 1 == n || strcmp(hold[i], hold[i + 1])))
			add(l, "%s%s", i && !strcmp(hold[i], hold[i - 1]) ? "," : "", hold[i]);
	}
}

static const char *reason(uint8_t why)
{
	static const char *const text[GF_WHY_COUNT] = {
		[GF_WHY_CHOSEN] = "chosen", [GF_WHY_RANKED_LOWER] = "ranked lower", [GF_WHY_AVOIDED] = "avoided",
		[GF_WHY_NOT_PREFERRED] = "not preferred", [GF_WHY_PID1] = "an init is never touched",
		[GF_WHY_KTHREAD] = "a kernel thread", [GF_WHY_SELF] = "gpufas itself", [GF_WHY_EXITING] = "exiting already",
		[GF_WHY_TORN] = "could not be read whole", [GF_WHY_OOM_IMMUNE] = "oom_score_adj is -1000",
		[GF_WHY_PROTECTED] = "protected", [GF_WHY_WHERE] = "does not meet where",
		[GF_WHY_CONDEMNED] = "a rule has it already", [GF_WHY_KEY_UNKNOWN] = "its rank is not known",
	};
	return why < GF_WHY_COUNT ? text[why] : "not eligible";
}

/* ", protected by \"comm == ...\"" */
static void add_reason(struct line *l, const struct gf_event_rank *k, const struct gf_image_header *img)
{
	add(l, ", %s", reason(k->why));
	if (!img || k->by == GF_NONE)
		return;
	if (k->why == GF_WHY_CONDEMNED && k->by < img->sec[GF_SEC_RULE].count)
		add(l, ": %s", gf_image_str(img, GF_SEC(struct gf_rule, img, GF_SEC_RULE)[k->by].name));
	else if (k->why == GF_WHY_PROTECTED && k->by < img->sec[GF_SEC_CLASS].count)
		add(l, " by \"%s\"", gf_image_str(img, GF_SEC(struct gf_class, img, GF_SEC_CLASS)[k->by].text));
}

/* Why this one, and who would have been next. */
static void add_ranking(struct line *l, const struct gf_event *ev, const struct gf_step *s, const struct gf_image_header *img)
{
	static const char *const picks[] = {
		[GF_PICK_LARGEST] = "largest", [GF_PICK_SMALLEST] = "smallest",
		[GF_PICK_OLDEST] = "oldest", [GF_PICK_NEWEST] = "newest",
	};
	uint32_t n = GF_MIN(ev->ranks, GF_EVENT_RANKS);
	const struct gf_event_rank *next = NULL, *passed = NULL;

	if (!s || s->pick < GF_PICK_LARGEST || s->pick > GF_PICK_NEWEST || !n || ev->u.rank[0].why != GF_WHY_CHOSEN)
		return;
	add(l, "; %s of %u candidate%s", picks[s->pick], ev->candidates, ev->candidates == 1 ? "" : "s");
	if (s->key != GF_NONE && *gf_image_str(img, s->key_text)) {
		add(l, " by %s (", gf_image_str(img, s->key_text));
		add_value(l, ev->u.rank[0].key, s->key_dim);
		add(l, ")");
	}
	for (uint32_t i = 1; i < n; i++) {
		const struct gf_event_rank *k = &ev->u.rank[i];
		if (k->why == GF_WHY_RANKED_LOWER && !next)
			next = k;
		else if (k->why != GF_WHY_CHOSEN && k->why != GF_WHY_RANKED_LOWER && !passed)
			passed = k;
	}
	if (next) {
		char comm[GF_COMM_LEN * 4 + 1];
		add(l, "; next: %s (pid %d", gf_safe_text(next->comm, strnlen(next->comm, GF_COMM_LEN), comm, sizeof comm), next->pid);
		if (s->key != GF_NONE) {
			add(l, ", ");
			add_value(l, next->key, s->key_dim);
		}
		add(l, ")");
	}
	if (passed) {
		add(l, "; passed over: ");
		add_task(l, passed->comm, passed->pid);
		add_reason(l, passed, img);
	}
}

/* Between an action and whom it is for. */
static const char *preposition(const struct gf_step *s)
{
	switch (s ? s->action : GF_ACT_SIGNAL) {
	case GF_ACT_SIGNAL: return "to ";
	case GF_ACT_RENICE:
	case GF_ACT_LIMIT: return "of ";
	case GF_ACT_FREEZE:
	case GF_ACT_THAW: return "";
	default: return "for ";
	}
}

static void add_action(struct line *l, const struct gf_event *ev, const struct gf_step *s, const struct gf_image_header *img)
{
	static const char *const groups[] = { "", "its tree", "its process group", "its session", "its cgroup", "its user" };
	char act[128] = "act on", note[512];

	if (s)
		gf_action_text(img, s, act, sizeof act);
	if (ev->observed)
		add(l, s && s->action == GF_ACT_SIGNAL ? "would send " : "would ");
	add(l, "%s", act);
	if (ev->pid > 0) {
		char comm[GF_COMM_LEN * 4 + 1];
		add(l, " %s%s (pid %d", preposition(s), gf_safe_text(ev->comm, strnlen(ev->comm, GF_COMM_LEN), comm, sizeof comm), ev->pid);
		if (ev->uid != GF_NONE) /* which an import may not know */
			add(l, ", uid %u", ev->uid);
		add(l, ")");
		if (ev->chosen > 1)
			add(l, " and %u more", ev->chosen - 1);
		if (s && s->group && s->group < 6)
			add(l, " and %s, %u process%s in all", groups[s->group], ev->members, ev->members == 1 ? "" : "es");
		if (ev->count)
			add(l, " (%u more do not fit into one action)", ev->count);
	}
	gf_event_notify(ev, img, note, sizeof note);
	if (*note)
		add(l, " \"%s\"", note);
	add_terms(l, ev, img);
	if (ev->pid > 0)
		add_ranking(l, ev, s, img);
}

static void add_no_victim(struct line *l, const struct gf_event *ev, const struct gf_image_header *img)
{
	add(l, "true, but there is no process to act on");
	add_terms(l, ev, img);
	add(l, "; of %u candidate%s %u may never be touched, %u protected, %u not where, %u taken by other rules",
	    ev->candidates, ev->candidates == 1 ? "" : "s", ev->never, ev->protect, ev->where, ev->condemned);
	if (ev->ranks) {
		const struct gf_event_rank *k = &ev->u.rank[0];
		add(l, "; first: ");
		add_task(l, k->comm, k->pid);
		add_reason(l, k, img);
	}
}

/* What became of several. */
static void add_members(struct line *l, const struct gf_event *ev, uint32_t n, const char *act)
{
	static const struct { uint8_t became; const char *text; } part[] = {
		{ GF_BECAME_DELIVERED, "taken by" }, { GF_BECAME_PENDING, "pending in" }, { GF_BECAME_LOST, "lost with the target for" },
	};
	uint32_t gone = 0, failed = 0;
	const struct gf_event_member *first = NULL;

	for (uint32_t i = 0; i < n; i++) {
		const struct gf_event_member *m = &ev->u.member[i];
		gone += m->exit_us != GF_NONE;
		failed += m->error != 0 || m->became == GF_BECAME_REFUSED;
		if (m->became == GF_BECAME_REFUSED && !first)
			first = m;
	}
	add(l, "%s: %u process%s", act, ev->count, ev->count == 1 ? "" : "es");
	if (gone)
		add(l, ", %u gone", gone);
	for (size_t k = 0; k < sizeof part / sizeof *part; k++) {
		uint32_t some = 0;
		for (uint32_t i = 0; i < n; i++)
			some += ev->u.member[i].became == part[k].became && ev->u.member[i].exit_us == GF_NONE;
		if (some)
			add(l, ", %s %u", part[k].text, some);
	}
	if (failed)
		add(l, ", %u not reached", failed);
	if (first)
		add(l, " (pid %d: %s)", first->pid, gf_refused_text(first->why));
}

/* " (by a store, 2 tries)" */
static void add_how(struct line *l, const struct gf_event_member *m)
{
	add(l, " (%s", gf_how_text(m->how));
	if (m->tries > 1)
		add(l, ", %u tries", m->tries);
	add(l, ")");
}

const char *gf_member_text(const struct gf_event_member *m, char *buf, size_t n)
{
	struct line l = { .p = buf, .size = n };
	char t[64];

	buf[0] = 0;
	if (*gf_member_error(m)) {
		add(&l, "%s", gf_member_error(m));
		return buf;
	}
	if (m->exit_us != GF_NONE)
		add(&l, "gone after %s", value_text((double)m->exit_us * 1e3, GF_DIM_TIME, t, sizeof t));
	else if (m->became == GF_BECAME_DELIVERED)
		add(&l, "taken, and the process is still there");
	else if (m->became == GF_BECAME_PENDING)
		add(&l, "pending until it wakes");
	else
		add(&l, "on its way");
	add_how(&l, m);
	return buf;
}

/* A member of a target that is acted on in its memory. */
static void add_delivery(struct line *l, const struct gf_event *ev, const struct gf_event_member *m, const struct gf_step *s,
			 const char *act)
{
	const char *comm = m->pid == ev->pid ? ev->comm : "";
	bool signal = !s || s->action == GF_ACT_SIGNAL;
	char t[64];

	if (m->pid <= 0) { /* a last resort */
		if (m->error)
			add(l, "%s %s: %s", act, m->became == GF_BECAME_REFUSED ? "refused" : "failed", gf_member_error(m));
		else
			add(l, ev->observed ? "%s was only observed" : m->how == GF_HOW_QMP ? "%s has been asked of QEMU" :
			    m->how == GF_HOW_SYSRQ ? "%s has been asked of the kernel, by SysRq" : "%s has been asked of the kernel module", act);
		return;
	}
	if (ev->observed && m->became == GF_BECAME_UNSEEN) {
		add_task(l, comm, m->pid);
		add(l, " is still there; %s was only observed", act);
		return;
	}
	if (*gf_member_error(m)) {
		add(l, "%s %s", act, preposition(s));
		add_task(l, comm, m->pid);
		add(l, " %s: %s", m->became == GF_BECAME_REFUSED ? "refused" : m->became == GF_BECAME_LOST ? "was lost" : "failed",
		    gf_member_error(m));
		return;
	}
	add_task(l, comm, m->pid);
	if (m->became == GF_BECAME_UNSEEN && (m->how == GF_HOW_GPU_STORE || m->how == GF_HOW_GPU_IRQ_WORK)) {
		add(l, ": whether it has taken %s is not known, the GPU was lost; it is still there", act);
		return;
	}
	if (m->exit_us != GF_NONE)
		add(l, " gone %s after %s", value_text((double)m->exit_us * 1e3, GF_DIM_TIME, t, sizeof t), act);
	else if (m->became == GF_BECAME_DELIVERED)
		add(l, signal ? " has taken %s" : ": %s is done", act);
	else if (m->became == GF_BECAME_PENDING)
		add(l, signal ? " has %s pending until it wakes" : ": %s is pending until it wakes", act);
	else
		add(l, signal ? " has been sent %s" : ": %s is under way", act);
	add_how(l, m);
	if (m->exit_us == GF_NONE && signal && m->became != GF_BECAME_PENDING)
		add(l, ", and is still there");
}

static void add_result(struct line *l, const struct gf_event *ev, const struct gf_step *s, const struct gf_image_header *img)
{
	uint32_t n = GF_MIN(ev->count, GF_EVENT_MEMBERS);
	char act[128] = "the signal", t[64];

	if (s)
		gf_action_text(img, s, act, sizeof act);
	if (n != 1) {
		add_members(l, ev, n, act);
		return;
	}
	const struct gf_event_member *m = &ev->u.member[0];
	const char *comm = m->pid == ev->pid ? ev->comm : "";
	if (m->how != GF_HOW_CALL || m->became != GF_BECAME_UNSEEN) {
		add_delivery(l, ev, m, s, act);
		return;
	}
	if (m->error == -ESRCH) {
		add_task(l, comm, m->pid);
		add(l, " was gone before %s", act);
	} else if (m->error) {
		add(l, "%s to ", act);
		add_task(l, comm, m->pid);
		add(l, " failed: %s", m->error == -ESTALE ? "another process has this pid now" : strerror(-m->error));
	} else if (m->exit_us != GF_NONE) {
		add_task(l, comm, m->pid);
		add(l, " gone %s after %s", value_text((double)m->exit_us * 1e3, GF_DIM_TIME, t, sizeof t), act);
	} else {
		add_task(l, comm, m->pid);
		/* observed: nothing was sent, and the sentence must not say so */
		if (ev->observed)
			add(l, " is still there; %s was only observed", act);
		else if (s && s->action == GF_ACT_RENICE)
			add(l, ": %s is done", act);
		else
			add(l, " has been sent %s, and is still there", act);
	}
}

const char *gf_event_sentence(const struct gf_event *ev, const struct gf_image_header *img, char *buf, size_t n)
{
	return gf_event_sentence_of(ev, img, NULL, buf, n);
}

const char *gf_event_sentence_of(const struct gf_event *ev, const struct gf_image_header *img, const char *target,
				 char *buf, size_t n)
{
	static const char *const held[] = {
		[GF_HB_NONE] = "", [GF_HB_COOLDOWN] = "cooling down after its last action",
		[GF_HB_LIMIT] = "its limit of actions is used up", [GF_HB_SETTLE] = "settling after its last action",
		[GF_HB_BUDGET] = "the budget of actions of all rules is used up", [GF_HB_STALE] = "the sample is stale",
		[GF_HB_BUSY] = "the queue of actions is full; it tries again",
	};
	const struct gf_step *s = gf_event_step(ev, img);
	const char *rule = gf_event_rule(ev, img);
	struct line l = { .p = buf, .size = n };

	buf[0] = 0;
	if (target)
		add(&l, "%s: ", target);
	if (*rule)
		add(&l, "%s: ", rule);
	else if (ev->rule != GF_NONE && ev->kind < GF_EV_MISSED)
		add(&l, "rule %u: ", ev->rule);
	switch (ev->kind) {
	case GF_EV_ACTION:
		add_action(&l, ev, s, img);
		break;
	case GF_EV_NO_VICTIM:
		add_no_victim(&l, ev, img);
		break;
	case GF_EV_HELD_BACK:
		if (ev->rule == GF_NONE)
			add(&l, "all rules are held back: %s", ev->held_back <= GF_HB_BUSY ? held[ev->held_back] : "");
		else
			add(&l, "true, but held back: %s", ev->held_back <= GF_HB_BUSY ? held[ev->held_back] : "");
		add_terms(&l, ev, img);
		break;
	case GF_EV_SKIPPED:
		add(&l, "\"%s\" skipped: its victims are gone", s ? gf_image_str(img, s->shown) : "step");
		break;
	case GF_EV_RESULT:
		add_result(&l, ev, s, img);
		break;
	case GF_EV_RULE_ON:
		add(&l, "true now");
		add_terms(&l, ev, img);
		break;
	case GF_EV_RULE_OFF:
		add(&l, "no longer true");
		break;
	case GF_EV_MISSED:
		add(&l, "%u tick%s missed", ev->count, ev->count == 1 ? "" : "s");
		break;
	case GF_EV_DAEMON:
		add(&l, "%.*s", (int)strnlen(ev->text, sizeof ev->text), ev->text);
		break;
	default:
		add(&l, "event of kind %u", ev->kind);
	}
	if (ev->count && (ev->kind == GF_EV_NO_VICTIM || ev->kind == GF_EV_HELD_BACK || ev->kind == GF_EV_SKIPPED ||
			  ev->kind == GF_EV_RULE_ON || ev->kind == GF_EV_RULE_OFF))
		add(&l, " (%u event%s of this rule left unsaid before this)", ev->count, ev->count == 1 ? "" : "s");
	return buf;
}
