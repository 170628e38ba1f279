/* Storing rows: the row itself, its two codes and what their bounds need. */

#include "rows.h"

#define STEP 0.9957 /* least error of four even levels for a normal component */

int64_t meridian_code_bytes(int64_t width) {
    table t = {.width = width};
    return code_bytes(&t);
}

static double along(double product, double length, double code) {
    double o = length > 0 && code > 0 ? product / (length * code) : 1;
    return o > 1 ? 1 : o;
}

static void put_signs(table *t, int64_t slot, const float *v, double length) {
    int64_t n = t->width, bytes = code_bytes(t);
    uint8_t *code = t->codes + slot / TILE * bytes * TILE + slot % TILE;
    double sum = 0;
    for (int64_t b = 0; b < bytes; b++) {
        unsigned byte = 0;
        for (int i = 0; i < 8; i++) {
            int64_t at = component_of(b, i);
            byte |= (unsigned)(at < n && v[at] > 0) << i;
        }
        code[b * TILE] = (uint8_t)byte;
    }
    for (int64_t i = 0; i < n; i++)
        sum += fabsf(v[i]);
    double root = sqrt((double)n), o = along(sum, length, root);
    double gain = t->factors[slot] * length / (root * o);
    /* A bound that is no number lets the row through. */
    t->inverse[slot] = gain >= 0 ? (float)(1 / gain) : NAN;
    t->rest[slot] = (float)(sqrt(1 - o * o) * sqrt((double)n / (double)(n - 1)));
}

static void put_fine(table *t, int64_t slot, const float *v, double length) {
    int64_t n = t->width, quarter = n / 4;
    uint8_t *code = t->fine + slot * quarter;
    float turn = (float)(length > 0 ? sqrt((double)n) / (length * STEP) : 0);
    float product = 0, square = 0;
    for (int64_t j = 0; j < quarter; j++) {
        unsigned byte = 0;
        for (int f = 0; f < 4; f++) {
            float x = v[f * quarter + j], level = x * turn + 2;
            int u = level >= 3 ? 3 : level >= 2 ? 2 : level >= 1 ? 1 : 0;
            float c = (float)(2 * u - 3);
            product += x * c;
            square += c * c;
            byte |= (unsigned)u << 2 * f;
        }
        code[j] = (uint8_t)byte;
    }
    double norm = sqrt(square), o = along(product, length, norm);
    double gain = t->factors[slot] >= 0 ? t->factors[slot] * length / o : NAN;
    t->scale[slot] = (float)(gain / norm);
    t->spread[slot] = (float)(gain * sqrt(1 - o * o) / sqrt((double)n - 1));
}

/* Stores n rows in their slots. scratch: width floats. The factors are there. */
void meridian_put(table *t, const int64_t *slots, const float *x, int64_t n,
    float *scratch) {
    for (int64_t i = 0; i < n; i++) {
        const float *row = x + i * t->dimension;
        row_store(t, slots[i], row);
        if (!t->coded)
            continue;
        rotate(t, row, scratch);
        double square = 0;
        for (int64_t j = 0; j < t->width; j++)
            square += (double)scratch[j] * scratch[j];
        put_signs(t, slots[i], scratch, sqrt(square));
        put_fine(t, slots[i], scratch, sqrt(square));
    }
}
