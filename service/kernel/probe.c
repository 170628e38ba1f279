/* Queries made ready: rotated at length 1, with look-ups and bytes for the codes. */

#include "table.h"

#define ALIKE 1.01f /* lengths of one class differ by so much at most */

static size_t padded(size_t bytes) { return (bytes + 63) / 64 * 64; }

static void turn(const table *t, query *q, float *unit) {
    double square = 0;
    for (int64_t i = 0; i < t->dimension; i++)
        square += (double)q->given[i] * q->given[i];
    double length = sqrt(square), by = length > 0 ? 1 / length : 0;
    for (int64_t i = 0; i < t->dimension; i++)
        unit[i] = (float)(q->given[i] * by);
    rotate(t, unit, q->turned);
    q->length = (float)length;
}

static int by_length(const void *a, const void *b) {
    const query *p = a, *q = b;
    if (p->length != q->length)
        return p->length < q->length ? -1 : 1;
    return p->offset < q->offset ? -1 : p->offset > q->offset;
}

/* The queries, ordered so that neighbours make classes; NULL: no memory. */
query *queries_make(
    const table *t, const float *vectors, const float *offsets, int64_t n) {
    size_t floats = padded((size_t)t->width * sizeof(float));
    size_t lut = padded((size_t)groups_of(t) * ENTRIES);
    size_t bytes = padded((size_t)t->width + 64);
    size_t head = padded((size_t)n * sizeof(query)), each = floats + lut + bytes;
    char *arena = aligned_alloc(64, head + (size_t)n * each + floats);
    if (!arena)
        return NULL;
    query *queries = (query *)arena;
    for (int64_t i = 0; i < n; i++) {
        char *own = arena + head + (size_t)i * each;
        queries[i] = (query){.given = vectors + i * t->dimension, .number = i,
            .turned = (float *)own, .lut = (uint8_t *)own + floats,
            .bytes = (int8_t *)own + floats + lut,
            .offset = offsets ? offsets[i] : 0};
        turn(t, &queries[i], (float *)(arena + head + (size_t)n * each));
    }
    qsort(queries, (size_t)n, sizeof(query), by_length);
    return queries;
}

void queries_free(query *queries) { free(queries); }

/* Sums of all subsets of a group, low bits first, and the lowest of them. */
static float subsets(const float *v, int64_t count, float *low, float *high) {
    float x[6] = {0}, least = 0;
    for (int64_t i = 0; i < count; i++) {
        x[i] = v[i];
        least += v[i] < 0 ? v[i] : 0;
    }
    for (int i = 0; i < 8; i++)
        low[i] = (i & 1 ? x[0] : 0) + (i & 2 ? x[1] : 0) + (i & 4 ? x[2] : 0);
    for (int i = 0; i < 8; i++)
        high[i] = (i & 1 ? x[3] : 0) + (i & 2 ? x[4] : 0) + (i & 4 ? x[5] : 0);
    return least;
}

/* The widest range that a run of look-ups spans. */
static float widest(const table *t, const query *q) {
    float most = 0;
    for (int64_t i = 0; i < t->width; i += RUN * GROUP) {
        float sum = 0;
        for (int64_t j = i; j < i + RUN * GROUP && j < t->width; j++)
            sum += fabsf(q->turned[j]);
        most = sum > most ? sum : most;
    }
    return most;
}

static void look_ups(const table *t, query *q, float step) {
    float by = 1 / step, total = 0, least = 0, missed = 0, variance = 0;
    for (int64_t g = 0; g < groups_of(t); g++) {
        int64_t first = g * GROUP, left = t->width - first;
        float low[8], high[8], errors = 0, squares = 0;
        left = left < 0 ? 0 : left > GROUP ? GROUP : left;
        float from = subsets(q->turned + (left ? first : 0), left, low, high);
        uint8_t *entries = q->lut + g * ENTRIES;
        for (int k = 0; k < ENTRIES / 8; k++)
            for (int i = 0; i < 8; i++) {
                float exact = (low[i] + high[k] - from) * by;
                int level = (int)(exact + 0.5f);
                level = level > 255 ? 255 : level < 0 ? 0 : level;
                float error = exact - (float)level;
                errors += error;
                squares += error * error;
                entries[8 * k + i] = (uint8_t)level;
            }
        float mean = errors / ENTRIES;
        least += from;
        missed += mean;
        variance += squares / ENTRIES - mean * mean;
    }
    for (int64_t i = 0; i < t->width; i++)
        total += q->turned[i];
    q->level = (total - 2 * least) * 0.5f * by - missed;
    q->lost = sqrtf(variance > 0 ? variance : 0);
}

