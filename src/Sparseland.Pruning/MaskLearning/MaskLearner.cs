using System.Numerics;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.MaskLearning;

/// <summary>How scores are trained.</summary>
/// <param name="Rate">Learning rate by step.</param>
/// <param name="Momentum">Momentum, 0 to below 1.</param>
/// <param name="WeightDecay">Decay of the scores.</param>
public sealed record ScoreTraining(LearningRate Rate, double Momentum = 0.9, double WeightDecay = 0);

/// <summary>A method that learns scores by straight-through gradients and keeps the weights whose scores are highest.</summary>
/// <remarks>
/// Forward uses z = m * theta; with the dense gradient g = dL/dz the gradient of a mask entry is theta * g, also where the weight is off, and is passed to the score unchanged
/// (straight-through). Values of weights that are off are kept (<see cref="LatentWeights"/>). A method says how scores start (<see cref="InitialScores"/>), which mask they mean
/// (<see cref="Select"/>), and may change the score's gradient (<see cref="ScoreGradients"/>) or train weights too (<see cref="TrainsWeights"/>).
/// What had been removed before the method began stays removed (<see cref="Earlier"/>); only what the method itself switches off may come back.
/// Everything that the next step depends on is in the checkpoint.
/// </remarks>
public abstract class MaskLearner(string id, PruningSettings settings, ScoreTraining scores) : TrainingSparsifier(id, settings)
{
    private float[][]? _scores, _velocity;
    private float[] _change = [];
    private LatentWeights? _latent;
    private Mask?[]? _earlier;
    private IReadOnlyDictionary<string, TensorData>? _imported;

    /// <summary>Whether the trainer's optimizer changes the weights that are on; otherwise everything but the scores is frozen (statistics of normalisations still move).</summary>
    protected abstract bool TrainsWeights { get; }

    /// <summary>Whether scores are learned from the trainer's own gradients; otherwise the method calls <see cref="UpdateScores"/> itself.</summary>
    protected virtual bool LearnsFromTrainingStep => true;

    /// <summary>The scores of every layer at the start, in the weight's own order.</summary>
    protected abstract float[][] InitialScores(TrainingContext context, IReadOnlyList<float[]> weights);

    /// <summary>The entries that scores keep, in the layers' shapes; none that <see cref="Earlier"/> excludes.</summary>
    /// <param name="scores">Scores of every layer.</param>
    /// <param name="present">Entries that are on at present; null at the start.</param>
    /// <param name="step">The step.</param>
    protected abstract Mask[] Select(IReadOnlyList<float[]> scores, IReadOnlyList<Mask>? present, long step);

    /// <summary>dL/dr from the weights and the dense gradient of one layer: theta * g unless a method adds something.</summary>
    protected virtual void ScoreGradients(int layer, ReadOnlySpan<float> weights, ReadOnlySpan<float> gradient, ReadOnlySpan<float> scores, Span<float> result)
    {
        // Not TensorPrimitives: from 256 KiB on that writes past the caches, and the next loop reads the result.
        int i = 0;
        for (; i + Vector<float>.Count <= result.Length; i += Vector<float>.Count) (new Vector<float>(weights[i..]) * new Vector<float>(gradient[i..])).CopyTo(result[i..]);
        for (; i < result.Length; i++) result[i] = weights[i] * gradient[i];
    }

    /// <summary>The scores; known from the start of the run.</summary>
    protected IReadOnlyList<float[]> Scores => _scores ?? throw new InvalidOperationException("The run has not started.");

    /// <summary>The values of weights that are off; known from the start of the run.</summary>
    protected LatentWeights Latent => _latent ?? throw new InvalidOperationException("The run has not started.");

    /// <summary>For every layer the entries that were there when the method began, the only ones that a mask may keep; null where nothing had been removed. Known from the start of the run.</summary>
    protected IReadOnlyList<Mask?> Earlier => _earlier ?? throw new InvalidOperationException("The run has not started.");

