using System.CommandLine;
using System.CommandLine.Parsing;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Reporting;
using Sparseland.Cli.Verbs;
using Sparseland.Kernels.Sparse;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Recipes;
using Sparseland.Pruning.Recovery;
using Sparseland.Pruning.Structured;

namespace Sparseland.Cli.Services;

/// <summary>What is to be removed, how and from where; what <c>plan</c> shows and <c>prune</c> does.</summary>
internal sealed record PruneRequest
{
    /// <summary>The recipe that flags and file together mean.</summary>
    public required Recipe Recipe { get; init; }

    /// <summary>The method of the catalogue.</summary>
    public MethodInfo Method => Recipe.Method;

    /// <summary>What an unstructured method is told.</summary>
    public PruningSettings Settings => Recipe.Settings;

    /// <summary>The method's own parameters.</summary>
    public IReadOnlyDictionary<string, string> Arguments => Recipe.Arguments;

    /// <summary>How the network is trained, where there is data; zero epochs do not train.</summary>
    public TrainingPlan Training { get; init; } = new() { Epochs = 0 };

    /// <summary>Builds the method for a plan, so that wrong and conflicting parameters are errors although nothing is run; how long a training is does not matter to that.</summary>
    /// <exception cref="PruningException">A parameter is out of range, or conflicts with another.</exception>
    public Sparsifier CreateForPlan() => Method.Build(Settings, Arguments, Method.Stage == PruningStage.During ? NominalSteps : 0);

    private const long NominalSteps = 100_000;

    /// <summary>The method when it is the removal of channels by budget; null otherwise.</summary>
    public ChannelPruning? Channels => IsStructured ? Recipe.CreateSparsifier() as ChannelPruning : null;

    /// <summary>Largest compact file in bytes, when the target was a size; the sparsity is solved from it.</summary>
    public long? Size { get; init; }

    /// <summary>Longest time of one run in milliseconds, when the target was a latency; the share of multiply-adds is searched for.</summary>
    public double? LatencyMs { get; init; }

    /// <summary>Whether the graph becomes smaller.</summary>
    public bool IsStructured => Method.IsStructured;

    /// <summary>The method's name for people.</summary>
    public string Title => Method.Title;

    /// <summary>The target for people.</summary>
    public string Target => Channels is { } channels
        ? $"{channels.Budget.Keep:P0} of the {(channels.Budget.Unit == BudgetUnit.Macs ? "multiply-adds" : "parameters")}"
        : IsStructured ? $"{ShareText.Of(Settings.Sparsity, 4)} of what {Method.Id} counts"
        : Settings.Pattern.Kind == SparsityKind.NofM ? $"{Settings.Pattern} pattern" : $"{ShareText.Of(Settings.Sparsity, 4)} zeros, {Settings.Pattern}";
}

