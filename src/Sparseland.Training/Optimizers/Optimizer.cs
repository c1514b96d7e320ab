using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Optimizers;

/// <summary>What all optimizers share: groups, moments by parameter, masks.</summary>
public abstract class Optimizer : IOptimizer
{
    private readonly string _algorithm;
    private readonly string[] _momentNames;
    private readonly Dictionary<Parameter, Moments> _moments = new(ReferenceEqualityComparer.Instance);

    private protected Optimizer(string algorithm, IEnumerable<ParameterGroup> groups, double learningRate, double weightDecay, params string[] momentNames)
    {
        ArgumentNullException.ThrowIfNull(groups);
        ArgumentOutOfRangeException.ThrowIfNegative(learningRate);
        ArgumentOutOfRangeException.ThrowIfNegative(weightDecay);
        _algorithm = algorithm;
        _momentNames = momentNames;
        Groups = [.. groups];
        LearningRate = learningRate;
        WeightDecay = weightDecay;
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (Parameter p in Parameters)
        {
            if (!names.Add(p.Name)) throw new ArgumentException($"Parameter '{p.Name}' is in more than one group.", nameof(groups));
        }
    }

    /// <inheritdoc/>
    public double LearningRate { get; set; }

    /// <summary>Decay of groups that set none.</summary>
    public double WeightDecay { get; }

    /// <inheritdoc/>
    public long Steps { get; private set; }

    /// <inheritdoc/>
    public IReadOnlyList<ParameterGroup> Groups { get; }

    /// <inheritdoc/>
    public IEnumerable<Parameter> Parameters => Groups.SelectMany(g => g.Parameters);

    /// <inheritdoc/>
    public void Step()
    {
        Steps++;
        long start = StepClock.Start();
        foreach (ParameterGroup group in Groups)
        {
            double rate = LearningRate * group.LearningRateScale, decay = group.WeightDecay ?? WeightDecay;
            foreach (Parameter p in group.Parameters)
            {
                if (!p.IsTrained || !p.Value.HasGrad) continue;
                bool first = !_moments.TryGetValue(p, out Moments? moments), stored = p.Value.StoredGrad is not null;
                if (first) _moments[p] = moments = new Moments(_momentNames.Length, p.Value.Length, stored ? p.Mask : null);
                else if (stored || moments!.Mask is not null) moments!.Fit(p.Mask);
                if (moments!.Mask is { } kept)
                {
                    // What the mask keeps is all that changes: cost and memory follow the kept entries.
                    float[] values = p.Sparse.Packed(p), gradient;
                    if (p.Value.StoredGrad is { } g) gradient = g.Values;
                    else kept.Gather(p.Value.Grad!.Values, gradient = new float[kept.KeptCount]);
                    Update(values, gradient, moments.Values, kept.KeptCount, rate, decay, first);
                    p.TouchPacked();
                    continue;
                }
                Update(p.Value.Array, p.Value.Grad!.Array, moments.Values, p.Value.Length, rate, decay, first);
                if (p.Mask is { } mask)
                {
                    // The gradient may be dense (regrowth criteria read it): what it did to removed entries is undone.
                    foreach (float[] moment in moments.Values) mask.Apply(moment);
                }
                p.TouchValues();
            }
        }
        StepClock.Stop(StepClock.Optimizer, _algorithm, start);
    }

    /// <inheritdoc/>
    public void ZeroGrad()
    {
        foreach (Parameter p in Parameters) p.Value.ZeroGrad();
    }

    /// <inheritdoc/>
    public void OnMaskChanged(Parameter parameter, Mask? before, Mask? after)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        if (!_moments.TryGetValue(parameter, out Moments? moments)) return;
        if (moments.Mask is not null)
        {
            moments.Fit(after);
            return;
        }
        foreach (float[] moment in moments.Values)
        {
            before?.Apply(moment);
            after?.Apply(moment);
        }
    }

    /// <inheritdoc/>
    public OptimizerState Export()
    {
        var state = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        foreach (Parameter p in Parameters)
        {
            if (!_moments.TryGetValue(p, out Moments? moments)) continue;
            for (int i = 0; i < moments.Values.Length; i++) state[Key(p, i)] = TensorData.Wrap(moments.Dense(i), p.Value.Shape);
        }
        return new OptimizerState(_algorithm, Steps, state);
    }

    /// <inheritdoc/>
    public void Import(OptimizerState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Algorithm != _algorithm) throw Mismatch($"the state is of '{state.Algorithm}', the optimizer is '{_algorithm}'");
        var restored = new Dictionary<Parameter, Moments>(ReferenceEqualityComparer.Instance);
        int used = 0;
        foreach (Parameter p in Parameters)
        {
            int present = Enumerable.Range(0, _momentNames.Length).Count(i => state.Moments.ContainsKey(Key(p, i)));
            if (present == 0) continue;
            if (present != _momentNames.Length) throw Mismatch($"some moments of parameter '{p.Name}' are missing");
            var moments = new float[_momentNames.Length][];
            for (int i = 0; i < moments.Length; i++)
            {
                TensorData data = state.Moments[Key(p, i)];
                if (!data.Shape.SequenceEqual(p.Value.Shape)) throw Mismatch($"moment '{Key(p, i)}' is {data}, the parameter is {p.Value}");
                moments[i] = (float[])data.ToSingles().Clone();
                used++;
            }
            restored[p] = new Moments(moments, p.Value.Length, null);
        }
        if (used != state.Moments.Count)
        {
            HashSet<string> known = [.. Parameters.SelectMany(p => Enumerable.Range(0, _momentNames.Length).Select(i => Key(p, i)))];
            string stranger = state.Moments.Keys.First(k => !known.Contains(k));
            throw Mismatch($"moment '{stranger}' belongs to no parameter of this model");
        }
        _moments.Clear();
        foreach ((Parameter p, Moments moments) in restored) _moments[p] = moments;
        Steps = state.Steps;
    }

    /// <summary>Bytes that the moments take.</summary>
    internal long MomentBytes => _moments.Values.Sum(m => m.Values.Sum(v => (long)v.Length * sizeof(float)));

    /// <summary>One step of one parameter, or of its kept entries: every entry by itself.</summary>
    /// <param name="value">The values, overwritten.</param>
    /// <param name="gradient">Its gradient, read only.</param>
    /// <param name="moments">The moments, overwritten; zeros at first.</param>
    /// <param name="length">Number of elements; the arrays may be longer.</param>
    /// <param name="learningRate">Step size of the group.</param>
    /// <param name="weightDecay">Decay of the group.</param>
    /// <param name="first">Whether the parameter was never stepped before.</param>
    private protected abstract void Update(float[] value, float[] gradient, float[][] moments, int length, double learningRate, double weightDecay, bool first);

    private static SparselandException Mismatch(string why) => new("SL3010", "the optimizer's state does not fit: " + why)
    {
        Try = "resume with the model and the recipe that wrote the checkpoint",
    };

    private string Key(Parameter p, int moment) => p.Name + "/" + _momentNames[moment];
}
