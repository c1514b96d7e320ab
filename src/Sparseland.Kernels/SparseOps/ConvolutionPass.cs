using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps;

/// <summary>
/// One sweep of a sparse matrix over shifted planes: output row r at flat position p is the sum of values[j] * planes[offsets[j] + p].
/// A forward convolution is one pass; the gradient of its input is one pass per phase of the stride.
/// </summary>
internal sealed class ConvolutionPass
{
    public required int Rows { get; init; }

    public required int[] RowPointers { get; init; }

    /// <summary>Shift of each entry in floats.</summary>
    public required int[] Offsets { get; init; }

    /// <summary>The index of each entry's value among the stored values of the weight; null when it is the same.</summary>
    public int[]? Source { get; init; }

    /// <summary>The values, in the order of the offsets.</summary>
    public required float[] Values { get; set; }

    /// <summary>Floats between rows of a plane.</summary>
    public required int RowStride { get; init; }

    /// <summary>Rows and columns of the result.</summary>
    public required int Height { get; init; }

    public required int Width { get; init; }

    /// <summary>Where the result goes: channel * ChannelStride + Base + row * OutRowStride + column * OutStep.</summary>
    public required int ChannelStride { get; init; }

    public int Base { get; init; }

    public required int OutRowStride { get; init; }

    public int OutStep { get; init; } = 1;

    /// <summary>The number of each entry's line: entries of one line read the same shifted plane. Null when the pass is never compiled.</summary>
    public int[]? Lines { get; init; }

    /// <summary>The shift of each line in floats.</summary>
    public int[] LineOffsets { get; init; } = [];

    /// <summary>The compiled structure; shared among image sizes where the lines are.</summary>
    public CompiledOnce? Compiled { get; init; }

    /// <summary>The structure compiled for shifted planes of this size; null when it is never.</summary>
    public CompiledOnce? Shifted { get; init; }

    /// <summary>The convolution and the image's size where compiled code may read planes without padding.</summary>
    public (SparseConvolutionShape Shape, int Height, int Width)? Geometry { get; init; }

    /// <summary>Planes that compiled code of a single image reads without padding; null where there are none.</summary>
    /// <param name="imagePlane">Floats between planes of the image.</param>
    public FlatPlanes? Flat(int imagePlane) => _flat.GetOrAdd(imagePlane, plane => Geometry is { } g ? FlatPlanes.TryCreate(g.Shape, g.Height, g.Width, plane, Height, Width) : null);

    private readonly ConcurrentDictionary<int, FlatPlanes?> _flat = new();

    private ShiftedPlanes? _planes;

    /// <summary>How tiles of pixels are read.</summary>
    public TileGather Gather => _gather ??= new TileGather(Height, Width, RowStride);

    private TileGather? _gather;

    /// <summary>The compiled pass, or null when its results do not lie in a row or code would not pay.</summary>
    /// <remarks>
    /// Phases of a strided input gradient were compiled too, side by side, and their values then put in their places: the gradient of the wide ResNet-20 at 95 % took 191 to 223 ms so and 191 to 203 as
    /// loops, because a phase has few lines for its rows and every value is moved once more.
    /// </remarks>
    /// <param name="version">Differs when the values do.</param>
    /// <param name="layout">The planes that are read, when whole images are shared among threads: code then reads shifted planes (<see cref="CompiledMatrix.Planes"/>) where the image is not too narrow.</param>
    public CodedMatrix? GetCompiled(long version, PlaneLayout? layout = null)
    {
        if (Lines is null || Compiled is null || OutStep != 1 || OutRowStride != Width || Base != 0 || Height * Width == 0) return null;
        // Shifted planes are for straight-line code alone.
        if (layout is null || Shifted is null || !CompiledMatrix.Usable || (_planes ??= ShiftedPlanes.TryCreate(this, layout)) is not { } planes) return Compiled.Get(Rows, LineOffsets.Length, RowPointers, Lines, Values, version, (long)Height * Width);
        return Shifted.Get(Rows, LineOffsets.Length, RowPointers, Lines, Values, version, (long)Height * Width, planes);
    }

    /// <summary>The pass as loops over shifted planes, when whole images are shared among threads: where this machine has them, and images are not too narrow; else null.</summary>
    /// <param name="layout">The planes of an image.</param>
    public ShiftedRows? GetShiftedRows(PlaneLayout layout) => ShiftedRows.IsUsable && Lines is not null && Shifted is not null && Height * Width > 0 ? _rows ??= ShiftedRows.TryCreate(this, layout) : null;

