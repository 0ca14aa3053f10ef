// A residual block of Res2Net in one pass over the lines of its pictures: see ../cpu.py.
//
// Tensors are (pictures, height, width, channels). Lines are counted through all pictures, as if
// each stood below the one before. A thread takes a few lines of the input at a time, and each
// convolution follows the one before it as far as its 3x3 windows allow. So what lies between the
// input and the result never leaves the cache. Each thread has pictures of its own; where these do
// not come out even, all threads share the work on the same lines.

#include "tiles.h"

namespace {

constexpr long PIXELS_AT_ONCE = 400;  // of the input, for each thread: what fits into the cache
constexpr long PIXELS_AHEAD = 24;     // so far ahead the input is asked for

struct Shape {
    int64_t pictures, height, width, inputs, outputs, scale, chunk, stride, dilation;
    int64_t apart;  // whether chunks stay apart and the last is pooled: the first block of a stage
    int64_t joined, joined_stride;  // channels of `beside`, and its stride; 0 if there is none
    int64_t threads;
    long hidden() const { return scale * chunk; }
    long out_height() const { return (height - 1) / stride + 1; }
    long out_width() const { return (width - 1) / stride + 1; }
};

template <class T>
struct Block {
    using Value = typename T::Value;
    Shape shape;
    const Value *x, *shortcut;  // the shortcut is null where the last convolution makes it
    const Value* beside;        // what the shortcut's 1x1 convolution reads, which joins the last
    Value* result;              // may be x
    Layer<T> first, last;
    std::vector<Layer<T>> middle;
};

// What a thread keeps between calls, so that memory is asked for once.
template <class Value>
struct Buffers {
    std::vector<Value> expanded;  // what the first convolution gives
    std::vector<Value> hidden;    // the same as lines with zeros to the left and right
    std::vector<Value> zeros;     // such a line above or below a picture
    std::vector<Value> results;   // lines that the last convolution reads
};

template <class Value>
thread_local Buffers<Value> buffers;

// The lines of the result from `start` to `stop`, which are whole pictures: all of the work on
// them, or this thread's share of it.
template <class T>
class Pass {
    using Value = typename T::Value;

  public:
    Pass(const Block<T>& block, long start, long stop, Share share, Buffers<Value>& buffers)
        : block(block), shape(block.shape), stop(stop), share(share), own(buffers),
          done(shape.apart ? shape.scale : shape.scale - 1, start), written(start),
          results_from(start), read(picture(start)), end(picture(stop)), hidden_from(read),
          batch(std::max(1L, PIXELS_AT_ONCE * share.count / (long)shape.width)),
          pitch(shape.hidden()), result_pitch(pitch + shape.joined),
          hidden_line((shape.width + 2 * shape.dilation) * pitch),
          result_line(shape.out_width() * result_pitch) {
        const long kept = (shape.scale + 2) * shape.dilation + shape.stride;
        if (share.index == 0 || share.count == 1) {
            own.hidden.assign((batch + kept) * hidden_line, 0);
            own.zeros.assign(hidden_line, 0);
            own.results.resize((batch + kept) * result_line);
            own.expanded.resize(batch * shape.width * pitch);
        }
        share.meet();
    }

    void run() {
        while (read < end) {
            expand();
            for (size_t i = 0; i < done.size(); i++) follow(i);
            contract();
            forget();
        }
    }

  private:
    // The line of the input in the middle of line q's windows, and the outermost ones.
    long picture(long q) const { return q / shape.out_height() * shape.height; }
    long middle(long q) const { return picture(q) + q % shape.out_height() * shape.stride; }
    long top(long q) const { return std::max(middle(q) - shape.dilation, picture(q)); }
    long bottom(long q) const {
        return std::min(middle(q) + shape.dilation, picture(q) + shape.height - 1);
    }
    Value* hidden(long line) { return own.hidden.data() + (line - hidden_from) * hidden_line; }
    Value* results(long q) { return own.results.data() + (q - results_from) * result_line; }
    const Value* above(long q, long by) {
        return middle(q) - by < picture(q) ? own.zeros.data() : hidden(middle(q) - by);
    }
    const Value* below(long q, long by) {
        bool beyond = middle(q) + by >= picture(q) + shape.height;
        return beyond ? own.zeros.data() : hidden(middle(q) + by);
    }

    // The first convolution, for the next lines.
    void expand() {
        const long fresh = std::min(batch, end - read), last = (shape.scale - 1) * shape.chunk;
        const Value* x = block.x + read * shape.width * shape.inputs;
        lines.assign(1, {{x}, own.expanded.data(), pitch, nullptr, nullptr, 0});
        convolve(block.first, lines, fresh * shape.width, shape.inputs, 0,
                 PIXELS_AHEAD * shape.inputs, share);
        share.meet();
        for (long i = 0; i < fresh; i++) {
            if (!share.has(i)) continue;
            const Value* given = own.expanded.data() + i * shape.width * pitch;
            Value* kept = hidden(read + i) + shape.dilation * pitch;
            memcpy(kept, given, shape.width * pitch * sizeof(Value));
            for (long p = 0; !shape.apart && p < shape.width; p++)  // the last chunk stays as it is
                memcpy(results(read + i) + p * result_pitch + last, given + p * pitch + last,
                       shape.chunk * sizeof(Value));
        }
        read += fresh;
        share.meet();
    }

