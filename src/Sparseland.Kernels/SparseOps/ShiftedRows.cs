using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A pass of a convolution as loops that read shifted planes: what machines without AVX-512 have in place of <see cref="CompiledMatrix"/> for whole images of a batch.</summary>
/// <remarks>
/// Registers of 256 bits begin where registers of a copy begin, unless the image's width is odd, and rows of a result have no columns of padding between them. Channels are cut into blocks whose copies stay in the first cache
/// while all rows pass by. A prototype in C (Zen 1, 64 pixels at a time, 90 and 95 % zeros, cycles a multiply-add with 256 bits): 1.6 to 1.9 and 1.8 to 2.0 so; padded planes out of the second cache 2.1 to 2.3; everything aligned and in the first cache 1.4.
/// Rows sorted by their number of entries, and two entries a turn, were no faster. Each output sums in the order of the columns: the bits of <see cref="RowKernel"/>.
/// </remarks>
internal sealed unsafe class ShiftedRows
{
    // What the copies of a block of channels have in a tile, in floats: the first cache.
    private const int BlockFloats = 8 * 1024;

    private readonly int[] _starts;
    private readonly int[] _offsets;
    private readonly int[] _copies;

    private ShiftedRows(ShiftedPlanes planes)
    {
        Planes = planes;
        ConvolutionPass pass = planes.Pass;
        _copies = CutCopies(planes);
        Blocks = _copies.Length - 1;
        _starts = new int[(Blocks + 1) * pass.Rows];
        _offsets = new int[pass.Lines!.Length];
        for (int r = 0; r < pass.Rows; r++)
        {
            // Entries of a row are ordered by channel, as copies are.
            int j = pass.RowPointers[r];
            for (int b = 0; b < Blocks; b++)
            {
                _starts[(b * pass.Rows) + r] = j;
                for (; j < pass.RowPointers[r + 1] && planes.Copy(pass.Lines[j]) < _copies[b + 1]; j++) _offsets[j] = planes.Offset(pass.Lines[j], _copies[b]);
            }
            _starts[(Blocks * pass.Rows) + r] = j;
        }
    }

    /// <summary>Whether this machine has registers for it.</summary>
    public static bool IsUsable => SimdDispatch.Level == SimdLevel.Vector256 && Fma.IsSupported;

    /// <summary>Where the inputs lie.</summary>
    public ShiftedPlanes Planes { get; }

    /// <summary>Blocks of channels.</summary>
    public int Blocks { get; }

    /// <summary>Bytes of the structure.</summary>
    public long Bytes => sizeof(int) * ((long)_starts.Length + _offsets.Length + _copies.Length);

    /// <summary>The structure of a pass; null where it has no layout for whole images (see <see cref="ShiftedPlanes.TryCreate"/>).</summary>
    public static ShiftedRows? TryCreate(ConvolutionPass pass, PlaneLayout layout) => ShiftedPlanes.TryCreate(pass, layout) is { } planes ? new ShiftedRows(planes) : null;

    /// <summary>The copies of planes that a block reads: its input begins with the first.</summary>
    public (int First, int End) Copies(int block) => (_copies[block], _copies[block + 1]);

    /// <summary>Multiplies all rows with a block's copies.</summary>
    /// <param name="block">The first one starts from bias and what is there, the others add to what is there.</param>
    /// <param name="input">The first pixel in the block's first copy.</param>
    /// <param name="pixels">How many; whole registers are read and written.</param>
    /// <param name="output">[rows, pixels].</param>
    /// <param name="stride">Floats between rows of output.</param>
    /// <param name="bias">[rows], or null.</param>
    /// <param name="holdsResidual">Whether the first block adds to what is there.</param>
    public void Multiply(int block, float* input, int pixels, float* output, nint stride, float* bias, bool holdsResidual)
    {
        ConvolutionPass pass = Planes.Pass;
        var tiling = new Tiling(pixels, Vector256<float>.Count, RowKernel.MaxVectors);
        fixed (int* starts = _starts, offsets = _offsets)
        fixed (float* values = pass.Values)
        {
            for (int t = 0; t < tiling.Tiles; t++)
            {
                (int start, int vectors, _) = tiling.Tile(t);
                Tiling.Dispatch(vectors, new Tile
                {
                    Starts = starts + ((nint)block * pass.Rows),
                    Rows = pass.Rows,
                    Offsets = offsets,
                    Values = values,
                    Input = input + start,
                    Output = output + start,
                    Stride = stride,
                    Bias = block == 0 ? bias : null,
                    Begins = block == 0 && !holdsResidual,
                    Passes = block > 0,
                });
            }
        }
    }

