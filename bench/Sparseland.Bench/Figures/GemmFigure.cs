using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Dense;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>Dense matrix products: GFLOP/s of the plain and the packed kernel over shapes of real layers.</summary>
internal sealed class GemmFigure : Figure
{
    private static readonly (int M, int N, int K, string Where)[] s_shapes =
    [
        (128, 128, 128, "small"), (512, 512, 512, "medium"), (1024, 1024, 1024, "large"),
        (768, 197, 768, "ViT-B projection, one image"), (3072, 197, 768, "ViT-B MLP, one image"),
        (1, 4096, 4096, "one token"), (10, 128, 512, "classifier, batch 128"),
    ];

    protected override (string Name, string Description) Title => ("gemm", "Dense matrix products in GFLOP/s.");

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        var rows = new JsonArray();
        Table table = NewTable("m x n x k", "plain ms", "GFLOP/s", "packed ms", "GFLOP/s", "where");
        var random = new Random(context.Settings.Seed);
        foreach ((int m, int n, int k, string where) in s_shapes)
        {
            float[] a = Values((long)m * k, random), b = Values((long)k * n, random), c = new float[m * n], d = new float[m * n];
            PackedMatrix packed = PackedMatrix.Left(false, m, k, a, k);
            IReadOnlyList<Timing> timings = InterleavedTimer.Measure(
            [
                ("plain", () => Gemm.Multiply(false, false, m, n, k, 1, a, k, b, n, 0, c, n)),
                ("packed", () => Gemm.Multiply(packed, false, n, b, n, 0, d, n, default, default, Clamp.None)),
            ], options, null, context.Cancellation);
            double flops = 2.0 * m * n * k;
            table.AddRow($"{m} x {n} x {k}", $"{timings[0].Median:0.0000}", $"{flops / timings[0].Median / 1e6:0.0}", $"{timings[1].Median:0.0000}", $"{flops / timings[1].Median / 1e6:0.0}", where);
            rows.Add(new JsonObject
            {
                ["m"] = m,
                ["n"] = n,
                ["k"] = k,
                ["where"] = where,
                ["variants"] = new JsonArray([.. timings.Select(t => ToJson(t))]),
                ["gflops"] = new JsonObject { ["plain"] = Round(flops / timings[0].Median / 1e6), ["packed"] = Round(flops / timings[1].Median / 1e6) },
            });
        }
        context.Show(table);
        return rows;
    }
}
