/* Rows as they are stored, float or IEEE half, and their exact scores. */

#ifndef MERIDIAN_ROWS_H
#define MERIDIAN_ROWS_H

#include "table.h"

static inline uint16_t half_of(float value) {
#if defined(__F16C__)
    return (uint16_t)_cvtss_sh(value, 0);
#else
    union { float f; uint32_t u; } in = {value}, scaled;
    uint32_t sign = in.u >> 16 & 0x8000, rest = in.u & 0x7fffffff;
    if (rest > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (rest >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00);
    if (rest < 0x38800000) { /* below the least normal half: fixed point */
        scaled.u = rest;
        scaled.f += 0.5f;
        return (uint16_t)(sign | (scaled.u - 0x3f000000));
    }
    rest += 0xfff + (rest >> 13 & 1) - 0x38000000;
    return (uint16_t)(sign | rest >> 13);
#endif
}

static inline float from_half(uint16_t value) {
#if defined(__F16C__)
    return _cvtsh_ss(value);
#else
    union { uint32_t u; float f; } out, least = {0x38800000};
    out.u = ((uint32_t)value & 0x7fff) << 13;
    if (out.u >= 0x0f800000)
        out.u += 0x70000000; /* infinity or no number */
    else if (out.u >= 0x00800000)
        out.u += 0x38000000;
    else {
        out.u += 0x38800000;
        out.f -= least.f;
    }
    out.u |= ((uint32_t)value & 0x8000) << 16;
    return out.f;
#endif
}

static inline float dot_float(const float *a, const float *b, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static inline float dot_half(const float *a, const uint16_t *b, int64_t n) {
    int64_t i = 0;
    float sum = 0;
#if defined(__AVX512F__)
    __m512 one = _mm512_setzero_ps(), two = one;
    for (; i + 32 <= n; i += 32) {
        __m512i both = _mm512_loadu_si512(b + i);
        __m512 low = _mm512_cvtph_ps(_mm512_castsi512_si256(both));
        __m512 high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(both, 1));
        one = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), low, one);
        two = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), high, two);
    }
    sum = _mm512_reduce_add_ps(_mm512_add_ps(one, two));
#elif defined(__AVX2__)
    __m256 one = _mm256_setzero_ps(), two = one;
    for (; i + 16 <= n; i += 16) {
        __m256 low = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(b + i)));
        __m256 high = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(b + i + 8)));
        one = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), low, one);
        two = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), high, two);
    }
    float parts[8];
    _mm256_storeu_ps(parts, _mm256_add_ps(one, two));
    for (int k = 0; k < 8; k++)
        sum += parts[k];
#elif defined(__aarch64__)
    float32x4_t total = vdupq_n_f32(0);
    for (; i + 4 <= n; i += 4) {
        float16x4_t row = vreinterpret_f16_u16(vld1_u16(b + i));
        total = vfmaq_f32(total, vld1q_f32(a + i), vcvt_f32_f16(row));
    }
    sum = vaddvq_f32(total);
#endif
    for (; i < n; i++)
        sum += a[i] * from_half(b[i]);
    return sum;
}

/* The score of a row: one way for all callers, so that they agree to the last bit. */
static inline float score_of(const table *t, const float *q, float offset,
    int64_t slot) {
    float product;
    if (t->half)
        product = dot_half(q, (uint16_t *)t->rows + slot * t->dimension, t->dimension);
    else
        product = dot_float(q, (float *)t->rows + slot * t->dimension, t->dimension);
    return t->factors[slot] * product + t->biases[slot] + offset;
}

static inline void row_prefetch(const table *t, int64_t slot) {
    int64_t bytes = t->dimension * (t->half ? 2 : 4);
    const char *row = (const char *)t->rows + slot * bytes;
    for (int64_t i = 0; i < bytes && i < 2048; i += 64)
        __builtin_prefetch(row + i);
}

static inline void row_store(const table *t, int64_t slot, const float *x) {
    int64_t n = t->dimension;
    if (!t->half) {
        memcpy((float *)t->rows + slot * n, x, (size_t)n * sizeof(float));
        return;
    }
    uint16_t *row = (uint16_t *)t->rows + slot * n;
    for (int64_t i = 0; i < n; i++)
        row[i] = half_of(x[i]);
}

#endif
