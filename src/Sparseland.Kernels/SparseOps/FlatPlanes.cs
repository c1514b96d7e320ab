using Sparseland.Kernels.Dense;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps;

/// <summary>
/// How compiled code finds inputs where a plane's rows are as long as the result's: 16 consecutive pixels meet 16 consecutive floats under every tap, and what would
/// lie beyond an edge is cleared by a mask. For stride 1 the planes are the image itself; for a stride s it is taken apart into its phases (every s-th pixel), row by row.
/// </summary>
/// <remarks>Padded planes (<see cref="PlaneLayout"/>) have to be filled before anything is multiplied, and where rows of the weight are shared, on every thread.</remarks>
internal sealed class FlatPlanes
{
    private const int Lanes = CompiledMatrix.Lanes;

    // Taps times tiles: each has the index of a mask, in the whole some tens of megabytes at most.
    private const long MostMasks = 1 << 24;

    // Bytes after which addresses fall into the same set of the first cache again, and lines of one set that copies read beside those that they write: of 8 or 12.
    private const int Sets = 4096, LinesOfASet = 6;

    private readonly int _imagePlane, _channels, _width, _strideHeight, _strideWidth, _outWidth, _rows, _taps, _highest, _lowest, _beyond, _farthest;
    private readonly (int Row, int Column)[] _phases;
    private readonly (int Phase, int Row, int Column)[] _shifts;

    private FlatPlanes(SparseConvolutionShape s, int height, int width, int imagePlane, int outHeight, int outWidth)
    {
        _imagePlane = imagePlane;
        (_channels, _width, _strideHeight, _strideWidth, _outWidth, _rows) = (s.InChannels, width, s.StrideHeight, s.StrideWidth, outWidth, height / s.StrideHeight);
        _taps = s.KernelHeight * s.KernelWidth;
        var phases = new List<(int, int)>();
        var phaseOf = new Dictionary<(int, int), int>();
        var shifts = new (int Phase, int Row, int Column)[_taps];
        for (int t = 0; t < _taps; t++)
        {
            (int down, int phaseRow) = Part(t / s.KernelWidth * s.DilationHeight - s.PadTop, s.StrideHeight);
            (int right, int phaseColumn) = Part(t % s.KernelWidth * s.DilationWidth - s.PadLeft, s.StrideWidth);
            if (phaseOf.TryAdd((phaseRow, phaseColumn), phases.Count)) phases.Add((phaseRow, phaseColumn));
            shifts[t] = (phaseOf[(phaseRow, phaseColumn)], down, right);
        }
        _phases = [.. phases];
        _shifts = shifts;
        IsImage = s is { StrideHeight: 1, StrideWidth: 1 };
        PlaneStride = IsImage ? imagePlane : checked(_rows * outWidth);
        ChannelsAtOnce = _taps == 1 ? _channels : LinesOfASet * Sets / (int)Math.Clamp(PlaneStride * sizeof(float) & -(PlaneStride * (long)sizeof(float)), PlaneSpacing.Line * sizeof(float), Sets);
        (_lowest, _highest) = (shifts.Min(t => t.Row), shifts.Max(t => t.Row));
        _beyond = RowsBeyond(_lowest, _highest, _rows, outHeight);
        _farthest = shifts.Max(t => Math.Abs(t.Column));
        IsUnmasked = shifts is [{ Row: 0, Column: 0 }] && outHeight <= _rows;

        Offsets = new int[s.InChannels * _taps];
        for (int i = 0; i < Offsets.Length; i++)
        {
            (int phase, int row, int column) = shifts[i % _taps];
            Offsets[i] = checked((phase * _channels + i / _taps) * PlaneStride + row * outWidth + column);
        }
        Tiles = (outHeight * outWidth + Lanes - 1) / Lanes;
        MaskOf = new ushort[_taps * Tiles];
        var masks = new List<int>();
        var known = new Dictionary<ushort, ushort>();
        for (int t = 0; t < _taps; t++)
        {
            (_, int down, int right) = shifts[t];
            for (int tile = 0, y = 0, x = 0; tile < Tiles; tile++)
            {
                ushort bits = 0;
                for (int lane = 0; lane < Lanes; lane++)
                {
                    if (y < outHeight && (uint)(y + down) < (uint)_rows && (uint)(x + right) < (uint)outWidth) bits |= (ushort)(1 << lane);
                    if (++x == outWidth) (y, x) = (y + 1, 0);
                }
                if (!known.TryGetValue(bits, out ushort index))
                {
                    index = (ushort)known.Count;
                    known.Add(bits, index);
                    for (int lane = 0; lane < Lanes; lane++) masks.Add((bits >> lane & 1) == 0 ? 0 : -1);
                }
                MaskOf[t * Tiles + tile] = index;
            }
        }
        Masks = [.. masks];
    }

