using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Model.Architectures;
using Sparseland.Model.Operators;
using Sparseland.Pruning.Catalog;
using Sparseland.Reproductions;
using Sparseland.Reproductions.Comparisons;
using Sparseland.Training.Data;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>Lists what is known by name: data, operators, architectures, methods.</summary>
internal sealed class ListVerb : Verb
{
    private readonly Argument<string> _what = new("what") { Description = "data, operators, architectures, methods, analyses, corruptions, reproductions or comparisons." };

    private readonly Option<string?> _dataRoot = SharedOptions.DataRoot();

    private readonly Option<string?> _stage = new("--stage") { Description = "Only methods that act then: before, during or after (training)." };

    private readonly Option<bool> _verify = new("--verify") { Description = "Also compare the files that are present with their expected hashes." };

    protected override (string Name, string Description) Title => ("list", "List known data sets, operators, architectures, methods, analyses, corruptions, reproductions or comparisons.");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        _what.AcceptOnlyFromAmong("data", "operators", "architectures", "methods", "analyses", "corruptions", "reproductions", "comparisons");
        command.Arguments.Add(_what);
        command.Options.Add(_dataRoot);
        _stage.AcceptOnlyFromAmong("before", "during", "after");
        command.Options.Add(_stage);
        command.Options.Add(_verify);
    }

    protected override Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        switch (arguments.GetValue(_what))
        {
            case "data":
                ListData(context, DataCatalog.Root(arguments.GetValue(_dataRoot)), arguments.GetValue(_verify));
                break;
            case "operators":
                ListOperators(context);
                break;
            case "architectures":
                ListArchitectures(context);
                break;
            case "analyses":
                AnalysisLists.Analyses(context);
                break;
            case "corruptions":
                AnalysisLists.Corruptions(context);
                break;
            case "reproductions":
                ListReproductions(context);
                break;
            case "comparisons":
                ListComparisons(context);
                break;
            default:
                ListMethods(context, arguments.GetValue(_stage));
                break;
        }
        return Task.FromResult(ExitCodes.Done);
    }

    private static void ListData(VerbContext context, string? root, bool verify)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("name", "what", "licence", "published at", "present");
        var json = new JsonArray();
        foreach ((string name, string description) in DataCatalog.BuiltIn)
        {
            table.AddRow(Markup.Escape(name), Markup.Escape(description), "Apache-2.0", "built in", "yes");
            json.Add(new JsonObject { ["name"] = name, ["description"] = description, ["kind"] = "builtin", ["present"] = true });
        }
        foreach (CatalogEntry entry in DataCatalog.All)
        {
            bool present = entry.IsPresent(root) && Directory.Exists(Path.Combine(root!, entry.Folder));
            IReadOnlyList<string> wrong = present && verify ? entry.Mismatches(root!, context.Cancellation) : [];
            string state = !present ? "no" : wrong.Count > 0 ? "yes, but changed: " + string.Join(", ", wrong.Select(Path.GetFileName)) : verify ? "yes, hashes agree" : "yes";
            table.AddRow(Markup.Escape(entry.Name), Markup.Escape(entry.Description), Markup.Escape(entry.Licence), Markup.Escape(entry.Source), Markup.Escape(state));
            var files = new JsonArray();
            foreach (CatalogFile file in entry.Files) files.Add(new JsonObject { ["name"] = file.Name, ["sha256"] = file.Sha256, ["required"] = file.Required });
            json.Add(new JsonObject
            {
                ["name"] = entry.Name,
                ["description"] = entry.Description,
                ["kind"] = entry.Kind.ToString().ToLowerInvariant(),
                ["licence"] = entry.Licence,
                ["source"] = entry.Source,
                ["folder"] = entry.Folder,
                ["files"] = files,
                ["present"] = present,
                ["mismatches"] = new JsonArray([.. wrong.Select(w => (JsonNode)w)]),
            });
        }
        context.Show(table);
        context.Say(root is null
            ? $"no data root: set --data-root or {DataCatalog.EnvironmentVariable} to the folder that holds one folder per set; nothing is ever downloaded"
            : $"data root: {root}; nothing is ever downloaded");
        context.Result(new JsonObject { ["root"] = root, ["data"] = json });
    }

    private static void ListOperators(VerbContext context)
    {
        List<Operator> operators = [.. OperatorRegistry.All];
        foreach (IGrouping<string, Operator> domain in operators.GroupBy(o => o.Domain))
        {
            context.Say($"{(domain.Key.Length == 0 ? "ONNX standard" : domain.Key)} ({domain.Count()}):");
            context.Say("  " + string.Join(" ", domain.Select(o => o.OpType)));
        }
        context.Result(new JsonObject
        {
            ["operators"] = new JsonArray([.. operators.Select(o => (JsonNode)new JsonObject { ["domain"] = o.Domain, ["name"] = o.OpType })]),
        });
    }

    private static void ListArchitectures(VerbContext context)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("name", "what", "paper", "options");
        var json = new JsonArray();
        foreach (Architecture a in ArchitectureCatalog.All)
        {
            table.AddRow(Markup.Escape(a.Id), Markup.Escape(a.Title), Markup.Escape(a.Paper), Markup.Escape(string.Join(" ", a.Options.Select(o => $"{o.Name}={o.Default:G}"))));
            json.Add(new JsonObject
            {
                ["name"] = a.Id,
                ["title"] = a.Title,
                ["paper"] = a.Paper,
                ["options"] = new JsonArray([.. a.Options.Select(o => (JsonNode)new JsonObject { ["name"] = o.Name, ["default"] = o.Default, ["minimum"] = o.Minimum, ["maximum"] = o.Maximum, ["summary"] = o.Summary })]),
            });
        }
        context.Show(table);
        context.Result(new JsonObject { ["architectures"] = json });
    }

    private static void ListReproductions(VerbContext context)
    {
        var json = new JsonArray();
        foreach (IReproduction r in ReproductionCatalog.All)
        {
            context.SayMarkup($"[bold]{Markup.Escape(r.Id),-10}[/] {Markup.Escape(r.Title)}: {Markup.Escape(r.Claim)}");
            context.Say($"           {r.Paper}; {r.Figure}");
            context.Say($"           against {string.Join("; ", r.Baselines)}");
            foreach (Sparseland.Reproductions.Rule rule in r.Rules) context.Say($"           rule: {rule.Statement}");
            json.Add(new JsonObject
            {
                ["id"] = r.Id,
                ["title"] = r.Title,
                ["methods"] = new JsonArray([.. r.Methods.Select(m => (JsonNode)m)]),
                ["paper"] = r.Paper,
                ["claim"] = r.Claim,
                ["figure"] = r.Figure,
                ["setup"] = r.Setup,
                ["baselines"] = new JsonArray([.. r.Baselines.Select(b => (JsonNode)b)]),
                ["rules"] = new JsonArray([.. r.Rules.Select(rule => (JsonNode)rule.Statement)]),
            });
        }
        context.Result(new JsonObject { ["reproductions"] = json });
    }

    private static void ListComparisons(VerbContext context)
    {
        var json = new JsonArray();
        foreach (IComparison c in ComparisonCatalog.All)
        {
            context.SayMarkup($"[bold]{Markup.Escape(c.Id)}[/] {Markup.Escape(c.Title)}: {Markup.Escape(c.Setup)}");
            context.Say($"           at {string.Join(", ", c.Sparsities.Select(MethodBench.Level))}: {string.Join(", ", c.Rows.Select(r => r.Id))}");
            json.Add(new JsonObject
            {
                ["id"] = c.Id,
                ["title"] = c.Title,
                ["setup"] = c.Setup,
                ["sparsities"] = new JsonArray([.. c.Sparsities.Select(s => (JsonNode)s)]),
                ["rows"] = new JsonArray([.. c.Rows.Select(r => (JsonNode)new JsonObject { ["id"] = r.Id, ["method"] = r.Method, ["note"] = r.Note })]),
            });
        }
        context.Result(new JsonObject { ["comparisons"] = json });
    }

    private static void ListMethods(VerbContext context, string? stage)
    {
        var json = new JsonArray();
        foreach (MethodInfo m in MethodCatalog.All.Where(m => stage is null || string.Equals(m.Stage.ToString(), stage, StringComparison.OrdinalIgnoreCase)))
        {
            context.SayMarkup($"[bold]{Markup.Escape(m.Id),-10}[/] {Markup.Escape(m.Title)}: {Markup.Escape(m.Description)}");
            context.Say($"           {m.Stage.ToString().ToLowerInvariant()} training, {m.Path.Label()}; {string.Join(", ", m.Granularities.Select(g => g.Label()))}; needs {m.Needs.Label()}");
            context.Say($"           {m.Paper}, {m.Section}");
            foreach (MethodParameter p in m.Parameters) context.Say($"           --set {p.Name}={p.Default}  {p.Help}{(p.Choices.Count > 0 ? ": " + string.Join(" ", p.Choices) : "")}");
            json.Add(new JsonObject
            {
                ["id"] = m.Id,
                ["title"] = m.Title,
                ["paper"] = m.Paper,
                ["section"] = m.Section,
                ["stage"] = m.Stage.ToString(),
                ["path"] = m.Path.Label(),
                ["maskSource"] = m.MaskSource.Label(),
                ["object"] = m.Object.ToString().ToLowerInvariant(),
                ["connectivity"] = m.Connectivity is { } c ? new JsonObject { ["drops"] = c.Drops, ["grows"] = c.Grows, ["when"] = c.When, ["until"] = c.Until } : "static",
                ["needs"] = m.Needs.ToString(),
                ["description"] = m.Description,
                ["granularities"] = new JsonArray([.. m.Granularities.Select(g => (JsonNode)g.Label())]),
                ["parameters"] = new JsonArray([.. m.Parameters.Select(AnalysisLists.Describe)]),
            });
        }
        context.Result(new JsonObject { ["methods"] = json });
    }
}
