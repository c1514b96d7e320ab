using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>How tiles find the inputs of a convolution: copies of each channel, one for each shift sideways (and phase of a stride) that a tap needs, whose rows are as long as the result's.</summary>
/// <remarks>
/// In such a copy, consecutive pixels of a result meet consecutive floats under every tap, and taps above each other are rows of one copy: three copies serve a 3 x 3 kernel. What lies beyond an edge is zero there. A band of rows whose
/// copies fit the second cache is laid out at a time, and all tiles are multiplied with it. Channels that no stored weight reads are left out.
/// </remarks>
internal sealed unsafe class TilePlanes
{
    // Floats of a band's copies, and the fewest registers of pixels that a band has. A second cache of 512 KB does not hold them all, but half as many took up to a fifth longer (3 x 3, 28 x 28, 95 % zeros; Zen 1): more rows are laid out twice.
    private const int NearFloats = 160 * 1024, LeastRegisters = 12;

    // Floats that a thread may need to lay out a band: far beyond the caches, and no more than it keeps between calls.
    private const long MostFloats = 8 << 20;

    private const int PhasesOnStack = 64;

    private const int LineFloats = 16;

    // Floats before and behind a plane that was taken apart, and the furthest shift that they allow.
    private const int Margin = 4 * LineFloats, MostShift = 2 * LineFloats;

    private readonly int _lanes, _channels, _height, _width, _strideHeight, _strideWidth, _outHeight, _outWidth, _lowest, _highest, _phases;
    private readonly int[] _offsets;
    private readonly Variant[] _variants;
    private readonly (int Channel, int Variant)[] _copies;

    private TilePlanes(SparseConvolutionShape s, TiledMatrix matrix, int height, int width)
    {
        (_channels, _height, _width, _strideHeight, _strideWidth, _outHeight, _outWidth) = (s.InChannels, height, width, s.StrideHeight, s.StrideWidth, s.OutHeight(height), s.OutWidth(width));
        (Code, _lanes) = (matrix.Code, matrix.Code.Lanes);
        int taps = s.KernelHeight * s.KernelWidth;
        var shifts = new (int Down, int Variant)[taps];
        var variants = new List<Variant>();
        Dictionary<(int, int, int), int> variantOf = [];
        Dictionary<(int, int), int> phases = [];
        for (int t = 0; t < taps; t++)
        {
            (int down, int phaseRow) = FlatPlanes.Part(t / s.KernelWidth * s.DilationHeight - s.PadTop, s.StrideHeight);
            (int right, int phaseColumn) = FlatPlanes.Part(t % s.KernelWidth * s.DilationWidth - s.PadLeft, s.StrideWidth);
            if (!variantOf.TryGetValue((phaseRow, phaseColumn, right), out int at))
            {
                variantOf.Add((phaseRow, phaseColumn, right), at = variants.Count);
                int inside = CeilDiv(width - phaseColumn, s.StrideWidth), left = Math.Clamp(-right, 0, _outWidth);
                bool isFlat = s is { StrideHeight: 1, StrideWidth: 1 } && width == _outWidth, isApart = !isFlat && inside <= _outWidth && Math.Abs(right) <= MostShift;
                if (isApart) phases.TryAdd((phaseRow, phaseColumn), phases.Count);
                variants.Add(new Variant(phaseRow, phaseColumn, right, left, Math.Clamp(inside - right, left, _outWidth), isFlat, isApart ? phases[(phaseRow, phaseColumn)] : -1));
            }
            shifts[t] = (down, at);
        }
        (_lowest, _highest, _variants, _phases) = (shifts.Min(t => t.Down), shifts.Max(t => t.Down), [.. variants], phases.Count);

        // By channel, as they are read; planes before those that are shifted.
        int[] order = [.. Enumerable.Range(0, taps).OrderBy(t => Math.Abs(_variants[shifts[t].Variant].Right))];
        ReadOnlySpan<int> columns = new(matrix.Columns, matrix.Pointers[^1]);
        var used = new bool[s.InChannels * taps];
        foreach (int column in columns) used[column] = true;
        var copies = new List<(int, int)>();
        int[] copyOf = new int[used.Length], last = new int[variants.Count];
        Array.Fill(last, -1);
        for (int channel = 0; channel < s.InChannels; channel++)
        {
            int before = copies.Count;
            foreach (int t in order)
            {
                if (!used[channel * taps + t]) continue;
                ref int at = ref last[shifts[t].Variant];
                if (at < before)
                {
                    at = copies.Count;
                    copies.Add((channel, shifts[t].Variant));
                }
                copyOf[channel * taps + t] = at;
            }
        }
        _copies = [.. copies];

        int all = (int)(((long)_outHeight * _outWidth + _lanes - 1) / _lanes), halo = _highest - _lowest, near = NearFloats / Math.Max(1, _copies.Length);
        BandRegisters = Math.Min(all, Math.Max(LeastRegisters, (int)Math.Min(((long)near - (long)(halo + 1) * _outWidth) / _lanes, all)));
        int rows = Math.Min(_outHeight, (int)(((long)BandRegisters * _lanes + 2L * _outWidth - 2) / _outWidth));
        // An odd number of lines between copies, so that they are spread over the sets of the caches.
        long stride = ((((long)rows + halo) * _outWidth + LineFloats - 1) / LineFloats | 1) * LineFloats;
        // Copies, the masks of variants, and planes that were taken apart.
        Fits = ((long)_copies.Length + _variants.Length + _phases) * (stride + 2 * Margin) <= MostFloats;
        if (!Fits)
        {
            _offsets = [];
            return;
        }
        Stride = (int)stride;
        _offsets = GC.AllocateUninitializedArray<int>(columns.Length, pinned: true);
        for (int i = 0; i < columns.Length; i++) _offsets[i] = checked(copyOf[columns[i]] * Stride + (shifts[columns[i] % taps].Down - _lowest) * _outWidth);
    }

