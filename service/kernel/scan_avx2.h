/* scan.h with shuffles of 16 entries; included there. */

#ifndef MERIDIAN_SCAN_AVX2_H
#define MERIDIAN_SCAN_AVX2_H

#define PARTS (TILE / 32)
#define MANY 4 /* queries from which on it pays to take codes apart */

static inline __m256i part_of(const uint8_t *bytes, int part) {
    return _mm256_loadu_si256((const __m256i *)bytes + part);
}

static inline __m256i table_of(const uint8_t *entries) {
    return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)entries));
}

static inline void widen(__m256i sum, __m256i *even, __m256i *odd) {
    const __m256i low = _mm256_set1_epi16(0xff);
    *even = _mm256_add_epi16(*even, _mm256_and_si256(sum, low));
    *odd = _mm256_add_epi16(*odd, _mm256_srli_epi16(sum, 8));
}

static inline uint32_t reach(__m256i even, __m256i odd, const uint16_t *limits) {
    __m256i a = _mm256_unpacklo_epi16(even, odd), b = _mm256_unpackhi_epi16(even, odd);
    __m256i first = _mm256_permute2x128_si256(a, b, 0x20);
    __m256i second = _mm256_permute2x128_si256(a, b, 0x31);
    __m256i l = _mm256_loadu_si256((const __m256i *)limits);
    __m256i m = _mm256_loadu_si256((const __m256i *)(limits + 16));
    l = _mm256_cmpeq_epi16(_mm256_max_epu16(first, l), first);
    m = _mm256_cmpeq_epi16(_mm256_max_epu16(second, m), second);
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi16(l, m), 0xd8);
    return (uint32_t)_mm256_movemask_epi8(packed);
}

/* Adds look-ups `from` to `to` of all rows of a tile: a table is loaded once for them,
 * and their sums stay in registers. */
static inline void add_packed(
    const strip *s, int64_t from, int64_t to, const uint8_t *lut, __m256i *sum) {
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int64_t i = from / 2; i < to / 2; i++) {
        __m256i l = table_of(lut + 2 * i * ENTRIES);
        __m256i m = table_of(lut + (2 * i + 1) * ENTRIES);
        for (int b = 0; s->next && b < TILE; b += 64)
            __builtin_prefetch(s->next + i * TILE + b);
        for (int h = 0; h < PARTS; h++) {
            __m256i both = part_of(s->codes + i * TILE, h);
            __m256i low = _mm256_and_si256(both, nibble);
            __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
            sum[h] = _mm256_add_epi8(sum[h], _mm256_shuffle_epi8(l, low));
            sum[h] = _mm256_add_epi8(sum[h], _mm256_shuffle_epi8(m, high));
        }
    }
}

/* The same of codes that were taken apart. */
static inline void add_apart(
    const strip *s, int64_t from, int64_t to, const uint8_t *lut, __m256i *sum) {
#pragma GCC unroll 4
    for (int64_t i = from; i < to; i++) {
        __m256i l = table_of(lut + i * ENTRIES);
        for (int h = 0; h < PARTS; h++)
            sum[h] = _mm256_add_epi8(
                sum[h], _mm256_shuffle_epi8(l, part_of(s->apart + i * TILE, h)));
    }
}

/* Writes the two groups of each byte to bytes of their own. */
static inline void take_apart(strip *s, uint8_t *room) {
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int64_t i = 0; i < s->groups / 2; i++)
        for (int h = 0; h < PARTS; h++) {
            __m256i both = part_of(s->codes + i * TILE, h);
            __m256i *to = (__m256i *)(room + 2 * i * TILE) + h;
            if (s->next && h % 2 == 0)
                __builtin_prefetch(s->next + i * TILE + h * 32);
            _mm256_storeu_si256(to, _mm256_and_si256(both, nibble));
            _mm256_storeu_si256(
                to + PARTS, _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble));
        }
    s->apart = room;
}

static inline void scan(
    const strip *s, const query *q, const uint16_t *limits, uint64_t *out) {
    __m256i even[PARTS], odd[PARTS];
    for (int h = 0; h < PARTS; h++)
        even[h] = odd[h] = _mm256_set1_epi16((short)q->start);
    for (int64_t g = 0; g < s->groups; g += RUN) {
        int64_t end = g + RUN < s->groups ? g + RUN : s->groups;
        __m256i sum[PARTS];
        for (int h = 0; h < PARTS; h++)
            sum[h] = _mm256_setzero_si256();
        if (s->apart)
            add_apart(s, g, end, q->lut, sum);
        else
            add_packed(s, g, end, q->lut, sum);
        for (int h = 0; h < PARTS; h++)
            widen(sum[h], &even[h], &odd[h]);
    }
    for (int b = 0; b < BLOCKS; b++) {
        const uint16_t *own = limits + b * BLOCK;
        uint64_t low = reach(even[2 * b], odd[2 * b], own);
        uint64_t high = reach(even[2 * b + 1], odd[2 * b + 1], own + 32);
        out[b] = low | high << 32;
    }
}

#endif
