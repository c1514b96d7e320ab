using System.Globalization;
using System.Reflection;
using System.Text;
using Sparseland.Bench.Page;
using Sparseland.Model.Architectures;
using Sparseland.Model.Operators;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Recipes;
using Sparseland.Reproductions;
using Sparseland.Reproductions.Comparisons;
using Sparseland.Reproductions.Results;
using Sparseland.Training.Data;
using Sparseland.Training.Operators;
using MethodInfo = Sparseland.Pruning.Catalog.MethodInfo;

namespace Sparseland.Cli.Tests.House;

/// <summary>The pages that are made from the catalogues, as text by path below <c>docs</c>.</summary>
internal static class GeneratedPages
{
    /// <summary>What is below this line is written by hand and kept.</summary>
    public const string NotesMark = "<!-- notes: written by hand from here on -->";

    internal const string Made = "<!-- made from the catalogue: edit the catalogue, then run the House tests with SPARSELAND_APPROVE=1 -->\n\n";

    private static readonly IReadOnlyDictionary<string, ComparisonResult> s_comparisons = ComparisonPage.Read(Path.Combine(Repository.Root, "reproductions", "comparisons"));
    private static readonly IReadOnlyDictionary<string, ReproductionResult> s_results = ResultsPage.Read(Path.Combine(Repository.Root, "reproductions", "results"));

    /// <summary>Every generated page.</summary>
    public static IReadOnlyList<(string Path, string Text)> All { get; } =
    [
        ("data.md", Data()),
        ("operators.md", Operators()),
        ("architectures.md", Architectures()),
        ("methods/README.md", Methods()),
        ("reproductions.md", ResultsPage.Make(s_results)),
        ("comparison.md", ComparisonPage.Make(s_comparisons)),
        .. PerformancePage.Make(Path.Combine(Repository.Root, "bench", "results")),
        .. MethodCatalog.All.Select(m => ($"methods/{m.Id}.md", Method(m))),
        .. AnalysisPages.All,
    ];

