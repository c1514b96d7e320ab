using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Tests;

/// <summary>Windows of odd and hostile sizes through plans: right, or refused with a code.</summary>
public sealed class GeometryTests
{
    [Theory]
    // A padded image of 92682 x 92682 pixels, whose number is 4096 or so in 32 bits.
    [InlineData(2, 1, 92681, 46341, 46340, 1)]
    [InlineData(2, 1, 92681, 46341, 46340, 64)]
    [InlineData(3, 1, int.MaxValue, int.MaxValue, int.MaxValue, 1)]
    [InlineData(3, 1, 1 << 30, 1 << 30, 1 << 30, 1)]
    [InlineData(1, 1, 1, int.MaxValue, int.MinValue, 1)]
    [InlineData(3, int.MaxValue, 1, 1, 1, 1)]
    [InlineData(3, 1, (1L << 32) + 1, 1, 1, 1)]
    [InlineData(3, (1L << 32) + 1, 1, 1, 1, 1)]
    [InlineData(3, 1, 1, (1L << 32) + 1, 1, 1)]
    public void Convolutions_beyond_32_bits_are_refused_by_name(int kernel, long stride, long dilation, long before, long after, int groups)
    {
        foreach (double density in (double[])[1, 0.02])
        {
            ModelGraph graph = Graph(kernel, groups, density);
            Set(graph, stride, dilation, before, after);
            var error = Assert.Throws<GraphException>(() => new InferenceSession(graph, PlannedOptions.AlwaysSparse).Run(Input(graph.Weights["conv.weight"].Shape[0], 1)));
            Assert.StartsWith("SL2", error.Code, StringComparison.Ordinal);
            Assert.Contains("conv", error.Describe(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(1 << 28, 1, 1, 1)]
    [InlineData(2, 1, -2, -1)]
    [InlineData(1, 1, -3, 3)]
    [InlineData(2, 2, 5, -4)]
    [InlineData(3, 1, -1, 0)]
    public void Cropped_images_and_large_strides_give_what_the_dense_plan_gives(long stride, long dilation, long before, long after)
    {
        foreach (int groups in (int[])[1, 2, 16])
        {
            ModelGraph graph = Graph(3, groups, 0.3);
            Set(graph, stride, dilation, before, after);
            TensorData x = Input(16, 79);
            float[] dense = new InferenceSession(graph, new SessionOptions { ForceDense = true }).Run(x).Values.First().Array<float>();
            var session = new InferenceSession(graph, PlannedOptions.AlwaysSparse);
            string plan = session.DescribePlan(new Dictionary<string, TensorData> { ["x"] = x });
            // Which kernel groups get is what a clock says: the sparse one is called by itself.
            Assert.True(stride > 100 || groups > 1 || plan.Contains("sparse convolution", StringComparison.Ordinal), plan);
            Near.Equal(dense, session.Run(x).Values.First().Array<float>(), 1e-5, 1e-5, $"{groups} groups");
            if (stride <= 100) Near.Equal(dense, Sparse(graph.Weights["conv.weight"], groups, x, dense.Length, (int)stride, (int)dilation, (int)before, (int)after), 1e-5, 1e-5, $"{groups} groups, the sparse kernel");
            Near.Equal(GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["x"] = x }).Values.First().Array<float>(), dense, 1e-4, 1e-4, $"{groups} groups, definition");
        }
    }

    private static float[] Sparse(Weight weight, int groups, TensorData x, int outputs, int stride, int dilation, int before, int after)
    {
        ReadOnlySpan<int> of = weight.Shape;
        var shape = new SparseConvolutionShape(x.Shape[1], of[0], of[2], of[3])
        {
            StrideHeight = stride,
            StrideWidth = stride,
            DilationHeight = dilation,
            DilationWidth = dilation,
            PadTop = before,
            PadLeft = before,
            PadBottom = after,
            PadRight = after,
            Groups = groups,
        };
        int columns = weight.Length / of[0];
        var y = new float[outputs];
        new PreparedSparseConvolution(shape, CsrMatrix.FromMask(weight.Mask!.Reshape(of[0], columns), weight.Read().ToSingles(), of[0], columns)).Forward(x.Span<float>(), x.Shape[0], x.Shape[2], x.Shape[3], y);
        return y;
    }

    private static ModelGraph Graph(int kernel, int groups, double density)
    {
        int channels = groups == 64 || kernel != 3 ? 64 : 16;
        var b = new GraphBuilder("g");
        Value x = b.Input("x", ElementType.Float32, 1, channels, Dimension.Unknown, Dimension.Unknown);
        ModelGraph graph = b.Build(b.Conv(x, "conv", channels, kernel, padding: 1, groups: groups));
        Weight weight = graph.Weights["conv.weight"];
        float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
        if (density < 1) weight.SetMask(PatternProjection.KeepBest(SparsityPattern.Unstructured, scores, channels, weight.Length / channels, density).Reshape(weight.Shape));
        return graph;
    }

    private static void Set(ModelGraph graph, long stride, long dilation, long before, long after)
    {
        Node node = graph.Nodes.Single(n => n.OpType == "Conv");
        node.Attributes.Set("strides", stride, stride).Set("dilations", dilation, dilation).Set("pads", before, before, after, after);
    }

    private static TensorData Input(int channels, int size) => RandomNetworks.Input(1, 1, channels, size, size);
}
