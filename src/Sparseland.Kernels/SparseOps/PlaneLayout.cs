using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps;

/// <summary>
/// How one image is copied so that every kernel tap becomes a constant shift: padded with zeros, and for a stride s taken
/// apart into s x s phases (every s-th pixel), each of them a plane that is read with stride 1.
/// </summary>
/// <remarks>
/// Rows have a stride of <see cref="RowStride"/> floats. Outputs are computed along the flat plane, position oh * RowStride + ow,
/// columns at the end of a row that belong to no output included: they cost less than starting a register at each row. Where the zeros
/// right of a row and left of the next one meet, they share their columns (3x3, padding 1: one extra column, not two).
/// </remarks>
internal sealed unsafe class PlaneLayout
{
    // Pixels without gaps after which the same columns lie in the same lanes of a register.
    private readonly int _shiftPeriod;

    private readonly int _channels, _height, _width, _padTop, _padLeft, _strideHeight, _strideWidth, _rows, _columns, _shared;
    private readonly (int Row, int Column)[] _phases;

    /// <param name="channels">Channels of the image.</param>
    /// <param name="height">Rows of the image.</param>
    /// <param name="width">Columns of the image.</param>
    /// <param name="padTop">Zero rows above.</param>
    /// <param name="padLeft">Zero columns at the left.</param>
    /// <param name="strideHeight">Vertical distance of the pixels of a phase.</param>
    /// <param name="strideWidth">Horizontal distance of the pixels of a phase.</param>
    /// <param name="phases">Which phases are needed.</param>
    /// <param name="rows">Rows of a plane that are read.</param>
    /// <param name="columns">Columns of a plane that are read.</param>
    /// <param name="maxShift">columns minus the columns of the output: how far right of an output taps reach.</param>
    /// <exception cref="ArgumentException">The planes have more floats than an int counts.</exception>
    public PlaneLayout(int channels, int height, int width, int padTop, int padLeft, int strideHeight, int strideWidth,
        (int Row, int Column)[] phases, int rows, int columns, int maxShift)
    {
        (_channels, _height, _width, _padTop, _padLeft) = (channels, height, width, padTop, padLeft);
        (_strideHeight, _strideWidth, _phases, _rows) = (strideHeight, strideWidth, phases, rows);
        int shared = maxShift;
        foreach ((_, int b) in phases)
        {
            int left = FirstInside(b), firstRight = Math.Max(0, CeilDiv(width + padLeft - b, strideWidth));
            shared = Math.Min(shared, Math.Min(left, Math.Max(0, columns - firstRight)));
        }
        _shared = Math.Max(shared, 0);
        // The odd part of the width, in registers.
        _shiftPeriod = Math.Max(width / Math.Min(Math.Max(width & -width, 1), Lanes.Count), 1) * Lanes.Count;
        RowStride = Math.Max(columns - shared, 1);
        _columns = Math.Min(columns, RowStride);
        // An odd number of cache lines, so that channels do not fall onto the same cache sets.
        long lines = ((long)rows * RowStride + shared + 15) / 16 | 1;
        if (lines * 16 * channels * phases.Length > int.MaxValue) throw new ArgumentException($"{channels} x {phases.Length} planes of {rows} x {RowStride} pixels: shifts of sparse convolutions are counted in 32 bits.");
        PlaneStride = (int)lines * 16;
    }

    /// <summary>Floats between rows of a plane.</summary>
    public int RowStride { get; }

    /// <summary>Floats between planes.</summary>
    public int PlaneStride { get; }

    /// <summary>Floats of all planes, with room for reading a widest tile behind the end.</summary>
    public long TotalLength => (long)PlaneStride * _channels * _phases.Length + 128 + RowStride;

    /// <summary>Rows of a plane that are read.</summary>
    public int Rows => _rows;

    /// <summary>Channels of the image.</summary>
    public int Channels => _channels;

    /// <summary>Planes for each channel.</summary>
    public int Phases => _phases.Length;

    /// <summary>Number of planes: fill them in any order.</summary>
    public int Planes => _phases.Length * _channels;

    /// <summary>The first float of a channel in a phase, given by its index in the list of phases.</summary>
    public int PlaneStart(int phase, int channel) => (phase * _channels + channel) * PlaneStride;

