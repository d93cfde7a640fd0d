// The selective scan in C++, the algorithm of the Numba kernel: 16 channels in a vector, four states of each in
// registers through 32 steps, the states kept at the start of every chunk and computed again on the way back.
// Channels are contiguous and a multiple of 16. Arrays: u, delta, z, y (b, l, d); B, C (b, l, n); A (d, n);
// D, bias (d); starts (b, chunks, n, d). All float32. A task is 16 channels of one image.
#include <cstdint>
#include <omp.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

typedef float Unaligned __attribute__((vector_size(64), aligned(4), may_alias));
typedef float Vector __attribute__((vector_size(64)));
typedef std::int32_t Ints __attribute__((vector_size(64)));

constexpr long CHUNK = 32;
constexpr long WIDTH = 16;
constexpr long MOST_STATES = 256;
constexpr float LOG2E = 1.44269504088896341f;
constexpr float LN2 = 0.69314718055994531f;

struct Shape {
    long b, l, d, n;
    long chunks() const { return (l + CHUNK - 1) / CHUNK; }
};

struct Arrays {
    const float *u, *delta, *A, *B, *C, *D, *z, *bias;
};

inline Vector load(const float *from) { return *reinterpret_cast<const Unaligned *>(from); }
inline void store(float *to, Vector v) { *reinterpret_cast<Unaligned *>(to) = v; }
inline Vector all(float x) { return Vector{} + x; }

// 2^x: x is rounded by adding 1.5 * 2^23, whose bits shifted are the exponent; degree 5 on [-1/2, 1/2].
inline Vector exp2(Vector x) {
#if defined(__AVX512F__)
    x = reinterpret_cast<Vector>(_mm512_max_ps(reinterpret_cast<__m512>(x), _mm512_set1_ps(-126.0f)));
    Vector rounded = x + 12582912.0f;
    asm("" : "+v"(rounded));  // or -ffast-math takes the rounding away
    Vector whole = rounded - 12582912.0f;
    asm("" : "+v"(whole));
    Vector f = x - whole;
    Ints bits = reinterpret_cast<Ints>(rounded);
#else
    x = x < -126.0f ? all(-126.0f) : x;
    Ints bits = reinterpret_cast<Ints>(x + 12582912.0f);
    Vector f = x - __builtin_convertvector(bits - 0x4B400000, Vector);
#endif
    Vector p = all(1.327647187e-03f);
    p = p * f + 9.675541333e-03f;
    p = p * f + 5.550713274e-02f;
    p = p * f + 2.402211972e-01f;
    p = p * f + 6.931469671e-01f;
    p = p * f + 1.000000072f;
    return reinterpret_cast<Vector>(reinterpret_cast<Ints>(p) + (bits << 23));
}

// max(x, 0) + log(1 + e) with e = exp(-|x|): 2 artanh(e / (2 + e)), degree 4 in the square.
inline Vector softplus(Vector x) {
    Vector size = x < 0.0f ? -x : x;
    Vector e = exp2(size * -LOG2E);
    Vector s = e / (e + 2.0f), q = s * s;
    Vector p = all(2.817833509e-01f);
    p = p * q + 2.796060271e-01f;
    p = p * q + 4.002491028e-01f;
    p = p * q + 6.666631468e-01f;
    p = p * q + 2.000000008f;
    return (x > 0.0f ? x : Vector{}) + s * p;
}

inline Vector sigmoid(Vector x) { return 1.0f / (exp2(x * -LOG2E) + 1.0f); }

// The sums of the elements of each of 16 vectors, as one vector.
inline Vector sums(const Vector *v) {
    Vector a[8], b[4], c[2];
    for (int i = 0; i < 8; i++)
        a[i] = __builtin_shuffle(v[i], v[i + 8], Ints{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23}) +
               __builtin_shuffle(v[i], v[i + 8], Ints{8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31});
    for (int i = 0; i < 4; i++)
        b[i] = __builtin_shuffle(a[i], a[i + 4], Ints{0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27}) +
               __builtin_shuffle(a[i], a[i + 4], Ints{4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31});
    for (int i = 0; i < 2; i++)
        c[i] = __builtin_shuffle(b[i], b[i + 2], Ints{0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29}) +
               __builtin_shuffle(b[i], b[i + 2], Ints{2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31});
    return __builtin_shuffle(c[0], c[1], Ints{0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30}) +
           __builtin_shuffle(c[0], c[1], Ints{1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31});
}

inline void rates(const float *A, long n, Vector *rate) {
    for (long k = 0; k < n; k++)
        for (long i = 0; i < WIDTH; i++) rate[k][i] = A[i * n + k] * LOG2E;
}

