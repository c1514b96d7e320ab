using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>
/// Sparse times dense matrices of real layers, beside our dense product, OpenBLAS and ONNX Runtime. Effectiveness e = speed-up x density over the fastest dense
/// variant of the shape: 1 when a sparse kernel costs exactly what its non-zeros cost in the dense one.
/// </summary>
internal sealed class SpmmFigure : Figure
{
    /// <summary>W [rows, columns] x X [columns, n]: n is output pixels or tokens.</summary>
    private static readonly (string Name, int Rows, int Columns, int N)[] s_shapes =
    [
        ("resnet50 1x1 expand, 56x56", 256, 64, 3136), ("resnet50 1x1 reduce, 28x28", 128, 512, 784), ("resnet50 1x1 expand, 14x14", 1024, 256, 196), ("resnet50 1x1 reduce, 7x7", 512, 2048, 49),
        ("resnet50 3x3, 28x28", 128, 1152, 784), ("resnet50 3x3, 14x14", 256, 2304, 196), ("resnet50 3x3, 7x7", 512, 4608, 49),
        ("vit-s projection", 384, 384, 197), ("vit-s mlp", 1536, 384, 197), ("vit-b projection", 768, 768, 197),
        ("llama projection, 64 tokens", 2048, 2048, 64), ("llama mlp, 64 tokens", 5632, 2048, 64), ("llama projection, one token", 4096, 4096, 1),
    ];

    private static readonly (string Name, SparsityPattern Pattern)[] s_kernels =
    [
        .. new[] { SparsityPattern.Unstructured, SparsityPattern.Block(4, 1), SparsityPattern.Block(8, 1), SparsityPattern.Block(16, 1) }.Select(p => (p.Kind == SparsityKind.Block ? $"{p} blocks" : $"{p}", p)),
        .. new[] { SparsityPattern.NofM(2, 4), SparsityPattern.NofM(1, 4), SparsityPattern.NofM(2, 16), SparsityPattern.NofM(1, 16) }.Select(p => ($"{p}", p)),
    ];

    /// <summary>What --kernels says of itself.</summary>
    internal const string KernelsText = "Only patterns whose name contains one of these words, separated by commas: unstructured, 4x1, 8x1, 16x1; 2:4, 1:4, 2:16, 1:16, which have a density of their own.";

    private readonly Option<string?> _shapes = new("--shapes") { Description = "Only shapes whose name contains one of these words, separated by commas." };
    private readonly Option<string> _densities = new("--densities") { Description = "Stored fractions of the weights, separated by commas.", DefaultValueFactory = _ => "0.45,0.2,0.1,0.05" };
    private readonly Option<string?> _kernels = new("--kernels") { Description = KernelsText };
    private readonly Option<bool> _linear = new("--linear") { Description = "Projections of ViT and Llama alone, as linear layers have them: a row for each token in inputs and outputs." };
    private readonly Option<bool> _alone = new("--alone") { Description = "Without OpenBLAS and ONNX Runtime." };

    protected override (string Name, string Description) Title => ("spmm", "Sparse times dense matrices of real layers: GFLOP/s, speed-up and effectiveness over the fastest dense product.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_shapes, _densities, _kernels, _linear, _alone];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        bool peer = GemmFigure.UseOpenBlas(arguments.GetValue(_alone), context);
        double[] densities = Densities(arguments.GetValue(_densities)!);
        bool withOnnx = !arguments.GetValue(_alone) && InferenceFigure.Installed("onnxruntime", context).Count > 0;
        bool linear = arguments.GetValue(_linear);
        var rows = new JsonArray();
        foreach ((string Name, int Rows, int Columns, int N) shape in s_shapes.Where(s => Chosen(s.Name, arguments.GetValue(_shapes)) && !(linear && (s.N == 1 || s.Name.StartsWith("resnet", StringComparison.Ordinal)))))
        {
            using EvenCores cores = EvenCores.For(context, options, rows);
            foreach (JsonObject row in One(linear ? shape with { Name = shape.Name + ", linear layer" } : shape, linear, densities, ChosenKernels(arguments.GetValue(_kernels)), peer, withOnnx, context, cores)) rows.Add(row);
        }
        context.Say("dense: our product with the weight packed beforehand; e = speed-up x density over the fastest dense variant (best), and over OpenBLAS alone");
        return rows;
    }

