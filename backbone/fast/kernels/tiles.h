// Convolutions of 1x1 and 3x3 over lines of pixels: tiles of some pixels by some vectors of outputs,
// whose sums stay in registers. Vectors are those of GCC's and clang's language extension, of LANES
// floats, so that one source serves every width; a few instructions that it has no words for, those
// on parts of a vector and on bfloat16, are written for AVX.

#pragma once

#include <omp.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// LANES, the outputs of one vector, is given to the compiler: 16 (AVX-512), 8 (AVX2) or 4.
typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef float Unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
constexpr int CACHE_LINE = 64;          // bytes
constexpr long PIXELS_OF_A_PIECE = 48;  // that one of several threads takes at once
// By number of vectors: pixels of a tile, so that all of its sums stay in registers, of which
// AVX-512 has 32 and the others 16.
#if LANES == 16
constexpr int MOST_VECTORS = 5;
constexpr int MOST_PIXELS[MOST_VECTORS + 1] = {0, 24, 12, 8, 6, 5};
#else
constexpr int MOST_VECTORS = 3;
constexpr int MOST_PIXELS[MOST_VECTORS + 1] = {0, 12, 6, 4};
#endif

inline Vector zeros() { return Vector{}; }
inline Vector spread(float value) { return value - Vector{}; }
inline Vector read(const float* x) { return *(const Unaligned*)x; }
inline void write(float* x, Vector v) { *(Unaligned*)x = v; }
inline Vector positive(Vector v) { return v > 0 ? v : zeros(); }

// The lanes of a vector of which `left` are wanted, and reading and writing those alone.
#if LANES == 16
using Some = __mmask16;
inline Some some(long left) { return left < LANES ? (1u << left) - 1 : 0xffff; }
inline Vector read(const float* x, Some lanes) { return _mm512_maskz_loadu_ps(lanes, x); }
inline void write(float* x, Some lanes, Vector v) { _mm512_mask_storeu_ps(x, lanes, v); }
#elif LANES == 8
using Some = __m256i;
inline Some some(long left) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(std::min(left, (long)LANES)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vector read(const float* x, Some lanes) { return _mm256_maskload_ps(x, lanes); }
inline void write(float* x, Some lanes, Vector v) { _mm256_maskstore_ps(x, lanes, v); }
#else
using Some = long;
inline Some some(long left) { return std::min(left, (long)LANES); }
inline Vector read(const float* x, Some lanes) {
    Vector v = zeros();
    memcpy(&v, x, lanes * sizeof(float));
    return v;
}
inline void write(float* x, Some lanes, Vector v) { memcpy(x, &v, lanes * sizeof(float)); }
#endif

struct Float {
    using Value = float;
    static constexpr int STEP = 1;   // inputs that one multiplication sums over
    static constexpr int LINE = 16;  // inputs of a line of the cache
    static Vector given(const float* x) { return spread(*x); }
    static Vector weights(const float* w) { return read(w); }
    static Vector multiply(Vector sum, Vector x, Vector w) { return sum + x * w; }
    static Vector load(const float* x, Some lanes) { return read(x, lanes); }
    static void store(float* x, Some lanes, Vector v) { write(x, lanes, v); }
};

#ifdef __AVX512BF16__
struct Bfloat16 {
    using Value = uint16_t;
    static constexpr int STEP = 2;
    static constexpr int LINE = 32;
    static Vector given(const uint16_t* x) {
        int pair;
        memcpy(&pair, x, sizeof pair);
        return _mm512_castsi512_ps(_mm512_set1_epi32(pair));
    }
    static Vector weights(const uint16_t* w) { return _mm512_loadu_ps(w); }
    static Vector multiply(Vector sum, Vector x, Vector w) {
        return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w);
    }
    static Vector load(const uint16_t* x, Some lanes) {
        __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, x));
        return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
    }
    static void store(uint16_t* x, Some lanes, Vector v) {
        _mm256_mask_storeu_epi16(x, lanes, (__m256i)_mm512_cvtneps_pbh(v));
    }
};
#endif

// A convolution of 1x1 or 3x3. Weights are (outputs / LANES, taps, inputs / STEP, LANES, STEP).
template <class T>
struct Layer {
    const typename T::Value* weights;
    const float* biases;
    int inputs, outputs, taps;

    // The weights from one vector of outputs on.
    const typename T::Value* of(long vector) const {
        return weights + vector * taps * inputs * LANES;
    }
};

// Pixels side by side. Pixel p reads at rows[i] + p * step, and a tap further right `aside` more.
template <class T>
struct Line {
    using Value = typename T::Value;
    const Value* rows[3];
    Value* result;            // pixel p at result + p * pitch
    long pitch;
    const Value* shortcut;    // is added before the ReLU, with the result's pitch, or null
    Value* next;              // to this the result is added, or null
    long next_pitch;

    Line from(long pixel, long step) const {
        Line later = *this;
        for (auto& row : later.rows) row += pixel * step;
        later.result += pixel * pitch;
        if (shortcut) later.shortcut += pixel * pitch;
        if (next) later.next += pixel * next_pitch;
        return later;
    }
};

// What a tile asks memory for while it computes, so that it is in the cache when its turn comes.
struct Ahead {
    long inputs;          // pixels so many values further on, if not 0
    const char* weights;  // and some lines of the cache here for each line of the input
    int lines;
};

