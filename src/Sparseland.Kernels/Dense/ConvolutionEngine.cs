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

    /// <summary>The same in bands of rows, or null.</summary>
    public PlanarSpec[]? Bands;
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

    // Up to so many output channels, copying panels costs more than reading registers across cache lines; from channel to channel, where rows lie pages apart, it pays sooner.
    private const int MostDirectRows = 128, MostFlatRows = 32;

    public readonly void Run<V>() where V : unmanaged, IVector<V> => ConvolutionEngine.Run<V>(this);

    /// <summary>The mode for a shape; never depends on the machine.</summary>
    public static ConvolutionMode Choose(PlanarSpec spec, int rows)
    {
        if (rows == 1 || (rows <= 4 && spec.Channels == 1)) return ConvolutionMode.Rows;
        bool wholeRegisters = spec.GridWidth % Lanes.Count == 0 && spec.OutStepX == 1;
        return wholeRegisters && rows <= (spec.IsFlat ? MostFlatRows : MostDirectRows) ? ConvolutionMode.Direct : ConvolutionMode.Panels;
    }
}

/// <summary>Computes <see cref="ConvolutionJob"/>s.</summary>
/// <remarks>
/// With enough images, an image (or a few small ones) is one part: its planes stay in the second-level cache from layout to
/// the last product. A single image is cut into bands of rows where these fill panels. Otherwise the planes are shared, and tiles of channels x pixels are the parts.
/// </remarks>
internal static unsafe partial class ConvolutionEngine
{
    private const int TileColumns = 128;
    private const int TileRows = 480; // multiple of 8 and 6
    private const int PanelColumns = 32; // two registers of 512 bits
    private const int SmallColumns = 64;
    private const int RowUnit = 24; // multiple of 8 and 6
    private const int AloneRows = 512; // whose panels of weights, a block of k, take less than half a second-level cache
    private const long WorthThreads = 1 << 19;

    public static void Run<V>(in ConvolutionJob job) where V : unmanaged, IVector<V>
    {
        PlanarSpec spec = job.Spec;
        if (job.Batch == 0 || job.Rows == 0 || spec.Points == 0) return;
        if (job.Batch == 1 && job.Bands is { } bands)
        {
            WorkPool.Run(bands.Length, new BandParts<V>(job));
            return;
        }
        nint* offsets = spec.Offsets;
        using Scratch.Buffer offsetBuffer = Scratch.Rent(offsets == null ? (long)spec.Depth * 2 : 0);
        if (offsets == null)
        {
            offsets = (nint*)offsetBuffer.Pointer;
            spec.FillOffsets(offsets);
        }

        int images = Math.Min(job.Batch, ImagesOfUnit(job));
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
            Partition cut = Partition.Of(job.Rows, unit.Images * spec.Points);
            bool shared = job.Mode == ConvolutionMode.Panels && cut.ColumnTiles == 1 && cut.RowTiles > 1 && !spec.IsFlat;
            int block = Packing.BlockLength(spec.Depth);
            using Scratch.Buffer panels = Scratch.Rent(shared ? ((long)spec.Depth * PaddedColumns<V>(cut.Columns)) + 16 : 0);
            if (shared)
            {
                unit.Panels = panels.Pointer;
                WorkPool.Run((spec.Depth + block - 1) / block, new GatherParts<V>(unit, cut.Columns));
            }
            WorkPool.Run(cut.ColumnTiles * cut.RowTiles, new TileParts<V>(unit, cut));
        }
    }

    /// <summary>Images that are computed together: several small ones fill the columns of a tile.</summary>
    public static int ImagesOfUnit(in ConvolutionJob job) =>
        job.Mode != ConvolutionMode.Panels || job.Spec.Points >= TileColumns || job.Spec.Points == 0 ? 1 : (TileColumns + job.Spec.Points - 1) / job.Spec.Points;

    /// <summary>The same outputs as <see cref="Run"/>, bit for bit, on this thread alone: for parts of a larger product.</summary>
    public static void RunHere<V>(in ConvolutionJob job) where V : unmanaged, IVector<V>
    {
        using Scratch.Buffer offsets = Scratch.Rent((long)job.Spec.Depth * 2);
        job.Spec.FillOffsets((nint*)offsets.Pointer);
        int images = Math.Min(job.Batch, ImagesOfUnit(job));
        var unitParts = new UnitParts<V>(job, (nint)offsets.Pointer, images);
        for (int part = 0; part < (job.Batch + images - 1) / images * job.Groups; part++) unitParts.Run(part);
    }

    // A few images of one group.
    private struct Unit
    {
        public ConvolutionJob Job;
        public nint* Offsets;
        public int FirstImage, Images, Group;
        public float* Planes;

        /// <summary>All panels gathered for all row tiles, or null when each tile gathers its own.</summary>
        public float* Panels;

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

    private readonly struct BandParts<V>(ConvolutionJob job) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            PlanarSpec spec = job.Bands![part];
            new UnitParts<V>(job with { Spec = spec }, (nint)spec.Offsets, 1).Run(0);
        }
    }

    private readonly struct GatherParts<V>(Unit unit, int columns) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part) => GatherBlock<V>(unit, columns, part * Packing.BlockLength(unit.Job.Spec.Depth));
    }

    private readonly struct TileParts<V>(Unit unit, Partition cut) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            int column = part % cut.ColumnTiles * cut.ColumnStep, row = part / cut.ColumnTiles * cut.RowStep;
            Tile<V>(unit, row, Math.Min(cut.RowStep, unit.Job.Rows - row), column, Math.Min(cut.ColumnStep, cut.Columns - column));
        }
    }

    // How one product is cut into parts.
    private readonly record struct Partition(int Columns, int ColumnTiles, int ColumnStep, int RowTiles, int RowStep)
    {
        public static Partition Of(int rows, int columns)
        {
            // Large images: tiles whose panels fill half a second-level cache. Middle ones (28 x 28): single panels, so that the
            // parts are many and alike. Small ones (14 x 14 and below): many rows are cut as well (few are not: each cut gathers its panels anew), 7 x 7 along rows alone.
            // A thread that is alone has no use for parts that are alike: each of them would gather its panels or read all weights again.
            bool alone = WorkPool.IsAlone;
            int step = columns >= 12 * TileColumns || (alone && columns > SmallColumns) ? TileColumns : columns > SmallColumns ? PanelColumns : columns;
            int columnTiles = (columns + step - 1) / step;
            int wanted = columns > 256 || (!alone && columnTiles >= 6 && rows < AloneRows) ? 1
                : alone ? (rows + AloneRows - 1) / AloneRows
                : columns > SmallColumns ? (12 + columnTiles - 1) / columnTiles
                : rows >= 1024 ? 16 : 8;
            int panels = (rows + RowUnit - 1) / RowUnit;
            int each = (panels + Math.Min(wanted, panels) - 1) / Math.Min(wanted, panels) * RowUnit;
            return new Partition(columns, columnTiles, step, (rows + each - 1) / each, each);
        }
    }

    private static void Tile<V>(in Unit unit, int row, int rows, int column, int columns) where V : unmanaged, IVector<V>
    {
        if (unit.Job.Mode == ConvolutionMode.Direct) DirectTile<V>(unit, row, rows, column, columns);
        else PanelTile<V>(unit, row, rows, column, columns);
    }
}
