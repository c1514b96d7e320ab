using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Structured;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>Shows what a pruning would do, and what cannot be pruned and why; writes nothing (R26).</summary>
internal sealed class PlanVerb : Verb
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly PruneFlags _prune = new();

    protected override (string Name, string Description) Title => ("plan", "Show what a pruning would remove and what it cannot, without writing anything.");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_model);
        command.Options.Add(_architecture);
        _prune.AddTo(command);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string path = arguments.GetValue(_model)!;
        ModelGraph graph = ModelAccess.Load(path, arguments.GetValue(_architecture));
        PruneRequest request = await LatencySearch.SolveAsync(context, graph, PruneRunner.SolveSize(graph, _prune.Read(arguments, context, training: null, hasData: false, text: false))).ConfigureAwait(false);
        context.Say($"{request.Title}: {request.Target}");
        JsonObject json = Show(context, graph, request);
        if (!context.Settings.DryRun) _prune.SaveRecipe(arguments, request, force: false);
        context.Result(json);
        context.Next($"sparseland prune {path} {_prune.Repeat(arguments, request)}{(request.Method.Needs.HasFlag(CriterionNeeds.Data) ? " --data DATA" : "")}{(request.Method.Stage == PruningStage.During || request.Method.Needs.HasFlag(CriterionNeeds.Retraining) ? " --epochs N" : "")}");
        bool feasible = (bool)json["feasible"]!;
        bool anything = (bool)json["anything"]!;
        return !anything ? ExitCodes.NothingPruned : feasible ? ExitCodes.Done : ExitCodes.GateNotMet;
    }

    /// <summary>Prints the plan and returns it as JSON.</summary>
    internal static JsonObject Show(VerbContext context, ModelGraph graph, PruneRequest request) =>
        request.Channels is { } channels ? ShowChannels(context, graph, request, channels)
        : request.IsStructured ? ShowRewriting(context, graph, request)
        : ShowWeights(context, graph, request);

    /// <summary>Methods that plan for themselves: what they would cut is shown by cutting a copy, where that needs no data.</summary>
    private static JsonObject ShowRewriting(VerbContext context, ModelGraph graph, PruneRequest request)
    {
        var method = (GraphSparsifier)request.CreateForPlan();
        var rows = new JsonArray();
        GraphResult result;
        try
        {
            result = method.Rewrite(graph.Clone(), new PruningContext { InputTypes = InspectVerb.BatchTypes(graph, 1), Cancellation = context.Cancellation });
        }
        catch (PruningException e) when (e.Code == "SL4005")
        {
            context.Say($"what '{request.Method.Id}' cuts is known only with data: {e.Message}");
            return new JsonObject { ["method"] = request.Method.Id, ["target"] = request.Target, ["groups"] = rows, ["feasible"] = true, ["anything"] = true };
        }
        var table = new Table().Border(TableBorder.Simple).AddColumns("part", "kind").AddColumn(new TableColumn("before").RightAligned()).AddColumn(new TableColumn("stay").RightAligned()).AddColumn("note");
        foreach (GraphChange c in result.Changes)
        {
            table.AddRow(Markup.Escape(c.Name), c.Kind, c.Before.ToString("N0"), c.After.ToString("N0"), Markup.Escape(c.Note ?? ""));
            rows.Add(new JsonObject { ["group"] = c.Name, ["kind"] = c.Kind, ["units"] = c.Before, ["kept"] = c.After, ["note"] = c.Note });
        }
        context.Show(table);
        foreach (string refused in result.Refused) context.Say("cannot be cut  " + refused);
        foreach (string warning in result.Warnings) context.Warn(warning);
        return new JsonObject { ["method"] = request.Method.Id, ["target"] = request.Target, ["groups"] = rows, ["refused"] = new JsonArray([.. result.Refused.Select(f => (JsonNode)f)]), ["feasible"] = true, ["anything"] = !result.NothingRemoved };
    }

    private static JsonObject ShowWeights(VerbContext context, ModelGraph graph, PruneRequest request)
    {
        LayerPlan plan = PruneRunner.PlanLayers(graph, request);
        var table = new Table().Border(TableBorder.Simple).AddColumns("layer", "kind", "shape");
        table.AddColumn(new TableColumn("weights").RightAligned()).AddColumn("decision");
        var rows = new JsonArray();
        foreach (LayerDecision d in plan.Decisions)
        {
            table.AddRow(Markup.Escape(d.Layer.Name), d.Layer.Kind.ToString().ToLowerInvariant(), Markup.Escape($"[{string.Join(", ", d.Layer.Shape)}]"), d.Layer.Length.ToString("N0"), Markup.Escape(d.IsPruned ? "pruned" : d.Reason ?? ""));
            rows.Add(new JsonObject { ["name"] = d.Layer.Name, ["kind"] = d.Layer.Kind.ToString(), ["weights"] = d.Layer.Length, ["pruned"] = d.IsPruned, ["reason"] = d.Reason });
        }
        context.Show(table);
        LayerPolicy policy = request.Settings.Policy;
        Pruning.Allocations.LayerBounds bounds = request.Settings.Bounds;
        string Said(bool pruned) => pruned ? "pruned" : "dense";
        context.Say($"policy: first layer {Said(policy.First)}, last layer {Said(policy.Last)}, embeddings {Said(policy.Embeddings)}, depthwise kernels {Said(policy.Depthwise)}; biases and normalisations are never pruned; "
            + $"every layer keeps at least {bounds.FloorFactor:P0} of the target density and {bounds.MinKeep} weights, at most {bounds.MaxDensity:P0}");
        long all = plan.Decisions.Sum(d => (long)d.Layer.Length), others = graph.Weights.Values.Sum(w => (long)w.Length * w.ElementType.Size()) - plan.Length * 4;
        double density = request.Settings.Pattern.Kind == Kernels.Sparse.SparsityKind.NofM ? (double)request.Settings.Pattern.A / request.Settings.Pattern.B : request.Settings.Density;
        double bytes = 1.05 * (plan.Length * (1 + density * 32) / 8 + others);
        context.Say($"{plan.Length:N0} of {all:N0} weights in layers that may be pruned; about {plan.Length * density:N0} of them stay; compact file at most {bytes / 1e6:0.###} MB and a header");
        return new JsonObject
        {
            ["method"] = request.Method.Id,
            ["target"] = request.Target,
            ["layers"] = rows,
            ["policy"] = new JsonObject { ["first"] = policy.First, ["last"] = policy.Last, ["embeddings"] = policy.Embeddings, ["depthwise"] = policy.Depthwise, ["biases"] = false, ["normalisations"] = false },
            ["compactBytesAtMost"] = (long)bytes,
            ["feasible"] = true,
            ["anything"] = plan.Layers.Count > 0
        };
    }

    private static JsonObject ShowChannels(VerbContext context, ModelGraph graph, PruneRequest request, ChannelPruning channels)
    {
        Dictionary<string, TensorType> types = InspectVerb.BatchTypes(graph, 1);
        DependencyGraph dependencies = DependencyGraph.Build(graph, context.Cancellation);
        ChannelPlan plan = channels.Plan(dependencies, types, context.Cancellation);
        var table = new Table().Border(TableBorder.Simple).AddColumns("group", "kind");
        foreach (string column in (string[])["units", "stay", "for round width"]) table.AddColumn(new TableColumn(column).RightAligned());
        table.AddColumn("note");
        var rows = new JsonArray();
        foreach (GroupPlan g in plan.Groups)
        {
            table.AddRow(Markup.Escape(g.Group.Name), g.Group.Kind == UnitKind.Head ? "heads" : "channels", g.Group.UnitCount.ToString(), g.Kept.ToString(), g.Rounding.ToString("+0;-0;0", System.Globalization.CultureInfo.InvariantCulture), Markup.Escape(g.Refusal?.ToString() ?? ""));
            rows.Add(new JsonObject { ["group"] = g.Group.Name, ["units"] = g.Group.UnitCount, ["kept"] = g.Kept, ["rounding"] = g.Rounding, ["note"] = g.Refusal?.ToString() });
        }
        context.Show(table);
        foreach (FrozenAxis frozen in dependencies.Refused) context.Say("cannot be cut  " + frozen);
        context.Say($"parameters {plan.Before.Parameters:N0} to {plan.After.Parameters:N0}, multiply-adds {plan.Before.Macs / 1e6:N2} M to {plan.After.Macs / 1e6:N2} M; round widths take {plan.RoundingCost:P1} more than was asked for");
        if (!plan.IsFeasible) context.Warn($"{request.Target} cannot be reached; the nearest is {plan.NearestFeasible:P1}");
        return new JsonObject
        {
            ["method"] = "channels",
            ["target"] = request.Target,
            ["groups"] = rows,
            ["feasible"] = plan.IsFeasible,
            ["nearestFeasible"] = plan.NearestFeasible,
            ["achieved"] = plan.Achieved,
            ["refused"] = new JsonArray([.. dependencies.Refused.Select(f => (JsonNode)f.ToString())]),
            ["anything"] = plan.Removal.Count > 0,
        };
    }
}