    /// <summary>One shape: every variant takes its turn in one run, so that all are measured beside the same dense ones.</summary>
    private static List<JsonObject> One((string Name, int Rows, int Columns, int N) shape, bool linear, double[] densities, (string Name, SparsityPattern Pattern)[] kernels, bool peer, bool withOnnx, VerbContext context, EvenCores cores)
    {
        (int m, int k, int n) = (shape.Rows, shape.Columns, shape.N);
        var random = new Random(context.Settings.Seed);
        float[] w = Values((long)m * k, random);
        ArraySegment<float> x = Aligned(Values((long)k * n, random)), dense = Aligned((long)m * n), other = Aligned((long)m * n);
        // A linear layer has x [n, k] and y [n, m]; elsewhere they are [k, n] and [m, n].
        PackedMatrix packed = linear ? PackedMatrix.Right(true, k, m, w, k) : PackedMatrix.Left(false, m, k, w, k);
        (string Name, Action Run) ours = ("dense", linear ? () => Gemm.Multiply(false, n, x, k, packed, 0, dense, m, default, default, Clamp.None) : n == 1 ? () => Gemm.MultiplyVector(false, m, k, 1, w, k, x, 0, dense) : () => Gemm.Multiply(packed, false, n, x, n, 0, dense, n, default, default, Clamp.None));
        ours.Run();
        var variants = new List<(string Name, Func<double> Run)> { Hot(ours.Name, ours.Run) };
        if (peer)
        {
            cores.BeforeTrial();
            foreach ((string name, Action multiply) in OpenBlasPeer.Contenders(blas =>
            {
                if (linear) blas.Multiply(false, true, n, m, k, x, w, other);
                else blas.Multiply(false, false, m, n, k, w, x, other);
            }))
            {
                // All of OpenBLAS's variants write here: one that writes nothing must not pass by what another left.
                other.AsSpan().Fill(float.NaN);
                multiply();
                Compare(other, dense, k);
                variants.Add(Hot(name, multiply));
            }
        }
        // ONNX Runtime has its best form of the product: 1x1 convolutions stay convolutions, others have the constant weight on the right.
        bool pointwise = shape.Name.Contains("1x1", StringComparison.Ordinal);
        using InferencePeer? onnx = withOnnx ? OnnxProductPeer.Start(w, linear ? OnnxProductPeer.Transposed(x, n, k) : [.. x], m, k, n, pointwise) : null;
        if (onnx is not null)
        {
            onnx.Run();
            float[] result = OnnxProductPeer.Result(onnx, m, n, pointwise);
            Compare(linear ? OnnxProductPeer.Transposed(result, m, n) : result, dense, k);
            Func<double> hot = () =>
            {
                onnx.Run();
                return onnx.Run();
            };
            variants.Add(("onnxruntime", WorkPool.Threads > 1 ? Beside(hot, TimingOptions.PauseBesidePeer(WorkPool.Threads)) : hot));
        }
        var cases = new List<(string Kernel, double Density, long Stored)>();
        foreach ((string kernel, SparsityPattern pattern, double density) in Cases(kernels, densities))
        {
            float[] sparse = Weight(m, k, density, pattern, random), expected = new float[m * n];
            ArraySegment<float> actual = Aligned((long)m * n);
            if (linear) Gemm.Multiply(false, true, n, m, k, 1, x, k, sparse, k, 0, expected, m);
            else Gemm.Multiply(false, false, m, n, k, 1, sparse, k, x, n, 0, expected, n);
            (Action run, long stored) = Kernel(sparse, m, k, n, linear, pattern, x, actual);
            run();
            Compare(expected, actual, k);
            variants.Add(Hot($"{kernel} {density:0.00}", run));
            cases.Add((kernel, (double)stored / ((long)m * k), stored));
        }
        (IReadOnlyList<Timing> t, string? blasVariant) = OpenBlasPeer.Best(InterleavedTimer.MeasureSelfTimed(variants, cores.Options, null, context.Cancellation));

        int baselines = t.Count - cases.Count;
        int best = Enumerable.Range(0, baselines).MinBy(i => t[i].Median);
        double flops = 2.0 * m * n * k;
        context.Say($"{shape.Name}: {m} x {k} x {n}; " + string.Join(", ", t.Take(baselines).Select(v => $"{v.Name} {v.Median:0.0000} ms, {flops / v.Median / 1e6:0.0} GFLOP/s")) + (blasVariant is null ? "" : $" (openblas: {blasVariant})"));
        Table table = NewTable(shape.Name, "density", "ms", "95 % interval", "GFLOP/s", $"speed-up ({t[best].Name})", "e, best", "e, OpenBLAS");
        var rows = new List<JsonObject>();
        for (int i = 0; i < cases.Count; i++)
        {
            Timing v = t[baselines + i];
            (string kernel, double density, long stored) = cases[i];
            Timing speedUp = TwinBenchmark.Ratio(t[best], v);
            double gflops = 2.0 * stored * n / v.Median / 1e6, e = speedUp.Median * density, overPeer = peer ? TwinBenchmark.Ratio(t[1], v).Median * density : double.NaN;
            table.AddRow(kernel, $"{density:0.000}", $"{v.Median:0.0000}", $"{v.Interval.Low:0.0000}..{v.Interval.High:0.0000}", $"{gflops:0.0}", $"{speedUp.Median:0.00}", $"{e:0.00}", peer ? $"{overPeer:0.00}" : "");
            var row = new JsonObject
            {
                ["shape"] = shape.Name,
                ["rows"] = m,
                ["columns"] = k,
                ["n"] = n,
                ["density"] = Round(density),
                ["kernel"] = kernel,
                ["variants"] = new JsonArray([.. t.Take(baselines).Append(v).Select(u => ToJson(u))]),
                ["best"] = t[best].Name,
                ["gflops"] = Round(gflops),
                ["speedUp"] = RatioJson(speedUp),
                ["effectiveness"] = Round(e),
            };
            if (peer) row["effectivenessOverOpenBlas"] = Round(overPeer);
            OpenBlasPeer.Record(row, blasVariant);
            rows.Add(row);
        }
        context.Show(table);
        return rows;
    }

