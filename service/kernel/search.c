/* The best rows for queries: by codes, or all rows scored. */

#include "bounds.h"
#include "rows.h"

/* The k best so far of one query; a heap, the lowest first, once it is full. */
typedef struct {
    int64_t k, kept;
    float minimum;
    int64_t *slots;
    float *scores;
} top;

/* Whether a comes after b: lower, or as high and in a later slot. */
static int worse(const top *p, int64_t a, int64_t b) {
    if (p->scores[a] != p->scores[b])
        return p->scores[a] < p->scores[b];
    return p->slots[a] > p->slots[b];
}

static void swap(top *p, int64_t a, int64_t b) {
    float score = p->scores[a];
    int64_t slot = p->slots[a];
    p->scores[a] = p->scores[b], p->slots[a] = p->slots[b];
    p->scores[b] = score, p->slots[b] = slot;
}

/* Moves the one at i down to its place in a heap of n. */
static void sift(top *p, int64_t n, int64_t i) {
    for (;;) {
        int64_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < n && worse(p, left, least))
            least = left;
        if (right < n && worse(p, right, least))
            least = right;
        if (least == i)
            return;
        swap(p, i, least);
        i = least;
    }
}

static void heap_make(top *p) {
    for (int64_t i = p->kept / 2 - 1; i >= 0; i--)
        sift(p, p->kept, i);
}

/* The best first, of equals the one in the earlier slot. */
static void order(top *p) {
    if (p->kept < p->k)
        heap_make(p);
    for (int64_t n = p->kept - 1; n > 0; n--) {
        swap(p, 0, n);
        sift(p, n, 0);
    }
}

static void offer(top *p, int64_t slot, float score) {
    if (!(score >= p->minimum) || p->k == 0)
        return;
    if (p->kept < p->k) {
        p->scores[p->kept] = score;
        p->slots[p->kept++] = slot;
        if (p->kept == p->k)
            heap_make(p);
    } else if (score > p->scores[0]
        || (score == p->scores[0] && slot < p->slots[0])) {
        p->scores[0] = score;
        p->slots[0] = slot;
        sift(p, p->k, 0);
    }
}

static float lowest(const top *p) {
    if (p->kept < p->k)
        return p->minimum;
    return p->scores[0] > p->minimum ? p->scores[0] : p->minimum;
}

static int allowed(const table *t, const uint8_t *mask, int64_t slot) {
    return slot < t->used && t->alive[slot] && (!mask || mask[slot]);
}

static void all_rows(const table *t, const query *q, const uint8_t *mask, top *p) {
    for (int64_t slot = 0; slot < t->used; slot++)
        if (allowed(t, mask, slot))
            offer(p, slot, score_of(t, q->given, q->offset, slot));
}

/* A query, its best, and rows that its sign code let through. */
typedef struct {
    class c;
    top best;
    int64_t count;
    pair pairs[ENOUGH + TILE + SPARE];
} asked;

/* Looks at the rows that were gathered for a query. */
static void settle(const table *t, const uint8_t *mask, float z, asked *a) {
    const query *q = a->c.queries;
    pair *pairs = a->pairs;
    float most[ENOUGH + TILE], wanted = lowest(&a->best);
    int64_t kept = 0, count = a->count;
    for (int64_t i = 0; i < count; i++) {
        int64_t slot = pairs[i].slot;
        if (!allowed(t, mask, slot))
            continue;
        most[kept] = fine_most(t, &a->c, q, slot, z, 1);
        if (most[kept] < wanted)
            continue;
        row_prefetch(t, slot);
        pairs[kept++] = pairs[i];
    }
    for (int64_t i = 0; i < kept; i++)
        if (!(most[i] < lowest(&a->best)))
            offer(&a->best, pairs[i].slot,
                score_of(t, q->given, q->offset, pairs[i].slot));
    a->count = 0;
}

static void tile(const table *t, const uint8_t *mask, int64_t first, float z,
    const strip *s, asked *a) {
    uint16_t limits[TILE];
    uint64_t found[BLOCKS];
    float wanted = lowest(&a->best);
    limits_make(t, &a->c, first, &wanted, z, limits);
    scan(s, a->c.queries, limits, found);
    for (int b = 0; b < BLOCKS; b++) {
        int64_t end = a->count;
        end += take(found[b], first + b * BLOCK, 0, a->pairs + end);
        for (; a->count < end; a->count++) {
            __builtin_prefetch(t->alive + a->pairs[a->count].slot);
            fine_prefetch(t, a->pairs[a->count].slot);
        }
    }
    if (a->count >= ENOUGH || a->best.kept < a->best.k)
        settle(t, mask, z, a);
}

static void by_codes(const table *t, const uint8_t *mask, float z, uint8_t *room,
    asked *a, int64_t n) {
    for (int64_t first = 0; t->coded && first < t->used; first += TILE) {
        strip s = strip_of(t, first, n, room);
        for (int64_t i = 0; i < n; i++)
            if (!a[i].c.plain)
                tile(t, mask, first, z, &s, a + i), s.next = NULL;
    }
    for (int64_t i = 0; i < n; i++)
        if (a[i].c.plain)
            all_rows(t, a[i].c.queries, mask, &a[i].best);
        else
            settle(t, mask, z, a + i);
}

/* The k best rows at or above `minimum` of each of n queries, best first, in
 * slots[i * k] and scores[i * k]; counts[i] of them. -1: no memory. mask and offsets
 * may be NULL; all: score every row. */
int64_t meridian_search(const table *t, const float *vectors, const float *offsets,
    const uint8_t *mask, int64_t n, int64_t k, float minimum, float z, int64_t all,
    int64_t *counts, int64_t *slots, float *scores) {
    query *queries = queries_make(t, vectors, offsets, n);
    asked *a = malloc((size_t)n * sizeof(asked));
    uint8_t *room = strip_room(t);
    if (!queries || !a || !room) {
        queries_free(queries), free(a), free(room);
        return -1;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t own = queries[i].number;
        if (all || !t->coded)
            a[i].c = (class){.queries = queries + i, .count = 1, .plain = 1};
        else
            class_make(t, queries + i, 1, &a[i].c);
        if (!a[i].c.plain)
            class_signs(t, &a[i].c);
        a[i].count = 0;
        a[i].best = (top){.k = k, .minimum = minimum, .slots = slots + own * k,
            .scores = scores + own * k};
    }
    by_codes(t, mask, z, room, a, n);
    for (int64_t i = 0; i < n; i++) {
        order(&a[i].best);
        counts[queries[i].number] = a[i].best.kept;
    }
    queries_free(queries), free(a), free(room);
    return 0;
}

#define AHEAD 4 /* rows that are fetched before they are scored */

/* Scores of n rows by slot, as all others are scored; NaN where no row lives. */
void meridian_score(const table *t, const float *q, float offset, const int64_t *slots,
    int64_t n, float *scores) {
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            row_prefetch(t, slots[i + AHEAD]);
        scores[i] =
            allowed(t, NULL, slots[i]) ? score_of(t, q, offset, slots[i]) : NAN;
    }
}