template <class T, int PIXELS, int VECTORS>
void tile(const Layer<T>& layer, const Line<T>& line, long step, long aside, int output,
          const Ahead& ahead) {
    const long panel = (long)layer.taps * layer.inputs * LANES;  // weights of one vector
    const auto* weights = layer.of(output / LANES);
    const char* coming = ahead.weights;
    const int lines = ahead.lines;
    Vector sums[PIXELS][VECTORS];
#pragma GCC unroll 5
    for (int v = 0; v < VECTORS; v++) {
        const Vector bias = read(layer.biases + output + v * LANES);
#pragma GCC unroll 24
        for (int p = 0; p < PIXELS; p++) sums[p][v] = bias;
    }
    for (int tap = 0; tap < layer.taps; tap++) {
        const auto* x = line.rows[tap / 3] + tap % 3 * aside;
        for (int start = 0; start < layer.inputs; start += T::LINE) {
            if (ahead.inputs) {
#pragma GCC unroll 24
                for (int p = 0; p < PIXELS; p++)
                    __builtin_prefetch(x + p * step + start + ahead.inputs, 0, 2);
            }
            for (int i = 0; i < lines; i++, coming += CACHE_LINE)
                __builtin_prefetch(coming, 0, 2);
            const int stop = std::min(start + T::LINE, layer.inputs);
#pragma GCC unroll 1
            for (int k = start; k < stop; k += T::STEP) {
                Vector w[VECTORS];
#pragma GCC unroll 5
                for (int v = 0; v < VECTORS; v++) w[v] = T::weights(weights + v * panel);
                weights += T::STEP * LANES;
#pragma GCC unroll 24
                for (int p = 0; p < PIXELS; p++) {
                    const Vector given = T::given(x + p * step + k);
#pragma GCC unroll 5
                    for (int v = 0; v < VECTORS; v++)
                        sums[p][v] = T::multiply(sums[p][v], given, w[v]);
                }
            }
        }
    }
#pragma GCC unroll 5
    for (int v = 0; v < VECTORS; v++) {
        const int at = output + v * LANES;
        const Some lanes = some(layer.outputs - at);
#pragma GCC unroll 24
        for (int p = 0; p < PIXELS; p++) {
            Vector sum = sums[p][v];
            if (line.shortcut) sum += T::load(line.shortcut + p * line.pitch + at, lanes);
            sum = positive(sum);
            T::store(line.result + p * line.pitch + at, lanes, sum);
            if (line.next) {
                auto* next = line.next + p * line.next_pitch + at;
                T::store(next, lanes, sum + T::load(next, lanes));
            }
        }
    }
}

template <class T>
using Tile = void (*)(const Layer<T>&, const Line<T>&, long, long, int, const Ahead&);

// tiles<T>[vectors][pixels]
template <class T>
struct Tiles {
    Tile<T> by_size[MOST_VECTORS + 1][MOST_PIXELS[1] + 1];
    Tiles() { vectors<MOST_VECTORS>(); }
    template <int VECTORS>
    void vectors() {
        pixels<VECTORS, MOST_PIXELS[VECTORS]>();
        if constexpr (VECTORS > 1) vectors<VECTORS - 1>();
    }
    template <int VECTORS, int PIXELS>
    void pixels() {
        by_size[VECTORS][PIXELS] = tile<T, PIXELS, VECTORS>;
        if constexpr (PIXELS > 1) pixels<VECTORS, PIXELS - 1>();
    }
};

// What of a common work is a thread's own.
struct Share {
    long index, count;
    bool has(long item) const { return item % count == index; }
    // Wait for the others.
    void meet() const {
        if (count > 1) {
#pragma omp barrier
        }
    }
};

// Vectors of outputs that are computed together: the panels of a layer.
struct Panels {
    int all, count;
    explicit Panels(int outputs) : all((outputs + LANES - 1) / LANES) {
        // With AVX-512 four vectors leave more registers to the pixels than five.
        const int usual = LANES == 16 ? 4 : MOST_VECTORS;
        count = all % MOST_VECTORS == 0 ? all / MOST_VECTORS : (all + usual - 1) / usual;
    }
    int first(int panel) const { return all * panel / count; }
    int vectors(int panel) const { return first(panel + 1) - first(panel); }
};

// Convolve lines of `count` pixels each, while inputs and weights further on come to the cache.
template <class T>
void convolve(const Layer<T>& layer, const std::vector<Line<T>>& lines, long count, long step,
              long aside, long inputs_ahead, Share share) {
    static const Tiles<T> tiles;
    const Panels panels(layer.outputs);
    const long pieces = share.count == 1 ? 1 : std::max(1L, count / PIXELS_OF_A_PIECE);
    const long input_lines = layer.taps * ((layer.inputs + T::LINE - 1) / T::LINE);
    long item = 0;
    for (int panel = 0; panel < panels.count; panel++) {
        const int first = panels.first(panel), vectors = panels.vectors(panel);
        const int most = MOST_PIXELS[vectors], next = first + vectors;
        Ahead ahead{panel ? 0 : inputs_ahead, (const char*)layer.of(next), 0};
        const long tiles_here = lines.size() * ((count + most - 1) / most) / share.count + 1;
        if (next < panels.all)
            ahead.lines = std::min(4L, LANES * panels.vectors(panel + 1) / tiles_here + 1);
        for (const Line<T>& line : lines) {
            for (long piece = 0; piece < pieces; piece++) {
                if (!share.has(item++)) continue;
                const long from = count * piece / pieces;
                const long size = count * (piece + 1) / pieces - from;
                const long parts = (size + most - 1) / most;
                for (long part = 0; part < parts; part++) {
                    const long start = from + size * part / parts;
                    const long stop = from + size * (part + 1) / parts;
                    tiles.by_size[vectors][stop - start](layer, line.from(start, step), step, aside,
                                                         first * LANES, ahead);
                    ahead.weights += input_lines * ahead.lines * CACHE_LINE;
                }
            }
        }
    }
}

}  // namespace
