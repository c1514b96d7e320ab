using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Reproductions.Running;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Reproductions.Papers;

/// <summary>The PQ index makes the pruning rate shrink by itself; adaptive pruning is not worse than lottery tickets.</summary>
internal sealed class SparsityPerspective : IReproduction
{
    public string Id => "sap";

    public string Title => "PQ index and sparsity-informed adaptive pruning";

    public IReadOnlyList<string> Methods => ["sap"];

    public string Paper => "Diao, Wang, Zhang, Yang, Ding and Tarokh: Pruning Deep Neural Networks from a Sparsity Perspective, ICLR 2023";

    public string Claim => "the index of a network's weights first falls while it is pruned; a rate that follows the index shrinks by itself as the network becomes incompressible, and does better than lottery-ticket pruning";

    public string Figure => "figures 3 to 6: index by round, and accuracy by remaining weights of SAP beside the lottery ticket and one-shot pruning (read, not tabulated)";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits, 500 steps per training of SGD with momentum 0.9, batch 64, rate 0.05 falling linearly, weight decay 5e-4; SAP with p = 1, q = 2, global, 5 rounds; lottery tickets at 20 % per round, global, down to the same number of weights; index with p = 0.5, q = 1 of the trained tickets. Smaller and shorter than the paper in every respect";

    public IReadOnlyList<string> Baselines => ["lottery ticket, 20 % of the remaining weights per round, to the density that SAP reaches"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("removed in round 1", "removed in round 5", 15, "the rate shrinks by itself"),
        Rule.Exceeds("index of round 0", "index of round 4", 0.05, "the index falls first"),
        Rule.Exceeds("sap", "lottery", 0, "the headline: better than lottery tickets at equal numbers of weights"),
    ];

    public void Run(ReproductionRun run)
    {
        int rounds = run.Pick(2, 5, 12);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 2 * rounds + 4);
        lab.Plan = lab.Plan with { Steps = run.Pick(40, 500, 1250), WeightDecay = 5e-4 };
        var sap = new SparsityInformedPruning(lab.Unguarded(0.98), rounds, 1, 2);
        TrainableModel adaptive = lab.Model();
        lab.Run(sap, adaptive, "adaptive");
        run.Measure("removed in round 1", 100 * sap.RemovedShares[0]);
        run.Measure("removed in round 5", 100 * sap.RemovedShares[^1]);
        long total = adaptive.Parameters.Where(p => p.Mask is not null).Sum(p => (long)p.Value.Length), kept = adaptive.Parameters.Where(p => p.Mask is not null).Sum(p => (long)p.Mask!.KeptCount);
        run.Measure("density", 100.0 * kept / total);
        run.Measure("sap", lab.Accuracy(adaptive));

        double density = (double)kept / total;
        // Rounds of 20 % as nearly as a whole number of them reaches the density; the last mask has exactly as many weights.
        int tickets = Math.Max(4, (int)Math.Round(Math.Log(density) / Math.Log(0.8)));
        if (run.Budget == Budget.Quick) tickets = 2;
        var program = new LotteryTicket(lab.Unguarded(1 - density), tickets, global: true);
        var watch = new Index();
        TrainableModel ticket = lab.Model();
        lab.Run(program, ticket, "tickets", null, watch);
        run.Measure("lottery", lab.Accuracy(ticket));
        run.Report(1, "tickets");
        run.Measure("index of round 0", watch.Values[0]);
        run.Measure("index of round 4", watch.Values[Math.Min(4, watch.Values.Count - 1)]);
    }

    /// <summary>The index of all surviving weights at the end of every training.</summary>
    private sealed class Index : ITrainerCallback
    {
        public string Name => "index";

        public List<double> Values { get; } = [];

        public void OnEnd(TrainingContext context)
        {
            Parameter[] layers = [.. context.Model.Parameters.Where(p => p.Value.Rank >= 2)];
            Values.Add(PqIndex.Of([.. layers.SelectMany(p => p.Value.ToArray())], 0.5, 1, [.. layers.SelectMany(p => p.Mask?.ToFlags() ?? Enumerable.Repeat(true, p.Value.Length))]));
        }
    }
}