    /// <summary>Fills one plane from an image [channels, height, width].</summary>
    /// <param name="plane">Which plane.</param>
    /// <param name="image">The image.</param>
    /// <param name="planes">All planes.</param>
    /// <param name="cleared">Whether all but the image's own pixels is zero already, as an earlier image of the same size left it.</param>
    /// <param name="imagePlane">Floats between planes of the image; 0 where they have no gaps.</param>
    public void Fill(int plane, float* image, float* planes, bool cleared = false, nint imagePlane = 0) => FillRows(plane, image, planes, 0, _rows, cleared, imagePlane);

    /// <summary>Fills rows first .. end-1 of one plane; the others keep what they hold.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void FillRows(int plane, float* image, float* planes, int first, int end, bool cleared = false, nint imagePlane = 0)
    {
        (int phaseRow, int phaseColumn) = _phases[plane / _channels];
        float* source = image + plane % _channels * (imagePlane == 0 ? (nint)_height * _width : imagePlane);
        float* to = planes + (nint)plane * PlaneStride;
        int q0 = FirstInside(phaseColumn);
        int q1 = Math.Min(_columns, Math.Max(0, CeilDiv(_width + _padLeft - phaseColumn, _strideWidth)));
        // Rows of the plane that are rows of the image, if there is a column in it.
        int firstInside = Math.Clamp(CeilDiv(_padTop - phaseRow, _strideHeight), first, end), endInside = q1 <= q0 ? firstInside : Math.Clamp(CeilDiv(_height + _padTop - phaseRow, _strideHeight), firstInside, end);
        float* at = to + (nint)firstInside * RowStride, under = to + (nint)endInside * RowStride;
        if (!cleared)
        {
            new Span<float>(to + (nint)first * RowStride, (firstInside - first) * RowStride).Clear();
            // Zeros right of the last row are shared with the next one.
            new Span<float>(under, (end == _rows ? PlaneStride : end * RowStride + _shared) - endInside * RowStride).Clear();
        }
        nint pitch = (nint)_strideHeight * _width;
        float* from = source + ((nint)firstInside * _strideHeight + phaseRow - _padTop) * _width + q0 * _strideWidth + phaseColumn - _padLeft;
        if (_strideWidth == 1)
        {
            PlaneRows.CopyPadded(from, pitch, endInside - firstInside, q0, q1, RowStride, 0, at);
            return;
        }
        for (; at < under; at += RowStride, from += pitch)
        {
            for (int q = 0; q < q0; q++) at[q] = 0;
            EveryNth.Copy(from, _strideWidth, at + q0, q1 - q0);
            for (int q = q1; q < RowStride; q++) at[q] = 0;
        }
    }

    /// <summary>Whether rows of a plane, from any column on, are rows of the image that are shifted: results are as wide as the image, and no stride takes it apart.</summary>
    public bool ShiftsRows(int width) => _strideWidth == 1 && _strideHeight == 1 && width == _width;

    /// <summary>Copies rows of a channel's plane without gaps, from a column on and as wide as the image: all of them at once. What would come from a neighbouring row is cleared, or with masks not read.</summary>
    /// <param name="channel">Whose; a plane is a channel where <see cref="ShiftsRows"/>.</param>
    /// <param name="column">The first column of the plane.</param>
    /// <param name="image">The image.</param>
    /// <param name="imagePlane">Floats between planes of the image.</param>
    /// <param name="first">The first row of the plane.</param>
    /// <param name="rows">How many.</param>
    /// <param name="to">[rows, width].</param>
    /// <param name="masks">What <see cref="ShiftMasks"/> gave for the column, or null. With it up to 15 floats behind the rows are written as well.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void CopyShifted(int channel, int column, float* image, nint imagePlane, int first, int rows, float* to, int* masks)
    {
        int firstInside = Math.Clamp(_padTop, first, first + rows), endInside = Math.Clamp(_height + _padTop, firstInside, first + rows), inside = endInside - firstInside, shift = column - _padLeft;
        if (masks != null)
        {
            float* begin = to + (nint)(firstInside - first) * _width, stop = begin + (nint)inside * _width, behind = to + (nint)rows * _width;
            for (; to < begin; to += Lanes.Count) Vector512<float>.Zero.Store(to);
            CopyInside(image + channel * imagePlane + (nint)(firstInside - _padTop) * _width + shift, inside * _width, begin, masks);
            for (; stop < behind; stop += Lanes.Count) Vector512<float>.Zero.Store(stop);
            return;
        }
        new Span<float>(to, (firstInside - first) * _width).Clear();
        new Span<float>(to + (nint)(endInside - first) * _width, (first + rows - endInside) * _width).Clear();
        if (inside == 0) return;
        // Nothing before and behind the plane is read.
        int start = (firstInside - _padTop) * _width + shift, skipped = Math.Max(0, -start), count = Math.Min(inside * _width, _height * _width - start) - skipped;
        float* at = to + (nint)(firstInside - first) * _width;
        if (count > 0) Unsafe.CopyBlockUnaligned(at + skipped, image + channel * imagePlane + start + skipped, (uint)count * sizeof(float));
        int wrong = Math.Min(Math.Abs(shift), _width);
        for (float* edge = at + (shift < 0 ? 0 : _width - wrong), end = edge + (nint)inside * _width; wrong > 0 && edge < end; edge += _width)
        {
            for (int i = 0; i < wrong; i++) edge[i] = 0;
        }
    }

