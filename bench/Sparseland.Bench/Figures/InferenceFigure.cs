using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;

namespace Sparseland.Bench.Figures;

/// <summary>One model on our dense plan, our sparse plan and other engines' dense ones.</summary>
internal sealed class InferenceFigure : Figure
{
    private static readonly (string Model, double Sparsity)[] s_default = [("resnet20", 0), ("resnet50", 0), ("resnet20-wide", 0.9)];

    private readonly Argument<string?> _model = new("model") { Description = "A model file or an architecture (default: resnet20, resnet50 and resnet20-wide at 90 %).", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string?> _architectureOptions = new("--arch-options") { Description = "Options of the architecture, such as \"width=2048\"." };
    private readonly Option<int> _batch = new("--batch") { Description = "Samples per run.", DefaultValueFactory = _ => 1 };
    private readonly Option<double?> _sparsity = new("--sparsity") { Description = "Remove this fraction of every layer's weights by magnitude first, 0 to 1." };
    private readonly Option<string> _against = AgainstOption("onnxruntime");
    private readonly Option<bool> _alone = new("--alone") { Description = "Measure our plans only." };
    private readonly Option<bool> _profile = new("--plan") { Description = "Print the plans: which kernel each layer got and why." };

    protected override (string Name, string Description) Title => ("inference", "A model as our dense plan, our sparse plan and other engines' dense model, in turn.");

    /// <summary>The option that names peers.</summary>
    internal static Option<string> AgainstOption(string fallback) => new("--against") { Description = "Engines beside ours: onnxruntime, pytorch, separated by a comma.", DefaultValueFactory = _ => fallback };

    /// <summary>The named peers that are installed; says which are not and how they are installed.</summary>
    internal static IReadOnlyList<PeerEntry> Installed(string list, VerbContext context)
    {
        var peers = new List<PeerEntry>();
        foreach (string id in list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            PeerEntry peer = PeerCatalog.Find(id) ?? throw VerbException.Usage($"--against has '{id}'", $"use {string.Join(", ", PeerCatalog.All.Select(p => p.Id))}");
            if (peer.Missing() is not { } reason) peers.Add(peer);
            else context.Warn($"without {peer.Title}: {reason.What}; try: {reason.Try}");
        }
        return peers;
    }

    protected override void DeclareOwn(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_architectureOptions, _batch, _sparsity, _against, _alone, _profile];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int batch = arguments.GetValue(_batch);
        if (batch is < 1 or > 4096) throw VerbException.Usage("--batch is 1 to 4096");
        if (arguments.GetValue(_sparsity) is { } s && s is not (>= 0 and < 1)) throw VerbException.Usage("--sparsity is 0 to below 1");
        (string, double)[] models = arguments.GetValue(_model) is { } given ? [(given, arguments.GetValue(_sparsity) ?? 0)]
            : [.. s_default.Select(m => (m.Model, arguments.GetValue(_sparsity) ?? m.Sparsity))];
        IReadOnlyList<PeerEntry> peers = arguments.GetValue(_alone) ? [] : Installed(arguments.GetValue(_against)!, context);
        var rows = new JsonArray();
        foreach ((string model, double sparsity) in models)
        {
            var network = new NetworkCase($"{model}{(sparsity > 0 ? $", {sparsity:P0} removed" : "")}", ModelAccess.LoadOrBuild(model, null, arguments.GetValue(_architectureOptions), null, context.Settings.Seed), batch, sparsity);
            using EvenCores cores = EvenCores.For(context, options, rows);
            rows.Add(NetworkComparison.Run(network, peers, arguments.GetValue(_profile), context, cores.Options));
        }
        return rows;
    }
}
