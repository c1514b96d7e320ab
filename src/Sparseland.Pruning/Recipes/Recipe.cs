using System.Globalization;
using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Recovery;

namespace Sparseland.Pruning.Recipes;

/// <summary>What is to be done, as data: the same thing that the command line's flags build. Immutable.</summary>
/// <remarks>
/// Only what differs from the method's defaults needs to be there. Every value is checked when it is set, so a recipe that exists can be carried out
/// (as far as that can be known without the model).
/// </remarks>
public sealed class Recipe
{
    private readonly SortedDictionary<string, string[]> _entries;

    private Recipe(string method, SortedDictionary<string, string[]> entries)
    {
        Method = MethodCatalog.Get(method);
        _entries = entries;
        // Building checks ranges and parameters.
        _ = Settings;
        _ = new MethodArguments(Method.Id, Method.Parameters, Arguments);
        if (!Method.Allows(Pattern)) throw new PruningException("SL4009", $"'{Method.Id}' cannot remove weights in the pattern {Pattern}") { Where = "pattern", Try = "one of: " + string.Join(", ", Method.Granularities.Select(g => g.Label())) };
    }

    /// <summary>The method.</summary>
    public MethodInfo Method { get; }

    /// <summary>A recipe with the method's defaults.</summary>
    /// <exception cref="PruningException">SL4011: there is no such method.</exception>
    public static Recipe Of(string method) => new(method, new SortedDictionary<string, string[]>(StringComparer.Ordinal));

    /// <summary>What was set, by key, in the usual form: <c>sparsity</c>, <c>policy.first</c>, <c>parameters.allocation</c>, <c>targets</c> ...</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Entries => _entries.ToDictionary(e => e.Key, e => (IReadOnlyList<string>)e.Value, StringComparer.Ordinal);

    /// <summary>The pattern.</summary>
    public SparsityPattern Pattern => Text("pattern") is { } text ? SparsityPattern.Parse(text) : Method.DefaultPattern;

    /// <summary>What every method is told.</summary>
    public PruningSettings Settings => new()
    {
        Sparsity = Number("sparsity") ?? Method.DefaultSparsity,
        Pattern = Pattern,
        Seed = (long)(Number("seed") ?? 0),
        Policy = new LayerPolicy
        {
            Targets = _entries.GetValueOrDefault("targets") ?? [],
            Ignore = _entries.GetValueOrDefault("ignore") ?? [],
            First = Switch("policy.first") ?? Method.DefaultPolicy.First,
            Last = Switch("policy.last") ?? Method.DefaultPolicy.Last,
            Embeddings = Switch("policy.embeddings") ?? Method.DefaultPolicy.Embeddings,
            Depthwise = Switch("policy.depthwise") ?? Method.DefaultPolicy.Depthwise,
        },
        Bounds = new LayerBounds
        {
            FloorFactor = Number("bounds.floor") ?? 0.2,
            MinKeep = (int)(Number("bounds.minKeep") ?? 16),
            MaxDensity = Number("bounds.maxDensity") ?? 1,
        },
    };

    /// <summary>The method's own parameters that were set.</summary>
    public IReadOnlyDictionary<string, string> Arguments => _entries
        .Where(e => e.Key.StartsWith("parameters.", StringComparison.Ordinal)).ToDictionary(e => e.Key["parameters.".Length..], e => e.Value[0], StringComparer.Ordinal);

    /// <summary>How the network is trained or fine-tuned.</summary>
    public TrainingPlan Training => PlanTraining(new TrainingPlan());

