/* From a wanted score to the limits of codes, and the fine code of one row. */

#ifndef MERIDIAN_BOUNDS_H
#define MERIDIAN_BOUNDS_H

#include "scan.h"

/* An estimate's error lies across the row's direction, where a query at cosine w to the
 * row has only sqrt(1 - w^2): of what reaches a wanted w > 0 none errs by more. What is
 * left of the square is never taken for less than LEFT. */
#define LEFT 0.0625f
/* sqrt(e^2 + l^2) <= max(e, LEAST) + l^2 / (2 LEAST): no root for each row. */
#define LEAST 0.5f
/* Root mean square of the fine code's components, about. */
#define FINE 2.0f

/* Least product of a row with a query of length 1 that can reach `wanted` for some
 * query of the class, times the row's factor. */
static inline float needed(const class *c, float wanted, float bias) {
    float rest = wanted - bias - c->highest;
    return rest * (rest > 0 ? 1 / c->longest : 1 / c->shortest);
}

/* Totals from which on a row of the tile is looked at; `wanted` for all rows, or NULL
 * for their thresholds. Rounded down by more than the sums may be off. Thresholds are
 * met by all queries of a class, so for them a root for each row pays. */
static inline void limits_make(const table *t, const class *c, int64_t first,
    const float *wanted, float z, uint16_t *limits) {
    float by = 1 / (2 * c->step), lost = 2 * c->step * c->lost;
    float more = lost * lost / (2 * LEAST), base = c->level - 1.5f;
    float n = (float)t->width;
    const float *inverse = t->inverse + first, *rest = t->rest + first;
    const float *biases = t->biases + first, *own = t->thresholds + first;
    float found[TILE];
    for (int r = 0; r < TILE; r++) {
        /* w o sqrt(n), for a code whose cosine to its row is o. */
        float product = needed(c, wanted ? *wanted : own[r], biases[r]) * inverse[r];
        float spread = (rest[r] > LEAST ? rest[r] : LEAST) + more;
        if (!wanted) {
            float near = product > 0 ? product * product : 0;
            float across = rest[r] * rest[r], left = 1 - near / (n - across * (n - 1));
            spread = sqrtf(across * (left > LEFT ? left : LEFT) + lost * lost);
        }
        float limit = (product - z * spread) * by + base;
        found[r] = limit > 0 ? limit : 0; /* also where it is no number */
    }
    /* A loop of its own: in the other one it became four masks more. */
    for (int r = 0; r < TILE; r++)
        limits[r] = (uint16_t)(int)(found[r] < 65535 ? found[r] : 65535);
}

#if defined(__AVX2__) && !defined(__AVX512VBMI__)
/* Sums of 32 bytes of levels, four to a byte, with a query's bytes. */
static inline __m256i fine_part(__m256i c, const int8_t *bytes, int64_t quarter) {
    const __m256i three = _mm256_set1_epi8(3);
    __m256i sum = _mm256_setzero_si256();
    for (int f = 0; f < 4; f++, c = _mm256_srli_epi16(c, 2))
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_and_si256(c, three),
            _mm256_loadu_si256((const __m256i *)(bytes + f * quarter))));
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}
#endif

