using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Selection;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Methods;

/// <summary>Iterative soft shrinkage: after every step the smallest weights of each layer are multiplied by a factor below 1 instead of being removed; the cut comes at the end of the stage.</summary>
/// <remarks>
/// Wang, Wang, Zhang, Fu and Tao, "Iterative Soft Shrinkage Learning for Efficient Image Super-Resolution", ICCV 2023, section 3 (ISS-P), applied behind the optimizer's step as in the authors' code. Per layer the
/// min(ceil(s N), floor(0.995 N)) smallest magnitudes (fewer where a layer has reached its floor) are shrunk, found anew at every step, so a weight leaves them as soon as it has grown past another; moments are not touched. A factor of 0 is
/// iterative hard thresholding, 1 dense training until the cut. In N:M patterns the M - N smallest of every M are shrunk. Dense compute is needed until the cut. ISS-R is the regularised form: instead of being shrunk, weights have
/// a penalty lambda of their own that grows by a fixed amount at every check at which they are among the smallest and never falls; lambda theta is added to the gradient. (In the released code the growth of the penalties also
/// ends the stage, after about 100,000 steps; here the stage ends at a step that is given.)
/// </remarks>
/// <param name="settings">What every method is told; unstructured or N:M patterns.</param>
/// <param name="factor">What the smallest weights are multiplied with, 0 to 1.</param>
/// <param name="steps">Steps of the stage; its last one cuts.</param>
/// <param name="penalty">What a penalty grows by at a check (ISS-R; the paper's is 1e-4); 0 shrinks instead (ISS-P).</param>
/// <param name="interval">Steps between the checks of ISS-R.</param>
public sealed class IterativeShrinkage(PruningSettings settings, double factor, long steps, double penalty = 0, int interval = 20) : TrainingSparsifier("iss", settings)
{
    private const double MostRemoved = 0.995;

    private readonly float _penalty = penalty >= 0 ? (float)penalty : throw new ArgumentOutOfRangeException(nameof(penalty), penalty, "0 or more.");
    private readonly int _interval = interval >= 1 ? interval : throw new ArgumentOutOfRangeException(nameof(interval), interval, "At least 1.");
    private readonly Dictionary<string, float[]> _penalties = new(StringComparer.Ordinal);

