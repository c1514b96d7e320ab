using Sparseland.Pruning.Schedules;

namespace Sparseland.Pruning.Analysis;

/// <summary>What training with a method costs in multiply-accumulates, relative to training the dense network for as many steps.</summary>
/// <remarks>
/// A dense step is 3 f_D: one forward and two backward products. Layers with density d_l cost d_l f_l. Evci et al., "Rigging the Lottery" (RigL), ICML 2020, appendix H. Counts products that kernels which skip
/// zeros would do; it is no statement about time.
/// </remarks>
public static class TrainingCost
{
    /// <summary>Multiply-accumulates of the masked network as a share of the dense one's: sum of density times cost over the layers.</summary>
    /// <param name="layers">Dense multiply-accumulates and density of every layer.</param>
    public static double SparseShare(IEnumerable<(double Macs, double Density)> layers)
    {
        ArgumentNullException.ThrowIfNull(layers);
        double dense = 0, sparse = 0;
        foreach ((double macs, double density) in layers)
        {
            dense += macs;
            sparse += macs * density;
        }
        return dense == 0 ? 1 : sparse / dense;
    }

    /// <summary>A step with fixed masks: f_S / f_D.</summary>
    public static double StaticStep(double sparseShare) => sparseShare;

    /// <summary>A step of a method that needs one dense weight gradient per cycle: (3 f_S dt + 2 f_S + f_D) / (dt + 1) / (3 f_D).</summary>
    /// <param name="sparseShare">f_S / f_D.</param>
    /// <param name="interval">Gradient steps dt between two updates of the masks.</param>
    public static double DynamicStep(double sparseShare, long interval)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(interval, 1);
        return (3 * sparseShare * interval + 2 * sparseShare + 1) / (interval + 1) / 3;
    }

    /// <summary>A whole run whose sparsity follows a schedule, the same in every layer: mean of 1 - s_t.</summary>
    /// <param name="schedule">Sparsity by step.</param>
    /// <param name="steps">Steps of the run.</param>
    public static double GradualRun(ISchedule schedule, long steps)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        ArgumentOutOfRangeException.ThrowIfLessThan(steps, 1);
        double sum = 0;
        for (long t = 0; t < steps; t++) sum += 1 - schedule.At(t);
        return sum / steps;
    }

    /// <summary>Iterative pruning with a whole training per round and one at the end, in dense trainings.</summary>
    /// <param name="rounds">Rounds n.</param>
    /// <param name="rate">Share of the remaining weights that a round removes.</param>
    /// <param name="skipsZeros">Whether kernels skip zeros: sum of (1 - rate)^r over r = 0..n; otherwise n + 1.</param>
    public static double Rounds(int rounds, double rate, bool skipsZeros)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rounds);
        if (!skipsZeros) return rounds + 1;
        double sum = 0;
        for (int r = 0; r <= rounds; r++) sum += Math.Pow(1 - rate, r);
        return sum;
    }
}
