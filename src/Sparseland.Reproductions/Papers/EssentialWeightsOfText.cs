using Sparseland.Pruning;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Programs;
using Sparseland.Reproductions.Running;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>A character transformer, too, loses nothing up to a cliff when its smallest weights go in one cut.</summary>
internal sealed class EssentialWeightsOfText : IReproduction
{
    public string Id => "essential-sparsity-text";

    public string Title => "Essential sparsity of a character transformer";

    public IReadOnlyList<string> Methods => [];

    public string Paper => "Jaiswal, Liu, Chen and Wang: The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that Matter, NeurIPS 2023";

    public string Claim => "30 to 50 % of a transformer's weights can be removed in one cut by magnitude within 1 % of its quality, far more than at random, and quality falls off sharply later on";

    public string Figure => "30 to 50 % within 1 % across BERT, OPT, ViT and DINO (abstract; the tolerance is that of a published summary)";

    public string Setup => "Llama architecture with 3 blocks of 64 features, 4 heads and bytes as tokens, trained on 144 KB of built-in stories for 800 steps of AdamW, batch 16, windows of 64; one-shot global magnitude and random masks with the same counts per layer over the linear weights of all blocks at 0, 5, ... 95 %, perplexity of held-out stories, quality = 1 / perplexity, tolerance 1 %. Text that a grammar wrote, and a network that is small for it";

    public IReadOnlyList<string> Baselines => ["random masks with the counts per layer of magnitude"];

    public IReadOnlyList<Rule> Rules =>
    [
        new("essential, magnitude", "essential sparsity lies between 25 % and 65 %: 30 to 60 % is expected, a level of the sweep more on either side", v => v["essential, magnitude"]) { AtLeast = 25, AtMost = 65 },
        Rule.Exceeds("essential, magnitude", "essential, random", 15, "magnitude's cliff lies far to the right of random's"),
        Rule.Exceeds("rise over the last 10 %", "rise up to the essential sparsity", 0.5, "a flat region, then a cliff (logarithm of the perplexity)"),
    ];

    public void Run(ReproductionRun run)
    {
        var lab = new TextLab(run);
        var model = new TrainableModel(lab.Graph, new TrainableModelOptions { Seed = (ulong)run.Seed });
        long steps = lab.Plan.TotalSteps(lab.Data.ForTraining);
        var keep = new KeepStates([steps / 4, steps / 2]);
        lab.Train(model, lab.Plan, 0, 0.7, "training", keep);
        ModelSnapshot trained = ModelSnapshot.Of(model);
        double[] levels = [.. Enumerable.Range(0, 20).Select(i => Math.Round(0.05 * i, 2))];
        double done = 0.7;
        foreach (string way in (string[])["magnitude", "random"])
        {
            double[] loss = Sweep(trained, way);
            var curve = new SparsityCurve(way, levels, [.. loss.Select(l => Math.Exp(-l))]);
            run.Measure($"essential, {way}", 100 * curve.Essential());
            run.Measure($"knee, {way}", 100 * curve.Knee);
            if (way != "magnitude") continue;
            run.Measure("perplexity", Math.Exp(loss[0]));
            run.Measure("rise up to the essential sparsity", loss[Array.IndexOf(levels, curve.Essential())] - loss[0]);
            run.Measure("rise over the last 10 %", loss[^1] - loss[^3]);
        }
        // Along the training, for the record: does what is essential grow with what was learned?
        foreach ((string name, long step) in (ReadOnlySpan<(string, long)>)[("a quarter", steps / 4), ("half", steps / 2)])
            run.Measure($"essential after {name} of the training", 100 * new SparsityCurve(name, levels, [.. Sweep(keep.States[step], "magnitude").Select(l => Math.Exp(-l))]).Essential());

        double[] Sweep(ModelSnapshot state, string way)
        {
            state.Restore(model);
            model.SyncToGraph();
            double[] loss = new double[levels.Length];
            for (int i = 0; i < loss.Length; i++)
            {
                var settings = new PruningSettings { Sparsity = levels[i], Bounds = LayerBounds.None, Seed = run.Seed };
                loss[i] = lab.Loss(new TrainableModel(EssentialSparsity.Prune(lab.Graph, settings, way)));
                run.Report(done += 0.3 / (4 * levels.Length), way);
            }
            return loss;
        }
    }
}
