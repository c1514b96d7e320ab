using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Selection;

namespace Sparseland.Pruning.Allocations;

/// <summary>What allocations share that derive a density per layer from shapes alone.</summary>
public abstract class DensityAllocation : IAllocation
{
    /// <inheritdoc/>
    public abstract string Id { get; }

    /// <summary>The density of each layer; lengths times densities add up to the target.</summary>
    protected abstract double[] Densities(IReadOnlyList<PrunableLayer> layers, double density);

    /// <inheritdoc/>
    public AllocationResult Allocate(AllocationRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        Budget.RequireDensity(request.Density);
        double[] densities = Densities(request.Layers, request.Density);
        var warnings = new List<string>();
        int[] keep = new int[densities.Length], low = new int[densities.Length], high = new int[densities.Length];
        for (int l = 0; l < keep.Length; l++)
        {
            int length = request.Layers[l].Length, alive = request.AliveCount(l);
            low[l] = Math.Min(alive, request.Bounds.Floor(length, request.Density));
            high[l] = Math.Min(alive, request.Bounds.Ceiling(length, request.Density));
            int wanted = ExactSelection.Count(densities[l], length);
            keep[l] = Math.Clamp(wanted, low[l], high[l]);
            if (wanted < low[l]) warnings.Add($"{request.Layers[l].Name}: would keep {wanted} of {length} weights; the floor keeps {low[l]}");
        }
        Budget.Settle(keep, low, high, request.Keep, request.Layers);
        return new AllocationResult(keep, warnings);
    }
}

/// <summary>Exact totals.</summary>
internal static class Budget
{
    public static void RequireDensity(double density)
    {
        if (!(density >= 0 && density <= 1)) throw new PruningException("SL4002", $"a density of {density:R} is not between 0 and 1");
    }

    /// <summary>Changes counts, the largest layers first and evenly, until they add up to the target.</summary>
    public static void Settle(int[] keep, int[] low, int[] high, long target, IReadOnlyList<PrunableLayer> layers)
    {
        long least = low.Sum(v => (long)v), most = high.Sum(v => (long)v), total = layers.Sum(l => (long)l.Length);
        if (target < least || target > most)
        {
            long nearest = Math.Clamp(target, least, most);
            throw new PruningException("SL4004", $"a sparsity of {1 - (double)target / total:P2} cannot be reached within the bounds per layer")
            {
                Because = target < least
                    ? $"{target:N0} weights may stay, but the floors of {layers.Count} layers keep {least:N0}"
                    : $"{target:N0} weights must stay, but no more than {most:N0} may or are left",
                Try = $"a sparsity of {1 - (double)nearest / total:P2}, or other bounds",
            };
        }
        int[] order = [.. Enumerable.Range(0, keep.Length).OrderByDescending(l => layers[l].Length).ThenBy(l => l)];
        long difference = target - keep.Sum(v => (long)v);
        while (difference != 0)
        {
            long room = 0;
            foreach (int l in order) room += difference > 0 ? high[l] - keep[l] : keep[l] - low[l];
            long left = Math.Abs(difference);
            // In proportion to the room first; what rounding leaves goes to the largest layers one by one.
            bool moved = false;
            foreach (int l in order)
            {
                int space = difference > 0 ? high[l] - keep[l] : keep[l] - low[l];
                int step = (int)Math.Min(left, space * (double)Math.Abs(difference) / room);
                if (step == 0) continue;
                keep[l] += difference > 0 ? step : -step;
                left -= step;
                moved = true;
            }
            if (!moved)
            {
                foreach (int l in order)
                {
                    if (left == 0) break;
                    if (difference > 0 ? keep[l] >= high[l] : keep[l] <= low[l]) continue;
                    keep[l] += Math.Sign(difference);
                    left--;
                }
            }
            difference = target - keep.Sum(v => (long)v);
        }
    }
}
