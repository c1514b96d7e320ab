using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Graph;

public sealed class GraphValidatorTests
{
    private static ModelGraph Graph(params Node[] nodes)
    {
        var graph = new ModelGraph("g");
        graph.Inputs.Add(new GraphValue("x", new TensorType(ElementType.Float32, new TensorShape(2))));
        graph.Nodes.AddRange(nodes);
        graph.Outputs.Add(new GraphValue("y", new TensorType(ElementType.Float32, null)));
        return graph;
    }

    private static string Code(ModelGraph graph) => Assert.ThrowsAny<SparselandException>(() => GraphValidator.Validate(graph)).Code;

    [Fact]
    public void AValidGraphPasses() => GraphValidator.Validate(Graph(new Node("a", "Relu", ["x"], ["y"])));

    [Fact]
    public void UnknownValue() => Assert.Equal("SL2006", Code(Graph(new Node("a", "Relu", ["z"], ["y"]))));

    [Fact]
    public void MissingOutput() => Assert.Equal("SL2006", Code(Graph(new Node("a", "Relu", ["x"], ["z"]))));

    [Fact]
    public void ValueDefinedTwice() => Assert.Equal("SL2002", Code(Graph(new Node("a", "Relu", ["x"], ["y"]), new Node("b", "Relu", ["x"], ["y"]))));

    [Fact]
    public void NodeNameTwice() => Assert.Equal("SL2002", Code(Graph(new Node("a", "Relu", ["x"], ["z"]), new Node("a", "Relu", ["z"], ["y"]))));

    [Fact]
    public void WrongArity()
    {
        Assert.Equal("SL2003", Code(Graph(new Node("a", "Add", ["x"], ["y"]))));
        Assert.Equal("SL2003", Code(Graph(new Node("a", "Relu", ["x", "x"], ["y"]))));
        Assert.Equal("SL2003", Code(Graph(new Node("a", "Relu", ["x"], ["y", "z"]))));
    }

    [Fact]
    public void UnknownOperatorIsTypedAndCanBeAllowed()
    {
        ModelGraph graph = Graph(new Node("a", "Frobnicate", ["x"], ["y"], "my.domain"));
        var e = Assert.Throws<UnsupportedOperatorException>(() => GraphValidator.Validate(graph));
        Assert.Equal(("a", "my.domain", "Frobnicate"), (e.NodeName, e.Domain, e.OpType));
        GraphValidator.Validate(graph, allowUnknownOperators: true);
        Assert.Single(GraphValidator.UnsupportedOperators(graph));
        Assert.Null(ShapeInference.Run(graph).TypeOf("y"));
    }

    [Fact]
    public void WrongOrderIsToldFromACycle()
    {
        ModelGraph graph = Graph(new Node("b", "Relu", ["h"], ["y"]), new Node("a", "Relu", ["x"], ["h"]));
        Assert.Contains("before node 'a'", Assert.Throws<GraphException>(() => GraphValidator.Validate(graph)).Message, StringComparison.Ordinal);
        GraphOrder.Sort(graph);
        GraphValidator.Validate(graph);
        Assert.Equal(["a", "b"], graph.Nodes.Select(n => n.Name));

        ModelGraph cycle = Graph(new Node("a", "Add", ["x", "y"], ["h"]), new Node("b", "Relu", ["h"], ["y"]));
        GraphException e = Assert.Throws<GraphException>(() => GraphValidator.Validate(cycle));
        Assert.Equal("SL2007", e.Code);
        Assert.Contains("cycle", e.Message, StringComparison.Ordinal);
        Assert.Throws<GraphException>(() => GraphOrder.Sort(cycle));
    }

    [Fact]
    public void SortingRandomGraphsRestoresAValidOrder()
    {
        var random = new Random(11);
        for (int trial = 0; trial < 50; trial++)
        {
            int count = random.Next(2, 40);
            var nodes = new List<Node>();
            for (int i = 0; i < count; i++)
            {
                string a = random.Next(i + 1) is var p && p == 0 ? "x" : $"v{p - 1}", b = random.Next(i + 1) is var q && q == 0 ? "x" : $"v{q - 1}";
                nodes.Add(new Node($"n{i}", "Add", [a, b], [i == count - 1 ? "y" : $"v{i}"]));
            }
            ModelGraph graph = Graph([.. nodes.OrderBy(_ => random.Next())]);
            GraphOrder.Sort(graph);
            GraphValidator.Validate(graph);
            Assert.Equal(count, graph.Nodes.Count);
        }
    }

    [Fact]
    public void FeedsAreChecked()
    {
        ModelGraph graph = Graph(new Node("a", "Relu", ["x"], ["y"]));
        Assert.Equal("SL2008", Assert.Throws<GraphException>(() => GraphEvaluator.Run(graph, new Dictionary<string, TensorData>())).Code);
        Assert.Equal("SL2008", Assert.Throws<GraphException>(() => GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["x"] = TensorData.Vector(1f) })).Code);
        Assert.Equal("SL2008", Assert.Throws<GraphException>(() => GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["x"] = TensorData.Vector(1.0, 2.0) })).Code);
    }
}
