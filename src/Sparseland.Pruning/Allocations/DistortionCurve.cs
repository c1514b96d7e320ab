using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Probing;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Allocations;

/// <summary>How distances between outputs are summed up over samples.</summary>
public enum DistortionNorm
{
    /// <summary>The largest over samples of the mean over classes.</summary>
    Worst,

    /// <summary>The mean over samples and classes.</summary>
    Mean,
}

/// <summary>How far the network's outputs move when one layer alone is pruned by magnitude: one point per number of kept weights.</summary>
/// <remarks>
/// Xu et al., "Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural Networks", ICCV 2023, section 3.1: D_l(phi) from (Y - Y_hat)^2 of the logits on a calibration set, evaluation mode.
/// "Worst" is what the authors' documented commands use.
/// </remarks>
/// <param name="Layer">The layer.</param>
/// <param name="Kept">Kept weights, descending.</param>
/// <param name="Distortion">Distortion at each of them.</param>
public sealed record DistortionCurve(PrunableLayer Layer, IReadOnlyList<int> Kept, IReadOnlyList<double> Distortion)
{
    /// <summary>Numbers of weights that are left on the paper's grid: N - floor(j N / 100) for j = 0 to 100, as integers.</summary>
    /// <param name="length">N.</param>
    /// <param name="fine">Whether the last two per cent are cut into tenths: a step of 1 % is half of what is left at 98 %.</param>
    public static int[] Grid(int length, bool fine = false)
    {
        var kept = new List<int>();
        for (int j = 0; j <= (fine ? 98 : 100); j++) kept.Add(length - (int)((long)j * length / 100));
        for (int j = 981; fine && j <= 1000; j++) kept.Add(length - (int)((long)j * length / 1000));
        return [.. kept.Distinct()];
    }

    /// <summary>Measures a layer's curve; the network is as before afterwards.</summary>
    /// <param name="probe">The network.</param>
    /// <param name="layer">The layer.</param>
    /// <param name="weights">Its weights, removed ones 0.</param>
    /// <param name="kept">Numbers of kept weights, descending.</param>
    /// <param name="batches">The calibration set.</param>
    /// <param name="clean">The outputs of the network as it is.</param>
    /// <param name="norm">How distances are summed up.</param>
    public static DistortionCurve Measure(NetworkProbe probe, PrunableLayer layer, float[] weights, IReadOnlyList<int> kept, IReadOnlyList<Batch> batches, float[] clean, DistortionNorm norm)
    {
        ArgumentNullException.ThrowIfNull(probe);
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentNullException.ThrowIfNull(kept);
        ArgumentNullException.ThrowIfNull(batches);
        int[] order = [.. Enumerable.Range(0, weights.Length)];
        // Of equal magnitudes the higher index goes first, as in every selection here.
        Array.Sort(order, (a, b) => MathF.Abs(weights[a]).CompareTo(MathF.Abs(weights[b])) is var c && c != 0 ? c : b.CompareTo(a));
        float[] values = (float[])weights.Clone();
        double[] distortion = new double[kept.Count];
        int removed = 0, samples = batches.Sum(b => b.Count);
        for (int j = 0; j < kept.Count; j++)
        {
            bool changed = false;
            for (; removed < weights.Length - kept[j]; removed++)
            {
                changed |= values[order[removed]] != 0;
                values[order[removed]] = 0;
            }
            if (!changed)
            {
                distortion[j] = j == 0 ? 0 : distortion[j - 1];
                continue;
            }
            probe.SetValues([layer], [values]);
            distortion[j] = Distance(clean, probe.Outputs(batches), samples, norm);
        }
        probe.SetValues([layer], [weights]);
        return new DistortionCurve(layer, kept, distortion);
    }

    /// <summary>Distance of two sets of outputs [samples, values].</summary>
    public static double Distance(ReadOnlySpan<float> clean, ReadOnlySpan<float> pruned, int samples, DistortionNorm norm)
    {
        if (clean.Length != pruned.Length || samples < 1 || clean.Length % samples != 0) throw new ArgumentException($"{clean.Length} and {pruned.Length} outputs of {samples} samples.", nameof(pruned));
        int width = clean.Length / samples;
        double largest = 0, sum = 0;
        for (int s = 0; s < samples; s++)
        {
            double mean = 0;
            for (int i = s * width; i < (s + 1) * width; i++)
            {
                double d = (double)clean[i] - pruned[i];
                mean += d * d;
            }
            mean /= width;
            largest = Math.Max(largest, mean);
            sum += mean;
        }
        return norm == DistortionNorm.Worst ? largest : sum / samples;
    }
}
