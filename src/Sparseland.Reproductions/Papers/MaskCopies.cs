using Sparseland.Kernels.Sparse;
using Sparseland.Pruning;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Programs;
using Sparseland.Training;

namespace Sparseland.Reproductions.Papers;

/// <summary>Masks that controls are made of.</summary>
internal static class MaskCopies
{
    /// <summary>Gives a model the masks of a snapshot.</summary>
    public static void Apply(ModelSnapshot from, TrainableModel to)
    {
        foreach (Parameter p in to.Parameters) to.SetMask(p, from.Mask(p.Name));
    }

    /// <summary>Gives a model random masks with the counts that a snapshot has in every layer.</summary>
    public static void ApplyCounts(ModelSnapshot from, TrainableModel to, long seed)
    {
        foreach (PrunableLayer layer in PruningTarget.Of(to).Layers)
        {
            if (from.Mask(layer.Name) is not { } mask) continue;
            float[] scores = new Pruning.Criteria.RandomCriterion().Score(new Pruning.Criteria.ScoreInput(layer, new float[layer.Length]) { Seed = seed });
            to.SetMask(to.Parameter(layer.Name), Mask.FromFlags(layer.Shape.ToArray(), Pruning.Selection.ExactSelection.KeepBest(scores, mask.KeptCount)));
        }
    }
}
