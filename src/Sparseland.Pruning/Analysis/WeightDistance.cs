using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Programs;

namespace Sparseland.Pruning.Analysis;

/// <summary>How far two weight vectors lie apart.</summary>
/// <param name="Name">The layer; "total" for all of them as one vector.</param>
/// <param name="Weights">Entries that were compared.</param>
/// <param name="Euclidean">Euclidean distance.</param>
/// <param name="Degrees">Angle in degrees, 0 to 180; NaN when one side is zero.</param>
public sealed record WeightDistance(string Name, long Weights, double Euclidean, double Degrees);

/// <summary>Distances of trained networks, restricted to the weights that a mask keeps: stability to pruning and to the order of data.</summary>
/// <remarks>
/// Frankle, Dziugaite, Roy and Carbin, "Stabilizing the Lottery Ticket Hypothesis", 2019, section 3: the distance of a trained sub-network from the same weights of the trained
/// dense network (stability to pruning), or of two copies of a sub-network that were trained on different orders of the data. Biases and norm parameters do not count.
/// </remarks>
public static class WeightDistances
{
    /// <summary>Euclidean distance and angle of two vectors over the entries that a mask keeps.</summary>
    /// <param name="a">One vector.</param>
    /// <param name="b">The other.</param>
    /// <param name="kept">Entries that count; null = all.</param>
    /// <param name="name">What it is called.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static WeightDistance Between(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Mask? kept = null, string name = "total")
    {
        var sums = new Sums();
        sums.Add(a, b, kept);
        return sums.Result(name);
    }

    /// <summary>The distances of two models of the same shapes, layer by layer and, last, in total.</summary>
    /// <param name="a">One model.</param>
    /// <param name="b">The other.</param>
    /// <remarks>A layer's entries count where the models' masks (those that have one) keep them.</remarks>
    /// <exception cref="PruningException">SL4020: the models have different layers.</exception>
    public static IReadOnlyList<WeightDistance> Between(ModelGraph a, ModelGraph b)
    {
        IReadOnlyList<PrunableLayer> layers = ModelPairs.RequireSameLayers(a, b);
        var rows = new List<WeightDistance>();
        var total = new Sums();
        foreach (PrunableLayer layer in layers)
        {
            Weight left = a.Weights[layer.Name], right = b.Weights[layer.Name];
            Mask? kept = Common(left.Mask, right.Mask);
            float[] x = left.Read().ToSingles(), y = right.Read().ToSingles();
            var sums = new Sums();
            sums.Add(x, y, kept);
            total.Add(x, y, kept);
            rows.Add(sums.Result(layer.Name));
        }
        rows.Add(total.Result("total"));
        return rows;
    }

    /// <summary>The distance of two states of one model over some of its parameters, taken as one vector.</summary>
    /// <param name="a">One state.</param>
    /// <param name="b">The other.</param>
    /// <param name="parameters">Names of the parameters.</param>
    /// <remarks>Entries count where the states' masks (those that have one) keep them.</remarks>
    /// <exception cref="KeyNotFoundException">A state has no parameter of that name.</exception>
    public static WeightDistance Between(ModelSnapshot a, ModelSnapshot b, IEnumerable<string> parameters)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        ArgumentNullException.ThrowIfNull(parameters);
        var total = new Sums();
        foreach (string name in parameters) total.Add([.. a.Values(name)], [.. b.Values(name)], Common(a.Mask(name), b.Mask(name)));
        return total.Result("total");
    }

    private static Mask? Common(Mask? a, Mask? b) => (a, b) switch { (null, var m) => m, (var m, null) => m, var (m, n) => m.And(n) };

    private sealed class Sums
    {
        private double _squared, _aa, _bb, _ab;
        private long _count;

        public void Add(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Mask? kept)
        {
            if (a.Length != b.Length || (kept is not null && kept.Length != a.Length)) throw new ArgumentException($"Vectors of {a.Length} and {b.Length} weights cannot be compared.", nameof(b));
            for (int i = 0; i < a.Length; i++)
            {
                if (kept is not null && !kept[i]) continue;
                double x = a[i], y = b[i];
                _squared += (x - y) * (x - y);
                _aa += x * x;
                _bb += y * y;
                _ab += x * y;
                _count++;
            }
        }

        public WeightDistance Result(string name) => new(name, _count, Math.Sqrt(_squared),
            _aa > 0 && _bb > 0 ? Math.Acos(Math.Clamp(_ab / Math.Sqrt(_aa) / Math.Sqrt(_bb), -1, 1)) * 180 / Math.PI : double.NaN);
    }
}

/// <summary>Checks that two models can be compared weight by weight.</summary>
internal static class ModelPairs
{
    /// <exception cref="PruningException">SL4020.</exception>
    public static IReadOnlyList<PrunableLayer> RequireSameLayers(ModelGraph a, ModelGraph b)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        IReadOnlyList<PrunableLayer> layers = LayerDiscovery.Find(a);
        if (layers.Count == 0) throw Differ("the models have no convolution or linear layer");
        foreach (PrunableLayer layer in layers)
        {
            if (!b.Weights.TryGetValue(layer.Name, out Weight? other)) throw Differ($"the second model has no weight '{layer.Name}'");
            if (!other.Shape.SequenceEqual(a.Weights[layer.Name].Shape)) throw Differ($"'{layer.Name}' is {a.Weights[layer.Name].Type} in the first model and {other.Type} in the second");
        }
        return layers;
    }

    private static PruningException Differ(string because) => new("SL4020", "the two models cannot be compared weight by weight") { Because = because, Try = "two models of the same architecture, from the same training or pruning" };
}