    private static (Action Run, long Stored) Kernel(float[] w, int m, int k, int n, bool linear, SparsityPattern pattern, ArraySegment<float> x, ArraySegment<float> y)
    {
        if (pattern.Kind != SparsityKind.Block)
        {
            CsrMatrix csr = CsrMatrix.FromDense(w, m, k);
            if (n == 1) return (() => SpMV.Multiply(csr, x, y), csr.StoredCount);
            var prepared = new PreparedSpMM(csr);
            return (linear ? () => prepared.Linear(x, n, y) : () => prepared.Multiply(x, n, y), csr.StoredCount);
        }
        BlockCsrMatrix blocks = BlockCsrMatrix.FromDense(w, m, k, pattern.A, 1);
        if (n == 1) return (() => SpMV.Multiply(blocks, x, y), blocks.StoredCount);
        var tiles = new PreparedSpMM(blocks);
        return (linear ? () => tiles.Linear(x, n, y) : () => tiles.Multiply(x, n, y), blocks.StoredCount);
    }

    /// <summary>The numbers of --densities.</summary>
    /// <exception cref="VerbException">One is no number above 0 and at most 1.</exception>
    internal static double[] Densities(string list) =>
        [.. list.Split(',').Select(d => double.TryParse(d, CultureInfo.InvariantCulture, out double v) && v is > 0 and <= 1 ? v : throw VerbException.Usage($"--densities has '{d}'", "use numbers above 0, at most 1"))];

    internal static bool Chosen(string name, string? words) => words is null || words.Split(',').Any(w => name.Contains(w.Trim(), StringComparison.OrdinalIgnoreCase));

    /// <summary>The patterns whose name contains one of some words; all of them without words.</summary>
    internal static (string Name, SparsityPattern Pattern)[] ChosenKernels(string? words) => [.. s_kernels.Where(k => Chosen(k.Name, words))];

    /// <summary>Every pattern at every density; N of M once.</summary>
    internal static IEnumerable<(string Kernel, SparsityPattern Pattern, double Density)> Cases((string Name, SparsityPattern Pattern)[] kernels, double[] densities) =>
        densities.SelectMany(d => kernels.Where(k => k.Pattern.Kind != SparsityKind.NofM).Select(k => (k.Name, k.Pattern, d)))
            .Concat(kernels.Where(k => k.Pattern.Kind == SparsityKind.NofM).Select(k => (k.Name, k.Pattern, (double)k.Pattern.A / k.Pattern.B)));

    /// <summary>A matrix in which single weights or whole vertical blocks are present with the given probability, or N of every M weights.</summary>
    internal static float[] Weight(int rows, int columns, double density, SparsityPattern pattern, Random random)
    {
        var w = new float[(long)rows * columns];
        if (pattern.Kind == SparsityKind.NofM)
        {
            int[] places = [.. Enumerable.Range(0, pattern.B)];
            for (int at = 0; at < w.Length; at += pattern.B)
            {
                random.Shuffle(places);
                foreach (int place in places.Take(pattern.A))
                {
                    if (at + place < w.Length) w[at + place] = 2 * random.NextSingle() - 1;
                }
            }
            return w;
        }
        for (int r = 0; r < rows; r += pattern.A)
        {
            for (int c = 0; c < columns; c++)
            {
                if (random.NextDouble() >= density) continue;
                for (int i = r; i < Math.Min(rows, r + pattern.A); i++) w[i * columns + c] = 2 * random.NextSingle() - 1;
            }
        }
        return w;
    }

    /// <summary>A figure of a wrong kernel is worth nothing.</summary>
    internal static void Compare(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, int terms)
    {
        double tolerance = 1e-5 * Math.Sqrt(terms) + 1e-5;
        for (int i = 0; i < expected.Length; i++)
        {
            if (!(Math.Abs(expected[i] - actual[i]) <= tolerance * Math.Max(1, Math.Abs(expected[i]))))
                throw new InvalidOperationException($"the kernels disagree at {i}: {expected[i]} and {actual[i]}");
        }
    }
}