// Step sizes of a chunk, and delta u.
inline void steps(const float *u, const float *delta, Vector bias, long d, long length, Vector *dt, Vector *du) {
    for (long t = 0; t < length; t++) {
        dt[t] = softplus(load(delta + t * d) + bias);
        du[t] = dt[t] * load(u + t * d);
    }
}

// One step of one state; the value is what it adds to y.
inline Vector step(Vector &h, Vector rate, Vector dt, Vector du, float B, float C) {
    h = exp2(dt * rate) * h + du * B;
    return h * C;
}

// Four states through a chunk: adds C.h to y, leaves h behind the chunk. Names, not arrays: those go to memory.
inline void advance_four(const Vector *dt, const Vector *du, const float *B, const float *C, long n, long length,
                         const Vector *rate, Vector *state, Vector *y) {
    Vector h0 = state[0], h1 = state[1], h2 = state[2], h3 = state[3];
    const Vector r0 = rate[0], r1 = rate[1], r2 = rate[2], r3 = rate[3];
    for (long t = 0; t < length; t++, B += n, C += n) {
        Vector first = step(h0, r0, dt[t], du[t], B[0], C[0]) + step(h1, r1, dt[t], du[t], B[1], C[1]);
        Vector second = step(h2, r2, dt[t], du[t], B[2], C[2]) + step(h3, r3, dt[t], du[t], B[3], C[3]);
        y[t] += first + second;
    }
    state[0] = h0, state[1] = h1, state[2] = h2, state[3] = h3;
}

inline void advance_one(const Vector *dt, const Vector *du, const float *B, const float *C, long n, long length,
                        Vector rate, Vector *state, Vector *y) {
    Vector h = *state;
    for (long t = 0; t < length; t++, B += n, C += n) y[t] += step(h, rate, dt[t], du[t], *B, *C);
    *state = h;
}

void forward_task(long task, Shape s, Arrays x, float *y, float *starts) {
    const long blocks = s.d / WIDTH, image = task / blocks, first = task % blocks * WIDTH;
    const long place = image * s.l * s.d + first, projected = image * s.l * s.n;
    Vector rate[MOST_STATES], state[MOST_STATES], dt[CHUNK], du[CHUNK], out[CHUNK];
    rates(x.A + first * s.n, s.n, rate);
    for (long n = 0; n < s.n; n++) state[n] = Vector{};
    const Vector skip = load(x.D + first), bias = load(x.bias + first);
    for (long c = 0; c < s.chunks(); c++) {
        const long from = c * CHUNK, length = s.l - from < CHUNK ? s.l - from : CHUNK;
        const float *u = x.u + place + from * s.d, *delta = x.delta + place + from * s.d;
        const float *z = x.z + place + from * s.d;
        const float *B = x.B + projected + from * s.n, *C = x.C + projected + from * s.n;
        if (starts)
            for (long n = 0; n < s.n; n++)
                store(starts + ((image * s.chunks() + c) * s.n + n) * s.d + first, state[n]);
        steps(u, delta, bias, s.d, length, dt, du);
        for (long t = 0; t < length; t++) out[t] = skip * load(u + t * s.d);
        long n = 0;
        for (; n + 4 <= s.n; n += 4) advance_four(dt, du, B + n, C + n, s.n, length, rate + n, state + n, out);
        for (; n < s.n; n++) advance_one(dt, du, B + n, C + n, s.n, length, rate[n], state + n, out);
        for (long t = 0; t < length; t++) {
            Vector gate = load(z + t * s.d);
            store(y + place + (from + t) * s.d, out[t] * gate * sigmoid(gate));
        }
    }
}

struct Gradients {
    float *u, *delta, *z;  // as the inputs
    float *A;              // (b, d, n)
    float *D, *bias;       // (b, d)
    float *B, *C;          // (b, chunks, n, CHUNK), added to: one of each for every thread
};