    private static string Data()
    {
        var text = new StringBuilder("# Data\n\n").Append(Made).Append(
            $"""
            Nothing is ever downloaded. Get a set from its owners, put its files into a folder of the name below, and point `--data-root` or
            `{DataCatalog.EnvironmentVariable}` to the folder above. `sparseland list data --verify` says what is there and compares hashes.
            Tests that need a set are skipped with a message when it is missing.

            ## Built in

            | name | what |
            | --- | --- |

            """);
        foreach ((string name, string description) in DataCatalog.BuiltIn) text.Append(CultureInfo.InvariantCulture, $"| `{name}` | {Cell(description)} |\n");
        foreach (CatalogKind kind in Enum.GetValues<CatalogKind>())
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## {kind switch { CatalogKind.Pictures => "Pictures", CatalogKind.Text => "Text", _ => "Trained models" }}\n");
            foreach (CatalogEntry entry in DataCatalog.All.Where(e => e.Kind == kind))
            {
                text.Append(CultureInfo.InvariantCulture, $"\n### {entry.Name}\n\n{Sentence(entry.Description)}\n\n- licence: {entry.Licence}\n- published at <{entry.Source}>\n- folder: `{entry.Folder}`\n");
                if (entry.EvaluationOnly) text.Append("- for evaluation only: nothing is trained or calibrated on it\n");
                text.Append("\n| file | needed | SHA-256 |\n| --- | --- | --- |\n");
                foreach (CatalogFile file in entry.Files)
                    text.Append(CultureInfo.InvariantCulture, $"| `{file.Name}` | {(file.Required ? "yes" : "no")} | {(file.Sha256 is null ? "any published version" : $"`{file.Sha256}`")} |\n");
            }
        }
        return text.ToString();
    }

    private static string Operators()
    {
        var gradients = new HashSet<string>(DifferentiableOperators.All, StringComparer.Ordinal);
        Operator[] all = [.. OperatorRegistry.All];
        var text = new StringBuilder("# Operators\n\n").Append(Made).Append(CultureInfo.InvariantCulture,
            $"""
            {all.Length} operators can be run. *Gradients*: a network that uses it can be trained. *Channels*: it says how its axes hang
            together, so channels can be removed through it; others freeze what they touch (see [refusals](refusals.md)).


            """);
        foreach (IGrouping<string, Operator> domain in all.GroupBy(o => o.Domain))
        {
            text.Append(CultureInfo.InvariantCulture, $"## {(domain.Key.Length == 0 ? "ONNX" : domain.Key)} ({domain.Count()})\n\n| operator | gradients | channels |\n| --- | --- | --- |\n");
            foreach (Operator op in domain)
            {
                bool couples = op.GetType().GetMethod(nameof(Operator.Couple), BindingFlags.Public | BindingFlags.Instance)!.DeclaringType != typeof(Operator);
                bool differentiable = op.Domain.Length == 0 && gradients.Contains(op.OpType);
                text.Append(CultureInfo.InvariantCulture, $"| {op.OpType} | {(differentiable ? "yes" : "")} | {(couples ? "yes" : "")} |\n");
            }
            text.Append('\n');
        }
        return text.ToString().TrimEnd('\n') + "\n";
    }

    private static string Architectures()
    {
        var text = new StringBuilder("# Architectures\n\n").Append(Made).Append(
            """
            Each is a function that builds a `ModelGraph`. `sparseland train NAME` trains one, with other sizes by `--arch-options width=64,classes=10`;
            `--architecture NAME` fits one to a checkpoint that has no graph. From C#: `ArchitectureCatalog.Get("resnet20").Build()`.

            """);
        foreach (Architecture a in ArchitectureCatalog.All)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## {a.Id}\n\n{Sentence(a.Title)} {Sentence(a.Paper)}\n\n| option | default | range | what |\n| --- | --- | --- | --- |\n");
            foreach (ArchitectureOption o in a.Options)
                text.Append(CultureInfo.InvariantCulture, $"| `{o.Name}` | {o.Default} | {(o.Kind == OptionKind.Flag ? "0 or 1" : Range(o.Minimum, o.Maximum))} | {Cell(o.Summary)} |\n");
        }
        return text.ToString();
    }

    private static string Methods()
    {
        var text = new StringBuilder("# Methods\n\n").Append(Made).Append("| method | what it does | when | removes | needs |\n| --- | --- | --- | --- | --- |\n");
        foreach (MethodInfo m in MethodCatalog.All)
            text.Append(CultureInfo.InvariantCulture, $"| [{m.Id}]({m.Id}.md) | {Cell(m.Description)} | {Stage(m)} | {Removes(m)} | {m.Needs.Label()} |\n");
        return text.Append("\nWhich one to take: [choosing a method](../guides/pruning.md).\n").ToString();
    }

    private static string Method(MethodInfo m)
    {
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"# {m.Title} (`{m.Id}`)\n\n").Append(Made).Append(CultureInfo.InvariantCulture,
            $"""
            {Sentence(m.Description)}

            - paper: {m.Paper}; {m.Section}
            - acts {Stage(m)}, {m.Path.Label()}; what stays is decided by {m.MaskSource.Label()}
            - removes: {Removes(m)}{(m.Object == SparseObject.Weights ? "" : $" ({m.Object.ToString().ToLowerInvariant()})")}
            - connections: {(m.Connectivity is { } c ? $"{c.Drops} go, {c.Grows} come; {c.When}, until {c.Until}" : "static: a weight that is removed stays removed")}
            - needs: {m.Needs.Label()}
            - evidence: {Evidence(m)}
            - beside the other methods, on one network with one budget: [side by side](../comparison.md){Refusal(m)}


            """);
        if (m.Parameters.Count > 0)
        {
            text.Append("| parameter | default | values | what |\n| --- | --- | --- | --- |\n");
            foreach (MethodParameter p in m.Parameters)
            {
                string values = p.Type switch { ParameterType.Choice => string.Join(", ", p.Choices), ParameterType.Switch => "true, false", _ => Range(p.Min, p.Max) };
                text.Append(CultureInfo.InvariantCulture, $"| `{p.Name}` | {p.Default} | {values} | {Cell(p.Help)} |\n");
            }
            text.Append('\n');
        }
        return text.Append(CultureInfo.InvariantCulture, $"```\n{Command(m)}\n```\n\nThe same as a recipe (`--recipe FILE`):\n\n```yaml\n{Example(m).ToYaml().Trim()}\n```\n").ToString();
    }

    private static Recipe Example(MethodInfo m)
    {
        Recipe recipe = Recipe.Of(m.Id).With("sparsity", m.DefaultSparsity.ToString(CultureInfo.InvariantCulture));
        foreach (MethodParameter p in m.Parameters) recipe = recipe.With("parameters." + p.Name, p.Default);
        return recipe;
    }

    internal static string Command(MethodInfo m)
    {
        string sparsity = m.Id == "channels" ? "--macs 50%" : $"--sparsity {(m.DefaultSparsity * 100).ToString("0.##", CultureInfo.InvariantCulture)}%";
        // Norms of inputs are what methods for language models want.
        string data = m.Needs.HasFlag(CriterionNeeds.InputNorms) ? " --data text.txt" : m.Needs.HasFlag(CriterionNeeds.Data) ? " --data shapes" : "";
        return m.Stage != PruningStage.After
            ? $"sparseland train {(m.Granularities.Contains(Granularity.Layer) ? "resnet20 --data shapes-rgb" : "small-cnn --data shapes")} --epochs 5 --method {m.Id} {sparsity}"
            : $"sparseland prune model.onnx --method {m.Id} {sparsity}{data}{(m.Needs.HasFlag(CriterionNeeds.Retraining) ? " --epochs 5" : "")}";
    }

    private static string Stage(MethodInfo m) => m.Stage.ToString().ToLowerInvariant() + " training";

    private static string Evidence(MethodInfo m)
    {
        string[] lines = [.. ReproductionCatalog.All.Where(r => r.Methods.Contains(m.Id))
            .Select(r => $"[{r.Title}](../reproductions.md#{r.Id}), {(s_results.TryGetValue(r.Id, out ReproductionResult? result) ? ReproductionResult.Label(result.Verdict) : "not run yet")}")];
        return lines.Length == 0 ? "no reproduction yet" : string.Join("; ", lines);
    }

    /// <summary>Said where the table has no numbers for a method.</summary>
    private static string Refusal(MethodInfo m) => ComparisonPage.Refusal(m.Id, s_comparisons.Values) is { } reason ? "; without numbers, it cannot take part there: " + reason : "";

    private static string Removes(MethodInfo m) => string.Join(", ", m.Granularities.Select(g => g.Label()));

    internal static string Range(double low, double high) => string.Create(CultureInfo.InvariantCulture, $"{(double.IsInfinity(low) ? "any" : low.ToString(CultureInfo.InvariantCulture))} to {(double.IsInfinity(high) ? "any" : high.ToString(CultureInfo.InvariantCulture))}");

    internal static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);

    internal static string Sentence(string text) => char.ToUpperInvariant(text[0]) + (text.EndsWith('?') ? text[1..] : text[1..].TrimEnd('.') + ".");
}
