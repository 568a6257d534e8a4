/* SPDX-License-Identifier: MIT
 *
 * Events as JSON (gpufas/control.h) and as one line for a person.
 */
#ifndef GPUFAS_DAEMON_EVENTJSON_H
#define GPUFAS_DAEMON_EVENTJSON_H

#include "daemon/jbuf.h"
#include "gpu/engine.h"
#include "gpufas/bytecode.h"
#include "gpufas/event.h"

/* Everything here takes an event that may come from anywhere: counts and
 * indices beyond the image are left out, not followed. img: the verified image
 * whose numbers the event uses, or NULL when it is not at hand any more. */

/* target: NULL: the daemon as a whole. named: the sentence is to name it, too. */
void gf_event_json(const struct gf_event *ev, const struct gf_image_header *img, const char *target, bool named,
		   struct gf_jbuf *b);

/* One line, no control characters, terminated. Returns buf. */
const char *gf_event_sentence(const struct gf_event *ev, const struct gf_image_header *img, char *buf, size_t n);
/* The same with the target named first (NULL: not). */
const char *gf_event_sentence_of(const struct gf_event *ev, const struct gf_image_header *img, const char *target,
				 char *buf, size_t n);

/* The notify template of the event's step, or else of its rule, with the values
 * filled in; "" when there is none. Returns buf. */
const char *gf_event_notify(const struct gf_event *ev, const struct gf_image_header *img, char *buf, size_t n);

int gf_event_priority(const struct gf_event *ev, const struct gf_image_header *img); /* syslog level */

/* The rule's name in quotes-free form, "" when unknown. Points into img. */
const char *gf_event_rule(const struct gf_event *ev, const struct gf_image_header *img);

/* The event's step, or NULL. */
const struct gf_step *gf_event_step(const struct gf_event *ev, const struct gf_image_header *img);

/* "SIGKILL", "renice +10", "log", "notify", "run page"; returns buf. */
const char *gf_action_text(const struct gf_image_header *img, const struct gf_step *s, char *buf, size_t n);
/* "SIGKILL", or "signal 99" for what has no name; returns buf. */
const char *gf_signal_text(int sig, char *buf, size_t n);

/* Why a member was not reached, "" when it was. */
const char *gf_member_error(const struct gf_event_member *m);
/* What became of it, in a few words; returns buf. */
const char *gf_member_text(const struct gf_event_member *m, char *buf, size_t n);
void gf_member_json(const struct gf_event_member *m, struct gf_jbuf *b);

/* A "terms" array, as in events and rule views. */
void gf_terms_json(const struct gf_event_term *t, uint32_t n, const char *comm, const struct gf_image_header *img,
		   struct gf_jbuf *b);
/* A "rule view" object. r: the image's rule; now_ns: the target's boot time. */
void gf_rule_json(const struct gf_rule_view *v, uint32_t rule, const struct gf_image_header *img, uint64_t now_ns,
		  struct gf_jbuf *b);

const char *gf_tri_name(uint8_t truth);
const char *gf_why_name(uint8_t why);
const char *gf_held_back_name(uint8_t hb);
const char *gf_event_kind_name(uint8_t kind);

/* RFC 3339 in UTC with nanoseconds; returns buf (at least 32 bytes). */
const char *gf_time_text(uint64_t wall_ns, char *buf, size_t n);

#endif
