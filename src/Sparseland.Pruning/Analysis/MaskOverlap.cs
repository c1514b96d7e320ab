using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Analysis;

/// <summary>What two masks of one layer have in common.</summary>
/// <param name="Name">The layer; "total" for all of them.</param>
/// <param name="Weights">Weights of the layer.</param>
/// <param name="KeptA">Kept by the first.</param>
/// <param name="KeptB">Kept by the second.</param>
/// <param name="KeptByBoth">Kept by both.</param>
public sealed record MaskOverlap(string Name, long Weights, long KeptA, long KeptB, long KeptByBoth)
{
    /// <summary>Removed by both.</summary>
    public long RemovedByBoth => Weights - KeptA - KeptB + KeptByBoth;

    /// <summary>Kept by both as a share of those that either keeps (Jaccard), 0 to 1.</summary>
    public double KeptShare => Share(KeptByBoth, KeptA + KeptB - KeptByBoth);

    /// <summary>Removed by both as a share of those that either removes, 0 to 1; 1 when nothing is removed.</summary>
    public double RemovedShare => Share(RemovedByBoth, Weights - KeptByBoth);

    /// <summary>What <see cref="KeptShare"/> would be for independent random masks of the same densities.</summary>
    public double KeptShareByChance => Weights == 0 ? 1 : Share((double)KeptA * KeptB / Weights, KeptA + KeptB - (double)KeptA * KeptB / Weights);

    /// <summary>The overlap of two models, layer by layer and, last, in total. A weight without a mask counts by its non-zeros.</summary>
    /// <remarks>
    /// The mask similarity of Jaiswal, Liu, Chen and Wang, "The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that Matter", NeurIPS 2023, section 4
    /// (the share of removed weights that two prunings have in common).
    /// </remarks>
    /// <exception cref="PruningException">SL4020: the models have different layers.</exception>
    public static IReadOnlyList<MaskOverlap> Between(ModelGraph a, ModelGraph b)
    {
        IReadOnlyList<PrunableLayer> layers = ModelPairs.RequireSameLayers(a, b);
        var rows = new List<MaskOverlap>();
        foreach (PrunableLayer layer in layers) rows.Add(Of(layer.Name, Kept(a.Weights[layer.Name]), Kept(b.Weights[layer.Name])));
        rows.Add(new MaskOverlap("total", rows.Sum(r => r.Weights), rows.Sum(r => r.KeptA), rows.Sum(r => r.KeptB), rows.Sum(r => r.KeptByBoth)));
        return rows;
    }

    /// <summary>The overlap of two masks.</summary>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static MaskOverlap Of(string name, Mask a, Mask b)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        return new MaskOverlap(name, a.Length, a.KeptCount, b.KeptCount, a.And(b).KeptCount);
    }

    private static Mask Kept(Weight weight) => weight.Mask ?? weight.Read().NonZeros();

    private static double Share(double part, double whole) => whole == 0 ? 1 : part / whole;
}
