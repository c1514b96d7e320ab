using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>A random mask with sensible densities is a strong baseline: ERK over uniform, the gap to dense shrinks with width, SNIP's ratios are what SNIP is worth.</summary>
internal sealed class RandomMasks : IReproduction
{
    public string Id => "random-pruning";

    public string Title => "The unreasonable effectiveness of random pruning";

    public IReadOnlyList<string> Methods => ["random"];

    public string Paper => "Liu et al.: The Unreasonable Effectiveness of Random Pruning: Return of the Most Naive Baseline for Sparse Training, ICLR 2022";

    public string Claim => "networks with random masks of suitable layer-wise densities, trained from scratch, come close to dense ones as they grow wider; with the ratios of SNIP they are as good as SNIP";

    public string Figure => "randomly pruned ResNets match dense ones as they grow; a random subnetwork of Wide ResNet-50 beats dense Wide ResNet-50 on ImageNet (abstract)";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits, 1,250 steps of SGD with momentum 0.9, batch 64, rate 0.05 falling linearly; width: hidden layers times 0.5, 1, 2, 4 at density 10 % (ERK), against the dense network of the same width";

    public IReadOnlyList<string> Baselines => ["dense network of the same width", "uniform densities", "SNIP's own mask"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("erk 95 %", "uniform 95 %", 1, "densities matter"),
        Rule.Exceeds("erk 98 %", "uniform 98 %", 8, "they matter more where little is left"),
        new("gap at half width - gap at four times the width", "the gap to the dense network of the same width shrinks by at least 0.3 points from half to four times the width", v => v["dense x0.5"] - v["random x0.5"] - (v["dense x4"] - v["random x4"])) { AtLeast = 0.3 },
        Rule.Close("random with snip ratio 95 %", "snip 95 %", 1, "SNIP's ratios are what SNIP is worth"),
    ];

    public void Run(ReproductionRun run)
    {
        double[] widths = run.Pick<double[]>([0.5, 4], [0.5, 1, 2, 4], [0.5, 1, 2, 4, 8]);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 6 + 2 * widths.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(30, 1250, 2500) };
        foreach ((string name, string method, double sparsity, string allocation) in (ReadOnlySpan<(string, string, double, string)>)
        [
            ("uniform 95 %", "random", 0.95, "uniform"), ("erk 95 %", "random", 0.95, "erk"), ("uniform 98 %", "random", 0.98, "uniform"), ("erk 98 %", "random", 0.98, "erk"),
            ("snip 95 %", "snip", 0.95, "global"), ("random with snip ratio 95 %", "random", 0.95, "snip-ratio"),
        ])
        {
            TrainableModel model = lab.Model();
            lab.Prune(model, method, lab.Unguarded(sparsity), ("allocation", allocation));
            lab.Train(model, name);
            run.Measure(name, lab.Accuracy(model));
        }
        foreach (double width in widths)
        {
            string options = $"hidden1={300 * width:0},hidden2={100 * width:0}";
            TrainableModel dense = lab.Model(options: options), sparse = lab.Model(options: options);
            lab.Train(dense, $"dense x{width:0.#}");
            run.Measure($"dense x{width:0.#}", lab.Accuracy(dense));
            lab.Prune(sparse, "random", lab.Unguarded(0.9));
            lab.Train(sparse, $"random x{width:0.#}");
            run.Measure($"random x{width:0.#}", lab.Accuracy(sparse));
        }
    }
}