    /// <inheritdoc/>
    public override void OnStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        base.OnStart(context);
        if (_scores is not null && _imported is null) return;
        IReadOnlyList<PrunableLayer> layers = LayerPlan.Layers;
        _latent = new LatentWeights(context.Model, layers);
        _velocity = [.. layers.Select(l => new float[l.Length])];
        if (_imported is { } state)
        {
            _latent.Import(Below(state, "latent/"));
            _scores = [.. layers.Select(l => (float[])state["score/" + l.Name].Array<float>().Clone())];
            for (int l = 0; l < layers.Count; l++) state["velocity/" + layers[l].Name].Array<float>().CopyTo(_velocity[l], 0);
            _earlier = [.. layers.Select(l => state.TryGetValue("earlier/" + l.Name, out TensorData? words) ? Mask.FromWords(l.Shape.ToArray(), MemoryMarshal.Cast<byte, ulong>(words.Span<byte>())) : null)];
            _imported = null;
            return;
        }
        _earlier = [.. layers.Select(Target.Mask)];
        _scores = InitialScores(context, [.. layers.Select(Target.Values)]);
        Apply(context.Model, Select(_scores, null, context.Step));
    }

    /// <inheritdoc/>
    public override void OnStepStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (LearnsFromTrainingStep) foreach (PrunableLayer layer in LayerPlan.Layers) context.Model.Parameter(layer.Name).WantsDenseGradient = true;
    }

    /// <inheritdoc/>
    public override void OnGradients(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (!TrainsWeights) context.SkipUpdate = true;
        if (!LearnsFromTrainingStep) return;
        UpdateScores(context, [.. LayerPlan.Layers.Select(l => context.Model.Parameter(l.Name).Grad)]);
    }

    /// <inheritdoc/>
    public override void OnEnd(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        foreach (PrunableLayer layer in LayerPlan.Layers) context.Model.Parameter(layer.Name).WantsDenseGradient = false;
    }

    /// <summary>One step on the scores from dense gradients dL/dz, then the masks that the scores mean.</summary>
    /// <param name="context">The run.</param>
    /// <param name="gradients">Of every layer; null where none arrived.</param>
    protected void UpdateScores(TrainingContext context, IReadOnlyList<Tensor?> gradients)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(gradients);
        float rate = (float)scores.Rate.At(context.Step), momentum = (float)scores.Momentum, decay = (float)scores.WeightDecay;
        IReadOnlyList<PrunableLayer> layers = LayerPlan.Layers;
        for (int l = 0; l < layers.Count; l++)
        {
            int length = _scores![l].Length;
            if (_change.Length < length) _change = new float[length];
            Span<float> change = _change.AsSpan(0, length);
            float[] weights = Latent.Values(context.Model, layers[l]);
            if (gradients[l] is { } gradient) ScoreGradients(l, weights, gradient.Values, _scores[l], change);
            else change.Clear();
            Descend(_scores[l], _velocity![l], change, rate, momentum, decay);
            // A score that is no number would rank last, an infinite one first, without a word.
            if (!float.IsFinite(System.Numerics.Tensors.TensorPrimitives.MaxMagnitude<float>(_scores[l]))) throw new SparselandException("SL3012", $"scores of '{layers[l].Name}' are not finite any more, at step {context.Step}")
            {
                Because = "the loss or its gradient is not finite, or the scores have grown without bound",
                Try = "a smaller rate of the scores, a smaller learning rate, or check the data for NaN",
            };
        }
        // The values that are on were remembered above.
        Apply(context.Model, Select(_scores!, [.. layers.Select(l => Target.Mask(l) ?? Mask.Ones(l.Shape.ToArray()))], context.Step));
    }

    /// <summary>v = momentum v + change + decay r; r -= rate v.</summary>
    private static void Descend(Span<float> r, Span<float> v, ReadOnlySpan<float> change, float rate, float momentum, float decay)
    {
        int i = 0;
        for (; i + Vector<float>.Count <= r.Length; i += Vector<float>.Count)
        {
            var score = new Vector<float>(r[i..]);
            Vector<float> velocity = momentum * new Vector<float>(v[i..]) + new Vector<float>(change[i..]) + decay * score;
            velocity.CopyTo(v[i..]);
            (score - rate * velocity).CopyTo(r[i..]);
        }
        for (; i < r.Length; i++)
        {
            v[i] = momentum * v[i] + change[i] + decay * r[i];
            r[i] -= rate * v[i];
        }
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, TensorData> Export()
    {
        var state = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        if (_scores is null) return state;
        for (int l = 0; l < _scores.Length; l++)
        {
            string name = LayerPlan.Layers[l].Name;
            state["score/" + name] = TensorData.Vector((float[])_scores[l].Clone());
            state["velocity/" + name] = TensorData.Vector((float[])_velocity![l].Clone());
            if (_earlier![l] is { } earlier) state["earlier/" + name] = TensorData.Vector(MemoryMarshal.AsBytes(earlier.Words).ToArray());
            _ = Latent.Values(Target.Model!, LayerPlan.Layers[l]);
        }
        foreach ((string name, TensorData values) in Latent.Export()) state["latent/" + name] = values;
        return state;
    }

    /// <inheritdoc/>
    public override void Import(IReadOnlyDictionary<string, TensorData> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        // Layers are known only from the start of the run.
        _imported = state.Count > 0 ? state : null;
    }

    private void Apply(TrainableModel model, Mask[] masks)
    {
        for (int l = 0; l < masks.Length; l++) Latent.Replace(model, LayerPlan.Layers[l], masks[l]);
    }

    private static Dictionary<string, TensorData> Below(IReadOnlyDictionary<string, TensorData> state, string prefix) => state
        .Where(s => s.Key.StartsWith(prefix, StringComparison.Ordinal)).ToDictionary(s => s.Key[prefix.Length..], s => s.Value, StringComparer.Ordinal);
}
