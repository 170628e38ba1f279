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

/* Adds the rows of a tile that a query's signs let through to `count` pairs. */
static int64_t gather(const table *t, const uint64_t *masks, int64_t first,
    int64_t query, pair *pairs, int64_t count) {
    for (int b = 0; b < BLOCKS; b++)
        for (int64_t n = take(masks[b], first + b * BLOCK, query, pairs + count); n; n--)
            fine_prefetch(t, pairs[count++].slot);
    return count;
}

/* Adds what the sign codes of a tile let through to `count` pairs. */
static int64_t by_signs(const table *t, const class *c, int64_t first, float z,
    uint8_t *apart, pair *pairs, int64_t count) {
    strip s = strip_of(t, first, c->count, apart);
    uint16_t limits[TILE];
    limits_make(t, c, first, NULL, z, limits);
    for (int64_t i = 0; i < c->count; i += 2) {
        uint64_t masks[2][BLOCKS];
        int both = i + 1 < c->count;
        if (both)
            scan_two(&s, c->queries + i, limits, masks);
        else
            scan(&s, c->queries + i, limits, masks[0]);
        s.next = NULL;
        for (int k = 0; k <= both; k++)
            count = gather(t, masks[k], first, i + k, pairs, count);
    }
    return count;
}

/* What the fine codes let through of those pairs. */
static int64_t by_fine(
    const table *t, const class *c, float z, pair *pairs, int64_t count) {
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        pair p = pairs[i];
        const query *q = c->queries + p.query;
        float wanted = t->thresholds[p.slot];
        if (wanted == INFINITY
            || fine_most(t, c, q, p.slot, z, left_of(t, q, p.slot, wanted)) < wanted)
            continue;
        row_prefetch(t, p.slot);
        pairs[kept++] = p;
    }
    return kept;
}

/* Adds what the fine codes of a tile let through on a matrix unit. */
static int64_t by_tiles(tiles *ready, const table *t, int64_t first, float z,
    pair *pairs, int64_t count) {
    int64_t all = count + tiles_pairs(ready, first, z, pairs + count);
    for (; count < all; count++)
        row_prefetch(t, pairs[count].slot);
    return all;
}

static void match_class(const table *t, class *c, float z, uint8_t *apart, pair *pairs,
    answer *a) {
    tiles *ready = tiles_open(t, c);
    int64_t count = 0;
    if (!ready)
        class_signs(t, c);
    for (int64_t first = 0; first < t->used; first += TILE) {
        if (ready)
            count = by_tiles(ready, t, first, z, pairs, count);
        else
            count = by_signs(t, c, first, z, apart, pairs, count);
        if (count < ENOUGH && first + TILE < t->used)
            continue;
        if (!ready)
            count = by_fine(t, c, z, pairs, count);
        for (int64_t i = 0; i < count; i++)
            decide(t, c->queries + pairs[i].query, pairs[i].slot, a);
        count = 0;
    }
    tiles_close(ready);
}

/* Pairs at their row's threshold. Returns how many there are; at most `room` are
 * written. -1: no memory. offsets may be NULL. */
int64_t meridian_match(const table *t, const float *vectors, const float *offsets,
    int64_t n, float z, int64_t room, int64_t *which, int64_t *slots, float *scores) {
    answer a = {.room = room, .which = which, .slots = slots, .scores = scores};
    pair *pairs = malloc((ENOUGH + QUERIES * TILE + SPARE) * sizeof(pair));
    uint8_t *apart = strip_room(t);
    query *queries = queries_make(t, vectors, offsets, n);
    if (!pairs || !apart || !queries) {
        free(pairs), free(apart), queries_free(queries);
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
            match_class(t, &c, z, apart, pairs, &a);
        i += c.count;
    }
    free(pairs), free(apart), queries_free(queries);
    return a.found;
}
