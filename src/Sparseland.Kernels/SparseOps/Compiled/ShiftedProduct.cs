using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>How inputs of a compiled convolution are laid out so that code reads them where they are: a copy of each plane for every shift sideways, its rows without gaps.</summary>
/// <remarks>
/// In such a copy, 16 consecutive pixels of a result meet 16 consecutive floats under every tap, and taps above each other differ by rows of one copy. So 3 copies serve the 9 taps of a 3 x 3 kernel,
/// where packed lines (<see cref="PlaneSource"/>) are written 9 times for every tile. Images are cut into bands of rows whose copies fit the second cache.
/// With AVX-512 a copy is made of the image's rows at once, under masks. Zen 5, both threads, 128 images, in turn in one run, 95 and 90 % zeros: 1.20 and 1.15 times as fast as through padded planes for 64 channels of 32 x 32, 1.13 and 1.11 for 128 of 16 x 16, 1.12 and 1.08 for 256 of 8 x 8.
/// Requests for what is copied next, before each tile of code: 1.44 and 1.20, 1.06 and 1.08, 1.09 and 1.06; so they are made among tiles where an image has several bands alone. Before every second or fourth tile they brought less.
/// </remarks>
internal sealed class ShiftedPlanes
{
    /// <summary>Tiles of a band at most.</summary>
    public const int MostTiles = 16;

    // Narrower images are read across several rows by one register.
    private const int LeastWidth = 8;

    private readonly int[] _copy, _row;

    // Of each copy: which lanes of its registers come from the image; without copies that are made at once, none.
    private readonly int[][] _masks;
    private readonly int _tiles, _mostRow;

    private ShiftedPlanes(ConvolutionPass pass, PlaneLayout layout)
    {
        (Pass, Layout) = (pass, layout);
        int lines = pass.LineOffsets.Length;
        (_copy, _row) = (new int[lines], new int[lines]);
        var found = new SortedSet<(int Channel, int Plane, int Column)>();
        (int Channel, int Plane, int Column) Place(int line)
        {
            int plane = pass.LineOffsets[line] / layout.PlaneStride;
            return (plane % layout.Channels, plane, pass.LineOffsets[line] % layout.PlaneStride % layout.RowStride);
        }
        var used = new bool[lines];
        foreach (int line in pass.Lines!) used[line] = true;
        for (int line = 0; line < lines; line++)
        {
            if (!used[line]) continue;
            found.Add(Place(line));
            _row[line] = pass.LineOffsets[line] % layout.PlaneStride / layout.RowStride;
            _mostRow = Math.Max(_mostRow, _row[line]);
        }
        // By channel, so that a block of lines needs the copies of its own channels.
        (int Channel, int Plane, int Column)[] all = [.. found];
        Copies = [.. all.Select(c => (c.Plane, c.Column))];
        var index = new Dictionary<(int, int), int>();
        for (int i = 0; i < Copies.Length; i++) index[Copies[i]] = i;
        for (int line = 0; line < lines; line++)
        {
            if (used[line]) (_, _copy[line]) = (0, index[(Place(line).Plane, Place(line).Column)]);
        }
        _tiles = (pass.Height * pass.Width + CompiledMatrix.Lanes - 1) / CompiledMatrix.Lanes;
        Bands = (_tiles + MostTiles - 1) / MostTiles;
        int rows = 0;
        for (int b = 0; b < Bands; b++) rows = Math.Max(rows, Band(b).Rows);
        // An odd number of cache lines, so that copies do not fall onto the same cache sets.
        Stride = ((rows * pass.Width + CompiledMatrix.Lanes - 1) / CompiledMatrix.Lanes | 1) * CompiledMatrix.Lanes;
        int[] columns = [.. Copies.Select(c => c.Column).Distinct()];
        int[][] masks = Avx512F.IsSupported && layout.ShiftsRows(pass.Width) ? [.. columns.Select(c => layout.ShiftMasks(c, rows * pass.Width))] : [];
        _masks = masks.Length == 0 ? [] : [.. Copies.Select(c => masks[Array.IndexOf(columns, c.Column)])];
    }

