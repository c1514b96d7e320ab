using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>How time grows: with the non-zeros of a weight (a line is fitted), with threads, and with ten times the work.</summary>
internal sealed class ScalingFigure : Figure
{
    private static readonly (string Name, int Rows, int Columns, int N)[] s_lines =
    [
        ("resnet50 3x3, 14x14", 256, 2304, 196), ("resnet50 1x1 expand, 14x14", 1024, 256, 196), ("vit-b projection", 768, 768, 197),
    ];

    private static readonly double[] s_densities = [0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01];

    private readonly Option<string> _parts = new("--parts") { Description = "lines, threads, growth, steps (one and all threads for each step of the networks): separated by commas.", DefaultValueFactory = _ => "lines,threads,growth" };
    private readonly Option<string> _networks = new("--networks") { Description = "Networks that are run with one and with all threads, as the figure 'networks' calls them.", DefaultValueFactory = _ => "resnet20,wide-90,mobilenet-90,resnet50-90,resnet50" };

    protected override (string Name, string Description) Title => ("scaling", "Time against non-zeros, threads, and ten times the work.");

    protected override void DeclareOwn(Command command)
    {
        command.Options.Add(_parts);
        command.Options.Add(_networks);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        var rows = new JsonArray();
        string networks = arguments.GetValue(_networks)!;
        (string Name, Action Measure)[] parts =
        [
            ("lines", () => Lines(rows, context, options)),
            ("threads", () => Threads(rows, networks, context, options)),
            ("growth", () => Growth(rows, context, options)),
            ("steps", () => StepTable.Measure(rows, networks, context, options)),
        ];
        foreach ((_, Action measure) in Selected(arguments.GetValue(_parts)!, _parts.Name, parts, p => p.Name)) measure();
        return rows;
    }

    private static void Lines(JsonArray rows, VerbContext context, TimingOptions options)
    {
        Table table = NewTable("weight x input", "ps per multiply-add", "fixed ms", "fixed, of dense", "largest residual", "R2");
        foreach ((string name, int m, int k, int n) in s_lines)
        {
            var random = new Random(context.Settings.Seed);
            float[] x = Values((long)k * n, random), y = new float[m * n], w = Values((long)m * k, random);
            PackedMatrix packed = PackedMatrix.Left(false, m, k, w, k);
            Action dense = () => Gemm.Multiply(packed, false, n, x, n, 0, y, n, default, default, Clamp.None);
            Compare(dense, w, m, k, n, x, y);
            var variants = new List<(string, Func<double>)> { Hot("dense", dense) };
            var counts = new List<double>();
            foreach (double density in s_densities)
            {
                float[] sparse = SpmmFigure.Weight(m, k, density, SparsityPattern.Unstructured, random);
                CsrMatrix csr = CsrMatrix.FromDense(sparse, m, k);
                var prepared = new PreparedSpMM(csr);
                Action run = () => prepared.Multiply(x, n, y);
                Compare(run, sparse, m, k, n, x, y);
                counts.Add(csr.StoredCount);
                variants.Add(Hot($"{density:0.00}", run));
            }
            using EvenCores cores = EvenCores.For(context, options, rows);
            IReadOnlyList<Timing> t = InterleavedTimer.MeasureSelfTimed(variants, cores.Options, null, context.Cancellation);
            double[] times = [.. t.Skip(1).Select(v => v.Median)];
            (double slope, double intercept, double r2) = Fit([.. counts], times);
            double residual = counts.Select((c, i) => Math.Abs(intercept + slope * c - times[i]) / times[i]).Max();
            table.AddRow($"{name}: {m} x {k} x {n}", $"{slope / n * 1e9:0.00}", $"{intercept:0.0000}", $"{intercept / t[0].Median:P1}", $"{residual:P1}", $"{r2:0.0000}");
            rows.Add(new JsonObject
            {
                ["part"] = "lines",
                ["what"] = name,
                ["rows"] = m,
                ["columns"] = k,
                ["n"] = n,
                ["variants"] = new JsonArray([.. t.Select(v => ToJson(v))]),
                ["nonZeros"] = new JsonArray([.. counts.Select(c => (JsonNode)c)]),
                ["picosecondsPerMultiplyAdd"] = Round(slope / n * 1e9),
                ["fixedMs"] = Round(intercept),
                ["fixedShareOfDense"] = Round(intercept / t[0].Median),
                ["largestResidual"] = Round(residual),
                ["rSquared"] = Round(r2),
                ["outputsCompared"] = true,
            });
        }
        context.Show(table);
        context.Say("time = fixed + slope x non-zeros, by least squares over 50 to 99 % zeros; residuals relative to the measured time");
    }

