/* scan.h with byte permutations of 64 entries; included there. */

#ifndef MERIDIAN_SCAN_AVX512_H
#define MERIDIAN_SCAN_AVX512_H

/* Four blocks at once, so that a look-up table is loaded once for 256 rows. */
static inline void scan(
    const strip *s, const query *q, const uint16_t *limits, uint64_t *out) {
    int64_t groups = s->groups;
    const uint8_t *codes = s->codes, *next = s->next;
    const __m512i low = _mm512_set1_epi16(0xff);
    __m512i even[BLOCKS], odd[BLOCKS];
    for (int b = 0; b < BLOCKS; b++)
        even[b] = odd[b] = _mm512_set1_epi16((short)q->start);
    for (int64_t g = 0; g < groups; g += RUN) {
        int64_t end = g + RUN < groups ? g + RUN : groups;
        __m512i sum[BLOCKS];
        for (int b = 0; b < BLOCKS; b++)
            sum[b] = _mm512_setzero_si512();
        for (int64_t i = g; i < end; i++) {
            __m512i entries = _mm512_load_si512(q->lut + i * ENTRIES);
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

#endif