    /// <summary>The pass that reads.</summary>
    public ConvolutionPass Pass { get; }

    /// <summary>The planes of an image.</summary>
    public PlaneLayout Layout { get; }

    /// <summary>Plane and shift of each copy, by channel.</summary>
    public (int Plane, int Column)[] Copies { get; }

    /// <summary>Floats between copies.</summary>
    public int Stride { get; }

    /// <summary>Bands of an image.</summary>
    public int Bands { get; }

    /// <summary>Rows that the taps reach below a pixel.</summary>
    public int Reach => _mostRow;

    /// <summary>The layout of a pass; null where it is none for images that are that narrow.</summary>
    public static ShiftedPlanes? TryCreate(ConvolutionPass pass, PlaneLayout layout) =>
        pass.Lines is { Length: > 0 } && pass.Width >= LeastWidth ? new ShiftedPlanes(pass, layout) : null;

    /// <summary>Tiles of a band, its first row of pixels, and the rows that its taps reach.</summary>
    public (int First, int End, int Row, int Rows) Band(int band)
    {
        int first = (int)((long)_tiles * band / Bands), end = (int)((long)_tiles * (band + 1) / Bands), row = first * CompiledMatrix.Lanes / Pass.Width;
        int last = (Math.Min(end * CompiledMatrix.Lanes, Pass.Height * Pass.Width) - 1) / Pass.Width;
        return (first, end, row, last - row + 1 + _mostRow);
    }

    /// <summary>The copy that a line is in.</summary>
    public int Copy(int line) => _copy[line];

    /// <summary>See <see cref="PlaneLayout.CopyShifted"/>; empty where registers have no masks.</summary>
    public ReadOnlySpan<int> MasksOf(int copy) => _masks.Length == 0 ? default : _masks[copy];

    /// <summary>The copies that some lines are in: first to end - 1.</summary>
    public (int First, int End) Range(ReadOnlySpan<int> lines)
    {
        (int first, int end) = (int.MaxValue, 0);
        foreach (int line in lines) (first, end) = (Math.Min(first, _copy[line]), Math.Max(end, _copy[line] + 1));
        return (Math.Min(first, end), end);
    }

    /// <summary>Floats from a tile's place in the first of some copies to its pixels on a line.</summary>
    public int Offset(int line, int firstCopy) => checked((_copy[line] - firstCopy) * Stride + _row[line] * Pass.Width);
}

/// <summary>output = clamp(bias + residual + W * image) for one image, with code or with loops that read shifted planes.</summary>
internal unsafe struct ShiftedProduct
{
    /// <summary>The code; null where <see cref="Rows"/> are there.</summary>
    public CompiledMatrix? Matrix;

    /// <summary>The loops; null where there is code.</summary>
    public ShiftedRows? Rows;

    /// <summary>[channels, height, width] of the layout.</summary>
    public float* Image;

    /// <summary>Floats between its planes.</summary>
    public nint ImagePlane;

    /// <summary>The first channel of the result.</summary>
    public float* Output;

    /// <summary>Floats between planes of output and residual.</summary>
    public nint OutputPlane;
    public float* Bias;

    /// <summary>As Output, or null; may be Output.</summary>
    public float* Residual;
    public Clamp Clamp;

    /// <summary>[channels, height, width] that the same thread reads next, or null.</summary>
    public float* Next;

    /// <summary>Whether results are written past the caches: those of a batch that leave them before they are read.</summary>
    public bool Streams;