    /// <summary>The layout for tiles and an image's size; null where a band would take too much memory: very many shifts sideways or phases, rows far apart, or very wide images of many channels.</summary>
    /// <param name="s">The convolution.</param>
    /// <param name="matrix">Its weight; columns are channel * taps + tap over the channels of all groups.</param>
    /// <param name="height">Rows of an image.</param>
    /// <param name="width">Columns of an image.</param>
    public static TilePlanes? TryCreate(SparseConvolutionShape s, TiledMatrix matrix, int height, int width)
    {
        var planes = new TilePlanes(s, matrix, height, width);
        return planes.Fits ? planes : null;
    }

    private bool Fits { get; }

    /// <summary>Whose registers are counted.</summary>
    public TileCode Code { get; }

    /// <summary>Registers of pixels in a band; the last band may have fewer.</summary>
    public int BandRegisters { get; }

    /// <summary>Floats between copies.</summary>
    public int Stride { get; }

    /// <summary>Floats of a band's copies, with a margin.</summary>
    public long Length => (long)_copies.Length * Stride + 2 * Margin;

    /// <summary>Bytes of the layout.</summary>
    public long Bytes => 4L * _offsets.Length + 8L * _copies.Length;

    /// <summary>For each column of each tile where its line begins, in floats; they do not move.</summary>
    public int* Offsets => (int*)Marshal.UnsafeAddrOfPinnedArrayElement(_offsets, 0);

