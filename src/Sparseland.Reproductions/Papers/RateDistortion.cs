using Sparseland.Pruning;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Probing;
using Sparseland.Pruning.Programs;
using Sparseland.Reproductions.Running;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Reproductions.Papers;

/// <summary>Distortions of single layers add up, and budgets found from them are at least as good as those from shapes.</summary>
internal sealed class RateDistortion : IReproduction
{
    public string Id => "rate-distortion";

    public string Title => "Rate-distortion layer-adaptive pruning";

    public IReadOnlyList<string> Methods => ["rd"];

    public string Paper => "Xu, Wang, Geng, Wu, Li and Lin: Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural Networks, ICCV 2023";

    public string Claim => "the changes of the output that pruning single layers causes add up, so layer sparsities found together by dynamic programming are better than uniform ones and those from shapes";

    public string Figure => "VGG-16 on CIFAR-10 at 98.85 % sparsity: 92.14 % (dense 91.71 %); up to one point over other allocations on CIFAR-10 (repository's table)";

    public string Setup => "LeNet-300-100 trained on 8,000 MNIST digits for 1,250 steps, pruned in one cut with curves of the mean squared change of 1,000 outputs, retrained for 250 steps at the rate 0.02 falling linearly (the paper: convolutional networks, 20 rounds)";

    public IReadOnlyList<string> Baselines => ["uniform", "ERK", "LAMP"];

    public IReadOnlyList<Rule> Rules =>
    [
        new("predicted / measured 90 %", "the sum over layers predicts the distortion of all of them together within a quarter", v => v["predicted 90 %"] / v["measured 90 %"]) { AtLeast = 0.75, AtMost = 1.25 },
        new("predicted / measured 95 %", "the sum over layers predicts the distortion of all of them together within a quarter", v => v["predicted 95 %"] / v["measured 95 %"]) { AtLeast = 0.75, AtMost = 1.25 },
        Rule.Exceeds("rd 95 %", "uniform 95 %", 1, "budgets from distortions are worth more than a point"),
        Rule.Exceeds("rd 95 %", "erk 95 %", -0.3, "they are no worse than those from shapes"),
        Rule.Exceeds("rd 95 %", "lamp 95 %", -0.7, "three layers: at best a tie with LAMP is expected"),
    ];

    public void Run(ReproductionRun run)
    {
        (string Method, string Allocation)[] arms = [("rd", ""), ("uniform", "uniform"), ("erk", "erk"), ("lamp", "lamp")];
        double[] levels = [0.9, 0.95];
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + 0.2 * levels.Length * arms.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        TrainableModel model = lab.Model();
        lab.Train(model, "dense");
        run.Measure("dense", lab.Accuracy(model));
        ModelSnapshot dense = ModelSnapshot.Of(model);
        int samples = run.Pick(200, 1000, 1000);
        foreach (double sparsity in levels)
        {
            string level = $"{100 * sparsity:0.#} %";
            foreach ((string method, string allocation) in arms)
            {
                dense.Restore(model);
                if (method == "rd") Additivity(run, lab, model, sparsity, samples, level);
                else lab.Prune(model, "magnitude", lab.Unguarded(sparsity), ("allocation", allocation));
                run.Measure($"{method} {level} before retraining", lab.Accuracy(model));
                lab.Train(model, $"{method} {level}", lab.Plan with { Steps = lab.Plan.Steps / 5, LearningRate = 0.02, Seed = 1 });
                run.Measure($"{method} {level}", lab.Accuracy(model));
            }
        }
    }

    /// <summary>Prunes with the measured budgets and compares the sum of the curves with what really happened.</summary>
    private static void Additivity(ReproductionRun run, Lab lab, TrainableModel model, double sparsity, int samples, string level)
    {
        PruningTarget target = PruningTarget.Of(model);
        PruningContext context = lab.Context();
        IReadOnlyList<DistortionCurve> curves;
        IReadOnlyList<Batch> batches;
        float[] clean;
        using (var probe = new NetworkProbe(model, context))
        {
            curves = new RateDistortionAllocation(samples, DistortionNorm.Mean).Measure(new AllocationRequest(target.Layers, 1 - sparsity) { Weights = [.. target.Layers.Select(target.Values)], Probe = probe });
            batches = probe.Batches((samples + probe.Data.Options.BatchSize - 1) / probe.Data.Options.BatchSize);
            clean = probe.Outputs(batches);
        }
        lab.Prune(model, "rd", lab.Unguarded(sparsity), ("distortion", "mean"), ("samples", samples.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        run.Measure($"predicted {level}", curves.Sum(c => At(c, target.KeptCount(c.Layer))));
        using var after = new NetworkProbe(model, context);
        run.Measure($"measured {level}", DistortionCurve.Distance(clean, after.Outputs(batches), batches.Sum(b => b.Count), DistortionNorm.Mean));
    }

    /// <summary>A curve between its grid points: the grid leaves a few weights of the budget over.</summary>
    internal static double At(DistortionCurve curve, int kept)
    {
        for (int j = 1; j < curve.Kept.Count; j++)
        {
            if (kept < curve.Kept[j]) continue;
            double t = (double)(curve.Kept[j - 1] - kept) / (curve.Kept[j - 1] - curve.Kept[j]);
            return curve.Distortion[j - 1] + t * (curve.Distortion[j] - curve.Distortion[j - 1]);
        }
        return curve.Distortion[^1];
    }
}
