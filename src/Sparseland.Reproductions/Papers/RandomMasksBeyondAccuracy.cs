using Sparseland.Pruning.Analysis;
using Sparseland.Reproductions.Running;
using Sparseland.Training;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Reproductions.Papers;

/// <summary>Random masks on the other axes of their paper: confidence, unknown inputs, attacks, and the gradients of early training.</summary>
internal sealed class RandomMasksBeyondAccuracy : IReproduction
{
    /// <summary>Early training: the first steps, over which the norm of the gradient is averaged.</summary>
    private const int EarlySteps = 50;

    public string Id => "random-pruning-reliability";

    public string Title => "Random pruning beyond accuracy";

    public IReadOnlyList<string> Methods => ["random"];

    public string Paper => "Liu et al.: The Unreasonable Effectiveness of Random Pruning: Return of the Most Naive Baseline for Sparse Training, ICLR 2022";

    public string Claim => "randomly pruned networks that are trained from scratch are better than dense ones of the same width at noticing unknown inputs, at saying how sure they are, and under adversarial attack";

    public string Figure => "randomly pruned networks outperform dense ones in out-of-distribution detection, uncertainty estimation and adversarial robustness (abstract; its sets and its attack's step are not known here)";

    public string Setup => "LeNet-300-100 of four times the width (the claim is about wide networks), 8,000 Fashion-MNIST pictures, 1,250 steps of SGD with momentum 0.9, batch 64, rate 0.05 falling linearly; the rules look at 80 % sparsity by ERK. "
        + "On 2,000 test pictures: area under the ROC curve of the largest softmax probability against 2,000 MNIST digits, expected calibration error (15 bins) and negative log-likelihood, accuracy under one step of the fast gradient sign attack "
        + "with 8/255 per pixel. For the record: the mean norm of the gradient of weights over the first 50 steps, about which the abstract claims nothing";

    public IReadOnlyList<string> Baselines => ["dense network of the same width", "uniform densities", "SNIP's ratios"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("area, unknown, erk 80 %", "area, unknown, dense", 0, "unknown inputs are noticed better, in points of the area"),
        Rule.Exceeds("calibration error, dense", "calibration error, erk 80 %", 0, "confidence is closer to accuracy, in points"),
        Rule.Exceeds("negative log-likelihood, dense", "negative log-likelihood, erk 80 %", 0, "and likelihood, which punishes confident errors, agrees"),
        Rule.Exceeds("attacked, erk 80 %", "attacked, dense", 0, "more pictures stay right under attack"),
    ];

    public void Run(ReproductionRun run)
    {
        (string Name, double Sparsity, string Allocation)[] arms = [("dense", 0, ""), ("erk 50 %", 0.5, "erk"), ("erk 80 %", 0.8, "erk"), ("erk 95 %", 0.95, "erk"), ("uniform 80 %", 0.8, "uniform"), ("snip ratio 80 %", 0.8, "snip-ratio")];
        int test = run.Pick(300, 2000, 10_000), width = run.Pick(1, 4, 4);
        var lab = new Lab(run, "fashion-mnist", run.Pick(1000, 8000, 40_000), test, arms.Length);
        // Digits are none of the ten kinds of clothing; only their pictures are used, never their labels.
        var digits = new Lab(run, "mnist", 1, test, 1);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        foreach ((string name, double sparsity, string allocation) in arms)
        {
            TrainableModel model = lab.Model(options: $"hidden1={300 * width},hidden2={100 * width}");
            if (sparsity > 0) lab.Prune(model, "random", lab.Unguarded(sparsity), ("allocation", allocation));
            var norms = new GradientNorms(EarlySteps);
            lab.Train(model, name, null, norms);
            Reliability found = Reliability.Measure(model, lab.Data.ForEvaluation, digits.Data.ForEvaluation, lab.Normalization, Reliability.UsualEpsilon, cancellation: run.Cancellation);
            run.Measure($"accuracy, {name}", 100 * found.Accuracy);
            run.Measure($"area, unknown, {name}", 100 * found.UnknownArea!.Value);
            run.Measure($"calibration error, {name}", 100 * found.Calibration.ExpectedError);
            run.Measure($"negative log-likelihood, {name}", found.Calibration.NegativeLogLikelihood);
            run.Measure($"attacked, {name}", 100 * found.AttackedAccuracy);
            run.Measure($"early gradient norm, {name}", norms.Mean);
        }
    }

    /// <summary>Averages the norm of the gradient of kept weights over the first steps.</summary>
    private sealed class GradientNorms(int steps) : ITrainerCallback
    {
        private double _sum;
        private int _count;

        public string Name => "gradient-norms";

        public double Mean => _sum / _count;

        public void OnGradients(TrainingContext context)
        {
            if (context.Step >= steps) return;
            // Nothing is clipped by a limit that no norm reaches.
            _sum += GradientClipping.ByNorm(context.Model.Parameters.Where(p => p.Kind == ParameterKind.Weight), double.MaxValue);
            _count++;
        }
    }
}
