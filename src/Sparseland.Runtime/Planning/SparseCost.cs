using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;

namespace Sparseland.Runtime.Planning;

/// <summary>What a product with a sparse weight is expected to cost, as a fraction of a dense one of equal efficiency.</summary>
/// <remarks>
/// Three terms: a multiply-add for each stored value; what each panel of 28 outputs pays for an input that it uses (a load, and its share of sums that rest between blocks); and copying each input into
/// place once. So few outputs and very thin weights gain less than their density says. Columns are computed in whole registers: 17 cost what 32 do. The break-even table holds the efficiency, this the
/// shape; the same function is used when a table is measured, so its scale cancels out.
/// <para>Weights of the terms: least squares of sparse / dense time over 16 weights (16 to 2048 rows, 64 to 2304 columns, 49 to 4096 columns of the input) at densities of 0.02 to 0.7, with one and two
/// threads (Zen 4; residual 0.19 root mean square, 0.58 at most; weights set by eye had 0.24 and 1.06). Loops (512 bits, no code written): 12 weights, 0.16 and 0.60.</para>
/// </remarks>
internal static class SparseCost
{
    private const int PanelRows = 28;
    private const double Load = 2.2, Copy = 2.2, LoopLoad = 1, LoopCopy = 0.25, Write = 0.28, Tap = 2.65;

    // Bytes of a stored value in straight-line code, and of one with its column.
    private const double CodeBytes = 14, ListedBytes = 8;

    // Stored values of a convolution whose code and values (8 MB) leave the caches before they are used again, and what their arrival costs where 16 pixels meet them: 32 bytes a nanosecond from the third cache
    // (3072 x 1024 places, 70 % stored, met by 16 columns: 31 MB in 0.97 ms, beside 0.73 of the dense weight). Points of linear layers know it by the bytes of the weight; beside whole units they begin there too.
    private const double FarStored = (8 << 20) / CodeBytes, FarCode = 1.75;

    // Whole units of 512 bits multiply faster than code arrives from anywhere but the second cache, of which half a megabyte of it is a good part. Zen 5, 4 to 16 rows: 0.17 ns for a place of the weight and a cost of one
    // (256 x 256 at 50 and 20 %), beside it 0.27 to 0.33 ns for each stored value of 512 x 512 to 1024 x 1024, and 0.5 to 1 of 2048 x 2048.
    private const double NearStored = (512 << 10) / CodeBytes, BeyondNearCode = 1.6, BeyondFarCode = 3;

    // Where points of few rows are those of a dense weight in the caches (built-in ones): one of 32 MB and more came from memory there, whatever it met. Zen 5, one thread (two were not measured), 3072 x 3072 and 2048 x 4096 beside 512 x 64: 0.19 to 0.3 ns a place and
    // 0.036 with 2 rows, 0.22 to 0.3 and 0.075 with 5, 0.25 to 0.29 and 0.1 with 8; 16 rows need that long to multiply. The share taken here is above those: a wrong choice of the dense product is the lesser loss.
    private const double FarPlaces = BreakEvenMeasurement.BeyondCaches / sizeof(float), FarShare = 0.2, FarShareOfRow = 0.045;

    // Rows of 4096 in memory in bfloat16, int8 and int4, 50 to 90 % zeros (figure gemv): each within a tenth of time = this + the rest in proportion to density.
    private const double ExpandFewBits = 1 / 3.0;

    // Measured for matrices that come from memory (3072 x 3072), where the bit-mask is used: 0.5. In the caches it is 0.93, and the dense kernel is faster anyway.
    private const double Expand = 0.5;

    /// <summary>The cost of a weight.</summary>
    /// <param name="density">Stored fraction, 0 to 1.</param>
    /// <param name="outputs">Rows of the weight (of one group), at least 1.</param>
    /// <param name="columns">Columns of the input: pixels or rows of a batch. Below one register the table's sizes speak.</param>
    /// <param name="blockRows">Rows that are stored together.</param>
    /// <param name="weights">Places of the whole weight: code for very many stored values arrives from memory, at the same rate however few columns it meets.</param>
    public static double Of(double density, int outputs, long columns, int blockRows = 1, long weights = 0)
    {
        bool written = CompiledKernels.AreWritten, counted = CompiledKernels.AreUsed && !written;
        int lanes = written ? 16 : 8;
        double filled = columns <= lanes ? 1 : (double)((columns + lanes - 1) / lanes * lanes) / columns;
        int panel = Math.Min(PanelRows, outputs);
        double used = 1 - Math.Pow(1 - density, (double)panel / blockRows);
        // Values share no loads in code for all structures; inputs are packed for either kind of code.
        double work = (density + (written ? Load : counted ? 0 : LoopLoad) * used / panel + (written || counted ? Copy : LoopCopy) / outputs) * filled;
        return written && density * weights > FarStored ? Math.Max(work, FarCode * density * lanes / Math.Max(lanes, columns)) : work;
    }

    /// <summary>The cost of a weight of a linear layer, see <see cref="Of"/>: its code is used once for every 16 rows of the input.</summary>
    /// <param name="density">Stored fraction, 0 to 1.</param>
    /// <param name="inputs">Columns of the weight.</param>
    /// <param name="outputs">Rows of the weight, at least 1.</param>
    /// <param name="rows">Rows of the input.</param>
    /// <param name="blockRows">Rows of the weight that are stored together.</param>
    public static double OfLinear(double density, int inputs, int outputs, int rows, int blockRows = 1)
    {
        int panel = PackedMatrix.RightPanel;
        // Dense panels are as wide as two registers, whatever of the last is filled: 100 outputs take what 128 do (Zen 4, one thread, 768 x 100, 16 to 197 rows: 85 GFLOP/s where 64 outputs reach 105).
        double cost = Of(density, outputs, rows, blockRows) * outputs / ((outputs + panel - 1) / panel * panel), places = (double)inputs * outputs, stored = density * places;
        if (!CompiledKernels.AreWritten || !VectorUnits.AreFullWidth || stored <= NearStored) return cost;
        cost = Math.Max(cost, (stored > FarStored ? BeyondFarCode : BeyondNearCode) * density * 16 / Math.Max(16, rows));
        return places < FarPlaces ? cost : cost * Math.Min(1, FarShare + (FarShareOfRow * rows));
    }

