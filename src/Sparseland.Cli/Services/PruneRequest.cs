using System.CommandLine;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Verbs;
using Sparseland.Kernels.Sparse;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Structured;

namespace Sparseland.Cli.Services;

/// <summary>What is to be removed, how and from where; what <c>plan</c> shows and <c>prune</c> does.</summary>
internal sealed record PruneRequest
{
    /// <summary>The method of the catalogue; null when channels are removed.</summary>
    public MethodInfo? Method { get; init; }

    /// <summary>What an unstructured method is told.</summary>
    public PruningSettings Settings { get; init; } = new();

    /// <summary>The method's own parameters.</summary>
    public IReadOnlyDictionary<string, string> Arguments { get; init; } = new Dictionary<string, string>();

    /// <summary>The budget when channels are removed.</summary>
    public ChannelBudget? Channels { get; init; }

    /// <summary>Name filters for channel removal, each of which must match a weight.</summary>
    public IReadOnlyList<string> ChannelFilters { get; init; } = [];

    /// <summary>Largest compact file in bytes, when the target was a size; the sparsity is solved from it.</summary>
    public long? Size { get; init; }

    /// <summary>Whether whole channels are removed.</summary>
    public bool IsStructured => Channels is not null;

    /// <summary>The method's name for people.</summary>
    public string Title => IsStructured ? "Channel removal by group norm" : Method!.Title;

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
    private readonly Option<int> _multiple = new("--multiple") { Description = "Round channel counts up to multiples of this.", DefaultValueFactory = _ => 8 };
    private readonly Option<string[]> _set = new("--set") { Description = "A parameter of the method: NAME=VALUE.", AllowMultipleArgumentsPerToken = true };

    public void AddTo(Command command)
    {
        Option[] all = [_method, _sparsity, _pattern, _parameters, _macs, _size, _targets, _ignore, _keepFirst, _keepLast, _embeddings, _floor, _multiple, _set];
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

    /// <summary>Reads the flags.</summary>
    /// <param name="arguments">The parsed command line.</param>
    /// <param name="context">For the seed.</param>
    /// <param name="trains">Whether there is data and a number of epochs.</param>
    public PruneRequest Read(ParseResult arguments, VerbContext context, bool trains)
    {
        string? method = arguments.GetValue(_method), macs = arguments.GetValue(_macs), parameters = arguments.GetValue(_parameters), sparsity = arguments.GetValue(_sparsity);
        string[] targets = arguments.GetValue(_targets) ?? [], ignore = arguments.GetValue(_ignore) ?? [];
        if (macs is not null && parameters is not null) throw VerbException.Usage("--macs and --params are two targets", "give one of them");
        bool structured = method == "channels" || macs is not null || parameters is not null;
        if (structured)
        {
            if (method is not (null or "channels")) throw VerbException.Usage($"--method {method} removes single weights; --macs and --params remove channels", "leave --method out, or use --sparsity");
            if (sparsity is not null) throw VerbException.Usage("channels are removed until a budget is met", "use --macs 50% or --params 30% instead of --sparsity");
            if (macs is null && parameters is null) throw VerbException.Usage("--method channels needs a budget", "add --macs 50% or --params 30%");
            int multiple = arguments.GetValue(_multiple);
            if (multiple is < 1 or > 1024) throw VerbException.Usage($"--multiple is {multiple}", "use 1 to 1024");
            return new PruneRequest
            {
                ChannelFilters = [.. targets, .. ignore],
                Channels = new ChannelBudget(macs is not null ? BudgetUnit.Macs : BudgetUnit.Parameters, Keep(macs ?? parameters!, macs is not null ? "--macs" : "--params"))
                {
                    Rounding = new WidthRounding(multiple),
                    Floor = arguments.GetValue(_floor) ?? 0.1,
                    Include = ChannelFilter(targets, ignore),
                },
            };
        }

        SparsityPattern pattern;
        try
        {
            pattern = SparsityPattern.Parse(arguments.GetValue(_pattern) ?? "unstructured");
        }
        catch (FormatException e)
        {
            throw VerbException.Usage(e.Message);
        }
        MethodInfo info = MethodCatalog.Get(method ?? (trains && pattern.Kind != SparsityKind.NofM ? "gmp" : "magnitude"));
        long? size = arguments.GetValue(_size) is { } text ? CommonOptions.ParseSize(text) : null;
        if (size is not null && sparsity is not null) throw VerbException.Usage("--size and --sparsity are two targets", "give one of them");
        var policy = info.DefaultPolicy with { Targets = targets, Ignore = ignore };
        if (arguments.GetValue(_keepFirst)) policy = policy with { First = false };
        if (arguments.GetValue(_keepLast)) policy = policy with { Last = false };
        if (arguments.GetValue(_embeddings)) policy = policy with { Embeddings = true };
        var settings = new PruningSettings
        {
            Sparsity = sparsity is not null ? CommonOptions.ParseFraction(sparsity, "--sparsity") : info.DefaultSparsity,
            Pattern = pattern,
            Policy = policy,
            Seed = context.Settings.Seed,
        };
        if (arguments.GetValue(_floor) is { } floor) settings = settings with { Bounds = settings.Bounds with { FloorFactor = floor } };
        return new PruneRequest { Method = info, Settings = settings, Arguments = Pairs(arguments.GetValue(_set) ?? []), Size = size };
    }

    private static double Keep(string text, string option)
    {
        double keep = CommonOptions.ParseFraction(text, option);
        return keep > 0 ? keep : throw VerbException.Usage($"{option} is {text}: nothing would be left");
    }

    private static Dictionary<string, string> Pairs(string[] given)
    {
        var pairs = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (string item in given)
        {
            int equals = item.IndexOf('=', StringComparison.Ordinal);
            if (equals < 1) throw VerbException.Usage($"'--set {item}' is not of the form NAME=VALUE");
            pairs[item[..equals]] = item[(equals + 1)..];
        }
        return pairs;
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
