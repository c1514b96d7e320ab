using Sparseland.Pruning;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>Sparse-to-sparse GraNet beats RigL and reaches dense-to-sparse gradual pruning.</summary>
internal sealed class Regeneration : IReproduction
{
    public string Id => "granet";

    public string Title => "GraNet: gradual pruning with regeneration";

    public IReadOnlyList<string> Methods => ["granet"];

    public string Paper => "Liu et al.: Sparse Training via Boosting Pruning Plasticity with Neuroregeneration, NeurIPS 2021";

    public string Claim => "gradual pruning from half sparse, with small weights replaced by new ones after every cut, beats RigL and reaches gradual pruning from dense";

    public string Figure => "ResNet-50 on ImageNet from 50 % sparse: 76.0 at 80 %, 74.5 at 90 %; from dense 75.8 and 74.2 (table 3, from memory)";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits, 1,250 steps of SGD with momentum 0.9, batch 64, rate 0.05 falling linearly; updates every 25 steps, ramp over the first half, replacement share 0.5 at first; RigL with ERK and 30 % every 25 steps; GMP as in its own reproduction";

    public IReadOnlyList<string> Baselines => ["RigL", "gradual magnitude pruning from dense", "dense-to-sparse GraNet"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("granet 95 %", "rigl 95 %", 0.3, "it beats RigL"),
        Rule.Exceeds("granet 98 %", "rigl 98 %", 1.5, "the more the sparser"),
        Rule.Exceeds("granet 98 %", "gmp 98 %", -1, "it reaches gradual pruning from dense"),
    ];

    public void Run(ReproductionRun run)
    {
        double[] levels = run.Pick<double[]>([0.95, 0.98], [0.95, 0.98, 0.99], [0.9, 0.95, 0.98, 0.99]);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 4 * levels.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(40, 1250, 2500) };
        foreach (double sparsity in levels)
        {
            (string Arm, TrainingSparsifier Method)[] arms =
            [
                ("rigl", lab.During("rigl", lab.Unguarded(sparsity), null, ("interval", "25"))),
                ("granet", lab.During("granet", lab.Unguarded(sparsity), null, ("interval", run.Pick("5", "25", "25")))),
                ("granet from dense", lab.During("granet", lab.Unguarded(sparsity), null, ("interval", run.Pick("5", "25", "25")), ("initial", "0"))),
                ("gmp", lab.During("gmp", lab.Unguarded(sparsity), null, ("start", "0.08"), ("end", "0.64"), ("interval", run.Pick("5", "20", "20")))),
            ];
            foreach ((string arm, TrainingSparsifier method) in arms)
            {
                TrainableModel model = lab.Model();
                lab.Train(model, $"{arm} {100 * sparsity:0.#} %", null, method);
                run.Measure($"{arm} {100 * sparsity:0.#} %", lab.Accuracy(model));
            }
        }
    }
}
