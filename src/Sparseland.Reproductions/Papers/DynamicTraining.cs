using Sparseland.Pruning;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>RigL beats SET beats static masks at equal sparsity and steps, the more the sparser.</summary>
internal sealed class DynamicTraining : IReproduction
{
    public string Id => "rigl";

    public string Title => "Dynamic sparse training: RigL and SET";

    public IReadOnlyList<string> Methods => ["rigl", "set", "static"];

    public string Paper => "Evci, Gale, Menick, Castro and Elsen: Rigging the Lottery: Making All Tickets Winners, ICML 2020; Mocanu et al.: Scalable training of artificial neural networks (SET), Nature Communications 2018";

    public string Claim => "growing where the dense gradient is largest beats growing at random, which beats masks that never change, at equal sparsity and number of steps; the gap grows with the sparsity";

    public string Figure => "ResNet-50 on ImageNet, ERK: 80 % 75.12 and 90 % 73.07 top-1, dense 76.8 (table of the authors' repository)";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits, 1,250 steps of SGD with momentum 0.9, batch 64, rate 0.05 falling linearly; ERK, exchange of 30 % at first every 25 steps until 75 % of the run";

    public IReadOnlyList<string> Baselines => ["static random ERK masks", "dense"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("rigl 98 %", "static 98 %", 0.8, "moving masks by gradients beats static ones"),
        Rule.Exceeds("rigl 99 %", "static 99 %", 3, "the gap grows with the sparsity"),
        Rule.Exceeds("set 99 %", "static 99 %", 2, "moving masks at random beats static ones"),
        Rule.Exceeds("rigl 99 %", "set 99 %", 0.3, "gradients beat chance"),
    ];

    public void Run(ReproductionRun run)
    {
        double[] levels = [0.95, 0.98, 0.99];
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + 3 * levels.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        TrainableModel dense = lab.Model();
        lab.Train(dense, "dense");
        run.Measure("dense", lab.Accuracy(dense));
        foreach (double sparsity in levels)
        {
            foreach (string method in (string[])["static", "set", "rigl"])
            {
                TrainableModel model = lab.Model();
                TrainingSparsifier sparsifier = method == "static" ? lab.During(method, lab.Unguarded(sparsity)) : lab.During(method, lab.Unguarded(sparsity), null, ("interval", "25"));
                lab.Train(model, $"{method} {100 * sparsity:0.#} %", null, sparsifier);
                run.Measure($"{method} {100 * sparsity:0.#} %", lab.Accuracy(model));
            }
        }
    }
}