    private static void Threads(JsonArray rows, string networks, VerbContext context, TimingOptions options)
    {
        int all = WorkPool.Threads;
        if (all == 1)
        {
            context.Warn("scaling with threads needs more than one: leave --threads out");
            return;
        }
        Table table = NewTable("network", "M multiply-adds", "1 thread ms", $"{all} threads ms", "speed-up");
        foreach (string id in networks.Split(',', StringSplitOptions.TrimEntries))
        {
            NetworkCase network = NetworksFigure.Case(id, context.Settings.Seed) ?? throw VerbException.Usage($"--networks has '{id}'");
            ModelGraph graph = NetworkComparison.Prune(network);
            Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, network.Batch, 64, context.Settings.Seed);
            try
            {
                // Each session is planned with the threads that it is run with.
                var variants = new List<(string, Func<double>)>();
                foreach (int threads in (int[])[1, all])
                {
                    WorkPool.Threads = threads;
                    var session = new InferenceSession(graph);
                    NetworkComparison.CompareWithTwin(session, graph, inputs, context.Cancellation);
                    Func<double> hot = InterleavedTimer.UnderLoad(InterleavedTimer.Timed(() => session.Run(inputs, context.Cancellation)));
                    variants.Add((threads == 1 ? "1 thread" : $"{threads} threads", () =>
                    {
                        WorkPool.Threads = threads;
                        return hot();
                    }
                    ));
                }
                using EvenCores cores = EvenCores.For(context, options, rows);
                IReadOnlyList<Timing> t = InterleavedTimer.MeasureSelfTimed(variants, cores.Options, null, context.Cancellation);
                Timing speedUp = TwinBenchmark.Ratio(t[0], t[1]);
                long macs = ModelCost.Of(graph).EffectiveMacs * network.Batch;
                table.AddRow(network.Label, $"{macs / 1e6:0.0}", $"{t[0].Median:0.000}", $"{t[1].Median:0.000}", $"{speedUp.Median:0.00}");
                rows.Add(new JsonObject
                {
                    ["part"] = "threads",
                    ["what"] = network.Label,
                    ["effectiveMacs"] = macs,
                    ["threads"] = all,
                    ["variants"] = new JsonArray([.. t.Select(v => ToJson(v))]),
                    ["speedUp"] = RatioJson(speedUp),
                    ["outputsCompared"] = true,
                });
            }
            finally
            {
                WorkPool.Threads = all;
            }
        }
        context.Show(table);
    }

    private static void Growth(JsonArray rows, VerbContext context, TimingOptions options)
    {
        Table table = NewTable("ten times", "ms", "ms, ten times the work", "cost");
        var random = new Random(context.Settings.Seed);
        Pair("rows of a sparse weight (256 to 2560 x 1152 x 196, 10 %)", Sparse(256, 1152, 196, 0.1, random), Sparse(2560, 1152, 196, 0.1, random));
        Pair("columns of the input (256 x 1152 x 196 to 1960, 10 %)", Sparse(256, 1152, 196, 0.1, random), Sparse(256, 1152, 1960, 0.1, random));
        Pair("non-zeros (512 x 1152 x 196, 5 to 50 %)", Sparse(512, 1152, 196, 0.05, random), Sparse(512, 1152, 196, 0.5, random));
        Pair("rows of a dense weight (192 to 1920 x 1024 x 256)", Dense(192, 1024, 256, random), Dense(1920, 1024, 256, random));
        Pair("samples (ResNet-20, dense, batch 2 to 20)", Network("resnet20", 2, context), Network("resnet20", 20, context));
        Pair("samples (ResNet-20-wide, 90 %, batch 1 to 10)", Network("wide-90", 1, context), Network("wide-90", 10, context));
        context.Show(table);

        void Pair(string what, Action one, Action ten)
        {
            using EvenCores cores = EvenCores.For(context, options, rows);
            IReadOnlyList<Timing> t = InterleavedTimer.MeasureSelfTimed([Hot("one", one), Hot("ten", ten)], cores.Options, null, context.Cancellation);
            Timing cost = TwinBenchmark.Ratio(t[1], t[0]);
            table.AddRow(what, $"{t[0].Median:0.0000}", $"{t[1].Median:0.0000}", $"{cost.Median:0.00}x");
            rows.Add(new JsonObject { ["part"] = "growth", ["what"] = what, ["threads"] = WorkPool.Threads, ["variants"] = new JsonArray([.. t.Select(v => ToJson(v))]), ["cost"] = RatioJson(cost), ["outputsCompared"] = true });
        }
    }

    private static Action Sparse(int m, int k, int n, double density, Random random)
    {
        float[] x = Values((long)k * n, random), y = new float[m * n], w = SpmmFigure.Weight(m, k, density, SparsityPattern.Unstructured, random);
        var prepared = new PreparedSpMM(CsrMatrix.FromDense(w, m, k));
        Action run = () => prepared.Multiply(x, n, y);
        Compare(run, w, m, k, n, x, y);
        return run;
    }

    private static Action Dense(int m, int k, int n, Random random)
    {
        float[] x = Values((long)k * n, random), w = Values((long)m * k, random), y = new float[m * n];
        PackedMatrix packed = PackedMatrix.Left(false, m, k, w, k);
        Action run = () => Gemm.Multiply(packed, false, n, x, n, 0, y, n, default, default, Clamp.None);
        Compare(run, w, m, k, n, x, y);
        return run;
    }

    private static Action Network(string id, int batch, VerbContext context)
    {
        NetworkCase network = NetworksFigure.Case(id, context.Settings.Seed)!;
        ModelGraph graph = NetworkComparison.Prune(network);
        Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, batch, 64, context.Settings.Seed);
        var session = new InferenceSession(graph);
        NetworkComparison.CompareWithTwin(session, graph, inputs, context.Cancellation);
        return () => session.Run(inputs, context.Cancellation);
    }

    /// <summary>Runs a product once and compares it with that of the whole weight, zeros and all, which nothing was prepared for.</summary>
    private static void Compare(Action run, float[] weight, int m, int k, int n, float[] x, float[] y)
    {
        var expected = new float[y.Length];
        Gemm.Multiply(false, false, m, n, k, 1, weight, k, x, n, 0, expected, n);
        // Products of one shape share what they write: one that writes nothing must not pass by what another left.
        y.AsSpan().Fill(float.NaN);
        run();
        SpmmFigure.Compare(expected, y, k);
    }

    /// <summary>Least squares: y = intercept + slope x, and the share of the variance that it explains.</summary>
    internal static (double Slope, double Intercept, double RSquared) Fit(double[] x, double[] y)
    {
        double mx = x.Average(), my = y.Average(), sxx = 0, sxy = 0, syy = 0;
        for (int i = 0; i < x.Length; i++)
        {
            sxx += (x[i] - mx) * (x[i] - mx);
            sxy += (x[i] - mx) * (y[i] - my);
            syy += (y[i] - my) * (y[i] - my);
        }
        double slope = sxy / sxx;
        return (slope, my - slope * mx, sxy * sxy / (sxx * syy));
    }
}
