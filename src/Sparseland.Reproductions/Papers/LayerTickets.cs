using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Structured;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>Residual blocks taken out before training cost little accuracy and save what they cost.</summary>
internal sealed class LayerTickets : IReproduction
{
    public string Id => "layer-lottery";

    public string Title => "Layers play the lottery";

    public IReadOnlyList<string> Methods => ["layers"];

    public string Paper => "Jordao et al.: When Layers Play the Lottery, all Tickets Win at Initialization, 2023";

    public string Claim => "a residual network from which whole blocks are taken out at initialisation trains to the accuracy of the deep one in less time, unlike one that is made narrower at equal cost";

    public string Figure => "training about twice as fast and up to 51 % less carbon emission (abstract and a summary)";

    public string Setup => "ResNet-20 of half width on 4,000 CIFAR-10 pictures, 8 passes, batch 128, rate 0.1 along a cosine, crops and flips; a fifth of the multiply-adds goes: two blocks, or channels by PreCropping (the paper: ResNet-56 and others, whole data sets)";

    public IReadOnlyList<string> Baselines => ["the deep network", "random blocks", "narrower network of equal multiply-adds"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("grasp", "dense", -2, "the shallower network trains to the accuracy of the deep one (4,000 pictures: within two points)"),
        Rule.Exceeds("grasp", "narrower", 0, "better than a narrower network of equal cost"),
        new("time, grasp / dense", "training time falls with the multiply-adds", v => v["grasp seconds"] / v["dense seconds"]) { AtMost = 0.92 },
    ];

    public void Run(ReproductionRun run)
    {
        string[] scores = ["grasp", "cka", "random"];
        var lab = new Lab(run, "cifar10", run.Pick(256, 4000, 4000), run.Pick(200, 1000, 1000), 2 + scores.Length);
        lab.Plan = lab.Plan with { Steps = null, Epochs = run.Pick(1, 8, 30), BatchSize = run.Pick(64, 128, 128), LearningRate = 0.1, Schedule = "cosine", WeightDecay = 5e-4 };
        const string Options = "width=8";
        // Compilation is done before anything is timed, or the first arm would pay for it.
        lab.Train(lab.Model(lab.Network("resnet20", Options)), "warm-up", lab.Plan with { Epochs = 0, Steps = 20 });
        Train("dense", lab.Network("resnet20", Options));
        foreach (string score in scores) Train(score, new BlockRemoval(lab.Unguarded(0.2), score).Rewrite(lab.Network("resnet20", Options), lab.Context()).Graph);
        Train("narrower", new PreCropping(lab.Unguarded(0.2), BudgetUnit.Macs).Rewrite(lab.Network("resnet20", Options), lab.Context()).Graph);

        void Train(string arm, ModelGraph graph)
        {
            TrainableModel model = lab.Model(graph);
            double before = ReproductionRun.ProcessorSeconds;
            lab.Train(model, arm);
            run.Measure($"{arm} seconds", ReproductionRun.ProcessorSeconds - before);
            run.Measure(arm, lab.Accuracy(model));
            run.Measure($"{arm} multiply-adds", ModelCost.Of(graph, new Dictionary<string, TensorType> { [graph.Inputs[0].Name] = new(ElementType.Float32, TensorShape.Of([1, 3, 32, 32])) }, countZeros: false).Macs);
        }
    }
}