void backward_task(long task, Shape s, const float *dout, Arrays x, const float *starts, Gradients g) {
    const long blocks = s.d / WIDTH, image = task / blocks, first = task % blocks * WIDTH;
    const long place = image * s.l * s.d + first, projected = image * s.l * s.n;
    Vector rate[MOST_STATES], carried[MOST_STATES], changes[MOST_STATES];
    Vector dt[CHUNK], du[CHUNK], dy[CHUNK], out[CHUNK], through[CHUNK], decay[CHUNK];
    Vector a[CHUNK], h[CHUNK + 1], forB[CHUNK], forC[CHUNK];
    rates(x.A + first * s.n, s.n, rate);
    for (long n = 0; n < s.n; n++) carried[n] = changes[n] = Vector{};
    const Vector skip = load(x.D + first), bias = load(x.bias + first);
    Vector skips{}, biases{};
    for (long c = s.chunks() - 1; c >= 0; c--) {
        const long from = c * CHUNK, length = s.l - from < CHUNK ? s.l - from : CHUNK;
        const long here = place + from * s.d, chunk = (image * s.chunks() + c) * s.n;
        const float *B = x.B + projected + from * s.n, *C = x.C + projected + from * s.n;
        steps(x.u + here, x.delta + here, bias, s.d, length, dt, du);
        for (long t = 0; t < length; t++) {
            Vector gate = load(x.z + here + t * s.d);
            dy[t] = load(dout + here + t * s.d) * gate * sigmoid(gate);
            out[t] = skip * load(x.u + here + t * s.d);
            through[t] = decay[t] = Vector{};
        }
        for (long t = length; t < CHUNK; t++) forB[t] = forC[t] = Vector{};
        for (long n = 0; n < s.n; n++) {
            h[0] = load(starts + (chunk + n) * s.d + first);
            for (long t = 0; t < length; t++) {
                a[t] = exp2(dt[t] * rate[n]);
                h[t + 1] = a[t] * h[t] + du[t] * B[t * s.n + n];
                out[t] += h[t + 1] * C[t * s.n + n];
                forC[t] = dy[t] * h[t + 1];
            }
            Vector dh = carried[n], change{};
            for (long t = length - 1; t >= 0; t--) {
                dh += dy[t] * C[t * s.n + n];
                through[t] += dh * B[t * s.n + n];
                forB[t] = dh * du[t];
                dh *= a[t];
                Vector decayed = dh * h[t];
                decay[t] += decayed * rate[n];
                change += decayed * dt[t];
            }
            carried[n] = dh;
            changes[n] += change;
            for (long half = 0; half < length; half += WIDTH) {
                float *b = g.B + (chunk + n) * CHUNK + half, *c = g.C + (chunk + n) * CHUNK + half;
                store(b, load(b) + sums(forB + half));
                store(c, load(c) + sums(forC + half));
            }
        }
        for (long t = 0; t < length; t++) {
            const long at = here + t * s.d;
            Vector u = load(x.u + at), gate = load(x.z + at), open = sigmoid(gate);
            Vector change = (u * through[t] + decay[t] * LN2) * sigmoid(load(x.delta + at) + bias);
            store(g.z + at, load(dout + at) * out[t] * open * (gate * (1.0f - open) + 1.0f));
            store(g.u + at, dt[t] * through[t] + skip * dy[t]);
            store(g.delta + at, change);
            biases += change;
            skips += dy[t] * u;
        }
    }
    for (long n = 0; n < s.n; n++)
        for (long i = 0; i < WIDTH; i++) g.A[(image * s.d + first + i) * s.n + n] = changes[n][i];
    store(g.D + image * s.d + first, skips);
    store(g.bias + image * s.d + first, biases);
}

}  // namespace

extern "C" void scan_forward(long b, long l, long d, long n, Arrays x, float *y, float *starts, int threads) {
    const Shape s{b, l, d, n};
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (long task = 0; task < b * (d / WIDTH); task++) forward_task(task, s, x, y, starts);
}

// partB, partC: (threads, b, chunks, n, CHUNK), zeros; gB, gC: (b, l, n).
extern "C" void scan_backward(long b, long l, long d, long n, const float *dout, Arrays x, const float *starts,
                              Gradients g, float *partB, float *partC, float *gB, float *gC, int threads) {
    const Shape s{b, l, d, n};
    const long part = b * s.chunks() * n * CHUNK;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (long task = 0; task < b * (d / WIDTH); task++) {
        Gradients own = g;
        own.B = partB + omp_get_thread_num() * part;
        own.C = partC + omp_get_thread_num() * part;
        backward_task(task, s, dout, x, starts, own);
    }
    for (long image = 0; image < b; image++)
        for (long t = 0; t < l; t++)
            for (long k = 0; k < n; k++) {
                const long at = ((image * s.chunks() + t / CHUNK) * n + k) * CHUNK + t % CHUNK;
                float sumB = 0, sumC = 0;
                for (int w = 0; w < threads; w++) sumB += partB[w * part + at], sumC += partC[w * part + at];
                gB[(image * l + t) * n + k] = sumB;
                gC[(image * l + t) * n + k] = sumC;
            }
}

// 2^x of numbers, into the places behind them, so many times: the rate of exponentials in the first cache.
extern "C" void exp2_rate(float *numbers, long count, long passes) {
    for (long pass = 0; pass < passes; pass++) {
        for (long i = 0; i < count; i += WIDTH) store(numbers + count + i, exp2(load(numbers + i)));
        asm volatile("" : : "r"(numbers) : "memory");
    }
}
