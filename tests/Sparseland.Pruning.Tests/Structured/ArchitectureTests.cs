using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Tests.Structured;

/// <summary>The networks that ship here, as small as their options allow: pruned == zeroed, and the right parts are free.</summary>
public class ArchitectureTests
{
    /// <summary>Id, options, the least number of channel groups, the number of head groups.</summary>
    public static TheoryData<string, string, int, int> Networks() => new()
    {
        { "lenet-5", "", 4, 0 },
        { "lenet-300-100", "", 2, 0 },
        { "resnet20", "width=4", 12, 0 },
        { "vgg16-bn", "width=4", 13, 0 },
        { "resnet50", "width=4,classes=7,image=32", 33, 0 },
        { "mobilenet-v1", "multiplier=0.125,classes=7,image=32", 14, 0 },
        { "mobilenet-v2", "multiplier=0.1,classes=7,image=32", 20, 0 },
        { "vit", "dim=64,layers=2,heads=4,mlp=96,patch=16,image=32,classes=5", 2, 2 },
        { "llama", "dim=64,hidden=96,layers=2,heads=4,kvheads=2,vocabulary=32,sequence=16", 2, 2 },
        { "llama", "dim=64,hidden=96,layers=1,heads=4,kvheads=4,vocabulary=32,sequence=16,interleaved=1,tied=0", 1, 1 },
    };

    [Theory]
    [MemberData(nameof(Networks))]
    public void Pruned_is_zeroed(string id, string options, int channels, int heads)
    {
        Architecture architecture = ArchitectureCatalog.Get(id);
        ModelGraph graph = OperatorCouplingTests.Randomised(architecture.Build(architecture.DefaultOptions().Parse(options)), seed: 3);
        DependencyGraph dependencies = DependencyGraph.Build(graph);
        string found = string.Join("\n", dependencies.Groups) + "\n" + string.Join("\n", dependencies.Refused);
        Assert.True(channels <= dependencies.Groups.Count(g => g.Kind == UnitKind.Channel), found);
        Assert.True(heads == dependencies.Groups.Count(g => g.Kind == UnitKind.Head), found);
        Assert.Empty(dependencies.UnknownOperators);
        Dictionary<string, TensorData> feeds = PrunedEqualsZeroed.Feeds(graph, 1);
        PrunedEqualsZeroed.Check(graph, 1, fraction: 0.3, tolerance: 1e-3, feeds: feeds);
        PrunedEqualsZeroed.Check(graph, 2, fraction: 0.5, tolerance: 1e-3, feeds: feeds);
    }

    [Fact]
    public void The_residual_stream_of_a_transformer_is_refused_because_it_is_normalised()
    {
        Architecture llama = ArchitectureCatalog.Llama;
        DependencyGraph dependencies = DependencyGraph.Build(llama.Build(llama.DefaultOptions().Parse("dim=64,hidden=96,layers=1,heads=4,kvheads=2,vocabulary=32,sequence=16")));
        Assert.Contains(dependencies.Refused, f => f.Refusal.Reason == RefusalReason.NormalizedAxis);
    }

    [Fact]
    public void Option_a_shortcuts_of_a_cifar_resnet_can_be_cut_everywhere()
    {
        Architecture resnet = ArchitectureCatalog.Get("resnet20");
        ModelGraph graph = resnet.Build();
        DependencyGraph dependencies = DependencyGraph.Build(graph);
        string[] frozen = [.. dependencies.Refused.Select(f => $"{f.Weight}/{f.Axis} {f.Refusal.Reason.Code()}")];
        Assert.All(dependencies.Refused, f => Assert.True(f.Refusal.Reason is RefusalReason.FeedsGraphInput or RefusalReason.FeedsGraphOutput, string.Join(", ", frozen)));
    }
}
