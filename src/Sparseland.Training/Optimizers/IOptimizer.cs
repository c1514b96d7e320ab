using Sparseland.Kernels.Sparse;

namespace Sparseland.Training.Optimizers;

/// <summary>Changes parameters along their gradients.</summary>
public interface IOptimizer
{
    /// <summary>The step size; a learning-rate schedule sets it before every step.</summary>
    double LearningRate { get; set; }

    /// <summary>Number of steps taken.</summary>
    long Steps { get; }

    /// <summary>The groups of parameters.</summary>
    IReadOnlyList<ParameterGroup> Groups { get; }

    /// <summary>Every parameter of every group.</summary>
    IEnumerable<Parameter> Parameters { get; }

    /// <summary>Changes every trained parameter that has a gradient; removed entries stay exactly zero.</summary>
    void Step();

    /// <summary>Forgets the gradients of all parameters.</summary>
    void ZeroGrad();

    /// <summary>Zeroes the moments of entries that were removed or have come back (R24). Hook it to <see cref="TrainableModel.MaskChanged"/>.</summary>
    void OnMaskChanged(Parameter parameter, Mask? before, Mask? after);

    /// <summary>A copy of everything that the next step depends on besides parameters and gradients.</summary>
    OptimizerState Export();

    /// <summary>Restores what <see cref="Export"/> gave.</summary>
    /// <exception cref="Model.SparselandException">SL3010: the state belongs to another algorithm or other parameters.</exception>
    void Import(OptimizerState state);
}

/// <summary>What an optimizer remembers between steps.</summary>
/// <param name="Algorithm">The optimizer's name, such as <c>sgd</c> or <c>adamw</c>.</param>
/// <param name="Steps">Number of steps taken.</param>
/// <param name="Moments">Moments by <c>parameter name + "/" + moment name</c>, each of the parameter's shape.</param>
public sealed record OptimizerState(string Algorithm, long Steps, IReadOnlyDictionary<string, Model.Graph.TensorData> Moments);

/// <summary>Parameters that are treated alike.</summary>
public sealed class ParameterGroup
{
    /// <summary>Makes a group.</summary>
    /// <param name="parameters">Its parameters.</param>
    /// <param name="weightDecay">Decay of this group; null takes the optimizer's.</param>
    /// <param name="learningRateScale">Factor on the optimizer's learning rate.</param>
    public ParameterGroup(IEnumerable<Parameter> parameters, double? weightDecay = null, double learningRateScale = 1)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        Parameters = [.. parameters];
        WeightDecay = weightDecay;
        LearningRateScale = learningRateScale;
    }

    /// <summary>The parameters.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Decay of this group; null takes the optimizer's.</summary>
    public double? WeightDecay { get; }

    /// <summary>Factor on the optimizer's learning rate.</summary>
    public double LearningRateScale { get; set; }

    /// <summary>Two groups: matrices, kernels and tables with the optimizer's weight decay; norms, biases and scales without any.</summary>
    public static ParameterGroup[] WithoutDecayOnNormsAndBiases(IEnumerable<Parameter> parameters)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        var decayed = new List<Parameter>();
        var plain = new List<Parameter>();
        foreach (Parameter p in parameters)
            (p.Kind is ParameterKind.Weight or ParameterKind.Embedding ? decayed : plain).Add(p);
        return [new(decayed), new(plain, weightDecay: 0)];
    }
}
