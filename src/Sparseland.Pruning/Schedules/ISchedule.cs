namespace Sparseland.Pruning.Schedules;

/// <summary>A share as a pure function of the step (R34): sparsity for gradual pruning, drop fraction for dynamic training.</summary>
public interface ISchedule
{
    /// <summary>Stable name.</summary>
    string Id { get; }

    /// <summary>The share, 0 to 1, at a step.</summary>
    double At(long step);

    /// <summary>Whether masks are recomputed at this step.</summary>
    bool IsUpdate(long step);
}

/// <summary>What schedules share: a first step, a last step and an interval; updates at first, first + interval, ..., and at the last step.</summary>
public abstract class IntervalSchedule : ISchedule
{
    /// <summary>Sets the frame.</summary>
    /// <param name="first">First update.</param>
    /// <param name="last">Last update: the final value holds from here on.</param>
    /// <param name="interval">Steps between updates.</param>
    /// <exception cref="ArgumentOutOfRangeException">Negative or falling steps.</exception>
    protected IntervalSchedule(long first, long last, long interval)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfLessThan(last, first);
        ArgumentOutOfRangeException.ThrowIfLessThan(interval, 1);
        First = first;
        Last = last;
        Interval = interval;
    }

    /// <inheritdoc/>
    public abstract string Id { get; }

    /// <summary>First update.</summary>
    public long First { get; }

    /// <summary>Last update.</summary>
    public long Last { get; }

    /// <summary>Steps between updates.</summary>
    public long Interval { get; }

    /// <inheritdoc/>
    public abstract double At(long step);

    // The last step always updates: a ramp whose length is no multiple of the interval must still reach its end.
    /// <inheritdoc/>
    public virtual bool IsUpdate(long step) => step >= First && step <= Last && ((step - First) % Interval == 0 || step == Last);

    /// <summary>Progress 0 to 1 between first and last step.</summary>
    protected double Progress(long step) => step >= Last ? 1 : step <= First ? 0 : (double)(step - First) / (Last - First);
}