/// <summary>The flags behind <see cref="PruneRequest"/>, the same in <c>plan</c> and <c>prune</c>.</summary>
internal sealed class PruneFlags
{
    private readonly Option<string?> _method = new("--method") { Description = "magnitude, gmp, rigl, snip, wanda, channels ... (see 'list methods'). Default: gmp with data and epochs, else magnitude." };
    private readonly Option<string?> _sparsity = new("--sparsity") { Description = "Share of the weights to remove, e.g. 80%." };
    private readonly Option<string?> _pattern = new("--pattern") { Description = "unstructured, 2:4, 4x1 ... (default unstructured)." };
    private readonly Option<string?> _parameters = new("--params") { Description = "Keep this share of the parameters by removing channels, e.g. 30%. Removing a share p of all channels removes about 1-(1-p)^2 of the parameters." };
    private readonly Option<string?> _macs = new("--macs") { Description = "Keep this share of the multiply-adds by removing channels, e.g. 50%." };
    private readonly Option<string?> _size = new("--size") { Description = "Largest compact file, e.g. 5MB; the sparsity follows from it." };
    private readonly Option<string?> _latency = new("--latency") { Description = "Longest time of one run at batch 1 on this machine, e.g. 12ms; channels are removed and timed until it is met." };
    private readonly Option<string[]> _targets = new("--targets") { Description = "Only layers whose name matches: globs, or re: and a regular expression.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string[]> _ignore = new("--ignore", "--freeze") { Description = "No layer whose name matches.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<bool> _keepFirst = new("--keep-first") { Description = "Leave the first layer dense." };
    private readonly Option<bool> _keepLast = new("--keep-last") { Description = "Leave the last layer dense." };
    private readonly Option<bool> _embeddings = new("--embeddings") { Description = "Prune embedding tables too." };
    private readonly Option<double?> _floor = new("--layer-floor") { Description = "Every layer keeps at least this share of what a uniform cut would keep (default 0.2; channels: 0.1 of a group)." };
    private readonly Option<int?> _multiple = new("--multiple") { Description = "Round widths up to multiples of this power of two; narrow layers use half of their width (default 16)." };
    private readonly Option<string[]> _set = new("--set") { Description = "A parameter of the method or an entry of the recipe: NAME=VALUE.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string?> _recipe = new("--recipe") { Description = "A recipe (YAML); flags beside it change single entries." };
    private readonly Option<string?> _saveRecipe = new("--save-recipe") { Description = "Write what the flags meant as a recipe." };

    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[.. Meaning, _saveRecipe]) command.Options.Add(option);
    }

    /// <summary>What says what is to be done.</summary>
    private Option[] Meaning => [_method, _sparsity, _pattern, _parameters, _macs, _size, _latency, _targets, _ignore, _keepFirst, _keepLast, _embeddings, _floor, _multiple, _set, _recipe];

