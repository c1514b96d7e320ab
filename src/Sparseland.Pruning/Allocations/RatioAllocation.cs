using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Allocations;

/// <summary>The counts per layer that a criterion's own global mask has; which weights it would keep is not used.</summary>
/// <remarks>
/// "SNIP ratio" and "GraSP ratio" of Liu et al., "The Unreasonable Effectiveness of Random Pruning", ICLR 2022, section 3.1: with random scores they tell what of a criterion is its allocation.
/// Needs what the criterion needs.
/// </remarks>
/// <param name="id">Stable name.</param>
/// <param name="criterion">The criterion; scored once, at the present weights.</param>
public sealed class RatioAllocation(string id, INetworkCriterion criterion) : IAllocation
{
    /// <inheritdoc/>
    public string Id => id;

    /// <inheritdoc/>
    public CriterionNeeds Needs => criterion.Needs;

    /// <inheritdoc/>
    public AllocationResult Allocate(AllocationRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        IReadOnlyList<float[]> weights = request.Weights ?? throw new ArgumentException("The criterion needs the weights.", nameof(request));
        float[][] scores = criterion.Score(new NetworkScoreInput(request.Layers, weights) { Alive = request.Alive ?? new bool[]?[request.Layers.Count], Probe = request.Probe, Seed = request.Seed });
        return new GlobalAllocation().Allocate(request with { Scores = scores });
    }
}