    /// <summary>How the network is trained or fine-tuned, with values for what the recipe does not say.</summary>
    /// <param name="defaults">Those values.</param>
    /// <param name="text">Whether the samples are text, which changes the usual values (<see cref="TrainingPlan.Usual"/>).</param>
    public TrainingPlan PlanTraining(TrainingPlan defaults, bool text = false)
    {
        ArgumentNullException.ThrowIfNull(defaults);
        TrainingPlan plan = defaults.Usual(text, Text("training.optimizer"));
        return plan with
        {
            Epochs = Number("training.epochs") ?? plan.Epochs,
            Steps = Number("training.steps") is { } steps ? steps > 0 ? (long)steps : null : plan.Steps,
            BatchSize = (int)(Number("training.batch") ?? plan.BatchSize),
            LearningRate = Number("training.learningRate") ?? plan.LearningRate,
            Schedule = Text("training.schedule") ?? plan.Schedule,
            WarmUp = Number("training.warmUp") ?? plan.WarmUp,
            Momentum = Number("training.momentum") ?? plan.Momentum,
            WeightDecay = Number("training.weightDecay") ?? plan.WeightDecay,
            LabelSmoothing = Number("training.labelSmoothing") ?? plan.LabelSmoothing,
            ClipNorm = Number("training.clipNorm") ?? plan.ClipNorm,
            Average = Number("training.average") ?? plan.Average,
            Augment = Text("training.augment") ?? plan.Augment,
            Teacher = (Text("training.teacher") ?? plan.Teacher) is { } teacher && teacher != "none" ? teacher : null,
            TeacherWeight = Number("training.teacherWeight") ?? plan.TeacherWeight,
            Temperature = Number("training.temperature") ?? plan.Temperature,
            Retrain = Text("training.retrain") ?? plan.Retrain,
            Rank = (int)(Number("training.rank") ?? plan.Rank),
            Alpha = Number("training.alpha") ?? plan.Alpha,
            Window = (int)(Number("training.window") ?? plan.Window),
            Seed = (long)(Number("seed") ?? plan.Seed),
        };
    }

    /// <summary>The method, built.</summary>
    /// <param name="totalSteps">Steps of the training run; 0 for one-shot methods.</param>
    /// <exception cref="PruningException">The method needs a training run, or entries contradict each other.</exception>
    public Sparsifier CreateSparsifier(long totalSteps = 0)
    {
        RequireConsistent();
        return Method.Build(Settings, Arguments, totalSteps);
    }

    /// <summary>Checks that no entry would be ignored because of another. Not done while entries are set one by one: their order does not matter.</summary>
    /// <exception cref="PruningException">SL4002: two entries contradict each other.</exception>
    public void RequireConsistent()
    {
        if (Pattern.Kind == SparsityKind.NofM && Number("sparsity") is { } sparsity && Math.Abs(sparsity - (1 - (double)Pattern.A / Pattern.B)) > 0.0005)
        {
            string share = string.Create(CultureInfo.InvariantCulture, $"{100 - 100.0 * Pattern.A / Pattern.B:0.##} %");
            throw new PruningException("SL4002", string.Create(CultureInfo.InvariantCulture, $"a sparsity of {sparsity * 100:0.##} % and the pattern {Pattern} contradict each other"))
            {
                Where = "sparsity",
                Because = $"{Pattern} keeps {Pattern.A} of every {Pattern.B} weights, which removes {share}",
                Try = $"leave the sparsity out or give {share}, or another pattern",
            };
        }
        if (!Method.TrainsWeights && Text("training.retrain") is { } parts && parts != "all")
        {
            throw new PruningException("SL4002", $"'{Method.Id}' trains scores alone, so '{parts}' would not be retrained")
            {
                Where = "training.retrain",
                Try = $"leave retrain out, and give it afterwards: sparseland recover MODEL --retrain {parts}",
            };
        }
        new MethodArguments(Method.Id, Method.Parameters, Arguments).RequireConsistent(Pattern);
        foreach (MethodParameter bound in RecipeKeys.Scalars.Where(s => s.Name.StartsWith("bounds.", StringComparison.Ordinal)))
        {
            if (Pattern.Kind != SparsityKind.NofM || Text(bound.Name) is not { } given || given == bound.Normalize(bound.Default)) continue;
            throw new PruningException("SL4002", $"'{bound.Name}: {given}' has no effect with the pattern {Pattern}")
            {
                Where = bound.Name,
                Because = $"{Pattern} keeps {Pattern.A} of every {Pattern.B} weights in every layer",
                Try = "leave it out, or another pattern",
            };
        }
    }