    private readonly float _factor = factor is >= 0 and <= 1 ? (float)factor : throw new ArgumentOutOfRangeException(nameof(factor), factor, "0 to 1.");
    private readonly long _steps = steps >= 1 ? steps : throw new ArgumentOutOfRangeException(nameof(steps), steps, "At least 1.");

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "iss",
        Title = "Iterative soft shrinkage (ISS-P, ISS-R)",
        Paper = "Wang, Wang, Zhang, Fu and Tao: Iterative Soft Shrinkage Learning for Efficient Image Super-Resolution, ICCV 2023",
        Section = "section 3",
        Description = "shrinks the smallest weights of every layer a little after every step, so that they can come back, and removes them at the end of the stage",
        Stage = PruningStage.During,
        Path = TrainingPath.DenseToSparse,
        Granularities = [Granularity.Unstructured, Granularity.NofM],
        MaskSource = MaskSource.Magnitude,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels,
        Parameters =
        [
            new("factor", ParameterType.Number, "0.95", "what the smallest weights are multiplied with after every step; 0 is hard thresholding") { Min = 0, Max = 1, Only = new("variant", "shrink") },
            new("variant", ParameterType.Choice, "shrink", "shrink: the smallest weights are multiplied (ISS-P); penalty: a growing penalty draws them to zero (ISS-R)") { Choices = ["shrink", "penalty"] },
            new("penalty", ParameterType.Number, "0.0001", "what the penalty of a weight grows by at a check at which it is among the smallest") { Min = 1e-9, Max = 1000, Only = new("variant", "penalty") },
            new("interval", ParameterType.Integer, "20", "steps between the checks of the penalty") { Min = 1, Max = 1_000_000, Only = new("variant", "penalty") },
            new("end", ParameterType.Share, "0.33", "where in the run the weights are cut; the rest is trained with the mask") { Min = 0.001, Max = 1 },
        ],
        DefaultSparsity = 0.9,
        Create = r => new IterativeShrinkage(r.Settings, r.Arguments.Number("factor"), Math.Max(1, (long)Math.Round(r.RequireRun("iss") * r.Arguments.Number("end"))),
            r.Arguments.Choice("variant") == "penalty" ? r.Arguments.Number("penalty") : 0, r.Arguments.Int("interval")),
    };

    /// <summary>Weights of a layer that are shrunk and at last removed.</summary>
    public static int RemovedCount(double sparsity, int length) => (int)Math.Min(Math.Ceiling(sparsity * length - 1e-9), Math.Floor(MostRemoved * length + 1e-9));

    /// <summary>Multiplies the smallest magnitudes of a layer; of equal ones those of higher index.</summary>
    /// <param name="weights">The weights, changed.</param>
    /// <param name="removed">How many.</param>
    /// <param name="factor">The factor.</param>
    /// <returns>Which were left as they are.</returns>
    public static bool[] Shrink(Span<float> weights, int removed, float factor)
    {
        bool[] kept = ExactSelection.KeepBest(Array.ConvertAll(weights.ToArray(), MathF.Abs), weights.Length - removed);
        Shrink(weights, kept, factor);
        return kept;
    }

    /// <inheritdoc/>
    public override void OnStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        base.OnStart(context);
        if (_steps > context.TotalSteps) throw new PruningException("SL4008", $"the weights would be cut at step {_steps}, the run has {context.TotalSteps} steps") { Try = "an earlier end or a longer run" };
        int capped = Settings.Pattern.Kind == SparsityKind.NofM ? 0 : LayerPlan.Layers.Count(l => Math.Ceiling(Settings.Sparsity * l.Length - 1e-9) > RemovedCount(Settings.Sparsity, l.Length));
        if (capped > 0) Warn($"{capped} of {LayerPlan.Layers.Count} layers keep more than asked for: at most {MostRemoved:P1} of a layer is removed");
    }

    /// <summary>The penalties of a layer (ISS-R); empty before the first check.</summary>
    public IReadOnlyList<float> Penalties(string layer) => _penalties.GetValueOrDefault(layer) ?? [];

    /// <inheritdoc/>
    public override void OnGradients(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (context.Step >= _steps) return;
        foreach ((string name, float[] penalties) in _penalties)
        {
            Parameter parameter = context.Model.Parameter(name);
            float[] pull = parameter.Value.ToArray();
            for (int i = 0; i < pull.Length; i++) pull[i] *= penalties[i];
            parameter.AddGradient(Tensor.Wrap(pull, [.. parameter.Value.Shape]));
        }
    }

    /// <inheritdoc/>
    public override void OnStepEnd(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        base.OnStepEnd(context);
        if (context.Step >= _steps) return;
        bool cuts = context.Step == _steps - 1;
        if (_penalty > 0 && !cuts && (context.Step + 1) % _interval != 0) return;
        foreach (PrunableLayer layer in LayerPlan.Layers)
        {
            Parameter parameter = context.Model.Parameter(layer.Name);
            bool[] kept = Kept(layer, parameter);
            if (cuts)
            {
                if (kept.Count(k => k) < Target.KeptCount(layer)) Target.SetMask(layer, Mask.FromFlags(layer.Shape.ToArray(), kept));
                continue;
            }
            if (_penalty > 0)
            {
                if (!_penalties.TryGetValue(layer.Name, out float[]? penalties)) _penalties[layer.Name] = penalties = new float[layer.Length];
                for (int i = 0; i < kept.Length; i++) penalties[i] += kept[i] ? 0 : _penalty;
                continue;
            }
            Shrink(parameter.Value.Values, kept, _factor);
            parameter.TouchValues();
        }
        if (cuts) _penalties.Clear();
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, TensorData> Export() => _penalties.ToDictionary(p => p.Key, p => TensorData.Vector((float[])p.Value.Clone()));

    /// <inheritdoc/>
    public override void Import(IReadOnlyDictionary<string, TensorData> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        _penalties.Clear();
        foreach ((string name, TensorData penalties) in state) _penalties[name] = (float[])penalties.Array<float>().Clone();
    }

    private static void Shrink(Span<float> weights, bool[] kept, float factor)
    {
        for (int i = 0; i < kept.Length; i++)
        {
            if (!kept[i]) weights[i] *= factor;
        }
    }

    private bool[] Kept(PrunableLayer layer, Parameter parameter)
    {
        float[] magnitudes = Array.ConvertAll(parameter.Value.ToArray(), MathF.Abs);
        if (Settings.Pattern.Kind == SparsityKind.NofM)
        {
            Mask mask = MaskMaker.NofM(layer, Settings.Pattern, magnitudes, parameter.Mask, out string? note);
            if (note is not null) Warn($"{layer.Name}: {note}");
            return mask.ToFlags();
        }
        int keep = Math.Max(layer.Length - RemovedCount(Settings.Sparsity, layer.Length), Settings.Bounds.Floor(layer.Length, Settings.Density));
        return ExactSelection.KeepBest(magnitudes, Math.Min(Target.KeptCount(layer), keep), parameter.Mask?.ToFlags());
    }
}
