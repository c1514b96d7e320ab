using Sparseland.Model;
using Sparseland.Pruning;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Methods;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>Spending some removals on negative weights lowers the share of dead ReLU outputs.</summary>
internal sealed class WakingUnits : IReproduction
{
    public string Id => "waking-units";

    public string Title => "Activating while pruning";

    public IReadOnlyList<string> Methods => ["ap"];

    public string Paper => "Liu et al.: Selective Activation for De-sparsifying Pruned Neural Networks, Transactions on Machine Learning Research 2023";

    public string Claim => "when a tenth of every round's removals goes to the negative weights that moved least, fewer ReLU outputs are dead at the same sparsity, and the accuracy is at least as high";

    public string Figure => "3 to 4 points on CIFAR-10 and CIFAR-100, 2 to 3 on ImageNet (abstract)";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits scaled to 0 to 1 (no negative inputs), 625 steps per training, 15 rounds that leave 3.5 % of the weights, rewound to the initialisation; dead outputs that depend on the input, over 512 training digits (the paper: ResNet-20, 25 rounds)";

    public IReadOnlyList<string> Baselines => ["iterative magnitude pruning with the same rounds"];

    public IReadOnlyList<Rule> Rules =>
    [
        new("dead outputs, ap / imp", "at least 15 % fewer outputs are dead for reasons of the input", v => v["ap dead"] / v["imp dead"]) { AtMost = 0.85 },
        Rule.Exceeds("ap", "imp", -0.3, "the accuracy is no lower"),
    ];

    public void Run(ReproductionRun run)
    {
        int rounds = run.Pick(2, 15, 15);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 2 * (rounds + 1)) { Normalization = InputNormalization.None };
        lab.Plan = lab.Plan with { Steps = run.Pick(40, 625, 2500) };
        foreach ((string arm, double share) in (ReadOnlySpan<(string, double)>)[("imp", 0), ("ap", 0.1)])
        {
            TrainableModel model = lab.Model();
            lab.Run(new ActivatingTickets(lab.Unguarded(0.965), rounds, share), model, arm);
            run.Measure(arm, lab.Accuracy(model));
            DeadNeurons dead = DeadNeurons.Measure(model, lab.Context().Data!, 8, run.Cancellation);
            run.Measure($"{arm} dead", dead.Dynamic);
            run.Measure($"{arm} cut off", dead.Static);
        }
    }
}
