/* SPDX-License-Identifier: MIT
 *
 * The CUDA backend of gpu/dev.h: the only file that knows CUDA. The runtime is linked statically and finds the driver
 * when it is first asked, so the program runs where there is none.
 *
 * Kernels run for as long as the daemon does, so nothing here may wait for the device: memory comes from a pool
 * (cudaMallocAsync: cudaFree would wait for every kernel), copies have a stream of their own, modules are loaded
 * before the first launch (CUDA_MODULE_LOADING=EAGER: loading one waits as well).
 */
#define GF_TEAM 1
#include "gpu/kernel.h"

#include "gpu/cuda.h"
#include "gpu/dev.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gf_dev {
	int number;
	bool clusters;
	cudaStream_t copies;
	struct gf_relay_kept *relays;
};

/* A relay: graphs that the device itself launches, each when the one before has ended. In device memory. */
struct relay {
	cudaGraphExec_t next[GF_RELAY_COUNT];
	char from, to; /* what is copied */
};

/* The same as the host knows it: of one target's kernel in one shape. It stays: cudaGraphExecDestroy waits until every kernel of the process has ended. */
struct gf_relay_kept {
	struct gf_relay_kept *next;
	struct gf_gpu *g;
	uint32_t blocks, threads;
	bool cluster;
	struct relay x, *at; /* at: the device's */
};

struct gf_dev_run {
	struct gf_dev *dev;
	cudaStream_t stream;
};

/* Warps are dealt to blocks in turn: few rows are the work of all multiprocessors then, not of the first. */
static __device__ uint32_t lane(void)
{
	uint32_t warp = threadIdx.x / 32 * gridDim.x + blockIdx.x;

	return warp * 32 + threadIdx.x % 32;
}

static __global__ void __launch_bounds__(1024) gpufas_main(struct gf_gpu *g, uint64_t ticks)
{
	gf_gpu_main(g, lane(), gridDim.x * blockDim.x, ticks);
}

/* One tick of a relay. One that cannot launch what comes next ends the relay, which the host sees. */
static __global__ void __launch_bounds__(1024) gpufas_pass(struct gf_gpu *g, const struct relay *r)
{
	if (gf_gpu_main(g, lane(), gridDim.x * blockDim.x, GF_GPU_PASSES))
		cudaGraphLaunch(r->next[GF_RELAY_WAIT], cudaStreamGraphTailLaunch);
}

static __global__ void __launch_bounds__(32) gpufas_wait(struct gf_gpu *g, const struct relay *r)
{
	if (threadIdx.x == 0)
		cudaGraphLaunch(r->next[gf_gpu_relay_next(g)], cudaStreamGraphTailLaunch);
}

