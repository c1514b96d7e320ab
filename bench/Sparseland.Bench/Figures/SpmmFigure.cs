using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>Sparse times dense matrices beside our dense product: speed-up, and effectiveness = speed-up x density (1: the cost is what the non-zeros cost).</summary>
internal sealed class SpmmFigure : Figure
{
    private static readonly (int Rows, int Columns, int N)[] s_shapes = [(512, 512, 128), (768, 768, 197), (4096, 4096, 1)];
    private static readonly double[] s_densities = [0.5, 0.2, 0.1, 0.05];

    protected override (string Name, string Description) Title => ("spmm", "Sparse times dense matrices: GFLOP/s, speed-up over our dense product, effectiveness.");

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        var rows = new JsonArray();
        Table table = NewTable("rows x columns x n", "density", "kernel", "dense ms", "sparse ms", "GFLOP/s", "speed-up", "e");
        var random = new Random(context.Settings.Seed);
        foreach ((int m, int k, int n) in s_shapes)
        {
            float[] x = Values((long)k * n, random), dense = new float[m * n], sparse = new float[m * n];
            foreach (double density in s_densities)
            {
                foreach (bool blocks in (bool[])[false, true])
                {
                    float[] w = Weight(m, k, density, blocks ? 4 : 1, random);
                    CsrMatrix csr = CsrMatrix.FromDense(w, m, k);
                    BlockCsrMatrix? block = blocks ? BlockCsrMatrix.FromDense(w, m, k, 4, 1) : null;
                    PackedMatrix packed = PackedMatrix.Left(false, m, k, w, k);
                    var prepared = new PreparedSpMM(csr);
                    Action denseRun = n == 1 ? () => Gemm.MultiplyVector(false, m, k, 1, w, k, x, 0, dense) : () => Gemm.Multiply(packed, false, n, x, n, 0, dense, n, default, default, Clamp.None);
                    Action sparseRun = (n == 1, block) switch
                    {
                        (true, { } b) => () => SpMV.Multiply(b, x, sparse),
                        (true, null) => () => SpMV.Multiply(csr, x, sparse),
                        (false, { } b) => () => SpMM.Multiply(b, x, n, sparse),
                        (false, null) => () => prepared.Multiply(x, n, sparse),
                    };
                    denseRun();
                    sparseRun();
                    Compare(dense, sparse, k);
                    IReadOnlyList<Timing> t = InterleavedTimer.Measure([("dense", denseRun), ("sparse", sparseRun)], options, null, context.Cancellation);
                    double speedUp = TwinBenchmark.Ratio(t[0], t[1]).Median, stored = (double)(block?.StoredCount ?? csr.StoredCount), actual = stored / ((double)m * k);
                    string kernel = blocks ? "4x1 blocks" : "unstructured";
                    double gflops = 2 * stored * n / t[1].Median / 1e6;
                    table.AddRow($"{m} x {k} x {n}", $"{actual:0.000}", kernel, $"{t[0].Median:0.0000}", $"{t[1].Median:0.0000}", $"{gflops:0.0}", $"{speedUp:0.00}", $"{speedUp * actual:0.00}");
                    rows.Add(new JsonObject
                    {
                        ["rows"] = m,
                        ["columns"] = k,
                        ["n"] = n,
                        ["density"] = Round(actual),
                        ["kernel"] = kernel,
                        ["variants"] = new JsonArray([.. t.Select(v => ToJson(v))]),
                        ["gflops"] = Round(gflops),
                        ["speedUp"] = Round(speedUp),
                        ["effectiveness"] = Round(speedUp * actual),
                    });
                }
            }
        }
        context.Show(table);
        return rows;
    }

    /// <summary>A matrix in which whole vertical blocks are present with the given probability.</summary>
    internal static float[] Weight(int rows, int columns, double density, int blockRows, Random random)
    {
        var w = new float[(long)rows * columns];
        for (int r = 0; r < rows; r += blockRows)
        {
            for (int c = 0; c < columns; c++)
            {
                if (random.NextDouble() >= density) continue;
                for (int i = r; i < Math.Min(rows, r + blockRows); i++) w[i * columns + c] = 2 * random.NextSingle() - 1;
            }
        }
        return w;
    }

    /// <summary>A figure of a wrong kernel is worth nothing.</summary>
    internal static void Compare(float[] expected, float[] actual, int terms)
    {
        double tolerance = 1e-5 * Math.Sqrt(terms) + 1e-5;
        for (int i = 0; i < expected.Length; i++)
        {
            if (!(Math.Abs(expected[i] - actual[i]) <= tolerance * Math.Max(1, Math.Abs(expected[i]))))
                throw new InvalidOperationException($"the kernels disagree at {i}: {expected[i]} and {actual[i]}");
        }
    }
}
