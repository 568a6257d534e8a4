/* SPDX-License-Identifier: MIT
 *
 * Strings of a process out of its memory: which are wanted, read, kept, let go of.
 * Of gpu/sampler.h, which has the types and includes this.
 */
#ifndef GPUFAS_SAMPLER_STRINGS_H
#define GPUFAS_SAMPLER_STRINGS_H

GF_CALLED void gf_string_forget(struct gf_sampler *v, uint32_t row, uint32_t field)
{
	const struct gf_strref none = { NULL, 0, 0 };
	struct gf_strref *ref = v->s->str[field] ? &v->s->str[field][row] : NULL;

	if (!ref)
		return;
	if (ref->ver)
		gf_text_give(&v->pool, ref->p);
	*ref = none;
}

/* A string that was read, or could not be (len GF_ABSENT). */
GF_INLINE void gf_string_set(struct gf_sampler *v, uint32_t row, uint32_t field, const char *text, uint32_t len)
{
	struct gf_strref *ref = &v->s->str[field][row];
	char *p;

	gf_string_forget(v, row, field);
	if (len == GF_ABSENT)
		return;
	p = len <= GF_TEXT_SHORT ? v->slot[field] + (size_t)row * GF_TEXT_SHORT : gf_text_take(&v->pool, len);
	if (!p)
		return;
	for (uint32_t i = 0; i < len; i++)
		p[i] = text[i];
	ref->p = p;
	ref->len = len;
	ref->ver = gf_table_next_ver(&v->table);
}

/* Which strings of a task are to be read now. */
GF_INLINE uint32_t gf_strings_need(struct gf_sampler *v, const uint8_t *task, uint32_t row, const struct gf_task_rec *r, int fresh)
{
	const struct gf_sampler_guest *g = v->g;
	struct gf_sample *s = v->s;
	struct gf_row_note *n = &v->note[row];
	uint32_t want = v->fields.str & GF_STR_READ, missing = 0, cgroup = 0;
	uint64_t kn, id;

	if (!fresh && n->exec_tag != r->exec_tag) {
		gf_string_forget(v, row, GF_SF_EXE);
		gf_string_forget(v, row, GF_SF_CMDLINE);
		n->tries = 0;
		n->retry_ns = 0;
	}
	n->exec_tag = r->exec_tag;
	if (want & 1u << GF_SF_CGROUP) {
		if (gf_cgroup_of(&g->mem, &g->layout, task, &kn, &id))
			gf_string_forget(v, row, GF_SF_CGROUP);
		else if (!s->str[GF_SF_CGROUP][row].ver || kn != n->kn || id != n->kn_id)
			cgroup = 1u << GF_SF_CGROUP;
	}
	for (uint32_t f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++)
		if (want & 1u << f && !s->str[f][row].ver)
			missing |= 1u << f;
	if (r->flags & GF_REC_EXITING || n->tries > GF_STR_RETRIES || s->now_ns < n->retry_ns)
		missing = 0;
	return missing | cgroup;
}

GF_INLINE void gf_string_cgroup(struct gf_sampler *v, const uint8_t *task, uint32_t row, char *text)
{
	const struct gf_sampler_guest *g = v->g;
	struct gf_row_note *n = &v->note[row];
	uint64_t kn, id;
	uint32_t len;

	if (gf_cgroup_of(&g->mem, &g->layout, task, &kn, &id)) {
		gf_string_forget(v, row, GF_SF_CGROUP);
		return;
	}
	if (gf_kernfs_path(&g->mem, &g->layout, kn, text, GF_STR_MAX, &len))
		len = GF_ABSENT;
	gf_string_set(v, row, GF_SF_CGROUP, text, len);
	n->kn = kn;
	n->kn_id = id;
}

GF_INLINE void gf_strings_read(struct gf_sampler *v, const uint8_t *task, uint32_t row, const struct gf_task_rec *r, uint32_t need, char *text)
{
	const struct gf_sampler_guest *g = v->g;
	const struct gf_layout_task *o = &g->layout.task;
	struct gf_row_note *n = &v->note[row];
	uint64_t mm;

	if (need & 1u << GF_SF_CGROUP)
		gf_string_cgroup(v, task, row, text);
	need &= ~(1u << GF_SF_CGROUP);
	if (!need)
		return;
	mm = gf_u64(task, o->mm);
	n->retry_ns = v->s->now_ns + GF_STR_RETRY_NS;
	n->tries++;
	for (uint32_t f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++) {
		uint32_t len = 0;

		if (!(need & 1u << f))
			continue;
		if (!(r->flags & GF_REC_KTHREAD)) {
			if (!mm)
				continue;
			if (f == GF_SF_EXE ? gf_exe_path(&g->mem, &g->layout, mm, text, GF_STR_MAX, &len) :
					     gf_cmdline(&g->mem, &g->layout, mm, text, GF_STR_MAX, &len))
				len = GF_ABSENT;
			/* Between the new memory and its arguments an exec has none: it is looked at again, as often as one that cannot be read. */
			if (f == GF_SF_CMDLINE && !len && n->tries <= GF_STR_RETRIES)
				len = GF_ABSENT;
		}
		gf_string_set(v, row, f, text, len);
	}
	/* Another program meanwhile: whose strings were these? */
	if (gf_u32(task, o->self_exec_id) != (uint32_t)r->exec_tag || gf_u64(task, o->mm) != mm)
		for (uint32_t f = GF_SF_EXE; f <= GF_SF_CMDLINE; f++)
			if (need & 1u << f)
				gf_string_forget(v, row, f);
}

#endif
