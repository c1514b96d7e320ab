using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>One-shot magnitude pruning of a trained network is free up to a cliff, far to the right of where random pruning falls off.</summary>
internal sealed class EssentialWeights : IReproduction
{
    public string Id => "essential-sparsity";

    public string Title => "Essential sparsity";

    public IReadOnlyList<string> Methods => [];

    public string Paper => "Jaiswal, Liu, Chen and Wang: The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that Matter, NeurIPS 2023";

    public string Claim => "a trained network loses nothing when the smallest weights are removed in one go up to a sparsity that lies far above that of random removal, and falls off sharply after it";

    public string Figure => "30 to 50 % can go within 1 % across BERT, OPT, ViT and DINO (abstract; the tolerance is that of a published summary)";

    public string Setup => "LeNet-300-100 trained on 8,000 MNIST digits for 1,250 steps, one-shot global magnitude and random masks with the same counts per layer at 0, 5, ... 95 %, no training afterwards, accuracy on 2,000 digits, tolerance 1 % of the dense accuracy. A small network on an easy task, not a large pre-trained one: only the shape of the curve is tested";

    public IReadOnlyList<string> Baselines => ["random masks with the counts per layer of magnitude"];

    public IReadOnlyList<Rule> Rules =>
    [
        new("essential, magnitude", "essential sparsity lies between 65 % and 90 %: a plain reference implementation found 80 % in this set-up", v => v["essential, magnitude"]) { AtLeast = 65, AtMost = 90 },
        Rule.Exceeds("essential, magnitude", "essential, random", 30, "magnitude's cliff lies far to the right of random's"),
        Rule.Exceeds("loss in the last 10 %", "loss up to the essential sparsity", 5, "a flat region, then a cliff"),
    ];

    public void Run(ReproductionRun run)
    {
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 2);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 5000) };
        TrainableModel model = lab.Model();
        lab.Train(model, "dense");
        model.SyncToGraph();
        double[] levels = [.. Enumerable.Range(0, 20).Select(i => Math.Round(0.05 * i, 2))];
        var curves = new Dictionary<string, SparsityCurve>();
        foreach (string way in (string[])["magnitude", "random"])
        {
            double[] accuracy = new double[levels.Length];
            for (int i = 0; i < levels.Length; i++)
            {
                ModelGraph pruned = EssentialSparsity.Prune(model.Graph, lab.Unguarded(levels[i]), way);
                accuracy[i] = lab.Accuracy(lab.Model(pruned));
                run.Report(0.5 + 0.5 * ((way == "random" ? levels.Length : 0) + i + 1) / (2 * levels.Length), way);
            }
            curves[way] = new SparsityCurve(way, levels, accuracy);
            run.Measure($"essential, {way}", 100 * curves[way].Essential());
            run.Measure($"knee, {way}", 100 * curves[way].Knee);
        }
        SparsityCurve magnitude = curves["magnitude"];
        int at = Array.IndexOf(levels, magnitude.Essential());
        run.Measure("dense", magnitude.Qualities[0]);
        run.Measure("loss up to the essential sparsity", magnitude.Qualities[0] - magnitude.Qualities[at]);
        run.Measure("loss in the last 10 %", magnitude.Qualities[^3] - magnitude.Qualities[^1]);
    }
}
