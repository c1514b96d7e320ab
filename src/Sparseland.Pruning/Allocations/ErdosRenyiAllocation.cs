using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Allocations;

/// <summary>Density in proportion to (sum of dimensions) / (product of dimensions): thin layers keep more.</summary>
/// <remarks>
/// ER: Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science", Nature
/// Communications 2018, equation 1. ERK with kernel dimensions: Evci et al., "Rigging the Lottery" (RigL), ICML 2020, section 3. d = min(1, eps q^p):
/// while a density exceeds 1, the layers with the largest q are made dense and eps is solved again.
/// </remarks>
/// <param name="kernel">Whether kernel dimensions count (ERK).</param>
/// <param name="power">Exponent p on q; 0 gives the uniform allocation.</param>
public sealed class ErdosRenyiAllocation(bool kernel = true, double power = 1) : DensityAllocation
{
    private readonly double _power = power is >= 0 and <= 4 ? power : throw new ArgumentOutOfRangeException(nameof(power), power, "0 to 4.");

    /// <inheritdoc/>
    public override string Id => kernel ? "erk" : "er";

    /// <summary>The exact densities, before they are rounded to counts.</summary>
    public double[] Solve(IReadOnlyList<PrunableLayer> layers, double density) => Densities(layers, density);

    /// <inheritdoc/>
    protected override double[] Densities(IReadOnlyList<PrunableLayer> layers, double density)
    {
        ArgumentNullException.ThrowIfNull(layers);
        double[] q = [.. layers.Select(l => Math.Pow(Raw(l), _power))];
        bool[] dense = new bool[layers.Count];
        double target = density * layers.Sum(l => (double)l.Length);
        while (true)
        {
            double rest = target, weight = 0;
            for (int l = 0; l < q.Length; l++)
            {
                if (dense[l]) rest -= layers[l].Length;
                else weight += q[l] * layers[l].Length;
            }
            double eps = weight > 0 ? Math.Max(0, rest) / weight : 0, largest = 0;
            for (int l = 0; l < q.Length; l++)
            {
                if (!dense[l]) largest = Math.Max(largest, q[l]);
            }
            if (weight == 0 || eps * largest <= 1)
            {
                double[] result = new double[q.Length];
                for (int l = 0; l < q.Length; l++) result[l] = dense[l] ? 1 : eps * q[l];
                return result;
            }
            for (int l = 0; l < q.Length; l++)
            {
                if (q[l] == largest) dense[l] = true;
            }
        }
    }

    private double Raw(PrunableLayer layer) => kernel
        ? (double)layer.DimensionSum / layer.Length
        : ((double)layer.Shape[0] + layer.Shape[1]) / ((double)layer.Shape[0] * layer.Shape[1]);
}
