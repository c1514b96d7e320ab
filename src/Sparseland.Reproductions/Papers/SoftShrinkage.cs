using Sparseland.Pruning;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>Shrinking small weights a little is better than zeroing them, which is better than choosing at initialisation.</summary>
internal sealed class SoftShrinkage : IReproduction
{
    public string Id => "soft-shrinkage";

    public string Title => "Iterative soft shrinkage, on digits";

    public IReadOnlyList<string> Methods => ["iss"];

    public string Paper => "Wang, Wang, Zhang, Fu and Tao: Iterative Soft Shrinkage Learning for Efficient Image Super-Resolution, ICCV 2023";

    public string Claim => "multiplying the smallest weights by 0.95 after every step gives a better sparse network than setting them to zero, and both are better than a mask chosen at initialisation";

    public string Figure => "better PSNR than L1-norm pruning, ASSL, SRP and training from scratch at 90 to 99 % on SwinIR and EDSR (abstract); digits are a stand-in, see super-resolution";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits, 600 steps of shrinking and 650 of training with the mask, every layer at the same sparsity, SGD at 0.05 falling linearly; a mask at initialisation is trained for all 1,250 steps";

    public IReadOnlyList<string> Baselines => ["hard thresholding (factor 0)", "magnitude mask at initialisation", "dense, then one cut at step 600"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("factor 0.95 95 %", "factor 0 95 %", 0.2, "soft is better than hard"),
        Rule.Exceeds("factor 0.95 98 %", "factor 0 98 %", 1, "the more the sparser"),
        Rule.Exceeds("factor 0 95 %", "at initialisation 95 %", 0.5, "hard is better than choosing at initialisation"),
    ];

    public void Run(ReproductionRun run)
    {
        double[] levels = run.Pick<double[]>([0.95, 0.98], [0.9, 0.95, 0.98], [0.9, 0.95, 0.98]);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 4 * levels.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(50, 1250, 2500) };
        foreach (double sparsity in levels)
        {
            string level = $"{100 * sparsity:0.#} %";
            foreach (string factor in (string[])["0.95", "0"])
            {
                TrainableModel model = lab.Model();
                TrainingSparsifier method = lab.During("iss", lab.Unguarded(sparsity), null, ("factor", factor), ("end", "0.48"));
                lab.Train(model, $"factor {factor} {level}", null, method);
                run.Measure($"factor {factor} {level}", lab.Accuracy(model));
            }
            TrainableModel initial = lab.Model();
            lab.Prune(initial, "magnitude", lab.Unguarded(sparsity), ("allocation", "uniform"));
            lab.Train(initial, $"at initialisation {level}");
            run.Measure($"at initialisation {level}", lab.Accuracy(initial));
            TrainableModel cut = lab.Model();
            lab.Train(cut, $"one cut {level}", null, lab.During("gmp", lab.Unguarded(sparsity), null, ("schedule", "one-shot"), ("allocation", "uniform"), ("start", "0.48"), ("end", "0.48")));
            run.Measure($"one cut {level}", lab.Accuracy(cut));
        }
    }
}
