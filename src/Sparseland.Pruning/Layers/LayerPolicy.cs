namespace Sparseland.Pruning.Layers;

/// <summary>Which layers a method may touch (R35).</summary>
/// <remarks>
/// Biases and the parameters of normalisations are never pruned. Embedding tables (tied ones included) and depthwise kernels stay dense
/// unless asked for: they are small or looked up, and the papers leave them out.
/// </remarks>
public sealed record LayerPolicy
{
    /// <summary>Filters of which one must match; empty = everything.</summary>
    public IReadOnlyList<string> Targets { get; init; } = [];

    /// <summary>Filters of which none may match.</summary>
    public IReadOnlyList<string> Ignore { get; init; } = [];

    /// <summary>Whether the first convolution or linear layer is pruned.</summary>
    public bool First { get; init; } = true;

    /// <summary>Whether the last convolution or linear layer is pruned.</summary>
    public bool Last { get; init; } = true;

    /// <summary>Whether embedding tables are pruned.</summary>
    public bool Embeddings { get; init; }

    /// <summary>Whether depthwise kernels are pruned.</summary>
    public bool Depthwise { get; init; }

    /// <summary>Decides for every layer, with the reason.</summary>
    /// <exception cref="PruningException">SL4001: a filter matches nothing; near misses are named.</exception>
    public LayerPlan Apply(IReadOnlyList<PrunableLayer> layers)
    {
        ArgumentNullException.ThrowIfNull(layers);
        NameFilter[] targets = [.. Targets.Select(t => new NameFilter(t))], ignore = [.. Ignore.Select(t => new NameFilter(t))];
        foreach (NameFilter filter in targets.Concat(ignore))
        {
            if (!layers.Any(filter.Matches)) throw NameFilter.NoMatch(filter.Text, layers.SelectMany(NameFilter.Names), layers.Count);
        }
        var decisions = new List<LayerDecision>(layers.Count);
        foreach (PrunableLayer layer in layers)
        {
            // Naming a layer exactly is a decision of its own: it overrules the general policy.
            NameFilter? target = Array.Find(targets, t => t.Matches(layer)), ignored = Array.Find(ignore, t => t.Matches(layer));
            bool named = target is not null && !target.Text.Contains('*', StringComparison.Ordinal) && !target.Text.StartsWith("re:", StringComparison.Ordinal);
            string? reason =
                ignored is not null ? $"excluded by user ({ignored.Text})"
                : targets.Length > 0 && target is null ? "excluded by user (no target matches)"
                : named ? null
                : layer.Kind == LayerKind.Embedding && !Embeddings ? layer.IsTied ? "policy: tied embedding stays dense" : "policy: embeddings stay dense"
                : layer.Kind == LayerKind.Depthwise && !Depthwise ? "policy: depthwise kernels stay dense"
                : layer.IsFirst && !First ? "policy: first layer stays dense"
                : layer.IsLast && !Last ? "policy: last layer stays dense"
                : null;
            decisions.Add(new LayerDecision(layer, reason is null, reason));
        }
        return new LayerPlan(decisions);
    }
}

/// <summary>Whether a layer is pruned.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="IsPruned">Whether the method may touch it.</param>
/// <param name="Reason">Why not.</param>
public sealed record LayerDecision(PrunableLayer Layer, bool IsPruned, string? Reason);

/// <summary>The decisions for all layers of a model.</summary>
/// <param name="Decisions">One per prunable weight, in order.</param>
public sealed record LayerPlan(IReadOnlyList<LayerDecision> Decisions)
{
    /// <summary>The layers that are pruned, in order.</summary>
    public IReadOnlyList<PrunableLayer> Layers { get; } = [.. Decisions.Where(d => d.IsPruned).Select(d => d.Layer)];

    /// <summary>Weights of the layers that are pruned: what "sparsity" refers to.</summary>
    public long Length => Layers.Sum(l => (long)l.Length);
}
