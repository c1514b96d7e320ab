using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Reproductions.Running;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Reproductions.Papers;

/// <summary>Winning tickets match the dense network, learn faster, and lose this when they are drawn anew.</summary>
internal sealed class LotteryTickets : IReproduction
{
    public string Id => "lottery-ticket";

    public string Title => "The lottery ticket hypothesis";

    public IReadOnlyList<string> Methods => ["imp"];

    public string Paper => "Frankle and Carbin: The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks, ICLR 2019";

    public string Claim => "weights that survive iterative magnitude pruning, set back to their initial values, train to the dense network's accuracy and faster; with other initial values or other positions they do not";

    public string Figure => "LeNet on MNIST: at 21.1 % of the weights the validation loss has its minimum 38 % earlier, at 13.5 % the accuracy is 0.3 points higher (section 2, from memory)";

    public string Setup => "LeNet-300-100, 8,000 MNIST digits, Adam 1.2e-3, batch 64, 1,250 steps per training at a constant rate; 20 % of the remaining weights per round (output 10 %), layer-wise, 7 rounds to 21.07 % and 15 to 3.58 % of the weights; accuracy at the end and after 150 steps";

    public IReadOnlyList<string> Baselines => ["dense", "the same mask with weights drawn anew", "random masks of the same counts with the original weights"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("ticket 21.1 %", "dense", -0.3, "the ticket matches the dense network"),
        Rule.Exceeds("ticket 21.1 %", "reinitialised 21.1 %", 0.7, "its initial values matter"),
        Rule.Exceeds("ticket 3.6 %", "reinitialised 3.6 %", 1.2, "its initial values matter more when little is left"),
        Rule.Exceeds("ticket 3.6 %", "random mask 3.6 %", 1.5, "its positions matter"),
        Rule.Exceeds("ticket 21.1 % after 150 steps", "reinitialised 21.1 % after 150 steps", 3, "it learns faster"),
        Rule.Exceeds("ticket 3.6 % after 150 steps", "reinitialised 3.6 % after 150 steps", 5, "it learns faster"),
    ];

    public void Run(ReproductionRun run)
    {
        int rounds = run.Pick(2, 15, 15), early = run.Pick(20, 150, 150);
        (int Round, string Level)[] levels = run.Pick<(int, string)[]>([(1, "21.1 %"), (2, "3.6 %")], [(7, "21.1 %"), (15, "3.6 %")], [(7, "21.1 %"), (15, "3.6 %")]);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), rounds + 1 + 2 * levels.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(50, 1250, 5000), Optimizer = "adam", LearningRate = 1.2e-3, Schedule = "constant" };
        // The share that rates of 20 % and 10 % leave after so many rounds: 3.58 % after 15.
        double left = (784 * 300 + 300 * 100) / 266_200.0 * Math.Pow(0.8, rounds) + 1000 / 266_200.0 * Math.Pow(0.9, rounds);
        var program = new LotteryTicket(lab.Unguarded(1 - left), rounds);
        var watch = new Watch(lab, early);
        lab.Run(program, lab.Model(), "tickets", null, watch);
        run.Measure("dense", watch.Phases[0].Final);
        run.Measure("dense after 150 steps", watch.Phases[0].Early);
        foreach ((int round, string level) in levels)
        {
            Phase phase = watch.Phases[round];
            run.Measure($"ticket {level}", phase.Final);
            run.Measure($"ticket {level} after 150 steps", phase.Early);
            TrainableModel anew = lab.Model(lab.Network(draw: round));
            MaskCopies.Apply(phase.Start, anew);
            Control(run, lab, anew, $"reinitialised {level}", early);
            TrainableModel elsewhere = lab.Model();
            MaskCopies.ApplyCounts(phase.Start, elsewhere, 100 + run.Seed);
            Control(run, lab, elsewhere, $"random mask {level}", early);
        }
    }

    private static void Control(ReproductionRun run, Lab lab, TrainableModel model, string name, int early)
    {
        var watch = new Watch(lab, early);
        lab.Train(model, name, null, watch);
        run.Measure(name, watch.Phases[0].Final);
        run.Measure($"{name} after 150 steps", watch.Phases[0].Early);
    }

    private sealed record Phase(ModelSnapshot Start)
    {
        public double Early { get; set; }

        public double Final { get; set; }
    }

    /// <summary>Keeps the start of every training, and the accuracy after some steps and at the end.</summary>
    private sealed class Watch(Lab lab, int early) : ITrainerCallback
    {
        public string Name => "watch";

        public List<Phase> Phases { get; } = [];

        public void OnStart(TrainingContext context) => Phases.Add(new Phase(ModelSnapshot.Of(context.Model)));

        public void OnStepEnd(TrainingContext context)
        {
            if (context.Step + 1 == early) Phases[^1].Early = lab.Accuracy(context.Model);
        }

        public void OnEnd(TrainingContext context) => Phases[^1].Final = lab.Accuracy(context.Model);
    }
}
