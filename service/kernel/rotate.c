/* A fixed random rotation: signs and Walsh-Hadamard transforms, in turn over the
 * first and the last power of two of the components, so that no width is padded. */

#include "table.h"

/* Three rounds over eight neighbours, written as whole vectors. */
static void eight(float *v) {
    static const float one[8] = {1, -1, 1, -1, 1, -1, 1, -1};
    static const float two[8] = {1, 1, -1, -1, 1, 1, -1, -1};
    static const float four[8] = {1, 1, 1, 1, -1, -1, -1, -1};
#if defined(__AVX2__)
    __m256 a = _mm256_loadu_ps(v);
    a = _mm256_fmadd_ps(a, _mm256_loadu_ps(one), _mm256_permute_ps(a, 0xb1));
    a = _mm256_fmadd_ps(a, _mm256_loadu_ps(two), _mm256_permute_ps(a, 0x4e));
    a = _mm256_fmadd_ps(a, _mm256_loadu_ps(four), _mm256_permute2f128_ps(a, a, 1));
    _mm256_storeu_ps(v, a);
#else
    float a[8], b[8], c[8];
    for (int i = 0; i < 8; i++)
        a[i] = one[i] * v[i] + v[i ^ 1];
    for (int i = 0; i < 8; i++)
        b[i] = two[i] * a[i] + a[i ^ 2];
    for (int i = 0; i < 8; i++)
        c[i] = four[i] * b[i] + b[i ^ 4];
    memcpy(v, c, sizeof c);
#endif
}

/* One round over parts of n; two rounds. The parts do not overlap, which compilers must
 * know to make vectors of them. */
static void pair_of(float *restrict a, float *restrict b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float x = a[i], y = b[i];
        a[i] = x + y, b[i] = x - y;
    }
}

static void four_of(float *restrict a, float *restrict b, float *restrict c,
    float *restrict d, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float w = a[i] + b[i], x = a[i] - b[i], y = c[i] + d[i], z = c[i] - d[i];
        a[i] = w + y, b[i] = x + z, c[i] = w - y, d[i] = x - z;
    }
}

static void hadamard(float *v, int64_t n) {
    int64_t part = 8;
    for (int64_t i = 0; i < n; i += 8)
        eight(v + i);
    for (; 4 * part <= n; part *= 4)
        for (float *own = v; own < v + n; own += 4 * part)
            four_of(own, own + part, own + 2 * part, own + 3 * part, part);
    if (part < n)
        pair_of(v, v + part, part);
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
