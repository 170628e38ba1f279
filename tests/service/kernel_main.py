"""A C program that drives the kernel with random tables, for sanitizers."""

MAIN = r"""
#include <stdio.h>
#include <time.h>
#include "table.h"

void meridian_put(table *, const int64_t *, const float *, int64_t, float *);
int64_t meridian_match(const table *, const float *, const float *, int64_t, float,
    int64_t, int64_t *, int64_t *, float *);
int64_t meridian_search(const table *, const float *, const float *, const uint8_t *,
    int64_t, int64_t, float, float, int64_t, int64_t *, int64_t *, float *);
int64_t meridian_ready(void);

static uint64_t state = 88172645463325252u;
static uint64_t next(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}
static int64_t below(int64_t n) { return (int64_t)(next() % (uint64_t)n); }
static float value(int64_t odd) {
    static const float rare[] = {0, NAN, INFINITY, -INFINITY, 1e38f, 1e-40f, -0.0f};
    if (odd && below(50) == 0)
        return rare[below(7)];
    return (float)(below(2001) - 1000) / 1000;
}
static float *values(int64_t n, int64_t odd) {
    float *made = malloc((size_t)n * sizeof(float) + 1);
    for (int64_t i = 0; i < n; i++)
        made[i] = value(odd);
    return made;
}

static void once(void) {
    int64_t wide = below(8) == 0, d = 1 + below(wide ? 4096 : 400);
    int64_t n = 1 + below(wide ? 100 : 900), batch = 1 + below(40), odd = below(2);
    table t = {.dimension = d, .width = (d + 63) / 64 * 64, .half = below(2),
        .coded = below(5) > 0, .used = n};
    int64_t room = (n + TILE - 1) / TILE * TILE, k = below(n + 1);
    t.signs = values(4 * t.width, 0);
    t.rows = malloc((size_t)(room * d * (t.half ? 2 : 4)));
    t.codes = calloc(1, (size_t)(room * code_bytes(&t)));
    t.fine = calloc(1, (size_t)(room * t.width / 4));
    t.inverse = values(room, 0), t.rest = values(room, 0);
    t.scale = values(room, 0), t.spread = values(room, 0);
    t.thresholds = values(room, odd), t.factors = values(room, odd);
    t.biases = values(room, odd), t.alive = calloc(1, (size_t)room);
    float *rows = values(n * d, odd), *scratch = values(t.width, 0);
    int64_t *slots = malloc((size_t)n * 8);
    for (int64_t i = 0; i < room; i++) {
        if (i < n)
            slots[i] = i, t.alive[i] = below(4) > 0;
        if (!t.alive[i])
            t.thresholds[i] = INFINITY;
    }
    meridian_put(&t, slots, rows, n, scratch);
    float *queries = values(batch * d, odd), *offsets = values(batch, odd);
    uint8_t *mask = malloc((size_t)n);
    for (int64_t i = 0; i < n; i++)
        mask[i] = (uint8_t)below(2);
    int64_t cap = below(n * batch + 1), *which = malloc((size_t)cap * 8 + 1);
    int64_t *where = malloc((size_t)cap * 8 + 1), *counts = malloc((size_t)batch * 8);
    float *scores = malloc((size_t)cap * 4 + 1);
    int64_t found = meridian_match(&t, queries, below(2) ? offsets : NULL, batch, 5,
        cap, which, where, scores);
    for (int64_t i = 0; i < found && i < cap; i++)
        if (where[i] < 0 || where[i] >= n || !t.alive[where[i]])
            abort();
    int64_t *best = malloc((size_t)(batch * k) * 8 + 1);
    float *high = malloc((size_t)(batch * k) * 4 + 1);
    meridian_search(&t, queries, below(2) ? offsets : NULL, below(2) ? mask : NULL,
        batch, k, below(2) ? -INFINITY : 0, 2.5f, below(4) == 0, counts, best, high);
    for (int64_t i = 0; i < batch; i++)
        if (counts[i] < 0 || counts[i] > k)
            abort();
    void *all[] = {(void *)t.signs, t.rows, t.codes, t.fine, t.inverse, t.rest, t.scale,
        t.spread, t.thresholds, t.factors, t.biases, t.alive, rows, scratch, slots,
        queries, offsets, mask, which, where, counts, scores, best, high};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

int main(int count, char **words) {
    double seconds = count > 1 ? atof(words[1]) : 2;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    long rounds = 0;
    if (!meridian_ready())
        return 3;
    while (clock() < end)
        once(), rounds++;
    printf("%ld rounds\n", rounds);
    return 0;
}
"""