    /// <summary>A copy with one entry set.</summary>
    /// <param name="key">For example <c>sparsity</c>, <c>policy.first</c>, <c>parameters.allocation</c>, <c>targets</c>.</param>
    /// <param name="values">One value, or several for lists.</param>
    /// <exception cref="PruningException">SL4010: the key is unknown (near misses are named); SL4002: the value is wrong.</exception>
    public Recipe With(string key, params IReadOnlyList<string> values)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        ArgumentNullException.ThrowIfNull(values);
        if (key == "method") return new Recipe(values.Count == 1 ? values[0] : throw Single(key), Copy());
        SortedDictionary<string, string[]> entries = Copy();
        if (RecipeKeys.Lists.Contains(key))
        {
            foreach (string filter in values) _ = new NameFilter(filter);
            entries[key] = [.. values];
            return new Recipe(Method.Id, entries);
        }
        string value = values.Count == 1 ? values[0] : throw Single(key);
        if (key.StartsWith("parameters.", StringComparison.Ordinal))
        {
            string name = key["parameters.".Length..];
            MethodParameter? parameter = Method.Parameters.FirstOrDefault(p => string.Equals(p.Name, name, StringComparison.OrdinalIgnoreCase));
            if (parameter is null) _ = new MethodArguments(Method.Id, Method.Parameters, new Dictionary<string, string> { [name] = value });
            entries["parameters." + parameter!.Name] = [parameter.Normalize(value)];
            return new Recipe(Method.Id, entries);
        }
        MethodParameter scalar = RecipeKeys.Scalars.FirstOrDefault(s => s.Name == key) ?? throw Unknown(key);
        if (key == "pattern")
        {
            try
            {
                entries[key] = [SparsityPattern.Parse(value).ToString()];
            }
            catch (FormatException e)
            {
                throw new PruningException("SL4002", e.Message, e) { Where = "pattern" };
            }
        }
        else if (key == "sparsity" && Values.TryNumber(value, out double share) && (share < 0 || share >= 1))
        {
            throw new PruningException("SL4002", $"a sparsity of {value} cannot be reached: it is the share of the weights that is removed, 0 % to below 100 %")
            {
                Where = "sparsity",
                Try = share is > 1 and < 100 && !value.Contains('%', StringComparison.Ordinal) ? $"{value}%" : "for example 90%",
            };
        }
        else
        {
            entries[key] = [scalar.Normalize(value)];
        }
        return new Recipe(Method.Id, entries);
    }

    /// <summary>The recipe as YAML, which <see cref="RecipeReader"/> reads back to an equal recipe.</summary>
    public string ToYaml() => RecipeWriter.Write(this);

    internal IReadOnlyDictionary<string, string[]> Raw => _entries;

    private SortedDictionary<string, string[]> Copy() => new(_entries, StringComparer.Ordinal);

    private string? Text(string key) => _entries.TryGetValue(key, out string[]? value) ? value[0] : null;

    private double? Number(string key) => Text(key) is { } text ? double.Parse(text, CultureInfo.InvariantCulture) : null;

    private bool? Switch(string key) => Text(key) is { } text ? text == "true" : null;

    private static PruningException Single(string key) => new("SL4002", $"'{key}' takes one value") { Where = key };

    private PruningException Unknown(string key)
    {
        string[] known = [.. RecipeKeys.All, .. Method.Parameters.Select(p => "parameters." + p.Name)];
        string[] near = [.. known
            .Select(k => (Key: k, Distance: Math.Min(NameFilter.Distance(k.ToLowerInvariant(), key.ToLowerInvariant()), NameFilter.Distance(Last(k), Last(key)))))
            .Where(k => k.Distance <= Math.Max(1, Last(key).Length / 3)).OrderBy(k => k.Distance).Take(3).Select(k => k.Key)];
        return new PruningException("SL4010", $"a recipe has no key '{key}'")
        {
            Where = key,
            Try = near.Length > 0 ? "did you mean " + string.Join(" or ", near) : "keys: " + string.Join(", ", RecipeKeys.All.Take(12)) + " ...",
        };
    }

    private static string Last(string key) => key[(key.LastIndexOf('.') + 1)..].ToLowerInvariant();
}