    /// <summary>Whether the planes are the image itself.</summary>
    public bool IsImage { get; }

    /// <summary>Whether there is one tap and nothing beyond an edge: planes are then rows of a matrix, which code reads where they lie.</summary>
    public bool IsUnmasked { get; }

    /// <summary>Floats between planes.</summary>
    public int PlaneStride { get; }

    /// <summary>Channels whose lines under one tap the first cache keeps until the next tap: few where planes are a power of two apart, since the same pixel of all of them falls into the same sets. All where there is one tap.</summary>
    public int ChannelsAtOnce { get; }

    /// <summary>Floats of all planes.</summary>
    public long TotalLength => (long)PlaneStride * _channels * _phases.Length;

    /// <summary>Tiles of the result.</summary>
    public int Tiles { get; }

    /// <summary>Taps of the kernel.</summary>
    public int Taps => _taps;

    /// <summary>Channels of the image.</summary>
    public int Channels => _channels;

    /// <summary>Rows of a plane.</summary>
    public int Rows => _rows;

    /// <summary>The shift of each line [channel, tap] in floats.</summary>
    public int[] Offsets { get; }

    /// <summary>The mask of each [tap, tile], as an index.</summary>
    public ushort[] MaskOf { get; }

    /// <summary>All different masks, 16 lanes each.</summary>
    public int[] Masks { get; }

    /// <summary>Null where rows of the planes would not be as long as the result's, where weights are grouped, and where a geometry is out of all proportion: a stride with more rows beyond an edge than the planes have, or masks without end.</summary>
    /// <param name="s">The convolution.</param>
    /// <param name="height">Rows of the image.</param>
    /// <param name="width">Columns of the image.</param>
    /// <param name="imagePlane">Floats between planes of the image.</param>
    /// <param name="outHeight">Rows of the result.</param>
    /// <param name="outWidth">Columns of the result.</param>
    public static FlatPlanes? TryCreate(SparseConvolutionShape s, int height, int width, int imagePlane, int outHeight, int outWidth)
    {
        if (s.Groups != 1 || height == 0 || outHeight == 0 || outWidth == 0 || height % s.StrideHeight != 0 || width != (long)outWidth * s.StrideWidth) return null;
        // The indices of masks take 16 bits, and the last tile's end would be read beyond a smaller result.
        long pixels = (long)outHeight * outWidth;
        if (pixels < Lanes || (pixels + Lanes - 1) / Lanes * s.KernelHeight * s.KernelWidth > MostMasks) return null;
        int rows = height / s.StrideHeight, lowest = Part(-s.PadTop, s.StrideHeight).Whole, highest = Part((s.KernelHeight - 1) * s.DilationHeight - s.PadTop, s.StrideHeight).Whole;
        return s is { StrideHeight: 1, StrideWidth: 1 } || RowsBeyond(lowest, highest, rows, outHeight) <= rows ? new FlatPlanes(s, height, width, imagePlane, outHeight, outWidth) : null;
    }

    /// <summary>The rows of pixels that taps reach before the first row of a plane or behind its last, whichever are more; padding below the image alone makes them many too.</summary>
    private static int RowsBeyond(int lowest, int highest, int rows, int outHeight) => Math.Max(0, Math.Max(-lowest, outHeight + highest - rows));

