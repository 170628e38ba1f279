/* A fixed random rotation: signs and Walsh-Hadamard transforms, in turn over the
 * first and the last power of two of the components, so that no width is padded. */

#include "table.h"

/* Three rounds over eight neighbours, written as whole vectors. */
static void eight(float *v) {
    static const float one[8] = {1, -1, 1, -1, 1, -1, 1, -1};
    static const float two[8] = {1, 1, -1, -1, 1, 1, -1, -1};
    static const float four[8] = {1, 1, 1, 1, -1, -1, -1, -1};
    float a[8], b[8], c[8];
    for (int i = 0; i < 8; i++)
        a[i] = one[i] * v[i] + v[i ^ 1];
    for (int i = 0; i < 8; i++)
        b[i] = two[i] * a[i] + a[i ^ 2];
    for (int i = 0; i < 8; i++)
        c[i] = four[i] * b[i] + b[i ^ 4];
    memcpy(v, c, sizeof c);
}

static void hadamard(float *restrict v, int64_t n) {
    for (int64_t i = 0; i < n; i += 8)
        eight(v + i);
    for (int64_t half = 8; half < n; half *= 2)
        for (int64_t i = 0; i < n; i += 2 * half)
            for (int64_t k = i; k < i + half; k += 8) {
                float sum[8], rest[8];
                for (int j = 0; j < 8; j++) {
                    sum[j] = v[k + j] + v[k + j + half];
                    rest[j] = v[k + j] - v[k + j + half];
                }
                memcpy(v + k, sum, sizeof sum);
                memcpy(v + k + half, rest, sizeof rest);
            }
}

/* out: width floats. */
void rotate(const table *t, const float *x, float *out) {
    int64_t n = t->width, power = 64;
    while (2 * power <= n)
        power *= 2;
    memset(out, 0, (size_t)n * sizeof(float));
    memcpy(out, x, (size_t)t->dimension * sizeof(float));
    float norm = 1.0f / sqrtf((float)power);
    for (int round = 0; round < (power == n ? 2 : 4); round++) {
        const float *signs = t->signs + round * n;
        float *part = round % 2 ? out + n - power : out;
        for (int64_t i = 0; i < n; i++)
            out[i] *= signs[i];
        for (int64_t i = 0; i < power; i++)
            part[i] *= norm;
        hadamard(part, power);
    }
}
