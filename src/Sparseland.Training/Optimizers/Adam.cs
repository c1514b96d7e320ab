using Sparseland.Training.Autograd;

namespace Sparseland.Training.Optimizers;

/// <summary>Adam (Kingma and Ba 2015, algorithm 1) and, with decoupled weight decay, AdamW (Loshchilov and Hutter 2019, algorithm 2).</summary>
/// <remarks>m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; w -= rate * (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps). Adam adds decay * w to g, AdamW first scales w by 1 - rate * decay.</remarks>
public class Adam : Optimizer
{
    private readonly double _beta1, _beta2, _epsilon;
    private readonly bool _decoupled;

    /// <summary>Over all parameters alike.</summary>
    public Adam(IEnumerable<Parameter> parameters, double learningRate = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8, double weightDecay = 0)
        : this("adam", [new ParameterGroup(parameters)], learningRate, beta1, beta2, epsilon, weightDecay, decoupled: false)
    {
    }

    /// <summary>Over groups.</summary>
    /// <param name="groups">The parameters.</param>
    /// <param name="learningRate">Step size, 0 or more.</param>
    /// <param name="beta1">Decay of the first moment, 0 to below 1.</param>
    /// <param name="beta2">Decay of the second moment, 0 to below 1.</param>
    /// <param name="epsilon">Added to the denominator.</param>
    /// <param name="weightDecay">L2 penalty, 0 or more.</param>
    public Adam(IEnumerable<ParameterGroup> groups, double learningRate = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8, double weightDecay = 0)
        : this("adam", groups, learningRate, beta1, beta2, epsilon, weightDecay, decoupled: false)
    {
    }

    private protected Adam(string algorithm, IEnumerable<ParameterGroup> groups, double learningRate, double beta1, double beta2, double epsilon, double weightDecay, bool decoupled)
        : base(algorithm, groups, learningRate, weightDecay, "m", "v")
    {
        ArgumentOutOfRangeException.ThrowIfNegative(beta1);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(beta1, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(beta2);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(beta2, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(epsilon);
        (_beta1, _beta2, _epsilon, _decoupled) = (beta1, beta2, epsilon, decoupled);
    }

    private protected override void Update(float[] value, float[] gradient, float[][] moments, int length, double learningRate, double weightDecay, bool first)
    {
        float[] first1 = moments[0], second = moments[1];
        float b1 = (float)_beta1, b2 = (float)_beta2, epsilon = (float)_epsilon;
        float step = (float)(learningRate / (1 - Math.Pow(_beta1, Steps)));
        float correction = (float)(1 / Math.Sqrt(1 - Math.Pow(_beta2, Steps)));
        float penalty = _decoupled ? 0 : (float)weightDecay;
        float shrink = _decoupled ? (float)(1 - learningRate * weightDecay) : 1;
        Chunks.Ranges(length, (start, count) =>
        {
            Span<float> w = value.AsSpan(start, count), m = first1.AsSpan(start, count), v = second.AsSpan(start, count);
            ReadOnlySpan<float> g = gradient.AsSpan(start, count);
            for (int i = 0; i < w.Length; i++)
            {
                float d = g[i] + penalty * w[i];
                m[i] = b1 * m[i] + (1 - b1) * d;
                v[i] = b2 * v[i] + (1 - b2) * d * d;
                w[i] = shrink * w[i] - step * m[i] / (MathF.Sqrt(v[i]) * correction + epsilon);
            }
        });
    }
}

/// <summary>Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).</summary>
public sealed class AdamW : Adam
{
    /// <summary>Over all parameters alike.</summary>
    public AdamW(IEnumerable<Parameter> parameters, double learningRate = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8, double weightDecay = 0.01)
        : base("adamw", [new ParameterGroup(parameters)], learningRate, beta1, beta2, epsilon, weightDecay, decoupled: true)
    {
    }

    /// <summary>Over groups.</summary>
    /// <param name="groups">The parameters.</param>
    /// <param name="learningRate">Step size, 0 or more.</param>
    /// <param name="beta1">Decay of the first moment, 0 to below 1.</param>
    /// <param name="beta2">Decay of the second moment, 0 to below 1.</param>
    /// <param name="epsilon">Added to the denominator.</param>
    /// <param name="weightDecay">Share of a weight, times the rate, that is taken off per step.</param>
    public AdamW(IEnumerable<ParameterGroup> groups, double learningRate = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8, double weightDecay = 0.01)
        : base("adamw", groups, learningRate, beta1, beta2, epsilon, weightDecay, decoupled: true)
    {
    }
}
