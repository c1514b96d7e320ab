using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Reproductions.Running;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Reproductions.Papers;

/// <summary>After pruning a small part of the parameters wins most of the accuracy back.</summary>
internal sealed class ParameterEfficientRetraining : IReproduction
{
    private static readonly (string Name, string Parts)[] s_arms = [("biases", "biases"), ("biases and head", "biases,head"), ("biases and mask-lora", "biases,mask-lora"), ("everything", "all")];

    public string Id => "perp";

    public string Title => "Retraining few parameters (PERP)";

    public IReadOnlyList<string> Methods => [];

    public string Paper => "Zimmer, Andoni, Spiegel and Pokutta: PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs, 2023";

    public string Claim => "after pruning, retraining biases and norms alone wins most of the accuracy back, and low-rank adapters that keep the mask win as much as retraining everything";

    public string Figure => "0.27 to 0.35 % of the parameters of OPT-2.7B to 30B match one-shot iterative magnitude pruning with full retraining (abstract)";

    public string Setup => "LeNet-300-100 trained on 8,000 MNIST digits for 1,250 steps, pruned in one cut by global magnitude, 250 steps of AdamW without decay, rate falling linearly after a tenth of warm-up; the rate of each arm is the one of 0.0005, 0.002 and 0.01 with the lowest training loss; adapters of rank 8 (the paper: language models)";

    public IReadOnlyList<string> Baselines => ["no retraining", "retraining everything"];

    public IReadOnlyList<Rule> Rules =>
    [
        new("gap closed by biases 95 %", "biases, 0.15 % of the parameters, close at least 60 % of the gap between no and full retraining", v => Closed(v, "biases")) { AtLeast = 0.6 },
        new("gap closed by biases and mask-lora 95 %", "adapters under the mask close at least 95 % of it", v => Closed(v, "biases and mask-lora")) { AtLeast = 0.95 },
        Rule.Exceeds("biases and head 95 %", "biases 95 %", 0, "the head helps"),
    ];

    public void Run(ReproductionRun run)
    {
        double[] levels = run.Pick<double[]>([0.95], [0.9, 0.95, 0.98], [0.9, 0.95, 0.98]);
        double[] rates = run.Pick<double[]>([0.01], [0.0005, 0.002, 0.01], [0.0005, 0.001, 0.002, 0.005, 0.01]);
        var lab = new Lab(run, "mnist", run.Pick(1000, 8000, 40_000), run.Pick(500, 2000, 10_000), 1 + 0.2 * levels.Length * s_arms.Length * rates.Length);
        lab.Plan = lab.Plan with { Steps = run.Pick(60, 1250, 2500) };
        TrainableModel model = lab.Model();
        lab.Train(model, "dense");
        run.Measure("dense", lab.Accuracy(model));
        ModelSnapshot dense = ModelSnapshot.Of(model);
        foreach (double sparsity in levels)
        {
            string level = $"{100 * sparsity:0.#} %";
            dense.Restore(model);
            lab.Prune(model, "magnitude", lab.Unguarded(sparsity));
            run.Measure($"none {level}", lab.Accuracy(model));
            ModelSnapshot pruned = ModelSnapshot.Of(model);
            foreach ((string name, string parts) in s_arms)
            {
                (double Loss, ModelSnapshot? State) best = (double.PositiveInfinity, null);
                foreach (double rate in rates)
                {
                    pruned.Restore(model);
                    TrainingResult result = lab.Train(model, $"{name} {level}", lab.Plan with
                    {
                        Steps = lab.Plan.Steps / 5,
                        Optimizer = "adamw",
                        LearningRate = rate,
                        WarmUp = 0.1,
                        Retrain = parts,
                        Rank = 8,
                        Alpha = 16,
                        Seed = 1,
                    });
                    if (result.Loss < best.Loss) best = (result.Loss, ModelSnapshot.Of(model));
                }
                best.State!.Restore(model);
                run.Measure($"{name} {level}", lab.Accuracy(model));
            }
        }
    }

    private static double Closed(SeedValues v, string arm) => (v[$"{arm} 95 %"] - v["none 95 %"]) / (v["everything 95 %"] - v["none 95 %"]);
}
