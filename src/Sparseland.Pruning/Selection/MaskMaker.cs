using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Probing;

namespace Sparseland.Pruning.Selection;

/// <summary>Turns scores into masks of a pattern; weights that are removed stay removed.</summary>
internal static class MaskMaker
{
    /// <summary>The masks and what there is to say about them.</summary>
    public static (Mask[] Masks, string?[] Notes, IReadOnlyList<string> Warnings) Make(
        IReadOnlyList<PrunableLayer> layers, SparsityPattern pattern, double density, IAllocation allocation, LayerBounds bounds,
        IReadOnlyList<float[]> scores, IReadOnlyList<float[]> weights, IReadOnlyList<Mask?> present, NetworkProbe? probe = null, long seed = 0)
    {
        var notes = new string?[layers.Count];
        if (pattern.Kind == SparsityKind.NofM)
        {
            Mask[] fixedMasks = [.. layers.Select((l, i) => NofM(l, pattern, scores[i], present[i], out notes[i]))];
            return (fixedMasks, notes, []);
        }
        UnitView[] views = [.. layers.Select(l => new UnitView(l, pattern))];
        bool[]?[] alive = [.. present.Select((m, i) => m is null ? null : views[i].Alive(m.ToFlags()))];
        float[][] units = [.. scores.Select((s, i) => views[i].Scores(s))];
        // Allocations count units; a unit's layer keeps its shape for ERK, only its length differs.
        PrunableLayer[] counted = pattern.Kind == SparsityKind.Unstructured ? [.. layers] : [.. layers.Select((l, i) => l with { Shape = UnitShape(l, views[i].Count) })];
        bool single = pattern.Kind == SparsityKind.Unstructured;
        AllocationResult Allocate(double unitDensity) => allocation.Allocate(new AllocationRequest(counted, unitDensity)
        {
            Bounds = single ? bounds : bounds with { MinKeep = Math.Min(bounds.MinKeep, 1) },
            Scores = units,
            Weights = single ? weights : units,
            Alive = alive,
            Probe = probe,
            Seed = seed,
        });
        AllocationResult plan = single ? Allocate(density) : Closest(layers, views, density, Allocate);
        var masks = new Mask[layers.Count];
        for (int l = 0; l < masks.Length; l++)
        {
            if (single)
            {
                masks[l] = ExactSelection.BestOf(layers[l].Shape.ToArray(), units[l], plan.Keep[l], present[l]);
                continue;
            }
            bool[] kept = views[l].Expand(ExactSelection.KeepBest(units[l], plan.Keep[l], alive[l]));
            Mask mask = Mask.FromFlags(layers[l].Shape.ToArray(), kept);
            // A unit that is partly alive does not bring its removed weights back.
            masks[l] = present[l] is { } before ? mask.And(before) : mask;
        }
        return (masks, notes, plan.Warnings);
    }

    /// <summary>N of every M consecutive inputs; ties keep the lower index. A row that M does not divide leaves the layer as it is.</summary>
    public static Mask NofM(PrunableLayer layer, SparsityPattern pattern, float[] scores, Mask? present, out string? note)
    {
        note = null;
        if (layer.Columns % pattern.B != 0)
        {
            note = $"{layer.Columns} inputs are no multiple of {pattern.B}: stays as it is (group divisibility)";
            return present ?? Mask.Ones(layer.Shape.ToArray());
        }
        float[] matrix = layer.ToMatrix(scores);
        if (present is not null)
        {
            // Removed weights rank below all others.
            bool[] alive = layer.ToMatrix(present.ToFlags());
            matrix = [.. matrix.Select((s, i) => alive[i] ? s : float.NegativeInfinity)];
        }
        Mask mask = PatternProjection.KeepBest(pattern, matrix, layer.Rows, layer.Columns, 1);
        Mask result = layer.MaskFromMatrix(mask.ToFlags());
        return present is null ? result : result.And(present);
    }

    /// <summary>Units differ in size between layers: finds the number of units whose weights come closest to the target.</summary>
    private static AllocationResult Closest(IReadOnlyList<PrunableLayer> layers, UnitView[] views, double density, Func<double, AllocationResult> allocate)
    {
        long units = views.Sum(v => (long)v.Count);
        double target = density * layers.Sum(l => (double)l.Length);
        double Weights(AllocationResult plan) => plan.Keep.Select((k, l) => (double)k / views[l].Count * layers[l].Length).Sum();
        long low = 0, high = units;
        AllocationResult? best = null;
        PruningException? refused = null;
        while (low <= high)
        {
            long middle = (low + high) / 2;
            AllocationResult plan;
            try
            {
                plan = allocate((double)middle / units);
            }
            catch (PruningException e) when (e.Code == "SL4004")
            {
                // Below the floors there are too few units, above what is alive too many.
                refused = e;
                if (middle < density * units) low = middle + 1;
                else high = middle - 1;
                continue;
            }
            double reached = Weights(plan);
            if (best is null || Math.Abs(reached - target) < Math.Abs(Weights(best) - target)) best = plan;
            if (reached < target) low = middle + 1;
            else if (reached > target) high = middle - 1;
            else break;
        }
        return best ?? throw refused!;
    }

    private static int[] UnitShape(PrunableLayer layer, int units)
    {
        // Two dimensions whose product is the number of units, in the proportion of the grid.
        int rows = Math.Max(1, Math.Min(layer.Rows, units));
        while (units % rows != 0) rows--;
        return [rows, units / rows];
    }
}
