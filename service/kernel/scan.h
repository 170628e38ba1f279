/* The sign codes of a tile against one query: which rows reach their limit. */

#ifndef MERIDIAN_SCAN_H
#define MERIDIAN_SCAN_H

#include "table.h"

#define BLOCKS (TILE / BLOCK)

#if defined(__AVX512VBMI__)

/* Four blocks at once, so that a look-up table is loaded once for 256 rows. next: the
 * codes of the tile that comes after, to be fetched meanwhile, or NULL. */
static inline void scan(const uint8_t *codes, int64_t groups, const uint8_t *lut,
    int start, const uint16_t *limits, const uint8_t *next, uint64_t *out) {
    const __m512i low = _mm512_set1_epi16(0xff);
    __m512i even[BLOCKS], odd[BLOCKS];
    for (int b = 0; b < BLOCKS; b++)
        even[b] = odd[b] = _mm512_set1_epi16((short)start);
    for (int64_t g = 0; g < groups; g += RUN) {
        int64_t end = g + RUN < groups ? g + RUN : groups;
        __m512i sum[BLOCKS];
        for (int b = 0; b < BLOCKS; b++)
            sum[b] = _mm512_setzero_si512();
        for (int64_t i = g; i < end; i++) {
            __m512i entries = _mm512_load_si512(lut + i * ENTRIES);
            if (next)
                for (int b = 0; b < BLOCKS; b++)
                    __builtin_prefetch(next + i * TILE + b * BLOCK);
            for (int b = 0; b < BLOCKS; b++) {
                __m512i code = _mm512_loadu_si512(codes + i * TILE + b * BLOCK);
                sum[b] = _mm512_add_epi8(
                    sum[b], _mm512_permutexvar_epi8(code, entries));
            }
        }
        for (int b = 0; b < BLOCKS; b++) {
            even[b] = _mm512_add_epi16(even[b], _mm512_and_si512(sum[b], low));
            odd[b] = _mm512_add_epi16(odd[b], _mm512_srli_epi16(sum[b], 8));
        }
    }
    /* Even and odd rows in turn: 0, 32, 1, 33 and so on. */
    const __m512i turns = _mm512_add_epi32(_mm512_set1_epi32(0x200000),
        _mm512_mullo_epi32(_mm512_set1_epi32(0x10001),
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
    const __m512i later = _mm512_add_epi16(turns, _mm512_set1_epi16(16));
    for (int b = 0; b < BLOCKS; b++) {
        const uint16_t *own = limits + b * BLOCK;
        __m512i first = _mm512_permutex2var_epi16(even[b], turns, odd[b]);
        __m512i second = _mm512_permutex2var_epi16(even[b], later, odd[b]);
        uint64_t f = _mm512_cmpge_epu16_mask(first, _mm512_loadu_si512(own));
        uint64_t s = _mm512_cmpge_epu16_mask(second, _mm512_loadu_si512(own + 32));
        out[b] = f | s << 32;
    }
}

#else

#if defined(__AVX2__)

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

static inline uint64_t scan_block(const uint8_t *codes, int64_t pairs,
    const uint8_t *lut, int start, const uint16_t *limits) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i e0 = _mm256_set1_epi16((short)start), o0 = e0, e1 = e0, o1 = e0;
    for (int64_t p = 0; p < pairs; p += RUN / 2) {
        int64_t end = p + RUN / 2 < pairs ? p + RUN / 2 : pairs;
        __m256i s0 = _mm256_setzero_si256(), s1 = s0;
        for (int64_t i = p; i < end; i++) {
            const __m128i *own = (const __m128i *)(lut + i * 2 * ENTRIES);
            __m256i l = _mm256_broadcastsi128_si256(_mm_load_si128(own));
            __m256i h = _mm256_broadcastsi128_si256(_mm_load_si128(own + 1));
            const __m256i *code = (const __m256i *)(codes + i * TILE);
            __m256i c0 = _mm256_loadu_si256(code), c1 = _mm256_loadu_si256(code + 1);
            __m256i d0 = _mm256_and_si256(_mm256_srli_epi16(c0, 4), nibble);
            __m256i d1 = _mm256_and_si256(_mm256_srli_epi16(c1, 4), nibble);
            c0 = _mm256_and_si256(c0, nibble);
            c1 = _mm256_and_si256(c1, nibble);
            s0 = _mm256_add_epi8(s0, _mm256_shuffle_epi8(l, c0));
            s1 = _mm256_add_epi8(s1, _mm256_shuffle_epi8(l, c1));
            s0 = _mm256_add_epi8(s0, _mm256_shuffle_epi8(h, d0));
            s1 = _mm256_add_epi8(s1, _mm256_shuffle_epi8(h, d1));
        }
        widen(s0, &e0, &o0);
        widen(s1, &e1, &o1);
    }
    uint64_t low = reach(e0, o0, limits), high = reach(e1, o1, limits + 32);
    return low | high << 32;
}

#elif defined(__aarch64__)

static inline uint64_t scan_block(const uint8_t *codes, int64_t pairs,
    const uint8_t *lut, int start, const uint16_t *limits) {
    uint64_t found = 0;
    for (int part = 0; part < BLOCK; part += 16) {
        uint16x8_t first = vdupq_n_u16((uint16_t)start), second = first;
        for (int64_t p = 0; p < pairs; p += RUN / 2) {
            int64_t end = p + RUN / 2 < pairs ? p + RUN / 2 : pairs;
            uint8x16_t sum = vdupq_n_u8(0);
            for (int64_t i = p; i < end; i++) {
                uint8x16_t code = vld1q_u8(codes + i * TILE + part);
                uint8x16_t l = vld1q_u8(lut + i * 2 * ENTRIES);
                uint8x16_t h = vld1q_u8(lut + i * 2 * ENTRIES + ENTRIES);
                sum = vaddq_u8(sum, vqtbl1q_u8(l, vandq_u8(code, vdupq_n_u8(15))));
                sum = vaddq_u8(sum, vqtbl1q_u8(h, vshrq_n_u8(code, 4)));
            }
            first = vaddw_u8(first, vget_low_u8(sum));
            second = vaddw_u8(second, vget_high_u8(sum));
        }
        uint16_t totals[16];
        vst1q_u16(totals, first);
        vst1q_u16(totals + 8, second);
        for (int r = 0; r < 16; r++)
            found |= (uint64_t)(totals[r] >= limits[part + r]) << (part + r);
    }
    return found;
}

#else

static inline uint64_t scan_block(const uint8_t *codes, int64_t pairs,
    const uint8_t *lut, int start, const uint16_t *limits) {
    uint16_t totals[BLOCK];
    uint64_t found = 0;
    for (int r = 0; r < BLOCK; r++)
        totals[r] = (uint16_t)start;
    for (int64_t i = 0; i < pairs; i++) {
        const uint8_t *code = codes + i * TILE, *own = lut + i * 2 * ENTRIES;
        for (int r = 0; r < BLOCK; r++)
            totals[r] += (uint16_t)(own[code[r] & 15] + own[ENTRIES + (code[r] >> 4)]);
    }
    for (int r = 0; r < BLOCK; r++)
        found |= (uint64_t)(totals[r] >= limits[r]) << r;
    return found;
}

#endif

static inline void scan(const uint8_t *codes, int64_t groups, const uint8_t *lut,
    int start, const uint16_t *limits, const uint8_t *next, uint64_t *out) {
    int64_t pairs = groups / PACKED;
    for (int64_t i = 0; next && i < pairs * TILE; i += 64)
        __builtin_prefetch(next + i);
    for (int b = 0; b < BLOCKS; b++)
        out[b] = scan_block(
            codes + b * BLOCK, pairs, lut, start, limits + b * BLOCK);
}

#endif
#endif
