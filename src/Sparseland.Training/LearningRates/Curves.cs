namespace Sparseland.Training.LearningRates;

/// <summary>eta(t) = rate.</summary>
/// <param name="rate">The learning rate.</param>
public sealed class Constant(double rate) : LearningRate
{
    private readonly double _rate = RequireRate(rate, nameof(rate));

    /// <inheritdoc/>
    protected override double Evaluate(long step) => _rate;

    /// <inheritdoc/>
    public override string ToString() => $"constant {_rate:G}";
}

/// <summary>eta(t) = rate * factor^k, where k is the number of milestones that are not after t.</summary>
public sealed class StepDecay : LearningRate
{
    private readonly double _rate, _factor;
    private readonly long[] _milestones;

    /// <summary>Falls by a factor at each milestone.</summary>
    /// <param name="rate">The learning rate before the first milestone.</param>
    /// <param name="factor">What the rate is multiplied with at each milestone.</param>
    /// <param name="milestones">Steps, rising.</param>
    /// <exception cref="ArgumentException">The milestones do not rise.</exception>
    public StepDecay(double rate, double factor, params ReadOnlySpan<long> milestones)
    {
        _rate = RequireRate(rate, nameof(rate));
        _factor = RequireRate(factor, nameof(factor));
        for (int i = 1; i < milestones.Length; i++)
        {
            if (milestones[i] <= milestones[i - 1]) throw new ArgumentException("Milestones must rise.", nameof(milestones));
        }
        _milestones = milestones.ToArray();
    }

    /// <inheritdoc/>
    protected override double Evaluate(long step)
    {
        double rate = _rate;
        foreach (long milestone in _milestones)
        {
            if (step >= milestone) rate *= _factor;
        }
        return rate;
    }

    /// <inheritdoc/>
    public override string ToString() => $"step {_rate:G} x {_factor:G} at {string.Join(", ", _milestones)}";
}

/// <summary>eta(t) = end + (rate - end) (1 + cos(pi t / steps)) / 2 for t up to steps, end afterwards.</summary>
/// <remarks>Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5, one period.</remarks>
/// <param name="rate">The learning rate at step 0.</param>
/// <param name="steps">Steps until the end value.</param>
/// <param name="end">The last learning rate.</param>
public sealed class Cosine(double rate, long steps, double end = 0) : LearningRate
{
    private readonly double _rate = RequireRate(rate, nameof(rate)), _end = RequireRate(end, nameof(end));
    private readonly long _steps = RequireSteps(steps, nameof(steps));

    /// <inheritdoc/>
    protected override double Evaluate(long step) =>
        step >= _steps ? _end : _end + (_rate - _end) * 0.5 * (1 + Math.Cos(Math.PI * step / _steps));

    /// <inheritdoc/>
    public override string ToString() => $"cosine {_rate:G} to {_end:G} over {_steps} steps";
}

/// <summary>eta(t) = rate + (end - rate) t / steps for t up to steps, end afterwards.</summary>
/// <param name="rate">The learning rate at step 0.</param>
/// <param name="steps">Steps until the end value.</param>
/// <param name="end">The last learning rate.</param>
public sealed class Linear(double rate, long steps, double end = 0) : LearningRate
{
    private readonly double _rate = RequireRate(rate, nameof(rate)), _end = RequireRate(end, nameof(end));
    private readonly long _steps = RequireSteps(steps, nameof(steps));

    /// <inheritdoc/>
    protected override double Evaluate(long step) => step >= _steps ? _end : _rate + (_end - _rate) * step / _steps;

    /// <inheritdoc/>
    public override string ToString() => $"linear {_rate:G} to {_end:G} over {_steps} steps";
}

/// <summary>Rises from peak / divide to peak over the first part of the run and falls to peak / (divide * finalDivide), both along half cosines.</summary>
/// <remarks>
/// With u = rise * steps: eta(t) = a + (peak - a) (1 - cos(pi t / u)) / 2 for t up to u, a = peak / divide; then
/// eta(t) = b + (peak - b) (1 + cos(pi (t - u) / (steps - u))) / 2, b = a / finalDivide; b afterwards.
/// Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2017, section 3.
/// </remarks>
/// <param name="peak">The highest learning rate.</param>
/// <param name="steps">Steps of the whole cycle.</param>
/// <param name="rise">Part of the steps during which the rate rises, above 0 and below 1.</param>
/// <param name="divide">The first rate is the peak divided by this.</param>
/// <param name="finalDivide">The last rate is the first divided by this.</param>
public sealed class OneCycle(double peak, long steps, double rise = 0.3, double divide = 25, double finalDivide = 1e4) : LearningRate
{
    private readonly double _peak = RequireRate(peak, nameof(peak));
    private readonly long _steps = RequireSteps(steps, nameof(steps));
    private readonly double _rise = rise is > 0 and < 1 ? rise : throw new ArgumentOutOfRangeException(nameof(rise), rise, "Above 0 and below 1.");
    private readonly double _divide = divide >= 1 ? divide : throw new ArgumentOutOfRangeException(nameof(divide), divide, "At least 1.");
    private readonly double _finalDivide = finalDivide >= 1 ? finalDivide : throw new ArgumentOutOfRangeException(nameof(finalDivide), finalDivide, "At least 1.");

    /// <inheritdoc/>
    protected override double Evaluate(long step)
    {
        double first = _peak / _divide, last = first / _finalDivide, up = _rise * _steps;
        if (step >= _steps) return last;
        return step <= up
            ? first + (_peak - first) * 0.5 * (1 - Math.Cos(Math.PI * step / up))
            : last + (_peak - last) * 0.5 * (1 + Math.Cos(Math.PI * (step - up) / (_steps - up)));
    }

    /// <inheritdoc/>
    public override string ToString() => $"one-cycle, peak {_peak:G}, {_steps} steps";
}

/// <summary>A linear rise over the first steps, then another curve, which starts when the rise is over.</summary>
/// <remarks>eta(t) = c(0) (f + (1 - f) (t + 1) / (n + 1)) for t below n, then c(t - n): the first step already moves when f is 0.</remarks>
/// <param name="then">The curve c after the rise.</param>
/// <param name="steps">Steps n of the rise.</param>
/// <param name="startFactor">The factor f, 0 to 1, from which the rise starts.</param>
public sealed class WarmUp(LearningRate then, long steps, double startFactor = 0) : LearningRate
{
    private readonly LearningRate _then = then ?? throw new ArgumentNullException(nameof(then));
    private readonly long _steps = RequireSteps(steps, nameof(steps));
    private readonly double _factor = startFactor is >= 0 and <= 1 ? startFactor : throw new ArgumentOutOfRangeException(nameof(startFactor), startFactor, "0 to 1.");

    /// <inheritdoc/>
    protected override double Evaluate(long step) => step >= _steps
        ? _then.At(step - _steps)
        : _then.At(0) * (_factor + (1 - _factor) * (step + 1) / (_steps + 1));

    /// <inheritdoc/>
    public override string ToString() => $"{_steps} steps of warm-up, then {_then}";
}
