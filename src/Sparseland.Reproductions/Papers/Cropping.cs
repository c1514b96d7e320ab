using Sparseland.Kernels.Sparse;
using Sparseland.Pruning;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Selection;
using Sparseland.Pruning.Structured;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>Before training only the densities of the layers matter: a narrower dense network is as good as masks.</summary>
internal sealed class Cropping : IReproduction
{
    public string Id => "precrop";

    public string Title => "PreCropping";

    public IReadOnlyList<string> Methods => ["precrop"];

    public string Paper => "Cai, Hua, Chen, Suh, De Sa and Zhang: Structured Pruning is All You Need for Pruning CNNs at Initialization, 2022";

    public string Claim => "for pruning before training the density of each layer matters and not the granularity, so a network that is made narrower with the same densities is as accurate as one with masks, and faster";

    public string Figure => "up to 2.7 points above the best weight-level method on MobileNetV2, ImageNet (abstract)";

    public string Setup => "LeNet-300-100 on 8,000 MNIST digits, 1,250 steps; widths from log-density budgets of 50, 15 and 5 % of the parameters, against random masks with exactly the densities of the cropped layers; processor time of each training (the paper: convolutional networks)";

    public IReadOnlyList<string> Baselines => ["random masks of the same layer densities"];

    public string History => "the rule on time came after a first run that had not measured time, since the claim says faster";

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("cropped 50 %", "masks 50 %", -0.5, "no worse than masks of the same densities"),
        Rule.Exceeds("cropped 15 %", "masks 15 %", -0.5, "no worse than masks of the same densities"),
        Rule.Exceeds("cropped 5 %", "masks 5 %", -0.5, "no worse than masks of the same densities"),
        // The claim says "faster" and nothing measured it at first; masks are computed with sparse kernels here, so they are no straw man.
        new("time, cropped / masks 15 %", "training the cropped network takes less processor time than training with masks: a ratio below 1", v => v["cropped 15 % seconds"] / v["masks 15 % seconds"]) { AtMost = 1 },
    ];

    public void Run(ReproductionRun run)
    {
        double[] levels = [0.5, 0.15, 0.05];
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + 2 * levels.Length * (1 + 20.0 / run.Pick(60, 1250, 2500)));
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        TrainableModel dense = lab.Model();
        lab.Train(dense, "dense");
        run.Measure("dense", lab.Accuracy(dense));
        foreach (double level in levels)
        {
            string name = $"{100 * level:0.#} %";
            GraphResult result = new PreCropping(lab.Unguarded(1 - level), BudgetUnit.Parameters).Rewrite(lab.Network(), lab.Context());
            TrainableModel cropped = lab.Model(result.Graph), masked = lab.Model();
            Dictionary<string, int> counts = LayerDiscovery.Find(result.Graph).ToDictionary(l => l.Name, l => l.Length);
            foreach (PrunableLayer layer in PruningTarget.Of(masked).Layers)
            {
                float[] scores = new RandomCriterion().Score(new ScoreInput(layer, new float[layer.Length]) { Seed = 77 + run.Seed });
                masked.SetMask(masked.Parameter(layer.Name), Mask.FromFlags(layer.Shape.ToArray(), ExactSelection.KeepBest(scores, counts[layer.Name])));
            }
            Train(cropped, $"cropped {name}");
            Train(masked, $"masks {name}");
        }

        void Train(TrainableModel model, string arm)
        {
            // Compilation of this arm's kernels is done before it is timed.
            ModelSnapshot start = ModelSnapshot.Of(model);
            lab.Train(model, arm, lab.Plan with { Steps = 20 });
            start.Restore(model);
            double before = ReproductionRun.ProcessorSeconds;
            lab.Train(model, arm);
            run.Measure($"{arm} seconds", ReproductionRun.ProcessorSeconds - before);
            run.Measure(arm, lab.Accuracy(model));
        }
    }
}
