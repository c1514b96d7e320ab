using Sparseland.Model.Graph;

namespace Sparseland.Training;

/// <summary>How a graph is trained.</summary>
public sealed record TrainableModelOptions
{
    /// <summary>Seed of everything random inside the model (dropout).</summary>
    public ulong Seed { get; init; }

    /// <summary>A masked matrix at or below this density is multiplied by sparse kernels; 0 = never, 1 = always.</summary>
    public double LinearBreakEven { get; init; } = 0.3;

    /// <summary>A masked convolution kernel at or below this density is computed by sparse kernels; 0 = never, 1 = always.</summary>
    public double ConvolutionBreakEven { get; init; } = 0.2;

    /// <summary>
    /// Overrules which weights are trained: true or false decides, null leaves it to the operators that use the weight
    /// (kernels, matrices, biases, scales and tables are trained; constants such as the exponent of a Pow are not).
    /// </summary>
    public Func<Weight, bool?>? IsTrained { get; init; }
}
