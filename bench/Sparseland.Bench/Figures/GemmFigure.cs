using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Dense;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>Dense matrix products: GFLOP/s of the plain and the packed kernel beside OpenBLAS, square sizes in three layouts and shapes of real layers.</summary>
internal sealed class GemmFigure : Figure
{
    private static readonly (int M, int N, int K, string Where)[] s_layers =
    [
        (128, 128, 128, "small"), (768, 197, 768, "ViT-B projection, one image"), (3072, 197, 768, "ViT-B MLP, one image"),
        (1, 4096, 4096, "one token"), (10, 128, 512, "classifier, batch 128"),
    ];

    private readonly Option<string> _sizes = new("--sizes") { Description = "Square sizes, separated by commas; 'layers' adds shapes of real layers.", DefaultValueFactory = _ => "256,384,512,768,1024,1536,2048,layers" };
    private readonly Option<string> _layouts = new("--layouts") { Description = "nn, nt, tn: whether the left and the right operand are stored transposed.", DefaultValueFactory = _ => "nn,nt,tn" };
    private readonly Option<bool> _alone = new("--alone") { Description = "Measure our kernels only." };

    protected override (string Name, string Description) Title => ("gemm", "Dense matrix products in GFLOP/s, in turn with OpenBLAS.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_sizes, _layouts, _alone];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        bool peer = UseOpenBlas(arguments.GetValue(_alone), context);
        var rows = new JsonArray();
        Table table = NewTable("m x n x k", "layout", "plain", "packed", "OpenBLAS", "plain / OpenBLAS", "packed / OpenBLAS", "where", "OpenBLAS with");
        var random = new Random(context.Settings.Seed);
        foreach ((int m, int n, int k, string where, string layout) in Shapes(arguments))
        {
            bool transA = layout[0] == 't', transB = layout[1] == 't';
            float[] a = Values((long)m * k, random), b = Values((long)k * n, random), plain = new float[m * n], packed = new float[m * n], other = new float[m * n];
            int lda = transA ? m : k, ldb = transB ? k : n;
            PackedMatrix left = PackedMatrix.Left(transA, m, k, a, lda);
            var variants = new List<(string, Action)>
            {
                ("plain", () => Gemm.Multiply(transA, transB, m, n, k, 1, a, lda, b, ldb, 0, plain, n)),
                ("packed", () => Gemm.Multiply(left, transB, n, b, ldb, 0, packed, n, default, default, Clamp.None)),
            };
            using EvenCores cores = EvenCores.For(context, options, rows);
            if (peer)
            {
                cores.BeforeTrial();
                variants.AddRange(OpenBlasPeer.Contenders(blas => blas.Multiply(transA, transB, m, n, k, a, b, other)));
            }
            foreach ((string name, Action run) in variants)
            {
                // All of OpenBLAS's variants write here: one that writes nothing must not pass by what another left.
                Array.Fill(other, float.NaN);
                run();
                if (name != "plain") SpmmFigure.Compare(OpenBlasPeer.Is(name) ? other : packed, plain, k);
            }

            (IReadOnlyList<Timing> t, string? blasVariant) = OpenBlasPeer.Best(InterleavedTimer.MeasureSelfTimed([.. variants.Select(v => Hot(v.Item1, v.Item2))], cores.Options, null, context.Cancellation));
            double flops = 2.0 * m * n * k;
            double[] gflops = [.. t.Select(v => flops / v.Median / 1e6)];
            var row = new JsonObject
            {
                ["m"] = m,
                ["n"] = n,
                ["k"] = k,
                ["layout"] = layout,
                ["where"] = where,
                ["variants"] = new JsonArray([.. t.Select(v => ToJson(v))]),
                ["gflops"] = new JsonObject([.. t.Select((v, i) => KeyValuePair.Create(v.Name, (JsonNode?)Round(gflops[i])))]),
            };
            string[] ratios = ["", ""];
            for (int i = 0; peer && i < 2; i++)
            {
                Timing ratio = TwinBenchmark.Ratio(t[2], t[i]);
                ratios[i] = $"{ratio.Median:0.00}";
                row[$"{t[i].Name}ToOpenBlas"] = RatioJson(ratio);
            }
            table.AddRow($"{m} x {n} x {k}", layout, $"{gflops[0]:0.0}", $"{gflops[1]:0.0}", peer ? $"{gflops[2]:0.0}" : "", ratios[0], ratios[1], where, blasVariant ?? "");
            OpenBlasPeer.Record(row, blasVariant);
            rows.Add(row);
        }
        context.Show(table);
        context.Say("GFLOP/s, and our speed as a multiple of OpenBLAS's");
        return rows;
    }

    /// <summary>Whether OpenBLAS can take part; says so when not.</summary>
    internal static bool UseOpenBlas(bool alone, VerbContext context)
    {
        if (alone) return false;
        if (!OpenBlasPeer.IsInstalled)
        {
            context.Warn($"OpenBLAS is not installed; without it: {OpenBlasPeer.InstallHint}");
            return false;
        }
        context.Say(OpenBlasPeer.Version);
        return true;
    }

    private IEnumerable<(int M, int N, int K, string Where, string Layout)> Shapes(ParseResult arguments)
    {
        string[] layouts = [.. arguments.GetValue(_layouts)!.Split(',').Select(l => l.Trim())];
        if (layouts.FirstOrDefault(l => l is not ("nn" or "nt" or "tn")) is { } unknown) throw VerbException.Usage($"--layouts has '{unknown}'", "use nn, nt and tn");
        foreach (string size in arguments.GetValue(_sizes)!.Split(',').Select(s => s.Trim()))
        {
            if (size == "layers")
            {
                foreach ((int m, int n, int k, string where) in s_layers) yield return (m, n, k, where, "nn");
                continue;
            }
            if (!int.TryParse(size, CultureInfo.InvariantCulture, out int s) || s is < 1 or > 8192) throw VerbException.Usage($"--sizes has '{size}'", "use numbers from 1 to 8192, and layers");
            foreach (string layout in layouts) yield return (s, s, s, "square", layout);
        }
    }
}
