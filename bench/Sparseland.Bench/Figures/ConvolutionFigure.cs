using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>
/// Convolutions of real networks: the dense kernel forward and in both gradients, the sparse kernel beside it, and OpenBLAS with the matrix product inside a
/// convolution alone (the copying that a convolution by product needs is not counted against it).
/// </summary>
internal sealed class ConvolutionFigure : Figure
{
    private static readonly (string Where, Convolution2D Geometry)[] s_layers =
    [
        ("resnet20 stage 1", new Convolution2D(1, 16, 32, 32, 16, 3, 3).WithPadding(1)),
        ("resnet20 stage 2", new Convolution2D(1, 32, 16, 16, 32, 3, 3).WithPadding(1)),
        ("resnet20 stage 3", new Convolution2D(1, 64, 8, 8, 64, 3, 3).WithPadding(1)),
        ("resnet20-wide stage 1", new Convolution2D(1, 64, 32, 32, 64, 3, 3).WithPadding(1)),
        ("resnet20-wide stage 2", new Convolution2D(1, 128, 16, 16, 128, 3, 3).WithPadding(1)),
        ("resnet20-wide stage 3", new Convolution2D(1, 256, 8, 8, 256, 3, 3).WithPadding(1)),
        ("resnet50 first", new Convolution2D(1, 3, 224, 224, 64, 7, 7).WithPadding(3).WithStride(2)),
        ("resnet50 1x1 reduce, 56x56", new Convolution2D(1, 256, 56, 56, 64, 1, 1)),
        ("resnet50 3x3, 56x56", new Convolution2D(1, 64, 56, 56, 64, 3, 3).WithPadding(1)),
        ("resnet50 1x1 expand, 56x56", new Convolution2D(1, 64, 56, 56, 256, 1, 1)),
        ("resnet50 1x1 reduce, 28x28", new Convolution2D(1, 512, 28, 28, 128, 1, 1)),
        ("resnet50 3x3, 28x28", new Convolution2D(1, 128, 28, 28, 128, 3, 3).WithPadding(1)),
        ("resnet50 3x3 stride 2, 28x28", new Convolution2D(1, 128, 56, 56, 128, 3, 3).WithPadding(1).WithStride(2)),
        ("resnet50 1x1 expand, 28x28", new Convolution2D(1, 128, 28, 28, 512, 1, 1)),
        ("resnet50 1x1 stride 2, 14x14", new Convolution2D(1, 512, 28, 28, 1024, 1, 1).WithStride(2)),
        ("resnet50 1x1 reduce, 14x14", new Convolution2D(1, 1024, 14, 14, 256, 1, 1)),
        ("resnet50 3x3, 14x14", new Convolution2D(1, 256, 14, 14, 256, 3, 3).WithPadding(1)),
        ("resnet50 1x1 expand, 14x14", new Convolution2D(1, 256, 14, 14, 1024, 1, 1)),
        ("resnet50 1x1 reduce, 7x7", new Convolution2D(1, 2048, 7, 7, 512, 1, 1)),
        ("resnet50 3x3, 7x7", new Convolution2D(1, 512, 7, 7, 512, 3, 3).WithPadding(1)),
        ("resnet50 1x1 expand, 7x7", new Convolution2D(1, 512, 7, 7, 2048, 1, 1)),
    ];

    private readonly Option<int> _batch = new("--batch") { Description = "Images per call.", DefaultValueFactory = _ => 1 };
    private readonly Option<string> _sparsity = new("--sparsity") { Description = "Fractions of weights that the sparse kernel lacks, separated by commas.", DefaultValueFactory = _ => "0.9" };
    private readonly Option<string?> _layers = new("--layers") { Description = "Only layers whose name contains one of these words, separated by commas." };
    private readonly Option<string> _kernels = new("--kernels") { Description = SpmmFigure.KernelsText, DefaultValueFactory = _ => "unstructured" };
    private readonly Option<bool> _forward = new("--forward") { Description = "Without the gradients." };
    private readonly Option<bool> _alone = new("--alone") { Description = "Without OpenBLAS." };

