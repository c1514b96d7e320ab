using Sparseland.Pruning;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>One bi-level run does what rounds of pruning and training do.</summary>
internal sealed class BilevelMasks : IReproduction
{
    public string Id => "bilevel";

    public string Title => "Bi-level pruning";

    public IReadOnlyList<string> Methods => ["bip"];

    public string Paper => "Zhang, Yao, Ram, Zhao, Chen, Hong, Wang and Liu: Advancing Model Pruning via Bi-level Optimization, NeurIPS 2022";

    public string Claim => "one run that trains weights and mask in turn is as accurate as iterative magnitude pruning, which costs many trainings, and better than one cut with fine-tuning";

    public string Figure => "better tickets than iterative magnitude pruning in most cases at the cost of one cut, two to seven times faster at equal accuracy (abstract)";

    public string Setup => "LeNet-300-100 trained on 8,000 MNIST digits for 1,250 steps; bi-level run of 625 steps with a score rate of 1 (the paper: 0.1, convolutional networks with norms); iterative magnitude pruning with 5 rounds, rewound to the initialisation";

    public IReadOnlyList<string> Baselines => ["one cut by global magnitude and 625 steps of fine-tuning", "iterative magnitude pruning, six trainings"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("bip 95 %", "fine-tuned 95 %", 0.4, "better than one cut with fine-tuning of the same length"),
        Rule.Exceeds("bip 95 %", "imp 95 %", -0.4, "as good as iterative magnitude pruning"),
        Rule.Exceeds("bip 98 %", "fine-tuned 98 %", 0.7, "the gap grows with the sparsity"),
    ];

    public void Run(ReproductionRun run)
    {
        double[] levels = [0.95, 0.98];
        int rounds = run.Pick(1, 5, 10);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + levels.Length + rounds + 1);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        TrainableModel model = lab.Model();
        lab.Train(model, "dense");
        run.Measure("dense", lab.Accuracy(model));
        ModelSnapshot dense = ModelSnapshot.Of(model);
        long half = (lab.Plan.Steps ?? 0) / 2;
        foreach (double sparsity in levels)
        {
            string level = $"{100 * sparsity:0.#} %";
            dense.Restore(model);
            lab.Prune(model, "magnitude", lab.Unguarded(sparsity));
            lab.Train(model, $"fine-tuned {level}", lab.Plan with { Steps = half, LearningRate = 0.02, Seed = 1 });
            run.Measure($"fine-tuned {level}", lab.Accuracy(model));
            dense.Restore(model);
            TrainingSparsifier bip = lab.During("bip", lab.Unguarded(sparsity), lab.Plan with { Steps = half }, ("rate", "1"));
            lab.Train(model, $"bip {level}", lab.Plan with { Steps = half, LearningRate = 0.02, Seed = 1 }, bip);
            run.Measure($"bip {level}", lab.Accuracy(model));
        }
        TrainableModel ticket = lab.Model();
        lab.Run(new LotteryTicket(lab.Unguarded(0.95), rounds, global: true), ticket, "imp 95 %");
        run.Measure("imp 95 %", lab.Accuracy(ticket));
    }
}
