using Sparseland.Reproductions.Running;

namespace Sparseland.Reproductions.Comparisons;

/// <summary>Every method that prunes before or while a network is trained, on a small convolutional network, each with the same training.</summary>
internal sealed class BeforeAndDuringTraining : IComparison
{
    private const string Interval = "20";
    private const string Often = "masks move every 20 steps where the default is 100: as many updates for these 500 steps as for the 2,500 of a longer run";
    private const string Shared = "all of its trainings share the budget: ";

    public string Id => "training";

    public string Title => "Pruning before and during training";

    public string Setup => "a network of two convolutions (16 and 32 filters), norms and two linear layers (268,698 parameters) on 4,000 undamaged CIFAR-10 pictures, crops and flips: 500 passes of training over batches of 64, all trainings of a method together (scoring before them is extra, see *pruning*), " +
        "SGD with momentum 0.9, rate 0.05 falling linearly, decay 5e-4. That is eight looks at a twelfth of the training set; methods that train several times would do better with more";

    public IReadOnlyList<double> Sparsities => [0.8, 0.9, 0.95];

    public IReadOnlyList<ComparisonRow> Rows { get; } =
    [
        new("dense", null),
        ComparisonRow.Of("random") with { Note = "the control of all others: random masks before training" },
        ComparisonRow.Of("snip"),
        ComparisonRow.Of("grasp"),
        ComparisonRow.Of("synflow"),
        ComparisonRow.Of("force"),
        ComparisonRow.Of("imp") with { Note = Shared + "six of 83 passes" },
        ComparisonRow.Of("ap") with { Note = Shared + "eleven of 45 passes" },
        ComparisonRow.Of("sap") with { Note = Shared + "eleven of 45 passes; it stops by itself where its index says so" },
        ComparisonRow.Of("precrop") with { Note = "the sparsity is a share of the parameters: the network is narrower" },
        ComparisonRow.Of("layers") with { Note = "takes whole residual blocks: its own reproduction runs it on a ResNet-20, where two of three blocks per stage stay at the least" },
        ComparisonRow.Of("node-search") with { CutsUnits = true, Note = "keeps the square root of the density of every layer's units, which is about the density in parameters; the network is narrower" },
        ComparisonRow.Of("gmp"),
        ComparisonRow.Of("rigl", ("interval", Interval)) with { Note = Often },
        ComparisonRow.Of("set", ("interval", Interval)) with { Note = Often },
        ComparisonRow.Of("static") with { Note = "the same masks and the same training as random: the two must agree" },
        ComparisonRow.Of("granet", ("interval", Interval)) with { Note = Often },
        ComparisonRow.Of("iss"),
        ComparisonRow.Of("jackpots") with { DenseShare = 0.5, Note = "starts from a trained network: half of the budget trains it" },
        ComparisonRow.Of("bip") with { DenseShare = 0.5, PassesPerStep = 2, Note = "starts from a trained network: half of the budget trains it; then a step takes two passes" },
    ];

    public void Run(ComparisonRow row, ReproductionRun run, string? keep = null)
    {
        var lab = new Lab(run, "cifar10", run.Pick(64, 4000, 4000), run.Pick(50, 1000, 1000), row.Method is null ? 1 : Sparsities.Count);
        lab.Plan = lab.Plan with { Steps = run.Pick(44, 500, 5000), BatchSize = run.Pick(16, 64, 64), LearningRate = 0.05, WeightDecay = 5e-4 };
        var bench = new MethodBench(run, lab, Id, lab.Network("small-cnn", run.Pick("image=32,inputs=3,channels=4,hidden=16", "image=32,inputs=3,channels=16", "image=32,inputs=3,channels=16")), isTrained: false, keep);
        foreach (double sparsity in row.Method is null ? [0] : Sparsities) bench.Measure(row, sparsity);
    }
}
