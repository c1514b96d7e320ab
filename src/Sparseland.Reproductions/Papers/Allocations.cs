using Sparseland.Pruning.Programs;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>The budget per layer matters most at high sparsity: LAMP, ERK and global against uniform.</summary>
internal sealed class Allocations : IReproduction
{
    private static readonly string[] s_allocations = ["uniform", "erk", "global", "lamp"];

    public string Id => "allocation";

    public string Title => "Layer-wise budgets of magnitude pruning";

    public IReadOnlyList<string> Methods => ["magnitude"];

    public string Paper => "Lee, Park, Mo, Ahn and Shin: Layer-adaptive Sparsity for the Magnitude-based Pruning, ICLR 2021";

    public string Claim => "how a sparsity is shared out among the layers decides about the accuracy, the more the sparser; LAMP is best or tied among allocations without parameters";

    public string Figure => "LAMP best or tied on image models at high sparsity (paper's figure 2 and table 2, from memory)";

    public string Setup => "LeNet-300-100 trained on 8,000 MNIST digits for 1,250 steps, pruned in one cut by magnitude, retrained for 250 steps at the rate 0.02 falling linearly (the paper: 20 rounds of 20 %, AdamW, CIFAR-10)";

    public IReadOnlyList<string> Baselines => ["uniform", "ERK", "one global threshold"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("lamp 95 %", "uniform 95 %", 1, "a layer-wise budget is worth more than a point"),
        Rule.Exceeds("lamp 98 %", "uniform 98 %", 5, "and far more where little is left"),
        Rule.Exceeds("lamp 98 %", "global 98 %", -1, "LAMP is best or tied"),
        Rule.Exceeds("lamp 98 %", "erk 98 %", -1, "LAMP is best or tied"),
    ];

    public void Run(ReproductionRun run)
    {
        double[] levels = run.Pick<double[]>([0.95, 0.98], [0.9, 0.95, 0.98], [0.8, 0.9, 0.95, 0.98, 0.99]);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + 0.2 * levels.Length * s_allocations.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        TrainableModel model = lab.Model();
        lab.Train(model, "dense");
        run.Measure("dense", lab.Accuracy(model));
        ModelSnapshot dense = ModelSnapshot.Of(model);
        foreach (double sparsity in levels)
        {
            foreach (string allocation in s_allocations)
            {
                dense.Restore(model);
                lab.Prune(model, "magnitude", lab.Unguarded(sparsity), ("allocation", allocation));
                run.Measure($"{allocation} {100 * sparsity:0.#} % before retraining", lab.Accuracy(model));
                lab.Train(model, $"{allocation} {100 * sparsity:0.#} %", lab.Plan with { Steps = lab.Plan.Steps / 5, LearningRate = 0.02, Seed = 1 });
                run.Measure($"{allocation} {100 * sparsity:0.#} %", lab.Accuracy(model));
            }
        }
    }
}