    /// <summary>Bytes of these loops' structure.</summary>
    public long ShiftedRowsBytes => _rows?.Bytes ?? 0;

    private ShiftedRows? _rows;

    /// <summary>Flat positions that are computed.</summary>
    public int Positions => Height == 0 || Width == 0 ? 0 : (Height - 1) * RowStride + Width;
}

/// <summary>Runs a <see cref="ConvolutionPass"/> over the planes of one image.</summary>
internal unsafe struct ConvolutionPassRun
{
    public ConvolutionPass Pass;
    public int* RowPointers;
    public int* Offsets;
    public float* Values;
    public float* Planes;

    /// <summary>Floats between channels of the result.</summary>
    public nint ChannelStride;
    public float* Out;
    public float* Bias;
    public float* Residual;
    public Clamp Clamp;

    private const int MaxVectors = RowKernel.MaxVectors;

    /// <summary>Parts when tiles and blocks of rows are shared among threads.</summary>
    public readonly (int Tiles, int Blocks) Split<V>() where V : unmanaged, IVector<V>
    {
        var tiling = new Tiling(Pass.Positions, V.Count, MaxVectors);
        int tiles = tiling.Tiles;
        return (tiles, tiles == 0 ? 1 : RowPartition.Blocks(Pass.Rows, RowPointers[Pass.Rows], tiles, tiling.Tile(0).Width));
    }

    /// <summary>Rows first .. end-1 of one tile.</summary>
    public readonly void Tile<V>(int tile, int first, int end) where V : unmanaged, IVector<V>
    {
        (int start, int vectors, int width) = new Tiling(Pass.Positions, V.Count, MaxVectors).Tile(tile);
        Tiling.Dispatch(vectors, new TileRows<V> { Call = this, Start = start, Width = width, First = first, End = end });
    }

    private readonly record struct Segment(int InTile, int InOut, int Length);

    private struct TileRows<V> : ITileWork where V : unmanaged, IVector<V>
    {
        public ConvolutionPassRun Call;
        public int Start, Width, First, End;

        public readonly void Run<N>() where N : struct, ITileWidth
        {
            ConvolutionPass pass = Call.Pass;
            int full = N.Vectors * V.Count;
            float* tile = stackalloc float[full];
            Segment* segments = stackalloc Segment[Width + 1];
            int count = 0;
            for (int p = Start; p < Start + Width;)
            {
                int row = p / pass.RowStride, column = p - row * pass.RowStride;
                int length = Math.Min(pass.Width - column, Start + Width - p);
                if (length > 0) segments[count++] = new Segment(p - Start, pass.Base + row * pass.OutRowStride + column * pass.OutStep, length);
                p = column < pass.Width ? p + Math.Max(length, 1) : p + pass.RowStride - column;
            }
            bool direct = pass.OutStep == 1 && count == 1 && segments[0].Length == full;
            for (int r = First; r < End; r++)
            {
                int j = Call.RowPointers[r], stored = Call.RowPointers[r + 1] - j;
                nint channel = r * Call.ChannelStride;
                float bias = Call.Bias == null ? 0f : Call.Bias[r];
                if (direct)
                {
                    float* residual = Call.Residual == null ? null : Call.Residual + channel + segments[0].InOut;
                    RowKernel.Row<V, N>(Call.Offsets + j, Call.Values + j, stored, 1, Call.Planes + Start, residual, Call.Out + channel + segments[0].InOut, bias, Call.Clamp.Low, Call.Clamp.High);
                    continue;
                }
                if (Call.Residual != null)
                {
                    for (int s = 0; s < count; s++)
                        Unsafe.CopyBlockUnaligned(tile + segments[s].InTile, Call.Residual + channel + segments[s].InOut, (uint)segments[s].Length * sizeof(float));
                }
                RowKernel.Row<V, N>(Call.Offsets + j, Call.Values + j, stored, 1, Call.Planes + Start, Call.Residual == null ? null : tile, tile, bias, Call.Clamp.Low, Call.Clamp.High);
                if (pass.OutStep == 1)
                {
                    for (int s = 0; s < count; s++)
                        Unsafe.CopyBlockUnaligned(Call.Out + channel + segments[s].InOut, tile + segments[s].InTile, (uint)segments[s].Length * sizeof(float));
                    continue;
                }
                for (int s = 0; s < count; s++)
                {
                    float* to = Call.Out + channel + segments[s].InOut;
                    float* from = tile + segments[s].InTile;
                    for (int i = 0; i < segments[s].Length; i++) to[(nint)i * pass.OutStep] = from[i];
                }
            }
        }
    }
}
