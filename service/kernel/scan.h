/* The sign codes of a tile against one query: which rows reach their limit.
 *
 * Each set of instructions has its `scan`, with one bit of `out` for each row. */

#ifndef MERIDIAN_SCAN_H
#define MERIDIAN_SCAN_H

#include "table.h"

/* The sign codes of a tile. */
typedef struct {
    const uint8_t *codes;
    const uint8_t *next;  /* those of the next tile, to be fetched, or NULL */
    const uint8_t *apart; /* [groups][TILE]: a byte for each group, or NULL */
    int64_t groups;
} strip;

#if defined(__AVX512VBMI__)
#include "scan_avx512.h"
#elif defined(__AVX2__)
#include "scan_avx2.h"
#else

#if defined(__aarch64__)

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

static inline void scan(
    const strip *s, const query *q, const uint16_t *limits, uint64_t *out) {
    int64_t pairs = s->groups / PACKED;
    for (int64_t i = 0; s->next && i < pairs * TILE; i += 64)
        __builtin_prefetch(s->next + i);
    for (int b = 0; b < BLOCKS; b++)
        out[b] = scan_block(
            s->codes + b * BLOCK, pairs, q->lut, q->start, limits + b * BLOCK);
}

#endif

#if !defined(__AVX512VBMI__)
/* Two queries, which elsewhere do not fit the registers at once. */
static inline void scan_two(
    const strip *s, const query *q, const uint16_t *limits, uint64_t (*out)[BLOCKS]) {
    strip again = *s;
    again.next = NULL;
    scan(s, q, limits, out[0]);
    scan(&again, q + 1, limits, out[1]);
}
#endif

/* Room for codes that are taken apart; NULL: no memory. */
static inline uint8_t *strip_room(const table *t) {
    return aligned_alloc(64, (size_t)groups_of(t) * TILE);
}

/* The codes of the tile at `first`, for n queries. */
static inline strip strip_of(const table *t, int64_t first, int64_t n, uint8_t *room) {
    int64_t bytes = TILE * code_bytes(t);
    strip s = {.codes = t->codes + first / TILE * bytes, .groups = groups_of(t)};
    if (first + TILE < t->used)
        s.next = s.codes + bytes;
#if defined(__AVX2__)
    if (n >= MANY)
        take_apart(&s, room);
#else
    (void)n, (void)room;
#endif
    return s;
}

#endif
