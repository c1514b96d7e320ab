using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Reproductions.Running;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Reproductions.Comparisons;

/// <summary>Every method that prunes a trained network, on the pretrained CIFAR-10 ResNet-20, each with the same recovery.</summary>
internal sealed class AfterTraining : IComparison
{
    public string Id => "after-training";

    public string Title => "Pruning a trained network";

    public string Setup => "the pretrained CIFAR-10 ResNet-20 of the data catalogue (269,722 parameters); recovery: 200 passes over batches of 32 of its 4,000 undamaged training pictures, crops and flips, SGD with momentum 0.9, rate 0.02 falling linearly, decay 5e-4. " +
        "That is less than two looks at a twelfth of the training set: what is compared is how fast methods come back, not how far";

    public IReadOnlyList<double> Sparsities => [0.8, 0.9, 0.95];

    public IReadOnlyList<ComparisonRow> Rows { get; } =
    [
        new("dense", null) { Note = "trained on with the same budget: what the recovery does to a network that needs none" },
        ComparisonRow.Of("magnitude"),
        new("perp", "magnitude")
        {
            Retrain = "biases,norms,mask-lora", Optimizer = "adamw", LearningRate = 5e-4, WarmUp = 0.1, WeightDecay = 0,
            Note = "the magnitude cut, retrained by PERP: biases, norms and low-rank adapters of rank 16 that merge into the mask, with the paper's AdamW without decay, rate 5e-4 falling linearly after a tenth of warm-up (the paper tunes the rate around that)",
        },
        ComparisonRow.Of("rd", ("samples", "32")) with { Note = "32 calibration samples where the default is 1,024: it costs 101 passes over them for each of 20 layers" },
        ComparisonRow.Of("soups") with { Note = "its nine retrainings share the budget" },
        ComparisonRow.Of("wanda"),
        ComparisonRow.Of("channels", ("budget", "parameters")) with { Note = "the sparsity is a share of the parameters, as for the other rows; by default it is one of the multiply-adds" },
        ComparisonRow.Of("jackpots") with { Note = "a method of training that starts from a trained network: the budget is its search" },
        ComparisonRow.Of("bip") with { PassesPerStep = 2, Note = "a method of training that starts from a trained network: the budget is its run, and a step takes two passes" },
    ];

    public void Run(ComparisonRow row, ReproductionRun run, string? keep = null)
    {
        var lab = new Lab(run, "cifar10", run.Pick(64, 4000, 4000), run.Pick(50, 1000, 1000), row.Method is null ? 1 : Sparsities.Count);
        lab.Plan = lab.Plan with { Steps = run.Pick(4, 200, 1250), BatchSize = 32, LearningRate = 0.02, WeightDecay = 5e-4 };
        var bench = new MethodBench(run, lab, Id, Network(run, lab), isTrained: true, keep);
        foreach (double sparsity in row.Method is null ? [0] : Sparsities) bench.Measure(row, sparsity);
    }

    private static ModelGraph Network(ReproductionRun run, Lab lab)
    {
        CatalogEntry entry = DataCatalog.Find("cifar10-resnet")!;
        string? root = DataCatalog.Root(run.DataRoot);
        if (run.Budget != Budget.Quick && lab.DataName == "cifar10" && entry.IsPresent(root)) return ModelFile.Load(entry.PathOf(root!, "resnet20-12fca82f.th"), new LoadOptions { Architecture = "resnet20" });
        run.Note("in place of the pretrained network: a small one, trained for a few steps");
        TrainableModel model = lab.Model(lab.Network("small-cnn", "image=32,inputs=3,channels=4,hidden=16"));
        using Training.Runs.Trainer trainer = (lab.Plan with { Steps = 20 }).CreateTrainer(model, new Pruning.Recovery.RecoveryContext(lab.Data with { Test = null }, lab.Normalization));
        trainer.Run(null, run.Cancellation);
        run.Cancellation.ThrowIfCancellationRequested();
        model.SyncToGraph();
        return model.Graph;
    }
}
