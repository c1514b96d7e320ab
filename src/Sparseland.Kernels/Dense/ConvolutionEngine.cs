using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>How the weights of a convolution are stored for the engine.</summary>
internal enum ConvolutionMode
{
    /// <summary>One output row at a time, weights as they are: depthwise.</summary>
    Rows,

    /// <summary>Tiles that read the planes where they lie: few output channels, rows of whole registers.</summary>
    Direct,

    /// <summary>Tiles over panels that are gathered from the planes (blocked implicit im2col).</summary>
    Panels,
}

/// <summary>One pass of a convolution-like product; see <see cref="PlanarSpec"/> for what is computed.</summary>
internal unsafe struct ConvolutionJob : ILevelWork
{
    public PlanarSpec Spec;
    public ConvolutionMode Mode;
    public int Batch, Groups, Rows;
    public float* Input;
    public float* Output;

    /// <summary>Packed panels [groups] of [rows, depth], or in mode Rows the plain matrix.</summary>
    public float* Weights;
    public nint WeightsPerGroup;
    public float* Bias;
    public float* Residual;
    public Clamp Clamp;

    public readonly void Run<V>() where V : unmanaged, IVector<V> => ConvolutionEngine.Run<V>(this);

    /// <summary>The mode for a shape; never depends on the machine.</summary>
    public static ConvolutionMode Choose(PlanarSpec spec, int rows)
    {
        if (rows == 1 || (rows <= 4 && spec.Channels == 1)) return ConvolutionMode.Rows;
        bool wholeRegisters = spec.GridWidth % Lanes.Count == 0 && spec.OutStepX == 1;
        return wholeRegisters && rows <= 32 ? ConvolutionMode.Direct : ConvolutionMode.Panels;
    }
}

/// <summary>Computes <see cref="ConvolutionJob"/>s.</summary>
/// <remarks>
/// With enough images, an image (or a few small ones) is one part: its planes stay in the second-level cache from layout to
/// the last product. Otherwise the planes are shared, and tiles of channels x pixels are the parts.
/// </remarks>
internal static unsafe class ConvolutionEngine
{
    private const int TileColumns = 128;
    private const int TileRows = 480; // multiple of 8 and 6
    private const long WorthThreads = 1 << 19;

    public static void Run<V>(in ConvolutionJob job) where V : unmanaged, IVector<V>
    {
        PlanarSpec spec = job.Spec;
        if (job.Batch == 0 || job.Rows == 0 || spec.Points == 0) return;
        using Scratch.Buffer offsetBuffer = Scratch.Rent((long)spec.Depth * 2);
        var offsets = (nint*)offsetBuffer.Pointer;
        spec.FillOffsets(offsets);

        // Several small images fill the columns of a tile together.
        int images = job.Mode != ConvolutionMode.Panels || spec.Points >= TileColumns ? 1 : Math.Min(job.Batch, (TileColumns + spec.Points - 1) / spec.Points);
        int units = (job.Batch + images - 1) / images;
        long work = (long)job.Batch * job.Groups * job.Rows * spec.Depth * spec.Points;
        var unitParts = new UnitParts<V>(job, (nint)offsets, images);
        if ((long)units * job.Groups >= 8 || work < WorthThreads || job.Mode == ConvolutionMode.Rows)
        {
            int parts = units * job.Groups;
            if (work >= WorthThreads) WorkPool.Run(parts, unitParts);
            else
            {
                for (int part = 0; part < parts; part++) unitParts.Run(part);
            }
            return;
        }

        using Scratch.Buffer planeBuffer = Scratch.Rent(spec.InPlace ? 0 : ((long)images * spec.Channels * spec.ChannelSize) + 64);
        for (int part = 0; part < units * job.Groups; part++)
        {
            var unit = new Unit(job, offsets, images, part);
            if (!spec.InPlace)
            {
                unit.Planes = planeBuffer.Pointer;
                WorkPool.Run(unit.Images * spec.Channels, new BuildParts(unit));
            }
            int columns = unit.Images * spec.Points;
            int step = columns >= 8 * TileColumns ? TileColumns : TileColumns / 2;
            int columnTiles = (columns + step - 1) / step;
            // At least about 8 parts; 48 rows are whole panels on every level.
            int rowTiles = Math.Min((job.Rows + 47) / 48, Math.Max((8 + columnTiles - 1) / columnTiles, (job.Rows + TileRows - 1) / TileRows));
            int rowStep = (((job.Rows + rowTiles - 1) / rowTiles) + 47) / 48 * 48;
            rowTiles = (job.Rows + rowStep - 1) / rowStep;
            WorkPool.Run(columnTiles * rowTiles, new TileParts<V>(unit, step, columnTiles, rowStep));
        }
    }

