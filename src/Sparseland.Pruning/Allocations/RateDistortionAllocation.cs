using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Selection;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Allocations;

/// <summary>All layers' sparsities at once, so that the outputs move least: measured distortion curves and dynamic programming.</summary>
/// <remarks>
/// Xu et al., "Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural Networks", ICCV 2023, sections 3.1 to 3.3. The distortions of single layers nearly add up, so the sum of D_l is
/// minimised subject to the number of kept weights. Layers keep no more than they have (masks stay nested) and stay within the bounds. What the grid leaves of the budget is given back to the layers, so that the
/// total is exact. Costs one pass over the calibration samples for each layer and grid point.
/// </remarks>
/// <param name="samples">Calibration samples; labels are not used. 1,024 in the paper's CIFAR experiments.</param>
/// <param name="norm">How distances are summed up over samples.</param>
/// <param name="fine">Whether the grid is in tenths of a per cent above 98 %.</param>
public sealed class RateDistortionAllocation(int samples = 1024, DistortionNorm norm = DistortionNorm.Worst, bool fine = false) : IAllocation
{
    private readonly int _samples = samples >= 1 ? samples : throw new ArgumentOutOfRangeException(nameof(samples), samples, "At least 1.");

    /// <inheritdoc/>
    public string Id => "rd";

    /// <inheritdoc/>
    public CriterionNeeds Needs => CriterionNeeds.Data | CriterionNeeds.Network;

    /// <inheritdoc/>
    public AllocationResult Allocate(AllocationRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        Budget.RequireDensity(request.Density);
        IReadOnlyList<DistortionCurve> curves = Measure(request);
        int count = curves.Count;
        int[] low = new int[count], high = new int[count], keep = new int[count];
        for (int l = 0; l < count; l++) (low[l], high[l]) = Limits(request, l);
        // Says at once when the bounds leave no solution.
        Budget.Settle([.. low], low, high, request.Keep, request.Layers);
        int[]? chosen = BudgetedChoice.Solve([.. curves.Select(c => c.Kept.Select(k => (long)k).ToArray())], [.. curves.Select(c => c.Distortion)], request.Keep);
        for (int l = 0; l < count; l++) keep[l] = chosen is null ? low[l] : curves[l].Kept[chosen[l]];
        Budget.Settle(keep, low, high, request.Keep, request.Layers);
        return new AllocationResult(keep, [.. Enumerable.Range(0, count).Where(l => keep[l] == low[l] && low[l] > 0 && high[l] > low[l]).Select(l => $"{request.Layers[l].Name}: kept at its floor of {low[l]} of {request.Layers[l].Length} weights")]);
    }

    /// <summary>The curves of all layers, within what each layer may keep.</summary>
    public IReadOnlyList<DistortionCurve> Measure(AllocationRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        Probing.NetworkProbe probe = request.Probe ?? throw new ArgumentException("Distortions are measured: the network is needed.", nameof(request));
        IReadOnlyList<float[]> weights = request.Weights ?? throw new ArgumentException("Distortions are those of the weights.", nameof(request));
        BatchLoader data = probe.Data;
        Batch[] batches = [.. probe.Batches(Math.Clamp((_samples + data.Options.BatchSize - 1) / data.Options.BatchSize, 1, data.BatchesPerEpoch))];
        float[] clean = probe.Outputs(batches);
        int bad = Array.FindIndex(clean, v => !float.IsFinite(v));
        if (bad >= 0) throw new PruningException("SL4013", $"the network's outputs on the calibration samples hold {clean[bad]} at index {bad}") { Because = "distances from values that are not finite mean nothing", Try = "check the data and the weights for NaN" };
        var curves = new DistortionCurve[request.Layers.Count];
        for (int l = 0; l < curves.Length; l++)
        {
            (int low, int high) = Limits(request, l);
            int[] kept = [.. DistortionCurve.Grid(request.Layers[l].Length, fine).Select(k => Math.Clamp(k, low, high)).Distinct()];
            curves[l] = DistortionCurve.Measure(probe, request.Layers[l], weights[l], kept, batches, clean, norm);
            probe.Context.Progress?.Report(new PruningProgress(l + 1, curves.Length, "distortion of " + request.Layers[l].Name));
        }
        return curves;
    }

    private static (int Low, int High) Limits(AllocationRequest request, int layer)
    {
        int alive = request.AliveCount(layer), length = request.Layers[layer].Length;
        return (Math.Min(alive, request.Bounds.Floor(length, request.Density)), Math.Min(alive, request.Bounds.Ceiling(length, request.Density)));
    }
}
