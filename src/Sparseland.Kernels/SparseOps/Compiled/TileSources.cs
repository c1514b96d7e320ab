using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Lines that lie in memory as they are needed: rows of a matrix, or channels of an image under a 1 x 1 convolution.</summary>
internal unsafe struct LineSource : IPlaneSource
{
    private const int CrowdedStride = 256;

    // Floats that the second cache holds.
    private const long Near = 256 * 1024;

    // Lines further what lies beyond it is asked for: pieces of rows are too short for what the core fetches by itself.
    private const int Ahead = 8;

    // Tiles that are packed line by line with AVX-512 too: what 4608 lines of 49 columns took is 0.6 of what it was. Sources of 196 and more columns, which one or two threads pack for more tiles, took up to 4 % longer so; those that more threads share are packed for as few, which was not measured.
    private const int NarrowTiles = 4;

    public float* Base;

    /// <summary>Floats between lines.</summary>
    public nint Stride;

    /// <summary>Which lines are needed.</summary>
    public int[] Lines;

    /// <summary>Floats of a line.</summary>
    public int Columns;

    public void Place(float* planes) => Base = planes;

    public readonly bool PacksAlone => false;

    public readonly bool HasManyTiles => true;

    public readonly float* InPlace(out nint stride)
    {
        stride = Stride;
        return Base;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Pack(int tile, int tiles, int first, int end, float* to, nint stride)
    {
        const int Lanes = CompiledMatrix.Lanes;
        fixed (int* lines = Lines)
        {
            int t = tile, next = first, whole = Math.Clamp(Columns / Lanes - tile, 0, tiles);
            // A line that is not the last is followed by at least another: reading on spoils lanes that nobody reads.
            bool readsOn = Stride >= Lanes && Stride >= Columns;
            if (!Avx512F.IsSupported || tiles <= NarrowTiles)
            {
                next = PackLines(lines, tile, whole, readsOn ? tiles : whole, first, end, to, stride);
                t += whole;
                to += whole * stride;
            }
            // Strides of a power of two put all lines into a few sets of the caches, and what lies beyond the second cache arrives sooner in a row: then line by line, in the order of memory.
            else if (Stride % CrowdedStride == 0 || Stride * Lines.Length > Near)
            {
                for (int i = first; i < end; i++)
                {
                    float* from = Base + lines[i] * Stride + (nint)tile * Lanes, at = to + (nint)i * Lanes;
                    for (int w = 0; w < whole; w++, from += Lanes, at += stride) TileLine.Copy(from, at);
                }
                t += whole;
                to += whole * stride;
            }
            // Else tile by tile: lines are far apart either way, and so the tile is written in order.
            for (; t < tile + tiles; t++, to += stride)
            {
                float* from = Base + (nint)t * Lanes, at = to + (nint)next * Lanes;
                int width = Math.Min(Lanes, Columns - t * Lanes), i = next;
                int full = width == Lanes ? end : readsOn ? Math.Min(end, Lines.Length - 1) : next;
                for (; i < full; i++, at += Lanes) TileLine.Copy(from + lines[i] * Stride, at);
                for (; i < end; i++, at += Lanes)
                {
                    new Span<float>(at, Lanes).Clear();
                    for (int c = 0; c < width; c++) at[c] = from[lines[i] * Stride + c];
                }
            }
        }
    }

    /// <summary>Line by line, in the order of memory, and each asked for ahead: pieces of rows are too short for what a core fetches ahead by itself, and the second cache of machines without AVX-512 holds little beside packed lines.</summary>
    /// <returns>The first line whose last tile, which is not whole, was not copied.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly int PackLines(int* lines, int tile, int whole, int most, int first, int end, float* to, nint stride)
    {
        const int Lanes = CompiledMatrix.Lanes;
        int last = Math.Min(end, Lines.Length - 1), i = first;
        float* origin = Base + (nint)tile * Lanes;
        for (; i < end; i++)
        {
            float* from = origin + lines[i] * Stride, at = to + (nint)i * Lanes;
            int count = i < last ? most : whole;
            if (i + Ahead < Lines.Length) TileLine.AskFor(origin + lines[i + Ahead] * Stride, count);
            for (int w = 0; w < count; w++, from += Lanes, at += stride) TileLine.Copy(from, at);
        }
        return most > whole ? last : first;
    }
}

/// <summary>Lines that are columns of a matrix [columns, lines]: the inputs of a linear layer.</summary>
internal unsafe struct TurnedSource : ITileSource
{
    public float* Base;

