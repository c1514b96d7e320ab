using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>Depthwise 3 x 3 convolutions of stride 1 or 2 with registers of 512 or 256 bits: every channel is a plane of its own.</summary>
/// <remarks>
/// <para>With all nine taps, sixteen columns of results are computed from top to bottom: a row of the input is loaded once, its neighbours to the left and right are
/// shifted into place in registers, and the sums of the rows that it reaches wait in registers (three loads at all nine places, most of them across two cache lines, took
/// 1.2 to 2 times as long on Zen 5, seen once). With fewer taps, four rows of results are computed together.
/// Planes are read where they lie. What lies left and right of a row is masked off after the load, what lies above and
/// below is a row of zeros; planes at the ends of the input are copied, because loads reach beyond them. At stride 2 even and odd pixels are parted in registers.
/// A single image is cut into an upper and a lower half, as the pointwise products around it are: two threads exchange a row of pixels and not every other channel.
/// The last tile of a row ends with it and overlaps the one before, the last four rows likewise.</para>
/// <para>The bits are those of the general engines: all nine taps give those of <see cref="ConvolutionEngine"/> (sums begin at zero,
/// padding takes part as zeros), stored taps those of <see cref="SparseOps.RowKernel"/> (sums begin at the bias).</para>
/// </remarks>
internal unsafe partial struct DepthwiseKernel : IParts
{
    private const int Lanes = 16, BlockRows = 4, Taps = 9;

    // How far loads reach before and behind a plane.
    private const int Before = 2, Behind = 2 * Lanes + 4;

    // Multiply-adds from which a second thread is worth waking, and of one part.
    private const long WorthThreads = 1 << 17, WorthAPart = 1 << 15;
    private const int MostParts = 64;

    // Planes between a request for pixels of the other thread and their use: some hundred nanoseconds, which they take from another core's cache.
    private const int PlanesAhead = 4;

    private int _stride, _height, _width, _outHeight, _outWidth, _padTop, _padLeft, _channels, _planes, _parts, _bands, _tiles, _lanes;
    private float* _input, _output, _weights, _bias, _scratch;
    private nint _inputPlane, _outputPlane, _outputSecond;

    // How the input lies, where it does in halves.
    private PlaneHalves _halves;
    private bool _inHalves;
    private int* _rowPointers, _taps;
    private Clamp _clamp;

    // Added last: see Clamp.Zero.
    private float _positive;

    /// <summary>Whether the kernel computes such convolutions on the calling thread.</summary>
    /// <remarks>Padding at the left and right decides how far loads reach beyond a row; rows above and below a plane are zeros, however many.</remarks>
    public static bool Fits(in Convolution2D g) =>
        g is { KernelHeight: 3, KernelWidth: 3, DilationY: 1, DilationX: 1, StrideX: 1 or 2, PadTop: >= 0 and <= 2, PadLeft: >= 0 and <= 2, PadRight: <= 2 }
        && g.StrideY == g.StrideX && g.Groups == g.InChannels && g.Groups == g.OutChannels && g.OutWidth > 0 && g.OutHeight > 0
        && (SimdDispatch.Level == SimdLevel.Vector512 && Avx512F.IsSupported || SimdDispatch.Level == SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported);

    /// <summary>Whether an image is cut into an upper and a lower half; one whose results lie in halves always is.</summary>
    public static bool HasBands(in Convolution2D g) => g.MultiplyAdds >= WorthThreads && g.Batch == 1 && g.OutHeight >= 2 * BlockRows;

    /// <summary>output = clamp(convolution of input + bias) with all taps.</summary>
    /// <param name="g">A geometry that <see cref="Fits"/>.</param>
    /// <param name="input">[batch, channels, height, width].</param>
    /// <param name="weights">[channels, 9].</param>
    /// <param name="bias">[channels], or null.</param>
    /// <param name="output">[batch, channels, outHeight, outWidth].</param>
    /// <param name="clamp">Applied last.</param>
    /// <param name="spacing">Where planes begin.</param>
    public static void Dense(in Convolution2D g, float* input, float* weights, float* bias, float* output, Clamp clamp, PlaneSpacing spacing = default) =>
        Run(g, input, weights, null, null, bias, output, clamp, spacing);