    public readonly void Run()
    {
        CompiledMatrix.EndTurn();
        ShiftedPlanes planes = Matrix?.Planes ?? Rows!.Planes;
        ConvolutionPass pass = planes.Pass;
        int most = 0, blocks = Matrix?.Blocks ?? Rows!.Blocks;
        for (int b = 0; b < blocks; b++) most = Math.Max(most, CopiesOf(b).End - CopiesOf(b).First);
        int stage = ((pass.Height * pass.Width + CompiledMatrix.Lanes - 1) / CompiledMatrix.Lanes / planes.Bands + 1 | 1) * CompiledMatrix.Lanes;
        using Scratch.Buffer copies = Scratch.Rent(((long)most * planes.Stride) + CompiledMatrix.Lanes), plane = Scratch.Rent(planes.Layout.PlaneStride + planes.Layout.RowStride + 128);
        using Scratch.Buffer results = Scratch.Rent((long)pass.Rows * stage), sums = Scratch.Rent(Matrix is null ? 0 : ShiftedPlanes.MostTiles * Matrix.SumsOf(pass.Rows));
        for (int band = 0; band < planes.Bands; band++)
        {
            (int first, int end, int row, int rows) = planes.Band(band);
            int start = first * CompiledMatrix.Lanes, width = Math.Min(end * CompiledMatrix.Lanes, pass.Height * pass.Width) - start;
            if (Residual != null)
            {
                for (nint r = 0; r < pass.Rows; r++) Unsafe.CopyBlockUnaligned(results.Pointer + r * stage, Residual + r * OutputPlane + start, (uint)width * sizeof(float));
            }
            float* input = copies.Pointer + start - row * pass.Width;
            var call = new CompiledMatrix.Tiles
            {
                Input = input,
                InputTile = CompiledMatrix.Lanes,
                Whole = end - first,
                Output = results.Pointer,
                Residual = Residual == null ? null : results.Pointer,
                RowStride = stage,
                OutputTile = CompiledMatrix.Lanes,
                Sums = sums.Pointer,
                SumsTile = (nint)pass.Rows * CompiledMatrix.Lanes,
                Bias = Bias,
                Clamp = Clamp,
            };
            for (int b = 0; b < blocks; b++)
            {
                PlaneRequests requests = Behind(planes, band, b);
                bool amongTiles = Matrix is { BlocksAreShort: true } && planes.Bands > 1;
                Fill(planes, CopiesOf(b), row, rows, plane.Pointer, copies.Pointer, amongTiles ? default : requests);
                if (amongTiles) Multiply(call, b, requests);
                else if (Matrix is not null) Matrix.Run(call, 0, Matrix.Panels, b, b + 1);
                else Rows!.Multiply(b, input, width, results.Pointer, stage, Bias, Residual != null);
            }
            if (Matrix is null && !Clamp.IsNone) Bound(results.Pointer, (nint)pass.Rows * stage);
            for (nint r = 0; r < pass.Rows; r++)
            {
                if (pass.OutStep == 1 && pass.OutRowStride == pass.Width) Copy(results.Pointer + r * stage, width, Output + r * OutputPlane + pass.Base + start);
                else Spread(pass, start, width, results.Pointer + r * stage, Output + r * OutputPlane + pass.Base);
            }
        }
    }

    // Code waits for no memory and copies for little else, so what the next copies are made of is asked for before each tile.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Multiply(in CompiledMatrix.Tiles all, int block, PlaneRequests requests)
    {
        CompiledMatrix.Tiles one = all;
        one.Whole = 1;
        for (int t = 0; t < all.Whole; t++)
        {
            requests.Ask(t, all.Whole);
            Matrix!.Run(one, 0, Matrix.Panels, block, block + 1);
            one.Input += all.InputTile;
            one.Output += all.OutputTile;
            if (all.Residual != null) one.Residual += all.OutputTile;
            one.Sums += all.SumsTile;
        }
    }

