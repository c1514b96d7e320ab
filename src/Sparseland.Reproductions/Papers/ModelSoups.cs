using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>The average of retrained copies of one pruned network is better than each of them and as sparse.</summary>
internal sealed class ModelSoups : IReproduction
{
    public string Id => "model-soups";

    public string Title => "Sparse model soups";

    public IReadOnlyList<string> Methods => ["soups"];

    public string Paper => "Zimmer, Spiegel and Pokutta: Sparse Model Soups: A Recipe for Improved Pruning via Model Averaging, ICLR 2024";

    public string Claim => "copies of one pruned network that are retrained in different orders average to a network of the same mask that is more accurate than they are, at the cost of one at inference";

    public string Figure => "averaging one retraining phase clearly improves accuracy and robustness over the ingredients (abstract)";

    public string Setup => "LeNet-300-100 trained on 8,000 MNIST digits for 1,250 steps, pruned in one cut by global magnitude; 5 copies, 375 steps each at the constant rate 0.15, so that they still carry the noise of training; a control at a rate of 0.05 falling to zero, where nothing is expected";

    public IReadOnlyList<string> Baselines => ["mean of the copies", "best copy"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("soup 90 %", "mean copy 90 %", 0.8, "better than its ingredients"),
        Rule.Exceeds("soup 98 %", "mean copy 98 %", 0.4, "better than its ingredients"),
        Rule.Close("annealed soup 90 %", "annealed mean copy 90 %", 0.5, "copies that were trained to rest have nothing to average away"),
    ];

    public void Run(ReproductionRun run)
    {
        int copies = run.Pick(2, 5, 5);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + 3 * 0.3 * copies);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        TrainableModel model = lab.Model();
        lab.Train(model, "dense");
        run.Measure("dense", lab.Accuracy(model));
        ModelSnapshot dense = ModelSnapshot.Of(model);
        foreach ((string name, double sparsity, string rate, double peak) in (ReadOnlySpan<(string, double, string, double)>)[("", 0.9, "constant", 0.15), ("", 0.98, "constant", 0.15), ("annealed ", 0.9, "llr", 0.05)])
        {
            dense.Restore(model);
            var soups = new SparseSoups(lab.Unguarded(sparsity), 1, copies, 0.3, SoupVariation.Seed, rate, dense: false);
            TrainingPlan plan = lab.Plan with { LearningRate = peak };
            lab.Run(soups, model, $"{name}{100 * sparsity:0.#} %", plan);
            string level = $"{100 * sparsity:0.#} %";
            run.Measure($"{name}soup {level}", lab.Accuracy(model));
            var each = new List<double>();
            foreach (ModelSnapshot copy in soups.Soups[0].Copies)
            {
                copy.Restore(model);
                each.Add(lab.Accuracy(model));
            }
            run.Measure($"{name}mean copy {level}", each.Average());
            run.Measure($"{name}best copy {level}", each.Max());
            run.Measure($"{name}distance {level}", soups.Soups[0].Distance);
        }
    }
}
