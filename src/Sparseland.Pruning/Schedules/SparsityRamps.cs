namespace Sparseland.Pruning.Schedules;

/// <summary>The final sparsity at one step.</summary>
/// <param name="final">Sparsity from that step on.</param>
/// <param name="step">The step.</param>
public sealed class OneShot(double final, long step = 0) : IntervalSchedule(step, step, 1)
{
    /// <inheritdoc/>
    public override string Id => "one-shot";

    /// <inheritdoc/>
    public override double At(long step) => step >= First ? final : 0;
}

/// <summary>s(t) = final + (initial - final) (1 - u)^3, u = (t - first) / (last - first).</summary>
/// <remarks>Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression", 2017, equation 1.</remarks>
/// <param name="initial">Sparsity at the first update.</param>
/// <param name="final">Sparsity at the last update.</param>
/// <param name="first">First update.</param>
/// <param name="last">Last update.</param>
/// <param name="interval">Steps between updates.</param>
public sealed class CubicRamp(double initial, double final, long first, long last, long interval) : IntervalSchedule(first, last, interval)
{
    /// <inheritdoc/>
    public override string Id => "cubic";

    /// <inheritdoc/>
    public override double At(long step)
    {
        if (step < First) return 0;
        double left = 1 - Progress(step);
        return final + (initial - final) * (left * left * left);
    }
}

/// <summary>Density falls by a constant factor per step: density(t) = (1 - initial)^(1-u) (1 - final)^u.</summary>
/// <remarks>Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively conserving synaptic flow" (SynFlow), NeurIPS 2020, section 6, for initial = 0.</remarks>
/// <param name="initial">Sparsity at the first update, below 1.</param>
/// <param name="final">Sparsity at the last update, below 1.</param>
/// <param name="first">First update.</param>
/// <param name="last">Last update.</param>
/// <param name="interval">Steps between updates.</param>
public sealed class ExponentialRamp(double initial, double final, long first, long last, long interval) : IntervalSchedule(first, last, interval)
{
    /// <inheritdoc/>
    public override string Id => "exponential";

    /// <inheritdoc/>
    public override double At(long step)
    {
        if (step < First) return 0;
        double u = Progress(step);
        return u >= 1 ? final : 1 - Math.Pow(1 - initial, 1 - u) * Math.Pow(1 - final, u);
    }
}

/// <summary>s(t) = initial + (final - initial) u.</summary>
/// <param name="initial">Sparsity at the first update.</param>
/// <param name="final">Sparsity at the last update.</param>
/// <param name="first">First update.</param>
/// <param name="last">Last update.</param>
/// <param name="interval">Steps between updates.</param>
public sealed class LinearRamp(double initial, double final, long first, long last, long interval) : IntervalSchedule(first, last, interval)
{
    /// <inheritdoc/>
    public override string Id => "linear";

    /// <inheritdoc/>
    public override double At(long step) => step < First ? 0 : initial + (final - initial) * Progress(step);
}

/// <summary>Share of the active weights that is exchanged: f(t) = alpha / 2 (1 + cos(pi t / last)); 0 from the last step on.</summary>
/// <remarks>Evci et al., "Rigging the Lottery: Making All Tickets Winners", ICML 2020, section 3, "Update schedule".</remarks>
/// <param name="alpha">Share at step 0, 0 to 1.</param>
/// <param name="last">Step from which masks stay as they are.</param>
/// <param name="interval">Steps between exchanges.</param>
/// <param name="first">First exchange.</param>
public sealed class CosineDrop(double alpha, long last, long interval, long first = 0) : IntervalSchedule(first, last, interval)
{
    /// <inheritdoc/>
    public override string Id => "cosine";

    /// <inheritdoc/>
    public override double At(long step) => step >= Last ? 0 : alpha / 2 * (1 + Math.Cos(Math.PI * step / Last));

    /// <inheritdoc/>
    public override bool IsUpdate(long step) => step >= First && step < Last && (step - First) % Interval == 0;
}
