using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Services;
using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>Shows what is in a model file: inputs, operators, weights, density, cost. Works on files with unknown operators too.</summary>
internal sealed class InspectVerb : Verb
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly Option<bool> _nodes = new("--nodes") { Description = "List every node." };
    private readonly Option<string?> _pattern = new("--check-pattern") { Description = "Confirm that every prunable weight obeys a pattern (2:4, 4x1 ...), or name the first violation; exit code 5 when one does not." };
    private readonly Option<int> _batch = SharedOptions.Batch(1);

    protected override (string Name, string Description) Title => ("inspect", "Show a model's inputs, operators, weights, density and cost.");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_architecture, _nodes, _pattern, _batch];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string path = arguments.GetValue(_model)!;
        ModelGraph graph = ModelAccess.Load(path, arguments.GetValue(_architecture));
        IReadOnlyList<UnsupportedOperatorException> unsupported = GraphValidator.UnsupportedOperators(graph);
        ModelCost? cost = unsupported.Count == 0 ? ModelCost.Of(graph, BatchTypes(graph, arguments.GetValue(_batch))) : null;
        SparsityPattern? pattern = arguments.GetValue(_pattern) is { } text ? ParsePattern(text) : null;

        context.Say($"{graph.Name}  {new FileInfo(path).Length / 1e6:0.000} MB  {graph.Nodes.Count} nodes, {graph.Weights.Count} weights");
        foreach (GraphValue input in graph.Inputs) context.Say($"  input   {input.Name} {input.Type}");
        foreach (GraphValue output in graph.Outputs) context.Say($"  output  {output.Name} {output.Type}");
        foreach ((string key, string value) in graph.Metadata)
            context.Say($"  meta    {key} = {(value.Length > 70 ? value[..67] + "..." : value).Replace('\n', ' ')}");
        if (cost is not null)
            context.Say($"  total   {cost.Parameters:N0} parameters, {cost.NonZeros:N0} non-zero ({cost.Sparsity:P2} zeros), {cost.Macs / 1e6:0.###} M multiply-adds ({cost.EffectiveMacs / 1e6:0.###} M without zeros), peak activations {cost.PeakActivationBytes / 1e6:0.##} MB at batch {arguments.GetValue(_batch)}");

        ShowOperators(context, graph, unsupported, arguments.GetValue(_nodes));
        JsonArray weights = ShowWeights(context, graph);
        string? violation = pattern is { } p ? FirstViolation(graph, p) : null;
        if (pattern is not null) context.Say(violation is null ? $"pattern {pattern}: every prunable weight conforms" : $"pattern {pattern}: {violation}");

        context.Result(new JsonObject
        {
            ["name"] = graph.Name,
            ["fileBytes"] = new FileInfo(path).Length,
            ["inputs"] = Values(graph.Inputs),
            ["outputs"] = Values(graph.Outputs),
            ["metadata"] = new JsonObject(graph.Metadata.Select(m => KeyValuePair.Create(m.Key, (JsonNode?)m.Value))),
            ["parameters"] = cost?.Parameters,
            ["nonZeros"] = cost?.NonZeros,
            ["multiplyAdds"] = cost?.Macs,
            ["effectiveMultiplyAdds"] = cost?.EffectiveMacs,
            ["operators"] = new JsonObject(graph.Nodes.GroupBy(n => n.OpType).OrderBy(g => g.Key, StringComparer.Ordinal).Select(g => KeyValuePair.Create(g.Key, (JsonNode?)g.Count()))),
            ["unsupported"] = new JsonArray([.. unsupported.Select(u => (JsonNode)new JsonObject { ["node"] = u.NodeName, ["operator"] = u.OpType, ["domain"] = u.Domain })]),
            ["weights"] = weights,
            ["pattern"] = pattern?.ToString(),
            ["patternViolation"] = violation,
        });
        context.Next($"sparseland plan {path} --sparsity 80%", $"sparseland bench {path}");
        return Task.FromResult(violation is null ? ExitCodes.Done : ExitCodes.GateNotMet);
    }

    private static SparsityPattern ParsePattern(string text)
    {
        try
        {
            return SparsityPattern.Parse(text);
        }
        catch (FormatException e)
        {
            throw VerbException.Usage(e.Message);
        }
    }

    /// <summary>The first unknown dimension of every input is the batch.</summary>
    internal static Dictionary<string, TensorType> BatchTypes(ModelGraph graph, int batch)
    {
        var types = new Dictionary<string, TensorType>(StringComparer.Ordinal);
        foreach (GraphValue input in graph.Inputs)
        {
            if (input.Type.Shape is not { Rank: > 0 } shape) continue;
            TensorShape known = shape[0].IsKnown ? shape : shape.With(0, batch);
            // Text has a free length besides the batch; one window of 128 tokens stands for it.
            for (int i = 1; i < known.Rank; i++)
            {
                if (!known[i].IsKnown && input.Type.ElementType is ElementType.Int64 or ElementType.Int32) known = known.With(i, 128);
            }
            types[input.Name] = input.Type with { Shape = known };
        }
        return types;
    }

    private static void ShowOperators(VerbContext context, ModelGraph graph, IReadOnlyList<UnsupportedOperatorException> unsupported, bool all)
    {
        context.Say("  nodes   " + string.Join(", ", graph.Nodes.GroupBy(n => n.OpType).OrderByDescending(g => g.Count()).Select(g => $"{g.Count()} {g.Key}")));
        foreach (UnsupportedOperatorException u in unsupported) context.Say($"  unsupported: {u.Message}");
        if (!all) return;
        foreach (Node node in graph.Nodes) context.Say("    " + node);
    }

    private static JsonArray ShowWeights(VerbContext context, ModelGraph graph)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("weight", "shape", "type");
        table.AddColumn(new TableColumn("elements").RightAligned()).AddColumn(new TableColumn("zeros").RightAligned()).AddColumn("mask");
        var json = new JsonArray();
        foreach (Weight weight in graph.Weights.Values)
        {
            bool number = weight.ElementType.IsFloat();
            Mask? nonZeros = number && weight.Length > 0 ? weight.Read().NonZeros() : null;
            bool finite = !number || Array.TrueForAll(weight.Read().ToSingles(), float.IsFinite);
            if (!finite) context.Warn($"weight '{weight.Name}' holds values that are not finite");
            string shape = $"[{string.Join(", ", weight.Shape.ToArray())}]";
            if (weight.Length > 1)
                table.AddRow(Markup.Escape(weight.Name), Markup.Escape(shape), weight.ElementType.ToString(), weight.Length.ToString("N0"), nonZeros is null ? "" : nonZeros.Sparsity.ToString("P1"), weight.Mask is null ? "" : "yes");
            json.Add(new JsonObject
            {
                ["name"] = weight.Name,
                ["shape"] = new JsonArray([.. weight.Shape.ToArray().Select(d => (JsonNode)d)]),
                ["type"] = weight.ElementType.ToString(),
                ["elements"] = weight.Length,
                ["nonZeros"] = nonZeros?.KeptCount,
                ["masked"] = weight.Mask is not null,
                ["finite"] = finite,
            });
        }
        context.Show(table);
        return json;
    }

    private static string? FirstViolation(ModelGraph graph, SparsityPattern pattern)
    {
        foreach (Weight weight in graph.Weights.Values)
        {
            if (weight.Shape.Length < 2 || !weight.ElementType.IsFloat() || weight.Mask is null && weight.Read().NonZeros().Density == 1) continue;
            Mask mask = weight.Mask ?? weight.Read().NonZeros();
            int rows = weight.Shape[0];
            PatternViolation? violation = PatternCheck.FirstViolation(pattern, mask, rows, weight.Length / Math.Max(1, rows));
            if (violation is not null) return $"'{weight.Name}' row {violation.Row}, column {violation.Column}: {violation.Message}";
        }
        bool anySparse = graph.Weights.Values.Any(w => w.Shape.Length >= 2 && w.ElementType.IsFloat() && (w.Mask is not null || w.Read().NonZeros().Density < 1));
        return anySparse ? null : "no weight has any zeros";
    }

    private static JsonArray Values(IEnumerable<GraphValue> values) =>
        new([.. values.Select(v => (JsonNode)new JsonObject { ["name"] = v.Name, ["type"] = v.Type.ElementType.ToString(), ["shape"] = v.Type.Shape?.ToString() })]);
}
