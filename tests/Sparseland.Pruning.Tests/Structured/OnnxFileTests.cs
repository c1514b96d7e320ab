using Sparseland.Model.Architectures;
using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Tests.Structured;

/// <summary>An ONNX file alone is enough to prune structurally (R12).</summary>
public sealed class OnnxFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("resnet20", "width=8")]
    [InlineData("mobilenet-v2", "multiplier=0.1,classes=7,image=32")]
    [InlineData("vit", "dim=64,layers=2,heads=4,mlp=96,patch=16,image=32,classes=5")]
    [InlineData("llama", "dim=64,hidden=96,layers=1,heads=4,kvheads=2,vocabulary=32,sequence=16")]
    public void A_file_is_enough_and_the_pruned_file_needs_nothing_else(string id, string options)
    {
        Architecture architecture = ArchitectureCatalog.Get(id);
        ModelGraph original = OperatorCouplingTests.Randomised(architecture.Build(architecture.DefaultOptions().Parse(options)), 2);
        string dense = Path.Combine(_folder, "dense.onnx"), pruned = Path.Combine(_folder, "pruned.onnx");
        OnnxWriter.Write(original, dense);
        ModelGraph graph = OnnxReader.Read(dense);
        Assert.Equal(DependencyGraph.Build(original).Groups.Select(g => g.ToString()), DependencyGraph.Build(graph).Groups.Select(g => g.ToString()));
        StructuredResult result = new GroupNormPruner().Prune(graph, new ChannelBudget(BudgetUnit.Parameters, 0.8) { Rounding = WidthRounding.None });
        OnnxWriter.Write(result.Graph, pruned);
        Assert.True(new FileInfo(pruned).Length < (0.85 * new FileInfo(dense).Length) + 4096);
        ModelGraph loaded = OnnxReader.Read(pruned);
        Dictionary<string, TensorData> feeds = PrunedEqualsZeroed.Feeds(graph, 4);
        OrderedDictionary<string, TensorData> expected = GraphEvaluator.Run(result.Graph, feeds), actual = GraphEvaluator.Run(loaded, feeds);
        foreach ((string name, TensorData value) in expected) Assert.Equal(value.ToSingles(), actual[name].ToSingles());
        // And it can be pruned again.
        PrunedEqualsZeroed.Check(loaded, 5, tolerance: 1e-3);
    }

    [SkippableFact]
    public void A_face_detector_loses_half_of_its_multiply_accumulates()
    {
        ModelGraph graph = OnnxReader.Read(TestData.Require("ultraface", "version-RFB-320_without_postprocessing.onnx"));
        StructuredResult result = new GroupNormPruner().Prune(graph, new ChannelBudget(BudgetUnit.Macs, 0.5));
        Assert.InRange((double)result.After.Macs / result.Before.Macs, 0.3, 0.5);
        Assert.True(result.After.WeightBytes < result.Before.WeightBytes);
        PrunedEqualsZeroed.Check(result.Plan.Removal, seed: 1, tolerance: 1e-3);
    }

    [SkippableFact]
    public void A_voice_detector_is_analysed_and_what_is_refused_is_said()
    {
        ModelGraph graph = OnnxReader.Read(TestData.Require("silero-vad", "silero_vad_16k_op15.onnx"));
        DependencyGraph dependencies = DependencyGraph.Build(graph);
        Assert.NotEmpty(dependencies.Groups.Select(g => g.Name).Concat(dependencies.Refused.Select(f => f.Weight)));
        foreach (Weight weight in graph.Weights.Values.Where(w => w.ElementType.IsFloat() && w.Shape.Length > 1 && w.Shape[0] > 1))
        {
            bool spoken = dependencies.GroupOf(weight.Name, 0) is not null || dependencies.Frozen.Any(f => f.Weight == weight.Name && f.Axis == 0);
            bool read = graph.Nodes.Any(n => n.Inputs.Contains(weight.Name));
            Assert.True(spoken || !read, $"nothing is said about {weight.Name}");
        }
    }
}