static float rounded(const table *t, query *q, float step) {
    float by = 1 / step, square = 0;
    int sum = 0;
    for (int64_t i = 0; i < t->width; i++) {
        float exact = q->turned[i] * by;
        int level = (int)(exact + (exact < 0 ? -0.5f : 0.5f));
        level = level > 127 ? 127 : level < -127 ? -127 : level;
        square += (exact - (float)level) * (exact - (float)level);
        q->bytes[i] = (int8_t)level;
        sum += level;
    }
    memset(q->bytes + t->width, 0, 64);
    q->sum = sum;
    return sqrtf(square) * step;
}

static int64_t alike(const query *queries, int64_t n) {
    int64_t count = 1;
    const query *first = queries;
    if (!isfinite(first->length) || !isfinite(first->offset))
        return 1;
    while (count < n && count < QUERIES) {
        const query *q = queries + count;
        /* Written so that what is no number stays by itself. */
        if (!(q->length <= first->length * ALIKE))
            break;
        if (!(fabsf(q->offset - first->offset) <= 0.002f * first->length
                + 0.02f * fabsf(first->offset)))
            break;
        count++;
    }
    return count;
}

static void measure(class *c) {
    c->shortest = c->longest = c->queries->length;
    c->lowest = c->highest = c->queries->offset;
    for (int64_t i = 1; i < c->count; i++) {
        const query *q = c->queries + i;
        c->longest = q->length > c->longest ? q->length : c->longest;
        c->lowest = q->offset < c->lowest ? q->offset : c->lowest;
        c->highest = q->offset > c->highest ? q->offset : c->highest;
    }
}

/* Makes a class of the first of n queries; returns how many it took. */
int64_t class_make(const table *t, query *queries, int64_t n, class *c) {
    *c = (class){.queries = queries, .count = alike(queries, n)};
    measure(c);
    c->plain = !isfinite(c->shortest) || !isfinite(c->lowest);
    if (c->plain)
        return c->count;
    float most = 0;
    for (int64_t i = 0; i < c->count; i++)
        for (int64_t j = 0; j < t->width; j++)
            most = fabsf(queries[i].turned[j]) > most ? fabsf(queries[i].turned[j])
                                                      : most;
    /* A step of 1 for zero vectors: nothing is rounded. */
    c->byte = most > 0 ? most / 127 : 1;
    for (int64_t i = 0; i < c->count; i++) {
        float crumbs = rounded(t, queries + i, c->byte);
        c->crumbs = crumbs > c->crumbs ? crumbs : c->crumbs;
    }
    return c->count;
}

/* Makes the look-ups of a class, without which sign codes cannot be scanned. */
void class_signs(const table *t, class *c) {
    float wide = 0;
    for (int64_t i = 0; i < c->count; i++) {
        float of = widest(t, c->queries + i);
        wide = of > wide ? of : wide;
    }
    /* A run cannot overflow, though every level may be rounded up by a half. */
    c->step = wide > 0 ? wide / (254 - RUN / 2) : 1;
    for (int64_t i = 0; i < c->count; i++) {
        query *q = c->queries + i;
        look_ups(t, q, c->step);
        c->lost = q->lost > c->lost ? q->lost : c->lost;
        c->level = i == 0 || q->level > c->level ? q->level : c->level;
    }
    for (int64_t i = 0; i < c->count; i++)
        c->queries[i].start = (int)(c->level - c->queries[i].level + 0.5f);
}
