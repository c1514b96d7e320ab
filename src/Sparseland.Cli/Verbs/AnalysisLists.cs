using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Pruning.Analysis.Catalog;
using Sparseland.Pruning.Catalog;
using Sparseland.Training.Data.Corruptions;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>What <c>list analyses</c> and <c>list corruptions</c> show.</summary>
internal static class AnalysisLists
{
    public static void Analyses(VerbContext context)
    {
        var json = new JsonArray();
        foreach (AnalysisInfo a in AnalysisCatalog.All)
        {
            context.SayMarkup($"[bold]{Markup.Escape(a.Id),-18}[/] {Markup.Escape(a.Title)}: {Markup.Escape(a.Description)}");
            context.Say($"                   needs {(a.Needs == AnalysisNeeds.None ? "nothing but the model" : string.Join(", ", Enum.GetValues<AnalysisNeeds>().Where(n => n != AnalysisNeeds.None && a.Needs.HasFlag(n)).Select(Words)))}");
            context.Say($"                   {a.Paper}, {a.Section}");
            foreach (MethodParameter p in a.Parameters) context.Say($"                   --set {p.Name}={p.Default}  {p.Description}{(p.Choices.Count > 0 ? ": " + string.Join(" ", p.Choices) : "")}");
            json.Add(new JsonObject
            {
                ["id"] = a.Id,
                ["title"] = a.Title,
                ["paper"] = a.Paper,
                ["section"] = a.Section,
                ["needs"] = a.Needs.ToString(),
                ["description"] = a.Description,
                ["parameters"] = new JsonArray([.. a.Parameters.Select(Describe)]),
            });
        }
        context.Result(new JsonObject { ["analyses"] = json });
    }

    public static void Corruptions(VerbContext context)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("corruption", "family", "what happens, by severity 1 to 5");
        var json = new JsonArray();
        foreach (Corruption c in CorruptionCatalog.All)
        {
            table.AddRow(Markup.Escape(c.Id), c.Family.ToString().ToLowerInvariant(), Markup.Escape(c.Description));
            json.Add(new JsonObject { ["id"] = c.Id, ["family"] = c.Family.ToString().ToLowerInvariant(), ["description"] = c.Description });
        }
        context.Show(table);
        context.Result(new JsonObject { ["corruptions"] = json });
    }

    private static string Words(AnalysisNeeds need) => need switch
    {
        AnalysisNeeds.LabelledData => "labelled data or text",
        AnalysisNeeds.TrainingData => "training samples",
        AnalysisNeeds.OtherModel => "another model",
        AnalysisNeeds.Training => "trainings of its own",
        _ => need.ToString().ToLowerInvariant(),
    };

    internal static JsonNode Describe(MethodParameter p) => new JsonObject
    {
        ["name"] = p.Name,
        ["type"] = p.Type.ToString(),
        ["default"] = p.Default,
        ["minimum"] = double.IsFinite(p.Min) ? p.Min : null,
        ["maximum"] = double.IsFinite(p.Max) ? p.Max : null,
        ["choices"] = new JsonArray([.. p.Choices.Select(c => (JsonNode)c)]),
        ["description"] = p.Description,
    };
}