    /// <summary>
    /// The bytes that a product with few rows of input waits for (<see cref="KernelWork.WeightBytes"/>): those of the dense weight, or of one that no cache holds where the model does not fit the last cache, dense and with as much of every weight stored as of this one.
    /// Where only what is stored does not fit, neither number of bytes is that of a measured pair: the lesser point of both is the safe one.
    /// Zen 4, 2 to 16 rows at densities of 0.25 and 0.5: compressed rows of the next of many weights break even at 0.33 to 0.86 (one thread) and 0.32 to 0.61 (two), whether these are of 768 x 768, 1024 x 1024 or 2048 x 2048; one of 768 x 768 or 1024 x 1024 again and again at 0.22 to 1.2, one of 2048 x 2048 at 0.47 to 1.3.
    /// </summary>
    /// <param name="ownBytes">Of the weight without zeros.</param>
    /// <param name="modelBytes">Of all weights of the model without zeros.</param>
    /// <param name="density">Stored fraction of the weight.</param>
    /// <param name="cacheBytes">Of the last cache, see <see cref="LastCacheBytes"/>.</param>
    public static (long Dense, long Stored) BytesToReach(long ownBytes, long modelBytes, double density, long cacheBytes)
    {
        double held = Math.Max(1, density * (CompiledKernels.AreWritten ? CodeBytes : ListedBytes) / sizeof(float));
        long far = Math.Max(ownBytes, BreakEvenMeasurement.BeyondCaches);
        return (modelBytes > cacheBytes ? far : ownBytes, held * modelBytes > cacheBytes ? far : ownBytes);
    }

    /// <summary>Bytes of this processor's third cache; where it does not say, those of the machines that points were measured on. Others may share it: a part of it counts as the whole.</summary>
    public static long LastCacheBytes => ProcessorIdentity.CacheBytes.L3 is > 0 and int bytes ? bytes : BreakEvenMeasurement.BeyondCaches;

    /// <summary>
    /// The cost of a depthwise convolution: results are written whatever a channel keeps, and kept taps share no loads. At half of the taps it lost to the dense kernel
    /// (128 channels of 28 x 28, two threads: 1.5 times its time). For geometries with <see cref="Sparseland.Kernels.Dense.Convolution2D.HasDepthwiseKernel"/>, beside points of <see cref="KernelKind.Depthwise"/>.
    /// </summary>
    public static double OfDepthwise(double density) => Write + Tap * density;

    /// <summary>
    /// The cost of a convolution of several groups without blocks, which runs in loops: laying out the image, results that are written whatever a row keeps, and stored values, over what the dense kernel takes, which fills no register with few
    /// outputs of a group. Least squares of sparse / dense time over 150 drawn layers at densities of 0.02 to 0.6 (16 to 512 channels, 2 groups to one a channel, 1 x 1 to 7 x 7, strides, 4 x 4 to 56 x 56; one thread,
    /// Zen 4): nine tenths within 0.5 to 1.8 times, 4.7 at most. So plans time such layers where this does not decide by a wide margin.
    /// </summary>
    /// <param name="density">Stored fraction, 0 to 1.</param>
    /// <param name="outputs">Of a group, at least 1.</param>
    /// <param name="rowLength">Weights of an output.</param>
    /// <param name="taps">Of the kernel, at least 1.</param>
    /// <param name="pixelsPerResult">Pixels of the image for one of the result: the strides' product.</param>
    public static double OfGroups(double density, int outputs, int rowLength, int taps, int pixelsPerResult) =>
        ((9.5 * pixelsPerResult / ((double)outputs * taps)) + (36.0 / rowLength) + (1.75 * density)) / (1 + (4.4 / outputs) + (38.0 / rowLength));

    /// <summary>The cost of a weight in windows against one vector: its bytes beside those of all values. From memory time is in proportion to them, and in the caches to places, of which each has as many.</summary>
    /// <param name="bytes">See <see cref="PreparedSpMV.CountBytes(CompactMatrix)"/>.</param>
    /// <param name="rows">Rows of the weight.</param>
    /// <param name="columns">Columns of the weight.</param>
    /// <param name="kind">What the values are held in.</param>
    /// <returns>Infinity for more bytes than an array holds: windows are prepared as one.</returns>
    public static double OfWindows(long bytes, int rows, int columns, ValueKind kind = ValueKind.Float32) =>
        bytes > Array.MaxLength - CompactMatrix.Slack ? double.PositiveInfinity : bytes * 8.0 / Math.Max(1, (long)rows * columns * kind.Bits());

    /// <summary>The cost of a full weight by columns: a rectifier is expected to leave half of its results at zero.</summary>
    public const double HalfOfColumns = 0.5;

    /// <summary>The cost of a bit-mask weight against one vector: every mask is read and expanded, whatever it keeps.</summary>
    public static double OfBitmask(double density) => Expand + (1 - Expand) * density;

    /// <summary>The same for values of few bits.</summary>
    public static double OfFewBits(double density) => ExpandFewBits + (1 - ExpandFewBits) * density;
}