    /// <summary>The rows of planes that rows first .. end-1 of the result read.</summary>
    public (int First, int End) Reach(int first, int end) => (Math.Clamp(first + _lowest, 0, _rows), Math.Clamp(end + _highest, 0, _rows));

    /// <summary>Takes rows first .. end-1 of the planes of some channels out of an image [channels, height, width].</summary>
    public unsafe void Fill(float* image, float* planes, int firstChannel, int endChannel, int first, int end)
    {
        for (int channel = firstChannel; channel < endChannel; channel++)
        {
            for (int phase = 0; phase < _phases.Length;)
            {
                float* to = planes + ((nint)phase * _channels + channel) * PlaneStride + (nint)first * _outWidth;
                phase += TakeApart(image + (nint)channel * _imagePlane, phase, first, end, to, (nint)_channels * PlaneStride);
            }
        }
    }

    /// <summary>Rows of one plane of a channel, or of two at once that take turns in the same rows of the image.</summary>
    /// <returns>How many planes.</returns>
    private unsafe int TakeApart(float* image, int phase, int first, int end, float* to, nint next)
    {
        (int row, int column) = _phases[phase];
        nint apart = (nint)_strideHeight * _width;
        float* from = image + first * apart + (nint)row * _width;
        if (EveryNth.TakesApart(_strideWidth, _outWidth))
        {
            bool isPair = phase + 1 < _phases.Length && _phases[phase + 1] == (row, 1 - column);
            float* other = isPair ? to + next : null;
            EveryNth.Apart(from, apart, end - first, column == 0 ? to : other, column == 0 ? other : to, _outWidth);
            return isPair ? 2 : 1;
        }
        for (int r = first; r < end; r++, from += apart, to += _outWidth) EveryNth.Copy(from, column, _strideWidth, to, _outWidth);
        return 1;
    }

    /// <summary>Floats from one plane of a band of rows to the next: an odd number of cache lines, so that planes do not fall onto the same cache sets.</summary>
    public int BandStride(int rows) => (checked(rows * _outWidth + Lanes - 1) / Lanes | 1) * Lanes;

    /// <summary>Floats that taps may reach before the first or behind the last plane of a band; what they find there is masked.</summary>
    public int BandMargin => checked(_beyond * _outWidth + _farthest + Lanes - 1) / Lanes * Lanes + 2 * Lanes;

    /// <summary>As <see cref="Fill"/>, to planes [channel, phase] of a band of rows.</summary>
    /// <param name="image">[channels, height, width].</param>
    /// <param name="band">The first plane of the first channel.</param>
    /// <param name="stride">Floats between planes.</param>
    /// <param name="firstChannel">First channel.</param>
    /// <param name="endChannel">Channel after the last.</param>
    /// <param name="first">First row of the planes.</param>
    /// <param name="end">Row after the last.</param>
    public unsafe void FillBand(float* image, float* band, nint stride, int firstChannel, int endChannel, int first, int end)
    {
        for (int channel = firstChannel; channel < endChannel; channel++, band += _phases.Length * stride)
        {
            for (int phase = 0; phase < _phases.Length;) phase += TakeApart(image + (nint)channel * _imagePlane, phase, first, end, band + phase * stride, stride);
        }
    }

    /// <summary>The shift of each tap in a band that <see cref="FillBand"/> filled from row <paramref name="first"/> on.</summary>
    public void BandOffsets(int first, int stride, Span<int> offsets)
    {
        for (int t = 0; t < _taps; t++) offsets[t] = _shifts[t].Phase * stride + (_shifts[t].Row - first) * _outWidth + _shifts[t].Column;
    }

    /// <summary>Planes of a channel.</summary>
    public int Phases => _phases.Length;

    /// <summary>Columns of a plane, and of the result.</summary>
    public int Width => _outWidth;

    /// <summary>Whole strides in a distance, rounded down, and what is left, 0 to the stride less one: how many pixels of a phase a tap lies away, and which phase.</summary>
    internal static (int Whole, int Remainder) Part(int distance, int stride)
    {
        int rest = (distance % stride + stride) % stride;
        return ((distance - rest) / stride, rest);
    }
}
