using System.Text.Json;
using System.Text.Json.Nodes;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.MaskLearning;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Tests.Criteria;
using Sparseland.Training;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Methods;

/// <summary>Masks against those that numpy and PyTorch computed from the papers' formulas (Golden/make_methods.py).</summary>
public class GoldenMethodTests
{
    private static readonly JsonNode s_golden = JsonNode.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Golden", "methods.json")))!;

    private static readonly PruningSettings s_plain = new() { Sparsity = 0.99, Bounds = LayerBounds.None };

    private static void AssertMasks(JsonNode golden, PruningTarget target)
    {
        int[][] expected = golden.Deserialize<int[][]>()!;
        Assert.Equal(expected.Length, target.Layers.Count);
        for (int l = 0; l < expected.Length; l++) Assert.Equal(expected[l].Select(v => v != 0), target.Mask(target.Layers[l])!.ToFlags());
    }

    [Theory]
    [InlineData("global", 0.5, 1)]
    [InlineData("global", 1, 2)]
    [InlineData("layer", 0.5, 1)]
    [InlineData("layer", 1, 2)]
    [InlineData("neuron", 0.5, 1)]
    [InlineData("neuron", 1, 2)]
    public void Sparsity_informed_pruning_removes_what_the_index_says_in_three_rounds(string scope, double p, double q)
    {
        JsonNode golden = s_golden["sap"]!.AsArray().Single(s => (string)s!["scope"]! == scope && (double)s["p"]! == p && (double)s["q"]! == q)!["masks"]!;
        PruningTarget target = PruningTarget.Of(GoldenCriteriaTests.Network());
        var method = new SparsityInformedPruning(s_plain, 3, p, q, scope: Enum.Parse<IndexScope>(scope, ignoreCase: true));
        for (int round = 0; round < 3; round++) method.Prune(target, target.Layers);
        AssertMasks(golden, target);
    }

    [Fact]
    public void Sparsity_informed_pruning_with_a_limit_per_round()
    {
        PruningTarget target = PruningTarget.Of(GoldenCriteriaTests.Network());
        var method = new SparsityInformedPruning(s_plain, 2, 1, 2, 0, 3, 0.25);
        for (int round = 0; round < 2; round++) method.Prune(target, target.Layers);
        AssertMasks(s_golden["sapLimited"]!, target);
    }

    [Fact]
    public void Lamp_masks()
    {
        PruningTarget target = PruningTarget.Of(GoldenCriteriaTests.Network());
        ((OneShotSparsifier)MethodCatalog.Get("magnitude").Build(s_plain with { Sparsity = 0.7 }, new Dictionary<string, string> { ["allocation"] = "lamp" })).Apply(target);
        AssertMasks(s_golden["lamp"]!, target);
    }

    [Fact]
    public void Jackpots_scores_and_masks_after_eight_steps()
    {
        var method = new LotteryJackpots(s_plain with { Sparsity = 0.6 }, new ScoreTraining(new Constant(0.5), 0.9, 5e-4), new GlobalAllocation(), restrict: true, 8);
        TrainableModel model = Train(method, 8, 0);
        AssertMasks(s_golden["jackpotsMask"]!, PruningTarget.Of(model));
        AssertScores("jackpotsScores", method, 2e-5);
    }

    [Fact]
    public void Bip_scores_and_masks_after_six_steps()
    {
        var method = new BilevelPruning(s_plain with { Sparsity = 0.6 }, new ScoreTraining(new Constant(0.5), 0.9), 0.1);
        TrainableModel model = Train(method, 6, 0.05);
        AssertMasks(s_golden["bipMask"]!, PruningTarget.Of(model));
        AssertScores("bipScores", method, 2e-4);
    }

    private static TrainableModel Train(TrainingSparsifier method, long steps, double rate)
    {
        TrainableModel model = GoldenCriteriaTests.Network();
        // One batch holds all samples, so both levels see the same ones.
        using var trainer = new Trainer(model, new Sgd(model.Parameters, rate, 0.9), new Constant(rate), GoldenCriteriaTests.Context().Data!, TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = steps, Callbacks = [method] });
        trainer.Run();
        return model;
    }

    private static void AssertScores(string golden, TrainingSparsifier method, double tolerance)
    {
        float[][] expected = s_golden[golden].Deserialize<float[][]>()!;
        IReadOnlyDictionary<string, Model.Graph.TensorData> state = method.Export();
        for (int l = 0; l < expected.Length; l++) Near.Equal(expected[l], state["score/" + method.Result().Layers[l].Layer.Name].Array<float>(), tolerance, 1e-4, $"layer {l}");
    }
}