    // Chunk i, as far as what it reads is there.
    void follow(long i) {
        const long there = shape.apart || i == 0 ? read : done[i - 1];
        const bool pools = i == shape.scale - 1, adds = !shape.apart && i + 2 < shape.scale;
        const long at = i * shape.chunk, reach = shape.dilation;
        lines.clear();
        for (long& q = done[i]; q < stop && bottom(q) < there; q++) {
            if (pools && share.has(q)) pool(q);
            if (pools) continue;
            Value* next = hidden(q) + reach * pitch + at + shape.chunk;
            lines.push_back({{above(q, reach) + at, hidden(middle(q)) + at, below(q, reach) + at},
                             results(q) + at, result_pitch, nullptr, adds ? next : nullptr, pitch});
        }
        if (pools) return;
        convolve(block.middle[i], lines, shape.out_width(), shape.stride * pitch,
                 shape.dilation * pitch, 0, share);
        if (adds) share.meet();
    }

    // The average of 3x3 pixels, zeros beyond the border among them.
    void pool(long q) {
        const Value* rows[3] = {above(q, 1), hidden(middle(q)), below(q, 1)};
        const long at = (shape.scale - 1) * shape.chunk;
        for (long p = 0; p < shape.out_width(); p++) {
            const long left = (p * shape.stride + shape.dilation - 1) * pitch + at;
            for (long c = 0; c < shape.chunk; c += LANES) {
                const Some lanes = some(shape.chunk - c);
                Vector sum = zeros();
                for (const Value* row : rows)
                    for (long tap = 0; tap < 3; tap++)
                        sum += T::load(row + left + tap * pitch + c, lanes);
                T::store(results(q) + p * result_pitch + at + c, lanes, sum / 9);
            }
        }
    }

    // The last convolution, for lines to which all chunks have come.
    void contract() {
        const long ready = *std::min_element(done.begin(), done.end());
        for (long q = written; shape.joined && q < ready; q++)
            if (share.has(q)) join(q);
        share.meet();
        const long at = written * shape.out_width() * shape.outputs;
        const Value* shortcut = block.shortcut ? block.shortcut + at : nullptr;
        lines.assign(1, {{results(written)}, block.result + at, shape.outputs, shortcut,
                         nullptr, 0});
        convolve(block.last, lines, (ready - written) * shape.out_width(), result_pitch, 0, 0,
                 share);
        written = ready;
        share.meet();
    }

    // Put the pixels of `beside` behind the chunks, as if they were one more of them.
    void join(long q) {
        const bool dense = shape.joined_stride == 1;
        const long line = dense ? q * shape.out_width() : middle(q) * shape.width;
        for (long p = 0; p < shape.out_width(); p++)
            memcpy(results(q) + p * result_pitch + pitch,
                   block.beside + (line + p * shape.joined_stride) * shape.joined,
                   shape.joined * sizeof(Value));
    }

    // Drop the lines that nothing will read again.
    void forget() {
        long needed = read;
        for (const long q : done)
            if (q < stop) needed = std::min(needed, top(q));
        const long filled = shape.apart ? *std::max_element(done.begin(), done.end()) : read;
        if (share.has(0)) {
            memmove(own.hidden.data(), hidden(needed),
                    (read - needed) * hidden_line * sizeof(Value));
            memmove(own.results.data(), results(written),
                    (filled - written) * result_line * sizeof(Value));
        }
        hidden_from = needed;
        results_from = written;
        share.meet();
    }

    const Block<T>& block;
    const Shape& shape;
    const long stop;
    const Share share;
    Buffers<Value>& own;
    std::vector<long> done;          // lines of each chunk's result
    long written, results_from;      // lines of the result, and the first one in the buffer
    long read, end, hidden_from;     // lines of the input, and the first one in the buffer
    const long batch;                // lines that are read at once
    const long pitch, result_pitch;  // values of a pixel
    const long hidden_line, result_line;  // values of a line
    std::vector<Line<T>> lines;
};

template <class T>
void compute(const void* const* tensors, const void* const* weights, const float* const* biases,
             const Shape& shape) {
    using Value = typename T::Value;
    const int hidden = shape.hidden(), chunk = shape.chunk, joined = shape.joined;
    const long padded = (chunk + LANES - 1) / LANES * LANES;
    Block<T> block{shape, (const Value*)tensors[0], (const Value*)tensors[1],
                   (const Value*)tensors[2], (Value*)tensors[3],
                   {(const Value*)weights[0], biases[0], (int)shape.inputs, hidden, 1},
                   {(const Value*)weights[2], biases[2], hidden + joined, (int)shape.outputs, 1},
                   {}};
    for (long i = 0; i < shape.scale - 1; i++)
        block.middle.push_back({(const Value*)weights[1] + i * padded * 9 * chunk,
                                biases[1] + i * padded, chunk, chunk, 9});
    const bool even = shape.pictures % shape.threads == 0;
    Buffers<Value>& common = buffers<Value>;
#pragma omp parallel num_threads(shape.threads)
    {
        const long thread = omp_get_thread_num(), threads = omp_get_num_threads();
        const long start = even ? shape.pictures * thread / threads : 0;
        const long stop = even ? shape.pictures * (thread + 1) / threads : (long)shape.pictures;
        const Share share = even ? Share{0, 1} : Share{thread, threads};
        Pass<T>(block, start * shape.out_height(), stop * shape.out_height(), share,
                even ? buffers<Value> : common).run();
    }
}

}  // namespace

// Tensors are x, shortcut, beside and result; weights and biases those of the first, of all 3x3 and
// of the last convolution.
extern "C" void res2net_block_fp32(const void* const* tensors, const void* const* weights,
                                   const float* const* biases, const void* shape) {
    compute<Float>(tensors, weights, biases, *(const Shape*)shape);
}

#ifdef __AVX512BF16__
extern "C" void res2net_block_bf16(const void* const* tensors, const void* const* weights,
                                   const float* const* biases, const void* shape) {
    compute<Bfloat16>(tensors, weights, biases, *(const Shape*)shape);
}
#endif
