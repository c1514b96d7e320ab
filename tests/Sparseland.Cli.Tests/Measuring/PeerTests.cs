using Sparseland.Cli.Measuring;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Tests.Measuring;

public class PeerTests
{
    [SkippableTheory]
    [InlineData("onnxruntime")]
    [InlineData("pytorch")]
    public void APeerComputesTheSameAndIsTimedBesideBothPlans(string id)
    {
        PeerEntry entry = PeerCatalog.Find(id)!;
        Skip.IfNot(entry.IsInstalled(), $"{entry.Title} is not installed: {entry.InstallHint}");
        ModelGraph graph = ArchitectureCatalog.Get("lenet-300-100").Build();
        Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, 2, 1, 0);
        using InferencePeer peer = entry.Start(graph, inputs, 1);
        BenchmarkResult result = TwinBenchmark.Run(graph, inputs, new TimingOptions(5, 0), peers: [(id, peer)]);
        Assert.Equal(["sparse", "dense twin", id], result.Rows.Select(r => r.Name));
        Assert.InRange(result.Rows[2].LargestDeviation!.Value, 0, 1e-4);
        Assert.All(result.Rows, r => Assert.True(r.Timing.Median > 0 && r.Timing.Milliseconds.Length >= 5));
        Assert.Contains($"the speed of {id}", result.Verdict, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("resnet20")]
    [InlineData("mobilenet-v2", "multiplier=0.25,image=64,classes=10")]
    [InlineData("resnet50", "width=16,image=64,classes=10")]
    [InlineData("vit", "dim=32,layers=2,heads=2,mlp=64,image=32,classes=10")]
    public void PyTorchExecutesTheOperatorsOfOurNetworks(string architecture, string options = "")
    {
        Skip.If(PyTorchInferencePeer.Find() is null, $"PyTorch is not installed: {PyTorchInferencePeer.InstallHint}");
        ArchitectureOptions chosen = ArchitectureCatalog.Get(architecture).DefaultOptions();
        chosen.Parse(options);
        ModelGraph graph = ArchitectureCatalog.Get(architecture).Build(chosen);
        Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, 2, 5, 0);
        OrderedDictionary<string, TensorData> expected = new Sparseland.Runtime.InferenceSession(graph).Run(inputs);
        using PyTorchInferencePeer peer = PyTorchInferencePeer.Start(graph, inputs, 1);
        Assert.Equal(expected.Keys, peer.Outputs().Keys);
        double size = expected.Values.SelectMany(t => t.ToSingles()).Max(Math.Abs);
        Assert.InRange(TwinBenchmark.Deviation(expected, peer.Outputs()) / size, 0, 1e-4);
    }

    [SkippableFact]
    public void PyTorchRefusesAnOperatorByName()
    {
        Skip.If(PyTorchInferencePeer.Find() is null, $"PyTorch is not installed: {PyTorchInferencePeer.InstallHint}");
        ModelGraph graph = ArchitectureCatalog.Get("lenet-300-100").Build();
        graph.Nodes[0].OpType = "Mish";
        InvalidOperationException refused = Assert.Throws<InvalidOperationException>(() => PyTorchInferencePeer.Start(graph, ModelInputs.Random(graph, 1, 1, 0), 1));
        Assert.Contains("Mish", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnOutputThatIsMissingIsNoAgreement()
    {
        var a = new OrderedDictionary<string, TensorData> { ["y"] = TensorData.Wrap(new float[] { 1, 2 }, 2), ["n"] = TensorData.Wrap(new long[] { 1 }, 1) };
        var b = new OrderedDictionary<string, TensorData> { ["y"] = TensorData.Wrap(new float[] { 1, 2.5f }, 2) };
        Assert.Equal(0.5, TwinBenchmark.Deviation(a, b));
        Assert.Equal(2, TwinBenchmark.Size(a));
        Assert.Equal(double.PositiveInfinity, TwinBenchmark.Deviation(a, []));
        Assert.Equal(double.PositiveInfinity, TwinBenchmark.Deviation(a, new() { ["y"] = TensorData.Wrap(new float[] { 1 }, 1) }));
    }

    [Fact]
    public void APeerThatCannotStartSaysWhatItSaid()
    {
        InvalidOperationException missing = Assert.Throws<InvalidOperationException>(() => new Broken("no-such-program-here", []));
        Assert.Contains("no-such-program-here", missing.Message, StringComparison.Ordinal);
        InvalidOperationException silent = Assert.Throws<InvalidOperationException>(() => new Broken("git", ["no-such-command-here"]));
        Assert.Contains("Broken could not start", silent.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RatiosAreOfNeighboursAndCancelDrift()
    {
        var slow = new Timing("a", [2, 4, 8, 16, 32]);
        var fast = new Timing("b", [1, 2, 4, 8, 16]);
        Timing ratio = TwinBenchmark.Ratio(slow, fast);
        Assert.Equal(2, ratio.Median);
        Assert.Equal((2, 2), ratio.Interval);
    }

    private sealed class Broken(string program, string[] arguments) : PeerProcess("Broken", program, arguments);
}
