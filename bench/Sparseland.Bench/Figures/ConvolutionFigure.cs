using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>Convolutions of real networks: the dense kernel forward and in both gradients, the sparse kernel beside it.</summary>
internal sealed class ConvolutionFigure : Figure
{
    private static readonly (string Where, Convolution2D Geometry)[] s_layers =
    [
        ("resnet20 stage 1", new Convolution2D(1, 16, 32, 32, 16, 3, 3).WithPadding(1)),
        ("resnet20 stage 2", new Convolution2D(1, 32, 16, 16, 32, 3, 3).WithPadding(1)),
        ("resnet20 stage 3", new Convolution2D(1, 64, 8, 8, 64, 3, 3).WithPadding(1)),
        ("resnet20-wide stage 2", new Convolution2D(1, 128, 16, 16, 128, 3, 3).WithPadding(1)),
        ("resnet50 first", new Convolution2D(1, 3, 224, 224, 64, 7, 7).WithPadding(3).WithStride(2)),
        ("resnet50 3x3, 56x56", new Convolution2D(1, 64, 56, 56, 64, 3, 3).WithPadding(1)),
        ("resnet50 1x1, 28x28", new Convolution2D(1, 512, 28, 28, 128, 1, 1)),
        ("resnet50 3x3, 7x7", new Convolution2D(1, 512, 7, 7, 512, 3, 3).WithPadding(1)),
    ];

    private readonly Option<int> _batch = new("--batch") { Description = "Images per call.", DefaultValueFactory = _ => 1 };
    private readonly Option<double> _sparsity = new("--sparsity") { Description = "Fraction of weights that the sparse kernel lacks.", DefaultValueFactory = _ => 0.9 };

    protected override (string Name, string Description) Title => ("conv", "Convolutions: dense forward and gradients in GFLOP/s, the sparse kernel's speed-up and effectiveness.");

    protected override void DeclareOwn(Command command)
    {
        command.Options.Add(_batch);
        command.Options.Add(_sparsity);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int batch = arguments.GetValue(_batch);
        double sparsity = arguments.GetValue(_sparsity);
        if (batch is < 1 or > 1024 || sparsity is not (>= 0 and < 1)) throw VerbException.Usage("--batch is 1 to 1024, --sparsity 0 to below 1");
        var rows = new JsonArray();
        Table table = NewTable("layer", "forward", "d input", "d weight", "sparse", "forward ms", "sparse ms", "speed-up", "e");
        var random = new Random(context.Settings.Seed);
        foreach ((string where, Convolution2D layer) in s_layers)
        {
            Convolution2D g = layer with { Batch = batch };
            int weights = g.InChannels * g.KernelHeight * g.KernelWidth;
            float[] x = Values(g.InputLength, random), gradient = Values(g.OutputLength, random), w = SpmmFigure.Weight(g.OutChannels, weights, 1 - sparsity, 1, random);
            float[] dense = new float[g.OutputLength], sparse = new float[g.OutputLength], gx = new float[g.InputLength], gw = new float[g.WeightLength];
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
            PackedConvolution packed = g.Pack(w);
            g.Forward(x, packed, default, dense);
            prepared.Forward(x, batch, g.Height, g.Width, sparse);
            SpmmFigure.Compare(dense, sparse, weights);
            IReadOnlyList<Timing> t = InterleavedTimer.Measure(
            [
                ("forward", () => g.Forward(x, packed, default, dense)),
                ("input gradient", () => g.BackwardInput(gradient, w, gx)),
                ("weight gradient", () => g.BackwardWeight(x, gradient, gw)),
                ("sparse forward", () => prepared.Forward(x, batch, g.Height, g.Width, sparse)),
            ], options, null, context.Cancellation);
            double flops = 2.0 * g.MultiplyAdds, speedUp = TwinBenchmark.Ratio(t[0], t[3]).Median;
            double[] gflops = [flops / t[0].Median / 1e6, flops / t[1].Median / 1e6, flops / t[2].Median / 1e6, flops * csr.Density / t[3].Median / 1e6];
            table.AddRow(where, $"{gflops[0]:0.0}", $"{gflops[1]:0.0}", $"{gflops[2]:0.0}", $"{gflops[3]:0.0}", $"{t[0].Median:0.0000}", $"{t[3].Median:0.0000}", $"{speedUp:0.00}", $"{speedUp * csr.Density:0.00}");
            rows.Add(new JsonObject
            {
                ["layer"] = where,
                ["batch"] = batch,
                ["density"] = Round(csr.Density),
                ["variants"] = new JsonArray([.. t.Select(v => ToJson(v))]),
                ["gflops"] = new JsonArray([.. gflops.Select(v => (JsonNode)Round(v))]),
                ["speedUp"] = Round(speedUp),
                ["effectiveness"] = Round(speedUp * csr.Density),
            });
        }
        context.Show(table);
        context.Say("GFLOP/s of dense forward, both gradients and the sparse kernel (of its stored weights); speed-up of sparse over dense forward; e = speed-up x density");
        return rows;
    }
}
