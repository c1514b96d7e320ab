using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Reproductions.Running;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Reproductions.Papers;

/// <summary>After pruning a language model a small part of its parameters wins most of the perplexity back.</summary>
internal sealed class ParameterEfficientRetrainingOfText : IReproduction
{
    private static readonly (string Name, string Parts)[] s_arms = [("norms", "norms"), ("norms and mask-lora", "norms,mask-lora"), ("everything", "all")];

    public string Id => "perp-text";

    public string Title => "Retraining few parameters of a character transformer (PERP)";

    public IReadOnlyList<string> Methods => [];

    public string Paper => "Zimmer, Andoni, Spiegel and Pokutta: PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs, 2023";

    public string Claim => "after half of a language model's weights are removed by magnitude, retraining the parameters of its normalisations (and its biases, where it has any) wins most of the perplexity back, and low-rank adapters that keep the mask win as much as retraining everything";

    public string Figure => "0.27 to 0.35 % of the parameters of OPT-2.7B to 30B match one-shot iterative magnitude pruning with full retraining (abstract)";

    public string Setup => "the character transformer of essential-sparsity-text (Llama architecture: normalisations with 448 scales and no biases), trained on built-in stories for 800 steps; half of every linear layer of the blocks removed by magnitude; 60 steps of AdamW without decay, batch 16, rate falling "
        + "linearly after a tenth of warm-up; the rate of each arm is the one of 0.0005, 0.002 and 0.01 with the lowest training loss; adapters of rank 4. Perplexity of held-out stories (the paper: models of billions of parameters, tuned rates, up to 1,000 steps)";

    public IReadOnlyList<string> Baselines => ["no retraining", "retraining everything"];

    public IReadOnlyList<Rule> Rules =>
    [
        new("gap closed by norms", "scales of normalisations close at least half of the gap in perplexity between no and full retraining: most of it", v => Closed(v, "norms")) { AtLeast = 0.5 },
        new("gap closed by norms and mask-lora", "with adapters under the mask at least 95 % of it is closed", v => Closed(v, "norms and mask-lora")) { AtLeast = 0.95 },
        new("adapters - norms", "adapters close at least as much as normalisations alone: the order that a plain reference implementation found on digits", v => Closed(v, "norms and mask-lora") - Closed(v, "norms")) { AtLeast = 0 },
    ];

    public void Run(ReproductionRun run)
    {
        const double Trained = 0.55;
        double[] rates = run.Pick<double[]>([0.01], [0.0005, 0.002, 0.01], [0.0005, 0.001, 0.002, 0.005, 0.01]);
        var lab = new TextLab(run);
        var dense = new TrainableModel(lab.Graph, new TrainableModelOptions { Seed = (ulong)run.Seed });
        lab.Train(dense, lab.Plan, 0, Trained, "training");
        run.Measure("perplexity, dense", Math.Exp(lab.Loss(dense)));
        dense.SyncToGraph();
        ModelGraph graph = EssentialSparsity.Prune(lab.Graph, new PruningSettings { Sparsity = 0.5, Bounds = LayerBounds.None, Seed = run.Seed }, "uniform");
        var model = new TrainableModel(graph, new TrainableModelOptions { Seed = (ulong)run.Seed });
        run.Measure("perplexity, none", Math.Exp(lab.Loss(model)));
        run.Measure("parameters", model.Parameters.Sum(p => p.Mask is { } m ? m.KeptCount : p.Value.Length));
        ModelSnapshot pruned = ModelSnapshot.Of(model);
        double each = (1 - Trained) / (s_arms.Length * rates.Length), done = Trained;
        foreach ((string name, string parts) in s_arms)
        {
            (double Loss, ModelSnapshot? State) best = (double.PositiveInfinity, null);
            TrainingPlan plan = lab.Plan with { Steps = run.Pick(10, 60, 200), WeightDecay = 0, Schedule = "linear", WarmUp = 0.1, Retrain = parts, Rank = 4, Alpha = 8, Seed = lab.Plan.Seed + 1 };
            pruned.Restore(model);
            if (PartialRetraining.Parse(parts, plan.Rank) is { } partial) run.Measure($"parameters, {name}", partial.CountTrained(model));
            foreach (double rate in rates)
            {
                pruned.Restore(model);
                TrainingResult result = lab.Train(model, plan with { LearningRate = rate }, done, done += each, name);
                if (result.Loss < best.Loss) best = (result.Loss, ModelSnapshot.Of(model));
            }
            best.State!.Restore(model);
            run.Measure($"perplexity, {name}", Math.Exp(lab.Loss(model)));
        }
    }

    private static double Closed(SeedValues v, string arm) => (v["perplexity, none"] - v[$"perplexity, {arm}"]) / (v["perplexity, none"] - v["perplexity, everything"]);
}