    protected override (string Name, string Description) Title => ("conv", "Convolutions: dense forward and gradients in GFLOP/s, the sparse kernel's speed-up and effectiveness.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_batch, _sparsity, _layers, _kernels, _forward, _alone];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int batch = arguments.GetValue(_batch);
        double[] densities = [.. arguments.GetValue(_sparsity)!.Split(',').Select(d => double.TryParse(d, CultureInfo.InvariantCulture, out double v) && v is >= 0 and < 1 ? 1 - v : throw VerbException.Usage($"--sparsity has '{d}'", "use numbers from 0 to below 1"))];
        bool peer = GemmFigure.UseOpenBlas(arguments.GetValue(_alone), context), gradients = !arguments.GetValue(_forward);
        if (batch is < 1 or > 1024) throw VerbException.Usage("--batch is 1 to 1024");
        (string Name, SparsityPattern Pattern)[] kernels = SpmmFigure.ChosenKernels(arguments.GetValue(_kernels));
        var rows = new JsonArray();
        Table table = NewTable("layer", "kernel", "density", "forward", "d input", "d weight", "openblas", "sparse", "forward ms", "sparse ms", "speed-up", "e, dense", "e, OpenBLAS");
        foreach ((string where, Convolution2D layer) in s_layers.Where(l => SpmmFigure.Chosen(l.Where, arguments.GetValue(_layers))))
        {
            Convolution2D g = layer with { Batch = batch };
            var random = new Random(context.Settings.Seed);
            int weights = g.InChannels * g.KernelHeight * g.KernelWidth, pixels = g.OutHeight * g.OutWidth;
            float[] x = Values(g.InputLength, random), gradient = Values(g.OutputLength, random), dense = new float[g.OutputLength], gx = new float[g.InputLength], gw = new float[g.WeightLength], w = Values(g.WeightLength, random);
            PackedConvolution packed = g.Pack(w);
            var variants = new List<(string Name, Action Run)> { ("forward", () => g.Forward(x, packed, default, dense)) };
            if (gradients)
            {
                variants.Add(("input gradient", () => g.BackwardInput(gradient, w, gx)));
                variants.Add(("weight gradient", () => g.BackwardWeight(x, gradient, gw)));
            }
            using EvenCores cores = EvenCores.For(context, options, rows);
            if (peer)
            {
                float[] columns = Values((long)weights * pixels, random), product = new float[(long)g.OutChannels * pixels];
                cores.BeforeTrial();
                variants.AddRange(OpenBlasPeer.Contenders(blas =>
                {
                    for (int image = 0; image < batch; image++) blas.Multiply(false, false, g.OutChannels, pixels, weights, w, columns, product);
                }));
            }
            var cases = new List<(string Kernel, double Density)>();
            foreach ((string kernel, SparsityPattern pattern, double wanted) in SpmmFigure.Cases(kernels, densities))
            {
                (Action run, double density) = Sparse(g, SpmmFigure.Weight(g.OutChannels, weights, wanted, pattern, random), x);
                variants.Add(("sparse forward", run));
                cases.Add((kernel, density));
            }
            (IReadOnlyList<Timing> t, string? blasVariant) = OpenBlasPeer.Best(InterleavedTimer.MeasureSelfTimed([.. variants.Select(v => Hot(v.Name, v.Run))], cores.Options, null, context.Cancellation));
            int baselines = t.Count - cases.Count;
            double flops = 2.0 * g.MultiplyAdds;
            double[] gflops = [.. t.Take(baselines).Select(v => flops / v.Median / 1e6)];
            for (int i = 0; i < cases.Count; i++)
            {
                (string kernel, double density) = cases[i];
                Timing sparse = t[baselines + i];
                double speedUp = TwinBenchmark.Ratio(t[0], sparse).Median, e = speedUp * density, rate = flops * density / sparse.Median / 1e6;
                double? overPeer = peer ? TwinBenchmark.Ratio(t[baselines - 1], sparse).Median * density : null;
                table.AddRow(where, kernel, $"{density:0.000}", $"{gflops[0]:0.0}", gradients ? $"{gflops[1]:0.0}" : "", gradients ? $"{gflops[2]:0.0}" : "", peer ? $"{gflops[^1]:0.0}" : "", $"{rate:0.0}",
                    $"{t[0].Median:0.0000}", $"{sparse.Median:0.0000}", $"{speedUp:0.00}", $"{e:0.00}", $"{overPeer:0.00}");
                var row = new JsonObject
                {
                    ["layer"] = where,
                    ["batch"] = batch,
                    ["kernel"] = kernel,
                    ["density"] = Round(density),
                    ["variants"] = new JsonArray([.. t.Take(baselines).Append(sparse).Select(v => ToJson(v))]),
                    ["gflops"] = Round(rate),
                    ["speedUp"] = Round(speedUp),
                    ["effectiveness"] = Round(e),
                };
                if (overPeer is { } o) row["effectivenessOverOpenBlas"] = Round(o);
                OpenBlasPeer.Record(row, blasVariant);
                rows.Add(row);
            }
        }
        context.Show(table);
        context.Say("GFLOP/s of dense forward (packed weights), both gradients (operations of taps, also where a kernel takes fewer), OpenBLAS's product and the sparse kernel (of its stored weights); speed-up of sparse over dense forward; e = speed-up x density");
        return rows;
    }

    /// <summary>A convolution with a sparse weight, compared with the dense one, and its density.</summary>
    private static (Action Run, double Density) Sparse(Convolution2D g, float[] w, float[] x)
    {
        int weights = g.InChannels * g.KernelHeight * g.KernelWidth;
        float[] expected = new float[g.OutputLength], actual = new float[g.OutputLength];
        CsrMatrix csr = CsrMatrix.FromDense(w, g.OutChannels, weights);
        var prepared = new PreparedSparseConvolution(new SparseConvolutionShape(g.InChannels, g.OutChannels, g.KernelHeight, g.KernelWidth)
        {
            StrideHeight = g.StrideY,
            StrideWidth = g.StrideX,
            PadTop = g.PadTop,
            PadLeft = g.PadLeft,
            PadBottom = g.PadBottom,
            PadRight = g.PadRight,
        }, csr);
        g.Forward(x, g.Pack(w), default, expected);
        prepared.Forward(x, g.Batch, g.Height, g.Width, actual);
        SpmmFigure.Compare(expected, actual, weights);
        return (() => prepared.Forward(x, g.Batch, g.Height, g.Width, actual), csr.Density);
    }
}
