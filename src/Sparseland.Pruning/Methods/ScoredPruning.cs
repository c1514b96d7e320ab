using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Selection;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Methods;

/// <summary>One-shot pruning: score every weight once, share the budget out, keep the best.</summary>
/// <remarks>
/// With the magnitude criterion and the global allocation this is the baseline of "Is Complexity Required for Neural Network Pruning? A Case Study
/// on Global Magnitude Pruning" (2022), section 3; with an N:M pattern the mask of Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, section 3;
/// with SNIP the pruning at initialisation of Lee et al., ICLR 2019.
/// </remarks>
/// <param name="id">The method's id.</param>
/// <param name="stage">When it acts.</param>
/// <param name="settings">What every method is told.</param>
/// <param name="criterion">Scores.</param>
/// <param name="allocation">Budgets; not used by N:M patterns.</param>
/// <param name="batches">Batches over which gradients are averaged, for criteria that need gradients.</param>
public sealed class ScoredPruning(string id, PruningStage stage, PruningSettings settings, ICriterion criterion, IAllocation allocation, int batches = 1) : OneShotSparsifier(id, stage, settings)
{
    private readonly int _batches = batches >= 1 ? batches : throw new ArgumentOutOfRangeException(nameof(batches), batches, "At least 1.");

    /// <summary>The criterion.</summary>
    public ICriterion Criterion => criterion;

    /// <summary>The allocation.</summary>
    public IAllocation Allocation => allocation;

    /// <inheritdoc/>
    public override PruningResult Apply(PruningTarget target, PruningContext? context = null)
    {
        ArgumentNullException.ThrowIfNull(target);
        context ??= new PruningContext();
        LayerPlan plan = Plan(target);
        IReadOnlyList<PrunableLayer> layers = plan.Layers;
        if (layers.Count == 0) return Describe(target, plan);
        float[]?[] gradients = criterion.Needs.HasFlag(CriterionNeeds.Gradients) ? Gradients(target, layers, context) : new float[]?[layers.Count];
        var scores = new float[layers.Count][];
        var weights = new float[layers.Count][];
        for (int l = 0; l < layers.Count; l++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            weights[l] = target.Values(layers[l]);
            RequireFinite(weights[l], layers[l]);
            scores[l] = criterion.Score(new ScoreInput(layers[l], weights[l]) { Gradient = gradients[l], Seed = Settings.Seed });
            context.Progress?.Report(new PruningProgress(l + 1, layers.Count, "scores"));
        }
        Mask?[] present = [.. layers.Select(target.Mask)];
        (Mask[] masks, string?[] notes, IReadOnlyList<string> warnings) = MaskMaker.Make(layers, Settings.Pattern, Settings.Density, allocation, Settings.Bounds, scores, weights, present);
        var outcomes = new List<LayerOutcome>(layers.Count);
        for (int l = 0; l < layers.Count; l++)
        {
            int before = target.KeptCount(layers[l]);
            if (masks[l].KeptCount < before) target.SetMask(layers[l], masks[l]);
            (float lowest, float highest) = Range(scores[l], masks[l], present[l]);
            outcomes.Add(new LayerOutcome(layers[l], before, masks[l].KeptCount, lowest, highest, notes[l]));
        }
        return new PruningResult(Id, Settings.Pattern.Kind == SparsityKind.NofM ? null : Settings.Sparsity, outcomes, [.. plan.Decisions.Where(d => !d.IsPruned)], warnings);
    }

    /// <summary>A NaN would rank last and be pruned in silence: it is an error instead.</summary>
    internal static void RequireFinite(float[] weights, PrunableLayer layer)
    {
        int bad = Array.FindIndex(weights, w => !float.IsFinite(w));
        if (bad < 0) return;
        throw new PruningException("SL4013", $"weight '{layer.Name}' holds {weights[bad]} at index {bad}")
        {
            Because = "scores of values that are not finite mean nothing",
            Try = "train again with a smaller learning rate, or leave the layer out with --ignore",
        };
    }

    private float[]?[] Gradients(PruningTarget target, IReadOnlyList<PrunableLayer> layers, PruningContext context)
    {
        TrainableModel model = target.Model ?? throw Needs("a model with gradients");
        BatchLoader data = context.Data ?? throw Needs("labelled data");
        Parameter[] parameters = [.. layers.Select(l => model.FindParameter(l.Name) ?? throw Needs($"a gradient of '{l.Name}', which is not trained"))];
        bool[] wanted = [.. parameters.Select(p => p.WantsDenseGradient)];
        bool training = model.IsTraining;
        long passes = model.TrainingPasses;
        double[][] sums = [.. layers.Select(l => new double[l.Length])];
        // Scoring must not leave traces: statistics that the forward passes move are put back.
        float[][] statistics = [.. model.Buffers.Select(b => b.Value.ToArray())];
        try
        {
            foreach (Parameter p in parameters) p.WantsDenseGradient = true;
            model.IsTraining = true;
            for (int b = 0; b < _batches; b++)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                Batch batch = data.At(b);
                model.ZeroGrad();
                Tensor output = context.Feed is { } feed
                    ? model.Forward(feed(batch))[model.Graph.Outputs[0].Name].Tensor
                    : model.Forward(new ModelValue(batch.Inputs));
                context.Loss(output, batch).Backward();
                for (int l = 0; l < parameters.Length; l++)
                {
                    if (parameters[l].Grad is not { } gradient) continue;
                    Span<float> g = gradient.Values;
                    for (int i = 0; i < g.Length; i++) sums[l][i] += g[i];
                }
                context.Progress?.Report(new PruningProgress(b + 1, _batches, "gradients"));
            }
        }
        finally
        {
            for (int l = 0; l < parameters.Length; l++) parameters[l].WantsDenseGradient = wanted[l];
            for (int i = 0; i < statistics.Length; i++) statistics[i].CopyTo(model.Buffers[i].Value.Values);
            model.TrainingPasses = passes;
            model.IsTraining = training;
            model.ZeroGrad();
        }
        return [.. sums.Select(s => Array.ConvertAll(s, v => (float)(v / _batches)))];
    }

    private static (float LowestKept, float HighestRemoved) Range(float[] scores, Mask mask, Mask? before)
    {
        float lowest = float.NaN, highest = float.NaN;
        for (int i = 0; i < scores.Length; i++)
        {
            if (mask[i])
            {
                if (!(scores[i] >= lowest)) lowest = scores[i];
            }
            else if ((before is null || before[i]) && !(scores[i] <= highest))
            {
                highest = scores[i];
            }
        }
        return (lowest, highest);
    }
}
