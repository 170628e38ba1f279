/* One-bit codes of randomly rotated rows: scan, bound, exact re-rank.
 *
 * A row x is rotated (two rounds of random signs and a Walsh-Hadamard transform)
 * and kept as the signs c of its D components, with o = <x, c> / (|x| sqrt D).
 * For a rotated query q, <q, c> / (sqrt D * o) * |x| estimates <q, x>; its error is
 * about normal with deviation |x| |q| sqrt(1 - o^2) / (o sqrt(D - 1)) (RaBitQ,
 * Gao and Long 2024). The query is rounded to four bits, so that <q, c> is sixteen
 * AND and popcount per 256 bits; what that rounding adds is in the bound too.
 *
 * Codes lie in blocks of eight rows, word by word, so that one vector register
 * holds the same word of eight rows and nothing is summed across lanes. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8
#define PLANES 4
#define LEVELS 15

typedef struct {
    int64_t dimension;       /* floats of a row */
    int64_t width;           /* bits of a code, a power of two, at least 64 */
    const float *signs;      /* 2 * width random signs */
    float *rows;             /* [capacity][dimension] */
    uint64_t *codes;         /* [capacity / 8][width / 64][8] */
    float *scale;            /* |x| / (sqrt D * o) */
    float *spread;           /* |x| * sqrt(1 - o^2) / (o * sqrt(D - 1)) */
    float *ones;             /* bits set in the code */
    const float *thresholds;
    const uint8_t *alive;
    int64_t used;
} table;

static void hadamard(float *v, int64_t n) {
    for (int64_t half = 1; half < n; half *= 2)
        for (int64_t i = 0; i < n; i += 2 * half)
            for (int64_t j = i; j < i + half; j++) {
                float a = v[j], b = v[j + half];
                v[j] = a + b;
                v[j + half] = a - b;
            }
}

static void rotate(const table *t, const float *x, float *out) {
    int64_t n = t->width;
    memset(out, 0, (size_t)n * sizeof(float));
    memcpy(out, x, (size_t)t->dimension * sizeof(float));
    for (int round = 0; round < 2; round++) {
        const float *signs = t->signs + round * n;
        for (int64_t i = 0; i < n; i++)
            out[i] *= signs[i];
        hadamard(out, n);
        float norm = 1.0f / sqrtf((float)n);
        for (int64_t i = 0; i < n; i++)
            out[i] *= norm;
    }
}

