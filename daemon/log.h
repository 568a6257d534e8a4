/* SPDX-License-Identifier: MIT
 *
 * Sentences for the journal or whoever reads stderr.
 */
#ifndef GPUFAS_DAEMON_LOG_H
#define GPUFAS_DAEMON_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h> /* LOG_ERR .. LOG_DEBUG */

#include "gpufas/err.h"

enum gf_log_journal { GF_LOG_JOURNAL_AUTO, GF_LOG_JOURNAL_YES, GF_LOG_JOURNAL_NO };

/* AUTO: lines get "<N>" in front when stderr is the stream that $JOURNAL_STREAM names. */
void gf_log_setup(int level, enum gf_log_journal journal);
void gf_log_set_level(int level);
/* From here on lines go through a thread, so that a reader who stops reading stops nobody. */
int gf_log_start(struct gf_err *err);
void gf_log_stop(void);
uint64_t gf_log_lost(void);

/* One line; newlines inside become lines of their own with the same level. */
__attribute__((format(printf, 2, 3)))
void gf_log(int level, const char *fmt, ...);

#endif
