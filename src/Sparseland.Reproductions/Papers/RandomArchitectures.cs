using Sparseland.Pruning.Methods;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>The best of many random subnetworks by its loss before training is no better, once trained, than a single draw.</summary>
internal sealed class RandomArchitectures : IReproduction
{
    public string Id => "random-search";

    public string Title => "Random search over sparse architectures";

    public IReadOnlyList<string> Methods => ["node-search"];

    public string Paper => "Random Search as a Baseline for Sparse Neural Network Architecture Search, 2024";

    public string Claim => "searching among random sparse subnetworks of an untrained network is no better than taking one at random, while high sparsity keeps much of the accuracy";

    public string Figure => "the conclusion alone is known (abstract)";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits, 400 steps; 50, 20 and 10 % of the hidden units of each layer; 60 draws scored by the loss of the untrained subnetwork on 4 batches; against the mean of three single draws (data and sizes of the paper are not known)";

    public IReadOnlyList<string> Baselines => ["a random subnetwork, mean of three", "the trained parent"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Close("searched 50 %", "random 50 %", 0.7, "the search is neutral"),
        Rule.Close("searched 20 %", "random 20 %", 0.7, "the search is neutral"),
        Rule.Close("searched 10 %", "random 10 %", 1, "the search is neutral; single trainings scatter more here"),
        Rule.Exceeds("random 20 %", "parent", -3, "much of the accuracy is kept"),
    ];

    public int Seeds(Budget budget) => budget switch { Budget.Quick => 1, Budget.Standard => 6, _ => 12 };

    public void Run(ReproductionRun run)
    {
        double[] levels = [0.5, 0.2, 0.1];
        int draws = run.Pick(4, 60, 100), singles = run.Pick(1, 3, 5);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + (1 + singles) * levels.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(40, 400, 2000) };
        TrainableModel parent = lab.Model();
        lab.Train(parent, "parent");
        run.Measure("parent", lab.Accuracy(parent));
        foreach (double kept in levels)
        {
            string level = $"{100 * kept:0.#} %";
            var search = new NodeSearch(lab.Unguarded(1 - kept), draws);
            TrainableModel searched = lab.Model(search.Rewrite(lab.Network(), lab.Context()).Graph);
            run.Measure($"initial loss, mean {level}", search.Losses.Average());
            run.Measure($"initial loss, best {level}", search.Losses.Min());
            lab.Train(searched, $"searched {level}");
            run.Measure($"searched {level}", lab.Accuracy(searched));
            double sum = 0;
            for (int s = 0; s < singles; s++)
            {
                TrainableModel single = lab.Model(new NodeSearch(lab.Unguarded(1 - kept) with { Seed = 5000 + 100 * run.Seed + s }, 1).Rewrite(lab.Network()).Graph);
                lab.Train(single, $"random {level}");
                sum += lab.Accuracy(single);
            }
            run.Measure($"random {level}", sum / singles);
        }
    }
}
