using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Analysis;

/// <summary>What one weight, or the whole model, holds and costs.</summary>
/// <param name="Name">The weight's name; "total" for the model.</param>
/// <param name="Kind">What it does, for people.</param>
/// <param name="Shape">Its dimensions; empty for the model.</param>
/// <param name="Parameters">Weights, zeros included.</param>
/// <param name="NonZeros">Weights that are not zero.</param>
/// <param name="Macs">Multiply-accumulates of one pass, dense.</param>
/// <param name="EffectiveMacs">Multiply-accumulates that remain when those with a zero weight are left out.</param>
/// <param name="DenseBytes">Bytes as a plain tensor.</param>
/// <param name="CompactBytes">Bytes as packed values with a bit mask, where that is smaller than the plain tensor (R1).</param>
public sealed record SparsityRow(string Name, string Kind, IReadOnlyList<int> Shape, long Parameters, long NonZeros, long Macs, long EffectiveMacs, long DenseBytes, long CompactBytes)
{
    /// <summary>Share of weights that is not zero.</summary>
    public double Density => Parameters == 0 ? 1 : (double)NonZeros / Parameters;

    /// <summary>Share of weights that is zero.</summary>
    public double Sparsity => 1 - Density;
}

/// <summary>Parameters, non-zeros, multiply-accumulates and bytes, per layer and in total (R4).</summary>
/// <param name="Rows">The prunable weights in the order in which the graph uses them.</param>
/// <param name="Prunable">Their sum: what a method's sparsity refers to.</param>
/// <param name="Total">The whole model, norms, biases and statistics included.</param>
public sealed record SparsityReport(IReadOnlyList<SparsityRow> Rows, SparsityRow Prunable, SparsityRow Total)
{
    /// <summary>Counts a model.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="inputTypes">Types that fix sizes which the graph leaves open; all others count as 1.</param>
    public static SparsityReport Of(ModelGraph graph, IReadOnlyDictionary<string, TensorType>? inputTypes = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ModelCost cost = ModelCost.Of(graph, inputTypes);
        Dictionary<string, WeightCost> weights = cost.Weights.ToDictionary(w => w.Weight.Name, StringComparer.Ordinal);
        Dictionary<string, NodeCost> nodes = cost.Nodes.GroupBy(n => n.Node.Name, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.First(), StringComparer.Ordinal);
        IReadOnlyList<PrunableLayer> layers = LayerDiscovery.Find(graph);
        SparsityRow[] rows = [.. layers.Select(l =>
        {
            WeightCost w = weights[l.Name];
            NodeCost? n = nodes.GetValueOrDefault(l.Node);
            return Row(l.Name, l.Kind.ToString().ToLowerInvariant(), [.. l.Shape], w, n?.Macs ?? 0, n?.EffectiveMacs ?? 0);
        })];
        long dense = 0, compact = 0;
        foreach (WeightCost w in cost.Weights)
        {
            SparsityRow row = Row("", "", [], w, 0, 0);
            dense += row.DenseBytes;
            compact += row.CompactBytes;
        }
        var prunable = new SparsityRow("prunable", "", [], rows.Sum(r => r.Parameters), rows.Sum(r => r.NonZeros), rows.Sum(r => r.Macs), rows.Sum(r => r.EffectiveMacs), rows.Sum(r => r.DenseBytes), rows.Sum(r => r.CompactBytes));
        return new SparsityReport(rows, prunable, new SparsityRow("total", "", [], cost.Parameters, cost.NonZeros, cost.Macs, cost.EffectiveMacs, dense, compact));
    }

    private static SparsityRow Row(string name, string kind, int[] shape, WeightCost w, long macs, long effective)
    {
        int size = w.Weight.ElementType.Size();
        long dense = w.Elements * size, packed = (w.Elements + 7) / 8 + w.NonZeros * size;
        return new SparsityRow(name, kind, shape, w.Elements, w.NonZeros, macs, effective, dense, w.IsParameter ? Math.Min(dense, packed) : dense);
    }
}
