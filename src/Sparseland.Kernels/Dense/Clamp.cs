namespace Sparseland.Kernels.Dense;

/// <summary>The activation that a matrix product or convolution can apply while its result is in cache: y = min(max(x, Low), High).</summary>
/// <param name="Low">Lower bound; negative infinity for none.</param>
/// <param name="High">Upper bound; positive infinity for none.</param>
/// <remarks>NaN stays NaN.</remarks>
public readonly record struct Clamp(float Low, float High)
{
    /// <summary>No activation.</summary>
    public static Clamp None => new(float.NegativeInfinity, float.PositiveInfinity);

    /// <summary>max(x, 0).</summary>
    public static Clamp Relu => new(0f, float.PositiveInfinity);

    /// <summary>min(max(x, 0), 6), as in MobileNet.</summary>
    public static Clamp Relu6 => new(0f, 6f);

    /// <summary>Whether nothing is clamped.</summary>
    public bool IsNone => float.IsNegativeInfinity(Low) && float.IsPositiveInfinity(High);
}