    /// <summary>output = clamp(bias + convolution of input) with stored taps alone.</summary>
    /// <param name="g">A geometry that <see cref="Fits"/>.</param>
    /// <param name="input">[batch, channels, height, width].</param>
    /// <param name="values">The stored weights.</param>
    /// <param name="rowPointers">Where each channel's begin; channels + 1 entries.</param>
    /// <param name="taps">0 to 8 for each, ascending in a channel.</param>
    /// <param name="bias">[channels], or null.</param>
    /// <param name="output">[batch, channels, outHeight, outWidth].</param>
    /// <param name="clamp">Applied last.</param>
    /// <param name="spacing">Where planes begin.</param>
    public static void Sparse(in Convolution2D g, float* input, float* values, int* rowPointers, int* taps, float* bias, float* output, Clamp clamp, PlaneSpacing spacing = default) =>
        Run(g, input, values, rowPointers, taps, bias, output, clamp, spacing);

    private static void Run(in Convolution2D g, float* input, float* weights, int* rowPointers, int* taps, float* bias, float* output, Clamp clamp, PlaneSpacing spacing)
    {
        if (g.Batch == 0) return;
        int lanes = SimdDispatch.Level == SimdLevel.Vector512 ? Lanes : Narrow, tiles = (g.OutWidth + lanes - 1) / lanes, zeros = g.Width + Before + Behind + Lanes, masks = (tiles * 3 + 1) * Lanes;
        using Scratch.Buffer scratch = Scratch.Rent(masks + zeros);
        PlaneHalves? inputHalves = spacing.InputInHalves ? PlaneHalves.Of(g.InChannels, g.Height, g.Width, spacing.InputApart) : null, outputHalves = spacing.OutputInHalves ? PlaneHalves.Of(g.OutChannels, g.OutHeight, g.OutWidth, spacing.OutputApart) : null;
        var kernel = new DepthwiseKernel
        {
            _stride = g.StrideX,
            _height = g.Height,
            _width = g.Width,
            _outHeight = g.OutHeight,
            _outWidth = g.OutWidth,
            _padTop = g.PadTop,
            _padLeft = g.PadLeft,
            _inputPlane = inputHalves?.Distance ?? PlaneSpacing.Of(spacing.Input, g.Height * g.Width, nameof(spacing)),
            _outputPlane = outputHalves?.Distance ?? PlaneSpacing.Of(spacing.Output, g.OutHeight * g.OutWidth, nameof(spacing)),
            _outputSecond = outputHalves?.Second ?? 0,
            _halves = inputHalves.GetValueOrDefault(),
            _inHalves = spacing.InputInHalves,
            _channels = g.InChannels,
            _planes = g.Batch * g.InChannels,
            _tiles = tiles,
            _lanes = lanes,
            _input = input,
            _output = output,
            _weights = weights,
            _rowPointers = rowPointers,
            _taps = taps,
            _bias = bias,
            _scratch = scratch.Pointer,
            _clamp = clamp,
            _positive = clamp.Zero,
        };
        // Masks of each tile's three columns of taps, then of the lanes that a tile writes, then a row of zeros.
        new Span<float>(scratch.Pointer + masks, zeros).Clear();
        for (int t = 0; t < tiles; t++)
        {
            for (int dx = 0; dx < 3; dx++)
            {
                int* mask = (int*)scratch.Pointer + (t * 3 + dx) * Lanes;
                for (int lane = 0; lane < Lanes; lane++)
                    mask[lane] = (uint)((kernel.Start(t) + lane) * g.StrideX + dx - g.PadLeft) < (uint)g.Width ? -1 : 0;
            }
        }
        // All but those behind the end of a row that is narrower than a register.
        for (int lane = 0; lane < Lanes; lane++) ((int*)kernel.Written)[lane] = lane < g.OutWidth ? -1 : 0;
        long work = g.MultiplyAdds;
        kernel._bands = spacing.OutputInHalves || HasBands(g) ? 2 : 1;
        // Who takes a part of the other half leaves what it writes far from who reads it next.
        kernel._parts = work < WorthThreads || (spacing.InputInHalves && spacing.OutputInHalves) ? 1 : (int)Math.Clamp(work / kernel._bands / WorthAPart, 1, Math.Min(MostParts, kernel._planes));
        WorkPool.Run(kernel._parts * kernel._bands, kernel);
    }

