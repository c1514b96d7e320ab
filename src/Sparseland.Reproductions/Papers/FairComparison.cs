using Sparseland.Pruning;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Methods;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>Which sparse network is best depends on whether its training is paid for.</summary>
internal sealed class FairComparison : IReproduction
{
    private const double Sparsity = 0.95;
    private const int Interval = 25;

    public string Id => "ten-lessons";

    public string Title => "Ten lessons: the bill of training";

    public IReadOnlyList<string> Methods => [];

    public string Paper => "Ten Lessons We Have Learned in the New \"Sparseland\": A Short Handbook for Sparse Neural Network Researchers, 2023";

    public string Claim => "pruning and sparse training are confused when sparse networks are compared: which of them is ahead depends on whether the cost of training counts";

    public string Figure => "none: a handbook of confusions (abstract); the experiment is this toolkit's reading of it";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits, 1,250 steps per training of SGD with momentum 0.9, batch 64, rate 0.05 falling linearly; 95 % of the weights removed: static random ERK masks, RigL (exchange every 25 steps), gradual pruning (steps 100 to 800), a lottery ticket after 13 rounds of 21 %, and a small dense network of as many weights. Cost: multiply-adds of all trainings of an arm that kernels which skip zeros would do, in dense trainings of 1,250 steps";

    public IReadOnlyList<string> Baselines => ["dense network of the same shape", "small dense network of equal non-zeros, same steps", "random masks"];

    public string History => "the arms' accuracies were known from other reproductions when these rules were written; their margins are at most half of what a plain reference implementation gives. Costs are counted and not timed: the schedules fix them, so the rule on cost could only have failed by an accuracy that collapses";

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("gmp", "static", 1, "by accuracy gradual pruning is ahead of sparse training with fixed masks"),
        Rule.Exceeds("ticket", "static", 1, "and so is a lottery ticket"),
        new("accuracy for the cost, sparse training / pruning", "by accuracy for the cost of training the worse of static masks and RigL is ahead of the better of gradual pruning and the ticket, by a factor of 3 at least",
            v => Math.Min(v["static"] / v["static, cost"], v["rigl"] / v["rigl, cost"]) / Math.Max(v["gmp"] / v["gmp, cost"], v["ticket"] / v["ticket, cost"])) { AtLeast = 3 },
        Rule.Exceeds("static", "small dense", 0.5, "a random sparse network is worth more than a small dense one of as many weights"),
    ];

    public void Run(ReproductionRun run)
    {
        int rounds = run.Pick(2, 13, 13);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 5 + rounds + 1);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        long steps = lab.Plan.TotalSteps(lab.Data.ForTraining);
        TrainableModel dense = lab.Model();
        lab.Train(dense, "dense");
        Measure(run, lab, "dense", dense, 1);

        var explored = new ExploredWeights();
        TrainableModel model = Train(lab, lab.During("static", lab.Unguarded(Sparsity)), explored);
        Measure(run, lab, "static", model, TrainingCost.StaticStep(Share(model)));
        run.Measure("static, explored", 100 * explored.Share);

        explored = new ExploredWeights();
        model = Train(lab, lab.During("rigl", lab.Unguarded(Sparsity), null, ("interval", $"{Interval}")), explored);
        Measure(run, lab, "rigl", model, TrainingCost.DynamicStep(Share(model), Interval));
        run.Measure("rigl, explored", 100 * explored.Share);

        var gradual = (GradualPruning)lab.During("gmp", lab.Unguarded(Sparsity), null, ("start", "0.08"), ("end", "0.64"), ("interval", run.Pick("2", "20", "20")));
        Measure(run, lab, "gmp", Train(lab, gradual), TrainingCost.GradualRun(gradual.Schedule, steps));

        TrainableModel ticket = lab.Model();
        lab.Run(new LotteryTicket(lab.Unguarded(Sparsity), rounds), ticket, "tickets");
        double rate = LotteryTicket.RatePerRound(Sparsity, rounds);
        Measure(run, lab, "ticket", ticket, TrainingCost.Rounds(rounds, rate, skipsZeros: true));
        run.Measure("ticket, cost with zeros multiplied", TrainingCost.Rounds(rounds, rate, skipsZeros: false));

        int hidden = GradualMagnitude.Hidden((int)Math.Round(PruningTarget.Of(dense).Layers.Sum(l => (double)l.Length) * (1 - Sparsity)));
        TrainableModel small = lab.Model(options: $"hidden1={hidden},hidden2={Math.Max(1, hidden / 3)}");
        lab.Train(small, "small dense");
        Measure(run, lab, "small dense", small, (double)PruningTarget.Of(small).Layers.Sum(l => (long)l.Length) / PruningTarget.Of(dense).Layers.Sum(l => (long)l.Length));
    }

    private static TrainableModel Train(Lab lab, TrainingSparsifier method, params IReadOnlyList<Sparseland.Training.Runs.ITrainerCallback> more)
    {
        TrainableModel model = lab.Model();
        lab.Train(model, method.Id, null, [method, .. more]);
        return model;
    }

    private static void Measure(ReproductionRun run, Lab lab, string arm, TrainableModel model, double cost)
    {
        run.Measure(arm, lab.Accuracy(model));
        run.Measure($"{arm}, cost", cost);
    }

    /// <summary>Multiply-adds of the masked network as a share of the dense one's; in a network of linear layers each weight is one.</summary>
    private static double Share(TrainableModel model)
    {
        PruningTarget target = PruningTarget.Of(model);
        return TrainingCost.SparseShare(target.Layers.Select(l => ((double)l.Length, (double)target.KeptCount(l) / l.Length)));
    }
}
