/* scan.h with byte permutations of 64 entries; included there. */

#ifndef MERIDIAN_SCAN_AVX512_H
#define MERIDIAN_SCAN_AVX512_H

#define MANY 4 /* queries from which on it pays to take codes apart */
#define CHOICE 0xca /* where the first has a one the second, else the third */
#define INLINE static inline __attribute__((always_inline))

typedef struct {
    __m512i sum[BLOCKS], even[BLOCKS], odd[BLOCKS];
} totals;

INLINE __m512i block_of(const uint8_t *bytes, int block) {
    return _mm512_loadu_si512(bytes + block * BLOCK);
}

/* The fourth group of three bytes: two bits of each, at their top. What stands above
 * six bits of an index a permutation ignores. */
INLINE __m512i fourth(__m512i a, __m512i b, __m512i c) {
    const __m512i two = _mm512_set1_epi8(3), four = _mm512_set1_epi8(15);
    b = _mm512_srli_epi16(b, 4), c = _mm512_srli_epi16(c, 2);
    b = _mm512_ternarylogic_epi64(two, _mm512_srli_epi16(a, 6), b, CHOICE);
    return _mm512_ternarylogic_epi64(four, b, c, CHOICE);
}

/* The PACKED groups of a block from their three bytes at group i. */
INLINE void groups_at(const uint8_t *codes, int64_t i, int b, __m512i *code) {
    for (int p = 0; p < 3; p++)
        code[p] = block_of(codes + (i / PACKED * 3 + p) * TILE, b);
    code[3] = fourth(code[0], code[1], code[2]);
}

/* Has those bytes of the next tile fetched. */
INLINE void fetch(const strip *s, int64_t i) {
    for (int64_t at = 0; s->next && at < 3 * TILE; at += 64)
        __builtin_prefetch(s->next + i / PACKED * 3 * TILE + at);
}

/* Adds a look-up of one block. */
INLINE void add(totals *t, int b, __m512i code, const uint8_t *entries) {
    t->sum[b] = _mm512_add_epi8(
        t->sum[b], _mm512_permutexvar_epi8(code, _mm512_load_si512(entries)));
}

/* Adds look-ups `from` to `to` of all rows of a tile, for n queries. */
INLINE void add_packed(const strip *s, int64_t from, int64_t to, const query *q, int n,
    totals *t) {
    for (int64_t i = from; i < to; i += PACKED) {
        fetch(s, i);
        for (int b = 0; b < BLOCKS; b++) {
            __m512i code[PACKED];
            groups_at(s->codes, i, b, code);
            for (int p = 0; p < PACKED; p++)
                for (int k = 0; k < n; k++)
                    add(t + k, b, code[p], q[k].lut + (i + p) * ENTRIES);
        }
    }
}

/* The same of codes that were taken apart. */
INLINE void add_apart(const strip *s, int64_t from, int64_t to, const query *q, int n,
    totals *t) {
    for (int64_t i = from; i < to; i++)
        for (int b = 0; b < BLOCKS; b++) {
            __m512i code = block_of(s->apart + i * TILE, b);
            for (int k = 0; k < n; k++)
                add(t + k, b, code, q[k].lut + i * ENTRIES);
        }
}

/* Writes a byte for each group. */
static inline void take_apart(strip *s, uint8_t *room) {
    for (int64_t i = 0; i < s->groups; i += PACKED) {
        fetch(s, i);
        for (int b = 0; b < BLOCKS; b++) {
            __m512i code[PACKED];
            groups_at(s->codes, i, b, code);
            for (int p = 0; p < PACKED; p++)
                _mm512_storeu_si512(room + (i + p) * TILE + b * BLOCK, code[p]);
        }
    }
    s->apart = room;
}

INLINE void widen(totals *t) {
    const __m512i low = _mm512_set1_epi16(0xff);
    for (int b = 0; b < BLOCKS; b++) {
        t->even[b] = _mm512_add_epi16(t->even[b], _mm512_and_si512(t->sum[b], low));
        t->odd[b] = _mm512_add_epi16(t->odd[b], _mm512_srli_epi16(t->sum[b], 8));
    }
}

INLINE void reach(const totals *t, const uint16_t *limits, uint64_t *out) {
    /* Even and odd rows in turn: 0, 32, 1, 33 and so on. */
    const __m512i turns = _mm512_add_epi32(_mm512_set1_epi32(0x200000),
        _mm512_mullo_epi32(_mm512_set1_epi32(0x10001),
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
    const __m512i later = _mm512_add_epi16(turns, _mm512_set1_epi16(16));
    for (int b = 0; b < BLOCKS; b++) {
        const uint16_t *own = limits + b * BLOCK;
        __m512i first = _mm512_permutex2var_epi16(t->even[b], turns, t->odd[b]);
        __m512i second = _mm512_permutex2var_epi16(t->even[b], later, t->odd[b]);
        uint64_t f = _mm512_cmpge_epu16_mask(first, _mm512_loadu_si512(own));
        uint64_t s = _mm512_cmpge_epu16_mask(second, _mm512_loadu_si512(own + 32));
        out[b] = f | s << 32;
    }
}

INLINE void scan_of(const strip *s, const query *q, int n, const uint16_t *limits,
    uint64_t (*out)[BLOCKS]) {
    totals t[2];
    for (int k = 0; k < n; k++)
        for (int b = 0; b < BLOCKS; b++)
            t[k].even[b] = t[k].odd[b] = _mm512_set1_epi16((short)q[k].start);
    for (int64_t g = 0; g < s->groups; g += RUN) {
        int64_t end = g + RUN < s->groups ? g + RUN : s->groups;
        for (int k = 0; k < n; k++)
            for (int b = 0; b < BLOCKS; b++)
                t[k].sum[b] = _mm512_setzero_si512();
        if (s->apart)
            add_apart(s, g, end, q, n, t);
        else
            add_packed(s, g, end, q, n, t);
        for (int k = 0; k < n; k++)
            widen(t + k);
    }
    for (int k = 0; k < n; k++)
        reach(t + k, limits, out[k]);
}

/* Functions of their own: among what surrounds them the compiler kept a sum in memory,
 * and a batch of 100 took 1.45 times as long. */
static __attribute__((noinline, unused)) void scan(
    const strip *s, const query *q, const uint16_t *limits, uint64_t *out) {
    scan_of(s, q, 1, limits, (uint64_t(*)[BLOCKS])out);
}

static __attribute__((noinline, unused)) void scan_two(
    const strip *s, const query *q, const uint16_t *limits, uint64_t (*out)[BLOCKS]) {
    scan_of(s, q, 2, limits, out);
}

#endif