    /// <summary>Floats between rows of the matrix, and how many of them there are.</summary>
    public int Stride, Columns;

    /// <summary>Which lines are needed.</summary>
    public int[] Lines;

    public readonly bool PacksAlone => true;

    public readonly bool HasManyTiles => false;

    public readonly float* InPlace(out nint stride)
    {
        stride = 0;
        return null;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Pack(int tile, int tiles, int first, int end, float* to, nint stride)
    {
        const int Lanes = CompiledMatrix.Lanes;
        for (int t = tile; t < tile + tiles; t++, to += stride)
        {
            int width = Math.Min(Lanes, Columns - t * Lanes);
            float* from = Base + (nint)t * Lanes * Stride;
            if (width < Lanes) new Span<float>(to + (nint)first * Lanes, (end - first) * Lanes).Clear();
            if (Lines.Length == Stride)
            {
                Transposition.Copy(from + first, Stride, width, end - first, to + (nint)first * Lanes, Lanes);
                continue;
            }
            for (int i = first; i < end; i++)
            {
                float* at = to + (nint)i * Lanes;
                for (int c = 0; c < width; c++) at[c] = from[c * (nint)Stride + Lines[i]];
            }
        }
    }
}

/// <summary>Lines that are shifted planes of an image (see <see cref="PlaneLayout"/>), without the gaps between their rows.</summary>
internal unsafe struct PlaneSource : ITileSource
{
    public float* Planes;

    /// <summary>Which lines are needed.</summary>
    public int[] Lines;

    /// <summary>The shift of each of all lines.</summary>
    public int[] Offsets;

    public TileGather Gather;

    public readonly bool PacksAlone => true;

    public readonly bool HasManyTiles => true;

    public readonly float* InPlace(out nint stride)
    {
        stride = 0;
        return null;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Pack(int tile, int tiles, int first, int end, float* to, nint stride)
    {
        const int Lanes = CompiledMatrix.Lanes;
        fixed (int* lines = Lines, offsets = Offsets, starts = Gather.Starts, indices = Gather.Indices)
        fixed (TileGather.Kind* kinds = Gather.Kinds)
        fixed (bool* inRow = Gather.InRow)
        {
            for (int i = first; i < end;)
            {
                // Taps side by side come out of the same two registers.
                int offset = offsets[lines[i]], count = 1;
                while (count < 3 && i + count < end && offsets[lines[i + count]] == offset + count) count++;
                float* at = to + (nint)i * Lanes;
                for (int t = tile; t < tile + tiles; t++, at += stride)
                {
                    float* from = Planes + offset + starts[t];
                    if (kinds[t] == TileGather.Kind.Permuted && !Avx512F.IsSupported)
                    {
                        for (int line = 0; line < count; line++) TileLine.Gather(from + line, indices + t * Lanes, inRow + t * TileGather.Halves, at + line * Lanes);
                        continue;
                    }
                    if (kinds[t] == TileGather.Kind.Permuted)
                    {
                        Vector512<float> low = Vector512.Load(from), high = Vector512.Load(from + Lanes);
                        Vector512<int> index = Vector512.Load(indices + t * Lanes);
                        Vector512.StoreAligned(Avx512F.PermuteVar16x32x2(low, index, high), at);
                        if (count == 1) continue;
                        index += Vector512<int>.One;
                        Vector512.StoreAligned(Avx512F.PermuteVar16x32x2(low, index, high), at + Lanes);
                        if (count == 2) continue;
                        index += Vector512<int>.One;
                        Vector512.StoreAligned(Avx512F.PermuteVar16x32x2(low, index, high), at + 2 * Lanes);
                        continue;
                    }
                    for (int line = 0; line < count; line++, from++)
                    {
                        if (kinds[t] == TileGather.Kind.Straight)
                        {
                            TileLine.Copy(from, at + line * Lanes);
                            continue;
                        }
                        for (int c = 0; c < Lanes; c++) at[line * Lanes + c] = from[indices[t * Lanes + c]];
                    }
                }
                i += count;
            }
        }
    }
}

/// <summary>Lines that are shifted planes whose rows are as long as the result's.</summary>
internal unsafe struct FlatSource : IPlaneSource
{
    private const int Lanes = CompiledMatrix.Lanes;

    public float* Planes;

    /// <summary>Which lines are needed.</summary>
    public int[] Lines;

    public FlatPlanes Layout;

    public void Place(float* planes) => Planes = planes;

    public readonly bool PacksAlone => true;

    public readonly bool HasManyTiles => true;

    public readonly float* InPlace(out nint stride)
    {
        stride = 0;
        return null;
    }