    // A few images of one group.
    private struct Unit
    {
        public ConvolutionJob Job;
        public nint* Offsets;
        public int FirstImage, Images, Group;
        public float* Planes;

        public Unit(in ConvolutionJob job, nint* offsets, int images, int part)
        {
            Job = job;
            Offsets = offsets;
            Group = part % job.Groups;
            FirstImage = part / job.Groups * images;
            Images = Math.Min(images, job.Batch - FirstImage);
            Planes = job.Spec.InPlace ? Channel(0, 0) : null;
        }

        // Distance of images in Planes.
        public readonly nint PlaneStride => (Job.Spec.InPlace ? Job.Groups : 1) * Job.Spec.Channels * Job.Spec.ChannelSize;

        public readonly float* Channel(int image, int channel)
        {
            PlanarSpec spec = Job.Spec;
            nint index = ((nint)(FirstImage + image) * Job.Groups * spec.Channels) + ((nint)Group * spec.Channels) + channel;
            return Job.Input + (index * spec.Height * spec.Width);
        }

        public readonly nint OutChannel(int image, int row)
        {
            PlanarSpec spec = Job.Spec;
            nint index = ((nint)(FirstImage + image) * Job.Groups * Job.Rows) + ((nint)Group * Job.Rows) + row;
            return index * spec.OutHeight * spec.OutWidth;
        }

        public readonly void BuildAll()
        {
            for (int index = 0; index < Images * Job.Spec.Channels; index++) Build(index);
        }

        public readonly void Build(int index)
        {
            int image = index / Job.Spec.Channels, channel = index % Job.Spec.Channels;
            Job.Spec.BuildChannel(Channel(image, channel), Planes + (image * PlaneStride) + (channel * Job.Spec.ChannelSize));
        }
    }

    private readonly struct BuildParts(Unit unit) : IParts
    {
        public void Run(int part) => unit.Build(part);
    }

