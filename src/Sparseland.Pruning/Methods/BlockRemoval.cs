using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Probing;
using Sparseland.Pruning.Structured;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Methods;

/// <summary>Layer lottery: whole residual blocks are taken out before training by a score at initialisation; the shallower network keeps the other initial weights.</summary>
/// <remarks>
/// Jordao and others, "When Layers Play the Lottery, all Tickets Win at Initialization", 2023, section 3, algorithm 2; candidates, the least number of blocks per stage and the CKA score as in the same group's released
/// layer-pruning code. Scores: GraSP's theta (H g) or SNIP's |theta g| summed over a block's weights; 1 - CKA between the features before the classifier with and without the block's branch; or
/// random, a strong control. Blocks with the smallest scores go, one at a time with scores taken again, until the share of multiply-adds is gone; algorithm 2 scores once and removes a number of blocks at once. At initialisation the paper
/// uses SNIP and GraSP (table 2); that scores are plain sums over a block is inferred.
/// </remarks>
/// <param name="settings">What every method is told; the sparsity is the share of the multiply-adds that goes.</param>
/// <param name="score">grasp, snip, cka or random.</param>
/// <param name="least">Blocks that every stage keeps.</param>
/// <param name="batches">Batches for the scores snip and cka.</param>
/// <param name="samples">Samples of every class for the score grasp.</param>
public sealed class BlockRemoval(PruningSettings settings, string score, int least = 2, int batches = 1, int samples = 25) : GraphSparsifier("layers", PruningStage.Before, settings)
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "layers",
        Title = "Residual blocks removed at initialisation (layer lottery)",
        Paper = "Jordao et al.: When Layers Play the Lottery, all Tickets Win at Initialization, 2023",
        Section = "section 3, algorithm 2",
        Description = "takes whole residual blocks out of an untrained network; the shallower network is then trained as usual",
        Stage = PruningStage.Before,
        Path = TrainingPath.SparseToSparse,
        Granularities = [Granularity.Layer],
        MaskSource = MaskSource.Gradient,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients,
        Parameters =
        [
            new("score", ParameterType.Choice, "grasp", "what tells how much a block matters: gradient flow, sensitivity, similarity of features, or chance") { Choices = ["grasp", "snip", "cka", "random"] },
            new("least", ParameterType.Integer, "2", "blocks that every stage keeps") { Min = 1, Max = 1000 },
            SharedParameters.Batches with { Description = "batches on which blocks are scored", Only = new("score", "snip", "cka") },
            new("samples", ParameterType.Integer, "25", "samples of every class on which blocks are scored") { Min = 2, Max = 100_000, Only = new("score", "grasp") },
        ],
        DefaultSparsity = 0.4,
        Create = r => new BlockRemoval(r.Settings, r.Arguments.Choice("score"), r.Arguments.Int("least"), r.Arguments.Int("batches"), r.Arguments.Int("samples")),
    };

    /// <inheritdoc/>
    public override CriterionNeeds Requires => score switch
    {
        "random" => CriterionNeeds.None,
        "cka" => CriterionNeeds.Data,
        _ => CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients,
    };

    /// <inheritdoc/>
    public override GraphResult Rewrite(ModelGraph graph, PruningContext? context = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        context ??= new PruningContext();
        ResidualBlocks blocks = ResidualBlocks.Find(graph);
        if (blocks.Candidates.Count == 0)
            throw new PruningException("SL4006", "the model has no residual block with an identity shortcut") { Try = "a residual network, or another method: sparseland list methods" };
        if (Requires.HasFlag(CriterionNeeds.Data) && context.Data is null) throw new PruningException("SL4005", $"the score '{score}' needs {(Requires.HasFlag(CriterionNeeds.Labels) ? "labelled data" : "data")}") { Try = "give data with --data, or --set parameters.score=random" };
        Dictionary<string, TensorType>? types = InputTypes(graph, context);
        long before = ModelCost.Of(graph, types, countZeros: false).Macs;
        double target = before * Settings.Density;
        ModelGraph present = graph;
        long macs = before;
        while (macs > target)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            ResidualBlocks now = ResidualBlocks.Find(present);
            ResidualBlock[] removable = [.. now.Removable(least)];
            if (removable.Length == 0)
            {
                throw new PruningException("SL4004", $"{Settings.Sparsity:P1} of the multiply-adds cannot be removed block by block")
                {
                    Because = $"with {least} blocks left in every stage {(double)macs / before:P1} remain",
                    Try = $"a sparsity of {Math.Floor(1000 * (1 - (double)macs / before)) / 1000:P1}",
                };
            }
            double[] scores = Scores(present, removable, context);
            int lowest = 0;
            for (int i = 1; i < scores.Length; i++) if (scores[i] < scores[lowest]) lowest = i;
            present = now.Without(removable[lowest]);
            macs = ModelCost.Of(present, types, countZeros: false).Macs;
            context.Progress?.Report(new PruningProgress((int)Math.Min(1000, 1000 * (before - macs) / Math.Max(1, before - target)), 1000, "without " + removable[lowest].Name));
        }
        HashSet<string> left = [.. present.Nodes.Select(n => n.Name)];
        return new GraphResult(present, [.. blocks.Candidates.Select(b => new GraphChange(b.Name, "blocks", 1, left.Contains(b.Sum.Name) ? 1 : 0))],
            [.. blocks.Stages.Select(s => (s.Key, Count: s.Value - blocks.Candidates.Count(c => c.Stage == s.Key))).Where(s => s.Count > 0).Select(s => $"{s.Count} blocks of stage {s.Key}: their shortcut is not the identity")], []);
    }

    /// <summary>One score per block; small ones go first.</summary>
    internal double[] Scores(ModelGraph graph, IReadOnlyList<ResidualBlock> blocks, PruningContext context)
    {
        if (score == "random") return [.. blocks.Select(b => RandomCriterion.ForLayer(Settings.Seed, b.Name, 0x1A7).NextDouble())];
        var model = new TrainableModel(graph.Clone());
        using var probe = new NetworkProbe(model, context);
        return score == "cka" ? [.. blocks.Select(b => Difference(probe, b))] : Sums(probe, blocks);
    }

    private double[] Sums(NetworkProbe probe, IReadOnlyList<ResidualBlock> blocks)
    {
        PruningTarget target = PruningTarget.Of(probe.Model);
        INetworkCriterion criterion = score == "grasp" ? new GraspCriterion(samples) : new LayerwiseScoring(new SnipCriterion(), batches);
        float[][] scores = criterion.Score(new NetworkScoreInput(target.Layers, [.. target.Layers.Select(target.Values)]) { Alive = new bool[]?[target.Layers.Count], Probe = probe, Seed = Settings.Seed });
        return [.. blocks.Select(b =>
        {
            HashSet<string> weights = [.. b.Nodes.SelectMany(n => n.Inputs)];
            double sum = 0;
            for (int l = 0; l < scores.Length; l++)
            {
                if (weights.Contains(target.Layers[l].Name)) sum += scores[l].Sum(s => (double)s);
            }
            return sum;
        })];
    }

    private double Difference(NetworkProbe probe, ResidualBlock block)
    {
        TrainableModel model = probe.Model;
        IReadOnlyList<Batch> data = probe.Batches(batches);
        PrunableLayer head = LayerDiscovery.Find(model.Graph).Last(l => l.IsLast);
        (float[] whole, int samples) = Features(probe, head.Input, data);
        Parameter[] touched = [.. block.Nodes.First(n => n.Outputs.Contains(block.Branch)).Inputs.Skip(1).Select(model.FindParameter).OfType<Parameter>()];
        float[][] values = [.. touched.Select(p => p.Value.ToArray())];
        ResidualBlocks.Silence(model, block);
        (float[] without, _) = Features(probe, head.Input, data);
        for (int i = 0; i < touched.Length; i++)
        {
            values[i].CopyTo(touched[i].Value.Values);
            touched[i].TouchValues();
        }
        return 1 - Similarity.LinearCka(whole, without, samples);
    }

    private static (float[] Features, int Samples) Features(NetworkProbe probe, string value, IReadOnlyList<Batch> batches)
    {
        var all = new List<float>();
        probe.Model.IsTraining = false;
        using (probe.Model.Observe(value, v => all.AddRange(v.Tensor.Values)))
        using (GradientMode.Off())
        {
            foreach (Batch batch in batches) probe.Forward(batch);
        }
        return ([.. all], batches.Sum(b => b.Count));
    }

    // Open sizes of pictures are those of the data; one sample.
    private static Dictionary<string, TensorType>? InputTypes(ModelGraph graph, PruningContext context)
    {
        if (context.Data?.Dataset is not { Kind: SampleKind.Picture } data || graph.Inputs.Count != 1) return null;
        return new Dictionary<string, TensorType> { [graph.Inputs[0].Name] = new TensorType(graph.Inputs[0].Type.ElementType, new TensorShape([1, .. data.SampleShape.ToArray()])) };
    }
}
