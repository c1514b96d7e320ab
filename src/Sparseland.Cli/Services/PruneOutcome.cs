using System.Text.Json.Nodes;
using Sparseland.Cli.Measuring;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Services;

/// <summary>One row of the last screen: a layer or a group of channels.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Before">Shape or width before.</param>
/// <param name="After">Shape or width after.</param>
/// <param name="Sparsity">Removed share of it, 0 to 1.</param>
/// <param name="Scores">The scores between which the cut lies, or empty.</param>
/// <param name="Note">A remark, or empty.</param>
internal sealed record PruneRow(string Name, string Kind, string Before, string After, double Sparsity, string Scores, string Note);

/// <summary>Everything that a pruning run found out; the last screen, <c>--json</c> and the report are made from it.</summary>
internal sealed record PruneOutcome
{
    public required string Title { get; init; }

    public required string Target { get; init; }

    public required ModelGraph Dense { get; init; }

    public required ModelGraph Pruned { get; init; }

    public required IReadOnlyList<PruneRow> Rows { get; init; }

    /// <summary>What was left alone and why.</summary>
    public required IReadOnlyList<string> Refused { get; init; }

    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Those of the warnings that the method could say before the run started.</summary>
    public IReadOnlyList<string> Foreseen { get; init; } = [];

    /// <summary>Why nothing was removed; empty when something was.</summary>
    public IReadOnlyList<string> NothingBecause { get; init; } = [];

    public required ModelCost Before { get; init; }

    public required ModelCost After { get; init; }

    /// <summary>Evaluations by name in order (dense, one-shot, recovered ...); empty without data.</summary>
    public IReadOnlyList<(string Name, Evaluation Evaluation)> Evaluations { get; init; } = [];

    public bool IsText { get; init; }

    public SavedModel? Saved { get; init; }

    public SavedModel? DenseSaved { get; init; }

    public BenchmarkResult? Benchmark { get; init; }

    /// <summary>Counted quantities that grew, which never may (R6).</summary>
    public IReadOnlyList<string> Grown
    {
        get
        {
            var grown = new List<string>();
            if (After.Parameters > Before.Parameters) grown.Add($"parameters grew from {Before.Parameters:N0} to {After.Parameters:N0}");
            if (After.NonZeros > Before.NonZeros) grown.Add($"non-zeros grew from {Before.NonZeros:N0} to {After.NonZeros:N0}");
            if (After.Macs > Before.Macs) grown.Add($"multiply-adds grew from {Before.Macs:N0} to {After.Macs:N0}");
            if (Saved is not null && DenseSaved is not null && Saved.CompactBytes > DenseSaved.CompactBytes)
                grown.Add($"the compact file grew from {DenseSaved.CompactBytes:N0} to {Saved.CompactBytes:N0} bytes");
            return grown;
        }
    }

    public JsonObject ToJson()
    {
        var evaluations = new JsonObject();
        foreach ((string name, Evaluation e) in Evaluations) evaluations[name] = EvaluationService.ToJson(e, IsText);
        return new JsonObject
        {
            ["method"] = Title,
            ["target"] = Target,
            ["parameters"] = Pair(Before.Parameters, After.Parameters),
            ["nonZeros"] = Pair(Before.NonZeros, After.NonZeros),
            ["sparsity"] = After.Parameters == 0 ? 0 : 1 - (double)After.NonZeros / Before.Parameters,
            ["multiplyAdds"] = Pair(Before.EffectiveMacs, After.EffectiveMacs),
            ["onnxBytes"] = Saved is null ? null : Pair(DenseSaved!.OnnxBytes, Saved.OnnxBytes),
            ["compactBytes"] = Saved is null ? null : Pair(DenseSaved!.CompactBytes, Saved.CompactBytes),
            ["evaluations"] = evaluations,
            ["bench"] = Benchmark?.ToJson(),
            ["layers"] = new JsonArray([.. Rows.Select(r => (JsonNode)new JsonObject { ["name"] = r.Name, ["kind"] = r.Kind, ["before"] = r.Before, ["after"] = r.After, ["sparsity"] = r.Sparsity, ["note"] = r.Note })]),
            ["refused"] = new JsonArray([.. Refused.Select(r => (JsonNode)r)]),
            ["warnings"] = new JsonArray([.. Warnings.Select(w => (JsonNode)w)]),
            ["onnx"] = Saved?.OnnxPath,
            ["compact"] = Saved?.CompactPath,
        };
    }

    private static JsonObject Pair(long before, long after) => new() { ["before"] = before, ["after"] = after };
}