    /// <summary>Lays out what registers first .. end-1 of the result's pixels read.</summary>
    /// <param name="image">[channels, height, width].</param>
    /// <param name="imagePlane">Floats between planes of the image; what lies in gaps plays no part.</param>
    /// <param name="first">First register.</param>
    /// <param name="end">The one after the last, at most <see cref="BandRegisters"/> further.</param>
    /// <param name="copies"><see cref="Length"/> floats.</param>
    /// <returns>Where pixel 0 of a line at offset 0 would be.</returns>
    public float* Fill(float* image, nint imagePlane, int first, int end, float* copies)
    {
        int firstRow = first * _lanes / _outWidth, endRow = (Math.Min(end * _lanes, _outHeight * _outWidth) - 1) / _outWidth + 1;
        int from = firstRow + _lowest, until = endRow + _highest, size = ((until - from) * _outWidth + LineFloats - 1) / LineFloats * LineFloats;
        // Whole registers are read, so a shifted plane begins and ends inside a margin.
        nint slot = size + 2 * Margin;
        using Scratch.Buffer masks = Scratch.Rent((long)_variants.Length * size), apart = Scratch.Rent(_phases * slot);
        for (int v = 0; v < _variants.Length; v++) Mask(_variants[v], from, until, (int*)masks.Pointer + (nint)v * size, size);
        Span<int> filled = _phases <= PhasesOnStack ? stackalloc int[PhasesOnStack] : new int[_phases];
        Span<nint> sources = _phases <= PhasesOnStack ? stackalloc nint[PhasesOnStack] : new nint[_phases];
        filled.Fill(-1);
        copies += Margin;
        float* limit = image + _channels * imagePlane, to = copies;
        foreach (ref readonly (int Channel, int Variant) copy in _copies.AsSpan())
        {
            Variant v = _variants[copy.Variant];
            float* plane = image + copy.Channel * imagePlane, line = null;
            if (v.Phase >= 0)
            {
                bool isWhole = v.Right == 0 && v.Left == 0 && v.End == _outWidth;
                if (filled[v.Phase] != copy.Channel)
                {
                    // A plane that nothing shifts is its own copy, and others are shifted out of it.
                    sources[v.Phase] = (nint)(isWhole ? to : apart.Pointer + v.Phase * slot + Margin);
                    TakeApart(v, plane, from, until, (float*)sources[v.Phase], limit);
                    filled[v.Phase] = copy.Channel;
                    if (isWhole)
                    {
                        ClearOutside(v, from, until, to);
                        to += Stride;
                        continue;
                    }
                }
                line = (float*)sources[v.Phase] + v.Right;
            }
            else if (v.IsFlat)
            {
                line = plane + (nint)from * _width + v.Right;
                if (line < image || line + size > limit) line = null;
            }
            if (line != null) Masked(line, (int*)masks.Pointer + (nint)copy.Variant * size, to, size);
            else ByRows(v, plane, from, until, to);
            to += Stride;
        }
        return copies - (nint)firstRow * _outWidth;
    }

    /// <summary>Which of rows first .. end-1 of a shifted plane lie in the image.</summary>
    private (int From, int Until) Rows(in Variant v, int first, int end)
    {
        int from = Math.Clamp(0, first, end);
        return (from, Math.Clamp(CeilDiv(_height - v.PhaseRow, _strideHeight), from, end));
    }

    private void ClearOutside(in Variant v, int first, int end, float* to)
    {
        (int from, int until) = Rows(v, first, end);
        new Span<float>(to, (from - first) * _outWidth).Clear();
        new Span<float>(to + (nint)(until - first) * _outWidth, (end - until) * _outWidth).Clear();
    }

