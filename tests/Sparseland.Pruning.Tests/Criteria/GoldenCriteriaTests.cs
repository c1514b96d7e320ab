using System.Text.Json;
using System.Text.Json.Nodes;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Probing;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Tests.Criteria;

/// <summary>Scores and masks against values that PyTorch computed from the papers' formulas (Golden/make_golden.py).</summary>
public class GoldenCriteriaTests
{
    private static readonly JsonNode s_golden = JsonNode.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Golden", "criteria.json")))!;

    private static float[][] Lists(string name) => s_golden[name].Deserialize<float[][]>()!;

    internal static TrainableModel Network()
    {
        int[] widths = s_golden["widths"].Deserialize<int[]>()!;
        var g = new GraphBuilder("golden", 1);
        Value h = g.Input("x", ElementType.Float32, Dimension.Named("batch"), widths[0]);
        for (int i = 1; i < widths.Length; i++)
        {
            h = g.Linear(h, $"fc{i}", widths[i]);
            if (i + 1 < widths.Length) h = g.Relu(h);
        }
        ModelGraph graph = g.Output("y", h).Build();
        for (int i = 1; i < widths.Length; i++)
        {
            graph.Weights[$"fc{i}.weight"].Set(TensorData.Wrap(Lists("weights")[i - 1], widths[i], widths[i - 1]));
            graph.Weights[$"fc{i}.bias"].Set(TensorData.Wrap(Lists("biases")[i - 1], widths[i]));
        }
        return new TrainableModel(graph);
    }

    internal static PruningContext Context() => new() { Data = new BatchLoader(new Samples(), new BatchOptions { BatchSize = 20, Shuffle = false }) };

    private sealed class Samples : IDataset
    {
        private readonly float[] _inputs = s_golden["inputs"].Deserialize<float[]>()!;
        private readonly int[] _labels = s_golden["labels"].Deserialize<int[]>()!, _shape = [12];

        public int Count => 20;

        public SampleKind Kind => SampleKind.Features;

        public ReadOnlySpan<int> SampleShape => _shape;

        public int ClassCount => 5;

        public int TargetsPerSample => 1;

        public IReadOnlyList<string>? ClassNames => null;

        public void Fill(int index, Span<float> sample, Span<int> targets)
        {
            _inputs.AsSpan(index * 12, 12).CopyTo(sample);
            targets[0] = _labels[index];
        }
    }

    private static float[][] Score(INetworkCriterion criterion)
    {
        TrainableModel model = Network();
        PruningTarget target = PruningTarget.Of(model);
        using var probe = new NetworkProbe(model, Context());
        return criterion.Score(new NetworkScoreInput(target.Layers, [.. target.Layers.Select(target.Values)]) { Alive = new bool[]?[target.Layers.Count], Probe = probe });
    }

    [Fact]
    public void Snip_scores()
    {
        float[][] scores = Score(new LayerwiseScoring(new SnipCriterion())), golden = Lists("snip");
        for (int l = 0; l < golden.Length; l++) Near.Equal(golden[l], scores[l], 1e-7, 1e-4, $"layer {l}");
    }

    [Fact]
    public void SynFlow_scores()
    {
        float[][] scores = Score(new SynFlowCriterion()), golden = Lists("synflow");
        for (int l = 0; l < golden.Length; l++) Near.Equal(golden[l], scores[l], 0, 1e-5, $"layer {l}");
    }

    [Fact]
    public void Grasp_scores_by_differences_agree_with_double_backpropagation()
    {
        float[][] scores = Score(new GraspCriterion(4)), golden = Lists("grasp");
        float largest = golden.Max(l => l.Max(MathF.Abs));
        for (int l = 0; l < golden.Length; l++) Near.Equal(golden[l], scores[l], 0.005 * largest, 0, $"layer {l}");
    }

    [Fact]
    public void Grasp_over_a_step_in_which_relus_switch_is_another_score_and_leaves_no_trace()
    {
        TrainableModel model = Network();
        PruningTarget target = PruningTarget.Of(model);
        float[][] before = [.. target.Layers.Select(target.Values)], scores;
        using (var probe = new NetworkProbe(model, Context()))
        {
            scores = new GraspCriterion(4, freeRelus: true).Score(new NetworkScoreInput(target.Layers, before) { Alive = new bool[]?[target.Layers.Count], Probe = probe });
            for (int l = 0; l < before.Length; l++) Near.BitEqual(before[l], target.Values(target.Layers[l]), "while the probe is open");
        }
        float[][] fixedPattern = Score(new GraspCriterion(4));
        Assert.All(scores, s => Assert.All(s, v => Assert.True(float.IsFinite(v))));
        // Behind the last ReLU the loss is as smooth as before; in front of it a unit that switches shows.
        Assert.NotEqual(fixedPattern[0], scores[0]);
        Assert.Equal(scores.Select(s => s.Length), fixedPattern.Select(s => s.Length));
    }

    [Theory]
    [InlineData("synflow", "synflowMask", "rounds=10")]
    [InlineData("force", "forceMask", "rounds=5", "revival=true")]
    [InlineData("force", "iterSnipMask", "rounds=5", "revival=false")]
    public void Masks_after_rounds(string method, string golden, params string[] arguments)
    {
        PruningTarget target = PruningTarget.Of(Network());
        var sparsifier = (OneShotSparsifier)MethodCatalog.Get(method).Build(new PruningSettings { Sparsity = 0.9, Bounds = LayerBounds.None }, arguments.ToDictionary(a => a.Split('=')[0], a => a.Split('=')[1]));
        sparsifier.Apply(target, Context());
        int[][] expected = s_golden[golden].Deserialize<int[][]>()!;
        for (int l = 0; l < expected.Length; l++) Assert.Equal(expected[l].Select(v => v != 0), target.Mask(target.Layers[l])!.ToFlags());
    }
}