    // The first copy of each block: blocks end between channels and are equally large.
    private static int[] CutCopies(ShiftedPlanes planes)
    {
        (int Plane, int Column)[] copies = planes.Copies;
        int tile = RowKernel.MaxVectors * Vector256<float>.Count, width = planes.Pass.Width, floats = (planes.Reach + ((tile + width - 1) / width)) * width;
        int blocks = Math.Clamp(((copies.Length * floats) + (BlockFloats / 2)) / BlockFloats, 1, Math.Max(1, copies.Length));
        var ends = new List<int> { 0 };
        for (int b = 1; b < blocks; b++)
        {
            int at = (int)((long)copies.Length * b / blocks);
            while (at < copies.Length && at > 0 && copies[at].Plane % planes.Layout.Channels == copies[at - 1].Plane % planes.Layout.Channels) at++;
            if (at > ends[^1] && at < copies.Length) ends.Add(at);
        }
        ends.Add(copies.Length);
        return [.. ends];
    }

    private struct Tile : ITileWork
    {
        public int* Starts;
        public int Rows;
        public int* Offsets;
        public float* Values, Input, Output, Bias;
        public nint Stride;

        // Sums begin with bias alone; rows without entries stay as they are.
        public bool Begins, Passes;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<N>() where N : struct, ITileWidth
        {
            int* starts = Starts, offsets = Offsets;
            float* values = Values, x = Input, to = Output, bias = Bias;
            nint stride = Stride;
            bool begins = Begins, passes = Passes;
            int rows = Rows;
            for (int r = 0; r < rows; r++, to += stride)
            {
                nint j = starts[r], end = starts[rows + r];
                if (passes && j == end) continue;
                Vector256<float> a0, a1, a2, a3, a4, a5, a6, a7;
                a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = Vector256.Create(bias == null ? 0f : bias[r]);
                if (passes)
                {
                    a0 = Vector256.Load(to);
                    if (N.Vectors > 1) a1 = Vector256.Load(to + 8);
                    if (N.Vectors > 2) a2 = Vector256.Load(to + 16);
                    if (N.Vectors > 3) a3 = Vector256.Load(to + 24);
                    if (N.Vectors > 4) a4 = Vector256.Load(to + 32);
                    if (N.Vectors > 5) a5 = Vector256.Load(to + 40);
                    if (N.Vectors > 6) a6 = Vector256.Load(to + 48);
                    if (N.Vectors > 7) a7 = Vector256.Load(to + 56);
                }
                else if (!begins)
                {
                    a0 += Vector256.Load(to);
                    if (N.Vectors > 1) a1 += Vector256.Load(to + 8);
                    if (N.Vectors > 2) a2 += Vector256.Load(to + 16);
                    if (N.Vectors > 3) a3 += Vector256.Load(to + 24);
                    if (N.Vectors > 4) a4 += Vector256.Load(to + 32);
                    if (N.Vectors > 5) a5 += Vector256.Load(to + 40);
                    if (N.Vectors > 6) a6 += Vector256.Load(to + 48);
                    if (N.Vectors > 7) a7 += Vector256.Load(to + 56);
                }
                for (; j < end; j++)
                {
                    float* p = x + offsets[j];
                    Vector256<float> v = Vector256.Create(values[j]);
                    a0 = Fma.MultiplyAdd(v, Vector256.Load(p), a0);
                    if (N.Vectors > 1) a1 = Fma.MultiplyAdd(v, Vector256.Load(p + 8), a1);
                    if (N.Vectors > 2) a2 = Fma.MultiplyAdd(v, Vector256.Load(p + 16), a2);
                    if (N.Vectors > 3) a3 = Fma.MultiplyAdd(v, Vector256.Load(p + 24), a3);
                    if (N.Vectors > 4) a4 = Fma.MultiplyAdd(v, Vector256.Load(p + 32), a4);
                    if (N.Vectors > 5) a5 = Fma.MultiplyAdd(v, Vector256.Load(p + 40), a5);
                    if (N.Vectors > 6) a6 = Fma.MultiplyAdd(v, Vector256.Load(p + 48), a6);
                    if (N.Vectors > 7) a7 = Fma.MultiplyAdd(v, Vector256.Load(p + 56), a7);
                }
                a0.Store(to);
                if (N.Vectors > 1) a1.Store(to + 8);
                if (N.Vectors > 2) a2.Store(to + 16);
                if (N.Vectors > 3) a3.Store(to + 24);
                if (N.Vectors > 4) a4.Store(to + 32);
                if (N.Vectors > 5) a5.Store(to + 40);
                if (N.Vectors > 6) a6.Store(to + 48);
                if (N.Vectors > 7) a7.Store(to + 56);
            }
        }
    }
}