    public readonly void Pack(int tile, int tiles, int first, int end, float* to, nint stride)
    {
        // As many lines as there are: each is its own number.
        bool all = Lines.Length == Layout.Offsets.Length;
        long most = (long)Layout.ChannelsAtOnce * Layout.Taps;
        for (int t = tile; t < tile + tiles; t++, to += stride)
        {
            if (!all) PackLines(t, first, end, to);
            else for (int i = first, next; i < end; i = next) PackTaps(t, i, next = (int)Math.Min(end, i + most), to);
        }
    }

    /// <summary>Tap by tap: a tile has one mask for all channels. Taps of a channel read the same lines of the caches.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void PackTaps(int tile, int first, int end, float* to)
    {
        int taps = Layout.Taps;
        nint channel = Layout.PlaneStride, step = taps * Lanes;
        float* begin = Planes, limit = Planes + Layout.TotalLength - Lanes;
        fixed (int* offsets = Layout.Offsets, masks = Layout.Masks)
        {
            for (int i = first; i < Math.Min(end, first + taps); i++)
            {
                int* lanes = masks + Layout.MaskOf[i % taps * Layout.Tiles + tile] * Lanes;
                float* from = Planes + offsets[i] + (nint)tile * Lanes, at = to + (nint)i * Lanes;
                int count = (end - i + taps - 1) / taps;
                for (; count > 0 && from < begin; count--, from += channel, at += step) PackEdge(from, lanes, at);
                int whole = from > limit ? 0 : (int)Math.Min(count, (limit - from) / channel + 1);
                TileLine.CopyEach(from, channel, lanes, at, step, whole);
                for (int edge = whole; edge < count; edge++) PackEdge(from + edge * channel, lanes, at + edge * step);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void PackLines(int tile, int first, int end, float* to)
    {
        int taps = Layout.Taps, channel = Lines[first] / taps * taps;
        float* limit = Planes + Layout.TotalLength - Lanes, at = to + (nint)first * Lanes;
        fixed (int* lines = Lines, offsets = Layout.Offsets, masks = Layout.Masks)
        fixed (ushort* maskOf = Layout.MaskOf)
        {
            for (int i = first; i < end; i++, at += Lanes)
            {
                while (lines[i] - channel >= taps) channel += taps;
                float* from = Planes + offsets[lines[i]] + (nint)tile * Lanes;
                int* lanes = masks + maskOf[(nint)(lines[i] - channel) * Layout.Tiles + tile] * Lanes;
                if (from >= Planes && from <= limit) TileLine.Copy(from, lanes, at);
                else PackEdge(from, lanes, at);
            }
        }
    }

    /// <summary>A register would begin before the planes or end behind them.</summary>
    private static void PackEdge(float* from, int* lanes, float* to)
    {
        for (int c = 0; c < Lanes; c++) to[c] = lanes[c] == 0 ? 0f : from[c];
    }
}

/// <summary>Lines that are shifted phases of an image under a stride (<see cref="FlatPlanes"/>): those of a block's channels and a group's rows are taken apart just before they are packed.</summary>
/// <remarks>
/// So they are written to memory that was used a moment ago and read out of the second cache. When each thread took its half of the whole image apart beforehand, it wrote to memory that the layers between had driven
/// out of the caches, in pieces too short for what the core fetches ahead: 28 x 28 pixels of 128 channels took two threads 110 to 170 microseconds each, and one thread 113 to 129 for all of it. The layer (3 x 3, 95 % zeros)
/// went from 390 to 241 microseconds so, and from 446 to 382 with one thread. Where threads share rows each would take apart all of the image: there they take it apart together.
/// </remarks>
internal unsafe struct ApartSource : ITileSource
{
    private const int TapsOnStack = 64;

    /// <summary>[channels, height, width] of the layout.</summary>
    public float* Image;

    /// <summary>Which lines are needed.</summary>
    public int[] Lines;

    public FlatPlanes Layout;

    /// <summary>Of the result.</summary>
    public int Pixels;

    public readonly bool PacksAlone => false;

    public readonly bool HasManyTiles => true;

    public readonly float* InPlace(out nint stride)
    {
        stride = 0;
        return null;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Pack(int tile, int tiles, int first, int end, float* to, nint stride)
    {
        const int Lanes = CompiledMatrix.Lanes;
        int taps = Layout.Taps, all = Layout.Tiles, phases = Layout.Phases, firstChannel = Lines[first] / taps, endChannel = Lines[end - 1] / taps + 1;
        (int firstRow, int endRow) = Layout.Reach(tile * Lanes / Layout.Width, (Math.Min((tile + tiles) * Lanes, Pixels) - 1) / Layout.Width + 1);
        int plane = Layout.BandStride(endRow - firstRow), margin = Layout.BandMargin;
        using Scratch.Buffer band = Scratch.Rent((long)(endChannel - firstChannel) * phases * plane + 2 * margin);
        float* origin = band.Pointer + margin;
        Layout.FillBand(Image, origin, plane, firstChannel, endChannel, firstRow, endRow);
        Span<int> offsets = taps <= TapsOnStack ? stackalloc int[TapsOnStack] : new int[taps];
        Layout.BandOffsets(firstRow, plane, offsets);
        fixed (int* lines = Lines, masks = Layout.Masks, offset = offsets)
        fixed (ushort* maskOf = Layout.MaskOf)
        {
            if (!Avx512F.IsSupported && Lines.Length == Layout.Offsets.Length)
            {
                // Each line is its own number: tap by tap, a tile has one mask for all channels.
                for (int i = first; i < Math.Min(end, first + taps); i++)
                {
                    int channel = i / taps, tap = i - channel * taps, count = (end - i + taps - 1) / taps;
                    float* from = origin + (nint)(channel - firstChannel) * phases * plane + offset[tap] + (nint)tile * Lanes, at = to + (nint)i * Lanes;
                    ushort* mask = maskOf + (nint)tap * all + tile;
                    for (int t = 0; t < tiles; t++, from += Lanes, at += stride) TileLine.CopyEach(from, phases * plane, masks + mask[t] * Lanes, at, taps * Lanes, count);
                }
                return;
            }
            for (int i = first; i < end; i++)
            {
                int channel = lines[i] / taps, tap = lines[i] - channel * taps;
                float* from = origin + (nint)(channel - firstChannel) * phases * plane + offset[tap] + (nint)tile * Lanes, at = to + (nint)i * Lanes;
                ushort* mask = maskOf + (nint)tap * all + tile;
                for (int t = 0; t < tiles; t++, from += Lanes, at += stride) TileLine.Copy(from, masks + mask[t] * Lanes, at);
            }
        }
    }
}

/// <summary>How 16 consecutive pixels of a result are gathered from a plane whose rows are longer than the result's.</summary>
internal sealed class TileGather
{
    /// <summary>The ways of reading a tile.</summary>
    public enum Kind : byte
    {
        /// <summary>16 floats in a row.</summary>
        Straight,

        /// <summary>Out of 32 floats in a row.</summary>
        Permuted,

        /// <summary>One by one.</summary>
        Single,
    }

    /// <summary>Registers of 256 bits in a tile.</summary>
    public const int Halves = 2;

    // So many floats further right are within reach of the same registers.
    private const int MostTaps = 2;

    /// <summary>Of a result of height x width pixels read from a plane.</summary>
    public TileGather(int height, int width, int rowStride)
    {
        const int Lanes = CompiledMatrix.Lanes;
        int pixels = height * width, tiles = (pixels + Lanes - 1) / Lanes;
        (Starts, Kinds, Indices, InRow) = (new int[tiles], new Kind[tiles], new int[tiles * Lanes], new bool[tiles * Halves]);
        Array.Fill(InRow, true);
        for (int t = 0; t < tiles; t++)
        {
            int start = Place(t * Lanes), last = 0;
            bool straight = true;
            Starts[t] = start;
            for (int c = 0; c < Lanes; c++)
            {
                // Lanes behind the end repeat the last pixel: nobody reads what comes of them.
                int at = t * Lanes + c, place = Place(Math.Min(at, pixels - 1)) - start;
                // Each is compared with the one before: a gap and as many repeats end where eight in a row do.
                if (c % (Lanes / Halves) > 0 && place != last + 1) InRow[at / (Lanes / Halves)] = false;
                Indices[at] = last = place;
                // The last pixel alone does not tell: 15 pixels and one gap end at 15 as well.
                straight &= last == c;
            }
            Kinds[t] = straight ? Kind.Straight : last < 2 * Lanes - MostTaps ? Kind.Permuted : Kind.Single;
        }

        int Place(int pixel) => pixel / width * rowStride + pixel % width;
    }

    /// <summary>The first pixel of each tile.</summary>
    public int[] Starts { get; }

    public Kind[] Kinds { get; }

    /// <summary>Relative to the first.</summary>
    public int[] Indices { get; }

    /// <summary>For each half of each tile, whether its places are one after the other.</summary>
    public bool[] InRow { get; }
}
