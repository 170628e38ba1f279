/* Pairs of vectors and rows at the rows' thresholds. */

#include "bounds.h"
#include "rows.h"
#include "tiles.h"

typedef struct {
    int64_t room, found;
    int64_t *which, *slots;
    float *scores;
} answer;

static void decide(const table *t, const query *q, int64_t slot, answer *a) {
    float wanted = t->thresholds[slot];
    if (wanted == INFINITY)
        return;
    float score = score_of(t, q->given, q->offset, slot);
    if (!(score >= wanted))
        return;
    if (a->found < a->room) {
        a->which[a->found] = q->number;
        a->slots[a->found] = slot;
        a->scores[a->found] = score;
    }
    a->found++;
}

static void match_all(const table *t, const class *c, answer *a) {
    for (int64_t slot = 0; slot < t->used; slot++)
        for (int64_t i = 0; i < c->count; i++)
            decide(t, c->queries + i, slot, a);
}

/* What the sign codes of a tile let through, as query * TILE + row. */
static int64_t by_signs(const table *t, const class *c, int64_t first, float z,
    uint16_t *pairs) {
    int64_t groups = groups_of(t), count = 0;
    const uint8_t *codes = t->codes + first * code_bytes(t);
    const uint8_t *next = first + TILE < t->used ? codes + TILE * code_bytes(t) : NULL;
    uint16_t limits[TILE];
    limits_make(t, c, first, NULL, z, limits);
    for (int64_t i = 0; i < c->count; i++) {
        uint64_t masks[BLOCKS];
        const query *q = c->queries + i;
        scan(codes, groups, q->lut, q->start, limits, i ? NULL : next, masks);
        for (int b = 0; b < BLOCKS; b++)
            for (uint64_t m = masks[b]; m; m &= m - 1) {
                int row = b * BLOCK + __builtin_ctzll(m);
                fine_prefetch(t, first + row);
                pairs[count++] = (uint16_t)(i * TILE + row);
            }
    }
    return count;
}

/* What the fine codes let through of those pairs. */
static int64_t by_fine(const table *t, const class *c, int64_t first, float z,
    uint16_t *pairs, int64_t count) {
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t slot = first + pairs[i] % TILE;
        if (t->thresholds[slot] == INFINITY
            || !fine_reaches(t, c, c->queries + pairs[i] / TILE, slot,
                t->thresholds[slot], z))
            continue;
        row_prefetch(t, slot);
        pairs[kept++] = pairs[i];
    }
    return kept;
}

static void match_class(const table *t, class *c, float z, uint16_t *pairs,
    answer *a) {
    tiles *ready = tiles_open(t, c);
    if (!ready)
        class_signs(t, c);
    for (int64_t first = 0; first < t->used; first += TILE) {
        int64_t count;
        if (ready) {
            count = tiles_pairs(ready, first, z, pairs);
            for (int64_t i = 0; i < count; i++)
                row_prefetch(t, first + pairs[i] % TILE);
        } else {
            count = by_signs(t, c, first, z, pairs);
            count = by_fine(t, c, first, z, pairs, count);
        }
        for (int64_t i = 0; i < count; i++)
            decide(t, c->queries + pairs[i] / TILE, first + pairs[i] % TILE, a);
    }
    tiles_close(ready);
}

/* Pairs at their row's threshold. Returns how many there are; at most `room` are
 * written. -1: no memory. offsets may be NULL. */
int64_t meridian_match(const table *t, const float *vectors, const float *offsets,
    int64_t n, float z, int64_t room, int64_t *which, int64_t *slots, float *scores) {
    answer a = {.room = room, .which = which, .slots = slots, .scores = scores};
    uint16_t *pairs = malloc(QUERIES * TILE * sizeof(uint16_t));
    query *queries = queries_make(t, vectors, offsets, n);
    if (!pairs || !queries) {
        free(pairs), queries_free(queries);
        return -1;
    }
    for (int64_t i = 0; i < n;) {
        class c;
        if (!t->coded)
            c = (class){.queries = queries, .count = n, .plain = 1};
        else
            class_make(t, queries + i, n - i, &c);
        if (c.plain)
            match_all(t, &c, &a);
        else
            match_class(t, &c, z, pairs, &a);
        i += c.count;
    }
    free(pairs), queries_free(queries);
    return a.found;
}