    /// <inheritdoc/>
    public readonly void Run(int part)
    {
        // Neighbouring parts compute the same rows.
        int band = part / _parts, firstRow = Boundary(band), endRow = End(band);
        part %= _parts;
        // The lower halves begin with the last channels: two threads that write the two halves of a plane at the same time pass the cache line between them to and fro.
        if (band == 1) part = _parts - 1 - part;
        int first = (int)((long)_planes * part / _parts), end = (int)((long)_planes * (part + 1) / _parts);
        int size = _height * _width;
        float* begin = _input, last = _input + _planes * _inputPlane;
        using Scratch.Buffer scratch = Scratch.Rent(size + Behind + 2 * Lanes + _outWidth + Lanes);
        float* copy = scratch.Pointer + Lanes;
        // Where rows go that nobody wants.
        float* spill = copy + size + Behind;
        (int readFirst, int readEnd) = Reads(firstRow, endRow);
        // A band that is all of the image, or more than a half has room for, reads planes in one piece.
        bool isJoined = _inHalves && (_bands == 1 || !_halves.Holds(band, readFirst, readEnd));
        (int otherFirst, int otherEnd) = isJoined ? default : _inHalves ? _halves.Beyond(band, readFirst, readEnd) : Other(band);
        // To where the band's own pixels lie, and from there to the other's.
        nint own = _inHalves && band == 1 ? _halves.Second : 0, other = !_inHalves ? 0 : band == 0 ? _halves.Second : -_halves.Second;
        bool narrow = _lanes == Narrow;
        float* constants = stackalloc float[Constants];
        for (int p = first; p < end; p++)
        {
            if (p + PlanesAhead < _planes)
            {
                float* ahead = begin + (p + PlanesAhead) * _inputPlane + own + other;
                for (int i = otherFirst; i < otherEnd; i += Lanes) Sse.Prefetch0(ahead + i);
            }
            float* plane = begin + p * _inputPlane + own;
            if (_inHalves)
            {
                if (isJoined || p == 0)
                {
                    _halves.Join(begin, p, copy);
                    plane = copy;
                }
                else
                {
                    for (int i = otherFirst; i < otherEnd; i += Lanes) Vector512.Load(plane + other + i).Store(plane + i);
                }
            }
            else if (plane - begin < Before || last - (plane + size) < Behind)
            {
                Unsafe.CopyBlockUnaligned(copy, plane, (uint)(size * sizeof(float)));
                plane = copy;
            }
            int channel = p % _channels;
            float bias = _bias == null ? 0f : _bias[channel];
            float* output = _output + p * _outputPlane + band * _outputSecond;
            var rows = new Band { First = firstRow, End = endRow, Spill = spill };
            if (_rowPointers == null)
            {
                // Adding -0 changes nothing.
                float add = _bias == null ? -0f : bias;
                if (narrow)
                {
                    SetConstants(constants, add);
                    AllOf8(plane, output, _weights + channel * Taps, constants, firstRow, endRow);
                }
                else if (_stride == 1) All1(plane, output, _weights + channel * Taps, add, firstRow, endRow);
                else All2(plane, output, _weights + channel * Taps, add, firstRow, endRow);
                continue;
            }
            int j = _rowPointers[channel], stored = _rowPointers[channel + 1] - j;
            if (stored == 0) new Span<float>(output + (nint)firstRow * _outWidth, (endRow - firstRow) * _outWidth).Fill(Constant(bias));
            else if (narrow)
            {
                SetConstants(constants, bias);
                StoredOf8(plane, output, _weights + j, _taps + j, stored, constants, rows);
            }
            else Stored(plane, output, _weights + j, _taps + j, stored, bias, rows);
        }
    }

    // The upper half is whole blocks of rows: no row is computed twice, and neighbouring products, which give the odd tile of pixels to the first thread, are cut near it.
    // Where the output lies in halves the row of the cut belongs to both, if it is cut inside.
    private readonly int Boundary(int band) => band == 0 ? 0 : band == _bands ? _outHeight : _outputSecond != 0 ? Math.Min(PlaneHalves.CutOf(_outHeight * _outWidth), _outHeight * _outWidth) / _outWidth : (_outHeight / 2 + BlockRows - 1) / BlockRows * BlockRows;

    private readonly int End(int band) => band == 0 && _outputSecond != 0 ? Math.Min((PlaneHalves.CutOf(_outHeight * _outWidth) + _outWidth - 1) / _outWidth, _outHeight) : Boundary(band + 1);

    // The pixels of a plane that rows of results read.
    private readonly (int First, int End) Reads(int firstRow, int endRow) =>
        (Math.Clamp((firstRow * _stride) - _padTop, 0, _height) * _width, Math.Clamp(((endRow - 1) * _stride) - _padTop + 3, 0, _height) * _width);

    // Pixels of a plane that a band reads and the other thread wrote, when the product before was cut as compiled ones are.
    private readonly (int First, int End) Other(int band)
    {
        if (_bands == 1) return (0, 0);
        int pixels = _height * _width, cut = PlaneHalves.CutOf(pixels), middle = Boundary(1) * _stride - _padTop;
        return band == 0 ? (cut, Math.Min(pixels, (middle - _stride + 3) * _width)) : (Math.Max(0, middle * _width) / Lanes * Lanes, cut);
    }

