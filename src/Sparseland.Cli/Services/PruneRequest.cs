using System.CommandLine;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Verbs;
using Sparseland.Kernels.Sparse;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Recipes;
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

    /// <summary>The budget when channels are removed.</summary>
    public ChannelBudget? Channels { get; init; }

    /// <summary>Name filters for channel removal, each of which must match a weight.</summary>
    public IReadOnlyList<string> ChannelFilters { get; init; } = [];

    /// <summary>Largest compact file in bytes, when the target was a size; the sparsity is solved from it.</summary>
    public long? Size { get; init; }

    /// <summary>Whether whole channels are removed.</summary>
    public bool IsStructured => Channels is not null;

    /// <summary>The method's name for people.</summary>
    public string Title => Method.Title;

    /// <summary>The target for people.</summary>
    public string Target => Channels is { } c
        ? $"{c.Keep:P0} of the {(c.Unit == BudgetUnit.Macs ? "multiply-adds" : "parameters")}"
        : Settings.Pattern.Kind == SparsityKind.NofM ? $"{Settings.Pattern} pattern" : $"{Settings.Sparsity:P1} zeros, {Settings.Pattern}";
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
    private readonly Option<string[]> _targets = new("--targets") { Description = "Only layers whose name matches: globs, or re: and a regular expression.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string[]> _ignore = new("--ignore", "--freeze") { Description = "No layer whose name matches.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<bool> _keepFirst = new("--keep-first") { Description = "Leave the first layer dense." };
    private readonly Option<bool> _keepLast = new("--keep-last") { Description = "Leave the last layer dense." };
    private readonly Option<bool> _embeddings = new("--embeddings") { Description = "Prune embedding tables too." };
    private readonly Option<double?> _floor = new("--layer-floor") { Description = "Every layer keeps at least this share of what a uniform cut would keep (default 0.2; channels: 0.1 of a group)." };
    private readonly Option<int?> _multiple = new("--multiple") { Description = "Round channel counts up to multiples of this (default 8)." };
    private readonly Option<string[]> _set = new("--set") { Description = "A parameter of the method or an entry of the recipe: NAME=VALUE.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string?> _recipe = new("--recipe") { Description = "A recipe (YAML); flags beside it change single entries." };
    private readonly Option<string?> _saveRecipe = new("--save-recipe") { Description = "Write what the flags meant as a recipe." };

    public void AddTo(Command command)
    {
        Option[] all = [_method, _sparsity, _pattern, _parameters, _macs, _size, _targets, _ignore, _keepFirst, _keepLast, _embeddings, _floor, _multiple, _set, _recipe, _saveRecipe];
        foreach (Option option in all) command.Options.Add(option);
    }

    /// <summary>Adds the flags that make sense while a network is trained from scratch: no budgets of channels or bytes.</summary>
    public void AddSparseTrainingTo(Command command)
    {
        Option[] some = [_method, _sparsity, _pattern, _targets, _ignore, _keepFirst, _keepLast, _embeddings, _floor, _set];
        foreach (Option option in some) command.Options.Add(option);
    }

    /// <summary>Reads the flags of <see cref="AddSparseTrainingTo"/>; null when the training is to be dense.</summary>
    /// <exception cref="VerbException">Flags without a method, or a method that acts on trained networks.</exception>
    public PruneRequest? ReadSparseTraining(ParseResult arguments, VerbContext context)
    {
        if (arguments.GetValue(_method) is not { } method)
        {
            if (arguments.GetValue(_sparsity) is not null || arguments.GetValue(_pattern) is not null || arguments.GetValue(_set) is { Length: > 0 })
                throw VerbException.Usage("--sparsity, --pattern and --set belong to a method", "add --method rigl, snip, gmp ... (see 'list methods')");
            return null;
        }
        if (method == "channels" || MethodCatalog.Get(method).Stage == PruningStage.After)
            throw VerbException.Usage($"--method {method} acts on a network that is trained already", $"train first, then: sparseland prune MODEL --method {method}");
        return Read(arguments, context, trains: true);
    }

    /// <summary>Reads the recipe file, if any, and lays the flags over it.</summary>
    /// <param name="arguments">The parsed command line.</param>
    /// <param name="context">For the seed.</param>
    /// <param name="trains">Whether there is data and a number of epochs.</param>
    public PruneRequest Read(ParseResult arguments, VerbContext context, bool trains)
    {
        string? method = arguments.GetValue(_method), macs = arguments.GetValue(_macs), parameters = arguments.GetValue(_parameters), sparsity = arguments.GetValue(_sparsity);
        if (macs is not null && parameters is not null) throw VerbException.Usage("--macs and --params are two targets", "give one of them");
        bool budget = macs is not null || parameters is not null;
        if (budget && sparsity is not null) throw VerbException.Usage("channels are removed until a budget is met", "use --macs 50% or --params 30% instead of --sparsity");
        if (budget && method is not (null or "channels")) throw VerbException.Usage($"--method {method} removes single weights; --macs and --params remove channels", "leave --method out, or use --sparsity");
        if (sparsity is not null) CommonOptions.ParseFraction(sparsity, "--sparsity");

        Recipe recipe = BaseRecipe(arguments);
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
        foreach (string item in arguments.GetValue(_set) ?? [])
        {
            int equals = item.IndexOf('=', StringComparison.Ordinal);
            if (equals < 1) throw VerbException.Usage($"'--set {item}' is not of the form NAME=VALUE");
            string key = item[..equals];
            recipe = recipe.With(RecipeKeys.All.Contains(key) || key.Contains('.') ? key : "parameters." + key, item[(equals + 1)..]);
        }
        if (arguments.GetResult("--seed") is System.CommandLine.Parsing.OptionResult { Implicit: false } || !recipe.Entries.ContainsKey("seed")) recipe = recipe.With("seed", Text(context.Settings.Seed));

        // Said, not skipped in silence: how to train is taken from the flags of the verb.
        if (recipe.HasTraining) context.Warn("the recipe's training entries are not used here; say how to train with --epochs, --learning-rate and the other flags");

        long? size = arguments.GetValue(_size) is { } text ? CommonOptions.ParseSize(text) : null;
        if (size is not null && (sparsity is not null || budget)) throw VerbException.Usage("--size is a target of its own", "give one of --size, --sparsity, --macs and --params");
        return new PruneRequest { Recipe = recipe, Channels = channels ? Budget(recipe) : null, ChannelFilters = channels ? [.. recipe.Settings.Policy.Targets, .. recipe.Settings.Policy.Ignore] : [], Size = size };
    }

    /// <summary>Writes what file and flags together meant, when --save-recipe asks for it.</summary>
    public void SaveRecipe(ParseResult arguments, PruneRequest request, bool force)
    {
        if (arguments.GetValue(_saveRecipe) is not { } path) return;
        ModelAccess.RequireWritable(path, force);
        TextFile.Write(path, request.Recipe.ToYaml());
    }

    private Recipe BaseRecipe(ParseResult arguments) => arguments.GetValue(_recipe) is { } path ? RecipeReader.Read(path) : Recipe.Of("magnitude");

    private static ChannelBudget Budget(Recipe recipe)
    {
        var values = new MethodArguments(recipe.Method.Id, recipe.Method.Parameters, recipe.Arguments);
        return new ChannelBudget(values.Choice("budget") == "macs" ? BudgetUnit.Macs : BudgetUnit.Parameters, 1 - recipe.Settings.Sparsity)
        {
            Spread = values.Choice("spread") == "uniform" ? ChannelSpread.Uniform : ChannelSpread.Global,
            Floor = values.Number("floor"),
            Rounding = new WidthRounding(values.Int("multiple")),
            Include = ChannelFilter([.. recipe.Settings.Policy.Targets], [.. recipe.Settings.Policy.Ignore]),
        };
    }

    private static string Text(double value) => value.ToString("R", System.Globalization.CultureInfo.InvariantCulture);

    private static double Keep(string text, string option)
    {
        double keep = CommonOptions.ParseFraction(text, option);
        return keep > 0 ? keep : throw VerbException.Usage($"{option} is {text}: nothing would be left");
    }

    /// <summary>Checks that every filter matches a weight of the model (R30).</summary>
    internal static void RequireMatches(Model.Graph.ModelGraph graph, IEnumerable<string> filters)
    {
        foreach (string text in filters)
        {
            var filter = new NameFilter(text);
            if (graph.Weights.Keys.Any(filter.Matches)) continue;
            IReadOnlyList<string> near = NameFilter.NearMisses(text, graph.Weights.Keys);
            throw VerbException.Usage($"the filter '{text}' matches no weight of the model", near.Count > 0 ? "did you mean " + string.Join(", ", near) : "see the names with: sparseland inspect MODEL");
        }
    }

    private static Func<ChannelGroup, bool>? ChannelFilter(string[] targets, string[] ignore)
    {
        if (targets.Length == 0 && ignore.Length == 0) return null;
        NameFilter[] wanted = [.. targets.Select(t => new NameFilter(t))], unwanted = [.. ignore.Select(t => new NameFilter(t))];
        return group =>
        {
            IEnumerable<string> names = group.Members.Select(m => m.Weight).Append(group.Name);
            return (wanted.Length == 0 || names.Any(n => wanted.Any(f => f.Matches(n)))) && !names.Any(n => unwanted.Any(f => f.Matches(n)));
        };
    }
}