    private void Mask(in Variant v, int first, int end, int* mask, int size)
    {
        new Span<int>(mask, size).Clear();
        (int from, int until) = Rows(v, first, end);
        for (int r = from; r < until; r++) new Span<int>(mask + (nint)(r - first) * _outWidth + v.Left, v.End - v.Left).Fill(-1);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Masked(float* from, int* mask, float* to, int size)
    {
        if (Avx512F.IsSupported)
        {
            for (int i = 0; i < size; i += LineFloats) (Vector512.Load(from + i) & Vector512.Load(mask + i).AsSingle()).Store(to + i);
            return;
        }
        for (int i = 0; i < size; i += Vector256<float>.Count) (Vector256.Load(from + i) & Vector256.Load(mask + i).AsSingle()).Store(to + i);
    }

    /// <summary>Every stride-th pixel of every stride-th row; what the last registers of a row spoil is written afterwards, or lies in the margin.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TakeApart(in Variant v, float* plane, int first, int end, float* to, float* limit)
    {
        (int from, int until) = Rows(v, first, end);
        int count = CeilDiv(_width - v.PhaseColumn, _strideWidth), whole = (count + LineFloats - 1) / LineFloats * LineFloats;
        float* line = plane + ((nint)from * _strideHeight + v.PhaseRow) * _width;
        to += (nint)(from - first) * _outWidth;
        for (int r = from; r < until; r++, line += (nint)_strideHeight * _width, to += _outWidth)
        {
            if (_strideWidth == 1) Unsafe.CopyBlockUnaligned(to, line, (uint)count * sizeof(float));
            else if (_strideWidth != 2 || line + 2 * whole > limit) EveryNth.Copy(line + v.PhaseColumn, _strideWidth, to, count);
            else EverySecond(line, v.PhaseColumn, to, whole);
        }
    }

    /// <summary>Every second of 2 * count floats, from 0 or 1 on; the count is a multiple of 16.</summary>
    private static void EverySecond(float* from, int phase, float* to, int count)
    {
        if (Avx512F.IsSupported)
        {
            Vector512<int> index = Vector512.Create(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) + Vector512.Create(phase);
            for (int i = 0; i < count; i += LineFloats) Avx512F.PermuteVar16x32x2(Vector512.Load(from + 2 * i), index, Vector512.Load(from + 2 * i + LineFloats)).Store(to + i);
            return;
        }
        // Each half of a register holds two floats of the first source and two of the second.
        const byte Even = 0b10_00_10_00, Odd = 0b11_01_11_01, InOrder = 0b11_01_10_00;
        for (int i = 0; i < count; i += Vector256<float>.Count)
        {
            Vector256<float> low = Vector256.Load(from + 2 * i), high = Vector256.Load(from + 2 * i + Vector256<float>.Count);
            Avx2.Permute4x64((phase == 0 ? Avx.Shuffle(low, high, Even) : Avx.Shuffle(low, high, Odd)).AsDouble(), InOrder).AsSingle().Store(to + i);
        }
    }

    /// <summary>Rows first .. end-1 of a shifted plane one by one; row r holds row r * stride + phase of the image.</summary>
    private void ByRows(in Variant v, float* plane, int first, int end, float* to)
    {
        (int from, int until) = Rows(v, first, end);
        new Span<float>(to, (end - first) * _outWidth).Clear();
        int count = v.End - v.Left;
        if (count == 0) return;
        float* line = plane + ((nint)from * _strideHeight + v.PhaseRow) * _width + (nint)(v.Left + v.Right) * _strideWidth + v.PhaseColumn;
        to += (nint)(from - first) * _outWidth + v.Left;
        for (int r = from; r < until; r++, line += (nint)_strideHeight * _width, to += _outWidth)
        {
            if (_strideWidth == 1) Unsafe.CopyBlockUnaligned(to, line, (uint)count * sizeof(float));
            else EveryNth.Copy(line, _strideWidth, to, count);
        }
    }

    private static int CeilDiv(int a, int b) => a <= 0 ? 0 : (a + b - 1) / b;

    /// <summary>Every stride-th pixel of a plane from a phase on, shifted to the left.</summary>
    /// <param name="PhaseRow">First row of the image.</param>
    /// <param name="PhaseColumn">First column of the image.</param>
    /// <param name="Right">How far the pixels of the result are shifted to the left, in pixels of the result.</param>
    /// <param name="Left">First column of the result whose pixel lies in the image.</param>
    /// <param name="End">The one after the last.</param>
    /// <param name="IsFlat">Whether it is the plane itself, shifted.</param>
    /// <param name="Phase">Which of the planes that are taken apart it is, shifted; -1 for none.</param>
    private readonly record struct Variant(int PhaseRow, int PhaseColumn, int Right, int Left, int End, bool IsFlat, int Phase);
}

/// <summary>output = clamp(bias + residual + W * image) for one image with a W of tiles.</summary>
internal unsafe struct TiledConvolution : ITiledWork
{
    public TilePlanes Planes;

    /// <summary>[channels, height, width].</summary>
    public float* Image;

    /// <summary>Floats between its planes.</summary>
    public nint ImagePlane;

    /// <summary>Everything but its inputs.</summary>
    public TiledProduct Product;

    public void Run()
    {
        Product.Offsets = Planes.Offsets;
        Product.InputStride = 1;
        if (Product.Columns > 0) Product.Share(this, Threading.WorkPool.IsAlone ? 1 : Threading.WorkPool.Threads);
        GC.KeepAlive(Planes);
    }

    /// <summary>Every thread lays out what it reads: nobody waits in between.</summary>
    public readonly void Run(int first, int end, int firstTile, int endTile)
    {
        int bands = (end - first + Planes.BandRegisters - 1) / Planes.BandRegisters;
        using Scratch.Buffer copies = Scratch.Rent(Planes.Length);
        for (int b = 0; b < bands; b++)
        {
            int from = first + (int)((long)(end - first) * b / bands), until = first + (int)((long)(end - first) * (b + 1) / bands);
            TiledProduct call = Product;
            call.Input = Planes.Fill(Image, ImagePlane, from, until, copies.Pointer);
            call.RunColumns(from, until, firstTile, endTile);
        }
    }
}
