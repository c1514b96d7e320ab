namespace Sparseland.Training.LearningRates;

/// <summary>The learning rate as a pure function of the optimizer step.</summary>
/// <remarks>There is no state to save and none to lose: resuming at a step needs the step alone.</remarks>
public abstract class LearningRate
{
    /// <summary>The learning rate of step <paramref name="step"/>, counted from 0; steps before 0 count as 0.</summary>
    public double At(long step) => Evaluate(Math.Max(0, step));

    /// <summary>The same curve after a linear rise from <paramref name="startFactor"/> times its first value over <paramref name="steps"/> steps.</summary>
    public LearningRate WithWarmUp(int steps, double startFactor = 0) => steps == 0 ? this : new WarmUp(this, steps, startFactor);

    /// <summary>A fixed learning rate.</summary>
    public static LearningRate Of(double rate) => new Constant(rate);

    /// <summary>The value at a step that is 0 or more.</summary>
    protected abstract double Evaluate(long step);

    /// <summary>Checks that a rate is a finite number that is not negative.</summary>
    protected static double RequireRate(double rate, string name)
    {
        if (!double.IsFinite(rate) || rate < 0) throw new ArgumentOutOfRangeException(name, rate, "A learning rate is a finite number that is not negative.");
        return rate;
    }

    /// <summary>Checks that a number of steps is positive.</summary>
    protected static long RequireSteps(long steps, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(steps, 1, name);
        return steps;
    }
}