    // What is copied behind a block: the next block's rows; for code also the first block's of the next band or image.
    private readonly PlaneRequests Behind(ShiftedPlanes planes, int band, int block)
    {
        float* image = Image;
        if (++block == (Matrix?.Blocks ?? Rows!.Blocks))
        {
            if (Matrix is null) return default;
            block = 0;
            if (++band == planes.Bands)
            {
                band = 0;
                image = Next;
            }
        }
        (int first, int end) = CopiesOf(block);
        if (image == null || first >= end || !planes.Layout.ShiftsRows(planes.Pass.Width)) return default;
        (_, _, int row, int rows) = planes.Band(band);
        nint start = (nint)row * planes.Pass.Width;
        int plane = planes.Copies[first].Plane;
        return new PlaneRequests { First = image + plane * ImagePlane + start, Stride = ImagePlane, Planes = planes.Copies[end - 1].Plane + 1 - plane, Count = (int)Math.Min((nint)rows * planes.Pass.Width, ImagePlane - start) };
    }

    private readonly (int First, int End) CopiesOf(int block) => Matrix?.Copies(block) ?? Rows!.Copies(block);

    // What lies between rows of the results is bounded with them.
    private readonly void Bound(float* results, nint count)
    {
        V256 low = V256.Broadcast(Clamp.Low), high = V256.Broadcast(Clamp.High), zero = V256.Broadcast(Clamp.Zero);
        for (nint i = 0; i < count; i += V256.Count) V256.Store(Clamp.Bounded(V256.Load(results + i), low, high, zero), results + i);
    }

    // Pixels of one phase of a strided gradient go to their places.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Spread(ConvolutionPass pass, int start, int count, float* from, float* to)
    {
        nint step = pass.OutStep;
        for (int p = start, end = start + count; p < end;)
        {
            int row = p / pass.Width, column = p - row * pass.Width, length = Math.Min(pass.Width - column, end - p);
            float* at = to + (nint)row * pass.OutRowStride + column * step;
            for (int i = 0; i < length; i++) at[i * step] = from[i];
            p += length;
            from += length;
        }
    }

    private readonly void Fill(ShiftedPlanes planes, (int First, int End) range, int row, int rows, float* plane, float* copies, PlaneRequests requests)
    {
        PlaneLayout layout = planes.Layout;
        if (layout.ShiftsRows(planes.Pass.Width))
        {
            FillAtOnce(planes, range, row, rows, copies, requests);
            return;
        }
        int filled = -1;
        for (int c = range.First; c < range.End; c++, copies += planes.Stride)
        {
            (int index, int column) = planes.Copies[c];
            float* origin = plane - (nint)index * layout.PlaneStride;
            if (index != filled) layout.FillRows(index, Image, origin, row, row + rows, imagePlane: ImagePlane);
            filled = index;
            PlaneRows.Copy(plane + (nint)row * layout.RowStride + column, layout.RowStride, rows, planes.Pass.Width, copies, planes.Pass.Width);
        }
    }

    // Without planes in between. What the next block reads is asked for on the way.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void FillAtOnce(ShiftedPlanes planes, (int First, int End) range, int row, int rows, float* copies, PlaneRequests requests)
    {
        (int Plane, int Column)[] all = planes.Copies;
        for (int c = range.First; c < range.End; c++, copies += planes.Stride)
        {
            (int index, int column) = all[c];
            fixed (int* masks = planes.MasksOf(c)) planes.Layout.CopyShifted(index, column, Image, ImagePlane, row, rows, copies, masks);
            requests.Ask(c - range.First, range.End - range.First);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Copy(float* from, int count, float* to)
    {
        int i = 0;
        if (Streams)
        {
            // Whole cache lines alone go past the caches.
            for (; i < count && ((nint)(to + i) & 63) != 0; i++) to[i] = from[i];
            // Without AVX-512, what stores 512 bits is an ordinary store.
            for (; i + 16 <= count && !Avx512F.IsSupported; i += 16)
            {
                Vector256.Load(from + i).StoreAlignedNonTemporal(to + i);
                Vector256.Load(from + i + 8).StoreAlignedNonTemporal(to + i + 8);
            }
            for (; i + 16 <= count; i += 16) Vector512.Load(from + i).StoreAlignedNonTemporal(to + i);
        }
        for (; i + 16 <= count; i += 16) Vector512.Load(from + i).Store(to + i);
        for (; i < count; i++) to[i] = from[i];
    }
}
