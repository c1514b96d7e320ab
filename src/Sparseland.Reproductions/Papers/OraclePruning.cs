using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>The loss right after pruning predicts the result after retraining on a toy network and no more on a wider one.</summary>
internal sealed class OraclePruning : IReproduction
{
    public string Id => "oracle";

    public string Title => "Is oracle pruning the true oracle?";

    public IReadOnlyList<string> Methods => [];

    public string Paper => "Is Oracle Pruning the True Oracle?, 2024";

    public string Claim => "which units to remove is judged by the loss right after removal, yet on anything but toy networks this loss says nothing about the result after retraining";

    public string Figure => "37,000 models; from ResNet-56 on CIFAR-10 upward Kendall's correlation is negligible (abstract); |tau| of 0.2 is the mark of the released plots";

    public string Setup => "MNIST, 4,000 digits. Toy: 784-10-10-10, 5 of 10 units of the first layer, all 252 masks, 2 retrainings of 125 steps. Wide: 784-100-100-10, 70 % of both hidden layers, 80 random masks, 3 retrainings of 400 steps. Dense training 600 steps; retraining at a rate of 0.01 falling linearly, batch 64. Units are really removed";

    public IReadOnlyList<string> Baselines => ["the mask by L1 norm, retrained alike", "the toy network"];

    public string History => "at first with 100 and 40 masks and fewer steps (three seeds, inconclusive as well); the rules are those of the start";

    public IReadOnlyList<Rule> Rules =>
    [
        new("tau, toy", "Kendall's tau between loss after pruning and test loss after retraining is at least 0.3 on the toy: the premise holds there", v => v["tau, toy"]) { AtLeast = 0.3 },
        new("tau, wide", "tau is between -0.2 and 0.2 on the wide network: the premise does not hold there", v => v["tau, wide"]) { AtLeast = -0.2, AtMost = 0.2 },
    ];

    public void Run(ReproductionRun run)
    {
        var lab = new Lab(run, "mnist", run.Pick(600, 4000, 20_000), run.Pick(300, 2000, 10_000), 40);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 600, 2000) };
        ModelGraph toy = Dense(lab, "toy", 10), wide = Dense(lab, "wide", 100);
        Check(run, lab, "toy", toy, ["fc1.weight"], 0.5, run.Pick(5, 252, 252), 2, run.Pick(10, 125, 500), 0.05, 0.4);
        Check(run, lab, "wide", wide, ["fc1.weight", "fc2.weight"], 0.7, run.Pick(4, 80, 80), run.Pick(2, 3, 3), run.Pick(10, 400, 500), 0.4, 1);
    }

    private static ModelGraph Dense(Lab lab, string name, int width)
    {
        TrainableModel model = lab.Model(options: $"hidden1={width},hidden2={width}");
        lab.Train(model, $"{name}, dense");
        model.SyncToGraph();
        return model.Graph;
    }

    private static void Check(ReproductionRun run, Lab lab, string name, ModelGraph dense, string[] groups, double rate, int masks, int repeats, int steps, double from, double to)
    {
        var check = new OracleCheck
        {
            Network = dense,
            Data = lab.Data,
            Normalization = lab.Normalization,
            Groups = groups,
            Rate = rate,
            MaxMasks = masks,
            Repeats = repeats,
            Retraining = lab.Plan with { Steps = steps, LearningRate = 0.01 },
            Seed = 100_000L * run.Seed,
            Progress = new Forward(p => run.Report(from + (to - from) * p.Done / p.Total, p.What)),
        };
        OracleResult result = check.Run(run.Cancellation);
        run.Measure($"tau, {name}", result.TauLoss.Value);
        run.Measure($"tau with accuracy, {name}", result.TauAccuracy.Value);
        run.Measure($"anomaly, {name}", 100 * result.AnomalyLoss);
        run.Measure($"seed deviation, {name}", result.SeedDeviation);
        run.Measure($"mask deviation, {name}", result.MaskDeviation);
        run.Measure($"L1 minus oracle, {name}", result.ByL1.TestLoss - result.Outcomes[result.Oracle].TestLoss);
    }

    private sealed class Forward(Action<AnalysisProgress> action) : IProgress<AnalysisProgress>
    {
        public void Report(AnalysisProgress value) => action(value);
    }
}
