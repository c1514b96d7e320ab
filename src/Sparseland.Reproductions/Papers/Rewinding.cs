using Sparseland.Pruning;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Programs;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>The later a subnetwork is rewound to, the more stable it is to pruning and to the order of the data.</summary>
internal sealed class Rewinding : IReproduction
{
    public string Id => "rewinding";

    public string Title => "Rewinding and stability";

    public IReadOnlyList<string> Methods => ["imp"];

    public string Paper => "Frankle, Dziugaite, Roy and Carbin: Stabilizing the Lottery Ticket Hypothesis, 2019";

    public string Claim => "subnetworks that are rewound to a step early in training end closer to the dense network, and closer to each other under another order of the data, than those that are rewound to the start";

    public string Figure => "both distances fall as the rewinding step grows; accuracy follows on deep networks: ResNet-50 at 80 % sparsity matches after rewinding to 0.1 to 7 % of training (abstract; section 3)";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits, 1,250 steps of SGD with momentum 0.9, batch 64, rate 0.05 falling linearly; 95 % by one global cut of the trained network, rewound to steps 0, 10, 50, 150, 400, trained for the remaining steps. Distances over kept weights. Tests the stability half of the claim; the accuracy half, which needs a deep network, is rewinding-accuracy";

    public IReadOnlyList<string> Baselines => ["rewinding to step 0"];

    public IReadOnlyList<Rule> Rules =>
    [
        new("distance to the dense network, step 0 - step 400", "the distance to the dense network's weights falls by at least 1.5 from step 0 to step 400", v => v["to pruning, step 0"] - v["to pruning, step 400"]) { AtLeast = 1.5 },
        new("distance between orders, step 0 - step 400", "the distance between two orders of the data falls by at least 0.5", v => v["to order, step 0"] - v["to order, step 400"]) { AtLeast = 0.5 },
        new("largest rise on the way", "the distance to the dense network falls from step to step, up to 0.15 of noise", v => Rise(v, "to pruning")) { AtMost = 0.15 },
        Rule.Close("accuracy, step 400", "accuracy, step 0", 0.8, "on an easy task the accuracies are equal"),
    ];

    private static readonly int[] s_steps = [0, 10, 50, 150, 400];

    public void Run(ReproductionRun run)
    {
        long total = run.Pick(50, 1250, 2500);
        // Quick runs use the same names with steps that fit.
        long[] steps = [.. s_steps.Select(s => run.Budget == Budget.Quick ? s * total / 1250 : s)];
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + s_steps.Sum(s => 2 * (1 - s / 1250.0)));
        lab.Plan = lab.Plan with { Steps = total };
        TrainableModel model = lab.Model();
        var keep = new KeepStates(steps);
        lab.Train(model, "dense", null, keep);
        run.Measure("accuracy, dense", lab.Accuracy(model));
        ModelSnapshot dense = ModelSnapshot.Of(model);
        lab.Prune(model, "magnitude", lab.Unguarded(0.95));
        string[] weights = [.. PruningTarget.Of(model).Layers.Select(l => l.Name)];
        for (int i = 0; i < steps.Length; i++)
        {
            ModelSnapshot[] ends = new ModelSnapshot[2];
            for (int copy = 0; copy < 2; copy++)
            {
                keep.States[steps[i]].Rewind(model);
                lab.Train(model, $"step {s_steps[i]}", lab.Plan with { FirstStep = steps[i], Seed = copy });
                if (copy == 0) run.Measure($"accuracy, step {s_steps[i]}", lab.Accuracy(model));
                ends[copy] = ModelSnapshot.Of(model);
            }
            WeightDistance pruning = WeightDistances.Between(dense, ends[0], weights), order = WeightDistances.Between(ends[0], ends[1], weights);
            run.Measure($"to pruning, step {s_steps[i]}", pruning.Euclidean);
            run.Measure($"to pruning, angle, step {s_steps[i]}", pruning.Degrees);
            run.Measure($"to order, step {s_steps[i]}", order.Euclidean);
            run.Measure($"to order, angle, step {s_steps[i]}", order.Degrees);
        }
    }

    private static double Rise(SeedValues v, string name) => Enumerable.Range(1, s_steps.Length - 1).Max(i => v[$"{name}, step {s_steps[i]}"] - v[$"{name}, step {s_steps[i - 1]}"]);
}
