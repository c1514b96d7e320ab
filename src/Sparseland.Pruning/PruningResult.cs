using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning;

/// <summary>What happened to one layer.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Before">Weights before.</param>
/// <param name="After">Weights after.</param>
/// <param name="LowestKept">The lowest score that was kept; NaN when nothing was or no score was used.</param>
/// <param name="HighestRemoved">The highest score that was removed now; NaN when nothing was.</param>
/// <param name="Note">A remark for people, or null.</param>
public sealed record LayerOutcome(PrunableLayer Layer, int Before, int After, float LowestKept, float HighestRemoved, string? Note = null)
{
    /// <summary>Removed share of the layer, 0 to 1.</summary>
    public double Sparsity => Layer.Length == 0 ? 0 : 1 - (double)After / Layer.Length;
}

/// <summary>What a method did: requested and achieved, per layer, with what was left alone and why (R4, R5).</summary>
/// <param name="Method">The method's id.</param>
/// <param name="Requested">Sparsity that was asked for; null when the pattern fixes it.</param>
/// <param name="Layers">The layers that could be pruned.</param>
/// <param name="Excluded">The layers that were left alone, each with the reason.</param>
/// <param name="Warnings">Sentences for people.</param>
public sealed record PruningResult(string Method, double? Requested, IReadOnlyList<LayerOutcome> Layers, IReadOnlyList<LayerDecision> Excluded, IReadOnlyList<string> Warnings)
{
    /// <summary>Weights of the pruned layers.</summary>
    public long Total => Layers.Sum(l => (long)l.Layer.Length);

    /// <summary>Weights of them that are left.</summary>
    public long Kept => Layers.Sum(l => (long)l.After);

    /// <summary>Weights that this call removed.</summary>
    public long Removed => Layers.Sum(l => (long)l.Before - l.After);

    /// <summary>Removed share of the pruned layers' weights.</summary>
    public double Achieved => Total == 0 ? 0 : 1 - (double)Kept / Total;

    /// <summary>Whether nothing was removed: a failure unless the user allows it (R5).</summary>
    public bool NothingRemoved => Removed == 0;

    /// <summary>Why nothing, or less than asked for, was removed.</summary>
    public IReadOnlyList<string> Reasons
    {
        get
        {
            var reasons = new List<string>();
            if (Layers.Count + Excluded.Count == 0) reasons.Add("the model has no convolution or linear layer whose weights could be removed");
            else if (Layers.Count == 0) reasons.Add("every prunable layer is excluded");
            foreach (IGrouping<string?, LayerDecision> group in Excluded.GroupBy(e => e.Reason))
                reasons.Add($"{group.Key}: {string.Join(", ", group.Take(4).Select(e => e.Layer.Name))}{(group.Count() > 4 ? $" and {group.Count() - 4} more" : "")}");
            if (Layers.Count > 0 && NothingRemoved) reasons.Add(Requested is 0 ? "a sparsity of 0 % removes nothing" : Kept < Total ? $"the layers already have a sparsity of {Achieved:P1}" : "the target asks for nothing to be removed");
            foreach (LayerOutcome layer in Layers)
            {
                if (layer.Note is not null) reasons.Add($"{layer.Layer.Name}: {layer.Note}");
            }
            return reasons;
        }
    }
}