    private readonly struct UnitParts<V>(ConvolutionJob job, nint offsets, int images) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            var unit = new Unit(job, (nint*)offsets, images, part);
            PlanarSpec spec = job.Spec;
            using Scratch.Buffer buffer = Scratch.Rent(spec.InPlace ? 0 : ((long)unit.Images * unit.PlaneStride) + 64);
            if (!spec.InPlace)
            {
                unit.Planes = buffer.Pointer;
                unit.BuildAll();
            }
            if (job.Mode == ConvolutionMode.Rows) RowByRow<V>(unit);
            else
            {
                int columns = unit.Images * spec.Points;
                for (int row = 0; row < job.Rows; row += TileRows)
                {
                    for (int column = 0; column < columns; column += TileColumns)
                    {
                        Tile<V>(unit, row, Math.Min(TileRows, job.Rows - row), column, Math.Min(TileColumns, columns - column));
                    }
                }
            }
        }
    }

    private readonly struct TileParts<V>(Unit unit, int step, int columnTiles, int rowStep) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            int column = part % columnTiles * step, row = part / columnTiles * rowStep;
            int columns = Math.Min(step, (unit.Images * unit.Job.Spec.Points) - column), lastRow = Math.Min(row + rowStep, unit.Job.Rows);
            for (; row < lastRow; row += TileRows) Tile<V>(unit, row, Math.Min(TileRows, lastRow - row), column, columns);
        }
    }

    private static void Tile<V>(in Unit unit, int row, int rows, int column, int columns) where V : unmanaged, IVector<V>
    {
        if (unit.Job.Mode == ConvolutionMode.Direct) DirectTile<V>(unit, row, rows, column, columns);
        else PanelTile<V>(unit, row, rows, column, columns);
    }

    // Reads registers straight from the planes; a register never crosses a grid row.
    [SkipLocalsInit]
    private static void DirectTile<V>(in Unit unit, int row, int rows, int column, int columns) where V : unmanaged, IVector<V>
    {
        ref readonly ConvolutionJob job = ref unit.Job;
        PlanarSpec spec = job.Spec;
        int mr = MicroKernel.Rows<V>(), depth = spec.Depth, registers = columns / V.Count;
        nint outPlane = (nint)spec.OutHeight * spec.OutWidth;
        float* weights = job.Weights + (unit.Group * job.WeightsPerGroup);
        float* output = job.Output + unit.OutChannel(0, 0);
        float* edge = stackalloc float[8 * 32];
        int block = Packing.BlockLength(depth);
        if (depth > block)
        {
            // Long sums use the blocks of k that the panels were packed in.
            PanelTile<V>(unit, row, rows, column, columns);
            return;
        }
        for (int register = 0; register < registers; register += 2)
        {
            int first = column + (register * V.Count), second = register + 1 < registers ? first + V.Count : first;
            int i0 = first / spec.GridWidth, j0 = first % spec.GridWidth, i1 = second / spec.GridWidth, j1 = second % spec.GridWidth;
            float* b0 = unit.Planes + ((nint)i0 * spec.Pitch) + j0;
            float* b1 = unit.Planes + ((nint)i1 * spec.Pitch) + j1;
            float* c0 = output + spec.OutOffset(i0, j0);
            float* c1 = output + spec.OutOffset(i1, j1);
            for (int i = row; i < row + rows; i += mr)
            {
                float* panel = weights + ((nint)i * depth);
                int height = Math.Min(mr, row + rows - i);
                if (height == mr)
                {
                    MicroKernel.RunOffsets<V>(depth, panel, b0, b1, unit.Offsets, c0 + (i * outPlane), c1 + (i * outPlane), outPlane);
                    continue;
                }
                MicroKernel.RunOffsets<V>(depth, panel, b0, b1, unit.Offsets, edge, edge + V.Count, 2 * V.Count);
                for (int r = 0; r < height; r++)
                {
                    V.Store(V.Load(edge + (r * 2 * V.Count)), c0 + ((i + r) * outPlane));
                    V.Store(V.Load(edge + (r * 2 * V.Count) + V.Count), c1 + ((i + r) * outPlane));
                }
            }
        }
        if (job.Bias == null && job.Residual == null && job.Clamp.IsNone) return;
        for (int i = row; i < row + rows; i++)
        {
            float bias = job.Bias == null ? 0f : job.Bias[(unit.Group * job.Rows) + i];
            for (int at = column; at < column + columns;)
            {
                // The rest of this grid row; whole rows are one piece when they are written one after the other.
                int y = at / spec.GridWidth, x = at % spec.GridWidth;
                int count = spec.OutWidth == spec.GridWidth && spec.OutStepY == 1 ? column + columns - at : Math.Min(spec.GridWidth - x, column + columns - at);
                nint to = unit.OutChannel(0, i) + spec.OutOffset(y, x);
                GemmEpilogue.ApplyRow<V>(job.Output + to, count, bias, job.Bias != null, null, job.Residual == null ? null : job.Residual + to, job.Clamp);
                at += count;
            }
        }
    }

    // Gathers panels from the planes block by block of k, sums tiles in scratch, then writes them out.
    [SkipLocalsInit]
    private static void PanelTile<V>(in Unit unit, int row, int rows, int column, int columns) where V : unmanaged, IVector<V>
    {
        ref readonly ConvolutionJob job = ref unit.Job;
        PlanarSpec spec = job.Spec;
        int mr = MicroKernel.Rows<V>(), nr = MicroKernel.Columns<V>(), depth = spec.Depth;
        int panels = (columns + nr - 1) / nr, rowPanels = (rows + mr - 1) / mr;
        int block = Packing.BlockLength(depth);
        using Scratch.Buffer packed = Scratch.Rent(((long)panels * nr * Math.Min(block, depth)) + 16);
        using Scratch.Buffer sums = Scratch.Rent((long)rowPanels * mr * panels * nr);
        Segment* segments = stackalloc Segment[TileColumns];
        int* firstSegment = stackalloc int[TileColumns + 1];
        for (int j = 0, count = 0; j < panels; j++)
        {
            firstSegment[j] = count;
            count = FindSegments(unit, column + (j * nr), Math.Min(nr, columns - (j * nr)), segments, count);
            firstSegment[j + 1] = count;
        }

        float* weights = job.Weights + (unit.Group * job.WeightsPerGroup);
        int paddedRows = (job.Rows + mr - 1) / mr * mr;
        // A sum of one block needs no memory beyond its tile.
        nint tileStep = depth <= block ? 0 : (nint)panels * mr * nr;
        int k0 = 0;
        do
        {
            int k = Math.Min(block, depth - k0);
            bool last = k0 + k >= depth;
            float* blockWeights = weights + ((nint)paddedRows * k0) + ((nint)row * k);
            for (int j = 0; j < panels; j++)
            {
                float* panel = packed.Pointer + ((nint)j * nr * k);
                int width = Math.Min(nr, columns - (j * nr));
                Gather(unit.Planes, unit.Offsets + k0, k, segments + firstSegment[j], firstSegment[j + 1] - firstSegment[j], width, nr, !spec.InPlace, panel);
                float* tile = sums.Pointer + (depth <= block ? 0 : (nint)j * mr * nr);
                for (int i = 0; i < rowPanels; i++)
                {
                    MicroKernel.Run<V>(k, blockWeights + ((nint)i * mr * k), panel, nr, tile, nr, k0 > 0);
                    // Written out while the tile is in the first-level cache.
                    if (last) FinishTile<V>(unit, row + (i * mr), Math.Min(mr, rows - (i * mr)), tile, nr, segments + firstSegment[j], firstSegment[j + 1] - firstSegment[j]);
                    tile += tileStep;
                }
            }
            k0 += block;
        }
        while (k0 < depth);
    }

    private static void FinishTile<V>(in Unit unit, int row, int rows, float* tile, int pitch, Segment* segments, int count) where V : unmanaged, IVector<V>
    {
        ref readonly ConvolutionJob job = ref unit.Job;
        for (int i = 0; i < rows; i++)
        {
            float bias = job.Bias == null ? 0f : job.Bias[(unit.Group * job.Rows) + row + i];
            float* from = tile + ((nint)i * pitch);
            for (int s = 0; s < count; s++)
            {
                nint to = unit.OutChannel(segments[s].Image, row + i) + segments[s].Target;
                Finish<V>(from, job.Output + to, job.Spec.OutStepX, job.Residual == null ? null : job.Residual + to, segments[s].Length, bias, job.Bias != null, job.Clamp);
                from += segments[s].Length;
            }
        }
    }

    private struct Segment
    {
        public nint Source, Target;
        public int Length, Image;
    }

    // Cuts columns (image, grid row, grid column) into runs on one grid row.
    private static int FindSegments(in Unit unit, int column, int columns, Segment* segments, int count)
    {
        PlanarSpec spec = unit.Job.Spec;
        int end = column + columns;
        while (column < end)
        {
            int image = column / spec.Points, point = column % spec.Points, i = point / spec.GridWidth, j = point % spec.GridWidth;
            int length = Math.Min(spec.GridWidth - j, end - column);
            segments[count++] = new Segment
            {
                Source = (image * unit.PlaneStride) + ((nint)i * spec.Pitch) + j,
                Target = spec.OutOffset(i, j),
                Length = length,
                Image = image,
            };
            column += length;
        }
        return count;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Gather(float* planes, nint* offsets, int k, Segment* segments, int count, int width, int panelWidth, bool mayReadBeyond, float* panel)
    {
        if (count == 1 && width == panelWidth && (width & 7) == 0)
        {
            float* source = planes + segments[0].Source;
            for (int p = 0; p < k; p++)
            {
                float* from = source + offsets[p];
                for (int x = 0; x < width; x += 8) Vector256.Load(from + x).Store(panel + x);
                panel += panelWidth;
            }
            return;
        }
        if (width < panelWidth) new Span<float>(panel, k * panelWidth).Clear();
        if (mayReadBeyond && panelWidth >= 16)
        {
            // Whole registers; what a run writes too much, the next run or row writes over.
            int last = count - 1;
            for (int p = 0; p < k; p++)
            {
                float* from = planes + offsets[p];
                float* to = panel;
                for (int s = 0; s < last; s++)
                {
                    float* f = from + segments[s].Source;
                    int length = segments[s].Length;
                    for (int x = 0; x < length; x += 8) Vector256.Load(f + x).Store(to + x);
                    to += length;
                }
                CopyExact(from + segments[last].Source, to, segments[last].Length);
                panel += panelWidth;
            }
            return;
        }
        for (int p = 0; p < k; p++)
        {
            float* from = planes + offsets[p];
            float* to = panel;
            for (int s = 0; s < count; s++)
            {
                CopyExact(from + segments[s].Source, to, segments[s].Length);
                to += segments[s].Length;
            }
            panel += panelWidth;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyExact(float* from, float* to, int length)
    {
        int x = 0;
        for (; x + 8 <= length; x += 8) Vector256.Load(from + x).Store(to + x);
        for (; x < length; x++) to[x] = from[x];
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Finish<V>(float* from, float* to, int step, float* residual, int length, float bias, bool hasBias, Clamp clamp) where V : unmanaged, IVector<V>
    {
        bool clamped = !clamp.IsNone;
        int x = 0;
        if (step == 1)
        {
            V low = V.Broadcast(clamp.Low), high = V.Broadcast(clamp.High), b = V.Broadcast(bias);
            for (; x + V.Count <= length; x += V.Count)
            {
                V v = V.Load(from + x);
                if (hasBias) v = V.Add(v, b);
                if (residual != null) v = V.Add(v, V.Load(residual + x));
                if (clamped) v = V.Min(V.Max(v, low), high);
                V.Store(v, to + x);
            }
        }
        for (; x < length; x++)
        {
            float v = from[x];
            if (hasBias) v += bias;
            if (residual != null) v += residual[(nint)x * step];
            if (clamped) v = MathF.Min(MathF.Max(v, clamp.Low), clamp.High);
            to[(nint)x * step] = v;
        }
    }

    // Depthwise: four registers of one output row at a time over the flat plane, then the grid rows are picked out.
    private static void RowByRow<V>(in Unit unit) where V : unmanaged, IVector<V>
    {
        ref readonly ConvolutionJob job = ref unit.Job;
        PlanarSpec spec = job.Spec;
        int length = spec.FlatLength, depth = spec.Depth;
        using Scratch.Buffer flat = Scratch.Rent(length + (4 * V.Count));
        for (int row = 0; row < job.Rows; row++)
        {
            float* weights = job.Weights + (unit.Group * job.WeightsPerGroup) + ((nint)row * depth);
            if (spec.InPlace) FlatExact<V>(depth, weights, unit.Planes, unit.Offsets, length, flat.Pointer);
            else Flat<V>(depth, weights, unit.Planes, unit.Offsets, length, flat.Pointer);
            float bias = job.Bias == null ? 0f : job.Bias[(unit.Group * job.Rows) + row];
            for (int i = 0; i < spec.GridHeight; i++)
            {
                nint to = unit.OutChannel(0, row) + spec.OutOffset(i, 0);
                Finish<V>(flat.Pointer + ((nint)i * spec.Pitch), job.Output + to, spec.OutStepX, job.Residual == null ? null : job.Residual + to,
                    spec.GridWidth, bias, job.Bias != null, job.Clamp);
            }
        }
    }

    // Reads and writes up to four registers behind the end.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Flat<V>(int depth, float* weights, float* planes, nint* offsets, int length, float* target) where V : unmanaged, IVector<V>
    {
        for (int q = 0; q < length; q += 4 * V.Count)
        {
            V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
            for (int k = 0; k < depth; k++)
            {
                V w = V.Broadcast(weights[k]);
                float* b = planes + offsets[k] + q;
                s0 = V.MultiplyAdd(w, V.Load(b), s0);
                s1 = V.MultiplyAdd(w, V.Load(b + V.Count), s1);
                s2 = V.MultiplyAdd(w, V.Load(b + (2 * V.Count)), s2);
                s3 = V.MultiplyAdd(w, V.Load(b + (3 * V.Count)), s3);
            }
            V.Store(s0, target + q);
            V.Store(s1, target + q + V.Count);
            V.Store(s2, target + q + (2 * V.Count));
            V.Store(s3, target + q + (3 * V.Count));
        }
    }

    // The same sums for planes that end where the caller's memory ends.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FlatExact<V>(int depth, float* weights, float* planes, nint* offsets, int length, float* target) where V : unmanaged, IVector<V>
    {
        int whole = length / (4 * V.Count) * (4 * V.Count);
        Flat<V>(depth, weights, planes, offsets, whole, target);
        for (int q = whole; q < length; q++)
        {
            float sum = 0f;
            for (int k = 0; k < depth; k++) sum = MathF.FusedMultiplyAdd(weights[k], planes[offsets[k] + q], sum);
            target[q] = sum;
        }
    }
}
