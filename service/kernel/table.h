/* What the sources share: the table that Python fills, and its arrays.
 *
 * Two codes stand for a row x, rotated at random (rotate.c). The sign code has one
 * bit a component; it is scanned for every query. The fine code has two bits and is
 * looked at for what the signs let through. What both let through is scored with the
 * row itself. For a code c of x with o = <x, c> / (|x| |c|), <q, c> |x| / (o |c|)
 * estimates <q, x>, and its error is about normal with deviation
 * |x| |q| sqrt(1 - o^2) / (o sqrt(D - 1)) (RaBitQ, Gao and Long 2024): a row is let
 * through while estimate + z deviations reaches what is wanted. */

#ifndef MERIDIAN_TABLE_H
#define MERIDIAN_TABLE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512VBMI__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define BLOCK 64 /* rows of one mask */
#define QUERIES 128 /* queries that share a pass over the table */

/* GROUP: bits of the sign code that one look-up takes: a byte permutation of 64 entries
 * with AVX-512 VBMI, of 16 elsewhere. PACKED groups fill bytes: two one of them, or four
 * three, of which each has a group below and two bits of the fourth above it. TILE: rows
 * that are scanned for all queries before the next ones, so few that their codes stay in
 * the first cache; they lie together, byte by byte. */
#if defined(__AVX512VBMI__)
#define GROUP 6
#define PACKED 4
#define TILE 256
#else
#define GROUP 4
#define PACKED 2
#define TILE 128
#endif
#define BLOCKS (TILE / BLOCK)
#define ENTRIES (1 << GROUP)
#define RUN 32 /* look-ups summed in eight bits before they are widened */

typedef struct {
    int64_t dimension;  /* floats of a row */
    int64_t width;      /* components after rotation, a multiple of 64 */
    int64_t half;       /* 1: rows are IEEE half, 0: float */
    int64_t coded;      /* 0: no codes, every row is scored */
    const float *signs; /* ROUNDS * width random signs */
    void *rows;         /* [capacity][dimension] */
    uint8_t *codes;     /* [capacity / TILE][groups * GROUP / 8][TILE] */
    uint8_t *fine;      /* [capacity][width / 4] */
    float *inverse;     /* 1 / (factor * |x| / (o |c|)) of the sign code */
    float *rest;        /* sqrt(1 - o^2) * sqrt(D / (D - 1)) of the sign code */
    float *scale;       /* factor * |x| / (o |c|) of the fine code */
    float *spread;      /* factor * |x| sqrt(1 - o^2) / (o sqrt(D - 1)) of it */
    float *thresholds;  /* +inf where no row lives */
    float *factors;
    float *biases;
    uint8_t *alive;
    int64_t used;       /* slots below it were handed out; capacity: TILE-fold */
} table;

/* A query, rotated at length 1, and the numbers that its totals are read with. */
typedef struct {
    const float *given; /* as the caller gave it */
    float *turned;      /* [width], length 1 */
    uint8_t *lut;       /* [groups][ENTRIES] */
    int8_t *bytes;      /* [width + 64], for the fine code */
    float length, offset;
    int64_t number; /* which of the caller's */
    float level;    /* what a total of zero stands for, in steps, negated */
    float lost;     /* deviation that rounding the look-ups adds, in steps */
    int start;      /* added to every total: brings the class to one level */
    int sum;        /* of the bytes */
} query;

/* Queries of about one length and offset: they share limits and rounding steps. */
typedef struct {
    query *queries;
    int64_t count;
    int plain; /* 1: a query that is not finite; nothing else is filled in */
    float shortest, longest, lowest, highest; /* lengths, offsets */
    float step, level, lost; /* of the look-ups */
    float byte, crumbs;      /* step of the bytes and what rounding to it loses */
} class;

/* A query of a class and a row that may belong together. */
typedef struct {
    uint32_t query, slot;
} pair;

#define ENOUGH 32 /* pairs that are gathered before their fine codes and rows are read,
                   * which are fetched meanwhile */
#define SPARE 3   /* pairs that `take` may write behind the last one */

static inline int64_t groups_of(const table *t) {
    int64_t groups = (t->width + GROUP - 1) / GROUP;
    return (groups + PACKED - 1) / PACKED * PACKED;
}

static inline int64_t code_bytes(const table *t) { return groups_of(t) * GROUP / 8; }

/* The component that a bit of a row's sign code stands for. */
static inline int64_t component_of(int64_t byte, int bit) {
    int64_t part = byte % (GROUP * PACKED / 8), first = (byte - part) * 8;
    if (bit < GROUP && PACKED == 4)
        return first + part * GROUP + bit;
    if (PACKED == 4)
        return first + 3 * GROUP + part * 2 + bit - GROUP;
    return first + bit;
}

/* rotate.c */
void rotate(const table *t, const float *x, float *out);

/* probe.c */
query *queries_make(
    const table *t, const float *vectors, const float *offsets, int64_t n);
void queries_free(query *queries);
int64_t class_make(const table *t, query *queries, int64_t n, class *out);
void class_signs(const table *t, class *c);


#endif
