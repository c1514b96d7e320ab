using Sparseland.Pruning;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>Large-sparse beats small-dense at equal numbers of non-zeros; the gradual ramp beats one cut of the same training length.</summary>
internal sealed class GradualMagnitude : IReproduction
{
    public string Id => "gmp";

    public string Title => "Gradual magnitude pruning";

    public IReadOnlyList<string> Methods => ["gmp"];

    public string Paper => "Zhu and Gupta: To prune, or not to prune: exploring the efficacy of pruning for model compression, 2017";

    public string Claim => "a large network that is pruned gradually while it is trained is more accurate than a small dense network with as many non-zero weights";

    public string Figure => "MobileNet on ImageNet: 61.8 % top-1 at 90 % sparsity against 50.6 % for the width multiplier 0.25 (paper's table 2, from memory)";

    public string Setup => "LeNet-300-100 on 8,000 MNIST digits, 1,250 steps of SGD with momentum 0.9, batch 64, rate 0.05 falling linearly; cubic ramp from step 100 to 800, every 20 steps, one global threshold (the paper: the same sparsity in every layer). Small dense networks have the shape 784-h-h/3-10 with as many weights as the sparse one has non-zeros";

    public IReadOnlyList<string> Baselines => ["dense network of the same shape", "small dense network of equal non-zeros, same steps", "one cut at step 800 of the same training"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("gmp 90 %", "small dense 90 %", 0.5, "the claim, where the small network still has some width"),
        Rule.Exceeds("gmp 95 %", "small dense 95 %", 1.5, "the gap grows with the sparsity"),
    ];

    public void Run(ReproductionRun run)
    {
        int steps = run.Pick(60, 1250, 2500);
        double[] levels = run.Pick<double[]>([0.9, 0.95], [0.9, 0.95, 0.98], [0.8, 0.9, 0.95, 0.98]);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + 3 * levels.Length);
        lab.Plan = lab.Plan with { Steps = steps };
        TrainableModel dense = lab.Model();
        lab.Train(dense, "dense");
        run.Measure("dense", lab.Accuracy(dense));
        foreach (double sparsity in levels)
        {
            string level = $"{100 * sparsity:0.#} %";
            foreach ((string arm, string schedule) in (ReadOnlySpan<(string, string)>)[("gmp", "cubic"), ("one cut", "one-shot")])
            {
                TrainableModel model = lab.Model();
                // One cut falls where the ramp ends, so that both have as many steps left.
                TrainingSparsifier method = lab.During("gmp", lab.Unguarded(sparsity), null,
                    ("start", schedule == "cubic" ? "0.08" : "0.64"), ("end", "0.64"), ("interval", run.Pick("2", "20", "20")), ("schedule", schedule));
                lab.Train(model, $"{arm} {level}", null, method);
                run.Measure($"{arm} {level}", lab.Accuracy(model));
            }
            int hidden = Hidden((int)Math.Round(266_200 * (1 - sparsity)));
            TrainableModel small = lab.Model(options: $"hidden1={hidden},hidden2={Math.Max(1, hidden / 3)}");
            lab.Train(small, $"small dense {level}");
            run.Measure($"small dense {level}", lab.Accuracy(small));
        }
    }

    /// <summary>The largest first hidden layer of 784-h-h/3-10 that has no more weights than given.</summary>
    internal static int Hidden(int weights)
    {
        int h = 1;
        while (784 * (h + 1) + (h + 1) * Math.Max(1, (h + 1) / 3) + 10 * Math.Max(1, (h + 1) / 3) <= weights) h++;
        return h;
    }
}