    /// <summary>Which lanes of registers without gaps come from the image's own rows, for planes that are shifted to begin at a column: the others are zero, and are not read.</summary>
    /// <param name="column">The first column of the plane.</param>
    /// <param name="pixels">Pixels of a copy at most. Odd rows repeat after 16 of them, which may be many more.</param>
    public int[] ShiftMasks(int column, int pixels)
    {
        var masks = new int[Math.Min(_shiftPeriod, (pixels + Lanes.Count - 1) / Lanes.Count * Lanes.Count)];
        for (int i = 0; i < masks.Length; i++) masks[i] = (i % _width) + column - _padLeft is int from && from >= 0 && from < _width ? -1 : 0;
        return masks;
    }

    // Registers that have one mask follow each other.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void CopyInside(float* from, int count, float* to, int* masks)
    {
        int period = _shiftPeriod, whole = count & ~(Lanes.Count - 1);
        for (int k = 0; k < Math.Min(period, whole); k += Lanes.Count)
        {
            Vector512<float> mask = Vector512.Load(masks + k).AsSingle();
            for (nint i = k; i < whole; i += period) Avx512F.MaskLoad(from + i, mask, Vector512<float>.Zero).Store(to + i);
        }
        if (whole == count) return;
        // What lies behind the last row may not be there.
        Vector512<float> last = (Vector512.Load(masks + whole % period) & Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(count - whole))).AsSingle();
        Avx512F.MaskLoad(from + whole, last, Vector512<float>.Zero).Store(to + whole);
    }

    /// <summary>Columns that <see cref="CopyShiftedRows"/> copies at once: the width is a multiple.</summary>
    public const int ShiftedColumns = 8;

    /// <summary>Copies rows of a channel's plane to rows that lie apart, from a column on and as wide as the image, with zeros for what lies outside the image.</summary>
    /// <param name="channel">The channel of the image; <see cref="ShiftsRows"/> is true.</param>
    /// <param name="column">The first column of the plane.</param>
    /// <param name="rows">How many, from the plane's first on.</param>
    /// <param name="to">The first row.</param>
    /// <param name="pitch">Floats between rows of to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void CopyShiftedRows(float* channel, int column, int rows, float* to, nint pitch)
    {
        int shift = column - _padLeft, above = Math.Clamp(_padTop, 0, rows), below = Math.Clamp(_height + _padTop, above, rows);
        for (int x = 0; x < _width; x += ShiftedColumns, to += ShiftedColumns)
        {
            Vector256<int> place = Vector256<int>.Indices + Vector256.Create(x + shift);
            Vector256<float> inside = (Vector256.GreaterThanOrEqual(place, Vector256<int>.Zero) & Vector256.LessThan(place, Vector256.Create(_width))).AsSingle();
            // What is not inside is not read.
            float* from = channel + ((nint)(above - _padTop) * _width) + x + shift, at = to;
            int r = 0;
            for (; r < above; r++, at += pitch) Vector256<float>.Zero.Store(at);
            for (; r < below; r++, at += pitch, from += _width) Inside(from, inside).Store(at);
            for (; r < rows; r++, at += pitch) Vector256<float>.Zero.Store(at);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Inside(float* from, Vector256<float> mask)
    {
        if (Avx.IsSupported) return Avx.MaskLoad(from, mask);
        Vector256<float> some = default;
        for (int i = 0; i < Vector256<float>.Count; i++)
        {
            if (mask.AsInt32()[i] != 0) some = some.WithElement(i, from[i]);
        }
        return some;
    }

    private int FirstInside(int phaseColumn) => Math.Max(0, CeilDiv(_padLeft - phaseColumn, _strideWidth));

    private static int CeilDiv(int a, int b) => a >= 0 ? (a + b - 1) / b : -(-a / b);
}
