using Sparseland.Kernels.SparseOps;

namespace Sparseland.Runtime.Planning;

/// <summary>What a product with a sparse weight is expected to cost, as a fraction of a dense one of equal efficiency.</summary>
/// <remarks>
/// Three terms: a multiply-add for each stored value; a load of an input for each panel of 28 outputs that uses it, which weighs
/// half a multiply-add; and copying each input into place once, which weighs three. So few outputs and very thin weights gain less
/// than their density says. Columns are computed in whole registers: 17 cost what 32 do. The break-even table holds the efficiency, this the shape. Weights of the terms: set by eye against the layers of ResNet-50
/// at 50 to 95 % zeros (figures `spmm` and `conv`); the same function is used when a table is measured, so its scale cancels out.
/// </remarks>
internal static class SparseCost
{
    private const int PanelRows = 28;
    private const double Load = 0.5, Copy = 3, Expand = 0.35, Write = 0.25, Tap = 2.4, Empty = 0.06;

    /// <summary>The cost of a weight.</summary>
    /// <param name="density">Stored fraction, 0 to 1.</param>
    /// <param name="outputs">Rows of the weight (of one group), at least 1.</param>
    /// <param name="columns">Columns of the input: pixels or rows of a batch. Below one register the table's sizes speak.</param>
    /// <param name="blockRows">Rows that are stored together.</param>
    public static double Of(double density, int outputs, long columns, int blockRows = 1)
    {
        int lanes = CompiledKernels.AreUsed ? 16 : 8;
        double filled = columns <= lanes ? 1 : (double)((columns + lanes - 1) / lanes * lanes) / columns;
        int panel = Math.Min(PanelRows, outputs);
        double used = 1 - Math.Pow(1 - density, (double)panel / blockRows);
        return (density + Load * used / panel + Copy / outputs) * filled;
    }

    /// <summary>The cost of a depthwise convolution: results are written whatever a channel keeps, and kept taps share no loads.</summary>
    public static double OfDepthwise(double density) => Write + Tap * density;

    /// <summary>
    /// The cost of a weight in windows of 32 inputs against one vector: at a density d some d / (d + 0.06) of the lanes are filled
    /// (simulated for random rows: 0.34 at 2 %, 0.62 at 10 %, 0.77 at 20 %, 0.92 at 50 %).
    /// </summary>
    public static double OfWindows(double density) => density + Empty;

    /// <summary>The cost of a bit-mask weight against one vector: every mask is read and expanded, whatever it keeps.</summary>
    public static double OfBitmask(double density) => Expand + (1 - Expand) * density;
}
