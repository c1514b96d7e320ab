using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Architectures;

namespace Sparseland.Bench.Figures;

/// <summary>Whole networks, dense and sparse, against dense peers in the same run.</summary>
internal sealed class NetworksFigure : Figure
{
    // Networks with other patterns have files of their own.
    private const string Unstructured = "unstructured";

    /// <summary>Id on the command line, label, architecture, its options, batch, sparsity, share of multiply-accumulates that leaves with channels, pattern.</summary>
    private static readonly (string Id, string Label, string Architecture, string Options, int Batch, double Sparsity, double Channels, string Pattern)[] s_cases =
    [
        ("resnet20", "ResNet-20, dense", "resnet20", "", 1, 0, 0, Unstructured),
        ("resnet50", "ResNet-50, dense", "resnet50", "", 1, 0, 0, Unstructured),
        ("resnet50-90", "ResNet-50, 90 % unstructured", "resnet50", "", 1, 0.9, 0, Unstructured),
        ("resnet50-95", "ResNet-50, 95 % unstructured", "resnet50", "", 1, 0.95, 0, Unstructured),
        ("mobilenet-90", "MobileNet-v1, 90 % unstructured", "mobilenet-v1", "", 1, 0.9, 0, Unstructured),
        ("wide-90", "ResNet-20-wide, 90 % unstructured", "resnet20-wide", "", 1, 0.9, 0, Unstructured),
        ("mlp-90", "MLP 784-2048-2048-10, 90 % unstructured", "mlp", "width=2048", 1, 0.9, 0, Unstructured),
        ("resnet50-channels-80", "ResNet-50, half of its work removed by channels, then 80 % unstructured", "resnet50", "", 1, 0.8, 0.5, Unstructured),
        ("resnet50-90-blocks", "ResNet-50, 90 % in blocks of 4x1", "resnet50", "", 1, 0.9, 0, "4x1"),
        ("resnet50-95-blocks", "ResNet-50, 95 % in blocks of 4x1", "resnet50", "", 1, 0.95, 0, "4x1"),
        ("wide-90-blocks", "ResNet-20-wide, 90 % in blocks of 4x1", "resnet20-wide", "", 1, 0.9, 0, "4x1"),
        ("wide-channels-80", "ResNet-20-wide, half of its work removed by channels, then 80 % unstructured", "resnet20-wide", "", 1, 0.8, 0.5, Unstructured),
    ];

    private readonly Option<string> _networks = new("--networks") { Description = $"Which, separated by commas: {string.Join(", ", s_cases.Select(c => c.Id))}; without it those without blocks.", DefaultValueFactory = _ => string.Join(",", s_cases.Where(c => c.Pattern == Unstructured).Select(c => c.Id)) };
    private readonly Option<string> _against = InferenceFigure.AgainstOption("onnxruntime,pytorch");
    private readonly Option<bool> _plan = new("--plan") { Description = "Print the plans: which kernel each layer got and why; and how each peer runs." };

    protected override (string Name, string Description) Title => ("networks", "Whole networks, dense and sparse, in turn with dense peers.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_networks, _against, _plan];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        IReadOnlyList<PeerEntry> peers = InferenceFigure.Installed(arguments.GetValue(_against)!, context);
        var rows = new JsonArray();
        foreach (string id in arguments.GetValue(_networks)!.Split(',', StringSplitOptions.TrimEntries))
        {
            NetworkCase network = Case(id, context.Settings.Seed) ?? throw VerbException.Usage($"--networks has '{id}'", $"use {string.Join(", ", s_cases.Select(c => c.Id))}");
            using EvenCores cores = EvenCores.For(context, options, rows);
            rows.Add(NetworkComparison.Run(network, peers, arguments.GetValue(_plan), context, cores.Options));
        }
        return rows;
    }

    /// <summary>The case of that id with a freshly initialised network, or null.</summary>
    internal static NetworkCase? Case(string id, int seed)
    {
        if (s_cases.FirstOrDefault(c => c.Id == id) is not { Id: not null } c) return null;
        Architecture architecture = ArchitectureCatalog.Get(c.Architecture);
        return new NetworkCase(c.Label, architecture.Build(architecture.DefaultOptions().Parse(c.Options), seed), c.Batch, c.Sparsity, c.Channels, SparsityPattern.Parse(c.Pattern));
    }
}
