using Sparseland.Pruning;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Programs;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>Which weights of a trained network are kept is worth as much as training them again.</summary>
internal sealed class Jackpots : IReproduction
{
    public string Id => "jackpots";

    public string Title => "Lottery jackpots";

    public IReadOnlyList<string> Methods => ["jackpots"];

    public string Paper => "Zhang, Lin, Zhong, Chao and Ji: Lottery Jackpots Exist in Pre-trained Models, IEEE TPAMI 2023";

    public string Claim => "a trained network contains sparse subnetworks that are nearly as accurate as it is without any weight being changed; searching for them starts best at the magnitude mask";

    public string Figure => "ResNet-32 on CIFAR-10 at 90 %: 93.70 % after 30 epochs of search; ResNet-50 on ImageNet at 80 %: 75.19 % (repository's table)";

    public string Setup => "LeNet-300-100 trained on 8,000 MNIST digits for 1,250 steps; search of 625 steps, classifier dense, score rate 1 with momentum 0.9 along a cosine, no decay (a network without norms has small score gradients; the paper: rate 0.1, decay 5e-4, convolutional networks)";

    public IReadOnlyList<string> Baselines => ["magnitude without retraining", "magnitude and 625 steps of fine-tuning", "the same search from a random mask"];

    public string History => "the random start and its rule came after a first run, which reproduced the other rules with three seeds and had not measured it";

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("search 95 %", "magnitude 95 %", 4, "far better than magnitude without retraining"),
        Rule.Exceeds("search 98 %", "magnitude 98 %", 15, "far better than magnitude without retraining"),
        Rule.Exceeds("search 95 %", "fine-tuned 95 %", -0.3, "it rivals fine-tuning of the same length"),
        Rule.Exceeds("search 95 %", "dense", -1, "nearly as accurate as the dense network"),
        Rule.Exceeds("search 98 %", "random start 98 %", 0, "the search starts best at the magnitude mask (a plain reference implementation: 96.3 against 95.2)"),
    ];

    public void Run(ReproductionRun run)
    {
        double[] levels = run.Pick<double[]>([0.95, 0.98], [0.9, 0.95, 0.98], [0.9, 0.95, 0.98]);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + 1.5 * levels.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        TrainableModel model = lab.Model();
        lab.Train(model, "dense");
        run.Measure("dense", lab.Accuracy(model));
        ModelSnapshot dense = ModelSnapshot.Of(model);
        long half = (lab.Plan.Steps ?? 0) / 2;
        foreach (double sparsity in levels)
        {
            string level = $"{100 * sparsity:0.#} %";
            PruningSettings settings = lab.Unguarded(sparsity) with { Policy = new LayerPolicy { Last = false } };
            dense.Restore(model);
            lab.Prune(model, "magnitude", settings);
            run.Measure($"magnitude {level}", lab.Accuracy(model));
            lab.Train(model, $"fine-tuned {level}", lab.Plan with { Steps = half, LearningRate = 0.02, Seed = 1 });
            run.Measure($"fine-tuned {level}", lab.Accuracy(model));
            foreach ((string arm, string start) in ((string, string)[])[("search", "magnitude"), ("random start", "random")])
            {
                dense.Restore(model);
                TrainingSparsifier search = lab.During("jackpots", settings, lab.Plan with { Steps = half }, ("rate", "1"), ("decay", "0"), ("start", start));
                lab.Train(model, $"{arm} {level}", lab.Plan with { Steps = half, Seed = 1 }, search);
                run.Measure($"{arm} {level}", lab.Accuracy(model));
                run.Measure($"{(arm == "search" ? "" : "random start, ")}overlap with magnitude {level}", Overlap(model, dense, settings, lab));
            }
        }
    }

    /// <summary>Share of the found mask that the magnitude mask has too.</summary>
    private static double Overlap(TrainableModel found, ModelSnapshot dense, PruningSettings settings, Lab lab)
    {
        TrainableModel other = lab.Model();
        dense.Restore(other);
        lab.Prune(other, "magnitude", settings);
        long both = 0, all = 0;
        foreach (Parameter p in found.Parameters)
        {
            if (p.Mask is not { } mask || other.Parameter(p.Name).Mask is not { } magnitude) continue;
            both += mask.And(magnitude).KeptCount;
            all += mask.KeptCount;
        }
        return all == 0 ? double.NaN : (double)both / all;
    }
}