/* Sum of (2 u - 3) q over the two-bit levels u of a row. */
static inline int fine_sum(const table *t, int64_t slot, const query *q) {
    int64_t quarter = t->width / 4, j = 0;
    const uint8_t *code = t->fine + slot * quarter;
    const int8_t *bytes = q->bytes;
#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__)
    const __m512i three = _mm512_set1_epi8(3);
    __m512i one = _mm512_setzero_si512(), two = one;
    for (; j < quarter; j += 64, code += 64, bytes += 64) {
        int64_t left = quarter - j;
        __mmask64 m = left < 64 ? ((uint64_t)1 << left) - 1 : ~(uint64_t)0;
        __m512i c = _mm512_maskz_loadu_epi8(m, code);
        const int8_t *third = bytes + 2 * quarter;
        one = _mm512_dpbusd_epi32(
            one, _mm512_and_si512(c, three), _mm512_loadu_si512(bytes));
        two = _mm512_dpbusd_epi32(two,
            _mm512_and_si512(_mm512_srli_epi16(c, 2), three),
            _mm512_loadu_si512(bytes + quarter));
        one = _mm512_dpbusd_epi32(one,
            _mm512_and_si512(_mm512_srli_epi16(c, 4), three),
            _mm512_loadu_si512(third));
        two = _mm512_dpbusd_epi32(two,
            _mm512_and_si512(_mm512_srli_epi16(c, 6), three),
            _mm512_loadu_si512(third + quarter));
    }
    int sum = _mm512_reduce_add_epi32(_mm512_add_epi32(one, two));
#elif defined(__AVX2__)
    __m256i total = _mm256_setzero_si256();
    for (; j + 32 <= quarter; j += 32) {
        __m256i c = _mm256_loadu_si256((const __m256i *)(code + j));
        total = _mm256_add_epi32(total, fine_part(c, bytes + j, quarter));
    }
    if (j < quarter) { /* levels of zero count for nothing */
        __m128i c = _mm_loadu_si128((const __m128i *)(code + j));
        total = _mm256_add_epi32(
            total, fine_part(_mm256_zextsi128_si256(c), bytes + j, quarter));
    }
    __m128i four = _mm_add_epi32(
        _mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
    four = _mm_add_epi32(four, _mm_srli_si128(four, 8));
    int sum = _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_srli_si128(four, 4)));
#else
    int sum = 0;
    for (int f = 0; f < 4; f++)
        for (j = 0; j < quarter; j++)
            sum += (code[j] >> 2 * f & 3) * bytes[f * quarter + j];
#endif
    return 2 * sum - 3 * q->sum;
}

/* What is left of the square across a row, for a query whose score of it reaches
 * `wanted`: 1 - w^2. */
static inline float left_of(
    const table *t, const query *q, int64_t slot, float wanted) {
    float scale = t->scale[slot], spread = t->spread[slot], n = (float)t->width;
    float product = (wanted - t->biases[slot] - q->offset) / q->length;
    /* The row's length and factor, squared: FINE makes it a little more. */
    float row = FINE * FINE * n * scale * scale - (n - 1) * spread * spread;
    float left = 1 - (product > 0 ? product * product : 0) / row;
    return left > LEFT ? left : LEFT;
}

/* Most that the fine code lets the row's score be. Deviations are added, not their
 * squares: what rounding the bytes loses is small. No number: the row is looked at. */
static inline float fine_most(const table *t, const class *c, const query *q,
    int64_t slot, float z, float left) {
    float sum = c->byte * (float)fine_sum(t, slot, q) + z * FINE * c->crumbs;
    float product = t->scale[slot] * sum + z * t->spread[slot] * sqrtf(left);
    return q->length * product + t->biases[slot] + q->offset;
}

static inline void fine_prefetch(const table *t, int64_t slot) {
    const uint8_t *code = t->fine + slot * (t->width / 4);
    for (int64_t i = 0; i < t->width / 4; i += 64)
        __builtin_prefetch(code + i);
    __builtin_prefetch(t->scale + slot);
    __builtin_prefetch(t->spread + slot);
}

/* Writes the rows of a block's mask as pairs, SPARE more than there are at most, and
 * returns how many there are. Four at once: a branch for each is often guessed wrong. */
static inline int64_t take(uint64_t mask, int64_t first, int64_t query, pair *out) {
    int count = __builtin_popcountll(mask);
    for (int i = 0; i < count; i += 4)
        for (int j = i; j < i + 4; j++, mask &= mask - 1) {
            int row = __builtin_ctzll(mask | 1ull << 63);
            out[j] = (pair){(uint32_t)query, (uint32_t)(first + row)};
        }
    return count;
}

#endif
