/* SPDX-License-Identifier: MIT
 *
 * A GPU delivers into host memory that holds a made-up kernel: what it stores there, and how long that takes. Prints TAP.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/gpu/deliver_fake.h"

struct shared {
	struct gf_deliver_result result;
	uint64_t took_ns;
	int ret, said;
};

struct world {
	struct gf_deliverer *v;
	struct gf_pseudo_plain *p;
	struct gf_kmem *mem;
	struct shared *s;
	uint8_t *host;
};

static int tests, failed;

static void ok(int good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, name);
	failed += !good;
}

static void must(cudaError_t e, const char *what)
{
	if (!e)
		return;
	printf("not ok %d - %s: %s\n1..%d\n", tests + 1, what, cudaGetErrorString(e), tests + 1);
	exit(1);
}

__global__ void tick(struct gf_deliverer *v, const struct gf_pseudo_plain *p, struct gf_verdict verdict, int follow, struct shared *s)
{
	struct gf_deliver_guest g = { p, 7, 0, NULL, 0 };
	uint64_t start = gf_now_ns();

	if (follow)
		gf_deliver_follow(v, &g, 0, start);
	else
		s->ret = gf_deliver_begin(v, &g, 0, &verdict, start);
	s->took_ns = gf_now_ns() - start;
	s->said = gf_deliver_result(v, &s->result);
}

template <typename T> static T *on_device(const T &from)
{
	T *p;

	must(cudaMalloc(&p, sizeof *p), "cudaMalloc");
	must(cudaMemcpy(p, &from, sizeof from, cudaMemcpyHostToDevice), "cudaMemcpy");
	return p;
}

static void make(struct world *w, int asleep)
{
	struct gf_deliverer *v = (struct gf_deliverer *)calloc(1, sizeof *v);
	struct gf_pseudo_plain plain;
	struct gf_pseudo_pool pool;
	struct gf_kmem mem;
	uint32_t size;
	void *there;

	w->host = deliver_fake(asleep, &size, &plain, &pool, &mem);
	must(cudaHostRegister(w->host, size, cudaHostRegisterMapped), "cudaHostRegister");
	must(cudaHostGetDevicePointer(&there, w->host, 0), "cudaHostGetDevicePointer");
	mem.ram.seg[0].p = (uint8_t *)there;
	gf_deliver_init(v, 0, 0, NULL, &pool);
	w->v = on_device(*v);
	free(v);
	w->mem = on_device(mem);
	plain.mem = w->mem;
	w->p = on_device(plain);
	must(cudaMallocManaged(&w->s, sizeof *w->s), "cudaMallocManaged");
}

static void drop(struct world *w)
{
	must(cudaHostUnregister(w->host), "cudaHostUnregister");
	cudaFree(w->v);
	cudaFree(w->mem);
	cudaFree(w->p);
	cudaFree(w->s);
	deliver_fake_free();
}

static void run(struct world *w, int follow, const char *what)
{
	struct gf_verdict v = {};

	v.event = 3;
	v.pid = 77;
	v.start_ns = 5000000000ull;
	v.action = GF_ACT_SIGNAL;
	v.arg = 9;
	tick<<<1, 1>>>(w->v, w->p, v, follow, w->s);
	must(cudaDeviceSynchronize(), what);
	printf("# %s: %.1f us\n", what, (double)w->s->took_ns / 1e3);
}

int main()
{
	struct world w;
	int n = 0;

	if (cudaGetDeviceCount(&n) || !n) {
		printf("1..0 # SKIP there is no GPU\n");
		return 0;
	}
	make(&w, 0);
	deliver_fake_resched(1);
	run(&w, 0, "begin, with NEED_RESCHED set");
	ok(deliver_fake_pending() == 0x100 && deliver_fake_flags() == 0x800a, "while NEED_RESCHED is set no flags are stored");
	deliver_fake_resched(0);
	run(&w, 1, "follow, which stores the flag");
	ok(deliver_fake_flags() == 0x8006, "and when it is clear TIF_SIGPENDING is");
	run(&w, 1, "follow, nothing new");
	ok(!w.s->said, "nothing is said while nothing is known");
	deliver_fake_exit();
	run(&w, 1, "follow, the end");
	ok(w.s->said && w.s->result.kind == GF_DELIVER_LAST && w.s->result.member.became == GF_BECAME_DELIVERED
	   && w.s->result.member.how == GF_HOW_GPU_STORE, "the end is seen and told");
	drop(&w);
	make(&w, 1);
	run(&w, 0, "begin, to a sleeper");
	/* Under a tool that makes it slow the time between look and store is too long for pinning: it is tried again. */
	for (int i = 0; i < 100 && !deliver_fake_head(); i++)
		run(&w, 1, "again");
	if (!deliver_fake_head())
		ok(deliver_fake_count() == 1, "too slow here to send to a sleeper, and nothing is stored");
	else
		ok(deliver_fake_count() == 1 + PSEUDO_PIN && !deliver_fake_pending(), "a sleeper is sent to, and its struct pid pinned");
	drop(&w);
	printf("1..%d\n", tests);
	return failed != 0;
}
