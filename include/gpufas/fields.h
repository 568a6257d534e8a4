/* SPDX-License-Identifier: MIT
 *
 * Field numbers, from fields.def. Host fields, task fields (numeric columns),
 * task strings and derived fields are four separate ranges.
 */
#ifndef GPUFAS_FIELDS_H
#define GPUFAS_FIELDS_H

#include "gpufas/hd.h"

enum gf_dim {
	GF_DIM_NUM,
	GF_DIM_BYTES,
	GF_DIM_TIME, /* ns */
	GF_DIM_PCT,  /* 95.0 means 95 % */
	GF_DIM_RATE, /* plain number a second */
	GF_DIM_BYTERATE,
	GF_DIM_ENUM_STATE,
	GF_DIM_ENUM_SCHED,
	GF_DIM_UID,
	GF_DIM_GID,
	GF_DIM_STR,
	GF_DIM_BOOL,
	/* a counter that only grows */
	GF_DIM_CNT_NUM,
	GF_DIM_CNT_BYTES,
	GF_DIM_CNT_TIME,
};

enum gf_pct { GF_PCT_NO, GF_PCT_MEM, GF_PCT_SWAP, GF_PCT_SELF };

enum gf_host_field {
#define GF_HOST(id, ...) GF_HF_##id,
#include "gpufas/fields.def"
	GF_HF_COUNT
};

enum gf_task_field {
#define GF_TASK(id, ...) GF_TF_##id,
#include "gpufas/fields.def"
	GF_TF_COUNT
};

enum gf_str_field {
#define GF_TSTR(id, ...) GF_SF_##id,
#include "gpufas/fields.def"
	GF_SF_COUNT
};

enum gf_derived_field {
#define GF_DRVH(id, ...) GF_DF_##id,
#define GF_DRVT(id, ...) GF_DF_##id,
#include "gpufas/fields.def"
	GF_DF_COUNT
};

/* What a policy needs sampled: one bit a field. */
struct gf_fieldset {
	uint64_t host; /* 1 << enum gf_host_field */
	uint64_t task; /* 1 << enum gf_task_field */
	uint32_t str;  /* 1 << enum gf_str_field */
	uint32_t paths; /* kernel paths: path k is in column GF_TF_COUNT + k */
};
GF_STATIC_ASSERT(sizeof(struct gf_fieldset) == 24, "gf_fieldset");
GF_STATIC_ASSERT(GF_HF_COUNT <= 64 && GF_TF_COUNT <= 64 && GF_SF_COUNT <= 32, "field bits");

#define GF_MAX_PATHS 32u /* kernel paths in one policy */
#define GF_COLS (GF_TF_COUNT + GF_MAX_PATHS)

#define GF_BIT(n) (1ull << (n))

#endif
