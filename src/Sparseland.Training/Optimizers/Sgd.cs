using Sparseland.Training.Autograd;

namespace Sparseland.Training.Optimizers;

/// <summary>Stochastic gradient descent with momentum (heavy ball) or Nesterov momentum.</summary>
/// <remarks>
/// g += decay * w; v = momentum * v + (1 - dampening) * g (v = g at the first step); g = g + momentum * v (Nesterov) or v; w -= rate * g.
/// Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning", in the form that PyTorch uses: the rate is outside the velocity.
/// </remarks>
public sealed class Sgd : Optimizer
{
    private readonly float _momentum, _dampening;
    private readonly bool _nesterov;

    /// <summary>Over all parameters alike.</summary>
    public Sgd(IEnumerable<Parameter> parameters, double learningRate, double momentum = 0, double weightDecay = 0, bool nesterov = false, double dampening = 0)
        : this([new ParameterGroup(parameters)], learningRate, momentum, weightDecay, nesterov, dampening)
    {
    }

    /// <summary>Over groups.</summary>
    /// <param name="groups">The parameters.</param>
    /// <param name="learningRate">Step size, 0 or more.</param>
    /// <param name="momentum">0 (none) to below 1.</param>
    /// <param name="weightDecay">L2 penalty, 0 or more.</param>
    /// <param name="nesterov">Nesterov's form.</param>
    /// <param name="dampening">Share of the gradient that is kept out of the velocity; must be 0 with Nesterov.</param>
    /// <exception cref="ArgumentException">A number is out of range, or Nesterov without momentum or with dampening.</exception>
    public Sgd(IEnumerable<ParameterGroup> groups, double learningRate, double momentum = 0, double weightDecay = 0, bool nesterov = false, double dampening = 0)
        : base("sgd", groups, learningRate, weightDecay, momentum == 0 ? [] : ["velocity"])
    {
        ArgumentOutOfRangeException.ThrowIfNegative(momentum);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(momentum, 1);
        if (nesterov && (momentum == 0 || dampening != 0)) throw new ArgumentException("Nesterov momentum needs a momentum and no dampening.", nameof(nesterov));
        _momentum = (float)momentum;
        _dampening = (float)dampening;
        _nesterov = nesterov;
    }

    private protected override void Update(float[] value, float[] gradient, float[][] moments, int length, double learningRate, double weightDecay, bool first)
    {
        float rate = (float)learningRate, decay = (float)weightDecay, momentum = _momentum, fresh = first ? 1 : 1 - _dampening;
        bool nesterov = _nesterov;
        float[]? velocity = moments.Length > 0 ? moments[0] : null;
        Chunks.Ranges(length, (start, count) =>
        {
            Span<float> w = value.AsSpan(start, count);
            ReadOnlySpan<float> g = gradient.AsSpan(start, count);
            if (velocity is null)
            {
                for (int i = 0; i < w.Length; i++) w[i] -= rate * (g[i] + decay * w[i]);
                return;
            }
            Span<float> v = velocity.AsSpan(start, count);
            for (int i = 0; i < w.Length; i++)
            {
                float d = g[i] + decay * w[i];
                v[i] = momentum * v[i] + fresh * d;
                w[i] -= rate * (nesterov ? d + momentum * v[i] : v[i]);
            }
        });
    }
}
