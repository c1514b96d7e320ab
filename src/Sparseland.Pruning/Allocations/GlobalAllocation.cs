using Sparseland.Pruning.Selection;

namespace Sparseland.Pruning.Allocations;

/// <summary>One threshold over all layers, with a floor and a ceiling per layer (R22).</summary>
/// <remarks>
/// Layers that would fall below the floor are fixed there and the threshold is found again over the others for the remaining budget, until none falls
/// below: the ranking inside and between the unprotected layers stays global. "Is Complexity Required for Neural Network Pruning?
/// A Case Study on Global Magnitude Pruning", 2022, section 3 (minimum threshold), in its exact form.
/// </remarks>
public sealed class GlobalAllocation : IAllocation
{
    /// <inheritdoc/>
    public string Id => "global";

    /// <inheritdoc/>
    public AllocationResult Allocate(AllocationRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        Budget.RequireDensity(request.Density);
        IReadOnlyList<float[]> scores = request.Scores ?? throw new ArgumentException("A global ranking needs scores.", nameof(request));
        int count = request.Layers.Count;
        int[] low = new int[count], high = new int[count], keep = new int[count];
        int?[] pinned = new int?[count];
        for (int l = 0; l < count; l++)
        {
            int alive = request.AliveCount(l), length = request.Layers[l].Length;
            low[l] = Math.Min(alive, request.Bounds.Floor(length, request.Density));
            high[l] = Math.Min(alive, request.Bounds.Ceiling(length, request.Density));
        }
        // Says at once when the bounds leave no solution.
        Budget.Settle([.. low], low, high, request.Keep, request.Layers);
        var warnings = new List<string>();
        while (true)
        {
            long budget = request.Keep - pinned.Sum(p => (long)(p ?? 0));
            int[] open = [.. Enumerable.Range(0, count).Where(l => pinned[l] is null)];
            long capacity = open.Sum(l => (long)request.AliveCount(l));
            // Floors may have used up more than is left, ceilings less than must go somewhere.
            if (budget < 0 || budget > capacity)
            {
                for (int l = 0; l < count; l++) keep[l] = pinned[l] ?? (budget < 0 ? low[l] : high[l]);
                Budget.Settle(keep, low, high, request.Keep, request.Layers);
                return new AllocationResult(keep, warnings);
            }
            bool[][] kept = ExactSelection.KeepBest([.. open.Select(l => scores[l])], budget, request.Alive is null ? null : [.. open.Select(l => request.Alive[l])]);
            for (int i = 0; i < open.Length; i++) keep[open[i]] = kept[i].AsSpan().Count(true);
            int[] starving = [.. open.Where(l => keep[l] < low[l])], greedy = [.. open.Where(l => keep[l] > high[l])];
            foreach (int l in starving)
            {
                warnings.Add($"{request.Layers[l].Name}: the global threshold would keep {keep[l]} of {request.Layers[l].Length} weights; the floor keeps {low[l]}");
                pinned[l] = low[l];
            }
            if (starving.Length == 0)
            {
                foreach (int l in greedy) pinned[l] = high[l];
            }
            if (starving.Length + greedy.Length == 0) break;
        }
        for (int l = 0; l < count; l++) keep[l] = pinned[l] ?? keep[l];
        return new AllocationResult(keep, warnings);
    }
}

/// <summary>Layer-adaptive magnitudes: score = w^2 / (sum of the squares that are not smaller in the layer), then one threshold over all layers.</summary>
/// <remarks>
/// Lee, Park, Mo, Ahn and Shin, "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021, equation 4. Only decides how much each layer keeps: inside
/// a layer the order stays that of the magnitudes. The largest weight of every layer scores exactly 1, so no layer dies while as many weights as layers stay.
/// </remarks>
public sealed class LampAllocation : IAllocation
{
    /// <inheritdoc/>
    public string Id => "lamp";

    /// <summary>The scores of one layer.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="alive">Entries that are still there; null = all. Removed entries score 0.</param>
    public static float[] Scores(ReadOnlySpan<float> weights, bool[]? alive = null)
    {
        float[] magnitudes = new float[weights.Length];
        int[] order = new int[weights.Length];
        int n = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            magnitudes[i] = MathF.Abs(weights[i]);
            if (alive is null || alive[i]) order[n++] = i;
        }
        // Descending; of equal magnitudes the lower index counts as the larger.
        Array.Sort(order, 0, n, Comparer<int>.Create((a, b) => magnitudes[b] != magnitudes[a] ? magnitudes[b].CompareTo(magnitudes[a]) : a.CompareTo(b)));
        float[] scores = new float[weights.Length];
        double sum = 0;
        for (int k = 0; k < n; k++)
        {
            double square = (double)magnitudes[order[k]] * magnitudes[order[k]];
            sum += square;
            scores[order[k]] = sum > 0 ? (float)(square / sum) : 0;
        }
        return scores;
    }

    /// <inheritdoc/>
    public AllocationResult Allocate(AllocationRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        IReadOnlyList<float[]> weights = request.Weights ?? throw new ArgumentException("LAMP needs the weights.", nameof(request));
        return new GlobalAllocation().Allocate(request with { Scores = [.. weights.Select((w, l) => Scores(w, request.Alive?[l]))] });
    }
}
