using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Reproductions.Running;

namespace Sparseland.Reproductions.Papers;

/// <summary>The temperature of the dense training that is best for a light load is not the best for a heavy one, and connectivity says which way to go.</summary>
internal sealed class RegimesOfPruning : IReproduction
{
    public string Id => "three-regimes";

    public string Title => "Three regimes of pruning";

    public IReadOnlyList<string> Methods => [];

    public string Paper => "Zhou, Yang, Chang and Mahoney: A Three-regime Model of Network Pruning, ICML 2023";

    public string Claim => "with few weights left, copies retrained from a long (cold) dense training are separated by barriers, and a shorter (hotter) dense training is better there although it is not at a light load";

    public string Figure => "figures 2 and 3: LMC, CKA and test error over training epochs and density for PreResNet-20 on CIFAR-10 (maps, not tabulated)";

    public string Setup => "three convolutions of 8, 16 and 32 filters with batch normalisation and a linear layer over their means (95 % of the weights are in convolutions, as in the paper's networks), 2,000 CIFAR-10 pictures, dense schedule of 12 epochs stopped after 2 (hot) or 12 (cold), convolutions pruned to 5 % (heavy) or 50 % (light), 2 copies retrained for 12 epochs each, batch 64, rate 0.1 in steps, weight decay 1e-4; paths of 11 points with statistics measured again, all on 1,000 training pictures. Far smaller than PreResNet-20 with 160 epochs";

    public IReadOnlyList<string> Baselines => ["the other temperature at the same density", "the other density at the same temperature"];

    public string History => "at first a hidden linear layer held 98 % of the weights, so that pruned convolutions were no load; with three seeds the claim counted as not reproduced, as it does with the network above. The rules are those of the start";

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("lmc cold light", "lmc cold heavy", 2, "barriers appear when little is left after a cold training (error points)"),
        new("hotter helps more when little is left", "what hot saves in test error at a heavy load exceeds what it saves at a light load by at least 0 points: the optimum moves to hotter trainings",
            v => v["error cold heavy"] - v["error hot heavy"] - (v["error cold light"] - v["error hot light"])) { AtLeast = 0 },
    ];

    public void Run(ReproductionRun run)
    {
        double epochs = run.Pick(1, 12, 40), hot = run.Pick(0.5, 2, 4);
        var lab = new Lab(run, "cifar10", run.Pick(300, 2000, 5000), run.Pick(200, 1000, 5000), 9);
        ModelGraph network = Network(lab.Data.ForTraining.SampleShape[0], run.Pick(4, 8, 16), run.Seed);
        var plan = lab.Plan with { Steps = null, Epochs = epochs, LearningRate = 0.1, Schedule = "step", WeightDecay = 1e-4, Augment = "none" };
        var study = new ThreeRegimeStudy
        {
            Network = network,
            Data = lab.Data,
            Normalization = lab.Normalization,
            Temperatures = [hot, epochs],
            Densities = [0.05, 0.5],
            Dense = plan,
            Retraining = plan,
            Samples = run.Pick(200, 1000, 5000),
            Path = new ConnectivityOptions { Points = run.Pick(3, 11, 11) },
            Seed = 100_000L * run.Seed,
            Progress = new Forward(p => run.Report(p.Done / p.Total, p.What)),
        };
        IReadOnlyList<RegimeCell> cells = study.Run(run.Cancellation);
        foreach (RegimeCell cell in cells)
        {
            string name = $"{(cell.Epochs == hot ? "hot" : "cold")} {(cell.Density < 0.2 ? "heavy" : "light")}";
            run.Measure("lmc " + name, 100 * cell.Lmc);
            run.Measure("cka " + name, cell.Cka);
            run.Measure("error " + name, 100 * cell.TestError);
        }
    }

    /// <summary>A network that consists of its convolutions: they alone are pruned, so what remains dense beside them would carry the load instead.</summary>
    /// <remarks>With a hidden linear layer of 65,536 weights behind 1,368 of convolutions, as this reproduction had at first, a density of 5 % leaves 98 % of the network and is no load.</remarks>
    private static ModelGraph Network(int inputs, int channels, int seed)
    {
        var g = new GraphBuilder("three-convolutions", seed);
        Value h = g.Input("image", ElementType.Float32, Dimension.Named("batch"), inputs, 32, 32);
        for (int i = 0; i < 3; i++)
        {
            if (i > 0) h = g.MaxPool(h, 2);
            h = g.Relu(g.BatchNorm(g.Conv(h, $"conv{i + 1}", channels << i, 3, padding: 1, bias: false), $"bn{i + 1}"));
        }
        return g.Output("logits", g.Linear(g.Flatten(g.GlobalAveragePool(h)), "classifier", 10)).Build();
    }

    private sealed class Forward(Action<AnalysisProgress> action) : IProgress<AnalysisProgress>
    {
        public void Report(AnalysisProgress value) => action(value);
    }
}