static int cuda_count(struct gf_err *err)
{
	int n = 0, driver = 0;
	cudaError_t rc;

	setenv("CUDA_MODULE_LOADING", "EAGER", 0);
	rc = cudaGetDeviceCount(&n);
	if (rc == cudaSuccess && n > 0)
		return n;
	cudaGetLastError();
	if (rc == cudaErrorInsufficientDriver && (cudaDriverGetVersion(&driver) != cudaSuccess || !driver))
		gf_err_set(err, ENODEV, "there is no NVIDIA driver: libcuda.so.1 is missing, or its kernel module is not loaded");
	else if (rc == cudaErrorInsufficientDriver)
		gf_err_set(err, ENOTSUP, "the NVIDIA driver is for CUDA %d.%d, gpufasd was built with %d.%d: a newer driver is needed",
			   driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
	else if (rc == cudaErrorNoDevice || rc == cudaSuccess)
		gf_err_set(err, ENODEV, GF_CUDA_NONE);
	else
		gf_cuda_said(rc, "CUDA does not start", err);
	return 0;
}

static void name_uuid(const cudaUUID_t *u, int mig, char *buf, size_t n)
{
	const unsigned char *b = (const unsigned char *)u->bytes;

	snprintf(buf, n, "%s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", mig ? "MIG" : "GPU", b[0], b[1], b[2],
		 b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static int attribute(cudaDeviceAttr a, int device)
{
	int v = 0;

	if (cudaDeviceGetAttribute(&v, a, device) != cudaSuccess) {
		cudaGetLastError();
		return 0;
	}
	return v;
}

/* Whether atomics to host memory may be used: the ones that gpu/pseudo.h uses, on words of 64 and 32 bits. The attribute alone says only that
 * there is a link that could carry them; runtimes that can be asked for each kind have the last word. */
static bool host_atomics(int device)
{
	if (!attribute(cudaDevAttrHostNativeAtomicSupported, device))
		return false;
#if CUDART_VERSION >= 13000
	const enum cudaAtomicOperation ops[] = { cudaAtomicOperationOr, cudaAtomicOperationCAS };
	const unsigned int need = cudaAtomicCapabilityScalar32 | cudaAtomicCapabilityScalar64 | cudaAtomicCapabilityUnsigned;
	unsigned int can[2] = { 0, 0 };

	if (cudaDeviceGetHostAtomicCapabilities(can, ops, 2, device) != cudaSuccess) {
		cudaGetLastError();
		return false;
	}
	return (can[0] & need) == need && (can[1] & need) == need;
#else
	return true;
#endif
}

static int cuda_info(int device, struct gf_dev_info *ret, struct gf_err *err)
{
	struct cudaDeviceProp p;
	int driver = 0, runtime = 0, rc = gf_cuda_said(cudaGetDeviceProperties(&p, device), "the GPU does not say what it is", err);

	memset(ret, 0, sizeof *ret);
	if (rc)
		return rc;
	cudaDriverGetVersion(&driver);
	cudaRuntimeGetVersion(&runtime);
	snprintf(ret->name, sizeof ret->name, "%.95s", p.name);
	ret->mig = strstr(p.name, " MIG ") != NULL;
	name_uuid(&p.uuid, ret->mig, ret->uuid, sizeof ret->uuid);
	if (cudaDeviceGetPCIBusId(ret->pci, sizeof ret->pci, device) != cudaSuccess)
		ret->pci[0] = 0;
	for (char *c = ret->pci; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	ret->multiprocessors = (uint32_t)p.multiProcessorCount;
	ret->memory = p.totalGlobalMem;
	ret->major = (uint32_t)p.major;
	ret->minor = (uint32_t)p.minor;
	ret->driver = (uint32_t)driver;
	ret->runtime = (uint32_t)runtime;
	ret->cooperative = p.cooperativeLaunch != 0;
	ret->exclusive = attribute(cudaDevAttrComputeMode, device) == cudaComputeModeExclusiveProcess;
	ret->host_atomics = host_atomics(device);
#if CUDART_VERSION >= 12040
	ret->mps = attribute(cudaDevAttrMpsEnabled, device) != 0;
#endif
	return 0;
}

static int cuda_open(int device, struct gf_dev **ret, struct gf_err *err)
{
	struct gf_dev *d = (struct gf_dev *)calloc(1, sizeof *d);
	struct cudaFuncAttributes a;
	cudaMemPool_t pool;
	uint64_t keep = ~0ull;
	int rc;

	if (!d)
		return gf_err_set(err, ENOMEM, "out of memory");
	d->number = device;
	rc = gf_cuda_said(cudaSetDevice(device), "the GPU cannot be opened", err);
	if (!rc)
		rc = gf_cuda_said(cudaFuncGetAttributes(&a, (const void *)gpufas_main), "there is no code for this GPU in gpufasd", err);
	if (!rc)
		rc = gf_cuda_said(cudaStreamCreateWithFlags(&d->copies, cudaStreamNonBlocking), "the GPU cannot be opened", err);
	d->clusters = attribute(cudaDevAttrClusterLaunch, device) != 0;
	if (!rc && !attribute(cudaDevAttrMemoryPoolsSupported, device))
		rc = gf_err_set(err, ENOTSUP, "it has no memory pools");
	/* Memory given back stays in the pool: handing it to the system waits for kernels. */
	if (!rc)
		rc = gf_cuda_said(cudaDeviceGetDefaultMemPool(&pool, device), "the GPU has no memory pool", err);
	if (!rc)
		rc = gf_cuda_said(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "the GPU has no memory pool", err);
	if (rc && d->copies)
		cudaStreamDestroy(d->copies);
	if (rc)
		free(d);
	else
		*ret = d;
	return rc;
}

static void cuda_close(struct gf_dev *d)
{
	struct gf_relay_kept *k;

	cudaSetDevice(d->number);
	while ((k = d->relays)) { /* their graphs stay as long as the process, as others' kernels may run: some KiB of a target that goes */
		d->relays = k->next;
		cudaFreeAsync(k->at, d->copies);
		free(k);
	}
	cudaStreamDestroy(d->copies);
	free(d);
}

static void *cuda_alloc(struct gf_dev *d, size_t size)
{
	void *p = NULL;

	cudaSetDevice(d->number);
	if (cudaMallocAsync(&p, size, d->copies) != cudaSuccess || cudaMemsetAsync(p, 0, size, d->copies) != cudaSuccess ||
	    cudaStreamSynchronize(d->copies) != cudaSuccess) {
		if (p)
			cudaFreeAsync(p, d->copies);
		cudaGetLastError();
		return NULL;
	}
	return p;
}

static void cuda_free(struct gf_dev *d, void *p)
{
	if (!p)
		return;
	cudaSetDevice(d->number);
	cudaFreeAsync(p, d->copies);
	cudaGetLastError();
}

/* Pinned memory that is not needed any more is kept for who needs some next: cudaFreeHost waits until every kernel of the
 * process has ended. */
static struct gf_pinned {
	struct gf_pinned *next;
	void *p, *device;
	size_t size;
	bool used;
} *pinned;
static pthread_mutex_t pinned_lock = PTHREAD_MUTEX_INITIALIZER;

static struct gf_pinned *pinned_new(size_t size)
{
	struct gf_pinned *m = (struct gf_pinned *)calloc(1, sizeof *m);

	if (!m)
		return NULL;
	if (cudaHostAlloc(&m->p, size, cudaHostAllocMapped | cudaHostAllocPortable) != cudaSuccess ||
	    cudaHostGetDevicePointer(&m->device, m->p, 0) != cudaSuccess) {
		cudaGetLastError();
		free(m);
		return NULL;
	}
	m->size = size;
	m->next = pinned;
	pinned = m;
	return m;
}

static void *cuda_pin(struct gf_dev *d, size_t size, void **ret_device)
{
	struct gf_pinned *m;

	cudaSetDevice(d->number);
	pthread_mutex_lock(&pinned_lock);
	for (m = pinned; m && (m->used || m->size < size || m->size > 2 * size); m = m->next)
		;
	if (!m)
		m = pinned_new(size);
	if (m) {
		m->used = true;
		memset(m->p, 0, size);
		*ret_device = m->device;
	}
	pthread_mutex_unlock(&pinned_lock);
	return m ? m->p : NULL;
}

static void cuda_unpin(struct gf_dev *d, void *p)
{
	(void)d;
	pthread_mutex_lock(&pinned_lock);
	for (struct gf_pinned *m = pinned; m; m = m->next)
		if (m->p == p)
			m->used = false;
	pthread_mutex_unlock(&pinned_lock);
}

static int cuda_enroll(struct gf_dev *d, void *p, size_t size, void **ret_device, struct gf_err *err)
{
	int rc;

	cudaSetDevice(d->number);
	rc = gf_cuda_said(cudaHostRegister(p, size, cudaHostRegisterMapped | cudaHostRegisterPortable), "the memory cannot be registered", err);
	if (rc)
		return rc;
	rc = gf_cuda_said(cudaHostGetDevicePointer(ret_device, p, 0), "the memory has no address for the GPU", err);
	if (rc)
		cudaHostUnregister(p);
	return rc;
}

static int cuda_release(struct gf_dev *d, void *p, struct gf_err *err)
{
	cudaSetDevice(d->number);
	return gf_cuda_said(cudaHostUnregister(p), "the memory cannot be given back", err);
}

static int cuda_copy_in(struct gf_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	return gf_cuda_copy(d->number, d->copies, to, from, size, cudaMemcpyHostToDevice, err);
}

static int cuda_copy_out(struct gf_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	return gf_cuda_copy(d->number, d->copies, to, from, size, cudaMemcpyDeviceToHost, err);
}

#define RELAY_COPIES 24u     /* of a long wait */

/* Blocks that meet: as one cluster where there are such, else all at once. */
static void shape(cudaLaunchConfig_t *c, cudaLaunchAttribute *a, uint32_t blocks, uint32_t threads, bool cluster)
{
	c->gridDim = dim3(blocks);
	c->blockDim = dim3(threads);
	c->attrs = a;
	c->numAttrs = blocks > 1;
	if (cluster) {
		a->id = cudaLaunchAttributeClusterDimension;
		a->val.clusterDim.x = blocks;
		a->val.clusterDim.y = a->val.clusterDim.z = 1;
	} else {
		a->id = cudaLaunchAttributeCooperative;
		a->val.cooperative = 1;
	}
}

/* All of a cluster's blocks are on multiprocessors of one group, of which some cards' have too few for as many as 16, and parts of cards fewer. */
static uint32_t cuda_clusters(struct gf_dev *d, uint32_t blocks, uint32_t threads)
{
	cudaLaunchConfig_t c = {};
	cudaLaunchAttribute a[1] = {};
	int n = 0;

	if (!d->clusters || blocks < 2)
		return 0;
	shape(&c, a, blocks, threads, true);
	cudaSetDevice(d->number);
	if (cudaFuncSetAttribute((const void *)gpufas_main, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) != cudaSuccess ||
	    cudaFuncSetAttribute((const void *)gpufas_pass, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) != cudaSuccess ||
	    cudaOccupancyMaxActiveClusters(&n, (const void *)gpufas_main, &c) != cudaSuccess) {
		cudaGetLastError();
		return 0;
	}
	return n > 0 ? (uint32_t)n : 0;
}

/* A graph that the device can launch: copies, one after the other, then the kernel. */
static cudaError_t relay_graph(struct relay *at, uint32_t copies, const void *fn, uint32_t blocks, uint32_t threads, bool cluster, void **args, cudaStream_t s,
			       cudaGraphExec_t *ret)
{
	cudaKernelNodeAttrValue v = {};
	cudaKernelNodeParams p = {};
	cudaGraphNode_t node, last;
	cudaGraph_t graph;
	cudaError_t rc = cudaGraphCreate(&graph, 0);

	if (rc != cudaSuccess)
		return rc;
	for (uint32_t i = 0; rc == cudaSuccess && i < copies; i++) {
		rc = cudaGraphAddMemcpyNode1D(&node, graph, &last, i > 0, &at->to, &at->from, 1, cudaMemcpyDeviceToDevice);
		last = node;
	}
	p.func = (void *)fn;
	p.gridDim = dim3(blocks);
	p.blockDim = dim3(threads);
	p.kernelParams = args;
	if (rc == cudaSuccess)
		rc = cudaGraphAddKernelNode(&node, graph, &last, copies > 0, &p);
	v.clusterDim.x = blocks;
	v.clusterDim.y = v.clusterDim.z = 1;
	if (rc == cudaSuccess && cluster)
		rc = cudaGraphKernelNodeSetAttribute(node, cudaKernelNodeAttributeClusterDimension, &v);
	if (rc == cudaSuccess)
		rc = cudaGraphInstantiate(ret, graph, cudaGraphInstantiateFlagDeviceLaunch);
	if (rc == cudaSuccess)
		rc = cudaGraphUpload(*ret, s);
	cudaGraphDestroy(graph);
	return rc;
}

/*
 * Kernels that launch each other by the device: one that is a tick, and one that looks whether there is a tick to be run. Before each look the copy
 * engine copies a byte a few times, which takes a while in which no multiprocessor has anything of ours: one thread that stays on one, asleep, costs
 * a neighbour's matrix products six hundredths and more, since their blocks want whole multiprocessors.
 */
static int relay_make(struct gf_dev *d, struct gf_relay_kept *k, struct gf_err *err)
{
	static const char what[] = "its relay of kernels cannot be started";
	static const uint32_t copies[] = { RELAY_COPIES, 1, 0 };
	cudaError_t rc = cudaSuccess;
	int bad;

	k->at = (struct relay *)cuda_alloc(d, sizeof k->x);
	if (!k->at)
		return gf_err_set(err, ENOMEM, "%s: out of memory", what);
	void *args[] = { &k->g, &k->at };
	for (uint32_t i = 0; rc == cudaSuccess && i < GF_RELAY_COUNT; i++)
		rc = i == GF_RELAY_PASS ? relay_graph(k->at, copies[i], (const void *)gpufas_pass, k->blocks, k->threads, k->cluster, args, d->copies, &k->x.next[i])
					: relay_graph(k->at, copies[i], (const void *)gpufas_wait, 1, 32, false, args, d->copies, &k->x.next[i]);
	bad = gf_cuda_said(rc, what, err);
	return bad ? bad : cuda_copy_in(d, k->at, &k->x, sizeof k->x, err); /* graphs are there when it is, too: one stream */
}

/* Of this target and shape. One that could not be made whole is left where it is, for the same reason. */
static struct gf_relay_kept *relay_of(struct gf_dev *d, struct gf_gpu *g, uint32_t blocks, uint32_t threads, bool cluster, struct gf_err *err)
{
	struct gf_relay_kept *k = d->relays;

	while (k && (k->g != g || k->blocks != blocks || k->threads != threads || k->cluster != cluster))
		k = k->next;
	if (k)
		return k;
	k = (struct gf_relay_kept *)calloc(1, sizeof *k);
	if (!k) {
		gf_err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	k->g = g;
	k->blocks = blocks;
	k->threads = threads;
	k->cluster = cluster;
	if (relay_make(d, k, err))
		return NULL;
	k->next = d->relays;
	d->relays = k;
	return k;
}

static int kernel_launch(struct gf_dev_run *r, struct gf_gpu *g, uint32_t blocks, uint32_t threads, bool cluster, uint64_t ticks, struct gf_err *err)
{
	static const char what[] = "its kernel cannot be started";
	cudaLaunchConfig_t c = {};
	cudaLaunchAttribute a[1] = {};
	struct gf_relay_kept *k;
	void *args[] = { &g, &ticks };

	if (ticks == GF_GPU_PASSES) {
		k = relay_of(r->dev, g, blocks, threads, cluster, err);
		return k ? gf_cuda_said(cudaGraphLaunch(k->x.next[GF_RELAY_WAIT], r->stream), what, err) : -EIO;
	}
	shape(&c, a, blocks, threads, cluster);
	c.stream = r->stream;
	return gf_cuda_said(cudaLaunchKernelExC(&c, (const void *)gpufas_main, args), what, err);
}

/* Between two shapes. */
static __global__ void gpufas_shape(struct gf_gpu *g, uint32_t lanes, uint32_t blocks, uint32_t cluster)
{
	g->team.lanes = lanes;
	g->team.blocks = blocks;
	g->team.generation = g->team.arrived = 0;
	g->team.cluster = cluster;
	g->passing = 1; /* what is missed meanwhile is missed */
}

static int cuda_follow(struct gf_dev_run *r, struct gf_gpu *g, uint32_t blocks, uint32_t threads, bool cluster, uint64_t ticks, struct gf_err *err)
{
	cudaSetDevice(r->dev->number);
	if (ticks == GF_GPU_PASSES && !relay_of(r->dev, g, blocks, threads, cluster, err))
		return -EAGAIN;
	gpufas_shape<<<1, 1, 0, r->stream>>>(g, blocks * threads, blocks, cluster);
	if (gf_cuda_said(cudaGetLastError(), "its kernel cannot be started", err))
		return -EAGAIN;
	/* From here on the shape changes when what runs has ended. */
	return kernel_launch(r, g, blocks, threads, cluster, ticks, err);
}

static int cuda_launch(struct gf_dev *d, struct gf_gpu *g, uint32_t blocks, uint32_t threads, bool cluster, uint64_t ticks,
		       struct gf_dev_run **ret, struct gf_err *err)
{
	struct gf_dev_run *r = (struct gf_dev_run *)calloc(1, sizeof *r);
	int rc;

	if (!r)
		return gf_err_set(err, ENOMEM, "out of memory");
	r->dev = d;
	cudaSetDevice(d->number);
	rc = gf_cuda_said(cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking), "a stream", err);
	if (!rc)
		rc = kernel_launch(r, g, blocks, threads, cluster, ticks, err);
	if (rc) {
		if (r->stream)
			cudaStreamDestroy(r->stream);
		free(r);
	} else {
		*ret = r;
	}
	return rc;
}

static int cuda_poll(struct gf_dev_run *r, struct gf_err *err)
{
	cudaError_t rc;

	cudaSetDevice(r->dev->number);
	rc = cudaStreamQuery(r->stream);
	if (rc == cudaErrorNotReady)
		return 0;
	if (rc == cudaSuccess)
		return 1;
	return gf_cuda_said(rc, "the GPU has failed", err);
}

static void cuda_forget(struct gf_dev_run *r)
{
	cudaSetDevice(r->dev->number);
	cudaStreamDestroy(r->stream);
	cudaGetLastError();
	free(r);
}

extern const struct gf_dev_ops gf_dev_cuda = {
	"cuda", cuda_count, cuda_info, cuda_open, cuda_close, cuda_alloc, cuda_free, cuda_pin, cuda_unpin, cuda_enroll, cuda_release,
	cuda_copy_in, cuda_copy_out, cuda_clusters, cuda_launch, cuda_follow, cuda_poll, cuda_forget,
};