    private readonly float Constant(float bias) => _clamp.IsNone ? bias : MathF.Min(MathF.Max(bias, _clamp.Low), _clamp.High);

    // The first column of a tile; the last tile ends with the row.
    private readonly int Start(int tile) => Math.Max(0, Math.Min(tile * _lanes, _outWidth - _lanes));

    private readonly float* Written => _scratch + _tiles * 3 * Lanes;

    // A row of zeros that can be read like a row of the input.
    private readonly float* Zeros => Written + Lanes + Before;

    // The rows of the input that four rows of results read, at column -padLeft.
    private readonly void Rows(float* plane, int y, int count, float** rows)
    {
        float* zeros = Zeros;
        for (int j = 0; j < count; j++)
        {
            int row = y * _stride - _padTop + j;
            rows[j] = ((uint)row < (uint)_height ? plane + (nint)row * _width : zeros) - _padLeft;
        }
    }

    // Where a row of results goes.
    private readonly float* Target(float* output, int row, in Band band) => row >= band.End ? band.Spill : output + (nint)row * _outWidth;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector512<float> v, float* to, bool narrow, Vector512<float> written)
    {
        if (narrow) Avx512F.MaskStore(to, written, v);
        else v.Store(to);
    }

    // Few taps: each result loads what it uses, four rows at a time.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Stored(float* plane, float* output, float* values, int* taps, int stored, float bias, Band band)
    {
        float** rows = stackalloc float*[2 * BlockRows + 1];
        Vector512<float> start = Vector512.Create(bias);
        Vector512<int> even = Even;
        Vector512<float> low = Vector512.Create(_clamp.Low), high = Vector512.Create(_clamp.High), positive = Vector512.Create(_positive);
        int stride = _stride;
        bool narrow = _outWidth < Lanes;
        Vector512<float> written = Vector512.Load(Written);
        for (int block = band.First; block < band.End; block += BlockRows)
        {
            int y = Math.Max(band.First, Math.Min(block, band.End - BlockRows));
            Rows(plane, y, stride * (BlockRows - 1) + 3, rows);
            float* o0 = Target(output, y, band), o1 = Target(output, y + 1, band), o2 = Target(output, y + 2, band), o3 = Target(output, y + 3, band);
            for (int t = 0; t < _tiles; t++)
            {
                nint x = Start(t);
                float* mask = _scratch + t * 3 * Lanes;
                Vector512<float> s0 = start, s1 = start, s2 = start, s3 = start;
                for (int j = 0; j < stored; j++)
                {
                    int dy = (taps[j] * 11) >> 5, dx = taps[j] - 3 * dy;
                    Vector512<float> w = Vector512.Create(values[j]), m = Vector512.Load(mask + dx * Lanes);
                    float** from = rows + dy;
                    nint at = x * stride + dx;
                    if (stride == 1)
                    {
                        s0 = Avx512F.FusedMultiplyAdd(Vector512.Load(from[0] + at) & m, w, s0);
                        s1 = Avx512F.FusedMultiplyAdd(Vector512.Load(from[1] + at) & m, w, s1);
                        s2 = Avx512F.FusedMultiplyAdd(Vector512.Load(from[2] + at) & m, w, s2);
                        s3 = Avx512F.FusedMultiplyAdd(Vector512.Load(from[3] + at) & m, w, s3);
                        continue;
                    }
                    s0 = Avx512F.FusedMultiplyAdd(EveryOther(from[0] + at, even) & m, w, s0);
                    s1 = Avx512F.FusedMultiplyAdd(EveryOther(from[2] + at, even) & m, w, s1);
                    s2 = Avx512F.FusedMultiplyAdd(EveryOther(from[4] + at, even) & m, w, s2);
                    s3 = Avx512F.FusedMultiplyAdd(EveryOther(from[6] + at, even) & m, w, s3);
                }
                Store(Bounded(s0, low, high, positive), o0 + x, narrow, written);
                Store(Bounded(s1, low, high, positive), o1 + x, narrow, written);
                Store(Bounded(s2, low, high, positive), o2 + x, narrow, written);
                Store(Bounded(s3, low, high, positive), o3 + x, narrow, written);
            }
        }
    }

    private static Vector512<int> Even => Vector512.Create(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> EveryOther(float* from, Vector512<int> even) => Avx512F.PermuteVar16x32x2(Vector512.Load(from), even, Vector512.Load(from + Lanes));

    private struct Band
    {
        public int First, End;
        public float* Spill;
    }
}
