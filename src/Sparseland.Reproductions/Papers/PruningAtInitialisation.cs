using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>SynFlow and FORCE keep networks trainable where random and magnitude masks collapse.</summary>
internal sealed class PruningAtInitialisation : IReproduction
{
    private static readonly (string Method, string Arm, (string, string)[] Arguments)[] s_methods =
        [("random", "random", []), ("magnitude", "magnitude", []), ("snip", "snip", []), ("grasp", "grasp", []), ("grasp", "grasp, free ReLUs", [("relus", "free")]), ("synflow", "synflow", []), ("force", "force", [])];

    public string Id => "pruning-at-initialisation";

    public string Title => "Pruning at initialisation: SNIP, GraSP, SynFlow, FORCE";

    public IReadOnlyList<string> Methods => ["snip", "grasp", "synflow", "force"];

    public string Paper => "Tanaka et al.: Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020; de Jorge et al.: Progressive Skeletonization, ICLR 2021; Wang et al. (GraSP), ICLR 2020; Lee et al. (SNIP), ICLR 2019";

    public string Claim => "masks found before training in many rounds (SynFlow, FORCE) keep a network trainable at 99.5 % and beyond, where random and magnitude masks, and SynFlow in a single round, lose whole layers";

    public string Figure => "SynFlow alone of four methods trains up to the largest compression that is possible (NeurIPS 2020, figure 1; from memory); FORCE trains with 99.5 % removed (ICLR 2021, abstract)";

    public string Setup => "LeNet-300-100 with Glorot-normal weights, 8,000 MNIST digits, 1,250 steps of SGD with momentum 0.9, batch 64, rate 0.05 falling linearly; no floors per layer; random masks use ERK; SNIP and FORCE see one batch of 64 per score (FORCE 60 rounds), GraSP 25 digits of each class, once as in the paper and once over a step within which ReLUs may switch, SynFlow 100 rounds";

    public IReadOnlyList<string> Baselines => ["random masks with ERK", "magnitude at initialisation", "SynFlow in one round", "dense"];

    public string History => "the arm of GraSP with free ReLUs came after the first runs and has no rule";

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("synflow 99.5 %", "random 99.5 %", 15, "random masks collapse"),
        Rule.Exceeds("synflow 99.5 %", "magnitude 99.5 %", 15, "magnitudes before training collapse"),
        Rule.Exceeds("force 99.5 %", "random 99.5 %", 15, "FORCE still trains"),
        new("synflow 99.9 %", "with 266 weights SynFlow's network still learns: at least 30 % accuracy, three times chance", v => v["synflow 99.9 %"]) { AtLeast = 30 },
        new("random 99.9 %", "with 266 weights a random network does not: at most 20 %", v => v["random 99.9 %"]) { AtMost = 20 },
        new("synflow in one round 98 %", "in one round SynFlow empties a layer: chance, at most 15 %", v => v["synflow in one round 98 %"]) { AtMost = 15 },
    ];

    public void Run(ReproductionRun run)
    {
        double[] levels = [0.98, 0.995, 0.999];
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 2 + levels.Length * s_methods.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(20, 1250, 2500) };
        TrainableModel dense = lab.Model();
        lab.Train(dense, "dense");
        run.Measure("dense", lab.Accuracy(dense));
        foreach (double sparsity in levels)
        {
            foreach ((string method, string arm, (string, string)[] arguments) in s_methods) Arm(run, lab, method, $"{arm} {100 * sparsity:0.#} %", sparsity, arguments);
        }
        Arm(run, lab, "synflow", "synflow in one round 98 %", 0.98, ("rounds", "1"));
    }

    private static void Arm(ReproductionRun run, Lab lab, string method, string name, double sparsity, params (string, string)[] arguments)
    {
        if (run.Budget == Budget.Quick && method is ("synflow" or "force") && arguments.Length == 0) arguments = [("rounds", "8")];
        TrainableModel model = lab.Model();
        lab.Prune(model, method, lab.Unguarded(sparsity), arguments);
        lab.Train(model, name);
        run.Measure(name, lab.Accuracy(model));
    }
}
