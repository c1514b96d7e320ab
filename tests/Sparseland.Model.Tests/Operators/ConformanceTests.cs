using System.Text;
using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators;
using Xunit.Abstractions;

namespace Sparseland.Model.Tests.Operators;

/// <summary>The conformance cases of the ONNX standard, through the reference evaluator and shape inference.</summary>
public sealed class ConformanceTests(ITestOutputHelper output)
{
    [SkippableTheory]
    [InlineData("node", 745)]
    [InlineData("simple", 7)]
    [InlineData("pytorch-operator", 35)]
    [InlineData("pytorch-converted", 41)]
    public void CasesOfSupportedOperatorsPass(string group, int atLeast)
    {
        string root = TestData.Require("onnx-conformance", group);
        int passed = 0;
        var failures = new StringBuilder();
        var unsupported = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (string directory in Directory.GetDirectories(root).Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileName(directory);
            try
            {
                if (Run(directory) is { } failure) failures.AppendLine($"{name}: {failure}");
                else passed++;
            }
            catch (NotSupportedException e)
            {
                unsupported[e.Message] = unsupported.GetValueOrDefault(e.Message) + 1;
            }
        }
        string summary = $"{group}: {passed} passed, {unsupported.Values.Sum()} unsupported: {string.Join(", ", unsupported.Select(u => $"{u.Key} ({u.Value})"))}";
        output.WriteLine(summary);
        Assert.True(failures.Length == 0, $"{failures}\n{summary}");
        Assert.True(passed >= atLeast, summary);
    }

    [SkippableTheory]
    [InlineData("densenet121")]
    [InlineData("inception_v2")]
    [InlineData("shufflenet")]
    [InlineData("vgg19")]
    public void LightClassifiersGiveTheStandardsOutput(string name)
    {
        string root = TestData.Require("onnx-conformance", "light");
        ModelGraph graph = OnnxReader.Read(Path.Combine(root, $"light_{name}.onnx"));
        GraphOrder.Sort(graph);
        GraphValidator.Validate(graph);
        // The standard feeds these models i / n at position i of n.
        GraphValue input = Assert.Single(graph.Inputs);
        int[] shape = [.. input.Type.Shape!.Select(d => d.IsKnown ? d.Value : 1)];
        var x = new float[TensorData.CountElements(shape)];
        for (int i = 0; i < x.Length; i++) x[i] = (float)((double)i / x.Length);
        TensorData expected = OnnxTensor.Read(Path.Combine(root, $"light_{name}_output_0.pb"));
        TensorData actual = GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { [input.Name] = TensorData.Wrap(x, shape) }).GetAt(0).Value;
        Assert.True(GraphEvaluator.Fits(ShapeInference.Run(graph).TypeOf(graph.Outputs[0].Name)!, actual));
        Assert.Null(Difference(expected, actual));
    }

    [Fact]
    public void AtLeastNinetyOperatorsAreKnown() =>
        Assert.True(OperatorRegistry.All.Count(o => o.Domain.Length == 0) >= 90, $"{OperatorRegistry.All.Count()} operators");

    // Null when the case passes, what is wrong when it fails.
    private static string? Run(string directory)
    {
        ModelGraph graph = Read(Path.Combine(directory, "model.onnx"));
        if (GraphValidator.UnsupportedOperators(graph) is [var first, ..])
            throw new NotSupportedException(first.Domain.Length > 0 ? $"{first.Domain}.{first.OpType}" : first.OpType);
        if (graph.Inputs.Concat(graph.Outputs).Any(v => v.Type.ElementType != ElementType.String && v.Type.ElementType.Size() == 0))
            throw new NotSupportedException("element types of 8 bits and less");
        try
        {
            GraphValidator.Validate(graph);
            ShapeInference inference = ShapeInference.Run(graph);
            foreach (string set in Directory.GetDirectories(directory, "test_data_set_*"))
            {
                var feeds = new Dictionary<string, TensorData>(StringComparer.Ordinal);
                for (int i = 0; i < graph.Inputs.Count; i++)
                    feeds[graph.Inputs[i].Name] = OnnxTensor.Read(Path.Combine(set, $"input_{i}.pb"));
                OrderedDictionary<string, TensorData> results = GraphEvaluator.Run(graph, feeds);
                for (int i = 0; i < graph.Outputs.Count; i++)
                {
                    TensorData expected = OnnxTensor.Read(Path.Combine(set, $"output_{i}.pb")), actual = results[graph.Outputs[i].Name];
                    TensorType? inferred = inference.TypeOf(graph.Outputs[i].Name);
                    if (inferred is null) return $"output {i} has no inferred type";
                    if (!GraphEvaluator.Fits(inferred, actual)) return $"output {i} was inferred as {inferred} but is {actual}";
                    if (Difference(expected, actual) is { } d && !IsRandom(graph)) return $"output {i}: {d}";
                }
            }
        }
        catch (SparselandException e)
        {
            return e.Message + " | " + e.Where;
        }
        return null;
    }

    private static ModelGraph Read(string path)
    {
        try
        {
            return OnnxReader.Read(path);
        }
        catch (ModelFormatException e)
        {
            throw new NotSupportedException($"{e.Code} {e.Because ?? e.Message}", e);
        }
        catch (UnsupportedOperatorException e)
        {
            throw new NotSupportedException(e.OpType, e);
        }
    }

    private static bool IsRandom(ModelGraph graph) => graph.Nodes.Any(n => n.OpType is "Bernoulli" or "RandomUniformLike" or "RandomNormalLike" || (n.OpType == "Dropout" && n.HasInput(2)));

    private static string? Difference(TensorData expected, TensorData actual)
    {
        if (expected.ElementType != actual.ElementType || !expected.Shape.SequenceEqual(actual.Shape)) return $"is {actual}, expected {expected}";
        if (expected.ElementType == ElementType.String) return expected.Span<string>().SequenceEqual(actual.Span<string>()) ? null : "strings differ";
        double[] e = Doubles(expected), a = Doubles(actual);
        for (int i = 0; i < e.Length; i++)
        {
            if (e[i].Equals(a[i]) || Math.Abs(e[i] - a[i]) <= 1e-7 + (1e-3 * Math.Abs(e[i]))) continue;
            return $"[{i}] is {a[i]}, expected {e[i]}; {e.Where((v, k) => !(v.Equals(a[k]) || Math.Abs(v - a[k]) <= 1e-7 + (1e-3 * Math.Abs(v)))).Count()} of {e.Length} differ";
        }
        return null;
    }

    private static double[] Doubles(TensorData x) => x.ElementType switch
    {
        ElementType.Float64 => x.Array<double>(),
        ElementType.UInt64 => Array.ConvertAll(x.Array<ulong>(), v => (double)v),
        ElementType.Int64 => Array.ConvertAll(x.Array<long>(), v => (double)v),
        _ => Array.ConvertAll(x.ToSingles(), v => (double)v),
    };
}
