using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Graph;

public sealed class ShapeInferenceTests
{
    private static readonly Dimension s_batch = Dimension.Named("batch"), s_length = Dimension.Named("length");

    // The idiom of exported transformers: shape -> gather -> unsqueeze -> concat -> reshape.
    [Fact]
    public void ComputedReshapeTargetsKeepNamedSizes()
    {
        var g = new GraphBuilder("g");
        Value x = g.Input("x", ElementType.Float32, s_batch, s_length, 64);
        Value shape = g.Add("Shape", [x]);
        Value b = g.Unsqueeze(g.Gather(shape, g.Constant(TensorData.Scalar(0L))), 0), l = g.Slice(shape, 0, 1, 2);
        Value target = g.Concat(0, b, l, g.Integers(8), g.Integers(8));
        Value heads = g.Transpose(g.Add("Reshape", [x, target]), 0, 2, 1, 3);
        Assert.Equal(new TensorShape(s_batch, 8, s_length, 8), heads.Shape);
    }

    [Fact]
    public void ArithmeticOnSizesIsFolded()
    {
        var g = new GraphBuilder("g");
        Value x = g.Input("x", ElementType.Float32, s_batch, 12, 10);
        Value half = g.Div(g.Gather(g.Add("Shape", [x]), g.Constant(TensorData.Scalar(1L))), g.Constant(TensorData.Scalar(4L)));
        Value y = g.Add("Reshape", [x, g.Concat(0, g.Integers(0), g.Unsqueeze(half, 0), g.Integers(-1))]);
        Assert.Equal(new TensorShape(s_batch, 3, 40), y.Shape);
    }

    [Fact]
    public void InputTypesCanBeFixed()
    {
        var g = new GraphBuilder("g");
        Value x = g.Input("x", ElementType.Float32, s_batch, 3, 8, 8);
        ModelGraph graph = g.Build(g.Flatten(g.Conv(x, "c", 4, 3, stride: 2, padding: 1)));
        string name = graph.Outputs[0].Name;
        Assert.Equal(new TensorShape(s_batch, 64), ShapeInference.Run(graph).TypeOf(name)!.Shape);
        var fixedTypes = new Dictionary<string, TensorType> { ["x"] = new(ElementType.Float32, new TensorShape(5, 3, 8, 8)) };
        Assert.Equal(new TensorShape(5, 64), ShapeInference.Run(graph, fixedTypes).TypeOf(name)!.Shape);
    }

    // Random small graphs: what is inferred with named sizes must fit what is computed with numbers.
    [Fact]
    public void InferredShapesFitComputedOnes()
    {
        var random = new Random(7);
        for (int trial = 0; trial < 100; trial++)
        {
            var g = new GraphBuilder("g", trial);
            var values = new List<Value> { g.Input("x", ElementType.Float32, s_batch, 6, 8) };
            for (int i = 0; i < 8; i++)
            {
                Value v = values[random.Next(values.Count)];
                int rank = v.Shape!.Rank;
                values.Add(random.Next(9) switch
                {
                    0 => g.Relu(v),
                    1 => g.Add(v, v),
                    2 => g.Transpose(v, [.. Enumerable.Range(0, rank).Select(a => (long)a).OrderBy(_ => random.Next())]),
                    3 => g.Unsqueeze(v, random.Next(rank + 1)),
                    4 => g.Concat(random.Next(rank), v, v),
                    5 => g.Flatten(v, random.Next(rank + 1)),
                    6 => g.ReduceMean(v, [random.Next(rank)], random.Next(2) == 0 || rank == 1),
                    7 => g.Slice(v, random.Next(rank), 0, random.Next(1, 4)),
                    _ => g.Softmax(v, random.Next(rank)),
                });
            }
            ModelGraph graph = g.Build([.. values.Skip(1)]);
            ShapeInference inference = ShapeInference.Run(graph);
            var feed = new Dictionary<string, TensorData> { ["x"] = Initializer.Normal(1).Create(random, 3, 6, 8) };
            foreach ((string name, TensorData actual) in GraphEvaluator.Run(graph, feed))
                Assert.True(GraphEvaluator.Fits(inference.TypeOf(name)!, actual), $"trial {trial}: {name} inferred {inference.TypeOf(name)}, computed {actual}");
        }
    }
}
