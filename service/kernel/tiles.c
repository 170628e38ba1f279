/* Fine codes against a whole class of queries on AMX: no sign code is read.
 *
 * Sixteen rows, unpacked to bytes, times sixteen queries, 64 components at a step; the
 * 32-bit sums are the same that fine_sum gives. */

#include "tiles.h"

#include "bounds.h"

#if defined(__AMX_INT8__) && defined(__AVX512VBMI__)

#include <sys/syscall.h>

long syscall(long number, ...); /* unistd.h hides it under strict C */

#define SIDE 16       /* rows and queries of a product */
#define LEAST_QUERIES 12 /* below which the sign codes are read faster */
#define FAR 2.5e8f    /* beyond any sum */

struct tiles {
    const table *t;
    const class *c;
    int64_t steps, sides;
    int8_t *queries; /* [sides][steps][SIDE][64]: four components of a query a word */
    int8_t *rows;    /* [2 * SIDE][width] */
};

/* Asks the system for the unit's state; 0 where it refuses. */
int64_t meridian_ready(void) { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

/* The intrinsics do not tell the compiler what memory they read. */
#define SETTLED(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

static void configure(void) {
    struct {
        uint8_t palette, start, none[14];
        uint16_t columns[16];
        uint8_t rows[16];
    } wanted = {.palette = 1};
    for (int i = 0; i < 8; i++)
        wanted.columns[i] = 64, wanted.rows[i] = SIDE;
    SETTLED(&wanted);
    _tile_loadconfig(&wanted);
}

tiles *tiles_open(const table *t, const class *c) {
    if (c->count < LEAST_QUERIES)
        return NULL;
    /* Pairs of sides: a side that is empty stays zero. */
    int64_t steps = t->width / 64, sides = (c->count + 2 * SIDE - 1) / (2 * SIDE) * 2;
    size_t head = 64, own = (size_t)(sides * SIDE * t->width);
    size_t all = head + own + (size_t)(2 * SIDE * t->width);
    tiles *made = aligned_alloc(64, all);
    if (!made)
        return NULL;
    memset(made, 0, all);
    *made = (tiles){.t = t, .c = c, .steps = steps, .sides = sides,
        .queries = (int8_t *)made + head, .rows = (int8_t *)made + head + own};
    for (int64_t i = 0; i < c->count; i++)
        for (int64_t j = 0; j < t->width; j += 4) {
            int64_t block = i / SIDE * steps + j / 64;
            int8_t *to = made->queries + (block * SIDE + j % 64 / 4) * 64;
            memcpy(to + i % SIDE * 4, c->queries[i].bytes + j, 4);
        }
    configure();
    return made;
}

void tiles_close(tiles *ready) {
    if (ready)
        _tile_release();
    free(ready);
}

/* Two bits of each component to -3, -1, 1, 3. */
static void unpack(const table *t, int64_t slot, int8_t *out) {
    const __m512i levels = _mm512_set1_epi32(0x0301fffd), three = _mm512_set1_epi8(3);
    int64_t quarter = t->width / 4;
    const uint8_t *code = t->fine + slot * quarter;
    for (int64_t j = 0; j < quarter; j += 64) {
        __mmask64 m = quarter - j < 64 ? ((uint64_t)1 << (quarter - j)) - 1 : ~0ull;
        __m512i c = _mm512_maskz_loadu_epi8(m, code + j);
        for (int f = 0; f < 4; f++, c = _mm512_srli_epi16(c, 2))
            _mm512_mask_storeu_epi8(out + f * quarter + j, m,
                _mm512_shuffle_epi8(levels, _mm512_and_si512(c, three)));
    }
}

/* For 32 rows what is taken off every sum, so that a sum below 0 is let go: the least
 * sum at which the fine code lets a row reach its threshold for some query. */
static void begin(const table *t, const class *c, int64_t first, float z,
    int32_t out[2 * SIDE][SIDE]) {
    const float *wanted = t->thresholds + first;
    const float *scales = t->scale + first, *spreads = t->spread + first;
    int32_t least[2 * SIDE];
    for (int r = 0; r < 2 * SIDE; r++) {
        float own = spreads[r], crumbs = scales[r] * FINE * c->crumbs;
        float product = needed(c, wanted[r], t->biases[first + r]);
        float sum = product - z * sqrtf(own * own + crumbs * crumbs);
        sum /= scales[r] * c->byte;
        /* Down by more than arithmetic may be off; what is no number lets through. */
        sum -= 2 + 1e-5f * fabsf(sum);
        sum = sum > -FAR ? sum : -FAR;
        sum = wanted[r] < INFINITY ? sum : FAR;
        least[r] = (int)(sum < FAR ? sum : FAR);
    }
    for (int r = 0; r < 2 * SIDE; r++)
        _mm512_store_si512(out[r], _mm512_set1_epi32(-least[r]));
}

/* Products of 32 rows with 32 queries. */
static void multiply(const tiles *m, int64_t side, int32_t begun[2 * SIDE][SIDE],
    int32_t out[4][SIDE][SIDE]) {
    int64_t width = m->t->width;
    const int8_t *q = m->queries + side * m->steps * SIDE * 64;
    const int8_t *r = m->queries + (side + 1) * m->steps * SIDE * 64;
    SETTLED(m->rows);
    _tile_loadd(0, begun, 64);
    _tile_loadd(1, begun, 64);
    _tile_loadd(2, begun + SIDE, 64);
    _tile_loadd(3, begun + SIDE, 64);
    for (int64_t k = 0; k < m->steps; k++) {
        _tile_loadd(4, m->rows + k * 64, width);
        _tile_loadd(6, q + k * SIDE * 64, 64);
        _tile_loadd(7, r + k * SIDE * 64, 64);
        _tile_loadd(5, m->rows + SIDE * width + k * 64, width);
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, out[0], 64);
    _tile_stored(1, out[1], 64);
    _tile_stored(2, out[2], 64);
    _tile_stored(3, out[3], 64);
    SETTLED(out);
}

/* Pairs of four rows of a product whose sums are not below 0. */
static int64_t four_rows(int32_t sums[4][SIDE][SIDE], int64_t row, uint32_t real,
    int64_t query, int64_t slot, pair *pairs) {
    int32_t(*low)[SIDE] = sums[row / SIDE * 2] + row % SIDE;
    int32_t(*high)[SIDE] = sums[row / SIDE * 2 + 1] + row % SIDE;
    int64_t count = 0;
    __m512i all = _mm512_load_si512(low[0]);
    for (int r = 1; r < 4; r++)
        all = _mm512_and_si512(all, _mm512_load_si512(low[r]));
    for (int r = 0; r < 4; r++)
        all = _mm512_and_si512(all, _mm512_load_si512(high[r]));
    if (_mm512_movepi32_mask(all) == 0xffff)
        return 0;
    for (int r = 0; r < 4; r++) {
        uint32_t a = _mm512_movepi32_mask(_mm512_load_si512(low[r]));
        uint32_t b = _mm512_movepi32_mask(_mm512_load_si512(high[r]));
        for (uint32_t f = ~(a | b << 16) & real; f; f &= f - 1)
            pairs[count++] = (pair){(uint32_t)(query + __builtin_ctz(f)),
                (uint32_t)(slot + r)};
    }
    return count;
}

/* Pairs of the tile at `first` that the fine codes let through. */
int64_t tiles_pairs(tiles *m, int64_t first, float z, pair *pairs) {
    const table *t = m->t;
    int64_t count = 0, code = t->width / 4;
    int32_t sums[4][SIDE][SIDE] __attribute__((aligned(64)));
    int32_t begun[2 * SIDE][SIDE] __attribute__((aligned(64)));
    const uint8_t *next = first + TILE < t->used ? t->fine + (first + TILE) * code : NULL;
    for (int64_t base = 0; base < TILE && first + base < t->used; base += 2 * SIDE) {
        for (int64_t r = 0; r < 2 * SIDE; r++)
            unpack(t, first + base + r, m->rows + r * t->width);
        for (int64_t i = 0; next && i < 2 * SIDE * code; i += 64)
            __builtin_prefetch(next + base * code + i);
        begin(t, m->c, first + base, z, begun);
        for (int64_t side = 0; side < m->sides; side += 2) {
            multiply(m, side, begun, sums);
            int64_t left = m->c->count - side * SIDE;
            uint32_t real = left < 2 * SIDE ? (1u << left) - 1 : ~0u;
            for (int64_t r = 0; r < 2 * SIDE; r += 4)
                count += four_rows(
                    sums, r, real, side * SIDE, first + base + r, pairs + count);
        }
    }
    return count;
}

#else

int64_t meridian_ready(void) { return 1; }

tiles *tiles_open(const table *t, const class *c) {
    (void)t, (void)c;
    return NULL;
}

int64_t tiles_pairs(tiles *ready, int64_t first, float z, pair *pairs) {
    (void)ready, (void)first, (void)z, (void)pairs;
    return 0;
}

void tiles_close(tiles *ready) { (void)ready; }

#endif