static float dot(const float *a, const float *b, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Stores a row in a slot. scratch: width floats. */
void meridian_put(table *t, int64_t slot, const float *x, float *scratch) {
    int64_t n = t->width, words = n / 64;
    memcpy(t->rows + slot * t->dimension, x, (size_t)t->dimension * sizeof(float));
    rotate(t, x, scratch);
    uint64_t *code = t->codes + (slot / LANES) * words * LANES + slot % LANES;
    double square = 0, along = 0;
    int64_t ones = 0;
    for (int64_t w = 0; w < words; w++) {
        uint64_t bits = 0;
        for (int i = 0; i < 64; i++) {
            double v = scratch[w * 64 + i];
            square += v * v;
            along += fabs(v);
            bits |= (uint64_t)(v > 0) << i;
        }
        ones += __builtin_popcountll(bits);
        code[w * LANES] = bits;
    }
    double length = sqrt(square), o = length > 0 ? along / (length * sqrt((double)n)) : 1;
    double rest = o < 1 ? sqrt(1 - o * o) : 0;
    t->scale[slot] = (float)(length / (sqrt((double)n) * o));
    t->spread[slot] = (float)(length * rest / (o * sqrt((double)(n - 1))));
    t->ones[slot] = (float)ones;
}

typedef struct {
    uint64_t *planes; /* [words][PLANES] */
    float low, step, sum, length, rounding;
} probe;

static void prepare(const table *t, const float *q, float *scratch, probe *p) {
    int64_t n = t->width;
    rotate(t, q, scratch);
    float low = scratch[0], high = scratch[0];
    for (int64_t i = 1; i < n; i++) {
        low = scratch[i] < low ? scratch[i] : low;
        high = scratch[i] > high ? scratch[i] : high;
    }
    float step = (high - low) / LEVELS;
    double sum = 0, square = 0, lost = 0;
    memset(p->planes, 0, (size_t)(n / 64 * PLANES) * sizeof(uint64_t));
    for (int64_t i = 0; i < n; i++) {
        int level = step > 0 ? (int)((scratch[i] - low) / step + 0.5f) : 0;
        level = level < 0 ? 0 : level > LEVELS ? LEVELS : level;
        double rounded = low + step * level, error = scratch[i] - rounded;
        sum += rounded;
        square += (double)scratch[i] * scratch[i];
        lost += error * error;
        for (int b = 0; b < PLANES; b++)
            p->planes[i / 64 * PLANES + b] |= (uint64_t)(level >> b & 1) << (i % 64);
    }
    p->low = low;
    p->step = step;
    p->sum = (float)sum;
    p->length = (float)sqrt(square);
    p->rounding = (float)sqrt(lost);
}

/* Upper bounds of the inner products of a query with the eight rows of a block. */
static void bounds(const table *t, int64_t block, const probe *p, float z, float *out) {
    int64_t words = t->width / 64;
    const uint64_t *code = t->codes + block * words * LANES;
    uint64_t total[LANES] = {0};
    for (int64_t w = 0; w < words; w++) {
        const uint64_t *plane = p->planes + w * PLANES, *c = code + w * LANES;
        for (int r = 0; r < LANES; r++) {
            uint64_t v = c[r];
            total[r] += (uint64_t)__builtin_popcountll(v & plane[0])
                + ((uint64_t)__builtin_popcountll(v & plane[1]) << 1)
                + ((uint64_t)__builtin_popcountll(v & plane[2]) << 2)
                + ((uint64_t)__builtin_popcountll(v & plane[3]) << 3);
        }
    }
    int64_t first = block * LANES;
    for (int r = 0; r < LANES; r++) {
        float with = p->low * t->ones[first + r] + p->step * (float)total[r];
        float estimate = t->scale[first + r] * (2 * with - p->sum);
        float own = t->spread[first + r] * p->length;
        float rounding = t->scale[first + r] * p->rounding;
        float deviation = sqrtf(own * own + rounding * rounding);
        out[r] = estimate + z * deviation;
    }
}

static int probes_make(const table *t, const float *q, int64_t n, probe **out) {
    int64_t words = t->width / 64;
    probe *p = malloc((size_t)n * sizeof(probe));
    uint64_t *planes = malloc((size_t)(n * words * PLANES) * sizeof(uint64_t));
    float *scratch = malloc((size_t)t->width * sizeof(float));
    if (!p || !planes || !scratch) {
        free(p), free(planes), free(scratch);
        return 0;
    }
    for (int64_t i = 0; i < n; i++) {
        p[i].planes = planes + i * words * PLANES;
        prepare(t, q + i * t->dimension, scratch, &p[i]);
    }
    free(scratch);
    *out = p;
    return 1;
}

static void probes_free(probe *p) {
    free(p[0].planes);
    free(p);
}

/* Pairs at their row's threshold. Returns how many there are; at most `room` are
 * written. -1: no memory. */
int64_t meridian_match(const table *t, const float *vectors, int64_t n, float z,
    int64_t room, int64_t *which, int64_t *slots, float *scores) {
    probe *p;
    int64_t found = 0;
    if (!probes_make(t, vectors, n, &p))
        return -1;
    for (int64_t block = 0; block * LANES < t->used; block++) {
        int64_t first = block * LANES;
        int rows = t->used - first < LANES ? (int)(t->used - first) : LANES;
        for (int64_t v = 0; v < n; v++) {
            float upper[LANES];
            bounds(t, block, &p[v], z, upper);
            for (int r = 0; r < rows; r++) {
                float wanted = t->thresholds[first + r];
                /* Written so that a bound that is no number is looked at. */
                if (upper[r] < wanted || wanted == INFINITY)
                    continue;
                float score = dot(vectors + v * t->dimension,
                    t->rows + (first + r) * t->dimension, t->dimension);
                if (!(score >= wanted))
                    continue;
                if (found < room) {
                    which[found] = v;
                    slots[found] = first + r;
                    scores[found] = score;
                }
                found++;
            }
        }
    }
    probes_free(p);
    return found;
}

static void sift(float *scores, int64_t *slots, int64_t n, int64_t i) {
    for (;;) {
        int64_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < n && scores[left] < scores[least])
            least = left;
        if (right < n && scores[right] < scores[least])
            least = right;
        if (least == i)
            return;
        float s = scores[i];
        int64_t l = slots[i];
        scores[i] = scores[least], slots[i] = slots[least];
        scores[least] = s, slots[least] = l;
        i = least;
    }
}

/* The k best rows at or above `minimum`, in no order. Returns how many. */
int64_t meridian_search(const table *t, const float *query, int64_t k, float minimum,
    float z, int64_t *slots, float *scores) {
    probe *p;
    int64_t kept = 0;
    if (!probes_make(t, query, 1, &p))
        return -1;
    for (int64_t block = 0; block * LANES < t->used; block++) {
        int64_t first = block * LANES;
        int rows = t->used - first < LANES ? (int)(t->used - first) : LANES;
        float upper[LANES];
        bounds(t, block, p, z, upper);
        for (int r = 0; r < rows; r++) {
            float low = kept == k && scores[0] > minimum ? scores[0] : minimum;
            if (!t->alive[first + r] || upper[r] < low)
                continue;
            float score = dot(query, t->rows + (first + r) * t->dimension, t->dimension);
            if (!(score >= minimum) || (kept == k && score <= scores[0]))
                continue;
            if (kept < k) {
                scores[kept] = score;
                slots[kept++] = first + r;
                if (kept == k)
                    for (int64_t i = k / 2 - 1; i >= 0; i--)
                        sift(scores, slots, k, i);
            } else {
                scores[0] = score;
                slots[0] = first + r;
                sift(scores, slots, k, 0);
            }
        }
    }
    probes_free(p);
    return kept;
}
