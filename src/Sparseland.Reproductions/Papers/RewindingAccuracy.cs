using Sparseland.Pruning.Programs;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>On a deep network tickets that are rewound to an early step are more accurate than those that are rewound to the start.</summary>
internal sealed class RewindingAccuracy : IReproduction
{
    public string Id => "rewinding-accuracy";

    public string Title => "Rewinding and accuracy";

    public IReadOnlyList<string> Methods => ["imp"];

    public string Paper => "Frankle, Dziugaite, Roy and Carbin: Stabilizing the Lottery Ticket Hypothesis, 2019";

    public string Claim => "on deep networks with a high learning rate subnetworks that are rewound to a step early in training become more accurate than those that are rewound to the start";

    public string Figure => "ResNet-50 on ImageNet at 80 %: matching subnetworks after rewinding to 0.1 to 7 % of training, none from step 0 (abstract)";

    public string Setup => "ResNet-20 with 8, 16 and 32 filters, 4,000 CIFAR-10 pictures with crops and flips, 400 steps of SGD with momentum 0.9, batch 64, rate 0.1 in steps, weight decay 1e-4; 90 % by one global cut of the trained network, rewound to 0, 0.5, 2 and 5 % of the steps and trained for the rest; accuracy on 1,000 test pictures. Six epochs, where the paper has hundreds";

    public IReadOnlyList<string> Baselines => ["rewinding to step 0", "a random mask of the same counts, rewound to 2 %"];

    public IReadOnlyList<Rule> Rules =>
    [
        new("rewound - step 0", "the mean accuracy after rewinding to 0.5, 2 and 5 % exceeds that of step 0 by at least 1: the lower end of what is expected on a network of this kind", v => (v["step 0.5 %"] + v["step 2 %"] + v["step 5 %"]) / 3 - v["step 0 %"]) { AtLeast = 1 },
    ];

    private static readonly double[] s_percent = [0, 0.5, 2, 5];

    public void Run(ReproductionRun run)
    {
        var lab = new Lab(run, "cifar10", run.Pick(200, 4000, 4000), run.Pick(100, 1000, 1000), 2 + s_percent.Sum(p => 1 - p / 100) - 0.02);
        long total = run.Pick(4, 400, 4000);
        lab.Plan = lab.Plan with { Steps = total, BatchSize = run.Pick(16, 64, 64), LearningRate = 0.1, Schedule = "step", WeightDecay = 1e-4 };
        long[] steps = [.. s_percent.Select(p => (long)Math.Round(total * p / 100))];
        TrainableModel model = lab.Model("resnet20", $"width={run.Pick(4, 8, 16)}");
        var keep = new KeepStates(steps);
        lab.Train(model, "dense", null, keep);
        run.Measure("dense", lab.Accuracy(model));
        lab.Prune(model, "magnitude", lab.Unguarded(0.9));
        ModelSnapshot pruned = ModelSnapshot.Of(model);
        for (int i = 0; i < steps.Length; i++) Ticket($"step {s_percent[i].ToString(System.Globalization.CultureInfo.InvariantCulture)} %", steps[i]);
        MaskCopies.ApplyCounts(pruned, model, 100 + run.Seed);
        Ticket("random mask, step 2 %", steps[2]);

        void Ticket(string name, long step)
        {
            keep.States[step].Rewind(model);
            lab.Train(model, name, lab.Plan with { FirstStep = step });
            run.Measure(name, lab.Accuracy(model));
        }
    }
}
