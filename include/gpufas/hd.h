/* SPDX-License-Identifier: MIT
 *
 * One source, two compilers. Headers under gpu/ are compiled by gcc for the CPU
 * engine and by nvcc for the device. This file holds everything in which the two
 * differ, so that no other header needs a vendor #ifdef.
 *
 * GF_WIDTH is how many rows (tasks) one call of the interpreter works on. On the
 * CPU a whole chunk, so that each opcode is one vectorisable loop; on the device
 * one: there every lane is a thread. Results do not depend on it.
 */
#ifndef GPUFAS_HD_H
#define GPUFAS_HD_H

#include <stdint.h>
#include <stddef.h>

/* GF_SELDOM: what is not done for every row. On the device it is a function of its own: one of ten thousand instructions, as they
 * become when everything is put into everything, takes its compiler minutes. */
#if defined(__CUDACC__)
#define GF_HD __host__ __device__
#define GF_INLINE static __host__ __device__ __forceinline__
#define GF_SELDOM static __host__ __device__ __attribute__((noinline, unused))
/* Small, and wanted in many places: a device's code must fit into its instruction caches, so it is there once. */
#define GF_CALLED GF_SELDOM
#define GF_RESTRICT __restrict__
/* Too large to be put in wherever it is called from. */
#define GF_OUTLINE static __host__ __device__ __noinline__ __attribute__((unused))
#else
#define GF_HD
/* Sanitizers' checks in all of it make one function out of a tick that compilers work on for minutes: there they choose. */
#if defined(__SANITIZE_ADDRESS__) || defined(GF_CHOOSE_INLINE)
#define GF_INLINE static inline __attribute__((unused))
#else
#define GF_INLINE static inline __attribute__((always_inline, unused))
#endif
#define GF_SELDOM GF_INLINE
#define GF_CALLED GF_INLINE
#define GF_RESTRICT restrict
#define GF_OUTLINE static __attribute__((unused))
#endif

/* Before a loop whose loads are to be under way together. */
#if defined(__CUDACC__)
#define GF_UNROLL _Pragma("unroll")
#else
#define GF_UNROLL
#endif

/* Before a loop that most often goes round once. */
#if defined(__CUDACC__)
#define GF_ROLLED _Pragma("unroll 1")
#else
#define GF_ROLLED
#endif

/* The number of the lowest bit; w is not 0. */
GF_INLINE uint32_t gf_ctz64(uint64_t w)
{
#if defined(__CUDA_ARCH__)
	return (uint32_t)__ffsll((long long)w) - 1;
#else
	return (uint32_t)__builtin_ctzll(w);
#endif
}

/* Numbers that need not be aligned. The memory of a dump lies in its file wherever that may be; only CPUs read it. */
#if defined(__CUDACC__)
typedef uint16_t gf_u16_any;
typedef uint32_t gf_u32_any;
typedef uint64_t gf_u64_any;
#else
typedef uint16_t __attribute__((aligned(1), may_alias)) gf_u16_any;
typedef uint32_t __attribute__((aligned(1), may_alias)) gf_u32_any;
typedef uint64_t __attribute__((aligned(1), may_alias)) gf_u64_any;
#endif

/* Loads before it are done before loads after it. x86 loads in order: there it is the compiler that must not move them. */
#if defined(__CUDA_ARCH__)
#define GF_LOAD_FENCE() __threadfence_system()
#else
#define GF_LOAD_FENCE() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#endif

#ifdef __cplusplus
#define GF_STATIC_ASSERT(c, m) static_assert(c, m)
#else
#define GF_STATIC_ASSERT(c, m) _Static_assert(c, m)
#endif

#ifndef GF_WIDTH
#if defined(__CUDACC__)
#define GF_WIDTH 1
#else
#define GF_WIDTH 128
#endif
#endif

/* Where GF_WIDTH is 1, so many rows may be given to a lane at a time all the same: what finding out an opcode costs is shared by them. */
#define GF_LANE_ROWS 4u
#define GF_ROWS_MOST (GF_WIDTH > 1 ? GF_WIDTH : GF_LANE_ROWS)

/* Rows are reduced in groups of this many, in a fixed shape (pairwise inside a
 * group, groups in order), so that a sum of doubles is the same bits whatever
 * GF_WIDTH is and whoever computes it. GF_WIDTH is 1 or a multiple of this. */
#define GF_REDUCE 64u

#define GF_NONE 0xffffffffu

#define GF_MIN(a, b) ((a) < (b) ? (a) : (b))
#define GF_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Three-valued truth (Kleene): and = min, or = max, not = 2 - x. */
enum gf_tri { GF_FALSE = 0, GF_UNKNOWN = 1, GF_TRUE = 2 };

/* An unknown number is a NaN. All NaNs mean the same; bits are not compared. */
GF_INLINE double gf_unknown(void)
{
	union { uint64_t u; double d; } x;
	x.u = 0x7ff8000000000000ull;
	return x.d;
}

GF_INLINE int gf_is_unknown(double v)
{
	return v != v;
}

#endif