    /// <summary>The flags as they were given, to be used again with another verb; the sparsity is added where no flag names a target.</summary>
    public string Repeat(ParseResult arguments, PruneRequest request)
    {
        OptionResult[] given = [.. Meaning.Select(arguments.GetResult).OfType<OptionResult>().Where(o => !o.Implicit)];
        Option[] targets = [_sparsity, _pattern, _parameters, _macs, _size, _latency, _recipe];
        IEnumerable<string> words = given.SelectMany(o => (IEnumerable<string>)[o.Option.Name, .. o.Tokens.Select(t => Quote(t.Value))]);
        return string.Join(' ', given.Any(o => targets.Contains(o.Option)) ? words : [.. words, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"--sparsity {request.Settings.Sparsity * 100:0.##}%")]);
    }

    private static string Quote(string word) => word.All(c => char.IsLetterOrDigit(c) || "-_=.,:/%+".Contains(c)) ? word : "'" + word.Replace("'", "'\\''", StringComparison.Ordinal) + "'";

    /// <summary>Adds the flags that make sense while a network is trained from scratch: no budgets of channels or bytes.</summary>
    public void AddSparseTrainingTo(Command command)
    {
        Option[] some = [_method, _sparsity, _pattern, _targets, _ignore, _keepFirst, _keepLast, _embeddings, _floor, _set, _recipe, _saveRecipe];
        foreach (Option option in some) command.Options.Add(option);
    }

    /// <summary>Reads the flags of <see cref="AddSparseTrainingTo"/>; null when the training is to be dense.</summary>
    /// <exception cref="VerbException">Flags without a method, or a method that acts on trained networks.</exception>
    public PruneRequest? ReadSparseTraining(ParseResult arguments, VerbContext context, TrainingFlags training, bool text)
    {
        if (arguments.GetValue(_method) is null && arguments.GetValue(_recipe) is null)
        {
            if (arguments.GetValue(_sparsity) is not null || arguments.GetValue(_pattern) is not null || arguments.GetValue(_set) is { Length: > 0 } || arguments.GetValue(_saveRecipe) is not null)
                throw VerbException.Usage("--sparsity, --pattern, --set and --save-recipe belong to a method", "add --method rigl, snip, gmp ... (see 'list methods')");
            return null;
        }
        PruneRequest request = Read(arguments, context, training, hasData: true, text);
        if (request.Method.Stage == PruningStage.After)
            throw VerbException.Usage($"--method {request.Method.Id} acts on a network that is trained already", $"train first, then: sparseland prune MODEL --method {request.Method.Id}");
        return request;
    }

    /// <summary>Reads the recipe file, if any, and lays the flags over it; the recipe's seed becomes the run's when no flag gives one.</summary>
    /// <param name="arguments">The parsed command line.</param>
    /// <param name="context">For the seed.</param>
    /// <param name="training">The verb's training flags; null for verbs that do not train.</param>
    /// <param name="hasData">Whether there is data to train on.</param>
    /// <param name="text">Whether the model takes tokens.</param>
    public PruneRequest Read(ParseResult arguments, VerbContext context, TrainingFlags? training, bool hasData, bool text)
    {
        string? method = arguments.GetValue(_method), macs = arguments.GetValue(_macs), parameters = arguments.GetValue(_parameters), sparsity = arguments.GetValue(_sparsity);
        if (macs is not null && parameters is not null) throw VerbException.Usage("--macs and --params are two targets", "give one of them");
        double? latency = arguments.GetValue(_latency) is { } time ? CommonOptions.ParseMilliseconds(time) : null;
        if (latency is not null && (macs ?? parameters ?? sparsity ?? arguments.GetValue(_size)) is not null)
            throw VerbException.Usage("--latency is a target of its own", "give one of --latency, --size, --sparsity, --macs and --params");
        // Until the search has found its share, a latency is a budget of everything.
        if (latency is not null) macs = "99.9%";
        bool budget = macs is not null || parameters is not null;
        if (budget && sparsity is not null) throw VerbException.Usage("channels are removed until a budget is met", "use --macs 50% or --params 30% instead of --sparsity");
        if (budget && method is not (null or "channels")) throw VerbException.Usage($"--method {method} removes single weights; --macs, --params and --latency remove channels", "leave --method out, or use --sparsity");
        if (sparsity is not null) CommonOptions.ParseFraction(sparsity, "--sparsity");

        Recipe recipe = training?.AddTo(BaseRecipe(arguments), arguments) ?? BaseRecipe(arguments);
        (string Key, string Value)[] entries = [.. (arguments.GetValue(_set) ?? []).Select(Entry)];
        // How long is trained decides which method is the default, so it is read before the method's own entries.
        foreach ((string key, string value) in entries.Where(e => e.Key.StartsWith("training.", StringComparison.Ordinal))) recipe = recipe.With(key, value);
        bool trains = training is not null && hasData && training.Plan(recipe, text, 0) is var plan && (plan.Steps ?? plan.Epochs) > 0;
        if (method is not null || budget) recipe = recipe.With("method", budget ? "channels" : MethodCatalog.Get(method!).Id);
        else if (arguments.GetValue(_recipe) is null && trains && !(arguments.GetValue(_pattern) ?? "").Contains(':')) recipe = recipe.With("method", "gmp");
        bool channels = recipe.Method.Id == "channels";
        if (channels && !budget && arguments.GetValue(_recipe) is null) throw VerbException.Usage("--method channels needs a budget", "add --macs 50% or --params 30%");
        if (budget) recipe = recipe.With("parameters.budget", macs is not null ? "macs" : "parameters").With("sparsity", Text(1 - Keep(macs ?? parameters!, macs is not null ? "--macs" : "--params")));
        if (arguments.GetValue(_pattern) is { } pattern) recipe = recipe.With("pattern", pattern);
        if (sparsity is not null) recipe = recipe.With("sparsity", Text(CommonOptions.ParseFraction(sparsity, "--sparsity")));
        if (arguments.GetValue(_targets) is { Length: > 0 } targets) recipe = recipe.With("targets", targets);
        if (arguments.GetValue(_ignore) is { Length: > 0 } ignore) recipe = recipe.With("ignore", ignore);
        if (arguments.GetValue(_keepFirst)) recipe = recipe.With("policy.first", "false");
        if (arguments.GetValue(_keepLast)) recipe = recipe.With("policy.last", "false");
        if (arguments.GetValue(_embeddings)) recipe = recipe.With("policy.embeddings", "true");
        if (arguments.GetValue(_floor) is { } floor) recipe = recipe.With(channels ? "parameters.floor" : "bounds.floor", Text(floor));
        if (arguments.GetValue(_multiple) is { } multiple)
        {
            if (!channels) throw VerbException.Usage("--multiple rounds channel counts", "use it with --macs or --params");
            recipe = recipe.With("parameters.multiple", Text(multiple));
        }
        foreach ((string key, string value) in entries.Where(e => !e.Key.StartsWith("training.", StringComparison.Ordinal))) recipe = recipe.With(key, value);
        TakeSeed(arguments, context, recipe);
        recipe = recipe.With("seed", Text(context.Settings.Seed));
        recipe.RequireConsistent();

        long? size = arguments.GetValue(_size) is { } bytes ? CommonOptions.ParseSize(bytes) : null;
        if (size is not null && (sparsity is not null || budget)) throw VerbException.Usage("--size is a target of its own", "give one of --size, --sparsity, --macs and --params");
        if (size is not null && recipe.Pattern.Kind == SparsityKind.NofM) throw VerbException.Usage($"--size and the pattern {recipe.Pattern}, which fixes how much is removed, are two targets", "give one of them");
        var request = new PruneRequest { Recipe = recipe, Size = size, LatencyMs = latency };
        return training is null ? request : request with { Training = training.Plan(recipe, text, context.Settings.Seed) };
    }

    /// <summary>Makes the recipe's seed the run's, unless a flag gives one; for verbs that need the seed before they can read the rest.</summary>
    public void TakeSeed(ParseResult arguments, VerbContext context) => TakeSeed(arguments, context, BaseRecipe(arguments));

    /// <inheritdoc cref="TakeSeed(ParseResult, VerbContext)"/>
    public static void TakeSeed(ParseResult arguments, VerbContext context, Recipe recipe)
    {
        bool flag = arguments.GetResult("--seed") is OptionResult { Implicit: false };
        if (!flag && recipe.Entries.ContainsKey("seed")) context.UseSeed(recipe.Settings.Seed);
    }

    /// <summary>Writes what file and flags together meant, when --save-recipe asks for it.</summary>
    public void SaveRecipe(ParseResult arguments, PruneRequest request, bool force)
    {
        if (arguments.GetValue(_saveRecipe) is not { } path) return;
        ModelAccess.RequireWritable(path, force);
        TextFile.Write(path, request.Recipe.ToYaml());
    }

    private Recipe BaseRecipe(ParseResult arguments) => arguments.GetValue(_recipe) is { } path ? RecipeReader.Read(path) : Recipe.Of("magnitude");

    private static (string Key, string Value) Entry(string item)
    {
        int equals = item.IndexOf('=', StringComparison.Ordinal);
        if (equals < 1) throw VerbException.Usage($"'--set {item}' is not of the form NAME=VALUE");
        string key = item[..equals];
        return (RecipeKeys.All.Contains(key) || key.Contains('.', StringComparison.Ordinal) ? key : "parameters." + key, item[(equals + 1)..]);
    }

    private static string Text(double value) => value.ToString("R", System.Globalization.CultureInfo.InvariantCulture);

    private static double Keep(string text, string option)
    {
        double keep = CommonOptions.ParseFraction(text, option);
        return keep > 0 ? keep : throw VerbException.Usage($"{option} is {text}: nothing would be left");
    }
}
